#include "backends/onednn/tuning.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <unordered_map>

#include "backends/onednn/builder.h"
#include "backends/onednn/contest.h"
#include "backends/onednn/operators.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "base/memory.h"

namespace lanner::backends::onednn {

namespace {

using program::Block;

// What a quick measurement takes: candidates that are expected to need at most so many times the best one's time, and
// no more than so many.
constexpr double kCloseExpectation = 1.7;
constexpr std::size_t kMostQuickEntrants = 3;

constexpr ContestRules kQuick{.least_rounds = 2, .most_rounds = 20, .most_us = 5e6, .agreement = 0.02};
constexpr ContestRules kThorough{.least_rounds = 4, .most_rounds = 40, .most_us = 20e6, .agreement = 0.01};

// Nothing where one of them is open.
std::optional<std::vector<Shape>> input_shapes(const Block& block) {
  std::vector<Shape> shapes;
  for (const program::SlotIndex input : block.inputs) {
    const auto shape = block.slots[input].type.static_shape();
    if (!shape) return std::nullopt;
    shapes.push_back(*shape);
  }
  return shapes;
}

// What a run allocates is kept for the next one, so that none pays for new pages.
class KeptMemory final : public Allocator {
 public:
  std::shared_ptr<void> allocate(std::size_t byte_count) override {
    for (Piece& piece : pieces_) {
      if (piece.bytes.use_count() == 1 && piece.size == byte_count) return piece.bytes;
    }
    pieces_.push_back({base::allocate_shared_memory(byte_count), byte_count});
    return pieces_.back().bytes;
  }

 private:
  struct Piece {
    std::shared_ptr<void> bytes;
    std::size_t size;
  };
  std::vector<Piece> pieces_;
};

// A plan whose instructions have been given algorithms.
class Variant {
 public:
  // `algorithms`, by instruction, are set where they are not empty.
  Variant(const Block& block, std::span<const Tensor> constants, const std::vector<std::string>& algorithms,
          std::span<const Shape> shapes, int threads)
      : block_(with(block, algorithms)), labels_(block_) {
    plan_ = Builder(block_, constants, labels_, {.threads = threads}).build(shapes);
    for (std::size_t i = 0; i < block_.instructions.size(); ++i) {
      instruction_of_[&labels_.instructions[i].operation] = i;
      instruction_of_[&labels_.instructions[i].reorder] = i;
    }
  }

  // Nanoseconds of each instruction, with the reorders of its inputs.
  std::vector<std::int64_t> run(kernels::KernelContext& context) const {
    profile::Recorder recorder;
    recorder.begin_run();
    plan_->run(context, &recorder);
    std::vector<std::int64_t> ns(block_.instructions.size());
    for (const profile::Event& event : recorder.events()) {
      const auto found = instruction_of_.find(event.label);
      if (found != instruction_of_.end()) ns[found->second] += event.end_ns - event.start_ns;
    }
    return ns;
  }

 private:
  static Block with(Block block, const std::vector<std::string>& algorithms) {
    for (std::size_t i = 0; i < algorithms.size(); ++i) {
      if (algorithms[i].empty()) continue;
      block.instructions[i].attributes.set(std::string(kAlgorithmAttribute), algorithms[i]);
    }
    return block;
  }

  Block block_;
  Labels labels_;
  std::unique_ptr<Plan> plan_;
  std::unordered_map<const profile::Label*, std::size_t> instruction_of_;
};

// Inputs, outputs and memory for the runs of a block's variants.
class Bench {
 public:
  Bench(const Block& block, std::span<const Shape> shapes, int threads)
      : threads_(threads), outputs_(block.outputs.size()) {
    std::mt19937 generator(1);
    std::uniform_real_distribution<float> distribution(-1.0F, 1.0F);
    for (const Shape& shape : shapes) {
      Tensor tensor = Tensor::allocate(ElementType::kFloat32, shape);
      for (float& value : tensor.values<float>()) value = distribution(generator);
      inputs_.emplace_back(std::move(tensor));
    }
  }

  std::vector<std::int64_t> run(const Variant& variant) {
    class Outputs final : public kernels::OutputMemory {
     public:
      explicit Outputs(KeptMemory& memory) : memory_(memory) {}
      Tensor allocate(int, ElementType type, const Shape& shape) override {
        return Tensor::allocate(type, shape, memory_);
      }

     private:
      KeptMemory& memory_;
    };
    std::vector<const Value*> inputs;
    std::vector<Value*> outputs;
    for (const Value& input : inputs_) inputs.push_back(&input);
    for (Value& output : outputs_) {
      output = Value();
      outputs.push_back(&output);
    }
    Outputs memory(memory_);
    kernels::KernelContext context(inputs, outputs, memory, memory_, threads_);
    return variant.run(context);
  }

  // Numbers that a network makes are neither infinite nor so small that the CPU computes with them in software. Weights
  // that are not meant for these inputs may make such, and then smaller inputs help.
  void calibrate(const Variant& variant) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      run(variant);
      if (std::ranges::all_of(outputs_, [](const Value& output) { return is_finite(output.tensor()); })) return;
      for (Value& input : inputs_) {
        for (float& value : input.tensor().values<float>()) value *= kSmaller;
      }
    }
  }

 private:
  static constexpr int kAttempts = 4;
  static constexpr float kSmaller = 1.0F / 32;

  static bool is_finite(const Tensor& tensor) {
    const std::span<const float> values(tensor.data<float>(), static_cast<std::size_t>(tensor.element_count()));
    return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
  }

  int threads_;
  std::vector<Value> inputs_;
  std::vector<Value> outputs_;
  KeptMemory memory_;
};

// A problem that is to be measured: the instructions that have it and the algorithms that compete.
struct Problem {
  std::string_view text;
  std::vector<std::size_t> instructions;
  bool with_producer;
  std::vector<std::string> algorithms;

  // What they took together, of what each of the block's took in a run. Where another instruction did the work of some,
  // those count as much as the others; infinite where it did that of all.
  double us(std::span<const std::int64_t> ns) const {
    double sum = 0;
    std::size_t count = 0;
    for (const std::size_t instruction : instructions) {
      if (ns[instruction] == 0) continue;
      sum += static_cast<double>(ns[instruction] + (with_producer ? ns[instruction - 1] : 0)) * 1e-3;
      ++count;
    }
    return count == 0 ? std::numeric_limits<double>::infinity()
                      : sum * static_cast<double>(instructions.size()) / static_cast<double>(count);
  }
};

bool is_known(const Choice& choice, TuneLevel level, const Measurements& measurements) {
  const auto found = measurements.find(choice.problem);
  if (found == measurements.end() || found->second.level < level) return false;
  return std::ranges::all_of(entrants(choice, level),
                             [&](const std::string& algorithm) { return found->second.find(algorithm) != nullptr; });
}

// Those not known, each once.
std::vector<Problem> problems_to_measure(const std::vector<Choice>& choices, TuneLevel level,
                                         const Measurements& measurements) {
  std::vector<Problem> problems;
  for (const Choice& choice : choices) {
    if (is_known(choice, level, measurements)) continue;
    const auto same = std::ranges::find(problems, choice.problem, &Problem::text);
    if (same != problems.end()) {
      same->instructions.push_back(choice.instruction);
    } else {
      problems.push_back({choice.problem, {choice.instruction}, choice.with_producer, entrants(choice, level)});
    }
  }
  return problems;
}

// By what is known of the candidates; where nothing is, as it was.
void choose(Choice& choice, const Measurements& measurements) {
  const auto found = measurements.find(choice.problem);
  if (found == measurements.end()) return;
  std::vector<std::string> algorithms;
  std::vector<double> prices;
  for (const Choice::Candidate& candidate : choice.candidates) {
    const Timing* timing = found->second.find(candidate.algorithm);
    if (timing == nullptr) continue;
    algorithms.push_back(candidate.algorithm);
    prices.push_back(priced(timing->us, candidate.weight_bytes));
  }
  if (!prices.empty()) choice.algorithm = algorithms[winner(prices)];
}

void measure(const Block& block, std::span<const Tensor> constants, std::span<const Shape> shapes,
             const std::vector<Problem>& problems, const std::vector<Choice>& choices, const TuneOptions& options,
             Measurements& measurements) {
  std::vector<std::size_t> counts;
  for (const Problem& problem : problems) counts.push_back(problem.algorithms.size());
  Contest contest(std::move(counts), options.level == TuneLevel::kFull ? kThorough : kQuick);

  std::vector<std::string> algorithms(block.instructions.size());
  for (const Choice& choice : choices) algorithms[choice.instruction] = choice.algorithm;
  std::vector<std::unique_ptr<Variant>> variants;
  for (std::size_t line_up = 0; line_up < contest.line_up_count(); ++line_up) {
    for (std::size_t i = 0; i < problems.size(); ++i) {
      for (const std::size_t instruction : problems[i].instructions) {
        algorithms[instruction] = problems[i].algorithms[contest.candidate_of(i, line_up)];
      }
    }
    variants.push_back(std::make_unique<Variant>(block, constants, algorithms, shapes, options.threads));
  }

  Bench bench(block, shapes, options.threads);
  bench.calibrate(*variants.front());
  while (const auto line_up = contest.next()) {
    const std::int64_t start = base::now_ns();
    const std::vector<std::int64_t> ns = bench.run(*variants[*line_up]);
    const auto run_us = static_cast<double>(base::now_ns() - start) * 1e-3;
    std::vector<double> us;
    for (const Problem& problem : problems) us.push_back(problem.us(ns));
    contest.record(*line_up, us, run_us);
    options.progress(contest.progress());
  }
  for (std::size_t i = 0; i < problems.size(); ++i) {
    Measurement measurement{{}, options.level};
    const auto places = static_cast<double>(problems[i].instructions.size());
    for (std::size_t k = 0; k < problems[i].algorithms.size(); ++k) {
      const double us = contest.best_us(i, k) / places;
      if (std::isfinite(us)) measurement.timings.push_back({problems[i].algorithms[k], us});
    }
    measurements.insert_or_assign(std::string(problems[i].text), std::move(measurement));
  }
}

}  // namespace

std::string tuning_target() {
  const dnnl_version_t& version = *dnnl_version();
  return fmt::format("{}, instruction set {:x}, oneDNN {}.{}.{}", base::cpu_name(),
                     static_cast<unsigned>(dnnl::get_effective_cpu_isa()), version.major, version.minor, version.patch);
}

bool uses_choices(const BuildOptions& options) {
  return options.tuned_for.empty() || options.tuned_for == tuning_target();
}

std::vector<std::string> entrants(const Choice& choice, TuneLevel level) {
  std::vector<std::string> algorithms;
  for (const Choice::Candidate& candidate : choice.candidates) {
    const bool close = candidate.expected <= kCloseExpectation * choice.candidates.front().expected;
    if (level == TuneLevel::kFull || (close && algorithms.size() < kMostQuickEntrants)) {
      algorithms.push_back(candidate.algorithm);
    }
  }
  return algorithms;
}

namespace {

std::vector<Choice> survey(const Block& block, std::span<const Tensor> constants, int threads, bool uses_choices) {
  const auto shapes = input_shapes(block);
  if (shapes) {
    const Labels labels(block);
    return Builder(block, constants, labels, {.threads = threads, .uses_choices = uses_choices}).survey(*shapes);
  }
  std::vector<Choice> open;
  for (std::size_t i = 0; i < block.instructions.size(); ++i) {
    if (!has_algorithms(block.instructions[i].op)) continue;
    Choice& choice = open.emplace_back();
    choice.instruction = i;
  }
  return open;
}

}  // namespace

std::vector<Choice> choices(const Block& block, std::span<const Tensor> constants, const BuildOptions& options) {
  return survey(block, constants, options.threads, uses_choices(options));
}

std::vector<Choice> tune(const Block& block, std::span<const Tensor> constants, const TuneOptions& options,
                         Measurements& measurements) {
  // What the instructions have been given before has no effect.
  std::vector<Choice> result = survey(block, constants, options.threads, false);
  const auto shapes = input_shapes(block);
  if (!shapes) return result;
  const std::vector<Problem> problems = problems_to_measure(result, options.level, measurements);
  for (Choice& choice : result) choose(choice, measurements);
  if (!problems.empty()) {
    guarded([&] { measure(block, constants, *shapes, problems, result, options, measurements); });
    for (Choice& choice : result) choose(choice, measurements);
  }
  return result;
}

}  // namespace lanner::backends::onednn
