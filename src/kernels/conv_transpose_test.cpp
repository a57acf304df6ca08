#include <random>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using ::testing::ElementsAre;
using I = std::int64_t;
using Ints = std::vector<I>;

// Small whole numbers without a short period, so that sums are exact in every order.
Tensor ramp(const Shape& shape) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  I i = 0;
  for (float& value : tensor.values<float>()) value = static_cast<float>(i++ * 37 % 23 - 11);
  return tensor;
}

struct Problem {
  I batch, groups, inputs, outputs;  // channels a group
  Ints size, kernel, stride, dilation, begin, end, added;
};

// The definition: every input times every weight goes to one output.
Tensor spread(const Problem& p, const Tensor& x, const Tensor& w, const Tensor& b) {
  const std::size_t rank = p.size.size();
  Shape shape{p.batch, p.groups * p.outputs};
  I plane = 1, positions = 1, taps = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    shape.push_back((p.size[i] - 1) * p.stride[i] + (p.kernel[i] - 1) * p.dilation[i] + 1 + p.added[i] - p.begin[i] -
                    p.end[i]);
    plane *= shape[static_cast<int>(i) + 2];
    positions *= p.size[i];
    taps *= p.kernel[i];
  }
  Tensor y = Tensor::allocate(ElementType::kFloat32, shape);
  for (I i = 0; i < y.element_count(); ++i) y.data<float>()[i] = b.data<float>()[i / plane % (p.groups * p.outputs)];
  for (I i = 0; i < x.element_count() * p.outputs * taps; ++i) {
    const I tap = i % taps, out = i / taps % p.outputs, at = i / taps / p.outputs;
    const I channel = at / positions % (p.groups * p.inputs), image = at / positions / (p.groups * p.inputs);
    I position = at % positions, k = tap, target = 0, stride = 1;
    bool inside = true;
    for (std::size_t axis = rank; axis-- > 0;) {
      const I to = position % p.size[axis] * p.stride[axis] + k % p.kernel[axis] * p.dilation[axis] - p.begin[axis];
      const I dim = shape[static_cast<int>(axis) + 2];
      inside = inside && to >= 0 && to < dim;
      target += to * stride;
      stride *= dim;
      position /= p.size[axis];
      k /= p.kernel[axis];
    }
    if (!inside) continue;
    const I map = channel / p.inputs * p.outputs + out;
    y.data<float>()[(image * p.groups * p.outputs + map) * plane + target] +=
        x.data<float>()[at] * w.data<float>()[(channel * p.outputs + out) * taps + tap];
  }
  return y;
}

TEST(ConvTranspose, AgreesWithTheDefinition) {
  std::mt19937 random(1);
  const auto pick = [&](I low, I high) { return std::uniform_int_distribution<I>(low, high)(random); };
  for (int round = 0; round < 120; ++round) {
    Problem p{pick(1, 2), pick(1, 3), pick(1, 5), pick(1, 4), {}, {}, {}, {}, {}, {}, {}};
    const I rank = pick(1, 3);
    Shape x{p.batch, p.groups * p.inputs}, w{p.groups * p.inputs, p.outputs};
    Ints pads;
    for (I i = 0; i < rank; ++i) {
      p.size.push_back(pick(1, 6));
      p.kernel.push_back(pick(1, 4));
      p.stride.push_back(pick(1, 3));
      p.dilation.push_back(pick(1, 2));
      p.added.push_back(pick(0, std::max(p.stride.back(), p.dilation.back()) - 1));
      const I full = (p.size.back() - 1) * p.stride.back() + (p.kernel.back() - 1) * p.dilation.back() + 1;
      p.begin.push_back(pick(0, std::min<I>(full / 2, 3)));
      p.end.push_back(pick(0, std::min<I>(full / 2, 3)));
      x.push_back(p.size.back());
      w.push_back(p.kernel.back());
    }
    pads = p.begin;
    pads.insert(pads.end(), p.end.begin(), p.end.end());
    const auto options = attributes({{"group", p.groups},
                                     {"strides", p.stride},
                                     {"dilations", p.dilation},
                                     {"pads", pads},
                                     {"output_padding", p.added}});
    const Tensor data = ramp(x), weights = ramp(w), bias = ramp({p.groups * p.outputs});
    const Tensor expected = spread(p, data, weights, bias);
    for (const int threads : {1, 4}) {
      const Tensor actual = run("ConvTranspose", {data, weights, bias}, options, threads);
      ASSERT_EQ(actual.shape(), expected.shape());
      ASSERT_EQ(elements<float>(actual), elements<float>(expected));
    }
  }
}

// More columns than are made at once.
TEST(ConvTranspose, ManyColumns) {
  Problem p{1, 1, 3, 5, {40, 41}, {16, 16}, {8, 8}, {1, 1}, {4, 4}, {4, 4}, {0, 0}};
  const Tensor x = ramp({1, 3, 40, 41}), w = ramp({3, 5, 16, 16}), b = ramp({5});
  const auto options = attributes({{"strides", Ints{8, 8}}, {"pads", Ints{4, 4, 4, 4}}});
  EXPECT_EQ(elements<float>(run("ConvTranspose", {x, w, b}, options, 2)), elements<float>(spread(p, x, w, b)));
}

TEST(ConvTranspose, OutputShape) {
  const Tensor x = Tensor::of<float>({1, 1, 2}, {1, 10});
  const Tensor w = Tensor::of<float>({1, 1, 3}, {1, 2, 3});
  const auto with = [](Ints shape, std::string auto_pad) {
    return attributes({{"strides", Ints{2}}, {"output_shape", std::move(shape)}, {"auto_pad", std::move(auto_pad)}});
  };
  // 1 2 13 20 30 in full
  EXPECT_THAT(elements<float>(run("ConvTranspose", {x, w}, with({4}, "NOTSET"))), ElementsAre(2, 13, 20, 30));
  EXPECT_THAT(elements<float>(run("ConvTranspose", {x, w}, with({4}, "SAME_UPPER"))), ElementsAre(1, 2, 13, 20));
  EXPECT_THAT(elements<float>(run("ConvTranspose", {x, w}, with({7}, "NOTSET"))), ElementsAre(1, 2, 13, 20, 30, 0, 0));
  const auto same = [](std::string auto_pad) {
    return attributes({{"strides", Ints{2}}, {"auto_pad", std::move(auto_pad)}});
  };
  EXPECT_THAT(elements<float>(run("ConvTranspose", {x, w}, same("SAME_UPPER"))), ElementsAre(1, 2, 13, 20));
  EXPECT_THAT(elements<float>(run("ConvTranspose", {x, w}, same("SAME_LOWER"))), ElementsAre(2, 13, 20, 30));
  EXPECT_THAT(elements<float>(run("ConvTranspose", {x, w}, same("VALID"))), ElementsAre(1, 2, 13, 20, 30));
}

TEST(ConvTranspose, EmptyInputs) {
  const Tensor b = vec<float>({1, 2});
  EXPECT_EQ(run("ConvTranspose", {ramp({0, 3, 4}), ramp({3, 2, 2}), b}).shape(), Shape({0, 2, 5}));
  EXPECT_THAT(elements<float>(run("ConvTranspose", {ramp({1, 0, 2}), ramp({0, 2, 2}), b})),
              ElementsAre(1, 1, 1, 2, 2, 2));
  EXPECT_THAT(elements<float>(run("ConvTranspose", {ramp({1, 1, 0}), ramp({1, 2, 3}), b})), ElementsAre(1, 1, 2, 2));
}

TEST(ConvTranspose, RefusesWhatDoesNotFit) {
  const Tensor x = ramp({1, 2, 4, 4}), w = ramp({2, 3, 3, 3});
  const auto reason = [&](std::vector<std::pair<std::string, tensor::Attribute>> entries) {
    return reason_of([&] { run("ConvTranspose", {x, w}, attributes(std::move(entries))); });
  };
  EXPECT_EQ(reason_of([&] { run("ConvTranspose", {x, ramp({3, 3, 3, 3})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("ConvTranspose", {x, w, ramp({2})}); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("ConvTranspose", {x, ramp({2, 3, 3})}); }), "op.rank");
  EXPECT_EQ(reason({{"group", I{0}}}), "op.attribute");
  EXPECT_EQ(reason({{"group", I{3}}}), "op.shape");
  EXPECT_EQ(reason({{"pads", Ints{4, 4, 4, 4}}}), "op.shape");
  EXPECT_EQ(reason({{"output_padding", Ints{1, 0}}}), "op.attribute");
  EXPECT_EQ(reason({{"output_padding", Ints{-1, 0}}}), "op.attribute");
  EXPECT_EQ(reason({{"output_shape", Ints{9}}}), "op.attribute");
  EXPECT_EQ(reason({{"output_shape", Ints{-9, 3}}}), "op.attribute");
  EXPECT_EQ(reason({{"output_shape", Ints{I{1} << 62, I{1} << 62}}}), "op.size");
  EXPECT_EQ(reason({{"strides", Ints{INT32_MAX, INT32_MAX}}, {"kernel_shape", Ints{2, 3}}}), "op.shape");
  // Dimensions of a tensor without elements may be anything.
  const Tensor vast = Tensor::allocate(ElementType::kFloat32, {0, 2, I{1} << 40, 4});
  EXPECT_EQ(reason_of([&] {
              run("ConvTranspose", {vast, w}, attributes({{"strides", Ints{INT32_MAX, 1}}}));
            }),
            "op.size");
}

TEST(Col2Im, SumsWhereBlocksOverlap) {
  const Tensor columns = Tensor::of<float>({1, 4, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  EXPECT_THAT(elements<float>(run("Col2Im", {columns, vec<I>({3, 3}), vec<I>({2, 2})})),
              ElementsAre(1, 7, 6, 12, 34, 22, 11, 27, 16));
}

// Of columns that a Conv's windows read, it is the transpose: a ConvTranspose with weights that pick one tap each.
TEST(Col2Im, AgreesWithConvTranspose) {
  for (const I stride : {1, 2}) {
    for (const I dilation : {1, 2}) {
      for (const I pad : {0, 1}) {
        const I size = 9, kernel = 3;
        const I positions = (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
        const I covered = (positions - 1) * stride + dilation * (kernel - 1) + 1 - 2 * pad;
        const Tensor columns = ramp({2, 2 * kernel, positions});
        Tensor picks = Tensor::allocate(ElementType::kFloat32, {2 * kernel, 2, kernel});
        for (I i = 0; i < picks.element_count(); ++i) {
          const I row = i / (2 * kernel);
          picks.data<float>()[i] = i % (2 * kernel) == row ? 1.0f : 0.0f;
        }
        const auto options =
            attributes({{"strides", Ints{stride}}, {"dilations", Ints{dilation}}, {"pads", Ints{pad, pad}}});
        const Tensor image = run("Col2Im", {columns, vec<I>({covered}), vec<I>({kernel})}, options, 2);
        EXPECT_EQ(image.shape(), Shape({2, 2, covered}));
        EXPECT_EQ(elements<float>(image), elements<float>(run("ConvTranspose", {columns, picks}, options)));
      }
    }
  }
}

TEST(Col2Im, RefusesWhatDoesNotFit) {
  const auto reason = [](const Tensor& columns, const Tensor& image, const Tensor& block) {
    return reason_of([&] { run("Col2Im", {columns, image, block}); });
  };
  EXPECT_EQ(run("Col2Im", {ramp({0, 4, 4}), vec<I>({3, 3}), vec<I>({2, 2})}).shape(), Shape({0, 1, 3, 3}));
  EXPECT_EQ(reason(ramp({1, 4, 5}), vec<I>({3, 3}), vec<I>({2, 2})), "op.shape");
  EXPECT_EQ(reason(ramp({1, 5, 4}), vec<I>({3, 3}), vec<I>({2, 2})), "op.shape");
  EXPECT_EQ(reason(ramp({1, 4, 4}), vec<I>({3, 3}), vec<I>({2})), "op.attribute");
  EXPECT_EQ(reason(ramp({1, 4, 4}), vec<I>({3, 3}), vec<I>({0, 2})), "op.shape");
  EXPECT_EQ(reason(ramp({1, 4, 4}), vec<I>({-3, 3}), vec<I>({2, 2})), "op.shape");
  EXPECT_EQ(reason(ramp({1, 4, 4}), vec<I>({1, 1, 1, 1}), vec<I>({2, 2})), "op.shape");
  EXPECT_EQ(reason(ramp({4, 4}), vec<I>({3, 3}), vec<I>({2, 2})), "op.rank");
  const I vast = I{1} << 31;
  EXPECT_EQ(reason(ramp({1, 4, 0}), vec<I>({0, 0, 0}), vec<I>({vast - 1, vast - 1, vast - 1})), "op.size");
}

}  // namespace
}  // namespace lanner::kernels::testing
