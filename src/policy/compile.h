// The compiler: from a policy as written to one whose every name is a number. Private to the room; load_files() runs
// it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "policy/expression.h"
#include "policy/policy.h"
#include "policy/source.h"

namespace tamis::policy {

// Files that the policy names, from its folder or from what came with it. Null: there are none.
class NamedFiles {
 public:
  virtual ~NamedFiles() = default;
  virtual base::Result<std::vector<state::ListEntry>> list(const std::string& name) = 0;
  virtual base::Result<std::string_view> text(const std::string& name, uint64_t bytes_max) = 0;
};

class Compiler {
 public:
  Compiler(const PolicySource& source, Diagnostics& diagnostics, NamedFiles* files);

  // Null if there are errors. `version` is what the policy will be known by; the contents of list files are added.
  std::shared_ptr<const Policy> run(uint64_t version);

 private:
  // One event type in the making.
  struct Draft {
    EventSource source;  // with what it inherits
    EventType type;
    Scope scope;
    std::vector<const RuleSource*> rules;
    cel::PlanBuilder builder;
    int32_t next_let_slot = 0;
  };
  // A feature as checked against the event types that feed it, and those that can read it.
  struct Feature {
    const FeatureSource* source = nullptr;
    std::vector<size_t> feeds;                      // positions in drafts_
    std::vector<event::Type> by;                    // types of the parts of the key
    event::Type value;                              // of the variable
    std::map<std::string, std::string> unreadable;  // event type -> why
    bool good = false;
    bool is_read = false;
  };

  // A detector, by draft: the part that the type plays and what stands for its inputs.
  struct Detector {
    const DetectorSource* source = nullptr;
    const DetectorKindInfo* info = nullptr;  // null: it is in error itself
    std::vector<std::optional<DetectorPart>> part;
    std::map<std::pair<size_t, DetectorInput>, Expression> inputs;
    bool is_read = false;
  };

  // compile.cc
  void add_entity_kinds();
  void add_lists();
  static std::string fault_of(state::List& proof, const state::ListEntry& entry);
  void check_entries(const ListSource& list, state::List& proof, ListDecl& out);
  NameProblem explain(const Scope& scope, std::string_view name) const;
  NameProblem explain_in(std::string_view name, std::string_view kind, const std::vector<std::string>& known) const;
  void warn_of_unused();
  template <class Sources>
  void check_unique(const Sources& sources, std::string_view what);
  void check_names();

  // compile_types.cc
  void add_types();
  bool resolve(const EventSource& event, std::vector<const EventSource*>& chain, EventSource& out);
  void fill_schema(Draft& draft);
  void fill_verdicts(Draft& draft);
  void fill_scope(Draft& draft);
  void add_models(Draft& draft);
  void assign_slots(Draft& draft);
  void compile_type(Draft& draft);
  void collect_reads(Draft& draft);
  void fill_entities(Draft& draft);
  Draft* find_draft(const Name& name);
  std::vector<std::string> type_names() const;

  // compile_features.cc
  void add_features();
  bool check_feature(Feature& feature, FeatureDecl& out);
  bool check_feeds(Feature& feature, FeatureDecl& out);
  bool check_feed(Feature& feature, Draft& draft, const cel::Env& env, event::Type& of, bool first);
  bool check_value_type(const FeatureSource& source, const event::Type& of, FeatureDecl& out, event::Type& value);
  void name_variables(Feature& feature, FeatureDecl& out);
  void offer_feature(uint32_t number);
  bool can_read(const Feature& feature, Draft& draft, const cel::Env& env, std::string& why) const;
  uint64_t fingerprint(const Feature& feature, const FeatureDecl& decl) const;
  void warn_of_retention(const Feature& feature, Draft& draft);
  void compile_features(Draft& draft, const cel::Env& env);

  // compile_detectors.cc
  void add_detectors();
  void check_name(const Name& name);
  void fill_limits(Detector& detector, DetectorDecl& out);
  void read_model(const Detector& detector, DetectorDecl& out);
  void find_feeds(Detector& detector);
  std::optional<Expression> input_of(const Detector& detector, DetectorInput input, const Draft& draft) const;
  void check_inputs(Detector& detector);
  void check_input(Detector& detector, DetectorInput input);
  void offer_detectors();
  std::optional<NameProblem> explain_output(const Scope& scope, std::string_view name) const;
  void mark_inputs(Draft& draft);
  void mark_explaining(Draft& draft);
  void compile_detectors(Draft& draft, const cel::Env& env);
  void mark_shown(Draft& draft);
  void compile_shown(Draft& draft);

  // compile_rules.cc
  void check_rules();
  void mark_rule(const RuleSource& rule, Scope& scope);
  void compile_rule(const RuleSource& source, Draft& draft, const cel::Env& env);
  cel::Env add_lets(const RuleSource& source, Draft& draft, const cel::Env& env, Scope& scope);
  void compile_effects(const RuleSource& source, Draft& draft, const Scope& scope, const cel::Env& env, Rule& out);
  void compile_label(const LabelSource& source, Draft& draft, const Scope& scope, const cel::Env& env, Rule& out);
  void compile_list_add(const ListAddSource& source, Draft& draft, const Scope& scope, const cel::Env& env, Rule& out);
  void compile_canary(const RuleSource& source, Draft& draft, const Scope& scope, const cel::Env& env, Rule& out);
  void warn_of_constant(const RuleSource& source, const EventType& type, const Rule& rule);
  cel::NodeId add(const Expression& expression, Draft& draft, const Scope& scope, const cel::Env& env, Expect expect,
                  std::string_view what);

  // compile_tests.cc
  void add_rule_tests();
  void add_rule_test(const RuleSource& rule, const RuleTestSource& test, const std::vector<Draft*>& on);
  Draft* type_of_test(const RuleSource& rule, const RuleTestSource& test, const std::vector<Draft*>& on);
  void read_given(const RuleTestSource& test, Draft& draft, RuleTest& out);
  void read_given_labels(const RuleTestSource& test, Draft& draft, RuleTest& out);
  void read_given_lists(const RuleTestSource& test, RuleTest& out);
  void read_expected(const RuleTestSource& test, const Draft& draft, const Rule& rule, RuleTest& out);
  bool gives_known_names(const RuleTestSource& test, Draft& draft) const;
  void add_policy_tests();
  void add_step(const StepSource& source, PolicyTest& test, int64_t& time_ms, size_t& number);
  std::string step_json(const StepSource& source, const Draft& draft, int64_t time_ms, size_t number, size_t n) const;
  void check_event_keys(const Node& event, const Draft& draft);

  const PolicySource& source_;
  Diagnostics& diagnostics_;
  NamedFiles* files_;
  Expressions expressions_;
  std::shared_ptr<Policy> policy_;
  std::vector<std::unique_ptr<Draft>> drafts_;
  std::vector<Feature> features_;
  std::vector<Detector> detectors_;
  bool checking_features_ = false;
  std::vector<cel::Env> feature_envs_;  // of each draft, for what features look at
  std::map<std::string, uint32_t> list_numbers_;
  std::set<std::string> lists_used_;
  uint64_t version_ = 0;
  size_t steps_ = 0, step_bytes_ = 0;  // of policy tests
};

}  // namespace tamis::policy
