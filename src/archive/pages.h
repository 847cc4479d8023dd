// Pages: Parquet files of the archive read without DuckDB, a column of a row group at a time. What DuckDB makes one
// text of a row for is left as codes and a dictionary, which costs a tenth; one row can be had without the ones behind
// it; and nothing is planned, so a file takes a fraction of a millisecond. Private.
//
// It reads what the archive writes (zstd or nothing; plain, dictionary, delta and split encodings; texts, numbers,
// booleans, lists of texts). Of anything else it says so, kNotFound, and DuckDB reads it. Bytes are foreign: damage is
// an error (kUnavailable), never a crash. Chunks that have a hash (hashes.h) are compared with it each time they are
// read, which costs a few percent of decoding them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/hashes.h"
#include "archive/parquet_bytes.h"
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
    std::optional<uint64_t> hash;  // of its bytes
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

  // A part of the body with its hash: a chunk, or what lies between chunks.
  struct Part {
    uint64_t offset = 0, bytes = 0, hash = 0;
    int32_t column = -1;  // -1: no chunk
    uint32_t group = 0;
  };

  // Reads the footer. kUnavailable: it is damaged, or is not the one that has this hash.
  static base::Result<std::shared_ptr<const ParquetFile>> open(const std::string& path,
                                                               std::optional<uint64_t> footer_hash = std::nullopt);
  // Cuts the body of such a file into pieces that are to be hashed.
  static base::Result<std::vector<Piece>> cut(const Footer& footer, const std::string& path);

  const std::string& path() const { return path_; }
  // All of the body, by offset; empty: nothing is hashed.
  const std::vector<Part>& parts() const { return parts_; }
  // A part, for people: "column ip, row group 3".
  std::string name_of(const Part& part) const;
  const std::vector<RowGroup>& groups() const { return groups_; }
  // -1: there is none.
  int32_t column(std::string_view name) const;
  const std::vector<Column>& columns() const { return columns_; }

  // One who reads; of one thread.
  class Reader {
   public:
    static base::Result<Reader> open(std::shared_ptr<const ParquetFile> file);
    // The first `rows` of a row group, or all that it has. `out` may have been used before.
    base::Status read(size_t group, int32_t column, uint32_t rows, PageColumn& out);
    const ParquetFile& file() const { return *file_; }

   private:
    Reader(std::shared_ptr<const ParquetFile> file, Descriptor descriptor)
        : file_(std::move(file)), descriptor_(std::move(descriptor)) {}
    std::shared_ptr<const ParquetFile> file_;
    Descriptor descriptor_;
  };

 private:
  ParquetFile() = default;
  base::Status parse(const Footer& footer);
  base::Status take_hashes(const Footer& footer, std::string_view text);

  std::string path_;
  std::vector<Column> columns_;
  std::vector<RowGroup> groups_;
  std::vector<Part> parts_;
};

// The pages of one column chunk, as they lie in the file. For ParquetFile and its fuzz test.
base::Status decode_pages(std::string_view chunk, const ParquetFile::Column& column, bool zstd, uint32_t rows_all,
                          uint32_t rows, PageColumn& out);

}  // namespace tamis::archive
