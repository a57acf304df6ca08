// lanner.DeformableAttention: what Deformable DETR's attention does after its products (arXiv 2010.04159). For each
// query and head, vectors of several maps are interpolated at points, as GridSample does in mode linear with zeros
// around and align_corners 0, and their weighted sum is the result. The vectors of a point lie beside each other in the
// maps, all heads' in one row, so that nothing is turned and only what is near a point is read.
//
// inputs: the maps' rows float32[positions, columns], row by row of each map; weights float32, [heads, queries, points
// of all maps] and further dimensions of 1; then for each map its points float32[heads, queries, points, 2], x before
// y.
//
// attributes: `heads`, `size` (of a vector), `column` (where the first head's vectors begin) and for each map
// `heights`, `widths` and `first_rows`.
//
// output: float32[1, queries, heads * size].
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/fail.h"
#include "base/multiversion.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"

namespace lanner::kernels {

namespace {

constexpr int kFirstPoints = 2;  // the input

struct MapSize {
  std::int64_t height;
  std::int64_t width;
  std::int64_t first_row;
};

struct Options {
  std::int64_t heads;
  std::int64_t size;
  std::int64_t column;
  std::vector<MapSize> maps;
};

struct Points {
  const float* coordinates;
  std::int64_t count;  // for each query
  const float* rows;   // of the map, from the first head's column on
  std::int64_t height;
  std::int64_t width;
};

struct Problem {
  const Options& options;
  std::vector<Points> maps;
  std::int64_t queries;
  std::int64_t points;  // of all maps
  std::int64_t columns;
  const float* weights;
  float* y;
};

// to += factor * what the map holds at (x, y), in pixels.
[[gnu::always_inline]] inline void add_point(const Points& map, std::int64_t columns, const float* vectors, float x,
                                             float y, float factor, std::int64_t size, float* to) {
  const auto left = static_cast<std::int64_t>(std::floor(x));
  const auto top = static_cast<std::int64_t>(std::floor(y));
  const float right_part = x - static_cast<float>(left);
  const float lower_part = y - static_cast<float>(top);
  const float left_part = 1 - right_part;
  const float upper_part = 1 - lower_part;
  const float* const at = vectors + (top * map.width + left) * columns;
  const std::int64_t below = map.width * columns;
  if (left >= 0 && top >= 0 && left + 1 < map.width && top + 1 < map.height) {
    const float a = upper_part * left_part;
    const float b = upper_part * right_part;
    const float c = lower_part * left_part;
    const float d = lower_part * right_part;
    LANNER_INDEPENDENT_ITERATIONS
    for (std::int64_t i = 0; i < size; ++i) {
      to[i] += factor * (a * at[i] + b * at[columns + i] + c * at[below + i] + d * at[below + columns + i]);
    }
    return;
  }
  for (const std::int64_t row : {0, 1}) {
    if (top + row < 0 || top + row >= map.height) continue;
    for (const std::int64_t column : {0, 1}) {
      if (left + column < 0 || left + column >= map.width) continue;
      const float part = factor * (row == 0 ? upper_part : lower_part) * (column == 0 ? left_part : right_part);
      const float* const from = at + row * below + column * columns;
      LANNER_INDEPENDENT_ITERATIONS
      for (std::int64_t i = 0; i < size; ++i) to[i] += part * from[i];
    }
  }
}

// Of the queries of all heads, [begin, end).
LANNER_MULTIVERSION void attend(const Problem& problem, std::int64_t begin, std::int64_t end) {
  const std::int64_t size = problem.options.size;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t head = item / problem.queries;
    float* const to = problem.y + (item % problem.queries * problem.options.heads + head) * size;
    std::fill_n(to, size, 0.0f);
    const float* weight = problem.weights + item * problem.points;
    for (const Points& map : problem.maps) {
      const float* point = map.coordinates + item * map.count * 2;
      const auto width = static_cast<float>(map.width);
      const auto height = static_cast<float>(map.height);
      for (std::int64_t i = 0; i < map.count; ++i, point += 2, ++weight) {
        const float x = ((point[0] + 1) * width - 1) / 2;
        const float y = ((point[1] + 1) * height - 1) / 2;
        if (x > -1 && x < width && y > -1 && y < height) {
          add_point(map, problem.columns, map.rows + head * size, x, y, *weight, size, to);
        } else if (const float nothing = *weight * 0.0f; nothing != 0) {  // a weight that is not finite
          for (std::int64_t c = 0; c < size; ++c) to[c] += nothing;
        }
      }
    }
  }
}

Options parse_options(const KernelInfo& info) {
  const auto& attributes = info.attributes;
  Options options{attributes.require_int("heads"), attributes.require_int("size"), attributes.get_int("column", 0), {}};
  const auto heights = attributes.get_ints("heights");
  const auto widths = attributes.get_ints("widths");
  const auto rows = attributes.get_ints("first_rows");
  if (options.heads < 1 || options.size < 1 || options.column < 0 || heights.empty() ||
      widths.size() != heights.size() || rows.size() != heights.size()) {
    base::invalid("op.attribute",
                  "attributes must name heads, their size, and height, width and first row of each map");
  }
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  for (std::size_t i = 0; i < heights.size(); ++i) {
    if (heights[i] < 1 || widths[i] < 1 || rows[i] < 0 || heights[i] > kMost || widths[i] > kMost || rows[i] > kMost) {
      base::invalid("op.attribute", "a map of {} x {} from row {} on is none", heights[i], widths[i], rows[i]);
    }
    options.maps.push_back({heights[i], widths[i], rows[i]});
  }
  if (options.heads > kMost || options.size > kMost || options.column > kMost ||
      info.input_count != static_cast<int>(heights.size()) + kFirstPoints) {
    base::invalid("op.attribute", "{} inputs do not fit {} maps", info.input_count, heights.size());
  }
  return options;
}

}  // namespace

std::unique_ptr<Kernel> make_DeformableAttention(const KernelInfo& info) {
  return make_kernel([options = parse_options(info)](KernelContext& context) {
    for (int i = 0; i < static_cast<int>(options.maps.size()) + kFirstPoints; ++i) {
      if (context.input(i).element_type() != ElementType::kFloat32) {
        base::invalid("op.type", "input {} must be float32, but is {}", i, context.input(i).type_string());
      }
    }
    const Tensor& rows = context.input(0);
    const Tensor& weights = context.input(1);
    if (rows.rank() != 2 || options.column + options.heads * options.size > rows.shape()[1]) {
      base::invalid("op.shape", "rows of {} do not hold {} vectors of {} from column {} on", rows.shape().to_string(),
                    options.heads, options.size, options.column);
    }
    Problem problem{options, {}, 0, 0, rows.shape()[1], weights.data<float>(), nullptr};
    for (std::size_t i = 0; i < options.maps.size(); ++i) {
      const MapSize& map = options.maps[i];
      const Tensor& points = context.input(static_cast<int>(i) + kFirstPoints);
      const Shape& shape = points.shape();
      if (points.rank() != 4 || shape[0] != options.heads || shape[3] != 2 || (i > 0 && shape[1] != problem.queries) ||
          map.first_row + map.height * map.width > rows.shape()[0]) {
        base::invalid("op.shape", "points of shape {} or rows of shape {} do not fit map {}", shape.to_string(),
                      rows.shape().to_string(), i);
      }
      problem.queries = shape[1];
      problem.points += shape[2];
      problem.maps.push_back({points.data<float>(), shape[2],
                              rows.data<float>() + map.first_row * problem.columns + options.column, map.height,
                              map.width});
    }
    const Shape wanted{options.heads, problem.queries, problem.points};
    if (weights.element_count() != wanted.element_count()) {
      base::invalid("op.shape", "weights must be {}, but are {}", wanted.to_string(), weights.shape().to_string());
    }
    Tensor& y = context.allocate_output(0, ElementType::kFloat32, {1, problem.queries, options.heads * options.size});
    if (y.element_count() == 0) return;
    problem.y = y.data<float>();
    const std::int64_t grain = kElementGrain / std::max<std::int64_t>(4 * problem.points * options.size, 1) + 1;
    base::parallel_for(context.threads(), options.heads * problem.queries, grain,
                       [&](std::int64_t begin, std::int64_t end) { attend(problem, begin, end); });
  });
}

}  // namespace lanner::kernels
