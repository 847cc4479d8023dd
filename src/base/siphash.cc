#include "base/siphash.h"

#include <bit>
#include <cstring>

namespace tamis::base {
namespace {

void sip_round(uint64_t v[4]) {
  v[0] += v[1];
  v[1] = std::rotl(v[1], 13) ^ v[0];
  v[0] = std::rotl(v[0], 32);
  v[2] += v[3];
  v[3] = std::rotl(v[3], 16) ^ v[2];
  v[0] += v[3];
  v[3] = std::rotl(v[3], 21) ^ v[0];
  v[2] += v[1];
  v[1] = std::rotl(v[1], 17) ^ v[2];
  v[2] = std::rotl(v[2], 32);
}

}  // namespace

std::array<uint64_t, 2> siphash128(const SipKey& key, std::string_view text) {
  static_assert(std::endian::native == std::endian::little);
  uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du ^ 0xee, key[0] ^ 0x6c7967656e657261u,
                   key[1] ^ 0x7465646279746573u};
  auto absorb = [&](uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
  };
  size_t whole = text.size() / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    absorb(word);
  }
  uint64_t last = uint64_t{text.size()} << 56;
  if (text.size() > whole) std::memcpy(&last, text.data() + whole, text.size() - whole);
  absorb(last);
  v[2] ^= 0xee;
  for (int i = 0; i < 4; ++i) sip_round(v);
  uint64_t first = v[0] ^ v[1] ^ v[2] ^ v[3];
  v[1] ^= 0xdd;
  for (int i = 0; i < 4; ++i) sip_round(v);
  return {first, v[0] ^ v[1] ^ v[2] ^ v[3]};
}

}  // namespace tamis::base
