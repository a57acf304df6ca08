// fuse-gelu: x (1 + erf(x / sqrt 2)) / 2 and x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, however they are
// spelled, become ONNX's Gelu. Both what the function is of and what it is part of are read as polynomials, so it does
// not matter what was multiplied, divided or factored out first.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "passes/match.h"
#include "passes/rules.h"

namespace lanner::passes {

namespace {

constexpr std::string_view kOps[] = {"Div", "Mul"};

// How far the constants may be from what they stand for: some roundings to float32.
constexpr double kTolerance = 4e-7;

// The values among which the function, and then x, are looked for; and those read, counted as often as they are used.
constexpr std::size_t kMostOrigins = 12;
constexpr int kMostReads = 64;

// Of x, up to its third power, and the function's result f, up to its first: coefficients[power of f][power of x].
struct Polynomial {
  static constexpr std::size_t kPowers = 4;
  std::array<std::array<double, kPowers>, 2> coefficients{};

  static Polynomial constant(double number) { return {{{{number}, {}}}}; }
  static Polynomial x() { return {{{{0, 1}, {}}}}; }
  static Polynomial f() { return {{{{}, {1}}}}; }
};

Polynomial sum(const Polynomial& a, const Polynomial& b, double factor) {
  Polynomial result = a;
  for (std::size_t f = 0; f < 2; ++f) {
    for (std::size_t i = 0; i < Polynomial::kPowers; ++i) {
      result.coefficients[f][i] += factor * b.coefficients[f][i];
    }
  }
  return result;
}

// Nothing where a power is too high.
std::optional<Polynomial> product(const Polynomial& a, const Polynomial& b) {
  Polynomial result;
  for (std::size_t f = 0; f < 2; ++f) {
    for (std::size_t g = 0; g < 2; ++g) {
      for (std::size_t i = 0; i < Polynomial::kPowers; ++i) {
        for (std::size_t j = 0; j < Polynomial::kPowers; ++j) {
          const double number = a.coefficients[f][i] * b.coefficients[g][j];
          if (number == 0) continue;
          if (f + g > 1 || i + j >= Polynomial::kPowers) return std::nullopt;
          result.coefficients[f + g][i + j] += number;
        }
      }
    }
  }
  return result;
}

bool same(const Polynomial& a, const Polynomial& b) {
  for (std::size_t f = 0; f < 2; ++f) {
    for (std::size_t i = 0; i < Polynomial::kPowers; ++i) {
      const double wanted = b.coefficients[f][i];
      if (!(std::abs(a.coefficients[f][i] - wanted) <= kTolerance * std::abs(wanted))) return false;
    }
  }
  return true;
}

// Reads values as polynomials of two of them.
class Reader {
 public:
  Reader(const Graph& graph, ValueId x, ValueId f) : graph_(graph), x_(x), f_(f) {}

  std::optional<Polynomial> read(ValueId value) {
    if (++reads_ > kMostReads) return std::nullopt;
    if (value == x_) return Polynomial::x();
    if (value == f_) return Polynomial::f();
    if (value == kNoValue) return std::nullopt;
    if (graph_.value(value).is_constant()) {
      // One of a higher rank would give its rank to the result.
      const std::optional<double> number = constant_scalar(graph_, value);
      if (!number || rank_of(graph_, value) > std::max(rank_of(graph_, x_), 0)) return std::nullopt;
      return Polynomial::constant(*number);
    }
    const Node* node = graph_.producer(value);
    if (node == nullptr || !node->domain.empty() || node->inputs.size() != 2) return std::nullopt;
    std::optional<Polynomial> a = read(node->inputs[0]);
    std::optional<Polynomial> b = a ? read(node->inputs[1]) : std::nullopt;
    if (!b) return std::nullopt;
    std::optional<Polynomial> result = combine(*node, *a, *b, constant_scalar(graph_, node->inputs[1]));
    const NodeId id = graph_.value(value).producer;
    if (result && std::ranges::find(nodes_, id) == nodes_.end()) nodes_.push_back(id);
    return result;
  }

  // What was read, producers before users.
  const std::vector<NodeId>& nodes() const { return nodes_; }

 private:
  static std::optional<Polynomial> combine(const Node& node, const Polynomial& a, const Polynomial& b,
                                           std::optional<double> number) {
    if (node.op == "Add") return sum(a, b, 1);
    if (node.op == "Sub") return sum(a, b, -1);
    if (node.op == "Mul") return product(a, b);
    if (node.op == "Div" && number) return product(a, Polynomial::constant(1 / *number));
    if (node.op == "Pow" && number == 2.0) return product(a, a);
    if (node.op == "Pow" && number == 3.0) {
      const std::optional<Polynomial> square = product(a, a);
      return square ? product(*square, a) : std::nullopt;
    }
    return std::nullopt;
  }

  const Graph& graph_;
  ValueId x_;
  ValueId f_;
  std::vector<NodeId> nodes_;
  int reads_ = 0;
};

// Values that `value` is computed from by arithmetic, nearest first, itself included.
std::vector<ValueId> origins(const Graph& graph, ValueId value) {
  constexpr std::string_view kArithmetic[] = {"Add", "Div", "Mul", "Pow", "Sub"};
  std::vector<ValueId> found{value};
  for (std::size_t i = 0; i < found.size() && found.size() < kMostOrigins; ++i) {
    const Node* node = graph.producer(found[i]);
    if (node == nullptr || !node->domain.empty() || std::ranges::find(kArithmetic, node->op) == std::end(kArithmetic)) {
      continue;
    }
    for (const ValueId input : node->inputs) {
      const bool known =
          input == kNoValue || graph.value(input).is_constant() || std::ranges::find(found, input) != found.end();
      if (!known) found.push_back(input);
    }
  }
  return found;
}

Verdict fuse(const Graph& graph, NodeId at, Edit& edit) {
  const Node& node = graph.node(at);
  if (!node.domain.empty() || node.inputs.size() != 2 || node.outputs[0] == kNoValue) return no_match();
  constexpr double kRootHalf = std::numbers::sqrt2 / 2;
  const double scale = std::sqrt(2 / std::numbers::pi);
  for (const ValueId f : origins(graph, node.outputs[0])) {
    const Node* function = graph.producer(f);
    if (function == nullptr || !(is_op(*function, "Erf") || is_op(*function, "Tanh"))) continue;
    const bool erf = function->op == "Erf";
    const Polynomial inner =
        erf ? Polynomial{{{{0, kRootHalf}, {}}}} : Polynomial{{{{0, scale, 0, scale * 0.044715}, {}}}};
    const Polynomial outer{{{{0, 0.5}, {0, 0.5}}}};
    for (const ValueId x : origins(graph, function->inputs[0])) {
      Reader argument(graph, x, kNoValue);
      const std::optional<Polynomial> read = argument.read(function->inputs[0]);
      if (!read || !same(*read, inner)) continue;
      Reader result(graph, x, f);
      const std::optional<Polynomial> whole = result.read(node.outputs[0]);
      if (!whole || !same(*whole, outer)) continue;
      if (type_of(graph, x).element != ElementType::kFloat32) return near_miss("it is not of float32");
      std::vector<NodeId> consumed(argument.nodes());
      consumed.push_back(graph.value(f).producer);
      consumed.insert(consumed.end(), result.nodes().begin(), result.nodes().end());
      for (auto id = consumed.rbegin(); id != consumed.rend(); ++id) {
        if (!edit.consume(*id)) return near_miss("{}", edit.blocked());
      }
      tensor::Attributes attributes;
      if (!erf) attributes.set("approximate", std::string("tanh"));
      edit.replace(node.outputs[0],
                   edit.node(make_node("Gelu", {x}, std::move(attributes)), type_of(graph, node.outputs[0])));
      return rewrite();
    }
  }
  return no_match();
}

}  // namespace

constinit const Rule kFuseGelu{"fuse-gelu", "Makes a Gelu of its definition, with erf or tanh.", kOps, fuse};

}  // namespace lanner::passes
