// fuse-quantized: what quantization tools spell out, numbers of dequantized elements whose result is quantized again,
// becomes the operator on the elements: a Conv a QLinearConv, a MatMul a QLinearMatMul, an Add a QuantizedAdd.
//
// Sums of products are exact in the operators on elements, where those of float32 are rounded, so an element of a
// result may be the next one where a number lies between two.
#include <algorithm>
#include <array>
#include <cmath>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"QuantizeLinear"};

bool is_byte(ElementType type) {
  return type == ElementType::kInt8 || type == ElementType::kUint8;
}

// Elements with a scale and a zero point, which may be absent.
struct Quantized {
  ValueId elements = kNoValue;
  ValueId scale = kNoValue;
  ValueId zero_point = kNoValue;
  ElementType type = ElementType::kUndefined;
  const Node* node = nullptr;
};

// Both are constants of float32 and, if present, of bytes.
bool has_constant_grid(const Graph& graph, const Quantized& quantized) {
  const Tensor* const scale = constant_of(graph, quantized.scale);
  return scale != nullptr && scale->element_type() == ElementType::kFloat32 &&
         (quantized.zero_point == kNoValue || constant_of(graph, quantized.zero_point) != nullptr);
}

// Bytes that a DequantizeLinear to float32 makes numbers of.
std::optional<Quantized> dequantized(const Graph& graph, ValueId value) {
  const Node* const node = graph.producer(value);
  if (node == nullptr || !is_op(*node, "DequantizeLinear")) return std::nullopt;
  Quantized result{node->inputs[0], node->inputs[1], input(*node, 2), type_of(graph, node->inputs[0]).element, node};
  if (!is_byte(result.type) || !has_constant_grid(graph, result)) return std::nullopt;
  if (node->attributes.get_int("block_size", 0) != 0) return std::nullopt;
  const auto type = static_cast<ElementType>(node->attributes.get_int("output_dtype", 0));
  if (type != ElementType::kUndefined && type != ElementType::kFloat32) return std::nullopt;
  return result;
}

bool is_single(const Graph& graph, const Quantized& quantized) {
  return constant_of(graph, quantized.scale)->element_count() == 1;
}

// One scale for all, or one for each index of `axis`.
bool has_scales_of(const Graph& graph, const Quantized& quantized, int axis) {
  if (is_single(graph, quantized)) return true;
  const int rank = rank_of(graph, quantized.elements);
  const auto given = known_axis(quantized.node->attributes.get_int("axis", 1), rank);
  return given && *given == axis;
}

// The zero point, or zeros of the scale's shape.
ValueId zero_point_of(const Graph& graph, Edit& edit, const Quantized& quantized) {
  if (quantized.zero_point != kNoValue) return quantized.zero_point;
  Tensor zeros = Tensor::allocate(quantized.type, constant_of(graph, quantized.scale)->shape());
  std::fill_n(static_cast<std::uint8_t*>(zeros.raw_data()), zeros.element_count(), std::uint8_t{0});
  return edit.constant(std::move(zeros));
}

double scale_at(const Tensor& scale, std::int64_t index) {
  return static_cast<double>(scale.data<float>()[scale.element_count() == 1 ? 0 : index]);
}

// A bias as whole numbers of input scale * weight scale, which a DequantizeLinear of int32 says it is.
bool is_bias_of(const Graph& graph, const Node& node, const Quantized& x, const Quantized& w, std::int64_t channels) {
  const Tensor* const elements = constant_of(graph, node.inputs[0]);
  const Tensor* const scale = constant_of(graph, node.inputs[1]);
  if (elements == nullptr || elements->element_type() != ElementType::kInt32 || scale == nullptr ||
      scale->element_type() != ElementType::kFloat32 || elements->shape() != Shape{channels} ||
      (scale->element_count() != 1 && scale->shape() != Shape{channels})) {
    return false;
  }
  if (has_input(node, 2)) {
    const auto zeros = constant_ints(graph, node.inputs[2]);
    if (!zeros || std::ranges::any_of(*zeros, [](std::int64_t zero) { return zero != 0; })) return false;
  }
  const double x_scale = scale_at(*constant_of(graph, x.scale), 0);
  const Tensor& w_scale = *constant_of(graph, w.scale);
  if (w_scale.element_count() != 1 && w_scale.element_count() != channels) return false;
  for (std::int64_t i = 0; i < channels; ++i) {
    const double wanted = x_scale * scale_at(w_scale, i);
    if (std::abs(scale_at(*scale, i) - wanted) > 1e-6 * wanted) return false;
  }
  return true;
}

// What a QuantizeLinear writes: bytes with one scale, divided in float32.
std::optional<Quantized> output_of(const Graph& graph, const Node& node) {
  if (!is_op(node, "QuantizeLinear")) return std::nullopt;
  Quantized output{node.outputs[0], node.inputs[1], input(node, 2), ElementType::kUint8, &node};
  if (!has_constant_grid(graph, output) || !is_single(graph, output)) return std::nullopt;
  if (output.zero_point != kNoValue) {
    output.type = type_of(graph, output.zero_point).element;
  } else if (node.attributes.has("output_dtype")) {
    output.type = static_cast<ElementType>(node.attributes.get_int("output_dtype", 0));
  }
  const auto precision = static_cast<ElementType>(node.attributes.get_int("precision", 0));
  if (!is_byte(output.type) || (precision != ElementType::kUndefined && precision != ElementType::kFloat32)) {
    return std::nullopt;
  }
  return output;
}

// Whether nothing below 0 can be written, so that a Relu changes nothing.
bool starts_at_zero(const Graph& graph, const Quantized& to) {
  if (to.zero_point == kNoValue) return to.type == ElementType::kUint8;
  const Tensor& zero = *constant_of(graph, to.zero_point);
  return *static_cast<const std::uint8_t*>(zero.raw_data()) == (to.type == ElementType::kInt8 ? 0x80 : 0);
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const std::optional<Quantized> output = output_of(graph, node);
  if (!output) return no_match();
  // Quantizing may do what a Relu does.
  ValueId result = node.inputs[0];
  const Node* operation = graph.producer(result);
  const bool rectifies = operation != nullptr && is_op(*operation, "Relu");
  if (rectifies) {
    result = operation->inputs[0];
    operation = graph.producer(result);
  }
  if (operation == nullptr || operation->inputs.size() < 2) return no_match();
  const std::optional<Quantized> a = dequantized(graph, operation->inputs[0]);
  const std::optional<Quantized> b = dequantized(graph, operation->inputs[1]);
  if (!a || !b) return no_match();

  Node fused;
  ValueId bias = kNoValue;
  if (is_op(*operation, "Conv")) {
    const ValueType& weights = type_of(graph, b->elements);
    if (!weights.ranked || weights.dims.empty() || !weights.dims[0].known()) return no_match();
    if (!has_scales_of(graph, *b, 0)) return near_miss("the weights' scales are not those of output channels");
    if (has_input(*operation, 2)) {
      const Node* const given = graph.producer(operation->inputs[2]);
      if (given == nullptr || !is_op(*given, "DequantizeLinear") ||
          !is_bias_of(graph, *given, *a, *b, weights.dims[0].size)) {
        return near_miss("the bias is not int32 of the products' scale");
      }
      bias = given->inputs[0];
    }
    fused = copy_node(*operation);
    fused.op = "QLinearConv";
    fused.stands_for.clear();
  } else if (is_op(*operation, "MatMul")) {
    if (rank_of(graph, a->elements) < 2 || rank_of(graph, b->elements) != 2) {
      return near_miss("it is no product with one matrix");
    }
    if (!has_scales_of(graph, *b, 1)) return near_miss("the matrix's scales are not those of columns");
    fused = make_node("QLinearMatMul", {});
  } else if (is_op(*operation, "Add")) {
    if (!is_single(graph, *b)) return near_miss("an operand has several scales");
    fused = make_node("QuantizedAdd", {}, {}, "lanner");
  } else {
    return no_match();
  }
  if (!is_single(graph, *a)) return near_miss("an operand has several scales");
  if (rectifies) {
    if (!starts_at_zero(graph, *output)) return near_miss("the Relu bounds what is quantized");
    if (!edit.consume(graph.value(node.inputs[0]).producer)) return near_miss("{}", edit.blocked());
  }
  if (!edit.consume(graph.value(result).producer)) return near_miss("{}", edit.blocked());
  fused.inputs.clear();
  for (const Quantized* operand : {&*a, &*b}) {
    for (const ValueId value : {operand->elements, operand->scale, zero_point_of(graph, edit, *operand)}) {
      fused.inputs.push_back(value);
    }
  }
  fused.inputs.push_back(output->scale);
  fused.inputs.push_back(zero_point_of(graph, edit, *output));
  if (bias != kNoValue) fused.inputs.push_back(bias);
  edit.replace(node.outputs[0], edit.node(std::move(fused), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kFuseQuantized{
    "fuse-quantized", "Makes a product or sum of dequantized elements, quantized again, one operator on elements.",
    kOps, fuse};

}  // namespace lanner::passes
