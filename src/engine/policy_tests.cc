#include "engine/policy_tests.h"

#include <algorithm>
#include <set>

#include "engine/active.h"
#include "event/derive.h"

namespace tamis::engine {
namespace {

using event::Kind;

std::string show(Value v) { return event::debug_string(v); }

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return "[" + text + "]";
}

// One rule test: the slots are what `given` says, empty features, defaults, and what derives from them.
class RuleTestRun final : public cel::Host {
 public:
  RuleTestRun(const policy::Policy& policy, ActiveType& type, const policy::Rule& rule, const policy::RuleTest& test,
              std::span<const std::unique_ptr<state::List>> lists)
      : policy_(policy), type_(type), rule_(rule), test_(test), lists_(lists) {}

  // Empty: passed.
  std::string run() {
    fill_slots();
    type_.frame.begin(slots_.data(), arena_, this);
    const cel::Plan& plan = type_.type->plan;
    cel::Plan::Truth truth = plan.test(rule_.when, type_.frame);
    std::string outcome = truth == cel::Plan::Truth::kTrue    ? matched_verdict()
                          : truth == cel::Plan::Truth::kError ? "error"
                                                              : "no match";
    bool expect_default = test_.expect == type_.type->ladder[0] && truth == cel::Plan::Truth::kFalse;
    bool expect_match = test_.expect == "match" && truth == cel::Plan::Truth::kTrue;
    if (!test_.expect.empty() && !expect_default && !expect_match && outcome != test_.expect) {
      std::string why = truth == cel::Plan::Truth::kError ? ": " + show(plan.eval(rule_.when, type_.frame)) : "";
      return "expected " + test_.expect + ", got " + outcome + why + " for `" + rule_.when_text + "`";
    }
    if (test_.has_expect_value) {
      Value value = rule_.value == cel::kNoNode ? Value::absent() : plan.eval(rule_.value, type_.frame);
      if (value.is_error() || value.is(Kind::kAbsent) || !event::equal(value, test_.expect_value)) {
        return "expected the value " + show(test_.expect_value) + ", got " + show(value);
      }
    }
    return {};
  }

  bool list_contains(int64_t list, Value value) const override {
    auto number = static_cast<size_t>(list);
    if (lists_[number]->contains(value, 0)) return true;
    for (const auto& [extended, entries] : test_.lists) {
      if (extended != number) continue;
      auto extra = state::List::make({}, lists_[number]->kind(), 10'000'000, lists_[number]->ignores_case());
      for (const std::string& entry : entries) (void)extra->add({entry, state::kNeverExpires, {}});
      if (extra->contains(value, 0)) return true;
    }
    return false;
  }
  Value labels_of(int64_t, Value value, base::Arena& arena) const override {
    std::vector<Value> names;
    for (const auto& [entity, labels] : test_.labels) {
      auto slot = std::find(type_.slot_names.begin(), type_.slot_names.end(), entity) - type_.slot_names.begin();
      if (static_cast<size_t>(slot) >= slots_.size() || !event::equal(slots_[static_cast<size_t>(slot)], value))
        continue;
      for (const std::string& name : labels) names.push_back(Value::string(name));
    }
    Value* copy = arena.allocate_array<Value>(names.size());
    std::copy(names.begin(), names.end(), copy);
    return Value::list({copy, names.size()});
  }

 private:
  void fill_slots() {
    const policy::EventType& type = *type_.type;
    slots_.assign(static_cast<size_t>(type.slot_count), Value::absent());
    for (size_t i = 0; i < type.schema.fields.size(); ++i) {
      if (type.schema.fields[i].fallback) slots_[i] = *type.schema.fields[i].fallback;
    }
    for (const policy::FeatureRead& read : type.reads) {
      auto empty = state::FeatureTable::make(policy_.features[read.feature].spec);
      Value value = empty->read(empty->find(0), 0, read.window, arena_);
      slots_[static_cast<size_t>(read.slot)] = event::deep_copy(value, arena_);
    }
    std::vector<std::pair<size_t, Value>> derived;
    for (const auto& [name, value] : test_.given) {
      auto at = std::find(type_.slot_names.begin(), type_.slot_names.end(), name);
      if (at == type_.slot_names.end()) continue;  // not read by any expression of this type
      auto slot = static_cast<size_t>(at - type_.slot_names.begin());
      slots_[slot] = value;
      if (slot >= type.schema.fields.size()) derived.emplace_back(slot, value);
    }
    event::Event event;
    event.schema = &type.schema;
    event.slots = slots_;
    event::derive(event, nullptr, arena_);
    for (auto [slot, value] : derived) slots_[slot] = value;
  }

  std::string matched_verdict() {
    const policy::EventType& type = *type_.type;
    int32_t verdict = std::max(rule_.verdict, 0);
    if (rule_.points != cel::kNoNode) {
      Value v = type.plan.eval(rule_.points, type_.frame);
      double points = v.is(Kind::kDouble) ? v.d : v.is(Kind::kInt) ? static_cast<double>(v.i) : 0;
      for (auto [limit, own] : type.thresholds) {
        if (points >= limit) verdict = std::max(verdict, own);
      }
    }
    bool has_verdict = rule_.verdict >= 0 || verdict > 0;
    return has_verdict ? type.ladder[static_cast<size_t>(verdict)] : "match";
  }

  const policy::Policy& policy_;
  ActiveType& type_;
  const policy::Rule& rule_;
  const policy::RuleTest& test_;
  std::span<const std::unique_ptr<state::List>> lists_;
  std::vector<Value> slots_;
  base::Arena arena_;
};

// A slip in a test's event would pass in silence if the engine's leniency held here, too.
std::string compare_dropped(const policy::PolicyTest::Step& step, const Decision& decision) {
  std::set<std::string> expected(step.expect_dropped.begin(), step.expect_dropped.end());
  for (const event::DroppedField& dropped : decision.dropped) {
    const std::string& name = decision.dropped_name(dropped);
    if (expected.erase(name) == 0) {
      return "field " + name + " is not read: " + std::string(dropped.why) + " (`dropped: [" + name +
             "]` under `expect` if that is meant)";
    }
  }
  return expected.empty() ? "" : "expected that field " + *expected.begin() + " is not read, and it is";
}

std::string compare_step(const policy::PolicyTest::Step& step, const Decision& decision) {
  if (std::string wrong = compare_dropped(step, decision); !wrong.empty()) return wrong;
  if (!step.expect_verdict.empty() && decision.verdict_name() != step.expect_verdict) {
    return "expected " + step.expect_verdict + ", got " + std::string(decision.verdict_name());
  }
  if (step.has_rules) {
    std::set<std::string> expected(step.expect_rules.begin(), step.expect_rules.end()), got;
    for (const Match& match : decision.matches) {
      if (match.acts) got.insert(decision.type->rules[match.rule].id);
    }
    if (expected != got)
      return "expected rules " + join({expected.begin(), expected.end()}) + ", got " + join({got.begin(), got.end()});
  }
  for (const auto& [name, value] : step.expect_features) {
    auto same = [&wanted = name](const auto& feature) { return feature.first == wanted; };
    auto found = std::find_if(decision.features.begin(), decision.features.end(), same);
    if (found == decision.features.end()) return "feature " + name + " is not read by this event type";
    if (found->second.is(Kind::kAbsent) || !event::equal(found->second, value)) {
      return "expected " + name + " = " + show(value) + ", got " + show(found->second);
    }
  }
  return {};
}

TestResult run_scenario(const std::shared_ptr<const policy::Policy>& policy, const policy::PolicyTest& test) {
  TestResult result{test.name, test.file, test.line, true, {}};
  Engine engine;
  engine.activate(policy);
  PreparedEvent prepared;
  for (size_t i = 0; i < test.steps.size() && result.passed; ++i) {
    const policy::PolicyTest::Step& step = test.steps[i];
    base::Status ready = prepared.prepare(policy, step.type, step.event_json, nullptr);
    std::string failure =
        ready ? compare_step(step, engine.decide(prepared, Engine::kNoReceiveTime)) : ready.error().message;
    if (failure.empty()) continue;
    result.passed = false;
    result.line = step.line;
    result.failure = "event " + std::to_string(i + 1) + ": " + failure;
  }
  return result;
}

}  // namespace

std::vector<TestResult> run_policy_tests(const std::shared_ptr<const policy::Policy>& policy) {
  std::vector<TestResult> results;
  auto prepared = Engine::build(policy, EngineOptions{});
  for (auto& type : prepared->types) {
    for (const policy::Rule& rule : type->type->rules) {
      for (size_t i = 0; i < rule.tests.size(); ++i) {
        const policy::RuleTest& test = rule.tests[i];
        TestResult result{"rule " + rule.id + " on " + type->type->schema.name + ", test " + std::to_string(i + 1),
                          test.file,
                          test.line,
                          false,
                          {}};
        result.failure = RuleTestRun(*policy, *type, rule, test, prepared->lists).run();
        result.passed = result.failure.empty();
        results.push_back(std::move(result));
      }
    }
  }
  for (const policy::PolicyTest& test : policy->tests) results.push_back(run_scenario(policy, test));
  return results;
}

}  // namespace tamis::engine
