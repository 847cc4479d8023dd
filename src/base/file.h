// Whole files and folders. Errors name the path and what the system said of it. Not for the event path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::base {

// "cannot WHAT PATH: TEXT OF ERRNO", with the code that fits errno.
Error system_error(std::string_view what, const std::string& path, int errno_value);

// A file of at most `bytes_max` (kLimit beyond). No pipe or device (kInvalid) but /dev/stdin, /dev/null, /dev/fd/N.
Result<std::string> read_file(const std::string& path, size_t bytes_max);

// Replaces the file as a whole: after a crash either the old or the new content is there, never a mixture. Written
// beside it under a temporary name, synced, renamed, and the folder synced. Mode 0644 as far as the umask allows, or
// its old one. Of two writers of a path the last wins. A device, pipe or link in /dev is written to, and stays.
Status write_file_atomically(const std::string& path, std::string_view content);

struct FoundFile {
  std::string path;  // beginning with the root as given
  uint64_t bytes;
  int64_t modified_ns;  // since the epoch
};
struct ListOptions {
  size_t files_max = 100'000;  // kLimit beyond
  int depth_max = 32;          // folders deeper than this are an error
  bool hidden = false;         // names that begin with a dot
};
// Regular files below a folder, sorted by path (by bytes), so that the result does not depend on the file system.
// Links to files are followed, links to folders are not (no cycles).
Result<std::vector<FoundFile>> list_files(const std::string& root, const ListOptions& options = {});

// Creates the folder and those above it. Fine if it is there already.
// `mode`: of the last one, if it is made.
Status make_folders(const std::string& path, unsigned mode = 0755);

}  // namespace tamis::base
