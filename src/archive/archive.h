// Archive: past events with their feature values and decisions, and every act of a person, as Parquet files by day and
// type, so that DuckDB, pandas or Spark can open them too. What the analyst asks about the past, he asks here.
//
// Files. FOLDER/TYPE/YYYY-MM-DD/FIRST-LAST.parquet, named by the numbers of their first and last record (FIRST-LAST.2
// where such a file is written anew); the acts of
// people and batches lie in FOLDER/acts/ in the same way. FOLDER/manifest.json names the files that count and `upto`,
// the number of the last record that they cover; it is replaced as a whole (write, sync, rename). So a crash at any
// moment leaves the state before or after a flush: files that the manifest does not name are removed by open(), and
// recovery folds the records behind `upto` again and adds them again. Nothing is lost or doubled.
//
// Columns of an event type, all nullable:
//   n UBIGINT record number, time TIMESTAMP (of the event as decided), received TIMESTAMP, id VARCHAR,
//   policy VARCHAR, verdict VARCHAR, points DOUBLE, score DOUBLE, late BOOLEAN,
//   rules VARCHAR[] (ids that acted), shadow VARCHAR[] (ids that matched without acting), reasons VARCHAR[] (as rules),
//   values VARCHAR (JSON object: rule id to its value), effects VARCHAR (JSON list of labels, entries, notifications,
//   and of fields that were dropped since their value had another type),
// then one column for each field, derived attribute and feature by its name in expressions ("ip", "ip.net24",
// "signups_per_net_1h"). A field whose name is taken by a column above is "field.NAME". Columns of types: bool BOOLEAN,
// int BIGINT, uint UBIGINT, double DOUBLE, string VARCHAR, bytes BLOB, timestamp TIMESTAMP, duration BIGINT in ns,
// all others VARCHAR with JSON. Absent values and errors are NULL.
// SQL does not tell upper from lower case: of two fields that differ in nothing else, the second is "field.NAME", too.
// The table of a type that is called events, acts or truth is "type.NAME". Columns of acts: n, time, act, kind, value,
// name, list, author, reason, since, expires, batch.
//
// Past events that were imported without being decided (policy, verdict, points and score NULL) lie among the others.
//
// DuckDB (libduckdb.so) is loaded with the first flush, query or scan; add() never touches it.
//
// Threading: add() and add_act() come from one thread at a time and cost about a microsecond; everything else may be
// called from any thread beside them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cel/columns.h"
#include "cel/plan.h"
#include "engine/act.h"
#include "engine/decision.h"
#include "engine/engine.h"

namespace tamis::archive {

struct ArchiveOptions {
  int threads = 2;                            // of queries and of flushes
  uint64_t query_bytes_max = 1ull << 30;      // memory of queries
  uint64_t pending_bytes_max = 512ull << 20;  // added and not yet in files; beyond that add() refuses
  uint64_t hot_bytes_max = 1ull << 30;        // columns kept in memory for searches; never over an eighth of the RAM
  uint64_t file_rows_max = 2'000'000;         // compaction joins files of a day and type up to this
  bool read_only = false;                     // another process may write: see what its manifest names
};

struct ArchiveStats {
  uint64_t upto = 0;  // records up to this number are in files
  uint64_t files = 0, rows = 0, bytes = 0;
  uint64_t pending_rows = 0, pending_bytes = 0;
  int64_t oldest_ms = 0, newest_ms = 0;  // of events, 0: there is none
  std::string failure;                   // why the last flush failed, or empty
  std::string damage;                    // files that are missing or damaged, as far as that is known, or empty
  uint64_t files_unverified = 0;         // written before files had hashes: a flipped bit in them is not noticed
};

// What Archive::verify() found.
struct Verified {
  uint64_t files = 0, unverified = 0;  // unverified: there, but without hashes
  uint64_t bytes = 0;                  // read
  std::vector<std::string> damage;     // a file that is missing or damaged, in words; at most 1,000
  uint64_t damaged = 0;                // files
};

// The answer to an SQL query, in memory.
struct Table {
  struct Column {
    std::string name;
    std::string type;  // as DuckDB calls it
  };
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  // text of each cell
  std::vector<std::vector<bool>> nulls;
  bool cut = false;  // there were more than rows_max
};

struct QueryLimits {
  int64_t time_ms = 30'000;
  uint64_t rows_max = 10'000;
};

// What a scan reads. Rows come in the order of their record numbers.
struct ScanRequest {
  const policy::EventType* type = nullptr;  // the slots as this policy lays them out; the archive may be older
  const policy::Policy* policy = nullptr;   // of the type: for its features
  std::vector<int32_t> slots;               // fields, derived attributes, features that are read
  int64_t from_ms = INT64_MIN;              // time in [from_ms, to_ms)
  int64_t to_ms = INT64_MAX;
  // SQL over the columns of a file (see above) that must hold besides, or empty: only to leave rows out early.
  std::string where;
  // The same as predicates: rows in which one of them is not true may be left out. Their constants are the plan's.
  std::vector<cel::Predicate> must;
  bool decisions = true;         // fill Batch::verdict and what follows
  bool reasons_and_ids = false;  // fill id, too
  std::vector<uint64_t> only;    // these record numbers alone, ascending; empty: all
  // Columns that are in memory are read from there, the others are taken there. `where` is not looked at, and rows come
  // file by file, in the order of records within one. Only where Archive::warmth() says that it can be.
  bool in_memory = false;
};

struct Batch {
  uint32_t rows = 0;
  std::span<const cel::Column> columns;  // by slot number; slots that were not asked for are absent
  const uint64_t* n = nullptr;
  const int64_t* time_ms = nullptr;
  // With `decisions`; a null verdict is an empty text.
  const std::string_view* verdict = nullptr;
  const double* points = nullptr;
  const std::string_view* policy = nullptr;
  const std::string_view* rules = nullptr;   // ids, each followed by a line feed
  const std::string_view* shadow = nullptr;  // likewise
  const std::string_view* id = nullptr;
};

// One thread at a time. The archive, and the request's policy, must outlive it. Files that are replaced meanwhile stay
// until it ends.
class Scan {
 public:
  virtual ~Scan() = default;
  // The next rows, at most cel::ColumnFrame::kRowsMax, valid until the next call; no rows at the end.
  // A failure is for good. kUnavailable: a file is damaged, or (read_only) was replaced by the process that writes.
  virtual base::Result<const Batch*> next() = 0;
  virtual uint64_t rows_total() const = 0;  // of the window, for progress (an upper bound)
};

// What is counted by SQL alone, without a row leaving the database.
struct TallyRequest {
  const policy::EventType* type = nullptr;
  const policy::Policy* policy = nullptr;  // of the type
  int64_t from_ms = INT64_MIN;             // time in [from_ms, to_ms)
  int64_t to_ms = INT64_MAX;
  std::vector<int32_t> slots;   // that `where` reads
  std::string where;            // SQL; a slot is the column s followed by its number
  int64_t bucket_ms = 1'000;    // width of what is counted together
  std::vector<int32_t> facets;  // slots whose values are counted
  uint32_t rows = 0;            // named of the oldest and of the newest
};

struct Tally {
  uint64_t count = 0;
  std::vector<std::pair<int64_t, uint64_t>> buckets;  // beginning, rows; ascending
  struct Facet {
    std::vector<std::pair<std::string, uint64_t>> values;  // JSON, rows; in no order
    uint64_t absent = 0;
  };
  std::vector<Facet> facets;  // as in the request
  struct Row {
    int64_t time_ms = 0;
    uint64_t n = 0;
  };
  std::vector<Row> oldest, newest;  // by time and number, oldest first and newest first
};

class Archive {
 public:
  static base::Result<std::unique_ptr<Archive>> open(const std::string& folder, ArchiveOptions options = {});
  virtual ~Archive() = default;  // does not flush: what is not in files comes again from the journal

  // Writing. `decision` is that of `event`, or null for a past event that was only imported (then `record` counts).
  // Records up to stats().upto are in files already: adding them again does nothing. kLimit: pending_bytes_max.
  virtual base::Status add(const engine::PreparedEvent& event, const engine::Decision* decision, uint64_t record,
                           int64_t receive_ms) = 0;
  virtual base::Status add_act(uint64_t record, int64_t receive_ms, const engine::Act& act) = 0;
  // Writes what was added so far into files. `upto`: the number of the last record that was added (or seen and had
  // nothing to add); rows behind it wait for the next flush. Joins small files afterwards, where there are many: with
  // `join` up to the largest, without it only the smallest ones (some ten thousand rows), for callers whom somebody
  // waits for. A failure leaves everything as it was and is told in stats(), too. The work is done at low priority, on
  // one thread; another flush need not wait for files being joined.
  virtual base::Status flush(uint64_t upto, bool join = true) = 0;
  // The policy that decides from now on: types of which no event is there yet have an empty table from the next flush
  // on that writes something. From any thread.
  virtual void declare(const policy::Policy&) {}
  virtual ArchiveStats stats() const = 0;
  // The one of the figures that is asked for often.
  virtual uint64_t pending_bytes() const { return stats().pending_bytes; }

  // Reading sees what is in files. A file that is missing or damaged (its bytes do not fit their hashes) makes whatever
  // would have read it fail with kUnavailable and its name: nothing of it is taken, and no answer is made without it.
  // SQL over the tables `events` (n, time, received, type, id, policy, verdict, points, score, late, rules, shadow of
  // all types), `acts`, `truth` (the acts of truth that are in force: kind, value, label, author, time), and one table
  // for each event type. Only reading statements; no files, no network, no settings.
  virtual base::Result<Table> query(std::string_view sql, const QueryLimits& limits,
                                    const std::function<bool()>& keep_going) const = 0;
  // Errors: kNotFound names what the archive does not have in the whole window (a field that came later, a feature that
  // was declared differently, a token in place of a value): then only a replay can answer.
  virtual base::Result<std::unique_ptr<Scan>> scan(const ScanRequest& request) const = 0;
  // Reads every file and compares it with its hashes. What this process found good before is read again, too.
  virtual base::Result<Verified> verify(const std::function<bool(uint64_t done, uint64_t total)>& keep_going) const = 0;

  // Whether that scan would work, without doing it: the names of slots that are not there, or are there only in part.
  virtual base::Result<std::vector<std::string>> missing(const ScanRequest& request) const = 0;

  // Nothing where only a scan can tell: a slot that is not a column in every file of the window, a facet of another
  // type than bool, int, uint and string or with hundreds of thousands of values. kUnavailable: `keep_going` said no.
  virtual base::Result<std::optional<Tally>> tally(const TallyRequest&, const std::function<bool()>& keep_going) const {
    (void)keep_going;
    return std::nullopt;
  }

  // Columns in memory. How many rows the window of a scan has, and how many of them would have to be read from files;
  // nothing where the scan asks for what is never in memory (JSON, what is derived on reading, decisions, ids).
  struct Warmth {
    uint64_t rows = 0, cold = 0;
  };
  virtual std::optional<Warmth> warmth(const ScanRequest& request) const {
    (void)request;
    return std::nullopt;
  }
  // Reads what the scan needs into memory, on a thread of the archive's own with low priority, as far as hot_bytes_max
  // allows; what was not read for longest gives way. Does nothing while the one before is not done.
  virtual void warm(const ScanRequest& request) const { (void)request; }

  // All that is stored of some rows of an event type, as JSON objects that begin with the type, by record number.
  // Numbers that no file has are left out.
  virtual base::Result<std::map<uint64_t, std::string>> rows(std::string_view type,
                                                             const std::vector<uint64_t>& numbers) const = 0;

  // Retention: drops the values of fields whose days are over, puts tokens in place of the values of `private: token`
  // fields that are older than `raw_days`, and removes files that have nothing left to keep. Rewrites file by file;
  // can be stopped and goes on next time. Files that are missing or damaged stay as they are; the others are done, then
  // it fails with their names. Erasing likewise.
  struct Retention {
    int64_t now_ms = 0;
    int32_t raw_days = 7;
    int32_t keep_days = 365;                                      // of rows and of fields that say nothing else
    std::function<std::string(std::string_view day)> key_of_day;  // secret of a day ("2026-11-21") for tokens
  };
  struct RetentionReport {
    uint64_t files_rewritten = 0, files_removed = 0, rows_removed = 0, values_dropped = 0, values_tokened = 0;
  };
  virtual base::Result<RetentionReport> retain(const policy::Policy& policy, const Retention& retention,
                                               const std::function<bool()>& keep_going) = 0;
  // Removes every row whose entity fields or derived attributes of `kind` have `value` (raw or as a token), and acts on
  // it. Gives the number of rows removed. Sees what is in files: flush first. Once a file that was replaced has no
  // reader any more, it is gone from the disk.
  virtual base::Result<uint64_t> erase(const policy::Policy& policy, std::string_view kind, std::string_view value,
                                       const std::function<std::string(std::string_view day)>& key_of_day) = 0;
};

}  // namespace tamis::archive
