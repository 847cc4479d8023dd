// The rule that is proposed for a cluster: what nearly all of its members share and few others have.
//
// What a condition may be made of goes by what a column is. A way to make names is sought in names alone: the make of
// an address, a fingerprint or a cookie says nothing. Of an address its networks count, of a measure its range, and of
// what is a number and no measure (a network's number) its values.
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "archive/layout.h"
#include "event/ip.h"
#include "event/json_writer.h"
#include "policy/slot_names.h"
#include "replay/clusters.h"
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
constexpr double kShareLeast = 0.85;    // of the members, for which a condition holds
constexpr double kMembersLeast = 0.75;  // of the members, for which all conditions together hold
constexpr double kOthersMost = 0.1;     // others that may be hit, for each member
constexpr size_t kValuesMax = 12, kTextsMax = 2'000, kMembersToTell = 5, kRunsMax = 8;
constexpr size_t kMembersOfValue = 4;                     // members for each value of a list, on average
constexpr int64_t kLookBackMs = 7 * int64_t{86'400'000};  // others are counted so long before the end, or longer
constexpr double kValueLeast = 0.03;                      // of the members, that have a value of a list
constexpr std::string_view kTokenPrefix = "tok:";         // stands for a private value whose days are over

archive::QueryLimits limits() { return {kQueryMs, kRowsMax}; }

std::string between(int64_t first_ms, int64_t last_ms) {
  return "epoch_ms(time) BETWEEN " + std::to_string(first_ms - kSlackMs) + " AND " + std::to_string(last_ms + kSlackMs);
}

// Something that nearly all members share, as CEL and as SQL.
struct Clause {
  std::string cel, sql;
};

struct Counted {
  uint64_t members = 0, others = 0;
};

uint64_t number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); }

// The signups of the time that is looked at, and which of them are members.
struct Ground {
  const archive::Archive& archive;
  std::string table, when, is_member;

  base::Result<archive::Table> ask(const std::string& what, const std::string& more) const {
    return archive.query("SELECT " + what + " FROM " + table + " WHERE " + when + more, limits(), [] { return true; });
  }
  // Both sides in one pass.
  base::Result<Counted> count(const std::string& condition) const {
    TAMIS_TRY(found, ask("count(*) FILTER (" + is_member + "), count(*) FILTER (NOT " + is_member + ")",
                         condition.empty() ? "" : " AND " + condition));
    return Counted{number(found.rows[0][0]), number(found.rows[0][1])};
  }
};

std::string quoted(const std::string& text) {
  std::string out;
  event::JsonWriter(out).string(text);
  return out;
}

std::string no_token(const std::string& column) {
  return " AND NOT starts_with(" + column + ", " + sql_text(kTokenPrefix) + ")";
}

// One value, or a few, that members have and others have more rarely.
base::Result<std::optional<Clause>> values_of(const Ground& ground, const std::string& name, const std::string& column,
                                              bool is_text, uint64_t members, size_t values_max = kValuesMax) {
  TAMIS_TRY(found, ground.ask(column + ", count(*) FILTER (" + ground.is_member + ") AS m, count(*) AS a",
                              " AND " + column + " IS NOT NULL" + (is_text ? no_token(column) : "") +
                                  " GROUP BY 1 HAVING m > 0 ORDER BY m DESC, 1 LIMIT " + std::to_string(values_max)));
  std::string cel, sql;
  size_t values = 0;
  uint64_t covered = 0;
  for (const std::vector<std::string>& row : found.rows) {
    if (static_cast<double>(covered) >= kShareLeast * static_cast<double>(members)) break;
    if (static_cast<double>(number(row[1])) < kValueLeast * static_cast<double>(members)) break;
    covered += number(row[1]);
    cel += (values == 0 ? "" : ", ") + (is_text ? quoted(row[0]) : row[0]);
    sql += (values == 0 ? "" : ", ") + (is_text ? sql_text(row[0]) : row[0]);
    ++values;
  }
  // A list as long as the members are many says only who they were.
  const bool is_roll = values > 1 && kMembersOfValue * values > members;
  if (is_roll || static_cast<double>(covered) < kShareLeast * static_cast<double>(members)) {
    return std::optional<Clause>();
  }
  if (values == 1) return std::optional(Clause{name + " == " + cel, column + " = " + sql});
  return std::optional(Clause{name + " in [" + cel + "]", column + " IN (" + sql + ")"});
}

// From where to where nearly all members lie.
base::Result<std::optional<Clause>> range_of(const Ground& ground, const std::string& name, const std::string& column,
                                             uint64_t members) {
  TAMIS_TRY(found, ground.ask("count(*), quantile_disc(" + column + ", 0.02), quantile_disc(" + column + ", 0.98)",
                              " AND " + column + " IS NOT NULL AND " + ground.is_member));
  const std::vector<std::string>& row = found.rows[0];
  if (static_cast<double>(number(row[0])) < kShareLeast * static_cast<double>(members)) return std::optional<Clause>();
  return std::optional(Clause{name + " >= " + row[1] + " && " + name + " <= " + row[2],
                              column + " BETWEEN " + row[1] + " AND " + row[2]});
}

// The networks that nearly all members come from, of this size; for IPv6 others, as the attribute says.
struct NetworkSize {
  std::string_view attribute;
  int v4, v6;
};

base::Result<std::optional<Clause>> networks_of(const Ground& ground, const std::string& name,
                                                const std::string& column, const NetworkSize& size, uint64_t members) {
  TAMIS_TRY(found, ground.ask(column + ", count(*) FILTER (" + ground.is_member + ")",
                              " AND " + column + " IS NOT NULL" + no_token(column) + " GROUP BY 1 ORDER BY 1"));
  struct Network {
    uint64_t members = 0;
    std::vector<std::string> addresses;
  };
  std::map<std::string, Network> networks;
  for (const std::vector<std::string>& row : found.rows) {
    event::IpData ip;
    if (!event::parse_ip(row[0], ip)) continue;
    char text[event::kIpTextBytesMax];
    Network& network =
        networks[std::string(event::format_cidr(event::mask_ip(ip, ip.is_v6 ? size.v6 : size.v4), text))];
    network.members += number(row[1]);
    network.addresses.push_back(row[0]);
  }
  std::vector<const std::pair<const std::string, Network>*> largest;
  for (const auto& network : networks) largest.push_back(&network);
  std::stable_sort(largest.begin(), largest.end(),
                   [](const auto* a, const auto* b) { return a->second.members > b->second.members; });
  std::string cel, sql;
  size_t count = 0;
  uint64_t covered = 0;
  for (const auto* network : largest) {
    const auto has = static_cast<double>(network->second.members), all = static_cast<double>(members);
    if (count == kValuesMax || static_cast<double>(covered) >= kShareLeast * all || has < kValueLeast * all) break;
    covered += network->second.members;
    cel += (count == 0 ? "" : ", ") + quoted(network->first);
    for (const std::string& address : network->second.addresses) sql += (sql.empty() ? "" : ", ") + sql_text(address);
    ++count;
  }
  const bool is_roll = count > 1 && kMembersOfValue * count > members;
  if (is_roll || static_cast<double>(covered) < kShareLeast * static_cast<double>(members)) {
    return std::optional<Clause>();
  }
  const std::string of = name + "." + std::string(size.attribute);
  return std::optional(Clause{count == 1 ? of + " == " + cel : of + " in [" + cel + "]", column + " IN (" + sql + ")"});
}

char kind_of(char c) { return c >= 'a' && c <= 'z' ? 'a' : c >= '0' && c <= '9' ? '0' : c; }

// What a text is made of, in turn: runs of letters or digits, other characters one by one.
std::vector<std::pair<char, size_t>> runs_of(const std::string& text) {
  std::vector<std::pair<char, size_t>> runs;
  for (char c : text) {
    const char kind = kind_of(c);
    if (runs.empty() || runs.back().first != kind || (kind != 'a' && kind != '0')) runs.emplace_back(kind, 0);
    ++runs.back().second;
  }
  return runs;
}

// A way to make names: the regular expression for the commonest make of the members' texts.
base::Result<std::optional<Clause>> make_of(const Ground& ground, const std::string& name, const std::string& column,
                                            uint64_t members) {
  TAMIS_TRY(found, ground.ask(column, " AND " + column + " IS NOT NULL AND " + ground.is_member + " ORDER BY n LIMIT " +
                                          std::to_string(kTextsMax)));
  struct Make {
    size_t texts = 0;
    std::vector<std::pair<size_t, size_t>> lengths;  // of each run, from and to
  };
  std::map<std::string, Make> makes;
  for (const std::vector<std::string>& row : found.rows) {
    const auto runs = runs_of(row[0]);
    if (runs.empty() || runs.size() > kRunsMax) continue;
    std::string kinds;
    for (const auto& run : runs) kinds += run.first;
    Make& make = makes[kinds];
    make.lengths.resize(runs.size(), {SIZE_MAX, 0});
    for (size_t run = 0; run < runs.size(); ++run) {
      auto& [least, most] = make.lengths[run];
      least = std::min(least, runs[run].second);
      most = std::max(most, runs[run].second);
    }
    ++make.texts;
  }
  const auto most = std::max_element(makes.begin(), makes.end(),
                                     [](const auto& a, const auto& b) { return a.second.texts < b.second.texts; });
  if (most == makes.end() || most->second.texts < kMembersToTell) return std::optional<Clause>();
  if (static_cast<double>(most->second.texts) <
      kShareLeast * static_cast<double>(std::min<uint64_t>(members, kTextsMax))) {
    return std::optional<Clause>();
  }
  std::string regex = "^";
  for (size_t run = 0; run < most->first.size(); ++run) {
    const char kind = most->first[run];
    if (kind != 'a' && kind != '0') {
      if (std::string_view("._-+").find(kind) == std::string_view::npos) return std::optional<Clause>();
      regex += std::string("[") + kind + "]";
      continue;
    }
    const auto [least, longest] = most->second.lengths[run];
    regex += kind == 'a' ? "[a-z]" : "[0-9]";
    if (longest == 1) continue;
    regex += "{" + std::to_string(least) + (least == longest ? "" : "," + std::to_string(longest)) + "}";
  }
  regex += "$";
  return std::optional(
      Clause{name + ".matches(" + quoted(regex) + ")", "regexp_matches(" + column + ", " + sql_text(regex) + ")"});
}

// What a column of the signups is, as far as it may be a condition.
enum class Kind : uint8_t { kValue, kName, kMeasure, kAddress };

Kind column_kind(const policy::EventType& type, const archive::ColumnSpec& spec) {
  const std::vector<std::string> names = policy::slot_names(type);
  const auto at = static_cast<int32_t>(std::find(names.begin(), names.end(), spec.name) - names.begin());
  const auto& fields = type.schema.fields;
  if (static_cast<size_t>(at) < fields.size() && fields[static_cast<size_t>(at)].semantic == event::Semantic::kIp) {
    return Kind::kAddress;
  }
  for (const event::Derived& derived : type.schema.derived) {
    if (derived.slot == at) return Kind::kValue;
  }
  const auto reads = [&](DetectorInput wanted) {
    for (const policy::DetectorFeed& feed : type.feeds) {
      for (const auto& [input, node] : feed.inputs) {
        if (input != wanted) continue;
        const std::vector<int32_t> slots = type.plan.slots_read(node);
        if (std::find(slots.begin(), slots.end(), at) != slots.end()) return true;
      }
    }
    return false;
  };
  if (spec.type == archive::ColumnType::kString) return reads(DetectorInput::kLocal) ? Kind::kName : Kind::kValue;
  return spec.entity.empty() && !reads(DetectorInput::kAsn) ? Kind::kMeasure : Kind::kValue;
}

// The conditions that a column gives: few at most.
base::Status add_conditions(const Ground& ground, const policy::EventType& type, const archive::ColumnSpec& spec,
                            uint64_t members, std::vector<Clause>& to) {
  const std::string column = sql_name(spec.column);
  const bool is_text = spec.type == archive::ColumnType::kString;
  const Kind kind = column_kind(type, spec);
  TAMIS_TRY(values, values_of(ground, spec.name, column, is_text, members, kind == Kind::kMeasure ? 1 : kValuesMax));
  if (values) to.push_back(*values);
  if (values && kind != Kind::kAddress) return {};
  if (kind == Kind::kName) {
    TAMIS_TRY(make, make_of(ground, spec.name, column, members));
    if (make) to.push_back(*make);
  } else if (kind == Kind::kMeasure) {
    TAMIS_TRY(range, range_of(ground, spec.name, column, members));
    if (range) to.push_back(*range);
  } else if (kind == Kind::kAddress) {
    for (const NetworkSize& size : {NetworkSize{"net24", 24, 56}, NetworkSize{"net16", 16, 48}}) {
      TAMIS_TRY(networks, networks_of(ground, spec.name, column, size, members));
      if (networks) to.push_back(*networks);
    }
  }
  return {};
}

}  // namespace

base::Result<ProposedRule> propose_rule(const policy::Policy& policy, const archive::Archive& archive, uint64_t id,
                                        int64_t first_ms, int64_t last_ms, const ClusterMembers& members) {
  TAMIS_TRY(signup, signup_column(policy));
  if (members.named.empty()) return base::fail(base::Code::kNotFound, "the archive has none of its members any more");
  // A burst of minutes has few others beside it: what it shares is compared with a week.
  const std::string table = sql_name(signup.type->schema.name),
                    when = between(std::min(first_ms, last_ms - kLookBackMs), last_ms);
  std::string in = sql_name(signup.account) + " IN (";
  for (size_t i = 0; i < members.named.size() && i < kNamesInSqlMax; ++i) {
    in += (i == 0 ? "" : ", ") + sql_text(members.named[i].account);
  }
  const Ground ground{archive, table, when, "coalesce(" + in + "), false)"};
  TAMIS_TRY(totals, ground.count(""));
  ProposedRule out;
  out.id = "cluster-" + std::to_string(id);
  out.all_members = totals.members;
  out.all_others = totals.others;
  if (out.all_members < kMembersToTell) {
    return base::fail(base::Code::kNotFound,
                      "it has " + std::to_string(out.all_members) +
                          " members: too few to tell what they share from chance. Label them instead");
  }
  std::vector<Clause> candidates;
  const archive::TypeLayout layout = archive::layout_of(policy, *signup.type);
  for (size_t i = archive::kSystemColumns; i < layout.feature_from && out.all_members > 0; ++i) {
    const archive::ColumnSpec& spec = layout.layout.columns[i];
    const bool is_known = spec.type == archive::ColumnType::kString || spec.type == archive::ColumnType::kInt;
    if (!is_known || spec.dropped || spec.name == signup.account) continue;
    TAMIS_CHECK(add_conditions(ground, *signup.type, spec, out.all_members, candidates));
  }
  // One after the other, what leaves fewest others and yet most members.
  std::string sql;
  Counted now = totals;
  for (size_t clauses = 0; clauses < kClausesMax && !candidates.empty(); ++clauses) {
    size_t best = candidates.size();
    Counted then = now;
    for (size_t i = 0; i < candidates.size(); ++i) {
      TAMIS_TRY(with, ground.count((sql.empty() ? "" : sql + " AND ") + candidates[i].sql));
      if (static_cast<double>(with.members) < kMembersLeast * static_cast<double>(out.all_members)) continue;
      if (with.others < then.others) best = i, then = with;
    }
    // A third and fourth condition only where it halves what is hit besides.
    if (best == candidates.size() || (clauses >= 2 && 2 * then.others > now.others)) break;
    out.when += (out.when.empty() ? "" : " && ") + candidates[best].cel;
    sql += (sql.empty() ? "" : " AND ") + candidates[best].sql;
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(best));
    now = then;
  }
  out.members = now.members;
  out.others = now.others;
  if (out.when.empty() || static_cast<double>(out.others) > kOthersMost * static_cast<double>(out.members)) {
    return base::fail(base::Code::kNotFound, "what its members share others have as well: the best condition, " +
                                                 (out.when.empty() ? std::string("none") : out.when) + ", would hit " +
                                                 std::to_string(out.others) + " other signups beside " +
                                                 std::to_string(out.members) + " members. Label the members instead");
  }
  const std::vector<std::string>& ladder = signup.type->ladder;
  out.yaml = "rules:\n  - id: " + out.id + "\n    on: " + signup.type->schema.name + "\n    when: |\n      " +
             out.when + "\n    then: {verdict: " + ladder[std::min<size_t>(1, ladder.size() - 1)] +
             "}\n    reason: of the kind of cluster " + std::to_string(id) + "\n    mode: shadow\n";
  return out;
}

}  // namespace tamis::replay
