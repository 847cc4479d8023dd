// Service: the one engine of a server, shared by all doors and threads. It puts records in order (one at a time, under
// one lock held for microseconds), journals them, swaps policies, and answers with the declared verdict of the event
// type where it cannot decide in time. Doors parse and encode outside the lock, each with a Worker of its own.
//
// Threading: all methods may be called from any thread. A Worker belongs to one thread at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "engine/act.h"
#include "engine/engine.h"

namespace tamis::door {

// Where records go before they are folded: what it refuses is not folded. Calls come in order, under the service's
// lock.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  // `type` is empty where the JSON names its type itself. Must not block.
  virtual base::Status event(int64_t receive_ms, std::string_view type, std::string_view json) = 0;
  // The policy that decides from here on; `files` is its content.
  virtual base::Status policy(int64_t receive_ms, const std::string& version,
                              const std::vector<policy::SourceFile>& files) = 0;
  // An act of a person, as engine::to_json() writes it.
  virtual base::Status act(int64_t receive_ms, std::string_view json) = 0;
  // Waits until what came before is durable. Called without the service's lock, from any thread.
  virtual base::Status sync() = 0;
  // How many bytes of records wait to be written, and why they do if something is wrong. Any thread.
  struct Health {
    uint64_t pending_bytes = 0;
    std::string failure;
  };
  virtual Health health() const = 0;
};

struct ServiceOptions {
  int64_t deadline_ms = 50;            // a decision that would have to wait longer is answered as `overload` declares
  uint64_t rate_max_per_s = 0;         // decisions a second; 0: no bound
  size_t intake_bytes_max = 64 << 20;  // events accepted without an answer and not yet decided
  engine::EngineOptions engine;
};

class Service {
 public:
  using Clock = std::function<int64_t()>;  // milliseconds since the epoch
  Service(ServiceOptions options, Clock clock, std::shared_ptr<const event::NetworkIntel> intel,
          std::unique_ptr<RecordSink> sink);
  ~Service();  // decides what was accepted, then stops

  // Before anything is decided: brings the engine to where the journal left it, by `fold`, with no record made.
  base::Status recover(const std::function<base::Status(engine::Engine&)>& fold);

  // Compiles files and, if they are good, makes them the policy. The diagnostics come back in either case.
  policy::Loaded activate(const std::vector<policy::SourceFile>& files);
  // The same for a folder on disk.
  policy::Loaded activate_folder(const std::string& folder);
  std::shared_ptr<const policy::Policy> policy() const;

  // What one thread needs to decide: a parser and an arena, kept warm.
  struct Worker {
    engine::PreparedEvent event;
  };
  class Lease {
   public:
    explicit Lease(Service& service) : service_(service), worker_(service.take_worker()) {}
    ~Lease() { service_.give_back(std::move(worker_)); }
    Lease(const Lease&) = delete;
    Worker& operator*() const { return *worker_; }

   private:
    Service& service_;
    std::unique_ptr<Worker> worker_;
  };

  enum class Outcome : uint8_t { kDecided, kOverload };
  // Decides one event and appends the decision's JSON to `out`. Errors leave `out` as it was: a bad event (kInvalid),
  // an unknown type (kNotFound), no policy (kUnavailable). kOverload: `out` has the declared answer of the type.
  base::Result<Outcome> decide(Worker& worker, std::string_view type, std::string_view json, std::string& out,
                               engine::Engine::Explain explain = engine::Engine::Explain::kNo);

  // Takes an event to be decided soon, in order of acceptance. Errors: the event is bad, or the intake is full
  // (kUnavailable).
  base::Status accept(Worker& worker, std::string_view type, std::string_view json);

  // Does what a person asked for (engine/act.h) and journals it; durable when it returns. kUnavailable with "done,
  // but": it is in force, and will be on disk once the disk takes it.
  base::Status act(const engine::Act& act);

  // Waits until all records are durable; for the end of a server.
  base::Status sync() { return sink_ == nullptr ? base::Status() : sink_->sync(); }
  RecordSink::Health journal_health() const { return sink_ == nullptr ? RecordSink::Health() : sink_->health(); }

  // Runs `use` on the engine under the lock: for metrics, statistics, labels. It must not change what decisions depend
  // on, since nothing of it is journaled. Keep it short.
  void with_engine(const std::function<void(engine::Engine&)>& use);

  struct Counters {
    std::atomic<uint64_t> decided{0}, refused{0}, overload{0}, accepted{0}, late{0};
    std::atomic<uint64_t> reloads{0}, reload_failures{0};
    std::atomic<uint64_t> intake_bytes{0}, intake_events{0};
  };
  const Counters& counters() const { return counters_; }
  int64_t started_ms() const { return started_ms_; }
  int64_t now_ms() const { return clock_(); }

  // Where the time of each decision inside the service goes, in nanoseconds; set before the first one, may be null.
  void set_latency(base::Histogram* histogram) { latency_ = histogram; }
  const base::Histogram* latency() const { return latency_; }

 private:
  friend class Lease;
  std::unique_ptr<Worker> take_worker();
  void give_back(std::unique_ptr<Worker> worker);
  policy::Loaded use(policy::Loaded loaded);
  void overload_answer(Worker& worker, std::string& out);
  bool within_rate();
  void run_intake();

  ServiceOptions options_;
  Clock clock_;
  std::shared_ptr<const event::NetworkIntel> intel_;
  std::unique_ptr<RecordSink> sink_;
  int64_t started_ms_;

  mutable std::mutex policy_mutex_;  // guards policy_ and workers_; never held while taking another
  std::shared_ptr<const policy::Policy> policy_;
  std::vector<std::unique_ptr<Worker>> workers_;

  std::timed_mutex engine_mutex_;  // guards engine_, sink_ and the rate
  engine::Engine engine_;
  int64_t rate_second_ = 0;
  uint64_t rate_used_ = 0;

  std::mutex activate_mutex_;  // one activation at a time

  std::mutex intake_mutex_;
  std::condition_variable intake_ready_;
  std::deque<std::pair<std::string, std::string>> intake_;
  bool stopping_ = false;
  std::thread intake_thread_;

  Counters counters_;
  base::Histogram* latency_ = nullptr;
};

}  // namespace tamis::door
