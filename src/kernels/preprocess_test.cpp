#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/head_testing.h"
#include "kernels/kernel_testing.h"
#include "kernels/preprocess_loops.h"
#include "kernels/resize_loops.h"

namespace lanner::kernels::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<I>;
using Entries = std::vector<std::pair<std::string, tensor::Attribute>>;

Tensor ints(const Ints& values) {
  return Tensor::of<I>({static_cast<I>(values.size())}, std::span<const I>(values));
}
Tensor floats(const std::vector<float>& values) {
  return Tensor::of<float>({static_cast<I>(values.size())}, std::span<const float>(values));
}

// A picture on its way through the separate operators.
struct Picture {
  Tensor value;
  std::string layout;

  I dim(char axis) const {
    const std::size_t at = layout.find(axis);
    return at == std::string::npos ? 1 : value.shape()[static_cast<int>(at)];
  }
  void turn(const std::string& wanted) {
    if (layout.starts_with('N') && !wanted.starts_with('N')) {
      value = run("Squeeze", {value, ints({0})});
      layout.erase(0, 1);
    } else if (!layout.starts_with('N') && wanted.starts_with('N')) {
      value = run("Unsqueeze", {value, ints({0})});
      layout = "N" + layout;
    }
    Ints order;
    for (const char axis : wanted) order.push_back(static_cast<I>(layout.find(axis)));
    value = run("Transpose", {value}, attributes({{"perm", order}}));
    layout = wanted;
  }
  void compute(const std::string& op, const std::vector<float>& operands) {
    const auto channels = static_cast<I>(operands.size());
    const Shape shape = layout.ends_with('C') ? Shape{channels} : Shape{channels, 1, 1};
    value = run(op, {value, Tensor::of<float>(shape, std::span<const float>(operands))});
  }
  void cast() {
    if (value.element_type() == ElementType::kUint8) value = run("Cast", {value}, attributes({{"to", I{1}}}));
  }
};

// One random problem: what Preprocess gets, and what the operators make of it.
struct Problem {
  std::vector<Tensor> inputs = std::vector<Tensor>(6);
  Entries entries;
  Picture picture;
  std::vector<std::string> steps;
  std::vector<float> operands;
  std::string description;

  tensor::Attributes all_attributes() const {
    tensor::Attributes result = attributes(entries);
    result.set("steps", steps);
    result.set("operands", operands);
    if (!result.has("output_layout")) result.set("output_layout", std::string("NCHW"));
    return result;
  }

  // Sets up everything; throws what the operators throw.
  void make(Random& random) {
    constexpr I kSides[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 50, 64, 100};
    const auto side = [&] { return kSides[random.below(std::size(kSides))]; };
    const bool batch = random.one_in(3);
    const I images = batch && random.one_in(2) ? 2 : 1;
    const auto layout = [&] {
      const std::string name = random.one_in(2) ? "CHW" : "HWC";
      return images > 1 || random.one_in(2) ? "N" + name : name;
    };
    constexpr I kChannels[] = {3, 3, 3, 1, 4, 2, 5};
    const I channels = kChannels[random.below(std::size(kChannels))];
    picture.layout = layout();
    Shape shape;
    for (const char axis : picture.layout) {
      shape.push_back(axis == 'N' ? images : axis == 'C' ? channels : random.one_in(60) ? 0 : side());
    }
    const bool bytes = random.one_in(2);
    picture.value = Tensor::allocate(bytes ? ElementType::kUint8 : ElementType::kFloat32, shape);
    if (bytes) {
      for (auto& element : picture.value.values<std::uint8_t>()) element = static_cast<std::uint8_t>(random.bits());
    } else {
      for (float& element : picture.value.values<float>()) {
        element = 20 * random.unit() - 10;
        if (random.one_in(100)) element = random.one_in(2) ? std::numeric_limits<float>::infinity() : std::nanf("");
        if (random.one_in(50)) element = -0.0f;
      }
    }
    inputs[0] = picture.value;
    entries.emplace_back("input_layout", picture.layout);
    description = picture.value.type_string() + " " + picture.layout;

    const auto compute = [&] {
      while (random.one_in(2)) {
        constexpr const char* kOps[] = {"Add", "Sub", "Mul", "Div"};
        steps.emplace_back(kOps[random.below(4)]);
        std::vector<float> own;
        for (I c = 0; c < channels; ++c) own.push_back(8 * random.unit() - 4);
        operands.insert(operands.end(), own.begin(), own.end());
        picture.cast();
        picture.compute(steps.back(), own);
        description += " " + steps.back();
      }
    };
    compute();
    if (!random.one_in(4)) {
      const bool linear = !random.one_in(3);
      if (linear || random.one_in(2)) picture.cast();
      const std::string resize_layout = layout();
      picture.turn(resize_layout);
      const I height = random.one_in(4) ? picture.dim('H') : side();
      const I width = random.one_in(4) ? picture.dim('W') : side();
      Entries own{{"mode", std::string(linear ? "linear" : "nearest")}};
      constexpr const char* kCoordinates[] = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
                                              "half_pixel_symmetric"};
      own.emplace_back("coordinate_transformation_mode", std::string(kCoordinates[random.below(5)]));
      if (random.one_in(2)) own.emplace_back("nearest_mode", std::string("floor"));
      if (random.one_in(5)) own.emplace_back("exclude_outside", I{1});
      const bool scaled = random.one_in(3);
      std::vector<float> scales;
      Ints sizes;
      for (const char axis : resize_layout) {
        sizes.push_back(axis == 'H' ? height : axis == 'W' ? width : picture.dim(axis));
        scales.push_back(axis == 'H' || axis == 'W' ? 0.3f + 2 * random.unit() : 1.0f);
      }
      if (random.one_in(4)) {
        own.emplace_back("axes",
                         Ints{static_cast<I>(resize_layout.find('H')), static_cast<I>(resize_layout.find('W'))});
        if (random.one_in(2)) own.emplace_back("keep_aspect_ratio_policy", std::string("not_larger"));
        sizes = {height, width};
        scales = {0.5f, 1.6f};
      }
      inputs[scaled ? 1 : 2] = scaled ? floats(scales) : ints(sizes);
      entries.emplace_back("resize_layout", resize_layout);
      entries.insert(entries.end(), own.begin(), own.end());
      steps.emplace_back("Resize");
      description += fmt::format(" Resize {} {} to {} x {}{}", resize_layout, linear ? "linear" : "nearest", height,
                                 width, scaled ? " scaled" : "");
      picture.value = run("Resize", {picture.value, {}, inputs[1], inputs[2]}, attributes(own));
      compute();
    }
    if (!random.one_in(3)) {
      const std::string pad_layout = layout();
      if (random.one_in(2)) picture.cast();
      picture.turn(pad_layout);
      const bool all = random.one_in(4);  // images and channels, too
      Ints pads;
      for (int end = 0; end < 2; ++end) {
        for (const char axis : pad_layout) {
          const I amount = random.one_in(12) ? 3 - random.below(100) : random.below(8) - random.below(3);
          pads.push_back(axis == 'H' || axis == 'W' ? amount : all ? random.below(3) - random.below(2) : 0);
        }
      }
      inputs[3] = ints(pads);
      if (random.one_in(2)) {
        inputs[4] = picture.value.element_type() == ElementType::kUint8 ? Tensor::scalar<std::uint8_t>(114)
                                                                        : Tensor::scalar<float>(-1.5f);
      }
      if (random.one_in(4)) {
        inputs[5] =
            ints({static_cast<I>(pad_layout.find('W')), -static_cast<I>(pad_layout.size() - pad_layout.find('H'))});
        inputs[3] = ints({pads[0], pads[1], 2, 3});
      }
      entries.emplace_back("pad_layout", pad_layout);
      steps.emplace_back("Pad");
      description += fmt::format(" Pad {} {}", pad_layout, fmt::join(elements<I>(inputs[3]), ","));
      picture.value = run("Pad", {picture.value, inputs[3], inputs[4], inputs[5]});
      if (!all) compute();
    }
    picture.cast();
    const std::string output_layout = layout();
    entries.emplace_back("output_layout", output_layout);
    picture.turn(output_layout);
    description += " to " + output_layout;
  }
};

void expect_bits(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.type_string(), expected.type_string()) << what;
  for (I i = 0; i < expected.element_count(); ++i) {
    const float a = actual.data<float>()[i];
    const float b = expected.data<float>()[i];
    ASSERT_TRUE((std::isnan(a) && std::isnan(b)) || std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b))
        << what << ", element " << i << ": " << a << " for " << b;
  }
}

TEST(Preprocess, IsTheOperatorsOneAfterAnother) {
  Random random(1);
  int computed = 0;
  for (int round = 0; round < 3000; ++round) {
    Problem problem;
    std::string reason;
    try {
      problem.make(random);
    } catch (const Error& error) {
      reason = error.reason();
    }
    const tensor::Attributes all = problem.all_attributes();
    if (!reason.empty()) {
      EXPECT_EQ(reason_of([&] { run("Preprocess", problem.inputs, all); }), reason) << problem.description;
      continue;
    }
    ++computed;
    for (const int threads : {1, 2}) {
      expect_bits(run("Preprocess", problem.inputs, all, threads), problem.picture.value, problem.description);
    }
    for_each_instruction_set(preprocess_loops_of_cpu(), [&] {
      expect_bits(run("Preprocess", problem.inputs, all), problem.picture.value, problem.description);
    });
    for_each_instruction_set(resize_loops_of_cpu(), [&] {
      expect_bits(run("Preprocess", problem.inputs, all), problem.picture.value, problem.description);
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(computed, 2000);
}

// As detectors are fed: a photograph, larger than the caches, letterboxed on several threads.
TEST(Preprocess, LetterboxesAPhotograph) {
  for (const auto& [height, width] : {std::pair<I, I>{1080, 1920}, {300, 200}, {720, 1280}}) {
    Tensor x = Tensor::allocate(ElementType::kUint8, {height, width, 3});
    Random random(7);
    for (auto& element : x.values<std::uint8_t>()) element = static_cast<std::uint8_t>(random.bits());
    const I longer = std::max(height, width);
    const I rows = 640 * height / longer;
    const I columns = 640 * width / longer;
    const Tensor sizes = ints({1, 3, rows, columns});
    const Tensor pads = ints({0, 0, (640 - rows) / 2, (640 - columns) / 2, 0, 0, 640 - rows - (640 - rows) / 2,
                              640 - columns - (640 - columns) / 2});
    const Tensor grey = Tensor::scalar<float>(114);
    const auto linear = attributes({{"mode", std::string("linear")}});
    Picture picture{x, "HWC"};
    picture.cast();
    picture.turn("NCHW");
    picture.value = run("Pad", {run("Resize", {picture.value, {}, {}, sizes}, linear), pads, grey});
    picture.compute("Div", {255, 255, 255});
    const auto fused = attributes({{"mode", std::string("linear")},
                                   {"input_layout", std::string("HWC")},
                                   {"resize_layout", std::string("NCHW")},
                                   {"pad_layout", std::string("NCHW")},
                                   {"output_layout", std::string("NCHW")},
                                   {"steps", std::vector<std::string>{"Resize", "Pad", "Div"}},
                                   {"operands", std::vector<float>{255, 255, 255}}});
    for (const int threads : {1, 3}) {
      expect_bits(run("Preprocess", {x, {}, sizes, pads, grey}, fused, threads), picture.value, "letterbox");
    }
  }
}

TEST(Preprocess, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::allocate(ElementType::kFloat32, {3, 4, 5});
  Entries entries{{"input_layout", std::string("CHW")},  {"output_layout", std::string("CHW")},
                  {"resize_layout", std::string("CHW")}, {"pad_layout", std::string("CHW")},
                  {"mode", std::string("linear")},       {"steps", std::vector<std::string>{"Resize", "Pad"}}};
  const auto reason = [&](const Tensor& sizes, const Tensor& pads, const Tensor& value = {}) {
    return reason_of([&] { run("Preprocess", {x, {}, sizes, pads, value}, attributes(entries)); });
  };
  const Tensor zeros = ints({0, 0, 0, 0, 0, 0});
  const Tensor same = ints({3, 4, 5});
  EXPECT_EQ(reason(ints({4, 4, 5}), zeros), "op.shape");
  EXPECT_EQ(reason(ints({3, -1, 5}), zeros), "op.shape");
  EXPECT_EQ(reason(ints({3, 4}), zeros), "op.shape");
  EXPECT_EQ(reason({}, zeros), "op.input");
  EXPECT_EQ(reason(ints({3, 4, INT64_MAX}), zeros), "op.size");
  EXPECT_EQ(reason(ints({3, INT64_MAX, 5}), zeros), "op.size");
  EXPECT_EQ(reason(same, {}), "op.input");
  EXPECT_EQ(reason(same, ints({0, 0, 0})), "op.shape");
  EXPECT_EQ(reason(same, ints({0, -5, 0, 0, 0, 0})), "op.shape");
  EXPECT_EQ(reason(same, ints({0, INT64_MAX, 0, 0, INT64_MAX, 0})), "op.shape");
  EXPECT_EQ(reason(same, ints({0, INT64_MAX / 2, 0, 0, 0, 0})), "op.size");
  EXPECT_EQ(reason(same, zeros, Tensor::scalar<std::uint8_t>(0)), "op.type");
  EXPECT_EQ(reason(same, zeros, floats({1, 2})), "op.shape");
  const auto with = [&](const char* name, tensor::Attribute value) {
    tensor::Attributes changed = attributes(entries);
    changed.set(name, std::move(value));
    return reason_of([&] { run("Preprocess", {x, {}, same, zeros}, changed); });
  };
  using Steps = std::vector<std::string>;
  EXPECT_EQ(with("mode", std::string("cubic")), "op.attribute");
  EXPECT_EQ(with("antialias", I{1}), "op.attribute");
  EXPECT_EQ(with("pad_layout", std::string("CWH")), "op.attribute");
  EXPECT_EQ(with("input_layout", std::string("NCHW")), "op.rank");
  EXPECT_EQ(with("steps", Steps{"Pad", "Resize"}), "op.attribute");
  EXPECT_EQ(with("steps", Steps{"Pad", "Pad"}), "op.attribute");
  EXPECT_EQ(with("steps", Steps{"Pow"}), "op.attribute");
  EXPECT_EQ(with("steps", Steps{"Sub"}), "op.attribute");
  EXPECT_EQ(with("operands", std::vector<float>{1}), "op.attribute");
  entries.back().second = Steps{"Sub", "Resize", "Pad"};
  EXPECT_EQ(with("operands", std::vector<float>{1, 2}), "op.shape");
  EXPECT_EQ(reason_of([] {
              run("Preprocess", {vec<I>({1})}, attributes({{"input_layout", std::string("CHW")}}));
            }),
            "op.attribute");
}

}  // namespace
}  // namespace lanner::kernels::testing
