// Writing and reading the bytes of snapshots: little-endian numbers and LEB128 variable-length ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "state/bits.h"

namespace tamis::state {

template <class T>
void put_number(std::string& out, T v) {
  out.append(reinterpret_cast<const char*>(&v), sizeof(T));
}

inline void put_varint(std::string& out, uint64_t v) {
  while (v >= 0x80) {
    out.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out.push_back(static_cast<char>(v));
}

inline void put_text(std::string& out, std::string_view text) {
  put_varint(out, text.size());
  out.append(text);
}

// Reads from the front of bytes that nobody vouches for. A read behind the end gives zero and makes ok() false for
// good.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  size_t left() const { return rest_.size(); }

  template <class T>
  T number() {
    T v{};
    std::string_view from = bytes(sizeof(T));
    if (ok_) std::memcpy(&v, from.data(), sizeof(T));
    return v;
  }
  uint64_t varint() {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      auto byte = number<uint8_t>();
      v |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return v;
    }
    ok_ = false;
    return 0;
  }
  std::string_view text() { return bytes(varint()); }
  std::string_view bytes(size_t count) {
    if (count > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace tamis::state
