// The last pass over the graph: which results are kept per event, and which constants get numbers.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/hash.h"
#include "cel/eval.h"
#include "cel/plan_builder.h"

namespace tamis::cel {

namespace {

// Below this static cost a second evaluation is cheaper than a look into the memo.
constexpr uint32_t kMemoCostMin = 8;
// A slot's constants are numbered when at least so many tests or so many constants of one set share the look-up.
constexpr size_t kNumberedTestsMin = 3;
constexpr uint32_t kNumberedSetMin = 5;
constexpr size_t kDenseCodesMax = 2'048;
// A slot gets a pattern set when looking for all its patterns one by one would cost so many scans.
constexpr uint32_t kScansMin = 6;

template <class T>
uint64_t load(const char* at) {
  T bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

__extension__ using Wide = unsigned __int128;

uint64_t fold(uint64_t a, uint64_t b) {
  Wide product = static_cast<Wide>(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd1b54a32d192ed03u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// The texts of events are short, and a call into the hash library costs more than all of this. Only the constants of a
// policy stand in the tables, so nobody outside can make them collide.
uint64_t text_hash(std::string_view text) {
  const char* p = text.data();
  size_t n = text.size();
  if (n > 32) return base::hash64(text);
  if (n > 16) {
    return fold(fold(load<uint64_t>(p), load<uint64_t>(p + 8)) + n,
                fold(load<uint64_t>(p + n - 16), load<uint64_t>(p + n - 8)));
  }
  if (n >= 8) return fold(load<uint64_t>(p) + n, load<uint64_t>(p + n - 8));
  if (n >= 4) return fold(load<uint32_t>(p) + n, load<uint32_t>(p + n - 4));
  if (n == 0) return 0;
  return fold(load<uint8_t>(p) + n, load<uint8_t>(p + n / 2) << 8 | load<uint8_t>(p + n - 1));
}

uint64_t code_hash(Value v) { return v.is(Kind::kString) ? text_hash(v.str()) : event::hash(v); }

bool same(Value a, Value b) {
  if (a.is(Kind::kString)) return b.is(Kind::kString) && a.str() == b.str();
  return event::equal(a, b);
}

// Any comparison with an int constant as low <= x <= high, or its opposite.
void quicken_int(Node& n) {
  int64_t c = n.constant.i, low = c, high = c;
  n.fast = Fast::kIntRange;
  switch (n.op) {
    case Op::kIntEq:
      break;
    case Op::kIntNe:
      n.negated = true;
      break;
    case Op::kIntGe:
      high = INT64_MAX;
      break;
    case Op::kIntLe:
      low = INT64_MIN;
      break;
    case Op::kIntGt:  // not <=
      low = INT64_MIN;
      n.negated = true;
      break;
    default:  // <: not >=
      high = INT64_MAX;
      n.negated = true;
      break;
  }
  n.range.whole = {low, static_cast<uint64_t>(high) - static_cast<uint64_t>(low)};
}

// Likewise for doubles. NaN is in no range, so only != may be the opposite of one.
void quicken_double(Node& n) {
  double c = n.constant.d, low = c, high = c, infinity = std::numeric_limits<double>::infinity();
  n.fast = Fast::kDoubleRange;
  switch (n.op) {
    case Op::kDoubleEq:
      break;
    case Op::kDoubleNe:
      n.negated = true;
      break;
    case Op::kDoubleGe:
      high = infinity;
      break;
    case Op::kDoubleLe:
      low = -infinity;
      break;
    case Op::kDoubleGt:
      low = std::nextafter(c, infinity);
      high = c == infinity ? -infinity : infinity;
      break;
    default:
      low = c == -infinity ? infinity : -infinity;
      high = std::nextafter(c, -infinity);
      break;
  }
  n.range.real = {low, high};
}

void quicken(Node& n) {
  if (n.memo != kNoAux) return;
  if (n.op >= Op::kIntEq && n.op <= Op::kIntGe) return quicken_int(n);
  if (n.op >= Op::kDoubleEq && n.op <= Op::kDoubleGe) return quicken_double(n);
  n.negated = n.op == Op::kNotSlot || n.op == Op::kStringNe || n.op == Op::kCodeNe;
  switch (n.op) {
    case Op::kSlot:
    case Op::kNotSlot:
      n.fast = Fast::kBool;
      break;
    case Op::kStringEq:
    case Op::kStringNe:
      n.fast = Fast::kText;
      break;
    case Op::kCodeEq:
    case Op::kCodeNe:
      n.fast = Fast::kCodeEq;
      break;
    case Op::kCodeIn:
      n.fast = Fast::kCodeIn;
      break;
    default:
      break;
  }
}

}  // namespace

uint32_t CodeTable::find(Value value) const {
  if (buckets.empty()) return 0;
  uint64_t h = code_hash(value);
  uint32_t tag = static_cast<uint32_t>(h >> 32);
  for (uint32_t i = static_cast<uint32_t>(h) & mask;; i = (i + 1) & mask) {
    const Bucket& b = buckets[i];
    if (b.code == 0) return 0;
    if (b.tag == tag && same(constants[b.code - 1], value)) return b.code;
  }
}

uint32_t CodeTable::insert(Value value) {
  if (uint32_t code = find(value)) return code;
  constants.push_back(value);
  if (constants.size() * 2 > buckets.size()) {
    grow();
  } else {
    place(static_cast<uint32_t>(constants.size()));
  }
  return static_cast<uint32_t>(constants.size());
}

void CodeTable::place(uint32_t code) {
  uint64_t h = code_hash(constants[code - 1]);
  uint32_t i = static_cast<uint32_t>(h) & mask;
  while (buckets[i].code != 0) i = (i + 1) & mask;
  buckets[i] = {static_cast<uint32_t>(h >> 32), code};
}

void CodeTable::grow() {
  buckets.assign(std::bit_ceil(constants.size() * 4 + 8), {});
  mask = static_cast<uint32_t>(buckets.size()) - 1;
  for (uint32_t code = 1; code <= constants.size(); ++code) place(code);
}

void PlanBuilder::Impl::finish() {
  std::vector<bool> in_loop;
  std::vector<uint32_t> parents = count_parents(in_loop);
  number_constants(parents);
  collect_patterns(parents);
  assign_memos(parents, in_loop);
  for (Node& n : plan->nodes) quicken(n);
  plan->cache_of.assign(plan->nodes.size(), kNoAux);
  for (NodeId id = 0; id < plan->nodes.size(); ++id) {
    Op op = plan->nodes[id].op;
    bool shared = parents[id] >= 2 && plan->infos[id].free_locals == 0 && op != Op::kConst && op != Op::kSlot;
    if (shared) plan->cache_of[id] = plan->cache_count++;
  }
}

// How many live nodes and roots use each node; `in_loop` marks those used by a node that changes with each turn of a
// loop around it.
std::vector<uint32_t> PlanBuilder::Impl::count_parents(std::vector<bool>& in_loop) const {
  std::vector<uint32_t> parents(plan->nodes.size());
  in_loop.assign(plan->nodes.size(), false);
  for (NodeId root : roots) ++parents[root];
  // Operands have smaller ids, so one pass from the top sees each parent before its operands.
  for (size_t id = plan->nodes.size(); id-- > 0;) {
    if (parents[id] == 0) continue;
    const Node& n = plan->nodes[id];
    bool loop = n.op >= Op::kAll && n.op < Op::kBind;
    for (uint32_t i = 0; i < n.argc; ++i) {
      NodeId a = plan->args[n.first_arg + i];
      ++parents[a];
      if (plan->infos[id].free_locals != 0 || (loop && i > 0)) in_loop[a] = true;
    }
  }
  return parents;
}

void PlanBuilder::Impl::assign_memos(const std::vector<uint32_t>& parents, const std::vector<bool>& in_loop) {
  for (NodeId id = 0; id < plan->nodes.size(); ++id) {
    Node& n = plan->nodes[id];
    if (parents[id] == 0 || (parents[id] < 2 && !in_loop[id])) continue;
    const NodeInfo& info = plan->infos[id];
    if (info.free_locals != 0 || info.cost < kMemoCostMin || n.op == Op::kConst) continue;
    n.memo = plan->memo_count++;
  }
}

void PlanBuilder::Impl::number_constants(const std::vector<uint32_t>& parents) {
  std::map<int32_t, std::vector<NodeId>> by_slot;
  for (NodeId id = 0; id < plan->nodes.size(); ++id) {
    Node& n = plan->nodes[id];
    if (parents[id] == 0) continue;
    if (n.op == Op::kStringEq || n.op == Op::kStringNe || n.op == Op::kSlotIn) by_slot[n.slot].push_back(id);
    if (n.op == Op::kIn && n.constant.size >= kNumberedSetMin) {
      n.aux = static_cast<uint32_t>(plan->code_tables.size());
      CodeTable table;
      for (Value v : n.constant.list_items()) table.insert(v);
      plan->code_tables.push_back(std::move(table));
    }
  }
  for (const auto& [slot, users] : by_slot) {
    bool large = std::any_of(users.begin(), users.end(), [&](NodeId id) {
      return plan->nodes[id].op == Op::kSlotIn && plan->nodes[id].constant.size >= kNumberedSetMin;
    });
    if (large || users.size() >= kNumberedTestsMin) number_slot(slot, users);
  }
}

void PlanBuilder::Impl::collect_patterns(const std::vector<uint32_t>& parents) {
  std::map<int32_t, std::vector<NodeId>> by_slot;
  std::map<int32_t, uint32_t> costs;
  for (NodeId id = 0; id < plan->nodes.size(); ++id) {
    const Node& n = plan->nodes[id];
    if (parents[id] == 0 || (n.op != Op::kContains && n.op != Op::kMatches) || n.slot < 0) continue;
    by_slot[n.slot].push_back(id);
    costs[n.slot] += pattern_cost(n.op);
  }
  for (const auto& [slot, users] : by_slot) {
    if (costs[slot] < kScansMin * kScanCost) continue;
    std::vector<Pattern> patterns;
    for (NodeId id : users) {
      const Node& n = plan->nodes[id];
      patterns.push_back(
          {n.op == Op::kContains ? PatternKind::kContains : PatternKind::kRegex, std::string(n.constant.str())});
    }
    base::Result<PatternSet> set = PatternSet::build(patterns);
    if (!set) continue;  // too many: they are looked for one by one
    for (size_t i = 0; i < users.size(); ++i) {
      plan->nodes[users[i]].aux2 = static_cast<uint32_t>(plan->pattern_sets.size());
      plan->nodes[users[i]].range.whole.low = static_cast<int64_t>(i);
    }
    plan->pattern_sets.push_back({slot, std::move(*set)});
  }
}

void PlanBuilder::Impl::number_slot(int32_t slot, const std::vector<NodeId>& users) {
  CodeTable table;
  table.slot = slot;
  for (NodeId id : users) {
    const Node& n = plan->nodes[id];
    if (n.op == Op::kSlotIn) {
      for (Value v : n.constant.list_items()) table.insert(v);
    } else {
      table.insert(n.constant);
    }
  }
  bool dense = table.constants.size() <= kDenseCodesMax;
  for (NodeId id : users) {
    Node& n = plan->nodes[id];
    n.aux2 = static_cast<uint32_t>(plan->code_tables.size());
    if (n.op != Op::kSlotIn) {
      n.op = n.op == Op::kStringEq ? Op::kCodeEq : Op::kCodeNe;
      n.aux = table.find(n.constant);
      continue;
    }
    CodeSet set;
    if (dense) {
      set.bits.resize(table.constants.size() / 64 + 1);
    } else {
      set.hashed.resize(std::bit_ceil(n.constant.size * 2u + 2));
    }
    for (Value v : n.constant.list_items()) {
      if (uint32_t code = table.find(v)) set.insert(code);
    }
    n.op = Op::kCodeIn;
    n.aux = static_cast<uint32_t>(plan->code_sets.size());
    plan->code_sets.push_back(std::move(set));
  }
  plan->code_tables.push_back(std::move(table));
}

}  // namespace tamis::cel
