#include "mail/spf_record.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "event/dns.h"
#include "event/ip.h"
#include "mail/ascii.h"

namespace tamis::mail {
namespace {

constexpr std::string_view kNames[] = {"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"};

struct Macro {
  char letter = 0;  // lower case
  bool escape = false, reverse = false;
  size_t labels = 0;  // 0: all
  std::string_view delimiters;
};

// "%{...}" at the begin of `text`; its length, or 0 if it is malformed.
size_t read_macro(std::string_view text, bool explanation, Macro& out) {
  const size_t close = text.find('}');
  if (close == std::string_view::npos || close < 3) return 0;
  out.letter = to_lower(text[2]);
  out.escape = text[2] != out.letter;
  if (std::string_view("slodiphv").find(out.letter) == std::string_view::npos &&
      !(explanation && std::string_view("crt").find(out.letter) != std::string_view::npos)) {
    return 0;
  }
  size_t at = 3;
  bool any = false;
  out.labels = 0;
  for (; is_digit(text[at]); ++at) {
    any = true;
    out.labels = std::min<size_t>(out.labels * 10 + static_cast<size_t>(text[at] - '0'), 1000);
  }
  if (any && out.labels == 0) return 0;
  out.reverse = to_lower(text[at]) == 'r';
  if (out.reverse) ++at;
  out.delimiters = text.substr(at, close - at);
  if (out.delimiters.find_first_not_of(".-+,/_=") != std::string_view::npos) return 0;
  return close + 1;
}

// macro-string: literals without space and control characters, and whole macros.
bool is_macro_string(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      if (text[at] <= ' ' || text[at] > '~') return false;
      ++at;
      continue;
    }
    const char next = at + 1 < text.size() ? text[at + 1] : '\0';
    Macro macro;
    const size_t size = next == '{'                                 ? read_macro(text.substr(at), false, macro)
                        : next == '%' || next == '_' || next == '-' ? 2
                                                                    : 0;
    if (size == 0) return false;
    at += size;
  }
  return true;
}

bool is_top_label(std::string_view label) {
  if (label.empty() || !is_alnum(label.front()) || !is_alnum(label.back())) return false;
  bool numeric = true;
  for (const char c : label) {
    if (!is_alnum(c) && c != '-') return false;
    numeric &= is_digit(c);
  }
  return !numeric;
}

// domain-spec: a macro-string that ends in a top label or a macro.
bool is_domain_spec(std::string_view text) {
  if (text.empty() || !is_macro_string(text)) return false;
  if (text.back() == '}') {
    // "}" may be a literal too: it ends a macro if one was opened and not closed before.
    const size_t open = text.rfind("%{");
    if (open != std::string_view::npos && text.find('}', open) == text.size() - 1) return true;
  }
  if (text.back() == '.') text.remove_suffix(1);
  const size_t dot = text.rfind('.');
  return dot != std::string_view::npos && is_top_label(text.substr(dot + 1));
}

bool is_name(std::string_view text) {
  if (text.empty() || !is_alpha(text[0])) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

// "/24" or "//64" at the end, taken off; nothing there leaves `prefix` as it is. False: malformed.
bool take_prefix(std::string_view& text, std::string_view slashes, int max, int& prefix) {
  size_t digits = 0;
  while (digits < text.size() && is_digit(text[text.size() - 1 - digits])) ++digits;
  const std::string_view before = text.substr(0, text.size() - digits);
  if (!before.ends_with(slashes)) return true;
  const std::string_view number = text.substr(text.size() - digits);
  if (number.empty() || number.size() > 3 || (number.size() > 1 && number[0] == '0')) return false;
  int value = 0;
  for (const char c : number) value = value * 10 + (c - '0');
  if (value > max) return false;
  prefix = value;
  text = before.substr(0, before.size() - slashes.size());
  return true;
}

bool read_network(std::string_view argument, SpfTerm& term) {
  const bool v6 = term.mechanism == SpfMechanism::kIp6;
  if (!take_prefix(argument, "/", v6 ? 128 : 32, v6 ? term.prefix6 : term.prefix4)) return false;
  // As the record has it: an IPv6 network stays one, even where it is that of mapped IPv4 addresses.
  char text[64] = {};
  if (argument.empty() || argument.size() >= sizeof text || argument.find('\0') != std::string_view::npos) return false;
  std::memcpy(text, argument.data(), argument.size());
  if (v6) return inet_pton(AF_INET6, text, term.network) == 1;
  event::IpData ip;
  if (event::read_ip(argument, ip) != event::IpForm::kV4) return false;
  std::memcpy(term.network, event::ip_bytes(ip).data(), 4);
  return true;
}

// What stands behind the name of a mechanism: ":domain", "/24", "".
bool read_arguments(std::string_view rest, SpfTerm& term) {
  const bool has_argument = rest.starts_with(':');
  switch (term.mechanism) {
    case SpfMechanism::kAll:
      return rest.empty();
    case SpfMechanism::kIp4:
    case SpfMechanism::kIp6:
      return has_argument && read_network(rest.substr(1), term);
    case SpfMechanism::kInclude:
    case SpfMechanism::kExists:
      term.domain = has_argument ? rest.substr(1) : std::string_view();
      return is_domain_spec(term.domain);
    case SpfMechanism::kPtr:
      term.domain = has_argument ? rest.substr(1) : std::string_view();
      return rest.empty() || is_domain_spec(term.domain);
    case SpfMechanism::kA:
    case SpfMechanism::kMx:
      if (!take_prefix(rest, "//", 128, term.prefix6) || !take_prefix(rest, "/", 32, term.prefix4)) return false;
      if (rest.empty()) return true;
      term.domain = rest.substr(1);
      return has_argument && is_domain_spec(term.domain);
  }
  return false;
}

bool read_modifier(std::string_view name, std::string_view value, SpfRecord& record) {
  const bool redirect = equals_lower(name, "redirect"), explanation = equals_lower(name, "exp");
  if (!redirect && !explanation) return is_macro_string(value);
  std::string_view& slot = redirect ? record.redirect : record.explanation;
  if (!slot.empty() || !is_domain_spec(value)) return false;
  slot = value;
  return true;
}

bool read_term(std::string_view text, SpfRecord& record) {
  const size_t end = std::min(text.find_first_of(":/="), text.size());
  if (end < text.size() && text[end] == '=' && is_name(text.substr(0, end))) {
    return read_modifier(text.substr(0, end), text.substr(end + 1), record);
  }
  SpfTerm term;
  term.text = text;
  std::string_view rest = text;
  if (std::string_view("+-~?").find(rest[0]) != std::string_view::npos) {
    term.qualifier = rest[0];
    rest.remove_prefix(1);
  }
  const std::string_view name = rest.substr(0, std::min(rest.find_first_of(":/"), rest.size()));
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (!equals_lower(name, kNames[i])) continue;
    term.mechanism = static_cast<SpfMechanism>(i);
    if (!read_arguments(rest.substr(name.size()), term)) return false;
    record.terms.push_back(term);
    return true;
  }
  return false;
}

std::string macro_value(char letter, const SpfMacroValues& values) {
  char text[event::kIpTextBytesMax];
  switch (letter) {
    case 's':
      return values.sender;
    case 'l':
      return values.local;
    case 'o':
      return values.sender_domain;
    case 'd':
      return values.domain;
    case 'h':
      return values.helo;
    case 'p':
      return values.validated_name;
    case 'v':
      return values.client.is_v6 ? "ip6" : "in-addr";
    case 'c':
      return std::string(event::format_ip(values.client, text));
    case 'r':
      return values.receiver_name;
    case 't':
      return std::to_string(values.now_s);
    default:
      break;
  }
  // %{i}: IPv6 as nibbles in the order of the address.
  if (!values.client.is_v6) return std::string(event::format_ip(values.client, text));
  std::string reversed = event::dns_reversed(values.client);
  std::reverse(reversed.begin(), reversed.end());
  return reversed;
}

// Parts of a value, of which the last `labels` remain, perhaps in reverse order, joined by dots.
std::string transformed(const std::string& value, const Macro& macro) {
  const std::string_view delimiters = macro.delimiters.empty() ? std::string_view(".") : macro.delimiters;
  if (macro.labels == 0 && !macro.reverse && delimiters == ".") return value;
  std::vector<std::string_view> parts;
  for (std::string_view rest = value;;) {
    const size_t end = std::min(rest.find_first_of(delimiters), rest.size());
    parts.push_back(rest.substr(0, end));
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  if (macro.reverse) std::reverse(parts.begin(), parts.end());
  const size_t keep = macro.labels == 0 ? parts.size() : std::min(macro.labels, parts.size());
  std::string out;
  for (size_t i = parts.size() - keep; i < parts.size(); ++i) {
    if (i > parts.size() - keep) out += '.';
    out += parts[i];
  }
  return out;
}

void append_escaped(std::string_view text, std::string& out) {
  constexpr char digits[] = "0123456789ABCDEF";
  for (const char c : text) {
    if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[static_cast<uint8_t>(c) >> 4];
      out += digits[static_cast<uint8_t>(c) & 15];
    }
  }
}

}  // namespace

std::string_view name_of(SpfMechanism mechanism) { return kNames[static_cast<size_t>(mechanism)]; }

bool is_spf_record(std::string_view text) {
  return starts_lower(text, "v=spf1") && (text.size() == 6 || text[6] == ' ');
}

SpfRecord parse_spf_record(std::string_view text) {
  SpfRecord record;
  if (text.size() > kSpfRecordBytesMax) {
    record.error = "the record is too long";
    return record;
  }
  text.remove_prefix(std::min<size_t>(6, text.size()));
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view term = text.substr(at, end - at);
    at = end + 1;
    if (term.empty()) continue;
    if (record.terms.size() >= kSpfTermsMax || !read_term(term, record)) {
      // Only what can be shown: the record is somebody else's.
      std::string shown(term.substr(0, 64));
      std::replace_if(
          shown.begin(), shown.end(), [](char c) { return c <= ' ' || c > '~'; }, '?');
      record.error = "'" + shown + "' is malformed";
      return record;
    }
  }
  return record;
}

bool spf_uses_validated_name(std::string_view text) {
  for (size_t at = text.find("%{"); at != std::string_view::npos; at = text.find("%{", at + 2)) {
    if (at + 2 < text.size() && to_lower(text[at + 2]) == 'p') return true;
  }
  return false;
}

bool expand_spf_macros(std::string_view text, const SpfMacroValues& values, bool explanation, std::string& out) {
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      out += text[at++];
    } else {
      const char next = at + 1 < text.size() ? text[at + 1] : '\0';
      Macro macro;
      if (next == '%' || next == '_' || next == '-') {
        out += next == '%' ? "%" : next == '_' ? " " : "%20";
        at += 2;
      } else {
        const size_t size = next == '{' ? read_macro(text.substr(at), explanation, macro) : 0;
        if (size == 0) return false;
        const std::string value = transformed(macro_value(macro.letter, values), macro);
        if (macro.escape) {
          append_escaped(value, out);
        } else {
          out += value;
        }
        at += size;
      }
    }
    if (out.size() > kSpfExpandedBytesMax) {
      out.resize(kSpfExpandedBytesMax);
      return true;
    }
  }
  return true;
}

std::string spf_target_name(std::string name) {
  if (name.ends_with('.')) name.pop_back();
  while (name.size() > 253) {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) return {};
    name.erase(0, dot + 1);
  }
  return name;
}

}  // namespace tamis::mail
