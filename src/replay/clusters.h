// What is known of a cluster beyond the detector: the names of its members, which only the archive has; what truth says
// of them; and a rule that would catch what they share, as CEL.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "archive/archive.h"
#include "base/result.h"
#include "detect/signup_clusters.h"
#include "detect/signup_facts.h"
#include "policy/policy.h"
#include "replay/data_folder.h"
#include "replay/truth.h"

namespace tamis::replay {

struct ClusterMemberName {
  std::string account;
  detect::ClusterMember member;
};

struct ClusterMembers {
  std::vector<ClusterMemberName> named;  // by age
  uint64_t unnamed = 0;                  // members that the archive has no more
  bool cut = false;                      // there are more than kClusterMembersMax
};
inline constexpr size_t kClusterMembersMax = 200'000;

// The event type that plays the part of the signup for detectors, and the column of its account. kNotFound: there is
// none, or the account is not a field of its own.
struct SignupColumn {
  const policy::EventType* type = nullptr;
  std::string account;
};
base::Result<SignupColumn> signup_column(const policy::Policy& policy);

// kNotFound: no such cluster, or no detector that finds any. The engine is held for a page of members at a time.
base::Result<detect::ClusterPage> cluster_page(const DataFolder::WithEngine& with_engine, uint64_t id);
base::Result<ClusterMembers> cluster_members(const policy::Policy& policy, const archive::Archive& archive,
                                             const DataFolder::WithEngine& with_engine, uint64_t id);

// How many members each campaign has that met in the cluster, the largest first; one: they belong together. The engine
// is held for a page of members at a time, and not while they are compared.
base::Result<std::vector<uint64_t>> cluster_parts(const DataFolder::WithEngine& with_engine, uint64_t id);

// A rule for the signups that the members share something of: values, networks, ranges of measures and a make of names
// that nearly all members have and, taken together, few others, told by the archive since the cluster's first member.
// kNotFound: more than one other signup would be hit for ten members, or there are too few to tell.
struct ProposedRule {
  std::string id, when, yaml;  // yaml: a whole document
  uint64_t members = 0;        // of the archive, that it matches
  uint64_t all_members = 0;
  uint64_t others = 0;  // signups of the same time that it matches besides
  uint64_t all_others = 0;
};
base::Result<ProposedRule> propose_rule(const policy::Policy& policy, const archive::Archive& archive, uint64_t id,
                                        int64_t first_ms, int64_t last_ms, const ClusterMembers& members);

}  // namespace tamis::replay
