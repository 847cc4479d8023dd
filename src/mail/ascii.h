// ASCII helpers of the parsers: bytes over 127 are never letters here. Inline, because every byte of a message passes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tamis::mail {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alnum(char c) { return is_alpha(c) || is_digit(c); }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// A set of bytes as a table: one load a byte, where a chain of comparisons would be mispredicted.
class ByteSet {
 public:
  template <class Test>
  constexpr explicit ByteSet(const Test& test) {
    for (size_t i = 0; i < has_.size(); ++i) has_[i] = test(static_cast<char>(static_cast<unsigned char>(i))) ? 1 : 0;
  }
  constexpr bool has(char c) const { return has_[static_cast<unsigned char>(c)] != 0; }

 private:
  std::array<uint8_t, 256> has_{};
};

// `lower` is lower case already.
constexpr bool equals_lower(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (to_lower(text[i]) != lower[i]) return false;
  }
  return true;
}
constexpr bool starts_lower(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() && equals_lower(text.substr(0, lower.size()), lower);
}
// Where `lower` first occurs, in either case; npos if nowhere. For short needles: text length times needle length.
constexpr size_t find_lower(std::string_view text, std::string_view lower, size_t from = 0) {
  for (size_t i = from; i + lower.size() <= text.size(); ++i) {
    if (to_lower(text[i]) == lower[0] && equals_lower(text.substr(i, lower.size()), lower)) return i;
  }
  return std::string_view::npos;
}
constexpr std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace tamis::mail
