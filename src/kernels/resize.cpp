// Resize: nearest neighbour, linear and cubic interpolation in any number of dimensions.
//
// Every resized axis gets a table: for each output position the input positions it reads and, for linear and cubic,
// their weights. Interpolation is separable: it runs one pass an axis, the one that shrinks most first, plane by plane.
// Elements of 32 bits that lie next to each other, and interpolation of two, have the loops of resize_loops.h.
// Where the ONNX document and its test data differ, the test data is followed: with input `scales`, align_corners and
// tf_crop_and_resize take the output's length as scale * input length, without rounding.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/convert.h"
#include "kernels/kernel.h"
#include "kernels/resize_loops.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

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

// How one axis is resized.
struct Axis {
  std::int64_t input = 1;
  std::int64_t output = 1;
  double scale = 1;
  double exact_output = 1;  // scale * input, before rounding
  double roi_start = 0;
  double roi_end = 1;
  bool resized = false;
};

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

// For each output position the nearest input position, -1 for one outside the cropped image. Coordinates are float32,
// like the scales: with double, an inexact scale such as 1/3 would send positions that are meant to be whole to the
// pixel before.
std::vector<std::int64_t> nearest_table(const Options& options, const Axis& axis) {
  std::vector<std::int64_t> table(static_cast<std::size_t>(axis.output));
  for (std::int64_t i = 0; i < axis.output; ++i) {
    std::int64_t& index = table[static_cast<std::size_t>(i)];
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

double cubic_weight(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

// The taps of one axis: output i is the sum over t of weights[i * taps + t] * input[indices[i * taps + t]].
template <typename Work>
struct Taps {
  std::int64_t count = 0;
  std::vector<std::int64_t> indices;
  std::vector<Work> weights;
  std::vector<bool> outside;
  bool any_outside = false;
  ColumnTable columns;  // the same for ResizeLoops::blend, where it is used
};

template <typename Work>
Taps<Work> interpolation_taps(const Options& options, const Axis& axis) {
  // Antialiasing stretches the filter when shrinking.
  const double shrink = options.antialias ? std::min(axis.scale, 1.0) : 1.0;
  const double radius = options.mode == Mode::kLinear ? 1 : 2;
  const auto start = static_cast<std::int64_t>(std::floor(-radius / shrink)) + 1;
  Taps<Work> taps;
  taps.count = 2 - 2 * start;
  const auto count = static_cast<std::size_t>(taps.count);
  std::vector<double> weights(count);
  taps.indices.reserve(static_cast<std::size_t>(axis.output) * count);
  taps.weights.reserve(static_cast<std::size_t>(axis.output) * count);
  for (std::int64_t i = 0; i < axis.output; ++i) {
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

std::int64_t grain_for(std::int64_t work) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work, 1));
}

// Whether an axis of neighbouring elements is one for ResizeLoops::pick and ResizeLoops::blend.
bool has_columns(const Axis& axis) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  return axis.input <= kMost && axis.output <= kMost;
}

ColumnTable blended_columns(const Axis& axis, const Taps<float>& taps) {
  ColumnTable table;
  table.input = axis.input;
  table.output = axis.output;
  for (std::size_t i = 0; i < taps.indices.size(); i += 2) {
    table.indices.push_back(static_cast<std::int32_t>(taps.indices[i]));
    table.partners.push_back(static_cast<std::int32_t>(taps.indices[i + 1]));
    table.weights.push_back(taps.weights[i]);
    table.partner_weights.push_back(taps.weights[i + 1]);
  }
  resize_loops_of_cpu().get().prepare(table);
  return table;
}

// One pass: [outer, axis.input, inner] to [outer, axis.output, inner].
template <typename From, typename Work>
void resize_axis(int threads, const Axis& axis, const Taps<Work>& taps, std::int64_t outer, std::int64_t inner,
                 const From* from, Work* to) {
  constexpr bool kHasLoops = std::is_same_v<From, float> && std::is_same_v<Work, float>;
  const ResizeLoops& loops = resize_loops_of_cpu().get();
  const std::int64_t count = taps.count;
  base::parallel_for(
      threads, outer * axis.output, grain_for(inner * count), [&, count](std::int64_t begin, std::int64_t end) {
        std::int64_t item = begin;
        while (item < end) {
          const std::int64_t o = item / axis.output;
          const std::int64_t last = std::min(end, (o + 1) * axis.output);
          const From* plane = from + o * axis.input * inner;
          if constexpr (kHasLoops) {
            if (inner == 1 && taps.columns.output != 0) {
              const std::int64_t first = o * axis.output;
              loops.blend(taps.columns, plane, item - first, last - first, to + first);
              item = last;
              continue;
            }
          }
          const std::int64_t* index = taps.indices.data() + item % axis.output * count;
          const Work* weight = taps.weights.data() + item % axis.output * count;
          if (inner == 1 && count == 2) {
            for (; item < last; ++item, index += 2, weight += 2) {
              to[item] =
                  weight[0] * static_cast<Work>(plane[index[0]]) + weight[1] * static_cast<Work>(plane[index[1]]);
            }
            continue;
          }
          for (; item < last; ++item, index += count, weight += count) {
            Work* row = to + item * inner;
            if (count == 2) {
              const From* a = plane + index[0] * inner;
              const From* b = plane + index[1] * inner;
              if constexpr (kHasLoops) {
                loops.blend_rows(a, weight[0], b, weight[1], inner, row);
              } else {
                const Work wa = weight[0];
                const Work wb = weight[1];
                for (std::int64_t i = 0; i < inner; ++i)
                  row[i] = wa * static_cast<Work>(a[i]) + wb * static_cast<Work>(b[i]);
              }
              continue;
            }
            std::fill_n(row, inner, Work{});
            for (std::int64_t t = 0; t < count; ++t) {
              const From* source = plane + index[t] * inner;
              const Work w = weight[t];
              for (std::int64_t i = 0; i < inner; ++i) row[i] += w * static_cast<Work>(source[i]);
            }
          }
        }
      });
}

// The resize as planes: [outer, the axes from the first resized to the last, inner].
struct Planes {
  std::int64_t outer = 1;
  std::int64_t inner = 1;
  int rank = 0;
  std::array<Axis, Shape::kMaxRank> axes{};

  std::int64_t input_size() const {
    std::int64_t size = inner;
    for (int i = 0; i < rank; ++i) size *= axes[static_cast<std::size_t>(i)].input;
    return size;
  }
  std::int64_t output_size() const {
    std::int64_t size = inner;
    for (int i = 0; i < rank; ++i) size *= axes[static_cast<std::size_t>(i)].output;
    return size;
  }
};

template <typename T>
void resize_nearest(const Options& options, const Planes& planes, int threads, const T* in, T* out) {
  const auto rank = static_cast<std::size_t>(planes.rank);
  std::array<std::vector<std::int64_t>, Shape::kMaxRank> tables;
  for (std::size_t i = 0; i < rank; ++i) tables[i] = nearest_table(options, planes.axes[i]);
  const Axis& last = planes.axes[rank - 1];
  const std::vector<std::int64_t>& columns = tables[rank - 1];
  const std::int64_t row_size = last.output * planes.inner;
  const std::int64_t rows = planes.outer * (planes.output_size() / row_size);
  const T fill = convert<T>(options.extrapolation_value);
  const ResizeLoops& loops = resize_loops_of_cpu().get();
  ColumnTable picked;
  if (sizeof(T) == 4 && planes.inner == 1 && has_columns(last) && std::ranges::find(columns, -1) == columns.end()) {
    picked.indices.assign(columns.begin(), columns.end());
    picked.input = last.input;
    picked.output = last.output;
    loops.prepare(picked);
  }
  base::parallel_for(threads, rows, grain_for(row_size), [&](std::int64_t begin, std::int64_t end) {
    const T* previous = nullptr;
    for (std::int64_t row = begin; row < end; ++row) {
      std::int64_t rest = row;
      std::int64_t offset = 0;
      std::int64_t stride = last.input * planes.inner;
      bool outside = false;
      for (std::size_t i = rank - 1; i-- > 0;) {
        const Axis& axis = planes.axes[i];
        const std::int64_t index = tables[i][static_cast<std::size_t>(rest % axis.output)];
        outside = outside || index < 0;
        offset += index * stride;
        stride *= axis.input;
        rest /= axis.output;
      }
      T* to = out + row * row_size;
      if (outside) {
        std::fill_n(to, row_size, fill);
        previous = nullptr;
        continue;
      }
      const T* from = in + rest * stride + offset;
      if (from == previous) {
        std::copy_n(to - row_size, row_size, to);
        continue;
      }
      previous = from;
      if constexpr (sizeof(T) == 4) {
        if (picked.output != 0) {
          loops.pick(picked, reinterpret_cast<const std::uint32_t*>(from), reinterpret_cast<std::uint32_t*>(to));
          continue;
        }
      }
      if (planes.inner == 1) {
        for (std::int64_t j = 0; j < last.output; ++j) {
          const std::int64_t index = columns[static_cast<std::size_t>(j)];
          to[j] = index < 0 ? fill : from[index];
        }
        continue;
      }
      for (const std::int64_t index : columns) {
        if (index < 0) {
          std::fill_n(to, planes.inner, fill);
        } else {
          std::copy_n(from + index * planes.inner, planes.inner, to);
        }
        to += planes.inner;
      }
    }
  });
}

template <typename T>
void resize_smooth(const Options& options, const Planes& planes, int threads, const T* in, T* out) {
  using Work = std::conditional_t<std::is_same_v<T, float>, float, double>;
  constexpr bool kDirect = std::is_same_v<T, Work>;
  std::array<Taps<Work>, Shape::kMaxRank> taps;
  std::vector<std::size_t> passes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(planes.rank); ++i) {
    if (!planes.axes[i].resized) continue;
    taps[i] = interpolation_taps<Work>(options, planes.axes[i]);
    if constexpr (std::is_same_v<T, float>) {
      const bool neighbours = planes.inner == 1 && i + 1 == static_cast<std::size_t>(planes.rank);
      if (taps[i].count == 2 && neighbours && has_columns(planes.axes[i])) {
        taps[i].columns = blended_columns(planes.axes[i], taps[i]);
      }
    }
    passes.push_back(i);
  }
  std::ranges::stable_sort(passes, {}, [&](std::size_t i) {
    return static_cast<double>(planes.axes[i].output) / static_cast<double>(planes.axes[i].input);
  });
  const std::int64_t in_size = planes.input_size();
  const std::int64_t out_size = planes.output_size();
  // A few planes are shared among threads row by row.
  const bool few = planes.outer < 4 * threads;
  const int inner_threads = few ? threads : 1;
  base::parallel_for(
      few ? 1 : threads, planes.outer, grain_for(std::max(in_size, out_size)),
      [&](std::int64_t begin, std::int64_t end) {
        std::array<std::vector<Work>, 2> buffers;
        for (std::int64_t plane = begin; plane < end; ++plane) {
          std::array<std::int64_t, Shape::kMaxRank> sizes{};
          for (std::size_t i = 0; i < static_cast<std::size_t>(planes.rank); ++i) sizes[i] = planes.axes[i].input;
          T* const to_plane = out + plane * out_size;
          const Work* from = nullptr;
          for (std::size_t pass = 0; pass < passes.size(); ++pass) {
            const std::size_t i = passes[pass];
            std::int64_t outer = 1;
            std::int64_t inner = planes.inner;
            for (std::size_t k = 0; k < i; ++k) outer *= sizes[k];
            for (std::size_t k = i + 1; k < static_cast<std::size_t>(planes.rank); ++k) inner *= sizes[k];
            sizes[i] = planes.axes[i].output;
            Work* to = nullptr;
            if constexpr (kDirect) {
              if (pass + 1 == passes.size()) to = to_plane;
            }
            if (to == nullptr) {
              std::vector<Work>& buffer = buffers[pass % 2];
              buffer.resize(static_cast<std::size_t>(outer * sizes[i] * inner));
              to = buffer.data();
            }
            if (pass == 0) {
              resize_axis(inner_threads, planes.axes[i], taps[i], outer, inner, in + plane * in_size, to);
            } else {
              resize_axis(inner_threads, planes.axes[i], taps[i], outer, inner, from, to);
            }
            from = to;
          }
          if constexpr (!kDirect) {
            for (std::int64_t i = 0; i < out_size; ++i) to_plane[i] = convert<T>(std::nearbyint(from[i]));
          }
          for (const std::size_t i : passes) {
            if (!taps[i].any_outside) continue;
            std::int64_t outer = 1;
            std::int64_t inner = planes.inner;
            for (std::size_t k = 0; k < i; ++k) outer *= sizes[k];
            for (std::size_t k = i + 1; k < static_cast<std::size_t>(planes.rank); ++k) inner *= sizes[k];
            for (std::int64_t o = 0; o < outer; ++o) {
              for (std::int64_t j = 0; j < sizes[i]; ++j) {
                if (!taps[i].outside[static_cast<std::size_t>(j)]) continue;
                std::fill_n(to_plane + (o * sizes[i] + j) * inner, inner, convert<T>(options.extrapolation_value));
              }
            }
          }
        }
      });
}

std::vector<double> read_floats(const Tensor& tensor, std::string_view name) {
  std::vector<double> values;
  tensor::dispatch(tensor::FloatTypes{}, tensor.element_type(), name, [&]<typename T>() {
    for (const T value : tensor.values<T>()) values.push_back(static_cast<double>(value));
  });
  return values;
}

// Works out every axis of the input from inputs 'roi', 'scales' and 'sizes'.
std::array<Axis, Shape::kMaxRank> read_axes(const KernelContext& context, const Options& options, const Shape& shape) {
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
  const auto given = [&](int index) -> const Tensor* {
    const Tensor* tensor = context.optional_input(index);
    return tensor != nullptr && tensor->element_count() > 0 ? tensor : nullptr;
  };
  const Tensor* scales = given(2);
  const Tensor* sizes = given(3);
  if (!named.empty() && (scales == nullptr) == (sizes == nullptr)) {
    base::invalid("op.input", "exactly one of inputs 'scales' and 'sizes' is needed, but {}",
                  scales == nullptr ? "both are absent" : "both are present");
  }
  const auto check_length = [&](std::size_t length, std::size_t wanted, std::string_view name) {
    if (length == wanted) return;
    base::invalid("op.shape", "input '{}' must have {} values, but has {}", name, wanted, length);
  };
  if (options.coordinates == Coordinates::kTfCropAndResize) {
    const Tensor* roi = given(1);
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

Planes make_planes(const std::array<Axis, Shape::kMaxRank>& axes, int rank) {
  int first = 0;
  int last = rank;
  while (first < rank && !axes[static_cast<std::size_t>(first)].resized) ++first;
  while (last > first && !axes[static_cast<std::size_t>(last - 1)].resized) --last;
  Planes planes;
  for (int i = 0; i < rank; ++i) {
    const Axis& axis = axes[static_cast<std::size_t>(i)];
    if (i < first) {
      planes.outer *= axis.input;
    } else if (i < last) {
      planes.axes[static_cast<std::size_t>(planes.rank++)] = axis;
    } else {
      planes.inner *= axis.input;
    }
  }
  return planes;
}

}  // namespace

std::unique_ptr<Kernel> make_Resize(const KernelInfo& info) {
  const tensor::Attributes& attributes = info.attributes;
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
  return make_kernel([options = std::move(options)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const std::array<Axis, Shape::kMaxRank> axes = read_axes(context, options, x.shape());
    Shape shape;
    for (int i = 0; i < x.rank(); ++i) shape.push_back(axes[static_cast<std::size_t>(i)].output);
    Tensor& y = context.allocate_output(0, x.element_type(), shape);
    if (y.element_count() == 0) return;
    if (x.element_count() == 0) {
      base::invalid("op.shape", "an empty tensor cannot be resized to {}", shape.to_string());
    }
    const Planes planes = make_planes(axes, x.rank());
    const auto run = [&]<typename T>() {
      if (planes.rank == 0) {
        std::copy_n(x.data<T>(), x.element_count(), y.data<T>());
      } else if (options.mode == Mode::kNearest) {
        resize_nearest(options, planes, context.threads(), x.data<T>(), y.data<T>());
      } else if constexpr (!std::is_same_v<T, bool>) {
        resize_smooth(options, planes, context.threads(), x.data<T>(), y.data<T>());
      }
    };
    if (options.mode == Mode::kNearest) {
      tensor::dispatch(tensor::NumericAndBoolTypes{}, x.element_type(), "Resize", run);
    } else {
      tensor::dispatch(tensor::NumericTypes{}, x.element_type(), "Resize", run);
    }
  });
}

}  // namespace lanner::kernels
