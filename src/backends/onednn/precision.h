// Which numbers a block is computed with. An instruction whose attribute `precision` is "bf16" may multiply bfloat16,
// the sums being float32; with "bf16-always" it does so even where that is slower, which shows what it may do to
// results. Without it, or on a CPU that cannot, all is float32. Values that only such instructions read, be it through
// operators that take them as they come, are kept in bfloat16.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/onednn/engine.h"
#include "program/program.h"

namespace lanner::backends::onednn {

enum class Bf16 : std::uint8_t { kNo, kMay, kMust };

// What the instruction does on this CPU. Throws `op.attribute` for a precision that is none.
Bf16 use_of_bf16(const program::Instruction& instruction);

// What each slot is kept as, in which whoever writes it may choose to leave float32. Inputs, outputs and constants of
// the block are float32.
std::vector<Number> numbers_of(const program::Block& block);

}  // namespace lanner::backends::onednn
