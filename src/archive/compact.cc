// Joins small files of one day, type and layout. Files are sorted into tiers by their rows, eight times as many a tier;
// where eight neighbours are of a tier or below, they become one file. Each of them is at most half of it, so each row
// is rewritten a few times at most, and a day ends up in a few files. Only neighbours are joined: the records of a file
// then lie between those of the file before and the file behind, and the next join need not sort. Rows of small files
// are read and written anew, in larger row groups; row groups that are large enough stay as they are (splice.h).
#include <algorithm>
#include <map>
#include <span>
#include <tuple>

#include "archive/archive_impl.h"
#include "archive/splice.h"
#include "base/thread.h"

namespace tamis::archive {
namespace {

constexpr size_t kFilesPerTier = 8;
constexpr uint64_t kSmallestTier = 4'096;
constexpr int kTierMax = 20;

int tier_of(uint64_t rows) {
  int tier = 0;
  for (uint64_t bound = kSmallestTier; rows >= bound && tier < kTierMax; bound *= kFilesPerTier) ++tier;
  return tier;
}

// The first run of neighbours to join, empty for none: eight or more of the tier or below, or as many as make a file of
// `rows_max`.
std::span<const FilePointer> run_to_join(const std::vector<FilePointer>& files, int tier, uint64_t rows_max) {
  for (size_t from = 0; from < files.size(); ++from) {
    uint64_t rows = 0, largest = 0;
    size_t behind = from;
    bool full = false;
    for (; behind < files.size(); ++behind) {
      const DataFile& file = *files[behind];
      if (file.lost || !file.damage().empty() || file.rows * 2 > rows_max || tier_of(file.rows) > tier) break;
      full = rows + file.rows > rows_max;
      if (full) break;
      rows += file.rows;
      largest = std::max(largest, file.rows);
    }
    const size_t count = behind - from;
    if (count >= 2 && (full || count >= kFilesPerTier) && largest * 2 <= rows) return {&files[from], count};
  }
  return {};
}

}  // namespace

base::Status ArchiveImpl::compact(bool all) {
  TAMIS_TRY(manifest, current());
  // Equal layouts that were read apart have addresses of their own: then they are joined after a restart.
  std::map<std::tuple<std::string, int64_t, const Layout*>, std::vector<FilePointer>> groups;
  for (const FilePointer& file : manifest->files) {
    groups[{file->type, file->day, file->layout.get()}].push_back(file);
  }
  std::unique_ptr<ParquetWriter> parquet;
  base::Status status;
  for (auto& [key, files] : groups) {
    for (int tier = 0; tier <= (all ? kTierMax : 0); ++tier) {
      const auto run = run_to_join(files, tier, options_.file_rows_max);
      if (run.empty()) continue;
      const std::vector<FilePointer> joined(run.begin(), run.end());
      auto made = base::run_as(base::work_behind, "join", [&] { return join(parquet, joined); });
      if (!made) {
        const bool damaged =
            std::any_of(joined.begin(), joined.end(), [](const FilePointer& file) { return !file->damage().empty(); });
        if (!damaged) return tl::unexpected<base::Error>(std::move(made).error());
        // It is known now: its neighbours are joined without it from the next time on, and other days at once.
        status = tl::unexpected<base::Error>(std::move(made).error());
        break;
      }
      const FilePointer file = *std::move(made);
      std::lock_guard writing(write_mutex_);
      TAMIS_CHECK(replace(joined, {file}, 0));
      const auto at = files.begin() + (run.data() - files.data());
      *at = file;
      files.erase(at + 1, at + static_cast<std::ptrdiff_t>(joined.size()));
    }
  }
  return status;
}

base::Result<FilePointer> ArchiveImpl::join(std::unique_ptr<ParquetWriter>& parquet,
                                            const std::vector<FilePointer>& files) {
  uint64_t last = 0;
  bool in_order = true;
  for (const FilePointer& file : files) {
    in_order = in_order && (last < file->first || file == files.front());
    last = std::max(last, file->last);
  }
  const FilePointer& first = files.front();
  TAMIS_TRY(file, new_file(first->type, first->day, first->first, last));
  file->doomed = true;  // until it is known to be whole
  file->layout = first->layout;
  file->from_ms = first->from_ms;
  file->to_ms = first->to_ms;
  for (const FilePointer& part : files) {
    file->rows += part->rows;
    file->from_ms = std::min(file->from_ms, part->from_ms);
    file->to_ms = std::max(file->to_ms, part->to_ms);
  }
  auto written = write_joined(parquet, files, in_order, *file);
  if (!written) {
    // Whichever of them is damaged must be known, or they would be joined in vain with each flush.
    for (const FilePointer& part : files) static_cast<void>(part->verify(nullptr, nullptr, true));
    return tl::unexpected<base::Error>(std::move(written).error());
  }
  const uint64_t rows = *written;
  if (rows != file->rows)
    return base::fail(base::Code::kInternal, "joining files of the archive changed the number of their rows");
  TAMIS_CHECK(measure(*file));
  file->doomed = false;
  return FilePointer(file);
}

base::Result<uint64_t> ArchiveImpl::write_joined(std::unique_ptr<ParquetWriter>& parquet,
                                                 const std::vector<FilePointer>& files, bool in_order,
                                                 const DataFile& to) const {
  if (in_order) {
    std::vector<SplicePart> parts;
    for (const FilePointer& file : files) parts.push_back({file->absolute, file->footer_hash});
    auto rows = splice_files(parts, to.absolute, kGroupRows / 2);
    if (rows || rows.error().code != base::Code::kNotFound) return rows;
  }
  TAMIS_CHECK(verify_files(files, nullptr, 1, nullptr));
  TAMIS_CHECK(open_writer(parquet));
  TAMIS_CHECK(
      parquet->write("SELECT * FROM " + read_sql(files) + (in_order ? "" : " ORDER BY n"), to.rows, to.absolute));
  TAMIS_TRY(rows, parquet->number("SELECT count(*) FROM " + read_sql({to.shared_from_this()})));
  return static_cast<uint64_t>(rows);
}

}  // namespace tamis::archive
