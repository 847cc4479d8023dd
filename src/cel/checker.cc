#include "cel/checker.h"

#include <algorithm>

#include "cel/messages.h"

namespace tamis::cel {
namespace {

using Kind = Type::Kind;

bool can_be_key(const Type& type) {
  switch (type.kind) {
    case Kind::kWrapper:
      return can_be_key(type.params[0]);
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kString:
    case Kind::kParam:
      return true;
    default:
      return type.is_dyn();
  }
}

Type type_of_literal(event::Kind kind) {
  switch (kind) {
    case event::Kind::kNull:
      return Type::null();
    case event::Kind::kBool:
      return Type::boolean();
    case event::Kind::kInt:
      return Type::integer();
    case event::Kind::kUint:
      return Type::uinteger();
    case event::Kind::kDouble:
      return Type::real();
    case event::Kind::kString:
      return Type::string();
    case event::Kind::kBytes:
      return Type::bytes();
    default:
      return Type::dyn();
  }
}

}  // namespace

std::string did_you_mean(const std::vector<std::string>& names) {
  if (names.empty()) return {};
  std::string out = "did you mean ";
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " or " : ", ";
    out += "`" + names[i] + "`";
  }
  return out + "?";
}

void Checker::run() {
  visit(*compiled_.ast.root);
  finish(*compiled_.ast.root);
  if (unifier_.exhausted()) {
    compiled_.issues.clear();
    issue(*compiled_.ast.root, "the types of this expression are too complex", "split it into several expressions");
  }
}

void Checker::issue(const Expr& at, std::string message, std::string hint) {
  if (compiled_.issues.size() >= issues_max_) return;
  compiled_.issues.push_back({at.begin, at.end, std::move(message), std::move(hint)});
}

void Checker::set_type(Expr& e, Type type) { e.type = check_ ? bounded(known(type)) : Type::dyn(); }

void Checker::expect_bool(const Expr& e) {
  if (check_ && !unifier_.assign(e.type, Type::boolean())) issue(e, "expected bool, found " + show(e.type));
}

// Type variables that are still unbound at the end stand for anything.
void Checker::finish(Expr& e) {
  if (check_) e.type = bounded(unifier_.substitute(e.type, true));
  for (ExprPtr& arg : e.args) finish(*arg);
}

void Checker::visit(Expr& e) {
  switch (e.kind) {
    case ExprKind::kConst:
      return set_type(e, type_of_literal(e.constant.kind));
    case ExprKind::kIdent:
      return visit_identifier(e);
    case ExprKind::kSelect:
      return visit_select(e, e);
    case ExprKind::kCall:
      return visit_call(e);
    case ExprKind::kList:
      return visit_list(e);
    case ExprKind::kMap:
      return visit_map(e);
    case ExprKind::kStruct:
      return visit_struct(e);
    case ExprKind::kMacro:
      return visit_macro(e);
  }
}

// --- names ---

const Checker::Local* Checker::find_local(std::string_view name) const {
  for (size_t i = locals_.size(); i > 0; --i) {
    if (locals_[i - 1].name == name) return &locals_[i - 1];
  }
  return nullptr;
}

const Variable* Checker::find_variable(std::string_view name, bool absolute) const {
  const Variable* found = nullptr;
  each_candidate(name, absolute, [&](std::string_view candidate) {
    found = env_.find_variable(candidate);
    return found != nullptr;
  });
  return found;
}

// The dotted name that `e` is, and the identifier at its start.
bool Checker::dotted_name(const Expr& e, std::string& out, const Expr*& root) const {
  std::vector<std::string_view> parts;
  const Expr* at = &e;
  while (at->kind == ExprKind::kSelect && !at->optional && (!at->test_only || at == &e)) {
    parts.push_back(at->name);
    at = at->args[0].get();
  }
  if (at->kind != ExprKind::kIdent || (at->test_only && at != &e)) return false;
  root = at;
  out = at->name;
  for (size_t i = parts.size(); i > 0; --i) out.append(".").append(parts[i - 1]);
  return true;
}

void Checker::use_variable(Expr& e, const Variable& variable) {
  e.variable = &variable;
  if (e.test_only) return set_type(e, Type::boolean());
  Unifier::Names names;
  set_type(e, unifier_.instantiate(variable.type, names));
}

void Checker::visit_identifier(Expr& e) {
  const Local* local = e.absolute ? nullptr : find_local(e.name);
  if (local != nullptr) {
    e.local = e.name;
    return set_type(e, e.test_only ? Type::boolean() : local->type);
  }
  if (const Variable* variable = find_variable(e.name, e.absolute)) return use_variable(e, *variable);
  set_type(e, Type::error());
  report_undeclared(e, e);
}

void Checker::report_undeclared(const Expr& whole, const Expr& root) {
  if (!check_) return;
  std::string name;
  const Expr* start = &root;
  if (!dotted_name(whole, name, start)) name = root.name;
  std::vector<std::string> near = env_.nearest_names(name);
  std::string hint = did_you_mean(near);
  if (near.empty() && name != root.name) hint = did_you_mean(env_.nearest_names(root.name));
  if (near.empty() && env_.has_function(root.name)) hint = "`" + root.name + "` is a function: call it";
  issue(whole, "undeclared name `" + name + "`", std::move(hint));
}

// `whole` is the longest dotted name that `e` is the start of: the name to speak of when nothing is found.
void Checker::visit_select(Expr& e, const Expr& whole) {
  std::string name;
  const Expr* root = nullptr;
  bool dotted = dotted_name(e, name, root);
  bool is_local = dotted && !root->absolute && find_local(root->name) != nullptr;
  bool is_test = e.test_only && env_.dialect() == Dialect::kStrict;  // tests a field, never a variable
  if (dotted && !is_local && !is_test) {
    if (const Variable* variable = find_variable(name, root->absolute)) return use_variable(e, *variable);
  }
  Expr& operand = *e.args[0];
  if (!dotted || is_local) {
    visit(operand);
  } else if (operand.kind == ExprKind::kSelect) {
    visit_select(operand, whole);
  } else if (const Variable* variable = find_variable(operand.name, operand.absolute)) {
    use_variable(operand, *variable);
  } else {
    set_type(operand, Type::error());
    report_undeclared(whole, operand);
  }
  select_field(e);
}

void Checker::select_field(Expr& e) {
  if (!check_) return set_type(e, Type::dyn());
  Type target = known(e.args[0]->type);
  bool optional = e.optional;
  if (target.kind == Kind::kOptional) {
    optional = true;
    target = Type(target.params[0]);
  }
  Type result = Type::dyn();
  if (target.kind == Kind::kMap) {
    result = target.params[1];
  } else if (target.kind == Kind::kParam) {
    unifier_.assign(Type::dyn(), target);
  } else if (target.kind == Kind::kError) {
    result = Type::error();
  } else if (!target.is_dyn()) {
    report_no_field(e, target);
    result = Type::error();
  }
  if (e.test_only) return set_type(e, Type::boolean());
  set_type(e, optional ? Type::optional(std::move(result)) : std::move(result));
}

// With an ip.net24 declared, ip.net42 is rather a wrong name than a field of `ip`.
void Checker::report_no_field(const Expr& e, const Type& target) {
  std::string name;
  const Expr* root = nullptr;
  std::vector<std::string> near;
  const Expr& operand = *e.args[0];
  if (operand.variable != nullptr && dotted_name(e, name, root)) near = env_.nearest_names(name);
  bool is_name = !near.empty() || (operand.variable != nullptr && target.kind == Kind::kType);
  issue(e, is_name ? "undeclared name `" + name + "`" : show(target) + " has no field `" + e.name + "`",
        did_you_mean(near));
}

// --- aggregates ---

// What an element or entry contributes: with `?` the value inside the optional.
Type Checker::entry_type(const Expr& value, bool optional) {
  Type type = known(value.type);
  if (!optional) return type;
  if (type.kind == Kind::kOptional) return type.params[0];
  Type inner = unifier_.fresh();
  if (!type.is_dyn() && !unifier_.assign(type, Type::optional(inner))) {
    issue(value, "expected optional_type(" + show(type) + ") after `?`, found " + show(type));
    return Type::error();
  }
  return type.is_dyn() ? Type::dyn() : inner;
}

// The type of elements of a literal so far: mixed ones are dyn.
Type Checker::join(bool first, const Type& before, const Type& next) {
  if (first) return next;
  if (unifier_.assign(before, next)) return bounded(unifier_.generalise(before, next));
  return Type::dyn();
}

void Checker::visit_list(Expr& e) {
  Type element;
  for (size_t i = 0; i < e.args.size(); ++i) {
    visit(*e.args[i]);
    if (!check_) continue;
    bool optional = i < e.optional_entries.size() && e.optional_entries[i];
    element = join(i == 0, element, entry_type(*e.args[i], optional));
  }
  if (!check_) return set_type(e, Type::dyn());
  set_type(e, Type::list(e.args.empty() ? unifier_.fresh() : std::move(element)));
}

void Checker::check_key(const Expr& key) {
  Type type = known(key.type);
  if (!can_be_key(type)) issue(key, "a key of a map is a bool, int, uint or string, found " + show(type));
}

void Checker::visit_map(Expr& e) {
  Type key, value;
  for (size_t i = 0; i + 1 < e.args.size(); i += 2) {
    visit(*e.args[i]);
    visit(*e.args[i + 1]);
    if (!check_) continue;
    check_key(*e.args[i]);
    bool optional = i / 2 < e.optional_entries.size() && e.optional_entries[i / 2];
    Type key_type = known(e.args[i]->type);
    key = join(i == 0, key, can_be_key(key_type) ? key_type : Type::error());
    value = join(i == 0, value, entry_type(*e.args[i + 1], optional));
  }
  if (!check_) return set_type(e, Type::dyn());
  if (e.args.empty()) {
    key = unifier_.fresh();
    value = unifier_.fresh();
  }
  set_type(e, Type::map(std::move(key), std::move(value)));
}

void Checker::visit_struct(Expr& e) {
  const Overload* message = nullptr;
  bool plain = env_.dialect() == Dialect::kStrict && e.args.size() <= 1 && e.optional_entries.empty();
  if (plain) {
    std::string_view field = e.args.empty() ? std::string_view() : std::string_view(e.field_names[0]);
    each_candidate(e.name, e.absolute, [&](std::string_view candidate) {
      message = find_message(candidate, field);
      return message != nullptr;
    });
  }
  if (message == nullptr) {
    issue(e, "construction of the message `" + e.name + "` is not supported",
          "a map is written {\"field\": value}; a type name stands alone, as in type(x) == int");
    for (ExprPtr& arg : e.args) visit(*arg);
    return set_type(e, Type::error());
  }
  if (message->params.empty()) e.args.clear();  // a null_value has no other value than null
  for (ExprPtr& arg : e.args) {
    visit(*arg);
    if (!check_ || unifier_.assign(arg->type, message->params[0])) continue;
    issue(*arg,
          "the field `" + e.field_names[0] + "` takes " + show(message->params[0]) + ", found " + show(arg->type));
  }
  e.overloads = {message};
  set_type(e, message->result);
}

Compiled compile(const Env& env, std::string_view source, bool check, const CompileLimits& limits) {
  Compiled out = parse(env, source, limits);
  if (out.ast.root != nullptr) Checker(env, out, check, limits.issues_max).run();
  return out;
}

}  // namespace tamis::cel
