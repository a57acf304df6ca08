// resize-like: Resize to sizes that are computed from the shape of another tensor, as feature pyramids do before they
// add the two, becomes a lanner.ResizeLike of both tensors (kernels/resize_like.cpp). Of an image of any size the sizes
// are no constants, and backends take dense operators only if they see what sizes come from.
#include "passes/known_elements.h"
#include "passes/match.h"
#include "passes/rules.h"
#include "passes/same_shape.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Resize"};

// The value whose spatial dimensions are the elements from the third on.
ValueId same_spatial_dims(const Graph& graph, const std::vector<Element>& elements) {
  const ValueId like = elements[2].value;
  for (std::size_t axis = 2; axis < elements.size(); ++axis) {
    if (!elements[axis].is_dim_of(like, static_cast<int>(axis))) return kNoValue;
  }
  return rank_of(graph, like) == static_cast<int>(elements.size()) ? like : kNoValue;
}

// What a convolution reads instead of what it makes, where both are as large: so the sum behind the resize can still
// become part of that convolution.
ValueId before_convolutions(const Graph& graph, ValueId like) {
  SizeOrigins origins(graph);
  for (;;) {
    const Node* node = graph.producer(like);
    if (node == nullptr || !is_op(*node, "Conv")) return like;
    const ValueId before = node->inputs[0];
    const int rank = rank_of(graph, before);
    if (rank != rank_of(graph, like)) return like;
    for (std::size_t axis = 2; axis < static_cast<std::size_t>(rank); ++axis) {
      if (origins.of(before, axis) != origins.of(like, axis)) return like;
    }
    like = before;
  }
}

Verdict resize_like(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || !has_input(node, 3) || constant_of(graph, node.inputs[3]) != nullptr) return no_match();
  const ValueId x = node.inputs[0];
  const int rank = rank_of(graph, x);
  if (rank < 3) return near_miss("the input has no known rank of 3 or more");
  if (node.attributes.has("axes")) return near_miss("it names axes");
  if (node.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch") {
    return near_miss("it keeps the aspect ratio");
  }
  const auto elements = known_elements(graph, node.inputs[3]);
  if (!elements || elements->size() != static_cast<std::size_t>(rank)) {
    return near_miss("nothing is known of the sizes");
  }
  for (int axis = 0; axis < 2; ++axis) {
    const Element& element = (*elements)[static_cast<std::size_t>(axis)];
    const tensor::Dim& dim = type_of(graph, x).dims[static_cast<std::size_t>(axis)];
    const bool same_number = element.number && dim.known() && *element.number == dim.size;
    if (!same_number && !element.is_dim_of(x, axis)) return near_miss("it may resize the batch or the channels");
  }
  const ValueId like = same_spatial_dims(graph, *elements);
  if (like == kNoValue) return near_miss("the sizes are not the spatial dimensions of one tensor");
  Node resized = make_node("ResizeLike", {x, before_convolutions(graph, like)}, node.attributes, "lanner");
  edit.replace(node.outputs[0], edit.node(std::move(resized), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kResizeLike{
    "resize-like", "Makes Resize to the spatial dimensions of another tensor an operator on both tensors.", kOps,
    resize_like};

}  // namespace lanner::passes
