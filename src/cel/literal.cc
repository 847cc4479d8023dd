#include "cel/literal.h"

#include <charconv>
#include <limits>

#include "cel/utf8.h"

namespace tamis::cel {
namespace {

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

struct Body {
  std::string_view text;
  size_t offset;  // of `text` in the literal
  bool raw = false;
  bool bytes = false;
};

Body body_of(std::string_view literal) {
  Body body{literal, 0};
  size_t quote = literal.find_first_of("\"'");
  for (char c : literal.substr(0, quote)) {
    if (c == 'r' || c == 'R') body.raw = true;
    if (c == 'b' || c == 'B') body.bytes = true;
  }
  std::string_view rest = literal.substr(quote);
  char q = rest[0];
  size_t width = rest.size() >= 6 && rest[1] == q && rest[2] == q ? 3 : 1;
  body.offset = quote + width;
  body.text = rest.substr(width, rest.size() - 2 * width);
  return body;
}

// Reads `count` digits of `base` at `at`; false if they are not there.
bool read_digits(std::string_view text, size_t at, size_t count, int base, uint32_t& value) {
  if (at + count > text.size()) return false;
  value = 0;
  for (size_t i = 0; i < count; ++i) {
    int digit = digit_of(text[at + i]);
    if (digit >= base) return false;
    value = value * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit);
  }
  return true;
}

char simple_escape(char c) {
  switch (c) {
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    case '\\':
    case '?':
    case '"':
    case '\'':
    case '`':
      return c;
    default:
      return '\0';
  }
}

// Resolves the escape whose backslash is at text[at]; moves `at` behind it. Returns what is wrong, or nullptr.
const char* unescape_one(const Body& body, size_t& at, std::string& out) {
  std::string_view text = body.text;
  if (at + 1 >= text.size()) return "a backslash at the end of the text";
  char c = text[at + 1];
  if (char simple = simple_escape(c); simple != '\0') {
    out += simple;
    at += 2;
    return nullptr;
  }
  uint32_t value = 0;
  bool is_unicode = c == 'u' || c == 'U';
  if (is_unicode && body.bytes) return "\\u and \\U stand in strings only; bytes take \\x and three octal digits";
  if (c == 'x' || c == 'X') {
    if (!read_digits(text, at + 2, 2, 16, value)) return "\\x takes two hexadecimal digits";
    at += 4;
  } else if (is_unicode) {
    size_t count = c == 'u' ? 4 : 8;
    if (!read_digits(text, at + 2, count, 16, value)) {
      return c == 'u' ? "\\u takes four hexadecimal digits" : "\\U takes eight hexadecimal digits";
    }
    if (value >= 0xd800 && value <= 0xdfff) return "a surrogate is no code point";
    if (value > 0x10ffff) return "code points end at \\U0010FFFF";
    at += 2 + count;
  } else if (c >= '0' && c <= '3') {
    if (!read_digits(text, at + 1, 3, 8, value)) return "an octal escape takes three digits, from \\000 to \\377";
    at += 4;
  } else {
    return "unknown escape; known are \\\\ \\? \\\" \\' \\` \\a \\b \\f \\n \\r \\t \\v \\xHH \\uHHHH \\UHHHHHHHH "
           "\\OOO";
  }
  if (body.bytes) {
    out += static_cast<char>(value);
  } else {
    char encoded[4];
    out.append(encoded, encode_code_point(value, encoded));
  }
  return nullptr;
}

bool strip_hex(std::string_view& digits) {
  if (!digits.starts_with("0x")) return false;
  digits.remove_prefix(2);
  return true;
}

// True if the decimal number is at least 1 in magnitude: tells overflow from underflow.
bool is_large(std::string_view digits) {
  size_t e = digits.find_first_of("eE");
  std::string_view mantissa = digits.substr(0, e);
  int64_t exponent = 0;
  if (e != std::string_view::npos) {
    std::string_view text = digits.substr(e + 1);
    bool negative = text.starts_with('-');
    if (text.starts_with('+') || negative) text.remove_prefix(1);
    for (char c : text) exponent = exponent < 1'000'000'000 ? exponent * 10 + (c - '0') : exponent;
    if (negative) exponent = -exponent;
  }
  size_t first = mantissa.find_first_of("123456789");
  if (first == std::string_view::npos) return false;
  size_t dot = mantissa.find('.');
  if (dot == std::string_view::npos) dot = mantissa.size();
  auto place = static_cast<int64_t>(dot) - static_cast<int64_t>(first);
  return place + exponent > 0;
}

}  // namespace

base::Result<std::string> unquote(std::string_view literal, size_t& error_at) {
  Body body = body_of(literal);
  if (body.raw) return std::string(body.text);
  std::string out;
  out.reserve(body.text.size());
  size_t at = 0;
  while (at < body.text.size()) {
    if (body.text[at] != '\\') {
      out += body.text[at++];
      continue;
    }
    size_t begin = at;
    if (const char* wrong = unescape_one(body, at, out); wrong != nullptr) {
      error_at = body.offset + begin;
      return base::invalid(wrong);
    }
  }
  return out;
}

base::Result<uint64_t> parse_uint(std::string_view digits) {
  if (digits.ends_with('u') || digits.ends_with('U')) digits.remove_suffix(1);
  int base = strip_hex(digits) ? 16 : 10;
  uint64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    return base::invalid("a uint lies between 0 and 18446744073709551615");
  }
  return value;
}

base::Result<int64_t> parse_int(std::string_view digits, bool negative) {
  auto magnitude = parse_uint(digits);
  constexpr uint64_t limit = uint64_t{1} << 63;
  if (!magnitude || *magnitude > limit || (*magnitude == limit && !negative)) {
    return base::invalid("an int lies between -9223372036854775808 and 9223372036854775807");
  }
  return static_cast<int64_t>(negative ? 0 - *magnitude : *magnitude);
}

base::Result<double> parse_double(std::string_view digits) {
  double value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  bool infinite = value > std::numeric_limits<double>::max();
  if (error == std::errc::result_out_of_range && !is_large(digits)) return 0.0;
  if (error != std::errc{} || infinite || end != digits.data() + digits.size()) {
    return base::invalid("a double lies between -1.8e308 and 1.8e308");
  }
  return value;
}

std::string quote(std::string_view text, bool bytes) {
  std::string out = bytes ? "b\"" : "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f || (bytes && byte >= 0x80)) {
      out += "\\x" + hex_byte(byte);
    } else {
      out += c;
    }
  }
  return out += '"';
}

size_t invalid_utf8_at(std::string_view text) {
  if (is_valid_utf8(text)) return std::string_view::npos;
  size_t at = 0;
  while (at < text.size()) {
    size_t begin = at;
    bool is_bad = decode_code_point(text, at) == 0xfffd && at == begin + 1;
    if (is_bad) return begin;
  }
  return 0;
}

std::string hex_byte(unsigned char byte) {
  constexpr char digits[] = "0123456789abcdef";
  return {digits[byte >> 4], digits[byte & 15]};
}

}  // namespace tamis::cel
