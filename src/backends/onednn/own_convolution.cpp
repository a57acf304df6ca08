#include "backends/onednn/own_convolution.h"

namespace lanner::backends::onednn {

namespace {

using dnnl::algorithm;
using kernels::ImageActivation;

class WinogradStep final : public OwnStep {
 public:
  WinogradStep(const kernels::Winograd& winograd, const ImageActivation& activation)
      : winograd_(winograd), activation_(activation) {}

  void run(std::span<void* const> buffers, void* scratch, int threads) const override {
    const auto floats = [&](std::size_t index) { return static_cast<float*>(buffers[index]); };
    winograd_.run({buffers[0], floats(1), floats(2), buffers[3], buffers[4], scratch, activation_}, threads);
  }

  std::size_t scratch_bytes() const override { return winograd_.scratch_bytes(); }

 private:
  kernels::Winograd winograd_;
  ImageActivation activation_;
};

class DepthwiseStep final : public OwnStep {
 public:
  DepthwiseStep(const kernels::Depthwise& depthwise, const ImageActivation& activation)
      : depthwise_(depthwise), activation_(activation) {}

  void run(std::span<void* const> buffers, void* /*scratch*/, int threads) const override {
    const auto floats = [&](std::size_t index) { return static_cast<const float*>(buffers[index]); };
    depthwise_.run({buffers[0], floats(1), floats(2), buffers[3], activation_}, threads);
  }

  std::size_t scratch_bytes() const override { return 0; }

 private:
  kernels::Depthwise depthwise_;
  ImageActivation activation_;
};

class PointwiseDepthwiseStep final : public OwnStep {
 public:
  PointwiseDepthwiseStep(const kernels::PointwiseDepthwise& both, const ImageActivation& pointwise_activation,
                         const ImageActivation& activation)
      : both_(both), pointwise_activation_(pointwise_activation), activation_(activation) {}

  void run(std::span<void* const> buffers, void* scratch, int threads) const override {
    const auto floats = [&](std::size_t index) { return static_cast<float*>(buffers[index]); };
    both_.run(
        {floats(0), floats(1), floats(2), pointwise_activation_, floats(3), floats(4), activation_, floats(5), scratch},
        threads);
  }

  std::size_t scratch_bytes() const override { return both_.scratch_bytes(); }

 private:
  kernels::PointwiseDepthwise both_;
  ImageActivation pointwise_activation_;
  ImageActivation activation_;
};

}  // namespace

std::optional<ImageActivation> image_activation(const Elementwise& function) {
  using Kind = ImageActivation::Kind;
  if (function.empty()) return ImageActivation::none();
  const ElementwiseStep& first = function[0];
  if (function.size() == 2) {
    const ElementwiseStep& second = function[1];
    const bool hard_sigmoid = first.algorithm == algorithm::eltwise_linear &&
                              second.algorithm == algorithm::eltwise_clip && second.alpha == 0 && second.beta == 1;
    if (!hard_sigmoid) return std::nullopt;
    return ImageActivation{Kind::kHardSigmoid, first.alpha, first.beta};
  }
  if (function.size() != 1) return std::nullopt;
  switch (first.algorithm) {
    case algorithm::eltwise_relu:
      return first.alpha == 0 ? ImageActivation::relu() : ImageActivation{Kind::kLeakyRelu, first.alpha, 0};
    case algorithm::eltwise_clip:
      return ImageActivation{Kind::kClip, first.alpha, first.beta};
    case algorithm::eltwise_hardswish:
      return ImageActivation{Kind::kHardSwish, 0, 0};
    case algorithm::eltwise_logistic:
      return ImageActivation{Kind::kSigmoid, 1, 0};
    case algorithm::eltwise_swish:
      return ImageActivation{Kind::kSwish, first.alpha, 0};
    default:
      return std::nullopt;
  }
}

std::unique_ptr<OwnStep> make_winograd_step(const kernels::Winograd& winograd, const ImageActivation& activation) {
  return std::make_unique<WinogradStep>(winograd, activation);
}

std::unique_ptr<OwnStep> make_depthwise_step(const kernels::Depthwise& depthwise, const ImageActivation& activation) {
  return std::make_unique<DepthwiseStep>(depthwise, activation);
}

std::unique_ptr<OwnStep> make_pointwise_depthwise_step(const kernels::PointwiseDepthwise& both,
                                                       const ImageActivation& pointwise_activation,
                                                       const ImageActivation& activation) {
  return std::make_unique<PointwiseDepthwiseStep>(both, pointwise_activation, activation);
}

}  // namespace lanner::backends::onednn
