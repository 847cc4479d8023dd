// Searches as rules: an expression is checked by the compiler of policies, and what it says is put in the expression's
// own places.
#include <algorithm>

#include "replay/find.h"

namespace tamis::replay {

using policy::Diagnostic;

namespace {

constexpr size_t kExpressionBytesMax = 64 * 1024;
constexpr std::string_view kIndent = "      ";

class SearchCompiler {
 public:
  SearchCompiler(const std::vector<policy::SourceFile>& files, std::string_view expression)
      : files_(files), expression_(expression) {
    for (int i = 0; is_file(file_ = "expression" + (i == 0 ? "" : std::to_string(i)) + ".yaml"); ++i) {
    }
    for (int i = 0; is_word(rule_ = "search" + (i == 0 ? "" : std::to_string(i))); ++i) {
    }
  }

  // With the search on these event types; empty: on all.
  Search compile(const std::vector<std::string>& types) {
    std::string yaml = "rules:\n  - id: " + rule_ + "\n    mode: shadow\n";
    uint32_t line = 4;
    if (!types.empty()) {
      yaml += "    on: [";
      for (const std::string& type : types) yaml += (&type == &types[0] ? "" : ", ") + quoted(type);
      yaml += "]\n";
      ++line;
    }
    yaml += "    when: |2-\n" + std::string(kIndent);
    for (char c : expression_) yaml += c == '\n' ? "\n" + std::string(kIndent) : std::string(1, c);
    yaml += "\n";
    std::vector<policy::SourceFile> files = files_;
    files.push_back({file_, yaml});
    policy::Loaded loaded = policy::load_files(files);
    Search search;
    search.policy = loaded.policy;
    search.rule = rule_;
    search.types = types;
    for (Diagnostic& d : loaded.diagnostics) {
      bool ours = d.file == file_;
      if (ours) place(d, line);
      if (ours || d.severity == Diagnostic::Severity::kError) search.diagnostics.push_back(std::move(d));
    }
    if (types.empty() && search.policy != nullptr) {
      for (const policy::EventType& type : search.policy->types) search.types.push_back(type.schema.name);
    }
    return search;
  }

 private:
  bool is_file(const std::string& name) const {
    return std::any_of(files_.begin(), files_.end(), [&](const auto& file) { return file.name == name; });
  }
  bool is_word(const std::string& word) const {
    return std::any_of(files_.begin(), files_.end(),
                       [&](const auto& file) { return file.text.find(word) != std::string::npos; });
  }
  static std::string quoted(const std::string& name) {
    std::string out = "'";
    for (char c : name) out += c == '\'' ? "''" : std::string(1, c);
    return out + "'";
  }

  // From the place in the file, whose line `when_line` says `when:`, to that in the expression.
  void place(Diagnostic& d, uint32_t when_line) const {
    d.file.clear();
    if (d.line > when_line) {
      d.line -= when_line;
      d.column = d.column > kIndent.size() ? d.column - static_cast<uint32_t>(kIndent.size()) : 1;
      if (d.source_line.starts_with(kIndent)) d.source_line.erase(0, kIndent.size());
      return;
    }
    d.line = d.column = 1;
    d.source_line = std::string(expression_.substr(0, expression_.find('\n')));
  }

  const std::vector<policy::SourceFile>& files_;
  std::string_view expression_;
  std::string file_, rule_;
};

Diagnostic refusal(std::string message) {
  Diagnostic d;
  d.line = d.column = 1;
  d.message = std::move(message);
  return d;
}

}  // namespace

Search compile_search(const std::vector<policy::SourceFile>& files, std::string_view expression,
                      const std::vector<std::string>& types) {
  Search refused;
  if (expression.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    refused.diagnostics.push_back(refusal("the expression is empty"));
    return refused;
  }
  if (expression.size() > kExpressionBytesMax) {
    refused.diagnostics.push_back(refusal("an expression of more than 64 KiB"));
    return refused;
  }
  SearchCompiler compiler(files, expression);
  if (!types.empty()) return compiler.compile(types);
  Search all = compiler.compile({});
  if (all.policy != nullptr) return all;
  policy::Loaded alone = policy::load_files(files);
  if (alone.policy == nullptr || alone.policy->types.size() < 2) return all;
  std::vector<std::string> good;
  for (const policy::EventType& type : alone.policy->types) {
    if (compiler.compile({type.schema.name}).policy != nullptr) good.push_back(type.schema.name);
  }
  return good.empty() ? all : compiler.compile(good);
}

}  // namespace tamis::replay
