#include "kernels/logit_scores.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/order_key.h"
#include "kernels/vector_math.h"

namespace lanner::kernels {

namespace {

constexpr std::uint32_t kSign = 0x80000000u;

// The inverse of order_key for numbers.
LANNER_MULTIVERSION void numbers_of_keys(const std::uint32_t* keys, float* numbers, std::size_t count) {
  LANNER_INDEPENDENT_ITERATIONS
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t negative = (keys[i] >> 31) - 1;  // all ones or zero
    numbers[i] = std::bit_cast<float>(keys[i] ^ (kSign | negative));
  }
}

// The order keys of scores, which are in [0, 1]; returns the least.
LANNER_MULTIVERSION std::uint32_t keys_of_scores(const float* scores, std::uint32_t* keys, std::size_t count) {
  std::uint32_t least = ~0u;
  for (std::size_t i = 0; i < count; ++i) {
    keys[i] = std::bit_cast<std::uint32_t>(scores[i]) | kSign;
    least = std::min(least, keys[i]);
  }
  return least;
}

}  // namespace

Tensor score_all(KernelContext& context, std::span<const float> logits) {
  const auto count = static_cast<std::int64_t>(logits.size());
  Tensor scores = context.allocate_scratch(ElementType::kFloat32, {count});
  base::parallel_for(context.threads(), count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    math::sigmoid_array(logits.data() + begin, scores.data<float>() + begin, end - begin);
  });
  return scores;
}

// A sigmoid is computed to a few units in the last place, so where its exact value is below the threshold by far more
// than that, the computed one is not above it.
std::optional<float> logit_bound(const CandidateFilter& filter) {
  constexpr double kSlack = 1e-4;
  constexpr float kLeast = 1e-30f;  // far from where scores become subnormal
  if (filter.all || !(filter.floor >= kLeast && filter.floor <= 1.0f)) return std::nullopt;
  const double reached = static_cast<double>(filter.floor) * (1 - kSlack);
  return static_cast<float>(std::log(reached / (1 - reached)));
}

void score_logits(CandidateList& list, float floor, std::vector<float>& scratch) {
  if (list.size == 0) return;
  if (scratch.size() < list.size) scratch.resize(list.size);
  numbers_of_keys(list.keys, scratch.data(), list.size);
  math::sigmoid_array(scratch.data(), scratch.data(), static_cast<std::int64_t>(list.size));
  const std::uint32_t least = keys_of_scores(scratch.data(), list.keys, list.size);
  const std::uint32_t floor_key = order_key(floor);
  if (least > floor_key) return;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < list.size; ++i) {
    if (list.keys[i] <= floor_key) continue;
    list.keys[kept] = list.keys[i];
    list.rows[kept] = list.rows[i];
    ++kept;
  }
  list.size = kept;
}

}  // namespace lanner::kernels
