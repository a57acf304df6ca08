#include "kernels/strided.h"

#include <numeric>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

TEST(StridedBlock, MergesWhatIsContiguousInBothAndDropsOnes) {
  StridedBlock block;
  block.add(2, 12, 12);
  block.add(1, 99, 7);
  block.add(3, 4, 4);
  block.add(4, 1, 1);
  EXPECT_EQ(block.rank, 1);
  EXPECT_EQ(block.dims[0], 24);
  block.add(5, 0, 1);
  EXPECT_EQ(block.rank, 2);
  EXPECT_EQ(block.count, 120);
}

TEST(StridedBlock, WalksAnyPartOfItself) {
  StridedBlock block{};  // all of it, because g++ does not see that nothing else is read
  block.add(2, 10, 3);
  block.add(3, 2, 1);
  std::vector<std::int64_t> seen;
  for_each_row(block, 1, 5, [&](std::int64_t from, std::int64_t to, std::int64_t length) {
    seen.insert(seen.end(), {from, to, length});
  });
  EXPECT_THAT(seen, ::testing::ElementsAre(2, 1, 2, 10, 3, 2));
}

// Transposes a [tall, wide] matrix of elements of `type`, whatever its values.
template <typename T>
void expect_transposed(std::int64_t tall, std::int64_t wide, int threads) {
  std::vector<T> in(static_cast<std::size_t>(tall * wide));
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(i * 7 + 1);
  std::vector<T> out(in.size());
  StridedBlock block;
  block.add(wide, 1, tall);
  block.add(tall, wide, 1);
  copy_block(threads, block, element_type_of<T>(), in.data(), out.data());
  for (std::int64_t y = 0; y < tall; ++y) {
    for (std::int64_t x = 0; x < wide; ++x) {
      ASSERT_EQ(out[static_cast<std::size_t>(x * tall + y)], in[static_cast<std::size_t>(y * wide + x)])
          << y << ' ' << x;
    }
  }
}

TEST(CopyBlock, TransposesInTilesOfEveryWidth) {
  for (const int threads : {1, 4}) {
    for (const auto& [tall, wide] : {std::pair{3, 1000}, std::pair{1000, 3}, std::pair{37, 41}, std::pair{530, 300}}) {
      expect_transposed<std::uint8_t>(tall, wide, threads);
      expect_transposed<std::int16_t>(tall, wide, threads);
      expect_transposed<float>(tall, wide, threads);
      expect_transposed<double>(tall, wide, threads);
    }
  }
}

TEST(CopyBlock, MovesShortRowsWhereverTheyLie) {
  // Pairs of int16 at an odd offset may not be read as int32.
  for (const std::int64_t shift : {0, 1}) {
    std::vector<std::int16_t> in(64);
    std::iota(in.begin(), in.end(), std::int16_t{0});
    std::vector<std::int16_t> out(64, -1);
    StridedBlock block;
    block.add(10, 4, 2);
    block.add(2, 1, 1);
    copy_block(1, block, ElementType::kInt16, in.data() + shift, out.data());
    for (int i = 0; i < 20; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], i / 2 * 4 + i % 2 + shift);
    EXPECT_EQ(out[20], -1);
  }
}

TEST(CopyBlock, ReversesAndRepeats) {
  const float in[] = {1, 2, 3};
  float out[9];
  StridedBlock block;
  block.add(3, 0, 3);
  block.add(3, -1, 1);
  copy_block(1, block, ElementType::kFloat32, in + 2, out);
  EXPECT_THAT(out, ::testing::ElementsAre(3, 2, 1, 3, 2, 1, 3, 2, 1));
}

TEST(CopyBlock, RefusesWhatIsNoType) {
  std::uint8_t byte = 0;
  EXPECT_EQ(reason_of([&] { copy_elements(1, ElementType::kUndefined, 1, &byte, &byte); }), "op.type");
}

}  // namespace
}  // namespace lanner::kernels::testing
