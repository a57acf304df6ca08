// Winograd convolution: kernels of 3 × 3, stride 1 with any dilation or stride 2, one group, on images blocked by
// channel
// ([n][channel / lanes][y][x][lane], as oneDNN's nChw16c and nChw8c). A Winograd knows sizes and the order of work; it
// owns no memory and is immutable, so any number of threads may use one.
//
// A convolution of dilation d is d × d convolutions of the images made of every d-th row and column, its phases. One of
// stride 2 is the sum of four convolutions, its parts (winograd_loops.h), which are summed up before tiles are made.
//
// Every output is the same sum in the same order, whatever the number of threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/winograd_loops.h"

namespace lanner::kernels {

struct WinogradProblem {
  std::int64_t batch;
  std::int64_t inputs;   // channels
  std::int64_t outputs;  // channels
  std::int64_t height;   // of the input
  std::int64_t width;
  std::int64_t pad_top;
  std::int64_t pad_left;
  std::int64_t output_height;  // what lies beyond the input below and on the right is padding
  std::int64_t output_width;
  std::int64_t dilation_y = 1;
  std::int64_t dilation_x = 1;
  std::int64_t stride = 1;  // or 2, without dilation
  ImageNumber input_number = ImageNumber::kFloat32;
  ImageNumber output_number = ImageNumber::kFloat32;
};

// What weights are kept as. Transformed they take 16/9 (kF2) or 4 (kF4) times the memory of plain ones, whatever the
// stride; kept plain they
// are transformed where they are needed, which pays when they come from memory rather than from a cache and are used by
// many tiles at once.
enum class WinogradStorage : std::uint8_t { kTransformed, kPlain };

// The layout of weights: panels of two blocks of output channels, one after another.
class WinogradWeights {
 public:
  WinogradWeights(const WinogradLoops& loops, WinogradForm form, WinogradStorage storage, std::int64_t stride,
                  std::int64_t outputs, std::int64_t inputs);

  bool operator==(const WinogradWeights&) const = default;  // of the layout

  std::size_t bytes() const { return panels_ * panel_floats_ * sizeof(float); }
  std::size_t panels() const { return panels_; }
  // Packs panel `panel` of weights [outputs][inputs][3][3] to its place in `packed`, which is aligned to 64 bytes.
  // Several threads may each pack a panel.
  void pack(const float* plain, std::size_t panel, float* packed) const;

 private:
  friend class Winograd;

  // Panel blocks and outputs that exist.
  std::size_t vectors(std::size_t panel) const;
  std::size_t outputs(std::size_t panel) const { return std::min(panel_outputs_, outputs_ - panel * panel_outputs_); }

  const WinogradLoops* loops_;
  WinogradForm form_;
  WinogradStorage storage_;
  std::size_t stride_;
  std::size_t outputs_;
  std::size_t inputs_;
  std::size_t panel_outputs_;
  std::size_t panels_;
  std::size_t panel_floats_;
};

struct WinogradArguments {
  const void* input;
  const float* weights;  // packed
  const float* bias;     // `outputs` values, or null
  const void* residual;  // like the output, which it may be; or null
  void* output;
  void* scratch;  // aligned to 64 bytes
  ImageActivation activation;
};

class Winograd {
 public:
  // `threads` is the most that run() will be given.
  Winograd(const WinogradLoops& loops, WinogradForm form, WinogradStorage storage, const WinogradProblem& problem,
           int threads);

  const WinogradWeights& weights() const { return weights_; }
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  void run(const WinogradArguments& arguments, int threads) const;

 private:
  // Where the windows of a row of tiles are in a part. Rows of the image that a window reads may be outside it.
  struct Reach {
    std::int64_t window;  // its first row
    std::uint8_t begin;   // of its rows, those inside
    std::uint8_t end;
  };
  // A row of tiles or, with the lengths of rows, a column of them.
  struct Strip {
    std::int64_t output;                      // its first row
    std::uint8_t outputs;                     // rows that exist
    bool first;                               // of its phase
    std::array<Reach, kLargestStride> reach;  // in a part of even rows, and in one of odd rows
  };
  // What is multiplied at a point: a value of the windows by one of the weights.
  struct Term {
    std::size_t window;
    std::size_t weight;
  };
  struct Group;
  struct Task;
  struct Job;

  std::vector<Strip> strips(std::int64_t output_size, std::int64_t input_size, std::int64_t pad,
                            std::int64_t dilation) const;
  std::vector<std::vector<Term>> terms() const;
  Group group(std::size_t index, std::size_t tiles) const;
  Task task_of(std::size_t panel, std::size_t first_group, std::size_t end_group, std::size_t next_panel,
               std::byte* memory) const;
  void locate(std::size_t first, std::size_t count, const WinogradPart& part, WinogradTile* tiles) const;
  std::size_t window_at(std::size_t slab, std::size_t value, const Group& tiles, std::size_t channel) const;
  void transform_group(const Job& job, std::size_t index, std::size_t first_block, std::size_t end_block,
                       std::byte* memory) const;
  void multiply(const Job& job, const Task& task) const;
  void make_outputs(const Job& job, const Task& task) const;
  void run_by_tiles(const WinogradArguments& arguments, int threads) const;
  void run_by_channels(const WinogradArguments& arguments, int threads) const;

  const WinogradLoops* loops_;
  WinogradProblem problem_;
  WinogradWeights weights_;
  std::size_t stride_;
  std::size_t windows_;                    // values of a tile's transformed windows, of all parts
  std::vector<std::vector<Term>> points_;  // what is summed up at each
  std::vector<Strip> rows_;                // of tiles in an image, phase by phase
  std::vector<Strip> columns_;
  std::size_t tiles_;         // of all images
  std::size_t input_blocks_;  // of channels
  bool by_channels_;
  std::size_t portion_;         // tiles whose transformed windows are held at once: by a thread or, by channels, by all
  std::size_t parts_;           // by channels: a portion is shared out in so many parts and by panels
  std::size_t part_;            // the most tiles of a part
  std::size_t slab_;            // channels
  std::size_t window_stride_;   // elements between values of transformed windows
  std::size_t product_stride_;  // and between points of products
  std::size_t workers_;
  std::size_t tiles_bytes_;  // of the scratch memory: for the places of a portion's tiles
  std::size_t windows_bytes_;
  std::size_t products_bytes_;
  std::size_t own_bytes_;  // of each worker, with its windows last unless all share them
  std::size_t scratch_bytes_;
};

}  // namespace lanner::kernels
