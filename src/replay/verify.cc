#include "replay/verify.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "action/audit.h"
#include "archive/archive.h"
#include "base/file.h"
#include "journal/journal.h"
#include "replay/records.h"
#include "replay/snapshot.h"

namespace tamis::replay {
namespace {

constexpr size_t kDamageToldMax = 1'000;
constexpr size_t kFilesMax = 10'000'000;
constexpr uint64_t kLookEvery = 10'000;  // records
constexpr size_t kNumberDigits = 16;
constexpr std::string_view kSegmentEnd = ".jsonl.zst";

bool is_there(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0;
}

class Verifier {
 public:
  Verifier(const std::string& data, const std::function<bool(uint64_t, uint64_t)>& keep_going)
      : data_(data), keep_going_(keep_going) {}

  base::Result<VerifyReport> run() {
    base::ListOptions options;
    options.files_max = kFilesMax;
    TAMIS_TRY(files, base::list_files(data_, options));
    for (const base::FoundFile& file : files) total_ += file.bytes;
    TAMIS_CHECK(journal(files));
    TAMIS_CHECK(snapshots(files));
    TAMIS_CHECK(policies(files));
    TAMIS_CHECK(intel(files));
    TAMIS_CHECK(archive());
    TAMIS_TRY(audit, action::verify_audit(data_ + "/audit"));
    report_.audit_lines = audit.lines;
    if (!audit.good) damaged("the audit trail is broken at " + audit.where + ": " + audit.what);
    return std::move(report_);
  }

 private:
  void damaged(const std::string& what) {
    ++report_.damaged;
    if (report_.damage.size() < kDamageToldMax) report_.damage.push_back(what);
  }
  base::Status step(uint64_t more) {
    if (keep_going_ && !keep_going_(std::min(done_ + more, total_), total_))
      return base::fail(base::Code::kLimit, "verifying was stopped");
    return {};
  }

  base::Status journal(const std::vector<base::FoundFile>& files);
  // `next`: set to the number behind the last record that was read.
  base::Status read_journal(uint64_t first, uint64_t& next);
  base::Status snapshots(const std::vector<base::FoundFile>& files);
  base::Status policies(const std::vector<base::FoundFile>& files);
  base::Status intel(const std::vector<base::FoundFile>& files);
  base::Status archive();

  const std::string& data_;
  const std::function<bool(uint64_t, uint64_t)>& keep_going_;
  uint64_t done_ = 0, total_ = 0;
  VerifyReport report_;
};

// The name of each segment is the number of its first record, so whoever meets damage goes on with the next segment.
base::Status Verifier::journal(const std::vector<base::FoundFile>& files) {
  std::vector<uint64_t> segments;
  const std::string folder = journal_folder(data_) + "/";
  for (const base::FoundFile& file : files) {
    if (!file.path.starts_with(folder) || file.path.size() != folder.size() + kNumberDigits + kSegmentEnd.size() ||
        !file.path.ends_with(kSegmentEnd))
      continue;
    const char* name = file.path.data() + folder.size();
    uint64_t first = 0;
    if (std::from_chars(name, name + kNumberDigits, first).ptr != name + kNumberDigits) continue;
    segments.push_back(first);
    ++report_.journal.files;
    report_.journal.bytes += file.bytes;
  }
  std::sort(segments.begin(), segments.end());
  for (size_t at = 0; at < segments.size();) {
    uint64_t next = segments[at];  // the first record that was not read
    base::Status read = read_journal(segments[at], next);
    if (read) break;
    if (read.error().code == base::Code::kLimit) return read;
    damaged(read.error().message);
    for (++at; at < segments.size() && segments[at] <= next;) ++at;
  }
  done_ += report_.journal.bytes;
  return {};
}

base::Status Verifier::read_journal(uint64_t first, uint64_t& next) {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(data_), first));
  std::string_view line;
  while (true) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) break;
    next = reader->number() + 1;
    ++report_.records;
    TAMIS_TRY(record, read_record(line));
    if (record.number != reader->number()) {
      return base::invalid("record " + std::to_string(reader->number()) + " of the journal says that it is record " +
                           std::to_string(record.number));
    }
    if (report_.records % kLookEvery == 0) TAMIS_CHECK(step(reader->done_bytes()));
  }
  report_.cut_off_bytes = reader->dropped_bytes();
  return {};
}

base::Status Verifier::snapshots(const std::vector<base::FoundFile>& files) {
  const std::string folder = data_ + "/snapshots/";
  for (const base::FoundFile& file : files) {
    if (!file.path.starts_with(folder) || file.path.find(".tmp.", folder.size()) != std::string::npos) continue;
    auto read = [&]() -> base::Status {
      TAMIS_TRY(reader, SnapshotReader::open(file.path));
      std::string piece;
      while (true) {
        TAMIS_TRY(more, reader->next(piece));
        if (!more) return {};
        TAMIS_CHECK(step(0));
      }
    };
    base::Status whole = read();
    if (!whole && whole.error().code == base::Code::kLimit) return whole;
    if (!whole && !is_there(file.path)) continue;  // a server has removed it meanwhile
    if (!whole) damaged(whole.error().message);
    ++report_.snapshots.files;
    report_.snapshots.bytes += file.bytes;
    done_ += file.bytes;
  }
  return {};
}

base::Status Verifier::policies(const std::vector<base::FoundFile>& files) {
  const std::string folder = data_ + "/policies/", end = ".json";
  for (const base::FoundFile& file : files) {
    if (!file.path.starts_with(folder) || !file.path.ends_with(end)) continue;
    TAMIS_CHECK(step(0));
    const size_t length = file.path.size() - folder.size() - end.size();
    auto compiled = compile_kept_policy(data_, file.path.substr(folder.size(), length));
    if (!compiled) damaged(file.path + ": " + compiled.error().message);
    ++report_.policies.files;
    report_.policies.bytes += file.bytes;
    done_ += file.bytes;
  }
  return {};
}

base::Status Verifier::intel(const std::vector<base::FoundFile>& files) {
  const std::string folder = data_ + "/intel/";
  std::set<std::string> versions;
  for (const base::FoundFile& file : files) {
    if (!file.path.starts_with(folder) || !file.path.ends_with(".csv")) continue;
    versions.insert(file.path.substr(folder.size(), file.path.find('/', folder.size()) - folder.size()));
    ++report_.intel.files;
    report_.intel.bytes += file.bytes;
    done_ += file.bytes;
  }
  for (const std::string& version : versions) {
    TAMIS_CHECK(step(0));
    auto loaded = kept_intel(data_, version);
    if (!loaded) damaged(folder + version + ": " + loaded.error().message);
  }
  return {};
}

base::Status Verifier::archive() {
  const std::string folder = data_ + "/archive";
  if (!is_there(folder)) return {};
  archive::ArchiveOptions options;
  options.read_only = true;
  auto opened = archive::Archive::open(folder, options);
  if (!opened) {
    damaged(opened.error().message);
    return {};
  }
  auto found = (*opened)->verify([&](uint64_t done, uint64_t) { return static_cast<bool>(step(done)); });
  if (!found) return tl::unexpected(found.error());
  report_.archive.files = found->files;
  report_.archive.bytes = found->bytes;
  report_.unverified = found->unverified;
  for (const std::string& one : found->damage) damaged(one);
  report_.damaged += found->damaged - found->damage.size();
  return {};
}

}  // namespace

base::Result<VerifyReport> verify_data(const std::string& data,
                                       const std::function<bool(uint64_t done, uint64_t total)>& keep_going) {
  if (!is_there(journal_folder(data)))
    return base::fail(base::Code::kNotFound, data + " is no data folder: it has no journal");
  return Verifier(data, keep_going).run();
}

}  // namespace tamis::replay
