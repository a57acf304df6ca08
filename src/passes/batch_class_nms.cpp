// batch-class-nms: N NonMaxSuppression of one class each, over the same boxes, each by a score column of its own and
// with or without a filter by score before it, become one ClassNonMaxSuppression. Detectors whose post-processing loops
// over classes export it so: the TensorFlow Object Detection API, 90 times.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"
#include "passes/siblings.h"

namespace lanner::passes {

namespace {

bool accepts(const Graph& graph, const Rows& rows) {
  if (rows.kind != Rows::Kind::kKept || rows.boxes.whole == kNoValue) return false;
  if (type_of(graph, rows.scores.base).element != ElementType::kFloat32) return false;
  const Rows* filter = rows.parent.get();
  return filter == nullptr ||
         (filter->kind == Rows::Kind::kAbove && filter->parent == nullptr && same_view(filter->scores, rows.scores));
}

std::string difference(const Graph& graph, const Rows& a, const Rows& b) {
  if (!same_but_offset(a.scores, b.scores)) return "the scores of siblings are not columns of one value";
  if (!same_view(a.boxes, b.boxes)) return "siblings have boxes of their own";
  if (a.centered != b.centered) return "siblings read their boxes in different ways";
  if ((a.parent == nullptr) != (b.parent == nullptr)) return "not all siblings filter by score";
  if (a.parent != nullptr && !same_scalar(graph, a.parent->threshold, b.parent->threshold)) {
    return "siblings filter by different scores";
  }
  if (!same_scalar(graph, a.score_threshold, b.score_threshold)) return "siblings have different score thresholds";
  if (!same_scalar(graph, a.iou_threshold, b.iou_threshold)) return "siblings have different overlap thresholds";
  if (!same_number(a.limit, b.limit)) return "siblings keep different numbers of boxes";
  return {};
}

// A value of [A,4] behind any number of ones.
bool is_box_list(const ValueType& type) {
  if (!type.ranked || type.dims.size() < 2 || type.dims.back().size != 4) return false;
  return std::all_of(type.dims.begin(), type.dims.end() - 2, [](const tensor::Dim& dim) { return dim.size == 1; });
}

SiblingOutputs add(const Graph& graph, Edit& edit, std::span<const RowsRef> siblings) {
  const Rows& rows = *siblings[0];
  ValueId boxes = rows.boxes.whole;
  if (!is_box_list(type_of(graph, boxes))) {
    boxes = edit.node(stand_in(make_node("Reshape", {boxes, edit.constant(int_tensor({-1, 4}))}), "Reshape", 1),
                      list_type(ElementType::kFloat32, {rows.all_count, 4}));
  }
  tensor::Attributes attributes;
  set_columns(attributes, siblings);
  if (rows.centered) attributes.set("center_point_box", std::int64_t{1});
  Node node = make_node("ClassNonMaxSuppression",
                        {boxes, rows.scores.base, rows.parent != nullptr ? rows.parent->threshold : kNoValue,
                         limit_input(edit, rows.limit), rows.iou_threshold, rows.score_threshold},
                        std::move(attributes), "lanner");
  const auto made = edit.nodes(stand_in(std::move(node), "NonMaxSuppression", siblings.size()),
                               {{"", list_type(ElementType::kInt64, {View::kOpen})},
                                {"", list_type(ElementType::kInt64, {View::kOpen})},
                                {"", list_type(ElementType::kFloat32, {View::kOpen})},
                                {"", list_type(ElementType::kFloat32, {View::kOpen, 4})}});
  return {made[0], made[1], made[2], made[3]};
}

constexpr SiblingFamily kFamily{"NonMaxSuppression", accepts, difference, add};

void batch(Graph& graph, GraphRewriter& rewriter) {
  batch_siblings(graph, rewriter, kFamily);
}

}  // namespace

constinit const Rule kBatchClassNms{
    .name = "batch-class-nms",
    .doc = "Makes the NonMaxSuppression of each class, over shared boxes, one operator.",
    .ops = {},
    .rewrite_graph = batch};

}  // namespace lanner::passes
