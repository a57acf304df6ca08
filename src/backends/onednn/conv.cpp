// Conv and FusedConv: out = activation(conv(X, W) + B + residual), inputs X, W, B?, residual?, or activation(conv(X, W)
// + B) + residual. Bias, residual and activation are post-operations where the algorithm has them.
#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

#include "backends/onednn/algorithm.h"
#include "backends/onednn/operators.h"
#include "backends/onednn/own_convolution.h"
#include "base/fail.h"

namespace lanner::backends::onednn {

namespace {

using dnnl::algorithm;
using dnnl::convolution_forward;
using dnnl::prop_kind;

constexpr int kResidual = 3;

// Of the three dimensions a Window holds, those that the tensors have.
Dims spatial(const kernels::Window& window, const kernels::WindowDims& values, std::int64_t subtract = 0) {
  Dims dims;
  for (int i = kernels::kWindowRank - window.rank; i < kernels::kWindowRank; ++i) {
    dims.push_back(values[static_cast<std::size_t>(i)] - subtract);
  }
  return dims;
}

class ConvBuilder {
 public:
  explicit ConvBuilder(OperatorBuilder& builder) : builder_(builder) {}

  void build() {
    read_problem();
    const Shape& x = builder_.shape(0);
    shape_ = problem_.window.output_shape(problem_.batch, problem_.outputs);
    if (builder_.has(kResidual) && builder_.shape(kResidual) != shape_) {
      base::invalid("op.shape", "the residual must have shape {}, but has {}", shape_.to_string(),
                    builder_.shape(kResidual).to_string());
    }
    if (x.element_count() == 0 && shape_.element_count() != 0) return builder_.run_native(shape_);
    if (define_if_empty(builder_, shape_)) return;
    if (builder_.constant(1) == nullptr) return builder_.run_native(shape_);
    residual_last_ = builder_.has(kResidual) && is_residual_last(builder_.attributes());
    choose_algorithm();
    if (builder_.surveys()) offer();
    if (is_left_to_reader()) return;
    if (is_winograd(algorithm_)) return emit_winograd();
    if (algorithm_ == Algorithm::kDepthwise) return emit_depthwise();
    if (algorithm_ == Algorithm::kPointwiseDepthwise) return emit_pointwise_depthwise();
    choose_primitive();
    emit();
  }

 private:
  void read_problem() {
    const Shape& x = builder_.shape(0);
    const Shape& w = builder_.shape(1);
    if (x.rank() < 3 || x.rank() > 5 || w.rank() != x.rank()) {
      base::invalid("op.rank", "the input and the weights must have the same rank, 3 to 5, but have shapes {} and {}",
                    x.to_string(), w.to_string());
    }
    const kernels::WindowAttributes attributes = kernels::parse_window(builder_.attributes());
    const auto kernel = w.dims().subspan(2);
    if (!attributes.kernel.empty() && !std::ranges::equal(attributes.kernel, kernel)) {
      base::invalid("op.attribute", "'kernel_shape' must be the weights', whose shape is {}", w.to_string());
    }
    const std::int64_t groups = builder_.attributes().get_int("group", 1);
    if (groups < 1 || x[1] % groups != 0 || w[0] % groups != 0 || x[1] / groups != w[1] || w[0] < 1 || w[1] < 1) {
      base::invalid("op.shape", "weights of shape {} do not fit an input of shape {} in {} groups", w.to_string(),
                    x.to_string(), groups);
    }
    if (builder_.has(2) && builder_.shape(2) != Shape{w[0]}) {
      base::invalid("op.shape", "the bias must have shape [{}], but has {}", w[0], builder_.shape(2).to_string());
    }
    problem_ = {x[0],
                groups,
                x[1],
                w[0],
                kernels::make_window(attributes, x, kernel),
                builder_.has(kResidual),
                builder_.use_of_bf16() != Bf16::kNo,
                builder_.input(0).desc.data_type() == Number::bf16,
                builder_.output_number() == Number::bf16,
                asks_for_small_weights()};
    problem_.pointwise_inputs = pointwise_inputs();
    if (builder_.attributes().has("activation")) activation_ = activation_of(builder_.attributes());
    weight_dims_ = dims_of(w);
    if (groups > 1) {
      weight_dims_[0] /= groups;
      weight_dims_.insert(weight_dims_.begin(), groups);
    }
  }

  static bool is_conv(const OperatorBuilder& builder) { return find_builder(builder.instruction().op) == build_conv; }

  // Input channels of the convolution before this one, if kernels/pointwise_depthwise.h could run both; else 0.
  std::int64_t pointwise_inputs() const {
    if (problem_.groups == 1 || problem_.may_use_bf16 || problem_.bf16_input) return 0;
    const bool runs = builder_.constant(1) != nullptr &&
                      problem_.window.output_shape(problem_.batch, problem_.outputs).element_count() != 0;
    std::optional<OperatorBuilder> before = builder_.only_producer();
    if (!runs || !before || !is_conv(*before)) return 0;
    ConvBuilder first(*before);
    first.read_problem();
    const kernels::Window& window = first.problem_.window;
    const auto all = [](const kernels::WindowDims& values, std::int64_t wanted) {
      return std::ranges::count(values, wanted) == std::ssize(values);
    };
    const bool fits = window.rank == 2 && all(window.kernel, 1) && all(window.stride, 1) && all(window.pad_begin, 0) &&
                      all(window.pad_end, 0) && first.problem_.groups == 1 && !first.problem_.has_residual &&
                      !first.problem_.may_use_bf16 && !first.problem_.bf16_input && before->constant(1) != nullptr &&
                      image_activation(first.activation_);
    return fits ? first.problem_.inputs : 0;
  }

  // Whether the instruction behind will make what it needs of this one's output on its own.
  bool is_left_to_reader() {
    std::optional<OperatorBuilder> reader = builder_.only_reader();
    if (algorithm_ != Algorithm::kDirect || !reader || !is_conv(*reader)) return false;
    builder_.define(shape_, {});
    ConvBuilder next(*reader);
    try {
      next.read_problem();
    } catch (const Error&) {
      return false;  // which the reader is going to say itself
    }
    if (next.problem_.pointwise_inputs == 0) return false;
    next.choose_algorithm();
    return next.algorithm_ == Algorithm::kPointwiseDepthwise;
  }

  bool asks_for_small_weights() const {
    const std::string memory = builder_.attributes().get_string(kMemoryAttribute, "fast");
    if (memory != "fast" && memory != "small") {
      base::invalid("op.attribute", "attribute '{}' must be 'fast' or 'small', but is '{}'", kMemoryAttribute, memory);
    }
    return memory == "small";
  }

  void choose_algorithm() {
    ConvolutionProblem typical = problem_;
    if (builder_.any_rows()) typical.batch = kTypicalRows;
    candidates_ = expectations(typical);
    algorithm_ = candidates_.front().algorithm;
    const std::string wanted = builder_.attributes().get_string(kAlgorithmAttribute, "");
    if (!wanted.empty()) {
      const auto row = std::ranges::find(algorithms(), wanted, &AlgorithmRow::name);
      if (row == algorithms().end()) {
        base::invalid("op.attribute", "attribute 'algorithm' names no algorithm of a convolution, but '{}'", wanted);
      }
      // A program may come from another CPU.
      if (builder_.uses_choices() && is_candidate(row->algorithm, problem_)) algorithm_ = row->algorithm;
    }
    if (builder_.use_of_bf16() == Bf16::kMust) algorithm_ = Algorithm::kDirectBf16;
    if (algorithm_ == Algorithm::kDirectBf16 && !choose_bf16()) algorithm_ = Algorithm::kDirect;
  }

  void offer() {
    Choice choice;
    choice.problem = problem_text();
    choice.macs = static_cast<double>(shape_.element_count()) * static_cast<double>(builder_.shape(1).element_count()) /
                  static_cast<double>(problem_.outputs);
    if (problem_.pointwise_inputs != 0) {
      choice.with_producer = true;
      choice.macs += static_cast<double>(builder_.shape(0).element_count() * problem_.pointwise_inputs);
    }
    for (const auto& [algorithm, cycles, weight_bytes] : candidates_) {
      if (algorithm == Algorithm::kOnednnWinograd && !choose_onednn_winograd()) continue;
      if (algorithm == Algorithm::kDirectBf16 && !choose_bf16()) continue;
      choice.candidates.push_back({std::string(name_of(algorithm)), cycles, weight_bytes});
    }
    activation_fused_ = true;
    choice.algorithm = name_of(algorithm_);
    builder_.offer(std::move(choice));
  }

  // All that the time depends on but for what is around: "1x64x56x56 by 64x64x3x3, pad 1x1x1x1, bias, residual, Relu".
  std::string problem_text() const {
    const kernels::Window& window = problem_.window;
    const auto joined = [](const auto& sizes) { return fmt::format("{}", fmt::join(sizes, "x")); };
    std::string text = fmt::format("{} by {}", joined(builder_.shape(0)), joined(builder_.shape(1)));
    const auto add = [&](std::string_view name, const Dims& values, dnnl::memory::dim usual) {
      if (std::ranges::count(values, usual) != std::ssize(values)) text += fmt::format(", {} {}", name, joined(values));
    };
    Dims pads = spatial(window, window.pad_begin);
    std::ranges::copy(spatial(window, window.pad_end), std::back_inserter(pads));
    add("stride", spatial(window, window.stride), 1);
    add("pad", pads, 0);
    add("dilation", spatial(window, window.dilation), 1);
    if (builder_.has(2)) text += ", bias";
    if (builder_.has(kResidual) && !residual_last_) text += ", residual";
    const std::string activation = builder_.attributes().get_string("activation", "");
    if (!activation.empty()) text += ", " + activation;
    if (residual_last_) text += ", residual";
    if (problem_.pointwise_inputs != 0) {
      const tensor::Attributes& before = builder_.only_producer()->attributes();
      text += fmt::format(", behind 1x1 of {} {}", problem_.pointwise_inputs, before.get_string("activation", ""));
    }
    if (problem_.small_weights) text += ", small weights";
    if (problem_.may_use_bf16) text += ", bf16 allowed" + kept_text(builder_);
    return text;
  }

  convolution_forward::primitive_desc make(algorithm how, const Desc& src, const Desc& dst, Residual residual,
                                           bool with_activation) const {
    const kernels::Window& window = problem_.window;
    const Dims strides = spatial(window, window.stride);
    const Dims dilates = spatial(window, window.dilation, 1);
    const Dims begin = spatial(window, window.pad_begin);
    const Dims end = spatial(window, window.pad_end);
    const Desc weights = any_desc(weight_dims_, src.data_type());
    const auto description =
        builder_.has(2) ? convolution_forward::desc(prop_kind::forward_inference, how, src, weights,
                                                    plain_desc({problem_.outputs}), dst, strides, dilates, begin, end)
                        : convolution_forward::desc(prop_kind::forward_inference, how, src, weights, dst, strides,
                                                    dilates, begin, end);
    const Desc operand = residual == Residual::kBinary ? residual_desc(dst) : Desc();
    dnnl::primitive_attr attributes = user_scratchpad();
    attributes.set_post_ops(
        post_operations(residual, operand, with_activation ? activation_ : Elementwise(), residual_last_));
    return {description, attributes, engine(), true};
  }

  // As an operand of what makes `dst`.
  Desc residual_desc(const Desc& dst) const { return in_number(dst, builder_.input(kResidual).desc.data_type()); }
  // A picture's few channels are read as they lie.
  Desc src_desc(Number number = Number::f32) const {
    const Dims x = dims_of(builder_.shape(0));
    return problem_.inputs < 8 ? any_desc(x, number) : blocked_desc(x, number);
  }

  // The primitive, with the residual summed in place. Few implementations do that behind an activation, so there it may
  // be an operand or, with kNone, a pass of its own. False where oneDNN has only a reference loop.
  bool choose_direct(const Desc& src, const Desc& dst) {
    const auto fits = [&](Residual residual) {
      residual_ = residual;
      primitive_ = make(algorithm::convolution_direct, src, dst, residual, true);
      return primitive_ && !is_reference(primitive_.impl_info_str());
    };
    if (!builder_.has(kResidual)) return fits(Residual::kNone);
    return fits(Residual::kSum) || (residual_last_ && (fits(Residual::kBinary) || fits(Residual::kNone)));
  }

  bool choose_bf16() {
    return choose_direct(src_desc(Number::bf16), blocked_desc(dims_of(shape_), builder_.output_number()));
  }

  // False where oneDNN has no Winograd for the problem.
  bool choose_onednn_winograd() {
    if (residual_last_) return false;
    const Desc dst = blocked_desc(dims_of(shape_));
    residual_ = builder_.has(kResidual) ? Residual::kSum : Residual::kNone;
    // It has no activations but ReLU; a pass of its own costs far less than the direct algorithm.
    for (const bool fused : {true, false}) {
      activation_fused_ = fused;
      primitive_ = make(algorithm::convolution_winograd, src_desc(), dst, residual_, fused);
      if (primitive_) return true;
    }
    activation_fused_ = true;
    return false;
  }

  // The best primitive that oneDNN has.
  void choose_primitive() {
    if (algorithm_ == Algorithm::kOnednnWinograd && choose_onednn_winograd()) return;
    if (algorithm_ == Algorithm::kDirectBf16 && choose_bf16()) return;
    algorithm_ = Algorithm::kDirect;
    const Dims x = dims_of(builder_.shape(0));
    const Dims y = dims_of(shape_);
    if (choose_direct(src_desc(), blocked_desc(y)) || choose_direct(any_desc(x), any_desc(y))) return;
    if (!primitive_) base::fail(ErrorCode::kInternal, "backend.onednn", "oneDNN has no such convolution");
  }

  void emit() {
    Desc dst = primitive_.dst_desc();
    Stored to;
    std::vector<Argument> arguments;
    if (residual_ == Residual::kNone) {
      to = builder_.new_buffer(dst);
    } else if (residual_ == Residual::kBinary) {
      arguments.push_back(operand(dst));
      to = builder_.new_buffer(dst);
    } else if (builder_.may_overwrite(kResidual) && builder_.input(kResidual).desc == dst) {
      to = builder_.input(kResidual);
    } else if ((!builder_.may_overwrite(kResidual) || builder_.input(kResidual).desc.data_type() != dst.data_type()) &&
               use_binary_residual()) {
      dst = primitive_.dst_desc();
      arguments.push_back(operand(dst));
      to = builder_.new_buffer(dst);
    } else {
      to = builder_.new_buffer(dst);
      builder_.reorder(builder_.input(kResidual), to);
    }
    arguments.push_back({DNNL_ARG_SRC, builder_.input(0, primitive_.src_desc())});
    arguments.push_back({DNNL_ARG_WEIGHTS, builder_.packed(1, plain_desc(weight_dims_), primitive_.weights_desc())});
    if (builder_.has(2)) arguments.push_back({DNNL_ARG_BIAS, builder_.plain_input(2)});
    arguments.push_back({DNNL_ARG_DST, to});
    builder_.emit(convolution_forward(primitive_), std::move(arguments), primitive_.scratchpad_desc());
    if (!activation_fused_) emit_elementwise(builder_, activation_, to, to);
    if (builder_.has(kResidual) && residual_ == Residual::kNone) sum_apart(to);
    builder_.define(shape_, to);
  }

  Argument operand(const Desc& dst) {
    return residual_operand(builder_.input(kResidual, residual_desc(dst)), activation_, residual_last_);
  }
  void sum_apart(const Stored& to) { emit_sum(builder_, builder_.input(kResidual, to.desc), to); }

  static kernels::ImageNumber number(bool bf16) {
    return bf16 ? kernels::ImageNumber::kBfloat16 : kernels::ImageNumber::kFloat32;
  }

  // The input's buffer, blocked, in the number that it has.
  int own_input() {
    return builder_.input(0, blocked_desc(dims_of(builder_.shape(0)), problem_.bf16_input ? Number::bf16 : Number::f32))
        .buffer;
  }
  int own_bias() { return builder_.has(2) ? builder_.plain_input(2).buffer : -1; }

  kernels::DepthwiseProblem depthwise_problem() const {
    const kernels::Window& window = problem_.window;
    return {problem_.batch,      problem_.inputs,  window.input[1],  window.input[2],
            window.kernel[1],    window.kernel[2], window.stride[1], window.pad_begin[1],
            window.pad_begin[2], window.output[1], window.output[2], number(problem_.bf16_input)};
  }
  int depthwise_weights() {
    return builder_.packed(1, plain_desc(weight_dims_), blocked_groups_desc(weight_dims_)).buffer;
  }

  void emit_depthwise() {
    const kernels::Depthwise depthwise(*depthwise_loops(), depthwise_problem());
    const int input = own_input();
    const int weights = depthwise_weights();
    const int bias = own_bias();
    const auto activation = image_activation(activation_);
    const Stored to = builder_.new_buffer(blocked_desc(dims_of(shape_), builder_.output_number()));
    builder_.emit(make_depthwise_step(depthwise, activation.value_or(kernels::ImageActivation::none())),
                  {input, weights, bias, to.buffer});
    if (!activation) emit_elementwise(builder_, activation_, to, to);
    builder_.define(shape_, to);
  }

  // And the pointwise convolution before, whose output nobody else reads.
  void emit_pointwise_depthwise() {
    OperatorBuilder before = *builder_.only_producer();
    ConvBuilder first(before);
    first.read_problem();
    const kernels::PointwiseDepthwise both(*depthwise_loops(), problem_.pointwise_inputs, depthwise_problem(),
                                           builder_.threads());
    const int input = first.own_input();
    const int pointwise_weights =
        before.packed(1, plain_desc(first.weight_dims_), blocked_weights_desc(first.weight_dims_)).buffer;
    const int pointwise_bias = first.own_bias();
    const int weights = depthwise_weights();
    const int bias = own_bias();
    const auto activation = image_activation(activation_);
    const Stored to = builder_.new_buffer(blocked_desc(dims_of(shape_)));
    builder_.emit(make_pointwise_depthwise_step(both, *image_activation(first.activation_),
                                                activation.value_or(kernels::ImageActivation::none())),
                  {input, pointwise_weights, pointwise_bias, weights, bias, to.buffer});
    if (!activation) emit_elementwise(builder_, activation_, to, to);
    builder_.define(shape_, to);
  }

  void emit_winograd() {
    const kernels::Window& window = problem_.window;
    const kernels::WinogradProblem problem{problem_.batch,
                                           problem_.inputs,
                                           problem_.outputs,
                                           window.input[1],
                                           window.input[2],
                                           window.pad_begin[1],
                                           window.pad_begin[2],
                                           window.output[1],
                                           window.output[2],
                                           window.dilation[1],
                                           window.dilation[2],
                                           window.stride[1],
                                           number(problem_.bf16_input),
                                           number(problem_.bf16_output)};
    const kernels::Winograd winograd(*winograd_loops(), form_of(algorithm_), storage_of(algorithm_), problem,
                                     builder_.threads());
    const Desc dst = blocked_desc(dims_of(shape_), builder_.output_number());
    const int input = own_input();
    const int weights = builder_.packed(1, winograd.weights());
    const int bias = own_bias();
    auto activation = image_activation(activation_);
    if (activation) activation->residual_last = residual_last_;
    const bool sums = builder_.has(kResidual) && (activation || !residual_last_);
    const int residual = sums ? builder_.input(kResidual, dst).buffer : -1;
    // Each output is written by who has read its residual.
    const bool in_place = sums && builder_.may_overwrite(kResidual) && builder_.input(kResidual).desc == dst;
    const Stored to = in_place ? builder_.input(kResidual) : builder_.new_buffer(dst);
    builder_.emit(make_winograd_step(winograd, activation.value_or(kernels::ImageActivation::none())),
                  {input, weights, bias, residual, to.buffer});
    if (!activation) emit_elementwise(builder_, activation_, to, to);
    if (builder_.has(kResidual) && !sums) sum_apart(to);
    builder_.define(shape_, to);
  }

  // Takes the residual as a second operand, where that is as fast as summing in place.
  bool use_binary_residual() {
    if (!activation_fused_ || algorithm_ == Algorithm::kOnednnWinograd) return false;
    auto primitive =
        make(algorithm::convolution_direct, primitive_.src_desc(), primitive_.dst_desc(), Residual::kBinary, true);
    if (!primitive || std::string_view(primitive.impl_info_str()) != primitive_.impl_info_str()) return false;
    primitive_ = primitive;
    return true;
  }

  OperatorBuilder& builder_;
  ConvolutionProblem problem_{};
  std::vector<Expectation> candidates_;
  Dims weight_dims_;
  Shape shape_;
  Elementwise activation_;
  bool residual_last_ = false;
  Residual residual_ = Residual::kNone;  // of the primitive
  Algorithm algorithm_ = Algorithm::kDirect;
  bool activation_fused_ = true;
  convolution_forward::primitive_desc primitive_;
};

}  // namespace

void build_conv(OperatorBuilder& builder) {
  ConvBuilder(builder).build();
}

}  // namespace lanner::backends::onednn
