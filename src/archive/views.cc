// The tables that SQL sees: for each type, the files of one layout are read together, and layouts are put under each
// other with NULL for what an older one does not have. DuckDB's union_by_name would open every file to find that out.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "archive/archive_impl.h"

namespace tamis::archive {
namespace {

constexpr std::string_view kEventColumns[] = {"n",       "time",   "received", "type", "id",    "policy",
                                              "verdict", "points", "score",    "late", "rules", "shadow"};

struct Group {
  const Layout* layout;
  std::vector<FilePointer> files;
};

std::vector<Group> groups_of(const std::vector<FilePointer>& files) {
  std::vector<Group> groups;
  for (const FilePointer& file : files) {
    auto same = [&](const Group& g) { return g.layout == file->layout.get() || *g.layout == *file->layout; };
    auto at = std::find_if(groups.begin(), groups.end(), same);
    if (at == groups.end()) at = groups.insert(groups.end(), {file->layout.get(), {}});
    at->files.push_back(file);
  }
  return groups;
}

std::string_view common_type(std::string_view a, std::string_view b) {
  auto is_number = [](std::string_view type) { return type == "BIGINT" || type == "UBIGINT" || type == "DOUBLE"; };
  if (a == b) return a;
  return is_number(a) && is_number(b) ? "DOUBLE" : "VARCHAR";
}

struct TableColumn {
  std::string name;
  std::string_view type;
};

std::vector<TableColumn> columns_of(const std::vector<Group>& groups) {
  std::vector<TableColumn> columns;
  for (const Group& group : groups) {
    for (const ColumnSpec& spec : group.layout->columns) {
      auto same = [&](const TableColumn& c) { return c.name == spec.column; };
      auto at = std::find_if(columns.begin(), columns.end(), same);
      if (at == columns.end()) {
        columns.push_back({spec.column, sql_type(spec.type)});
      } else {
        at->type = common_type(at->type, sql_type(spec.type));
      }
    }
  }
  return columns;
}

std::string select_of(const Group& group, const std::vector<TableColumn>& columns) {
  std::string list;
  for (const TableColumn& column : columns) {
    if (!list.empty()) list += ", ";
    const std::string name = sql_name(column.name);
    auto same = [&](const ColumnSpec& spec) { return spec.column == column.name; };
    auto spec = std::find_if(group.layout->columns.begin(), group.layout->columns.end(), same);
    const bool there = spec != group.layout->columns.end() && !spec->dropped;
    std::string value = there ? name : fmt::format("NULL::{}", column.type);
    if (there && sql_type(spec->type) != column.type) value = fmt::format("TRY_CAST({} AS {})", name, column.type);
    list += value == name ? name : fmt::format("{} AS {}", value, name);
  }
  return fmt::format("SELECT {} FROM {}", list, read_sql(group.files));
}

}  // namespace

std::string empty_table(const std::vector<ColumnSpec>& columns) {
  std::string list;
  for (const ColumnSpec& spec : columns) {
    list += fmt::format("{}NULL::{} AS {}", list.empty() ? "" : ", ", sql_type(spec.type), sql_name(spec.column));
  }
  return fmt::format("SELECT {} WHERE false", list);
}

std::string read_sql(const std::vector<FilePointer>& files) {
  std::string list;
  for (const FilePointer& file : files) list += (list.empty() ? "" : ", ") + sql_text(file->absolute);
  return fmt::format("read_parquet([{}], hive_partitioning = false)", list);
}

std::string table_sql(const std::vector<FilePointer>& files) {
  if (files.empty()) return empty_table(system_columns());
  std::vector<Group> groups = groups_of(files);
  // The newest layout gives the order of the columns.
  std::reverse(groups.begin(), groups.end());
  const std::vector<TableColumn> columns = columns_of(groups);
  std::string sql;
  for (auto group = groups.rbegin(); group != groups.rend(); ++group)
    sql += (sql.empty() ? "" : "\nUNION ALL ") + select_of(*group, columns);
  return sql;
}

std::string events_sql(const Manifest& manifest) {
  std::map<std::string, std::vector<FilePointer>> types;
  for (const FilePointer& file : manifest.files) {
    if (!file->type.empty()) types[file->type].push_back(file);
  }
  std::string sql;
  auto add = [&](const std::string& from, const std::string& type) {
    std::string list;
    for (const std::string_view column : kEventColumns)
      list += fmt::format("{}{}", list.empty() ? "" : ", ",
                          column == "type" ? fmt::format("{} AS \"type\"", type) : sql_name(column));
    sql += fmt::format("{}SELECT {} FROM ({})", sql.empty() ? "" : "\nUNION ALL ", list, from);
  };
  for (const auto& [type, files] : types) add(table_sql(files), sql_text(type));
  if (types.empty()) add(empty_table(system_columns()), "NULL::VARCHAR");
  return sql;
}

std::string acts_sql(const Manifest& manifest) {
  const std::vector<FilePointer> files = manifest.files_of("");
  return files.empty() ? empty_table(acts_layout().columns) : table_sql(files);
}

// What each source said last about a thing, unless it took that back; of these the last one counts.
std::string truth_sql(const Manifest& manifest) {
  return fmt::format(
      "SELECT kind, value, name AS label, author, time FROM (SELECT * FROM ({}) WHERE act IN ('truth', 'truth_clear') "
      "QUALIFY row_number() OVER (PARTITION BY kind, value, author ORDER BY n DESC) = 1) WHERE act = 'truth' "
      "QUALIFY row_number() OVER (PARTITION BY kind, value ORDER BY n DESC) = 1",
      acts_sql(manifest));
}

}  // namespace tamis::archive
