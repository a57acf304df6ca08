#include "backends/backend_testing.h"
#include "lanner/error.h"

namespace lanner::backends::testing {
namespace {

TEST(Native, RunsInOrderAndRecordsChildren) {
  BlockWriter writer;
  const auto x = writer.input({2, 3});
  const auto sum = writer.add("Add", {x, writer.constant(Tensor::scalar(1.0F))});
  writer.output(writer.add("Mul", {sum, sum}));
  profile::Recorder recorder;
  recorder.begin_run();
  const auto subgraph = build("native", writer);
  const Tensor y = run(*subgraph, {Tensor::of<float>({2, 3}, {0, 1, 2, 3, 4, 5})}, 1, 1, &recorder)[0];
  EXPECT_EQ(y.shape(), Shape({2, 3}));
  EXPECT_EQ(y.data<float>()[5], 36.0F);
  ASSERT_EQ(recorder.events().size(), 2U);
  EXPECT_EQ(recorder.events()[1].label->op, "Mul");
  EXPECT_TRUE(recorder.events()[1].label->child);
}

TEST(Native, OutputsNeverShareAnInputsMemory) {
  BlockWriter writer;
  const auto x = writer.input({2, 3});
  writer.output(writer.add("Reshape", {x, writer.constant(Tensor::of<std::int64_t>({1}, {6}))}));
  writer.output(x);
  const Tensor input = random_tensor({2, 3}, 1);
  const auto subgraph = build("native", writer);
  for (const Tensor& output : run(*subgraph, {input}, 2)) {
    EXPECT_NE(output.raw_data(), input.raw_data());
    EXPECT_EQ(output.data<float>()[5], input.data<float>()[5]);
  }
}

TEST(Native, ErrorsNameTheInstruction) {
  BlockWriter writer;
  const auto x = writer.input({2, 3});
  writer.output(writer.add("Add", {x, writer.constant(random_tensor({4}, 1))}));
  const auto subgraph = build("native", writer);
  try {
    run(*subgraph, {random_tensor({2, 3}, 1)}, 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.context().at(0), "in Add 'Add_0'");
  }
}

}  // namespace
}  // namespace lanner::backends::testing
