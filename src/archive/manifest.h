// Manifest: which files count. One small JSON file, replaced as a whole; everything else in the folder follows from it.
// Private.
//
// In memory a manifest never changes: writers make the next one, readers keep the one they began with. A file that no
// manifest names any more is removed when its last reader is done.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
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
  std::shared_ptr<const Layout> layout;
  std::string absolute;
  mutable std::atomic<bool> doomed = false;  // removed with the last reference
  mutable std::atomic<bool> lost = false;    // missing or of another size when the archive was opened
  mutable HotFile hot;                       // its columns in memory
  // Where its pages lie; read once.
  base::Result<std::shared_ptr<const ParquetFile>> parquet() const;

  DataFile() = default;
  DataFile(const DataFile&) = delete;
  DataFile& operator=(const DataFile&) = delete;
  ~DataFile();

 private:
  mutable std::mutex parquet_mutex_;
  mutable std::shared_ptr<const ParquetFile> parquet_;
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
// Marks and names the files that are missing or have another size than the manifest says; empty: all is well.
std::string lost_files(const Manifest& manifest);

base::Status sync_path(const std::string& path);  // a file or a folder

}  // namespace tamis::archive
