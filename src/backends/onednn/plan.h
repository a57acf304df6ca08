// A subgraph made ready for one set of input shapes: primitives in order, with their memory laid out in one arena by
// lifetime. A Plan is immutable once finish() has run and is shared by all sessions; what a run changes (memory
// objects, which oneDNN binds to addresses) is in States, kept in a pool so that a run creates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "backends/onednn/engine.h"
#include "kernels/kernel.h"
#include "profile/recorder.h"
#include "program/program.h"

namespace lanner::backends::onednn {

// A piece of memory: where it is, and once the plan is finished, its offset.
struct Buffer {
  enum class Place : std::uint8_t {
    kInput,     // the run's input `index`
    kOutput,    // the run's output `index`
    kArena,     // the run's arena, at `offset`
    kConstant,  // `constant`
    kPart,      // buffer `index`, from `offset` on
  };
  Place place;
  int index = -1;
  std::size_t bytes = 0;
  std::size_t offset = 0;
  bool has_parts = false;
  std::shared_ptr<dnnl::memory> constant = nullptr;
};

// A buffer read or written in a layout.
struct Stored {
  int buffer = -1;
  Desc desc;
};

struct Argument {
  int kind;  // DNNL_ARG_...
  Stored stored;
};

// A step that a native kernel runs, on plain buffers and on constants of any type.
struct NativeCall {
  struct Input {
    int buffer = -1;  // or `constant`; neither: absent
    Shape shape;
    Tensor constant;
  };
  std::unique_ptr<kernels::Kernel> kernel;
  std::vector<Input> inputs;
  int output = -1;  // buffer
  Shape output_shape;
};

// A step of our own on buffers in any layout, which it and the plan's builder agree on. Immutable.
class OwnStep {
 public:
  virtual ~OwnStep() = default;
  // `buffers` are the addresses of those it was added with, null where there was none. `threads` is at most the plan's.
  virtual void run(std::span<void* const> buffers, void* scratch, int threads) const = 0;
  virtual std::size_t scratch_bytes() const = 0;
};

class Plan {
 public:
  explicit Plan(int threads);
  ~Plan();

  // Building, in the order the steps run. `label` and `instruction` outlive the plan.
  int add_buffer(Buffer buffer);
  const Buffer& buffer(int index) const { return buffers_[static_cast<std::size_t>(index)]; }
  void set_constant(int buffer, std::shared_ptr<dnnl::memory> memory) {
    buffers_[static_cast<std::size_t>(buffer)].constant = std::move(memory);
  }
  // Makes `part`, so far in the arena, the bytes of another buffer from `offset` on: both hold the same values then,
  // and neither may be computed upon in place.
  void place_inside(int part, int whole, std::size_t offset);
  void add_step(const dnnl::primitive& primitive, std::vector<Argument> arguments, const Desc& scratchpad,
                const profile::Label& label, const program::Instruction* instruction);
  void add_step(NativeCall call, const profile::Label& label, const program::Instruction* instruction);
  // A buffer below 0 is none.
  void add_step(std::unique_ptr<OwnStep> own, std::vector<int> buffers, const profile::Label& label,
                const program::Instruction* instruction);
  // The block's output `index` is what buffer `buffer` holds, plain, in the end.
  void return_buffer(int buffer, int index);
  // Lays out the arena. `output_shapes` are the block's outputs'.
  void finish(std::vector<Shape> output_shapes);

  int threads() const { return threads_; }
  std::size_t arena_bytes() const { return arena_bytes_; }
  // The context's inputs have the shapes the plan was made for. Thread-safe.
  void run(kernels::KernelContext& context, profile::Recorder* recorder) const;

 private:
  struct Step {
    dnnl::primitive primitive;
    std::vector<std::pair<int, int>> arguments;  // DNNL_ARG_..., index into memories_; of a primitive
    std::unique_ptr<NativeCall> native;
    std::unique_ptr<OwnStep> own;
    std::vector<int> buffers;  // of `own`
    const profile::Label* label;
    const program::Instruction* instruction;
  };
  struct State;

  int memory_index(const Stored& stored);
  void touch(int buffer);
  std::unique_ptr<State> take_state() const;
  void run_native(const NativeCall& call, const State& state, kernels::KernelContext& context) const;

  int threads_;
  std::vector<Buffer> buffers_;
  // Of each buffer: the first and the last step that touches it; of a part, in what it is a part of.
  std::vector<std::pair<int, int>> lifetimes_;
  std::vector<Stored> memories_;  // those that arguments name
  std::vector<Step> steps_;
  std::vector<Shape> output_shapes_;
  std::size_t scratch_bytes_ = 0;  // the largest scratchpad; it lies behind the buffers
  std::size_t scratch_offset_ = 0;
  std::size_t arena_bytes_ = 0;
  std::vector<int> scratchpads_;  // memories that are scratchpads

  mutable std::mutex mutex_;                          // guards idle_
  mutable std::vector<std::unique_ptr<State>> idle_;  // last used last
};

}  // namespace lanner::backends::onednn
