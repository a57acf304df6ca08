// What a CPU kernel is: made once per node from its attributes, then run any number of times, from any thread.
// A kernel file defines `make_<Operator>` for each of its operators; operators.def lists them.
// Kernels know nothing of graphs, programs or sessions.
#pragma once

#include <cstdint>
#include <forward_list>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "lanner/tensor.h"
#include "tensor/attributes.h"

namespace lanner::kernels {

// Where a kernel's outputs live; the VM hands out planned memory, tests and the constant folder use the heap.
class OutputMemory {
 public:
  virtual ~OutputMemory() = default;
  // Uninitialised memory for output `index`.
  virtual Tensor allocate(int index, ElementType type, const Shape& shape) = 0;
};

// One run of one kernel: its inputs, its outputs and the threads it may use. Lives on the caller's stack.
class KernelContext {
 public:
  // `inputs` holds null for an absent optional input, `outputs` for an output that nobody reads.
  KernelContext(std::span<const Value* const> inputs, std::span<Value* const> outputs, OutputMemory& memory,
                Allocator& allocator, int threads)
      : inputs_(inputs), outputs_(outputs), memory_(memory), allocator_(allocator), threads_(threads) {}

  // As they were given; null for an absent one.
  std::span<const Value* const> inputs() const { return inputs_; }
  int input_count() const { return static_cast<int>(inputs_.size()); }
  bool has_input(int index) const {
    return index < input_count() && inputs_[static_cast<std::size_t>(index)] != nullptr &&
           !inputs_[static_cast<std::size_t>(index)]->is_none();
  }
  // Throws `op.input` when the input is absent or is not a tensor.
  const Tensor& input(int index) const;
  // Null when absent.
  const Tensor* optional_input(int index) const { return has_input(index) ? &input(index) : nullptr; }
  // The input whatever it holds (sequences and optionals); throws `op.input` when absent.
  const Value& input_value(int index) const;

  int output_count() const { return static_cast<int>(outputs_.size()); }
  bool wants_output(int index) const {
    return index < output_count() && outputs_[static_cast<std::size_t>(index)] != nullptr;
  }
  // Makes output `index` a new, uninitialised tensor and returns it. If nobody wants the output the tensor is scratch.
  Tensor& allocate_output(int index, ElementType type, const Shape& shape);
  // Makes output 0 a tensor with the elements of input 0, to be changed: the input's own memory where nobody else reads
  // it (the operator is listed as kReuse and the VM has found so), else a copy.
  Tensor& take_first_input();
  // Makes output `index` this value: an input's memory under another shape, or a sequence.
  void set_output(int index, Value value);

  // Memory for the duration of the run.
  Tensor allocate_scratch(ElementType type, const Shape& shape) { return Tensor::allocate(type, shape, allocator_); }
  // The VM's promise that nobody reads input 0's value after this run.
  void allow_reuse() { may_reuse_ = true; }
  // What allocate_scratch() takes it from, for threads of the run that allocate on their own.
  Allocator& allocator() { return allocator_; }
  // For base::parallel_for.
  int threads() const { return threads_; }

 private:
  std::span<const Value* const> inputs_;
  std::span<Value* const> outputs_;
  OutputMemory& memory_;
  Allocator& allocator_;
  int threads_;
  bool may_reuse_ = false;
  std::forward_list<Value> unwanted_;  // scratch in the place of outputs that nobody reads
};

// Immutable once made: run() may be called from several threads at once.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(KernelContext& context) const = 0;
};

// What a kernel is made from.
struct KernelInfo {
  const tensor::Attributes& attributes;
  int input_count = 0;
  int output_count = 0;
  // Of each input, what it is in every run, or null; shorter where nothing is known of the last ones. The kernel may
  // keep what it makes of them, not the tensors.
  std::span<const Tensor* const> constants = {};

  // Null unless the input is known to be constant.
  const Tensor* constant(std::size_t input) const { return input < constants.size() ? constants[input] : nullptr; }
};

using MakeKernel = std::unique_ptr<Kernel> (*)(const KernelInfo& info);

// A kernel from a function object; parsed attributes are its captures.
template <typename Run>
std::unique_ptr<Kernel> make_kernel(Run run) {
  class FunctionKernel final : public Kernel {
   public:
    explicit FunctionKernel(Run function) : run_(std::move(function)) {}
    void run(KernelContext& context) const override { run_(context); }

   private:
    Run run_;
  };
  return std::make_unique<FunctionKernel>(std::move(run));
}

// `axis` counted from the end if negative; throws `op.axis` unless it is in [-rank, rank).
int normalize_axis(std::int64_t axis, int rank);

// The int64 (or int32) elements of a rank 0 or 1 tensor such as axes, pads or a shape; throws `op.type`, `op.rank`.
std::vector<std::int64_t> read_indices(const Tensor& tensor, std::string_view name);

}  // namespace lanner::kernels
