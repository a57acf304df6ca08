#include "kernels/overlap_table.h"

#include "base/parallel.h"
#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

constexpr float kThreshold = 0.3f;

struct Boxes {
  explicit Boxes(std::int64_t count) {
    Random random(41);
    corners = random_boxes(random, count, 1, 5);
    blocks.resize(block_count(static_cast<std::size_t>(count)));
    bounds.resize(block_count(blocks.size()));
    head_loops().make_blocks(corners.data<float>(), static_cast<std::size_t>(count), false, blocks.data());
    make_bounds(blocks, bounds.data());
  }
  BlockedBoxes blocked() const { return {blocks, bounds}; }
  // Whether two boxes overlap, by suppressing one by the other.
  bool overlap(std::size_t a, std::size_t b) const {
    float pair[8];
    std::copy_n(corners.data<float>() + 4 * a, 4, pair);
    std::copy_n(corners.data<float>() + 4 * b, 4, pair + 4);
    const float scores[] = {2, 1};
    return suppress_by_definition(pair, scores, 2, kThreshold, {}, false).size() == 1;
  }

  Tensor corners;
  std::vector<BoxBlock> blocks;
  std::vector<BoxBlock> bounds;
};

TEST(OverlapTable, HasABitForEachOverlapAndNoOther) {
  constexpr std::size_t kCount = 300;
  std::size_t overlaps = 0;
  for_each_instruction_set([&] {
    const Boxes boxes(kCount);
    OverlapTable table(head_loops(), boxes.blocked(), kThreshold, 1 << 20, heap_allocator());
    std::vector<std::uint16_t> own(table.row_words());
    for (std::size_t i = 0; i < kCount; ++i) {
      const std::uint16_t* row = table.row(i, own.data());
      EXPECT_NE(row, own.data());
      for (std::size_t k = 0; k < kCount; ++k) {
        const bool bit = (row[k / kBlock] >> (k % kBlock) & 1) != 0;
        ASSERT_EQ(bit, boxes.overlap(i, k)) << i << " " << k;
        overlaps += bit ? 1 : 0;
      }
      for (std::size_t k = kCount; k < table.row_words() * kBlock; ++k) {
        ASSERT_EQ(row[k / kBlock] >> (k % kBlock) & 1, 0);
      }
    }
  });
  EXPECT_GT(overlaps, kCount);
}

TEST(OverlapTable, GivesTheSameRowsToManyThreadsAndWithinAnyBudget) {
  constexpr std::size_t kCount = 200;
  const Boxes boxes(kCount);
  OverlapTable complete(head_loops(), boxes.blocked(), kThreshold, 1 << 20, heap_allocator());
  for (const std::size_t row_budget : {0, 1, 70, 200}) {
    OverlapTable table(head_loops(), boxes.blocked(), kThreshold, row_budget * complete.row_words() * 2,
                       heap_allocator());
    std::atomic<int> different{0};
    base::parallel_for(4, 16, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<std::uint16_t> own(table.row_words());
      for (std::size_t i = 0; i < kCount * static_cast<std::size_t>(end - begin); ++i) {
        const std::uint16_t* row = table.row(i % kCount, own.data());
        for (std::size_t k = 0; k < kCount; ++k) {
          const bool bit = (row[k / kBlock] >> (k % kBlock) & 1) != 0;
          if (i < kCount && bit != boxes.overlap(i, k)) ++different;
        }
      }
    });
    EXPECT_EQ(different, 0) << row_budget;
  }
}

}  // namespace
}  // namespace lanner::kernels::testing
