// Subgraphs whose inputs differ from run to run in the number of rows alone, as the box heads of detectors with
// proposals do: each row (a region) is computed by itself, so a plan for more rows serves fewer.
#pragma once

#include <cstdint>
#include <span>

#include "backends/onednn/plan.h"
#include "program/program.h"

namespace lanner::backends::onednn {

// Whether all inputs and outputs of the block have the rows as their first dimension, which the block leaves open, and
// each row of the outputs depends on the same row of the inputs only.
bool is_row_wise(const program::Block& block, std::span<const Tensor> constants);

// Runs a plan for `plan_rows` rows on the context's inputs, which have fewer: copies of them with rows of zeros behind.
// The context's outputs get as many rows as its inputs have.
void run_with_fewer_rows(const Plan& plan, std::int64_t plan_rows, kernels::KernelContext& context,
                         profile::Recorder* recorder);

}  // namespace lanner::backends::onednn
