// ResizeLike: Resize of the spatial dimensions of X (those after batch and channels) to those of a second tensor, which
// is read for its shape alone; made by the compiler and no ONNX operator. Inputs X and that tensor, of the same rank, 3
// or more. Attributes: those of Resize but `axes`.
#include "base/fail.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

std::unique_ptr<Kernel> make_Resize(const KernelInfo& info);

std::unique_ptr<Kernel> make_ResizeLike(const KernelInfo& info) {
  if (info.attributes.has("axes")) base::invalid("op.attribute", "ResizeLike has no attribute 'axes'");
  return make_kernel([resize = make_Resize({info.attributes, 4, 1})](KernelContext& context) {
    const Shape& x = context.input(0).shape();
    const Shape& like = context.input(1).shape();
    if (x.rank() < 3 || like.rank() != x.rank()) {
      base::invalid("op.rank", "both inputs must have the same rank, 3 or more, but have shapes {} and {}",
                    x.to_string(), like.to_string());
    }
    std::vector<std::int64_t> sizes(like.begin(), like.end());
    std::copy(x.begin(), x.begin() + 2, sizes.begin());
    const Value wanted = Tensor::of<std::int64_t>({x.rank()}, std::span<const std::int64_t>(sizes));

    // Resize's one output is this operator's.
    class Output final : public OutputMemory {
     public:
      explicit Output(KernelContext& outer) : outer_(outer) {}
      Tensor allocate(int, ElementType type, const Shape& shape) override {
        return outer_.allocate_output(0, type, shape);
      }

     private:
      KernelContext& outer_;
    };
    Output memory(context);
    Value result;
    Value* const output = &result;
    const Value* const inputs[] = {&context.input_value(0), nullptr, nullptr, &wanted};
    KernelContext inner(inputs, {&output, 1}, memory, context.allocator(), context.threads());
    resize->run(inner);
  });
}

}  // namespace lanner::kernels
