#include <numeric>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<I>;
using ::testing::ElementsAre;

Tensor counting(const Shape& shape) {
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  const auto values = tensor.values<float>();
  std::iota(values.begin(), values.end(), 0.0f);
  return tensor;
}

TEST(Transpose, ReversesTheDimensionsByDefault) {
  const Tensor out = run("Transpose", {counting({2, 3})});
  EXPECT_EQ(out.shape(), Shape({3, 2}));
  EXPECT_THAT(elements<float>(out), ElementsAre(0, 3, 1, 4, 2, 5));
}

TEST(Transpose, FollowsPermElementByElement) {
  const Tensor in = counting({2, 3, 4, 5});
  Ints perm{0, 1, 2, 3};
  do {
    const Tensor out = run("Transpose", {in}, attributes({{"perm", perm}}));
    const float* at = out.data<float>();
    const Shape& shape = out.shape();
    I index[4];
    for (index[0] = 0; index[0] < shape[0]; ++index[0]) {
      for (index[1] = 0; index[1] < shape[1]; ++index[1]) {
        for (index[2] = 0; index[2] < shape[2]; ++index[2]) {
          for (index[3] = 0; index[3] < shape[3]; ++index[3]) {
            I from[4];
            for (std::size_t i = 0; i < 4; ++i) from[perm[i]] = index[i];
            ASSERT_EQ(*at++, static_cast<float>(((from[0] * 3 + from[1]) * 4 + from[2]) * 5 + from[3]));
          }
        }
      }
    }
  } while (std::next_permutation(perm.begin(), perm.end()));
}

TEST(Transpose, DoesNotDependOnThreads) {
  const Tensor in = counting({3, 40, 50, 7});
  for (const Ints& perm : {Ints{0, 2, 3, 1}, Ints{3, 1, 0, 2}, Ints{2, 0, 1, 3}}) {
    const auto one = elements<float>(run("Transpose", {in}, attributes({{"perm", perm}}), 1));
    EXPECT_EQ(one, elements<float>(run("Transpose", {in}, attributes({{"perm", perm}}), 4)));
  }
}

TEST(Transpose, TakesScalarsEmptyTensorsAndStrings) {
  EXPECT_THAT(elements<float>(run("Transpose", {Tensor::scalar(3.0f)})), ElementsAre(3));
  EXPECT_EQ(run("Transpose", {counting({0, 3})}).shape(), Shape({3, 0}));
  const Tensor words = Tensor::of<std::string>({2, 2}, {"a", "b", "c", "d"});
  EXPECT_THAT(elements<std::string>(run("Transpose", {words})), ElementsAre("a", "c", "b", "d"));
}

TEST(Transpose, RefusesWhatIsNoPermutation) {
  for (const Ints& perm : {Ints{0, 0}, Ints{0, 2}, Ints{-1, 0}}) {
    EXPECT_EQ(reason_of([&] { run("Transpose", {counting({2, 3})}, attributes({{"perm", perm}})); }), "op.attribute");
  }
  EXPECT_EQ(reason_of([&] { run("Transpose", {counting({2, 3})}, attributes({{"perm", Ints{0}}})); }), "op.rank");
}

TEST(DepthToSpace, OrdersByMode) {
  const Tensor in = counting({1, 8, 1, 1});
  const auto with = [&](const char* mode) {
    return run("DepthToSpace", {in}, attributes({{"blocksize", I{2}}, {"mode", std::string(mode)}}));
  };
  EXPECT_EQ(with("DCR").shape(), Shape({1, 2, 2, 2}));
  EXPECT_THAT(elements<float>(with("DCR")), ElementsAre(0, 2, 4, 6, 1, 3, 5, 7));
  EXPECT_THAT(elements<float>(with("CRD")), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(reason_of([&] { with("RCD"); }), "op.attribute");
}

TEST(SpaceToDepth, InvertsDepthToSpace) {
  const Tensor in = counting({2, 12, 3, 5});
  for (const char* mode : {"DCR", "CRD"}) {
    const auto with = attributes({{"blocksize", I{2}}, {"mode", std::string(mode)}});
    const Tensor out = run("SpaceToDepth", {run("DepthToSpace", {in}, with)}, with);
    EXPECT_EQ(out.shape(), in.shape());
    EXPECT_EQ(elements<float>(out), elements<float>(in));
  }
}

TEST(SpaceToDepth, RefusesWhatDoesNotDivide) {
  const auto by = [](I size) { return attributes({{"blocksize", size}}); };
  EXPECT_EQ(reason_of([&] { run("SpaceToDepth", {counting({1, 1, 4, 3})}, by(2)); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("DepthToSpace", {counting({1, 6, 4, 3})}, by(2)); }), "op.shape");
  EXPECT_EQ(reason_of([&] { run("DepthToSpace", {counting({4, 4, 4})}, by(2)); }), "op.rank");
  EXPECT_EQ(reason_of([&] { run("DepthToSpace", {counting({1, 4, 1, 1})}, by(0)); }), "op.attribute");
  EXPECT_EQ(reason_of([&] { run("DepthToSpace", {counting({1, 4, 1, 1})}); }), "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
