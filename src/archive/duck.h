// The one door to DuckDB: its C functions, found in libduckdb.so when they are first needed, and owners for its
// handles.
//
// Why not linked: the library is 68 MB, and loading it costs every command that does not look into the past about 10 ms
// and 20 MiB. Private to the room.
#pragma once

#include <duckdb.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::archive {

// clang-format off
#define TAMIS_DUCK_FUNCTIONS(X)                                                                                        \
  X(open_ext) X(close) X(connect) X(disconnect) X(interrupt) X(create_config) X(set_config) X(destroy_config) X(free)  \
  X(query) X(destroy_result) X(result_error) X(column_count) X(column_name) X(fetch_chunk) X(vector_size) X(prepare)   \
  X(destroy_prepare) X(prepare_error) X(prepared_statement_type) X(prepared_statement_column_count)                    \
  X(prepared_statement_column_name) X(prepared_statement_column_logical_type) X(execute_prepared_streaming)            \
  X(extract_statements) X(prepare_extracted_statement) X(extract_statements_error) X(destroy_extracted)                \
  X(create_logical_type) X(destroy_logical_type) X(get_type_id) X(destroy_data_chunk) X(data_chunk_get_size)           \
  X(data_chunk_set_size) X(data_chunk_get_vector) X(data_chunk_get_column_count) X(vector_get_data)                    \
  X(vector_get_validity) X(vector_ensure_validity_writable) X(vector_assign_string_element_len)                        \
  X(create_table_function) X(destroy_table_function) X(table_function_set_name) X(table_function_set_extra_info)       \
  X(table_function_set_bind) X(table_function_set_init) X(table_function_set_function) X(register_table_function)      \
  X(bind_get_extra_info) X(bind_add_result_column) X(bind_set_error) X(init_set_max_threads)                           \
  X(function_get_extra_info) X(function_set_error) X(create_scalar_function) X(destroy_scalar_function)                \
  X(scalar_function_set_name) X(scalar_function_add_parameter) X(scalar_function_set_return_type)                      \
  X(scalar_function_set_extra_info) X(scalar_function_set_function) X(scalar_function_get_extra_info)                  \
  X(scalar_function_set_error) X(register_scalar_function) X(create_list_type) X(list_vector_get_child)                \
  X(list_vector_reserve) X(list_vector_set_size)
// clang-format on

struct Duck {
#define TAMIS_DUCK_MEMBER(name) decltype(&::duckdb_##name) name = nullptr;
  TAMIS_DUCK_FUNCTIONS(TAMIS_DUCK_MEMBER)
#undef TAMIS_DUCK_MEMBER
};

// Loads the library on the first call, about 10 ms. Looked for beside the program, in lib/ beside its folder, in
// third_party/ of the build folder, then where the system keeps libraries. The error says what to do.
base::Result<const Duck*> load_duck();

// One in-memory instance with its settings; everything else refers to it. Thread-safe once open.
struct DatabaseOptions {
  std::string folder;  // the only one that SQL may read and write
  std::string links;   // where its files lie if they are links, or empty: may be read, too
  std::string temporary_folder;
  int threads = 2;
  uint64_t bytes_max = 1ull << 30;
};
class Database {
 public:
  static base::Result<std::unique_ptr<Database>> open(const DatabaseOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const Duck& duck() const { return *duck_; }
  duckdb_database handle() const { return database_; }

 private:
  Database() = default;
  const Duck* duck_ = nullptr;
  duckdb_database database_ = nullptr;
};

// One thread at a time; interrupt() from any.
class Connection {
 public:
  static base::Result<Connection> open(const Database& database);
  Connection(Connection&& other) noexcept : duck_(other.duck_), connection_(other.connection_) {
    other.connection_ = nullptr;
  }
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  const Duck& duck() const { return *duck_; }
  duckdb_connection handle() const { return connection_; }
  base::Status run(const std::string& sql);
  // The first column of the first row, a BIGINT; 0 if there is no row or it is NULL.
  base::Result<int64_t> number(const std::string& sql);
  void interrupt() { duck_->interrupt(connection_); }

 private:
  Connection() = default;
  const Duck* duck_ = nullptr;
  duckdb_connection connection_ = nullptr;
};

class Chunk {
 public:
  Chunk() = default;
  Chunk(const Duck* duck, duckdb_data_chunk chunk) : duck_(duck), chunk_(chunk) {}
  Chunk(Chunk&& other) noexcept : duck_(other.duck_), chunk_(other.chunk_) { other.chunk_ = nullptr; }
  Chunk& operator=(Chunk&& other) noexcept {
    std::swap(duck_, other.duck_);
    std::swap(chunk_, other.chunk_);
    return *this;
  }
  ~Chunk() {
    if (chunk_ != nullptr) duck_->destroy_data_chunk(&chunk_);
  }
  explicit operator bool() const { return chunk_ != nullptr; }
  uint32_t rows() const { return static_cast<uint32_t>(duck_->data_chunk_get_size(chunk_)); }
  template <class T>
  const T* data(uint32_t column) const {
    return static_cast<const T*>(duck_->vector_get_data(duck_->data_chunk_get_vector(chunk_, column)));
  }
  // A bit a row, or null: all rows have a value.
  const uint64_t* validity(uint32_t column) const {
    return duck_->vector_get_validity(duck_->data_chunk_get_vector(chunk_, column));
  }
  bool is_null(uint32_t column, uint32_t row) const {
    const uint64_t* bits = validity(column);
    return bits != nullptr && (bits[row / 64] >> (row % 64) & 1) == 0;
  }
  std::string_view text(uint32_t column, uint32_t row) const;
  // The items of a list of texts, of all rows one after another.
  const duckdb_string_t* items(uint32_t column) const {
    const duckdb_vector lists = duck_->data_chunk_get_vector(chunk_, column);
    return static_cast<const duckdb_string_t*>(duck_->vector_get_data(duck_->list_vector_get_child(lists)));
  }

 private:
  const Duck* duck_ = nullptr;
  duckdb_data_chunk chunk_ = nullptr;
};

// The rows of a SELECT as they are made.
class Stream {
 public:
  // `sql` must be one statement.
  static base::Result<std::unique_ptr<Stream>> open(Connection& connection, const std::string& sql);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  base::Result<Chunk> next();  // false at the end

 private:
  explicit Stream(const Duck* duck) : duck_(duck) {}
  const Duck* duck_;
  duckdb_prepared_statement statement_ = nullptr;
  duckdb_result result_ = {};
  bool has_result_ = false;
};

inline std::string_view text_of(const duckdb_string_t& text) {
  if (text.value.inlined.length <= 12) return {text.value.inlined.inlined, text.value.inlined.length};
  return {text.value.pointer.ptr, text.value.pointer.length};
}
// Text that stays where it is for as long as DuckDB may look at it.
inline duckdb_string_t duck_text(std::string_view text) {
  duckdb_string_t out = {};
  out.value.inlined.length = static_cast<uint32_t>(text.size());
  if (text.size() <= 12) {
    text.copy(out.value.inlined.inlined, text.size());
  } else {
    text.copy(out.value.pointer.prefix, 4);
    out.value.pointer.ptr = const_cast<char*>(text.data());
  }
  return out;
}

std::string sql_text(std::string_view text);  // 'it''s'
std::string sql_name(std::string_view name);  // "a ""name"""

}  // namespace tamis::archive
