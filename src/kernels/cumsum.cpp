// CumSum and CumProd: running sums and products along an axis. Integers wrap.
#include <algorithm>
#include <type_traits>

#include "base/parallel.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

struct Plus {
  static constexpr int kNeutral = 0;
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>)
      return a + b;
    else
      return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  }
};

struct Times {
  static constexpr int kNeutral = 1;
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>)
      return a * b;
    else
      return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
  }
};

// Accumulates columns [begin, end) of a [dim, inner] matrix.
template <typename Op, typename T>
void accumulate_columns(const T* in, std::int64_t dim, std::int64_t inner, std::int64_t begin, std::int64_t end,
                        bool exclusive, bool reverse, T* out) {
  const Op op;
  constexpr T kNeutral{Op::kNeutral};
  const std::int64_t step = reverse ? -inner : inner;
  const T* source = in + (reverse ? (dim - 1) * inner : 0);
  T* target = out + (reverse ? (dim - 1) * inner : 0);
  if (end - begin == 1) {
    T sum = kNeutral;
    for (std::int64_t i = 0; i < dim; ++i) {
      const T next = op(sum, source[i * step + begin]);
      target[i * step + begin] = exclusive ? sum : next;
      sum = next;
    }
    return;
  }
  for (std::int64_t j = begin; j < end; ++j) target[j] = exclusive ? kNeutral : source[j];
  for (std::int64_t i = 1; i < dim; ++i) {
    const T* last = target + (i - 1) * step;
    const T* added = source + (exclusive ? i - 1 : i) * step;
    T* next = target + i * step;
    for (std::int64_t j = begin; j < end; ++j) next[j] = op(last[j], added[j]);
  }
}

template <typename Op>
std::unique_ptr<Kernel> accumulating_kernel(std::string_view name, const KernelInfo& info) {
  const bool exclusive = info.attributes.get_int("exclusive", 0) != 0;
  const bool reverse = info.attributes.get_int("reverse", 0) != 0;
  return make_kernel([name, exclusive, reverse](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Shape shape = data.shape();
    const int axis = normalize_axis(read_index(context.input(1), "axis"), shape.rank());
    using Types = tensor::TypeList<float, double, std::int32_t, std::int64_t, std::uint32_t, std::uint64_t>;
    tensor::dispatch(Types{}, data.element_type(), name, [&]<typename T>() {
      Tensor& out = context.allocate_output(0, data.element_type(), shape);
      if (out.element_count() == 0) return;
      const std::int64_t dim = shape[axis];
      const std::int64_t outer = shape.element_count(0, axis);
      const std::int64_t inner = shape.element_count(axis + 1, shape.rank());
      const T* from = data.data<T>();
      T* to = out.data<T>();
      if (outer == 1) {
        base::parallel_for(context.threads(), inner, std::max<std::int64_t>(16, kMoveGrain / dim),
                           [=](std::int64_t begin, std::int64_t end) {
                             accumulate_columns<Op>(from, dim, inner, begin, end, exclusive, reverse, to);
                           });
        return;
      }
      base::parallel_for(context.threads(), outer, std::max<std::int64_t>(1, kMoveGrain / (dim * inner)),
                         [=](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end; ++i) {
                             const std::int64_t offset = i * dim * inner;
                             accumulate_columns<Op>(from + offset, dim, inner, 0, inner, exclusive, reverse,
                                                    to + offset);
                           }
                         });
    });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_CumSum(const KernelInfo& info) {
  return accumulating_kernel<Plus>("CumSum", info);
}

std::unique_ptr<Kernel> make_CumProd(const KernelInfo& info) {
  return accumulating_kernel<Times>("CumProd", info);
}

}  // namespace lanner::kernels
