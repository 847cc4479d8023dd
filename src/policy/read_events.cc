// `event:` and `policy:` documents.
#include <fmt/format.h>

#include <algorithm>

#include "policy/reader.h"

namespace tamis::policy {

namespace {

using event::Semantic;
using event::TimeFormat;
using event::Type;

struct TypeName {
  std::string_view name;
  Semantic semantic;
  std::string_view entity;
};
// Texts with a meaning. `account` and `device` are text that names an entity, and nothing more.
constexpr TypeName kTextTypes[] = {
    {"ip", Semantic::kIp, "ip"},
    {"email", Semantic::kEmail, "email"},
    {"domain", Semantic::kDomain, "domain"},
    {"url", Semantic::kUrl, ""},
    {"user_agent", Semantic::kUserAgent, ""},
    {"account", Semantic::kNone, "account"},
    {"device", Semantic::kNone, "device"},
};

bool may_be_field(const Type& type, bool top) {
  switch (type.kind) {
    case Type::Kind::kDyn:
    case Type::Kind::kBool:
    case Type::Kind::kInt:
    case Type::Kind::kUint:
    case Type::Kind::kDouble:
    case Type::Kind::kString:
    case Type::Kind::kBytes:
    case Type::Kind::kTimestamp:
    case Type::Kind::kDuration:
      return true;
    case Type::Kind::kList:
      return top && may_be_field(type.params[0], false);
    case Type::Kind::kMap:
      return top && type.params[0].kind == Type::Kind::kString && may_be_field(type.params[1], false);
    default:
      return false;
  }
}

void read_type(const Node& node, FieldSource& field, Diagnostics& diagnostics) {
  static const std::vector<std::string> kTypes = {
      "bool",      "int",      "uint",         "double",           "string",  "bytes",
      "timestamp", "duration", "list(string)", "map(string, int)", "dyn",     "ip",
      "email",     "domain",   "url",          "user_agent",       "account", "device"};
  if (!node.is_scalar()) {
    diagnostics.error(node, fmt::format("a type is text like `int` or `list(string)`, not {}", kind_name(node)));
    return;
  }
  for (const TypeName& t : kTextTypes) {
    if (node.text != t.name) continue;
    field.type = Type::string();
    field.semantic = t.semantic;
    if (!t.entity.empty() && !field.entity.given()) field.entity = {std::string(t.entity), &node};
    return;
  }
  auto type = event::parse_type(node.text);
  if (type && may_be_field(*type, true)) {
    field.type = *type;
    return;
  }
  std::string hint = node.text.rfind("map(", 0) == 0 && node.text.find(')') == std::string::npos
                         ? "between braces a comma ends the value: put the type in quotes, \"map(string, T)\""
                         : did_you_mean(node.text, kTypes);
  if (hint.empty())
    hint =
        "types: bool int uint double string bytes timestamp duration list(T) map(string, T) dyn ip "
        "email domain url user_agent account device";
  diagnostics.error(node, fmt::format("{} is not a type of fields", quoted(node.text)), hint);
}

std::optional<int32_t> days(const MapReader& map, const char* key) {
  auto ms = map.span_ms(key, kDayMs, kAlwaysMs);
  return ms ? std::optional<int32_t>(static_cast<int32_t>((*ms + kDayMs - 1) / kDayMs)) : std::nullopt;
}

void read_field(const Node& key, const Node& value, EventSource& event, Diagnostics& diagnostics) {
  static const std::vector<std::string> kReserved = {"event", "list", "model", "points"};
  FieldSource field;
  field.name = {key.text, &key};
  if (!check_identifier(field.name, "the name of a field", diagnostics)) return;
  if (std::find(kReserved.begin(), kReserved.end(), key.text) != kReserved.end()) {
    diagnostics.error(key,
                      fmt::format("{} has a meaning of its own in expressions and cannot be a field", quoted(key.text)),
                      "give it another name, and say where it stands with `path:`");
    return;
  }
  field.path = {key.text};
  if (value.is_scalar()) {
    read_type(value, field, diagnostics);
    event.fields.push_back(std::move(field));
    return;
  }
  MapReader map(value, fmt::format("field {}", quoted(key.text)),
                {"type", "entity", "default", "required", "doc", "keep", "private", "path"}, diagnostics);
  if (!map.ok()) return;
  map.missing("type");
  field.entity = map.name("entity");
  if (const Node* type = map.get("type")) read_type(*type, field, diagnostics);
  field.fallback = map.get("default");
  field.required = map.flag("required").value_or(false);
  if (field.required && field.fallback != nullptr) {
    diagnostics.error(*field.fallback, "a required field is never absent, so it has no `default`");
  }
  field.doc = map.text("doc").value_or("");
  field.keep_days = days(map, "keep");
  if (auto privacy = map.choice("private", {"token", "no"})) field.token = *privacy == 0;
  if (auto path = map.path("path")) field.path = *path;
  if (field.entity.given()) check_identifier(field.entity, "an entity kind", diagnostics);
  event.fields.push_back(std::move(field));
}

void read_fields(const Node& node, EventSource& event, Diagnostics& diagnostics) {
  if (!node.is_map()) {
    diagnostics.error(node, fmt::format("`fields` is a mapping of names to types, not {}", kind_name(node)));
    return;
  }
  constexpr size_t kFieldsMax = 1000;
  for (size_t i = 0; i < node.entries(); ++i) {
    if (i == kFieldsMax) {
      diagnostics.error(node.key(i), fmt::format("more than {} fields", kFieldsMax));
      return;
    }
    read_field(node.key(i), node.value(i), event, diagnostics);
  }
}

// `t`, or {at: t}, or {at: t, format: ms}.
std::optional<std::vector<std::string>> read_place(const MapReader& map, std::string_view key,
                                                   std::optional<TimeFormat>* format) {
  const Node* node = map.get(key);
  if (node == nullptr) return std::nullopt;
  if (!node->is_map()) return read_path(*node, map.diagnostics());
  std::vector<std::string> keys = {"at"};
  if (format != nullptr) keys.push_back("format");
  MapReader place(*node, quoted(key), keys, map.diagnostics());
  place.missing("at");
  if (format != nullptr) {
    static constexpr TimeFormat kFormats[] = {TimeFormat::kAuto, TimeFormat::kRfc3339, TimeFormat::kSeconds,
                                              TimeFormat::kMillis, TimeFormat::kMicros};
    if (auto chosen = place.choice("format", {"auto", "rfc3339", "s", "ms", "us"})) *format = kFormats[*chosen];
  }
  return place.path("at");
}

void read_thresholds(const Node& node, EventSource& event, Diagnostics& diagnostics) {
  event.thresholds.emplace();
  if (!node.is_map()) {
    diagnostics.error(node, "`thresholds` maps verdicts to the points from which they apply, like {reject: 80}");
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) {
    const Node& value = node.value(i);
    ThresholdSource threshold;
    threshold.verdict = {node.key(i).text, &node.key(i)};
    if (!value.is_plain() || !parse_number(value.text, threshold.points) || !(std::abs(threshold.points) <= 1e12)) {
      diagnostics.error(value, "a threshold is a number of points");
      continue;
    }
    event.thresholds->push_back(std::move(threshold));
  }
}

// `show`: names of a decision's own to names of the event.
void read_shown(const Node& node, EventSource& event, Diagnostics& diagnostics) {
  constexpr size_t kShownMax = 32;
  // What every decision says already.
  static const std::vector<std::string> kTaken = {
      "id",      "type",   "verdict", "points",     "score",      "rules",    "features", "policy",  "shadow", "values",
      "reasons", "labels", "late",    "conditions", "decided_by", "overload", "repeats",  "effects", "dropped"};
  if (!node.is_map()) {
    diagnostics.error(node,
                      fmt::format("`show` maps names to fields, like {{acct: account}}, not {}", kind_name(node)));
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) {
    Name name = {node.key(i).text, &node.key(i)};
    if (!check_identifier(name, "the name of what is shown", diagnostics)) continue;
    if (std::find(kTaken.begin(), kTaken.end(), name.text) != kTaken.end()) {
      diagnostics.error(node.key(i), fmt::format("every decision has {} already", quoted(name.text)));
      continue;
    }
    if (i >= kShownMax) {
      diagnostics.error(node.key(i), fmt::format("`show` has at most {} names", kShownMax));
      return;
    }
    auto of = read_expression(node.value(i), "what is shown", diagnostics);
    if (of) event.shown.emplace_back(std::move(name), std::move(*of));
  }
}

// What an event type and the defaults of a policy have in common.
void read_settings(const MapReader& map, EventSource& event) {
  event.id_path = read_place(map, "id", nullptr);
  event.time_path = read_place(map, "time", &event.time_format);
  event.lateness_ms = map.span_ms("lateness", 0, 90 * kDayMs);
  event.unique_ms = map.span_ms("unique", 0, 90 * kDayMs);
  if (map.has("strict")) event.strict = map.flag("strict");
  event.ladder = map.names("verdicts");
  for (const Name& verdict : event.ladder) check_identifier(verdict, "a verdict", map.diagnostics());
  event.override_verdict = map.name("override");
  if (const Node* thresholds = map.get("thresholds")) read_thresholds(*thresholds, event, map.diagnostics());
  event.score = map.expression("score");
  if (const Node* overload = map.get("overload")) {
    MapReader answer(*overload, "`overload`", {"fail", "verdict"}, map.diagnostics());
    answer.missing("fail");
    if (auto fail = answer.choice("fail", {"open", "closed"})) event.overload = static_cast<FailMode>(*fail);
    event.overload_verdict = answer.name("verdict");
  }
  if (const Node* shown = map.get("show")) read_shown(*shown, event, map.diagnostics());
  event.doc = map.text("doc").value_or("");
}

const std::vector<std::string> kSettings = {"id",         "time",  "lateness", "unique", "verdicts", "override",
                                            "thresholds", "score", "overload", "show",   "doc",      "strict"};

}  // namespace

void read_event(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  std::vector<std::string> keys = {"event", "fields", "extends", "abstract"};
  keys.insert(keys.end(), kSettings.begin(), kSettings.end());
  MapReader map(node, "an event type", keys, diagnostics);
  EventSource event;
  event.node = &node;
  event.name = map.name("event");
  if (!event.name.given() || !check_identifier(event.name, "the name of an event type", diagnostics)) return;
  event.is_abstract = map.flag("abstract").value_or(false);
  event.extends = map.name("extends");
  if (const Node* fields = map.get("fields")) read_fields(*fields, event, diagnostics);
  read_settings(map, event);
  policy.events.push_back(std::move(event));
}

void read_policy(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  std::vector<std::string> keys = {"policy", "type", "keep", "raw"};
  keys.insert(keys.end(), kSettings.begin(), kSettings.end());
  MapReader map(node, "a policy", keys, diagnostics);
  if (policy.name.given()) {
    diagnostics.error(node, fmt::format("a policy has one `policy:` document, and {} line {} has it already",
                                        policy.name.node->source->name,
                                        policy.name.node->source->position(policy.name.node->begin).line));
    return;
  }
  policy.name = map.name("policy");
  policy.type_path = read_place(map, "type", nullptr);
  policy.keep_days = days(map, "keep");
  policy.raw_days = days(map, "raw");
  read_settings(map, policy.defaults);
}

}  // namespace tamis::policy
