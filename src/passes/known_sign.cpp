#include "passes/known_sign.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "passes/match.h"

namespace lanner::passes {

namespace {

// Longer ways back are not followed to their end.
constexpr int kMaxDepth = 64;

bool is_int(ElementType type) {
  return type == ElementType::kInt64 || type == ElementType::kInt32;
}

struct Range {
  std::int64_t least = std::numeric_limits<std::int64_t>::min();
  std::int64_t greatest = std::numeric_limits<std::int64_t>::max();
};

class Signs {
 public:
  explicit Signs(const Graph& graph) : graph_(graph) {}

  bool never_negative(ValueId value, int depth) const {
    if (value == kNoValue || depth > kMaxDepth || !is_int(type_of(graph_, value).element)) return false;
    if (const auto numbers = constant_ints(graph_, value)) {
      return std::ranges::all_of(*numbers, [](std::int64_t number) { return number >= 0; });
    }
    const Node* node = graph_.producer(value);
    if (node == nullptr) return false;
    const auto input_is = [&](std::size_t position) { return never_negative(input(*node, position), depth + 1); };
    const auto all_are = [&] {
      return std::ranges::all_of(node->inputs, [&](ValueId part) { return never_negative(part, depth + 1); });
    };
    const std::string& op = node->op;
    if (!node->domain.empty()) return makes_rows(*node, value);
    if (op == "Shape" || op == "Size" || op == "NonZero" || op == "NonMaxSuppression") return true;
    if (op == "TopK") return node->outputs[0] != value || input_is(0);
    if (op == "ArgMax" || op == "ArgMin") return true;
    // Between two numbers.
    if (op == "Range") {
      const auto step = constant_scalar(graph_, input(*node, 2));
      return step && *step > 0 && input_is(0);
    }
    if (op == "Mod" || op == "Div") {
      const auto by = constant_ints(graph_, input(*node, 1));
      const bool positive = by && std::ranges::all_of(*by, [](std::int64_t number) { return number > 0; });
      return positive && ((op == "Mod" && node->attributes.get_int("fmod", 0) == 0) || input_is(0));
    }
    if (op == "Max")
      return std::ranges::any_of(node->inputs, [&](ValueId part) { return never_negative(part, depth + 1); });
    if (op == "Concat" || op == "Min") return all_are();
    if (op == "Where") return input_is(1) && input_is(2);
    // A smaller type may cut a number's sign off or make one up.
    if (op == "Cast") {
      return input_is(0) && (type_of(graph_, value).element == ElementType::kInt64 ||
                             type_of(graph_, node->inputs[0]).element == ElementType::kInt32);
    }
    static constexpr std::string_view kMoved[] = {"Compress", "Expand",   "Flatten",   "Gather",   "GatherElements",
                                                  "GatherND", "Identity", "Reshape",   "Slice",    "Split",
                                                  "Squeeze",  "Tile",     "Transpose", "Unsqueeze"};
    return std::ranges::find(kMoved, op) != std::end(kMoved) && input_is(0);
  }

  std::optional<bool> truth(ValueId value, int depth) const {
    if (value == kNoValue || depth > kMaxDepth) return std::nullopt;
    if (const Tensor* tensor = constant_of(graph_, value)) return same_truth(*tensor);
    const Node* node = graph_.producer(value);
    if (node == nullptr || !node->domain.empty()) return std::nullopt;
    const std::string& op = node->op;
    const auto of = [&](std::size_t position) { return truth(input(*node, position), depth + 1); };
    if (op == "Identity") return of(0);
    if (op == "Not") {
      const std::optional<bool> inner = of(0);
      return inner ? std::optional(!*inner) : std::nullopt;
    }
    if (op == "And" || op == "Or" || op == "Xor") {
      const std::optional<bool> a = of(0);
      const std::optional<bool> b = of(1);
      if (op == "Xor") return a && b ? std::optional(*a != *b) : std::nullopt;
      const bool decides = op == "Or";
      if (a == decides || b == decides) return decides;
      return a && b ? std::optional(!decides) : std::nullopt;
    }
    return comparison(*node);
  }

 private:
  // Whether an output of one of the compiler's own operators is a list of rows or siblings.
  static bool makes_rows(const Node& node, ValueId value) {
    if (node.op == "GroupNonMaxSuppression") return true;
    return (node.op == "ClassTopK" || node.op == "ClassNonMaxSuppression") &&
           (node.outputs[0] == value || node.outputs[1] == value);
  }

  static std::optional<bool> same_truth(const Tensor& tensor) {
    if (tensor.element_type() != ElementType::kBool || tensor.element_count() == 0) return std::nullopt;
    const auto values = tensor.values<bool>();
    if (std::ranges::count(values, values[0]) != std::ranges::ssize(values)) return std::nullopt;
    return values[0];
  }

  Range range_of(ValueId value) const {
    Range range;
    const auto numbers = constant_ints(graph_, value);
    if (numbers && !numbers->empty()) {
      const auto [least, greatest] = std::ranges::minmax(*numbers);
      range = {least, greatest};
    } else if (never_negative(value, 0)) {
      range.least = 0;
    }
    return range;
  }

  std::optional<bool> comparison(const Node& node) const {
    const bool strict = node.op == "Less" || node.op == "Greater";
    const bool known = strict || node.op == "LessOrEqual" || node.op == "GreaterOrEqual" || node.op == "Equal";
    if (!known || node.inputs.size() != 2 || !is_int(type_of(graph_, node.inputs[0]).element)) return std::nullopt;
    Range a = range_of(node.inputs[0]);
    Range b = range_of(node.inputs[1]);
    if (node.op == "Equal") {
      return a.greatest < b.least || b.greatest < a.least ? std::optional(false) : std::nullopt;
    }
    if (node.op == "Greater" || node.op == "GreaterOrEqual") std::swap(a, b);
    // Whether a < b, or a <= b.
    if (a.greatest < b.least || (!strict && a.greatest == b.least)) return true;
    if (b.greatest < a.least || (strict && b.greatest == a.least)) return false;
    return std::nullopt;
  }

  const Graph& graph_;
};

}  // namespace

bool never_negative(const Graph& graph, ValueId value) {
  return Signs(graph).never_negative(value, 0);
}

std::optional<bool> known_truth(const Graph& graph, ValueId value) {
  return Signs(graph).truth(value, 0);
}

}  // namespace lanner::passes
