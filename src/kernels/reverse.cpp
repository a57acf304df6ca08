// ReverseSequence: the first sequence_lens[i] steps of batch item i in reverse order.
#include <algorithm>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"

namespace lanner::kernels {

std::unique_ptr<Kernel> make_ReverseSequence(const KernelInfo& info) {
  const std::int64_t batch_axis = info.attributes.get_int("batch_axis", 1);
  const std::int64_t time_axis = info.attributes.get_int("time_axis", 0);
  if (batch_axis < 0 || batch_axis > 1 || time_axis != 1 - batch_axis) {
    base::invalid("op.attribute", "batch_axis and time_axis must be 0 and 1 or 1 and 0, but are {} and {}", batch_axis,
                  time_axis);
  }
  return make_kernel([time_first = time_axis == 0](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& given = context.input(1);
    const ElementType type = data.element_type();
    const Shape shape = data.shape();
    if (shape.rank() < 2) base::invalid("op.rank", "the input must have rank 2 or more, but has {}", shape.rank());
    if (given.element_type() != ElementType::kInt64) {
      base::invalid("op.type", "sequence_lens must be int64, but are {}", element_type_name(given.element_type()));
    }
    const std::int64_t times = shape[time_first ? 0 : 1];
    const std::int64_t batch = shape[time_first ? 1 : 0];
    if (given.rank() != 1 || given.element_count() != batch) {
      base::invalid("op.shape", "sequence_lens must have shape [{}], but have {}", batch, given.shape().to_string());
    }
    const std::int64_t* lengths = given.data<std::int64_t>();
    for (std::int64_t i = 0; i < batch; ++i) {
      if (lengths[i] < 0 || lengths[i] > times) {
        base::invalid("op.value", "a sequence's length must be in [0, {}], but is {}", times, lengths[i]);
      }
    }
    moved_bytes(type);
    Tensor& out = context.allocate_output(0, type, shape);
    if (out.element_count() == 0) return;
    const std::int64_t run = shape.element_count(2, shape.rank());
    dispatch_runs(type, run, data.raw_data(), out.raw_data(), [&]<typename T>(std::int64_t units) {
      const T* from = static_cast<const T*>(data.raw_data());
      T* to = static_cast<T*>(out.raw_data());
      const std::int64_t time_stride = time_first ? batch : 1;
      const std::int64_t batch_stride = time_first ? 1 : times;
      base::parallel_for(context.threads(), times * batch, std::max<std::int64_t>(1, kMoveGrain / units),
                         [=](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end; ++i) {
                             const std::int64_t time = i / time_stride % times;
                             const std::int64_t item = i / batch_stride % batch;
                             const std::int64_t source = time < lengths[item] ? lengths[item] - 1 - time : time;
                             std::copy_n(from + (source * time_stride + item * batch_stride) * units, units,
                                         to + i * units);
                           }
                         });
    });
  });
}

}  // namespace lanner::kernels
