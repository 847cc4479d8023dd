// The inside of plan.h: nodes, side tables and the state of a frame. Included by the planner and by both evaluators,
// by nobody else.
//
// A plan is one flat array of nodes; operands are NodeIds in one flat array as well. Operands always have smaller ids
// than their parents, so the graph has no cycle. Macro variables are numbered by nesting level (locals[level]), not by
// name, so equal loops of different rules are equal nodes whatever their authors called the variable.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cel/pattern_set.h"
#include "cel/plan.h"
#include "cel/regex.h"

namespace tamis::cel {

using event::ErrorCode;
using event::Kind;

enum class Op : uint8_t {
  kConst,
  kSlot,      // an absent slot is the error "no such field"
  kLocal,     // slot: level of the macro variable
  kHasSlot,   // has(variable)
  kOptSlot,   // a.?b where a.b is a variable
  kHasValue,  // has(let variable): args[0] is not the error "no such field"
  kOptValue,  // likewise for a.?b
  kNotSlot,   // !slot

  // Slot against a constant. The first groups are ordered as Predicate::Op is: Eq Ne Lt Le Gt Ge.
  kIntEq,
  kIntNe,
  kIntLt,
  kIntLe,
  kIntGt,
  kIntGe,
  kDoubleEq,
  kDoubleNe,
  kDoubleLt,
  kDoubleLe,
  kDoubleGt,
  kDoubleGe,
  kSlotEq,
  kSlotNe,
  kSlotLt,
  kSlotLe,
  kSlotGt,
  kSlotGe,  // constants of any other kind
  kStringEq,
  kStringNe,
  kCodeEq,
  kCodeNe,  // as kStringEq, by the code of the slot's value; aux: code, aux2: CodeTable
  kCodeIn,  // aux: CodeSet, aux2: CodeTable
  kSlotIn,  // few constants, compared one by one
  kIn,      // args[0] in constants; aux: CodeTable or kNoAux

  // Text predicates with a constant argument; slot >= 0, or args[0]. kMatches: aux is a regex. With a pattern set of
  // the slot in aux2, range.whole.low is the number of the pattern in it.
  kContains,
  kStartsWith,
  kEndsWith,
  kMatches,

  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kAnd,
  kOr,
  kNot,
  kCond,
  kNotStrictlyFalse,
  kNeg,
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMod,     // int, uint, double here; any other operands by the call site
  kMember,  // item in list or map; anything else by the call site
  kConcat,  // string + string + ...
  kSelect,
  kHasSelect,
  kOptSelect,  // constant: name of the field
  kIndex,
  kOptIndex,
  kList,
  kMap,  // aux: index of the optional flags, or kNoAux
  kCall,
  kOrOptional,
  kOrValue,  // lazy in their second operand

  // Macros. slot: level of the first variable; the second, where there is one, has the next level. aux: cost of one
  // turn.
  kAll,
  kExists,
  kExistsOne,
  kMapMacro,
  kFilter,
  kTransformList,
  kTransformMap,
  kTransformMapEntry,
  kSortBy,
  kBind,
  kOptMap,
  kOptFlatMap,
};

inline constexpr uint32_t kNoAux = ~uint32_t{0};
inline constexpr uint32_t kNoGroup = ~uint32_t{0};

// The tests that conditions consist of, in the form in which they run fastest: all comparisons of a number with a
// constant are one test of a range, `negated` turns the result around. A slot of another kind than the one expected is
// left to the operator itself.
enum class Fast : uint8_t { kNone, kIntRange, kDoubleRange, kBool, kText, kCodeEq, kCodeIn };

struct alignas(64) Node {
  Op op = Op::kConst;
  Fast fast = Fast::kNone;
  bool negated = false;  // of `fast` alone
  uint8_t vars = 0;      // macros: 1 or 2
  int32_t slot = -1;
  uint32_t memo = kNoAux;
  uint32_t aux = kNoAux;
  uint32_t aux2 = kNoAux;
  uint32_t argc = 0;
  uint32_t first_arg = 0;
  Value constant;
  union Range {
    struct {
      int64_t low;
      uint64_t width;  // high - low
    } whole;
    struct {
      double low, high;
    } real;
  } range = {{0, 0}};
};
static_assert(sizeof(Node) == 64);

// Which kinds of values a parameter takes: one bit per Kind.
using KindSet = uint32_t;
constexpr KindSet kind_bit(Kind kind) { return KindSet{1} << static_cast<unsigned>(kind); }

struct BoundOverload {
  Overload overload;  // a copy: the Env may die before the plan
  std::vector<KindSet> kinds;
  bool deep = false;  // a parameter has a shape that only fits() can verify
};

struct CallSite {
  std::string function;
  std::vector<BoundOverload> candidates;
};

// Constants that are compared with one slot, numbered from 1: a slot's value is looked up once per event, and each
// `slot == constant` and `slot in [...]` is then a comparison of small numbers.
struct CodeTable {
  struct Bucket {
    uint32_t tag = 0;
    uint32_t code = 0;  // 0: empty
  };
  int32_t slot = -1;
  std::vector<Value> constants;  // code - 1
  std::vector<Bucket> buckets;
  uint32_t mask = 0;

  uint32_t find(Value value) const;  // 0 if it is none of them
  uint32_t insert(Value value);      // the code, new or old

 private:
  void grow();
  void place(uint32_t code);
};
inline constexpr uint32_t kCodeUnusable = ~uint32_t{0};  // the slot is absent or an error

struct CodeSet {
  std::vector<uint64_t> bits;    // where the codes are dense
  std::vector<uint32_t> hashed;  // else: open addressing, 0 is empty, at least half empty
  bool contains(uint32_t code) const {
    if (hashed.empty()) {
      uint32_t word = code >> 6;
      return word < bits.size() && ((bits[word] >> (code & 63)) & 1);
    }
    uint32_t mask = static_cast<uint32_t>(hashed.size()) - 1;
    for (uint32_t i = (code * 0x9e3779b1u) & mask;; i = (i + 1) & mask) {
      if (hashed[i] == code) return true;
      if (hashed[i] == 0) return false;
    }
  }
  void insert(uint32_t code) {
    if (hashed.empty()) {
      bits[code >> 6] |= uint64_t{1} << (code & 63);
      return;
    }
    uint32_t mask = static_cast<uint32_t>(hashed.size()) - 1;
    uint32_t i = (code * 0x9e3779b1u) & mask;
    while (hashed[i] != 0 && hashed[i] != code) i = (i + 1) & mask;
    hashed[i] = code;
  }
};

// All patterns that are looked for in one slot. The first few of an event are looked for one by one; when that has cost
// about as much as one pass for all, the pass is made.
struct SlotPatterns {
  int32_t slot = -1;
  PatternSet set;
};
// Roughly in units of 15 ns on a text of 50 bytes.
constexpr uint32_t pattern_cost(Op op) { return op == Op::kMatches ? 6 : op == Op::kContains ? 1 : 0; }
inline constexpr uint32_t kScanCost = 12;

// What is known of a node but not needed to run it.
struct NodeInfo {
  Type type;
  uint32_t cost = 0;  // static estimate, saturating
  uint32_t depth = 1;
  uint64_t free_locals = 0;  // bit per level; bit 63 stands for all levels from 63 on and never goes away
  bool varying = false;      // depends on the event or on the host: never folded
  uint32_t source = 0, begin = 0, end = 0;
};

struct Plan::Impl {
  std::vector<Node> nodes;
  std::vector<NodeId> args;
  std::vector<NodeInfo> infos;
  std::vector<CallSite> sites;
  std::vector<std::vector<bool>> optional_flags;
  std::vector<Regex> regexes;
  std::vector<SlotPatterns> pattern_sets;
  std::vector<CodeTable> code_tables;
  std::vector<CodeSet> code_sets;
  std::vector<std::shared_ptr<const std::string>> sources;
  std::shared_ptr<base::Arena> constants = std::make_shared<base::Arena>();
  std::vector<uint32_t> cache_of;  // per node with several parents: its place among the columnar caches, else kNoAux
  uint32_t cache_count = 0;
  uint32_t memo_count = 0;
  uint32_t local_count = 0;
  uint32_t slot_count = 0;  // one more than the highest slot read

  std::span<const NodeId> args_of(const Node& n) const { return {args.data() + n.first_arg, n.argc}; }
};

// The slots that a node reads, sorted, each once.
std::vector<int32_t> slots_below(const Plan::Impl& plan, NodeId node);

class Evaluator;

struct Frame::Impl {
  struct Memo {
    uint32_t epoch = 0;
    int64_t cost = 0;
    Value value;
  };
  struct Code {
    uint32_t epoch = 0;
    uint32_t code = 0;
  };

  struct Scan {
    uint32_t epoch = 0;
    uint32_t spent = 0;
    bool done = false;
    PatternScan scan;
  };

  std::shared_ptr<const Plan::Impl> plan;  // keeps what the values of the memos point to
  const Value* slots = nullptr;
  std::optional<Call> call;
  int64_t cost_max = 0;
  uint32_t epoch = 0;
  std::vector<Memo> memos;
  std::vector<Code> codes;  // per CodeTable
  std::vector<Scan> scans;  // per SlotPatterns
  std::vector<Value> locals;
  std::unique_ptr<Evaluator> evaluator;

  explicit Impl(std::shared_ptr<const Plan::Impl> of);
  ~Impl();
  void begin(const Value* slots, base::Arena& arena, const Host* host, int64_t cost_max);
};

}  // namespace tamis::cel
