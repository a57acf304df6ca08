#include "onnx/size_arithmetic.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace lanner::onnx {

namespace {

constexpr std::size_t kMostElements = 64;
constexpr int kMostDepth = 64;

std::int64_t attribute_of(const pb::NodeProto& node, std::string_view name, std::int64_t fallback) {
  for (const pb::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == name) return attribute.i();
  }
  return fallback;
}

template <typename Function>
std::optional<Numbers> each(Numbers numbers, Function function) {
  for (double& number : numbers) number = function(number);
  return numbers;
}

// Of operators on two values, one of which may have one element for all.
template <typename Function>
std::optional<Numbers> pairwise(const Numbers& a, const Numbers& b, Function function) {
  if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return std::nullopt;
  Numbers result;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    result.push_back(function(a[a.size() == 1 ? 0 : i], b[b.size() == 1 ? 0 : i]));
  }
  return result;
}

std::optional<Numbers> cast(const Numbers& numbers, std::int64_t type) {
  switch (type) {
    case pb::TensorProto::FLOAT:
      return each(numbers, [](double x) { return static_cast<double>(static_cast<float>(x)); });
    case pb::TensorProto::DOUBLE:
      return numbers;
    case pb::TensorProto::INT32:
    case pb::TensorProto::INT64:
      return each(numbers, [](double x) { return std::trunc(x); });
    default:
      return std::nullopt;
  }
}

class Reader {
 public:
  explicit Reader(const Lookup& lookup) : lookup_(lookup) {}

  std::optional<Numbers> read(const std::string& name, int depth) {
    if (name.empty() || depth > kMostDepth || --reads_left_ < 0) return std::nullopt;
    const KnownValue known = lookup_(name);
    if (known.elements) return known.elements;
    if (known.maker == nullptr || !known.maker->domain().empty() || known.maker->output(0) != name) return std::nullopt;
    const pb::NodeProto& node = *known.maker;
    std::vector<Numbers> inputs;
    for (const std::string& input : node.input()) {
      std::optional<Numbers> numbers = read(input, depth + 1);
      if (!numbers || numbers->empty() || numbers->size() > kMostElements) return std::nullopt;
      inputs.push_back(*std::move(numbers));
    }
    return inputs.empty() ? std::nullopt : compute(node, inputs);
  }

 private:
  static std::optional<Numbers> compute(const pb::NodeProto& node, const std::vector<Numbers>& inputs) {
    const std::string_view op = node.op_type();
    const Numbers& x = inputs[0];
    // Of at most one dimension: these move nothing.
    if (op == "Identity" || op == "Unsqueeze" || op == "Squeeze" || op == "Reshape" || op == "Flatten") return x;
    if (op == "Cast") return cast(x, attribute_of(node, "to", 0));
    if (op == "Floor") return each(x, [](double v) { return std::floor(v); });
    if (op == "Ceil") return each(x, [](double v) { return std::ceil(v); });
    if (op == "Round") return each(x, [](double v) { return std::nearbyint(v); });
    if (op == "Neg") return each(x, [](double v) { return -v; });
    if (op == "Reciprocal") return each(x, [](double v) { return 1 / v; });
    if (op == "Concat") {
      Numbers joined;
      for (const Numbers& part : inputs) joined.insert(joined.end(), part.begin(), part.end());
      return joined;
    }
    if ((op == "ReduceMin" || op == "ReduceMax") && inputs.size() == 1) {
      return Numbers{op == "ReduceMin" ? *std::ranges::min_element(x) : *std::ranges::max_element(x)};
    }
    if (op == "Min" || op == "Max") {
      std::optional<Numbers> result = x;
      for (std::size_t i = 1; i < inputs.size() && result; ++i) {
        result = pairwise(*result, inputs[i],
                          [&](double a, double b) { return op == "Min" ? std::min(a, b) : std::max(a, b); });
      }
      return result;
    }
    if (inputs.size() != 2) return std::nullopt;
    const Numbers& y = inputs[1];
    if (op == "Add") return pairwise(x, y, [](double a, double b) { return a + b; });
    if (op == "Sub") return pairwise(x, y, [](double a, double b) { return a - b; });
    if (op == "Mul") return pairwise(x, y, [](double a, double b) { return a * b; });
    if (op == "Gather") {
      Numbers picked;
      for (double at : y) {
        if (at < 0) at += static_cast<double>(x.size());
        if (!(at >= 0 && at < static_cast<double>(x.size()))) return std::nullopt;
        picked.push_back(x[static_cast<std::size_t>(at)]);
      }
      return picked;
    }
    return std::nullopt;
  }

  const Lookup& lookup_;
  int reads_left_ = 1024;
};

}  // namespace

std::optional<Numbers> size_arithmetic(const std::string& name, const Lookup& lookup) {
  return Reader(lookup).read(name, 0);
}

}  // namespace lanner::onnx
