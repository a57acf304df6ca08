// group-nms: one NonMaxSuppression over boxes that were shifted apart, box i by group i (its class, level or image)
// times more than the largest coordinate, becomes GroupNonMaxSuppression, which looks at pairs of the same group only.
// It reads the same shifted boxes and checks on them that groups are apart, so nothing here depends on the shift's
// formula; without a shift it would merely gain nothing. Torchvision's batched_nms and Detectron2's post-processing are
// exported so.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"NonMaxSuppression"};

// The value that nodes which only change axes take in.
ValueId under_axes(const Graph& graph, ValueId value) {
  for (const Node* node = graph.producer(value);
       node != nullptr && (is_op(*node, "Unsqueeze") || is_op(*node, "Squeeze") || is_op(*node, "Reshape") ||
                           is_op(*node, "Flatten") || is_op(*node, "Identity"));
       node = graph.producer(value)) {
    value = node->inputs[0];
  }
  return value;
}

bool is_one_number(const Graph& graph, ValueId value) {
  const std::optional<Shape> shape = type_of(graph, value).static_shape();
  return shape && shape->element_count() == 1;
}

// One number for each box, in a list of them or behind or before axes of size 1.
bool is_list(const ValueType& type) {
  return type.is_tensor() && type.ranked && !type.dims.empty() &&
         std::ranges::count_if(type.dims, [](const tensor::Dim& dim) { return dim.size != 1; }) <= 1;
}

// The groups where `shifts` are groups times one number.
ValueId groups_of(const Graph& graph, ValueId shifts) {
  const Node* product = graph.producer(under_axes(graph, shifts));
  if (product == nullptr || !is_op(*product, "Mul")) return kNoValue;
  for (const std::size_t side : {0, 1}) {
    ValueId groups = under_axes(graph, product->inputs[side]);
    if (!is_one_number(graph, product->inputs[1 - side]) || is_one_number(graph, groups)) continue;
    const Node* cast = graph.producer(groups);
    if (cast != nullptr && is_op(*cast, "Cast")) {
      const ElementType from = type_of(graph, cast->inputs[0]).element;
      // A float32 holds the numbers that count as groups exactly.
      if (from == ElementType::kInt64 || from == ElementType::kInt32) groups = cast->inputs[0];
    }
    const ElementType element = type_of(graph, groups).element;
    const bool fits =
        element == ElementType::kInt64 || element == ElementType::kInt32 || element == ElementType::kFloat32;
    if (fits && is_list(type_of(graph, groups))) return groups;
  }
  return kNoValue;
}

Verdict group(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.outputs[0] == kNoValue) return no_match();
  const Node* shift = graph.producer(under_axes(graph, input(node, 0)));
  if (shift == nullptr || !is_op(*shift, "Add")) return no_match();
  for (const std::size_t side : {0, 1}) {
    const ValueId boxes = shift->inputs[side];
    const ValueId shifts = shift->inputs[1 - side];
    const ValueId groups = groups_of(graph, shifts);
    if (groups == kNoValue) continue;
    // One image and one class, and one shift for the four coordinates of a box.
    const ValueType& shifted_type = type_of(graph, node.inputs[0]);
    const ValueType& score_type = type_of(graph, node.inputs[1]);
    const ValueType& shift_type = type_of(graph, shifts);
    const auto is_one = [](const ValueType& type, std::size_t axis) {
      return type.ranked && type.dims.size() == 3 && type.dims[axis].size == 1;
    };
    if (!is_one(shifted_type, 0) || !is_one(score_type, 0) || !is_one(score_type, 1)) {
      return near_miss("boxes and scores are not known to be of one image and one class");
    }
    if (!shift_type.ranked || shift_type.dims.size() < 2 || shift_type.dims.back().size != 1 || !is_list(shift_type)) {
      return near_miss("the boxes are not known to be shifted by one number each");
    }
    if (node.attributes.get_int("center_point_box", 0) != 0) return near_miss("the boxes are given by their centres");
    const ValueType& box_type = type_of(graph, boxes);
    if (!box_type.ranked || box_type.dims.empty() || box_type.dims.back().size != 4) {
      return near_miss("what is shifted is not known to be a list of boxes");
    }
    Node grouped = make_node("GroupNonMaxSuppression",
                             {node.inputs[0], node.inputs[1], groups, input(node, 2), input(node, 3), input(node, 4)},
                             {}, "lanner");
    edit.replace(node.outputs[0], edit.node(std::move(grouped), type_of(graph, node.outputs[0])));
    return rewrite();
  }
  return no_match();
}

}  // namespace

constinit const Rule kGroupNms{
    "group-nms", "Makes NonMaxSuppression over boxes shifted apart by group look at pairs of one group.", kOps, group};

}  // namespace lanner::passes
