// Clock: where time comes from. Everything that needs the time takes a Clock, so that tests and replays decide what
// time it is. The engine itself never asks a clock: time reaches it in journaled records (docs/ARCHITECTURE.md).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace tamis::base {

// Implementations are thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time since the epoch. It can jump when the machine's clock is set.
  virtual int64_t now_ms() const = 0;
  // Never goes back; for durations and timeouts. Its zero means nothing.
  virtual int64_t steady_ns() const = 0;
};

class SystemClock final : public Clock {
 public:
  int64_t now_ms() const override {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  }
  int64_t steady_ns() const override {
    using namespace std::chrono;
    return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
  }
};

// A clock that stands still until it is told otherwise.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t now_ms = 0) : now_ms_(now_ms) {}
  int64_t now_ms() const override { return now_ms_.load(std::memory_order_relaxed); }
  int64_t steady_ns() const override { return steady_ns_.load(std::memory_order_relaxed); }
  // Moves both times; `by_ms` is not negative.
  void advance_ms(int64_t by_ms) {
    now_ms_.fetch_add(by_ms, std::memory_order_relaxed);
    steady_ns_.fetch_add(by_ms * 1'000'000, std::memory_order_relaxed);
  }
  // Sets the wall time alone, as an administrator would.
  void set_ms(int64_t now_ms) { now_ms_.store(now_ms, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> now_ms_;
  std::atomic<int64_t> steady_ns_{0};
};

}  // namespace tamis::base
