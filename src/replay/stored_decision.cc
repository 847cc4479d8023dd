#include "replay/stored_decision.h"

#include <algorithm>
#include <set>

#include "archive/layout.h"
#include "base/arena.h"
#include "engine/explanation.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "event/time_text.h"
#include "replay/stored.h"
#include "replay/stored_conditions.h"

namespace tamis::replay {
namespace {

using event::JsonWriter;
using event::Kind;
using event::MapData;
using event::Value;

// The one row that `where` finds, as an object of all its columns.
base::Result<Value> row(const archive::Archive& archive, const policy::EventType& type, const std::string& where,
                        base::Arena& arena) {
  std::string sql = "SELECT to_json(t) FROM (SELECT * FROM " + sql_name(archive::table_of(type.schema.name)) +
                    " WHERE " + where + " ORDER BY n DESC LIMIT 1) t";
  TAMIS_TRY(table, archive.query(sql, {}, [] { return true; }));
  if (table.rows.empty()) return base::fail(base::Code::kNotFound, "the archive does not have this event");
  TAMIS_TRY(value, event::JsonReader::to_value(arena.copy(table.rows[0][0]), arena));
  if (!value.is(Kind::kMap)) return base::fail(base::Code::kInternal, "a row of the archive is no object");
  return value;
}

Value at(const MapData& map, std::string_view key) {
  const Value* found = event::map_find(map, Value::string(key));
  return found == nullptr ? Value::null() : *found;
}

bool has(Value v) { return !v.is(Kind::kNull) && !v.is(Kind::kAbsent) && !(v.is(Kind::kList) && v.size == 0); }

// Columns that hold finished JSON, as text.
void put_json(const MapData& map, std::string_view column, std::string_view key, JsonWriter& json) {
  Value v = at(map, column);
  if (!has(v)) return;
  json.key(key);
  v.is(Kind::kString) ? json.raw(v.str()) : json.value(v);
}

double number(Value v) {
  if (v.is(Kind::kDouble)) return v.d;
  return v.is(Kind::kInt) ? static_cast<double>(v.i) : 0;
}

// "2026-11-21 08:00:00.25" as RFC 3339 has it; what is no time (a token) stays.
Value time_of(std::string_view text) {
  std::string utc(text);
  if (utc.size() > 10) utc[10] = 'T';
  int64_t seconds = 0;
  uint32_t nanos = 0;
  return event::parse_timestamp(utc + "Z", seconds, nanos) ? Value::timestamp(seconds, nanos) : Value::string(text);
}

// Of the text of a BLOB, in which "\x00" stands for a byte that is no plain character.
Value bytes_of(std::string_view text, base::Arena& arena) {
  auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size();
    bytes += escaped ? static_cast<char>(digit(text[i + 2]) * 16 + digit(text[i + 3])) : text[i];
    i += escaped ? 3 : 0;
  }
  return Value::bytes(arena.copy(bytes));
}

// Writes rows of one type as they were when a policy had them.
class RowJson {
 public:
  RowJson(const MapData& map, const policy::Policy& current, const policy::EventType& type, const PolicyOf& policy_of)
      : map_(map), type_(&type) {
    Value version = at(map, "policy");
    const bool other = version.is(Kind::kString) && version.str() != current.version;
    if (other && policy_of) then_ = policy_of(version.str());
    const policy::EventType* found = then_ == nullptr ? nullptr : then_->find_type(type.schema.name);
    if (found != nullptr) type_ = found;
    policy_ = found != nullptr ? then_.get() : &current;
    layout_ = archive::layout_of(*policy_, *type_);
  }

  const policy::EventType& type() const { return *type_; }

  // What the column of a field, attribute or feature holds. False: nothing, and then nothing was written if `skip`.
  void put(std::string_view key, const std::string& name, bool skip, JsonWriter& json) {
    const archive::ColumnSpec* column = layout_.layout.find(name);
    Value v = column == nullptr ? Value::null() : at(map_, column->column);
    if (skip && (v.is(Kind::kNull) || v.is(Kind::kAbsent))) return;
    json.key(key);
    if (column == nullptr) return void(json.null());
    if (v.is(Kind::kString) && column->type == archive::ColumnType::kJson) return void(json.raw(v.str()));
    json.value(typed(v, column->type));
  }

  enum class Whole : uint8_t { kAsAnswered, kAll, kExplained };  // all: with what the rules did and why they matched
  void decision(Whole whole, JsonWriter& json);

 private:
  // The value that a column of the type was made of.
  Value typed(Value v, archive::ColumnType type);
  std::vector<Value> slots();
  Value all_effects();
  void labels(JsonWriter& json);
  void effects(JsonWriter& json);
  void dropped(JsonWriter& json);
  void conditions(const std::vector<Value>& row, JsonWriter& json);

  const MapData& map_;
  const policy::EventType* type_;
  const policy::Policy* policy_ = nullptr;
  std::shared_ptr<const policy::Policy> then_;
  archive::TypeLayout layout_;
  base::Arena arena_;
};

Value RowJson::typed(Value v, archive::ColumnType type) {
  using archive::ColumnType;
  if (v.is(Kind::kString)) {
    if (type == ColumnType::kTimestamp) return time_of(v.str());
    if (type == ColumnType::kBytes) return bytes_of(v.str(), arena_);
    if (type != ColumnType::kJson) return v;
    auto parsed = event::JsonReader::to_value(v.str(), arena_);
    return parsed ? *parsed : Value::absent();
  }
  if (!v.is(Kind::kInt)) return v.is(Kind::kNull) ? Value::absent() : v;
  if (type == ColumnType::kDuration) return Value::duration(v.i);
  if (type == ColumnType::kDouble) return Value::real(static_cast<double>(v.i));
  return type == ColumnType::kUint && v.i >= 0 ? Value::uinteger(static_cast<uint64_t>(v.i)) : v;
}

std::vector<Value> RowJson::slots() {
  std::vector<Value> slots(static_cast<size_t>(type_->slot_count), Value::absent());
  for (size_t i = 0; i < layout_.slots.size(); ++i) {
    const archive::ColumnSpec& column = layout_.layout.columns[archive::kSystemColumns + i];
    slots[static_cast<size_t>(layout_.slots[i])] = typed(at(map_, column.column), column.type);
  }
  Value time = at(map_, "time");
  if (type_->time_slot >= 0 && time.is(Kind::kString))
    slots[static_cast<size_t>(type_->time_slot)] = time_of(time.str());
  return slots;
}

// Why the rules matched that did, acting or not, as far as the row still tells.
void RowJson::conditions(const std::vector<Value>& row, JsonWriter& json) {
  std::set<std::string_view> matched, acted;
  for (std::string_view column : {"rules", "shadow"}) {
    Value ids = at(map_, column);
    if (!ids.is(Kind::kList)) continue;
    for (Value id : ids.list_items()) {
      if (!id.is(Kind::kString)) continue;
      matched.insert(id.str());
      if (column == "rules") acted.insert(id.str());
    }
  }
  if (matched.empty()) return;
  json.key("conditions").begin_array();
  write_conditions(*policy_, *type_, row, matched, arena_, json);
  json.end_array().key("decided_by").begin_array();
  Value verdict = at(map_, "verdict");
  for (const policy::Rule& rule : type_->rules) {
    const bool same = rule.verdict >= 0 && verdict.is(Kind::kString) &&
                      type_->ladder[static_cast<size_t>(rule.verdict)] == verdict.str();
    if (same && acted.contains(rule.id)) json.string(rule.id);
  }
  json.end_array();
}

void RowJson::decision(Whole whole, JsonWriter& json) {
  json.key("id").value(at(map_, "id")).key("type").string(type_->schema.name).key("verdict").value(at(map_, "verdict"));
  json.key("points").real(number(at(map_, "points"))).key("score").real(number(at(map_, "score")));
  for (const policy::ShownField& shown : type_->shown) put(shown.name, shown.of, true, json);
  Value rules = at(map_, "rules");
  json.key("rules");
  has(rules) ? json.value(rules) : json.begin_array().end_array();
  json.key("features").begin_object();
  for (const policy::FeatureRead& read : type_->reads) put(read.name, read.name, false, json);
  for (const policy::DetectorRead& read : type_->detector_reads) {
    if (!read.is_quiet) put(read.name, read.name, false, json);
  }
  json.end_object().key("policy").value(at(map_, "policy"));
  if (Value shadow = at(map_, "shadow"); has(shadow)) json.key("shadow").value(shadow);
  put_json(map_, "values", "values", json);
  if (Value reasons = at(map_, "reasons"); has(reasons)) json.key("reasons").value(reasons);
  labels(json);
  if (whole != Whole::kAsAnswered) effects(json);
  if (Value late = at(map_, "late"); late.is(Kind::kBool) && late.b) json.key("late").boolean(true);
  dropped(json);
  if (whole == Whole::kAsAnswered) return;
  const std::vector<Value> row = slots();
  conditions(row, json);
  if (whole == Whole::kExplained) engine::write_explanation(*policy_, *type_, row, json);
}

Value RowJson::all_effects() {
  Value effects = at(map_, "effects");
  if (!effects.is(Kind::kString)) return effects;
  auto parsed = event::JsonReader::to_value(effects.str(), arena_);
  return parsed ? *parsed : Value::null();
}

bool is_effect(Value effect, std::string_view name) {
  if (!effect.is(Kind::kMap)) return false;
  const Value what = at(*effect.map, "effect");
  return what.is(Kind::kString) && what.str() == name;
}

// Those of rules.
void RowJson::effects(JsonWriter& json) {
  const Value effects = all_effects();
  if (!effects.is(Kind::kList)) return;
  bool open = false;
  for (Value effect : effects.list_items()) {
    if (is_effect(effect, "dropped")) continue;
    if (!open) json.key("effects").begin_array();
    open = true;
    json.value(effect);
  }
  if (open) json.end_array();
}

void RowJson::dropped(JsonWriter& json) {
  const Value effects = all_effects();
  if (!effects.is(Kind::kList)) return;
  bool open = false;
  for (Value effect : effects.list_items()) {
    if (!is_effect(effect, "dropped")) continue;
    const Value field = at(*effect.map, "field");
    if (!field.is(Kind::kString)) continue;
    if (!open) json.key("dropped").begin_object();
    open = true;
    json.key(field.str()).value(at(*effect.map, "why"));
  }
  if (open) json.end_object();
}

void RowJson::labels(JsonWriter& json) {
  const Value effects = all_effects();
  if (!effects.is(Kind::kList)) return;
  bool open = false;
  for (Value effect : effects.list_items()) {
    if (!is_effect(effect, "label")) continue;
    if (!open) json.key("labels").begin_array();
    open = true;
    json.begin_object().key("on").value(at(*effect.map, "on")).key("value").value(at(*effect.map, "value"));
    json.key("name").value(at(*effect.map, "name")).end_object();
  }
  if (open) json.end_array();
}

}  // namespace

base::Status write_stored_decision(const archive::Archive& archive, const policy::Policy& current,
                                   const policy::EventType& type, const PolicyOf& policy_of, uint64_t record,
                                   std::string& out) {
  base::Arena arena;
  TAMIS_TRY(found, row(archive, type, "n = " + std::to_string(record), arena));
  JsonWriter json(out);
  json.begin_object();
  RowJson(*found.map, current, type, policy_of).decision(RowJson::Whole::kAsAnswered, json);
  json.end_object();
  return {};
}

base::Status write_stored_event(const archive::Archive& archive, const policy::Policy& current,
                                const policy::EventType& type, const PolicyOf& policy_of, std::string_view id,
                                bool explained, std::string& out) {
  base::Arena arena;
  TAMIS_TRY(found, row(archive, type, "id = " + sql_text(id), arena));
  const MapData& map = *found.map;
  RowJson stored(map, current, type, policy_of);
  JsonWriter json(out);
  json.begin_object().key("record").value(at(map, "n")).key("time").value(at(map, "time"));
  json.key("received").value(at(map, "received"));
  json.key("decision").begin_object();
  stored.decision(explained ? RowJson::Whole::kExplained : RowJson::Whole::kAll, json);
  json.end_object().key("event").begin_object();
  const event::EventSchema& schema = stored.type().schema;
  for (const event::Field& field : schema.fields) stored.put(field.name, field.name, true, json);
  for (const event::Derived& derived : schema.derived) {
    const event::Field& source = schema.fields[static_cast<size_t>(derived.source)];
    for (const event::AttributeInfo& info : event::attributes_of(source.semantic)) {
      if (info.attribute != derived.attribute) continue;
      std::string name = source.name + "." + std::string(info.name);
      stored.put(name, name, true, json);
    }
  }
  json.end_object().end_object();
  return {};
}

}  // namespace tamis::replay
