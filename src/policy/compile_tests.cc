// Tests: of single rules, and of the policy with events in their order.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "policy/compile.h"
#include "policy/reader.h"
#include "policy/values.h"

namespace tamis::policy {

using event::Type;
using event::Value;

namespace {

bool can_be_given(const Symbol& symbol) { return symbol.kind <= Symbol::Kind::kTime; }

std::vector<std::string> givable_names(const Scope& scope) {
  std::vector<std::string> names;
  for (const auto& [name, symbol] : scope.symbols()) {
    if (can_be_given(symbol)) names.push_back(name);
  }
  return names;
}

}  // namespace

void Compiler::add_rule_tests() {
  for (const RuleSource& rule : source_.rules) {
    std::vector<Draft*> on;
    for (auto& draft : drafts_) {
      if (std::find(draft->rules.begin(), draft->rules.end(), &rule) != draft->rules.end()) on.push_back(draft.get());
    }
    if (on.empty()) continue;
    for (const RuleTestSource& test : rule.tests) add_rule_test(rule, test, on);
  }
}

bool Compiler::gives_known_names(const RuleTestSource& test, Draft& draft) const {
  return std::all_of(test.given.begin(), test.given.end(), [&](const auto& given) {
    const Symbol* symbol = draft.scope.find(given.first.text);
    return symbol != nullptr && can_be_given(*symbol);
  });
}

// A test is of one event type: the one it names, or the first that knows all that it gives.
Compiler::Draft* Compiler::type_of_test(const RuleSource& rule, const RuleTestSource& test,
                                        const std::vector<Draft*>& on) {
  if (!test.type.given()) {
    auto fits = std::find_if(on.begin(), on.end(), [&](Draft* d) { return gives_known_names(test, *d); });
    return fits != on.end() ? *fits : on.front();
  }
  Draft* draft = find_draft(test.type);
  if (draft == nullptr || std::find(on.begin(), on.end(), draft) != on.end()) return draft;
  diagnostics_.error(*test.type.node,
                     fmt::format("rule {} is not on {}", quoted(rule.id.text), quoted(test.type.text)));
  return nullptr;
}

void Compiler::add_rule_test(const RuleSource& rule, const RuleTestSource& test, const std::vector<Draft*>& on) {
  Draft* draft = type_of_test(rule, test, on);
  if (draft == nullptr) return;
  auto compiled = std::find_if(draft->type.rules.begin(), draft->type.rules.end(),
                               [&](const Rule& r) { return r.id == rule.id.text; });
  if (compiled == draft->type.rules.end()) return;
  RuleTest out;
  read_given(test, *draft, out);
  read_given_labels(test, *draft, out);
  read_given_lists(test, out);
  read_expected(test, *draft, *compiled, out);
  out.file = test.node->source->name;
  out.line = test.node->source->position(test.node->begin).line;
  compiled->tests.push_back(std::move(out));
}

void Compiler::read_given(const RuleTestSource& test, Draft& draft, RuleTest& out) {
  for (const auto& [name, node] : test.given) {
    const Symbol* symbol = draft.scope.find(name.text);
    if (symbol == nullptr || !can_be_given(*symbol)) {
      NameProblem problem = explain(draft.scope, name.text);
      if (problem.is_told) continue;
      if (problem.message.empty()) {
        problem = {fmt::format("{} has nothing named {}", quoted(draft.type.schema.name), quoted(name.text)),
                   did_you_mean(name.text, givable_names(draft.scope))};
      }
      diagnostics_.error(*name.node, problem.message, problem.hint);
      continue;
    }
    auto value = read_value(*node, symbol->type, quoted(name.text), *policy_->memory, diagnostics_);
    if (value) out.given.insert_or_assign(name.text, *value);
  }
}

void Compiler::read_given_labels(const RuleTestSource& test, Draft& draft, RuleTest& out) {
  for (const auto& [entity, names] : test.labels) {
    std::string name(plain_name(entity.text));
    auto symbol = draft.scope.symbols().find(name);
    if (symbol == draft.scope.symbols().end()) {
      NameProblem problem = explain(draft.scope, entity.text);
      if (problem.is_told) continue;
      if (problem.message.empty()) {
        problem = {fmt::format("{} has nothing named {}", quoted(draft.type.schema.name), quoted(entity.text)),
                   did_you_mean(entity.text, givable_names(draft.scope))};
      }
      diagnostics_.error(*entity.node, problem.message, problem.hint);
    } else if (symbol->second.entity.empty()) {
      diagnostics_.error(*entity.node, fmt::format("{} names no entity, so it has no labels", quoted(entity.text)));
    }
    out.labels.emplace_back(std::move(name), names);
  }
}

void Compiler::read_given_lists(const RuleTestSource& test, RuleTest& out) {
  for (const auto& [list, entries] : test.lists) {
    auto number = list_numbers_.find(list.text);
    if (number == list_numbers_.end()) {
      std::vector<std::string> known;
      for (const ListDecl& l : policy_->lists) known.push_back(l.name);
      NameProblem problem = explain_in(list.text, "list", known);
      diagnostics_.error(*list.node, problem.message, problem.hint);
      continue;
    }
    std::vector<std::string> values;
    auto proof = state::List::make(list.text, policy_->lists[number->second].kind);
    for (const Name& entry : entries) {
      if (auto status = proof->add({entry.text, state::kNeverExpires, ""}); !status) {
        diagnostics_.error(*entry.node, status.error().message);
      }
      values.push_back(entry.text);
    }
    out.lists.emplace_back(number->second, std::move(values));
  }
}

void Compiler::read_expected(const RuleTestSource& test, const Draft& draft, const Rule& rule, RuleTest& out) {
  std::vector<std::string> answers = draft.type.ladder;
  for (const char* word : {"match", "no match", "error"}) answers.emplace_back(word);
  if (std::find(answers.begin(), answers.end(), test.expect.text) == answers.end()) {
    std::string hint = did_you_mean(test.expect.text, answers);
    if (hint.empty()) hint = fmt::format("one of {}", one_of(answers));
    diagnostics_.error(*test.expect.node,
                       fmt::format("{} is no verdict of {}", quoted(test.expect.text), quoted(draft.type.schema.name)),
                       hint);
  }
  out.expect = test.expect.text;
  if (test.expect_value == nullptr) return;
  out.has_expect_value = true;
  Type type = Type::dyn();
  if (rule.value != kNoNode) {
    type = draft.type.plan.type(rule.value);
  } else {
    diagnostics_.error(*test.expect_value, fmt::format("rule {} has no `value`", quoted(rule.id)));
  }
  auto value = read_value(*test.expect_value, type, "the value", *policy_->memory, diagnostics_);
  if (value) out.expect_value = *value;
}

namespace {

constexpr int64_t kTestsBeginMs = 1'767'225'600'000;             // 2026-01-01T00:00:00Z
constexpr size_t kStepsMax = 100'000, kStepBytesMax = 64 << 20;  // of all tests together

bool has_path(const Node& event, const std::vector<std::string>& path) {
  const Node* at = &event;
  for (const std::string& key : path) {
    at = at->find(key);
    if (at == nullptr) return false;
  }
  return true;
}

std::string time_json(int64_t ms, event::TimeFormat format) {
  switch (format) {
    case event::TimeFormat::kSeconds:
      return fmt::format("{}.{:03}", ms / 1000, ms % 1000);
    case event::TimeFormat::kMillis:
      return fmt::format("{}", ms);
    case event::TimeFormat::kMicros:
      return fmt::format("{}", ms * 1000);
    default:
      return "\"" + event::format_time_ms(ms) + "\"";
  }
}

// Puts `json` at a path into a mapping node's JSON text, `{...}`, as its first key. The path is not there yet, and
// neither is its first key, or else nothing is added.
void add_at_path(std::string& object, const Node& event, const std::vector<std::string>& path,
                 const std::string& json) {
  if (has_path(event, path) || event.find(path[0]) != nullptr) return;
  std::string prefix;
  for (size_t i = 0; i < path.size(); ++i) {
    if (i > 0) prefix += '{';
    event::append_json_string(prefix, path[i]);
    prefix += ':';
  }
  prefix += json + std::string(path.size() - 1, '}');
  if (object.size() > 2) prefix += ',';
  object.insert(1, prefix);
}

}  // namespace

// A likely slip of the pen: a key that is no field but nearly one. Real events have fields that a policy does not know.
void Compiler::check_event_keys(const Node& event, const Draft& draft) {
  std::vector<std::string> known;
  auto add_first = [&](const std::vector<std::string>& path) { known.push_back(path[0]); };
  for (const event::Field& field : draft.type.schema.fields) add_first(field.path);
  add_first(draft.type.schema.id_path);
  add_first(draft.type.schema.time_path);
  add_first(policy_->type_path);
  for (size_t i = 0; i < event.entries(); ++i) {
    const std::string& key = event.key(i).text;
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string hint = did_you_mean(key, known);
    if (hint.empty()) continue;
    diagnostics_.warning(event.key(i), fmt::format("{} has no field {}", quoted(draft.type.schema.name), quoted(key)),
                         hint);
  }
}

std::string Compiler::step_json(const StepSource& source, const Draft& draft, int64_t time_ms, size_t number,
                                size_t n) const {
  const event::EventSchema& schema = draft.type.schema;
  if (source.event->is_scalar()) return source.event->text;
  std::string json;
  JsonContext context{&schema, fmt::format("{}", n)};
  append_yaml_as_json(json, *source.event, nullptr, context);
  add_at_path(json, *source.event, schema.time_path, time_json(time_ms, schema.time_format));
  add_at_path(json, *source.event, schema.id_path, fmt::format("\"{}\"", number));
  std::string type;
  event::append_json_string(type, schema.name);
  add_at_path(json, *source.event, policy_->type_path, type);
  return json;
}

void Compiler::add_step(const StepSource& source, PolicyTest& test, int64_t& time_ms, size_t& number) {
  Draft* draft = find_draft(source.type);
  if (draft == nullptr) return;
  if (source.event->is_map()) check_event_keys(*source.event, *draft);
  PolicyTest::Step step;
  step.type = source.type.text;
  step.line = source.node->source->position(source.node->begin).line;
  const std::vector<std::string>& ladder = draft->type.ladder;
  if (source.verdict.given() && std::find(ladder.begin(), ladder.end(), source.verdict.text) == ladder.end()) {
    std::string hint = did_you_mean(source.verdict.text, ladder);
    if (hint.empty()) hint = fmt::format("its verdicts: {}", one_of(ladder));
    diagnostics_.error(*source.verdict.node,
                       fmt::format("{} has no verdict {}", quoted(source.type.text), quoted(source.verdict.text)),
                       hint);
  }
  std::vector<std::string> ids;
  for (const RuleSource* rule : draft->rules) ids.push_back(rule->id.text);
  for (const Name& rule : source.rules) {
    if (std::find(ids.begin(), ids.end(), rule.text) != ids.end()) continue;
    diagnostics_.error(*rule.node, fmt::format("{} has no rule {}", quoted(source.type.text), quoted(rule.text)),
                       did_you_mean(rule.text, ids));
  }
  std::vector<std::string> fields, dropped;
  for (const event::Field& field : draft->type.schema.fields) fields.push_back(field.name);
  for (const Name& field : source.dropped) {
    dropped.push_back(field.text);
    if (std::find(fields.begin(), fields.end(), field.text) != fields.end()) continue;
    diagnostics_.error(*field.node, fmt::format("{} has no field {}", quoted(source.type.text), quoted(field.text)),
                       did_you_mean(field.text, fields));
  }
  for (int64_t n = 1; n <= source.times; ++n) {
    if (steps_ >= kStepsMax || step_bytes_ > kStepBytesMax) {
      diagnostics_.error(*source.node, fmt::format("the tests have more than {} events, or more than {} of them",
                                                   kStepsMax, base::format_bytes(kStepBytesMax)));
      return;
    }
    ++steps_;
    time_ms += source.after_ms;
    step.event_json = step_json(source, *draft, time_ms, ++number, static_cast<size_t>(n));
    step.expect_dropped = dropped;
    step_bytes_ += step.event_json.size();
    test.steps.push_back(step);
  }
  // Of a step that repeats, the last event is the one that is looked at.
  PolicyTest::Step& last = test.steps.back();
  last.expect_verdict = source.verdict.text;
  last.has_rules = source.has_rules;
  for (const Name& rule : source.rules) last.expect_rules.push_back(rule.text);
  for (const auto& [name, node] : source.features) {
    Symbol* symbol = draft->scope.find(name.text);
    if (symbol == nullptr || symbol->kind != Symbol::Kind::kFeature) {
      NameProblem problem = explain(draft->scope, name.text);
      if (problem.is_told) continue;
      if (problem.message.empty()) problem = {fmt::format("there is no feature {}", quoted(name.text)), ""};
      diagnostics_.error(*name.node, problem.message, problem.hint);
    } else if (!symbol->read) {
      diagnostics_.error(*name.node, fmt::format("no rule on {} reads {}, so its value is not known there",
                                                 quoted(source.type.text), quoted(name.text)));
    } else if (auto value = read_value(*node, symbol->type, quoted(name.text), *policy_->memory, diagnostics_)) {
      last.expect_features.insert_or_assign(name.text, *value);
    }
  }
}

void Compiler::add_policy_tests() {
  for (const TestSource& source : source_.tests) {
    PolicyTest test;
    test.name = source.name.text;
    test.file = source.node->source->name;
    test.line = source.node->source->position(source.node->begin).line;
    int64_t time_ms = kTestsBeginMs;
    size_t number = 0;
    for (const StepSource& step : source.steps) add_step(step, test, time_ms, number);
    policy_->tests.push_back(std::move(test));
  }
}

}  // namespace tamis::policy
