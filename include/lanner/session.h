// Running a program: a session is the memory and threads of one request at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lanner/export.h"
#include "lanner/profile.h"
#include "lanner/program.h"
#include "lanner/tensor.h"

namespace lanner {

struct SessionOptions {
  int threads = 0;  // per session; 0: as many as the process may use (affinity and cgroup quota count)
  int lanes = 0;    // instructions of one request that may run at once; 0: as many as threads, 1: one after another
};

using NamedValues = std::vector<std::pair<std::string, Value>>;

// Runs requests one after another on its own arena and threads. One thread at a time may call it; sessions are
// independent of each other, so several run at once, and their program's packed weights are shared.
class LANNER_EXPORT Session {
 public:
  explicit Session(const Program& program, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  // Runs one request. Inputs are read in place and may be given in any order; those with defaults may be left out.
  // Outputs own their memory and come in the model's order. Throws `input.unknown`, `input.missing`, `input.duplicate`,
  // `input.type`, `input.rank`, `input.shape`, or what an operator throws; the session stays usable after any of them.
  // With several lanes the program's first requests run serially, some of them on one thread, and are measured; what
  // runs beside what in later ones follows from that. Results do not depend on it.
  NamedValues run(const NamedValues& inputs);

  // Unrecorded runs until everything is warm and measured, then `runs` recorded ones. Throws `input.runs` when runs
  // < 1.
  Profile profile(const NamedValues& inputs, int runs);
  // The same for several sessions whose programs take the same inputs: one run of each in turn, so that what else the
  // machine does falls on all of them alike.
  static std::vector<Profile> profile_in_turns(std::span<Session* const> sessions, const NamedValues& inputs, int runs);

  int threads() const;
  int lanes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// `count` sessions of one program behind one thread-safe run(): each call takes a free session, further callers wait.
class LANNER_EXPORT SessionPool {
 public:
  SessionPool(const Program& program, int count, const SessionOptions& options = {});
  ~SessionPool();

  NamedValues run(const NamedValues& inputs);
  Profile profile(const NamedValues& inputs, int runs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lanner
