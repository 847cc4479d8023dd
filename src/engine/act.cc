#include "engine/act.h"

#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::engine {
namespace {

using event::Kind;

constexpr std::string_view kNames[] = {"list_add",     "list_remove",   "label_set", "label_clear",
                                       "list_restore", "label_restore", "truth",     "truth_clear"};
constexpr size_t kTextBytesMax = 1024;

// The text under `key`: strings as they are, integers in decimal, empty if it is not there.
std::string text_at(const event::MapData& map, std::string_view key) {
  const Value* v = event::map_find(map, Value::string(key));
  if (v == nullptr) return {};
  if (v->is(Kind::kInt)) return std::to_string(v->i);
  return v->is(Kind::kString) ? std::string(v->str()) : std::string();
}

base::Status read_expiry(const event::MapData& map, int64_t now_ms, Act& act) {
  const auto is_given = [&](std::string_view key) { return event::map_find(map, Value::string(key)) != nullptr; };
  if (is_given("for")) {
    TAMIS_TRY(ms, base::parse_lasting_ms("for", text_at(map, "for")));
    act.expires_ms = now_ms + ms;
  } else if (is_given("expires")) {
    TAMIS_TRY(ms, event::parse_time_ms(text_at(map, "expires"), event::TimeFormat::kAuto));
    act.expires_ms = ms;
  }
  return {};
}

// A slip in a key must not pass in silence: without its "for", a label would stay for good.
base::Status check_keys(const event::MapData& map) {
  static constexpr std::string_view kKeys[] = {"act",    "list",  "on",  "value", "name", "author",
                                               "reason", "batch", "was", "since", "for",  "expires"};
  for (uint32_t i = 0; i < map.size; ++i) {
    std::string_view key = map.entries[i].key.str();
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      std::string_view near = base::nearest(key, kKeys);
      return base::invalid("unknown key \"" + std::string(key.substr(0, 64)) + "\"" +
                           (near.empty() ? "" : "; did you mean \"" + std::string(near) + "\"?"));
    }
    const Value& value = map.entries[i].value;
    if (!value.is(Kind::kString) && !value.is(Kind::kInt)) {
      return base::invalid("\"" + std::string(key) + "\" must be a string or a whole number");
    }
  }
  return {};
}

base::Status check(const Act& act) {
  bool on_list = act.is_on_list();
  if (act.value.empty()) return base::invalid("\"value\" is missing: the list entry, or the value of the entity");
  if (on_list && act.list.empty()) return base::invalid("\"list\" is missing: the name of the list");
  if (!on_list && act.entity_kind.empty()) return base::invalid("\"on\" is missing: the kind of entity, like \"ip\"");
  if (act.kind == Act::Kind::kTruth && act.name.empty())
    return base::invalid("\"name\" is missing: good, bad, or a class");
  if (act.kind == Act::Kind::kTruthClear && !act.name.empty()) {
    return base::invalid("\"name\" has no place where a truth is taken back");
  }
  if (!on_list && !act.is_truth() && act.name.empty())
    return base::invalid("\"name\" is missing: the name of the label");
  if (act.is_truth() && act.expires_ms != state::kNeverExpires) {
    return base::invalid("a truth does not expire: leave out \"for\" and \"expires\"");
  }
  for (const std::string* text : {&act.entity_kind, &act.name, &act.author, &act.reason, &act.batch, &act.was}) {
    if (text->size() > kTextBytesMax) {
      return base::fail(base::Code::kLimit,
                        "\"on\", \"name\", \"author\", \"reason\", \"batch\" and \"was\" have 1024 bytes at most");
    }
  }
  return {};
}

}  // namespace

base::Result<Act> parse_act(std::string_view json, int64_t now_ms, std::string_view list) {
  base::Arena arena;
  TAMIS_TRY(value, event::JsonReader::to_value(json, arena));
  if (!value.is(Kind::kMap)) return base::invalid("expected a JSON object");
  const event::MapData& map = *value.map;
  TAMIS_CHECK(check_keys(map));
  Act act;
  std::string kind = text_at(map, "act");
  if (kind.empty()) kind = list.empty() ? "label_set" : "list_add";
  size_t k = 0;
  while (k < std::size(kNames) && kNames[k] != kind) ++k;
  if (k == std::size(kNames)) {
    return base::invalid("\"act\" is \"" + kind +
                         "\"; expected list_add, list_remove, label_set, label_clear, "
                         "list_restore, label_restore, truth or truth_clear");
  }
  act.kind = static_cast<Act::Kind>(k);
  if (!list.empty() && !act.is_on_list()) {
    return base::invalid("\"act\" is \"" + kind + "\"; expected list_add or list_remove");
  }
  act.list = list.empty() ? text_at(map, "list") : std::string(list);
  act.entity_kind = text_at(map, "on");
  act.value = text_at(map, "value");
  act.name = text_at(map, "name");
  act.author = text_at(map, "author");
  act.reason = text_at(map, "reason");
  act.batch = text_at(map, "batch");
  act.was = text_at(map, "was");
  act.since_ms = now_ms;
  if (std::string since = text_at(map, "since"); !since.empty()) {
    TAMIS_TRY(ms, event::parse_time_ms(since, event::TimeFormat::kAuto));
    act.since_ms = ms;
  }
  TAMIS_CHECK(read_expiry(map, now_ms, act));
  TAMIS_CHECK(check(act));
  return act;
}

std::string to_json(const Act& act) {
  std::string out;
  event::JsonWriter json(out);
  json.begin_object().key("act").string(kNames[static_cast<size_t>(act.kind)]);
  auto put = [&](std::string_view key, const std::string& text) {
    if (!text.empty()) json.key(key).string(text);
  };
  put("list", act.list);
  put("on", act.entity_kind);
  put("value", act.value);
  put("name", act.name);
  put("author", act.author);
  put("reason", act.reason);
  put("batch", act.batch);
  put("was", act.was);
  json.key("since").string(event::format_time_ms(act.since_ms));
  if (act.expires_ms != state::kNeverExpires) json.key("expires").string(event::format_time_ms(act.expires_ms));
  json.end_object();
  return out;
}

base::Status apply(Engine& engine, const Act& act) {
  switch (act.kind) {
    case Act::Kind::kListAdd:
      return engine.add_list_entry(act.list, {act.value, act.expires_ms, act.reason, act.author, act.since_ms});
    case Act::Kind::kListRestore:
      return engine.restore_list_entry(act.list, {act.value, act.expires_ms, act.reason, act.author, act.since_ms});
    case Act::Kind::kListRemove:
      return engine.remove_list_entry(act.list, act.value);
    case Act::Kind::kLabelSet:
      return engine.set_label(act.entity_kind, act.value,
                              {act.name, act.author, act.reason, act.since_ms, act.expires_ms});
    case Act::Kind::kLabelRestore:
      return engine.restore_label(act.entity_kind, act.value,
                                  {act.name, act.author, act.reason, act.since_ms, act.expires_ms});
    case Act::Kind::kTruth:
    case Act::Kind::kTruthClear:  // without a name: nobody has said
      return engine.set_truth(act.entity_kind, act.value, act.name);
    case Act::Kind::kLabelClear:
      if (engine.clear_label(act.entity_kind, act.value, act.name)) return {};
      return base::fail(base::Code::kNotFound, "no label \"" + act.name + "\" on " + act.entity_kind + " " + act.value);
  }
  return base::fail(base::Code::kInternal, "unknown act");
}

}  // namespace tamis::engine
