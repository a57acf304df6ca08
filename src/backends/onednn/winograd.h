// Winograd convolution of our own (kernels/winograd.h) as a step of a plan.
#pragma once

#include <memory>
#include <optional>

#include "backends/onednn/operators.h"
#include "backends/onednn/plan.h"
#include "kernels/winograd.h"

namespace lanner::backends::onednn {

// `function` as the last transform applies it; nothing where it cannot.
std::optional<kernels::WinogradActivation> winograd_activation(const Elementwise& function);

// On the buffers input, weights, bias or none, residual or none, output.
std::unique_ptr<OwnStep> make_winograd_step(const kernels::Winograd& winograd,
                                            const kernels::WinogradActivation& activation);

}  // namespace lanner::backends::onednn
