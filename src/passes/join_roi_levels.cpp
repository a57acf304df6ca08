// join-roi-levels: RoiAlign for each level of a pyramid, whose results are scattered into rows of zeros, is one
// lanner.PyramidRoiAlign that pools each region into its row. Torchvision and Detectron2 pool regions so: boxes are
// given to levels by their size. The operator reads maps channels-last, which costs a convolution's output nothing.
#include <algorithm>
#include <optional>

#include "passes/known_elements.h"
#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"ScatterND"};

// One RoiAlign whose results become rows of `data`.
struct Level {
  NodeId scatter;
  NodeId align;
  ValueId data;  // what ScatterND changes
  ValueId rows;
};

bool is_column(const Graph& graph, ValueId value) {
  const ValueType& type = type_of(graph, value);
  return type.ranked && type.dims.size() == 2 && type.dims[1].size == 1;
}

std::optional<Level> level_of(const Graph& graph, ValueId value) {
  const NodeId producer = graph.value(value).producer;
  if (producer == kNoNode) return std::nullopt;
  const Node& scatter = graph.node(producer);
  if (!is_op(scatter, "ScatterND") || scatter.attributes.get_string("reduction", "none") != "none") return std::nullopt;
  const Node* align = graph.producer(scatter.inputs[2]);
  if (align == nullptr || !is_op(*align, "RoiAlign")) return std::nullopt;
  // One row for each result, or one for all that is repeated.
  ValueId rows = scatter.inputs[1];
  const Node* expand = graph.producer(rows);
  if (expand != nullptr && is_op(*expand, "Expand")) {
    const auto target = known_elements(graph, expand->inputs[1]);
    if (!target || target->size() != 2 || (*target)[1].number != 1) return std::nullopt;
    rows = expand->inputs[0];
  }
  if (!is_column(graph, rows)) return std::nullopt;
  return Level{producer, graph.value(scatter.inputs[2]).producer, scatter.inputs[0], rows};
}

// Whether a value is made of zeros of float32; `shape` becomes that of the shape.
bool is_zeros(const Graph& graph, ValueId value, ValueId& shape) {
  const Node* fill = graph.producer(value);
  if (fill == nullptr || !is_op(*fill, "ConstantOfShape")) return false;
  shape = fill->inputs[0];
  const tensor::Attribute* value_attribute = fill->attributes.find("value");
  if (value_attribute == nullptr) return true;
  const auto* element = std::get_if<Tensor>(value_attribute);
  return element != nullptr && element->element_type() == ElementType::kFloat32 && element->element_count() == 1 &&
         *element->data<float>() == 0;
}

bool same_but_scale(const Node& a, const Node& b) {
  const auto of = [](const Node& node) {
    tensor::Attributes attributes = node.attributes;
    attributes.set("spatial_scale", 1.0f);
    return attributes;
  };
  return of(a) == of(b);
}

bool is_convolution(const Node* node) {
  return node != nullptr && is_conv(*node);
}

// The level's nodes: users before producers, and of the rows' expansion what asks how many results there are.
bool consume(const Graph& graph, const Level& level, NodeId at, Edit& edit) {
  if (level.scatter != at && !edit.consume(level.scatter)) return false;
  const NodeId expand = graph.value(graph.node(level.scatter).inputs[1]).producer;
  if (expand != kNoNode && is_op(graph.node(expand), "Expand")) {
    if (!edit.consume(expand)) return false;
    std::vector<ValueId> pending{graph.node(expand).inputs[1]};
    while (!pending.empty()) {
      const NodeId producer = graph.value(pending.back()).producer;
      pending.pop_back();
      if (producer == kNoNode || producer == level.align) continue;
      if (!edit.consume(producer)) continue;
      const auto& inputs = graph.node(producer).inputs;
      pending.insert(pending.end(), inputs.begin(), inputs.end());
    }
  }
  return edit.consume(level.align);
}

void add_operators(const Node& node, std::vector<std::string>& to) {
  if (node.stands_for.empty()) to.push_back(node.op);
  to.insert(to.end(), node.stands_for.rbegin(), node.stands_for.rend());
}

Verdict join(const Graph& graph, NodeId at, Edit& edit) {
  const ValueId result = graph.node(at).outputs[0];
  const std::optional<Level> last = level_of(graph, result);
  if (!last) return no_match();
  std::vector<Level> levels{*last};  // last first
  while (const std::optional<Level> before = level_of(graph, levels.back().data)) levels.push_back(*before);
  ValueId shape = kNoValue;
  if (!is_zeros(graph, levels.back().data, shape)) return near_miss("the rows are not put into zeros");
  for (const NodeId user : graph.value(result).users) {
    if (graph.node(user).inputs[0] == result && level_of(graph, graph.node(user).outputs[0])) return no_match();
  }

  const Node& first = graph.node(levels.back().align);
  if (first.attributes.get_string("mode", "avg") != "avg") return near_miss("it does not average");
  std::vector<ValueId> inputs{shape};
  std::vector<float> scales;
  for (std::size_t i = levels.size(); i-- > 0;) {
    const Node& align = graph.node(levels[i].align);
    const ValueType& map = type_of(graph, align.inputs[0]);
    if (map.element != ElementType::kFloat32 || !map.ranked || map.dims.size() != 4) {
      return near_miss("a map is not known to be of float32 and rank 4");
    }
    if (!same_but_scale(first, align)) return near_miss("the levels are pooled differently");
    if (!is_convolution(graph.producer(align.inputs[0]))) return near_miss("a map is not made by a convolution");
    scales.push_back(align.attributes.get_float("spatial_scale", 1.0f));
  }
  std::vector<std::string> stands_for;
  for (const Level& level : levels) {
    if (!consume(graph, level, at, edit)) return near_miss("{}", edit.blocked());
    add_operators(graph.node(level.scatter), stands_for);
    add_operators(graph.node(level.align), stands_for);
  }
  std::ranges::reverse(stands_for);
  for (std::size_t i = levels.size(); i-- > 0;) {
    const Node& align = graph.node(levels[i].align);
    const ValueType& map = type_of(graph, align.inputs[0]);
    ValueType turned = map;
    turned.dims = {map.dims[0], map.dims[2], map.dims[3], map.dims[1]};
    inputs.push_back(edit.node(make_transpose(align.inputs[0], {0, 2, 3, 1}), std::move(turned)));
    inputs.insert(inputs.end(), {align.inputs[1], align.inputs[2], levels[i].rows});
  }
  tensor::Attributes attributes = first.attributes;
  attributes.erase("spatial_scale");
  attributes.set("spatial_scales", std::move(scales));
  Node joined = make_node("PyramidRoiAlign", std::move(inputs), std::move(attributes), "lanner");
  joined.stands_for = std::move(stands_for);
  edit.replace(result, edit.node(std::move(joined), type_of(graph, result)));
  return rewrite();
}

}  // namespace

constinit const Rule kJoinRoiLevels{
    "join-roi-levels", "Pools regions from all levels of a pyramid at once, each into its row.", kOps, join};

}  // namespace lanner::passes
