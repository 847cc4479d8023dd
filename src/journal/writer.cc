#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "base/thread.h"
#include "journal/compressor.h"
#include "journal/journal.h"
#include "journal/segment.h"

namespace tamis::journal {
namespace {

// About 60 us of compression, after which those that answer may have the core. Where so much waits, a stream is coming
// in, whose lines are not waited for one by one: larger pieces take a fifth less time and bytes.
constexpr size_t kPieceBytes = 16 << 10, kStreamPieceBytes = 64 << 10, kStreamBytes = 192 << 10;

std::string reason() { return std::strerror(errno); }

class File {
 public:
  File() = default;
  ~File() { close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool open(const std::string& path, int flags) {
    close();
    fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    return fd_ >= 0;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

class Writer final : public JournalWriter {
 public:
  Writer(std::string folder, JournalOptions options) : folder_(std::move(folder)), options_(options) {}

  ~Writer() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  base::Status start() {
    if (!lock_.open(folder_ + "/lock", O_RDWR | O_CREAT)) {
      return base::fail(base::Code::kUnavailable, "cannot write in " + folder_ + ": " + reason());
    }
    if (flock(lock_.fd(), LOCK_EX | LOCK_NB) != 0) {
      return base::fail(base::Code::kUnavailable, folder_ + " is in use by another process");
    }
    TAMIS_CHECK(find_end());
    thread_ = std::thread([this] { run(); });
    return {};
  }

  base::Status append(std::string_view line) override {
    std::lock_guard lock(mutex_);
    if (pending_.size() + unwritten_bytes_ + line.size() > options_.pending_bytes_max) {
      return base::fail(base::Code::kUnavailable,
                        "the journal cannot keep up" + (failure_.empty() ? std::string() : ": " + failure_));
    }
    pending_.append(line).push_back('\n');
    ++appended_;
    return {};
  }

  base::Status sync() override {
    std::unique_lock lock(mutex_);
    uint64_t target = appended_;
    uint64_t failures = failures_;
    urgent_ = true;
    wake_.notify_all();
    done_.wait(lock, [&] { return durable_ >= target || failures_ > failures; });
    if (durable_ >= target) return {};
    return base::fail(base::Code::kUnavailable, "the journal could not be written: " + failure_);
  }

  void roll() override {
    std::lock_guard lock(mutex_);
    rolls_.push_back(first_number_ + appended_);
  }

  base::Result<uint64_t> remove_before(uint64_t number) override {
    TAMIS_TRY(segments, list_segments(folder_));
    uint64_t removed = 0;
    for (size_t i = 0; i + 1 < segments.size() && segments[i + 1].first_number <= number; ++i, ++removed) {
      if (::unlink(segments[i].path.c_str()) != 0) {
        return base::fail(base::Code::kUnavailable, "cannot delete " + segments[i].path + ": " + reason());
      }
    }
    if (removed > 0 && !sync_folder())
      return base::fail(base::Code::kUnavailable, "cannot sync " + folder_ + ": " + reason());
    return removed;
  }

  uint64_t pending_bytes() const override {
    std::lock_guard lock(mutex_);
    return pending_.size() + unwritten_bytes_;
  }
  std::string failure() const override {
    std::lock_guard lock(mutex_);
    return failure_;
  }

  uint64_t next_number() const override {
    std::lock_guard lock(mutex_);
    return first_number_ + appended_;
  }
  uint64_t dropped_bytes() const override { return dropped_; }

 private:
  // Finds where the last segment ends well, counts its records, and cuts off what a crash left behind.
  base::Status find_end() {
    TAMIS_TRY(segments, list_segments(folder_));
    if (segments.empty()) return {};
    const Segment& last = segments.back();
    TAMIS_TRY(bytes, read_whole(last.path));
    uint64_t records = 0;
    size_t at = 0, frame_bytes = 0;
    std::string text;
    while (at < bytes.size()) {
      FrameState state = read_frame(std::string_view(bytes).substr(at), frame_bytes, text);
      if (state == FrameState::kDamaged) {
        return base::invalid(last.path + ": damaged at byte " + std::to_string(at) + ", after record " +
                             std::to_string(last.first_number + records - 1));
      }
      if (state == FrameState::kCut) break;
      records += static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
      at += frame_bytes;
    }
    dropped_ = bytes.size() - at;
    if (dropped_ > 0 && ::truncate(last.path.c_str(), static_cast<off_t>(at)) != 0) {
      return base::fail(base::Code::kUnavailable, "cannot cut " + last.path + ": " + reason());
    }
    first_number_ = unwritten_first_ = last.first_number + records;
    segment_first_ = last.first_number;
    if (!file_.open(last.path, O_WRONLY | O_APPEND)) {
      return base::fail(base::Code::kUnavailable, "cannot write " + last.path + ": " + reason());
    }
    segment_bytes_ = at;
    return {};
  }

  void run() {
    base::work_beside("journal");
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait_for(lock, std::chrono::milliseconds(options_.sync_ms), [this] { return stopping_ || urgent_; });
      urgent_ = false;
      if (durable_ == appended_) {
        if (stopping_) return;
        continue;
      }
      lines_.swap(pending_);
      uint64_t upto = appended_;
      unwritten_bytes_ += lines_.size();
      rolls_at_.insert(rolls_at_.end(), rolls_.begin(), rolls_.end());
      rolls_.clear();
      lock.unlock();
      unwritten_ += lines_;
      lines_.clear();  // and its memory serves the next lines
      std::string failure = write_out();
      lock.lock();
      unwritten_bytes_ = unwritten_.size();
      failure_ = failure;
      if (failure.empty()) {
        durable_ = upto;
      } else {
        ++failures_;
      }
      done_.notify_all();
      if (failure.empty()) continue;
      if (stopping_) return;
      wake_.wait_for(lock, std::chrono::milliseconds(200), [this] { return stopping_; });
    }
  }

  // Writes and syncs `unwritten_`, frame by frame; says why if it cannot. What was written in part is cut off again.
  std::string write_out() {
    while (!unwritten_.empty()) {
      bool is_due = false;
      for (; !rolls_at_.empty() && rolls_at_.front() <= unwritten_first_; rolls_at_.pop_front()) {
        is_due = unwritten_first_ != segment_first_;
      }
      size_t end = rolls_at_.empty() ? unwritten_.size() : bytes_of_lines(rolls_at_.front() - unwritten_first_);
      if (end > options_.frame_bytes_max) {
        size_t last = unwritten_.rfind('\n', options_.frame_bytes_max - 1);
        end = last == std::string::npos ? unwritten_.find('\n') + 1 : last + 1;
      }
      if (!file_.is_open() || is_due || segment_bytes_ >= options_.segment_bytes) {
        std::string failure = new_segment();
        if (!failure.empty()) {
          if (is_due) rolls_at_.push_front(unwritten_first_);
          return failure;
        }
      }
      frame_.clear();
      const size_t piece = unwritten_.size() > kStreamBytes ? kStreamPieceBytes : kPieceBytes;
      base::Status made = compressor_.frame(std::string_view(unwritten_).substr(0, end), frame_, piece);
      if (!made) return made.error().message;
      if (!write_all(frame_)) {
        std::string failure = reason();
        if (::ftruncate(file_.fd(), static_cast<off_t>(segment_bytes_)) != 0)
          failure += "; and cannot cut: " + reason();
        return failure;
      }
      segment_bytes_ += frame_.size();
      unwritten_first_ += count_lines(std::string_view(unwritten_).substr(0, end));
      unwritten_.erase(0, end);
    }
    if (::fdatasync(file_.fd()) != 0) return reason();
    return {};
  }

  bool write_all(std::string_view bytes) const {
    while (!bytes.empty()) {
      ssize_t n = ::write(file_.fd(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  static uint64_t count_lines(std::string_view text) {
    uint64_t lines = 0;
    for (size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) ++lines;
    return lines;
  }

  // The length of the first `lines` lines of `unwritten_`, or of all there are.
  size_t bytes_of_lines(uint64_t lines) const {
    size_t at = 0;
    for (; lines > 0 && at < unwritten_.size(); --lines) at = unwritten_.find('\n', at) + 1;
    return at;
  }

  std::string new_segment() {
    if (file_.is_open() && ::fdatasync(file_.fd()) != 0) return reason();
    std::string path = segment_path(folder_, unwritten_first_);
    if (!file_.open(path, O_WRONLY | O_CREAT | O_APPEND)) return "cannot create " + path + ": " + reason();
    if (!sync_folder()) return reason();
    segment_first_ = unwritten_first_;
    segment_bytes_ = 0;
    return {};
  }

  bool sync_folder() const {
    File folder;
    return folder.open(folder_, O_RDONLY | O_DIRECTORY) && ::fsync(folder.fd()) == 0;
  }

  const std::string folder_;
  const JournalOptions options_;
  File lock_;
  uint64_t first_number_ = 1;  // of the first record appended here
  uint64_t dropped_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::string pending_;  // lines
  uint64_t appended_ = 0, durable_ = 0, failures_ = 0;
  uint64_t unwritten_bytes_ = 0;  // of unwritten_, as others may read it
  std::string failure_;
  bool stopping_ = false, urgent_ = false;
  std::vector<uint64_t> rolls_;  // numbers of records that begin a new segment, not yet known to the thread

  // Of the thread alone:
  Compressor compressor_{options_.compression_level};
  std::string lines_, unwritten_, frame_;
  uint64_t unwritten_first_ = 1;  // number of the first record in it
  std::deque<uint64_t> rolls_at_;
  File file_;
  uint64_t segment_first_ = 0;
  uint64_t segment_bytes_ = 0;
  std::thread thread_;
};

}  // namespace

base::Result<std::unique_ptr<JournalWriter>> JournalWriter::open(const std::string& folder, JournalOptions options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return base::fail(base::Code::kUnavailable, "cannot create " + folder + ": " + error.message());
  auto writer = std::make_unique<Writer>(folder, options);
  TAMIS_CHECK(writer->start());
  return writer;
}

}  // namespace tamis::journal
