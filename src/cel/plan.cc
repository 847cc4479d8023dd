#include "cel/plan.h"

#include <algorithm>

#include "cel/eval.h"

namespace tamis::cel {

Frame::Impl::Impl(std::shared_ptr<const Plan::Impl> of) : plan(std::move(of)) {
  if (plan == nullptr) return;  // the planner folding constants: it sizes the locals itself
  memos.resize(plan->memo_count);
  codes.resize(plan->code_tables.size());
  for (const SlotPatterns& p : plan->pattern_sets) scans.push_back({0, 0, false, PatternScan(p.set)});
  locals.resize(plan->local_count);
  evaluator = std::make_unique<Evaluator>(*plan, *this);
}

Frame::Impl::~Impl() = default;

void Frame::Impl::begin(const Value* of, base::Arena& arena, const Host* host, int64_t limit) {
  slots = of;
  cost_max = limit;
  if (evaluator != nullptr) evaluator->rebind(of);
  call.emplace(Call{arena, host, limit});
  if (++epoch != 0) return;
  // Once in four billion events the epochs start over.
  epoch = 1;
  for (Memo& m : memos) m.epoch = 0;
  for (Code& c : codes) c.epoch = 0;
  for (Scan& s : scans) s.epoch = 0;
}

Frame::Frame(const Plan& plan) : impl_(std::make_unique<Impl>(plan.impl_)) {}
Frame::~Frame() = default;
Frame::Frame(Frame&&) noexcept = default;
Frame& Frame::operator=(Frame&&) noexcept = default;

void Frame::begin(const Value* slots, base::Arena& arena, const Host* host, int64_t cost_max) {
  impl_->begin(slots, arena, host, cost_max);
}

Value Plan::eval(NodeId node, Frame& frame) const {
  Frame::Impl& f = frame.impl();
  f.call->cost_left = f.cost_max;
  Value v = f.evaluator->eval(node);
  return f.call->cost_left > 0 ? v : event::error_limit();
}

Plan::Truth Plan::test(NodeId node, Frame& frame) const {
  Frame::Impl& f = frame.impl();
  f.call->cost_left = f.cost_max;
  Truth t = f.evaluator->test_root(node);
  return f.call->cost_left > 0 ? t : Truth::kError;
}

size_t Plan::size() const { return impl_->nodes.size(); }

std::vector<NodeId> Plan::disjuncts(NodeId node) const {
  const Node& n = impl_->nodes[node];
  if (n.op != Op::kOr) return {node};
  std::span<const NodeId> args = impl_->args_of(n);
  return {args.begin(), args.end()};
}

std::vector<NodeId> Plan::conjuncts(NodeId node) const {
  const Node& n = impl_->nodes[node];
  if (n.op != Op::kAnd) return {node};
  std::span<const NodeId> args = impl_->args_of(n);
  return {args.begin(), args.end()};
}

std::optional<Predicate> Plan::predicate(NodeId node) const {
  const Node* n = &impl_->nodes[node];
  Predicate p{};
  if (n->op == Op::kNot) {
    p.negated = true;
    n = &impl_->nodes[impl_->args[n->first_arg]];
  }
  p.slot = n->slot;
  p.constants = {&n->constant, 1};
  if (n->op >= Op::kIntEq && n->op <= Op::kSlotGe) {
    unsigned which = (static_cast<unsigned>(n->op) - static_cast<unsigned>(Op::kIntEq)) % 6;
    p.op = static_cast<Predicate::Op>(which);
    return p;
  }
  switch (n->op) {
    case Op::kStringEq:
    case Op::kCodeEq:
      p.op = Predicate::Op::kEq;
      return p;
    case Op::kStringNe:
    case Op::kCodeNe:
      p.op = Predicate::Op::kNe;
      return p;
    case Op::kCodeIn:
    case Op::kSlotIn:
      p.op = Predicate::Op::kIn;
      p.constants = n->constant.list_items();
      return p;
    case Op::kSlot:
      p.op = Predicate::Op::kTrue;
      break;
    case Op::kNotSlot:
      p.op = Predicate::Op::kFalse;
      break;
    case Op::kContains:
      p.op = Predicate::Op::kContains;
      break;
    case Op::kStartsWith:
      p.op = Predicate::Op::kStartsWith;
      break;
    case Op::kEndsWith:
      p.op = Predicate::Op::kEndsWith;
      break;
    case Op::kMatches:
      p.op = Predicate::Op::kMatches;
      break;
    default:
      return std::nullopt;
  }
  if (p.slot < 0) return std::nullopt;
  if (n->op == Op::kSlot || n->op == Op::kNotSlot) p.constants = {};
  return p;
}

std::optional<int32_t> Plan::presence_slot(NodeId node) const {
  const Node& n = impl_->nodes[node];
  return n.op == Op::kHasSlot ? std::optional(n.slot) : std::nullopt;
}

namespace {

// Calls `visit` for the node and all that it is made of, each once.
template <class Visit>
void for_each_below(const Plan::Impl& plan, NodeId node, Visit visit) {
  std::vector<bool> seen(node + 1);
  std::vector<NodeId> pending = {node};
  seen[node] = true;
  while (!pending.empty()) {
    const Node& n = plan.nodes[pending.back()];
    pending.pop_back();
    visit(n);
    for (NodeId a : plan.args_of(n)) {
      if (seen[a]) continue;
      seen[a] = true;
      pending.push_back(a);
    }
  }
}

}  // namespace

std::vector<int32_t> slots_below(const Plan::Impl& plan, NodeId node) {
  std::vector<int32_t> slots;
  for_each_below(plan, node, [&](const Node& n) {
    if (n.op == Op::kSlot || n.op == Op::kOptSlot || Evaluator::is_slot_test(n)) slots.push_back(n.slot);
  });
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

std::vector<int32_t> Plan::slots_read(NodeId node) const { return slots_below(*impl_, node); }

Plan::HostReads Plan::host_reads(NodeId node) const {
  HostReads reads;
  for_each_below(*impl_, node, [&](const Node& n) {
    bool labels = n.op == Op::kCall && impl_->sites[n.aux].function == "labels";
    reads.labels |= labels;
    if (labels) return;
    for (NodeId a : impl_->args_of(n)) {
      const Value& c = impl_->nodes[a].constant;
      if (c.is(Kind::kHandle)) reads.lists.push_back(c.i);
    }
  });
  std::sort(reads.lists.begin(), reads.lists.end());
  reads.lists.erase(std::unique(reads.lists.begin(), reads.lists.end()), reads.lists.end());
  return reads;
}

uint32_t Plan::cost(NodeId node) const { return impl_->infos[node].cost; }

std::string Plan::text(NodeId node) const {
  const NodeInfo& info = impl_->infos[node];
  return impl_->sources[info.source]->substr(info.begin, info.end - info.begin);
}

Type Plan::type(NodeId node) const { return impl_->infos[node].type; }

}  // namespace tamis::cel
