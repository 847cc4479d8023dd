// RecordFold: applies the records of a journal to an engine, one after the other. The one way in which a past comes
// back, for recovery, replay and backtest: so they agree with what was live.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "base/result.h"
#include "engine/act.h"
#include "engine/engine.h"
#include "replay/records.h"

namespace tamis::replay {

struct FoldOptions {
  std::string data;                               // the folder, for the kept policies and network facts
  std::shared_ptr<const policy::Policy> what_if;  // decides instead of the policies of the journal; null: as it was
  // Network facts instead of those of the journal; null: as it was.
  std::shared_ptr<const event::NetworkIntel> intel;
  bool explain = false;
  // For features that were filled from events older than the journal, where no state from then is kept; may be null.
  const archive::Archive* archive = nullptr;
  std::vector<std::string>* notes = nullptr;  // gets what a person should know, if it is not null
};

class RecordFold {
 public:
  RecordFold(FoldOptions options, engine::Engine& engine);

  // What a record came to. Views and pointers are valid until the next call.
  struct Step {
    const engine::Decision* decision = nullptr;  // of an event; null where it was refused, as it was when it came
    bool past = false;                           // an event that is only kept: event() has it
    const engine::Act* act = nullptr;            // an act, applied; null where it was refused
  };
  // Errors: a record that no fold can take (a policy that is not there), never an event or act that was refused.
  base::Result<Step> apply(const Record& record);
  // The event of the last step.
  const engine::PreparedEvent& event() const { return event_; }

  struct Counts {
    uint64_t records = 0, decided = 0, refused = 0, acts_refused = 0;
  };
  const Counts& counts() const { return counts_; }
  const std::string& intel_version() const { return intel_version_; }
  const std::shared_ptr<const event::NetworkIntel>& intel() const { return intel_; }
  // Network facts in force where the fold begins in the middle of a journal.
  base::Status use_intel(const std::string& version);

 private:
  base::Status activate(const Record& record);
  base::Result<bool> restore_filled(const Record& record, const std::shared_ptr<const policy::Policy>& policy);
  base::Result<Step> decide(const Record& record);

  FoldOptions options_;
  engine::Engine& engine_;
  engine::PreparedEvent event_;
  engine::Act act_;
  std::shared_ptr<const event::NetworkIntel> intel_;
  std::string intel_version_;
  Counts counts_;
};

}  // namespace tamis::replay
