// Writing a placed graph as a program: nodes become instructions, subgraphs one instruction each.
#pragma once

#include "ir/graph.h"
#include "placement/place.h"
#include "program/program.h"

namespace lanner::compiler {

// Decides where the nodes of a graph run; called for the graph and for every graph nested in it.
using PlaceGraph = std::function<placement::Placement(const ir::Graph&)>;

// The program of `graph`. Constants with equal memory are written once. The instructions' order is the graph's
// topological order, a subgraph standing where the first of its nodes can.
program::Program lower(const ir::Graph& graph, const PlaceGraph& place);

}  // namespace lanner::compiler
