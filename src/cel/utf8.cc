#include "cel/utf8.h"

#include <cstring>

namespace tamis::cel {

namespace {

// The number of bytes of a well-formed sequence at `p`, or 0. `left` bytes are readable.
size_t sequence_bytes(const unsigned char* p, size_t left, uint32_t& code_point) {
  auto continues = [&](size_t i) { return i < left && (p[i] & 0xc0) == 0x80; };
  unsigned char c = p[0];
  if (c < 0x80) {
    code_point = c;
    return 1;
  }
  if (c >= 0xc2 && c <= 0xdf && continues(1)) {
    code_point = (c & 0x1fu) << 6 | (p[1] & 0x3fu);
    return 2;
  }
  if (c >= 0xe0 && c <= 0xef && continues(1) && continues(2)) {
    code_point = (c & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
    return code_point >= 0x800 && !surrogate ? 3 : 0;
  }
  if (c >= 0xf0 && c <= 0xf4 && continues(1) && continues(2) && continues(3)) {
    code_point = (c & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
    return code_point >= 0x10000 && code_point <= 0x10ffff ? 4 : 0;
  }
  return 0;
}

}  // namespace

uint32_t decode_code_point(std::string_view text, size_t& at) {
  uint32_t code_point = 0xfffd;
  size_t bytes = sequence_bytes(reinterpret_cast<const unsigned char*>(text.data()) + at, text.size() - at, code_point);
  at += bytes == 0 ? 1 : bytes;
  return bytes == 0 ? 0xfffd : code_point;
}

size_t encode_code_point(uint32_t c, char* out) {
  auto put = [&](size_t i, uint32_t byte) { out[i] = static_cast<char>(byte); };
  if (c < 0x80) {
    put(0, c);
    return 1;
  }
  if (c < 0x800) {
    put(0, 0xc0 | c >> 6);
    put(1, 0x80 | (c & 0x3f));
    return 2;
  }
  if (c < 0x10000) {
    put(0, 0xe0 | c >> 12);
    put(1, 0x80 | (c >> 6 & 0x3f));
    put(2, 0x80 | (c & 0x3f));
    return 3;
  }
  put(0, 0xf0 | c >> 18);
  put(1, 0x80 | (c >> 12 & 0x3f));
  put(2, 0x80 | (c >> 6 & 0x3f));
  put(3, 0x80 | (c & 0x3f));
  return 4;
}

bool is_valid_utf8(std::string_view bytes) {
  const unsigned char* p = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  while (left > 0) {
    if (left >= 8) {
      uint64_t word;
      std::memcpy(&word, p, 8);
      if ((word & 0x8080808080808080u) == 0) {
        p += 8;
        left -= 8;
        continue;
      }
    }
    uint32_t code_point;
    size_t size = sequence_bytes(p, left, code_point);
    if (size == 0) return false;
    p += size;
    left -= size;
  }
  return true;
}

bool is_white_space(uint32_t c) {
  if (c <= 0x20) return c == 0x20 || (c >= 0x09 && c <= 0x0d);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}

}  // namespace tamis::cel
