#include "cel/eval.h"

#include "cel/text_find.h"

namespace tamis::cel {

using event::error_no_such_field;
using event::error_no_such_overload;

namespace {

bool is_number(Value v) { return v.is(Kind::kInt) || v.is(Kind::kUint) || v.is(Kind::kDouble); }

// 2^63 and 2^64 are the doubles to which the last whole numbers round. The suite of the specification wants neither
// 9223372036854775807 < 9223372036854775808.0 nor the opposite; everywhere else order is exact.
bool touch_at_the_end(Value whole, Value real) {
  if (!real.is(Kind::kDouble)) return false;
  if (whole.is(Kind::kInt)) return real.d == 0x1p63 && static_cast<double>(whole.i) == real.d;
  return whole.is(Kind::kUint) && real.d == 0x1p64 && static_cast<double>(whole.u) == real.d;
}

template <class T>
bool holds(unsigned which, T a, T b) {
  switch (which) {
    case 0:
      return a == b;
    case 1:
      return a != b;
    case 2:
      return a < b;
    case 3:
      return a <= b;
    case 4:
      return a > b;
    default:
      return a >= b;
  }
}

}  // namespace

Value Evaluator::eval_memo(const Node& n, NodeId id) {
  Frame::Impl::Memo& memo = frame_.memos[n.memo];
  if (memo.epoch == frame_.epoch) {
    // The work is charged again, so that the bound does not depend on what was evaluated before.
    charge(memo.cost);
    return memo.value;
  }
  int64_t before = frame_.call->cost_left;
  Value v = eval_node(nodes_[id]);
  if (frame_.call->cost_left > 0) memo = {frame_.epoch, before - frame_.call->cost_left, v};
  return v;
}

Evaluator::Truth Evaluator::test_node(const Node& n, NodeId id) {
  if (n.memo != kNoAux) return truth_of(eval_memo(n, id));
  switch (n.op) {
    case Op::kAnd: {
      Truth result = Truth::kTrue;
      for (uint32_t i = 0; i < n.argc; ++i) {
        Truth t = test_quick(arg(n, i));
        if (t == Truth::kFalse) return t;
        if (t == Truth::kError) result = t;
      }
      return result;
    }
    case Op::kOr: {
      Truth result = Truth::kFalse;
      for (uint32_t i = 0; i < n.argc; ++i) {
        Truth t = test_quick(arg(n, i));
        if (t == Truth::kTrue) return t;
        if (t == Truth::kError) result = t;
      }
      return result;
    }
    case Op::kNot: {
      Truth t = test(arg(n, 0));
      return t == Truth::kError ? t : truth_of(t == Truth::kFalse);
    }
    case Op::kCond: {
      Truth t = test(arg(n, 0));
      return t == Truth::kError ? t : test(arg(n, t == Truth::kTrue ? 1 : 2));
    }
    case Op::kConst:
      return truth_of(n.constant);
    case Op::kSlot:
      return truth_of(slots_[n.slot]);
    default:
      break;
  }
  if (is_slot_test(n)) return test_slot(n);
  return truth_of(eval_node(n));
}

Evaluator::Truth Evaluator::test_slot(const Node& n) {
  if (n.op == Op::kCodeEq || n.op == Op::kCodeNe || n.op == Op::kCodeIn) {
    uint32_t code = slot_code(n.aux2);
    if (code == kCodeUnusable) return Truth::kError;
    if (n.op == Op::kCodeIn) return truth_of(code != 0 && plan_.code_sets[n.aux].contains(code));
    return truth_of((code == n.aux) == (n.op == Op::kCodeEq));
  }
  if ((n.op == Op::kContains || n.op == Op::kMatches) && n.aux2 != kNoAux) return test_pattern(n);
  return test_value(n, slots_[n.slot]);
}

Evaluator::Truth Evaluator::test_pattern(const Node& n) {
  const Value v = slots_[n.slot];
  if (!v.is(Kind::kString)) return Truth::kError;
  Frame::Impl::Scan& scan = frame_.scans[n.aux2];
  if (scan.epoch != frame_.epoch) {
    scan.epoch = frame_.epoch;
    scan.spent = 0;
    scan.done = false;
  }
  const PatternSet& set = plan_.pattern_sets[n.aux2].set;
  if (!scan.done) {
    scan.spent += pattern_cost(n.op);
    if (scan.spent <= kScanCost) return test_text(n, v);
    set.scan(v.str(), scan.scan);
    scan.done = true;
  }
  return truth_of(set.matches(static_cast<uint32_t>(n.range.whole.low), v.str(), scan.scan));
}

Evaluator::Truth Evaluator::test_value(const Node& n, Value v) const {
#define TAMIS_COMPARE(kOp, kKind, member, operation)         \
  case Op::kOp:                                              \
    if (v.kind == Kind::kKind) [[likely]]                    \
      return truth_of(v.member operation n.constant.member); \
    return test_generic(n, v);
  switch (n.op) {
    TAMIS_COMPARE(kIntEq, kInt, i, ==)
    TAMIS_COMPARE(kIntNe, kInt, i, !=)
    TAMIS_COMPARE(kIntLt, kInt, i, <)
    TAMIS_COMPARE(kIntLe, kInt, i, <=)
    TAMIS_COMPARE(kIntGt, kInt, i, >)
    TAMIS_COMPARE(kIntGe, kInt, i, >=)
    TAMIS_COMPARE(kDoubleEq, kDouble, d, ==)
    TAMIS_COMPARE(kDoubleNe, kDouble, d, !=)
    TAMIS_COMPARE(kDoubleLt, kDouble, d, <)
    TAMIS_COMPARE(kDoubleLe, kDouble, d, <=)
    TAMIS_COMPARE(kDoubleGt, kDouble, d, >)
    TAMIS_COMPARE(kDoubleGe, kDouble, d, >=)
    case Op::kNotSlot:
      return v.is(Kind::kBool) ? truth_of(!v.b) : Truth::kError;
    case Op::kHasSlot:
      return truth_of(!v.is(Kind::kAbsent));
    case Op::kStringEq:
    case Op::kStringNe:
      if (v.is(Kind::kString)) [[likely]]
        return truth_of((v.str() == n.constant.str()) == (n.op == Op::kStringEq));
      return test_generic(n, v);
    case Op::kContains:
    case Op::kStartsWith:
    case Op::kEndsWith:
    case Op::kMatches:
      return test_text(n, v);
    default:
      return test_generic(n, v);
  }
#undef TAMIS_COMPARE
}

// The comparisons with a constant that are not on the fast way: other kinds, absent fields, errors.
Evaluator::Truth Evaluator::test_generic(const Node& n, Value v) const {
  if (v.is(Kind::kAbsent) || v.is_error()) return Truth::kError;
  if (n.op == Op::kSlotIn) {
    for (Value item : n.constant.list_items()) {
      if (event::equal(v, item)) return Truth::kTrue;
    }
    return Truth::kFalse;
  }
  unsigned which;
  if (n.op == Op::kStringEq || n.op == Op::kStringNe) {
    which = n.op == Op::kStringEq ? 0 : 1;
  } else {
    which = (static_cast<unsigned>(n.op) - static_cast<unsigned>(Op::kIntEq)) % 6;
  }
  Op op = static_cast<Op>(static_cast<unsigned>(Op::kEq) + which);
  return truth_of(compare_values(op, v, n.constant));
}

Evaluator::Truth Evaluator::test_text(const Node& n, Value v) const {
  if (!v.is(Kind::kString)) return Truth::kError;
  std::string_view text = v.str(), pattern = n.constant.str();
  switch (n.op) {
    case Op::kContains:
      return truth_of(text_contains(text, pattern));
    case Op::kStartsWith:
      return truth_of(text.starts_with(pattern));
    case Op::kEndsWith:
      return truth_of(text.ends_with(pattern));
    default:
      return truth_of(plan_.regexes[n.aux].search(text));
  }
}

Value Evaluator::slot_error(const Node& n) const {
  Value v = slots_[n.slot];
  if (v.is(Kind::kAbsent)) return error_no_such_field();
  return v.is_error() ? v : error_no_such_overload();
}

uint32_t Evaluator::find_slot_code(uint32_t table) {
  Frame::Impl::Code& known = frame_.codes[table];
  const CodeTable& codes = plan_.code_tables[table];
  Value v = slots_[codes.slot];
  known.epoch = frame_.epoch;
  known.code = v.is(Kind::kAbsent) || v.is_error() ? kCodeUnusable : codes.find(v);
  return known.code;
}

Value Evaluator::compare_values(Op op, Value a, Value b) {
  if (op == Op::kEq) return Value::boolean(event::equal(a, b));
  if (op == Op::kNe) return Value::boolean(!event::equal(a, b));
  int order = touch_at_the_end(a, b) || touch_at_the_end(b, a) ? 0 : event::compare(a, b);
  if (order == 2) return is_number(a) && is_number(b) ? Value::boolean(false) : error_no_such_overload();
  return Value::boolean(holds(static_cast<unsigned>(op) - static_cast<unsigned>(Op::kEq), order, 0));
}

Value Evaluator::eval_node(const Node& n) {
  switch (n.op) {
    case Op::kConst:
      return n.constant;
    case Op::kSlot: {
      Value v = slots_[n.slot];
      return v.is(Kind::kAbsent) ? error_no_such_field() : v;
    }
    case Op::kLocal:
      return frame_.locals[n.slot];
    case Op::kOptSlot: {
      Value v = slots_[n.slot];
      if (v.is(Kind::kAbsent)) return Value::none();
      return v.is_error() ? v : some(v);
    }
    case Op::kAnd:
      return eval_logic(n, false);
    case Op::kOr:
      return eval_logic(n, true);
    case Op::kCond:
      return eval_condition(n);
    case Op::kList:
      return eval_list(n);
    case Op::kMap:
      return eval_map(n);
    case Op::kConcat:
      return eval_concat(n);
    case Op::kOrOptional:
    case Op::kOrValue:
      return eval_optional(n);
    case Op::kNotStrictlyFalse:
      return Value::boolean(test(arg(n, 0)) != Truth::kFalse);
    case Op::kHasValue:
    case Op::kOptValue: {
      Value v = eval(arg(n, 0));
      bool has = n.op == Op::kHasValue;
      if (!v.is_error()) return has ? Value::boolean(true) : some(v);
      if (v.error_data->code != ErrorCode::kNoSuchField) return v;
      return has ? Value::boolean(false) : Value::none();
    }
    default:
      break;
  }
  if (n.op >= Op::kAll) return eval_macro(n);
  if (is_slot_test(n)) {
    Truth t = test_slot(n);
    return t == Truth::kError ? slot_error(n) : Value::boolean(t == Truth::kTrue);
  }
  return eval_strict(n);
}

Value Evaluator::eval_logic(const Node& n, bool decided) {
  Value error;
  for (uint32_t i = 0; i < n.argc; ++i) {
    Value v = eval(arg(n, i));
    if (v.is(Kind::kBool)) {
      if (v.b == decided) return v;
    } else if (!error.is_error()) {
      error = v.is_error() ? v : error_no_such_overload();
    }
  }
  return error.is_error() ? error : Value::boolean(!decided);
}

Value Evaluator::eval_condition(const Node& n) {
  Value v = eval(arg(n, 0));
  if (!v.is(Kind::kBool)) return v.is_error() ? v : error_no_such_overload();
  return eval(arg(n, v.b ? 1 : 2));
}

Value Evaluator::eval_optional(const Node& n) {
  Value v = eval(arg(n, 0));
  if (v.is_error()) return v;
  if (!v.is(Kind::kOptional)) return error_no_such_overload();
  if (v.optional != nullptr) return n.op == Op::kOrValue ? *v.optional : v;
  Value other = eval(arg(n, 1));
  if (n.op == Op::kOrOptional && !other.is_error() && !other.is(Kind::kOptional)) return error_no_such_overload();
  return other;
}

Value Evaluator::eval_strict(const Node& n) {
  Value few[4];
  Value* operands = few;
  if (n.argc > 4) operands = arena().allocate_array<Value>(n.argc);
  for (uint32_t i = 0; i < n.argc; ++i) {
    operands[i] = eval(arg(n, i));
    if (operands[i].is_error()) return operands[i];
  }
  return apply(n, operands);
}

}  // namespace tamis::cel
