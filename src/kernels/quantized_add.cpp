// lanner.QuantizedAdd: QuantizeLinear of the Add of two DequantizeLinears, bit for bit, without the numbers in between.
// Inputs are a, its scale and its zero point, the same of b, and the scale and the zero point of the result; elements
// are int8 or uint8, scales float32, one each.
#include <algorithm>
#include <array>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "kernels/quantization.h"
#include "kernels/quantization_loops.h"

namespace lanner::kernels {

namespace {

constexpr std::int64_t kPiece = 512;

// An operand's elements, read as numbers.
class Operand {
 public:
  Operand(const KernelContext& context, int first, const QuantizationLoops& loops)
      : loops_(loops), tensor_(context.input(first)), scale_(number_of(context.input(first + 1))) {
    const Tensor& zero_point = context.input(first + 2);
    if (zero_point.element_type() != tensor_.element_type()) {
      base::invalid("op.type", "the zero point must be {} as the data is, but is {}",
                    element_type_name(tensor_.element_type()), element_type_name(zero_point.element_type()));
    }
    read_ = reader_of<float>(tensor_.element_type(), "QuantizedAdd");
    zero_point_ = number_of(zero_point);
  }

  const Shape& shape() const { return tensor_.shape(); }

  // `count` numbers from element `begin` on, or with a step of 0 that one again and again.
  void read(std::int64_t begin, std::int64_t step, std::int64_t count, float* to) const {
    const std::int64_t taken = step == 0 ? 1 : count;
    read_(tensor_.raw_data(), begin, taken, to);
    loops_.dequantize(to, &zero_point_, &scale_, 0, taken, to);
    if (step == 0) std::fill_n(to, count, float{*to});
  }

  static float number_of(const Tensor& tensor) {
    if (tensor.element_count() != 1) {
      base::invalid("op.shape", "scales and zero points must hold one element, but one has shape {}",
                    tensor.shape().to_string());
    }
    float number = 0;
    reader_of<float>(tensor.element_type(), "QuantizedAdd")(tensor.raw_data(), 0, 1, &number);
    return number;
  }

 private:
  const QuantizationLoops& loops_;
  const Tensor& tensor_;
  ReadElements<float> read_;
  float scale_;
  float zero_point_;
};

}  // namespace

std::unique_ptr<Kernel> make_QuantizedAdd(const KernelInfo&) {
  return make_kernel([](KernelContext& context) {
    const QuantizationLoops& loops = quantization_loops_of_cpu().get();
    const Operand a(context, 0, loops);
    const Operand b(context, 3, loops);
    const float scale = Operand::number_of(context.input(6));
    const Tensor& zero_point_tensor = context.input(7);
    const float zero_point = Operand::number_of(zero_point_tensor);
    const WriteQuantized<float> write = quantized_writer_of<float>(zero_point_tensor.element_type(), true);
    Tensor& y = context.allocate_output(0, zero_point_tensor.element_type(), broadcast_shape(a.shape(), b.shape()));
    const BroadcastPlan plan = plan_broadcast(y.shape(), {&a.shape(), &b.shape()});
    const Plus plus;
    const std::int64_t a_step = plan.moving & 1u;
    const std::int64_t b_step = plan.moving >> 1 & 1u;
    base::parallel_for(context.threads(), plan.count, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      for_each_row<2>(plan, begin, end,
                      [&](std::int64_t at, const std::array<std::int64_t, 2>& offsets, std::int64_t length) {
                        std::array<float, kPiece> sums;
                        std::array<float, kPiece> addends;
                        for (std::int64_t first = 0; first < length; first += kPiece) {
                          const std::int64_t count = std::min(kPiece, length - first);
                          a.read(offsets[0] + first * a_step, a_step, count, sums.data());
                          b.read(offsets[1] + first * b_step, b_step, count, addends.data());
                          zip_loop<Plus, float, float>()(&plus, sums.data(), addends.data(), sums.data(), count, 0b11);
                          loops.divide(sums.data(), &scale, 0, count);
                          write(sums.data(), &zero_point, 0, count, y.raw_data(), at + first);
                        }
                      });
    });
  });
}

}  // namespace lanner::kernels
