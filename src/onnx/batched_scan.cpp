#include "onnx/batched_scan.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/fail.h"

namespace lanner::onnx {

namespace {

// Has a body that the converter enters, and no version between 8 and the newest one that it would have to adapt.
constexpr const char* kDisguise = "Loop";
constexpr const char* kMark = "lanner.scan";

template <typename Visit>
void for_each_node(pb::GraphProto& graph, const Visit& visit) {
  for (pb::NodeProto& node : *graph.mutable_node()) {
    for (pb::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) for_each_node(*attribute.mutable_g(), visit);
    }
    visit(node);
  }
}

void set_int(pb::NodeProto& node, const char* name, std::int64_t value) {
  pb::AttributeProto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(pb::AttributeProto::INT);
  attribute->set_i(value);
}

void split_batch_off(pb::NodeProto& scan) {
  if (scan.input_size() > 0 && !scan.input(0).empty()) {
    base::fail(ErrorCode::kUnimplemented, "model.unsupported", "{} of opset 8 has sequence lengths '{}'",
               describe(scan), scan.input(0));
  }
  pb::NodeProto inner;
  inner.set_op_type(kDisguise);
  set_int(inner, kMark, 1);
  pb::NodeProto outer = inner;
  inner.mutable_attribute()->MergeFrom(scan.attribute());
  for (pb::AttributeProto& attribute : *inner.mutable_attribute()) {
    if (attribute.name() == "directions") attribute.set_name("scan_input_directions");
  }
  outer.set_name(scan.name());
  set_int(outer, "num_scan_inputs", std::max(scan.input_size() - 1, 0));
  pb::AttributeProto* attribute = outer.add_attribute();
  attribute->set_name("body");
  attribute->set_type(pb::AttributeProto::GRAPH);
  pb::GraphProto& body = *attribute->mutable_g();
  body.set_name("batch");
  // Names of outputs are the model's alone, so these hide nothing from the body inside.
  std::string prefix;
  for (const std::string& output : scan.output()) prefix += output + "/";
  for (int i = 1; i < scan.input_size(); ++i) {
    outer.add_input(scan.input(i));
    inner.add_input(fmt::format("{}item_{}", prefix, i));
    body.add_input()->set_name(inner.input(i - 1));
  }
  for (int i = 0; i < scan.output_size(); ++i) {
    outer.add_output(scan.output(i));
    inner.add_output(fmt::format("{}result_{}", prefix, i));
    body.add_output()->set_name(inner.output(i));
  }
  body.add_node()->Swap(&inner);
  scan.Swap(&outer);
}

bool is_mark(const pb::AttributeProto& attribute) {
  return attribute.name() == kMark;
}

}  // namespace

void disguise_batched_scans(pb::ModelProto& model) {
  const bool opset_8 = std::ranges::any_of(
      model.opset_import(), [](const auto& opset) { return opset.domain().empty() && opset.version() == 8; });
  if (!opset_8) return;
  for_each_node(*model.mutable_graph(), [](pb::NodeProto& node) {
    if (node.op_type() == "Scan" && node.domain().empty()) split_batch_off(node);
  });
}

void undisguise_scans(pb::ModelProto& model) {
  for_each_node(*model.mutable_graph(), [](pb::NodeProto& node) {
    auto& attributes = *node.mutable_attribute();
    const auto mark = std::find_if(attributes.begin(), attributes.end(), is_mark);
    if (mark == attributes.end()) return;
    attributes.erase(mark);
    node.set_op_type("Scan");
    // The converter has declared what it does not know.
    for (pb::AttributeProto& attribute : attributes) {
      if (attribute.name() != "body" || attribute.g().name() != "batch") continue;
      for (pb::ValueInfoProto& info : *attribute.mutable_g()->mutable_input()) info.clear_type();
      for (pb::ValueInfoProto& info : *attribute.mutable_g()->mutable_output()) info.clear_type();
    }
  });
}

}  // namespace lanner::onnx
