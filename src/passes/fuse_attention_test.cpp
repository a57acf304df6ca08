#include <functional>

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

constexpr I kQueries = 6, kKeys = 9, kHeads = 3, kSize = 4, kWidth = kHeads * kSize;
constexpr double kTolerance = 1e-5;

// Attention of x on y as exporters write it, of matrices [images, rows, kWidth].
struct Case : Builder {
  I images = 2;
  ValueId x, y;
  ValueId mask = kNoValue;  // is added to the scaled scores
  bool guarded = false;     // PyTorch's guard against queries without keys

  explicit Case(I count = 2) : images(count) {
    x = input("x", fmt::format("float32[{},{},{}]", count, kQueries, kWidth));
    y = input("y", fmt::format("float32[{},{},{}]", count, kKeys, kWidth));
  }
  Inputs inputs() const {
    return {scaled(numbers({images, kQueries, kWidth})), scaled(numbers({images, kKeys, kWidth}, 5))};
  }
  static Tensor scaled(Tensor tensor) {
    for (float& value : tensor.values<float>()) value *= 0.3f;
    return tensor;
  }
  ValueId number(float value) { return constant(Tensor::scalar(value)); }
  ValueId reshape(ValueId value, std::initializer_list<I> shape) {
    return node("Reshape", {value, constant(ints(shape))});
  }
  ValueId transpose(ValueId value, std::vector<I> perm) {
    return node("Transpose", {value}, attributes({{"perm", std::move(perm)}}));
  }
  ValueId heads(ValueId value, std::vector<I> perm = {0, 2, 1, 3}) {
    return transpose(reshape(value, {images, -1, kHeads, kSize}), std::move(perm));
  }
  // Of queries, turned keys and values.
  ValueId attend(ValueId q, ValueId k, ValueId v, ValueId scores = kNoValue) {
    if (scores == kNoValue) scores = node("MatMul", {q, k});
    if (mask != kNoValue) scores = node("Add", {scores, mask});
    ValueId p = node("Softmax", {scores}, attributes({{"axis", I{-1}}}));
    if (guarded) p = node("Where", {node("IsNaN", {p}), number(0), p});
    return node("MatMul", {p, v});
  }
  ValueId join(ValueId value) { return reshape(transpose(value, {0, 2, 1, 3}), {images, -1, kWidth}); }
  void infer() { infer_by_running(graph, inputs()); }
};

// The whole pipeline of what follows the rule.
std::string tidied(Graph& graph) {
  const Rule* const rules[] = {&kCombineTransposes, &kCombineReshapes, &kRemoveNoOps, &kEliminateDeadCode};
  const Pass pass{"test", rules};
  Engine engine(graph, {&pass, 1}, {});
  engine.run(pass);
  return ops(graph);
}

void expect_attention(Case& test, std::string_view after) {
  test.infer();
  const std::vector<Value> expected = run_graph(test.graph, test.inputs());
  ASSERT_FALSE(apply(test.graph, kFuseAttention).firings.empty()) << test.graph.to_text();
  EXPECT_EQ(tidied(test.graph), after) << test.graph.to_text();
  const std::vector<Value> actual = run_graph(test.graph, test.inputs());
  for (std::size_t i = 0; i < actual.size(); ++i) expect_same(expected[i], actual[i], kTolerance);
}

TEST(FuseAttention, OnMatricesNothingIsTurned) {
  const std::function<ValueId(Case&)> spellings[] = {
      // The scale at the queries, at both, at the scores, and none.
      [](Case& c) {
        const ValueId q = c.node("Mul", {c.heads(c.x), c.number(0.5f)});
        return c.attend(q, c.heads(c.y, {0, 2, 3, 1}), c.heads(c.y));
      },
      [](Case& c) {
        const ValueId q = c.node("Mul", {c.number(0.7f), c.heads(c.x)});
        const ValueId k = c.node("Div", {c.heads(c.y, {0, 2, 3, 1}), c.number(2)});
        return c.attend(q, k, c.heads(c.y));
      },
      [](Case& c) {
        const ValueId k = c.transpose(c.heads(c.y), {0, 1, 3, 2});
        const ValueId scores = c.node("Div", {c.node("MatMul", {c.heads(c.x), k}), c.number(3)});
        return c.attend(kNoValue, kNoValue, c.heads(c.y), scores);
      },
      [](Case& c) {
        return c.attend(c.heads(c.x), c.heads(c.y, {0, 2, 3, 1}), c.heads(c.y));
      },
  };
  for (const auto& spelling : spellings) {
    Case test;
    test.output(test.join(spelling(test)));
    expect_attention(test, "Attention");
    EXPECT_EQ(find_node(test.graph, "Attention").attributes.get_int("q_num_heads", 0), kHeads);
  }
  // PyTorch's exporter turns keys in matrices of rank 3: of one image they are still columns.
  Case test(1);
  const ValueId turned = test.transpose(test.reshape(test.heads(test.y), {-1, kKeys, kSize}), {0, 2, 1});
  const ValueId keys = test.reshape(turned, {1, kHeads, kSize, kKeys});
  test.output(test.join(test.attend(test.heads(test.x), keys, test.heads(test.y))));
  expect_attention(test, "Attention");
  EXPECT_EQ(find_node(test.graph, "Attention").attributes.get_int("q_num_heads", 0), kHeads);
}

TEST(FuseAttention, OfColumnsOfOneMatrix) {
  Case test;
  const ValueId packed = test.node("MatMul", {test.x, test.constant(Case::scaled(numbers({kWidth, 3 * kWidth}, 3)))});
  const ValueId turned =
      test.transpose(test.reshape(packed, {test.images, kQueries, 3, kHeads, kSize}), {2, 0, 3, 1, 4});
  const auto part = [&](I index) {
    return test.node("Gather", {turned, test.constant(Tensor::scalar(index))}, attributes({{"axis", I{0}}}));
  };
  test.output(test.join(test.attend(part(0), test.transpose(part(1), {0, 1, 3, 2}), part(2))));
  expect_attention(test, "MatMul Slice Slice Slice Attention");
}

// One image of matrices [rows, 1, kWidth], whose heads are a batch, and windows without heads.
TEST(FuseAttention, OfMatricesOfRankThree) {
  Case test(1);
  const auto heads = [&](ValueId value, std::vector<I> perm) {
    return test.transpose(test.reshape(value, {-1, kHeads, kSize}), std::move(perm));
  };
  const ValueId result = test.attend(heads(test.x, {1, 0, 2}), heads(test.y, {1, 2, 0}), heads(test.y, {1, 0, 2}));
  test.output(test.reshape(test.transpose(result, {1, 0, 2}), {1, kQueries, kWidth}));
  expect_attention(test, "Attention");
  EXPECT_EQ(find_node(test.graph, "Attention").attributes.get_int("q_num_heads", 0), kHeads);

  Case windows;
  windows.output(windows.attend(windows.x, windows.transpose(windows.y, {0, 2, 1}), windows.y));
  expect_attention(windows, "Attention");
  EXPECT_EQ(find_node(windows.graph, "Attention").attributes.get_int("q_num_heads", 0), 1);
}

TEST(FuseAttention, OnMatricesOfAnySize) {
  Builder b;
  const ValueId x = b.input("x", "float32[n,queries,12]");
  const ValueId y = b.input("y", "float32[n,keys,12]");
  const auto heads = [&](ValueId value, std::string_view rows, bool turned) {
    const ValueId cut =
        b.node("Reshape", {value, b.constant(ints({0, 0, kHeads, kSize}))}, {}, fmt::format("float32[n,{},3,4]", rows));
    return b.node("Transpose", {cut},
                  attributes({{"perm", turned ? std::vector<I>{0, 2, 3, 1} : std::vector<I>{0, 2, 1, 3}}}),
                  turned ? fmt::format("float32[n,3,4,{}]", rows) : fmt::format("float32[n,3,{},4]", rows));
  };
  const ValueId scores =
      b.node("MatMul", {heads(x, "queries", false), heads(y, "keys", true)}, {}, "float32[n,3,queries,keys]");
  const ValueId p = b.node("Softmax", {scores}, {}, "float32[n,3,queries,keys]");
  const ValueId sums = b.node("MatMul", {p, heads(y, "keys", false)}, {}, "float32[n,3,queries,4]");
  const ValueId turned =
      b.node("Transpose", {sums}, attributes({{"perm", std::vector<I>{0, 2, 1, 3}}}), "float32[n,queries,3,4]");
  b.output(b.node("Reshape", {turned, b.constant(ints({0, 0, kWidth}))}, {}, "float32[n,queries,12]"));
  const Inputs inputs = Case(2).inputs();
  const std::vector<Value> expected = run_graph(b.graph, inputs);
  ASSERT_FALSE(apply(b.graph, kFuseAttention).firings.empty()) << b.graph.to_text();
  EXPECT_EQ(tidied(b.graph), "Attention") << b.graph.to_text();
  expect_same(expected[0], run_graph(b.graph, inputs)[0], kTolerance);
}

// Heads that are no columns of a matrix.
TEST(FuseAttention, OnHeads) {
  Case test;
  const ValueId q = test.node("Abs", {test.heads(test.x)});
  const ValueId k = test.node("Sin", {test.heads(test.y, {0, 2, 3, 1})});
  test.output(
      test.join(test.attend(test.node("Mul", {q, test.number(0.5f)}), k, test.node("Cos", {test.heads(test.y)}))));
  test.infer();
  const std::vector<Value> expected = run_graph(test.graph, test.inputs());
  ASSERT_FALSE(apply(test.graph, kFuseAttention).firings.empty());
  EXPECT_FALSE(find_node(test.graph, "Attention").attributes.has("q_num_heads"));
  expect_same(expected[0], run_graph(test.graph, test.inputs())[0], kTolerance);
}

TEST(FuseAttention, AddsMasks) {
  for (const Shape& shape : {Shape{kKeys}, Shape{kQueries, kKeys}, Shape{1, 1, kKeys}, Shape{kHeads, kQueries, kKeys},
                             Shape{2, 1, kQueries, kKeys}, Shape{2, kHeads, kQueries, kKeys}}) {
    Case test;
    test.mask = test.constant(numbers(shape, 8));
    test.output(test.join(test.attend(test.heads(test.x), test.heads(test.y, {0, 2, 3, 1}), test.heads(test.y))));
    expect_attention(test, "Attention");
  }
  Case zero;
  zero.mask = zero.constant(Tensor::of<float>({1, 1, 1, kKeys}, std::vector<float>(kKeys, 0.0f)));
  zero.output(zero.join(zero.attend(zero.heads(zero.x), zero.heads(zero.y, {0, 2, 3, 1}), zero.heads(zero.y))));
  expect_attention(zero, "Attention");
  EXPECT_EQ(find_node(zero.graph, "Attention").inputs.size(), 3u);
  // Two, the second behind an axis of 1, as Swin adds that of its windows.
  Case windows;
  ValueId scores = windows.node("MatMul", {windows.heads(windows.x), windows.heads(windows.y, {0, 2, 3, 1})});
  scores = windows.node("Add", {scores, windows.constant(numbers({1, kHeads, kQueries, kKeys}, 8))});
  scores = windows.node("Add", {windows.reshape(scores, {1, 2, kHeads, kQueries, kKeys}),
                                windows.constant(numbers({1, 2, 1, kQueries, kKeys}, 9))});
  scores = windows.reshape(scores, {2, kHeads, kQueries, kKeys});
  windows.output(windows.join(windows.attend(kNoValue, kNoValue, windows.heads(windows.y), scores)));
  expect_attention(windows, "Attention");
}

TEST(FuseAttention, AQueryWithoutKeysIsZeroWhereTheModelSaysSo) {
  for (const bool constant : {true, false}) {
    Case test;
    test.guarded = true;
    Tensor mask = numbers({kQueries, kKeys}, 8);
    std::fill_n(mask.data<float>() + 2 * kKeys, kKeys, -std::numeric_limits<float>::infinity());
    mask.data<float>()[0] = -std::numeric_limits<float>::infinity();
    test.mask = test.constant(mask);
    if (!constant) test.mask = test.node("Where", {test.node("IsNaN", {test.mask}), test.number(1), test.mask});
    test.output(test.join(test.attend(test.heads(test.x), test.heads(test.y, {0, 2, 3, 1}), test.heads(test.y))));
    expect_attention(test, constant ? "Attention" : "IsNaN Where Attention");
  }
}

TEST(FuseAttention, Declines) {
  const auto declines = [](std::string_view reason, const std::function<void(Case&)>& make) {
    Case test;
    make(test);
    test.infer();
    expect_declines(test.graph, kFuseAttention, reason);
  };
  const auto turned = [](Case& c) { return c.heads(c.y, {0, 2, 3, 1}); };
  declines("may hide all keys", [&](Case& c) {
    Tensor mask = numbers({kQueries, kKeys});
    mask.data<float>()[3] = -std::numeric_limits<float>::infinity();
    c.mask = c.constant(mask);
    c.output(c.attend(c.heads(c.x), turned(c), c.heads(c.y)));
  });
  declines("may hide all keys", [&](Case& c) {
    c.mask = c.node("ReduceSum", {c.x, c.constant(ints({0, 1, 2}))}, attributes({{"keepdims", I{0}}}));
    c.mask = c.node("Expand", {c.mask, c.constant(ints({kQueries, kKeys}))});
    c.output(c.attend(c.heads(c.x), turned(c), c.heads(c.y)));
  });
  declines("is a graph output", [&](Case& c) {
    const ValueId scores = c.node("MatMul", {c.heads(c.x), turned(c)});
    c.output(c.attend(kNoValue, kNoValue, c.heads(c.y), scores));
    c.output(scores);
  });
  declines("as many heads", [&](Case& c) {
    const ValueId one =
        c.reshape(c.node("Slice", {c.y, c.constant(ints({0})), c.constant(ints({kSize})), c.constant(ints({2}))}),
                  {2, 1, kKeys, kSize});
    c.output(c.attend(c.heads(c.x), turned(c), c.node("Abs", {one})));
  });
  declines("", [&](Case& c) {  // a mask that would be scaled
    const ValueId scores =
        c.node("Add", {c.node("MatMul", {c.heads(c.x), turned(c)}), c.constant(numbers({kQueries, kKeys}))});
    c.output(c.attend(kNoValue, kNoValue, c.heads(c.y), c.node("Mul", {scores, c.number(0.5f)})));
  });
  declines("", [&](Case& c) {  // along queries
    const ValueId scores = c.node("MatMul", {c.heads(c.x), turned(c)});
    c.output(c.node("MatMul", {c.node("Softmax", {scores}, attributes({{"axis", I{2}}})), c.heads(c.y)}));
  });
}

}  // namespace
}  // namespace lanner::passes::testing
