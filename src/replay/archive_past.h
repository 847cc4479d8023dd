// ArchivePast: the events from before the journal begins, out of the archive, in the order of their records, as events
// of a policy: with them a feature gets its history although the journal was trimmed after the raw days (retention.h).
//
// What an event has here is what the archive still holds. Values of `private: token` fields are gone after the raw days
// (a token is made anew each day, so it can neither be a key nor be told apart from others), fields are gone after
// their `keep`, and what no policy declared at the time was never stored: gone() names those slots. Derived attributes
// are derived again as for an event of the journal, under the network facts given; where their field is gone and they
// were stored, they are taken as they were.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "archive/archive.h"
#include "engine/engine.h"

namespace tamis::replay {

class ArchivePast {
 public:
  struct Wanted {
    size_t type = 0;             // place in policy->types
    std::vector<int32_t> slots;  // fields and derived attributes that are read; others are passed over
  };
  // Records before `before`, of the types in `wanted`. Archive, policy and network facts outlive it.
  static base::Result<std::unique_ptr<ArchivePast>> open(const archive::Archive& archive,
                                                         std::shared_ptr<const policy::Policy> policy,
                                                         const std::vector<Wanted>& wanted, uint64_t before,
                                                         const event::NetworkIntel* intel);
  ~ArchivePast();

  // The next event; false at the end. One that was decided has the time of its decision.
  base::Result<bool> next();
  engine::PreparedEvent& event();
  uint64_t record() const;
  int64_t time_ms() const;
  // Slots that were wanted and are gone for this event; equal for all events with the same source().
  const std::set<int32_t>& gone() const;
  size_t source() const;

 private:
  struct Impl;
  explicit ArchivePast(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// All that a policy reads of the events of each type, but for what only shows or explains.
std::vector<ArchivePast::Wanted> all_that_is_read(const policy::Policy& policy);

// The number of the first record that the journal of a data folder still has; of the next one if it has none.
base::Result<uint64_t> first_of_journal(const std::string& data);

}  // namespace tamis::replay
