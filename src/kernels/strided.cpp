#include "kernels/strided.h"

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/turn.h"

namespace lanner::kernels {

namespace {

template <typename T>
void copy_rows(int threads, const StridedBlock& block, const T* from, T* to) {
  const std::int64_t from_step = block.from_step();
  const std::int64_t to_step = block.to_step();
  base::parallel_for(threads, block.count, kMoveGrain, [&](std::int64_t begin, std::int64_t end) {
    if (from_step == 1 && to_step == 1) {
      for_each_row(block, begin, end, [&](std::int64_t source, std::int64_t target, std::int64_t length) {
        std::copy_n(from + source, length, to + target);
      });
    } else if (from_step == 0 && to_step == 1) {
      for_each_row(block, begin, end, [&](std::int64_t source, std::int64_t target, std::int64_t length) {
        std::fill_n(to + target, length, from[source]);
      });
    } else {
      for_each_row(block, begin, end, [&](std::int64_t source, std::int64_t target, std::int64_t length) {
        const T* in = from + source;
        T* out = to + target;
        for (std::int64_t i = 0; i < length; ++i) out[i * to_step] = in[i * from_step];
      });
    }
  });
}

// The dimension that is contiguous in the source while the innermost one is contiguous in the target only; -1 if none.
int transposed_level(const StridedBlock& block) {
  if (block.rank < 2 || block.to_step() != 1 || block.from_step() == 1 || block.from_step() == 0) return -1;
  for (int i = block.rank - 2; i >= 0; --i) {
    if (block.from[static_cast<std::size_t>(i)] == 1) return i;
  }
  return -1;
}

// Walks dimension `across` (contiguous in the source) and the innermost one (contiguous in the target) in tiles, so
// that each cache line is used whole while it is there.
template <typename T>
void copy_tiles(int threads, const StridedBlock& block, int across, const T* from, T* to) {
  constexpr std::int64_t kTile = sizeof(T) >= 4 ? 16 : 32;
  constexpr std::int64_t kStrip = 16 * kTile;  // tiles of one work item lie side by side in the target
  const auto level = static_cast<std::size_t>(across);
  const auto inner = static_cast<std::size_t>(block.rank - 1);
  const std::int64_t tall = block.dims[level];
  const std::int64_t wide = block.dims[inner];
  const std::int64_t from_step = block.from[inner];
  const std::int64_t to_step = block.to[level];
  const std::int64_t tile_rows = (tall + kTile - 1) / kTile;
  const std::int64_t strips = (wide + kStrip - 1) / kStrip;
  const std::int64_t items = block.count / (tall * wide) * tile_rows * strips;
  const std::int64_t item_size = std::min(tall, kTile) * std::min(wide, kStrip);
  base::parallel_for(threads, items, std::max<std::int64_t>(1, kMoveGrain / item_size),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t item = begin; item < end; ++item) {
                         std::int64_t rest = item;
                         const std::int64_t x_begin = rest % strips * kStrip;
                         rest /= strips;
                         const std::int64_t y_begin = rest % tile_rows * kTile;
                         rest /= tile_rows;
                         const T* in = from + y_begin;
                         T* out = to + y_begin * to_step;
                         for (std::size_t i = inner; i-- > 0 && rest != 0;) {
                           if (i == level) continue;
                           const std::int64_t index = rest % block.dims[i];
                           rest /= block.dims[i];
                           in += index * block.from[i];
                           out += index * block.to[i];
                         }
                         const std::int64_t height = std::min(kTile, tall - y_begin);
                         const std::int64_t x_end = std::min(x_begin + kStrip, wide);
                         for (std::int64_t x = x_begin; x < x_end; x += kTile) {
                           const std::int64_t width = std::min(kTile, x_end - x);
                           const T* source = in + x * from_step;
                           T* target = out + x;
                           if constexpr (sizeof(T) == 4) {
                             turn_block(source, from_step, width, height, target, to_step);
                           } else {
                             for (std::int64_t y = 0; y < height; ++y) {
                               for (std::int64_t i = 0; i < width; ++i) {
                                 target[y * to_step + i] = source[i * from_step + y];
                               }
                             }
                           }
                         }
                       }
                     });
}

template <typename T>
void copy_typed(int threads, const StridedBlock& block, const void* from, void* to) {
  const int across = transposed_level(block);
  if (across >= 0) {
    copy_tiles(threads, block, across, static_cast<const T*>(from), static_cast<T*>(to));
  } else {
    copy_rows(threads, block, static_cast<const T*>(from), static_cast<T*>(to));
  }
}

// Makes a short contiguous innermost row one wide element where strides and addresses allow; returns the new width.
int widen(StridedBlock& block, int bytes, const void* from, const void* to) {
  if (bytes == 0 || block.rank < 2 || block.from_step() != 1 || block.to_step() != 1) return bytes;
  const auto inner = static_cast<std::size_t>(block.rank - 1);
  const std::int64_t length = block.dims[inner];
  if (length > 16 || !internal::widens(bytes * length, from, to)) return bytes;
  for (std::size_t i = 0; i < inner; ++i) {
    if (block.from[i] % length != 0 || block.to[i] % length != 0) return bytes;
  }
  for (std::size_t i = 0; i < inner; ++i) {
    block.from[i] /= length;
    block.to[i] /= length;
  }
  --block.rank;
  block.count /= length;
  return bytes * static_cast<int>(length);
}

}  // namespace

int moved_bytes(ElementType type) {
  switch (type) {
    case ElementType::kBool:
    case ElementType::kInt8:
    case ElementType::kUint8:
    case ElementType::kFloat8E4M3FN:
    case ElementType::kFloat8E4M3FNUZ:
    case ElementType::kFloat8E5M2:
    case ElementType::kFloat8E5M2FNUZ:
    case ElementType::kFloat8E8M0:
    case ElementType::kFloat4E2M1:
    case ElementType::kInt4:
    case ElementType::kUint4:
    case ElementType::kInt2:
    case ElementType::kUint2:
      return 1;
    case ElementType::kInt16:
    case ElementType::kUint16:
    case ElementType::kFloat16:
    case ElementType::kBfloat16:
      return 2;
    case ElementType::kFloat32:
    case ElementType::kInt32:
    case ElementType::kUint32:
      return 4;
    case ElementType::kFloat64:
    case ElementType::kInt64:
    case ElementType::kUint64:
    case ElementType::kComplex64:
      return 8;
    case ElementType::kComplex128:
      return 16;
    case ElementType::kString:
      return 0;
    default:
      base::fail(ErrorCode::kUnimplemented, "op.type", "elements of type {} cannot be moved", element_type_name(type));
  }
}

std::array<std::int64_t, Shape::kMaxRank> dense_strides(const Shape& shape) {
  std::array<std::int64_t, Shape::kMaxRank> strides;
  std::int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<std::size_t>(i)] = stride;
    stride *= shape[i];
  }
  return strides;
}

void copy_block(int threads, const StridedBlock& block, ElementType type, const void* from, void* to) {
  int bytes = moved_bytes(type);
  if (block.count == 0) return;
  StridedBlock walked = block;
  bytes = widen(walked, bytes, from, to);
  internal::dispatch_bytes(bytes, [&]<typename T>() { copy_typed<T>(threads, walked, from, to); });
}

}  // namespace lanner::kernels
