// Snapshots: the whole state of an engine as of one record, in one file, so that recovery folds only the records behind
// it. FOLDER/snapshots/NNNNNNNNNNNNNNNN.snapshot, named by that record's number in 16 digits: a line of JSON
// {"format":"tamis snapshot 1","record":N,"policy":VERSION,"intel":VERSION,"forgotten":{...}}, then pieces, each four
// bytes of length (little endian) and a zstd frame with a checksum (RFC 8878), then four zero bytes. Written under
// another name, synced and renamed: a file with this name is whole, or was damaged later, which is told.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "journal/compressor.h"

namespace tamis::replay {

// Up to which time private values were forgotten in a state (records.h: "forget").
struct Forgotten {
  int64_t before_ms = 0;  // values from before that time are gone
  int64_t at_ms = 0;      // the engine's time when that was done: what was dead by then is gone
};

struct SnapshotHead {
  uint64_t record = 0;  // the last that it covers
  std::string policy, intel;
  Forgotten forgotten;
  int64_t span_ms = 0;  // of the policy (policy/private_values.h); -1: the file does not say it
  // No private value of features in it is older.
  int64_t private_since_ms() const;
};

class SnapshotWriter {
 public:
  static base::Result<std::unique_ptr<SnapshotWriter>> create(const std::string& data, const SnapshotHead& head);
  // The same under another name.
  static base::Result<std::unique_ptr<SnapshotWriter>> create_as(const std::string& path, const SnapshotHead& head);
  // A file of this form anywhere, with a first line of the caller's own (replay/replay_checkpoint.h).
  static base::Result<std::unique_ptr<SnapshotWriter>> create_at(const std::string& path, std::string_view first_line);
  ~SnapshotWriter();  // without finish(): removes what was written
  base::Status piece(std::string_view bytes);
  base::Status finish();
  uint64_t bytes() const { return written_; }

 private:
  SnapshotWriter(std::string path, int fd);
  base::Status write(std::string_view bytes);

  std::string path_;  // the final one
  int fd_;
  uint64_t written_ = 0;
  journal::Compressor compressor_;
  std::string frame_;
  bool finished_ = false;
};

class SnapshotReader {
 public:
  static base::Result<std::unique_ptr<SnapshotReader>> open(const std::string& path);
  static base::Result<std::unique_ptr<SnapshotReader>> open_at(const std::string& path, std::string& first_line);
  ~SnapshotReader();
  const SnapshotHead& head() const { return head_; }
  // The next piece; false at the end. Errors name file and offset.
  base::Result<bool> next(std::string& piece);

 private:
  SnapshotReader(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  base::Status read(char* out, size_t bytes);

  std::string path_;
  int fd_;
  uint64_t offset_ = 0;
  std::string frame_;
  SnapshotHead head_;
};

struct SnapshotFile {
  std::string path;
  uint64_t record = 0;
  int64_t taken_ms = 0;  // when it was written, by the file system
};
base::Result<SnapshotHead> read_snapshot_head(const std::string& path);
// Whole snapshots of a data folder, the newest first. Leftovers of a crash are not among them.
std::vector<SnapshotFile> list_snapshots(const std::string& data);
// States kept behind activations (replay/backfill.h), the newest first.
std::vector<SnapshotFile> list_filled(const std::string& data);
// Removes states kept behind activations (replay/backfill.h) whose records are before `record`.
void remove_filled(const std::string& data, uint64_t record);
// Removes leftovers of a crash.
void clean_snapshots(const std::string& data);

}  // namespace tamis::replay
