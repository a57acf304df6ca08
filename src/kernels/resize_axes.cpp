#include "kernels/resize_axes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/fail.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels::resizing {

namespace {

template <typename Enum>
struct Choice {
  std::string_view name;
  Enum value;
};

template <typename Enum, std::size_t N>
Enum read_choice(const tensor::Attributes& attributes, std::string_view name, const Choice<Enum> (&choices)[N]) {
  const std::string text = attributes.get_string(name, choices[0].name);
  for (const Choice<Enum>& choice : choices) {
    if (choice.name == text) return choice.value;
  }
  base::invalid("op.attribute", "attribute '{}' has the unknown value '{}'", name, text);
}

constexpr Choice<Mode> kModes[] = {{"nearest", Mode::kNearest}, {"linear", Mode::kLinear}, {"cubic", Mode::kCubic}};
constexpr Choice<Coordinates> kCoordinates[] = {{"half_pixel", Coordinates::kHalfPixel},
                                                {"half_pixel_symmetric", Coordinates::kHalfPixelSymmetric},
                                                {"pytorch_half_pixel", Coordinates::kPytorchHalfPixel},
                                                {"align_corners", Coordinates::kAlignCorners},
                                                {"asymmetric", Coordinates::kAsymmetric},
                                                {"tf_crop_and_resize", Coordinates::kTfCropAndResize}};
constexpr Choice<Rounding> kRoundings[] = {{"round_prefer_floor", Rounding::kPreferFloor},
                                           {"round_prefer_ceil", Rounding::kPreferCeil},
                                           {"floor", Rounding::kFloor},
                                           {"ceil", Rounding::kCeil}};
constexpr Choice<AspectPolicy> kPolicies[] = {{"stretch", AspectPolicy::kStretch},
                                              {"not_larger", AspectPolicy::kNotLarger},
                                              {"not_smaller", AspectPolicy::kNotSmaller}};

std::vector<double> read_floats(const Tensor& tensor, std::string_view name) {
  std::vector<double> values;
  tensor::dispatch(tensor::FloatTypes{}, tensor.element_type(), name, [&]<typename T>() {
    for (const T value : tensor.values<T>()) values.push_back(static_cast<double>(value));
  });
  return values;
}

// The input coordinate of output position `position`, in the arithmetic of R.
template <typename R>
R source_coordinate(Coordinates coordinates, const Axis& axis, std::int64_t position) {
  const auto x = static_cast<R>(position);
  const auto scale = static_cast<R>(axis.scale);
  const auto last = static_cast<R>(axis.input - 1);
  const auto length = static_cast<R>(axis.exact_output);
  switch (coordinates) {
    case Coordinates::kHalfPixel:
      return (x + R{0.5}) / scale - R{0.5};
    case Coordinates::kHalfPixelSymmetric: {
      const R adjustment = static_cast<R>(axis.output) / length;
      const R offset = static_cast<R>(axis.input) / 2 * (1 - adjustment);
      return offset + (x + R{0.5}) / scale - R{0.5};
    }
    case Coordinates::kPytorchHalfPixel:
      return axis.output > 1 ? (x + R{0.5}) / scale - R{0.5} : R{0};
    case Coordinates::kAlignCorners:
      return length == 1 ? R{0} : x * last / (length - 1);
    case Coordinates::kAsymmetric:
      return x / scale;
    case Coordinates::kTfCropAndResize: {
      const auto start = static_cast<R>(axis.roi_start);
      const auto end = static_cast<R>(axis.roi_end);
      return length == 1 ? (start + end) * last / 2 : start * last + x * (end - start) * last / (length - 1);
    }
  }
  return x;
}

bool is_outside(Coordinates coordinates, const Axis& axis, double x) {
  return coordinates == Coordinates::kTfCropAndResize && !(x >= 0 && x <= static_cast<double>(axis.input - 1));
}

// x as an index into the axis, which it may leave at either side.
std::int64_t clamp_index(double x, std::int64_t size) {
  if (!(x > 0)) return 0;
  return x >= static_cast<double>(size) ? size - 1 : static_cast<std::int64_t>(x);
}

double cubic_weight(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

}  // namespace

Options read_options(const tensor::Attributes& attributes) {
  Options options{read_choice(attributes, "mode", kModes),
                  read_choice(attributes, "coordinate_transformation_mode", kCoordinates),
                  read_choice(attributes, "nearest_mode", kRoundings),
                  read_choice(attributes, "keep_aspect_ratio_policy", kPolicies),
                  attributes.get_int("antialias", 0) != 0,
                  attributes.get_int("exclude_outside", 0) != 0,
                  static_cast<double>(attributes.get_float("cubic_coeff_a", -0.75f)),
                  attributes.get_float("extrapolation_value", 0.0f),
                  attributes.get_ints("axes")};
  if (options.antialias && options.mode == Mode::kNearest) {
    base::invalid("op.attribute", "attribute 'antialias' needs mode linear or cubic");
  }
  return options;
}

// Coordinates are float32, like the scales: with double, an inexact scale such as 1/3 would send positions that are
// meant to be whole to the pixel before.
std::vector<std::int64_t> nearest_table(const Options& options, const Axis& axis, Range range) {
  std::vector<std::int64_t> table(static_cast<std::size_t>(range.end - range.begin));
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    std::int64_t& index = table[static_cast<std::size_t>(i - range.begin)];
    if (!axis.resized) {
      index = i;
      continue;
    }
    float x = source_coordinate<float>(options.coordinates, axis, i);
    if (is_outside(options.coordinates, axis, static_cast<double>(x))) {
      index = -1;
      continue;
    }
    switch (options.rounding) {
      case Rounding::kPreferFloor:
        x = std::ceil(x - 0.5f);
        break;
      case Rounding::kPreferCeil:
        x = std::floor(x + 0.5f);
        break;
      case Rounding::kFloor:
        x = std::floor(x);
        break;
      case Rounding::kCeil:
        x = std::ceil(x);
        break;
    }
    index = clamp_index(static_cast<double>(x), axis.input);
  }
  return table;
}

template <typename Work>
Taps<Work> interpolation_taps(const Options& options, const Axis& axis, Range range) {
  // Antialiasing stretches the filter when shrinking.
  const double shrink = options.antialias ? std::min(axis.scale, 1.0) : 1.0;
  const double radius = options.mode == Mode::kLinear ? 1 : 2;
  const auto start = static_cast<std::int64_t>(std::floor(-radius / shrink)) + 1;
  Taps<Work> taps;
  taps.count = 2 - 2 * start;
  const auto count = static_cast<std::size_t>(taps.count);
  std::vector<double> weights(count);
  taps.indices.reserve(static_cast<std::size_t>(range.end - range.begin) * count);
  taps.weights.reserve(static_cast<std::size_t>(range.end - range.begin) * count);
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    // In float32, as other engines compute it: the rounding is part of the result people compare with.
    const double x = source_coordinate<float>(options.coordinates, axis, i);
    const bool outside = is_outside(options.coordinates, axis, x);
    taps.outside.push_back(outside);
    taps.any_outside = taps.any_outside || outside;
    // The window is [first, first + taps); a whole coordinate is the window's upper middle, at distance 1 from the
    // lower one. Clamping only guards the conversion: far outside, every tap reads the edge.
    const double limit = static_cast<double>(axis.input) + static_cast<double>(taps.count);
    const double below = std::ceil(std::isnan(x) ? 0.0 : std::clamp(x, -limit, limit)) - 1;
    const double ratio = std::clamp(x - below, 0.0, 1.0);
    const std::int64_t first = static_cast<std::int64_t>(below) + start;
    double sum = 0;
    for (std::size_t t = 0; t < count; ++t) {
      const std::int64_t index = first + static_cast<std::int64_t>(t);
      const double distance = (static_cast<double>(start + static_cast<std::int64_t>(t)) - ratio) * shrink;
      const bool excluded = options.exclude_outside && (index < 0 || index >= axis.input);
      weights[t] = excluded                        ? 0
                   : options.mode == Mode::kLinear ? std::max(0.0, 1 - std::abs(distance))
                                                   : cubic_weight(distance, options.cubic_a);
      sum += weights[t];
      taps.indices.push_back(std::clamp<std::int64_t>(index, 0, axis.input - 1));
    }
    const bool normalize = (options.exclude_outside || shrink < 1) && sum != 0;
    for (const double weight : weights) taps.weights.push_back(static_cast<Work>(normalize ? weight / sum : weight));
  }
  return taps;
}

template Taps<float> interpolation_taps(const Options& options, const Axis& axis, Range range);
template Taps<double> interpolation_taps(const Options& options, const Axis& axis, Range range);

bool has_columns(const Axis& axis) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  return axis.input <= kMost && axis.output <= kMost;
}

ColumnTable picked_columns(const Axis& axis, const std::vector<std::int64_t>& indices) {
  ColumnTable table;
  table.input = axis.input;
  table.output = static_cast<std::int64_t>(indices.size());
  table.indices.assign(indices.begin(), indices.end());
  resize_loops_of_cpu().get().prepare(table);
  return table;
}

ColumnTable blended_columns(const Axis& axis, const Taps<float>& taps) {
  ColumnTable table;
  table.input = axis.input;
  table.output = static_cast<std::int64_t>(taps.indices.size() / 2);
  for (std::size_t i = 0; i < taps.indices.size(); i += 2) {
    table.indices.push_back(static_cast<std::int32_t>(taps.indices[i]));
    table.partners.push_back(static_cast<std::int32_t>(taps.indices[i + 1]));
    table.weights.push_back(taps.weights[i]);
    table.partner_weights.push_back(taps.weights[i + 1]);
  }
  resize_loops_of_cpu().get().prepare(table);
  return table;
}

std::array<Axis, Shape::kMaxRank> read_axes(const Options& options, const Shape& shape, const Tensor* roi,
                                            const Tensor* scales, const Tensor* sizes) {
  std::array<Axis, Shape::kMaxRank> axes{};
  for (int i = 0; i < shape.rank(); ++i) {
    Axis& axis = axes[static_cast<std::size_t>(i)];
    axis.input = axis.output = shape[i];
    axis.exact_output = static_cast<double>(shape[i]);
  }
  std::vector<std::size_t> named;
  if (options.axes.empty()) {
    for (int i = 0; i < shape.rank(); ++i) named.push_back(static_cast<std::size_t>(i));
  }
  for (const std::int64_t wanted : options.axes) {
    const auto axis = static_cast<std::size_t>(normalize_axis(wanted, shape.rank()));
    if (std::ranges::find(named, axis) != named.end()) base::invalid("op.axis", "axis {} is given twice", wanted);
    named.push_back(axis);
  }
  // An empty tensor is as good as none.
  for (const Tensor** tensor : {&roi, &scales, &sizes}) {
    if (*tensor != nullptr && (*tensor)->element_count() == 0) *tensor = nullptr;
  }
  if (!named.empty() && (scales == nullptr) == (sizes == nullptr)) {
    base::invalid("op.input", "exactly one of inputs 'scales' and 'sizes' is needed, but {}",
                  scales == nullptr ? "both are absent" : "both are present");
  }
  const auto check_length = [&](std::size_t length, std::size_t wanted, std::string_view name) {
    if (length == wanted) return;
    base::invalid("op.shape", "input '{}' must have {} values, but has {}", name, wanted, length);
  };
  if (options.coordinates == Coordinates::kTfCropAndResize) {
    if (roi == nullptr) base::invalid("op.input", "input 'roi' is required with tf_crop_and_resize");
    const std::vector<double> values = read_floats(*roi, "input 'roi'");
    check_length(values.size(), 2 * named.size(), "roi");
    for (std::size_t i = 0; i < named.size(); ++i) {
      axes[named[i]].roi_start = values[i];
      axes[named[i]].roi_end = values[named.size() + i];
    }
  }
  if (scales != nullptr) {
    const std::vector<double> values = read_floats(*scales, "input 'scales'");
    check_length(values.size(), named.size(), "scales");
    for (std::size_t i = 0; i < named.size(); ++i) {
      Axis& axis = axes[named[i]];
      axis.scale = values[i];
      if (!(axis.scale > 0 && std::isfinite(axis.scale))) {
        base::invalid("op.value", "a scale must be positive and finite, but one is {}", axis.scale);
      }
      axis.exact_output = axis.scale * static_cast<double>(axis.input);
      // Rounded down in float32, like ONNX's shape inference.
      const float output = std::floor(static_cast<float>(axis.input) * static_cast<float>(axis.scale));
      if (!(output < 0x1p62f)) base::invalid("op.size", "a dimension scaled by {} is too large", axis.scale);
      axis.output = static_cast<std::int64_t>(output);
    }
  } else if (sizes != nullptr) {
    const std::vector<std::int64_t> values = read_indices(*sizes, "sizes");
    check_length(values.size(), named.size(), "sizes");
    double common = options.policy == AspectPolicy::kNotLarger ? std::numeric_limits<double>::infinity() : 0;
    for (std::size_t i = 0; i < named.size(); ++i) {
      Axis& axis = axes[named[i]];
      if (values[i] < 0) base::invalid("op.shape", "a size must not be negative, but one is {}", values[i]);
      axis.output = values[i];
      axis.exact_output = static_cast<double>(values[i]);
      if (axis.input == 0) {
        if (axis.output != 0 || options.policy != AspectPolicy::kStretch) {
          base::invalid("op.shape", "an empty dimension cannot be resized to {}", axis.output);
        }
        continue;
      }
      axis.scale = axis.exact_output / static_cast<double>(axis.input);
      common = options.policy == AspectPolicy::kNotLarger ? std::min(common, axis.scale) : std::max(common, axis.scale);
    }
    if (options.policy != AspectPolicy::kStretch) {
      for (const std::size_t i : named) {
        Axis& axis = axes[i];
        axis.scale = common;
        axis.exact_output = common * static_cast<double>(axis.input);
        if (!(axis.exact_output < 0x1p62)) base::invalid("op.size", "a dimension scaled by {} is too large", common);
        axis.output = static_cast<std::int64_t>(std::floor(axis.exact_output + 0.5));
      }
    }
  }
  for (Axis& axis : axes) {
    axis.resized = axis.scale != 1 || axis.output != axis.input || axis.roi_start != 0 || axis.roi_end != 1;
  }
  return axes;
}

}  // namespace lanner::kernels::resizing
