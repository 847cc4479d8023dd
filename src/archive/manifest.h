// Manifest: which files count. One small JSON file, replaced as a whole; everything else in the folder follows from it.
// Private.
//
// In memory a manifest never changes: writers make the next one, readers keep the one they began with. A file that no
// manifest names any more is removed when its last reader is done.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "archive/hot.h"
#include "archive/layout.h"
#include "archive/pages.h"
#include "base/result.h"

namespace tamis::archive {

struct DataFile : std::enable_shared_from_this<DataFile> {
  std::string path;  // relative to the folder
  std::string type;  // event type; empty: acts
  int64_t day = 0;   // since the epoch
  uint64_t first = 0, last = 0;
  uint64_t rows = 0, bytes = 0;
  int64_t from_ms = 0, to_ms = 0;  // of its events, both included
  // Of its footer, in which the hashes of all other bytes are (hashes.h); none: it was written before there were any.
  std::optional<uint64_t> footer_hash;
  std::shared_ptr<const Layout> layout;
  std::string absolute;
  mutable std::atomic<bool> doomed = false;  // removed with the last reference
  mutable std::atomic<bool> lost = false;    // missing or of another size when the archive was opened
  mutable HotFile hot;                       // its columns in memory
  // Where its pages lie; read once.
  base::Result<std::shared_ptr<const ParquetFile>> parquet() const;

  // Compares its bytes with their hashes, for whoever has DuckDB read them: those of some columns (null: all) and what
  // lies between columns. What was found good once is not read again while the file has the same place, size and time
  // of change; `again`: it is. Gives the number of bytes read. kUnavailable: it is damaged; kLimit: `keep_going` (may
  // be null) said no.
  base::Result<uint64_t> verify(const std::set<std::string>* columns, const std::function<bool()>& keep_going,
                                bool again = false) const;
  // What verify() found, for as long as the file is the one that was looked at; empty: nothing. A damaged file is not
  // joined and not written anew.
  std::string damage() const;

  DataFile() = default;
  DataFile(const DataFile&) = delete;
  DataFile& operator=(const DataFile&) = delete;
  ~DataFile();

 private:
  mutable std::mutex parquet_mutex_;
  mutable std::shared_ptr<const ParquetFile> parquet_;

  struct Stamp {
    int64_t inode = 0, bytes = -1, changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  Stamp stamp() const;
  base::Result<uint64_t> verify_now(const std::set<std::string>* columns,
                                    const std::function<bool()>& keep_going) const;
  mutable std::mutex verify_mutex_;
  mutable Stamp verified_stamp_;
  mutable std::vector<bool> verified_;  // by column, the last: what lies between columns
  mutable std::atomic<bool> was_damaged_ = false;
  mutable std::mutex damage_mutex_;  // behind verify_mutex_
  mutable Stamp damage_stamp_;
  mutable std::string damage_;
};
using FilePointer = std::shared_ptr<const DataFile>;

struct Manifest {
  uint64_t upto = 0;
  std::vector<FilePointer> files;  // by type and first record
  // Event types whose last row is gone, with the columns that they had: their tables are empty, not unknown.
  std::map<std::string, std::shared_ptr<const Layout>> bare;
  uint64_t generation = 0;  // grows with each replacement; in memory only

  void sort();
  std::vector<FilePointer> files_of(std::string_view type) const;
};

inline constexpr char kManifestName[] = "manifest.json";

std::string to_json(const Manifest& manifest);
// Errors name what is damaged.
base::Result<Manifest> parse_manifest(std::string_view text, const std::string& folder);
// An empty one where there is no file yet.
base::Result<Manifest> read_manifest(const std::string& folder);
base::Status write_manifest(const std::string& folder, const Manifest& manifest);

// Removes Parquet files that the manifest does not name, and what is left in the folder for temporary files.
base::Status remove_leftovers(const std::string& folder, const Manifest& manifest);
// Marks the files that are missing or have another size than the manifest says.
void lost_files(const Manifest& manifest);
// Of a file that is so marked.
base::Error lost_error(const DataFile& file);
// Names the first file that is lost or was found damaged, and how many there are; empty: none is known.
std::string damage_of(const Manifest& manifest);

base::Status sync_path(const std::string& path);  // a file or a folder

}  // namespace tamis::archive
