// ai.onnx.ml's operators on features: ArrayFeatureExtractor picks columns, Binarizer compares with a threshold.
#include <vector>

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/gather.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"

namespace lanner::kernels {

// A vector counts as a matrix of one row.
std::unique_ptr<Kernel> make_ArrayFeatureExtractor(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor& columns = context.input(1);
    if (data.rank() == 0) base::invalid("op.rank", "the data must have rank 1 at least");
    if (columns.element_type() != ElementType::kInt64) {
      base::invalid("op.type", "the indices must be int64, but are {}", element_type_name(columns.element_type()));
    }
    const int last = data.rank() - 1;
    Shape shape = data.rank() == 1 ? Shape{1, 0} : data.shape();
    shape[shape.rank() - 1] = columns.element_count();
    Tensor& out = context.allocate_output(0, data.element_type(), shape);
    gather_runs(context.threads(), data.element_type(), data.raw_data(), data.shape().element_count(0, last),
                data.shape()[last], 1, columns.values<std::int64_t>(), out.raw_data());
  });
}

std::unique_ptr<Kernel> make_Binarizer(const KernelInfo& info) {
  const float threshold = info.attributes.get_float("threshold", 0.0f);
  using Types = tensor::TypeList<float, double, std::int32_t, std::int64_t>;
  return unary_kernel<Types>("Binarizer", [threshold](auto x) {
    return static_cast<decltype(x)>(static_cast<double>(x) > static_cast<double>(threshold) ? 1 : 0);
  });
}

}  // namespace lanner::kernels
