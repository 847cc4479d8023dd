// A policy as written: what the YAML says, checked for shape but not yet for meaning. Every part keeps its node, so
// that the compiler can name the place of what it finds wrong. Nodes live as long as the documents that they came from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "event/schema.h"
#include "policy/diagnostics.h"
#include "policy/policy.h"
#include "policy/yaml.h"

namespace tamis::policy {

// A name that is declared or referred to. No node: absent.
struct Name {
  std::string text;
  const Node* node = nullptr;
  bool given() const { return node != nullptr; }
};

// CEL, or text with CEL in braces. `offset`: where `text` begins in the value of the scalar.
struct Expression {
  std::string text;
  const Node* node = nullptr;
  uint32_t offset = 0;
  bool given() const { return node != nullptr; }
};

struct Span {
  int64_t ms = 0;
  std::string text;
  const Node* node = nullptr;
};

struct FieldSource {
  Name name;
  event::Type type;
  event::Semantic semantic = event::Semantic::kNone;
  Name entity;                     // as written; or of the type `account` and `device`
  const Node* fallback = nullptr;  // `default:`
  bool required = false;
  std::optional<bool> token;
  std::optional<int32_t> keep_days;
  std::vector<std::string> path;
  std::string doc;
};

struct ThresholdSource {
  Name verdict;
  double points = 0;
};

// Also the defaults of all types, which a `policy:` document gives.
struct EventSource {
  Name name;
  const Node* node = nullptr;
  bool is_abstract = false;
  Name extends;
  std::vector<FieldSource> fields;
  std::optional<std::vector<std::string>> id_path, time_path;
  std::optional<event::TimeFormat> time_format;
  std::optional<int64_t> lateness_ms, unique_ms;
  std::optional<bool> strict;
  std::vector<Name> ladder;
  Name override_verdict;
  std::optional<std::vector<ThresholdSource>> thresholds;
  Expression score;
  std::optional<FailMode> overload;
  Name overload_verdict;
  std::vector<std::pair<Name, Expression>> shown;
  std::string doc;
};

struct DetectorSource {
  Name name;
  Name kind;                              // not given: the name
  std::vector<std::pair<Name, Name>> on;  // event type, part; empty: the types that have the names of parts
  std::vector<std::pair<Name, Expression>> inputs;
  std::vector<std::pair<Name, int64_t>> limits;
  Name model;  // a file of the policy's folder
  std::string doc;
};

struct FeatureSource {
  Name name;
  state::Aggregate aggregate = state::Aggregate::kCount;
  std::vector<Name> types;
  std::vector<Expression> by;
  bool each = false;  // the last of `by` is a list, each member of which makes a key
  Expression of, where, hit;
  std::vector<Span> windows;
  bool windows_are_a_list = false;
  bool include_self = false;
  std::optional<int64_t> lateness_ms;
  std::optional<int64_t> keys_max, k;
  std::optional<double> quantile;
  state::AtCap at_cap = state::AtCap::kEvictOldest;
  std::string doc;
};

struct ListSource {
  struct Entry {
    state::ListEntry entry;
    const Node* node = nullptr;
  };
  Name name;
  state::ListKind kind = state::ListKind::kString;
  bool ignore_case = false;
  std::vector<Entry> entries;
  Name file;
  bool managed = false;
  std::optional<int64_t> entries_max;
  std::string doc;
};

struct ModelSource {
  Name name;
  std::vector<Name> on;  // empty: every type
  std::vector<std::string> path;
  const Node* fallback = nullptr;
  std::string doc;
};

struct LabelSource {
  Expression on;
  Name kind;
  Name name;
  int64_t for_ms = kForever;
};
struct ListAddSource {
  Name list;
  Expression value;
  int64_t for_ms = kForever;
};
struct NotifySource {
  Name channel;
  Expression message;
};

struct RuleTestSource {
  const Node* node = nullptr;
  Name type;
  std::vector<std::pair<Name, const Node*>> given;
  std::vector<std::pair<Expression, std::vector<std::string>>> labels;
  std::vector<std::pair<Name, std::vector<Name>>> lists;
  Name expect;
  const Node* expect_value = nullptr;
};

struct RuleSource {
  Name id;
  const Node* node = nullptr;
  std::vector<Name> on;  // empty: every type
  std::vector<std::pair<Name, Expression>> lets;
  Expression when, value, points, reason;
  Name verdict;
  std::vector<LabelSource> labels;
  std::vector<ListAddSource> lists;
  std::vector<NotifySource> notify;
  Mode mode = Mode::kShadow;
  double canary_percent = 0;
  Expression canary_by;
  std::string owner, doc, say;
  std::vector<RuleTestSource> tests;
};

struct StepSource {
  const Node* node = nullptr;
  Name type;
  const Node* event = nullptr;  // a mapping, or the JSON as text
  int64_t times = 1;
  int64_t after_ms = 1000;
  Name verdict;
  bool has_rules = false;
  std::vector<Name> rules;
  std::vector<std::pair<Name, const Node*>> features;
  std::vector<Name> dropped;
};
struct TestSource {
  Name name;
  const Node* node = nullptr;
  std::vector<StepSource> steps;
};

struct PolicySource {
  Name name;
  std::optional<std::vector<std::string>> type_path;
  std::optional<int32_t> keep_days;
  std::optional<int32_t> raw_days;
  EventSource defaults;
  std::vector<EventSource> events;
  std::vector<FeatureSource> features;
  std::vector<std::string> broken_features;  // names of those of which not even the kind could be read
  std::vector<DetectorSource> detectors;
  std::vector<ListSource> lists;
  std::vector<ModelSource> models;
  std::vector<RuleSource> rules;
  std::vector<TestSource> tests;
};

// Adds what a document says to `policy`.
void read_document(const Node& document, PolicySource& policy, Diagnostics& diagnostics);

}  // namespace tamis::policy
