// Verifying: files are read and compared with their hashes, several at a time, ahead of DuckDB, which compares nothing.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "archive/archive_impl.h"

namespace tamis::archive {
namespace {

constexpr size_t kDamageToldMax = 1'000;

}  // namespace

base::Status verify_files(const std::vector<FilePointer>& files, const std::set<std::string>* columns, int threads,
                          const std::function<bool()>& keep_going) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;  // of what follows
  base::Status status;
  auto work = [&] {
    for (size_t i = next++; i < files.size(); i = next++) {
      const DataFile& file = *files[i];
      base::Result<uint64_t> read =
          file.lost ? tl::unexpected<base::Error>(lost_error(file)) : file.verify(columns, keep_going);
      if (read) continue;
      std::lock_guard lock(mutex);
      status = tl::unexpected<base::Error>(std::move(read).error());
      next = files.size();
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(static_cast<size_t>(std::max(threads, 1)), files.size()); ++i)
    others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  return status;
}

base::Result<Verified> ArchiveImpl::verify(const std::function<bool(uint64_t, uint64_t)>& keep_going) const {
  TAMIS_TRY(manifest, current());
  lost_files(*manifest);
  Verified found;
  uint64_t done = 0, total = 0;
  for (const FilePointer& file : manifest->files) total += file->bytes;
  for (const FilePointer& file : manifest->files) {
    auto wanted = [&] { return !keep_going || keep_going(done, total); };
    if (!wanted()) return base::fail(base::Code::kLimit, "verifying the archive was stopped");
    base::Result<uint64_t> read =
        file->lost ? tl::unexpected<base::Error>(lost_error(*file)) : file->verify(nullptr, wanted, true);
    if (!read && read.error().code == base::Code::kLimit) return tl::unexpected<base::Error>(read.error());
    if (!read && options_.read_only) {
      // Another process may have put another file in its place.
      TAMIS_TRY(now, current());
      auto same = [&](const FilePointer& other) { return other->path == file->path; };
      if (std::none_of(now->files.begin(), now->files.end(), same)) continue;
    }
    if (!read) {
      ++found.damaged;
      if (found.damage.size() < kDamageToldMax) found.damage.push_back(read.error().message);
    } else {
      found.bytes += *read;
      if (!file->footer_hash) ++found.unverified;
    }
    ++found.files;
    done += file->bytes;
  }
  return found;
}

}  // namespace tamis::archive
