#include "archive/convert.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "archive/duck.h"

namespace tamis::archive {
namespace {

constexpr const char* kPolicy = R"(
event: login
id: uid
time: at
fields:
  account: string
  ok: bool
  tries: int
  rate: double
  seen: timestamp
  ip: {type: ip, path: client.ip}
  port: {type: int, path: client.port}
  tags: list(string)
)";

class ConvertTest : public ::testing::Test {
 protected:
  ConvertTest() {
    std::string name = (std::filesystem::temp_directory_path() / "tamis-convert-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    policy::Loaded loaded = policy::load_files({{"policy.yaml", kPolicy}});
    for (const policy::Diagnostic& d : loaded.diagnostics) ADD_FAILURE() << policy::to_string(d);
    policy_ = loaded.policy;
  }
  ~ConvertTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
    return folder_ + "/" + name;
  }
  // All events, and at the end the error if there is one.
  std::vector<std::string> read(const std::string& path) {
    auto table = TableFile::open(path, *policy_);
    if (!table) return {"error: " + table.error().message};
    std::vector<std::string> out;
    std::string_view json;
    while (true) {
      auto more = (*table)->next(json);
      if (!more) out.push_back("error: " + more.error().message);
      if (!more || !*more) return out;
      out.emplace_back(json);
      EXPECT_EQ((*table)->row(), out.size());
    }
  }
  void sql(const std::string& statement) {
    DatabaseOptions options;
    options.folder = options.temporary_folder = folder_;
    auto database = Database::open(options).value();
    auto connection = Connection::open(*database).value();
    auto done = connection.run(statement);
    ASSERT_TRUE(done) << done.error().message;
  }

  std::string folder_;
  std::shared_ptr<const policy::Policy> policy_;
};

TEST_F(ConvertTest, CsvCellsBecomeWhatTheirFieldsAre) {
  std::string path = write("a.csv",
                           "uid,at,type,account,ok,tries,rate,client.ip,client.port,tags,note.x\n"
                           "1,2026-01-02T03:04:05Z,login,00123,true,7,0.5,192.0.2.1,443,\"[\"\"a\"\"]\",9\n"
                           "2,2026-01-02 03:04:05.25,login,\"a,\"\"b\"\"\nc\",,x7,1e3,,,,\n"
                           "3,1700000000,,9,false,-0,07,2001:db8::1,1,,\xc3\xa9\n");
  EXPECT_EQ(read(path),
            (std::vector<std::string>{
                R"({"uid":"1","at":"2026-01-02T03:04:05.000000Z","type":"login","account":"00123","ok":true,)"
                R"("tries":7,"rate":0.5,"client":{"ip":"192.0.2.1","port":443},"tags":["a"],"note.x":"9"})",
                R"({"uid":"2","at":"2026-01-02T03:04:05.250000Z","type":"login","account":"a,\"b\"\nc",)"
                R"("tries":"x7","rate":1e3,"client":{}})",
                R"({"uid":"3","at":1700000000,"account":"9","ok":false,"tries":-0,"rate":"07",)"
                "\"client\":{\"ip\":\"2001:db8::1\",\"port\":1},\"note.x\":\"\xc3\xa9\"}"}));
}

TEST_F(ConvertTest, TrueAndFalseInAllTheirSpellings) {
  EXPECT_EQ(
      read(write("a.csv", "ok,tries\nTRUE,1\nFalse,0\n1,true\n0,\nyes,\n2,\n")),
      (std::vector<std::string>{R"({"ok":true,"tries":1})", R"({"ok":false,"tries":0})", R"({"ok":true,"tries":true})",
                                R"({"ok":false})", R"({"ok":"yes"})", R"({"ok":2})"}));
  sql("COPY (SELECT 1 AS ok, 2 AS tries UNION ALL SELECT 0, 3) TO '" + folder_ + "/a.parquet' (FORMAT parquet)");
  EXPECT_EQ(read(folder_ + "/a.parquet"),
            (std::vector<std::string>{R"({"ok":true,"tries":2})", R"({"ok":false,"tries":3})"}));
}

TEST_F(ConvertTest, AZoneIsPartOfATime) {
  const std::vector<std::pair<std::string, std::string>> times = {
      {"2026-01-02T03:04:05+01:00", "2026-01-02T03:04:05+01:00"},
      {"2026-01-02 03:04:05.5-02:30", "2026-01-02T03:04:05.5-02:30"},
      {"2026-01-02 03:04:05+01", "2026-01-02T03:04:05+01:00"},
      {"2026-01-02 03:04:05 +0100", "2026-01-02T03:04:05+01:00"},
      {"2026-01-02 03:04:05 UTC", "2026-01-02T03:04:05Z"},
      {"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"},
      {"2026-01-02", "2026-01-02T00:00:00.000000Z"},
      {"2026-01-02 03:04:05 CET", "2026-01-02 03:04:05 CET"}};  // told by whoever reads the event
  for (const auto& [written, means] : times) {
    EXPECT_EQ(read(write("a.csv", "uid,at\n1," + written + "\n")),
              std::vector<std::string>{R"({"uid":"1","at":")" + means + "\"}"});
  }
}

TEST_F(ConvertTest, OtherSeparatorsAndOneColumn) {
  EXPECT_EQ(read(write("a.tsv", "uid\taccount\n1\tx\n")), std::vector<std::string>{R"({"uid":"1","account":"x"})"});
  EXPECT_EQ(read(write("b.csv", "uid;account\n1;x\n2;y\n")),
            (std::vector<std::string>{R"({"uid":"1","account":"x"})", R"({"uid":"2","account":"y"})"}));
  EXPECT_EQ(read(write("c.csv", "uid,account\n")), std::vector<std::string>{});
  EXPECT_EQ(read(write("[x]*.csv", "uid,account\n1,x\n")), std::vector<std::string>{R"({"uid":"1","account":"x"})"});
}

// What other programs write: CR LF, a byte order mark, blank lines, names in quotes, a name over two lines.
TEST_F(ConvertTest, LinesOfOtherSystems) {
  const std::vector<std::string> both = {R"({"uid":"1","account":"x"})", R"({"uid":"2","account":"y\r\nz"})"};
  EXPECT_EQ(read(write("a.csv", "uid,account\r\n1,x\r\n2,\"y\r\nz\"\r\n")), both);
  EXPECT_EQ(read(write("b.csv", "\xef\xbb\xbf\r\n\"uid\";account\r\n\r\n1;x\r\n2;\"y\r\nz\"")), both);
  EXPECT_EQ(read(write("c.csv", "\n\nuid,\"an \"\"odd\"\"\nname\",\n1,2,3\n")),
            std::vector<std::string>{R"({"uid":"1","an \"odd\"\nname":"2","column2":"3"})"});
  write("d.jsonl", "{\"uid\":\"1\"}\r\n\r\n{\"uid\":\"2\"}\r\n");
  if (std::system(("gzip -k " + folder_ + "/d.jsonl").c_str()) != 0) GTEST_SKIP() << "no gzip";
  EXPECT_EQ(read(folder_ + "/d.jsonl.gz"), (std::vector<std::string>{R"({"uid":"1"})", R"({"uid":"2"})"}));
}

// Rows of another width than the head's are told: none is passed over.
TEST_F(ConvertTest, RowsOfAnotherWidth) {
  for (const char* rows : {"1,x\n2,y,z\n", "1\n2,y\n", "1\n2,y,z\n", "1,x,y\n2,y,z\n"}) {
    std::vector<std::string> all = read(write("a.csv", std::string("uid,account\n") + rows));
    ASSERT_FALSE(all.empty()) << rows;
    EXPECT_NE(all.back().find("Expected Number of Columns: 2"), std::string::npos) << all.back();
  }
  EXPECT_NE(read(write("b.csv", "uid,uid\n1,2\n")).back().find("are the same key"), std::string::npos);
  EXPECT_NE(read(write("c.csv", "")).back().find("c.csv: the file is empty"), std::string::npos);
  EXPECT_NE(read(write("d.csv", "uid,\"account\n1,2\n")).back().find("is not closed"), std::string::npos);
}

// A cell that only looks like a list or a map stays text, and the line stays one line of JSON.
TEST_F(ConvertTest, cells_that_look_like_lists) {
  EXPECT_EQ(read(write("a.csv", "uid,tags\n1,\"[\"\"a\"\",\n 2]\"\n2,\"[a\"\"]\"\n3,{x}\n4,[]\n")),
            (std::vector<std::string>{R"({"uid":"1","tags":["a",  2]})", R"({"uid":"2","tags":"[a\"]"})",
                                      R"({"uid":"3","tags":"{x}"})", R"({"uid":"4","tags":[]})"}));
  sql("COPY (SELECT '1' AS uid, {'a': ['nan'::DOUBLE, '-inf'::DOUBLE, 1.5], 'NaN': '\"NaN, \\I', 'b': 'inf'::DOUBLE} "
      "AS tags) TO '" +
      folder_ + "/n.parquet' (FORMAT parquet)");
  EXPECT_EQ(read(folder_ + "/n.parquet"),
            std::vector<std::string>{R"({"uid":"1","tags":{"a":[null,null,1.5],"NaN":"\"NaN, \\I","b":null}})"});
}

TEST_F(ConvertTest, ParquetKeepsItsTypes) {
  sql("COPY (SELECT 7 AS uid, TIMESTAMP '2026-01-02 03:04:05' AS \"at\", 12345 AS account, true AS ok, 3::BIGINT AS "
      "tries, "
      "'nan'::DOUBLE AS rate, -0.5::FLOAT AS change, to_milliseconds(3600500) AS lasted, {'ip': "
      "'192.0.2.1', 'port': 5} AS client, ['a', 'b'] AS tags, NULL::INTEGER AS nothing) "
      "TO '" +
      folder_ + "/a.parquet' (FORMAT parquet)");
  auto table = TableFile::open(folder_ + "/a.parquet", *policy_);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ((*table)->rows_total(), 1u);
  EXPECT_EQ(
      read(folder_ + "/a.parquet"),
      std::vector<std::string>{
          R"({"uid":"7","at":"2026-01-02T03:04:05.000000Z","account":"12345","ok":true,"tries":3,"change":-0.5,"lasted":"3600.5s",)"
          R"("client":{"ip":"192.0.2.1","port":5},"tags":["a","b"]})"});
}

TEST_F(ConvertTest, CompressedLinesOfJson) {
  std::string line = R"({"uid":"1","x":"a,\"b\"; 'c'"})";
  write("a.jsonl", line + "\n\n{bad\n" + line);
  for (std::string pack : {"gzip -k ", "zstd -q "}) {
    if (std::system((pack + folder_ + "/a.jsonl").c_str()) != 0) GTEST_SKIP() << "no " << pack;
  }
  for (const char* ending : {".gz", ".zst"}) {
    std::vector<std::string> lines;
    auto table = TableFile::open(folder_ + "/a.jsonl" + ending, *policy_).value();
    std::string_view json;
    while (table->next(json).value()) lines.emplace_back(json);
    EXPECT_EQ(lines, (std::vector<std::string>{line, "{bad", line})) << ending;
  }
}

TEST_F(ConvertTest, FaultsNameFileAndRow) {
  EXPECT_TRUE(is_table_file("x.csv") && is_table_file("x.csv.gz") && is_table_file("x.parquet"));
  EXPECT_TRUE(is_table_file("x.jsonl.zst") && !is_table_file("x.jsonl") && !is_table_file("-"));
  auto fault = [&](const std::string& path) {
    std::vector<std::string> all = read(path);
    return all.empty() ? std::string() : all.back();
  };
  EXPECT_NE(fault(folder_ + "/no.csv").find("no.csv: No such file"), std::string::npos);
  EXPECT_NE(fault(write("x.parquet", "not parquet at all")).find("x.parquet: "), std::string::npos);
  std::string clash = fault(write("y.csv", "client,client.ip\n1,2\n"));
  EXPECT_NE(clash.find("y.csv: the column"), std::string::npos) << clash;
  // A row that is too short does not make all of them one column of no known name.
  std::string few = fault(write("few.csv", "uid,account,x,y,z\n1,a,,\"b\nc\",\n2,a,,,\n3,a\n"));
  EXPECT_NE(few.find("few.csv: "), std::string::npos) << few;
  std::string strange = fault(write("strange.csv", "a,b,c\n1,2,3\n"));
  EXPECT_NE(strange.find("strange.csv: the policy knows none of its columns (a, b, c); it knows "), std::string::npos)
      << strange;
  std::string rows = "uid,account\n";
  for (int i = 0; i < 30'000; ++i) rows += std::to_string(i) + ",a\n";
  std::string ragged = fault(write("z.csv", rows + "1,2,3,4\n"));
  EXPECT_EQ(ragged.rfind("error: " + folder_ + "/z.csv", 0), 0u) << ragged;
  EXPECT_NE(ragged.find("Line: 30002"), std::string::npos) << ragged;
  EXPECT_EQ(ragged.find('\n'), std::string::npos) << ragged;
  EXPECT_LT(ragged.size(), 400u) << ragged;
}

}  // namespace
}  // namespace tamis::archive
