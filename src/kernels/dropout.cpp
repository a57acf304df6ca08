// Dropout: in inference the input itself, with a mask of ones. In training each element is dropped with probability
// `ratio` and the others are scaled by 1 / (1 - ratio); which ones follows from the seed and the element's index alone.
#include <cstdint>

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

namespace {

// A number in [0, 1) of 24 bits that looks random (SplitMix64).
float uniform(std::uint64_t seed, std::int64_t index) {
  std::uint64_t z = seed + (static_cast<std::uint64_t>(index) + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-24f;
}

double ratio_of(KernelContext& context) {
  const Tensor* ratio = context.optional_input(1);
  if (ratio == nullptr) return 0.5;
  if (ratio->element_count() != 1) {
    base::invalid("op.shape", "input 'ratio' must be a scalar, but has shape {}", ratio->shape().to_string());
  }
  double value = 0;
  tensor::dispatch(tensor::FloatTypes{}, ratio->element_type(), "Dropout's ratio",
                   [&]<typename T>() { value = static_cast<double>(*ratio->data<T>()); });
  if (!(value >= 0 && value < 1)) base::invalid("op.value", "the ratio must be in [0, 1), but is {}", value);
  return value;
}

bool is_training(KernelContext& context) {
  const Tensor* mode = context.optional_input(2);
  if (mode == nullptr) return false;
  if (mode->element_type() != ElementType::kBool || mode->element_count() != 1) {
    base::invalid("op.type", "input 'training_mode' must be one bool, but is {}", mode->type_string());
  }
  return *mode->data<bool>();
}

}  // namespace

std::unique_ptr<Kernel> make_Dropout(const KernelInfo& info) {
  return make_kernel([seed = info.attributes.get_int("seed", 0)](KernelContext& context) {
    const Tensor& data = context.input(0);
    const double ratio = is_training(context) ? ratio_of(context) : 0;
    const std::int64_t count = data.element_count();
    bool* mask = context.wants_output(1) || ratio != 0
                     ? context.allocate_output(1, ElementType::kBool, data.shape()).data<bool>()
                     : nullptr;
    base::parallel_for(context.threads(), mask != nullptr ? count : 0, kElementGrain,
                       [=](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t i = begin; i < end; ++i) {
                           mask[i] = ratio == 0 || uniform(static_cast<std::uint64_t>(seed), i) >= ratio;
                         }
                       });
    tensor::dispatch(tensor::FloatTypes{}, data.element_type(), "Dropout", [&]<typename T>() {
      const T* in = data.data<T>();
      T* out = context.allocate_output(0, data.element_type(), data.shape()).template data<T>();
      const T scale = static_cast<T>(1 / (1 - ratio));
      base::parallel_for(context.threads(), count, kElementGrain, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) out[i] = ratio == 0 ? in[i] : mask[i] ? in[i] * scale : T{0};
      });
    });
  });
}

}  // namespace lanner::kernels
