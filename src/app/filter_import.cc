#include "app/filter_import.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "app/mail_setup.h"
#include "base/assert.h"
#include "state/list.h"

#include <fmt/format.h>

namespace tamis::app {
namespace filter_import {
namespace {

bool is_name_byte(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

}  // namespace

std::string cel_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

base::Result<std::string> cel_pattern(std::string_view pattern, std::string_view modifiers) {
  std::string flags, out;
  for (const char c : modifiers) {
    if (c == 'i' || c == 's' || c == 'm') {
      flags += c;
    } else if (c != 'o' && c != 'a' && c != 'u' && c != 'g') {
      return base::invalid(fmt::format("the modifier {} of its expression", c));
    }
  }
  if (!flags.empty()) out = "(?" + flags + ")";
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const std::string_view rest = pattern.substr(i);
    if ((c & 0x80) != 0) return base::invalid("bytes beyond ASCII in its expression, whose charset is not known");
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if ((next >= '1' && next <= '9') || next == 'k' || next == 'g') return base::invalid("a back reference");
      if (std::string_view("hHRXZGKNV").find(next) != std::string_view::npos) {
        return base::invalid(fmt::format("\\{} in its expression", next));
      }
      const bool plain = next == '/' || next == '#' || next == '@' || next == '"' || next == '\'' || next == '%' ||
                         next == '&' || next == '~' || next == '=' || next == ':' || next == ';' || next == ',' ||
                         next == '<' || next == '>' || next == '!' || next == '`' || next == ' ' || next == '_';
      if (!plain) out += '\\';
      out += next;
      continue;
    }
    if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += "\\]", ++i;
      continue;
    } else if (rest.starts_with("(?=") || rest.starts_with("(?!") || rest.starts_with("(?<=") ||
               rest.starts_with("(?<!")) {
      return base::invalid("a look ahead or behind, which RE2 does not have");
    } else if (rest.starts_with("(?>") || rest.starts_with("(?|") || rest.starts_with("(?(")) {
      return base::invalid("an atomic or conditional group, which RE2 does not have");
    } else if (c == '+' && i > 0 &&
               (pattern[i - 1] == '+' || pattern[i - 1] == '*' || pattern[i - 1] == '?' || pattern[i - 1] == '}')) {
      return base::invalid("a possessive quantifier, which RE2 does not have");
    }
    out += c;
  }
  return cel_string(out);
}

std::string pattern_of_glob(std::string_view glob) {
  std::string out = "^";
  for (const char c : glob) {
    if (c == '*') {
      out += ".*";
    } else if (c == '?') {
      out += '.';
    } else {
      if (!is_name_byte(c)) out += '\\';
      out += c;
    }
  }
  return out + "$";
}

base::Result<std::string> cel_of_names(std::string_view text, const std::map<std::string, std::string>& known) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++i;
    } else if (c == '(' || c == ')' || c == '!') {
      if (c == '!' && text.substr(i, 2) == "!=") return base::invalid("it counts or compares");
      out += c;
      ++i;
    } else if (c == '&' || c == '|') {
      out += c == '&' ? " && " : " || ";
      i += text.substr(i, 2) == std::string(2, c) ? 2 : 1;
    } else if (is_name_byte(c) && std::isdigit(static_cast<unsigned char>(c)) == 0) {
      size_t end = i;
      while (end < text.size() && is_name_byte(text[end])) ++end;
      const std::string name(text.substr(i, end - i));
      i = end;
      if (name == "and" || name == "or" || name == "not") {
        out += name == "and" ? " && " : name == "or" ? " || " : "!";
        continue;
      }
      const auto found = known.find(name);
      if (found == known.end()) return base::invalid(name + " did not translate");
      out += "(" + found->second + ")";
    } else {
      return base::invalid("it counts or compares, and only what joins rules by and, or, not translates");
    }
    if (out.size() > 4'000) return base::invalid("it became too long");
  }
  if (out.empty()) return base::invalid("it names nothing");
  return out;
}

std::string id_of(std::string_view prefix, std::string_view name) {
  std::string out(prefix);
  for (const char c : name) {
    const char low = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    out += std::isalnum(static_cast<unsigned char>(low)) != 0 ? low : '-';
  }
  return out.substr(0, 60);
}

}  // namespace filter_import

namespace {

std::string yaml_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) {
      out += ' ';
    } else {
      out += c;
      if (c == '\'') out += c;
    }
  }
  return out + "'";
}

// A reason is a template: braces would be expressions.
std::string plain_reason(std::string text) {
  for (char& c : text) {
    if (c == '{' || c == '}') c = ' ';
  }
  return text;
}

struct Written {
  policy::SourceFile file;
  std::vector<uint32_t> line_of_rule;  // where each begins
};

Written write_rules(const ImportedFilter& in) {
  Written out;
  out.file.name = "imported_rules.yaml";
  std::string& text = out.file.text;
  text = "# Brought over by `tamis import " + in.from + "`; each says where it came from.\nrules:\n";
  uint32_t line = 3;
  std::set<std::string> used;
  for (const ImportedRule& rule : in.rules) {
    std::string id = rule.id;
    for (int number = 2; !used.insert(id).second; ++number) id = fmt::format("{}-{}", rule.id, number);
    out.line_of_rule.push_back(line);
    const std::string then = rule.verdict.empty() ? fmt::format("{{points: {:.2f}}}", rule.score * 6 / in.threshold)
                                                  : "{verdict: " + rule.verdict + "}";
    text += fmt::format("  - id: {}\n    on: mail\n    when: {}\n    then: {}\n    reason: {}\n    mode: live\n", id,
                        yaml_text(rule.when), then, yaml_text(plain_reason(rule.doc.empty() ? rule.name : rule.doc)));
    text += fmt::format("    owner: mail\n    doc: {}\n", yaml_text(rule.name + " of " + rule.where));
    if (!rule.say.empty()) text += fmt::format("    say: {}\n", yaml_text(plain_reason(rule.say)));
    line += rule.say.empty() ? 8 : 9;
  }
  return out;
}

void write_lists(const ImportedFilter& in, std::vector<policy::SourceFile>& files) {
  std::string text;
  for (const auto& [name, list] : in.own_lists) {
    const std::string file = "imported/" + name + ".txt";
    text += fmt::format("  {}: {{kind: {}, file: {}, managed: true, doc: {}}}\n", name, list.kind, file,
                        yaml_text(list.doc));
    policy::SourceFile entries{file, ""};
    for (const std::string& entry : list.entries) entries.text += entry + "\n";
    files.push_back(std::move(entries));
  }
  if (!text.empty()) files.push_back({"imported_lists.yaml", "lists:\n" + text});
  // Lists of the ready policy get a file each.
  for (const auto& [name, values] : in.entries) {
    const std::string file = "imported/" + name + ".txt";
    for (policy::SourceFile& of : files) {
      const std::string mark = "  " + name + ": {kind: ";
      const size_t at = of.name == "lists.yaml" ? of.text.find(mark) : std::string::npos;
      if (at == std::string::npos) continue;
      of.text.insert(of.text.find(',', at), ", file: " + file);
    }
    policy::SourceFile entries{file, ""};
    for (const std::string& value : values) entries.text += value + "\n";
    files.push_back(std::move(entries));
  }
}

void write_thresholds(ImportedFilter& in, std::vector<policy::SourceFile>& files) {
  if (in.reject <= 0) return;
  const double reject = in.reject * 6 / in.threshold;
  constexpr std::string_view kOurs = "reject: 15}";
  if (reject <= 10) {
    in.reject = 0;  // said once
    in.left_behind.push_back({in.from, fmt::format("reject at {:g}", reject * in.threshold / 6),
                              "it lies below where Tamis quarantines; change thresholds: of events.yaml by hand"});
    return;
  }
  for (policy::SourceFile& file : files) {
    const size_t at = file.name == "events.yaml" ? file.text.find(kOurs) : std::string::npos;
    if (at != std::string::npos) file.text.replace(at, kOurs.size(), fmt::format("reject: {:.2f}}}", reject));
  }
}

}  // namespace

namespace {

state::ListKind kind_of(const std::string& name) {
  constexpr std::string_view kNames[] = {"string", "int", "network", "regex", "domain"};
  const auto* found = std::find(std::begin(kNames), std::end(kNames), name);
  TAMIS_ASSERT(found != std::end(kNames));
  return static_cast<state::ListKind>(found - std::begin(kNames));
}

// Entries that a file of the policy cannot hold, or that their list refuses, stay behind.
void keep_good(ImportedFilter& imported, const std::string& name, state::ListKind kind,
               std::vector<std::string>& values) {
  const auto proof = state::List::make(name, kind);
  std::erase_if(values, [&](const std::string& value) {
    const bool is_plain =
        !value.empty() && value.size() < 512 && value[0] != '#' &&
        std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < 0x7f && c != '`'; });
    if (!is_plain) {
      imported.left_behind.push_back({imported.from, "an entry of " + name, "it is no plain value"});
      return true;
    }
    const base::Status added = proof->add({value});
    if (!added) imported.left_behind.push_back({imported.from, name + ": " + value, added.error().message});
    return !added;
  });
}

}  // namespace

base::Result<std::vector<policy::SourceFile>> policy_of(ImportedFilter& imported) {
  for (auto& [name, list] : imported.own_lists) keep_good(imported, name, kind_of(list.kind), list.entries);
  const policy::Loaded ready = policy::load_files(ready_mail_policy());
  TAMIS_ASSERT(ready.policy != nullptr);
  for (auto& [name, values] : imported.entries) {
    const auto of = std::find_if(ready.policy->lists.begin(), ready.policy->lists.end(),
                                 [&list = name](const policy::ListDecl& decl) { return decl.name == list; });
    TAMIS_ASSERT(of != ready.policy->lists.end());
    keep_good(imported, name, of->kind, values);
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
  }
  // What the check refuses stays behind, with its reason; each round removes at least one.
  while (true) {
    std::vector<policy::SourceFile> files = ready_mail_policy();
    write_lists(imported, files);
    write_thresholds(imported, files);
    const Written rules = write_rules(imported);
    if (!imported.rules.empty()) files.push_back(rules.file);
    const policy::Loaded loaded = policy::load_files(files);
    std::set<size_t, std::greater<>> refused;
    std::string first;
    for (const policy::Diagnostic& said : loaded.diagnostics) {
      if (said.severity != policy::Diagnostic::Severity::kError) continue;
      if (first.empty()) first = fmt::format("{}:{}: {}", said.file, said.line, said.message);
      if (said.file != rules.file.name) continue;
      const auto& lines = rules.line_of_rule;
      const auto behind = std::upper_bound(lines.begin(), lines.end(), said.line);
      if (behind == lines.begin()) continue;
      const auto index = static_cast<size_t>(behind - lines.begin() - 1);
      if (!refused.insert(index).second) continue;
      const ImportedRule& rule = imported.rules[index];
      imported.left_behind.push_back({rule.where, rule.name, said.message});
    }
    if (loaded.policy != nullptr) return files;
    if (refused.empty()) return base::invalid("what was brought over makes no policy: " + first);
    for (const size_t index : refused) imported.rules.erase(imported.rules.begin() + static_cast<ptrdiff_t>(index));
  }
}

}  // namespace tamis::app
