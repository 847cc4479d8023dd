#include "replay/journal_replay.h"

#include "base/hash.h"
#include "journal/journal.h"
#include "replay/backfill.h"
#include "replay/fold.h"
#include "replay/keys.h"
#include "replay/snapshot.h"

namespace tamis::replay {

using engine::Engine;

namespace {

// The policy of a what-if, whose new features get the history that archive and journal hold up to record `last`.
base::Status activate_filled(const JournalReplayOptions& options, Engine& engine, const RecordFold& fold,
                             uint64_t first, uint64_t last) {
  Engine::PreparedPointer prepared = Engine::build(options.what_if, engine.options());
  BackfillReader backfill(options.data, first, fold.intel(), engine, *prepared);
  if (backfill.needed()) {
    const auto go_on = [](uint64_t) { return true; };
    archive::ArchiveOptions read_only;
    read_only.read_only = true;
    TAMIS_TRY(archive, archive::Archive::open(options.data + "/archive", read_only));
    TAMIS_TRY(unfilled, backfill.read_archive(*archive, go_on));
    for (const auto& one : unfilled) options.notes != nullptr ? options.notes->push_back(to_string(one)) : void();
    TAMIS_CHECK(backfill.read_to(last, go_on));
  }
  engine.activate(std::move(prepared));
  return {};
}

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
    if (options.what_if != nullptr)
      TAMIS_CHECK(activate_filled(options, engine, fold, reader->number(), snapshot->record));
    return snapshot->record + 1;
  }
  return base::invalid(options.data + ": the journal begins with record " + std::to_string(reader->number()) +
                       ", and there is no snapshot to begin with");
}

// Behind the place where an earlier replay stopped: gives a reader whose next line is the record behind it.
base::Result<std::unique_ptr<journal::JournalReader>> go_on(const JournalReplayOptions& options, Engine& engine,
                                                            RecordFold& fold) {
  const JournalPlace& place = *options.place;
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(options.data), place.record));
  std::string_view line;
  TAMIS_TRY(more, reader->next(line));
  if (!more || base::hash64(line) != place.line_hash) {
    return base::invalid(options.data + ": record " + std::to_string(place.record) +
                         " of the journal is not any more what it was: begin anew");
  }
  if (options.what_if == nullptr) {
    TAMIS_TRY(policy, compile_kept_policy(options.data, options.place_policy));
    engine.activate(std::move(policy));
  }
  TAMIS_CHECK(options.restore(engine));
  TAMIS_CHECK(fold.use_intel(place.intel));
  return reader;
}

base::Result<std::unique_ptr<journal::JournalReader>> start(const JournalReplayOptions& options, Engine& engine,
                                                            RecordFold& fold) {
  if (options.place != nullptr && options.place->record != 0) return go_on(options, engine, fold);
  TAMIS_TRY(from, begin(options, engine, fold));
  return journal::JournalReader::open(journal_folder(options.data), from);
}

}  // namespace

base::Result<JournalReplayResult> replay_journal(
    const JournalReplayOptions& options, engine::Engine& engine,
    const std::function<base::Status(const engine::Decision&)>& on_decision,
    const std::function<bool(uint64_t, uint64_t, uint64_t)>& keep_going) {
  TAMIS_TRY(state_key, kept_state_key(options.data));
  engine.use_state_key(state_key);
  FoldOptions fold_options{options.data, options.what_if, options.intel, options.explain, nullptr, options.notes};
  RecordFold fold(fold_options, engine);
  TAMIS_TRY(reader, start(options, engine, fold));
  JournalPlace unused;
  JournalPlace& place = options.place == nullptr ? unused : *options.place;
  const JournalPlace before = place;
  std::string_view line;
  auto count = [&] {  // with what was counted before the place
    place.records = before.records + fold.counts().records;
    place.decided = before.decided + fold.counts().decided;
    place.refused = before.refused + fold.counts().refused;
    place.acts_refused = before.acts_refused + fold.counts().acts_refused;
    place.intel = fold.intel_version();
  };
  while (keep_going(reader->done_bytes(), reader->size_bytes(), place.decided)) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) break;
    TAMIS_TRY(record, read_record(line));
    TAMIS_TRY(step, fold.apply(record));
    if (step.decision != nullptr && on_decision) TAMIS_CHECK(on_decision(*step.decision));
    count();
    place.record = record.number;
    if (options.place != nullptr) place.line_hash = base::hash64(line);
  }
  JournalReplayResult result;
  result.records = place.records;
  result.decided = place.decided;
  result.refused = place.refused;
  result.acts_refused = place.acts_refused;
  result.dropped_bytes = reader->dropped_bytes();
  return result;
}

}  // namespace tamis::replay
