// The discrete Fourier transform of any length in n log n steps, in double: by halves for powers of two, and by
// Bluestein's convolution, whose transforms are powers of two, for other lengths.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

namespace lanner::kernels {

// std::complex multiplies through a library call that sorts out infinities.
struct Complex {
  double re = 0;
  double im = 0;

  friend Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  friend Complex operator*(Complex a, Complex b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
};
inline Complex conjugate(Complex a) {
  return {a.re, -a.im};
}

// Of one length, at least 1. Immutable once made.
class FourierTransform {
 public:
  explicit FourierTransform(std::size_t length) : length_(length) {
    if (std::has_single_bit(length)) {
      roots_.reserve(length / 2);
      for (std::size_t k = 0; k < length / 2; ++k) roots_.push_back(root(k, length));
      return;
    }
    // k * n = (k^2 + n^2 - (k - n)^2) / 2 makes a convolution of the sum.
    inner_ = std::make_unique<FourierTransform>(std::bit_ceil(2 * length - 1));
    filter_.resize(inner_->length_);
    std::size_t square = 0;  // of k, modulo 2 * length
    for (std::size_t k = 0; k < length; ++k) {
      roots_.push_back(root(square, 2 * length));
      filter_[k] = conjugate(roots_.back());
      if (k > 0) filter_[filter_.size() - k] = filter_[k];
      square = (square + 2 * k + 1) % (2 * length);
    }
    inner_->run(filter_);
  }

  std::size_t length() const { return length_; }
  // Numbers that run() needs: the first `length` hold the signal and then the transform.
  std::size_t work_size() const { return inner_ != nullptr ? inner_->length_ : length_; }

  // data[k] = the sum over n of data[n] * exp(-2 pi i k n / length).
  void run(std::span<Complex> data) const {
    if (inner_ == nullptr) return run_by_halves(data.data());
    for (std::size_t k = 0; k < length_; ++k) data[k] = data[k] * roots_[k];
    for (std::size_t k = length_; k < inner_->length_; ++k) data[k] = {};
    inner_->run(data);
    // The inverse transform is the transform of the conjugate.
    for (std::size_t k = 0; k < inner_->length_; ++k) data[k] = conjugate(data[k] * filter_[k]);
    inner_->run(data);
    const double scale = 1 / static_cast<double>(inner_->length_);
    for (std::size_t k = 0; k < length_; ++k) {
      const Complex sum = conjugate(data[k]) * roots_[k];
      data[k] = {sum.re * scale, sum.im * scale};
    }
  }

 private:
  // exp(-2 pi i k / n)
  static Complex root(std::size_t k, std::size_t n) {
    const double angle = -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
    return {std::cos(angle), std::sin(angle)};
  }

  void run_by_halves(Complex* data) const {
    for (std::size_t i = 1, j = 0; i < length_; ++i) {
      std::size_t bit = length_ / 2;
      for (; (j & bit) != 0; bit /= 2) j ^= bit;
      j ^= bit;
      if (i < j) std::swap(data[i], data[j]);
    }
    for (std::size_t half = 1; half < length_; half *= 2) {
      const std::size_t step = length_ / 2 / half;
      for (std::size_t first = 0; first < length_; first += 2 * half) {
        for (std::size_t k = 0; k < half; ++k) {
          const Complex even = data[first + k];
          const Complex odd = data[first + half + k] * roots_[k * step];
          data[first + k] = even + odd;
          data[first + half + k] = even - odd;
        }
      }
    }
  }

  std::size_t length_;
  std::vector<Complex> roots_;
  std::unique_ptr<FourierTransform> inner_;
  std::vector<Complex> filter_;  // transformed
};

}  // namespace lanner::kernels
