// batch-class-topk: N times the best few rows of one class, each by a score column of its own and with or without a
// filter by score before it, become one ClassTopK. Torchvision exports the post-processing of SSD and SSDlite so.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"
#include "passes/siblings.h"

namespace lanner::passes {

namespace {

bool accepts(const Graph& graph, const Rows& rows) {
  if (rows.kind != Rows::Kind::kTop || type_of(graph, rows.scores.base).element != ElementType::kFloat32) return false;
  const Rows* filter = rows.parent.get();
  return filter == nullptr ||
         (filter->kind == Rows::Kind::kAbove && filter->parent == nullptr && same_view(filter->scores, rows.scores));
}

std::string difference(const Graph& graph, const Rows& a, const Rows& b) {
  if (!same_but_offset(a.scores, b.scores)) return "the scores of siblings are not columns of one value";
  if ((a.parent == nullptr) != (b.parent == nullptr)) return "not all siblings filter by score";
  if (a.parent != nullptr && !same_scalar(graph, a.parent->threshold, b.parent->threshold)) {
    return "siblings filter by different scores";
  }
  if (!same_number(a.limit, b.limit)) return "siblings take different numbers of rows";
  return {};
}

SiblingOutputs add(const Graph& graph, Edit& edit, std::span<const RowsRef> siblings) {
  const Rows& rows = *siblings[0];
  tensor::Attributes attributes;
  set_columns(attributes, siblings);
  attributes.set("row_count", rows.all_count);
  if (rows.all_count == View::kOpen) {
    const auto& dims = type_of(graph, rows.scores.base).dims;
    const auto open = std::ranges::find_if(dims, [](const tensor::Dim& dim) { return !dim.known(); });
    attributes.set("row_axis", static_cast<std::int64_t>(open - dims.begin()));
  }
  Node node = make_node(
      "ClassTopK",
      {rows.scores.base, rows.parent != nullptr ? rows.parent->threshold : kNoValue, limit_input(edit, rows.limit)},
      std::move(attributes), "lanner");
  const auto made = edit.nodes(stand_in(std::move(node), "TopK", siblings.size()),
                               {{"", list_type(ElementType::kInt64, {View::kOpen})},
                                {"", list_type(ElementType::kInt64, {View::kOpen})},
                                {"", list_type(ElementType::kFloat32, {View::kOpen})}});
  return {made[0], made[1], made[2]};
}

void batch(Graph& graph, GraphRewriter& rewriter) {
  batch_siblings(graph, rewriter, kClassTopKFamily);
}

}  // namespace

constinit const SiblingFamily kClassTopKFamily{"TopK", accepts, difference, add};

constinit const Rule kBatchClassTopK{.name = "batch-class-topk",
                                     .doc = "Makes the TopK of each class, after a filter by score, one operator.",
                                     .ops = {},
                                     .rewrite_graph = batch};

}  // namespace lanner::passes
