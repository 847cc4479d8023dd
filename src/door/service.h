// Service: the one engine of a server, shared by all doors and threads. It puts records in order (one at a time, under
// one lock held for microseconds), journals them, swaps policies, and answers with the declared verdict of the event
// type where it cannot decide in time. Doors parse and encode outside the lock, each with a Worker of its own.
//
// Threading: all methods may be called from any thread. A Worker belongs to one thread at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "door/notices.h"
#include "engine/act.h"
#include "engine/engine.h"
#include "engine/recent_decisions.h"
#include "replay/archived_ids.h"
#include "replay/data_folder.h"
#include "replay/retention.h"

namespace tamis::replay {
class BackfillReader;
}

namespace tamis::door {

struct ServiceOptions {
  int64_t deadline_ms = 50;            // a decision that would have to wait longer is answered as `overload` declares
  uint64_t rate_max_per_s = 0;         // decisions a second; 0: no bound
  size_t intake_bytes_max = 64 << 20;  // events accepted without an answer and not yet decided
  size_t recent_bytes_max = 8 << 20;   // decisions kept as text, for events that are delivered again
  // A snapshot is written after so many records, or when the last one is so old and there are new ones.
  uint64_t checkpoint_records = 100'000;
  int64_t checkpoint_ms = 60'000;
  int64_t retain_ms = 3'600'000;  // between two looks for what is too old to keep
  engine::EngineOptions engine;
};

inline std::string outbox_folder(const std::string& data) { return data + "/outbox"; }

class Service {
 public:
  using Clock = std::function<int64_t()>;  // milliseconds since the epoch
  // `data` may be null: then nothing is kept. Otherwise it outlives the service, which is its one user. `outbox` may be
  // null: then nothing leaves; with one there is a data folder.
  Service(ServiceOptions options, Clock clock, replay::DataFolder* data, action::Outbox* outbox = nullptr);
  ~Service();  // decides what was accepted, then stops

  // Before anything is decided: brings the engine to where the data folder ends, and begins to write checkpoints. What
  // was decided and done behind the last snapshot, within a day before now, is enqueued in the outbox again.
  base::Result<replay::Recovered> recover(const std::function<bool(uint64_t)>& keep_going);
  // Before anything is decided: what is known of networks, from CSV files. None: what the data folder had last.
  base::Status use_intel(const std::vector<std::string>& csv_files);
  // Null: nothing is known of networks.
  std::shared_ptr<const event::NetworkIntel> intel() {
    std::lock_guard lock(engine_mutex_);
    return intel_;
  }

  // Compiles files and, if they are good, makes them the policy. The diagnostics come back in either case. Features
  // that the policy before did not have are filled from the events of archive and journal first; a warning says what
  // the archive does not hold any more.
  // `who` asked for it: the audit trail names them.
  policy::Loaded activate(const std::vector<policy::SourceFile>& files, std::string_view who = "server");
  // The same for a folder on disk.
  policy::Loaded activate_folder(const std::string& folder, std::string_view who = "server");
  std::shared_ptr<const policy::Policy> policy() const;
  // One that decided before, from the data folder; null: it is not there, or does not compile any more.
  std::shared_ptr<const policy::Policy> policy_of_version(std::string_view version);

  // What one thread needs to decide: a parser and an arena, kept warm.
  struct Worker {
    engine::PreparedEvent event;
    std::chrono::duration<double, std::micro> pause{};  // owed to those that write
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

  enum class Outcome : uint8_t { kDecided, kOverload, kRepeated };
  // Decides one event and appends the decision's JSON to `out`. Errors leave `out` as it was: a bad event (kInvalid),
  // an unknown type (kNotFound), no policy (kUnavailable). kOverload: `out` has the declared answer of the type.
  // kRepeated: an event with this type and id came before (EventType::unique_ms); `out` has its decision.
  // `use` (may be null) sees a fresh decision under the lock, for doors that need more of it than its JSON. Keep it
  // short.
  using UseDecision = std::function<void(const engine::Decision&)>;
  base::Result<Outcome> decide(Worker& worker, std::string_view type, std::string_view json, std::string& out,
                               engine::Engine::Explain explain = engine::Engine::Explain::kNo,
                               const UseDecision& use = nullptr);

  // Takes an event to be decided soon, in order of acceptance. Errors: the event is bad, or the intake is full
  // (kUnavailable).
  base::Status accept(Worker& worker, std::string_view type, std::string_view json);

  // Takes an event of the past, whose own time stands for its arrival, into the data folder. With `only_keep` it is
  // archived without being decided. Errors as decide(), and kDenied for an event older than `oldest_ms`.
  // `type`: of the event, whatever it says itself; empty: as it says.
  base::Result<Outcome> import(Worker& worker, std::string_view type, std::string_view json, bool only_keep,
                               int64_t oldest_ms);

  // Does what a person asked for (engine/act.h) and journals it; durable when it returns. kUnavailable with "done,
  // but": it is in force, and will be on disk once the disk takes it.
  base::Status act(const engine::Act& act);
  // The same for one of many: in force when it returns, durable after sync().
  base::Status act_soon(const engine::Act& act);
  // The same within with_engine(): nobody comes between what `use` saw and what it does.
  base::Status act_held(const engine::Act& act);
  // Journals a record about an action batch; durable after sync().
  base::Status record_batch(std::string_view json);

  // Waits until all records are durable.
  base::Status sync() { return data_ == nullptr ? base::Status() : data_->sync(); }
  // Makes what was decided so far visible in the archive.
  base::Status flush();
  // Writes a snapshot now.
  base::Status checkpoint();
  // Forgets what is too old at `now_ms` (replay/retention.h); a server does so by itself every hour.
  base::Result<replay::RetentionReport> retain(int64_t now_ms);
  // Who else keeps what is private past its raw days; called by retain(), on any thread, until it is taken back with
  // null.
  using Forgets = std::function<base::Status(const replay::PastRawDays&, replay::RetentionReport&)>;
  void at_retention(Forgets forgets);
  // Null: nothing is kept.
  replay::DataFolder* data() { return data_; }
  // The way to the engine for what reads it beside the folder (replay/standing.h).
  replay::DataFolder::WithEngine engine_access() {
    return [this](const std::function<void(engine::Engine&)>& use) { with_engine(use); };
  }
  // Null: there is none.
  action::Outbox* outbox() const { return notices_.outbox(); }
  uint64_t notices_lost() const { return notices_.lost(); }
  // How many bytes of records wait to be written, and why they do if something is wrong.
  uint64_t pending_bytes() const { return data_ == nullptr ? 0 : data_->pending_bytes(); }
  std::string failure() const;

  // Runs `use` on the engine under the lock: for metrics, statistics, labels. It must not change what decisions depend
  // on, since nothing of it is journaled. Keep it short.
  void with_engine(const std::function<void(engine::Engine&)>& use);

  struct Counters {
    std::atomic<uint64_t> decided{0}, refused{0}, overload{0}, accepted{0}, late{0}, repeated{0};
    std::atomic<uint64_t> checkpoints{0}, checkpoint_failures{0}, checkpoint_ms{0};
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
  policy::Loaded use(policy::Loaded loaded, std::string_view who);
  base::Status put_into_force(policy::Loaded& loaded);
  base::Status fill(replay::BackfillReader& backfill, policy::Loaded& loaded);
  base::Status keep_findings(uint64_t number, int64_t receive_ms, bool tell);
  base::Status answer_again(const Worker& worker, uint64_t record, std::string& out);
  void run_checkpoints();
  void run_rewrites();
  void overload_answer(Worker& worker, std::string& out);
  bool within_rate();
  void pause_if_behind(Worker& worker);
  void run_intake();

  ServiceOptions options_;
  Clock clock_;
  replay::DataFolder* data_;
  std::optional<replay::ArchivedIds> archived_ids_;  // of import() alone, once it only keeps events
  std::shared_ptr<const event::NetworkIntel> intel_;
  int64_t started_ms_;

  mutable std::mutex policy_mutex_;  // guards policy_ and workers_; never held while taking another
  std::shared_ptr<const policy::Policy> policy_;
  std::vector<std::unique_ptr<Worker>> workers_;

  std::mutex past_policy_mutex_;  // guards the last answer of policy_of_version(); never held while taking another
  std::string past_version_;
  std::shared_ptr<const policy::Policy> past_policy_;

  std::timed_mutex engine_mutex_;  // guards engine_, the records of data_, the rate and what follows
  engine::Engine engine_;
  engine::RecentDecisions recent_;
  Notices notices_;
  int64_t rate_second_ = 0;
  uint64_t rate_used_ = 0;

  std::mutex activate_mutex_;  // one activation at a time

  std::mutex intake_mutex_;
  std::condition_variable intake_ready_;
  std::deque<std::pair<std::string, std::string>> intake_;
  bool stopping_ = false;
  std::thread intake_thread_;

  // One checkpoint, retention of the journal or filling of features at a time; taken before engine_mutex_.
  std::mutex checkpoint_mutex_;
  Forgets forgets_;          // guarded by retain_mutex_
  std::mutex retain_mutex_;  // one retention or filling of features at a time; taken before checkpoint_mutex_
  std::atomic<bool> is_filling_{false};
  std::mutex stop_mutex_;
  std::condition_variable stop_wanted_;
  std::atomic<bool> stop_checkpoints_{false};
  bool joins_wanted_ = false, retain_wanted_ = false;  // guarded by stop_mutex_
  std::thread checkpoint_thread_, rewrite_thread_;

  Counters counters_;
  base::Histogram* latency_ = nullptr;
};

}  // namespace tamis::door
