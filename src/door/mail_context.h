// What the mail doors share: the scanner they ask, their limits, and the memory that messages in progress may take.
// Private to this room.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "door/mail_doors.h"
#include "door/mail_scanner.h"

namespace tamis::net {
class TokenStore;
}

namespace tamis::door {

// Bytes of messages in progress over all connections of all mail doors.
class ByteBudget {
 public:
  explicit ByteBudget(size_t max) : max_(max) {}
  bool take(size_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= max_) return true;
    give_back(bytes);
    return false;
  }
  void give_back(size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const size_t max_;
  std::atomic<size_t> used_{0};
};

// One holder's share of the budget; given back when it ends.
class BudgetShare {
 public:
  explicit BudgetShare(ByteBudget& budget) : budget_(budget) {}
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;
  ~BudgetShare() { release(); }
  // Makes sure that `bytes` are held. Taken in steps, so that small pieces cost nothing.
  bool hold(size_t bytes) {
    if (bytes <= held_) return true;
    size_t more = (bytes - held_ + kStep - 1) / kStep * kStep;
    if (!budget_.take(more)) return false;
    held_ += more;
    return true;
  }
  void release() {
    budget_.give_back(held_);
    held_ = 0;
  }

 private:
  static constexpr size_t kStep = 64 * 1024;
  ByteBudget& budget_;
  size_t held_ = 0;
};

struct MailCounters {
  std::atomic<uint64_t> scanned{0}, failed{0}, oversized{0}, overloaded{0}, broken{0}, late{0};
};

struct MailContext {
  MailContext(MailScanner& asked, const MailDoorOptions& with)
      : scanner(asked), options(with), budget(with.memory_bytes_max), message_bytes_max(asked.message_bytes_max()) {}

  MailScanner& scanner;
  const MailDoorOptions options;
  ByteBudget budget;
  const size_t message_bytes_max;
  MailCounters milter, spamd, rspamd;
};

}  // namespace tamis::door
