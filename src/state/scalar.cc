#include "state/scalar.h"

#include <bit>
#include <cstring>

namespace tamis::state {
namespace {

using event::Kind;
using event::Value;

constexpr size_t kIpBytes = 18;

size_t fixed_bytes(Kind kind) {
  switch (kind) {
    case Kind::kBool:
      return 1 + 1;
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDouble:
    case Kind::kDuration:
      return 1 + 8;
    case Kind::kTimestamp:
      return 1 + 12;
    case Kind::kIp:
    case Kind::kCidr:
      return 1 + kIpBytes;
    default:
      return 0;
  }
}

// The longest front of at most kScalarTextMax bytes that ends with a whole code point.
std::string_view cut(std::string_view text, bool is_utf8) {
  if (text.size() <= kScalarTextMax) return text;
  size_t end = kScalarTextMax;
  while (is_utf8 && end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    auto byte = static_cast<uint8_t>(text[i]);
    size_t length = byte < 0x80                   ? 1
                    : byte >= 0xc2 && byte < 0xe0 ? 2
                    : byte >= 0xe0 && byte < 0xf0 ? 3
                    : byte >= 0xf0 && byte < 0xf5 ? 4
                                                  : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((static_cast<uint8_t>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace

size_t put_scalar(Value v, uint8_t* out) {
  out[0] = static_cast<uint8_t>(v.kind);
  switch (v.kind) {
    case Kind::kBool:
      out[1] = v.b ? 1 : 0;
      break;
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDuration:
      std::memcpy(out + 1, &v.i, 8);
      break;
    case Kind::kDouble: {
      if (v.d != v.d) return 0;
      double d = v.d == 0 ? 0 : v.d;
      std::memcpy(out + 1, &d, 8);
      break;
    }
    case Kind::kTimestamp:
      std::memcpy(out + 1, &v.i, 8);
      std::memcpy(out + 9, &v.size, 4);
      break;
    case Kind::kIp:
    case Kind::kCidr:
      std::memcpy(out + 1, v.ip->bytes, 16);
      out[17] = v.ip->is_v6;
      out[18] = v.kind == Kind::kIp ? 0 : v.ip->prefix;
      break;
    case Kind::kString:
    case Kind::kBytes: {
      std::string_view text = cut(v.str(), v.kind == Kind::kString);
      auto size = static_cast<uint16_t>(text.size());
      std::memcpy(out + 1, &size, 2);
      if (!text.empty()) std::memcpy(out + 3, text.data(), text.size());
      return 3 + text.size();
    }
    default:
      return 0;
  }
  return fixed_bytes(v.kind);
}

size_t scalar_bytes(std::string_view bytes) {
  if (bytes.empty()) return 0;
  auto kind = static_cast<Kind>(bytes[0]);
  auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  if (kind == Kind::kString || kind == Kind::kBytes) {
    if (bytes.size() < 3) return 0;
    size_t size = at(1) | size_t{at(2)} << 8;
    if (size > kScalarTextMax || bytes.size() < 3 + size) return 0;
    if (kind == Kind::kString && !is_utf8(bytes.substr(3, size))) return 0;
    return 3 + size;
  }
  size_t size = fixed_bytes(kind);
  if (size == 0 || bytes.size() < size) return 0;
  if (kind == Kind::kBool && at(1) > 1) return 0;
  if (kind == Kind::kDouble) {
    double d;
    std::memcpy(&d, bytes.data() + 1, 8);
    if (d != d) return 0;
  }
  if (kind == Kind::kTimestamp) {
    constexpr int64_t kSecondsMin = -62'135'596'800, kSecondsMax = 253'402'300'799;  // years 1 to 9999
    int64_t seconds;
    uint32_t nanos;
    std::memcpy(&seconds, bytes.data() + 1, 8);
    std::memcpy(&nanos, bytes.data() + 9, 4);
    if (seconds < kSecondsMin || seconds > kSecondsMax || nanos > 999'999'999) return 0;
  }
  if (kind == Kind::kIp || kind == Kind::kCidr) {
    if (at(17) > 1 || at(18) > (at(17) == 1 ? 128 : 32) || (kind == Kind::kIp && at(18) != 0)) return 0;
  }
  return size;
}

size_t known_scalar_bytes(const uint8_t* bytes) {
  auto kind = static_cast<Kind>(bytes[0]);
  if (size_t size = fixed_bytes(kind); size != 0) return size;
  return 3 + (bytes[1] | size_t{bytes[2]} << 8);
}

Value get_scalar(const uint8_t* bytes, base::Arena& arena) {
  auto kind = static_cast<Kind>(bytes[0]);
  int64_t i = 0;
  if (fixed_bytes(kind) >= 9) std::memcpy(&i, bytes + 1, 8);
  switch (kind) {
    case Kind::kBool:
      return Value::boolean(bytes[1] != 0);
    case Kind::kInt:
      return Value::integer(i);
    case Kind::kUint:
      return Value::uinteger(static_cast<uint64_t>(i));
    case Kind::kDouble:
      return Value::real(std::bit_cast<double>(i));
    case Kind::kDuration:
      return Value::duration(i);
    case Kind::kTimestamp: {
      uint32_t nanos;
      std::memcpy(&nanos, bytes + 9, 4);
      return Value::timestamp(i, nanos);
    }
    case Kind::kIp:
    case Kind::kCidr: {
      event::IpData ip{};
      std::memcpy(ip.bytes, bytes + 1, 16);
      ip.is_v6 = bytes[17];
      ip.prefix = bytes[18];
      const event::IpData* copy = arena.make(ip);
      return kind == Kind::kIp ? Value::ip_of(copy) : Value::cidr_of(copy);
    }
    default: {
      uint16_t size;
      std::memcpy(&size, bytes + 1, 2);
      std::string_view text = arena.copy({reinterpret_cast<const char*>(bytes + 3), size});
      return kind == Kind::kString ? Value::string(text) : Value::bytes(text);
    }
  }
}

}  // namespace tamis::state
