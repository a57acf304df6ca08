// What the operators of detection heads read alike: one-number inputs, score thresholds, and where the scores of
// sibling classes lie in one tensor. Element types and bounds are checked here, so the loops need not.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fail.h"
#include "kernels/head_loops.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

// The one number of an optional input; nothing when it is absent. Throws `op.input`.
template <typename T>
std::optional<T> read_scalar(const KernelContext& context, int index, std::string_view name) {
  const Tensor* tensor = context.optional_input(index);
  if (tensor == nullptr) return std::nullopt;
  if (tensor->element_type() != element_type_of<T>() || tensor->element_count() != 1) {
    base::invalid("op.input", "input '{}' must be one {} number, but is {}", name,
                  element_type_name(element_type_of<T>()), tensor->type_string());
  }
  return *tensor->data<T>();
}

// The same for a count, int64 or int32; `otherwise` when it is absent.
inline std::int64_t read_count(const KernelContext& context, int index, std::string_view name, std::int64_t otherwise) {
  const Tensor* tensor = context.optional_input(index);
  if (tensor != nullptr && tensor->element_type() == ElementType::kInt32) {
    return *read_scalar<std::int32_t>(context, index, name);
  }
  return read_scalar<std::int64_t>(context, index, name).value_or(otherwise);
}

// Throws `op.value` unless it is in [0, 1]; 0 when absent.
inline float read_iou_threshold(const KernelContext& context, int index) {
  const float threshold = read_scalar<float>(context, index, "iou_threshold").value_or(0.0f);
  if (!(threshold >= 0.0f && threshold <= 1.0f)) {
    base::invalid("op.value", "input 'iou_threshold' must be in [0, 1], but is {}", threshold);
  }
  return threshold;
}

// A candidate's score is above every threshold that is given; NaN is above none, nothing is above NaN.
class ScoreFloor {
 public:
  ScoreFloor() = default;
  explicit ScoreFloor(std::optional<float> threshold) : threshold_(threshold) {}
  ScoreFloor(std::optional<float> first, std::optional<float> second) : threshold_(first) {
    if (second && !(threshold_ && (std::isnan(*threshold_) || *threshold_ >= *second))) threshold_ = second;
  }
  // Without a threshold every score is a candidate, NaN as well, with this order key.
  CandidateFilter filter(std::uint32_t nan_key) const { return {!threshold_, threshold_.value_or(0.0f), nan_key}; }

 private:
  std::optional<float> threshold_;
};

// Attribute `activation`: what makes scores of what the input `scores` holds, as the operator of that name does;
// "Softmax" along its last axis.
enum class Activation : std::uint8_t { kNone, kSigmoid, kSoftmax };
inline Activation read_activation(const tensor::Attributes& attributes) {
  const std::string name = attributes.get_string("activation", "");
  if (name.empty()) return Activation::kNone;
  if (name == "Sigmoid") return Activation::kSigmoid;
  if (name == "Softmax") return Activation::kSoftmax;
  base::invalid("op.attribute", "attribute 'activation' must be Sigmoid, Softmax or absent, but is '{}'", name);
}

// Attributes `offsets` and `row_stride`: sibling k's score of row r is element offsets[k] + r * row_stride.
struct SiblingLayout {
  std::vector<std::int64_t> offsets;
  std::int64_t row_stride = 1;

  explicit SiblingLayout(const tensor::Attributes& attributes)
      : offsets(attributes.get_ints("offsets")), row_stride(attributes.require_int("row_stride")) {
    for (const std::int64_t offset : offsets) {
      if (offset < 0) base::invalid("op.attribute", "attribute 'offsets' must not be negative, but holds {}", offset);
    }
    if (row_stride < 0) {
      base::invalid("op.attribute", "attribute 'row_stride' must not be negative, but is {}", row_stride);
    }
  }
  // The elements of `scores`, which check() allowed, from the first to the last that a sibling has among `row_count`
  // rows.
  std::span<const float> used(const Tensor& scores, std::int64_t row_count) const {
    if (row_count <= 0 || offsets.empty()) return {};
    const auto [first, last] = std::minmax_element(offsets.begin(), offsets.end());
    return scores.values<float>().subspan(static_cast<std::size_t>(*first),
                                          static_cast<std::size_t>(*last - *first + (row_count - 1) * row_stride + 1));
  }
  std::int64_t sibling_count() const { return static_cast<std::int64_t>(offsets.size()); }

  // Throws `op.type`, `op.size`, and `op.shape` when `row_count` rows of all siblings are not within `scores`.
  void check(const Tensor& scores, std::int64_t row_count) const {
    if (scores.element_type() != ElementType::kFloat32) {
      base::fail(ErrorCode::kUnimplemented, "op.type", "scores must be float32, but are {}",
                 element_type_name(scores.element_type()));
    }
    if (row_count > std::numeric_limits<std::uint32_t>::max()) {
      base::invalid("op.size", "{} rows of scores are too many", row_count);
    }
    if (row_count <= 0 || offsets.empty()) return;
    const std::int64_t furthest = *std::max_element(offsets.begin(), offsets.end());
    const std::int64_t room = scores.element_count() - 1 - furthest;
    if (room < 0 || (row_stride > 0 && row_count - 1 > room / row_stride)) {
      base::invalid("op.shape", "{} rows of stride {} from element {} reach beyond scores of {} elements", row_count,
                    row_stride, furthest, scores.element_count());
    }
  }
};

}  // namespace lanner::kernels
