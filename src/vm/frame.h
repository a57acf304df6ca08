// The values of one activation of a block, and running the block on them. A session has one frame per block, since a
// block never runs twice at once inside a session; of a region's body it has one for each lane.
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
  int lanes = 1;     // that may run the iterations of an instruction at once
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

  // The same for a block that runs again and again: inputs stay until they are set anew or cleared, and the outputs go
  // where `outputs` says. After an Error the frame is to be cleared.
  void set_input(std::size_t index, Value value) { slots_[ready_->block->inputs[index]] = std::move(value); }
  void run_again(const RunEnvironment& environment, std::span<Value* const> outputs);
  // Empties all slots but the constants.
  void clear();

  // Of its own arenas and those of the frames inside.
  std::size_t arena_bytes() const;

 private:
  // One instruction and where its values are. Actions lie in the order in which they run, and so do the pointers and
  // places that they refer to: a run reads through them once, from their beginning to their end.
  struct Action {
    const Step* step = nullptr;
    const kernels::Kernel* kernel = nullptr;  // null for other kinds of steps
    std::uint32_t instruction = 0;            // its number in the block
    std::uint32_t first_pointer = 0;
    std::uint32_t first_place = 0;
    std::uint32_t input_count = 0;
    std::uint32_t output_count = 0;
    std::uint32_t release_count = 0;
    std::uint32_t first_frame = 0;  // of the step's blocks; of ForEach the number of its region
    bool may_reuse_input = false;
    bool narrow = false;  // one thread is enough
  };
  class Outputs;
  // What belongs to a ForEach.
  struct Region {
    std::vector<Frame> frames;          // one for each lane that has run iterations
    std::vector<Value> results;         // of one output after the other those of all iterations
    std::vector<Value*> result_places;  // of one iteration after the other all results
    std::int64_t work_ns = 0;           // that all iterations took together in the last request
    void clear();
  };

  void add_action(std::uint32_t instruction);
  void take_memory();
  void learn_sizes();
  std::span<const Value* const> inputs_of(const Action& action) const {
    return {pointers_.data() + action.first_pointer, action.input_count};
  }
  std::span<Value* const> outputs_of(const Action& action) const {
    return {pointers_.data() + action.first_pointer + action.input_count, action.output_count};
  }
  std::span<Value* const> released_by(const Action& action) const {
    return {pointers_.data() + action.first_pointer + action.input_count + action.output_count, action.release_count};
  }

  void run_stage(std::size_t index, const RunEnvironment& environment);
  void run_action(const Action& action, const RunEnvironment& environment);
  void run_if(const Action& action, const RunEnvironment& environment);
  void run_loop(const Action& action, const RunEnvironment& environment);
  void run_scan(const Action& action, const RunEnvironment& environment);
  void run_for_each(const Action& action, const RunEnvironment& environment);
  void run_iterations(const Action& action, Region& region, const RunEnvironment& environment);
  void add_region(const Step& step);
  void take_outputs(Allocator& pool, std::span<Value* const> outputs);

  const ReadyBlock* ready_;
  std::span<const Tensor> constants_;
  std::vector<Value> slots_;
  std::vector<char> is_constant_;
  std::vector<char> is_input_;
  std::vector<Action> actions_;
  // Of each action its inputs, its outputs, and what it is the last to read; null for absent ones.
  std::vector<Value*> pointers_;
  // Of each action's outputs: the place, and how many bytes they needed at most when they had none that was enough.
  std::vector<MemoryPlan::Place> places_;
  std::vector<std::size_t> needed_bytes_;
  std::vector<std::vector<std::uint32_t>> task_starts_;  // of each stage: the first action of each task, and the end
  std::vector<Frame> frames_;
  std::vector<Region> regions_;
  std::shared_ptr<const Layout> layout_;
  std::shared_ptr<void> arena_;
  std::vector<std::shared_ptr<void>> lane_arenas_;
  std::uint64_t runs_ = 0;
  std::uint64_t next_learning_;
};

}  // namespace lanner::vm
