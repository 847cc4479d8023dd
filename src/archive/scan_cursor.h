// A cursor over files whose record numbers follow each other: DuckDB's chunks, and what is read from them as columns.
// Numbers and text stay where DuckDB has put them. Private.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "archive/duck.h"
#include "archive/scan_plan.h"
#include "cel/columns.h"
#include "event/json_event.h"

namespace tamis::archive {

// What a request adds to each row besides the slots.
enum Extra : uint32_t { kExtraVerdict, kExtraPoints, kExtraPolicy, kExtraRules, kExtraShadow, kExtraId, kExtras };

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
  std::string sql() const;
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
};

}  // namespace tamis::archive
