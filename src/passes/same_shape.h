// Whether two values always have the same shape, known in numbers or not. Of a model with a free image size no spatial
// dimension is known, and of picked rows nobody knows how many there will be, but what is made of them in the same way
// is as large.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "passes/rule.h"

namespace lanner::passes {

// Whether both are known to be the same size, as a number or by name.
inline bool same_size(const tensor::Dim& a, const tensor::Dim& b) {
  return a.known() ? a.size == b.size : !b.known() && !a.symbol.empty() && a.symbol == b.symbol;
}

// What a convolution does to a spatial dimension n: floor((n + slack) / stride) + 1.
struct SizeWindow {
  std::int64_t slack;
  std::int64_t stride;
  bool keeps() const { return slack == -1 && stride == 1; }
  friend bool operator==(const SizeWindow&, const SizeWindow&) = default;
};

// Where the size of an axis comes from: the axis of the value that had it first, and the windows it passed on the way,
// last first. Equal origins are equal sizes.
struct SizeOrigin {
  std::int64_t size = -1;  // where it is known
  ValueId value = kNoValue;
  std::size_t axis = 0;
  std::vector<SizeWindow> windows = {};
  friend bool operator==(const SizeOrigin&, const SizeOrigin&) = default;
};

// Reads a graph, which must not change meanwhile.
class SizeOrigins {
 public:
  explicit SizeOrigins(const Graph& graph) : graph_(graph) {}

  // `axis` need not exist.
  const SizeOrigin& of(ValueId value, std::size_t axis);
  bool same_shape(ValueId a, ValueId b);

 private:
  SizeOrigin find(ValueId value, std::size_t axis);
  // The origin one step back, through the node that makes the value; nothing where it is not known.
  std::optional<SizeOrigin> through(const Node& node, ValueId value, std::size_t axis);
  std::optional<SizeOrigin> through_broadcast(const Node& node, std::size_t rank, std::size_t axis);
  std::optional<SizeOrigin> through_reshape(const Node& node, std::size_t axis);

  const Graph& graph_;
  std::map<std::pair<ValueId, std::size_t>, SizeOrigin> known_;
  int depth_ = 0;
};

bool same_shape(const Graph& graph, ValueId a, ValueId b);

}  // namespace lanner::passes
