// JsonTape: the result of simdjson's parser, read in place. Its format is documented with simdjson ("tape.md"): one
// word per scalar, key or bracket, a type letter in the high byte; numbers have their bits in a second word, text lies
// in a string buffer behind its length, an opening bracket knows its end and how much it holds. Reading it directly
// spares the checks of simdjson's element type, which cost more than the parse. Private to event/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace tamis::event {

class JsonTape {
 public:
  enum class Kind : char {
    kString = '"',
    kInt = 'l',
    kUint = 'u',  // above the range of int64
    kDouble = 'd',
    kTrue = 't',
    kFalse = 'f',
    kNull = 'n',
    kObject = '{',
    kArray = '[',
  };
  static constexpr size_t kRoot = 1;

  JsonTape() = default;
  JsonTape(const uint64_t* words, const uint8_t* strings) : words_(words), strings_(strings) {}

  Kind kind(size_t at) const { return static_cast<Kind>(words_[at] >> 56); }
  std::string_view text(size_t at) const {
    const uint8_t* start = strings_ + (words_[at] & kPayload);
    uint32_t bytes;
    std::memcpy(&bytes, start, sizeof bytes);
    return {reinterpret_cast<const char*>(start + sizeof bytes), bytes};
  }
  int64_t integer(size_t at) const { return static_cast<int64_t>(words_[at + 1]); }
  uint64_t uinteger(size_t at) const { return words_[at + 1]; }
  double real(size_t at) const {
    double value;
    std::memcpy(&value, &words_[at + 1], sizeof value);
    return value;
  }

  // Members of an array or object: from first() while not end(). In an object, keys and values alternate, and the
  // value stands right behind its key.
  size_t first(size_t at) const { return at + 1; }
  size_t end(size_t at) const { return (words_[at] & 0xFFFFFFFF) - 1; }
  size_t next(size_t at) const {
    switch (kind(at)) {
      case Kind::kObject:
      case Kind::kArray:
        return words_[at] & 0xFFFFFFFF;
      case Kind::kInt:
      case Kind::kUint:
      case Kind::kDouble:
        return at + 2;
      default:
        return at + 1;
    }
  }
  size_t count(size_t at) const { return (words_[at] >> 32) & kCountMax; }
  static constexpr size_t kCountMax = 0xFFFFFF;  // also stands for more

 private:
  static constexpr uint64_t kPayload = (uint64_t{1} << 56) - 1;
  const uint64_t* words_ = nullptr;
  const uint8_t* strings_ = nullptr;
};

}  // namespace tamis::event
