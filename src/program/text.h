// The text form of a program. It round-trips: parse(print(p)) is p. In a .lanner file the same text is the program
// section, with the constants' bytes elsewhere; on its own, the text holds them too.
//
//   program 1
//   property "lanner.detect.classes" "cat,dog"
//   constant 0 float32[2]{0.5, 1}
//   constant 1 @0 float32[64,3,3,3]
//   output "boxes"
//   output "scores"
//   main {
//     slot 0 "image" float32[1,3,?,300]
//     ...
//     inputs(0)
//     const 1 0
//     3 = Relu(0) name "relu_1"
//     5 = LeakyRelu(3) with {alpha=0.5f} after(0)
//     7, 8 = If(6, 5) after(1) captures 1 block then_branch { ... } block else_branch { ... }
//     outputs(7, 8)
//   }
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "program/program.h"

namespace lanner::program {

// How constants are written: `constant_text(index)` is what follows the number, by default the whole tensor. (The
// program file writes a type and an offset instead.)
std::string print(const Program& program, const std::function<std::string(std::uint32_t)>& constant_text = {});

// Finds the tensor of a constant whose text is `@offset type`.
using ResolveConstant = std::function<Tensor(ElementType type, const Shape& shape, std::int64_t offset)>;

// Throws `program.syntax`, with line and column. The result still has to pass verify().
Program parse(std::string_view text, const ResolveConstant& resolve = {});

}  // namespace lanner::program
