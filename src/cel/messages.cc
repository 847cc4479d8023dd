#include "cel/messages.h"

#include <cmath>
#include <cstdint>
#include <limits>

namespace tamis::cel {

namespace {

using event::Kind;

Value same(Call&, const Value* v) { return v[0]; }
Value zero_int(Call&, const Value*) { return Value::integer(0); }
Value zero_uint(Call&, const Value*) { return Value::uinteger(0); }
Value zero_double(Call&, const Value*) { return Value::real(0); }
Value no_bool(Call&, const Value*) { return Value::boolean(false); }
Value no_text(Call&, const Value*) { return Value::string(""); }
Value no_bytes(Call&, const Value*) { return Value::bytes(""); }
Value no_items(Call&, const Value*) { return Value::list({}); }
Value no_entries(Call& call, const Value*) { return event::make_map(call.arena, {}); }
Value no_value(Call&, const Value*) { return Value::null(); }

Value int32(Call&, const Value* v) { return v[0].i == static_cast<int32_t>(v[0].i) ? v[0] : event::error_overflow(); }
Value uint32(Call&, const Value* v) { return v[0].u <= UINT32_MAX ? v[0] : event::error_overflow(); }

// Rounds as a float does; what is too large for one is infinite.
Value float32(Call&, const Value* v) {
  constexpr double kMax = std::numeric_limits<float>::max();
  double d = v[0].d;
  if (std::isnan(d) || std::fabs(d) <= kMax) return Value::real(static_cast<double>(static_cast<float>(d)));
  return Value::real(d < 0 ? -HUGE_VAL : HUGE_VAL);
}

Value nothing_inside(Call& call, const Value*) {
  return event::make_error(call.arena, event::ErrorCode::kInvalidArgument, "google.protobuf.Any{} holds no message");
}

std::vector<Overload> make_table() {
  std::vector<Overload> table;
  auto add = [&](std::string message, std::string field, std::vector<Type> params, Type result,
                 Value (*invoke)(Call&, const Value*)) {
    Overload o;
    o.function = "google.protobuf." + message;
    o.id = o.function + "." + field;
    o.params = std::move(params);
    o.result = std::move(result);
    o.invoke = invoke;
    table.push_back(std::move(o));
  };
  auto wrapper = [&](const char* message, const Type& type, Value (*empty)(Call&, const Value*),
                     Value (*value)(Call&, const Value*)) {
    add(message, "", {}, Type::wrapper(type), empty);
    add(message, "value", {type}, Type::wrapper(type), value);
  };
  wrapper("BoolValue", Type::boolean(), no_bool, same);
  wrapper("BytesValue", Type::bytes(), no_bytes, same);
  wrapper("DoubleValue", Type::real(), zero_double, same);
  wrapper("FloatValue", Type::real(), zero_double, float32);
  wrapper("Int32Value", Type::integer(), zero_int, int32);
  wrapper("Int64Value", Type::integer(), zero_int, same);
  wrapper("StringValue", Type::string(), no_text, same);
  wrapper("UInt32Value", Type::uinteger(), zero_uint, uint32);
  wrapper("UInt64Value", Type::uinteger(), zero_uint, same);
  Type list = Type::list(Type::dyn()), object = Type::map(Type::string(), Type::dyn());
  add("ListValue", "", {}, list, no_items);
  add("ListValue", "values", {list}, list, same);
  add("Struct", "", {}, object, no_entries);
  add("Struct", "fields", {object}, object, same);
  add("Value", "", {}, Type::dyn(), no_value);
  add("Value", "null_value", {}, Type::dyn(), no_value);
  add("Value", "bool_value", {Type::boolean()}, Type::dyn(), same);
  add("Value", "number_value", {Type::real()}, Type::dyn(), same);
  add("Value", "string_value", {Type::string()}, Type::dyn(), same);
  add("Value", "list_value", {list}, Type::dyn(), same);
  add("Value", "struct_value", {object}, Type::dyn(), same);
  add("Any", "", {}, Type::dyn(), nothing_inside);
  return table;
}

}  // namespace

const Overload* find_message(std::string_view message, std::string_view field) {
  static const std::vector<Overload> table = make_table();
  for (const Overload& o : table) {
    if (o.function == message && std::string_view(o.id).substr(message.size() + 1) == field) return &o;
  }
  return nullptr;
}

}  // namespace tamis::cel
