#include "net/rate_limit.h"

#include <bit>

#include "base/assert.h"
#include "base/hash.h"

namespace tamis::net {

RateLimiter::RateLimiter(RateLimit limit, size_t keys_max)
    : interval_ns_(limit.per_s > 0 ? 1e9 / limit.per_s : 0),
      burst_ns_(static_cast<uint64_t>(interval_ns_ * (limit.burst > 1 ? limit.burst : 1))) {
  TAMIS_ASSERT(keys_max >= 1 && keys_max <= size_t{1} << 30);
  size_t sets = unlimited() ? 1 : std::bit_ceil((keys_max + kWays - 1) / kWays);
  set_mask_ = sets - 1;
  sets_.resize(sets);
}

uint64_t RateLimiter::take(uint64_t key, uint64_t now_ms, double cost) {
  if (unlimited()) return 0;
  if (key == 0) key = 1;
  uint64_t now_ns = now_ms * 1'000'000;
  size_t index = base::mix64(key) & set_mask_;
  std::lock_guard lock(locks_[index % kLocks]);
  auto& set = sets_[index];
  Slot* slot = &set[0];
  for (Slot& candidate : set) {
    if (candidate.key == key) {
      slot = &candidate;
      break;
    }
    if (candidate.full_ns < slot->full_ns) slot = &candidate;
  }
  uint64_t full_ns = slot->key == key && slot->full_ns > now_ns ? slot->full_ns : now_ns;
  auto cost_ns = static_cast<uint64_t>(interval_ns_ * cost);
  uint64_t spent_ns = full_ns - now_ns;
  if (spent_ns > 0 && spent_ns + cost_ns > burst_ns_) {
    uint64_t over_ns = cost_ns > burst_ns_ ? spent_ns : spent_ns + cost_ns - burst_ns_;
    return over_ns == 0 ? 1 : (over_ns + 999'999) / 1'000'000;
  }
  slot->key = key;
  slot->full_ns = full_ns + cost_ns;
  return 0;
}

}  // namespace tamis::net
