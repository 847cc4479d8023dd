// Overloads: the functions and operators that an expression can call. The standard library and the extensions are
// tables of Overloads; the checker reads their types, the planner binds their `invoke`, nothing else knows them.
//
// Threading: tables are immutable after start; `invoke` is pure but for the arena and the host of the call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "event/type.h"
#include "event/value.h"

namespace tamis::cel {

using event::Type;
using event::Value;

// What an expression can ask the engine for. Answers are as of the event being decided, and deterministic.
class Host {
 public:
  virtual ~Host() = default;
  // `list` is the number in the kHandle value of a variable of type tamis.list(T).
  virtual bool list_contains(int64_t list, Value value) const = 0;
  // Names of the labels now on an entity, as a list of strings in the arena. `kind` is the number in the handle of a
  // variable of type tamis.entity_kind.
  virtual Value labels_of(int64_t kind, Value value, base::Arena& arena) const = 0;
};

// What a running function may use. `cost_left` falls with work done; at zero or below the evaluation ends in
// error_limit(). One unit is about one simple operation or 16 bytes of text touched.
struct Call {
  base::Arena& arena;
  const Host* host;
  int64_t cost_left;
};

struct Overload {
  std::string id;        // "add_int64", unique: the ids of cel-spec where it has them
  std::string function;  // "_+_", "size", "startsWith", "math.greatest", "@in", "_[_]"
  bool member = false;   // called as a.f(b); params[0] is the receiver
  std::vector<Type> params;
  Type result;
  // Arguments are neither errors nor absent (the evaluator absorbs them before), and their kinds fit `params`.
  Value (*invoke)(Call& call, const Value* args) = nullptr;
  bool variadic = false;   // the last parameter may repeat (math.greatest): args then come as one list
  uint32_t cost = 1;       // fixed part of the cost
  bool strict_cel = true;  // false: an extension of ours, absent where the dialect is strict
};

// Operators whose evaluation is not a plain call (lazy, error-absorbing, or generic) have a null `invoke`, and only
// their types stand here: _&&_ _||_ _?_:_ _==_ _!=_ and @not_strictly_false.
const std::vector<Overload>& standard_library();  // cel-spec, "List of Standard Definitions"
const std::vector<Overload>& string_library();    // strings extension, with format
const std::vector<Overload>& math_library();
const std::vector<Overload>& encoder_library();
const std::vector<Overload>& list_library();     // lists and sets extensions
const std::vector<Overload>& network_library();  // ip, cidr
const std::vector<Overload>& optional_library();
const std::vector<Overload>& tamis_library();  // ours: named lists, net(), geo.distance, edit_distance, ...

// True if a runtime value fits a declared parameter type (dyn and type parameters fit all). Only the outer shape
// counts: any list fits list(int), and a function whose elements matter checks them itself, as it must for dyn anyway.
bool fits(const Type& type, Value value);

}  // namespace tamis::cel
