// What the tests and micro-benchmarks of the detection-head kernels share: seeded boxes and scores, from the harmless
// to the hostile.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "kernels/head_loops.h"
#include "kernels/loops_testing.h"
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

// Logits of few or of many different values, odd ones among them.
inline void fill_logits(Random& random, Tensor& logits, bool ties) {
  for (float& logit : logits.values<float>()) {
    logit = ties ? 0.5f * static_cast<float>(random.below(20) - 10) : 40 * (random.unit() - 0.7f);
    if (random.one_in(30)) logit = random.one_in(2) ? INFINITY : -INFINITY;
    if (random.one_in(30)) logit = random.one_in(2) ? NAN : -0.0f;
  }
}

inline void raise_column(Tensor& rows, std::int64_t column, float by) {
  const std::int64_t length = rows.shape()[rows.rank() - 1];
  for (std::int64_t i = column; i < rows.element_count(); i += length) rows.data<float>()[i] += by;
}

// Thresholds at, just below and just above one of the scores, or where bounds for logits end.
inline std::optional<float> threshold_near(Random& random, const Tensor& scores) {
  if (!random.one_in(4) && scores.element_count() > 0) {
    const float score = scores.data<float>()[random.below(scores.element_count())];
    return random.one_in(3) ? std::nextafterf(score, random.one_in(2) ? 0.0f : 1.0f) : score;
  }
  constexpr float kThresholds[] = {0.99999994f, 1, 1e-30f, 1e-38f, 1e-8f, 0, -1, NAN};
  if (random.one_in(2)) return kThresholds[random.below(8)];
  return std::nullopt;
}

// Suppression as it is defined, one pair of boxes after another; for one class. The kernels' arithmetic and order, none
// of their code.
inline std::vector<std::int64_t> suppress_by_definition(const float* boxes, std::span<const float> scores,
                                                        std::int64_t limit, float iou_threshold,
                                                        std::optional<float> score_threshold, bool centered) {
  struct Sides {
    float x_min, y_min, x_max, y_max;
    float area() const { return (x_max - x_min) * (y_max - y_min); }
  };
  const auto sides_of = [&](std::int64_t row) -> Sides {
    const float* b = boxes + 4 * row;
    if (centered) return {b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2};
    return {std::fmin(b[1], b[3]), std::fmin(b[0], b[2]), std::fmax(b[1], b[3]), std::fmax(b[0], b[2])};
  };
  const auto has_nan = [&](std::int64_t row) {
    return std::any_of(boxes + 4 * row, boxes + 4 * row + 4, [](float value) { return std::isnan(value); });
  };
  const auto overlap = [&](std::int64_t first, std::int64_t second) {
    if (has_nan(first) || has_nan(second)) return false;
    const Sides a = sides_of(first);
    const Sides b = sides_of(second);
    if (!(a.area() > 0) || !(b.area() > 0)) return false;
    const float width = std::min(a.x_max, b.x_max) - std::max(a.x_min, b.x_min);
    const float height = std::min(a.y_max, b.y_max) - std::max(a.y_min, b.y_min);
    if (!(width > 0) || !(height > 0)) return false;
    const float intersection = width * height;
    const float joined = a.area() + b.area() - intersection;
    return intersection > 0 && joined > 0 && intersection / joined > iou_threshold;
  };
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](std::int64_t row) {
    return score_threshold && !(scores[static_cast<std::size_t>(row)] > *score_threshold);
  });
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t first, std::int64_t second) {
    const float a = scores[static_cast<std::size_t>(first)];
    const float b = scores[static_cast<std::size_t>(second)];
    return a > b || (!std::isnan(a) && std::isnan(b));
  });
  std::vector<std::int64_t> kept;
  for (const std::int64_t row : order) {
    if (static_cast<std::int64_t>(kept.size()) >= limit) break;
    if (std::none_of(kept.begin(), kept.end(), [&](std::int64_t other) { return overlap(other, row); })) {
      kept.push_back(row);
    }
  }
  return kept;
}

// Runs `body` with the inner loops of each instruction set that was compiled and that this CPU has.
template <typename Body>
void for_each_instruction_set(Body&& body) {
  for_each_instruction_set(head_loops_of_cpu(), body);
}

}  // namespace lanner::kernels::testing
