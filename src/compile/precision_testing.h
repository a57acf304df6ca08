// A program for the tests of precision: a dense part, a selection, and a dense part after it.
#pragma once

#include <fmt/format.h>

#include <random>
#include <string>
#include <string_view>

#include "lanner/program.h"
#include "program/program.h"
#include "program/text.h"

namespace lanner::compiler::testing {

inline std::string constant_text(int rows, int columns, unsigned seed) {
  std::mt19937 random(seed);
  std::string text = fmt::format("float32[{},{}]{{", rows, columns);
  for (int i = 0; i < rows * columns; ++i) {
    text += fmt::format("{}{:.4f}", i == 0 ? "" : ", ", std::normal_distribution<float>()(random));
  }
  return text + "}";
}

// y = x · a, which is also an output; z = the `rows` rows of y whose largest elements are the largest, · b.
inline program::Program two_dense_parts(int rows) {
  return program::parse(fmt::format(R"(program 1
constant 0 {}
constant 1 {}
constant 2 int64[1]{{1}}
constant 3 int64[1]{{{}}}
output "y"
output "z"
main {{
  slot 0 "x" float32[40,64]
  slot 1 "y" float32[40,64]
  slot 2 "axis" int64[1]
  slot 3 "largest" float32[40]
  slot 4 "count" int64[1]
  slot 5 "indices" int64[{}]
  slot 6 "picked" float32[{},64]
  slot 7 "z" float32[{},48]
  inputs(0)
  const 2 2
  const 4 3
  1 = Subgraph(0) on onednn block body {{
    slot 0 "x" float32[40,64]
    slot 1 "a" float32[64,64]
    slot 2 "y" float32[40,64]
    inputs(0)
    const 1 0
    2 = MatMul(0, 1)
    outputs(2)
  }}
  3 = ReduceMax(1, 2) with {{keepdims=0}} after(0)
  _, 5 = TopK(3, 4) with {{axis=0}} after(1)
  6 = Gather(1, 5) with {{axis=0}} after(0, 2)
  7 = Subgraph(6) on onednn after(3) block body {{
    slot 0 "picked" float32[{},64]
    slot 1 "b" float32[64,48]
    slot 2 "z" float32[{},48]
    inputs(0)
    const 1 1
    2 = MatMul(0, 1)
    outputs(2)
  }}
  outputs(1, 7)
}}
)",
                                    constant_text(64, 64, 1), constant_text(64, 48, 2), rows, rows, rows, rows, rows,
                                    rows));
}

}  // namespace lanner::compiler::testing
