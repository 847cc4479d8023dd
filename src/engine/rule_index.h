// RuleIndex: which rules can match an event, found without evaluating them all.
//
// A rule's condition is taken apart into clauses: the operands of a top-level `||`, or the whole condition. A clause is
// a conjunction; conjuncts that test one slot against constants (cel::Predicate) are necessary conditions, and serve:
//  - access: the most selective equality of a clause (`account == "x"`, `asn in [..]`) puts it under its constants in a
//    hash table of that slot. Clauses whose slot has another value are never touched, however many there are;
//  - classes: for all other clauses, each slot with numeric, equality or bool tests keeps for every interval or
//  constant
//    a bit vector of the clauses that the value leaves possible (Lakshman and Stiliadis, SIGCOMM 1998). The AND over
//    the slots is the set of clauses whose cheap conjuncts all hold; only their other conjuncts are evaluated.
//  - gates: clauses left that ask the same text about constants (`name.contains("prize")`, `"a.example" in domains`,
//    `domains.exists(d, d.endsWith(".example"))`) lose their bits together, by hash and by one scan (text_gates.h).
// So a decision costs the look-ups, one AND of bit vectors, and the evaluation of what nearly matches.
//
// The result is exactly that of evaluating every rule: the operands of && commute, errors included (cel-spec, "Logical
// Operators"). Error counts cover the rules that were evaluated; a clause ruled out by its index was false, not in
// error. The one exception: a rule reached by access counts no error when the field of its access is absent.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cel/plan.h"

namespace tamis::engine {

class RuleIndex {
 public:
  struct Condition {
    uint32_t rule;  // the caller's number
    cel::NodeId when;
  };
  // A gate is used where so many clauses wait for it: fewer are cheaper to evaluate one by one.
  static constexpr size_t kGateMin = 64;

  // `plan` must outlive the index. With `use_index` off every condition is evaluated (the reference for tests).
  RuleIndex(const cel::Plan& plan, std::span<const Condition> conditions, bool use_index = true,
            size_t gate_min = kGateMin);
  ~RuleIndex();
  RuleIndex(RuleIndex&&) noexcept;

  struct Outcome {
    std::vector<uint32_t> matched;  // rules whose condition is true, ascending
    std::vector<uint32_t> errors;   // rules whose evaluation ended in an error, ascending
    uint32_t evaluated = 0;         // conditions that were evaluated at least in part
  };
  // The frame has begun on `slots`. Clears and fills `out`; allocates nothing once `out` has grown.
  void match(std::span<const event::Value> slots, cel::Frame& frame, Outcome& out);

  struct Stats {
    size_t conditions = 0, clauses = 0, by_access = 0, by_class = 0, access_slots = 0, class_slots = 0;
    size_t gates = 0, gated = 0;  // gated: clauses that wait for a gate, once for each
    size_t bytes = 0;
  };
  Stats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::engine
