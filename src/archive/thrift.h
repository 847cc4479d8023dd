// Thrift's compact protocol, as far as the footers and page headers of Parquet need it. Private.
//
// Bytes are foreign: every read is bounded, and the first that does not fit makes the reader fail for good; what it
// gives afterwards is 0 or empty.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tamis::archive {

class ThriftReader {
 public:
  enum Kind : uint8_t {
    kStop = 0,
    kTrue = 1,
    kFalse = 2,
    kByte = 3,
    kI16 = 4,
    kI32 = 5,
    kI64 = 6,
    kDouble = 7,
    kBinary = 8,
    kList = 9,
    kSet = 10,
    kMap = 11,
    kStruct = 12,
  };

  explicit ThriftReader(std::string_view bytes) : bytes_(bytes) {}
  bool failed() const { return failed_; }
  size_t at() const { return at_; }

  // Calls take(id, kind) for each field of a struct; `take` reads the field, or gives false to have it skipped.
  template <class Take>
  void each_field(Take&& take) {
    if (++depth_ > kDepthMax) return fail();
    int32_t id = 0;
    while (!failed_) {
      const uint8_t head = byte();
      const auto kind = static_cast<Kind>(head & 15);
      if (failed_ || kind == kStop) break;
      const int64_t next = (head >> 4) != 0 ? id + (head >> 4) : integer();
      if (next < 0 || next > INT16_MAX) return fail();
      id = static_cast<int32_t>(next);
      if (!take(id, kind)) skip(kind);
    }
    --depth_;
  }
  // Calls take() for each item of a list.
  template <class Take>
  void each_item(Take&& take) {
    uint8_t kind = 0;
    for (uint64_t left = list_size(kind); left > 0 && !failed_; --left) take(static_cast<Kind>(kind));
  }

  // How many items follow, and of which kind; for whoever reads them one by one.
  uint64_t list_size(uint8_t& kind);
  int64_t integer();  // zigzag, of any width
  std::string_view binary();
  void skip(Kind kind);

 private:
  static constexpr int kDepthMax = 16;

  void fail() { failed_ = true; }
  uint8_t byte();
  uint64_t varint();

  std::string_view bytes_;
  size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
};

// Writes what the reader reads.
class ThriftWriter {
 public:
  using Kind = ThriftReader::Kind;

  void begin() {  // a struct
    before_.push_back(id_);
    id_ = 0;
  }
  void end() {
    bytes_.push_back('\0');
    id_ = before_.back();
    before_.pop_back();
  }
  void field(int32_t id, Kind kind);  // ahead of its value; the value of a boolean is its kind
  void list(Kind kind, uint64_t size);
  void integer(int64_t value);
  void binary(std::string_view bytes);
  void raw(std::string_view bytes) { bytes_ += bytes; }  // of values, as they are
  std::string take() { return std::move(bytes_); }

 private:
  void varint(uint64_t value);

  std::string bytes_;
  std::vector<int32_t> before_;  // of structs that are begun: the last field
  int32_t id_ = 0;
};

}  // namespace tamis::archive
