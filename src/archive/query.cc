// SQL of people. What DuckDB takes as one SELECT is run, nothing else; the instance itself can reach no file outside of
// the archive's folder and no network, whatever the SQL says.
#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "archive/archive_impl.h"
#include "archive/watch.h"
#include "event/json_writer.h"

namespace tamis::archive {
namespace {

constexpr size_t kSqlBytesMax = 1 << 20;
constexpr uint64_t kAnswerBytesMax = uint64_t{256} << 20;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
bool is_word(char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || (c >= '0' && c <= '9'); }

// Enough of a lexer to find the first words behind blanks and comments.
std::string_view skip_blanks(std::string_view sql) {
  while (!sql.empty()) {
    if (is_space(sql.front())) {
      sql.remove_prefix(1);
    } else if (sql.starts_with("--")) {
      sql.remove_prefix(std::min(sql.find('\n'), sql.size()));
    } else if (sql.starts_with("/*")) {
      const size_t end = sql.find("*/", 2);
      sql.remove_prefix(end == std::string_view::npos ? sql.size() : end + 2);
    } else {
      break;
    }
  }
  return sql;
}

std::string first_word(std::string_view sql) {
  std::string word;
  for (size_t i = 0; i < sql.size() && is_word(sql[i]); ++i) word += lower(sql[i]);
  return word;
}

bool take_word(std::string_view& sql, std::string_view word) {
  const std::string_view rest = skip_blanks(sql);
  if (first_word(rest) != word) return false;
  sql = skip_blanks(rest.substr(word.size()));
  return true;
}

// What EXPLAIN [ANALYZE] [(options)] explains: with ANALYZE that is executed. Empty: no EXPLAIN.
std::string_view explained(std::string_view sql) {
  if (!take_word(sql, "explain")) return {};
  take_word(sql, "analyze");
  take_word(sql, "analyse");
  if (sql.starts_with("(")) {
    std::string_view inner = sql.substr(1);
    const std::string word = first_word(skip_blanks(inner));
    if (word == "format" || word == "analyze" || word == "analyse")
      sql = skip_blanks(sql.substr(std::min(sql.find(')'), sql.size() - 1) + 1));
  }
  return sql;
}

// Whether a name occurs in the text at all; a table that does not need not be made known.
bool mentions(std::string_view sql, std::string_view name) {
  auto same = [](char a, char b) { return lower(a) == lower(b); };
  return std::search(sql.begin(), sql.end(), name.begin(), name.end(), same) != sql.end();
}

bool lists_tables(std::string_view sql) {
  for (const std::string_view word : {"show", "describe", "duckdb_", "information_schema", "pragma", "sqlite_master"}) {
    if (mentions(sql, word)) return true;
  }
  return false;
}

// Functions that a SELECT can call and that do more than read, take addresses of memory, or build SQL out of texts that
// this check does not see. DuckDB has no switch for them, and some end the process when access is denied.
constexpr std::string_view kDeniedBeginnings[] = {"read_",  "pragma_",   "enable_", "disable_", "verify_",
                                                  "arrow_", "write_",    "sniff_",  "copy_",    "import_",
                                                  "force_", "truncate_", "sleep_",  "check_"};
constexpr std::string_view kDenied[] = {
    "json_execute_serialized_sql", "query_table",      "seq_scan", "parquet_scan", "add_parquet_key", "which_secret",
    "test_vector_types",           "sql_auto_complete"};
constexpr std::string_view kDeniedCalls[] = {"query", "checkpoint", "glob"};  // as names of columns they are fine

bool is_denied(const std::string& word, std::string_view rest) {
  for (const std::string_view beginning : kDeniedBeginnings) {
    if (word.starts_with(beginning)) return true;
  }
  if (std::find(std::begin(kDenied), std::end(kDenied), word) != std::end(kDenied)) return true;
  if (std::find(std::begin(kDeniedCalls), std::end(kDeniedCalls), word) == std::end(kDeniedCalls)) return false;
  if (rest.starts_with("\"")) rest.remove_prefix(1);
  while (!rest.empty() && is_space(rest.front())) rest.remove_prefix(1);
  return rest.starts_with("(") || rest.starts_with("/*") || rest.starts_with("--");
}

// Looks into texts and comments, too: what a lexer of ours took for one need not be one for DuckDB.
base::Status check_words(std::string_view sql) {
  for (size_t i = 0; i < sql.size();) {
    if (!is_word(sql[i])) {
      ++i;
      continue;
    }
    const std::string word = first_word(sql.substr(i));
    i += word.size();
    if (!is_denied(word, sql.substr(i))) continue;
    return base::fail(base::Code::kDenied, fmt::format("\"{}\" is not allowed in queries", word));
  }
  return {};
}

// Compares what will be read with its hashes: of these columns, null: of all.
using Verify = std::function<base::Status(const std::set<std::string>* columns)>;

class Query {
 public:
  Query(Connection& connection, const QueryLimits& limits, const std::string& folder, Verify verify)
      : connection_(connection), limits_(limits), folder_(folder), verify_(std::move(verify)) {}

  base::Status make_tables(const Manifest& manifest, std::string_view sql);
  base::Result<Table> run(const Manifest& manifest, const std::string& sql);
  base::Error readable(base::Error error) const;
  // Those that the statement may read.
  static std::vector<FilePointer> files_of(const Manifest& manifest, std::string_view sql);

 private:
  base::Status verify(const Manifest& manifest, const std::string& sql) const;
  base::Status check_select(const std::string& sql) const;
  base::Status describe(const std::string& sql, Table& table) const;
  base::Status fetch(const std::string& sql, Table& table) const;
  Connection& connection_;
  const QueryLimits& limits_;
  const std::string& folder_;
  Verify verify_;
};

std::vector<FilePointer> Query::files_of(const Manifest& manifest, std::string_view sql) {
  const bool events = mentions(sql, "events"), acts = mentions(sql, "acts") || mentions(sql, "truth");
  std::vector<FilePointer> files;
  for (const FilePointer& file : manifest.files) {
    if (file->type.empty() ? acts : events || mentions(sql, table_of(file->type))) files.push_back(file);
  }
  return files;
}

// DuckDB's plan names the columns that it will read, and those alone are verified; names that occur in it for another
// reason do no harm.
base::Status Query::verify(const Manifest& manifest, const std::string& sql) const {
  std::string plan;
  TAMIS_TRY(stream, Stream::open(connection_, fmt::format("EXPLAIN (FORMAT json) {}", sql)));
  while (true) {
    TAMIS_TRY(chunk, stream->next());
    if (!chunk) break;
    for (uint32_t row = 0; row < chunk.rows(); ++row) plan += chunk.text(1, row);
  }
  std::set<std::string> columns;
  const Layout* before = nullptr;
  for (const FilePointer& file : manifest.files) {
    if (file->layout.get() == before) continue;
    before = file->layout.get();
    for (const ColumnSpec& spec : before->columns) {
      std::string quoted;  // as JSON
      event::JsonWriter(quoted).string(spec.column);
      const std::string inner = quoted.substr(1, quoted.size() - 2);
      if (plan.find(spec.column) != std::string::npos || plan.find(inner) != std::string::npos)
        columns.insert(spec.column);
    }
  }
  return verify_(&columns);
}

base::Status Query::make_tables(const Manifest& manifest, std::string_view sql) {
  const bool all = lists_tables(sql);
  auto make = [&](std::string_view name, auto&& select) -> base::Status {
    if (!all && !mentions(sql, name)) return {};
    return connection_.run(fmt::format("CREATE TEMP VIEW {} AS {}", sql_name(name), select()));
  };
  std::map<std::string, std::vector<FilePointer>> types;
  for (const FilePointer& file : manifest.files) {
    if (!file->type.empty()) types[file->type].push_back(file);
  }
  for (const auto& type : types) TAMIS_CHECK(make(table_of(type.first), [&] { return table_sql(type.second); }));
  for (const auto& bare : manifest.bare)
    TAMIS_CHECK(make(table_of(bare.first), [&] { return empty_table(bare.second->columns); }));
  TAMIS_CHECK(make("events", [&] { return events_sql(manifest); }));
  TAMIS_CHECK(make("acts", [&] { return acts_sql(manifest); }));
  return make("truth", [&] { return truth_sql(manifest); });
}

// Preparing a statement can change things already: EXPORT makes its folder then.
bool begins_as_reading(std::string_view sql) {
  sql = skip_blanks(sql);
  if (sql.starts_with("(")) return true;
  const std::string word = first_word(sql);
  for (const std::string_view good :
       {"select", "with", "from", "values", "describe", "desc", "summarize", "show", "pivot", "unpivot", "table"}) {
    if (word == good) return true;
  }
  return false;
}

base::Status Query::check_select(const std::string& sql) const {
  if (!begins_as_reading(sql)) {
    return base::fail(base::Code::kDenied,
                      "only what reads is allowed: SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN");
  }
  const Duck& duck = connection_.duck();
  duckdb_extracted_statements statements = nullptr;
  const uint64_t count = duck.extract_statements(connection_.handle(), sql.c_str(), &statements);
  base::Status status;
  duckdb_prepared_statement prepared = nullptr;
  if (count == 0) {
    const char* error = duck.extract_statements_error(statements);
    status = base::invalid(error == nullptr || *error == '\0' ? "expected a statement" : error);
  } else if (count != 1) {
    status = base::invalid(fmt::format("expected one statement, found {}", count));
  } else if (duck.prepare_extracted_statement(connection_.handle(), statements, 0, &prepared) != DuckDBSuccess) {
    const char* error = duck.prepare_error(prepared);
    status = base::invalid(error == nullptr ? "the statement cannot be prepared" : error);
  } else if (duck.prepared_statement_type(prepared) != DUCKDB_STATEMENT_TYPE_SELECT) {
    status = base::fail(base::Code::kDenied,
                        "only what reads is allowed: SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN");
  }
  if (prepared != nullptr) duck.destroy_prepare(&prepared);
  duck.destroy_extracted(&statements);
  return status;
}

// The statement without the semicolon at its end, so that it can stand in brackets.
std::string without_end(std::string_view sql) {
  size_t semicolon = std::string_view::npos;
  char quote = 0;
  for (size_t i = 0; i < sql.size(); ++i) {
    const char c = sql[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (sql.substr(i).starts_with("--")) {
      i = std::min(sql.find('\n', i), sql.size() - 1);
    } else if (sql.substr(i).starts_with("/*")) {
      i = std::min(sql.find("*/", i + 2), sql.size() - 2) + 1;
    } else if (c == ';' && skip_blanks(sql.substr(i + 1)).empty()) {
      semicolon = i;
    }
  }
  return std::string(sql.substr(0, semicolon));
}

base::Status Query::describe(const std::string& sql, Table& table) const {
  TAMIS_TRY(stream, Stream::open(connection_, fmt::format("DESCRIBE SELECT * FROM ({}\n)", sql)));
  while (true) {
    TAMIS_TRY(chunk, stream->next());
    if (!chunk) return {};
    for (uint32_t row = 0; row < chunk.rows(); ++row)
      table.columns.push_back({std::string(chunk.text(0, row)), std::string(chunk.text(1, row))});
  }
}

base::Status Query::fetch(const std::string& sql, Table& table) const {
  TAMIS_TRY(stream, Stream::open(connection_, sql));
  uint64_t bytes = 0;
  while (true) {
    TAMIS_TRY(chunk, stream->next());
    if (!chunk) return {};
    for (uint32_t row = 0; row < chunk.rows(); ++row) {
      if (table.rows.size() >= limits_.rows_max || bytes > kAnswerBytesMax) {
        table.cut = true;
        return {};
      }
      std::vector<std::string> cells;
      std::vector<bool> nulls;
      for (uint32_t column = 0; column < table.columns.size(); ++column) {
        nulls.push_back(chunk.is_null(column, row));
        cells.emplace_back(nulls.back() ? std::string_view() : chunk.text(column, row));
        bytes += cells.back().size() + sizeof(std::string);
      }
      table.rows.push_back(std::move(cells));
      table.nulls.push_back(std::move(nulls));
    }
  }
}

base::Result<Table> Query::run(const Manifest& manifest, const std::string& sql) {
  Table table;
  if (const std::string_view inner = explained(sql); !inner.empty()) {
    TAMIS_CHECK(check_select(std::string(inner)));
    TAMIS_CHECK(verify_(nullptr));
    table.columns = {{"explain_key", "VARCHAR"}, {"explain_value", "VARCHAR"}};
    TAMIS_CHECK(fetch(sql, table));
    return table;
  }
  TAMIS_CHECK(check_select(sql));
  const std::string plain = without_end(sql);
  TAMIS_CHECK(describe(plain, table));
  // Every cell as the text that DuckDB itself makes of it. The columns get names of ours, as theirs may repeat.
  std::string cells, names;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    cells += fmt::format("{}c{}::VARCHAR", i == 0 ? "" : ", ", i);
    names += fmt::format("{}c{}", i == 0 ? "" : ", ", i);
  }
  const std::string answer = fmt::format("SELECT {} FROM ({}\n) AS answer({})", cells, plain, names);
  TAMIS_CHECK(verify(manifest, answer));
  TAMIS_CHECK(fetch(answer, table));
  return table;
}

// Where the archive lies is nobody's business who may only ask it.
base::Error Query::readable(base::Error error) const {
  for (size_t at = error.message.find(folder_); at != std::string::npos; at = error.message.find(folder_, at))
    error.message.erase(at, folder_.size() + (error.message.substr(at + folder_.size(), 1) == "/" ? 1 : 0));
  return error;
}

}  // namespace

base::Result<Table> ArchiveImpl::query(std::string_view sql, const QueryLimits& limits,
                                       const std::function<bool()>& keep_going) const {
  if (sql.size() > kSqlBytesMax)
    return base::fail(base::Code::kLimit,
                      fmt::format("the SQL has {} bytes, at most {} are read", sql.size(), kSqlBytesMax));
  if (sql.find('\0') != std::string_view::npos) return base::invalid("the SQL holds a zero byte");
  TAMIS_CHECK(check_words(sql));
  TAMIS_TRY(database, reader());
  TAMIS_TRY(manifest, current());
  TAMIS_TRY(connection, Connection::open(*database));
  Watch watch(connection, limits.time_ms, keep_going);
  const std::vector<FilePointer> files = Query::files_of(*manifest, sql);
  auto verify = [&](const std::set<std::string>* columns) {
    return verify_files(files, columns, options_.threads, [&watch] { return !watch.late() && !watch.unwanted(); });
  };
  Query query(connection, limits, folder_, verify);
  const std::string text(sql);
  // DuckDB looks into files already when it prepares a statement: that they are there and whose their footers are must
  // be known by then.
  const std::set<std::string> no_columns;
  base::Status made = verify(&no_columns);
  if (made) made = query.make_tables(*manifest, sql);
  base::Result<Table> table =
      made ? query.run(*manifest, text) : base::Result<Table>(tl::unexpected<base::Error>(made.error()));
  if (table) return table;
  if (watch.late())
    return base::fail(base::Code::kLimit, fmt::format("the query was stopped after {} ms", limits.time_ms));
  if (watch.unwanted()) return base::fail(base::Code::kUnavailable, "the query was stopped");
  base::Error error = query.readable(std::move(table).error());
  if (error.message.starts_with("Out of Memory")) error.code = base::Code::kLimit;
  return tl::unexpected<base::Error>(std::move(error));
}

}  // namespace tamis::archive
