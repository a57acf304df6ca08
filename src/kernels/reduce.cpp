// ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceLogSum, ReduceLogSumExp,
// ReduceSumSquare, ArgMax and ArgMin.
//
// A reduction is a struct of an accumulator's life: initial(), add(accumulator, element), merge(accumulator,
// accumulator) and finish(accumulator, elements). Floating-point sums and products accumulate in double precision,
// integer ones wrap. The input's dimensions are merged into runs of kept and reduced ones; each run of reduced ones is
// one pass over the data, the innermost first. A NaN makes a maximum or minimum NaN and is what ArgMax and ArgMin find.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/extremes.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using SumTypes = tensor::TypeList<float, double, std::int32_t, std::int64_t, std::uint32_t, std::uint64_t>;
using ExtremeTypes = tensor::TypeList<float, double, std::int32_t, std::int64_t, std::uint32_t, std::uint64_t,
                                      std::int8_t, std::uint8_t, bool>;

// What sums of T are held in: double, or an unsigned type, whose overflow wraps.
template <typename T, bool = std::is_integral_v<T>>
struct Wide {
  using Type = double;
};
template <typename T>
struct Wide<T, true> {
  using Type = std::make_unsigned_t<T>;
};

template <typename T>
struct Sum {
  using Accumulator = typename Wide<T>::Type;
  static Accumulator initial() { return 0; }
  static void add(Accumulator& sum, T x) { sum += static_cast<Accumulator>(x); }
  static void merge(Accumulator& sum, Accumulator other) { sum += other; }
  static T finish(Accumulator sum, std::int64_t) { return static_cast<T>(sum); }
};

template <typename T>
struct Mean : Sum<T> {
  static T finish(typename Sum<T>::Accumulator sum, std::int64_t count) {
    if constexpr (std::is_floating_point_v<T>) {
      return static_cast<T>(sum / static_cast<double>(count));
    } else {
      if (count == 0) base::invalid("op.value", "the mean of no integers is undefined");
      // A negative sum is divided by its magnitude, so that no count turns negative and no division overflows.
      const T value = static_cast<T>(sum);
      if (std::is_signed_v<T> && value < 0) {
        return static_cast<T>(std::uint64_t{0} - (std::uint64_t{0} - static_cast<std::uint64_t>(value)) /
                                                     static_cast<std::uint64_t>(count));
      }
      return static_cast<T>(static_cast<std::uint64_t>(value) / static_cast<std::uint64_t>(count));
    }
  }
};

template <typename T>
struct SumSquare : Sum<T> {
  using Accumulator = typename Sum<T>::Accumulator;
  static void add(Accumulator& sum, T x) { sum += static_cast<Accumulator>(x) * static_cast<Accumulator>(x); }
};

template <typename T>
struct L1 : Sum<T> {
  using Accumulator = typename Sum<T>::Accumulator;
  static void add(Accumulator& sum, T x) {
    if constexpr (std::is_floating_point_v<T>) {
      sum += std::abs(static_cast<Accumulator>(x));
    } else {
      sum += x < T{0} ? Accumulator{0} - static_cast<Accumulator>(x) : static_cast<Accumulator>(x);
    }
  }
};

template <typename T>
struct L2 : SumSquare<T> {
  static T finish(typename Sum<T>::Accumulator sum, std::int64_t) {
    if constexpr (std::is_floating_point_v<T>) {
      return static_cast<T>(std::sqrt(sum));
    } else {
      return static_cast<T>(std::sqrt(static_cast<double>(sum)));  // the root of a 64-bit number fits
    }
  }
};

template <typename T>
struct LogSum : Sum<T> {
  static T finish(double sum, std::int64_t) { return static_cast<T>(std::log(sum)); }
};

template <typename T>
struct Product {
  using Accumulator = typename Wide<T>::Type;
  static Accumulator initial() { return 1; }
  static void add(Accumulator& product, T x) { product *= static_cast<Accumulator>(x); }
  static void merge(Accumulator& product, Accumulator other) { product *= other; }
  static T finish(Accumulator product, std::int64_t) { return static_cast<T>(product); }
};

template <typename T>
struct Max {
  using Accumulator = T;
  static T initial() {
    if constexpr (std::numeric_limits<T>::has_infinity) return -std::numeric_limits<T>::infinity();
    return std::numeric_limits<T>::lowest();
  }
  static void add(T& held, T x) { held = x > held || x != x ? x : held; }
  static void merge(T& held, T other) { add(held, other); }
  static T finish(T held, std::int64_t) { return held; }
};

template <typename T>
struct Min {
  using Accumulator = T;
  static T initial() {
    if constexpr (std::numeric_limits<T>::has_infinity) return std::numeric_limits<T>::infinity();
    return std::numeric_limits<T>::max();
  }
  static void add(T& held, T x) { held = x < held || x != x ? x : held; }
  static void merge(T& held, T other) { add(held, other); }
  static T finish(T held, std::int64_t) { return held; }
};

// log(sum of exp(x)) as the greatest x so far and the sum of exp(x - greatest).
template <typename T>
struct LogSumExp {
  struct Accumulator {
    double greatest;
    double sum;
  };
  static Accumulator initial() { return {-std::numeric_limits<double>::infinity(), 0}; }
  static void add(Accumulator& held, T x) { merge(held, {static_cast<double>(x), 1}); }
  static void merge(Accumulator& held, Accumulator other) {
    if (other.greatest > held.greatest) std::swap(held, other);
    // Equal infinities have no difference, but the same weight.
    held.sum += other.greatest == held.greatest ? other.sum : other.sum * std::exp(other.greatest - held.greatest);
  }
  static T finish(Accumulator held, std::int64_t) { return static_cast<T>(std::log(held.sum) + held.greatest); }
};

// Folds [outer, reduced, inner] to [outer, inner]: out = emit(accumulator), each made by add(accumulator, element).
template <typename Op, typename In, typename Out, typename Add, typename Emit>
void reduce_pass(int threads, std::int64_t outer, std::int64_t reduced, std::int64_t inner, const In* in, Out* out,
                 Add add, Emit emit) {
  using Accumulator = typename Op::Accumulator;
  const auto grain_for = [](std::int64_t work) {
    return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work, 1));
  };
  if (inner == 1) {
    constexpr std::int64_t kLanes = 8;
    base::parallel_for(threads, outer, grain_for(reduced), [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) {
        const In* row = in + o * reduced;
        Accumulator lanes[kLanes];
        std::fill_n(lanes, kLanes, Op::initial());
        std::int64_t i = 0;
        for (; i + kLanes <= reduced; i += kLanes) {
          for (std::int64_t j = 0; j < kLanes; ++j) add(lanes[j], row[i + j]);
        }
        for (std::int64_t j = 0; i < reduced; ++i, ++j) add(lanes[j], row[i]);
        for (std::int64_t width = kLanes / 2; width > 0; width /= 2) {
          for (std::int64_t j = 0; j < width; ++j) Op::merge(lanes[j], lanes[j + width]);
        }
        out[o] = emit(lanes[0]);
      }
    });
    return;
  }
  constexpr std::int64_t kStretch = 256;
  const std::int64_t stretches = (inner + kStretch - 1) / kStretch;
  const std::int64_t grain = grain_for(std::max<std::int64_t>(reduced, 1) * std::min(inner, kStretch));
  base::parallel_for(threads, outer * stretches, grain, [=](std::int64_t begin, std::int64_t end) {
    Accumulator held[kStretch];
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t o = item / stretches;
      const std::int64_t first = item % stretches * kStretch;
      const std::int64_t count = std::min(kStretch, inner - first);
      std::fill_n(held, count, Op::initial());
      for (std::int64_t r = 0; r < reduced; ++r) {
        const In* row = in + (o * reduced + r) * inner + first;
        for (std::int64_t i = 0; i < count; ++i) add(held[i], row[i]);
      }
      Out* to = out + o * inner + first;
      for (std::int64_t i = 0; i < count; ++i) to[i] = emit(held[i]);
    }
  });
}

// The input's dimensions merged into runs that are alternately kept and reduced.
struct Runs {
  int count = 0;
  std::array<std::int64_t, Shape::kMaxRank> sizes{};
  std::array<bool, Shape::kMaxRank> reduced{};

  std::int64_t product(int first, int last) const {
    std::int64_t result = 1;
    for (int i = first; i < last; ++i) result *= sizes[static_cast<std::size_t>(i)];
    return result;
  }
};

Runs merge_runs(const Shape& shape, std::uint32_t reduced_axes) {
  Runs runs;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == 1) continue;
    const bool reduced = (reduced_axes >> i & 1u) != 0;
    if (runs.count > 0 && runs.reduced[static_cast<std::size_t>(runs.count - 1)] == reduced) {
      runs.sizes[static_cast<std::size_t>(runs.count - 1)] *= shape[i];
    } else {
      runs.sizes[static_cast<std::size_t>(runs.count)] = shape[i];
      runs.reduced[static_cast<std::size_t>(runs.count)] = reduced;
      ++runs.count;
    }
  }
  return runs;
}

template <typename Op, typename T>
void reduce(int threads, const Runs& runs, std::int64_t reduced_count, const T* in, T* out) {
  using Accumulator = typename Op::Accumulator;
  const auto finish = [reduced_count](Accumulator held) { return Op::finish(held, reduced_count); };
  const auto add = [](Accumulator& held, T x) { Op::add(held, x); };
  const auto merge = [](Accumulator& held, Accumulator other) { Op::merge(held, other); };
  const auto previous_reduced = [&](int from) {
    int i = from - 1;
    while (i >= 0 && !runs.reduced[static_cast<std::size_t>(i)]) --i;
    return i;
  };
  int run = previous_reduced(runs.count);
  if (run < 0) {
    reduce_pass<Op>(threads, 1, 1, runs.product(0, runs.count), in, out, add, finish);
    return;
  }
  std::int64_t inner = runs.product(run + 1, runs.count);
  std::int64_t outer = runs.product(0, run);
  int next = previous_reduced(run);
  if constexpr (std::is_same_v<Op, Max<float>> || std::is_same_v<Op, Min<float>>) {
    const std::int64_t length = runs.product(run, run + 1);
    if (next < 0 && inner == 1 && length > 0) {
      constexpr Extreme kWhich = std::is_same_v<Op, Max<float>> ? Extreme::kMax : Extreme::kMin;
      base::parallel_for(threads, outer, kElementGrain / length + 1, [=](std::int64_t begin, std::int64_t end) {
        extremes_of_rows(kWhich, in + begin * length, length, end - begin, out + begin);
      });
      return;
    }
  }
  if (next < 0) {
    reduce_pass<Op>(threads, outer, runs.product(run, run + 1), inner, in, out, add, finish);
    return;
  }
  const auto keep = [](Accumulator held) { return held; };
  auto held = std::make_unique_for_overwrite<Accumulator[]>(static_cast<std::size_t>(outer * inner));
  reduce_pass<Op>(threads, outer, runs.product(run, run + 1), inner, in, held.get(), add, keep);
  while (true) {
    inner *= runs.product(next + 1, run);
    run = next;
    next = previous_reduced(run);
    outer = runs.product(0, run);
    if (next < 0) {
      reduce_pass<Op>(threads, outer, runs.product(run, run + 1), inner, held.get(), out, merge, finish);
      return;
    }
    auto smaller = std::make_unique_for_overwrite<Accumulator[]>(static_cast<std::size_t>(outer * inner));
    reduce_pass<Op>(threads, outer, runs.product(run, run + 1), inner, held.get(), smaller.get(), merge, keep);
    held = std::move(smaller);
  }
}

// The shape that is left when the axes of the mask are reduced.
Shape reduced_shape(const Shape& shape, std::uint32_t axes, bool keep_dims) {
  Shape result;
  for (int i = 0; i < shape.rank(); ++i) {
    if ((axes >> i & 1u) == 0) {
      result.push_back(shape[i]);
    } else if (keep_dims) {
      result.push_back(1);
    }
  }
  return result;
}

template <template <typename> typename Op, typename Types>
std::unique_ptr<Kernel> make_reduction(const KernelInfo& info, Types types, std::string_view name) {
  const bool keep_dims = info.attributes.get_int("keepdims", 1) != 0;
  const bool noop_without_axes = info.attributes.get_int("noop_with_empty_axes", 0) != 0;
  return make_kernel([=](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Shape& shape = data.shape();
    std::uint32_t axes = 0;
    if (const Tensor* given = context.optional_input(1)) {
      for (const std::int64_t axis : read_indices(*given, "axes")) axes |= 1u << normalize_axis(axis, shape.rank());
    }
    if (axes == 0 && !noop_without_axes) axes = (1u << shape.rank()) - 1;
    std::int64_t reduced_count = 1;
    for (int i = 0; i < shape.rank(); ++i) {
      if ((axes >> i & 1u) != 0 && __builtin_mul_overflow(reduced_count, shape[i], &reduced_count)) {
        base::invalid("op.size", "the reduced dimensions of shape {} are too large", shape.to_string());
      }
    }
    Tensor& out = context.allocate_output(0, data.element_type(), reduced_shape(shape, axes, keep_dims));
    if (out.element_count() == 0) return;
    tensor::dispatch(types, data.element_type(), name, [&]<typename T>() {
      reduce<Op<T>>(context.threads(), merge_runs(shape, axes), reduced_count, data.data<T>(), out.data<T>());
    });
  });
}

// Whether `next`, which comes later, replaces `held` as the extreme.
template <bool kMax, bool kLast, typename T>
bool replaces(T next, T held) {
  const bool better = kMax ? next > held : next < held;
  if constexpr (kLast) return better || next == held || next != next;
  return better || (next != next && held == held);
}

template <bool kMax, bool kLast, typename T>
void find_extremes(int threads, std::int64_t outer, std::int64_t size, std::int64_t inner, const T* in,
                   std::int64_t* out) {
  if constexpr (std::is_same_v<T, float> && !kLast) {
    if (inner == 1) {
      base::parallel_for(threads, outer, kElementGrain / size + 1, [=](std::int64_t begin, std::int64_t end) {
        places_of_extremes(kMax ? Extreme::kMax : Extreme::kMin, in + begin * size, size, end - begin, out + begin);
      });
      return;
    }
  }
  constexpr std::int64_t kStretch = 256;
  const std::int64_t stretches = (inner + kStretch - 1) / kStretch;
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / (size * std::min(inner, kStretch)));
  base::parallel_for(threads, outer * stretches, grain, [=](std::int64_t begin, std::int64_t end) {
    T held[kStretch];
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t first = item % stretches * kStretch;
      const std::int64_t count = std::min(kStretch, inner - first);
      const T* from = in + item / stretches * size * inner + first;
      std::int64_t* to = out + item / stretches * inner + first;
      if (count == 1) {
        T best = from[0];
        std::int64_t index = 0;
        for (std::int64_t k = 1; k < size; ++k) {
          const T value = from[k * inner];
          if (replaces<kMax, kLast>(value, best)) {
            best = value;
            index = k;
          }
        }
        to[0] = index;
        continue;
      }
      std::copy_n(from, count, held);
      std::fill_n(to, count, 0);
      for (std::int64_t k = 1; k < size; ++k) {
        const T* row = from + k * inner;
        for (std::int64_t i = 0; i < count; ++i) {
          const bool better = replaces<kMax, kLast>(row[i], held[i]);
          held[i] = better ? row[i] : held[i];
          to[i] = better ? k : to[i];
        }
      }
    }
  });
}

template <bool kMax>
std::unique_ptr<Kernel> make_arg_extreme(const KernelInfo& info, std::string_view name) {
  const std::int64_t wanted_axis = info.attributes.get_int("axis", 0);
  const bool keep_dims = info.attributes.get_int("keepdims", 1) != 0;
  const bool last = info.attributes.get_int("select_last_index", 0) != 0;
  return make_kernel([=](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Shape& shape = data.shape();
    // A scalar has one element, which NumPy finds along axis 0.
    const int axis = shape.rank() == 0 ? 0 : normalize_axis(wanted_axis, shape.rank());
    const std::int64_t size = shape.rank() == 0 ? 1 : shape[axis];
    Tensor& out = context.allocate_output(0, ElementType::kInt64, reduced_shape(shape, 1u << axis, keep_dims));
    if (out.element_count() == 0) return;
    if (size == 0) base::invalid("op.shape", "axis {} of shape {} is empty", axis, shape.to_string());
    const std::int64_t outer = shape.element_count(0, axis);
    const std::int64_t inner = shape.rank() == 0 ? 1 : shape.element_count(axis + 1, shape.rank());
    tensor::dispatch(tensor::NumericTypes{}, data.element_type(), name, [&]<typename T>() {
      const auto find = last ? find_extremes<kMax, true, T> : find_extremes<kMax, false, T>;
      find(context.threads(), outer, size, inner, data.data<T>(), out.data<std::int64_t>());
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_ReduceSum(const KernelInfo& info) {
  return make_reduction<Sum>(info, SumTypes{}, "ReduceSum");
}
std::unique_ptr<Kernel> make_ReduceMean(const KernelInfo& info) {
  return make_reduction<Mean>(info, SumTypes{}, "ReduceMean");
}
std::unique_ptr<Kernel> make_ReduceMax(const KernelInfo& info) {
  return make_reduction<Max>(info, ExtremeTypes{}, "ReduceMax");
}
std::unique_ptr<Kernel> make_ReduceMin(const KernelInfo& info) {
  return make_reduction<Min>(info, ExtremeTypes{}, "ReduceMin");
}
std::unique_ptr<Kernel> make_ReduceProd(const KernelInfo& info) {
  return make_reduction<Product>(info, SumTypes{}, "ReduceProd");
}
std::unique_ptr<Kernel> make_ReduceL1(const KernelInfo& info) {
  return make_reduction<L1>(info, SumTypes{}, "ReduceL1");
}
std::unique_ptr<Kernel> make_ReduceL2(const KernelInfo& info) {
  return make_reduction<L2>(info, SumTypes{}, "ReduceL2");
}
std::unique_ptr<Kernel> make_ReduceLogSum(const KernelInfo& info) {
  return make_reduction<LogSum>(info, tensor::FloatTypes{}, "ReduceLogSum");
}
std::unique_ptr<Kernel> make_ReduceLogSumExp(const KernelInfo& info) {
  return make_reduction<LogSumExp>(info, tensor::FloatTypes{}, "ReduceLogSumExp");
}
std::unique_ptr<Kernel> make_ReduceSumSquare(const KernelInfo& info) {
  return make_reduction<SumSquare>(info, SumTypes{}, "ReduceSumSquare");
}

std::unique_ptr<Kernel> make_ArgMax(const KernelInfo& info) {
  return make_arg_extreme<true>(info, "ArgMax");
}
std::unique_ptr<Kernel> make_ArgMin(const KernelInfo& info) {
  return make_arg_extreme<false>(info, "ArgMin");
}

}  // namespace lanner::kernels
