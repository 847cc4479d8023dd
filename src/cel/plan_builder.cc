// From checked syntax trees to nodes: which operator each expression becomes.
#include "cel/plan_builder.h"

#include <algorithm>

#include "cel/eval.h"

namespace tamis::cel {

namespace {

struct Operator {
  std::string_view function;
  Op op;
};

constexpr Operator kOperators[] = {
    {"_==_", Op::kEq},
    {"_!=_", Op::kNe},
    {"_<_", Op::kLt},
    {"_<=_", Op::kLe},
    {"_>_", Op::kGt},
    {"_>=_", Op::kGe},
    {"_-_", Op::kSub},
    {"_*_", Op::kMul},
    {"_/_", Op::kDiv},
    {"_%_", Op::kMod},
    {"-_", Op::kNeg},
    {"!_", Op::kNot},
    {"_+_", Op::kAdd},
    {"_?_:_", Op::kCond},
    {"_[_]", Op::kIndex},
    {"_[?_]", Op::kOptIndex},
    {"@not_strictly_false", Op::kNotStrictlyFalse},
};

constexpr Operator kTextOperators[] = {
    {"contains", Op::kContains},
    {"startsWith", Op::kStartsWith},
    {"endsWith", Op::kEndsWith},
    {"matches", Op::kMatches},
};

Op find_operator(std::span<const Operator> table, std::string_view function) {
  for (const Operator& o : table) {
    if (o.function == function) return o.op;
  }
  return Op::kCall;
}

Op macro_op(Macro macro) {
  switch (macro) {
    case Macro::kAll:
      return Op::kAll;
    case Macro::kExists:
      return Op::kExists;
    case Macro::kExistsOne:
      return Op::kExistsOne;
    case Macro::kMap:
    case Macro::kMapFilter:
      return Op::kMapMacro;
    case Macro::kFilter:
      return Op::kFilter;
    case Macro::kTransformList:
      return Op::kTransformList;
    case Macro::kTransformMap:
      return Op::kTransformMap;
    case Macro::kTransformMapEntry:
      return Op::kTransformMapEntry;
    case Macro::kSortBy:
      return Op::kSortBy;
    case Macro::kBind:
      return Op::kBind;
    case Macro::kOptMap:
      return Op::kOptMap;
    case Macro::kOptFlatMap:
      return Op::kOptFlatMap;
  }
  return Op::kBind;
}

Node node_of(Op op) {
  Node n;
  n.op = op;
  return n;
}

unsigned which(Op op) { return static_cast<unsigned>(op) - static_cast<unsigned>(Op::kEq); }
Op plus(Op base, unsigned offset) { return static_cast<Op>(static_cast<unsigned>(base) + offset); }

Op mirrored(Op op) {
  switch (op) {
    case Op::kLt:
      return Op::kGt;
    case Op::kLe:
      return Op::kGe;
    case Op::kGt:
      return Op::kLt;
    case Op::kGe:
      return Op::kLe;
    default:
      return op;
  }
}

bool is_call(const Expr& e, std::string_view function) { return e.kind == ExprKind::kCall && e.name == function; }

}  // namespace

NodeId PlanBuilder::Impl::translate(const Expr& e) {
  switch (e.kind) {
    case ExprKind::kConst:
      return constant(e.constant, e);
    case ExprKind::kIdent:
      if (e.variable != nullptr) return translate_variable(e);
      if (!e.local.empty()) {
        for (size_t i = scope.size(); i-- > 0;) {
          if (scope[i].first != e.local) continue;
          Node n = node_of(Op::kLocal);
          n.slot = scope[i].second;
          return make(n, {}, e);
        }
      }
      return error(ErrorCode::kOther, "undeclared name `" + e.name + "`", e);
    case ExprKind::kSelect:
      return e.variable != nullptr ? translate_variable(e) : translate_select(e);
    case ExprKind::kCall:
      return translate_call(e);
    case ExprKind::kList:
    case ExprKind::kMap:
      return translate_list(e);
    case ExprKind::kStruct:
      return translate_struct(e);
    case ExprKind::kMacro:
      return translate_macro(e);
  }
  return error(ErrorCode::kOther, "unknown kind of expression", e);
}

NodeId PlanBuilder::Impl::translate_variable(const Expr& e) {
  int32_t slot = e.variable->slot;
  auto let = defined.find(slot);
  bool is_let = slot >= 0 && let != defined.end();
  if (slot < 0 || is_let) {
    NodeId value = is_let ? let->second : constant(e.variable->constant, e);
    if (!e.test_only && !e.optional) return value;
    return make(node_of(e.test_only ? Op::kHasValue : Op::kOptValue), {value}, e);
  }
  plan->slot_count = std::max(plan->slot_count, static_cast<uint32_t>(slot) + 1);
  Node n = node_of(e.test_only ? Op::kHasSlot : e.optional ? Op::kOptSlot : Op::kSlot);
  n.slot = slot;
  return make(n, {}, e);
}

NodeId PlanBuilder::Impl::translate_select(const Expr& e) {
  Node n = node_of(e.test_only ? Op::kHasSelect : e.optional ? Op::kOptSelect : Op::kSelect);
  n.constant = Value::string(e.name);
  return make(n, {translate(*e.args[0])}, e);
}

NodeId PlanBuilder::Impl::translate_call(const Expr& e) {
  if (e.name == "_&&_" || e.name == "_||_") return translate_logic(e, e.name == "_&&_");
  if (e.name == "_+_") return translate_plus(e);
  if (Op op = find_operator(kOperators, e.name); op != Op::kCall) return translate_operator(e, op);

  std::vector<NodeId> args;
  for (const ExprPtr& a : e.args) args.push_back(translate(*a));
  if (e.name == "@in" && args.size() == 2) return translate_in(e, args[0], args[1]);
  if (e.overloads.empty()) {
    return error(ErrorCode::kNoSuchOverload, "no function `" + e.name + "` takes these arguments", e);
  }
  if (e.name == "dyn" && args.size() == 1) return args[0];
  if (Op op = find_operator(kTextOperators, e.name); op != Op::kCall && args.size() == 2) {
    return translate_text(e, op, args[0], args[1]);
  }
  if (e.member && args.size() == 2 && (e.name == "or" || e.name == "orValue")) {
    bool ours = std::all_of(e.overloads.begin(), e.overloads.end(),
                            [](const Overload* o) { return o->id.starts_with("optional_or"); });
    if (ours) return make(node_of(e.name == "or" ? Op::kOrOptional : Op::kOrValue), std::move(args), e);
  }
  return call(e, std::move(args));
}

NodeId PlanBuilder::Impl::call(const Expr& e, std::vector<NodeId> args, Op op) {
  Node n = node_of(op);
  n.aux = site(e);
  return make(n, std::move(args), e);
}

NodeId PlanBuilder::Impl::translate_operator(const Expr& e, Op op) {
  std::vector<NodeId> args;
  for (const ExprPtr& a : e.args) args.push_back(translate(*a));
  if (op >= Op::kEq && op <= Op::kGe) return compare(op, args[0], args[1], e);
  if (op == Op::kNot) return negate(args[0], e);
  if (op >= Op::kNeg && op <= Op::kMod) return call(e, std::move(args), op);
  return make(node_of(op), std::move(args), e);
}

NodeId PlanBuilder::Impl::compare(Op op, NodeId a, NodeId b, const Expr& e) {
  if (is_const(a) && !is_const(b)) {
    std::swap(a, b);
    op = mirrored(op);
  }
  const Value c = plan->nodes[b].constant;
  if (plan->nodes[a].op != Op::kSlot || !is_const(b) || c.is_error() || c.is(Kind::kHandle)) {
    return make(node_of(op), {a, b}, e);
  }
  Node n;
  n.slot = plan->nodes[a].slot;
  n.constant = c;
  n.op = plus(Op::kSlotEq, which(op));
  if (c.is(Kind::kInt)) n.op = plus(Op::kIntEq, which(op));
  if (c.is(Kind::kDouble)) n.op = plus(Op::kDoubleEq, which(op));
  if (c.is(Kind::kString) && op == Op::kEq) n.op = Op::kStringEq;
  if (c.is(Kind::kString) && op == Op::kNe) n.op = Op::kStringNe;
  return make(n, {}, e);
}

// !x. An equality turns around; an order does not, because of NaN.
NodeId PlanBuilder::Impl::negate(NodeId a, const Expr& e) {
  const Node& inner = plan->nodes[a];
  Node n = inner;
  switch (inner.op) {
    case Op::kSlot:
      n.op = Op::kNotSlot;
      return make(n, {}, e);
    case Op::kNotSlot:
      break;  // !!slot: only a bool may pass
    case Op::kIntEq:
      n.op = Op::kIntNe;
      return make(n, {}, e);
    case Op::kIntNe:
      n.op = Op::kIntEq;
      return make(n, {}, e);
    case Op::kDoubleEq:
      n.op = Op::kDoubleNe;
      return make(n, {}, e);
    case Op::kDoubleNe:
      n.op = Op::kDoubleEq;
      return make(n, {}, e);
    case Op::kSlotEq:
      n.op = Op::kSlotNe;
      return make(n, {}, e);
    case Op::kSlotNe:
      n.op = Op::kSlotEq;
      return make(n, {}, e);
    case Op::kStringEq:
      n.op = Op::kStringNe;
      return make(n, {}, e);
    case Op::kStringNe:
      n.op = Op::kStringEq;
      return make(n, {}, e);
    case Op::kNot: {
      NodeId operand = plan->args[inner.first_arg];
      if (is_boolean_op(plan->nodes[operand])) return operand;
      break;
    }
    default:
      break;
  }
  return make(node_of(Op::kNot), {a}, e);
}

// All operands of a chain become those of one node: cheap ones first, each once.
NodeId PlanBuilder::Impl::translate_logic(const Expr& e, bool conjunction) {
  std::vector<const Expr*> pending = {&e};
  std::vector<NodeId> operands;
  while (!pending.empty()) {
    const Expr* next = pending.back();
    pending.pop_back();
    if (is_call(*next, e.name)) {
      for (size_t i = next->args.size(); i-- > 0;) pending.push_back(next->args[i].get());
      continue;
    }
    NodeId id = translate(*next);
    const Node& n = plan->nodes[id];
    if (n.op == Op::kConst && n.constant.is(Kind::kBool)) {
      if (n.constant.b != conjunction) return constant(n.constant, e);  // decides alone, errors beside it or not
      continue;
    }
    if (n.op == (conjunction ? Op::kAnd : Op::kOr)) {  // from a `let` variable
      for (NodeId inner : plan->args_of(n)) operands.push_back(inner);
    } else {
      operands.push_back(id);
    }
  }
  std::vector<NodeId> unique;
  for (NodeId id : operands) {
    if (std::find(unique.begin(), unique.end(), id) == unique.end()) unique.push_back(id);
  }
  std::stable_sort(unique.begin(), unique.end(),
                   [&](NodeId a, NodeId b) { return plan->infos[a].cost < plan->infos[b].cost; });
  if (unique.empty()) return constant(Value::boolean(conjunction), e);
  if (unique.size() == 1 && is_boolean_op(plan->nodes[unique[0]])) return unique[0];
  return make(node_of(conjunction ? Op::kAnd : Op::kOr), std::move(unique), e);
}

NodeId PlanBuilder::Impl::translate_in(const Expr& e, NodeId item, NodeId container) {
  const Value c = plan->nodes[container].constant;
  if (!is_const(container) || !c.is(Kind::kList) || is_const(item)) {
    if (e.overloads.empty()) return error(ErrorCode::kNoSuchOverload, "`in` needs a list or a map", e);
    return call(e, {item, container}, Op::kMember);
  }
  Node n = node_of(Op::kIn);
  n.constant = c;
  if (plan->nodes[item].op != Op::kSlot) return make(n, {item}, e);
  n.op = Op::kSlotIn;
  n.slot = plan->nodes[item].slot;
  return make(n, {}, e);
}

NodeId PlanBuilder::Impl::translate_text(const Expr& e, Op op, NodeId text, NodeId pattern) {
  const Value p = plan->nodes[pattern].constant;
  bool standard = std::all_of(e.overloads.begin(), e.overloads.end(), [](const Overload* o) {
    return o->params.size() == 2 && o->params[0].kind == Type::Kind::kString &&
           o->params[1].kind == Type::Kind::kString && o->strict_cel;
  });
  if (!is_const(pattern) || !p.is(Kind::kString) || !standard) return call(e, {text, pattern});
  Node n = node_of(op);
  n.constant = p;
  if (op == Op::kMatches) n.aux = regex(p.str());
  if (op == Op::kMatches && n.aux == kNoAux) return call(e, {text, pattern});  // it says at run time what is wrong
  if (plan->nodes[text].op != Op::kSlot) return make(n, {text}, e);
  n.slot = plan->nodes[text].slot;
  return make(n, {}, e);
}

// a + b + c: strings are joined in one step where the checker knows that they are strings.
NodeId PlanBuilder::Impl::translate_plus(const Expr& e) {
  if (e.type.kind != Type::Kind::kString) return call(e, {translate(*e.args[0]), translate(*e.args[1])}, Op::kAdd);
  std::vector<const Expr*> pending = {&e};
  std::vector<NodeId> parts;
  while (!pending.empty()) {
    const Expr* next = pending.back();
    pending.pop_back();
    if (is_call(*next, "_+_") && next->type.kind == Type::Kind::kString) {
      pending.push_back(next->args[1].get());
      pending.push_back(next->args[0].get());
    } else {
      parts.push_back(translate(*next));
    }
  }
  return make(node_of(Op::kConcat), std::move(parts), e);
}

NodeId PlanBuilder::Impl::translate_list(const Expr& e) {
  std::vector<NodeId> args;
  for (const ExprPtr& a : e.args) args.push_back(translate(*a));
  Node n = node_of(e.kind == ExprKind::kList ? Op::kList : Op::kMap);
  if (std::find(e.optional_entries.begin(), e.optional_entries.end(), true) != e.optional_entries.end()) {
    n.aux = static_cast<uint32_t>(plan->optional_flags.size());
    plan->optional_flags.push_back(e.optional_entries);
  }
  return make(n, std::move(args), e);
}

NodeId PlanBuilder::Impl::translate_struct(const Expr& e) {
  if (e.overloads.empty()) {
    return error(ErrorCode::kNoSuchOverload, "messages cannot be made here: `" + e.name + "`", e);
  }
  std::vector<NodeId> args;
  for (const ExprPtr& a : e.args) args.push_back(translate(*a));
  return call(e, std::move(args));
}

NodeId PlanBuilder::Impl::translate_macro(const Expr& e) {
  std::vector<NodeId> args = {translate(*e.args[0])};
  Node n = node_of(macro_op(e.macro));
  n.vars = e.var2.empty() ? 1 : 2;
  n.slot = scope.empty() ? 0 : scope.back().second + 1;
  size_t outer = scope.size();
  scope.emplace_back(e.var1, n.slot);
  if (n.vars == 2) scope.emplace_back(e.var2, n.slot + 1);
  plan->local_count = std::max(plan->local_count, static_cast<uint32_t>(n.slot) + 2);
  for (size_t i = 1; i < e.args.size(); ++i) args.push_back(translate(*e.args[i]));
  scope.resize(outer);
  return make(n, std::move(args), e);
}

PlanBuilder::PlanBuilder() : impl_(std::make_unique<Impl>()) {}
PlanBuilder::~PlanBuilder() = default;

NodeId PlanBuilder::add(const Compiled& compiled) {
  TAMIS_ASSERT(compiled.ok());
  impl_->source = static_cast<uint32_t>(impl_->plan->sources.size());
  impl_->plan->sources.push_back(std::make_shared<const std::string>(compiled.ast.source));
  NodeId id = impl_->translate(*compiled.ast.root);
  impl_->roots.push_back(id);
  return id;
}

void PlanBuilder::define(int32_t slot, NodeId node) { impl_->defined[slot] = node; }

Plan PlanBuilder::build() {
  impl_->finish();
  Plan plan;
  plan.impl_ = std::move(impl_->plan);
  impl_ = std::make_unique<Impl>();
  return plan;
}

}  // namespace tamis::cel
