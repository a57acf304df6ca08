// DFT, STFT and MelWeightMatrix. Signals are float32 or float64, their transforms are computed in double. The last
// dimension of a signal or spectrum holds real and imaginary parts, or real ones alone.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/convert_elements.h"
#include "kernels/fft.h"
#include "kernels/kernel.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// Longer transforms are not attempted.
constexpr std::int64_t kMaxLength = std::int64_t{1} << 26;

std::int64_t read_scalar(const Tensor& tensor, std::string_view name) {
  const std::vector<std::int64_t> values = read_indices(tensor, name);
  if (values.size() != 1)
    base::invalid("op.shape", "input '{}' must have one element, but has {}", name, values.size());
  return values[0];
}

double read_number(const Tensor& tensor, std::string_view name) {
  if (tensor.element_count() != 1) {
    base::invalid("op.shape", "input '{}' must have one element, but has shape {}", name, tensor.shape().to_string());
  }
  double value = 0;
  tensor::dispatch(decltype(tensor::FloatTypes{} + tensor::HalfTypes{}){}, tensor.element_type(), name,
                   [&]<typename T>() { value = static_cast<double>(*tensor.data<T>()); });
  return value;
}

std::int64_t check_length(std::int64_t length, std::string_view name) {
  if (length >= 1 && length <= kMaxLength) return length;
  base::invalid("op.value", "{} must be in [1, {}], but is {}", name, kMaxLength, length);
}

std::int64_t count_parts(const Shape& shape, std::string_view name) {
  const std::int64_t parts = shape.rank() > 0 ? shape[shape.rank() - 1] : 0;
  if (shape.rank() >= 2 && (parts == 1 || parts == 2)) return parts;
  base::invalid("op.shape", "input '{}' must end in a dimension of 1 or 2, but has shape {}", name, shape.to_string());
}

std::int64_t grain_for(std::int64_t length) {
  return std::max<std::int64_t>(1, kElementGrain / (16 * length));
}

// Element `index` of what lies at `data`.
template <typename T>
Complex load(const T* data, std::int64_t parts, std::int64_t index) {
  const T* const element = data + index * parts;
  return {static_cast<double>(element[0]), parts == 2 ? static_cast<double>(element[1]) : 0.0};
}

struct DftProblem {
  bool inverse;
  bool onesided;
  std::int64_t parts;   // of the input's elements
  std::int64_t signal;  // the input's elements along the axis
  std::int64_t length;  // of the transform
  std::int64_t bins;    // the output's elements along the axis
  std::int64_t outer;
  std::int64_t inner;
};

template <typename T>
void transform_signals(const DftProblem& problem, int threads, const T* x, T* y) {
  const FourierTransform transform(static_cast<std::size_t>(problem.length));
  const std::int64_t inner = problem.inner;
  const std::int64_t n = problem.length;
  base::parallel_for(threads, problem.outer * inner, grain_for(n), [&](std::int64_t begin, std::int64_t end) {
    std::vector<Complex> work(transform.work_size());
    for (std::int64_t item = begin; item < end; ++item) {
      const T* const from = x + (item / inner * problem.signal * inner + item % inner) * problem.parts;
      const auto element = [&](std::int64_t k) { return load(from, problem.parts, k * inner); };
      const auto at = [&](std::int64_t k) -> Complex& { return work[static_cast<std::size_t>(k)]; };
      std::fill_n(work.begin(), n, Complex{});
      if (problem.inverse && problem.onesided) {
        // The other half of a real signal's spectrum is the conjugate; where it is its own it is real.
        for (std::int64_t k = 0; k < std::min(problem.signal, n / 2 + 1); ++k) {
          const Complex value = element(k);
          if (k == 0 || 2 * k == n) {
            at(k) = {value.re, 0};
          } else {
            at(k) = value;
            at(n - k) = conjugate(value);
          }
        }
      } else {
        for (std::int64_t k = 0; k < std::min(problem.signal, n); ++k) at(k) = element(k);
      }
      if (problem.inverse) {
        for (std::int64_t k = 0; k < n; ++k) at(k) = conjugate(at(k));
      }
      transform.run(work);
      const std::int64_t parts = problem.inverse && problem.onesided ? 1 : 2;
      const double scale = problem.inverse ? 1 / static_cast<double>(n) : 1;
      T* const to = y + (item / inner * problem.bins * inner + item % inner) * parts;
      for (std::int64_t k = 0; k < problem.bins; ++k) {
        T* const out = to + k * inner * parts;
        out[0] = static_cast<T>(at(k).re * scale);
        if (parts == 2) out[1] = static_cast<T>((problem.inverse ? -at(k).im : at(k).im) * scale);
      }
    }
  });
}

}  // namespace

std::unique_ptr<Kernel> make_DFT(const KernelInfo& info) {
  const bool inverse = info.attributes.get_int("inverse", 0) != 0;
  const bool onesided = info.attributes.get_int("onesided", 0) != 0;
  return make_kernel([inverse, onesided](KernelContext& context) {
    const Tensor& x = context.input(0);
    const std::int64_t parts = count_parts(x.shape(), "input");
    if (onesided && parts != (inverse ? 2 : 1)) {
      base::invalid("op.shape", "a onesided transform needs {} input, but its shape is {}",
                    inverse ? "complex" : "real", x.shape().to_string());
    }
    const Tensor* wanted_axis = context.optional_input(2);
    const int axis = normalize_axis(wanted_axis != nullptr ? read_scalar(*wanted_axis, "axis") : -2, x.rank());
    if (axis == x.rank() - 1) base::invalid("op.axis", "the last dimension holds the parts of complex numbers");
    const std::int64_t signal = x.shape()[axis];
    const Tensor* wanted_length = context.optional_input(1);
    const std::int64_t length = check_length(wanted_length != nullptr ? read_scalar(*wanted_length, "dft_length")
                                             : inverse && onesided    ? 2 * (std::min(signal, kMaxLength) - 1)
                                                                      : signal,
                                             "the length of the transform");
    Shape shape = x.shape();
    shape[axis] = onesided && !inverse ? length / 2 + 1 : length;
    shape[x.rank() - 1] = onesided && inverse ? 1 : 2;
    const DftProblem problem{inverse,
                             onesided,
                             parts,
                             signal,
                             length,
                             shape[axis],
                             shape.element_count(0, axis),
                             shape.element_count(axis + 1, x.rank() - 1)};
    Tensor& y = context.allocate_output(0, x.element_type(), shape);
    if (y.element_count() == 0) return;
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "DFT",
                     [&]<typename T>() { transform_signals(problem, context.threads(), x.data<T>(), y.data<T>()); });
  });
}

std::unique_ptr<Kernel> make_STFT(const KernelInfo& info) {
  const bool onesided = info.attributes.get_int("onesided", 1) != 0;
  return make_kernel([onesided](KernelContext& context) {
    const Tensor& x = context.input(0);
    const Tensor* window = context.optional_input(2);
    const Tensor* wanted_length = context.optional_input(3);
    const std::int64_t parts = count_parts(x.shape(), "signal");
    if (x.rank() != 3) base::invalid("op.rank", "input 'signal' must have rank 3, but has {}", x.rank());
    const std::int64_t signal = x.shape()[1];
    const std::int64_t step = read_scalar(context.input(1), "frame_step");
    if (step < 1) base::invalid("op.value", "input 'frame_step' must be positive, but is {}", step);
    if (window != nullptr && (window->rank() != 1 || window->element_type() != x.element_type())) {
      base::invalid("op.shape", "input 'window' must be {} of rank 1, but is {}", element_type_name(x.element_type()),
                    window->type_string());
    }
    const std::int64_t length = check_length(wanted_length != nullptr ? read_scalar(*wanted_length, "frame_length")
                                             : window != nullptr      ? window->shape()[0]
                                                                      : signal,
                                             "a frame's length");
    if (window != nullptr && window->shape()[0] != length) {
      base::invalid("op.shape", "a window of {} does not fit frames of {}", window->shape()[0], length);
    }
    if (length > signal) base::invalid("op.shape", "a signal of {} has no frame of {}", signal, length);
    const std::int64_t batch = x.shape()[0];
    const std::int64_t frames = (signal - length) / step + 1;
    const std::int64_t bins = onesided ? length / 2 + 1 : length;
    Tensor& y = context.allocate_output(0, x.element_type(), {batch, frames, bins, 2});
    if (y.element_count() == 0) return;
    tensor::dispatch(tensor::FloatTypes{}, x.element_type(), "STFT", [&]<typename T>() {
      const FourierTransform transform(static_cast<std::size_t>(length));
      const T* const weights = window != nullptr ? window->data<T>() : nullptr;
      const T* const data = x.data<T>();
      T* const out = y.data<T>();
      base::parallel_for(context.threads(), batch * frames, grain_for(length),
                         [&](std::int64_t begin, std::int64_t end) {
                           std::vector<Complex> work(transform.work_size());
                           for (std::int64_t item = begin; item < end; ++item) {
                             const std::int64_t first = item / frames * signal + item % frames * step;
                             for (std::int64_t k = 0; k < length; ++k) {
                               const double weight = weights != nullptr ? static_cast<double>(weights[k]) : 1;
                               const Complex value = load(data, parts, first + k);
                               work[static_cast<std::size_t>(k)] = {value.re * weight, value.im * weight};
                             }
                             transform.run(work);
                             for (std::int64_t k = 0; k < bins; ++k) {
                               const Complex value = work[static_cast<std::size_t>(k)];
                               out[2 * (item * bins + k)] = static_cast<T>(value.re);
                               out[2 * (item * bins + k) + 1] = static_cast<T>(value.im);
                             }
                           }
                         });
    });
  });
}

// Triangles over the bins of a spectrum, evenly spaced on the mel scale, one a column: it rises from its left
// neighbour's centre to its own and falls to its right one's. What lies outside the spectrum is left out.
std::unique_ptr<Kernel> make_MelWeightMatrix(const KernelInfo& info) {
  const auto type = static_cast<ElementType>(
      info.attributes.get_int("output_datatype", static_cast<std::int64_t>(ElementType::kFloat32)));
  return make_kernel([type](KernelContext& context) {
    const std::int64_t bands = check_length(read_scalar(context.input(0), "num_mel_bins"), "input 'num_mel_bins'");
    const std::int64_t length = check_length(read_scalar(context.input(1), "dft_length"), "input 'dft_length'");
    const std::int64_t rate = read_scalar(context.input(2), "sample_rate");
    if (rate < 1) base::invalid("op.value", "input 'sample_rate' must be positive, but is {}", rate);
    const auto mel = [](double hertz) { return 2595 * std::log1p(hertz / 700) / std::numbers::ln10; };
    const double low = mel(read_number(context.input(3), "lower_edge_hertz"));
    const double high = mel(read_number(context.input(4), "upper_edge_hertz"));
    const std::int64_t rows = length / 2 + 1;
    Tensor& y = context.allocate_output(0, type, {rows, bands});
    Tensor matrix = type == ElementType::kFloat64 ? y : context.allocate_scratch(ElementType::kFloat64, {rows, bands});
    double* const out = matrix.data<double>();
    std::fill_n(out, rows * bands, 0.0);
    const double step = (high - low) / static_cast<double>(bands + 2);
    // The spectrum's bin of edge `i`, as near to the spectrum as tells on which side of it it is.
    const auto bin = [&](std::int64_t i) {
      const double hertz = 700 * std::expm1((static_cast<double>(i) * step + low) / 2595 * std::numbers::ln10);
      const double exact = std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate));
      const auto limit = static_cast<double>(std::int64_t{1} << 40);
      return std::isnan(exact) ? std::int64_t{-1} : static_cast<std::int64_t>(std::clamp(exact, -limit, limit));
    };
    for (std::int64_t i = 0; i < bands; ++i) {
      const std::int64_t left = bin(i);
      const std::int64_t centre = bin(i + 1);
      const std::int64_t right = bin(i + 2);
      if (left == centre) {
        if (centre >= 0 && centre < rows) out[centre * bands + i] = 1;
      } else {
        for (std::int64_t j = std::max<std::int64_t>(left, 0); j <= std::min(centre, rows - 1); ++j) {
          out[j * bands + i] = static_cast<double>(j - left) / static_cast<double>(centre - left);
        }
      }
      for (std::int64_t j = std::max<std::int64_t>(centre, 0); j < std::min(right, rows); ++j) {
        out[j * bands + i] = static_cast<double>(right - j) / static_cast<double>(right - centre);
      }
    }
    if (type != ElementType::kFloat64) convert_elements(context.threads(), matrix, {}, y);
  });
}

}  // namespace lanner::kernels
