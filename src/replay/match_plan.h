// MatchPlan: what a MatchRequest needs of each event type, and whether the columns of the archive can answer it.
// Private to this room.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cel/function.h"
#include "replay/matches.h"

namespace tamis::replay {

struct TypeNeeds {
  size_t type = 0;  // place in policy->types
  const policy::EventType* event_type = nullptr;
  uint32_t rule = 0;                 // place of the rule asked about
  std::vector<int32_t> slots;        // of the archive: what is evaluated, and those of `also` that are there
  std::vector<int64_t> lists;        // numbers of the lists that are asked
  std::string where;                 // SQL that leaves out rows which cannot matter
  std::vector<cel::Predicate> must;  // the same as predicates, as far as that can be said
  std::vector<uint32_t> varying;     // rules whose points may be asked for, in a test of one rule
};

struct MatchPlan {
  bool whole = true;  // the policy as a whole
  bool columnar = true;
  bool feedback = false;  // the rule changes state that rules read: the verdicts are those of the replay
  std::string because;    // why it is not columnar
  std::vector<TypeNeeds> types;
  std::vector<std::string> absent;
};

base::Result<MatchPlan> plan_matches(const MatchRequest& request, const MatchSource& source);

// The policy that a replay decides under. For one rule: with it live, whatever its mode, and without all that neither
// its matches nor their verdicts depend on; the engine then gives the same matches of what is kept.
std::shared_ptr<const policy::Policy> replayed_policy(const MatchRequest& request, const MatchPlan& plan);

// The lists of a policy for the evaluation of conditions; of one thread.
class PolicyLists final : public cel::Host {
 public:
  PolicyLists(const policy::Policy& policy, const std::vector<int64_t>& lists);
  bool list_contains(int64_t list, event::Value value) const override;
  event::Value labels_of(int64_t kind, event::Value value, base::Arena& arena) const override;

 private:
  std::map<int64_t, std::unique_ptr<state::List>> lists_;
};

}  // namespace tamis::replay
