#include <functional>

#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  ValueId x = input("x", "float32[4,60]");

  ValueId number(double value) { return constant(Tensor::scalar(static_cast<float>(value))); }
  ValueId op(std::string_view name, ValueId a, ValueId b) { return node(name, {a, b}, {}, "float32[4,60]"); }
  ValueId mul(ValueId a, ValueId b) { return op("Mul", a, b); }
  ValueId add(ValueId a, ValueId b) { return op("Add", a, b); }
  ValueId div(ValueId a, ValueId b) { return op("Div", a, b); }
  ValueId erf(ValueId a) { return node("Erf", {a}, {}, "float32[4,60]"); }
  ValueId tanh(ValueId a) { return node("Tanh", {a}, {}, "float32[4,60]"); }
  ValueId cube(ValueId a) { return mul(mul(a, a), a); }
  // Arithmetic that is no part of it.
  ValueId shifted() { return add(mul(x, x), number(-9)); }
};

constexpr double kRootTwo = 1.4142135623730951;
constexpr double kScale = 0.7978845608028654;

double gelu(double x, bool tanh) {
  if (tanh) return 0.5 * x * (1 + std::tanh(kScale * (x + 0.044715 * x * x * x)));
  return 0.5 * x * std::erfc(-x / kRootTwo);
}

using Spelling = std::function<ValueId(Case&, ValueId)>;

const std::vector<Spelling>& with_erf() {
  static const std::vector<Spelling> all{
      // PyTorch, its functional form and its older versions
      [](Case& c, ValueId x) {
        return c.mul(c.mul(x, c.add(c.erf(c.div(x, c.number(kRootTwo))), c.number(1))), c.number(0.5));
      },
      [](Case& c, ValueId x) {
        return c.mul(c.mul(x, c.number(0.5)), c.add(c.erf(c.div(x, c.number(kRootTwo))), c.number(1)));
      },
      // TensorFlow
      [](Case& c, ValueId x) {
        return c.mul(x, c.mul(c.number(0.5), c.add(c.number(1), c.erf(c.mul(c.number(1 / kRootTwo), x)))));
      },
      [](Case& c, ValueId x) {
        return c.div(c.mul(c.add(c.number(1), c.erf(c.mul(x, c.number(1 / kRootTwo)))), x), c.number(2));
      },
      [](Case& c, ValueId x) {
        return c.mul(c.add(c.mul(c.erf(c.mul(x, c.number(1 / kRootTwo))), c.number(0.5)), c.number(0.5)), x);
      },
  };
  return all;
}

const std::vector<Spelling>& with_tanh() {
  static const std::vector<Spelling> all{
      [](Case& c, ValueId x) {
        const ValueId cube = c.op("Pow", x, c.number(3));
        const ValueId inner = c.mul(c.number(kScale), c.add(x, c.mul(c.number(0.044715), cube)));
        return c.mul(c.mul(c.number(0.5), x), c.add(c.number(1), c.tanh(inner)));
      },
      [](Case& c, ValueId x) {
        const ValueId inner = c.mul(c.add(x, c.mul(c.cube(x), c.number(0.044715))), c.number(kScale));
        return c.mul(x, c.mul(c.add(c.tanh(inner), c.number(1)), c.number(0.5)));
      },
      // x (1 + 0.044715 x^2)
      [](Case& c, ValueId x) {
        const ValueId factor = c.add(c.mul(c.mul(c.number(0.044715), x), x), c.number(1));
        const ValueId inner = c.mul(c.mul(x, c.number(kScale)), factor);
        return c.mul(c.mul(c.number(0.5), x), c.add(c.tanh(inner), c.number(1)));
      },
      [](Case& c, ValueId x) {
        const ValueId factor = c.add(c.mul(c.op("Pow", x, c.number(2)), c.number(kScale * 0.044715)), c.number(kScale));
        return c.mul(c.mul(x, c.add(c.tanh(c.mul(x, factor)), c.number(1))), c.number(0.5));
      },
  };
  return all;
}

Tensor samples() {
  Tensor result = Tensor::allocate(ElementType::kFloat32, {4, 60});
  for (int i = 0; i < 240; ++i) result.data<float>()[i] = static_cast<float>(i - 120) * 0.0731f;
  return result;
}

TEST(FuseGelu, EverySpellingWithinRounding) {
  for (const bool tanh : {false, true}) {
    for (const Spelling& spelling : tanh ? with_tanh() : with_erf()) {
      Case test;
      test.output(spelling(test, test.x));
      const Inputs inputs{samples()};
      const Tensor before = run_graph(test.graph, inputs)[0].tensor();
      ASSERT_FALSE(apply(test.graph, kFuseGelu).firings.empty()) << test.graph.to_text();
      EXPECT_EQ(ops(test.graph), "Gelu");
      EXPECT_EQ(find_node(test.graph, "Gelu").attributes.get_string("approximate", "none"), tanh ? "tanh" : "none");
      const Tensor after = run_graph(test.graph, inputs)[0].tensor();
      for (int i = 0; i < 240; ++i) {
        const double x = inputs[0].data<float>()[i];
        const double exact = gelu(x, tanh);
        // No further from the exact value than the spelling, whose sum 1 + f is rounded, may be.
        const double bound = 4 * std::abs(x) * 1.2e-7;
        EXPECT_NEAR(before.data<float>()[i], exact, bound) << x;
        EXPECT_NEAR(after.data<float>()[i], exact, bound) << x;
      }
    }
  }
}

TEST(FuseGelu, OfAnythingAndInsideAnything) {
  for (const Spelling& spelling : {with_erf()[0], with_erf()[2], with_tanh()[0], with_tanh()[2]}) {
    Case test;
    test.output(test.mul(spelling(test, test.shifted()), test.x));
    expect_rewrites(test.graph, kFuseGelu, "Mul Add Gelu Mul", {samples()}, 1e-6);
  }
}

TEST(FuseGelu, BecomesPartOfAProduct) {
  Case test;
  const ValueId product = test.node("MatMul", {test.x, test.constant(numbers({60, 60}, 3))}, {}, "float32[4,60]");
  test.output(with_erf()[1](test, test.add(product, test.constant(numbers({60}, 4)))));
  run_pipeline(test.graph, {});
  EXPECT_EQ(ops(test.graph), "FusedMatMul");
  const Node& fused = find_node(test.graph, "FusedMatMul");
  EXPECT_EQ(fused.attributes.get_string("activation", ""), "Gelu");
  EXPECT_THAT(fused.stands_for, ::testing::Contains("Erf"));
}

TEST(FuseGelu, WhatOnlyLooksLikeIt) {
  const auto declines = [](const Spelling& spelling, std::string_view reason = {}) {
    Case test;
    test.output(spelling(test, test.x));
    expect_declines(test.graph, kFuseGelu, reason);
  };
  const auto erf_form = [](double inner, double one, double half) {
    return [=](Case& c, ValueId x) {
      return c.mul(c.mul(x, c.add(c.erf(c.mul(x, c.number(inner))), c.number(one))), c.number(half));
    };
  };
  declines(erf_form(0.7071, 1, 0.5));
  declines(erf_form(1 / kRootTwo, 1.001, 0.5));
  declines(erf_form(1 / kRootTwo, 1, 1));
  declines(erf_form(0, 1, 0.5));
  declines([](Case& c, ValueId x) { return c.mul(x, c.node("Sigmoid", {c.mul(x, c.number(1.702))})); });
  declines([](Case& c, ValueId x) {
    return c.mul(c.mul(x, c.number(0.5)), c.add(c.tanh(c.mul(x, c.number(kScale))), c.number(1)));
  });
  // Of two values.
  declines([](Case& c, ValueId x) {
    const ValueId f = c.erf(c.div(x, c.number(kRootTwo)));
    return c.mul(c.mul(c.shifted(), c.add(f, c.number(1))), c.number(0.5));
  });
  declines(
      [](Case& c, ValueId x) {
        const ValueId f = c.erf(c.div(x, c.number(kRootTwo)));
        c.output(f);
        return c.mul(c.mul(x, c.add(f, c.number(1))), c.number(0.5));
      },
      "is a graph output");
  // A constant that gives the result another rank.
  declines([](Case& c, ValueId x) {
    const ValueId half = c.constant(Tensor::of<float>({1, 1, 1}, {0.5f}));
    return c.mul(c.mul(x, c.add(c.erf(c.div(x, c.number(kRootTwo))), c.number(1))), half);
  });
  // Arithmetic without an end is not read to its end.
  declines([](Case& c, ValueId x) {
    ValueId value = c.tanh(x);
    for (int i = 0; i < 2000; ++i) value = c.add(value, value);
    return c.mul(value, value);
  });
}

TEST(FuseGelu, OnlyOfFloat32) {
  Builder test;
  const auto number = [&](double value) { return test.constant(Tensor::scalar(value)); };
  const auto op = [&](std::string_view name, ValueId a, ValueId b) {
    return test.node(name, {a, b}, {}, "float64[4]");
  };
  const ValueId x = test.input("x", "float64[4]");
  const ValueId f = test.node("Erf", {op("Div", x, number(kRootTwo))}, {}, "float64[4]");
  test.output(op("Mul", op("Mul", x, op("Add", f, number(1))), number(0.5)));
  expect_declines(test.graph, kFuseGelu, "not of float32");
}

}  // namespace
}  // namespace lanner::passes::testing
