// Reads nodes as what they do to columns: a value of many rows and few columns is a list of columns, each an
// element-wise function of columns of other values. Slice, Split, Gather, Concat, Transpose, Reshape and the like only
// say which column is where; arithmetic makes new ones. What is not read means nothing, and then nobody builds on it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "kernels/column_program.h"
#include "passes/column_axes.h"
#include "passes/rule.h"

namespace lanner::passes {

// The number of rows: `factor`, times a dimension that is not known where `open` says which.
struct RowCount {
  std::int64_t factor = 1;
  int open = -1;
  friend auto operator<=>(const RowCount&, const RowCount&) = default;
};

// A column of a value that is read as it is; `layout` as in column_program.h.
struct SourceColumn {
  ValueId value;
  std::string layout;
  std::uint32_t column;
  friend bool operator==(const SourceColumn&, const SourceColumn&) = default;
};
// The result of ColumnReader::steps() at this position.
struct StepColumn {
  std::uint32_t step;
  friend bool operator==(const StepColumn&, const StepColumn&) = default;
};
using Column = std::variant<float, SourceColumn, StepColumn>;

// A value as columns: its axes are outer columns, rows [row_begin, row_end), inner columns.
struct ColumnForm {
  RowCount rows;
  int row_begin = 0;
  int row_end = 0;
  std::vector<Column> columns;

  bool computed() const;  // whether a column of it is
};

struct ReadStep {
  kernels::ColumnOp op;
  std::vector<Column> operands;
};

// What reading a node has found.
struct NodeReading {
  enum class Kind : std::uint8_t {
    kView,    // the same elements under another shape
    kMove,    // the same elements elsewhere
    kCompute  // new ones
  };
  Kind kind;
  bool rearranges;  // kMove: an element of the output is elsewhere in memory than before
  RowCount rows;
  std::vector<std::pair<ValueId, ColumnForm>> outputs;  // those that are narrow enough, in order

  static NodeReading of(Kind kind, ValueId output, ColumnForm form, bool rearranges = false) {
    const RowCount rows = form.rows;
    return {kind, rearranges, rows, {{output, std::move(form)}}};
  }
};

class ColumnReader {
 public:
  explicit ColumnReader(const Graph& graph) : graph_(graph) {}

  // Nothing where the node does something else, where rows do not match, or where a value is too wide; too_wide() then
  // tells the number of columns of an output, 0 for another reason. The forms of its inputs are those given to keep().
  std::optional<NodeReading> read(const Node& node);
  std::int64_t too_wide() const { return too_wide_; }
  // Builds on the reading from now on. Values without a form are read as they are.
  void keep(const NodeReading& reading);
  const ColumnForm* form(ValueId value) const;
  std::span<const ReadStep> steps() const { return steps_; }

 private:
  using Dims = AxisSizes;

  std::optional<Dims> dims_of(ValueId value) const;
  std::optional<RowCount> row_count(ValueId value, int begin, int end);
  std::optional<ColumnForm> source(ValueId value, int begin, int end);
  std::optional<ColumnForm> form_or_source(ValueId value, const Dims& narrowed);

  std::optional<NodeReading> read_operator(const Node& node);
  std::optional<NodeReading> read_compute(const Node& node);
  std::optional<std::vector<Column>> operand(ValueId value, const Dims& dims, const ColumnForm& shape);
  // column_moves.cpp
  std::optional<NodeReading> read_view(const Node& node);
  std::optional<NodeReading> read_transpose(const Node& node);
  std::optional<NodeReading> read_split(const Node& node);
  std::optional<NodeReading> read_slice(const Node& node);
  std::optional<NodeReading> read_gather(const Node& node);
  std::optional<NodeReading> read_concat(const Node& node);
  std::optional<ColumnForm> picked(const ColumnForm& from, const Dims& dims, const std::vector<Dims>& indices);
  Column add_step(kernels::ColumnOp op, std::vector<Column> operands);
  bool fits(const Dims& dims, int begin, int end);

  const Graph& graph_;
  std::unordered_map<ValueId, ColumnForm> forms_;
  std::vector<ReadStep> steps_;
  std::map<std::string, int> open_;  // dimensions that are not known, by what tells them apart
  std::int64_t too_wide_ = 0;
};

// Whether the node is one that read() may read as kCompute.
bool computes_columns(const Node& node);

}  // namespace lanner::passes
