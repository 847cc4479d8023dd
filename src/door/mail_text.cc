#include "door/mail_text.h"

#include <algorithm>
#include <cmath>

namespace tamis::door {
namespace {

constexpr size_t kReplyBytesMax = 400;  // SMTP lines end at 512

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Length of "5.7.1" at the front of `text`, 0 when there is none.
size_t enhanced_bytes(std::string_view text) {
  size_t dots = 0, at = 0;
  while (at < text.size() && (is_digit(text[at]) || (text[at] == '.' && at > 0 && text[at - 1] != '.')))
    dots += text[at++] == '.' ? 1 : 0;
  bool ends = at == text.size() || text[at] == ' ';
  return dots == 2 && ends && is_digit(text[at - 1]) && at <= 11 ? at : 0;
}

// The name that an Authentication-Results field claims to be of: the word before the first ";" (RFC 8601, 2.2).
std::string_view authserv_of(std::string_view value) {
  std::string_view text = trimmed(value);
  while (!text.empty() && text.front() == '(') {  // a comment may stand before
    size_t close = text.find(')');
    if (close == std::string_view::npos) return {};
    text = trimmed(text.substr(close + 1));
  }
  return text.substr(0, text.find_first_of("; \t\r\n("));
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  size_t from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

std::string_view without_brackets(std::string_view address) {
  address = trimmed(address);
  if (address.empty() || address.front() != '<') return address;
  size_t close = address.rfind('>');
  return close == std::string_view::npos ? address.substr(1) : address.substr(1, close - 1);
}

bool HeaderFields::next(HeaderField& field) {
  while (at_ < text_.size()) {
    if (text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n") return false;
    size_t begin = at_, end = at_;
    do {
      size_t line = text_.find('\n', end);
      end = line == std::string_view::npos ? text_.size() : line + 1;
    } while (end < text_.size() && is_blank(text_[end]));
    at_ = end;
    std::string_view line = text_.substr(begin, end - begin);
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) continue;
    std::string_view name = trimmed(line.substr(0, colon));
    if (name.empty() || name.find_first_of(" \t\r\n") != std::string_view::npos) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.remove_suffix(1);
    field = {name, value, begin, end};
    return true;
  }
  return false;
}

std::string_view header_of(std::string_view message) {
  HeaderFields fields(message);
  HeaderField field;
  while (fields.next(field)) {
  }
  size_t end = fields.end();
  if (message.substr(end, 2) == "\r\n") return message.substr(0, end + 2);
  return message.substr(0, end + (end < message.size() ? 1 : 0));
}

std::string header_value(std::string_view message, std::string_view name) {
  HeaderFields fields(message);
  HeaderField field;
  while (fields.next(field)) {
    if (!same_name(field.name, name)) continue;
    std::string text(trimmed(field.value));
    text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n'; }), text.end());
    return text;
  }
  return {};
}

std::vector<HeaderRemoval> removals_of(std::string_view header, const std::vector<std::string>& names,
                                       std::string_view own_name) {
  std::vector<HeaderRemoval> removals;
  if (names.empty()) return removals;
  struct Wanted {
    std::string_view name;
    size_t left;
    uint32_t seen = 0;
  };
  std::vector<Wanted> wanted;
  for (const std::string& name : names) {
    auto it = std::find_if(wanted.begin(), wanted.end(), [&](const Wanted& w) { return same_name(w.name, name); });
    if (it == wanted.end())
      wanted.push_back({name, 1});
    else
      ++it->left;
  }
  HeaderFields fields(header);
  HeaderField field;
  while (fields.next(field)) {
    for (Wanted& want : wanted) {
      if (!same_name(want.name, field.name)) continue;
      ++want.seen;
      bool ours = true;
      if (same_name(want.name, "Authentication-Results")) {
        ours = own_name.empty() ? want.left > 0 : same_name(authserv_of(field.value), own_name);
        if (ours && want.left > 0) --want.left;
      }
      if (ours) removals.push_back({std::string(field.name), want.seen});
    }
  }
  return removals;
}

std::string clean_value(std::string_view value, std::string_view line_end) {
  std::string out;
  out.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    char c = value[i];
    if (c == '\r') continue;
    if (c == '\n') {
      bool folds = i + 1 < value.size() && is_blank(value[i + 1]);
      // A fold of blanks alone would be an empty line to some readers.
      size_t text = value.find_first_not_of(" \t", i + 1);
      folds = folds && text != std::string_view::npos && value[text] != '\r' && value[text] != '\n';
      out.append(folds ? line_end : std::string_view(" "));
    } else if (c == '\t' || static_cast<unsigned char>(c) >= 0x20) {
      out.push_back(c == '\x7f' ? ' ' : c);
    } else {
      out.push_back(' ');
    }
  }
  return out;
}

std::string clean_name(std::string_view name) {
  std::string out;
  for (char c : name)
    if (c > 0x20 && c < 0x7f && c != ':') out.push_back(c);
  return out.empty() ? "X-Tamis" : out;
}

std::string_view line_end_of(std::string_view message) {
  size_t line = message.find('\n');
  return line != std::string_view::npos && line > 0 && message[line - 1] == '\r' ? "\r\n" : "\n";
}

std::string edited(std::string_view message, const std::vector<HeaderRemoval>& removals,
                   const std::vector<MailHeader>& added) {
  std::string_view line_end = line_end_of(message);
  std::string out;
  out.reserve(message.size() + 256 * added.size());
  size_t from = 0;
  // The line that parts messages of an mbox, as procmail hands it over, stays the first.
  if (message.starts_with("From ")) from = message.find('\n') + 1;  // 0 where there is no line end
  out.append(message.substr(0, from));
  for (const MailHeader& header : added)
    out.append(clean_name(header.name)).append(": ").append(clean_value(header.value, line_end)).append(line_end);
  if (removals.empty()) return out.append(message.substr(from));
  HeaderFields fields(message);
  HeaderField field;
  std::vector<uint32_t> seen(removals.size(), 0);
  while (fields.next(field)) {
    bool goes = false;
    for (size_t i = 0; i < removals.size(); ++i) {
      if (!same_name(removals[i].name, field.name)) continue;
      goes = ++seen[i] == removals[i].index || goes;
    }
    if (!goes) continue;
    out.append(message.substr(from, field.begin - from));
    from = field.end;
  }
  return out.append(message.substr(from));
}

SmtpReply smtp_reply(std::string_view reply, std::string_view code, std::string_view enhanced,
                     std::string_view fallback_text) {
  SmtpReply out{std::string(code), std::string(enhanced), {}};
  reply = trimmed(reply);
  bool has_code = reply.size() >= 4 && reply[0] == code[0] && is_digit(reply[1]) && is_digit(reply[2]) &&
                  (reply[3] == ' ' || reply[3] == '-');
  if (has_code) {
    out.code = reply.substr(0, 3);
    reply = trimmed(reply.substr(4));
  }
  if (size_t bytes = enhanced_bytes(reply); bytes > 0 && reply[0] == code[0]) {
    out.enhanced = reply.substr(0, bytes);
    reply = trimmed(reply.substr(bytes));
  }
  for (char c : reply.empty() ? fallback_text : reply) {
    if (out.text.size() >= kReplyBytesMax) break;
    bool blank = c == '\t' || c == '\r' || c == '\n';
    if (blank && !out.text.empty() && out.text.back() == ' ') continue;
    out.text.push_back(blank                                                                          ? ' '
                       : static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e ? '?'
                                                                                                      : c);
  }
  return out;
}

bool is_spam(const MailVerdict& verdict) {
  return verdict.action == MailAction::kDefer ? verdict.deferred_spam : verdict.action >= MailAction::kTag;
}

double points_shown(const MailVerdict& verdict) {
  double points = std::isfinite(verdict.points) ? verdict.points : 0;
  if (is_spam(verdict)) return std::max(points, verdict.points_required);
  return points < verdict.points_required ? points : verdict.points_required - 0.1;
}

}  // namespace tamis::door
