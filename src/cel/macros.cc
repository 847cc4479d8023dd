#include "cel/macros.h"

#include <algorithm>
#include <array>

namespace tamis::cel {
namespace {

struct MacroForm {
  std::string_view name;
  size_t args;       // as written, without the receiver
  size_t variables;  // how many of them, at the start, name variables
  Macro macro;
};

// All are called as methods of a range or an optional. The first entry of a (macro, variables) pair gives its name.
constexpr std::array<MacroForm, 21> kForms = {{
    {"all", 2, 1, Macro::kAll},
    {"all", 3, 2, Macro::kAll},
    {"exists", 2, 1, Macro::kExists},
    {"exists", 3, 2, Macro::kExists},
    {"exists_one", 2, 1, Macro::kExistsOne},
    {"existsOne", 2, 1, Macro::kExistsOne},
    {"existsOne", 3, 2, Macro::kExistsOne},
    {"exists_one", 3, 2, Macro::kExistsOne},
    {"map", 2, 1, Macro::kMap},
    {"map", 3, 1, Macro::kMapFilter},
    {"filter", 2, 1, Macro::kFilter},
    {"transformList", 3, 2, Macro::kTransformList},
    {"transformList", 4, 2, Macro::kTransformList},
    {"transformMap", 3, 2, Macro::kTransformMap},
    {"transformMap", 4, 2, Macro::kTransformMap},
    {"transformMapEntry", 3, 2, Macro::kTransformMapEntry},
    {"transformMapEntry", 4, 2, Macro::kTransformMapEntry},
    {"sortBy", 2, 1, Macro::kSortBy},
    {"optMap", 2, 1, Macro::kOptMap},
    {"optFlatMap", 2, 1, Macro::kOptFlatMap},
    {"cel.bind", 3, 1, Macro::kBind},
}};

void wrong(std::vector<Issue>& issues, const Expr& at, std::string message, std::string hint = {}) {
  issues.push_back({at.begin, at.end, std::move(message), std::move(hint)});
}

// The plain name that `arg` is, or nothing and an issue.
bool take_variable(const Expr& arg, std::string_view macro, std::string& out, std::vector<Issue>& issues) {
  if (arg.kind != ExprKind::kIdent || arg.absolute || arg.test_only) {
    wrong(issues, arg, "a variable of `" + std::string(macro) + "` must be a simple name");
    return false;
  }
  out = arg.name;
  return true;
}

void recognise_has(const Env& env, ExprPtr& call, std::vector<Issue>& issues) {
  ExprPtr& arg = call->args[0];
  bool is_variable = env.dialect() == Dialect::kTamis && arg->kind == ExprKind::kIdent;
  bool is_selection = arg->kind == ExprKind::kSelect && !arg->optional;
  if ((!is_variable && !is_selection) || arg->test_only) {
    wrong(issues, *arg,
          env.dialect() == Dialect::kTamis ? "has() takes a field or a selection, as in has(device) or has(a.b)"
                                           : "has() takes a selection, as in has(a.b)");
    return;
  }
  arg->test_only = true;
  arg->begin = call->begin;
  arg->end = call->end;
  ExprPtr selection = std::move(arg);
  call = std::move(selection);
}

bool is_cel(const Expr& e) { return e.kind == ExprKind::kIdent && e.name == "cel" && !e.absolute && !e.test_only; }

// cel.bind is a macro where `cel` is the namespace: not where the caller declared a variable `cel` that has a method
// bind(_, _, _).
bool is_bind(const Env& env, const Expr& call) {
  const Expr& target = *call.args[0];
  if (call.name != "bind" || call.args.size() != 4) return false;
  if (!is_cel(target)) return false;
  if (env.find_variable("cel") == nullptr) return true;
  const auto& overloads = env.find_overloads("bind");
  return std::none_of(overloads.begin(), overloads.end(),
                      [](const Overload* o) { return o->member && o->params.size() == 4; });
}

void to_macro(Expr& call, const MacroForm& form, bool drop_target, std::vector<Issue>& issues) {
  Expr& first = *call.args[1];
  if (!take_variable(first, form.name, call.var1, issues)) return;
  if (form.variables == 2) {
    Expr& second = *call.args[2];
    if (!take_variable(second, form.name, call.var2, issues)) return;
    if (call.var1 == call.var2) {
      wrong(issues, second, "both variables of `" + std::string(form.name) + "` are named `" + call.var1 + "`");
      return;
    }
  }
  std::vector<ExprPtr> args;
  if (!drop_target) args.push_back(std::move(call.args[0]));
  for (size_t i = 1 + form.variables; i < call.args.size(); ++i) args.push_back(std::move(call.args[i]));
  call.args = std::move(args);
  call.kind = ExprKind::kMacro;
  call.macro = form.macro;
  call.member = false;
  call.name.clear();
}

// --- the block extension ---

constexpr std::string_view kIndexPrefix = "@index:";
constexpr std::string_view kIterPrefix = "@iter:";
constexpr size_t kBlockMax = 64;

bool is_small_number(const Expr& e) {
  return e.kind == ExprKind::kConst && e.constant.is(event::Kind::kInt) && e.constant.i >= 0 && e.constant.i < 1000;
}

// cel.index(0) and cel.iterVar(0, 0) become names that nothing else can write.
bool recognise_block_variable(Expr& call) {
  bool index = call.name == "index" && call.args.size() == 2;
  bool iter = call.name == "iterVar" && call.args.size() == 3;
  if (!index && !iter) return false;
  std::string name(index ? kIndexPrefix : kIterPrefix);
  for (size_t i = 1; i < call.args.size(); ++i) {
    if (!is_small_number(*call.args[i])) return false;
    name += (i > 1 ? ", " : "") + std::to_string(call.args[i]->constant.i);
  }
  call.kind = ExprKind::kIdent;
  call.name = std::move(name);
  call.member = false;
  call.args.clear();
  return true;
}

uint32_t recognise_block(ExprPtr& call, std::vector<Issue>& issues) {
  Expr& slots = *call->args[1];
  if (slots.kind != ExprKind::kList || !slots.optional_entries.empty() || slots.args.size() > kBlockMax) {
    wrong(issues, slots, "`cel.block` takes a list of at most " + std::to_string(kBlockMax) + " expressions");
    return 0;
  }
  std::vector<ExprPtr> items = std::move(slots.args);
  ExprPtr body = std::move(call->args[2]);
  for (size_t i = items.size(); i > 0; --i) {
    auto bind = std::make_unique<Expr>();
    bind->kind = ExprKind::kMacro;
    bind->macro = Macro::kBind;
    bind->begin = call->begin;
    bind->end = call->end;
    bind->var1 = std::string(kIndexPrefix) + std::to_string(i - 1);
    bind->args.push_back(std::move(items[i - 1]));
    bind->args.push_back(std::move(body));
    body = std::move(bind);
  }
  call = std::move(body);
  return static_cast<uint32_t>(items.size());
}

}  // namespace

uint32_t recognise_macro(const Env& env, ExprPtr& call, std::vector<Issue>& issues) {
  if (!env.macros_enabled()) return 0;
  if (!call->member) {
    if (call->name == "has" && !call->absolute && call->args.size() == 1) recognise_has(env, call, issues);
    return 0;
  }
  if (env.dialect() == Dialect::kStrict && is_cel(*call->args[0])) {
    if (call->name == "block" && call->args.size() == 3) return recognise_block(call, issues);
    if (recognise_block_variable(*call)) return 0;
  }
  bool bind = is_bind(env, *call);
  std::string_view name = bind ? std::string_view("cel.bind") : std::string_view(call->name);
  for (const MacroForm& form : kForms) {
    if (form.name != name || form.args + 1 != call->args.size()) continue;
    to_macro(*call, form, bind, issues);
    break;
  }
  return 0;
}

std::string variable_text(std::string_view name) {
  for (auto [prefix, function] : {std::pair(kIndexPrefix, "cel.index("), {kIterPrefix, "cel.iterVar("}}) {
    if (name.starts_with(prefix)) return function + std::string(name.substr(prefix.size())) + ")";
  }
  return std::string(name);
}

std::string_view macro_name(Macro macro, bool two_variables) {
  for (const MacroForm& form : kForms) {
    if (form.macro == macro && (form.variables == 2) == two_variables) return form.name;
  }
  return "macro";
}

}  // namespace tamis::cel
