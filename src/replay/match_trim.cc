// What a replay for one rule has to compute. All the rest of the policy is taken out of a copy: rules that neither it
// nor its verdicts ask, features that nobody kept reads, and derived attributes likewise. Nothing moves: slots, numbers
// of features and lists, and nodes of the plan stay what they are, and with them the housekeeping of the engine.
#include <algorithm>
#include <set>

#include "replay/match_plan.h"

namespace tamis::replay {

using cel::kNoNode;
using cel::NodeId;
using policy::EventType;
using policy::Policy;
using policy::Rule;

namespace {

class Trimmer {
 public:
  Trimmer(Policy& policy, const MatchPlan& plan, const MatchRequest& request)
      : policy_(policy), plan_(plan), request_(request), slots_(policy.types.size()), kept_(policy.types.size()) {
    for (size_t t = 0; t < policy.types.size(); ++t) kept_[t].resize(policy.types[t].rules.size());
  }

  void trim() {
    for (const TypeNeeds& needs : plan_.types) add_asked(needs);
    // Each round adds what those of the round before depend on.
    while (changed_) {
      changed_ = false;
      add_features();
      add_detectors();
      if (state_is_read_) add_effects();
    }
    cut();
  }

 private:
  void add_asked(const TypeNeeds& needs) {
    const EventType& type = policy_.types[needs.type];
    keep(needs.type, needs.rule);
    for (int32_t slot : needs.slots) read_slot(needs.type, slot);
    if (needs.type < request_.also.size()) {
      for (int32_t slot : request_.also[needs.type]) read_slot(needs.type, slot);
    }
    if (!request_.verdicts) return;
    for (uint32_t i = 0; i < type.rules.size(); ++i) {
      if (points_vary(type, type.rules[i])) keep(needs.type, i);
    }
  }

  // Points that are not the same for every event are those of the replayed match.
  static bool points_vary(const EventType& type, const Rule& rule) {
    if (rule.points == kNoNode) return false;
    cel::Plan::HostReads host = type.plan.host_reads(rule.points);
    return host.labels || !host.lists.empty() || !type.plan.slots_read(rule.points).empty();
  }

  void keep(size_t t, uint32_t place) {
    const Rule& rule = policy_.types[t].rules[place];
    if (rule.mode == policy::Mode::kOff || kept_[t][place] != 0) return;
    kept_[t][place] = 1;
    changed_ = true;
    read(t, rule.when);
    read(t, rule.points);
    read(t, rule.canary_by);
    for (const policy::LabelEffect& label : rule.labels) read(t, label.entity);
    for (const policy::ListEffect& list : rule.lists) read(t, list.value);
  }

  void read(size_t t, NodeId node) {
    if (node == kNoNode) return;
    const cel::Plan& plan = policy_.types[t].plan;
    for (int32_t slot : plan.slots_read(node)) read_slot(t, slot);
    cel::Plan::HostReads host = plan.host_reads(node);
    if (!state_is_read_ && (host.labels || !host.lists.empty())) state_is_read_ = changed_ = true;
  }

  void read_slot(size_t t, int32_t slot) { changed_ |= slots_[t].insert(slot).second; }

  // A feature that is read is fed by every type that feeds it.
  void add_features() {
    for (size_t t = 0; t < policy_.types.size(); ++t) {
      for (const policy::FeatureRead& feature : policy_.types[t].reads) {
        if (slots_[t].count(feature.slot) == 0) continue;
        changed_ |= features_.insert(feature.feature).second;
        for (NodeId by : feature.by) read(t, by);
      }
    }
    for (size_t t = 0; t < policy_.types.size(); ++t) {
      for (const policy::FeatureUpdate& update : policy_.types[t].updates) {
        if (features_.count(update.feature) == 0) continue;
        for (NodeId by : update.by) read(t, by);
        read(t, update.where);
        read(t, update.of);
        read(t, update.hit);
      }
    }
  }

  // Detectors stay as a whole or go as a whole: what they find makes events that rules of other types may mind.
  void add_detectors() {
    if (detectors_stay_) return;
    for (size_t t = 0; t < policy_.types.size(); ++t) {
      for (const policy::DetectorRead& read : policy_.types[t].detector_reads) {
        detectors_stay_ = detectors_stay_ || slots_[t].count(read.slot) != 0;
      }
      if (policy_.types[t].schema.name != policy::kFindingType) continue;
      detectors_stay_ = detectors_stay_ || std::count(kept_[t].begin(), kept_[t].end(), 1) != 0;
    }
    if (!detectors_stay_) return;
    changed_ = true;
    for (size_t t = 0; t < policy_.types.size(); ++t) {
      for (const policy::DetectorFeed& feed : policy_.types[t].feeds) {
        for (const auto& [input, node] : feed.inputs) read(t, node);
      }
    }
  }

  // Rules that change labels or lists matter to those that read any.
  void add_effects() {
    for (size_t t = 0; t < policy_.types.size(); ++t) {
      const std::vector<Rule>& rules = policy_.types[t].rules;
      for (uint32_t i = 0; i < rules.size(); ++i) {
        if (!rules[i].labels.empty() || !rules[i].lists.empty()) keep(t, i);
      }
    }
  }

  void cut() {
    for (size_t t = 0; t < policy_.types.size(); ++t) {
      EventType& type = policy_.types[t];
      for (uint32_t i = 0; i < type.rules.size(); ++i) cut(type.rules[i], kept_[t][i] != 0);
      type.score = kNoNode;
      const std::set<int32_t>& slots = slots_[t];
      std::erase_if(type.reads, [&](const policy::FeatureRead& read) { return slots.count(read.slot) == 0; });
      std::erase_if(type.detector_reads, [&](const policy::DetectorRead& read) { return slots.count(read.slot) == 0; });
      if (!detectors_stay_) type.feeds.clear();
      type.shown.clear();
      std::erase_if(type.updates,
                    [&](const policy::FeatureUpdate& update) { return features_.count(update.feature) == 0; });
      std::erase_if(type.schema.derived, [&](const event::Derived& derived) { return slots.count(derived.slot) == 0; });
    }
  }

  // Of a rule that stays, what it says to people is not asked.
  void cut(Rule& rule, bool kept) const {
    if (!kept) rule.mode = policy::Mode::kOff;
    rule.value = kNoNode;
    rule.reason.clear();
    rule.notify.clear();
    if (state_is_read_) return;
    rule.labels.clear();
    rule.lists.clear();
  }

  Policy& policy_;
  const MatchPlan& plan_;
  const MatchRequest& request_;
  std::vector<std::set<int32_t>> slots_;    // by type: those that somebody kept reads
  std::vector<std::vector<uint8_t>> kept_;  // by type and rule
  std::set<uint32_t> features_;
  bool state_is_read_ = false, detectors_stay_ = false, changed_ = true;
};

}  // namespace

std::shared_ptr<const Policy> replayed_policy(const MatchRequest& request, const MatchPlan& plan) {
  if (plan.whole) return request.policy;
  auto copy = std::make_shared<Policy>(*request.policy);
  for (EventType& type : copy->types) {
    for (Rule& rule : type.rules) {
      if (rule.id == request.rule) rule.mode = policy::Mode::kLive;
    }
  }
  // Where the verdicts are those of the replay, every rule has its say.
  if (!plan.feedback) Trimmer(*copy, plan, request).trim();
  return copy;
}

}  // namespace tamis::replay
