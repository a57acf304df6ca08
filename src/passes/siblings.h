// Batching of siblings: N nodes that each pick rows (by overlap, by rank) in the same way from the same values, but
// each by a score column of its own, and whose results meet in Concats. A family says what its siblings look like and
// which one operator does the work of N; what is common to all families is here: finding the siblings, comparing them,
// and reading the Concats' results off the outputs of the one operator.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "passes/selection.h"

namespace lanner::passes {

// What an operator that does the work of N siblings makes; rows of all siblings, one sibling after another.
struct SiblingOutputs {
  ValueId rows;              // int64[M]
  ValueId siblings;          // int64[M], counted from 0
  ValueId scores;            // float32[M]
  ValueId boxes = kNoValue;  // float32[M,4] where the family reads boxes
};

struct SiblingFamily {
  std::string_view op;  // that picks the rows
  // Whether rows are picked as the family knows it.
  bool (*accepts)(const Graph& graph, const Rows& rows);
  // Why two accepted lists of rows cannot be made by one operator; empty when they can.
  std::string (*difference)(const Graph& graph, const Rows& a, const Rows& b);
  // Adds the one operator for these siblings.
  SiblingOutputs (*add)(const Graph& graph, Edit& edit, std::span<const RowsRef> siblings);
};

// Batches all siblings of a family in a graph.
void batch_siblings(Graph& graph, GraphRewriter& rewriter, const SiblingFamily& family);
// Makes each list of rows of a family by the family's operator, as a sibling without others.
void fuse_lone(Graph& graph, GraphRewriter& rewriter, const SiblingFamily& family);

// TopK, with or without a filter by score before it: ClassTopK (batch_class_topk.cpp).
extern const SiblingFamily kClassTopKFamily;

// For families: a limit as an input of a new node, and the attributes `offsets` and `row_stride` that name the score
// columns of siblings in the value they share.
ValueId limit_input(Edit& edit, const Number& limit);
void set_columns(tensor::Attributes& attributes, std::span<const RowsRef> siblings);
// A node for `count` nodes of `op`.
Node stand_in(Node node, std::string_view op, std::size_t count);
ValueType list_type(ElementType element, std::vector<std::int64_t> dims);

}  // namespace lanner::passes
