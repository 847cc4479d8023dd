// Reading mappings of known shape: used by the read_*.cc files, which turn YAML nodes into policy/source.h.
#pragma once

#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/source.h"

namespace tamis::policy {

// A mapping with a known set of keys. Says at once which keys are unknown; each getter says what is wrong with a value
// and then acts as if the key were absent.
class MapReader {
 public:
  // `what` names it in messages: "a rule", "feature `x`".
  MapReader(const Node& node, std::string what, std::vector<std::string> keys, Diagnostics& diagnostics);

  bool ok() const { return ok_; }  // it is a mapping
  const Node& node() const { return node_; }
  const Node* get(std::string_view key) const;  // null too where nothing stands after the key, which is an error
  bool has(std::string_view key) const { return ok_ && node_.find(key) != nullptr; }

  std::optional<std::string> text(std::string_view key) const;
  Name name(std::string_view key) const;                // text
  std::vector<Name> names(std::string_view key) const;  // one or a list
  Expression expression(std::string_view key) const;
  std::vector<Expression> expressions(std::string_view key) const;  // one or a list
  std::optional<bool> flag(std::string_view key) const;
  std::optional<double> number(std::string_view key, double least, double most) const;
  std::optional<int64_t> integer(std::string_view key, int64_t least, int64_t most) const;
  std::optional<int64_t> span_ms(std::string_view key, int64_t least_ms, int64_t most_ms) const;
  // The position of the text among `choices`.
  std::optional<size_t> choice(std::string_view key, const std::vector<std::string>& choices) const;
  // `a.b` or [a, b]; also {at: ...} when `wrapped`.
  std::optional<std::vector<std::string>> path(std::string_view key) const;
  void missing(std::string_view key, std::string_view why = {}) const;

  Diagnostics& diagnostics() const { return diagnostics_; }

 private:
  const Node& node_;
  std::string what_;
  Diagnostics& diagnostics_;
  bool ok_ = false;
};

std::optional<Name> read_name(const Node& node, std::string_view what, Diagnostics& diagnostics);
std::optional<Expression> read_expression(const Node& node, std::string_view what, Diagnostics& diagnostics);
std::optional<Span> read_span(const Node& node, int64_t least_ms, int64_t most_ms, Diagnostics& diagnostics);
std::optional<std::vector<std::string>> read_path(const Node& node, Diagnostics& diagnostics);

bool parse_number(std::string_view text, double& out);  // of YAML, or NaN, Infinity
bool parse_integer(std::string_view text, int64_t& out);

// [a-zA-Z_][a-zA-Z0-9_]*, at most 64 bytes, and no word of CEL. Says what is wrong, at the name.
bool check_identifier(const Name& name, std::string_view what, Diagnostics& diagnostics);

constexpr int64_t kSecondMs = 1000, kDayMs = 86'400'000;
constexpr int64_t kAlwaysMs = 36'525 * kDayMs;  // a hundred years: the longest span of time

void read_event(const Node& node, PolicySource& policy, Diagnostics& diagnostics);
void read_policy(const Node& node, PolicySource& policy, Diagnostics& diagnostics);
void read_features(const Node& node, PolicySource& policy, Diagnostics& diagnostics);
void read_detectors(const Node& node, PolicySource& policy, Diagnostics& diagnostics);
void read_lists(const Node& node, PolicySource& policy, Diagnostics& diagnostics);
void read_models(const Node& node, PolicySource& policy, Diagnostics& diagnostics);
void read_rules(const Node& node, PolicySource& policy, Diagnostics& diagnostics);
void read_tests(const Node& node, PolicySource& policy, Diagnostics& diagnostics);

}  // namespace tamis::policy
