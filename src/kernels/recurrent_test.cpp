#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/kernel_testing.h"
#include "kernels/loops_testing.h"
#include "kernels/product_loops.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;
using Row = std::vector<double>;

// One sequence of one direction by the equations of the documents, in float64.
struct Reference {
  std::string name;
  I hidden;
  std::vector<Row> w;  // gates * hidden rows
  std::vector<Row> r;
  Row bias;  // of w, then of r
  Row peepholes = {};
  bool linear_before_reset = false;
  bool input_forget = false;
  double clip = 1e30;

  double sum(I gate, I unit, const Row& x, const Row* h) const {
    const auto row = static_cast<std::size_t>(gate * hidden + unit);
    double result = 0;
    if (h == nullptr) {
      for (std::size_t i = 0; i < x.size(); ++i) result += w[row][i] * x[i];
      return result + bias[row];
    }
    for (std::size_t i = 0; i < h->size(); ++i) result += r[row][i] * (*h)[i];
    return result + bias[w.size() + row];
  }
  double clipped(double x) const { return std::clamp(x, -clip, clip); }
  double sigmoid(double x) const { return 1 / (1 + std::exp(-clipped(x))); }
  double tanh(double x) const { return std::tanh(clipped(x)); }

  void step(const Row& x, Row& h, Row& c) const {
    const Row last = h;
    const auto both = [&](I gate, I unit) { return sum(gate, unit, x, nullptr) + sum(gate, unit, x, &last); };
    Row reset(last.size());
    for (I i = 0; i < hidden; ++i) {
      const auto u = static_cast<std::size_t>(i);
      if (name == "GRU") reset[u] = sigmoid(both(1, i)) * last[u];
    }
    for (I i = 0; i < hidden; ++i) {
      const auto u = static_cast<std::size_t>(i);
      const auto peephole = [&](I gate) {
        return peepholes.empty() ? 0 : peepholes[static_cast<std::size_t>(gate * hidden + i)];
      };
      if (name == "RNN") {
        h[u] = tanh(both(0, i));
      } else if (name == "GRU") {
        const double z = sigmoid(both(0, i));
        const double candidate = linear_before_reset
                                     ? tanh(sum(2, i, x, nullptr) + sigmoid(both(1, i)) * sum(2, i, x, &last))
                                     : tanh(sum(2, i, x, nullptr) + sum(2, i, x, &reset));
        h[u] = (1 - z) * candidate + z * last[u];
      } else {
        const double in = sigmoid(both(0, i) + peephole(0) * c[u]);
        const double forget = input_forget ? 1 - in : sigmoid(both(2, i) + peephole(2) * c[u]);
        c[u] = forget * c[u] + in * tanh(both(3, i));
        h[u] = sigmoid(both(1, i) + peephole(1) * c[u]) * std::tanh(c[u]);
      }
    }
  }
};

Tensor scaled(const Shape& shape, float factor, std::uint32_t state) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  for (float& value : tensor.values<float>()) {
    state = state * 1664525u + 1013904223u;
    value = (static_cast<float>(state >> 8) * (2.0f / 16777216.0f) - 1) * factor;
  }
  return tensor;
}

struct Case {
  std::string name;
  I steps = 5;
  I batch = 3;
  I inputs = 4;
  I hidden = 6;
  std::string direction = "forward";
  bool batch_first = false;
  bool bias = true;
  bool lengths = false;
  bool initial = true;
  bool peepholes = false;
  bool linear_before_reset = false;
  bool input_forget = false;
  std::optional<float> clip = {};
  float weights = 1;  // the largest; of large ones many units make chaos

  I gates() const { return name == "RNN" ? 1 : name == "GRU" ? 3 : 4; }
};

void check(const Case& test, int threads = 1) {
  const I directions = test.direction == "bidirectional" ? 2 : 1;
  const I width = test.gates() * test.hidden;
  const bool lstm = test.name == "LSTM";
  // Everything as with layout 0; swapped for layout 1.
  const Tensor x = scaled({test.steps, test.batch, test.inputs}, 1, 1);
  const Tensor w = scaled({directions, width, test.inputs}, test.weights, 2);
  const Tensor r = scaled({directions, width, test.hidden}, test.weights, 3);
  const Tensor b = scaled({directions, 2 * width}, test.bias ? 0.5f : 0, 4);
  const Tensor h0 = scaled({directions, test.batch, test.hidden}, test.initial ? 1 : 0, 5);
  const Tensor c0 = scaled({directions, test.batch, test.hidden}, test.initial ? 1 : 0, 6);
  const Tensor p = scaled({directions, 3 * test.hidden}, 1, 7);
  std::vector<std::int32_t> lengths(static_cast<std::size_t>(test.batch), static_cast<std::int32_t>(test.steps));
  if (test.lengths) {
    for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] -= static_cast<std::int32_t>(i * 2);
  }

  const auto swapped = [&](const Tensor& tensor, std::vector<I> order) {
    return test.batch_first ? run("Transpose", {tensor}, attributes({{"perm", std::move(order)}})) : tensor;
  };
  tensor::Attributes settings = attributes({{"direction", test.direction},
                                            {"layout", I{test.batch_first}},
                                            {"hidden_size", test.hidden},
                                            {"linear_before_reset", I{test.linear_before_reset}},
                                            {"input_forget", I{test.input_forget}}});
  if (test.clip) settings.set("clip", *test.clip);
  std::vector<Tensor> inputs{swapped(x, {1, 0, 2}),
                             w,
                             r,
                             test.bias ? b : Tensor(),
                             test.lengths ? Tensor::of<std::int32_t>({test.batch}, lengths) : Tensor(),
                             test.initial ? swapped(h0, {1, 0, 2}) : Tensor()};
  if (lstm) inputs.push_back(test.initial ? swapped(c0, {1, 0, 2}) : Tensor());
  if (test.peepholes) inputs.push_back(p);
  const std::vector<Value> outputs = run_operator(test.name, settings, inputs, lstm ? 3 : 2, threads);

  std::vector<float> y(static_cast<std::size_t>(test.steps * directions * test.batch * test.hidden), 0);
  std::vector<float> last_h;
  std::vector<float> last_c;
  for (I d = 0; d < directions; ++d) {
    const auto rows_of = [&](const Tensor& tensor, I columns) {
      std::vector<Row> rows;
      const float* data = tensor.data<float>() + d * width * columns;
      for (I i = 0; i < width; ++i) rows.emplace_back(data + i * columns, data + (i + 1) * columns);
      return rows;
    };
    const auto row_of = [](const Tensor& tensor, I row, I columns) {
      const float* data = tensor.data<float>() + row * columns;
      return Row(data, data + columns);
    };
    Reference reference{test.name, test.hidden, rows_of(w, test.inputs), rows_of(r, test.hidden),
                        row_of(b, d, 2 * width)};
    if (test.peepholes) reference.peepholes = row_of(p, d, 3 * test.hidden);
    reference.linear_before_reset = test.linear_before_reset;
    reference.input_forget = test.input_forget;
    if (test.clip) reference.clip = static_cast<double>(*test.clip);
    const bool reverse = d == 1 || test.direction == "reverse";
    for (I item = 0; item < test.batch; ++item) {
      Row h = row_of(h0, d * test.batch + item, test.hidden);
      Row c = row_of(c0, d * test.batch + item, test.hidden);
      const I length = lengths[static_cast<std::size_t>(item)];
      for (I i = 0; i < length; ++i) {
        const I time = reverse ? length - 1 - i : i;
        reference.step(row_of(x, time * test.batch + item, test.inputs), h, c);
        std::ranges::transform(h, y.begin() + ((time * directions + d) * test.batch + item) * test.hidden,
                               [](double value) { return static_cast<float>(value); });
      }
      last_h.insert(last_h.end(), h.begin(), h.end());
      last_c.insert(last_c.end(), c.begin(), c.end());
    }
  }
  const auto near = [](const std::vector<float>& expected) { return Pointwise(FloatNear(2e-6f), expected); };
  // Back from [batch, steps, directions, hidden].
  EXPECT_THAT(elements<float>(swapped(outputs[0].tensor(), {1, 2, 0, 3})), near(y));
  EXPECT_THAT(elements<float>(swapped(outputs[1].tensor(), {1, 0, 2})), near(last_h));
  if (lstm) {
    EXPECT_THAT(elements<float>(swapped(outputs[2].tensor(), {1, 0, 2})), near(last_c));
  }
}

TEST(Recurrent, FollowsTheEquations) {
  for (const char* name : {"RNN", "GRU", "LSTM"}) {
    SCOPED_TRACE(name);
    for (const char* direction : {"forward", "reverse", "bidirectional"}) {
      check({.name = name, .direction = direction});
      check({.name = name, .direction = direction, .batch_first = true, .lengths = true});
    }
    check({.name = name, .bias = false, .initial = false});
    check({.name = name, .steps = 1, .batch = 1, .inputs = 1, .hidden = 1});
    check({.name = name, .clip = 0.3f});
    check({.name = name,
           .steps = 7,
           .batch = 9,
           .inputs = 33,
           .hidden = 40,
           .direction = "bidirectional",
           .weights = 0.2f},
          4);
  }
  check({.name = "GRU", .linear_before_reset = true});
  check(
      {.name = "GRU", .direction = "bidirectional", .batch_first = true, .lengths = true, .linear_before_reset = true});
  check({.name = "GRU", .bias = false, .linear_before_reset = true});
  check({.name = "LSTM", .direction = "bidirectional", .peepholes = true});
  check({.name = "LSTM", .peepholes = true, .input_forget = true, .clip = 0.5f});
}

// One unit without weights, whose output is its activation of the bias.
std::vector<float> activated(const std::string& function, const std::vector<float>& bias,
                             std::vector<std::pair<std::string, tensor::Attribute>> more = {}) {
  const auto hidden = static_cast<I>(bias.size());
  std::vector<float> biases = bias;
  biases.resize(2 * bias.size());
  more.emplace_back("activations", std::vector<std::string>{function});
  const Tensor zeros = run("ConstantOfShape", {vec<I>({1, hidden, hidden})});
  return elements<float>(run("RNN",
                             {Tensor::of<float>({1, 1, 1}, {0}), run("ConstantOfShape", {vec<I>({1, hidden, 1})}),
                              zeros, Tensor::of<float>({1, 2 * hidden}, std::span<const float>(biases))},
                             attributes(std::move(more))));
}

TEST(Recurrent, KnowsEveryActivation) {
  const std::vector<float> x{-3, -0.5f, 0, 2};
  using Floats = std::vector<float>;
  const auto near = [](float a, float b, float c, float d) {
    return ElementsAre(FloatNear(a, 1e-6f), FloatNear(b, 1e-6f), FloatNear(c, 1e-6f), FloatNear(d, 1e-6f));
  };
  EXPECT_THAT(activated("Relu", x), near(0, 0, 0, 2));
  EXPECT_THAT(activated("tanh", x), near(-0.9950548f, -0.4621172f, 0, 0.9640276f));
  EXPECT_THAT(activated("Sigmoid", x), near(0.0474259f, 0.3775407f, 0.5f, 0.8807971f));
  EXPECT_THAT(activated("Affine", x), near(-3, -0.5f, 0, 2));
  EXPECT_THAT(activated("Affine", x, {{"activation_alpha", Floats{2}}, {"activation_beta", Floats{1}}}),
              near(-5, 0, 1, 5));
  EXPECT_THAT(activated("LeakyRelu", x), near(-0.03f, -0.005f, 0, 2));
  EXPECT_THAT(activated("ThresholdedRelu", x), near(0, 0, 0, 2));
  EXPECT_THAT(activated("ThresholdedRelu", x, {{"activation_alpha", Floats{-1}}}), near(0, -0.5f, 0, 2));
  EXPECT_THAT(activated("ScaledTanh", x, {{"activation_alpha", Floats{2}}, {"activation_beta", Floats{0.5f}}}),
              near(-1.8102965f, -0.4898373f, 0, 1.5231884f));
  EXPECT_THAT(activated("HardSigmoid", x), near(0, 0.4f, 0.5f, 0.9f));
  EXPECT_THAT(activated("Elu", x), near(-0.9502129f, -0.3934693f, 0, 2));
  EXPECT_THAT(activated("Softsign", x), near(-0.75f, -1.0f / 3, 0, 2.0f / 3));
  EXPECT_THAT(activated("Softplus", x), near(0.0485874f, 0.4740770f, 0.6931472f, 2.1269280f));
}

TEST(Recurrent, HandsParametersToTheFunctionsThatHaveThem) {
  // Both directions: tanh has no alpha, so that the number is the second one's.
  const Tensor zero = Tensor::of<float>({2, 1, 1}, {0, 0});
  const auto settings = attributes({{"direction", std::string("bidirectional")},
                                    {"activations", std::vector<std::string>{"Tanh", "LeakyRelu"}},
                                    {"activation_alpha", std::vector<float>{0.25f}}});
  EXPECT_THAT(
      elements<float>(run(
          "RNN", {Tensor::of<float>({1, 1, 1}, {0}), zero, zero, Tensor::of<float>({2, 2}, {-1, 0, -1, 0})}, settings)),
      ElementsAre(FloatNear(-0.7615942f, 1e-6f), -0.25f));
}

TEST(Recurrent, ConstantWeightsAndThreadsChangeNothing) {
  constexpr I kSteps = 4;
  constexpr I kHidden = 150;
  constexpr I kInputs = 20;
  const auto small = [](const Shape& shape) {
    Tensor tensor = noise(shape);
    for (float& value : tensor.values<float>()) value *= 0.02f;
    return tensor;
  };
  for (const I batch : {1, 3, 14}) {
    for (const auto& [name, gates] : {std::pair{"RNN", I{1}}, std::pair{"GRU", I{3}}, std::pair{"LSTM", I{4}}}) {
      for (const I linear : {0, 1}) {
        const auto settings =
            attributes({{"direction", std::string("bidirectional")}, {"linear_before_reset", linear}});
        const std::vector<Tensor> inputs{small({kSteps, batch, kInputs}), small({2, gates * kHidden, kInputs}),
                                         small({2, gates * kHidden, kHidden}), small({2, 2 * gates * kHidden})};
        std::vector<float> last;
        for_each_instruction_set(product_loops_of_cpu(), [&, gates_name = std::string(name)] {
          const auto expected = elements<float>(run_twice(gates_name, inputs, settings, 1, false));
          for (const int threads : {1, 3}) {
            for (const bool constant : {false, true}) {
              ASSERT_EQ(elements<float>(run_twice(gates_name, inputs, settings, threads, constant)), expected);
            }
          }
          if (!last.empty()) {
            ASSERT_THAT(expected, Pointwise(FloatNear(1e-5f), last));
          }
          last = expected;
        });
      }
    }
  }
}

TEST(Recurrent, TakesNoStepsAndNoSequences) {
  const Tensor w = scaled({1, 3, 2}, 1, 1);
  const Tensor r = scaled({1, 3, 3}, 1, 2);
  const Tensor h = scaled({1, 4, 3}, 1, 3);
  std::vector<Value> outputs = run_operator(
      "RNN", {}, std::vector<Tensor>{Tensor::allocate(ElementType::kFloat32, {0, 4, 2}), w, r, {}, {}, h}, 2);
  EXPECT_EQ(outputs[0].tensor().shape(), Shape({0, 1, 4, 3}));
  EXPECT_EQ(elements<float>(outputs[1].tensor()), elements<float>(h));
  outputs = run_operator("RNN", {},
                         std::vector<Tensor>{Tensor::allocate(ElementType::kFloat32, {I{1} << 40, 0, 2}), w, r}, 2);
  EXPECT_EQ(outputs[0].tensor().shape(), Shape({I{1} << 40, 1, 0, 3}));
  // A sequence of no steps keeps its initial state.
  const Tensor x = scaled({2, 4, 2}, 1, 4);
  outputs = run_operator("RNN", {}, std::vector<Tensor>{x, w, r, {}, vec<std::int32_t>({0, 0, 0, 0}), h}, 2);
  EXPECT_THAT(elements<float>(outputs[0].tensor()), Each(0));
  EXPECT_EQ(elements<float>(outputs[1].tensor()), elements<float>(h));
}

TEST(Recurrent, TakesOtherFloats) {
  const auto wide = [](const Tensor& tensor, ElementType type) {
    return run("Cast", {tensor}, attributes({{"to", static_cast<I>(type)}}));
  };
  const Tensor x = scaled({2, 3, 2}, 1, 4);
  const Tensor w = scaled({1, 12, 2}, 1, 1);
  const Tensor r = scaled({1, 12, 3}, 1, 2);
  const std::vector<float> expected = elements<float>(run("LSTM", {x, w, r}));
  for (const auto& [type, tolerance] : {std::pair(ElementType::kFloat64, 1e-6f), {ElementType::kFloat16, 2e-3f}}) {
    const Tensor y = run("LSTM", {wide(x, type), wide(w, type), wide(r, type)});
    EXPECT_EQ(y.element_type(), type);
    EXPECT_THAT(elements<float>(wide(y, ElementType::kFloat32)), Pointwise(FloatNear(tolerance), expected));
  }
}

TEST(Recurrent, RefusesNonsense) {
  const Tensor x = scaled({2, 3, 2}, 1, 4);
  const Tensor w = scaled({1, 12, 2}, 1, 1);
  const Tensor r = scaled({1, 12, 3}, 1, 2);
  const auto reason = [](std::vector<Tensor> inputs, std::vector<std::pair<std::string, tensor::Attribute>> more = {}) {
    return reason_of([&] { run("LSTM", inputs, attributes(std::move(more))); });
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(reason({x, w, r}), "");
  EXPECT_EQ(reason({w, w, w}), "op.shape");
  EXPECT_EQ(reason({x, r, r}), "op.shape");
  EXPECT_EQ(reason({x, w, scaled({2, 12, 3}, 1, 2)}), "op.shape");
  EXPECT_EQ(reason({x, w, scaled({12, 3}, 1, 2)}), "op.rank");
  EXPECT_EQ(reason({x, w, r, scaled({1, 12}, 1, 2)}), "op.shape");
  EXPECT_EQ(reason({x, w, r, {}, vec<std::int32_t>({1, 2, 3})}), "op.value");
  EXPECT_EQ(reason({x, w, r, {}, vec<std::int32_t>({1, 2, -1})}), "op.value");
  EXPECT_EQ(reason({x, w, r, {}, vec<std::int32_t>({1, 2})}), "op.shape");
  EXPECT_EQ(reason({x, w, r, {}, {}, {}, scaled({1, 2, 3}, 1, 1)}), "op.shape");
  EXPECT_EQ(reason({x, w, r, {}, {}, {}, {}, scaled({1, 10}, 1, 1)}), "op.shape");
  EXPECT_EQ(reason({x, w, r}, {{"direction", std::string("sideways")}}), "op.attribute");
  EXPECT_EQ(reason({x, w, r}, {{"direction", std::string("bidirectional")}}), "op.shape");
  EXPECT_EQ(reason({x, w, r}, {{"hidden_size", I{4}}}), "op.shape");
  EXPECT_EQ(reason({x, w, r}, {{"hidden_size", I{-1}}}), "op.attribute");
  EXPECT_EQ(reason({x, w, r}, {{"clip", 0.0f}}), "op.attribute");
  EXPECT_EQ(reason({x, w, r}, {{"layout", I{2}}}), "op.attribute");
  EXPECT_EQ(reason({x, w, r}, {{"activations", Names{"Tanh"}}}), "op.attribute");
  EXPECT_EQ(reason({x, w, r}, {{"activations", Names{"Tanh", "Tanh", "Sine"}}}), "op.attribute");
  EXPECT_EQ(reason({vec<std::int32_t>({1}).reshaped({1, 1, 1}), w, r}), "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
