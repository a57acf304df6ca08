// What the tests and micro-benchmarks of the detection-head kernels share: seeded boxes and scores, from the harmless
// to the hostile.
#pragma once

#include <cmath>
#include <cstdint>

#include "lanner/tensor.h"

namespace lanner::kernels::testing {

// A small generator whose numbers are the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  std::uint32_t bits() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  // In [0, count).
  std::int64_t below(std::int64_t count) {
    return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(count));
  }
  bool one_in(std::int64_t count) { return below(count) == 0; }
  // In [0, 1).
  float unit() { return static_cast<float>(bits() >> 7) / 16777216.0f; }

 private:
  std::uint64_t state_;
};

// Corners [count,4] around a few centres in a unit square times `size`. One in `oddity` boxes is odd: the same as an
// earlier one, flipped, without area, beyond the square, or not a number.
inline Tensor random_boxes(Random& random, std::int64_t count, float size = 1, std::int64_t oddity = 6) {
  Tensor boxes = Tensor::allocate(ElementType::kFloat32, {count, 4});
  auto* box = boxes.data<float>();
  constexpr int kCentres = 8;
  float centres[2 * kCentres];
  for (float& value : centres) value = random.unit();
  for (std::int64_t i = 0; i < count; ++i, box += 4) {
    const std::int64_t centre = random.below(kCentres);
    for (int axis = 0; axis < 2; ++axis) {
      const float middle = centres[2 * centre + axis] + 0.1f * random.unit();
      const float half = 0.02f + 0.1f * random.unit();
      box[axis] = size * std::fmax(0.0f, middle - half);
      box[axis + 2] = size * (middle + half);
    }
    if (oddity == 0 || !random.one_in(oddity)) continue;
    switch (random.below(6)) {
      case 0:
      case 1:
        if (i > 0) std::copy_n(boxes.data<float>() + 4 * random.below(i), 4, box);
        break;
      case 2:
        std::swap(box[0], box[2]);
        break;
      case 3:
        box[3] = box[1];
        break;
      case 4:
        box[random.below(4)] *= -3;
        break;
      default: {
        constexpr float kOdd[] = {NAN, INFINITY, -INFINITY, 3e38f, -0.0f, 1e-40f};
        box[random.below(4)] = kOdd[random.below(6)];
      }
    }
  }
  return boxes;
}

// Scores in [0, 1); of few different values when `ties`, and with odd ones among them when `odd`.
inline void fill_scores(Random& random, Tensor& scores, bool ties, bool odd) {
  for (float& score : scores.values<float>()) {
    score = ties ? static_cast<float>(random.below(5)) / 4 : random.unit();
    if (!odd || !random.one_in(5)) continue;
    constexpr float kOdd[] = {NAN, -NAN, INFINITY, -INFINITY, -0.0f, 0.0f, -1.0f, 1e-40f};
    score = kOdd[random.below(8)];
  }
}

}  // namespace lanner::kernels::testing
