#include "passes/joined_tables.h"

#include <algorithm>
#include <cstring>

#include "passes/match.h"

namespace lanner::passes {

namespace {

// A row's dimensions, where all tables have the same.
std::optional<std::vector<std::int64_t>> item_of(const Graph& graph, std::span<const ValueId> tables) {
  std::vector<std::int64_t> item;
  for (std::size_t k = 0; k < tables.size(); ++k) {
    const ValueType& type = type_of(graph, tables[k]);
    const std::optional<Shape> shape = type.static_shape();
    if (!shape || shape->rank() == 0 || type.element != type_of(graph, tables[0]).element) return std::nullopt;
    std::vector<std::int64_t> dims(shape->begin() + 1, shape->end());
    if (std::ranges::find(dims, 0) != dims.end() || (k > 0 && dims != item)) return std::nullopt;
    item = std::move(dims);
  }
  return item;
}

std::optional<JoinedTables> joined_constants(const Graph& graph, std::span<const ValueId> tables,
                                             const std::vector<std::int64_t>& item) {
  JoinedTables result;
  std::int64_t rows = 0;
  for (const ValueId table : tables) {
    const Tensor* constant = constant_of(graph, table);
    if (constant == nullptr || constant->element_type() == ElementType::kString) return std::nullopt;
    result.starts.push_back(rows);
    rows += constant->shape()[0];
  }
  result.dims = {rows};
  result.dims.insert(result.dims.end(), item.begin(), item.end());
  Shape shape;
  for (const std::int64_t dim : result.dims) shape.push_back(dim);
  result.constant = Tensor::allocate(type_of(graph, tables[0]).element, shape);
  auto* out = static_cast<std::byte*>(result.constant.raw_data());
  for (const ValueId table : tables) {
    const Tensor& constant = *constant_of(graph, table);
    if (constant.byte_count() > 0) std::memcpy(out, constant.raw_data(), constant.byte_count());
    out += constant.byte_count();
  }
  return result;
}

}  // namespace

std::optional<JoinedTables> joined_tables(const Selections& selections, std::span<const ValueId> tables) {
  const Graph& graph = selections.graph();
  const auto item = item_of(graph, tables);
  if (!item) return std::nullopt;
  if (constant_of(graph, tables[0]) != nullptr) return joined_constants(graph, tables, *item);

  std::int64_t row_size = 1;
  for (const std::int64_t dim : *item) row_size *= dim;
  JoinedTables result;
  for (const ValueId table : tables) {
    const Meaning* meaning = selections.of(table);
    if (meaning == nullptr || meaning->kind != Meaning::Kind::kData || meaning->rows != nullptr ||
        !is_dense(meaning->layout) || meaning->layout.offset % row_size != 0 ||
        (result.value != kNoValue && meaning->layout.base != result.value)) {
      return std::nullopt;
    }
    result.value = meaning->layout.base;
    result.starts.push_back(meaning->layout.offset / row_size);
  }
  const std::optional<Shape> shape = type_of(graph, result.value).static_shape();
  if (!shape || shape->element_count() % row_size != 0) return std::nullopt;
  result.dims = {shape->element_count() / row_size};
  result.dims.insert(result.dims.end(), item->begin(), item->end());
  return result;
}

}  // namespace lanner::passes
