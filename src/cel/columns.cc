#include "cel/columns.h"

#include <algorithm>
#include <cstring>

#include "cel/columns_impl.h"
#include "cel/plan_builder.h"

namespace tamis::cel {

namespace {

// Up to this static cost it is cheaper to compute a node in all rows than to pick the rows that need it.
constexpr uint32_t kDenseCostMax = 2;

void negate(Rows rows, const uint8_t* in, uint8_t* out) {
  // Swaps the two bits and turns them: 3 <-> 0, 1 stays.
  each_row(rows, [&](uint32_t r) {
    uint8_t t = static_cast<uint8_t>(~in[r]);
    out[r] = static_cast<uint8_t>(((t >> 1) & 1) | ((t & 1) << 1));
  });
}

}  // namespace

Value Column::at(uint32_t row) const {
  if (layout == Layout::kValues) return values[row];
  if (layout == Layout::kAbsent) return Value::absent();
  if (states != nullptr && states[row] != kOk) return states[row] == kAbsentRow ? Value::absent() : error;
  switch (layout) {
    case Layout::kBool:
      return Value::boolean(bools[row] != 0);
    case Layout::kInt:
      return Value::integer(ints[row]);
    case Layout::kUint:
      return Value::uinteger(uints[row]);
    case Layout::kDouble:
      return Value::real(doubles[row]);
    case Layout::kString:
      return Value::string(texts[row]);
    case Layout::kBytes:
      return Value::bytes(texts[row]);
    case Layout::kDuration:
      return Value::duration(ints[row]);
    case Layout::kDictionary:
      return dictionary[codes[row]];
    case Layout::kTimestamp: {
      int64_t seconds = ints[row] / 1'000'000, micros = ints[row] % 1'000'000;
      if (micros < 0) {
        micros += 1'000'000;
        --seconds;
      }
      return Value::timestamp(seconds, static_cast<uint32_t>(micros * 1'000));
    }
    default:
      return Value::absent();
  }
}

ColumnFrame::Impl::Impl(std::shared_ptr<const Plan::Impl> of, uint32_t max)
    : plan(std::move(of)),
      rows_max(max),
      frame(plan),
      row_slots(plan->slot_count),
      byte_pool(max),
      index_pool(max),
      value_pool(max),
      cached_truths(plan->cache_count),
      cached_vecs(plan->cache_count),
      codes(plan->code_tables.size()),
      dictionary_truths(plan->nodes.size()),
      slots_read(plan->nodes.size()),
      result(new uint8_t[max]) {}

void ColumnFrame::Impl::begin(std::span<const Column> of, uint32_t count, base::Arena& in, const Host* with,
                              int64_t limit) {
  TAMIS_ASSERT(count <= rows_max);
  columns = of;
  rows = count;
  arena = &in;
  host = with;
  cost_max = limit;
  frame.begin(row_slots.data(), in, with, limit);
  evaluator = frame.evaluator.get();
  if (++epoch != 0) return;
  epoch = 1;
  for (CachedTruth& c : cached_truths) c.epoch = 0;
  for (CachedVec& c : cached_vecs) c.epoch = 0;
  for (RowCodes& c : codes) c.epoch = 0;
}

const std::vector<int32_t>& ColumnFrame::Impl::slots_of(NodeId id) {
  if (slots_read[id] == nullptr) slots_read[id] = std::make_unique<std::vector<int32_t>>(slots_below(*plan, id));
  return *slots_read[id];
}

Evaluator& ColumnFrame::Impl::at_row(NodeId id, uint32_t row) {
  for (int32_t slot : slots_of(id)) row_slots[slot] = column_of(slot).at(row);
  frame.begin(row_slots.data(), *arena, host, cost_max);
  return *evaluator;
}

bool ColumnFrame::Impl::is_dense(NodeId id) const { return plan->infos[id].cost <= kDenseCostMax; }

const uint8_t* ColumnFrame::Impl::truth(NodeId id, Rows of, Bytes& own) {
  if (plan->cache_of[id] != kNoAux) return cached_truth(id, of);
  compute_truth(id, of, own.get());
  return own.get();
}

const uint8_t* ColumnFrame::Impl::cached_truth(NodeId id, Rows of) {
  CachedTruth& c = cached_truths[plan->cache_of[id]];
  if (c.truths == nullptr) c.truths.reset(new uint8_t[rows_max]);
  uint8_t* truths = c.truths.get();
  bool fresh = c.epoch != epoch;
  if (!fresh && c.complete) return truths;
  c.epoch = epoch;
  c.complete = of.index == nullptr || (is_dense(id) && of.count * 8 >= rows);
  if (c.complete) {
    compute_truth(id, {nullptr, rows}, truths);
    return truths;
  }
  if (fresh) std::memset(truths, kRowUnknown, rows);
  Index missing(index_pool);
  RowIndex* list = missing.get();
  uint32_t count = 0;
  each_row(of, [&](uint32_t r) {
    list[count] = static_cast<RowIndex>(r);
    count += truths[r] == kRowUnknown ? 1 : 0;
  });
  if (count > 0) compute_truth(id, {list, count}, truths);
  return truths;
}

// Reads and writes only the given rows of `out`.
void ColumnFrame::Impl::compute_truth(NodeId id, Rows of, uint8_t* out) {
  const Node& n = plan->nodes[id];
  switch (n.op) {
    case Op::kConst: {
      uint8_t t = row_truth(Evaluator::truth_of(n.constant));
      each_row(of, [&](uint32_t r) { out[r] = t; });
      return;
    }
    case Op::kSlot: {
      const Column& column = column_of(n.slot);
      if (column.layout != Column::Layout::kBool || column.states != nullptr) break;
      each_row(of, [&](uint32_t r) { out[r] = row_truth(column.bools[r] != 0); });
      return;
    }
    case Op::kAnd:
    case Op::kOr:
      return logic(n, of, out);
    case Op::kCond:
      return condition(n, of, out);
    case Op::kNot: {
      Bytes own(byte_pool);
      negate(of, truth(plan->args[n.first_arg], of, own), out);
      return;
    }
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
    case Op::kGt:
    case Op::kGe:
      return compare(n, of, out);
    default:
      break;
  }
  if (Evaluator::is_slot_test(n)) return slot_test(id, n, of, out);
  if (is_boolean_op(n) && n.op >= Op::kAll) return fallback_truth(id, of, out);
  VecRoom room(*this);
  Vec v = vec(id, of, room);
  each_row(of, [&](uint32_t r) { out[r] = row_truth(Evaluator::truth_of(v.at(r))); });
}

Rows ColumnFrame::Impl::undecided(Rows of, const uint8_t* truths, uint8_t decided, RowIndex* out) const {
  uint32_t count = 0;
  each_row(of, [&](uint32_t r) {
    out[count] = static_cast<RowIndex>(r);  // over the end never: count is at most the number of rows seen before
    count += truths[r] != decided ? 1 : 0;
  });
  return {out, count};
}

void ColumnFrame::Impl::logic(const Node& n, Rows of, uint8_t* out) {
  bool conjunction = n.op == Op::kAnd;
  uint8_t decided = conjunction ? kRowFalse : kRowTrue;
  uint8_t start = conjunction ? kRowTrue : kRowFalse;
  each_row(of, [&](uint32_t r) { out[r] = start; });
  Index index(index_pool);
  Rows live = of;
  for (uint32_t i = 0; i < n.argc; ++i) {
    NodeId operand = plan->args[n.first_arg + i];
    Bytes own(byte_pool);
    const uint8_t* t = truth(operand, live, own);
    if (conjunction) {
      each_row(live, [&](uint32_t r) { out[r] = static_cast<uint8_t>(out[r] & t[r]); });
    } else {
      each_row(live, [&](uint32_t r) { out[r] = static_cast<uint8_t>(out[r] | t[r]); });
    }
    if (i + 1 == n.argc) return;
    uint32_t left = 0;
    each_row(live, [&](uint32_t r) { left += out[r] != decided ? 1 : 0; });
    if (left == 0) return;
    bool next_dense = is_dense(plan->args[n.first_arg + i + 1]);
    if (left < live.count && (left * 8 < live.count || !next_dense)) live = undecided(live, out, decided, index.get());
  }
}

void ColumnFrame::Impl::condition(const Node& n, Rows of, uint8_t* out) {
  Bytes own(byte_pool);
  const uint8_t* t = truth(plan->args[n.first_arg], of, own);
  Index list(index_pool);
  each_row(of, [&](uint32_t r) { out[r] = kRowError; });
  for (uint32_t branch = 1; branch <= 2; ++branch) {
    uint8_t wanted = branch == 1 ? kRowTrue : kRowFalse;
    uint32_t count = 0;
    each_row(of, [&](uint32_t r) {
      list.get()[count] = static_cast<RowIndex>(r);
      count += t[r] == wanted ? 1 : 0;
    });
    if (count == 0) continue;
    Bytes side(byte_pool);
    Rows those{list.get(), count};
    const uint8_t* result_of = truth(plan->args[n.first_arg + branch], those, side);
    each_row(those, [&](uint32_t r) { out[r] = result_of[r]; });
  }
}

void ColumnFrame::Impl::fallback_truth(NodeId id, Rows of, uint8_t* out) {
  each_row(of, [&](uint32_t r) {
    Plan::Truth t = at_row(id, r).test(id);
    out[r] = frame.call->cost_left > 0 ? row_truth(t) : kRowError;
  });
}

ColumnFrame::ColumnFrame(const Plan& plan, uint32_t rows_max) {
  TAMIS_ASSERT(rows_max > 0 && rows_max <= kRowsMax);
  impl_ = std::make_unique<Impl>(plan.impl_, rows_max);
}
ColumnFrame::~ColumnFrame() = default;
ColumnFrame::ColumnFrame(ColumnFrame&&) noexcept = default;
ColumnFrame& ColumnFrame::operator=(ColumnFrame&&) noexcept = default;

void ColumnFrame::begin(std::span<const Column> columns, uint32_t rows, base::Arena& arena, const Host* host,
                        int64_t cost_max) {
  impl_->begin(columns, rows, arena, host, cost_max);
}

std::span<const RowTruth> ColumnFrame::test(NodeId node) {
  Impl& f = *impl_;
  const uint8_t* truths;
  if (f.plan->cache_of[node] != kNoAux) {
    truths = f.cached_truth(node, {nullptr, f.rows});
  } else {
    f.compute_truth(node, {nullptr, f.rows}, f.result.get());
    truths = f.result.get();
  }
  return {reinterpret_cast<const RowTruth*>(truths), f.rows};
}

void ColumnFrame::eval(NodeId node, Value* out) {
  Impl& f = *impl_;
  Rows all{nullptr, f.rows};
  if (is_boolean_op(f.plan->nodes[node])) {
    std::span<const RowTruth> truths = test(node);
    for (uint32_t r = 0; r < f.rows; ++r) {
      out[r] = truths[r] == RowTruth::kError ? event::error_limit() : Value::boolean(truths[r] == RowTruth::kTrue);
    }
  } else {
    Impl::VecRoom room(f);
    Vec v = f.vec(node, all, room);
    for (uint32_t r = 0; r < f.rows; ++r) out[r] = v.at(r);
  }
  for (uint32_t r = 0; r < f.rows; ++r) {
    if (!out[r].is_error()) continue;
    Value v = f.at_row(node, r).eval(node);
    out[r] = f.frame.call->cost_left > 0 ? v : event::error_limit();
  }
}

}  // namespace tamis::cel
