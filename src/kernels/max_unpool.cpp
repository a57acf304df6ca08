// MaxUnpool: the elements that MaxPool kept, back at their places, and 0 elsewhere.
//
// Indices count in the shape that kernel, strides and pads give, also where 'output_shape' asks for a larger one, in
// whose first corner that shape then lies: so ONNX's own test has it.
#include <algorithm>
#include <vector>

#include "base/fail.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "kernels/window.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// The shape that windows of `attributes` were pooled from.
Shape unpooled_shape(const WindowAttributes& attributes, const Shape& x) {
  const auto rank = static_cast<std::size_t>(std::max(x.rank() - 2, 0));
  const auto check = [&](const std::vector<std::int64_t>& values, std::size_t wanted, std::string_view name) {
    if (values.size() == wanted) return;
    base::invalid("op.attribute", "'{}' must have {} values for an input of shape {}, but has {}", name, wanted,
                  x.to_string(), values.size());
  };
  if (rank == 0) base::invalid("op.rank", "the input must have spatial dimensions, but has shape {}", x.to_string());
  check(attributes.kernel, rank, "kernel_shape");
  if (!attributes.strides.empty()) check(attributes.strides, rank, "strides");
  if (!attributes.pads.empty()) check(attributes.pads, 2 * rank, "pads");
  Shape shape = x;
  for (std::size_t i = 0; i < rank; ++i) {
    std::int64_t& dim = shape[static_cast<int>(i) + 2];
    if (dim > INT32_MAX) base::invalid("op.size", "an input of shape {} is too large", x.to_string());
    const std::int64_t stride = attributes.strides.empty() ? 1 : attributes.strides[i];
    const std::int64_t pads = attributes.pads.empty() ? 0 : attributes.pads[i] + attributes.pads[rank + i];
    dim = (dim - 1) * stride + attributes.kernel[i] - pads;
    if (dim < 0) base::invalid("op.shape", "the pads are larger than what an input of {} unpools to", x.to_string());
  }
  return shape;
}

}  // namespace

std::unique_ptr<Kernel> make_MaxUnpool(const KernelInfo& info) {
  return make_kernel([attributes = parse_window(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& indices = context.input(1);
    if (indices.element_type() != ElementType::kInt64 || indices.shape() != x.shape()) {
      base::invalid("op.shape", "input 'I' must be int64 of shape {}, but is {}", x.shape().to_string(),
                    indices.type_string());
    }
    const Shape inner = unpooled_shape(attributes, x.shape());
    Shape shape = inner;
    if (const Tensor* wanted = context.optional_input(2)) {
      shape = Shape(read_indices(*wanted, "output_shape"));
      bool fits = shape.rank() == inner.rank();
      for (int i = 0; fits && i < shape.rank(); ++i) fits = i < 2 ? shape[i] == inner[i] : shape[i] >= inner[i];
      if (!fits) {
        base::invalid("op.shape", "an input of shape {} unpools to {}, which does not fit output_shape {}",
                      x.shape().to_string(), inner.to_string(), shape.to_string());
      }
    }
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "MaxUnpool", [&]<typename T>() {
      Tensor& y = context.allocate_output(0, x.element_type(), shape);
      std::ranges::fill(y.values<T>(), T{});
      const std::int64_t count = inner.element_count();
      for (std::int64_t i = 0; i < x.element_count(); ++i) {
        const std::int64_t index = indices.data<std::int64_t>()[i];
        if (index < 0 || index >= count) {
          base::invalid("op.index", "an index must be in [0, {}], but is {}", count - 1, index);
        }
        std::int64_t offset = 0;
        std::int64_t stride = 1;
        std::int64_t rest = index;
        for (int axis = shape.rank() - 1; axis >= 0; --axis) {
          offset += rest % inner[axis] * stride;
          rest /= inner[axis];
          stride *= shape[axis];
        }
        y.data<T>()[offset] = x.data<T>()[i];
      }
    });
  });
}

}  // namespace lanner::kernels
