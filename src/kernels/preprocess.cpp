// lanner.Preprocess: what a model does to a picture before its first convolution, in one pass: Cast, Transpose,
// arithmetic with constants per channel, Resize, Pad. No intermediate picture is ever made, and every element is, bit
// for bit, what the operators give one after another.
//
// inputs: X (uint8 or float32); of the Resize `scales` and `sizes`; of the Pad `pads`, `constant_value` (of X's type or
// float32), `axes`. Output: float32.
// attributes: `steps`, the operators in order: Add, Sub, Mul and Div with a constant on the right, at most one Resize
// and, behind it, at most one Pad; `operands`, of each arithmetic step one number for each channel; the layouts CHW,
// HWC, NCHW or NHWC of what is given, made, resized and padded: `input_layout`, `output_layout`, `resize_layout`,
// `pad_layout`; all others are the Resize's: nearest, or linear without antialias, of rows and columns.
//
// Rows of the output are made one by one: the rows of X that it is interpolated from are converted and go through the
// steps before the Resize, and those behind it are applied to what is interpolated, while it is in the cache. Of rows
// that neighbours are interpolated from, too, the last two are kept. As in Resize, the axis that grows least is
// interpolated first.
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/kernel.h"
#include "kernels/padding.h"
#include "kernels/preprocess_loops.h"
#include "kernels/resize_axes.h"

namespace lanner::kernels {

namespace {

using resizing::Axis;

// The axes of a picture, whatever its layout is.
enum Dimension : std::size_t { kImages, kChannels, kRows, kColumns };
using Dims = std::array<std::int64_t, 4>;

// In which order a tensor has them. Without an axis of images there is one.
struct Layout {
  std::string_view name;
  int rank;
  std::array<Dimension, 4> axes;

  std::span<const Dimension> order() const { return {axes.data(), static_cast<std::size_t>(rank)}; }
  bool has_images() const { return axes[0] == kImages; }
  bool interleaves() const { return order().back() == kChannels; }
};
constexpr Layout kLayouts[] = {{"NCHW", 4, {kImages, kChannels, kRows, kColumns}},
                               {"NHWC", 4, {kImages, kRows, kColumns, kChannels}},
                               {"CHW", 3, {kChannels, kRows, kColumns, {}}},
                               {"HWC", 3, {kRows, kColumns, kChannels, {}}}};

// What a row of one channel goes through.
struct Arithmetic {
  void (*apply)(float* row, float operand, std::int64_t count);
  std::vector<float> operands;  // of the channels
};

template <typename Op>
void apply_to_row(float* row, float operand, std::int64_t count) {
  const Op op{};
  zip_loop<Op, float, float>()(&op, row, &operand, row, count, 0b01);
}

struct ArithmeticRow {
  std::string_view name;
  void (*apply)(float* row, float operand, std::int64_t count);
};
constexpr ArithmeticRow kArithmetic[] = {{"Add", apply_to_row<Plus>},
                                         {"Sub", apply_to_row<Minus>},
                                         {"Mul", apply_to_row<Multiply>},
                                         {"Div", apply_to_row<Divide>}};

// The attributes.
struct Recipe {
  Layout input_layout{};
  Layout resize_layout{};
  Layout pad_layout{};
  Layout output_layout{};
  bool resizes = false;
  bool pads = false;
  resizing::Options resize{};
  std::vector<Arithmetic> first;   // before the Resize and, where there is none, before the Pad
  std::vector<Arithmetic> second;  // between both, or behind a Resize alone
  std::vector<Arithmetic> last;    // behind the Pad
};

Layout read_layout(const tensor::Attributes& attributes, std::string_view name) {
  const std::string wanted = attributes.get_string(name, "");
  const auto* layout = std::ranges::find(kLayouts, wanted, &Layout::name);
  if (layout != std::end(kLayouts)) return *layout;
  base::invalid("op.attribute", "attribute '{}' must be NCHW, NHWC, CHW or HWC, but is '{}'", name, wanted);
}

Recipe read_recipe(const tensor::Attributes& attributes) {
  Recipe recipe;
  recipe.input_layout = read_layout(attributes, "input_layout");
  recipe.output_layout = read_layout(attributes, "output_layout");
  const std::vector<std::string> steps = attributes.get_strings("steps");
  const std::vector<float> operands = attributes.get_floats("operands");
  const auto arithmetic = static_cast<std::size_t>(
      std::ranges::count_if(steps, [](const std::string& step) { return step != "Resize" && step != "Pad"; }));
  const std::size_t channels = arithmetic == 0 ? 0 : operands.size() / arithmetic;
  if (channels * arithmetic != operands.size() || (arithmetic != 0 && channels == 0)) {
    base::invalid("op.attribute", "{} operands are not as many for each of {} steps", operands.size(), arithmetic);
  }
  const float* next = operands.data();
  for (const std::string& step : steps) {
    if (step == "Resize") {
      if (recipe.resizes || recipe.pads) base::invalid("op.attribute", "only one Resize may be there, before the Pad");
      recipe.resizes = true;
      recipe.resize_layout = read_layout(attributes, "resize_layout");
      recipe.resize = resizing::read_options(attributes);
      if (recipe.resize.mode == resizing::Mode::kCubic || recipe.resize.antialias ||
          recipe.resize.coordinates == resizing::Coordinates::kTfCropAndResize) {
        base::invalid("op.attribute", "the Resize must be nearest, or linear without antialias, and not crop");
      }
      continue;
    }
    if (step == "Pad") {
      if (recipe.pads) base::invalid("op.attribute", "only one Pad may be there");
      recipe.pads = true;
      recipe.pad_layout = read_layout(attributes, "pad_layout");
      continue;
    }
    const auto* row = std::ranges::find(kArithmetic, step, &ArithmeticRow::name);
    if (row == std::end(kArithmetic)) base::invalid("op.attribute", "step '{}' is not known", step);
    auto& list = recipe.pads ? recipe.last : recipe.resizes ? recipe.second : recipe.first;
    list.push_back({row->apply, {next, next + channels}});
    next += channels;
  }
  return recipe;
}

Dims dims_of(const Shape& shape, const Layout& layout) {
  Dims dims{1, 1, 1, 1};
  int i = 0;
  for (const Dimension axis : layout.order()) dims[axis] = shape[i++];
  return dims;
}

Shape shape_of(const Dims& dims, const Layout& layout) {
  if (!layout.has_images() && dims[kImages] != 1) {
    base::invalid("op.shape", "{} images are not one picture {}", dims[kImages], layout.name);
  }
  Shape shape;
  for (const Dimension axis : layout.order()) shape.push_back(dims[axis]);
  return shape;
}

void check_channels(const std::vector<Arithmetic>& steps, std::int64_t channels) {
  for (const Arithmetic& step : steps) {
    if (static_cast<std::int64_t>(step.operands.size()) == channels) continue;
    base::invalid("op.shape", "a picture must have {} channels, but has {}", step.operands.size(), channels);
  }
}

// The one number that the border is made of, before the steps behind the Pad.
float pad_value(const Tensor* given, ElementType input_type) {
  if (given == nullptr) return 0;
  const ElementType type = given->element_type();
  if (type != ElementType::kFloat32 && (type != ElementType::kUint8 || input_type != type)) {
    base::invalid("op.type", "input 'constant_value' must be {} or float32, but is {}", element_type_name(input_type),
                  element_type_name(type));
  }
  if (given->element_count() != 1) {
    base::invalid("op.shape", "input 'constant_value' must hold one element, but holds {}", given->element_count());
  }
  return type == ElementType::kUint8 ? static_cast<float>(*given->data<std::uint8_t>()) : *given->data<float>();
}

// How the elements of a row of the output are found along one axis of the picture before it is padded.
enum class Along : std::uint8_t { kSame, kPicked, kBlended };

// One run, the same for all threads.
struct Job {
  const Recipe& recipe;
  const Tensor& x;
  Dims from;                   // of x
  std::array<Padded, 4> dims;  // of the output, and what of the resized picture is kept
  Along rows = Along::kSame;
  std::vector<std::int64_t> picked_rows = {};  // of those that are kept
  resizing::Taps<float> row_taps = {};
  Along columns = Along::kSame;
  ColumnTable column_table = {};
  bool columns_first = true;
  std::vector<float> border = {};  // of the output's channels
  float* to = nullptr;

  bool joins() const { return recipe.output_layout.interleaves(); }
  bool same_channels() const {
    return dims[kChannels].kept == from[kChannels] && dims[kChannels].size == from[kChannels];
  }
};

void apply(const std::vector<Arithmetic>& steps, std::int64_t channel, float* row, std::int64_t count) {
  for (const Arithmetic& step : steps) step.apply(row, step.operands[static_cast<std::size_t>(channel)], count);
}

// Makes rows of the output, one after another.
class RowMaker {
 public:
  RowMaker(const Job& job, Allocator& allocator)
      : job_(job),
        channels_(job.from[kChannels]),
        width_(job.from[kColumns]),
        kept_(job.dims[kColumns].kept),
        loops_(preprocess_loops_of_cpu().get()),
        resize_loops_(resize_loops_of_cpu().get()) {
    const auto allocate = [&](std::int64_t channels, std::int64_t width) {
      Tensor& tensor = memory_[used_++];
      tensor = Tensor::allocate(ElementType::kFloat32, {channels, width}, allocator);
      return tensor.data<float>();
    };
    if (job.columns != Along::kSame) whole_ = allocate(channels_, width_);
    if (job.rows == Along::kBlended) {
      prepared_width_ = job.columns_first ? kept_ : width_;
      for (Prepared& row : prepared_) row.planes = allocate(channels_, prepared_width_);
    }
    if (!job.same_channels()) resized_ = allocate(channels_, kept_);
    if (job.joins()) output_ = allocate(job.dims[kChannels].size, job.dims[kColumns].size);
  }

  // Row `y` of image `image` of the output.
  void make(std::int64_t image, std::int64_t y) {
    const Padded& columns = job_.dims[kColumns];
    const std::int64_t channels = job_.dims[kChannels].size;
    const std::int64_t size = columns.size;
    const std::int64_t height = job_.dims[kRows].size;
    float* planes = output_;
    std::int64_t stride = size;
    if (!job_.joins()) {
      planes = job_.to + (image * channels * height + y) * size;
      stride = height * size;
    }
    const std::int64_t from_image = kept_position(job_.dims[kImages], image);
    const std::int64_t from_row = kept_position(job_.dims[kRows], y);
    const bool inside = from_image >= 0 && from_row >= 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      float* row = planes + c * stride;
      const float value = job_.border[static_cast<std::size_t>(c)];
      if (!inside || kept_position(job_.dims[kChannels], c) < 0) {
        std::fill_n(row, size, value);
      } else {
        std::fill_n(row, columns.before, value);
        std::fill(row + columns.before + kept_, row + size, value);
      }
    }
    if (inside) fill_inside(from_image, from_row, planes + columns.before, stride);
    if (job_.joins()) {
      loops_.join(planes, stride, channels, size, job_.to + (image * height + y) * size * channels);
    }
  }

 private:
  // A row of X after the steps before the Resize, and, where columns come first, resized along them.
  struct Prepared {
    float* planes = nullptr;
    std::int64_t row = -1;  // counted through all images
  };

  // Which of the kept positions of the resized picture an output position shows, -1 on the border.
  static std::int64_t kept_position(const Padded& dim, std::int64_t position) {
    const std::int64_t at = position - dim.before;
    return at >= 0 && at < dim.kept ? at : -1;
  }

  // The part of a row that is no border: planes of the output's channels.
  void fill_inside(std::int64_t kept_image, std::int64_t kept_row, float* planes, std::int64_t stride) {
    const std::int64_t image = job_.dims[kImages].first + kept_image;
    const Padded& kept_channels = job_.dims[kChannels];
    float* const resized = resized_ != nullptr ? resized_ : planes;
    const std::int64_t resized_stride = resized_ != nullptr ? kept_ : stride;
    resize_row(image, kept_row, resized, resized_stride);
    for (std::int64_t k = 0; k < kept_channels.kept; ++k) {
      const std::int64_t c = kept_channels.first + k;
      float* row = planes + (kept_channels.before + k) * stride;
      if (resized_ != nullptr) std::copy_n(resized + c * resized_stride, kept_, row);
      apply(job_.recipe.second, c, row, kept_);
      apply(job_.recipe.last, kept_channels.before + k, row, kept_);
    }
  }

  // The kept columns of row `kept_row` of the resized picture.
  void resize_row(std::int64_t image, std::int64_t kept_row, float* to, std::int64_t stride) {
    const auto at = static_cast<std::size_t>(kept_row);
    if (job_.rows == Along::kSame) return resize_columns(image, job_.dims[kRows].first + kept_row, to, stride);
    if (job_.rows == Along::kPicked) return resize_columns(image, job_.picked_rows[at], to, stride);
    const std::int64_t* rows = job_.row_taps.indices.data() + 2 * at;
    const float* weights = job_.row_taps.weights.data() + 2 * at;
    const float* a = prepared(image, rows[0], rows[1]);
    const float* b = prepared(image, rows[1], rows[0]);
    for (std::int64_t c = 0; c < channels_; ++c) {
      const std::int64_t offset = c * prepared_width_;
      float* blended = job_.columns_first ? to + c * stride : whole_;
      resize_loops_.blend_rows(a + offset, weights[0], b + offset, weights[1], prepared_width_, blended);
      if (!job_.columns_first) resize_loops_.blend(job_.column_table, blended, 0, kept_, to + c * stride);
    }
  }

  // Row `row` of X, prepared, while the one of `other` stays if it is there.
  const float* prepared(std::int64_t image, std::int64_t row, std::int64_t other) {
    const std::int64_t first = image * job_.from[kRows];
    for (const Prepared& known : prepared_) {
      if (known.row == first + row) return known.planes;
    }
    Prepared& made = prepared_[prepared_[0].row == first + other ? 1 : 0];
    made.row = first + row;
    if (job_.columns_first) {
      resize_columns(image, row, made.planes, prepared_width_);
    } else {
      load(image, row, 0, width_, made.planes, prepared_width_);
    }
    return made.planes;
  }

  // The kept columns of a row of X.
  void resize_columns(std::int64_t image, std::int64_t row, float* to, std::int64_t stride) {
    if (job_.columns == Along::kSame) return load(image, row, job_.dims[kColumns].first, kept_, to, stride);
    load(image, row, 0, width_, whole_, width_);
    for (std::int64_t c = 0; c < channels_; ++c) {
      const float* from = whole_ + c * width_;
      if (job_.columns == Along::kBlended) {
        resize_loops_.blend(job_.column_table, from, 0, kept_, to + c * stride);
      } else {
        resize_loops_.pick(job_.column_table, reinterpret_cast<const std::uint32_t*>(from),
                           reinterpret_cast<std::uint32_t*>(to + c * stride));
      }
    }
  }

  // Columns [first, first + count) of a row of X, after the steps before the Resize.
  void load(std::int64_t image, std::int64_t row, std::int64_t first, std::int64_t count, float* to,
            std::int64_t stride) {
    const bool split = job_.recipe.input_layout.interleaves();
    const auto split_from = [&](std::int64_t offset, std::int64_t channels, float* planes) {
      if (job_.x.element_type() == ElementType::kUint8) {
        loops_.split_bytes(job_.x.data<std::uint8_t>() + offset, channels, count, planes, stride);
      } else {
        loops_.split_floats(job_.x.data<float>() + offset, channels, count, planes, stride);
      }
    };
    if (split) split_from(((image * job_.from[kRows] + row) * width_ + first) * channels_, channels_, to);
    for (std::int64_t c = 0; c < channels_; ++c) {
      float* plane = to + c * stride;
      if (!split) {
        split_from(((image * channels_ + c) * job_.from[kRows] + row) * width_ + first, 1, plane);
      }
      apply(job_.recipe.first, c, plane, count);
    }
  }

  const Job& job_;
  std::int64_t channels_;
  std::int64_t width_;
  std::int64_t kept_;  // columns
  const PreprocessLoops& loops_;
  const ResizeLoops& resize_loops_;
  std::array<Tensor, 5> memory_;
  std::size_t used_ = 0;
  float* whole_ = nullptr;    // a row of X, before its columns are resized
  float* resized_ = nullptr;  // where channels are padded or cut
  float* output_ = nullptr;   // where planes are joined
  std::int64_t prepared_width_ = 0;
  std::array<Prepared, 2> prepared_;
};

// The dimensions of the picture after the Resize; writes how its rows and columns are resized.
Dims resized_dims(const KernelContext& context, const Recipe& recipe, const Dims& from, Axis& rows, Axis& columns) {
  const Shape shape = shape_of(from, recipe.resize_layout);
  const auto axes =
      resizing::read_axes(recipe.resize, shape, nullptr, context.optional_input(1), context.optional_input(2));
  Dims dims = from;
  const Axis* resized = axes.data();
  for (const Dimension axis : recipe.resize_layout.order()) {
    dims[axis] = resized->output;
    if (axis == kRows || axis == kColumns) {
      (axis == kRows ? rows : columns) = *resized;
    } else if (resized->resized) {
      base::invalid("op.shape", "only rows and columns of a picture can be resized");
    }
    ++resized;
  }
  if (!resizing::has_columns(columns)) {
    base::invalid("op.size", "rows of {} elements cannot be resized to {}", columns.input, columns.output);
  }
  const std::int64_t count = shape_of(dims, recipe.resize_layout).element_count();
  if (count != 0 && shape.element_count() == 0) {
    base::invalid("op.shape", "an empty tensor cannot be resized to {}",
                  shape_of(dims, recipe.resize_layout).to_string());
  }
  return dims;
}

// The tables of what is kept of the resized picture.
void make_tables(const Axis& rows, const Axis& columns, Job& job) {
  const resizing::Options& options = job.recipe.resize;
  const auto range = [&](std::size_t axis) {
    return resizing::Range{job.dims[axis].first, job.dims[axis].first + job.dims[axis].kept};
  };
  const Along along = options.mode == resizing::Mode::kNearest ? Along::kPicked : Along::kBlended;
  if (rows.resized) {
    job.rows = along;
    if (along == Along::kPicked) {
      job.picked_rows = resizing::nearest_table(options, rows, range(kRows));
    } else {
      job.row_taps = resizing::interpolation_taps<float>(options, rows, range(kRows));
    }
  }
  if (columns.resized) {
    job.columns = along;
    job.column_table =
        along == Along::kPicked
            ? picked_columns(columns, resizing::nearest_table(options, columns, range(kColumns)))
            : blended_columns(columns, resizing::interpolation_taps<float>(options, columns, range(kColumns)));
  }
  job.columns_first = !columns.resized || columns.growth() < rows.growth();
}

}  // namespace

std::unique_ptr<Kernel> make_Preprocess(const KernelInfo& info) {
  return make_kernel([recipe = read_recipe(info.attributes)](KernelContext& context) {
    const Tensor& x = context.input(0);
    if (x.element_type() != ElementType::kUint8 && x.element_type() != ElementType::kFloat32) {
      base::invalid("op.type", "the input must be uint8 or float32, but is {}", element_type_name(x.element_type()));
    }
    if (x.rank() != recipe.input_layout.rank) {
      base::invalid("op.rank", "the input must be {}, but has shape {}", recipe.input_layout.name,
                    x.shape().to_string());
    }
    Job job{recipe, x, dims_of(x.shape(), recipe.input_layout), {}};
    check_channels(recipe.first, job.from[kChannels]);
    check_channels(recipe.second, job.from[kChannels]);
    Axis rows;
    Axis columns;
    Dims dims = job.from;
    if (recipe.resizes) dims = resized_dims(context, recipe, job.from, rows, columns);
    for (std::size_t i = 0; i < dims.size(); ++i) job.dims[i] = {0, dims[i], 0, dims[i]};
    if (recipe.pads) {
      const Shape shape = shape_of(dims, recipe.pad_layout);
      const auto padded = padded_dimensions(shape, context.input(3), context.optional_input(5));
      const Padded* next = padded.data();
      for (const Dimension axis : recipe.pad_layout.order()) job.dims[axis] = *next++;
    }
    for (std::size_t i = 0; i < dims.size(); ++i) dims[i] = job.dims[i].size;
    check_channels(recipe.last, dims[kChannels]);
    const float value = recipe.pads ? pad_value(context.optional_input(4), x.element_type()) : 0;
    Tensor& y = context.allocate_output(0, ElementType::kFloat32, shape_of(dims, recipe.output_layout));
    if (y.element_count() == 0) return;
    job.to = y.data<float>();
    job.border.assign(static_cast<std::size_t>(dims[kChannels]), value);
    for (std::int64_t c = 0; c < dims[kChannels]; ++c) {
      apply(recipe.last, c, &job.border[static_cast<std::size_t>(c)], 1);
    }
    make_tables(rows, columns, job);
    const std::int64_t row_elements = dims[kChannels] * dims[kColumns];
    const std::int64_t grain = kElementGrain / std::min(row_elements, kElementGrain);
    base::parallel_for(context.threads(), dims[kImages] * dims[kRows], grain,
                       [&](std::int64_t begin, std::int64_t end) {
                         RowMaker maker(job, context.allocator());
                         for (std::int64_t row = begin; row < end; ++row) {
                           maker.make(row / dims[kRows], row % dims[kRows]);
                         }
                       });
  });
}

}  // namespace lanner::kernels
