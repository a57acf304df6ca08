// Unique: the distinct elements, or slices along an axis, with where each first occurs, which one each input element
// is, and how often. NaN equals NaN and sorts last.
#include <algorithm>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>

#include "base/fail.h"
#include "kernels/gather.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

template <typename T>
int compare(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>) {
    const bool a_nan = a != a;
    const bool b_nan = b != b;
    if (a_nan || b_nan) return static_cast<int>(a_nan) - static_cast<int>(b_nan);
  }
  return a < b ? -1 : b < a ? 1 : 0;
}

template <typename T>
int compare_slices(const T* a, const T* b, std::int64_t length) {
  for (std::int64_t i = 0; i < length; ++i) {
    if (const int order = compare(a[i], b[i]); order != 0) return order;
  }
  return 0;
}

// What is distinct among the slices, in the order of the output.
struct Distinct {
  std::span<std::int64_t> first;    // position of the first occurrence
  std::span<std::int64_t> inverse;  // for each slice its place among the distinct ones
  std::span<std::int64_t> counts;
  std::int64_t count = 0;
};

template <typename T>
void find_distinct(const T* slices, std::int64_t length, bool sorted, std::span<std::int64_t> order,
                   std::span<std::int64_t> places, Distinct& found) {
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return compare_slices(slices + a * length, slices + b * length, length) < 0;
  });
  std::int64_t count = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int64_t slice = order[i];
    if (i == 0 || compare_slices(slices + order[i - 1] * length, slices + slice * length, length) != 0) {
      found.first[static_cast<std::size_t>(count)] = slice;
      found.counts[static_cast<std::size_t>(count++)] = 0;
    }
    found.inverse[static_cast<std::size_t>(slice)] = count - 1;
    ++found.counts[static_cast<std::size_t>(count - 1)];
  }
  found.count = count;
  if (sorted) return;
  // Renumber by first occurrence: walking the slices in order, each new number takes the next place.
  std::ranges::fill(places, -1);
  std::int64_t next = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::int64_t& place = places[static_cast<std::size_t>(found.inverse[i])];
    if (place < 0) {
      place = next++;
      found.first[static_cast<std::size_t>(place)] = static_cast<std::int64_t>(i);
    }
    found.inverse[i] = place;
  }
  std::ranges::fill(found.counts, 0);
  for (const std::int64_t place : found.inverse) ++found.counts[static_cast<std::size_t>(place)];
}

}  // namespace

std::unique_ptr<Kernel> make_Unique(const KernelInfo& info) {
  const bool flat = !info.attributes.has("axis");
  const bool sorted = info.attributes.get_int("sorted", 1) != 0;
  return make_kernel([flat, sorted, wanted = info.attributes.get_int("axis", 0)](KernelContext& context) {
    const Tensor& data = context.input(0);
    const ElementType type = data.element_type();
    const int axis = flat ? 0 : normalize_axis(wanted, data.rank());
    Shape shape = flat ? Shape{data.element_count()} : data.shape();
    const std::int64_t dim = shape[axis];
    const std::int64_t outer = shape.element_count(0, axis);
    const std::int64_t inner = shape.element_count(axis + 1, shape.rank());
    if (data.element_count() == 0 && dim != 0) {
      base::invalid("op.shape", "slices of shape {} along axis {} are empty", shape.to_string(), axis);
    }
    // The slices one after the other.
    Tensor slices = data;
    if (outer != 1) {
      slices = context.allocate_scratch(type, {dim, outer, inner});
      StridedBlock block;
      block.add(dim, inner, outer * inner);
      block.add(outer, dim * inner, inner);
      block.add(inner, 1, 1);
      copy_block(context.threads(), block, type, data.raw_data(), slices.raw_data());
    }
    Tensor scratch = context.allocate_scratch(ElementType::kInt64, {5, dim});
    const auto part = [&](std::int64_t index) {
      return scratch.values<std::int64_t>().subspan(static_cast<std::size_t>(index * dim),
                                                    static_cast<std::size_t>(dim));
    };
    Distinct found{part(0), part(1), part(2)};
    const auto find = [&]<typename T>() {
      find_distinct(static_cast<const T*>(slices.raw_data()), outer * inner, sorted, part(3), part(4), found);
    };
    using Types = tensor::TypeList<float, double, std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                                   std::uint16_t, std::uint32_t, std::uint64_t, bool, std::string>;
    tensor::dispatch(Types{}, type, "Unique", find);
    const auto count = static_cast<std::size_t>(found.count);
    shape[axis] = found.count;
    Tensor& out = context.allocate_output(0, type, shape);
    gather_runs(context.threads(), type, data.raw_data(), outer, dim, inner, found.first.first(count), out.raw_data());
    const auto report = [&](int index, std::span<const std::int64_t> values) {
      if (!context.wants_output(index)) return;
      Tensor& target = context.allocate_output(index, ElementType::kInt64, {static_cast<std::int64_t>(values.size())});
      std::ranges::copy(values, target.data<std::int64_t>());
    };
    report(1, found.first.first(count));
    report(2, found.inverse);
    report(3, found.counts.first(count));
  });
}

}  // namespace lanner::kernels
