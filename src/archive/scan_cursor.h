// A cursor over files whose record numbers follow each other: DuckDB's chunks, and what is read from them as columns.
// Numbers and text stay where DuckDB has put them. Private.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "archive/duck.h"
#include "archive/scan_plan.h"
#include "cel/columns.h"
#include "event/json_event.h"

namespace tamis::archive {

// What a request adds to each row besides the slots.
enum Extra : uint32_t { kExtraVerdict, kExtraPoints, kExtraPolicy, kExtraRules, kExtraShadow, kExtraId, kExtras };
inline constexpr std::string_view kExtraColumns[kExtras] = {"verdict", "points", "policy", "rules", "shadow", "id"};

// The columns of one chunk, made once when it is loaded.
struct Rows {
  Chunk chunk;
  uint32_t rows = 0;
  const uint64_t* n = nullptr;
  std::vector<int64_t> time_ms;
  std::vector<cel::Column> columns;  // as the slots of the request
  const std::string_view* texts[kExtras] = {};
  const double* points = nullptr;
  base::Arena arena;
  std::vector<PageColumn> pages;  // where there is no chunk: n, time, the slots, what is added

  explicit Rows(Chunk from) : chunk(std::move(from)), arena(64 * 1024) {}
};

class Cursor {
 public:
  Cursor(const Database& database, const ScanRequest& request, LayoutPlan plan, std::vector<FilePointer> files);

  uint64_t first() const { return files_.front()->first; }
  uint64_t last() const { return files_.back()->last; }
  // The first chunk, or the one after the current. False: no more rows.
  base::Result<bool> load();
  std::shared_ptr<Rows> rows() const { return rows_; }
  uint32_t at = 0;  // the next row of rows() that nobody has had
  uint64_t n() const { return rows_->n[at]; }

 private:
  bool wants_extra(uint32_t extra) const { return extra == kExtraId ? request_.reasons_and_ids : request_.decisions; }
  std::string sql() const;
  base::Status verify() const;
  base::Result<bool> load_chunk();

  static constexpr size_t kPageColumnsFixed = 2;  // n and time
  bool can_read_pages() const;
  base::Result<bool> load_pages();
  base::Result<bool> load_group(const DataFile& file, size_t group);
  base::Status read_pages(const DataFile& file, size_t group, Rows& rows);
  void choose(Rows& rows);
  void read_slot(Rows& rows, size_t slot, uint32_t column);
  void derive(Rows& rows);
  void read_json(Rows& rows, const SlotSource& source, uint32_t column, cel::Column& to);
  const std::string_view* texts_of(Rows& rows, uint32_t column);
  const std::string_view* joined_texts_of(Rows& rows, uint32_t column);
  const uint8_t* states_of(Rows& rows, uint32_t column);

  const Database& database_;
  const ScanRequest& request_;
  LayoutPlan plan_;
  std::vector<FilePointer> files_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Stream> stream_;
  std::shared_ptr<Rows> rows_;
  event::JsonReader json_;
  // Reading pages: the next file and row group. page_last_: the last record that was given.
  bool by_pages_ = false;
  size_t page_file_ = 0, page_group_ = 0;
  std::unique_ptr<ParquetFile::Reader> page_reader_;
  std::optional<uint64_t> page_last_;
  std::vector<uint32_t> chosen_;
};

}  // namespace tamis::archive
