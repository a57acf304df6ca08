#include "backends/onednn/engine.h"

#include <algorithm>
#include <cstdint>

#include "base/fail.h"

#ifdef LANNER_OPENMP
#include <omp.h>
#endif

namespace lanner::backends::onednn {

const dnnl::engine& engine() {
  static const dnnl::engine engine = [] {
    dnnl::set_primitive_cache_capacity(0);
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

namespace {

bool has_isa(dnnl::cpu_isa wanted) {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto needed = static_cast<unsigned>(wanted);
  return (isa & needed) == needed;
}

}  // namespace

bool has_avx512() {
  static const bool found = has_isa(dnnl::cpu_isa::avx512_core);
  return found;
}

bool has_bf16() {
  static const bool found = has_isa(dnnl::cpu_isa::avx512_core_bf16) && !has_isa(dnnl::cpu_isa::avx512_core_amx);
  return found;
}

// oneDNN keeps dimensions in an int and checks no products, those of padded channels and scratch memory included.
constexpr std::int64_t kMostElements = std::int64_t{1} << 32;

Dims dims_of(const Shape& shape) {
  if (shape.rank() == 0) return {1};
  std::int64_t count = 1;
  for (const std::int64_t dim : shape) {
    if (dim <= INT32_MAX) count *= std::max<std::int64_t>(dim, 1);
    if (dim > INT32_MAX || count > kMostElements) {
      base::invalid("op.size", "a tensor of shape {} is too large for oneDNN", shape.to_string());
    }
  }
  return {shape.begin(), shape.end()};
}

Desc plain_desc(const Dims& dims, Number number) {
  Dims strides(dims.size());
  dnnl::memory::dim stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i] > 0 ? dims[i] : 1;
  }
  return {dims, number, strides};
}

Desc blocked_desc(const Dims& dims, Number number) {
  constexpr Tag kBlocks16[] = {Tag::nCw16c, Tag::nChw16c, Tag::nCdhw16c};
  constexpr Tag kBlocks8[] = {Tag::nCw8c, Tag::nChw8c, Tag::nCdhw8c};
  if (dims.size() < 3 || dims.size() > 5) return plain_desc(dims, number);
  return {dims, number, (has_avx512() ? kBlocks16 : kBlocks8)[dims.size() - 3]};
}

Desc blocked_groups_desc(const Dims& dims) {
  return {dims, Number::f32, has_avx512() ? Tag::Goihw16g : Tag::Goihw8g};
}

Desc blocked_weights_desc(const Dims& dims) {
  return {dims, Number::f32, has_avx512() ? Tag::OIhw16i16o : Tag::OIhw8i8o};
}

Desc any_desc(const Dims& dims, Number number) {
  return {dims, number, Tag::any};
}

Desc in_number(Desc desc, Number number) {
  desc.data.data_type = dnnl::memory::convert_to_c(number);
  return desc;
}

void fail(dnnl_status_t status, std::string_view what) {
  base::fail(ErrorCode::kInternal, "backend.onednn", "oneDNN: {} (status {})", what, static_cast<int>(status));
}

#ifdef LANNER_OPENMP
ThreadCount::ThreadCount(int threads) : before_(omp_get_max_threads()) {
  if (threads != before_) omp_set_num_threads(threads);
}
ThreadCount::~ThreadCount() {
  omp_set_num_threads(before_);
}
#else
ThreadCount::ThreadCount(int) {}
ThreadCount::~ThreadCount() = default;
#endif

}  // namespace lanner::backends::onednn
