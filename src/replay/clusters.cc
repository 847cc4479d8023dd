#include "replay/clusters.h"

#include <algorithm>
#include <unordered_map>

#include "archive/layout.h"
#include "event/json_writer.h"
#include "replay/stored.h"

namespace tamis::replay {

using policy::DetectorInput;
using policy::DetectorPart;

namespace {

constexpr uint64_t kRowsMax = 2'000'000;
constexpr int64_t kQueryMs = 120'000;
constexpr int64_t kSlackMs = 1000;  // the archive's time is the event's, the detector's that of the fold
constexpr size_t kNamesInSqlMax = 5'000;
constexpr size_t kClausesMax = 4;
constexpr double kShareLeast = 0.85, kLiftLeast = 3;

archive::QueryLimits limits() { return {kQueryMs, kRowsMax}; }

std::string between(int64_t first_ms, int64_t last_ms) {
  return "epoch_ms(time) BETWEEN " + std::to_string(first_ms - kSlackMs) + " AND " + std::to_string(last_ms + kSlackMs);
}

base::Error no_cluster(uint64_t id) {
  return {base::Code::kNotFound, "there is no cluster " + std::to_string(id) + " any more"};
}

// Something that members may share: a column with a name that expressions can read.
struct Candidate {
  std::string name, column;
  bool is_text = true;
  std::string value;
  uint64_t members = 0, others = 0;
  double lift = 0;
};

// The commonest value of the column among the members, and how many of all have it.
base::Result<bool> measure(const archive::Archive& archive, const std::string& table, const std::string& when,
                           const std::string& members, Candidate& candidate) {
  const std::string column = sql_name(candidate.column);
  TAMIS_TRY(found, archive.query("SELECT " + column + ", count(*) FILTER (" + members +
                                     ") AS m, count(*) FILTER (NOT " + members + ") FROM " + table + " WHERE " + when +
                                     " AND " + column + " IS NOT NULL GROUP BY 1 ORDER BY m DESC LIMIT 1",
                                 limits(), [] { return true; }));
  if (found.rows.empty()) return false;
  candidate.value = found.rows[0][0];
  candidate.members = std::strtoull(found.rows[0][1].c_str(), nullptr, 10);
  candidate.others = std::strtoull(found.rows[0][2].c_str(), nullptr, 10);
  return true;
}

std::string cel_of(const Candidate& c) {
  if (!c.is_text) return c.name + " == " + c.value;
  std::string quoted;
  event::JsonWriter(quoted).string(c.value);
  return c.name + " == " + quoted;
}

std::string sql_of(const Candidate& c) {
  return sql_name(c.column) + " = " + (c.is_text ? sql_text(c.value) : c.value);
}

}  // namespace

base::Result<SignupColumn> signup_column(const policy::Policy& policy) {
  for (const policy::EventType& type : policy.types) {
    const std::vector<std::string> names = slot_names(type);
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
  std::unordered_map<uint64_t, detect::ClusterMember> members;
  int64_t first_ms = page.facts.first_ms, last_ms = page.facts.last_ms;
  uint64_t from = 0;
  do {
    detect::MemberPage some;
    with_engine([&](engine::Engine& engine) {
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
    auto member = members.find(detect::account_key(row[0]));
    if (member == members.end()) continue;
    out.named.push_back({row[0], member->second});
    members.erase(member);
  }
  out.unnamed = members.size();
  return out;
}

base::Result<ProposedRule> propose_rule(const policy::Policy& policy, const archive::Archive& archive, uint64_t id,
                                        int64_t first_ms, int64_t last_ms, const ClusterMembers& members) {
  TAMIS_TRY(signup, signup_column(policy));
  if (members.named.empty()) return base::fail(base::Code::kNotFound, "the archive has none of its members any more");
  const std::string table = sql_name(signup.type->schema.name), when = between(first_ms, last_ms);
  std::string in = sql_name(signup.account) + " IN (";
  for (size_t i = 0; i < members.named.size() && i < kNamesInSqlMax; ++i) {
    in += (i == 0 ? "" : ", ") + sql_text(members.named[i].account);
  }
  in += ")";
  // Not `WHERE`: both sides are counted in one pass.
  const std::string is_member = "coalesce(" + in + ", false)";
  TAMIS_TRY(totals, archive.query("SELECT count(*) FILTER (" + is_member + "), count(*) FILTER (NOT " + is_member +
                                      ") FROM " + table + " WHERE " + when,
                                  limits(), [] { return true; }));
  ProposedRule out;
  out.id = "cluster-" + std::to_string(id);
  out.all_members = std::strtoull(totals.rows[0][0].c_str(), nullptr, 10);
  out.all_others = std::strtoull(totals.rows[0][1].c_str(), nullptr, 10);
  std::vector<Candidate> good;
  const archive::TypeLayout layout = archive::layout_of(policy, *signup.type);
  for (size_t i = archive::kSystemColumns; i < layout.feature_from; ++i) {
    const archive::ColumnSpec& spec = layout.layout.columns[i];
    const bool is_text = spec.type == archive::ColumnType::kString, is_int = spec.type == archive::ColumnType::kInt;
    if ((!is_text && !is_int) || spec.name == signup.account) continue;
    Candidate candidate{spec.name, spec.column, is_text, {}, 0, 0, 0};
    TAMIS_TRY(known, measure(archive, table, when, is_member, candidate));
    if (!known || out.all_members == 0) continue;
    const double share = static_cast<double>(candidate.members) / static_cast<double>(out.all_members);
    const double among = (static_cast<double>(candidate.others) + 1) / (static_cast<double>(out.all_others) + 2);
    candidate.lift = share / among;
    if (share >= kShareLeast && candidate.lift >= kLiftLeast) good.push_back(candidate);
  }
  if (good.empty()) {
    return base::fail(
        base::Code::kNotFound,
        "its members share no value of a field that others do not have as well: label the members instead");
  }
  std::sort(good.begin(), good.end(), [](const Candidate& a, const Candidate& b) {
    return a.lift != b.lift ? a.lift > b.lift : a.name < b.name;
  });
  good.resize(std::min(good.size(), kClausesMax));
  std::string sql;
  for (const Candidate& c : good) {
    out.when += (out.when.empty() ? "" : " && ") + cel_of(c);
    sql += (sql.empty() ? "" : " AND ") + sql_of(c);
  }
  TAMIS_TRY(hits, archive.query("SELECT count(*) FILTER (" + is_member + "), count(*) FILTER (NOT " + is_member +
                                    ") FROM " + table + " WHERE " + when + " AND " + sql,
                                limits(), [] { return true; }));
  out.members = std::strtoull(hits.rows[0][0].c_str(), nullptr, 10);
  out.others = std::strtoull(hits.rows[0][1].c_str(), nullptr, 10);
  const std::vector<std::string>& ladder = signup.type->ladder;
  out.yaml = "rules:\n  - id: " + out.id + "\n    on: " + signup.type->schema.name + "\n    when: |\n      " +
             out.when + "\n    then: {verdict: " + ladder[std::min<size_t>(1, ladder.size() - 1)] +
             "}\n    reason: of the kind of cluster " + std::to_string(id) + "\n    mode: shadow\n";
  return out;
}

}  // namespace tamis::replay
