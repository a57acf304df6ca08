// Random numbers: RandomUniform, RandomNormal, both with "Like", Bernoulli, Multinomial and Dropout.
//
// With a seed, every run gives the same numbers on every machine: those of NumPy's RandomState, which ONNX's reference
// uses (the Mersenne Twister, 53 bits a number; normal numbers by the polar method). Without one, a kernel takes a seed
// from the system when it is made, and each of its runs gives other numbers.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "base/fail.h"
#include "kernels/convert.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

using RandomTypes = decltype(tensor::FloatTypes{} + tensor::HalfTypes{});

// One run's numbers.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : bits_(seed) {}

  // In [0, 1).
  double uniform() {
    const auto high = static_cast<double>(bits_() >> 5);
    const auto low = static_cast<double>(bits_() >> 6);
    return (high * 0x1p26 + low) * 0x1p-53;
  }
  // Of mean 0 and variance 1.
  double normal() {
    if (spare_) return *std::exchange(spare_, std::nullopt);
    double x = 0;
    double y = 0;
    double square = 0;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square == 0);
    const double factor = std::sqrt(-2 * std::log(square) / square);
    spare_ = factor * x;
    return factor * y;
  }

 private:
  std::mt19937 bits_;
  std::optional<double> spare_;
};

// Makes the numbers of each run of a kernel.
class Source {
 public:
  explicit Source(const tensor::Attributes& attributes) {
    const tensor::Attribute* given = attributes.find("seed");
    if (given == nullptr) {
      start_with_any();
    } else if (std::holds_alternative<std::int64_t>(*given)) {
      seed_ = static_cast<std::uint32_t>(std::get<std::int64_t>(*given));
    } else if (const float seed = attributes.get_float("seed", 0); std::isnan(seed)) {
      start_with_any();
    } else {
      seed_ = static_cast<std::uint32_t>(convert<std::int64_t>(seed));
    }
  }

  Numbers next() const { return Numbers(runs_ == nullptr ? seed_ : seed_ + runs_->fetch_add(1)); }

 private:
  void start_with_any() {
    seed_ = std::random_device{}();
    runs_ = std::make_shared<std::atomic<std::uint32_t>>(0);
  }

  std::uint32_t seed_ = 0;
  std::shared_ptr<std::atomic<std::uint32_t>> runs_;  // null where every run is the same
};

// The attribute's type, kUndefined where it is absent.
ElementType parse_type(const tensor::Attributes& attributes) {
  const std::int64_t type = attributes.get_int("dtype", 0);
  if (type < 0 || type > 255) base::invalid("op.attribute", "attribute 'dtype' names no element type: {}", type);
  return static_cast<ElementType>(type);
}

struct Uniform {
  double low;
  double high;
  explicit Uniform(const tensor::Attributes& attributes)
      : low(attributes.get_float("low", 0)), high(attributes.get_float("high", 1)) {}
  double operator()(Numbers& numbers) const { return low + (high - low) * numbers.uniform(); }
};

struct Normal {
  double mean;
  double scale;
  explicit Normal(const tensor::Attributes& attributes)
      : mean(attributes.get_float("mean", 0)), scale(attributes.get_float("scale", 1)) {}
  double operator()(Numbers& numbers) const { return mean + scale * numbers.normal(); }
};

template <typename Distribution>
void fill(KernelContext& context, const Distribution& distribution, const Source& source, ElementType type,
          const Shape& shape) {
  tensor::dispatch(RandomTypes{}, type, "a random operator's output", [&]<typename T>() {
    Tensor& y = context.allocate_output(0, type, shape);
    Numbers numbers = source.next();
    for (T& value : y.values<T>()) value = T(distribution(numbers));
  });
}

template <typename Distribution>
std::unique_ptr<Kernel> make_random(const KernelInfo& info) {
  const ElementType given = parse_type(info.attributes);
  const ElementType type = given != ElementType::kUndefined ? given : ElementType::kFloat32;
  return make_kernel(
      [type, shape = Shape(info.attributes.get_ints("shape")), distribution = Distribution(info.attributes),
       source = Source(info.attributes)](KernelContext& context) { fill(context, distribution, source, type, shape); });
}

template <typename Distribution>
std::unique_ptr<Kernel> make_random_like(const KernelInfo& info) {
  return make_kernel([type = parse_type(info.attributes), distribution = Distribution(info.attributes),
                      source = Source(info.attributes)](KernelContext& context) {
    const Tensor& like = context.input(0);
    fill(context, distribution, source, type != ElementType::kUndefined ? type : like.element_type(), like.shape());
  });
}

// Draws `samples` numbers of classes whose logarithms of probability, up to a constant, are given.
template <typename T, typename Index>
void draw_classes(Numbers& numbers, const T* logits, std::int64_t classes, std::int64_t samples, Index* to) {
  const auto largest = static_cast<double>(*std::max_element(logits, logits + classes));
  std::vector<double> sums;
  sums.reserve(static_cast<std::size_t>(classes));
  double sum = 0;
  for (std::int64_t i = 0; i < classes; ++i) sums.push_back(sum += std::exp(static_cast<double>(logits[i]) - largest));
  if (!(sum > 0)) base::invalid("op.value", "the logits of a Multinomial are not the logarithms of probabilities");
  for (std::int64_t i = 0; i < samples; ++i) {
    const auto place = std::ranges::upper_bound(sums, numbers.uniform() * sum);
    to[i] = static_cast<Index>(std::min<std::int64_t>(place - sums.begin(), classes - 1));
  }
}

double read_ratio(const Tensor& tensor) {
  using Types = decltype(
      RandomTypes{} +
      tensor::TypeList<tensor::Float8E4M3FN, tensor::Float8E4M3FNUZ, tensor::Float8E5M2, tensor::Float8E5M2FNUZ>{});
  if (tensor.element_count() != 1) base::invalid("op.shape", "the ratio of a Dropout must be one number");
  double ratio = 0;
  tensor::dispatch(Types{}, tensor.element_type(), "the ratio of a Dropout",
                   [&]<typename T>() { ratio = static_cast<double>(*tensor.data<T>()); });
  if (!(ratio >= 0 && ratio < 1))
    base::invalid("op.value", "the ratio of a Dropout must be in [0, 1), but is {}", ratio);
  return ratio;
}

}  // namespace

std::unique_ptr<Kernel> make_RandomUniform(const KernelInfo& info) {
  return make_random<Uniform>(info);
}

std::unique_ptr<Kernel> make_RandomNormal(const KernelInfo& info) {
  return make_random<Normal>(info);
}

std::unique_ptr<Kernel> make_RandomUniformLike(const KernelInfo& info) {
  return make_random_like<Uniform>(info);
}

std::unique_ptr<Kernel> make_RandomNormalLike(const KernelInfo& info) {
  return make_random_like<Normal>(info);
}

std::unique_ptr<Kernel> make_Multinomial(const KernelInfo& info) {
  const std::int64_t samples = info.attributes.get_int("sample_size", 1);
  if (samples < 0) base::invalid("op.attribute", "attribute 'sample_size' must not be negative, but is {}", samples);
  const ElementType given = parse_type(info.attributes);
  const ElementType type = given != ElementType::kUndefined ? given : ElementType::kInt32;
  return make_kernel([samples, type, source = Source(info.attributes)](KernelContext& context) {
    const Tensor& logits = context.input(0);
    if (logits.rank() != 2 || logits.shape()[1] == 0) {
      base::invalid("op.shape", "the logits of a Multinomial must be a matrix of at least one class, but have shape {}",
                    logits.shape().to_string());
    }
    const std::int64_t classes = logits.shape()[1];
    using Indices = tensor::TypeList<std::int32_t, std::int64_t>;
    tensor::dispatch(tensor::FloatTypes{}, logits.element_type(), "Multinomial", [&]<typename T>() {
      tensor::dispatch(Indices{}, type, "the output of Multinomial", [&]<typename Index>() {
        Tensor& y = context.allocate_output(0, type, {logits.shape()[0], samples});
        Numbers numbers = source.next();
        for (std::int64_t i = 0; i < logits.shape()[0]; ++i) {
          draw_classes(numbers, logits.data<T>() + i * classes, classes, samples, y.data<Index>() + i * samples);
        }
      });
    });
  });
}

// 1 with the probability that each element of the input is, else 0. What ONNX says of it as a function draws 1 with the
// probability of the opposite.
std::unique_ptr<Kernel> make_Bernoulli(const KernelInfo& info) {
  return make_kernel([given = parse_type(info.attributes), source = Source(info.attributes)](KernelContext& context) {
    const Tensor& p = context.input(0);
    const ElementType type = given != ElementType::kUndefined ? given : p.element_type();
    using Outputs = decltype(tensor::NumericAndBoolTypes{} + tensor::HalfTypes{});
    tensor::dispatch(RandomTypes{}, p.element_type(), "Bernoulli", [&]<typename T>() {
      tensor::dispatch(Outputs{}, type, "the output of Bernoulli", [&]<typename Y>() {
        Tensor& y = context.allocate_output(0, type, p.shape());
        Numbers numbers = source.next();
        for (std::int64_t i = 0; i < p.element_count(); ++i) {
          const auto probability = static_cast<double>(p.data<T>()[i]);
          if (!(probability >= 0 && probability <= 1)) {
            base::invalid("op.value", "a probability must be in [0, 1], but one is {}", probability);
          }
          // NumPy draws the rarer of the two.
          const double number = probability == 0 ? 0 : numbers.uniform();
          y.data<Y>()[i] = Y(probability <= 0.5 ? number > 1 - probability : number <= probability);
        }
      });
    });
  });
}

// The data itself, unless it trains.
std::unique_ptr<Kernel> make_Dropout(const KernelInfo& info) {
  return make_kernel([source = Source(info.attributes)](KernelContext& context) {
    const Tensor& data = context.input(0);
    double ratio = 0;
    if (const Tensor* training = context.optional_input(2)) {
      if (training->element_type() != ElementType::kBool || training->element_count() != 1) {
        base::invalid("op.type", "input 'training_mode' must be one bool, but is {}", training->type_string());
      }
      const Tensor* given = context.optional_input(1);
      if (*static_cast<const std::uint8_t*>(training->raw_data()) != 0)
        ratio = given != nullptr ? read_ratio(*given) : 0.5;
    }
    Tensor* mask = context.wants_output(1) ? &context.allocate_output(1, ElementType::kBool, data.shape()) : nullptr;
    if (ratio == 0) {
      if (mask != nullptr) std::ranges::fill(mask->values<bool>(), true);
      return context.set_output(0, data);
    }
    using Types = decltype(
        RandomTypes{} +
        tensor::TypeList<tensor::Float8E4M3FN, tensor::Float8E4M3FNUZ, tensor::Float8E5M2, tensor::Float8E5M2FNUZ>{});
    tensor::dispatch(Types{}, data.element_type(), "Dropout", [&]<typename T>() {
      Tensor& y = context.allocate_output(0, data.element_type(), data.shape());
      Numbers numbers = source.next();
      const double scale = 1 / (1 - ratio);
      for (std::int64_t i = 0; i < data.element_count(); ++i) {
        const bool kept = numbers.uniform() >= ratio;
        y.data<T>()[i] = kept ? T(static_cast<double>(data.data<T>()[i]) * scale) : T(0.0f);
        if (mask != nullptr) mask->data<bool>()[i] = kept;
      }
    });
  });
}

}  // namespace lanner::kernels
