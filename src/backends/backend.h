// The run-time face of a backend: building a subgraph from the block that describes it, and running it. Backends see no
// graph and no compiler; what they accept is asked in placement/, at compile time. backends.cpp lists them.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "kernels/kernel.h"
#include "profile/recorder.h"
#include "program/program.h"

namespace lanner::backends {

struct BuildOptions {
  int threads = 1;  // that a run of the subgraph will have
};

// A built subgraph: primitives, packed weights. Belongs to the loaded program and is shared by its sessions: run() may
// be called from several threads at once, each with its own context.
class CompiledSubgraph {
 public:
  virtual ~CompiledSubgraph() = default;
  // Reads the context's inputs (the block's inputs in order), makes its outputs (the block's outputs in order). Shapes
  // may differ from run to run where the block's types leave them open. With a recorder, leaves child events.
  virtual void run(kernels::KernelContext& context, profile::Recorder* recorder) const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  // `block` and `constants` outlive the result. Throws Error for a block the backend cannot run.
  virtual std::unique_ptr<CompiledSubgraph> build(const program::Block& block, std::span<const Tensor> constants,
                                                  const BuildOptions& options) const = 0;
};

// Null for a backend that this build does not have.
const Backend* find_backend(std::string_view name);
std::span<const Backend* const> all_backends();

}  // namespace lanner::backends
