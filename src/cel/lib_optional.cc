// Optional values. Their lazy parts (or, orValue, the macros optMap and optFlatMap, selection) are the evaluator's; the
// strict forms stand here for their types, and work all the same.
#include "cel/lib.h"

namespace tamis::cel {

namespace lib {

namespace {

using event::error_limit;
using event::error_no_such_overload;

Value some(Call& call, Value v) { return Value::some(call.arena.make(v)); }

Value of(Call& call, const Value* v) { return some(call, v[0]); }
Value of_non_zero(Call& call, const Value* v) { return is_zero(v[0]) ? Value::none() : some(call, v[0]); }
Value none(Call&, const Value*) { return Value::none(); }
Value has_value(Call&, const Value* v) { return Value::boolean(v[0].optional != nullptr); }
Value value(Call& call, const Value* v) {
  if (v[0].optional != nullptr) return *v[0].optional;
  return fail(call, ErrorCode::kNoSuchField, {"value() of optional.none()"});
}
Value or_optional(Call&, const Value* v) { return v[0].optional != nullptr ? v[0] : v[1]; }
Value or_value(Call&, const Value* v) { return v[0].optional != nullptr ? *v[0].optional : v[1]; }

Value index_optional(Call& call, const Value* v) { return index_value(call, v[0], v[1], true); }
Value index_of(Call& call, const Value* v) { return index_value(call, v[0], v[1], false); }

Value unwrap(Call& call, const Value* v) {
  if (!charge(call, v[0].size)) return error_limit();
  Value* items = call.arena.allocate_array<Value>(v[0].size);
  size_t size = 0;
  for (Value item : v[0].list_items()) {
    if (!item.is(Kind::kOptional)) return error_no_such_overload();
    if (item.optional != nullptr) items[size++] = *item.optional;
  }
  return Value::list({items, size});
}

Value first(Call&, const Value* v) { return v[0].size == 0 ? Value::none() : Value::some(v[0].items); }
Value last(Call&, const Value* v) { return v[0].size == 0 ? Value::none() : Value::some(v[0].items + v[0].size - 1); }

std::vector<Overload> make_optional() {
  const Type v = Type::param("V"), k = Type::param("K"), i = Type::integer();
  const Type optional = Type::optional(v), list = Type::list(v), map = Type::map(k, v);
  Table table;
  table.global("optional_of", "optional.of", {v}, optional, of);
  table.global("optional_ofNonZeroValue", "optional.ofNonZeroValue", {v}, optional, of_non_zero);
  table.global("optional_none", "optional.none", {}, optional, none);
  table.member("optional_hasValue", "hasValue", {optional}, Type::boolean(), has_value);
  table.member("optional_value", "value", {optional}, v, value);
  table.member("optional_or_optional", "or", {optional, optional}, optional, or_optional);
  table.member("optional_orValue_value", "orValue", {optional, v}, v, or_value);
  table.global("list_optindex_optional_int", "_[?_]", {list, i}, optional, index_optional);
  table.global("optional_list_optindex_optional_int", "_[?_]", {Type::optional(list), i}, optional, index_optional);
  table.global("map_optindex_optional_value", "_[?_]", {map, k}, optional, index_optional);
  table.global("optional_map_optindex_optional_value", "_[?_]", {Type::optional(map), k}, optional, index_optional);
  table.global("optional_list_index_int", "_[_]", {Type::optional(list), i}, optional, index_of);
  table.global("optional_map_index_value", "_[_]", {Type::optional(map), k}, optional, index_of);
  table.global("optional_unwrap", "optional.unwrap", {Type::list(optional)}, list, unwrap);
  table.member("optional_unwrapOpt", "unwrapOpt", {Type::list(optional)}, list, unwrap);
  table.member("list_first", "first", {list}, optional, first);
  table.member("list_last", "last", {list}, optional, last);
  return table.take();
}

}  // namespace

}  // namespace lib

const std::vector<Overload>& optional_library() {
  static const std::vector<Overload> table = lib::make_optional();
  return table;
}

}  // namespace tamis::cel
