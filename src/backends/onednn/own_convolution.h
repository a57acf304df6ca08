// Convolutions of our own (kernels/winograd.h, kernels/depthwise.h, kernels/pointwise_depthwise.h) as steps of a plan.
#pragma once

#include <memory>
#include <optional>

#include "backends/onednn/operators.h"
#include "backends/onednn/plan.h"
#include "kernels/depthwise.h"
#include "kernels/pointwise_depthwise.h"
#include "kernels/winograd.h"

namespace lanner::backends::onednn {

// `function` as they apply it to what they sum up; nothing where they cannot.
std::optional<kernels::ImageActivation> image_activation(const Elementwise& function);

// On the buffers input, weights, bias or none, residual or none, output.
std::unique_ptr<OwnStep> make_winograd_step(const kernels::Winograd& winograd,
                                            const kernels::ImageActivation& activation);

// On the buffers input, weights, bias or none, output.
std::unique_ptr<OwnStep> make_depthwise_step(const kernels::Depthwise& depthwise,
                                             const kernels::ImageActivation& activation);

// On the buffers input, weights and bias or none of the pointwise convolution, those of the depthwise one, output.
std::unique_ptr<OwnStep> make_pointwise_depthwise_step(const kernels::PointwiseDepthwise& both,
                                                       const kernels::ImageActivation& pointwise_activation,
                                                       const kernels::ImageActivation& activation);

}  // namespace lanner::backends::onednn
