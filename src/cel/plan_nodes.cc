#include <algorithm>

#include "cel/eval.h"
#include "cel/plan_builder.h"

namespace tamis::cel {

namespace {

constexpr uint32_t kCostMax = 1'000'000'000;
constexpr uint32_t kDepthMax = 2'000;  // of the graph, `let` variables included: bounds the evaluator's stack
constexpr int64_t kFoldCostMax = 20'000;
constexpr size_t kFoldBytesMax = 256 * 1024;

uint32_t saturate(uint64_t cost) { return static_cast<uint32_t>(std::min<uint64_t>(cost, kCostMax)); }

template <class T>
void append_raw(std::string& key, const T& value) {
  key.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& key, std::string_view text) {
  append_raw(key, text.size());
  key.append(text);
}

uint64_t level_bit(int32_t level) { return uint64_t{1} << std::min(level, 63); }

// The parameter kinds of a type; `deep` is set where a kind alone does not tell whether a value fits.
KindSet kinds_of(const Type& type, bool& deep) {
  using K = Type::Kind;
  switch (type.kind) {
    case K::kNull:
      return kind_bit(Kind::kNull);
    case K::kBool:
      return kind_bit(Kind::kBool);
    case K::kInt:
      return kind_bit(Kind::kInt);
    case K::kUint:
      return kind_bit(Kind::kUint);
    case K::kDouble:
      return kind_bit(Kind::kDouble);
    case K::kString:
      return kind_bit(Kind::kString);
    case K::kBytes:
      return kind_bit(Kind::kBytes);
    case K::kTimestamp:
      return kind_bit(Kind::kTimestamp);
    case K::kDuration:
      return kind_bit(Kind::kDuration);
    case K::kType:
      return kind_bit(Kind::kType);
    case K::kOptional:
      return kind_bit(Kind::kOptional);
    case K::kList:
    case K::kMap: {
      for (const Type& p : type.params) deep = deep || (!p.is_dyn() && p.kind != K::kParam);
      return kind_bit(type.kind == K::kList ? Kind::kList : Kind::kMap);
    }
    case K::kOpaque:
      deep = true;
      return ~KindSet{0};
    case K::kWrapper:
      deep = true;
      return ~KindSet{0};
    default:
      return ~KindSet{0};
  }
}

}  // namespace

bool is_boolean_op(const Node& n) {
  switch (n.op) {
    case Op::kHasValue:
    case Op::kIn:
    case Op::kMember:
    case Op::kAnd:
    case Op::kOr:
    case Op::kNot:
    case Op::kNotStrictlyFalse:
    case Op::kHasSelect:
    case Op::kAll:
    case Op::kExists:
    case Op::kExistsOne:
      return true;
    case Op::kConst:
      return n.constant.is(Kind::kBool);
    default:
      break;
  }
  return Evaluator::is_slot_test(n) || (n.op >= Op::kContains && n.op <= Op::kGe);
}

void append_key(std::string& key, Value v) {
  append_raw(key, v.kind);
  switch (v.kind) {
    case Kind::kAbsent:
    case Kind::kNull:
      break;
    case Kind::kBool:
      append_raw(key, v.b);
      break;
    case Kind::kInt:
    case Kind::kDuration:
    case Kind::kHandle:
    case Kind::kUint:
    case Kind::kDouble:
      append_raw(key, v.u);
      break;
    case Kind::kTimestamp:
      append_raw(key, v.i);
      append_raw(key, v.size);
      break;
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kType:
      append_text(key, v.str());
      break;
    case Kind::kList:
      append_raw(key, v.size);
      for (Value item : v.list_items()) append_key(key, item);
      break;
    case Kind::kMap:
      append_raw(key, v.map->size);
      for (uint32_t i = 0; i < v.map->size; ++i) {
        append_key(key, v.map->entries[i].key);
        append_key(key, v.map->entries[i].value);
      }
      break;
    case Kind::kOptional:
      append_raw(key, v.optional != nullptr);
      if (v.optional != nullptr) append_key(key, *v.optional);
      break;
    case Kind::kIp:
    case Kind::kCidr:
      key.append(reinterpret_cast<const char*>(v.ip->bytes), sizeof v.ip->bytes);
      append_raw(key, v.ip->is_v6);
      append_raw(key, v.ip->prefix);
      break;
    case Kind::kOpaque:
      append_text(key, v.opaque->type_name);
      append_raw(key, v.opaque->values.size());
      for (Value item : v.opaque->values) append_key(key, item);
      break;
    case Kind::kError:
      append_raw(key, v.error_data->code);
      append_text(key, v.error_data->message);
      break;
  }
}

NodeId PlanBuilder::Impl::constant(Value value, const Expr& e) {
  Node n;
  n.op = Op::kConst;
  n.constant = value;
  return make(n, {}, e);
}

NodeId PlanBuilder::Impl::error(ErrorCode code, std::string_view message, const Expr& e) {
  return constant(event::make_error(*plan->constants, code, message), e);
}

NodeId PlanBuilder::Impl::make(Node node, std::vector<NodeId> args, const Expr& e) {
  std::string key;
  append_raw(key, node.op);
  append_raw(key, node.vars);
  append_raw(key, node.slot);
  bool has_flags = (node.op == Op::kList || node.op == Op::kMap) && node.aux != kNoAux;
  if (has_flags) {
    for (bool flag : plan->optional_flags[node.aux]) key.push_back(flag ? '1' : '0');
  } else {
    append_raw(key, node.aux);
  }
  append_key(key, node.constant);
  for (NodeId id : args) append_raw(key, id);
  if (auto found = known.find(key); found != known.end()) return found->second;

  NodeInfo info = describe(node, args, e);
  if (info.depth > kDepthMax) return error(ErrorCode::kLimit, "the expression is nested too deeply", e);
  node.constant = event::deep_copy(node.constant, *plan->constants);
  if (node.op >= Op::kAll && node.op < Op::kBind) {
    uint64_t turn = 2;
    for (size_t i = 1; i < args.size(); ++i) turn += plan->infos[args[i]].cost;
    node.aux = saturate(turn);
  }
  node.argc = static_cast<uint32_t>(args.size());
  node.first_arg = static_cast<uint32_t>(plan->args.size());
  plan->args.insert(plan->args.end(), args.begin(), args.end());
  NodeId id = static_cast<NodeId>(plan->nodes.size());
  plan->nodes.push_back(node);
  plan->infos.push_back(std::move(info));
  id = folded(id, e);
  known.emplace(std::move(key), id);
  return id;
}

bool PlanBuilder::Impl::reads_slot(const Node& n) const {
  return n.op == Op::kSlot || n.op == Op::kOptSlot || Evaluator::is_slot_test(n);
}

NodeInfo PlanBuilder::Impl::describe(const Node& node, const std::vector<NodeId>& args, const Expr& e) const {
  NodeInfo info;
  info.type = e.type;
  info.source = source;
  info.begin = e.begin;
  info.end = e.end;
  info.varying = reads_slot(node) || node.constant.is(Kind::kHandle);
  for (NodeId id : args) {
    const NodeInfo& a = plan->infos[id];
    info.depth = std::max(info.depth, a.depth + 1);
    info.free_locals |= a.free_locals;
    info.varying = info.varying || a.varying;
  }
  if (node.op == Op::kLocal) info.free_locals = level_bit(node.slot);
  if (node.op >= Op::kAll) {
    uint64_t bound = level_bit(node.slot);
    if (node.vars == 2) bound |= level_bit(node.slot + 1);
    info.free_locals &= ~(bound & ~(uint64_t{1} << 63));
    // The range is outside of the loop, but it cannot read a variable of this level anyway.
  }
  info.cost = static_cost(node, args);
  return info;
}

uint32_t PlanBuilder::Impl::static_cost(const Node& n, const std::vector<NodeId>& args) const {
  uint64_t below = 0;
  for (NodeId id : args) below += plan->infos[id].cost;
  // Equality comes first in && and ||: as cheap as any test, mostly the most selective, and alike in many rules.
  if (n.op == Op::kIntEq || n.op == Op::kDoubleEq || n.op == Op::kStringEq) return 1;
  if (n.op >= Op::kIntEq && n.op <= Op::kDoubleGe) return 2;
  if (n.op >= Op::kAll && n.op < Op::kBind) {
    uint64_t range = plan->infos[args[0]].cost;
    return saturate(20 + range + 8 * (below - range + 2));
  }
  switch (n.op) {
    case Op::kConst:
      return 0;
    case Op::kSlot:
    case Op::kLocal:
      return 1;
    case Op::kHasSlot:
    case Op::kNotSlot:
    case Op::kStringNe:
    case Op::kSlotIn:
      return 2;
    case Op::kStartsWith:
    case Op::kEndsWith:
      return saturate(3 + below);
    case Op::kContains:
      return saturate(10 + below);
    case Op::kMatches:
      return saturate(60 + below);
    case Op::kAnd:
    case Op::kOr:
    case Op::kNot:
    case Op::kCond:
      return saturate(1 + below);
    case Op::kIn:
      return saturate(4 + below);
    case Op::kSelect:
    case Op::kHasSelect:
    case Op::kOptSelect:
    case Op::kIndex:
    case Op::kOptIndex:
      return saturate(6 + below);
    case Op::kConcat:
    case Op::kList:
    case Op::kMap:
      return saturate(10 + below);
    case Op::kCall: {
      uint32_t own = 0;
      for (const BoundOverload& b : plan->sites[n.aux].candidates) own = std::max(own, b.overload.cost);
      return saturate(uint64_t{8} + own + below);
    }
    default:
      return saturate(3 + below);
  }
}

// A node that reads nothing of the event is computed now. Errors stay what they are, to be errors at run time.
NodeId PlanBuilder::Impl::folded(NodeId id, const Expr& e) {
  const NodeInfo& info = plan->infos[id];
  if (plan->nodes[id].op == Op::kConst || info.varying || info.free_locals != 0) return id;
  base::Arena scratch;
  Frame::Impl frame(nullptr);
  frame.locals.resize(plan->local_count);
  frame.begin(nullptr, scratch, nullptr, kFoldCostMax);
  frame.call->cost_left = kFoldCostMax;
  Value v = Evaluator(*plan, frame).eval(id);
  if (v.is_error() || frame.call->cost_left <= 0 || scratch.used_bytes() > kFoldBytesMax) return id;
  return constant(v, e);
}

// The compiled pattern, or kNoAux where it is none.
uint32_t PlanBuilder::Impl::regex(std::string_view pattern) {
  auto [found, fresh] = known_regexes.emplace(std::string(pattern), kNoAux);
  if (!fresh) return found->second;
  if (base::Result<Regex> compiled = Regex::compile(pattern)) {
    found->second = static_cast<uint32_t>(plan->regexes.size());
    plan->regexes.push_back(std::move(*compiled));
  }
  return found->second;
}

// The candidates of a call, bound once for all calls with the same ones.
uint32_t PlanBuilder::Impl::site(const Expr& e) {
  std::string key = e.name;
  for (const Overload* o : e.overloads) {
    key.push_back('\0');
    key += o->id;
    append_raw(key, o->invoke);
  }
  auto [found, fresh] = known_sites.emplace(std::move(key), static_cast<uint32_t>(plan->sites.size()));
  if (!fresh) return found->second;
  CallSite site;
  site.function = e.name;
  for (const Overload* o : e.overloads) {
    BoundOverload bound;
    bound.overload = *o;
    for (const Type& p : o->params) bound.kinds.push_back(kinds_of(p, bound.deep));
    site.candidates.push_back(std::move(bound));
  }
  plan->sites.push_back(std::move(site));
  return found->second;
}

}  // namespace tamis::cel
