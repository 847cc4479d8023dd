// LineFile: the lines of a file or of stdin ("-"), one after another, without copying each: reads ahead in large
// pieces. A line longer than the limit is an error that names it, never skipped silently.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::app {

class LineFile {
 public:
  static base::Result<std::unique_ptr<LineFile>> open(const std::string& path, size_t line_bytes_max = 16 << 20);
  ~LineFile();
  // The next non-empty line without its end, valid until the next call; false at the end of the file.
  base::Result<bool> next(std::string_view& line);
  uint64_t number() const { return number_; }    // of the line, from 1, empty ones counted
  uint64_t done_bytes() const { return done_; }  // consumed, of size_bytes()
  uint64_t size_bytes() const { return size_; }  // 0 if not known

 private:
  LineFile() = default;
  base::Result<bool> fill();
  std::string path_;
  int fd_ = -1;
  bool owned_ = false;
  bool ended_ = false;
  size_t line_bytes_max_ = 0;
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;
  uint64_t number_ = 0, done_ = 0, size_ = 0;
};

}  // namespace tamis::app
