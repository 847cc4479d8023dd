// Rows for people: all columns of a few records. Only files that can hold them are opened; within those, only the row
// groups whose range of numbers holds one are read, and of their columns no more rows than up to the last one wanted.
// What pages.h does not know, DuckDB reads.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <thread>

#include "archive/archive_impl.h"
#include "base/thread.h"
#include "event/json_writer.h"

namespace tamis::archive {
namespace {

// DuckDB spells numbers that JSON does not have.
void write_cell(event::JsonWriter& json, ColumnType type, std::string_view text) {
  const bool number = type == ColumnType::kBool || type == ColumnType::kInt || type == ColumnType::kUint ||
                      type == ColumnType::kDouble || type == ColumnType::kDuration;
  if (number && text.find_first_not_of("0123456789+-.eEtrufals") == std::string_view::npos) {
    json.raw(text);
  } else {
    json.string(text);
  }
}

void write_list(event::JsonWriter& json, const Chunk& chunk, uint32_t column, uint32_t row) {
  const auto list = chunk.data<duckdb_list_entry>(column)[row];
  const duckdb_string_t* items = chunk.items(column);
  json.begin_array();
  for (uint64_t i = 0; i < list.length; ++i) json.string(text_of(items[list.offset + i]));
  json.end_array();
}

// Of some records in one file.
using Rows = std::map<uint64_t, std::string>;

base::Status read_by_sql(Connection& connection, const DataFile& file, const std::vector<uint64_t>& numbers,
                         Rows& rows) {
  std::vector<const ColumnSpec*> columns;
  std::string list = "\"n\"", wanted;
  for (const ColumnSpec& spec : file.layout->columns) {
    if (spec.dropped) continue;
    columns.push_back(&spec);
    list += fmt::format(", {}{}", sql_name(spec.column), spec.type == ColumnType::kTexts ? "" : "::VARCHAR");
  }
  for (const uint64_t n : numbers) wanted += fmt::format("{}{}", wanted.empty() ? "" : ", ", n);
  TAMIS_TRY(stream,
            Stream::open(connection, fmt::format("SELECT {} FROM read_parquet([{}], hive_partitioning = false) WHERE "
                                                 "\"n\" IN ({})",
                                                 list, sql_text(file.absolute), wanted)));
  while (true) {
    TAMIS_TRY(chunk, stream->next());
    if (!chunk) return {};
    for (uint32_t row = 0; row < chunk.rows(); ++row) {
      std::string& text = rows[chunk.data<uint64_t>(0)[row]];
      text.clear();
      event::JsonWriter json(text);
      json.begin_object().key("type").string(file.type);
      for (uint32_t i = 0; i < columns.size(); ++i) {
        if (chunk.is_null(i + 1, row)) continue;
        json.key(columns[i]->column);
        if (columns[i]->type == ColumnType::kTexts) {
          write_list(json, chunk, i + 1, row);
        } else {
          write_cell(json, columns[i]->type, chunk.text(i + 1, row));
        }
      }
      json.end_object();
    }
  }
}

// As DuckDB writes them.
std::string time_text(int64_t micros) {
  const int64_t day = day_of(micros >= 0 ? micros / 1'000 : (micros - 999) / 1'000);
  const int64_t of_day = micros - day * kDayMs * 1'000;
  const int64_t seconds = of_day / 1'000'000;
  std::string text =
      fmt::format("{} {:02}:{:02}:{:02}", day_text(day), seconds / 3'600, seconds / 60 % 60, seconds % 60);
  if (of_day % 1'000'000 == 0) return text;
  text += fmt::format(".{:06}", of_day % 1'000'000);
  while (text.back() == '0') text.pop_back();
  return text;
}

std::string blob_text(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 32 && byte <= 126 && c != '\\' && c != '\'' && c != '"') {
      text += c;
    } else {
      text += fmt::format("\\x{:02X}", byte);
    }
  }
  return text;
}

void write_double(event::JsonWriter& json, int64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  if (std::isfinite(value)) {
    json.real(value);
  } else {
    json.string(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
  }
}

// False: the column is of another kind than the layout says.
bool write_cell(event::JsonWriter& json, ColumnType type, const PageColumn& column, uint32_t row) {
  using Kind = PageColumn::Kind;
  if (column.lists != (type == ColumnType::kTexts)) return false;
  if (column.lists) {
    json.begin_array();
    for (uint32_t i = row == 0 ? 0 : column.ends[row - 1]; i < column.ends[row]; ++i) json.string(column.text(i));
    json.end_array();
    return true;
  }
  const bool text = column.kind == Kind::kTexts || column.kind == Kind::kCodes;
  switch (type) {
    case ColumnType::kBool:
      if (column.kind != Kind::kBools) return false;
      json.boolean(column.bools[row] != 0);
      return true;
    case ColumnType::kString:
    case ColumnType::kJson:
      if (text) json.string(column.text(row));
      return text;
    case ColumnType::kBytes:
      if (text) json.string(blob_text(column.text(row)));
      return text;
    default:
      break;
  }
  if (column.kind != Kind::kNumbers) return false;
  const int64_t number = column.numbers[row];
  if (type == ColumnType::kDouble) {
    write_double(json, number);
  } else if (type == ColumnType::kTimestamp) {
    json.string(time_text(number));
  } else if (type == ColumnType::kUint) {
    json.uinteger(static_cast<uint64_t>(number));
  } else {
    json.integer(number);
  }
  return true;
}

// The records of one row group.
base::Status read_group(ParquetFile::Reader& reader, const DataFile& file, size_t group,
                        const std::vector<uint64_t>& numbers, PageColumn& column, Rows& rows) {
  const ParquetFile& parquet = reader.file();
  auto unlike = [&file] { return base::fail(base::Code::kNotFound, file.path + " is not what its layout says"); };
  const int32_t n = parquet.column("n");
  if (n < 0) return unlike();
  TAMIS_CHECK(reader.read(group, n, UINT32_MAX, column));
  if (column.kind != PageColumn::Kind::kNumbers || column.any_null) return unlike();
  std::vector<uint32_t> places;
  std::vector<std::string> texts;
  std::vector<event::JsonWriter> writers;
  std::vector<uint64_t> found;
  for (uint32_t row = 0; row < column.rows; ++row) {
    if (!std::binary_search(numbers.begin(), numbers.end(), static_cast<uint64_t>(column.numbers[row]))) continue;
    places.push_back(row);
    found.push_back(static_cast<uint64_t>(column.numbers[row]));
  }
  if (places.empty()) return {};
  texts.resize(places.size());
  for (std::string& text : texts) writers.emplace_back(text).begin_object().key("type").string(file.type);
  for (const ColumnSpec& spec : file.layout->columns) {
    if (spec.dropped) continue;
    const int32_t at = parquet.column(spec.column);
    if (at < 0) return unlike();
    TAMIS_CHECK(reader.read(group, at, places.back() + 1, column));
    for (size_t i = 0; i < places.size(); ++i) {
      if (column.is_null(places[i]) || column.kind == PageColumn::Kind::kNothing) continue;
      writers[i].key(spec.column);
      if (!write_cell(writers[i], spec.type, column, places[i])) return unlike();
    }
  }
  for (size_t i = 0; i < places.size(); ++i) {
    writers[i].end_object();
    rows[found[i]] = std::move(texts[i]);
  }
  return {};
}

struct Task {
  const DataFile* file = nullptr;
  std::shared_ptr<const ParquetFile> parquet;
  size_t group = 0;
  const std::vector<uint64_t>* numbers = nullptr;
};

// The row groups that can hold one of the numbers.
void add_tasks(const DataFile& file, const std::shared_ptr<const ParquetFile>& parquet,
               const std::vector<uint64_t>& numbers, std::vector<Task>& tasks) {
  const int32_t n = parquet->column("n");
  for (size_t g = 0; g < parquet->groups().size(); ++g) {
    if (n >= 0) {
      const ParquetFile::Chunk& chunk = parquet->groups()[g].chunks[static_cast<size_t>(n)];
      const auto at = std::lower_bound(numbers.begin(), numbers.end(), static_cast<uint64_t>(chunk.least));
      if (chunk.has_bounds && (at == numbers.end() || *at > static_cast<uint64_t>(chunk.most))) continue;
    }
    tasks.push_back({&file, parquet, g, &numbers});
  }
}

// Each task by one of several threads. False: pages.h does not know something in one of the files.
base::Result<bool> run_tasks(const std::vector<Task>& tasks, size_t threads, Rows& rows) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;  // of what follows
  base::Status status;
  auto work = [&] {
    PageColumn column;
    Rows own;
    for (size_t i = next++; i < tasks.size(); i = next++) {
      auto read = [&]() -> base::Status {
        TAMIS_TRY(reader, ParquetFile::Reader::open(tasks[i].parquet));
        return read_group(reader, *tasks[i].file, tasks[i].group, *tasks[i].numbers, column, own);
      };
      if (base::Status done = read(); !done) {
        std::lock_guard lock(mutex);
        status = std::move(done);
        next = tasks.size();
      }
    }
    std::lock_guard lock(mutex);
    rows.merge(own);
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(threads, tasks.size()); ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  if (status) return true;
  if (status.error().code == base::Code::kNotFound) return false;
  return tl::unexpected<base::Error>(std::move(status).error());
}

}  // namespace

base::Result<std::map<uint64_t, std::string>> ArchiveImpl::rows(std::string_view type,
                                                                const std::vector<uint64_t>& numbers) const {
  Rows rows;
  std::vector<uint64_t> wanted = numbers;
  std::sort(wanted.begin(), wanted.end());
  TAMIS_TRY(manifest, current());
  std::vector<std::pair<FilePointer, std::vector<uint64_t>>> files;
  for (const FilePointer& file : manifest->files) {
    if (file->type != type) continue;
    const auto from = std::lower_bound(wanted.begin(), wanted.end(), file->first);
    const auto to = std::upper_bound(from, wanted.end(), file->last);
    if (from == to) continue;
    if (file->lost) return tl::unexpected<base::Error>(lost_error(*file));
    files.emplace_back(file, std::vector<uint64_t>(from, to));
  }
  std::vector<Task> tasks;
  bool known = true;
  for (const auto& [file, of_file] : files) {
    auto parquet = file->parquet();
    if (!parquet && parquet.error().code != base::Code::kNotFound)
      return tl::unexpected<base::Error>(std::move(parquet).error());
    known = known && parquet;
    if (known) add_tasks(*file, *parquet, of_file, tasks);
  }
  if (known) {
    TAMIS_TRY(done, run_tasks(tasks, static_cast<size_t>(std::max(options_.threads, 1)), rows));
    if (done) return rows;
  }
  rows.clear();
  TAMIS_TRY(database, reader());
  TAMIS_TRY(connection, Connection::open(*database));
  for (const auto& [file, of_file] : files) TAMIS_CHECK(verify_files({file}, nullptr, 1, nullptr));
  for (const auto& [file, of_file] : files) TAMIS_CHECK(read_by_sql(connection, *file, of_file, rows));
  return rows;
}

}  // namespace tamis::archive
