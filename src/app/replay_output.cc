#include "app/replay_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/file.h"
#include "base/hash.h"

namespace tamis::app {

namespace {
constexpr size_t kBlockBytes = 1 << 20;
constexpr size_t kFlushBytes = 1 << 20;
}  // namespace

void StreamDigest::add(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t taken = std::min(bytes.size(), kBlockBytes - block_.size());
    block_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (block_.size() < kBlockBytes) return;
    chain_ = base::combine64(chain_, base::hash64(block_));
    block_.clear();
  }
}

uint64_t StreamDigest::value() const { return base::combine64(chain_, base::hash64(block_)); }

ReplayOutput::~ReplayOutput() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

base::Status ReplayOutput::open_with(const std::string& path, int flags) {
  path_ = path;
  fd_ = path == "-" ? STDOUT_FILENO : ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (fd_ < 0) return tl::unexpected<base::Error>(base::system_error("write", path, errno));
  struct stat facts = {};
  is_regular_ = path != "-" && ::fstat(fd_, &facts) == 0 && S_ISREG(facts.st_mode);
  return {};
}

base::Status ReplayOutput::open(const std::string& path) { return open_with(path, O_WRONLY | O_CREAT | O_TRUNC); }

base::Status ReplayOutput::resume(const std::string& path, const Place& place) {
  TAMIS_CHECK(open_with(path, O_RDWR));
  std::string piece;
  while (bytes_ < place.bytes) {
    TAMIS_CHECK(read(bytes_, std::min<uint64_t>(kBlockBytes, place.bytes - bytes_), piece));
    digest_.add(piece);
    bytes_ += piece.size();
  }
  if (digest_.value() != place.digest) {
    return base::invalid(path + " is not what the interrupted run wrote: begin anew, without --resume");
  }
  if (::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0 || ::lseek(fd_, static_cast<off_t>(bytes_), SEEK_SET) < 0) {
    return tl::unexpected<base::Error>(base::system_error("cut off", path, errno));
  }
  return {};
}

base::Status ReplayOutput::read(uint64_t at, size_t bytes, std::string& out) const {
  out.resize(bytes);
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::pread(fd_, out.data() + done, bytes - done, static_cast<off_t>(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return tl::unexpected<base::Error>(base::system_error("read", path_, errno));
    if (n == 0) {
      return base::invalid(path_ + " is shorter than the interrupted run left it: begin anew, without --resume");
    }
    done += static_cast<size_t>(n);
  }
  return {};
}

base::Status ReplayOutput::flush(bool force) {
  if (!force && buffer_.size() < kFlushBytes) return {};
  for (size_t done = 0; done < buffer_.size();) {
    const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return tl::unexpected<base::Error>(base::system_error("write", path_, errno));
    done += static_cast<size_t>(n);
  }
  if (is_regular_) digest_.add(buffer_);
  bytes_ += buffer_.size();
  buffer_.clear();
  return {};
}

base::Result<ReplayOutput::Place> ReplayOutput::sync() {
  TAMIS_CHECK(flush(true));
  if (::fdatasync(fd_) != 0) return tl::unexpected<base::Error>(base::system_error("sync", path_, errno));
  return Place{bytes_, digest_.value()};
}

base::Status ReplayOutput::close() {
  if (fd_ < 0) return {};
  TAMIS_CHECK(flush(true));
  const int fd = std::exchange(fd_, -1);
  if (fd > STDERR_FILENO && ::close(fd) != 0) {
    return tl::unexpected<base::Error>(base::system_error("write", path_, errno));
  }
  return {};
}

}  // namespace tamis::app
