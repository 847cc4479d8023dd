// ReplayOutput: a file of a replay, written in large pieces. It knows a digest of all that it has written, so that a
// later run can tell that what is there is what it would have written, and go on behind it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::app {

// The digest of a stream, however it was cut: of blocks of one MiB, chained.
class StreamDigest {
 public:
  void add(std::string_view bytes);
  uint64_t value() const;

 private:
  uint64_t chain_ = 0;
  std::string block_;
};

class ReplayOutput {
 public:
  ReplayOutput() = default;
  ~ReplayOutput();
  ReplayOutput(const ReplayOutput&) = delete;

  struct Place {
    uint64_t bytes = 0, digest = 0;
  };
  // "-" is stdout. What was in the file is gone.
  base::Status open(const std::string& path);
  // Cuts off what is behind the place. Errors: what is before it is not what was written.
  base::Status resume(const std::string& path, const Place& place);
  // A file that another run could go on with: no pipe, device or terminal.
  bool is_regular() const { return is_regular_; }

  std::string& buffer() { return buffer_; }
  // Of what was written and what is in the buffer.
  uint64_t bytes() const { return bytes_ + buffer_.size(); }
  base::Status flush(bool force);
  // On disk, as of the place that it gives.
  base::Result<Place> sync();
  base::Status close();
  // Bytes that were written: not those of the buffer.
  base::Status read(uint64_t at, size_t bytes, std::string& out) const;

 private:
  base::Status open_with(const std::string& path, int flags);

  int fd_ = -1;
  bool is_regular_ = false;
  std::string path_;
  std::string buffer_;
  uint64_t bytes_ = 0;
  StreamDigest digest_;
};

}  // namespace tamis::app
