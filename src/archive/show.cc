// Rows for people: all columns of a few records. Only files that can hold them are opened; within those, DuckDB reads
// the row groups whose range of numbers holds one.
#include <fmt/core.h>

#include <algorithm>

#include "archive/archive_impl.h"
#include "event/json_writer.h"

namespace tamis::archive {
namespace {

// DuckDB spells numbers that JSON does not have, and its own way of writing a list is a text.
void write_cell(event::JsonWriter& json, ColumnType type, std::string_view text) {
  const bool number = type == ColumnType::kBool || type == ColumnType::kInt || type == ColumnType::kUint ||
                      type == ColumnType::kDouble || type == ColumnType::kDuration;
  if (number && text.find_first_not_of("0123456789+-.eEtrufals") == std::string_view::npos) {
    json.raw(text);
  } else {
    json.string(text);
  }
}

// The rows of files of one layout.
base::Status read_group(Connection& connection, std::string_view type, const Layout& layout,
                        const std::vector<FilePointer>& files, const std::string& numbers,
                        std::map<uint64_t, std::string>& rows) {
  std::vector<const ColumnSpec*> columns;
  std::string list = "\"n\"";
  for (const ColumnSpec& spec : layout.columns) {
    if (spec.dropped) continue;
    columns.push_back(&spec);
    list += fmt::format(", {}::VARCHAR", sql_name(spec.column));
  }
  TAMIS_TRY(stream, Stream::open(connection,
                                 fmt::format("SELECT {} FROM {} WHERE \"n\" IN ({})", list, read_sql(files), numbers)));
  while (true) {
    TAMIS_TRY(chunk, stream->next());
    if (!chunk) return {};
    for (uint32_t row = 0; row < chunk.rows(); ++row) {
      std::string& text = rows[chunk.data<uint64_t>(0)[row]];
      text.clear();
      event::JsonWriter json(text);
      json.begin_object().key("type").string(type);
      for (uint32_t i = 0; i < columns.size(); ++i) {
        if (chunk.is_null(i + 1, row)) continue;
        json.key(columns[i]->column);
        write_cell(json, columns[i]->type, chunk.text(i + 1, row));
      }
      json.end_object();
    }
  }
}

}  // namespace

base::Result<std::map<uint64_t, std::string>> ArchiveImpl::rows(std::string_view type,
                                                                const std::vector<uint64_t>& numbers) const {
  std::map<uint64_t, std::string> rows;
  std::vector<uint64_t> wanted = numbers;
  std::sort(wanted.begin(), wanted.end());
  TAMIS_TRY(manifest, current());
  struct Group {
    const Layout* layout;
    std::vector<FilePointer> files;
    std::vector<uint64_t> numbers;
  };
  std::vector<Group> groups;
  for (const FilePointer& file : manifest->files) {
    if (file->type != type || file->lost) continue;
    const auto from = std::lower_bound(wanted.begin(), wanted.end(), file->first);
    const auto to = std::upper_bound(from, wanted.end(), file->last);
    if (from == to) continue;
    auto same = [&](const Group& group) { return *group.layout == *file->layout; };
    auto at = std::find_if(groups.begin(), groups.end(), same);
    if (at == groups.end()) at = groups.insert(groups.end(), {file->layout.get(), {}, {}});
    at->files.push_back(file);
    at->numbers.insert(at->numbers.end(), from, to);
  }
  if (groups.empty()) return rows;
  TAMIS_TRY(database, reader());
  TAMIS_TRY(connection, Connection::open(*database));
  for (const Group& group : groups) {
    std::string list;
    for (const uint64_t n : group.numbers) list += fmt::format("{}{}", list.empty() ? "" : ", ", n);
    TAMIS_CHECK(read_group(connection, type, *group.layout, group.files, list, rows));
  }
  return rows;
}

}  // namespace tamis::archive
