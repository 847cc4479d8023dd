// Action batches: one bulk action on the past as one object, which can be looked at, applied step by step, stopped and
// undone. A planner (a rule over a window of the archive) gives the items; this keeps them, does them and takes them
// back. Used by `tamis act`, `tamis undo` and their API.
//
// What undo promises: it restores exactly what the batch changed. Where the mark that the batch left still lies, what
// lay there before comes back with its author, reason, since and expiry, or nothing if nothing did (or if it would have
// expired by now). Where somebody else has changed something since, that stays, and is reported with who and when.
//
// How it can promise that. A mark of the batch is a function of three things: the item, what lay at its place before,
// and the time of its chunk; all three are on disk before the first act of the chunk is done, and nobody can get
// between the last look and the act (Ground::hold). So what is found at a place says by itself whether the batch has
// been there, also after a crash at any moment; doing a chunk once more does nothing twice.
//
// A place where a mark lies already that lasts as long is left as it is ("already"). One that ends earlier is extended:
// it keeps its since, like a label that is set twice. A revision is always new: the newest one is in force.
//
// Files. FOLDER/ID.jsonl: a line about the batch, then one an item with what lay there when it was planned; never
// changed (but for an erasure), and sealed by its SHA-256, which is journaled. FOLDER/ID.log: what was done, one JSON
// object a line; the state of a batch is what its log says. 100 000 items are about 20 MB.
//
// Records of the journal (Ground::record): {"batch":ID,"step":STEP,...} with STEP planned, applying, stopped, applied,
// undoing, undone; "planned" has rule, policy, author, reason, items and sha256, the later ones the counts.
//
// States: planned -> applying -> applied -> undoing -> undone; applying may become stopped (on demand, at the cap, by a
// disk that refuses, by a crash), which goes on with apply() or back with undo(). An interrupted undo stays undoing and
// goes on with undo(). undo() of what is undone tries again what was kept, for batches that were undone in the wrong
// order.
//
// Threading: all methods from any thread; apply() and undo() run on the caller's, one at a time for each batch.
// Memory: one chunk of items, and the places that had changed between plan and apply.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "action/ground.h"
#include "base/result.h"

namespace tamis::action {

struct BatchItem {
  Place place;
  int64_t expires_ms = state::kNeverExpires;  // of the mark
  int64_t lasts_ms = 0;                       // if not 0: it expires so long after it is laid instead
  uint64_t records = 1;                       // how many past events caused it
  bool is_token = false;                      // place.value is a token (Batches::forget_values)
};

struct BatchPlan {
  std::string rule;
  std::string policy;  // version
  std::string author;  // of the marks: who answers for them
  std::string reason;  // of the marks
  int64_t from_ms = 0;
  int64_t to_ms = 0;
  std::span<const BatchItem> items;  // each place once
};

struct BatchPreview {
  uint64_t labels = 0, entries = 0, revisions = 0;
  uint64_t fresh = 0;     // nothing lies there
  uint64_t replaced = 0;  // a mark lies there that would be extended or replaced
  uint64_t already = 0;   // nothing would change
};

enum class BatchState : uint8_t { kPlanned, kApplying, kStopped, kApplied, kUndoing, kUndone };
std::string_view to_string(BatchState state);

struct BatchInfo {
  std::string id;
  BatchState state = BatchState::kPlanned;
  bool running = false;  // somebody applies or undoes it now
  std::string rule, policy, author, reason;
  int64_t from_ms = 0, to_ms = 0;
  int64_t planned_ms = 0, applied_ms = 0, undone_ms = 0;  // 0: not yet; the latest of each
  std::string applied_by, undone_by, undo_reason;
  std::string stop_reason;  // of kStopped, and of an undo that was interrupted
  std::string sha256;       // of the items
  uint64_t items = 0;
  uint64_t done = 0;      // items that apply() has gone through
  uint64_t changed = 0;   // of them: a mark was laid
  uint64_t already = 0;   // of them: nothing had to be done
  uint64_t failed = 0;    // of them: refused, see report()
  uint64_t undone = 0;    // items that undo() has gone through
  uint64_t restored = 0;  // of them: what lay there before came back
  uint64_t removed = 0;   // of them: nothing had been there, the mark was taken away
  uint64_t gone = 0;      // of them: it had expired, or was taken back already
  uint64_t kept = 0;      // of them: somebody else has changed it since, see report()
};
std::string to_json(const BatchInfo& info);

// An item that did not go as planned.
struct BatchFault {
  uint64_t item = 0;  // counted from 0
  Place place;
  bool kept = false;  // by undo(); else it failed in apply()
  std::string who;    // kept: who changed it, empty if nobody knows
  int64_t when_ms = 0;
  std::string what;  // the error, or what lies there now
};

struct BatchReport {
  BatchInfo info;
  std::vector<BatchFault> faults;
  bool cut = false;  // there are more
};

struct BatchOptions {
  uint64_t items_max = 1'000'000;
  uint64_t batches_max = 10'000;
  uint32_t chunk_items = 2'000;  // between two syncs
  uint32_t hold_items = 64;      // while the engine waits
};

// What apply() and undo() are asked to do.
struct BatchRun {
  std::string by = {};        // who asks for it
  std::string why = {};       // undo only
  uint32_t rate_per_s = 0;    // items a second; 0: as fast as it goes
  uint64_t cap = UINT64_MAX;  // apply only: stop when so many items of the batch are done
  // Called after each chunk, on the caller's thread; false stops.
  std::function<bool(const BatchInfo&)> progress = nullptr;
};

class Batches {
 public:
  // Reads what is in the folder, made if need be; interrupted batches are kStopped or kUndoing. `ground` must live
  // longer. Errors: no access, a file that is no batch (names it).
  static base::Result<std::unique_ptr<Batches>> open(const std::string& folder, Ground& ground,
                                                     BatchOptions options = {});
  virtual ~Batches() = default;  // apply() and undo() must have returned

  // What applying these items now would change. Nothing is kept.
  virtual base::Result<BatchPreview> preview(std::span<const BatchItem> items) = 0;
  // Keeps the items with what lies at their places. Durable, and journaled, when it returns.
  // Errors: no items, too many (kLimit), a place twice, a text that is empty, too long or no UTF-8 (names the item).
  virtual base::Result<BatchInfo> plan(const BatchPlan& plan) = 0;

  // Goes on where it was; of an applied batch it does nothing. What it returns is durable. A stop for whatever reason
  // is no error: see state and stop_reason. Errors: no such batch (kNotFound), it runs or is undone (kUnavailable,
  // kInvalid), its file was changed (kInvalid), the log cannot be written.
  virtual base::Result<BatchInfo> apply(std::string_view id, const BatchRun& run = {}) = 0;
  virtual base::Result<BatchInfo> undo(std::string_view id, const BatchRun& run = {}) = 0;
  // Asks apply() or undo() of the batch to stop after the chunk at hand. Returns at once.
  virtual base::Status stop(std::string_view id) = 0;

  virtual base::Result<BatchInfo> info(std::string_view id) const = 0;
  virtual std::vector<BatchInfo> list(size_t limit = 1'000) const = 0;  // newest first
  virtual base::Result<BatchReport> report(std::string_view id, size_t limit = 1'000) const = 0;
  // The items from number `from` on.
  virtual base::Result<std::vector<BatchItem>> items(std::string_view id, uint64_t from, size_t limit) const = 0;

  // Takes every item whose value is `value`, or its token, out of all batches that do not run, with what lay there
  // before: they cannot be undone then. Gives how many there were.
  virtual base::Result<uint64_t> erase(std::string_view value) = 0;
  // After the raw days: in batches planned before that time which do not run, tokens (Ground::token) take the places of
  // the values of items for which `is_private` holds. undo() finds what lies there by them among all that is in force,
  // at about a microsecond for each; what is in force no more cannot be named, and counts as gone. What was not applied
  // by then never will be. Gives how many items there were.
  virtual base::Result<uint64_t> forget_values(int64_t before_ms,
                                               const std::function<bool(const Place&)>& is_private) = 0;
  // Removes the files of a batch that does not run. What it did stays, and can no longer be undone.
  virtual base::Status forget(std::string_view id) = 0;
};

}  // namespace tamis::action
