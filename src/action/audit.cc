#include "action/audit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>

#include "action/audit_line.h"
#include "action/digest.h"
#include "action/json_text.h"
#include "action/line_file.h"
#include "base/file.h"
#include "event/json_event.h"

namespace tamis::action {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr size_t kNameBytesMax = 256;
constexpr size_t kValueBytesMax = 4096;
constexpr size_t kDetailBytesMax = 16 * 1024;
constexpr uint64_t kTailBytes = 1 << 20;  // that open() checks
constexpr size_t kPageLinesMax = 10'000;

bool matches(const AuditFilter& filter, const AuditLine& line) {
  auto equal = [](const std::string& wanted, const std::string& is) { return wanted.empty() || wanted == is; };
  if (line.n >= filter.before_n || line.time_ms < filter.since_ms) return false;
  if (!equal(filter.who, line.who) || !equal(filter.on, line.on) || !equal(filter.value, line.value)) return false;
  if (filter.what.empty() || filter.what.back() != '*') return equal(filter.what, line.what);
  std::string_view prefix(filter.what.data(), filter.what.size() - 1);
  return std::string_view(line.what).substr(0, prefix.size()) == prefix;
}

// Every byte of a line counts, also those that its hash does not cover, like the names of keys.
std::string fault_of(const ChainedLine& line, std::string_view text) {
  std::string fault = line.fault(), written;
  line.append_to(written);
  written.pop_back();
  return fault.empty() && written != text ? "it is not written as a line of the trail is: it was changed" : fault;
}

class LockFile {
 public:
  ~LockFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  Status take(const std::string& folder) {
    std::string path = folder + "/lock";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) return tl::unexpected<base::Error>(base::system_error("open", path, errno));
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return {};
    return base::fail(Code::kUnavailable, folder + " is in use by another process");
  }

 private:
  int fd_ = -1;
};

class FileAudit final : public Audit {
 public:
  FileAudit(std::string folder, const base::Clock& clock, AuditOptions options)
      : folder_(std::move(folder)), clock_(clock), options_(options) {}

  Status start();
  Result<uint64_t> append(const AuditEntry& entry, Durability durability) override;
  Status sync() override {
    std::unique_lock lock(mutex_);
    return wait_synced(lock, head_.n);
  }
  Result<AuditPage> read(const AuditFilter& filter) const override;
  Result<uint64_t> erase(std::string_view value) override;
  Result<uint64_t> forget(int64_t before_ms, const std::function<AuditParts(const AuditLine&)>& parts) override;
  AuditHead head() const override {
    std::lock_guard lock(mutex_);
    return head_;
  }
  uint64_t dropped_bytes() const override { return dropped_bytes_; }

 private:
  Status check_tail();
  Status cut_tail(LineReader& reader, uint64_t good_end, const std::string& fault);
  Status write(const AuditEntry& entry);
  Status turn_month(std::unique_lock<std::mutex>& lock);
  Status remove_old_months();
  Status wait_synced(std::unique_lock<std::mutex>& lock, uint64_t n);
  void wait_idle(std::unique_lock<std::mutex>& lock) {
    synced_changed_.wait(lock, [this] { return !syncing_; });
  }
  // What goes of a line.
  using Going = std::function<AuditParts(const ChainedLine&)>;
  Result<uint64_t> erase_all(const Going& going);
  Result<uint64_t> erase_in(const std::string& path, const Going& going);

  const std::string folder_;
  const base::Clock& clock_;
  const AuditOptions options_;
  LockFile lock_file_;
  uint64_t dropped_bytes_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable synced_changed_;
  LineFile file_;
  std::string month_;
  AuditHead head_;
  uint64_t synced_n_ = 0;
  bool syncing_ = false;  // somebody syncs file_ without the lock: it must stay open
  std::string failure_;   // of a sync
};

Status FileAudit::start() {
  TAMIS_CHECK(base::make_folders(folder_));
  TAMIS_CHECK(lock_file_.take(folder_));
  TAMIS_TRY(months, list_months(folder_));
  head_.hash = std::string(kSha256HexBytes, '0');
  if (months.empty()) return {};
  // A crash between the making of a month's file and its first line leaves an empty one: look further back for the
  // head.
  for (size_t i = months.size(); i-- > 0 && head_.n == 0;) {
    month_ = months[i];
    TAMIS_TRY(file, LineFile::open(month_path(folder_, month_)));
    dropped_bytes_ += file.dropped_bytes();
    file_ = std::move(file);
    TAMIS_CHECK(check_tail());
  }
  synced_n_ = head_.n;
  if (dropped_bytes_ == 0) return {};
  return write(
      {"tamis", "audit.cut", "audit", {}, {}, std::to_string(dropped_bytes_) + " bytes of an unfinished line"});
}

// Finds the last line, and holds the end of the file against the chain.
Status FileAudit::check_tail() {
  uint64_t from = file_.size() > kTailBytes ? file_.size() - kTailBytes : 0;
  TAMIS_TRY(reader, LineReader::open(file_.path(), from));
  base::Arena arena;
  std::string_view text;
  uint64_t good_end = from;
  for (bool first = true;; first = false) {
    TAMIS_TRY(more, reader.next(text));
    if (!more) return {};
    if (first && from > 0) {  // most likely in the middle of a line
      good_end = reader.offset() + text.size() + 1;
      continue;
    }
    arena.reset();
    auto line = read_chained_line(text, arena);
    std::string fault = line ? fault_of(*line, text) : line.error().message;
    if (fault.empty() && head_.n != 0 && line->prev != head_.hash) fault = "its \"prev\" is not the hash before it";
    if (!fault.empty()) return cut_tail(reader, good_end, fault);
    head_ = {line->line.n, line->line.hash};
    good_end = reader.offset() + text.size() + 1;
  }
}

// A machine that loses power may leave zeros where lines were not yet synced; anything else is damage, which is told
// and left to a person.
Status FileAudit::cut_tail(LineReader& reader, uint64_t good_end, const std::string& fault) {
  TAMIS_TRY(end, base::read_file(file_.path(), SIZE_MAX / 2));
  if (end.find('\0', good_end) == std::string::npos) {
    return base::invalid(file_.path() + ": the line at byte " + std::to_string(reader.offset()) +
                         " is damaged: " + fault + ". Verify the trail, and move the file aside to begin a new one");
  }
  dropped_bytes_ += file_.size() - good_end;
  return file_.cut(good_end);
}

Status FileAudit::turn_month(std::unique_lock<std::mutex>& lock) {
  std::string month = event::format_time_ms(clock_.now_ms()).substr(0, 7);
  if (file_.is_open() && month <= month_) return {};  // a clock that was set back stays in the month
  wait_idle(lock);
  if (file_.is_open() && month <= month_) return {};  // somebody else did it while we waited
  if (file_.is_open()) TAMIS_CHECK(file_.sync());
  synced_n_ = head_.n;
  TAMIS_TRY(file, LineFile::open(month_path(folder_, month)));
  bool turned = file_.is_open();
  file_ = std::move(file);
  month_ = month;
  return turned && options_.months_max > 0 ? remove_old_months() : Status{};
}

Status FileAudit::remove_old_months() {
  TAMIS_TRY(months, list_months(folder_));
  if (months.size() <= options_.months_max) return {};
  size_t count = months.size() - options_.months_max;
  AuditEntry entry{"tamis", "audit.retention", "audit", {}, {}, "removed the months to " + months[count - 1]};
  TAMIS_CHECK(write(entry));
  TAMIS_CHECK(file_.sync());
  for (size_t i = 0; i < count; ++i) {
    std::string path = month_path(folder_, months[i]);
    if (::unlink(path.c_str()) != 0) return tl::unexpected<base::Error>(base::system_error("remove", path, errno));
  }
  return sync_folder(folder_);
}

// Under the lock, with the file of the month open.
Status FileAudit::write(const AuditEntry& entry) {
  ChainedLine next;
  next.line.n = head_.n + 1;
  next.time = event::format_time_ms(clock_.now_ms());
  next.line.who = fit_text(entry.who, kNameBytesMax);
  next.line.what = fit_text(entry.what, kNameBytesMax);
  next.line.on = fit_text(entry.on, kNameBytesMax);
  next.line.value = fit_text(entry.value, kValueBytesMax);
  next.line.why = fit_text(entry.why, kValueBytesMax);
  next.line.detail = fit_text(entry.detail, kDetailBytesMax);
  for (size_t i = 0; i < std::size(kPayload); ++i) {
    if (next.payload(i).empty()) continue;
    next.present[i] = true;
    next.salt[i] = random_hex(16);
    next.sum[i] = payload_sum(next.salt[i], next.payload(i));
  }
  next.prev = head_.hash;
  next.line.hash = next.hash();
  std::string text;
  next.append_to(text);
  TAMIS_CHECK(file_.append(text));
  head_ = {next.line.n, next.line.hash};
  return {};
}

Result<uint64_t> FileAudit::append(const AuditEntry& entry, Durability durability) {
  std::unique_lock lock(mutex_);
  if (!failure_.empty()) return base::fail(Code::kUnavailable, failure_);
  TAMIS_CHECK(turn_month(lock));
  TAMIS_CHECK(write(entry));
  uint64_t n = head_.n;
  if (durability == Durability::kDurable) TAMIS_CHECK(wait_synced(lock, n));
  return n;
}

// The first who waits syncs for all who came before it.
Status FileAudit::wait_synced(std::unique_lock<std::mutex>& lock, uint64_t n) {
  while (synced_n_ < n && failure_.empty()) {
    if (syncing_) {
      synced_changed_.wait(lock);
      continue;
    }
    syncing_ = true;
    uint64_t upto = head_.n;
    lock.unlock();
    Status status = file_.sync();
    lock.lock();
    syncing_ = false;
    if (status) {
      synced_n_ = std::max(synced_n_, upto);
    } else {
      failure_ = "the audit trail is not safe: " + status.error().message;
    }
    synced_changed_.notify_all();
  }
  return synced_n_ >= n ? Status{} : base::fail(Code::kUnavailable, failure_);
}

Result<AuditPage> FileAudit::read(const AuditFilter& filter) const {
  TAMIS_TRY(months, list_months(folder_));
  size_t limit = std::min(std::max<size_t>(filter.limit, 1), kPageLinesMax);
  AuditPage page;
  base::Arena arena;
  uint64_t read_bytes = 0;
  for (size_t m = months.size(); m-- > 0;) {
    std::string path = month_path(folder_, months[m]);
    auto reader = LineReader::open(path);
    if (!reader && reader.error().code == Code::kNotFound) break;  // removed meanwhile, and with it all before it
    if (!reader) return tl::unexpected<base::Error>(reader.error());
    // The newest `wanted` of this file, in a ring.
    size_t wanted = limit - page.lines.size();
    std::vector<AuditLine> ring;
    size_t found = 0;
    uint64_t first_n = 0;
    int64_t newest_ms = INT64_MIN;
    for (std::string_view text;;) {
      TAMIS_TRY(more, reader->next(text));
      if (!more) break;
      read_bytes += text.size() + 1;
      arena.reset();
      auto line = read_chained_line(text, arena);
      if (!line) {
        return base::invalid(path + ":" + std::to_string(reader->number()) + " is damaged: " + line.error().message);
      }
      if (first_n == 0) first_n = line->line.n;
      if (line->line.n >= filter.before_n) break;
      newest_ms = std::max(newest_ms, line->line.time_ms);
      if (!matches(filter, line->line)) continue;
      if (ring.size() < wanted) {
        ring.push_back(std::move(line->line));
      } else {
        ring[found % wanted] = std::move(line->line);
      }
      ++found;
    }
    for (size_t i = 0; i < ring.size(); ++i) page.lines.push_back(ring[(found + ring.size() - 1 - i) % ring.size()]);
    bool full = page.lines.size() == limit;
    if (full && (found > wanted || m > 0)) {
      page.next_before_n = page.lines.back().n;
      break;
    }
    if (first_n != 0 && newest_ms < filter.since_ms) break;  // what is before is older
    if (read_bytes > options_.read_bytes_max && m > 0) {
      page.next_before_n = first_n;
      break;
    }
  }
  return page;
}

Result<uint64_t> FileAudit::erase(std::string_view value) {
  if (value.empty()) return base::invalid("an empty value cannot be erased");
  return erase_all([&](const ChainedLine& line) {
    return AuditParts{has_word(line.payload(0), value), has_word(line.payload(1), value),
                      has_word(line.payload(2), value)};
  });
}

Result<uint64_t> FileAudit::forget(int64_t before_ms, const std::function<AuditParts(const AuditLine&)>& parts) {
  return erase_all(
      [&](const ChainedLine& line) { return line.line.time_ms < before_ms ? parts(line.line) : AuditParts(); });
}

Result<uint64_t> FileAudit::erase_all(const Going& going) {
  std::unique_lock lock(mutex_);
  if (!failure_.empty()) return base::fail(Code::kUnavailable, failure_);
  wait_idle(lock);
  TAMIS_TRY(months, list_months(folder_));
  uint64_t changed = 0;
  for (const std::string& month : months) {
    TAMIS_TRY(lines, erase_in(month_path(folder_, month), going));
    changed += lines;
    if (lines == 0 || month != month_) continue;
    // The month that is written to is another file now. All of it has been synced.
    auto file = LineFile::open(month_path(folder_, month));
    if (!file) {
      failure_ = "the audit trail cannot go on: " + file.error().message;
      return tl::unexpected<base::Error>(file.error());
    }
    file_ = std::move(*file);
    synced_n_ = head_.n;
  }
  return changed;
}

// Whether anything went.
static bool take_away(ChainedLine& line, const AuditParts& parts) {
  const bool goes[] = {parts.value, parts.why, parts.detail};
  bool hit = false;
  for (size_t i = 0; i < std::size(kPayload); ++i) {
    if (!line.present[i] || !goes[i]) continue;
    line.present[i] = false;
    line.payload(i).clear();
    line.salt[i].clear();
    hit = true;
  }
  return hit;
}

// Writes the month anew beside the old file, and puts it in its place if anything changed.
Result<uint64_t> FileAudit::erase_in(const std::string& path, const Going& going) {
  TAMIS_TRY(reader, LineReader::open(path));
  TAMIS_TRY(copy, LineFile::open(path + ".erase"));
  TAMIS_CHECK(copy.cut(0));  // what a crash left
  base::Arena arena;
  uint64_t changed = 0;
  std::string out;
  for (std::string_view text;;) {
    TAMIS_TRY(more, reader.next(text));
    if (!more || out.size() > kLineBytesMax) {
      TAMIS_CHECK(copy.append(out));
      out.clear();
    }
    if (!more) break;
    arena.reset();
    auto line = read_chained_line(text, arena);
    if (line && take_away(*line, going(*line))) {
      line->append_to(out);
      ++changed;
    } else {
      out += text;  // also what is damaged: it is no business of this to repair it
      out += '\n';
    }
  }
  if (changed > 0) {
    TAMIS_CHECK(copy.sync());
    if (::rename(copy.path().c_str(), path.c_str()) != 0) {
      return tl::unexpected<base::Error>(base::system_error("replace", path, errno));
    }
    TAMIS_CHECK(sync_folder(folder_));
  } else {
    ::unlink(copy.path().c_str());
  }
  return changed;
}

}  // namespace

Result<std::unique_ptr<Audit>> Audit::open(const std::string& folder, const base::Clock& clock, AuditOptions options) {
  auto audit = std::make_unique<FileAudit>(folder, clock, options);
  TAMIS_CHECK(audit->start());
  return std::unique_ptr<Audit>(std::move(audit));
}

Result<AuditVerdict> verify_audit(const std::string& folder, const AuditHead& noted) {
  TAMIS_TRY(months, list_months(folder));
  AuditVerdict verdict;
  base::Arena arena;
  bool noted_seen = noted.n == 0;
  for (const std::string& month : months) {
    std::string path = month_path(folder, month);
    TAMIS_TRY(reader, LineReader::open(path));
    for (std::string_view text;;) {
      auto more = reader.next(text);
      if (!more && more.error().code != Code::kLimit) return tl::unexpected<base::Error>(more.error());
      if (more && !*more) break;
      arena.reset();
      auto line = more ? read_chained_line(text, arena) : Result<ChainedLine>(tl::unexpected(more.error()));
      std::string fault = line ? fault_of(*line, text) : "it is no line of an audit trail: " + line.error().message;
      if (fault.empty() && verdict.lines == 0) {
        verdict.first_n = line->line.n;
        bool is_first = line->prev == std::string(kSha256HexBytes, '0');
        if (is_first != (line->line.n == 1))
          fault = "its number is " + std::to_string(line->line.n) + ", which does not fit its \"prev\"";
      } else if (fault.empty() && (line->line.n != verdict.head.n + 1 || line->prev != verdict.head.hash)) {
        fault = "expected line " + std::to_string(verdict.head.n + 1) + " behind hash " + verdict.head.hash +
                "; found " + std::to_string(line->line.n) + ": lines were removed, put in or moved";
      }
      if (fault.empty() && line->line.n == noted.n) {
        noted_seen = true;
        if (line->line.hash != noted.hash) fault = "its hash is not the one that was noted";
      }
      if (!fault.empty()) {
        verdict.where = path + ":" + std::to_string(reader.number() + (more ? 0 : 1));
        verdict.what = std::move(fault);
        return verdict;
      }
      ++verdict.lines;
      verdict.erased += line->line.erased;
      verdict.head = {line->line.n, line->line.hash};
    }
    if (reader.torn_bytes() > 0 && &month != &months.back()) {
      verdict.where = path + ":" + std::to_string(reader.number() + 1);
      verdict.what = "a line without end, and a later month behind it";
      return verdict;
    }
    verdict.torn_bytes = reader.torn_bytes();
  }
  if (!noted_seen) {
    verdict.where = months.empty() ? folder : month_path(folder, months.back());
    verdict.what = "line " + std::to_string(noted.n) + ", whose hash was noted, is missing: the end was cut off";
    return verdict;
  }
  verdict.good = true;
  return verdict;
}

}  // namespace tamis::action
