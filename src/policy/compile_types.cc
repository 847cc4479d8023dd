// Event types: what they inherit, their schema, verdicts and names, and the slots of what is read.
#include <fmt/format.h>

#include <algorithm>

#include "policy/compile.h"
#include "policy/values.h"

namespace tamis::policy {

using event::Type;

std::string_view entity_of(event::Attribute attribute);  // compile.cc

namespace {

// What `from` says wins over what `to` has.
void inherit(EventSource& to, const EventSource& from) {
  for (const FieldSource& field : from.fields) {
    auto same = std::find_if(to.fields.begin(), to.fields.end(),
                             [&](const FieldSource& f) { return f.name.text == field.name.text; });
    if (same != to.fields.end()) {
      *same = field;
    } else {
      to.fields.push_back(field);
    }
  }
  if (from.id_path) to.id_path = from.id_path;
  if (from.time_path) {
    to.time_path = from.time_path;
    to.time_format = from.time_format;
  }
  if (from.lateness_ms) to.lateness_ms = from.lateness_ms;
  if (from.unique_ms) to.unique_ms = from.unique_ms;
  if (from.strict) to.strict = from.strict;
  if (!from.ladder.empty()) to.ladder = from.ladder;
  if (from.override_verdict.given()) to.override_verdict = from.override_verdict;
  if (from.thresholds) to.thresholds = from.thresholds;
  if (from.score.given()) to.score = from.score;
  for (const auto& shown : from.shown) {
    std::erase_if(to.shown, [&](const auto& other) { return other.first.text == shown.first.text; });
    to.shown.push_back(shown);
  }
  if (from.overload) to.overload = from.overload, to.overload_verdict = from.overload_verdict;
  if (!from.doc.empty()) to.doc = from.doc;
}

}  // namespace

bool Compiler::resolve(const EventSource& event, std::vector<const EventSource*>& chain, EventSource& out) {
  constexpr size_t kDepthMax = 16;
  if (std::find(chain.begin(), chain.end(), &event) != chain.end() || chain.size() > kDepthMax) {
    diagnostics_.error(*event.extends.node, fmt::format("{} extends itself", quoted(event.name.text)));
    return false;
  }
  chain.push_back(&event);
  if (!event.extends.given()) {
    inherit(out, source_.defaults);
  } else {
    std::vector<std::string> names;
    const EventSource* parent = nullptr;
    for (const EventSource& other : source_.events) {
      if (&other != &event) names.push_back(other.name.text);
      if (other.name.text == event.extends.text) parent = &other;
    }
    if (parent == nullptr) {
      diagnostics_.error(*event.extends.node, fmt::format("there is no event type {}", quoted(event.extends.text)),
                         did_you_mean(event.extends.text, names));
      return false;
    }
    if (!resolve(*parent, chain, out)) return false;
  }
  inherit(out, event);
  return true;
}

void Compiler::add_types() {
  std::set<std::string_view> seen;
  for (const EventSource& event : source_.events) {
    auto draft = std::make_unique<Draft>();
    std::vector<const EventSource*> chain;
    if (!resolve(event, chain, draft->source)) continue;
    if (event.is_abstract || !seen.insert(event.name.text).second) continue;
    draft->source.name = event.name;
    draft->source.node = event.node;
    draft->source.doc = event.doc;
    draft->scope = Scope(event.name.text);
    fill_schema(*draft);
    fill_verdicts(*draft);
    drafts_.push_back(std::move(draft));
  }
  if (drafts_.empty() && !diagnostics_.has_errors()) {
    diagnostics_.error_file({}, "a policy needs at least one event type", "event: signup\n  fields:\n    ip: ip");
  }
}

void Compiler::fill_schema(Draft& draft) {
  const EventSource& source = draft.source;
  event::EventSchema& schema = draft.type.schema;
  schema.name = source.name.text;
  schema.doc = source.doc;
  if (source.id_path) schema.id_path = *source.id_path;
  if (source.time_path) schema.time_path = *source.time_path;
  if (source.time_format) schema.time_format = *source.time_format;
  if (source.lateness_ms) schema.lateness_ms = *source.lateness_ms;
  if (source.unique_ms) draft.type.unique_ms = *source.unique_ms;
  schema.strict = source.strict.value_or(false);
  for (const FieldSource& from : source.fields) {
    event::Field field;
    field.name = from.name.text;
    field.type = from.type;
    field.semantic = from.semantic;
    field.entity = from.entity.text;
    field.path = from.path;
    field.required = from.required;
    field.doc = from.doc;
    bool is_personal = from.semantic == event::Semantic::kIp || from.semantic == event::Semantic::kEmail;
    field.token = from.token.value_or(is_personal);
    field.keep_days = from.keep_days.value_or(source_.keep_days.value_or(0));
    if (!from.entity.text.empty() && from.type.kind != Type::Kind::kString && from.type.kind != Type::Kind::kInt) {
      diagnostics_.error(*from.entity.node, fmt::format("only text and whole numbers name an entity, and {} is {}",
                                                        quoted(field.name), event::to_string(from.type)));
    }
    if (from.fallback != nullptr) {
      auto value = read_value(*from.fallback, from.type, "the default", *policy_->memory, diagnostics_);
      if (value && !value->is(event::Kind::kAbsent)) field.fallback = *value;
    }
    schema.fields.push_back(std::move(field));
  }
}

void Compiler::fill_verdicts(Draft& draft) {
  const EventSource& source = draft.source;
  EventType& type = draft.type;
  if (source.ladder.empty()) type.ladder = {"accept", "challenge", "reject"};
  for (const Name& verdict : source.ladder) type.ladder.push_back(verdict.text);
  auto place = [&](const Name& verdict) {
    auto it = std::find(type.ladder.begin(), type.ladder.end(), verdict.text);
    if (it != type.ladder.end()) return static_cast<int32_t>(it - type.ladder.begin());
    std::string hint = did_you_mean(verdict.text, type.ladder);
    if (hint.empty()) hint = fmt::format("its verdicts: {}", one_of(type.ladder));
    diagnostics_.error(*verdict.node,
                       fmt::format("{} has no verdict {}", quoted(type.schema.name), quoted(verdict.text)), hint);
    return -1;
  };
  if (source.override_verdict.given()) type.override_verdict = place(source.override_verdict);
  type.overload = source.overload.value_or(FailMode::kOpen);
  type.overload_verdict = type.overload == FailMode::kOpen ? type.ladder.front() : type.ladder.back();
  if (source.overload_verdict.given() && place(source.overload_verdict) >= 0) {
    type.overload_verdict = source.overload_verdict.text;
  }
  if (!source.thresholds) return;
  std::vector<std::pair<double, int32_t>> thresholds;
  for (const ThresholdSource& threshold : *source.thresholds) {
    int32_t verdict = place(threshold.verdict);
    if (verdict < 0) continue;
    for (const auto& [points, other] : thresholds) {
      if ((verdict > other) == (threshold.points > points)) continue;
      diagnostics_.error(*threshold.verdict.node,
                         fmt::format("{} is {} than {} and so needs {} points", quoted(threshold.verdict.text),
                                     verdict > other ? "harsher" : "milder", quoted(type.ladder[other]),
                                     verdict > other ? "more" : "fewer"));
    }
    thresholds.emplace_back(threshold.points, verdict);
  }
  std::sort(thresholds.begin(), thresholds.end());
  type.thresholds = std::move(thresholds);
}

void Compiler::fill_scope(Draft& draft) {
  Scope& scope = draft.scope;
  const std::vector<event::Field>& fields = draft.type.schema.fields;
  for (uint32_t i = 0; i < fields.size(); ++i) {
    Symbol symbol;
    symbol.name = fields[i].name;
    symbol.type = fields[i].type;
    symbol.index = i;
    symbol.entity = fields[i].entity;
    symbol.never_absent = fields[i].required || fields[i].fallback.has_value();
    symbol.slot = static_cast<int32_t>(i);
    scope.add(symbol);
    for (const event::AttributeInfo& info : event::attributes_of(fields[i].semantic)) {
      Symbol attribute;
      attribute.name = fmt::format("{}.{}", fields[i].name, info.name);
      attribute.type = info.type;
      attribute.kind = Symbol::Kind::kAttribute;
      attribute.index = i;
      attribute.attribute = info.attribute;
      attribute.entity = entity_of(info.attribute);
      scope.add(attribute);
    }
  }
  auto add_constant = [&](std::string name, Symbol::Kind kind, Type type, event::Value value, uint32_t index) {
    Symbol symbol;
    symbol.name = std::move(name);
    symbol.kind = kind;
    symbol.type = std::move(type);
    symbol.constant = value;
    symbol.index = index;
    scope.add(symbol);
  };
  for (uint32_t i = 0; i < policy_->lists.size(); ++i) {
    const ListDecl& list = policy_->lists[i];
    Type element = list.kind == state::ListKind::kInt ? Type::integer() : Type::string();
    add_constant("list." + list.name, Symbol::Kind::kList, Type::opaque("tamis.list", {element}),
                 event::Value::handle(i), i);
  }
  for (uint32_t i = 0; i < policy_->entity_kinds.size(); ++i) {
    add_constant("kind." + policy_->entity_kinds[i], Symbol::Kind::kEntityKind, Type::opaque("tamis.entity_kind"),
                 event::Value::handle(i), i);
  }
  add_constant("event.type", Symbol::Kind::kConstant, Type::string(),
               event::Value::string(policy_->memory->copy(draft.type.schema.name)), 0);
  Symbol time;
  time.name = "event.time";
  time.type = Type::timestamp();
  time.kind = Symbol::Kind::kTime;
  scope.add(time);
  add_models(draft);
}

void Compiler::add_models(Draft& draft) {
  for (uint32_t i = 0; i < source_.models.size(); ++i) {
    const ModelSource& model = source_.models[i];
    bool applies = model.on.empty();
    for (const Name& on : model.on) applies = applies || on.text == draft.type.schema.name;
    if (!applies) continue;
    Symbol symbol;
    symbol.name = "model." + model.name.text;
    symbol.type = Type::real();
    symbol.kind = Symbol::Kind::kModel;
    symbol.index = i;
    draft.scope.add(symbol);
  }
}

// Marks all that some expression of the type reads.
void Compiler::collect_reads(Draft& draft) {
  for (const RuleSource* rule : draft.rules) mark_rule(*rule, draft.scope);
  expressions_.mark(draft.source.score, draft.scope);
  mark_shown(draft);
  mark_inputs(draft);
  const Name self{draft.type.schema.name, nullptr};
  for (const Feature& feature : features_) {
    if (!feature.good) continue;
    bool feeds =
        std::any_of(feature.feeds.begin(), feature.feeds.end(), [&](size_t i) { return drafts_[i].get() == &draft; });
    bool is_read = false;
    for (const auto& [name, symbol] : draft.scope.symbols()) {
      is_read = is_read || (symbol.kind == Symbol::Kind::kFeature && symbol.read &&
                            features_[symbol.index].source == feature.source);
    }
    if (!feeds && !is_read) continue;
    for (const Expression& by : feature.source->by) expressions_.mark(by, draft.scope);
    if (!feeds) continue;
    for (const Expression* part : {&feature.source->of, &feature.source->where, &feature.source->hit}) {
      expressions_.mark(*part, draft.scope);
    }
  }
}

void Compiler::assign_slots(Draft& draft) {
  mark_explaining(draft);
  event::EventSchema& schema = draft.type.schema;
  // Models come with the event, so they are fields behind the declared ones.
  for (auto& [name, symbol] : draft.scope.symbols()) {
    if (symbol.kind != Symbol::Kind::kModel || !symbol.read) continue;
    const ModelSource& model = source_.models[symbol.index];
    event::Field field;
    field.name = name;
    field.type = Type::real();
    field.path = model.path;
    field.doc = model.doc;
    if (model.fallback != nullptr) {
      auto value = read_value(*model.fallback, Type::real(), "the default", *policy_->memory, diagnostics_);
      if (value && !value->is(event::Kind::kAbsent)) field.fallback = *value;
    }
    symbol.slot = static_cast<int32_t>(schema.fields.size());
    schema.fields.push_back(std::move(field));
  }
  int32_t next = static_cast<int32_t>(schema.fields.size());
  for (auto& [name, symbol] : draft.scope.symbols()) {
    if (symbol.kind != Symbol::Kind::kAttribute || !symbol.read) continue;
    symbol.slot = next++;
    schema.derived.push_back({symbol.attribute, static_cast<int32_t>(symbol.index), symbol.slot});
  }
  for (auto& [name, symbol] : draft.scope.symbols()) {
    bool is_state = symbol.kind == Symbol::Kind::kFeature || symbol.kind == Symbol::Kind::kDetector;
    if (is_state && symbol.read) symbol.slot = next++;
  }
  if (Symbol* time = draft.scope.find("event.time"); time->read) {
    time->slot = next++;
    draft.type.time_slot = time->slot;
  }
  draft.next_let_slot = next;
  for (const RuleSource* rule : draft.rules) next += static_cast<int32_t>(rule->lets.size());
  draft.type.points_slot = next++;
  draft.type.slot_count = next;
}

void Compiler::fill_entities(Draft& draft) {
  const event::EventSchema& schema = draft.type.schema;
  for (size_t i = 0; i < schema.fields.size(); ++i) {
    if (schema.fields[i].entity.empty()) continue;
    draft.type.entities.push_back({schema.fields[i].entity, static_cast<int32_t>(i), schema.fields[i].name});
  }
  for (const auto& [name, symbol] : draft.scope.symbols()) {
    bool names_one = symbol.kind == Symbol::Kind::kAttribute || symbol.kind == Symbol::Kind::kDetector;
    if (!names_one || !symbol.read || symbol.is_quiet || symbol.entity.empty()) continue;
    draft.type.entities.push_back({symbol.entity, symbol.slot, name});
  }
}

void Compiler::compile_type(Draft& draft) {
  collect_reads(draft);
  assign_slots(draft);
  fill_entities(draft);
  cel::Env env = draft.scope.env(expressions_.base());
  compile_features(draft, env);
  compile_detectors(draft, env);
  compile_shown(draft);
  for (const RuleSource* rule : draft.rules) compile_rule(*rule, draft, env);

  Scope with_points = draft.scope;
  Symbol points;
  points.name = "points";
  points.type = Type::real();
  points.kind = Symbol::Kind::kPoints;
  points.slot = draft.type.points_slot;
  with_points.add(points);
  Expression score = draft.source.score;
  if (!score.given()) score = {"points <= 0.0 ? 0.0 : points / (points + 10.0)", draft.source.name.node, 0};
  draft.type.score = add(score, draft, with_points, with_points.env(expressions_.base()), Expect::kNumber, "`score`");
  draft.type.plan = draft.builder.build();
  draft.type.schema.seal();
  for (size_t i = 0; i < draft.rules.size() && i < draft.type.rules.size(); ++i) {
    warn_of_constant(*draft.rules[i], draft.type, draft.type.rules[i]);
  }
}

}  // namespace tamis::policy
