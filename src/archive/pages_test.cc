#include "archive/pages.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>
#include <fstream>
#include <map>

#include "archive/archive_test_kit.h"
#include "archive/duck.h"
#include "archive/parquet.h"

namespace tamis::archive {
namespace {

// Writes what a SELECT gives as the archive writes its files, and reads it again by pages and by DuckDB.
class Written {
 public:
  explicit Written(const TestFolder& folder) : folder_(folder.root()), writer_(open_writer(folder)) {
    auto database = Database::open(database_options(folder));
    EXPECT_TRUE(database) << database.error().message;
    database_ = std::move(*database);
  }

  std::string path() const { return folder_ + "/a.parquet"; }
  void write(const std::string& select) {
    base::Status status = writer_->write(select, kGroupRows, path());
    ASSERT_TRUE(status) << status.error().message;
  }
  std::vector<std::string> by_sql(const std::string& expression) {
    auto connection = Connection::open(*database_);
    auto stream =
        Stream::open(*connection, "SELECT (" + expression + ")::VARCHAR FROM read_parquet(" + sql_text(path()) + ")");
    std::vector<std::string> out;
    if (!stream) {
      ADD_FAILURE() << stream.error().message;
      return out;
    }
    while (true) {
      auto chunk = (*stream)->next();
      EXPECT_TRUE(chunk);
      if (!chunk || !*chunk) return out;
      for (uint32_t row = 0; row < chunk->rows(); ++row)
        out.push_back(chunk->is_null(0, row) ? "NULL" : std::string(chunk->text(0, row)));
    }
  }
  // `rows`: of each row group at most.
  std::vector<std::string> by_pages(const std::string& column, uint32_t rows = UINT32_MAX) {
    auto file = ParquetFile::open(path());
    EXPECT_TRUE(file) << file.error().message;
    auto reader = ParquetFile::Reader::open(*file);
    EXPECT_TRUE(reader);
    std::vector<std::string> out;
    PageColumn page;
    for (size_t group = 0; group < (*file)->groups().size(); ++group) {
      base::Status status = reader->read(group, (*file)->column(column), rows, page);
      EXPECT_TRUE(status) << status.error().message;
      if (!status) return out;
      for (uint32_t row = 0; row < page.rows; ++row) out.push_back(text_of(page, row));
    }
    return out;
  }

 private:
  static std::string text_of(const PageColumn& page, uint32_t row) {
    if (page.kind == PageColumn::Kind::kNothing && !page.lists) return "NULL";
    if (page.is_null(row)) return "NULL";
    if (page.lists) {
      std::string joined;
      for (uint32_t i = row == 0 ? 0 : page.ends[row - 1]; i < page.ends[row]; ++i)
        joined += std::string(page.text(i)) + ";";
      return joined;
    }
    switch (page.kind) {
      case PageColumn::Kind::kBools:
        return page.bools[row] != 0 ? "true" : "false";
      case PageColumn::Kind::kNumbers:
        return std::to_string(page.numbers[row]);
      default:
        return std::string(page.text(row));
    }
  }

  std::string folder_;
  std::unique_ptr<ParquetWriter> writer_;
  std::unique_ptr<Database> database_;
};

TEST(ArchivePages, areWhatDuckDbReads) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  Written written(folder);
  // Columns whose values are few or all different, in order or not, with and without NULL; three row groups.
  const std::map<std::string, std::pair<std::string, std::string>> columns = {
      {"n", {"i::UBIGINT", "n"}},
      {"same", {"7::BIGINT", "same"}},
      {"few", {"(hash(i) % 5)::BIGINT - 2", "few"}},
      {"many", {"(hash(i) % 1000000007)::BIGINT - 500000000", "many"}},
      {"wide", {"(hash(i) // 2)::BIGINT * (CASE WHEN i % 2 = 0 THEN -1 ELSE 1 END)", "wide"}},
      {"holes", {"CASE WHEN hash(i) % 3 = 0 THEN NULL ELSE i::BIGINT END", "holes"}},
      {"late", {"CASE WHEN i < 25000 THEN NULL ELSE i::BIGINT * 3 END", "late"}},
      {"flag", {"CASE WHEN hash(i) % 7 = 0 THEN NULL ELSE hash(i) % 2 = 0 END", "flag"}},
      {"time", {"make_timestamp(1790035200000000 + i * 1234567)", "epoch_us(\"time\")"}},
      {"word", {"['a', '', 'words of some length', 'ü'][(hash(i) % 4 + 1)::INT]", "word"}},
      {"text", {"CASE WHEN i % 11 = 0 THEN NULL ELSE 'text ' || hash(i) END", "text"}},
      {"nothing", {"NULL::VARCHAR", "nothing"}},
      {"list",
       {"CASE WHEN i % 5 = 0 THEN NULL ELSE list_transform(range((hash(i) % 4)::BIGINT), x -> 'r' || (hash(i + x) % "
        "3)::VARCHAR) END",
        "list_aggregate(list_transform(list, x -> x || ';'), 'string_agg', '')"}},
  };
  std::string select;
  for (const auto& [name, how] : columns) {
    select += (select.empty() ? "SELECT (" : ", (") + how.first + ") AS " + sql_name(name);
  }
  written.write(select + " FROM range(50000) t(i)");
  for (const auto& [name, how] : columns) {
    std::vector<std::string> expected = written.by_sql(how.second);
    if (name == "list") {
      // DuckDB gives NULL for the sum of no items.
      std::vector<std::string> nulls = written.by_sql("list IS NULL");
      for (size_t i = 0; i < expected.size(); ++i)
        expected[i] = nulls[i] == "true" ? "NULL" : expected[i] == "NULL" ? "" : expected[i];
    }
    EXPECT_EQ(written.by_pages(name), expected) << name;
    EXPECT_EQ(written.by_pages(name, 1'000).size(), 3'000u) << name;
  }
}

TEST(ArchivePages, givePartsOfDoubles) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  Written written(folder);
  written.write("SELECT (hash(i) % 100000)::DOUBLE / 7 AS d, (i % 3)::DOUBLE / 2 AS few FROM range(30000) t(i)");
  auto file = ParquetFile::open(written.path());
  ASSERT_TRUE(file);
  auto reader = ParquetFile::Reader::open(*file);
  for (const char* name : {"d", "few"}) {
    std::vector<std::string> expected = written.by_sql(name);
    PageColumn page;
    ASSERT_TRUE(reader->read(1, (*file)->column(name), 500, page));
    ASSERT_EQ(page.rows, 500u);
    for (uint32_t row = 0; row < 500; ++row) {
      double value;
      std::memcpy(&value, &page.numbers[row], sizeof value);
      EXPECT_EQ(value, std::stod(expected[(*file)->groups()[0].rows + row]));
    }
  }
}

// Whatever is flipped or cut off: an error or other values, never a crash.
TEST(ArchivePages, damageIsFoundOrHarmless) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  Written written(folder);
  written.write(
      "SELECT i::UBIGINT AS n, 'text ' || hash(i) AS text, ['a', 'b'][(i % 2 + 1)::INT] AS word, "
      "list_transform(range((hash(i) % 4)::BIGINT), x -> 'r' || x) AS list, hash(i)::DOUBLE AS d FROM range(3000) "
      "t(i)");
  std::ifstream in(written.path(), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::string path = folder.root() + "/b.parquet";
  EXPECT_TRUE(rc::check([&] {
    std::string bytes = whole;
    for (int i = *rc::gen::inRange(1, 6); i > 0; --i)
      bytes[*rc::gen::inRange<size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
    if (*rc::gen::inRange(0, 4) == 0) bytes.resize(*rc::gen::inRange<size_t>(0, bytes.size()));
    std::ofstream(path, std::ios::binary) << bytes;
    auto file = ParquetFile::open(path);
    if (!file) return;
    auto reader = ParquetFile::Reader::open(*file);
    PageColumn page;
    for (size_t group = 0; group < (*file)->groups().size(); ++group) {
      for (size_t column = 0; column < (*file)->columns().size(); ++column) {
        if (!reader->read(group, static_cast<int32_t>(column), UINT32_MAX, page)) continue;
        for (uint32_t row = 0; row < page.rows; ++row) RC_ASSERT((!page.lists || page.ends[row] <= 1u << 26));
      }
    }
  }));
}

}  // namespace
}  // namespace tamis::archive
