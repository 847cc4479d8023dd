// The scalar evaluator: walks the graph for one event. Short-lived, made on the stack by Plan::eval() and Plan::test(),
// by the planner for folding constants, and by the columnar evaluator for nodes without a kernel.
//
// Which error wins where several occur: the one of the first operand in the order of the plan (source order, but cheap
// operands first in && and ||); in loops the one of the first element. The columnar evaluator keeps to the same order.
#pragma once

#include "cel/plan_impl.h"

namespace tamis::cel {

class Evaluator {
 public:
  using Truth = Plan::Truth;

  Evaluator(const Plan::Impl& plan, Frame::Impl& frame)
      : plan_(plan), frame_(frame), nodes_(plan.nodes.data()), args_(plan.args.data()), slots_(frame.slots) {}

  Value eval(NodeId id) {
    const Node& n = nodes_[id];
    return n.memo == kNoAux ? eval_node(n) : eval_memo(n, id);
  }
  Truth test(NodeId id) {
    const Node& n = nodes_[id];
    return n.memo == kNoAux ? test_node(n) : truth_of(eval_memo(n, id));
  }

  // Operations on finished values; shared with the columnar evaluator.
  static Truth truth_of(Value v) { return v.is(Kind::kBool) ? (v.b ? Truth::kTrue : Truth::kFalse) : Truth::kError; }
  static Truth truth_of(bool b) { return b ? Truth::kTrue : Truth::kFalse; }
  static Value compare_values(Op op, Value a, Value b);  // kEq..kGe; neither is an error
  Truth test_slot(const Node& n);                        // a test of slots only (see is_slot_test)
  Truth test_value(const Node& n, Value v) const;        // the same for a value of the slot; not kCode*
  Value slot_error(const Node& n) const;                 // the error behind Truth::kError of such a test
  Value apply(const Node& n, const Value* operands);     // a strict operator on operands, errors included

  static bool is_slot_test(const Node& n) {
    return (n.op >= Op::kNotSlot && n.op <= Op::kSlotIn) || n.op == Op::kHasSlot ||
           (n.op >= Op::kContains && n.op <= Op::kMatches && n.slot >= 0);
  }

 private:
  Value eval_node(const Node& n);
  Value eval_memo(const Node& n, NodeId id);
  Truth test_node(const Node& n);
  Truth test_generic(const Node& n, Value v) const;
  Truth test_text(const Node& n, Value v) const;
  uint32_t slot_code(uint32_t table);

  Value eval_logic(const Node& n, bool decided);  // kAnd: decided by false; kOr: by true
  Value eval_strict(const Node& n);
  Value eval_condition(const Node& n);
  Value eval_optional(const Node& n);
  Value eval_concat(const Node& n);
  Value eval_list(const Node& n);
  Value eval_map(const Node& n);

  Value arithmetic(const Node& n, const Value* v);
  Value call(const CallSite& site, const Value* v, uint32_t count);
  Value invoke(const BoundOverload& bound, const Value* v, uint32_t count);
  Value select(Value v, Value name, bool optional);
  Value index(Value v, Value key, bool optional);
  Value has_field(Value v, Value name) const;
  Value some(Value v) { return Value::some(arena().make(v)); }

  // eval_macros.cc
  struct Loop;
  Value eval_macro(const Node& n);
  Value run_loop(const Node& n, Value range);
  Value run_quantifier(const Node& n, Loop& loop);
  Value run_list_builder(const Node& n, Loop& loop);
  Value run_map_builder(const Node& n, Loop& loop);
  Value run_sort(const Node& n, Loop& loop);
  Value eval_bind(const Node& n);

  NodeId arg(const Node& n, uint32_t i) const { return args_[n.first_arg + i]; }
  base::Arena& arena() { return frame_.call->arena; }
  // False once the cost bound is reached; what follows then ends soon in error_limit().
  bool charge(int64_t cost) { return (frame_.call->cost_left -= cost) > 0; }

  const Plan::Impl& plan_;
  Frame::Impl& frame_;
  const Node* nodes_;
  const NodeId* args_;
  const Value* slots_;
};

}  // namespace tamis::cel
