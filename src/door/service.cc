#include "door/service.h"

#include <algorithm>
#include <chrono>

#include "event/json_writer.h"

namespace tamis::door {

using engine::Engine;

Service::Service(ServiceOptions options, Clock clock, std::shared_ptr<const event::NetworkIntel> intel,
                 std::unique_ptr<RecordSink> sink)
    : options_(options),
      clock_(std::move(clock)),
      intel_(std::move(intel)),
      sink_(std::move(sink)),
      started_ms_(clock_()),
      engine_(options.engine) {
  intake_thread_ = std::thread([this] { run_intake(); });
}

Service::~Service() {
  {
    std::lock_guard lock(intake_mutex_);
    stopping_ = true;
  }
  intake_ready_.notify_all();
  intake_thread_.join();
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

base::Status Service::recover(const std::function<base::Status(Engine&)>& fold) {
  std::lock_guard lock(engine_mutex_);
  TAMIS_CHECK(fold(engine_));
  std::lock_guard policy_lock(policy_mutex_);
  policy_ = engine_.policy();
  return {};
}

std::shared_ptr<const policy::Policy> Service::policy() const {
  std::lock_guard lock(policy_mutex_);
  return policy_;
}

policy::Loaded Service::activate(const std::vector<policy::SourceFile>& files) {
  std::lock_guard one(activate_mutex_);
  return use(policy::load_files(files));
}

policy::Loaded Service::activate_folder(const std::string& folder) {
  std::lock_guard one(activate_mutex_);
  return use(policy::load_folder(folder));
}

// Under activate_mutex_.
policy::Loaded Service::use(policy::Loaded loaded) {
  if (loaded.policy == nullptr) {
    ++counters_.reload_failures;
    return loaded;
  }
  if (auto current = policy(); current != nullptr && current->version == loaded.policy->version) {
    loaded.policy = current;  // nothing changed, and nothing is recorded
    return loaded;
  }
  Engine::PreparedPointer prepared = Engine::build(loaded.policy, options_.engine);
  {
    std::lock_guard lock(engine_mutex_);
    base::Status kept =
        sink_ == nullptr ? base::Status() : sink_->policy(clock_(), loaded.policy->version, loaded.files);
    if (!kept) {
      ++counters_.reload_failures;
      policy::Diagnostic diagnostic;
      diagnostic.message = kept.error().message;
      loaded.diagnostics.push_back(diagnostic);
      loaded.policy = nullptr;
      return loaded;
    }
    engine_.activate(std::move(prepared));
    std::lock_guard policy_lock(policy_mutex_);
    policy_ = loaded.policy;
  }
  if (base::Status durable = sync(); !durable) {
    policy::Diagnostic diagnostic;
    diagnostic.severity = policy::Diagnostic::Severity::kWarning;
    diagnostic.message = "the policy decides, but its record is not on disk yet: " + durable.error().message;
    loaded.diagnostics.push_back(diagnostic);
  }
  ++counters_.reloads;
  return loaded;
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

base::Result<Service::Outcome> Service::decide(Worker& worker, std::string_view type, std::string_view json,
                                               std::string& out, Engine::Explain explain) {
  auto start = std::chrono::steady_clock::now();
  auto deadline = start + std::chrono::milliseconds(options_.deadline_ms);
  std::shared_ptr<const policy::Policy> current = policy();
  if (current == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
  // A reload between preparing and deciding changes the slots: then the event is prepared again.
  while (true) {
    base::Status ready = worker.event.prepare(current, type, json, intel_.get());
    if (!ready) {
      ++counters_.refused;
      return tl::unexpected(ready.error());
    }
    std::unique_lock lock(engine_mutex_, deadline);
    if (!lock.owns_lock() || !within_rate()) {
      overload_answer(worker, out);
      return Outcome::kOverload;
    }
    if (engine_.policy() != worker.event.policy()) {
      current = engine_.policy();
      continue;
    }
    int64_t receive_ms = clock_();
    if (sink_ != nullptr) TAMIS_CHECK(sink_->event(receive_ms, type, json));
    const engine::Decision& decision = engine_.decide(worker.event, receive_ms, explain);
    engine::write_json(decision, out);
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

base::Status Service::act(const engine::Act& act) {
  {
    std::lock_guard lock(engine_mutex_);
    if (engine_.policy() == nullptr) return base::fail(base::Code::kUnavailable, "no policy is active yet");
    if (sink_ != nullptr) TAMIS_CHECK(sink_->act(clock_(), engine::to_json(act)));
    TAMIS_CHECK(engine::apply(engine_, act));
  }
  // Outside the lock: decisions do not wait for the disk. The record is in its place, so what is in force now is in
  // force again after a replay, whenever the disk takes it.
  base::Status durable = sync();
  if (durable) return {};
  return base::fail(base::Code::kUnavailable, "done, but not on disk yet: " + durable.error().message);
}

void Service::with_engine(const std::function<void(Engine&)>& use) {
  std::lock_guard lock(engine_mutex_);
  use(engine_);
}

}  // namespace tamis::door
