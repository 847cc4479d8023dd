// Retention: what makes the data folder forget. Values of `private: token` fields are replaced by keyed tokens after
// the policy's `raw` days, fields lose their values after their `keep` days, events go after the policy's `keep`.
//
// What has raw values by nature goes with the raw days: the journal keeps only the segments behind a snapshot from
// then, and events that are only kept go out of it one by one; features lose the values, which is a record of the
// journal, so that a replay does the same; a snapshot or a state behind an activation that may hold older values is
// removed, and a new one made where none is left. So features that look back far shorten the part of the journal that
// can be replayed: with a window of some hours it is nearly the raw days, with one of half of them hardly a day. Audit
// trail, action batches and outbox lose what names somebody. What is in force (labels, list entries) stays as long as
// it is.
//
// Tokens are made under a key of the day of the event (replay/keys.h), which goes with the last of its day's events.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/private_values.h"
#include "replay/data_folder.h"

namespace tamis::replay {

struct RetentionReport {
  archive::Archive::RetentionReport archive;
  uint64_t state_keys = 0;        // of features, that lost private values
  uint64_t past_records = 0;      // of the journal, that were only kept
  uint64_t segments_removed = 0;  // of the journal
  uint64_t snapshots_removed = 0;
  uint64_t audit_lines = 0;  // that lost private words
  uint64_t batch_items = 0, notices = 0;
  uint64_t keys_destroyed = 0;
  uint64_t first_record = 0;  // of the journal afterwards
};

// What somebody who keeps private values beside the folder's own parts has to know.
struct PastRawDays {
  int64_t before_ms = 0;  // the raw days of what came before are over
  policy::PrivateNames names;
};

struct RetainOptions {
  int64_t now_ms = 0;
  std::function<bool()> keep_going = [] { return true; };
  // Writes a snapshot; takes checkpoint_mutex itself.
  std::function<base::Status()> checkpoint;
  // What lies beside (action batches, the outbox): adds to the report what was forgotten there.
  std::function<base::Status(const PastRawDays&, RetentionReport&)> rest;
};

// Forgets what is too old. Can be stopped (`keep_going` false), and goes on the next time. Rewriting files of the
// archive may take long, and events go on to be flushed meanwhile; `checkpoint_mutex`, which whoever writes snapshots
// holds, is taken only for the journal and the snapshots.
//
// Raw days end with days (UTC), as the archive has its files: after `raw` more of them what came on a day is gone.
base::Result<RetentionReport> retain(DataFolder& folder, const policy::Policy& policy,
                                     const DataFolder::WithEngine& with_engine, std::mutex& checkpoint_mutex,
                                     const RetainOptions& options);
// What of an audit line has to go with the raw days.
action::AuditParts private_parts(const action::AuditLine& line, const policy::PrivateNames& names);
void write_json(const RetentionReport& report, std::string& out);

}  // namespace tamis::replay
