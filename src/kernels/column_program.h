// What lanner.ColumnMap computes, as its attributes say it: a straight-line program over the columns of its inputs, run
// for every row. The compiler writes it, the kernel reads it; nothing is computed here.
//
// A value of few columns and many rows is a tensor whose axes are outer columns, rows, inner columns; a column's number
// counts outer columns first. In the attributes:
//   layouts  one string an input, a letter an axis: `r` one of the rows' (neighbours, in order), `c` one of the
//            columns'. "crc" for boxes [1,8732,4], "cr" for [4,8732]. Without `r` a column is one number for all rows.
//   steps    one string a step, operator and operands: "Mul x0.2 0.5" takes column 2 of input 0; "Exp t3" takes the
//            result of step 3.
//   results  one string an output, its shape and its columns: "r 4 = t3 t4 t5 t6". The shape's numbers are columns,
//            `r` is the rows; rows of several axes have their sizes: "3 80r 80r 2 = ...".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tensor/attributes.h"

namespace lanner::kernels {

// Arithmetic as the ONNX operators of that name define it. AtLeast and AtMost are the two halves of Clip: x < b ? b : x
// and x > b ? b : x.
enum class ColumnOp : std::uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMin,
  kMax,
  kAtLeast,
  kAtMost,
  kNeg,
  kAbs,
  kSqrt,
  kReciprocal,
  kExp,
  kSigmoid,
};
inline constexpr std::size_t kColumnOpCount = 14;

std::string_view column_op_name(ColumnOp op);
int operand_count(ColumnOp op);

struct InputColumn {
  std::uint32_t input;
  std::uint32_t column;
  friend bool operator==(const InputColumn&, const InputColumn&) = default;
};
struct StepResult {
  std::uint32_t step;
  friend bool operator==(const StepResult&, const StepResult&) = default;
};
using ColumnOperand = std::variant<float, InputColumn, StepResult>;

struct ColumnStep {
  ColumnOp op;
  std::vector<ColumnOperand> operands;
};

struct ColumnResult {
  struct Axis {
    std::int64_t size;  // kOpen: what the rows leave
    bool is_row;
  };
  static constexpr std::int64_t kOpen = -1;

  std::vector<Axis> axes;
  std::vector<ColumnOperand> columns;

  // Product of the columns' axes behind the rows.
  std::int64_t inner_columns() const;
};

struct ColumnProgram {
  // Of columns of one value; what is wider is no box.
  static constexpr std::int64_t kMaxColumns = 64;

  std::vector<std::string> layouts;
  std::vector<ColumnStep> steps;
  std::vector<ColumnResult> results;

  bool has_rows(std::uint32_t input) const { return layouts[input].find('r') != std::string::npos; }
  // Whether the operand is one number for all rows.
  bool is_repeated(const ColumnOperand& operand) const;
};

tensor::Attributes column_attributes(const ColumnProgram& program);
// Throws `op.attribute` for anything that is no program of so many inputs and outputs: every operand of the result
// exists, every step and every output has rows. Column numbers are known to fit their inputs only when these are seen.
ColumnProgram read_column_program(const tensor::Attributes& attributes, int input_count, int output_count);

}  // namespace lanner::kernels
