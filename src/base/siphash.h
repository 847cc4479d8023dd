// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed hash
// for short inputs. Whoever does not know the key can neither find out whose hash it is nor make inputs that collide.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tamis::base {

using SipKey = std::array<uint64_t, 2>;

std::array<uint64_t, 2> siphash128(const SipKey& key, std::string_view text);

}  // namespace tamis::base
