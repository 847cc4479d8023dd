#include "replay/standing.h"

#include <algorithm>
#include <iterator>

#include "archive/layout.h"
#include "base/text.h"
#include "event/derive.h"
#include "event/ip.h"
#include "replay/stored.h"

namespace tamis::replay {
namespace {

using engine::Engine;

constexpr std::string_view kEventKind = "event:";
constexpr std::string_view kRuleAuthor = "rule:";
constexpr std::string_view kAccount = "account";

bool is_event(std::string_view on) { return on.substr(0, kEventKind.size()) == kEventKind; }

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

const policy::Rule* find_rule(const policy::Policy& policy, std::string_view id) {
  for (const policy::EventType& type : policy.types) {
    for (const policy::Rule& rule : type.rules) {
      if (rule.id == id) return &rule;
    }
  }
  return nullptr;
}

std::string say_of(const policy::Policy& policy, std::string_view author) {
  if (author.substr(0, kRuleAuthor.size()) != kRuleAuthor) return {};
  const policy::Rule* rule = find_rule(policy, author.substr(kRuleAuthor.size()));
  return rule == nullptr ? std::string() : rule->say;
}

// What the entity is part of, by the attributes that the policy computes of its field: (kind, value), each once.
std::vector<std::pair<std::string, std::string>> whole_of(const policy::Policy& policy, std::string_view on,
                                                          const std::string& value) {
  std::vector<std::pair<std::string, std::string>> found;
  base::Arena arena;
  for (const policy::EventType& type : policy.types) {
    for (size_t f = 0; f < type.schema.fields.size(); ++f) {
      if (type.schema.fields[f].entity != on) continue;
      std::vector<event::Value> slots(static_cast<size_t>(type.slot_count));
      slots[f] = event::Value::string(value);
      event::Event event;
      event.schema = &type.schema;
      event.slots = slots;
      event::derive(event, nullptr, arena);
      for (const policy::EntityField& entity : type.entities) {
        const event::Value v = slots[static_cast<size_t>(entity.slot)];
        if (static_cast<size_t>(entity.slot) == f || !v.is(event::Kind::kString) || v.str().empty()) continue;
        std::pair<std::string, std::string> whole(entity.kind, v.str());
        if (std::find(found.begin(), found.end(), whole) == found.end()) found.push_back(std::move(whole));
      }
    }
  }
  return found;
}

Mark mark_of(const policy::Policy& policy, std::string on, std::string value, const state::Label& label) {
  Mark mark;
  mark.on = std::move(on);
  mark.value = std::move(value);
  mark.name = label.name;
  mark.by = label.author;
  mark.reason = label.reason;
  mark.say = say_of(policy, label.author);
  mark.since_ms = label.since_ms;
  mark.expires_ms = label.expires_ms;
  return mark;
}

Mark mark_of(const policy::Policy& policy, std::string on, const Engine::ListMatch& match) {
  Mark mark;
  mark.on = std::move(on);
  mark.value = match.entry.value;
  mark.list = match.list;
  mark.of_policy = match.of_policy;
  mark.by = match.of_policy ? "policy" : match.entry.author;
  mark.reason = match.entry.note;
  mark.say = say_of(policy, match.entry.author);
  mark.since_ms = match.entry.since_ms;
  mark.expires_ms = match.entry.expires_ms;
  return mark;
}

// What the engine knows. Under its lock: a few look-ups.
void find_marks(const policy::Policy& policy, const Engine& engine,
                const std::vector<std::pair<std::string, std::string>>& whole, Standing& standing) {
  standing.now_ms = engine.now_ms() == INT64_MIN ? 0 : engine.now_ms();
  for (const state::Label& label : engine.labels(standing.on, standing.value)) {
    standing.labels.push_back(mark_of(policy, standing.on, standing.value, label));
  }
  if (is_event(standing.on)) return;
  for (const Engine::ListMatch& match : engine.list_matches(standing.value)) {
    standing.entries.push_back(mark_of(policy, standing.on, match));
  }
  for (const auto& [on, value] : whole) {
    for (const state::Label& label : engine.labels(on, value)) {
      standing.around.push_back(mark_of(policy, on, value, label));
    }
    for (const Engine::ListMatch& match : engine.list_matches(value)) {
      auto same = [&](const Mark& m) { return m.list == match.list && m.value == match.entry.value; };
      if (std::any_of(standing.entries.begin(), standing.entries.end(), same)) continue;
      if (std::any_of(standing.around.begin(), standing.around.end(), same)) continue;
      standing.around.push_back(mark_of(policy, on, match));
    }
  }
}

// The past, read from the archive.
class Past {
 public:
  Past(const policy::Policy& policy, const archive::Archive& archive, const WithEngine& with_engine,
       const StandingOptions& options, Standing& standing)
      : policy_(policy), archive_(archive), with_engine_(with_engine), options_(options), standing_(standing) {
    values_ = "(" + sql_text(standing.value);
    for (const std::string& key : options.day_keys) values_ += ", " + sql_text(archive::token_of(key, standing.value));
    values_ += ")";
  }

  base::Status find() {
    for (const policy::EventType& type : policy_.types) {
      const std::string where = condition(type);
      if (where.empty()) continue;
      TAMIS_CHECK(count(type, where));
      TAMIS_CHECK(find_decisions(type, where));
      if (!is_event(standing_.on)) TAMIS_CHECK(find_revisions(type, where));
    }
    std::stable_sort(standing_.decisions.begin(), standing_.decisions.end(),
                     [](const auto& a, const auto& b) { return a.time_ms > b.time_ms; });
    if (standing_.decisions.size() > options_.decisions_max) standing_.decisions.resize(options_.decisions_max);
    mark_revised();
    TAMIS_CHECK(find_acts());
    TAMIS_CHECK(find_settled());
    for (PastDecision& decision : standing_.decisions) {
      decision.is_over = decision.time_ms <= standing_.settled_ms || is_milder(decision);
    }
    return {};
  }

 private:
  base::Result<archive::Table> ask(const std::string& sql) const {
    archive::QueryLimits limits;
    limits.rows_max = 1'000;
    return archive_.query(sql, limits, [] { return true; });
  }

  static std::string table_name(const policy::EventType& type) { return sql_name(archive::table_of(type.schema.name)); }

  // SQL for the rows of the type that carry the entity; empty where it has no such column.
  std::string condition(const policy::EventType& type) const {
    const std::string text = sql_text(standing_.value);
    if (is_event(standing_.on)) {
      return standing_.on.substr(kEventKind.size()) == type.schema.name ? "id = " + text : std::string();
    }
    auto there = ask("SELECT * FROM " + table_name(type) + " LIMIT 0");
    if (!there) return {};  // no event of this type has come yet
    const archive::Layout layout = archive::layout_of(policy_, type).layout;
    std::string sql;
    for (const policy::EntityField& entity : type.entities) {
      if (entity.kind != standing_.on) continue;
      const archive::ColumnSpec* spec = layout.find(entity.name);  // it may be called otherwise than the field
      const std::string column = spec == nullptr ? entity.name : spec->column;
      auto same = [&](const archive::Table::Column& c) { return c.name == column; };
      auto found = std::find_if(there->columns.begin(), there->columns.end(), same);
      if (found == there->columns.end()) continue;
      std::string name = sql_name(column);
      if (found->type != "VARCHAR") name = "CAST(" + name + " AS VARCHAR)";
      sql += (sql.empty() ? "" : " OR ") + name + " IN " + values_;
    }
    return sql.empty() ? sql : "(" + sql + ")";
  }

  std::string window() const {
    if (is_event(standing_.on)) return {};
    return " AND epoch_ms(time) > " + std::to_string(standing_.now_ms - options_.window_ms);
  }
  static std::string harsh(const policy::EventType& type) {
    return "verdict IS NOT NULL AND verdict <> " + sql_text(type.ladder[0]);
  }

  base::Status count(const policy::EventType& type, const std::string& where) {
    TAMIS_TRY(table, ask("SELECT count(*), count(*) FILTER (" + harsh(type) + ") FROM " + table_name(type) + " WHERE " +
                         where + window()));
    standing_.events += std::strtoull(table.rows[0][0].c_str(), nullptr, 10);
    standing_.intervened += std::strtoull(table.rows[0][1].c_str(), nullptr, 10);
    return {};
  }

  base::Status find_decisions(const policy::EventType& type, const std::string& where) {
    const std::string only = is_event(standing_.on) ? "verdict IS NOT NULL" : harsh(type);
    TAMIS_TRY(table, ask("SELECT id, epoch_ms(time), verdict, points, score, policy, array_to_string(rules, chr(10)), "
                         "array_to_string(reasons, chr(10)) FROM " +
                         table_name(type) + " WHERE " + where + " AND " + only + window() + " ORDER BY n DESC LIMIT " +
                         std::to_string(options_.decisions_max)));
    for (const auto& row : table.rows) {
      PastDecision decision;
      decision.type = type.schema.name;
      decision.id = row[0];
      decision.time_ms = std::strtoll(row[1].c_str(), nullptr, 10);
      decision.verdict = row[2];
      decision.points = std::strtod(row[3].c_str(), nullptr);
      decision.score = std::strtod(row[4].c_str(), nullptr);
      decision.policy = row[5];
      decision.rules = lines_of(row[6]);
      decision.reasons = lines_of(row[7]);
      const int32_t verdict = type.place_of(decision.verdict);
      for (const std::string& id : decision.rules) {
        const policy::Rule* rule = find_rule(policy_, id);
        if (rule != nullptr && rule->speaks_of(verdict)) decision.say.push_back(rule->say);
      }
      standing_.decisions.push_back(std::move(decision));
    }
    return {};
  }

  // Events of the entity whose verdict somebody has revised: labels on "event:TYPE" that are in force.
  base::Status find_revisions(const policy::EventType& type, const std::string& where) {
    const std::string on = std::string(kEventKind) + type.schema.name;
    TAMIS_TRY(table, ask("SELECT DISTINCT id FROM " + table_name(type) + " WHERE " + where +
                         " AND id IN (SELECT value FROM acts WHERE kind = " + sql_text(on) +
                         " AND act LIKE 'label%') LIMIT " + std::to_string(options_.decisions_max)));
    with_engine_([&](Engine& engine) {
      for (const auto& row : table.rows) {
        for (const state::Label& label : engine.labels(on, row[0])) {
          standing_.revisions.push_back(mark_of(policy_, on, row[0], label));
        }
      }
    });
    return {};
  }

  void mark_revised() {
    with_engine_([&](Engine& engine) {
      for (PastDecision& decision : standing_.decisions) {
        int64_t newest_ms = INT64_MIN;
        for (const state::Label& label : engine.labels(std::string(kEventKind) + decision.type, decision.id)) {
          if (label.since_ms < newest_ms) continue;
          newest_ms = label.since_ms;
          decision.revised = label.name;
        }
      }
    });
  }

  base::Status find_acts() {
    TAMIS_TRY(table, ask("SELECT act, list, name, author, reason, batch, epoch_ms(time) FROM acts WHERE value IN " +
                         values_ + " AND (kind = " + sql_text(standing_.on) +
                         (is_event(standing_.on) ? "" : " OR (list IS NOT NULL AND list <> '')") +
                         ") ORDER BY n DESC LIMIT " + std::to_string(options_.acts_max)));
    bool taken_back = false;
    for (const auto& row : table.rows) {
      PastAct act{row[0], row[1], row[2], row[3], row[4], row[5], std::strtoll(row[6].c_str(), nullptr, 10)};
      if (act.act == "truth" && standing_.truth.empty()) {
        standing_.truth = act.name;
        standing_.truth_ms = act.time_ms;
      }
      taken_back = taken_back || act.act == "truth_clear";
      standing_.acts.push_back(std::move(act));
    }
    if (!taken_back && (!standing_.truth.empty() || standing_.acts.size() < options_.acts_max)) return {};
    standing_.truth.clear();
    TAMIS_TRY(truth, ask("SELECT label, epoch_ms(time) FROM truth WHERE kind = " + sql_text(standing_.on) +
                         " AND value = " + sql_text(standing_.value)));
    if (truth.rows.empty()) return {};
    standing_.truth = truth.rows[0][0];
    standing_.truth_ms = std::strtoll(truth.rows[0][1].c_str(), nullptr, 10);
    return {};
  }

  // The accounts that it is about: itself, or those that the event names.
  base::Result<std::vector<std::string>> accounts() const {
    if (standing_.on == kAccount) return std::vector{standing_.value};
    std::vector<std::string> accounts;
    if (!is_event(standing_.on)) return accounts;
    for (const policy::EventType& type : policy_.types) {
      const std::string where = condition(type);
      if (where.empty()) continue;
      const archive::Layout layout = archive::layout_of(policy_, type).layout;
      for (const policy::EntityField& entity : type.entities) {
        if (entity.kind != kAccount) continue;
        const archive::ColumnSpec* spec = layout.find(entity.name);
        auto table = ask("SELECT " + sql_name(spec == nullptr ? entity.name : spec->column) + " FROM " +
                         table_name(type) + " WHERE " + where + " LIMIT 1");
        if (table && !table->rows.empty() && !table->rows[0][0].empty()) accounts.push_back(table->rows[0][0]);
      }
    }
    return accounts;
  }

  base::Status find_settled() {
    TAMIS_TRY(accounts, this->accounts());
    std::string of = "(kind = " + sql_text(standing_.on) + " AND value = " + sql_text(standing_.value) + ")";
    for (const std::string& account : accounts) {
      of += " OR (kind = " + sql_text(kAccount) + " AND value = " + sql_text(account) + ")";
    }
    if (!is_event(standing_.on)) of += " OR (list <> '' AND value IN " + values_ + ")";
    TAMIS_TRY(taken_back,
              ask("SELECT max(epoch_ms(time)) FROM acts WHERE act IN ('label_clear', 'list_remove') AND (" + of + ")"));
    TAMIS_TRY(good, ask("SELECT max(epoch_ms(time)) FROM acts WHERE act = 'truth' AND name IN ('good', 'ham', 'legit') "
                        "AND (kind, value) IN (SELECT kind, value FROM truth WHERE label IN ('good', 'ham', 'legit')) "
                        "AND (" +
                        of + ")"));
    const auto time_in = [](const archive::Table& table) -> int64_t {
      return table.rows.empty() ? 0 : std::strtoll(table.rows[0][0].c_str(), nullptr, 10);
    };
    standing_.found_good_ms = time_in(good);
    bool is_marked = !standing_.entries.empty();
    with_engine_([&](Engine& engine) { is_marked = look_at(engine, accounts) || is_marked; });
    for (Mark& mark : standing_.labels) mark.is_over = is_over(mark.by, mark.since_ms);
    standing_.settled_ms = is_marked ? standing_.found_good_ms : std::max(standing_.found_good_ms, time_in(taken_back));
    return {};
  }

  // Whether something is in force still on the entity or its accounts; and when a cluster of theirs was refuted.
  bool look_at(Engine& engine, const std::vector<std::string>& accounts) {
    for (const std::string& account : accounts) {
      const auto known = engine.hindsight(account);
      if (!known || known->cluster == 0) continue;
      for (const state::Label& label : engine.labels("cluster", std::to_string(known->cluster))) {
        if (label.name != engine::kRefutedLabel) continue;
        standing_.found_good_ms = std::max(standing_.found_good_ms, label.since_ms);
      }
    }
    const auto stands = [&](std::string_view on, const std::string& value) {
      const std::vector<state::Label> labels = engine.labels(on, value);
      return std::any_of(labels.begin(), labels.end(),
                         [&](const state::Label& label) { return !is_over(label.author, label.since_ms); });
    };
    bool is_marked = !is_event(standing_.on) && stands(standing_.on, standing_.value);
    for (const std::string& account : accounts) is_marked = is_marked || stands(kAccount, account);
    return is_marked;
  }
  bool is_over(std::string_view by, int64_t since_ms) const {
    return by.starts_with(kRuleAuthor) && since_ms <= standing_.found_good_ms;
  }
  bool is_milder(const PastDecision& decision) const {
    const policy::EventType* type = policy_.find_type(decision.type);
    const int32_t now = type == nullptr ? -1 : type->place_of(decision.revised);
    return now >= 0 && now < type->place_of(decision.verdict);
  }

  static std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find('\n', at), text.size());
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  }

  const policy::Policy& policy_;
  const archive::Archive& archive_;
  const WithEngine& with_engine_;
  const StandingOptions& options_;
  Standing& standing_;
  std::string values_;  // the value and its tokens, as an SQL list
};

}  // namespace

base::Status check_kind(const policy::Policy& policy, std::string_view on) {
  std::vector<std::string> kinds = policy.entity_kinds;
  for (const policy::EventType& type : policy.types) kinds.push_back(std::string(kEventKind) + type.schema.name);
  if (std::find(kinds.begin(), kinds.end(), on) != kinds.end()) return {};
  std::string names;
  for (const std::string& kind : kinds) names += (names.empty() ? "" : ", ") + kind;
  std::string_view near = base::nearest(on, kinds);
  return base::fail(base::Code::kNotFound, "there is no kind of entity \"" + std::string(on.substr(0, 100)) + "\"" +
                                               (near.empty() ? "." : "; did you mean " + std::string(near) + "?") +
                                               " The policy has: " + names);
}

base::Result<std::string> canonical_value(std::string_view on, std::string_view value) {
  char text[event::kIpTextBytesMax];
  event::IpData ip;
  if (value.empty()) return base::invalid("the value is missing");
  if (on == "ip") {
    if (event::parse_ip(value, ip)) return std::string(event::format_ip(ip, text));
    return base::invalid("\"" + std::string(value.substr(0, 100)) + "\" is no internet address");
  }
  if (on == "network") {
    if (event::parse_cidr(value, ip)) return std::string(event::format_cidr(event::mask_ip(ip, ip.prefix), text));
    return base::invalid("\"" + std::string(value.substr(0, 100)) + "\" is no network; expected one like 192.0.2.0/24");
  }
  if (on == "domain") {
    if (value.back() == '.') value.remove_suffix(1);
    return lower_case(value);
  }
  return std::string(value);
}

std::string one_spelling(std::string_view on, std::string_view value) {
  base::Result<std::string> canonical = canonical_value(on, value);
  return canonical ? *canonical : std::string(value);
}

base::Result<Standing> find_standing(const policy::Policy& policy, const archive::Archive* archive,
                                     const WithEngine& with_engine, std::string_view on, std::string_view value,
                                     const StandingOptions& options) {
  TAMIS_CHECK(check_kind(policy, on));
  TAMIS_TRY(canonical, canonical_value(on, value));
  Standing standing;
  standing.on = on;
  standing.value = std::move(canonical);
  standing.window_ms = options.window_ms;
  const auto whole =
      is_event(on) ? std::vector<std::pair<std::string, std::string>>() : whole_of(policy, on, standing.value);
  with_engine([&](Engine& engine) { find_marks(policy, engine, whole, standing); });
  if (archive != nullptr) TAMIS_CHECK(Past(policy, *archive, with_engine, options, standing).find());
  return standing;
}

}  // namespace tamis::replay
