// scatter-rows: ScatterElements whose indices are one number per row, expanded to the size of the updates, is a
// ScatterND of whole rows; the expanded indices (twice the bytes of float32 updates) are never made. PyTorch exports
// `result[rows] = updates` so, as in torchvision's RoI pooling over several feature maps.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"
#include "passes/same_shape.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"ScatterElements"};

Verdict scatter_rows(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const Node* expand = graph.producer(input(node, 1));
  if (!node.domain.empty() || expand == nullptr || !is_op(*expand, "Expand")) return no_match();
  const ValueId rows = expand->inputs[0];
  const int rank = rank_of(graph, node.inputs[0]);
  if (rank < 2 || rank_of(graph, rows) != rank) return no_match();
  const std::int64_t axis = node.attributes.get_int("axis", 0);
  if (axis != 0 && axis != -rank) return no_match();
  const auto& row_dims = type_of(graph, rows).dims;
  if (!std::all_of(row_dims.begin() + 1, row_dims.end(), [](const tensor::Dim& dim) { return dim.size == 1; })) {
    return no_match();
  }
  const auto& data = type_of(graph, node.inputs[0]);
  const auto& updates = type_of(graph, node.inputs[2]);
  if (!updates.ranked ||
      !std::equal(data.dims.begin() + 1, data.dims.end(), updates.dims.begin() + 1, updates.dims.end(), same_size)) {
    return near_miss("the updates are not known to be whole rows of the data");
  }
  // The indices have as many rows as the updates, also where one index was expanded to several.
  tensor::Attributes first_dim;
  first_dim.set("start", std::int64_t{0});
  first_dim.set("end", std::int64_t{1});
  const ValueId count = edit.node(make_node("Shape", {node.inputs[2]}, std::move(first_dim)));
  tensor::Attributes along;
  along.set("axis", std::int64_t{0});
  const ValueId shape = edit.node(make_node("Concat", {count, edit.constant(int_tensor({1}))}, std::move(along)));
  const ValueId column = edit.node(make_node("Reshape", {rows, edit.constant(int_tensor({-1, 1}))}));
  const ValueId indices = edit.node(make_node("Expand", {column, shape}));
  Node scatter = make_node("ScatterND", {node.inputs[0], indices, node.inputs[2]});
  if (node.attributes.has("reduction"))
    scatter.attributes.set("reduction", node.attributes.get_string("reduction", ""));
  edit.replace(node.outputs[0], edit.node(std::move(scatter), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kScatterRows{
    "scatter-rows", "Makes ScatterElements with one index per row, expanded, a ScatterND of rows.", kOps, scatter_rows};

}  // namespace lanner::passes
