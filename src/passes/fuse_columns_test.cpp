#include <bit>

#include "kernels/column_loops.h"
#include "kernels/loops_testing.h"
#include "passes/head_testing.h"
#include "passes/rule_testing.h"

namespace lanner::passes {
namespace {

using namespace testing;
using ::testing::HasSubstr;

// Boxes of centre and size, as exporters write them apart, together and limited. 20 rows.
class Decode : public Builder {
 public:
  explicit Decode(std::string_view type = "float32[1,20,4]") {
    boxes = input("boxes", type);
    rows = node("Squeeze", {boxes, constant(ints({0}))});
    x = column(rows, 0);
    y = column(rows, 1);
    half_width = node("Mul", {node("Exp", {column(rows, 2)}), number(0.5f)});
    half_height = node("Mul", {node("Exp", {column(rows, 3)}), number(0.5f)});
    corners = stack({node("Sub", {x, half_width}), node("Sub", {y, half_height}), node("Add", {x, half_width}),
                     node("Add", {y, half_height})});
  }
  ValueId column(ValueId of, I at) {
    return node("Slice", {of, constant(ints({at})), constant(ints({at + 1})), constant(ints({1}))});
  }
  ValueId stack(std::vector<ValueId> columns) {
    return node("Concat", std::move(columns), attributes({{"axis", I{1}}}));
  }
  ValueId number(float value) { return constant(Tensor::scalar<float>(value)); }
  void infer() { infer_by_running(graph, {numbers({1, 20, 4})}); }

  ValueId boxes, rows, x, y, half_width, half_height, corners;
};

TEST(FuseColumns, DecodesBoxesInOneNode) {
  Decode g;
  g.output(g.corners);
  g.infer();
  const ValueType type = type_of(g.graph, g.corners);
  expect_rewrites(g.graph, kFuseColumns, "ColumnMap", {numbers({1, 20, 4})});
  const Node& fused = find_node(g.graph, "ColumnMap");
  EXPECT_EQ(fused.domain, "lanner");
  EXPECT_EQ(fused.inputs.size(), 1u);
  EXPECT_EQ(type_of(g.graph, fused.outputs[0]), type);
  EXPECT_EQ(fused.attributes.get_strings("layouts"), std::vector<std::string>{"crc"});
  EXPECT_EQ(fused.attributes.get_strings("results"), std::vector<std::string>{"r 4 = t2 t5 t6 t7"});
  // In the order they run.
  EXPECT_EQ(fused.stands_for.size(), 14u);
  EXPECT_EQ(fused.stands_for.front(), "Squeeze");
  EXPECT_EQ(fused.stands_for.back(), "Concat");
}

TEST(FuseColumns, WorksForAnyNumberOfRows) {
  for (const I rows : {0, 1, 3, 300}) {
    Decode g("float32[1,boxes,4]");
    g.output(g.corners);
    g.infer();
    for (const NodeId id : g.graph.topological_order()) {
      const ValueId value = g.graph.node(id).outputs[0];
      ValueType open = type_of(g.graph, value);
      open.dims[0] = {};
      g.graph.set_type(value, open);
    }
    expect_rewrites(g.graph, kFuseColumns, "ColumnMap", {numbers({1, rows, 4})});
  }
}

TEST(FuseColumns, ReadsColumnsBeforeTheRows) {
  // As TensorFlow has it: [4, rows].
  Builder g;
  const ValueId boxes = g.input("boxes", "float32[20,4]");
  const auto parts =
      g.nodes("Split", {g.node("Transpose", {boxes})}, 4, attributes({{"axis", I{0}}, {"num_outputs", I{4}}}));
  std::vector<ValueId> columns;
  for (const ValueId part : parts) {
    const ValueId column = g.node("Squeeze", {part, g.constant(ints({0}))});
    const ValueId scaled = g.node("Mul", {column, g.constant(numbers({20}))});
    columns.push_back(g.node("Unsqueeze", {g.node("Sigmoid", {scaled}), g.constant(ints({0}))}));
  }
  g.output(g.node("Transpose", {g.node("Concat", columns, attributes({{"axis", I{0}}}))}));
  const Inputs inputs{numbers({20, 4})};
  infer_by_running(g.graph, inputs);
  expect_rewrites(g.graph, kFuseColumns, "ColumnMap", inputs);
}

TEST(FuseColumns, ReadsAFewColumnsOfWideRows) {
  // As YOLO has it: [1, 3, rows, rows, 5 + classes].
  Builder g;
  const ValueId map = g.input("map", "float32[1,3,8,8,15]");
  const auto parts = g.nodes("Split", {map, g.constant(ints({2, 2, 11}))}, 3, attributes({{"axis", I{4}}}));
  const ValueId grid = g.constant(numbers({1, 1, 8, 8, 2}));
  const ValueId anchors = g.constant(numbers({1, 3, 1, 1, 2}));
  const ValueId centre = g.node("Mul", {g.node("Add", {g.node("Sigmoid", {parts[0]}), grid}), g.constant(floats({8}))});
  const ValueId squared = g.node("Pow", {g.node("Sigmoid", {parts[1]}), g.constant(floats({2}))});
  const ValueId size = g.node("Mul", {squared, anchors});
  g.output(g.node("Reshape",
                  {g.node("Concat", {centre, size}, attributes({{"axis", I{4}}})), g.constant(ints({1, -1, 4}))}));
  g.output(parts[2]);
  const Inputs inputs{numbers({1, 3, 8, 8, 15})};
  infer_by_running(g.graph, inputs);
  // Rows of three maps one after another are no rows of the last shape; the Split stays for the classes.
  expect_rewrites(g.graph, kFuseColumns, "Split ColumnMap Reshape", inputs);
}

TEST(FuseColumns, KeepsEveryValueThatOthersRead) {
  Decode g;
  g.output(g.corners);
  g.output(g.half_width);
  g.output(g.node("Softplus", {g.half_height}));
  // Not computed: left to the node that moves it.
  g.output(g.x);
  // Another shape of an output.
  g.output(g.node("Unsqueeze", {g.corners, g.constant(ints({0}))}));
  g.infer();
  expect_rewrites(g.graph, kFuseColumns, "Squeeze Slice ColumnMap Softplus Unsqueeze", {numbers({1, 20, 4})});
  EXPECT_EQ(find_node(g.graph, "ColumnMap").outputs.size(), 3u);
}

TEST(FuseColumns, GoesAroundWhatIsBetween) {
  // A node that reads the region and that the region reads cannot be passed.
  Decode g;
  const ValueId between = g.node("Softplus", {g.corners});
  g.output(g.stack({g.node("Mul", {g.column(between, 0), g.column(g.corners, 1)}),
                    g.node("Neg", {g.column(between, 2)}), g.node("Abs", {g.column(between, 3)})}));
  g.infer();
  expect_rewrites(g.graph, kFuseColumns, "ColumnMap Softplus ColumnMap", {numbers({1, 20, 4})});
}

TEST(FuseColumns, TakesOtherRowsApart) {
  // Two levels of a pyramid.
  Builder g;
  std::vector<ValueId> levels;
  for (const I rows : {40, 20}) {
    const ValueId boxes = g.input("boxes", fmt::format("float32[{},4]", rows));
    const auto parts = g.nodes("Split", {boxes}, 2, attributes({{"axis", I{1}}, {"num_outputs", I{2}}}));
    levels.push_back(g.node("Concat", {g.node("Sub", {parts[0], parts[1]}), g.node("Add", {parts[0], parts[1]})},
                            attributes({{"axis", I{1}}})));
  }
  g.output(g.node("Concat", levels, attributes({{"axis", I{0}}})));
  const Inputs inputs{numbers({40, 4}), numbers({20, 4}, 2)};
  infer_by_running(g.graph, inputs);
  expect_rewrites(g.graph, kFuseColumns, "ColumnMap ColumnMap Concat", inputs);
}

TEST(FuseColumns, DeclinesWhereItSavesLittle) {
  Builder g;
  const ValueId boxes = g.input("boxes", "float32[20,4]");
  const ValueId part = g.node("Gather", {boxes, g.constant(ints({1, 3}))}, attributes({{"axis", I{1}}}));
  g.output(g.node("Exp", {g.node("Neg", {part})}));
  infer_by_running(g.graph, {numbers({20, 4})});
  expect_declines(g.graph, kFuseColumns, "it would save 2 operators");
}

TEST(FuseColumns, DeclinesPlainArithmetic) {
  // Nothing takes columns apart or puts them together.
  Builder g;
  const ValueId x = g.input("x", "float32[1,4,8,8]");
  const ValueId y = g.node("Mul", {g.node("Sigmoid", {x}), x});
  const ValueId z = g.node("Reshape", {g.node("Exp", {g.node("Add", {y, x})}), g.constant(ints({4, 64}))});
  g.output(g.node("Neg", {z}));
  infer_by_running(g.graph, {numbers({1, 4, 8, 8})});
  expect_declines(g.graph, kFuseColumns);
}

TEST(FuseColumns, DeclinesMovesAlone) {
  Builder g;
  const ValueId x = g.input("x", "float32[20,4]");
  const auto parts = g.nodes("Split", {x}, 4, attributes({{"axis", I{1}}, {"num_outputs", I{4}}}));
  const ValueId turned = g.node("Concat", {parts[3], parts[1], parts[0], parts[2]}, attributes({{"axis", I{1}}}));
  g.output(g.node("Transpose", {g.node("Gather", {turned, g.constant(ints({2, 3}))}, attributes({{"axis", I{1}}}))}));
  infer_by_running(g.graph, {numbers({20, 4})});
  expect_declines(g.graph, kFuseColumns);
}

TEST(FuseColumns, LeavesToAConvolutionWhatFollowsIt) {
  const auto build = [](Builder& g, bool behind) {
    const ValueId x = g.input("x", "float32[1,2,32,32]");
    ValueId map = behind ? g.node("Conv", {x, g.constant(numbers({2, 2, 1, 1}))}) : x;
    for (int i = 0; i < 4; ++i) map = g.node("Mul", {g.node("Sigmoid", {map}), map});
    g.output(g.node("Concat", {map, map}, attributes({{"axis", I{1}}})));
    infer_by_running(g.graph, {numbers({1, 2, 32, 32})});
  };
  Builder behind;
  build(behind, true);
  expect_declines(behind.graph, kFuseColumns);
  Builder alone;
  build(alone, false);
  expect_rewrites(alone.graph, kFuseColumns, "ColumnMap", {numbers({1, 2, 32, 32})});
}

TEST(FuseColumns, DeclinesManyColumns) {
  Builder g;
  const ValueId x = g.input("x", "float32[200,6]");
  std::vector<ValueId> parts;
  for (int i = 0; i < 3; ++i) parts.push_back(g.node("Exp", {g.node("Neg", {x})}));
  g.output(g.node("Concat", parts, attributes({{"axis", I{1}}})));
  infer_by_running(g.graph, {numbers({200, 6})});
  expect_declines(g.graph, kFuseColumns, "a value has 18 columns, more than 16");
}

TEST(FuseColumns, DeclinesFewRowsOfKnownNumber) {
  // Which of both axes are columns?
  Builder g;
  const ValueId x = g.input("x", "float32[16,4]");
  const auto parts = g.nodes("Split", {x}, 2, attributes({{"axis", I{1}}, {"num_outputs", I{2}}}));
  g.output(g.node("Concat", {g.node("Sub", {parts[0], parts[1]}), g.node("Add", {parts[0], parts[1]})},
                  attributes({{"axis", I{1}}})));
  infer_by_running(g.graph, {numbers({16, 4})});
  expect_declines(g.graph, kFuseColumns);
}

TEST(FuseColumns, DeclinesOtherTypes) {
  Builder g;
  const ValueId x = g.input("x", "float64[20,4]");
  const auto parts = g.nodes("Split", {x}, 2, attributes({{"axis", I{1}}, {"num_outputs", I{2}}}));
  g.output(g.node("Concat", {g.node("Sub", {parts[0], parts[1]}), g.node("Add", {parts[0], parts[1]})},
                  attributes({{"axis", I{1}}})));
  infer_by_running(g.graph, {numbers<double>({20, 4})});
  expect_declines(g.graph, kFuseColumns);
}

TEST(FuseColumns, DeclinesRowsThatMayNotMatch) {
  // Where `a` is not `b`, one of them is 1 and its row serves all.
  const auto build = [](Builder& g, std::string_view other) {
    const ValueId x = g.input("x", "float32[a,4]");
    const ValueId y = g.input("y", fmt::format("float32[{},4]", other));
    const auto columns = attributes({{"axis", I{1}}});
    const std::string rows = "float32[?,4]";
    const ValueId part = g.node("Gather", {x, g.constant(ints({3, 2, 1, 0}))}, columns, rows);
    const ValueId sum = g.node("Add", {g.node("Exp", {g.node("Neg", {part}, {}, rows)}, {}, rows), y}, {}, rows);
    g.output(g.node("Abs", {sum}, {}, rows));
  };
  Builder same;
  build(same, "a");
  expect_rewrites(same.graph, kFuseColumns, "ColumnMap", {numbers({3, 4}), numbers({3, 4}, 2)});
  Builder other;
  build(other, "b");
  expect_declines(other.graph, kFuseColumns, "it would save 2 operators");
}

TEST(FuseColumns, DeclinesLimitsThatAreNoConstants) {
  Decode g;
  const ValueId limit = g.input("limit", "float32[]");
  const ValueId clipped = g.node("Clip", {g.corners, kNoValue, limit});
  g.output(clipped);
  infer_by_running(g.graph, {numbers({1, 20, 4}), Tensor::scalar<float>(0.5f)});
  expect_rewrites(g.graph, kFuseColumns, "ColumnMap Clip", {numbers({1, 20, 4}), Tensor::scalar<float>(0.5f)});
}

TEST(FuseColumns, TakesANumberThatIsKnownLater) {
  Decode g;
  const ValueId limit = g.input("limit", "float32[]");
  g.output(g.node("Min", {g.corners, limit, g.number(2)}));
  const Inputs inputs{numbers({1, 20, 4}), Tensor::scalar<float>(0.5f)};
  infer_by_running(g.graph, inputs);
  expect_rewrites(g.graph, kFuseColumns, "ColumnMap", inputs);
}

// Graphs of columns drawn from a seed, with other nodes among them.
class RandomColumns : public Builder {
 public:
  explicit RandomColumns(unsigned seed, I static_rows)
      : draw(seed), open(static_rows == 0), build_rows(open ? 20 : static_rows) {
    const std::string rows = open ? "rows" : std::to_string(static_rows);
    for (int i = 0; i < 3; ++i) {
      constexpr std::string_view kShapes[] = {"1,{},4", "{},4", "4,{}", "{},2", "{}", "1,{},1", "2,{},3"};
      const std::string_view text = kShapes[static_cast<std::size_t>(draw.of(7))];
      std::string dims(text);
      dims.replace(dims.find("{}"), 2, rows);
      const auto before = std::ranges::count(std::string_view(text).substr(0, text.find('{')), ',');
      input(fmt::format("x{}", i), "float32[" + dims + "]");
      I counted[3];
      int rank = 0;
      for (const tensor::Dim& dim : type_of(graph, graph.inputs().back()).dims)
        counted[rank++] = dim.known() ? dim.size : -1;
      if (!open) counted[before] = -1;
      add(graph.inputs().back(), {std::vector<I>(counted, counted + rank), static_cast<int>(before)});
    }
    const int steps = 5 + draw.of(30);
    for (int i = 0; i < steps; ++i) grow();
    for (int i = draw.of(4); i >= 0; --i)
      output(values[static_cast<std::size_t>(draw.of(static_cast<int>(values.size())))].first);
    output(values.back().first);
    infer();
  }

  std::vector<Value> inputs(I rows, unsigned seed) const {
    Draw from(seed);
    std::vector<Value> result;
    for (const ValueId id : graph.inputs()) {
      std::vector<I> dims;
      for (const tensor::Dim& dim : type_of(graph, id).dims) dims.push_back(dim.known() ? dim.size : rows);
      Tensor tensor = Tensor::allocate(ElementType::kFloat32, Shape(std::span<const I>(dims)));
      for (float& value : tensor.values<float>()) {
        constexpr float kOdd[] = {NAN, INFINITY, -INFINITY, -0.0f, 1e-40f, 3e38f};
        value = from.of(15) == 0 ? kOdd[from.of(6)] : 8 * from.unit() - 4;
      }
      result.emplace_back(std::move(tensor));
    }
    return result;
  }

  Draw draw;
  bool open;
  I build_rows;

 private:
  struct Form {
    std::vector<I> dims;  // -1: rows
    int row;

    I columns() const {
      I count = 1;
      for (const I dim : dims) count *= dim < 0 ? 1 : dim;
      return count;
    }
    int rank() const { return static_cast<int>(dims.size()); }
  };

  void add(ValueId value, Form form) { values.emplace_back(value, std::move(form)); }

  int column_axis(const Form& form) {
    std::vector<int> axes;
    for (int i = 0; i < form.rank(); ++i) {
      if (i != form.row) axes.push_back(i);
    }
    return axes.empty() ? -1 : axes[static_cast<std::size_t>(draw.of(static_cast<int>(axes.size())))];
  }

  Tensor some(const Form& form, bool with_rows) {
    std::vector<I> dims;
    for (const I dim : form.dims) dims.push_back(dim < 0 ? (with_rows ? build_rows : 1) : draw.coin() ? dim : 1);
    return numbers(Shape(std::span<const I>(dims)), static_cast<unsigned>(draw.of(1000)));
  }

  void grow() {
    const auto [value, form] = values[static_cast<std::size_t>(draw.of(static_cast<int>(values.size())))];
    const int axis = column_axis(form);
    Form result = form;
    switch (draw.of(12)) {
      case 0: {
        if (axis < 0) return;
        const I size = form.dims[static_cast<std::size_t>(axis)];
        const I start = draw.of(static_cast<int>(size));
        const bool back = draw.of(4) == 0;
        result.dims[static_cast<std::size_t>(axis)] = back ? start + 1 : size - start;
        return add(node("Slice", {value, constant(ints({start})), constant(ints({back ? -100 : 100})),
                                  constant(ints({axis})), constant(ints({back ? -1 : 1}))}),
                   result);
      }
      case 1: {
        if (axis < 0) return;
        const I size = form.dims[static_cast<std::size_t>(axis)];
        const auto parts =
            nodes("Split", {value}, static_cast<int>(size), attributes({{"axis", I{axis}}, {"num_outputs", size}}));
        result.dims[static_cast<std::size_t>(axis)] = 1;
        for (const ValueId part : parts) add(part, result);
        return;
      }
      case 2: {
        if (axis < 0) return;
        const I size = form.dims[static_cast<std::size_t>(axis)];
        const I at = draw.of(static_cast<int>(2 * size)) - size;
        if (draw.coin()) {
          result.dims.erase(result.dims.begin() + axis);
          result.row -= axis < form.row ? 1 : 0;
          return add(node("Gather", {value, constant(Tensor::scalar<I>(at))}, attributes({{"axis", I{axis}}})), result);
        }
        result.dims[static_cast<std::size_t>(axis)] = 2;
        return add(node("Gather", {value, constant(ints({at, 0}))}, attributes({{"axis", I{axis}}})), result);
      }
      case 3: {
        if (form.rank() > 4) return;
        const int at = draw.of(form.rank() + 1);
        result.dims.insert(result.dims.begin() + at, 1);
        result.row += at <= form.row ? 1 : 0;
        return add(node("Unsqueeze", {value, constant(ints({at}))}), result);
      }
      case 4: {
        if (axis < 0 || form.dims[static_cast<std::size_t>(axis)] != 1) return;
        result.dims.erase(result.dims.begin() + axis);
        result.row -= axis < form.row ? 1 : 0;
        return add(node("Squeeze", {value, constant(ints({axis}))}), result);
      }
      case 5: {
        if (form.row != 0) return;
        result.dims = {-1, form.columns()};
        return add(draw.coin() ? node("Flatten", {value}, attributes({{"axis", I{1}}}))
                               : node("Reshape", {value, constant(ints({-1, form.columns()}))}),
                   result);
      }
      case 6: {
        std::vector<I> perm(form.dims.size());
        std::iota(perm.begin(), perm.end(), 0);
        std::shuffle(perm.begin(), perm.end(), draw.engine());
        for (std::size_t i = 0; i < perm.size(); ++i) {
          result.dims[i] = form.dims[static_cast<std::size_t>(perm[i])];
          if (perm[i] == form.row) result.row = static_cast<int>(i);
        }
        return add(node("Transpose", {value}, attributes({{"perm", perm}})), result);
      }
      case 7: {
        if (axis < 0 || form.columns() > 12) return;
        std::vector<ValueId> parts{value};
        for (const auto& [other, shape] : values) {
          if (shape.row != form.row || shape.rank() != form.rank() || draw.coin()) continue;
          bool fits = parts.size() < 4;
          for (int i = 0; i < form.rank(); ++i) {
            fits = fits &&
                   (i == axis || shape.dims[static_cast<std::size_t>(i)] == form.dims[static_cast<std::size_t>(i)]);
          }
          if (!fits) continue;
          result.dims[static_cast<std::size_t>(axis)] += shape.dims[static_cast<std::size_t>(axis)];
          parts.push_back(other);
        }
        return add(node("Concat", parts, attributes({{"axis", I{axis - (draw.coin() ? form.rank() : 0)}}})), result);
      }
      case 8: {
        constexpr std::string_view kUnary[] = {"Abs",  "Exp",  "Neg",      "Reciprocal", "Sigmoid",
                                               "Sqrt", "Relu", "Identity", "Softplus"};
        return add(node(kUnary[draw.of(9)], {value}), result);
      }
      case 9: {
        if (draw.of(3) == 0) {
          return add(node("Pow", {value, constant(Tensor::scalar<float>(static_cast<float>(1 + draw.of(3))))}), result);
        }
        const ValueId low = draw.coin() ? constant(Tensor::scalar<float>(-1)) : kNoValue;
        const ValueId high = draw.coin() ? constant(Tensor::scalar<float>(0)) : kNoValue;
        return add(node("Clip", {value, low, high}), result);
      }
      case 10: {
        const ValueId other =
            constant(draw.coin() ? some(form, !open && draw.coin()) : Tensor::scalar<float>(draw.unit()));
        return add(binary(value, other), result);
      }
      default:
        for (const auto& [other, shape] : values) {
          if (shape.row != form.row || shape.rank() != form.rank() || draw.of(3) == 0) continue;
          bool fits = true;
          for (std::size_t i = 0; i < form.dims.size(); ++i) {
            fits = fits && (shape.dims[i] == form.dims[i] || shape.dims[i] == 1 || form.dims[i] == 1);
            result.dims[i] = form.dims[i] < 0 ? -1 : std::max(shape.dims[i], form.dims[i]);
          }
          if (fits && result.columns() <= 24) return add(binary(value, other), result);
          result = form;
        }
    }
  }

  ValueId binary(ValueId a, ValueId b) {
    constexpr std::string_view kBinary[] = {"Add", "Sub", "Mul", "Div", "Min", "Max", "Sum"};
    if (draw.coin()) std::swap(a, b);
    return node(kBinary[draw.of(7)], {a, b});
  }

  // Gives values their types; the number of rows stays open where it is no constant.
  void infer() {
    std::map<ValueId, Value> some;
    std::map<ValueId, Value> more;
    run_graph(graph, inputs(build_rows, 1), &some);
    run_graph(graph, inputs(open ? build_rows + 3 : build_rows, 2), &more);
    for (const auto& [id, value] : some) {
      if (graph.value(id).type.kind != ValueType::Kind::kUnknown) continue;
      ValueType found = ValueType::of(value.tensor());
      const Shape& other = more.at(id).tensor().shape();
      for (int i = 0; i < other.rank(); ++i) {
        if (other[i] != found.dims[static_cast<std::size_t>(i)].size) found.dims[static_cast<std::size_t>(i)] = {};
      }
      graph.set_type(id, found);
    }
  }

  std::vector<std::pair<ValueId, Form>> values;
};

void expect_same_numbers(const Value& a, const Value& b) {
  ASSERT_EQ(a.tensor().type_string(), b.tensor().type_string());
  for (std::size_t i = 0; i < a.tensor().values<float>().size(); ++i) {
    const float x = a.tensor().values<float>()[i];
    const float y = b.tensor().values<float>()[i];
    if (std::isnan(x) && std::isnan(y)) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(x), std::bit_cast<std::uint32_t>(y))
        << "element " << i << ": " << x << ", " << y;
  }
}

TEST(FuseColumns, ComputesWhatTheGraphDid) {
  int fired = 0;
  for (unsigned seed = 1; seed <= 1000; ++seed) {
    const bool open = seed % 2 == 0;
    RandomColumns g(seed, open ? 0 : 17 + static_cast<I>(seed % 90));
    const Graph before = g.graph;
    const RuleReport report = apply(g.graph, kFuseColumns);
    fired += report.firings.empty() ? 0 : 1;
    if (report.firings.empty()) continue;
    const std::vector<I> rows = open ? std::vector<I>{0, 1, 2, 16, 257, 1000} : std::vector<I>{g.build_rows};
    for (const I count : rows) {
      const std::vector<Value> inputs = g.inputs(count, seed + 5);
      const std::vector<Value> expected = run_graph(before, inputs);
      kernels::testing::for_each_instruction_set(kernels::column_loops_of_cpu(), [&] {
        const std::vector<Value> actual = run_graph(g.graph, inputs);
        ASSERT_EQ(actual.size(), expected.size());
        for (std::size_t i = 0; i < actual.size(); ++i) expect_same_numbers(expected[i], actual[i]);
      });
      ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << ", " << count << " rows\n"
                                                  << before.to_text() << g.graph.to_text();
    }
  }
  EXPECT_GT(fired, 500);
}

}  // namespace
}  // namespace lanner::passes
