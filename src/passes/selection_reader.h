// How Selections reads a graph: for each operator, what its result means, given what its inputs mean. The methods are
// in three files by what they are about: selection_layout.cpp (axes), selection_rows.cpp (picking rows) and
// selection_numbers.cpp (shapes, limits and fills). What no method knows means nothing. Only for these files.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "passes/match.h"
#include "passes/selection.h"

namespace lanner::passes {

class Reader {
 public:
  explicit Reader(Selections& selections) : s_(selections), graph_(selections.graph_) {}

  // Nodes come in order. Says what the outputs mean.
  void read(NodeId id);

 private:
  using Kind = Meaning::Kind;

  // No axis is longer, so an end beyond it is no limit.
  static constexpr std::int64_t kForever = std::numeric_limits<std::int32_t>::max();

  static std::size_t at(int axis) { return static_cast<std::size_t>(axis); }
  static bool is_int(ElementType type) { return type == ElementType::kInt64 || type == ElementType::kInt32; }
  // The axis counted from 0, or nothing when it does not exist.
  static std::optional<int> axis_of(std::int64_t axis, int rank) {
    if (axis < -rank || axis >= rank) return std::nullopt;
    return static_cast<int>(axis < 0 ? axis + rank : axis);
  }
  static Number constant_number(std::int64_t constant) {
    Number number;
    number.kind = Number::Kind::kConstant;
    number.constant = constant;
    return number;
  }
  // The smaller of two numbers; nothing where that cannot be told.
  static std::optional<Number> smaller(const Number& a, const Number& b) {
    if (a.kind != Number::Kind::kConstant || b.kind != Number::Kind::kConstant) return std::nullopt;
    return a.constant <= b.constant ? a : b;
  }

  void store(ValueId value, std::optional<Meaning> meaning);
  // What output 0 means, or nothing.
  std::optional<Meaning> read(NodeId id, const Node& node);
  // What a value is known to mean; every tensor at least shows itself.
  std::optional<Meaning> known(ValueId value);

  // Axes.
  // The elements stay, under other axes.
  static std::optional<Meaning> with_layout(Meaning meaning, std::optional<View> layout);
  // One column of NonMaxSuppression's triples is a list of numbers.
  static std::optional<Meaning> normal(Meaning meaning);
  std::optional<Meaning> squeeze(const Node& node);
  std::optional<Meaning> unsqueeze(const Node& node);
  std::optional<Meaning> reshape(const Node& node);
  std::optional<Meaning> flatten(const Node& node);
  std::optional<Meaning> transpose(const Node& node);
  // The first `end` rows of a ranking.
  std::optional<Meaning> cut(Meaning meaning, std::int64_t end);
  // Elements start, start + step, ... of one axis.
  std::optional<Meaning> pick(Meaning meaning, int axis, std::int64_t start, std::int64_t step, std::int64_t count);
  std::optional<Meaning> slice(const Node& node);
  void split(const Node& node);

  // Rows.
  std::optional<Meaning> gather(const Node& node);
  // The rows that `indices` name; null when it names none.
  std::optional<Meaning> index_list(ValueId indices);
  // Rows at padded numbers.
  std::optional<Meaning> gather_padded(const Meaning& data, int axis, const Meaning& index);
  std::optional<Meaning> gather_rows(const Meaning& data, int axis, ValueId indices);
  // `data` at the rows that `index` names, which take the place of one axis.
  std::optional<Meaning> picked(const Meaning& data, int axis, const Meaning& index);
  // Whether an axis has as many elements as there are rows to pick from.
  bool same_size(const View& view, int axis, const Rows& rows);
  // Rows to be picked from `parent` by the scores along `axis` of `scores`, whose other axes are of size 1.
  Rows rows_from(RowsRef parent, const View& scores, int axis, NodeId node);
  // The name of the unknown dimension that the open axis comes from.
  std::string open_symbol(const View& view);
  std::optional<Meaning> gather_nd(const Node& node);
  std::optional<Meaning> above(ValueId scores, ValueId threshold);
  // The rows where a mask of one axis is true.
  RowsRef rows_of(const Meaning& mask, NodeId node);
  std::optional<Meaning> non_zero(NodeId id, const Node& node);
  std::optional<Meaning> compress(NodeId id, const Node& node);
  // The limit as NonMaxSuppression takes it, which picks from `among` and so needs no cap at how many these are.
  std::optional<Number> limit(ValueId value, const RowsRef& among);
  // `limit` where the value is min(limit, how many rows `among` has); nothing otherwise.
  std::optional<Number> cap_of(ValueId value, const RowsRef& among);
  void top(NodeId id);
  // A float32 constant or value of one element, or absent.
  bool is_scalar(ValueId value);
  std::optional<Meaning> suppress(NodeId id, const Node& node);

  // Numbers and fills.
  std::optional<std::vector<Number>> numbers(ValueId value);
  // A float32 constant of one element that is a small whole number.
  std::optional<std::vector<Number>> whole_numbers(ValueId value);
  // The value of one element that `value` shows under other axes; otherwise `value`.
  ValueId scalar(ValueId value);
  std::optional<Number> number(ValueId value);
  static Meaning of_numbers(std::vector<Number> numbers, bool scalar = false);
  std::optional<Meaning> cast(const Node& node);
  // Some exporters take the smaller of two integers as float32.
  static std::optional<Meaning> float_cast(Meaning meaning, ElementType to);
  std::optional<Meaning> shape(const Node& node);
  // A list, brought up to a known length.
  std::optional<Meaning> padded(const Node& node);
  std::optional<Meaning> concat(const Node& node);
  // The smaller of a limit and a length.
  static std::optional<Number> capped(const Number& a, const Number& b);
  std::optional<Meaning> min(const Node& node);
  // How many rows are missing up to a number that they never exceed.
  std::optional<Meaning> rest(const Node& node);
  std::optional<Meaning> reduce_min(const Node& node);
  // One element for each of some rows.
  std::optional<Meaning> fill_over(const std::vector<Number>& dims, Tensor element);
  std::optional<Meaning> fill_shape(const Node& node);
  std::optional<Meaning> expand(const Node& node);
  // An elementwise operator on equal elements makes equal elements.
  std::optional<Meaning> fill_arithmetic(const Node& node);

  Selections& s_;
  const Graph& graph_;
};

}  // namespace lanner::passes
