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

  void rebind(const Value* slots) { slots_ = slots; }

  Value eval(NodeId id) {
    const Node& n = nodes_[id];
    return n.memo == kNoAux ? eval_node(n) : eval_memo(n, id);
  }
  Truth test(NodeId id) { return test_quick(id); }
  [[gnu::always_inline]] Truth test_root(NodeId id) { return test_quick(id); }

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
  Truth test_node(const Node& n, NodeId id);
  // The tests of slots without a call, for the loops over operands; everything else goes to test_node().
  [[gnu::always_inline]] Truth test_quick(NodeId id) {
    const Node& n = nodes_[id];
    switch (n.fast) {
      case Fast::kIntRange: {
        const Value& v = slots_[n.slot];
        if (v.kind != Kind::kInt) [[unlikely]]
          break;
        uint64_t above = static_cast<uint64_t>(v.i) - static_cast<uint64_t>(n.range.whole.low);
        return truth_of((above <= n.range.whole.width) != n.negated);
      }
      case Fast::kDoubleRange: {
        const Value& v = slots_[n.slot];
        if (v.kind != Kind::kDouble) [[unlikely]]
          break;
        return truth_of((v.d >= n.range.real.low && v.d <= n.range.real.high) != n.negated);
      }
      case Fast::kBool: {
        const Value& v = slots_[n.slot];
        return v.kind == Kind::kBool ? truth_of(v.b != n.negated) : Truth::kError;
      }
      case Fast::kText: {
        const Value& v = slots_[n.slot];
        if (v.kind != Kind::kString) [[unlikely]]
          break;
        return truth_of((v.str() == n.constant.str()) != n.negated);
      }
      case Fast::kCodeEq: {
        uint32_t code = slot_code(n.aux2);
        return code == kCodeUnusable ? Truth::kError : truth_of((code == n.aux) != n.negated);
      }
      case Fast::kCodeIn: {
        uint32_t code = slot_code(n.aux2);
        if (code == kCodeUnusable) return Truth::kError;
        return truth_of(code != 0 && plan_.code_sets[n.aux].contains(code));
      }
      case Fast::kNone:
        break;
    }
    return test_node(n, id);
  }
  Truth test_generic(const Node& n, Value v) const;
  Truth test_text(const Node& n, Value v) const;
  Truth test_pattern(const Node& n);
  uint32_t slot_code(uint32_t table) {
    const Frame::Impl::Code& known = frame_.codes[table];
    return known.epoch == frame_.epoch ? known.code : find_slot_code(table);
  }
  uint32_t find_slot_code(uint32_t table);

  Value eval_logic(const Node& n, bool decided);  // kAnd: decided by false; kOr: by true
  Value eval_strict(const Node& n);
  Value eval_condition(const Node& n);
  Value eval_optional(const Node& n);
  Value eval_concat(const Node& n);
  Value eval_list(const Node& n);
  Value eval_map(const Node& n);

  Value arithmetic(const Node& n, const Value* v);
  Value member(const Node& n, const Value* v);
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
