// fuse-class-topk: a filter by score and the TopK behind it become a ClassTopK of one class, where batch-class-topk
// found no siblings to do it with. RetinaNet and FCOS pick so on each level of their pyramid, from the scores of all
// its anchors and classes in a row.
#include "passes/rules.h"
#include "passes/siblings.h"

namespace lanner::passes {

namespace {

// Without a filter TopK is one operator already.
bool filters(const Graph& graph, const Rows& rows) {
  return rows.parent != nullptr && kClassTopKFamily.accepts(graph, rows);
}

void fuse(Graph& graph, GraphRewriter& rewriter) {
  SiblingFamily family = kClassTopKFamily;
  family.accepts = filters;
  fuse_lone(graph, rewriter, family);
}

}  // namespace

constinit const Rule kFuseClassTopK{.name = "fuse-class-topk",
                                    .doc = "Makes a filter by score and the TopK behind it one operator.",
                                    .ops = {},
                                    .rewrite_graph = fuse};

}  // namespace lanner::passes
