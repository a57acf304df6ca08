#include "backends/onednn/winograd.h"

namespace lanner::backends::onednn {

namespace {

using dnnl::algorithm;
using kernels::WinogradActivation;

class WinogradStep final : public OwnStep {
 public:
  WinogradStep(const kernels::Winograd& winograd, const WinogradActivation& activation)
      : winograd_(winograd), activation_(activation) {}

  void run(std::span<void* const> buffers, void* scratch, int threads) const override {
    const auto floats = [&](std::size_t index) { return static_cast<float*>(buffers[index]); };
    winograd_.run({buffers[0], floats(1), floats(2), buffers[3], buffers[4], scratch, activation_}, threads);
  }

  std::size_t scratch_bytes() const override { return winograd_.scratch_bytes(); }

 private:
  kernels::Winograd winograd_;
  WinogradActivation activation_;
};

}  // namespace

std::optional<WinogradActivation> winograd_activation(const Elementwise& function) {
  using Kind = WinogradActivation::Kind;
  if (function.empty()) return WinogradActivation::none();
  const ElementwiseStep& first = function[0];
  if (function.size() == 2) {
    const ElementwiseStep& second = function[1];
    const bool hard_sigmoid = first.algorithm == algorithm::eltwise_linear &&
                              second.algorithm == algorithm::eltwise_clip && second.alpha == 0 && second.beta == 1;
    if (!hard_sigmoid) return std::nullopt;
    return WinogradActivation{Kind::kHardSigmoid, first.alpha, first.beta};
  }
  if (function.size() != 1) return std::nullopt;
  switch (first.algorithm) {
    case algorithm::eltwise_relu:
      return first.alpha == 0 ? WinogradActivation::relu() : WinogradActivation{Kind::kLeakyRelu, first.alpha, 0};
    case algorithm::eltwise_clip:
      return WinogradActivation{Kind::kClip, first.alpha, first.beta};
    case algorithm::eltwise_hardswish:
      return WinogradActivation{Kind::kHardSwish, 0, 0};
    case algorithm::eltwise_logistic:
      return WinogradActivation{Kind::kSigmoid, 1, 0};
    case algorithm::eltwise_swish:
      return WinogradActivation{Kind::kSwish, first.alpha, 0};
    default:
      return std::nullopt;
  }
}

std::unique_ptr<OwnStep> make_winograd_step(const kernels::Winograd& winograd, const WinogradActivation& activation) {
  return std::make_unique<WinogradStep>(winograd, activation);
}

}  // namespace lanner::backends::onednn
