// The math extension.
#include <bit>
#include <cmath>
#include <limits>

#include "cel/lib.h"

namespace tamis::cel {

namespace lib {

namespace {

using event::error_no_such_overload;
using event::error_overflow;

bool is_number(Value v) { return v.is(Kind::kInt) || v.is(Kind::kUint) || v.is(Kind::kDouble); }

// Keeps the greater (kSign 1) or lesser (-1) of both in `best`; the earlier one where they are equal.
template <int kSign>
Value keep(Call& call, Value best, Value v) {
  if (!is_number(v) || !is_number(best)) return error_no_such_overload();
  int order = event::compare(v, best);
  if (order == 2) return invalid(call, {"NaN has no place in an order"});
  return order == kSign ? v : best;
}

template <int kSign>
Value pick(Call& call, Value best, std::span<const Value> values) {
  for (Value v : values) {
    best = keep<kSign>(call, best, v);
    if (best.is_error()) return best;
    if (!charge(call, 1)) return event::error_limit();
  }
  return best;
}

Value pick_one(Call&, const Value* v) { return v[0]; }
template <int kSign>
Value pick_two(Call& call, const Value* v) {
  return keep<kSign>(call, v[0], v[1]);
}
// Three or more: the repeated last parameter arrives as a list.
template <int kSign>
Value pick_many(Call& call, const Value* v) {
  Value best = keep<kSign>(call, v[0], v[1]);
  return best.is_error() ? best : pick<kSign>(call, best, v[2].list_items());
}
template <int kSign>
Value pick_list(Call& call, const Value* v) {
  if (v[0].size == 0) return invalid(call, {"an empty list has no greatest and no least element"});
  if (!is_number(v[0].items[0])) return error_no_such_overload();
  return pick<kSign>(call, v[0].items[0], v[0].list_items().subspan(1));
}

template <int kSign>
void add_pick(Table& table, const std::string& function, const std::string& id) {
  const std::pair<const char*, Type> kinds[] = {
      {"int", Type::integer()}, {"uint", Type::uinteger()}, {"double", Type::real()}};
  for (const auto& [name, type] : kinds) table.global(id + "_" + name, function, {type}, type, pick_one);
  for (const auto& [a, a_type] : kinds) {
    for (const auto& [b, b_type] : kinds) {
      table.global(id + "_" + a + "_" + b, function, {a_type, b_type}, a_type == b_type ? a_type : Type::dyn(),
                   pick_two<kSign>);
    }
  }
  for (const auto& [name, type] : kinds) {
    table.global(id + "_list_" + name, function, {Type::list(type)}, type, pick_list<kSign>);
  }
  for (const auto& [name, type] : kinds) {
    table.global(id + "_many_" + name, function, {type, type, type}, type, pick_many<kSign>).variadic = true;
  }
  const Type dyn = Type::dyn();
  table.global(id + "_many", function, {dyn, dyn, dyn}, dyn, pick_many<kSign>).variadic = true;
}

Value ceil_of(Call&, const Value* v) { return Value::real(std::ceil(v[0].d)); }
Value floor_of(Call&, const Value* v) { return Value::real(std::floor(v[0].d)); }
Value round_of(Call&, const Value* v) { return Value::real(std::round(v[0].d)); }
Value trunc_of(Call&, const Value* v) { return Value::real(std::trunc(v[0].d)); }
Value is_nan(Call&, const Value* v) { return Value::boolean(std::isnan(v[0].d)); }
Value is_inf(Call&, const Value* v) { return Value::boolean(std::isinf(v[0].d)); }
Value is_finite(Call&, const Value* v) { return Value::boolean(std::isfinite(v[0].d)); }

Value abs_int(Call&, const Value* v) {
  if (v[0].i == std::numeric_limits<int64_t>::min()) return error_overflow();
  return Value::integer(v[0].i < 0 ? -v[0].i : v[0].i);
}
Value abs_uint(Call&, const Value* v) { return v[0]; }
Value abs_double(Call&, const Value* v) { return Value::real(std::fabs(v[0].d)); }
Value sign_int(Call&, const Value* v) { return Value::integer((v[0].i > 0) - (v[0].i < 0)); }
Value sign_uint(Call&, const Value* v) { return Value::uinteger(v[0].u > 0); }
Value sign_double(Call&, const Value* v) {
  if (std::isnan(v[0].d)) return v[0];
  return Value::real((v[0].d > 0) - (v[0].d < 0));
}
// NaN for negative numbers, as IEEE 754 has it.
Value sqrt_double(Call&, const Value* v) { return Value::real(std::sqrt(v[0].d)); }
Value sqrt_int(Call&, const Value* v) { return Value::real(std::sqrt(static_cast<double>(v[0].i))); }
Value sqrt_uint(Call&, const Value* v) { return Value::real(std::sqrt(static_cast<double>(v[0].u))); }

// Bits are the same whether read signed or not; only the kind of the result differs.
Value with_bits(Value like, uint64_t bits) {
  return like.is(Kind::kInt) ? Value::integer(static_cast<int64_t>(bits)) : Value::uinteger(bits);
}
Value bit_and(Call&, const Value* v) { return with_bits(v[0], v[0].u & v[1].u); }
Value bit_or(Call&, const Value* v) { return with_bits(v[0], v[0].u | v[1].u); }
Value bit_xor(Call&, const Value* v) { return with_bits(v[0], v[0].u ^ v[1].u); }
Value bit_not(Call&, const Value* v) { return with_bits(v[0], ~v[0].u); }
// Vacant bits are zeros in both directions; all bits are gone from 64 on.
template <bool kLeft>
Value bit_shift(Call& call, const Value* v) {
  if (v[1].i < 0) return invalid(call, {"a shift by a negative number of bits: ", std::to_string(v[1].i)});
  if (v[1].i >= 64) return with_bits(v[0], 0);
  return with_bits(v[0], kLeft ? v[0].u << v[1].i : v[0].u >> v[1].i);
}

void add_bits(Table& table) {
  const Type i = Type::integer(), u = Type::uinteger();
  for (const auto& [name, type] : {std::pair{std::string("int"), i}, std::pair{std::string("uint"), u}}) {
    const std::string both = "_" + name + "_" + name;
    table.global("math_bitAnd" + both, "math.bitAnd", {type, type}, type, bit_and);
    table.global("math_bitOr" + both, "math.bitOr", {type, type}, type, bit_or);
    table.global("math_bitXor" + both, "math.bitXor", {type, type}, type, bit_xor);
    table.global("math_bitNot" + both, "math.bitNot", {type}, type, bit_not);
    table.global("math_bitShiftLeft_" + name + "_int", "math.bitShiftLeft", {type, i}, type, bit_shift<true>);
    table.global("math_bitShiftRight_" + name + "_int", "math.bitShiftRight", {type, i}, type, bit_shift<false>);
  }
}

std::vector<Overload> make_math() {
  const Type i = Type::integer(), u = Type::uinteger(), d = Type::real(), boolean = Type::boolean();
  Table table;
  add_pick<1>(table, "math.greatest", "math_@max");
  add_pick<-1>(table, "math.least", "math_@min");
  table.global("math_ceil_double", "math.ceil", {d}, d, ceil_of);
  table.global("math_floor_double", "math.floor", {d}, d, floor_of);
  table.global("math_round_double", "math.round", {d}, d, round_of);
  table.global("math_trunc_double", "math.trunc", {d}, d, trunc_of);
  table.global("math_isNaN_double", "math.isNaN", {d}, boolean, is_nan);
  table.global("math_isInf_double", "math.isInf", {d}, boolean, is_inf);
  table.global("math_isFinite_double", "math.isFinite", {d}, boolean, is_finite);
  table.global("math_abs_double", "math.abs", {d}, d, abs_double);
  table.global("math_abs_int", "math.abs", {i}, i, abs_int);
  table.global("math_abs_uint", "math.abs", {u}, u, abs_uint);
  table.global("math_sign_double", "math.sign", {d}, d, sign_double);
  table.global("math_sign_int", "math.sign", {i}, i, sign_int);
  table.global("math_sign_uint", "math.sign", {u}, u, sign_uint);
  table.global("math_sqrt_double", "math.sqrt", {d}, d, sqrt_double);
  table.global("math_sqrt_int", "math.sqrt", {i}, d, sqrt_int);
  table.global("math_sqrt_uint", "math.sqrt", {u}, d, sqrt_uint);
  add_bits(table);
  return table.take();
}

}  // namespace

}  // namespace lib

const std::vector<Overload>& math_library() {
  static const std::vector<Overload> table = lib::make_math();
  return table;
}

}  // namespace tamis::cel
