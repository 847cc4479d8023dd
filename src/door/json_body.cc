#include "door/json_body.h"

#include <algorithm>

#include "base/text.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "event/time_text.h"

namespace tamis::door {

using event::Kind;
using event::Value;

base::Result<JsonBody> JsonBody::read(std::string_view text, std::span<const std::string_view> known) {
  JsonBody body;
  event::JsonLimits limits;
  limits.bytes_max = text.size() + 1;
  TAMIS_TRY(value, event::JsonReader::to_value(text, *body.arena_, limits));
  if (!value.is(Kind::kMap)) return base::invalid("expected a JSON object");
  for (uint32_t i = 0; i < value.map->size; ++i) {
    std::string_view key = value.map->entries[i].key.str();
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string_view near = base::nearest(key, known);
    return base::invalid("unknown key \"" + std::string(key.substr(0, 64)) + "\"" +
                         (near.empty() ? "" : "; did you mean \"" + std::string(near) + "\"?"));
  }
  body.object_ = value;
  return body;
}

const Value* JsonBody::find(std::string_view key) const {
  const Value* v = event::map_find(*object_.map, Value::string(key));
  return v == nullptr || v->is(Kind::kNull) ? nullptr : v;
}

bool JsonBody::has(std::string_view key) const { return find(key) != nullptr; }

base::Result<std::string> JsonBody::text(std::string_view key, std::string_view fallback) const {
  const Value* v = find(key);
  if (v == nullptr) return std::string(fallback);
  if (v->is(Kind::kInt)) return std::to_string(v->i);
  if (!v->is(Kind::kString)) return base::invalid("\"" + std::string(key) + "\": expected a string");
  return std::string(v->str());
}

base::Result<std::string> JsonBody::needed_text(std::string_view key) const {
  TAMIS_TRY(found, text(key));
  if (found.empty()) return base::invalid("\"" + std::string(key) + "\" is missing");
  return found;
}

base::Result<double> JsonBody::number(std::string_view key, double fallback, double low, double high) const {
  const Value* v = find(key);
  if (v == nullptr) return fallback;
  const double number = v->is(Kind::kInt) ? static_cast<double>(v->i) : v->is(Kind::kDouble) ? v->d : low - 1;
  if (!(number >= low && number <= high)) {
    return base::invalid("\"" + std::string(key) + "\": expected a number from " + std::to_string(low) + " to " +
                         std::to_string(high));
  }
  return number;
}

base::Result<int64_t> JsonBody::whole(std::string_view key, int64_t fallback, int64_t low, int64_t high) const {
  const Value* v = find(key);
  if (v == nullptr) return fallback;
  if (!v->is(Kind::kInt) || v->i < low || v->i > high) {
    return base::invalid("\"" + std::string(key) + "\": expected a whole number from " + std::to_string(low) + " to " +
                         std::to_string(high));
  }
  return v->i;
}

base::Result<bool> JsonBody::flag(std::string_view key, bool fallback) const {
  const Value* v = find(key);
  if (v == nullptr) return fallback;
  if (!v->is(Kind::kBool)) return base::invalid("\"" + std::string(key) + "\": expected true or false");
  return v->b;
}

base::Result<std::vector<std::string>> JsonBody::texts(std::string_view key) const {
  std::vector<std::string> all;
  const Value* v = find(key);
  if (v == nullptr) return all;
  if (v->is(Kind::kString)) return std::vector<std::string>{std::string(v->str())};
  bool good = v->is(Kind::kList);
  for (uint32_t i = 0; good && i < v->size; ++i) {
    good = v->items[i].is(Kind::kString);
    if (good) all.emplace_back(v->items[i].str());
  }
  if (!good) return base::invalid("\"" + std::string(key) + "\": expected a list of strings");
  return all;
}

base::Result<std::vector<int64_t>> JsonBody::wholes(std::string_view key) const {
  std::vector<int64_t> all;
  const Value* v = find(key);
  if (v == nullptr) return all;
  bool good = v->is(Kind::kList);
  for (uint32_t i = 0; good && i < v->size; ++i) {
    good = v->items[i].is(Kind::kInt);
    if (good) all.push_back(v->items[i].i);
  }
  if (!good) return base::invalid("\"" + std::string(key) + "\": expected a list of whole numbers");
  return all;
}

base::Result<int64_t> read_time_ms(std::string_view text, int64_t newest_ms) {
  if (auto span = base::parse_duration_ms(text); span) return newest_ms - *span;
  auto time = event::parse_time_ms(text, event::TimeFormat::kAuto);
  if (!time) {
    return base::invalid("\"" + std::string(text.substr(0, 64)) +
                         "\" is no time; expected one like 2026-11-21T08:00:00Z, or a span back like 7d");
  }
  return *time;
}

base::Result<int64_t> JsonBody::time_ms(std::string_view key, int64_t fallback, int64_t newest_ms) const {
  const Value* v = find(key);
  if (v == nullptr) return fallback;
  if (v->is(Kind::kInt)) return v->i;
  if (!v->is(Kind::kString)) return base::invalid("\"" + std::string(key) + "\": expected a time");
  auto time = read_time_ms(v->str(), newest_ms);
  if (!time) return base::invalid("\"" + std::string(key) + "\": " + time.error().message);
  return *time;
}

std::string JsonBody::without(std::span<const std::string_view> keys) const {
  std::string out;
  event::JsonWriter json(out);
  json.begin_object();
  for (uint32_t i = 0; i < object_.map->size; ++i) {
    const event::MapEntry& entry = object_.map->entries[i];
    if (std::find(keys.begin(), keys.end(), entry.key.str()) != keys.end()) continue;
    json.key(entry.key.str()).value(entry.value);
  }
  json.end_object();
  return out;
}

base::Result<std::vector<std::pair<std::string, std::string>>> JsonBody::text_map(std::string_view key) const {
  std::vector<std::pair<std::string, std::string>> all;
  const Value* v = find(key);
  if (v == nullptr) return all;
  bool good = v->is(Kind::kMap);
  for (uint32_t i = 0; good && i < v->map->size; ++i) {
    const event::MapEntry& entry = v->map->entries[i];
    good = entry.value.is(Kind::kString);
    if (good) all.emplace_back(entry.key.str(), entry.value.str());
  }
  if (!good) return base::invalid("\"" + std::string(key) + "\": expected an object of texts");
  return all;
}

}  // namespace tamis::door
