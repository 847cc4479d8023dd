// Nodes that give values over columns: arithmetic and comparisons of numbers in loops of their own, other strict
// operators value by value, and whatever is left row by row.
#include <cstring>
#include <limits>

#include "cel/columns_impl.h"

namespace tamis::cel {

namespace {

using event::error_no_such_overload;

// A typed operand: a column of numbers or one constant.
template <class T>
struct Numbers {
  const T* values = nullptr;
  T constant{};
  T operator[](uint32_t row) const { return values != nullptr ? values[row] : constant; }
};

template <class T>
struct KindOf;
template <>
struct KindOf<int64_t> {
  static constexpr Vec::Layout kLayout = Vec::Layout::kInt;
  static constexpr Kind kKind = Kind::kInt;
  static const int64_t* data(const Vec& v) { return v.ints; }
  static int64_t of(Value v) { return v.i; }
};
template <>
struct KindOf<uint64_t> {
  static constexpr Vec::Layout kLayout = Vec::Layout::kUint;
  static constexpr Kind kKind = Kind::kUint;
  static const uint64_t* data(const Vec& v) { return v.uints; }
  static uint64_t of(Value v) { return v.u; }
};
template <>
struct KindOf<double> {
  static constexpr Vec::Layout kLayout = Vec::Layout::kDouble;
  static constexpr Kind kKind = Kind::kDouble;
  static const double* data(const Vec& v) { return v.doubles; }
  static double of(Value v) { return v.d; }
};

template <class T>
bool take(const Vec& v, Numbers<T>& out) {
  if (v.layout == KindOf<T>::kLayout) {
    out.values = KindOf<T>::data(v);
    return true;
  }
  if (v.layout != Vec::Layout::kConst || v.constant.kind != KindOf<T>::kKind) return false;
  out.constant = KindOf<T>::of(v.constant);
  return true;
}

template <class T>
bool take_both(const Vec& a, const Vec& b, Numbers<T>& x, Numbers<T>& y) {
  return take(a, x) && take(b, y);
}

// `bad` becomes not 0 where an operand or the result is an error.
void join_bad(const Vec& a, const Vec& b, Rows rows, uint8_t* bad) {
  each_row(rows, [&](uint32_t r) {
    bad[r] = static_cast<uint8_t>((a.bad != nullptr ? a.bad[r] : 0) | (b.bad != nullptr ? b.bad[r] : 0));
  });
}

template <class T>
bool checked(Op op, T a, T b, T& out) {
  switch (op) {
    case Op::kAdd:
      return !__builtin_add_overflow(a, b, &out);
    case Op::kSub:
      return !__builtin_sub_overflow(a, b, &out);
    case Op::kMul:
      return !__builtin_mul_overflow(a, b, &out);
    default:
      break;
  }
  if (b == 0 || (std::is_signed_v<T> && a == std::numeric_limits<T>::min() && b == static_cast<T>(-1))) return false;
  out = op == Op::kDiv ? a / b : a % b;
  return true;
}

template <class T>
void whole_numbers(Op op, Numbers<T> x, Numbers<T> y, Rows rows, T* out, uint8_t* bad) {
  each_row(rows, [&](uint32_t r) {
    T result{};
    if (!checked(op, x[r], y[r], result)) bad[r] = 1;
    out[r] = result;
  });
}

void real_numbers(Op op, Numbers<double> x, Numbers<double> y, Rows rows, double* out) {
  switch (op) {
    case Op::kAdd:
      return each_row(rows, [&](uint32_t r) { out[r] = x[r] + y[r]; });
    case Op::kSub:
      return each_row(rows, [&](uint32_t r) { out[r] = x[r] - y[r]; });
    case Op::kMul:
      return each_row(rows, [&](uint32_t r) { out[r] = x[r] * y[r]; });
    default:
      return each_row(rows, [&](uint32_t r) { out[r] = x[r] / y[r]; });
  }
}

template <class T>
void compare_numbers(Op op, Numbers<T> x, Numbers<T> y, Rows rows, uint8_t* out) {
  switch (op) {
    case Op::kEq:
      return each_row(rows, [&](uint32_t r) { out[r] = row_truth(x[r] == y[r]); });
    case Op::kNe:
      return each_row(rows, [&](uint32_t r) { out[r] = row_truth(x[r] != y[r]); });
    case Op::kLt:
      return each_row(rows, [&](uint32_t r) { out[r] = row_truth(x[r] < y[r]); });
    case Op::kLe:
      return each_row(rows, [&](uint32_t r) { out[r] = row_truth(x[r] <= y[r]); });
    case Op::kGt:
      return each_row(rows, [&](uint32_t r) { out[r] = row_truth(x[r] > y[r]); });
    default:
      return each_row(rows, [&](uint32_t r) { out[r] = row_truth(x[r] >= y[r]); });
  }
}

}  // namespace

Value Vec::at(uint32_t row) const {
  switch (layout) {
    case Layout::kConst:
      return constant;
    case Layout::kValues:
      return values[row];
    case Layout::kColumn: {
      Value v = column->at(row);
      return v.is(Kind::kAbsent) ? event::error_no_such_field() : v;
    }
    default:
      break;
  }
  if (bad != nullptr && bad[row] != 0) return error_no_such_overload();
  if (layout == Layout::kInt) return Value::integer(ints[row]);
  return layout == Layout::kUint ? Value::uinteger(uints[row]) : Value::real(doubles[row]);
}

Vec ColumnFrame::Impl::column_vec(const Column& column) const {
  Vec v;
  v.layout = Vec::Layout::kColumn;
  v.column = &column;
  if (column.layout == Column::Layout::kInt) {
    v.layout = Vec::Layout::kInt;
    v.ints = column.ints;
  } else if (column.layout == Column::Layout::kUint) {
    v.layout = Vec::Layout::kUint;
    v.uints = column.uints;
  } else if (column.layout == Column::Layout::kDouble) {
    v.layout = Vec::Layout::kDouble;
    v.doubles = column.doubles;
  } else {
    return v;
  }
  v.bad = column.states;
  return v;
}

Vec ColumnFrame::Impl::vec(NodeId id, Rows of, VecRoom& own) {
  const Node& n = plan->nodes[id];
  if (n.op == Op::kSlot) return column_vec(column_of(n.slot));
  if (n.op == Op::kConst) {
    Vec v;
    v.constant = n.constant;
    return v;
  }
  if (plan->cache_of[id] != kNoAux) return cached_vec(id, of);
  return compute_vec(id, of, own.values.get(), own.bad.get());
}

Vec ColumnFrame::Impl::cached_vec(NodeId id, Rows of) {
  CachedVec& c = cached_vecs[plan->cache_of[id]];
  if (c.values == nullptr) {
    c.values.reset(new Value[rows_max]);
    c.known.reset(new uint8_t[rows_max]);
    c.bad.reset(new uint8_t[rows_max]);
  }
  if (c.epoch != epoch) {
    c.epoch = epoch;
    c.complete = false;
    std::memset(c.known.get(), 0, rows);
  }
  Index missing(index_pool);
  Rows todo{missing.get(), 0};
  if (!c.complete) {
    each_row(of, [&](uint32_t r) {
      missing.get()[todo.count] = static_cast<RowIndex>(r);
      todo.count += c.known[r] == 0 ? 1 : 0;
      c.known[r] = 1;
    });
  }
  c.complete = c.complete || of.index == nullptr;
  // Also with no row to do: the layout of the result follows from that of the columns alone.
  return compute_vec(id, todo, c.values.get(), c.bad.get());
}

Vec ColumnFrame::Impl::compute_vec(NodeId id, Rows of, Value* values, uint8_t* bad) {
  const Node& n = plan->nodes[id];
  if (Evaluator::is_slot_test(n)) return truth_vec(id, of, values);
  switch (n.op) {
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
    case Op::kGt:
    case Op::kGe:
    case Op::kAnd:
    case Op::kOr:
    case Op::kNot:
      return truth_vec(id, of, values);
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kDiv:
    case Op::kMod:
      return arithmetic(n, of, values, bad);
    case Op::kNeg:
    case Op::kSelect:
    case Op::kHasSelect:
    case Op::kOptSelect:
    case Op::kIndex:
    case Op::kOptIndex:
    case Op::kIn:
    case Op::kMember:
    case Op::kContains:
    case Op::kStartsWith:
    case Op::kEndsWith:
    case Op::kMatches:
    case Op::kCall:
      return strict(n, of, values);
    default:
      return fallback_vec(id, of, values);
  }
}

Vec ColumnFrame::Impl::arithmetic(const Node& n, Rows of, Value* values, uint8_t* bad) {
  VecRoom left(*this), right(*this);
  Vec a = vec(plan->args[n.first_arg], of, left);
  Vec b = vec(plan->args[n.first_arg + 1], of, right);
  Vec out;
  out.bad = bad;
  Numbers<int64_t> i, k;
  Numbers<double> x, y;
  Numbers<uint64_t> u, w;
  if (take_both(a, b, i, k)) {
    join_bad(a, b, of, bad);
    int64_t* to = reinterpret_cast<int64_t*>(values);
    whole_numbers(n.op, i, k, of, to, bad);
    out.layout = Vec::Layout::kInt;
    out.ints = to;
    return out;
  }
  if (n.op != Op::kMod && take_both(a, b, x, y)) {
    join_bad(a, b, of, bad);
    double* to = reinterpret_cast<double*>(values);
    real_numbers(n.op, x, y, of, to);
    out.layout = Vec::Layout::kDouble;
    out.doubles = to;
    return out;
  }
  if (take_both(a, b, u, w)) {
    join_bad(a, b, of, bad);
    uint64_t* to = reinterpret_cast<uint64_t*>(values);
    whole_numbers(n.op, u, w, of, to, bad);
    out.layout = Vec::Layout::kUint;
    out.uints = to;
    return out;
  }
  each_row(of, [&](uint32_t r) {
    Value operands[2] = {a.at(r), b.at(r)};
    frame.call->cost_left = cost_max;
    values[r] = operands[0].is_error()   ? operands[0]
                : operands[1].is_error() ? operands[1]
                                         : evaluator->apply(n, operands);
  });
  out.layout = Vec::Layout::kValues;
  out.bad = nullptr;
  out.values = values;
  return out;
}

// A strict operator on the values of its operands, one row after another.
Vec ColumnFrame::Impl::strict(const Node& n, Rows of, Value* values) {
  constexpr uint32_t kOperandsMax = 4;
  if (n.argc > kOperandsMax) {
    return fallback_vec(static_cast<NodeId>(&n - plan->nodes.data()), of, values);
  }
  std::optional<VecRoom> rooms[kOperandsMax];
  Vec operands[kOperandsMax];
  for (uint32_t i = 0; i < n.argc; ++i) {
    rooms[i].emplace(*this);
    operands[i] = vec(plan->args[n.first_arg + i], of, *rooms[i]);
  }
  each_row(of, [&](uint32_t r) {
    Value v[kOperandsMax];
    for (uint32_t i = 0; i < n.argc; ++i) {
      v[i] = operands[i].at(r);
      if (v[i].is_error()) {
        values[r] = v[i];
        return;
      }
    }
    frame.call->cost_left = cost_max;
    values[r] = evaluator->apply(n, v);
    if (frame.call->cost_left <= 0) values[r] = event::error_limit();
  });
  Vec out;
  out.layout = Vec::Layout::kValues;
  out.values = values;
  return out;
}

// The truths of a condition as values, where one is used as a value.
Vec ColumnFrame::Impl::truth_vec(NodeId id, Rows of, Value* values) {
  Bytes own(byte_pool);
  compute_truth(id, of, own.get());
  const uint8_t* truths = own.get();
  each_row(of, [&](uint32_t r) {
    values[r] = truths[r] == kRowError ? error_no_such_overload() : Value::boolean(truths[r] == kRowTrue);
  });
  Vec out;
  out.layout = Vec::Layout::kValues;
  out.values = values;
  return out;
}

Vec ColumnFrame::Impl::fallback_vec(NodeId id, Rows of, Value* values) {
  each_row(of, [&](uint32_t r) {
    Value v = at_row(id, r).eval(id);
    values[r] = frame.call->cost_left > 0 ? v : event::error_limit();
  });
  Vec out;
  out.layout = Vec::Layout::kValues;
  out.values = values;
  return out;
}

void ColumnFrame::Impl::compare(const Node& n, Rows of, uint8_t* out) {
  VecRoom left(*this), right(*this);
  Vec a = vec(plan->args[n.first_arg], of, left);
  Vec b = vec(plan->args[n.first_arg + 1], of, right);
  Numbers<int64_t> i, k;
  Numbers<double> x, y;
  Numbers<uint64_t> u, w;
  if (take_both(a, b, i, k)) {
    compare_numbers(n.op, i, k, of, out);
  } else if (take_both(a, b, x, y)) {
    compare_numbers(n.op, x, y, of, out);
  } else if (take_both(a, b, u, w)) {
    compare_numbers(n.op, u, w, of, out);
  } else {
    each_row(of, [&](uint32_t r) {
      Value operands[2] = {a.at(r), b.at(r)};
      frame.call->cost_left = cost_max;
      bool error = operands[0].is_error() || operands[1].is_error();
      out[r] = error ? kRowError : row_truth(Evaluator::truth_of(evaluator->apply(n, operands)));
    });
    return;
  }
  for (const Vec* v : {&a, &b}) {
    if (v->bad == nullptr) continue;
    each_row(of, [&](uint32_t r) { out[r] = v->bad[r] == 0 ? out[r] : kRowError; });
  }
}

}  // namespace tamis::cel
