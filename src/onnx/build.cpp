#include "onnx/build.h"

#include <onnx/defs/schema.h>

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "base/fail.h"

namespace lanner::onnx {

namespace {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;
using tensor::ValueType;

// Nested graphs get their own copy of a captured constant up to this size, larger ones are passed in.
constexpr std::size_t kCopiedConstantBytes = kInlineTensorBytes;

// The names that `graph` reads from outside, each once, in the order of their first use.
class FreeNames {
 public:
  void add(const pb::GraphProto& graph) { visit(graph); }
  const std::vector<std::string>& names() const { return names_; }

 private:
  void visit(const pb::GraphProto& graph) {
    scopes_.emplace_back();
    for (const pb::ValueInfoProto& input : graph.input()) scopes_.back().insert(input.name());
    for (const pb::TensorProto& tensor : graph.initializer()) scopes_.back().insert(tensor.name());
    for (const pb::NodeProto& node : graph.node()) {
      for (const std::string& input : node.input()) use(input);
      for (const pb::AttributeProto& attribute : node.attribute()) {
        if (attribute.has_g()) visit(attribute.g());
      }
      for (const std::string& output : node.output()) scopes_.back().insert(output);
    }
    for (const pb::ValueInfoProto& output : graph.output()) use(output.name());
    scopes_.pop_back();
  }

  void use(const std::string& name) {
    if (name.empty()) return;
    for (const auto& scope : scopes_) {
      if (scope.contains(name)) return;
    }
    if (seen_.insert(name).second) names_.push_back(name);
  }

  std::vector<std::unordered_set<std::string>> scopes_;
  std::unordered_set<std::string> seen_;
  std::vector<std::string> names_;
};

// Fills one graph from its message.
class Builder {
 public:
  Builder(const MovedTensors& tensors, const pb::GraphProto& proto, Graph& graph)
      : tensors_(tensors), proto_(proto), graph_(graph) {
    graph_.name = proto.name();
    for (const pb::TensorProto& tensor : proto.initializer()) initializers_[tensor.name()] = &tensor;
    for (const auto* list : {&proto.value_info(), &proto.output()}) {
      for (const pb::ValueInfoProto& info : *list) types_[info.name()].refine(to_value_type(info.type()));
    }
  }

  void add_inputs(bool outermost) {
    for (const pb::ValueInfoProto& input : proto_.input()) {
      const pb::TypeProto& proto = input.type();
      if (outermost && (proto.has_map_type() || proto.has_sparse_tensor_type() || proto.has_opaque_type())) {
        base::fail(ErrorCode::kUnimplemented, "model.unsupported",
                   "input '{}' is a map, a sparse tensor or an opaque value; supported are tensors, and sequences and "
                   "optionals of them",
                   input.name());
      }
      const ValueId id = graph_.add_input(input.name(), to_value_type(proto));
      define(input.name(), id);
      const auto initializer = initializers_.find(input.name());
      if (initializer == initializers_.end()) continue;
      if (!outermost) {
        base::invalid("model.invalid", "graph '{}' has an initializer for its input '{}'", proto_.name(), input.name());
      }
      Tensor value = tensors_.find(*initializer->second);
      initializers_.erase(initializer);
      if (!graph_.value(id).type.accepts(value)) {
        base::invalid("model.invalid", "input '{}' of type {} has an initializer of type {}", input.name(),
                      graph_.value(id).type.to_string(), value.type_string());
      }
      graph_.input_defaults.emplace_back(id, std::move(value));
    }
  }

  // What the graph captures: a constant of its own, or a further input.
  void add_copied(const std::string& name, const Tensor& constant) {
    if (!names_.contains(name) && !initializers_.contains(name)) define(name, graph_.add_constant(name, constant));
  }
  void add_captured(const std::string& name, const ValueType& type) {
    const ValueId id = graph_.add_input(name, type);
    if (!names_.contains(name) && !initializers_.contains(name)) define(name, id);
  }

  void add_nodes() {
    for (const pb::NodeProto& node : proto_.node()) {
      base::with_context([&] { return "in " + describe(node); },
                         [&] {
                           if (node.op_type() == "Constant" && node.domain().empty())
                             add_constant(node);
                           else
                             add_node(node);
                         });
    }
  }

  void add_outputs() {
    for (const pb::ValueInfoProto& output : proto_.output()) {
      const ValueId id = resolve(output.name());
      if (id == kNoValue) {
        base::invalid("model.invalid", "output '{}' of graph '{}' is made by nothing", output.name(), proto_.name());
      }
      ValueType type = graph_.value(id).type;
      type.refine(to_value_type(output.type()));
      graph_.set_type(id, std::move(type));
      graph_.add_output(id);
    }
  }

 private:
  void define(const std::string& name, ValueId id) { names_[name] = id; }

  // kNoValue for a name that is not defined (yet).
  ValueId resolve(const std::string& name) {
    if (const auto known = names_.find(name); known != names_.end()) return known->second;
    const auto initializer = initializers_.find(name);
    if (initializer == initializers_.end()) return kNoValue;
    const ValueId id = graph_.add_constant(name, tensors_.find(*initializer->second));
    define(name, id);
    return id;
  }

  ValueId input(const std::string& name) {
    if (name.empty()) return kNoValue;
    const ValueId id = resolve(name);
    if (id == kNoValue) base::invalid("model.invalid", "it reads '{}', which nothing before it makes", name);
    return id;
  }

  void add_constant(const pb::NodeProto& node) {
    if (node.output_size() != 1 || node.attribute_size() != 1) {
      base::invalid("model.invalid", "a Constant needs one output and one attribute, but has {} and {}",
                    node.output_size(), node.attribute_size());
    }
    const pb::AttributeProto& attribute = node.attribute(0);
    if (attribute.type() == pb::AttributeProto::TENSOR) {
      return define(node.output(0), graph_.add_constant(node.output(0), tensors_.find(attribute.t())));
    }
    Tensor value = std::visit([](const auto& held) { return constant_of(held); }, to_attribute(attribute));
    define(node.output(0), graph_.add_constant(node.output(0), std::move(value)));
  }

  static Tensor constant_of(const Tensor& value) { return value; }
  template <typename T>
  static Tensor constant_of(const T& value) {
    return Tensor::scalar<T>(value);
  }
  template <typename T>
  static Tensor constant_of(const std::vector<T>& values) {
    return Tensor::of<T>(Shape{static_cast<std::int64_t>(values.size())}, values);
  }

  // An operator's last input may be a list, which has no gaps. ONNX's checker does not look at it.
  static void check_lists(const pb::NodeProto& node) {
    const pb::OpSchema* schema = pb::OpSchemaRegistry::Schema(node.op_type(), node.domain());
    if (schema == nullptr || schema->inputs().empty()) return;
    const pb::OpSchema::FormalParameter& last = schema->inputs().back();
    if (last.GetOption() != pb::OpSchema::Variadic) return;
    for (int i = static_cast<int>(schema->inputs().size()) - 1; i < node.input_size(); ++i) {
      if (node.input(i).empty()) {
        base::invalid("model.invalid", "input {} is absent, but belongs to the list '{}'", i, last.GetName());
      }
    }
  }

  void add_node(const pb::NodeProto& proto) {
    Node node;
    node.op = proto.op_type();
    node.domain = proto.domain();
    node.name = proto.name();
    for (const std::string& name : proto.input()) node.inputs.push_back(input(name));
    std::vector<const pb::AttributeProto*> nested;
    for (const pb::AttributeProto& attribute : proto.attribute()) {
      if (attribute.type() == pb::AttributeProto::GRAPH)
        nested.push_back(&attribute);
      else
        node.attributes.set(attribute.name(), attribute.type() == pb::AttributeProto::TENSOR
                                                  ? tensor::Attribute(tensors_.find(attribute.t()))
                                                  : to_attribute(attribute));
    }
    check_lists(proto);
    if (node.op == "Scan" && node.domain.empty()) check_scan(proto);
    if (!nested.empty()) add_nested(nested, node);

    const std::vector<std::string> outputs(proto.output().begin(), proto.output().end());
    const NodeId id = graph_.add_node(std::move(node), outputs);
    Node& added = graph_.mutable_node(id);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].empty()) {
        added.outputs[i] = kNoValue;
        continue;
      }
      if (const auto type = types_.find(outputs[i]); type != types_.end()) {
        graph_.set_type(added.outputs[i], type->second);
      }
      define(outputs[i], added.outputs[i]);
    }
  }

  // The body's inputs are the states and one item of each scan input; its outputs the states and results.
  static void check_scan(const pb::NodeProto& proto) {
    std::int64_t scanned = 0;
    int inputs = 0;
    int outputs = 0;
    for (const pb::AttributeProto& attribute : proto.attribute()) {
      if (attribute.name() == "num_scan_inputs") scanned = attribute.i();
      if (attribute.name() != "body") continue;
      inputs = attribute.g().input_size();
      outputs = attribute.g().output_size();
    }
    if (scanned < 1 || scanned > inputs || inputs != proto.input_size() || outputs != proto.output_size() ||
        outputs < inputs - scanned) {
      base::invalid("model.invalid",
                    "a Scan of {} inputs, {} of them scanned, and {} outputs has a body of {} inputs and {} outputs",
                    proto.input_size(), scanned, proto.output_size(), inputs, outputs);
    }
  }

  // Closes the graphs of a node: all of them get the same captured values, in the same order.
  void add_nested(const std::vector<const pb::AttributeProto*>& attributes, Node& node) {
    FreeNames free;
    for (const pb::AttributeProto* attribute : attributes) free.add(attribute->g());
    std::vector<ValueId> values;
    for (const std::string& name : free.names()) values.push_back(input(name));
    for (const pb::AttributeProto* attribute : attributes) {
      auto graph = std::make_unique<Graph>();
      Builder builder(tensors_, attribute->g(), *graph);
      builder.add_inputs(false);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const ir::Value& value = graph_.value(values[i]);
        if (copied(value))
          builder.add_copied(free.names()[i], value.constant);
        else
          builder.add_captured(free.names()[i], value.type);
      }
      builder.add_nodes();
      builder.add_outputs();
      const bool twice =
          std::ranges::any_of(node.graphs, [&](const auto& other) { return other.first == attribute->name(); });
      if (twice) base::invalid("model.invalid", "it has two attributes '{}'", attribute->name());
      node.graphs.emplace_back(attribute->name(), std::move(graph));
    }
    for (const ValueId value : values) {
      if (copied(graph_.value(value))) continue;
      node.inputs.push_back(value);
      ++node.capture_count;
    }
  }

  static bool copied(const ir::Value& value) {
    return value.is_constant() && value.constant.byte_count() <= kCopiedConstantBytes;
  }

  const MovedTensors& tensors_;
  const pb::GraphProto& proto_;
  Graph& graph_;
  std::unordered_map<std::string, ValueId> names_;
  std::unordered_map<std::string, const pb::TensorProto*> initializers_;  // not in the graph before their first use
  std::unordered_map<std::string, ValueType> types_;
};

}  // namespace

ir::Graph build_graph(PreparedModel model) {
  Graph graph;
  Builder builder(model.tensors, model.proto.graph(), graph);
  builder.add_inputs(true);
  builder.add_nodes();
  builder.add_outputs();
  graph.properties = std::move(model.properties);
  graph.check();
  return graph;
}

}  // namespace lanner::onnx
