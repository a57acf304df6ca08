// fold-input-scale: multiplying a Conv's input by one constant per channel becomes part of the Conv's weights, also
// where the picture is shifted, enlarged or padded with zeros in between. Models normalise pictures so. (A shift cannot
// go the same way: the Conv's own padding is zeros.)
#include <cmath>

#include "passes/match.h"
#include "passes/product_pattern.h"
#include "passes/rules.h"
#include "tensor/dispatch.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Conv"};
constexpr int kMostNodes = 8;
constexpr double kLargestShift = 1e30;

// Where on the way from the scale to the Conv: a value, and what it is an image of.
struct Place {
  ValueId value;
  Image image;
};

bool is_constant(const Graph& graph, ValueId value) {
  return value != kNoValue && graph.value(value).is_constant();
}

// What a node reads, if a scale of its channels can go from before the node to behind it.
std::optional<Place> before(const Graph& graph, const Node& node, const Place& place) {
  if (!node.domain.empty()) return std::nullopt;
  Place result{input(node, 0), place.image};
  if (node.op == "Add" || node.op == "Sub") {
    if (node.inputs.size() != 2) return std::nullopt;
    if (node.op == "Add" && is_constant(graph, node.inputs[0])) result.value = node.inputs[1];
    return result;
  }
  if (node.op == "Unsqueeze") {
    const auto axes = constant_ints(graph, input(node, 1));
    if (!axes || axes->size() != 1 || place.image.axis != 1) return std::nullopt;
    if ((*axes)[0] != 0 && (*axes)[0] != -place.image.rank) return std::nullopt;
    --result.image.rank;
    --result.image.axis;
    return result;
  }
  if (node.op == "Resize") {
    const std::string coordinates = node.attributes.get_string("coordinate_transformation_mode", "half_pixel");
    return coordinates != "tf_crop_and_resize" ? std::optional(result) : std::nullopt;
  }
  if (node.op == "Pad") {
    const bool zeros = !has_input(node, 2) || constant_scalar(graph, node.inputs[2]) == 0.0;
    return zeros ? std::optional(result) : std::nullopt;
  }
  return std::nullopt;
}

struct Scale {
  ValueId scaled;
  std::vector<double> factors;  // of the channels
};

// What Mul or Div multiplies, and by what.
std::optional<Scale> scale_of(const Graph& graph, const Node& node, const Image& image) {
  if (!(is_op(node, "Mul") || is_op(node, "Div")) || node.inputs.size() != 2) return std::nullopt;
  const bool second = !is_constant(graph, node.inputs[0]);
  if (node.op == "Div" && !second) return std::nullopt;
  const ValueId scaled = node.inputs[second ? 0 : 1];
  if (rank_of(graph, scaled) != image.rank) return std::nullopt;
  std::optional<std::vector<double>> factors = per_channel(graph, image, node.inputs[second ? 1 : 0]);
  if (!factors) return std::nullopt;
  if (node.op == "Div") {
    for (double& factor : *factors) factor = 1.0 / factor;
  }
  return Scale{scaled, std::move(*factors)};
}

// The weights times the factors of the channels they belong to; nothing where one would not be finite.
std::optional<Tensor> scaled_weights(const Tensor& weights, const std::vector<double>& factors, std::int64_t groups) {
  Tensor result = Tensor::allocate(weights.element_type(), weights.shape());
  const std::int64_t outputs = weights.shape()[0];
  const std::int64_t inputs = weights.shape()[1];
  const std::int64_t window = weights.shape().element_count(2, weights.rank());
  bool finite = true;
  tensor::dispatch(tensor::FloatTypes{}, weights.element_type(), "Conv", [&]<typename T>() {
    const T* in = weights.data<T>();
    T* out = result.data<T>();
    for (std::int64_t output = 0; output < outputs; ++output) {
      const std::int64_t first = output / (outputs / groups) * inputs;
      for (std::int64_t channel = 0; channel < inputs; ++channel) {
        const double factor = factors[static_cast<std::size_t>(first + channel)];
        for (std::int64_t k = 0; k < window; ++k) {
          *out = static_cast<T>(*in++ * factor);
          finite &= std::isfinite(*out++);
        }
      }
    }
  });
  return finite ? std::optional(std::move(result)) : std::nullopt;
}

Verdict fold(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  const std::optional<ProductPattern> conv = conv_of(graph, node.outputs[0]);
  if (!conv) return no_match();
  const ValueType& type = type_of(graph, node.inputs[0]);
  if (!type.ranked || static_cast<int>(type.dims.size()) != conv->rank || !type.dims[1].known()) return no_match();
  const std::int64_t channels = type.dims[1].size;
  Place place{node.inputs[0], {conv->rank, 1, channels, conv->element}};

  std::vector<NodeId> between;  // the Conv's side first
  std::optional<Scale> scale;
  NodeId scaler = kNoNode;
  for (int i = 0; i < kMostNodes; ++i) {
    const Node* producer = graph.producer(place.value);
    if (producer == nullptr) return no_match();
    scaler = graph.value(place.value).producer;
    scale = scale_of(graph, *producer, place.image);
    if (scale) break;
    const std::optional<Place> read = before(graph, *producer, place);
    if (!read) return no_match();
    const ValueType& read_type = type_of(graph, read->value);
    if (rank_of(graph, read->value) != read->image.rank ||
        read_type.dims[static_cast<std::size_t>(read->image.axis)].size != channels) {
      return no_match();
    }
    between.push_back(scaler);
    place = *read;
  }
  if (!scale) return no_match();

  const Tensor* weights = constant_of(graph, node.inputs[1]);
  if (weights == nullptr) return near_miss("the weights are not constant");
  const std::int64_t groups = node.attributes.get_int("group", 1);
  if (groups < 1 || conv->channels % groups != 0 || weights->shape()[1] * groups != channels) return no_match();
  const std::optional<Tensor> scaled = scaled_weights(*weights, scale->factors, groups);
  if (!scaled) return near_miss("the folded weights would not be finite");
  for (const NodeId id : between) {
    if (!edit.consume(id)) return near_miss("{}", edit.blocked());
  }
  if (!edit.consume(scaler)) return near_miss("{}", edit.blocked());

  ValueId value = scale->scaled;
  Image image = place.image;
  for (auto id = between.rbegin(); id != between.rend(); ++id) {
    Node moved = copy_node(graph.node(*id));
    std::size_t position = 0;
    if (moved.op == "Add" || moved.op == "Sub") {
      position = is_constant(graph, moved.inputs[0]) ? 1 : 0;
      std::optional<std::vector<double>> shifts = per_channel(graph, image, moved.inputs[1 - position]);
      if (!shifts) return near_miss("a shift is no constant per channel");
      for (std::size_t i = 0; i < shifts->size(); ++i) {
        (*shifts)[i] /= scale->factors[i];
        if (!(std::abs((*shifts)[i]) < kLargestShift)) return near_miss("a shift would not be finite");
      }
      Shape shape{channels};
      for (int axis = image.axis + 1; axis < image.rank; ++axis) shape.push_back(1);
      moved.inputs[1 - position] = edit.constant(float_tensor(conv->element, shape, *shifts));
    } else if (moved.op == "Unsqueeze") {
      ++image.rank;
      ++image.axis;
    }
    moved.inputs[position] = value;
    value = edit.node(std::move(moved), type_of(graph, graph.node(*id).outputs[0]));
  }
  Node folded = copy_node(node);
  folded.inputs[0] = value;
  folded.inputs[1] = edit.constant(*scaled);
  edit.replace(node.outputs[0], edit.node(std::move(folded), type_of(graph, node.outputs[0])));
  return rewrite();
}

}  // namespace

constinit const Rule kFoldInputScale{
    "fold-input-scale", "Folds multiplying a Conv's input by one constant per channel into its weights.", kOps, fold};

}  // namespace lanner::passes
