// Calls in the checker: which function a name means, which overloads are left, and what to say if none is.
#include <algorithm>
#include <cctype>

#include "cel/checker.h"
#include "cel/regex.h"

namespace tamis::cel {
namespace {

using Kind = Type::Kind;

constexpr size_t kShownOverloadsMax = 8;

bool takes(const Overload& overload, bool member, size_t args) {
  if (overload.member != member) return false;
  if (overload.variadic) return !overload.params.empty() && args >= overload.params.size();
  return args == overload.params.size();
}

const Type& param_at(const Overload& overload, size_t i) {
  return overload.params[std::min(i, overload.params.size() - 1)];
}

size_t open_params(const Type& type) {
  if (type.kind == Kind::kParam || type.kind == Kind::kDyn) return 1;
  size_t count = 0;
  for (const Type& param : type.params) count += open_params(param);
  return count;
}

size_t openness(const Overload& overload) {
  size_t count = 0;
  for (const Type& param : overload.params) count += open_params(param) + (open_params(param) > 0 ? 1 : 0);
  return count;
}

bool is_number(const Type& type) {
  return type.kind == Kind::kInt || type.kind == Kind::kUint || type.kind == Kind::kDouble ||
         (type.kind == Kind::kWrapper && is_number(type.params[0]));
}

// "_+_" is shown as "+", "@in" as "in", "_[_]" as "[]".
std::string shown_name(std::string_view function) {
  if (function == "@in") return "in";
  if (function == "_[_]") return "[]";
  if (function == "_[?_]") return "[?]";
  if (function == "_?_:_") return "?:";
  if (function == "!_") return "!";
  if (function == "-_") return "-";
  bool is_operator = function.size() > 2 && function.front() == '_' && function.back() == '_' &&
                     std::none_of(function.begin(), function.end(), [](unsigned char c) { return std::isalnum(c); });
  return std::string(is_operator ? function.substr(1, function.size() - 2) : function);
}

std::string signature(const std::vector<std::string>& types, bool member, bool variadic) {
  std::string out = member ? types[0] + ".(" : "(";
  for (size_t i = member ? 1 : 0; i < types.size(); ++i) {
    if (i > (member ? 1u : 0u)) out += ", ";
    out += types[i];
  }
  return out + (variadic ? ", ...)" : ")");
}

}  // namespace

const std::vector<const Overload*>* Checker::resolve_function(std::string_view name, bool absolute,
                                                              std::string& resolved) {
  const std::vector<const Overload*>* found = nullptr;
  each_candidate(name, absolute, [&](std::string_view candidate) {
    const auto& overloads = env_.find_overloads(candidate);
    if (overloads.empty()) return false;
    found = &overloads;
    resolved = candidate;
    return true;
  });
  return found;
}

// a.b.f(x) where `a.b.f` is a function: becomes a global call of it.
bool Checker::resolve_namespaced(Expr& e) {
  std::string name;
  const Expr* root = nullptr;
  const Expr& target = *e.args[0];
  if (target.test_only || !dotted_name(target, name, root)) return false;
  name.append(".").append(e.name);
  std::string resolved;
  const auto* overloads = resolve_function(name, root->absolute, resolved);
  if (overloads == nullptr) return false;
  // A variable of a comprehension that happens to be named like a namespace keeps its methods.
  bool is_local = !root->absolute && find_local(root->name) != nullptr;
  if (is_local && env_.has_function(e.name)) return false;
  e.args.erase(e.args.begin());
  e.member = false;
  e.name = std::move(resolved);
  for (ExprPtr& arg : e.args) visit(*arg);
  resolve_overload(e, *overloads);
  return true;
}

void Checker::visit_call(Expr& e) {
  if (e.member && resolve_namespaced(e)) return;
  std::string resolved;
  const auto* overloads = resolve_function(e.name, e.absolute, resolved);
  if (overloads == nullptr && e.member && check_) {
    // In net.foo(x) without a `net`, the function is what is missing.
    std::string name;
    const Expr* root = nullptr;
    bool dotted = dotted_name(*e.args[0], name, root);
    if (dotted && find_local(root->name) == nullptr && find_variable(root->name, root->absolute) == nullptr &&
        find_variable(name, root->absolute) == nullptr) {
      for (size_t i = 1; i < e.args.size(); ++i) visit(*e.args[i]);
      set_type(e, Type::error());
      return report_unknown_function(e, name + "." + e.name);
    }
  }
  for (ExprPtr& arg : e.args) visit(*arg);
  if (overloads == nullptr) {
    set_type(e, Type::error());
    return report_unknown_function(e, e.name);
  }
  e.name = std::move(resolved);
  resolve_overload(e, *overloads);
  check_pattern(e);
}

// A pattern written out that is none is a mistake to tell now, not an error of every event. The specification has it as
// an error of the evaluation, so the strict dialect leaves it there.
void Checker::check_pattern(const Expr& e) {
  if (!check_ || env_.dialect() == Dialect::kStrict || e.name != "matches" || e.args.size() != 2) return;
  const Expr& pattern = *e.args[1];
  if (pattern.kind != ExprKind::kConst || !pattern.constant.is(event::Kind::kString)) return;
  auto compiled = Regex::compile(pattern.constant.str());
  if (!compiled) issue(pattern, compiled.error().message);
}

void Checker::report_unknown_function(const Expr& e, std::string_view name) {
  if (!check_) return;
  std::string shown(name);
  static constexpr std::string_view kMacroNames[] = {
      "all",        "exists",        "exists_one",   "existsOne",        "map", "has", "filter", "sortBy", "optMap",
      "optFlatMap", "transformList", "transformMap", "transformMapEntry"};
  bool is_macro = std::find(std::begin(kMacroNames), std::end(kMacroNames), name) != std::end(kMacroNames);
  std::string hint = did_you_mean(env_.nearest_names(name, Env::Names::kFunctions));
  if (is_macro) {
    hint = !env_.macros_enabled() ? "macros are switched off"
           : name == "has"        ? "`has` is a macro: has(e.field)"
                                  : "`" + shown + "` is a macro of other arguments: list." + shown + "(x, expression)";
  }
  issue(e, "undeclared function `" + shown + "`", std::move(hint));
}

// `&&`, `||` and the condition of `?:` say which operand is wrong rather than which overloads there are.
bool Checker::visit_logical(Expr& e, const std::vector<const Overload*>& declared) {
  bool logical = e.name == "_&&_" || e.name == "_||_";
  bool conditional = e.name == "_?_:_" && e.args.size() == 3;
  if (!logical && !conditional) return false;
  for (const Overload* o : declared) {
    if (takes(*o, false, e.args.size())) e.overloads.push_back(o);
  }
  if (logical) {
    for (const ExprPtr& arg : e.args) expect_bool(*arg);
    set_type(e, Type::boolean());
    return true;
  }
  expect_bool(*e.args[0]);
  const Type yes = known(e.args[1]->type), no = known(e.args[2]->type);
  if (unifier_.assign(yes, no)) {
    set_type(e, unifier_.generalise(yes, no));
  } else if (env_.dialect() == Dialect::kTamis && is_number(yes) && is_number(no)) {
    set_type(e, Type::dyn());
  } else {
    issue(e, "both results of ?: must have one type, found " + show(yes) + " and " + show(no),
          "dyn(...) around one of them allows this");
    set_type(e, Type::error());
  }
  return true;
}

void Checker::resolve_overload(Expr& e, const std::vector<const Overload*>& declared) {
  if (check_ && visit_logical(e, declared)) return;
  std::vector<const Overload*> candidates;
  for (const Overload* o : declared) {
    if (takes(*o, e.member, e.args.size())) candidates.push_back(o);
  }
  auto more_specific = [](const Overload* a, const Overload* b) { return openness(*a) < openness(*b); };
  std::stable_sort(candidates.begin(), candidates.end(), more_specific);
  if (!check_) {
    e.overloads = std::move(candidates);
    return set_type(e, Type::dyn());
  }
  // Where all types are known, the most specific overload that fits is the one; else each that fits may be meant.
  bool certain = true;
  for (const ExprPtr& arg : e.args) certain = certain && is_certain(known(arg->type));
  Type result;
  size_t start = unifier_.mark();
  for (const Overload* o : candidates) {
    Type one;
    if (!try_overload(*o, e, one)) continue;
    if (!e.overloads.empty() && one != result) {
      one = Type::dyn();
    }
    result = std::move(one);
    e.overloads.push_back(o);
    if (certain) break;
    unifier_.rollback(start);
  }
  if (e.overloads.empty()) {
    if (mix_numbers(e, candidates)) return;
    set_type(e, Type::error());
    return report_no_overload(e, declared);
  }
  // A single fit teaches the type variables of the arguments; of several, none does.
  if (e.overloads.size() == 1 && !certain) try_overload(*e.overloads[0], e, result);
  set_type(e, std::move(result));
}

bool Checker::try_overload(const Overload& overload, const Expr& e, Type& result) {
  Unifier::Names names;
  size_t start = unifier_.mark();
  for (size_t i = 0; i < e.args.size(); ++i) {
    if (!unifier_.assign(e.args[i]->type, unifier_.instantiate(param_at(overload, i), names))) {
      unifier_.rollback(start);
      return false;
    }
  }
  result = known(unifier_.instantiate(overload.result, names));
  return true;
}

// Where the dialect is ours, numbers of different types are equal or not as their values are, so they can be compared.
bool Checker::mix_numbers(Expr& e, const std::vector<const Overload*>& candidates) {
  if (env_.dialect() != Dialect::kTamis || e.args.size() != 2) return false;
  Type a = known(e.args[0]->type), b = known(e.args[1]->type);
  bool fits = false;
  if (e.name == "_==_" || e.name == "_!=_") fits = is_number(a) && is_number(b);
  if (e.name == "@in") fits = is_number(a) && (b.kind == Kind::kList || b.kind == Kind::kMap) && is_number(b.params[0]);
  if (!fits) return false;
  Type element = b.params.empty() ? b : b.params[0];
  for (const Overload* o : candidates) {
    // As if the left side had the type of the right.
    Type kept = e.args[0]->type, result;
    e.args[0]->type = element;
    if (try_overload(*o, e, result)) e.overloads.push_back(o);
    e.args[0]->type = std::move(kept);
  }
  set_type(e, Type::boolean());
  return !e.overloads.empty();
}

void Checker::report_no_overload(const Expr& e, const std::vector<const Overload*>& declared) {
  std::vector<std::string> found;
  for (const ExprPtr& arg : e.args) found.push_back(show(arg->type));
  std::string name = "`" + shown_name(e.name) + "`";
  // Those of the right form first; of them, those that fit the first argument.
  std::vector<std::string> near, same_form, other_form;
  for (const Overload* o : declared) {
    std::vector<std::string> types;
    for (const Type& param : o->params) types.push_back(event::to_string(param));
    std::string text = signature(types, o->member, o->variadic);
    if (o->member != e.member) {
      other_form.push_back(std::move(text));
      continue;
    }
    size_t start = unifier_.mark();
    Unifier::Names names;
    bool first_fits = !e.args.empty() && !o->params.empty() &&
                      unifier_.assign(e.args[0]->type, unifier_.instantiate(o->params[0], names));
    unifier_.rollback(start);
    (first_fits ? near : same_form).push_back(std::move(text));
  }
  const auto& shown = !near.empty() ? near : !same_form.empty() ? same_form : other_form;
  std::string list;
  for (size_t i = 0; i < shown.size() && i < kShownOverloadsMax; ++i) list += (i > 0 ? ", " : "") + shown[i];
  if (shown.size() > kShownOverloadsMax) list += ", ...";
  std::string hint;
  if (near.empty() && same_form.empty()) {
    hint = e.member ? name + " is a function: " + shown_name(e.name) + "(...)"
                    : name + " is a method: x." + shown_name(e.name) + "(...)";
  }
  bool member = e.member && !found.empty();
  issue(e, "no overload of " + name + " takes " + signature(found, member, false) + "; it takes " + list,
        std::move(hint));
}

}  // namespace tamis::cel
