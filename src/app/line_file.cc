#include "app/line_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tamis::app {

namespace {
constexpr size_t kPieceBytes = 1 << 20;
}

base::Result<std::unique_ptr<LineFile>> LineFile::open(const std::string& path, size_t line_bytes_max) {
  std::unique_ptr<LineFile> file(new LineFile);
  file->path_ = path;
  file->line_bytes_max_ = line_bytes_max;
  if (path == "-") {
    file->fd_ = STDIN_FILENO;
  } else {
    file->fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file->fd_ < 0) return base::fail(base::Code::kNotFound, "cannot open " + path + ": " + std::strerror(errno));
    file->owned_ = true;
  }
  struct stat info = {};
  if (fstat(file->fd_, &info) == 0 && S_ISREG(info.st_mode)) file->size_ = static_cast<uint64_t>(info.st_size);
  if (S_ISDIR(info.st_mode)) return base::invalid(path + " is a folder, expected a file of JSON lines");
  file->buffer_.resize(2 * kPieceBytes);
  return file;
}

LineFile::~LineFile() {
  if (owned_) ::close(fd_);
}

// Reads one more piece behind what is there; false at the end of the file.
base::Result<bool> LineFile::fill() {
  if (ended_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < kPieceBytes) buffer_.resize(end_ + 2 * kPieceBytes);
  ssize_t got;
  do {
    got = ::read(fd_, buffer_.data() + end_, kPieceBytes);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return base::fail(base::Code::kUnavailable, "cannot read " + path_ + ": " + std::strerror(errno));
  if (got == 0) ended_ = true;
  end_ += static_cast<size_t>(got);
  return got > 0;
}

base::Result<bool> LineFile::next(std::string_view& line) {
  size_t scanned = 0;
  while (true) {
    const char* start = buffer_.data() + begin_;
    const auto* stop = static_cast<const char*>(std::memchr(start + scanned, '\n', end_ - begin_ - scanned));
    if (stop == nullptr) {
      scanned = end_ - begin_;
      if (scanned > line_bytes_max_) {
        return base::fail(base::Code::kLimit, path_ + ":" + std::to_string(number_ + 1) + ": the line is longer than " +
                                                  std::to_string(line_bytes_max_) + " bytes");
      }
      TAMIS_TRY(more, fill());
      if (more) continue;
      if (begin_ == end_) return false;
      stop = buffer_.data() + end_;
      start = buffer_.data() + begin_;
    }
    line = std::string_view(start, static_cast<size_t>(stop - start));
    size_t taken = std::min(line.size() + 1, end_ - begin_);
    begin_ += taken;
    done_ += taken;
    ++number_;
    scanned = 0;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.find_first_not_of(" \t") != std::string_view::npos) return true;
  }
}

}  // namespace tamis::app
