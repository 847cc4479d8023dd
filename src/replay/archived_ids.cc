#include "replay/archived_ids.h"

#include <cstdlib>

#include "base/hash.h"

namespace tamis::replay {
namespace {

constexpr int64_t kDayMs = 86'400'000;

int64_t day_of(int64_t time_ms) { return time_ms / kDayMs - (time_ms % kDayMs < 0 ? 1 : 0); }

}  // namespace

base::Result<bool> ArchivedIds::take(const policy::Policy& policy, const policy::EventType& type, std::string_view id,
                                     int64_t time_ms) {
  if (id.empty() || type.unique_ms <= 0) return true;
  const uint64_t key = base::hash64(id);
  for (int64_t number = day_of(time_ms - type.unique_ms); number <= day_of(time_ms + type.unique_ms); ++number) {
    TAMIS_TRY(times, day(policy, type, number));
    for (auto [at, end] = times->equal_range(key); at != end; ++at) {
      if (std::abs(at->second - time_ms) < type.unique_ms) return false;
    }
  }
  TAMIS_TRY(times, day(policy, type, day_of(time_ms)));
  times->emplace(key, time_ms);
  ++ids_;
  return true;
}

base::Result<ArchivedIds::Times*> ArchivedIds::day(const policy::Policy& policy, const policy::EventType& type,
                                                   int64_t number) {
  const auto key = std::make_pair(type.schema.name, number);
  if (const auto found = days_.find(key); found != days_.end()) return &found->second;
  if (ids_ > kIdsMax) {
    days_.clear();
    ids_ = 0;
  }
  TAMIS_CHECK(flush_());
  archive::ScanRequest request;
  request.type = &type;
  request.policy = &policy;
  request.from_ms = number * kDayMs;
  request.to_ms = request.from_ms + kDayMs;
  request.reasons_and_ids = true;
  TAMIS_TRY(scan, archive_.scan(request));
  Times times;
  while (true) {
    TAMIS_TRY(batch, scan->next());
    if (batch->rows == 0) break;
    for (uint32_t row = 0; row < batch->rows; ++row) {
      if (!batch->id[row].empty()) times.emplace(base::hash64(batch->id[row]), batch->time_ms[row]);
    }
  }
  ids_ += times.size();
  return &days_.emplace(key, std::move(times)).first->second;
}

}  // namespace tamis::replay
