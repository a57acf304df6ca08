// transpose-first: a Transpose of a Reshape that takes dimensions apart, and keeps together what it took apart, is a
// Reshape of a Transpose: fewer dimensions are moved, and the Reshape may merge with the next. Detection heads turn
// [anchors * classes, height, width] into [height, width, anchors, classes] so; the Transpose then is one to
// channels-last, which a backend that keeps blocks of channels does on the way out.
#include <algorithm>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Transpose"};

// For each dimension of `from`, how many neighbouring ones of `to` it becomes; empty where it does not become any.
std::vector<std::size_t> parts_of(const Shape& from, const Shape& to) {
  std::vector<std::size_t> counts;
  int next = 0;
  for (const std::int64_t size : from) {
    std::size_t count = 0;
    std::int64_t product = 1;
    do {
      if (next == to.rank()) return {};
      product *= to[next++];
      ++count;
    } while (product < size);
    if (product != size) return {};
    counts.push_back(count);
  }
  if (!counts.empty()) counts.back() += static_cast<std::size_t>(to.rank() - next);  // trailing ones
  return counts;
}

Verdict swap(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.outputs[0] == kNoValue) return no_match();
  const Node* reshape = graph.producer(node.inputs[0]);
  if (reshape == nullptr || !is_op(*reshape, "Reshape")) return no_match();
  const auto from = type_of(graph, reshape->inputs[0]).static_shape();
  const auto between = type_of(graph, node.inputs[0]).static_shape();
  const auto to = type_of(graph, node.outputs[0]).static_shape();
  if (!from || !between || !to || from->element_count() == 0 || from->rank() >= between->rank()) return no_match();
  const std::vector<std::size_t> counts = parts_of(*from, *between);
  if (counts.empty()) return near_miss("the Reshape does more than take dimensions apart");

  // Which dimension each part belongs to, and the first of its parts.
  std::vector<std::int64_t> owner;
  std::vector<std::int64_t> first;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    first.push_back(static_cast<std::int64_t>(owner.size()));
    owner.insert(owner.end(), counts[i], static_cast<std::int64_t>(i));
  }
  const std::vector<std::int64_t> permutation = permutation_of(graph, node);
  std::vector<std::int64_t> order;
  for (std::size_t i = 0; i < permutation.size();) {
    const std::int64_t dimension = owner.at(static_cast<std::size_t>(permutation[i]));
    for (std::size_t k = 0; k < counts[static_cast<std::size_t>(dimension)]; ++k, ++i) {
      if (i == permutation.size() ||
          permutation[i] != first[static_cast<std::size_t>(dimension)] + static_cast<std::int64_t>(k)) {
        return near_miss("parts of one dimension come apart");
      }
    }
    order.push_back(dimension);
  }

  ValueType turned = type_of(graph, reshape->inputs[0]);
  for (std::size_t i = 0; i < order.size(); ++i) {
    turned.dims[i] = type_of(graph, reshape->inputs[0]).dims[static_cast<std::size_t>(order[i])];
  }
  const ValueId transpose = edit.node(make_transpose(reshape->inputs[0], order), std::move(turned));
  Node last = make_node("Reshape", {transpose, edit.constant(int_tensor({to->begin(), to->end()}))});
  last.stands_for = {"Reshape"};
  edit.replace(node.outputs[0], edit.node(std::move(last), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kTransposeFirst{
    "transpose-first", "Transposes before a Reshape takes dimensions apart that stay together.", kOps, swap};

}  // namespace lanner::passes
