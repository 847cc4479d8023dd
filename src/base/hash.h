// 64-bit hashing for tables, shards, canaries and keys of state: XXH3 (https://xxhash.com, stable across releases).
// Fast, not cryptographic: whoever stores tokens of identifiers uses a keyed MAC instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tamis::base {

uint64_t hash64(const void* data, size_t bytes, uint64_t seed = 0);
inline uint64_t hash64(std::string_view text, uint64_t seed = 0) { return hash64(text.data(), text.size(), seed); }

// A bijective finaliser (SplitMix64, Steele et al. 2014): turns a counter or an integer key into well-mixed bits.
inline uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

inline uint64_t combine64(uint64_t a, uint64_t b) { return mix64(a ^ (mix64(b) + 0x9e3779b97f4a7c15u)); }

}  // namespace tamis::base
