#include "engine/decision.h"

#include "engine/explanation.h"
#include "event/json_writer.h"

namespace tamis::engine {
namespace {

using event::JsonWriter;

const policy::Rule& rule_of(const Decision& decision, uint32_t rule) { return decision.type->rules[rule]; }

void write_rule_ids(const Decision& decision, bool acts, std::string_view key, bool always, JsonWriter& json) {
  bool open = always;
  if (open) json.key(key).begin_array();
  for (const Match& match : decision.matches) {
    if (match.acts != acts) continue;
    if (!open) json.key(key).begin_array();
    open = true;
    json.string(rule_of(decision, match.rule).id);
  }
  if (open) json.end_array();
}

void write_values(const Decision& decision, JsonWriter& json) {
  bool open = false;
  for (const Match& match : decision.matches) {
    if (!match.acts || match.value.is(event::Kind::kAbsent)) continue;
    if (!open) json.key("values").begin_object();
    open = true;
    json.key(rule_of(decision, match.rule).id).value(match.value);
  }
  if (open) json.end_object();
}

void write_reasons(const Decision& decision, JsonWriter& json) {
  bool open = false;
  for (const Match& match : decision.matches) {
    if (!match.acts || match.reason.empty()) continue;
    if (!open) json.key("reasons").begin_array();
    open = true;
    json.string(match.reason);
  }
  if (open) json.end_array();
}

void write_labels(const Decision& decision, JsonWriter& json) {
  bool open = false;
  for (const Effect& effect : decision.effects) {
    if (effect.kind != Effect::Kind::kLabel) continue;
    if (!open) json.key("labels").begin_array();
    open = true;
    json.begin_object().key("on").string(effect.target).key("value").string(effect.value);
    json.key("name").string(effect.name).end_object();
  }
  if (open) json.end_array();
}

void write_dropped(const Decision& decision, JsonWriter& json) {
  if (decision.dropped.empty()) return;
  json.key("dropped").begin_object();
  for (const event::DroppedField& field : decision.dropped) json.key(decision.dropped_name(field)).string(field.why);
  json.end_object();
}

void write_conditions(const Decision& decision, JsonWriter& json) {
  if (decision.conditions.empty()) return;
  json.key("conditions").begin_array();
  for (const Condition& condition : decision.conditions) {
    json.begin_object().key("rule").string(rule_of(decision, condition.rule).id).key("when").string(condition.text);
    json.key("read").begin_object();
    for (const auto& [name, value] : condition.read) json.key(name).value(value);
    json.end_object().end_object();
  }
  json.end_array();
  // Whose verdict it is: none, where it is that of the points together.
  json.key("decided_by").begin_array();
  for (const Match& match : decision.matches) {
    const policy::Rule& rule = rule_of(decision, match.rule);
    if (match.acts && rule.verdict == decision.verdict) json.string(rule.id);
  }
  json.end_array();
}

}  // namespace

void write_json(const Decision& decision, std::string& out) {
  JsonWriter json(out);
  json.begin_object();
  json.key("id").string(decision.id).key("type").string(decision.type->schema.name);
  json.key("verdict").string(decision.verdict_name());
  json.key("points").real(decision.points).key("score").real(decision.score);
  for (const auto& [name, value] : decision.shown) {
    if (!value.is(event::Kind::kAbsent)) json.key(name).value(value);
  }
  write_rule_ids(decision, true, "rules", true, json);
  json.key("features").begin_object();
  for (const auto& [name, value] : decision.features) json.key(name).value(value);
  json.end_object();
  json.key("policy").string(decision.policy->version);
  write_rule_ids(decision, false, "shadow", false, json);
  write_values(decision, json);
  write_reasons(decision, json);
  write_labels(decision, json);
  if (decision.late) json.key("late").boolean(true);
  write_dropped(decision, json);
  write_conditions(decision, json);
  if (!decision.explained.empty()) write_explanation(*decision.policy, *decision.type, decision.explained, json);
  json.end_object();
}

}  // namespace tamis::engine
