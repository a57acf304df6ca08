#include "onnx/expand.h"

#include <onnx/defs/schema.h>
#include <onnx/shape_inference/attribute_binder.h>
#include <onnx/version_converter/convert.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/fail.h"

namespace lanner::onnx {

namespace {

// The types of the values that a graph can see.
struct Scope {
  explicit Scope(const pb::GraphProto& graph, const Scope* outer_scope = nullptr) : outer(outer_scope) {
    for (const pb::TensorProto& tensor : graph.initializer()) {
      pb::TypeProto& type = types[tensor.name()];
      type.mutable_tensor_type()->set_elem_type(tensor.data_type());
      pb::TensorShapeProto* shape = type.mutable_tensor_type()->mutable_shape();
      for (const std::int64_t dim : tensor.dims()) shape->add_dim()->set_dim_value(dim);
    }
    for (const auto* list : {&graph.value_info(), &graph.output(), &graph.input()}) {
      for (const pb::ValueInfoProto& info : *list) types[info.name()] = info.type();
    }
  }

  // Empty where nothing is known.
  pb::TypeProto type_of(const std::string& name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
      if (const auto found = scope->types.find(name); found != scope->types.end()) return found->second;
    }
    return {};
  }

  const Scope* outer;
  std::unordered_map<std::string, pb::TypeProto> types;
};

const pb::OpSchema* function_schema(const pb::NodeProto& node,
                                    const std::function<bool(std::string_view)>& has_kernel) {
  if (node.domain().empty() && has_kernel(node.op_type())) return nullptr;
  const auto& versions = pb::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
  const auto domain = versions.find(node.domain());
  if (domain == versions.end()) return nullptr;
  const pb::OpSchema* schema =
      pb::OpSchemaRegistry::Instance()->GetSchema(node.op_type(), domain->second.second, node.domain());
  return schema != nullptr && (schema->HasFunction() || schema->HasContextDependentFunction()) ? schema : nullptr;
}

// Renames the values of a function's body: its parameters to the arguments, all others to names of their own. Nodes get
// names that say what they were a part of.
class Renaming {
 public:
  Renaming(const pb::NodeProto& call, const pb::FunctionProto& function, std::string prefix)
      : prefix_(std::move(prefix)) {
    const auto bind = [&](const std::string& parameter, const std::string& argument) { names_[parameter] = argument; };
    for (int i = 0; i < function.input_size(); ++i) {
      bind(function.input(i), i < call.input_size() ? call.input(i) : std::string());
    }
    for (int i = 0; i < function.output_size(); ++i) {
      // An output that nobody asked for keeps a name of its own: the body may read it.
      if (i < call.output_size() && !call.output(i).empty()) bind(function.output(i), call.output(i));
    }
  }

  void apply(google::protobuf::RepeatedPtrField<pb::NodeProto>& nodes) const {
    for (pb::NodeProto& node : nodes) {
      node.set_name(prefix_ + (node.name().empty() ? node.op_type() : node.name()));
      for (std::string& input : *node.mutable_input()) rename(input);
      for (std::string& output : *node.mutable_output()) rename(output);
      for (pb::AttributeProto& attribute : *node.mutable_attribute()) {
        if (!attribute.has_g()) continue;
        pb::GraphProto& graph = *attribute.mutable_g();
        for (auto* list : {graph.mutable_input(), graph.mutable_output(), graph.mutable_value_info()}) {
          for (pb::ValueInfoProto& info : *list) rename(*info.mutable_name());
        }
        for (pb::TensorProto& tensor : *graph.mutable_initializer()) rename(*tensor.mutable_name());
        apply(*graph.mutable_node());
      }
    }
  }

 private:
  void rename(std::string& name) const {
    if (name.empty()) return;
    const auto bound = names_.find(name);
    name = bound != names_.end() ? bound->second : prefix_ + name;
  }

  std::string prefix_;
  std::unordered_map<std::string, std::string> names_;
};

// Brings a body that was written for an older opset to the newest one.
void upgrade_body(const pb::NodeProto& call, const Scope& scope, pb::FunctionProto& function) {
  pb::ModelProto model;
  model.set_ir_version(newest_ir_version());
  *model.mutable_opset_import() = function.opset_import();
  std::int64_t opset = 0;
  for (const pb::OperatorSetIdProto& import : function.opset_import()) {
    if (import.domain().empty()) opset = import.version();
  }
  if (opset == 0 || opset >= newest_opset()) return;
  pb::GraphProto& graph = *model.mutable_graph();
  graph.set_name(function.name());
  const auto declare = [&](pb::ValueInfoProto& info, const std::string& name) {
    info.set_name(name);
    *info.mutable_type() = scope.type_of(name);
  };
  std::unordered_set<std::string> declared;
  for (const std::string& input : call.input()) {
    if (!input.empty() && declared.insert(input).second) declare(*graph.add_input(), input);
  }
  for (const std::string& output : call.output()) {
    if (!output.empty()) declare(*graph.add_output(), output);
  }
  graph.mutable_node()->Swap(function.mutable_node());
  pb::ModelProto converted = pb::version_conversion::ConvertVersion(model, newest_opset());
  function.clear_node();
  // Constants that the converter made.
  for (pb::TensorProto& tensor : *converted.mutable_graph()->mutable_initializer()) {
    pb::NodeProto* constant = function.add_node();
    constant->set_op_type("Constant");
    constant->add_output(tensor.name());
    pb::AttributeProto* value = constant->add_attribute();
    value->set_name("value");
    value->set_type(pb::AttributeProto::TENSOR);
    value->mutable_t()->Swap(&tensor);
  }
  for (pb::NodeProto& node : *converted.mutable_graph()->mutable_node()) function.add_node()->Swap(&node);
}

class Expander {
 public:
  Expander(const std::function<bool(std::string_view)>& has_kernel, int round)
      : has_kernel_(has_kernel), round_(round) {}

  bool expand(pb::GraphProto& graph, const Scope* outer) {
    const Scope scope(graph, outer);
    bool changed = false;
    google::protobuf::RepeatedPtrField<pb::NodeProto> nodes;
    nodes.Swap(graph.mutable_node());
    for (pb::NodeProto& node : nodes) {
      pb::FunctionProto function;
      if (body_of(node, scope, function)) {
        changed = true;
        for (pb::NodeProto& inner : *function.mutable_node()) graph.add_node()->Swap(&inner);
        continue;
      }
      for (pb::AttributeProto& attribute : *node.mutable_attribute()) {
        if (attribute.has_g()) changed |= expand(*attribute.mutable_g(), &scope);
      }
      graph.add_node()->Swap(&node);
    }
    return changed;
  }

 private:
  bool body_of(const pb::NodeProto& node, const Scope& scope, pb::FunctionProto& function) {
    const pb::OpSchema* schema = function_schema(node, has_kernel_);
    if (schema == nullptr) return false;
    // Bodies of ONNX's own domain are written for several opsets.
    const int opset = node.domain().empty() ? newest_opset() : pb::OpSchema::kUninitializedSinceVersion;
    pb::NodeProto call = node;
    for (const auto& [name, attribute] : schema->attributes()) {
      const auto has_name = [&name = name](const pb::AttributeProto& given) { return given.name() == name; };
      if (attribute.default_value.name().empty() || std::ranges::any_of(call.attribute(), has_name)) continue;
      *call.add_attribute() = attribute.default_value;
    }
    if (schema->HasFunction()) {
      const pb::FunctionProto* body = schema->GetFunction(opset);
      if (body == nullptr) return false;
      function = *body;
    } else {
      std::vector<pb::TypeProto> types;
      for (const std::string& input : call.input()) types.push_back(scope.type_of(input));
      const pb::FunctionBodyBuildContextImpl context(call, types);
      if (!schema->BuildContextDependentFunction(context, function, opset)) return false;
    }
    pb::internal::AttributeBinder::BindAttributes(call, function);
    Renaming(call, function, fmt::format("{}/{}_{}_{}/", call.name(), call.op_type(), round_, ++count_))
        .apply(*function.mutable_node());
    upgrade_body(call, scope, function);
    return true;
  }

  const std::function<bool(std::string_view)>& has_kernel_;
  int round_;
  int count_ = 0;
};

bool wants_expansion(const pb::GraphProto& graph, const std::function<bool(std::string_view)>& has_kernel) {
  return std::ranges::any_of(graph.node(), [&](const pb::NodeProto& node) {
    return function_schema(node, has_kernel) != nullptr ||
           std::ranges::any_of(node.attribute(), [&](const pb::AttributeProto& attribute) {
             return attribute.has_g() && wants_expansion(attribute.g(), has_kernel);
           });
  });
}

}  // namespace

bool expand_functions(pb::ModelProto& model, const std::function<bool(std::string_view)>& has_kernel, int round) {
  return wants_expansion(model.graph(), has_kernel) &&
         Expander(has_kernel, round).expand(*model.mutable_graph(), nullptr);
}

}  // namespace lanner::onnx
