#include "cli/detection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lanner/error.h"

namespace lanner::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::Pointwise;
using ::testing::UnorderedElementsAre;

ValueInfo info(std::string name, ElementType type, std::vector<std::int64_t> shape) {
  ValueInfo result;
  result.name = std::move(name);
  result.element_type = type;
  result.has_rank = true;
  result.symbols.resize(shape.size());
  result.shape = std::move(shape);
  return result;
}

ValueInfo float_info(std::string name, std::vector<std::int64_t> shape) {
  return info(std::move(name), ElementType::kFloat32, std::move(shape));
}

// A model with a 40 x 20 px input that says nothing about itself.
const std::vector<ValueInfo> kInputs = {float_info("image", {1, 3, 20, 40})};
const std::vector<ValueInfo> kOutputs = {float_info("b", {1, -1, 4}), float_info("s", {1, -1}),
                                         info("l", ElementType::kInt64, {1, -1})};

DetectSettings settings(const DetectSettings& changes = {}) {
  DetectSettings all = {{"layout", {"NCHW"}},     {"scale", {"1"}},          {"resize", {"stretch"}},
                        {"boxes", {"b"}},         {"scores", {"s"}},         {"labels", {"l"}},
                        {"box_format", {"xyxy"}}, {"normalized", {"false"}}, {"classes", {"cat", "dog"}}};
  for (const auto& [key, entries] : changes) all[key] = entries;
  return all;
}

DetectConvention convention(const DetectSettings& changes = {}, const std::vector<ValueInfo>& inputs = kInputs,
                            const std::vector<ValueInfo>& outputs = kOutputs) {
  return DetectConvention(inputs, outputs, settings(changes));
}

// "reason: message" of the Error that `body` throws.
template <typename Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.reason() + ": " + error.message();
  }
  return "no error";
}

NamedValues outputs_of(std::vector<float> boxes, std::vector<float> scores, std::vector<std::int64_t> labels) {
  const auto rows = static_cast<std::int64_t>(scores.size());
  return {{"b", Tensor::of<float>({1, rows, 4}, boxes)},
          {"s", Tensor::of<float>({1, rows}, scores)},
          {"l", Tensor::of<std::int64_t>({1, rows}, labels)}};
}

auto box_is(float left, float top, float right, float bottom) {
  return Pointwise(::testing::FloatNear(1e-3F), std::array<float, 4>{left, top, right, bottom});
}

// The box that a model's box of `values` becomes in a picture of 80 x 80 px.
std::array<float, 4> box_from(const std::vector<float>& values, const DetectSettings& changes) {
  const DetectConvention how = convention(changes);
  const auto [inputs, fit] = how.prepare(Picture(80, 80));
  return how.interpret(outputs_of(values, {0.9F}, {0}), fit, 0.5F).at(0).box;
}

TEST(Settings, FromProperties) {
  const DetectSettings found = detect_properties({{"producer", "x"},
                                                  {"lanner.detect.scale", "0.5"},
                                                  {"lanner.detect.mean", "1, 2,3"},
                                                  {"lanner.detect.boxes", "a,b"},
                                                  {"lanner.detect.classes", "red circle, blue  square ,"}});
  EXPECT_THAT(found, UnorderedElementsAre(Pair("scale", ElementsAre("0.5")), Pair("mean", ElementsAre("1", "2", "3")),
                                          Pair("boxes", ElementsAre("a,b")),
                                          Pair("classes", ElementsAre("red circle", "blue  square", ""))));
}

TEST(Settings, FromConfigAsStringsOrNativeTypes) {
  const DetectSettings strings = detect_config(
      "threads = 2\n[detect]\nscale = \"0.25\"\nmean = \"1,2,3\"\nnormalized = \"true\"\nclasses = \"cat, dog\"\n",
      "c");
  EXPECT_THAT(strings, UnorderedElementsAre(
                           Pair("scale", ElementsAre("0.25")), Pair("mean", ElementsAre("1", "2", "3")),
                           Pair("normalized", ElementsAre("true")), Pair("classes", ElementsAre("cat", "dog"))));
  const DetectSettings native = detect_config(
      "[detect]\nscale = 0.25\nmean = [1, 2, 3]\nnormalized = true\nclasses = [\"cat\", \"dog, big\"]\n", "c");
  EXPECT_THAT(native, UnorderedElementsAre(Pair("scale", ElementsAre("0.25")), Pair("mean", ElementsAre("1", "2", "3")),
                                           Pair("normalized", ElementsAre("true")),
                                           Pair("classes", ElementsAre("cat", "dog, big"))));
  EXPECT_TRUE(detect_config("threads = 2\n", "c").empty());
  EXPECT_TRUE(detect_config("", "c").empty());
}

TEST(Settings, BrokenConfigNamesTheFile) {
  for (const char* text :
       {"[detect\n", "detect = 3\n", "[detect]\nscale = 1979-05-27\n", "[detect]\nscale = {a = 1}\n"}) {
    EXPECT_THAT(error_of([&] { detect_config(text, "my.toml"); }),
                AllOf(HasSubstr("config.invalid"), HasSubstr("my.toml")))
        << text;
  }
}

TEST(Convention, ListsEveryMissingKey) {
  EXPECT_THAT(
      error_of([] {
        DetectConvention(kInputs, kOutputs, {{"scale", {"1"}}});
      }),
      AllOf(HasSubstr("detect.convention"),
            HasSubstr("layout, resize, boxes, scores, box_format, normalized, labels (unless scores are [N,C])"),
            Not(HasSubstr("scale,"))));
  DetectSettings no_labels = settings();
  no_labels.erase("labels");
  const std::vector<ValueInfo> flat = {float_info("b", {-1, 4}), float_info("s", {-1})};
  EXPECT_THAT(error_of([&] { DetectConvention(kInputs, flat, no_labels); }), HasSubstr("missing: labels"));
}

TEST(Convention, ListsEveryWrongValue) {
  const std::string error = error_of([] {
    convention({{"layout", {"CHWN"}},
                {"scale", {"1/255"}},
                {"mean", {"1", "2"}},
                {"std", {"1", "0", "1"}},
                {"resize", {"crop"}},
                {"boxes", {"x"}},
                {"box_format", {"yxhw"}},
                {"normalized", {"yes"}},
                {"colour", {"red"}}});
  });
  for (const char* part :
       {"detect.convention", "layout must be NCHW or NHWC, but is 'CHWN'", "scale must be a number, but is '1/255'",
        "mean must be three numbers, but is '1,2'", "std must be three numbers other than 0, but is '1,0,1'",
        "resize must be stretch or letterbox or none", "boxes must be the name of an output, but is 'x'",
        "box_format must be xyxy or yxyx or cxcywh or xywh", "normalized must be false or true",
        "unknown key 'colour'"}) {
    EXPECT_THAT(error, HasSubstr(part));
  }
  EXPECT_THAT(error, Not(HasSubstr("missing")));
}

TEST(Convention, InputMustBeOnePicture) {
  const auto error = [](const std::vector<ValueInfo>& inputs) { return error_of([&] { convention({}, inputs); }); };
  EXPECT_THAT(error({}), HasSubstr("detect.input"));
  EXPECT_THAT(error({kInputs[0], float_info("size", {2})}), HasSubstr("also has 'size'"));
  EXPECT_THAT(error({info("image", ElementType::kInt64, {1, 3, 20, 40})}), HasSubstr("but is int64"));
  EXPECT_THAT(error({float_info("image", {2, 3, 20, 40})}), HasSubstr("detect.input"));
  EXPECT_THAT(error({float_info("image", {1, 20, 40, 3})}), HasSubstr("one NCHW picture with 3 channels"));
  EXPECT_THAT(error({float_info("image", {20, 40})}), HasSubstr("[20,40]"));
  EXPECT_THAT(error({float_info("image", {3, 0, 40})}), HasSubstr("detect.input"));
  EXPECT_THAT(error({float_info("image", {1, 3, -1, 40})}), HasSubstr("resize must be none"));
  ValueInfo constant = float_info("weights", {5});
  constant.optional = true;
  EXPECT_EQ(error({kInputs[0], constant}), "no error");
}

TEST(Prepare, ScalesThenNormalises) {
  const DetectConvention how = convention({{"scale", {"0.5"}}, {"mean", {"1", "2", "3"}}, {"std", {"2", "4", "-1"}}});
  const auto [inputs, fit] = how.prepare(Picture(7, 5, {10, 20, 30}));
  ASSERT_EQ(inputs.size(), 1U);
  EXPECT_EQ(inputs[0].first, "image");
  const Tensor& tensor = inputs[0].second.tensor();
  EXPECT_EQ(tensor.type_string(), "float32[1,3,20,40]");
  const auto values = tensor.values<float>();
  for (std::size_t i = 0; i < 800; ++i) {
    ASSERT_EQ(values[i], 2);           // (5 - 1) / 2
    ASSERT_EQ(values[800 + i], 2);     // (10 - 2) / 4
    ASSERT_EQ(values[1600 + i], -12);  // (15 - 3) / -1
  }
}

TEST(Prepare, LayoutsTypesAndBatch) {
  Picture picture(3, 2);
  for (int y = 0; y < 2; ++y) {
    for (int x = 0; x < 3; ++x) {
      for (int channel = 0; channel < 3; ++channel) {
        picture.pixel(x, y)[channel] = static_cast<std::uint8_t>(100 * channel + 10 * y + x);
      }
    }
  }
  const auto tensor = [&](const ValueInfo& input, const char* layout) {
    return convention({{"layout", {layout}}, {"resize", {"none"}}}, {input}).prepare(picture).first[0].second.tensor();
  };
  const Tensor planes = tensor(float_info("x", {3, -1, -1}), "NCHW");
  EXPECT_EQ(planes.shape(), Shape({3, 2, 3}));
  EXPECT_THAT(planes.values<float>(),
              ElementsAre(0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112, 200, 201, 202, 210, 211, 212));
  const Tensor bytes = tensor(info("x", ElementType::kUint8, {-1, -1, -1, 3}), "NHWC");
  EXPECT_EQ(bytes.shape(), Shape({1, 2, 3, 3}));
  EXPECT_THAT(bytes.values<std::uint8_t>(),
              ElementsAre(0, 100, 200, 1, 101, 201, 2, 102, 202, 10, 110, 210, 11, 111, 211, 12, 112, 212));
}

TEST(Prepare, NoneTakesOnlyWhatTheModelTakes) {
  const DetectConvention how = convention({{"resize", {"none"}}}, {float_info("x", {1, 3, 20, -1})});
  EXPECT_EQ(how.prepare(Picture(33, 20)).first[0].second.tensor().shape(), Shape({1, 3, 20, 33}));
  EXPECT_THAT(error_of([&] { how.prepare(Picture(33, 21)); }),
              AllOf(HasSubstr("detect.input"), HasSubstr("33 x 21 px"), HasSubstr("any x 20 px")));
}

TEST(Prepare, LetterboxCentresOnGrey) {
  const auto [inputs, fit] = convention({{"resize", {"letterbox"}}}).prepare(Picture(80, 80, {200, 200, 200}));
  const auto values = inputs[0].second.tensor().values<float>();
  for (std::size_t x = 0; x < 40; ++x) EXPECT_EQ(values[x], x >= 10 && x < 30 ? 200 : 114) << x;
  EXPECT_EQ(fit.left, 10);
  EXPECT_EQ(fit.top, 0);
}

TEST(Prepare, LetterboxOfExtremeSides) {
  const DetectConvention how = convention({{"resize", {"letterbox"}}});
  for (const Picture& picture : {Picture(1, 5000), Picture(5000, 1), Picture(1, 1), Picture(40, 20)}) {
    const auto [inputs, fit] = how.prepare(picture);
    EXPECT_EQ(inputs[0].second.tensor().shape(), Shape({1, 3, 20, 40}));
    EXPECT_GT(fit.scale_x, 0);
    EXPECT_GT(fit.scale_y, 0);
  }
}

// In the 40 x 20 px input the box 4,2 - 20,10; stretching 80 x 80 px to it divides by 2 and by 4.
TEST(Interpret, BoxFormats) {
  EXPECT_THAT(box_from({4, 2, 20, 10}, {}), box_is(8, 8, 40, 40));
  EXPECT_THAT(box_from({2, 4, 10, 20}, {{"box_format", {"yxyx"}}}), box_is(8, 8, 40, 40));
  EXPECT_THAT(box_from({12, 6, 16, 8}, {{"box_format", {"cxcywh"}}}), box_is(8, 8, 40, 40));
  EXPECT_THAT(box_from({4, 2, 16, 8}, {{"box_format", {"xywh"}}}), box_is(8, 8, 40, 40));
  EXPECT_THAT(box_from({20, 10, 4, 2}, {}), box_is(8, 8, 40, 40));  // corners the other way round
}

TEST(Interpret, NormalizedBoxes) {
  EXPECT_THAT(box_from({0.1F, 0.1F, 0.5F, 0.5F}, {{"normalized", {"true"}}}), box_is(8, 8, 40, 40));
  EXPECT_THAT(box_from({0.1F, 0.1F, 0.4F, 0.4F}, {{"normalized", {"true"}}, {"box_format", {"xywh"}}}),
              box_is(8, 8, 40, 40));
}

// Letterboxing 80 x 80 px into 40 x 20 px divides by 4 and begins at 10,0.
TEST(Interpret, LetterboxIsTakenBack) {
  const DetectSettings letterbox = {{"resize", {"letterbox"}}};
  EXPECT_THAT(box_from({12, 2, 20, 10}, letterbox), box_is(8, 8, 40, 40));
  EXPECT_THAT(box_from({0.3F, 0.1F, 0.5F, 0.5F}, {{"resize", {"letterbox"}}, {"normalized", {"true"}}}),
              box_is(8, 8, 40, 40));
  EXPECT_THAT(box_from({0, 0, 40, 20}, letterbox), box_is(0, 0, 80, 80));
}

TEST(Interpret, BoxesAreClippedToThePicture) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(box_from({-4, -kInfinity, 50, 1e30F}, {}), box_is(0, 0, 80, 80));
}

TEST(Interpret, BestFirstFromTheThresholdUp) {
  const DetectConvention how = convention();
  const Fit fit = how.prepare(Picture(40, 20)).second;
  const NamedValues outputs =
      outputs_of({0, 0, 1, 1, 0, 0, 2, 2, 0, 0, 3, 3, 0, 0, 4, 4}, {0.5F, 0.9F, 0.49F, 0.9F}, {1, 0, 1, 7});
  const std::vector<Detection> found = how.interpret(outputs, fit, 0.5F);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].name, "cat");
  EXPECT_EQ(found[1].name, "class 7");
  EXPECT_EQ(found[1].label, 7);
  EXPECT_EQ(found[2].name, "dog");
  EXPECT_EQ(found[2].score, 0.5F);
}

TEST(Interpret, NoDetections) {
  const DetectConvention how = convention();
  EXPECT_TRUE(how.interpret(outputs_of({}, {}, {}), how.prepare(Picture(40, 20)).second, 0.5F).empty());
}

TEST(Interpret, ScoresPerClass) {
  DetectSettings per_class = settings();
  per_class.erase("labels");
  const DetectConvention how(kInputs, std::vector{kOutputs[0], float_info("s", {1, -1, 3})}, per_class);
  const Fit fit = how.prepare(Picture(40, 20)).second;
  const Tensor boxes = Tensor::of<float>({1, 2, 4}, {0, 0, 1, 1, 0, 0, 2, 2});
  const NamedValues outputs = {{"b", boxes}, {"s", Tensor::of<float>({1, 2, 3}, {0.1F, 0.6F, 0.2F, 0.3F, 0, 0.4F})}};
  const std::vector<Detection> found = how.interpret(outputs, fit, 0.35F);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "dog");
  EXPECT_EQ(found[0].score, 0.6F);
  EXPECT_EQ(found[1].label, 2);
  EXPECT_THAT(error_of([&] {
                how.interpret({{"b", boxes}, {"s", Tensor::of<float>({2}, {1, 1})}}, fit, 0);
              }),
              AllOf(HasSubstr("detect.output"), HasSubstr("[N,C]")));
}

TEST(Interpret, OutputsThatContradictTheConvention) {
  const DetectConvention how = convention();
  const Fit fit = how.prepare(Picture(40, 20)).second;
  const NamedValues fine = outputs_of({0, 0, 1, 1, 0, 0, 2, 2}, {0.9F, 0.1F}, {0, 0});
  const auto error = [&](const char* name, const Value& value) {
    NamedValues outputs = fine;
    for (auto& [output, held] : outputs) {
      if (output == name) held = value;
    }
    return error_of([&] { how.interpret(outputs, fit, 0.5F); });
  };
  EXPECT_EQ(error("b", fine[0].second), "no error");
  EXPECT_THAT(error("b", Tensor::of<float>({2, 5}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0})), HasSubstr("detect.output"));
  EXPECT_THAT(error("b", Tensor::of<float>({4, 2}, {0, 0, 0, 0, 0, 0, 0, 0})), HasSubstr("'b' must be [N,4]"));
  EXPECT_THAT(error("s", Tensor::of<float>({3}, {1, 1, 1})), HasSubstr("'s' must be [N]"));
  EXPECT_THAT(error("l", Tensor::of<std::int64_t>({1}, {1})), HasSubstr("'l' must be [N]"));
  EXPECT_THAT(error("l", Tensor::of<std::string>({2}, {"cat", "dog"})), HasSubstr("but is string"));
  EXPECT_THAT(error("s", Sequence{}), HasSubstr("'s' must be a tensor"));
  EXPECT_THAT(error_of([&] { how.interpret({fine[0], fine[1]}, fit, 0.5F); }), HasSubstr("no output 'l'"));
}

TEST(Interpret, NotANumber) {
  const DetectConvention how = convention();
  const Fit fit = how.prepare(Picture(40, 20)).second;
  const auto error = [&](float coordinate, float score) {
    return error_of([&] { how.interpret(outputs_of({0, 0, coordinate, 1}, {score}, {0}), fit, 0.5F); });
  };
  EXPECT_EQ(error(1, 0.9F), "no error");
  EXPECT_THAT(error(NAN, 0.9F), HasSubstr("box 0 in output 'b'"));
  EXPECT_THAT(error(1, NAN), HasSubstr("a score of box 0 in output 's'"));
  EXPECT_EQ(error(NAN, 0.1F), "no error");  // nobody asked for that box
}

const std::vector<ValueInfo> kTorchvisionInputs = {float_info("images", {3, 20, 40})};

TEST(Signatures, TorchvisionByName) {
  for (const std::vector<ValueInfo>& outputs :
       {std::vector{float_info("boxes", {-1, 4}), info("labels", ElementType::kInt64, {-1}),
                    float_info("scores", {-1})},
        {float_info("boxes", {-1, 4}), float_info("scores", {-1}), info("labels", ElementType::kInt64, {-1}),
         float_info("masks", {-1, 1, -1, -1})}}) {
    const DetectConvention how(kTorchvisionInputs, outputs, {});
    const auto [inputs, fit] = how.prepare(Picture(80, 80, {255, 51, 0}));
    const Tensor& tensor = inputs[0].second.tensor();
    EXPECT_EQ(tensor.shape(), Shape({3, 20, 40}));
    EXPECT_THAT(tensor.values<float>()[0], FloatNear(1, 1e-6F));
    EXPECT_THAT(tensor.values<float>()[800], FloatNear(0.2F, 1e-6F));
    const std::vector<Detection> found = how.interpret({{"boxes", Tensor::of<float>({1, 4}, {4, 2, 20, 10})},
                                                        {"labels", Tensor::of<std::int64_t>({1}, {17})},
                                                        {"scores", Tensor::of<float>({1}, {0.75F})}},
                                                       fit, 0.5F);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_THAT(found[0].box, box_is(8, 8, 40, 40));
    EXPECT_EQ(found[0].name, "class 17");
  }
}

TEST(Signatures, TorchvisionByTypeWhereNamesSayNothing) {
  const std::vector<ValueInfo> outputs = {float_info("3706", {-1, 4}), info("3681", ElementType::kInt64, {-1}),
                                          float_info("3680", {-1})};
  const DetectConvention how(kTorchvisionInputs, outputs, {{"classes", {"nothing", "person"}}});
  const std::vector<Detection> found = how.interpret({{"3706", Tensor::of<float>({1, 4}, {0, 0, 1, 1})},
                                                      {"3681", Tensor::of<std::int64_t>({1}, {1})},
                                                      {"3680", Tensor::of<float>({1}, {0.75F})}},
                                                     how.prepare(Picture(40, 20)).second, 0.5F);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].name, "person");
  EXPECT_EQ(found[0].score, 0.75F);
}

TEST(Signatures, TorchvisionOfDynamicSizeTakesPicturesAsTheyAre) {
  const std::vector<ValueInfo> outputs = {float_info("boxes", {-1, 4}), info("labels", ElementType::kInt64, {-1}),
                                          float_info("scores", {-1})};
  const DetectConvention how({{float_info("images", {3, -1, -1})}}, outputs, {});
  EXPECT_EQ(how.prepare(Picture(33, 21)).first[0].second.tensor().shape(), Shape({3, 21, 33}));
}

const std::vector<ValueInfo> kTensorflowOutputs = {
    float_info("detection_boxes:0", {1, 3, 4}), float_info("detection_classes:0", {1, 3}),
    float_info("detection_scores:0", {1, 3}), float_info("num_detections:0", {1})};

TEST(Signatures, TensorflowObjectDetectionApi) {
  const DetectConvention how({{info("input_tensor:0", ElementType::kUint8, {1, -1, -1, 3})}}, kTensorflowOutputs, {});
  const auto [inputs, fit] = how.prepare(Picture(80, 40, {9, 8, 7}));
  const Tensor& tensor = inputs[0].second.tensor();
  EXPECT_EQ(tensor.type_string(), "uint8[1,40,80,3]");
  EXPECT_EQ(tensor.values<std::uint8_t>()[1], 8);
  // The third row is padding.
  const NamedValues outputs = {
      {"detection_boxes:0", Tensor::of<float>({1, 3, 4}, {0.25F, 0.125F, 0.75F, 0.5F, 0, 0, 1, 1, 0, 0, 0, 0})},
      {"detection_classes:0", Tensor::of<float>({1, 3}, {18, 1, 0})},
      {"detection_scores:0", Tensor::of<float>({1, 3}, {0.9F, 0.1F, 0})},
      {"num_detections:0", Tensor::of<float>({1}, {2})}};
  const std::vector<Detection> found = how.interpret(outputs, fit, 0);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_THAT(found[0].box, box_is(10, 10, 40, 30));
  EXPECT_EQ(found[0].label, 18);
}

TEST(Signatures, TensorflowCountMustFit) {
  const DetectConvention how({{info("input_tensor:0", ElementType::kUint8, {1, -1, -1, 3})}}, kTensorflowOutputs, {});
  const NamedValues outputs = {{"detection_boxes:0", Tensor::of<float>({1, 1, 4}, {0, 0, 1, 1})},
                               {"detection_classes:0", Tensor::of<float>({1, 1}, {1})},
                               {"detection_scores:0", Tensor::of<float>({1, 1}, {1})},
                               {"num_detections:0", Tensor::of<float>({1}, {2})}};
  EXPECT_THAT(error_of([&] { how.interpret(outputs, how.prepare(Picture(8, 8)).second, 0); }),
              AllOf(HasSubstr("detect.output"), HasSubstr("num_detections:0")));
}

TEST(Signatures, GivenKeysWin) {
  const std::vector<ValueInfo> outputs = {float_info("boxes", {-1, 4}), info("labels", ElementType::kInt64, {-1}),
                                          float_info("scores", {-1})};
  const DetectConvention how(kTorchvisionInputs, outputs, {{"scale", {"1"}}, {"resize", {"letterbox"}}});
  const auto [inputs, fit] = how.prepare(Picture(80, 80, {255, 0, 0}));
  EXPECT_EQ(fit.left, 10);
  EXPECT_EQ(inputs[0].second.tensor().values<float>()[10], 255);
}

TEST(Signatures, OthersAreNotGuessed) {
  const std::vector<ValueInfo> outputs = {float_info("boxes", {-1, 4}), info("labels", ElementType::kInt64, {-1}),
                                          float_info("scores", {-1})};
  // A batch dimension is not torchvision's; neither are scores of another type, nor several that might be meant.
  EXPECT_THAT(error_of([&] { DetectConvention(kInputs, outputs, {}); }), HasSubstr("detect.convention"));
  const std::vector<ValueInfo> ambiguous = {float_info("1", {-1, 4}), info("2", ElementType::kInt64, {-1}),
                                            float_info("3", {-1}), float_info("4", {-1})};
  EXPECT_THAT(error_of([&] { DetectConvention(kTorchvisionInputs, ambiguous, {}); }), HasSubstr("detect.convention"));
  const std::vector<ValueInfo> integers = {outputs[0], outputs[1], info("scores", ElementType::kInt64, {-1})};
  EXPECT_THAT(error_of([&] { DetectConvention(kTorchvisionInputs, integers, {}); }), HasSubstr("detect.convention"));
}

}  // namespace
}  // namespace lanner::cli
