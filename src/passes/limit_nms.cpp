// limit-nms: a NonMaxSuppression of one image and one class, of whose boxes only the first n are read, keeps no more
// than n. Boxes are kept in the order of their scores, so what comes later does not matter to them: PyTorch's nms has
// no bound, and detectors cut its result to the number of detections that they give.
#include <algorithm>
#include <optional>
#include <string_view>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"NonMaxSuppression", "GroupNonMaxSuppression"};

// Nodes between the boxes and where they are cut.
constexpr int kMostSteps = 8;

// How many rows of a value, from the first on, are read; nothing where that may be all.
std::optional<std::int64_t> rows_read(const Graph& graph, ValueId value, int steps);

// Of the rows of its first input `user` reads so many; nothing where that may be all.
std::optional<std::int64_t> rows_read_by(const Graph& graph, const Node& user, ValueId value, int steps) {
  if (!user.domain.empty() || user.inputs[0] != value || std::ranges::count(user.inputs, value) != 1)
    return std::nullopt;
  const int rank = rank_of(graph, value);
  if (rank < 1) return std::nullopt;
  const ValueId output = user.outputs[0];
  if (user.op == "Cast" || user.op == "Identity") return rows_read(graph, output, steps);
  if (user.op == "Gather") {  // of columns
    if (known_axis(user.attributes.get_int("axis", 0), rank).value_or(0) == 0) return std::nullopt;
    return rows_read(graph, output, steps);
  }
  if (user.op == "Squeeze") {
    const auto axes = constant_ints(graph, input(user, 1));
    if (!axes) return std::nullopt;
    for (const std::int64_t axis : *axes) {
      if (known_axis(axis, rank).value_or(0) == 0) return std::nullopt;
    }
    return rows_read(graph, output, steps);
  }
  if (user.op == "Reshape" || user.op == "Flatten") {  // of one column
    const ValueType& type = type_of(graph, value);
    const bool column =
        std::all_of(type.dims.begin() + 1, type.dims.end(), [](const auto& dim) { return dim.size == 1; });
    const ValueType& result = type_of(graph, output);
    if (!column || !result.ranked || result.dims.empty()) return std::nullopt;
    const bool stays =
        std::all_of(result.dims.begin() + 1, result.dims.end(), [](const auto& dim) { return dim.size == 1; });
    return stays ? rows_read(graph, output, steps) : std::nullopt;
  }
  if (user.op != "Slice") return std::nullopt;
  const auto taken = sliced_axis(graph, user);
  if (!taken) return std::nullopt;
  if (taken->axis != 0) return rows_read(graph, output, steps);
  if (taken->step < 0 || taken->start < 0 || taken->end < 0) return std::nullopt;  // from the end
  return taken->end;
}

std::optional<std::int64_t> rows_read(const Graph& graph, ValueId value, int steps) {
  if (value == kNoValue) return 0;
  if (steps == 0 || graph.is_output(value)) return std::nullopt;
  std::int64_t most = 0;
  for (const NodeId user : graph.value(value).users) {
    const auto rows = rows_read_by(graph, graph.node(user), value, steps - 1);
    if (!rows) return std::nullopt;
    most = std::max(most, *rows);
  }
  return most;
}

Verdict limit(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const bool grouped = node.op == "GroupNonMaxSuppression";
  if (node.domain != (grouped ? "lanner" : "") || node.outputs[0] == kNoValue) return no_match();
  // Without a bound NonMaxSuppression keeps nothing.
  const std::size_t place = grouped ? 3 : 2;
  const std::optional<double> present = constant_scalar(graph, input(node, place));
  const auto wanted = rows_read(graph, node.outputs[0], kMostSteps);
  if (!present || !wanted || *wanted < 1 || static_cast<double>(*wanted) >= *present) return no_match();
  const ValueType& scores = type_of(graph, node.inputs[1]);
  const bool one_list =
      scores.ranked && scores.dims.size() == 3 && scores.dims[0].size == 1 && scores.dims[1].size == 1;
  if (!one_list) return near_miss("boxes and scores are not known to be of one image and one class");
  Node bounded = copy_node(node);
  bounded.inputs[place] = edit.constant(int_tensor({*wanted}));
  edit.replace(node.outputs[0], edit.node(std::move(bounded), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kLimitNms{"limit-nms", "Makes a NonMaxSuppression keep no more boxes than what follows it reads.",
                               kOps, limit};

}  // namespace lanner::passes
