// bench: how fast a model answers requests, and with which arrangement of sessions and threads.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/parallel.h"
#include "cli/arrangement.h"
#include "cli/command.h"

namespace lanner::cli {

namespace {

constexpr int kRounds = 5;

struct BenchOptions : ModelOptions {
  std::string mode = "latency";
  std::string inputs, json;
  double seconds = 3;
  int sessions = 0;
};

struct Result {
  Arrangement arrangement;
  double per_second;
  double p50_ms, p90_ms, p99_ms;
  std::size_t requests;
};

std::vector<Arrangement> wanted_arrangements(const BenchOptions& options) {
  const int cpus = base::available_cpu_count();
  const int threads = options.session_options().threads;
  const bool latency = options.mode == "latency";
  if (options.sessions > 0) return {{options.sessions, threads > 0 ? threads : std::max(cpus / options.sessions, 1)}};
  if (threads > 0) return {{latency ? 1 : std::max(cpus / threads, 1), threads}};
  return arrangements(cpus, latency);
}

nlohmann::json as_json(const Result& result) {
  return {{"sessions", result.arrangement.sessions},
          {"threads", result.arrangement.threads},
          {"requests", result.requests},
          {"requests_per_second", result.per_second},
          {"p50_ms", result.p50_ms},
          {"p90_ms", result.p90_ms},
          {"p99_ms", result.p99_ms}};
}

void bench(const BenchOptions& options) {
  const Program program = options.open();
  const NamedValues inputs = inputs_for(program, options.inputs);
  std::vector<Arrangement> tried = wanted_arrangements(options);
  std::vector<std::unique_ptr<Serving>> serving;
  for (const Arrangement& arrangement : tried) {
    serving.push_back(std::make_unique<Serving>(program, arrangement, options.session_options().lanes, inputs));
  }
  // In turns, so that what else the machine does falls on all of them alike.
  for (int round = 0; round < kRounds; ++round) {
    for (const auto& one : serving) one->run(options.seconds / kRounds);
  }
  std::vector<Result> results;
  for (std::size_t i = 0; i < tried.size(); ++i) {
    const Latencies& latencies = serving[i]->latencies();
    results.push_back({tried[i], latencies.per_second(), latencies.percentile(0.5), latencies.percentile(0.9),
                       latencies.percentile(0.99), latencies.ms.size()});
  }
  const auto best = options.mode == "latency" ? std::ranges::min_element(results, {}, &Result::p50_ms)
                                              : std::ranges::max_element(results, {}, &Result::per_second);

  nlohmann::json report{{"model", options.model}, {"mode", options.mode}, {"seconds", options.seconds}};
  report["best"] = as_json(*best);
  for (const Result& result : results) report["arrangements"].push_back(as_json(result));
  if (options.json == "-") {
    print("{}\n", report.dump());
    return;
  }
  if (!options.json.empty()) base::write_file_atomically(options.json, report.dump(1));
  print("#Sessions  #Threads  #Requests/s  #Latency(ms): p50/p90/p99\n");
  for (const Result& result : results) {
    print("{:<9}  {:<8}  {:>11.2f}  {:.3f}/{:.3f}/{:.3f}{}\n", result.arrangement.sessions, result.arrangement.threads,
          result.per_second, result.p50_ms, result.p90_ms, result.p99_ms, &result == &*best ? "  best" : "");
  }
}

}  // namespace

Action add_bench(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("bench", "Find the arrangement of sessions and threads that answers fastest or most");
  const auto options = std::make_shared<BenchOptions>();
  options->add_to(*command, "fast");
  command->add_option("--mode", options->mode, "latency: one request at a time; throughput: as many as CPUs allow")
      ->check(CLI::IsMember({"latency", "throughput"}))
      ->capture_default_str();
  command->add_option("--sessions", options->sessions, "Sessions at once, instead of trying several numbers")
      ->check(at_least(1));
  command->add_option("--seconds", options->seconds, "For each arrangement, in turns")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  command->add_option("--inputs", options->inputs, "An .npz file with one array per input; zeros without it");
  add_json_option(*command, options->json,
                  "Write the figures as JSON to a .json file; without a file name, print them instead of the table");
  return [options] { bench(*options); };
}

}  // namespace lanner::cli
