// Operators and the functions of text, lists and maps (cel-spec, "Standard Environment").
#include <cmath>
#include <limits>

#include "cel/lib.h"
#include "cel/regex.h"
#include "cel/text_find.h"
#include "cel/utf8.h"

namespace tamis::cel {

namespace lib {

namespace {

using event::compare;
using event::error_divide_by_zero;
using event::error_limit;
using event::error_no_such_overload;
using event::error_overflow;

constexpr int64_t kIntMin = std::numeric_limits<int64_t>::min();

// Arithmetic. Overflow is an error (cel-spec, "Overflow"); doubles follow IEEE 754.

Value add_int(Call&, const Value* v) {
  int64_t r;
  return __builtin_add_overflow(v[0].i, v[1].i, &r) ? error_overflow() : Value::integer(r);
}
Value subtract_int(Call&, const Value* v) {
  int64_t r;
  return __builtin_sub_overflow(v[0].i, v[1].i, &r) ? error_overflow() : Value::integer(r);
}
Value multiply_int(Call&, const Value* v) {
  int64_t r;
  return __builtin_mul_overflow(v[0].i, v[1].i, &r) ? error_overflow() : Value::integer(r);
}
Value divide_int(Call&, const Value* v) {
  if (v[1].i == 0) return error_divide_by_zero();
  if (v[0].i == kIntMin && v[1].i == -1) return error_overflow();
  return Value::integer(v[0].i / v[1].i);
}
Value modulo_int(Call&, const Value* v) {
  if (v[1].i == 0) return error_divide_by_zero();
  if (v[0].i == kIntMin && v[1].i == -1) return error_overflow();
  return Value::integer(v[0].i % v[1].i);
}
Value negate_int(Call&, const Value* v) { return v[0].i == kIntMin ? error_overflow() : Value::integer(-v[0].i); }

Value add_uint(Call&, const Value* v) {
  uint64_t r;
  return __builtin_add_overflow(v[0].u, v[1].u, &r) ? error_overflow() : Value::uinteger(r);
}
Value subtract_uint(Call&, const Value* v) {
  return v[0].u < v[1].u ? error_overflow() : Value::uinteger(v[0].u - v[1].u);
}
Value multiply_uint(Call&, const Value* v) {
  uint64_t r;
  return __builtin_mul_overflow(v[0].u, v[1].u, &r) ? error_overflow() : Value::uinteger(r);
}
Value divide_uint(Call&, const Value* v) {
  return v[1].u == 0 ? error_divide_by_zero() : Value::uinteger(v[0].u / v[1].u);
}
Value modulo_uint(Call&, const Value* v) {
  return v[1].u == 0 ? error_divide_by_zero() : Value::uinteger(v[0].u % v[1].u);
}

Value add_double(Call&, const Value* v) { return Value::real(v[0].d + v[1].d); }
Value subtract_double(Call&, const Value* v) { return Value::real(v[0].d - v[1].d); }
Value multiply_double(Call&, const Value* v) { return Value::real(v[0].d * v[1].d); }
// Division by zero is defined by IEEE 754, not by C++: written out, so that sanitizers agree.
Value divide_double(Call&, const Value* v) {
  double a = v[0].d, b = v[1].d;
  if (b != 0) return Value::real(a / b);
  if (a == 0 || std::isnan(a)) return Value::real(std::numeric_limits<double>::quiet_NaN());
  bool negative = std::signbit(a) != std::signbit(b);
  double infinity = std::numeric_limits<double>::infinity();
  return Value::real(negative ? -infinity : infinity);
}
Value negate_double(Call&, const Value* v) { return Value::real(-v[0].d); }

Value concat_text(Call& call, const Value* v) {
  size_t size = size_t{v[0].size} + v[1].size;
  if (size > kOutputBytesMax || !charge_bytes(call, size)) return error_limit();
  if (v[0].size == 0) return v[1];
  if (v[1].size == 0) return v[0];
  char* out = static_cast<char*>(call.arena.allocate(size, 1));
  std::memcpy(out, v[0].text, v[0].size);
  std::memcpy(out + v[0].size, v[1].text, v[1].size);
  Value r = v[0];
  r.text = out;
  r.size = static_cast<uint32_t>(size);
  return r;
}

Value concat_list(Call& call, const Value* v) {
  size_t size = size_t{v[0].size} + v[1].size;
  if (size > kOutputItemsMax || !charge(call, size)) return error_limit();
  if (v[0].size == 0) return v[1];
  if (v[1].size == 0) return v[0];
  Value* items = call.arena.allocate_array<Value>(size);
  std::copy(v[0].items, v[0].items + v[0].size, items);
  std::copy(v[1].items, v[1].items + v[1].size, items + v[0].size);
  return Value::list({items, size});
}

// Order. Where values are not ordered (a NaN) every comparison is false.
enum class Order { kLess, kLessEqual, kGreater, kGreaterEqual };

template <Order kOrder>
Value ordered(Call& call, const Value* v) {
  if (v[0].is(Kind::kString) || v[0].is(Kind::kBytes)) {
    if (!charge_bytes(call, std::min(v[0].size, v[1].size))) return error_limit();
  }
  int order = compare(v[0], v[1]);
  if (order == 2) return Value::boolean(false);
  switch (kOrder) {
    case Order::kLess:
      return Value::boolean(order < 0);
    case Order::kLessEqual:
      return Value::boolean(order <= 0);
    case Order::kGreater:
      return Value::boolean(order > 0);
    case Order::kGreaterEqual:
      return Value::boolean(order >= 0);
  }
  return error_no_such_overload();
}

template <Order kOrder>
void add_order(Table& table, const std::string& function, const std::string& id) {
  const Type boolean = Type::boolean();
  const std::pair<const char*, Type> kinds[] = {{"bool", Type::boolean()},        {"int64", Type::integer()},
                                                {"uint64", Type::uinteger()},     {"double", Type::real()},
                                                {"string", Type::string()},       {"bytes", Type::bytes()},
                                                {"timestamp", Type::timestamp()}, {"duration", Type::duration()}};
  for (const auto& [name, type] : kinds) {
    table.global(id + "_" + name, function, {type, type}, boolean, ordered<kOrder>);
  }
  for (size_t a = 1; a <= 3; ++a) {
    for (size_t b = 1; b <= 3; ++b) {
      if (a == b) continue;
      table.global(id + "_" + kinds[a].first + "_" + kinds[b].first, function, {kinds[a].second, kinds[b].second},
                   boolean, ordered<kOrder>);
    }
  }
}

// Sizes and membership.

Value size_of_text(Call& call, const Value* v) {
  if (!charge_bytes(call, v[0].size)) return error_limit();
  return Value::integer(static_cast<int64_t>(count_code_points(v[0].str())));
}
Value size_of_items(Call&, const Value* v) { return Value::integer(v[0].size); }
Value size_of_map(Call&, const Value* v) { return Value::integer(v[0].map->size); }

Value in_list(Call& call, const Value* v) {
  for (Value item : v[1].list_items()) {
    if (!charge(call, 1)) return error_limit();
    if (event::equal(v[0], item)) return Value::boolean(true);
  }
  return Value::boolean(false);
}

Value in_map(Call& call, const Value* v) {
  if (!charge_bytes(call, v[0].is(Kind::kString) ? v[0].size : 0)) return error_limit();
  return Value::boolean(event::map_find(*v[1].map, v[0]) != nullptr);
}

Value index_of(Call& call, const Value* v) { return index_value(call, v[0], v[1], false); }

Value logical_not(Call&, const Value* v) { return Value::boolean(!v[0].b); }

// Text predicates.

Value contains(Call& call, const Value* v) {
  if (!charge_bytes(call, size_t{v[0].size} + v[1].size)) return error_limit();
  return Value::boolean(text_contains(v[0].str(), v[1].str()));
}
Value starts_with(Call& call, const Value* v) {
  if (!charge_bytes(call, v[1].size)) return error_limit();
  return Value::boolean(v[0].str().starts_with(v[1].str()));
}
Value ends_with(Call& call, const Value* v) {
  if (!charge_bytes(call, v[1].size)) return error_limit();
  return Value::boolean(v[0].str().ends_with(v[1].str()));
}
// Patterns known when a policy is compiled never come here: the planner holds them as Regex.
Value matches(Call& call, const Value* v) {
  // Compiling costs far more than reading, searching is linear with a larger constant than a memchr.
  if (!charge(call, 16 + v[1].size + v[0].size / 4)) return error_limit();
  const CachedRegex found = cached_regex(v[1].str());
  if (found.regex == nullptr) return invalid(call, {"bad regular expression ", shown(v[1].str()), ": ", found.error});
  return Value::boolean(found.regex->search(v[0].str()));
}

void add_logic(Table& table) {
  const Type boolean = Type::boolean(), a = Type::param("A");
  table.global("conditional", "_?_:_", {boolean, a, a}, a, nullptr);
  table.global("logical_and", "_&&_", {boolean, boolean}, boolean, nullptr);
  table.global("logical_or", "_||_", {boolean, boolean}, boolean, nullptr);
  table.global("logical_not", "!_", {boolean}, boolean, logical_not);
  table.global("not_strictly_false", "@not_strictly_false", {boolean}, boolean, nullptr);
  table.global("equals", "_==_", {a, a}, boolean, nullptr);
  table.global("not_equals", "_!=_", {a, a}, boolean, nullptr);
}

void add_arithmetic(Table& table) {
  const Type i = Type::integer(), u = Type::uinteger(), d = Type::real(), s = Type::string(), b = Type::bytes();
  const Type list = Type::list(Type::param("A"));
  table.global("add_int64", "_+_", {i, i}, i, add_int);
  table.global("add_uint64", "_+_", {u, u}, u, add_uint);
  table.global("add_double", "_+_", {d, d}, d, add_double);
  table.global("add_string", "_+_", {s, s}, s, concat_text);
  table.global("add_bytes", "_+_", {b, b}, b, concat_text);
  table.global("add_list", "_+_", {list, list}, list, concat_list);
  table.global("subtract_int64", "_-_", {i, i}, i, subtract_int);
  table.global("subtract_uint64", "_-_", {u, u}, u, subtract_uint);
  table.global("subtract_double", "_-_", {d, d}, d, subtract_double);
  table.global("multiply_int64", "_*_", {i, i}, i, multiply_int);
  table.global("multiply_uint64", "_*_", {u, u}, u, multiply_uint);
  table.global("multiply_double", "_*_", {d, d}, d, multiply_double);
  table.global("divide_int64", "_/_", {i, i}, i, divide_int);
  table.global("divide_uint64", "_/_", {u, u}, u, divide_uint);
  table.global("divide_double", "_/_", {d, d}, d, divide_double);
  table.global("modulo_int64", "_%_", {i, i}, i, modulo_int);
  table.global("modulo_uint64", "_%_", {u, u}, u, modulo_uint);
  table.global("negate_int64", "-_", {i}, i, negate_int);
  table.global("negate_double", "-_", {d}, d, negate_double);
}

void add_containers(Table& table) {
  const Type i = Type::integer(), boolean = Type::boolean(), s = Type::string(), b = Type::bytes();
  const Type a = Type::param("A"), list = Type::list(a), map = Type::map(a, Type::param("B"));
  table.global("index_list", "_[_]", {list, i}, a, index_of);
  table.global("index_map", "_[_]", {map, a}, Type::param("B"), index_of);
  table.global("in_list", "@in", {a, list}, boolean, in_list);
  table.global("in_map", "@in", {a, map}, boolean, in_map);
  table.global("size_string", "size", {s}, i, size_of_text);
  table.member("string_size", "size", {s}, i, size_of_text);
  table.global("size_bytes", "size", {b}, i, size_of_items);
  table.member("bytes_size", "size", {b}, i, size_of_items);
  table.global("size_list", "size", {list}, i, size_of_items);
  table.member("list_size", "size", {list}, i, size_of_items);
  table.global("size_map", "size", {map}, i, size_of_map);
  table.member("map_size", "size", {map}, i, size_of_map);
}

void add_text(Table& table) {
  const Type boolean = Type::boolean(), s = Type::string();
  table.member("contains_string", "contains", {s, s}, boolean, contains);
  table.member("starts_with_string", "startsWith", {s, s}, boolean, starts_with);
  table.member("ends_with_string", "endsWith", {s, s}, boolean, ends_with);
  table.global("matches", "matches", {s, s}, boolean, matches);
  table.member("matches_string", "matches", {s, s}, boolean, matches);
}

std::vector<Overload> make_standard() {
  Table table;
  add_logic(table);
  add_order<Order::kLess>(table, "_<_", "less");
  add_order<Order::kLessEqual>(table, "_<=_", "less_equals");
  add_order<Order::kGreater>(table, "_>_", "greater");
  add_order<Order::kGreaterEqual>(table, "_>=_", "greater_equals");
  add_arithmetic(table);
  add_containers(table);
  add_text(table);
  add_conversions(table);
  add_time(table);
  return table.take();
}

}  // namespace

}  // namespace lib

const std::vector<Overload>& standard_library() {
  static const std::vector<Overload> table = lib::make_standard();
  return table;
}

}  // namespace tamis::cel
