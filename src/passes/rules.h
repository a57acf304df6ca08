// All rewrite rules; each is defined in the file of its name. pipeline.cpp puts them in order.
#pragma once

#include "passes/rule.h"

namespace lanner::passes {

// Constants and shapes.
extern const Rule kFoldConstants;
extern const Rule kFoldShapes;
extern const Rule kFoldEmpty;
extern const Rule kFixShapeInputs;
extern const Rule kSkipConcat;
extern const Rule kInlineIf;

// Nodes that do nothing.
extern const Rule kRemoveNoOps;
extern const Rule kCombineReshapes;
extern const Rule kCombineTransposes;
extern const Rule kEliminateCommonSubexpressions;
extern const Rule kEliminateDeadCode;

// What exporters and quantization tools spell out.
extern const Rule kFuseQuantized;
extern const Rule kFuseGelu;
extern const Rule kFuseAttention;
extern const Rule kFuseDeformableAttention;

// Data movement.
extern const Rule kScatterRows;
extern const Rule kGatherSingle;
extern const Rule kResizeLike;
extern const Rule kJoinRoiLevels;
extern const Rule kTransposeFirst;
extern const Rule kSliceTranspose;
extern const Rule kSliceConcat;
extern const Rule kAbsorbTransposes;
extern const Rule kFuseMaxIndex;
extern const Rule kFuseExpectation;

// Detection heads.
extern const Rule kFoldPickedShapes;
extern const Rule kBatchClassNms;
extern const Rule kBatchClassTopK;
extern const Rule kFuseClassTopK;
extern const Rule kGroupNms;
extern const Rule kLimitNms;
extern const Rule kJoinPickedRows;
extern const Rule kRollSiblings;
extern const Rule kFuseClassActivation;
extern const Rule kReadScoresInPlace;
extern const Rule kFuseColumns;

// Into convolutions and matrix products.
extern const Rule kFoldInputScale;
extern const Rule kFoldBatchNorm;
extern const Rule kFoldScaleShift;
extern const Rule kBatchNormAsConv;
extern const Rule kFusePadConv;
extern const Rule kFuseBias;
extern const Rule kFuseResidual;
extern const Rule kFuseActivation;

// Pictures.
extern const Rule kFusePreprocessing;

}  // namespace lanner::passes
