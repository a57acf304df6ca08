#include "onnx/baked_sizes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "onnx/size_arithmetic.h"

namespace lanner::onnx {

namespace {

constexpr std::string_view kReason = "option.shapes";
constexpr std::string_view kAdvice = "export the model for these shapes, or with dynamic ones";

using Dims = std::vector<std::int64_t>;  // -1 where one is not known

// "1x8x64", with ? for what is not known.
std::string shown(const Dims& dims) {
  if (dims.empty()) return "a scalar";
  std::string text;
  for (const std::int64_t dim : dims) {
    text += text.empty() ? "" : "x";
    text += dim < 0 ? "?" : std::to_string(dim);
  }
  return text;
}

bool all_known(const Dims& dims) {
  return std::ranges::none_of(dims, [](std::int64_t dim) { return dim < 0; });
}

std::optional<Numbers> numbers_of(const Tensor& tensor) {
  Numbers result;
  const auto read = [&]<typename T>() { result.assign(tensor.data<T>(), tensor.data<T>() + tensor.element_count()); };
  switch (tensor.element_type()) {
    case ElementType::kInt64:
      read.operator()<std::int64_t>();
      return result;
    case ElementType::kInt32:
      read.operator()<std::int32_t>();
      return result;
    case ElementType::kFloat32:
      read.operator()<float>();
      return result;
    default:
      return std::nullopt;
  }
}

// What inference knows of a graph's values, and of those of the graphs around it.
class Scope {
 public:
  Scope(const pb::GraphProto& graph, const pb::shape_inference::DataValueMap& integers, const MovedTensors& tensors,
        const Scope* outer)
      : integers_(integers), tensors_(tensors), outer_(outer) {
    for (const auto* list : {&graph.input(), &graph.value_info(), &graph.output()}) {
      for (const pb::ValueInfoProto& info : *list) {
        if (!info.type().has_tensor_type() || !info.type().tensor_type().has_shape()) continue;
        Dims& dims = dims_[info.name()];
        dims.clear();
        for (const auto& dim : info.type().tensor_type().shape().dim()) {
          dims.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
        }
      }
    }
    for (const pb::TensorProto& tensor : graph.initializer()) add_constant(tensor.name(), tensor);
    for (const pb::NodeProto& node : graph.node()) {
      for (const std::string& output : node.output()) makers_[output] = &node;
      if (node.op_type() != "Constant" || !node.domain().empty() || node.output_size() != 1) continue;
      for (const pb::AttributeProto& attribute : node.attribute()) {
        if (attribute.name() == "value") add_constant(node.output(0), attribute.t());
      }
    }
  }

  bool is_nested() const { return outer_ != nullptr; }

  const Dims* dims(const std::string& name) const {
    const auto found = dims_.find(name);
    if (found != dims_.end()) return &found->second;
    return outer_ != nullptr ? outer_->dims(name) : nullptr;
  }

  const pb::TensorProto* constant(const std::string& name) const {
    const auto found = constants_.find(name);
    if (found != constants_.end()) return found->second;
    return outer_ != nullptr ? outer_->constant(name) : nullptr;
  }

  // Null for what no node of this graph makes.
  const pb::NodeProto* maker(const std::string& name) const {
    const auto found = makers_.find(name);
    return found != makers_.end() ? found->second : nullptr;
  }

  // The elements of a tensor of integers that is constant or follows from shapes. Those of the largest constants are
  // exact up to 2^53, and what is above is some number above that.
  std::optional<Dims> integers(const std::string& name) const {
    const auto lookup = [this](const std::string& value) { return known(value); };
    const std::optional<Numbers> numbers = size_arithmetic(name, lookup);
    if (!numbers) return std::nullopt;
    Dims result;
    for (const double number : *numbers) {
      if (number != std::trunc(number)) return std::nullopt;
      result.push_back(static_cast<std::int64_t>(std::clamp(number, -0x1p62, 0x1p62)));
    }
    return result;
  }

 private:
  KnownValue known(const std::string& name) const {
    if (const pb::TensorProto* tensor = constant(name)) return {numbers_of(tensors_.find(*tensor)), nullptr};
    if (const auto found = integers_.find(name); found != integers_.end()) {
      Numbers numbers;
      for (const auto& dim : found->second.dim()) {
        if (dim.has_dim_value()) numbers.push_back(static_cast<double>(dim.dim_value()));
      }
      if (std::cmp_equal(numbers.size(), found->second.dim_size())) return {std::move(numbers), nullptr};
    }
    if (const pb::NodeProto* node = maker(name)) return {std::nullopt, node};
    return outer_ != nullptr ? outer_->known(name) : KnownValue{};
  }

  void add_constant(const std::string& name, const pb::TensorProto& tensor) {
    constants_[name] = &tensor;
    Dims& dims = dims_[name];
    dims.assign(tensor.dims().begin(), tensor.dims().end());
  }

  const pb::shape_inference::DataValueMap& integers_;
  const MovedTensors& tensors_;
  const Scope* outer_;
  std::unordered_map<std::string, Dims> dims_;
  std::unordered_map<std::string, const pb::TensorProto*> constants_;
  std::unordered_map<std::string, const pb::NodeProto*> makers_;
};

// How the dimensions of a Reshape's input become those of its output: blocks of one side with blocks of the other, as
// short as their products allow, for the exported sizes; and whether the new sizes agree with that. A dimension of 1
// belongs to a 1 on the other side, or else may belong to a block beside it.
class ReshapeBlocks {
 public:
  struct Side {
    const Dims& before;
    const Dims& now;
    std::size_t size() const { return before.size(); }
    bool one(std::size_t i) const { return i < before.size() && before[i] == 1; }
  };
  ReshapeBlocks(Side from, Side to) : from_(from), to_(to) {}

  bool agree(std::size_t i = 0, std::size_t j = 0) const {
    if (i == from_.size() && j == to_.size()) return true;
    if (from_.one(i) && to_.one(j)) return from_.now[i] == to_.now[j] && agree(i + 1, j + 1);
    if (from_.one(i) && from_.now[i] == 1 && agree(i + 1, j)) return true;
    if (to_.one(j) && to_.now[j] == 1 && agree(i, j + 1)) return true;
    if (i == from_.size() || j == to_.size()) return false;
    Products before{1, 1};
    Products now{1, 1};
    const auto take_from = [&] { before.from *= from_.before[i], now.from *= from_.now[i], ++i; };
    const auto take_to = [&] { before.to *= to_.before[j], now.to *= to_.now[j], ++j; };
    while (from_.one(i)) take_from();
    while (to_.one(j)) take_to();
    do {
      if (before.from <= before.to) {
        if (i == from_.size()) return false;
        take_from();
      } else {
        if (j == to_.size()) return false;
        take_to();
      }
    } while (before.from != before.to);
    for (;;) {
      if (now.from == now.to && agree(i, j)) return true;
      if (from_.one(i) == to_.one(j)) return false;
      from_.one(i) ? take_from() : take_to();
    }
  }

 private:
  struct Products {
    double from;
    double to;
  };
  Side from_;
  Side to_;
};

std::int64_t attribute_of(const pb::NodeProto& node, std::string_view name, std::int64_t fallback) {
  for (const pb::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == name) return attribute.i();
  }
  return fallback;
}

bool has_attribute(const pb::NodeProto& node, std::string_view name) {
  return std::ranges::any_of(node.attribute(), [&](const auto& attribute) { return attribute.name() == name; });
}

// One graph with the sizes it was exported with, and with the new ones.
class Graphs {
 public:
  Graphs(const pb::GraphProto& before, const InferredModel& old_model, const pb::GraphProto& now,
         const InferredModel& new_model, const MovedTensors& tensors, const Graphs* outer = nullptr)
      : graph_(now),
        before_(before, old_model.integers, tensors, outer == nullptr ? nullptr : &outer->before_),
        now_(now, new_model.integers, tensors, outer == nullptr ? nullptr : &outer->now_) {
    for (const pb::NodeProto& node : now.node()) {
      for (const std::string& input : node.input()) readers_[input].push_back(&node);
    }
    for (const pb::ValueInfoProto& output : now.output()) readers_[output.name()].push_back(nullptr);
  }

  bool is_nested() const { return before_.is_nested(); }

  void check() const {
    for (const pb::NodeProto& node : graph_.node()) check(node);
  }

  // The first node that inference gave shapes before, and does not now although it knows what the node reads.
  const pb::NodeProto* first_unsound() const {
    for (const pb::NodeProto& node : graph_.node()) {
      const auto known = [&](const std::string& input) { return input.empty() || now_.dims(input) != nullptr; };
      const auto lost = [&](const std::string& output) {
        return !output.empty() && before_.dims(output) != nullptr && now_.dims(output) == nullptr;
      };
      if (std::ranges::all_of(node.input(), known) && std::ranges::any_of(node.output(), lost)) return &node;
    }
    return nullptr;
  }

  // What such a node reads that has another shape now, and what kept its shape, and why.
  std::string explain(const pb::NodeProto& node) const {
    const std::string* changed = nullptr;
    const std::string* kept = nullptr;
    for (const std::string& input : node.input()) {
      const Dims* old_dims = before_.dims(input);
      const Dims* new_dims = now_.dims(input);
      if (old_dims == nullptr || new_dims == nullptr || new_dims->empty()) continue;
      const std::string*& which = *old_dims == *new_dims ? kept : changed;
      if (which == nullptr) which = &input;
    }
    if (changed == nullptr) return describe(node);
    std::string text = fmt::format("{} reads {}, which was {}", describe(node), shown(*now_.dims(*changed)),
                                   shown(*before_.dims(*changed)));
    if (kept != nullptr) text += fmt::format(", and still {}{}", shown(*now_.dims(*kept)), origin_of(*kept));
    return text;
  }

 private:
  void check(const pb::NodeProto& node) const {
    if (!node.domain().empty() || node.input_size() == 0 || node.output_size() == 0) return;
    const Dims* old_dims = before_.dims(node.input(0));
    const Dims* new_dims = now_.dims(node.input(0));
    if (old_dims == nullptr || new_dims == nullptr || old_dims->size() != new_dims->size()) return;
    const Data data{node, *old_dims, *new_dims};
    if (node.op_type() == "Reshape") check_reshape(data);
    if (*old_dims == *new_dims || is_only_measured(node)) return;
    if (node.op_type() == "Resize") check_resize(data);
    if (node.op_type() == "Slice") check_slice(data);
    if (node.op_type() == "TopK") check_topk(data);
    if (node.op_type() == "Gather") check_gather(data);
    if (node.op_type() == "GatherND" || node.op_type() == "ScatterND") check_places(data);
    if (node.op_type() == "GatherElements" || node.op_type() == "ScatterElements") check_elements(data);
  }

  // A node and the dimensions of its first input.
  struct Data {
    const pb::NodeProto& node;
    const Dims& before;
    const Dims& now;

    bool changed(std::size_t axis) const { return before[axis] >= 0 && now[axis] >= 0 && before[axis] != now[axis]; }
    std::optional<std::size_t> axis(std::int64_t given) const {
      const auto rank = static_cast<std::int64_t>(before.size());
      if (given < -rank || given >= rank) return std::nullopt;
      return static_cast<std::size_t>(given < 0 ? given + rank : given);
    }
  };

  template <typename... Args>
  [[noreturn]] static void fail(const Data& data, fmt::format_string<Args...> text, Args&&... args) {
    base::invalid(kReason,
                  "the model cannot have these input shapes: {} {}, but what it reads is {} now, and was {}; {}",
                  describe(data.node), fmt::format(text, std::forward<Args>(args)...), shown(data.now),
                  shown(data.before), kAdvice);
  }

  // An input that is the same integers for both sizes.
  std::optional<Dims> baked(const pb::NodeProto& node, int input) const {
    if (node.input_size() <= input || node.input(input).empty()) return std::nullopt;
    std::optional<Dims> now = now_.integers(node.input(input));
    return now && now == before_.integers(node.input(input)) ? std::move(now) : std::nullopt;
  }

  // Of what it computes only the shape is used.
  bool is_only_measured(const pb::NodeProto& node) const {
    const auto readers = readers_.find(node.output(0));
    return readers != readers_.end() && std::ranges::all_of(readers->second, [](const pb::NodeProto* reader) {
             return reader != nullptr && (reader->op_type() == "Shape" || reader->op_type() == "Size");
           });
  }

  // Dimensions of the output of a Reshape to `wanted`; none where that is not possible.
  static std::optional<Dims> reshaped(const pb::NodeProto& node, const Dims& from, const Dims& wanted) {
    Dims result;
    double total = 1;
    double rest = 1;
    for (const std::int64_t dim : from) total *= static_cast<double>(dim);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const bool copies = wanted[i] == 0 && attribute_of(node, "allowzero", 0) == 0;
      if (copies && i >= from.size()) return std::nullopt;
      result.push_back(copies ? from[i] : wanted[i]);
      if (result.back() >= 0) rest *= static_cast<double>(result.back());
    }
    if (rest == 0 || total == 0 || total / rest > 0x1p62) return std::nullopt;
    for (std::int64_t& dim : result) {
      if (dim < 0) dim = static_cast<std::int64_t>(total / rest);
    }
    return result;
  }

  void check_reshape(const Data& data) const {
    if (data.node.input_size() < 2 || !all_known(data.now)) return;
    const std::optional<Dims> wanted = now_.integers(data.node.input(1));
    const std::optional<Dims> wanted_before = before_.integers(data.node.input(1));
    if (!wanted) return;
    const std::optional<Dims> to = reshaped(data.node, data.now, *wanted);
    if (!to) return;
    double from_count = 1;
    double to_count = 1;
    for (const std::int64_t dim : data.now) from_count *= static_cast<double>(dim);
    for (const std::int64_t dim : *to) to_count *= static_cast<double>(dim);
    bool agrees = from_count == to_count;
    if (agrees && wanted_before && data.before != data.now && all_known(data.before)) {
      const std::optional<Dims> to_before = reshaped(data.node, data.before, *wanted_before);
      if (!to_before || to_before->size() != to->size()) return;
      agrees = ReshapeBlocks({data.before, data.now}, {*to_before, *to}).agree();
    }
    if (!agrees) fail(data, "has the sizes {} baked in", fmt::join(*wanted, "x"));
  }

  // To a fixed size is what some models do with any image, but not with any batch. Where it changed nothing for the
  // exported size, it was the size of the image that it kept.
  void check_resize(const Data& data) const {
    const std::optional<Dims> sizes = baked(data.node, 3);
    if (!sizes || sizes->size() != data.now.size() || has_attribute(data.node, "axes")) return;
    const bool changed_nothing = *sizes == data.before;
    for (std::size_t axis = 0; axis < sizes->size(); ++axis) {
      if (data.changed(axis) && (*sizes)[axis] == data.before[axis] && (axis < 2 || changed_nothing)) {
        fail(data, "has the sizes {} baked in", fmt::join(*sizes, "x"));
      }
    }
  }

  // What took all there was takes a part now.
  void check_slice(const Data& data) const {
    const std::optional<Dims> ends = baked(data.node, 2);
    if (!ends) return;
    const std::optional<Dims> axes = baked(data.node, 3);
    const std::optional<Dims> steps = baked(data.node, 4);
    if (data.node.input_size() > 3 && !data.node.input(3).empty() && (!axes || axes->size() != ends->size())) return;
    for (std::size_t i = 0; i < ends->size(); ++i) {
      const std::optional<std::size_t> axis = data.axis(axes ? (*axes)[i] : static_cast<std::int64_t>(i));
      if (!axis || !data.changed(*axis) || data.now[*axis] < data.before[*axis]) continue;
      if (steps && i < steps->size() && (*steps)[i] < 0) continue;
      if ((*ends)[i] == data.before[*axis]) fail(data, "ends at {} in dimension {}", (*ends)[i], *axis);
    }
  }

  void check_topk(const Data& data) const {
    const std::optional<Dims> count = baked(data.node, 1);
    const std::optional<std::size_t> axis = data.axis(attribute_of(data.node, "axis", -1));
    if (!count || count->size() != 1 || !axis || !data.changed(*axis)) return;
    const bool took_all = (*count)[0] == data.before[*axis] && data.now[*axis] > data.before[*axis];
    if (took_all || (*count)[0] > data.now[*axis]) fail(data, "takes {} of dimension {}", (*count)[0], *axis);
  }

  // Positions along a dimension that has another size now: none may be past its end, and if they were all there were,
  // they have to be all there are.
  void check_positions(const Data& data, std::size_t axis, const Dims& positions) const {
    if (!data.changed(axis) || positions.empty()) return;
    const std::int64_t old_size = data.before[axis];
    const std::int64_t new_size = data.now[axis];
    std::vector<char> seen(static_cast<std::size_t>(std::min<std::int64_t>(old_size, 1 << 24)), 0);
    for (std::int64_t position : positions) {
      if (position < -new_size || position >= new_size) fail(data, "reads position {} of dimension {}", position, axis);
      if (position < 0) position += old_size;
      if (position >= 0 && std::cmp_less(position, seen.size())) seen[static_cast<std::size_t>(position)] = 1;
    }
    const bool all = std::cmp_equal(std::ranges::count(seen, 1), old_size);
    if (all && new_size > old_size) {
      fail(data, "reads {} of dimension {}",
           old_size == 1 ? "the only position" : "each position up to the exported size", axis);
    }
  }

  void check_gather(const Data& data) const {
    const std::optional<Dims> positions = baked(data.node, 1);
    const std::optional<std::size_t> axis = data.axis(attribute_of(data.node, "axis", 0));
    if (positions && axis) check_positions(data, *axis, *positions);
  }

  // GatherND and ScatterND: the last dimension of the indices has a position in each of the first dimensions.
  void check_places(const Data& data) const {
    const std::optional<Dims> places = baked(data.node, 1);
    const Dims* shape = now_.dims(data.node.input(1));
    if (!places || shape == nullptr || shape->empty() || shape->back() <= 0) return;
    const auto batch = static_cast<std::size_t>(attribute_of(data.node, "batch_dims", 0));
    const auto depth = static_cast<std::size_t>(shape->back());
    for (std::size_t axis = 0; axis < std::min(batch, data.now.size()); ++axis) {
      if (data.changed(axis)) fail(data, "has indices for {} of dimension {}", data.before[axis], axis);
    }
    for (std::size_t k = 0; k < depth && batch + k < data.now.size(); ++k) {
      Dims positions;
      for (std::size_t i = k; i < places->size(); i += depth) positions.push_back((*places)[i]);
      check_positions(data, batch + k, positions);
    }
  }

  // GatherElements and ScatterElements: indices as large as the data in all dimensions but one.
  void check_elements(const Data& data) const {
    if (!baked(data.node, 1)) return;
    const Dims* shape = now_.dims(data.node.input(1));
    if (shape == nullptr || shape->size() != data.now.size()) return;
    for (std::size_t axis = 0; axis < shape->size(); ++axis) {
      if (data.changed(axis) && (*shape)[axis] == data.before[axis] && data.now[axis] > data.before[axis]) {
        fail(data, "has indices for {} of dimension {}", data.before[axis], axis);
      }
    }
  }

  // Where a value that kept its shape has that from.
  std::string origin_of(const std::string& value) const {
    const std::string* name = &value;
    for (int steps = 0; steps <= graph_.node_size(); ++steps) {
      if (now_.constant(*name) != nullptr) {
        return *name == value ? fmt::format(" of the constant '{}'", value)
                              : fmt::format(" from the constant '{}'", *name);
      }
      const pb::NodeProto* maker = now_.maker(*name);
      if (maker == nullptr) return fmt::format(" of '{}'", *name);
      const pb::NodeProto& node = *maker;
      const std::string* next = nullptr;
      for (const std::string& input : node.input()) {
        const Dims* old_dims = before_.dims(input);
        const Dims* new_dims = now_.dims(input);
        if (old_dims == nullptr || new_dims == nullptr) return fmt::format(" from {}", describe(node));
        if (*old_dims != *new_dims) return fmt::format(", whatever it reads, from {}", describe(node));
        // Of several inputs the largest is the one that gives the result its size.
        if (next == nullptr || new_dims->size() > now_.dims(*next)->size()) next = &input;
      }
      if (next == nullptr) return fmt::format(" from {}", describe(node));
      name = next;
    }
    return "";
  }

  const pb::GraphProto& graph_;
  Scope before_;
  Scope now_;
  std::unordered_map<std::string, std::vector<const pb::NodeProto*>> readers_;  // null for the graph's outputs
};

// Calls `visit` for a graph and all graphs inside, in both models, outer ones first.
template <typename Visit>
void for_each_graph(const pb::GraphProto& before, const InferredModel& old_model, const pb::GraphProto& now,
                    const InferredModel& new_model, const MovedTensors& tensors, const Graphs* outer,
                    const Visit& visit) {
  const Graphs graphs(before, old_model, now, new_model, tensors, outer);
  visit(graphs);
  for (int i = 0; i < now.node_size() && i < before.node_size(); ++i) {
    for (int k = 0; k < now.node(i).attribute_size() && k < before.node(i).attribute_size(); ++k) {
      const pb::AttributeProto& attribute = now.node(i).attribute(k);
      if (!attribute.has_g() || !before.node(i).attribute(k).has_g()) continue;
      for_each_graph(before.node(i).attribute(k).g(), old_model, attribute.g(), new_model, tensors, &graphs, visit);
    }
  }
}

}  // namespace

void check_baked_sizes(const InferredModel& as_exported, const InferredModel& now, const MovedTensors& tensors) {
  for_each_graph(as_exported.model.graph(), as_exported, now.model.graph(), now, tensors, nullptr,
                 [](const Graphs& graphs) { graphs.check(); });
}

void fail_for_sizes(const InferredModel& as_exported, const InferredModel& now, const MovedTensors& tensors,
                    const std::string& complaint) {
  std::string where;
  for_each_graph(as_exported.model.graph(), as_exported, now.model.graph(), now, tensors, nullptr,
                 [&](const Graphs& graphs) {
                   // A graph inside an unsound node says more than that.
                   const pb::NodeProto* node = where.empty() || graphs.is_nested() ? graphs.first_unsound() : nullptr;
                   if (node != nullptr) where = graphs.explain(*node);
                 });
  if (where.empty()) base::invalid(kReason, "the model cannot have these input shapes: {}; {}", complaint, kAdvice);
  base::invalid(kReason, "the model cannot have these input shapes: {} ({}); {}", where, complaint, kAdvice);
}

}  // namespace lanner::onnx
