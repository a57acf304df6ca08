#include "passes/rule_testing.h"

namespace lanner::passes::testing {
namespace {

struct Case : Builder {
  Case(std::string_view data_type, Tensor index, I axis, std::string_view type_text) {
    const ValueId data = input("data", data_type);
    output(node("Gather", {data, constant(std::move(index))}, attributes({{"axis", axis}}), type_text));
  }
};

TEST(GatherSingle, OneImageOfABatchOfOne) {
  Case first("float32[1,3,?]", Tensor::scalar<I>(0), 0, "float32[3,?]");
  expect_rewrites(first.graph, kGatherSingle, "Squeeze", {numbers({1, 3, 4})});
  Case last("float32[3,1]", Tensor::scalar<std::int32_t>(-1), -1, "float32[3]");
  expect_rewrites(last.graph, kGatherSingle, "Squeeze", {numbers({3, 1})});
  Case list("float32[3,1,2]", ints({0}), 1, "float32[3,1,2]");
  expect_rewrites(list.graph, kGatherSingle, "", {numbers({3, 1, 2})});
}

TEST(GatherSingle, DeclinesOthers) {
  for (const std::string_view data : {"float32[2,3]", "float32[?,3]"}) {
    Case several(data, Tensor::scalar<I>(0), 0, "float32[3]");
    expect_declines(several.graph, kGatherSingle);
  }
  Case table("float32[1,3]", Tensor::of<I>({1, 1}, {0}), 0, "float32[1,1,3]");
  expect_declines(table.graph, kGatherSingle);
  Case repeated("float32[1,3]", ints({0, 0}), 0, "float32[2,3]");
  expect_declines(repeated.graph, kGatherSingle);
  Case outside("float32[1,3]", Tensor::scalar<I>(1), 0, "float32[3]");
  expect_declines(outside.graph, kGatherSingle);
}

}  // namespace
}  // namespace lanner::passes::testing
