#include <fmt/format.h>

#include <map>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using ::testing::ElementsAre;

Tensor einsum(const std::string& equation, std::vector<Tensor> inputs, int threads = 1) {
  return run("Einsum", std::move(inputs), attributes({{"equation", equation}}), threads);
}

// Small whole numbers, so that sums are exact in every order.
Tensor ramp(const Shape& shape, I step = 37) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  I i = 1;
  for (float& value : tensor.values<float>()) value = static_cast<float>(i++ * step % 11 - 5);
  return tensor;
}

// By the definition: terms of letters alone, every index of all letters in turn.
std::vector<float> definition(const std::vector<std::string>& terms, const std::string& output,
                              const std::vector<Tensor>& inputs) {
  std::map<char, I> dims;
  for (std::size_t k = 0; k < terms.size(); ++k) {
    for (std::size_t i = 0; i < terms[k].size(); ++i) {
      I& dim = dims.try_emplace(terms[k][i], 1).first->second;
      dim = std::max(dim, inputs[k].shape()[static_cast<int>(i)]);
    }
  }
  I count = 1;
  for (const char letter : output) count *= dims[letter];
  std::vector<float> result(static_cast<std::size_t>(count), 0);
  I all = 1;
  for (const auto& [letter, dim] : dims) all *= dim;
  for (I at = 0; at < all; ++at) {
    std::map<char, I> index;
    I rest = at;
    for (const auto& [letter, dim] : dims) {
      index[letter] = rest % dim;
      rest /= dim;
    }
    float product = 1;
    for (std::size_t k = 0; k < terms.size(); ++k) {
      I offset = 0;
      for (std::size_t i = 0; i < terms[k].size(); ++i) {
        const I dim = inputs[k].shape()[static_cast<int>(i)];
        offset = offset * dim + (dim == 1 ? 0 : index[terms[k][i]]);
      }
      product *= inputs[k].data<float>()[offset];
    }
    I offset = 0;
    for (const char letter : output) offset = offset * dims[letter] + index[letter];
    result[static_cast<std::size_t>(offset)] += product;
  }
  return result;
}

void check(const std::vector<std::string>& terms, const std::string& output, const std::vector<Shape>& shapes) {
  std::vector<Tensor> inputs;
  for (const Shape& shape : shapes) inputs.push_back(ramp(shape, 37 + 2 * static_cast<I>(inputs.size())));
  const std::string equation = fmt::format("{}->{}", fmt::join(terms, ","), output);
  const Tensor y = einsum(equation, inputs);
  EXPECT_EQ(elements<float>(y), definition(terms, output, inputs)) << equation;
  EXPECT_EQ(y.rank(), static_cast<int>(output.size()));
  EXPECT_EQ(elements<float>(einsum(equation, inputs, 4)), elements<float>(y)) << equation;
}

TEST(Einsum, AgreesWithTheDefinition) {
  check({"ij"}, "ji", {{3, 4}});
  check({"ij"}, "i", {{3, 4}});
  check({"ij"}, "", {{3, 4}});
  check({"ijk"}, "kj", {{3, 4, 5}});
  check({"iij"}, "ji", {{3, 3, 4}});
  check({"ii"}, "", {{5, 5}});
  check({"i", "i"}, "", {{5}, {5}});
  check({"i", "j"}, "ji", {{5}, {3}});
  check({"ij", "jk"}, "ik", {{3, 4}, {4, 5}});
  check({"ij", "jk"}, "ki", {{30, 40}, {40, 50}});
  check({"bij", "bjk"}, "bik", {{5, 2, 3}, {5, 3, 4}});
  check({"bhid", "bhjd"}, "bhij", {{2, 3, 4, 5}, {2, 3, 6, 5}});
  check({"bihd", "bjhd"}, "bhij", {{2, 4, 3, 5}, {2, 6, 3, 5}});
  check({"abcd", "cbed"}, "eda", {{2, 3, 4, 5}, {4, 3, 6, 5}});
  check({"ij", "ij"}, "ij", {{3, 4}, {3, 4}});
  check({"ij", "j"}, "ij", {{3, 4}, {4}});
  check({"ijz", "jk"}, "ik", {{3, 4, 2}, {4, 5}});
  check({"ij", "jkz"}, "k", {{3, 4}, {4, 5, 2}});
  check({"i", "ij", "j"}, "", {{3}, {3, 4}, {4}});
  check({"ab", "bc", "cd", "da"}, "bd", {{2, 3}, {3, 4}, {4, 5}, {5, 2}});
  check({"Aa", "aA"}, "Aa", {{2, 3}, {3, 2}});
  check({"abcdefgh"}, "hgfedcba", {{1, 2, 1, 3, 1, 2, 1, 2}});
}

TEST(Einsum, Broadcasts) {
  check({"ij", "jk"}, "ik", {{3, 1}, {4, 5}});
  check({"bij", "bjk"}, "bik", {{1, 2, 3}, {5, 3, 4}});
  check({"ij", "ij"}, "i", {{1, 4}, {3, 1}});
  const Tensor a = ramp({2, 1, 3, 4});
  const Tensor b = ramp({5, 4, 6});
  EXPECT_EQ(einsum("...ij,...jk->...ik", {a, b}).shape(), Shape({2, 5, 3, 6}));
  EXPECT_EQ(elements<float>(einsum("...ij,...jk->...ik", {a, b})), elements<float>(run("MatMul", {a, b})));
  EXPECT_EQ(elements<float>(einsum("i...j, ...jk", {ramp({3, 2, 4}), ramp({4, 6})})),
            definition({"iej", "jk"}, "eik", {ramp({3, 2, 4}), ramp({4, 6})}));
  // What the output leaves out is summed.
  EXPECT_EQ(elements<float>(einsum("...i->i", {ramp({2, 3, 4})})), definition({"abi"}, "i", {ramp({2, 3, 4})}));
}

TEST(Einsum, OrdersImplicitOutputs) {
  const Tensor x = ramp({2, 3});
  EXPECT_EQ(elements<float>(einsum("ba", {x})), definition({"ba"}, "ab", {x}));
  EXPECT_EQ(elements<float>(einsum("aB", {x})), definition({"aB"}, "Ba", {x}));
  EXPECT_EQ(einsum(" i j , j k ", {ramp({2, 3}), ramp({3, 4})}).shape(), Shape({2, 4}));
  EXPECT_EQ(einsum("b...a", {ramp({2, 3, 4, 5})}).shape(), Shape({3, 4, 5, 2}));
  EXPECT_EQ(einsum("...ii->...i", {ramp({3, 5, 5})}).shape(), Shape({3, 5}));
  EXPECT_EQ(einsum("ii", {ramp({3, 3})}).shape(), Shape({}));
}

TEST(Einsum, TakesEveryTypeScalarsAndEmptyTensors) {
  EXPECT_EQ(*einsum("->", {Tensor::scalar(3.5)}).data<double>(), 3.5);
  EXPECT_EQ(*einsum(",i->", {Tensor::scalar(2.0f), vec<float>({1, 2})}).data<float>(), 6);
  const Tensor bytes = vec<std::uint8_t>({16, 17, 3});
  EXPECT_THAT(elements<std::uint8_t>(einsum("i,i->i", {bytes, bytes})), ElementsAre(0, 33, 9));
  const Tensor small = vec<std::int8_t>({100, 100, -3});
  EXPECT_THAT(elements<std::int8_t>(einsum("i->", {small})), ElementsAre(-59));
  EXPECT_THAT(elements<std::int16_t>(einsum("i,j->ij", {vec<std::int16_t>({-300, 2}), vec<std::int16_t>({300, 5})})),
              ElementsAre(-24464, -1500, 600, 10));
  EXPECT_THAT(
      elements<std::uint64_t>(einsum("i,i->", {vec<std::uint64_t>({1ull << 63, 3}), vec<std::uint64_t>({2, 5})})),
      ElementsAre(15));
  EXPECT_THAT(elements<float>(einsum("ij->i", {Tensor::allocate(ElementType::kFloat32, {2, 0})})), ElementsAre(0, 0));
  EXPECT_THAT(elements<float>(einsum("ij,jk->ik", {Tensor::allocate(ElementType::kFloat32, {2, 0}),
                                                   Tensor::allocate(ElementType::kFloat32, {0, 1})})),
              ElementsAre(0, 0));
  EXPECT_EQ(einsum("ij,jk->ik", {Tensor::allocate(ElementType::kFloat32, {0, 2}), ramp({2, 3})}).shape(),
            Shape({0, 3}));
  EXPECT_EQ(einsum("ij,ij->ij", {Tensor::allocate(ElementType::kFloat32, {0, 2}), ramp({1, 2})}).shape(),
            Shape({0, 2}));
}

TEST(Einsum, RefusesNonsense) {
  const Tensor x = ramp({2, 3});
  const auto reason = [](const std::string& equation, std::vector<Tensor> inputs) {
    return reason_of([&] { einsum(equation, std::move(inputs)); });
  };
  for (const char* equation :
       {"i1->i", "ij->ik", "ij->ii", "ij->...i", "i..j", "......", "ij->i->j", "ij-i", "ij->i,j"}) {
    EXPECT_EQ(reason(equation, {x}), "op.attribute") << equation;
  }
  EXPECT_EQ(reason("ij,jk", {x}), "op.input");
  EXPECT_EQ(reason("i", {x}), "op.rank");
  EXPECT_EQ(reason("ijk...", {x}), "op.rank");
  EXPECT_EQ(reason("ii", {x}), "op.shape");
  EXPECT_EQ(reason("ii", {ramp({1, 3})}), "op.shape");
  EXPECT_EQ(reason("ij,jk", {x, x}), "op.shape");
  EXPECT_EQ(reason("ij,kj", {x, vec<double>({1}).reshaped({1, 1})}), "op.type");
  EXPECT_EQ(reason("a,b,c", {Tensor::allocate(ElementType::kFloat32, {0}), vec<std::int32_t>({1}), x}), "op.type");
  EXPECT_EQ(reason("i", {Tensor::of<bool>({1}, {true})}), "op.type");
  // The result would have 9 dimensions.
  EXPECT_EQ(reason("abcdef,ghi->abcdefghi", {ramp({1, 1, 1, 1, 1, 1}), ramp({1, 1, 1})}), "op.rank");
}

}  // namespace
}  // namespace lanner::kernels::testing
