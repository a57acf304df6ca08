#include "passes/pipeline.h"

#include <algorithm>
#include <vector>

#include "passes/rules.h"

namespace lanner::passes {

namespace {

// Reads weights as tools quantized them, before they are folded.
constexpr const Rule* kReadQuantized[] = {&kFuseQuantized, &kEliminateDeadCode};

// Folding makes shapes known and known shapes make more foldable, so this pass and shape inference alternate.
constexpr const Rule* kSimplify[] = {
    &kFoldConstants,     &kFoldShapes,      &kFoldEmpty,    &kInlineIf,       &kRemoveNoOps,
    &kCombineTransposes, &kCombineReshapes, &kSkipConcat,   &kFixShapeInputs, &kEliminateCommonSubexpressions,
    &kEliminateDeadCode, &kScatterRows,     &kGatherSingle, &kResizeLike,     &kFuseGelu,
};

// Reads the graph as simplification leaves it, and leaves it work. What is recognised goes before what is only alike.
constexpr const Rule* kBatchHeads[] = {&kFoldPickedShapes, &kBatchClassNms, &kBatchClassTopK, &kFuseClassTopK,
                                       &kGroupNms,         &kLimitNms,      &kJoinPickedRows, &kRollSiblings};

// What the heads' rules have left is moved less, and read where it lies.
constexpr const Rule* kMoveData[] = {
    &kFuseAttention,   &kFuseDeformableAttention, &kJoinRoiLevels, &kTransposeFirst,   &kSliceTranspose,
    &kSliceConcat,     &kFuseExpectation,         &kFuseMaxIndex,  &kAbsorbTransposes, &kCombineTransposes,
    &kCombineReshapes, &kEliminateDeadCode};

// Arithmetic goes into weights before anything is fused with a convolution.
constexpr const Rule* kFoldIntoConvolutions[] = {&kFusePadConv, &kFoldBatchNorm, &kFuseBias, &kFoldScaleShift,
                                                 &kFoldInputScale};

constexpr const Rule* kFuse[] = {&kBatchNormAsConv,     &kFusePreprocessing, &kFuseResidual, &kFuseActivation,
                                 &kFuseClassActivation, &kReadScoresInPlace, &kFuseColumns,  &kEliminateDeadCode};

constexpr Pass kPasses[] = {
    {"read-quantized", kReadQuantized},
    {"simplify", kSimplify},
    {"batch-heads", kBatchHeads},
    {"move-data", kMoveData},
    {"fold-into-convolutions", kFoldIntoConvolutions},
    {"fuse", kFuse},
};

// Models settle after two or three rounds; this bounds those that would not.
constexpr int kMaxRounds = 16;

}  // namespace

std::span<const Rule* const> rules() {
  static const std::vector<const Rule*> all = [] {
    std::vector<const Rule*> result;
    for (const Pass& pass : kPasses) {
      for (const Rule* rule : pass.rules) {
        if (std::ranges::find(result, rule) == result.end()) result.push_back(rule);
      }
    }
    return result;
  }();
  return all;
}

std::span<const Pass> passes() {
  return kPasses;
}

Report run_pipeline(Graph& graph, const PipelineOptions& options) {
  Engine engine(graph, kPasses, options);
  const auto simplify = [&] {
    for (int round = 0; round < kMaxRounds && engine.run(kPasses[1]); ++round) {
      if (options.infer_shapes && !engine.report().stopped) options.infer_shapes(graph);
    }
  };
  engine.run(kPasses[0]);
  simplify();
  if (engine.run(kPasses[2])) simplify();
  for (const Pass& pass : std::span(kPasses).subspan(3)) engine.run(pass);
  return engine.report();
}

}  // namespace lanner::passes
