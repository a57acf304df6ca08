// Reshape, Transpose and Concat of what convolutions make, against the same blocks on the native kernels.
#include <map>
#include <string>

#include "backends/backend_testing.h"
#include "profile/recorder.h"

namespace lanner::backends::testing {
namespace {

using I = std::int64_t;
using Ints = std::vector<std::int64_t>;

constexpr double kTolerance = 4e-6;

struct Views : BlockWriter {
  SlotIndex conv(SlotIndex x, I from, I to, I side = 1) {
    return add("Conv", {x, constant(random_tensor({to, from, side, side}, static_cast<unsigned>(to)))});
  }
  SlotIndex reshape(SlotIndex x, Ints shape) {
    return add("Reshape", {x, constant(Tensor::of<I>({static_cast<I>(shape.size())}, std::span<const I>(shape)))});
  }
  SlotIndex transpose(SlotIndex x, Ints perm) { return add("Transpose", {x}, {{"perm", std::move(perm)}}); }
  SlotIndex concat(std::vector<SlotIndex> parts, I axis) { return add("Concat", std::move(parts), {{"axis", axis}}); }

  void expect_same(const std::vector<Tensor>& inputs) const {
    const int count = static_cast<int>(block.outputs.size());
    const std::vector<Tensor> expected = run(*build("native", *this), inputs, count);
    const auto subgraph = build("onednn", *this, 2);
    for (const int threads : {2, 1}) {
      const std::vector<Tensor> actual = run(*subgraph, inputs, count, threads);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LT(relative_error(expected[i], actual[i]), kTolerance) << "output " << i;
      }
    }
  }
  // How many steps of each name one run has.
  std::map<std::string, int> steps(const std::vector<Tensor>& inputs) const {
    profile::Recorder recorder;
    recorder.begin_run();
    const auto subgraph = build("onednn", *this);
    run(*subgraph, inputs, static_cast<int>(block.outputs.size()), 1, &recorder);
    std::map<std::string, int> names;
    for (const profile::Event& event : recorder.events()) ++names[event.label->op];
    return names;
  }
};

// Channels that fill blocks and channels that do not.
class OnednnViews : public ::testing::TestWithParam<I> {};

TEST_P(OnednnViews, ChannelsLast) {
  const I channels = GetParam();
  Views w;
  w.output(w.transpose(w.conv(w.input({2, 16, 7, 9}), 16, channels), {0, 2, 3, 1}));
  w.expect_same({random_tensor({2, 16, 7, 9}, 1)});
}

TEST_P(OnednnViews, AnyOrder) {
  const I channels = GetParam();
  for (const Ints& perm : {Ints{3, 1, 0, 2}, Ints{1, 0, 3, 2}, Ints{3, 2, 1, 0}}) {
    Views w;
    const auto x = w.transpose(w.conv(w.input({2, 16, 5, 4}), 16, channels), perm);
    w.output(w.transpose(x, {0, 2, 1, 3}));
    w.output(x);
    w.expect_same({random_tensor({2, 16, 5, 4}, 1)});
  }
}

TEST_P(OnednnViews, HeadsOfSeveralLevels) {
  const I channels = GetParam();
  Views w;
  const auto a = w.conv(w.input({1, 16, 6, 7}), 16, channels);
  const auto b = w.conv(w.input({1, 16, 3, 3}), 16, channels);
  const auto rows = [&](SlotIndex x, I pixels) {
    return w.reshape(w.transpose(x, {0, 2, 3, 1}), {1, pixels * 2, channels / 2});
  };
  w.output(w.concat({rows(a, 42), rows(b, 9)}, 1));
  w.output(w.concat({w.reshape(a, {1, channels, -1}), w.reshape(b, {1, channels, 9})}, 2));
  w.expect_same({random_tensor({1, 16, 6, 7}, 1), random_tensor({1, 16, 3, 3}, 2)});
}

TEST_P(OnednnViews, ReshapesThatSplitAndMergeChannels) {
  const I channels = GetParam();
  Views w;
  const auto x = w.conv(w.input({1, 16, 6, 4}), 16, channels);
  w.output(w.reshape(x, {1, 2, channels / 2, 24}));
  w.output(w.reshape(x, {channels * 24}));
  w.output(w.reshape(x, {1, channels, 24, 1}));
  w.expect_same({random_tensor({1, 16, 6, 4}, 1)});
}

TEST_P(OnednnViews, ConvolutionsBehindThem) {
  const I channels = GetParam();
  Views w;
  const auto x = w.conv(w.input({1, 16, 8, 8}), 16, channels);
  const auto turned = w.transpose(x, {0, 1, 3, 2});
  const auto folded = w.reshape(x, {1, channels * 4, 4, 4});
  w.output(w.conv(turned, channels, 16, 3));
  w.output(w.conv(folded, channels * 4, 24));
  w.output(w.add("Add", {turned, x}));
  w.output(w.add("Softmax", {turned}, {{"axis", I{1}}}));
  w.expect_same({random_tensor({1, 16, 8, 8}, 1)});
}

INSTANTIATE_TEST_SUITE_P(Channels, OnednnViews, ::testing::Values(32, 18, 6),
                         [](const auto& channels) { return std::to_string(channels.param); });

TEST(OnednnViews, NothingIsComputedInPlaceOnWhatAnotherLooksAt) {
  Views w;
  const auto x = w.conv(w.input({1, 16, 4, 4}), 16, 16);
  const auto flat = w.reshape(x, {1, 16, 16});
  const auto plain = w.reshape(flat, {1, 16, 4, 4});
  w.output(w.add("Relu", {x}));
  w.output(w.add("Exp", {plain}));
  w.output(w.add("Abs", {flat}));
  w.expect_same({random_tensor({1, 16, 4, 4}, 1)});
}

TEST(OnednnViews, InputsAndSeveralOutputsOfOneBuffer) {
  Views w;
  const auto x = w.input({2, 3, 4});
  const auto y = w.add("Relu", {x});
  w.output(w.transpose(x, {0, 2, 1}));
  w.output(w.reshape(x, {6, 4}));
  w.output(y);
  w.output(w.reshape(y, {24}));
  w.output(w.reshape(y, {4, 6}));
  w.expect_same({random_tensor({2, 3, 4}, 1)});
}

TEST(OnednnViews, EmptyTensors) {
  Views w;
  const auto x = w.add("Relu", {w.input({0, 3, 4})});
  w.output(w.transpose(x, {2, 0, 1}));
  w.output(w.reshape(x, {0, 12}));
  w.expect_same({Tensor::allocate(ElementType::kFloat32, {0, 3, 4})});
}

// Each level of a head leaves in one step, straight into its place in the result.
TEST(OnednnViews, AHeadIsOneReorderForEachLevel) {
  Views w;
  std::vector<SlotIndex> scores;
  std::vector<SlotIndex> rows;
  for (const I side : {8, 4}) {
    const auto x = w.conv(w.input({1, 16, side, side}), 16, 32);
    scores.push_back(w.reshape(x, {1, 32, side * side}));
    rows.push_back(w.reshape(w.transpose(w.conv(x, 32, 18), {0, 2, 3, 1}), {1, side * side * 3, 6}));
  }
  w.output(w.concat(scores, 2));
  w.output(w.concat(rows, 1));
  const std::vector<Tensor> inputs{random_tensor({1, 16, 8, 8}, 1), random_tensor({1, 16, 4, 4}, 2)};
  w.expect_same(inputs);
  const auto steps = w.steps(inputs);
  EXPECT_EQ(steps.at("Conv"), 4);
  EXPECT_LE(steps.at("Reorder"), 6);  // two of them of inputs
  EXPECT_EQ(steps.count("Concat") + steps.count("Transpose") + steps.count("Reshape"), 0u);
}

}  // namespace
}  // namespace lanner::backends::testing
