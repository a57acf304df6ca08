#include "passes/evaluate.h"

#include <memory>

#include "base/fail.h"
#include "base/memory.h"
#include "kernels/registry.h"

namespace lanner::passes {

namespace {

class LimitedMemory final : public Allocator, public kernels::OutputMemory {
 public:
  explicit LimitedMemory(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  std::shared_ptr<void> allocate(std::size_t byte_count) override {
    if (byte_count > limit_bytes_) {
      base::fail(ErrorCode::kResourceExhausted, "fold.size", "a result of {} bytes is over the limit of {} bytes",
                 byte_count, limit_bytes_);
    }
    return heap_allocator().allocate(byte_count);
  }
  Tensor allocate(int, ElementType type, const Shape& shape) override { return Tensor::allocate(type, shape, *this); }

 private:
  std::size_t limit_bytes_;
};

}  // namespace

std::vector<Value> run_node(const Node& node, std::span<const Value* const> inputs, std::size_t limit_bytes) {
  const kernels::OperatorRow* row = kernels::find_operator(node.op);
  if (row == nullptr) base::fail(ErrorCode::kUnimplemented, "op.unsupported", "operator {} has no kernel", node.op);
  std::vector<Value> outputs(node.outputs.size());
  std::vector<Value*> wanted;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    wanted.push_back(node.outputs[i] == kNoValue ? nullptr : &outputs[i]);
  LimitedMemory memory(limit_bytes);
  kernels::KernelContext context(inputs, wanted, memory, memory, 1);
  const auto kernel = row->make({node.attributes, static_cast<int>(inputs.size()), static_cast<int>(outputs.size())});
  base::with_memory_errors([&] { kernel->run(context); });
  return outputs;
}

}  // namespace lanner::passes
