// BackfillReader: the features that a new policy adds get their history, so that a rule that uses them knows the past
// from its first decision on: first from the archive what is older than the journal (archive_past.h), then from the
// events of the journal. The activation's record names where the journal began.
//
// The same records fill them in the same way when the journal is replayed. What came from the archive, or from records
// that were trimmed since, cannot be had again as it was; so the state right behind an activation that filled anything
// is kept as FOLDER/snapshots/NNNNNNNNNNNNNNNN.filled, named by the activation's record, for as long as the journal has
// that record (DataFolder::keep_filled).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/backfill.h"
#include "engine/engine.h"
#include "event/derive.h"
#include "replay/archive_past.h"

namespace tamis::replay {

class BackfillReader {
 public:
  // `data`: the folder; `from`: the first record of the journal that counts. Features of `next` that `now` does not
  // have are filled.
  BackfillReader(std::string data, uint64_t from, std::shared_ptr<const event::NetworkIntel> intel,
                 const engine::Engine& now, engine::Engine::Prepared& next);

  bool needed() const { return backfill_.needed(); }
  uint64_t from() const { return from_; }
  uint64_t next() const { return next_; }  // the first record not yet read
  // Feeds the events from before `from` that the archive has. First, and once. What has to be left out of a feature or
  // detector, since the archive does not hold its values any more, is counted.
  struct Unfilled {
    std::string name;               // of the feature or detector
    uint64_t events = 0;            // that it did not get
    std::vector<std::string> gone;  // names of what they do not have
  };
  base::Result<std::vector<Unfilled>> read_archive(const archive::Archive& archive,
                                                   const std::function<bool(uint64_t)>& keep_going);
  // Reads the records up to `last`, which are on disk. `keep_going` gets the number of records read; false stops with
  // an error. Cost: about two microseconds an event.
  base::Status read_to(uint64_t last, const std::function<bool(uint64_t)>& keep_going);

 private:
  std::string data_;
  uint64_t from_, next_;
  std::shared_ptr<const event::NetworkIntel> intel_;
  engine::Backfill backfill_;
  engine::PreparedEvent event_;
};

// "feature a_7d: 12 older events could not be counted, their ip is not kept any more".
std::string to_string(const BackfillReader::Unfilled& unfilled);

// Where the state right behind the activation with that record is kept.
std::string filled_path(const std::string& data, uint64_t record);

}  // namespace tamis::replay
