#include "replay/stored_conditions.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "cel/plan.h"
#include "policy/slot_names.h"
#include "replay/match_plan.h"
#include "replay/stored.h"

namespace tamis::replay {
namespace {

using cel::NodeId;
using event::JsonWriter;

class Conditions {
 public:
  Conditions(const policy::Policy& policy, const policy::EventType& type, std::span<const event::Value> slots,
             base::Arena& arena)
      : type_(type),
        slots_(slots),
        names_(policy::slot_names(type)),
        host_(policy, all_lists(policy)),
        frame_(type.plan) {
    frame_.begin(slots.data(), arena, &host_);
  }

  void write(const policy::Rule& rule, JsonWriter& json) {
    if (rule.when == cel::kNoNode) return;
    bool certain = false;
    const std::vector<NodeId> alternatives = type_.plan.disjuncts(rule.when);
    for (NodeId alternative : alternatives) {
      if (type_.plan.test(alternative, frame_) != cel::Plan::Truth::kTrue) continue;
      certain = true;
      write_all(rule, alternative, json);
    }
    if (certain) return;
    for (NodeId alternative : alternatives) {
      if (may_hold(alternative)) write_all(rule, alternative, json);
    }
  }

 private:
  static std::vector<int64_t> all_lists(const policy::Policy& policy) {
    std::vector<int64_t> lists(policy.lists.size());
    std::iota(lists.begin(), lists.end(), 0);
    return lists;
  }

  bool may_hold(NodeId alternative) {
    const std::vector<NodeId> parts = type_.plan.conjuncts(alternative);
    return std::all_of(parts.begin(), parts.end(), [this](NodeId part) {
      const cel::Plan::HostReads asks = type_.plan.host_reads(part);
      return asks.labels || !asks.lists.empty() || type_.plan.test(part, frame_) == cel::Plan::Truth::kTrue;
    });
  }

  void write_all(const policy::Rule& rule, NodeId alternative, JsonWriter& json) {
    for (NodeId part : type_.plan.conjuncts(alternative)) {
      json.begin_object().key("rule").string(rule.id).key("when").string(type_.plan.text(part));
      json.key("read").begin_object();
      for (int32_t slot : type_.plan.slots_read(part)) {
        const auto at = static_cast<size_t>(slot);
        json.key(names_[at]).value(slots_[at]);
      }
      json.end_object().end_object();
    }
  }

  const policy::EventType& type_;
  std::span<const event::Value> slots_;
  std::vector<std::string> names_;
  PolicyLists host_;
  cel::Frame frame_;
};

}  // namespace

void write_conditions(const policy::Policy& policy, const policy::EventType& type, std::span<const event::Value> slots,
                      const std::set<std::string_view>& matched, base::Arena& arena, JsonWriter& json) {
  Conditions conditions(policy, type, slots, arena);
  for (const policy::Rule& rule : type.rules) {
    if (matched.contains(rule.id)) conditions.write(rule, json);
  }
}

}  // namespace tamis::replay
