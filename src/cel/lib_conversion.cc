// Conversions between types (cel-spec, "Types and Conversions"). A value outside the range of the target is an error,
// never cut: doubles become ints only strictly between the smallest and the largest int ("Overflow").
#include <charconv>
#include <cmath>
#include <limits>

#include "cel/lib.h"
#include "cel/utf8.h"
#include "event/time_text.h"

namespace tamis::cel::lib {

namespace {

using event::error_limit;
using event::error_overflow;

constexpr double kTwo63 = 9223372036854775808.0;
constexpr double kTwo64 = 18446744073709551616.0;

Value identity(Call&, const Value* v) { return v[0]; }

Value cannot_convert(Call& call, Value from, std::string_view to) {
  return invalid(call, {"cannot convert ", event::debug_string(from, 60), " to ", to});
}

// Decimal digits with the sign that `T` allows; nothing else, no separators.
template <class T>
Value parse_whole(Call& call, Value text, std::string_view type, Value (*make)(T)) {
  std::string_view digits = text.str();
  if (std::numeric_limits<T>::is_signed && digits.size() > 1 && digits[0] == '+' && digits[1] != '-') {
    digits.remove_prefix(1);
  }
  T number{};
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error == std::errc::result_out_of_range) return error_overflow();
  if (error != std::errc() || end != digits.data() + digits.size()) return cannot_convert(call, text, type);
  return make(number);
}

Value uint_to_int(Call&, const Value* v) { return v[0].u >> 63 != 0 ? error_overflow() : Value::integer(v[0].i); }
Value double_to_int(Call&, const Value* v) {
  if (!(v[0].d > -kTwo63 && v[0].d < kTwo63)) return error_overflow();
  return Value::integer(static_cast<int64_t>(v[0].d));
}
Value string_to_int(Call& call, const Value* v) { return parse_whole<int64_t>(call, v[0], "int", Value::integer); }
Value timestamp_to_int(Call&, const Value* v) { return Value::integer(v[0].i); }
Value duration_to_int(Call&, const Value* v) { return Value::integer(v[0].i); }

Value int_to_uint(Call&, const Value* v) { return v[0].i < 0 ? error_overflow() : Value::uinteger(v[0].u); }
Value double_to_uint(Call&, const Value* v) {
  if (!(v[0].d >= 0 && v[0].d < kTwo64)) return error_overflow();
  return Value::uinteger(static_cast<uint64_t>(v[0].d));
}
Value string_to_uint(Call& call, const Value* v) { return parse_whole<uint64_t>(call, v[0], "uint", Value::uinteger); }

Value int_to_double(Call&, const Value* v) { return Value::real(static_cast<double>(v[0].i)); }
Value uint_to_double(Call&, const Value* v) { return Value::real(static_cast<double>(v[0].u)); }
Value string_to_double(Call& call, const Value* v) {
  double number;
  return parse_double(v[0].str(), number) ? Value::real(number) : cannot_convert(call, v[0], "double");
}

Value string_to_bool(Call& call, const Value* v) {
  for (std::string_view name : {"true", "True", "TRUE", "t", "T", "1"}) {
    if (v[0].str() == name) return Value::boolean(true);
  }
  for (std::string_view name : {"false", "False", "FALSE", "f", "F", "0"}) {
    if (v[0].str() == name) return Value::boolean(false);
  }
  return cannot_convert(call, v[0], "bool");
}

Value string_to_bytes(Call&, const Value* v) { return Value::bytes(v[0].str()); }
Value bytes_to_string(Call& call, const Value* v) {
  if (!charge_bytes(call, v[0].size)) return error_limit();
  if (!is_valid_utf8(v[0].str())) return invalid(call, {"cannot convert bytes to string: they are not valid UTF-8"});
  return Value::string(v[0].str());
}

Value bool_to_string(Call&, const Value* v) { return Value::string(v[0].b ? "true" : "false"); }
template <class T>
Value number_to_string(Call& call, T number) {
  char text[24];
  char* end = std::to_chars(text, text + sizeof text, number).ptr;
  return Value::string(call.arena.copy({text, static_cast<size_t>(end - text)}));
}
Value int_to_string(Call& call, const Value* v) { return number_to_string(call, v[0].i); }
Value uint_to_string(Call& call, const Value* v) { return number_to_string(call, v[0].u); }
Value double_to_string(Call& call, const Value* v) {
  TextOut out(call.arena);
  append_general(out, v[0].d);
  return out.finish();
}
Value timestamp_to_string(Call& call, const Value* v) {
  char text[event::kTimeTextBytesMax];
  return Value::string(call.arena.copy(event::format_timestamp(v[0].i, v[0].size, text)));
}
Value duration_to_string(Call& call, const Value* v) {
  char text[event::kTimeTextBytesMax];
  return Value::string(call.arena.copy(event::format_duration(v[0].i, text)));
}

Value string_to_timestamp(Call& call, const Value* v) {
  int64_t seconds;
  uint32_t nanos;
  if (event::parse_timestamp(v[0].str(), seconds, nanos)) return Value::timestamp(seconds, nanos);
  return invalid(call, {shown(v[0].str()), " is not an RFC 3339 timestamp of the years 0001 to 9999"});
}
Value int_to_timestamp(Call&, const Value* v) {
  if (v[0].i < event::kTimestampSecondsMin || v[0].i > event::kTimestampSecondsMax) return error_overflow();
  return Value::timestamp(v[0].i, 0);
}
Value string_to_duration(Call& call, const Value* v) {
  int64_t nanos;
  if (v[0].size <= 4096 && event::parse_duration(v[0].str(), nanos)) return Value::duration(nanos);
  return invalid(call, {shown(v[0].str()), " is not a duration like \"1h30m\" or \"-1.5s\" of at most 292 years"});
}

// Type names are static or belong to a value that lives as long as this one.
Value type_of(Call&, const Value* v) { return Value::type(event::type_name(v[0])); }

}  // namespace

void add_conversions(Table& table) {
  const Type i = Type::integer(), u = Type::uinteger(), d = Type::real(), s = Type::string(), b = Type::bytes();
  const Type boolean = Type::boolean(), ts = Type::timestamp(), du = Type::duration(), a = Type::param("A");
  table.global("int64_to_int64", "int", {i}, i, identity);
  table.global("uint64_to_int64", "int", {u}, i, uint_to_int);
  table.global("double_to_int64", "int", {d}, i, double_to_int);
  table.global("string_to_int64", "int", {s}, i, string_to_int);
  table.global("timestamp_to_int64", "int", {ts}, i, timestamp_to_int);
  table.global("duration_to_int64", "int", {du}, i, duration_to_int);
  table.global("uint64_to_uint64", "uint", {u}, u, identity);
  table.global("int64_to_uint64", "uint", {i}, u, int_to_uint);
  table.global("double_to_uint64", "uint", {d}, u, double_to_uint);
  table.global("string_to_uint64", "uint", {s}, u, string_to_uint);
  table.global("double_to_double", "double", {d}, d, identity);
  table.global("int64_to_double", "double", {i}, d, int_to_double);
  table.global("uint64_to_double", "double", {u}, d, uint_to_double);
  table.global("string_to_double", "double", {s}, d, string_to_double);
  table.global("bool_to_bool", "bool", {boolean}, boolean, identity);
  table.global("string_to_bool", "bool", {s}, boolean, string_to_bool);
  table.global("bytes_to_bytes", "bytes", {b}, b, identity);
  table.global("string_to_bytes", "bytes", {s}, b, string_to_bytes);
  table.global("string_to_string", "string", {s}, s, identity);
  table.global("bool_to_string", "string", {boolean}, s, bool_to_string);
  table.global("int64_to_string", "string", {i}, s, int_to_string);
  table.global("uint64_to_string", "string", {u}, s, uint_to_string);
  table.global("double_to_string", "string", {d}, s, double_to_string);
  table.global("bytes_to_string", "string", {b}, s, bytes_to_string);
  table.global("timestamp_to_string", "string", {ts}, s, timestamp_to_string);
  table.global("duration_to_string", "string", {du}, s, duration_to_string);
  table.global("timestamp_to_timestamp", "timestamp", {ts}, ts, identity);
  table.global("string_to_timestamp", "timestamp", {s}, ts, string_to_timestamp);
  table.global("int64_to_timestamp", "timestamp", {i}, ts, int_to_timestamp);
  table.global("duration_to_duration", "duration", {du}, du, identity);
  table.global("string_to_duration", "duration", {s}, du, string_to_duration);
  table.global("to_dyn", "dyn", {a}, Type::dyn(), identity);
  table.global("type", "type", {a}, Type::type(a), type_of);
}

}  // namespace tamis::cel::lib
