#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "archive/archive_test_kit.h"
#include "archive/parquet.h"

namespace tamis::archive {
namespace {

std::string key_of(std::string_view day) { return "key of " + std::string(day); }

Archive::Retention retention(int64_t now_ms) {
  Archive::Retention out;
  out.now_ms = now_ms;
  out.key_of_day = key_of;
  return out;
}

// Parquet compresses, so values are looked for in what can be read as well as in the bytes.
bool occurs(const TestFolder& folder, const World& world, const std::string& value) {
  for (const std::string& path : folder.parquet_files()) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    if (bytes.str().find(value) != std::string::npos) return true;
  }
  return world.text("SELECT count(*) FROM login WHERE login::VARCHAR LIKE '%" + value + "%'") != "0\n" ||
         world.text("SELECT count(*) FROM acts WHERE acts::VARCHAR LIKE '%" + value + "%'") != "0\n";
}

TEST(ArchiveRetention, privateValuesBecomeTokens) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  const std::string members = R"("account":"anna","ip":"10.0.0.77","email":"b.ob+x@mail.example","device":"d1")";
  for (int i = 0; i < 4; ++i) world.feed("login", kDay0 + i * 1'000, members);
  engine::Act act;
  act.kind = engine::Act::Kind::kLabelSet;
  act.entity_kind = "ip";
  act.value = "10.0.0.77";
  act.name = "bad";
  act.author = "ann";
  ASSERT_TRUE(world.archive->add_act(++world.record, kDay0 + 5'000, act));
  world.flush();
  ASSERT_TRUE(occurs(folder, world, "10.0.0.77"));

  auto early = world.archive->retain(*world.policy, retention(kDay0 + 8 * kDayMs - 1), {});
  ASSERT_TRUE(early) << early.error().message;
  EXPECT_EQ(early->files_rewritten, 0u);

  auto report = world.archive->retain(*world.policy, retention(kDay0 + 8 * kDayMs), {});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->files_rewritten, 2u);
  EXPECT_EQ(report->values_dropped, 1u);  // one reason
  // ip and email, ip.net24 and email.base_local of four events, and an act.
  EXPECT_EQ(report->values_tokened, 17u);
  const std::string token = token_of("key of 2026-09-22", "10.0.0.77");
  EXPECT_EQ(token.size(), 36u);
  EXPECT_EQ(world.text("SELECT DISTINCT ip, account, \"email.domain\", device FROM login"),
            token + "|anna|mail.example|d1\n");
  EXPECT_EQ(world.text("SELECT DISTINCT kind, value FROM acts"), "ip|" + token + "\n");
  for (const char* value : {"10.0.0.77", "10.0.0.0/24", "b.ob+x"}) EXPECT_FALSE(occurs(folder, world, value)) << value;
  // A token is no value: a rule on it can only be answered by a replay.
  EXPECT_EQ(*world.archive->missing(world.request("login", {"account", "ip", "ip.net24"})),
            (std::vector<std::string>{"ip", "ip.net24"}));
  auto scan = world.archive->scan(world.request("login", {"ip"}));
  ASSERT_FALSE(scan);
  EXPECT_EQ(scan.error().code, base::Code::kNotFound);

  auto again = world.archive->retain(*world.policy, retention(kDay0 + 9 * kDayMs), {});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->files_rewritten, 0u);
  world.reopen();
  EXPECT_EQ(world.text("SELECT count(*) FROM login"), "4\n");
}

// What people put on lists may be an address, and their reasons may name one.
TEST(ArchiveRetention, actsLosePrivateEntriesAndReasonsThatNameThem) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  auto act = [&](const char* list, const char* kind, const char* value, const char* reason) {
    engine::Act done;
    done.kind = *list != 0 ? engine::Act::Kind::kListAdd : engine::Act::Kind::kLabelSet;
    done.list = list;
    done.entity_kind = kind;
    done.value = value;
    done.name = *list != 0 ? "" : "bad";
    done.author = "ann";
    done.reason = reason;
    ASSERT_TRUE(world.archive->add_act(++world.record, kDay0 + 5'000, done));
  };
  world.feed("login", kDay0, R"("account":"anna","device":"d1")");  // so that there is such a table to look into
  act("blocked", "", "10.9.8.7", "seen at 10.9.8.7");
  act("blocked", "", "10.9.0.0/16", "all of them");
  act("blocked", "", "planted@mail.example", "planted@mail.example wrote");
  act("blocked", "", "2001:db8::77", "at 12:30:00");
  act("blocked", "", "anna", "a customer");
  act("", "account", "berta", "logs in from 2001:db8::77");
  act("", "ip", "10.1.2.3", "ticket 12");
  world.flush();
  auto report = world.archive->retain(*world.policy, retention(kDay0 + 8 * kDayMs), {});
  ASSERT_TRUE(report) << report.error().message;
  for (const char* value : {"10.9.8.7", "10.9.0.0", "planted", "2001:db8", "10.1.2.3"})
    EXPECT_FALSE(occurs(folder, world, value)) << value;
  EXPECT_EQ(world.text("SELECT value, reason FROM acts WHERE value NOT LIKE 'tok:%' ORDER BY n"),
            "anna|a customer\nberta|NULL\n");
  EXPECT_EQ(world.text("SELECT reason FROM acts WHERE reason IS NOT NULL AND value LIKE 'tok:%' ORDER BY n"),
            "all of them\nat 12:30:00\nticket 12\n");
  auto again = world.archive->retain(*world.policy, retention(kDay0 + 9 * kDayMs), {});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->files_rewritten, 0u);
}

TEST(ArchiveRetention, fieldsAndRowsHaveTheirDays) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  world.feed("login", kDay0, R"("account":"anna","device":"d1")");
  world.feed("login", kDay0 + 20 * kDayMs, R"("account":"bert","device":"d2")");
  world.flush();
  ASSERT_TRUE(world.archive->retain(*world.policy, retention(kDay0 + 31 * kDayMs), {}));
  EXPECT_EQ(world.text("SELECT account, device FROM login ORDER BY n"), "anna|NULL\nbert|d2\n");
  EXPECT_EQ(*world.archive->missing(world.request("login", {"device"})), std::vector<std::string>{"device"});
  auto stopped = world.archive->retain(*world.policy, retention(kDay0 + 366 * kDayMs), [] { return false; });
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->files_removed, 0u);
  auto report = world.archive->retain(*world.policy, retention(kDay0 + 366 * kDayMs), {});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->files_removed, 1u);
  EXPECT_EQ(report->rows_removed, 1u);
  EXPECT_EQ(world.text("SELECT account FROM login ORDER BY n"), "bert\n");
  EXPECT_EQ(folder.parquet_files().size(), 1u);
}

TEST(ArchiveRetention, erasingAnEntityRemovesItsRowsRawAndAsTokens) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  for (int day = 0; day < 2; ++day) {
    for (const char* ip : {"10.0.0.1", "10.0.0.2"})
      world.feed("login", kDay0 + day * 9 * kDayMs, std::string(R"("account":"anna","ip":")") + ip + "\"");
  }
  engine::Act act;
  act.kind = engine::Act::Kind::kLabelSet;
  act.entity_kind = "ip";
  act.value = "10.0.0.2";
  act.name = "bad";
  ASSERT_TRUE(world.archive->add_act(++world.record, kDay0, act));
  world.flush();
  ASSERT_TRUE(world.archive->retain(*world.policy, retention(kDay0 + 9 * kDayMs), {}));
  ASSERT_EQ(world.text("SELECT count(*) FROM login WHERE ip LIKE 'tok:%'"), "2\n");
  auto removed = world.archive->erase(*world.policy, "ip", "10.0.0.2", key_of);
  ASSERT_TRUE(removed) << removed.error().message;
  EXPECT_EQ(*removed, 3u);
  EXPECT_EQ(world.text("SELECT n FROM login ORDER BY n"), "1\n3\n");
  EXPECT_EQ(world.text("SELECT count(*) FROM acts"), "0\n");
  EXPECT_FALSE(occurs(folder, world, "10.0.0.2"));
  // Once more finds nothing and touches no file.
  const std::vector<std::string> files = folder.parquet_files();
  EXPECT_EQ(*world.archive->erase(*world.policy, "ip", "10.0.0.2", key_of), 0u);
  EXPECT_EQ(folder.parquet_files(), files);
  EXPECT_EQ(*world.archive->erase(*world.policy, "ip", "it's \" nobody", key_of), 0u);
  // An attribute names an entity, too.
  EXPECT_EQ(*world.archive->erase(*world.policy, "network", "10.0.0.0/24", key_of), 2u);
  EXPECT_EQ(world.archive->stats().rows, 0u);
  EXPECT_TRUE(folder.parquet_files().empty());
}

TEST(ArchiveErasure, leavesTheTableOfATypeWithoutRows) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  world.feed("login", kDay0, R"("account":"anna","ip":"10.0.0.1")");
  world.flush();
  auto erased = world.archive->erase(*world.policy, "account", "anna", [](std::string_view) { return std::string(); });
  ASSERT_TRUE(erased) << erased.error().message;
  EXPECT_EQ(*erased, 1u);
  for (int i = 0; i < 2; ++i) {
    auto table = world.archive->query("SELECT account, \"ip.net24\", amount FROM login", {}, [] { return true; });
    ASSERT_TRUE(table) << table.error().message;
    EXPECT_TRUE(table->rows.empty());
    ASSERT_EQ(table->columns.size(), 3u);
    EXPECT_EQ(table->columns[2].type, "BIGINT");
    world.reopen();
  }
  world.feed("login", kDay0, R"("account":"bert","ip":"10.0.0.1")");
  world.flush();
  auto table = world.archive->query("SELECT account FROM login", {}, [] { return true; });
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->rows.size(), 1u);
}

}  // namespace
}  // namespace tamis::archive
