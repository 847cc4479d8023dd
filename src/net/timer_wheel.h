// TimerWheel: deadlines of many connections, coarse and cheap (a hashed wheel; Varghese and Lauck 1987). Arming and
// cancelling are a few stores. Due times are rounded up to kTickMs; far ones come round early and are armed again by
// their owner, so the owner of a link that is handed out must look at its own deadline. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tamis::net {

struct TimerLink {
  TimerLink* previous = nullptr;  // null: not armed
  TimerLink* next = nullptr;
  uint64_t due_tick = 0;
};

class TimerWheel {
 public:
  static constexpr uint64_t kTickMs = 64;
  static constexpr size_t kSlots = 1024;  // one round is 65 s

  explicit TimerWheel(uint64_t now_ms) : now_tick_(now_ms / kTickMs) {
    for (TimerLink& head : heads_) head.previous = head.next = &head;
  }
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  bool is_armed(const TimerLink& link) const { return link.previous != nullptr; }
  // When an armed link comes out, at the latest a tick later.
  uint64_t due_ms(const TimerLink& link) const { return link.due_tick * kTickMs; }

  void arm(TimerLink& link, uint64_t at_ms) {
    cancel(link);
    uint64_t tick = (at_ms + kTickMs - 1) / kTickMs;
    if (tick <= now_tick_) tick = now_tick_ + 1;
    if (tick >= now_tick_ + kSlots) tick = now_tick_ + kSlots - 1;
    link.due_tick = tick;
    TimerLink& head = heads_[tick % kSlots];
    link.previous = head.previous;
    link.next = &head;
    head.previous->next = &link;
    head.previous = &link;
    ++armed_;
  }

  void cancel(TimerLink& link) {
    if (!is_armed(link)) return;
    link.previous->next = link.next;
    link.next->previous = link.previous;
    link.previous = link.next = nullptr;
    --armed_;
  }

  // Takes out every link that is due and hands it to `fire`, which may arm and cancel any link.
  template <class Fire>
  void advance(uint64_t now_ms, Fire&& fire) {
    uint64_t target = now_ms / kTickMs;
    // After a long pause one round visits every slot.
    if (target > now_tick_ + kSlots) now_tick_ = target - kSlots;
    while (now_tick_ < target) {
      TimerLink& head = heads_[++now_tick_ % kSlots];
      while (head.next != &head) {
        TimerLink& link = *head.next;
        cancel(link);
        fire(link);
      }
    }
  }

  // Milliseconds until the next link may be due, -1 when none is armed.
  int64_t wait_ms(uint64_t now_ms) const {
    if (armed_ == 0) return -1;
    for (uint64_t tick = now_tick_ + 1; tick < now_tick_ + kSlots; ++tick) {
      const TimerLink& head = heads_[tick % kSlots];
      if (head.next == &head) continue;
      return tick * kTickMs > now_ms ? static_cast<int64_t>(tick * kTickMs - now_ms) : 0;
    }
    return 0;
  }

 private:
  std::array<TimerLink, kSlots> heads_;
  uint64_t now_tick_;
  size_t armed_ = 0;
};

}  // namespace tamis::net
