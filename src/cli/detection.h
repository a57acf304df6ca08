// What a detector's input and outputs mean: from a picture to the model's input, and from its outputs to boxes in the
// picture. It touches no files.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/picture.h"
#include "lanner/program.h"
#include "lanner/session.h"

namespace lanner::cli {

struct Detection {
  std::array<float, 4> box{};  // left, top, right, bottom in px, clipped to the picture
  float score = 0;
  std::int64_t label = 0;
  std::string name;  // the class's name, or "class 17" where there is none
};

// The keys `layout`, `scale`, `mean`, `std`, `resize`, `boxes`, `scores`, `labels`, `box_format`, `normalized` and
// `classes`, as given. `mean`, `std` and `classes` are lists; the others have one entry.
using DetectSettings = std::map<std::string, std::vector<std::string>>;

// The settings in a model's properties `lanner.detect.KEY`; lists are separated by commas.
DetectSettings detect_properties(const std::vector<std::pair<std::string, std::string>>& properties);

// The settings in the table [detect] of a TOML file: strings as in the properties, or numbers, booleans and arrays.
// `text` is the file's content and `path` its name in messages. Throws `config.invalid`.
DetectSettings detect_config(const std::string& text, const std::string& path);

// How a picture was fitted into the model's input.
struct Fit {
  int picture_width = 0, picture_height = 0;
  int input_width = 0, input_height = 0;
  int left = 0, top = 0;            // where the picture begins in the input, px
  double scale_x = 1, scale_y = 1;  // input px per picture px
};

// Immutable. The values of the keys:
//   layout      NCHW or NHWC
//   scale       what a channel value of 0..255 is multiplied with
//   mean, std   red, green, blue: subtracted, then divided by (default 0 and 1)
//   resize      stretch to the input's height and width, letterbox into them (the picture centred, its sides' ratio
//               kept, grey 114 around it) or none, which takes pictures as they are
//   boxes       name of the output [N,4]
//   scores      name of the output [N], or [N,C] with a score for each class
//   labels      name of the output [N]; absent where scores are [N,C]
//   box_format  xyxy and yxyx (two corners), cxcywh (centre and size) or xywh (left top corner and size)
//   normalized  true: box coordinates are 0..1 of the input; false: px of the input
//   classes     the name of label 0, of label 1, ...
// Inputs are float32 or uint8, with or without a batch dimension of 1; outputs too may begin with dimensions of 1.
// Two signatures need no keys, but obey those that are given:
//   torchvision: a float32 input [3,H,W]; outputs boxes float32 [n,4], scores float32 [n] and labels int64 [n], known
//   by
//     their names or else by their types; pixels 0..1, boxes xyxy in px
//   TensorFlow Object Detection API: a uint8 input [1,H,W,3]; outputs detection_boxes, detection_scores,
//     detection_classes and num_detections, with or without a ":0" after the name; boxes yxyx, normalized
class DetectConvention {
 public:
  // `settings` win over a recognised signature. Throws `detect.convention`, listing every missing key and wrong value,
  // and `detect.input` where the model's inputs are not one picture.
  DetectConvention(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs,
                   const DetectSettings& settings);

  // The model's input for a picture. Throws `detect.input` where resize is none and the model takes other sizes.
  std::pair<NamedValues, Fit> prepare(const Picture& picture) const;

  // The detections with a score of at least `min_score`, best first. Throws `detect.output` where an output is missing
  // or has another type or shape than the convention says, or a score or a wanted box is not a number.
  std::vector<Detection> interpret(const NamedValues& outputs, const Fit& fit, float min_score) const;

 private:
  enum class Resize { kStretch, kLetterbox, kNone };
  enum class BoxFormat { kXyxy, kYxyx, kCxcywh, kXywh };

  std::string class_name(std::int64_t label) const;

  std::string input_;
  ElementType input_type_ = ElementType::kFloat32;
  bool has_batch_ = false;
  bool channels_last_ = false;
  int height_ = -1, width_ = -1;  // -1: decided by the picture
  Resize resize_ = Resize::kNone;
  float scale_ = 1;
  std::array<float, 3> mean_{0, 0, 0};
  std::array<float, 3> std_{1, 1, 1};

  std::string boxes_, scores_;
  std::string labels_;  // empty: the scores are per class
  std::string count_;   // output with the number of valid rows; empty: all are
  BoxFormat box_format_ = BoxFormat::kXyxy;
  bool normalized_ = false;
  std::vector<std::string> classes_;
};

}  // namespace lanner::cli
