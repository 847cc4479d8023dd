#include "state/hll.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tamis::state {
namespace {

constexpr uint32_t kNibbleMax = 15, kFrozenMax = 7;
constexpr uint32_t kFrozenBelow = 4;  // so many registers may lie below the base of the frozen ones

uint32_t index_of(uint64_t hash40) { return static_cast<uint32_t>(hash40 & (HllPair::kRegisters - 1)); }

uint32_t rank_of(uint64_t hash40) {
  uint64_t rest = hash40 >> HllPair::kIndexBits;
  return rest == 0 ? HllPair::kRankMax : static_cast<uint32_t>(std::countr_zero(rest)) + 1;
}

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

int64_t HllPair::generation_number() const {
  uint64_t number = 0;
  std::memcpy(&number, generation, sizeof(generation));
  return static_cast<int64_t>(number << 16) >> 16;
}

void HllPair::set_generation(int64_t number) { std::memcpy(generation, &number, sizeof(generation)); }

void HllPair::begin(int64_t number) {
  std::memset(this, 0, sizeof(*this));
  set_generation(number);
  uint16_t all = kRegisters;
  std::memcpy(at_base, &all, sizeof(all));
}

void HllPair::rotate(int64_t number) {
  uint32_t counts[HllPair::kRankMax + kNibbleMax + 2] = {};
  std::array<uint8_t, kRegisters> ranks;
  for (uint32_t i = 0; i < kRegisters; ++i) {
    uint32_t rank = base + (current[i / 2] >> (i % 2 * 4) & 15u);
    ranks[i] = static_cast<uint8_t>(rank);
    ++counts[rank];
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

void HllPair::add(int64_t number, uint64_t hash40) {
  int64_t now = generation_number();
  if (number > now) {
    rotate(number);
    now = number;
  }
  uint32_t i = index_of(hash40), rank = rank_of(hash40);
  if (number == now) {
    if (rank <= base) return;
    uint32_t shift = i % 2 * 4;
    uint32_t old = current[i / 2] >> shift & 15u, v = std::min(rank - base, kNibbleMax);
    if (v <= old) return;
    current[i / 2] = static_cast<uint8_t>((current[i / 2] & ~(15u << shift)) | v << shift);
    if (old != 0) return;
    uint16_t left;
    std::memcpy(&left, at_base, sizeof(left));
    --left;
    std::memcpy(at_base, &left, sizeof(left));
    if (left == 0) raise_base();
  } else if (number == now - 1 && rank > previous_base) {
    uint32_t bit = i % 8, old = 0, v = std::min(rank - previous_base, kFrozenMax);
    for (uint32_t plane = 0; plane < 3; ++plane) old |= (previous[plane][i / 8] >> bit & 1u) << plane;
    for (uint32_t plane = 0; v > old && plane < 3; ++plane) {
      uint32_t others = previous[plane][i / 8] & ~(1u << bit);
      previous[plane][i / 8] = static_cast<uint8_t>(others | (v >> plane & 1) << bit);
    }
  }
}

bool HllPair::valid() const {
  uint32_t left = 0;
  for (uint8_t two : current) left += ((two & 0x0f) == 0) + ((two & 0xf0) == 0);
  uint16_t told;
  std::memcpy(&told, at_base, sizeof(told));
  return base <= kRankMax && previous_base <= kRankMax && told == left && (left > 0 || base == kRankMax);
}

void HllRegisters::add_current(const HllPair& pair) {
  for (uint32_t i = 0; i < HllPair::kRegisters / 2; ++i) {
    uint8_t low = static_cast<uint8_t>(pair.base + (pair.current[i] & 15));
    uint8_t high = static_cast<uint8_t>(pair.base + (pair.current[i] >> 4));
    ranks_[2 * i] = std::max(ranks_[2 * i], low);
    ranks_[2 * i + 1] = std::max(ranks_[2 * i + 1], high);
  }
}

void HllRegisters::add_previous(const HllPair& pair) {
  for (uint32_t i = 0; i < HllPair::kRegisters; i += 8) {
    uint32_t a = pair.previous[0][i / 8], b = pair.previous[1][i / 8], c = pair.previous[2][i / 8];
    for (uint32_t bit = 0; bit < 8; ++bit) {
      uint32_t v = (a >> bit & 1) | (b >> bit & 1) << 1 | (c >> bit & 1) << 2;
      ranks_[i + bit] = std::max(ranks_[i + bit], static_cast<uint8_t>(pair.previous_base + v));
    }
  }
}

void HllRegisters::add(uint64_t hash40) {
  uint8_t& rank = ranks_[index_of(hash40)];
  rank = std::max(rank, static_cast<uint8_t>(rank_of(hash40)));
}

double HllRegisters::estimate() const {
  // Four histograms, as equal ranks next to each other would wait for each other.
  constexpr uint32_t kRanks = 64;
  uint32_t counts[4][kRanks] = {};
  for (uint32_t i = 0; i < HllPair::kRegisters; i += 4) {
    for (uint32_t lane = 0; lane < 4; ++lane) ++counts[lane][ranks_[i + lane]];
  }
  constexpr double kM = HllPair::kRegisters;
  constexpr double kAlpha = 0.7213475204444817;  // 1 / (2 ln 2)
  double z = 0;
  for (uint32_t k = kRanks - 1; k > 0; --k) {
    z += static_cast<double>(counts[0][k] + counts[1][k] + counts[2][k] + counts[3][k]);
    z *= 0.5;
  }
  uint32_t empty = counts[0][0] + counts[1][0] + counts[2][0] + counts[3][0];
  if (empty == HllPair::kRegisters) return 0;
  double small = sigma(empty / kM) * kM;
  return kAlpha * kM * kM / (z + small);
}

}  // namespace tamis::state
