#include "cli/explanation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/fail.h"

namespace lanner::cli {

namespace {

using nlohmann::json;

constexpr std::size_t kMostPlaces = 8;

// "3 times: first, second, third", with as many of the places as are known and fit.
std::string counted_places(std::size_t count, const std::vector<std::string>& places) {
  std::string text = fmt::format("{} time{}: ", count, count == 1 ? "" : "s");
  const std::size_t shown = std::min(places.size(), kMostPlaces);
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + places[i];
  return text + (count > shown ? ", ..." : "") + "\n";
}

// " -- bf16", " -- f32: its weights are not constant", or nothing where only float32 was considered.
std::string precision_text(const json& node) {
  if (!node.contains("precision")) return "";
  const std::string reason = node.at("precision_reason");
  return fmt::format(" -- {}{}{}", node.at("precision").get<std::string>(), reason.empty() ? "" : ": ", reason);
}

std::string summary_of_precision(const json& report) {
  const auto count = [&](std::string_view precision) {
    return std::ranges::count_if(report.at("nodes"),
                                 [&](const json& node) { return node.value("precision", "") == precision; });
  };
  const auto bf16 = count("bf16");
  const auto all = bf16 + count("f32");
  if (all == 0) return "";
  const json& precision = report.at("precision");
  std::string text = fmt::format("precision {}: {} of {} convolutions and products may use bf16\n",
                                 precision.at("wanted").get<std::string>(), bf16, all);
  if (bf16 != 0 && !precision.at("computes_bf16").get<bool>())
    text += "    this CPU gains nothing by bf16: they run in f32\n";
  for (const json& value : precision.at("judged")) {
    const json& error = value.at("error");
    text += fmt::format("    error {:.2g} of at most {:.2g}: {}\n", error.is_null() ? INFINITY : error.get<double>(),
                        precision.at("tolerance").get<double>(), value.at("value").get<std::string>());
  }
  for (const json& warning : precision.at("warnings")) text += fmt::format("    {}\n", warning.get<std::string>());
  return text + "\n";
}

std::string nodes_text(const json& nodes) {
  std::map<std::string, int> per_backend;
  std::string text = fmt::format("{:<24} {:<8} {:>8}  {}\n", "#Operator", "#Backend", "#Subgraph", "#Node");
  for (const json& row : nodes) {
    const std::string backend = row.at("backend");
    ++per_backend[backend];
    const std::string subgraph = row.at("subgraph").is_null() ? "" : fmt::to_string(row.at("subgraph").get<int>());
    const std::string reason = row.at("reason");
    text += fmt::format("{:<24} {:<8} {:>8}  {}{}{}\n", row.at("operator").get<std::string>(), backend, subgraph,
                        row.at("node").get<std::string>(), reason.empty() ? "" : " -- ", reason + precision_text(row));
  }
  text += "\n";
  for (const auto& [backend, count] : per_backend) {
    text += fmt::format("{}: {} node{}\n", backend, count, count == 1 ? "" : "s");
  }
  return text;
}

std::string rules_text(const json& rules) {
  std::string text = fmt::format("{:<34} {:>6} {:>9}\n", "#Rule", "#Fired", "#Time(ms)");
  for (const json& rule : rules) {
    const json& fired = rule.at("fired");
    text += fmt::format("{:<34} {:>6} {:>9.1f}\n", rule.at("rule").get<std::string>(), fired.size(),
                        rule.at("ms").get<double>());
    std::vector<std::string> places;
    for (std::size_t i = 0; i < std::min(fired.size(), kMostPlaces); ++i) places.push_back(fired[i].at("where"));
    if (!places.empty()) text += "    fired " + counted_places(fired.size(), places);
    for (const json& declined : rule.at("declined")) {
      text += fmt::format("    declined, because {}, {}", declined.at("reason").get<std::string>(),
                          counted_places(declined.at("count"), declined.at("where")));
    }
  }
  return text;
}

// With what each packs in weights, where it is a matter of megabytes.
std::string times_text(const json& candidates) {
  std::string text;
  for (const json& candidate : candidates) {
    text += (text.empty() ? "" : ", ") + candidate.at("algorithm").get<std::string>();
    if (!candidate.at("us").is_null()) text += fmt::format(" {:.0f} us", candidate.at("us").get<double>());
    const double mebibytes = candidate.value("weight_mib", 0.0);
    if (candidates.size() > 1 && mebibytes >= 1) text += fmt::format(" ({:.0f} MiB)", mebibytes);
  }
  return text;
}

// Why an algorithm was chosen, in the words of users.
std::string reason_text(const json& row) {
  const std::string reason = row.at("reason");
  const std::string candidates = times_text(row.at("candidates"));
  if (reason == "open") return "decided when the shapes of its inputs are known";
  if (row.at("candidates").size() == 1 && reason != "measured") return "the only one";
  if (reason == "measured") return candidates;
  if (reason == "given") return "given; not measured here: " + candidates;
  if (reason == "elsewhere") return "tuned for another CPU or oneDNN; expected to be the fastest of " + candidates;
  return "not measured; expected to be the fastest of " + candidates;
}

// What convolutions and matrix products run with.
std::string algorithms_text(const json& content) {
  std::string text;
  if (content.contains("tuning")) {
    const json& tuning = content.at("tuning");
    for (const auto& [backend, share] : tuning.at("backends").items()) {
      text += fmt::format("tuned ({}) for {}, {} threads, whose peak is {:.0f} GFLOP/s\n",
                          tuning.at("level").get<std::string>(), share.at("target").get<std::string>(),
                          tuning.at("threads").get<int>(), tuning.at("peak_gflops").get<double>());
    }
  }
  text += fmt::format("{:<18} {:>9} {:>9} {:>6}  {}\n", "#Algorithm", "#Time(us)", "#GFLOP/s", "#Peak",
                      "#Node: problem -- candidates");
  for (const json& row : content.at("algorithms")) {
    const auto number = [&](std::string_view key, int digits, double scale = 1) {
      return row.at(key).is_null() ? "" : fmt::format("{:.{}f}", row.at(key).get<double>() * scale, digits);
    };
    const std::string peak = number("of_peak", 0, 100);
    text += fmt::format("{:<18} {:>9} {:>9} {:>6}  {}: {} -- {}\n",
                        row.at("algorithm").is_null() ? "" : row.at("algorithm").get<std::string>(), number("us", 1),
                        number("gflops", 1), peak.empty() ? "" : peak + "%", row.at("node").get<std::string>(),
                        row.at("problem").is_null() ? "open shapes" : row.at("problem").get<std::string>(),
                        reason_text(row));
  }
  return text;
}

}  // namespace

std::string explanation(const std::string& report) {
  if (report.empty()) {
    base::fail(ErrorCode::kFailedPrecondition, "report.missing",
               "the program has no report: it was not made by compiling a model");
  }
  try {
    const json content = json::parse(report);
    return nodes_text(content.at("nodes")) + "\n" + summary_of_precision(content) + algorithms_text(content) + "\n" +
           rules_text(content.at("rules"));
  } catch (const json::exception& error) {
    base::invalid("report.invalid", "the program's report is not what the compiler writes: {}", error.what());
  }
}

}  // namespace lanner::cli
