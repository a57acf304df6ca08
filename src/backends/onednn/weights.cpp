#include "backends/onednn/weights.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_map>

#include "base/memory.h"
#include "base/parallel.h"

namespace lanner::backends::onednn {

namespace {

struct Packed {
  WeightRequest request;  // its constant may be gone
  std::weak_ptr<dnnl::memory> memory;

  bool serves(const WeightRequest& other) const {
    return request.from == other.from && request.to == other.to && request.scale == other.scale &&
           request.winograd == other.winograd;
  }
};

// By the address of the plain weights, which stays theirs while anything packed from them is held.
using Table = std::unordered_multimap<const void*, Packed>;

std::mutex table_mutex;

Table& table() {
  static Table table;
  return table;
}

// Packing never writes to the plain weights.
void* plain_data(const WeightRequest& request) {
  return const_cast<void*>(request.constant->raw_data());
}

std::shared_ptr<dnnl::memory> find(const WeightRequest& request) {
  const auto [first, last] = table().equal_range(plain_data(request));
  for (auto entry = first; entry != last; ++entry) {
    if (!entry->second.serves(request)) continue;
    if (auto memory = entry->second.memory.lock()) return memory;
  }
  return nullptr;
}

// Memory of our own, which is on huge pages where it is large.
std::shared_ptr<dnnl::memory> new_memory(const Desc& desc) {
  std::shared_ptr<void> bytes = base::allocate_shared_memory(desc.get_size());
  auto* const memory = new dnnl::memory(desc, engine(), bytes.get());
  return {memory, [bytes](const dnnl::memory* held) { delete held; }};
}

struct Job {
  const WeightRequest* request;
  dnnl::memory* packed;

  void run() const {
    if (request->winograd) {
      const auto* const plain = static_cast<const float*>(request->constant->raw_data());
      auto* const to = static_cast<float*>(packed->get_data_handle());
      for (std::size_t panel = 0; panel < request->winograd->panels(); ++panel) {
        request->winograd->pack(plain, panel, to);
      }
      return;
    }
    dnnl::memory plain(request->from, engine(), plain_data(*request));
    dnnl::primitive_attr attributes;
    if (request->scale != 1.0F) attributes.set_output_scales(0, {request->scale});
    dnnl::stream stream(engine());
    dnnl::reorder(plain, *packed, attributes).execute(stream, plain, *packed);
    stream.wait();
  }
};

// Each thread takes the largest job left; within a job oneDNN has one thread.
void run_jobs(std::vector<Job>& jobs, int threads) {
  std::ranges::sort(jobs, std::ranges::greater{}, [](const Job& job) { return job.request->to.get_size(); });
  std::atomic<std::size_t> next = 0;
  base::parallel_for(threads, std::min<std::int64_t>(threads, std::ssize(jobs)), 1, [&](std::int64_t, std::int64_t) {
    for (std::size_t i = next++; i < jobs.size(); i = next++) jobs[i].run();
  });
}

}  // namespace

std::vector<std::shared_ptr<dnnl::memory>> pack_weights(std::span<const WeightRequest> requests, int threads) {
  std::vector<std::shared_ptr<dnnl::memory>> memories;
  std::vector<Job> jobs;
  // Held to the end, so that nobody finds weights that are not packed yet.
  const std::lock_guard lock(table_mutex);
  std::erase_if(table(), [](const auto& entry) { return entry.second.memory.expired(); });
  for (const WeightRequest& request : requests) {
    if (request.from == request.to && request.scale == 1.0F) {
      memories.push_back(std::make_shared<dnnl::memory>(request.to, engine(), plain_data(request)));
      continue;
    }
    std::shared_ptr<dnnl::memory> memory = find(request);
    if (memory == nullptr) {
      memory = new_memory(request.to);
      table().emplace(plain_data(request), Packed{request, memory});
      jobs.push_back({&request, memory.get()});
    }
    memories.push_back(std::move(memory));
  }
  run_jobs(jobs, threads);
  return memories;
}

}  // namespace lanner::backends::onednn
