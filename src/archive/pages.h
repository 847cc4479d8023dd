// Pages: Parquet files of the archive read without DuckDB, a column of a row group at a time. What DuckDB makes one
// text of a row for is left as codes and a dictionary, which costs a tenth; one row can be had without the ones behind
// it; and nothing is planned, so a file takes a fraction of a millisecond. Private.
//
// It reads what the archive writes (zstd or nothing; plain, dictionary, delta and split encodings; texts, numbers,
// booleans, lists of texts). Of anything else it says so, kNotFound, and DuckDB reads it. Bytes are foreign: damage is
// an error (kUnavailable), never a crash.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::archive {

// Decoded rows of one column.
struct PageColumn {
  enum class Kind : uint8_t { kNothing, kBools, kNumbers, kTexts, kCodes };
  Kind kind = Kind::kNothing;  // kNothing: no row has a value
  uint32_t rows = 0;
  bool any_null = false;
  std::vector<uint8_t> states;  // with any_null: as cel::Column::State, a byte a row
  std::vector<uint8_t> bools;
  std::vector<int64_t> numbers;         // whole numbers, times, bits of doubles
  std::vector<uint32_t> codes;          // into texts
  std::vector<std::string_view> texts;  // of rows, or entries of the dictionary
  // Lists of texts: where the items of each row end, among codes or texts.
  bool lists = false;
  std::vector<uint32_t> ends;

  bool is_null(uint32_t row) const { return any_null && states[row] != 0; }
  std::string_view text(uint32_t at) const { return kind == Kind::kCodes ? texts[codes[at]] : texts[at]; }

  std::vector<std::unique_ptr<char[]>> kept;  // what texts point to
};

class ParquetFile {
 public:
  struct Chunk {
    uint64_t offset = 0, bytes = 0;
    uint64_t values = 0;
    bool zstd = false, known = false;
    bool has_bounds = false;  // of whole numbers
    int64_t least = 0, most = 0;
  };
  struct RowGroup {
    uint32_t rows = 0;
    std::vector<Chunk> chunks;  // as the columns
  };
  struct Column {
    std::string name;
    int32_t physical = -1;  // as Parquet numbers its types
    bool list = false, known = false;
  };

  // Reads the footer.
  static base::Result<std::shared_ptr<const ParquetFile>> open(const std::string& path);

  const std::vector<RowGroup>& groups() const { return groups_; }
  // -1: there is none.
  int32_t column(std::string_view name) const;
  const std::vector<Column>& columns() const { return columns_; }

  // One who reads; of one thread.
  class Reader {
   public:
    static base::Result<Reader> open(std::shared_ptr<const ParquetFile> file);
    Reader(Reader&& other) noexcept : file_(std::move(other.file_)), fd_(other.fd_) { other.fd_ = -1; }
    Reader& operator=(Reader&&) = delete;
    ~Reader();
    // The first `rows` of a row group, or all that it has. `out` may have been used before.
    base::Status read(size_t group, int32_t column, uint32_t rows, PageColumn& out);
    const ParquetFile& file() const { return *file_; }

   private:
    Reader() = default;
    std::shared_ptr<const ParquetFile> file_;
    int fd_ = -1;
  };

 private:
  ParquetFile() = default;
  base::Status parse(std::string_view footer);

  std::string path_;
  uint64_t bytes_ = 0;
  std::vector<Column> columns_;
  std::vector<RowGroup> groups_;
};

// The pages of one column chunk, as they lie in the file. For ParquetFile and its fuzz test.
base::Status decode_pages(std::string_view chunk, const ParquetFile::Column& column, bool zstd, uint32_t rows_all,
                          uint32_t rows, PageColumn& out);

}  // namespace tamis::archive
