// Einsum: sums of products over named dimensions, for float32, float64 and all integers (which wrap).
//
// Operands join from left to right. Two of them are one batch of matrix products: the labels that both have and that
// are still needed are the batch, those that both have and nobody needs any more are the depth. What only one operand
// has and nobody needs is summed before. Diagonals, permutations and broadcast dimensions are strides; an operand is
// copied only where no single stride describes its rows, columns or depth.
#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/gemm.h"
#include "kernels/kernel.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// A letter, or a dimension that an ellipsis stands for: kEllipsis + its place from the right.
using Label = int;
constexpr Label kEllipsis = 256;
constexpr int kLabels = kEllipsis + Shape::kMaxRank;

struct Term {
  std::vector<Label> before;  // letters before the ellipsis, or all
  std::vector<Label> behind;
  bool has_ellipsis = false;
};

struct Equation {
  std::vector<Term> inputs;
  Term output;
};

Term parse_term(std::string_view text, std::string_view equation) {
  Term term;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (std::isalpha(static_cast<unsigned char>(text[i])) != 0) {
      (term.has_ellipsis ? term.behind : term.before).push_back(text[i]);
    } else if (text.substr(i, 3) == "..." && !term.has_ellipsis) {
      term.has_ellipsis = true;
      i += 2;
    } else {
      base::invalid("op.attribute", "the equation '{}' is not one of letters, commas, '->' and one '...' a term",
                    equation);
    }
  }
  return term;
}

Equation parse_equation(const std::string& given) {
  std::string text = given;
  std::erase(text, ' ');
  Equation equation;
  const std::size_t arrow = text.find("->");
  std::string_view rest = std::string_view(text).substr(0, arrow);
  while (true) {
    const std::size_t comma = rest.find(',');
    equation.inputs.push_back(parse_term(rest.substr(0, comma), given));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  std::array<int, kEllipsis> counts{};
  bool has_ellipsis = false;
  for (const Term& term : equation.inputs) {
    for (const auto* letters : {&term.before, &term.behind}) {
      for (const Label letter : *letters) ++counts[static_cast<std::size_t>(letter)];
    }
    has_ellipsis |= term.has_ellipsis;
  }
  if (arrow == std::string::npos) {
    equation.output.has_ellipsis = has_ellipsis;
    for (Label letter = 0; letter < kEllipsis; ++letter) {
      if (counts[static_cast<std::size_t>(letter)] == 1) equation.output.behind.push_back(letter);
    }
    return equation;
  }
  equation.output = parse_term(std::string_view(text).substr(arrow + 2), given);
  std::array<int, kEllipsis> outputs{};
  for (const auto* letters : {&equation.output.before, &equation.output.behind}) {
    for (const Label letter : *letters) {
      const auto index = static_cast<std::size_t>(letter);
      if (counts[index] == 0 || ++outputs[index] > 1) {
        base::invalid("op.attribute", "the output of equation '{}' must name letters of its inputs, each once", given);
      }
    }
  }
  if (equation.output.has_ellipsis && !has_ellipsis) {
    base::invalid("op.attribute", "the output of equation '{}' has an ellipsis, but no input has one", given);
  }
  return equation;
}

std::int64_t checked_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    base::invalid("op.size", "the dimensions of an Einsum's step have more than 2^63 elements");
  }
  return product;
}

struct Axis {
  Label label;
  std::int64_t dim;
  std::int64_t stride;
};
using Axes = std::vector<Axis>;

std::int64_t count_of(const Axes& axes) {
  std::int64_t count = 1;
  for (const Axis& axis : axes) count = checked_product(count, axis.dim);
  return count;
}

// The stride by which all the axes are walked as one dimension, if there is one.
std::optional<std::int64_t> common_stride(const Axes& axes) {
  std::int64_t dim = 1;
  std::int64_t stride = 1;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    if (axis->dim == 1) continue;
    if (dim == 1) {
      stride = axis->stride;
    } else if (axis->stride != stride * dim) {
      return std::nullopt;
    }
    dim *= axis->dim;
  }
  return stride;
}

void add_axes(const Axes& axes, std::int64_t dense, StridedBlock& block) {
  if (block.rank + static_cast<int>(axes.size()) > StridedBlock::kMaxRank) {
    base::fail(ErrorCode::kUnimplemented, "op.rank", "a step of an Einsum has more than {} dimensions",
               StridedBlock::kMaxRank);
  }
  for (const Axis& axis : axes) {
    dense /= axis.dim;
    block.add(axis.dim, axis.stride, dense);
  }
}

// Elements under labels; they may repeat or skip memory.
template <typename T>
struct Operand {
  const T* data;
  Axes axes;
  Tensor owner;

  const Axis* find(Label label) const {
    const auto found = std::ranges::find(axes, label, &Axis::label);
    return found != axes.end() ? &*found : nullptr;
  }
};

template <typename T>
class Contraction {
 public:
  explicit Contraction(KernelContext& context) : context_(context) {}

  // Sums over the axes that `needed` does not have.
  void reduce(Operand<T>& operand, const std::array<bool, kLabels>& needed) {
    Axes kept;
    Axes summed;
    for (const Axis& axis : operand.axes) {
      (needed[static_cast<std::size_t>(axis.label)] ? kept : summed).push_back(axis);
    }
    if (summed.empty()) return;
    const Operand<T> ones{&one_, {}, {}};
    multiply_parts(operand, {}, kept, summed, ones, {}, {}, unit_axes(summed), operand);
  }

  // The product, with the axes of both that `needed` has.
  Operand<T> multiply_operands(const Operand<T>& a, const Operand<T>& b, const std::array<bool, kLabels>& needed) {
    Axes a_batch;
    Axes b_batch;
    Axes rows;
    Axes columns;
    Axes a_depth;
    Axes b_depth;
    for (const Axis& axis : a.axes) {
      const Axis* other = b.find(axis.label);
      if (other == nullptr) {
        rows.push_back(axis);
      } else if (needed[static_cast<std::size_t>(axis.label)]) {
        a_batch.push_back(axis);
        b_batch.push_back(*other);
      } else {
        a_depth.push_back(axis);
        b_depth.push_back(*other);
      }
    }
    for (const Axis& axis : b.axes) {
      if (a.find(axis.label) == nullptr) columns.push_back(axis);
    }
    Operand<T> result;
    multiply_parts(a, a_batch, rows, a_depth, b, b_batch, columns, b_depth, result);
    return result;
  }

 private:
  static Axes unit_axes(Axes axes) {
    for (Axis& axis : axes) axis.stride = 0;
    return axes;
  }

  // An operand with its rows (columns) and depth at one stride each, copied if it has to be.
  struct Matrices {
    const T* data;
    std::int64_t stride;
    std::int64_t depth_stride;
    Axes batch;
    Tensor owner;
  };

  Matrices matrices_of(const Operand<T>& operand, const Axes& batch, const Axes& lines, const Axes& depth) {
    const auto stride = common_stride(lines);
    const auto depth_stride = common_stride(depth);
    if (stride && depth_stride) return {operand.data, *stride, *depth_stride, batch, operand.owner};
    const std::int64_t line_count = count_of(lines);
    const std::int64_t depth_count = count_of(depth);
    const std::int64_t size = checked_product(line_count, depth_count);
    Matrices result{nullptr, depth_count, 1, batch, {}};
    result.owner = context_.allocate_scratch(element_type_of<T>(), {count_of(batch), size});
    result.data = result.owner.template data<T>();
    StridedBlock block;
    add_axes(batch, result.owner.element_count(), block);
    add_axes(lines, size, block);
    add_axes(depth, depth_count, block);
    copy_block(context_.threads(), block, element_type_of<T>(), operand.data, result.owner.raw_data());
    std::int64_t dense = size;
    for (auto axis = result.batch.rbegin(); axis != result.batch.rend(); ++axis) {
      axis->stride = dense;
      dense *= axis->dim;
    }
    return result;
  }

  // For each index of the batch, rows x depth of a times depth x columns of b; `result` may be a or b.
  void multiply_parts(const Operand<T>& a, const Axes& a_batch, const Axes& rows, const Axes& a_depth,
                      const Operand<T>& b, const Axes& b_batch, const Axes& columns, const Axes& b_depth,
                      Operand<T>& result) {
    const std::int64_t m = count_of(rows);
    const std::int64_t n = count_of(columns);
    const std::int64_t k = count_of(a_depth);
    const std::int64_t batch = count_of(a_batch);
    Axes axes;
    for (const Axes* part : {&a_batch, &rows, &columns}) axes.insert(axes.end(), part->begin(), part->end());
    Tensor sums = context_.allocate_scratch(element_type_of<T>(), {batch, m, n});
    T* y = sums.data<T>();
    if (k == 0) std::ranges::fill(sums.values<T>(), T{});
    if (k != 0 && sums.element_count() != 0) {
      const Matrices left = matrices_of(a, a_batch, rows, a_depth);
      const Matrices right = matrices_of(b, b_batch, columns, b_depth);
      // Walks the batch in both operands at once.
      StridedBlock block;
      if (a_batch.size() > static_cast<std::size_t>(StridedBlock::kMaxRank)) {
        base::fail(ErrorCode::kUnimplemented, "op.rank", "a step of an Einsum has more than {} dimensions",
                   StridedBlock::kMaxRank);
      }
      for (std::size_t i = 0; i < a_batch.size(); ++i) {
        block.add(left.batch[i].dim, left.batch[i].stride, right.batch[i].stride);
      }
      const auto product = [&](int threads, std::int64_t index, std::int64_t a_offset, std::int64_t b_offset) {
        multiply<T>(threads, m, n, k, {left.data + a_offset, left.stride, left.depth_stride},
                    {right.data + b_offset, right.depth_stride, right.stride}, y + index * m * n, n);
      };
      if (batch == 1) {
        product(context_.threads(), 0, 0, 0);
      } else {
        const std::int64_t work = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(m * n, 1) / k);
        base::parallel_for(context_.threads(), batch, work, [&](std::int64_t begin, std::int64_t end) {
          std::int64_t index = begin;
          for_each_row(block, begin, end, [&](std::int64_t a_offset, std::int64_t b_offset, std::int64_t length) {
            for (std::int64_t i = 0; i < length; ++i) {
              product(1, index++, a_offset + i * block.from_step(), b_offset + i * block.to_step());
            }
          });
        });
      }
    }
    std::int64_t dense = 1;
    for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
      axis->stride = dense;
      dense *= axis->dim;
    }
    result = {y, std::move(axes), std::move(sums)};
  }

  KernelContext& context_;
  T one_{1};
};

// The labels of a tensor's dimensions.
std::vector<Label> labels_of(const Term& term, int ellipsis_rank) {
  std::vector<Label> labels = term.before;
  for (int i = term.has_ellipsis ? ellipsis_rank : 0; i > 0; --i) labels.push_back(kEllipsis + i - 1);
  labels.insert(labels.end(), term.behind.begin(), term.behind.end());
  return labels;
}

int letters_of(const Term& term) {
  return static_cast<int>(term.before.size() + term.behind.size());
}

class Run {
 public:
  Run(KernelContext& context, const Equation& equation) : context_(context), equation_(equation) {
    if (context.input_count() != static_cast<int>(equation.inputs.size())) {
      base::invalid("op.input", "the equation has {} terms for {} inputs", equation.inputs.size(),
                    context.input_count());
    }
    dims_.fill(-1);
    const ElementType type = context.input(0).element_type();
    int ellipsis_rank = 0;
    for (int i = 0; i < context.input_count(); ++i) {
      const Tensor& tensor = context.input(i);
      const Term& term = equation.inputs[static_cast<std::size_t>(i)];
      if (tensor.element_type() != type) base::invalid("op.type", "all inputs must have one element type");
      const int extra = tensor.rank() - letters_of(term);
      if (term.has_ellipsis ? extra < 0 : extra != 0) {
        base::invalid("op.rank", "input {} of shape {} does not fit its term of {} letters{}", i,
                      tensor.shape().to_string(), letters_of(term), term.has_ellipsis ? " and an ellipsis" : "");
      }
      if (term.has_ellipsis) ellipsis_rank = std::max(ellipsis_rank, extra);
      labels_.push_back(labels_of(term, extra));
      for (int axis = 0; axis < tensor.rank(); ++axis) {
        std::int64_t& dim = dims_[static_cast<std::size_t>(labels_.back()[static_cast<std::size_t>(axis)])];
        const std::int64_t own = tensor.shape()[axis];
        if (dim == -1 || dim == 1) {
          dim = own;
        } else if (own != dim && own != 1) {
          base::invalid("op.shape", "a dimension of input {} of shape {} is {}, but has been {} in another place", i,
                        tensor.shape().to_string(), own, dim);
        }
      }
    }
    output_labels_ = labels_of(equation.output, ellipsis_rank);
    for (const Label label : output_labels_) shape_.push_back(dims_[static_cast<std::size_t>(label)]);
  }

  // Labels that the output or an input from `first` on has.
  std::array<bool, kLabels> needed_from(std::size_t first) const {
    std::array<bool, kLabels> needed{};
    for (const Label label : output_labels_) needed[static_cast<std::size_t>(label)] = true;
    for (std::size_t i = first; i < labels_.size(); ++i) {
      for (const Label label : labels_[i]) needed[static_cast<std::size_t>(label)] = true;
    }
    return needed;
  }

  // Input i computed with as T, whose elements are as wide or wider.
  template <typename T, typename Stored>
  Operand<T> operand(std::size_t i) {
    const Tensor& tensor = context_.input(static_cast<int>(i));
    Operand<T> result{static_cast<const T*>(tensor.raw_data()), {}, tensor};
    if constexpr (sizeof(Stored) != sizeof(T)) {
      result.owner = context_.allocate_scratch(element_type_of<T>(), tensor.shape());
      map_elements(context_.threads(), tensor.element_count(), tensor.data<Stored>(), result.owner.template data<T>(),
                   [](Stored x) { return static_cast<T>(x); });
      result.data = result.owner.template data<T>();
    }
    std::int64_t stride = 1;
    for (int axis = tensor.rank() - 1; axis >= 0; --axis) {
      const Label label = labels_[i][static_cast<std::size_t>(axis)];
      const std::int64_t dim = tensor.shape()[axis];
      const auto found = std::ranges::find(result.axes, label, &Axis::label);
      if (found != result.axes.end()) {
        if (found->dim != dim) {
          base::invalid("op.shape", "dimensions of input {} of shape {} with one letter differ", i,
                        tensor.shape().to_string());
        }
        found->stride += stride;  // along the diagonal
      } else {
        result.axes.insert(result.axes.begin(), {label, dim, stride});
      }
      stride = checked_product(stride, std::max<std::int64_t>(dim, 1));
    }
    // What broadcasts is the same at every index.
    std::erase_if(result.axes,
                  [&](const Axis& axis) { return axis.dim == 1 && dims_[static_cast<std::size_t>(axis.label)] != 1; });
    return result;
  }

  template <typename T, typename Stored>
  void compute() {
    Contraction<T> contraction(context_);
    Operand<T> result = operand<T, Stored>(0);
    contraction.reduce(result, needed_from(1));
    for (std::size_t i = 1; i < labels_.size(); ++i) {
      Operand<T> next = operand<T, Stored>(i);
      // What the one has, the other has still to be multiplied with.
      std::array<bool, kLabels> in_result = needed_from(i + 1);
      for (const Axis& axis : result.axes) in_result[static_cast<std::size_t>(axis.label)] = true;
      contraction.reduce(next, in_result);
      const std::array<bool, kLabels> needed = needed_from(i + 1);
      std::array<bool, kLabels> in_next = needed;
      for (const Axis& axis : next.axes) in_next[static_cast<std::size_t>(axis.label)] = true;
      contraction.reduce(result, in_next);
      result = contraction.multiply_operands(result, next, needed);
    }
    Tensor& y = context_.allocate_output(0, context_.input(0).element_type(), shape_);
    if (y.element_count() == 0) return;
    StridedBlock block;
    std::int64_t dense = y.element_count();
    for (const Label label : output_labels_) {
      const Axis* axis = result.find(label);
      const std::int64_t dim = dims_[static_cast<std::size_t>(label)];
      dense /= dim;
      block.add(dim, axis != nullptr ? axis->stride : 0, dense);
    }
    if constexpr (sizeof(Stored) == sizeof(T)) {
      copy_block(context_.threads(), block, element_type_of<T>(), result.data, y.raw_data());
    } else {
      Tensor wide = context_.allocate_scratch(element_type_of<T>(), shape_);
      copy_block(context_.threads(), block, element_type_of<T>(), result.data, wide.raw_data());
      map_elements(context_.threads(), y.element_count(), wide.data<T>(), y.data<Stored>(),
                   [](T x) { return static_cast<Stored>(x); });
    }
  }

 private:
  KernelContext& context_;
  const Equation& equation_;
  std::vector<std::vector<Label>> labels_;  // of each input's dimensions
  std::vector<Label> output_labels_;
  std::array<std::int64_t, kLabels> dims_;
  Shape shape_;
};

}  // namespace

std::unique_ptr<Kernel> make_Einsum(const KernelInfo& info) {
  return make_kernel([equation = parse_equation(info.attributes.get_string("equation", ""))](KernelContext& context) {
    Run run(context, equation);
    tensor::dispatch(tensor::NumericTypes{}, context.input(0).element_type(), "Einsum", [&]<typename Stored>() {
      if constexpr (std::is_floating_point_v<Stored>)
        run.compute<Stored, Stored>();
      else if constexpr (sizeof(Stored) == 8)
        run.compute<std::uint64_t, Stored>();
      else
        run.compute<std::uint32_t, Stored>();
    });
  });
}

}  // namespace lanner::kernels
