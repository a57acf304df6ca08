// Resize, axis by axis: its attributes, how long each axis becomes, and the table of which input positions each output
// position reads, with which weights. For kernels that resize; they walk the elements.
// Where the ONNX document and its test data differ, the test data is followed: with input `scales`, align_corners and
// tf_crop_and_resize take the output's length as scale * input length, without rounding.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/resize_loops.h"
#include "lanner/tensor.h"
#include "tensor/attributes.h"

namespace lanner::kernels::resizing {

enum class Mode : std::uint8_t { kNearest, kLinear, kCubic };
enum class Coordinates : std::uint8_t {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kTfCropAndResize,
};
enum class Rounding : std::uint8_t { kPreferFloor, kPreferCeil, kFloor, kCeil };
enum class AspectPolicy : std::uint8_t { kStretch, kNotLarger, kNotSmaller };

struct Options {
  Mode mode;
  Coordinates coordinates;
  Rounding rounding;
  AspectPolicy policy;
  bool antialias;
  bool exclude_outside;
  double cubic_a;
  float extrapolation_value;
  std::vector<std::int64_t> axes;
};

// Of a Resize; throws `op.attribute`.
Options read_options(const tensor::Attributes& attributes);

// How one axis is resized.
struct Axis {
  std::int64_t input = 1;
  std::int64_t output = 1;
  double scale = 1;
  double exact_output = 1;  // scale * input, before rounding
  double roi_start = 0;
  double roi_end = 1;
  bool resized = false;

  // Of several axes that are interpolated the one that grows least comes first, of equals the outermost.
  double growth() const { return static_cast<double>(output) / static_cast<double>(input); }
};

// Every axis of an input of this shape, from a Resize's other inputs, of which any may be null.
std::array<Axis, Shape::kMaxRank> read_axes(const Options& options, const Shape& shape, const Tensor* roi,
                                            const Tensor* scales, const Tensor* sizes);

// A part of an axis's output positions.
struct Range {
  std::int64_t begin;
  std::int64_t end;
};

// For each output position the nearest input position, -1 for one outside the cropped image.
std::vector<std::int64_t> nearest_table(const Options& options, const Axis& axis, Range range);

// Output position i of the range is the sum over t of weights[i * count + t] * input[indices[i * count + t]].
template <typename Work>
struct Taps {
  std::int64_t count = 0;
  std::vector<std::int64_t> indices;
  std::vector<Work> weights;
  std::vector<bool> outside;
  bool any_outside = false;
  ColumnTable columns;  // the same for ResizeLoops::blend, where it is used
};

// Work: float or double.
template <typename Work>
Taps<Work> interpolation_taps(const Options& options, const Axis& axis, Range range);

// Whether an axis of neighbouring elements is one for ResizeLoops::pick and ResizeLoops::blend.
bool has_columns(const Axis& axis);
// For ResizeLoops::pick; no index may be -1.
ColumnTable picked_columns(const Axis& axis, const std::vector<std::int64_t>& indices);
// For ResizeLoops::blend, of two taps.
ColumnTable blended_columns(const Axis& axis, const Taps<float>& taps);

}  // namespace lanner::kernels::resizing
