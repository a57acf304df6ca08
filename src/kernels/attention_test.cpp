#include <cmath>
#include <limits>
#include <random>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::Each;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor random(const Shape& shape, std::uint32_t seed) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> values(-2, 2);
  for (float& value : tensor.values<float>()) value = values(engine);
  return tensor;
}

struct Case {
  I batch = 2, heads = 4, key_heads = 4, queries = 5, keys = 7, size = 8, value_size = 6, past = 0;
  bool causal = false, padded = false, flat = false;
  I left = -1, right = -1;
  int mask = 0;  // 1: bool [queries, keys]; 2: float [batch, 1, queries, keys]; 3: bool [heads, 1, keys - 2]; 4: [keys]
  float softcap = 0;
  I scores = 0;
};

// The definition, with everything as [batch, heads, ...], one query at a time.
class Definition {
 public:
  Definition(const Case& c, std::vector<Tensor> inputs) : c_(c), in_(std::move(inputs)) {
    for (I b = 0; b < c.batch; ++b) {
      for (I h = 0; h < c.heads; ++h) {
        for (I i = 0; i < c.queries; ++i) attend(b, h, i);
      }
    }
  }
  std::vector<double> y, scores;

 private:
  I total() const { return c_.past + c_.keys; }
  // Of K (1) or V (2), past included.
  double element(int input, I b, I h, I row, I i) const {
    const I size = input == 2 ? c_.value_size : c_.size;
    if (row < c_.past) {
      return in_[static_cast<std::size_t>(input + 3)]
          .data<float>()[((b * c_.key_heads + h) * c_.past + row) * size + i];
    }
    row -= c_.past;
    const float* data = in_[static_cast<std::size_t>(input)].data<float>();
    return c_.flat ? data[((b * c_.keys + row) * c_.key_heads + h) * size + i]
                   : data[((b * c_.key_heads + h) * c_.keys + row) * size + i];
  }
  double bias(I b, I h, I i, I j) const {
    const I valid = c_.padded ? in_[6].data<I>()[b] : total();
    const I at = i + (c_.padded ? valid - c_.queries : c_.past);
    if (j >= valid || (c_.causal && j > at)) return -kInfinity;
    if ((c_.left >= 0 && j < at - c_.left) || (c_.right >= 0 && j > at + c_.right)) return -kInfinity;
    const Tensor& mask = in_[3];
    if (c_.mask == 1) return mask.data<bool>()[i * total() + j] ? 0 : -kInfinity;
    if (c_.mask == 2) return mask.data<float>()[(b * c_.queries + i) * total() + j];
    if (c_.mask == 3) return j < total() - 2 && mask.data<bool>()[h * (total() - 2) + j] ? 0 : -kInfinity;
    if (c_.mask == 4) return mask.data<float>()[j];
    return 0;
  }
  void attend(I b, I h, I i) {
    const I key_head = h / (c_.heads / c_.key_heads);
    std::vector<double> raw, capped, masked, p;
    double sum = 0;
    bool any = false;
    for (I j = 0; j < total(); ++j) {
      double dot = 0;
      for (I d = 0; d < c_.size; ++d) {
        const I at = c_.flat ? ((b * c_.queries + i) * c_.heads + h) * c_.size + d
                             : ((b * c_.heads + h) * c_.queries + i) * c_.size + d;
        dot += static_cast<double>(in_[0].data<float>()[at]) * element(1, b, key_head, j, d);
      }
      raw.push_back(dot / std::sqrt(static_cast<double>(c_.size)));
      const double cap = static_cast<double>(c_.softcap);
      capped.push_back(cap > 0 ? cap * std::tanh(raw.back() / cap) : raw.back());
      masked.push_back(capped.back() + bias(b, h, i, j));
      any = any || masked.back() != -kInfinity;
      p.push_back(std::exp(masked.back()));
      sum += p.back();
    }
    for (double& value : p) value = any ? value / sum : 0;
    for (I d = 0; d < c_.value_size; ++d) {
      double value = 0;
      for (I j = 0; j < total(); ++j) value += p[static_cast<std::size_t>(j)] * element(2, b, key_head, j, d);
      y.push_back(value);
    }
    const std::vector<double>* kept[] = {&raw, &capped, &masked, &p};
    scores.insert(scores.end(), kept[c_.scores]->begin(), kept[c_.scores]->end());
  }

  Case c_;
  std::vector<Tensor> in_;
};

std::vector<Tensor> inputs_of(const Case& c) {
  const I total = c.past + c.keys;
  const auto data = [&](I heads, I length, I size, std::uint32_t seed) {
    return random(c.flat ? Shape{c.batch, length, heads * size} : Shape{c.batch, heads, length, size}, seed);
  };
  std::vector<Tensor> inputs(7);
  inputs[0] = data(c.heads, c.queries, c.size, 1);
  inputs[1] = data(c.key_heads, c.keys, c.size, 2);
  inputs[2] = data(c.key_heads, c.keys, c.value_size, 3);
  const auto booleans = [](const Shape& shape) {
    Tensor mask = Tensor::allocate(ElementType::kBool, shape);
    for (I i = 0; i < mask.element_count(); ++i) mask.data<bool>()[i] = i * 7 % 11 < 6;
    return mask;
  };
  if (c.mask == 1) inputs[3] = booleans({c.queries, total});
  if (c.mask == 2) inputs[3] = random({c.batch, 1, c.queries, total}, 4);
  if (c.mask == 3) inputs[3] = booleans({c.heads, 1, total - 2});
  if (c.mask == 4) inputs[3] = random({total}, 5);
  if (c.past > 0) {
    inputs[4] = random({c.batch, c.key_heads, c.past, c.size}, 6);
    inputs[5] = random({c.batch, c.key_heads, c.past, c.value_size}, 7);
  }
  if (c.padded) {
    inputs[6] = Tensor::allocate(ElementType::kInt64, {c.batch});
    for (I b = 0; b < c.batch; ++b) inputs[6].data<I>()[b] = (3 + 4 * b) % (c.keys + 1);
  }
  return inputs;
}

tensor::Attributes attributes_of(const Case& c) {
  auto result = attributes({{"is_causal", I{c.causal ? 1 : 0}},
                            {"left_window_size", c.left},
                            {"right_window_size", c.right},
                            {"softcap", c.softcap},
                            {"qk_matmul_output_mode", c.scores}});
  if (c.flat) {
    result.set("q_num_heads", c.heads);
    result.set("kv_num_heads", c.key_heads);
  }
  return result;
}

void check(const Case& c) {
  const std::vector<Tensor> inputs = inputs_of(c);
  const Definition expected(c, inputs);
  std::vector<float> first;
  for (const int outputs : {1, 4}) {
    for (const int threads : {1, 4}) {
      if (c.padded && outputs == 4) continue;
      const auto values = run_operator("Attention", attributes_of(c), inputs, outputs, threads);
      const Tensor& y = values[0].tensor();
      ASSERT_EQ(y.shape(), c.flat ? Shape({c.batch, c.queries, c.heads * c.value_size})
                                  : Shape({c.batch, c.heads, c.queries, c.value_size}));
      std::size_t at = 0;
      for (I b = 0; b < c.batch; ++b) {
        for (I h = 0; h < c.heads; ++h) {
          for (I i = 0; i < c.queries; ++i) {
            for (I d = 0; d < c.value_size; ++d, ++at) {
              const I index = c.flat ? ((b * c.queries + i) * c.heads + h) * c.value_size + d : static_cast<I>(at);
              ASSERT_NEAR(y.data<float>()[index], expected.y[at], 2e-5);
            }
          }
        }
      }
      if (outputs == 1) continue;
      const Tensor& scores = values[3].tensor();
      ASSERT_EQ(scores.shape(), Shape({c.batch, c.heads, c.queries, c.past + c.keys}));
      for (std::size_t i = 0; i < expected.scores.size(); ++i) {
        const auto actual = static_cast<double>(scores.data<float>()[i]);
        if (actual == expected.scores[i]) continue;
        ASSERT_NEAR(actual, expected.scores[i], 2e-5);
      }
      const Tensor& present = values[2].tensor();
      ASSERT_EQ(present.shape(), Shape({c.batch, c.key_heads, c.past + c.keys, c.value_size}));
      if (c.past > 0) {
        EXPECT_EQ(present.data<float>()[0], inputs[5].data<float>()[0]);
      }
    }
  }
}

TEST(Attention, AgreesWithTheDefinition) {
  std::mt19937 engine(1);
  const auto pick = [&](I low, I high) { return std::uniform_int_distribution<I>(low, high)(engine); };
  for (int round = 0; round < 200; ++round) {
    Case c;
    c.batch = pick(1, 3);
    c.key_heads = pick(1, 3);
    c.heads = c.key_heads * pick(1, 3);
    c.queries = pick(0, 3) == 0 ? pick(70, 150) : pick(1, 9);
    c.keys = pick(3, 40);
    c.size = pick(1, 20);
    c.value_size = pick(1, 20);
    c.flat = pick(0, 1) != 0;
    c.causal = pick(0, 1) != 0;
    c.left = pick(0, 2) == 0 ? pick(0, 5) : -1;
    c.right = pick(0, 2) == 0 ? pick(0, 5) : -1;
    c.mask = static_cast<int>(pick(0, 4));
    c.softcap = pick(0, 1) != 0 ? 1.5F : 0;
    c.scores = pick(0, 3);
    c.past = pick(0, 1) != 0 ? pick(1, 6) : 0;
    c.padded = c.past == 0 && pick(0, 1) != 0;
    check(c);
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
}

TEST(Attention, LongSequences) {
  Case c;
  c.batch = 1;
  c.heads = c.key_heads = 2;
  c.queries = 200;
  c.keys = 600;
  c.size = c.value_size = 40;
  check(c);
  c.causal = true;
  c.left = 50;
  c.past = 300;
  check(c);
}

TEST(Attention, NothingToSee) {
  Tensor mask = Tensor::allocate(ElementType::kBool, {3, 4});
  std::ranges::fill(mask.values<bool>(), false);
  const Tensor x = random({1, 1, 4, 5}, 1);
  const auto values = run_operator("Attention", attributes({{"qk_matmul_output_mode", I{3}}}),
                                   std::vector<Tensor>{random({1, 1, 3, 5}, 2), x, x, mask}, 4, 1);
  EXPECT_THAT(elements<float>(values[0].tensor()), Each(0));
  EXPECT_THAT(elements<float>(values[3].tensor()), Each(0));
  EXPECT_THAT(elements<float>(run("Attention", {x, random({1, 1, 0, 5}, 1), random({1, 1, 0, 5}, 1)})), Each(0));
  EXPECT_EQ(run("Attention", {random({0, 1, 4, 5}, 1), random({0, 1, 4, 5}, 1), random({0, 1, 4, 5}, 1)}).shape(),
            Shape({0, 1, 4, 5}));
}

TEST(Attention, RefusesWhatDoesNotFit) {
  const Tensor x = random({1, 2, 4, 6}, 1), flat = random({1, 4, 12}, 1);
  const auto reason = [](std::vector<Tensor> inputs, const tensor::Attributes& options = {}) {
    return reason_of([&] { run("Attention", std::move(inputs), options); });
  };
  EXPECT_EQ(reason({x, random({1, 2, 4, 5}, 1), x}), "op.shape");
  EXPECT_EQ(reason({x, random({2, 2, 4, 6}, 1), x}), "op.shape");
  EXPECT_EQ(reason({x, random({1, 2, 5, 6}, 1), x}), "op.shape");
  EXPECT_EQ(reason({random({1, 3, 4, 6}, 1), x, x}), "op.shape");
  EXPECT_EQ(reason({x, flat, flat}), "op.rank");
  EXPECT_EQ(reason({flat, flat, flat}), "op.shape");
  EXPECT_EQ(reason({flat, flat, flat}, attributes({{"q_num_heads", I{5}}, {"kv_num_heads", I{5}}})), "op.shape");
  EXPECT_EQ(reason({x, x, x}, attributes({{"q_num_heads", I{-1}}})), "op.attribute");
  EXPECT_EQ(reason({x, x, x}, attributes({{"qk_matmul_output_mode", I{4}}})), "op.attribute");
  EXPECT_EQ(reason({x, x, x}, attributes({{"left_window_size", I{-2}}})), "op.attribute");
  EXPECT_EQ(reason({x, x, x, random({4, 5}, 1)}), "op.shape");
  EXPECT_EQ(reason({x, x, x, random({3, 4}, 1)}), "op.shape");
  EXPECT_EQ(reason({x, x, x, vec<I>({1, 2, 3, 4})}), "op.type");
  EXPECT_EQ(reason({x, x, x, Tensor(), x}), "op.input");
  EXPECT_EQ(reason({x, x, x, Tensor(), x, random({1, 2, 3, 6}, 1)}), "op.shape");
  EXPECT_EQ(reason({x, x, x, Tensor(), flat, flat}), "op.shape");
  EXPECT_EQ(reason({x, x, x, Tensor(), Tensor(), Tensor(), vec<I>({5})}), "op.value");
  EXPECT_EQ(reason({x, x, x, Tensor(), Tensor(), Tensor(), vec<I>({-1})}), "op.value");
  EXPECT_EQ(reason({x, x, x, Tensor(), Tensor(), Tensor(), vec<I>({1, 1})}), "op.shape");
  const I vast = std::numeric_limits<I>::max();
  EXPECT_EQ(elements<float>(run("Attention", {x, x, x}, attributes({{"left_window_size", vast}}))),
            elements<float>(run("Attention", {x, x, x})));
}

}  // namespace
}  // namespace lanner::kernels::testing
