#include "placement/place.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "lanner/error.h"

namespace lanner::placement {
namespace {

using ir::Graph;
using ir::NodeId;
using ir::ValueId;
using ir::ValueType;

struct GraphWriter {
  Graph graph;
  std::map<std::string, NodeId> nodes;

  ValueId input(std::string_view name, const Shape& shape, ElementType type = ElementType::kFloat32) {
    return graph.add_input(name, ValueType::tensor(type, shape));
  }
  // Names the node and its output; the output has shape `shape`.
  ValueId add(const std::string& name, std::string_view op, std::vector<ValueId> inputs, const Shape& shape,
              ElementType type = ElementType::kFloat32) {
    ir::Node node;
    node.op = op;
    node.name = name;
    node.inputs = std::move(inputs);
    const std::string output[] = {name};
    const NodeId id = graph.add_node(std::move(node), output);
    nodes[name] = id;
    graph.set_type(graph.node(id).outputs[0], ValueType::tensor(type, shape));
    return graph.node(id).outputs[0];
  }
  ValueId conv(const std::string& name, ValueId x, std::int64_t channels = 16, std::int64_t side = 32) {
    const ValueId w =
        graph.add_constant(name + "_w", Tensor::allocate(ElementType::kFloat32, {channels, channels, 3, 3}));
    return add(name, "Conv", {x, w}, {1, channels, side, side});
  }
  ValueId relu(const std::string& name, ValueId x) { return add(name, "Relu", {x}, {1, 16, 32, 32}); }

  Placement place(const PlaceOptions& options = {}) const { return placement::place(graph, options); }
  int subgraph(const Placement& placement, const std::string& name) const {
    return placement.of(nodes.at(name)).subgraph;
  }
  std::string reason(const Placement& placement, const std::string& name) const {
    return placement.of(nodes.at(name)).reason;
  }
};

const Shape kImage{1, 16, 32, 32};

// Fails when the subgraphs of `placement`, taken as one node each, are in a circle.
void expect_acyclic(const Graph& graph, const Placement& placement) {
  const auto unit = [&](NodeId id) {
    const int subgraph = placement.of(id).subgraph;
    return subgraph >= 0 ? -1 - subgraph : static_cast<int>(id);
  };
  std::map<int, std::set<int>> readers;
  std::map<int, int> missing;
  for (const NodeId id : graph.topological_order()) {
    missing.emplace(unit(id), 0);
    for (const ValueId input : graph.node(id).inputs) {
      if (input == ir::kNoValue || graph.value(input).producer == ir::kNoNode) continue;
      const int from = unit(graph.value(input).producer);
      if (from != unit(id) && readers[from].insert(unit(id)).second) ++missing[unit(id)];
    }
  }
  std::vector<int> ready;
  for (const auto& [name, count] : missing) {
    if (count == 0) ready.push_back(name);
  }
  std::size_t done = 0;
  while (!ready.empty()) {
    const int next = ready.back();
    ready.pop_back();
    ++done;
    for (const int reader : readers[next]) {
      if (--missing[reader] == 0) ready.push_back(reader);
    }
  }
  EXPECT_EQ(done, missing.size());
}

TEST(Place, ABackboneIsOneSubgraph) {
  GraphWriter w;
  const ValueId x = w.input("x", kImage);
  const ValueId a = w.relu("a", w.conv("c1", x));
  const ValueId b = w.conv("c3", w.relu("b", w.conv("c2", a)));
  const ValueId sum = w.add("sum", "Add", {b, a}, kImage);
  w.graph.add_output(w.relu("end", sum));
  const Placement placement = w.place();
  EXPECT_EQ(placement.subgraph_count(), 1);
  for (const auto& [name, id] : w.nodes) {
    EXPECT_EQ(placement.of(id).subgraph, 0) << name;
    EXPECT_EQ(placement.of(id).backend, "onednn");
    EXPECT_EQ(placement.of(id).reason, "");
  }
}

TEST(Place, NoPathLeavesASubgraphAndComesBack) {
  GraphWriter w;
  const ValueId x = w.input("x", kImage);
  const ValueId a = w.conv("c1", x);
  const ValueId b = w.conv("c2", a);
  const ValueId outside = w.add("outside", "CumSum", {a}, kImage);
  const ValueId sum = w.add("sum", "Add", {b, outside}, kImage);
  w.graph.add_output(w.conv("c3", sum));
  const Placement placement = w.place();
  EXPECT_EQ(w.subgraph(placement, "c1"), w.subgraph(placement, "c2"));
  EXPECT_EQ(w.subgraph(placement, "outside"), -1);
  EXPECT_NE(w.subgraph(placement, "c3"), -1);
  EXPECT_NE(w.subgraph(placement, "c3"), w.subgraph(placement, "c1"));
  EXPECT_EQ(w.reason(placement, "outside"), "oneDNN does not take CumSum");
  expect_acyclic(w.graph, placement);
}

TEST(Place, ParallelBranchesThatMeetOutsideAreSubgraphsOfTheirOwn) {
  GraphWriter w;
  const ValueId x = w.input("x", kImage);
  const ValueId start = w.add("start", "CumSum", {x}, kImage);
  const ValueId a = w.relu("a", w.conv("c1", start));
  const ValueId b = w.relu("b", w.conv("c2", start));
  const ValueId meet = w.add("meet", "NonZero", {w.add("pair", "Equal", {a, b}, kImage, ElementType::kBool)}, {4, 9},
                             ElementType::kInt64);
  w.graph.add_output(meet);
  const Placement placement = w.place();
  EXPECT_EQ(placement.subgraph_count(), 2);
  EXPECT_NE(w.subgraph(placement, "c1"), w.subgraph(placement, "c2"));
  EXPECT_EQ(w.subgraph(placement, "c1"), w.subgraph(placement, "a"));
}

TEST(Place, ElementwiseOperatorsComeAlongOnlyWithDenseOnes) {
  GraphWriter w;
  const ValueId x = w.input("x", kImage);
  const ValueId c = w.graph.add_constant("c", Tensor::scalar(2.0F));
  const ValueId normalized = w.add("normalized", "Sub", {x, c}, kImage);
  const ValueId a = w.conv("c1", normalized);
  const ValueId gate = w.add("gate", "Sigmoid", {a}, kImage);
  const ValueId between = w.add("between", "Mul", {a, gate}, kImage);
  const ValueId b = w.conv("c2", between);
  const ValueId follows = w.add("follows", "Exp", {b}, kImage);
  const ValueId decoded = w.add("decoded", "Mul", {follows, w.input("anchors", kImage)}, kImage);
  const ValueId lone = w.add("lone", "Exp", {w.add("more", "Add", {decoded, c}, kImage)}, kImage);
  w.graph.add_output(lone);
  const Placement placement = w.place();
  for (const char* name : {"c1", "gate", "between", "c2", "follows"}) EXPECT_EQ(w.subgraph(placement, name), 0) << name;
  for (const char* name : {"normalized", "decoded", "more", "lone"}) EXPECT_EQ(w.subgraph(placement, name), -1) << name;
  EXPECT_EQ(w.reason(placement, "decoded"), "onednn takes it only behind or between dense operators");
}

TEST(Place, TrimmingKeepsSubgraphsConvex) {
  GraphWriter w;
  const ValueId x = w.input("x", kImage);
  const ValueId a = w.conv("c1", x);
  const ValueId b = w.conv("c2", x);
  const ValueId fed = w.add("fed", "Add", {a, a}, kImage);
  const ValueId middle = w.add("middle", "Mul", {fed, x}, kImage);
  w.graph.add_output(w.add("end", "Add", {middle, b}, kImage));
  const Placement placement = w.place();
  EXPECT_EQ(w.subgraph(placement, "middle"), w.subgraph(placement, "end"));
  expect_acyclic(w.graph, placement);
}

TEST(Place, SmallSubgraphsNeedRealWork) {
  GraphWriter w;
  const ValueId x = w.input("x", {1, 16, 4, 4});
  const ValueId w1 = w.graph.add_constant("w1", Tensor::allocate(ElementType::kFloat32, {4, 16, 1, 1}));
  w.graph.add_output(w.add("small", "Conv", {x, w1}, {1, 4, 4, 4}));
  w.graph.add_output(w.conv("large", w.input("image", kImage)));
  Placement placement = w.place();
  EXPECT_EQ(w.subgraph(placement, "small"), -1);
  EXPECT_EQ(w.reason(placement, "small"), "a subgraph of 1 operator would not pay for its border");
  EXPECT_NE(w.subgraph(placement, "large"), -1);
  placement = w.place({.deny = {}, .min_nodes = 1});
  EXPECT_NE(w.subgraph(placement, "small"), -1);
}

// Its work is that of its inputs, each of which goes to all outputs of a filter.
TEST(Place, TransposedConvolutionsAreDense) {
  GraphWriter w;
  const auto add = [&](const std::string& name, std::int64_t channels, std::int64_t side, bool constant) {
    const ValueId x = w.input(name + "_x", {1, channels, side, side});
    const Shape shape{channels, channels, 2, 2};
    const ValueId weights = constant ? w.graph.add_constant(name + "_w", Tensor::allocate(ElementType::kFloat32, shape))
                                     : w.input(name + "_w", shape);
    w.graph.add_output(w.add(name, "ConvTranspose", {x, weights}, {1, channels, 2 * side, 2 * side}));
  };
  add("small", 8, 12, true);  // 73,728 operations
  add("large", 32, 14, true);
  add("computed", 32, 14, false);
  const Placement placement = w.place();
  EXPECT_EQ(w.subgraph(placement, "small"), -1);
  EXPECT_NE(w.subgraph(placement, "large"), -1);
  EXPECT_EQ(w.reason(placement, "computed"), "the weights are not constant");
}

TEST(Place, DenyKeepsOperatorsAndBackendsAway) {
  GraphWriter w;
  const ValueId x = w.input("x", kImage);
  const ValueId a = w.add("pool", "MaxPool", {w.conv("c1", x)}, kImage);
  w.graph.mutable_node(w.nodes["c1"]).stands_for = {"Conv", "Relu"};
  w.graph.add_output(w.conv("c2", a));
  EXPECT_EQ(w.subgraph(w.place({.deny = {"MaxPool"}}), "pool"), -1);
  EXPECT_EQ(w.reason(w.place({.deny = {"MaxPool"}}), "pool"), "MaxPool is denied");
  EXPECT_EQ(w.reason(w.place({.deny = {"MaxPool@onednn"}}), "pool"), "MaxPool is denied for onednn");
  EXPECT_EQ(w.subgraph(w.place({.deny = {"Relu"}}), "c1"), -1);
  EXPECT_NE(w.subgraph(w.place({.deny = {"Relu"}}), "c2"), -1);
  EXPECT_EQ(w.place({.deny = {"@onednn"}}).subgraph_count(), 0);
  try {
    w.place({.deny = {"Conv@tpu"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason(), "deny.backend");
  }
}

// Rounding up the number of windows matters only where it adds one.
TEST(Place, AveragePoolRoundedUp) {
  for (const std::int64_t side : {32, 33}) {
    GraphWriter w;
    const ValueId x = w.conv("c1", w.input("x", {1, 16, side, side}), 16, side);
    const ValueId pool = w.add("pool", "AveragePool", {x}, {1, 16, (side + 1) / 2, (side + 1) / 2});
    ir::Node& node = w.graph.mutable_node(w.nodes.at("pool"));
    node.attributes.set("kernel_shape", std::vector<std::int64_t>{2, 2});
    node.attributes.set("strides", std::vector<std::int64_t>{2, 2});
    node.attributes.set("ceil_mode", std::int64_t{1});
    node.attributes.set("count_include_pad", std::int64_t{1});
    w.graph.add_output(w.conv("c2", pool, 16, (side + 1) / 2));
    if (side == 32) {
      EXPECT_EQ(w.subgraph(w.place(), "pool"), 0);
    } else {
      EXPECT_EQ(w.reason(w.place(), "pool"), "ceil_mode with count_include_pad divides the last windows differently");
    }
  }
}

TEST(Place, SaysWhyANodeIsNotTaken) {
  GraphWriter w;
  const ValueId x = w.input("x", kImage);
  const ValueId weights = w.input("weights", {16, 16, 3, 3});
  w.graph.add_output(w.add("dynamic", "Conv", {x, weights}, kImage));
  const ValueId ids = w.input("ids", {4, 4}, ElementType::kInt64);
  w.graph.add_output(w.add("integer", "MatMul", {ids, ids}, {4, 4}, ElementType::kInt64));
  w.graph.add_output(w.add("cubic", "Resize", {x}, kImage));
  w.graph.mutable_node(w.nodes["cubic"]).attributes.set("mode", std::string("cubic"));
  const Placement placement = w.place();
  EXPECT_EQ(w.reason(placement, "dynamic"), "the weights are not constant");
  EXPECT_EQ(w.reason(placement, "integer"), "input 0 is int64, not float32");
  EXPECT_EQ(w.reason(placement, "cubic"), "oneDNN resamples otherwise than cubic half_pixel");
}

TEST(Place, FusedMatrixProducts) {
  GraphWriter w;
  const ValueId x = w.input("x", {64, 256});
  const auto constant = [&](const Shape& shape) {
    return w.graph.add_constant("c", Tensor::allocate(ElementType::kFloat32, shape));
  };
  const auto product = [&](const std::string& name, std::vector<ValueId> inputs, const Shape& shape) {
    w.graph.add_output(w.add(name, "FusedMatMul", std::move(inputs), shape));
    w.graph.mutable_node(w.nodes[name]).domain = "lanner";
  };
  // One is worth a subgraph by its size alone, and its size is counted rightly.
  product("all", {x, constant({256, 64}), constant({64}), w.input("r", {64, 64})}, {64, 64});
  product("small", {w.input("y", {2, 256}), constant({256, 64})}, {2, 64});
  product("weights", {x, w.input("w", {256, 64})}, {64, 64});
  product("bias", {x, constant({256, 64}), w.input("b", {64})}, {64, 64});
  product("residual", {x, constant({256, 64}), ir::kNoValue, w.input("i", {64, 64}, ElementType::kInt64)}, {64, 64});
  const Placement placement = w.place();
  EXPECT_EQ(w.subgraph(placement, "all"), 0) << w.reason(placement, "all");
  EXPECT_EQ(w.reason(placement, "small"), "a subgraph of 1 operator would not pay for its border");
  EXPECT_EQ(w.reason(placement, "weights"), "input 1 is not constant");
  EXPECT_EQ(w.reason(placement, "bias"), "the bias is not constant");
  EXPECT_EQ(w.reason(placement, "residual"), "input 3 is int64, not float32");
}

TEST(Place, OpenSpatialSizesAreTaken) {
  GraphWriter w;
  const ValueId x = w.input("x", kImage);
  ValueType type = ValueType::tensor(ElementType::kFloat32, kImage);
  type.dims[0] = type.dims[2] = type.dims[3] = {};
  w.graph.set_type(x, type);
  const ValueId a = w.conv("c1", x);
  w.graph.set_type(a, type);
  w.graph.add_output(a);
  EXPECT_EQ(w.place().subgraph_count(), 1);
}

// Random graphs of accepted and refused operators: the result is always acyclic, and large graphs place quickly.
// What only moves and joins what convolutions make leaves with them; what else is joined does not.
TEST(Place, HeadsLeaveInOrder) {
  GraphWriter w;
  const auto target = w.graph.add_constant("target", Tensor::of<std::int64_t>({3}, {1, 1024, 16}));
  const auto x = w.input("x", kImage);
  const auto head = [&](const std::string& name, ValueId from) {
    const auto turned = w.add(name + "_turned", "Transpose", {w.conv(name, from)}, {1, 32, 32, 16});
    return w.add(name + "_rows", "Reshape", {turned, target}, {1, 1024, 16});
  };
  const auto base = w.conv("base", x);
  const auto a = head("a", base);
  const auto b = head("b", base);
  w.graph.add_output(w.add("joined", "Concat", {a, b}, {1, 2048, 16}));
  const auto other = w.input("other", {1, 1024, 16});
  w.graph.add_output(w.add("mixed", "Concat", {a, other}, {1, 2048, 16}));
  w.graph.add_output(w.add("open", "Reshape", {b, w.input("shape", {3}, ElementType::kInt64)}, {1, 1024, 16}));
  w.graph.add_output(w.add("alone", "Transpose", {other}, {1, 16, 1024}));
  const Placement placement = w.place();
  for (const char* name : {"base", "a_turned", "a_rows", "b_turned", "b_rows", "joined"}) {
    EXPECT_EQ(w.subgraph(placement, name), 0) << name;
  }
  for (const char* name : {"mixed", "open", "alone"}) EXPECT_EQ(w.subgraph(placement, name), -1) << name;
  EXPECT_EQ(w.reason(placement, "open"), "the shape is not constant");
}

TEST(Place, RandomGraphsStayAcyclic) {
  unsigned state = 7;
  const auto next = [&](unsigned bound) {
    state = state * 1664525U + 1013904223U;
    return (state >> 8) % bound;
  };
  for (int round = 0; round < 40; ++round) {
    GraphWriter w;
    const unsigned count = round == 0 ? 4000 : 60;
    std::vector<ValueId> values{w.input("x", kImage)};
    const auto any = [&] { return values[values.size() - 1 - next(std::min<unsigned>(8, values.size()))]; };
    for (unsigned i = 0; i < count; ++i) {
      const std::string name = "n" + std::to_string(i);
      switch (next(6)) {
        case 0:
        case 1:
          values.push_back(w.conv(name, any()));
          break;
        case 2:
          values.push_back(w.relu(name, any()));
          break;
        case 3:
          values.push_back(w.add(name, "CumSum", {any()}, kImage));
          break;
        default:
          values.push_back(w.add(name, "Add", {any(), any()}, kImage));
          break;
      }
    }
    w.graph.add_output(values.back());
    expect_acyclic(w.graph, w.place());
  }
}

}  // namespace
}  // namespace lanner::placement
