#include "onnx/specialize.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fail.h"

namespace lanner::onnx {

namespace {

constexpr std::string_view kReason = "option.shapes";

using Shape = pb::TensorShapeProto;
using Constants = std::unordered_map<std::string, const pb::TensorProto*>;

// "'a', 'b'", or "none".
template <typename Names>
std::string listed(const Names& names) {
  std::string text;
  for (const std::string& name : names) text += fmt::format("{}'{}'", text.empty() ? "" : ", ", name);
  return text.empty() ? "none" : text;
}

class InputResizer {
 public:
  explicit InputResizer(pb::GraphProto& graph) {
    std::unordered_map<std::string, bool> initialized;
    for (const pb::TensorProto& tensor : graph.initializer()) initialized[tensor.name()] = true;
    for (pb::ValueInfoProto& input : *graph.mutable_input()) {
      if (!input.type().has_tensor_type() || initialized.contains(input.name())) continue;
      inputs_.push_back(&input);
      if (!input.type().tensor_type().has_shape()) continue;
      for (const auto& dim : input.type().tensor_type().shape().dim()) {
        if (dim.has_dim_param()) sizes_[dim.dim_param()];
      }
    }
  }

  void set_dimension(const DimensionSize& dimension) {
    const auto entry = sizes_.find(dimension.name);
    if (entry == sizes_.end()) {
      std::vector<std::string> names;
      for (const auto& [name, size] : sizes_) names.push_back(name);
      base::invalid(kReason, "no input has a dimension named '{}'; there are: {}", dimension.name, listed(names));
    }
    if (dimension.size < 0) base::invalid(kReason, "dimension '{}' cannot be {}", dimension.name, dimension.size);
    fix(entry->first, entry->second, dimension.size);
  }

  void set_shape(const InputShape& wanted) {
    const auto found = std::ranges::find(inputs_, wanted.input, [](const auto* input) { return input->name(); });
    if (found == inputs_.end()) {
      std::vector<std::string> names;
      for (const auto* input : inputs_) names.push_back(input->name());
      base::invalid(kReason, "the model has no input '{}' that is a tensor; there are: {}", wanted.input,
                    listed(names));
    }
    pb::TypeProto_Tensor& type = *(*found)->mutable_type()->mutable_tensor_type();
    if (type.has_shape() && std::cmp_not_equal(type.shape().dim_size(), wanted.dims.size())) {
      base::invalid(kReason, "input '{}' has {} dimensions, not {}", wanted.input, type.shape().dim_size(),
                    wanted.dims.size());
    }
    if (!type.has_shape()) {
      for (std::size_t i = 0; i < wanted.dims.size(); ++i) type.mutable_shape()->add_dim();
    }
    for (std::size_t i = 0; i < wanted.dims.size(); ++i) {
      const std::int64_t size = wanted.dims[i];
      if (size < kOpen) base::invalid(kReason, "dimension {} of input '{}' cannot be {}", i, wanted.input, size);
      Shape::Dimension& dim = *type.mutable_shape()->mutable_dim(static_cast<int>(i));
      if (size == kOpen) {
        if (dim.has_dim_value()) dim.clear_dim_value();
      } else if (dim.has_dim_param()) {
        fix(dim.dim_param(), sizes_[dim.dim_param()], size);
      } else {
        dim.set_dim_value(size);
      }
    }
  }

  // What has a name has the same size everywhere.
  void finish() const {
    for (pb::ValueInfoProto* input : inputs_) {
      if (!input->type().tensor_type().has_shape()) continue;
      for (auto& dim : *input->mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim()) {
        if (!dim.has_dim_param()) continue;
        if (const std::optional<std::int64_t> size = sizes_.at(dim.dim_param())) dim.set_dim_value(*size);
      }
    }
  }

 private:
  static constexpr std::int64_t kOpen = -1;

  static void fix(const std::string& name, std::optional<std::int64_t>& known, std::int64_t size) {
    if (known && *known != size) base::invalid(kReason, "dimension '{}' cannot be both {} and {}", name, *known, size);
    known = size;
  }

  std::vector<pb::ValueInfoProto*> inputs_;
  std::map<std::string, std::optional<std::int64_t>> sizes_;  // of symbolic dimensions
};

// The dimensions of every value of a graph, -1 where one is not known.
std::unordered_map<std::string, std::vector<std::int64_t>> known_dims(const pb::GraphProto& graph) {
  std::unordered_map<std::string, std::vector<std::int64_t>> result;
  for (const auto* list : {&graph.input(), &graph.value_info(), &graph.output()}) {
    for (const pb::ValueInfoProto& info : *list) {
      if (!info.type().has_tensor_type() || !info.type().tensor_type().has_shape()) continue;
      std::vector<std::int64_t>& dims = result[info.name()];
      for (const auto& dim : info.type().tensor_type().shape().dim()) {
        dims.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
      }
    }
  }
  return result;
}

// Whether a Reshape of `input` to `wanted`, which has no size left open, is about another number of elements.
bool counts_differ(std::span<const std::int64_t> input, std::span<const std::int64_t> wanted) {
  double before = 1;
  double after = 1;
  for (const std::int64_t dim : input) before *= dim < 0 ? 0 : static_cast<double>(dim);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] < 0 || (wanted[i] == 0 && i >= input.size())) return false;
    after *= static_cast<double>(wanted[i] == 0 ? input[i] : wanted[i]);
  }
  return before > 0 && after > 0 && before != after;
}

Constants constants_of(const pb::GraphProto& graph) {
  Constants result;
  for (const pb::TensorProto& tensor : graph.initializer()) result[tensor.name()] = &tensor;
  for (const pb::NodeProto& node : graph.node()) {
    if (node.op_type() != "Constant" || !node.domain().empty()) continue;
    for (const pb::AttributeProto& attribute : node.attribute()) {
      if (attribute.name() == "value" && node.output_size() == 1) result[node.output(0)] = &attribute.t();
    }
  }
  return result;
}

// The input that says what size the output of a node has; -1 where there is none.
int sizes_input(const pb::NodeProto& node) {
  if (!node.domain().empty()) return -1;
  if (node.op_type() == "Reshape") return 1;
  if (node.op_type() != "Resize") return -1;
  const bool all_axes = std::ranges::none_of(node.attribute(), [](const auto& a) { return a.name() == "axes"; });
  return all_axes ? 3 : -1;
}

}  // namespace

void set_input_sizes(pb::ModelProto& model, const InputSizes& sizes) {
  InputResizer resizer(*model.mutable_graph());
  for (const DimensionSize& dimension : sizes.dimensions) resizer.set_dimension(dimension);
  for (const InputShape& shape : sizes.shapes) resizer.set_shape(shape);
  resizer.finish();
}

void check_sizes(const pb::ModelProto& as_exported, const pb::ModelProto& model, const MovedTensors& tensors) {
  const auto before = known_dims(as_exported.graph());
  const auto now = known_dims(model.graph());
  const Constants constants = constants_of(model.graph());
  for (const pb::NodeProto& node : model.graph().node()) {
    const int index = sizes_input(node);
    if (index < 0 || node.input_size() <= index) continue;
    const auto constant = constants.find(node.input(index));
    const auto old_dims = before.find(node.input(0));
    const auto new_dims = now.find(node.input(0));
    if (constant == constants.end() || old_dims == before.end() || new_dims == now.end()) continue;
    const Tensor wanted = tensors.find(*constant->second);
    if (wanted.element_type() != ElementType::kInt64 || wanted.element_count() == 0) continue;
    const std::span sizes(wanted.data<std::int64_t>(), static_cast<std::size_t>(wanted.element_count()));
    if (old_dims->second == new_dims->second || old_dims->second.empty() || new_dims->second.empty()) continue;
    const std::int64_t old_batch = old_dims->second[0];
    const std::int64_t new_batch = new_dims->second[0];
    const bool keeps_batch = old_batch == sizes[0] && new_batch >= 0 && new_batch != old_batch;
    if (!keeps_batch && !(node.op_type() == "Reshape" && counts_differ(new_dims->second, sizes))) continue;
    base::invalid(
        kReason,
        "the model cannot have these input shapes: {} has the sizes {} baked in, but what it reads is {} now, "
        "and was {}; export the model for these shapes, or with dynamic ones",
        describe(node), fmt::join(sizes, "x"), fmt::join(new_dims->second, "x"), fmt::join(old_dims->second, "x"));
  }
}

}  // namespace lanner::onnx
