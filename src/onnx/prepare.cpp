#include "onnx/prepare.h"

#include <onnx/checker.h>
#include <onnx/defs/schema.h>
#include <onnx/inliner/inliner.h>
#include <onnx/shape_inference/implementation.h>
#include <onnx/version_converter/convert.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <stdexcept>
#include <unordered_map>

#include "base/fail.h"
#include "onnx/baked_sizes.h"
#include "onnx/batched_scan.h"
#include "onnx/expand.h"
#include "onnx/specialize.h"

namespace lanner::onnx {

namespace {

constexpr std::string_view kMovedKey = "lanner.tensor";
constexpr int kMaxFunctionDepth = 64;
constexpr std::size_t kMaxInlinedNodes = 10'000'000;
// Of a declared shape's dimensions, a name of a dimension, and a list of axes: inference copies them from node to node,
// and so a small model could take all memory.
constexpr int kMaxDeclared = 1024;

using Nodes = google::protobuf::RepeatedPtrField<pb::NodeProto>;

// Calls `visit` for every graph that the nodes hold, outer ones first. Protobuf limits how deep they nest.
template <typename Visit>
void for_each_nested_graph(Nodes& nodes, const Visit& visit) {
  for (pb::NodeProto& node : nodes) {
    for (pb::AttributeProto& attribute : *node.mutable_attribute()) {
      const auto enter = [&](pb::GraphProto& graph) {
        visit(graph);
        for_each_nested_graph(*graph.mutable_node(), visit);
      };
      if (attribute.has_g()) enter(*attribute.mutable_g());
      for (pb::GraphProto& graph : *attribute.mutable_graphs()) enter(graph);
    }
  }
}

template <typename Visit>
void for_each_graph(pb::ModelProto& model, const Visit& visit) {
  visit(*model.mutable_graph());
  for_each_nested_graph(*model.mutable_graph()->mutable_node(), visit);
  for (pb::FunctionProto& function : *model.mutable_functions()) for_each_nested_graph(*function.mutable_node(), visit);
}

// Every list of nodes: those of all graphs and of all functions.
template <typename Visit>
void for_each_node_list(pb::ModelProto& model, const Visit& visit) {
  for_each_graph(model, [&](pb::GraphProto& graph) { visit(*graph.mutable_node()); });
  for (pb::FunctionProto& function : *model.mutable_functions()) visit(*function.mutable_node());
}

template <typename Visit>
void for_each_tensor(pb::ModelProto& model, const Visit& visit) {
  for_each_graph(model, [&](pb::GraphProto& graph) {
    for (pb::TensorProto& tensor : *graph.mutable_initializer()) visit(tensor);
  });
  for_each_node_list(model, [&](Nodes& nodes) {
    for (pb::NodeProto& node : nodes) {
      for (pb::AttributeProto& attribute : *node.mutable_attribute()) {
        if (attribute.has_t()) visit(*attribute.mutable_t());
        for (pb::TensorProto& tensor : *attribute.mutable_tensors()) visit(tensor);
      }
    }
  });
}

// Runs a step of libonnx; whatever it throws becomes an Error with `reason`.
template <typename Step>
void run_step(std::string_view reason, std::string_view doing, Step&& step) {
  try {
    step();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    base::fail(ErrorCode::kResourceExhausted, "memory.exhausted", "out of memory {}", doing);
  } catch (const std::exception& error) {
    base::invalid(reason, "{}", readable(error));
  }
}

pb::ModelProto parse(std::span<const std::byte> bytes) {
  if (bytes.empty()) base::invalid("model.empty", "the model is empty");
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    base::invalid("model.too_large",
                  "the model has {} bytes, but a protobuf message can have 2 GiB at most: store its tensors as "
                  "external data",
                  bytes.size());
  }
  pb::ModelProto model;
  if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    base::fail(ErrorCode::kDataLoss, "model.parse",
               "this is no ONNX model, or it is truncated: protobuf cannot parse it");
  }
  if (!model.has_graph()) base::invalid("model.invalid", "this is no ONNX model: it has no graph");
  return model;
}

// ---- normal form before the check ---------------------------------------------------------------------------------

void use_default_domain(std::string& domain) {
  if (domain == "ai.onnx") domain.clear();
}

void merge_opsets(google::protobuf::RepeatedPtrField<pb::OperatorSetIdProto>& opsets) {
  const auto& known = pb::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
  std::map<std::string, std::int64_t> versions;
  for (pb::OperatorSetIdProto& opset : opsets) {
    use_default_domain(*opset.mutable_domain());
    const std::string shown = opset.domain().empty() ? "ai.onnx" : opset.domain();
    const auto [entry, added] = versions.emplace(opset.domain(), opset.version());
    if (!added && entry->second != opset.version()) {
      base::invalid("model.invalid", "the model imports domain '{}' twice, as version {} and {}", shown, entry->second,
                    opset.version());
    }
    if (opset.version() < 1) base::invalid("model.invalid", "domain '{}' has version {}", shown, opset.version());
    if (opset.version() > std::numeric_limits<int>::max()) {
      base::invalid("model.opset", "domain '{}' has version {}", shown, opset.version());
    }
    const auto range = known.find(opset.domain());
    if (range != known.end() && opset.version() > range->second.second) {
      base::fail(ErrorCode::kUnimplemented, "model.opset",
                 "the model uses opset {} of domain '{}', but the newest known is {}: export it for an older opset",
                 opset.version(), shown, range->second.second);
    }
  }
  opsets.Clear();
  for (const auto& [domain, version] : versions) {
    pb::OperatorSetIdProto* opset = opsets.Add();
    opset->set_domain(domain);
    opset->set_version(version);
  }
}

void normalise_type(pb::TypeProto& type) {
  if (type.has_sequence_type()) return normalise_type(*type.mutable_sequence_type()->mutable_elem_type());
  if (type.has_optional_type()) return normalise_type(*type.mutable_optional_type()->mutable_elem_type());
  if (!type.has_tensor_type() || !type.tensor_type().has_shape()) return;
  pb::TensorShapeProto& shape = *type.mutable_tensor_type()->mutable_shape();
  if (shape.dim_size() > kMaxDeclared) {
    base::fail(ErrorCode::kUnimplemented, "model.unsupported", "a value of the model has {} dimensions, more than {}",
               shape.dim_size(), kMaxDeclared);
  }
  for (pb::TensorShapeProto_Dimension& dim : *shape.mutable_dim()) {
    if (dim.has_dim_value() && dim.dim_value() < 0) dim.clear_dim_value();
    if (dim.dim_param().size() > kMaxDeclared) dim.clear_dim_param();
  }
}

// libonnx keeps axes in an int where it has them as an int64, and then trusts what is left of them.
void check_axes(const pb::NodeProto& node) {
  for (const pb::AttributeProto& attribute : node.attribute()) {
    if (!attribute.name().ends_with("axis") && !attribute.name().ends_with("axes")) continue;
    const auto check = [&](std::int64_t axis) {
      if (axis >= std::numeric_limits<int>::min() && axis <= std::numeric_limits<int>::max()) return;
      base::invalid("model.invalid", "attribute '{}' of {} is {}, which is no axis", attribute.name(), describe(node),
                    axis);
    };
    if (attribute.ints_size() > kMaxDeclared) {
      base::fail(ErrorCode::kUnimplemented, "model.unsupported", "attribute '{}' of {} has {} elements, more than {}",
                 attribute.name(), describe(node), attribute.ints_size(), kMaxDeclared);
    }
    check(attribute.i());
    for (const std::int64_t axis : attribute.ints()) check(axis);
  }
}

void normalise(pb::ModelProto& model) {
  if (model.ir_version() > newest_ir_version()) {
    base::fail(ErrorCode::kUnimplemented, "model.opset",
               "the model has IR version {}, but the newest known is {}: export it with an older onnx package",
               model.ir_version(), newest_ir_version());
  }
  model.clear_training_info();
  merge_opsets(*model.mutable_opset_import());
  for (pb::FunctionProto& function : *model.mutable_functions()) {
    use_default_domain(*function.mutable_domain());
    merge_opsets(*function.mutable_opset_import());
  }
  for_each_graph(model, [](pb::GraphProto& graph) {
    if (graph.name().empty()) graph.set_name("graph");
    for (auto* list : {graph.mutable_input(), graph.mutable_output(), graph.mutable_value_info()}) {
      for (pb::ValueInfoProto& info : *list) {
        if (info.has_type()) normalise_type(*info.mutable_type());
      }
    }
  });
  for_each_node_list(model, [](Nodes& nodes) {
    for (pb::NodeProto& node : nodes) {
      use_default_domain(*node.mutable_domain());
      check_axes(node);
      // The version converter uses these names for nodes of its own.
      for (const std::string_view reserved : {"Undefined", "Captured", "Param", "Return"}) {
        if (node.op_type() == reserved) {
          base::fail(ErrorCode::kUnimplemented, "model.unsupported", "an operator cannot be named '{}'", reserved);
        }
      }
    }
  });
}

// ---- tensors ------------------------------------------------------------------------------------------------------

void move_dense(pb::TensorProto& proto, Tensor tensor, MovedTensors& moved) {
  const std::string name = proto.name();
  proto.Clear();
  proto.set_name(name);
  proto.set_data_type(static_cast<int>(tensor.element_type()));
  proto.add_dims(0);
  MovedTensors::mark(proto, moved.add(std::move(tensor)));
}

void densify(pb::ModelProto& model, MovedTensors& moved) {
  for_each_graph(model, [&](pb::GraphProto& graph) {
    for (const pb::SparseTensorProto& sparse : graph.sparse_initializer()) {
      pb::TensorProto* dense = graph.add_initializer();
      dense->set_name(sparse.values().name());
      move_dense(*dense, to_dense(sparse), moved);
    }
    graph.clear_sparse_initializer();
  });
  for_each_node_list(model, [&](Nodes& nodes) {
    for (pb::NodeProto& node : nodes) {
      if (node.op_type() != "Constant" || !node.domain().empty()) continue;
      for (pb::AttributeProto& attribute : *node.mutable_attribute()) {
        if (attribute.type() != pb::AttributeProto::SPARSE_TENSOR || attribute.name() != "sparse_value") continue;
        Tensor tensor = to_dense(attribute.sparse_tensor());
        attribute.clear_sparse_tensor();
        attribute.set_name("value");
        attribute.set_type(pb::AttributeProto::TENSOR);
        move_dense(*attribute.mutable_t(), std::move(tensor), moved);
      }
    }
  });
}

void move_tensors(pb::ModelProto& model, ExternalData& external, MovedTensors& moved) {
  for_each_tensor(model, [&](pb::TensorProto& proto) {
    if (proto.data_location() == pb::TensorProto::EXTERNAL)
      move_dense(proto, external.load(proto), moved);
    else if (proto.ByteSizeLong() > kInlineTensorBytes)
      move_dense(proto, take_tensor(proto), moved);
    else
      proto.clear_external_data();
  });
  densify(model, moved);
}

// ---- the steps of libonnx -----------------------------------------------------------------------------------------

// Refuses functions that nest so deep, or grow to so many nodes, that inlining would exhaust the stack or memory.
class FunctionSizes {
 public:
  explicit FunctionSizes(const pb::ModelProto& model) {
    for (const pb::FunctionProto& function : model.functions()) {
      functions_.emplace(function.domain() + ":" + function.name(), Entry{&function});
    }
  }

  void check(const pb::ModelProto& model) {
    for (auto& [name, entry] : functions_) size(name, entry, 0);
    static_cast<void>(nodes_size(model.graph().node(), 0));
  }

 private:
  struct Entry {
    const pb::FunctionProto* function;
    std::size_t node_count = 0;  // 0: not known yet
  };

  std::size_t size(const std::string& name, Entry& entry, int depth) {
    if (depth > kMaxFunctionDepth) {
      base::invalid("model.invalid", "function '{}' calls itself, or functions nest more than {} deep", name,
                    kMaxFunctionDepth);
    }
    if (entry.node_count == 0) entry.node_count = 1 + nodes_size(entry.function->node(), depth + 1);
    return entry.node_count;
  }

  std::size_t nodes_size(const Nodes& nodes, int depth) {
    std::size_t total = 0;
    for (const pb::NodeProto& node : nodes) {
      const auto callee = functions_.find(node.domain() + ":" + node.op_type());
      total += callee == functions_.end() ? 1 : size(callee->first, callee->second, depth);
      for (const pb::AttributeProto& attribute : node.attribute()) {
        total += nodes_size(attribute.g().node(), depth);
        for (const pb::GraphProto& graph : attribute.graphs()) total += nodes_size(graph.node(), depth);
      }
      if (total > kMaxInlinedNodes) {
        base::invalid("model.invalid", "the model's functions expand to more than {} nodes", kMaxInlinedNodes);
      }
    }
    return total;
  }

  std::unordered_map<std::string, Entry> functions_;
};

void check(pb::ModelProto& model) {
  // The checker insists on a rank for graph inputs and outputs, which valid models need not have.
  std::vector<pb::TypeProto_Tensor*> unranked;
  for (auto* list : {model.mutable_graph()->mutable_input(), model.mutable_graph()->mutable_output()}) {
    for (pb::ValueInfoProto& info : *list) {
      if (!info.type().has_tensor_type() || info.type().tensor_type().has_shape()) continue;
      unranked.push_back(info.mutable_type()->mutable_tensor_type());
      unranked.back()->mutable_shape();
    }
  }
  run_step("model.invalid", "checking the model", [&] { pb::checker::check_model(model); });
  for (pb::TypeProto_Tensor* type : unranked) type->clear_shape();
}

// Before IR version 4 every initializer had to be listed as a graph input, so there it does not mean "may be given".
void drop_initializer_inputs(pb::ModelProto& model) {
  if (model.ir_version() >= 4) return;
  for_each_graph(model, [](pb::GraphProto& graph) {
    std::unordered_map<std::string, bool> initialized;
    for (const pb::TensorProto& tensor : graph.initializer()) initialized[tensor.name()] = true;
    auto& inputs = *graph.mutable_input();
    inputs.erase(std::remove_if(inputs.begin(), inputs.end(),
                                [&](const pb::ValueInfoProto& input) { return initialized.contains(input.name()); }),
                 inputs.end());
  });
}

std::int64_t opset_of(const pb::ModelProto& model) {
  for (const pb::OperatorSetIdProto& opset : model.opset_import()) {
    if (opset.domain().empty()) return opset.version();
  }
  return 0;
}

// Before opset 7 a PRelu had one slope a channel, and since then slopes broadcast, which the version converter leaves
// out: gives them as many dimensions as there are behind the channels.
void align_slopes(pb::ModelProto& model) {
  for_each_graph(model, [](pb::GraphProto& graph) {
    std::unordered_map<std::string, int> ranks;
    for (const auto* list : {&graph.input(), &graph.value_info(), &graph.output()}) {
      for (const pb::ValueInfoProto& info : *list) {
        if (info.type().tensor_type().has_shape()) ranks[info.name()] = info.type().tensor_type().shape().dim_size();
      }
    }
    Nodes nodes;
    nodes.Swap(graph.mutable_node());
    for (pb::NodeProto& node : nodes) {
      const auto rank = node.input_size() == 2 ? ranks.find(node.input(0)) : ranks.end();
      if (node.op_type() == "PRelu" && node.domain().empty() && rank != ranks.end() && rank->second > 2) {
        pb::NodeProto& unsqueeze = *graph.add_node();
        unsqueeze.set_op_type("Unsqueeze");
        unsqueeze.add_input(node.input(1));
        node.set_input(1, node.output(0) + "/slope");
        unsqueeze.add_output(node.input(1));
        pb::AttributeProto& axes = *unsqueeze.add_attribute();
        axes.set_name("axes");
        axes.set_type(pb::AttributeProto::INTS);
        for (int axis = 1; axis < rank->second - 1; ++axis) axes.add_ints(axis);
      }
      graph.add_node()->Swap(&node);
    }
  });
}

void upgrade(pb::ModelProto& model) {
  const std::int64_t opset = opset_of(model);
  if (opset == 0 || opset == newest_opset()) return;
  if (opset < 7) {
    pb::shape_inference::InferShapes(model);
    align_slopes(model);
  }
  const auto imports = model.opset_import();
  try {
    model = pb::version_conversion::ConvertVersion(model, newest_opset());
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    base::fail(ErrorCode::kUnimplemented, "model.opset", "cannot upgrade the model from opset {} to {}: {}", opset,
               newest_opset(), readable(error));
  }
  for (const pb::OperatorSetIdProto& import : imports) {
    const bool kept = std::ranges::any_of(
        model.opset_import(), [&](const pb::OperatorSetIdProto& other) { return other.domain() == import.domain(); });
    if (!kept) *model.add_opset_import() = import;
  }
}

// Declared types of inner values are a hint that may be stale. Values of foreign operators have no other source.
void forget_declared_types(pb::ModelProto& model) {
  for_each_graph(model, [](pb::GraphProto& graph) {
    std::unordered_map<std::string, bool> foreign;
    for (const pb::NodeProto& node : graph.node()) {
      if (node.domain().empty()) continue;
      for (const std::string& output : node.output()) foreign[output] = true;
    }
    auto& infos = *graph.mutable_value_info();
    infos.erase(std::remove_if(infos.begin(), infos.end(),
                               [&](const pb::ValueInfoProto& info) { return !foreign.contains(info.name()); }),
                infos.end());
    for (pb::ValueInfoProto& output : *graph.mutable_output()) {
      if (output.type().has_tensor_type()) output.mutable_type()->mutable_tensor_type()->clear_shape();
    }
  });
}

// The first complaint of strict inference. Later ones may be its consequences: a node without output types leaves those
// that read it without input types.
std::string first_complaint(const std::exception& error) {
  constexpr std::string_view kList = "Inference error(s): ";
  const std::string_view text = error.what();
  const std::size_t list = text.find(kList);
  const std::string_view rest = list == std::string_view::npos ? text : text.substr(list + kList.size());
  return readable(std::runtime_error(std::string(rest.substr(0, rest.find('\n')))));
}

using Integers = pb::shape_inference::DataValueMap;

void run_inference(pb::ModelProto& model, bool strict, Integers& integers) {
  integers.clear();
  pb::shape_inference::InferShapes(model, pb::OpSchemaRegistry::Instance(),
                                   pb::ShapeInferenceOptions(strict, strict ? 1 : 0, true), &integers);
}

// A node whose types contradict ONNX's rules makes the model invalid. One whose shape cannot be inferred does not: its
// outputs stay unknown, and the complaint is returned. `integers` gets the elements of what describes shapes.
std::string infer(pb::ModelProto& model, Integers& integers) {
  std::string complaint;
  try {
    run_inference(model, true, integers);
    return complaint;
  } catch (const pb::InferenceError& error) {
    complaint = first_complaint(error);
    const bool wrong_type = complaint.find("[TypeInferenceError]") != std::string::npos;
    const bool absent_type = complaint.find("null") != std::string::npos;
    if ((wrong_type && !absent_type) || complaint.find(" typestr: ") != std::string::npos) {
      base::invalid("model.invalid", "{}", complaint);
    }
  }
  forget_declared_types(model);
  try {
    run_inference(model, false, integers);
  } catch (const pb::InferenceError&) {
    // What was inferred up to here stays.
  }
  return complaint;
}

std::string infer(pb::ModelProto& model) {
  Integers integers;
  return infer(model, integers);
}

// Gives the dimensions that `as_exported` fixes and `model` leaves open twice the exported size; false if there are
// none.
bool double_open_dimensions(const pb::ModelProto& as_exported, pb::ModelProto& model) {
  bool any = false;
  for (int i = 0; i < model.graph().input_size(); ++i) {
    const pb::ValueInfoProto& old_input = as_exported.graph().input(i);
    pb::ValueInfoProto& input = *model.mutable_graph()->mutable_input(i);
    if (!old_input.type().has_tensor_type() || !input.type().has_tensor_type()) continue;
    const auto& old_dims = old_input.type().tensor_type().shape().dim();
    for (int k = 0; k < old_dims.size() && k < input.type().tensor_type().shape().dim_size(); ++k) {
      auto& dim = *input.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(k);
      if (!old_dims[k].has_dim_value() || dim.has_dim_value() || old_dims[k].dim_value() > INT32_MAX) continue;
      dim.set_dim_value(2 * std::max<std::int64_t>(old_dims[k].dim_value(), 1));
      any = true;
    }
  }
  return any;
}

// Infers the model for other input sizes. What is wrong only with those is an error; a size that was fixed and is open
// now has to follow where twice the exported one would.
void infer_for_sizes(PreparedModel& prepared, const InputSizes& sizes) {
  pb::ModelProto as_exported = prepared.proto;
  set_input_sizes(prepared.proto, sizes);
  forget_declared_types(prepared.proto);
  pb::ModelProto probe = prepared.proto;
  const bool opened = double_open_dimensions(as_exported, probe);
  Integers old_integers;
  Integers integers;
  const bool was_sound = infer(as_exported, old_integers).empty();
  const std::string complaint = infer(probe, integers);
  const InferredModel before{as_exported, old_integers};
  const InferredModel now{probe, integers};
  check_baked_sizes(before, now, prepared.tensors);  // first, because what is baked in contradicts itself further down
  if (was_sound && !complaint.empty()) fail_for_sizes(before, now, prepared.tensors, complaint);
  if (opened)
    infer(prepared.proto);
  else
    prepared.proto = std::move(probe);
}

}  // namespace

std::size_t MovedTensors::add(Tensor tensor) {
  tensors_.push_back(std::move(tensor));
  return tensors_.size() - 1;
}

void MovedTensors::mark(pb::TensorProto& proto, std::size_t index) {
  pb::StringStringEntryProto* entry = proto.add_external_data();
  entry->set_key(std::string(kMovedKey));
  entry->set_value(std::to_string(index));
}

namespace {

// The index in a marked message; false for one that has its data.
bool marked(const pb::TensorProto& proto, std::size_t& index) {
  if (proto.external_data_size() != 1 || proto.external_data(0).key() != kMovedKey) return false;
  const std::string& text = proto.external_data(0).value();
  std::from_chars(text.data(), text.data() + text.size(), index);
  return true;
}

}  // namespace

Tensor MovedTensors::find(const pb::TensorProto& proto) const {
  std::size_t index = 0;
  return marked(proto, index) ? tensors_.at(index) : to_tensor(proto);
}

void MovedTensors::restore(pb::TensorProto& proto) const {
  std::size_t index = 0;
  if (!marked(proto, index)) return;
  proto.clear_dims();
  for (const std::int64_t dim : tensors_.at(index).shape()) proto.add_dims(dim);
  proto.set_data_location(pb::TensorProto::EXTERNAL);
}

PreparedModel prepare(std::span<const std::byte> bytes, ExternalData& external,
                      const std::function<bool(std::string_view)>& has_kernel, const InputSizes& sizes) {
  PreparedModel prepared{parse(bytes), {}, {}};
  pb::ModelProto& model = prepared.proto;
  normalise(model);
  move_tensors(model, external, prepared.tensors);
  FunctionSizes(model).check(model);
  check(model);
  for_each_tensor(model, [&](pb::TensorProto& proto) { prepared.tensors.restore(proto); });
  for (const pb::StringStringEntryProto& entry : model.metadata_props()) {
    prepared.properties.emplace_back(entry.key(), entry.value());
  }
  drop_initializer_inputs(model);
  if (model.opset_import().empty()) model.add_opset_import()->set_version(1);
  model.set_ir_version(std::max<std::int64_t>(model.ir_version(), 10));
  run_step("model.invalid", "inlining functions", [&] { pb::inliner::InlineLocalFunctions(model, true); });
  run_step("model.invalid", "upgrading the opset", [&] {
    disguise_batched_scans(model);
    upgrade(model);
    undisguise_scans(model);
  });
  run_step("model.invalid", "inferring shapes",
           [&] { sizes.empty() ? static_cast<void>(infer(model)) : infer_for_sizes(prepared, sizes); });
  if (has_kernel) {
    run_step("model.invalid", "expanding functions", [&] {
      for (int round = 0; expand_functions(model, has_kernel, round); ++round) infer(model);
    });
  }
  return prepared;
}

}  // namespace lanner::onnx
