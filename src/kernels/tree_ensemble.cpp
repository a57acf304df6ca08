// ai.onnx.ml's TreeEnsemble: each row of features goes down every tree to a leaf, and the leaves' weights make the
// row's results, target by target.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using tensor::Attributes;

enum class Mode : std::uint8_t { kAtMost, kBelow, kAtLeast, kAbove, kEqual, kUnequal, kMember };
enum class Aggregate : std::uint8_t { kAverage, kSum, kMin, kMax };
enum class Transform : std::uint8_t { kNone, kSoftmax, kLogistic, kSoftmaxOfNonzero, kProbit };

// The results of a row are as many as the model says; no more than this.
constexpr std::int64_t kMostTargets = std::int64_t{1} << 24;

// Where a branch leads: to a node or to a leaf.
struct Branch {
  std::size_t to = 0;
  bool leaf = false;
};

struct Node {
  std::size_t feature = 0;
  Mode mode = Mode::kAtMost;
  double split = 0;
  std::size_t first_member = 0;  // of kMember: the values it tests, in Trees::members
  std::size_t end_member = 0;
  Branch yes;
  Branch no;
  bool missing_is_yes = false;
};

template <typename E>
E parse_enum(const Attributes& attributes, std::string_view name, E otherwise, E last) {
  const std::int64_t value = attributes.get_int(name, static_cast<std::int64_t>(otherwise));
  if (value < 0 || value > static_cast<std::int64_t>(last)) {
    base::invalid("op.attribute", "{} must be in [0, {}], but is {}", name, static_cast<int>(last), value);
  }
  return static_cast<E>(value);
}

// The elements of a tensor attribute, all of whose types double holds exactly.
std::vector<double> numbers(const Attributes& attributes, std::string_view name) {
  const tensor::Attribute* given = attributes.find(name);
  if (given == nullptr) return {};
  const Tensor* tensor = std::get_if<Tensor>(given);
  if (tensor == nullptr) base::invalid("op.attribute", "{} must be a tensor", name);
  std::vector<double> result;
  using Types = tensor::TypeList<float, double, std::uint8_t, tensor::Float16>;
  tensor::dispatch(Types{}, tensor->element_type(), name, [&]<typename T>() {
    for (const T& value : tensor->values<T>())
      result.push_back(
          static_cast<double>(static_cast<std::conditional_t<std::is_same_v<T, double>, double, float>>(value)));
  });
  return result;
}

class Trees {
 public:
  explicit Trees(const Attributes& attributes)
      : aggregate_(parse_enum(attributes, "aggregate_function", Aggregate::kSum, Aggregate::kMax)),
        transform_(parse_enum(attributes, "post_transform", Transform::kNone, Transform::kProbit)),
        target_count_(attributes.get_int("n_targets", 1)) {
    if (target_count_ < 1 || target_count_ > kMostTargets) {
      base::invalid("op.attribute", "n_targets must be in [1, {}], but is {}", kMostTargets, target_count_);
    }
    read_leaves(attributes);
    read_nodes(attributes);
    for (const std::int64_t root : attributes.get_ints("tree_roots")) {
      if (root < 0 || static_cast<std::size_t>(root) >= nodes_.size()) {
        base::invalid("op.attribute", "root {} is none of {} nodes", root, nodes_.size());
      }
      roots_.push_back(static_cast<std::size_t>(root));
    }
    check_acyclic();
  }

  std::int64_t target_count() const { return target_count_; }
  std::size_t feature_count() const { return feature_count_; }

  template <typename T>
  void run(const T* row, T* out) const {
    const std::span<T> result(out, static_cast<std::size_t>(target_count_));
    std::ranges::fill(result, aggregate_ == Aggregate::kMin   ? std::numeric_limits<T>::max()
                              : aggregate_ == Aggregate::kMax ? std::numeric_limits<T>::lowest()
                                                              : T{0});
    for (const std::size_t root : roots_) {
      const std::size_t leaf = leaf_of(row, root);
      T& value = result[targets_[leaf]];
      const T weight = static_cast<T>(weights_[leaf]);
      switch (aggregate_) {
        case Aggregate::kAverage:
          value += weight / static_cast<T>(roots_.size());
          break;
        case Aggregate::kSum:
          value += weight;
          break;
        case Aggregate::kMin:
          value = std::min(value, weight);
          break;
        case Aggregate::kMax:
          value = std::max(value, weight);
          break;
      }
    }
    transform(result);
  }

 private:
  void read_leaves(const Attributes& attributes) {
    weights_ = numbers(attributes, "leaf_weights");
    for (const std::int64_t target : attributes.get_ints("leaf_targetids")) {
      if (target < 0 || target >= target_count_) {
        base::invalid("op.attribute", "a leaf's target {} is none of {}", target, target_count_);
      }
      targets_.push_back(static_cast<std::size_t>(target));
    }
    if (weights_.size() != targets_.size()) {
      base::invalid("op.attribute", "there are {} weights of {} leaves", weights_.size(), targets_.size());
    }
  }

  void read_nodes(const Attributes& attributes) {
    const std::vector<double> modes = numbers(attributes, "nodes_modes");
    const std::vector<double> splits = numbers(attributes, "nodes_splits");
    const std::vector<std::int64_t> features = attributes.get_ints("nodes_featureids");
    const std::vector<std::int64_t> yes = attributes.get_ints("nodes_truenodeids");
    const std::vector<std::int64_t> no = attributes.get_ints("nodes_falsenodeids");
    const std::vector<std::int64_t> yes_leaf = attributes.get_ints("nodes_trueleafs");
    const std::vector<std::int64_t> no_leaf = attributes.get_ints("nodes_falseleafs");
    std::vector<std::int64_t> missing = attributes.get_ints("nodes_missing_value_tracks_true");
    if (missing.empty()) missing.assign(features.size(), 0);
    nodes_.resize(features.size());
    for (const std::size_t size :
         {modes.size(), splits.size(), yes.size(), no.size(), yes_leaf.size(), no_leaf.size(), missing.size()}) {
      if (size != nodes_.size()) {
        base::invalid("op.attribute", "the nodes' attributes have {} and {} entries", nodes_.size(), size);
      }
    }
    members_ = numbers(attributes, "membership_values");
    std::size_t next_member = 0;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node& node = nodes_[i];
      if (features[i] < 0)
        base::invalid("op.attribute", "a node's feature must not be negative, but is {}", features[i]);
      node.feature = static_cast<std::size_t>(features[i]);
      feature_count_ = std::max(feature_count_, node.feature + 1);
      if (modes[i] > static_cast<double>(Mode::kMember)) {
        base::invalid("op.attribute", "a node's mode must be in [0, 6], but is {}", modes[i]);
      }
      node.mode = static_cast<Mode>(modes[i]);
      node.split = splits[i];
      node.yes = branch(yes[i], yes_leaf[i] != 0);
      node.no = branch(no[i], no_leaf[i] != 0);
      node.missing_is_yes = missing[i] != 0;
      if (node.mode != Mode::kMember) continue;
      node.first_member = next_member;
      while (next_member < members_.size() && !std::isnan(members_[next_member])) ++next_member;
      if (next_member == members_.size()) base::invalid("op.attribute", "not every set of members ends with a NaN");
      node.end_member = next_member++;
    }
  }

  Branch branch(std::int64_t to, bool leaf) const {
    const std::size_t count = leaf ? targets_.size() : nodes_.size();
    if (to < 0 || static_cast<std::size_t>(to) >= count) {
      base::invalid("op.attribute", "a branch leads to {} {} of {}", leaf ? "leaf" : "node", to, count);
    }
    return {static_cast<std::size_t>(to), leaf};
  }

  // Takes away the nodes that no node leads to, and then those that only they led to; what is left leads to itself.
  void check_acyclic() const {
    std::vector<std::size_t> leading(nodes_.size(), 0);
    const auto follow = [&](const Node& node, auto visit) {
      if (!node.yes.leaf) visit(node.yes.to);
      if (!node.no.leaf) visit(node.no.to);
    };
    for (const Node& node : nodes_) follow(node, [&](std::size_t to) { ++leading[to]; });
    std::vector<std::size_t> free;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (leading[i] == 0) free.push_back(i);
    }
    std::size_t taken = 0;
    while (!free.empty()) {
      const Node& node = nodes_[free.back()];
      free.pop_back();
      ++taken;
      follow(node, [&](std::size_t to) {
        if (--leading[to] == 0) free.push_back(to);
      });
    }
    if (taken != nodes_.size()) base::invalid("op.attribute", "a node's branches lead back to it");
  }

  template <typename T>
  std::size_t leaf_of(const T* row, std::size_t root) const {
    Branch at{root, false};
    while (!at.leaf) {
      const Node& node = nodes_[at.to];
      const T feature = row[node.feature];
      at = (node.missing_is_yes && std::isnan(feature)) || holds(node, static_cast<double>(feature)) ? node.yes
                                                                                                     : node.no;
    }
    return at.to;
  }

  bool holds(const Node& node, double feature) const {
    switch (node.mode) {
      case Mode::kAtMost:
        return feature <= node.split;
      case Mode::kBelow:
        return feature < node.split;
      case Mode::kAtLeast:
        return feature >= node.split;
      case Mode::kAbove:
        return feature > node.split;
      case Mode::kEqual:
        return feature == node.split;
      case Mode::kUnequal:
        return feature != node.split;
      case Mode::kMember:
        break;
    }
    const auto first = members_.begin();
    return std::find(first + static_cast<std::ptrdiff_t>(node.first_member),
                     first + static_cast<std::ptrdiff_t>(node.end_member),
                     feature) != first + static_cast<std::ptrdiff_t>(node.end_member);
  }

  template <typename T>
  void transform(std::span<T> values) const {
    switch (transform_) {
      case Transform::kNone:
        return;
      case Transform::kSoftmax:
      case Transform::kSoftmaxOfNonzero: {
        const T most = *std::ranges::max_element(values);
        T sum = 0;
        for (T& value : values) {
          const bool skipped = transform_ == Transform::kSoftmaxOfNonzero && value == 0;
          value = skipped ? T{0} : std::exp(value - most);
          sum += value;
        }
        for (T& value : values) value = sum != 0 ? value / sum : value;
        return;
      }
      case Transform::kLogistic:
        for (T& value : values) value = 1 / (1 + std::exp(-value));
        return;
      case Transform::kProbit:
        for (T& value : values) value = probit(value);
        return;
    }
  }

  // The inverse of the normal distribution's function, by Winitzki's approximation of the inverse error function, which
  // ONNX Runtime uses, too.
  template <typename T>
  static T probit(T value) {
    const T x = 2 * value - 1;
    const T logarithm = std::log((1 - x) * (1 + x));
    const T half = T(2.0 / (3.14159 * 0.147)) + T(0.5) * logarithm;
    const T root = std::sqrt(std::sqrt(half * half - logarithm / T(0.147)) - half);
    return T(1.41421356) * (x < 0 ? -root : root);
  }

  Aggregate aggregate_;
  Transform transform_;
  std::int64_t target_count_;
  std::size_t feature_count_ = 0;
  std::vector<Node> nodes_;
  std::vector<double> members_;
  std::vector<std::size_t> targets_;  // of each leaf
  std::vector<double> weights_;       // of each leaf
  std::vector<std::size_t> roots_;
};

}  // namespace

std::unique_ptr<Kernel> make_TreeEnsemble(const KernelInfo& info) {
  const auto trees = std::make_shared<const Trees>(info.attributes);
  return make_kernel([trees](KernelContext& context) {
    const Tensor& input = context.input(0);
    if (input.rank() != 2) base::invalid("op.rank", "the input must have rank 2, but has {}", input.rank());
    const std::int64_t rows = input.shape()[0];
    const std::int64_t features = input.shape()[1];
    if (static_cast<std::size_t>(features) < trees->feature_count()) {
      base::invalid("op.shape", "the trees read {} features, but a row has {}", trees->feature_count(), features);
    }
    tensor::dispatch(tensor::FloatTypes{}, input.element_type(), "TreeEnsemble", [&]<typename T>() {
      Tensor& out = context.allocate_output(0, input.element_type(), {rows, trees->target_count()});
      constexpr std::int64_t kRowGrain = 64;
      base::parallel_for(context.threads(), rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row) {
          trees->run(input.data<T>() + row * features, out.data<T>() + row * trees->target_count());
        }
      });
    });
  });
}

}  // namespace lanner::kernels
