#include "passes/region.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "passes/match.h"

namespace lanner::passes {

namespace {

bool same_constant(const Graph& graph, ValueId a, ValueId b) {
  const Tensor* x = constant_of(graph, a);
  const Tensor* y = constant_of(graph, b);
  if (x == nullptr || y == nullptr || x->element_type() != y->element_type() || !(x->shape() == y->shape())) {
    return false;
  }
  if (x->element_type() == ElementType::kString) {
    return std::ranges::equal(x->values<std::string>(), y->values<std::string>());
  }
  return x->raw_data() == y->raw_data() || std::memcmp(x->raw_data(), y->raw_data(), x->byte_count()) == 0;
}

class RegionWriter {
 public:
  RegionWriter(const Graph& graph, const SiblingCones& cones, const AlikeSiblings& siblings, std::string_view rule,
               Edit& edit)
      : graph_(graph), cones_(cones), siblings_(siblings), rule_(rule), edit_(edit) {}

  std::vector<ValueId> write() {
    add_items();
    add_fills();
    if (items_.empty()) return {};
    add_captures();
    add_nodes();
    return add_for_each();
  }

 private:
  // What siblings are given is one input of the body for all that read it.
  using GivenValues = std::vector<ValueId>;

  static bool all_alike(const GivenValues& values, const std::function<bool(ValueId, ValueId)>& alike) {
    return std::ranges::all_of(values, [&](ValueId value) { return alike(values[0], value); });
  }

  void add_items() {
    for (const AlikeSiblings::Given& given : siblings_.given()) {
      if (inside_.contains(given.values) || all_alike(given.values, std::equal_to<>())) continue;
      if (all_alike(given.values, [&](ValueId a, ValueId b) { return same_constant(graph_, a, b); })) {
        const ir::Value& value = graph_.value(given.values[0]);
        inside_[given.values] = body_->add_constant(value.name, value.constant);
        continue;
      }
      inside_[given.values] = body_->add_input(graph_.value(given.values[0]).name, given.type);
      items_.insert(items_.end(), given.values.begin(), given.values.end());
    }
  }

  // An attribute cannot be given to an iteration, but an input of Expand can.
  void add_fills() {
    for (const auto& [node, tensors] : siblings_.fills()) {
      const tensor::Attribute first(*tensors[0]);
      if (std::ranges::all_of(tensors, [&](const Tensor* fill) { return tensor::same_attribute(first, *fill); })) {
        continue;
      }
      for (const Tensor* fill : tensors) items_.push_back(edit_.constant(fill->reshaped({})));
      fills_[node] = body_->add_input("fill", ValueType::of(tensors[0]->reshaped({})));
    }
  }

  void add_captures() {
    for (const AlikeSiblings::Given& given : siblings_.given()) {
      if (inside_.contains(given.values)) continue;
      const ir::Value& value = graph_.value(given.values[0]);
      if (value.is_constant()) {
        inside_[given.values] = body_->add_constant(value.name, value.constant);
        continue;
      }
      inside_[given.values] = body_->add_input(value.name, given.type);
      captures_.push_back(given.values[0]);
    }
  }

  void add_nodes() {
    auto given = siblings_.given().begin();
    for (const NodeId id : cones_.nodes(siblings_.first())) {
      const Node& node = graph_.node(id);
      Node copy = copy_node(node);
      if (copy.made_by.empty()) copy.made_by = rule_;
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.inputs[i] == kNoValue) continue;
        const bool is_given = given != siblings_.given().end() && given->node == id && given->input == i;
        copy.inputs[i] = is_given ? inside_.at(given->values) : made_.at(node.inputs[i]);
        if (is_given) ++given;
      }
      if (const auto fill = fills_.find(id); fill != fills_.end()) {
        copy.op = "Expand";
        copy.attributes = {};
        copy.inputs.insert(copy.inputs.begin(), fill->second);
      }
      add_node(node, std::move(copy));
    }
  }

  void add_node(const Node& node, Node copy) {
    std::vector<std::string> names;
    for (const ValueId output : node.outputs) names.push_back(output == kNoValue ? "" : graph_.value(output).name);
    const NodeId id = body_->add_node(std::move(copy), names);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId output = body_->node(id).outputs[i];
      if (node.outputs[i] == kNoValue) {
        body_->drop_output(id, i);
        continue;
      }
      made_[node.outputs[i]] = output;
      body_->set_type(output, siblings_.type(node.outputs[i]));
    }
  }

  std::vector<ValueId> add_for_each() {
    std::vector<std::int64_t> axes;
    std::vector<std::pair<std::string, ValueType>> outputs;
    for (const SiblingMeeting& meeting : cones_.meetings()) {
      const std::size_t part = meeting.part_of[siblings_.first()];
      if (part == SiblingMeeting::kNoPart) continue;
      const ValueId result = meeting.joined->parts[part];
      body_->add_output(made_.at(result));
      axes.push_back(meeting.joined->axis);
      outputs.emplace_back("", joined_type(siblings_.type(result), meeting.joined->axis));
    }
    tensor::Attributes attributes;
    attributes.set("count", static_cast<std::int64_t>(siblings_.count()));
    attributes.set("axes", std::move(axes));
    std::vector<ValueId> inputs = items_;
    inputs.insert(inputs.end(), captures_.begin(), captures_.end());
    Node region = make_node("ForEach", std::move(inputs), std::move(attributes), "lanner");
    region.capture_count = static_cast<int>(captures_.size());
    region.stands_for = {region.op};  // its body's nodes stand for themselves
    region.graphs.emplace_back("body", std::move(body_));
    const std::vector<ValueId> joined = edit_.nodes(std::move(region), std::move(outputs));

    std::vector<ValueId> by_meeting;
    auto next = joined.begin();
    for (const SiblingMeeting& meeting : cones_.meetings()) {
      const bool has_result = meeting.part_of[siblings_.first()] != SiblingMeeting::kNoPart;
      by_meeting.push_back(has_result ? *next++ : kNoValue);
    }
    return by_meeting;
  }

  ValueType joined_type(ValueType type, int axis) const {
    if (static_cast<std::size_t>(axis) >= type.dims.size()) return type;
    ir::Dim& dim = type.dims[static_cast<std::size_t>(axis)];
    std::int64_t size = 0;
    const auto count = static_cast<std::int64_t>(siblings_.count());
    const bool known = dim.known() && !__builtin_mul_overflow(dim.size, count, &size);
    dim = {known ? size : -1, {}};
    return type;
  }

  const Graph& graph_;
  const SiblingCones& cones_;
  const AlikeSiblings& siblings_;
  std::string_view rule_;
  Edit& edit_;
  std::unique_ptr<Graph> body_ = std::make_unique<Graph>("body");
  std::map<GivenValues, ValueId> inside_;
  std::map<NodeId, ValueId> fills_;            // of ConstantOfShape nodes whose siblings repeat other elements
  std::unordered_map<ValueId, ValueId> made_;  // from the first sibling's values to the body's
  std::vector<ValueId> items_;                 // list after list
  std::vector<ValueId> captures_;
};

}  // namespace

std::vector<ValueId> add_region(const Graph& graph, const SiblingCones& cones, const AlikeSiblings& siblings,
                                std::string_view rule, Edit& edit) {
  return RegionWriter(graph, cones, siblings, rule, edit).write();
}

}  // namespace lanner::passes
