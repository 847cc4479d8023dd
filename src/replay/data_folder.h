// DataFolder: what a server keeps, as one object: the journal, the archive, the snapshots, the policies and network
// facts they were made with. It belongs to one process at a time.
//
//   FOLDER/lock        held while the folder is open
//   FOLDER/journal/    every record, in the order in which it was folded (journal/journal.h, replay/records.h)
//   FOLDER/snapshots/  the engine's state as of a record (replay/snapshot.h)
//   FOLDER/archive/    events with their decisions, and acts, as Parquet (archive/archive.h)
//   FOLDER/past.events is there while the journal may hold events that are only kept (`past`)
//   FOLDER/audit/      who changed what, and who looked at whose data (action/audit.h)
//   FOLDER/policies/   FOLDER/intel/   what the records name by their hash
//
// Recovery: the newest snapshot, then the records behind it. Whatever the archive does not have yet is added again on
// the way. So a crash loses what the journal had not written (a few milliseconds of events, never an act of a person),
// and nothing is doubled.
//
// Threading: event(), past(), policy(), intel(), act() and decided() come from one thread at a time, in the order of
// the engine (the service's lock); the others from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "action/audit.h"
#include "archive/archive.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/act.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "replay/keys.h"
#include "replay/snapshot.h"

namespace tamis::replay {

struct DataFolderOptions {
  journal::JournalOptions journal;
  archive::ArchiveOptions archive;
  uint32_t snapshots_kept = 2;  // newest ones; besides, the first of each day stays until trim() needs it no more
};

// How a recovery went, for people.
struct Recovered {
  uint64_t snapshot = 0;  // the record of the snapshot it began with; 0: with the first record
  uint64_t records = 0, decided = 0, refused = 0;
  uint64_t dropped_bytes = 0;  // of a record that a crash cut off
  std::vector<std::string> notes;
};

// A record that recovery folded and that came to something.
struct Folded {
  uint64_t number = 0;
  int64_t receive_ms = 0;
  const engine::PreparedEvent* event = nullptr;  // with its decision
  const engine::Decision* decision = nullptr;    // null for an act
  const engine::Act* act = nullptr;
};

class DataFolder {
 public:
  // Creates the folder if need be. Errors: no access, another process has it (kUnavailable), damage.
  static base::Result<std::unique_ptr<DataFolder>> open(const std::string& path, DataFolderOptions options = {});
  ~DataFolder();

  const std::string& path() const { return path_; }
  // Under which engines of this folder keep what they know of accounts; recover() gives it to its engine.
  const base::SipKey& state_key() const { return state_key_.key; }
  std::string socket_path() const { return path_ + "/socket"; }

  // Brings a fresh engine to where the journal ends. `keep_going` gets the number of records folded; `on_folded` (may
  // be null) each decision and act behind the snapshot, right after it, except those of imported events.
  base::Result<Recovered> recover(engine::Engine& engine, const std::function<bool(uint64_t)>& keep_going,
                                  const std::function<void(const Folded&)>& on_folded = nullptr);
  // Network facts in force where the journal ends; null: none.
  const std::shared_ptr<const event::NetworkIntel>& intel() const { return intel_; }

  // Records, written before they are folded; each gives its number. Errors: too much waits to be written.
  base::Result<uint64_t> event(int64_t receive_ms, std::string_view type, std::string_view json);
  // The same for an event of the past, whose decision leaves no trace outside.
  base::Result<uint64_t> imported(int64_t receive_ms, std::string_view type, std::string_view json);
  base::Result<uint64_t> past(int64_t receive_ms, std::string_view type, std::string_view json);
  base::Result<uint64_t> act(int64_t receive_ms, const engine::Act& act);
  base::Result<uint64_t> policy(int64_t receive_ms, const std::string& version,
                                const std::vector<policy::SourceFile>& files, uint64_t filled_from);
  // A record about an action batch, which no fold looks at.
  base::Status batch(int64_t receive_ms, std::string_view json);
  // Takes network facts into the folder; the same ones again make no record.
  base::Status use_intel(int64_t receive_ms, const std::vector<std::string>& csv_files);
  // After the fold: what record `number` came to, for the archive.
  base::Status decided(const engine::PreparedEvent& event, const engine::Decision* decision, uint64_t number,
                       int64_t receive_ms);
  base::Status acted(const engine::Act& act, uint64_t number, int64_t receive_ms);

  base::Status sync() { return journal_->sync(); }
  uint64_t last_number() const { return journal_->next_number() - 1; }
  uint64_t first_number() const { return first_number_; }
  uint64_t pending_bytes() const { return journal_->pending_bytes(); }
  // How much more waits to be written than should: 0 is nothing, 1 is half of all that may wait. From any thread.
  double behind() const { return behind_; }
  std::string failure() const;

  // Runs a function on the engine while no record can come.
  using WithEngine = std::function<void(const std::function<void(engine::Engine&)>&)>;
  // Brings the archive up to date: what was folded before the call can be asked for afterwards.
  base::Status flush(const WithEngine& with_engine);
  // Joins small files of the archive. It takes its time, and a flush need not wait for it.
  base::Status join_files();
  // Flushes and writes a snapshot, piece by piece beside the running engine. One at a time. `stop` ends it early, with
  // nothing written. `before_name` (may be null) runs before the snapshot counts: for what must be durable by then,
  // since recovery will not come by those records again.
  base::Status checkpoint(const WithEngine& with_engine, const std::atomic<bool>& stop,
                          const std::function<base::Status()>& before_name = nullptr);
  uint64_t last_snapshot() const { return last_snapshot_; }
  // What is right behind an activation that filled features is kept beside its record (replay/backfill.h):
  // begin_filled() in the same turn of the engine as the activation, keep_filled() behind it, with no checkpoint in
  // between.
  void begin_filled(engine::Engine& engine, uint64_t record);
  base::Status keep_filled(const WithEngine& with_engine, const std::atomic<bool>& stop);
  // Retention (replay/retention.h). Features lose private values from before that time, labels and list entries go that
  // expired before it: journaled and done, part by part. Gives how many keys were concerned.
  base::Result<uint64_t> forget_before(int64_t before_ms, const WithEngine& with_engine,
                                       const std::function<bool()>& keep_going);
  int64_t forgotten_before_ms() const { return forgotten_.before_ms; }
  // Removes the part of the journal that holds events or acts from before that time, snapshots and states behind
  // activations that may hold private values as old, and whatever lies before the snapshot that the journal then begins
  // with: the oldest that may stay. Where none may, `needs_snapshot` says that a checkpoint() has to come first, and
  // nothing is done; `with_any`: then the newest will do.
  struct Trimmed {
    uint64_t segments = 0, snapshots = 0;
    bool needs_snapshot = false;
  };
  base::Result<Trimmed> trim(int64_t before_ms, const WithEngine& with_engine, bool with_any);
  // Takes events that are only kept (`past`) and from before that time out of the journal, once the archive has them.
  base::Result<uint64_t> forget_past(int64_t before_ms, const WithEngine& with_engine);

  archive::Archive& archive() { return *archive_; }
  action::Audit& audit() { return *audit_; }
  std::string audit_folder() const { return path_ + "/audit"; }
  // For whoever rewrites the journal (replay/erase.h).
  journal::JournalWriter& journal() { return *journal_; }

 private:
  explicit DataFolder(std::string path) : path_(std::move(path)) {}
  base::Result<uint64_t> restore(engine::Engine& engine, Recovered& report);
  base::Status restore_from(const std::string& file, engine::Engine& engine, Recovered& report);
  base::Status fold_tail(engine::Engine& engine, uint64_t from, Recovered& report,
                         const std::function<bool(uint64_t)>& keep_going,
                         const std::function<void(const Folded&)>& on_folded);
  base::Status check_room(uint64_t number);
  base::Status write_state(SnapshotWriter& writer, const WithEngine& with_engine, const std::atomic<bool>& stop);
  base::Status find_first_number();
  void remove_old_snapshots();
  SnapshotHead head_of(const engine::Engine& engine) const;
  base::Result<bool> is_fresh_behind(uint64_t record, int64_t before_ms) const;
  base::Result<Trimmed> trim_to(const SnapshotFile& base, const std::vector<std::string>& stale, int64_t before_ms,
                                const WithEngine& with_engine);
  std::string past_mark() const { return path_ + "/past.events"; }

  std::string path_;
  StateKey state_key_;
  DataFolderOptions options_;
  int lock_fd_ = -1;
  std::unique_ptr<journal::JournalWriter> journal_;
  std::unique_ptr<archive::Archive> archive_;
  base::SystemClock clock_;
  std::unique_ptr<action::Audit> audit_;
  std::shared_ptr<const event::NetworkIntel> intel_;
  std::string intel_version_;
  std::atomic<uint64_t> first_number_{1};
  std::atomic<uint64_t> last_snapshot_{0};
  bool full_ = false;  // the archive, when it was last looked at
  std::atomic<double> behind_ = 0;
  std::string line_;
  SnapshotHead filled_head_;  // between begin_filled() and keep_filled()
  Forgotten forgotten_;
  bool past_marked_ = false;
};

}  // namespace tamis::replay
