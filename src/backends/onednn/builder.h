// Writes a Plan from a block, for given input shapes. The operators (operators.h) do so through the OperatorBuilder of
// their instruction: they ask for inputs in the layouts that suit them, emit primitives and define the output.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "backends/backend.h"
#include "backends/onednn/engine.h"
#include "backends/onednn/plan.h"
#include "backends/onednn/precision.h"
#include "backends/onednn/weights.h"
#include "profile/recorder.h"
#include "program/program.h"

namespace lanner::backends::onednn {

// The names of a block's profile events; they belong to the compiled subgraph, since plans come and go.
struct Labels {
  struct Pair {
    profile::Label operation;
    profile::Label reorder;  // of an input or, for the last pair, of a block output
  };
  explicit Labels(const program::Block& block);
  std::vector<Pair> instructions;  // and one more for the block's outputs
};

struct BuilderOptions {
  int threads = 1;
  bool any_rows = false;     // plans of the block must give the same bits for any number of rows
  bool uses_choices = true;  // the algorithms that instructions name have an effect
};

class Builder {
 public:
  // The block, the constants and the labels outlive the plan.
  Builder(const program::Block& block, std::span<const Tensor> constants, const Labels& labels,
          const BuilderOptions& options);

  // One of these, once; they throw Error where the shapes do not fit the operators. The plan; or the algorithms that it
  // would have, without packing weights.
  std::unique_ptr<Plan> build(std::span<const Shape> input_shapes);
  std::vector<Choice> survey(std::span<const Shape> input_shapes);

 private:
  friend class OperatorBuilder;

  // What is known of a slot once it has been written.
  struct Slot {
    const Tensor* constant = nullptr;
    bool defined = false;
    Shape shape;
    Stored stored;               // as its producer left it; of a constant, after its first use as data
    std::vector<Stored> copies;  // in other layouts
  };

  void add_instructions(std::span<const Shape> input_shapes);
  bool is_only_reader(std::size_t reader) const;  // of what the instruction before it makes
  Stored stored_as(program::SlotIndex slot, const Desc& desc);
  Stored store(program::SlotIndex slot);
  Stored weights(WeightRequest request);
  Stored new_buffer(const Desc& desc);
  void reorder(const Stored& from, const Stored& to);
  void return_output(std::size_t index);

  const program::Block& block_;
  std::span<const Tensor> constants_;
  const Labels& labels_;
  BuilderOptions options_;
  std::unique_ptr<Plan> plan_;
  std::vector<Slot> slots_;
  std::vector<WeightRequest> weights_;  // packed together when everything else is built
  std::vector<int> weight_buffers_;     // where each goes
  std::vector<Number> numbers_;         // that each slot is kept as
  std::vector<int> last_use_;  // of each slot: the last instruction that reads it; past all of them for an output
  int current_ = 0;            // the instruction being built, or their number while outputs are returned
  std::optional<std::vector<Choice>> choices_;  // while surveying
};

// What one operator sees while its instruction is built.
class OperatorBuilder {
 public:
  OperatorBuilder(Builder& builder, const program::Instruction& instruction)
      : builder_(builder), instruction_(instruction) {}

  const program::Instruction& instruction() const { return instruction_; }
  const tensor::Attributes& attributes() const { return instruction_.attributes; }
  int input_count() const { return static_cast<int>(instruction_.inputs.size()); }
  bool has(int input) const;
  const Shape& shape(int input) const;  // throws `op.input` when absent
  // Whether the instruction multiplies bfloat16, and what its output is to be kept as.
  Bf16 use_of_bf16() const { return onednn::use_of_bf16(instruction_); }
  Number output_number() const;
  // Null for an input that is absent or not a constant.
  const Tensor* constant(int input) const;
  // The first element of a constant float32 input; nothing when it is absent. Throws `op.input` when it is not
  // constant.
  std::optional<float> scalar(int input) const;

  // An input as it lies, or in a given layout (a reorder is emitted, once, where it is another).
  Stored input(int index) { return builder_.store(slot(index)); }
  Stored input(int index, const Desc& desc) { return builder_.stored_as(slot(index), desc); }
  Stored plain_input(int index) { return input(index, plain_desc(dims_of(shape(index)))); }
  // A constant input, read as `from`, packed as `to` with every element times `scale`.
  Stored packed(int index, const Desc& from, const Desc& to, float scale = 1.0F);
  // A constant input, packed by `layout`: the buffer that will hold it.
  int packed(int index, const kernels::WinogradWeights& layout);
  // Whether the input's buffer may be overwritten by this instruction: nobody needs it later, and no other input of the
  // instruction is the same value.
  bool may_overwrite(int index) const;

  // The instruction before, where it makes input 0 and nobody else reads that; and the one behind, where it alone reads
  // output 0, as its input 0.
  std::optional<OperatorBuilder> only_producer() const;
  std::optional<OperatorBuilder> only_reader() const;

  // Whether an instruction that does more than look at it in another shape or order reads an output in this block.
  bool is_read_inside(int output) const;

  Stored new_buffer(const Desc& desc) { return builder_.new_buffer(desc); }
  void reorder(const Stored& from, const Stored& to) { builder_.reorder(from, to); }
  void emit(const dnnl::primitive& primitive, std::vector<Argument> arguments, const Desc& scratchpad);
  void emit(std::unique_ptr<OwnStep> own, std::vector<int> buffers);
  int threads() const { return builder_.plan_->threads(); }
  bool any_rows() const { return builder_.options_.any_rows; }

  // Whether the attribute `algorithm` counts; and whether offer() is to be told of the algorithms that there are.
  bool uses_choices() const { return builder_.options_.uses_choices; }
  bool surveys() const { return builder_.choices_.has_value(); }
  void offer(Choice choice);
  // Output 0, or another; `stored` holds it.
  void define(const Shape& shape, const Stored& stored, int output = 0);

  // Pieces of memory. Whether all of a value's memory may become a piece of another buffer, and making it that; whether
  // pieces of it may be values, and making one.
  bool may_place(const Stored& stored) const;
  bool may_have_parts(const Stored& stored) const;
  void place_inside(const Stored& stored, const Stored& whole, std::size_t offset);
  Stored part_of(const Stored& whole, const Desc& desc, std::size_t offset);
  // Where a piece is: the buffer that it is in the end a part of (itself, if it is no part) and the bytes before it.
  std::pair<int, std::size_t> piece(const Stored& stored) const;
  std::size_t bytes_of(int buffer) const { return builder_.plan_->buffer(buffer).bytes; }
  // The whole instruction on its native kernel, for what oneDNN does not have; output 0 gets `shape`.
  void run_native(const Shape& shape);

 private:
  program::SlotIndex slot(int input) const;
  const Tensor& weights(int index) const;
  std::size_t position() const;  // of the instruction in the block

  Builder& builder_;
  const program::Instruction& instruction_;
};

}  // namespace lanner::backends::onednn
