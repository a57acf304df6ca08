// detect: a detector's boxes, drawn on pictures.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/fail.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/detection.h"
#include "cli/draw.h"
#include "cli/picture.h"

namespace lanner::cli {

namespace {

namespace fs = std::filesystem;

struct DetectOptions : ModelOptions {
  std::vector<std::string> images;
  std::string output;
  std::string json;
  float score_threshold = 0.5F;
};

// Where the picture of each image goes: the file `output`, or NAME.png in the folder `output`, numbered where images
// have the same name. Creates the folder.
std::vector<fs::path> output_paths(const std::vector<std::string>& images, const fs::path& output) {
  std::string extension = output.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  std::error_code ignored;
  const bool is_folder = fs::is_directory(output, ignored) || !output.has_filename() || extension.empty();
  if (!is_folder && (extension != ".png" || images.size() != 1)) {
    base::invalid("image.unwritable", "the output for {} must be a folder{}, but is '{}'",
                  images.size() == 1 ? "one image" : "several images", images.size() == 1 ? " or a .png file" : "",
                  output.string());
  }
  std::vector<fs::path> paths;
  if (is_folder) {
    std::error_code error;
    fs::create_directories(output, error);
    if (error) {
      base::invalid("image.unwritable", "cannot create the folder '{}': {}", output.string(), error.message());
    }
    std::set<std::string> taken;
    for (const std::string& image : images) {
      const std::string stem = fs::path(image).stem().string();
      std::string name = stem + ".png";
      for (int i = 2; !taken.insert(name).second; ++i) name = fmt::format("{}-{}.png", stem, i);
      paths.push_back(output / name);
    }
  } else {
    paths.push_back(output);
  }
  for (const fs::path& path : paths) {
    for (const std::string& image : images) {
      if (fs::equivalent(path, image, ignored)) {
        base::invalid("image.unwritable", "'{}' would overwrite the image itself", path.string());
      }
    }
  }
  return paths;
}

void draw_detections(Picture& picture, const std::vector<Detection>& detections) {
  // The best come first in the list and last, on top, in the picture.
  for (auto it = detections.rbegin(); it != detections.rend(); ++it) {
    draw_box(picture, it->box, fmt::format("{} {:.2f}", it->name, it->score), distinct_colour(it->label));
  }
}

nlohmann::ordered_json to_json(const std::vector<Detection>& detections) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Detection& detection : detections) {
    rows.push_back(
        {{"label", detection.label}, {"name", detection.name}, {"score", detection.score}, {"box", detection.box}});
  }
  return rows;
}

std::string to_text(const std::string& image, const std::vector<Detection>& detections) {
  std::string text;
  for (const Detection& detection : detections) {
    const auto& [left, top, right, bottom] = detection.box;
    text += fmt::format("{}: {} {:.3f} [{:.1f}, {:.1f}, {:.1f}, {:.1f}]\n", image, detection.name, detection.score,
                        left, top, right, bottom);
  }
  return text;
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void detect(const DetectOptions& options) {
  // What can be wrong with the command line is found before the model is compiled.
  for (const std::string& image : options.images) base::MappedFile::open(image);
  const std::vector<fs::path> paths = output_paths(options.images, options.output);
  DetectSettings settings;
  if (!options.config.empty()) settings = detect_config(base::read_file(options.config), options.config);

  const Program program = options.open();
  settings.merge(detect_properties(program.properties()));
  const DetectConvention convention(program.inputs(), program.outputs(), settings);
  Session session(program, options.session_options());

  const bool print_text = options.json != "-";
  nlohmann::ordered_json report = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < options.images.size(); ++i) {
    const std::string& image = options.images[i];
    Picture picture = read_picture(image);
    const std::vector<Detection> detections =
        base::with_context([&] { return fmt::format("while detecting in '{}'", image); },
                           [&] {
                             const auto [inputs, fit] = convention.prepare(picture);
                             return convention.interpret(session.run(inputs), fit, options.score_threshold);
                           });
    draw_detections(picture, detections);
    write_png(paths[i], picture);
    if (print_text) {
      print(to_text(image, detections));
      print(fmt::format("{}: {} detection{} with a score of at least {}, drawn in {}\n", image, detections.size(),
                        detections.size() == 1 ? "" : "s", options.score_threshold, paths[i].string()));
    }
    report.push_back({{"image", image},
                      {"width", picture.width()},
                      {"height", picture.height()},
                      {"output", paths[i].string()},
                      {"detections", to_json(detections)}});
  }
  if (options.json.empty()) return;
  // File names and class names need not be UTF-8, but JSON is.
  const std::string text = report.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (print_text)
    base::write_file_atomically(options.json, text);
  else
    print(text);
}

}  // namespace

Action add_detect(CLI::App& app) {
  CLI::App* command = app.add_subcommand("detect", "Find objects in pictures and draw their boxes");
  const auto options = std::make_shared<DetectOptions>();
  options->add_to(*command, "off");
  command->add_option("IMAGE", options->images, "PNG or JPEG files")->required();
  command
      ->add_option("-o,--output", options->output,
                   "A .png file for one image; a folder, which is created, for one or several")
      ->required();
  command->add_option("--score-threshold", options->score_threshold, "Leave out detections with a lower score")
      ->capture_default_str();
  add_json_option(*command, options->json,
                  "Write the detections as JSON to a .json file; without a file name, print it instead of the text");
  return [options] { detect(*options); };
}

}  // namespace lanner::cli
