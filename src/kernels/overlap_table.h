// Which boxes of an image overlap which, looked up by all classes: a row of bits for each box that some class keeps,
// made when it is first asked for. Where many boxes are candidates of many classes, a bit is cheaper than the same
// overlap computed again for each class.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/head_loops.h"
#include "lanner/tensor.h"

namespace lanner::kernels {

// Used by several threads at once. A row's state goes from none to the number of its place in memory: the thread that
// takes the step from kNone to kBeingMade makes the row and then releases its place; others that want the row meanwhile
// make it in memory of their own.
class OverlapTable {
 public:
  // For overlaps by more than `iou_threshold`. Rows beyond `byte_budget` are never kept.
  OverlapTable(const HeadLoops& loops, const BlockedBoxes& boxes, float iou_threshold, std::size_t byte_budget,
               Allocator& allocator)
      : loops_(loops),
        boxes_(boxes),
        iou_threshold_(iou_threshold),
        row_words_((boxes.blocks.size() + 31) / 32 * 32),
        capacity_(std::min(boxes.blocks.size() * kBlock, byte_budget / (row_words_ * sizeof(std::uint16_t)))),
        memory_(Tensor::allocate(ElementType::kUint16, {static_cast<std::int64_t>(capacity_ * row_words_)}, allocator)),
        places_(std::make_unique<std::atomic<std::int32_t>[]>(boxes.blocks.size() * kBlock)) {}

  // Words of a row, a bit for each box: a multiple of 64 bytes.
  std::size_t row_words() const { return row_words_; }

  // Row of box `box`; `own` has room for one.
  const std::uint16_t* row(std::size_t box, std::uint16_t* own) {
    std::atomic<std::int32_t>& place = places_[box];
    std::int32_t found = place.load(std::memory_order_acquire);
    if (found >= kFirst) return at(found);
    if (found == kNone && used_.load(std::memory_order_relaxed) < capacity_ &&
        place.compare_exchange_strong(found, kBeingMade, std::memory_order_relaxed)) {
      const std::size_t mine = used_.fetch_add(1, std::memory_order_relaxed);
      if (mine < capacity_) {
        const auto number = static_cast<std::int32_t>(mine) + kFirst;
        make(box, at(number));
        place.store(number, std::memory_order_release);
        return at(number);
      }
    }
    make(box, own);
    return own;
  }

 private:
  static constexpr std::int32_t kNone = 0;
  static constexpr std::int32_t kBeingMade = 1;
  static constexpr std::int32_t kFirst = 2;

  std::uint16_t* at(std::int32_t number) {
    return memory_.data<std::uint16_t>() + static_cast<std::size_t>(number - kFirst) * row_words_;
  }
  void make(std::size_t box, std::uint16_t* words) const {
    loops_.overlap_bits(boxes_.blocks[box / kBlock], box % kBlock, boxes_, iou_threshold_, words);
    std::fill(words + boxes_.blocks.size(), words + row_words_, std::uint16_t{0});
  }

  const HeadLoops& loops_;
  BlockedBoxes boxes_;
  float iou_threshold_;
  std::size_t row_words_;
  std::size_t capacity_;
  Tensor memory_;
  std::unique_ptr<std::atomic<std::int32_t>[]> places_;
  std::atomic<std::size_t> used_{0};
};

}  // namespace lanner::kernels
