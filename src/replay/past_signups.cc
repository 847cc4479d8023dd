#include "replay/past_signups.h"

#include <algorithm>
#include <optional>
#include <set>

#include "detect/signup_facts.h"
#include "engine/engine.h"
#include "policy/slot_names.h"
#include "replay/match_run.h"
#include "replay/stored.h"

namespace tamis::replay {

using policy::EventType;

namespace {

// What one event type needs: only of those that are signups for a detector.
struct TypeView {
  std::optional<TruthOfType> truth;
  std::vector<std::string> names;  // of slots
  std::set<int32_t> read;          // slots that the detector reads
};

std::vector<TypeView> views_of(const policy::Policy& policy, const Truth& truth) {
  std::vector<TypeView> views(policy.types.size());
  for (size_t t = 0; t < policy.types.size(); ++t) {
    const EventType& type = policy.types[t];
    for (const policy::DetectorFeed& feed : type.feeds) {
      const bool finds_clusters = policy.detectors[feed.detector].kind == policy::DetectorKind::kSignupClusters;
      if (!finds_clusters || feed.part != policy::DetectorPart::kSignup) continue;
      views[t].truth.emplace(truth, type);
      views[t].names = policy::slot_names(type);
      for (const auto& [input, node] : feed.inputs) {
        for (const int32_t slot : type.plan.slots_read(node)) views[t].read.insert(slot);
      }
    }
  }
  return views;
}

class Collecting {
 public:
  Collecting(const PastSignupsRequest& request, const engine::Engine& engine)
      : request_(request), engine_(engine), views_(views_of(*request.policy, *request.truth)) {}

  bool finds_any() const {
    return std::any_of(views_.begin(), views_.end(), [](const TypeView& v) { return v.truth.has_value(); });
  }

  // False: there are more than a model is trained on.
  bool take(const Replayed& event) {
    const engine::Decision& decision = *event.decision;
    const TypeView& view = views_[static_cast<size_t>(decision.type - request_.policy->types.data())];
    if (!view.truth || decision.late) return true;
    if (decision.time_ms < request_.from_ms || decision.time_ms >= request_.to_ms) return true;
    const std::optional<engine::SeenSignup> seen = engine_.seen_signup();
    if (!seen) return true;
    ++out_.signups;
    Known known = view.truth->of(decision.id, const_cast<engine::PreparedEvent*>(event.event)->event().slots);
    if (known == Known::kNot && request_.unknown_is_good) known = Known::kGood;
    if (known == Known::kNot) {
      ++out_.untold;
      return true;
    }
    if (is_gone(event, view)) {
      ++out_.gone;
      return true;
    }
    if (out_.rows.size() == request_.rows_max) return false;
    const detect::SignupScore& score = *seen->score;
    const float own = score.log_odds - score.part[detect::kPartHead];
    out_.rows.push_back({score.feature, own, known == Known::kBad, seen->net, 0});
    accounts_.emplace_back(decision.account);
    return true;
  }

  // Which campaigns there are is known best in the end, when those that met in one cluster are told apart.
  PastSignups finish() {
    const detect::SignupClusters* clusters = engine_.clusters();
    const detect::ClusterParts parts = clusters == nullptr ? detect::ClusterParts() : clusters->parts();
    for (size_t i = 0; i < accounts_.size(); ++i) {
      const auto hindsight = engine_.hindsight(accounts_[i]);
      if (!hindsight || hindsight->cluster == 0) continue;
      const uint64_t account = detect::account_keys(engine_.options().state_key, accounts_[i]).find;
      out_.rows[i].cluster = parts.of(account, hindsight->cluster);
    }
    out_.gone_names.assign(gone_names_.begin(), gone_names_.end());
    return std::move(out_);
  }

 private:
  bool is_gone(const Replayed& event, const TypeView& view) {
    if (event.gone == nullptr) return false;
    bool gone = false;
    for (const int32_t slot : *event.gone) {
      if (view.read.count(slot) == 0) continue;
      gone = true;
      gone_names_.insert(view.names[static_cast<size_t>(slot)]);
    }
    return gone;
  }

  const PastSignupsRequest& request_;
  const engine::Engine& engine_;
  std::vector<TypeView> views_;
  PastSignups out_;
  std::vector<std::string> accounts_;  // of the rows
  std::set<std::string> gone_names_;
};

}  // namespace

base::Result<PastSignups> past_signups(const PastSignupsRequest& request,
                                       const std::function<bool(uint64_t, uint64_t)>& keep_going) {
  engine::Engine engine;
  Collecting collecting(request, engine);
  if (!collecting.finds_any()) {
    return base::invalid("the policy has no detector of signups (signup_clusters), so there is nothing to train over");
  }
  FoldOptions options;
  options.data = request.data;
  options.what_if = request.policy;
  options.intel = request.intel;
  options.archive = request.archive;
  const uint64_t total = request.archive == nullptr ? 0 : request.archive->stats().rows;
  uint64_t done = 0;
  bool go_on = true, fits = true;
  TAMIS_CHECK(decide_past(options, engine, [&](const Replayed& event) {
    fits = collecting.take(event);
    if (++done % 1024 == 0 && keep_going) go_on = keep_going(done, std::max(total, done));
    return fits && go_on;
  }));
  if (!go_on) return stopped();
  if (!fits) {
    return base::invalid("more than " + std::to_string(request.rows_max) +
                         " signups with truth: choose a part of them by their time");
  }
  return collecting.finish();
}

}  // namespace tamis::replay
