#include "onnx/infer.h"

#include <gtest/gtest.h>
#include <onnx/defs/parser.h>

#include "onnx/import.h"
#include "onnx/proto.h"

namespace lanner::onnx {
namespace {

ir::Graph import_text(const std::string& text) {
  pb::ModelProto model;
  const auto status = pb::OnnxParser::Parse(model, text);
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage();
  const std::string bytes = model.SerializeAsString();
  return import_model(std::as_bytes(std::span(bytes)));
}

ir::ValueId node(ir::Graph& graph, std::string op, std::vector<ir::ValueId> inputs, std::string domain = {}) {
  ir::Node node;
  node.op = std::move(op);
  node.domain = std::move(domain);
  node.inputs = std::move(inputs);
  const std::string name = node.op;
  const ir::NodeId id = graph.add_node(std::move(node), std::span(&name, 1));
  return graph.node(id).outputs[0];
}

Tensor ints(std::vector<std::int64_t> values) {
  return Tensor::of<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
}

TEST(Infer, ConstantsMakeShapesKnown) {
  ir::Graph graph;
  const ir::ValueId x = graph.add_input("x", *ir::ValueType::parse("float32[batch,6]"));
  const ir::ValueId shape = graph.add_constant("shape", ints({-1, 2, 3}));
  const ir::ValueId y = node(graph, "Reshape", {x, shape});
  const ir::ValueId z = node(graph, "Relu", {y});
  graph.add_output(z);
  infer_shapes(graph);
  EXPECT_EQ(graph.value(z).type.dims.at(2).size, 3);
  EXPECT_EQ(graph.value(z).type.element, ElementType::kFloat32);
}

TEST(Infer, AnEditIsSeen) {
  ir::Graph graph = import_text(R"(
    <ir_version: 8, opset_import: ["" : 16]>
    agraph (float[n] x, int64[2] shape) => (float[a, b] y) { y = Reshape(x, shape) })");
  EXPECT_EQ(graph.value(graph.outputs()[0]).type.to_string(), "float32[a,b]");
  graph.replace_uses(graph.inputs()[1], graph.add_constant("known", ints({4, 5})));
  infer_shapes(graph);
  EXPECT_EQ(graph.value(graph.outputs()[0]).type.to_string(), "float32[4,5]");
}

TEST(Infer, ForeignNodesKeepTheirTypes) {
  ir::Graph graph;
  const ir::ValueId x = graph.add_input("x", *ir::ValueType::parse("float32[2,3]"));
  const ir::ValueId fused = node(graph, "Fused", {x}, "lanner");
  graph.set_type(fused, *ir::ValueType::parse("float32[7]"));
  const ir::ValueId unknown = node(graph, "Other", {x}, "lanner");
  const ir::ValueId y = node(graph, "Neg", {fused});
  const ir::ValueId z = node(graph, "Neg", {unknown});
  graph.add_output(y);
  graph.add_output(z);
  infer_shapes(graph);
  EXPECT_EQ(graph.value(fused).type.to_string(), "float32[7]");
  EXPECT_EQ(graph.value(y).type.to_string(), "float32[7]");
  EXPECT_EQ(graph.value(z).type.to_string(), "unknown");
}

TEST(Infer, LargeConstantsHaveTheirType) {
  ir::Graph graph;
  const ir::ValueId x = graph.add_input("x", *ir::ValueType::parse("float32[5,1000]"));
  const ir::ValueId w = graph.add_constant("w", Tensor::allocate(ElementType::kFloat32, {1000, 20}));
  const ir::ValueId y = node(graph, "MatMul", {x, w});
  graph.add_output(y);
  infer_shapes(graph);
  EXPECT_EQ(graph.value(y).type.to_string(), "float32[5,20]");
}

TEST(Infer, ReachesNestedGraphs) {
  // The captured shape becomes a constant only after the import: the branches know it through the outer value's type.
  ir::Graph graph = import_text(R"(
    <ir_version: 8, opset_import: ["" : 16]>
    agraph (float[n] x, bool cond) => (float[m] y)
    {
      y = If <then_branch = t () => (float[m1] r) { q = Neg(x)  r = Relu(q) },
              else_branch = e () => (float[m2] s) { s = Abs(x) }> (cond)
    })");
  graph.set_type(graph.inputs()[0], *ir::ValueType::parse("float32[9]"));
  infer_shapes(graph);
  EXPECT_EQ(graph.value(graph.outputs()[0]).type.to_string(), "float32[9]");
  const ir::Node& node = *graph.producer(graph.outputs()[0]);
  for (const auto& [name, nested] : node.graphs) {
    EXPECT_EQ(nested->value(nested->inputs()[0]).type.to_string(), "float32[9]") << name;
    EXPECT_EQ(nested->value(nested->outputs()[0]).type.to_string(), "float32[9]") << name;
  }
  graph.check();
}

TEST(Infer, AFailingNodeStopsNothingElse) {
  ir::Graph graph;
  const ir::ValueId x = graph.add_input("x", *ir::ValueType::parse("float32[2,3]"));
  const ir::ValueId bad = node(graph, "MatMul", {x, x});
  const ir::ValueId good = node(graph, "Neg", {x});
  graph.add_output(bad);
  graph.add_output(good);
  infer_shapes(graph);
  EXPECT_EQ(graph.value(good).type.to_string(), "float32[2,3]");
}

}  // namespace
}  // namespace lanner::onnx
