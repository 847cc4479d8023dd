// `rules:` and `tests:`.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "policy/reader.h"

namespace tamis::policy {

namespace {

void check_id(const Name& id, Diagnostics& diagnostics) {
  bool good = !id.text.empty() && id.text.size() <= 100 && std::isalnum(static_cast<unsigned char>(id.text[0]));
  for (char c : id.text) {
    good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' || c == '/');
  }
  if (!good) diagnostics.error(*id.node, "an id is letters, digits and `-` `_` `.` `/`, at most 100");
}

// A name of labels, channels: what people see and type.
void check_mark(const Name& name, std::string_view what, Diagnostics& diagnostics) {
  bool good = name.text.size() <= 100;
  for (char c : name.text) {
    good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' || c == ':');
  }
  if (!good) diagnostics.error(*name.node, fmt::format("{} is letters, digits and `-` `_` `.` `:`, at most 100", what));
}

// `60s`, or `forever`.
int64_t read_for(const MapReader& map) {
  const Node* node = map.get("for");
  if (node == nullptr || (node->is_scalar() && node->text == "forever")) return kForever;
  return map.span_ms("for", kSecondMs, kAlwaysMs).value_or(kForever);
}

template <class Read>
void one_or_many(const Node* node, Read read) {
  if (node == nullptr) return;
  if (!node->is_sequence()) return read(*node);
  for (const Node& item : node->items) read(item);
}

void read_label(const Node& node, RuleSource& rule, Diagnostics& diagnostics) {
  MapReader map(node, "`label`", {"on", "kind", "name", "for"}, diagnostics);
  if (!map.ok()) return;
  map.missing("on", ": the attribute whose entity gets the label");
  map.missing("name");
  LabelSource label;
  label.on = map.expression("on");
  label.kind = map.name("kind");
  label.name = map.name("name");
  label.for_ms = read_for(map);
  if (!label.on.given() || !label.name.given()) return;
  check_mark(label.name, "a label", diagnostics);
  if (!map.has("for")) {
    diagnostics.warning(node, fmt::format("label {} never expires", quoted(label.name.text)),
                        "say for how long, like `for: 7d`, or `for: forever`");
  }
  rule.labels.push_back(std::move(label));
}

void read_list_add(const Node& node, RuleSource& rule, Diagnostics& diagnostics) {
  MapReader map(node, "`list`", {"add", "value", "for"}, diagnostics);
  if (!map.ok()) return;
  map.missing("add", ": the list that gets the value");
  map.missing("value");
  ListAddSource add{map.name("add"), map.expression("value"), read_for(map)};
  if (add.list.given() && add.value.given()) rule.lists.push_back(std::move(add));
}

void read_notify(const Node& node, RuleSource& rule, Diagnostics& diagnostics) {
  MapReader map(node, "`notify`", {"channel", "message"}, diagnostics);
  if (!map.ok()) return;
  map.missing("channel");
  NotifySource notify{map.name("channel"), map.expression("message")};
  if (!notify.channel.given()) return;
  check_mark(notify.channel, "a channel", diagnostics);
  rule.notify.push_back(std::move(notify));
}

void read_then(const Node& node, RuleSource& rule, Diagnostics& diagnostics) {
  if (node.is_scalar()) {  // `then: challenge`
    rule.verdict = {node.text, &node};
    return;
  }
  MapReader map(node, "`then`", {"verdict", "points", "score", "weight", "label", "list", "notify"}, diagnostics);
  if (!map.ok()) return;
  rule.verdict = map.name("verdict");
  const Node* points = nullptr;
  for (std::string_view key : {"points", "score", "weight"}) {
    const Node* value = map.get(key);
    if (value == nullptr) continue;
    if (points != nullptr) diagnostics.error(*value, "`points`, `score` and `weight` mean the same: give one of them");
    if (points == nullptr) rule.points = map.expression(key);
    points = value;
  }
  one_or_many(map.get("label"), [&](const Node& n) { read_label(n, rule, diagnostics); });
  one_or_many(map.get("list"), [&](const Node& n) { read_list_add(n, rule, diagnostics); });
  one_or_many(map.get("notify"), [&](const Node& n) { read_notify(n, rule, diagnostics); });
}

// "10%", "10" or "0.5 %".
std::optional<double> parse_share(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '%')) text.remove_suffix(1);
  double share = 0;
  if (!parse_number(text, share) || !(share > 0 && share <= 100)) return std::nullopt;
  return share;
}

void read_canary(const Node& node, RuleSource& rule, Diagnostics& diagnostics) {
  rule.mode = Mode::kCanary;
  std::optional<double> share;
  const Node* at = &node;
  if (node.is_map()) {
    MapReader map(node, "a canary", {"share", "by"}, diagnostics);
    map.missing("share", ": the percentage of entities");
    rule.canary_by = map.expression("by");
    at = map.get("share");
    if (at == nullptr) return;
  }
  if (at->is_scalar()) share = parse_share(at->text);
  if (!share) diagnostics.error(*at, "the share of a canary is a percentage above 0, at most 100, like `10%`");
  rule.canary_percent = share.value_or(0);
}

void read_mode(const MapReader& map, RuleSource& rule, Diagnostics& diagnostics) {
  static const std::vector<std::string> kModes = {"off", "shadow", "canary", "live"};
  const Node* mode = map.get("mode");
  const Node* canary = map.get("canary");
  if (mode == nullptr) {
    if (canary != nullptr) read_canary(*canary, rule, diagnostics);
    return;
  }
  if (mode->is_map()) {
    read_canary(*mode, rule, diagnostics);
  } else if (mode->is_scalar() && mode->text.starts_with("canary ")) {
    rule.mode = Mode::kCanary;
    auto share = parse_share(std::string_view(mode->text).substr(7));
    if (!share)
      diagnostics.error(*mode, "the share of a canary is a percentage above 0, at most 100, like `canary 10%`");
    rule.canary_percent = share.value_or(0);
  } else if (auto chosen = map.choice("mode", kModes)) {
    rule.mode = static_cast<Mode>(*chosen);
    if (rule.mode == Mode::kCanary && canary == nullptr) {
      diagnostics.error(*mode, "a canary needs its share, like `canary 10%`");
    }
    if (rule.mode == Mode::kCanary && canary != nullptr) return read_canary(*canary, rule, diagnostics);
  }
  if (canary != nullptr) diagnostics.error(*canary, "`mode` and `canary` contradict each other: give one of them");
}

void read_given(const Node& node, RuleTestSource& test, Diagnostics& diagnostics) {
  if (!node.is_map()) {
    diagnostics.error(node, fmt::format("`given` maps names to values, not {}", kind_name(node)));
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) test.given.push_back({{node.key(i).text, &node.key(i)}, &node.value(i)});
}

void read_given_labels(const Node& node, RuleTestSource& test, Diagnostics& diagnostics) {
  if (!node.is_map()) {
    diagnostics.error(node, "`labels` maps attributes to labels, like {ip.net24: burst}");
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) {
    std::vector<std::string> names;
    one_or_many(&node.value(i), [&](const Node& item) {
      if (auto name = read_name(item, "a label", diagnostics)) names.push_back(name->text);
    });
    test.labels.push_back({{node.key(i).text, &node.key(i), 0}, std::move(names)});
  }
}

void read_given_lists(const Node& node, RuleTestSource& test, Diagnostics& diagnostics) {
  if (!node.is_map()) {
    diagnostics.error(node, "`lists` maps lists to entries that they have besides their own");
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) {
    std::vector<Name> entries;
    one_or_many(&node.value(i), [&](const Node& item) {
      if (auto entry = read_name(item, "an entry", diagnostics)) entries.push_back(*entry);
    });
    test.lists.push_back({{node.key(i).text, &node.key(i)}, std::move(entries)});
  }
}

void read_rule_test(const Node& node, RuleSource& rule, Diagnostics& diagnostics) {
  MapReader map(node, "a test of a rule", {"given", "labels", "lists", "type", "expect"}, diagnostics);
  if (!map.ok()) return;
  RuleTestSource test;
  test.node = &node;
  test.type = map.name("type");
  if (const Node* given = map.get("given")) read_given(*given, test, diagnostics);
  if (const Node* labels = map.get("labels")) read_given_labels(*labels, test, diagnostics);
  if (const Node* lists = map.get("lists")) read_given_lists(*lists, test, diagnostics);
  map.missing("expect", ": a verdict, `match`, `no match` or `error`");
  const Node* expect = map.get("expect");
  if (expect == nullptr) return;
  if (expect->is_map()) {
    MapReader more(*expect, "`expect`", {"verdict", "value"}, diagnostics);
    test.expect = more.name("verdict");
    test.expect_value = more.get("value");
    if (!test.expect.given()) test.expect = {"match", expect};
  } else {
    test.expect = map.name("expect");
  }
  rule.tests.push_back(std::move(test));
}

void read_lets(const Node& node, RuleSource& rule, Diagnostics& diagnostics) {
  if (!node.is_map()) {
    diagnostics.error(node, fmt::format("`let` maps names to expressions, not {}", kind_name(node)));
    return;
  }
  constexpr size_t kLetsMax = 32;
  for (size_t i = 0; i < node.entries(); ++i) {
    Name name{node.key(i).text, &node.key(i)};
    if (i == kLetsMax)
      return diagnostics.error(node.key(i), fmt::format("a rule has at most {} names in `let`", kLetsMax));
    auto value = read_expression(node.value(i), fmt::format("{} of `let`", quoted(name.text)), diagnostics);
    if (check_identifier(name, "a name of `let`", diagnostics) && value) rule.lets.push_back({name, *value});
  }
}

// What a customer is told. It stands as it is written: a place that would be filled in could tell a threshold.
void read_say(const std::string& text, const Node& node, RuleSource& rule, Diagnostics& diagnostics) {
  constexpr size_t kSayBytesMax = 500;
  if (text.size() > kSayBytesMax) {
    return diagnostics.error(node,
                             fmt::format("`say` has {} bytes, at most {} are allowed", text.size(), kSayBytesMax));
  }
  if (text.find_first_of("{}") != std::string::npos) {
    return diagnostics.error(node, "`say` is told to a customer as it stands: nothing in braces is filled in",
                             "`reason` is the key for what analysts read");
  }
  rule.say = text;
}

void read_rule(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  const Node* id = node.find("id");
  std::string what = id != nullptr && id->is_scalar() ? fmt::format("rule {}", quoted(id->text)) : "a rule";
  MapReader map(
      node, what,
      {"id", "on", "let", "when", "value", "then", "reason", "say", "mode", "canary", "owner", "doc", "tests"},
      diagnostics);
  if (!map.ok()) return;
  RuleSource rule;
  rule.node = &node;
  map.missing("id");
  rule.id = map.name("id");
  if (!rule.id.given()) return;
  check_id(rule.id, diagnostics);  // the rest of the rule is looked at all the same
  rule.on = map.names("on");
  if (const Node* lets = map.get("let")) read_lets(*lets, rule, diagnostics);
  rule.when = map.expression("when");
  rule.value = map.expression("value");
  if (!map.has("when") && !map.has("value")) map.missing("when", " or `value`");
  if (const Node* then = map.get("then")) read_then(*then, rule, diagnostics);
  if (auto reason = map.text("reason")) rule.reason = {*reason, map.get("reason"), 0};
  if (auto say = map.text("say")) read_say(*say, *map.get("say"), rule, diagnostics);
  read_mode(map, rule, diagnostics);
  rule.owner = map.text("owner").value_or("");
  rule.doc = map.text("doc").value_or("");
  if (const Node* tests = map.get("tests")) {
    if (!tests->is_sequence()) diagnostics.error(*tests, fmt::format("`tests` is a list, not {}", kind_name(*tests)));
    if (tests->is_sequence()) one_or_many(tests, [&](const Node& n) { read_rule_test(n, rule, diagnostics); });
  }
  policy.rules.push_back(std::move(rule));
}

void read_step_expect(const Node& node, StepSource& step, Diagnostics& diagnostics) {
  if (node.is_scalar()) {
    step.verdict = {node.text, &node};
    return;
  }
  MapReader map(node, "`expect`", {"verdict", "rules", "features", "dropped"}, diagnostics);
  if (!map.ok()) return;
  step.verdict = map.name("verdict");
  step.dropped = map.names("dropped");
  if (const Node* rules = map.get("rules")) {
    step.has_rules = true;
    one_or_many(rules, [&](const Node& item) {
      if (auto id = read_name(item, "a rule", diagnostics)) step.rules.push_back(*id);
    });
  }
  const Node* features = map.get("features");
  if (features == nullptr) return;
  if (!features->is_map()) return diagnostics.error(*features, "`features` maps features to their values");
  for (size_t i = 0; i < features->entries(); ++i) {
    step.features.push_back({{features->key(i).text, &features->key(i)}, &features->value(i)});
  }
}

void read_step(const Node& node, TestSource& test, Diagnostics& diagnostics) {
  MapReader map(node, "a step of a test", {"type", "event", "times", "after", "expect"}, diagnostics);
  if (!map.ok()) return;
  StepSource step;
  step.node = &node;
  map.missing("type");
  map.missing("event", ": its fields, as the service sends them");
  step.type = map.name("type");
  step.event = map.get("event");
  step.times = map.integer("times", 1, 10'000).value_or(1);
  step.after_ms = map.span_ms("after", 0, 365 * kDayMs).value_or(kSecondMs);
  if (const Node* expect = map.get("expect")) read_step_expect(*expect, step, diagnostics);
  if (step.event != nullptr && !step.event->is_map() && !step.event->is_scalar()) {
    diagnostics.error(*step.event, "`event` is a mapping of fields, or JSON as text");
    return;
  }
  if (step.type.given() && step.event != nullptr) test.steps.push_back(std::move(step));
}

}  // namespace

void read_rules(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  if (!node.is_sequence()) {
    diagnostics.error(node, fmt::format("`rules` is a list of rules, not {}", kind_name(node)),
                      "each rule begins with `- id: ...`");
    return;
  }
  for (const Node& item : node.items) read_rule(item, policy, diagnostics);
}

void read_tests(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  if (!node.is_sequence()) {
    diagnostics.error(node, fmt::format("`tests` is a list of tests, not {}", kind_name(node)));
    return;
  }
  for (const Node& item : node.items) {
    MapReader map(item, "a test", {"name", "steps", "doc"}, diagnostics);
    if (!map.ok()) continue;
    TestSource test;
    test.node = &item;
    map.missing("name");
    map.missing("steps");
    test.name = map.name("name");
    const Node* steps = map.get("steps");
    if (steps != nullptr && !steps->is_sequence())
      diagnostics.error(*steps, "`steps` is a list of events in their order");
    if (!test.name.given() || steps == nullptr || !steps->is_sequence()) continue;
    for (const Node& step : steps->items) read_step(step, test, diagnostics);
    policy.tests.push_back(std::move(test));
  }
}

}  // namespace tamis::policy
