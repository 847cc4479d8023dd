#include "archive/archive.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "archive/archive_impl.h"
#include "archive/parquet_bytes.h"
#include "base/file.h"
#include "base/thread.h"

namespace tamis::archive {
namespace {

base::Error denied() { return {base::Code::kDenied, "the archive is open for reading only"}; }

// What a change of the manifest by another process shows in.
bool stamp_of(const std::string& folder, int64_t (&stamp)[3]) {
  struct stat status = {};
  if (::stat((folder + "/" + kManifestName).c_str(), &status) != 0) return false;
  stamp[0] = static_cast<int64_t>(status.st_ino);
  stamp[1] = static_cast<int64_t>(status.st_size);
  stamp[2] = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
  return true;
}

// The folder that files which are links lead to: DuckDB looks at where a file lies, not at the name it is given.
std::string links_of(const Manifest& manifest) {
  for (const FilePointer& file : manifest.files) {
    char* real = ::realpath(file->absolute.c_str(), nullptr);
    if (real == nullptr) continue;
    const std::string path = real;
    ::free(real);
    // Of one folder all files are links or none.
    const bool is_link = path != file->absolute && path.ends_with("/" + file->path);
    return is_link ? path.substr(0, path.size() - file->path.size() - 1) : std::string();
  }
  return {};
}

void doom(const std::vector<FilePointer>& files) {
  for (const FilePointer& file : files) file->doomed = true;
}

}  // namespace

base::Result<std::unique_ptr<Archive>> Archive::open(const std::string& folder, ArchiveOptions options) {
  if (!options.read_only) TAMIS_CHECK(base::make_folders(folder + "/.tmp"));
  // DuckDB compares paths by their text, so there must be one text for the folder.
  char* real = ::realpath(folder.c_str(), nullptr);
  if (real == nullptr) return tl::unexpected<base::Error>(base::system_error("open", folder, errno));
  const std::string path = real;
  ::free(real);
  TAMIS_TRY(manifest, read_manifest(path));
  if (!options.read_only) TAMIS_CHECK(remove_leftovers(path, manifest));
  std::string links = links_of(manifest);
  return std::unique_ptr<Archive>(std::make_unique<ArchiveImpl>(path, std::move(links), options, std::move(manifest)));
}

ArchiveImpl::ArchiveImpl(std::string folder, std::string links, ArchiveOptions options, Manifest manifest)
    : folder_(std::move(folder)), links_(std::move(links)), options_(options) {
  lost_files(manifest);
  manifest.generation = ++generation_;
  manifest_ = std::make_shared<const Manifest>(std::move(manifest));
  stamp_of(folder_, manifest_stamp_);
}

base::Status ArchiveImpl::add(const engine::PreparedEvent& event, const engine::Decision* decision, uint64_t record,
                              int64_t receive_ms) {
  if (options_.read_only) return tl::unexpected<base::Error>(denied());
  TAMIS_TRY(made, maker_.of_event(event, decision, record, receive_ms));
  return put(made, record);
}

base::Status ArchiveImpl::add_act(uint64_t record, int64_t receive_ms, const engine::Act& act) {
  if (options_.read_only) return tl::unexpected<base::Error>(denied());
  return put(maker_.of_act(record, receive_ms, act), record);
}

base::Status ArchiveImpl::put(const RowMaker::Made& made, uint64_t record) {
  const std::string_view type = made.type == nullptr ? std::string_view() : *made.type;
  std::lock_guard lock(mutex_);
  if (record <= manifest_->upto && manifest_->upto != 0) return {};
  if (pending_bytes_ + made.row.size() > options_.pending_bytes_max) {
    return base::fail(base::Code::kLimit,
                      fmt::format("{} bytes wait for the archive's next flush, more it does not take{}", pending_bytes_,
                                  failure_.empty() ? "" : "; the last flush failed: " + failure_));
  }
  auto same = [&](const Pending& p) { return p.rows->shared_layout() == made.layout && p.type == type; };
  auto at = std::find_if(pending_.begin(), pending_.end(), same);
  if (at == pending_.end()) {
    pending_.push_back({std::string(type), std::make_unique<RowBuffer>(made.layout)});
    at = pending_.end() - 1;
  }
  at->rows->add(made.row);
  ++pending_rows_;
  pending_bytes_ += made.row.size();
  return {};
}

base::Status ArchiveImpl::flush(uint64_t upto, bool join) {
  if (options_.read_only) return tl::unexpected<base::Error>(denied());
  {
    std::lock_guard writing(write_mutex_);
    base::Status status = flush_now(upto);
    // An instance of DuckDB that met a fault may stay unusable; the next write opens another.
    if (!status) writer_.reset();
    remember(status);
    if (!status) return status;
  }
  // Whoever changes files already need not be waited for: there will be another flush.
  std::unique_lock changing(change_mutex_, std::try_to_lock);
  if (!changing) return {};
  // The rows are in files: that small files could not be joined is told, but is no failure of the flush.
  base::Status joined = compact(join);
  if (!joined) remember(joined);
  return {};
}

void ArchiveImpl::remember(const base::Status& status) {
  std::lock_guard lock(mutex_);
  failure_ = status ? std::string() : status.error().message;
}

base::Status ArchiveImpl::flush_now(uint64_t upto) {
  std::vector<Pending> taken;
  void (*rank)(const char*) = base::work_behind;
  {
    std::lock_guard lock(mutex_);
    // On a core that is nearly full, or beside a join, rows would come faster than they are written.
    if (pending_bytes_ > options_.pending_bytes_max / 8) rank = base::work_after;
    // Rows up to there are in files, and those behind wait.
    if ((pending_.empty() || upto != 0) && upto <= manifest_->upto) return {};
    taken.swap(pending_);
  }
  std::vector<Pending> later;
  auto files = base::run_as(rank, "archive", [&] {
    // Rows may have come since the caller took `upto`: if they were written now, recovery would add them once more.
    for (Pending& pending : taken) {
      if (pending.rows->last_n() <= upto) continue;
      later.push_back({pending.type, std::make_unique<RowBuffer>(pending.rows->split(upto))});
    }
    std::erase_if(taken, [](const Pending& pending) { return pending.rows->rows() == 0; });
    return write_pending(taken);
  });
  base::Status status = files ? replace({}, *files, upto) : base::Status(tl::unexpected<base::Error>(files.error()));
  {
    std::lock_guard lock(mutex_);
    // Rows that came meanwhile stay behind those that could not be written.
    if (!status) later.insert(later.begin(), std::move_iterator(taken.begin()), std::move_iterator(taken.end()));
    // One buffer for each type and layout: files of rows that came by turns would overlap, and joining those means to
    // sort them.
    for (size_t i = later.size(); i-- > 0;) {
      Pending& waiting = later[i];
      auto same = [&](const Pending& p) {
        return p.rows->shared_layout() == waiting.rows->shared_layout() && p.type == waiting.type;
      };
      auto at = std::find_if(pending_.begin(), pending_.end(), same);
      if (at == pending_.end()) {
        pending_.push_back(std::move(waiting));
      } else {
        at->rows->prepend(std::move(*waiting.rows));
      }
    }
    if (!status) return status;
    for (const Pending& pending : taken) {
      pending_rows_ -= pending.rows->rows();
      pending_bytes_ -= pending.rows->bytes();
    }
  }
  return base::run_as(rank, "archive", [&] {
    taken.clear();
    return status;
  });
}

base::Result<std::vector<FilePointer>> ArchiveImpl::write_pending(const std::vector<Pending>& taken) {
  std::vector<FilePointer> added;
  for (const Pending& pending : taken) {
    auto files = write_buffer(pending);
    if (!files) {
      doom(added);
      return tl::unexpected<base::Error>(std::move(files).error());
    }
    added.insert(added.end(), files->begin(), files->end());
  }
  return added;
}

base::Result<std::vector<FilePointer>> ArchiveImpl::write_buffer(const Pending& pending) {
  const RowBuffer& buffer = *pending.rows;
  std::vector<const char*> rows;
  buffer.collect(rows);
  std::map<int64_t, std::vector<const char*>> days;
  auto* day_rows = &days[0];
  int64_t day_before = 0;
  for (const char* row : rows) {
    const int64_t day = day_of(buffer.time_us_of(row) / 1'000);
    if (day != day_before) day_rows = &days[day_before = day];
    day_rows->push_back(row);
  }
  std::vector<FilePointer> files;
  auto failed = [&](base::Error error) {
    doom(files);
    return tl::unexpected<base::Error>(std::move(error));
  };
  for (auto& [day, here] : days) {
    if (here.empty()) continue;
    auto by_n = [&](const char* a, const char* b) { return buffer.n_of(a) < buffer.n_of(b); };
    if (!std::is_sorted(here.begin(), here.end(), by_n)) std::stable_sort(here.begin(), here.end(), by_n);
    auto file = new_file(pending.type, day, buffer.n_of(here.front()), buffer.n_of(here.back()));
    if (!file) return failed(std::move(file).error());
    (*file)->rows = here.size();
    (*file)->layout = buffer.shared_layout();
    (*file)->from_ms = INT64_MAX;
    (*file)->to_ms = INT64_MIN;
    for (const char* row : here) {
      const int64_t time_ms = buffer.time_us_of(row) / 1'000;
      (*file)->from_ms = std::min((*file)->from_ms, time_ms);
      (*file)->to_ms = std::max((*file)->to_ms, time_ms);
    }
    auto parquet = writer();
    base::Status status = parquet ? (*parquet)->write(buffer.layout(), here, (*file)->absolute)
                                  : base::Status(tl::unexpected<base::Error>(parquet.error()));
    if (status) status = measure(**file);
    if (!status) return failed(std::move(status).error());
    files.push_back(*file);
  }
  return files;
}

base::Result<std::shared_ptr<DataFile>> ArchiveImpl::new_file(const std::string& type, int64_t day, uint64_t first,
                                                              uint64_t last) {
  auto file = std::make_shared<DataFile>();
  file->type = type;
  file->day = day;
  file->first = first;
  file->last = last;
  const std::string folder = (type.empty() ? "acts" : folder_of(type)) + "/" + day_text(day);
  const std::string absolute = folder_ + "/" + folder;
  struct stat status = {};
  if (::stat(absolute.c_str(), &status) != 0) {
    TAMIS_CHECK(base::make_folders(absolute));
    TAMIS_CHECK(sync_path(folder_));
    TAMIS_CHECK(sync_path(absolute.substr(0, absolute.rfind('/'))));
  }
  for (int i = 1;; ++i) {
    const std::string name =
        i == 1 ? fmt::format("{}-{}.parquet", first, last) : fmt::format("{}-{}.{}.parquet", first, last, i);
    file->path = folder + "/" + name;
    file->absolute = folder_ + "/" + file->path;
    if (::stat(file->absolute.c_str(), &status) != 0) return file;
  }
}

base::Status ArchiveImpl::measure(DataFile& file) const {
  struct stat status = {};
  if (::stat(file.absolute.c_str(), &status) != 0)
    return tl::unexpected<base::Error>(base::system_error("open", file.absolute, errno));
  file.bytes = static_cast<uint64_t>(status.st_size);
  const Descriptor descriptor(file.absolute, O_RDONLY);
  TAMIS_TRY(footer, read_footer(descriptor.get(), file.absolute));
  file.footer_hash = footer.hash;
  return sync_path(file.absolute.substr(0, file.absolute.rfind('/')));
}

base::Status ArchiveImpl::replace(const std::vector<FilePointer>& removed, const std::vector<FilePointer>& added,
                                  uint64_t upto) {
  std::shared_ptr<const Manifest> before;
  auto next = std::make_shared<Manifest>();
  {
    std::lock_guard lock(mutex_);
    before = manifest_;
    next->bare = declared_;
  }
  next->upto = std::max(before->upto, upto);
  for (const FilePointer& file : before->files) {
    if (std::find(removed.begin(), removed.end(), file) == removed.end()) next->files.push_back(file);
  }
  next->files.insert(next->files.end(), added.begin(), added.end());
  next->sort();
  next->bare.insert(before->bare.begin(), before->bare.end());
  for (const FilePointer& file : removed) {
    if (!file->type.empty()) next->bare.emplace(file->type, file->layout);
  }
  for (const FilePointer& file : next->files) next->bare.erase(file->type);
  if (base::Status status = write_manifest(folder_, *next); !status) {
    doom(added);
    return status;
  }
  doom(removed);
  std::lock_guard lock(mutex_);
  next->generation = ++generation_;
  manifest_ = std::move(next);
  return {};
}

void ArchiveImpl::declare(const policy::Policy& policy) {
  std::map<std::string, std::shared_ptr<const Layout>> declared;
  for (const policy::EventType& type : policy.types) {
    declared[type.schema.name] = std::make_shared<const Layout>(layout_of(policy, type).layout);
  }
  std::lock_guard lock(mutex_);
  declared_ = std::move(declared);
}

ArchiveStats ArchiveImpl::stats() const {
  ArchiveStats stats;
  auto manifest = current();
  std::lock_guard lock(mutex_);
  const Manifest& now = manifest ? **manifest : *manifest_;
  stats.upto = now.upto;
  stats.files = now.files.size();
  for (const FilePointer& file : now.files) {
    stats.bytes += file->bytes;
    if (!file->footer_hash) ++stats.files_unverified;
    if (file->type.empty()) continue;
    if (stats.rows == 0 || file->from_ms < stats.oldest_ms) stats.oldest_ms = file->from_ms;
    if (stats.rows == 0 || file->to_ms > stats.newest_ms) stats.newest_ms = file->to_ms;
    stats.rows += file->rows;
  }
  stats.pending_rows = pending_rows_;
  stats.pending_bytes = pending_bytes_;
  stats.failure = failure_;
  stats.damage = damage_of(now);
  if (!manifest && stats.failure.empty()) stats.failure = manifest.error().message;
  return stats;
}

base::Result<std::shared_ptr<const Manifest>> ArchiveImpl::current() const {
  std::lock_guard lock(mutex_);
  if (!options_.read_only) return manifest_;
  int64_t stamp[3] = {};
  if (!stamp_of(folder_, stamp) || std::equal(stamp, stamp + 3, manifest_stamp_)) return manifest_;
  TAMIS_TRY(read, read_manifest(folder_));
  read.generation = ++generation_;
  manifest_ = std::make_shared<const Manifest>(std::move(read));
  std::copy(stamp, stamp + 3, manifest_stamp_);
  return manifest_;
}

DatabaseOptions ArchiveImpl::database_options() const {
  DatabaseOptions options;
  options.folder = folder_;
  options.links = links_;
  options.temporary_folder = folder_ + "/.tmp";
  options.threads = options_.threads;
  options.bytes_max = options_.query_bytes_max;
  return options;
}

// Writing runs beside the engine: one thread, and no more memory than row groups of wide rows need.
DatabaseOptions ArchiveImpl::writer_options() const {
  constexpr uint64_t kWriterBytesMax = uint64_t{384} << 20;
  DatabaseOptions options = database_options();
  options.threads = 1;
  options.bytes_max = std::min(options.bytes_max, kWriterBytesMax);
  return options;
}

base::Result<ParquetWriter*> ArchiveImpl::writer() {
  if (!writer_) {
    TAMIS_TRY(opened, ParquetWriter::open(writer_options()));
    writer_ = std::move(opened);
  }
  return writer_.get();
}

base::Result<const Database*> ArchiveImpl::reader() const {
  std::lock_guard lock(database_mutex_);
  if (!reader_) {
    TAMIS_TRY(opened, Database::open(database_options()));
    reader_ = std::move(opened);
  }
  return reader_.get();
}

base::Result<std::unique_ptr<Scan>> ArchiveImpl::scan(const ScanRequest& request) const {
  TAMIS_TRY(database, reader());
  TAMIS_TRY(manifest, current());
  if (request.in_memory) {
    make_room(*manifest);
    return open_hot_scan(*database, std::move(manifest), request, hot_use_);
  }
  return open_scan(*database, std::move(manifest), request);
}

base::Result<std::vector<std::string>> ArchiveImpl::missing(const ScanRequest& request) const {
  TAMIS_TRY(manifest, current());
  return missing_of(*manifest, request);
}

}  // namespace tamis::archive
