// BackfillReader: the features that a new policy adds get their history from the events of the journal, so that a rule
// that uses them knows the past from its first decision on. The same records fill them in the same way when the journal
// is replayed: the activation's record names where the filling began.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "engine/backfill.h"
#include "engine/engine.h"
#include "event/derive.h"

namespace tamis::replay {

class BackfillReader {
 public:
  // `data`: the folder; `from`: the first record that counts. Features of `next` that `now` does not have are filled.
  BackfillReader(std::string data, uint64_t from, std::shared_ptr<const event::NetworkIntel> intel,
                 const engine::Engine& now, engine::Engine::Prepared& next);

  bool needed() const { return backfill_.needed(); }
  uint64_t from() const { return from_; }
  uint64_t next() const { return next_; }  // the first record not yet read
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

}  // namespace tamis::replay
