// remove-no-ops: nodes whose output is always their input, bit for bit. (x + 0 is none: it turns -0 into 0. Nor is any
// reordering of sums.) Transposes and reshapes have rules of their own.
#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/known_elements.h"
#include "passes/known_sign.h"
#include "passes/match.h"
#include "passes/rules.h"
#include "passes/same_shape.h"

namespace lanner::passes {

namespace {

bool cast_keeps_type(const Graph& graph, const Node& node) {
  const ElementType from = type_of(graph, node.inputs[0]).element;
  return from != ElementType::kUndefined && static_cast<ElementType>(node.attributes.get_int("to", 0)) == from;
}

bool dropout_is_off(const Graph& graph, const Node& node) {
  if (node.outputs.size() > 1 && node.outputs[1] != kNoValue) return false;
  return !has_input(node, 2) || constant_scalar(graph, node.inputs[2]) == 0.0;
}

bool slice_takes_all(const Graph& graph, const Node& node) {
  if (same_static_shape(graph, node.inputs[0], node.outputs[0])) {
    // The same size in another order?
    if (!has_input(node, 4)) return true;
    const auto steps = constant_ints(graph, node.inputs[4]);
    return steps && std::ranges::all_of(*steps, [](std::int64_t step) { return step > 0; });
  }
  const auto starts = constant_ints(graph, input(node, 1));
  const auto ends = constant_ints(graph, input(node, 2));
  const auto steps = constant_ints(graph, input(node, 4));
  if (!starts || !ends || (has_input(node, 4) && !steps)) return false;
  if (steps && !std::ranges::all_of(*steps, [](std::int64_t step) { return step == 1; })) return false;
  return std::ranges::all_of(*starts, [](std::int64_t start) { return start == 0; }) &&
         std::ranges::all_of(*ends, [](std::int64_t end) { return end == std::numeric_limits<std::int64_t>::max(); });
}

bool all_elements(const Graph& graph, ValueId value, std::int64_t wanted) {
  const auto elements = constant_ints(graph, value);
  return elements && std::ranges::count(*elements, wanted) == static_cast<std::ptrdiff_t>(elements->size());
}

// Every dimension asked for is 1 or the input's own, and there are no more of them than the input has.
bool expand_keeps_shape(const Graph& graph, const Node& node) {
  if (same_static_shape(graph, node.inputs[0], node.outputs[0])) return true;
  const auto elements = known_elements(graph, input(node, 1));
  const int rank = rank_of(graph, node.inputs[0]);
  if (!elements || rank < 0 || elements->size() > static_cast<std::size_t>(rank)) return false;
  const int missing = rank - static_cast<int>(elements->size());
  for (std::size_t i = 0; i < elements->size(); ++i) {
    const Element& element = (*elements)[i];
    const int axis = missing + static_cast<int>(i);
    const tensor::Dim& dim = type_of(graph, node.inputs[0]).dims[static_cast<std::size_t>(axis)];
    const bool same = (dim.known() && element.number == dim.size) || element.is_dim_of(node.inputs[0], axis);
    if (element.number != 1 && !same) return false;
  }
  return true;
}

// Whether a number broadcast over `kept` gives a result of `kept`'s shape.
bool broadcasts_into(const Graph& graph, ValueId number, ValueId kept, ValueId result) {
  if (same_static_shape(graph, kept, result)) return true;
  const Tensor& tensor = graph.value(number).constant;
  return tensor.element_count() == 1 && tensor.rank() <= rank_of(graph, kept);
}

// A constant whose every element is `wanted`, the sign of zero included.
bool is_all(const Graph& graph, ValueId value, double wanted) {
  if (all_elements(graph, value, static_cast<std::int64_t>(wanted))) return true;
  const auto elements = constant_floats(graph, value);
  return elements && std::ranges::all_of(*elements, [&](double element) {
           return element == wanted && std::signbit(element) == std::signbit(wanted);
         });
}

// Every pixel is where it was: whole coordinates meet themselves, and no other pixel has a weight.
bool resize_keeps_all(const Graph& graph, const Node& node) {
  const std::string mode = node.attributes.get_string("mode", "nearest");
  const std::string coordinates = node.attributes.get_string("coordinate_transformation_mode", "half_pixel");
  return same_static_shape(graph, node.inputs[0], node.outputs[0]) && (mode == "nearest" || mode == "linear") &&
         (coordinates == "half_pixel" || coordinates == "asymmetric" || coordinates == "align_corners") &&
         (!has_input(node, 2) || is_all(graph, node.inputs[2], 1.0)) &&
         node.attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch" &&
         node.attributes.get_int("antialias", 0) == 0;
}

// The position of the input that an arithmetic node returns unchanged.
std::optional<std::size_t> neutral_arithmetic(const Graph& graph, const Node& node) {
  if (node.inputs.size() != 2) return std::nullopt;
  const bool is_float = constant_floats(graph, node.inputs[0]) || constant_floats(graph, node.inputs[1]);
  const auto neutral = [&](std::size_t position, double number) {
    return constant_of(graph, node.inputs[position]) != nullptr && is_all(graph, node.inputs[position], number) &&
           broadcasts_into(graph, node.inputs[position], node.inputs[1 - position], node.outputs[0]);
  };
  const bool commutes = node.op == "Mul" || node.op == "Add";
  const double number = node.op == "Mul" || node.op == "Div" ? 1.0 : node.op == "Add" && is_float ? -0.0 : 0.0;
  if (neutral(1, number)) return 0;
  if (commutes && neutral(0, number)) return 1;
  return std::nullopt;
}

std::optional<std::size_t> known_choice(const Graph& graph, const Node& node) {
  const std::optional<bool> condition = known_truth(graph, input(node, 0));
  if (!condition) return std::nullopt;
  const std::size_t chosen = *condition ? 1 : 2;
  if (!same_shape(graph, node.inputs[chosen], node.outputs[0])) return std::nullopt;
  return chosen;
}

// The position of the input that the node always returns, or nothing.
std::optional<std::size_t> returned_input(const Graph& graph, const Node& node) {
  const std::string_view op = node.op;
  const auto first_if = [](bool holds) { return holds ? std::optional<std::size_t>(0) : std::nullopt; };
  if (op == "Identity") return 0;
  if (op == "Cast") return first_if(cast_keeps_type(graph, node));
  if (op == "Dropout") return first_if(dropout_is_off(graph, node));
  if (op == "Slice") return first_if(slice_takes_all(graph, node));
  if (op == "Pad") return first_if(all_elements(graph, input(node, 1), 0));
  if (op == "Resize") return first_if(resize_keeps_all(graph, node));
  if (op == "Tile") return first_if(all_elements(graph, input(node, 1), 1));
  if (op == "Expand") return first_if(expand_keeps_shape(graph, node));
  if (op == "Clip") return first_if(!has_input(node, 1) && !has_input(node, 2));
  if (op == "Concat" || op == "Max" || op == "Mean" || op == "Min" || op == "Sum") {
    return first_if(node.inputs.size() == 1);
  }
  if (op == "Where") return known_choice(graph, node);
  return neutral_arithmetic(graph, node);
}

constexpr std::string_view kOps[] = {"Add",      "Cast", "Clip", "Concat", "Div",  "Dropout", "Expand",
                                     "Identity", "Max",  "Mean", "Min",    "Mul",  "Pad",     "Resize",
                                     "Slice",    "Sub",  "Sum",  "Tile",   "Where"};

Verdict remove(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || input(node, 0) == kNoValue || node.outputs[0] == kNoValue) return no_match();
  const std::optional<std::size_t> kept = returned_input(graph, node);
  if (!kept) return no_match();
  edit.replace(node.outputs[0], node.inputs[*kept]);
  return rewrite();
}

}  // namespace

constinit const Rule kRemoveNoOps{"remove-no-ops", "Removes nodes whose output is always their input, bit for bit.",
                                  kOps, remove};

}  // namespace lanner::passes
