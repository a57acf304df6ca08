// Running a verified program on inputs that are made for its input types.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lanner/tensor.h"
#include "program/program.h"
#include "tensor/value_type.h"

namespace lanner::fuzz {

// A small generator whose numbers are the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  std::uint32_t bits() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 32);
  }
  // In [0, count).
  std::size_t below(std::size_t count) { return bits() % count; }
  bool one_in(std::size_t count) { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

// A tensor of the type with small, odd and extreme elements.
Tensor random_tensor(Random& random, ElementType type, const Shape& shape);

// A value of the type, its unknown dimensions small; nothing where that would take many elements.
std::optional<Value> random_value(Random& random, const tensor::ValueType& type);

// Makes the program ready and runs it, several times on the same inputs and on others, serially and on two lanes. It
// may throw Errors, and none of them leaves; what it returns must not depend on what memory held before or on lanes:
// otherwise the process ends.
void execute(const program::Program& program, std::uint64_t seed);

// Ends the process with the message, as a finding.
[[noreturn]] void finding(const char* message);

}  // namespace lanner::fuzz
