// What each backend takes: asked for every node at compile time, answered with yes or the reason why not. Native takes
// every node and is not asked.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "ir/graph.h"

namespace lanner::placement {

struct Verdict {
  bool accepted = false;
  std::string reason;  // in words, where not accepted

  static Verdict yes() { return {true, {}}; }
  template <typename... Args>
  static Verdict no(fmt::format_string<Args...> format, Args&&... args) {
    return {false, fmt::format(format, std::forward<Args>(args)...)};
  }
};

// float32 convolutions, products, pooling and what lies between them. Batch and spatial sizes may be open; ranks,
// weights and parameters must be known.
Verdict accept_onednn(const ir::Graph& graph, const ir::Node& node);

}  // namespace lanner::placement
