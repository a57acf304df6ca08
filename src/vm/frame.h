// The values of one activation of a block, and running the block on them. A session has one frame per block, since a
// block never runs twice at once inside a session.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "profile/recorder.h"
#include "vm/executable.h"

namespace lanner::vm {

// What the frames of a session share.
struct RunEnvironment {
  Allocator& pool;     // of values
  Allocator& scratch;  // of what an instruction needs while it runs
  int threads = 1;
  profile::Recorder* recorder = nullptr;
  // Where the time of each instruction of the block goes, if somebody measures; not for the blocks inside.
  std::vector<std::int64_t>* durations_ns = nullptr;
  // Permutes ready tasks; for tests.
  std::optional<std::uint64_t> seed = {};
  int lane = 0;
  bool wide = true;  // the whole team works on an instruction
};

class Frame {
 public:
  // `ready` and `constants` outlive the frame. Without a layout the block runs serially.
  Frame(const ReadyBlock& ready, std::span<const Tensor> constants, std::shared_ptr<const Layout> layout = {});
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  Frame(Frame&&) = default;

  // Runs the block. `inputs` are the block's; the result holds its outputs, each owning its memory. All slots but the
  // constants are empty again afterwards, also after an Error.
  std::vector<Value> run(std::span<const Value> inputs, const RunEnvironment& environment);

  // Of its own arenas and those of the frames inside.
  std::size_t arena_bytes() const;

 private:
  // The addresses a step works on; fixed for the frame's life.
  struct StepSlots {
    std::vector<const Value*> inputs;
    std::vector<Value*> outputs;
    std::vector<Frame> frames;  // of the step's blocks
    bool may_reuse_input = false;
  };

  void run_stage(std::size_t index, const RunEnvironment& environment);
  void run_step(std::size_t index, const RunEnvironment& environment);
  void run_if(const Step& step, StepSlots& slots, const RunEnvironment& environment);
  void run_loop(const Step& step, StepSlots& slots, const RunEnvironment& environment);
  std::vector<Value> take_outputs(Allocator& pool);
  void clear();

  const ReadyBlock* ready_;
  std::vector<Value> slots_;
  std::vector<char> is_constant_;
  std::vector<StepSlots> steps_;
  std::shared_ptr<const Layout> layout_;
  std::shared_ptr<void> arena_;
  std::vector<std::shared_ptr<void>> lane_arenas_;
};

}  // namespace lanner::vm
