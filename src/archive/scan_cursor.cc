#include "archive/scan_cursor.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "archive/archive_impl.h"
#include "event/derive.h"

namespace tamis::archive {
namespace {

using event::Value;

constexpr size_t kOnlyInSqlMax = 1'000;
constexpr uint32_t kFixedColumns = 2;  // n and time

bool is_there(const Layout& layout, std::string_view column) {
  return std::any_of(layout.columns.begin(), layout.columns.end(),
                     [&](const ColumnSpec& spec) { return spec.column == column && !spec.dropped; });
}

cel::Column column_with(cel::Column::Layout layout, const uint8_t* states) {
  cel::Column column;
  column.layout = layout;
  column.states = states;
  return column;
}

}  // namespace

Cursor::Cursor(const Database& database, const ScanRequest& request, LayoutPlan plan, std::vector<FilePointer> files)
    : database_(database), request_(request), plan_(std::move(plan)), files_(std::move(files)) {
  by_pages_ = can_read_pages();
}

std::string Cursor::sql() const {
  std::string list = "\"n\", \"time\"";
  for (const SlotSource& source : plan_.slots) {
    list += ", ";
    list += source.from == SlotSource::From::kTime     ? std::string("\"time\"")
            : source.from == SlotSource::From::kPoints ? std::string("\"points\"")
                                                       : sql_name(source.column);
  }
  for (uint32_t extra = 0; extra < kExtras; ++extra) {
    if (wants_extra(extra)) list += ", " + sql_name(kExtraColumns[extra]);
  }
  std::string from = read_sql(files_);
  std::string where = "true";
  int64_t oldest = INT64_MAX, newest = INT64_MIN;
  for (const FilePointer& file : files_) {
    oldest = std::min(oldest, file->from_ms);
    newest = std::max(newest, file->to_ms);
  }
  if (oldest < request_.from_ms) where += " AND \"time\" >= " + time_sql(request_.from_ms);
  if (newest >= request_.to_ms) where += " AND \"time\" < " + time_sql(request_.to_ms);
  if (page_last_) where += fmt::format(" AND \"n\" > {}", *page_last_);
  if (!request_.only.empty()) {
    where += fmt::format(" AND \"n\" BETWEEN {} AND {}", request_.only.front(), request_.only.back());
    if (request_.only.size() <= kOnlyInSqlMax) {
      std::string numbers;
      for (const uint64_t n : request_.only) numbers += fmt::format("{}{}", numbers.empty() ? "" : ", ", n);
      where += fmt::format(" AND \"n\" IN ({})", numbers);
    }
  }
  if (!request_.where.empty()) {
    std::string absent;
    for (const ColumnSpec& spec : layout_of(*request_.policy, *request_.type).layout.columns) {
      if (is_there(*plan_.layout, spec.column)) continue;
      absent += fmt::format(", NULL::{} AS {}", sql_type(spec.type), sql_name(spec.column));
    }
    if (!absent.empty()) from = fmt::format("(SELECT *{} FROM {})", absent, from);
    where += fmt::format(" AND (\n{}\n)", request_.where);
  }
  return fmt::format("SELECT {} FROM {} WHERE {}", list, from, where);
}

base::Result<bool> Cursor::load() {
  if (by_pages_) {
    base::Result<bool> loaded = load_pages();
    if (loaded || loaded.error().code != base::Code::kNotFound) return loaded;
    // DuckDB goes on behind the last row that was given.
    by_pages_ = false;
    rows_ = nullptr;
    page_reader_.reset();
    files_.erase(files_.begin(), files_.begin() + static_cast<std::ptrdiff_t>(page_file_));
  }
  return load_chunk();
}

// What DuckDB is to read must be what was written.
base::Status Cursor::verify() const {
  std::set<std::string> columns = {"n", "time"};
  for (const SlotSource& source : plan_.slots) {
    columns.insert(source.from == SlotSource::From::kTime     ? "time"
                   : source.from == SlotSource::From::kPoints ? "points"
                                                              : source.column);
  }
  for (uint32_t extra = 0; extra < kExtras; ++extra) {
    if (wants_extra(extra)) columns.emplace(kExtraColumns[extra]);
  }
  for (const ColumnSpec& spec : plan_.layout->columns) {
    if (request_.where.find(sql_name(spec.column)) != std::string::npos ||
        request_.where.find(spec.column) != std::string::npos)
      columns.insert(spec.column);
  }
  return verify_files(files_, &columns, 1, nullptr);
}

base::Result<bool> Cursor::load_chunk() {
  if (!connection_) {
    TAMIS_CHECK(verify());
    TAMIS_TRY(connection, Connection::open(database_));
    connection_ = std::make_unique<Connection>(std::move(connection));
    TAMIS_TRY(stream, Stream::open(*connection_, sql()));
    stream_ = std::move(stream);
  }
  Chunk chunk;
  do {
    TAMIS_TRY(next, stream_->next());
    if (!next) return false;
    chunk = std::move(next);
  } while (chunk.rows() == 0);
  // Whoever still looks at the rows before keeps them.
  if (rows_ == nullptr || rows_.use_count() > 1) {
    rows_ = std::make_shared<Rows>(std::move(chunk));
  } else {
    rows_->arena.reset();
    rows_->chunk = std::move(chunk);
  }
  Rows& rows = *rows_;
  at = 0;
  rows.rows = rows.chunk.rows();
  rows.n = rows.chunk.data<uint64_t>(0);
  rows.time_ms.resize(rows.rows);
  const auto* time_us = rows.chunk.data<int64_t>(1);
  for (uint32_t i = 0; i < rows.rows; ++i) rows.time_ms[i] = (time_us[i] >= 0 ? time_us[i] : time_us[i] - 999) / 1'000;
  rows.columns.assign(plan_.slots.size(), cel::Column());
  for (size_t slot = 0; slot < plan_.slots.size(); ++slot)
    read_slot(rows, slot, kFixedColumns + static_cast<uint32_t>(slot));
  derive(rows);
  auto column = kFixedColumns + static_cast<uint32_t>(plan_.slots.size());
  for (uint32_t extra = 0; extra < kExtras; ++extra) {
    if (!wants_extra(extra)) continue;
    if (extra == kExtraPoints) {
      rows.points = rows.chunk.data<double>(column);
      if (rows.chunk.validity(column) != nullptr) {
        auto* points = rows.arena.allocate_array<double>(rows.rows);
        for (uint32_t i = 0; i < rows.rows; ++i) points[i] = rows.chunk.is_null(column, i) ? 0 : rows.points[i];
        rows.points = points;
      }
    } else {
      const bool list = extra == kExtraRules || extra == kExtraShadow;
      rows.texts[extra] = list ? joined_texts_of(rows, column) : texts_of(rows, column);
    }
    ++column;
  }
  return true;
}

const uint8_t* Cursor::states_of(Rows& rows, uint32_t column) {
  const uint64_t* valid = rows.chunk.validity(column);
  if (valid == nullptr) return nullptr;
  auto* states = rows.arena.allocate_array<uint8_t>(rows.rows);
  for (uint32_t i = 0; i < rows.rows; ++i)
    states[i] = (valid[i / 64] >> (i % 64) & 1) != 0 ? cel::Column::kOk : cel::Column::kAbsentRow;
  return states;
}

const std::string_view* Cursor::texts_of(Rows& rows, uint32_t column) {
  auto* texts = rows.arena.allocate_array<std::string_view>(rows.rows);
  const auto* from = rows.chunk.data<duckdb_string_t>(column);
  const uint64_t* valid = rows.chunk.validity(column);
  for (uint32_t i = 0; i < rows.rows; ++i) {
    const bool good = valid == nullptr || (valid[i / 64] >> (i % 64) & 1) != 0;
    new (&texts[i]) std::string_view(good ? text_of(from[i]) : std::string_view());
  }
  return texts;
}

// Lists of ids as one text a row, each id followed by a line feed.
const std::string_view* Cursor::joined_texts_of(Rows& rows, uint32_t column) {
  auto* texts = rows.arena.allocate_array<std::string_view>(rows.rows);
  const auto* lists = rows.chunk.data<duckdb_list_entry>(column);
  const duckdb_string_t* items = rows.chunk.items(column);
  const uint64_t* valid = rows.chunk.validity(column);
  for (uint32_t row = 0; row < rows.rows; ++row) {
    new (&texts[row]) std::string_view();
    if ((valid != nullptr && (valid[row / 64] >> (row % 64) & 1) == 0) || lists[row].length == 0) continue;
    size_t bytes = 0;
    for (uint64_t i = 0; i < lists[row].length; ++i) bytes += items[lists[row].offset + i].value.inlined.length + 1;
    char* to = static_cast<char*>(rows.arena.allocate(bytes, 1));
    texts[row] = {to, bytes};
    for (uint64_t i = 0; i < lists[row].length; ++i) {
      const std::string_view id = text_of(items[lists[row].offset + i]);
      std::memcpy(to, id.data(), id.size());
      to[id.size()] = '\n';
      to += id.size() + 1;
    }
  }
  return texts;
}

void Cursor::read_slot(Rows& rows, size_t slot, uint32_t column) {
  using In = cel::Column::Layout;
  const SlotSource& source = plan_.slots[slot];
  cel::Column& to = rows.columns[slot];
  const uint8_t* states = states_of(rows, column);
  if (source.from == SlotSource::From::kTime || source.type == ColumnType::kTimestamp) {
    to = column_with(In::kTimestamp, states);
    to.ints = rows.chunk.data<int64_t>(column);
    return;
  }
  if (source.from == SlotSource::From::kPoints || source.type == ColumnType::kDouble) {
    to = column_with(In::kDouble, states);
    to.doubles = rows.chunk.data<double>(column);
    return;
  }
  if (source.from == SlotSource::From::kDerived) return;
  switch (source.type) {
    case ColumnType::kBool:
      to = column_with(In::kBool, states);
      to.bools = rows.chunk.data<uint8_t>(column);
      return;
    case ColumnType::kInt:
      to = column_with(In::kInt, states);
      to.ints = rows.chunk.data<int64_t>(column);
      return;
    case ColumnType::kUint:
      to = column_with(In::kUint, states);
      to.uints = rows.chunk.data<uint64_t>(column);
      return;
    case ColumnType::kDuration:
      to = column_with(In::kDuration, states);
      to.ints = rows.chunk.data<int64_t>(column);
      return;
    case ColumnType::kString:
    case ColumnType::kBytes:
      to = column_with(source.type == ColumnType::kString ? In::kString : In::kBytes, states);
      to.texts = texts_of(rows, column);
      return;
    default:
      return read_json(rows, source, column, to);
  }
}

// JSON is read as the event's own reader does, so that a list of timestamps becomes one again.
void Cursor::read_json(Rows& rows, const SlotSource& source, uint32_t column, cel::Column& to) {
  event::EventSchema schema;
  event::Field field;
  field.name = "v";
  field.type = source.slot_type;
  field.path = {"v"};
  schema.fields.push_back(std::move(field));
  schema.seal();
  auto* values = rows.arena.allocate_array<Value>(rows.rows);
  std::string json;
  Value slot;
  event::Event event;
  event.schema = &schema;
  event.slots = {&slot, 1};
  for (uint32_t i = 0; i < rows.rows; ++i) {
    values[i] = Value::absent();
    if (rows.chunk.is_null(column, i)) continue;
    json.assign("{\"v\":").append(rows.chunk.text(column, i)).append("}");
    slot = Value::absent();
    if (json_.parse(json) && json_.read(event, rows.arena)) values[i] = event::deep_copy(slot, rows.arena);
  }
  to.layout = cel::Column::Layout::kValues;
  to.values = values;
}

void Cursor::derive(Rows& rows) {
  event::EventSchema schema;
  std::vector<size_t> places;
  for (size_t i = 0; i < plan_.slots.size(); ++i) {
    if (plan_.slots[i].from != SlotSource::From::kDerived) continue;
    schema.derived.push_back(plan_.slots[i].derived);
    places.push_back(i);
  }
  if (places.empty()) return;
  schema.fields = request_.type->schema.fields;
  std::vector<Value> slots(static_cast<size_t>(request_.type->slot_count));
  std::vector<Value*> out;
  for (const size_t place : places) {
    auto* values = rows.arena.allocate_array<Value>(rows.rows);
    rows.columns[place].layout = cel::Column::Layout::kValues;
    rows.columns[place].values = values;
    out.push_back(values);
  }
  event::Event event;
  event.schema = &schema;
  event.slots = slots;
  for (uint32_t row = 0; row < rows.rows; ++row) {
    for (const size_t place : places) {
      const auto column = kFixedColumns + static_cast<uint32_t>(place);
      Value& source = slots[static_cast<size_t>(plan_.slots[place].derived.source)];
      source = rows.chunk.is_null(column, row) ? Value::absent() : Value::string(rows.chunk.text(column, row));
    }
    event::derive(event, nullptr, rows.arena);
    for (size_t i = 0; i < places.size(); ++i)
      out[i][row] = slots[static_cast<size_t>(plan_.slots[places[i]].derived.slot)];
  }
}

}  // namespace tamis::archive
