#include "passes/selection.h"

#include <cstring>

#include "passes/selection_reader.h"

namespace lanner::passes {

bool same_scalar(const Graph& graph, ValueId a, ValueId b) {
  if (a == b) return true;
  const Tensor* x = constant_of(graph, a);
  const Tensor* y = constant_of(graph, b);
  return x != nullptr && y != nullptr && x->element_type() == y->element_type() && x->element_count() == 1 &&
         y->element_count() == 1 && x->element_type() != ElementType::kString &&
         std::memcmp(x->raw_data(), y->raw_data(), x->byte_count()) == 0;
}

bool same_number(const Number& a, const Number& b) {
  return a.kind == b.kind && a.constant == b.constant && a.value == b.value && a.rows == b.rows;
}

bool same_rows(const Graph& graph, const RowsRef& a, const RowsRef& b) {
  if (a == b) return true;
  if (a == nullptr || b == nullptr || a->kind != b->kind || !same_rows(graph, a->parent, b->parent) ||
      !same_view(a->scores, b->scores)) {
    return false;
  }
  if (a->kind == Rows::Kind::kAbove) return same_scalar(graph, a->threshold, b->threshold);
  if (!same_number(a->limit, b->limit)) return false;
  return a->kind == Rows::Kind::kTop || (same_view(a->boxes, b->boxes) && a->centered == b->centered &&
                                         same_scalar(graph, a->iou_threshold, b->iou_threshold) &&
                                         same_scalar(graph, a->score_threshold, b->score_threshold));
}

void Reader::read(NodeId id) {
  const Node& node = graph_.node(id);
  if (!node.domain.empty() || node.outputs.empty()) return;
  if (node.op == "Split") return split(node);
  if (node.op == "TopK") return top(id);
  std::optional<Meaning> meaning = read(id, node);
  store(node.outputs[0], std::move(meaning));
}

void Reader::store(ValueId value, std::optional<Meaning> meaning) {
  if (!meaning || value == kNoValue) return;
  if (meaning->kind == Kind::kData && meaning->rows == nullptr && meaning->layout.whole == kNoValue) {
    meaning->layout.whole = value;
  }
  s_.meanings_.insert_or_assign(value, std::move(*meaning));
}

std::optional<Meaning> Reader::read(NodeId id, const Node& node) {
  const std::string& op = node.op;
  if (op == "Identity") return known(input(node, 0));
  if (op == "Cast") return cast(node);
  if (op == "Squeeze") return squeeze(node);
  if (op == "Unsqueeze") return unsqueeze(node);
  if (op == "Reshape") return reshape(node);
  if (op == "Flatten") return flatten(node);
  if (op == "Transpose") return transpose(node);
  if (op == "Slice") return slice(node);
  if (op == "Gather") return gather(node);
  if (op == "GatherND") return gather_nd(node);
  if (op == "Compress") return compress(id, node);
  if (op == "Greater") return above(input(node, 0), input(node, 1));
  if (op == "Less") return above(input(node, 1), input(node, 0));
  if (op == "NonZero") return non_zero(id, node);
  if (op == "NonMaxSuppression") return suppress(id, node);
  if (op == "Shape") return shape(node);
  if (op == "Concat") return concat(node);
  if (op == "ConstantOfShape") return fill_shape(node);
  if (op == "Expand") return expand(node);
  if (op == "ReduceMin") return reduce_min(node);
  if (op == "Min" || op == "Sub") {
    if (std::optional<Meaning> number = op == "Min" ? min(node) : rest(node)) return number;
  }
  return fill_arithmetic(node);
}

std::optional<Meaning> Reader::known(ValueId value) {
  if (value == kNoValue) return std::nullopt;
  const auto found = s_.meanings_.find(value);
  if (found != s_.meanings_.end()) return found->second;
  Meaning meaning;
  const std::optional<View> view = view_of(graph_, value);
  if (!view) return std::nullopt;
  meaning.layout = *view;
  return meaning;
}

Selections::Selections(const Graph& graph) : graph_(graph) {
  Reader reader(*this);
  for (const NodeId id : graph.topological_order()) reader.read(id);
}

const Meaning* Selections::of(ValueId value) const {
  const auto found = meanings_.find(value);
  return found == meanings_.end() ? nullptr : &found->second;
}

}  // namespace lanner::passes
