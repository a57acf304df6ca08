// Kernels against each other and against their definitions, on problems that are decoded from the input: subgraphs of
// oneDNN, with all algorithms, against the native kernels; the inner loops of each instruction set against the portable
// ones; suppression, the operators of detection heads, products of integers and attention against what defines them.
//
// The first byte chooses the kind of problem, and what follows its sizes, attributes and elements.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/backend_testing.h"
#include "fuzz/budget.h"
#include "kernels/column_loops.h"
#include "kernels/element_loops.h"
#include "kernels/head_loops.h"
#include "kernels/head_testing.h"
#include "kernels/integer_product_loops.h"
#include "kernels/preprocess_loops.h"
#include "kernels/product_loops.h"
#include "kernels/quantization_loops.h"
#include "kernels/registry.h"
#include "kernels/resize_loops.h"
#include "lanner/error.h"
#include "tensor/text.h"

namespace lanner::fuzz {

namespace {

using I = std::int64_t;
using Ints = std::vector<I>;
using Attributes = std::vector<std::pair<std::string, tensor::Attribute>>;
using backends::testing::BlockWriter;
using kernels::testing::Random;
using program::SlotIndex;

void fail(const std::string& what) {
  std::fprintf(stderr, "FINDING: %s\n", what.c_str());
  std::abort();
}

// Decisions, read from the input; past its end all are the first choice.
class Source {
 public:
  explicit Source(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::size_t below(std::size_t count) {
    std::size_t value = byte();
    if (count > 256) value = value << 8 | byte();
    return value % count;
  }
  I between(I first, I last) { return first + static_cast<I>(below(static_cast<std::size_t>(last - first + 1))); }
  bool flag() { return below(2) != 0; }
  template <typename T>
  T one_of(std::initializer_list<T> choices) {
    return choices.begin()[below(choices.size())];
  }
  // Of elements.
  Random random() { return Random(byte() << 8 | byte()); }

 private:
  std::size_t byte() {
    if (at_ == bytes_.size()) return 0;
    return bytes_[at_++];
  }
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

tensor::Attributes attributes(const Attributes& entries) {
  tensor::Attributes result;
  for (const auto& [name, value] : entries) result.set(name, value);
  return result;
}

// Runs an operator once; absent inputs are undefined tensors. All memory ends where its elements do.
std::vector<Tensor> run(std::string_view name, const std::vector<Tensor>& inputs, const Attributes& entries = {},
                        int output_count = 1, int threads = 1) {
  class Outputs final : public kernels::OutputMemory {
   public:
    explicit Outputs(Allocator& memory) : memory_(memory) {}
    Tensor allocate(int, ElementType type, const Shape& shape) override {
      return Tensor::allocate(type, shape, memory_);
    }

   private:
    Allocator& memory_;
  };
  ExactMemory exact(0xFF);
  Outputs memory(exact);
  std::vector<Value> values;
  for (const Tensor& input : inputs) values.push_back(input.defined() ? Value(input.clone(exact)) : Value());
  std::vector<const Value*> input_pointers;
  for (const Value& value : values) input_pointers.push_back(value.is_none() ? nullptr : &value);
  std::vector<Value> outputs(static_cast<std::size_t>(output_count));
  std::vector<Value*> output_pointers;
  for (Value& output : outputs) output_pointers.push_back(&output);
  kernels::KernelContext context(input_pointers, output_pointers, memory, exact, threads);
  const tensor::Attributes given = attributes(entries);
  kernels::find_operator(name)->make({given, static_cast<int>(inputs.size()), output_count})->run(context);
  std::vector<Tensor> results;
  for (const Value& output : outputs) results.push_back(output.tensor());
  return results;
}

// The same bits; any NaN is like any other.
bool same(const Tensor& a, const Tensor& b) {
  if (a.element_type() != b.element_type() || a.shape() != b.shape()) return false;
  if (a.element_type() == ElementType::kFloat32) {
    return std::ranges::equal(a.values<float>(), b.values<float>(), [](float x, float y) {
      return (std::isnan(x) && std::isnan(y)) || std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
    });
  }
  return a.byte_count() == 0 || std::memcmp(a.raw_data(), b.raw_data(), a.byte_count()) == 0;
}

void expect_same(const std::vector<Tensor>& expected, const std::vector<Tensor>& actual, const std::string& what) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!same(expected[i], actual[i])) fail(fmt::format("{}: output {} differs", what, i));
  }
}

// `compute` says what it throws as well as what it returns.
std::optional<std::vector<Tensor>> result_of(const std::function<std::vector<Tensor>()>& compute) {
  try {
    return compute();
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Numbers, a few of them odd when `odd`.
Tensor floats(Random random, const Shape& shape, bool odd = false, float low = -1, float high = 1) {
  constexpr float kOdd[] = {NAN, INFINITY, -INFINITY, -0.0f, 0.0f, 1e-40f, 3e38f, -3e38f, 0.5f, 2147483648.0f};
  Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
  for (float& value : tensor.values<float>()) {
    value = odd && random.one_in(8) ? kOdd[random.below(10)] : low + (high - low) * random.unit();
  }
  return tensor;
}

template <typename T>
Tensor integers(Random random, const Shape& shape) {
  Tensor tensor = Tensor::allocate(element_type_of<T>(), shape);
  for (T& value : tensor.values<T>()) value = static_cast<T>(random.bits());
  return tensor;
}

Tensor ints(const Ints& values) {
  return Tensor::of<I>({static_cast<I>(values.size())}, std::span<const I>(values));
}

// ---- subgraphs ------------------------------------------------------------------------------------------------------

// Of an operator, so that a problem takes milliseconds.
constexpr I kMostProducts = 500'000;

// A chain of operators as placement gives them to oneDNN, on a value whose shape is known at every step.
class Chain {
 public:
  explicit Chain(Source& source) : source_(source) {
    const int rank = source.one_of({4, 4, 4, 3, 5});
    shape_ = {source.between(1, 2), source.one_of<I>({16, 8, 3, 1, 24, 40, 64, 7})};
    for (int i = 2; i < rank; ++i) shape_.push_back(source.between(1, rank == 5 ? 5 : 17));
    if (source.below(4) == 0) shape_ = {source.between(1, 30), source.between(1, 40)};
    input_shape_ = shape_;
    open_rows_ = source.below(4) == 0;
    tensor::ValueType type = tensor::ValueType::tensor(ElementType::kFloat32, shape_);
    if (open_rows_) type.dims[0] = {};
    value_ = writer_.input(type);
    for (std::size_t i = source.between(1, 4); i > 0; --i) add_step();
    writer_.output(value_);
  }

  void check() {
    const auto native = backends::testing::build("native", writer_);
    const auto onednn = result_of_build();
    if (onednn == nullptr) return;
    for (const I rows : {input_shape_[0], I{3}, I{1}}) {
      Shape shape = input_shape_;
      shape[0] = rows;
      const Tensor x = floats(source_.random(), shape);
      const auto expected = result_of([&] { return backends::testing::run(*native, {x}, 1); });
      for (const int threads : {2, 1}) {
        const auto actual = result_of([&] { return backends::testing::run(*onednn, {x}, 1, threads); });
        if (!expected || !actual || overflows((*expected)[0])) continue;
        // An activation may leave next to nothing of its argument, whose rounding then counts.
        const double error = backends::testing::relative_error((*expected)[0], (*actual)[0]);
        if (!(error < 1e-4) && !(greatest_difference((*expected)[0], (*actual)[0]) < 1e-6)) {
          fail(fmt::format("{} on {}: error {}", description_, shape.to_string(), error));
        }
      }
      if (!open_rows_) break;
    }
  }

 private:
  // Whether what one of them rounds to infinity the other may not.
  static bool overflows(const Tensor& tensor) {
    const std::span<const float> values(tensor.data<float>(), static_cast<std::size_t>(tensor.element_count()));
    return std::ranges::any_of(values, [](float value) { return !(std::abs(value) < 1e30F); });
  }

  static double greatest_difference(const Tensor& a, const Tensor& b) {
    if (a.shape() != b.shape()) return std::numeric_limits<double>::infinity();
    double greatest = 0;
    for (I i = 0; i < a.element_count(); ++i) {
      const double difference = std::abs(static_cast<double>(a.data<float>()[i]) - b.data<float>()[i]);
      if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
      greatest = std::max(greatest, difference);
    }
    return greatest;
  }

  std::unique_ptr<backends::CompiledSubgraph> result_of_build() {
    try {
      return backends::testing::build("onednn", writer_, 2);
    } catch (const Error&) {
      return nullptr;
    }
  }

  // Adds an instruction, unless the native kernels refuse it.
  void add(std::string_view op, const std::vector<SlotIndex>& inputs, const Attributes& entries = {}) {
    const std::size_t instructions = writer_.block.instructions.size();
    const SlotIndex result = writer_.add(op, inputs, entries);
    writer_.output(result);
    const auto made = result_of([&] {
      return backends::testing::run(*backends::testing::build("native", writer_), {floats(Random(1), input_shape_)}, 1);
    });
    writer_.block.outputs.clear();
    if (made && (*made)[0].rank() != 0 && (*made)[0].element_count() != 0 && (*made)[0].element_count() < 100'000) {
      value_ = result;
      shape_ = (*made)[0].shape();
      description_ += fmt::format(" {}{}{}", op, tensor::attributes_text(attributes(entries)), shape_.to_string());
    } else {
      writer_.block.instructions.resize(instructions);
    }
  }

  SlotIndex weights(const Shape& shape, float low = -1, float high = 1) {
    return writer_.constant(floats(source_.random(), shape, false, low, high));
  }

  Attributes window(int spatial, Ints& kernel) {
    Attributes entries;
    Ints strides, pads, dilations;
    for (int i = 0; i < spatial; ++i) {
      kernel.push_back(source_.one_of<I>({3, 1, 3, 2, 5, 7}));
      strides.push_back(source_.one_of<I>({1, 1, 2, 3}));
      dilations.push_back(1);
    }
    for (int i = 0; i < 2 * spatial; ++i)
      pads.push_back(source_.between(0, kernel[static_cast<std::size_t>(i % spatial)] - 1));
    entries.emplace_back("strides", strides);
    if (source_.below(5) == 0)
      entries.emplace_back("auto_pad", std::string(source_.one_of({"SAME_UPPER", "SAME_LOWER", "VALID"})));
    else
      entries.emplace_back("pads", pads);
    return entries;
  }

  Attributes activation() {
    const std::string name = source_.one_of(
        {"Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Swish", "Gelu", "LeakyRelu", "Elu"});
    Attributes entries{{"activation", name}};
    if (name == "Clip") {
      entries.emplace_back("min", source_.one_of({0.0f, -1.0f}));
      entries.emplace_back("max", source_.one_of({6.0f, 0.5f}));
    }
    if (name == "LeakyRelu" || name == "Elu") entries.emplace_back("alpha", 0.3f);
    return entries;
  }

  void add_conv() {
    const int spatial = shape_.rank() - 2;
    Ints kernel;
    Attributes entries = window(spatial, kernel);
    if (source_.below(4) == 0) {
      Ints dilations;
      for (int i = 0; i < spatial; ++i) dilations.push_back(source_.between(1, 3));
      entries.emplace_back("dilations", dilations);
    }
    const I channels = shape_[1];
    const bool turned = source_.below(6) == 0;
    const I group = source_.below(4) == 0 ? channels : channels % 4 == 0 && source_.below(4) == 0 ? 4 : 1;
    I outputs = group * source_.between(1, group == 1 ? 40 : 3);
    I products = shape_.element_count() / group;
    for (const I size : kernel) products *= size;
    if (outputs * products > kMostProducts) outputs = std::max(kMostProducts / products / group, I{1}) * group;
    Shape shape{turned ? channels : outputs, turned ? outputs / group : channels / group};
    for (const I size : kernel) shape.push_back(size);
    entries.emplace_back("group", group);
    std::vector<SlotIndex> inputs{value_, weights(shape)};
    inputs.push_back(source_.flag() ? weights({outputs}) : program::kNoSlot);
    if (turned) return add("ConvTranspose", inputs, entries);
    entries.emplace_back(
        "algorithm",
        std::string(source_.one_of({"direct", "winograd-f4", "winograd-f2", "winograd-f4-plain", "winograd-f2-plain",
                                    "onednn-winograd", "depthwise", "pointwise-depthwise"})));
    if (source_.below(3) == 0) entries.pop_back();
    if (source_.flag()) return add("Conv", inputs, entries);
    const SlotIndex before = value_;
    const Shape shape_before = shape_;
    if (source_.flag()) {
      add("Conv", {inputs[0], weights(shape)}, entries);
      const SlotIndex residual = value_;
      if (residual != before) inputs.push_back(residual);
      value_ = before;
      shape_ = shape_before;
      entries.emplace_back("residual_last", I{source_.flag()});
    }
    if (source_.below(4) != 0) {
      for (auto& entry : activation()) entries.push_back(std::move(entry));
    }
    add("FusedConv", inputs, entries);
  }

  void add_pool() {
    const int spatial = shape_.rank() - 2;
    const std::string_view op = source_.one_of({"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"});
    if (op.starts_with("Global")) return add(op, {value_});
    Ints kernel;
    Attributes entries = window(spatial, kernel);
    entries.emplace_back("kernel_shape", kernel);
    const bool ceil = source_.flag();
    entries.emplace_back("ceil_mode", I{ceil});
    if (op == "AveragePool" && !ceil) entries.emplace_back("count_include_pad", I{source_.flag()});
    add(op, {value_}, entries);
  }

  void add_product() {
    const I depth = shape_[shape_.rank() - 1];
    const I columns = std::clamp<I>(kMostProducts / shape_.element_count(), 1, source_.between(1, 70));
    const std::size_t kind = source_.below(3);
    if (kind == 0) return add("MatMul", {value_, weights({depth, columns})});
    if (kind == 1 && shape_.rank() == 2) {
      const bool turned = source_.flag();
      const SlotIndex b = weights(turned ? Shape{columns, depth} : Shape{depth, columns});
      return add(
          "Gemm", {value_, b, source_.flag() ? weights({columns}) : program::kNoSlot},
          {{"transB", I{turned}}, {"alpha", source_.one_of({1.0f, 0.5f})}, {"beta", source_.one_of({1.0f, 2.0f})}});
    }
    Attributes entries = activation();
    if (source_.flag()) entries.clear();
    add("FusedMatMul", {value_, weights({depth, columns}), source_.flag() ? weights({columns}) : program::kNoSlot},
        entries);
  }

  void add_elementwise() {
    switch (source_.below(4)) {
      case 0: {
        const std::string_view op = source_.one_of({"Add", "Sub", "Mul", "Div", "Max", "Min"});
        Shape shape = shape_;
        if (source_.flag()) shape[0] = 1;
        for (int i = 1; i < shape.rank(); ++i) {
          if (source_.flag()) shape[i] = 1;
        }
        return add(op, {value_, weights(shape, 0.5f, 2)});
      }
      case 1:
        return add("Clip", {value_, writer_.constant(Tensor::scalar(source_.one_of({0.0f, -0.5f}))),
                            source_.flag() ? program::kNoSlot : writer_.constant(Tensor::scalar(0.75f))});
      case 2:
        return add("Softmax", {value_}, {{"axis", source_.between(0, shape_.rank() - 1)}});
      default:
        return add(source_.one_of({"Relu", "LeakyRelu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "Sigmoid", "Swish",
                                   "Tanh", "Exp", "Abs", "Mish"}),
                   {value_});
    }
  }

  void add_move() {
    switch (source_.below(4)) {
      case 0: {
        Ints order;
        for (int i = 0; i < shape_.rank(); ++i) order.push_back(i);
        for (std::size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[source_.below(i + 1)]);
        return add("Transpose", {value_}, {{"perm", order}});
      }
      case 1:
        return add("Reshape", {value_, writer_.constant(ints(source_.flag() ? Ints{0, -1} : Ints{0, 0, -1}))});
      case 2: {
        std::vector<SlotIndex> inputs(static_cast<std::size_t>(source_.between(2, 3)), value_);
        return add("Concat", inputs, {{"axis", source_.between(0, shape_.rank() - 1)}});
      }
      default: {
        if (shape_.rank() < 3) return;
        Tensor sizes = Tensor::allocate(ElementType::kInt64, {shape_.rank()});
        const bool linear = source_.flag();
        for (int i = 0; i < shape_.rank(); ++i) {
          sizes.data<I>()[i] = i < 2 ? shape_[i] : linear ? source_.between(1, 24) : shape_[i] * source_.between(1, 3);
        }
        const std::string rounding = source_.one_of({"floor", "round_prefer_floor"});
        return add("Resize", {value_, program::kNoSlot, program::kNoSlot, writer_.constant(sizes)},
                   {{"mode", std::string(linear ? "linear" : "nearest")},
                    {"coordinate_transformation_mode",
                     std::string(linear || rounding != "floor" ? "half_pixel" : "asymmetric")},
                    {"nearest_mode", rounding}});
      }
    }
  }

  void add_step() {
    const std::size_t kind = source_.below(8);
    if (kind < 3 && shape_.rank() > 2 && shape_.rank() < 6) return add_conv();
    if (kind == 3 && shape_.rank() > 2 && shape_.rank() < 6) return add_pool();
    if (kind < 5 && shape_.rank() > 1) return add_product();
    if (kind == 5) return add_move();
    add_elementwise();
  }

  Source& source_;
  BlockWriter writer_;
  Shape input_shape_;
  Shape shape_;
  SlotIndex value_ = 0;
  bool open_rows_ = false;
  std::string description_;
};

void check_subgraph(Source& source) {
  Chain(source).check();
}

// ---- instruction sets -----------------------------------------------------------------------------------------------

// Sets the loops of row `row` of every table that has one for this CPU; false when no table has.
bool use_row(std::size_t row) {
  const auto use = [&](auto& loops) {
    const bool there = row < loops.rows().size() && loops.rows()[row].supported();
    loops.set_for_test(there ? loops.rows()[row].loops : nullptr);
    return there;
  };
  const bool any[] = {use(kernels::head_loops_of_cpu()),         use(kernels::column_loops_of_cpu()),
                      use(kernels::element_loops_of_cpu()),      use(kernels::resize_loops_of_cpu()),
                      use(kernels::product_loops_of_cpu()),      use(kernels::integer_product_loops_of_cpu()),
                      use(kernels::quantization_loops_of_cpu()), use(kernels::preprocess_loops_of_cpu())};
  return std::ranges::find(any, true) != std::end(any);
}

// Every instruction set's loops, and every number of threads, give the same bits.
void check_instruction_sets(const std::string& what, const std::function<std::vector<Tensor>(int threads)>& compute) {
  const auto expected = result_of([&] { return compute(1); });
  const auto on_threads = result_of([&] { return compute(3); });
  if (expected && on_threads) expect_same(*expected, *on_threads, what + " on threads");
  for (std::size_t row = 0; use_row(row); ++row) {
    const auto actual = result_of([&] { return compute(1); });
    if (expected.has_value() != actual.has_value()) fail(what + ": an instruction set fails");
    if (expected) expect_same(*expected, *actual, fmt::format("{} with loops {}", what, row));
  }
  use_row(~std::size_t{0});
}

Shape random_shape(Source& source, int rank, I most) {
  Shape shape;
  for (int i = 0; i < rank; ++i) shape.push_back(source.between(i + 1 == rank ? 0 : 1, i + 1 == rank ? most : 5));
  return shape;
}

void check_elementwise(Source& source) {
  const Shape shape = random_shape(source, static_cast<int>(source.between(1, 3)), 90);
  const Tensor x = floats(source.random(), shape, true, -3, 3);
  if (source.flag()) {
    const std::string op = source.one_of({"Neg",
                                          "Abs",
                                          "Sign",
                                          "Reciprocal",
                                          "Sqrt",
                                          "Floor",
                                          "Ceil",
                                          "Round",
                                          "Exp",
                                          "Tanh",
                                          "Relu",
                                          "LeakyRelu",
                                          "ThresholdedRelu",
                                          "Clip",
                                          "Sigmoid",
                                          "HardSigmoid",
                                          "HardSwish",
                                          "Swish",
                                          "Mish",
                                          "Elu",
                                          "Selu",
                                          "Celu",
                                          "Softsign",
                                          "Gelu",
                                          "IsNaN",
                                          "IsInf",
                                          "Softmax",
                                          "LogSoftmax"});
    return check_instruction_sets(op, [&](int threads) { return run(op, {x}, {}, 1, threads); });
  }
  if (source.flag()) {
    const std::string op = source.one_of({"Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu", "Equal", "Greater",
                                          "GreaterOrEqual", "Less", "LessOrEqual", "Pow", "Mod"});
    Shape other = shape;
    for (int i = 0; i < other.rank(); ++i) {
      if (source.flag() && other[i] != 0) other[i] = 1;
    }
    const Tensor y = floats(source.random(), other, true, -3, 3);
    const bool turned = source.flag() && op != "PRelu";
    const Attributes entries = op == "Mod" ? Attributes{{"fmod", I{1}}} : Attributes{};
    return check_instruction_sets(op, [&](int threads) {
      return run(op, turned ? std::vector{y, x} : std::vector{x, y}, entries, 1, threads);
    });
  }
  const I to = source.one_of<I>({6, 7, 9, 10, 16, 2, 3, 1});
  check_instruction_sets("Cast", [&](int threads) {
    return run("Cast", {run("Cast", {x}, {{"to", to}}, 1, threads)[0]}, {{"to", I{1}}}, 1, threads);
  });
}

void check_resize(Source& source) {
  const Shape shape = random_shape(source, static_cast<int>(source.between(3, 4)), 40);
  const Tensor x = floats(source.random(), shape);
  Tensor sizes = Tensor::allocate(ElementType::kInt64, {shape.rank()});
  for (int i = 0; i < shape.rank(); ++i) {
    sizes.data<I>()[i] = i < shape.rank() - 2 ? shape[i] : source.between(1, i + 1 == shape.rank() ? 70 : 9);
  }
  const Attributes entries{
      {"mode", std::string(source.one_of({"nearest", "linear", "cubic"}))},
      {"coordinate_transformation_mode", std::string(source.one_of({"half_pixel", "asymmetric", "align_corners",
                                                                    "pytorch_half_pixel", "half_pixel_symmetric"}))},
      {"nearest_mode", std::string(source.one_of({"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"}))},
      {"antialias", I{source.below(4) == 0}}};
  check_instruction_sets("Resize", [&](int threads) { return run("Resize", {x, {}, {}, sizes}, entries, 1, threads); });
}

// A picture's Cast, arithmetic, Resize and Pad in one pass, and one after another.
void check_preprocessing(Source& source) {
  const auto layout = [&] { return std::string(source.one_of({"NCHW", "NHWC", "CHW", "HWC"})); };
  const I channels = source.one_of<I>({3, 1, 4, 2, 5});
  const std::string layouts[] = {layout(), layout(), layout(), layout()};
  Shape shape;
  for (const char axis : layouts[0]) {
    shape.push_back(axis == 'C' ? channels : axis == 'N' ? source.between(1, 2) : source.between(0, 40));
  }
  const bool bytes = source.flag();
  const Tensor x = bytes ? integers<std::uint8_t>(source.random(), shape) : floats(source.random(), shape, true);
  std::vector<std::string> steps;
  std::vector<float> operands;
  const auto add_arithmetic = [&] {
    if (source.flag()) return;
    steps.emplace_back(source.one_of({"Sub", "Mul", "Add", "Div"}));
    for (I c = 0; c < channels; ++c) operands.push_back(source.one_of({0.5f, 3.0f, -1.25f, 0.0f}));
  };
  add_arithmetic();
  Tensor sizes;
  Tensor pads;
  const bool resizes = source.below(4) != 0;
  if (resizes) {
    sizes = Tensor::allocate(ElementType::kInt64, {static_cast<I>(layouts[1].size())});
    for (std::size_t i = 0; i < layouts[1].size(); ++i) {
      const char axis = layouts[1][i];
      const std::size_t at = layouts[0].find(axis);
      sizes.data<I>()[i] = axis == 'C'               ? channels
                           : axis != 'N'             ? source.between(0, 50)
                           : at == std::string::npos ? 1
                                                     : shape[static_cast<int>(at)];
    }
    steps.emplace_back("Resize");
    add_arithmetic();
  }
  if (source.flag()) {
    pads = Tensor::allocate(ElementType::kInt64, {2 * static_cast<I>(layouts[2].size())});
    for (I i = 0; i < pads.element_count(); ++i) {
      const char axis = layouts[2][static_cast<std::size_t>(i) % layouts[2].size()];
      pads.data<I>()[i] = axis == 'H' || axis == 'W' ? source.between(-4, 9) : 0;
    }
    steps.emplace_back("Pad");
    add_arithmetic();
  }
  const Attributes how{
      {"mode", std::string(source.one_of({"linear", "nearest"}))},
      {"coordinate_transformation_mode",
       std::string(source.one_of({"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"}))},
      {"exclude_outside", I{source.below(4) == 0}}};
  Attributes entries = how;
  entries.insert(entries.end(), {{"steps", steps},
                                 {"operands", operands},
                                 {"input_layout", layouts[0]},
                                 {"resize_layout", layouts[1]},
                                 {"pad_layout", layouts[2]},
                                 {"output_layout", layouts[3]}});
  const Tensor value = source.flag() ? Tensor::scalar<float>(114) : Tensor();

  const auto expected = result_of([&]() -> std::vector<Tensor> {
    Tensor picture = run("Cast", {x}, {{"to", I{1}}})[0];
    std::string now = layouts[0];
    const auto turn = [&](const std::string& wanted) {
      if (now.size() > wanted.size()) picture = run("Squeeze", {picture, ints({0})})[0];
      if (now.size() < wanted.size()) picture = run("Unsqueeze", {picture, ints({0})})[0];
      now = now.size() > wanted.size() ? now.substr(1) : now.size() < wanted.size() ? "N" + now : now;
      Ints order;
      for (const char axis : wanted) order.push_back(static_cast<I>(now.find(axis)));
      picture = run("Transpose", {picture}, {{"perm", order}})[0];
      now = wanted;
    };
    const float* next = operands.data();
    for (const std::string& step : steps) {
      if (step == "Resize") {
        turn(layouts[1]);
        picture = run("Resize", {picture, {}, {}, sizes}, how)[0];
      } else if (step == "Pad") {
        turn(layouts[2]);
        picture = run("Pad", {picture, pads, value})[0];
      } else {
        const Shape broadcast = now.ends_with('C') ? Shape{channels} : Shape{channels, 1, 1};
        const Tensor operand =
            Tensor::of<float>(broadcast, std::span<const float>(next, static_cast<std::size_t>(channels)));
        picture = run(step, {picture, operand})[0];
        next += channels;
      }
    }
    turn(layouts[3]);
    return {picture};
  });
  check_instruction_sets("Preprocess", [&](int threads) {
    const std::vector<Tensor> made = run("Preprocess", {x, {}, sizes, pads, value}, entries, 1, threads);
    if (!expected) fail("Preprocess does what the operators refuse");
    expect_same(*expected, made, "Preprocess");
    return made;
  });
  if (expected) run("Preprocess", {x, {}, sizes, pads, value}, entries);
}

// A straight-line program over columns.
void check_columns(Source& source) {
  const I rows = source.between(0, 1100);
  const I width = source.one_of<I>({4, 2, 1, 3, 5});
  const Tensor x = floats(source.random(), {rows, width}, true, -3, 3);
  std::vector<std::string> steps;
  const auto operand = [&]() -> std::string {
    const std::size_t kind = source.below(5);
    if (kind == 0) return source.one_of({"0.5", "0", "-2", "1.5"});
    if (kind < 3 && !steps.empty()) return fmt::format("t{}", source.below(steps.size()));
    return fmt::format("x0.{}", source.between(0, width - 1));
  };
  for (I i = source.between(1, 8); i > 0; --i) {
    const auto op = static_cast<kernels::ColumnOp>(source.below(kernels::kColumnOpCount));
    std::string step = fmt::format("{} {}", kernels::column_op_name(op), operand());
    if (kernels::operand_count(op) == 2) step += " " + operand();
    steps.push_back(std::move(step));
  }
  std::string result = "r 2 = ";
  result += operand() + " " + operand();
  const Attributes entries{
      {"layouts", std::vector<std::string>{"rc"}}, {"steps", steps}, {"results", std::vector<std::string>{result}}};
  check_instruction_sets("ColumnMap", [&](int threads) { return run("ColumnMap", {x}, entries, 1, threads); });
}

// ---- heads ----------------------------------------------------------------------------------------------------------

void check_suppression(Source& source) {
  Random random = source.random();
  const I rows = source.one_of<I>({0, 1, 15, 16, 17, 40, 100, 300});
  const Tensor boxes = kernels::testing::random_boxes(random, rows, 1, source.one_of<I>({6, 0, 2}));
  Tensor scores = Tensor::allocate(ElementType::kFloat32, {1, 1, rows});
  kernels::testing::fill_scores(random, scores, source.flag(), source.flag());
  const I limit = source.one_of<I>({100, 1, 0, 17, INT64_MAX});
  const float overlap = source.one_of({0.5f, 0.0f, 1.0f, 0.95f, 0.3f});
  std::optional<float> least;
  if (source.flag()) least = source.one_of({0.5f, 0.0f, 1e-8f, -1.0f});
  const bool centered = source.below(4) == 0;
  const std::vector<I> kept = kernels::testing::suppress_by_definition(boxes.data<float>(), scores.values<float>(),
                                                                       limit, overlap, least, centered);
  check_instruction_sets("NonMaxSuppression", [&](int threads) {
    const std::vector<Tensor> inputs{boxes.reshaped({1, rows, 4}), scores, Tensor::scalar(limit),
                                     Tensor::scalar(overlap), least ? Tensor::scalar(*least) : Tensor()};
    const std::vector<Tensor> outputs =
        run("NonMaxSuppression", inputs, {{"center_point_box", I{centered}}}, 1, threads);
    bool right = outputs[0].shape()[0] == static_cast<I>(kept.size());
    for (std::size_t i = 0; right && i < kept.size(); ++i) right = outputs[0].data<I>()[3 * i + 2] == kept[i];
    if (!right) fail("NonMaxSuppression is not what defines it");
    return outputs;
  });
}

// lanner.ClassTopK and lanner.ClassNonMaxSuppression against one class after another.
void check_classes(Source& source) {
  Random random = source.random();
  const I rows = source.one_of<I>({1, 0, 15, 16, 17, 100, 500});
  const I columns = source.one_of<I>({1, 2, 8, 15, 16, 17, 91});
  const bool turned = source.flag();
  Tensor scores = Tensor::allocate(ElementType::kFloat32, turned ? Shape{columns, rows} : Shape{rows, columns});
  kernels::testing::fill_scores(random, scores, source.flag(), source.flag());
  Ints offsets;
  for (I k = source.between(0, 1); k < columns; ++k) {
    if (!random.one_in(20)) offsets.push_back(turned ? k * rows : k);
  }
  std::optional<float> filter;
  if (source.flag()) filter = source.one_of({0.5f, 0.95f, 0.0f, -1.0f, 0.01f});
  const I limit = source.one_of<I>({10, 1, 0, 400, INT64_MAX});
  const I stride = turned ? 1 : columns;
  const Tensor boxes = kernels::testing::random_boxes(random, rows);
  const bool suppress = source.flag();
  constexpr float kOverlap = 0.5f;

  Ints kept_rows, kept_classes;
  for (std::size_t k = 0; k < offsets.size(); ++k) {
    std::vector<float> column;
    for (I row = 0; row < rows; ++row) column.push_back(scores.data<float>()[offsets[k] + row * stride]);
    Ints kept;
    if (suppress) {
      // A box that is filtered away takes no part, and NaN passes no filter.
      Ints passing;
      for (I row = 0; row < rows; ++row) {
        if (!filter || column[static_cast<std::size_t>(row)] > *filter) passing.push_back(row);
      }
      std::vector<float> corners, left;
      for (const I row : passing) {
        corners.insert(corners.end(), boxes.data<float>() + 4 * row, boxes.data<float>() + 4 * row + 4);
        left.push_back(column[static_cast<std::size_t>(row)]);
      }
      for (const I place : kernels::testing::suppress_by_definition(corners.data(), left, limit, kOverlap, {}, false)) {
        kept.push_back(passing[static_cast<std::size_t>(place)]);
      }
    } else {
      for (I row = 0; row < rows; ++row) {
        if (!filter || column[static_cast<std::size_t>(row)] > *filter) kept.push_back(row);
      }
      // NaN is the greatest, as in TopK.
      std::ranges::stable_sort(kept, [&](I a, I b) {
        const float x = column[static_cast<std::size_t>(a)];
        const float y = column[static_cast<std::size_t>(b)];
        return x > y || (std::isnan(x) && !std::isnan(y));
      });
      if (static_cast<I>(kept.size()) > limit) kept.resize(static_cast<std::size_t>(limit));
    }
    for (const I row : kept) {
      kept_rows.push_back(row);
      kept_classes.push_back(static_cast<I>(k));
    }
  }

  const std::string op = suppress ? "ClassNonMaxSuppression" : "ClassTopK";
  const Tensor floor = filter ? Tensor::scalar(*filter) : Tensor();
  check_instruction_sets(op, [&](int threads) {
    const std::vector<Tensor> outputs =
        suppress
            ? run(op, {boxes, scores, floor, Tensor::scalar(limit), Tensor::scalar(kOverlap), Tensor()},
                  {{"offsets", offsets}, {"row_stride", stride}, {"center_point_box", I{0}}}, 4, threads)
            : run(op, {scores, floor, ints({limit})},
                  {{"offsets", offsets}, {"row_stride", stride}, {"row_count", rows}, {"row_axis", I{0}}}, 3, threads);
    if (!std::ranges::equal(outputs[0].values<I>(), kept_rows) ||
        !std::ranges::equal(outputs[1].values<I>(), kept_classes)) {
      fail(op + " is not what defines it");
    }
    return outputs;
  });
}

void check_topk(Source& source) {
  const Shape shape{source.between(1, 4), source.one_of<I>({1, 16, 17, 60, 300}), source.between(1, 3)};
  Random random = source.random();
  Tensor x = Tensor::allocate(ElementType::kFloat32, shape);
  kernels::testing::fill_scores(random, x, source.flag(), source.flag());
  const I k = source.between(0, shape[1]);
  const bool largest = source.flag();
  Ints order;
  for (I i = 0; i < shape[0]; ++i) {
    Ints lines;
    for (I j = 0; j < shape[2]; ++j) {
      Ints places;
      for (I n = 0; n < shape[1]; ++n) places.push_back(n);
      std::ranges::stable_sort(places, [&](I a, I b) {
        const float u = x.data<float>()[(i * shape[1] + a) * shape[2] + j];
        const float v = x.data<float>()[(i * shape[1] + b) * shape[2] + j];
        // NaN is greater than any number.
        if (std::isnan(u) || std::isnan(v))
          return largest ? std::isnan(u) && !std::isnan(v) : !std::isnan(u) && std::isnan(v);
        return largest ? u > v : u < v;
      });
      lines.insert(lines.end(), places.begin(), places.begin() + k);
    }
    for (I n = 0; n < k; ++n) {
      for (I j = 0; j < shape[2]; ++j) order.push_back(lines[static_cast<std::size_t>(j * k + n)]);
    }
  }
  for (const int threads : {1, 3}) {
    const auto outputs = run("TopK", {x, ints({k})}, {{"axis", I{1}}, {"largest", I{largest}}}, 2, threads);
    if (!std::ranges::equal(outputs[1].values<I>(), order)) fail("TopK is not what defines it");
  }
}

// ---- products -------------------------------------------------------------------------------------------------------

template <typename A, typename B>
void check_integer_product(Source& source) {
  const I m = source.between(0, 20);
  const I k = source.between(0, 130);
  const I n = source.between(0, 40);
  const Tensor a = integers<A>(source.random(), {m, k});
  const Tensor b = integers<B>(source.random(), {k, n});
  const Tensor a_zero = source.flag() ? integers<A>(source.random(), source.flag() ? Shape{m} : Shape{}) : Tensor();
  const Tensor b_zero = source.flag() ? integers<B>(source.random(), source.flag() ? Shape{n} : Shape{}) : Tensor();
  const auto zero = []<typename T>(const Tensor& zeros, I place, T) -> std::int32_t {
    return zeros.defined() ? zeros.data<T>()[zeros.rank() == 0 ? 0 : place] : 0;
  };
  for (const int threads : {1, 3}) {
    const auto outputs = result_of([&] { return run("MatMulInteger", {a, b, a_zero, b_zero}, {}, 1, threads); });
    if (!outputs) return;
    for (I i = 0; i < m; ++i) {
      for (I j = 0; j < n; ++j) {
        std::int32_t sum = 0;
        for (I d = 0; d < k; ++d) {
          sum += (a.data<A>()[i * k + d] - zero(a_zero, i, A{})) * (b.data<B>()[d * n + j] - zero(b_zero, j, B{}));
        }
        if ((*outputs)[0].template data<std::int32_t>()[i * n + j] != sum) fail("MatMulInteger is not what defines it");
      }
    }
  }
}

void check_integer_products(Source& source) {
  switch (source.below(4)) {
    case 0:
      return check_integer_product<std::uint8_t, std::uint8_t>(source);
    case 1:
      return check_integer_product<std::uint8_t, std::int8_t>(source);
    case 2:
      return check_integer_product<std::int8_t, std::uint8_t>(source);
    default:
      return check_integer_product<std::int8_t, std::int8_t>(source);
  }
}

// Sums of fewer than 2^24 are exact in float32, so the convolution of floats defines that of integers.
void check_integer_conv(Source& source) {
  const I group = source.one_of<I>({1, 1, 2, 4});
  const I depth = source.between(1, 5);
  const Tensor x = integers<std::uint8_t>(
      source.random(), {source.between(1, 2), group * depth, source.between(1, 9), source.between(1, 9)});
  const Tensor w = integers<std::int8_t>(
      source.random(), {group * source.between(1, 6), depth, source.between(1, 3), source.between(1, 3)});
  const Tensor x_zero = integers<std::uint8_t>(source.random(), {});
  const Tensor w_zero =
      source.flag() ? integers<std::int8_t>(source.random(), source.flag() ? Shape{w.shape()[0]} : Shape{}) : Tensor();
  Attributes entries{{"group", group}, {"strides", Ints{source.between(1, 2), source.between(1, 2)}}};
  entries.emplace_back("pads",
                       Ints{source.between(0, 2), source.between(0, 2), source.between(0, 2), source.between(0, 2)});
  entries.emplace_back("dilations", Ints{source.between(1, 2), source.between(1, 2)});
  const auto float_of = [](const Tensor& tensor) { return run("Cast", {tensor}, {{"to", I{1}}})[0]; };
  const auto expected = result_of([&] {
    const Tensor weights =
        !w_zero.defined() ? float_of(w)
                          : run("Sub", {float_of(w), float_of(w_zero).reshaped({w_zero.element_count(), 1, 1, 1})})[0];
    return std::vector{run("Conv", {run("Sub", {float_of(x), float_of(x_zero)})[0], weights}, entries)[0]};
  });
  for (const int threads : {1, 3}) {
    const auto actual = result_of([&] { return run("ConvInteger", {x, w, x_zero, w_zero}, entries, 1, threads); });
    if (expected.has_value() != actual.has_value())
      fail("ConvInteger takes what Conv refuses, or refuses what it takes");
    if (expected) expect_same(*expected, {float_of((*actual)[0])}, "ConvInteger against Conv");
  }
}

void check_attention(Source& source) {
  const I batch = source.below(8) == 0 ? 2 : 1;
  const I key_heads = source.between(1, 2);
  const I heads = key_heads * source.between(1, 2);
  const I queries = source.between(1, 75);  // more than the kernel takes at once
  const I keys = source.between(1, 40);
  const I size = source.one_of<I>({8, 1, 16, 17, 33});
  const I value_size = source.one_of<I>({8, 1, 16, 17, 33});
  const Tensor q = floats(source.random(), {batch, heads, queries, size}, false, -2, 2);
  const Tensor k = floats(source.random(), {batch, key_heads, keys, size}, false, -2, 2);
  const Tensor v = floats(source.random(), {batch, key_heads, keys, value_size}, false, -2, 2);
  const bool causal = source.flag();
  const Tensor mask = source.flag() ? floats(source.random(), {queries, keys}, false, -3, 3) : Tensor();
  Tensor expected = Tensor::allocate(ElementType::kFloat32, {batch, heads, queries, value_size});
  float* out = expected.data<float>();
  for (I line = 0; line < batch * heads * queries; ++line) {
    const I query = line % queries;
    const I head = line / queries / heads * key_heads + line / queries % heads / (heads / key_heads);
    std::vector<double> weights;
    double sum = 0;
    for (I j = 0; j < keys; ++j) {
      double dot = 0;
      for (I d = 0; d < size; ++d) {
        dot += static_cast<double>(q.data<float>()[line * size + d]) * k.data<float>()[(head * keys + j) * size + d];
      }
      dot /= std::sqrt(static_cast<double>(size));
      if (mask.defined()) dot += mask.data<float>()[query * keys + j];
      weights.push_back(causal && j > query ? 0 : std::exp(dot));
      sum += weights.back();
    }
    for (I d = 0; d < value_size; ++d) {
      double value = 0;
      for (I j = 0; j < keys; ++j)
        value += weights[static_cast<std::size_t>(j)] / sum * v.data<float>()[(head * keys + j) * value_size + d];
      *out++ = static_cast<float>(value);
    }
  }
  auto& loops = kernels::product_loops_of_cpu();
  for (const auto& row : loops.rows()) {
    if (!row.supported()) continue;
    loops.set_for_test(row.loops);
    for (const int threads : {1, 3}) {
      const Tensor actual = run("Attention", {q, k, v, mask}, {{"is_causal", I{causal}}}, 1, threads)[0];
      const double error = backends::testing::relative_error(expected, actual);
      if (!(error < 1e-5)) fail(fmt::format("Attention with {}: error {}", row.name, error));
    }
  }
  loops.set_for_test(nullptr);
}

// ---- what undoes each other -----------------------------------------------------------------------------------------

void check_moves(Source& source) {
  Shape shape;
  for (I i = source.between(1, 5); i > 0; --i) shape.push_back(source.between(1, 6));
  const Tensor x = source.flag() ? integers<std::uint8_t>(source.random(), shape) : integers<I>(source.random(), shape);
  Ints order, inverse(static_cast<std::size_t>(shape.rank()));
  for (int i = 0; i < shape.rank(); ++i) order.push_back(i);
  for (std::size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[source.below(i + 1)]);
  for (std::size_t i = 0; i < order.size(); ++i) inverse[static_cast<std::size_t>(order[i])] = static_cast<I>(i);
  const int threads = source.flag() ? 3 : 1;
  const Tensor turned = run("Transpose", {x}, {{"perm", order}}, 1, threads)[0];
  expect_same({x}, run("Transpose", {turned}, {{"perm", inverse}}, 1, threads), "Transpose and back");

  const I axis = source.between(0, shape.rank() - 1);
  const I size = shape[static_cast<int>(axis)];
  const I cut = source.between(0, size);
  const auto parts = run("Split", {x, ints({cut, size - cut})}, {{"axis", axis}}, 2, threads);
  expect_same({x}, run("Concat", parts, {{"axis", axis}}, 1, threads), "Split and Concat");

  Ints pads;
  for (int i = 0; i < 2 * shape.rank(); ++i) pads.push_back(source.between(0, 3));
  const Tensor padded = run("Pad", {x, ints(pads)}, {}, 1, threads)[0];
  Ints starts(pads.begin(), pads.begin() + shape.rank());
  Ints ends;
  for (int i = 0; i < shape.rank(); ++i) ends.push_back(starts[static_cast<std::size_t>(i)] + shape[i]);
  expect_same({x}, run("Slice", {padded, ints(starts), ints(ends)}, {}, 1, threads), "Pad and Slice");

  Ints places;
  for (I i = 0; i < size; ++i) places.push_back(source.flag() ? i : i - size);
  expect_same({x}, run("Gather", {x, ints(places)}, {{"axis", axis}}, 1, threads), "Gather of all");
}

using Check = void (*)(Source&);
constexpr Check kChecks[] = {check_subgraph,     check_elementwise, check_resize, check_columns,
                             check_suppression,  check_classes,     check_topk,   check_integer_products,
                             check_integer_conv, check_attention,   check_moves,  check_subgraph,
                             check_preprocessing};

}  // namespace

}  // namespace lanner::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanner::fuzz;
  Source source(std::span(data, size));
  kChecks[source.below(std::size(kChecks))](source);
  return 0;
}
