// The planner's working state: from trees to a graph in which equal expressions are one node. Private to the planner.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cel/plan_impl.h"

namespace tamis::cel {

struct PlanBuilder::Impl {
  std::shared_ptr<Plan::Impl> plan = std::make_shared<Plan::Impl>();
  std::unordered_map<std::string, NodeId> known;  // by structural key
  std::unordered_map<std::string, uint32_t> known_sites;
  std::unordered_map<std::string, uint32_t> known_regexes;  // by pattern; kNoAux: it has no meaning
  std::map<int32_t, NodeId> defined;                        // `let` variables
  std::vector<NodeId> roots;
  std::vector<std::pair<std::string, int32_t>> scope;  // macro variables and their levels, innermost last
  uint32_t source = 0;                                 // index of the source being added

  // Translation, plan_builder.cc.
  NodeId translate(const Expr& e);
  NodeId translate_variable(const Expr& e);
  NodeId translate_select(const Expr& e);
  NodeId translate_call(const Expr& e);
  NodeId translate_operator(const Expr& e, Op op);
  NodeId translate_logic(const Expr& e, bool conjunction);
  NodeId translate_in(const Expr& e, NodeId item, NodeId container);
  NodeId translate_text(const Expr& e, Op op, NodeId text, NodeId pattern);
  NodeId translate_plus(const Expr& e);
  NodeId translate_list(const Expr& e);
  NodeId translate_struct(const Expr& e);
  NodeId translate_macro(const Expr& e);
  NodeId compare(Op op, NodeId a, NodeId b, const Expr& e);
  NodeId negate(NodeId a, const Expr& e);
  NodeId call(const Expr& e, std::vector<NodeId> args, Op op = Op::kCall);

  // Nodes, plan_nodes.cc.
  NodeId constant(Value value, const Expr& e);
  NodeId error(ErrorCode code, std::string_view message, const Expr& e);
  NodeId make(Node node, std::vector<NodeId> args, const Expr& e);
  NodeInfo describe(const Node& node, const std::vector<NodeId>& args, const Expr& e) const;
  uint32_t static_cost(const Node& node, const std::vector<NodeId>& args) const;
  NodeId folded(NodeId id, const Expr& e);
  uint32_t site(const Expr& e);
  uint32_t regex(std::string_view pattern);
  bool is_const(NodeId id) const { return plan->nodes[id].op == Op::kConst; }
  bool reads_slot(const Node& node) const;

  // Finishing, plan_finish.cc.
  void finish();
  std::vector<uint32_t> count_parents(std::vector<bool>& in_loop) const;
  void assign_memos(const std::vector<uint32_t>& parents, const std::vector<bool>& in_loop);
  void number_constants(const std::vector<uint32_t>& parents);
  void collect_patterns(const std::vector<uint32_t>& parents);
  void number_slot(int32_t slot, const std::vector<NodeId>& users);
};

// True if a node gives a bool or an error, never another value.
bool is_boolean_op(const Node& node);
// Appends bytes that are equal exactly where two values are the same value of the same type.
void append_key(std::string& key, Value value);

}  // namespace tamis::cel
