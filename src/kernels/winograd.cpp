#include "kernels/winograd.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <span>
#include <thread>

#include "base/parallel.h"

namespace lanner::kernels {

namespace {

constexpr std::size_t kPanelVectors = 2;
constexpr std::size_t kMostLanes = 16;
constexpr std::size_t kElements = 9;       // of a kernel
constexpr std::size_t kPackedAtOnce = 16;  // channels
constexpr std::size_t kBlocksAtOnce = 4;   // of channels, that are transformed as one item of work

// So many channels are summed up before they are added to the sum of those before, which rounds less than one long sum,
// and so many are transformed at once of weights kept plain. A multiple of all numbers of lanes.
constexpr std::size_t kStep = 64;

// What a thread works on is to stay in its second-level cache, what all work on in the third.
constexpr std::size_t kWindowsBytes = std::size_t{512} << 10;         // of a thread's portion, by tiles
constexpr std::size_t kSharedWindowsBytes = std::size_t{8} << 20;     // of a portion, by channels
constexpr std::size_t kProductsBytes = std::size_t{512} << 10;        // of a thread
constexpr std::size_t kWeightsReadOftenBytes = std::size_t{4} << 20;  // more are not read for each of several portions

constexpr std::size_t divide_up(std::size_t a, std::size_t b) {
  return (a + b - 1) / b;
}

constexpr std::size_t round_up(std::size_t a, std::size_t b) {
  return divide_up(a, b) * b;
}

// Rows a little longer than a power of two do not all fall into the same lines of the cache.
constexpr std::size_t odd_stride(std::size_t elements) {
  return (divide_up(elements, kMostLanes) | 1) * kMostLanes;
}

// Asks for part `part` of `parts` of what will be read soon.
void prefetch_part(const void* begin, std::size_t bytes, std::size_t part, std::size_t parts) {
  constexpr std::size_t kLine = 64;
  const std::size_t lines = divide_up(bytes, kLine);
  for (std::size_t i = part * lines / parts; i < (part + 1) * lines / parts; ++i) {
    __builtin_prefetch(static_cast<const std::byte*>(begin) + i * kLine, 0, 2);
  }
}

// Returns once `done` has reached `count`; for threads that will soon have done it.
void wait_until(const std::atomic<std::size_t>& done, std::size_t count) {
  constexpr int kSpins = 10'000;  // some microseconds; then they may be waiting for this core
  for (int spins = 0; done.load(std::memory_order_acquire) < count; ++spins) {
    if (spins > kSpins) std::this_thread::yield();
  }
}

}  // namespace

WinogradWeights::WinogradWeights(const WinogradLoops& loops, WinogradForm form, WinogradStorage storage,
                                 std::int64_t stride, std::int64_t outputs, std::int64_t inputs)
    : loops_(&loops),
      form_(form),
      storage_(storage),
      stride_(static_cast<std::size_t>(stride)),
      outputs_(static_cast<std::size_t>(outputs)),
      inputs_(static_cast<std::size_t>(inputs)),
      panel_outputs_(kPanelVectors * loops.lanes),
      panels_(divide_up(outputs_, panel_outputs_)),
      panel_floats_((storage == WinogradStorage::kPlain ? kElements : weight_count(form, stride_)) * inputs_ *
                    panel_outputs_) {}

std::size_t WinogradWeights::vectors(std::size_t panel) const {
  return divide_up(outputs(panel), loops_->lanes);
}

void WinogradWeights::pack(const float* plain, std::size_t panel, float* packed) const {
  const std::size_t width = vectors(panel) * loops_->lanes;
  const std::size_t exist = outputs(panel);
  const float* const from = plain + panel * panel_outputs_ * inputs_ * kElements;
  float* const to = packed + panel * panel_floats_;
  // [channel][element][output] of some channels.
  const auto reorder = [&](std::size_t first, std::size_t count, float* reordered) {
    for (std::size_t o = 0; o < width; ++o) {
      const float* const row = from + (o * inputs_ + first) * kElements;
      for (std::size_t i = 0; i < count * kElements; ++i) reordered[i * width + o] = o < exist ? row[i] : 0.0F;
    }
  };
  alignas(64) std::array<float, kPackedAtOnce * kElements * kPanelVectors * kMostLanes> few;
  for (std::size_t first = 0; first < inputs_; first += kPackedAtOnce) {
    const std::size_t count = std::min(kPackedAtOnce, inputs_ - first);
    if (storage_ == WinogradStorage::kPlain) {
      reorder(first, count, to + first * kElements * width);
    } else {
      reorder(first, count, few.data());
      loops_->transform_weights[stride_ - 1][form_index(form_)](few.data(), count, width, to + first * width,
                                                                inputs_ * width);
    }
  }
}

// Tiles that are multiplied together: their place in the portion.
struct Winograd::Group {
  std::size_t first;
  std::size_t count;
};

// One panel for the tiles of some groups, and a thread's memory for it.
struct Winograd::Task {
  std::size_t panel;
  std::size_t first_group;
  std::size_t end_group;
  std::size_t next_panel;  // that the thread will probably have next
  WinogradTile* tiles;
  float* products;
  float* columns;
};

// A portion.
struct Winograd::Job {
  const WinogradArguments& arguments;
  std::size_t first;  // tile
  std::size_t count;  // tiles
  float* windows;
};

Winograd::Winograd(const WinogradLoops& loops, WinogradForm form, WinogradStorage storage,
                   const WinogradProblem& problem, int threads)
    : loops_(&loops),
      problem_(problem),
      weights_(loops, form, storage, problem.stride, problem.outputs, problem.inputs),
      stride_(weights_.stride_),
      windows_(window_count(form, stride_)),
      points_(terms()),
      rows_(strips(problem.output_height, problem.height, problem.pad_top, problem.dilation_y)),
      columns_(strips(problem.output_width, problem.width, problem.pad_left, problem.dilation_x)),
      tiles_(static_cast<std::size_t>(problem.batch) * rows_.size() * columns_.size()),
      input_blocks_(divide_up(weights_.inputs_, loops.lanes)),
      workers_(static_cast<std::size_t>(std::max(threads, 1))) {
  const std::size_t channels = input_blocks_ * loops.lanes;
  const std::size_t window_bytes = windows_ * channels * sizeof(float);
  const std::size_t product_bytes = points_.size() * weights_.panel_outputs_ * sizeof(float);
  const std::size_t most_products = kProductsBytes / product_bytes / loops.most_tiles * loops.most_tiles;
  const auto most = [&](std::size_t windows_bytes) {
    return std::clamp(windows_bytes / window_bytes, loops.most_tiles, most_products);
  };
  by_channels_ = storage == WinogradStorage::kPlain ||
                 (tiles_ <= most(kSharedWindowsBytes) && weights_.bytes() > kWeightsReadOftenBytes);
  std::size_t portions = divide_up(tiles_, most(by_channels_ ? kSharedWindowsBytes : kWindowsBytes));
  // A last round in which some threads have nothing to do counts where rounds are few.
  if (!by_channels_ && portions < 8 * workers_) portions = round_up(portions, workers_);
  portion_ = divide_up(tiles_, portions);
  const std::size_t groups = divide_up(portion_, loops.most_tiles);
  parts_ = by_channels_ ? std::min(groups, divide_up(2 * workers_, weights_.panels())) : 1;
  part_ = divide_up(groups, parts_) * loops.most_tiles;
  // Windows lie in the order they are read in: by slabs of channels, values, groups.
  slab_ = storage == WinogradStorage::kPlain ? kStep : channels;
  window_stride_ = odd_stride(portion_ * std::min(slab_, channels));
  product_stride_ = odd_stride(part_ * weights_.panel_outputs_);
  tiles_bytes_ = round_up(portion_ * sizeof(WinogradTile), 64);
  windows_bytes_ = divide_up(channels, slab_) * windows_ * window_stride_ * sizeof(float);
  products_bytes_ = points_.size() * product_stride_ * sizeof(float);
  const std::size_t columns_bytes =
      storage == WinogradStorage::kPlain
          ? weight_count(form, stride_) * odd_stride(kStep * weights_.panel_outputs_) * sizeof(float)
          : 0;
  own_bytes_ = tiles_bytes_ + products_bytes_ + columns_bytes + (by_channels_ ? 0 : windows_bytes_);
  scratch_bytes_ = workers_ * own_bytes_ + (by_channels_ ? windows_bytes_ : 0);
}

Winograd::Task Winograd::task_of(std::size_t panel, std::size_t first_group, std::size_t end_group,
                                 std::size_t next_panel, std::byte* memory) const {
  std::byte* const products = memory + tiles_bytes_;
  return {panel,
          first_group,
          end_group,
          next_panel,
          reinterpret_cast<WinogradTile*>(memory),
          reinterpret_cast<float*>(products),
          reinterpret_cast<float*>(products + products_bytes_)};
}

// Groups of about the same size.
Winograd::Group Winograd::group(std::size_t index, std::size_t tiles) const {
  const std::size_t groups = divide_up(tiles, loops_->most_tiles);
  const std::size_t first = index * tiles / groups;
  return {first, (index + 1) * tiles / groups - first};
}

std::vector<Winograd::Strip> Winograd::strips(std::int64_t output_size, std::int64_t input_size, std::int64_t pad,
                                              std::int64_t dilation) const {
  // How many of `most` positions from `first` on, `step` apart, come before `end`.
  const auto before = [](std::int64_t first, std::int64_t end, std::int64_t most, std::int64_t step) {
    const std::int64_t room = end - first;
    return static_cast<std::uint8_t>(room <= 0 ? 0 : std::min(most, (room + step - 1) / step));
  };
  const std::int64_t side = static_cast<std::int64_t>(tile_side(weights_.form_));
  std::vector<Strip> strips;
  for (std::int64_t phase = 0; phase < std::min(dilation, output_size); ++phase) {
    for (std::int64_t output = phase; output < output_size; output += side * dilation) {
      Strip strip{output, before(output, output_size, side, dilation), output == phase, {}};
      for (std::size_t odd = 0; odd < stride_; ++odd) {
        const std::int64_t window = output * problem_.stride - pad + static_cast<std::int64_t>(odd);
        const auto most = static_cast<std::int64_t>(window_side(weights_.form_, stride_ == 1 ? 3 : 2 - odd));
        const std::int64_t step = std::max(dilation, problem_.stride);
        strip.reach[odd] = {window, before(window, 0, most, step), before(window, input_size, most, step)};
      }
      strips.push_back(strip);
    }
  }
  return strips;
}

// At each point every part that has it adds one; the first part has all.
std::vector<std::vector<Winograd::Term>> Winograd::terms() const {
  const WinogradForm form = weights_.form_;
  const auto parts = std::span(kWinogradParts).subspan(first_part(stride_), part_count(stride_));
  const std::size_t side = window_side(form, parts.front().rows);
  std::vector<std::vector<Term>> points(side * side);
  std::size_t first_window = 0;
  std::size_t first_weight = 0;
  for (const auto& [rows, columns] : parts) {
    const std::size_t height = window_side(form, rows);
    const std::size_t width = window_side(form, columns);
    const std::size_t values = weight_side(form, columns);  // of a row of weights
    for (std::size_t r = 0; r < height; ++r) {
      for (std::size_t c = 0; c < width; ++c) {
        points[r * side + c].push_back(
            {first_window + r * width + c, first_weight + (rows == 1 ? 0 : r) * values + (columns == 1 ? 0 : c)});
      }
    }
    first_window += height * width;
    first_weight += weight_side(form, rows) * values;
  }
  return points;
}

// With their windows in a part.
void Winograd::locate(std::size_t first, std::size_t count, const WinogradPart& part, WinogradTile* tiles) const {
  const auto lanes = static_cast<std::ptrdiff_t>(loops_->lanes);
  const auto input_blocks = static_cast<std::ptrdiff_t>(input_blocks_);
  const auto output_blocks = static_cast<std::ptrdiff_t>(divide_up(weights_.outputs_, loops_->lanes));
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t tile = first + i;
    const auto image = static_cast<std::ptrdiff_t>(tile / (rows_.size() * columns_.size()));
    const Strip& row = rows_[tile / columns_.size() % rows_.size()];
    const Strip& column = columns_[tile % columns_.size()];
    const Reach& across = column.reach[part.columns == 1 ? 1 : 0];
    const Reach& down = row.reach[part.rows == 1 ? 1 : 0];
    const std::ptrdiff_t input_row = image * input_blocks * problem_.height + down.window;
    const std::ptrdiff_t output_row = image * output_blocks * problem_.output_height + row.output;
    tiles[i] = {(input_row * problem_.width + across.window) * lanes,
                (output_row * problem_.output_width + column.output) * lanes,
                down.begin,
                down.end,
                across.begin,
                across.end,
                row.outputs,
                column.outputs,
                !column.first};
  }
}

// Of group `tiles` in a slab: where value `value` of the windows is, from channel `channel` of the slab on.
std::size_t Winograd::window_at(std::size_t slab, std::size_t value, const Group& tiles, std::size_t channel) const {
  const std::size_t channels = std::min(slab_, (input_blocks_ * loops_->lanes) - slab * slab_);
  return (slab * windows_ + value) * window_stride_ + tiles.first * channels + tiles.count * channel;
}

// Of some blocks of channels; `memory` has room for the places of the group's tiles.
void Winograd::transform_group(const Job& job, std::size_t index, std::size_t first_block, std::size_t end_block,
                               std::byte* memory) const {
  const Group tiles = group(index, job.count);
  auto* const places = reinterpret_cast<WinogradTile*>(memory);
  const std::size_t lanes = loops_->lanes;
  const auto row = static_cast<std::size_t>(problem_.width) * lanes;
  const std::size_t plane_bytes = static_cast<std::size_t>(problem_.height) * row * bytes_of(problem_.input_number);
  auto* const input = static_cast<std::byte*>(const_cast<void*>(job.arguments.input));
  std::size_t value = 0;
  for (std::size_t i = first_part(stride_); i < first_part(stride_) + part_count(stride_); ++i) {
    const WinogradPart& part = kWinogradParts[i];
    const auto transform = loops_->transform_input[i][form_index(weights_.form_)][number_index(problem_.input_number)];
    locate(job.first + tiles.first, tiles.count, part, places);
    for (std::size_t block = first_block; block < end_block; ++block) {
      const std::size_t channel = block * lanes;
      transform(
          places, tiles.count,
          {input + block * plane_bytes, row * static_cast<std::size_t>(std::max(problem_.dilation_y, problem_.stride)),
           lanes * static_cast<std::size_t>(std::max(problem_.dilation_x, problem_.stride))},
          job.windows + window_at(channel / slab_, value, tiles, channel % slab_), window_stride_);
    }
    value += window_side(weights_.form_, part.rows) * window_side(weights_.form_, part.columns);
  }
}

// The products of one panel for the tiles of some groups.
void Winograd::multiply(const Job& job, const Task& task) const {
  const std::size_t lanes = loops_->lanes;
  const std::size_t vectors = weights_.vectors(task.panel);
  const std::size_t width = vectors * lanes;
  const std::size_t first = group(task.first_group, job.count).first;
  const float* const packed = job.arguments.weights + task.panel * weights_.panel_floats_;
  // Adds a step of channels from `channel` on, whose weights are `columns`, at point p; `adds` to what is there.
  const auto add = [&](std::size_t p, const Term& term, std::size_t g, std::size_t channel, const float* columns,
                       bool adds) {
    const Group tiles = group(g, job.count);
    loops_->multiply(tiles.count, vectors, std::min(kStep, weights_.inputs_ - channel),
                     job.windows + window_at(channel / slab_, term.window, tiles, channel % slab_), columns,
                     task.products + p * product_stride_ + (tiles.first - first) * lanes, part_ * lanes, adds);
  };
  if (weights_.storage_ == WinogradStorage::kTransformed) {
    for (std::size_t p = 0; p < points_.size(); ++p) {
      for (std::size_t g = task.first_group; g < task.end_group; ++g) {
        for (std::size_t c = 0; c < weights_.inputs_; c += kStep) {
          bool adds = c != 0;
          for (const Term& term : points_[p]) {
            add(p, term, g, c, packed + (term.weight * weights_.inputs_ + c) * width, adds);
            adds = true;
          }
        }
      }
    }
    return;
  }
  const std::size_t stride = odd_stride(kStep * width);
  for (std::size_t c = 0; c < weights_.inputs_; c += kStep) {
    const std::size_t end = std::min(c + kStep, weights_.inputs_);
    loops_->transform_weights[stride_ - 1][form_index(weights_.form_)](packed + c * kElements * width, end - c, width,
                                                                       task.columns, stride);
    // Memory would be idle while products are made.
    const float* next = packed + end * kElements * width;
    std::size_t next_bytes = std::min(kStep, weights_.inputs_ - end) * kElements * width * sizeof(float);
    if (end == weights_.inputs_ && task.next_panel < weights_.panels()) {
      next = job.arguments.weights + task.next_panel * weights_.panel_floats_;
      next_bytes =
          std::min(kStep, weights_.inputs_) * kElements * weights_.vectors(task.next_panel) * lanes * sizeof(float);
    }
    for (std::size_t p = 0; p < points_.size(); ++p) {
      prefetch_part(next, next_bytes, p, points_.size());
      for (std::size_t g = task.first_group; g < task.end_group; ++g) {
        bool adds = c != 0;
        for (const Term& term : points_[p]) {
          add(p, term, g, c, task.columns + term.weight * stride, adds);
          adds = true;
        }
      }
    }
  }
}

// And the outputs from them.
void Winograd::make_outputs(const Job& job, const Task& task) const {
  multiply(job, task);
  const std::size_t lanes = loops_->lanes;
  const std::size_t first = group(task.first_group, job.count).first;
  const Group last = group(task.end_group - 1, job.count);
  const std::size_t count = last.first + last.count - first;
  locate(job.first + first, count, kWinogradParts[first_part(stride_)], task.tiles);
  const auto row = static_cast<std::size_t>(problem_.output_width) * lanes;
  const std::size_t plane = static_cast<std::size_t>(problem_.output_height) * row;
  const std::size_t element = bytes_of(problem_.output_number);
  auto* const output = static_cast<std::byte*>(job.arguments.output);
  const auto* const residual = static_cast<const std::byte*>(job.arguments.residual);
  const auto transform =
      loops_->transform_output[stride_ - 1][form_index(weights_.form_)][number_index(problem_.output_number)];
  for (std::size_t v = 0; v < weights_.vectors(task.panel); ++v) {
    const std::size_t block = task.panel * kPanelVectors + v;
    const std::size_t exist = std::min(lanes, weights_.outputs_ - block * lanes);
    const BlockBias bias(job.arguments.bias, static_cast<std::ptrdiff_t>(block * lanes),
                         static_cast<std::ptrdiff_t>(exist));
    const ImageEpilogue epilogue{bias.data(), residual == nullptr ? nullptr : residual + block * plane * element,
                                 job.arguments.activation, exist};
    transform(task.tiles, count, task.products + v * part_ * lanes, product_stride_, epilogue,
              {output + block * plane * element, row * static_cast<std::size_t>(problem_.dilation_y),
               lanes * static_cast<std::size_t>(problem_.dilation_x)});
  }
}

void Winograd::run(const WinogradArguments& arguments, int threads) const {
  threads = std::min(threads, static_cast<int>(workers_));
  by_channels_ ? run_by_channels(arguments, threads) : run_by_tiles(arguments, threads);
}

// Portions are independent of each other.
void Winograd::run_by_tiles(const WinogradArguments& arguments, int threads) const {
  base::share_out(threads, divide_up(tiles_, portion_), [&](std::size_t worker, std::size_t portion) {
    std::byte* const own = static_cast<std::byte*>(arguments.scratch) + worker * own_bytes_;
    const std::size_t first = portion * portion_;
    const Job job{arguments, first, std::min(portion_, tiles_ - first),
                  reinterpret_cast<float*>(own + own_bytes_ - windows_bytes_)};
    const std::size_t groups = divide_up(job.count, loops_->most_tiles);
    for (std::size_t g = 0; g < groups; ++g) transform_group(job, g, 0, input_blocks_, own);
    for (std::size_t panel = 0; panel < weights_.panels(); ++panel) {
      make_outputs(job, task_of(panel, 0, groups, panel + 1, own));
    }
  });
}

// Portion by portion: windows are transformed, group by group and some blocks at a time, then panels are multiplied,
// all of them items of one loop. An item begins once those that it depends on are done, and since items are taken in
// order, whoever waits, waits for threads that are working.
void Winograd::run_by_channels(const WinogradArguments& arguments, int threads) const {
  auto* const windows = static_cast<float*>(arguments.scratch);
  const auto groups_of = [&](std::size_t tiles) { return divide_up(tiles, loops_->most_tiles); };
  const std::size_t transforms_of_group = divide_up(input_blocks_, kBlocksAtOnce);
  const auto products_of = [&](std::size_t tiles) { return weights_.panels() * std::min(parts_, groups_of(tiles)); };
  const auto items_of = [&](std::size_t tiles) { return groups_of(tiles) * transforms_of_group + products_of(tiles); };
  const std::size_t last = (tiles_ - 1) / portion_;
  const std::size_t count = last * items_of(portion_) + items_of(tiles_ - last * portion_);
  std::atomic<std::size_t> done = 0;
  base::share_out(threads, count, [&](std::size_t worker, std::size_t item) {
    std::byte* const own = static_cast<std::byte*>(arguments.scratch) + windows_bytes_ + worker * own_bytes_;
    const std::size_t portion = std::min(item / items_of(portion_), last);
    const std::size_t first_item = portion * items_of(portion_);
    const std::size_t first = portion * portion_;
    const Job job{arguments, first, std::min(portion_, tiles_ - first), windows};
    const std::size_t groups = groups_of(job.count);
    const std::size_t transforms = groups * transforms_of_group;
    if (item - first_item < transforms) {
      wait_until(done, first_item);
      const std::size_t index = item - first_item;
      const std::size_t block = index / groups * kBlocksAtOnce;
      transform_group(job, index % groups, block, std::min(block + kBlocksAtOnce, input_blocks_), own);
    } else {
      wait_until(done, first_item + transforms);
      const std::size_t parts = std::min(parts_, groups);
      const std::size_t index = item - first_item - transforms;
      const std::size_t part = index % parts;
      make_outputs(job, task_of(index / parts, part * groups / parts, (part + 1) * groups / parts,
                                (index + static_cast<std::size_t>(threads)) / parts, own));
    }
    done.fetch_add(1, std::memory_order_release);
  });
}

}  // namespace lanner::kernels
