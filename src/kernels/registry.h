// Finding an operator's kernel, and running one outside a program (constant folding, tests).
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernels/kernel.h"

namespace lanner::kernels {

// How an operator's outputs relate to its inputs' memory; the memory plan relies on it.
enum class Aliasing : std::uint8_t {
  kNone,   // outputs are new memory
  kView,   // output 0 may share input 0's memory
  kReuse,  // output 0 may take input 0's memory over where nobody else needs it
};

struct OperatorRow {
  std::string_view name;  // as ONNX spells it; all of the default domain
  MakeKernel make;
  Aliasing aliasing;
};

// Null for an operator that has no kernel. If and Loop are the VM's and not listed.
const OperatorRow* find_operator(std::string_view name);
// All rows, sorted by name.
std::span<const OperatorRow> operators();

// Runs an operator once on the heap. `inputs` may hold undefined tensors for absent inputs.
std::vector<Value> run_operator(std::string_view name, const tensor::Attributes& attributes,
                                std::span<const Tensor> inputs, int output_count = 1, int threads = 1);

}  // namespace lanner::kernels
