// What is left for x86 is AVX-512 and AVX2; other CPUs have no form.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/winograd_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/blocked_image_loops.h"
#include "kernels/winograd_loops.h"

// Interpolation points: 0, ±1 and infinity for kF2; 0, ±5/8, ±3/2 and infinity for kF4, which of the points whose
// squares and products are exact have the least rounding error. With stride 2: 0, 1 and infinity for kF2; ±1/2, ±3/2
// and infinity for kF4. A transform reads its input through `get(i)` and writes through `put(i, value)`.

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2

// Of one side of a tile, whose part has kWeights along it.
template <std::size_t kSide, std::size_t kWeights>
struct Transform;

template <>
struct Transform<2, 3> {
  template <typename Get, typename Put>
  static HWY_INLINE void input(Get&& get, Put&& put) {
    const auto d1 = get(1);
    const auto d2 = get(2);
    put(0, hn::Sub(d2, get(0)));
    put(1, hn::Add(d2, d1));
    put(2, hn::Sub(d2, d1));
    put(3, hn::Sub(get(3), d1));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void output(Get&& get, Put&& put) {
    const auto m1 = get(1);
    const auto m2 = get(2);
    put(0, hn::Add(get(0), hn::Add(m1, m2)));
    put(1, hn::Add(hn::Sub(m1, m2), get(3)));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void weights(Get&& get, Put&& put) {
    const auto half = hn::Set(Floats(), 0.5f);
    const auto g0 = get(0);
    const auto g2 = get(2);
    const auto even = hn::Mul(half, hn::Add(g0, g2));
    const auto g1 = get(1);
    put(0, hn::Neg(g0));
    put(1, hn::MulAdd(half, g1, even));
    put(2, hn::NegMulAdd(half, g1, even));
    put(3, g2);
  }
};

HWY_INLINE FloatVector set(double value) {
  return hn::Set(Floats(), static_cast<float>(value));
}

template <>
struct Transform<4, 3> {
  static constexpr double kA = 0.625;
  static constexpr double kB = 1.5;

  template <typename Get, typename Put>
  static HWY_INLINE void input(Get&& get, Put&& put) {
    const auto a = set(kA);
    const auto b = set(kB);
    const auto a2 = set(kA * kA);
    const auto b2 = set(kB * kB);
    const auto a2b2 = set(kA * kA * kB * kB);
    const auto sum = set(kA * kA + kB * kB);
    const auto d1 = get(1);
    const auto d2 = get(2);
    const auto d3 = get(3);
    const auto d4 = get(4);
    put(0, hn::MulAdd(a2b2, get(0), hn::NegMulAdd(sum, d2, d4)));
    const auto even_a = hn::NegMulAdd(b2, d2, d4);
    const auto odd_a = hn::NegMulAdd(b2, d1, d3);
    put(1, hn::MulAdd(a, odd_a, even_a));
    put(2, hn::NegMulAdd(a, odd_a, even_a));
    const auto even_b = hn::NegMulAdd(a2, d2, d4);
    const auto odd_b = hn::NegMulAdd(a2, d1, d3);
    put(3, hn::MulAdd(b, odd_b, even_b));
    put(4, hn::NegMulAdd(b, odd_b, even_b));
    put(5, hn::MulAdd(a2b2, d1, hn::NegMulAdd(sum, d3, get(5))));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void output(Get&& get, Put&& put) {
    const auto m1 = get(1);
    const auto m2 = get(2);
    const auto m3 = get(3);
    const auto m4 = get(4);
    const auto sum_a = hn::Add(m1, m2);
    const auto difference_a = hn::Sub(m1, m2);
    const auto sum_b = hn::Add(m3, m4);
    const auto difference_b = hn::Sub(m3, m4);
    put(0, hn::Add(get(0), hn::Add(sum_a, sum_b)));
    put(1, hn::MulAdd(set(kA), difference_a, hn::Mul(set(kB), difference_b)));
    put(2, hn::MulAdd(set(kA * kA), sum_a, hn::Mul(set(kB * kB), sum_b)));
    put(3, hn::MulAdd(set(kA * kA * kA), difference_a, hn::MulAdd(set(kB * kB * kB), difference_b, get(5))));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void weights(Get&& get, Put&& put) {
    const auto g0 = get(0);
    const auto g1 = get(1);
    const auto g2 = get(2);
    constexpr double kA2 = kA * kA;
    constexpr double kB2 = kB * kB;
    constexpr double kNormA = 2 * kA2 * (kA2 - kB2);
    constexpr double kNormB = 2 * kB2 * (kB2 - kA2);
    put(0, hn::Mul(set(1 / (kA2 * kB2)), g0));
    const auto even_a = hn::MulAdd(set(kA2 / kNormA), g2, hn::Mul(set(1 / kNormA), g0));
    put(1, hn::MulAdd(set(kA / kNormA), g1, even_a));
    put(2, hn::NegMulAdd(set(kA / kNormA), g1, even_a));
    const auto even_b = hn::MulAdd(set(kB2 / kNormB), g2, hn::Mul(set(1 / kNormB), g0));
    put(3, hn::MulAdd(set(kB / kNormB), g1, even_b));
    put(4, hn::NegMulAdd(set(kB / kNormB), g1, even_b));
    put(5, g2);
  }
};

// Of parts of a stride of 2. Inputs are divided by what interpolation divides by, so that one weight has the same value
// at all points.
template <>
struct Transform<2, 2> {
  // At all points but infinity.
  template <typename Get, typename Put>
  static HWY_INLINE void finite_input(Get&& get, Put&& put) {
    const auto d1 = get(1);
    put(0, hn::Sub(get(0), d1));
    put(1, d1);
  }

  template <typename Get, typename Put>
  static HWY_INLINE void input(Get&& get, Put&& put) {
    finite_input(get, put);
    put(2, hn::Sub(get(2), get(1)));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void output(Get&& get, Put&& put) {
    const auto m1 = get(1);
    put(0, hn::Add(get(0), m1));
    put(1, hn::Add(m1, get(2)));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void weights(Get&& get, Put&& put) {
    const auto g0 = get(0);
    const auto g1 = get(1);
    put(0, g0);
    put(1, hn::Add(g0, g1));
    put(2, g1);
  }
};

template <>
struct Transform<4, 2> {
  static constexpr double kA = 0.5;
  static constexpr double kB = 1.5;
  // Of the outputs: what is left to divide by at ±a and, with the other sign, at ±b.
  static constexpr double kScale = 1 / (2 * (kB * kB - kA * kA));

  template <typename Get, typename Put>
  static HWY_INLINE void finite_input(Get&& get, Put&& put) {
    const auto a2 = set(kA * kA);
    const auto b2 = set(kB * kB);
    const auto d0 = get(0);
    const auto d1 = get(1);
    const auto d2 = get(2);
    const auto d3 = get(3);
    const auto even_a = hn::NegMulAdd(b2, d0, d2);
    const auto odd_a = hn::NegMulAdd(b2, d1, d3);
    put(0, hn::MulAdd(set(1 / kA), odd_a, even_a));
    put(1, hn::NegMulAdd(set(1 / kA), odd_a, even_a));
    const auto even_b = hn::NegMulAdd(a2, d0, d2);
    const auto odd_b = hn::NegMulAdd(a2, d1, d3);
    put(2, hn::MulAdd(set(1 / kB), odd_b, even_b));
    put(3, hn::NegMulAdd(set(1 / kB), odd_b, even_b));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void input(Get&& get, Put&& put) {
    finite_input(get, put);
    put(4, hn::MulAdd(set(kA * kA * kB * kB), get(0), hn::NegMulAdd(set(kA * kA + kB * kB), get(2), get(4))));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void output(Get&& get, Put&& put) {
    const auto m0 = get(0);
    const auto m1 = get(1);
    const auto m2 = get(2);
    const auto m3 = get(3);
    const auto sum_a = hn::Add(m0, m1);
    const auto difference_a = hn::Sub(m0, m1);
    const auto sum_b = hn::Add(m2, m3);
    const auto difference_b = hn::Sub(m2, m3);
    put(0, hn::Mul(set(kScale), hn::Sub(sum_b, sum_a)));
    put(1, hn::NegMulAdd(set(kScale * kA), difference_a, hn::Mul(set(kScale * kB), difference_b)));
    put(2, hn::NegMulAdd(set(kScale * kA * kA), sum_a, hn::Mul(set(kScale * kB * kB), sum_b)));
    put(3, hn::NegMulAdd(set(kScale * kA * kA * kA), difference_a,
                         hn::MulAdd(set(kScale * kB * kB * kB), difference_b, get(4))));
  }

  template <typename Get, typename Put>
  static HWY_INLINE void weights(Get&& get, Put&& put) {
    const auto g0 = get(0);
    const auto g1 = get(1);
    put(0, hn::MulAdd(set(kA), g1, g0));
    put(1, hn::NegMulAdd(set(kA), g1, g0));
    put(2, hn::MulAdd(set(kB), g1, g0));
    put(3, hn::NegMulAdd(set(kB), g1, g0));
    put(4, g1);
  }
};

template <std::size_t kSide>
struct Transform<kSide, 1> {
  template <typename Get, typename Put>
  static HWY_INLINE void input(Get&& get, Put&& put) {
    Transform<kSide, 2>::finite_input(get, put);
  }

  template <typename Get, typename Put>
  static HWY_INLINE void weights(Get&& get, Put&& put) {
    put(0, get(0));
  }
};

// Images come from memory, in more rows at a time than the processor follows by itself: what so many tiles to the right
// will be read or, with kWrite, written is asked for. The address may lie outside the image.
constexpr std::size_t kTilesAhead = 4;
template <typename Element, int kWrite>
HWY_INLINE void ask_for(const ImagePlane& plane, std::ptrdiff_t at) {
  const auto begin = reinterpret_cast<std::uintptr_t>(plane.data);
  __builtin_prefetch(reinterpret_cast<const void*>(begin + static_cast<std::uintptr_t>(at) * sizeof(Element)), kWrite,
                     3);
}

HWY_INLINE std::ptrdiff_t offset(const ImagePlane& plane, std::size_t row, std::size_t column) {
  return static_cast<std::ptrdiff_t>(row * plane.row_stride + column * plane.column_stride);
}

// Of the part with kRows × kColumns weights. Columns of windows are transformed first, because neighbouring tiles share
// them: a tile's are in a ring that holds those of two tiles without what they share, and start in its first or, with
// kOdd, in its second half.
template <std::size_t kSide, std::size_t kRows, std::size_t kColumns, typename Element, bool kOdd>
HWY_INLINE void transform_window(const WinogradTile& tile, std::size_t first_column, const ImagePlane& plane,
                                 float* ring, float* to, std::size_t window_stride) {
  constexpr std::size_t kHeight = kSide + kRows - 1;
  constexpr std::size_t kWidth = kSide + kColumns - 1;
  constexpr std::size_t kRing = 2 * kSide;
  static_assert(kWidth <= kRing);
  const Floats d;
  const auto* const pixels = static_cast<const Element*>(plane.data);
  const auto slot = [](std::size_t column) { return ((kOdd ? kSide : 0) + column) % kRing * kLanes; };
  const bool all_rows = tile.row_begin == 0 && tile.row_end == kHeight;
  for (std::size_t c = first_column; c < kWidth; ++c) {
    float* const column = ring + slot(c);
    const auto put = [&](std::size_t i, FloatVector value)
                         HWY_ATTR { hn::Store(value, d, column + i * kRing * kLanes); };
    // The window's corner may lie outside the plane, so offsets are added up before they become an address.
    const auto load = [&](std::size_t i)
                          HWY_ATTR { return load_elements(pixels + (tile.window + offset(plane, i, c))); };
    if (c < tile.column_begin || c >= tile.column_end) {
      for (std::size_t i = 0; i < kHeight; ++i) put(i, hn::Zero(d));
    } else if (all_rows) {
      Transform<kSide, kRows>::input(load, put);
      for (std::size_t i = 0; i < kHeight; ++i) {
        ask_for<Element, 0>(plane, tile.window + offset(plane, i, c + kTilesAhead * kSide));
      }
    } else {
      Transform<kSide, kRows>::input(
          [&](std::size_t i) HWY_ATTR { return i >= tile.row_begin && i < tile.row_end ? load(i) : hn::Zero(d); }, put);
    }
  }
  for (std::size_t r = 0; r < kHeight; ++r) {
    const float* const row = ring + r * kRing * kLanes;
    float* const out = to + r * kWidth * window_stride;
    Transform<kSide, kColumns>::input([&](std::size_t i) HWY_ATTR { return hn::Load(d, row + slot(i)); },
                                      [&](std::size_t i, FloatVector value)
                                          HWY_ATTR { hn::StoreU(value, d, out + i * window_stride); });
  }
}

template <std::size_t kSide, std::size_t kRows, std::size_t kColumns, typename Element>
void transform_input(const WinogradTile* tiles, std::size_t count, const ImagePlane& given, float* to,
                     std::size_t window_stride) {
  const ImagePlane plane = given;  // a copy, which the stores of the loop cannot change
  HWY_ALIGN float ring[(kSide + kRows - 1) * 2 * kSide * kLanes];
  bool odd = false;
  for (std::size_t t = 0; t < count; ++t, to += kLanes) {
    const bool shares = t != 0 && tiles[t].follows;
    const std::size_t first_column = shares ? kColumns - 1 : 0;
    odd = shares && !odd;
    if (odd) {
      transform_window<kSide, kRows, kColumns, Element, true>(tiles[t], first_column, plane, ring, to, window_stride);
    } else {
      transform_window<kSide, kRows, kColumns, Element, false>(tiles[t], first_column, plane, ring, to, window_stride);
    }
  }
}

template <std::size_t kSide, std::size_t kWeights, typename Element, bool kResidual, bool kSimple>
void transform_tiles(const WinogradTile* tiles, std::size_t count, const float* products, std::size_t point_stride,
                     const ImageEpilogue& epilogue, const ImagePlane& given_plane) {
  constexpr std::size_t kPoints = kSide + kWeights - 1;  // of a side
  const Floats d;
  const ImagePlane plane = given_plane;  // a copy, which the stores of the loop cannot change
  const Finisher<Element, kResidual, kSimple> finisher(epilogue, plane.data);
  for (std::size_t t = 0; t < count; ++t, products += kLanes) {
    const WinogradTile& tile = tiles[t];
    HWY_ALIGN float half[kSide * kPoints * kLanes];  // columns transformed
    for (std::size_t c = 0; c < kPoints; ++c) {
      const float* const column = products + c * point_stride;
      Transform<kSide, kWeights>::output(
          [&](std::size_t i) HWY_ATTR { return hn::LoadU(d, column + i * kPoints * point_stride); },
          [&](std::size_t i, FloatVector value) HWY_ATTR { hn::Store(value, d, half + (i * kPoints + c) * kLanes); });
    }
    const auto finish = [&](std::size_t r, auto put) HWY_ATTR {
      Transform<kSide, kWeights>::output(
          [&](std::size_t i) HWY_ATTR { return hn::Load(d, half + (r * kPoints + i) * kLanes); },
          [&](std::size_t i, FloatVector value) HWY_ATTR { put(i, value, tile.output + offset(plane, r, i)); });
    };
    if (tile.output_rows == kSide && tile.output_columns == kSide) {
      for (std::size_t r = 0; r < kSide; ++r) {
        for (std::size_t i = 0; i < kSide; ++i) {
          ask_for<Element, 1>(plane, tile.output + offset(plane, r, i + kTilesAhead * kSide));
        }
        finish(r, [&](std::size_t, FloatVector value, std::ptrdiff_t at) HWY_ATTR { finisher.store(value, at); });
      }
    } else {
      for (std::size_t r = 0; r < tile.output_rows; ++r) {
        finish(r, [&](std::size_t i, FloatVector value, std::ptrdiff_t at) HWY_ATTR {
          if (i < tile.output_columns) finisher.store(value, at);
        });
      }
    }
  }
}

// The first part has kWeights along each side.
template <std::size_t kSide, std::size_t kWeights, typename Element>
void transform_output(const WinogradTile* tiles, std::size_t count, const float* products, std::size_t point_stride,
                      const ImageEpilogue& epilogue, const ImagePlane& plane) {
  const auto run = [&](auto residual, auto simple) {
    transform_tiles<kSide, kWeights, Element, residual, simple>(tiles, count, products, point_stride, epilogue, plane);
  };
  if (epilogue.residual == nullptr) {
    is_simple(epilogue) ? run(std::false_type(), std::true_type()) : run(std::false_type(), std::false_type());
  } else {
    is_simple(epilogue) ? run(std::true_type(), std::true_type()) : run(std::true_type(), std::false_type());
  }
}

// Where weight `i` of a part that has `weights` along a side is among the three.
constexpr std::size_t place_of(std::size_t weights, std::size_t i) {
  return weights == 3 ? i : weights == 2 ? 2 * i : 1;
}

// Of one channel and vector of outputs.
template <std::size_t kSide, std::size_t kRows, std::size_t kColumns>
HWY_INLINE void transform_part(const float* from, std::size_t width, float* to, std::size_t value_stride) {
  constexpr std::size_t kValues = kColumns == 1 ? 1 : kSide + kColumns - 1;  // of a row
  const Floats d;
  FloatVector half[kRows * kValues];  // rows transformed
  unrolled<kRows>([&](auto r) HWY_ATTR {
    Transform<kSide, kColumns>::weights(
        [&](std::size_t i)
            HWY_ATTR { return hn::Load(d, from + (place_of(kRows, r) * 3 + place_of(kColumns, i)) * width); },
        [&](std::size_t i, FloatVector value) HWY_ATTR { half[r * kValues + i] = value; });
  });
  unrolled<kValues>([&](auto column) HWY_ATTR {
    Transform<kSide, kRows>::weights([&](std::size_t i) HWY_ATTR { return half[i * kValues + column]; },
                                     [&](std::size_t i, FloatVector value)
                                         HWY_ATTR { hn::Store(value, d, to + (i * kValues + column) * value_stride); });
  });
}

template <std::size_t kSide, std::size_t kStride>
void transform_weights(const float* panel, std::size_t channels, std::size_t width, float* to,
                       std::size_t value_stride) {
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t o = 0; o < width; o += kLanes) {
      const float* const from = panel + c * 9 * width + o;
      float* out = to + c * width + o;
      unrolled<part_count(kStride)>([&](auto i) HWY_ATTR {
        constexpr WinogradPart kPart = kWinogradParts[first_part(kStride) + i];
        constexpr auto kForm = static_cast<WinogradForm>(kSide);
        transform_part<kSide, kPart.rows, kPart.columns>(from, width, out, value_stride);
        out += weight_side(kForm, kPart.rows) * weight_side(kForm, kPart.columns) * value_stride;
      });
    }
  }
}

// Tiles × vectors sums are in registers, so their number is what is left by a column's vectors and one element.
constexpr std::size_t kMostTiles = HWY_TARGET == HWY_AVX3 ? 14 : 6;

template <std::size_t kTiles, std::size_t kVectors>
void multiply_tiles(std::size_t channels, const float* rows, const float* columns, float* to, std::size_t vector_stride,
                    bool adds) {
  const Floats d;
  FloatVector sums[kTiles * kVectors];
  unrolled<kTiles * kVectors>([&](auto i) HWY_ATTR { sums[i] = hn::Zero(d); });
  const auto step = [&](const float* row, const float* column) HWY_ATTR {
    FloatVector loaded[kVectors];
    unrolled<kVectors>([&](auto v) HWY_ATTR { loaded[v] = hn::LoadU(d, column + v * kLanes); });
    unrolled<kTiles>([&](auto t) HWY_ATTR {
      const auto element = hn::Set(d, row[t * kLanes]);
      unrolled<kVectors>(
          [&](auto v) HWY_ATTR { sums[t * kVectors + v] = hn::MulAdd(element, loaded[v], sums[t * kVectors + v]); });
    });
  };
  std::size_t blocks = channels / kLanes;
  for (; blocks != 0; --blocks) {
    for (std::size_t c = 0; c < kLanes; ++c, columns += kVectors * kLanes) step(rows + c, columns);
    rows += kTiles * kLanes;
  }
  for (std::size_t c = 0; c < channels % kLanes; ++c, columns += kVectors * kLanes) step(rows + c, columns);
  const auto at = [&](std::size_t t, std::size_t v) { return to + v * vector_stride + t * kLanes; };
  if (adds) {
    unrolled<kTiles>([&](auto t) HWY_ATTR {
      unrolled<kVectors>(
          [&](auto v) HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, at(t, v)), sums[t * kVectors + v]), d, at(t, v)); });
    });
  } else {
    unrolled<kTiles>([&](auto t) HWY_ATTR {
      unrolled<kVectors>([&](auto v) HWY_ATTR { hn::StoreU(sums[t * kVectors + v], d, at(t, v)); });
    });
  }
}

using MultiplyTiles = void (*)(std::size_t, const float*, const float*, float*, std::size_t, bool);

// By vectors - 1 and tiles - 1.
template <std::size_t kVectors, std::size_t... kIndices>
constexpr std::array<MultiplyTiles, kMostTiles> multiply_row(std::index_sequence<kIndices...>) {
  return {multiply_tiles<kIndices + 1, kVectors>...};
}
constexpr std::array<MultiplyTiles, kMostTiles> kMultiply[] = {multiply_row<1>(std::make_index_sequence<kMostTiles>()),
                                                               multiply_row<2>(std::make_index_sequence<kMostTiles>())};

void multiply(std::size_t tiles, std::size_t vectors, std::size_t channels, const float* rows, const float* columns,
              float* to, std::size_t vector_stride, bool adds) {
  kMultiply[vectors - 1][tiles - 1](channels, rows, columns, to, vector_stride, adds);
}

template <std::size_t kRows, std::size_t kColumns>
constexpr WinogradTable<TransformWinogradInput> kInputTransforms = {
    {{transform_input<2, kRows, kColumns, float>, transform_input<2, kRows, kColumns, Bfloat16>},
     {transform_input<4, kRows, kColumns, float>, transform_input<4, kRows, kColumns, Bfloat16>}}};
template <std::size_t kWeights>
constexpr WinogradTable<TransformWinogradOutput> kOutputTransforms = {
    {{transform_output<2, kWeights, float>, transform_output<2, kWeights, Bfloat16>},
     {transform_output<4, kWeights, float>, transform_output<4, kWeights, Bfloat16>}}};

constexpr WinogradLoops kLoops = {
    kLanes,
    kMostTiles,
    {kInputTransforms<3, 3>, kInputTransforms<2, 2>, kInputTransforms<2, 1>, kInputTransforms<1, 2>,
     kInputTransforms<1, 1>},
    {kOutputTransforms<3>, kOutputTransforms<2>},
    {{{transform_weights<2, 1>, transform_weights<4, 1>}, {transform_weights<2, 2>, transform_weights<4, 2>}}},
    multiply,
};

#endif

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr std::array kRows = {
#if HWY_TARGETS & HWY_AVX3
    WinogradLoopsRow{"AVX-512", cpu_has_avx512, &N_AVX3::kLoops},
#endif
#if HWY_TARGETS & HWY_AVX2
    WinogradLoopsRow{"AVX2", cpu_has_avx2, &N_AVX2::kLoops},
#endif
    WinogradLoopsRow{"none", [] { return false; }, nullptr},
};

}  // namespace

std::span<const WinogradLoopsRow> winograd_loops_rows() {
  return std::span(kRows).first(kRows.size() - 1);
}

}  // namespace lanner::kernels
#endif
