#include "replay/journal_replay.h"

#include "journal/journal.h"
#include "replay/fold.h"
#include "replay/snapshot.h"

namespace tamis::replay {

using engine::Engine;

namespace {

// Where the journal does not begin with its first record any more, the replay begins with the oldest snapshot.
base::Result<uint64_t> begin(const JournalReplayOptions& options, Engine& engine, RecordFold& fold) {
  std::vector<SnapshotFile> snapshots = list_snapshots(options.data);
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(options.data), 0));
  std::string_view line;
  TAMIS_TRY(more, reader->next(line));
  if (!more || reader->number() <= 1) return uint64_t{0};
  for (auto snapshot = snapshots.rbegin(); snapshot != snapshots.rend(); ++snapshot) {
    if (snapshot->record + 1 < reader->number()) continue;
    TAMIS_TRY(file, SnapshotReader::open(snapshot->path));
    TAMIS_TRY(policy, compile_kept_policy(options.data, file->head().policy));
    engine.activate(std::move(policy));
    TAMIS_CHECK(engine.restore([&](std::string& piece) { return file->next(piece); }));
    TAMIS_CHECK(fold.use_intel(file->head().intel));
    if (options.what_if != nullptr) engine.activate(options.what_if);
    return snapshot->record + 1;
  }
  return base::invalid(options.data + ": the journal begins with record " + std::to_string(reader->number()) +
                       ", and there is no snapshot to begin with");
}

}  // namespace

base::Result<JournalReplayResult> replay_journal(
    const JournalReplayOptions& options, engine::Engine& engine,
    const std::function<base::Status(const engine::Decision&)>& on_decision,
    const std::function<bool(uint64_t, uint64_t, uint64_t)>& keep_going) {
  FoldOptions fold_options{options.data, options.what_if, options.intel, options.explain};
  RecordFold fold(fold_options, engine);
  TAMIS_TRY(from, begin(options, engine, fold));
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(options.data), from));
  std::string_view line;
  while (keep_going(reader->done_bytes(), reader->size_bytes(), fold.counts().decided)) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) break;
    TAMIS_TRY(record, read_record(line));
    TAMIS_TRY(step, fold.apply(record));
    if (step.decision != nullptr && on_decision) TAMIS_CHECK(on_decision(*step.decision));
  }
  JournalReplayResult result;
  result.records = fold.counts().records;
  result.decided = fold.counts().decided;
  result.refused = fold.counts().refused;
  result.acts_refused = fold.counts().acts_refused;
  result.dropped_bytes = reader->dropped_bytes();
  return result;
}

}  // namespace tamis::replay
