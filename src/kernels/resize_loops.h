// The inner loops of Resize along an axis, compiled once per instruction set; every version gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// How neighbouring elements are resized: output i reads inputs indices[i] and, where two are interpolated, partners[i],
// with weights.
struct ColumnTable {
  std::vector<std::int32_t> indices;
  std::vector<std::int32_t> partners;
  std::vector<float> weights;
  std::vector<float> partner_weights;

  // For vectors: the first input of one to kMostSpans neighbouring vectors that have all that this vector of outputs
  // reads, and how many these are; 0 where the inputs are further apart. prepare() writes both, fills the other lists
  // up to whole vectors and, where there is a span, counts indices from its start.
  static constexpr int kMostSpans = 4;
  std::vector<std::int32_t> starts;
  std::vector<std::int32_t> spans;
  std::int64_t input = 0;
  std::int64_t output = 0;
};

struct ResizeLoops {
  // Makes a table ready for the loops below, of this instruction set alone.
  void (*prepare)(ColumnTable& table);
  // to[i] = from[indices[i]].
  void (*pick)(const ColumnTable& table, const std::uint32_t* from, std::uint32_t* to);
  // to[i] = weights[i] * from[indices[i]] + partner_weights[i] * from[partners[i]], for i in [begin, end).
  void (*blend)(const ColumnTable& table, const float* from, std::int64_t begin, std::int64_t end, float* to);
  // to[i] = a_weight * a[i] + b_weight * b[i].
  void (*blend_rows)(const float* a, float a_weight, const float* b, float b_weight, std::int64_t count, float* to);
};

LoopsOfCpu<ResizeLoops>& resize_loops_of_cpu();

}  // namespace lanner::kernels
