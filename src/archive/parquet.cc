#include "archive/parquet.h"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "archive/hashes.h"

namespace tamis::archive {

// What the table function tamis_rows() gives next.
struct ParquetWriter::Source {
  const Duck* duck = nullptr;
  const Layout* layout = nullptr;
  const std::vector<const char*>* rows = nullptr;
  size_t at = 0;
};

namespace {

// Measured on events of 28 fields. Row groups are small, because whoever wants to see one row reads its whole row
// group; larger dictionaries make up for what that costs in bytes. What is written beside the engine must cost little
// time.
constexpr std::string_view kParquetOptions =
    "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 10240, USE_TMP_FILE false";
constexpr uint64_t kVectorRows = 2'048;  // DuckDB makes row groups of whole ones
constexpr std::string_view kFresh = ", COMPRESSION_LEVEL 1";
constexpr std::string_view kLasting = ", COMPRESSION_LEVEL 3";

// Groups of about kGroupRows, all alike: a small last one would take half as many bytes a row again.
uint64_t group_rows(uint64_t rows) {
  const uint64_t groups = std::max<uint64_t>(1, (rows + kGroupRows / 2) / kGroupRows);
  const uint64_t each = (rows + groups - 1) / groups;
  return std::max<uint64_t>(1, (each + kVectorRows - 1) / kVectorRows) * kVectorRows;
}

duckdb_type duck_type(ColumnType type) {
  switch (type) {
    case ColumnType::kBool:
      return DUCKDB_TYPE_BOOLEAN;
    case ColumnType::kInt:
    case ColumnType::kDuration:
      return DUCKDB_TYPE_BIGINT;
    case ColumnType::kUint:
      return DUCKDB_TYPE_UBIGINT;
    case ColumnType::kDouble:
      return DUCKDB_TYPE_DOUBLE;
    case ColumnType::kString:
    case ColumnType::kJson:
      return DUCKDB_TYPE_VARCHAR;
    case ColumnType::kBytes:
      return DUCKDB_TYPE_BLOB;
    case ColumnType::kTimestamp:
      return DUCKDB_TYPE_TIMESTAMP;
    case ColumnType::kTexts:
      return DUCKDB_TYPE_LIST;
  }
  return DUCKDB_TYPE_VARCHAR;
}

using SourceOf = ParquetWriter::Source;

void bind_rows(duckdb_bind_info info) {
  const Duck& duck = **load_duck();
  const auto* source = static_cast<const SourceOf*>(duck.bind_get_extra_info(info));
  if (source->layout == nullptr) return duck.bind_set_error(info, "there are no rows to write");
  for (const ColumnSpec& spec : source->layout->columns) {
    const bool list = spec.type == ColumnType::kTexts;
    duckdb_logical_type type = duck.create_logical_type(list ? DUCKDB_TYPE_VARCHAR : duck_type(spec.type));
    duckdb_logical_type of_list = list ? duck.create_list_type(type) : nullptr;
    duck.bind_add_result_column(info, spec.column.c_str(), list ? of_list : type);
    duck.destroy_logical_type(&type);
    if (list) duck.destroy_logical_type(&of_list);
  }
}

// One thread, so that the rows stay in order.
void init_rows(duckdb_init_info info) { (*load_duck())->init_set_max_threads(info, 1); }

struct Target {
  duckdb_vector vector = nullptr;
  void* data = nullptr;
  uint64_t* validity = nullptr;  // made with the first null
  ColumnType type = ColumnType::kString;
  // kTexts
  duckdb_string_t* items = nullptr;
  size_t items_used = 0, items_reserved = 0;
};

// "a\nb\n" as [a, b].
void fill_texts(const Duck& duck, Target& target, size_t row, std::string_view texts) {
  auto& entry = static_cast<duckdb_list_entry*>(target.data)[row];
  entry.offset = target.items_used;
  while (!texts.empty()) {
    if (target.items_used == target.items_reserved) {
      // What was filled so far must be known to be moved.
      duck.list_vector_set_size(target.vector, target.items_used);
      target.items_reserved = target.items_reserved * 2 + 4'096;
      duck.list_vector_reserve(target.vector, target.items_reserved);
      target.items = static_cast<duckdb_string_t*>(duck.vector_get_data(duck.list_vector_get_child(target.vector)));
    }
    const size_t end = std::min(texts.find('\n'), texts.size() - 1);
    target.items[target.items_used++] = duck_text(texts.substr(0, end));
    texts.remove_prefix(end + 1);
  }
  entry.length = target.items_used - entry.offset;
}

const char* fill(const Duck& duck, Target& target, size_t row, const char* from) {
  switch (target.type) {
    case ColumnType::kBool:
      static_cast<bool*>(target.data)[row] = *from != 0;
      return from + 1;
    case ColumnType::kInt:
    case ColumnType::kUint:
    case ColumnType::kDouble:
    case ColumnType::kTimestamp:
    case ColumnType::kDuration:
      std::memcpy(static_cast<char*>(target.data) + row * 8, from, 8);
      return from + 8;
    case ColumnType::kString:
    case ColumnType::kBytes:
    case ColumnType::kJson:
    case ColumnType::kTexts:
      break;
  }
  uint32_t length;
  std::memcpy(&length, from, 4);
  if (target.type == ColumnType::kTexts) {
    fill_texts(duck, target, row, {from + 4, length});
    return from + 4 + length;
  }
  static_cast<duckdb_string_t*>(target.data)[row] = duck_text({from + 4, length});
  return from + 4 + length;
}

void fill_row(const Duck& duck, std::vector<Target>& targets, size_t row, const char* packed) {
  const char* mask = packed + 4;
  const char* from = mask + mask_bytes(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    Target& target = targets[i];
    if ((mask[i / 8] >> (i % 8) & 1) != 0) {
      from = fill(duck, target, row, from);
      continue;
    }
    if (target.validity == nullptr) {
      duck.vector_ensure_validity_writable(target.vector);
      target.validity = duck.vector_get_validity(target.vector);
    }
    target.validity[row / 64] &= ~(uint64_t{1} << (row % 64));
  }
}

void next_rows(duckdb_function_info info, duckdb_data_chunk output) {
  const Duck& duck = **load_duck();
  auto* source = static_cast<SourceOf*>(duck.function_get_extra_info(info));
  std::vector<Target> targets(source->layout->columns.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    targets[i].vector = duck.data_chunk_get_vector(output, i);
    targets[i].data = duck.vector_get_data(targets[i].vector);
    targets[i].type = source->layout->columns[i].type;
  }
  const size_t rows = std::min<size_t>(duck.vector_size(), source->rows->size() - source->at);
  for (size_t row = 0; row < rows; ++row) fill_row(duck, targets, row, (*source->rows)[source->at + row]);
  for (const Target& target : targets) {
    if (target.type == ColumnType::kTexts) duck.list_vector_set_size(target.vector, target.items_used);
  }
  source->at += rows;
  duck.data_chunk_set_size(output, rows);
}

void make_tokens(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  const Duck& duck = **load_duck();
  const auto& key = *static_cast<const std::string*>(duck.scalar_function_get_extra_info(info));
  const duckdb_vector from = duck.data_chunk_get_vector(input, 0);
  const auto* texts = static_cast<const duckdb_string_t*>(duck.vector_get_data(from));
  const uint64_t* valid = duck.vector_get_validity(from);
  const uint64_t rows = duck.data_chunk_get_size(input);
  for (uint64_t row = 0; row < rows; ++row) {
    if (valid != nullptr && (valid[row / 64] >> (row % 64) & 1) == 0) {
      duck.vector_ensure_validity_writable(output);
      duck.vector_get_validity(output)[row / 64] &= ~(uint64_t{1} << (row % 64));
      continue;
    }
    const std::string token = token_of(key, text_of(texts[row]));
    duck.vector_assign_string_element_len(output, row, token.data(), token.size());
  }
}

base::Status register_rows(Connection& connection, ParquetWriter::Source* source) {
  const Duck& duck = connection.duck();
  duckdb_table_function function = duck.create_table_function();
  duck.table_function_set_name(function, "tamis_rows");
  duck.table_function_set_extra_info(function, source, nullptr);
  duck.table_function_set_bind(function, bind_rows);
  duck.table_function_set_init(function, init_rows);
  duck.table_function_set_function(function, next_rows);
  const duckdb_state state = duck.register_table_function(connection.handle(), function);
  duck.destroy_table_function(&function);
  if (state != DuckDBSuccess) return base::fail(base::Code::kInternal, "DuckDB takes no table function");
  return {};
}

base::Status register_token(Connection& connection, std::string* key) {
  const Duck& duck = connection.duck();
  duckdb_scalar_function function = duck.create_scalar_function();
  duckdb_logical_type text = duck.create_logical_type(DUCKDB_TYPE_VARCHAR);
  duck.scalar_function_set_name(function, "tamis_token");
  duck.scalar_function_add_parameter(function, text);
  duck.scalar_function_set_return_type(function, text);
  duck.scalar_function_set_extra_info(function, key, nullptr);
  duck.scalar_function_set_function(function, make_tokens);
  const duckdb_state state = duck.register_scalar_function(connection.handle(), function);
  duck.destroy_logical_type(&text);
  duck.destroy_scalar_function(&function);
  if (state != DuckDBSuccess) return base::fail(base::Code::kInternal, "DuckDB takes no scalar function");
  return {};
}

}  // namespace

std::string token_of(std::string_view key, std::string_view value) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(value.data()),
       value.size(), digest, &length);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string token = "tok:";
  for (unsigned int i = 0; i < 16; ++i) {
    token += kDigits[digest[i] >> 4];
    token += kDigits[digest[i] & 15];
  }
  return token;
}

ParquetWriter::~ParquetWriter() = default;

base::Result<std::unique_ptr<ParquetWriter>> ParquetWriter::open(const DatabaseOptions& options) {
  std::unique_ptr<ParquetWriter> writer(new ParquetWriter);
  writer->source_ = std::make_unique<Source>();
  TAMIS_TRY(database, Database::open(options));
  writer->database_ = std::move(database);
  TAMIS_TRY(connection, Connection::open(*writer->database_));
  writer->connection_ = std::make_unique<Connection>(std::move(connection));
  TAMIS_CHECK(register_rows(*writer->connection_, writer->source_.get()));
  TAMIS_CHECK(register_token(*writer->connection_, writer->token_key_.get()));
  return writer;
}

base::Status ParquetWriter::write(const Layout& layout, const std::vector<const char*>& rows, const std::string& path) {
  *source_ = {&database_->duck(), &layout, &rows, 0};
  base::Status status = copy("SELECT * FROM tamis_rows()", rows.size(), path, kFresh);
  *source_ = {};
  return status;
}

base::Status ParquetWriter::write(const std::string& select, uint64_t rows, const std::string& path) {
  return copy(select, rows, path, kLasting);
}

base::Status ParquetWriter::copy(const std::string& select, uint64_t rows, const std::string& path,
                                 std::string_view how) {
  base::Status status = connection_->run(fmt::format("COPY ({}) TO {} ({}, ROW_GROUP_SIZE {}{})", select,
                                                     sql_text(path), kParquetOptions, group_rows(rows), how));
  if (status) status = add_hashes(path);  // while its bytes are in memory
  if (status) status = sync_path(path);
  if (!status) ::unlink(path.c_str());
  return status;
}

}  // namespace tamis::archive
