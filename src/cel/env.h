// Env: what names mean in an expression: variables (each bound to a slot), constants, functions, the container for
// name resolution, and the dialect. Built once per event type by the policy, then immutable; a compile only reads it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cel/function.h"

namespace tamis::cel {

enum class Dialect {
  kStrict,  // cel-spec and its extension libraries, nothing else
  kTamis,   // and ours: int and double mix in arithmetic, has(x) of a variable, `in` of named lists, net(), ...
};

struct Variable {
  std::string
      name;  // may be dotted: "ip.net24", "list.tor_exit"; the longest prefix wins (cel-spec, "Name Resolution")
  Type type;
  int32_t slot = -1;  // index into Frame::slots, or -1 for a constant
  Value constant;     // where slot is -1; what it points to outlives the Env
};

class Env {
 public:
  explicit Env(Dialect dialect = Dialect::kTamis);  // with the libraries of the dialect

  void add_variable(Variable variable);  // a later one of the same name hides an earlier one
  // For functions of a caller. One with the id of an earlier one of the same function replaces it.
  void add_overload(Overload overload);
  void set_container(std::string container) { container_ = std::move(container); }
  void enable_macros(bool on) { macros_ = on; }

  Dialect dialect() const { return dialect_; }
  const std::string& container() const { return container_; }
  bool macros_enabled() const { return macros_; }
  // Also finds the names of types ("int", "google.protobuf.Timestamp", "net.IP"): constants of type `type`, which a
  // variable of the same name hides.
  const Variable* find_variable(std::string_view name) const;
  // All overloads of a function, member and global, in declaration order; empty if there is none.
  const std::vector<const Overload*>& find_overloads(std::string_view function) const;
  bool has_function(std::string_view name) const { return !find_overloads(name).empty(); }

  // For "did you mean": the declared names nearest to `name` by edit distance, best first, at most three.
  enum class Names { kVariables, kFunctions };
  std::vector<std::string> nearest_names(std::string_view name, Names which = Names::kVariables) const;

 private:
  Dialect dialect_;
  std::string container_;
  bool macros_ = true;
  std::map<std::string, Variable, std::less<>> variables_;
  std::map<std::string, std::vector<const Overload*>, std::less<>> overloads_;
  std::vector<std::shared_ptr<const Overload>> owned_;
};

}  // namespace tamis::cel
