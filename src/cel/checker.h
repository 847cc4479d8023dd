// The checker: resolves names and deduces types (cel-spec, "Name Resolution" and "Gradual Type Checking"). With
// checking off it only resolves. Private to the room.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cel/ast.h"
#include "cel/unify.h"

namespace tamis::cel {

class Checker {
 public:
  Checker(const Env& env, Compiled& compiled, bool check, size_t issues_max)
      : env_(env), compiled_(compiled), check_(check), issues_max_(issues_max) {}

  void run();

 private:
  struct Local {
    std::string_view name;
    Type type;
  };

  // checker.cc: expressions
  void visit(Expr& e);
  void visit_identifier(Expr& e);
  void visit_select(Expr& e, const Expr& whole);
  void select_field(Expr& e);
  void report_no_field(const Expr& e, const Type& target);
  void visit_list(Expr& e);
  void visit_map(Expr& e);
  void visit_struct(Expr& e);
  Type entry_type(const Expr& value, bool optional);
  Type join(bool first, const Type& before, const Type& next);
  void check_key(const Expr& key);

  // check_macros.cc
  void visit_macro(Expr& e);
  void visit_comprehension(Expr& e);
  void visit_bind(Expr& e);
  void visit_optional_macro(Expr& e);
  void range_types(const Expr& e, Type& first, Type& second);
  Type comprehension_type(const Expr& e, const Type& element);
  void visit_scoped(Expr& e, size_t locals);

  // check_calls.cc
  void visit_call(Expr& e);
  bool resolve_namespaced(Expr& e);
  const std::vector<const Overload*>* resolve_function(std::string_view name, bool absolute, std::string& resolved);
  void resolve_overload(Expr& e, const std::vector<const Overload*>& declared);
  bool try_overload(const Overload& overload, const Expr& e, Type& result);
  bool visit_logical(Expr& e, const std::vector<const Overload*>& declared);
  bool mix_numbers(Expr& e, const std::vector<const Overload*>& candidates);
  void report_unknown_function(const Expr& e, std::string_view name);
  void report_no_overload(const Expr& e, const std::vector<const Overload*>& declared);

  // Names
  const Local* find_local(std::string_view name) const;
  const Variable* find_variable(std::string_view name, bool absolute) const;
  template <class Visit>
  void each_candidate(std::string_view name, bool absolute, Visit visit) const;
  bool dotted_name(const Expr& e, std::string& out, const Expr*& root) const;
  void use_variable(Expr& e, const Variable& variable);
  void report_undeclared(const Expr& whole, const Expr& root);

  void set_type(Expr& e, Type type);
  Type known(const Type& type) { return unifier_.substitute(type, false); }
  std::string show(const Type& type) { return event::to_string(unifier_.substitute(type, true)); }
  void expect_bool(const Expr& e);
  void check_pattern(const Expr& e);
  void issue(const Expr& at, std::string message, std::string hint = {});
  void finish(Expr& e);

  const Env& env_;
  Compiled& compiled_;
  bool check_;
  size_t issues_max_;
  Unifier unifier_;
  std::vector<Local> locals_;
};

// Calls `visit` with each name that `name` can mean in the container, innermost first, until it returns true.
template <class Visit>
void Checker::each_candidate(std::string_view name, bool absolute, Visit visit) const {
  if (!absolute) {
    std::string_view container = env_.container();
    while (!container.empty()) {
      std::string candidate(container);
      candidate.append(".").append(name);
      if (visit(std::string_view(candidate))) return;
      size_t dot = container.rfind('.');
      container = dot == std::string_view::npos ? std::string_view() : container.substr(0, dot);
    }
  }
  visit(name);
}

// "did you mean `a` or `b`?", or empty.
std::string did_you_mean(const std::vector<std::string>& names);

}  // namespace tamis::cel
