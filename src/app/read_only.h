// A data folder that may only be read: on a read-only disk, or with no more than the right to look. Commands that only
// ask work on a folder beside it, which holds links to its files and copies of the few that are opened for writing; so
// they run the same code as ever, and whatever they write (rows that were not in the archive yet, a line of the audit
// trail) goes with it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace tamis::app {

class ReadOnlyFolder {
 public:
  // Whether a folder is there and may not be written.
  static bool is_needed(const std::string& data);

  // Errors: the folder is in use by another process (kUnavailable), it may not be read, there is no room in TMPDIR.
  static base::Result<std::unique_ptr<ReadOnlyFolder>> open(const std::string& data);
  ~ReadOnlyFolder();
  ReadOnlyFolder(const ReadOnlyFolder&) = delete;
  ReadOnlyFolder& operator=(const ReadOnlyFolder&) = delete;

  const std::string& path() const { return path_; }
  // False: there is no lock file that could be opened, so that a process may be writing meanwhile.
  bool is_locked() const { return lock_ >= 0; }

 private:
  ReadOnlyFolder() = default;
  base::Status fill(const std::string& data);

  std::string path_;
  int lock_ = -1;
};

}  // namespace tamis::app
