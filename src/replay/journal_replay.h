// JournalReplay: folds the records of a data folder through an engine: how a server comes back after a stop, and what
// `tamis replay --data` prints. The same records give the same decisions, byte for byte.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/engine.h"

namespace tamis::replay {

struct JournalReplayOptions {
  std::string data;                               // the folder
  std::shared_ptr<const policy::Policy> what_if;  // decides instead of the policies of the journal; null: as it was
  std::shared_ptr<const event::NetworkIntel> intel;
  bool explain = false;
};

struct JournalReplayResult {
  uint64_t records = 0, decided = 0, refused = 0;  // refused: events that the policy in force does not take
  uint64_t acts_refused = 0;
  uint64_t dropped_bytes = 0;  // of a record that a crash cut off
};

// `on_decision` is called for each event, in order; `keep_going` with (done bytes, all bytes, decided), false stops.
base::Result<JournalReplayResult> replay_journal(
    const JournalReplayOptions& options, engine::Engine& engine,
    const std::function<base::Status(const engine::Decision&)>& on_decision,
    const std::function<bool(uint64_t, uint64_t, uint64_t)>& keep_going);

}  // namespace tamis::replay
