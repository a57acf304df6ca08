// fuse-deformable-attention: Deformable DETR's attention, as PyTorch's code without a kernel of its own spells it,
// becomes lanner.DeformableAttention: a GridSample of each map, cut from a matrix and turned, the samples beside each
// other, times weights, summed up. RT-DETR, DINO and Mask2Former have it, too.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "passes/match.h"
#include "passes/origins.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"ReduceSum"};

// The samples of one map.
struct Level {
  ValueId points;
  ValueId base;  // the matrix
  std::int64_t columns, column, first_row, height, width;
};

// The value before nodes that only change its shape; they are added to `nodes`.
ValueId before_reshapes(const Graph& graph, ValueId value, std::vector<NodeId>& nodes) {
  for (const Node* node = graph.producer(value); node != nullptr && changes_only_shape(*node);
       node = graph.producer(value)) {
    nodes.push_back(graph.value(value).producer);
    value = node->inputs[0];
  }
  return value;
}

bool samples_linearly(const Node& node) {
  const std::string mode = node.attributes.get_string("mode", "linear");
  return (mode == "linear" || mode == "bilinear") && node.attributes.get_int("align_corners", 0) == 0 &&
         node.attributes.get_string("padding_mode", "zeros") == "zeros";
}

// Where an image [heads, size, height, width] lies in a matrix with a row for each pixel and columns for each head.
std::optional<Level> level_of(const Graph& graph, ValueId image, ValueId points) {
  std::optional<Level> found;
  for (const Origin& origin : origins_of(graph, image)) {
    const auto& n = origin.view.dims;
    const auto& step = origin.view.strides;
    if (n.size() != 4 || n[3] < 2) continue;
    const std::int64_t columns = step[3];
    const auto has_step = [&](std::size_t axis, std::int64_t wanted) { return n[axis] == 1 || step[axis] == wanted; };
    if (!has_step(0, n[1]) || !has_step(1, 1) || !has_step(2, n[3] * columns) || columns < n[0] * n[1]) continue;
    const std::int64_t column = origin.view.offset % columns;
    const std::int64_t elements = type_of(graph, origin.view.base).static_shape()->element_count();
    if (column + n[0] * n[1] > columns || elements % columns != 0) continue;
    found = Level{points, origin.view.base, columns, column, origin.view.offset / columns, n[2], n[3]};
  }
  return found;
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const auto result = node.outputs[0] != kNoValue ? type_of(graph, node.outputs[0]).static_shape() : std::nullopt;
  const Node* product = graph.producer(node.inputs[0]);
  const auto axes = constant_ints(graph, input(node, 1));
  if (!node.domain.empty() || !result || result->rank() != 3 || product == nullptr || !is_op(*product, "Mul") ||
      !axes || axes->size() != 1 || known_axis((*axes)[0], 4) != 3) {
    return no_match();
  }
  const std::int64_t heads = (*result)[0];
  const std::int64_t size = (*result)[1];
  const std::int64_t queries = (*result)[2];
  for (const std::size_t side : {0, 1}) {
    std::vector<NodeId> nodes{graph.value(node.inputs[0]).producer};
    const auto all = type_of(graph, product->inputs[side]).static_shape();
    const auto weights = type_of(graph, product->inputs[1 - side]).static_shape();
    if (!all || !weights || all->rank() != 4 || *weights != Shape({heads, 1, queries, (*all)[3]})) continue;
    const ValueId joined = before_reshapes(graph, product->inputs[side], nodes);
    const Node* concat = graph.producer(joined);
    std::vector<ValueId> parts{joined};
    if (concat != nullptr && is_op(*concat, "Concat")) {
      // Beside each other in the last dimension, or in one of their own before it.
      const int rank = rank_of(graph, joined);
      if ((rank != 4 && rank != 5) || known_axis(concat->attributes.get_int("axis", 0), rank) != 3) continue;
      nodes.push_back(graph.value(joined).producer);
      parts = concat->inputs;
    }
    std::vector<Level> levels;
    std::int64_t points = 0;
    for (const ValueId part : parts) {
      const ValueId samples = before_reshapes(graph, part, nodes);
      const Node* sampler = graph.producer(samples);
      const auto sampled = type_of(graph, samples).static_shape();
      const auto shape = type_of(graph, part).static_shape();
      if (sampler == nullptr || !is_op(*sampler, "GridSample") || !sampled || sampled->rank() != 4 || !shape) break;
      const Shape stacked{heads, size, queries, 1, (*sampled)[3]};
      if (*sampled != Shape({heads, size, queries, (*sampled)[3]}) || (*shape != *sampled && *shape != stacked)) break;
      if (type_of(graph, samples).element != ElementType::kFloat32 ||
          type_of(graph, sampler->inputs[1]).element != ElementType::kFloat32) {
        return near_miss("it is not of float32");
      }
      if (!samples_linearly(*sampler)) return near_miss("it does not interpolate linearly with zeros around");
      const auto level = level_of(graph, sampler->inputs[0], sampler->inputs[1]);
      if (!level) return near_miss("a map is not known to be columns of a matrix");
      nodes.push_back(graph.value(samples).producer);
      levels.push_back(*level);
      points += (*sampled)[3];
    }
    if (levels.size() != parts.size() || points != (*all)[3]) continue;
    const bool one_matrix = std::ranges::all_of(levels, [&](const Level& level) {
      return level.base == levels[0].base && level.columns == levels[0].columns && level.column == levels[0].column;
    });
    if (!one_matrix) return near_miss("the maps are columns of several matrices");
    for (const NodeId id : nodes) {
      if (!edit.consume(id)) return near_miss("{}", edit.blocked());
    }
    const std::int64_t elements = type_of(graph, levels[0].base).static_shape()->element_count();
    Node attention = make_node(
        "DeformableAttention",
        {reshaped_to(edit, levels[0].base, ElementType::kFloat32, {elements / levels[0].columns, levels[0].columns}),
         product->inputs[1 - side]},
        {}, "lanner");
    std::vector<std::int64_t> heights, widths, first_rows;
    for (const Level& level : levels) {
      attention.inputs.push_back(level.points);
      heights.push_back(level.height);
      widths.push_back(level.width);
      first_rows.push_back(level.first_row);
    }
    attention.attributes.set("heads", heads);
    attention.attributes.set("size", size);
    attention.attributes.set("column", levels[0].column);
    attention.attributes.set("heights", heights);
    attention.attributes.set("widths", widths);
    attention.attributes.set("first_rows", first_rows);
    const ValueId rows =
        edit.node(std::move(attention), ValueType::tensor(ElementType::kFloat32, {1, queries, heads * size}));
    // Turned, for what follows to turn it back.
    const ValueId turned = edit.node(make_transpose(rows, {0, 2, 1}),
                                     ValueType::tensor(ElementType::kFloat32, {1, heads * size, queries}));
    edit.replace(node.outputs[0], reshaped_to(edit, turned, ElementType::kFloat32, *result));
    return rewrite();
  }
  return no_match();
}

}  // namespace

constinit const Rule kFuseDeformableAttention{
    "fuse-deformable-attention", "Makes one operator of the samples that deformable attention sums up.", kOps, fuse};

}  // namespace lanner::passes
