#include "event/ndjson.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"

namespace tamis::event {

// What some programs put before the first line of a text in UTF-8.
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
// Of a line that spans chunks, so much more than its limit is looked at: a byte order mark, a CR, and one byte too
// many.
constexpr size_t kSlackBytes = kByteOrderMark.size() + 2;

NdjsonSplitter::Step NdjsonSplitter::deliver(std::string_view whole, std::string_view& line) {
  if (++line_number_ == 1 && whole.starts_with(kByteOrderMark)) whole.remove_prefix(kByteOrderMark.size());
  if (!whole.empty() && whole.back() == '\r') whole.remove_suffix(1);
  if (whole.size() > line_bytes_max_) return Step::kTooLong;
  if (whole.find_first_not_of(" \t\r") != std::string_view::npos) line = whole;
  return Step::kLine;
}

NdjsonSplitter::Step NdjsonSplitter::next(std::string_view& line) {
  line = {};
  if (carry_given_) {
    carry_.clear();
    carry_given_ = false;
  }
  while (!rest_.empty()) {
    const void* found = std::memchr(rest_.data(), '\n', rest_.size());
    if (found == nullptr) {
      const size_t bytes = rest_.size();
      if (!skipping_) carry_.append(rest_.substr(0, line_bytes_max_ + kSlackBytes));
      rest_ = {};
      // With room for what may not belong to the line.
      const size_t most = line_bytes_max_ + kSlackBytes - 1;
      if (skipping_ || (carry_.size() <= most && bytes <= most)) break;
      skipping_ = true;
      carry_.clear();
      ++line_number_;
      return Step::kTooLong;
    }
    const auto length = static_cast<size_t>(static_cast<const char*>(found) - rest_.data());
    const std::string_view part = rest_.substr(0, length);
    rest_.remove_prefix(length + 1);
    if (skipping_) {
      skipping_ = false;
      continue;
    }
    Step step = Step::kLine;
    if (carry_.empty()) {
      step = deliver(part, line);
    } else {
      carry_.append(part.substr(0, line_bytes_max_ + kSlackBytes));
      carry_given_ = true;
      step = deliver(carry_, line);
    }
    if (step == Step::kTooLong || !line.empty()) {
      if (step == Step::kTooLong) line = {};
      return step;
    }
    if (carry_given_) {
      carry_.clear();
      carry_given_ = false;
    }
  }
  if (!finished_) return Step::kMore;
  if (carry_.empty()) return Step::kEnd;
  carry_given_ = true;
  const Step step = deliver(carry_, line);
  if (step == Step::kTooLong) line = {};
  return step == Step::kLine && line.empty() ? Step::kEnd : step;
}

struct NdjsonFile::Impl {
  // Large enough that the system call costs nothing per line, small enough for the second-level cache.
  static constexpr size_t kBufferBytes = 256 * 1024;

  Impl(std::string of, size_t line_bytes_max) : path(std::move(of)), splitter(line_bytes_max) {}
  ~Impl() {
    if (descriptor > STDIN_FILENO) ::close(descriptor);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::string path;
  NdjsonSplitter splitter;
  int descriptor = -1;
  std::unique_ptr<char[]> buffer = std::make_unique<char[]>(kBufferBytes);
  uint64_t bytes_read = 0;
  uint64_t bytes_total = 0;
};

NdjsonFile::NdjsonFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NdjsonFile::NdjsonFile(NdjsonFile&&) noexcept = default;
NdjsonFile& NdjsonFile::operator=(NdjsonFile&&) noexcept = default;
NdjsonFile::~NdjsonFile() = default;

uint64_t NdjsonFile::line_number() const { return impl_->splitter.line_number(); }
uint64_t NdjsonFile::bytes_read() const { return impl_->bytes_read; }
uint64_t NdjsonFile::bytes_total() const { return impl_->bytes_total; }
const std::string& NdjsonFile::path() const { return impl_->path; }

base::Result<NdjsonFile> NdjsonFile::open(const std::string& path, size_t line_bytes_max) {
  auto impl = std::make_unique<Impl>(path == "-" ? "(standard input)" : path, line_bytes_max);
  impl->descriptor = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (impl->descriptor < 0) return tl::unexpected<base::Error>(base::system_error("open", path, errno));
  struct stat facts;
  if (::fstat(impl->descriptor, &facts) == 0 && S_ISREG(facts.st_mode)) {
    impl->bytes_total = static_cast<uint64_t>(facts.st_size);
  }
  return NdjsonFile(std::move(impl));
}

base::Result<bool> NdjsonFile::next(std::string_view& line) {
  Impl& file = *impl_;
  for (;;) {
    switch (file.splitter.next(line)) {
      case NdjsonSplitter::Step::kLine:
        return true;
      case NdjsonSplitter::Step::kEnd:
        return false;
      case NdjsonSplitter::Step::kTooLong:
        return base::fail(base::Code::kLimit,
                          file.path + ":" + std::to_string(line_number()) + ": the line is too long");
      case NdjsonSplitter::Step::kMore:
        break;
    }
    const ssize_t got = ::read(file.descriptor, file.buffer.get(), Impl::kBufferBytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected<base::Error>(base::system_error("read", file.path, errno));
    if (got == 0) {
      file.splitter.finish();
    } else {
      file.bytes_read += static_cast<uint64_t>(got);
      file.splitter.feed({file.buffer.get(), static_cast<size_t>(got)});
    }
  }
}

}  // namespace tamis::event
