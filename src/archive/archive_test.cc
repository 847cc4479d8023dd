#include "archive/archive.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <atomic>
#include <fstream>
#include <map>
#include <thread>

#include "archive/archive_test_kit.h"

namespace tamis::archive {
namespace {

TEST(Archive, whatWasAddedIsFoundAfterAFlush) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  for (int i = 0; i < 5; ++i)
    world.feed("login", kDay0 + i * 1'000,
               R"("account":"anna","ip":"10.0.0.7","email":"bo.b@Mail.example","amount":7)");
  world.feed("login", kDay0 + 9'000, R"("account":"carl","ip":"10.0.1.7","amount":700,"urls":["a","b"])");
  EXPECT_EQ(world.text("SELECT count(*) FROM events"), "0\n");
  EXPECT_EQ(world.archive->stats().pending_rows, 6u);
  world.flush();
  EXPECT_EQ(world.archive->stats().pending_rows, 0u);
  EXPECT_EQ(world.archive->stats().rows, 6u);
  EXPECT_EQ(world.archive->stats().upto, 6u);
  EXPECT_EQ(
      world.text("SELECT n, account, ip, \"ip.net24\", \"email.base_local\", amount, verdict, points, rules, shadow, "
                 "logins_per_ip, urls, reasons FROM login WHERE n IN (1, 4, 6) ORDER BY n"),
      "1|anna|10.0.0.7|10.0.0.0/24|bob|7|accept|1.0|[mailbox]|[net]|0|NULL|NULL\n"
      "4|anna|10.0.0.7|10.0.0.0/24|bob|7|challenge|16.0|[many, mailbox]|[net]|3|NULL|[3 logins from 10.0.0.7]\n"
      "6|carl|10.0.1.7|10.0.1.0/24|NULL|700|reject|0.0|[dear]|[]|0|[\"a\",\"b\"]|NULL\n");
  EXPECT_EQ(scan_text(*world.archive,
                      world.request("login", {"account", "ip.net24", "amount", "urls", "logins_per_ip"}), true),
            R"(1|"anna"|"10.0.0.0/24"|7|absent|0|accept|mailbox,
2|"anna"|"10.0.0.0/24"|7|absent|1|accept|mailbox,
3|"anna"|"10.0.0.0/24"|7|absent|2|accept|mailbox,
4|"anna"|"10.0.0.0/24"|7|absent|3|challenge|many,mailbox,
5|"anna"|"10.0.0.0/24"|7|absent|4|challenge|many,mailbox,
6|"carl"|"10.0.1.0/24"|700|["a", "b"]|0|reject|dear,
)");
}

constexpr const char* kAll = R"y(
event: all
fields:
  B: bool
  i: int
  u: uint
  d: double
  s: string
  x: bytes
  ts: timestamp
  w: duration
  l: list(timestamp)
  m: map(string, int)
  any: dyn
  b: string
  rules: string
  type: string
  ID: string
)y";

std::string all_of(const World& world) {
  return scan_text(*world.archive, world.request("all", {"B", "i", "u", "d", "s", "x", "ts", "w", "l", "m", "any", "b",
                                                         "rules", "type", "ID"}));
}

// What the slots of the last event say, as scan_text() writes it.
std::string slots_of(World& world) {
  std::string out = std::to_string(world.record);
  for (size_t i = 0; i < world.event.event().schema->fields.size(); ++i)
    out += "|" + event::debug_string(world.event.event().slots[i]);
  return out + "\n";
}

TEST(Archive, valuesOfEveryTypeComeBack) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path(), std::string(kHead) + kAll);
  std::string expected;
  const std::vector<std::string> events = {
      R"("B":true,"i":-5,"u":18446744073709551615,"d":0.1,"s":"caf\u00e9 it's","x":"AAEC","ts":"2026-01-02T03:04:05.678Z")",
      R"("w":"1.5s","l":["2026-01-02T03:04:05Z"],"m":{"a":1,"b":-2},"any":{"k":[1,2.0,"x",null,true]},"b":"small","rules":"r")",
      "",
      R"("B":false,"i":9223372036854775807,"d":-1e300,"s":"","x":"","type":"signup","ID":"other","ts":-1,"any":"text")",
      R"("i":-9223372036854775808,"d":3,"s":"a longer text that does not fit into twelve bytes","l":[],"m":{},"any":[])"};
  for (const std::string& members : events) {
    world.feed("all", kDay0, members);
    expected += slots_of(world);
  }
  world.flush();
  EXPECT_EQ(all_of(world), expected);
  world.reopen();
  EXPECT_EQ(all_of(world), expected);
  // SQL does not tell upper from lower case: the second of two names is told apart.
  EXPECT_EQ(world.text("SELECT \"b\", \"field.b\", \"field.rules\", \"field.type\", \"field.ID\", rules FROM \"all\" "
                       "WHERE n IN (2, 4) "
                       "ORDER BY n"),
            "NULL|small|r|NULL|NULL|[]\nfalse|NULL|NULL|signup|other|[]\n");
}

TEST(Archive, randomSchemasAndValuesComeBack) {
  TAMIS_NEEDS_DUCKDB();
  const std::vector<std::pair<std::string, std::vector<std::string>>> kTypes = {
      {"bool", {"true", "false"}},
      {"int", {"0", "-1", "9007199254740993"}},
      {"uint", {"0", "9223372036854775808"}},
      {"double", {"0.5", "-2", "1e-300"}},
      {"string", {"\"\"", "\"abc\"", "\"line\\nfeed \\\" and \\u0001 and more of it\""}},
      {"bytes", {"\"\"", "\"////\""}},
      {"timestamp", {"\"1969-12-31T23:59:59.999999Z\"", "1790035200123"}},
      {"duration", {"\"-3s\"", "\"0.000000001s\""}},
      {"list(int)", {"[]", "[1,-2]"}},
      {"map(string, string)", {"{}", "{\"a\":\"b\"}"}},
      {"dyn", {"1", "\"x\"", "[{\"a\":2.5}]"}}};
  rc::check("values come back", [&] {
    const auto picks = *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, kTypes.size()));
    std::string yaml = std::string(kHead) + "event: all\nfields:\n  f: int\n";
    std::vector<std::string> names = {"f"};
    for (size_t i = 0; i < picks.size(); ++i) {
      names.push_back("f" + std::to_string(i));
      yaml += "  " + names.back() + ": " + kTypes[picks[i]].first + "\n";
    }
    TestFolder folder;
    World world(folder.path(), yaml);
    std::string expected;
    const int rows = *rc::gen::inRange(1, 6);
    for (int row = 0; row < rows; ++row) {
      std::string members = "\"f\":" + std::to_string(row);
      for (size_t i = 0; i < picks.size(); ++i) {
        const auto& values = kTypes[picks[i]].second;
        const auto pick = *rc::gen::inRange<size_t>(0, values.size() + 1);
        if (pick < values.size()) members += ",\"f" + std::to_string(i) + "\":" + values[pick];
      }
      world.feed("all", kDay0 + *rc::gen::inRange<int64_t>(0, 3) * kDayMs, members);
      expected += slots_of(world);
      if (*rc::gen::inRange(0, 3) == 0) world.flush();
    }
    world.flush();
    RC_ASSERT(scan_text(*world.archive, world.request("all", names)) == expected);
  });
}

TEST(Archive, rowsOfOverlappingDaysComeInOrder) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  ArchiveOptions options;
  options.file_rows_max = 5'000;
  World world(folder.path(), std::string(kHead) + kLogin, options);
  uint64_t expected = 0;
  for (int i = 0; i < 9'000; ++i) {
    // Around midnight days take turns; elsewhere there are long runs of one day.
    const int64_t day = i < 3'000 ? 0 : i < 3'500 ? i % 2 : 1;
    world.feed("login", kDay0 + day * kDayMs + i, "\"amount\":" + std::to_string(i));
    if (i % 500 == 499) world.flush();
  }
  EXPECT_LT(world.archive->stats().files, 16u);  // of 19, small ones were joined
  EXPECT_EQ(world.archive->stats().failure, "");
  ScanRequest request = world.request("login", {"amount"});
  auto scan = world.archive->scan(request);
  ASSERT_TRUE(scan) << scan.error().message;
  EXPECT_EQ((*scan)->rows_total(), 9'000u);
  while (true) {
    auto batch = (*scan)->next();
    ASSERT_TRUE(batch);
    if ((*batch)->rows == 0) break;
    for (uint32_t i = 0; i < (*batch)->rows; ++i) {
      ASSERT_EQ((*batch)->n[i], ++expected);
      ASSERT_EQ((*batch)->columns[static_cast<size_t>(request.slots[0])].at(i).i, static_cast<int64_t>(expected) - 1);
    }
  }
  EXPECT_EQ(expected, 9'000u);
  EXPECT_EQ(folder.parquet_files().size(), world.archive->stats().files);

  request.only = {3, 3'100, 3'101, 8'999};
  EXPECT_EQ(scan_text(*world.archive, request), "3|2\n3100|3099\n3101|3100\n8999|8998\n");
  request.only.clear();
  request.from_ms = kDay0 + 10;
  request.to_ms = kDay0 + 12;
  EXPECT_EQ(scan_text(*world.archive, request), "11|10\n12|11\n");
  request.from_ms = INT64_MIN;
  request.to_ms = INT64_MAX;
  request.where = "amount >= 8998 AND verdict = 'reject'";
  EXPECT_EQ(scan_text(*world.archive, request), "8999|8998\n9000|8999\n");
  request.where = "amount >";
  EXPECT_NE(scan_text(*world.archive, request).find("error: "), std::string::npos);
}

TEST(Archive, aPolicyThatChangedIsNoticed) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  world.feed("login", kDay0, R"("account":"anna","ip":"10.0.0.7","email":"a@b.example","amount":5)");
  world.flush();
  std::string yaml = std::string(kHead) + kLogin;
  // Another window under the same name, a new field, a field of another type, attributes that nobody read before.
  auto put = [&](const std::string& from, const std::string& to) { yaml.replace(yaml.find(from), from.size(), to); };
  put("over: 1h", "over: 2h");
  put("  share: double", "  share: double\n  added: string");
  put("amount: int", "amount: double");
  put("'amount > 100'", "'amount > 100.0 && ip.net16 == \"10.0.0.0/16\" && ip.country != \"DE\" && added != \"\"'");
  world.use(yaml);
  ScanRequest request =
      world.request("login", {"account", "ip.net16", "logins_per_ip", "added", "amount", "ip.country"});
  EXPECT_EQ(*world.archive->missing(request),
            (std::vector<std::string>{"logins_per_ip", "added", "amount", "ip.country"}));
  EXPECT_NE(scan_text(*world.archive, request).find("error: the archive does not have logins_per_ip, added"),
            std::string::npos);
  // What follows from a stored field alone is made on reading.
  EXPECT_EQ(scan_text(*world.archive, world.request("login", {"account", "ip.net16"})), "1|\"anna\"|\"10.0.0.0/16\"\n");
  world.feed("login", kDay0 + kDayMs, R"("account":"bert","ip":"10.1.0.7","amount":2.5,"added":"x")");
  world.flush();
  EXPECT_EQ(world.text("SELECT account, amount, added, \"ip.net16\", logins_per_ip FROM login ORDER BY n"),
            "anna|5.0|NULL|NULL|0\nbert|2.5|x|10.1.0.0/16|0\n");
  request.from_ms = kDay0 + kDayMs;
  EXPECT_EQ(scan_text(*world.archive, request), "2|\"bert\"|\"10.1.0.0/16\"|0|\"x\"|2.5|absent\n");
  EXPECT_EQ(scan_text(*world.archive, world.request("login", {"account", "ip.net16"})),
            "1|\"anna\"|\"10.0.0.0/16\"\n2|\"bert\"|\"10.1.0.0/16\"\n");
}

TEST(Archive, aStaleManifestIsTheStateBeforeTheFlush) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  world.feed("login", kDay0, R"("account":"anna")");
  world.flush();
  std::filesystem::copy_file(folder.path() + "/manifest.json", folder.root() + "/stale");
  world.feed("login", kDay0, R"("account":"bert")");
  world.flush();
  EXPECT_EQ(folder.parquet_files().size(), 2u);
  // A crash between the files and the manifest.
  world.archive.reset();
  std::filesystem::copy_file(folder.root() + "/stale", folder.path() + "/manifest.json",
                             std::filesystem::copy_options::overwrite_existing);
  world.reopen();
  EXPECT_EQ(folder.parquet_files().size(), 1u);
  EXPECT_EQ(world.archive->stats().upto, 1u);
  EXPECT_EQ(world.text("SELECT account FROM login"), "anna\n");
  // Recovery adds what is behind `upto`, and may add too much.
  for (world.record = 0; world.record < 2;) world.feed("login", kDay0, R"("account":"bert")");
  world.flush();
  EXPECT_EQ(world.text("SELECT n, account FROM login ORDER BY n"), "1|anna\n2|bert\n");
}

TEST(Archive, aFlushWritesNothingBehindItsRecord) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  for (int i = 0; i < 5; ++i) world.feed("login", kDay0, R"("account":"anna")");
  ASSERT_TRUE(world.archive->flush(3));
  EXPECT_EQ(world.archive->stats().pending_rows, 2u);
  world.reopen();
  for (world.record = 3; world.record < 5;) world.feed("login", kDay0, R"("account":"anna")");
  world.flush();
  EXPECT_EQ(world.text("SELECT count(*), count(DISTINCT n) FROM login"), "5|5\n");
}

TEST(Archive, aFailedFlushKeepsEverything) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  world.feed("login", kDay0, R"("account":"anna")");
  std::filesystem::create_directories(folder.path());
  std::ofstream(folder.path() + "/login") << "no folder";
  EXPECT_FALSE(world.archive->flush(1));
  EXPECT_NE(world.archive->stats().failure.find("login"), std::string::npos) << world.archive->stats().failure;
  EXPECT_EQ(world.archive->stats().pending_rows, 1u);
  EXPECT_EQ(world.archive->stats().upto, 0u);
  world.feed("login", kDay0, R"("account":"bert")");
  std::filesystem::remove(folder.path() + "/login");
  // A manifest that cannot be replaced: the files written for it go again.
  std::filesystem::create_directories(folder.path() + "/manifest.json/x");
  EXPECT_FALSE(world.archive->flush(2));
  EXPECT_TRUE(folder.parquet_files().empty());
  EXPECT_EQ(world.archive->stats().pending_rows, 2u);
  std::filesystem::remove_all(folder.path() + "/manifest.json");
  world.flush();
  EXPECT_EQ(world.archive->stats().failure, "");
  EXPECT_EQ(world.text("SELECT n, account FROM login ORDER BY n"), "1|anna\n2|bert\n");
}

TEST(Archive, aLostFileIsTold) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  for (int day = 0; day < 2; ++day) {
    world.feed("login", kDay0 + day * kDayMs, R"("account":"anna")");
  }
  world.flush();
  world.archive.reset();
  std::filesystem::resize_file(folder.path() + "/login/2026-09-22/1-1.parquet", 10);
  world.reopen();
  EXPECT_EQ(world.archive->stats().failure, "");
  const std::string told = "login/2026-09-22/1-1.parquet of the archive has 10 bytes";
  EXPECT_EQ(world.archive->stats().damage.find(told), 0u);
  // No answer is made of what is left.
  auto answer = world.archive->query("SELECT n FROM login", {}, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, base::Code::kUnavailable);
  EXPECT_EQ(answer.error().message.find(told), 0u) << answer.error().message;
  EXPECT_NE(scan_text(*world.archive, world.request("login", {"account"})).find(told), std::string::npos);
  EXPECT_FALSE(world.archive->rows("login", {1, 2}));
  EXPECT_TRUE(world.archive->rows("login", {2}));
}

TEST(Archive, anotherProcessMayRead) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  world.feed("login", kDay0, R"("account":"anna")");
  world.flush();
  ArchiveOptions options;
  options.read_only = true;
  auto reader = Archive::open(folder.path(), options);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->stats().rows, 1u);
  world.feed("login", kDay0, R"("account":"bert")");
  world.flush();
  EXPECT_EQ((*reader)->stats().rows, 2u);
  EXPECT_EQ((*reader)->query("SELECT n FROM login", {}, {})->rows.size(), 2u);
  EXPECT_FALSE((*reader)->add_act(9, kDay0, {}));
  EXPECT_FALSE((*reader)->flush(9));
  EXPECT_FALSE((*reader)->retain(*world.policy, {}, {}));
  EXPECT_FALSE((*reader)->erase(*world.policy, "ip", "x", {}));
  EXPECT_FALSE(Archive::open(folder.root() + "/nowhere", options));
}

TEST(Archive, waitingRowsAreBounded) {
  TestFolder folder;
  ArchiveOptions options;
  options.pending_bytes_max = 1'000;
  World world(folder.path(), std::string(kHead) + kLogin, options);
  base::Status status;
  ASSERT_TRUE(world.event.prepare(world.policy, "login", R"({"t":1790035200000,"account":"anna"})", nullptr));
  for (uint64_t n = 1; n < 100 && status; ++n) status = world.archive->add(world.event, nullptr, n, kDay0);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, base::Code::kLimit);
  EXPECT_LE(world.archive->stats().pending_bytes, 1'000u);
}

TEST(Archive, eventsThatNobodyDecidedLieAmongTheOthers) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  ASSERT_TRUE(world.event.prepare(world.policy, "login", R"({"id":"x","t":1790035200000,"account":"anna"})", nullptr));
  ASSERT_TRUE(world.archive->add(world.event, nullptr, 7, kDay0));
  world.record = 7;
  world.flush();
  EXPECT_EQ(world.text("SELECT n, id, account, verdict, points, rules, logins_per_ip FROM login"),
            "7|x|anna|NULL|NULL|NULL|NULL\n");
  EXPECT_EQ(scan_text(*world.archive, world.request("login", {"account", "logins_per_ip"}), true),
            "7|\"anna\"|absent||\n");
}

TEST(Archive, actsAreKept) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  engine::Act act;
  act.kind = engine::Act::Kind::kListAdd;
  act.list = "bad_ips";
  act.value = "10.0.0.1";
  act.author = "ann";
  act.reason = "it's spam";
  act.since_ms = kDay0;
  ASSERT_TRUE(world.archive->add_act(1, kDay0, act));
  ASSERT_TRUE(world.archive->flush(1));
  EXPECT_EQ(world.text("SELECT n, act, list, value, author, reason, since, expires, kind FROM acts"),
            "1|list_add|bad_ips|10.0.0.1|ann|it's spam|2026-09-22 00:00:00|NULL|NULL\n");
}

// The files have the records from 1 to `last`, each file a range of its own.
void expect_no_gap(const TestFolder& folder, uint64_t last) {
  std::map<uint64_t, uint64_t> ranges;  // from names: FIRST-LAST.parquet
  for (const std::string& path : folder.parquet_files()) {
    const std::string name = std::filesystem::path(path).stem().string();
    EXPECT_TRUE(ranges.emplace(std::stoull(name), std::stoull(name.substr(name.find('-') + 1))).second) << name;
  }
  uint64_t before = 0;
  for (const auto& [first, until] : ranges) {
    EXPECT_EQ(first, before + 1);
    before = until;
  }
  EXPECT_EQ(before, last);
}

// Large and small files by turns: only neighbours are joined, whatever their size.
TEST(Archive, joinedFilesDoNotOverlap) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  constexpr int kFlushes = 28;
  for (int i = 0; i < kFlushes; ++i) {
    for (int row = i % 3 == 1 ? 300 : 4'200; row > 0; --row) world.feed("login", kDay0 + i, R"("account":"anna")");
    world.flush();
    expect_no_gap(folder, world.record);
  }
  EXPECT_LT(folder.parquet_files().size(), size_t{kFlushes} / 2);
  EXPECT_EQ(world.text("SELECT count(*), count(DISTINCT n) FROM login"),
            std::to_string(world.record) + "|" + std::to_string(world.record) + "\n");
}

// Rows that come while a flush is under way follow those that it left: files that overlap could only be joined by
// sorting them.
TEST(Archive, filesOfRowsThatComeMeanwhileDoNotOverlap) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  constexpr uint64_t kEvents = 60'000, kEach = 5'000, kLeft = 100;  // larger than files that each flush joins
  std::atomic<uint64_t> added = 0, flushed = 0;
  std::thread flusher([&] {
    for (uint64_t upto = kEach; upto < kEvents; upto += kEach) {
      while (added < upto + kLeft) std::this_thread::yield();
      EXPECT_TRUE(world.archive->flush(upto, false));
      flushed = upto;
    }
  });
  for (uint64_t i = 0; i < kEvents; ++i) {
    while (i > flushed + 3 * kEach / 2) std::this_thread::yield();
    world.feed("login", kDay0 + static_cast<int64_t>(i), R"("account":"anna")");
    added = world.record;
  }
  flusher.join();
  EXPECT_TRUE(world.archive->flush(world.record, false));
  expect_no_gap(folder, kEvents);
}

TEST(Archive, addingFlushingAskingAndScanningAtOnce) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  std::atomic<bool> done = false;
  std::atomic<uint64_t> flushed = 0, added = 0;
  const ScanRequest request = world.request("login", {"account", "ip"});
  std::thread flusher([&] {
    while (!done) {
      const uint64_t upto = added;
      if (upto > flushed && world.archive->flush(upto)) flushed = upto;
    }
  });
  std::vector<std::thread> readers;
  std::atomic<int> faults = 0;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&, i] {
      while (!done) {
        const uint64_t at_least = flushed;
        uint64_t rows = 0;
        if (i == 0) {
          auto table = world.archive->query("SELECT count(*), count(DISTINCT n) FROM events", {}, {});
          if (!table || table->rows[0][0] != table->rows[0][1]) ++faults;
          if (table) rows = std::stoull(table->rows[0][0]);
        } else {
          auto scan = world.archive->scan(request);
          while (scan) {
            auto batch = (*scan)->next();
            if (!batch) ++faults;
            if (!batch || (*batch)->rows == 0) break;
            for (uint32_t row = 0; row < (*batch)->rows; ++row) {
              if ((*batch)->n[row] != ++rows) ++faults;
            }
          }
        }
        if (rows < at_least) ++faults;
      }
    });
  }
  for (int i = 0; i < 20'000; ++i) {
    world.feed("login", kDay0 + i, R"("account":"anna","ip":"10.0.0.7")");
    added = world.record;
  }
  done = true;
  flusher.join();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(faults, 0);
  world.flush();
  EXPECT_EQ(world.text("SELECT count(*) FROM events"), "20000\n");
  EXPECT_EQ(folder.parquet_files().size(), world.archive->stats().files);
}

}  // namespace
}  // namespace tamis::archive
