// JournalReplay: folds the records of a data folder through an engine: how a server comes back after a stop, and what
// `tamis replay --data` prints. The same records give the same decisions, byte for byte.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace tamis::replay {

// How far a replay has come: what a later one needs to go on, beside the engine's state (replay/replay_checkpoint.h).
struct JournalPlace {
  uint64_t record = 0;                                               // the last that was folded; 0: none
  uint64_t line_hash = 0;                                            // of that record as it stands in the journal
  std::string intel;                                                 // version of the network facts in force
  uint64_t records = 0, decided = 0, refused = 0, acts_refused = 0;  // so far
};

struct JournalReplayOptions {
  std::string data;                               // the folder
  std::shared_ptr<const policy::Policy> what_if;  // decides instead of the policies of the journal; null: as it was
  std::shared_ptr<const event::NetworkIntel> intel;
  bool explain = false;
  std::vector<std::string>* notes = nullptr;  // gets what a person should know, if it is not null
  // Kept up to date before each call of keep_going; may be null. Where its record is not 0, the replay goes on behind
  // it, with the engine that `restore` gives back its state, once the policy that decides has been activated.
  JournalPlace* place = nullptr;
  std::string place_policy;  // the policy that decided at that place; not looked at with what_if
  std::function<base::Status(engine::Engine&)> restore;
};

struct JournalReplayResult {
  uint64_t records = 0, decided = 0, refused = 0;  // refused: events that the policy in force does not take
  uint64_t acts_refused = 0;
  uint64_t dropped_bytes = 0;  // of a record that a crash cut off
};

// Errors: the journal does not begin early enough, is damaged, or is not any more what it was at `place`.
// `on_decision` is called for each event, in order; `keep_going` with (done bytes, all bytes, decided), false stops.
base::Result<JournalReplayResult> replay_journal(
    const JournalReplayOptions& options, engine::Engine& engine,
    const std::function<base::Status(const engine::Decision&)>& on_decision,
    const std::function<bool(uint64_t, uint64_t, uint64_t)>& keep_going);

}  // namespace tamis::replay
