#include "vm/master.h"

#include <exception>
#include <utility>

namespace lanner::vm {

Master::Master() : thread_([this] { serve(); }) {}

Master::~Master() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Master::run(const std::function<void()>& job) {
  std::unique_lock lock(mutex_);
  job_ = &job;
  changed_.notify_all();
  changed_.wait(lock, [this] { return job_ == nullptr; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Master::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return job_ != nullptr || stopping_; });
    if (job_ == nullptr) return;
    lock.unlock();
    std::exception_ptr error;
    try {
      (*job_)();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    error_ = std::move(error);
    job_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace lanner::vm
