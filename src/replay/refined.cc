#include "replay/refined.h"

#include <algorithm>
#include <array>
#include <map>

#include "detect/signup_parts.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "replay/stored.h"

namespace tamis::replay {
namespace {

constexpr uint64_t kSuspiciousMax = 1'000;
constexpr double kNearlyAll = 0.8, kNearlyNone = 0.2;
constexpr size_t kPageMembers = 256;
constexpr archive::QueryLimits kLimits = {30'000, kSuspiciousMax};

// Attributes that a part is told by, as the page of a cluster calls them.
struct Told {
  detect::Attribute attribute;
  std::string_view name;
};
constexpr std::array<Told, 8> kTold = {{{detect::kShape, "name_shape"},
                                        {detect::kHardware, "hardware"},
                                        {detect::kAgent, "user_agent"},
                                        {detect::kDevice, "device"},
                                        {detect::kAsn, "provider"},
                                        {detect::kLocale, "locale"},
                                        {detect::kRecovery, "recovery_domain"},
                                        {detect::kForm, "form"}}};

uint64_t number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); }

// How many of these have the commonest value of the part, and which it is.
struct Common {
  uint32_t value = 0;
  double share = 0;
};
Common commonest(const PartedMembers& all, uint32_t part, detect::Attribute attribute, double members) {
  std::map<uint32_t, uint64_t> counts;
  for (size_t i = 0; i < all.facts.size(); ++i) {
    if (all.part[i] == part && all.facts[i].value[attribute] != 0) ++counts[all.facts[i].value[attribute]];
  }
  Common most;
  for (const auto& [value, count] : counts) {
    const double share = static_cast<double>(count) / members;
    if (share > most.share) most = {value, share};
  }
  return most;
}

std::string shares_of(const PartedMembers& all, uint32_t part, double members) {
  std::string shares;
  const double others = static_cast<double>(all.facts.size()) - members;
  for (const Told& told : kTold) {
    const Common common = commonest(all, part, told.attribute, members);
    if (common.share < kNearlyAll) continue;
    uint64_t elsewhere = 0;
    for (size_t i = 0; i < all.facts.size(); ++i) {
      elsewhere += all.part[i] != part && all.facts[i].value[told.attribute] == common.value;
    }
    if (others > 0 && static_cast<double>(elsewhere) > kNearlyNone * others) continue;
    shares += (shares.empty() ? "" : ", ") + std::string(told.name);
  }
  return shares;
}

std::vector<int64_t> times_of(std::string_view text) {
  std::vector<int64_t> times;
  while (!text.empty() && times.size() < kSeenMax) {
    const size_t end = std::min(text.find(' '), text.size());
    times.push_back(std::strtoll(std::string(text.substr(0, end)).c_str(), nullptr, 10));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return times;
}

void put_time(const event::EventSchema& schema, int64_t time_ms, event::JsonWriter& json) {
  switch (schema.time_format) {
    case event::TimeFormat::kMillis:
      json.integer(time_ms);
      break;
    case event::TimeFormat::kSeconds:
      json.real(static_cast<double>(time_ms) / 1000);
      break;
    case event::TimeFormat::kMicros:
      json.integer(time_ms * 1000);
      break;
    default:
      json.string(event::format_time_ms(time_ms));
  }
}

// Id and time where the schema has them, which may be in one object below others: {"head":{"id":...,"t":...}}.
void put_head(const event::EventSchema& schema, std::string_view id, int64_t time_ms, event::JsonWriter& json) {
  const std::vector<std::string>&a = schema.id_path, &b = schema.time_path;
  size_t common = 0;
  while (common + 1 < a.size() && common + 1 < b.size() && a[common] == b[common]) ++common;
  for (size_t i = 0; i < common; ++i) json.key(a[i]).begin_object();
  for (const std::vector<std::string>* path : {&a, &b}) {
    for (size_t i = common; i + 1 < path->size(); ++i) json.key((*path)[i]).begin_object();
    json.key(path->back());
    path == &a ? (json.string(id), void()) : put_time(schema, time_ms, json);
    for (size_t i = common; i + 1 < path->size(); ++i) json.end_object();
  }
  for (size_t i = 0; i < common; ++i) json.end_object();
}

}  // namespace

uint64_t FoundParts::size() const {
  uint64_t sum = 0;
  for (const FoundPart& part : parts) sum += part.size;
  return sum;
}

std::vector<detect::SignupFacts> member_facts(const DataFolder::WithEngine& with_engine, uint64_t id, size_t most) {
  std::vector<detect::SignupFacts> facts;
  uint64_t from = 0;
  do {
    with_engine([&](engine::Engine& engine) {
      const detect::SignupClusters* clusters = engine.clusters();
      const detect::MemberPage some =
          clusters == nullptr ? detect::MemberPage() : clusters->members(id, from, kPageMembers);
      facts.insert(facts.end(), some.facts.begin(), some.facts.end());
      from = some.next;
    });
  } while (from != 0 && facts.size() < detect::kPartedMax);
  if (facts.size() > most) {
    for (size_t i = 0; i < most; ++i) facts[i] = facts[i * facts.size() / most];
    facts.resize(most);
  }
  return facts;
}

PartedMembers part(std::vector<detect::SignupFacts> facts) {
  PartedMembers out;
  out.facts = std::move(facts);
  std::vector<const detect::SignupFacts*> members;
  for (const detect::SignupFacts& one : out.facts) members.push_back(&one);
  out.part = detect::part_members(members);
  return out;
}

FoundParts describe(const PartedMembers& parted) {
  FoundParts found;
  for (size_t i = 0; i < parted.facts.size(); ++i) {
    if (parted.part[i] >= found.parts.size()) found.parts.resize(parted.part[i] + 1);
    FoundPart& part = found.parts[parted.part[i]];
    const int64_t t_ms = parted.facts[i].t_ms;
    part.first_ms = part.size == 0 ? t_ms : std::min(part.first_ms, t_ms);
    ++part.size;
  }
  for (uint32_t p = 0; p < found.parts.size(); ++p) {
    FoundPart& part = found.parts[p];
    part.shares = shares_of(parted, p, static_cast<double>(part.size));
    // Spread over its life: the oldest may be gone by the time that it is asked for.
    uint64_t nth = 0;
    for (size_t i = 0; i < parted.facts.size(); ++i) {
      if (parted.part[i] != p) continue;
      const size_t wanted = part.seen.size() * part.size / kSeenMax;
      if (nth++ >= wanted && part.seen.size() < kSeenMax) part.seen.push_back(parted.facts[i].t_ms);
    }
  }
  return found;
}

std::vector<std::optional<uint32_t>> find_again(const FoundParts& told, const PartedMembers& now) {
  std::vector<std::optional<uint32_t>> places;
  std::map<uint32_t, size_t> taken;
  for (const FoundPart& part : told.parts) {
    std::map<uint32_t, size_t> votes;
    size_t all = 0;
    for (size_t i = 0; i < now.facts.size(); ++i) {
      if (std::find(part.seen.begin(), part.seen.end(), now.facts[i].t_ms) == part.seen.end()) continue;
      ++votes[now.part[i]];
      ++all;
    }
    const auto most =
        std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    const bool is_clear = most != votes.end() && 3 * most->second > 2 * all;
    places.push_back(is_clear ? std::optional(most->first) : std::nullopt);
    if (is_clear) ++taken[most->first];
  }
  // Two parts that are one by now are not told apart any more.
  for (auto& place : places) {
    if (place && taken[*place] > 1) place.reset();
  }
  return places;
}

std::optional<RefinedColumns> refined_columns(const policy::Policy& policy) {
  RefinedColumns out;
  out.type = policy.find_type("finding");
  if (out.type == nullptr) return std::nullopt;
  out.table = sql_name(out.type->schema.name);
  const std::pair<std::string_view, std::string*> wanted[] = {
      {"finding", &out.finding},       {"cluster", &out.cluster}, {"size", &out.size},
      {"actionable", &out.actionable}, {"parts", &out.parts},     {"part", &out.part},
      {"shares", &out.shares},         {"seen", &out.seen},       {"cause", &out.cause}};
  for (const auto& [name, column] : wanted) {
    for (const event::Field& field : out.type->schema.fields) {
      if (field.path.size() == 1 && field.path[0] == name) *column = sql_name(field.name);
    }
    if (column->empty()) return std::nullopt;
  }
  return out;
}

base::Result<std::optional<FoundParts>> told_parts(const policy::Policy& policy, const archive::Archive& archive,
                                                   uint64_t id) {
  const auto columns = refined_columns(policy);
  if (!columns) return std::optional<FoundParts>();
  const RefinedColumns& c = *columns;
  auto go_on = [] { return true; };
  TAMIS_TRY(looks,
            archive.query("SELECT id, " + c.parts + " FROM " + c.table + " WHERE " + c.finding + " = 'split' AND " +
                              c.cluster + " = " + std::to_string(id) + " ORDER BY n DESC LIMIT 4",
                          kLimits, go_on));
  for (const std::vector<std::string>& look : looks.rows) {
    TAMIS_TRY(parts, archive.query("SELECT " + c.size + ", " + c.shares + ", " + c.seen + " FROM " + c.table +
                                       " WHERE " + c.finding + " = 'part' AND " + c.cause + " = " + sql_text(look[0]) +
                                       " ORDER BY " + c.part,
                                   kLimits, go_on));
    // A crash may have come between two of them.
    if (parts.rows.size() != number(look[1])) continue;
    FoundParts told;
    told.look = look[0];
    for (const std::vector<std::string>& row : parts.rows) {
      FoundPart part;
      part.size = static_cast<uint64_t>(std::strtod(row[0].c_str(), nullptr));
      part.shares = row[1];
      part.seen = times_of(row[2]);
      told.parts.push_back(std::move(part));
    }
    return std::optional(std::move(told));
  }
  return std::optional<FoundParts>();
}

base::Result<std::unordered_set<uint64_t>> part_accounts(const policy::Policy& policy, const archive::Archive& archive,
                                                         const DataFolder::WithEngine& with_engine, uint64_t id,
                                                         size_t part_number) {
  const std::string cluster = "cluster " + std::to_string(id);
  TAMIS_TRY(told, told_parts(policy, archive, id));
  if (!told || told->parts.size() < 2)
    return base::fail(base::Code::kNotFound, "no campaigns were told apart in " + cluster +
                                                 ": a server looks every --refine-seconds, and its page shows what it "
                                                 "told. Without a part all members are meant");
  if (part_number >= told->parts.size()) {
    return base::fail(base::Code::kNotFound, cluster + " has the parts 0 to " + std::to_string(told->parts.size() - 1));
  }
  const PartedMembers now = part(member_facts(with_engine, id, detect::kPartedMax));
  const std::optional<uint32_t> place = find_again(*told, now)[part_number];
  if (!place) {
    return base::fail(base::Code::kNotFound, "part " + std::to_string(part_number) + " of " + cluster +
                                                 " is not to be told from its other members any more");
  }
  std::unordered_set<uint64_t> accounts;
  for (size_t i = 0; i < now.facts.size(); ++i) {
    if (now.part[i] == *place) accounts.insert(now.facts[i].account);
  }
  return accounts;
}

base::Result<std::vector<uint64_t>> suspicious_clusters(const policy::Policy& policy, const archive::Archive& archive,
                                                        uint64_t& after) {
  std::vector<uint64_t> found;
  const auto columns = refined_columns(policy);
  if (!columns) return found;
  const RefinedColumns& c = *columns;
  TAMIS_TRY(rows, archive.query("SELECT " + c.cluster + ", max(n) FROM " + c.table + " WHERE n > " +
                                    std::to_string(after) + " AND " + c.actionable + " AND " + c.finding +
                                    " IN ('found', 'grown', 'actionable') AND " + c.cluster +
                                    " IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT " + std::to_string(kSuspiciousMax),
                                kLimits, [] { return true; }));
  for (const std::vector<std::string>& row : rows.rows) {
    found.push_back(number(row[0]));
    after = std::max(after, number(row[1]));
  }
  return found;
}

std::vector<std::string> finding_events(const policy::EventType& type, const detect::ClusterFacts& cluster,
                                        const FoundParts& found, int64_t time_ms) {
  std::vector<std::string> events;
  auto begin = [&](const std::string& id, std::string_view finding, uint64_t number_of, event::JsonWriter& json) {
    json.begin_object();
    put_head(type.schema, id, time_ms, json);
    json.key("finding").string(finding).key("cluster").uinteger(number_of).key("score").real(cluster.score);
    json.key("actionable").boolean(cluster.acted_ms != 0).key("parts").uinteger(found.parts.size());
  };
  {
    event::JsonWriter json(events.emplace_back());
    begin(found.look, "split", cluster.id, json);
    json.key("size").real(cluster.members).end_object();
  }
  for (size_t k = 0; k < found.parts.size(); ++k) {
    const FoundPart& part = found.parts[k];
    std::string seen;
    for (int64_t t_ms : part.seen) seen += (seen.empty() ? "" : " ") + std::to_string(t_ms);
    event::JsonWriter json(events.emplace_back());
    begin(found.look + "." + std::to_string(k), "part", cluster.id + k * detect::ClusterParts::kPartNumbers, json);
    json.key("size").real(static_cast<double>(part.size)).key("part").uinteger(k).key("whole").uinteger(cluster.id);
    json.key("shares").string(part.shares).key("seen").string(seen).key("cause").string(found.look);
    json.key("first").string(event::format_time_ms(part.first_ms)).end_object();
  }
  return events;
}

}  // namespace tamis::replay
