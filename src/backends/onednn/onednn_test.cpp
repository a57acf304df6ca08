// oneDNN subgraphs against the same blocks on the native kernels.
#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "backends/backend_testing.h"
#include "base/error_testing.h"
#include "lanner/error.h"

namespace lanner::backends::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<std::int64_t>;

// Winograd's, with room; the direct algorithm is far below.
constexpr double kTolerance = 4e-6;

// Runs `writer` on both backends and returns the largest relative error of any output.
double error_of(const BlockWriter& writer, const std::vector<Tensor>& inputs, int threads = 2,
                double tolerance = kTolerance) {
  const int count = static_cast<int>(writer.block.outputs.size());
  const std::vector<Tensor> expected = run(*build("native", writer), inputs, count);
  const auto subgraph = build("onednn", writer, threads);
  double worst = 0;
  for (const int run_threads : {threads, 1}) {
    const std::vector<Tensor> actual = run(*subgraph, inputs, count, run_threads);
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double error = relative_error(expected[at], actual[at]);
      if (error > tolerance) ADD_FAILURE() << "output " << i << ": relative error " << error;
      worst = std::max(worst, error);
    }
  }
  return worst;
}

struct ConvCase {
  std::string name;
  Shape x;
  Shape w;
  I group = 1;
  Ints strides = {};
  Ints pads = {};
  Ints dilations = {};
  std::string auto_pad = "NOTSET";
};

std::vector<std::pair<std::string, tensor::Attribute>> attributes_of(const ConvCase& c) {
  std::vector<std::pair<std::string, tensor::Attribute>> attributes{{"group", c.group}};
  if (!c.strides.empty()) attributes.emplace_back("strides", c.strides);
  if (!c.pads.empty()) attributes.emplace_back("pads", c.pads);
  if (!c.dilations.empty()) attributes.emplace_back("dilations", c.dilations);
  if (c.auto_pad != "NOTSET") attributes.emplace_back("auto_pad", c.auto_pad);
  return attributes;
}

class OnednnConv : public ::testing::TestWithParam<ConvCase> {};

TEST_P(OnednnConv, AgreesWithTheNativeKernel) {
  const ConvCase& c = GetParam();
  BlockWriter writer;
  const auto x = writer.input(c.x);
  const auto w = writer.constant(random_tensor(c.w, 2));
  const auto b = writer.constant(random_tensor({c.w[0]}, 3));
  writer.output(writer.add("Conv", {x, w, b}, attributes_of(c)));
  writer.output(writer.add("Conv", {x, w}, attributes_of(c)));
  EXPECT_LT(error_of(writer, {random_tensor(c.x, 1)}), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, OnednnConv,
    ::testing::Values(ConvCase{"pointwise", {1, 32, 14, 14}, {48, 32, 1, 1}},
                      ConvCase{"pointwise_strided", {2, 24, 15, 14}, {40, 24, 1, 1}, 1, {2, 2}},
                      ConvCase{"picture", {1, 3, 65, 63}, {32, 3, 7, 7}, 1, {2, 2}, {3, 3, 3, 3}},
                      ConvCase{"winograd", {1, 64, 28, 28}, {64, 64, 3, 3}, 1, {}, {1, 1, 1, 1}},
                      ConvCase{"winograd_odd", {2, 40, 17, 11}, {33, 40, 3, 3}, 1, {}, {1, 1, 1, 1}},
                      ConvCase{"winograd_unpadded", {1, 32, 20, 20}, {32, 32, 3, 3}},
                      ConvCase{"winograd_asymmetric", {1, 32, 20, 20}, {32, 32, 3, 3}, 1, {}, {0, 1, 2, 0}},
                      ConvCase{"strided", {1, 16, 21, 20}, {24, 16, 3, 3}, 1, {2, 2}, {1, 1, 1, 1}},
                      ConvCase{"asymmetric", {1, 8, 19, 20}, {16, 8, 3, 5}, 1, {2, 1}, {0, 1, 2, 3}},
                      ConvCase{"dilated", {1, 32, 19, 19}, {64, 32, 3, 3}, 1, {}, {6, 6, 6, 6}, {6, 6}},
                      ConvCase{"depthwise", {1, 40, 20, 20}, {40, 1, 3, 3}, 40, {}, {1, 1, 1, 1}},
                      ConvCase{"depthwise_strided", {2, 72, 21, 21}, {72, 1, 5, 5}, 72, {2, 2}, {2, 2, 2, 2}},
                      ConvCase{"depthwise_multiplied", {1, 8, 11, 11}, {16, 1, 3, 3}, 8, {}, {1, 1, 1, 1}},
                      ConvCase{"grouped", {1, 64, 14, 14}, {64, 16, 3, 3}, 4, {}, {1, 1, 1, 1}},
                      ConvCase{"grouped_odd", {1, 6, 9, 9}, {9, 2, 3, 3}, 3, {}, {1, 1, 1, 1}},
                      ConvCase{"few_channels", {1, 5, 9, 9}, {3, 5, 3, 3}, 1, {}, {1, 1, 1, 1}},
                      ConvCase{"same_upper", {1, 16, 14, 15}, {16, 16, 4, 4}, 1, {2, 2}, {}, {}, "SAME_UPPER"},
                      ConvCase{"same_lower", {1, 16, 14, 15}, {16, 16, 4, 4}, 1, {2, 2}, {}, {}, "SAME_LOWER"},
                      ConvCase{"one_dimension", {2, 16, 50}, {20, 16, 3}, 1, {2}, {1, 2}},
                      ConvCase{
                          "three_dimensions", {1, 16, 6, 7, 8}, {16, 16, 3, 3, 3}, 1, {1, 2, 1}, {1, 1, 1, 1, 1, 1}}),
    [](const auto& form) { return form.param.name; });

struct DeconvCase {
  std::string name;
  Shape x;
  Shape w;
  std::vector<std::pair<std::string, tensor::Attribute>> attributes = {};
};

class OnednnDeconv : public ::testing::TestWithParam<DeconvCase> {};

TEST_P(OnednnDeconv, AgreesWithTheNativeKernel) {
  const DeconvCase& c = GetParam();
  I groups = 1;
  for (const auto& [name, value] : c.attributes) {
    if (name == "group") groups = std::get<I>(value);
  }
  for (const bool inside : {false, true}) {
    BlockWriter writer;
    auto x = writer.input(c.x);
    const auto w = writer.constant(random_tensor(c.w, 2));
    const auto b = writer.constant(random_tensor({c.w[1] * groups}, 3));
    if (inside) x = writer.add("Relu", {x});
    const auto y = writer.add("ConvTranspose", {x, w, b}, c.attributes);
    writer.output(inside ? writer.add("Relu", {y}) : y);
    writer.output(writer.add("ConvTranspose", {x, w}, c.attributes));
    EXPECT_LT(error_of(writer, {random_tensor(c.x, 1)}), kTolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, OnednnDeconv,
    ::testing::Values(
        DeconvCase{"mask_head", {3, 64, 14, 14}, {64, 64, 2, 2}, {{"strides", Ints{2, 2}}}},
        DeconvCase{
            "segmentation", {1, 21, 12, 13}, {21, 21, 4, 4}, {{"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
        DeconvCase{"plain", {2, 16, 9, 7}, {16, 24, 3, 3}},
        DeconvCase{"dilated", {1, 16, 9, 9}, {16, 16, 3, 3}, {{"dilations", Ints{2, 3}}}},
        DeconvCase{"asymmetric", {1, 8, 9, 10}, {8, 16, 3, 5}, {{"strides", Ints{2, 3}}, {"pads", Ints{0, 1, 2, 3}}}},
        DeconvCase{"added",
                   {1, 16, 9, 10},
                   {16, 16, 3, 3},
                   {{"strides", Ints{2, 3}}, {"pads", Ints{1, 1, 1, 1}}, {"output_padding", Ints{1, 2}}}},
        DeconvCase{"added_unpadded",
                   {1, 16, 9, 10},
                   {16, 16, 3, 3},
                   {{"strides", Ints{2, 2}}, {"output_padding", Ints{1, 1}}}},
        DeconvCase{"added_beyond_the_stride",
                   {1, 16, 9, 10},
                   {16, 16, 3, 3},
                   {{"dilations", Ints{3, 3}}, {"output_padding", Ints{2, 0}}}},
        DeconvCase{"shaped", {1, 16, 9, 10}, {16, 16, 2, 2}, {{"strides", Ints{2, 2}}, {"output_shape", Ints{25, 20}}}},
        DeconvCase{"grouped",
                   {1, 32, 7, 8},
                   {32, 8, 4, 4},
                   {{"group", I{4}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
        DeconvCase{"depthwise",
                   {1, 16, 7, 8},
                   {16, 1, 4, 4},
                   {{"group", I{16}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
        DeconvCase{"few_channels", {1, 3, 7, 8}, {3, 5, 2, 2}, {{"strides", Ints{2, 2}}}},
        DeconvCase{"same_upper",
                   {1, 16, 7, 8},
                   {16, 16, 3, 3},
                   {{"strides", Ints{2, 2}}, {"auto_pad", std::string("SAME_UPPER")}}},
        DeconvCase{"one_dimension", {2, 16, 50}, {16, 20, 3}, {{"strides", Ints{2}}, {"pads", Ints{1, 0}}}},
        DeconvCase{"three_dimensions", {1, 16, 4, 5, 6}, {16, 16, 2, 3, 2}, {{"strides", Ints{2, 1, 2}}}}),
    [](const auto& form) { return form.param.name; });

// Whatever is chosen, every algorithm gives the result.
TEST(Onednn, ConvolutionByEachAlgorithm) {
  const ConvCase forms[] = {{"padded", {1, 40, 17, 11}, {33, 40, 3, 3}, 1, {}, {1, 1, 1, 1}},
                            {"unpadded", {2, 16, 9, 20}, {32, 16, 3, 3}},
                            {"asymmetric", {1, 32, 20, 20}, {32, 32, 3, 3}, 1, {}, {0, 1, 2, 0}},
                            {"strided", {1, 16, 21, 20}, {24, 16, 3, 3}, 1, {2, 2}, {1, 1, 1, 1}},
                            {"strided_unevenly", {1, 16, 21, 20}, {24, 16, 3, 3}, 1, {2, 1}, {1, 1, 1, 1}},
                            {"strided_and_dilated", {1, 16, 21, 20}, {24, 16, 3, 3}, 1, {2, 2}, {2, 2, 2, 2}, {2, 2}},
                            {"dilated", {1, 32, 19, 19}, {64, 32, 3, 3}, 1, {}, {6, 6, 6, 6}, {6, 6}},
                            {"grouped", {1, 32, 14, 14}, {32, 8, 3, 3}, 4, {}, {1, 1, 1, 1}},
                            {"depthwise", {2, 40, 14, 23}, {40, 1, 3, 3}, 40, {}, {1, 1, 1, 1}},
                            {"depthwise_strided", {1, 24, 14, 17}, {24, 1, 5, 5}, 24, {2, 2}, {2, 1, 2, 2}},
                            {"one_channel", {1, 1, 14, 17}, {1, 1, 3, 3}, 1, {}, {1, 1, 1, 1}},
                            {"depthwise_wide", {1, 24, 14, 17}, {24, 1, 7, 7}, 24, {}, {3, 3, 3, 3}},
                            {"depthwise_multiplied", {1, 24, 14, 17}, {48, 1, 3, 3}, 24, {}, {1, 1, 1, 1}},
                            {"pointwise", {1, 32, 14, 14}, {32, 32, 1, 1}}};
  for (const char* algorithm : {"direct", "onednn-winograd", "winograd-f2", "winograd-f4", "winograd-f2-plain",
                                "winograd-f4-plain", "depthwise"}) {
    for (const ConvCase& c : forms) {
      BlockWriter writer;
      const auto x = writer.input(c.x);
      const auto w = writer.constant(random_tensor(c.w, 2));
      const auto b = writer.constant(random_tensor({c.w[0]}, 3));
      auto attributes = attributes_of(c);
      attributes.emplace_back("algorithm", std::string(algorithm));
      const auto y = writer.add("Conv", {x, w, b}, attributes);
      attributes.emplace_back("activation", std::string("Tanh"));
      writer.output(writer.add("FusedConv", {x, w, program::kNoSlot, y}, attributes));
      writer.output(y);
      EXPECT_LT(error_of(writer, {random_tensor(c.x, 1)}), kTolerance) << algorithm << ", " << c.name;
    }
  }
}

// A pointwise convolution whose output only the depthwise one behind it reads, as one step and as two.
TEST(Onednn, PointwiseAndDepthwiseConvolution) {
  struct Form {
    std::string_view name;
    Shape x;
    std::vector<std::pair<std::string, tensor::Attribute>> pointwise;
    std::vector<std::pair<std::string, tensor::Attribute>> depthwise;
    bool read_twice = false;
    bool is_one = true;
    double tolerance = kTolerance;
  };
  const std::pair<std::string, tensor::Attribute> pads{"pads", Ints{1, 1, 1, 1}};
  const std::pair<std::string, tensor::Attribute> bf16{"precision", std::string("bf16")};
  const Form forms[] = {
      {"plain", {2, 24, 19, 23}, {}, {pads}},
      {"activations",
       {1, 19, 14, 15},
       {{"activation", std::string("HardSwish")}},
       {pads, {"activation", std::string("Tanh")}}},
      {"strided", {1, 40, 17, 30}, {{"activation", std::string("Relu")}}, {pads, {"strides", Ints{2, 2}}}},
      {"read_twice", {1, 24, 19, 23}, {}, {pads}, true, false},
      {"another_activation_before", {1, 24, 19, 23}, {{"activation", std::string("Tanh")}}, {pads}, false, false},
      {"bfloat16", {1, 24, 19, 23}, {bf16}, {pads, bf16}, false, false, 2e-2},
      {"bfloat16_behind", {1, 24, 19, 23}, {}, {pads, bf16}, false, false, 2e-2},
      {"bfloat16_before", {1, 24, 19, 23}, {bf16}, {pads}, false, false, 2e-2},
      {"strided_before", {1, 24, 19, 23}, {{"strides", Ints{2, 2}}}, {pads}, false, false},
      {"empty", {0, 24, 19, 23}, {}, {pads}, false, false},
  };
  for (const Form& form : forms) {
    for (const char* algorithm : {"pointwise-depthwise", "depthwise", "direct"}) {
      SCOPED_TRACE(std::string(form.name) + ", " + algorithm);
      BlockWriter writer;
      const auto between = writer.add("FusedConv",
                                      {writer.input(form.x), writer.constant(random_tensor({72, form.x[1], 1, 1}, 2)),
                                       writer.constant(random_tensor({72}, 3))},
                                      form.pointwise);
      auto attributes = form.depthwise;
      attributes.emplace_back("group", I{72});
      attributes.emplace_back("algorithm", std::string(algorithm));
      writer.output(writer.add(
          "FusedConv",
          {between, writer.constant(random_tensor({72, 1, 3, 3}, 4)), writer.constant(random_tensor({72}, 5))},
          attributes));
      if (form.read_twice) writer.output(between);
      EXPECT_LT(error_of(writer, {random_tensor(form.x, 1)}, 2, form.tolerance), form.tolerance);
      if (form.x[0] == 0 || (form.tolerance > kTolerance && !find_backend("onednn")->computes_bf16())) continue;
      const Choice choice = find_backend("onednn")->choices(writer.block, writer.constants, {})[1];
      const bool is_candidate =
          std::ranges::count(choice.candidates, "pointwise-depthwise", &Choice::Candidate::algorithm) != 0;
      EXPECT_EQ(is_candidate, form.is_one && choice.candidates.size() > 1) << "only CPUs with AVX2 have it";
      EXPECT_EQ(choice.with_producer, is_candidate);
    }
  }
}

TEST(Onednn, UnknownAlgorithm) {
  const std::pair<std::string, tensor::Attribute> magic{"algorithm", std::string("magic")};
  BlockWriter conv;
  const auto w = conv.constant(random_tensor({16, 16, 3, 3}, 2));
  conv.output(conv.add("Conv", {conv.input({1, 16, 8, 8}), w}, {magic}));
  BlockWriter product;
  product.output(product.add("MatMul", {product.input({4, 5}), product.input({5, 6})}, {magic}));
  for (const BlockWriter* writer : {&conv, &product}) {
    // Wherever it was chosen.
    for (const char* tuned_for : {"", "another CPU"}) {
      EXPECT_EQ(base::testing::reason_of(
                    [&] { find_backend("onednn")->build(writer->block, writer->constants, {.tuned_for = tuned_for}); }),
                "op.attribute");
    }
  }
}

struct FusedCase {
  std::string name;
  std::string activation;
  std::vector<std::pair<std::string, float>> parameters = {};
};

class OnednnFusedConv : public ::testing::TestWithParam<FusedCase> {};

// The reference is the chain Conv, Add, activation; `problem` has the form that the fused one takes.
double fused_error(const FusedCase& fused, const ConvCase& c, bool residual, bool residual_lives_on,
                   bool residual_last) {
  BlockWriter reference;
  BlockWriter writer;
  for (BlockWriter* w : {&reference, &writer}) {
    const auto x = w->input(c.x);
    const Shape y{c.x[0], c.w[0], c.x[2], c.x[3]};
    // A value of the residual's shape that is computed inside and may be overwritten.
    const auto other = w->add("Conv", {x, w->constant(random_tensor({c.w[0], c.x[1], 1, 1}, 7))});
    const auto weights = w->constant(random_tensor(c.w, 2));
    const auto bias = w->constant(random_tensor({c.w[0]}, 3));
    SlotIndex out;
    if (w == &writer) {
      auto attributes = attributes_of(c);
      attributes.emplace_back("activation", fused.activation);
      for (const auto& [name, value] : fused.parameters) attributes.emplace_back(name, value);
      attributes.emplace_back("residual_last", I{residual_last});
      std::vector<SlotIndex> inputs{x, weights, bias};
      if (residual) inputs.push_back(other);
      out = w->add("FusedConv", inputs, attributes);
    } else {
      out = w->add("Conv", {x, weights, bias}, attributes_of(c));
      if (residual && !residual_last) out = w->add("Add", {out, other});
      std::vector<SlotIndex> inputs{out};
      std::vector<std::pair<std::string, tensor::Attribute>> attributes;
      for (const auto& [name, value] : fused.parameters) {
        if (fused.activation == "Clip")
          inputs.push_back(w->constant(Tensor::scalar(value)));
        else
          attributes.emplace_back(name, value);
      }
      out = w->add(fused.activation, inputs, attributes);
      if (residual && residual_last) out = w->add("Add", {out, other});
    }
    w->output(out);
    if (residual_lives_on || !residual) w->output(other);
  }
  const std::vector<Tensor> inputs{random_tensor(c.x, 1)};
  const int count = static_cast<int>(writer.block.outputs.size());
  const std::vector<Tensor> expected = run(*build("native", reference), inputs, count);
  const std::vector<Tensor> actual = run(*build("onednn", writer, 2), inputs, count, 2);
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, relative_error(expected[i], actual[i]));
  return worst;
}

TEST_P(OnednnFusedConv, AgreesWithTheChainItStandsFor) {
  const ConvCase forms[] = {{"winograd", {1, 32, 16, 16}, {48, 32, 3, 3}, 1, {}, {1, 1, 1, 1}},
                            {"winograd_partial", {1, 32, 16, 16}, {40, 32, 3, 3}, 1, {}, {1, 1, 1, 1}},
                            {"direct", {1, 24, 9, 9}, {24, 24, 1, 1}},
                            {"depthwise", {1, 24, 9, 9}, {24, 1, 3, 3}, 24, {}, {1, 1, 1, 1}},
                            {"wide", {1, 24, 9, 9}, {24, 24, 5, 5}, 1, {}, {2, 2, 2, 2}},
                            {"odd", {2, 6, 9, 9}, {10, 6, 3, 3}, 1, {}, {1, 1, 1, 1}}};
  for (const ConvCase& form : forms) {
    for (const bool residual : {false, true}) {
      for (const bool lives_on : {false, true}) {
        for (const bool last : {false, true}) {
          EXPECT_LT(fused_error(GetParam(), form, residual, lives_on, last), kTolerance)
              << form.name << (residual ? ", residual" : "") << (lives_on ? " lives on" : "") << (last ? ", last" : "");
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, OnednnFusedConv,
                         ::testing::Values(FusedCase{"Relu", "Relu"},
                                           FusedCase{"Relu6", "Clip", {{"min", 0.0F}, {"max", 6.0F}}},
                                           FusedCase{"HardSwish", "HardSwish"}, FusedCase{"HardSigmoid", "HardSigmoid"},
                                           FusedCase{"Sigmoid", "Sigmoid"}, FusedCase{"Tanh", "Tanh"},
                                           FusedCase{"Swish", "Swish"}, FusedCase{"Gelu", "Gelu"},
                                           FusedCase{"LeakyRelu", "LeakyRelu", {{"alpha", 0.2F}}},
                                           FusedCase{"Elu", "Elu", {{"alpha", 0.5F}}}),
                         [](const auto& form) { return form.param.name; });

TEST(Onednn, FusedConvWhoseResidualIsItsOwnInput) {
  BlockWriter reference;
  BlockWriter writer;
  for (BlockWriter* w : {&reference, &writer}) {
    const auto x = w->add("Relu", {w->input({1, 32, 12, 12})});
    const auto weights = w->constant(random_tensor({32, 32, 3, 3}, 2));
    const Ints pads{1, 1, 1, 1};
    if (w == &writer) {
      w->output(w->add("FusedConv", {x, weights, program::kNoSlot, x}, {{"pads", pads}}));
    } else {
      w->output(w->add("Add", {w->add("Conv", {x, weights}, {{"pads", pads}}), x}));
    }
  }
  const Tensor x = random_tensor({1, 32, 12, 12}, 1);
  EXPECT_LT(relative_error(run(*build("native", reference), {x}, 1)[0], run(*build("onednn", writer), {x}, 1)[0]),
            kTolerance);
}

// The chain on the native kernels and FusedMatMul on oneDNN, by each algorithm.
class OnednnFusedMatMul : public ::testing::TestWithParam<FusedCase> {};

struct ProductCase {
  Shape x;
  I columns;
  bool bias;
  bool residual;
  bool residual_lives_on = false;
  bool residual_last = false;
};

double fused_matmul_error(const FusedCase& fused, const ProductCase& c, bool turned, const char* algorithm) {
  BlockWriter reference;
  BlockWriter writer;
  const I depth = c.x[c.x.rank() - 1];
  Shape shape = c.x;
  shape[c.x.rank() - 1] = c.columns;
  for (BlockWriter* w : {&reference, &writer}) {
    const auto x = w->input(c.x);
    const Tensor plain = random_tensor({depth, c.columns}, 2);
    Tensor transposed = Tensor::allocate(ElementType::kFloat32, {c.columns, depth});
    for (I i = 0; i < depth; ++i) {
      for (I j = 0; j < c.columns; ++j)
        transposed.data<float>()[j * depth + i] = plain.data<float>()[i * c.columns + j];
    }
    const auto bias = w->constant(random_tensor({c.columns}, 3));
    const auto other = w->add("MatMul", {x, w->constant(random_tensor({depth, c.columns}, 7))});
    SlotIndex out;
    if (w == &writer) {
      std::vector<std::pair<std::string, tensor::Attribute>> attributes{
          {"algorithm", std::string(algorithm)}, {"transB", I{turned}}, {"residual_last", I{c.residual_last}}};
      if (!fused.activation.empty()) attributes.emplace_back("activation", fused.activation);
      for (const auto& [name, value] : fused.parameters) attributes.emplace_back(name, value);
      out = w->add("FusedMatMul",
                   {x, w->constant(turned ? transposed : plain), c.bias ? bias : program::kNoSlot,
                    c.residual ? other : program::kNoSlot},
                   attributes);
    } else {
      out = w->add("MatMul", {x, w->constant(plain)});
      if (c.bias) out = w->add("Add", {out, bias});
      if (c.residual && !c.residual_last) out = w->add("Add", {out, other});
      std::vector<SlotIndex> inputs{out};
      std::vector<std::pair<std::string, tensor::Attribute>> attributes;
      for (const auto& [name, value] : fused.parameters) {
        if (fused.activation == "Clip")
          inputs.push_back(w->constant(Tensor::scalar(value)));
        else
          attributes.emplace_back(name, value);
      }
      if (!fused.activation.empty()) out = w->add(fused.activation, inputs, attributes);
      if (c.residual && c.residual_last) out = w->add("Add", {out, other});
    }
    w->output(out);
    if (c.residual_lives_on || !c.residual) w->output(other);
  }
  const std::vector<Tensor> inputs{random_tensor(c.x, 1)};
  const int count = static_cast<int>(writer.block.outputs.size());
  const std::vector<Tensor> expected = run(*build("native", reference), inputs, count);
  const std::vector<Tensor> actual = run(*build("onednn", writer, 2), inputs, count, 2);
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, relative_error(expected[i], actual[i]));
  return worst;
}

TEST_P(OnednnFusedMatMul, AgreesWithTheChainItStandsFor) {
  for (const char* algorithm : {"matmul", "inner-product", "matmul-gemm", "inner-product-gemm"}) {
    for (const ProductCase& form : {ProductCase{{37, 40}, 24, true, false},
                                    {{1, 64}, 33, false, false},
                                    {{2, 9, 16}, 48, true, true},
                                    {{2, 3, 5, 7}, 11, false, true, true},
                                    {{300, 96}, 64, true, true, true},
                                    {{300, 96}, 64, true, true, true, true},
                                    {{2, 9, 16}, 48, true, true, false, true},
                                    {{5, 3}, 1, true, true}}) {
      for (const bool turned : {false, true}) {
        EXPECT_LT(fused_matmul_error(GetParam(), form, turned, algorithm), kTolerance)
            << form.x.to_string() << " " << algorithm << (turned ? ", turned" : "");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Activations, OnednnFusedMatMul,
                         ::testing::Values(FusedCase{"None", ""}, FusedCase{"Relu", "Relu"},
                                           FusedCase{"Relu6", "Clip", {{"min", 0.0F}, {"max", 6.0F}}},
                                           FusedCase{"HardSwish", "HardSwish"}, FusedCase{"HardSigmoid", "HardSigmoid"},
                                           FusedCase{"Sigmoid", "Sigmoid"}, FusedCase{"Tanh", "Tanh"},
                                           FusedCase{"Swish", "Swish"}, FusedCase{"Gelu", "Gelu"},
                                           FusedCase{"LeakyRelu", "LeakyRelu", {{"alpha", 0.2F}}},
                                           FusedCase{"Elu", "Elu", {{"alpha", 0.5F}}}),
                         [](const auto& form) { return form.param.name; });

TEST(Onednn, FusedMatMulThatDoesNotFit) {
  const auto reason = [](const Shape& x, const Shape& w, const Shape& bias, const Shape& residual) {
    BlockWriter writer;
    const auto left = writer.input(x);
    const auto right = writer.constant(random_tensor(w, 1));
    const auto addend = writer.constant(random_tensor(bias, 2));
    writer.output(writer.add("FusedMatMul", {left, right, addend, writer.input(residual)}));
    return base::testing::reason_of([&] {
      run(*build("onednn", writer), {random_tensor(x, 1), random_tensor(residual, 1)}, 1);
    });
  };
  EXPECT_EQ(reason({2, 3, 4}, {4, 5}, {5}, {2, 3, 5}), "");
  EXPECT_EQ(reason({4}, {4, 5}, {5}, {5}), "op.rank");
  EXPECT_EQ(reason({3, 4}, {1, 4, 5}, {5}, {3, 5}), "op.rank");
  EXPECT_EQ(reason({3, 4}, {5, 4}, {5}, {3, 5}), "op.shape");
  EXPECT_EQ(reason({3, 4}, {4, 5}, {4}, {3, 5}), "op.shape");
  EXPECT_EQ(reason({2, 3, 4}, {4, 5}, {5}, {3, 2, 5}), "op.shape");
  EXPECT_EQ(reason({2, 3, 4}, {4, 5}, {5}, {5}), "op.shape");
}

struct PoolCase {
  std::string name;
  std::string op;
  Shape x;
  std::vector<std::pair<std::string, tensor::Attribute>> attributes;
};

class OnednnPool : public ::testing::TestWithParam<PoolCase> {};

TEST_P(OnednnPool, AgreesWithTheNativeKernel) {
  const PoolCase& c = GetParam();
  // Behind a convolution the input is blocked, alone it is plain.
  for (const bool blocked : {false, true}) {
    BlockWriter writer;
    auto x = writer.input(c.x);
    if (blocked) {
      Shape weights{c.x[1], c.x[1]};
      while (weights.rank() < c.x.rank()) weights.push_back(1);
      x = writer.add("Conv", {x, writer.constant(random_tensor(weights, 2))});
    }
    writer.output(writer.add(c.op, {x}, c.attributes));
    // Below zero, so that a maximum over padding would show.
    EXPECT_LT(error_of(writer, {random_tensor(c.x, 1, -3.0F, -1.0F)}), kTolerance) << (blocked ? "blocked" : "plain");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, OnednnPool,
    ::testing::Values(
        PoolCase{"max", "MaxPool", {1, 16, 12, 12}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}}},
        PoolCase{"max_padded",
                 "MaxPool",
                 {2, 20, 13, 12},
                 {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
        PoolCase{"max_asymmetric",
                 "MaxPool",
                 {1, 16, 13, 12},
                 {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints{0, 1, 2, 0}}}},
        PoolCase{"max_ceil",
                 "MaxPool",
                 {1, 16, 75, 38},
                 {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}, {"ceil_mode", I{1}}}},
        PoolCase{
            "max_ceil_padded",
            "MaxPool",
            {1, 16, 10, 11},
            {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{3, 3}}, {"pads", Ints{1, 1, 1, 1}}, {"ceil_mode", I{1}}}},
        PoolCase{"max_dilated", "MaxPool", {1, 16, 10, 11}, {{"kernel_shape", Ints{3, 3}}, {"dilations", Ints{2, 2}}}},
        PoolCase{"max_1d", "MaxPool", {1, 16, 21}, {{"kernel_shape", Ints{3}}, {"strides", Ints{2}}}},
        PoolCase{"average",
                 "AveragePool",
                 {1, 16, 12, 12},
                 {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
        PoolCase{"average_included",
                 "AveragePool",
                 {1, 20, 12, 12},
                 {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 0, 1, 2}}, {"count_include_pad", I{1}}}},
        PoolCase{"average_ceil",
                 "AveragePool",
                 {1, 16, 12, 11},
                 {{"kernel_shape", Ints{3, 3}}, {"strides", Ints{2, 2}}, {"ceil_mode", I{1}}}},
        PoolCase{"average_ceil_included",
                 "AveragePool",
                 {1, 16, 12, 11},
                 {{"kernel_shape", Ints{3, 3}},
                  {"strides", Ints{2, 2}},
                  {"pads", Ints{1, 1, 1, 1}},
                  {"ceil_mode", I{1}},
                  {"count_include_pad", I{1}}}},
        PoolCase{"global_average", "GlobalAveragePool", {2, 20, 7, 9}, {}},
        PoolCase{"global_max", "GlobalMaxPool", {2, 20, 7, 9}, {}}),
    [](const auto& form) { return form.param.name; });

// A small network: residual blocks, pooling, branches that meet in a Concat, an intermediate that is also an output.
BlockWriter small_network(tensor::ValueType type) {
  BlockWriter w;
  const auto weights = [&](Shape shape, unsigned seed) { return w.constant(random_tensor(shape, seed, -0.2F, 0.2F)); };
  const Ints ones{1, 1, 1, 1};
  const auto x = w.input(std::move(type));
  auto stem =
      w.add("Conv", {x, weights({32, 3, 3, 3}, 1), weights({32}, 2)}, {{"pads", ones}, {"strides", Ints{2, 2}}});
  stem = w.add("Relu", {stem});
  const auto branch = w.add("Conv", {stem, weights({32, 32, 3, 3}, 3)}, {{"pads", ones}});
  const auto sum = w.add("Relu", {w.add("Add", {branch, stem})});
  const auto pooled = w.add("MaxPool", {sum}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});
  const auto left = w.add("Sigmoid", {w.add("Conv", {pooled, weights({24, 32, 1, 1}, 4)})});
  const auto right = w.add("Conv", {pooled, weights({40, 32, 3, 3}, 5)}, {{"pads", ones}});
  const auto gate =
      w.add("HardSigmoid", {w.add("Conv", {w.add("GlobalAveragePool", {right}), weights({40, 40, 1, 1}, 6)})});
  const auto joined = w.add("Concat", {left, w.add("Mul", {right, gate})}, {{"axis", I{1}}});
  const auto scaled = w.add("Add", {joined, weights({64, 1, 1}, 8)});
  const auto up =
      w.add("Resize", {scaled, program::kNoSlot, w.constant(Tensor::of<float>({4}, {1, 1, 2, 2}))},
            {{"coordinate_transformation_mode", std::string("asymmetric")}, {"nearest_mode", std::string("floor")}});
  w.output(w.add("Conv", {up, weights({12, 64, 1, 1}, 9)}));
  w.output(sum);
  w.output(left);
  w.output(w.add("Sub", {w.constant(Tensor::scalar(1.0F)), left}));
  return w;
}

TEST(Onednn, SmallNetwork) {
  const BlockWriter writer = small_network(tensor::ValueType::tensor(ElementType::kFloat32, {1, 3, 40, 56}));
  EXPECT_LT(error_of(writer, {random_tensor({1, 3, 40, 56}, 11)}), kTolerance);
}

// Networks of convolutions, what works in place, Split and Concat: values that are pieces of others, are joined twice,
// live on after they were joined, or are outputs.
BlockWriter random_joins(unsigned seed, I batch) {
  std::mt19937 random(seed);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  struct Map {
    program::SlotIndex slot;
    I channels;
  };
  BlockWriter w;
  const Ints ones{1, 1, 1, 1};
  const I first = below(2) == 0 ? 16 : 24;
  std::vector<Map> maps{{w.input(Shape{batch, first, 6, 5}), first}};
  const auto pick = [&] { return maps[maps.size() - 1 - below(std::min<std::size_t>(maps.size(), 5))]; };
  const auto convolve = [&](const Map& from, I channels) {
    const bool wide = below(2) == 0;
    const Shape shape{channels, from.channels, wide ? 3 : 1, wide ? 3 : 1};
    maps.push_back({w.add("Conv", {from.slot, w.constant(random_tensor(shape, seed + 7, -0.2F, 0.2F))},
                          {{"pads", wide ? ones : Ints{0, 0, 0, 0}}}),
                    channels});
  };
  convolve(maps[0], 32);
  constexpr I kChannels[] = {8, 16, 32, 40};
  const std::size_t count = 4 + below(14);
  for (std::size_t i = 0; i < count; ++i) {
    const Map from = pick();
    switch (below(6)) {
      case 0:
        convolve(from, kChannels[below(4)]);
        break;
      case 1:
        maps.push_back({w.add("Relu", {from.slot}), from.channels});
        break;
      case 2:
        for (const Map& other : maps) {
          if (other.channels != from.channels || below(2) == 0) continue;
          maps.push_back({w.add("Add", {from.slot, other.slot}), from.channels});
          break;
        }
        break;
      case 3: {
        const I seam = from.channels / 2 / 8 * 8;
        if (seam == 0) break;
        const auto parts = w.split(from.slot, {seam, from.channels - seam}, below(2) == 0 ? 1 : -3);
        maps.push_back({parts[0], seam});
        maps.push_back({parts[1], from.channels - seam});
        if (below(2) == 0) break;
        const auto joined = w.add("Concat", {parts[0], parts[1], pick().slot}, {{"axis", I{1}}});
        maps.push_back({joined, 0});
        maps.back().channels = from.channels + [&] {
          for (const Map& map : maps) {
            if (map.slot == w.block.instructions.back().inputs[2]) return map.channels;
          }
          return I{0};
        }();
        break;
      }
      default: {
        std::vector<program::SlotIndex> inputs;
        I channels = 0;
        for (std::size_t k = 0; k < 2 + below(3); ++k) {
          const Map map = pick();
          inputs.push_back(map.slot);
          channels += map.channels;
        }
        maps.push_back({w.add("Concat", inputs, {{"axis", below(2) == 0 ? I{1} : I{-3}}}), channels});
      }
    }
  }
  convolve(pick(), 16);
  w.output(maps.back().slot);
  for (std::size_t i = 1; i + 1 < maps.size(); ++i) {
    if (below(4) == 0) w.output(maps[i].slot);
  }
  return w;
}

TEST(Onednn, JoinsAndSplitsInPlace) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const I batch = seed % 4 == 0 ? 2 : 1;
    const BlockWriter writer = random_joins(seed, batch);
    const Shape shape = *writer.block.slots[writer.block.inputs[0]].type.static_shape();
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    error_of(writer, {random_tensor(shape, seed)});
    if (HasFailure()) return;
  }
}

// What shares memory with a value that is still read is not overwritten by the last reader of the other.
TEST(Onednn, NothingIsComputedInPlaceOnPiecesOfOthers) {
  BlockWriter w;
  const auto weights = [&](Shape shape, unsigned seed) { return w.constant(random_tensor(shape, seed, -0.2F, 0.2F)); };
  const auto x = w.input(Shape{1, 16, 9, 9});
  const auto a = w.add("Conv", {x, weights({16, 16, 1, 1}, 1)});
  const auto b = w.add("Conv", {x, weights({32, 16, 1, 1}, 2)});
  const auto joined = w.add("Concat", {a, b}, {{"axis", I{1}}});
  const auto a_changed = w.add("Sigmoid", {a});  // a's last reader
  const auto joined_changed = w.add("Conv", {joined, weights({32, 48, 1, 1}, 3)});
  const auto whole = w.add("Conv", {x, weights({32, 16, 1, 1}, 4)});
  const auto parts = w.split(whole, {16, 16}, 1);
  const auto whole_changed = w.add("Sigmoid", {whole});  // whole's last reader
  const auto c = w.add("Conv", {x, weights({16, 16, 1, 1}, 5)});
  const auto again = w.add("Concat", {c, a_changed}, {{"axis", I{1}}});
  const auto again_changed = w.add("Sigmoid", {again});  // again's last reader
  const auto c_changed = w.add("Conv", {c, weights({16, 16, 1, 1}, 6)});
  const std::pair<program::SlotIndex, I> read_at_last[] = {{joined_changed, 32}, {parts[0], 16},      {parts[1], 16},
                                                           {whole_changed, 32},  {again_changed, 32}, {c_changed, 16}};
  for (const auto& [value, channels] : read_at_last) {
    w.output(w.add("Conv", {value, weights({8, channels, 1, 1}, 7)}));
  }
  EXPECT_LT(error_of(w, {random_tensor({1, 16, 9, 9}, 8)}), kTolerance);
}

// How many steps of each operator a run has.
std::map<std::string, int> steps_of(const BlockWriter& writer, const Tensor& input) {
  const auto subgraph = build("onednn", writer);
  profile::Recorder recorder;
  recorder.begin_run();
  run(*subgraph, {input}, 1, 1, &recorder);
  std::map<std::string, int> steps;
  for (const auto& event : recorder.events()) ++steps[event.label->op];
  return steps;
}

// A block of a C2f network: nothing is copied to split and join.
TEST(Onednn, ASplitWhosePartsAreJoinedAgainCopiesNothing) {
  BlockWriter w;
  const auto weights = [&](Shape shape, unsigned seed) { return w.constant(random_tensor(shape, seed, -0.2F, 0.2F)); };
  const auto x = w.input(Shape{1, 16, 12, 12});
  const auto stem = w.add("Conv", {x, weights({32, 16, 1, 1}, 1)});
  const auto parts = w.split(stem, {16, 16}, 1);
  const auto more = w.add("Conv", {parts[1], weights({16, 16, 3, 3}, 2)}, {{"pads", Ints{1, 1, 1, 1}}});
  const auto joined = w.add("Concat", {parts[0], parts[1], more}, {{"axis", I{1}}});
  w.output(w.add("Conv", {joined, weights({16, 48, 1, 1}, 3)}));
  const Tensor input = random_tensor({1, 16, 12, 12}, 4);
  EXPECT_LT(error_of(w, {input}), kTolerance);
  const auto steps = steps_of(w, input);
  EXPECT_EQ(steps.at("Conv"), 3);
  EXPECT_EQ(steps.count("Concat") + steps.count("Split"), 0u);
  EXPECT_LE(steps.at("Reorder"), 2) << "of the input and the output";
}

// A block of DenseNet: each convolution reads all that came before it, which grows in one buffer.
TEST(Onednn, AConcatThatGrowsCopiesNothing) {
  BlockWriter w;
  const auto x = w.input(Shape{1, 16, 12, 12});
  std::vector<program::SlotIndex> features;
  auto value = x;
  for (unsigned i = 0; i < 5; ++i) {
    const Shape shape{16, i == 0 ? 16 : 16 * static_cast<I>(i), 1, 1};
    features.push_back(w.add("Conv", {value, w.constant(random_tensor(shape, i, -0.2F, 0.2F))}));
    value = i == 0 ? features[0] : w.add("Concat", features, {{"axis", I{1}}});
  }
  w.output(w.add("Conv", {value, w.constant(random_tensor({16, 80, 1, 1}, 9, -0.2F, 0.2F))}));
  const Tensor input = random_tensor({1, 16, 12, 12}, 4);
  EXPECT_LT(error_of(w, {input}), kTolerance);
  const auto steps = steps_of(w, input);
  EXPECT_EQ(steps.count("Concat"), 0u);
  EXPECT_LE(steps.at("Reorder"), 2) << "of the input and the output";
}

TEST(Onednn, OpenSizesAreBuiltWhenTheyComeAndMemoryStaysFlat) {
  tensor::ValueType type = tensor::ValueType::tensor(ElementType::kFloat32, {1, 3, 1, 1});
  type.dims[0] = type.dims[2] = type.dims[3] = {};
  const BlockWriter writer = small_network(type);
  const auto subgraph = build("onednn", writer);
  const auto native = build("native", writer);
  const Shape sizes[] = {{1, 3, 32, 32}, {1, 3, 48, 36}, {2, 3, 20, 64}, {1, 3, 36, 48}};
  std::vector<std::size_t> bytes;
  for (int round = 0; round < 3; ++round) {
    CountingAllocator allocator;
    for (const Shape& size : sizes) {
      const Tensor x = random_tensor(size, 3);
      const auto actual = run(*subgraph, {x}, 4, 1, nullptr, allocator);
      const auto expected = run(*native, {x}, 4);
      for (std::size_t i = 0; i < 4; ++i) EXPECT_LT(relative_error(expected[i], actual[i]), kTolerance);
    }
    bytes.push_back(allocator.bytes);
    // One arena a run, and what the one native step (Sub) asks for.
    EXPECT_LE(allocator.calls, 8);
  }
  EXPECT_EQ(bytes[0], bytes[2]);
  // More sizes than plans are kept: the oldest go, and come back when asked for.
  for (int i = 0; i < 12; ++i) {
    const Tensor x = random_tensor({1, 3, 16 + 4 * i, 16}, 4);
    EXPECT_LT(relative_error(run(*native, {x}, 4)[0], run(*subgraph, {x}, 4)[0]), kTolerance);
  }
}

// In blocks of channels that are not full, or hold one.
TEST(Onednn, ANumberForAllOfFewChannels) {
  const Shape others[] = {{1, 1, 1, 1}, {1}, {1, 1, 1, 2}, {1, 1, 2, 2}, {3, 1, 1, 1}};
  for (const I channels : {1, 3, 5, 8, 16, 24}) {
    for (const Shape& other : others) {
      for (const char* op : {"Sub", "Mul"}) {
        BlockWriter writer;
        const auto pooled = writer.add("MaxPool", {writer.input({3, channels, 4, 4})}, {{"kernel_shape", Ints{3, 3}}});
        writer.output(writer.add(op, {pooled, writer.constant(random_tensor(other, 2, 0.5F, 2))}));
        EXPECT_LT(error_of(writer, {random_tensor({3, channels, 4, 4}, 1)}), kTolerance)
            << op << " of " << channels << " channels and " << other.to_string();
      }
    }
  }
}

// Types of a program file may claim them; oneDNN itself does not check.
TEST(Onednn, RefusesShapesThatCannotBeCounted) {
  const auto build_for = [](const Shape& shape) {
    BlockWriter writer;
    writer.output(writer.add("MaxPool", {writer.input(shape)}, {{"kernel_shape", Ints{1, 1}}}));
    build("onednn", writer);
  };
  for (const Shape& shape : {Shape{I{1} << 31, 8, 1, 1}, Shape{65536, 8, 65536, 4}}) {
    EXPECT_EQ(base::testing::reason_of([&] { build_for(shape); }), "op.size");
  }
  // A shape that no number counts is as good as open, and no input has it.
  EXPECT_NO_THROW(build_for({1, 8, 1, I{1} << 60}));
}

TEST(Onednn, AnEmptyBatchGivesEmptyOutputs) {
  tensor::ValueType type = tensor::ValueType::tensor(ElementType::kFloat32, {1, 3, 32, 32});
  type.dims[0] = {};
  const BlockWriter writer = small_network(type);
  EXPECT_EQ(run(*build("onednn", writer), {random_tensor({0, 3, 32, 32}, 1)}, 4)[0].shape(), Shape({0, 12, 16, 16}));
}

TEST(Onednn, SessionsShareASubgraph) {
  const BlockWriter writer = small_network(tensor::ValueType::tensor(ElementType::kFloat32, {1, 3, 32, 32}));
  const auto subgraph = build("onednn", writer);
  std::vector<Tensor> inputs;
  std::vector<std::vector<Tensor>> expected;
  for (unsigned i = 0; i < 4; ++i) {
    inputs.push_back(random_tensor({1, 3, 32, 32}, i));
    expected.push_back(run(*subgraph, {inputs[i]}, 4));
  }
  std::atomic<int> differences{0};
  std::vector<std::thread> sessions;
  for (unsigned i = 0; i < 4; ++i) {
    sessions.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        const std::vector<Tensor> actual = run(*subgraph, {inputs[i]}, 4);
        for (std::size_t o = 0; o < 4; ++o) {
          if (relative_error(expected[i][o], actual[o]) != 0) ++differences;
        }
      }
    });
  }
  for (std::thread& session : sessions) session.join();
  EXPECT_EQ(differences, 0);
}

TEST(Onednn, SessionsThatMeetANewSizeWaitForOnePlanOrOneError) {
  tensor::ValueType type = tensor::ValueType::tensor(ElementType::kFloat32, {1, 3, 32, 32});
  type.dims[1] = type.dims[2] = {};
  const BlockWriter writer = small_network(type);
  const auto subgraph = build("onednn", writer);
  const Tensor good = random_tensor({1, 3, 48, 32}, 1);
  const Tensor bad = random_tensor({1, 4, 48, 32}, 1);
  const Tensor expected = run(*build("native", writer), {good}, 4)[0];
  std::atomic<int> right{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> sessions;
  for (int i = 0; i < 4; ++i) {
    sessions.emplace_back([&] {
      if (relative_error(expected, run(*subgraph, {good}, 4)[0]) < kTolerance) ++right;
      try {
        run(*subgraph, {bad}, 4);
      } catch (const Error& error) {
        if (error.reason() == "op.shape" && error.context().at(0) == "in Conv 'Conv_0'") ++refused;
      }
    });
  }
  for (std::thread& session : sessions) session.join();
  EXPECT_EQ(right, 4);
  EXPECT_EQ(refused, 4);
}

TEST(Onednn, MatrixProducts) {
  BlockWriter writer;
  const auto a = writer.input({2, 3, 5, 8});
  const auto b = writer.input({3, 8, 6});
  const auto flat = writer.input({7, 8});
  writer.output(writer.add("MatMul", {a, b}));
  const auto w = writer.constant(random_tensor({8, 6}, 1));
  writer.output(writer.add("MatMul", {a, w}));
  writer.output(writer.add("MatMul", {flat, w}));
  const auto wt = writer.constant(random_tensor({6, 8}, 2));
  const auto bias = writer.constant(random_tensor({6}, 3));
  const std::pair<std::string, tensor::Attribute> transposed{"transB", I{1}};
  writer.output(writer.add("Gemm", {flat, wt, bias}, {transposed}));
  writer.output(writer.add("Gemm", {flat, w, bias}, {{"alpha", 0.5F}, {"beta", 2.0F}}));
  writer.output(writer.add("Gemm", {flat, w, writer.constant(random_tensor({7, 1}, 4))}));
  writer.output(writer.add("Gemm", {flat, writer.constant(random_tensor({7, 6}, 5))}, {{"transA", I{1}}}));
  writer.output(writer.add("Gemm", {flat, writer.add("Gemm", {flat, flat}, {{"transA", I{1}}})}, {transposed}));
  EXPECT_LT(error_of(writer, {random_tensor({2, 3, 5, 8}, 6), random_tensor({3, 8, 6}, 7), random_tensor({7, 8}, 8)}),
            1e-6);
}

TEST(Onednn, MatrixProductsByEachAlgorithm) {
  for (const char* algorithm : {"matmul", "inner-product", "matmul-gemm", "inner-product-gemm"}) {
    const std::pair<std::string, tensor::Attribute> by{"algorithm", std::string(algorithm)};
    BlockWriter writer;
    const auto a = writer.input({2, 30, 40});
    const auto flat = writer.input({50, 40});
    const auto w = writer.constant(random_tensor({40, 24}, 1));
    const auto bias = writer.constant(random_tensor({24}, 2));
    writer.output(writer.add("MatMul", {a, w}, {by}));
    writer.output(writer.add("MatMul", {a, writer.constant(random_tensor({2, 40, 8}, 3))}, {by}));
    writer.output(writer.add("Gemm", {flat, w, bias}, {by, {"alpha", 0.5F}, {"beta", 2.0F}}));
    const auto wt = writer.constant(random_tensor({24, 40}, 4));
    writer.output(writer.add("Gemm", {flat, wt, bias}, {by, {"transB", I{1}}}));
    writer.output(writer.add("Gemm", {flat, writer.constant(random_tensor({50, 6}, 5))}, {by, {"transA", I{1}}}));
    writer.output(writer.add("Gemm", {flat, flat}, {by, {"transB", I{1}}}));
    EXPECT_LT(error_of(writer, {random_tensor({2, 30, 40}, 6), random_tensor({50, 40}, 7)}), 1e-6) << algorithm;
  }
}

TEST(Onednn, BroadcastingAndElementwise) {
  BlockWriter writer;
  const auto input = writer.input({2, 24, 6, 5});
  const auto signed_x = writer.add("Conv", {input, writer.constant(random_tensor({24, 24, 1, 1}, 1))});
  const auto constant = [&](Shape shape) { return writer.constant(random_tensor(shape, 2, 0.5F, 2.0F)); };
  // Nothing is divided by values near zero, where the quotient would magnify rounding.
  const auto positive_x = writer.add("Exp", {signed_x});
  const auto positive = writer.add("Exp", {input});
  for (const char* op : {"Add", "Sub", "Mul", "Div", "Max", "Min"}) {
    const auto x = op == std::string("Div") ? positive_x : signed_x;
    writer.output(writer.add(op, {x, constant({24, 1, 1})}));
    writer.output(writer.add(op, {x, constant({})}));
    writer.output(writer.add(op, {x, constant({2, 1, 6, 5})}));
    writer.output(writer.add(op, {x, constant({2, 24, 6, 5})}));
    writer.output(writer.add(op, {constant({2, 24, 1, 5}), x}));
    writer.output(writer.add(op, {constant({24, 6, 5}), constant({2, 1, 1, 1})}));
    writer.output(writer.add(op, {x, positive}));
    writer.output(writer.add(op, {positive, x}));
  }
  writer.output(writer.add("Softmax", {signed_x}, {{"axis", I{1}}}));
  writer.output(writer.add("Softmax", {signed_x}));
  for (const char* op : {"Relu", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish", "Sigmoid", "Tanh", "Exp", "Abs"}) {
    writer.output(writer.add(op, {signed_x}));
    writer.output(writer.add(op, {input}));
  }
  writer.output(
      writer.add("Clip", {signed_x, writer.constant(Tensor::scalar(0.5F)), writer.constant(Tensor::scalar(-0.5F))}));
  writer.output(writer.add("Clip", {signed_x, writer.constant(Tensor::scalar(-0.5F)), program::kNoSlot}));
  EXPECT_LT(error_of(writer, {random_tensor({2, 24, 6, 5}, 3)}), 2e-6);
}

struct ResizeCase {
  std::string name, mode, coordinates, rounding;
  std::vector<float> scales;
  Ints sizes;
};

class OnednnResize : public ::testing::TestWithParam<ResizeCase> {};

TEST_P(OnednnResize, AgreesWithTheNativeKernel) {
  const ResizeCase& c = GetParam();
  BlockWriter writer;
  const auto x = writer.add("Conv", {writer.input({1, 16, 7, 9}), writer.constant(random_tensor({16, 16, 1, 1}, 1))});
  std::vector<SlotIndex> inputs{x, program::kNoSlot};
  if (c.sizes.empty()) {
    inputs.push_back(writer.constant(Tensor::of<float>({4}, c.scales)));
  } else {
    inputs.push_back(program::kNoSlot);
    inputs.push_back(writer.constant(Tensor::of<I>({4}, c.sizes)));
  }
  writer.output(
      writer.add("Resize", inputs,
                 {{"mode", c.mode}, {"coordinate_transformation_mode", c.coordinates}, {"nearest_mode", c.rounding}}));
  EXPECT_LT(error_of(writer, {random_tensor({1, 16, 7, 9}, 3)}), 2e-6);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, OnednnResize,
    ::testing::Values(ResizeCase{"doubled", "nearest", "asymmetric", "floor", {1, 1, 2, 2}, {}},
                      ResizeCase{"tripled", "nearest", "half_pixel", "round_prefer_floor", {1, 1, 3, 2}, {}},
                      ResizeCase{"rounded_up", "nearest", "half_pixel", "round_prefer_ceil", {}, {1, 16, 28, 18}},
                      ResizeCase{"half_pixel_floor", "nearest", "half_pixel", "floor", {1, 1, 2, 2}, {}},
                      ResizeCase{"odd_size", "nearest", "asymmetric", "floor", {}, {1, 16, 13, 17}},
                      ResizeCase{"linear", "linear", "half_pixel", "floor", {}, {1, 16, 13, 18}},
                      ResizeCase{"linear_corners", "linear", "align_corners", "floor", {1, 1, 2, 2}, {}},
                      ResizeCase{"linear_inexact", "linear", "half_pixel", "floor", {1, 1, 1.9F, 2.3F}, {}}),
    [](const auto& form) { return form.param.name; });

TEST(Onednn, ResizeToTheSizeOfAnother) {
  for (const Shape& like : {Shape{1, 3, 14, 18}, Shape{1, 3, 13, 9}}) {
    BlockWriter writer;
    const auto x = writer.add("Conv", {writer.input({1, 16, 7, 9}), writer.constant(random_tensor({16, 16, 1, 1}, 1))});
    writer.output(writer.add("ResizeLike", {x, writer.input(like)},
                             {{"mode", std::string("nearest")},
                              {"coordinate_transformation_mode", std::string("asymmetric")},
                              {"nearest_mode", std::string("floor")}}));
    EXPECT_LT(error_of(writer, {random_tensor({1, 16, 7, 9}, 3), random_tensor(like, 4)}), 2e-6);
  }
}

TEST(Onednn, ChildEventsNameTheOperators) {
  BlockWriter writer;
  const auto x = writer.input({1, 16, 8, 8});
  const auto w = writer.constant(random_tensor({16, 16, 1, 1}, 1));
  writer.output(writer.add("FusedConv", {x, w}, {{"activation", std::string("Relu")}}));
  profile::Recorder recorder;
  recorder.begin_run();
  const auto subgraph = build("onednn", writer);
  run(*subgraph, {random_tensor({1, 16, 8, 8}, 2)}, 1, 1, &recorder);
  std::vector<std::string> ops;
  for (const profile::Event& event : recorder.events()) {
    EXPECT_TRUE(event.label->child);
    EXPECT_EQ(event.label->backend, "onednn");
    if (event.label->op != "Reorder") ops.push_back(event.label->op);
  }
  EXPECT_EQ(ops, std::vector<std::string>{"Conv+Relu"});
}

TEST(Onednn, ErrorsNameTheInstruction) {
  BlockWriter writer;
  const auto x = writer.input({1, 16, 8, 8});
  writer.output(writer.add("Conv", {x, writer.constant(random_tensor({16, 8, 1, 1}, 1))}));
  try {
    build("onednn", writer);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "op.shape");
    EXPECT_EQ(error.context().at(0), "in Conv 'Conv_0'");
  }
  BlockWriter unknown;
  unknown.output(unknown.add("NonZero", {unknown.input({4})}));
  try {
    build("onednn", unknown);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "op.unsupported");
  }
}

}  // namespace
}  // namespace lanner::backends::testing
