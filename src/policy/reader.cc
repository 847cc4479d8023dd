#include "policy/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/text.h"

namespace tamis::policy {

MapReader::MapReader(const Node& node, std::string what, std::vector<std::string> keys, Diagnostics& diagnostics)
    : node_(node), what_(std::move(what)), diagnostics_(diagnostics), ok_(node.is_map()) {
  if (!ok_) {
    diagnostics_.error(node, fmt::format("{} is a mapping, not {}", what_, kind_name(node)));
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) {
    const std::string& key = node.key(i).text;
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    static const std::vector<std::string> kDocuments = {"event", "policy", "features", "lists", "models", "rules"};
    std::string hint = did_you_mean(key, keys);
    if (std::find(kDocuments.begin(), kDocuments.end(), key) != kDocuments.end()) {
      hint = fmt::format("{} begins a document of its own: put a line `---` before it", quoted(key));
    }
    if (hint.empty()) hint = fmt::format("known keys: {}", one_of(keys));
    diagnostics_.error(node.key(i), fmt::format("{} has no key {}", what_, quoted(key)), hint);
  }
}

const Node* MapReader::get(std::string_view key) const {
  if (!ok_) return nullptr;
  const Node* value = node_.find(key);
  if (value == nullptr) return nullptr;
  if (value->is_null()) {
    for (size_t i = 0; i < node_.entries(); ++i) {
      if (node_.key(i).text == key) diagnostics_.error(node_.key(i), fmt::format("{} needs a value", quoted(key)));
    }
    return nullptr;
  }
  return value;
}

void MapReader::missing(std::string_view key, std::string_view why) const {
  if (!ok_ || has(key)) return;
  diagnostics_.error(node_, fmt::format("{} needs {}{}", what_, quoted(key), why));
}

std::optional<std::string> MapReader::text(std::string_view key) const {
  const Node* value = get(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_scalar()) return value->text;
  diagnostics_.error(*value, fmt::format("{} is text, not {}", quoted(key), kind_name(*value)));
  return std::nullopt;
}

std::optional<Name> read_name(const Node& node, std::string_view what, Diagnostics& diagnostics) {
  if (node.is_scalar() && !node.text.empty()) return Name{node.text, &node};
  diagnostics.error(node, fmt::format("{} is a name, not {}", what, node.is_scalar() ? "empty" : kind_name(node)));
  return std::nullopt;
}

Name MapReader::name(std::string_view key) const {
  const Node* value = get(key);
  if (value == nullptr) return {};
  return read_name(*value, quoted(key), diagnostics_).value_or(Name{});
}

std::vector<Name> MapReader::names(std::string_view key) const {
  std::vector<Name> out;
  const Node* value = get(key);
  if (value == nullptr) return out;
  if (!value->is_sequence()) {
    if (auto one = read_name(*value, quoted(key), diagnostics_)) out.push_back(*one);
    return out;
  }
  if (value->items.empty()) diagnostics_.error(*value, fmt::format("{} names nothing", quoted(key)));
  for (const Node& item : value->items) {
    auto one = read_name(item, fmt::format("each of {}", quoted(key)), diagnostics_);
    if (!one) continue;
    bool repeated = std::any_of(out.begin(), out.end(), [&](const Name& n) { return n.text == one->text; });
    if (repeated) diagnostics_.error(item, fmt::format("{} stands in {} twice", quoted(one->text), quoted(key)));
    if (!repeated) out.push_back(*one);
  }
  return out;
}

std::optional<Expression> read_expression(const Node& node, std::string_view what, Diagnostics& diagnostics) {
  if (node.is_scalar()) {
    if (node.text.find_first_not_of(" \t\r\n") != std::string::npos) return Expression{node.text, &node, 0};
    diagnostics.error(node, fmt::format("{} is an expression, and this is empty", what));
    return std::nullopt;
  }
  std::string hint =
      node.is_map() || node.is_sequence() ? "an expression that begins with a brace or bracket goes in quotes" : "";
  diagnostics.error(node, fmt::format("{} is an expression, not {}", what, kind_name(node)), hint);
  return std::nullopt;
}

Expression MapReader::expression(std::string_view key) const {
  const Node* value = get(key);
  if (value == nullptr) return {};
  return read_expression(*value, quoted(key), diagnostics_).value_or(Expression{});
}

std::vector<Expression> MapReader::expressions(std::string_view key) const {
  std::vector<Expression> out;
  const Node* value = get(key);
  if (value == nullptr) return out;
  if (!value->is_sequence()) {
    if (auto one = read_expression(*value, quoted(key), diagnostics_)) out.push_back(*one);
    return out;
  }
  for (const Node& item : value->items) {
    if (auto one = read_expression(item, fmt::format("each of {}", quoted(key)), diagnostics_)) out.push_back(*one);
  }
  return out;
}

std::optional<bool> MapReader::flag(std::string_view key) const {
  const Node* value = get(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_plain() && value->text == "true") return true;
  if (value->is_plain() && value->text == "false") return false;
  diagnostics_.error(*value, fmt::format("{} is `true` or `false`", quoted(key)));
  return std::nullopt;
}

bool parse_number(std::string_view text, double& out) {
  if (text == ".inf" || text == "Infinity") return out = std::numeric_limits<double>::infinity(), true;
  if (text == "-.inf" || text == "-Infinity") return out = -std::numeric_limits<double>::infinity(), true;
  if (text == ".nan" || text == "NaN") return out = std::numeric_limits<double>::quiet_NaN(), true;
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text[0])) ||
      (text[0] == '-' && text.size() > 1 && std::isalpha(static_cast<unsigned char>(text[1])))) {
    return false;
  }
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_integer(std::string_view text, int64_t& out) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<double> MapReader::number(std::string_view key, double least, double most) const {
  const Node* value = get(key);
  if (value == nullptr) return std::nullopt;
  double number = 0;
  if (value->is_plain() && parse_number(value->text, number) && number >= least && number <= most) return number;
  diagnostics_.error(*value, fmt::format("{} is a number from {} to {}", quoted(key), least, most));
  return std::nullopt;
}

std::optional<int64_t> MapReader::integer(std::string_view key, int64_t least, int64_t most) const {
  const Node* value = get(key);
  if (value == nullptr) return std::nullopt;
  int64_t number = 0;
  if (value->is_plain() && parse_integer(value->text, number) && number >= least && number <= most) return number;
  diagnostics_.error(*value, fmt::format("{} is a whole number from {} to {}", quoted(key), least, most));
  return std::nullopt;
}

std::optional<Span> read_span(const Node& node, int64_t least_ms, int64_t most_ms, Diagnostics& diagnostics) {
  if (!node.is_scalar()) {
    diagnostics.error(node, fmt::format("a span of time is text like `90d` or `1h30m`, not {}", kind_name(node)));
    return std::nullopt;
  }
  auto ms = base::parse_duration_ms(node.text);
  if (!ms) {
    diagnostics.error(node, ms.error().message);
    return std::nullopt;
  }
  if (*ms < least_ms || *ms > most_ms) {
    diagnostics.error(node, fmt::format("{} is not between {} and {}", quoted(node.text),
                                        base::format_duration_ms(least_ms), base::format_duration_ms(most_ms)));
    return std::nullopt;
  }
  return Span{*ms, node.text, &node};
}

std::optional<int64_t> MapReader::span_ms(std::string_view key, int64_t least_ms, int64_t most_ms) const {
  const Node* value = get(key);
  if (value == nullptr) return std::nullopt;
  auto span = read_span(*value, least_ms, most_ms, diagnostics_);
  return span ? std::optional(span->ms) : std::nullopt;
}

std::optional<size_t> MapReader::choice(std::string_view key, const std::vector<std::string>& choices) const {
  const Node* value = get(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_scalar()) {
    auto it = std::find(choices.begin(), choices.end(), value->text);
    if (it != choices.end()) return it - choices.begin();
    diagnostics_.error(*value, fmt::format("{} is {}, not {}", quoted(key), one_of(choices), quoted(value->text)),
                       did_you_mean(value->text, choices));
  } else {
    diagnostics_.error(*value, fmt::format("{} is {}, not {}", quoted(key), one_of(choices), kind_name(*value)));
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> read_path(const Node& node, Diagnostics& diagnostics) {
  std::vector<std::string> path;
  bool good = true;
  if (node.is_scalar()) {
    std::string_view rest = node.text;
    for (;;) {
      size_t dot = rest.find('.');
      path.emplace_back(rest.substr(0, dot));
      if (dot == std::string_view::npos) break;
      rest.remove_prefix(dot + 1);
    }
  } else if (node.is_sequence()) {
    for (const Node& item : node.items) {
      good = good && item.is_scalar();
      path.push_back(item.text);
    }
  } else {
    good = false;
  }
  good = good && !path.empty() && path.size() <= 16;
  for (const std::string& key : path) good = good && !key.empty();
  if (good) return path;
  diagnostics.error(node, "a path is keys of the incoming JSON, like `client.ip` or [client, ip]");
  return std::nullopt;
}

std::optional<std::vector<std::string>> MapReader::path(std::string_view key) const {
  const Node* value = get(key);
  return value == nullptr ? std::nullopt : read_path(*value, diagnostics_);
}

bool check_identifier(const Name& name, std::string_view what, Diagnostics& diagnostics) {
  static const std::vector<std::string> kWords = {
      "true", "false",  "null", "in",   "as",      "break",     "const",  "continue", "else", "for",  "function",
      "if",   "import", "let",  "loop", "package", "namespace", "return", "var",      "void", "while"};
  const std::string& text = name.text;
  bool good = !text.empty() && text.size() <= 64 && !std::isdigit(static_cast<unsigned char>(text[0]));
  for (char c : text) good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '_');
  if (!good) {
    diagnostics.error(*name.node,
                      fmt::format("{} is letters, digits and `_`, not beginning with a digit, at most 64", what));
    return false;
  }
  if (std::find(kWords.begin(), kWords.end(), text) != kWords.end()) {
    diagnostics.error(*name.node,
                      fmt::format("{} is a word of the expression language and cannot be a name", quoted(text)));
    return false;
  }
  return true;
}

void read_document(const Node& document, PolicySource& policy, Diagnostics& diagnostics) {
  if (!document.is_map()) {
    diagnostics.error(document, fmt::format("a document of a policy is a mapping, not {}", kind_name(document)));
    return;
  }
  if (document.find("event") != nullptr) return read_event(document, policy, diagnostics);
  if (document.find("policy") != nullptr) return read_policy(document, policy, diagnostics);
  static const std::vector<std::string> kParts = {"policy", "event",  "features", "detectors",
                                                  "lists",  "models", "rules",    "tests"};
  for (size_t i = 0; i < document.entries(); ++i) {
    const Node& key = document.key(i);
    const Node& value = document.value(i);
    if (value.is_null()) continue;  // a heading with nothing under it yet
    if (key.text == "features") {
      read_features(value, policy, diagnostics);
    } else if (key.text == "lists") {
      read_lists(value, policy, diagnostics);
    } else if (key.text == "models") {
      read_models(value, policy, diagnostics);
    } else if (key.text == "detectors") {
      read_detectors(value, policy, diagnostics);
    } else if (key.text == "rules") {
      read_rules(value, policy, diagnostics);
    } else if (key.text == "tests") {
      read_tests(value, policy, diagnostics);
    } else {
      std::string hint = did_you_mean(key.text, kParts);
      diagnostics.error(key, fmt::format("a document has {}, not {}", one_of(kParts), quoted(key.text)), hint);
    }
  }
}

}  // namespace tamis::policy
