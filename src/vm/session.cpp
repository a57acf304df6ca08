#include "lanner/session.h"

#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/fail.h"
#include "base/parallel.h"
#include "profile/profile.h"
#include "vm/frame.h"
#include "vm/loaded_program.h"
#include "vm/master.h"
#include "vm/measurement.h"
#include "vm/pool.h"

namespace lanner {

namespace {

int wanted_lanes(int lanes, int threads) {
  if (lanes < 0 || lanes > base::kMaxThreads) {
    base::invalid("option.lanes", "the number of lanes must be from 0 to {}, but is {}", base::kMaxThreads, lanes);
  }
  return lanes == 0 ? threads : lanes;
}

// Checks a tensor of an input against its type, one property at a time so that the message names it.
void check_tensor(const program::Slot& slot, const Tensor& tensor) {
  const tensor::ValueType& type = slot.type;
  if (!tensor.defined()) base::invalid("input.type", "input '{}' must be a tensor", slot.name);
  if (type.element != ElementType::kUndefined && tensor.element_type() != type.element) {
    base::invalid("input.type", "input '{}' must have element type {}, but has {}", slot.name,
                  element_type_name(type.element), element_type_name(tensor.element_type()));
  }
  if (!type.ranked) return;
  if (tensor.rank() != static_cast<int>(type.dims.size())) {
    base::invalid("input.rank", "input '{}' must have rank {}, but has rank {}: {} is needed, {} was given", slot.name,
                  type.dims.size(), tensor.rank(), type.to_string(), tensor.type_string());
  }
  for (int i = 0; i < tensor.rank(); ++i) {
    const tensor::Dim& dim = type.dims[static_cast<std::size_t>(i)];
    if (dim.known() && dim.size != tensor.shape()[i]) {
      base::invalid("input.shape",
                    "input '{}' must have size {} in dimension {}, but has {}: {} is needed, {} was given", slot.name,
                    dim.size, i, tensor.shape()[i], type.to_string(), tensor.type_string());
    }
  }
}

void check_input(const program::Slot& slot, const Value& value) {
  using Kind = tensor::ValueType::Kind;
  const Kind kind = slot.type.kind;
  const bool may_be_none = kind == Kind::kOptional || kind == Kind::kOptionalSequence;
  if (kind == Kind::kUnknown || (may_be_none && value.is_none())) return;
  const bool sequence = kind == Kind::kSequence || kind == Kind::kOptionalSequence;
  if (sequence ? !value.is_sequence() : !value.is_tensor()) {
    base::invalid("input.type", "input '{}' must be a {}{}", slot.name, sequence ? "sequence of tensors" : "tensor",
                  may_be_none ? " or none" : "");
  }
  if (!sequence) return check_tensor(slot, value.tensor());
  for (const Tensor& tensor : value.sequence()) check_tensor(slot, tensor);
}

std::string input_names(const program::Program& program) {
  std::string names;
  for (const program::SlotIndex slot : program.main.inputs) {
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", program.main.slots[slot].name);
  }
  return names;
}

// The block's inputs in order, from named values and defaults.
std::vector<Value> arrange_inputs(const program::Program& program, const NamedValues& inputs) {
  const program::Block& main = program.main;
  std::vector<Value> arranged(main.inputs.size());
  std::vector<char> given(main.inputs.size(), 0);
  for (const auto& [name, value] : inputs) {
    const auto at =
        std::ranges::find_if(main.inputs, [&](program::SlotIndex slot) { return main.slots[slot].name == name; });
    if (at == main.inputs.end()) {
      base::invalid("input.unknown", "the model has no input '{}'; its inputs are {}", name, input_names(program));
    }
    const auto position = static_cast<std::size_t>(at - main.inputs.begin());
    if (given[position] != 0) base::invalid("input.duplicate", "input '{}' is given twice", name);
    check_input(main.slots[*at], value);
    arranged[position] = value;
    given[position] = 1;
  }
  for (std::size_t i = 0; i < arranged.size(); ++i) {
    if (given[i] != 0) continue;
    const auto fallback = std::ranges::find(program.input_defaults, main.inputs[i], &program::ConstantBinding::slot);
    if (fallback == program.input_defaults.end()) {
      base::invalid("input.missing", "input '{}' is missing; the model's inputs are {}",
                    main.slots[main.inputs[i]].name, input_names(program));
    }
    arranged[i] = program.constants[fallback->constant];
  }
  return arranged;
}

}  // namespace

struct Session::State {
  State(const Program& handle, int thread_count, int lane_count)
      : loaded(handle.loaded()), threads(thread_count), lanes(lane_count) {
    if (std::max(threads, lanes) > 1) measurement.emplace(*loaded, threads, lanes);
    // Packing weights opens parallel regions too. It is done by a thread that ends then, and its workers with it.
    const auto build = [&] { frame.emplace(loaded->ready({.threads = threads}), loaded->program().constants); };
    if (threads > 1)
      vm::Master().run(build);
    else
      build();
  }

  // On the thread that calls, as long as that is always the same one, and on one of the session's own from the first
  // call of another on: libgomp keeps a set of workers for each thread that opens parallel regions, and with more
  // workers than CPUs they no longer spin, so that every region costs a wake-up. A thread of its own for all would cost
  // each request two.
  void on_master(const std::function<void()>& job) {
    if (!master && std::max(threads, lanes) > 1) {
      const std::thread::id caller = std::this_thread::get_id();
      if (home == std::thread::id()) home = caller;
      if (home != caller) master.emplace();
    }
    if (master)
      master->run(job);
    else
      job();
  }

  NamedValues run(const NamedValues& inputs, profile::Recorder* recorder) {
    const program::Program& program = loaded->program();
    const std::vector<Value> arranged = arrange_inputs(program, inputs);
    std::vector<Value> results;
    on_master([&] { results = measurement ? run_measured(arranged) : frame->run(arranged, environment(recorder)); });
    note_shapes(arranged);
    NamedValues outputs;
    for (std::size_t i = 0; i < results.size(); ++i) {
      // Sequences inside a program share their tensors; the caller may write to those that it gets.
      if (results[i].is_sequence()) {
        for (Tensor& tensor : results[i].sequence()) {
          if (tensor.owner().use_count() != 1) tensor = tensor.clone(pool);
        }
      }
      outputs.emplace_back(program.output_names[i], std::move(results[i]));
    }
    return outputs;
  }

  // Backends build what depends on input shapes when these first come, from the plain weights.
  void note_shapes(const std::vector<Value>& inputs) {
    std::vector<Shape> shapes;
    for (const Value& input : inputs) shapes.push_back(input.is_tensor() ? input.tensor().shape() : Shape());
    if (shapes == last_shapes) return;
    last_shapes = std::move(shapes);
    loaded->release_file_pages();
  }

  vm::RunEnvironment environment(profile::Recorder* recorder) {
    return {.pool = pool, .scratch = scratch, .threads = threads, .recorder = recorder, .lanes = lanes};
  }

  std::vector<Value> run_measured(std::span<const Value> inputs) {
    std::shared_ptr<const vm::Layout> best = loaded->best_layout(threads, lanes);
    if (best != nullptr) {
      settle(std::move(best));
      return frame->run(inputs, environment(nullptr));
    }
    std::vector<Value> results = measurement->run(*frame, inputs, environment(nullptr));
    if (measurement->result() != nullptr) {
      loaded->set_best_layout(threads, lanes, measurement->result());
      settle(measurement->result());
    }
    return results;
  }

  void settle(std::shared_ptr<const vm::Layout> layout) {
    if (layout != loaded->serial_layout()) {
      frame.emplace(loaded->ready({.threads = threads}), loaded->program().constants, std::move(layout));
    }
    measurement.reset();
  }

  profile::SessionFacts facts() const {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return {.threads = threads,
            .lanes = lanes,
            .memory = {.arena_bytes = static_cast<std::int64_t>(frame->arena_bytes()),
                       .pool_bytes = static_cast<std::int64_t>(pool.peak_bytes() + scratch.peak_bytes()),
                       .process_bytes = std::int64_t{usage.ru_maxrss} * 1024},
            .report = loaded->report()};
  }

  std::shared_ptr<vm::LoadedProgram> loaded;
  int threads;
  int lanes;
  std::vector<Shape> last_shapes;  // of the inputs
  vm::PooledAllocator pool;
  // Apart from the values, whose longer lives would cut it to pieces.
  vm::PooledAllocator scratch{1.0};
  std::optional<vm::Frame> frame;
  std::optional<vm::Measurement> measurement;  // until the layout for these lanes is known and in use
  std::thread::id home;                        // who called first
  std::optional<vm::Master> master;            // once several threads have called
};

Session::Session(const Program& program, const SessionOptions& options)
    : state_(std::make_unique<State>(program, base::wanted_threads(options.threads),
                                     wanted_lanes(options.lanes, base::wanted_threads(options.threads)))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

int Session::threads() const {
  return state_->threads;
}

int Session::lanes() const {
  return state_->lanes;
}

NamedValues Session::run(const NamedValues& inputs) {
  return state_->run(inputs, nullptr);
}

Profile Session::profile(const NamedValues& inputs, int runs) {
  Session* const self = this;
  return profile_in_turns({&self, 1}, inputs, runs).front();
}

std::vector<Profile> Session::profile_in_turns(std::span<Session* const> sessions, const NamedValues& inputs,
                                               int runs) {
  if (runs < 1) base::invalid("input.runs", "the number of runs must be at least 1, but is {}", runs);
  struct Recording {
    profile::Recorder recorder;
    profile::RunTimes times;
  };
  std::vector<Recording> recordings(sessions.size());
  for (Session* session : sessions) {
    do {
      session->state_->run(inputs, nullptr);
    } while (session->state_->measurement);
  }
  for (int run = 0; run < runs; ++run) {
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      auto& [recorder, times] = recordings[i];
      recorder.begin_run();
      times.start_ns.push_back(base::now_ns());
      sessions[i]->state_->run(inputs, &recorder);
      times.end_ns.push_back(base::now_ns());
    }
  }
  std::vector<Profile> profiles;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    profiles.emplace_back(
        profile::summarize(recordings[i].recorder, recordings[i].times, sessions[i]->state_->facts()));
  }
  return profiles;
}

// Free sessions are a stack under a mutex; a caller that finds none waits for the condition variable, which every
// return of a session signals once.
struct SessionPool::State {
  std::vector<std::unique_ptr<Session>> free;
  std::mutex mutex;
  std::condition_variable returned;

  template <typename Use>
  auto with_session(Use use) {
    std::unique_lock lock(mutex);
    returned.wait(lock, [this] { return !free.empty(); });
    struct Lease {
      State& pool;
      std::unique_ptr<Session> session;
      ~Lease() {
        {
          const std::lock_guard guard(pool.mutex);
          pool.free.push_back(std::move(session));
        }
        pool.returned.notify_one();
      }
    } lease{*this, std::move(free.back())};
    free.pop_back();
    lock.unlock();
    return use(*lease.session);
  }
};

SessionPool::SessionPool(const Program& program, int count, const SessionOptions& options)
    : state_(std::make_unique<State>()) {
  if (count < 1) base::invalid("option.sessions", "the number of sessions must be at least 1, but is {}", count);
  for (int i = 0; i < count; ++i) state_->free.push_back(std::make_unique<Session>(program, options));
}
SessionPool::~SessionPool() = default;

NamedValues SessionPool::run(const NamedValues& inputs) {
  return state_->with_session([&](Session& session) { return session.run(inputs); });
}

Profile SessionPool::profile(const NamedValues& inputs, int runs) {
  return state_->with_session([&](Session& session) { return session.profile(inputs, runs); });
}

}  // namespace lanner
