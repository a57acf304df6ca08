// EyeLike and Trilu: ones on a diagonal, and the part of matrices above or below one.
#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/index_list.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

std::unique_ptr<Kernel> make_EyeLike(const KernelInfo& info) {
  const std::int64_t dtype = info.attributes.get_int("dtype", 0);
  if (dtype < 0 || dtype > 255) base::invalid("op.attribute", "dtype {} is no element type", dtype);
  return make_kernel(
      [given = static_cast<ElementType>(dtype), k = info.attributes.get_int("k", 0)](KernelContext& context) {
        const Tensor& like = context.input(0);
        if (like.rank() != 2) base::invalid("op.rank", "the input must have rank 2, but has {}", like.rank());
        const ElementType type = given == ElementType::kUndefined ? like.element_type() : given;
        using Types = decltype(tensor::NumericAndBoolTypes{} + tensor::HalfTypes{});
        tensor::dispatch(Types{}, type, "EyeLike", [&]<typename T>() {
          const Shape shape = like.shape();
          Tensor& out = context.allocate_output(0, type, shape);
          if (out.element_count() == 0) return;
          std::memset(out.raw_data(), 0, out.byte_count());
          if (k <= -shape[0] || k >= shape[1]) return;
          T* element = out.data<T>();
          for (std::int64_t row = std::max<std::int64_t>(0, -k); row < shape[0] && row + k < shape[1]; ++row) {
            element[row * shape[1] + row + k] = T(1);
          }
        });
      });
}

std::unique_ptr<Kernel> make_Trilu(const KernelInfo& info) {
  return make_kernel([upper = info.attributes.get_int("upper", 1) != 0](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Shape shape = data.shape();
    if (shape.rank() < 2) base::invalid("op.rank", "the input must have rank 2 or more, but has {}", shape.rank());
    const std::int64_t rows = shape[shape.rank() - 2];
    const std::int64_t columns = shape[shape.rank() - 1];
    // Diagonals outside the matrix are all alike.
    const Tensor* diagonal = context.optional_input(1);
    const std::int64_t k = std::clamp(diagonal != nullptr ? read_index(*diagonal, "k") : 0, -rows, columns);
    dispatch_moved(data.element_type(), [&]<typename T>() {
      Tensor& out = context.allocate_output(0, data.element_type(), shape);
      if (out.element_count() == 0) return;
      const T* from = static_cast<const T*>(data.raw_data());
      T* to = static_cast<T*>(out.raw_data());
      base::parallel_for(context.threads(), out.element_count() / columns,
                         std::max<std::int64_t>(1, kMoveGrain / columns), [=](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end; ++i) {
                             // Columns before `split` are below the diagonal, the lower part's last included.
                             const std::int64_t split =
                                 std::clamp<std::int64_t>(i % rows + k + (upper ? 0 : 1), 0, columns);
                             const T* source = from + i * columns;
                             T* target = to + i * columns;
                             if (upper) {
                               std::fill_n(target, split, T{});
                               std::copy_n(source + split, columns - split, target + split);
                             } else {
                               std::copy_n(source, split, target);
                               std::fill_n(target + split, columns - split, T{});
                             }
                           }
                         });
    });
  });
}

}  // namespace lanner::kernels
