// The rewrite rules in the order they run.
#pragma once

#include <functional>
#include <span>

#include "passes/engine.h"

namespace lanner::passes {

struct PipelineOptions : EngineOptions {
  // Fills in what can be known of the types of values, nested graphs included. Called whenever rules have made more of
  // them knowable; without it rules know only what the graph came with.
  std::function<void(Graph&)> infer_shapes;
};

// All rules, each once, in the order in which passes first name them.
std::span<const Rule* const> rules();

std::span<const Pass> passes();

// Rewrites the graph in place. Throws `rule.unknown` for a disabled rule or pass that does not exist, and what the engine and
// `infer_shapes` throw.
Report run_pipeline(Graph& graph, const PipelineOptions& options);

}  // namespace lanner::passes
