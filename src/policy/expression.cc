#include "policy/expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/assert.h"
#include "cel/unparse.h"

namespace tamis::policy {

namespace {

using cel::Expr;
using cel::ExprKind;
using event::Type;

bool is_name_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Another signature for a function of the library.
cel::Overload as(const cel::Env& env, std::string_view function, std::string_view of_id, std::string id) {
  for (const cel::Overload* overload : env.find_overloads(function)) {
    if (overload->id != of_id) continue;
    cel::Overload out = *overload;
    out.id = std::move(id);
    return out;
  }
  TAMIS_ASSERT(!"the library has this function");
}

// labels(kind.network, x), which labels(x) is completed to.
cel::Overload labels_overload(const cel::Env& env) {
  cel::Overload overload = as(env, "@labels", "labels", "labels_of_entity_kind");
  overload.function = "labels";
  return overload;
}

// Lists of networks hold text, and also answer for addresses that are parsed already: ip(x) in list.tor.
cel::Overload address_overload(const cel::Env& env) {
  cel::Overload overload = as(env, "@in", "in_tamis_list", "in_tamis_list_address");
  overload.params = {Type::opaque("net.IP"), Type::opaque("tamis.list", {Type::string()})};
  return overload;
}

// The dotted name that a chain of selections is, or empty.
std::string dotted_name(const Expr& e) {
  std::vector<std::string_view> parts;
  const Expr* at = &e;
  while (at->kind == ExprKind::kSelect && !at->optional && at->args.size() == 1) {
    parts.push_back(at->name);
    at = at->args[0].get();
  }
  if (at->kind != ExprKind::kIdent) return {};
  std::string name = at->name;
  if (!name.empty() && name[0] == '.') name.erase(0, 1);
  for (size_t i = parts.size(); i > 0; --i) name.append(".").append(parts[i - 1]);
  return name;
}

// A name that a macro binds may be marked though it means something else: that costs a slot, nothing more.
void mark_tree(const Expr& e, Scope& scope) {
  if (e.kind == ExprKind::kSelect || e.kind == ExprKind::kIdent) {
    std::string name = dotted_name(e);
    Symbol* symbol = name.empty() ? nullptr : scope.find_prefix(name);
    if (symbol != nullptr) symbol->read = true;
    if (!name.empty()) return;
  }
  for (const cel::ExprPtr& arg : e.args) {
    if (arg != nullptr) mark_tree(*arg, scope);
  }
}

template <class Visit>
void each_call(const Expr& e, Visit& visit) {
  if (e.kind == ExprKind::kCall && !e.member) visit(e);
  for (const cel::ExprPtr& arg : e.args) {
    if (arg != nullptr) each_call(*arg, visit);
  }
}

// Where the quoted text that begins at `at` ends, or npos: the quotes of CEL, raw and triple ones included.
size_t end_of_quotes(std::string_view text, size_t at) {
  char quote = text[at];
  bool raw = at > 0 && (text[at - 1] == 'r' || text[at - 1] == 'R') && (at < 2 || !is_name_char(text[at - 2]));
  bool triple = text.substr(at, 3) == std::string(3, quote);
  std::string end(triple ? 3 : 1, quote);
  for (size_t i = at + end.size(); i < text.size(); ++i) {
    if (text[i] == '\\' && !raw) {
      ++i;
    } else if (text.substr(i, end.size()) == end) {
      return i + end.size();
    }
  }
  return std::string_view::npos;
}

// The closing brace of the expression that begins at `from`, or npos.
size_t closing_brace(std::string_view text, size_t from) {
  int depth = 0;
  for (size_t i = from; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"' || c == '\'') {
      size_t end = end_of_quotes(text, i);
      if (end == std::string_view::npos) return end;
      i = end - 1;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && depth-- == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

}  // namespace

uint32_t PreparedText::original(uint32_t offset) const {
  int64_t shift = 0;
  for (const Edit& edit : edits) {
    int64_t begin = edit.begin + shift;  // in the new text
    int64_t inserted = static_cast<int64_t>(edit.inserted.size());
    if (offset < begin) break;
    if (offset < begin + inserted) return edit.begin;
    shift += inserted - static_cast<int64_t>(edit.removed);
  }
  return static_cast<uint32_t>(offset - shift);
}

std::string_view plain_name(std::string_view expression) {
  while (!expression.empty() && std::isspace(static_cast<unsigned char>(expression.front())))
    expression.remove_prefix(1);
  while (!expression.empty() && std::isspace(static_cast<unsigned char>(expression.back())))
    expression.remove_suffix(1);
  for (char c : expression) {
    if (!is_name_char(c) && c != '.') return {};
  }
  return expression;
}

std::string Expressions::canonical(const Expression& expression) const {
  if (!expression.given()) return {};
  cel::Compiled parsed = cel::parse(base_, expression.text);
  return parsed.ast.root == nullptr ? expression.text : cel::to_text(*parsed.ast.root);
}

Expressions::Expressions(Diagnostics& diagnostics, ExplainName explain)
    : diagnostics_(diagnostics), explain_(std::move(explain)), base_(cel::Dialect::kTamis) {
  base_.add_overload(labels_overload(base_));
  base_.add_overload(address_overload(base_));
}

void Expressions::mark(const Expression& expression, Scope& scope) const {
  if (!expression.given()) return;
  cel::Compiled parsed = cel::parse(base_, expression.text);
  if (parsed.ast.root != nullptr) mark_tree(*parsed.ast.root, scope);
}

void Expressions::mark_template(const Expression& text, Scope& scope) const {
  if (!text.given()) return;
  for (const Part& part : split(text, false)) mark(part.expression, scope);
}

bool Expressions::complete_labels(const Expr& call, const Scope& scope, std::string_view text, PreparedText& out,
                                  NameProblem& problem) const {
  std::string kind;
  const Expr& first = *call.args[0];
  bool is_text = first.kind == ExprKind::kConst && first.constant.is(event::Kind::kString);
  if (call.args.size() == 1) {
    std::string name = dotted_name(first);
    auto it = scope.symbols().find(name);
    std::string shown(text.substr(first.begin, first.end - first.begin));
    if (it == scope.symbols().end()) return true;  // the checker will say so
    if (it->second.entity.empty()) {
      problem = {fmt::format("{} names no entity, so it has no labels", quoted(shown)),
                 fmt::format("give its field an `entity:`, or name the kind: labels('account', {})", shown)};
      return false;
    }
    kind = it->second.entity;
    out.edits.push_back({first.begin, 0, fmt::format("kind.{}, ", kind)});
    return true;
  }
  if (call.args.size() != 2 || !is_text) return true;
  kind = std::string(first.constant.str());
  std::vector<std::string> kinds;
  for (const auto& [name, symbol] : scope.symbols()) {
    if (symbol.kind == Symbol::Kind::kEntityKind) kinds.push_back(name.substr(5));
  }
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
    problem = {fmt::format("no field names an entity of kind {}", quoted(kind)), did_you_mean(kind, kinds)};
    if (problem.hint.empty()) problem.hint = fmt::format("kinds: {}", one_of(kinds));
    return false;
  }
  out.edits.push_back({first.begin, first.end - first.begin, "kind." + kind});
  return true;
}

void Expressions::guard_membership(const Expr& in, const Scope& scope, PreparedText& out) const {
  if (in.args.size() != 2) return;
  std::string item = dotted_name(*in.args[0]), list = dotted_name(*in.args[1]);
  auto symbol = scope.symbols().find(item), named = scope.symbols().find(list);
  if (symbol == scope.symbols().end() || !symbol->second.has_slot() || symbol->second.never_absent) return;
  if (named == scope.symbols().end() || named->second.kind != Symbol::Kind::kList) return;
  out.edits.push_back({in.args[0]->begin, 0, fmt::format("(has({}) && ", item)});
  out.edits.push_back({in.args[1]->end, 0, ")"});
}

PreparedText Expressions::prepare(const Expression& expression, const Scope& scope, bool report_it,
                                  bool& failed) const {
  PreparedText out;
  out.text = expression.text;
  if (out.text.find("labels") == std::string::npos && out.text.find("list") == std::string::npos) return out;
  cel::Compiled parsed = cel::parse(base_, out.text);
  if (parsed.ast.root == nullptr) return out;
  auto visit = [&](const Expr& call) {
    NameProblem problem;
    if (call.name == "@in") guard_membership(call, scope, out);
    if (call.name != "labels" || call.args.empty() || complete_labels(call, scope, expression.text, out, problem))
      return;
    failed = true;
    if (!report_it) return;
    diagnostics_.error_in(*expression.node, expression.offset + call.args[0]->begin,
                          expression.offset + call.args[0]->end, problem.message, problem.hint);
  };
  each_call(*parsed.ast.root, visit);
  std::stable_sort(out.edits.begin(), out.edits.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  for (size_t i = out.edits.size(); i > 0; --i) {
    const PreparedText::Edit& edit = out.edits[i - 1];
    out.text.replace(edit.begin, edit.removed, edit.inserted);
  }
  return out;
}

// "no overload of `in` takes (string, tamis.list(int)); ..." in words; other messages as they are.
static std::string in_words(const std::string& message) {
  constexpr std::string_view kBegin = "no overload of `in` takes (", kList = ", tamis.list(";
  if (!message.starts_with(kBegin)) return message;
  size_t list = message.find(kList), end = message.find("));", list == std::string::npos ? 0 : list);
  if (list == std::string::npos || end == std::string::npos) return message;
  std::string_view all = message;
  return fmt::format("this list holds {}, and what is looked for is {}",
                     all.substr(list + kList.size(), end - list - kList.size()),
                     all.substr(kBegin.size(), list - kBegin.size()));
}

void Expressions::report(const Expression& expression, const PreparedText& prepared, const Scope& scope,
                         const cel::Issue& issue) const {
  uint32_t begin = prepared.original(issue.begin), end = prepared.original(issue.end);
  std::string message = in_words(issue.message), hint = issue.hint;
  begin = std::min<uint32_t>(begin, expression.text.size());
  end = std::clamp<uint32_t>(end, begin, expression.text.size());
  std::string_view name = plain_name(std::string_view(expression.text).substr(begin, end - begin));
  if (!name.empty()) {
    NameProblem better = explain_(scope, name);
    if (better.is_told) return;
    if (!better.message.empty()) message = better.message, hint = better.hint;
  }
  diagnostics_.error_in(*expression.node, expression.offset + begin, expression.offset + end, message, hint);
}

bool Expressions::check_type(const Type& type, Expect expect) const {
  using Kind = Type::Kind;
  if (type.is_dyn()) return true;
  const Type& inner = type.kind == Kind::kWrapper ? type.params[0] : type;
  bool is_number = inner.kind == Kind::kInt || inner.kind == Kind::kUint || inner.kind == Kind::kDouble;
  switch (expect) {
    case Expect::kAny:
      return true;
    case Expect::kBool:
      return inner.kind == Kind::kBool;
    case Expect::kNumber:
      return is_number;
    case Expect::kEntity:
      return inner.kind == Kind::kString || inner.kind == Kind::kInt;
    case Expect::kKeys:
      return inner.kind == Kind::kList && check_type(inner.params[0], Expect::kKey);
    case Expect::kKey:
      return is_number || inner.kind == Kind::kBool || inner.kind == Kind::kString || inner.kind == Kind::kBytes ||
             inner.kind == Kind::kTimestamp || inner.kind == Kind::kDuration ||
             (inner.kind == Kind::kOpaque && (inner.name == "net.IP" || inner.name == "net.CIDR"));
  }
  return false;
}

std::optional<cel::Compiled> Expressions::compile(const Expression& expression, const Scope& scope, const cel::Env& env,
                                                  Expect expect, std::string_view what) const {
  bool failed = false;
  PreparedText prepared = prepare(expression, scope, true, failed);
  if (failed) return std::nullopt;
  cel::Compiled compiled = cel::compile(env, prepared.text);
  for (const cel::Issue& issue : compiled.issues) report(expression, prepared, scope, issue);
  if (!compiled.ok()) return std::nullopt;
  if (check_type(compiled.type(), expect)) return compiled;
  static constexpr std::string_view kWanted[] = {
      "", "bool", "a number", "a single value", "text or a whole number", "a list of single values"};
  diagnostics_.error_in(*expression.node, expression.offset,
                        expression.offset + static_cast<uint32_t>(expression.text.size()),
                        fmt::format("{} is {}, and this is {}", what, kWanted[static_cast<size_t>(expect)],
                                    event::to_string(compiled.type())));
  return std::nullopt;
}

std::optional<Type> Expressions::try_compile(const Expression& expression, const Scope& scope, const cel::Env& env,
                                             std::string& why) const {
  bool failed = false;
  PreparedText prepared = prepare(expression, scope, false, failed);
  if (failed) {
    why = fmt::format("{} is about an entity that is not known there", quoted(expression.text));
    return std::nullopt;
  }
  cel::Compiled compiled = cel::compile(env, prepared.text);
  if (compiled.ok()) return compiled.type();
  why = compiled.issues.empty() ? "it does not compile" : compiled.issues.front().message;
  return std::nullopt;
}

std::vector<Expressions::Part> Expressions::split(const Expression& text, bool report_it) const {
  std::vector<Part> parts;
  std::string literal;
  std::string_view s = text.text;
  auto wrong = [&](size_t begin, size_t end, const char* message) {
    if (report_it) {
      diagnostics_.error_in(*text.node, static_cast<uint32_t>(begin), static_cast<uint32_t>(end), message,
                            "a brace that means itself is written twice: {{ or }}");
    }
    parts.clear();
    return parts;
  };
  for (size_t i = 0; i < s.size();) {
    char c = s[i];
    if ((c == '{' || c == '}') && s.substr(i, 2) == std::string(2, c)) {
      literal += c;
      i += 2;
    } else if (c == '}') {
      return wrong(i, i + 1, "this brace closes nothing");
    } else if (c != '{') {
      literal += c;
      ++i;
    } else {
      size_t close = closing_brace(s, i + 1);
      if (close == std::string_view::npos) return wrong(i, s.size(), "this brace is never closed");
      std::string_view inner = s.substr(i + 1, close - i - 1);
      if (inner.find_first_not_of(" \t\n") == std::string_view::npos) {
        return wrong(i, close + 1, "there is no expression in these braces");
      }
      if (!literal.empty()) parts.push_back({std::move(literal), {}});
      literal.clear();
      parts.push_back({{}, {std::string(inner), text.node, text.offset + static_cast<uint32_t>(i + 1)}});
      i = close + 1;
    }
  }
  if (!literal.empty()) parts.push_back({std::move(literal), {}});
  return parts;
}

Template Expressions::compile_template(const Expression& text, const Scope& scope, const cel::Env& env,
                                       cel::PlanBuilder& builder, std::string_view what) const {
  Template out;
  if (!text.given()) return out;
  for (Part& part : split(text, true)) {
    if (!part.expression.given()) {
      out.push_back({std::move(part.literal), kNoNode});
      continue;
    }
    auto compiled = compile(part.expression, scope, env, Expect::kAny, what);
    if (compiled) out.push_back({{}, builder.add(*compiled)});
  }
  return out;
}

}  // namespace tamis::policy
