// Plan::text_test(): a node as tests of one text, or of the texts of one list.
#include <algorithm>

#include "cel/plan_impl.h"

namespace tamis::cel {

namespace {

// A loop with dearer turns could reach the bound of an evaluation within kTextsMax turns: that is an error, not false.
constexpr uint32_t kTurnCostMax = 1'000;

class Collector {
 public:
  explicit Collector(const Plan::Impl& plan) : plan_(plan) {}

  // Adds the tests of which one must pass for the node to be true; false where there are none about the same text.
  // `local` is the variable of the loop that the node stands in, or -1.
  bool collect(NodeId id, int32_t local, TextTest& out) const {
    const Node& n = plan_.nodes[id];
    std::span<const NodeId> args = plan_.args_of(n);
    switch (n.op) {
      case Op::kOr:
        return std::all_of(args.begin(), args.end(), [&](NodeId a) { return collect(a, local, out); });
      case Op::kAnd:
        // In a loop only the first, which is evaluated first: what stands behind it may be dear.
        return std::any_of(args.begin(), local < 0 ? args.end() : args.begin() + 1, [&](NodeId a) {
          TextTest with = out;
          if (!collect(a, local, with)) return false;
          out = std::move(with);
          return true;
        });
      case Op::kStringEq:
      case Op::kCodeEq:
        return about_slot(n, local, out) && add(Predicate::Op::kEq, n.constant, out);
      case Op::kSlotIn:
      case Op::kCodeIn:
        return about_slot(n, local, out) && add_each(n.constant, out);
      case Op::kContains:
      case Op::kStartsWith:
      case Op::kEndsWith:
      case Op::kMatches:
        return (n.slot >= 0 ? about_slot(n, local, out) : about(args[0], local, out)) &&
               add(text_op(n.op), n.constant, out);
      case Op::kEq: {
        const Node& constant = plan_.nodes[args[1]];
        return constant.op == Op::kConst && about(args[0], local, out) &&
               add(Predicate::Op::kEq, constant.constant, out);
      }
      case Op::kIn:
        return about(args[0], local, out) && add_each(n.constant, out);
      case Op::kMember: {
        const Node& item = plan_.nodes[args[0]];
        return local < 0 && item.op == Op::kConst && about_list(args[1], out) &&
               add(Predicate::Op::kEq, item.constant, out);
      }
      case Op::kExists:
        return local < 0 && n.vars == 1 && plan_.infos[args[1]].cost <= kTurnCostMax && about_list(args[0], out) &&
               collect(args[1], n.slot, out);
      default:
        return false;
    }
  }

 private:
  static Predicate::Op text_op(Op op) {
    unsigned which = static_cast<unsigned>(op) - static_cast<unsigned>(Op::kContains);
    return static_cast<Predicate::Op>(static_cast<unsigned>(Predicate::Op::kContains) + which);
  }

  static bool add(Predicate::Op op, const Value& constant, TextTest& out) {
    if (!constant.is(Kind::kString)) return false;
    out.cases.push_back({op, constant.str()});
    return true;
  }
  static bool add_each(const Value& list, TextTest& out) {
    std::span<const Value> items = list.list_items();
    return std::all_of(items.begin(), items.end(), [&](const Value& v) { return add(Predicate::Op::kEq, v, out); });
  }

  // All cases must be about the same text. Those of a loop are about its list, which was set before.
  static bool set(int32_t slot, NodeId node, bool any, TextTest& out) {
    bool fresh = out.slot < 0 && out.node == kNoNode;
    if (!fresh) return out.slot == slot && out.node == node && out.any == any;
    out.slot = slot;
    out.node = node;
    out.any = any;
    return true;
  }
  static bool about_slot(const Node& n, int32_t local, TextTest& out) {
    return local < 0 && set(n.slot, kNoNode, false, out);
  }
  bool about(NodeId id, int32_t local, TextTest& out) const {
    const Node& n = plan_.nodes[id];
    if (local >= 0) return n.op == Op::kLocal && n.slot == local;
    return about_value(id, false, out);
  }
  bool about_list(NodeId id, TextTest& out) const { return about_value(id, true, out); }
  bool about_value(NodeId id, bool any, TextTest& out) const {
    const Node& n = plan_.nodes[id];
    if (n.op == Op::kConst) return false;
    return n.op == Op::kSlot ? set(n.slot, kNoNode, any, out) : set(-1, id, any, out);
  }

  const Plan::Impl& plan_;
};

}  // namespace

std::optional<TextTest> Plan::text_test(NodeId node) const {
  TextTest test;
  if (impl_->infos[node].free_locals != 0 || !Collector(*impl_).collect(node, -1, test)) return std::nullopt;
  return test;
}

}  // namespace tamis::cel
