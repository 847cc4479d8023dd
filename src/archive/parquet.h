// Parquet files, written by DuckDB from rows in memory or from other files of ours. Private.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "archive/duck.h"
#include "archive/manifest.h"
#include "archive/rows.h"

namespace tamis::archive {

// Rows of a row group, about: those of one file are alike, between half and one and a half of this.
constexpr uint64_t kGroupRows = 20'480;

// The instance of DuckDB that writes. One thread at a time.
class ParquetWriter {
 public:
  ~ParquetWriter();
  static base::Result<std::unique_ptr<ParquetWriter>> open(const DatabaseOptions& options);

  // Writes the rows, which point into buffers of this layout, and syncs the file.
  base::Status write(const Layout& layout, const std::vector<const char*>& rows, const std::string& path);
  // Writes the answer to a SELECT, of about so many rows, and syncs the file. tamis_token(VARCHAR) in it is the token
  // under the key below.
  base::Status write(const std::string& select, uint64_t rows, const std::string& path);
  base::Result<int64_t> number(const std::string& sql) { return connection_->number(sql); }
  void set_token_key(std::string key) { *token_key_ = std::move(key); }

  struct Source;

 private:
  ParquetWriter() = default;
  base::Status copy(const std::string& select, uint64_t rows, const std::string& path, std::string_view how);
  std::unique_ptr<std::string> token_key_ = std::make_unique<std::string>();
  std::unique_ptr<Source> source_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace tamis::archive
