#include "archive/thrift.h"

namespace tamis::archive {

uint8_t ThriftReader::byte() {
  if (at_ >= bytes_.size()) {
    fail();
    return 0;
  }
  return static_cast<uint8_t>(bytes_[at_++]);
}

uint64_t ThriftReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const uint8_t next = byte();
    value |= static_cast<uint64_t>(next & 127) << shift;
    if ((next & 128) == 0) return failed_ ? 0 : value;
  }
  fail();
  return 0;
}

int64_t ThriftReader::integer() {
  const uint64_t value = varint();
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

std::string_view ThriftReader::binary() {
  const uint64_t size = varint();
  if (failed_ || size > bytes_.size() - at_) {
    fail();
    return {};
  }
  const std::string_view text = bytes_.substr(at_, size);
  at_ += size;
  return text;
}

uint64_t ThriftReader::list_size(uint8_t& kind) {
  const uint8_t head = byte();
  kind = head & 15;
  const uint64_t size = (head >> 4) == 15 ? varint() : head >> 4;
  // An item has a byte at least.
  if (failed_ || size > bytes_.size() - at_) {
    fail();
    return 0;
  }
  return size;
}

void ThriftReader::skip(Kind kind) {
  switch (kind) {
    case kTrue:
    case kFalse:
      return;
    case kByte:
      byte();
      return;
    case kI16:
    case kI32:
    case kI64:
      varint();
      return;
    case kDouble:
      for (int i = 0; i < 8; ++i) byte();
      return;
    case kBinary:
      binary();
      return;
    case kList:
    case kSet: {
      if (++depth_ > kDepthMax) return fail();
      // Booleans in a list have a byte each, unlike those of fields.
      each_item([this](Kind item) { skip(item == kTrue || item == kFalse ? kByte : item); });
      --depth_;
      return;
    }
    case kStruct:
      return each_field([](int32_t, Kind) { return false; });
    default:
      fail();  // maps do not come in Parquet
  }
}

void ThriftWriter::varint(uint64_t value) {
  for (; value > 127; value >>= 7) bytes_.push_back(static_cast<char>((value & 127) | 128));
  bytes_.push_back(static_cast<char>(value));
}

void ThriftWriter::integer(int64_t value) {
  varint((static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63));
}

void ThriftWriter::binary(std::string_view bytes) {
  varint(bytes.size());
  bytes_ += bytes;
}

void ThriftWriter::field(int32_t id, Kind kind) {
  const int32_t step = id - id_;
  if (step > 0 && step < 16) {
    bytes_.push_back(static_cast<char>(step << 4 | kind));
  } else {
    bytes_.push_back(static_cast<char>(kind));
    integer(id);
  }
  id_ = id;
}

void ThriftWriter::list(Kind kind, uint64_t size) {
  if (size < 15) {
    bytes_.push_back(static_cast<char>(size << 4 | kind));
  } else {
    bytes_.push_back(static_cast<char>(15 << 4 | kind));
    varint(size);
  }
}

}  // namespace tamis::archive
