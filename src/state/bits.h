// Fields of any width up to 64 bits, packed without gaps into bytes. Records of features are stored this way.
//
// Reading and writing touch up to 8 bytes from the byte of the first bit on (9 for fields wider than 57 bits), so
// whoever owns the bytes keeps kBitSlackBytes readable and writable ones behind the last field.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tamis::state {

static_assert(std::endian::native == std::endian::little, "packed records and snapshots are little-endian");

inline constexpr size_t kBitSlackBytes = 9;

inline uint64_t load_u64(const uint8_t* from) {
  uint64_t v;
  std::memcpy(&v, from, 8);
  return v;
}

inline void store_u64(uint8_t* to, uint64_t v) { std::memcpy(to, &v, 8); }

inline uint64_t mask_of(unsigned width) { return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1; }

inline uint64_t load_bits(const uint8_t* bytes, size_t bit, unsigned width) {
  const uint8_t* at = bytes + bit / 8;
  unsigned shift = bit % 8;
  uint64_t v = load_u64(at) >> shift;
  if (width + shift > 64) [[unlikely]]
    v |= uint64_t{at[8]} << (64 - shift);
  return v & mask_of(width);
}

// `v` must fit into `width` bits.
inline void store_bits(uint8_t* bytes, size_t bit, unsigned width, uint64_t v) {
  uint8_t* at = bytes + bit / 8;
  unsigned shift = bit % 8;
  uint64_t mask = mask_of(width);
  store_u64(at, (load_u64(at) & ~(mask << shift)) | (v << shift));
  if (width + shift > 64) [[unlikely]] {
    uint8_t high_mask = static_cast<uint8_t>(mask >> (64 - shift));
    at[8] = static_cast<uint8_t>((at[8] & ~high_mask) | (v >> (64 - shift)));
  }
}

// Writes fields one after the other.
class BitWriter {
 public:
  explicit BitWriter(uint8_t* out) : out_(out) {}

  // `v` must fit into `width` bits; `width` is at least 1.
  void put(uint64_t v, unsigned width) {
    pending_ |= v << fill_;
    unsigned fill = fill_ + width;
    if (fill >= 64) {
      store_u64(out_, pending_);
      out_ += 8;
      pending_ = fill_ == 0 ? 0 : v >> (64 - fill_);
      fill -= 64;
    }
    fill_ = fill;
  }
  // Writes what is pending, up to a whole byte; returns the byte behind the last one.
  uint8_t* end() {
    store_u64(out_, pending_);
    return out_ + (fill_ + 7) / 8;
  }

 private:
  uint8_t* out_;
  uint64_t pending_ = 0;
  unsigned fill_ = 0;
};

// Small absolute values to small unsigned ones.
inline uint64_t zigzag(int64_t v) { return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63); }
inline int64_t unzigzag(uint64_t v) { return static_cast<int64_t>((v >> 1) ^ (~(v & 1) + 1)); }

inline unsigned width_of(uint64_t v) { return static_cast<unsigned>(std::bit_width(v)); }

}  // namespace tamis::state
