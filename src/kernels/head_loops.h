// The inner loops of the detection heads, compiled once per instruction set: finding the scores above a threshold and
// boxes that overlap. Every version gives the same bits; which one runs is chosen once per operator run.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/loops_of_cpu.h"

namespace lanner::kernels {

// Boxes are compared in blocks of this many; a bit mask of a block is one 16-bit word.
inline constexpr std::size_t kBlock = 16;

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// So many candidates are sorted at once.
inline constexpr std::size_t kFewCandidates = 64;

// Sixteen boxes, one array a coordinate, and their areas. A box whose area is not positive (or NaN) takes part as one
// that overlaps nothing, which is also what fills a last block up.
struct alignas(64) BoxBlock {
  std::array<float, kBlock> x_min;
  std::array<float, kBlock> y_min;
  std::array<float, kBlock> x_max;
  std::array<float, kBlock> y_max;
  std::array<float, kBlock> area;  // 0 for those that take no part

  void clear() {
    x_min.fill(kInfinity);
    y_min.fill(kInfinity);
    x_max.fill(-kInfinity);
    y_max.fill(-kInfinity);
    area.fill(0);
  }
};

constexpr std::size_t block_count(std::size_t box_count) {
  return (box_count + kBlock - 1) / kBlock;
}

// A candidate by rank: its score's order key above its inverted row, so that greater is better and, of equal scores,
// the lower row.
using Candidate = std::uint64_t;
inline Candidate make_candidate(std::uint32_t key, std::uint32_t row) {
  return static_cast<Candidate>(key) << 32 | static_cast<std::uint32_t>(~row);
}
inline std::uint32_t candidate_row(Candidate candidate) {
  return static_cast<std::uint32_t>(~static_cast<std::uint32_t>(candidate));
}

// Candidates of one class: order keys of their scores and their rows, ascending. Both arrays have room for kBlock more
// than all rows, because whole vectors are stored.
struct CandidateList {
  std::uint32_t* keys;
  std::uint32_t* rows;
  std::size_t size;
};

// Which scores are candidates, and what the key of NaN is, where NaN is one.
struct CandidateFilter {
  bool all = false;  // every score, NaN as well
  float floor = 0;   // else those above it
  std::uint32_t nan_key = 0;
  bool nan_passes = false;  // the floor as well; for collect_row alone
};

// Boxes in blocks, and the sides of each block's boxes taken together, in blocks as well.
struct BlockedBoxes {
  std::span<const BoxBlock> blocks;
  std::span<const BoxBlock> bounds;
};

// Columns first to last - 1.
struct ColumnRange {
  std::size_t first;
  std::size_t last;
};

struct KeyRange {
  std::uint32_t least;
  std::uint32_t greatest;
};

struct HeadLoops {
  // Makes blocks of `count` boxes [count,4]: two opposite corners (y1, x1, y2, x2) in any order or, when `centered`,
  // (x centre, y centre, width, height).
  void (*make_blocks)(const float* boxes, std::size_t count, bool centered, BoxBlock* blocks);
  // Appends the candidates among `count` scores that lie one after another, the first of row `first_row`.
  void (*collect_row)(const float* scores, std::uint32_t first_row, std::size_t count, const CandidateFilter& filter,
                      CandidateList& list);
  // Appends the candidates of `width` classes, that of class c and row r at scores[r * stride + c], to their lists.
  // `readable` is the number of elements from `scores` to the end of its tensor.
  void (*collect_columns)(const float* scores, std::size_t readable, std::size_t stride, std::size_t row_count,
                          std::size_t width, const CandidateFilter& filter, CandidateList* lists);
  // Of rows of `length` scores that lie one after another: finds those in which a score of the columns [first, last) is
  // greater by more than `margin` than all scores of the other columns; those on the edge may be among them, and rows
  // that hold NaN. Writes their numbers, the first row's being `first_row`, to `rows`, which has room for all, and
  // returns how many they are.
  std::size_t (*rows_that_stand_out)(const float* scores, std::uint32_t first_row, std::size_t row_count,
                                     std::size_t length, ColumnRange columns, float margin, std::uint32_t* rows);
  // The least and the greatest key of a list that is not empty.
  KeyRange (*key_range)(const CandidateList& list);
  // Appends the candidates of `list` whose keys are in the range, both ends included, to `out`.
  void (*select_keys)(const CandidateList& list, KeyRange range, CandidateList& out);
  // Writes the candidates of `list`, at most kFewCandidates, best first.
  void (*sort_few)(const CandidateList& list, Candidate* sorted);
  // Whether lane `lane` of `box` overlaps a box of `blocks` by more than `iou_threshold`, in [0, 1].
  bool (*overlaps_any)(const BoxBlock& box, std::size_t lane, const BoxBlock* blocks, std::size_t block_count,
                       float iou_threshold);
  // The same as bits: bit b of words[k] tells of box b of block k.
  void (*overlap_bits)(const BoxBlock& box, std::size_t lane, const BlockedBoxes& boxes, float iou_threshold,
                       std::uint16_t* words);
};

LoopsOfCpu<HeadLoops>& head_loops_of_cpu();
inline const HeadLoops& head_loops() {
  return head_loops_of_cpu().get();
}

// Makes the bounds of `blocks`: block_count(blocks.size()) blocks.
void make_bounds(std::span<const BoxBlock> blocks, BoxBlock* bounds);

}  // namespace lanner::kernels
