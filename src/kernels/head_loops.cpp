// The targets left out are older than AVX2 and newer than what these loops can use; what remains for x86 is AVX-512,
// AVX2 and a portable form.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/head_loops.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/head_loops.h"
#include "kernels/loops_rows.h"
#include "kernels/order_key.h"

HWY_BEFORE_NAMESPACE();
namespace lanner::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kBlock>;
using Words = hn::RebindToUnsigned<Floats>;
using FloatVector = hn::Vec<Floats>;
using WordVector = hn::Vec<Words>;
using FloatMask = hn::Mask<Floats>;

HWY_INLINE std::uint32_t bits_of(FloatMask mask) {
  std::uint64_t bits = 0;
  hn::StoreMaskBits(Floats(), mask, reinterpret_cast<std::uint8_t*>(&bits));
  const std::size_t lanes = hn::Lanes(Floats());
  return static_cast<std::uint32_t>(bits) & ((1u << lanes) - 1);
}

HWY_INLINE WordVector order_keys(FloatVector scores, std::uint32_t nan_key) {
  const Floats floats;
  const Words words;
  const WordVector sign = hn::Set(words, 0x80000000u);
  const WordVector bits = hn::BitCast(words, hn::Add(scores, hn::Zero(floats)));  // -0 + 0 is +0
  const WordVector negative = hn::BitCast(words, hn::BroadcastSignBit(hn::BitCast(hn::RebindToSigned<Floats>(), bits)));
  const WordVector keys = hn::Xor(bits, hn::Or(negative, sign));
  return hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(scores)), hn::Set(words, nan_key), keys);
}

#if HWY_TARGET == HWY_AVX2
// For each set of eight lanes, those that are in it, in order; what follows is 0.
constexpr auto kLanesOfSet = [] {
  std::array<std::array<std::uint8_t, 8>, 256> lanes{};
  for (std::size_t set = 0; set < lanes.size(); ++set) {
    std::size_t count = 0;
    for (std::uint8_t lane = 0; lane < 8; ++lane) {
      if ((set >> lane & 1) != 0) lanes[set][count++] = lane;
    }
  }
  return lanes;
}();
#endif

// The lanes that a mask selects. Without the instruction of AVX-512, hn::Compress() of Highway 1.0.3 looks them up in a
// table of 1 KiB which GCC copies to the stack in every call.
class SelectedLanes {
 public:
#if HWY_TARGET == HWY_AVX2
  explicit SelectedLanes(FloatMask mask) {
    const std::uint32_t bits = bits_of(mask);
    count_ = static_cast<std::size_t>(std::popcount(bits));
    const hn::Rebind<std::uint8_t, Words> bytes;
    order_ = hn::PromoteTo(Words(), hn::LoadU(bytes, kLanesOfSet[bits].data()));
  }
  // These lanes of `v` first, then any.
  WordVector front(WordVector v) const { return hn::TableLookupLanes(v, hn::IndicesFromVec(Words(), order_)); }
  std::size_t count() const { return count_; }

 private:
  WordVector order_;
  std::size_t count_;
#else
  explicit SelectedLanes(FloatMask mask) : mask_(hn::RebindMask(Words(), mask)) {}
  WordVector front(WordVector v) const { return hn::Compress(v, mask_); }
  std::size_t count() const { return hn::CountTrue(Words(), mask_); }

 private:
  hn::Mask<Words> mask_;
#endif
};

HWY_INLINE void append(FloatVector scores, FloatMask mask, std::uint32_t row, std::uint32_t nan_key,
                       CandidateList& list) {
  const Words words;
  const SelectedLanes wanted(mask);
  hn::StoreU(wanted.front(order_keys(scores, nan_key)), words, list.keys + list.size);
  hn::StoreU(wanted.front(hn::Add(hn::Iota(words, 0), hn::Set(words, row))), words, list.rows + list.size);
  list.size += wanted.count();
}

HWY_INLINE FloatMask passing(FloatVector scores, const CandidateFilter& filter) {
  const Floats floats;
  if (filter.all) return hn::FirstN(floats, hn::Lanes(floats));
  if (filter.nan_passes) return hn::Not(hn::Le(scores, hn::Set(floats, filter.floor)));
  return hn::Gt(scores, hn::Set(floats, filter.floor));
}

void collect_row(const float* scores, std::uint32_t first_row, std::size_t count, const CandidateFilter& wanted,
                 CandidateList& list) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  std::size_t i = 0;
  // Local copies, which the stores of the loop cannot change.
  CandidateList out = list;
  const CandidateFilter filter = wanted;
  constexpr std::size_t kStep = 4;
  for (; i + kStep * lanes <= count; i += kStep * lanes) {
    FloatVector v[kStep];
    FloatMask mask[kStep];
    for (std::size_t k = 0; k < kStep; ++k) {
      v[k] = hn::LoadU(floats, scores + i + k * lanes);
      mask[k] = passing(v[k], filter);
    }
    if (hn::AllFalse(floats, hn::Or(hn::Or(mask[0], mask[1]), hn::Or(mask[2], mask[3])))) continue;
    for (std::size_t k = 0; k < kStep; ++k) {
      if (hn::AllFalse(floats, mask[k])) continue;
      append(v[k], mask[k], first_row + static_cast<std::uint32_t>(i + k * lanes), filter.nan_key, out);
    }
  }
  for (; i < count; i += lanes) {
    const std::size_t left = std::min(lanes, count - i);
    HWY_ALIGN float rest[kBlock] = {};
    std::memcpy(rest, scores + i, left * sizeof(float));
    const FloatVector v = hn::Load(floats, rest);
    append(v, hn::And(passing(v, filter), hn::FirstN(floats, left)), first_row + static_cast<std::uint32_t>(i),
           filter.nan_key, out);
  }
  list = out;
}

// The bits of the candidates among kBlock scores.
HWY_INLINE std::uint32_t passing_bits(const float* scores, const CandidateFilter& filter) {
  const Floats floats;
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < kBlock; i += hn::Lanes(floats)) {
    bits |= bits_of(passing(hn::LoadU(floats, scores + i), filter)) << i;
  }
  return bits;
}

// Whether there is a candidate among the scores of `rows` rows of kBlock.
HWY_INLINE bool any_passing(const float* from, std::size_t step, std::size_t rows, const CandidateFilter& filter) {
  if (filter.all) return true;
  const Floats floats;
  const FloatVector floor = hn::Set(floats, filter.floor);
  FloatMask any = hn::Gt(hn::LoadU(floats, from), floor);
  const auto look = [&](const float* row) {
    for (std::size_t i = 0; i < kBlock; i += hn::Lanes(floats)) {
      any = hn::Or(any, hn::Gt(hn::LoadU(floats, row + i), floor));
    }
  };
  if (rows == kBlock) {
    for (std::size_t r = 0; r < kBlock; ++r) look(from + r * step);  // as many as the compiler can unroll
  } else {
    for (std::size_t r = 0; r < rows; ++r) look(from + r * step);
  }
  return !hn::AllFalse(floats, any);
}

// A tile is kBlock rows of up to kBlock classes. Where it has few candidates they are appended one by one; else it is
// turned over, and each class appends its rows at once.
HWY_INLINE void collect_tile(const float* from, std::size_t step, std::size_t first_row, std::size_t rows,
                             std::size_t width, const CandidateFilter& filter, CandidateList* lists) {
  constexpr int kFew = 40;
  const Floats floats;
  if (!any_passing(from, step, rows, filter)) return;
  const std::uint32_t classes = (1u << width) - 1;
  // Four rows of sixteen classes a word.
  std::uint64_t words[kBlock / 4] = {};
  int count = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::uint64_t bits = passing_bits(from + r * step, filter) & classes;
    words[r / 4] |= bits << (r % 4 * kBlock);
  }
  for (const std::uint64_t word : words) count += std::popcount(word);
  if (count <= kFew) {
    for (std::size_t w = 0; w < kBlock / 4; ++w) {
      for (std::uint64_t left = words[w]; left != 0; left &= left - 1) {
        const auto bit = static_cast<std::size_t>(std::countr_zero(left));
        const std::size_t r = 4 * w + bit / kBlock;
        const float score = from[r * step + bit % kBlock];
        CandidateList& list = lists[bit % kBlock];
        list.keys[list.size] = score != score ? filter.nan_key : order_key(score);
        list.rows[list.size++] = static_cast<std::uint32_t>(first_row + r);
      }
    }
    return;
  }
  HWY_ALIGN float turned[kBlock * kBlock];
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < width; ++c) turned[c * kBlock + r] = from[r * step + c];
  }
  for (std::size_t c = 0; c < width; ++c) {
    std::fill(turned + c * kBlock + rows, turned + (c + 1) * kBlock, 0.0f);
    for (std::size_t i = 0; i < rows; i += hn::Lanes(floats)) {
      const FloatVector v = hn::Load(floats, turned + c * kBlock + i);
      append(v, hn::And(passing(v, filter), hn::FirstN(floats, rows - i)), static_cast<std::uint32_t>(first_row + i),
             filter.nan_key, lists[c]);
    }
  }
}

// All classes of some rows before the next rows, so that memory is read in its order.
void collect_columns(const float* scores, std::size_t readable, std::size_t stride, std::size_t row_count,
                     std::size_t width, const CandidateFilter& filter, CandidateList* lists) {
  HWY_ALIGN float copy[kBlock * kBlock];
  for (std::size_t row = 0; row < row_count; row += kBlock) {
    const std::size_t rows = std::min(kBlock, row_count - row);
    for (std::size_t c = 0; c < width; c += kBlock) {
      const float* from = scores + row * stride + c;
      const std::size_t tile_width = std::min(kBlock, width - c);
      std::size_t step = stride;
      if ((row + rows - 1) * stride + c + kBlock > readable) {
        // Whole blocks would end beyond the tensor.
        for (std::size_t r = 0; r < rows; ++r) {
          std::memcpy(copy + r * kBlock, from + r * stride, tile_width * sizeof(float));
        }
        from = copy;
        step = kBlock;
      }
      collect_tile(from, step, row, rows, tile_width, filter, lists + c);
    }
  }
}

std::size_t rows_that_stand_out(const float* scores, std::uint32_t first_row, std::size_t row_count, std::size_t length,
                                ColumnRange columns, float margin, std::uint32_t* rows) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  const std::size_t width = columns.last - columns.first;
  constexpr float kRounding = 0x1p-22f;  // of the bound, so that a row on the edge is found
  std::size_t found = 0;
  for (std::size_t r = 0; r < row_count; ++r) {
    const float* row = scores + r * length;
    float rest = -kInfinity;
    for (std::size_t i = 0; i < columns.first; ++i) rest = std::max(rest, row[i]);
    for (std::size_t i = columns.last; i < length; ++i) rest = std::max(rest, row[i]);
    const float bound = rest + margin - kRounding * std::fabs(rest);
    const float* from = row + columns.first;
    bool stands_out = false;
    if (width >= lanes) {
      FloatVector most = hn::LoadU(floats, from + width - lanes);
      for (std::size_t i = 0; i + lanes < width; i += lanes) most = hn::Max(hn::LoadU(floats, from + i), most);
      stands_out = !hn::AllFalse(floats, hn::Gt(most, hn::Set(floats, bound)));
    } else {
      for (std::size_t i = 0; i < width; ++i) stands_out = stands_out || from[i] > bound;
    }
    rows[found] = first_row + static_cast<std::uint32_t>(r);
    found += stands_out ? 1 : 0;
  }
  return found;
}

KeyRange key_range(const CandidateList& list) {
  const Words words;
  const std::size_t lanes = hn::Lanes(words);
  KeyRange range{list.keys[0], list.keys[0]};
  std::size_t i = 0;
  if (list.size >= lanes) {
    WordVector least = hn::LoadU(words, list.keys);
    WordVector greatest = least;
    for (; i + lanes <= list.size; i += lanes) {
      const WordVector keys = hn::LoadU(words, list.keys + i);
      least = hn::Min(least, keys);
      greatest = hn::Max(greatest, keys);
    }
    range = {hn::GetLane(hn::MinOfLanes(words, least)), hn::GetLane(hn::MaxOfLanes(words, greatest))};
  }
  for (; i < list.size; ++i) {
    range.least = std::min(range.least, list.keys[i]);
    range.greatest = std::max(range.greatest, list.keys[i]);
  }
  return range;
}

void select_keys(const CandidateList& list, KeyRange range, CandidateList& out) {
  const Words words;
  const std::size_t lanes = hn::Lanes(words);
  const WordVector least = hn::Set(words, range.least);
  const WordVector width = hn::Set(words, range.greatest - range.least);
  std::size_t size = out.size;
  std::size_t i = 0;
  for (; i + lanes <= list.size; i += lanes) {
    const WordVector keys = hn::LoadU(words, list.keys + i);
    const SelectedLanes wanted(hn::RebindMask(Floats(), hn::Not(hn::Gt(hn::Sub(keys, least), width))));
    hn::StoreU(wanted.front(keys), words, out.keys + size);
    hn::StoreU(wanted.front(hn::LoadU(words, list.rows + i)), words, out.rows + size);
    size += wanted.count();
  }
  for (; i < list.size; ++i) {
    out.keys[size] = list.keys[i];
    out.rows[size] = list.rows[i];
    size += list.keys[i] - range.least <= range.greatest - range.least ? 1 : 0;
  }
  out.size = size;
}

void sort_few(const CandidateList& list, Candidate* sorted) {
  using Wide = hn::CappedTag<std::uint64_t, kFewCandidates>;
  const Wide wide;
  const std::size_t lanes = hn::Lanes(wide);
  HWY_ALIGN Candidate candidates[kFewCandidates + HWY_LANES(std::uint64_t)];
  for (std::size_t i = 0; i < list.size; ++i) candidates[i] = make_candidate(list.keys[i], list.rows[i]);
  const std::size_t end = (list.size + lanes - 1) / lanes * lanes;
  std::fill(candidates + list.size, candidates + end, Candidate{0});
  // No two are equal, so how many are better is a candidate's place. The least is never better than another.
  for (std::size_t i = 0; i < list.size; ++i) {
    const auto one = hn::Set(wide, candidates[i]);
    std::size_t better = 0;
    for (std::size_t k = 0; k < end; k += lanes) {
      better += hn::CountTrue(wide, hn::Gt(hn::Load(wide, candidates + k), one));
    }
    sorted[better] = candidates[i];
  }
}

void make_blocks(const float* boxes, std::size_t count, bool centered, BoxBlock* blocks) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  HWY_ALIGN float rest[4 * kBlock];
  for (std::size_t first = 0; first < count; first += kBlock, ++blocks) {
    const float* from = boxes + 4 * first;
    if (count - first < kBlock) {
      std::fill_n(rest, 4 * kBlock, 0.0f);
      std::memcpy(rest, from, 4 * (count - first) * sizeof(float));
      from = rest;
    }
    for (std::size_t i = 0; i < kBlock; i += lanes) {
      FloatVector a, b, c, d;
      hn::LoadInterleaved4(floats, from + 4 * i, a, b, c, d);
      FloatVector x_min, y_min, x_max, y_max;
      if (centered) {
        const FloatVector half = hn::Set(floats, 0.5f);
        const FloatVector half_width = hn::Mul(c, half);
        const FloatVector half_height = hn::Mul(d, half);
        x_min = hn::Sub(a, half_width);
        x_max = hn::Add(a, half_width);
        y_min = hn::Sub(b, half_height);
        y_max = hn::Add(b, half_height);
      } else {
        // Where Min and Max meet NaN, whatever they give makes an area that is NaN or 0.
        y_min = hn::Min(a, c);
        y_max = hn::Max(a, c);
        x_min = hn::Min(b, d);
        x_max = hn::Max(b, d);
      }
      const FloatVector area = hn::Mul(hn::Sub(x_max, x_min), hn::Sub(y_max, y_min));
      const auto takes_part = hn::Gt(area, hn::Zero(floats));
      const FloatVector infinity = hn::Set(floats, kInfinity);
      hn::Store(hn::IfThenElse(takes_part, x_min, infinity), floats, blocks->x_min.data() + i);
      hn::Store(hn::IfThenElse(takes_part, y_min, infinity), floats, blocks->y_min.data() + i);
      hn::Store(hn::IfThenElse(takes_part, x_max, hn::Neg(infinity)), floats, blocks->x_max.data() + i);
      hn::Store(hn::IfThenElse(takes_part, y_max, hn::Neg(infinity)), floats, blocks->y_max.data() + i);
      hn::Store(hn::IfThenElseZero(takes_part, area), floats, blocks->area.data() + i);
    }
  }
}

// One box, each number in all lanes.
struct Spread {
  FloatVector x_min, y_min, x_max, y_max, area, iou_threshold;

  HWY_INLINE Spread(const BoxBlock& box, std::size_t lane, float threshold)
      : x_min(hn::Set(Floats(), box.x_min[lane])),
        y_min(hn::Set(Floats(), box.y_min[lane])),
        x_max(hn::Set(Floats(), box.x_max[lane])),
        y_max(hn::Set(Floats(), box.y_max[lane])),
        area(hn::Set(Floats(), box.area[lane])),
        iou_threshold(hn::Set(Floats(), threshold)) {}
};

// The sides that `box` has in common with the boxes from lane `i` of a block.
struct Common {
  FloatVector x_min, y_min, x_max, y_max;

  HWY_INLINE Common(const Spread& box, const BoxBlock& block, std::size_t i)
      : x_min(hn::Max(hn::Load(Floats(), block.x_min.data() + i), box.x_min)),
        y_min(hn::Max(hn::Load(Floats(), block.y_min.data() + i), box.y_min)),
        x_max(hn::Min(hn::Load(Floats(), block.x_max.data() + i), box.x_max)),
        y_max(hn::Min(hn::Load(Floats(), block.y_max.data() + i), box.y_max)) {}
  HWY_INLINE FloatMask any() const { return hn::And(hn::Gt(x_max, x_min), hn::Gt(y_max, y_min)); }
};

HWY_INLINE FloatMask meets(const Spread& box, const BoxBlock& block, std::size_t i) {
  return Common(box, block, i).any();
}

// Which of them overlap `box` by more than its threshold. Intersection and union need no check of their own: areas are
// positive where sides meet, an intersection is no greater than either area, also rounded, and what overflows to NaN
// compares false.
HWY_INLINE FloatMask overlap(const Spread& box, const BoxBlock& block, std::size_t i) {
  const Floats floats;
  const Common common(box, block, i);
  const FloatMask any = common.any();
  if (hn::AllFalse(floats, any)) return any;
  const FloatVector intersection = hn::Mul(hn::Sub(common.x_max, common.x_min), hn::Sub(common.y_max, common.y_min));
  const FloatVector joined = hn::Sub(hn::Add(hn::Load(floats, block.area.data() + i), box.area), intersection);
  return hn::And(any, hn::Gt(hn::Div(intersection, joined), box.iou_threshold));
}

bool overlaps_any(const BoxBlock& box, std::size_t lane, const BoxBlock* blocks, std::size_t block_count,
                  float iou_threshold) {
  const Floats floats;
  const Spread one(box, lane, iou_threshold);
  for (std::size_t k = 0; k < block_count; ++k) {
    for (std::size_t i = 0; i < kBlock; i += hn::Lanes(floats)) {
      if (!hn::AllFalse(floats, overlap(one, blocks[k], i))) return true;
    }
  }
  return false;
}

void overlap_bits(const BoxBlock& box, std::size_t lane, const BlockedBoxes& boxes, float iou_threshold,
                  std::uint16_t* words) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  const Spread one(box, lane, iou_threshold);
  for (std::size_t first = 0; first < boxes.blocks.size(); first += kBlock) {
    const BoxBlock& bounds = boxes.bounds[first / kBlock];
    std::uint32_t near = 0;
    for (std::size_t i = 0; i < kBlock; i += lanes) near |= bits_of(meets(one, bounds, i)) << i;
    const std::size_t count = std::min(kBlock, boxes.blocks.size() - first);
    std::fill_n(words + first, count, std::uint16_t{0});
    for (; near != 0; near &= near - 1) {
      const std::size_t k = first + static_cast<std::size_t>(std::countr_zero(near));
      std::uint32_t bits = 0;
      for (std::size_t i = 0; i < kBlock; i += lanes) bits |= bits_of(overlap(one, boxes.blocks[k], i)) << i;
      words[k] = static_cast<std::uint16_t>(bits);
    }
  }
}

constexpr HeadLoops kLoops{make_blocks, collect_row, collect_columns, rows_that_stand_out, key_range,
                           select_keys, sort_few,    overlaps_any,    overlap_bits};

}  // namespace lanner::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lanner::kernels {

namespace {

constexpr LoopsRow<HeadLoops> kRows[] = LANNER_LOOPS_ROWS;

}  // namespace

LoopsOfCpu<HeadLoops>& head_loops_of_cpu() {
  static LoopsOfCpu<HeadLoops> loops(kRows);
  return loops;
}

void make_bounds(std::span<const BoxBlock> blocks, BoxBlock* bounds) {
  for (std::size_t k = 0; k < blocks.size(); ++k) {
    BoxBlock& all = bounds[k / kBlock];
    const std::size_t lane = k % kBlock;
    if (lane == 0) all.clear();
    all.x_min[lane] = *std::ranges::min_element(blocks[k].x_min);
    all.y_min[lane] = *std::ranges::min_element(blocks[k].y_min);
    all.x_max[lane] = *std::ranges::max_element(blocks[k].x_max);
    all.y_max[lane] = *std::ranges::max_element(blocks[k].y_max);
  }
}

}  // namespace lanner::kernels
#endif
