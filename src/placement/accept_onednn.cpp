// What the oneDNN backend takes; backends/onednn/operators.cpp is the other side of this.
#include <algorithm>
#include <cmath>
#include <string_view>

#include "placement/accepts.h"

namespace lanner::placement {

namespace {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::ValueType;

using Accept = Verdict (*)(const Graph& graph, const Node& node);

struct OperatorRow {
  std::string_view op;
  Accept accept;
};

const ValueType* input_type(const Graph& graph, const Node& node, std::size_t index) {
  if (index >= node.inputs.size() || node.inputs[index] == kNoValue) return nullptr;
  return &graph.value(node.inputs[index]).type;
}

const Tensor* constant_input(const Graph& graph, const Node& node, std::size_t index) {
  if (input_type(graph, node, index) == nullptr) return nullptr;
  const ir::Value& value = graph.value(node.inputs[index]);
  return value.is_constant() ? &value.constant : nullptr;
}

// A tensor that oneDNN can hold: float32, of known rank, not known to be empty.
Verdict accept_data(const ValueType* type, std::string_view what) {
  if (type == nullptr) return Verdict::no("{} is absent", what);
  if (!type->is_tensor() || type->element == ElementType::kUndefined) {
    return Verdict::no("the element type of {} is not known", what);
  }
  if (type->element != ElementType::kFloat32) {
    return Verdict::no("{} is {}, not float32", what, element_type_name(type->element));
  }
  if (!type->ranked) return Verdict::no("the rank of {} is not known", what);
  if (type->dims.size() > Shape::kMaxRank) return Verdict::no("{} has rank {}", what, type->dims.size());
  if (std::ranges::any_of(type->dims, [](const ir::Dim& dim) { return dim.size == 0; })) {
    return Verdict::no("{} has no elements", what);
  }
  return Verdict::yes();
}

Verdict accept_inputs(const Graph& graph, const Node& node, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    Verdict verdict = accept_data(input_type(graph, node, i), fmt::format("input {}", i));
    if (!verdict.accepted) return verdict;
  }
  return Verdict::yes();
}

// An image or the like: batch, channels and 1 to 3 spatial dimensions.
Verdict accept_image(const Graph& graph, const Node& node) {
  Verdict verdict = accept_inputs(graph, node, 0, 1);
  if (!verdict.accepted) return verdict;
  const std::size_t rank = input_type(graph, node, 0)->dims.size();
  if (rank < 3 || rank > 5) return Verdict::no("the input has rank {}, not 3 to 5", rank);
  return verdict;
}

bool is_present(const Graph& graph, const Node& node, std::size_t index) {
  return input_type(graph, node, index) != nullptr;
}

Verdict accept_conv(const Graph& graph, const Node& node) {
  Verdict verdict = accept_image(graph, node);
  if (!verdict.accepted) return verdict;
  const Tensor* weights = constant_input(graph, node, 1);
  if (weights == nullptr) return Verdict::no("the weights are not constant");
  verdict = accept_inputs(graph, node, 1, 2);
  for (std::size_t i = 2; verdict.accepted && i < node.inputs.size(); ++i) {
    if (is_present(graph, node, i)) verdict = accept_inputs(graph, node, i, i + 1);
  }
  if (!verdict.accepted) return verdict;
  const ValueType& x = *input_type(graph, node, 0);
  if (weights->rank() != static_cast<int>(x.dims.size())) return Verdict::no("the weights have another rank");
  return Verdict::yes();
}

// Whether the last window of each axis ends where the padded image does, so that rounding up adds none.
bool windows_fit(const Graph& graph, const Node& node) {
  const ValueType& x = *input_type(graph, node, 0);
  const auto kernel = node.attributes.get_ints("kernel_shape");
  const auto strides = node.attributes.get_ints("strides");
  const auto pads = node.attributes.get_ints("pads");
  if (x.dims.size() != kernel.size() + 2) return false;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    const std::int64_t stride = i < strides.size() ? strides[i] : 1;
    const std::int64_t padding = pads.size() == 2 * kernel.size() ? pads[i] + pads[i + kernel.size()] : 0;
    const ir::Dim& dim = x.dims[i + 2];
    if (!dim.known() || stride < 1 || (dim.size + padding - kernel[i]) % stride != 0) return false;
  }
  return true;
}

Verdict accept_pool(const Graph& graph, const Node& node) {
  Verdict verdict = accept_image(graph, node);
  if (!verdict.accepted) return verdict;
  if (node.outputs.size() > 1 && node.outputs[1] != kNoValue) return Verdict::no("the indices are asked for");
  const auto dilations = node.attributes.get_ints("dilations");
  if (std::ranges::any_of(dilations, [](std::int64_t d) { return d != 1; }))
    return Verdict::no("the window is dilated");
  const auto kernel = node.attributes.get_ints("kernel_shape");
  const auto pads = node.attributes.get_ints("pads");
  for (std::size_t i = 0; i < pads.size() && !kernel.empty(); ++i) {
    if (pads[i] >= kernel[i % kernel.size()]) return Verdict::no("a window could lie in the padding only");
  }
  if (node.attributes.get_int("ceil_mode", 0) != 0 && node.attributes.get_int("count_include_pad", 0) != 0 &&
      !windows_fit(graph, node)) {
    return Verdict::no("ceil_mode with count_include_pad divides the last windows differently");
  }
  return Verdict::yes();
}

Verdict accept_matmul(const Graph& graph, const Node& node) {
  Verdict verdict = accept_inputs(graph, node, 0, 2);
  if (!verdict.accepted) return verdict;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::size_t rank = input_type(graph, node, i)->dims.size();
    if (rank < 2) return Verdict::no("input {} has rank {}, not 2 or more", i, rank);
  }
  return verdict;
}

Verdict accept_gemm(const Graph& graph, const Node& node) {
  Verdict verdict = accept_inputs(graph, node, 0, 2);
  if (!verdict.accepted) return verdict;
  if (node.attributes.get_float("alpha", 1.0F) != 1.0F && constant_input(graph, node, 1) == nullptr) {
    return Verdict::no("alpha is not 1 and input 1 is not constant");
  }
  if (!is_present(graph, node, 2) || node.attributes.get_float("beta", 1.0F) == 0.0F) return verdict;
  const Tensor* bias = constant_input(graph, node, 2);
  if (bias == nullptr) return Verdict::no("the bias is not constant");
  verdict = accept_inputs(graph, node, 2, 3);
  if (!verdict.accepted) return verdict;
  const ir::Dim columns = input_type(graph, node, 1)->dims.at(node.attributes.get_int("transB", 0) != 0 ? 0 : 1);
  const int rank = bias->rank();
  if (rank < 1 || rank > 2 || bias->element_count() != bias->shape()[rank - 1] ||
      (columns.known() && columns.size != bias->element_count())) {
    return Verdict::no("the bias is not one value per column");
  }
  return verdict;
}

Verdict accept_fused_matmul(const Graph& graph, const Node& node) {
  Verdict verdict = accept_matmul(graph, node);
  for (std::size_t i = 2; verdict.accepted && i < node.inputs.size(); ++i) {
    if (is_present(graph, node, i)) verdict = accept_inputs(graph, node, i, i + 1);
  }
  if (!verdict.accepted) return verdict;
  if (constant_input(graph, node, 1) == nullptr) return Verdict::no("input 1 is not constant");
  if (is_present(graph, node, 2) && constant_input(graph, node, 2) == nullptr) {
    return Verdict::no("the bias is not constant");
  }
  return verdict;
}

Verdict accept_unary(const Graph& graph, const Node& node) {
  return accept_inputs(graph, node, 0, 1);
}

Verdict accept_clip(const Graph& graph, const Node& node) {
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    if (!is_present(graph, node, i)) continue;
    const Tensor* limit = constant_input(graph, node, i);
    if (limit == nullptr || limit->element_count() != 1) return Verdict::no("a limit is not constant");
  }
  return accept_unary(graph, node);
}

Verdict accept_binary(const Graph& graph, const Node& node) {
  if (node.inputs.size() != 2) return Verdict::no("it has {} inputs, not 2", node.inputs.size());
  Verdict verdict = accept_inputs(graph, node, 0, 2);
  if (!verdict.accepted) return verdict;
  const auto out = graph.value(node.outputs[0]).type.static_shape();
  const auto a = input_type(graph, node, 0)->static_shape();
  const auto b = input_type(graph, node, 1)->static_shape();
  if (!out || !a || !b) return verdict;
  const bool commutes = node.op != "Sub" && node.op != "Div";
  if (*a != *out && !(commutes && *b == *out)) return Verdict::no("oneDNN broadcasts the second input only");
  return verdict;
}

Verdict accept_concat(const Graph& graph, const Node& node) {
  return accept_inputs(graph, node, 0, node.inputs.size());
}

// Reshape and Transpose cost nothing by themselves: they say how what was computed is to leave.
Verdict accept_reshape(const Graph& graph, const Node& node) {
  if (constant_input(graph, node, 1) == nullptr) return Verdict::no("the shape is not constant");
  const ValueType& out = graph.value(node.outputs[0]).type;
  if (out.ranked && (out.dims.empty() || out.dims.size() > Shape::kMaxRank)) {
    return Verdict::no("the result has rank {}", out.dims.size());
  }
  return accept_inputs(graph, node, 0, 1);
}

// Of an image's channels, at seams that may be those of blocks.
Verdict accept_split(const Graph& graph, const Node& node) {
  Verdict verdict = accept_image(graph, node);
  if (!verdict.accepted) return verdict;
  const std::vector<ir::Dim>& dims = input_type(graph, node, 0)->dims;
  const std::int64_t axis = node.attributes.get_int("axis", 0);
  if (axis != 1 && axis + static_cast<std::int64_t>(dims.size()) != 1) return Verdict::no("it does not split channels");
  if (!dims[1].known()) return Verdict::no("the number of channels is not known");
  if (is_present(graph, node, 1) && constant_input(graph, node, 1) == nullptr) {
    return Verdict::no("the sizes are not constant");
  }
  for (const ir::ValueId output : node.outputs) {
    if (output == kNoValue) continue;
    const ValueType& type = graph.value(output).type;
    if (!type.ranked || type.dims.size() != dims.size() || !type.dims[1].known() || type.dims[1].size % 8 != 0) {
      return Verdict::no("a part's channels are no multiple of 8");
    }
  }
  return verdict;
}

// Whether an output of `size`, or made with `scale`, is at a scale that resampling computes exactly.
bool is_exact_scale(const ir::Dim& dim, const Tensor* sizes, const Tensor* scales, std::size_t index, bool whole) {
  if (sizes != nullptr) {
    if (!whole) return true;
    return dim.known() && dim.size > 0 && sizes->data<std::int64_t>()[index] % dim.size == 0;
  }
  const double scale = scales->data<float>()[index];
  if (scale == std::floor(scale)) return scale >= 1;
  return !whole && dim.known() &&
         static_cast<double>(dim.size) * scale == std::floor(static_cast<double>(dim.size) * scale);
}

// What oneDNN's resampling computes as ONNX's Resize does, as far as the attributes say. Nearest is so at whole scales.
Verdict accept_resampling(const tensor::Attributes& attributes) {
  if (attributes.get_int("antialias", 0) != 0) return Verdict::no("it smooths (antialias)");
  if (attributes.get_int("exclude_outside", 0) != 0) return Verdict::no("it excludes the outside");
  if (attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch") {
    return Verdict::no("it keeps the aspect ratio");
  }
  const std::string mode = attributes.get_string("mode", "nearest");
  const std::string coordinates = attributes.get_string("coordinate_transformation_mode", "half_pixel");
  const std::string rounding = attributes.get_string("nearest_mode", "round_prefer_floor");
  const bool nearest = mode == "nearest";
  const bool same_as_onednn = nearest ? (coordinates == "asymmetric" && rounding == "floor") ||
                                            (coordinates == "half_pixel" && rounding.starts_with("round"))
                                      : mode == "linear" && coordinates == "half_pixel";
  if (same_as_onednn) return Verdict::yes();
  return Verdict::no("oneDNN resamples otherwise than {} {}{}", mode, coordinates, nearest ? " " + rounding : "");
}

// The sizes are those of another tensor: they are seen when they come, and at other scales than whole ones nearest runs
// on its own kernel inside the subgraph.
Verdict accept_resize_like(const Graph& graph, const Node& node) {
  Verdict verdict = accept_image(graph, node);
  if (verdict.accepted) verdict = accept_inputs(graph, node, 1, 2);
  if (verdict.accepted) verdict = accept_resampling(node.attributes);
  return verdict;
}

Verdict accept_resize(const Graph& graph, const Node& node) {
  Verdict verdict = accept_image(graph, node);
  if (verdict.accepted) verdict = accept_resampling(node.attributes);
  if (!verdict.accepted) return verdict;
  const tensor::Attributes& attributes = node.attributes;
  const bool whole = attributes.get_string("mode", "nearest") == "nearest";
  const std::vector<ir::Dim>& dims = input_type(graph, node, 0)->dims;
  std::vector<std::int64_t> axes = attributes.get_ints("axes");
  if (axes.empty()) {
    for (std::size_t i = 0; i < dims.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  }
  const Tensor* sizes = constant_input(graph, node, 3);
  const Tensor* scales = sizes != nullptr ? nullptr : constant_input(graph, node, 2);
  const bool has_sizes = is_present(graph, node, 3);
  const Tensor* given = has_sizes ? sizes : scales;
  if (given == nullptr) return Verdict::no("the {} are not constant", has_sizes ? "sizes" : "scales");
  if (static_cast<std::size_t>(given->element_count()) != axes.size() ||
      given->element_type() != (has_sizes ? ElementType::kInt64 : ElementType::kFloat32)) {
    return Verdict::no("the sizes or scales do not fit the axes");
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t axis = axes[i] < 0 ? axes[i] + static_cast<std::int64_t>(dims.size()) : axes[i];
    if (axis < 0 || axis >= static_cast<std::int64_t>(dims.size())) return Verdict::no("an axis is out of range");
    const ir::Dim& dim = dims[static_cast<std::size_t>(axis)];
    if (axis < 2) {
      const bool unchanged = has_sizes ? dim.size == sizes->data<std::int64_t>()[i] : scales->data<float>()[i] == 1.0F;
      if (!unchanged) return Verdict::no("it resizes the batch or the channels");
    } else if (!is_exact_scale(dim, sizes, scales, i, whole)) {
      if (whole) return Verdict::no("oneDNN's nearest is ONNX's at whole scales only");
      return Verdict::no("the scale is not the quotient of the sizes");
    }
  }
  return Verdict::yes();
}

constexpr OperatorRow kOperators[] = {
    {"Conv", accept_conv},
    {"FusedConv", accept_conv},
    {"ConvTranspose", accept_conv},
    {"MaxPool", accept_pool},
    {"AveragePool", accept_pool},
    {"GlobalMaxPool", accept_image},
    {"GlobalAveragePool", accept_image},
    {"MatMul", accept_matmul},
    {"Gemm", accept_gemm},
    {"FusedMatMul", accept_fused_matmul},
    {"Add", accept_binary},
    {"Sub", accept_binary},
    {"Mul", accept_binary},
    {"Div", accept_binary},
    {"Max", accept_binary},
    {"Min", accept_binary},
    {"Concat", accept_concat},
    {"Resize", accept_resize},
    {"ResizeLike", accept_resize_like},
    {"Softmax", accept_unary},
    {"Relu", accept_unary},
    {"Split", accept_split},
    {"LeakyRelu", accept_unary},
    {"Clip", accept_clip},
    {"Elu", accept_unary},
    {"Gelu", accept_unary},
    {"HardSigmoid", accept_unary},
    {"HardSwish", accept_unary},
    {"Sigmoid", accept_unary},
    {"Swish", accept_unary},
    {"Tanh", accept_unary},
    {"Exp", accept_unary},
    {"Abs", accept_unary},
    {"Sqrt", accept_unary},
    {"Mish", accept_unary},
    {"Reshape", accept_reshape},
    {"Transpose", accept_unary},
};

}  // namespace

Verdict accept_onednn(const Graph& graph, const Node& node) {
  const auto* row = std::ranges::find(kOperators, node.op, &OperatorRow::op);
  const bool known_domain = node.domain.empty() || node.domain == "lanner";
  if (row == std::end(kOperators) || !known_domain) return Verdict::no("oneDNN does not take {}", node.op);
  return row->accept(graph, node);
}

}  // namespace lanner::placement
