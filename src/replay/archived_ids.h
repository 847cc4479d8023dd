// ArchivedIds: which events the archive has by type and id, for an import that only keeps events: the engine remembers
// ids for a day of its own time, and not those of a past that it has not decided.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "archive/archive.h"
#include "base/result.h"
#include "policy/policy.h"

namespace tamis::replay {

// One thread at a time. Ids are read from the archive a day of a type at a time, when the first event of that day
// comes; at most kIdsMax of them (some 400 MB) are remembered, so events that jump between many large days cost reading
// them again. Errors: those of reading the archive.
class ArchivedIds {
 public:
  // `flush` puts into files what was added to the archive and waits.
  ArchivedIds(const archive::Archive& archive, std::function<base::Status()> flush)
      : archive_(archive), flush_(std::move(flush)) {}

  // Whether no event of the type with that id is known from within `type.unique_ms` before and after `time_ms`; then it
  // is known from now on. Always, where the type's events are not unique or this one has no id.
  base::Result<bool> take(const policy::Policy& policy, const policy::EventType& type, std::string_view id,
                          int64_t time_ms);

 private:
  static constexpr size_t kIdsMax = 8'000'000;
  using Times = std::unordered_multimap<uint64_t, int64_t>;  // by a hash of the id

  base::Result<Times*> day(const policy::Policy& policy, const policy::EventType& type, int64_t number);

  const archive::Archive& archive_;
  std::function<base::Status()> flush_;
  std::map<std::pair<std::string, int64_t>, Times> days_;
  size_t ids_ = 0;
};

}  // namespace tamis::replay
