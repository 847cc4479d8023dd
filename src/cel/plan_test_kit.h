// What the tests, benchmarks and the fuzz target of the planner and the evaluators share: an environment with one
// variable of each kind, and an expression compiled into a plan of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cel/plan.h"

namespace tamis::cel::kit {

enum Slot : int32_t {
  kN,
  kM,
  kU,
  kX,
  kY,
  kB,
  kC,
  kS,
  kT,
  kBytes,
  kTime,
  kSpan,
  kTags,
  kNums,
  kAttrs,
  kAny,
  kNet,
  kSlots
};

inline const std::vector<std::pair<std::string, Type>>& variables() {
  static const std::vector<std::pair<std::string, Type>> kAll = {
      {"n", Type::integer()},
      {"m", Type::integer()},
      {"u", Type::uinteger()},
      {"x", Type::real()},
      {"y", Type::real()},
      {"b", Type::boolean()},
      {"c", Type::boolean()},
      {"s", Type::string()},
      {"t", Type::string()},
      {"raw", Type::bytes()},
      {"time", Type::timestamp()},
      {"span", Type::duration()},
      {"tags", Type::list(Type::string())},
      {"nums", Type::list(Type::integer())},
      {"attrs", Type::map(Type::string(), Type::dyn())},
      {"any", Type::dyn()},
      {"ip.net24", Type::string()},
  };
  return kAll;
}

inline Env make_env(Dialect dialect = Dialect::kTamis) {
  Env env(dialect);
  for (size_t i = 0; i < variables().size(); ++i) {
    Variable v;
    v.name = variables()[i].first;
    v.type = variables()[i].second;
    v.slot = static_cast<int32_t>(i);
    env.add_variable(v);
  }
  return env;
}

// One event and a frame over it. Slots are absent until they are set.
class Bench {
 public:
  explicit Bench(Plan plan) : plan_(std::move(plan)), frame_(plan_), slots_(kSlots + 8) { begin(); }

  void begin(int64_t cost_max = 1'000'000) { frame_.begin(slots_.data(), arena_, nullptr, cost_max); }
  Value& operator[](int32_t slot) { return slots_[slot]; }
  Value eval(NodeId node) {
    begin();
    return plan_.eval(node, frame_);
  }
  Plan::Truth test(NodeId node) {
    begin();
    return plan_.test(node, frame_);
  }
  const Plan& plan() const { return plan_; }
  Frame& frame() { return frame_; }
  base::Arena& arena() { return arena_; }

 private:
  Plan plan_;
  base::Arena arena_;
  Frame frame_;
  std::vector<Value> slots_;
};

}  // namespace tamis::cel::kit
