// The keys of a signup: combinations of attributes from different views, as places where members of one campaign meet.
#pragma once

#include <array>
#include <cstdint>

#include "detect/cluster_model.h"

namespace tamis::detect {

inline constexpr int kPairKeys = 23;  // of two views or more: they can begin a cluster
inline constexpr int kSoloKeys = 6;   // of one attribute: they only lead to clusters
inline constexpr int kKeys = kPairKeys + kSoloKeys;

struct SignupKeys {
  std::array<uint64_t, kKeys> key{};  // 0: an attribute is not given
};
SignupKeys signup_keys(const SignupFacts& facts);
// The one of `key` under which signups with the same cookie meet; 0: there is none.
uint64_t cookie_key(const SignupFacts& facts);
// How likely each pair key is by chance.
std::array<double, kPairKeys> chance_of(const SignupFacts& facts, const Expected& expected);
// Classes of networks whose signups meet in one key: access networks, hosting and VPN, Tor.
inline constexpr int kNetGroups = 3;
int net_group(NetClass net);

}  // namespace tamis::detect
