#include "action/line_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/file.h"

namespace tamis::action {
namespace {

constexpr size_t kReadBytes = 256 * 1024;

tl::unexpected<base::Error> failed(std::string_view what, const std::string& path) {
  return tl::unexpected<base::Error>(base::system_error(what, path, errno));
}

// The length up to and with the last line end. Looks back piece by piece.
base::Result<uint64_t> length_of_lines(int fd, uint64_t size, const std::string& path) {
  char piece[4096];
  for (uint64_t end = size; end > 0;) {
    uint64_t begin = end > sizeof piece ? end - sizeof piece : 0;
    ssize_t got = ::pread(fd, piece, static_cast<size_t>(end - begin), static_cast<off_t>(begin));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return failed("read", path);
    const void* last = ::memrchr(piece, '\n', static_cast<size_t>(got));
    if (last != nullptr) return begin + static_cast<uint64_t>(static_cast<const char*>(last) - piece) + 1;
    end = begin;
  }
  return 0;
}

}  // namespace

base::Status sync_folder(const std::string& folder) {
  int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failed("open folder", folder);
  int status = ::fsync(fd), why = errno;
  ::close(fd);
  // Some file systems cannot sync a folder and say EINVAL; there is nothing better to be done there.
  if (status != 0 && why != EINVAL) return tl::unexpected<base::Error>(base::system_error("sync folder", folder, why));
  return {};
}

LineFile& LineFile::operator=(LineFile&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::exchange(other.fd_, -1);
  size_ = other.size_;
  dropped_bytes_ = other.dropped_bytes_;
  broken_ = other.broken_;
  path_ = std::move(other.path_);
  return *this;
}

void LineFile::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

base::Result<LineFile> LineFile::open(const std::string& path) {
  LineFile file;
  file.path_ = path;
  bool is_new = ::access(path.c_str(), F_OK) != 0;
  file.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file.fd_ < 0) return failed("open", path);
  if (is_new) {
    size_t slash = path.rfind('/');
    TAMIS_CHECK(sync_folder(slash == std::string::npos ? "." : path.substr(0, slash + 1)));
  }
  struct stat facts;
  if (::fstat(file.fd_, &facts) != 0) return failed("look at", path);
  auto size = static_cast<uint64_t>(facts.st_size);
  TAMIS_TRY(whole, length_of_lines(file.fd_, size, path));
  file.size_ = size;
  if (whole < size) TAMIS_CHECK(file.cut(whole));
  file.dropped_bytes_ = size - whole;
  return file;
}

base::Status LineFile::cut(uint64_t bytes) {
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) return failed("cut", path_);
  size_ = bytes;
  broken_ = false;
  return {};
}

base::Status LineFile::append(std::string_view lines) {
  // What a failed write left behind must go before anything follows it.
  if (broken_) TAMIS_CHECK(cut(size_));
  uint64_t before = size_;
  std::string_view left = lines;
  while (!left.empty()) {
    ssize_t written = ::write(fd_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      base::Error error = base::system_error("write", path_, errno);
      broken_ = ::ftruncate(fd_, static_cast<off_t>(before)) != 0;
      return tl::unexpected<base::Error>(std::move(error));
    }
    left.remove_prefix(static_cast<size_t>(written));
  }
  size_ = before + lines.size();
  return {};
}

base::Status LineFile::sync() const {
  if (::fdatasync(fd_) != 0) return failed("sync", path_);
  return {};
}

LineReader& LineReader::operator=(LineReader&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) ::close(fd_);
  fd_ = std::exchange(other.fd_, -1);
  path_ = std::move(other.path_);
  buffer_ = std::move(other.buffer_);
  at_ = other.at_;
  number_ = other.number_;
  line_offset_ = other.line_offset_;
  next_offset_ = other.next_offset_;
  torn_bytes_ = other.torn_bytes_;
  return *this;
}

LineReader::~LineReader() {
  if (fd_ >= 0) ::close(fd_);
}

base::Result<LineReader> LineReader::open(const std::string& path, uint64_t offset) {
  LineReader reader;
  reader.path_ = path;
  reader.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (reader.fd_ < 0) return failed("open", path);
  if (::lseek(reader.fd_, static_cast<off_t>(offset), SEEK_SET) < 0) return failed("read", path);
  reader.line_offset_ = reader.next_offset_ = offset;
  return reader;
}

base::Result<bool> LineReader::next(std::string_view& line) {
  size_t searched = at_;
  for (;;) {
    size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      line = std::string_view(buffer_).substr(at_, end - at_);
      line_offset_ = next_offset_;
      next_offset_ += line.size() + 1;
      at_ = end + 1;
      ++number_;
      return true;
    }
    buffer_.erase(0, at_);
    at_ = 0;
    searched = buffer_.size();
    if (buffer_.size() > kLineBytesMax) {
      return base::fail(base::Code::kLimit, path_ + ":" + std::to_string(number_ + 1) + ": a line of more than " +
                                                std::to_string(kLineBytesMax) + " bytes");
    }
    buffer_.resize(searched + kReadBytes);
    ssize_t got = ::read(fd_, buffer_.data() + searched, kReadBytes);
    int why = errno;
    buffer_.resize(searched + static_cast<size_t>(got > 0 ? got : 0));
    if (got < 0 && why == EINTR) continue;
    if (got < 0) return tl::unexpected<base::Error>(base::system_error("read", path_, why));
    if (got == 0) {
      torn_bytes_ = buffer_.size();
      return false;
    }
  }
}

}  // namespace tamis::action
