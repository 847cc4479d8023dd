#include "archive/duck.h"
#include "base/thread.h"

#include <dlfcn.h>
#include <unistd.h>
#include <thread>

#include <climits>

namespace tamis::archive {
namespace {

std::string folder_of_program() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0) return ".";
  std::string_view text(path, static_cast<size_t>(length));
  return std::string(text.substr(0, text.rfind('/')));
}

void* open_library() {
  const std::string here = folder_of_program();
  const std::string places[] = {here + "/libduckdb.so", here + "/../lib/tamis/libduckdb.so",
                                here + "/../lib/libduckdb.so",
#ifdef TAMIS_DUCKDB_LIBRARY
                                TAMIS_DUCKDB_LIBRARY,
#endif
                                "libduckdb.so"};
  for (const std::string& place : places) {
    // Local: its symbols are nobody else's business.
    if (void* library = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

base::Result<Duck> load() {
  void* library = open_library();
  if (library == nullptr) {
    return base::fail(
        base::Code::kUnavailable,
        "the archive needs libduckdb.so, and it is not there: `./dev build` installs it, or put it beside "
        "the program");
  }
  Duck duck;
#define TAMIS_DUCK_FIND(name)                                                                  \
  duck.name = reinterpret_cast<decltype(&::duckdb_##name)>(::dlsym(library, "duckdb_" #name)); \
  if (duck.name == nullptr)                                                                    \
    return base::fail(base::Code::kUnavailable, "libduckdb.so has no duckdb_" #name ": expected version 1.5");
  TAMIS_DUCK_FUNCTIONS(TAMIS_DUCK_FIND)
#undef TAMIS_DUCK_FIND
  return duck;
}

base::Status configure(Connection& connection, const DatabaseOptions& options) {
  // With external access off, only what lies below the folder can be read or written, by any SQL.
  const std::string settings[] = {
      "SET TimeZone = 'UTC'",
      "SET parquet_metadata_cache = true",
      "SET temp_directory = " + sql_text(options.temporary_folder),
      "SET max_temp_directory_size = '" + std::to_string(options.bytes_max >> 20) + "MiB'",
      "SET allowed_directories = [" + sql_text(options.folder + "/") +
          (options.links.empty() ? std::string() : ", " + sql_text(options.links + "/")) + "]",
      "SET allow_persistent_secrets = false",
      "SET allow_community_extensions = false",
      "SET enable_external_access = false",
      "SET lock_configuration = true",
  };
  for (const std::string& setting : settings) TAMIS_CHECK(connection.run(setting));
  return {};
}

}  // namespace

base::Result<const Duck*> load_duck() {
  // Written once, and never unloaded: threads of the library may outlive whoever asked for it.
  static const base::Result<Duck> kLoaded = load();
  if (!kLoaded) return tl::unexpected<base::Error>(kLoaded.error());
  return &*kLoaded;
}

base::Result<std::unique_ptr<Database>> Database::open(const DatabaseOptions& options) {
  TAMIS_TRY(duck, load_duck());
  std::unique_ptr<Database> database(new Database);
  database->duck_ = duck;
  duckdb_config config = nullptr;
  if (duck->create_config(&config) != DuckDBSuccess) return base::fail(base::Code::kInternal, "no configuration");
  const std::pair<const char*, std::string> flags[] = {
      {"threads", std::to_string(std::max(options.threads, 1))},
      {"memory_limit", std::to_string(std::max<uint64_t>(options.bytes_max >> 20, 64)) + "MiB"},
      {"autoinstall_known_extensions", "false"},
      {"autoload_known_extensions", "false"},
  };
  for (const auto& [name, value] : flags) duck->set_config(config, name, value.c_str());
  char* error = nullptr;
  // The library's own threads have the priority of the one that opens it.
  const duckdb_state state = base::run_as(
      base::work_behind, "archive", [&] { return duck->open_ext(nullptr, &database->database_, config, &error); });
  duck->destroy_config(&config);
  if (state != DuckDBSuccess) {
    std::string message = error == nullptr ? "unknown" : error;
    if (error != nullptr) duck->free(error);
    return base::fail(base::Code::kInternal, "DuckDB does not open: " + message);
  }
  TAMIS_TRY(connection, Connection::open(*database));
  TAMIS_CHECK(configure(connection, options));
  return database;
}

Database::~Database() {
  if (database_ != nullptr) duck_->close(&database_);
}

base::Result<Connection> Connection::open(const Database& database) {
  Connection connection;
  connection.duck_ = &database.duck();
  if (connection.duck_->connect(database.handle(), &connection.connection_) != DuckDBSuccess)
    return base::fail(base::Code::kInternal, "DuckDB gives no connection");
  return connection;
}

Connection::~Connection() {
  if (connection_ != nullptr) duck_->disconnect(&connection_);
}

base::Status Connection::run(const std::string& sql) {
  duckdb_result result = {};
  const duckdb_state state = duck_->query(connection_, sql.c_str(), &result);
  base::Status status;
  if (state != DuckDBSuccess) {
    const char* error = duck_->result_error(&result);
    status = base::fail(base::Code::kUnavailable, error == nullptr ? "DuckDB failed" : error);
  }
  duck_->destroy_result(&result);
  return status;
}

base::Result<int64_t> Connection::number(const std::string& sql) {
  TAMIS_TRY(stream, Stream::open(*this, sql));
  TAMIS_TRY(chunk, stream->next());
  if (!chunk || chunk.rows() == 0 || chunk.is_null(0, 0)) return 0;
  return chunk.data<int64_t>(0)[0];
}

std::string_view Chunk::text(uint32_t column, uint32_t row) const {
  return text_of(data<duckdb_string_t>(column)[row]);
}

base::Result<std::unique_ptr<Stream>> Stream::open(Connection& connection, const std::string& sql) {
  const Duck& duck = connection.duck();
  std::unique_ptr<Stream> stream(new Stream(&duck));
  if (duck.prepare(connection.handle(), sql.c_str(), &stream->statement_) != DuckDBSuccess) {
    const char* error = duck.prepare_error(stream->statement_);
    return base::invalid(error == nullptr ? "the statement cannot be prepared" : error);
  }
  stream->has_result_ = true;
  if (duck.execute_prepared_streaming(stream->statement_, &stream->result_) != DuckDBSuccess) {
    const char* error = duck.result_error(&stream->result_);
    return base::fail(base::Code::kUnavailable, error == nullptr ? "the statement failed" : error);
  }
  return stream;
}

Stream::~Stream() {
  if (has_result_) duck_->destroy_result(&result_);
  if (statement_ != nullptr) duck_->destroy_prepare(&statement_);
}

base::Result<Chunk> Stream::next() {
  Chunk chunk(duck_, duck_->fetch_chunk(result_));
  if (chunk) return chunk;
  const char* error = duck_->result_error(&result_);
  if (error != nullptr && *error != '\0') return base::fail(base::Code::kUnavailable, error);
  return Chunk();
}

namespace {
std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out += quote;
}
}  // namespace

std::string sql_text(std::string_view text) { return quoted(text, '\''); }
std::string sql_name(std::string_view name) { return quoted(name, '"'); }

}  // namespace tamis::archive
