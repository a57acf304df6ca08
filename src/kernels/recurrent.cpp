// RNN, GRU and LSTM, float32 and float64. What a step takes from the input is one matrix product for all steps; what it
// takes from the state is one product a step for the whole batch (two for a GRU that resets before its product). Each
// thread computes some columns of the next state: their products, their gates and what becomes of them.
//
// A sequence that is shorter than the longest has its own steps only: Y is 0 behind them, the last states are those
// after them, and the reverse direction starts at their end. A sequence of no steps keeps its initial states.
//
// `clip` bounds the sums of the gates; an LSTM's cell is not bounded before its last activation, as in other engines.
#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/parallel.h"
#include "kernels/broadcast.h"
#include "kernels/element_loops.h"
#include "kernels/gemm.h"
#include "kernels/kernel.h"
#include "kernels/product_loops.h"
#include "tensor/dispatch.h"

namespace lanner::kernels {

namespace {

// ---- activations --------------------------------------------------------------------------------------------------

enum class Function : std::uint8_t {
  kAffine,
  kElu,
  kHardSigmoid,
  kLeakyRelu,
  kRelu,
  kScaledTanh,
  kSigmoid,
  kSoftplus,
  kSoftsign,
  kTanh,
  kThresholdedRelu
};

// Functions with their default parameters; NaN for one that a function has not.
struct FunctionRow {
  std::string_view name;
  Function function;
  float alpha;
  float beta;
};
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
constexpr FunctionRow kFunctions[] = {
    {"affine", Function::kAffine, 1, 0},
    {"elu", Function::kElu, 1, kNone},
    {"hardsigmoid", Function::kHardSigmoid, 0.2f, 0.5f},
    {"leakyrelu", Function::kLeakyRelu, 0.01f, kNone},
    {"relu", Function::kRelu, kNone, kNone},
    {"scaledtanh", Function::kScaledTanh, 1, 1},
    {"sigmoid", Function::kSigmoid, kNone, kNone},
    {"softplus", Function::kSoftplus, kNone, kNone},
    {"softsign", Function::kSoftsign, kNone, kNone},
    {"tanh", Function::kTanh, kNone, kNone},
    {"thresholdedrelu", Function::kThresholdedRelu, 1, kNone},
};

struct Activation {
  Function function;
  float alpha;
  float beta;
};

template <typename T>
T evaluate(const Activation& activation, T x) {
  const auto alpha = static_cast<T>(activation.alpha);
  const auto beta = static_cast<T>(activation.beta);
  switch (activation.function) {
    case Function::kAffine:
      return alpha * x + beta;
    case Function::kElu:
      return x >= 0 ? x : alpha * std::expm1(x);
    case Function::kHardSigmoid:
      return std::min(std::max(alpha * x + beta, T{0}), T{1});
    case Function::kLeakyRelu:
      return x >= 0 ? x : alpha * x;
    case Function::kRelu:
      return x < 0 ? T{0} : x;
    case Function::kScaledTanh:
      return alpha * std::tanh(beta * x);
    case Function::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Function::kSoftplus:
      return std::max(x, T{0}) + std::log1p(std::exp(-std::fabs(x)));
    case Function::kSoftsign:
      return x / (1 + std::fabs(x));
    case Function::kTanh:
      return std::tanh(x);
    case Function::kThresholdedRelu:
      return x >= alpha ? x : T{0};
  }
  return x;
}

// x = f(x), bounded to [-clip, clip] before where there is a clip.
template <typename T>
void activate(const Activation& activation, std::optional<float> clip, T* x, std::int64_t count) {
  if (clip) {
    const auto bound = static_cast<T>(*clip);
    for (std::int64_t i = 0; i < count; ++i) x[i] = std::min(std::max(x[i], -bound), bound);
  }
  if constexpr (std::is_same_v<T, float>) {
    if (activation.function == Function::kSigmoid) return map_loop(LogisticSigmoid{}, x, x, count);
    if (activation.function == Function::kTanh) return map_loop(HyperbolicTangent{}, x, x, count);
  }
  for (std::int64_t i = 0; i < count; ++i) x[i] = evaluate(activation, x[i]);
}

// ---- attributes ---------------------------------------------------------------------------------------------------

struct Settings {
  int directions = 1;
  bool first_reverse = false;  // the second direction of two always is
  bool batch_first = false;
  bool linear_before_reset = false;
  bool input_forget = false;
  std::int64_t hidden_size = 0;  // 0 if not given
  std::optional<float> clip;
  std::vector<Activation> activations;  // of each direction, one after another

  bool is_reverse(int direction) const { return direction == 1 || first_reverse; }
  const Activation* activations_of(int direction) const {
    const std::size_t count = activations.size() / static_cast<std::size_t>(directions);
    return activations.data() + static_cast<std::size_t>(direction) * count;
  }
};

Settings parse_settings(const tensor::Attributes& attributes, std::initializer_list<std::string_view> defaults) {
  Settings settings;
  const std::string direction = attributes.get_string("direction", "forward");
  if (direction == "bidirectional") {
    settings.directions = 2;
  } else if (direction == "reverse") {
    settings.first_reverse = true;
  } else if (direction != "forward") {
    base::invalid("op.attribute", "attribute 'direction' must be forward, reverse or bidirectional, but is '{}'",
                  direction);
  }
  const std::int64_t layout = attributes.get_int("layout", 0);
  if (layout != 0 && layout != 1) base::invalid("op.attribute", "attribute 'layout' must be 0 or 1, but is {}", layout);
  settings.batch_first = layout == 1;
  settings.linear_before_reset = attributes.get_int("linear_before_reset", 0) != 0;
  settings.input_forget = attributes.get_int("input_forget", 0) != 0;
  if (attributes.has("hidden_size")) {
    settings.hidden_size = attributes.require_int("hidden_size");
    if (settings.hidden_size < 1) {
      base::invalid("op.attribute", "attribute 'hidden_size' must be positive, but is {}", settings.hidden_size);
    }
  }
  if (attributes.has("clip")) {
    settings.clip = attributes.get_float("clip", 0);
    if (!(*settings.clip > 0)) {
      base::invalid("op.attribute", "attribute 'clip' must be positive, but is {}", *settings.clip);
    }
  }
  std::vector<std::string> names = attributes.get_strings("activations");
  const std::size_t count = defaults.size() * static_cast<std::size_t>(settings.directions);
  if (names.empty()) {
    for (int i = 0; i < settings.directions; ++i) names.insert(names.end(), defaults.begin(), defaults.end());
  }
  if (names.size() != count) {
    base::invalid("op.attribute", "attribute 'activations' must name {} functions, but names {}", count, names.size());
  }
  // Only functions that have a parameter take the next number of its list.
  const std::vector<float> alphas = attributes.get_floats("activation_alpha");
  const std::vector<float> betas = attributes.get_floats("activation_beta");
  std::size_t next_alpha = 0;
  std::size_t next_beta = 0;
  for (std::string& name : names) {
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto* row = std::ranges::find(kFunctions, name, &FunctionRow::name);
    if (row == std::end(kFunctions)) {
      base::invalid("op.attribute", "attribute 'activations' names the unknown function '{}'", name);
    }
    Activation activation{row->function, row->alpha, row->beta};
    if (!std::isnan(row->alpha) && next_alpha < alphas.size()) activation.alpha = alphas[next_alpha++];
    if (!std::isnan(row->beta) && next_beta < betas.size()) activation.beta = betas[next_beta++];
    settings.activations.push_back(activation);
  }
  return settings;
}

// ---- one run ------------------------------------------------------------------------------------------------------

struct Problem {
  const Settings& settings;
  std::int64_t gates;
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t hidden = 0;
  std::vector<std::int64_t> lengths = {};  // of each sequence of the batch
  std::int64_t longest = 0;

  std::int64_t width() const { return gates * hidden; }
  // Rows of inputs in X.
  std::int64_t input_row(std::int64_t step, std::int64_t item) const {
    return settings.batch_first ? item * steps + step : step * batch + item;
  }
  // Elements before a row of hidden numbers in Y and in a state.
  std::int64_t output_offset(std::int64_t step, int direction, std::int64_t item) const {
    const std::int64_t directions = settings.directions;
    return hidden * (settings.batch_first ? (item * steps + step) * directions + direction
                                          : (step * directions + direction) * batch + item);
  }
  std::int64_t state_offset(int direction, std::int64_t item) const {
    return hidden * (settings.batch_first ? item * settings.directions + direction : direction * batch + item);
  }
  Shape state_shape() const {
    return settings.batch_first ? Shape{batch, settings.directions, hidden} : Shape{settings.directions, batch, hidden};
  }
  Shape output_shape() const {
    return settings.batch_first ? Shape{batch, steps, settings.directions, hidden}
                                : Shape{steps, settings.directions, batch, hidden};
  }
};

void require_shape(const Tensor* tensor, const Shape& shape, ElementType type, std::string_view name) {
  if (tensor == nullptr) return;
  if (tensor->element_type() != type) {
    base::invalid("op.type", "input '{}' must be {}, but is {}", name, element_type_name(type),
                  element_type_name(tensor->element_type()));
  }
  if (tensor->shape() != shape) {
    base::invalid("op.shape", "input '{}' must have shape {}, but has {}", name, shape.to_string(),
                  tensor->shape().to_string());
  }
}

// Checks the inputs that the three operators share.
Problem make_problem(const KernelContext& context, const Settings& settings, std::int64_t gates) {
  const Tensor& x = context.input(0);
  const Tensor& r = context.input(2);
  if (x.rank() != 3 || r.rank() != 3) {
    base::invalid("op.rank", "inputs 'X' and 'R' must have rank 3, but have shapes {} and {}", x.shape().to_string(),
                  r.shape().to_string());
  }
  Problem problem{settings, gates};
  problem.steps = x.shape()[settings.batch_first ? 1 : 0];
  problem.batch = x.shape()[settings.batch_first ? 0 : 1];
  problem.inputs = x.shape()[2];
  problem.hidden = r.shape()[2];
  const ElementType type = x.element_type();
  const std::int64_t directions = settings.directions;
  if (r.shape()[1] % gates != 0 || r.shape()[1] / gates != problem.hidden) {
    base::invalid("op.shape", "input 'R' must have shape [{0}, {1} * hidden size, hidden size], but has {2}",
                  directions, gates, r.shape().to_string());
  }
  if (settings.hidden_size != 0 && settings.hidden_size != problem.hidden) {
    base::invalid("op.shape", "attribute 'hidden_size' is {}, but input 'R' has shape {}", settings.hidden_size,
                  r.shape().to_string());
  }
  require_shape(&r, {directions, problem.width(), problem.hidden}, type, "R");
  require_shape(&context.input(1), {directions, problem.width(), problem.inputs}, type, "W");
  require_shape(context.optional_input(3), {directions, 2 * problem.width()}, type, "B");
  require_shape(context.optional_input(5), problem.state_shape(), type, "initial_h");
  return problem;
}

void read_lengths(const KernelContext& context, Problem& problem) {
  problem.longest = problem.steps;
  problem.lengths.assign(static_cast<std::size_t>(problem.batch), problem.steps);
  const Tensor* lengths = context.optional_input(4);
  if (lengths == nullptr) return;
  require_shape(lengths, {problem.batch}, ElementType::kInt32, "sequence_lens");
  std::ranges::copy(lengths->values<std::int32_t>(), problem.lengths.begin());
  for (const std::int64_t length : problem.lengths) {
    if (length < 0 || length > problem.steps) {
      base::invalid("op.value", "a sequence's length must be in [0, {}], but is {}", problem.steps, length);
    }
  }
  problem.longest = std::ranges::max(problem.lengths);
}

template <typename T>
void add(const T* addend, std::int64_t count, T* sum) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += addend[i];
}
template <typename T>
void add_product(const T* a, const T* b, std::int64_t count, T* sum) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += a[i] * b[i];
}

// ---- weights ------------------------------------------------------------------------------------------------------

// The weights W or R of one direction, [gates, hidden, depth], as the right side of products with rows of inputs or
// states. Those of float32 are packed.
template <typename T>
class GateWeights {
 public:
  GateWeights(int threads, const T* weights, std::int64_t gates, std::int64_t hidden, std::int64_t depth)
      : weights_(weights), hidden_(hidden), depth_(depth) {
    if constexpr (kPacks) {
      packed_.resize(static_cast<std::size_t>(gates));
      base::parallel_for(threads, gates, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t gate = begin; gate < end; ++gate) {
          packed_[static_cast<std::size_t>(gate)].pack(depth, hidden, {weights + gate * hidden * depth, 1, depth});
        }
      });
    }
  }

  std::int64_t depth() const { return depth_; }

  // Columns [first, last) of a gate's product with dense rows; `first` is a whole number of panels.
  void multiply(std::int64_t gate, std::int64_t rows, std::int64_t first, std::int64_t last, const T* a, T* y,
                std::int64_t y_stride) const {
    if constexpr (kPacks) {
      packed_[static_cast<std::size_t>(gate)].multiply(rows, last - first, depth_, a, depth_, 0, first, y, y_stride);
    } else {
      kernels::multiply<T>(1, rows, last - first, depth_, {a, depth_, 1},
                           {weights_ + (gate * hidden_ + first) * depth_, 1, depth_}, y, y_stride);
    }
  }

 private:
  static constexpr bool kPacks = std::is_same_v<T, float>;

  const T* weights_;  // where they are not packed
  std::int64_t hidden_;
  std::int64_t depth_;
  std::vector<PackedMatrix> packed_;  // by gate
};

// Both weights of one direction.
template <typename T>
struct Weights {
  GateWeights<T> input;
  GateWeights<T> recurrence;
};

template <typename T>
Weights<T> make_weights(int threads, const Tensor& w, const Tensor& r, std::int64_t gates, int direction) {
  const std::int64_t hidden = r.shape()[2];
  const std::int64_t inputs = w.shape()[2];
  return {{threads, w.data<T>() + direction * gates * hidden * inputs, gates, hidden, inputs},
          {threads, r.data<T>() + direction * gates * hidden * hidden, gates, hidden, hidden}};
}

// Of each direction, where they are constant and as they have to be; else none.
std::vector<Weights<float>> constant_weights(const KernelInfo& info, const Settings& settings, std::int64_t gates) {
  const Tensor* const w = info.constant(1);
  const Tensor* const r = info.constant(2);
  if (w == nullptr || r == nullptr || w->element_type() != ElementType::kFloat32 ||
      r->element_type() != ElementType::kFloat32 || w->rank() != 3 || r->rank() != 3) {
    return {};
  }
  const std::int64_t directions = settings.directions;
  const std::int64_t hidden = r->shape()[2];
  if (hidden > INT32_MAX || r->shape() != Shape{directions, gates * hidden, hidden} ||
      w->shape() != Shape{directions, gates * hidden, w->shape()[2]}) {
    return {};
  }
  std::vector<Weights<float>> weights;
  for (int i = 0; i < settings.directions; ++i) weights.push_back(make_weights<float>(1, *w, *r, gates, i));
  return weights;
}

// ---- one direction ------------------------------------------------------------------------------------------------

// Products that are worth waking a thread for.
constexpr std::int64_t kProductGrain = 1 << 19;

// One direction of a run: its weights and states. A state is [batch, hidden], whatever the layout of the inputs is.
// Threads share a step by columns of the state: each computes all gates of its own.
template <typename T>
class Direction {
 public:
  Direction(KernelContext& context, const Problem& problem, int index, const Weights<T>& weights)
      : context_(context), problem_(problem), index_(index), weights_(weights) {
    const std::int64_t width = problem.width();
    if (const Tensor* b = context.optional_input(3)) bias_ = b->data<T>() + index * 2 * width;
    hidden_ = scratch({problem.batch, problem.hidden});
    next_hidden_ = scratch({problem.batch, problem.hidden});
    read_state(context.optional_input(5), hidden_);
    products_ = scratch({problem.batch, width});
  }

  const Problem& problem() const { return problem_; }
  const Activation& activation(int i) const { return problem_.settings.activations_of(index_)[i]; }
  const std::optional<float>& clip() const { return problem_.settings.clip; }
  // Biases of the state's products, or null.
  const T* recurrence_bias() const { return bias_ != nullptr ? bias_ + problem_.width() : nullptr; }
  const Tensor& hidden() const { return hidden_; }
  const T* hidden(std::int64_t item) const { return hidden_.data<T>() + item * problem_.hidden; }
  T* next_hidden(std::int64_t item) { return next_hidden_.data<T>() + item * problem_.hidden; }
  // The sums of all gates, of the last multiply_state().
  T* products(std::int64_t item) { return products_.data<T>() + item * problem_.width(); }

  Tensor scratch(const Shape& shape) { return context_.allocate_scratch(element_type_of<T>(), shape); }

  // A state as it is given, or 0.
  void read_state(const Tensor* given, Tensor& state) {
    for (std::int64_t item = 0; item < problem_.batch; ++item) {
      T* to = state.data<T>() + item * problem_.hidden;
      if (given != nullptr)
        std::copy_n(given->data<T>() + problem_.state_offset(index_, item), problem_.hidden, to);
      else
        std::fill_n(to, problem_.hidden, T{});
    }
  }
  void write_state(const Tensor& state, Tensor& output) {
    for (std::int64_t item = 0; item < problem_.batch; ++item) {
      std::copy_n(state.data<T>() + item * problem_.hidden, problem_.hidden,
                  output.data<T>() + problem_.state_offset(index_, item));
    }
  }
  void write_hidden(Tensor& output) { write_state(hidden_, output); }

  // What all steps take from the input: X * W^T and the input's biases, and those of the first `summed_gates` gates'
  // state products as well.
  void project_inputs(std::int64_t summed_gates) {
    constexpr std::int64_t kRows = 72;
    constexpr std::int64_t kColumns = 8 * kPanelColumns;
    const std::int64_t rows = problem_.steps * problem_.batch;
    const std::int64_t width = problem_.width();
    const std::int64_t hidden = problem_.hidden;
    projected_ = scratch({problem_.steps, problem_.batch, width});
    std::vector<T> bias(static_cast<std::size_t>(width));
    if (bias_ != nullptr) {
      std::copy_n(bias_, width, bias.data());
      add(recurrence_bias(), summed_gates * hidden, bias.data());
    }
    const T* const x = context_.input(0).data<T>();
    const std::int64_t row_blocks = (rows + kRows - 1) / kRows;
    const std::int64_t column_blocks = (hidden + kColumns - 1) / kColumns;
    const std::int64_t work = std::min(rows, kRows) * std::min(hidden, kColumns) * (problem_.inputs + 1);
    base::parallel_for(context_.threads(), problem_.gates * column_blocks * row_blocks,
                       std::max<std::int64_t>(1, kProductGrain / std::max<std::int64_t>(work, 1)),
                       [&](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t item = begin; item < end; ++item) {
                           const std::int64_t row = item % row_blocks * kRows;
                           const std::int64_t first = item / row_blocks % column_blocks * kColumns;
                           const std::int64_t last = std::min(first + kColumns, hidden);
                           const std::int64_t gate = item / row_blocks / column_blocks;
                           const std::int64_t count = std::min(kRows, rows - row);
                           T* const to = projected_.data<T>() + row * width + gate * hidden + first;
                           weights_.input.multiply(gate, count, first, last, x + row * problem_.inputs, to, width);
                           for (std::int64_t i = 0; i < count; ++i) {
                             add(bias.data() + gate * hidden + first, last - first, to + i * width);
                           }
                         }
                       });
  }

  // Calls body(first, last) for all columns of a state, from several threads, to compute products of `gates` gates.
  template <typename Body>
  void for_columns(std::int64_t gates, Body&& body) {
    const std::int64_t hidden = problem_.hidden;
    const std::int64_t panels = (hidden + kPanelColumns - 1) / kPanelColumns;
    const std::int64_t work = std::max<std::int64_t>(problem_.batch * gates * kPanelColumns * hidden, 1);
    // A thread gets the same columns in every step, if it comes in time, and finds their weights in its cache. The
    // order of float64's sums depends on the number of columns, so one thread takes all.
    const std::int64_t grain =
        std::is_same_v<T, float>
            ? std::max((panels + context_.threads() - 1) / context_.threads(), kProductGrain / work)
            : panels;
    base::parallel_for(context_.threads(), panels, grain, [&](std::int64_t begin, std::int64_t end) {
      body(begin * kPanelColumns, std::min(end * kPanelColumns, hidden));
    });
  }

  // Products of gates [first_gate, last_gate) = state * R^T for all of the batch, columns [first, last).
  void multiply_state(const Tensor& state, std::int64_t first_gate, std::int64_t last_gate, std::int64_t first,
                      std::int64_t last) {
    for (std::int64_t gate = first_gate; gate < last_gate; ++gate) {
      weights_.recurrence.multiply(gate, problem_.batch, first, last, state.data<T>(),
                                   products_.data<T>() + gate * problem_.hidden + first, problem_.width());
    }
  }

  // Calls row(item of the batch, what it takes from the input) for the sequences that have this step.
  template <typename Row>
  void for_each_item(std::int64_t step, Row&& row) {
    for (std::int64_t item = 0; item < problem_.batch; ++item) {
      if (step < length(item)) {
        row(item, projected_.data<T>() + problem_.input_row(time(step, item), item) * problem_.width());
      }
    }
  }

  // Copies columns [first, last) of the next state to Y; sequences that have no such step keep their state.
  void finish_columns(std::int64_t step, std::int64_t first, std::int64_t last, Tensor& y) {
    for (std::int64_t item = 0; item < problem_.batch; ++item) {
      if (step < length(item)) {
        std::copy_n(next_hidden(item) + first, last - first,
                    y.data<T>() + problem_.output_offset(time(step, item), index_, item) + first);
      } else {
        std::copy_n(hidden(item) + first, last - first, next_hidden(item) + first);
      }
    }
  }

  // Runs step(index) for all steps; each computes the next state.
  template <typename Step>
  void run(Step&& step) {
    for (std::int64_t i = 0; i < problem_.longest; ++i) {
      step(i);
      std::swap(hidden_, next_hidden_);
    }
  }

 private:
  std::int64_t length(std::int64_t item) const { return problem_.lengths[static_cast<std::size_t>(item)]; }
  // The position in its sequence of an item's step.
  std::int64_t time(std::int64_t step, std::int64_t item) const {
    return problem_.settings.is_reverse(index_) ? length(item) - 1 - step : step;
  }

  KernelContext& context_;
  const Problem& problem_;
  int index_;
  const Weights<T>& weights_;
  const T* bias_ = nullptr;
  Tensor hidden_;
  Tensor next_hidden_;
  Tensor projected_;
  Tensor products_;
};

template <typename T>
void run_rnn(Direction<T>& direction, Tensor& y) {
  direction.project_inputs(1);
  direction.run([&](std::int64_t step) {
    direction.for_columns(1, [&](std::int64_t first, std::int64_t last) {
      const std::int64_t count = last - first;
      direction.multiply_state(direction.hidden(), 0, 1, first, last);
      direction.for_each_item(step, [&](std::int64_t item, const T* input) {
        T* sum = direction.products(item) + first;
        add(input + first, count, sum);
        activate(direction.activation(0), direction.clip(), sum, count);
        std::copy_n(sum, count, direction.next_hidden(item) + first);
      });
      direction.finish_columns(step, first, last, y);
    });
  });
}

// Gates: update, reset, hidden.
template <typename T>
void run_gru(Direction<T>& direction, Tensor& y) {
  const std::int64_t hidden = direction.problem().hidden;
  const bool linear = direction.problem().settings.linear_before_reset;
  const T* bias = linear && direction.recurrence_bias() != nullptr ? direction.recurrence_bias() + 2 * hidden : nullptr;
  direction.project_inputs(linear ? 2 : 3);
  Tensor reset = direction.scratch({direction.problem().batch, hidden});
  std::ranges::fill(reset.values<T>(), T{});
  // Update and reset gate, and unless the product comes first, the state that is left.
  const auto open = [&](std::int64_t step, std::int64_t first, std::int64_t last) {
    const std::int64_t count = last - first;
    direction.for_each_item(step, [&](std::int64_t item, const T* input) {
      for (std::int64_t gate = 0; gate < 2; ++gate) {
        T* const sum = direction.products(item) + gate * hidden + first;
        add(input + gate * hidden + first, count, sum);
        activate(direction.activation(0), direction.clip(), sum, count);
      }
      if (linear) return;
      const T* const gate = direction.products(item) + hidden + first;
      const T* const state = direction.hidden(item) + first;
      T* const to = reset.data<T>() + item * hidden + first;
      for (std::int64_t i = 0; i < count; ++i) to[i] = gate[i] * state[i];
    });
  };
  const auto close = [&](std::int64_t step, std::int64_t first, std::int64_t last) {
    const std::int64_t count = last - first;
    direction.for_each_item(step, [&](std::int64_t item, const T* input) {
      const T* const update = direction.products(item) + first;
      T* const sum = direction.products(item) + 2 * hidden + first;
      if (bias != nullptr) add(bias + first, count, sum);
      if (linear) {
        for (std::int64_t i = 0; i < count; ++i) sum[i] *= update[hidden + i];
      }
      add(input + 2 * hidden + first, count, sum);
      activate(direction.activation(1), direction.clip(), sum, count);
      const T* const state = direction.hidden(item) + first;
      T* const next = direction.next_hidden(item) + first;
      for (std::int64_t i = 0; i < count; ++i) next[i] = (1 - update[i]) * sum[i] + update[i] * state[i];
    });
    direction.finish_columns(step, first, last, y);
  };
  direction.run([&](std::int64_t step) {
    if (linear) {
      direction.for_columns(3, [&](std::int64_t first, std::int64_t last) {
        direction.multiply_state(direction.hidden(), 0, 3, first, last);
        open(step, first, last);
        close(step, first, last);
      });
      return;
    }
    direction.for_columns(2, [&](std::int64_t first, std::int64_t last) {
      direction.multiply_state(direction.hidden(), 0, 2, first, last);
      open(step, first, last);
    });
    direction.for_columns(1, [&](std::int64_t first, std::int64_t last) {
      direction.multiply_state(reset, 2, 3, first, last);
      close(step, first, last);
    });
  });
}

// Gates: input, output, forget, cell. `peepholes` are those of input, output and forget gate, or null.
template <typename T>
void run_lstm(Direction<T>& direction, const T* peepholes, Tensor& cells, Tensor& y) {
  const std::int64_t hidden = direction.problem().hidden;
  const bool input_forget = direction.problem().settings.input_forget;
  direction.project_inputs(4);
  direction.run([&](std::int64_t step) {
    direction.for_columns(4, [&](std::int64_t first, std::int64_t last) {
      const std::int64_t count = last - first;
      direction.multiply_state(direction.hidden(), 0, 4, first, last);
      direction.for_each_item(step, [&](std::int64_t item, const T* projected) {
        const std::optional<float>& clip = direction.clip();
        T* const input = direction.products(item) + first;
        T* const output = input + hidden;
        T* const forget = output + hidden;
        T* const candidate = forget + hidden;
        T* const cell = cells.data<T>() + item * hidden + first;
        for (std::int64_t gate = 0; gate < 4; ++gate) {
          add(projected + gate * hidden + first, count, input + gate * hidden);
        }
        if (peepholes != nullptr) {
          add_product(peepholes + first, cell, count, input);
          add_product(peepholes + 2 * hidden + first, cell, count, forget);
        }
        activate(direction.activation(0), clip, input, count);
        if (input_forget) {
          for (std::int64_t i = 0; i < count; ++i) forget[i] = 1 - input[i];
        } else {
          activate(direction.activation(0), clip, forget, count);
        }
        activate(direction.activation(1), clip, candidate, count);
        for (std::int64_t i = 0; i < count; ++i) cell[i] = forget[i] * cell[i] + input[i] * candidate[i];
        if (peepholes != nullptr) add_product(peepholes + hidden + first, cell, count, output);
        activate(direction.activation(0), clip, output, count);
        std::copy_n(cell, count, candidate);
        activate(direction.activation(2), std::nullopt, candidate, count);
        T* const next = direction.next_hidden(item) + first;
        for (std::int64_t i = 0; i < count; ++i) next[i] = output[i] * candidate[i];
      });
      direction.finish_columns(step, first, last, y);
    });
  });
}

enum class Cell : std::uint8_t { kRnn, kGru, kLstm };

// `constant` has the weights of each direction, or none.
template <typename T>
void run_cells(KernelContext& context, Cell cell, Problem& problem, const std::vector<Weights<float>>& constant) {
  const ElementType type = element_type_of<T>();
  Tensor& y = context.allocate_output(0, type, problem.output_shape());
  Tensor& last = context.allocate_output(1, type, problem.state_shape());
  Tensor* last_cells = cell == Cell::kLstm ? &context.allocate_output(2, type, problem.state_shape()) : nullptr;
  // Whatever the number of steps is: they compute nothing.
  if (last.element_count() == 0) return;
  read_lengths(context, problem);
  if (std::ranges::min(problem.lengths) < problem.steps) std::ranges::fill(y.values<T>(), T{});
  for (int i = 0; i < problem.settings.directions; ++i) {
    std::optional<Weights<T>> own;
    const Weights<T>* weights = nullptr;
    if constexpr (std::is_same_v<T, float>) {
      if (!constant.empty()) weights = &constant[static_cast<std::size_t>(i)];
    }
    if (weights == nullptr) {
      own = make_weights<T>(context.threads(), context.input(1), context.input(2), problem.gates, i);
      weights = &*own;
    }
    Direction<T> direction(context, problem, i, *weights);
    if (cell == Cell::kRnn) {
      run_rnn(direction, y);
    } else if (cell == Cell::kGru) {
      run_gru(direction, y);
    } else {
      Tensor cells = direction.scratch({problem.batch, problem.hidden});
      direction.read_state(context.optional_input(6), cells);
      const Tensor* p = context.optional_input(7);
      run_lstm(direction, p != nullptr ? p->data<T>() + i * 3 * problem.hidden : nullptr, cells, y);
      direction.write_state(cells, *last_cells);
    }
    direction.write_hidden(last);
  }
}

std::unique_ptr<Kernel> make_recurrent(const KernelInfo& info, Cell cell, std::int64_t gates,
                                       std::initializer_list<std::string_view> functions) {
  Settings parsed = parse_settings(info.attributes, functions);
  std::vector<Weights<float>> weights = constant_weights(info, parsed, gates);
  return make_kernel([cell, gates, settings = std::move(parsed), weights = std::move(weights)](KernelContext& context) {
    Problem problem = make_problem(context, settings, gates);
    const ElementType type = context.input(0).element_type();
    if (cell == Cell::kLstm) {
      require_shape(context.optional_input(6), problem.state_shape(), type, "initial_c");
      require_shape(context.optional_input(7), {settings.directions, 3 * problem.hidden}, type, "P");
    }
    tensor::dispatch(tensor::FloatTypes{}, type, "input 'X'",
                     [&]<typename T>() { run_cells<T>(context, cell, problem, weights); });
  });
}

}  // namespace

std::unique_ptr<Kernel> make_RNN(const KernelInfo& info) {
  return make_recurrent(info, Cell::kRnn, 1, {"tanh"});
}

std::unique_ptr<Kernel> make_GRU(const KernelInfo& info) {
  return make_recurrent(info, Cell::kGru, 3, {"sigmoid", "tanh"});
}

std::unique_ptr<Kernel> make_LSTM(const KernelInfo& info) {
  return make_recurrent(info, Cell::kLstm, 4, {"sigmoid", "tanh", "tanh"});
}

}  // namespace lanner::kernels
