// Tells apart the campaigns that one cluster has gathered: those of one tool or through one kind of network share
// enough to meet in one cluster, and differ in more than one thing at once. Work for the background: never on an
// event's way.
//
// The members are parted in two where that predicts each of them, left out in turn, better than one model of all does,
// and better in at least two groups of attributes that have nothing to do with each other. One campaign with three
// devices differs in the device alone, and stays whole.
#pragma once

#include <cstdint>
#include <vector>

#include "detect/signup_facts.h"

namespace tamis::detect {

inline constexpr size_t kPartedMax =
    20'000;  // members that are looked at of one cluster; the rest is taken for the first part
inline constexpr size_t kPartsMax = 16;

// The part of each member; 0 is the largest one. All zero: they belong together. Deterministic.
std::vector<uint32_t> part_members(const std::vector<const SignupFacts*>& members);

// Whether two groups of members are campaigns of their own: the same test, of this one split.
bool are_apart(const std::vector<const SignupFacts*>& one, const std::vector<const SignupFacts*>& other);

}  // namespace tamis::detect
