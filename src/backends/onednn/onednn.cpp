// The oneDNN backend: float32 dense operators on Intel's CPU library. A subgraph is planned once per set of input
// shapes (plan.h); shapes that the block leaves open are planned when they first come, and the last few plans are kept.
// Where inputs differ in their number of rows alone, a plan for more rows may serve (rows.h).
#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <exception>
#include <future>
#include <limits>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backends/backend.h"
#include "backends/onednn/builder.h"
#include "backends/onednn/rows.h"
#include "backends/onednn/tuning.h"
#include "base/clock.h"
#include "base/fail.h"

namespace lanner::backends {

const Backend& onednn_backend();

namespace onednn {

namespace {

constexpr std::size_t kMostPlans = 8;
constexpr std::size_t kMostRowPlans = 32;     // they share their weights
constexpr std::size_t kMostRowCounts = 1024;  // whose waste is remembered
constexpr double kCopyNsPerByte = 0.1;

class Subgraph final : public CompiledSubgraph {
 public:
  Subgraph(const program::Block& block, std::span<const Tensor> constants, const BuildOptions& options)
      : block_(block),
        constants_(constants),
        labels_(block),
        row_wise_(has_avx512() && is_row_wise(block, constants)),  // AVX2's products sum as their size suggests
        uses_choices_(uses_choices(options)) {
    std::vector<Shape> shapes;
    for (const program::SlotIndex input : block.inputs) {
      const auto shape = block.slots[input].type.static_shape();
      if (!shape) return;
      shapes.push_back(*shape);
    }
    std::promise<std::shared_ptr<const TimedPlan>> promise;
    promise.set_value(make_plan(shapes, options.threads));
    plans_.push_back({shapes, options.threads, promise.get_future().share()});
  }

  void run(kernels::KernelContext& context, profile::Recorder* recorder) const override {
    check_types(context);
    std::vector<Shape> shapes;
    for (int i = 0; i < context.input_count(); ++i) shapes.push_back(context.input(i).shape());
    if (row_wise_ && shapes[0].rank() != 0 && shapes[0][0] != 0) {
      const std::int64_t rows = choose_rows(context);
      if (rows != shapes[0][0]) {
        for (Shape& shape : shapes) shape[0] = rows;
        return run_with_fewer_rows(*find_plan(shapes, context.threads())->plan, rows, context, recorder);
      }
    }
    const std::shared_ptr<const TimedPlan> found = find_plan(shapes, context.threads());
    const std::int64_t start = base::now_ns();
    found->plan->run(context, recorder);
    found->run_ns = base::now_ns() - start;
  }

 private:
  struct TimedPlan {
    std::unique_ptr<const Plan> plan;
    std::int64_t build_ns;
    mutable std::atomic<std::int64_t> run_ns = 0;  // of the last run with all rows
  };
  using Future = std::shared_future<std::shared_ptr<const TimedPlan>>;

  struct Entry {
    std::vector<Shape> shapes;
    int threads;
    Future plan;  // not ready while the run that came first makes it

    // Null while the plan is being made.
    const TimedPlan* ready() const {
      return plan.wait_for(std::chrono::seconds(0)) == std::future_status::ready ? plan.get().get() : nullptr;
    }
  };

  std::shared_ptr<const TimedPlan> make_plan(std::span<const Shape> shapes, int threads) const {
    const std::int64_t start = base::now_ns();
    auto result = std::make_shared<TimedPlan>();
    result->plan =
        Builder(block_, constants_, labels_, {.threads = threads, .any_rows = row_wise_, .uses_choices = uses_choices_})
            .build(shapes);
    result->build_ns = base::now_ns() - start;
    return result;
  }

  void check_types(const kernels::KernelContext& context) const {
    for (int i = 0; i < context.input_count(); ++i) {
      if (context.input(i).element_type() != ElementType::kFloat32) {
        base::fail(ErrorCode::kUnimplemented, "op.type", "oneDNN subgraphs take float32 only, but input {} is {}", i,
                   context.input(i).type_string());
      }
    }
  }

  // For how many rows the plan should be that runs the context's inputs: as many as they have, or more, where running
  // for more wastes less than a plan of their own costs. All that their number of rows has wasted so far counts, so a
  // number that keeps coming gets a plan.
  std::int64_t choose_rows(const kernels::KernelContext& context) const {
    const std::int64_t rows = context.input(0).shape()[0];
    std::size_t bytes = 0;
    for (int i = 0; i < context.input_count(); ++i) {
      const Shape& shape = context.input(i).shape();
      if (shape.rank() == 0 || shape[0] != rows) return rows;  // what the operators say to that is clearer
      bytes += context.input(i).byte_count();
    }
    const std::lock_guard lock(mutex_);
    std::int64_t more = rounded_up(rows);
    double row_ns = std::numeric_limits<double>::infinity();
    std::int64_t build_ns = 0;
    for (const Entry& entry : plans_) {
      if (entry.threads < context.threads() || !has_shapes_but_rows(entry, context)) continue;
      const std::int64_t its_rows = entry.shapes[0][0];
      if (its_rows == rows) return rows;
      if (its_rows > rows) more = std::min(more, its_rows);
      const TimedPlan* const plan = entry.ready();
      if (plan == nullptr || plan->run_ns == 0) continue;
      // Of several the least: weights that have to be read for any number of rows count less in it.
      row_ns = std::min(row_ns, static_cast<double>(plan->run_ns) / static_cast<double>(its_rows));
      build_ns = std::max(build_ns, plan->build_ns);
    }
    const double waste = row_ns * static_cast<double>(more - rows) + static_cast<double>(bytes) * kCopyNsPerByte;
    if (wasted_ns_.size() == kMostRowCounts) wasted_ns_.clear();
    double& wasted = wasted_ns_[rows];
    if (wasted + waste > static_cast<double>(build_ns)) return rows;
    wasted += waste;
    return more;
  }

  // At most an eighth more, so that a few plans serve all numbers.
  static std::int64_t rounded_up(std::int64_t rows) {
    const auto step = std::max<std::int64_t>(
        8, static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(rows, 1)))) / 8);
    return (rows + step - 1) / step * step;
  }

  static bool has_shapes_but_rows(const Entry& entry, const kernels::KernelContext& context) {
    for (int i = 0; i < context.input_count(); ++i) {
      Shape shape = entry.shapes[static_cast<std::size_t>(i)];
      if (shape.rank() == 0) return false;
      shape[0] = context.input(i).shape()[0];
      if (shape != context.input(i).shape()) return false;
    }
    return true;
  }

  // The plan for these input shapes, made if there is none; other shapes are not held up meanwhile. A plan serves its
  // number of threads and any lower one: the work is split when it is made.
  std::shared_ptr<const TimedPlan> find_plan(const std::vector<Shape>& shapes, int threads) const {
    std::promise<std::shared_ptr<const TimedPlan>> promise;
    Future future;
    {
      const std::lock_guard lock(mutex_);
      const auto found = std::ranges::find_if(
          plans_, [&](const Entry& entry) { return entry.threads >= threads && entry.shapes == shapes; });
      if (found != plans_.end()) {
        std::rotate(plans_.begin(), found, found + 1);
        future = plans_.front().plan;
      } else {
        if (plans_.size() == (row_wise_ ? kMostRowPlans : kMostPlans)) plans_.pop_back();
        plans_.insert(plans_.begin(), {shapes, threads, promise.get_future().share()});
      }
    }
    if (future.valid()) {
      try {
        return future.get();
      } catch (const Error& error) {
        throw Error(error);  // NOLINT: a copy of our own, which may gain context
      }
    }
    try {
      std::shared_ptr<const TimedPlan> plan = make_plan(shapes, threads);
      promise.set_value(plan);
      return plan;
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        std::erase_if(plans_, [&](const Entry& entry) { return entry.threads == threads && entry.shapes == shapes; });
      }
      give_exception(promise);
      throw;
    }
  }

  // Passes on the exception being handled; an Error as a copy that nobody changes.
  static void give_exception(std::promise<std::shared_ptr<const TimedPlan>>& promise) {
    try {
      throw;
    } catch (const Error& error) {
      promise.set_exception(std::make_exception_ptr(Error(error)));
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
  }

  const program::Block& block_;
  std::span<const Tensor> constants_;
  Labels labels_;
  bool row_wise_;
  bool uses_choices_;
  mutable std::mutex mutex_;                                    // guards what follows
  mutable std::vector<Entry> plans_;                            // last used first
  mutable std::unordered_map<std::int64_t, double> wasted_ns_;  // by number of rows
};

class OnednnBackend final : public Backend {
 public:
  std::string_view name() const override { return "onednn"; }
  bool computes_bf16() const override { return has_bf16(); }
  std::unique_ptr<CompiledSubgraph> build(const program::Block& block, std::span<const Tensor> constants,
                                          const BuildOptions& options) const override {
    return std::make_unique<Subgraph>(block, constants, options);
  }
  std::string tuning_target() const override { return onednn::tuning_target(); }
  std::vector<Choice> choices(const program::Block& block, std::span<const Tensor> constants,
                              const BuildOptions& options) const override {
    return onednn::choices(block, constants, options);
  }
  std::vector<Choice> tune(const program::Block& block, std::span<const Tensor> constants, const TuneOptions& options,
                           Measurements& measurements) const override {
    return onednn::tune(block, constants, options, measurements);
  }
};

}  // namespace

}  // namespace onednn

const Backend& onednn_backend() {
  static const onednn::OnednnBackend backend;
  return backend;
}

}  // namespace lanner::backends
