// Refinement: tells apart the campaigns that met in one cluster, by itself, beside a running server. A thread that runs
// only while nobody else wants the core looks at clusters that can be acted on and are new or have grown by a quarter
// since it last looked, and tells what it found as events `finding: split` and `finding: part` (replay/refined.h).
// These go the way of any event from outside: journaled, decided by the rules, kept in the archive. So a replay reads
// them, and what a crash cut off is found again.
//
// Bounds: kClustersARound clusters a round, kComparedMax members each, read from the engine page by page, a millisecond
// with a rest in between; four times as much rest as work.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "door/service.h"
#include "replay/refined.h"

namespace tamis::door {

class Refinement {
 public:
  static constexpr size_t kClustersARound = 8, kComparedMax = 2'000, kWatchedMax = 1'000;

  // `service` has a data folder and outlives it. Begins at once; a round every `every_ms`.
  Refinement(Service& service, int64_t every_ms);
  ~Refinement();  // ends between two steps

  struct Counters {
    std::atomic<uint64_t> rounds{0}, looks{0}, told{0}, failures{0};
  };
  const Counters& counters() const { return counters_; }

 private:
  void run();
  base::Status round();
  base::Status look(const policy::Policy& policy, uint64_t cluster, std::chrono::nanoseconds& compared);
  base::Status tell(const policy::Policy& policy, const replay::FoundParts& found, const detect::ClusterFacts& facts,
                    int64_t now_ms);
  std::optional<detect::ClusterFacts> facts_of(uint64_t cluster, int64_t& now_ms);
  void rest(std::chrono::nanoseconds time);

  Service& service_;
  int64_t every_ms_;
  Counters counters_;
  // Of the thread alone.
  uint64_t after_ = 0;                  // newest finding that was looked at
  uint64_t newest_ = 0;                 // record at the last round
  std::map<uint64_t, double> watched_;  // clusters with their members at the last look, 0: none yet
  std::vector<uint64_t> due_;           // clusters that wait for a look
  std::mutex stop_mutex_;
  std::condition_variable stop_wanted_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace tamis::door
