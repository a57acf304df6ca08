// What must hold of a program before anything runs it, whoever made it.
#pragma once

#include "program/program.h"

namespace lanner::program {

// Throws `program.invalid`, naming the instruction, unless: every index is in range; every slot is written at most once
// and before it is read; dependencies are earlier instructions and hold at least the producers of the inputs; operators
// have kernels, and If, Loop and subgraphs have the blocks, inputs and outputs their kind needs; constants fit their
// slots. A program that passes can still fail at run time (shapes, attributes), with an Error and never a fault.
void verify(const Program& program);

}  // namespace lanner::program
