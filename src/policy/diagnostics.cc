#include "policy/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/text.h"

namespace tamis::policy {

namespace {

uint32_t code_points(std::string_view text) {
  return static_cast<uint32_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Columns that [begin, end) covers on the line where it begins; at least one.
uint32_t underline(const SourceText& source, uint32_t begin, uint32_t end) {
  end = std::min<uint32_t>(end, source.text.size());
  if (end <= begin) return 1;
  std::string_view part = std::string_view(source.text).substr(begin, end - begin);
  part = part.substr(0, part.find('\n'));
  while (!part.empty() && (part.back() == '\r' || part.back() == ' ')) part.remove_suffix(1);
  return std::max<uint32_t>(1, code_points(part));
}

// The last byte of a scalar in the source and one.
uint32_t scalar_end(const Node& scalar) {
  std::vector<uint32_t> offsets = scalar_offsets(scalar);
  uint32_t end = offsets.back();
  bool is_quoted = scalar.style == Node::Style::kSingleQuoted || scalar.style == Node::Style::kDoubleQuoted;
  return is_quoted ? end + 1 : end;
}

// Bytes that are no UTF-8 become "?": a diagnostic is shown on terminals and sent as JSON.
std::string printable(std::string_view line) {
  std::string out(line);
  for (size_t at = 0; at < out.size();) {
    auto lead = static_cast<unsigned char>(out[at]);
    size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    bool whole = lead < 0x80 || (lead >= 0xc2 && lead <= 0xf4 && at + length <= out.size());
    for (size_t i = 1; whole && i < length; ++i) whole = (static_cast<unsigned char>(out[at + i]) & 0xc0) == 0x80;
    if (whole && length == 3) whole = (lead != 0xe0 || out[at + 1] >= '\xa0') && (lead != 0xed || out[at + 1] < '\xa0');
    if (whole && length == 4) whole = (lead != 0xf0 || out[at + 1] >= '\x90') && (lead != 0xf4 || out[at + 1] < '\x90');
    if (!whole) out[at] = '?';
    at += whole ? length : 1;
  }
  return out;
}

}  // namespace

void Diagnostics::error(const Node& node, std::string message, std::string hint) {
  if (node.source == nullptr) return error_file({}, std::move(message), std::move(hint));
  uint32_t end = node.is_scalar() ? scalar_end(node) : node.begin + 1;
  add(Diagnostic::Severity::kError, *node.source, node.begin, end, std::move(message), std::move(hint));
}

void Diagnostics::warning(const Node& node, std::string message, std::string hint) {
  if (node.source == nullptr) return;
  uint32_t end = node.is_scalar() ? scalar_end(node) : node.begin + 1;
  add(Diagnostic::Severity::kWarning, *node.source, node.begin, end, std::move(message), std::move(hint));
}

void Diagnostics::error_in(const Node& scalar, uint32_t begin, uint32_t end, std::string message, std::string hint) {
  if (scalar.source == nullptr) return error_file({}, std::move(message), std::move(hint));
  std::vector<uint32_t> offsets = scalar_offsets(scalar);
  uint32_t last = static_cast<uint32_t>(offsets.size() - 1);
  begin = std::min(begin, last);
  uint32_t from = offsets[begin];
  // The end is behind the last byte covered, which may be shorter than the way to the next one.
  uint32_t to = end > begin ? offsets[std::min(end, last + 1) - 1] + 1 : from + 1;
  add(Diagnostic::Severity::kError, *scalar.source, from, to, std::move(message), std::move(hint));
}

void Diagnostics::warning_in(const Node& scalar, uint32_t begin, uint32_t end, std::string message, std::string hint) {
  if (scalar.source == nullptr) return;
  std::vector<uint32_t> offsets = scalar_offsets(scalar);
  uint32_t last = static_cast<uint32_t>(offsets.size() - 1);
  begin = std::min(begin, last);
  uint32_t from = offsets[begin];
  uint32_t to = end > begin ? offsets[std::min(end, last + 1) - 1] + 1 : from + 1;
  add(Diagnostic::Severity::kWarning, *scalar.source, from, to, std::move(message), std::move(hint));
}

void Diagnostics::error_at(const SourceText& source, uint32_t begin, uint32_t end, std::string message,
                           std::string hint) {
  add(Diagnostic::Severity::kError, source, begin, end, std::move(message), std::move(hint));
}

void Diagnostics::error_file(std::string file, std::string message, std::string hint) {
  Diagnostic d;
  d.file = std::move(file);
  d.message = std::move(message);
  d.hint = std::move(hint);
  add(std::move(d));
}

void Diagnostics::add(Diagnostic::Severity severity, const SourceText& source, uint32_t begin, uint32_t end,
                      std::string message, std::string hint) {
  Diagnostic d;
  d.severity = severity;
  d.file = source.name;
  Position at = source.position(begin);
  d.line = at.line;
  d.column = at.column;
  d.source_line = printable(source.line(at.line));
  d.length = underline(source, begin, end);
  d.message = std::move(message);
  d.hint = std::move(hint);
  add(std::move(d));
}

void Diagnostics::add(Diagnostic diagnostic) {
  bool is_error = diagnostic.severity == Diagnostic::Severity::kError;
  if ((is_error ? errors_ : warnings_) > kMax) return;
  if (!seen_.insert(fmt::format("{}:{}:{}:{}", diagnostic.file, diagnostic.line, diagnostic.column, diagnostic.message))
           .second) {
    return;
  }
  size_t& count = is_error ? errors_ : warnings_;
  if (++count > kMax) {
    Diagnostic more;
    more.severity = diagnostic.severity;
    more.file = "\xff";  // sorts behind all others; taken away in take()
    more.message = fmt::format("more than {} {}; the rest is not shown", kMax, is_error ? "errors" : "warnings");
    list_.push_back(std::move(more));
    return;
  }
  list_.push_back(std::move(diagnostic));
}

std::vector<Diagnostic> Diagnostics::take() {
  std::stable_sort(list_.begin(), list_.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  });
  for (Diagnostic& d : list_) {
    if (d.file == "\xff") d.file.clear();
  }
  return std::move(list_);
}

std::string to_string(const Diagnostic& d) {
  std::string out;
  if (!d.file.empty()) {
    out += d.file;
    if (d.line > 0) out += fmt::format(":{}:{}", d.line, d.column);
    out += ": ";
  }
  out += d.severity == Diagnostic::Severity::kError ? "error: " : "warning: ";
  out += d.message;
  if (d.line > 0) {
    // A long line is shown around the place only.
    constexpr size_t kWidth = 160;
    std::string shown = d.source_line;
    std::replace(shown.begin(), shown.end(), '\t', ' ');
    uint32_t column = d.column;
    if (code_points(shown) > kWidth) {
      size_t begin = 0, skipped = 0;
      while (column - skipped > kWidth / 2 && begin < shown.size()) {
        ++begin;
        while (begin < shown.size() && (static_cast<unsigned char>(shown[begin]) & 0xc0) == 0x80) ++begin;
        ++skipped;
      }
      size_t end = begin;
      for (size_t n = 0; n < kWidth && end < shown.size(); ++n) {
        ++end;
        while (end < shown.size() && (static_cast<unsigned char>(shown[end]) & 0xc0) == 0x80) ++end;
      }
      shown = shown.substr(begin, end - begin);
      column -= static_cast<uint32_t>(skipped);
    }
    uint32_t length = std::max<uint32_t>(1, std::min<uint32_t>(d.length, kWidth));
    out += fmt::format("\n  {}\n  {}{}", shown, std::string(column - 1, ' '), "^" + std::string(length - 1, '~'));
  }
  if (!d.hint.empty()) out += "\n  " + d.hint;
  return out;
}

std::string quoted(std::string_view name) {
  std::string out = "`";
  for (char c : name.substr(0, 80)) out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  // A cut must not leave half a character behind.
  if (name.size() > 80) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (static_cast<unsigned char>(out.back()) >= 0xc0) out.pop_back();
    out += "...";
  }
  return out + "`";
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  std::string_view near = base::nearest(name, std::span<const std::string>(candidates));
  return near.empty() ? std::string() : fmt::format("did you mean {}?", quoted(near));
}

std::string one_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 12;
  std::string out;
  size_t shown = std::min(names.size(), kShown);
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) out += i + 1 == names.size() ? " or " : ", ";
    out += quoted(names[i]);
  }
  if (names.size() > kShown) out += ", ...";
  return out;
}

}  // namespace tamis::policy
