#include "replay/stored_decision.h"

#include <algorithm>
#include <array>

#include "base/arena.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "replay/stored.h"

namespace tamis::replay {
namespace {

using event::JsonWriter;
using event::Kind;
using event::MapData;
using event::Value;

// The one row that `where` finds, as an object of all its columns.
base::Result<Value> row(const archive::Archive& archive, const policy::EventType& type, const std::string& where,
                        base::Arena& arena) {
  std::string sql = "SELECT to_json(t) FROM (SELECT * FROM " + sql_name(type.schema.name) + " WHERE " + where +
                    " ORDER BY n DESC LIMIT 1) t";
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

void write_decision(const MapData& map, const policy::EventType& type, JsonWriter& json) {
  json.key("id").value(at(map, "id")).key("type").string(type.schema.name).key("verdict").value(at(map, "verdict"));
  json.key("points").real(number(at(map, "points"))).key("score").real(number(at(map, "score")));
  for (const policy::ShownField& shown : type.shown) {
    if (Value v = at(map, shown.of); has(v)) json.key(shown.name).value(v);
  }
  Value rules = at(map, "rules");
  json.key("rules");
  has(rules) ? json.value(rules) : json.begin_array().end_array();
  json.key("features").begin_object();
  for (const policy::FeatureRead& read : type.reads) json.key(read.name).value(at(map, read.name));
  for (const policy::DetectorRead& read : type.detector_reads) json.key(read.name).value(at(map, read.name));
  json.end_object().key("policy").value(at(map, "policy"));
  if (Value shadow = at(map, "shadow"); has(shadow)) json.key("shadow").value(shadow);
  put_json(map, "values", "values", json);
  if (Value reasons = at(map, "reasons"); has(reasons)) json.key("reasons").value(reasons);
  put_json(map, "effects", "effects", json);
  if (Value late = at(map, "late"); late.is(Kind::kBool) && late.b) json.key("late").boolean(true);
}

bool is_taken(std::string_view name) {
  static constexpr std::array<std::string_view, 14> kColumns = {"n",       "time",   "received", "id",     "policy",
                                                                "verdict", "points", "score",    "late",   "rules",
                                                                "shadow",  "values", "reasons",  "effects"};
  return std::find(kColumns.begin(), kColumns.end(), name) != kColumns.end();
}

}  // namespace

base::Status write_stored_decision(const archive::Archive& archive, const policy::EventType& type, uint64_t record,
                                   std::string& out) {
  base::Arena arena;
  TAMIS_TRY(found, row(archive, type, "n = " + std::to_string(record), arena));
  JsonWriter json(out);
  json.begin_object();
  write_decision(*found.map, type, json);
  json.end_object();
  return {};
}

base::Status write_stored_event(const archive::Archive& archive, const policy::EventType& type, std::string_view id,
                                std::string& out) {
  base::Arena arena;
  TAMIS_TRY(found, row(archive, type, "id = " + sql_text(id), arena));
  const MapData& map = *found.map;
  JsonWriter json(out);
  json.begin_object().key("record").value(at(map, "n")).key("time").value(at(map, "time"));
  json.key("received").value(at(map, "received"));
  json.key("decision").begin_object();
  write_decision(map, type, json);
  json.end_object().key("event").begin_object();
  for (const event::Field& field : type.schema.fields) {
    std::string column = is_taken(field.name) ? "field." + field.name : field.name;
    if (Value v = at(map, column); has(v)) json.key(field.name).value(v);
  }
  for (const event::Derived& derived : type.schema.derived) {
    const event::Field& source = type.schema.fields[static_cast<size_t>(derived.source)];
    for (const event::AttributeInfo& info : event::attributes_of(source.semantic)) {
      if (info.attribute != derived.attribute) continue;
      std::string name = source.name + "." + std::string(info.name);
      if (Value v = at(map, name); has(v)) json.key(name).value(v);
    }
  }
  json.end_object().end_object();
  return {};
}

}  // namespace tamis::replay
