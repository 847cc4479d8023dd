// Notices: what leaves of decisions and acts, as items of the outbox (docs/ACTIONS.md has topics and bodies). The same
// record makes the same notices, when it happens and when a recovery folds it again, and their keys are of the record
// and the body: so the outbox knows a repetition, and does not take another event for it that got the number of a
// record which a crash lost.
#pragma once

#include <atomic>
#include <cstdint>

#include "action/outbox.h"
#include "engine/act.h"
#include "engine/engine.h"

namespace tamis::door {

// Not thread-safe: one record at a time, in order. `lost()` from any thread.
class Notices {
 public:
  explicit Notices(action::Outbox* outbox) : outbox_(outbox) {}  // null: nothing leaves

  action::Outbox* outbox() const { return outbox_; }
  // Of the rules that act and notify.
  void decided(const engine::PreparedEvent& event, const engine::Decision& decision, uint64_t record);
  // After the act is in force in `engine`.
  void acted(const engine::Act& act, const engine::Engine& engine, uint64_t record, int64_t receive_ms);
  // Notices that the outbox refused: it is full, or they are too large.
  uint64_t lost() const { return lost_; }

 private:
  void put(action::Notice& notice, uint64_t record, size_t place);

  action::Outbox* outbox_;
  std::atomic<uint64_t> lost_{0};
};

}  // namespace tamis::door
