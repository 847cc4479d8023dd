// Retention: what makes the data folder forget. Values of `private: token` fields are replaced by keyed tokens after
// the policy's `raw` days, fields lose their values after their `keep` days, events go after the policy's `keep`; and
// the journal, which has raw values by nature, keeps only the segments behind the last snapshot that is `raw` days old.
//
// Tokens are made under a key of the day of the event, so that they do not join a person's days together;
// FOLDER/keys/YYYY-MM-DD.key, 32 random bytes, readable by the owner alone. A key is destroyed with the last of its
// day's events: then nobody can tell any more whose token it was.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "replay/data_folder.h"

namespace tamis::replay {

struct RetentionReport {
  archive::Archive::RetentionReport archive;
  uint64_t segments_removed = 0;  // of the journal
  uint64_t snapshots_removed = 0;
  uint64_t keys_destroyed = 0;
  uint64_t first_record = 0;  // of the journal afterwards
};

// Forgets what is too old at `now_ms`. Can be stopped (`keep_going` false), and goes on the next time. Rewriting files
// of the archive may take long, and events go on to be flushed meanwhile; `checkpoint_mutex`, which whoever writes
// snapshots holds, is taken only for the journal and the snapshots.
base::Result<RetentionReport> retain(DataFolder& folder, const policy::Policy& policy, int64_t now_ms,
                                     const DataFolder::WithEngine& with_engine, std::mutex& checkpoint_mutex,
                                     const std::function<bool()>& keep_going);
void write_json(const RetentionReport& report, std::string& out);

// The secret of a day ("2026-11-21") for tokens; made when it is first asked for. Empty: it cannot be made or read.
std::string key_of_day(const std::string& data, std::string_view day);
// The secrets that there are, by day, newest first; none is made.
std::vector<std::string> kept_keys(const std::string& data);

}  // namespace tamis::replay
