// Attention for float32 and float64: softmax(mask(softcap(scale * Q * K^T))) * V, a block of queries at a time, so that
// the scores of all queries are never in memory at once, unless they are asked for. Keys that no query of a block may
// see are not looked at.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/exp.h"
#include "kernels/gemm.h"
#include "kernels/kernel.h"
#include "kernels/product_loops.h"
#include "kernels/strided.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

constexpr std::int64_t kQueryBlock = 72;

enum class ScoreOutput : std::uint8_t { kRaw, kCapped, kMasked, kProbabilities };

struct Options {
  std::int64_t query_heads;  // 0 where the inputs say
  std::int64_t key_heads;
  std::optional<float> scale;
  float softcap;
  bool causal;
  std::int64_t left_window;  // -1 for none
  std::int64_t right_window;
  ScoreOutput scores;
};

// A tensor as [batch, heads, length, size] with elements of a row beside each other.
struct Heads {
  std::int64_t batch;
  std::int64_t heads;
  std::int64_t length;
  std::int64_t size;
  std::int64_t batch_stride;
  std::int64_t head_stride;
  std::int64_t row_stride;

  std::int64_t at(std::int64_t image, std::int64_t head, std::int64_t row) const {
    return image * batch_stride + head * head_stride + row * row_stride;
  }
};

Heads dense_heads(std::int64_t batch, std::int64_t heads, std::int64_t length, std::int64_t size) {
  return {batch, heads, length, size, heads * length * size, length * size, size};
}

// `shape` is [batch, heads, length, size] or [batch, length, heads * size].
Heads read_heads(const Shape& shape, std::int64_t heads, std::string_view name) {
  if (shape.rank() == 4) {
    if (heads != 0 && heads != shape[1]) {
      base::invalid("op.shape", "input '{}' of shape {} does not have {} heads", name, shape.to_string(), heads);
    }
    return dense_heads(shape[0], shape[1], shape[2], shape[3]);
  }
  if (heads < 1 || shape[2] % heads != 0) {
    base::invalid("op.shape", "input '{}' of shape {} cannot be cut into {} heads", name, shape.to_string(), heads);
  }
  return {shape[0], heads, shape[1], shape[2] / heads, shape[1] * shape[2], shape[2] / heads, shape[2]};
}

// The mask of a query: of `length` keys; those behind are masked.
struct Mask {
  const Tensor* tensor = nullptr;
  std::int64_t length = 0;
  std::int64_t strides[3] = {0, 0, 0};  // of batch, heads and queries

  std::int64_t at(std::int64_t image, std::int64_t head, std::int64_t query) const {
    return image * strides[0] + head * strides[1] + query * strides[2];
  }
};

Mask read_mask(const Tensor& tensor, ElementType type, const Heads& q, std::int64_t keys) {
  const Shape& shape = tensor.shape();
  if (tensor.element_type() != ElementType::kBool && tensor.element_type() != type) {
    base::invalid("op.type", "input 'attn_mask' must be bool or {}, but is {}", element_type_name(type),
                  element_type_name(tensor.element_type()));
  }
  const std::int64_t wanted[] = {q.batch, q.heads, q.length};
  bool fits = shape.rank() >= 1 && shape.rank() <= 4 && shape[shape.rank() - 1] <= keys;
  Mask mask{&tensor, fits ? shape[shape.rank() - 1] : 0};
  std::int64_t stride = mask.length;
  for (int axis = shape.rank() - 2; fits && axis >= 0; --axis) {
    const int level = axis + 4 - shape.rank();
    fits = shape[axis] == 1 || shape[axis] == wanted[level];
    if (shape[axis] != 1) mask.strides[level] = stride;
    stride *= shape[axis];
  }
  if (fits) return mask;
  base::invalid("op.shape", "input 'attn_mask' of shape {} does not fit [{},{},{},{}]", shape.to_string(), q.batch,
                q.heads, q.length, keys);
}

struct Problem {
  Options options;
  Heads q, k, v, y;
  double scale;
  Mask mask;
  std::int64_t past = 0;
  const std::int64_t* valid = nullptr;  // keys of each image that are no padding

  std::int64_t valid_keys(std::int64_t image) const { return valid != nullptr ? valid[image] : k.length; }

  struct Range {
    std::int64_t first;
    std::int64_t last;
  };
  // The keys that query `query` may see, as far as its position says.
  Range visible(std::int64_t image, std::int64_t query) const {
    const std::int64_t position = query + (valid != nullptr ? valid[image] - q.length : past);
    Range range{0, valid_keys(image)};
    if (options.causal) range.last = std::min(range.last, position + 1);
    if (options.left_window >= 0) range.first = std::max(range.first, position - options.left_window);
    if (options.right_window >= 0) range.last = std::min(range.last, position + options.right_window + 1);
    range.first = std::min(range.first, k.length);
    range.last = std::clamp(range.last, range.first, k.length);
    return range;
  }
};

template <typename T>
T hyperbolic_tangent(T x) {
  if constexpr (std::is_same_v<T, float>) return math::tanh(x);
  return std::tanh(x);
}

// row[j] becomes the score of key first + j with the mask; false where no key is left.
template <typename T>
bool mask_row(const Problem& problem, std::int64_t image, std::int64_t head, std::int64_t query, std::int64_t first,
              std::int64_t count, T* row) {
  constexpr T kMasked = -std::numeric_limits<T>::infinity();
  const Problem::Range range = problem.visible(image, query);
  bool any = false;
  std::int64_t last = range.last;
  if (problem.mask.tensor != nullptr) {
    last = std::min(last, problem.mask.length);
    const std::int64_t at = problem.mask.at(image, head, query);
    if (problem.mask.tensor->element_type() == ElementType::kBool) {
      const bool* const allowed = problem.mask.tensor->data<bool>() + at;
      for (std::int64_t j = range.first; j < last; ++j) {
        any = any || allowed[j];
        if (!allowed[j]) row[j - first] = kMasked;
      }
    } else {
      const T* const addend = problem.mask.tensor->data<T>() + at;
      for (std::int64_t j = range.first; j < last; ++j) {
        any = any || addend[j] != kMasked;
        row[j - first] += addend[j];
      }
    }
  } else {
    any = range.first < last;
  }
  std::fill_n(row, std::min(range.first - first, count), kMasked);
  const std::int64_t end = std::max(last - first, std::int64_t{0});
  if (end < count) std::fill_n(row + end, count - end, kMasked);
  return any;
}

// Each of the scores, of which one is more than minus infinity, becomes exp(score - largest). Returns their sum.
template <typename T>
T exponentiate(T* scores, std::int64_t count) {
  if constexpr (std::is_same_v<T, float>) {
    return product_loops_of_cpu().get().exponentiate(count, scores);
  } else {
    const T greatest = *std::max_element(scores, scores + count);
    T sum = 0;
    for (std::int64_t j = 0; j < count; ++j) sum += scores[j] = std::exp(scores[j] - greatest);
    return sum;
  }
}

// The keys and values of one head, as the products with them want them: packed where many queries share them.
template <typename T>
class Memory {
 public:
  Memory(const Problem& problem, const T* k, const T* v) : problem_(problem), k_(k), v_(v) {}

  void choose(std::int64_t image, std::int64_t head) {
    const T* const keys = k_ + problem_.k.at(image, head, 0);
    const T* const values = v_ + problem_.v.at(image, head, 0);
    if (keys == keys_ && values == values_) return;
    keys_ = keys;
    values_ = values;
    if constexpr (kMayPack) {
      if (!packs()) return;
      packed_keys_.pack(problem_.k.size, problem_.k.length, {keys, 1, problem_.k.row_stride});
      packed_values_.pack(problem_.v.length, problem_.v.size, {values, problem_.v.row_stride, 1});
    }
  }

  // scores[r][j] = queries[r] * key first + j; the rows of `queries` lie beside each other.
  void score(std::int64_t rows, const T* queries, std::int64_t first, std::int64_t count, T* scores) const {
    const std::int64_t size = problem_.k.size;
    if constexpr (kMayPack) {
      if (packs()) return packed_keys_.multiply(rows, count, size, queries, size, 0, first, scores, count);
    }
    const std::int64_t stride = problem_.k.row_stride;
    multiply<T>(1, rows, count, size, {queries, size, 1}, {keys_ + first * stride, 1, stride}, scores, count);
  }

  // y[r] = the sum over j of probabilities[r][j] * value first + j.
  void sum(std::int64_t rows, const T* probabilities, std::int64_t first, std::int64_t count, T* y) const {
    const std::int64_t y_stride = problem_.y.row_stride;
    if constexpr (kMayPack) {
      if (packs()) {
        return packed_values_.multiply(rows, problem_.v.size, count, probabilities, count, first, 0, y, y_stride);
      }
    }
    const std::int64_t stride = problem_.v.row_stride;
    multiply<T>(1, rows, problem_.v.size, count, {probabilities, count, 1}, {values_ + first * stride, stride, 1}, y,
                y_stride);
  }

 private:
  static constexpr bool kMayPack = std::is_same_v<T, float>;
  bool packs() const { return problem_.q.length >= kProductRows; }

  const Problem& problem_;
  const T* k_;
  const T* v_;
  const T* keys_ = nullptr;
  const T* values_ = nullptr;
  PackedMatrix packed_keys_;
  PackedMatrix packed_values_;
};

// The queries [begin, end) of one head. `scores_out` is the head's [queries, keys] or null.
template <typename T>
void attend(const Problem& problem, Allocator& allocator, std::int64_t image, std::int64_t head, std::int64_t begin,
            std::int64_t end, const T* q, Memory<T>& memory, T* y, T* scores_out) {
  const std::int64_t rows = end - begin;
  const std::int64_t size = problem.q.size;
  // All keys where their scores are asked for, else those that some query of the block sees, from a panel's first on.
  std::int64_t first = problem.k.length;
  std::int64_t last = 0;
  for (std::int64_t query = begin; query < end; ++query) {
    const Problem::Range range = problem.visible(image, query);
    if (range.first >= range.last) continue;
    first = std::min(first, range.first / kPanelColumns * kPanelColumns);
    last = std::max(last, range.last);
  }
  if (scores_out != nullptr) {
    first = 0;
    last = problem.k.length;
  }
  T* const out = y + problem.y.at(image, head, begin);
  const std::int64_t keys = last - first;
  if (keys <= 0) {
    for (std::int64_t r = 0; r < rows; ++r) std::fill_n(out + r * problem.y.row_stride, problem.y.size, T{});
    return;
  }
  Tensor work = Tensor::allocate(element_type_of<T>(), {rows, size + keys + 1}, allocator);
  T* const queries = work.data<T>();
  T* const scores = queries + rows * size;
  T* const sums = scores + rows * keys;  // that Softmax divides the scores of a query by
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* const from = q + problem.q.at(image, head, begin + r);
    for (std::int64_t i = 0; i < size; ++i) queries[r * size + i] = from[i] * static_cast<T>(problem.scale);
  }
  memory.choose(image, head / (problem.q.heads / problem.k.heads));
  memory.score(rows, queries, first, keys, scores);
  const auto keep = [&](ScoreOutput what, std::int64_t r) {
    if (scores_out == nullptr || problem.options.scores != what) return;
    std::copy_n(scores + r * keys, keys, scores_out + (begin + r) * keys);
  };
  const T cap = static_cast<T>(problem.options.softcap);
  for (std::int64_t r = 0; r < rows; ++r) {
    T* const row = scores + r * keys;
    keep(ScoreOutput::kRaw, r);
    if (cap > 0) {
      for (std::int64_t j = 0; j < keys; ++j) row[j] = cap * hyperbolic_tangent(row[j] / cap);
    }
    keep(ScoreOutput::kCapped, r);
    const bool any = mask_row(problem, image, head, begin + r, first, keys, row);
    keep(ScoreOutput::kMasked, r);
    constexpr T kMasked = -std::numeric_limits<T>::infinity();
    if (any && std::any_of(row, row + keys, [](T score) { return score != kMasked; })) {
      sums[r] = exponentiate(row, keys);
    } else {  // a query without a key
      std::fill_n(row, keys, T{});
      sums[r] = 1;
    }
  }
  memory.sum(rows, scores, first, keys, out);
  // Divided once a value, of which there are fewer than scores.
  for (std::int64_t r = 0; r < rows; ++r) {
    const T factor = 1 / sums[r];
    T* const values = out + r * problem.y.row_stride;
    for (std::int64_t i = 0; i < problem.y.size; ++i) values[i] *= factor;
    if (scores_out == nullptr || problem.options.scores != ScoreOutput::kProbabilities) continue;
    std::transform(scores + r * keys, scores + (r + 1) * keys, scores_out + (begin + r) * keys,
                   [factor](T power) { return power * factor; });
  }
}

// Output `index`: the past rows of each head and behind them those of `now`; null if neither is there nor asked for.
const Tensor* join(KernelContext& context, int index, const Tensor* past, const Tensor& now, Heads& heads,
                   std::string_view name) {
  if (past == nullptr && !context.wants_output(index)) return nullptr;
  std::int64_t before = 0;
  if (past != nullptr) {
    before = past->rank() == 4 ? past->shape()[2] : 0;
    if (past->element_type() != now.element_type() ||
        past->shape() != Shape{heads.batch, heads.heads, before, heads.size}) {
      base::invalid("op.shape", "input '{}' must be {}[{},{},length,{}], but is {}", name,
                    element_type_name(now.element_type()), heads.batch, heads.heads, heads.size, past->type_string());
    }
  }
  const Shape shape{heads.batch, heads.heads, before + heads.length, heads.size};
  Tensor& joined = context.allocate_output(index, now.element_type(), shape);
  const std::int64_t row = shape[2] * heads.size;
  const auto copy = [&](const Tensor& from, const Heads& source, std::int64_t offset) {
    if (from.element_count() == 0) return;
    StridedBlock block;
    block.add(source.batch, source.batch_stride, source.heads * row);
    block.add(source.heads, source.head_stride, row);
    block.add(source.length, source.row_stride, source.size);
    block.add(source.size, 1, 1);
    copy_block(context.threads(), block, from.element_type(), from.raw_data(),
               element_at(joined.element_type(), joined.raw_data(), offset));
  };
  if (past != nullptr) copy(*past, dense_heads(heads.batch, heads.heads, before, heads.size), 0);
  copy(now, heads, before * heads.size);
  heads = dense_heads(heads.batch, heads.heads, shape[2], heads.size);
  return &joined;
}

Options parse_options(const tensor::Attributes& attributes) {
  const auto heads = [&](std::string_view name) {
    const std::int64_t count = attributes.get_int(name, 0);
    if (count < 0) base::invalid("op.attribute", "attribute '{}' must not be negative, but is {}", name, count);
    return count;
  };
  const auto window = [&](std::string_view name) {
    const std::int64_t size = attributes.get_int(name, -1);
    if (size < -1) base::invalid("op.attribute", "attribute '{}' must be -1 or more, but is {}", name, size);
    // Beyond any sequence, and far from the ends of the type.
    return std::min(size, INT64_MAX / 4);
  };
  const std::int64_t scores = attributes.get_int("qk_matmul_output_mode", 0);
  if (scores < 0 || scores > 3) {
    base::invalid("op.attribute", "attribute 'qk_matmul_output_mode' must be in [0, 3], but is {}", scores);
  }
  Options options{heads("q_num_heads"),
                  heads("kv_num_heads"),
                  std::nullopt,
                  attributes.get_float("softcap", 0),
                  attributes.get_int("is_causal", 0) != 0,
                  window("left_window_size"),
                  window("right_window_size"),
                  static_cast<ScoreOutput>(scores)};
  if (attributes.has("scale")) options.scale = attributes.get_float("scale", 1);
  return options;
}

}  // namespace

std::unique_ptr<Kernel> make_Attention(const KernelInfo& info) {
  return make_kernel([options = parse_options(info.attributes)](KernelContext& context) {
    const Tensor* q = &context.input(0);
    const Tensor* k = &context.input(1);
    const Tensor* v = &context.input(2);
    const ElementType type = q->element_type();
    if (k->element_type() != type || v->element_type() != type) {
      base::invalid("op.type", "inputs 'Q', 'K' and 'V' must have one element type, but are {}, {} and {}",
                    q->type_string(), k->type_string(), v->type_string());
    }
    if ((q->rank() != 3 && q->rank() != 4) || k->rank() != q->rank() || v->rank() != q->rank()) {
      base::invalid("op.rank", "inputs 'Q', 'K' and 'V' must all have rank 3 or 4, but are {}, {} and {}",
                    q->type_string(), k->type_string(), v->type_string());
    }
    Problem problem{options,
                    read_heads(q->shape(), options.query_heads, "Q"),
                    read_heads(k->shape(), options.key_heads, "K"),
                    read_heads(v->shape(), options.key_heads, "V"),
                    {},
                    0,
                    {}};
    const Heads& query = problem.q;
    if (problem.k.batch != query.batch || problem.v.batch != query.batch || problem.k.size != query.size ||
        problem.k.heads != problem.v.heads || problem.k.length != problem.v.length ||
        (problem.k.heads != 0 ? query.heads % problem.k.heads != 0 : query.heads != 0)) {
      base::invalid("op.shape", "inputs 'Q', 'K' and 'V' do not fit: they are {}, {} and {}", q->type_string(),
                    k->type_string(), v->type_string());
    }
    const Tensor* past_key = context.optional_input(4);
    const Tensor* past_value = context.optional_input(5);
    const Tensor* valid = context.optional_input(6);
    if ((past_key == nullptr) != (past_value == nullptr)) {
      base::invalid("op.input", "inputs 'past_key' and 'past_value' are given together or not at all");
    }
    if (valid != nullptr && past_key != nullptr) {
      base::invalid("op.input", "input 'nonpad_kv_seqlen' is not given with 'past_key'");
    }
    if (past_key != nullptr && past_key->rank() == 4) problem.past = past_key->shape()[2];
    if (const Tensor* joined = join(context, 1, past_key, *k, problem.k, "past_key")) k = joined;
    if (const Tensor* joined = join(context, 2, past_value, *v, problem.v, "past_value")) v = joined;
    if (problem.k.length != problem.v.length) {
      base::invalid("op.shape", "inputs 'past_key' and 'past_value' have different lengths");
    }
    const std::int64_t keys = problem.k.length;
    if (const Tensor* mask = context.optional_input(3)) problem.mask = read_mask(*mask, type, query, keys);
    if (valid != nullptr) {
      if (valid->element_type() != ElementType::kInt64 || valid->shape() != Shape{query.batch}) {
        base::invalid("op.shape", "input 'nonpad_kv_seqlen' must be int64[{}], but is {}", query.batch,
                      valid->type_string());
      }
      problem.valid = valid->data<std::int64_t>();
      for (const std::int64_t length : valid->values<std::int64_t>()) {
        if (length >= 0 && length <= keys) continue;
        base::invalid("op.value", "input 'nonpad_kv_seqlen' must hold values in [0, {}], but one is {}", keys, length);
      }
    }
    const double root = std::sqrt(static_cast<double>(std::max<std::int64_t>(query.size, 1)));
    problem.scale = options.scale ? static_cast<double>(*options.scale) : 1 / root;
    Shape shape{query.batch, query.heads, query.length, problem.v.size};
    problem.y = dense_heads(query.batch, query.heads, query.length, problem.v.size);
    if (q->rank() == 3) {
      shape = Shape{query.batch, query.length, query.heads * problem.v.size};
      problem.y = read_heads(shape, std::max<std::int64_t>(query.heads, 1), "Y");
    }
    Tensor& y = context.allocate_output(0, type, shape);
    Tensor* scores = nullptr;
    if (context.wants_output(3)) {
      scores = &context.allocate_output(3, type, {query.batch, query.heads, query.length, keys});
    }
    if (y.element_count() == 0 && (scores == nullptr || scores->element_count() == 0)) return;
    const std::int64_t blocks = (query.length + kQueryBlock - 1) / kQueryBlock;
    tensor::dispatch(tensor::FloatTypes{}, type, "Attention", [&]<typename T>() {
      const double work = static_cast<double>(std::min(query.length, kQueryBlock)) * static_cast<double>(keys) *
                          static_cast<double>(query.size + problem.v.size);
      const double grain = static_cast<double>(kElementGrain) / std::max(work, 1.0);
      base::parallel_for(context.threads(), query.batch * query.heads * blocks,
                         static_cast<std::int64_t>(std::max(grain, 1.0)), [&](std::int64_t begin, std::int64_t end) {
                           Memory<T> memory(problem, k->data<T>(), v->data<T>());
                           for (std::int64_t item = begin; item < end; ++item) {
                             const std::int64_t head = item / blocks;  // of all images
                             const std::int64_t first = item % blocks * kQueryBlock;
                             attend<T>(problem, context.allocator(), head / query.heads, head % query.heads, first,
                                       std::min(first + kQueryBlock, query.length), q->data<T>(), memory, y.data<T>(),
                                       scores != nullptr ? scores->data<T>() + head * query.length * keys : nullptr);
                           }
                         });
    });
  });
}

}  // namespace lanner::kernels
