// What the values of a detection head mean: which rows of which values they hold, and how those rows were chosen. A
// head picks rows by score (Greater, NonZero), by rank (TopK) and by overlap (NonMaxSuppression), again and again, and
// reads boxes, scores and labels at the rows it picked. Reading each value as such a selection leaves nothing of how an
// exporter spelled it: by which nodes, in which order, through which casts and reshapes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "passes/rule.h"
#include "passes/view.h"

namespace lanner::passes {

struct Rows;
using RowsRef = std::shared_ptr<const Rows>;

// An integer of a shape or a limit, as far as it is known.
struct Number {
  enum class Kind : std::uint8_t {
    kUnknown,
    kConstant,  // `constant`
    kValue,     // the one element of `value`
    kLength,    // how many rows there are
    kCapped,    // that, but at most `constant` or, where that is set, the one element of `value`
  };
  Kind kind = Kind::kUnknown;
  std::int64_t constant = 0;
  ValueId value = kNoValue;
  RowsRef rows;
  bool rounded = false;  // kLength: to float32

  bool is(std::int64_t number) const { return kind == Kind::kConstant && constant == number; }
};
bool same_number(const Number& a, const Number& b);

// A list of rows, picked from the rows of `parent` (null: from all there are, in order). Two lists that read the same
// are the same at run time.
struct Rows {
  enum class Kind : std::uint8_t {
    kAbove,  // where the score is above the threshold, in order
    kTop,    // the `limit` of largest score, in descending order as TopK has it
    kKept,   // what NonMaxSuppression keeps, in its order
  };
  Kind kind = Kind::kAbove;
  RowsRef parent;
  std::int64_t all_count = View::kOpen;  // how many rows there are before any are picked, or kOpen
  std::string all_symbol;                // the name of that dimension where it is open; rows of one name are as many
  View scores;                           // one open axis
  ValueId threshold = kNoValue;          // kAbove: one element
  Number limit;                          // kTop, kKept: constant or value
  View boxes;                            // kKept: one open axis and one of 4
  ValueId iou_threshold = kNoValue;      // kKept: one element or absent
  ValueId score_threshold = kNoValue;    // the same
  bool centered = false;                 // kKept: boxes are given by their centre
  NodeId node = kNoNode;                 // NonZero or Compress, TopK, NonMaxSuppression
};
// Whether both values are the same one, or constants of one element that are equal to the bit. Both may be absent.
bool same_scalar(const Graph& graph, ValueId a, ValueId b);
bool same_rows(const Graph& graph, const RowsRef& a, const RowsRef& b);

// What is known of one value. `layout` has the value's axes; where `rows` is set, they are along its open axis.
struct Meaning {
  enum class Kind : std::uint8_t {
    kData,     // elements of this value or another: those that `layout` shows, at `rows`
    kMask,     // true where the data that `layout` and `rows` show is above `threshold`; a cast of that
    kIndex,    // the numbers of `rows` among the rows of `among` (null: among all)
    kTriples,  // what NonMaxSuppression makes for `rows`, one batch and one class, and columns of it
    kFill,     // `fill`, once for each of `rows`
    kNumbers,  // `numbers`, of rank 0 or 1
  };
  Kind kind = Kind::kData;
  View layout;
  RowsRef rows;
  RowsRef among;
  ValueId threshold = kNoValue;
  Tensor fill;  // of one element
  std::vector<Number> numbers;
};

// The meanings of all values of a graph, read once; valid until the graph changes.
class Selections {
 public:
  explicit Selections(const Graph& graph);

  const Graph& graph() const { return graph_; }
  // Null where nothing is known.
  const Meaning* of(ValueId value) const;

 private:
  friend class Reader;
  const Graph& graph_;
  std::unordered_map<ValueId, Meaning> meanings_;
};

}  // namespace lanner::passes
