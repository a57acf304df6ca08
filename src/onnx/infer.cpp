#include "onnx/infer.h"

#include <onnx/defs/schema.h>
#include <onnx/shape_inference/implementation.h>

#include <set>
#include <string>
#include <unordered_map>

#include "onnx/proto.h"

namespace lanner::onnx {

namespace {

using ir::Graph;
using ir::kNoValue;
using ir::Node;
using ir::NodeId;
using ir::ValueId;
using tensor::ValueType;

// Writes a graph as a message for inference, and reads the types back. Values get names of their own, unique across all
// nested graphs, so that a captured value can be referred to by its outer name. Constants too large to describe a shape
// become inputs of the outermost graph.
class Inference {
 public:
  void run(Graph& graph) {
    pb::ModelProto model;
    model.set_ir_version(newest_ir_version());
    outermost_ = model.mutable_graph();
    fill(graph, *outermost_, {});
    const auto& versions = pb::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
    for (const std::string& domain : domains_) {
      const auto known = versions.find(domain);
      pb::OperatorSetIdProto* opset = model.add_opset_import();
      opset->set_domain(domain);
      opset->set_version(known != versions.end() ? known->second.second : 1);
    }
    try {
      pb::shape_inference::DataValueMap data;
      pb::shape_inference::InferShapes(model, pb::OpSchemaRegistry::Instance(),
                                       pb::ShapeInferenceOptions(false, 0, true), &data);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception&) {
      // What was inferred before a node that libonnx gives up on stays.
    }
    read(model.graph());
  }

 private:
  struct Target {
    Graph* graph;
    ValueId value;
  };

  std::string fresh_name(Graph& graph, ValueId value) {
    std::string name = std::to_string(targets_.size());
    targets_.emplace(name, Target{&graph, value});
    return name;
  }

  static void declare(pb::ValueInfoProto& info, const std::string& name, const ValueType& type) {
    info.set_name(name);
    set_type(*info.mutable_type(), type);
    if (type.kind == ValueType::Kind::kUnknown) info.clear_type();
  }

  // `captured` holds the names and types of what the node around this graph passes in.
  void fill(Graph& graph, pb::GraphProto& proto, const std::vector<std::pair<std::string, ValueType>>& captured) {
    proto.set_name("graph");
    std::unordered_map<std::uint32_t, std::string> names;
    const auto name_of = [&](ValueId id) -> const std::string& {
      static const std::string none;
      if (id == kNoValue) return none;
      std::string& name = names[static_cast<std::uint32_t>(id)];
      if (!name.empty()) return name;
      name = fresh_name(graph, id);
      const ir::Value& value = graph.value(id);
      if (!value.is_constant()) return name;
      if (value.constant.byte_count() <= kInlineTensorBytes) {
        pb::TensorProto* tensor = proto.add_initializer();
        tensor->set_name(name);
        set_tensor(*tensor, value.constant, true);
      } else {
        declare(*outermost_->add_input(), name, value.type);
      }
      return name;
    };

    const std::size_t own = graph.inputs().size() - captured.size();
    for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
      const ValueId id = graph.inputs()[i];
      if (i < own) {
        declare(*proto.add_input(), name_of(id), graph.value(id).type);
      } else {
        ValueType type = graph.value(id).type;
        type.refine(captured[i - own].second);
        graph.set_type(id, std::move(type));
        names[static_cast<std::uint32_t>(id)] = captured[i - own].first;
      }
    }
    for (const NodeId id : graph.topological_order()) fill_node(graph, graph.mutable_node(id), proto, name_of);
    for (const ValueId id : graph.outputs()) declare(*proto.add_output(), name_of(id), graph.value(id).type);
  }

  template <typename NameOf>
  void fill_node(Graph& graph, Node& node, pb::GraphProto& proto, const NameOf& name_of) {
    pb::NodeProto& out = *proto.add_node();
    out.set_op_type(node.op);
    out.set_domain(node.domain);
    domains_.insert(node.domain);
    const std::size_t own = node.inputs.size() - static_cast<std::size_t>(node.capture_count);
    for (std::size_t i = 0; i < own; ++i) out.add_input(name_of(node.inputs[i]));
    for (const auto& [name, attribute] : node.attributes.entries()) {
      pb::AttributeProto& written = *out.add_attribute();
      set_attribute(written, name, attribute);
      if (node.op == "Optional" && name == "type" && std::holds_alternative<std::string>(attribute)) {
        written.clear_s();
        written.set_type(pb::AttributeProto::TYPE_PROTO);
        set_type(*written.mutable_tp(), ValueType::parse(std::get<std::string>(attribute)).value_or(ValueType{}));
      }
    }
    if (!node.graphs.empty()) {
      std::vector<std::pair<std::string, ValueType>> captured;
      for (std::size_t i = own; i < node.inputs.size(); ++i) {
        captured.emplace_back(name_of(node.inputs[i]), graph.value(node.inputs[i]).type);
      }
      for (auto& [name, nested] : node.graphs) {
        pb::AttributeProto& attribute = *out.add_attribute();
        attribute.set_name(name);
        attribute.set_type(pb::AttributeProto::GRAPH);
        fill(*nested, *attribute.mutable_g(), captured);
      }
    }
    for (const ValueId output : node.outputs) {
      out.add_output(name_of(output));
      if (output != kNoValue && graph.value(output).type.kind != ValueType::Kind::kUnknown) {
        declare(*proto.add_value_info(), name_of(output), graph.value(output).type);
      }
    }
  }

  void read(const pb::GraphProto& proto) {
    for (const auto* list : {&proto.input(), &proto.value_info(), &proto.output()}) {
      for (const pb::ValueInfoProto& info : *list) {
        const auto target = targets_.find(info.name());
        if (target == targets_.end()) continue;
        const auto& [graph, value] = target->second;
        ValueType type = graph->value(value).type;
        type.refine(to_value_type(info.type()));
        graph->set_type(value, std::move(type));
      }
    }
    for (const pb::NodeProto& node : proto.node()) {
      for (const pb::AttributeProto& attribute : node.attribute()) {
        if (attribute.has_g()) read(attribute.g());
      }
    }
  }

  pb::GraphProto* outermost_ = nullptr;
  std::unordered_map<std::string, Target> targets_;
  std::set<std::string> domains_{""};
};

// A captured value is the outer one under another name: what inference found out about that holds inside too.
void refine_captures(Graph& graph) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    const std::size_t count = static_cast<std::size_t>(node.capture_count);
    for (const auto& [name, nested] : node.graphs) {
      for (std::size_t i = 0; i < count; ++i) {
        const ValueId inside = nested->inputs()[nested->inputs().size() - count + i];
        ValueType type = nested->value(inside).type;
        type.refine(graph.value(node.inputs[node.inputs.size() - count + i]).type);
        nested->set_type(inside, std::move(type));
      }
      refine_captures(*nested);
    }
  }
}

}  // namespace

void infer_shapes(ir::Graph& graph) {
  Inference().run(graph);
  refine_captures(graph);
}

}  // namespace lanner::onnx
