#include "event/json_fault.h"

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace tamis::event {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A cursor over the text. Each read_ function stands behind what it read, or returns false with `fault` set.
class Scanner {
 public:
  Scanner(std::string_view text, size_t depth_max, std::vector<JsonPiece>* large)
      : text_(text), depth_max_(depth_max), large_(large) {}

  std::optional<JsonFault> scan() {
    if (const size_t bad = find_invalid_utf8(text_); bad != std::string_view::npos) {
      return JsonFault{bad, "not valid UTF-8"};
    }
    skip_space();
    if (at_end()) return JsonFault{at_, "expected a value, found the end"};
    if (!read_document()) return fault_;
    skip_space();
    if (!at_end()) return JsonFault{at_, "expected the end"};
    return std::nullopt;
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool bad(const char* what) { return bad(at_, what); }
  bool bad(size_t offset, const char* what) {
    fault_ = {offset, what};
    return false;
  }
  void skip_space() {
    while (!at_end() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }

  // Values and containers without recursion: `open_` holds the kind of each open container.
  bool read_document() {
    for (;;) {
      bool opened = false;
      if (!read_value(opened)) return false;
      if (opened) continue;
      if (!close_containers()) return false;
      if (open_.empty()) return true;
    }
  }

  // Behind a value: closes what ends here and stands before the next value, or at the end of the document.
  bool close_containers() {
    while (!open_.empty()) {
      skip_space();
      const char c = peek();
      const bool is_object = open_.back() == '{';
      if (c == ',' && !at_end()) {
        ++at_;
        skip_space();
        return !is_object || read_key();
      }
      if (c != (is_object ? '}' : ']')) return bad(is_object ? "expected ',' or '}'" : "expected ',' or ']'");
      ++at_;
      open_.pop_back();
    }
    return true;
  }

  bool read_key() {
    if (peek() != '"') return bad("expected a key in quotes");
    if (!read_string()) return false;
    skip_space();
    if (peek() != ':') return bad("expected ':'");
    ++at_;
    skip_space();
    return true;
  }

  // A scalar, an empty container, or (opened) a container with the cursor at its first value.
  bool read_value(bool& opened) {
    const char c = peek();
    if (c == '{' || c == '[') {
      const size_t start = at_++;
      skip_space();
      if (peek() == (c == '{' ? '}' : ']')) {
        ++at_;
        return true;
      }
      if (open_.size() >= depth_max_) return bad(start, "nested too deep");
      open_.push_back(c);
      opened = true;
      return c != '{' || read_key();
    }
    if (c == '"') return read_string();
    if (c == '-' || is_digit(c)) return read_number();
    for (const std::string_view word : {"true", "false", "null"}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return true;
      }
    }
    return bad(at_end() ? "expected a value, found the end" : "expected a value");
  }

  bool read_string() {
    const size_t start = at_++;
    while (!at_end()) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c < 0x20) return bad("a control character must be escaped in a string");
      if (c == '\\') {
        if (!read_escape()) return false;
      } else {
        ++at_;
      }
    }
    return bad(start, "this string has no end");
  }

  bool read_escape() {
    const size_t start = at_++;
    const char c = peek();
    if (c != 'u') {
      if (at_end() || std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos)
        return bad(start, "unknown escape");
      ++at_;
      return true;
    }
    ++at_;
    int code = 0;
    if (!read_hex(code)) return bad(start, "expected four hexadecimal digits after \\u");
    if (code >= 0xDC00 && code <= 0xDFFF) return bad(start, "a low surrogate without a high one");
    if (code < 0xD800 || code > 0xDBFF) return true;
    int low = 0;
    if (text_.substr(at_, 2) != "\\u") return bad(start, "a high surrogate without a low one");
    at_ += 2;
    if (!read_hex(low) || low < 0xDC00 || low > 0xDFFF) return bad(start, "a high surrogate without a low one");
    return true;
  }

  bool read_hex(int& code) {
    for (int i = 0; i < 4; ++i) {
      const int digit = hex_value(peek());
      if (digit < 0) return false;
      code = code * 16 + digit;
      ++at_;
    }
    return true;
  }

  bool read_number() {
    const size_t start = at_;
    if (peek() == '-') ++at_;
    if (!is_digit(peek())) return bad("expected a digit");
    if (peek() == '0') {
      ++at_;
      if (is_digit(peek())) return bad("a number must not begin with 0");
    }
    while (is_digit(peek())) ++at_;
    bool whole = true;
    if (peek() == '.') {
      whole = false;
      ++at_;
      if (!is_digit(peek())) return bad("expected a digit");
      while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      whole = false;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!is_digit(peek())) return bad("expected a digit");
      while (is_digit(peek())) ++at_;
    }
    if (in_range(text_.substr(start, at_ - start), whole)) return true;
    if (large_ == nullptr) return bad(start, "this number is out of range");
    large_->push_back({start, at_});
    return true;
  }

  static bool in_range(std::string_view number, bool whole) {
    if (whole) {
      int64_t small = 0;
      uint64_t large = 0;
      const char* end = number.data() + number.size();
      return std::from_chars(number.data(), end, small).ec == std::errc{} ||
             (number[0] != '-' && std::from_chars(number.data(), end, large).ec == std::errc{});
    }
    const double value = std::strtod(std::string(number).c_str(), nullptr);
    return value - value == 0;
  }

  std::string_view text_;
  size_t depth_max_;
  std::vector<JsonPiece>* large_;
  size_t at_ = 0;
  std::vector<char> open_;
  JsonFault fault_{0, ""};
};

}  // namespace

std::optional<JsonFault> find_json_fault(std::string_view text, size_t depth_max, std::vector<JsonPiece>* large) {
  return Scanner(text, depth_max, large).scan();
}

// Well-formed byte sequences of the Unicode standard, table 3-7.
size_t find_invalid_utf8(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  size_t at = 0;
  while (at < text.size()) {
    const unsigned lead = byte(at);
    size_t more = 0;
    unsigned low = 0x80, high = 0xBF;  // of the second byte
    if (lead < 0x80) {
      ++at;
      continue;
    }
    if (lead >= 0xC2 && lead <= 0xDF) more = 1;
    if (lead >= 0xE0 && lead <= 0xEF) more = 2;
    if (lead >= 0xF0 && lead <= 0xF4) more = 3;
    if (more == 0) return at;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    if (byte(at + 1) < low || byte(at + 1) > high) return at;
    for (size_t i = 2; i <= more; ++i) {
      if (byte(at + i) < 0x80 || byte(at + i) > 0xBF) return at;
    }
    at += more + 1;
  }
  return std::string_view::npos;
}

}  // namespace tamis::event
