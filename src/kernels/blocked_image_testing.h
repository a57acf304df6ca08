// What tests of convolutions on images blocked by channel share: memory, images, activations in float64.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "base/memory.h"
#include "kernels/blocked_image.h"

namespace lanner::kernels::testing {

using I = std::int64_t;

// A block of its own for each tensor, of exactly its size, so that the sanitizers see what is read or written past it.
class Buffer {
 public:
  explicit Buffer(std::size_t floats)
      : size_(floats), owner_(static_cast<float*>(base::allocate_memory(floats * sizeof(float))), std::free) {}
  float* data() const { return owner_.get(); }
  std::size_t size() const { return size_; }
  float& operator[](I i) const { return owner_.get()[i]; }

 private:
  std::size_t size_;
  std::shared_ptr<float> owner_;
};

inline I round_up(I value, I step) {
  return (value + step - 1) / step * step;
}

inline float normal(std::mt19937& random) {
  return std::normal_distribution<float>()(random);
}

// Element (n, c, y, x) of an image blocked by channel.
struct Blocked {
  I lanes;
  I channels;
  I height;
  I width;

  std::size_t floats(I batch) const {
    return static_cast<std::size_t>(batch * round_up(channels, lanes) * height * width);
  }
  I at(I n, I c, I y, I x) const {
    return ((n * (round_up(channels, lanes) / lanes) + c / lanes) * height * width + y * width + x) * lanes + c % lanes;
  }
};

inline double apply(const ImageActivation& f, double x) {
  const auto clip = [](double low, double high, double value) { return std::min(high, std::max(low, value)); };
  using Kind = ImageActivation::Kind;
  switch (f.kind) {
    case Kind::kClip:
      return clip(f.alpha, f.beta, x);
    case Kind::kLeakyRelu:
      return x < 0 ? f.alpha * x : x;
    case Kind::kHardSigmoid:
      return clip(0, 1, f.alpha * x + f.beta);
    case Kind::kHardSwish:
      return x * clip(0, 1, x / 6 + 0.5);
    case Kind::kSigmoid:
      return 1 / (1 + std::exp(-f.alpha * x));
    case Kind::kSwish:
      return x / (1 + std::exp(-f.alpha * x));
  }
  return x;
}

// The nearest bfloat16, of two the even one.
inline std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return 0x7FC0;
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

inline float from_bf16(std::uint16_t half) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
}

// An image as a convolution reads or leaves it.
class Image {
 public:
  Image(std::size_t elements, ImageNumber number)
      : number_(number), elements_(elements), memory_((elements * bytes_of(number) + 3) / 4) {}

  void* data() const { return memory_.data(); }
  void set(std::span<const float> values) const {
    for (std::size_t i = 0; i < elements_; ++i) {
      if (number_ == ImageNumber::kFloat32) {
        memory_.data()[i] = values[i];
      } else {
        static_cast<std::uint16_t*>(data())[i] = to_bf16(values[i]);
      }
    }
  }
  std::vector<float> values() const {
    std::vector<float> values;
    for (std::size_t i = 0; i < elements_; ++i) {
      values.push_back(number_ == ImageNumber::kFloat32 ? memory_.data()[i]
                                                        : from_bf16(static_cast<const std::uint16_t*>(data())[i]));
    }
    return values;
  }

 private:
  ImageNumber number_;
  std::size_t elements_;
  Buffer memory_;
};

}  // namespace lanner::kernels::testing
