#include "cli/detection.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>
#include <string_view>
#include <toml.hpp>

#include "base/fail.h"

namespace lanner::cli {

namespace {

constexpr std::string_view kPropertyPrefix = "lanner.detect.";
constexpr std::string_view kKeys[] = {"layout", "scale",  "mean",       "std",        "resize", "boxes",
                                      "scores", "labels", "box_format", "normalized", "classes"};
constexpr std::uint8_t kLetterboxGrey = 114;

bool is_list(std::string_view key) {
  return key == "mean" || key == "std" || key == "classes";
}

std::vector<std::string> parse_entry(std::string_view key, std::string_view text) {
  if (!is_list(key)) return {std::string(text)};
  std::vector<std::string> entries;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view entry = text.substr(0, comma);
    const std::size_t first = std::min(entry.find_first_not_of(' '), entry.size());
    entries.emplace_back(entry.substr(first, entry.find_last_not_of(' ') + 1 - first));
    if (comma == std::string_view::npos) return entries;
    text.remove_prefix(comma + 1);
  }
}

std::string toml_text(const toml::value& value) {
  if (value.is_string()) return toml::get<std::string>(value);
  if (value.is_boolean()) return toml::get<bool>(value) ? "true" : "false";
  if (value.is_integer()) return fmt::to_string(toml::get<std::int64_t>(value));
  return fmt::to_string(toml::get<double>(value));
}

// The name a tensor has in its framework: without TensorFlow's output number.
std::string_view base_name(std::string_view name) {
  return name.ends_with(":0") ? name.substr(0, name.size() - 2) : name;
}

const ValueInfo* find_output(std::span<const ValueInfo> outputs, std::string_view name) {
  const auto it = std::ranges::find_if(outputs, [&](const ValueInfo& o) { return base_name(o.name) == name; });
  return it == outputs.end() ? nullptr : &*it;
}

bool may_have(const ValueInfo& info, ElementType type, std::size_t rank) {
  return info.is_tensor && info.element_type == type && (!info.has_rank || info.shape.size() == rank);
}

// A recognised framework's signature: its settings, and the output that counts the valid rows, if it has one.
struct Signature {
  DetectSettings settings;
  std::string count;
};

// Dimension `axis`, or -1 where it is not static.
std::int64_t dimension(const ValueInfo& info, std::size_t axis) {
  return info.has_rank ? info.shape[axis] : -1;
}

std::optional<Signature> torchvision_signature(const ValueInfo& input, std::span<const ValueInfo> outputs) {
  if (!input.has_rank || !may_have(input, ElementType::kFloat32, 3)) return std::nullopt;
  if (input.shape[0] != 3 && input.shape[0] != -1) return std::nullopt;
  const ValueInfo* boxes = find_output(outputs, "boxes");
  const ValueInfo* scores = find_output(outputs, "scores");
  const ValueInfo* labels = find_output(outputs, "labels");
  if (boxes == nullptr || scores == nullptr || labels == nullptr) {
    // By type: one output of each kind, the boxes first.
    const auto only = [&](auto&& matches) -> const ValueInfo* {
      const auto it = std::ranges::find_if(outputs, matches);
      return it == outputs.end() || std::find_if(it + 1, outputs.end(), matches) != outputs.end() ? nullptr : &*it;
    };
    boxes = only(
        [](const ValueInfo& o) { return o.has_rank && may_have(o, ElementType::kFloat32, 2) && dimension(o, 1) == 4; });
    scores = only([&](const ValueInfo& o) { return &o != boxes && may_have(o, ElementType::kFloat32, 1); });
    labels = only([](const ValueInfo& o) { return may_have(o, ElementType::kInt64, 1); });
    if (boxes == nullptr || boxes != outputs.data() || scores == nullptr || labels == nullptr) return std::nullopt;
  }
  if (!may_have(*boxes, ElementType::kFloat32, 2) || !may_have(*scores, ElementType::kFloat32, 1) ||
      !may_have(*labels, ElementType::kInt64, 1)) {
    return std::nullopt;
  }
  const bool is_static = input.shape[1] > 0 && input.shape[2] > 0;
  return Signature{{{"layout", {"NCHW"}},
                    {"scale", {fmt::to_string(1.0 / 255)}},
                    {"resize", {is_static ? "stretch" : "none"}},
                    {"boxes", {boxes->name}},
                    {"scores", {scores->name}},
                    {"labels", {labels->name}},
                    {"box_format", {"xyxy"}},
                    {"normalized", {"false"}}},
                   ""};
}

std::optional<Signature> tensorflow_signature(const ValueInfo& input, std::span<const ValueInfo> outputs) {
  if (!may_have(input, ElementType::kUint8, 4)) return std::nullopt;
  const ValueInfo* boxes = find_output(outputs, "detection_boxes");
  const ValueInfo* scores = find_output(outputs, "detection_scores");
  const ValueInfo* labels = find_output(outputs, "detection_classes");
  const ValueInfo* count = find_output(outputs, "num_detections");
  if (boxes == nullptr || scores == nullptr || labels == nullptr || count == nullptr) return std::nullopt;
  const bool is_static = dimension(input, 1) > 0 && dimension(input, 2) > 0;
  return Signature{{{"layout", {"NHWC"}},
                    {"scale", {"1"}},
                    {"resize", {is_static ? "stretch" : "none"}},
                    {"boxes", {boxes->name}},
                    {"scores", {scores->name}},
                    {"labels", {labels->name}},
                    {"box_format", {"yxyx"}},
                    {"normalized", {"true"}}},
                   count->name};
}

std::optional<float> parse_number(std::string_view text) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// Reads settings one by one and collects what is wrong with them.
class SettingsReader {
 public:
  explicit SettingsReader(const DetectSettings& settings) : settings_(settings) {
    for (const auto& [key, entries] : settings) {
      if (std::ranges::find(kKeys, key) == std::end(kKeys)) faults_.push_back(fmt::format("unknown key '{}'", key));
    }
  }

  bool has(std::string_view key) const { return settings_.contains(std::string(key)); }

  std::vector<std::string> entries(std::string_view key) const {
    const auto it = settings_.find(std::string(key));
    return it == settings_.end() ? std::vector<std::string>{} : it->second;
  }

  // A key that must be there.
  std::string text(std::string_view key) {
    const std::vector<std::string> found = entries(key);
    if (found.empty()) {
      missing_.emplace_back(key);
      return "";
    }
    if (found.size() != 1) wrong(key, "one value", found);
    return found.front();
  }

  // The index of the value among `words`; 0 where it is missing or none of them.
  std::size_t choice(std::string_view key, std::initializer_list<std::string_view> words) {
    const std::string value = text(key);
    const auto it = std::ranges::find(words, value);
    if (it != words.end()) return static_cast<std::size_t>(it - words.begin());
    if (has(key)) wrong(key, fmt::format("{}", fmt::join(words, " or ")), {value});
    return 0;
  }

  float number(std::string_view key) {
    const std::string value = text(key);
    const std::optional<float> parsed = parse_number(value);
    if (!parsed && has(key)) wrong(key, "a number", {value});
    return parsed.value_or(1);
  }

  void colour(std::string_view key, std::array<float, 3>& values, bool zero_allowed) {
    if (!has(key)) return;
    const std::vector<std::string> found = entries(key);
    bool ok = found.size() == 3;
    for (std::size_t i = 0; ok && i < 3; ++i) {
      const std::optional<float> parsed = parse_number(found[i]);
      ok = parsed && (zero_allowed || *parsed != 0);
      values[i] = parsed.value_or(0);
    }
    if (!ok) wrong(key, zero_allowed ? "three numbers" : "three numbers other than 0", found);
  }

  void require(std::string_view key, std::string_view remark = "") {
    if (!has(key)) missing_.push_back(fmt::format("{}{}", key, remark));
  }

  void wrong(std::string_view key, std::string_view needed, const std::vector<std::string>& found) {
    faults_.push_back(fmt::format("{} must be {}, but is '{}'", key, needed, fmt::join(found, ",")));
  }

  // Throws when anything was missing or wrong.
  void finish() const {
    std::string message;
    if (!missing_.empty()) {
      message = fmt::format(
          "the model does not say what its input and outputs mean; missing: {} (give them as model properties {}KEY or "
          "in the table [detect] of --config)",
          fmt::join(missing_, ", "), kPropertyPrefix);
    }
    for (const std::string& fault : faults_) message += (message.empty() ? "" : "; ") + fault;
    if (!message.empty()) base::invalid("detect.convention", "{}", message);
  }

 private:
  const DetectSettings& settings_;
  std::vector<std::string> missing_;
  std::vector<std::string> faults_;
};

// The one input that has to be given.
const ValueInfo& picture_input(std::span<const ValueInfo> inputs) {
  const ValueInfo* found = nullptr;
  for (const ValueInfo& input : inputs) {
    if (input.optional) continue;
    if (found != nullptr) {
      base::invalid("detect.input", "the model must have one input, the picture, but also has '{}' beside '{}'",
                    input.name, found->name);
    }
    found = &input;
  }
  if (found == nullptr) base::invalid("detect.input", "the model has no input");
  if (!found->is_tensor ||
      (found->element_type != ElementType::kFloat32 && found->element_type != ElementType::kUint8)) {
    base::fail(ErrorCode::kUnimplemented, "detect.input", "input '{}' must be float32 or uint8, but is {}", found->name,
               found->is_tensor ? element_type_name(found->element_type) : "no tensor");
  }
  return *found;
}

[[noreturn]] void wrong_output(std::string_view what) {
  base::invalid("detect.output", "{}", what);
}

const Tensor& output_tensor(const NamedValues& outputs, std::string_view name) {
  for (const auto& [output, value] : outputs) {
    if (output != name) continue;
    if (!value.is_tensor()) wrong_output(fmt::format("output '{}' must be a tensor", name));
    return value.tensor();
  }
  wrong_output(fmt::format("the model has no output '{}'", name));
}

// The elements as numbers that hold every float and every label exactly.
std::vector<double> output_numbers(const NamedValues& outputs, std::string_view name) {
  const Tensor& tensor = output_tensor(outputs, name);
  const auto convert = [&]<typename T>(T) {
    const auto values = tensor.values<T>();
    return std::vector<double>(values.begin(), values.end());
  };
  switch (tensor.element_type()) {
    case ElementType::kFloat32:
      return convert(float{});
    case ElementType::kFloat64:
      return convert(double{});
    case ElementType::kInt64:
      return convert(std::int64_t{});
    case ElementType::kInt32:
      return convert(std::int32_t{});
    case ElementType::kUint8:
      return convert(std::uint8_t{});
    default:
      break;
  }
  wrong_output(fmt::format("output '{}' must be float32, float64, int64, int32 or uint8, but is {}", name,
                           element_type_name(tensor.element_type())));
}

// Whether `shape` is `wanted`, apart from leading dimensions of 1.
bool is_shape(const Shape& shape, std::initializer_list<std::int64_t> wanted) {
  const int extra = shape.rank() - static_cast<int>(wanted.size());
  if (extra < 0) return false;
  for (int i = 0; i < extra; ++i) {
    if (shape[i] != 1) return false;
  }
  return std::ranges::equal(shape.dims().subspan(static_cast<std::size_t>(extra)), wanted);
}

}  // namespace

DetectSettings detect_properties(const std::vector<std::pair<std::string, std::string>>& properties) {
  DetectSettings settings;
  for (const auto& [name, text] : properties) {
    if (!name.starts_with(kPropertyPrefix)) continue;
    const std::string key = name.substr(kPropertyPrefix.size());
    settings[key] = parse_entry(key, text);
  }
  return settings;
}

DetectSettings detect_config(const std::string& text, const std::string& path) {
  DetectSettings settings;
  try {
    std::istringstream stream(text);
    const toml::value config = toml::parse(stream, path);
    if (!config.contains("detect")) return settings;
    for (const auto& [key, value] : toml::find(config, "detect").as_table()) {
      std::vector<std::string>& entries = settings[key];
      if (value.is_array()) {
        for (const toml::value& entry : value.as_array()) entries.push_back(toml_text(entry));
      } else {
        entries = parse_entry(key, toml_text(value));
      }
    }
  } catch (const std::exception& error) {  // toml11 also throws std::out_of_range and std::runtime_error
    base::invalid("config.invalid", "config file '{}': {}", path, error.what());
  }
  return settings;
}

DetectConvention::DetectConvention(std::span<const ValueInfo> inputs, std::span<const ValueInfo> outputs,
                                   const DetectSettings& settings) {
  const ValueInfo& input = picture_input(inputs);
  input_ = input.name;
  input_type_ = input.element_type;

  std::optional<Signature> signature = torchvision_signature(input, outputs);
  if (!signature) signature = tensorflow_signature(input, outputs);
  DetectSettings merged = settings;
  if (signature) {
    merged.insert(signature->settings.begin(), signature->settings.end());
    count_ = signature->count;
  }

  SettingsReader reader(merged);
  channels_last_ = reader.choice("layout", {"NCHW", "NHWC"}) == 1;
  scale_ = reader.number("scale");
  reader.colour("mean", mean_, true);
  reader.colour("std", std_, false);
  resize_ = static_cast<Resize>(reader.choice("resize", {"stretch", "letterbox", "none"}));
  boxes_ = reader.text("boxes");
  scores_ = reader.text("scores");
  if (reader.has("labels")) labels_ = reader.text("labels");
  box_format_ = static_cast<BoxFormat>(reader.choice("box_format", {"xyxy", "yxyx", "cxcywh", "xywh"}));
  normalized_ = reader.choice("normalized", {"false", "true"}) == 1;
  classes_ = reader.entries("classes");
  for (const auto& [key, name] : {std::pair("boxes", boxes_), {"scores", scores_}, {"labels", labels_}}) {
    if (!name.empty() && std::ranges::find(outputs, name, &ValueInfo::name) == outputs.end()) {
      reader.wrong(key, "the name of an output", {name});
    }
  }
  // Scores of one dimension cannot say which class they are for.
  const auto scores = std::ranges::find(outputs, scores_, &ValueInfo::name);
  if (scores != outputs.end() && scores->has_rank && scores->shape.size() < 2) reader.require("labels");
  if (scores_.empty()) reader.require("labels", " (unless scores are [N,C])");
  reader.finish();

  if (!input.has_rank) base::invalid("detect.input", "the rank of input '{}' is not known", input.name);
  const std::size_t rank = input.shape.size();
  has_batch_ = rank == 4;
  const std::size_t first = has_batch_ ? 1 : 0;
  if (rank < 3 || rank > 4 || (has_batch_ && input.shape[0] != 1 && input.shape[0] != -1) ||
      (input.shape[first + (channels_last_ ? 2 : 0)] != 3 && input.shape[first + (channels_last_ ? 2 : 0)] != -1)) {
    base::invalid("detect.input", "input '{}' must be one {} picture with 3 channels, but has the shape [{}]",
                  input.name, channels_last_ ? "NHWC" : "NCHW", fmt::join(input.shape, ","));
  }
  const auto side = [&](std::size_t axis) {
    const std::int64_t size = input.shape[axis];
    if (size == 0 || size > Picture::kMaxPixels) {
      base::invalid("detect.input", "input '{}' has a side of {} px", input.name, size);
    }
    return static_cast<int>(size);
  };
  height_ = side(first + (channels_last_ ? 0 : 1));
  width_ = side(first + (channels_last_ ? 1 : 2));
  if (resize_ != Resize::kNone && (height_ < 0 || width_ < 0)) {
    base::invalid("detect.convention",
                  "resize must be none, because the height and width of input '{}' are decided at run time",
                  input.name);
  }
  if (height_ > 0 && width_ > 0 && height_ > Picture::kMaxPixels / width_) {
    base::invalid("detect.input", "input '{}' of {} x {} px is too large", input.name, width_, height_);
  }
}

std::pair<NamedValues, Fit> DetectConvention::prepare(const Picture& picture) const {
  Fit fit;
  fit.picture_width = fit.input_width = picture.width();
  fit.picture_height = fit.input_height = picture.height();
  Picture fitted;
  if (resize_ == Resize::kNone) {
    if ((width_ >= 0 && width_ != picture.width()) || (height_ >= 0 && height_ != picture.height())) {
      const auto size = [](int side) { return side < 0 ? std::string("any") : fmt::to_string(side); };
      base::invalid("detect.input", "the picture is {} x {} px, but the model takes {} x {} px and resize is none",
                    picture.width(), picture.height(), size(width_), size(height_));
    }
    fitted = picture;
  } else {
    fit.input_width = width_;
    fit.input_height = height_;
    int inner_width = width_;
    int inner_height = height_;
    if (resize_ == Resize::kLetterbox) {
      const double ratio =
          std::min(static_cast<double>(width_) / picture.width(), static_cast<double>(height_) / picture.height());
      inner_width = std::clamp(static_cast<int>(std::lround(picture.width() * ratio)), 1, width_);
      inner_height = std::clamp(static_cast<int>(std::lround(picture.height() * ratio)), 1, height_);
      fit.left = (width_ - inner_width) / 2;
      fit.top = (height_ - inner_height) / 2;
    }
    fit.scale_x = static_cast<double>(inner_width) / picture.width();
    fit.scale_y = static_cast<double>(inner_height) / picture.height();
    fitted = resize_bilinear(picture, inner_width, inner_height);
    if (inner_width != width_ || inner_height != height_) {
      Picture padded(width_, height_, {kLetterboxGrey, kLetterboxGrey, kLetterboxGrey});
      for (int y = 0; y < inner_height; ++y) {
        std::copy_n(fitted.row(y), fitted.row_bytes(), padded.pixel(fit.left, fit.top + y));
      }
      fitted = std::move(padded);
    }
  }

  Shape shape;
  if (has_batch_) shape.push_back(1);
  if (!channels_last_) shape.push_back(3);
  shape.push_back(fitted.height());
  shape.push_back(fitted.width());
  if (channels_last_) shape.push_back(3);
  Tensor tensor = Tensor::allocate(input_type_, shape);
  const auto plane = static_cast<std::size_t>(fitted.width()) * static_cast<std::size_t>(fitted.height());
  const auto fill = [&]<typename T>(T* elements, auto&& convert) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      std::array<T, 256> table;
      for (std::size_t value = 0; value < 256; ++value) {
        table[value] = convert((static_cast<float>(value) * scale_ - mean_[channel]) / std_[channel]);
      }
      T* to = elements + channel * (channels_last_ ? 1 : plane);
      const std::uint8_t* from = fitted.row(0) + channel;
      for (std::size_t i = 0; i < plane; ++i) to[i * (channels_last_ ? 3 : 1)] = table[from[3 * i]];
    }
  };
  if (input_type_ == ElementType::kFloat32) {
    fill(tensor.data<float>(), [](float value) { return value; });
  } else {
    fill(tensor.data<std::uint8_t>(),
         [](float value) { return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 255.0F))); });
  }
  NamedValues inputs;
  inputs.emplace_back(input_, std::move(tensor));
  return {std::move(inputs), fit};
}

std::vector<Detection> DetectConvention::interpret(const NamedValues& outputs, const Fit& fit, float min_score) const {
  const std::vector<double> boxes = output_numbers(outputs, boxes_);
  const std::vector<double> scores = output_numbers(outputs, scores_);
  const std::vector<double> labels = labels_.empty() ? std::vector<double>{} : output_numbers(outputs, labels_);
  const auto rows = static_cast<std::int64_t>(boxes.size() / 4);
  const auto check = [&](const std::string& name, bool ok, std::string_view needed) {
    if (ok) return;
    wrong_output(fmt::format("output '{}' must be {}, but is {} (with {} boxes)", name, needed,
                             output_tensor(outputs, name).type_string(), rows));
  };
  check(boxes_, is_shape(output_tensor(outputs, boxes_).shape(), {rows, 4}), "[N,4]");
  const Shape& scores_shape = output_tensor(outputs, scores_).shape();
  std::int64_t class_count = 1;
  if (labels_.empty()) {
    class_count = scores_shape.rank() == 0 ? 0 : scores_shape[scores_shape.rank() - 1];
    check(scores_, class_count > 0 && is_shape(scores_shape, {rows, class_count}), "[N,C], as there are no labels");
  } else {
    check(scores_, is_shape(scores_shape, {rows}), "[N], as there are labels");
    check(labels_, is_shape(output_tensor(outputs, labels_).shape(), {rows}), "[N]");
  }
  std::int64_t valid_rows = rows;
  if (!count_.empty()) {
    const std::vector<double> count = output_numbers(outputs, count_);
    check(count_, count.size() == 1 && count[0] >= 0 && count[0] <= static_cast<double>(rows),
          "one number of at most N");
    valid_rows = static_cast<std::int64_t>(count[0]);
  }

  std::vector<Detection> detections;
  for (std::int64_t row = 0; row < valid_rows; ++row) {
    const double* of_classes = scores.data() + row * class_count;
    if (std::any_of(of_classes, of_classes + class_count, [](double score) { return std::isnan(score); })) {
      wrong_output(fmt::format("a score of box {} in output '{}' is not a number", row, scores_));
    }
    const double* best = std::max_element(of_classes, of_classes + class_count);
    const auto score = static_cast<float>(*best);
    if (score < min_score) continue;

    Detection detection;
    detection.score = score;
    const double label =
        labels_.empty() ? static_cast<double>(best - of_classes) : labels[static_cast<std::size_t>(row)];
    if (!(std::abs(label) < 1e15))
      wrong_output(fmt::format("the label of box {} in output '{}' is {}", row, labels_, label));
    detection.label = std::llround(label);
    detection.name = class_name(detection.label);

    const double* box = boxes.data() + row * 4;
    std::array<double, 4> corners{box[0], box[1], box[2], box[3]};
    switch (box_format_) {
      case BoxFormat::kXyxy:
        break;
      case BoxFormat::kYxyx:
        corners = {box[1], box[0], box[3], box[2]};
        break;
      case BoxFormat::kCxcywh:
        corners = {box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2, box[1] + box[3] / 2};
        break;
      case BoxFormat::kXywh:
        corners = {box[0], box[1], box[0] + box[2], box[1] + box[3]};
        break;
    }
    if (std::ranges::any_of(corners, [](double value) { return std::isnan(value); })) {
      wrong_output(fmt::format("box {} in output '{}' is not a number", row, boxes_));
    }
    const auto [left, right] = std::minmax(corners[0], corners[2]);  // corners may come in either order
    const auto [top, bottom] = std::minmax(corners[1], corners[3]);
    const double unit_x = normalized_ ? fit.input_width : 1;
    const double unit_y = normalized_ ? fit.input_height : 1;
    const auto to_picture = [](double at, double unit, int offset, double scale, int side) {
      return static_cast<float>(std::clamp((at * unit - offset) / scale, 0.0, static_cast<double>(side)));
    };
    detection.box = {to_picture(left, unit_x, fit.left, fit.scale_x, fit.picture_width),
                     to_picture(top, unit_y, fit.top, fit.scale_y, fit.picture_height),
                     to_picture(right, unit_x, fit.left, fit.scale_x, fit.picture_width),
                     to_picture(bottom, unit_y, fit.top, fit.scale_y, fit.picture_height)};
    detections.push_back(std::move(detection));
  }
  std::ranges::stable_sort(detections, std::greater{}, &Detection::score);
  return detections;
}

std::string DetectConvention::class_name(std::int64_t label) const {
  if (label >= 0 && label < static_cast<std::int64_t>(classes_.size())) {
    return classes_[static_cast<std::size_t>(label)];
  }
  return fmt::format("class {}", label);
}

}  // namespace lanner::cli
