// LineFile and LineReader: files of lines that are only ever appended to, as the audit trail and the progress of a
// batch are. A line that was cut off by a crash has no line end: the writer cuts it away when it opens the file and
// tells how long it was, the reader leaves it out and tells the same. Not thread-safe, but for sync() beside append().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::action {

inline constexpr size_t kLineBytesMax = 1 << 20;

class LineFile {
 public:
  LineFile() = default;
  LineFile(LineFile&& other) noexcept { *this = std::move(other); }
  LineFile& operator=(LineFile&& other) noexcept;
  ~LineFile() { close(); }

  // Opens the file, made if it is not there (mode 0600, its folder synced), and cuts off a line without end.
  static base::Result<LineFile> open(const std::string& path);
  void close();

  // Whole lines, each with its "\n". If the disk takes only a part, the file is cut back to what it was.
  base::Status append(std::string_view lines);
  // Cuts the file to `bytes`, at most its size.
  base::Status cut(uint64_t bytes);
  // Returns when what was appended before is on disk. May run beside append(), not beside close().
  base::Status sync() const;

  bool is_open() const { return fd_ >= 0; }
  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  uint64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  int fd_ = -1;
  uint64_t size_ = 0;
  uint64_t dropped_bytes_ = 0;
  bool broken_ = false;  // a part of a line may be at the end
  std::string path_;
};

// The lines of a file from `offset` (the start of one) to its end, in pieces of 256 KiB.
class LineReader {
 public:
  LineReader() = default;
  LineReader(LineReader&& other) noexcept { *this = std::move(other); }
  LineReader& operator=(LineReader&& other) noexcept;
  ~LineReader();

  static base::Result<LineReader> open(const std::string& path, uint64_t offset = 0);
  // True with the next line, without its end, valid until the next call; false at the end. A line of more than
  // kLineBytesMax is an error, as is a failing disk.
  base::Result<bool> next(std::string_view& line);
  uint64_t number() const { return number_; }          // of the line that next() gave, from 1
  uint64_t offset() const { return line_offset_; }     // where it starts
  uint64_t torn_bytes() const { return torn_bytes_; }  // behind the last line end, once the end was reached

 private:
  int fd_ = -1;
  std::string path_;
  std::string buffer_;
  size_t at_ = 0;
  uint64_t number_ = 0, line_offset_ = 0, next_offset_ = 0, torn_bytes_ = 0;
};

base::Status sync_folder(const std::string& folder);

}  // namespace tamis::action
