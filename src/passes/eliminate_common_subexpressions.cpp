// eliminate-common-subexpressions: of nodes with the same operator, attributes and inputs, one is enough. Inputs are
// the same when they are one value or constants of equal content.
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "passes/match.h"
#include "passes/rules.h"
#include "tensor/text.h"

namespace lanner::passes {

namespace {

// Larger constants are compared by their memory's address alone.
constexpr std::size_t kCompareBytes = 4096;

// The first constant seen of each content.
class Constants {
 public:
  explicit Constants(const Graph& graph) : graph_(graph) {}

  ValueId first_like(ValueId value) {
    const Tensor* tensor = constant_of(graph_, value);
    if (tensor == nullptr || tensor->element_type() == ElementType::kString) return value;
    std::string key = tensor->type_string();
    if (tensor->byte_count() <= kCompareBytes) {
      key.append(static_cast<const char*>(tensor->raw_data()), tensor->byte_count());
    } else {
      key += fmt::format("@{}", tensor->raw_data());
    }
    return first_.try_emplace(std::move(key), value).first->second;
  }

 private:
  const Graph& graph_;
  std::unordered_map<std::string, ValueId> first_;
};

void eliminate(Graph& graph, GraphRewriter& rewriter) {
  Constants constants(graph);
  std::unordered_map<std::string, std::vector<NodeId>> seen;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!node.graphs.empty() || is_random(node)) continue;
    std::string key = node.domain + "." + node.op;
    for (const ValueId value : node.inputs) {
      key += fmt::format(",{}", static_cast<std::uint32_t>(constants.first_like(value)));
    }
    key += tensor::attributes_text(node.attributes, 4);
    std::vector<NodeId>& alike = seen[key];
    bool merged = false;
    for (const NodeId other_id : alike) {
      const Node& other = graph.node(other_id);
      if (!(other.attributes == node.attributes) || other.outputs.size() != node.outputs.size()) continue;
      Edit edit(graph, id);
      bool covers = true;
      for (std::size_t i = 0; i < node.outputs.size(); ++i) {
        if (node.outputs[i] == kNoValue) continue;
        covers &= other.outputs[i] != kNoValue;
        if (covers) edit.replace(node.outputs[i], other.outputs[i]);
      }
      if (!covers || !rewriter.apply(id, edit)) continue;
      merged = true;
      break;
    }
    if (!merged) alike.push_back(id);
  }
}

}  // namespace

constinit const Rule kEliminateCommonSubexpressions{"eliminate-common-subexpressions",
                                                    "Merges nodes that compute the same from the same inputs.",
                                                    {},
                                                    nullptr,
                                                    eliminate};

}  // namespace lanner::passes
