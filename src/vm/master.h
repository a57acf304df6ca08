// A thread for work that opens parallel regions. libgomp keeps one set of workers per thread that does, until that
// thread ends; so a session that is called from many threads does its work on one of its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace lanner::vm {

// Runs jobs one at a time; run() may be called from any thread, one caller at a time, and rethrows what the job threw.
//
// Protocol: `job_` is set by the caller and cleared by the thread when the job has ended, both under the mutex; each
// waits on the condition variable for the other's change, so no wake-up is lost.
class Master {
 public:
  Master();
  ~Master();
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;

  void run(const std::function<void()>& job);

 private:
  void serve();

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* job_ = nullptr;
  std::exception_ptr error_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lanner::vm
