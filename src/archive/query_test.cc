#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "archive/archive_test_kit.h"

namespace tamis::archive {
namespace {

class ArchiveQuery : public testing::Test {
 protected:
  void SetUp() override {
    TAMIS_NEEDS_DUCKDB();
    world_ = std::make_unique<World>(folder_.path());
    for (int i = 0; i < 30; ++i) {
      const std::string amount = std::to_string(i * 10);
      world_->feed("login", kDay0 + i * 60'000, R"("account":"anna","ip":"10.0.0.7","amount":)" + amount);
    }
    world_->flush();
    std::ofstream(folder_.root() + "/secret.csv") << "planted,1\n";
  }
  TestFolder folder_;
  std::unique_ptr<World> world_;
};

TEST_F(ArchiveQuery, readsInAllForms) {
  EXPECT_EQ(world_->text("SELECT count(*) FROM events -- all; of them"), "30\n");
  EXPECT_EQ(world_->text("/* ; */ WITH a AS (SELECT 1 AS x) FROM a; -- done ;"), "1\n");
  EXPECT_EQ(world_->text("VALUES (1, 'a;b'), (NULL, '')"), "1|a;b\nNULL|\n");
  EXPECT_EQ(world_->text("SELECT 1 AS a, 2 AS a, 'x\"y'"), "1|2|x\"y\n");
  EXPECT_EQ(world_->text("SELECT count(*) FROM events WHERE list_contains(rules, 'dear')"), "19\n");
  EXPECT_EQ(world_->text("SELECT type, min(time), max(received) FROM events GROUP BY type"),
            "login|2026-09-22 00:00:00|2026-09-22 00:29:00\n");
  EXPECT_NE(world_->text("DESCRIBE login").find("logins_per_ip|BIGINT"), std::string::npos);
  EXPECT_NE(world_->text("SUMMARIZE login").find("amount|BIGINT|0|290"), std::string::npos);
  EXPECT_NE(world_->text("SHOW TABLES").find("acts\nevents\nlogin\ntruth\n"), std::string::npos);
  EXPECT_NE(world_->text("EXPLAIN SELECT * FROM login").find("physical_plan"), std::string::npos);
  EXPECT_NE(world_->text("EXPLAIN ANALYZE SELECT * FROM login").find("analyzed_plan"), std::string::npos);
  auto table = world_->ask("SELECT [1, 2] AS l, {'a': 1.5} AS s, 1::DECIMAL(9, 2) AS d, NULL AS n, BLOB '\\x01' AS b");
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->columns[0].type, "INTEGER[]");
  EXPECT_EQ(table->columns[2].type, "DECIMAL(9,2)");
  EXPECT_EQ(table->rows[0], (std::vector<std::string>{"[1, 2]", "{'a': 1.5}", "1.00", "", "\\x01"}));
  EXPECT_TRUE(table->nulls[0][3]);
  EXPECT_EQ(world_->text("SELECT n FROM login ORDER BY amount DESC LIMIT 2"), "30\n29\n");
  EXPECT_EQ(world_->text("SELECT count(*) FROM acts"), "0\n");
  EXPECT_EQ(world_->text("SELECT count(*) FROM truth"), "0\n");
}

TEST_F(ArchiveQuery, aTypeWithoutEventsHasAnEmptyTable) {
  policy::Loaded loaded = policy::load_files({{"a.yaml",
                                               "event: login\nfields: {account: account}\n---\n"
                                               "event: logout\nfields: {account: account, why: string}\n"}});
  ASSERT_NE(loaded.policy, nullptr);
  world_->archive->declare(*loaded.policy);
  world_->feed("login", kDay0 + 7'200'000, R"("account":"anna")");
  world_->flush();
  EXPECT_EQ(world_->text("SELECT count(*), count(why) FROM logout WHERE account = 'anna'"), "0|0\n");
  EXPECT_NE(world_->text("SHOW TABLES").find("login\nlogout\n"), std::string::npos);
  EXPECT_EQ(world_->text("SELECT count(*) FROM events"), "31\n");
}

TEST_F(ArchiveQuery, nothingElseIsRun) {
  const std::string parquet = folder_.parquet_files().at(0);
  const std::string secret = folder_.root() + "/secret.csv";
  const std::string inside = folder_.path() + "/made.parquet";
  const std::vector<std::string> hostile = {
      "",
      ";",
      "SELECT 1; SELECT 2",
      "CREATE TABLE x AS SELECT 1",
      "CREATE TEMP TABLE x AS SELECT 1",
      "INSERT INTO events SELECT 1",
      "DROP VIEW events",
      "COPY (SELECT 1) TO '" + inside + "'",
      "COPY (SELECT 1) TO '" + parquet + "' (FORMAT parquet)",
      "EXPLAIN ANALYZE COPY (SELECT 1) TO '" + inside + "'",
      "EXPLAIN ANALYZE /**/ (FORMAT json) COPY (SELECT 1) TO '" + inside + "'",
      "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '" + inside + "'",
      "explain analyze create table x as select 1",
      "SELECT 1) AS a(c0); COPY (SELECT 1) TO '" + inside + "'; SELECT * FROM (SELECT 1",
      "SELECT * FROM '" + secret + "'",
      "SELECT * FROM read_csv('" + secret + "')",
      "SELECT * FROM read_text('" + folder_.path() + "/../secret.csv')",
      "SELECT * FROM glob('/etc/*')",
      "SELECT * FROM sniff_csv('/etc/passwd')",
      "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')",
      "ATTACH '" + folder_.path() + "/x.db'",
      "INSTALL httpfs",
      "LOAD httpfs",
      "SET threads = 1",
      "SET enable_external_access = true",
      "RESET memory_limit",
      "PRAGMA memory_limit='1TB'",
      "CALL enable_logging(storage = 'file')",
      "SELECT * FROM enable_logging(storage = 'file', storage_path = '" + folder_.root() + "')",
      "SELECT * FROM \"ENABLE_logging\" /* /* */ */ (storage = 'file')",
      "SELECT * FROM query('SELECT * FROM enable_' || 'logging()')",
      "SELECT * FROM query/* /* */ */('SELECT 1')",
      "SELECT * FROM arrow_scan(1::BIGINT::POINTER, 2::BIGINT::POINTER, 3::BIGINT::POINTER)",
      "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
      "SELECT write_log('x')",
      "SELECT sleep_ms(100000)",
      "SELECT * FROM force_checkpoint()",
      "EXPORT DATABASE '" + inside + "'",
      "IMPORT DATABASE '" + folder_.root() + "'",
      "CHECKPOINT",
      "BEGIN",
      "PREPARE p AS SELECT 1",
      "EXECUTE p",
      "USE memory",
      "SELECT ?",
      "SELECT * FROM read_parquet('" + parquet + "')",
      "SELECT * FROM query('COPY (SELECT 1) TO ''" + inside + "''')",
      "WITH a AS (SELECT 1) INSERT INTO events SELECT * FROM a",
      "SELECT 1 /*",
      std::string("SELECT 1\0", 9),
  };
  for (const std::string& sql : hostile) {
    auto table = world_->ask(sql);
    EXPECT_FALSE(table && !table->rows.empty())
        << sql << " gave " << (table && !table->rows.empty() ? table->rows[0][0] : "");
    if (!table) {
      EXPECT_EQ(table.error().message.find(folder_.path() + "/"), std::string::npos) << table.error().message;
    }
  }
  EXPECT_EQ(folder_.parquet_files(), std::vector<std::string>{parquet});
  EXPECT_EQ(world_->text("SELECT count(*) FROM events"), "30\n");
}

TEST_F(ArchiveQuery, timeRowsAndMemoryAreBounded) {
  QueryLimits limits;
  limits.rows_max = 7;
  auto table = world_->ask("SELECT n FROM login ORDER BY n", limits);
  ASSERT_TRUE(table);
  EXPECT_EQ(table->rows.size(), 7u);
  EXPECT_TRUE(table->cut);
  limits.rows_max = 30;
  EXPECT_FALSE(world_->ask("SELECT n FROM login", limits)->cut);
  limits.time_ms = 100;
  auto slow = world_->ask("SELECT count(*) FROM range(10000000000) a WHERE hash(a.range) % 7 = 1", limits);
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, base::Code::kLimit);
  EXPECT_NE(slow.error().message.find("stopped after 100 ms"), std::string::npos) << slow.error().message;
  int asked = 0;
  auto unwanted = world_->archive->query("SELECT count(*) FROM range(10000000000) a WHERE hash(a.range) % 7 = 1", {},
                                         [&] { return ++asked < 3; });
  ASSERT_FALSE(unwanted);
  EXPECT_EQ(unwanted.error().message, "the query was stopped");
  auto large = world_->ask("SELECT list(a.range::VARCHAR || repeat('x', 1000)) FROM range(100000000) a");
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, base::Code::kLimit) << large.error().message;
  EXPECT_EQ(world_->text("SELECT count(*) FROM events"), "30\n");
}

TEST_F(ArchiveQuery, faultsAreTold) {
  EXPECT_NE(world_->text("SELECT acount FROM login").find("\"account\""), std::string::npos);
  EXPECT_NE(world_->text("SELEC 1").find("only what reads"), std::string::npos);
  EXPECT_NE(world_->text("SELECT 1 FRM x y").find("syntax error"), std::string::npos);
  EXPECT_NE(world_->text("SELECT * FROM nothing").find("nothing"), std::string::npos);
}

}  // namespace
}  // namespace tamis::archive
