// Inner loops that Highway compiles for several instruction sets, and the choice among them. Highway's own choice at
// run time needs its library, which measures the CPU's clock whenever a program that links it starts; these are the few
// features that its targets stand for.
#pragma once

#include <algorithm>
#include <atomic>
#include <span>

namespace lanner::kernels {

// A table of loops for an instruction set.
template <typename Loops>
struct LoopsRow {
  const char* name;
  bool (*supported)();  // by this CPU
  const Loops* loops;
};

// `rows` are those that were compiled, best first; the last is supported everywhere. One object a kind of loops.
template <typename Loops>
class LoopsOfCpu {
 public:
  explicit LoopsOfCpu(std::span<const LoopsRow<Loops>> rows)
      : rows_(rows), best_(*std::ranges::find_if(rows, [](const auto& row) { return row.supported(); })->loops) {}

  std::span<const LoopsRow<Loops>> rows() const { return rows_; }
  // The best that this CPU supports, or what a test has chosen.
  const Loops& get() const {
    const Loops* chosen = chosen_for_test_.load(std::memory_order_relaxed);
    return chosen != nullptr ? *chosen : best_;
  }
  // What get() returns from now on; null for its own choice.
  void set_for_test(const Loops* loops) { chosen_for_test_.store(loops, std::memory_order_relaxed); }

 private:
  std::span<const LoopsRow<Loops>> rows_;
  const Loops& best_;
  std::atomic<const Loops*> chosen_for_test_{nullptr};
};

#if defined(__x86_64__)
inline bool cpu_has_avx512() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
// With products of bytes.
inline bool cpu_has_avx512_vnni() {
  return cpu_has_avx512() && __builtin_cpu_supports("avx512vnni");
}
inline bool cpu_has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2");
}
#endif

}  // namespace lanner::kernels
