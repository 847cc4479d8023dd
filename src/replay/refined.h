// Refined: what refinement has told of a cluster, as findings that the archive keeps. A look at a cluster that comes to
// something is one event `finding: split`, whose `parts` says how many campaigns met in it, and behind it one event
// `finding: part` for each, by size. They come from outside the fold (door/refinement.h): each is a record of the
// journal, so a replay reads what was found and does not look again.
//
// A part is known by the times at which some of its members signed up (`seen`): whoever parts the cluster anew, with
// more members than then, finds it again by them. Neither names nor hashes of accounts are in a finding.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "archive/archive.h"
#include "base/result.h"
#include "detect/signup_clusters.h"
#include "policy/policy.h"
#include "replay/data_folder.h"

namespace tamis::replay {

// One campaign of those that met in a cluster.
struct FoundPart {
  uint64_t size = 0;     // members that were looked at
  int64_t first_ms = 0;  // signup of its first member
  std::string shares;    // what nearly all of it have and nearly none of the others, by attribute: "name_shape, form"
  std::vector<int64_t> seen;  // signups of members, kSeenMax at most
};
inline constexpr size_t kSeenMax = 16;

struct FoundParts {
  std::string look;  // the id of the `split` event
  std::vector<FoundPart> parts;
  uint64_t size() const;
};

// The members that a page or an action of one part needs: the engine is held for one page at a time.
struct PartedMembers {
  std::vector<detect::SignupFacts> facts;
  std::vector<uint32_t> part;  // of each; 0 is the largest
};
// At most `most` of them, spread evenly over the first kPartedMax.
std::vector<detect::SignupFacts> member_facts(const DataFolder::WithEngine& with_engine, uint64_t id, size_t most);
// Takes its time: seconds of a thousand members or two that differ in much.
PartedMembers part(std::vector<detect::SignupFacts> facts);
FoundParts describe(const PartedMembers& parted);
// The part of these members that each part of a look is now; nothing for one that cannot be told any more.
std::vector<std::optional<uint32_t>> find_again(const FoundParts& told, const PartedMembers& now);

// The accounts, by account_key(), of one part of the last look at a cluster, as it is now. kNotFound: nobody has told
// it apart, it has no such part, or its parts are not to be told from each other any more.
base::Result<std::unordered_set<uint64_t>> part_accounts(const policy::Policy& policy, const archive::Archive& archive,
                                                         const DataFolder::WithEngine& with_engine, uint64_t id,
                                                         size_t part);

// Where the event type `finding` of a policy has what the findings above need; nothing: it does not declare all of
// `finding`, `cluster`, `size`, `actionable`, `parts`, `part`, `whole`, `shares`, `seen` and `cause`.
struct RefinedColumns {
  const policy::EventType* type = nullptr;
  std::string table, finding, cluster, size, actionable, parts, part, shares, seen, cause;
};
std::optional<RefinedColumns> refined_columns(const policy::Policy& policy);

// The last whole look at a cluster, from the archive; nothing: there was none.
base::Result<std::optional<FoundParts>> told_parts(const policy::Policy& policy, const archive::Archive& archive,
                                                   uint64_t id);
// Clusters that findings of the detectors behind record `after` call actionable, the newest first; `after` becomes the
// newest record that was looked at.
base::Result<std::vector<uint64_t>> suspicious_clusters(const policy::Policy& policy, const archive::Archive& archive,
                                                        uint64_t& after);

// The events of a look, as JSON for the event type `finding`: the split, then its parts.
std::vector<std::string> finding_events(const policy::EventType& type, const detect::ClusterFacts& cluster,
                                        const FoundParts& found, int64_t time_ms);

}  // namespace tamis::replay
