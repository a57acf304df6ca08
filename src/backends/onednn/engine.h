// oneDNN's CPU engine, its errors as Lanner's, and its threads.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include <dnnl.hpp>

#include "lanner/tensor.h"

namespace lanner::backends::onednn {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;
using Tag = dnnl::memory::format_tag;
using Number = dnnl::memory::data_type;

// The one CPU engine of the process. Its primitive cache is off: plans are cached by us, and are the only cache.
const dnnl::engine& engine();

// Whether the CPU (and DNNL_MAX_CPU_ISA) lets oneDNN use AVX-512.
bool has_avx512();
// And instructions with which oneDNN's operators are faster on bfloat16 than on float32. CPUs with AMX are none: there the
// instructions for vectors of bfloat16 make half of float32's products in a second, and those for tiles want channels last.
bool has_bf16();

// A row-major descriptor; a scalar is a vector of one element.
Desc plain_desc(const Dims& dims, Number number = Number::f32);
inline bool is_plain(const Desc& desc) {
  return desc == plain_desc(desc.dims(), desc.data_type());
}
// The layout that convolutions run in, channels in blocks of the vector width, for images and the like (rank 3 to 5);
// any other rank is plain.
Desc blocked_desc(const Dims& dims, Number number = Number::f32);
// Weights [groups][1][1][height][width] in blocks of groups.
Desc blocked_groups_desc(const Dims& dims);
// Weights [outputs][inputs][1][1] in blocks of outputs, and of inputs filled up to whole blocks.
Desc blocked_weights_desc(const Dims& dims);
// `dims` with oneDNN's choice of layout.
Desc any_desc(const Dims& dims, Number number = Number::f32);

// The same layout of other numbers.
Desc in_number(Desc desc, Number number);

// Throws `op.size` for a shape that oneDNN cannot count the elements of.
Dims dims_of(const Shape& shape);

// Throws `backend.onednn` (kInternal) for a status that is not success.
[[noreturn]] void fail(dnnl_status_t status, std::string_view what);
inline void check(dnnl_status_t status, std::string_view what) {
  if (status != dnnl_success) fail(status, what);
}

// Runs `body`; what oneDNN throws in it becomes a `backend.onednn` Error.
template <typename Body>
decltype(auto) guarded(Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const dnnl::error& error) {
    fail(error.status, error.message);
  }
}

// Gives the calling thread's oneDNN calls `threads` threads for the object's life.
class ThreadCount {
 public:
  explicit ThreadCount(int threads);
  ~ThreadCount();
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_ = 0;
};

}  // namespace lanner::backends::onednn
