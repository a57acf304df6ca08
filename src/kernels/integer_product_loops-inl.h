// What integer_product_loops.cpp compiles for an instruction set, inside a namespace of its own.
// LANNER_PRODUCTS_OF_BYTES is 1 where the CPU multiplies and sums four bytes at once, which Highway does not know of.

#if HWY_TARGET == HWY_SCALAR
using Cells = hn::FixedTag<std::uint32_t, 1>;
#else
using Cells = hn::CappedTag<std::uint32_t, static_cast<std::size_t>(kMaxPanelColumns / 4)>;
#endif
using Sums = hn::RebindToSigned<Cells>;
using Bytes = hn::Rebind<std::uint8_t, Cells>;
using CellVector = hn::Vec<Cells>;
using SumVector = hn::Vec<Sums>;

constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(Cells()));
constexpr int kPanelVectors = 4;
static_assert(kPanelVectors * kLanes <= kMaxPanelColumns);
constexpr std::int64_t kPanelColumns = kPanelVectors * kLanes;
// Rows and a panel's vectors make as many sums as registers hold.
constexpr int kTileRows = HWY_TARGET == HWY_AVX3 ? 6 : 3;
constexpr std::int64_t kCellDepth = LANNER_PRODUCTS_OF_BYTES ? 4 : 2;
// What `flip` is in all elements of a cell.
constexpr std::uint32_t kFlips = kCellDepth == 4 ? 0x01010101u : 0x00010001u;

// sums + left * right, cell by cell.
HWY_INLINE SumVector add_product(SumVector sums, CellVector left, CellVector right) {
#if LANNER_PRODUCTS_OF_BYTES
  return SumVector{_mm512_dpbusd_epi32(sums.raw, right.raw, left.raw)};
#elif HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  const hn::Repartition<std::int16_t, Sums> halves;
  SumVector unused = hn::Zero(Sums());
  return hn::ReorderWidenMulAccumulate(Sums(), hn::BitCast(halves, left), hn::BitCast(halves, right), sums, unused);
#else
  const Sums d;
  const auto a = hn::BitCast(d, left);
  const auto b = hn::BitCast(d, right);
  const auto low = hn::Mul(hn::ShiftRight<16>(hn::ShiftLeft<16>(a)), hn::ShiftRight<16>(hn::ShiftLeft<16>(b)));
  const auto high = hn::Mul(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b));
  return hn::Add(sums, hn::Add(low, high));
#endif
}

// Cells of a vector's columns from `at` on.
HWY_INLINE CellVector read_cells(const std::uint8_t* const* rows, std::int64_t at) {
#if LANNER_PRODUCTS_OF_BYTES
  // Words of four bytes, row by row, become those of four columns, then these the columns' cells.
  alignas(64) static constexpr std::uint32_t kWords[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  alignas(16) static constexpr std::uint8_t kBytes[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  const auto load = [&](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + at)); };
  __m512i words = _mm512_castsi128_si512(load(0));
  words = _mm512_inserti32x4(words, load(1), 1);
  words = _mm512_inserti32x4(words, load(2), 2);
  words = _mm512_inserti32x4(words, load(3), 3);
  words = _mm512_permutexvar_epi32(_mm512_load_si512(kWords), words);
  const __m512i order = _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(kBytes)));
  return CellVector{_mm512_shuffle_epi8(words, order)};
#else
  const auto low = hn::PromoteTo(Cells(), hn::LoadU(Bytes(), rows[0] + at));
  const auto high = hn::PromoteTo(Cells(), hn::LoadU(Bytes(), rows[1] + at));
  return hn::Or(low, hn::ShiftLeft<16>(high));
#endif
}

std::uint32_t pack_left(const std::uint8_t* from, std::int64_t depth, std::uint8_t flip, std::uint32_t* to) {
  using Element = std::conditional_t<kCellDepth == 4, std::int8_t, std::int16_t>;
  const std::int64_t filled = (depth + kCellDepth - 1) / kCellDepth * kCellDepth;
  auto* const out = reinterpret_cast<Element*>(to);
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < depth; ++i) {
    const auto element = static_cast<std::int8_t>(from[i] ^ flip);
    out[i] = element;
    sum += element;
  }
  for (std::int64_t i = depth; i < filled; ++i) out[i] = 0;
  return static_cast<std::uint32_t>(sum);
}

void pack_right(const std::uint8_t* const* rows, std::int64_t depth, std::int64_t first, std::int64_t columns,
                std::uint8_t flip, std::uint32_t* to) {
  const auto flips = hn::Set(Cells(), flip * kFlips);
  const std::int64_t whole = columns / kLanes * kLanes;
  for (std::int64_t row = 0; row < depth; row += kCellDepth) {
    for (std::int64_t column = 0; column < whole; column += kLanes, to += kLanes) {
      hn::StoreU(hn::Xor(read_cells(rows + row, first + column), flips), Cells(), to);
    }
    if (whole == columns) continue;
    // Nothing is read behind the last column.
    std::uint8_t copies[kCellDepth][kLanes] = {};
    const std::uint8_t* last[kCellDepth];
    for (std::int64_t i = 0; i < kCellDepth; ++i) {
      std::memcpy(copies[i], rows[row + i] + first + whole, static_cast<std::size_t>(columns - whole));
      last[i] = copies[i];
    }
    hn::StoreU(hn::Xor(read_cells(last, 0), flips), Cells(), to);
    to += kLanes;
  }
}

void gather(const std::uint8_t* from, const std::int64_t* offsets, std::int64_t count, const ColumnStretch* stretches,
            std::int64_t stretch_count, std::uint8_t* to, std::int64_t pitch) {
#if HWY_TARGET == HWY_SCALAR
  const hn::FixedTag<std::uint8_t, 1> bytes;
#else
  const hn::CappedTag<std::uint8_t, static_cast<std::size_t>(kPanelColumns)> bytes;
#endif
  constexpr std::int64_t kStep = static_cast<std::int64_t>(hn::MaxLanes(bytes));
  for (std::int64_t i = 0; i < count; ++i, to += pitch) {
    const std::uint8_t* const row = from + offsets[i];
    for (std::int64_t s = 0; s < stretch_count; ++s) {
      for (std::int64_t column = 0; column < kPanelColumns; column += kStep) {
        hn::StoreU(hn::LoadU(bytes, row + stretches[s].from + column), bytes, to + stretches[s].to + column);
      }
    }
  }
}

template <int kRows, int kVectors>
void multiply_tile(std::int64_t cells, const std::uint32_t* left, const std::uint32_t* panel, std::int32_t* y) {
  const Cells d;
  SumVector sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(Sums());
  }
  for (std::int64_t cell = 0; cell < cells; ++cell, panel += kVectors * kLanes) {
    CellVector right[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) right[v] = hn::LoadU(d, panel + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto row = hn::Set(d, left[r * cells + cell]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[r][v] = add_product(sums[r][v], row, right[v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], Sums(), y + r * kPanelColumns + v * kLanes);
  }
}

using MultiplyTile = void (*)(std::int64_t, const std::uint32_t*, const std::uint32_t*, std::int32_t*);
template <int kRows, int... kVectors>
constexpr std::array<MultiplyTile, sizeof...(kVectors)> tiles_of_rows(std::integer_sequence<int, kVectors...>) {
  return {multiply_tile<kRows, kVectors + 1>...};
}
template <int... kRows>
constexpr auto all_tiles(std::integer_sequence<int, kRows...>) {
  return std::array{tiles_of_rows<kRows + 1>(std::make_integer_sequence<int, kPanelVectors>())...};
}

void multiply(std::int64_t rows, std::int64_t columns, std::int64_t cells, const std::uint32_t* left,
              const std::uint32_t* panel, std::int32_t* y) {
  static constexpr auto kTiles = all_tiles(std::make_integer_sequence<int, kTileRows>());
  const auto vectors = static_cast<std::size_t>((columns + kLanes - 1) / kLanes);
  // Tiles of about as many rows each.
  std::int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (std::int64_t row = 0; row < rows; --tiles) {
    const std::int64_t count = (rows - row + tiles - 1) / tiles;
    kTiles[static_cast<std::size_t>(count - 1)][vectors - 1](cells, left + row * cells, panel, y + row * kPanelColumns);
    row += count;
  }
}

// Several vectors side by side, so that sums do not wait for each other.
template <int kVectors>
HWY_INLINE void multiply_columns(const std::uint8_t* const* rows, std::int64_t depth, std::int64_t first,
                                 CellVector flips, const std::uint32_t* left, std::int32_t* y) {
  SumVector sums[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(Sums());
  for (std::int64_t row = 0; row < depth; row += kCellDepth) {
    const auto weights = hn::Set(Cells(), *left++);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = add_product(sums[v], weights, hn::Xor(read_cells(rows + row, first + v * kLanes), flips));
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[v], Sums(), y + v * kLanes);
}

void multiply_row(const std::uint8_t* const* rows, std::int64_t depth, std::int64_t first, std::int64_t columns,
                  std::uint8_t flip, const std::uint32_t* left, std::int32_t* y) {
  const auto flips = hn::Set(Cells(), flip * kFlips);
  for (std::int64_t column = 0; column < columns; column += kPanelColumns) {
    const std::int64_t rest = columns - column;
    if (rest > 3 * kLanes)
      multiply_columns<4>(rows, depth, first + column, flips, left, y + column);
    else if (rest > 2 * kLanes)
      multiply_columns<3>(rows, depth, first + column, flips, left, y + column);
    else if (rest > kLanes)
      multiply_columns<2>(rows, depth, first + column, flips, left, y + column);
    else
      multiply_columns<1>(rows, depth, first + column, flips, left, y + column);
  }
}

void close_gaps(std::int64_t rows, std::int64_t width, std::int64_t pitch, const std::int32_t* from, std::int32_t* to) {
  for (std::int64_t row = 0; row < rows; ++row, from += pitch, to += width) {
    for (std::int64_t i = 0; i < width; i += kLanes) hn::StoreU(hn::LoadU(Sums(), from + i), Sums(), to + i);
  }
}

void correct(const std::int32_t* sums, std::int64_t count, const SumCorrection& correction, std::int32_t* out) {
  const std::uint32_t constant = correction.constant;
  LANNER_INDEPENDENT_ITERATIONS
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(sums[i]) + constant);
  }
  for (int term = 0; term < 2; ++term) {
    const std::uint32_t* const columns = correction.columns[term];
    const std::uint32_t factor = correction.factors[term];
    if (columns == nullptr || factor == 0) continue;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) {
      out[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(out[i]) + factor * columns[i]);
    }
  }
}

// Bounded before it is rounded, which gives the same as the bounds are whole. NaN becomes the lowest number.
template <typename T>
HWY_INLINE T quantized(std::uint32_t sum, float factor, float low, float high, std::int32_t zero_point) {
  // Adding it leaves no bits for fractions of small numbers: the whole part is in the lowest bits.
  constexpr float kWholeNumbers = 0x1.8p23f;
  float x = static_cast<float>(static_cast<std::int32_t>(sum)) * factor;
  x = x > low ? x : low;
  x = x < high ? x : high;
  const auto bits = std::bit_cast<std::int32_t>(x + kWholeNumbers);
  return static_cast<T>(bits - (std::bit_cast<std::int32_t>(kWholeNumbers) - zero_point));
}

template <typename T>
void quantize(const std::int32_t* sums, std::int64_t count, std::uint32_t constant, const float* factors,
              std::int64_t step, std::int32_t zero_point, void* out) {
  const auto low = static_cast<float>(std::numeric_limits<T>::min() - zero_point);
  const auto high = static_cast<float>(std::numeric_limits<T>::max() - zero_point);
  T* const y = static_cast<T*>(out);
  const auto sum = [&](std::int64_t i) { return static_cast<std::uint32_t>(sums[i]) + constant; };
  if (step == 0) {
    const float factor = *factors;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) y[i] = quantized<T>(sum(i), factor, low, high, zero_point);
  } else {
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < count; ++i) y[i] = quantized<T>(sum(i), factors[i], low, high, zero_point);
  }
}

constexpr IntegerProductLoops kLoops{kCellDepth,
                                     kPanelColumns,
                                     kLanes,
                                     pack_left,
                                     pack_right,
                                     gather,
                                     multiply,
                                     multiply_row,
                                     close_gaps,
                                     correct,
                                     quantize<std::int8_t>,
                                     quantize<std::uint8_t>};
