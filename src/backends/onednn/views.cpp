// Reshape and Transpose. Both look at the same memory through another descriptor where one can say what they do:
// layouts of blocked channels may be permuted, and their spatial dimensions merged. Whoever reads it, or the block's
// output, then moves the elements in one step, whatever the number of such operators. Otherwise the input is made plain
// first.
#include <numeric>

#include "backends/onednn/operators.h"
#include "base/fail.h"
#include "kernels/kernel.h"
#include "kernels/reshape.h"

namespace lanner::backends::onednn {

void build_reshape(OperatorBuilder& builder) {
  const Tensor* wanted = builder.constant(1);
  if (wanted == nullptr) base::invalid("op.input", "the shape must be a constant");
  const Shape shape = kernels::reshape_target(builder.shape(0), kernels::read_indices(*wanted, "shape"),
                                              builder.attributes().get_int("allowzero", 0) != 0);
  if (define_if_empty(builder, shape)) return;
  Stored from = builder.input(0);
  if (!builder.may_have_parts(from)) return builder.run_native(shape);
  Desc desc = from.desc.reshape(dims_of(shape), /* allow_empty = */ true);
  if (!desc) {
    from = builder.plain_input(0);
    desc = plain_desc(dims_of(shape));
  }
  builder.define(shape, builder.part_of(from, desc, 0));
}

void build_transpose(OperatorBuilder& builder) {
  const Shape& from_shape = builder.shape(0);
  const int rank = from_shape.rank();
  std::vector<std::int64_t> permutation = builder.attributes().get_ints("perm");
  if (!builder.attributes().has("perm")) {
    permutation.resize(static_cast<std::size_t>(rank));
    std::iota(permutation.rbegin(), permutation.rend(), 0);
  }
  // oneDNN asks where each dimension goes, ONNX where it comes from.
  std::vector<int> places(static_cast<std::size_t>(rank), -1);
  Shape shape;
  for (const std::int64_t axis : permutation) {
    if (axis < 0 || axis >= rank || places[static_cast<std::size_t>(axis)] >= 0) {
      base::invalid("op.attribute", "perm must be a permutation of 0 .. {}", rank - 1);
    }
    places[static_cast<std::size_t>(axis)] = shape.rank();
    shape.push_back(from_shape[static_cast<int>(axis)]);
  }
  if (shape.rank() != rank) base::invalid("op.attribute", "perm must be a permutation of 0 .. {}", rank - 1);
  if (define_if_empty(builder, shape)) return;
  const Stored from = builder.input(0);
  if (rank == 0 || !builder.may_have_parts(from)) return builder.run_native(shape);
  builder.define(shape, builder.part_of(from, from.desc.permute_axes(places, /* allow_empty = */ true), 0));
}

}  // namespace lanner::backends::onednn
