#include "mail/transfer.h"

#include <array>
#include <cstring>

#include "mail/ascii.h"

namespace tamis::mail {
namespace {

constexpr uint8_t kSkip = 64, kPad = 65, kForeign = 66;

constexpr std::array<uint8_t, 256> make_base64_table() {
  std::array<uint8_t, 256> table{};
  for (auto& entry : table) entry = kForeign;
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < alphabet.size(); ++i) table[static_cast<uint8_t>(alphabet[i])] = static_cast<uint8_t>(i);
  for (const char c : std::string_view(" \t\r\n\v\f")) table[static_cast<uint8_t>(c)] = kSkip;
  table['='] = kPad;
  return table;
}
constexpr std::array<uint8_t, 256> kBase64 = make_base64_table();

// The characters of one line of uuencode that hold its bytes, by its length character.
size_t uuencoded_chars(char length) {
  const size_t bytes = static_cast<size_t>(length - ' ') & 63;
  return (bytes + 2) / 3 * 4;
}

std::string_view line_at(std::string_view text, size_t at, size_t& next) {
  const size_t end = text.find('\n', at);
  next = end == std::string_view::npos ? text.size() : end + 1;
  std::string_view line = text.substr(at, (end == std::string_view::npos ? text.size() : end) - at);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// "begin 644 name": three or four octal digits and a name.
bool read_begin(std::string_view line, std::string_view& name) {
  if (!line.starts_with("begin ")) return false;
  size_t i = 6;
  while (i < line.size() && line[i] >= '0' && line[i] <= '7') ++i;
  if (i < 9 || i > 10 || i >= line.size() || line[i] != ' ') return false;
  name = trim(line.substr(i));
  return !name.empty() && name.size() <= 255;
}

bool plausible_line(std::string_view line) {
  if (line.empty() || line[0] < ' ' || line[0] > '`') return false;
  const size_t chars = uuencoded_chars(line[0]);
  return line.size() - 1 <= chars + 2 && line.size() + 3 > chars;  // trailing spaces may have been lost
}

}  // namespace

Encoding encoding_of(std::string_view value) {
  value = trim(value);
  size_t end = 0;
  while (end < value.size() && !is_space(value[end]) && value[end] != ';' && value[end] != '(') ++end;
  value = value.substr(0, end);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  if (value.empty() || equals_lower(value, "7bit") || equals_lower(value, "7-bit")) return Encoding::k7Bit;
  if (equals_lower(value, "8bit") || equals_lower(value, "8-bit")) return Encoding::k8Bit;
  if (equals_lower(value, "binary")) return Encoding::kBinary;
  if (equals_lower(value, "base64")) return Encoding::kBase64;
  if (equals_lower(value, "quoted-printable")) return Encoding::kQuotedPrintable;
  for (const std::string_view name : {"x-uuencode", "uuencode", "x-uue", "uue"}) {
    if (equals_lower(value, name)) return Encoding::kUuencode;
  }
  return Encoding::kUnknown;
}

Decoded decode_base64(std::string_view text, char* out, size_t out_max) {
  Decoded result;
  uint32_t group = 0;
  unsigned count = 0;
  size_t i = 0, written = 0;
  const auto* in = reinterpret_cast<const uint8_t*>(text.data());
  while (i < text.size()) {
    // Whole groups without interruption, the common case.
    while (count == 0 && i + 4 <= text.size() && written + 3 <= out_max) {
      const uint32_t a = kBase64[in[i]], b = kBase64[in[i + 1]], c = kBase64[in[i + 2]], d = kBase64[in[i + 3]];
      if ((a | b | c | d) & 0x40) break;
      const uint32_t bits = a << 18 | b << 12 | c << 6 | d;
      out[written] = static_cast<char>(bits >> 16);
      out[written + 1] = static_cast<char>(bits >> 8);
      out[written + 2] = static_cast<char>(bits);
      written += 3;
      i += 4;
    }
    if (i >= text.size()) break;
    if (written + 3 > out_max) break;
    const uint8_t value = kBase64[in[i++]];
    if (value < 64) {
      group = group << 6 | value;
      if (++count == 4) {
        out[written] = static_cast<char>(group >> 16);
        out[written + 1] = static_cast<char>(group >> 8);
        out[written + 2] = static_cast<char>(group);
        written += 3;
        count = 0;
        group = 0;
      }
    } else if (value == kPad) {
      // Padding ends a group; some writers concatenate encoded pieces, so reading goes on behind it.
      if (count < 2) result.broken |= count == 1;
      if (count >= 2) out[written++] = static_cast<char>(group >> (count == 2 ? 4 : 10));
      if (count == 3) out[written++] = static_cast<char>(group >> 2);
      while (i < text.size() && (kBase64[in[i]] == kPad || kBase64[in[i]] == kSkip)) ++i;
      if (i < text.size()) result.broken = true;
      count = 0;
      group = 0;
    } else if (value == kForeign) {
      result.broken = true;
    }
  }
  if (i >= text.size() && count > 0) {
    result.broken = true;  // cut, or padding was left out
    if (count >= 2 && written < out_max) out[written++] = static_cast<char>(group >> (count == 2 ? 4 : 10));
    if (count == 3 && written < out_max) out[written++] = static_cast<char>(group >> 2);
  }
  result.bytes = written;
  result.consumed = i;
  return result;
}

Decoded decode_quoted_printable(std::string_view text, char* out, size_t out_max, bool header) {
  Decoded result;
  size_t i = 0, written = 0;
  while (i < text.size() && written < out_max) {
    const char c = text[i];
    if (c != '=') {
      out[written++] = header && c == '_' ? ' ' : c;
      ++i;
      continue;
    }
    if (i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out[written++] = static_cast<char>(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
      i += 3;
      continue;
    }
    // A soft line break: nothing but blanks up to the line end.
    size_t end = i + 1;
    while (end < text.size() && (is_blank(text[end]) || text[end] == '\r')) ++end;
    if (end >= text.size() || text[end] == '\n') {
      i = end < text.size() ? end + 1 : end;
      continue;
    }
    result.broken = true;
    out[written++] = '=';
    ++i;
  }
  result.bytes = written;
  result.consumed = i;
  return result;
}

bool find_uuencoded(std::string_view text, size_t from, Uuencoded& out) {
  size_t at = from;
  while (at < text.size()) {
    // Only places that look like a begin line cost more than a search.
    if (!(at == 0 || text[at - 1] == '\n') || !text.substr(at).starts_with("begin ")) {
      const size_t next = text.find("\nbegin ", at);
      if (next == std::string_view::npos) return false;
      at = next + 1;
    }
    size_t next = 0;
    const std::string_view line = line_at(text, at, next);
    std::string_view name;
    size_t after = 0;
    if (!read_begin(line, name) || next >= text.size() || !plausible_line(line_at(text, next, after))) {
      at = next;
      continue;
    }
    out = {};
    out.name = name;
    out.begin = at;
    const size_t lines_begin = next;
    out.broken = true;
    while (next < text.size()) {
      const size_t here = next;
      const std::string_view data = line_at(text, here, after);
      if (data == "end" || !plausible_line(data)) {
        out.broken = data != "end";
        out.end = data == "end" ? after : here;
        out.lines = text.substr(lines_begin, here - lines_begin);
        return true;
      }
      next = after;
    }
    out.end = text.size();
    out.lines = text.substr(lines_begin);
    return true;
  }
  return false;
}

Decoded decode_uuencoded(std::string_view lines, char* out, size_t out_max) {
  Decoded result;
  size_t at = 0, next = 0;
  for (; at < lines.size(); at = next) {
    const std::string_view line = line_at(lines, at, next);
    if (line.empty() || line == "`" || line == "end" || line.starts_with("begin ")) continue;
    size_t bytes = static_cast<size_t>(line[0] - ' ') & 63;
    if (result.bytes + bytes > out_max) break;
    const size_t chars = uuencoded_chars(line[0]);
    if (line.size() - 1 < chars) result.broken |= line.size() + 2 < chars;
    for (size_t i = 0; i < chars && bytes > 0; i += 4) {
      uint32_t group = 0;
      for (size_t k = 0; k < 4; ++k) {
        const char c = 1 + i + k < line.size() ? line[1 + i + k] : ' ';
        group = group << 6 | (static_cast<uint32_t>(c - ' ') & 63);
      }
      for (int shift = 16; shift >= 0 && bytes > 0; shift -= 8, --bytes) {
        out[result.bytes++] = static_cast<char>(group >> shift);
      }
    }
  }
  result.consumed = at;
  return result;
}

}  // namespace tamis::mail
