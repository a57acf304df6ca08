// NonZero and Compress: where elements differ from zero, and the slices for which a condition holds.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "base/fail.h"
#include "kernels/gather.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

template <typename T>
bool is_set(const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    return !value.empty();
  else
    return value != T{0};
}

template <typename T>
std::int64_t count_nonzero(std::span<const T> values) {
  std::int64_t count = 0;
  for (const T& value : values) count += is_set(value) ? 1 : 0;
  return count;
}

// Bytes are counted in bytes, as many at a time as one can hold.
std::int64_t count_nonzero(std::span<const std::uint8_t> values) {
  constexpr std::size_t kMost = 240;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < values.size(); i += kMost) {
    std::uint8_t some = 0;
    for (const std::uint8_t value : values.subspan(i, std::min(kMost, values.size() - i))) {
      some = static_cast<std::uint8_t>(some + (value != 0 ? 1 : 0));
    }
    count += some;
  }
  return count;
}

// Eight bytes as a word; its bit 8k + 7 is set where byte k is not zero.
std::uint64_t nonzero_bytes(const void* data) {
  constexpr std::uint64_t kLow = 0x7f7f7f7f7f7f7f7fu;
  std::uint64_t word;
  std::memcpy(&word, data, sizeof(word));
  return (((word & kLow) + kLow) | word) & ~kLow;
}

// Writes the positions of all `count` nonzero elements.
template <typename T>
void find_nonzero(std::span<const T> values, std::int64_t count, std::int64_t* positions) {
  const auto size = static_cast<std::int64_t>(values.size());
  const T* data = values.data();
  std::int64_t found = 0;
  std::int64_t i = 0;
  if constexpr (sizeof(T) == 1 && std::endian::native == std::endian::little) {
    // Masks are mostly empty: 64 zeros are passed over at a time.
    constexpr std::int64_t kStep = 64;
    for (; found < count && i + kStep <= size; i += kStep) {
      std::array<std::uint64_t, 8> words;
      std::memcpy(words.data(), data + i, kStep);
      std::uint64_t any = 0;
      for (const std::uint64_t word : words) any |= word;
      if (any == 0) continue;
      for (std::int64_t k = i; k < i + kStep; k += 8) {
        for (std::uint64_t bits = nonzero_bytes(data + k); bits != 0; bits &= bits - 1) {
          positions[found++] = k + std::countr_zero(bits) / 8;
        }
      }
    }
  }
  for (; found < count; ++i) {
    positions[found] = i;
    found += is_set(data[i]) ? 1 : 0;
  }
}

// The elements of a bool tensor as the bytes they are: what comes from outside need not be 0 or 1.
std::span<const std::uint8_t> mask_bytes(const Tensor& mask) {
  return {static_cast<const std::uint8_t*>(mask.raw_data()), static_cast<std::size_t>(mask.element_count())};
}

}  // namespace

std::unique_ptr<Kernel> make_NonZero(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& data = context.input(0);
    const auto run = [&]<typename T>(std::span<const T> values) {
      const Shape shape = data.shape();
      const std::int64_t count = count_nonzero(values);
      Tensor& out = context.allocate_output(0, ElementType::kInt64, {shape.rank(), count});
      if (shape.rank() == 0 || count == 0) return;
      // The last row takes positions in the flattened tensor, which then are divided up.
      std::int64_t* row = out.data<std::int64_t>() + (shape.rank() - 1) * count;
      find_nonzero(values, count, row);
      for (int axis = shape.rank() - 1; axis > 0; --axis, row -= count) {
        const std::int64_t dim = shape[axis];
        for (std::int64_t i = 0; i < count; ++i) {
          const std::int64_t above = row[i] / dim;
          row[i - count] = above;
          row[i] -= above * dim;
        }
      }
    };
    if (data.element_type() == ElementType::kBool) return run(mask_bytes(data));
    using Types = tensor::TypeList<float, std::int64_t, double, std::int8_t, std::int16_t, std::int32_t, std::uint8_t,
                                   std::uint16_t, std::uint32_t, std::uint64_t, std::string>;
    tensor::dispatch(Types{}, data.element_type(), "NonZero", [&]<typename T>() { run(data.values<T>()); });
  });
}

std::unique_ptr<Kernel> make_Compress(const KernelInfo& info) {
  const bool flat = !info.attributes.has("axis");
  return make_kernel([flat, wanted = info.attributes.get_int("axis", 0)](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& condition = context.input(1);
    const ElementType type = data.element_type();
    if (condition.element_type() != ElementType::kBool) {
      base::invalid("op.type", "the condition must be bool, but is {}", element_type_name(condition.element_type()));
    }
    if (condition.rank() != 1) base::invalid("op.rank", "the condition must have rank 1, but has {}", condition.rank());
    moved_bytes(type);
    const int axis = flat ? 0 : normalize_axis(wanted, data.rank());
    Shape shape = flat ? Shape{data.element_count()} : data.shape();
    const std::int64_t dim = shape[axis];
    shape[axis] = count_nonzero(mask_bytes(condition));
    Tensor positions = context.allocate_scratch(ElementType::kInt64, {shape[axis]});
    find_nonzero(mask_bytes(condition), shape[axis], positions.data<std::int64_t>());
    if (shape[axis] > 0 && positions.values<std::int64_t>().back() >= dim) {
      base::invalid("op.index", "the condition holds at {}, but there are only {} slices",
                    positions.values<std::int64_t>().back(), dim);
    }
    Tensor& out = context.allocate_output(0, type, shape);
    if (out.element_count() == 0) return;
    gather_runs(context.threads(), type, data.raw_data(), shape.element_count(0, axis), dim,
                shape.element_count(axis + 1, shape.rank()), positions.values<std::int64_t>(), out.raw_data());
  });
}

}  // namespace lanner::kernels
