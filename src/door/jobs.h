// Jobs: long work that a caller starts, watches and may stop: backtests, action batches, erasures. Each runs on a
// thread of its own, a few at a time; a finished one keeps its result until enough newer ones are there.
//
// Threading: all methods from any thread. The destructor stops what runs and waits for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"

namespace tamis::door {

class Jobs {
 public:
  explicit Jobs(size_t running_max = 4, size_t kept_max = 100) : running_max_(running_max), kept_max_(kept_max) {}
  ~Jobs();

  // What a job sees of its surroundings.
  class Handle {
   public:
    // `total` 0: not known. False: the job shall end soon.
    bool progress(uint64_t done, uint64_t total) {
      done_ = done;
      total_ = total;
      return !stop_;
    }
    bool stopped() const { return stop_; }

   private:
    friend class Jobs;
    std::atomic<uint64_t> done_{0}, total_{0};
    std::atomic<bool> stop_{false};
  };
  using Work = std::function<base::Result<std::string>(Handle&)>;  // gives its result as JSON

  // Starts `work` and gives the id of the job. Errors: too many run already (kUnavailable).
  base::Result<uint64_t> start(std::string_view kind, std::string_view author, int64_t now_ms, Work work);
  // {"job","kind","author","started","state":"running|done|failed|stopped","done","total","result"|"error"}
  base::Status write(uint64_t id, std::string& out) const;
  void write_all(std::string& out) const;  // newest first, without results
  base::Status stop(uint64_t id);

 private:
  struct Job {
    uint64_t id = 0;
    std::string kind, author;
    int64_t started_ms = 0;
    Handle handle;
    bool finished = false;  // the members below count
    base::Result<std::string> result;
    std::thread thread;
  };
  void write(const Job& job, bool with_result, std::string& out) const;
  void forget_old();

  const size_t running_max_, kept_max_;
  mutable std::mutex mutex_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, std::unique_ptr<Job>> jobs_;
};

}  // namespace tamis::door
