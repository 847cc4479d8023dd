// Joins small files of one day, type and layout. Files are sorted into tiers by their rows, eight times as many a tier;
// where a tier has eight files they become one of the next. So each row is rewritten a few times at most, and a day
// ends up in a few files.
#include <algorithm>
#include <map>

#include "archive/archive_impl.h"
#include "base/thread.h"

namespace tamis::archive {
namespace {

constexpr size_t kFilesPerTier = 8;
constexpr uint64_t kSmallestTier = 4'096;

int tier_of(uint64_t rows) {
  int tier = 0;
  for (uint64_t bound = kSmallestTier; rows >= bound && tier < 20; bound *= kFilesPerTier) ++tier;
  return tier;
}

}  // namespace

base::Status ArchiveImpl::compact(bool all) {
  TAMIS_TRY(manifest, current());
  struct Key {
    std::string type;
    int64_t day;
    const Layout* layout;
    int tier;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, std::vector<FilePointer>> tiers;
  for (const FilePointer& file : manifest->files) {
    if (file->lost || file->rows * 2 > options_.file_rows_max) continue;
    if (!all && tier_of(file->rows) > 0) continue;
    // Equal layouts that were read apart have addresses of their own: then they are joined after a restart.
    tiers[{file->type, file->day, file->layout.get(), tier_of(file->rows)}].push_back(file);
  }
  std::unique_ptr<ParquetWriter> parquet;
  for (auto& [key, files] : tiers) {
    if (files.size() < kFilesPerTier) continue;
    std::vector<FilePointer> joined;
    uint64_t rows = 0;
    for (const FilePointer& file : files) {
      if (rows + file->rows > options_.file_rows_max) break;
      rows += file->rows;
      joined.push_back(file);
    }
    if (joined.size() < 2) continue;
    TAMIS_CHECK(open_writer(parquet));
    TAMIS_TRY(file, base::run_as(base::work_behind, "join", [&] { return join(*parquet, joined); }));
    std::lock_guard writing(write_mutex_);
    TAMIS_CHECK(replace(joined, {file}, 0));
  }
  return {};
}

base::Result<FilePointer> ArchiveImpl::join(ParquetWriter& parquet, const std::vector<FilePointer>& files) {
  uint64_t last = 0;
  bool in_order = true;
  for (const FilePointer& file : files) {
    in_order = in_order && (last < file->first || file == files.front());
    last = std::max(last, file->last);
  }
  const FilePointer& first = files.front();
  TAMIS_TRY(file, new_file(first->type, first->day, first->first, last));
  file->layout = first->layout;
  file->from_ms = first->from_ms;
  file->to_ms = first->to_ms;
  for (const FilePointer& part : files) {
    file->rows += part->rows;
    file->from_ms = std::min(file->from_ms, part->from_ms);
    file->to_ms = std::max(file->to_ms, part->to_ms);
  }
  TAMIS_CHECK(parquet.write("SELECT * FROM " + read_sql(files) + (in_order ? "" : " ORDER BY n"), file->absolute));
  file->doomed = true;  // until it is known to be whole
  TAMIS_TRY(rows, parquet.number("SELECT count(*) FROM " + read_sql({file})));
  if (static_cast<uint64_t>(rows) != file->rows)
    return base::fail(base::Code::kInternal, "joining files of the archive changed the number of their rows");
  TAMIS_CHECK(measure(*file));
  file->doomed = false;
  return FilePointer(file);
}

}  // namespace tamis::archive
