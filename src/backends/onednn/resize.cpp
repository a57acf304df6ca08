// Resize, in the forms that oneDNN's resampling computes as ONNX defines them: nearest at whole scales, linear with
// half-pixel coordinates at the scale that the sizes have. Every other form runs on the native kernel. And ResizeLike,
// whose sizes are those of another tensor.
#include <cmath>
#include <string>
#include <vector>

#include "backends/onednn/operators.h"
#include "base/fail.h"
#include "kernels/kernel.h"

namespace lanner::backends::onednn {

namespace {

constexpr int kScales = 2;
constexpr int kSizes = 3;

// The output's shape; `exact` becomes false where a scale is not the quotient of the sizes.
Shape resized(OperatorBuilder& builder, bool& exact) {
  Shape shape = builder.shape(0);
  std::vector<std::int64_t> axes = builder.attributes().get_ints("axes");
  if (axes.empty()) {
    for (int i = 0; i < shape.rank(); ++i) axes.push_back(i);
  }
  if (builder.attributes().get_string("keep_aspect_ratio_policy", "stretch") != "stretch") {
    base::fail(ErrorCode::kUnimplemented, "op.attribute", "oneDNN subgraphs only stretch");
  }
  const bool has_sizes = builder.has(kSizes) && builder.shape(kSizes).element_count() != 0;
  const Tensor* wanted = builder.constant(has_sizes ? kSizes : kScales);
  if (wanted == nullptr || static_cast<std::size_t>(wanted->element_count()) != axes.size() ||
      wanted->element_type() != (has_sizes ? ElementType::kInt64 : ElementType::kFloat32)) {
    base::invalid("op.input", "the sizes or scales must be constants, one for each of {} axes", axes.size());
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = kernels::normalize_axis(axes[i], shape.rank());
    const std::int64_t before = shape[axis];
    if (has_sizes) {
      shape[axis] = wanted->data<std::int64_t>()[i];
    } else {
      const float scale = wanted->data<float>()[i];
      const double size = std::floor(static_cast<double>(before) * static_cast<double>(scale));
      if (!(scale > 0.0F) || !(size < 0x1p40)) base::invalid("op.value", "{} is no scale", scale);
      shape[axis] = static_cast<std::int64_t>(size);
      exact = exact && static_cast<double>(shape[axis]) == static_cast<double>(before) * static_cast<double>(scale);
    }
    if (shape[axis] < 0) base::invalid("op.value", "{} is no size", shape[axis]);
  }
  return shape;
}

bool is_supported(OperatorBuilder& builder, const Shape& shape) {
  const Shape& x = builder.shape(0);
  const tensor::Attributes& attributes = builder.attributes();
  if (x.rank() < 3 || x.rank() > 5 || x[0] != shape[0] || x[1] != shape[1]) return false;
  if (attributes.get_int("antialias", 0) != 0 || attributes.get_int("exclude_outside", 0) != 0) return false;
  const std::string mode = attributes.get_string("mode", "nearest");
  const std::string coordinates = attributes.get_string("coordinate_transformation_mode", "half_pixel");
  if (mode == "linear") return coordinates == "half_pixel";
  if (mode != "nearest") return false;
  for (int i = 2; i < x.rank(); ++i) {
    if (shape[i] % x[i] != 0) return false;
  }
  // At whole scales no half-pixel coordinate lies midway, so all ways of rounding but these agree.
  const std::string rounding = attributes.get_string("nearest_mode", "round_prefer_floor");
  if (coordinates == "asymmetric") return rounding == "floor";
  return coordinates == "half_pixel" && rounding.starts_with("round");
}

// Input 0 to `shape`; `exact`: each scale is the quotient of the sizes.
void build_resampling(OperatorBuilder& builder, const Shape& shape, bool exact) {
  if (builder.shape(0).element_count() != 0 && define_if_empty(builder, shape)) return;
  if (builder.shape(0).element_count() == 0 || !exact || !is_supported(builder, shape))
    return builder.run_native(shape);
  const dnnl::algorithm how = builder.attributes().get_string("mode", "nearest") == "linear"
                                  ? dnnl::algorithm::resampling_linear
                                  : dnnl::algorithm::resampling_nearest;
  const Dims dims = dims_of(builder.shape(0));
  for (const Desc& desc : {builder.input(0).desc, blocked_desc(dims), plain_desc(dims)}) {
    const dnnl::resampling_forward::desc description(dnnl::prop_kind::forward_inference, how, desc,
                                                     any_desc(dims_of(shape), desc.data_type()));
    const dnnl::resampling_forward::primitive_desc primitive(description, user_scratchpad(), engine(), true);
    if (!primitive || is_reference(primitive.impl_info_str())) continue;
    const Stored from = builder.input(0, desc);
    const Stored to = builder.new_buffer(primitive.dst_desc());
    builder.emit(dnnl::resampling_forward(primitive), {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, to}},
                 primitive.scratchpad_desc());
    builder.define(shape, to);
    return;
  }
  builder.run_native(shape);
}

}  // namespace

void build_resize(OperatorBuilder& builder) {
  bool exact = true;
  const Shape shape = resized(builder, exact);
  build_resampling(builder, shape, exact);
}

void build_resize_like(OperatorBuilder& builder) {
  Shape shape = builder.shape(0);
  const Shape& like = builder.shape(1);
  if (shape.rank() < 3 || like.rank() != shape.rank()) {
    base::invalid("op.rank", "both inputs must have the same rank, 3 or more, but have shapes {} and {}",
                  shape.to_string(), like.to_string());
  }
  for (int i = 2; i < shape.rank(); ++i) shape[i] = like[i];
  build_resampling(builder, shape, true);
}

}  // namespace lanner::backends::onednn
