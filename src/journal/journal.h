// Journal: the durable log of records, in the order in which they were folded. Whoever reads it again gets the same
// state and the same decisions.
//
// Format. FOLDER/NNNNNNNNNNNNNNNN.jsonl.zst, named by the number of its first record in 16 digits; a sequence of zstd
// frames with content checksums (RFC 8878), each holding whole lines: one JSON object a record, so a person reads it
// with `zstd -dc SEGMENT | jq`. Lines are opaque here. A new segment begins after segment_bytes.
//
// Durability. append() only fills a buffer. A thread of the writer compresses and writes what has come every sync_ms
// and syncs it to disk; sync() waits until everything appended so far is there. So a crash loses at most sync_ms of
// records that nobody waited for. If the disk fails or is full, records wait in memory up to pending_bytes_max and the
// write is tried again; beyond that append() refuses.
//
// Damage. A frame that was cut off at the end of the last segment is the trace of a crash: the reader reports how many
// bytes it dropped, the writer cuts them off when it opens the folder and reports it. Damage anywhere else is an error
// that names file and offset; nothing is skipped silently. Whole segments may be missing at the beginning, where
// remove_before() has deleted them; a segment missing in between is an error that names what comes after the gap.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::journal {

struct JournalOptions {
  int sync_ms = 5;
  uint64_t segment_bytes = 64 << 20;      // compressed
  uint64_t pending_bytes_max = 64 << 20;  // not yet written
  uint64_t frame_bytes_max = 1 << 20;     // of lines
  int compression_level = 1;
};

// One writer a folder, held by a lock file. All methods may be called from any thread.
class JournalWriter {
 public:
  // Creates the folder if need be. Errors: no access, another writer has it, damage before the end.
  static base::Result<std::unique_ptr<JournalWriter>> open(const std::string& folder, JournalOptions options = {});
  virtual ~JournalWriter() = default;  // writes and syncs what is pending

  // Adds a record: one line without line breaks. Errors: too much is pending (kUnavailable, with the reason).
  virtual base::Status append(std::string_view line) = 0;
  // Waits until all that was appended before is on disk. Errors: the disk refuses it; the record stays pending.
  virtual base::Status sync() = 0;
  // The next record begins a new segment. Waits for nothing.
  virtual void roll() = 0;
  // Deletes the segments all of whose records are before `number`, oldest first; never the last one. How many it were.
  virtual base::Result<uint64_t> remove_before(uint64_t number) = 0;
  virtual uint64_t pending_bytes() const = 0;  // appended and not yet durable
  virtual std::string failure() const = 0;     // why the last write failed; empty if it did not
  virtual uint64_t next_number() const = 0;    // of the next record; the first is 1
  virtual uint64_t dropped_bytes() const = 0;  // cut off at the end when it was opened
};

class JournalReader {
 public:
  // Reads from record first_number on, or from the first one there is if that is 0. Segments that lie before it are not
  // touched; of its own, the frames before it are decompressed and counted. first_number may be the next one to be
  // written, and next() then ends at once. Errors: the journal begins later (its oldest segments were deleted), or ends
  // earlier; the latter is told by next().
  static base::Result<std::unique_ptr<JournalReader>> open(const std::string& folder, uint64_t first_number = 0);
  virtual ~JournalReader() = default;

  // The next line, valid until the next call; false at the end. Errors: damage (file and offset), I/O.
  virtual base::Result<bool> next(std::string_view& line) = 0;
  virtual uint64_t number() const = 0;         // of the line that next() gave
  virtual uint64_t dropped_bytes() const = 0;  // of a frame cut off at the very end, once the end was reached
  virtual uint64_t done_bytes() const = 0;     // compressed bytes read, of size_bytes(): for progress
  virtual uint64_t size_bytes() const = 0;
};

}  // namespace tamis::journal
