// `features:`, `lists:` and `models:`.
#include <fmt/format.h>

#include <algorithm>

#include "event/json_event.h"
#include "policy/reader.h"

namespace tamis::policy {

namespace {

using state::Aggregate;

struct AggregateKey {
  std::string_view key;
  Aggregate aggregate;
  bool of_events;  // the key names event types; otherwise an expression, and `of` names the types
};
constexpr AggregateKey kAggregates[] = {
    {"count", Aggregate::kCount, true}, {"sum", Aggregate::kSum, false},
    {"mean", Aggregate::kMean, false},  {"min", Aggregate::kMin, false},
    {"max", Aggregate::kMax, false},    {"distinct", Aggregate::kDistinct, false},
    {"last", Aggregate::kLast, false},  {"first_seen", Aggregate::kFirstSeen, true},
    {"rate", Aggregate::kRate, true},   {"quantile", Aggregate::kQuantile, false},
    {"top_k", Aggregate::kTopK, false}, {"ratio", Aggregate::kRatio, false},
    {"set", Aggregate::kSet, false},
};
constexpr int64_t kWindowLeastMs = kSecondMs, kWindowMostMs = 90 * kDayMs;
constexpr size_t kWindowsMax = 8, kByMax = 8;

const AggregateKey* find_aggregate(const MapReader& map, const Name& name) {
  const AggregateKey* found = nullptr;
  std::vector<std::string> keys;
  for (const AggregateKey& a : kAggregates) {
    keys.emplace_back(a.key);
    if (!map.has(a.key)) continue;
    if (found != nullptr) {
      map.diagnostics().error(*name.node, fmt::format("feature {} has {} and {}: it computes one thing",
                                                      quoted(name.text), quoted(found->key), quoted(a.key)));
      return nullptr;
    }
    found = &a;
  }
  if (found == nullptr && map.ok()) {
    map.diagnostics().error(*name.node, fmt::format("feature {} does not say what it computes", quoted(name.text)),
                            "one of: count sum mean min max distinct last first_seen rate quantile top_k ratio set");
  }
  return found;
}

void read_aggregate(const MapReader& map, const AggregateKey& key, FeatureSource& feature) {
  feature.aggregate = key.aggregate;
  // A rate is of events, or of an expression if `of` names the events.
  if (key.of_events && !(key.aggregate == Aggregate::kRate && map.has("of"))) {
    feature.types = map.names(key.key);
    if (const Node* of = map.get("of")) {
      map.diagnostics().error(
          *of, fmt::format("{} names the event types itself; there is nothing for `of` to say", quoted(key.key)));
    }
    return;
  }
  map.missing("of", ": the event type that it looks at");
  feature.types = map.names("of");
  if (key.aggregate != Aggregate::kRatio) {
    feature.of = map.expression(key.key);
    return;
  }
  const Node* ratio = map.get("ratio");
  if (ratio == nullptr || !ratio->is_map()) {
    feature.hit = map.expression("ratio");
    return;
  }
  MapReader part(*ratio, "`ratio`", {"where"}, map.diagnostics());
  part.missing("where", ": the share of what?");
  feature.hit = part.expression("where");
}

void read_windows(const MapReader& map, FeatureSource& feature) {
  const Node* over = map.get("over");
  if (over == nullptr) {
    if (feature.aggregate == Aggregate::kFirstSeen && !map.has("over")) {
      feature.windows.push_back({kWindowMostMs, "90d", feature.name.node});
    } else {
      map.missing("over", ": the window, like `1h`");
    }
    return;
  }
  auto add = [&](const Node& node) {
    auto span = read_span(node, kWindowLeastMs, kWindowMostMs, map.diagnostics());
    if (!span) return;
    for (const Span& other : feature.windows) {
      if (other.ms == span->ms)
        return map.diagnostics().error(node, fmt::format("{} is there twice", quoted(node.text)));
    }
    feature.windows.push_back(*span);
  };
  if (!over->is_sequence()) return add(*over);
  feature.windows_are_a_list = true;
  if (over->items.empty() || over->items.size() > kWindowsMax) {
    map.diagnostics().error(*over, fmt::format("`over` is one window or a list of up to {}", kWindowsMax));
    return;
  }
  for (const Node& item : over->items) add(item);
  std::sort(feature.windows.begin(), feature.windows.end(), [](const Span& a, const Span& b) { return a.ms < b.ms; });
}

bool gives_numbers(Aggregate aggregate) {
  return aggregate != Aggregate::kLast && aggregate != Aggregate::kFirstSeen && aggregate != Aggregate::kTopK &&
         aggregate != Aggregate::kSet;
}

void read_feature(const Node& key, const Node& value, PolicySource& policy, Diagnostics& diagnostics) {
  FeatureSource feature;
  feature.name = {key.text, &key};
  if (!check_identifier(feature.name, "the name of a feature", diagnostics)) return;
  std::vector<std::string> keys = {"of",       "by",       "each",   "where", "over", "include_self",
                                   "lateness", "keys_max", "at_cap", "k",     "q",    "doc"};
  for (const AggregateKey& a : kAggregates) keys.emplace_back(a.key);
  MapReader map(value, fmt::format("feature {}", quoted(key.text)), keys, diagnostics);
  const AggregateKey* aggregate = find_aggregate(map, feature.name);
  if (aggregate == nullptr) {
    policy.broken_features.push_back(key.text);
    return;
  }
  read_aggregate(map, *aggregate, feature);
  feature.by = map.expressions("by");
  if (feature.by.size() > kByMax) diagnostics.error(*map.get("by"), fmt::format("`by` has at most {} parts", kByMax));
  if (map.has("each")) {
    feature.each = true;
    feature.by.push_back(map.expression("each"));
    if (!gives_numbers(feature.aggregate)) {
      diagnostics.error(*map.get("each"),
                        "`each` gives the largest value of all its keys, so the feature must give a number",
                        "one of: count sum mean min max distinct rate quantile ratio");
    }
  }
  feature.where = map.expression("where");
  read_windows(map, feature);
  feature.include_self = map.flag("include_self").value_or(false);
  feature.lateness_ms = map.span_ms("lateness", 0, 90 * kDayMs);
  feature.keys_max = map.integer("keys_max", 1, 1'000'000'000);
  if (auto cap = map.choice("at_cap", {"evict_oldest", "ignore_new"})) feature.at_cap = static_cast<state::AtCap>(*cap);
  feature.k = map.integer("k", 1, 1000);
  if (feature.k && feature.aggregate != Aggregate::kTopK && feature.aggregate != Aggregate::kSet) {
    diagnostics.error(*map.get("k"), "`k` is for `top_k` and `set`");
  }
  feature.quantile = map.number("q", 0, 1);
  if (feature.quantile && feature.aggregate != Aggregate::kQuantile) {
    diagnostics.error(*map.get("q"), "`q` is for `quantile`");
  } else if (feature.aggregate == Aggregate::kQuantile) {
    map.missing("q", ": which quantile, like 0.95");
  }
  feature.doc = map.text("doc").value_or("");
  policy.features.push_back(std::move(feature));
}

bool expect_map(const Node& node, std::string_view what, Diagnostics& diagnostics) {
  if (node.is_map()) return true;
  diagnostics.error(node, fmt::format("{}, not {}", what, kind_name(node)));
  return false;
}

void read_list_entry(const Node& node, ListSource& list, Diagnostics& diagnostics) {
  ListSource::Entry entry;
  entry.node = &node;
  if (node.is_scalar()) {
    entry.entry.value = node.text;
    list.entries.push_back(std::move(entry));
    return;
  }
  MapReader map(node, "an entry of a list", {"value", "expires", "note"}, diagnostics);
  map.missing("value");
  auto value = map.text("value");
  if (!value) return;
  entry.entry.value = *value;
  entry.entry.note = map.text("note").value_or("");
  if (auto expires = map.text("expires")) {
    auto time = event::parse_time_ms(*expires, event::TimeFormat::kRfc3339);
    if (time) entry.entry.expires_ms = *time;
    if (!time) diagnostics.error(*map.get("expires"), "`expires` is a time like 2027-01-31T00:00:00Z");
  }
  list.entries.push_back(std::move(entry));
}

void read_list_entries(const Node& node, ListSource& list, Diagnostics& diagnostics) {
  if (!node.is_sequence()) {
    diagnostics.error(node, fmt::format("the values of a list are a YAML list, not {}", kind_name(node)));
    return;
  }
  for (const Node& item : node.items) read_list_entry(item, list, diagnostics);
}

void read_list(const Node& key, const Node& value, PolicySource& policy, Diagnostics& diagnostics) {
  ListSource list;
  list.name = {key.text, &key};
  if (!check_identifier(list.name, "the name of a list", diagnostics)) return;
  if (value.is_sequence()) {
    read_list_entries(value, list, diagnostics);
    auto is_int = [](const Node& n) {
      int64_t number = 0;
      return n.is_plain() && parse_integer(n.text, number);
    };
    bool ints = !value.items.empty() && std::all_of(value.items.begin(), value.items.end(), is_int);
    if (ints) list.kind = state::ListKind::kInt;
    policy.lists.push_back(std::move(list));
    return;
  }
  MapReader map(value, fmt::format("list {}", quoted(key.text)),
                {"kind", "ignore_case", "values", "file", "managed", "entries_max", "doc"}, diagnostics);
  if (!map.ok()) return;
  if (auto kind = map.choice("kind", {"string", "int", "network", "regex", "domain"})) {
    list.kind = static_cast<state::ListKind>(*kind);
  }
  list.ignore_case = map.flag("ignore_case").value_or(false);
  if (list.ignore_case && list.kind != state::ListKind::kString) {
    diagnostics.error(*map.get("ignore_case"), "only a list of strings can ignore letter case",
                      "domains match in any letter case as they are; a regex does with (?i) in front");
  }
  if (const Node* values = map.get("values")) read_list_entries(*values, list, diagnostics);
  list.file = map.name("file");
  list.managed = map.flag("managed").value_or(false);
  list.entries_max = map.integer("entries_max", 1, 100'000'000);
  list.doc = map.text("doc").value_or("");
  if (!map.has("values") && !map.has("file") && !map.has("managed")) {
    diagnostics.error(key,
                      fmt::format("list {} has neither `values`, nor a `file`, nor is it `managed`", quoted(key.text)));
  }
  policy.lists.push_back(std::move(list));
}

void read_model(const Node& key, const Node& value, PolicySource& policy, Diagnostics& diagnostics) {
  ModelSource model;
  model.name = {key.text, &key};
  if (!check_identifier(model.name, "the name of a model", diagnostics)) return;
  model.path = {"model", key.text};
  MapReader map(value, fmt::format("model {}", quoted(key.text)), {"on", "path", "default", "doc"}, diagnostics);
  if (!map.ok()) return;
  model.on = map.names("on");
  if (auto path = map.path("path")) model.path = *path;
  model.fallback = map.get("default");
  model.doc = map.text("doc").value_or("");
  policy.models.push_back(std::move(model));
}

}  // namespace

void read_features(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  if (!expect_map(node, "`features` maps names to what they compute", diagnostics)) return;
  for (size_t i = 0; i < node.entries(); ++i) read_feature(node.key(i), node.value(i), policy, diagnostics);
}

void read_lists(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  if (!expect_map(node, "`lists` maps names to lists", diagnostics)) return;
  for (size_t i = 0; i < node.entries(); ++i) read_list(node.key(i), node.value(i), policy, diagnostics);
}

void read_models(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  if (!expect_map(node, "`models` maps names to models", diagnostics)) return;
  for (size_t i = 0; i < node.entries(); ++i) read_model(node.key(i), node.value(i), policy, diagnostics);
}

}  // namespace tamis::policy
