// Unification of types for the checker (cel-spec, "Gradual Type Checking"): type variables, what may be assigned to
// what, and what two types have in common. Private to the room.
//
// Work and size are bounded: nested generic types could otherwise grow exponentially with the length of an expression.
// Once the bound is reached, nothing is assignable any more and exhausted() is true.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "event/type.h"

namespace tamis::cel {

using event::Type;

class Unifier {
 public:
  // A new type variable, bound to nothing.
  Type fresh();

  // The type with each parameter of an overload replaced by a variable; the same parameter gets the same variable as
  // long as `names` is the same.
  using Names = std::vector<std::pair<std::string, Type>>;
  Type instantiate(const Type& type, Names& names);

  // Whether a value of type `from` may stand where `to` is expected. Binds variables if so, else leaves them.
  bool assign(const Type& from, const Type& to);

  // The type of what may be an `a` or a `b`, given that one could be assigned to the other.
  Type generalise(const Type& a, const Type& b);

  // Bound variables replaced by what they stand for; unbound ones by dyn if `to_dyn`. Very large types become dyn.
  Type substitute(const Type& type, bool to_dyn);

  // Bindings made since mark() are undone by rollback().
  size_t mark() const { return trail_.size(); }
  void rollback(size_t mark);

  bool exhausted() const { return work_left_ <= 0; }

 private:
  struct Change {
    size_t variable;
    std::optional<Type> before;
  };

  bool spend() { return --work_left_ > 0; }
  bool assignable(const Type& from, const Type& to, int depth);
  bool assignable_all(const std::vector<Type>& from, const std::vector<Type>& to, int depth);
  // Whether `variable` may stand for `type`; `bound` tells whether it stood for something before.
  bool bind(const Type& type, const Type& variable, int depth, bool& bound);
  bool occurs(const Type& variable, const Type& in, int depth);
  Type replace(const Type& type, bool to_dyn, int depth, int& size_left);
  void set(size_t variable, Type type);

  std::vector<std::optional<Type>> bindings_;
  std::vector<Change> trail_;
  int64_t work_left_ = 1'000'000;
};

bool has_params(const Type& type);
// The type, or dyn if it is larger than any that an honest expression has.
Type bounded(Type type);
// True if nothing in the type is left open: no dyn, no parameter, and no null can hide behind it.
bool is_certain(const Type& type);

}  // namespace tamis::cel
