// The bytes of a Parquet file as splicing, hashing and reading pages need them: its two ends, and what lies at a place.
// (https://parquet.apache.org/docs/file-format: PAR1, the body, the footer, the footer's length, PAR1.) Private.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace tamis::archive {

inline constexpr std::string_view kParquetMagic = "PAR1";

// A file that is closed when it goes.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Errors name the path; a file that ends before is kUnavailable.
base::Status read_at(int fd, const std::string& path, uint64_t offset, char* to, size_t bytes);

struct Footer {
  std::string bytes;
  uint64_t body = 0;  // bytes between the first magic and the footer
  uint64_t hash = 0;  // of the footer, its length and the magic behind it
  uint64_t file_bytes() const;
};
// kUnavailable: it is no whole Parquet file.
base::Result<Footer> read_footer(int fd, const std::string& path);
// The end of a file that has this footer, as it is written.
std::string footer_and_tail(std::string_view footer);

}  // namespace tamis::archive
