// Damage: a bit that flips anywhere in a file of the archive is told, whoever reads it and however; it is not written
// into another file, and nothing else is lost by it.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "archive/archive_test_kit.h"
#include "archive/hashes.h"
#include "archive/manifest.h"
#include "archive/parquet_bytes.h"
#include "base/file.h"

namespace tamis::archive {
namespace {

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void flip(const std::string& path, uint64_t byte, int bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(byte));
  const char before = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(byte));
  file.put(static_cast<char>(before ^ (1 << bit)));
  ASSERT_TRUE(file.good());
}

std::string key_of(std::string_view day) { return "key of " + std::string(day); }

void feed(World& world, uint64_t number) {
  const std::string n = std::to_string(number);
  world.feed("login", kDay0 + static_cast<int64_t>(number) * 7,
             R"("account":"a)" + std::to_string(number % 37) + R"(","ip":"10.0.0.)" + std::to_string(number % 200) +
                 R"(","amount":)" + n + R"(,"share":0.)" + n + R"(,"urls":["http://h)" + n + R"(.example/"])");
}

// How this archive answers, asked in each way that there is; an answer that failed begins with "error".
std::vector<std::string> answers(const World& world, const std::string& folder) {
  ArchiveOptions options;
  options.read_only = true;
  options.threads = 1;
  auto archive = Archive::open(folder, options);
  if (!archive) return {"error: " + archive.error().message};
  std::vector<std::string> out;
  ScanRequest pages = world.request("login", {"account", "ip", "amount", "share"});
  pages.reasons_and_ids = true;
  out.push_back(scan_text(**archive, pages, true));
  ScanRequest json = world.request("login", {"urls"});  // which DuckDB reads
  json.decisions = false;
  out.push_back(scan_text(**archive, json));
  ScanRequest some = world.request("login", {"amount"});
  some.where = "\"account\" = 'a7'";
  some.decisions = false;
  out.push_back(scan_text(**archive, some));
  for (const char* sql : {"SELECT * FROM login ORDER BY n", "SELECT count(*), max(n) FROM login",
                          "SELECT n FROM login WHERE account = 'a7' ORDER BY n", "SELECT * FROM acts"}) {
    auto table = (*archive)->query(sql, {}, {});
    std::string text;
    for (size_t row = 0; table && row < table->rows.size(); ++row) {
      for (const std::string& cell : table->rows[row]) text += cell + "|";
      text += '\n';
    }
    out.push_back(table ? text : "error: " + table.error().message);
  }
  TallyRequest tally;
  tally.policy = world.policy.get();
  tally.type = &world.type("login");
  tally.slots = tally.facets = {world.slot("login", "account")};
  tally.where = "s" + std::to_string(tally.slots[0]) + " <> 'a8'";
  tally.rows = 3;
  auto counted = (*archive)->tally(tally, {});
  std::string text;
  if (counted && *counted) {
    text = std::to_string((*counted)->count);
    std::sort((*counted)->facets[0].values.begin(), (*counted)->facets[0].values.end());
    for (const auto& [value, rows] : (*counted)->facets[0].values) text += "|" + value + std::to_string(rows);
    for (const Tally::Row& row : (*counted)->newest) text += "|" + std::to_string(row.n);
  }
  out.push_back(!counted ? "error: " + counted.error().message : text);
  auto shown = (*archive)->rows("login", {1, 7, 29, 811});
  text.clear();
  if (shown) {
    for (const auto& [n, row] : *shown) text += row + "\n";
  }
  out.push_back(shown ? text : "error: " + shown.error().message);
  return out;
}

class AFlippedBit : public testing::TestWithParam<uint64_t> {};

// Wherever it is, verify() finds it; and each answer is the one that it was or names the file.
TEST_P(AFlippedBit, isNeverAnAnswer) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  for (uint64_t n = 0; n < 22'000; ++n) {
    feed(world, n);
    if (n % 11'000 == 10'999 || n < 3) world.flush();
  }
  engine::Act act;
  act.kind = engine::Act::Kind::kLabelSet;
  act.entity_kind = "ip";
  act.value = "10.0.0.77";
  act.name = "bad";
  act.author = "ann";
  ASSERT_TRUE(world.archive->add_act(++world.record, kDay0 + 5'000, act));
  world.flush();
  world.archive.reset();
  const std::vector<std::string> expected = answers(world, folder.path());
  for (const std::string& answer : expected) ASSERT_NE(answer.find("error"), 0u) << answer;
  std::mt19937_64 random(GetParam());
  ArchiveOptions options;
  options.read_only = true;
  const std::vector<std::string> files = folder.parquet_files();
  for (int round = 0; round < 30; ++round) {
    const std::string& file = files[random() % files.size()];
    const uint64_t size = std::filesystem::file_size(file);
    // One in three into the footer, which is small.
    const uint64_t byte = round % 3 == 0 ? size - 1 - random() % std::min<uint64_t>(size, 9'000) : random() % size;
    const int bit = static_cast<int>(random() % 8);
    SCOPED_TRACE(file + ", byte " + std::to_string(byte) + ", bit " + std::to_string(bit));
    flip(file, byte, bit);
    const std::string name = file.substr(folder.path().size() + 1);
    auto archive = Archive::open(folder.path(), options);
    ASSERT_TRUE(archive) << archive.error().message;
    auto found = (*archive)->verify({});
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_EQ(found->damaged, 1u);
    EXPECT_NE(found->damage[0].find(name), std::string::npos) << found->damage[0];
    EXPECT_NE((*archive)->stats().damage.find(name), std::string::npos);
    const std::vector<std::string> now = answers(world, folder.path());
    ASSERT_EQ(now.size(), expected.size());
    for (size_t i = 0; i < now.size(); ++i) {
      if (now[i] == expected[i]) continue;
      EXPECT_NE(now[i].find("error: "), std::string::npos) << "answer " << i << ": " << now[i].substr(0, 300);
      EXPECT_NE(now[i].find(name), std::string::npos) << "answer " << i << ": " << now[i].substr(0, 300);
    }
    flip(file, byte, bit);
  }
  EXPECT_EQ(answers(world, folder.path()), expected);
}
INSTANTIATE_TEST_SUITE_P(Seeds, AFlippedBit, testing::Range<uint64_t>(1, 4));

class Damage : public testing::Test {
 protected:
  // A file in which a bit is flipped until the test flips it back.
  std::string flip_in(size_t file) {
    std::vector<std::string> files = folder_.parquet_files();
    std::sort(files.begin(), files.end());
    flip(files[file], 100, 3);
    return files[file];
  }
  TestFolder folder_;
  World world_{folder_.path()};
};

TEST_F(Damage, isNotJoinedAndNothingIsLost) {
  TAMIS_NEEDS_DUCKDB();
  uint64_t number = 0;
  auto add_file = [&] {
    for (int i = 0; i < 30; ++i) feed(world_, number++);
    world_.flush();
  };
  for (int i = 0; i < 7; ++i) add_file();
  const std::string damaged = flip_in(3);
  for (int i = 0; i < 4; ++i) add_file();
  EXPECT_NE(world_.archive->stats().damage.find(damaged), std::string::npos) << world_.archive->stats().damage;
  EXPECT_TRUE(std::filesystem::exists(damaged));
  // No run of eight without it yet: all are there, and no file was begun in vain.
  EXPECT_EQ(folder_.parquet_files().size(), 11u);
  for (int i = 0; i < 4; ++i) add_file();
  EXPECT_EQ(world_.archive->stats().failure, "");
  EXPECT_LT(folder_.parquet_files().size(), 15u) << "those behind it are joined";
  EXPECT_TRUE(std::filesystem::exists(damaged));
  EXPECT_EQ(world_.text("SELECT count(*) FROM login").find("error: login/"), 0u);
  // Once the file is as it was, all goes on.
  flip(damaged, 100, 3);
  EXPECT_EQ(world_.archive->stats().damage, "");
  EXPECT_EQ(world_.text("SELECT count(*) FROM login"), "450\n");
  for (int i = 0; i < 9; ++i) add_file();
  EXPECT_FALSE(std::filesystem::exists(damaged));
  EXPECT_EQ(world_.text("SELECT count(*), sum(n) FROM login"), "720|259560\n");
}

TEST_F(Damage, isNotSplicedIntoALargeFile) {
  TAMIS_NEEDS_DUCKDB();
  ArchiveOptions options;
  options.file_rows_max = 25'000;
  World world(folder_.root() + "/large", std::string(kHead) + kLogin, options);
  uint64_t number = 0;
  std::string damaged;
  for (int file = 0; file < 3; ++file) {
    for (int i = 0; i < 11'000; ++i) feed(world, number++);
    ASSERT_TRUE(world.archive->flush(world.record, false));
    if (file == 0) damaged = folder_.root() + "/large/login/2026-09-22/1-11000.parquet";
  }
  flip(damaged, 100, 3);
  ASSERT_TRUE(world.archive->flush(world.record));
  EXPECT_NE(world.archive->stats().damage.find(damaged), std::string::npos);
  EXPECT_EQ(world.archive->stats().files, 3u);
  flip(damaged, 100, 3);
  ASSERT_TRUE(world.archive->flush(world.record));
  EXPECT_EQ(world.archive->stats().files, 2u);
  EXPECT_EQ(world.text("SELECT count(*) FROM login"), "33000\n");
  auto found = world.archive->verify({});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->damaged + found->unverified, 0u);
}

TEST_F(Damage, isNotWrittenAnewByForgettingAndErasing) {
  TAMIS_NEEDS_DUCKDB();
  for (int day = 0; day < 3; ++day) {
    for (uint64_t i = 0; i < 40; ++i)
      world_.feed("login", kDay0 + day * kDayMs + static_cast<int64_t>(i),
                  R"("account":"a)" + std::to_string(i % 4) + R"(","ip":"10.0.0.1","device":"d1")");
  }
  world_.flush();
  const std::string damaged = flip_in(1), before = bytes_of(damaged);
  auto erased = world_.archive->erase(*world_.policy, "account", "a1", key_of);
  ASSERT_FALSE(erased);
  EXPECT_EQ(erased.error().code, base::Code::kUnavailable);
  EXPECT_NE(erased.error().message.find(damaged), std::string::npos) << erased.error().message;
  Archive::Retention retention;
  retention.now_ms = kDay0 + 50 * kDayMs;
  retention.key_of_day = key_of;
  auto forgotten = world_.archive->retain(*world_.policy, retention, {});
  ASSERT_FALSE(forgotten);
  EXPECT_NE(forgotten.error().message.find(damaged), std::string::npos) << forgotten.error().message;
  EXPECT_EQ(bytes_of(damaged), before);
  // The other days are done, and this one when its file is whole again.
  flip(damaged, 100, 3);
  EXPECT_EQ(world_.text("SELECT time::DATE, count(*) FILTER (account = 'a1'), count(device) FROM login GROUP BY ALL "
                        "ORDER BY ALL"),
            "2026-09-22|0|0\n2026-09-23|10|40\n2026-09-24|0|0\n");
  erased = world_.archive->erase(*world_.policy, "account", "a1", key_of);
  ASSERT_TRUE(erased) << erased.error().message;
  EXPECT_EQ(*erased, 10u);
  ASSERT_TRUE(world_.archive->retain(*world_.policy, retention, {}));
  EXPECT_EQ(world_.text("SELECT count(*), count(device) FROM login"), "90|0\n");
}

// Takes the hashes out of all files and of the manifest, as if they were written before there were any.
void make_old(const std::string& folder) {
  auto manifest = read_manifest(folder);
  ASSERT_TRUE(manifest) << manifest.error().message;
  for (const FilePointer& file : manifest->files) {
    const std::string whole = bytes_of(file->absolute);
    const Descriptor descriptor(file->absolute, O_RDONLY);
    auto footer = read_footer(descriptor.get(), file->absolute);
    ASSERT_TRUE(footer);
    auto without = with_hashes(footer->bytes, "");
    ASSERT_TRUE(without);
    const std::string bytes = whole.substr(0, kParquetMagic.size() + footer->body) + footer_and_tail(*without);
    std::ofstream(file->absolute, std::ios::binary | std::ios::trunc) << bytes;
    auto& changed = const_cast<DataFile&>(*file);
    changed.footer_hash.reset();
    changed.bytes = bytes.size();
  }
  ASSERT_TRUE(write_manifest(folder, *manifest));
}

TEST_F(Damage, filesOfBeforeAreReadAndCountedAsUnverified) {
  TAMIS_NEEDS_DUCKDB();
  uint64_t number = 0;
  for (int file = 0; file < 7; ++file) {
    for (int i = 0; i < (file < 4 ? 20 : 11'000); ++i) feed(world_, number++);
    world_.flush();
  }
  const std::vector<std::string> expected = answers(world_, folder_.path());
  world_.archive.reset();
  make_old(folder_.path());
  world_.reopen();
  EXPECT_EQ(world_.archive->stats().files_unverified, 7u);
  EXPECT_EQ(world_.archive->stats().damage, "");
  EXPECT_EQ(answers(world_, folder_.path()), expected);
  auto found = world_.archive->verify({});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->files, 7u);
  EXPECT_EQ(found->unverified, 7u);
  EXPECT_EQ(found->damaged, 0u);
  // Where they are joined, they get hashes: large ones as they are copied, beside one that has them, too.
  for (int file = 0; file < 6; ++file) {
    for (int i = 0; i < 11'000; ++i) feed(world_, number++);
    world_.flush();
  }
  world_.reopen();
  feed(world_, number++);
  world_.flush();
  EXPECT_LT(world_.archive->stats().files_unverified, 7u);
  const uint64_t whole = world_.archive->stats().files - world_.archive->stats().files_unverified;
  found = world_.archive->verify({});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->files - found->unverified, whole);
  EXPECT_EQ(found->damaged, 0u);
  EXPECT_EQ(world_.text("SELECT count(*) FROM login"), std::to_string(number) + "\n");
}

TEST_F(Damage, verifyingCanBeStoppedAndTellsHowFarItIs) {
  TAMIS_NEEDS_DUCKDB();
  for (int day = 0; day < 3; ++day) world_.feed("login", kDay0 + day * kDayMs, R"("account":"anna")");
  world_.flush();
  uint64_t last = 0, calls = 0;
  auto found = world_.archive->verify([&](uint64_t done, uint64_t total) {
    EXPECT_LE(last, done);
    EXPECT_LE(done, total);
    last = done;
    return ++calls > 0;
  });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->files, 3u);
  EXPECT_GT(last, 0u);
  auto stopped = world_.archive->verify([](uint64_t, uint64_t) { return false; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, base::Code::kLimit);
  std::filesystem::remove(folder_.parquet_files()[0]);
  found = world_.archive->verify({});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->damaged, 1u);
  EXPECT_NE(found->damage[0].find("is missing"), std::string::npos);
}

TEST(Hashes, ofPiecesComeBackAsTheyWere) {
  EXPECT_TRUE(rc::check("hashes as text", [](const std::vector<uint32_t>& lengths) {
    std::vector<Piece> pieces, read;
    uint64_t body = 0;
    for (const uint32_t length : lengths) {
      pieces.push_back({uint64_t{length} + 1, *rc::gen::arbitrary<uint64_t>()});
      body += uint64_t{length} + 1;
    }
    RC_ASSERT(parse_pieces(to_text(pieces), body, read));
    RC_ASSERT(read == pieces);
    RC_ASSERT(!parse_pieces(to_text(pieces), body + 1, read));
  }));
  std::vector<Piece> read;
  for (const char* bad : {"3 0123456789abcdef", "0 0123456789abcdef\n", "3  123456789abcdef\n", "3 0123456789abcde\n",
                          "3 0123456789abcdefa\n", "x 0123456789abcdef\n", "-3 0123456789abcdef\n", "\n", "3\n",
                          "2 0123456789abcdef\n", "4 0123456789abcdef\n", "18446744073709551619 0123456789abcdef\n"})
    EXPECT_FALSE(parse_pieces(bad, 3, read)) << bad;
  EXPECT_TRUE(parse_pieces("3 0123456789abcdef\n", 3, read));
}

// A body that comes in any pieces has the hashes that it has as a whole.
TEST(Hashes, areThoseOfTheWholeHoweverItComes) {
  EXPECT_TRUE(rc::check("pieces", [](const std::string& text) {
    const std::string body = text + text + "end";
    std::vector<Piece> cut;
    for (size_t at = 0; at < body.size(); at += cut.back().bytes)
      cut.push_back({1 + *rc::gen::inRange<size_t>(0, body.size() - at), 0});
    BodyHash at_once(cut), bytewise(cut);
    at_once.add(body);
    for (const char& c : body) bytewise.add({&c, 1});
    RC_ASSERT(at_once.pieces().size() == cut.size());
    RC_ASSERT(at_once.pieces() == bytewise.pieces());
  }));
}

}  // namespace
}  // namespace tamis::archive
