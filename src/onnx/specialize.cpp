#include "onnx/specialize.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fail.h"

namespace lanner::onnx {

namespace {

constexpr std::string_view kReason = "option.shapes";

using Shape = pb::TensorShapeProto;

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

}  // namespace

void set_input_sizes(pb::ModelProto& model, const InputSizes& sizes) {
  InputResizer resizer(*model.mutable_graph());
  for (const DimensionSize& dimension : sizes.dimensions) resizer.set_dimension(dimension);
  for (const InputShape& shape : sizes.shapes) resizer.set_shape(shape);
  resizer.finish();
}

}  // namespace lanner::onnx
