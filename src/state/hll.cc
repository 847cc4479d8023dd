#include "state/hll.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "state/bits.h"

namespace tamis::state {
namespace {

constexpr uint32_t kNibbleMax = 15, kFrozenMax = 7;
constexpr uint32_t kFrozenBelow = 4;  // so many registers may lie below the base of the frozen ones
constexpr unsigned kPowersBits = 42, kEmptyBits = 13;

uint32_t index_of(uint64_t hash40) { return static_cast<uint32_t>(hash40 & (HllPair::kRegisters - 1)); }

uint32_t rank_of(uint64_t hash40) {
  uint64_t rest = hash40 >> HllPair::kIndexBits;
  return rest == 0 ? HllPair::kRankMax : static_cast<uint32_t>(std::countr_zero(rest)) + 1;
}

// Ertl's sigma: what the empty registers add.
double sigma(double x) {
  if (x == 1) return static_cast<double>(UINT64_MAX);
  double y = 1, z = x, before;
  do {
    x *= x;
    before = z;
    double step = x * y;
    z += step;
    y += y;
  } while (z != before);
  return z;
}

}  // namespace

void HllPair::Sum::change(uint32_t from, uint32_t to) {
  if (from == 0) {
    --empty;
  } else {
    powers -= uint64_t{1} << (kRankMax - from);
  }
  powers += uint64_t{1} << (kRankMax - to);
}

int64_t HllPair::generation_number() const { return static_cast<int64_t>(load_u64(generation) << 16) >> 16; }

void HllPair::set_generation(int64_t number) { std::memcpy(generation, &number, sizeof(generation)); }

void HllPair::begin(int64_t number) {
  std::memset(this, 0, sizeof(*this));
  set_generation(number);
  uint16_t all = kRegisters;
  std::memcpy(at_base, &all, sizeof(all));
  set_sum(Part::kCurrent, Sum{});
  set_sum(Part::kBoth, Sum{});
}

uint32_t HllPair::rank_previous(uint32_t i) const {
  uint32_t v = 0;
  for (uint32_t plane = 0; plane < 3; ++plane) v |= (previous[plane][i / 8] >> (i % 8) & 1u) << plane;
  return previous_base + v;
}

uint32_t HllPair::rank(Part part, uint32_t i) const {
  if (part == Part::kCurrent) return rank_current(i);
  if (part == Part::kPrevious) return rank_previous(i);
  return std::max(rank_current(i), rank_previous(i));
}

HllPair::Sum HllPair::sum(Part part) const {
  bool both = part == Part::kBoth;
  Sum sum;
  uint8_t packed[sizeof(sums) + kBitSlackBytes] = {};
  std::memcpy(packed, sums, sizeof(sums));
  sum.powers = load_bits(packed, both ? kPowersBits : 0, kPowersBits);
  sum.empty = static_cast<uint32_t>(load_bits(packed, 2 * kPowersBits + (both ? kEmptyBits : 0), kEmptyBits));
  return sum;
}

void HllPair::set_sum(Part part, const Sum& sum) {
  bool both = part == Part::kBoth;
  uint8_t packed[sizeof(sums) + kBitSlackBytes] = {};
  std::memcpy(packed, sums, sizeof(sums));
  store_bits(packed, both ? kPowersBits : 0, kPowersBits, sum.powers);
  store_bits(packed, 2 * kPowersBits + (both ? kEmptyBits : 0), kEmptyBits, sum.empty);
  std::memcpy(sums, packed, sizeof(sums));
}

HllPair::Sum HllPair::sum_of_registers(Part part) const {
  Sum sum;
  for (uint32_t i = 0; i < kRegisters; ++i) {
    if (uint32_t r = rank(part, i); r > 0) sum.change(0, r);
  }
  return sum;
}

void HllPair::rotate(int64_t number) {
  uint32_t counts[kRankMax + 1] = {};
  std::array<uint8_t, kRegisters> ranks;
  for (uint32_t i = 0; i < kRegisters; ++i) {
    ranks[i] = static_cast<uint8_t>(rank_current(i));
    ++counts[ranks[i]];
  }
  bool is_next = number == generation_number() + 1;
  begin(number);
  if (!is_next) return;
  uint32_t below = 0, frozen = 0;
  while (frozen < kRankMax && (below += counts[frozen]) <= kFrozenBelow) ++frozen;
  previous_base = static_cast<uint8_t>(frozen);
  for (uint32_t i = 0; i < kRegisters; ++i) {
    uint32_t v = ranks[i] <= frozen ? 0 : std::min(ranks[i] - frozen, kFrozenMax);
    for (uint32_t plane = 0; plane < 3; ++plane) {
      previous[plane][i / 8] = static_cast<uint8_t>(previous[plane][i / 8] | (v >> plane & 1) << (i % 8));
    }
  }
  set_sum(Part::kBoth, sum_of_registers(Part::kPrevious));
}

void HllPair::raise_base() {
  uint16_t left = 0;
  while (left == 0 && base < kRankMax) {
    ++base;
    for (uint8_t& two : current) {
      two = static_cast<uint8_t>(two - 0x11);
      left = static_cast<uint16_t>(left + ((two & 0x0f) == 0) + ((two & 0xf0) == 0));
    }
  }
  std::memcpy(at_base, &left, sizeof(left));
}

void HllPair::add_current(uint32_t i, uint32_t rank) {
  if (rank <= base) return;
  uint32_t shift = i % 2 * 4;
  uint32_t old = current[i / 2] >> shift & 15u, v = std::min(rank - base, kNibbleMax);
  if (v <= old) return;
  uint32_t old_rank = base + old, new_rank = base + v, other = rank_previous(i);
  Sum now = sum(Part::kCurrent);
  now.change(old_rank, new_rank);
  set_sum(Part::kCurrent, now);
  if (new_rank > other) {
    Sum both = sum(Part::kBoth);
    both.change(std::max(old_rank, other), new_rank);
    set_sum(Part::kBoth, both);
  }
  current[i / 2] = static_cast<uint8_t>((current[i / 2] & ~(15u << shift)) | v << shift);
  if (old != 0) return;
  uint16_t left;
  std::memcpy(&left, at_base, sizeof(left));
  --left;
  std::memcpy(at_base, &left, sizeof(left));
  if (left == 0) raise_base();
}

void HllPair::add_previous(uint32_t i, uint32_t rank) {
  if (rank <= previous_base) return;
  uint32_t old_rank = rank_previous(i), v = std::min(rank - previous_base, kFrozenMax);
  uint32_t new_rank = previous_base + v, other = rank_current(i);
  if (new_rank <= old_rank) return;
  for (uint32_t plane = 0; plane < 3; ++plane) {
    uint32_t others = previous[plane][i / 8] & ~(1u << (i % 8));
    previous[plane][i / 8] = static_cast<uint8_t>(others | (v >> plane & 1) << (i % 8));
  }
  if (new_rank <= other) return;
  Sum both = sum(Part::kBoth);
  both.change(std::max(old_rank, other), new_rank);
  set_sum(Part::kBoth, both);
}

void HllPair::add(int64_t number, uint64_t hash40) {
  if (number > generation_number()) rotate(number);
  int64_t now = generation_number();
  if (number == now) {
    add_current(index_of(hash40), rank_of(hash40));
  } else if (number == now - 1) {
    add_previous(index_of(hash40), rank_of(hash40));
  }
}

double HllPair::estimate(Part part, std::span<const uint64_t> more) const {
  Sum all = part == Part::kPrevious ? sum_of_registers(part) : sum(part);
  // Registers that `more` raises, with their new ranks: few, as the list is short.
  struct Raised {
    uint32_t index, rank;
  };
  Raised raised[kMoreMax];
  size_t count = 0;
  for (uint64_t hash40 : more.first(std::min(more.size(), kMoreMax))) {
    uint32_t i = index_of(hash40), r = rank_of(hash40), old = rank(part, i);
    if (r <= old) continue;
    Raised* end = raised + count;
    Raised* at = std::find_if(raised, end, [&](const Raised& other) { return other.index == i; });
    if (at == end) {
      raised[count++] = {i, r};
    } else {
      old = at->rank;
      if (r <= old) continue;
      at->rank = r;
    }
    all.change(old, r);
  }
  if (all.empty == kRegisters) return 0;
  constexpr double kM = kRegisters;
  constexpr double kAlpha = 0.7213475204444817;  // 1 / (2 ln 2)
  double z = static_cast<double>(all.powers) / static_cast<double>(uint64_t{1} << kRankMax);
  double small = sigma(all.empty / kM) * kM;
  return kAlpha * kM * kM / (z + small);
}

bool HllPair::valid() const {
  if (base > kRankMax || previous_base > kRankMax) return false;
  uint32_t left = 0;
  for (uint32_t i = 0; i < kRegisters; ++i) {
    if (rank_current(i) > kRankMax || rank_previous(i) > kRankMax) return false;
    left += rank_current(i) == base;
  }
  uint16_t told;
  std::memcpy(&told, at_base, sizeof(told));
  if (told != left || (left == 0 && base != kRankMax)) return false;
  return sum(Part::kCurrent) == sum_of_registers(Part::kCurrent) && sum(Part::kBoth) == sum_of_registers(Part::kBoth);
}

}  // namespace tamis::state
