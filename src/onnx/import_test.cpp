#include "onnx/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/defs/parser.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "lanner/error.h"
#include "onnx/infer.h"
#include "onnx/proto.h"

namespace lanner::onnx {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

pb::ModelProto parse_text(const std::string& text) {
  pb::ModelProto model;
  const auto status = pb::OnnxParser::Parse(model, text);
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage();
  return model;
}

ir::Graph import_bytes(const std::string& bytes, const HasKernel& has_kernel = {}) {
  return import_model(std::as_bytes(std::span(bytes)), has_kernel);
}

ir::Graph import_proto(const pb::ModelProto& model, const HasKernel& has_kernel = {}) {
  return import_bytes(model.SerializeAsString(), has_kernel);
}

ir::Graph import_text(const std::string& text, const HasKernel& has_kernel = {}) {
  return import_proto(parse_text(text), has_kernel);
}

template <typename Function>
Error error_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorCode::kInternal, "", "");
}

std::vector<std::string> operators(const ir::Graph& graph) {
  std::vector<std::string> names;
  for (const ir::NodeId id : graph.topological_order()) names.push_back(graph.node(id).op);
  return names;
}

const ir::Node& only(const ir::Graph& graph, std::string_view op) {
  for (const ir::NodeId id : graph.topological_order()) {
    if (graph.node(id).op == op) return graph.node(id);
  }
  throw std::runtime_error("no " + std::string(op));
}

std::string type_of_output(const ir::Graph& graph, std::size_t index = 0) {
  return graph.value(graph.outputs()[index]).type.to_string();
}

constexpr const char* kSmall = R"(
<ir_version: 8, opset_import: ["" : 13]>
agraph (float[batch, 3, 8, 8] x) => (float[batch, 4, 8, 8] y)
<float[4, 3, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}>
{
  c = Conv <kernel_shape = [1, 1]> (x, w)
  y = Relu(c)
}
)";

// The declared shape of the first input.
pb::TensorShapeProto& input_shape(pb::ModelProto& model) {
  return *model.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
}

// A folder that goes away with the test.
class Folder : public ::testing::Test {
 protected:
  Folder() : path_(std::filesystem::temp_directory_path() / ("onnx_import_test_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_ / "model");
  }
  ~Folder() override { std::filesystem::remove_all(path_); }

  std::filesystem::path write(const std::filesystem::path& name, const std::string& bytes) {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }

  std::filesystem::path path_;
};

TEST(Import, SmallModel) {
  const ir::Graph graph = import_text(kSmall);
  EXPECT_THAT(operators(graph), ElementsAre("Conv", "Relu"));
  EXPECT_EQ(graph.value(graph.inputs()[0]).type.to_string(), "float32[batch,3,8,8]");
  EXPECT_EQ(type_of_output(graph), "float32[batch,4,8,8]");
  const ir::Node& conv = only(graph, "Conv");
  EXPECT_EQ(graph.value(conv.outputs[0]).type.to_string(), "float32[batch,4,8,8]");
  EXPECT_EQ(graph.value(conv.inputs[1]).constant.data<float>()[11], 12.0f);
  EXPECT_THAT(conv.attributes.get_ints("kernel_shape"), ElementsAre(1, 1));
}

TEST(Import, PropertiesAndDefaultDomainUnderItsLongName) {
  pb::ModelProto model = parse_text(kSmall);
  model.mutable_opset_import(0)->set_domain("ai.onnx");
  model.mutable_graph()->mutable_node(0)->set_domain("ai.onnx");
  pb::StringStringEntryProto* entry = model.add_metadata_props();
  entry->set_key("lanner.detect.boxes");
  entry->set_value("y");
  const ir::Graph graph = import_proto(model);
  EXPECT_EQ(only(graph, "Conv").domain, "");
  EXPECT_THAT(graph.properties, ElementsAre(std::pair<std::string, std::string>("lanner.detect.boxes", "y")));
}

TEST(Import, UpgradesOldOpsets) {
  // Opset 7: no Clip inputs, Upsample with an attribute; opset 11: Squeeze with an attribute.
  const ir::Graph seven = import_text(R"(
    <ir_version: 3, opset_import: ["" : 7]>
    agraph (float[1, 2, 4, 4] x) => (float[1, 2, 8, 8] y)
    { c = Clip <min = 0.0, max = 6.0> (x)  y = Upsample <mode = "nearest", scales = [1.0, 1.0, 2.0, 2.0]> (c) })");
  EXPECT_EQ(only(seven, "Clip").inputs.size(), 3u);
  EXPECT_EQ(seven.value(only(seven, "Clip").inputs[2]).constant.data<float>()[0], 6.0f);
  EXPECT_EQ(type_of_output(seven), "float32[1,2,8,8]");
  static_cast<void>(only(seven, "Resize"));
  const ir::Graph eleven = import_text(R"(
    <ir_version: 6, opset_import: ["" : 11]>
    agraph (float[1, 4, 1] x) => (float[4] y) { y = Squeeze <axes = [0, 2]> (x) })");
  const ir::Node& squeeze = only(eleven, "Squeeze");
  ASSERT_EQ(squeeze.inputs.size(), 2u);
  EXPECT_THAT(eleven.value(squeeze.inputs[1]).constant.values<std::int64_t>(), ElementsAre(0, 2));
  EXPECT_EQ(type_of_output(eleven), "float32[4]");
}

TEST(Import, LargeConstantsKeepTheirValues) {
  pb::ModelProto model = parse_text(R"(
    <ir_version: 8, opset_import: ["" : 9]>
    agraph (float[1, 1000] x) => (float[1, 1000] y) { k = Constant <value_float = 1.0> ()  z = Add(x, w)  y = Add(z, v) })");
  pb::NodeProto* constant = model.mutable_graph()->mutable_node(0);
  constant->set_output(0, "v");
  pb::AttributeProto* attribute = constant->mutable_attribute(0);
  attribute->Clear();
  attribute->set_name("value");
  attribute->set_type(pb::AttributeProto::TENSOR);
  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  set_tensor(*attribute->mutable_t(), Tensor::of<float>({1000}, values), true);
  pb::TensorProto* weight = model.mutable_graph()->add_initializer();
  weight->set_name("w");
  weight->set_data_type(pb::TensorProto::FLOAT);
  weight->add_dims(1000);
  weight->mutable_float_data()->Assign(values.begin(), values.end());
  const ir::Graph graph = import_proto(model);
  for (const ir::NodeId id : graph.topological_order()) {
    EXPECT_EQ(graph.value(graph.node(id).inputs[1]).constant.data<float>()[999], 999.0f);
  }
  EXPECT_THAT(operators(graph), ElementsAre("Add", "Add"));
}

TEST(Import, InitializersThatAreInputs) {
  const std::string body = R"(opset_import: ["" : 13]>
    agraph (float[2] x, float[2] w) => (float[2] y) <float[2] w = {3, 4}> { y = Add(x, w) })";
  const ir::Graph graph = import_text("<ir_version: 8, " + body);
  ASSERT_EQ(graph.inputs().size(), 2u);
  ASSERT_EQ(graph.input_defaults.size(), 1u);
  EXPECT_EQ(graph.input_defaults[0].first, graph.inputs()[1]);
  EXPECT_THAT(graph.input_defaults[0].second.values<float>(), ElementsAre(3, 4));
  EXPECT_EQ(ir::Graph(graph).input_defaults.size(), 1u);
  // There every initializer had to be listed.
  const ir::Graph old = import_text("<ir_version: 3, " + body);
  EXPECT_EQ(old.inputs().size(), 1u);
  EXPECT_TRUE(old.value(only(old, "Add").inputs[1]).is_constant());
}

TEST(Import, AbsentInputsAndOutputs) {
  const ir::Graph graph = import_text(R"(
    <ir_version: 10, opset_import: ["" : 19]>
    agraph (float[5, 1, 3] x, float[1, 6, 3] w, float[1, 6, 2] r, float m) => (float[5, 1, 3] y, float[d, 1, 2] h)
    { y = Clip(x, "", m)  "", h = GRU <hidden_size = 2> (y, w, r) })");
  EXPECT_EQ(only(graph, "Clip").inputs, (std::vector<ir::ValueId>{graph.inputs()[0], ir::kNoValue, graph.inputs()[3]}));
  EXPECT_EQ(only(graph, "GRU").outputs.at(0), ir::kNoValue);
  EXPECT_EQ(only(graph, "GRU").outputs.at(1), graph.outputs()[1]);
  EXPECT_EQ(type_of_output(graph, 1), "float32[1,1,2]");
}

TEST(Import, ConstantNodesOfEveryKind) {
  const ir::Graph graph = import_text(R"(
    <ir_version: 8, opset_import: ["" : 13]>
    agraph () => (int64 a, int64[2] b, float c, float[2] d, string e, string[2] f, int32[2] g)
    {
      a = Constant <value_int = 7> ()
      b = Constant <value_ints = [1, 2]> ()
      c = Constant <value_float = 0.5> ()
      d = Constant <value_floats = [0.5, 1.5]> ()
      e = Constant <value_string = "one"> ()
      f = Constant <value_strings = ["one", "two"]> ()
      g = Constant <value = int32[2] {8, 9}> ()
    })");
  const auto constant = [&](std::size_t i) { return graph.value(graph.outputs()[i]).constant; };
  EXPECT_EQ(*constant(0).data<std::int64_t>(), 7);
  EXPECT_EQ(constant(0).rank(), 0);
  EXPECT_THAT(constant(1).values<std::int64_t>(), ElementsAre(1, 2));
  EXPECT_EQ(*constant(2).data<float>(), 0.5f);
  EXPECT_THAT(constant(3).values<float>(), ElementsAre(0.5f, 1.5f));
  EXPECT_EQ(*constant(4).data<std::string>(), "one");
  EXPECT_THAT(constant(5).values<std::string>(), ElementsAre("one", "two"));
  EXPECT_THAT(constant(6).values<std::int32_t>(), ElementsAre(8, 9));
  EXPECT_EQ(graph.node_count(), 0u);
}

TEST(Import, InlinesFunctionsOfFunctions) {
  const ir::Graph graph = import_text(R"(
    <ir_version: 9, opset_import: ["" : 17, "local" : 1]>
    agraph (float[N] x) => (float[N] y) { y = local.twice <by = 3.0> (x) }
    <domain: "local", opset_import: ["" : 17, "local" : 1]>
    twice <by> (a) => (c) { b = local.scale <by : float = @by> (a)  c = local.scale <by : float = @by> (b) }
    <domain: "local", opset_import: ["" : 17]>
    scale <by> (a) => (b) { k = Constant <value_float : float = @by> ()  b = Mul(a, k) }
  )");
  EXPECT_THAT(operators(graph), ElementsAre("Mul", "Mul"));
  EXPECT_EQ(type_of_output(graph), "float32[N]");
  EXPECT_EQ(*graph.value(only(graph, "Mul").inputs[1]).constant.data<float>(), 3.0f);
}

TEST(Import, RefusesFunctionsWithoutEnd) {
  const Error recursive = error_of([] {
    import_text(R"(
      <ir_version: 9, opset_import: ["" : 17, "local" : 1]>
      agraph (float[N] x) => (float[N] y) { y = local.f(x) }
      <domain: "local", opset_import: ["" : 17, "local" : 1]> f (a) => (b) { b = local.f(a) })");
  });
  EXPECT_EQ(recursive.reason(), "model.invalid");
  std::string bomb = R"(<ir_version: 9, opset_import: ["" : 17, "local" : 1]>
      agraph (float[N] x) => (float[N] y) { y = local.f40(x) })";
  for (int i = 1; i <= 40; ++i) {
    const std::string callee = i == 1 ? "Neg" : "local.f" + std::to_string(i - 1);
    bomb += "<domain: \"local\", opset_import: [\"\" : 17, \"local\" : 1]> f" + std::to_string(i) +
            " (a) => (c) { b = " + callee + "(a)  c = " + callee + "(b) }\n";
  }
  EXPECT_THAT(error_of([&] { import_text(bomb); }).message(), HasSubstr("more than"));
}

TEST(Import, ClosesNestedGraphs) {
  // The If inside the Loop reads x from two levels up, `twice` from one, and `cond` from two.
  const ir::Graph graph = import_text(R"(
    <ir_version: 8, opset_import: ["" : 16]>
    agraph (float[2] x, int64 n, bool cond) => (float[2] y)
    {
      twice = Add(x, x)
      y = Loop <body = body (int64 i, bool c, float[2] state) => (bool c_out, float[2] next) {
        inner = Mul(state, twice)
        next = If <then_branch = t () => (float[2] r) { r = Add(inner, x) },
                   else_branch = e () => (float[2] r2) { r2 = Sub(inner, twice) }> (cond)
        c_out = Identity(c)
      }> (n, cond, x)
    })");
  const ir::Node& loop = only(graph, "Loop");
  EXPECT_EQ(loop.capture_count, 3);
  ASSERT_EQ(loop.inputs.size(), 6u);
  const ir::Graph& body = *loop.graphs.at(0).second;
  EXPECT_EQ(loop.graphs[0].first, "body");
  ASSERT_EQ(body.inputs().size(), 6u);
  EXPECT_EQ(body.value(body.inputs()[3]).name, "twice");
  const ir::Node& branch = only(body, "If");
  EXPECT_EQ(branch.capture_count, 3);  // inner, x, twice
  ASSERT_EQ(branch.inputs.size(), 4u);
  for (const auto& [name, nested] : branch.graphs) {
    ASSERT_EQ(nested->inputs().size(), 3u) << name;
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(nested->value(nested->inputs()[i]).name, body.value(branch.inputs[1 + i]).name);
      EXPECT_EQ(nested->value(nested->inputs()[i]).type.to_string(), "float32[2]");
    }
  }
  graph.check();
}

TEST(Import, ScansOfOpset8GoOverTheBatchFirst) {
  // Squeeze had its axes as an attribute then: the body is upgraded, too.
  constexpr const char* kScan = R"(
    <ir_version: 3, opset_import: ["" : 8]>
    agraph (float[2, 1, 4] start, float[2, 3, 4] x, INT64 lengths) => (float[2, 1, 4] last, float[2, 3, 4] all)
    {
      last, all = Scan <num_scan_inputs = 1, directions = [1], body =
        body (float[1, 4] state, float[4] item) => (float[1, 4] next, float[4] row) {
          next = Add(state, item)
          row = Squeeze <axes = [0]> (next)
        }> (LENGTHS, start, x)
    })";
  const auto text = [&](const std::string& lengths) {
    std::string result = kScan;
    result.replace(result.find("INT64"), 5, "int64[2]");
    return result.replace(result.find("LENGTHS"), 7, lengths);
  };
  const ir::Graph graph = import_text(text("\"\""));
  EXPECT_EQ(type_of_output(graph, 0), "float32[2,1,4]");
  EXPECT_EQ(type_of_output(graph, 1), "float32[2,3,4]");
  const ir::Node& outer = only(graph, "Scan");
  EXPECT_EQ(outer.attributes.require_int("num_scan_inputs"), 2);
  const ir::Graph& batch = *outer.graphs.at(0).second;
  EXPECT_EQ(batch.value(batch.inputs()[1]).type.to_string(), "float32[3,4]");
  const ir::Node& inner = only(batch, "Scan");
  EXPECT_EQ(inner.attributes.require_int("num_scan_inputs"), 1);
  EXPECT_THAT(inner.attributes.get_ints("scan_input_directions"), ElementsAre(1));
  EXPECT_FALSE(inner.attributes.has("lanner.scan"));
  EXPECT_EQ(only(*inner.graphs.at(0).second, "Squeeze").inputs.size(), 2u);
  EXPECT_EQ(error_of([&] { import_text(text("lengths")); }).reason(), "model.unsupported");
}

TEST(Import, ShadowedNamesAndConstantsInNestedGraphs) {
  // The body's own input is called x like the outer value; the small constant is copied, the large one passed in.
  pb::ModelProto model = parse_text(R"(
    <ir_version: 8, opset_import: ["" : 16]>
    agraph (float[2] x, int64 n, bool cond) => (float[2] y, float[2] z)
    <float[2] small = {1, 2}>
    {
      y = Loop <body = body (int64 i, bool c, float[2] x) => (bool c_out, float[2] next) {
        a = Add(x, small)
        b = Gather(large, i)
        next = Add(a, b)
        c_out = Identity(c)
      }> (n, cond, x)
      z = Neg(x)
    })");
  pb::TensorProto* large = model.mutable_graph()->add_initializer();
  large->set_name("large");
  set_tensor(*large, Tensor::of<float>({500, 2}, std::vector<float>(1000, 5.0f)), true);
  const ir::Graph graph = import_proto(model);
  const ir::Node& loop = only(graph, "Loop");
  EXPECT_EQ(loop.capture_count, 1);
  EXPECT_TRUE(graph.value(loop.inputs[3]).is_constant());
  const ir::Graph& body = *loop.graphs[0].second;
  ASSERT_EQ(body.inputs().size(), 4u);
  const ir::Node& add = only(body, "Add");
  EXPECT_EQ(add.inputs[0], body.inputs()[2]);
  EXPECT_TRUE(body.value(add.inputs[1]).is_constant());
  EXPECT_EQ(only(body, "Gather").inputs[0], body.inputs()[3]);
}

TEST(Import, ExpandsFunctionsOnlyWhereThereIsNoKernel) {
  const std::string text = R"(
    <ir_version: 8, opset_import: ["" : 17]>
    agraph (float[2, 3] x, float[3] scale, float[3] bias, bool cond) => (float[2, 3] y, float[2, 3] z)
    {
      y = LayerNormalization <axis = -1> (x, scale, bias)
      z = If <then_branch = t () => (float[2, 3] r) { r = HardSwish(x) },
              else_branch = e () => (float[2, 3] q) { q = Elu <alpha = 2.0> (x) }> (cond)
    })";
  EXPECT_THAT(operators(import_text(text, [](std::string_view) { return true; })),
              ElementsAre("LayerNormalization", "If"));
  const ir::Graph graph = import_text(
      text, [](std::string_view op) { return op != "LayerNormalization" && op != "HardSwish" && op != "Elu"; });
  EXPECT_THAT(operators(graph), ::testing::Not(::testing::Contains("LayerNormalization")));
  EXPECT_THAT(operators(graph), ::testing::Contains("Sqrt"));
  for (const auto& [name, nested] : only(graph, "If").graphs) {
    EXPECT_THAT(operators(*nested), AnyOf(::testing::Contains("HardSigmoid"), ::testing::Contains("Exp"))) << name;
    EXPECT_EQ(type_of_output(*nested), "float32[2,3]");
  }
  EXPECT_EQ(type_of_output(graph, 0), "float32[2,3]");
}

TEST(Import, EveryElementType) {
  struct Case {
    int type;
    std::vector<int> int32_data;
    std::string raw;
    std::int64_t count;
  };
  const std::vector<Case> cases = {
      {pb::TensorProto::INT8, {-1, 2}, std::string("\xff\x02", 2), 2},
      {pb::TensorProto::UINT8, {255, 2}, std::string("\xff\x02", 2), 2},
      {pb::TensorProto::INT16, {-2, 3}, std::string("\xfe\xff\x03\x00", 4), 2},
      {pb::TensorProto::UINT16, {65534, 3}, std::string("\xfe\xff\x03\x00", 4), 2},
      {pb::TensorProto::FLOAT16, {0x3c00, 0xc000}, std::string("\x00\x3c\x00\xc0", 4), 2},
      {pb::TensorProto::BFLOAT16, {0x3f80, 0xc000}, std::string("\x80\x3f\x00\xc0", 4), 2},
      {pb::TensorProto::BOOL, {0, 1}, std::string("\x00\x01", 2), 2},
      {pb::TensorProto::FLOAT8E4M3FN, {0x38, 0xb8}, std::string("\x38\xb8", 2), 2},
      {pb::TensorProto::INT4, {0x21, 0x0f}, std::string("\x21\x0f", 2), 3},
      {pb::TensorProto::UINT4, {0x21, 0x0f}, std::string("\x21\x0f", 2), 3},
      {pb::TensorProto::FLOAT4E2M1, {0x21}, std::string("\x21", 1), 2},
      {pb::TensorProto::INT2, {0x1b, 0x03}, std::string("\x1b\x03", 2), 5},
  };
  for (const Case& c : cases) {
    pb::TensorProto typed;
    typed.set_data_type(c.type);
    typed.add_dims(c.count);
    pb::TensorProto raw = typed;
    for (const int value : c.int32_data) typed.add_int32_data(value);
    raw.set_raw_data(c.raw);
    const Tensor a = to_tensor(typed);
    const Tensor b = to_tensor(raw);
    EXPECT_EQ(stored_bytes(a), c.raw.size());
    pb::TensorProto again;
    set_tensor(again, a, true);
    EXPECT_EQ(again.raw_data(), c.raw) << a.type_string();
    EXPECT_TRUE(tensor::same_attribute(a, b)) << a.type_string();
  }
  // A byte that is no bool.
  pb::TensorProto odd;
  odd.set_data_type(pb::TensorProto::BOOL);
  odd.add_dims(1);
  odd.set_raw_data("\x02");
  EXPECT_TRUE(*to_tensor(odd).data<bool>());
}

TEST(Import, TensorsThatContradictTheirDimensions) {
  pb::TensorProto tensor;
  tensor.set_name("w");
  tensor.set_data_type(pb::TensorProto::FLOAT);
  tensor.add_dims(3);
  tensor.set_raw_data(std::string(8, '\0'));
  EXPECT_THAT(error_of([&] { to_tensor(tensor); }).message(), HasSubstr("needs 12 bytes, but has 8"));
  tensor.clear_raw_data();
  tensor.add_float_data(1);
  EXPECT_THAT(error_of([&] { to_tensor(tensor); }).message(), HasSubstr("needs 3 values, but has 1"));
  for (const std::int64_t dim : {std::int64_t{-1}, std::int64_t{1} << 62}) {
    tensor.set_dims(0, dim);
    tensor.add_dims(1 << 20);
    static_cast<void>(error_of([&] { to_tensor(tensor); }));
  }
}

TEST(Import, SparseInitializersBecomeDense) {
  pb::ModelProto model = parse_text(R"(
    <ir_version: 8, opset_import: ["" : 13]>
    agraph (float[2, 3] x) => (float[2, 3] y) { y = Add(x, s) })");
  pb::SparseTensorProto* sparse = model.mutable_graph()->add_sparse_initializer();
  sparse->add_dims(2);
  sparse->add_dims(3);
  set_tensor(*sparse->mutable_values(), Tensor::of<float>({2}, std::vector<float>{7, 8}), true);
  sparse->mutable_values()->set_name("s");
  set_tensor(*sparse->mutable_indices(), Tensor::of<std::int64_t>({2, 2}, std::vector<std::int64_t>{0, 1, 1, 2}), true);
  const ir::Graph graph = import_proto(model);
  EXPECT_THAT(graph.value(only(graph, "Add").inputs[1]).constant.values<float>(), ElementsAre(0, 7, 0, 0, 0, 8));
  sparse->mutable_indices()->Clear();
  set_tensor(*sparse->mutable_indices(), Tensor::of<std::int64_t>({2}, std::vector<std::int64_t>{1, 6}), true);
  EXPECT_EQ(error_of([&] { import_proto(model); }).reason(), "model.invalid");
}

// Beyond an int libonnx's own inference writes outside of its shapes.
TEST(Import, RefusesAnAxisThatIsNone) {
  for (const std::int64_t axis : {INT64_MAX - 1, INT64_MIN, std::int64_t{1} << 31}) {
    pb::ModelProto model = parse_text(R"(<ir_version: 8, opset_import: ["" : 17]>
      g (float[3,4] x, float[4] w, float[4] b) => (float[3,4] y, float[a,c] mean) {
        y, mean = LayerNormalization(x, w, b)
      })");
    pb::AttributeProto& attribute = *model.mutable_graph()->mutable_node(0)->add_attribute();
    attribute.set_name("axis");
    attribute.set_type(pb::AttributeProto::INT);
    attribute.set_i(axis);
    EXPECT_EQ(error_of([&] { import_proto(model); }).reason(), "model.invalid");
  }
}

// Faults of libonnx's inference, which cmake/libonnx/CMakeLists.txt mends: each of these models wrote or read where it
// should not, divided by zero, or took memory or time without end. An error is as good as a graph.
struct HostileModel {
  const char* name;
  std::string text;
};
void PrintTo(const HostileModel& model, std::ostream* out) {
  *out << model.name;
}

class HostileToInference : public ::testing::TestWithParam<HostileModel> {};

// `node` forty times, each time on what the one before made; "%" stands for that and "&" for its own output.
std::string forty_times(std::string_view node) {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    for (const char letter : node) {
      if (letter == '%')
        text += "v" + std::to_string(i);
      else if (letter == '&')
        text += "v" + std::to_string(i + 1);
      else
        text += letter;
    }
  }
  return text;
}

std::vector<HostileModel> hostile_models() {
  return {
      {"NegativeBatchDims", R"(<ir_version: 8, opset_import: ["" : 13]>
          g (float[2,3] x, int64[2,1] i) => (float[n] y) { y = GatherND <batch_dims = -2> (x, i) })"},
      {"NegativeIndexCount", R"(<ir_version: 8, opset_import: ["" : 13]>
          g (float[2,3] x, int64[2,1] i) => (float[n] y) <int64[4] pads = {0, 0, 0, -6}>
          { p = Pad(i, pads)  y = GatherND(x, p) })"},
      {"FewerPartsThanOutputs", R"(<ir_version: 8, opset_import: ["" : 18]>
          g (float[6] x) => (float[a] y, float[b] z, float[c] w) { y, z, w = Split <num_outputs = 1> (x) })"},
      {"PartsWithoutEnd", R"(<ir_version: 8, opset_import: ["" : 18]>
          g (float[6] x) => (float[a] y) { y = Split <num_outputs = 68719476736> (x) })"},
      {"EquationOfDigits", R"(<ir_version: 8, opset_import: ["" : 13]>
          g (float[2,3] x) => (float[a,b] y) { y = Einsum <equation = "i1j->ij"> (x) })"},
      {"StepBeyondAnInt", R"(<ir_version: 8, opset_import: ["" : 13]>
          g (float[2,3,4] x) => (int64[n] y)
          <int64[1] starts = {0}, int64[1] ends = {3}, int64[1] axes = {0}, int64[1] steps = {4294967296}>
          { d = Shape(x)  y = Slice(d, starts, ends, axes, steps) })"},
      {"ShapeThatDoubles", R"(<ir_version: 8, opset_import: ["" : 13]>
          g (float[2,3,4] x) => (int64[n] v40) { v0 = Shape(x) )" +
                               forty_times("& = Concat <axis = 0> (%, %)\n") + "}"},
      {"RankThatDoubles", R"(<ir_version: 8, opset_import: ["" : 13]>
          g (int64[1,1] v0) => (int64[n] v40) {)" +
                              forty_times("& = Gather(%, %)\n") + "}"},
      {"RankOfIndicesThatDoubles", R"(<ir_version: 8, opset_import: ["" : 13]>
          g (int64[1,1,1] v0) => (int64[n] v40) {)" +
                                       forty_times("& = GatherND(%, %)\n") + "}"},
      {"RankOfAHugeShape", R"(<ir_version: 8, opset_import: ["" : 8]>
          g (float[1] x, int64[1099511627776] s) => (float[n] y) { y = Expand(x, s) })"},
      {"LabelsOfUnknownType",
       R"(<ir_version: 8, opset_import: ["" : 13, "acme" : 1, "ai.onnx.ml" : 4]>
          g (float[2] x) => (float[2] y)
          { f = acme.Odd(x)  y = ai.onnx.ml.LabelEncoder <keys_floats = [1.0], values_floats = [2.0]> (f) })"},
      {"LikeOfUnknownType", R"(<ir_version: 8, opset_import: ["" : 13, "acme" : 1]>
          g (float[2] x) => (float[a,b] y) { f = acme.Odd(x)  y = EyeLike <dtype = 1> (f) })"},
      {"MatchOfUnknownType", R"(<ir_version: 9, opset_import: ["" : 20, "acme" : 1]>
          g (float[2] x) => (bool[n] y) { f = acme.Odd(x)  y = RegexFullMatch <pattern = "a"> (f) })"},
      {"QuotientThatTraps", R"(<ir_version: 8, opset_import: ["" : 13]>
          g (float[1,4611686018427387904,2] x) => (float[a,b] y)
          <int64[6] pads = {-2, 0, 0, 0, 0, 0}, int64[2] target = {0, -1}>
          { p = Pad(x, pads)  y = Reshape(p, target) })"},
      {"AxisThroughAFunction", R"(<ir_version: 8, opset_import: ["" : 17, "acme" : 1]>
          g (float[3,4] x, float[4] w, float[4] b) => (float[3,4] y, float[a,c] mean)
          { y, mean = acme.F <a = 4294967295> (x, w, b) }
          <domain: "acme", opset_import: ["" : 17]>
          F <a> (x, w, b) => (y, mean) { y, mean = LayerNormalization <axis: int = @a> (x, w, b) })"},
      {"OptionalsOfOptionals", R"(<ir_version: 8, opset_import: ["" : 15]>
          g (float[2] v0) => (optional(float[2]) v40) {)" +
                                   forty_times("& = Optional(%)\n") + "}"},
  };
}

TEST_P(HostileToInference, EndsInAGraphOrAnError) {
  const pb::ModelProto model = parse_text(GetParam().text);
  try {
    static_cast<void>(import_proto(model));
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Models, HostileToInference, ::testing::ValuesIn(hostile_models()),
                         [](const auto& model) { return std::string(model.param.name); });

TEST(Import, ForeignOperatorsStay) {
  const ir::Graph graph = import_text(R"(
    <ir_version: 8, opset_import: ["" : 11, "com.acme" : 2]>
    agraph (float[2] x) => (float[2] y) { a = Relu(x)  b = com.acme.Special <gain = 2> (a)  y = Relu(b) })");
  EXPECT_EQ(only(graph, "Special").domain, "com.acme");
  EXPECT_EQ(only(graph, "Special").attributes.get_int("gain", 0), 2);
  EXPECT_EQ(type_of_output(graph), "float32[2]");
}

TEST(Import, UnrankedOutputsAndUnknownDimensions) {
  pb::ModelProto model = parse_text(kSmall);
  model.mutable_graph()->mutable_output(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  input_shape(model).mutable_dim(0)->set_dim_value(-1);
  const ir::Graph graph = import_proto(model);
  EXPECT_FALSE(graph.value(graph.inputs()[0]).type.dims.at(0).known());
  EXPECT_EQ(graph.value(graph.outputs()[0]).type.dims.at(1).size, 4);
}

TEST(Import, StaleDeclaredShapesAreIgnored) {
  pb::ModelProto model = parse_text(kSmall);
  pb::ValueInfoProto* info = model.mutable_graph()->add_value_info();
  info->set_name("c");
  set_type(*info->mutable_type(), *tensor::ValueType::parse("float32[1,9,9]"));
  const ir::Graph graph = import_proto(model);
  EXPECT_EQ(graph.value(only(graph, "Conv").outputs[0]).type.to_string(), "float32[batch,4,8,8]");
}

TEST(Import, InvalidModels) {
  const auto reason = [](const std::function<void(pb::ModelProto&)>& edit) {
    pb::ModelProto model = parse_text(kSmall);
    edit(model);
    const Error error = error_of([&] { import_proto(model); });
    EXPECT_THAT(error.context(), ::testing::Contains("while importing a model from memory"));
    EXPECT_THAT(error.message(), ::testing::Not(HasSubstr("\n")));
    return error.reason() + ": " + error.message();
  };
  EXPECT_THAT(reason([](auto& m) { m.mutable_opset_import(0)->set_version(4000); }), HasSubstr("model.opset: "));
  EXPECT_THAT(reason([](auto& m) { m.set_ir_version(99); }), HasSubstr("model.opset: "));
  EXPECT_THAT(reason([](auto& m) { m.clear_ir_version(); }), HasSubstr("model.invalid: "));
  EXPECT_THAT(reason([](auto& m) { m.clear_graph(); }), HasSubstr("it has no graph"));
  EXPECT_THAT(reason([](auto& m) { m.mutable_graph()->mutable_node(0)->set_op_type("Konv"); }), HasSubstr("Konv"));
  EXPECT_THAT(reason([](auto& m) { m.mutable_graph()->mutable_node(0)->clear_input(); }), HasSubstr("Conv"));
  EXPECT_THAT(reason([](auto& m) { m.mutable_graph()->mutable_node(0)->set_output(0, "x"); }), HasSubstr("'x'"));
  // A cycle.
  EXPECT_THAT(reason([](auto& m) { m.mutable_graph()->mutable_node(0)->set_input(0, "y"); }), HasSubstr("'y'"));
  EXPECT_THAT(reason([](auto& m) { m.mutable_graph()->mutable_output(0)->set_name("gone"); }), HasSubstr("gone"));
  EXPECT_THAT(reason([](auto& m) {
                m.mutable_graph()->mutable_node(0)->mutable_attribute(0)->set_type(pb::AttributeProto::FLOAT);
              }),
              HasSubstr("model.invalid: "));
  EXPECT_THAT(reason([](auto& m) { m.mutable_graph()->mutable_initializer(0)->set_dims(0, 5); }),
              HasSubstr("model.invalid: "));
  // A gap in a list.
  EXPECT_THAT(reason([](auto& m) {
                pb::NodeProto& node = *m.mutable_graph()->mutable_node(1);
                node.set_op_type("Sum");
                node.clear_attribute();
                node.add_input("");
              }),
              HasSubstr("input 1 is absent"));
  EXPECT_THAT(
      reason([](auto& m) { *m.add_opset_import() = m.opset_import(0), m.mutable_opset_import(1)->set_version(9); }),
      HasSubstr("twice"));
  // Types that contradict each other.
  EXPECT_THAT(reason([](auto& m) {
                m.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
                    pb::TensorProto::INT64);
              }),
              HasSubstr("model.invalid: "));
  EXPECT_THAT(reason([](auto& m) {
                pb::AttributeProto* attribute = m.mutable_graph()->mutable_node(1)->add_attribute();
                attribute->set_name("body");
                attribute->set_type(pb::AttributeProto::GRAPH);
              }),
              HasSubstr("model.invalid: "));
  // What inference would carry from node to node.
  EXPECT_THAT(reason([](auto& m) {
                while (input_shape(m).dim_size() < 100'000) input_shape(m).add_dim();
              }),
              HasSubstr("model.unsupported: a value of the model has 100000 dimensions"));
  EXPECT_THAT(reason([](auto& m) {
                pb::AttributeProto* attribute = m.mutable_graph()->mutable_node(1)->add_attribute();
                attribute->set_name("axes");
                attribute->set_type(pb::AttributeProto::INTS);
                while (attribute->ints_size() < 100'000) attribute->add_ints(1);
              }),
              HasSubstr("has 100000 elements, more than 1024"));
}

TEST(Import, LongNamesOfDimensionsAreForgotten) {
  pb::ModelProto model = parse_text(kSmall);
  input_shape(model).mutable_dim(0)->set_dim_param(std::string(100'000, 'n'));
  const ir::Graph graph = import_proto(model);
  EXPECT_LT(graph.value(graph.inputs()[0]).type.to_string().size(), 100u);
}

TEST(Import, UpgradeWithoutAnAdapterNamesTheOperator) {
  const Error error = error_of([] {
    import_text(R"(
      <ir_version: 3, opset_import: ["" : 5]>
      agraph (float[2] x) => (int64[2] y) { y = Cast <to = "INT64"> (x) })");
  });
  EXPECT_EQ(error.reason(), "model.opset");
  EXPECT_THAT(error.message(), ::testing::StartsWith("cannot upgrade the model from opset 5 to 28: No Adapter"));
  EXPECT_THAT(error.message(), HasSubstr("for Cast"));
}

TEST(Import, GarbageIsNoModel) {
  EXPECT_EQ(error_of([] { import_bytes(""); }).reason(), "model.empty");
  EXPECT_EQ(error_of([] { import_bytes("hello, this is not a model"); }).reason(), "model.parse");
}

TEST(Import, TruncatedAnywhereIsAnErrorOrAModel) {
  const std::string bytes = parse_text(kSmall).SerializeAsString();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Error error = error_of([&] { import_bytes(bytes.substr(0, size)); });
    EXPECT_THAT(error.reason(), AnyOf("model.parse", "model.invalid", "model.empty")) << size;
  }
}

// Any bytes end in a graph or in an Error.
void flip_bits(const std::string& bytes, int rounds, unsigned seed) {
  std::mt19937 random(seed);
  int imported = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string changed = bytes;
    const int flips = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < flips; ++i) changed[random() % changed.size()] ^= static_cast<char>(1u << (random() % 8));
    try {
      ir::Graph graph = import_bytes(changed, [](std::string_view op) { return op != "HardSwish"; });
      infer_shapes(graph);
      graph.check();
      ++imported;
    } catch (const Error& error) {
      ASSERT_NE(error.code(), ErrorCode::kInternal) << error.what();
    }
  }
  EXPECT_GT(imported, 0);
}

TEST(Import, FlippedBits) {
  flip_bits(parse_text(kSmall).SerializeAsString(), 500, 1);
  flip_bits(parse_text(R"(
    <ir_version: 8, opset_import: ["" : 12, "local" : 1]>
    agraph (float[2] x, int64 n, bool cond) => (float[2] y, int64[k] z)
    <int64[2] small = {1, 2}>
    {
      s = Shape(x)
      t = Concat <axis = 0> (s, small)
      z = Slice(t, s, small)
      y = Loop <body = body (int64 i, bool c, float[2] state) => (bool c_out, float[2] next) {
        inner = local.f(state)
        next = If <then_branch = t () => (float[2] r) { r = Add(inner, x) },
                   else_branch = e () => (float[2] r2) { r2 = Clip(inner) }> (cond)
        c_out = Identity(c)
      }> (n, cond, x)
    }
    <domain: "local", opset_import: ["" : 12]> f (a) => (b) { c = Relu(a)  b = Mul(c, a) }
  )")
                .SerializeAsString(),
            500, 2);
}

// ---- files --------------------------------------------------------------------------------------------------------

TEST_F(Folder, FilesThatCannotBeRead) {
  const Error missing = error_of([&] { import_model(path_ / "none.onnx"); });
  EXPECT_EQ(missing.reason(), "file.not_found");
  EXPECT_THAT(missing.context().back(), HasSubstr("while importing '"));
  EXPECT_EQ(error_of([&] { import_model(path_); }).reason(), "file.unreadable");
  EXPECT_EQ(error_of([&] { import_model(write("empty.onnx", "")); }).reason(), "model.empty");
  const auto huge = write("huge.onnx", "x");
  std::filesystem::resize_file(huge, (std::uintmax_t{1} << 31) + 5);
  EXPECT_EQ(error_of([&] { import_model(huge); }).reason(), "model.too_large");
}

class External : public Folder {
 protected:
  // y = x + w with w's four floats in the file `location`.
  std::string model(const std::string& location, const std::string& offset = "", const std::string& length = "") {
    pb::ModelProto model = parse_text(R"(
      <ir_version: 8, opset_import: ["" : 13]> agraph (float[4] x) => (float[4] y) { y = Add(x, w) })");
    pb::TensorProto* weight = model.mutable_graph()->add_initializer();
    weight->set_name("w");
    weight->set_data_type(pb::TensorProto::FLOAT);
    weight->add_dims(4);
    weight->set_data_location(pb::TensorProto::EXTERNAL);
    for (const auto& [key, value] : {std::pair{"location", location}, {"offset", offset}, {"length", length}}) {
      if (value.empty()) continue;
      pb::StringStringEntryProto* entry = weight->add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    }
    return model.SerializeAsString();
  }

  std::vector<float> weights(const std::string& bytes) {
    const ir::Graph graph = import_model(write("model/m.onnx", bytes));
    const std::span<const float> values = graph.value(only(graph, "Add").inputs[1]).constant.values<float>();
    return {values.begin(), values.end()};
  }

  Error failure(const std::string& bytes) {
    const Error error = error_of([&] { weights(bytes); });
    EXPECT_EQ(error.reason(), "model.external_data");
    EXPECT_THAT(error.context(), ::testing::Contains("in tensor 'w'"));
    return error;
  }

  std::string data_ = [] {
    const float values[] = {0, 1, 2, 3, 4, 5, 6, 7};
    return std::string(reinterpret_cast<const char*>(values), sizeof values);
  }();
};

TEST_F(External, IsMapped) {
  write("model/w.bin", data_);
  EXPECT_THAT(weights(model("w.bin")), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(weights(model("w.bin", "16", "16")), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(weights(model("./w.bin", "8")), ElementsAre(2, 3, 4, 5));
  // Not aligned: a copy.
  write("model/odd.bin", "abc" + data_);
  EXPECT_THAT(weights(model("odd.bin", "3")), ElementsAre(0, 1, 2, 3));
  std::filesystem::create_directory(path_ / "model/sub");
  write("model/sub/w.bin", data_);
  EXPECT_THAT(weights(model("sub/w.bin")), ElementsAre(0, 1, 2, 3));
}

TEST_F(External, OutlivesTheImport) {
  write("model/w.bin", data_);
  Tensor weight;
  {
    const ir::Graph graph = import_model(write("model/m.onnx", model("w.bin")));
    weight = graph.value(only(graph, "Add").inputs[1]).constant;
  }
  EXPECT_THAT(weight.values<float>(), ElementsAre(0, 1, 2, 3));
}

TEST_F(External, MissingShortOrMisdescribed) {
  EXPECT_THAT(failure(model("w.bin")).message(), HasSubstr("cannot find the data file 'w.bin'"));
  write("model/w.bin", data_);
  EXPECT_THAT(failure(model("w.bin", "20")).message(), HasSubstr("but the file has 32 bytes"));
  EXPECT_THAT(failure(model("w.bin", "18446744073709551615")).message(), HasSubstr("but the file has 32 bytes"));
  EXPECT_THAT(failure(model("w.bin", "0", "12")).message(), HasSubstr("the length is given as 12"));
  EXPECT_THAT(failure(model("w.bin", "-4")).message(), HasSubstr("is not a number of bytes"));
  EXPECT_THAT(failure(model("w.bin", "4x")).message(), HasSubstr("is not a number of bytes"));
  failure(model(""));
  failure(model("."));
}

TEST_F(External, StaysInsideTheFolder) {
  write("secret.bin", data_);
  write("model/w.bin", data_);
  failure(model("../secret.bin"));
  failure(model("../model/w.bin"));
  failure(model((path_ / "model/w.bin").string()));
  std::filesystem::create_symlink(path_ / "secret.bin", path_ / "model/link.bin");
  EXPECT_THAT(failure(model("link.bin")).message(), HasSubstr("leads out of the model's folder"));
  std::filesystem::create_directory_symlink(path_, path_ / "model/up");
  failure(model("up/secret.bin"));
}

TEST_F(External, NeedsAFolder) {
  write("model/w.bin", data_);
  const std::string bytes = model("w.bin");
  EXPECT_EQ(error_of([&] { import_bytes(bytes); }).reason(), "model.external_data");
  EXPECT_EQ(import_model(std::as_bytes(std::span(bytes)), {}, path_ / "model").node_count(), 1u);
}

}  // namespace
}  // namespace lanner::onnx
