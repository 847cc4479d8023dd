// RateLimiter: how often each of many keys (a token, an address) may do something. The generic cell rate algorithm
// (ITU-T I.371), which is a token bucket that needs one number per key. Fixed memory: 16 bytes times `keys_max`; when
// keys collide the least limited one is forgotten, so flooding it with keys frees nobody who is being limited.
// Thread-safe. Cost: about 20 ns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace tamis::net {

struct RateLimit {
  double per_s = 0;  // 0: unlimited
  double burst = 1;  // how much may come at once after a pause
};

class RateLimiter {
 public:
  explicit RateLimiter(RateLimit limit, size_t keys_max = 65'536);

  // Takes `cost` from the key's allowance. Returns 0 when that was possible, else after how many ms it will be; nothing
  // is taken then. A cost above the burst is possible when the allowance is full, and is then paid off afterwards.
  uint64_t take(uint64_t key, uint64_t now_ms, double cost = 1);
  bool unlimited() const { return interval_ns_ == 0; }

 private:
  static constexpr size_t kWays = 8;
  static constexpr size_t kLocks = 64;
  struct Slot {
    uint64_t key = 0;      // 0: unused
    uint64_t full_ns = 0;  // when the allowance will be full again
  };

  double interval_ns_;  // of one unit
  uint64_t burst_ns_;
  size_t set_mask_;
  std::vector<std::array<Slot, kWays>> sets_;
  std::array<std::mutex, kLocks> locks_;  // of sets, by their index
};

}  // namespace tamis::net
