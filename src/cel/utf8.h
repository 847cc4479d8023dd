// Code points of UTF-8 text. Text in the house is valid UTF-8, checked where bytes enter; these functions are safe on
// any bytes all the same, and count a stray byte as a code point of its own only where that costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tamis::cel {

inline bool is_utf8_start(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// The number of code points. The loop is one that compilers vectorise.
inline size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (char c : text) count += is_utf8_start(c);
  return count;
}

// Bytes of the code point that starts at text[at], never past the end.
inline size_t code_point_bytes(std::string_view text, size_t at) {
  size_t end = at + 1;
  while (end < text.size() && !is_utf8_start(text[end])) ++end;
  return end - at;
}

// The byte offset of code point number `index`, counted from byte `from`; text.size() if there are not so many.
inline size_t code_point_offset(std::string_view text, size_t index, size_t from = 0) {
  while (from < text.size() && index > 0) {
    from += code_point_bytes(text, from);
    --index;
  }
  return from;
}

// Decodes the code point at text[at] and moves `at` behind it. Malformed bytes give U+FFFD and move by one.
uint32_t decode_code_point(std::string_view text, size_t& at);
// Writes one code point, at most 4 bytes; returns how many.
size_t encode_code_point(uint32_t code_point, char* out);
// True for well-formed UTF-8 (Unicode 15, table 3-7: no surrogates, no overlong forms).
bool is_valid_utf8(std::string_view bytes);
// Unicode White_Space.
bool is_white_space(uint32_t code_point);

}  // namespace tamis::cel
