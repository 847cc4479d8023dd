#include "replay/match_plan.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "policy/slot_names.h"
#include "replay/stored.h"

namespace tamis::replay {

using cel::kNoNode;
using cel::NodeId;
using policy::EventType;
using policy::Policy;
using policy::Rule;

namespace {

// Whether entries of a list come and go while the engine runs.
bool changes_at_run_time(const policy::ListDecl& list) {
  return list.managed || std::any_of(list.entries.begin(), list.entries.end(), [](const state::ListEntry& entry) {
           return entry.expires_ms != state::kNeverExpires;
         });
}

class Planner {
 public:
  Planner(const MatchRequest& request, const MatchSource& source)
      : request_(request), source_(source), policy_(*request.policy) {}

  base::Result<MatchPlan> plan() {
    plan_.whole = request_.rule.empty();
    TAMIS_CHECK(choose_types());
    if (request_.always_replay) because("a replay was asked for");
    for (TypeNeeds& needs : plan_.types) TAMIS_CHECK(look_at(needs));
    if (!plan_.whole && request_.verdicts) {
      TAMIS_TRY(feedback, has_feedback());
      plan_.feedback = feedback;
    }
    if (plan_.feedback) because("rule \"" + request_.rule + "\" sets labels or list entries that rules read");
    plan_.columnar = plan_.because.empty();
    return std::move(plan_);
  }

 private:
  void because(std::string why) {
    if (plan_.because.empty()) plan_.because = std::move(why);
  }

  base::Status choose_types() {
    for (const std::string& name : request_.types) {
      if (policy_.find_type(name) != nullptr) continue;
      return base::fail(base::Code::kNotFound, "no event type \"" + name + "\" in the policy");
    }
    bool rule_is_there = false;
    for (size_t t = 0; t < policy_.types.size(); ++t) {
      const EventType& type = policy_.types[t];
      TypeNeeds needs;
      needs.type = t;
      needs.event_type = &type;
      if (!plan_.whole) {
        auto rule =
            std::find_if(type.rules.begin(), type.rules.end(), [&](const Rule& r) { return r.id == request_.rule; });
        if (rule == type.rules.end()) continue;
        rule_is_there = true;
        needs.rule = static_cast<uint32_t>(rule - type.rules.begin());
      }
      bool wanted = request_.types.empty() ||
                    std::find(request_.types.begin(), request_.types.end(), type.schema.name) != request_.types.end();
      if (wanted) plan_.types.push_back(std::move(needs));
    }
    if (plan_.whole || rule_is_there) return {};
    std::vector<std::string> ids;
    for (const EventType& type : policy_.types) {
      for (const Rule& rule : type.rules) ids.push_back(rule.id);
    }
    std::string near(base::nearest(request_.rule, ids));
    return base::fail(base::Code::kNotFound, "no rule \"" + request_.rule + "\" in the policy" +
                                                 (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
  }

  base::Status look_at(TypeNeeds& needs) {
    const EventType& type = *needs.event_type;
    std::set<int32_t> slots;
    if (plan_.whole) {
      for (const Rule& rule : type.rules) {
        if (rule.mode == policy::Mode::kOff) continue;
        read(needs, rule.id, rule.when, slots);
        read(needs, rule.id, rule.points, slots);
        if (rule.mode == policy::Mode::kCanary) read(needs, rule.id, rule.canary_by, slots);
      }
      look_at_features(type, slots);
    } else {
      const Rule& rule = type.rules[needs.rule];
      read(needs, rule.id, rule.when, slots);
      read(needs, rule.id, rule.points, slots);
    }
    if (plan_.because.empty()) {
      TAMIS_TRY(gone, missing(type, slots));
      for (const std::string& name : gone) {
        because("the archive does not have \"" + name + "\" of " + type.schema.name + " as the policy declares it");
      }
    }
    if (!plan_.whole) add_varying(needs, slots);
    TAMIS_CHECK(add_also(needs, slots));
    slots.erase(type.time_slot);  // made of the time of the event
    needs.slots.assign(slots.begin(), slots.end());
    std::sort(needs.lists.begin(), needs.lists.end());
    needs.lists.erase(std::unique(needs.lists.begin(), needs.lists.end()), needs.lists.end());
    if (plan_.whole || !request_.matches_only) return {};
    const NodeId when = type.rules[needs.rule].when;
    needs.where = necessary_sql(policy_, type, when);
    for (NodeId part : type.plan.conjuncts(when)) {
      if (auto predicate = type.plan.predicate(part)) needs.must.push_back(*predicate);
    }
    return {};
  }

  // What a node of a rule reads, and whether it can be known from the columns.
  void read(TypeNeeds& needs, const std::string& rule, NodeId node, std::set<int32_t>& slots) {
    if (node == kNoNode) return;
    const cel::Plan& plan = needs.event_type->plan;
    for (int32_t slot : plan.slots_read(node)) slots.insert(slot);
    cel::Plan::HostReads host = plan.host_reads(node);
    if (host.labels) because("rule \"" + rule + "\" reads labels");
    for (int64_t list : host.lists) {
      const policy::ListDecl& decl = policy_.lists[static_cast<size_t>(list)];
      if (changes_at_run_time(decl)) {
        because("rule \"" + rule + "\" reads list \"" + decl.name + "\", whose entries come and go");
      }
      needs.lists.push_back(list);
    }
  }

  bool reads_run_time_state(const EventType& type, NodeId node) const {
    if (node == kNoNode) return false;
    cel::Plan::HostReads host = type.plan.host_reads(node);
    return host.labels || std::any_of(host.lists.begin(), host.lists.end(), [&](int64_t list) {
             return changes_at_run_time(policy_.lists[static_cast<size_t>(list)]);
           });
  }

  bool reads_run_time_state(const EventType& type, const policy::FeatureUpdate& update) const {
    bool found = reads_run_time_state(type, update.where) || reads_run_time_state(type, update.of) ||
                 reads_run_time_state(type, update.hit);
    for (NodeId by : update.by) found = found || reads_run_time_state(type, by);
    return found;
  }

  // Under another policy other rules set other labels, and what counts by them would have counted otherwise.
  void look_at_features(const EventType& type, const std::set<int32_t>& slots) {
    for (const policy::FeatureRead& read : type.reads) {
      if (slots.count(read.slot) == 0) continue;
      for (const EventType& feeding : policy_.types) {
        for (const policy::FeatureUpdate& update : feeding.updates) {
          if (update.feature != read.feature || !reads_run_time_state(feeding, update)) continue;
          because("feature \"" + read.name + "\" counts by labels or lists whose entries come and go");
        }
      }
    }
  }

  base::Result<std::vector<std::string>> missing(const EventType& type, const std::set<int32_t>& slots) const {
    if (source_.archive == nullptr) return base::fail(base::Code::kNotFound, "there is no archive");
    archive::ScanRequest scan;
    scan.type = &type;
    scan.policy = &policy_;
    scan.slots.assign(slots.begin(), slots.end());
    std::erase(scan.slots, type.time_slot);
    scan.from_ms = request_.from_ms;
    scan.to_ms = request_.to_ms;
    if (scan.slots.empty()) return std::vector<std::string>{};
    return source_.archive->missing(scan);
  }

  // Rules whose points depend on the event, for the verdicts of events on which they acted. Where something is missing
  // for one, its points are told from the stored sum.
  void add_varying(TypeNeeds& needs, std::set<int32_t>& slots) {
    const EventType& type = *needs.event_type;
    for (uint32_t i = 0; i < type.rules.size(); ++i) {
      const Rule& rule = type.rules[i];
      if (i == needs.rule || rule.points == kNoNode || reads_run_time_state(type, rule.points)) continue;
      std::vector<int32_t> read = type.plan.slots_read(rule.points);
      if (read.empty()) continue;
      auto gone = missing(type, {read.begin(), read.end()});
      if (!gone || !gone->empty()) continue;
      slots.insert(read.begin(), read.end());
      for (int64_t list : type.plan.host_reads(rule.points).lists) needs.lists.push_back(list);
      needs.varying.push_back(i);
    }
  }

  base::Status add_also(TypeNeeds& needs, std::set<int32_t>& slots) {
    if (needs.type >= request_.also.size()) return {};
    std::vector<std::string> names = policy::slot_names(*needs.event_type);
    for (int32_t slot : request_.also[needs.type]) {
      if (slot < 0 || slot >= needs.event_type->slot_count || slots.count(slot) != 0) continue;
      TAMIS_TRY(gone, missing(*needs.event_type, {slot}));
      if (gone.empty()) {
        slots.insert(slot);
      } else {
        plan_.absent.push_back(needs.event_type->schema.name + "." + names[static_cast<size_t>(slot)]);
      }
    }
    return {};
  }

  // Whether the rule changes what rules of the policy read, or did so when it acted.
  base::Result<bool> has_feedback() const {
    bool reads = false;
    for (const EventType& type : policy_.types) {
      for (const Rule& rule : type.rules) reads = reads || reads_run_time_state(type, rule.when);
      for (const policy::FeatureUpdate& update : type.updates) reads = reads || reads_run_time_state(type, update);
    }
    if (!reads) return false;
    if (changes_state(policy_)) return true;
    if (!source_.policy_of) return false;
    archive::QueryLimits limits;
    limits.time_ms = 600'000;
    TAMIS_TRY(versions, source_.archive->query("SELECT DISTINCT policy FROM events WHERE policy IS NOT NULL", limits,
                                               [] { return true; }));
    for (const std::vector<std::string>& row : versions.rows) {
      if (row.empty() || row[0] == policy_.version) continue;
      std::shared_ptr<const Policy> then = source_.policy_of(row[0]);
      if (then != nullptr && changes_state(*then)) return true;
    }
    return false;
  }

  // Whether the rule, as a policy has it, sets labels or list entries.
  bool changes_state(const Policy& policy) const {
    for (const EventType& type : policy.types) {
      for (const Rule& rule : type.rules) {
        if (rule.id == request_.rule && (!rule.labels.empty() || !rule.lists.empty())) return true;
      }
    }
    return false;
  }

  const MatchRequest& request_;
  const MatchSource& source_;
  const Policy& policy_;
  MatchPlan plan_;
};

}  // namespace

base::Result<MatchPlan> plan_matches(const MatchRequest& request, const MatchSource& source) {
  return Planner(request, source).plan();
}

PolicyLists::PolicyLists(const Policy& policy, const std::vector<int64_t>& lists) {
  for (int64_t number : lists) {
    const policy::ListDecl& decl = policy.lists[static_cast<size_t>(number)];
    auto list = state::List::make(decl.name, decl.kind, decl.entries_max, decl.ignore_case);
    for (const state::ListEntry& entry : decl.entries) (void)list->add(entry);  // the compiler has refused bad ones
    lists_.emplace(number, std::move(list));
  }
}

bool PolicyLists::list_contains(int64_t list, event::Value value) const {
  auto found = lists_.find(list);
  return found != lists_.end() && found->second->contains(value, 0);
}

event::Value PolicyLists::labels_of(int64_t, event::Value, base::Arena&) const { return event::Value::list({}); }

}  // namespace tamis::replay
