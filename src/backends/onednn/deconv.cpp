// ConvTranspose: inputs X, W, B?. oneDNN's deconvolution.
#include <algorithm>
#include <ranges>
#include <utility>
#include <vector>

#include "backends/onednn/operators.h"
#include "base/fail.h"
#include "kernels/transposed_window.h"

namespace lanner::backends::onednn {

namespace {

using dnnl::algorithm;
using dnnl::deconvolution_forward;
using dnnl::prop_kind;

// Of the three dimensions a Window holds, those that the tensors have.
Dims spatial(const kernels::Window& window, const kernels::WindowDims& values, std::int64_t subtract = 0) {
  Dims dims;
  for (int i = kernels::kWindowRank - window.rank; i < kernels::kWindowRank; ++i) {
    dims.push_back(values[static_cast<std::size_t>(i)] - subtract);
  }
  return dims;
}

// The weights [inputs, outputs of a group, ...] as oneDNN has them, [groups?, outputs, inputs, ...], in place.
Desc weights_desc(const Shape& w, std::int64_t groups) {
  Dims dims{w[1], w[0] / groups};
  Dims strides{w.element_count(2, w.rank()), w.element_count(1, w.rank())};
  for (int i = 2; i < w.rank(); ++i) {
    dims.push_back(w[i]);
    strides.push_back(w.element_count(i + 1, w.rank()));
  }
  if (groups > 1) {
    dims.insert(dims.begin(), groups);
    strides.insert(strides.begin(), w.element_count() / groups);
  }
  return {dims, Number::f32, strides};
}

}  // namespace

void build_deconv(OperatorBuilder& builder) {
  const Shape& x = builder.shape(0);
  const Shape& w = builder.shape(1);
  const std::int64_t groups = builder.attributes().get_int("group", 1);
  if (x.rank() < 3 || x.rank() > 5 || w.rank() != x.rank()) {
    base::invalid("op.rank", "the input and the weights must have the same rank, 3 to 5, but have shapes {} and {}",
                  x.to_string(), w.to_string());
  }
  if (groups < 1 || x[1] % groups != 0 || w[0] != x[1] || w[0] < 1 || w[1] < 1 || w[1] > INT64_MAX / groups) {
    base::invalid("op.shape", "weights of shape {} do not fit an input of shape {} in {} groups", w.to_string(),
                  x.to_string(), groups);
  }
  const auto attributes = kernels::parse_transposed_window(builder.attributes());
  const auto kernel = w.dims().subspan(2);
  if (!attributes.window.kernel.empty() && !std::ranges::equal(attributes.window.kernel, kernel)) {
    base::invalid("op.attribute", "'kernel_shape' must be the weights', whose shape is {}", w.to_string());
  }
  const std::int64_t outputs = w[1] * groups;
  if (builder.has(2) && builder.shape(2) != Shape{outputs}) {
    base::invalid("op.shape", "the bias must have shape [{}], but has {}", outputs, builder.shape(2).to_string());
  }
  const kernels::Window window = kernels::make_transposed_window(attributes, x, kernel);
  const Shape shape = kernels::transposed_output_shape(window, x[0], outputs);
  if (define_if_empty(builder, shape)) return;
  if (x.element_count() == 0 || builder.constant(1) == nullptr) return builder.run_native(shape);

  const Desc given = weights_desc(w, groups);
  const auto make = [&](const Desc& from, const Desc& to) {
    const Desc weights = any_desc(given.dims());
    const auto how = algorithm::deconvolution_direct;
    const Dims strides = spatial(window, window.stride);
    const Dims dilates = spatial(window, window.dilation, 1);
    const Dims begin = spatial(window, window.pad_begin);
    const Dims end = spatial(window, window.pad_end);
    const auto description = builder.has(2)
                                 ? deconvolution_forward::desc(prop_kind::forward_inference, how, from, weights,
                                                               plain_desc({outputs}), to, strides, dilates, begin, end)
                                 : deconvolution_forward::desc(prop_kind::forward_inference, how, from, weights, to,
                                                               strides, dilates, begin, end);
    return deconvolution_forward::primitive_desc(description, user_scratchpad(), engine(), true);
  };
  const bool possible = std::ranges::all_of(std::views::iota(0, kernels::kWindowRank), [&](int axis) {
    const auto i = static_cast<std::size_t>(axis);
    return window.pad_end[i] + window.stride[i] >= 0;
  });
  if (!possible) return builder.run_native(shape);
  auto primitive = make(blocked_desc(dims_of(x)), blocked_desc(dims_of(shape)));
  if (!primitive || is_reference(primitive.impl_info_str())) {
    primitive = make(any_desc(dims_of(x)), any_desc(dims_of(shape)));
    if (!primitive || is_reference(primitive.impl_info_str())) return builder.run_native(shape);
  }
  const Stored to = builder.new_buffer(primitive.dst_desc());
  std::vector<Argument> arguments{{DNNL_ARG_SRC, builder.input(0, primitive.src_desc())},
                                  {DNNL_ARG_WEIGHTS, builder.packed(1, given, primitive.weights_desc())}};
  if (builder.has(2)) arguments.push_back({DNNL_ARG_BIAS, builder.plain_input(2)});
  arguments.push_back({DNNL_ARG_DST, to});
  builder.emit(deconvolution_forward(primitive), std::move(arguments), primitive.scratchpad_desc());
  builder.define(shape, to);
}

}  // namespace lanner::backends::onednn
