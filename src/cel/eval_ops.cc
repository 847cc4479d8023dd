// Operations on finished values: arithmetic, calls, selection, and the making of strings, lists and maps.
#include <cstring>

#include "cel/eval.h"

namespace tamis::cel {

using event::error_divide_by_zero;
using event::error_limit;
using event::error_no_such_field;
using event::error_no_such_overload;
using event::error_out_of_range;
using event::error_overflow;
using event::MapEntry;

namespace {

bool is_number(Value v) { return v.is(Kind::kInt) || v.is(Kind::kUint) || v.is(Kind::kDouble); }

// Work of comparing two values, roughly.
int64_t equality_cost(Value a, Value b) {
  if (a.kind != b.kind) return 0;
  if (a.is(Kind::kString) || a.is(Kind::kBytes)) return std::min(a.size, b.size) / 16;
  if (a.is(Kind::kList)) return a.size;
  if (a.is(Kind::kMap)) return a.map->size;
  return 0;
}

// The index that a number means in a list: also 1u and 1.0 (cel-spec, "Equality": one number line); -1 for none.
int64_t list_position(Value key, uint32_t size) {
  if (key.is(Kind::kInt)) return key.i >= 0 && key.i < size ? key.i : -1;
  if (key.is(Kind::kUint)) return key.u < size ? static_cast<int64_t>(key.u) : -1;
  return key.d >= 0 && key.d < size ? static_cast<int64_t>(key.d) : -1;
}

bool is_map_key(Value v) { return v.is(Kind::kBool) || v.is(Kind::kString) || is_number(v); }

}  // namespace

Value Evaluator::apply(const Node& n, const Value* v) {
  switch (n.op) {
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
    case Op::kGt:
    case Op::kGe:
      charge(equality_cost(v[0], v[1]));
      return compare_values(n.op, v[0], v[1]);
    case Op::kNot:
      return v[0].is(Kind::kBool) ? Value::boolean(!v[0].b) : error_no_such_overload();
    case Op::kMember:
      return member(n, v);
    case Op::kIn: {
      if (n.aux != kNoAux) return Value::boolean(plan_.code_tables[n.aux].find(v[0]) != 0);
      for (Value item : n.constant.list_items()) {
        if (event::equal(v[0], item)) return Value::boolean(true);
      }
      return Value::boolean(false);
    }
    case Op::kContains:
    case Op::kStartsWith:
    case Op::kEndsWith:
    case Op::kMatches: {
      if (v[0].is(Kind::kString)) charge(v[0].size / 16);
      Truth t = test_text(n, v[0]);
      return t == Truth::kError ? error_no_such_overload() : Value::boolean(t == Truth::kTrue);
    }
    case Op::kNeg:
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kDiv:
    case Op::kMod:
      return arithmetic(n, v);
    case Op::kSelect:
      return select(v[0], n.constant, false);
    case Op::kOptSelect:
      return select(v[0], n.constant, true);
    case Op::kHasSelect:
      return has_field(v[0], n.constant);
    case Op::kIndex:
      return index(v[0], v[1], false);
    case Op::kOptIndex:
      return index(v[0], v[1], true);
    default:
      return call(plan_.sites[n.aux], v, n.argc);
  }
}

Value Evaluator::arithmetic(const Node& n, const Value* v) {
  if (n.op == Op::kNeg) {
    if (v[0].is(Kind::kInt)) return v[0].i == INT64_MIN ? error_overflow() : Value::integer(-v[0].i);
    if (v[0].is(Kind::kDouble)) return Value::real(-v[0].d);
    return call(plan_.sites[n.aux], v, 1);
  }
  const Value a = v[0], b = v[1];
  if (a.is(Kind::kInt) && b.is(Kind::kInt)) {
    int64_t r = 0;
    switch (n.op) {
      case Op::kAdd:
        return __builtin_add_overflow(a.i, b.i, &r) ? error_overflow() : Value::integer(r);
      case Op::kSub:
        return __builtin_sub_overflow(a.i, b.i, &r) ? error_overflow() : Value::integer(r);
      case Op::kMul:
        return __builtin_mul_overflow(a.i, b.i, &r) ? error_overflow() : Value::integer(r);
      default:
        break;
    }
    if (b.i == 0) return error_divide_by_zero();
    if (a.i == INT64_MIN && b.i == -1) return error_overflow();
    return Value::integer(n.op == Op::kDiv ? a.i / b.i : a.i % b.i);
  }
  if (a.is(Kind::kDouble) && b.is(Kind::kDouble) && n.op != Op::kMod) {
    switch (n.op) {
      case Op::kAdd:
        return Value::real(a.d + b.d);
      case Op::kSub:
        return Value::real(a.d - b.d);
      case Op::kMul:
        return Value::real(a.d * b.d);
      default:
        return Value::real(a.d / b.d);  // IEEE 754: no error, not even for 0
    }
  }
  if (a.is(Kind::kUint) && b.is(Kind::kUint)) {
    uint64_t r = 0;
    switch (n.op) {
      case Op::kAdd:
        return __builtin_add_overflow(a.u, b.u, &r) ? error_overflow() : Value::uinteger(r);
      case Op::kSub:
        return __builtin_sub_overflow(a.u, b.u, &r) ? error_overflow() : Value::uinteger(r);
      case Op::kMul:
        return __builtin_mul_overflow(a.u, b.u, &r) ? error_overflow() : Value::uinteger(r);
      default:
        break;
    }
    if (b.u == 0) return error_divide_by_zero();
    return Value::uinteger(n.op == Op::kDiv ? a.u / b.u : a.u % b.u);
  }
  return call(plan_.sites[n.aux], v, 2);
}

// x in list, x in map. What else `in` may mean (named lists, networks) is in the overloads.
Value Evaluator::member(const Node& n, const Value* v) {
  const Value item = v[0], container = v[1];
  if (container.is(Kind::kList)) {
    charge(container.size);
    for (Value other : container.list_items()) {
      bool same =
          item.is(Kind::kString) && other.is(Kind::kString) ? item.str() == other.str() : event::equal(item, other);
      if (same) return Value::boolean(true);
    }
    return Value::boolean(false);
  }
  if (container.is(Kind::kMap))
    return Value::boolean(is_map_key(item) && event::map_find(*container.map, item) != nullptr);
  return call(plan_.sites[n.aux], v, 2);
}

Value Evaluator::call(const CallSite& site, const Value* v, uint32_t count) {
  for (const BoundOverload& bound : site.candidates) {
    size_t params = bound.kinds.size();
    bool variadic = bound.overload.variadic;
    if (variadic ? count < params : count != params) continue;
    bool fitting = true;
    for (uint32_t i = 0; i < count && fitting; ++i) {
      size_t p = std::min<size_t>(i, params - 1);
      fitting = (bound.kinds[p] & kind_bit(v[i].kind)) != 0 && (!bound.deep || fits(bound.overload.params[p], v[i]));
    }
    if (fitting) return invoke(bound, v, count);
  }
  return error_no_such_overload();
}

Value Evaluator::invoke(const BoundOverload& bound, const Value* v, uint32_t count) {
  if (bound.overload.invoke == nullptr) {
    return event::make_error(arena(), ErrorCode::kNoSuchOverload,
                             "function `" + bound.overload.function + "` has no implementation");
  }
  if (!charge(bound.overload.cost)) return error_limit();
  if (!bound.overload.variadic) return bound.overload.invoke(*frame_.call, v);
  // The repeated last parameter travels as one list.
  uint32_t fixed = static_cast<uint32_t>(bound.kinds.size()) - 1;
  if (!charge(count)) return error_limit();
  Value* rest = arena().allocate_array<Value>(count - fixed);
  std::copy(v + fixed, v + count, rest);
  Value* packed = arena().allocate_array<Value>(fixed + 1);
  std::copy(v, v + fixed, packed);
  packed[fixed] = Value::list({rest, count - fixed});
  return bound.overload.invoke(*frame_.call, packed);
}

// e.f and e.?f. Selection from an optional is optional all the way (cel-spec, "Optional Values").
Value Evaluator::select(Value v, Value name, bool optional) {
  if (v.is(Kind::kOptional)) {
    if (v.optional == nullptr) return v;
    return select(*v.optional, name, true);
  }
  if (!v.is(Kind::kMap)) return error_no_such_overload();
  const Value* found = event::map_find(*v.map, name);
  if (optional) return found != nullptr ? some(*found) : Value::none();
  return found != nullptr ? *found : error_no_such_field();
}

Value Evaluator::has_field(Value v, Value name) const {
  if (v.is(Kind::kOptional)) {
    if (v.optional == nullptr) return Value::boolean(false);
    v = *v.optional;
  }
  if (!v.is(Kind::kMap)) return error_no_such_overload();
  return Value::boolean(event::map_find(*v.map, name) != nullptr);
}

Value Evaluator::index(Value v, Value key, bool optional) {
  if (v.is(Kind::kOptional)) {
    if (v.optional == nullptr) return v;
    return index(*v.optional, key, true);
  }
  const Value* found = nullptr;
  if (v.is(Kind::kList)) {
    if (!is_number(key)) return error_no_such_overload();
    if (key.is(Kind::kDouble) && !(key.d == __builtin_trunc(key.d))) {
      return event::make_error(arena(), ErrorCode::kInvalidArgument, "the index of a list must be a whole number");
    }
    int64_t at = list_position(key, v.size);
    if (at >= 0) found = &v.items[at];
    if (found == nullptr && !optional) return error_out_of_range();
  } else if (v.is(Kind::kMap)) {
    if (!is_map_key(key)) return error_no_such_overload();
    found = event::map_find(*v.map, key);
    if (found == nullptr && !optional) return error_no_such_field();
  } else {
    return error_no_such_overload();
  }
  if (!optional) return *found;
  return found != nullptr ? some(*found) : Value::none();
}

Value Evaluator::eval_concat(const Node& n) {
  if (!charge(n.argc)) return error_limit();
  Value few[8];
  Value* parts = n.argc <= 8 ? few : arena().allocate_array<Value>(n.argc);
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < n.argc; ++i) {
    parts[i] = eval(arg(n, i));
    if (parts[i].is_error()) return parts[i];
    if (!parts[i].is(Kind::kString)) return error_no_such_overload();
    bytes += parts[i].size;
  }
  if (!charge(static_cast<int64_t>(bytes / 16)) || bytes > UINT32_MAX) return error_limit();
  char* to = static_cast<char*>(arena().allocate(bytes + 1, 1));
  char* at = to;
  for (uint32_t i = 0; i < n.argc; ++i) {
    if (parts[i].size != 0) std::memcpy(at, parts[i].text, parts[i].size);
    at += parts[i].size;
  }
  return Value::string({to, static_cast<size_t>(bytes)});
}

Value Evaluator::eval_list(const Node& n) {
  if (!charge(n.argc)) return error_limit();
  const std::vector<bool>* optional = n.aux == kNoAux ? nullptr : &plan_.optional_flags[n.aux];
  Value* items = arena().allocate_array<Value>(n.argc);
  uint32_t count = 0;
  for (uint32_t i = 0; i < n.argc; ++i) {
    Value v = eval(arg(n, i));
    if (v.is_error()) return v;
    if (optional != nullptr && (*optional)[i]) {
      if (!v.is(Kind::kOptional)) return error_no_such_overload();
      if (v.optional == nullptr) continue;
      v = *v.optional;
    }
    items[count++] = v;
  }
  return Value::list({items, count});
}

Value Evaluator::eval_map(const Node& n) {
  if (!charge(n.argc)) return error_limit();
  const std::vector<bool>* optional = n.aux == kNoAux ? nullptr : &plan_.optional_flags[n.aux];
  MapEntry* entries = arena().allocate_array<MapEntry>(n.argc / 2);
  uint32_t count = 0;
  for (uint32_t i = 0; i < n.argc; i += 2) {
    Value key = eval(arg(n, i));
    if (key.is_error()) return key;
    Value v = eval(arg(n, i + 1));
    if (v.is_error()) return v;
    if (optional != nullptr && (*optional)[i / 2]) {
      if (!v.is(Kind::kOptional)) return error_no_such_overload();
      if (v.optional == nullptr) continue;
      v = *v.optional;
    }
    entries[count++] = {key, v};
  }
  return event::make_map(arena(), {entries, count});
}

}  // namespace tamis::cel
