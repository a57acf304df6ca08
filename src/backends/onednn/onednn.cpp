// The oneDNN backend: float32 dense operators on Intel's CPU library. A subgraph is planned once per set of input
// shapes (plan.h); shapes that the block leaves open are planned when they first come, and the last few plans are kept.
#include <algorithm>
#include <exception>
#include <future>
#include <mutex>
#include <vector>

#include "backends/backend.h"
#include "backends/onednn/builder.h"
#include "base/fail.h"

namespace lanner::backends {

const Backend& onednn_backend();

namespace onednn {

namespace {

constexpr std::size_t kMostPlans = 8;

class Subgraph final : public CompiledSubgraph {
 public:
  Subgraph(const program::Block& block, std::span<const Tensor> constants, const BuildOptions& options)
      : block_(block), constants_(constants), labels_(block) {
    std::vector<Shape> shapes;
    for (const program::SlotIndex input : block.inputs) {
      const auto shape = block.slots[input].type.static_shape();
      if (!shape) return;
      shapes.push_back(*shape);
    }
    std::promise<std::shared_ptr<const Plan>> promise;
    promise.set_value(make_plan(shapes, options.threads));
    plans_.push_back({shapes, options.threads, promise.get_future().share()});
  }

  void run(kernels::KernelContext& context, profile::Recorder* recorder) const override {
    find_plan(context)->run(context, recorder);
  }

 private:
  struct Entry {
    std::vector<Shape> shapes;
    int threads;
    std::shared_future<std::shared_ptr<const Plan>> plan;  // not ready while the run that came first makes it
  };

  std::shared_ptr<const Plan> make_plan(std::span<const Shape> shapes, int threads) const {
    return Builder(block_, constants_, labels_, threads).build(shapes);
  }

  // The plan for the context's input shapes, made if there is none; other shapes are not held up meanwhile. A plan
  // serves its number of threads and any lower one: the work is split when it is made.
  std::shared_ptr<const Plan> find_plan(const kernels::KernelContext& context) const {
    const int count = static_cast<int>(block_.inputs.size());
    for (int i = 0; i < count; ++i) {
      if (context.input(i).element_type() != ElementType::kFloat32) {
        base::fail(ErrorCode::kUnimplemented, "op.type", "oneDNN subgraphs take float32 only, but input {} is {}", i,
                   context.input(i).type_string());
      }
    }
    const auto serves = [&](const Entry& entry) {
      if (entry.threads < context.threads()) return false;
      for (int i = 0; i < count; ++i) {
        if (entry.shapes[static_cast<std::size_t>(i)] != context.input(i).shape()) return false;
      }
      return true;
    };
    std::promise<std::shared_ptr<const Plan>> promise;
    std::shared_future<std::shared_ptr<const Plan>> future;
    std::vector<Shape> shapes;
    {
      const std::lock_guard lock(mutex_);
      const auto found = std::ranges::find_if(plans_, serves);
      if (found != plans_.end()) {
        std::rotate(plans_.begin(), found, found + 1);
        future = plans_.front().plan;
      } else {
        for (int i = 0; i < count; ++i) shapes.push_back(context.input(i).shape());
        if (plans_.size() == kMostPlans) plans_.pop_back();
        plans_.insert(plans_.begin(), {shapes, context.threads(), promise.get_future().share()});
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
      std::shared_ptr<const Plan> plan = make_plan(shapes, context.threads());
      promise.set_value(plan);
      return plan;
    } catch (...) {
      {
        const std::lock_guard lock(mutex_);
        std::erase_if(plans_,
                      [&](const Entry& entry) { return entry.threads == context.threads() && entry.shapes == shapes; });
      }
      give_exception(promise);
      throw;
    }
  }

  // Passes on the exception being handled; an Error as a copy that nobody changes.
  static void give_exception(std::promise<std::shared_ptr<const Plan>>& promise) {
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
  mutable std::mutex mutex_;          // guards plans_
  mutable std::vector<Entry> plans_;  // last used first
};

class OnednnBackend final : public Backend {
 public:
  std::string_view name() const override { return "onednn"; }
  std::unique_ptr<CompiledSubgraph> build(const program::Block& block, std::span<const Tensor> constants,
                                          const BuildOptions& options) const override {
    return std::make_unique<Subgraph>(block, constants, options);
  }
};

}  // namespace

}  // namespace onednn

const Backend& onednn_backend() {
  static const onednn::OnednnBackend backend;
  return backend;
}

}  // namespace lanner::backends
