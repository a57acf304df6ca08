// The run-time face of a backend: building a subgraph from the block that describes it, running it, and finding out by
// measuring which algorithms suit its instructions. Backends see no graph and no compiler; what they accept is asked in
// placement/, at compile time. backends.cpp lists them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel.h"
#include "profile/recorder.h"
#include "program/program.h"

namespace lanner::backends {

// The attribute of an instruction inside a subgraph that names the algorithm to run it with, and that of the subgraph's
// instruction with the Backend::tuning_target() for which the names were chosen. Where the target is another one they
// have no effect; without it they hold everywhere.
inline constexpr std::string_view kAlgorithmAttribute = "algorithm";
inline constexpr std::string_view kTunedForAttribute = "tuned_for";

// The attribute of a convolution that says what its packed weights may take: "fast", the default, as much as the
// fastest algorithm wants; "small", no more than plain weights.
inline constexpr std::string_view kMemoryAttribute = "memory";

struct BuildOptions {
  int threads = 1;          // that a run of the subgraph will have
  std::string tuned_for{};  // the subgraph's kTunedForAttribute; empty: it has none
};

enum class TuneLevel : std::uint8_t { kOff, kFast, kFull };

// Of an algorithm: how long it took, with what had to be done to its inputs only for it.
struct Timing {
  std::string algorithm;
  double us = 0;

  bool operator==(const Timing&) const = default;
};

// What is known of a problem. Measured together, so that the times can be compared.
struct Measurement {
  std::vector<Timing> timings;
  TuneLevel level = TuneLevel::kFast;  // how thoroughly

  // Null where the algorithm was not measured.
  const Timing* find(std::string_view algorithm) const {
    const auto found = std::ranges::find(timings, algorithm, &Timing::algorithm);
    return found != timings.end() ? &*found : nullptr;
  }
  bool operator==(const Measurement&) const = default;
};
using Measurements = std::map<std::string, Measurement, std::less<>>;  // by Choice::problem

// An instruction that backends have algorithms for, and which of them it runs with.
struct Choice {
  struct Candidate {
    std::string algorithm;
    double expected = 0;      // time, in a unit that the candidates share; infinite: not expected to be of use
    double weight_bytes = 0;  // that it packs
  };

  std::size_t instruction = 0;  // of the block
  bool with_producer = false;   // times are its own and those of the instruction before, which a candidate does, too
  std::string problem;  // all that the times depend on, in words; empty while the shapes of the block's inputs are open
  double macs = 0;      // products and sums that the direct algorithm needs
  std::vector<Candidate> candidates;  // the least expected time first
  std::string algorithm;
};

struct TuneOptions {
  int threads = 1;
  TuneLevel level = TuneLevel::kFast;  // not kOff
  std::function<void(double fraction)> progress = [](double) {};
};

// What an algorithm counts as that takes `time` and packs so many bytes of weights: memory has a price, and a megabyte
// of it must gain half a percent. Otherwise the last few percent of speed would cost several times the model's size.
inline double priced(double time, double weight_bytes) {
  constexpr double kPerMebibyte = 0.005;
  return time * (1 + kPerMebibyte * weight_bytes / (1 << 20));
}

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
  // Whether, on this CPU, it multiplies bfloat16 in instructions whose attribute `precision` is "bf16".
  virtual bool computes_bf16() const { return false; }
  // `block` and `constants` outlive the result. Throws Error for a block the backend cannot run.
  virtual std::unique_ptr<CompiledSubgraph> build(const program::Block& block, std::span<const Tensor> constants,
                                                  const BuildOptions& options) const = 0;

  // What the result of tune() depends on beside the number of threads: the CPU and the versions of libraries. One line.
  virtual std::string tuning_target() const { return {}; }
  // The algorithms with which build() would run the block's instructions. Throws what build() does.
  virtual std::vector<Choice> choices(const program::Block& /*block*/, std::span<const Tensor> /*constants*/,
                                      const BuildOptions& /*options*/) const {
    return {};
  }
  // The same with algorithms chosen by time: of problems that are not in `measurements` as thoroughly as wanted, the
  // candidates are measured and added, by running the block on made-up inputs. Where the shapes of its inputs are open,
  // nothing is measured.
  virtual std::vector<Choice> tune(const program::Block& /*block*/, std::span<const Tensor> /*constants*/,
                                   const TuneOptions& /*options*/, Measurements& /*measurements*/) const {
    return {};
  }
};

// Null for a backend that this build does not have.
const Backend* find_backend(std::string_view name);
std::span<const Backend* const> all_backends();

}  // namespace lanner::backends
