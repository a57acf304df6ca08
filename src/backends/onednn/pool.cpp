// MaxPool, AveragePool, GlobalMaxPool and GlobalAveragePool.
#include <algorithm>
#include <string_view>
#include <vector>

#include "backends/onednn/operators.h"
#include "base/fail.h"
#include "kernels/window.h"

namespace lanner::backends::onednn {

namespace {

using dnnl::algorithm;
using dnnl::pooling_forward;

struct Pooling {
  Shape shape;
  algorithm how;
  Dims kernel, strides, begin, end;
};

// The primitive's terms for a window; `supported` is false where oneDNN's pooling is not ONNX's.
Pooling pooling_of(const kernels::Window& window, const Shape& x, algorithm how, bool& supported) {
  Pooling pooling{window.output_shape(x[0], x[1]), how, {}, {}, {}, {}};
  for (auto i = static_cast<std::size_t>(kernels::kWindowRank - window.rank); i < kernels::kWindowRank; ++i) {
    // What the last window needs; less than the attribute says where a stride leaves elements over.
    const std::int64_t end = std::max<std::int64_t>(
        (window.output[i] - 1) * window.stride[i] + window.kernel[i] - window.input[i] - window.pad_begin[i], 0);
    supported =
        supported && window.dilation[i] == 1 && window.pad_begin[i] < window.kernel[i] && end < window.kernel[i];
    // A last window that hangs over the padding counts only what is inside it.
    if (how == algorithm::pooling_avg_include_padding && end > window.pad_end[i]) supported = false;
    pooling.kernel.push_back(window.kernel[i]);
    pooling.strides.push_back(window.stride[i]);
    pooling.begin.push_back(window.pad_begin[i]);
    pooling.end.push_back(end);
  }
  return pooling;
}

}  // namespace

void build_pool(OperatorBuilder& builder) {
  const std::string_view op = builder.instruction().op;
  const Shape x = builder.shape(0);
  if (builder.instruction().outputs.size() > 1 && builder.instruction().outputs[1] != program::kNoSlot) {
    base::fail(ErrorCode::kUnimplemented, "op.unsupported", "oneDNN does not return the indices of a MaxPool");
  }
  algorithm how = op.ends_with("MaxPool") ? algorithm::pooling_max : algorithm::pooling_avg_exclude_padding;
  if (op == "AveragePool" && builder.attributes().get_int("count_include_pad", 0) != 0) {
    how = algorithm::pooling_avg_include_padding;
  }
  bool supported = x.element_count() != 0;
  Pooling pooling;
  if (op.starts_with("Global")) {
    if (x.rank() < 3)
      base::invalid("op.rank", "the input must have spatial dimensions, but has shape {}", x.to_string());
    pooling.shape = {x[0], x[1]};
    pooling.how = how;
    for (int i = 2; i < x.rank(); ++i) {
      pooling.shape.push_back(1);
      pooling.kernel.push_back(x[i]);
      pooling.strides.push_back(1);
      pooling.begin.push_back(0);
      pooling.end.push_back(0);
    }
    supported = supported && x.rank() <= 5;
  } else {
    const kernels::WindowAttributes attributes = kernels::parse_window(builder.attributes());
    pooling = pooling_of(kernels::make_window(attributes, x, attributes.kernel), x, how, supported);
  }
  if (define_if_empty(builder, pooling.shape)) return;
  if (supported) {
    const Dims dims = dims_of(x);
    for (const Desc& desc : {builder.input(0).desc, blocked_desc(dims), plain_desc(dims)}) {
      const pooling_forward::desc description(dnnl::prop_kind::forward_inference, pooling.how, desc,
                                              any_desc(dims_of(pooling.shape), desc.data_type()), pooling.strides,
                                              pooling.kernel, pooling.begin, pooling.end);
      const pooling_forward::primitive_desc primitive(description, user_scratchpad(), engine(), true);
      if (!primitive || is_reference(primitive.impl_info_str())) continue;
      const Stored from = builder.input(0, desc);
      const Stored to = builder.new_buffer(primitive.dst_desc());
      builder.emit(pooling_forward(primitive), {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, to}}, primitive.scratchpad_desc());
      builder.define(pooling.shape, to);
      return;
    }
  }
  builder.run_native(pooling.shape);
}

}  // namespace lanner::backends::onednn
