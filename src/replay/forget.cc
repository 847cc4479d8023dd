// What retention takes out of the journal, the state and the snapshots of a data folder.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "journal/rewrite.h"
#include "replay/backfill.h"
#include "replay/data_folder.h"
#include "replay/records.h"

namespace tamis::replay {

using engine::Engine;

base::Result<uint64_t> DataFolder::forget_before(int64_t before_ms, const WithEngine& with_engine,
                                                 const std::function<bool()>& keep_going) {
  uint32_t parts = 1;
  with_engine([&](Engine& engine) {
    parts = engine.forget_parts();
    journal_->roll();  // what lies before can go without these records
  });
  uint64_t keys = 0;
  for (uint32_t part = 0; part < parts; ++part) {
    if (keep_going && !keep_going()) return base::fail(base::Code::kUnavailable, "stopped");
    base::Status journaled;
    with_engine([&](Engine& engine) {
      line_.clear();
      write_forget(journal_->next_number(), std::max<int64_t>(engine.now_ms(), 0), before_ms, part, parts, line_);
      journaled = journal_->append(line_);
      if (!journaled) return;
      keys += engine.forget_before(before_ms, part, parts);
      if (part + 1 == parts) forgotten_ = {before_ms, engine.now_ms()};
    });
    TAMIS_CHECK(journaled);
  }
  TAMIS_CHECK(sync());
  return keys;
}

// Whether the first event or act behind that record is not from before the time. Events come in the order of their
// times, as far as it matters here; what else there is tells nothing about anybody.
base::Result<bool> DataFolder::is_fresh_behind(uint64_t record, int64_t before_ms) const {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(path_), record + 1));
  for (std::string_view line;;) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) return true;
    TAMIS_TRY(next, read_record(line));
    if (next.kind == Record::Kind::kEvent) return next.receive_ms >= before_ms;
    if (next.kind == Record::Kind::kAct && next.receive_ms < before_ms) return false;
  }
}

// The first record of the segment that has the record; a journal goes by segments.
static uint64_t segment_of(const std::string& folder, uint64_t record) {
  uint64_t first = 1;
  std::error_code error;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    uint64_t number = 0;
    const auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (bad == std::errc() && end != name.data() && number <= record) first = std::max(first, number);
  }
  return first;
}

base::Result<DataFolder::Trimmed> DataFolder::trim(int64_t before_ms, const WithEngine& with_engine, bool with_any) {
  TAMIS_CHECK(journal_->sync());
  std::vector<std::string> stale;
  uint64_t least = 0;  // a replay that begins there or behind does not come by a state that has to go
  for (const SnapshotFile& file : list_filled(path_)) {
    auto head = read_snapshot_head(file.path);
    if (head && head->private_since_ms() >= before_ms) continue;
    least = std::max(least, file.record);
    stale.push_back(file.path);
  }
  std::vector<SnapshotFile> usable;  // the newest first
  for (const SnapshotFile& file : list_snapshots(path_)) {
    auto head = read_snapshot_head(file.path);
    if (!head) continue;  // damaged: recovery tells it
    if (head->private_since_ms() >= before_ms) {
      usable.push_back(file);
    } else {
      stale.push_back(file.path);
    }
  }
  const uint64_t first = first_number();
  TAMIS_TRY(is_fresh, is_fresh_behind(first - 1, before_ms));
  if (is_fresh && stale.empty()) return Trimmed{};
  for (auto file = usable.rbegin(); file != usable.rend(); ++file) {
    if (file->record < least || file->record + 1 < first) continue;
    // A segment that begins before the snapshot stays as a whole. One that ends with it does not: trim_to() begins
    // another.
    const bool is_last = file->record + 1 == journal_->next_number();
    const uint64_t stays = is_last ? file->record + 1 : segment_of(journal_folder(path_), file->record + 1);
    TAMIS_TRY(fresh, is_fresh_behind(stays - 1, before_ms));
    if (fresh) return trim_to(*file, stale, before_ms, with_engine);
  }
  if (with_any && !usable.empty()) return trim_to(usable.front(), stale, before_ms, with_engine);
  Trimmed nothing;
  nothing.needs_snapshot = true;
  return nothing;
}

base::Result<DataFolder::Trimmed> DataFolder::trim_to(const SnapshotFile& base, const std::vector<std::string>& stale,
                                                      int64_t before_ms, const WithEngine& with_engine) {
  // The last segment is never removed: where nothing came since the snapshot, a record that says nothing begins a new
  // one.
  base::Status begun;
  with_engine([&](Engine&) {
    if (base.record + 1 < journal_->next_number()) return;
    journal_->roll();
    begun = batch(before_ms, "{\"step\":\"trim\"}");
  });
  TAMIS_CHECK(begun);
  TAMIS_CHECK(journal_->sync());
  TAMIS_TRY(segments, journal_->remove_before(base.record + 1));
  Trimmed trimmed;
  trimmed.segments = segments;
  for (const SnapshotFile& file : list_snapshots(path_)) {
    if (file.record < base.record) trimmed.snapshots += ::unlink(file.path.c_str()) == 0;
  }
  for (const std::string& path : stale) trimmed.snapshots += ::unlink(path.c_str()) == 0;
  TAMIS_CHECK(find_first_number());
  remove_filled(path_, first_number_);
  return trimmed;
}

base::Result<uint64_t> DataFolder::forget_past(int64_t before_ms, const WithEngine& with_engine) {
  std::error_code none;
  if (!std::filesystem::exists(past_mark(), none)) return uint64_t{0};
  uint64_t before = 0;
  with_engine([&](Engine&) {
    journal_->roll();
    before = last_number() + 1;
    past_marked_ = false;  // what comes from now on marks anew
  });
  TAMIS_CHECK(flush(with_engine));
  bool any_left = false;
  auto rewrite = [&](std::string_view line, std::string& replacement) -> base::Result<bool> {
    TAMIS_TRY(record, read_record(line));
    if (record.kind != Record::Kind::kPast) return false;
    any_left = any_left || record.receive_ms >= before_ms;
    if (record.receive_ms >= before_ms) return false;
    write_erased(record.number, record.receive_ms, replacement);
    return true;
  };
  TAMIS_TRY(done, journal::rewrite_journal(journal_folder(path_), before, rewrite));
  base::Status removed;
  with_engine([&](Engine&) {
    if (any_left || past_marked_ || ::unlink(past_mark().c_str()) == 0) return;
    removed = tl::unexpected<base::Error>(base::system_error("remove", past_mark(), errno));
  });
  TAMIS_CHECK(removed);
  return done.replaced;
}

}  // namespace tamis::replay
