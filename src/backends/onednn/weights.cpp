#include "backends/onednn/weights.h"

#include <mutex>
#include <unordered_map>

namespace lanner::backends::onednn {

namespace {

struct Packed {
  Desc from;
  Desc to;
  float scale;
  std::weak_ptr<dnnl::memory> memory;
};

std::mutex table_mutex;

// By the address of the plain weights, which stays theirs while anything packed from them is held.
std::unordered_multimap<const void*, Packed>& table() {
  static std::unordered_multimap<const void*, Packed> table;
  return table;
}

}  // namespace

std::shared_ptr<dnnl::memory> packed_weights(const Tensor& constant, const Desc& from, const Desc& to, float scale) {
  // Packing never writes to the plain weights.
  void* data = const_cast<void*>(constant.raw_data());
  if (from == to && scale == 1.0F) return std::make_shared<dnnl::memory>(to, engine(), data);

  const std::lock_guard lock(table_mutex);
  std::erase_if(table(), [](const auto& entry) { return entry.second.memory.expired(); });
  const auto [first, last] = table().equal_range(data);
  for (auto entry = first; entry != last; ++entry) {
    const Packed& found = entry->second;
    if (found.from == from && found.to == to && found.scale == scale) {
      if (auto memory = found.memory.lock()) return memory;
    }
  }
  auto packed = std::make_shared<dnnl::memory>(to, engine());
  dnnl::memory plain(from, engine(), data);
  dnnl::primitive_attr attributes;
  if (scale != 1.0F) attributes.set_output_scales(0, {scale});
  dnnl::stream stream(engine());
  dnnl::reorder(plain, *packed, attributes).execute(stream, plain, *packed);
  stream.wait();
  table().emplace(data, Packed{from, to, scale, packed});
  return packed;
}

}  // namespace lanner::backends::onednn
