#include "passes/known_elements.h"

#include <algorithm>
#include <limits>

#include "passes/match.h"

namespace lanner::passes {

namespace {

using Elements = std::vector<Element>;

constexpr std::size_t kMaxElements = 64;

// One question; bounds the work that deep or shared chains can cost.
class Reader {
 public:
  explicit Reader(const Graph& graph) : graph_(graph) {}

  std::optional<Elements> read(ValueId value) {
    if (value == kNoValue) return std::nullopt;
    const ValueType& type = type_of(graph_, value);
    if (type.is_tensor() && type.element != ElementType::kInt64 && type.element != ElementType::kInt32 &&
        type.element != ElementType::kUndefined) {
      return std::nullopt;
    }
    std::optional<Elements> found;
    if (const Tensor* constant = constant_of(graph_, value)) {
      if (constant->rank() <= 1 && constant->element_count() <= static_cast<std::int64_t>(kMaxElements)) {
        if (const auto numbers = constant_ints(graph_, value)) found = of_numbers(*numbers);
      }
      return found;
    }
    const Node* node = graph_.producer(value);
    if (node != nullptr && node->domain.empty() && node->outputs[0] == value && left_-- > 0) found = read(*node);
    if (found && found->size() > kMaxElements) return std::nullopt;
    // Elements of which nothing is known still count.
    if (!found && type.is_tensor() && type.ranked && type.dims.size() <= 1) {
      const std::int64_t count = type.dims.empty() ? 1 : type.dims[0].size;
      if (count >= 0 && count <= static_cast<std::int64_t>(kMaxElements)) {
        found = Elements(static_cast<std::size_t>(count));
      }
    }
    return found;
  }

 private:
  static Elements of_numbers(const std::vector<std::int64_t>& numbers) {
    Elements result;
    for (const std::int64_t number : numbers) result.push_back({number, kNoValue, 0});
    return result;
  }

  // All of them numbers, else nothing.
  std::optional<std::vector<std::int64_t>> numbers(ValueId value) {
    const std::optional<Elements> elements = read(value);
    if (!elements) return std::nullopt;
    std::vector<std::int64_t> result;
    for (const Element& element : *elements) {
      if (!element.number) return std::nullopt;
      result.push_back(*element.number);
    }
    return result;
  }

  std::optional<Elements> read(const Node& node) {
    if (node.op == "Shape") return shape(node);
    if (node.op == "Size") return size(node);
    if (node.op == "Gather") return gather(node);
    if (node.op == "Slice") return slice(node);
    if (node.op == "Concat") return concat(node);
    if (node.op == "Where") return where(node);
    if (node.op == "ReduceProd") return product(node);
    if (node.op == "Cast") return cast(node);
    // These keep the elements; whether the result still has rank 0 or 1 its type must say.
    if (node.op == "Identity" || node.op == "Unsqueeze" || node.op == "Squeeze" || node.op == "Reshape") {
      if (const int rank = rank_of(graph_, node.outputs[0]); rank != 0 && rank != 1) return std::nullopt;
      return read(input(node, 0));
    }
    if (node.op == "Add" || node.op == "Sub" || node.op == "Mul" || node.op == "Div" || node.op == "Min" ||
        node.op == "Max") {
      return arithmetic(node);
    }
    return std::nullopt;
  }

  std::optional<Elements> shape(const Node& node) {
    const ValueId of = input(node, 0);
    const int rank = rank_of(graph_, of);
    if (rank < 0) return std::nullopt;
    const auto bound = [&](std::int64_t axis) {
      return static_cast<int>(std::clamp<std::int64_t>(axis < 0 ? axis + rank : axis, 0, rank));
    };
    const int start = bound(node.attributes.get_int("start", 0));
    const int end = bound(node.attributes.get_int("end", rank));
    Elements result;
    for (int axis = start; axis < end; ++axis) {
      const tensor::Dim& dim = type_of(graph_, of).dims[static_cast<std::size_t>(axis)];
      if (dim.known())
        result.push_back({dim.size, kNoValue, 0});
      else
        result.push_back({std::nullopt, of, axis});
    }
    return result;
  }

  std::optional<Elements> size(const Node& node) {
    const std::optional<Shape> shape = type_of(graph_, input(node, 0)).static_shape();
    if (!shape) return std::nullopt;
    return Elements{{shape->element_count(), kNoValue, 0}};
  }

  std::optional<Elements> gather(const Node& node) {
    const std::optional<Elements> data = read(input(node, 0));
    const auto indices = numbers(input(node, 1));
    if (!data || !indices || rank_of(graph_, input(node, 0)) != 1) return std::nullopt;
    Elements result;
    const auto count = static_cast<std::int64_t>(data->size());
    for (const std::int64_t index : *indices) {
      if (index < -count || index >= count) return std::nullopt;
      result.push_back((*data)[static_cast<std::size_t>(index < 0 ? index + count : index)]);
    }
    return result;
  }

  std::optional<Elements> slice(const Node& node) {
    const std::optional<Elements> data = read(input(node, 0));
    const auto starts = numbers(input(node, 1));
    const auto ends = numbers(input(node, 2));
    if (!data || !starts || !ends || starts->size() != 1 || ends->size() != 1) return std::nullopt;
    if (rank_of(graph_, input(node, 0)) != 1) return std::nullopt;
    if (has_input(node, 4)) {
      const auto steps = numbers(input(node, 4));
      if (!steps || steps->size() != 1 || (*steps)[0] != 1) return std::nullopt;
    }
    const auto count = static_cast<std::int64_t>(data->size());
    const auto bound = [&](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + count : at, 0, count); };
    const std::int64_t start = bound((*starts)[0]);
    const std::int64_t end = bound((*ends)[0]);
    if (start >= end) return Elements{};
    return Elements(data->begin() + start, data->begin() + end);
  }

  std::optional<Elements> concat(const Node& node) {
    Elements result;
    for (const ValueId part : node.inputs) {
      const std::optional<Elements> elements = read(part);
      if (!elements) return std::nullopt;
      result.insert(result.end(), elements->begin(), elements->end());
    }
    return result;
  }

  std::optional<Elements> product(const Node& node) {
    const auto factors = numbers(input(node, 0));
    if (!factors || has_input(node, 1)) return std::nullopt;
    std::int64_t result = 1;
    for (const std::int64_t factor : *factors) {
      if (__builtin_mul_overflow(result, factor, &result)) return std::nullopt;
    }
    return Elements{{result, kNoValue, 0}};
  }

  std::optional<Elements> cast(const Node& node) {
    const auto to = static_cast<ElementType>(node.attributes.get_int("to", 0));
    const ElementType from = type_of(graph_, input(node, 0)).element;
    const auto is_int = [](ElementType type) { return type == ElementType::kInt64 || type == ElementType::kInt32; };
    if (!is_int(to) || !is_int(from)) return std::nullopt;
    std::optional<Elements> elements = read(input(node, 0));
    if (elements && to == ElementType::kInt32 && from == ElementType::kInt64) {
      for (Element& element : *elements) {
        const bool fits = element.number && *element.number >= std::numeric_limits<std::int32_t>::min() &&
                          *element.number <= std::numeric_limits<std::int32_t>::max();
        if (!fits) element = {};
      }
    }
    return elements;
  }

  // "a where condition, else b"; the condition may compare with a number no dimension can be, such as -1.
  std::optional<Elements> where(const Node& node) {
    const std::optional<Elements> chosen = read(input(node, 1));
    const std::optional<Elements> otherwise = read(input(node, 2));
    if (!chosen || !otherwise) return std::nullopt;
    const std::optional<std::vector<std::optional<bool>>> condition = truth(input(node, 0));
    if (!condition) return std::nullopt;
    std::optional<std::size_t> count = broadcast(condition->size(), chosen->size());
    if (count) count = broadcast(*count, otherwise->size());
    if (!count) return std::nullopt;
    Elements result(*count);
    for (std::size_t i = 0; i < *count; ++i) {
      const std::optional<bool> holds = (*condition)[condition->size() == 1 ? 0 : i];
      if (holds) result[i] = *holds ? at(*chosen, i) : at(*otherwise, i);
    }
    return result;
  }

  std::optional<std::vector<std::optional<bool>>> truth(ValueId value) {
    if (const Tensor* constant = constant_of(graph_, value)) {
      if (constant->element_type() != ElementType::kBool || constant->rank() > 1) return std::nullopt;
      const auto elements = constant->values<bool>();
      return std::vector<std::optional<bool>>(elements.begin(), elements.end());
    }
    const Node* node = graph_.producer(value);
    if (node == nullptr || !is_op(*node, "Equal")) return std::nullopt;
    const std::optional<Elements> a = read(input(*node, 0));
    const std::optional<Elements> b = read(input(*node, 1));
    if (!a || !b) return std::nullopt;
    const std::optional<std::size_t> count = broadcast(a->size(), b->size());
    if (!count) return std::nullopt;
    std::vector<std::optional<bool>> result(*count);
    for (std::size_t i = 0; i < *count; ++i) {
      const Element& x = at(*a, i);
      const Element& y = at(*b, i);
      if (x.number && y.number)
        result[i] = *x.number == *y.number;
      else if ((x.is_dim() && y.number && *y.number < 0) || (y.is_dim() && x.number && *x.number < 0))
        result[i] = false;
      else if (x.is_dim() && y.is_dim_of(x.value, x.axis))
        result[i] = true;
    }
    return result;
  }

  std::optional<Elements> arithmetic(const Node& node) {
    if (node.inputs.size() != 2) return std::nullopt;
    const std::optional<Elements> a = read(node.inputs[0]);
    const std::optional<Elements> b = read(node.inputs[1]);
    if (!a || !b) return std::nullopt;
    const std::optional<std::size_t> count = broadcast(a->size(), b->size());
    if (!count) return std::nullopt;
    // In int32 the sum would wrap earlier.
    const bool wide = type_of(graph_, node.inputs[0]).element == ElementType::kInt64;
    Elements result(*count);
    for (std::size_t i = 0; i < *count; ++i) {
      const Element& x = at(*a, i);
      const Element& y = at(*b, i);
      const bool neutral = (node.op == "Add" || node.op == "Sub") ? y.number == 0 : y.number == 1;
      if (x.is_dim() && neutral && node.op != "Min" && node.op != "Max") result[i] = x;
      if (node.op == "Mul" && y.is_dim() && x.number == 1) result[i] = y;
      if (node.op == "Add" && y.is_dim() && x.number == 0) result[i] = y;
      if (!x.number || !y.number || !wide) continue;
      std::int64_t number = 0;
      bool bad = false;
      if (node.op == "Add") {
        bad = __builtin_add_overflow(*x.number, *y.number, &number);
      } else if (node.op == "Sub") {
        bad = __builtin_sub_overflow(*x.number, *y.number, &number);
      } else if (node.op == "Mul") {
        bad = __builtin_mul_overflow(*x.number, *y.number, &number);
      } else if (node.op == "Div") {
        bad = *y.number <= 0 || *x.number < 0;  // where all ways to round agree
        if (!bad) number = *x.number / *y.number;
      } else if (node.op == "Min") {
        number = std::min(*x.number, *y.number);
      } else {
        number = std::max(*x.number, *y.number);
      }
      if (!bad) result[i].number = number;
    }
    return result;
  }

  static const Element& at(const Elements& elements, std::size_t i) { return elements[elements.size() == 1 ? 0 : i]; }

  static std::optional<std::size_t> broadcast(std::size_t a, std::size_t b) {
    if (a == b || b == 1) return a;
    if (a == 1) return b;
    return std::nullopt;
  }

  const Graph& graph_;
  int left_ = 128;  // nodes to look at
};

}  // namespace

std::optional<std::vector<Element>> known_elements(const Graph& graph, ValueId value) {
  return Reader(graph).read(value);
}

}  // namespace lanner::passes
