#include "archive/splice.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "archive/archive_test_kit.h"
#include "archive/pages.h"
#include "archive/parquet.h"

namespace tamis::archive {
namespace {

// Files made by DuckDB in a folder, and what it reads of them.
class Files {
 public:
  explicit Files(const TestFolder& folder) : folder_(folder.root()), writer_(open_writer(folder)) {}

  std::string path(const std::string& name) const { return folder_ + "/" + name + ".parquet"; }
  // Records from..from+rows-1 with columns of each kind that the archive has.
  std::string write(const std::string& name, uint64_t from, uint64_t rows, const std::string& more = "") {
    const std::string select =
        "SELECT i::UBIGINT AS n, CASE WHEN i % 3 > 0 THEN i * 7 END AS number, 'text ' || (i % 100) AS few, "
        "md5(i::VARCHAR) AS many, i % 2 = 0 AS even, i / 3.0 AS part, [few, many] AS list, NULL::VARCHAR AS nothing" +
        more + " FROM range(" + std::to_string(from) + ", " + std::to_string(from + rows) + ") t(i)";
    base::Status status = writer_->write(select, rows, path(name));
    EXPECT_TRUE(status) << status.error().message;
    return path(name);
  }
  int64_t number(const std::string& expression, const std::string& file) {
    auto found = writer_->number("SELECT (" + expression + ")::BIGINT FROM read_parquet(" + sql_text(file) + ")");
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(-1);
  }
  // Of all rows in their order, each with all columns.
  int64_t sum(const std::string& file) {
    auto found = writer_->number(
        "SELECT sum((hash(t) >> 44) * (t.file_row_number % 1009))::BIGINT FROM (SELECT * FROM read_parquet(" +
        sql_text(file) + ", file_row_number = true)) t");
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(-1);
  }

 private:
  std::string folder_;
  std::unique_ptr<ParquetWriter> writer_;
};

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void set_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<SplicePart> all_of(const std::vector<std::string>& paths) {
  std::vector<SplicePart> parts;
  for (const std::string& path : paths) parts.push_back({path, {}});
  return parts;
}

// Row groups as they are, and yet the file is that which DuckDB would have written of all rows.
TEST(Splice, reads_as_the_files_one_behind_the_other) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  Files files(folder);
  const std::vector<SplicePart> parts =
      all_of({files.write("a", 0, 50'000), files.write("b", 50'000, 20'000), files.write("c", 70'000, 130'000)});
  auto rows = splice_files(parts, files.path("joined"), kGroupRows / 2);
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ(*rows, 200'000u);
  const std::string whole = files.write("whole", 0, 200'000);
  EXPECT_EQ(files.sum(files.path("joined")), files.sum(whole));
  // Bounds and dictionaries are found at their places.
  EXPECT_EQ(files.number("count(*) FILTER (n = 123456 AND many = md5('123456'))", files.path("joined")), 1);
  EXPECT_EQ(files.number("count(*) FILTER (few = 'text 7')", files.path("joined")), 2'000);
  auto joined = ParquetFile::open(files.path("joined"));
  ASSERT_TRUE(joined);
  EXPECT_EQ((*joined)->groups().size(), 2u + 1 + 6);
  auto reader = ParquetFile::Reader::open(*joined);
  ASSERT_TRUE(reader);
  PageColumn column;
  uint64_t n = 0;
  for (size_t group = 0; group < (*joined)->groups().size(); ++group) {
    ASSERT_TRUE(reader->read(group, (*joined)->column("n"), UINT32_MAX, column));
    for (int64_t number : column.numbers) ASSERT_EQ(static_cast<uint64_t>(number), n++);
  }
  EXPECT_EQ(n, 200'000u);
}

// What was spliced can be spliced again: the footer is one of the same kind.
TEST(Splice, of_what_was_spliced) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  Files files(folder);
  ASSERT_TRUE(
      splice_files(all_of({files.write("a", 0, 15'000), files.write("b", 15'000, 15'000)}), files.path("ab"), 1));
  ASSERT_TRUE(splice_files(all_of({files.path("ab"), files.write("c", 30'000, 15'000)}), files.path("abc"), 1));
  ASSERT_TRUE(splice_files(all_of({files.path("a"), files.path("b"), files.path("c")}), files.path("at_once"), 1));
  EXPECT_EQ(bytes_of(files.path("abc")), bytes_of(files.path("at_once")));
  EXPECT_EQ(files.sum(files.path("abc")), files.sum(files.write("whole", 0, 45'000)));
}

TEST(Splice, row_groups_are_large_and_alike) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  Files files(folder);
  for (uint64_t rows : {1u, 2'048u, 20'480u, 30'719u, 31'000u, 50'000u, 200'001u}) {
    auto file = ParquetFile::open(files.write("r" + std::to_string(rows), 0, rows));
    ASSERT_TRUE(file);
    for (const auto& group : (*file)->groups()) {
      EXPECT_GE(group.rows, std::min<uint64_t>(rows, kGroupRows / 2)) << rows;
      EXPECT_LE(group.rows, kGroupRows * 3 / 2) << rows;
    }
  }
}

TEST(Splice, leaves_to_others_what_it_does_not_know) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  Files files(folder);
  const std::string a = files.write("a", 0, 15'000), small = files.write("small", 15'000, 100);
  const std::string other = files.write("other", 15'000, 15'000, ", 1 AS one");
  for (const std::string& second : {small, other}) {
    auto rows = splice_files(all_of({a, second}), files.path("joined"), kGroupRows / 2);
    ASSERT_FALSE(rows);
    EXPECT_EQ(rows.error().code, base::Code::kNotFound) << rows.error().message;
    EXPECT_FALSE(std::filesystem::exists(files.path("joined")));
  }
}

TEST(Splice, tells_of_damage_and_leaves_nothing) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  Files files(folder);
  const std::string a = files.write("a", 0, 15'000), b = files.write("b", 15'000, 15'000);
  const std::string whole = bytes_of(b);
  auto expect_failure = [&](const std::string& bytes, const char* what) {
    set_bytes(b, bytes);
    auto rows = splice_files(all_of({a, b}), files.path("joined"), 1);
    ASSERT_FALSE(rows) << what;
    EXPECT_EQ(rows.error().code, base::Code::kUnavailable) << rows.error().message;
    EXPECT_FALSE(std::filesystem::exists(files.path("joined"))) << what;
  };
  expect_failure("", "empty");
  expect_failure("PAR1", "too short");
  expect_failure(whole.substr(0, whole.size() - 1), "cut off");
  expect_failure(whole.substr(0, 4) + whole.substr(whole.size() / 2), "without its start");
  // A bit anywhere in what is copied: in the first page, in the middle, in the last Bloom filter.
  set_bytes(b, whole);
  auto made = ParquetFile::open(b);
  ASSERT_TRUE(made);
  const size_t end = (*made)->parts().back().offset + (*made)->parts().back().bytes;
  for (const size_t at : {size_t{4}, whole.size() / 3, end - 1}) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 16);
    expect_failure(flipped, "a flipped bit");
  }
  std::string longer = whole;
  longer[whole.size() - 5] = 0x7f;  // the footer's length
  expect_failure(longer, "a footer that is longer than the file");
  std::filesystem::remove(b);
  auto rows = splice_files(all_of({a, b}), files.path("joined"), 1);
  ASSERT_FALSE(rows);
  EXPECT_NE(rows.error().message.find("b.parquet"), std::string::npos) << rows.error().message;
}

}  // namespace
}  // namespace tamis::archive
