// Features: what feeds them, what can read them, and when their kept state still fits.
#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "policy/compile.h"
#include "policy/private_values.h"
#include "policy/reader.h"

namespace tamis::policy {

using event::Type;
using state::Aggregate;

namespace {

bool is_number(const Type& type) {
  return type.kind == Type::Kind::kInt || type.kind == Type::Kind::kUint || type.kind == Type::Kind::kDouble;
}

bool is_single(const Type& type) {
  switch (type.kind) {
    case Type::Kind::kBool:
    case Type::Kind::kInt:
    case Type::Kind::kUint:
    case Type::Kind::kDouble:
    case Type::Kind::kString:
    case Type::Kind::kBytes:
    case Type::Kind::kTimestamp:
    case Type::Kind::kDuration:
      return true;
    default:
      return false;
  }
}

event::Kind kind_of(const Type& type) {
  switch (type.kind) {
    case Type::Kind::kBool:
      return event::Kind::kBool;
    case Type::Kind::kUint:
      return event::Kind::kUint;
    case Type::Kind::kDouble:
      return event::Kind::kDouble;
    case Type::Kind::kString:
      return event::Kind::kString;
    case Type::Kind::kBytes:
      return event::Kind::kBytes;
    case Type::Kind::kTimestamp:
      return event::Kind::kTimestamp;
    case Type::Kind::kDuration:
      return event::Kind::kDuration;
    default:
      return event::Kind::kInt;
  }
}

// Whether this part of the key is the list of `each`, which comes last.
bool is_each(const FeatureSource& source, size_t part) { return source.each && part + 1 == source.by.size(); }

}  // namespace

void Compiler::add_features() {
  // Made before any feature is a name: features do not look at features.
  for (auto& draft : drafts_) feature_envs_.push_back(draft->scope.env(expressions_.base()));
  checking_features_ = true;
  features_.reserve(source_.features.size());
  std::map<std::string, const Node*> variables;
  for (const FeatureSource& source : source_.features) {
    Feature feature;
    feature.source = &source;
    FeatureDecl decl;
    feature.good = check_feature(feature, decl);
    for (const std::string& variable : decl.variables) {
      auto [it, is_new] = variables.try_emplace(variable, source.name.node);
      if (is_new || it->second == source.name.node) continue;
      const Node& other = *it->second;
      diagnostics_.error(*source.name.node, fmt::format("the variable {} is that of another feature, in line {}",
                                                        quoted(variable), other.source->position(other.begin).line));
      feature.good = false;
    }
    features_.push_back(std::move(feature));
    policy_->features.push_back(std::move(decl));
  }
  checking_features_ = false;
  for (uint32_t i = 0; i < features_.size(); ++i) {
    if (features_[i].good) offer_feature(i);
  }
}

bool Compiler::check_feature(Feature& feature, FeatureDecl& out) {
  const FeatureSource& source = *feature.source;
  size_t errors = diagnostics_.errors();
  state::FeatureSpec& spec = out.spec;
  spec.name = source.name.text;
  spec.aggregate = source.aggregate;
  for (const Span& window : source.windows) spec.windows_ms.push_back(window.ms);
  spec.at_cap = source.at_cap;
  if (source.lateness_ms) spec.lateness_ms = *source.lateness_ms;
  if (source.keys_max) spec.keys_max = static_cast<uint64_t>(*source.keys_max);
  if (source.quantile) spec.quantile = *source.quantile;
  spec.k = source.aggregate == Aggregate::kSet ? 32 : 10;
  if (source.k) spec.k = static_cast<uint32_t>(*source.k);
  out.include_self = source.include_self;
  out.doc = source.doc;
  name_variables(feature, out);
  if (!check_feeds(feature, out)) return false;
  out.fingerprint = fingerprint(feature, out);
  return diagnostics_.errors() == errors && !spec.windows_ms.empty();
}

void Compiler::name_variables(Feature& feature, FeatureDecl& out) {
  const FeatureSource& source = *feature.source;
  for (const Span& window : source.windows) {
    std::string name = source.name.text;
    if (source.windows_are_a_list) name += "_" + window.text;
    for (auto& draft : drafts_) {
      for (const event::Field& field : draft->type.schema.fields) {
        if (field.name != name) continue;
        diagnostics_.error(*source.name.node,
                           fmt::format("{} is a field of {} already", quoted(name), quoted(draft->type.schema.name)));
      }
    }
    out.variables.push_back(std::move(name));
  }
}

bool Compiler::check_feeds(Feature& feature, FeatureDecl& out) {
  const FeatureSource& source = *feature.source;
  Type of = Type::dyn();
  bool good = !source.types.empty(), first = true;
  for (const Name& name : source.types) {
    Draft* draft = find_draft(name);
    if (draft == nullptr) {
      good = false;
      continue;
    }
    size_t place = 0;
    while (drafts_[place].get() != draft) ++place;
    feature.feeds.push_back(place);
    good = check_feed(feature, *draft, feature_envs_[place], of, first) && good;
    first = false;
    warn_of_retention(feature, *draft);
  }
  return good && check_value_type(source, of, out, feature.value);
}

bool Compiler::check_feed(Feature& feature, Draft& draft, const cel::Env& env, Type& of, bool first) {
  const FeatureSource& source = *feature.source;
  bool good = true;
  auto same = [&](const Expression& at, const Type& a, const Type& b) {
    if (a == b || a.is_dyn() || b.is_dyn()) return true;
    diagnostics_.error(*at.node, fmt::format("this is {} in {} and {} elsewhere", event::to_string(b),
                                             quoted(draft.type.schema.name), event::to_string(a)));
    return false;
  };
  for (size_t i = 0; i < source.by.size(); ++i) {
    const bool each = is_each(source, i);
    auto by = expressions_.compile(source.by[i], draft.scope, env, each ? Expect::kKeys : Expect::kKey,
                                   each ? "`each`" : "`by`");
    if (!by) {
      good = false;
    } else if (first || i >= feature.by.size()) {
      feature.by.push_back(by->type());
    } else {
      good = same(source.by[i], feature.by[i], by->type()) && good;
    }
  }
  for (const Expression* condition : {&source.where, &source.hit}) {
    if (condition->given()) good = expressions_.compile(*condition, draft.scope, env, Expect::kBool, "`where`") && good;
  }
  if (!source.of.given()) return good;
  bool takes_numbers = source.aggregate == Aggregate::kSum || source.aggregate == Aggregate::kMean ||
                       source.aggregate == Aggregate::kQuantile || source.aggregate == Aggregate::kRate;
  auto value = expressions_.compile(source.of, draft.scope, env, takes_numbers ? Expect::kNumber : Expect::kKey,
                                    "what a feature computes");
  if (!value) return false;
  if (!first) good = same(source.of, of, value->type()) && good;
  of = value->type();
  return good;
}

bool Compiler::check_value_type(const FeatureSource& source, const Type& of, FeatureDecl& out, Type& value) {
  auto wrong = [&](std::string_view wanted) {
    diagnostics_.error(*source.of.node, fmt::format("this must be {}, and is {}", wanted, event::to_string(of)),
                       of.is_dyn() ? "convert it: int(x), double(x) or string(x)" : "");
    return false;
  };
  out.spec.value_kind = kind_of(of);
  switch (source.aggregate) {
    case Aggregate::kCount:
    case Aggregate::kDistinct:
      value = Type::integer();
      return true;
    case Aggregate::kMean:
    case Aggregate::kRate:
    case Aggregate::kRatio:
    case Aggregate::kQuantile:
      value = Type::real();
      return true;
    case Aggregate::kFirstSeen:
      value = Type::timestamp();
      return true;
    case Aggregate::kSum:
      value = of;
      if (of.kind == Type::Kind::kInt || of.kind == Type::Kind::kDouble) return true;
      return wrong("int or double");
    case Aggregate::kMin:
    case Aggregate::kMax:
      value = of;
      if (is_number(of) && of.kind != Type::Kind::kUint) return true;
      if (source.each) return wrong("int or double, as everything that is counted under `each`");
      if (of.kind == Type::Kind::kTimestamp || of.kind == Type::Kind::kDuration) return true;
      return wrong("int, double, timestamp or duration");
    case Aggregate::kLast:
      value = of;
      if (is_single(of)) return true;
      return wrong("a single value of a known type");
    case Aggregate::kTopK:
    case Aggregate::kSet:
      value = Type::list(of);
      if (is_single(of)) return true;
      return wrong("a single value of a known type");
  }
  return false;
}

// The key is made of the reading event's own values; where those have another type no key would ever be found.
bool Compiler::can_read(const Feature& feature, Draft& draft, const cel::Env& env, std::string& why) const {
  const FeatureSource& source = *feature.source;
  for (size_t i = 0; i < source.by.size(); ++i) {
    std::string problem;
    auto type = expressions_.try_compile(source.by[i], draft.scope, env, problem);
    if (!type) {
      why = fmt::format("its `by` {} does not fit: {}", quoted(source.by[i].text), problem);
      return false;
    }
    if (!(*type == feature.by[i]) && !type->is_dyn() && !feature.by[i].is_dyn()) {
      why = fmt::format("its `by` {} is {} there and {} where it is fed", quoted(source.by[i].text),
                        event::to_string(*type), event::to_string(feature.by[i]));
      return false;
    }
  }
  return true;
}

void Compiler::offer_feature(uint32_t number) {
  Feature& feature = features_[number];
  const FeatureDecl& decl = policy_->features[number];
  for (size_t i = 0; i < drafts_.size(); ++i) {
    std::string why;
    if (!can_read(feature, *drafts_[i], feature_envs_[i], why)) {
      feature.unreadable.emplace(drafts_[i]->type.schema.name, why);
      continue;
    }
    for (uint32_t window = 0; window < decl.variables.size(); ++window) {
      Symbol symbol;
      symbol.name = decl.variables[window];
      symbol.type = feature.value;
      symbol.kind = Symbol::Kind::kFeature;
      symbol.index = number;
      symbol.window = window;
      drafts_[i]->scope.add(symbol);
    }
  }
}

uint64_t Compiler::fingerprint(const Feature& feature, const FeatureDecl& decl) const {
  const FeatureSource& source = *feature.source;
  const state::FeatureSpec& spec = decl.spec;
  std::string text = fmt::format("{}|{}|{}|{}|{}|{}|{}|{}", spec.name, static_cast<int>(spec.aggregate),
                                 spec.lateness_ms, spec.keys_max, static_cast<int>(spec.at_cap), spec.quantile, spec.k,
                                 static_cast<int>(spec.value_kind));
  for (int64_t window : spec.windows_ms) text += fmt::format("|{}", window);
  std::vector<std::string> types;
  for (const Name& type : source.types) types.push_back(type.text);
  std::sort(types.begin(), types.end());
  for (const std::string& type : types) text += "|on " + type;
  for (size_t i = 0; i < source.by.size(); ++i) {
    text += (is_each(source, i) ? "|each " : "|by ") + expressions_.canonical(source.by[i]) + ":" +
            event::to_string(feature.by[i]);
  }
  text += "|of " + expressions_.canonical(source.of);
  text += "|where " + expressions_.canonical(source.where);
  text += "|hit " + expressions_.canonical(source.hit);
  return base::hash64(text);
}

// State older than the field it was made from may be kept: then the window promises more than there is.
void Compiler::warn_of_retention(const Feature& feature, Draft& draft) {
  const FeatureSource& source = *feature.source;
  if (source.windows.empty()) return;
  Scope scope = draft.scope;
  for (auto& [name, symbol] : scope.symbols()) symbol.read = false;
  for (const Expression& by : source.by) expressions_.mark(by, scope);
  expressions_.mark(source.of, scope);
  const Span& widest = source.windows.back();
  for (const auto& [name, symbol] : scope.symbols()) {
    if (!symbol.read || (symbol.kind != Symbol::Kind::kField && symbol.kind != Symbol::Kind::kAttribute)) continue;
    const event::Field& field = draft.type.schema.fields[symbol.index];
    if (field.keep_days == 0 || widest.ms <= field.keep_days * kDayMs) continue;
    diagnostics_.warning(*widest.node,
                         fmt::format("the window is longer than {} of {} is kept ({}d)", quoted(field.name),
                                     quoted(draft.type.schema.name), field.keep_days));
  }
  if (!hands_out_values(source.aggregate) || !source.of.given()) return;
  for (auto& [name, symbol] : scope.symbols()) symbol.read = false;
  expressions_.mark(source.of, scope);
  for (const auto& [name, symbol] : scope.symbols()) {
    if (!symbol.read || (symbol.kind != Symbol::Kind::kField && symbol.kind != Symbol::Kind::kAttribute)) continue;
    const event::Field& field = draft.type.schema.fields[symbol.index];
    if (!field.token || widest.ms <= policy_->raw_days * kDayMs) continue;
    if (symbol.kind == Symbol::Kind::kAttribute && !gives_away(field.semantic, symbol.attribute)) continue;
    diagnostics_.warning(*widest.node,
                         fmt::format("the window is longer than values of {} of {} are kept (raw: {}d)",
                                     quoted(field.name), quoted(draft.type.schema.name), policy_->raw_days),
                         "what is older is forgotten, and then without");
  }
}

void Compiler::compile_features(Draft& draft, const cel::Env& env) {
  std::vector<std::pair<int32_t, const Symbol*>> reads;
  for (const auto& [name, symbol] : draft.scope.symbols()) {
    if (symbol.kind == Symbol::Kind::kFeature && symbol.read) reads.emplace_back(symbol.slot, &symbol);
  }
  std::sort(reads.begin(), reads.end());
  auto keys = [&](const Feature& feature) {
    std::vector<NodeId> by;
    const FeatureSource& source = *feature.source;
    for (size_t i = 0; i < source.by.size(); ++i) {
      const bool each = is_each(source, i);
      by.push_back(
          add(source.by[i], draft, draft.scope, env, each ? Expect::kKeys : Expect::kKey, each ? "`each`" : "`by`"));
    }
    return by;
  };
  for (const auto& [slot, symbol] : reads) {
    Feature& feature = features_[symbol->index];
    feature.is_read = true;
    FeatureRead read;
    read.feature = symbol->index;
    read.window = symbol->window;
    read.slot = slot;
    read.by = keys(feature);
    read.each = feature.source->each;
    read.include_self = feature.source->include_self;
    read.name = symbol->name;
    draft.type.reads.push_back(std::move(read));
  }
  for (uint32_t i = 0; i < features_.size(); ++i) {
    const Feature& feature = features_[i];
    bool feeds = std::any_of(feature.feeds.begin(), feature.feeds.end(),
                             [&](size_t place) { return drafts_[place].get() == &draft; });
    if (!feature.good || !feeds) continue;
    FeatureUpdate update;
    update.feature = i;
    update.by = keys(feature);
    update.each = feature.source->each;
    const FeatureSource& source = *feature.source;
    if (source.where.given()) update.where = add(source.where, draft, draft.scope, env, Expect::kBool, "`where`");
    if (source.of.given()) update.of = add(source.of, draft, draft.scope, env, Expect::kAny, "`of`");
    if (source.hit.given()) update.hit = add(source.hit, draft, draft.scope, env, Expect::kBool, "`where`");
    draft.type.updates.push_back(std::move(update));
  }
}

}  // namespace tamis::policy
