#include "replay/clusters.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "detect/signup_parts.h"
#include "policy/slot_names.h"
#include "replay/stored.h"

namespace tamis::replay {

using policy::DetectorInput;
using policy::DetectorPart;

namespace {

constexpr uint64_t kRowsMax = 2'000'000;
constexpr int64_t kQueryMs = 120'000;
constexpr int64_t kSlackMs = 1000;  // the archive's time is the event's, the detector's that of the fold

archive::QueryLimits limits() { return {kQueryMs, kRowsMax}; }

std::string between(int64_t first_ms, int64_t last_ms) {
  return "epoch_ms(time) BETWEEN " + std::to_string(first_ms - kSlackMs) + " AND " + std::to_string(last_ms + kSlackMs);
}

base::Error no_cluster(uint64_t id) {
  return {base::Code::kNotFound, "there is no cluster " + std::to_string(id) + " any more"};
}

}  // namespace

base::Result<SignupColumn> signup_column(const policy::Policy& policy) {
  for (const policy::EventType& type : policy.types) {
    const std::vector<std::string> names = policy::slot_names(type);
    for (const policy::DetectorFeed& feed : type.feeds) {
      if (feed.part != DetectorPart::kSignup) continue;
      for (const auto& [input, node] : feed.inputs) {
        if (input != DetectorInput::kAccount) continue;
        const std::vector<int32_t> slots = type.plan.slots_read(node);
        if (slots.size() != 1) break;
        return SignupColumn{&type, names[static_cast<size_t>(slots[0])]};
      }
    }
  }
  return base::fail(base::Code::kNotFound,
                    "no event type of the policy plays the part `signup` with a field as account");
}

base::Result<detect::ClusterPage> cluster_page(const DataFolder::WithEngine& with_engine, uint64_t id) {
  std::optional<detect::ClusterPage> page;
  bool finds = false;
  with_engine([&](engine::Engine& engine) {
    const detect::SignupClusters* clusters = engine.clusters();
    finds = clusters != nullptr;
    if (finds) page = clusters->cluster(id);
  });
  if (!finds) return base::fail(base::Code::kNotFound, "no detector of the policy finds clusters");
  if (!page) return tl::unexpected(no_cluster(id));
  return std::move(*page);
}

base::Result<ClusterMembers> cluster_members(const policy::Policy& policy, const archive::Archive& archive,
                                             const DataFolder::WithEngine& with_engine, uint64_t id) {
  TAMIS_TRY(column, signup_column(policy));
  TAMIS_TRY(page, cluster_page(with_engine, id));
  ClusterMembers out;
  base::SipKey key;
  std::unordered_map<uint64_t, detect::ClusterMember> members;
  int64_t first_ms = page.facts.first_ms, last_ms = page.facts.last_ms;
  uint64_t from = 0;
  do {
    detect::MemberPage some;
    with_engine([&](engine::Engine& engine) {
      key = engine.options().state_key;
      if (const auto* clusters = engine.clusters(); clusters != nullptr) some = clusters->members(id, from);
    });
    for (const detect::ClusterMember& member : some.members) {
      first_ms = std::min(first_ms, member.t_ms);
      last_ms = std::max(last_ms, member.t_ms);
      members.emplace(member.account, member);
    }
    from = some.next;
    out.cut = members.size() >= kClusterMembersMax && from != 0;
  } while (from != 0 && !out.cut);
  const std::string account = sql_name(column.account);
  TAMIS_TRY(rows, archive.query("SELECT " + account + " FROM " + sql_name(column.type->schema.name) + " WHERE " +
                                    between(first_ms, last_ms) + " AND " + account + " IS NOT NULL ORDER BY n",
                                limits(), [] { return true; }));
  out.cut = out.cut || rows.cut;
  for (const std::vector<std::string>& row : rows.rows) {
    auto member = members.find(detect::account_keys(key, row[0]).find);
    if (member == members.end()) continue;
    out.named.push_back({row[0], member->second});
    members.erase(member);
  }
  out.unnamed = members.size();
  return out;
}

base::Result<std::vector<uint64_t>> cluster_parts(const DataFolder::WithEngine& with_engine, uint64_t id) {
  std::vector<detect::SignupFacts> facts;
  uint64_t from = 0;
  do {
    with_engine([&](engine::Engine& engine) {
      const detect::SignupClusters* clusters = engine.clusters();
      const detect::MemberPage some = clusters == nullptr ? detect::MemberPage() : clusters->members(id, from);
      facts.insert(facts.end(), some.facts.begin(), some.facts.end());
      from = some.next;
    });
  } while (from != 0 && facts.size() < detect::kPartedMax);
  std::vector<const detect::SignupFacts*> members;
  for (const detect::SignupFacts& one : facts) members.push_back(&one);
  std::vector<uint64_t> sizes;
  for (uint32_t part : detect::part_members(members)) {
    if (part >= sizes.size()) sizes.resize(part + 1, 0);
    ++sizes[part];
  }
  return sizes;
}

}  // namespace tamis::replay
