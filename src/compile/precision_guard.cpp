#include "compile/precision_guard.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/fail.h"
#include "compile/trial.h"

namespace lanner::compiler {

using program::Instruction;

namespace {

// Each costs a run of all samples, at least.
constexpr std::size_t kMostParts = 16;

// Neighbours in the program's order that are withdrawn together.
struct Part {
  std::size_t first;
  std::size_t count;
  double error = 0;  // when bfloat16 is used in them alone
};

class Guard {
 public:
  Guard(Trial& trial, program::Program& program, const GuardOptions& options, PrecisionReport& report)
      : trial_(trial), options_(options), report_(report) {
    for (std::size_t i = 0; i < trial.origin.size(); ++i) {
      for (Instruction* at : bf16_candidates(trial.program.main.instructions[i])) tried_.push_back(at);
      Instruction& original = program.main.instructions[trial.origin[i]];
      for (Instruction* at : bf16_candidates(original)) {
        kept_.push_back(at);
        values_.push_back(original.blocks.front().block.slots[at->outputs.front()].name);
      }
    }
  }

  void judge() {
    if (tried_.empty()) return;
    if (!has_evidence()) return decide({}, [](std::size_t) { return "no sample reaches it"; });
    std::vector<char> allowed(tried_.size(), 1);
    const double all = error_of(allowed);
    if (all <= options_.tolerance) {
      return decide(allowed,
                    [&](std::size_t) { return fmt::format("with all that may be, the error is {:.2g}", all); });
    }
    withdraw(allowed);
  }

 private:
  // Whether anything at all was compared.
  bool has_evidence() const {
    return std::ranges::any_of(trial_.expected, [](const NamedValues& values) {
      return std::ranges::any_of(values, [](const auto& named) {
        return named.second.is_tensor() && named.second.tensor().element_count() != 0;
      });
    });
  }

  double error_of(const std::vector<char>& allowed) {
    // Whatever is fastest here may be another algorithm elsewhere, or once it has been measured.
    for (std::size_t i = 0; i < tried_.size(); ++i) {
      if (allowed[i] != 0) {
        force_bf16(*tried_[i]);
      } else {
        allow_bf16(*tried_[i], false);
      }
    }
    const std::vector<NamedValues> actual = run_samples(trial_.program, trial_.inputs);
    errors_.assign(actual.front().size(), 0);
    for (std::size_t sample = 0; sample < actual.size(); ++sample) {
      for (std::size_t i = 0; i < errors_.size(); ++i) {
        const double error = relative_error(trial_.expected[sample][i].second, actual[sample][i].second);
        errors_[i] = std::max(errors_[i], error);
      }
    }
    return *std::ranges::max_element(errors_);
  }

  // Each part's own error is measured. Errors are about independent, so their squares add up; what that promises is
  // measured again.
  void withdraw(std::vector<char>& allowed) {
    const std::size_t count = std::min(tried_.size(), kMostParts);
    std::vector<Part> parts;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t first = i * tried_.size() / count;
      parts.push_back({first, (i + 1) * tried_.size() / count - first});
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (options_.progress) options_.progress(static_cast<double>(i) / static_cast<double>(count));
      std::ranges::fill(allowed, 0);
      std::fill_n(allowed.begin() + static_cast<std::ptrdiff_t>(parts[i].first), parts[i].count, 1);
      parts[i].error = error_of(allowed);
    }
    const std::vector<Part> in_order = parts;
    std::ranges::stable_sort(parts, std::ranges::greater{}, &Part::error);
    std::ranges::fill(allowed, 1);
    double error = std::numeric_limits<double>::infinity();
    for (std::size_t next = 0; error > options_.tolerance && next < count; ++next) {
      const Part& worst = parts[next];
      std::fill_n(allowed.begin() + static_cast<std::ptrdiff_t>(worst.first), worst.count, 0);
      double square = 0;
      for (std::size_t i = next + 1; i < count; ++i) square += parts[i].error * parts[i].error;
      if (next + 1 == count || std::sqrt(square) <= options_.tolerance) error = error_of(allowed);
    }
    decide(allowed, [&](std::size_t i) {
      const auto after = std::ranges::upper_bound(in_order, i, {}, &Part::first);
      const Part& part = *(after - 1);
      const std::string which =
          part.count == 1 ? "by itself it makes" : fmt::format("with {} neighbours it makes", part.count - 1);
      return fmt::format("{} an error of {:.2g}", which, part.error);
    });
  }

  template <typename Reason>
  void decide(const std::vector<char>& allowed, const Reason& reason) {
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      const bool bf16 = !allowed.empty() && allowed[i] != 0;
      allow_bf16(*kept_[i], bf16);
      report_.decisions.push_back({values_[i], bf16, reason(i)});
    }
    for (std::size_t i = 0; i < errors_.size(); ++i) {
      report_.judged.push_back({trial_.expected.front()[i].first, errors_[i]});
    }
  }

  Trial& trial_;
  const GuardOptions& options_;
  PrecisionReport& report_;
  std::vector<Instruction*> tried_;  // in the trial's program
  std::vector<Instruction*> kept_;   // the same in the whole program
  std::vector<std::string> values_;  // that they make
  std::vector<double> errors_;       // of each compared value, in the last run
};

}  // namespace

double relative_error(const Value& expected, const Value& actual) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (!expected.is_tensor() || expected.tensor().element_type() != ElementType::kFloat32) return 0;
  if (!actual.is_tensor() || actual.tensor().shape() != expected.tensor().shape()) return kInfinity;
  const auto a = expected.tensor().values<float>();
  const auto b = actual.tensor().values<float>();
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isfinite(a[i]) != std::isfinite(b[i])) return kInfinity;
    if (!std::isfinite(a[i])) continue;
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    size += static_cast<double>(a[i]) * static_cast<double>(a[i]);
  }
  return difference == 0 ? 0 : std::sqrt(difference / size);
}

PrecisionReport guard_precision(program::Program& program, const GuardOptions& options) {
  PrecisionReport report;
  report.wanted = "auto";
  report.tolerance = options.tolerance;
  if (!cpu_computes_bf16()) {
    report.warnings.emplace_back("this CPU gains nothing by bfloat16, so all stays float32");
    report_rest(program, "not judged: this CPU does not compute with it", report);
    return report;
  }
  std::vector<NamedValues> samples = options.samples;
  if (samples.empty()) {
    samples.push_back(generated_sample(program));
    report.warnings.emplace_back("precision 'auto' is judged on generated inputs, because there are no samples");
  }
  for (Trial& trial : make_trials(program, samples)) Guard(trial, program, options, report).judge();
  report_rest(program, "not judged: it is in a nested graph", report);
  return report;
}

}  // namespace lanner::compiler
