// Expressions of a policy: from the text in the YAML to checked CEL, with what is wrong told at its place in the file
// and in the words of the policy ("list `tors` is not declared") rather than of the checker.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cel/ast.h"
#include "cel/env.h"
#include "cel/plan.h"
#include "policy/scope.h"
#include "policy/source.h"

namespace tamis::policy {

enum class Expect : uint8_t {
  kAny,
  kBool,
  kNumber,
  kKey,     // what can be part of a key: one value, no list or map
  kEntity,  // text or int
  kKeys,    // a list of what can be part of a key
};

// What is wrong with a name that the checker does not know, in the policy's words; empty where there is nothing to add.
struct NameProblem {
  std::string message, hint;
  bool is_told = false;  // what the name stands for is in error itself, and that was said: one slip, one diagnostic
};
using ExplainName = std::function<NameProblem(const Scope& scope, std::string_view name)>;

// CEL ready to be compiled, in which places have moved a little: `labels(x)` has been completed by the kind of its
// entity, and `x in list.NAME` of an x that can be absent is (has(x) && x in list.NAME), for what is unknown is in no
// list.
struct PreparedText {
  struct Edit {
    uint32_t begin = 0;    // in the text as written
    uint32_t removed = 0;  // bytes
    std::string inserted;
  };
  std::string text;
  std::vector<Edit> edits;  // by `begin`
  uint32_t original(uint32_t offset) const;
};

class Expressions {
 public:
  Expressions(Diagnostics& diagnostics, ExplainName explain);

  const cel::Env& base() const { return base_; }

  // Marks the symbols that an expression, or the expressions of a template, may read.
  void mark(const Expression& expression, Scope& scope) const;
  void mark_template(const Expression& text, Scope& scope) const;

  // Compiles and reports what is wrong; `what` names the expression ("`when`"). No value: there was something.
  std::optional<cel::Compiled> compile(const Expression& expression, const Scope& scope, const cel::Env& env,
                                       Expect expect, std::string_view what) const;
  // The same without a report: the first thing wrong goes to `why`.
  std::optional<event::Type> try_compile(const Expression& expression, const Scope& scope, const cel::Env& env,
                                         std::string& why) const;
  // One text for all ways to write the same expression: for fingerprints.
  std::string canonical(const Expression& expression) const;
  // Text with `{expression}` in it, `{{` and `}}` for braces.
  Template compile_template(const Expression& text, const Scope& scope, const cel::Env& env, cel::PlanBuilder& builder,
                            std::string_view what) const;

 private:
  struct Part {
    std::string literal;
    Expression expression;  // not given: the literal
  };
  std::vector<Part> split(const Expression& text, bool report) const;
  PreparedText prepare(const Expression& expression, const Scope& scope, bool report, bool& failed) const;
  bool complete_labels(const cel::Expr& call, const Scope& scope, std::string_view text, PreparedText& out,
                       NameProblem& problem) const;
  void report(const Expression& expression, const PreparedText& prepared, const Scope& scope,
              const cel::Issue& issue) const;
  void guard_membership(const cel::Expr& in, const Scope& scope, PreparedText& out) const;
  bool check_type(const event::Type& type, Expect expect) const;

  Diagnostics& diagnostics_;
  ExplainName explain_;
  cel::Env base_;
};

// The name that an expression is and nothing else ("ip.net24"), or empty.
std::string_view plain_name(std::string_view expression);
}  // namespace tamis::policy
