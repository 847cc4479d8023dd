// TableFile: the rows of a CSV or Parquet file, or the lines of a compressed file of JSON, as JSON events of a policy.
//
//   .csv .tsv (also .gz, .zst)   first line: names of columns; the separator is found by looking. Empty cells are
//   absent .parquet                     NULLs are absent .jsonl .ndjson with .gz or .zst, one event a line
//
// A column is the key of its name at the top of the event. One whose name is a path of the policy with dots
// ("client.ip") is that path. What a cell becomes is decided by the field that has the path: text for text, numbers and
// true or false as such; a time without zone is UTC. Columns that no field reads keep the type of the file, which is
// text for CSV.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "policy/policy.h"

namespace tamis::archive {

// By its name.
bool is_table_file(std::string_view path);

class TableFile {
 public:
  // Errors name the file: it cannot be read, is no such file, or has columns that exclude each other.
  static base::Result<std::unique_ptr<TableFile>> open(const std::string& path, const policy::Policy& policy);
  virtual ~TableFile() = default;

  // True with the next event, valid until the next call; false at the end. Errors: the file is damaged ("PATH, behind
  // row N: ..."); nothing more can be read then.
  virtual base::Result<bool> next(std::string_view& json) = 0;
  virtual uint64_t row() const = 0;         // of the last event, from 1 (the names of columns are no row)
  virtual uint64_t rows_total() const = 0;  // 0: not known
};

}  // namespace tamis::archive
