// Rules: each compiled once for every event type that it is on.
#include <fmt/format.h>

#include <algorithm>

#include "policy/compile.h"

namespace tamis::policy {

using event::Type;

namespace {

// For trying out constant conditions: nothing is in any list, and asking is noticed.
class EmptyHost : public cel::Host {
 public:
  bool list_contains(int64_t, event::Value) const override { return asked = true, false; }
  event::Value labels_of(int64_t, event::Value, base::Arena&) const override {
    asked = true;
    return event::Value::list({});
  }
  mutable bool asked = false;
};

std::string trimmed(const std::string& text) {
  size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  return begin == std::string::npos ? std::string() : text.substr(begin, end - begin + 1);
}

}  // namespace

// What can be said of a rule whatever its event types, and which types those are.
void Compiler::check_rules() {
  std::set<std::string_view> ids;
  for (const RuleSource& rule : source_.rules) {
    if (!ids.insert(rule.id.text).second) continue;  // said already
    std::vector<Draft*> on;
    for (const Name& name : rule.on) {
      if (Draft* draft = find_draft(name)) on.push_back(draft);
    }
    if (rule.on.empty()) {
      for (auto& draft : drafts_) on.push_back(draft.get());
    }
    for (Draft* draft : on) draft->rules.push_back(&rule);
    std::vector<std::string> names;
    for (const ListSource& list : source_.lists) names.push_back(list.name.text);
    for (const ListAddSource& add : rule.lists) {
      auto list = list_numbers_.find(add.list.text);
      if (list == list_numbers_.end()) {
        NameProblem problem = explain_in(add.list.text, "list", names);
        diagnostics_.error(*add.list.node, problem.message, problem.hint);
      } else if (!policy_->lists[list->second].managed) {
        diagnostics_.error(*add.list.node, fmt::format("list {} takes no entries at run time", quoted(add.list.text)),
                           "declare it with `managed: true`");
      }
      lists_used_.insert(add.list.text);
    }
    if (rule.mode == Mode::kLive && rule.verdict.given() && !rule.reason.given()) {
      diagnostics_.warning(*rule.id.node, fmt::format("rule {} is live and gives no `reason`", quoted(rule.id.text)),
                           "whoever has to explain a decision reads it");
    }
  }
}

void Compiler::mark_rule(const RuleSource& rule, Scope& scope) {
  for (const auto& [name, value] : rule.lets) expressions_.mark(value, scope);
  for (const Expression* part : {&rule.when, &rule.value, &rule.points, &rule.canary_by})
    expressions_.mark(*part, scope);
  for (const LabelSource& label : rule.labels) expressions_.mark(label.on, scope);
  for (const ListAddSource& list : rule.lists) expressions_.mark(list.value, scope);
  for (const NotifySource& notify : rule.notify) expressions_.mark_template(notify.message, scope);
  expressions_.mark_template(rule.reason, scope);
  for (const RuleTestSource& test : rule.tests) {
    for (const auto& [entity, names] : test.labels) expressions_.mark(entity, scope);
  }
}

cel::NodeId Compiler::add(const Expression& expression, Draft& draft, const Scope& scope, const cel::Env& env,
                          Expect expect, std::string_view what) {
  auto compiled = expressions_.compile(expression, scope, env, expect, what);
  return compiled ? draft.builder.add(*compiled) : kNoNode;
}

// Names of `let` mean their expression from here to the end of the rule.
cel::Env Compiler::add_lets(const RuleSource& source, Draft& draft, const cel::Env& env, Scope& scope) {
  cel::Env with = env;
  for (const auto& [name, value] : source.lets) {
    int32_t slot = draft.next_let_slot++;
    if (const Symbol* symbol = scope.find(name.text)) {
      bool is_let = symbol->kind == Symbol::Kind::kLet;
      diagnostics_.error(*name.node, fmt::format("{} is {} already", quoted(name.text), is_let ? "there" : "a name"),
                         fmt::format("event type {}", quoted(draft.type.schema.name)));
      continue;
    }
    auto compiled = expressions_.compile(value, scope, with, Expect::kAny, "`let`");
    Symbol symbol;
    symbol.name = name.text;
    symbol.kind = Symbol::Kind::kLet;
    symbol.slot = slot;
    symbol.type = compiled ? compiled->type() : Type::error();
    if (compiled) draft.builder.define(slot, draft.builder.add(*compiled));
    cel::Variable variable;
    variable.name = symbol.name;
    variable.type = symbol.type;
    variable.slot = slot;
    with.add_variable(std::move(variable));
    scope.add(std::move(symbol));
  }
  return with;
}

void Compiler::compile_rule(const RuleSource& source, Draft& draft, const cel::Env& type_env) {
  Scope with_lets;
  cel::Env* env_of_lets = nullptr;
  std::unique_ptr<cel::Env> owned;
  if (!source.lets.empty()) {
    with_lets = draft.scope;
    owned = std::make_unique<cel::Env>(add_lets(source, draft, type_env, with_lets));
    env_of_lets = owned.get();
  }
  const Scope& scope = env_of_lets != nullptr ? with_lets : draft.scope;
  const cel::Env& env = env_of_lets != nullptr ? *env_of_lets : type_env;

  Rule out;
  out.id = source.id.text;
  out.mode = source.mode;
  Expression when = source.when;
  if (!when.given()) when = {"true", source.id.node, 0};
  out.when = add(when, draft, scope, env, Expect::kBool, "`when`");
  out.when_text = trimmed(when.text);
  if (source.value.given()) out.value = add(source.value, draft, scope, env, Expect::kAny, "`value`");
  if (source.points.given()) out.points = add(source.points, draft, scope, env, Expect::kNumber, "`points`");
  if (source.verdict.given()) {
    const std::vector<std::string>& ladder = draft.type.ladder;
    auto it = std::find(ladder.begin(), ladder.end(), source.verdict.text);
    if (it != ladder.end()) {
      out.verdict = static_cast<int32_t>(it - ladder.begin());
    } else {
      std::string hint = did_you_mean(source.verdict.text, ladder);
      if (hint.empty()) hint = fmt::format("its verdicts: {}", one_of(ladder));
      diagnostics_.error(
          *source.verdict.node,
          fmt::format("{} has no verdict {}", quoted(draft.type.schema.name), quoted(source.verdict.text)), hint);
    }
  }
  compile_effects(source, draft, scope, env, out);
  out.reason = expressions_.compile_template(source.reason, scope, env, draft.builder, "`reason`");
  compile_canary(source, draft, scope, env, out);
  out.owner = source.owner;
  out.doc = source.doc;
  out.say = source.say;
  out.file = source.node->source->name;
  out.line = source.node->source->position(source.node->begin).line;
  draft.type.rules.push_back(std::move(out));
}

void Compiler::compile_effects(const RuleSource& source, Draft& draft, const Scope& scope, const cel::Env& env,
                               Rule& out) {
  for (const LabelSource& label : source.labels) compile_label(label, draft, scope, env, out);
  for (const ListAddSource& list : source.lists) compile_list_add(list, draft, scope, env, out);
  for (const NotifySource& notify : source.notify) {
    NotifyEffect effect;
    effect.channel = notify.channel.text;
    effect.message = expressions_.compile_template(notify.message, scope, env, draft.builder, "`message`");
    out.notify.push_back(std::move(effect));
  }
}

void Compiler::compile_label(const LabelSource& source, Draft& draft, const Scope& scope, const cel::Env& env,
                             Rule& out) {
  LabelEffect effect;
  effect.name = source.name.text;
  effect.for_ms = source.for_ms;
  effect.entity = add(source.on, draft, scope, env, Expect::kEntity, "what gets a label");
  const std::vector<std::string>& kinds = policy_->entity_kinds;
  if (source.kind.given()) {
    effect.entity_kind = source.kind.text;
    if (std::find(kinds.begin(), kinds.end(), source.kind.text) == kinds.end()) {
      std::string hint = did_you_mean(source.kind.text, kinds);
      if (hint.empty()) hint = fmt::format("kinds: {}", one_of(kinds));
      diagnostics_.error(*source.kind.node,
                         fmt::format("no field names an entity of kind {}", quoted(source.kind.text)), hint);
    }
  } else if (effect.entity != kNoNode) {
    auto symbol = scope.symbols().find(plain_name(source.on.text));
    if (symbol == scope.symbols().end() || symbol->second.entity.empty()) {
      diagnostics_.error(*source.on.node,
                         fmt::format("{} names no entity that could carry a label", quoted(source.on.text)),
                         "give its field an `entity:`, or say which `kind:` it is");
    } else {
      effect.entity_kind = symbol->second.entity;
    }
  }
  out.labels.push_back(std::move(effect));
}

void Compiler::compile_list_add(const ListAddSource& source, Draft& draft, const Scope& scope, const cel::Env& env,
                                Rule& out) {
  auto number = list_numbers_.find(source.list.text);
  if (number == list_numbers_.end()) return;  // said already
  ListEffect effect;
  effect.list = number->second;
  effect.for_ms = source.for_ms;
  auto value = expressions_.compile(source.value, scope, env, Expect::kKey, "a value for a list");
  if (value) {
    state::ListKind kind = policy_->lists[effect.list].kind;
    Type::Kind have = value->type().kind;
    bool is_int = kind == state::ListKind::kInt;
    bool is_network = kind == state::ListKind::kNetwork && have == Type::Kind::kOpaque;
    bool fits = value->type().is_dyn() || is_network || have == (is_int ? Type::Kind::kInt : Type::Kind::kString);
    if (fits) {
      effect.value = draft.builder.add(*value);
    } else {
      diagnostics_.error(*source.value.node, fmt::format("list {} holds {}, and this is {}", quoted(source.list.text),
                                                         is_int ? "int" : "string", event::to_string(value->type())));
    }
  }
  out.lists.push_back(std::move(effect));
}

void Compiler::compile_canary(const RuleSource& source, Draft& draft, const Scope& scope, const cel::Env& env,
                              Rule& out) {
  if (source.mode != Mode::kCanary) return;
  out.canary_percent = source.canary_percent;
  if (source.canary_by.given()) {
    out.canary_by = add(source.canary_by, draft, scope, env, Expect::kKey, "`by`");
    return;
  }
  if (draft.type.entities.empty()) {
    diagnostics_.error(*source.id.node,
                       fmt::format("a canary goes by an entity, and {} has none", quoted(draft.type.schema.name)),
                       "say by what: `canary: {share: 10%, by: account}`");
    return;
  }
  out.canary_by = add({draft.type.entities.front().name, source.id.node, 0}, draft, scope, env, Expect::kKey, "`by`");
}

void Compiler::warn_of_constant(const RuleSource& source, const EventType& type, const Rule& rule) {
  if (rule.when == kNoNode || !source.when.given() || !type.plan.slots_read(rule.when).empty()) return;
  cel::Frame frame(type.plan);
  base::Arena arena;
  EmptyHost host;
  std::vector<event::Value> slots(static_cast<size_t>(type.slot_count));
  frame.begin(slots.data(), arena, &host);
  event::Value value = type.plan.eval(rule.when, frame);
  if (host.asked || value.is_true()) return;
  diagnostics_.warning(*source.when.node,
                       value.is_false() ? "this condition is never true" : "this condition is always an error");
}

}  // namespace tamis::policy
