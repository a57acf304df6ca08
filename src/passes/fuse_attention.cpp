// fuse-attention: softmax(scale * Q * K^T + mask) * V, as exporters spell it, becomes ONNX's Attention, whose kernel
// never holds the scores of all queries. Where queries, keys and values are columns of matrices that were cut into
// heads and turned, Attention reads the matrices instead, and nothing is turned.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "passes/evaluate.h"
#include "passes/match.h"
#include "passes/origins.h"
#include "passes/rules.h"
#include "passes/same_shape.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"MatMul"};

// Nodes between the products: every Add may be read two ways.
constexpr std::size_t kMostSteps = 8;
// The sum of constant masks, which is made here.
constexpr std::size_t kMostMaskBytes = std::size_t{1} << 28;

// What a Softmax is of.
struct Scores {
  const Node* product = nullptr;  // Q * K^T
  double scale = 1;
  std::vector<ValueId> masks;  // are added afterwards; of at most the scores' rank, apart from leading dimensions of 1
  std::vector<NodeId> nodes;   // users before producers, the product last
};

bool broadcasts_over(const ValueType& mask, const ValueType& scores) {
  if (!mask.is_tensor() || mask.element != scores.element || !mask.ranked || mask.dims.empty()) return false;
  // Attention takes keys beyond the mask as masked, so that dimension has to be there.
  if (!same_size(mask.dims.back(), scores.dims.back())) return false;
  for (std::size_t i = 1; i < mask.dims.size(); ++i) {
    const tensor::Dim& dim = mask.dims[mask.dims.size() - 1 - i];
    const bool repeated = dim.size == 1;
    if (!repeated && (i >= scores.dims.size() || !same_size(dim, scores.dims[scores.dims.size() - 1 - i])))
      return false;
  }
  return true;
}

// Reads `value`, of the scores' type, from the Softmax up to the product.
std::optional<Scores> read_scores(const Graph& graph, ValueId value, Scores scores) {
  const Node* node = graph.producer(value);
  if (node == nullptr || !node->domain.empty() || scores.nodes.size() >= kMostSteps) return std::nullopt;
  scores.nodes.push_back(graph.value(value).producer);
  if (node->op == "MatMul") {
    scores.product = node;
    return scores;
  }
  if (const auto inner = scaled(graph, value)) {
    scores.scale *= inner->factor;
    return read_scores(graph, inner->from, std::move(scores));
  }
  if (scores.scale != 1) return std::nullopt;  // a mask would be scaled, too
  const ValueType& type = type_of(graph, value);
  if (node->op == "Add") {
    for (const std::size_t side : {0, 1}) {
      if (!broadcasts_over(type_of(graph, node->inputs[1 - side]), type)) continue;
      Scores inner = scores;
      inner.masks.push_back(node->inputs[1 - side]);
      if (auto read = read_scores(graph, node->inputs[side], std::move(inner))) return read;
    }
    return std::nullopt;
  }
  // A mask that is added behind an axis of 1, as for the windows of one image.
  if (node->op != "Reshape") return std::nullopt;
  const Node* add = graph.producer(node->inputs[0]);
  if (add == nullptr || !is_op(*add, "Add")) return std::nullopt;
  scores.nodes.push_back(graph.value(node->inputs[0]).producer);
  for (const std::size_t side : {0, 1}) {
    const Node* before = graph.producer(add->inputs[side]);
    if (before == nullptr || !is_op(*before, "Reshape") || !same_static_shape(graph, before->inputs[0], value))
      continue;
    const auto outer = type_of(graph, node->inputs[0]).static_shape();
    const auto inner = type_of(graph, value).static_shape();
    if (!outer || outer->rank() != inner->rank() + 1 || (*outer)[0] != 1 ||
        !std::equal(inner->dims().begin(), inner->dims().end(), outer->dims().begin() + 1) ||
        !broadcasts_over(type_of(graph, add->inputs[1 - side]), type)) {
      continue;
    }
    scores.nodes.push_back(graph.value(add->inputs[side]).producer);
    scores.masks.push_back(add->inputs[1 - side]);
    return read_scores(graph, before->inputs[0], std::move(scores));
  }
  return std::nullopt;
}

// Vectors of queries, keys or values: of image b, head h and row i those from element offset + i * row + h * size on of
// the b-th part of a value.
struct Heads {
  ValueId value;
  double scale = 1;
  std::int64_t batch, heads, length, size, row, offset;
};

// The order of axes in which the last two of `rank` are swapped.
std::vector<std::int64_t> turning(std::size_t rank) {
  std::vector<std::int64_t> perm{0, 1, 2, 3};
  perm.resize(rank);
  std::swap(perm[rank - 1], perm[rank - 2]);
  return perm;
}

// Whether a batch of matrices is taken as images, not as heads; of matrices of rank 4 both are there.
enum class Batch : std::uint8_t { kImages, kHeads };

std::optional<Heads> heads_of(const View& view, Batch batch) {
  const View four = view.rank() == 4 ? view : with_axis(view, batch == Batch::kImages ? 1 : 0);
  const auto& n = four.dims;
  const auto& step = four.strides;
  const auto has_step = [&](std::size_t axis, std::int64_t wanted) { return n[axis] == 1 || step[axis] == wanted; };
  // Rows are as long as they are apart; of a single one that says nothing.
  const std::int64_t row = n[2] > 1 ? step[2] : (n[0] > 1 ? step[0] : n[1] * n[3]);
  if (!has_step(3, 1) || !has_step(1, n[3]) || !has_step(0, n[2] * row)) return std::nullopt;
  if (four.offset + n[1] * n[3] > row) return std::nullopt;
  return Heads{four.base, 1, n[0], n[1], n[2], n[3], row, four.offset};
}

// The matrices whose rows `value` shows, cut into heads and turned; with `swapped` its last two axes are swapped.
std::optional<Heads> read_heads(const Graph& graph, ValueId value, bool swapped, Batch batch, bool may_scale) {
  std::optional<Heads> found;
  for (const Origin& origin : origins_of(graph, value, may_scale)) {
    std::optional<View> view = origin.view;
    if (swapped) view = transposed(std::move(*view), turning(origin.view.dims.size()));
    const auto heads = view ? heads_of(*view, batch) : std::nullopt;
    const std::int64_t elements = type_of(graph, origin.view.base).static_shape()->element_count();
    if (!heads || heads->batch * heads->length * heads->row != elements) continue;
    found = heads;
    found->scale = origin.scale;
  }
  return found;
}

// As a matrix of rows of all heads, for each image.
ValueId rows_of(Edit& edit, const Heads& heads) {
  const ElementType element = edit.type(heads.value).element;
  const ValueId whole = reshaped_to(edit, heads.value, element, {heads.batch, heads.length, heads.row});
  const std::int64_t columns = heads.heads * heads.size;
  if (columns == heads.row) return whole;
  return edit.node(
      make_node("Slice", {whole, edit.constant(int_tensor({heads.offset})),
                          edit.constant(int_tensor({heads.offset + columns})), edit.constant(int_tensor({2}))}),
      ValueType::tensor(element, {heads.batch, heads.length, columns}));
}

// The shape of a mask of scores of that rank as Attention takes it, with an axis for the heads.
Shape mask_shape(const ValueType& mask, int rank, Batch batch) {
  std::vector<std::int64_t> dims;
  for (const tensor::Dim& dim : mask.dims) dims.push_back(dim.size);
  while (static_cast<int>(dims.size()) > rank) dims.erase(dims.begin());  // of size 1
  if (rank == 3 && dims.size() == 3) dims.insert(dims.begin() + (batch == Batch::kImages ? 1 : 0), 1);
  return Shape(dims);
}

Tensor sum_of(const Value& a, const Value& b) {
  Node add = make_node("Add", {kNoValue, kNoValue});
  add.outputs = {ValueId{0}};
  const Value* const inputs[] = {&a, &b};
  return run_node(add, inputs, kMostMaskBytes)[0].tensor();
}

// The sum of the masks; kNoValue without masks.
ValueId add_masks(const Graph& graph, Edit& edit, const Scores& scores, Batch batch) {
  const int rank = rank_of(graph, scores.product->outputs[0]);
  Tensor known;  // the sum of the constant ones
  ValueId sum = kNoValue;
  for (const ValueId mask : scores.masks) {
    const ValueType& type = type_of(graph, mask);
    if (const Tensor* constant = constant_of(graph, mask)) {
      if (std::ranges::all_of(constant->values<float>(), [](float value) { return value == 0; })) continue;
      const Value one = constant->reshaped(mask_shape(type, rank, batch));
      known = known.defined() ? sum_of(known, one) : one.tensor();
      continue;
    }
    const ValueId shaped =
        type.static_shape() ? reshaped_to(edit, mask, type.element, mask_shape(type, rank, batch)) : mask;
    sum = sum == kNoValue ? shaped : edit.node(make_node("Add", {sum, shaped}));
  }
  if (!known.defined()) return sum;
  const ValueId constant = edit.constant(std::move(known));
  return sum == kNoValue ? constant : edit.node(make_node("Add", {sum, constant}));
}

// Whether no query can lose all its keys.
bool leaves_keys(const Graph& graph, const std::vector<ValueId>& masks) {
  return std::ranges::all_of(masks, [&](ValueId mask) {
    const Tensor* constant = constant_of(graph, mask);
    return constant != nullptr &&
           std::ranges::all_of(constant->values<float>(), [](float value) { return std::isfinite(value); });
  });
}

// Attention with the masks, but without attributes.
Node make_attention(const Graph& graph, Edit& edit, const Scores& scores, std::vector<ValueId> operands, Batch batch) {
  const ValueId mask = add_masks(graph, edit, scores, batch);
  if (mask != kNoValue) operands.push_back(mask);
  return make_node("Attention", std::move(operands));
}

// Attention on matrices of rows of all heads; kNoValue where its operands are none.
ValueId on_rows(const Graph& graph, Edit& edit, const Node& node, const Scores& scores, Batch batch) {
  const auto q = read_heads(graph, scores.product->inputs[0], false, batch, true);
  const auto k = read_heads(graph, scores.product->inputs[1], true, batch, true);
  const auto v = read_heads(graph, node.inputs[1], false, batch, false);
  if (!q || !k || !v || q->batch != k->batch || q->batch != v->batch || q->heads != k->heads || q->heads != v->heads ||
      q->size != k->size || k->length != v->length) {
    return kNoValue;
  }
  const ElementType element = type_of(graph, node.outputs[0]).element;
  Node attention =
      make_attention(graph, edit, scores, {rows_of(edit, *q), rows_of(edit, *k), rows_of(edit, *v)}, batch);
  attention.attributes.set("q_num_heads", q->heads);
  attention.attributes.set("kv_num_heads", q->heads);
  attention.attributes.set("scale", static_cast<float>(scores.scale * q->scale * k->scale));
  const ValueId rows =
      edit.node(std::move(attention), ValueType::tensor(element, {q->batch, q->length, q->heads * v->size}));
  // Turned back, for what follows to turn it again.
  const Shape shape = *type_of(graph, node.outputs[0]).static_shape();
  if (q->heads == 1) return reshaped_to(edit, rows, element, shape);
  if (shape.rank() == 3) {
    const ValueId cut = reshaped_to(edit, rows, element, {q->length, q->heads, v->size});
    return edit.node(make_transpose(cut, {1, 0, 2}), ValueType::tensor(element, shape));
  }
  const ValueId cut = reshaped_to(edit, rows, element, {q->batch, q->length, q->heads, v->size});
  return edit.node(make_transpose(cut, {0, 2, 1, 3}), ValueType::tensor(element, shape));
}

// The same where numbers of images and rows are open: matrices [images, rows, heads * size] that were cut and turned.
struct OpenHeads {
  ValueId rows;
  double scale;
  std::int64_t heads, size;
};
std::optional<OpenHeads> read_open_heads(const Graph& graph, ValueId value, bool swapped, bool may_scale) {
  OpenHeads result{kNoValue, 1, 0, 0};
  const auto unscale = [&] {
    for (auto inner = scaled(graph, value); may_scale && inner; inner = scaled(graph, value)) {
      result.scale *= inner->factor;
      value = inner->from;
    }
  };
  unscale();
  const Node* turn = graph.producer(value);
  const std::vector<std::int64_t> wanted{0, 2, swapped ? 3 : 1, swapped ? 1 : 3};
  if (turn == nullptr || !is_op(*turn, "Transpose") || permutation_of(graph, *turn) != wanted) return std::nullopt;
  value = turn->inputs[0];
  unscale();
  const Node* cut = graph.producer(value);
  if (cut == nullptr || !is_op(*cut, "Reshape")) return std::nullopt;
  result.rows = cut->inputs[0];
  const ValueType& whole = type_of(graph, result.rows);
  const ValueType& parts = type_of(graph, value);
  if (!whole.ranked || whole.dims.size() != 3 || !parts.ranked || parts.dims.size() != 4 || !parts.dims[2].known() ||
      !parts.dims[3].known() || whole.dims[2].size != parts.dims[2].size * parts.dims[3].size ||
      !same_size(whole.dims[0], parts.dims[0])) {
    return std::nullopt;
  }
  result.heads = parts.dims[2].size;
  result.size = parts.dims[3].size;
  return result;
}

ValueId on_open_rows(const Graph& graph, Edit& edit, const Node& node, const Scores& scores) {
  const auto q = read_open_heads(graph, scores.product->inputs[0], false, true);
  const auto k = read_open_heads(graph, scores.product->inputs[1], true, true);
  const auto v = read_open_heads(graph, node.inputs[1], false, false);
  if (!q || !k || !v || q->heads != k->heads || q->heads != v->heads || q->size != k->size) return kNoValue;
  const tensor::Dim& images = type_of(graph, q->rows).dims[0];
  if (!same_size(images, type_of(graph, k->rows).dims[0]) || !same_size(images, type_of(graph, v->rows).dims[0])) {
    return kNoValue;
  }
  Node attention = make_attention(graph, edit, scores, {q->rows, k->rows, v->rows}, Batch::kImages);
  attention.attributes.set("q_num_heads", q->heads);
  attention.attributes.set("kv_num_heads", q->heads);
  attention.attributes.set("scale", static_cast<float>(scores.scale * q->scale * k->scale));
  ValueType type = type_of(graph, q->rows);
  type.dims[2] = {q->heads * v->size, {}};
  const ValueId rows = edit.node(std::move(attention), type);
  ValueType cut_type = type_of(graph, node.outputs[0]);
  std::swap(cut_type.dims[1], cut_type.dims[2]);
  const ValueId cut =
      edit.node(make_node("Reshape", {rows, edit.constant(int_tensor({0, 0, q->heads, v->size}))}), cut_type);
  return edit.node(make_transpose(cut, {0, 2, 1, 3}), type_of(graph, node.outputs[0]));
}

// Attention on the operands as they are; kNoValue where it does not take them.
ValueId on_heads(const Graph& graph, Edit& edit, const Node& node, const Scores& scores) {
  const ValueType& type = type_of(graph, node.outputs[0]);
  const std::size_t rank = type.dims.size();
  double scale = scores.scale;
  const auto unscaled = [&](ValueId value) {
    const auto inner = scaled(graph, value);
    if (inner) scale *= inner->factor;
    return inner ? inner->from : value;
  };
  const ValueId q = unscaled(scores.product->inputs[0]);
  const ValueId turned = unscaled(scores.product->inputs[1]);
  const ValueId v = node.inputs[1];
  // A product repeats a batch of 1; Attention does not.
  for (std::size_t axis = 0; axis + 2 < rank; ++axis) {
    for (const ValueId value : {q, turned, v}) {
      const ValueType& one = type_of(graph, value);
      if (one.dims.size() != rank || !same_size(one.dims[axis], type.dims[axis])) return kNoValue;
    }
  }
  ValueType key_type = type_of(graph, turned);
  std::swap(key_type.dims[rank - 1], key_type.dims[rank - 2]);
  const ValueId k = edit.node(make_transpose(turned, turning(rank)), key_type);
  Node attention = make_attention(graph, edit, scores, {q, k, v}, Batch::kImages);
  if (rank == 3) {
    attention.attributes.set("q_num_heads", std::int64_t{1});
    attention.attributes.set("kv_num_heads", std::int64_t{1});
  }
  attention.attributes.set("scale", static_cast<float>(scale));
  return edit.node(std::move(attention), type);
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.outputs[0] == kNoValue) return no_match();
  std::vector<NodeId> nodes;
  const auto step_to = [&](ValueId value) {
    nodes.push_back(graph.value(value).producer);
    return graph.producer(value);
  };
  const Node* softmax = step_to(node.inputs[0]);
  // Where a mask may hide all keys PyTorch writes 0 for what is then no number, as Attention has it.
  bool guarded = false;
  if (softmax != nullptr && is_op(*softmax, "Where")) {
    const ValueId probabilities = softmax->inputs[2];
    const Node* test = graph.producer(softmax->inputs[0]);
    if (test == nullptr || !is_op(*test, "IsNaN") || test->inputs[0] != probabilities ||
        constant_scalar(graph, softmax->inputs[1]) != 0.0) {
      return no_match();
    }
    step_to(softmax->inputs[0]);
    softmax = step_to(probabilities);
    guarded = true;
  }
  if (softmax == nullptr || !is_op(*softmax, "Softmax")) return no_match();
  const int rank = rank_of(graph, softmax->inputs[0]);
  if (known_axis(softmax->attributes.get_int("axis", -1), rank) != rank - 1) return no_match();
  const auto scores = read_scores(graph, softmax->inputs[0], {});
  if (!scores) return no_match();
  nodes.insert(nodes.end(), scores->nodes.begin(), scores->nodes.end());
  const ValueType& type = type_of(graph, node.outputs[0]);
  if (type.element != ElementType::kFloat32) return near_miss("it is not of float32");
  if ((rank != 3 && rank != 4) || rank_of(graph, node.inputs[1]) != rank || rank_of(graph, node.outputs[0]) != rank ||
      rank_of(graph, scores->product->inputs[0]) != rank || rank_of(graph, scores->product->inputs[1]) != rank) {
    return near_miss("its operands are not known to be matrices for each head");
  }
  if (!guarded && !leaves_keys(graph, scores->masks)) return near_miss("its mask may hide all keys of a query");
  for (const ValueId mask : scores->masks) {
    const ValueType& mask_type = type_of(graph, mask);
    if (mask_type.dims.size() >= 3 && !mask_type.static_shape()) return near_miss("the shape of its mask is not known");
  }
  // No sum of masks has more elements than the scores.
  const auto shape = type_of(graph, scores->product->outputs[0]).static_shape();
  if (scores->masks.size() > 1 &&
      (!shape || static_cast<std::size_t>(shape->element_count()) > kMostMaskBytes / sizeof(float))) {
    return near_miss("the sum of its masks may be too large");
  }
  for (const NodeId id : nodes) {
    if (!edit.consume(id)) return near_miss("{}", edit.blocked());
  }
  ValueId result = kNoValue;
  if (type.static_shape()) {
    for (const Batch batch : {Batch::kHeads, Batch::kImages}) {
      if (result == kNoValue && (rank == 3 || batch == Batch::kImages)) {
        result = on_rows(graph, edit, node, *scores, batch);
      }
    }
  } else if (rank == 4) {
    result = on_open_rows(graph, edit, node, *scores);
  }
  if (result == kNoValue) result = on_heads(graph, edit, node, *scores);
  if (result == kNoValue) return near_miss("its operands are not known to have as many heads");
  edit.replace(node.outputs[0], result);
  return rewrite();
}

}  // namespace

constinit const Rule kFuseAttention{
    "fuse-attention", "Makes an Attention of the products and the Softmax that it is defined by.", kOps, fuse};

}  // namespace lanner::passes
