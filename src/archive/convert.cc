#include "archive/convert.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "archive/duck.h"
#include "base/arena.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "event/time_text.h"

namespace tamis::archive {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLineBytesMax = "2097152";
constexpr uint64_t kMemoryBytes = 512ull << 20;
constexpr size_t kMessageBytesMax = 600;

enum class Form : uint8_t { kCsv, kParquet, kLines, kNone };

Form form_of(std::string_view path) {
  auto drop = [&](std::string_view ending) {
    if (!path.ends_with(ending)) return false;
    path.remove_suffix(ending.size());
    return true;
  };
  if (path.ends_with(".parquet")) return Form::kParquet;
  bool packed = drop(".gz") || drop(".zst");
  if (path.ends_with(".csv") || path.ends_with(".tsv")) return Form::kCsv;
  if (packed && (path.ends_with(".jsonl") || path.ends_with(".ndjson") || path.ends_with(".json"))) return Form::kLines;
  return Form::kNone;
}

// A name of a file is no pattern.
std::string file_text(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c == '*' || c == '?' || c == '[') {
      out.append("[").append(1, c).append("]");
    } else {
      out += c;
    }
  }
  return sql_text(out);
}

// What the policy reads at a path; where types differ, text wins.
enum class Want : uint8_t { kNothing, kBool, kPlain, kTime, kText };

struct Wanted {
  std::vector<std::string> path;
  Want want = Want::kNothing;
};

std::string joined(const std::vector<std::string>& path) {
  std::string out;
  for (const std::string& key : path) out.append(out.empty() ? "" : ".").append(key);
  return out;
}

Want want_of(const event::Type& type) {
  switch (type.kind) {
    case event::Type::Kind::kBool:
      return Want::kBool;
    case event::Type::Kind::kString:
    case event::Type::Kind::kBytes:
      return Want::kText;
    case event::Type::Kind::kTimestamp:
      return Want::kTime;
    default:
      return Want::kPlain;
  }
}

std::map<std::string, Wanted> wanted_of(const policy::Policy& policy) {
  std::map<std::string, Wanted> all;
  auto add = [&](const std::vector<std::string>& path, Want want) {
    Wanted& wanted = all[joined(path)];
    if (wanted.path.empty() || path.size() < wanted.path.size()) wanted.path = path;
    wanted.want = std::max(wanted.want, want);
  };
  add(policy.type_path, Want::kText);
  for (const policy::EventType& type : policy.types) {
    add(type.schema.id_path, Want::kText);
    add(type.schema.time_path, Want::kTime);
    for (const event::Field& field : type.schema.fields) {
      add(field.path.empty() ? std::vector<std::string>{field.name} : field.path, want_of(field.type));
    }
  }
  return all;
}

constexpr size_t kNamesShownMax = 200;
constexpr size_t kHeadBytesMax = 1 << 20;

enum class Source : uint8_t { kText, kPlain, kJson };

struct Column {
  std::string name, type;  // as the file has it
  std::vector<std::string> path;
  Want want = Want::kNothing;
  Source source = Source::kText;
  std::string sql;  // gives its text
};

bool is_number(std::string_view text) {
  if (text.empty() || !((text[0] >= '0' && text[0] <= '9') || text[0] == '-')) return false;
  size_t digits = text[0] == '-' ? 1 : 0;
  if (digits >= text.size() || text[digits] < '0' || text[digits] > '9') return false;
  if (text[digits] == '0' && digits + 1 < text.size() && text[digits + 1] >= '0' && text[digits + 1] <= '9')
    return false;
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && text.back() != '.';
}

// As spreadsheets, Python and databases write it. Empty: neither.
std::string_view bool_of(std::string_view text) {
  for (std::string_view word : {"true", "True", "TRUE", "1"}) {
    if (text == word) return "true";
  }
  for (std::string_view word : {"false", "False", "FALSE", "0"}) {
    if (text == word) return "false";
  }
  return {};
}

// RFC 3339, whatever the zone of the file.
std::string time_sql(const std::string& name, const std::string& type) {
  std::string utc = "CAST(" + name + " AS TIMESTAMP)";
  if (type == "TIMESTAMP WITH TIME ZONE") utc = "make_timestamp(epoch_us(" + name + "))";
  if (type == "VARCHAR") utc = "TRY_CAST(" + name + " AS TIMESTAMP)";
  std::string text = "strftime(" + utc + ", '%Y-%m-%dT%H:%M:%S.%fZ')";
  if (type != "VARCHAR") return text;
  // The cast passes over a zone as if it were not there.
  return "CASE WHEN regexp_matches(" + name + ", ':.*([-+]|[A-Za-z]{2})') THEN " + name + " ELSE COALESCE(" + text +
         ", " + name + ") END";
}

// A time with a zone as other programs write it, as RFC 3339 has it: "2026-01-02 03:04:05+01", "... +0100", "... UTC".
std::string zoned(std::string_view text) {
  std::string out(text);
  if (out.size() > 10 && out[10] == ' ') out[10] = 'T';
  for (std::string_view zone : {" UTC", "UTC", " GMT", "GMT"}) {
    if (!out.ends_with(zone)) continue;
    out.replace(out.size() - zone.size(), zone.size(), "Z");
    break;
  }
  size_t sign = out.find_last_of("+-");
  if (sign == std::string::npos || sign < std::string_view("2026-01-02T03:04:05").size()) return out;
  if (out[sign - 1] == ' ') out.erase(--sign, 1);
  const size_t digits = out.size() - sign - 1;
  if (digits == 2) out += ":00";
  if (digits == 4) out.insert(sign + 3, ":");
  return out;
}

bool is_time(std::string_view text) {
  int64_t seconds = 0;
  uint32_t nanos = 0;
  return event::parse_timestamp(text, seconds, nanos);
}

// `cell` is its name in SQL.
void plan_cell(Column& column, const std::string& cell) {
  static constexpr std::array<std::string_view, 11> kNumbers = {"TINYINT",  "SMALLINT",  "INTEGER",  "BIGINT",
                                                                "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
                                                                "HUGEINT",  "FLOAT",     "DOUBLE"};
  const std::string name = sql_name(cell);
  const std::string& type = column.type;
  column.sql = "CAST(" + name + " AS VARCHAR)";
  bool number = std::find(kNumbers.begin(), kNumbers.end(), type) != kNumbers.end() || type.starts_with("DECIMAL");
  if (number || type == "BOOLEAN") {
    column.source = Source::kPlain;
    // What is no number is how pandas writes that there is none.
    if (type == "FLOAT" || type == "DOUBLE")
      column.sql = "CASE WHEN NOT isnan(" + name + ") THEN " + column.sql + " END";
  } else if (type == "INTERVAL") {
    column.sql = "CAST(epoch(" + name + ") AS VARCHAR) || 's'";
  } else if (type.starts_with("TIMESTAMP") || type == "DATE") {
    column.sql = time_sql(name, type);
  } else if (type == "VARCHAR" && column.want == Want::kTime) {
    column.sql = time_sql(name, type);
  } else if (type == "BLOB") {
    column.sql = "base64(" + name + ")";
  } else if (type == "JSON" || type.ends_with("]") || type.starts_with("STRUCT") || type.starts_with("MAP")) {
    column.sql = "CAST(to_json(" + name + ") AS VARCHAR)";
    column.source = Source::kJson;
  }
}

// The event's object: keys in the order of the file, a path's keys below each other.
struct Node {
  std::string key;  // with quotes, escaped, and a colon
  int column = -1;  // or children
  std::vector<Node> children;
};

class DuckTable final : public TableFile {
 public:
  DuckTable(std::string path, Form form) : path_(std::move(path)), form_(form), head_ahead_(form == Form::kCsv) {}
  ~DuckTable() override {
    chunk_ = Chunk();
    stream_.reset();
  }

  base::Status start(const policy::Policy& policy) {
    std::error_code error;
    fs::path whole = fs::canonical(path_, error);
    if (error) return base::fail(base::Code::kNotFound, path_ + ": " + error.message());
    DatabaseOptions options;
    options.folder = whole.parent_path().string();
    options.temporary_folder = fs::temp_directory_path(error).string();
    options.threads = 1;
    options.bytes_max = kMemoryBytes;
    TAMIS_TRY(database, Database::open(options));
    database_ = std::move(database);
    TAMIS_TRY(connection, Connection::open(*database_));
    connection_ = std::make_unique<Connection>(std::move(connection));
    if (form_ == Form::kCsv) TAMIS_CHECK(read_head(whole.string()));
    source_ = source_of(whole.string(), form_);
    base::Status planned = form_ == Form::kLines ? base::Status() : plan(policy, whole.string());
    if (!planned) return planned;
    auto stream = Stream::open(*connection_, "SELECT " + select() + " FROM " + source_);
    if (!stream) return fault(stream.error());
    stream_ = std::move(*stream);
    return {};
  }

  base::Result<bool> next(std::string_view& json) override {
    while (true) {
      while (!chunk_ || at_ == chunk_.rows()) {
        auto chunk = stream_->next();
        if (!chunk) return tl::unexpected(fault(chunk.error()).error());
        if (!*chunk) return false;
        chunk_ = std::move(*chunk);
        at_ = 0;
      }
      uint32_t row = at_++;
      if (std::exchange(head_ahead_, false)) continue;
      ++row_;
      if (form_ == Form::kLines) {
        if (chunk_.is_null(0, row)) continue;
        json = chunk_.text(0, row);
        if (json.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        return true;
      }
      out_.clear();
      write(tree_, row);
      json = out_;
      return true;
    }
  }

  uint64_t row() const override { return row_; }
  uint64_t rows_total() const override { return total_; }

 private:
  // Separator and names of columns are those of the head. DuckDB would guess them from many rows, and pass over rows,
  // the head among them, until the rest is of one width.
  base::Status read_head(const std::string& whole) {
    auto lines = Stream::open(*connection_, "SELECT line FROM " + source_of(whole, Form::kLines));
    if (!lines) return fault(lines.error());
    std::string head;
    while (head.size() < kHeadBytesMax) {
      auto chunk = (*lines)->next();
      if (!chunk) return fault(chunk.error());
      if (!*chunk) break;
      for (uint32_t row = 0; row < chunk->rows(); ++row) {
        if (chunk->is_null(0, row)) continue;
        head.append(head.empty() ? "" : "\n").append(chunk->text(0, row));
        if (std::count(head.begin(), head.end(), '"') % 2 == 0) return split_head(head);
        if (head.size() >= kHeadBytesMax) break;
      }
    }
    if (head.empty()) return base::invalid(path_ + ": the file is empty; expected a line with the names of columns");
    return base::invalid(path_ + ": a quote that opens in the line of names is not closed");
  }

  base::Status split_head(std::string_view head) {
    if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
    for (char c : {';', '\t', '|'}) {
      if (std::count(head.begin(), head.end(), c) > std::count(head.begin(), head.end(), separator_)) separator_ = c;
    }
    names_.emplace_back();
    bool quoted = false;
    for (size_t i = 0; i < head.size(); ++i) {
      if (head[i] == '"') {
        const bool doubled = quoted && i + 1 < head.size() && head[i + 1] == '"';
        if (doubled) names_.back() += head[i++];
        if (!doubled) quoted = !quoted;
      } else if (head[i] == separator_ && !quoted) {
        names_.emplace_back();
      } else {
        names_.back() += head[i];
      }
    }
    for (size_t i = 0; i < names_.size(); ++i) {
      if (names_[i].empty()) names_[i] = "column" + std::to_string(i);
    }
    return {};
  }

  // What DuckDB calls a column of CSV, whose own name may be that of another.
  static std::string cell_name(size_t index) { return "c" + std::to_string(index); }

  std::string source_of(const std::string& whole, Form form) const {
    std::string packed = whole.ends_with(".gz") ? "gzip" : whole.ends_with(".zst") ? "zstd" : "none";
    if (form == Form::kParquet) return "read_parquet(" + file_text(whole) + ")";
    std::string head = "read_csv(" + file_text(whole) + ", compression = '" + packed +
                       "', auto_detect = false, max_line_size = " + std::string(kLineBytesMax);
    if (form == Form::kCsv) {
      std::string columns;
      for (size_t i = 0; i < names_.size(); ++i) columns += (i == 0 ? "'" : ", '") + cell_name(i) + "': 'VARCHAR'";
      return head + ", columns = {" + columns +
             "}, header = false, null_padding = false, quote = '\"', escape = '\"', delim = '" + separator_ + "')";
    }
    // One column: a character that JSON cannot have separates the next. Lines end in LF or CR LF, which strict_mode
    // does not take side by side.
    return head +
           ", header = false, columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', "
           "nullstr = '\x02', new_line = '\\n', strict_mode = false)";
  }

  base::Status plan(const policy::Policy& policy, const std::string& whole) {
    std::map<std::string, Wanted> wanted = wanted_of(policy);
    for (size_t i = 0; i < names_.size(); ++i) add_column(names_[i], "VARCHAR", cell_name(i), wanted);
    if (form_ == Form::kParquet) TAMIS_CHECK(describe(wanted));
    TAMIS_CHECK(expect_known(wanted));
    for (size_t i = 0; i < columns_.size(); ++i) TAMIS_CHECK(place(static_cast<int>(i)));
    if (form_ != Form::kParquet) return {};
    auto total = connection_->number("SELECT CAST(sum(num_rows) AS BIGINT) FROM parquet_file_metadata(" +
                                     file_text(whole) + ")");
    total_ = total ? static_cast<uint64_t>(std::max<int64_t>(*total, 0)) : 0;
    return {};
  }

  base::Status describe(const std::map<std::string, Wanted>& wanted) {
    auto columns =
        Stream::open(*connection_, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM " + source_ + ")");
    if (!columns) return fault(columns.error());
    while (true) {
      auto chunk = (*columns)->next();
      if (!chunk) return fault(chunk.error());
      if (!*chunk) return {};
      for (uint32_t row = 0; row < chunk->rows(); ++row) {
        const std::string name(chunk->text(0, row));
        add_column(name, std::string(chunk->text(1, row)), name, wanted);
      }
    }
  }

  void add_column(const std::string& name, std::string type, const std::string& cell,
                  const std::map<std::string, Wanted>& wanted) {
    Column column;
    column.name = name;
    column.type = std::move(type);
    auto found = wanted.find(name);
    column.path = found == wanted.end() ? std::vector<std::string>{name} : found->second.path;
    if (found != wanted.end()) column.want = found->second.want;
    plan_cell(column, cell);
    columns_.push_back(std::move(column));
  }

  // A table of which the policy knows no column would become events that say nothing.
  base::Status expect_known(const std::map<std::string, Wanted>& wanted) {
    std::string names, expected;
    for (const Column& column : columns_) {
      for (const auto& [name, what] : wanted) {
        if (name == column.name || name.starts_with(column.name + ".")) return {};
      }
      if (names.size() < kNamesShownMax) names += (names.empty() ? "" : ", ") + column.name;
    }
    for (const auto& [name, what] : wanted) {
      if (expected.size() < kNamesShownMax && !name.empty()) expected += (expected.empty() ? "" : ", ") + name;
    }
    return base::invalid(path_ + ": the policy knows none of its columns (" + names + "); it knows " + expected);
  }

  base::Status place(int column) {
    const std::vector<std::string>& path = columns_[static_cast<size_t>(column)].path;
    Node* node = &tree_;
    for (size_t depth = 0; depth < path.size(); ++depth) {
      std::string key;
      event::append_json_string(key, path[depth]);
      key += ':';
      auto found =
          std::find_if(node->children.begin(), node->children.end(), [&](const Node& n) { return n.key == key; });
      bool last = depth + 1 == path.size();
      if (found != node->children.end() && (last || found->column >= 0)) {
        return base::invalid(path_ + ": the column \"" + joined(path) + "\" and another are the same key of an event");
      }
      if (found == node->children.end()) {
        node->children.push_back({std::move(key), last ? column : -1, {}});
        node = &node->children.back();
      } else {
        node = &*found;
      }
    }
    return {};
  }

  std::string select() const {
    if (form_ == Form::kLines) return "line";
    std::string out;
    for (const Column& column : columns_) out.append(out.empty() ? "" : ", ").append(column.sql);
    return out;
  }

  void write(const Node& node, uint32_t row) {
    out_ += '{';
    bool comma = false;
    for (const Node& child : node.children) {
      if (child.column >= 0 && chunk_.is_null(static_cast<uint32_t>(child.column), row)) continue;
      if (comma) out_ += ',';
      comma = true;
      out_ += child.key;
      child.column < 0 ? write(child, row) : cell(static_cast<uint32_t>(child.column), row);
    }
    out_ += '}';
  }

  void cell(uint32_t index, uint32_t row) {
    const Column& column = columns_[index];
    std::string_view text = chunk_.text(index, row);
    if (column.want == Want::kBool) {
      if (std::string_view word = bool_of(text); !word.empty()) text = word;
    }
    if (column.want == Want::kTime && column.source == Source::kText && !is_time(text)) {
      time_ = zoned(text);
      if (is_time(time_)) text = time_;
    }
    bool plain = is_number(text) || text == "true" || text == "false";
    if (column.source == Source::kText && column.want == Want::kPlain && is_composite(text)) {
      for (char c : text) out_ += c == '\n' || c == '\r' ? ' ' : c;
      return;
    }
    if (column.source == Source::kJson) return json_of(text);
    bool as_is = false;
    if (column.source == Source::kPlain) as_is = plain && column.want != Want::kText;
    if (column.source == Source::kText) {
      as_is = (column.want == Want::kBool && plain) || (column.want == Want::kPlain && plain) ||
              (column.want == Want::kTime && is_number(text));
    }
    if (as_is) {
      out_ += text;
    } else {
      event::append_json_string(out_, text);
    }
  }

  // What DuckDB writes as JSON is JSON but for NaN and the infinities, which JSON does not have: they are null.
  void json_of(std::string_view text) {
    bool quoted = false;
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '"') quoted = !quoted;
      if (quoted && c == '\\' && i + 1 < text.size()) out_ += text[i++];
      const size_t word = c == '-' ? i + 1 : i;
      if (!quoted && word < text.size() && (text[word] == 'N' || text[word] == 'I')) {
        i = std::min(text.find_first_of(",]}", word), text.size()) - 1;
        out_ += "null";
      } else {
        out_ += text[i];
      }
    }
  }

  // A list or map in a cell of text. What only looks like one stays text, so that the reader of events says what is
  // wrong with the field and not with the line.
  bool is_composite(std::string_view text) {
    if (text.size() < 2) return false;
    const bool bracketed = (text.front() == '[' && text.back() == ']') || (text.front() == '{' && text.back() == '}');
    if (!bracketed) return false;
    arena_.reset();
    return event::JsonReader::to_value(text, arena_).has_value();
  }

  // Its first lines: the rest are settings of a reader that is not the user's.
  base::Status fault(const base::Error& error) const {
    std::string message = error.message.substr(0, kMessageBytesMax);
    for (std::string_view rest : {"\nPossible fixes", "\nPossible Solution", "\n\n", "\n  file "}) {
      message = message.substr(0, message.find(rest));
    }
    std::replace(message.begin(), message.end(), '\n', ' ');
    std::string where = row_ == 0 ? "" : ", behind row " + std::to_string(row_);
    return base::invalid(path_ + where + ": " + message);
  }

  std::string path_;
  Form form_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Connection> connection_;
  std::string source_;
  std::vector<std::string> names_;  // of the columns of CSV
  std::vector<Column> columns_;
  char separator_ = ',';
  Node tree_;
  std::unique_ptr<Stream> stream_;
  Chunk chunk_;
  uint32_t at_ = 0;
  bool head_ahead_;  // the line of names comes first, behind what may be blank
  uint64_t row_ = 0, total_ = 0;
  std::string out_, time_;
  base::Arena arena_;
};

}  // namespace

bool is_table_file(std::string_view path) { return form_of(path) != Form::kNone; }

base::Result<std::unique_ptr<TableFile>> TableFile::open(const std::string& path, const policy::Policy& policy) {
  Form form = form_of(path);
  if (form == Form::kNone) return base::invalid(path + ": expected a name that ends in .csv, .tsv or .parquet");
  auto table = std::make_unique<DuckTable>(path, form);
  TAMIS_CHECK(table->start(policy));
  return std::unique_ptr<TableFile>(std::move(table));
}

}  // namespace tamis::archive
