// Reshape, Flatten, Squeeze, Unsqueeze, Identity: the same elements under another shape. None of them copies; the
// output shares its input's memory (`kView` in operators.def).
#include "kernels/reshape.h"

#include <algorithm>

#include "base/fail.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

Shape reshape_target(const Shape& from, const std::vector<std::int64_t>& wanted, bool allow_zero) {
  Shape target;
  int inferred = -1;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::int64_t dim = wanted[i];
    if (dim == 0 && !allow_zero) {
      if (static_cast<int>(i) >= from.rank()) {
        base::invalid("op.shape", "dimension {} of the new shape copies a dimension that input shape {} lacks", i,
                      from.to_string());
      }
      dim = from[static_cast<int>(i)];
    } else if (dim == -1) {
      if (inferred >= 0) base::invalid("op.shape", "at most one dimension of the new shape may be -1");
      inferred = static_cast<int>(i);
      dim = 1;
    }
    target.push_back(dim);
  }
  const std::int64_t count = from.element_count();
  if (inferred >= 0) {
    const std::int64_t known = target.element_count();
    if (known == 0 || count % known != 0) {
      base::invalid("op.shape", "cannot reshape {} to [{}]: {} elements do not divide evenly", from.to_string(),
                    fmt::join(wanted, ","), count);
    }
    target[inferred] = count / known;
  }
  if (target.element_count() != count) {
    base::invalid("op.shape", "cannot reshape {} to [{}]: {} elements against {}", from.to_string(),
                  fmt::join(wanted, ","), count, target.element_count());
  }
  return target;
}

namespace {

// The axes as a bit mask over `rank` dimensions; a repeated axis is an error.
std::uint32_t axis_mask(const std::vector<std::int64_t>& axes, int rank) {
  std::uint32_t mask = 0;
  for (const std::int64_t axis : axes) {
    const std::uint32_t bit = 1u << normalize_axis(axis, rank);
    if ((mask & bit) != 0) base::invalid("op.axis", "axis {} is given twice", axis);
    mask |= bit;
  }
  return mask;
}

}  // namespace

std::unique_ptr<Kernel> make_Reshape(const KernelInfo& info) {
  const bool allow_zero = info.attributes.get_int("allowzero", 0) != 0;
  return make_kernel([allow_zero](KernelContext& context) {
    const Tensor& data = context.input(0);
    context.set_output(
        0, data.reshaped(reshape_target(data.shape(), read_indices(context.input(1), "shape"), allow_zero)));
  });
}

std::unique_ptr<Kernel> make_Flatten(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.get_int("axis", 1);
  return make_kernel([wanted](KernelContext& context) {
    const Tensor& data = context.input(0);
    const int rank = data.rank();
    // Unlike elsewhere, axis == rank is allowed.
    const int axis = wanted == rank ? rank : normalize_axis(wanted, rank);
    context.set_output(0, data.reshaped({data.shape().element_count(0, axis), data.shape().element_count(axis, rank)}));
  });
}

std::unique_ptr<Kernel> make_Squeeze(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& data = context.input(0);
    const Tensor* axes = context.optional_input(1);
    const std::uint32_t mask = axes != nullptr ? axis_mask(read_indices(*axes, "axes"), data.rank()) : 0;
    Shape shape;
    for (int i = 0; i < data.rank(); ++i) {
      const std::int64_t dim = data.shape()[i];
      const bool named = (mask >> i & 1u) != 0;
      if (named && dim != 1) {
        base::invalid("op.shape", "axis {} of shape {} cannot be squeezed: it is not 1", i, data.shape().to_string());
      }
      if (!(named || (axes == nullptr && dim == 1))) shape.push_back(dim);
    }
    context.set_output(0, data.reshaped(shape));
  });
}

std::unique_ptr<Kernel> make_Unsqueeze(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const Tensor& data = context.input(0);
    const std::vector<std::int64_t> axes = read_indices(context.input(1), "axes");
    const std::size_t rank = static_cast<std::size_t>(data.rank()) + axes.size();
    if (rank > Shape::kMaxRank) {
      base::invalid("op.rank", "a tensor may have at most {} dimensions, but unsqueezing gives {}", Shape::kMaxRank,
                    rank);
    }
    const std::uint32_t mask = axis_mask(axes, static_cast<int>(rank));
    Shape shape;
    int next = 0;
    for (int i = 0; i < static_cast<int>(rank); ++i) {
      shape.push_back((mask >> i & 1u) != 0 ? 1 : data.shape()[next++]);
    }
    context.set_output(0, data.reshaped(shape));
  });
}

std::unique_ptr<Kernel> make_Identity(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    // An empty optional is a value, too.
    const bool none = !context.inputs().empty() && context.inputs()[0] != nullptr && context.inputs()[0]->is_none();
    context.set_output(0, none ? Value() : context.input_value(0));
  });
}

}  // namespace lanner::kernels
