// The syntax tree of one expression: what the parser makes, the checker annotates and the planner consumes.
// Macros are recognised by the parser and kept as one node each (kMacro), so that both evaluators can run them as tight
// loops; their meaning is that of the expansions in cel-spec, "Macros".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cel/env.h"

namespace tamis::cel {

enum class ExprKind : uint8_t { kConst, kIdent, kSelect, kCall, kList, kMap, kStruct, kMacro };

enum class Macro : uint8_t {
  kAll,                // args: range, predicate            vars: 1 or 2
  kExists,             // args: range, predicate            vars: 1 or 2
  kExistsOne,          // args: range, predicate            vars: 1 or 2 (exists_one, existsOne)
  kMap,                // args: range, transform            var 1
  kMapFilter,          // args: range, predicate, transform var 1
  kFilter,             // args: range, predicate            var 1
  kTransformList,      // args: range, [predicate,] transform       vars: 2
  kTransformMap,       // args: range, [predicate,] value           vars: 2
  kTransformMapEntry,  // args: range, [predicate,] map of entries  vars: 2
  kSortBy,             // args: range, key                  var 1
  kBind,               // cel.bind(var, init, body): args: init, body
  kOptMap,             // args: optional, body              var 1
  kOptFlatMap,         // args: optional, body              var 1
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::kConst;
  uint32_t begin = 0, end = 0;  // bytes of the source that this node spans

  Value constant;          // kConst
  std::string name;        // kIdent, field of kSelect, function of kCall, message of kStruct
  bool absolute = false;   // kIdent and kCall: written with a leading dot
  bool test_only = false;  // kSelect: has(e.f); kIdent: has(x), where the dialect is ours
  bool optional = false;   // kSelect: e.?f
  bool member = false;     // kCall: args[0] is the receiver
  Macro macro = Macro::kAll;
  std::string var1, var2;                // kMacro; var2 empty where there is one variable
  std::vector<ExprPtr> args;             // operand of kSelect; arguments; elements; key, value, key, value, ...
  std::vector<bool> optional_entries;    // kList: per element, kMap: per entry; empty if none is optional
  std::vector<std::string> field_names;  // kStruct

  // Filled by the checker (or by the resolver, where checking is off: then type is dyn and all overloads remain).
  Type type;
  const Variable* variable = nullptr;      // kIdent or kSelect that names a variable of the Env (args then unused)
  std::string local;                       // kIdent that names a macro variable
  std::vector<const Overload*> overloads;  // kCall: the candidates left, most specific first
};

struct Issue {
  uint32_t begin = 0, end = 0;  // bytes of the source
  std::string message;          // what is wrong and what was expected
  std::string hint;             // "did you mean `ip.net24`?" or empty
};

struct Ast {
  std::string source;
  std::unique_ptr<base::Arena> arena;  // owns the constants
  ExprPtr root;
};

struct Compiled {
  Ast ast;                    // root is null if parsing failed
  std::vector<Issue> issues;  // empty: the expression is good
  bool ok() const { return ast.root != nullptr && issues.empty(); }
  const Type& type() const { return ast.root->type; }
};

// Limits on one expression, so that no source can exhaust the stack or the machine.
struct CompileLimits {
  uint32_t source_bytes_max = 64 * 1024;
  uint32_t depth_max = 250;
  uint32_t nodes_max = 50'000;
  uint32_t issues_max = 20;
};

// Parses only. Issues are syntax errors.
Compiled parse(const Env& env, std::string_view source, const CompileLimits& limits = {});
// Parses, resolves names, and checks types; with `check` off, only resolves: every type is dyn, and a name that means
// nothing is no issue but an error when evaluated (a kIdent without variable and local, a kCall without overloads).
// A call of a namespaced function, math.greatest(a, b), comes out as a global call of "math.greatest".
Compiled compile(const Env& env, std::string_view source, bool check = true, const CompileLimits& limits = {});

}  // namespace tamis::cel
