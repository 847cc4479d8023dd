#include "door/service.h"
#include "base/thread.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "event/json_writer.h"
#include "replay/backfill.h"
#include "replay/records.h"
#include "replay/stored_decision.h"

namespace tamis::door {

using engine::Engine;

namespace {
constexpr int kFillRoundsMax = 16;
constexpr uint64_t kFillRecordsLeft = 1'000;
constexpr int64_t kCheckpointPauseMs = 200;
constexpr int64_t kFirstRetentionMs = 300'000;
constexpr int64_t kNoticeAgeMaxMs = 86'400'000;
// What a decision waits while more waits to be written than should: so that on a machine without a free core journal
// and archive get time before they have to refuse.
constexpr std::chrono::duration<double, std::micro> kBehindPauseMax(200), kPauseLeast(1'000);
constexpr uint64_t kPendingBytesHigh = 32 << 20;  // of rows that wait for the archive

// A flag that is up while this lives.
class Raised {
 public:
  explicit Raised(std::atomic<bool>& flag) : flag_(flag) { flag_ = true; }
  ~Raised() { flag_ = false; }
  Raised(const Raised&) = delete;

 private:
  std::atomic<bool>& flag_;
};

void warn(policy::Loaded& loaded, std::string message) {
  policy::Diagnostic diagnostic;
  diagnostic.severity = policy::Diagnostic::Severity::kWarning;
  diagnostic.message = std::move(message);
  loaded.diagnostics.push_back(std::move(diagnostic));
}

}  // namespace

Service::Service(ServiceOptions options, Clock clock, replay::DataFolder* data, action::Outbox* outbox)
    : options_(options),
      clock_(std::move(clock)),
      data_(data),
      started_ms_(clock_()),
      engine_(options.engine),
      recent_(options.recent_bytes_max),
      notices_(outbox) {
  intake_thread_ = std::thread([this] { run_intake(); });
}

Service::~Service() {
  {
    std::lock_guard lock(intake_mutex_);
    stopping_ = true;
  }
  intake_ready_.notify_all();
  intake_thread_.join();
  {
    std::lock_guard lock(stop_mutex_);
    stop_checkpoints_ = true;
  }
  stop_wanted_.notify_all();
  for (std::thread* thread : {&checkpoint_thread_, &rewrite_thread_}) {
    if (thread->joinable()) thread->join();
  }
}

std::unique_ptr<Service::Worker> Service::take_worker() {
  std::lock_guard lock(policy_mutex_);
  if (workers_.empty()) return std::make_unique<Worker>();
  auto worker = std::move(workers_.back());
  workers_.pop_back();
  return worker;
}

void Service::give_back(std::unique_ptr<Worker> worker) {
  std::lock_guard lock(policy_mutex_);
  workers_.push_back(std::move(worker));
}

base::Result<replay::Recovered> Service::recover(const std::function<bool(uint64_t)>& keep_going) {
  replay::Recovered report;
  {
    std::lock_guard lock(engine_mutex_);
    std::function<void(const replay::Folded&)> on_folded;
    if (notices_.outbox() != nullptr) {
      on_folded = [this, oldest_ms = clock_() - kNoticeAgeMaxMs](const replay::Folded& folded) {
        if (folded.receive_ms < oldest_ms) return;
        if (folded.decision != nullptr) notices_.decided(*folded.event, *folded.decision, folded.number);
        if (folded.act != nullptr) notices_.acted(*folded.act, engine_, folded.number, folded.receive_ms);
      };
    }
    options_.engine.state_key = data_->state_key();
    TAMIS_TRY(recovered, data_->recover(engine_, keep_going, on_folded));
    report = std::move(recovered);
    intel_ = data_->intel();
    std::lock_guard policy_lock(policy_mutex_);
    policy_ = engine_.policy();
    if (policy_ != nullptr) data_->archive().declare(*policy_);
  }
  checkpoint_thread_ = std::thread([this] { run_checkpoints(); });
  rewrite_thread_ = std::thread([this] { run_rewrites(); });
  return report;
}

base::Status Service::use_intel(const std::vector<std::string>& csv_files) {
  if (csv_files.empty()) return {};
  std::lock_guard lock(engine_mutex_);
  if (data_ != nullptr) {
    TAMIS_CHECK(data_->use_intel(clock_(), csv_files));
    intel_ = data_->intel();
    return {};
  }
  TAMIS_TRY(intel, event::NetworkIntel::load(csv_files));
  intel_ = std::move(intel);
  return {};
}

std::string Service::failure() const { return data_ == nullptr ? std::string() : data_->failure(); }

std::shared_ptr<const policy::Policy> Service::policy() const {
  std::lock_guard lock(policy_mutex_);
  return policy_;
}

policy::Loaded Service::activate(const std::vector<policy::SourceFile>& files, std::string_view who) {
  std::lock_guard one(activate_mutex_);
  return use(policy::load_files(files), who);
}

policy::Loaded Service::activate_folder(const std::string& folder, std::string_view who) {
  std::lock_guard one(activate_mutex_);
  return use(policy::load_folder(folder), who);
}

// Under activate_mutex_.
policy::Loaded Service::use(policy::Loaded loaded, std::string_view who) {
  if (loaded.policy == nullptr) {
    ++counters_.reload_failures;
    return loaded;
  }
  if (auto current = policy(); current != nullptr && current->version == loaded.policy->version) {
    loaded.policy = current;  // nothing changed, and nothing is recorded
    return loaded;
  }
  base::Status done = put_into_force(loaded);
  if (!done) {
    ++counters_.reload_failures;
    policy::Diagnostic diagnostic;
    diagnostic.message = done.error().message;
    loaded.diagnostics.push_back(diagnostic);
    loaded.policy = nullptr;
    return loaded;
  }
  if (base::Status durable = sync(); !durable) {
    warn(loaded, "the policy decides, but its record is not on disk yet: " + durable.error().message);
  }
  if (data_ != nullptr) {
    action::AuditEntry entry;
    entry.who = who;
    entry.what = "policy.activate";
    entry.on = "policy";
    entry.value = loaded.policy->version;
    (void)data_->audit().append(entry, action::Audit::Durability::kSoon);  // its failure is told by the next change
  }
  ++counters_.reloads;
  return loaded;
}

// First what only the archive has; then the journal in rounds, each much shorter than the one before it.
base::Status Service::fill(replay::BackfillReader& backfill, policy::Loaded& loaded) {
  auto keep_going = [this](uint64_t) { return !stop_checkpoints_.load(); };
  TAMIS_TRY(unfilled, backfill.read_archive(data_->archive(), keep_going));
  for (const auto& one : unfilled) warn(loaded, replay::to_string(one));
  for (int round = 0; round < kFillRoundsMax; ++round) {
    uint64_t last = data_->last_number();
    if (round > 0 && last - backfill.next() < kFillRecordsLeft) break;
    TAMIS_CHECK(data_->sync());
    TAMIS_CHECK(backfill.read_to(last, keep_going));
  }
  return {};
}

// Builds what the policy needs, fills the features that it adds with the events of the past, and lets it decide. Only
// the last records are read under the lock. What was filled is kept, so that a replay comes to the same.
base::Status Service::put_into_force(policy::Loaded& loaded) {
  Engine::PreparedPointer prepared = Engine::build(loaded.policy, options_.engine);
  std::optional<replay::BackfillReader> backfill;
  std::unique_lock no_retention(retain_mutex_, std::defer_lock), one(checkpoint_mutex_, std::defer_lock);
  const Raised filling(is_filling_);
  if (data_ != nullptr && policy() != nullptr) {
    no_retention.lock();  // the archive keeps what it has
    one.lock();           // and nobody else takes a snapshot
    backfill.emplace(data_->path(), data_->first_number(), intel_, engine_, *prepared);
    if (!backfill->needed()) backfill.reset();
  }
  if (backfill) {
    TAMIS_CHECK(fill(*backfill, loaded));
  } else if (one.owns_lock()) {
    one.unlock();
    no_retention.unlock();
  }
  {
    std::lock_guard lock(engine_mutex_);
    if (backfill) {
      TAMIS_CHECK(data_->sync());
      TAMIS_CHECK(backfill->read_to(data_->last_number(), [this](uint64_t) { return !stop_checkpoints_.load(); }));
    }
    uint64_t record = 0;
    if (data_ != nullptr) {
      const uint64_t from = backfill ? backfill->from() : 0;
      TAMIS_TRY(number, data_->policy(clock_(), loaded.policy->version, loaded.files, from));
      record = number;
    }
    engine_.activate(std::move(prepared));
    if (backfill) data_->begin_filled(engine_, record);
    std::lock_guard policy_lock(policy_mutex_);
    policy_ = loaded.policy;
  }
  if (data_ != nullptr) data_->archive().declare(*loaded.policy);
  if (!backfill) return {};
  base::Status kept = data_->keep_filled(engine_access(), stop_checkpoints_);
  if (!kept) {
    warn(loaded, "the policy decides, but how its new features were filled could not be kept for replays: " +
                     kept.error().message);
  }
  return {};
}

// Under engine_mutex_.
bool Service::within_rate() {
  if (options_.rate_max_per_s == 0) return true;
  int64_t second = clock_() / 1000;
  if (second != rate_second_) {
    rate_second_ = second;
    rate_used_ = 0;
  }
  return ++rate_used_ <= options_.rate_max_per_s;
}

void Service::overload_answer(Worker& worker, std::string& out) {
  const policy::EventType& type = worker.event.policy()->types[worker.event.type_index()];
  ++counters_.overload;
  event::JsonWriter json(out);
  json.begin_object().key("id").string(worker.event.event().id).key("type").string(type.schema.name);
  json.key("verdict").string(type.overload_verdict).key("points").real(0).key("score").real(0);
  json.key("rules").begin_array().end_array().key("features").begin_object().end_object();
  json.key("policy").string(worker.event.policy()->version).key("overload").boolean(true).end_object();
}

// Short sleeps are longer than they should be, so small pauses are saved up.
void Service::pause_if_behind(Worker& worker) {
  worker.pause += data_->behind() * kBehindPauseMax;
  if (worker.pause < kPauseLeast) return;
  std::this_thread::sleep_for(worker.pause);
  worker.pause = {};
}

// ThreadSanitizer of GCC 12 does not see pthread_mutex_clocklock, so its build waits by the wall clock instead.
static std::unique_lock<std::timed_mutex> lock_until(std::timed_mutex& mutex,
                                                     std::chrono::steady_clock::time_point end) {
#ifdef __SANITIZE_THREAD__
  return std::unique_lock(mutex, std::chrono::system_clock::now() + (end - std::chrono::steady_clock::now()));
#else
  return std::unique_lock(mutex, end);
#endif
}

base::Result<Service::Outcome> Service::decide(Worker& worker, std::string_view type, std::string_view json,
                                               std::string& out, Engine::Explain explain, const UseDecision& use) {
  auto start = std::chrono::steady_clock::now();
  auto deadline = start + std::chrono::milliseconds(options_.deadline_ms);
  std::shared_ptr<const policy::Policy> current = policy();
  if (current == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
  if (data_ != nullptr) pause_if_behind(worker);
  // A reload between preparing and deciding changes the slots: then the event is prepared again.
  while (true) {
    base::Status ready = worker.event.prepare(current, type, json, intel_.get());
    if (!ready) {
      ++counters_.refused;
      return tl::unexpected(ready.error());
    }
    std::unique_lock lock = lock_until(engine_mutex_, deadline);
    if (!lock.owns_lock() || !within_rate()) {
      overload_answer(worker, out);
      return Outcome::kOverload;
    }
    if (engine_.policy() != worker.event.policy()) {
      current = engine_.policy();
      continue;
    }
    if (uint64_t first = engine_.repeat_of(worker.event); first != 0) {
      ++counters_.repeated;
      if (recent_.recall(first, out)) return Outcome::kRepeated;
      lock.unlock();
      TAMIS_CHECK(answer_again(worker, first, out));
      return Outcome::kRepeated;
    }
    int64_t receive_ms = clock_();
    uint64_t number = 0;
    if (data_ != nullptr) {
      TAMIS_TRY(journaled, data_->event(receive_ms, type, json));
      number = journaled;
    }
    const engine::Decision& decision = engine_.decide(worker.event, receive_ms, explain, number);
    size_t from = out.size();
    engine::write_json(decision, out);
    if (use != nullptr) use(decision);
    recent_.remember(decision.record, std::string_view(out).substr(from));
    if (!decision.effects.empty()) notices_.decided(worker.event, decision, number);
    if (data_ != nullptr) TAMIS_CHECK(data_->decided(worker.event, &decision, number, receive_ms));
    TAMIS_CHECK(keep_findings(number, receive_ms, true));
    if (decision.late) ++counters_.late;
    break;
  }
  ++counters_.decided;
  if (latency_ != nullptr) {
    auto spent = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start);
    latency_->record(static_cast<uint64_t>(spent.count()));
  }
  return Outcome::kDecided;
}

// What detectors found on the last event goes the way of events: to the archive and, of live ones, outside.
base::Status Service::keep_findings(uint64_t number, int64_t receive_ms, bool tell) {
  for (size_t i = 0; i < engine_.finding_count(); ++i) {
    engine::Finding& finding = engine_.finding(i);
    if (tell && !finding.decision.effects.empty()) notices_.decided(finding.event, finding.decision, number);
    if (data_ != nullptr) TAMIS_CHECK(data_->decided(finding.event, &finding.decision, number, receive_ms));
  }
  return {};
}

base::Status Service::accept(Worker& worker, std::string_view type, std::string_view json) {
  std::shared_ptr<const policy::Policy> current = policy();
  if (current == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
  base::Status ready = worker.event.prepare(current, type, json, intel_.get());
  if (!ready) {
    ++counters_.refused;
    return ready;
  }
  {
    std::lock_guard lock(intake_mutex_);
    if (counters_.intake_bytes + json.size() > options_.intake_bytes_max) {
      return base::fail(base::Code::kUnavailable, "the intake is full: events come faster than they are decided");
    }
    intake_.emplace_back(type, json);
    counters_.intake_bytes += json.size();
    ++counters_.intake_events;
  }
  ++counters_.accepted;
  intake_ready_.notify_one();
  return {};
}

void Service::run_intake() {
  base::name_thread("intake");
  Worker worker;
  std::string out;
  while (true) {
    std::pair<std::string, std::string> next;
    {
      std::unique_lock lock(intake_mutex_);
      intake_ready_.wait(lock, [this] { return stopping_ || !intake_.empty(); });
      if (intake_.empty()) return;
      next = std::move(intake_.front());
      intake_.pop_front();
      counters_.intake_bytes -= next.second.size();
      --counters_.intake_events;
    }
    out.clear();
    (void)decide(worker, next.first, next.second, out);  // refusals and overload are counted there
  }
}

base::Status Service::act_held(const engine::Act& act) {
  if (engine_.policy() == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
  int64_t receive_ms = clock_();
  uint64_t number = 0;
  if (data_ != nullptr) {
    TAMIS_TRY(journaled, data_->act(receive_ms, act));
    number = journaled;
  }
  TAMIS_CHECK(engine::apply(engine_, act));
  notices_.acted(act, engine_, number, receive_ms);
  return data_ == nullptr ? base::Status() : data_->acted(act, number, receive_ms);
}

base::Status Service::act_soon(const engine::Act& act) {
  std::lock_guard lock(engine_mutex_);
  return act_held(act);
}

base::Status Service::record_batch(std::string_view json) {
  if (data_ == nullptr) return {};
  std::lock_guard lock(engine_mutex_);
  return data_->batch(clock_(), json);
}

base::Status Service::act(const engine::Act& act) {
  TAMIS_CHECK(act_soon(act));
  // Outside the lock: decisions do not wait for the disk. The record is in its place, so what is in force now is in
  // force again after a replay, whenever the disk takes it.
  base::Status durable = sync();
  if (durable) return {};
  return base::fail(base::Code::kUnavailable, "done, but not on disk yet: " + durable.error().message);
}

base::Status Service::answer_again(const Worker& worker, uint64_t record, std::string& out) {
  if (data_ == nullptr)
    return base::fail(base::Code::kUnavailable, "the event came before, too long ago to answer again");
  if (record > data_->archive().stats().upto) TAMIS_CHECK(flush());
  const policy::Policy& current = *worker.event.policy();
  const policy::EventType& type = current.types[worker.event.type_index()];
  auto policy_of = [this](std::string_view version) { return policy_of_version(version); };
  return replay::write_stored_decision(data_->archive(), current, type, policy_of, record, out);
}

std::shared_ptr<const policy::Policy> Service::policy_of_version(std::string_view version) {
  std::lock_guard lock(past_policy_mutex_);
  if (past_version_ == version) return past_policy_;
  past_version_ = version;
  auto kept = data_ == nullptr ? base::Result<std::shared_ptr<const policy::Policy>>(nullptr)
                               : replay::compile_kept_policy(data_->path(), past_version_);
  past_policy_ = kept ? *kept : nullptr;
  return past_policy_;
}

base::Result<Service::Outcome> Service::import(Worker& worker, std::string_view type, std::string_view json,
                                               bool only_keep, int64_t oldest_ms) {
  std::shared_ptr<const policy::Policy> current = policy();
  if (current == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
  base::Status ready = worker.event.prepare(current, type, json, intel_.get());
  if (!ready) {
    ++counters_.refused;
    return tl::unexpected(ready.error());
  }
  if (const event::Event& past = worker.event.event(); only_keep && past.has_time) {
    if (!archived_ids_) archived_ids_.emplace(data_->archive(), [this] { return flush(); });
    const policy::EventType& own = current->types[worker.event.type_index()];
    TAMIS_TRY(is_new, archived_ids_->take(*current, own, past.id, past.time_ms));
    if (!is_new) {
      ++counters_.repeated;
      return Outcome::kRepeated;
    }
  }
  std::lock_guard lock(engine_mutex_);
  if (engine_.policy() != current) return base::fail(base::Code::kUnavailable, "the policy has just changed");
  if (engine_.repeat_of(worker.event) != 0) {
    ++counters_.repeated;
    return Outcome::kRepeated;
  }
  const event::Event& event = worker.event.event();
  if (event.has_time && event.time_ms < oldest_ms) return base::fail(base::Code::kDenied, "older than what is there");
  int64_t receive_ms = event.has_time ? event.time_ms : std::max<int64_t>(engine_.now_ms(), 0);
  if (only_keep) {
    TAMIS_TRY(number, data_->past(receive_ms, type, json));
    TAMIS_CHECK(data_->decided(worker.event, nullptr, number, receive_ms));
    return Outcome::kDecided;
  }
  TAMIS_TRY(number, data_->imported(receive_ms, type, json));
  const engine::Decision& decision = engine_.decide(worker.event, receive_ms, Engine::Explain::kNo, number);
  TAMIS_CHECK(data_->decided(worker.event, &decision, number, receive_ms));
  TAMIS_CHECK(keep_findings(number, receive_ms, false));
  ++counters_.decided;
  if (decision.late) ++counters_.late;
  return Outcome::kDecided;
}

base::Status Service::flush() {
  if (data_ == nullptr) return base::fail(base::Code::kNotFound, "the server keeps nothing: it has no --data folder");
  return data_->flush([this](const auto& use) { with_engine(use); });
}

base::Status Service::checkpoint() {
  if (data_ == nullptr) return {};
  std::lock_guard one(checkpoint_mutex_);
  auto start = std::chrono::steady_clock::now();
  auto notices_durable = [this] { return outbox() == nullptr ? base::Status() : outbox()->sync(); };
  base::Status done =
      data_->checkpoint([this](const auto& use) { with_engine(use); }, stop_checkpoints_, notices_durable);
  auto spent = std::chrono::steady_clock::now() - start;
  counters_.checkpoint_ms = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(spent).count());
  ++(done ? counters_.checkpoints : counters_.checkpoint_failures);
  {
    std::lock_guard lock(stop_mutex_);
    joins_wanted_ = true;
  }
  stop_wanted_.notify_all();
  return done;
}

// On a thread of its own: to join large files or to forget what is old takes longer than rows may wait to be flushed.
void Service::run_rewrites() {
  base::name_thread("rewrite");
  while (true) {
    bool join = false, forget = false;
    {
      std::unique_lock lock(stop_mutex_);
      stop_wanted_.wait(lock, [this] { return stop_checkpoints_ || joins_wanted_ || retain_wanted_; });
      if (stop_checkpoints_) return;
      std::swap(join, joins_wanted_);
      std::swap(forget, retain_wanted_);
    }
    // That one of them failed is told by the archive's stats(); it is tried again.
    if (forget) (void)retain(clock_());
    if (join) (void)data_->join_files();
  }
}

base::Result<replay::RetentionReport> Service::retain(int64_t now_ms) {
  if (data_ == nullptr) return base::fail(base::Code::kNotFound, "the server keeps nothing: it has no --data folder");
  std::shared_ptr<const policy::Policy> current = policy();
  if (current == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
  std::lock_guard one(retain_mutex_);
  replay::RetainOptions options;
  options.now_ms = now_ms;
  options.keep_going = [this] {
    // Between two pieces of this work decisions have their turn: the engine's mutex goes to whoever is there first.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return !stop_checkpoints_.load();
  };
  options.checkpoint = [this] { return checkpoint(); };
  options.rest = [this](const replay::PastRawDays& past, replay::RetentionReport& report) -> base::Status {
    if (outbox() != nullptr) {
      TAMIS_TRY(dropped, outbox()->forget(past.before_ms));
      report.notices += dropped;
    }
    return forgets_ ? forgets_(past, report) : base::Status();
  };
  return replay::retain(*data_, *current, engine_access(), checkpoint_mutex_, options);
}

void Service::at_retention(Forgets forgets) {
  std::lock_guard one(retain_mutex_);
  forgets_ = std::move(forgets);
}

// Writes a checkpoint when enough has come since the last one. A dear one is followed by a longer pause, so that no
// more than a fifth of the time goes there; meanwhile rows that wait for the archive are written when they are many,
// since they take memory, and beyond a limit the archive takes no more.
void Service::run_checkpoints() {
  base::name_thread("checkpoint");
  int64_t last_ms = clock_(), pause_ms = 0;
  int64_t retain_at_ms = last_ms + std::min(options_.retain_ms, kFirstRetentionMs);
  bool flush_works = true;
  while (true) {
    {
      std::unique_lock lock(stop_mutex_);
      stop_wanted_.wait_for(lock, std::chrono::milliseconds(kCheckpointPauseMs),
                            [this] { return stop_checkpoints_.load(); });
      if (stop_checkpoints_) return;
    }
    if (clock_() >= retain_at_ms && !is_filling_) {
      {
        std::lock_guard lock(stop_mutex_);
        retain_wanted_ = true;
      }
      stop_wanted_.notify_all();
      retain_at_ms = clock_() + options_.retain_ms;
    }
    uint64_t waiting = data_->last_number() - data_->last_snapshot();
    int64_t age_ms = clock_() - last_ms;
    bool due = waiting >= options_.checkpoint_records || (waiting > 0 && age_ms >= options_.checkpoint_ms);
    if (!due || age_ms < pause_ms || is_filling_) {
      if (flush_works && data_->archive().pending_bytes() > kPendingBytesHigh) flush_works = flush().has_value();
      continue;
    }
    (void)checkpoint();  // a failure is counted, and told by failure()
    flush_works = true;
    last_ms = clock_();
    pause_ms = 4 * static_cast<int64_t>(counters_.checkpoint_ms.load());
  }
}

void Service::with_engine(const std::function<void(Engine&)>& use) {
  std::lock_guard lock(engine_mutex_);
  use(engine_);
}

}  // namespace tamis::door
