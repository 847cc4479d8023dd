#include "replay/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/file.h"
#include "policy/private_values.h"
#include "replay/backfill.h"
#include "replay/erase.h"
#include "replay/fold.h"

namespace tamis::replay {

using engine::Engine;

namespace {
constexpr int64_t kDayMs = 86'400'000;
}  // namespace

// Files that were being written when the plug was pulled: what they say stands in no other file, and may name somebody.
static void remove_unfinished(const std::string& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename().string().find(".tmp.") != std::string::npos) ::unlink(at->path().c_str());
  }
}

// With the first event or act of a folder: nothing in it is older, as if what came before had been forgotten.
static void note_birth(Forgotten& forgotten, int64_t receive_ms) {
  if (forgotten.before_ms == 0) forgotten.before_ms = receive_ms;
}

base::Result<std::unique_ptr<DataFolder>> DataFolder::open(const std::string& path, DataFolderOptions options) {
  TAMIS_CHECK(base::make_folders(path, 0700));  // what is in it is about people
  std::unique_ptr<DataFolder> folder(new DataFolder(path));
  folder->options_ = options;
  std::string lock = path + "/lock";
  folder->lock_fd_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (folder->lock_fd_ < 0) return tl::unexpected(base::system_error("open", lock, errno));
  if (::flock(folder->lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    return base::fail(base::Code::kUnavailable, path + " is in use by another process");
  }
  remove_unfinished(path);
  clean_snapshots(path);
  TAMIS_TRY(journal, journal::JournalWriter::open(journal_folder(path), options.journal));
  folder->journal_ = std::move(journal);
  TAMIS_CHECK(folder->find_first_number());
  TAMIS_TRY(archive, archive::Archive::open(path + "/archive", options.archive));
  folder->archive_ = std::move(archive);
  TAMIS_TRY(state_key, make_state_key(path));
  folder->state_key_ = state_key;
  TAMIS_TRY(audit, action::Audit::open(folder->audit_folder(), folder->clock_));
  folder->audit_ = std::move(audit);
  return folder;
}

DataFolder::~DataFolder() {
  archive_.reset();
  journal_.reset();
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

base::Result<Recovered> DataFolder::recover(Engine& engine, const std::function<bool(uint64_t)>& keep_going,
                                            const std::function<void(const Folded&)>& on_folded) {
  Recovered report;
  report.dropped_bytes = journal_->dropped_bytes();
  engine.use_state_key(state_key_.key);
  if (std::string damage = archive_->stats().damage; !damage.empty()) report.notes.push_back(std::move(damage));
  TAMIS_TRY(from, restore(engine, report));
  TAMIS_CHECK(fold_tail(engine, from, report, keep_going, on_folded));
  auto finished = finish_erasure(*this, engine);
  if (!finished && archive_->stats().damage.empty()) return tl::unexpected(finished.error());
  // With a damaged file it cannot end; that keeps nobody from working, and it is tried again at the next start.
  std::string note = finished ? *finished : "an erasure has not ended: " + finished.error().message;
  if (!note.empty()) report.notes.push_back(std::move(note));
  return report;
}

// Restores the newest snapshot that is whole and not ahead of the archive. Gives the first record behind it.
base::Result<uint64_t> DataFolder::restore(Engine& engine, Recovered& report) {
  uint64_t archived = archive_->stats().upto;
  for (const SnapshotFile& file : list_snapshots(path_)) {
    if (file.record > last_number()) {
      return base::invalid(file.path + " covers records up to " + std::to_string(file.record) +
                           ", but the journal ends with record " + std::to_string(last_number()) +
                           ": a part of the journal is missing");
    }
    if (file.record > archived) {
      report.notes.push_back(file.path + " was passed over: the archive ends with record " + std::to_string(archived));
      continue;
    }
    base::Status restored = restore_from(file.path, engine, report);
    if (restored) {
      last_snapshot_ = file.record;
      return file.record + 1;
    }
    report.notes.push_back(restored.error().message + "; the one before is taken");
    engine.reset();
    intel_.reset();
    intel_version_.clear();
  }
  return uint64_t{0};
}

base::Status DataFolder::restore_from(const std::string& file, Engine& engine, Recovered& report) {
  TAMIS_TRY(reader, SnapshotReader::open(file));
  TAMIS_TRY(policy, compile_kept_policy(path_, reader->head().policy));
  if (!reader->head().intel.empty()) {
    TAMIS_TRY(intel, kept_intel(path_, reader->head().intel));
    intel_ = std::move(intel);
    intel_version_ = reader->head().intel;
  }
  engine.activate(std::move(policy));
  std::vector<std::string> begun_anew;
  TAMIS_CHECK(engine.restore([&](std::string& piece) { return reader->next(piece); }, &begun_anew));
  report.snapshot = reader->head().record;
  for (const std::string& detector : begun_anew) {
    report.notes.push_back(
        "the detector " + detector + " begins anew, what it knew by record " + std::to_string(report.snapshot) +
        " is forgotten: " +
        (state_key_.is_new ? path_ + "/keys/state.key was not there, and a new one has been made"
                           : "it was kept under another " + path_ + "/keys/state.key, or by another version of Tamis"));
  }
  forgotten_ = reader->head().forgotten;
  if (reader->head().span_ms < 0)
    forgotten_.before_ms = 1;  // of a version that did not write it down: any may be older
  return {};
}

base::Status DataFolder::fold_tail(Engine& engine, uint64_t from, Recovered& report,
                                   const std::function<bool(uint64_t)>& keep_going,
                                   const std::function<void(const Folded&)>& on_folded) {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(path_), from));
  FoldOptions options;
  options.data = path_;
  options.archive = archive_.get();
  options.notes = &report.notes;
  RecordFold fold(options, engine);
  TAMIS_CHECK(fold.use_intel(intel_version_));
  uint64_t archived = archive_->stats().upto;
  std::string_view line;
  while (true) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) break;
    TAMIS_TRY(record, read_record(line));
    if (from == 0 && fold.counts().records == 0 && record.number != 1) {
      return base::invalid(path_ + ": the journal begins with record " + std::to_string(record.number) +
                           ", and there is no whole snapshot from before it");
    }
    TAMIS_TRY(step, fold.apply(record));
    if (record.kind == Record::Kind::kEvent || record.kind == Record::Kind::kAct)
      note_birth(forgotten_, record.receive_ms);
    if (record.kind == Record::Kind::kForget && record.part + 1 == record.parts)
      forgotten_ = {record.before_ms, engine.now_ms()};
    if (record.number > archived) {
      if (step.decision != nullptr || step.past) {
        TAMIS_CHECK(archive_->add(fold.event(), step.decision, record.number, record.receive_ms));
        for (size_t i = 0; step.decision != nullptr && i < engine.finding_count(); ++i) {
          engine::Finding& finding = engine.finding(i);
          TAMIS_CHECK(archive_->add(finding.event, &finding.decision, record.number, record.receive_ms));
        }
      } else if (step.act != nullptr) {
        TAMIS_CHECK(archive_->add_act(record.number, record.receive_ms, *step.act));
      }
    }
    bool told = on_folded && !record.imported && (step.decision != nullptr || step.act != nullptr);
    if (told) on_folded({record.number, record.receive_ms, &fold.event(), step.decision, step.act});
    for (size_t i = 0; told && step.decision != nullptr && i < engine.finding_count(); ++i) {
      engine::Finding& finding = engine.finding(i);
      on_folded({record.number, record.receive_ms, &finding.event, &finding.decision, nullptr});
    }
    if (fold.counts().records % 1024 == 0 && !keep_going(fold.counts().records)) {
      return base::fail(base::Code::kUnavailable, "interrupted");
    }
    if (archive_->pending_bytes() > options_.archive.pending_bytes_max / 2) {
      TAMIS_CHECK(archive_->flush(record.number));
    }
  }
  intel_ = fold.intel();
  intel_version_ = fold.intel_version();
  report.records = fold.counts().records;
  report.decided = fold.counts().decided;
  report.refused = fold.counts().refused;
  return {};
}

// 0 up to a quarter of the limit, 1 from a half of it on.
static double share_behind(uint64_t pending, uint64_t most) {
  return std::clamp(4 * static_cast<double>(pending) / static_cast<double>(most) - 1, 0.0, 1.0);
}

// Before anything is journaled: what is folded must find room in the archive's memory. Looked at now and then, with
// room for the largest events in between.
base::Status DataFolder::check_room(uint64_t number) {
  constexpr uint64_t kEvery = 64, kMargin = uint64_t{64} << 20;
  if (number % kEvery != 0 && !full_) return {};
  const uint64_t pending = archive_->pending_bytes(), most = options_.archive.pending_bytes_max;
  full_ = pending + kMargin > most;
  const bool writes = archive_->stats().failure.empty();
  behind_ = std::max(writes ? share_behind(pending, most) : 0,
                     share_behind(journal_->pending_bytes(), options_.journal.pending_bytes_max));
  if (!full_) return {};
  std::string failure = archive_->stats().failure;
  return base::fail(base::Code::kUnavailable,
                    "the archive cannot keep up" + (failure.empty() ? std::string() : ": " + failure));
}

base::Result<uint64_t> DataFolder::event(int64_t receive_ms, std::string_view type, std::string_view json) {
  uint64_t number = journal_->next_number();
  TAMIS_CHECK(check_room(number));
  note_birth(forgotten_, receive_ms);
  line_.clear();
  write_event(number, receive_ms, type, json, line_);
  TAMIS_CHECK(journal_->append(line_));
  return number;
}

base::Result<uint64_t> DataFolder::imported(int64_t receive_ms, std::string_view type, std::string_view json) {
  uint64_t number = journal_->next_number();
  note_birth(forgotten_, receive_ms);
  line_.clear();
  write_import(number, receive_ms, type, json, line_);
  TAMIS_CHECK(journal_->append(line_));
  return number;
}

base::Result<uint64_t> DataFolder::past(int64_t receive_ms, std::string_view type, std::string_view json) {
  if (!past_marked_) {
    TAMIS_CHECK(base::write_file_atomically(past_mark(), ""));
    past_marked_ = true;
  }
  uint64_t number = journal_->next_number();
  line_.clear();
  write_past(number, receive_ms, type, json, line_);
  TAMIS_CHECK(journal_->append(line_));
  return number;
}

base::Result<uint64_t> DataFolder::act(int64_t receive_ms, const engine::Act& act) {
  uint64_t number = journal_->next_number();
  note_birth(forgotten_, receive_ms);
  line_.clear();
  write_act(number, receive_ms, engine::to_json(act), line_);
  TAMIS_CHECK(journal_->append(line_));
  return number;
}

base::Result<uint64_t> DataFolder::policy(int64_t receive_ms, const std::string& version,
                                          const std::vector<policy::SourceFile>& files, uint64_t filled_from) {
  TAMIS_CHECK(keep_policy(path_, version, files));
  uint64_t number = journal_->next_number();
  line_.clear();
  write_policy(number, receive_ms, version, filled_from, line_);
  TAMIS_CHECK(journal_->append(line_));
  return number;
}

base::Status DataFolder::batch(int64_t receive_ms, std::string_view json) {
  line_.clear();
  write_batch(journal_->next_number(), receive_ms, json, line_);
  return journal_->append(line_);
}

base::Status DataFolder::use_intel(int64_t receive_ms, const std::vector<std::string>& csv_files) {
  TAMIS_TRY(version, keep_intel(path_, csv_files));
  if (version == intel_version_ && intel_ != nullptr) {
    // The same facts. What is wrong with them is told of the files as they were named now.
    if (intel_->faults().count == 0) return {};
    TAMIS_TRY(same, kept_intel(path_, version, csv_files));
    intel_ = std::move(same);
    return {};
  }
  TAMIS_TRY(intel, kept_intel(path_, version, csv_files));
  line_.clear();
  write_intel(journal_->next_number(), receive_ms, version, line_);
  TAMIS_CHECK(journal_->append(line_));
  intel_ = std::move(intel);
  intel_version_ = version;
  return {};
}

base::Status DataFolder::decided(const engine::PreparedEvent& event, const engine::Decision* decision, uint64_t number,
                                 int64_t receive_ms) {
  return archive_->add(event, decision, number, receive_ms);
}

base::Status DataFolder::acted(const engine::Act& act, uint64_t number, int64_t receive_ms) {
  return archive_->add_act(number, receive_ms, act);
}

std::string DataFolder::failure() const {
  std::string journal = journal_->failure();
  if (!journal.empty()) return "the journal cannot be written: " + journal;
  std::string archive = archive_->stats().failure;
  return archive.empty() ? archive : "the archive cannot be written: " + archive;
}

base::Status DataFolder::flush(const WithEngine& with_engine) {
  uint64_t upto = 0;
  with_engine([&](Engine&) { upto = last_number(); });
  TAMIS_CHECK(journal_->sync());  // the archive must never know records that the journal may lose
  return archive_->flush(upto, false);
}

base::Status DataFolder::join_files() { return archive_->flush(archive_->stats().upto); }

SnapshotHead DataFolder::head_of(const Engine& engine) const {
  SnapshotHead head;
  head.record = last_number();
  head.policy = engine.policy()->version;
  head.intel = intel_version_;
  head.forgotten = forgotten_;
  head.span_ms = policy::private_span_ms(*engine.policy());
  return head;
}

static base::Status abandoned(const DataFolder::WithEngine& with_engine, base::Error error) {
  with_engine([](Engine& engine) { engine.abandon_snapshot(); });
  return tl::unexpected(std::move(error));
}

// The snapshot that was begun, piece by piece beside the running engine.
base::Status DataFolder::write_state(SnapshotWriter& writer, const WithEngine& with_engine,
                                     const std::atomic<bool>& stop) {
  std::string piece;
  for (bool more = true; more;) {
    if (stop) return abandoned(with_engine, {base::Code::kUnavailable, "stopped"});
    piece.clear();
    with_engine([&](Engine& engine) { more = engine.snapshot_piece(piece); });
    if (piece.empty()) continue;
    base::Status written = writer.piece(piece);
    if (!written) return abandoned(with_engine, written.error());
  }
  return {};
}

void DataFolder::begin_filled(Engine& engine, uint64_t record) {
  filled_head_ = head_of(engine);
  filled_head_.record = record;
  engine.begin_snapshot();
}

base::Status DataFolder::keep_filled(const WithEngine& with_engine, const std::atomic<bool>& stop) {
  auto made = base::make_folders(path_ + "/snapshots");
  if (!made) return abandoned(with_engine, made.error());
  auto writer = SnapshotWriter::create_as(filled_path(path_, filled_head_.record), filled_head_);
  if (!writer) return abandoned(with_engine, writer.error());
  TAMIS_CHECK(write_state(**writer, with_engine, stop));
  return (*writer)->finish();
}

base::Status DataFolder::checkpoint(const WithEngine& with_engine, const std::atomic<bool>& stop,
                                    const std::function<base::Status()>& before_name) {
  SnapshotHead head;
  with_engine([&](Engine& engine) {
    if (engine.policy() == nullptr) return;
    head = head_of(engine);
    journal_->roll();  // so that recovery finds the records behind the snapshot at once
    engine.begin_snapshot();
  });
  if (head.record == 0 || head.policy.empty()) return {};
  auto abandon = [&](base::Error error) { return abandoned(with_engine, std::move(error)); };
  base::Status before = journal_->sync();
  if (before) before = archive_->flush(head.record, false);
  if (!before) return abandon(before.error());
  auto writer = SnapshotWriter::create(path_, head);
  if (!writer) return abandon(writer.error());
  TAMIS_CHECK(write_state(**writer, with_engine, stop));
  if (before_name) TAMIS_CHECK(before_name());
  TAMIS_CHECK((*writer)->finish());
  last_snapshot_ = head.record;
  remove_old_snapshots();
  return {};
}

base::Status DataFolder::find_first_number() {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(path_), 0));
  std::string_view line;
  TAMIS_TRY(more, reader->next(line));
  first_number_ = more ? reader->number() : journal_->next_number();
  return {};
}

// The newest stay for recovery, the first of each day for replays of a journal that was trimmed.
void DataFolder::remove_old_snapshots() {
  std::vector<SnapshotFile> files = list_snapshots(path_);
  for (size_t i = options_.snapshots_kept; i < files.size(); ++i) {
    bool first_of_day = i + 1 == files.size() || files[i + 1].taken_ms / kDayMs != files[i].taken_ms / kDayMs;
    if (!first_of_day) ::unlink(files[i].path.c_str());
  }
}

}  // namespace tamis::replay
