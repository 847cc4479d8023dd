// Diagnostics: collects what is wrong with a policy, many things at once, each at its place.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.h"
#include "policy/yaml.h"

namespace tamis::policy {

class Diagnostics {
 public:
  static constexpr size_t kMax = 100;  // of errors, and of warnings; one more line says that there are more

  // At a node as a whole (of a map or list: at its beginning).
  void error(const Node& node, std::string message, std::string hint = {});
  void warning(const Node& node, std::string message, std::string hint = {});
  // At bytes [begin, end) of a scalar's value.
  void error_in(const Node& scalar, uint32_t begin, uint32_t end, std::string message, std::string hint = {});
  void warning_in(const Node& scalar, uint32_t begin, uint32_t end, std::string message, std::string hint = {});
  // At bytes [begin, end) of a file.
  void error_at(const SourceText& source, uint32_t begin, uint32_t end, std::string message, std::string hint = {});
  // About a file, or the policy, as a whole.
  void error_file(std::string file, std::string message, std::string hint = {});

  bool has_errors() const { return errors_ > 0; }
  size_t errors() const { return errors_; }
  // Sorted by file, line, column.
  std::vector<Diagnostic> take();

 private:
  void add(Diagnostic::Severity severity, const SourceText& source, uint32_t begin, uint32_t end, std::string message,
           std::string hint);
  void add(Diagnostic diagnostic);

  std::vector<Diagnostic> list_;
  std::set<std::string> seen_;  // a rule for several event types says the same thing only once
  size_t errors_ = 0, warnings_ = 0;
};

// "did you mean `x`?" for the nearest candidate, or empty.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);
// "one of `a`, `b` and `c`"; long ones are cut.
std::string one_of(const std::vector<std::string>& names);
// "`name`", made fit for a message: control characters and length are cut.
std::string quoted(std::string_view name);

}  // namespace tamis::policy
