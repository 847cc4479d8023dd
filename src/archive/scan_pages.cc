// Cursors that read pages (pages.h): a row group at a time, texts as codes where the file has them so. What pages
// cannot tell (JSON, attributes derived on reading, kinds of pages that the archive does not write) is left to DuckDB.
#include <algorithm>

#include "archive/archive_impl.h"
#include "archive/scan_cursor.h"

namespace tamis::archive {
namespace {

using In = cel::Column::Layout;
using Kind = PageColumn::Kind;
using event::Value;

int64_t ms_of(int64_t micros) { return (micros >= 0 ? micros : micros - 999) / 1'000; }

base::Status unlike(const DataFile& file) {
  return base::fail(base::Code::kNotFound, file.path + " is not what its layout says");
}

template <class T>
const T* chosen_of(const T* all, const std::vector<uint32_t>& chosen, base::Arena& arena) {
  auto* out = arena.allocate_array<T>(chosen.size());
  for (size_t i = 0; i < chosen.size(); ++i) out[i] = all[chosen[i]];
  return out;
}

// The values of one column, which stay where they are.
bool column_of(const PageColumn& page, ColumnType type, base::Arena& arena, cel::Column& to) {
  to = cel::Column();
  if (page.lists) return false;
  if (page.kind == Kind::kNothing) return true;
  if (page.any_null) to.states = page.states.data();
  const bool number = page.kind == Kind::kNumbers;
  switch (type) {
    case ColumnType::kBool:
      to.layout = In::kBool;
      to.bools = page.bools.data();
      return page.kind == Kind::kBools;
    case ColumnType::kInt:
    case ColumnType::kTimestamp:
    case ColumnType::kDuration:
      to.layout = type == ColumnType::kInt ? In::kInt : type == ColumnType::kTimestamp ? In::kTimestamp : In::kDuration;
      to.ints = page.numbers.data();
      return number;
    case ColumnType::kUint:
      to.layout = In::kUint;
      to.uints = reinterpret_cast<const uint64_t*>(page.numbers.data());
      return number;
    case ColumnType::kDouble:
      to.layout = In::kDouble;
      to.doubles = reinterpret_cast<const double*>(page.numbers.data());
      return number;
    case ColumnType::kString:
    case ColumnType::kBytes:
      break;
    default:
      return false;
  }
  const bool is_string = type == ColumnType::kString;
  if (page.kind == Kind::kTexts) {
    to.layout = is_string ? In::kString : In::kBytes;
    to.texts = page.texts.data();
    return true;
  }
  if (page.kind != Kind::kCodes) return false;
  to.layout = In::kDictionary;
  to.codes = page.codes.data();
  to.dictionary_id = new_dictionary_id();
  auto* entries = arena.allocate_array<Value>(page.texts.size());
  for (size_t i = 0; i < page.texts.size(); ++i)
    entries[i] = is_string ? Value::string(page.texts[i]) : Value::bytes(page.texts[i]);
  to.dictionary = {entries, page.texts.size()};
  return true;
}

cel::Column chosen_of(const cel::Column& all, const std::vector<uint32_t>& chosen, base::Arena& arena) {
  cel::Column out = all;
  if (out.states != nullptr) out.states = chosen_of(all.states, chosen, arena);
  switch (all.layout) {
    case In::kBool:
      out.bools = chosen_of(all.bools, chosen, arena);
      break;
    case In::kInt:
    case In::kTimestamp:
    case In::kDuration:
      out.ints = chosen_of(all.ints, chosen, arena);
      break;
    case In::kUint:
      out.uints = chosen_of(all.uints, chosen, arena);
      break;
    case In::kDouble:
      out.doubles = chosen_of(all.doubles, chosen, arena);
      break;
    case In::kString:
    case In::kBytes:
      out.texts = chosen_of(all.texts, chosen, arena);
      break;
    case In::kDictionary:
      out.codes = chosen_of(all.codes, chosen, arena);
      break;
    default:
      break;
  }
  return out;
}

// One text a row; NULL is the empty one.
bool views_of(const PageColumn& page, base::Arena& arena, const std::string_view*& out) {
  auto* texts = arena.allocate_array<std::string_view>(page.rows);
  out = texts;
  if (page.lists || (page.kind != Kind::kTexts && page.kind != Kind::kCodes && page.kind != Kind::kNothing))
    return false;
  for (uint32_t row = 0; row < page.rows; ++row) {
    const bool good = page.kind != Kind::kNothing && !page.is_null(row);
    new (&texts[row]) std::string_view(good ? page.text(row) : std::string_view());
  }
  return true;
}

// Lists of ids as one text a row, each id followed by a line feed. Most rows have one, which is made once an entry.
bool joined_views_of(const PageColumn& page, base::Arena& arena, const std::string_view*& out) {
  auto* texts = arena.allocate_array<std::string_view>(page.rows);
  out = texts;
  if (!page.lists) return false;
  std::vector<std::string_view> single(page.kind == Kind::kCodes ? page.texts.size() : 0);
  auto join = [&](uint32_t from, uint32_t to) {
    size_t bytes = 0;
    for (uint32_t i = from; i < to; ++i) bytes += page.text(i).size() + 1;
    char* at = static_cast<char*>(arena.allocate(bytes, 1));
    const std::string_view joined(at, bytes);
    for (uint32_t i = from; i < to; ++i) {
      const std::string_view id = page.text(i);
      at = std::copy(id.begin(), id.end(), at);
      *at++ = '\n';
    }
    return joined;
  };
  for (uint32_t row = 0, from = 0; row < page.rows; from = page.ends[row++]) {
    const uint32_t to = page.ends[row];
    new (&texts[row]) std::string_view();
    if (from == to) continue;
    if (to - from > 1 || single.empty()) {
      texts[row] = join(from, to);
      continue;
    }
    std::string_view& known = single[page.codes[from]];
    if (known.empty()) known = join(from, to);
    texts[row] = known;
  }
  return true;
}

}  // namespace

bool Cursor::can_read_pages() const {
  if (!request_.where.empty()) return false;  // DuckDB leaves rows out before it reads all of their columns
  return std::all_of(plan_.slots.begin(), plan_.slots.end(), [](const SlotSource& source) {
    return source.from == SlotSource::From::kTime || source.from == SlotSource::From::kPoints ||
           (source.from == SlotSource::From::kColumn && HotBuilder::can_hold(source.type));
  });
}

// The next row group that has a row of the window. False: there is none.
base::Result<bool> Cursor::load_pages() {
  while (page_file_ < files_.size()) {
    const DataFile& file = *files_[page_file_];
    if (!page_reader_) {
      TAMIS_TRY(parquet, file.parquet());
      TAMIS_TRY(reader, ParquetFile::Reader::open(parquet));
      page_reader_ = std::make_unique<ParquetFile::Reader>(std::move(reader));
      page_group_ = 0;
    }
    if (page_group_ == page_reader_->file().groups().size()) {
      page_reader_.reset();
      ++page_file_;
      continue;
    }
    TAMIS_TRY(loaded, load_group(file, page_group_));
    ++page_group_;
    if (loaded) return true;
  }
  return false;
}

base::Result<bool> Cursor::load_group(const DataFile& file, size_t group) {
  const ParquetFile& parquet = page_reader_->file();
  const int32_t n = parquet.column("n"), time = parquet.column("time");
  const ParquetFile::RowGroup& of = parquet.groups()[group];
  if (n < 0 || time < 0 || of.rows > cel::ColumnFrame::kRowsMax) return tl::unexpected(unlike(file).error());
  if (of.rows == 0) return false;
  const ParquetFile::Chunk& numbers = of.chunks[static_cast<size_t>(n)];
  if (!request_.only.empty() && numbers.has_bounds) {
    const auto next =
        std::lower_bound(request_.only.begin(), request_.only.end(), static_cast<uint64_t>(numbers.least));
    if (next == request_.only.end() || *next > static_cast<uint64_t>(numbers.most)) return false;
  }
  const ParquetFile::Chunk& times = of.chunks[static_cast<size_t>(time)];
  if (times.has_bounds && (ms_of(times.most) < request_.from_ms || ms_of(times.least) >= request_.to_ms)) return false;
  if (rows_ == nullptr || rows_.use_count() > 1) rows_ = std::make_shared<Rows>(Chunk());
  Rows& rows = *rows_;
  rows.arena.reset();
  rows.pages.resize(kPageColumnsFixed + plan_.slots.size() + kExtras);
  PageColumn &n_page = rows.pages[0], &time_page = rows.pages[1];
  TAMIS_CHECK(page_reader_->read(group, n, UINT32_MAX, n_page));
  TAMIS_CHECK(page_reader_->read(group, time, UINT32_MAX, time_page));
  const bool good = n_page.kind == Kind::kNumbers && time_page.kind == Kind::kNumbers && !n_page.any_null &&
                    !time_page.any_null && !n_page.lists && !time_page.lists;
  if (!good) return tl::unexpected(unlike(file).error());
  rows.rows = of.rows;
  rows.n = reinterpret_cast<const uint64_t*>(n_page.numbers.data());
  rows.time_ms.resize(of.rows);
  chosen_.clear();
  for (uint32_t i = 0; i < of.rows; ++i) {
    const int64_t time_ms = rows.time_ms[i] = ms_of(time_page.numbers[i]);
    if (time_ms >= request_.from_ms && time_ms < request_.to_ms) chosen_.push_back(i);
  }
  if (chosen_.empty()) return false;
  TAMIS_CHECK(read_pages(file, group, rows));
  if (chosen_.size() < of.rows) choose(rows);
  at = 0;
  page_last_ = rows.n[rows.rows - 1];
  return true;
}

base::Status Cursor::read_pages(const DataFile& file, size_t group, Rows& rows) {
  const ParquetFile& parquet = page_reader_->file();
  rows.columns.assign(plan_.slots.size(), cel::Column());
  auto read = [&](std::string_view name, PageColumn& page) -> base::Status {
    const int32_t column = parquet.column(name);
    if (column < 0) return unlike(file);
    return page_reader_->read(group, column, UINT32_MAX, page);
  };
  for (size_t slot = 0; slot < plan_.slots.size(); ++slot) {
    const SlotSource& source = plan_.slots[slot];
    PageColumn& page = rows.pages[kPageColumnsFixed + slot];
    const bool is_time = source.from == SlotSource::From::kTime, is_points = source.from == SlotSource::From::kPoints;
    TAMIS_CHECK(read(is_time ? "time" : is_points ? "points" : std::string_view(source.column), page));
    const ColumnType type = is_time ? ColumnType::kTimestamp : is_points ? ColumnType::kDouble : source.type;
    if (!column_of(page, type, rows.arena, rows.columns[slot])) return unlike(file);
  }
  for (uint32_t extra = 0; extra < kExtras; ++extra) {
    if (!wants_extra(extra)) continue;
    PageColumn& page = rows.pages[kPageColumnsFixed + plan_.slots.size() + extra];
    TAMIS_CHECK(read(kExtraColumns[extra], page));
    if (extra == kExtraPoints) {
      auto* points = rows.arena.allocate_array<double>(rows.rows);
      rows.points = points;
      cel::Column column;
      if (!column_of(page, ColumnType::kDouble, rows.arena, column)) return unlike(file);
      for (uint32_t i = 0; i < rows.rows; ++i)
        points[i] = column.layout == In::kAbsent || page.is_null(i) ? 0 : column.doubles[i];
      continue;
    }
    const bool list = extra == kExtraRules || extra == kExtraShadow;
    const bool good =
        list ? joined_views_of(page, rows.arena, rows.texts[extra]) : views_of(page, rows.arena, rows.texts[extra]);
    if (!good) return unlike(file);
  }
  return {};
}

// Leaves out the rows beside the window.
void Cursor::choose(Rows& rows) {
  rows.n = chosen_of(rows.n, chosen_, rows.arena);
  for (size_t i = 0; i < chosen_.size(); ++i) rows.time_ms[i] = rows.time_ms[chosen_[i]];
  for (cel::Column& column : rows.columns) column = chosen_of(column, chosen_, rows.arena);
  for (auto& texts : rows.texts) {
    if (texts != nullptr) texts = chosen_of(texts, chosen_, rows.arena);
  }
  if (rows.points != nullptr) rows.points = chosen_of(rows.points, chosen_, rows.arena);
  rows.rows = static_cast<uint32_t>(chosen_.size());
}

}  // namespace tamis::archive
