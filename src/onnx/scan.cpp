#include "onnx/scan.h"

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <vector>

#include "base/fail.h"

namespace lanner::onnx {

namespace {

const pb::AttributeProto* find_attribute(const pb::NodeProto& node, std::string_view name) {
  for (const pb::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

// `count` numbers, 0 where the attribute is absent.
std::vector<std::int64_t> numbers(const pb::NodeProto& scan, std::string_view name, int count) {
  const pb::AttributeProto* attribute = find_attribute(scan, name);
  if (attribute == nullptr) return std::vector<std::int64_t>(static_cast<std::size_t>(count), 0);
  if (attribute->ints_size() != count) {
    base::invalid("model.invalid", "attribute '{}' needs {} numbers, but has {}", name, count, attribute->ints_size());
  }
  return {attribute->ints().begin(), attribute->ints().end()};
}

void add_ints(pb::NodeProto& node, const char* name, const std::vector<std::int64_t>& values) {
  pb::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(pb::AttributeProto::INTS);
  attribute.mutable_ints()->Assign(values.begin(), values.end());
}

void add_int(pb::NodeProto& node, const char* name, std::int64_t value) {
  pb::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(pb::AttributeProto::INT);
  attribute.set_i(value);
}

// Appends nodes to a list.
class Nodes {
 public:
  explicit Nodes(google::protobuf::RepeatedPtrField<pb::NodeProto>& nodes) : nodes_(nodes) {}

  pb::NodeProto& add(const char* op, std::initializer_list<std::string> inputs, const std::string& output) {
    pb::NodeProto& node = *nodes_.Add();
    node.set_op_type(op);
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(output);
    return node;
  }

  // An int64 constant: a scalar, or a list of one.
  const std::string& constant(const std::string& name, std::int64_t value, bool list = false) {
    pb::AttributeProto& attribute = *add("Constant", {}, name).add_attribute();
    attribute.set_name("value");
    attribute.set_type(pb::AttributeProto::TENSOR);
    set_tensor(*attribute.mutable_t(), Tensor::of<std::int64_t>(list ? Shape{1} : Shape{}, {value}), true);
    return name;
  }

 private:
  google::protobuf::RepeatedPtrField<pb::NodeProto>& nodes_;
};

void declare(pb::GraphProto& graph, const std::string& name, pb::TensorProto::DataType type) {
  pb::ValueInfoProto& info = *graph.add_input();
  info.set_name(name);
  info.mutable_type()->mutable_tensor_type()->set_elem_type(type);
  info.mutable_type()->mutable_tensor_type()->mutable_shape();
}

}  // namespace

void expand_scan(const pb::NodeProto& scan, const std::string& prefix,
                 const std::function<int(const std::string&)>& rank_of, pb::FunctionProto& function) {
  const pb::AttributeProto* body_attribute = find_attribute(scan, "body");
  const pb::AttributeProto* count_attribute = find_attribute(scan, "num_scan_inputs");
  if (body_attribute == nullptr || !body_attribute->has_g() || count_attribute == nullptr) {
    base::invalid("model.invalid", "a Scan needs the attributes 'body' and 'num_scan_inputs'");
  }
  const pb::GraphProto& body = body_attribute->g();
  const std::int64_t scanned = count_attribute->i();
  if (scanned < 1 || scanned > scan.input_size() || body.input_size() != scan.input_size() ||
      body.output_size() != scan.output_size() || scan.output_size() < scan.input_size() - scanned) {
    base::invalid("model.invalid",
                  "a Scan of {} inputs, {} of them scanned, and {} outputs has a body of {} inputs and {} outputs",
                  scan.input_size(), scanned, scan.output_size(), body.input_size(), body.output_size());
  }
  const int inputs = static_cast<int>(scanned);
  const int states = scan.input_size() - inputs;
  const int outputs = scan.output_size() - states;
  const std::vector<std::int64_t> input_axes = numbers(scan, "scan_input_axes", inputs);
  const std::vector<std::int64_t> input_directions = numbers(scan, "scan_input_directions", inputs);
  const std::vector<std::int64_t> output_axes = numbers(scan, "scan_output_axes", outputs);
  const std::vector<std::int64_t> output_directions = numbers(scan, "scan_output_directions", outputs);

  Nodes around(*function.mutable_node());
  around.add("Shape", {scan.input(states)}, prefix + "shape");
  around.constant(prefix + "axis", input_axes[0]);
  const std::string count = prefix + "count";
  add_int(around.add("Gather", {prefix + "shape", prefix + "axis"}, count), "axis", 0);
  around.constant(prefix + "one", 1);
  around.add("Sub", {count, prefix + "one"}, prefix + "last");

  pb::NodeProto loop;
  loop.set_op_type("Loop");
  loop.set_name(scan.name());
  loop.add_input(count);
  loop.add_input("");
  pb::AttributeProto& attribute = *loop.add_attribute();
  attribute.set_name("body");
  attribute.set_type(pb::AttributeProto::GRAPH);
  pb::GraphProto& inner = *attribute.mutable_g();
  inner = body;
  inner.clear_input();
  inner.clear_node();
  inner.clear_output();
  const std::string index = prefix + "index";
  const std::string condition = prefix + "condition";
  declare(inner, index, pb::TensorProto::INT64);
  declare(inner, condition, pb::TensorProto::BOOL);
  for (int i = 0; i < states; ++i) {
    loop.add_input(scan.input(i));
    *inner.add_input() = body.input(i);
  }
  Nodes inside(*inner.mutable_node());
  inside.add("Identity", {condition}, condition + "_out");
  inside.add("Sub", {prefix + "last", index}, prefix + "from_end");
  for (int i = 0; i < inputs; ++i) {
    const auto k = static_cast<std::size_t>(i);
    const std::string& at = input_directions[k] != 0 ? prefix + "from_end" : index;
    add_int(inside.add("Gather", {scan.input(states + i), at}, body.input(states + i).name()), "axis", input_axes[k]);
  }
  for (const pb::NodeProto& node : body.node()) *inner.add_node() = node;
  pb::ValueInfoProto& condition_out = *inner.add_output();
  condition_out = inner.input(1);
  condition_out.set_name(condition + "_out");
  for (const pb::ValueInfoProto& output : body.output()) *inner.add_output() = output;

  google::protobuf::RepeatedPtrField<pb::NodeProto> behind;
  Nodes after(behind);
  for (int i = 0; i < states; ++i) loop.add_output(scan.output(i));
  for (int i = 0; i < outputs; ++i) {
    const auto k = static_cast<std::size_t>(i);
    const std::string& wanted = scan.output(states + i);
    if (wanted.empty() || (output_axes[k] == 0 && output_directions[k] == 0)) {
      loop.add_output(wanted);
      continue;
    }
    const std::string own = fmt::format("{}output_{}", prefix, i);
    std::string joined = own;
    loop.add_output(own);
    if (output_directions[k] != 0) {
      const bool is_last = output_axes[k] == 0;
      joined = is_last ? wanted : own + "_turned";
      after.add("Slice",
                {own, after.constant(own + "_starts", -1, true),
                 after.constant(own + "_ends", std::numeric_limits<std::int64_t>::min(), true),
                 after.constant(own + "_axes", 0, true), after.constant(own + "_steps", -1, true)},
                joined);
      if (is_last) continue;
    }
    const int rank = rank_of(wanted);
    if (rank < 0) {
      base::fail(ErrorCode::kUnimplemented, "model.unsupported",
                 "a Scan joins '{}' along axis {}, but its rank is not known", wanted, output_axes[k]);
    }
    const std::int64_t axis = output_axes[k] < 0 ? output_axes[k] + rank : output_axes[k];
    if (axis < 0 || axis >= rank) {
      base::invalid("model.invalid", "a Scan joins '{}' of rank {} along axis {}", wanted, rank, output_axes[k]);
    }
    std::vector<std::int64_t> order;
    for (int dim = 1; dim < rank; ++dim) order.push_back(dim);
    order.insert(order.begin() + axis, 0);
    add_ints(after.add("Transpose", {joined}, wanted), "perm", order);
  }
  *function.add_node() = loop;
  function.mutable_node()->MergeFrom(behind);
}

}  // namespace lanner::onnx
