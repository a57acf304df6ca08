#include "kernels/broadcast.h"

#include <functional>
#include <numeric>
#include <random>

#include "kernels/kernel_testing.h"

namespace lanner::kernels::testing {
namespace {

TEST(BroadcastShape, FollowsTheDocument) {
  EXPECT_EQ(broadcast_shape({2, 3, 4, 5}, {}), Shape({2, 3, 4, 5}));
  EXPECT_EQ(broadcast_shape({4, 5}, {2, 3, 4, 5}), Shape({2, 3, 4, 5}));
  EXPECT_EQ(broadcast_shape({1, 4, 5}, {2, 3, 1, 1}), Shape({2, 3, 4, 5}));
  EXPECT_EQ(broadcast_shape({0, 3}, {1, 3}), Shape({0, 3}));
  EXPECT_EQ(broadcast_shape({1}, {0}), Shape({0}));
  EXPECT_EQ(reason_of([] { broadcast_shape({2, 3}, {2}); }), "op.shape");
  EXPECT_EQ(reason_of([] { broadcast_shape({0}, {2}); }), "op.shape");
}

TEST(PlanBroadcast, MergesWhatAllInputsWalkAlike) {
  const Shape shape{2, 3, 4, 5};
  const Shape row{5};
  const Shape column{2, 3, 1, 1};
  const Shape scalar{1, 1, 1};
  EXPECT_EQ(plan_broadcast(shape, {&shape, &shape}).rank, 1);
  const BroadcastPlan by_scalar = plan_broadcast(shape, {&shape, &scalar});
  EXPECT_EQ(by_scalar.rank, 1);
  EXPECT_EQ(by_scalar.dims[0], 120);
  EXPECT_EQ(by_scalar.moving, 0b01u);
  const BroadcastPlan by_row = plan_broadcast(shape, {&shape, &row});
  EXPECT_EQ(by_row.rank, 2);
  EXPECT_EQ(by_row.dims[0], 5);
  EXPECT_EQ(by_row.dims[1], 24);
  const BroadcastPlan by_column = plan_broadcast(shape, {&shape, &column});
  EXPECT_EQ(by_column.rank, 2);
  EXPECT_EQ(by_column.dims[0], 20);
  EXPECT_EQ(by_column.dims[1], 6);
}

// The element of a tensor of `shape` that position `index` of a tensor of `output` reads, one dimension at a time.
std::int64_t source_of(const Shape& output, const Shape& shape, std::int64_t index) {
  std::int64_t source = 0;
  std::int64_t stride = 1;
  for (int back = 1; back <= output.rank(); ++back) {
    const std::int64_t dim = output[output.rank() - back];
    const std::int64_t at = index % dim;
    index /= dim;
    if (back > shape.rank()) continue;
    const std::int64_t own = shape[shape.rank() - back];
    if (own != 1) source += at * stride;
    stride *= own;
  }
  return source;
}

std::vector<std::int64_t> iota(std::int64_t count, std::int64_t first) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return values;
}

// A shape that broadcasts to `full`: leading dimensions dropped, some made 1.
Shape part_of(const Shape& full, std::mt19937& random) {
  Shape shape;
  for (int i = static_cast<int>(random() % 3); i < full.rank(); ++i) shape.push_back(random() % 2 == 0 ? full[i] : 1);
  return shape;
}

TEST(MapBroadcast, AgreesWithElementByElementIndexing) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    Shape full;
    for (int i = 0; i < 5; ++i) full.push_back(1 + static_cast<std::int64_t>(random() % 4));
    const Shape a = part_of(full, random);
    const Shape b = part_of(full, random);
    // Also where the output is larger than both.
    const Shape shape = round % 2 == 0 ? broadcast_shape(a, b) : full;
    const auto x = iota(a.element_count(), 1000);
    const auto y = iota(b.element_count(), 1);
    std::vector<std::int64_t> out(static_cast<std::size_t>(shape.element_count()));
    map_broadcast(1, plan_broadcast(shape, {&a, &b}), x.data(), y.data(), out.data(), std::minus<>{});
    for (std::int64_t i = 0; i < shape.element_count(); ++i) {
      ASSERT_EQ(out[static_cast<std::size_t>(i)], 1000 + source_of(shape, a, i) - 1 - source_of(shape, b, i))
          << a.to_string() << " " << b.to_string() << " " << shape.to_string() << " at " << i;
    }
  }
}

TEST(SelectBroadcast, AgreesWithElementByElementIndexing) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    Shape full;
    for (int i = 0; i < 4; ++i) full.push_back(1 + static_cast<std::int64_t>(random() % 4));
    const Shape c = part_of(full, random);
    const Shape a = part_of(full, random);
    const Shape b = part_of(full, random);
    std::vector<std::uint8_t> condition(static_cast<std::size_t>(c.element_count()));
    for (auto& bit : condition) bit = static_cast<std::uint8_t>(random() % 2);
    const auto x = iota(a.element_count(), 0);
    const auto y = iota(b.element_count(), 1000);
    std::vector<std::int64_t> out(static_cast<std::size_t>(full.element_count()));
    select_broadcast(1, plan_broadcast(full, {&c, &a, &b}), condition.data(), x.data(), y.data(), out.data());
    for (std::int64_t i = 0; i < full.element_count(); ++i) {
      const bool first = condition[static_cast<std::size_t>(source_of(full, c, i))] != 0;
      ASSERT_EQ(out[static_cast<std::size_t>(i)], first ? source_of(full, a, i) : 1000 + source_of(full, b, i));
    }
  }
}

TEST(ForEachRow, MayBeginAndEndWithinARow) {
  const Shape shape{7, 5, 3};
  const Shape middle{5, 1};
  const Shape outer{7, 1, 3};
  const BroadcastPlan plan = plan_broadcast(shape, {&middle, &outer});
  for (std::int64_t begin = 0; begin < plan.count; begin += 4) {
    for (std::int64_t end = begin + 1; end <= plan.count; end += 7) {
      std::int64_t next = begin;
      for_each_row<2>(plan, begin, end, [&](std::int64_t at, const auto& from, std::int64_t length) {
        ASSERT_EQ(at, next);
        ASSERT_GT(length, 0);
        ASSERT_EQ(from[0], source_of(shape, middle, at));
        ASSERT_EQ(from[1], source_of(shape, outer, at));
        next += length;
      });
      ASSERT_EQ(next, end);
    }
  }
}

}  // namespace
}  // namespace lanner::kernels::testing
