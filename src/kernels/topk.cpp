// TopK: the k largest or smallest elements along an axis, in order, with their indices. Of equal elements the one of
// lower index comes first, both zeros are equal, and NaN is greater than every number. The result is always sorted,
// whatever attribute `sorted` says.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <type_traits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/candidate_queue.h"
#include "kernels/head_loops.h"
#include "kernels/kernel.h"
#include "kernels/order_key.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// Rows from this length on are worth vectors.
constexpr std::int64_t kFromLength = 256;

// An element by rank: greater is better, and no two are equal. Of 32-bit keys and indices it is one word.
struct WideEntry {
  std::uint64_t key;
  std::uint64_t inverse_index;
  friend bool operator>(const WideEntry& a, const WideEntry& b) {
    return a.key != b.key ? a.key > b.key : a.inverse_index > b.inverse_index;
  }
};

template <typename Entry, typename Key>
Entry make_entry(Key key, std::int64_t index) {
  if constexpr (std::is_same_v<Entry, WideEntry>) {
    return {key, ~static_cast<std::uint64_t>(index)};
  } else {
    return static_cast<std::uint64_t>(key) << 32 | static_cast<std::uint32_t>(~static_cast<std::uint32_t>(index));
  }
}

template <typename Entry>
std::int64_t index_of(const Entry& entry) {
  if constexpr (std::is_same_v<Entry, WideEntry>) {
    return static_cast<std::int64_t>(~entry.inverse_index);
  } else {
    return static_cast<std::int64_t>(static_cast<std::uint32_t>(~static_cast<std::uint32_t>(entry)));
  }
}

// Leaves the best k of n elements in `entries`, best first. Where k is small against n, only elements above the k-th
// best so far are collected, and the collection is cut back to k whenever it is full.
template <typename Entry, bool kLargest, typename T>
void select(const T* data, std::int64_t stride, std::int64_t n, std::int64_t k, std::vector<Entry>& entries) {
  using Key = OrderKey<T>;
  const auto entry = [=](std::int64_t i) {
    const Key key = order_key(data[i * stride]);
    return make_entry<Entry>(kLargest ? key : static_cast<Key>(~key), i);
  };
  entries.clear();
  if (k == 1) {
    Entry best = entry(0);
    for (std::int64_t i = 1; i < n; ++i) {
      const Entry next = entry(i);
      best = next > best ? next : best;
    }
    entries.push_back(best);
    return;
  }
  const std::int64_t room = 2 * k + 64;
  if (n <= 2 * room) {
    for (std::int64_t i = 0; i < n; ++i) entries.push_back(entry(i));
  } else {
    for (std::int64_t i = 0; i < room; ++i) entries.push_back(entry(i));
    const auto cut = [&] {
      std::nth_element(entries.begin(), entries.begin() + (k - 1), entries.end(), std::greater<>{});
      entries.resize(static_cast<std::size_t>(k));
      return entries.back();
    };
    Entry least = cut();
    for (std::int64_t i = room; i < n; ++i) {
      const Entry next = entry(i);
      if (!(next > least)) continue;
      entries.push_back(next);
      if (static_cast<std::int64_t>(entries.size()) == room) least = cut();
    }
  }
  if (static_cast<std::int64_t>(entries.size()) > k) {
    std::nth_element(entries.begin(), entries.begin() + k, entries.end(), std::greater<>{});
    entries.resize(static_cast<std::size_t>(k));
  }
  std::sort(entries.begin(), entries.end(), std::greater<>{});
}

// The same for the largest floats of elements that lie one after another, in vectors. Keeps its memory between rows.
class LargestFloats {
 public:
  LargestFloats() : loops_(head_loops()), queue_(loops_) {}

  void select(const float* data, std::size_t n, std::size_t k, float* values, std::int64_t* indices) {
    const std::size_t room = (2 * k + 256 + 63) / 64 * 64;
    // The list holds less than `room` before a step, and a step adds at most as many.
    const std::size_t capacity = 2 * room + kBlock;
    if (memory_.size() < 2 * capacity) memory_.resize(2 * capacity);
    CandidateList list{memory_.data(), memory_.data() + capacity, 0};
    CandidateFilter filter{.all = true, .floor = 0, .nan_key = order_key(NAN), .nan_passes = true};
    for (std::size_t i = 0; i < n; i += room) {
      loops_.collect_row(data + i, static_cast<std::uint32_t>(i), std::min(n - i, room), filter, list);
      if (list.size < room || n - i <= room) continue;
      filter.floor = data[cut(list, k)];
      filter.all = false;
    }
    queue_.fill(list, k);
    for (std::size_t left = k; left > 0;) {
      const auto best = queue_.next();
      const std::size_t taken = std::min(left, best.size());
      for (const Candidate candidate : best.first(taken)) {
        const std::uint32_t index = candidate_row(candidate);
        *values++ = data[index];
        *indices++ = index;
      }
      left -= taken;
    }
  }

 private:
  // Leaves the best k in the list and returns the index of the last of them.
  std::uint32_t cut(CandidateList& list, std::size_t k) {
    queue_.fill(list, k);
    cut_.clear();
    while (cut_.size() < k) {
      const auto best = queue_.next();
      cut_.insert(cut_.end(), best.begin(), best.end());
    }
    for (std::size_t i = 0; i < k; ++i) {
      list.keys[i] = static_cast<std::uint32_t>(cut_[i] >> 32);
      list.rows[i] = candidate_row(cut_[i]);
    }
    list.size = k;
    return list.rows[k - 1];
  }

  const HeadLoops& loops_;
  CandidateQueue queue_;
  std::vector<std::uint32_t> memory_;
  std::vector<Candidate> cut_;
};

void select_float_rows(int threads, std::int64_t outer, std::int64_t n, std::int64_t k, const float* data,
                       float* values, std::int64_t* indices) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / n);
  base::parallel_for(threads, outer, grain, [=](std::int64_t begin, std::int64_t end) {
    LargestFloats largest;
    for (std::int64_t row = begin; row < end; ++row) {
      largest.select(data + row * n, static_cast<std::size_t>(n), static_cast<std::size_t>(k), values + row * k,
                     indices + row * k);
    }
  });
}

template <typename Entry, bool kLargest, typename T>
void select_rows(int threads, std::int64_t outer, std::int64_t n, std::int64_t inner, std::int64_t k, const T* data,
                 T* values, std::int64_t* indices) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / n);
  base::parallel_for(threads, outer * inner, grain, [=](std::int64_t begin, std::int64_t end) {
    std::vector<Entry> entries;
    entries.reserve(static_cast<std::size_t>(std::min(n, 4 * k + 128)));
    for (std::int64_t row = begin; row < end; ++row) {
      const T* from = data + row / inner * n * inner + row % inner;
      select<Entry, kLargest>(from, inner, n, k, entries);
      std::int64_t out = row / inner * k * inner + row % inner;
      for (const Entry& entry : entries) {
        const std::int64_t index = index_of(entry);
        values[out] = from[index * inner];
        indices[out] = index;
        out += inner;
      }
    }
  });
}

}  // namespace

std::unique_ptr<Kernel> make_TopK(const KernelInfo& info) {
  const std::int64_t wanted_axis = info.attributes.get_int("axis", -1);
  const bool largest = info.attributes.get_int("largest", 1) != 0;
  return make_kernel([=](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& wanted = context.input(1);
    const int axis = normalize_axis(wanted_axis, x.rank());
    const std::int64_t n = x.shape()[axis];
    if (wanted.element_type() != ElementType::kInt64 || wanted.element_count() != 1) {
      base::invalid("op.input", "input 'K' must be one int64 number, but is {}", wanted.type_string());
    }
    const std::int64_t k = wanted.data<std::int64_t>()[0];
    if (k < 0 || k > n) {
      base::invalid("op.value", "input 'K' must be in [0, {}] for axis {} of shape {}, but is {}", n, axis,
                    x.shape().to_string(), k);
    }
    Shape shape = x.shape();
    shape[axis] = k;
    Tensor& values = context.allocate_output(0, x.element_type(), shape);
    Tensor* indices = nullptr;
    Tensor unwanted;
    if (context.wants_output(1)) {
      indices = &context.allocate_output(1, ElementType::kInt64, shape);
    } else {
      unwanted = context.allocate_scratch(ElementType::kInt64, shape);
      indices = &unwanted;
    }
    if (values.element_count() == 0) return;
    const std::int64_t outer = shape.element_count(0, axis);
    const std::int64_t inner = shape.element_count(axis + 1, shape.rank());
    tensor::dispatch(tensor::NumericTypes{}, x.element_type(), "TopK", [&]<typename T>() {
      if constexpr (std::is_same_v<T, float>) {
        constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
        if (largest && inner == 1 && n >= kFromLength && n <= kMost) {
          return select_float_rows(context.threads(), outer, n, k, x.data<float>(), values.data<float>(),
                                   indices->data<std::int64_t>());
        }
      }
      const auto run = [&]<typename Entry>(Entry) {
        const auto rows = largest ? select_rows<Entry, true, T> : select_rows<Entry, false, T>;
        rows(context.threads(), outer, n, inner, k, x.data<T>(), values.data<T>(), indices->data<std::int64_t>());
      };
      if constexpr (sizeof(T) == 8) {
        run(WideEntry{});
      } else {
        if (n <= std::numeric_limits<std::uint32_t>::max()) {
          run(std::uint64_t{});
        } else {
          run(WideEntry{});
        }
      }
    });
  });
}

}  // namespace lanner::kernels
