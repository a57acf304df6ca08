// fuse-preprocessing: what a model does to a picture before its first convolution becomes one lanner.Preprocess
// (kernels/preprocess.cpp): Cast, Transpose, arithmetic with constants per channel, Resize, Pad, and the Unsqueezes and
// Squeezes in between. Each of these nodes walks the whole picture, and before the Resize pictures are large.
#include <algorithm>
#include <string>

#include "passes/known_elements.h"
#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"
#include "passes/same_shape.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Add", "Cast", "Div", "Mul", "Pad", "Resize", "Sub", "Transpose"};
constexpr std::string_view kArithmetic[] = {"Add", "Div", "Mul", "Sub"};
constexpr std::string_view kLayouts[] = {"NCHW", "NHWC", "CHW", "HWC"};
// What has more is no picture.
constexpr std::int64_t kMostChannels = 4;

// Nodes that become one, from the picture on: at most one Resize and, behind it, at most one Pad.
struct Chain {
  ValueId start;
  ValueId value;  // the last node's result
  ElementType element;
  std::string input_layout;
  std::string layout;     // of `value`
  std::int64_t images;    // -1 where they are not known
  std::int64_t channels;  // 0 where they are not known any more
  std::vector<NodeId> nodes = {};
  int passes = 0;      // nodes that walk the picture
  bool moves = false;  // and do not only arithmetic
  std::vector<std::string> steps = {};
  std::vector<float> operands = {};
  const Node* resize = nullptr;
  const Node* pad = nullptr;
  std::string resize_layout = {};
  std::string pad_layout = {};

  int rank() const { return static_cast<int>(layout.size()); }
};

bool is_one_of(std::span<const std::string_view> ops, std::string_view op) {
  return std::ranges::find(ops, op) != ops.end();
}

bool is_view(const Node& node) {
  return is_op(node, "Unsqueeze") || is_op(node, "Squeeze") || is_op(node, "Reshape");
}

// Whether the value is an input of the graph, whatever its shape is called.
bool is_graph_input(const Graph& graph, ValueId value) {
  for (const Node* node = graph.producer(value); node != nullptr; node = graph.producer(value)) {
    if (!is_view(*node) || !has_input(*node, 0)) return false;
    value = node->inputs[0];
  }
  return !graph.value(value).is_constant();
}

// The layout of a view that only adds or drops a dimension of one image in front; empty for any other view.
std::string viewed_layout(const Graph& graph, const Node& node, const std::string& layout) {
  const bool has_images = layout.starts_with('N');
  const std::string other = has_images ? layout.substr(1) : "N" + layout;
  if (node.op != "Reshape") {
    const auto axes = constant_ints(graph, input(node, 1));
    const auto rank = static_cast<int>(std::max(layout.size(), other.size()));
    const bool first = axes && axes->size() == 1 && known_axis((*axes)[0], rank) == 0;
    return first && has_images == (node.op == "Squeeze") ? other : "";
  }
  const ValueType& from = type_of(graph, node.inputs[0]);
  const ValueType& to = type_of(graph, node.outputs[0]);
  if (rank_of(graph, node.inputs[0]) != static_cast<int>(layout.size()) ||
      rank_of(graph, node.outputs[0]) != static_cast<int>(other.size())) {
    return "";
  }
  const ValueType& longer = has_images ? from : to;
  const ValueType& shorter = has_images ? to : from;
  const bool same = longer.dims[0].size == 1 && std::equal(shorter.dims.begin(), shorter.dims.end(),
                                                           longer.dims.begin() + 1, longer.dims.end(), same_size);
  return same ? other : "";
}

// Whether a Resize certainly leaves images and channels alone.
bool resizes_pixels_alone(const Graph& graph, const Node& node, const Chain& chain) {
  std::vector<std::int64_t> axes = node.attributes.get_ints("axes");
  if (axes.empty()) {
    for (int axis = 0; axis < chain.rank(); ++axis) axes.push_back(axis);
  }
  const auto scales = constant_floats(graph, input(node, 2));
  // An empty list is as good as none.
  const bool is_scaled = has_input(node, 2) && !(scales && scales->empty());
  const auto sizes = is_scaled ? std::nullopt : known_elements(graph, input(node, 3));
  const bool stretches = node.attributes.get_string("keep_aspect_ratio_policy", "stretch") == "stretch";
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::optional<int> axis = known_axis(axes[i], chain.rank());
    if (!axis) return false;
    const char letter = chain.layout[static_cast<std::size_t>(*axis)];
    if (letter == 'H' || letter == 'W') continue;
    if (scales && scales->size() == axes.size() && (*scales)[i] == 1) continue;
    if (!sizes || sizes->size() != axes.size() || !stretches) return false;
    const Element& element = (*sizes)[i];
    if (element.number != (letter == 'N' ? chain.images : chain.channels) && !element.is_dim_of(chain.value, *axis))
      return false;
  }
  return true;
}

// Whether a Pad certainly leaves the channels alone.
bool keeps_channels(const Graph& graph, const Node& node, const Chain& chain) {
  const auto pads = known_elements(graph, input(node, 1));
  std::vector<std::int64_t> axes;
  if (has_input(node, 3)) {
    const auto constant = constant_ints(graph, node.inputs[3]);
    if (!constant) return false;
    axes = *constant;
  } else {
    for (int axis = 0; axis < chain.rank(); ++axis) axes.push_back(axis);
  }
  if (!pads || pads->size() != 2 * axes.size()) return false;
  for (std::size_t i = 0; i < pads->size(); ++i) {
    const std::optional<int> axis = known_axis(axes[i % axes.size()], chain.rank());
    if (!axis || (chain.layout[static_cast<std::size_t>(*axis)] == 'C' && (*pads)[i].number != 0)) return false;
  }
  return true;
}

// Whether the node does something to the picture `value` that may be part of a chain.
bool prepares(const Node& node, ValueId value) {
  if (!node.domain.empty() || node.outputs.size() != 1 || node.outputs[0] == kNoValue) return false;
  if (is_one_of(kArithmetic, node.op)) return node.inputs.size() == 2;
  return (is_one_of(kOps, node.op) || is_view(node)) && node.inputs[0] == value;
}

// Makes the node, which prepares chain.value, part of the chain; says why it cannot be, or nothing.
std::string extend(const Graph& graph, NodeId id, Chain& chain) {
  const Node& node = graph.node(id);
  const bool is_arithmetic = is_one_of(kArithmetic, node.op);
  const bool is_float = chain.element == ElementType::kFloat32;
  if (is_view(node)) {
    const std::string layout = viewed_layout(graph, node, chain.layout);
    if (layout.empty()) return fmt::format("a {} shapes the picture anew", node.op);
    chain.layout = layout;
    chain.images = 1;
  } else if (node.op == "Cast") {
    if (is_float || static_cast<ElementType>(node.attributes.get_int("to", 0)) != ElementType::kFloat32) {
      return "it is cast to another type than float32";
    }
    chain.element = ElementType::kFloat32;
  } else if (node.op == "Transpose") {
    std::string layout;
    for (const std::int64_t axis : permutation_of(graph, node)) {
      if (known_axis(axis, chain.rank()) == axis) layout += chain.layout[static_cast<std::size_t>(axis)];
    }
    if (layout.size() != chain.layout.size() || std::ranges::find(kLayouts, layout) == std::end(kLayouts)) {
      return "a Transpose does not only move the channels";
    }
    chain.layout = layout;
  } else if (is_arithmetic) {
    if (!is_float) return "it computes with bytes";
    if (chain.channels == 0) return "the Pad may add channels";
    const bool first = node.inputs[0] == chain.value;
    if (!first && (node.op == "Sub" || node.op == "Div")) return "the picture is on the right of " + node.op;
    const Image image{chain.rank(), static_cast<int>(chain.layout.find('C')), chain.channels, ElementType::kFloat32};
    const auto operands = per_channel(graph, image, node.inputs[first ? 1 : 0]);
    if (!operands) return fmt::format("{} has no constant per channel", node.op);
    chain.steps.push_back(node.op);
    for (const double operand : *operands) chain.operands.push_back(static_cast<float>(operand));
  } else if (node.op == "Resize") {
    if (chain.resize != nullptr || chain.pad != nullptr) return "it is resized again, or after it is padded";
    const std::string mode = node.attributes.get_string("mode", "nearest");
    if (mode == "cubic") return "the Resize is cubic";
    if (node.attributes.get_int("antialias", 0) != 0) return "the Resize has antialias";
    if (node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize") {
      return "the Resize crops";
    }
    if (!is_float && mode != "nearest") return "bytes are interpolated";
    if (!resizes_pixels_alone(graph, node, chain)) return "the Resize may resize images or channels";
    chain.resize = &node;
    chain.resize_layout = chain.layout;
    chain.steps.push_back(node.op);
  } else {
    if (chain.pad != nullptr) return "it is padded again";
    if (node.attributes.get_string("mode", "constant") != "constant") return "the padding is not constant";
    if (!keeps_channels(graph, node, chain)) chain.channels = 0;
    chain.pad = &node;
    chain.pad_layout = chain.layout;
    chain.steps.push_back(node.op);
  }
  chain.nodes.push_back(id);
  chain.value = node.outputs[0];
  if (!is_view(node)) {
    ++chain.passes;
    chain.moves = chain.moves || !is_arithmetic;
  }
  return {};
}

// Where the dimensions of chain.value can be read without it: a value with those of another layout.
struct KnownDims {
  ValueId value = kNoValue;
  std::string layout;
};

std::optional<KnownDims> known_dims(const Chain& chain) {
  if (chain.pad != nullptr) return std::nullopt;
  if (chain.resize == nullptr) return KnownDims{kNoValue, chain.input_layout};  // those of the start
  const Node& node = *chain.resize;
  if (!has_input(node, 3) || node.attributes.has("axes") ||
      node.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch") {
    return std::nullopt;
  }
  return KnownDims{node.inputs[3], chain.resize_layout};
}

bool reads_whole_shape(const Node& node) {
  return is_op(node, "Shape") && node.attributes.empty();
}

// Shape nodes that read a value inside the chain, and what they give.
struct ShapeUser {
  NodeId node;
  KnownDims dims;
  std::string layout;
};

// The node that goes on, the only user of chain.value but for Shapes that can be had without it, or why there is none.
NodeId next_node(const Graph& graph, const Chain& chain, std::vector<ShapeUser>& shapes, std::string& reason) {
  if (graph.is_output(chain.value)) {
    reason = "a result on the way is a graph output";
    return kNoNode;
  }
  const std::optional<KnownDims> dims = known_dims(chain);
  NodeId next = kNoNode;
  for (const NodeId user : graph.value(chain.value).users) {
    if (dims && reads_whole_shape(graph.node(user))) {
      shapes.push_back({user, *dims, chain.layout});
    } else if (next == kNoNode) {
      next = user;
    } else {
      reason = fmt::format("a result on the way has another user, {}", graph.node(user).op);
      return kNoNode;
    }
  }
  return next;
}

// The longest chain from `at` on whose result is float32, and the Shapes on the way.
struct Found {
  Chain chain;
  std::vector<ShapeUser> shapes;
  std::string reason;  // why it does not go on
};

Found find_chain(const Graph& graph, NodeId at, Chain chain) {
  Found best{chain, {}, {}};
  std::vector<ShapeUser> shapes;
  for (NodeId next = at; next != kNoNode && prepares(graph.node(next), chain.value);) {
    best.reason = extend(graph, next, chain);
    if (!best.reason.empty()) break;
    if (chain.element == ElementType::kFloat32) {
      best.chain = chain;
      best.shapes = shapes;
    }
    next = next_node(graph, chain, shapes, best.reason);
  }
  return best;
}

// A node of what stands for a Shape.
ValueId shape_node(std::string_view op, std::vector<ValueId> inputs, std::size_t rank, Edit& edit,
                   tensor::Attributes attributes = {}) {
  Node node = make_node(op, std::move(inputs), std::move(attributes));
  node.stands_for = {"Shape"};
  return edit.node(std::move(node), ValueType::tensor(ElementType::kInt64, {static_cast<std::int64_t>(rank)}));
}

// The dimensions of a picture in layout `to`, from those in another.
ValueId dims_in(const KnownDims& dims, const std::string& to, Edit& edit) {
  ValueId value = dims.value;
  const bool one = to.starts_with('N') && !dims.layout.starts_with('N');
  const std::string rest = one ? to.substr(1) : to;
  if (rest != dims.layout) {
    std::vector<std::int64_t> places;
    for (const char axis : rest) places.push_back(static_cast<std::int64_t>(dims.layout.find(axis)));
    value = shape_node("Gather", {value, edit.constant(int_tensor(places))}, places.size(), edit);
  }
  if (!one) return value;
  tensor::Attributes attributes;
  attributes.set("axis", std::int64_t{0});
  return shape_node("Concat", {edit.constant(int_tensor({1})), value}, to.size(), edit, std::move(attributes));
}

Node fused_node(const Graph& graph, const Chain& chain) {
  Node fused = make_node("Preprocess", {chain.start}, {}, "lanner");
  for (const NodeId id : chain.nodes) {
    const Node& node = graph.node(id);
    if (node.stands_for.empty()) fused.stands_for.push_back(node.op);
    fused.stands_for.insert(fused.stands_for.end(), node.stands_for.begin(), node.stands_for.end());
  }
  const auto take_input = [&](const Node& node, std::size_t position, std::size_t place) {
    if (!has_input(node, position)) return;
    if (fused.inputs.size() <= place) fused.inputs.resize(place + 1, kNoValue);
    fused.inputs[place] = node.inputs[position];
  };
  if (chain.resize != nullptr) {
    fused.attributes = chain.resize->attributes;
    fused.attributes.set("resize_layout", chain.resize_layout);
    take_input(*chain.resize, 2, 1);
    take_input(*chain.resize, 3, 2);
  }
  if (chain.pad != nullptr) {
    fused.attributes.set("pad_layout", chain.pad_layout);
    for (std::size_t position = 1; position < 4; ++position) take_input(*chain.pad, position, position + 2);
  }
  fused.attributes.set("input_layout", chain.input_layout);
  fused.attributes.set("output_layout", chain.layout);
  if (!chain.steps.empty()) fused.attributes.set("steps", chain.steps);
  if (!chain.operands.empty()) fused.attributes.set("operands", chain.operands);
  return fused;
}

bool reads(const Node* node, ValueId value) {
  return node != nullptr && std::ranges::find(node->inputs, value) != node->inputs.end();
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.empty()) return no_match();
  const bool right = node.inputs.size() == 2 && constant_of(graph, node.inputs[0]) != nullptr;
  const ValueId start = node.inputs[right ? 1 : 0];
  if (start == kNoValue || !is_graph_input(graph, start)) return no_match();
  const ValueType& type = type_of(graph, start);
  if (!type.is_tensor() || !type.ranked) return no_match();
  if (type.element != ElementType::kUint8 && type.element != ElementType::kFloat32) return no_match();

  std::optional<Found> found;
  for (const std::string_view layout : kLayouts) {
    if (layout.size() != type.dims.size()) continue;
    const tensor::Dim& channels = type.dims[layout.find('C')];
    if (!channels.known() || channels.size < 1 || channels.size > kMostChannels) continue;
    const std::int64_t images = layout.starts_with('N') ? type.dims[0].size : 1;
    Found other = find_chain(
        graph, at, {start, start, type.element, std::string(layout), std::string(layout), images, channels.size});
    if (!found || other.chain.nodes.size() > found->chain.nodes.size()) found = std::move(other);
  }
  if (!found) return no_match();
  const Chain& chain = found->chain;
  if (chain.passes < 2 || !chain.moves) {
    return found->reason.empty() ? no_match() : near_miss("{}", found->reason);
  }
  edit.replace(chain.value, edit.node(fused_node(graph, chain), type_of(graph, chain.value)));
  ValueId start_dims = kNoValue;
  for (const ShapeUser& shape : found->shapes) {
    KnownDims dims = shape.dims;
    if (dims.value == kNoValue) {
      if (start_dims == kNoValue) start_dims = shape_node("Shape", {start}, type.dims.size(), edit);
      dims.value = start_dims;
    }
    const ValueId given = graph.node(shape.node).outputs[0];
    if (reads(chain.resize, given) || reads(chain.pad, given)) return near_miss("it is resized to its own shape");
    edit.replace(given, dims_in(dims, shape.layout, edit));
    if (!edit.consume(shape.node)) return near_miss("{}", edit.blocked());
  }
  for (auto id = chain.nodes.rbegin(); id != chain.nodes.rend(); ++id) {
    if (!edit.consume(*id)) return near_miss("{}", edit.blocked());
  }
  return rewrite();
}

}  // namespace

constinit const Rule kFusePreprocessing{
    "fuse-preprocessing", "Makes one pass over the picture of all that is done to it before the first convolution.",
    kOps, fuse};

}  // namespace lanner::passes
