#include "engine/rule_index.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/assert.h"
#include "engine/text_gates.h"

namespace tamis::engine {

using cel::NodeId;
using cel::Plan;
using cel::Predicate;
using event::Kind;
using event::Value;

namespace {

// An equality reaches a clause by hash where at least so many constants stand against one of the clause's own.
constexpr size_t kAccessSelectivityMin = 32;
// A slot's bit vectors may take so much memory; tests that do not fit are evaluated instead.
constexpr size_t kClassBytesMax = 8u << 20;

struct ValueHash {
  size_t operator()(const Value& v) const { return event::hash(v); }
};
struct ValueEqual {
  bool operator()(const Value& a, const Value& b) const { return event::equal(a, b); }
};

bool is_number(const Value& v) { return v.is(Kind::kInt) || v.is(Kind::kUint) || v.is(Kind::kDouble); }
bool is_nan(const Value& v) { return v.is(Kind::kDouble) && v.d != v.d; }

bool all_of_kind(std::span<const Value> values, bool (*test)(const Value&)) {
  return std::all_of(values.begin(), values.end(), test);
}
bool is_string(const Value& v) { return v.is(Kind::kString); }
bool is_ordinary_number(const Value& v) { return is_number(v) && !is_nan(v); }

// A necessary condition of a clause on one slot. `in` covers equality.
struct Test {
  Predicate::Op op;
  int32_t slot;
  std::vector<Value> constants;
  size_t conjunct;  // which conjunct of the clause
};

struct Clause {
  uint32_t rule = 0;
  NodeId node = cel::kNoNode;
  std::vector<NodeId> conjuncts;  // by cost
  std::vector<Test> tests;
  std::vector<NodeId> rest;  // conjuncts that the index does not decide
  bool only = true;          // the rule has no other clause
};

Predicate::Op negate(Predicate::Op op) {
  switch (op) {
    case Predicate::Op::kEq:
      return Predicate::Op::kNe;
    case Predicate::Op::kNe:
      return Predicate::Op::kEq;
    case Predicate::Op::kLt:
      return Predicate::Op::kGe;
    case Predicate::Op::kLe:
      return Predicate::Op::kGt;
    case Predicate::Op::kGt:
      return Predicate::Op::kLe;
    case Predicate::Op::kGe:
      return Predicate::Op::kLt;
    case Predicate::Op::kTrue:
      return Predicate::Op::kFalse;
    case Predicate::Op::kFalse:
      return Predicate::Op::kTrue;
    default:
      return op;
  }
}

bool usable_negated(Predicate::Op op) { return op != Predicate::Op::kIn && op <= Predicate::Op::kFalse; }

// The bit vectors of one slot: a row of clause bits for every class of values.
struct ClassSlot {
  enum class Shape : uint8_t { kNumber, kString, kBool };
  Shape shape = Shape::kNumber;
  int32_t slot = 0;
  bool all_int = false, all_double = false;
  std::vector<int64_t> ints;  // breakpoints, ascending, where all are ints
  std::vector<double> doubles;
  std::vector<Value> values;                                           // breakpoints in general
  std::unordered_map<Value, uint32_t, ValueHash, ValueEqual> strings;  // constant to row
  std::vector<uint64_t> rows;  // numbers: 2k is between breakpoints k-1 and k, 2k+1 is on k; strings: 0 is "other"

  // The row for a value, or -1 where the value cannot be classified (absent, NaN, another type).
  int64_t row_of(const Value& v) const;
};

template <class T>
size_t lower_bound_index(const std::vector<T>& sorted, T value) {
  const T* base = sorted.data();
  size_t count = sorted.size();
  if (count == 0) return 0;
  while (count > 1) {
    size_t half = count / 2;
    base += (base[half - 1] < value) ? half : 0;
    count -= half;
  }
  return static_cast<size_t>(base - sorted.data()) + (*base < value ? 1 : 0);
}

int64_t ClassSlot::row_of(const Value& v) const {
  if (shape == Shape::kBool) return v.is(Kind::kBool) ? (v.b ? 1 : 0) : -1;
  if (shape == Shape::kString) {
    if (!v.is(Kind::kString)) return -1;
    auto found = strings.find(v);
    return found == strings.end() ? 0 : static_cast<int64_t>(found->second);
  }
  if (all_int && v.is(Kind::kInt)) {
    size_t at = lower_bound_index(ints, v.i);
    return static_cast<int64_t>(2 * at + (at < ints.size() && ints[at] == v.i ? 1 : 0));
  }
  if (all_double && v.is(Kind::kDouble) && !is_nan(v)) {
    size_t at = lower_bound_index(doubles, v.d);
    return static_cast<int64_t>(2 * at + (at < doubles.size() && doubles[at] == v.d ? 1 : 0));
  }
  if (!is_ordinary_number(v)) return -1;
  auto less = [](const Value& a, const Value& b) { return event::compare(a, b) < 0; };
  auto at = std::lower_bound(values.begin(), values.end(), v, less);
  bool on = at != values.end() && event::compare(*at, v) == 0;
  return 2 * (at - values.begin()) + (on ? 1 : 0);
}

// Whether values of a class satisfy `OP constant`: the class lies before (-1), on (0) or behind (1) the constant.
bool holds(Predicate::Op op, int side) {
  switch (op) {
    case Predicate::Op::kEq:
      return side == 0;
    case Predicate::Op::kNe:
      return side != 0;
    case Predicate::Op::kLt:
      return side < 0;
    case Predicate::Op::kLe:
      return side <= 0;
    case Predicate::Op::kGt:
      return side > 0;
    case Predicate::Op::kGe:
      return side >= 0;
    default:
      return false;
  }
}

std::vector<Test> tests_of(const Plan& plan, const std::vector<NodeId>& conjuncts) {
  std::vector<Test> tests;
  for (size_t i = 0; i < conjuncts.size(); ++i) {
    auto predicate = plan.predicate(conjuncts[i]);
    if (!predicate || predicate->op > Predicate::Op::kFalse) continue;
    Predicate::Op op = predicate->op;
    if (predicate->negated) {
      if (!usable_negated(op)) continue;
      op = negate(op);
    }
    tests.push_back({op, predicate->slot, {predicate->constants.begin(), predicate->constants.end()}, i});
  }
  return tests;
}

bool is_equality(const Test& test) {
  return (test.op == Predicate::Op::kEq || test.op == Predicate::Op::kIn) && !test.constants.empty() &&
         (all_of_kind(test.constants, is_string) || all_of_kind(test.constants, is_ordinary_number));
}

}  // namespace

struct RuleIndex::Impl {
  const Plan* plan;
  std::vector<Clause> clauses;  // those by class first, so that their number is their bit
  size_t conditions = 0;
  size_t class_clauses = 0;
  size_t words = 0;
  size_t rules = 0;
  std::vector<ClassSlot> class_slots;
  struct AccessSlot {
    int32_t slot;
    std::unordered_map<Value, std::vector<uint32_t>, ValueHash, ValueEqual> clauses;
  };
  std::vector<AccessSlot> access_slots;
  std::optional<TextGates> gates;
  std::vector<uint64_t> candidates;  // scratch
  std::vector<uint64_t> everything;  // all class clauses

  Impl(const Plan& p, std::span<const Condition> list, bool use_index, size_t gate_min)
      : plan(&p), conditions(list.size()) {
    for (const Condition& condition : list) add(condition, use_index);
    class_clauses = clauses.size();
    if (use_index) choose_access();
    words = (class_clauses + 63) / 64;
    candidates.resize(words);
    everything.assign(words, ~uint64_t{0});
    if (class_clauses % 64 != 0 && words > 0) everything.back() = (uint64_t{1} << (class_clauses % 64)) - 1;
    if (use_index) build_classes();
    if (use_index) build_gates(gate_min);
    for (Clause& clause : clauses) finish(clause);
  }

  void add(const Condition& condition, bool use_index) {
    rules = std::max<size_t>(rules, condition.rule + 1);
    std::vector<NodeId> disjuncts = use_index ? plan->disjuncts(condition.when) : std::vector{condition.when};
    for (NodeId node : disjuncts) {
      Clause clause;
      clause.rule = condition.rule;
      clause.node = node;
      clause.conjuncts = plan->conjuncts(node);
      clause.only = disjuncts.size() == 1;
      auto by_cost = [this](NodeId a, NodeId b) { return plan->cost(a) < plan->cost(b); };
      std::stable_sort(clause.conjuncts.begin(), clause.conjuncts.end(), by_cost);
      if (use_index) clause.tests = tests_of(*plan, clause.conjuncts);
      clauses.push_back(std::move(clause));
    }
  }

  void choose_access();
  void build_classes();
  void build_gates(size_t gate_min) {
    std::vector<std::vector<NodeId>> conjuncts;
    for (size_t i = 0; i < class_clauses; ++i) conjuncts.push_back(clauses[i].conjuncts);
    gates.emplace(*plan, conjuncts, gate_min);
    if (gates->empty()) gates.reset();
  }
  void build_class(int32_t slot, ClassSlot::Shape shape);
  bool add_number_rows(ClassSlot& cs, const std::vector<std::pair<uint32_t, size_t>>& members);
  void add_string_rows(ClassSlot& cs, const std::vector<std::pair<uint32_t, size_t>>& members);
  void add_bool_rows(ClassSlot& cs, const std::vector<std::pair<uint32_t, size_t>>& members);
  void clear_bit(ClassSlot& cs, size_t row, uint32_t clause) const {
    cs.rows[row * words + clause / 64] &= ~(uint64_t{1} << (clause % 64));
  }
  // Conjuncts that a class decides are dropped from `rest`.
  void decided(uint32_t clause, const Test& test) { decided_[clause].insert(test.conjunct); }
  std::unordered_map<uint32_t, std::unordered_set<size_t>> decided_;

  void finish(Clause& clause) {
    auto id = static_cast<uint32_t>(&clause - clauses.data());
    const auto found = decided_.find(id);
    for (size_t i = 0; i < clause.conjuncts.size(); ++i) {
      if (found == decided_.end() || !found->second.contains(i)) clause.rest.push_back(clause.conjuncts[i]);
    }
    clause.tests.clear();
    clause.tests.shrink_to_fit();
  }

  Plan::Truth test_all(std::span<const NodeId> nodes, cel::Frame& frame) const {
    bool error = false;
    for (NodeId node : nodes) {
      Plan::Truth truth = plan->test(node, frame);
      if (truth == Plan::Truth::kFalse) return Plan::Truth::kFalse;
      error |= truth == Plan::Truth::kError;
    }
    return error ? Plan::Truth::kError : Plan::Truth::kTrue;
  }

  void consider(const Clause& clause, bool exact, cel::Frame& frame, Outcome& out) const {
    const std::vector<NodeId>& nodes = exact ? clause.rest : clause.conjuncts;
    Plan::Truth truth = test_all(nodes, frame);
    ++out.evaluated;
    if (truth == Plan::Truth::kTrue) {
      out.matched.push_back(clause.rule);
    } else if (truth == Plan::Truth::kError) {
      out.errors.push_back(clause.rule);
    }
  }
};

void RuleIndex::Impl::choose_access() {
  std::map<int32_t, std::unordered_set<Value, ValueHash, ValueEqual>> constants;
  for (const Clause& clause : clauses) {
    for (const Test& test : clause.tests) {
      if (is_equality(test)) constants[test.slot].insert(test.constants.begin(), test.constants.end());
    }
  }
  auto best_test = [&](const Clause& clause) -> const Test* {
    const Test* best = nullptr;
    size_t best_selectivity = kAccessSelectivityMin - 1;
    for (const Test& test : clause.tests) {
      if (!is_equality(test)) continue;
      size_t selectivity = constants[test.slot].size() / test.constants.size();
      if (selectivity > best_selectivity) {
        best_selectivity = selectivity;
        best = &test;
      }
    }
    return best;
  };
  auto by_class = [&](const Clause& clause) { return best_test(clause) == nullptr; };
  auto first_access = std::stable_partition(clauses.begin(), clauses.end(), by_class);
  class_clauses = static_cast<size_t>(first_access - clauses.begin());
  std::map<int32_t, size_t> place;
  for (size_t i = class_clauses; i < clauses.size(); ++i) {
    const Test& test = *best_test(clauses[i]);
    auto [at, is_new] = place.try_emplace(test.slot, access_slots.size());
    if (is_new) access_slots.push_back({test.slot, {}});
    for (const Value& constant : test.constants) {
      auto& list = access_slots[at->second].clauses[constant];
      if (list.empty() || list.back() != i) list.push_back(static_cast<uint32_t>(i));
    }
    decided(static_cast<uint32_t>(i), test);
  }
}

void RuleIndex::Impl::build_classes() {
  std::map<int32_t, uint32_t> shapes;  // which shapes each slot has tests for
  for (size_t i = 0; i < class_clauses; ++i) {
    for (const Test& test : clauses[i].tests) {
      bool is_bool = test.op == Predicate::Op::kTrue || test.op == Predicate::Op::kFalse;
      if (is_bool) {
        shapes[test.slot] |= 4;
      } else if (!test.constants.empty() && all_of_kind(test.constants, is_ordinary_number)) {
        shapes[test.slot] |= 1;
      } else if (is_equality(test) || (test.op == Predicate::Op::kNe && all_of_kind(test.constants, is_string))) {
        shapes[test.slot] |= 2;
      }
    }
  }
  // A slot has one static type, so one shape; where it is dyn and has several, numbers are taken first.
  for (auto [slot, mask] : shapes) {
    if (mask & 1)
      build_class(slot, ClassSlot::Shape::kNumber);
    else if (mask & 2)
      build_class(slot, ClassSlot::Shape::kString);
    else
      build_class(slot, ClassSlot::Shape::kBool);
  }
}

void RuleIndex::Impl::build_class(int32_t slot, ClassSlot::Shape shape) {
  std::vector<std::pair<uint32_t, size_t>> members;  // clause, test
  for (uint32_t i = 0; i < class_clauses; ++i) {
    for (size_t t = 0; t < clauses[i].tests.size(); ++t) {
      const Test& test = clauses[i].tests[t];
      if (test.slot != slot) continue;
      bool is_bool = test.op == Predicate::Op::kTrue || test.op == Predicate::Op::kFalse;
      bool ordered = test.op >= Predicate::Op::kLt && test.op <= Predicate::Op::kGe;
      bool fits = shape == ClassSlot::Shape::kBool ? is_bool
                  : shape == ClassSlot::Shape::kNumber
                      ? !is_bool && !test.constants.empty() && all_of_kind(test.constants, is_ordinary_number)
                      : !is_bool && !ordered && all_of_kind(test.constants, is_string);
      if (fits) members.emplace_back(i, t);
    }
  }
  ClassSlot cs;
  cs.shape = shape;
  cs.slot = slot;
  if (shape == ClassSlot::Shape::kNumber) {
    if (!add_number_rows(cs, members)) return;
  } else if (shape == ClassSlot::Shape::kString) {
    add_string_rows(cs, members);
  } else {
    add_bool_rows(cs, members);
  }
  class_slots.push_back(std::move(cs));
}

bool RuleIndex::Impl::add_number_rows(ClassSlot& cs, const std::vector<std::pair<uint32_t, size_t>>& members) {
  std::vector<Value>& points = cs.values;
  for (auto [clause, test] : members) {
    const auto& constants = clauses[clause].tests[test].constants;
    points.insert(points.end(), constants.begin(), constants.end());
  }
  auto less = [](const Value& a, const Value& b) { return event::compare(a, b) < 0; };
  std::sort(points.begin(), points.end(), less);
  points.erase(std::unique(points.begin(), points.end(), ValueEqual{}), points.end());
  size_t points_max = kClassBytesMax / (16 * std::max<size_t>(words, 1));
  if (points.size() > points_max) {  // keep some evenly; tests against the others are evaluated
    if (points_max == 0) return false;
    std::vector<Value> kept;
    for (size_t i = 0; i < points_max; ++i) kept.push_back(points[i * points.size() / points_max]);
    points = std::move(kept);
  }
  cs.all_int = std::all_of(points.begin(), points.end(), [](const Value& v) { return v.is(Kind::kInt); });
  cs.all_double = std::all_of(points.begin(), points.end(), [](const Value& v) { return v.is(Kind::kDouble); });
  for (const Value& v : points) {
    if (cs.all_int) cs.ints.push_back(v.i);
    if (cs.all_double) cs.doubles.push_back(v.d);
  }
  size_t row_count = 2 * points.size() + 1;
  cs.rows.resize(row_count * words);
  for (size_t row = 0; row < row_count; ++row) std::copy(everything.begin(), everything.end(), &cs.rows[row * words]);
  auto place = [&](const Value& c) -> int64_t {
    auto at = std::lower_bound(points.begin(), points.end(), c, less);
    return at != points.end() && event::equal(*at, c) ? at - points.begin() : -1;
  };
  for (auto [clause, t] : members) {
    const Test& test = clauses[clause].tests[t];
    std::vector<int64_t> places;
    for (const Value& c : test.constants) places.push_back(place(c));
    if (std::find(places.begin(), places.end(), -1) != places.end()) continue;
    decided(clause, test);
    std::sort(places.begin(), places.end());
    for (size_t row = 0; row < row_count; ++row) {
      bool on = row % 2 == 1;
      auto k = static_cast<int64_t>(row / 2);
      bool ok = false;
      if (test.op == Predicate::Op::kIn) {
        ok = on && std::binary_search(places.begin(), places.end(), k);
      } else {
        int side = on && k == places[0] ? 0 : (k > places[0] ? 1 : -1);
        ok = holds(test.op, side);
      }
      if (!ok) clear_bit(cs, row, clause);
    }
  }
  return true;
}

void RuleIndex::Impl::add_string_rows(ClassSlot& cs, const std::vector<std::pair<uint32_t, size_t>>& members) {
  size_t rows_max = kClassBytesMax / (8 * std::max<size_t>(words, 1));
  cs.rows.assign(everything.begin(), everything.end());
  auto add_row = [&](const Value& constant) {
    if (cs.strings.contains(constant)) return true;
    if (cs.strings.size() + 2 > rows_max) return false;
    cs.strings.emplace(constant, static_cast<uint32_t>(cs.strings.size() + 1));
    cs.rows.insert(cs.rows.end(), everything.begin(), everything.end());
    return true;
  };
  std::vector<bool> usable(members.size(), true);
  for (size_t m = 0; m < members.size(); ++m) {
    for (const Value& c : clauses[members[m].first].tests[members[m].second].constants) {
      usable[m] = add_row(c) && usable[m];
    }
  }
  size_t row_count = cs.strings.size() + 1;
  for (size_t m = 0; m < members.size(); ++m) {
    if (!usable[m]) continue;
    const Test& test = clauses[members[m].first].tests[members[m].second];
    decided(members[m].first, test);
    std::vector<bool> listed(row_count, false);
    for (const Value& c : test.constants) listed[cs.strings.at(c)] = true;
    bool negative = test.op == Predicate::Op::kNe;
    for (size_t row = 0; row < row_count; ++row) {
      if (listed[row] == negative) clear_bit(cs, row, members[m].first);
    }
  }
}

void RuleIndex::Impl::add_bool_rows(ClassSlot& cs, const std::vector<std::pair<uint32_t, size_t>>& members) {
  cs.rows.assign(everything.begin(), everything.end());
  cs.rows.insert(cs.rows.end(), everything.begin(), everything.end());
  for (auto [clause, t] : members) {
    const Test& test = clauses[clause].tests[t];
    decided(clause, test);
    clear_bit(cs, test.op == Predicate::Op::kTrue ? 0 : 1, clause);
  }
}

RuleIndex::RuleIndex(const Plan& plan, std::span<const Condition> conditions, bool use_index, size_t gate_min)
    : impl_(std::make_unique<Impl>(plan, conditions, use_index, gate_min)) {}
RuleIndex::~RuleIndex() = default;
RuleIndex::RuleIndex(RuleIndex&&) noexcept = default;

void RuleIndex::match(std::span<const Value> slots, cel::Frame& frame, Outcome& out) {
  Impl& impl = *impl_;
  out.matched.clear();
  out.errors.clear();
  out.evaluated = 0;
  bool exact = true;
  const size_t words = impl.words;
  uint64_t* candidates = impl.candidates.data();
  std::copy(impl.everything.begin(), impl.everything.end(), candidates);
  for (const ClassSlot& cs : impl.class_slots) {
    int64_t row = cs.row_of(slots[static_cast<size_t>(cs.slot)]);
    if (row < 0) {
      exact = false;  // the field is absent or of another type: evaluation tells an error from a false
      continue;
    }
    const uint64_t* bits = &cs.rows[static_cast<size_t>(row) * words];
    for (size_t w = 0; w < words; ++w) candidates[w] &= bits[w];
  }
  if (impl.gates) impl.gates->narrow(slots, frame, impl.candidates);
  for (size_t w = 0; w < words; ++w) {
    for (uint64_t bits = candidates[w]; bits != 0; bits &= bits - 1) {
      size_t clause = w * 64 + static_cast<size_t>(std::countr_zero(bits));
      impl.consider(impl.clauses[clause], exact, frame, out);
    }
  }
  for (const Impl::AccessSlot& access : impl.access_slots) {
    const Value& value = slots[static_cast<size_t>(access.slot)];
    if (value.is(Kind::kAbsent) || value.is_error()) continue;
    auto found = access.clauses.find(value);
    if (found == access.clauses.end()) continue;
    for (uint32_t clause : found->second) impl.consider(impl.clauses[clause], true, frame, out);
  }
  if (out.matched.size() > 1) {
    std::sort(out.matched.begin(), out.matched.end());
    out.matched.erase(std::unique(out.matched.begin(), out.matched.end()), out.matched.end());
  }
  if (!out.errors.empty()) {
    std::sort(out.errors.begin(), out.errors.end());
    out.errors.erase(std::unique(out.errors.begin(), out.errors.end()), out.errors.end());
    std::erase_if(out.errors,
                  [&](uint32_t rule) { return std::binary_search(out.matched.begin(), out.matched.end(), rule); });
  }
}

RuleIndex::Stats RuleIndex::stats() const {
  Stats stats;
  stats.conditions = impl_->conditions;
  stats.clauses = impl_->clauses.size();
  stats.by_class = impl_->class_clauses;
  stats.by_access = impl_->clauses.size() - impl_->class_clauses;
  stats.access_slots = impl_->access_slots.size();
  stats.class_slots = impl_->class_slots.size();
  if (impl_->gates) {
    stats.gates = impl_->gates->size();
    stats.gated = impl_->gates->gated();
    stats.bytes = impl_->gates->bytes();
  }
  for (const ClassSlot& cs : impl_->class_slots) stats.bytes += cs.rows.size() * 8;
  return stats;
}

}  // namespace tamis::engine
