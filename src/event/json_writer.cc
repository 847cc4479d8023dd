#include "event/json_writer.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/base64.h"
#include "event/ip.h"
#include "event/time_text.h"

namespace tamis::event {
namespace {

// Deeper values than any parser of ours makes are cut, so that writing cannot exhaust the stack.
constexpr int kDepthMax = 512;

constexpr uint64_t kOnes = 0x0101010101010101u;
constexpr uint64_t kHighs = 0x8080808080808080u;

// The high bit of each byte of `word` that must be escaped: below 0x20, a quote, a backslash. A byte right above a
// marked one may be marked too (borrow), which does not matter where the lowest mark is looked for.
uint64_t escape_marks(uint64_t word) {
  const auto zero_bytes = [](uint64_t w) { return (w - kOnes) & ~w & kHighs; };
  const uint64_t control = (word - kOnes * 0x20) & ~word & kHighs;
  return control | zero_bytes(word ^ kOnes * '"') | zero_bytes(word ^ kOnes * '\\');
}

bool must_escape(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; }

// The index of the first byte at or after `at` that must be escaped, or the size.
size_t find_escape(std::string_view text, size_t at) {
  if constexpr (std::endian::native == std::endian::little) {
    while (at + 8 <= text.size()) {
      uint64_t word;
      std::memcpy(&word, text.data() + at, 8);
      const uint64_t marks = escape_marks(word);
      if (marks != 0) return at + static_cast<size_t>(std::countr_zero(marks)) / 8;
      at += 8;
    }
  }
  while (at < text.size() && !must_escape(text[at])) ++at;
  return at;
}

void append_escape(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  constexpr char kHex[] = "0123456789abcdef";
  const char escape[] = {'\\', 'u', '0', '0', kHex[c >> 4 & 15], kHex[c & 15]};
  out.append(escape, sizeof escape);
}

template <class Integer>
void append_integer(std::string& out, Integer value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, static_cast<size_t>(end.ptr - digits));
}

void append_real(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "\"NaN\"";
    return;
  }
  if (std::isinf(value)) {
    out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    return;
  }
  char digits[40];
  // Whole numbers that a person would write out are written out; the rest is the shortest of both notations.
  const bool is_plain = value == std::floor(value) && std::fabs(value) < 1e15;
  const auto end = is_plain ? std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed)
                            : std::to_chars(digits, digits + sizeof digits, value);
  const std::string_view text(digits, static_cast<size_t>(end.ptr - digits));
  out += text;
  // The shortest form of a large number can be its digits alone: it stays a double all the same.
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

void append_map_key(std::string& out, Value key) {
  switch (key.kind) {
    case Kind::kString:
      append_json_string(out, key.str());
      return;
    case Kind::kBool:
      out += key.b ? "\"true\"" : "\"false\"";
      return;
    case Kind::kInt:
    case Kind::kUint:
      out += '"';
      key.is(Kind::kInt) ? append_integer(out, key.i) : append_integer(out, key.u);
      out += '"';
      return;
    default:
      out += "\"\"";
      return;  // make_map() lets no other kind in
  }
}

void append_value(std::string& out, Value value, int depth);

void append_items(std::string& out, std::span<const Value> items, int depth) {
  out += '[';
  bool first = true;
  for (const Value& item : items) {
    if (!first) out += ',';
    first = false;
    append_value(out, item, depth + 1);
  }
  out += ']';
}

void append_map(std::string& out, const MapData& map, int depth) {
  out += '{';
  for (uint32_t i = 0; i < map.size; ++i) {
    if (i != 0) out += ',';
    append_map_key(out, map.entries[i].key);
    out += ':';
    append_value(out, map.entries[i].value, depth + 1);
  }
  out += '}';
}

void append_quoted(std::string& out, std::string_view plain) {
  out += '"';
  out += plain;
  out += '"';
}

void append_value(std::string& out, Value value, int depth) {
  if (depth > kDepthMax) {
    out += "null";
    return;
  }
  switch (value.kind) {
    case Kind::kAbsent:
    case Kind::kError:
    case Kind::kNull:
    case Kind::kHandle:
      out += "null";
      return;
    case Kind::kBool:
      out += value.b ? "true" : "false";
      return;
    case Kind::kInt:
      append_integer(out, value.i);
      return;
    case Kind::kUint:
      append_integer(out, value.u);
      return;
    case Kind::kDouble:
      append_real(out, value.d);
      return;
    case Kind::kString:
    case Kind::kType:
      append_json_string(out, value.str());
      return;
    case Kind::kBytes:
      out += '"';
      base::append_base64(out, value.str());
      out += '"';
      return;
    case Kind::kTimestamp: {
      char text[kTimeTextBytesMax];
      append_quoted(out, format_timestamp(value.i, value.size, text));
      return;
    }
    case Kind::kDuration: {
      char text[kTimeTextBytesMax];
      append_quoted(out, format_duration(value.i, text));
      return;
    }
    case Kind::kIp:
    case Kind::kCidr: {
      char text[kIpTextBytesMax];
      append_quoted(out, value.is(Kind::kIp) ? format_ip(*value.ip, text) : format_cidr(*value.ip, text));
      return;
    }
    case Kind::kList:
      append_items(out, value.list_items(), depth);
      return;
    case Kind::kMap:
      append_map(out, *value.map, depth);
      return;
    case Kind::kOptional:
      if (value.optional != nullptr) {
        append_value(out, *value.optional, depth + 1);
      } else {
        out += "null";
      }
      return;
    case Kind::kOpaque:
      append_items(out, value.opaque->values, depth);
      return;
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  size_t at = 0;
  for (;;) {
    const size_t stop = find_escape(text, at);
    out.append(text.data() + at, stop - at);
    if (stop == text.size()) break;
    append_escape(out, text[stop]);
    at = stop + 1;
  }
  out += '"';
}

void JsonWriter::separate() {
  if (comma_) out_ += ',';
  comma_ = true;
}

JsonWriter& JsonWriter::begin_object() {
  separate();
  out_ += '{';
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  out_ += '}';
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  separate();
  out_ += '[';
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  out_ += ']';
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view text) {
  separate();
  append_json_string(out_, text);
  return *this;
}

JsonWriter& JsonWriter::integer(int64_t value) {
  separate();
  append_integer(out_, value);
  return *this;
}

JsonWriter& JsonWriter::uinteger(uint64_t value) {
  separate();
  append_integer(out_, value);
  return *this;
}

JsonWriter& JsonWriter::real(double value) {
  separate();
  append_real(out_, value);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  out_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::null() {
  separate();
  out_ += "null";
  return *this;
}

JsonWriter& JsonWriter::value(Value value) {
  separate();
  append_value(out_, value, 0);
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

}  // namespace tamis::event
