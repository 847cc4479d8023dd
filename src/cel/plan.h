// Plan: many checked expressions compiled into one graph in which equal sub-expressions exist once. All expressions of
// an event type (conditions, keys, values, reasons) share a Plan; the engine evaluates the roots that it needs, and a
// node with several parents is computed at most once per event (memo in the Frame).
//
// `&&` and `||` are n-ary here and their operands are ordered by cost: the language makes both commutative, errors
// included (cel-spec, "Logical Operators"), so order is ours to choose. Where several operands are errors, the result
// is the first of them in the plan's order; both evaluators keep to it.
//
// A constant part is computed once, here; where it is an error it stays as it is and gives that error at run time.
//
// Lifetime: a Plan is immutable and thread-safe; a Frame belongs to one thread. Cost: eval() of a comparison of a slot
// with a constant is a few nanoseconds; nothing on the path of eval() calls malloc once the arena is warm.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cel/ast.h"

namespace tamis::cel {

using NodeId = uint32_t;
inline constexpr NodeId kNoNode = ~NodeId{0};

// A node as a test of one slot against constants, where it is one: the raw material of a rule index.
struct Predicate {
  enum class Op : uint8_t {
    kEq,
    kNe,
    kLt,
    kLe,
    kGt,
    kGe,  // slot OP constants[0]
    kIn,  // slot in constants
    kTrue,
    kFalse,  // slot, !slot
    kContains,
    kStartsWith,
    kEndsWith,
    kMatches,  // constants[0] is the text or the pattern
  };
  Op op;
  bool negated = false;  // the predicate stands under a `!`
  int32_t slot;
  std::span<const Value> constants;
};

// A node that is false unless a text, or one text of a list, passes one of some tests against constants: raw material
// of a rule index as well. It holds while the text is a string, or the list one of at most kTextsMax strings.
struct TextTest {
  static constexpr uint32_t kTextsMax = 256;
  struct Case {
    Predicate::Op op;  // kEq, kContains, kStartsWith, kEndsWith, kMatches
    std::string_view constant;
  };
  int32_t slot = -1;      // the text or the list: this slot, or, where there is none,
  NodeId node = kNoNode;  // the value of this node
  bool any = false;       // it is a list
  std::vector<Case> cases;
};

class Plan;

// The working memory of evaluations over one event after another.
class Frame {
 public:
  explicit Frame(const Plan& plan);
  ~Frame();
  Frame(Frame&&) noexcept;
  Frame& operator=(Frame&&) noexcept;

  // Starts an event: forgets all memoised results. `slots` must stay valid and unchanged while it is evaluated.
  // `cost_max` bounds each eval() and test() of the event by itself, memoised parts counted in full, so that a result
  // never depends on what was evaluated before it.
  void begin(const Value* slots, base::Arena& arena, const Host* host, int64_t cost_max = 1'000'000);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

class Plan {
 public:
  // The value of a node for the event of the frame; errors are values. Never throws, never loops without bound.
  Value eval(NodeId node, Frame& frame) const;
  // Only whether the value is `true` (not matched: false, error, not a bool). The fast way for conditions.
  enum class Truth : uint8_t { kFalse, kTrue, kError };
  Truth test(NodeId node, Frame& frame) const;

  // Structure, for the rule index, for costs and for explanations.
  size_t size() const;
  std::vector<NodeId> conjuncts(NodeId node) const;  // operands of an n-ary &&, or the node itself
  std::vector<NodeId> disjuncts(NodeId node) const;  // operands of an n-ary ||, or the node itself
  std::optional<Predicate> predicate(NodeId node) const;
  std::optional<TextTest> text_test(NodeId node) const;
  std::optional<int32_t> presence_slot(NodeId node) const;  // of has(field)
  std::vector<int32_t> slots_read(NodeId node) const;       // sorted, each once
  // What the node may ask the host for: labels, and lists by number (sorted, each once).
  struct HostReads {
    bool labels = false;
    std::vector<int64_t> lists;
  };
  HostReads host_reads(NodeId node) const;
  uint32_t cost(NodeId node) const;     // static estimate, in units of Call::cost_left
  std::string text(NodeId node) const;  // the expression, as CEL, for explanations
  Type type(NodeId node) const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  friend class PlanBuilder;
  friend class Frame;
  friend class ColumnFrame;
  std::shared_ptr<const Impl> impl_;
};

class PlanBuilder {
 public:
  PlanBuilder();
  ~PlanBuilder();

  // Adds an expression; equal ones give equal nodes. The Compiled must be ok(); it and its Env may die afterwards (the
  // constants of an Env's variables excepted: what they point to outlives the Env by contract, and is copied anyway).
  NodeId add(const Compiled& compiled);
  // Makes every later read of `slot` mean the value of `node`: this is how `let` variables work.
  void define(int32_t slot, NodeId node);
  // The finished plan; the builder is empty again afterwards.
  Plan build();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::cel
