// Small detection heads for tests: the post-processing of one class after the other, spelled in one of the many ways
// that exporters have, drawn from a seed.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "passes/rule_testing.h"

namespace lanner::passes::testing {

class Draw {
 public:
  explicit Draw(unsigned seed) : engine_(seed) {}
  // One of 0 .. count - 1.
  int of(int count) { return static_cast<int>(engine_() % static_cast<unsigned>(count)); }
  bool coin() { return of(2) == 0; }
  float unit() { return static_cast<float>(engine_() >> 8) / static_cast<float>(1 << 24); }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

struct HeadOptions {
  I anchors = 12;
  bool open = false;  // their number is not known
  int classes = 3;
  int background = 0;  // columns that no class reads, before the others
  bool filter = true;
  bool suppresses = true;  // else takes the best by score
  bool threshold_input = false;
  I limit = 3;
  bool capped = true;  // the limit is written as min(limit, how many are left)
  float iou = 0.5f;
  I padded = 0;  // brings the results of each class up to so many rows
  std::string filter_op = "Greater";
  // Of class k; to make siblings differ.
  std::vector<float> thresholds = {};
  std::vector<I> limits = {};
  std::vector<float> ious = {};
  std::vector<bool> own_boxes = {};
  std::vector<bool> own_scores = {};
  tensor::Attributes top_attributes = {};
};

// Inputs: boxes float32[1,anchors,4], logits float32[1,anchors,columns], [threshold float32[1]].
// Outputs: boxes, scores, labels, and rows of all classes one after another.
class Head : public Builder {
 public:
  Head(const HeadOptions& options, unsigned seed) : o(options), draw(seed), plain(seed == 0) {
    const int columns = o.classes + o.background;
    const std::string anchors = o.open ? "anchors" : std::to_string(o.anchors);
    boxes_in = input("boxes", fmt::format("float32[1,{},4]", anchors));
    scores_in = input("scores", fmt::format("float32[1,{},{}]", anchors, columns));
    if (o.threshold_input) threshold_in = input("threshold", "float32[1]");
    boxes = any(node("Squeeze", {boxes_in, axis(0)}));
    scores = any(node("Squeeze", {scores_in, axis(0)}));
    switch (plain ? 0 : draw.of(3)) {
      case 0:
        break;
      case 1:
        transposed_scores = node("Transpose", {scores});
        break;
      default:
        parts = nodes("Split", {scores}, columns, attributes({{"axis", I{1}}, {"num_outputs", I{columns}}}));
    }
    std::vector<int> order;
    for (int k = 0; k < o.classes; ++k) order.push_back(k);
    if (!plain) std::shuffle(order.begin(), order.end(), draw.engine());
    results.resize(static_cast<std::size_t>(o.classes));
    for (const int k : order) results[static_cast<std::size_t>(k)] = one_class(k);
  }

  struct Result {
    ValueId boxes, scores, labels, rows, keeper;
  };

  void meet() {
    const auto join = [&](ValueId Result::*member) {
      std::vector<ValueId> all;
      for (const Result& result : results) all.push_back(result.*member);
      const auto along = attributes({{"axis", I{0}}});
      if (!plain && all.size() > 2 && draw.coin()) {
        const std::vector<ValueId> first(all.begin(), all.begin() + 2);
        const std::vector<ValueId> rest(all.begin() + 2, all.end());
        all = {node("Concat", first, along)};
        all.insert(all.end(), rest.begin(), rest.end());
      }
      output(node("Concat", all, along));
    };
    join(&Result::boxes);
    join(&Result::scores);
    join(&Result::labels);
    join(&Result::rows);
  }

  // Gives values the element types and ranks they have; dimensions that the data decides stay open.
  void infer() {
    std::map<ValueId, Value> none;
    std::map<ValueId, Value> all;
    run_graph(graph, inputs(-1, 1), &none);
    run_graph(graph, inputs(9, 2), &all);
    for (const auto& [id, value] : all) {
      if (graph.value(id).type.kind != ValueType::Kind::kUnknown) continue;
      ValueType found = ValueType::of(value.tensor());
      const Shape& other = none.at(id).tensor().shape();
      for (int i = 0; i < other.rank(); ++i) {
        if (other[i] != found.dims[static_cast<std::size_t>(i)].size) found.dims[static_cast<std::size_t>(i)] = {};
      }
      graph.set_type(id, found);
    }
  }

  // Inputs of a kind: 0 to 7, more awkward ones; -1 nothing, 9 everything above the threshold.
  std::vector<Value> inputs(int kind, unsigned seed) const {
    Draw from(seed * 31 + 7);
    const I columns = o.classes + o.background;
    Tensor box_values = Tensor::allocate(ElementType::kFloat32, {1, o.anchors, 4});
    Tensor score_values = Tensor::allocate(ElementType::kFloat32, {1, o.anchors, columns});
    float* box = box_values.data<float>();
    for (I a = 0; a < o.anchors; ++a, box += 4) {
      const float x = from.unit() * 2;
      const float y = from.unit() * 2;
      const float width = kind == 4 && from.coin() ? 0.0f : 0.5f + from.unit();
      const float height = 0.5f + from.unit();
      const float corners[] = {y, x, y + height, x + width};
      std::copy_n(corners, 4, box);
      if (kind == 3 && a > 0 && from.coin()) std::copy_n(box - 4, 4, box);
      if (kind == 5 && from.coin()) std::swap(box[0], box[2]);
      if (kind == 6 && from.of(4) == 0) box[from.of(4)] = std::numeric_limits<float>::quiet_NaN();
    }
    for (float& score : score_values.values<float>()) {
      score = from.unit();
      if (kind == 1) score = static_cast<float>(from.of(4)) / 4;  // ties, on the threshold, too
      if (kind == 2 && from.of(4) == 0) score = std::numeric_limits<float>::quiet_NaN();
      if (kind == 2 && from.of(4) == 0) score = std::numeric_limits<float>::infinity();
      if (kind == 7) score = from.coin() ? 0.0f : -0.0f;
      if (kind < 0) score = -score - 1;
      if (kind > 8) score += 1;
    }
    std::vector<Value> values{box_values, score_values};
    if (o.threshold_input) values.emplace_back(floats({kind == 7 ? -0.5f : 0.5f}));
    return values;
  }

  const HeadOptions o;
  Draw draw;
  bool plain;  // spelled in the same way for all classes, in order
  ValueId boxes_in, scores_in, threshold_in = kNoValue;
  ValueId boxes, scores;
  std::vector<Result> results;

 private:
  ValueId axis(I number) { return constant(ints({number})); }
  ValueId cast(ValueId value, ElementType to) {
    return node("Cast", {value}, attributes({{"to", static_cast<I>(to)}}));
  }
  // The value, sometimes by another name.
  ValueId any(ValueId value) { return !plain && draw.of(6) == 0 ? node("Identity", {value}) : value; }
  template <typename T>
  T of_class(const std::vector<T>& own, int k, T otherwise) const {
    return own.empty() ? otherwise : own[static_cast<std::size_t>(k)];
  }

  ValueId column(int k) {
    const I at = k + o.background;
    if (of_class(o.own_scores, k, false)) {
      const ValueId other = node("Neg", {node("Neg", {scores})});
      return node("Gather", {other, constant(Tensor::scalar<I>(at))}, attributes({{"axis", I{1}}}));
    }
    if (transposed_scores != kNoValue) {
      return node("Gather",
                  {transposed_scores, constant(Tensor::scalar<I>(draw.coin() ? at : at - o.classes - o.background))});
    }
    if (!parts.empty()) return node("Reshape", {parts[static_cast<std::size_t>(at)], axis(-1)});
    if (plain || draw.coin()) {
      return node("Gather", {scores, constant(Tensor::scalar<I>(at))}, attributes({{"axis", I{1}}}));
    }
    const ValueId slice = node("Slice", {scores, constant(ints({0, at})), constant(ints({o.anchors, at + 1}))});
    return draw.coin() ? node("Squeeze", {slice, axis(1)}) : node("Reshape", {slice, axis(-1)});
  }

  ValueId picked(ValueId data, ValueId rows) {
    if (!plain && draw.of(3) == 0) return node("GatherND", {data, node("Unsqueeze", {rows, axis(1)})});
    return node("Gather", {data, rows}, attributes({{"axis", I{0}}}));
  }

  // The rows whose score is above the threshold.
  ValueId filtered(int k, ValueId score) {
    ValueId threshold = threshold_in;
    if (threshold == kNoValue) threshold = constant(Tensor::scalar<float>(of_class(o.thresholds, k, 0.5f)));
    ValueId mask = o.filter_op == "Greater" && !plain && draw.coin() ? node("Less", {threshold, score})
                                                                     : node(o.filter_op, {score, threshold});
    if (!plain && draw.of(4) == 0) mask = cast(any(mask), ElementType::kInt32);
    ValueId rows = node("NonZero", {mask});
    switch (plain ? 0 : draw.of(4)) {
      case 0:
        rows = node("Squeeze", {rows, axis(0)});
        break;
      case 1:
        rows = node("Reshape", {node("Transpose", {rows}), axis(-1)});
        break;
      case 2:
        rows = node("Gather", {rows, constant(Tensor::scalar<I>(0))}, attributes({{"axis", I{0}}}));
        break;
      default:
        rows = node("Squeeze", {node("Transpose", {rows}, attributes({{"perm", std::vector<I>{1, 0}}})), axis(1)});
    }
    if (!plain && draw.coin()) rows = cast(rows, draw.coin() ? ElementType::kInt32 : ElementType::kInt64);
    return any(rows);
  }

  // min(limit, how many there are), as an int64[1].
  ValueId capped(I limit, ValueId list) {
    const ValueId shape = node("Shape", {list});
    const ValueId count = node("Slice", {shape, axis(0), axis(1)});
    switch (plain ? 0 : draw.of(3)) {
      case 0:
        return node("Unsqueeze",
                    {node("ReduceMin", {node("Concat", {constant(ints({limit})), count}, attributes({{"axis", I{0}}}))},
                          attributes({{"keepdims", I{0}}})),
                     axis(0)});
      case 1:
        return cast(node("Min", {constant(Tensor::of<std::int32_t>({1}, {static_cast<std::int32_t>(limit)})),
                                 cast(count, ElementType::kInt32)}),
                    ElementType::kInt64);
      default:
        return cast(node("Min", {cast(count, ElementType::kFloat32), constant(floats({static_cast<float>(limit)}))}),
                    ElementType::kInt64);
    }
  }

  ValueId labels(int k, ValueId list) {
    const ValueId shape = node("Shape", {list}, attributes({{"start", I{0}}, {"end", I{1}}}));
    switch (plain ? 0 : draw.of(3)) {
      case 0:
        return node("ConstantOfShape", {shape}, attributes({{"value", Tensor::of<I>({1}, {k})}}));
      case 1:
        return node("Add", {node("ConstantOfShape", {shape}, attributes({{"value", Tensor::of<I>({1}, {0})}})),
                            constant(Tensor::scalar<I>(k))});
      default:
        return cast(node("Expand", {constant(Tensor::scalar<float>(static_cast<float>(k))), shape}),
                    ElementType::kInt64);
    }
  }

  Result one_class(int k) {
    const ValueId own = of_class(o.own_boxes, k, false) ? node("Neg", {node("Neg", {boxes})}) : boxes;
    const ValueId score = any(column(k));
    ValueId rows = kNoValue;
    ValueId some_boxes = own;
    ValueId some_scores = score;
    if (o.filter) {
      rows = filtered(k, score);
      some_boxes = any(picked(own, rows));
      some_scores = any(picked(score, rows));
    }
    const I limit = of_class(o.limits, k, o.limit);
    const ValueId count =
        o.capped && o.filter ? capped(limit, draw.coin() ? some_boxes : some_scores) : constant(ints({limit}));
    ValueId keep = kNoValue;
    ValueId keeper = kNoValue;
    if (o.suppresses) {
      const ValueId triples = node("NonMaxSuppression", {node("Unsqueeze", {some_boxes, axis(0)}),
                                                         node("Unsqueeze", {some_scores, constant(ints({0, 1}))}),
                                                         count, constant(floats({of_class(o.ious, k, o.iou)}))});
      keeper = triples;
      if (plain || draw.coin()) {
        keep = node("Squeeze", {node("Gather", {triples, axis(2)}, attributes({{"axis", I{1}}})), axis(1)});
      } else {
        keep = node("Reshape", {node("Slice", {triples, axis(2), axis(3), axis(1)}), axis(-1)});
      }
    } else {
      keep = nodes("TopK", {some_scores, count}, 2, o.top_attributes)[1];
      keeper = keep;
    }
    if (!plain && draw.of(3) == 0) keep = cast(keep, ElementType::kInt32);
    Result result;
    result.keeper = keeper;
    result.boxes = any(node("Gather", {some_boxes, keep}));
    result.scores = any(node("Gather", {some_scores, keep}));
    result.rows = cast(rows == kNoValue ? keep : node("Gather", {rows, keep}), ElementType::kInt64);
    if (o.padded > 0) {
      const ValueId rest = node("Sub", {constant(ints({o.padded})), node("Shape", {result.scores})});
      const auto padded = [&](ValueId list, ValueId with) {
        return node("Concat", {list, node("Expand", {with, rest})}, attributes({{"axis", I{0}}}));
      };
      result.scores = padded(result.scores, constant(Tensor::scalar<float>(0)));
      result.rows = padded(result.rows, constant(Tensor::scalar<I>(o.limit % 2)));
      result.boxes = node("Gather", {own, result.rows});
    }
    result.labels = labels(k, plain || draw.coin() ? result.scores : result.boxes);
    return result;
  }

  ValueId transposed_scores = kNoValue;
  std::vector<ValueId> parts;
};

// Runs the rule and compares results on every kind of inputs.
inline void expect_batches(Head& head, const Rule& rule, std::size_t firing_count = 1) {
  const Graph before = head.graph;
  const RuleReport report = apply(head.graph, rule);
  ASSERT_EQ(report.firings.size(), firing_count) << before.to_text();
  for (int kind = -1; kind < 10; ++kind) {
    const auto inputs = head.inputs(kind, static_cast<unsigned>(kind + 40));
    const std::vector<Value> expected = run_graph(before, inputs);
    const std::vector<Value> actual = run_graph(head.graph, inputs);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      expect_same(expected[i], actual[i]);
      ASSERT_FALSE(::testing::Test::HasFailure()) << "output " << i << " of inputs of kind " << kind;
    }
  }
}

inline int count_ops(const Graph& graph, std::string_view op) {
  return static_cast<int>(
      std::ranges::count_if(graph.topological_order(), [&](NodeId id) { return graph.node(id).op == op; }));
}

}  // namespace lanner::passes::testing
