// BatchNormalization (inference), InstanceNormalization, LayerNormalization, LpNormalization and LRN for float32 and
// float64. Means and variances are summed in double precision, the variance around the mean.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

std::int64_t grain_for(std::int64_t work_per_item) {
  return std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(work_per_item, 1));
}

struct Moments {
  double mean;
  double variance;
};

template <typename T, typename Map>
[[gnu::always_inline]] inline double sum_of(const T* values, std::int64_t count, Map map) {
  constexpr std::int64_t kLanes = 8;
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[j] += map(static_cast<double>(values[i + j]));
  }
  for (std::int64_t j = 0; i < count; ++i, ++j) lanes[j] += map(static_cast<double>(values[i]));
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

template <typename T>
[[gnu::always_inline]] inline Moments moments_of(const T* values, std::int64_t count) {
  const auto n = static_cast<double>(count);
  const double mean = sum_of(values, count, [](double x) { return x; }) / n;
  return {mean, sum_of(values, count, [mean](double x) { return (x - mean) * (x - mean); }) / n};
}

// to = (from - the mean) / sqrt(variance + epsilon) of each row of `size`, times factors and plus addends where there
// are any.
template <typename T>
struct RowNormalization {
  const T* from;
  T* to;
  std::int64_t size;
  double epsilon;
  const T* factors;
  const T* addends;
  float* means;  // null where nobody asked for them, as are the next
  float* inverse_deviations;

  [[gnu::always_inline]] void run(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* const x = from + row * size;
      T* const y = to + row * size;
      const Moments moments = moments_of(x, size);
      const double inverse = 1.0 / std::sqrt(moments.variance + epsilon);
      const auto shift = static_cast<T>(moments.mean);
      const auto factor = static_cast<T>(inverse);
      if (means != nullptr) means[row] = static_cast<float>(moments.mean);
      if (inverse_deviations != nullptr) inverse_deviations[row] = static_cast<float>(inverse);
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t j = 0; j < size; ++j) {
        T value = (x[j] - shift) * factor;
        if (factors != nullptr) value *= factors[j];
        if (addends != nullptr) value += addends[j];
        y[j] = value;
      }
    }
  }
};

LANNER_MULTIVERSION void normalize(const RowNormalization<float>& rows, std::int64_t begin, std::int64_t end) {
  rows.run(begin, end);
}
void normalize(const RowNormalization<double>& rows, std::int64_t begin, std::int64_t end) {
  rows.run(begin, end);
}
LANNER_MULTIVERSION Moments plane_moments(const float* values, std::int64_t count) {
  return moments_of(values, count);
}
Moments plane_moments(const double* values, std::int64_t count) {
  return moments_of(values, count);
}

// A parameter of one value a channel, float32 or float64 whatever the input's type is.
template <typename T>
std::vector<T> read_channels(KernelContext& context, int index, std::int64_t channels) {
  const Tensor& tensor = context.input(index);
  if (tensor.shape() != Shape{channels}) {
    base::invalid("op.shape", "input {} must have shape [{}], but has {}", index, channels, tensor.shape().to_string());
  }
  std::vector<T> values(static_cast<std::size_t>(channels));
  tensor::dispatch(tensor::FloatTypes{}, tensor.element_type(), "a normalization's parameter", [&]<typename P>() {
    std::ranges::transform(tensor.values<P>(), values.begin(), [](P value) { return static_cast<T>(value); });
  });
  return values;
}

// Moves the statistics of each channel towards the batch's, as outputs 1 and 2, and becomes the batch's.
template <typename T>
void learn(KernelContext& context, const Tensor& x, float momentum, std::vector<T>& mean, std::vector<T>& variance) {
  const auto channels = static_cast<std::int64_t>(mean.size());
  const std::int64_t plane = x.rank() <= 2 ? 1 : x.shape().element_count(2, x.rank());
  const std::int64_t planes = plane == 0 ? 0 : x.element_count() / plane;
  const std::int64_t count = channels == 0 ? 0 : x.element_count() / channels;
  for (int index : {1, 2}) {
    const Tensor& given = context.input(2 + index);
    std::vector<T>& values = index == 1 ? mean : variance;
    std::vector<T> batch(values.size());
    base::parallel_for(context.threads(), channels, grain_for(count), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t c = begin; c < end; ++c) {
        const auto k = static_cast<std::size_t>(c);
        double sum = 0;
        for (std::int64_t i = c; i < planes; i += channels) {
          for (const T* at = x.data<T>() + i * plane; at != x.data<T>() + (i + 1) * plane; ++at) {
            const double difference = index == 1 ? *at : (*at - mean[k]) * static_cast<double>(*at - mean[k]);
            sum += difference;
          }
        }
        batch[k] = static_cast<T>(sum / static_cast<double>(count));
      }
    });
    tensor::dispatch(tensor::FloatTypes{}, given.element_type(), "a normalization's statistics", [&]<typename P>() {
      P* out = context.allocate_output(index, given.element_type(), given.shape()).template data<P>();
      for (std::size_t k = 0; k < values.size(); ++k) {
        out[k] = static_cast<P>(values[k] * static_cast<T>(momentum) + batch[k] * static_cast<T>(1 - momentum));
      }
    });
    values = std::move(batch);
  }
}

void require_channels(const Tensor& x, int least_rank) {
  if (x.rank() < least_rank) {
    base::invalid("op.rank", "the input must have rank {} or more, but has shape {}", least_rank,
                  x.shape().to_string());
  }
}

}  // namespace

// Y = (X - mean) / sqrt(variance + epsilon) * scale + B, with one of each a channel. In training mean and variance are
// those of the batch, and further outputs are the given ones moved towards them.
std::unique_ptr<Kernel> make_BatchNormalization(const KernelInfo& info) {
  const float epsilon = info.attributes.get_float("epsilon", 1e-5f);
  const float momentum = info.attributes.get_float("momentum", 0.9f);
  const bool training = info.attributes.get_int("training_mode", 0) != 0;
  return make_kernel([epsilon, momentum, training](KernelContext& context) {
    const Tensor& x = context.input(0);
    require_channels(x, 1);
    const std::int64_t channels = x.rank() == 1 ? 1 : x.shape()[1];
    Tensor& y = context.allocate_output(0, x.element_type(), x.shape());
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "BatchNormalization", [&]<typename T>() {
      std::vector<T> factor = read_channels<T>(context, 1, channels);
      const std::vector<T> bias = read_channels<T>(context, 2, channels);
      std::vector<T> mean = read_channels<T>(context, 3, channels);
      std::vector<T> variance = read_channels<T>(context, 4, channels);
      if (training) learn(context, x, momentum, mean, variance);
      if (y.element_count() == 0) return;
      for (std::size_t c = 0; c < factor.size(); ++c) factor[c] /= std::sqrt(variance[c] + static_cast<T>(epsilon));
      const std::int64_t plane = x.rank() <= 2 ? 1 : x.shape().element_count(2, x.rank());
      const std::int64_t planes = x.element_count() / plane;
      const T* in = x.data<T>();
      T* out = y.data<T>();
      base::parallel_for(context.threads(), planes, grain_for(plane), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto c = static_cast<std::size_t>(i % channels);
          const T shift = mean[c];
          const T scale = factor[c];
          const T add = bias[c];
          for (std::int64_t j = i * plane; j < (i + 1) * plane; ++j) out[j] = (in[j] - shift) * scale + add;
        }
      });
    });
  });
}

// As BatchNormalization, with the mean and variance of each plane.
std::unique_ptr<Kernel> make_InstanceNormalization(const KernelInfo& info) {
  const float epsilon = info.attributes.get_float("epsilon", 1e-5f);
  return make_kernel([epsilon](KernelContext& context) {
    const Tensor& x = context.input(0);
    require_channels(x, 2);
    const std::int64_t channels = x.shape()[1];
    Tensor& y = context.allocate_output(0, x.element_type(), x.shape());
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "InstanceNormalization", [&]<typename T>() {
      const std::vector<T> factor = read_channels<T>(context, 1, channels);
      const std::vector<T> bias = read_channels<T>(context, 2, channels);
      if (y.element_count() == 0) return;
      const std::int64_t planes = x.shape()[0] * channels;
      const std::int64_t plane = x.element_count() / planes;
      const T* in = x.data<T>();
      T* out = y.data<T>();
      base::parallel_for(context.threads(), planes, grain_for(plane), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto c = static_cast<std::size_t>(i % channels);
          const Moments moments = plane_moments(in + i * plane, plane);
          const auto shift = static_cast<T>(moments.mean);
          const auto scale = static_cast<T>(static_cast<double>(factor[c]) /
                                            std::sqrt(moments.variance + static_cast<double>(epsilon)));
          const T add = bias[c];
          for (std::int64_t j = i * plane; j < (i + 1) * plane; ++j) out[j] = (in[j] - shift) * scale + add;
        }
      });
    });
  });
}

// Normalizes over the dimensions from `axis` on; Scale and B broadcast to the input.
std::unique_ptr<Kernel> make_LayerNormalization(const KernelInfo& info) {
  const std::int64_t wanted_axis = info.attributes.get_int("axis", -1);
  const float epsilon = info.attributes.get_float("epsilon", 1e-5f);
  if (const std::int64_t stash = info.attributes.get_int("stash_type", 1); stash != 1) {
    base::fail(ErrorCode::kUnimplemented, "op.attribute", "attribute 'stash_type' must be 1 (float32), but is {}",
               stash);
  }
  return make_kernel([=](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor& scale = context.input(1);
    const Tensor* bias = context.optional_input(2);
    const Shape& shape = x.shape();
    const int axis = normalize_axis(wanted_axis, x.rank());
    for (const Tensor* parameter : {&scale, bias}) {
      if (parameter == nullptr) continue;
      if (parameter->element_type() != x.element_type()) {
        base::invalid("op.type", "inputs 'Scale' and 'B' must be {} like the input, but one is {}",
                      element_type_name(x.element_type()), element_type_name(parameter->element_type()));
      }
      if (broadcast_shape(shape, parameter->shape()) != shape) {
        base::invalid("op.shape", "a parameter of shape {} does not broadcast to the input's {}",
                      parameter->shape().to_string(), shape.to_string());
      }
    }
    Shape outer_shape = shape;
    for (int i = axis; i < shape.rank(); ++i) outer_shape[i] = 1;
    Tensor& y = context.allocate_output(0, x.element_type(), shape);
    float* means = nullptr;
    float* inverse_deviations = nullptr;
    if (context.wants_output(1)) {
      means = context.allocate_output(1, ElementType::kFloat32, outer_shape).data<float>();
    }
    if (context.wants_output(2)) {
      inverse_deviations = context.allocate_output(2, ElementType::kFloat32, outer_shape).data<float>();
    }
    const std::int64_t rows = shape.element_count(0, axis);
    const std::int64_t size = shape.element_count(axis, shape.rank());
    const auto fits_rows = [&](const Tensor& parameter) {
      return std::ranges::equal(parameter.shape(), shape.dims().subspan(static_cast<std::size_t>(axis)));
    };
    const bool rowwise = fits_rows(scale) && (bias == nullptr || fits_rows(*bias));
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "LayerNormalization", [&]<typename T>() {
      T* out = y.data<T>();
      const RowNormalization<T> normalization{x.data<T>(),
                                              out,
                                              size,
                                              static_cast<double>(epsilon),
                                              rowwise ? scale.data<T>() : nullptr,
                                              rowwise && bias != nullptr ? bias->data<T>() : nullptr,
                                              means,
                                              inverse_deviations};
      base::parallel_for(context.threads(), rows, grain_for(size),
                         [&](std::int64_t begin, std::int64_t end) { normalize(normalization, begin, end); });
      if (rowwise || y.element_count() == 0) return;
      map_broadcast(context.threads(), plan_broadcast(shape, {&shape, &scale.shape()}), out, scale.data<T>(), out,
                    [](T a, T b) { return a * b; });
      if (bias != nullptr) {
        map_broadcast(context.threads(), plan_broadcast(shape, {&shape, &bias->shape()}), out, bias->data<T>(), out,
                      [](T a, T b) { return a + b; });
      }
    });
  });
}

// Y = X / (bias + alpha / size * the sum of squares over `size` neighbouring channels) ^ beta.
std::unique_ptr<Kernel> make_LRN(const KernelInfo& info) {
  const float alpha = info.attributes.get_float("alpha", 1e-4f);
  const float beta = info.attributes.get_float("beta", 0.75f);
  const float bias = info.attributes.get_float("bias", 1.0f);
  const std::int64_t size = info.attributes.require_int("size");
  if (size < 1) base::invalid("op.attribute", "attribute 'size' must be positive, but is {}", size);
  return make_kernel([=](KernelContext& context) {
    const Tensor& x = context.input(0);
    require_channels(x, 2);
    Tensor& y = context.allocate_output(0, x.element_type(), x.shape());
    if (y.element_count() == 0) return;
    const std::int64_t channels = x.shape()[1];
    const std::int64_t plane = x.shape().element_count(2, x.rank());
    const std::int64_t before = std::min((size - 1) / 2, channels);
    const std::int64_t after = std::min(size / 2, channels);
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "LRN", [&]<typename T>() {
      const T* in = x.data<T>();
      T* out = y.data<T>();
      const std::int64_t planes = x.shape()[0] * channels;
      const T factor = static_cast<T>(alpha) / static_cast<T>(size);
      base::parallel_for(context.threads(), planes, grain_for(plane * 8), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t c = i % channels;
          const T* from = in + i * plane;
          T* to = out + i * plane;
          std::fill_n(to, plane, T{});
          for (std::int64_t k = -std::min(before, c); k <= std::min(after, channels - 1 - c); ++k) {
            const T* other = from + k * plane;
            for (std::int64_t j = 0; j < plane; ++j) to[j] += other[j] * other[j];
          }
          for (std::int64_t j = 0; j < plane; ++j) {
            to[j] = from[j] / std::pow(static_cast<T>(bias) + factor * to[j], static_cast<T>(beta));
          }
        }
      });
    });
  });
}

// Y = X / norm along an axis, the norm the sum of sizes (p = 1) or the root of the sum of squares (p = 2); 0 where the
// norm is 0.
std::unique_ptr<Kernel> make_LpNormalization(const KernelInfo& info) {
  const std::int64_t wanted = info.attributes.get_int("axis", -1);
  const std::int64_t p = info.attributes.get_int("p", 2);
  if (p != 1 && p != 2) base::invalid("op.attribute", "attribute 'p' must be 1 or 2, but is {}", p);
  return make_kernel([wanted, p](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Shape& shape = x.shape();
    const int axis = normalize_axis(wanted, shape.rank());
    Tensor& y = context.allocate_output(0, x.element_type(), shape);
    if (y.element_count() == 0) return;
    const std::int64_t outer = shape.element_count(0, axis);
    const std::int64_t dim = shape[axis];
    const std::int64_t inner = shape.element_count(axis + 1, shape.rank());
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "LpNormalization", [&]<typename T>() {
      const T* from = x.data<T>();
      T* to = y.data<T>();
      base::parallel_for(context.threads(), outer, grain_for(dim * inner), [=](std::int64_t begin, std::int64_t end) {
        std::vector<double> norms(static_cast<std::size_t>(inner));
        for (std::int64_t i = begin; i < end; ++i) {
          const T* in = from + i * dim * inner;
          T* out = to + i * dim * inner;
          std::ranges::fill(norms, 0.0);
          for (std::int64_t j = 0; j < dim * inner; ++j) {
            const auto value = static_cast<double>(in[j]);
            norms[static_cast<std::size_t>(j % inner)] += p == 1 ? std::fabs(value) : value * value;
          }
          if (p == 2) std::ranges::transform(norms, norms.begin(), [](double sum) { return std::sqrt(sum); });
          for (std::int64_t j = 0; j < dim * inner; ++j) {
            const double norm = norms[static_cast<std::size_t>(j % inner)];
            out[j] = norm == 0 ? T{0} : static_cast<T>(static_cast<double>(in[j]) / norm);
          }
        }
      });
    });
  });
}

}  // namespace lanner::kernels
