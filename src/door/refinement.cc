#include "door/refinement.h"

#include <time.h>

#include <algorithm>
#include <vector>

#include "base/thread.h"

namespace tamis::door {
namespace {

constexpr double kGrown = 1.25;     // what a cluster has to grow by between two looks
constexpr int kRestOfWork = 4;      // a fifth of a core at most
constexpr int kDecideTriesMax = 8;  // of a finding, while the engine has no time for it
constexpr std::chrono::milliseconds kPause(1), kRetry(250);

std::chrono::nanoseconds cpu_time() {
  struct timespec t = {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// Another number of campaigns than was told, or of twice as many members; or what was told is not of this cluster, as
// after another policy has begun its detector anew. (Of a sample that cannot be said.)
bool is_news(const std::optional<replay::FoundParts>& told, const replay::FoundParts& found,
             const replay::PartedMembers& parted) {
  if (!told) return found.parts.size() > 1;
  const bool is_sample = parted.facts.size() >= Refinement::kComparedMax;
  const auto places = replay::find_again(*told, parted);
  const bool is_known = is_sample || std::any_of(places.begin(), places.end(), [](const auto& p) { return !!p; });
  if (!is_known || found.parts.size() != told->parts.size()) return true;
  return found.parts.size() > 1 && !is_sample && found.size() >= 2 * told->size();
}

}  // namespace

Refinement::Refinement(Service& service, int64_t every_ms) : service_(service), every_ms_(every_ms) {
  thread_ = std::thread([this] { run(); });
}

Refinement::~Refinement() {
  {
    std::lock_guard lock(stop_mutex_);
    stopping_ = true;
  }
  stop_wanted_.notify_all();
  thread_.join();
}

void Refinement::rest(std::chrono::nanoseconds time) {
  std::unique_lock lock(stop_mutex_);
  stop_wanted_.wait_for(lock, time, [this] { return stopping_.load(); });
}

void Refinement::run() {
  base::name_thread("refinement");  // it holds the engine now and then, so it does not wait behind others
  while (!stopping_) {
    rest(std::chrono::milliseconds(every_ms_));
    if (stopping_) return;
    ++counters_.rounds;
    if (!round()) ++counters_.failures;
  }
}

std::optional<detect::ClusterFacts> Refinement::facts_of(uint64_t cluster, int64_t& now_ms) {
  std::optional<detect::ClusterFacts> facts;
  service_.with_engine([&](engine::Engine& engine) {
    now_ms = engine.now_ms();
    if (const auto* clusters = engine.clusters(); clusters != nullptr) facts = clusters->facts(cluster);
  });
  return facts;
}

// Detectors say which clusters can be acted on as that comes to be, and when they double; in between those that were
// looked at once are looked at again when they have grown.
base::Status Refinement::round() {
  const std::shared_ptr<const policy::Policy> policy = service_.policy();
  if (policy == nullptr || !replay::refined_columns(*policy)) return {};
  const uint64_t newest = service_.data()->last_number();
  if (newest == newest_ && due_.empty()) return {};
  TAMIS_CHECK(service_.flush());
  TAMIS_TRY(fresh, replay::suspicious_clusters(*policy, service_.data()->archive(), after_));
  for (uint64_t cluster : fresh) watched_.try_emplace(cluster, 0);
  while (watched_.size() > kWatchedMax) watched_.erase(watched_.begin());  // numbers grow: the oldest
  due_.clear();
  for (auto it = watched_.begin(); it != watched_.end() && !stopping_;) {
    int64_t now_ms = 0;
    const auto facts = facts_of(it->first, now_ms);
    const bool is_due = facts && facts->members > kGrown * it->second;
    if (is_due && facts->acted_ms != 0 && facts->suppressed_until_ms == 0) due_.push_back(it->first);
    it = facts ? std::next(it) : watched_.erase(it);
  }
  newest_ = newest;
  // The newest first: those are what people look at now. The others come in the rounds behind it.
  for (size_t i = 0; i < kClustersARound && !due_.empty() && !stopping_; ++i) {
    const auto began = cpu_time();
    std::chrono::nanoseconds compared{};
    TAMIS_CHECK(look(*policy, due_.back(), compared));
    due_.pop_back();
    rest(kRestOfWork * (cpu_time() - began + compared));
  }
  return {};
}

base::Status Refinement::look(const policy::Policy& policy, uint64_t cluster, std::chrono::nanoseconds& compared) {
  ++counters_.looks;
  int64_t now_ms = 0;
  const auto facts = facts_of(cluster, now_ms);
  if (!facts) return {};
  // Whoever wants the engine has it between two pages.
  const auto with_engine = [this](const std::function<void(engine::Engine&)>& use) {
    service_.with_engine(use);
    rest(kPause);
  };
  std::vector<detect::SignupFacts> members = replay::member_facts(with_engine, cluster, kComparedMax);
  // What takes long holds nothing, and runs while no other thread wants the core.
  const replay::PartedMembers parted = base::run_as(base::work_behind, "refine", [&] {
    replay::PartedMembers done = replay::part(std::move(members));
    compared = cpu_time();
    return done;
  });
  if (stopping_) return {};
  replay::FoundParts found = replay::describe(parted);
  TAMIS_TRY(told, replay::told_parts(policy, service_.data()->archive(), cluster));
  if (is_news(told, found, parted)) {
    found.look =
        "split-" + std::to_string(cluster) + "-" + std::to_string(now_ms) + "-" + std::to_string(parted.facts.size());
    TAMIS_CHECK(tell(policy, found, *facts, now_ms));
    ++counters_.told;
  }
  if (const auto it = watched_.find(cluster); it != watched_.end()) it->second = facts->members;
  return {};
}

base::Status Refinement::tell(const policy::Policy& policy, const replay::FoundParts& found,
                              const detect::ClusterFacts& facts, int64_t now_ms) {
  const policy::EventType& type = *policy.find_type("finding");
  Service::Lease worker(service_);
  std::string answer;
  for (const std::string& event : replay::finding_events(type, facts, found, now_ms)) {
    for (int tries = 1;; ++tries) {
      answer.clear();
      TAMIS_TRY(outcome, service_.decide(*worker, type.schema.name, event, answer));
      if (outcome != Service::Outcome::kOverload) break;
      if (tries == kDecideTriesMax || stopping_) return base::fail(base::Code::kUnavailable, "no time for a finding");
      rest(kRetry);
    }
  }
  return service_.sync();
}

}  // namespace tamis::door
