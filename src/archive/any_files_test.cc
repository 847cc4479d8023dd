// Whatever becomes of the files, what is asked is answered alike: by SQL, by reading pages and from columns in memory,
// before and after joins, splices, erasures and restarts.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "archive/archive_test_kit.h"

namespace tamis::archive {
namespace {

class RowsInAnyFiles : public testing::TestWithParam<uint64_t> {
 protected:
  uint64_t below(uint64_t limit) { return random_() % limit; }

  void feed(World& world) {
    const std::string account = "a" + std::to_string(below(40));
    const std::string ip = "10.0." + std::to_string(below(5)) + "." + std::to_string(below(200));
    const uint64_t amount = below(1'000);
    // Late and early ones too, so that files of both days grow.
    const auto time_ms = kDay0 + static_cast<int64_t>(world.record * 300 + below(50'000));
    const std::string number = std::to_string(amount);
    world.feed("login", time_ms, R"("account":")" + account + R"(","ip":")" + ip + R"(","amount":)" + number);
    expected_.push_back({world.record, amount, account,
                         std::to_string(world.record) + "|\"" + account + "\"|\"" + ip + "\"|" + number + "\n"});
  }
  void erase(World& world) {
    const std::string account = "a" + std::to_string(below(40));
    auto removed =
        world.archive->erase(*world.policy, "account", account, [](std::string_view) { return std::string(); });
    ASSERT_TRUE(removed) << removed.error().message;
    EXPECT_EQ(*removed, std::erase_if(expected_, [&](const Row& row) { return row.account == account; }));
  }
  void expect_rows(const World& world) {
    ScanRequest request = world.request("login", {"account", "ip", "amount"});
    std::string scanned[2];
    for (const bool in_memory : {false, true}) {
      request.in_memory = in_memory;
      request.decisions = !in_memory;
      if (in_memory) world.archive->warm(request);
      scanned[in_memory] = in_order(scan_text(*world.archive, request));
    }
    std::string expected;
    for (const Row& row : expected_) expected += row.text;
    EXPECT_TRUE(scanned[0] == expected) << "pages: " << scanned[0].substr(0, 200) << scanned[0].size() << " bytes for "
                                        << expected.size();
    EXPECT_TRUE(scanned[1] == expected) << "memory: " << scanned[1].size() << " bytes for " << expected.size();
    uint64_t numbers = 0, amounts = 0;
    for (const Row& row : expected_) numbers += row.n, amounts += row.amount;
    EXPECT_EQ(world.text("SELECT count(*), sum(n), sum(amount) FROM login"),
              std::to_string(expected_.size()) + "|" + std::to_string(numbers) + "|" + std::to_string(amounts) + "\n");
  }

 private:
  struct Row {
    uint64_t n, amount;
    std::string account, text;
  };
  // A scan goes day by day.
  static std::string in_order(const std::string& text) {
    std::vector<std::pair<uint64_t, std::string>> lines;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      if (end == std::string::npos) return text;  // an error
      lines.emplace_back(std::strtoull(text.c_str() + at, nullptr, 10), text.substr(at, end + 1 - at));
      at = end + 1;
    }
    std::sort(lines.begin(), lines.end());
    std::string out;
    for (const auto& line : lines) out += line.second;
    return out;
  }

  std::mt19937_64 random_{GetParam()};
  std::vector<Row> expected_;  // by their numbers
};

TEST_P(RowsInAnyFiles, areThoseThatWereAddedAndNotErased) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  size_t most_files = 0;
  const bool large = GetParam() % 2 == 0;
  const int rounds = large ? 12 : 24;
  for (int round = 0; round < rounds; ++round) {
    for (uint64_t left = large ? 11'000 + below(3'000) : 1 + below(400); left > 0; --left) feed(world);
    base::Status flushed = world.archive->flush(world.record, below(3) != 0);
    ASSERT_TRUE(flushed) << flushed.error().message;
    most_files = std::max(most_files, folder.parquet_files().size());
    if (below(6) == 0) erase(world);
    if (below(6) == 0) world.reopen();
    if (round % 4 == 3) expect_rows(world);
  }
  world.flush();
  erase(world);
  expect_rows(world);
  EXPECT_LT(folder.parquet_files().size(), most_files + 1);
  EXPECT_EQ(folder.parquet_files().size(), world.archive->stats().files);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RowsInAnyFiles, testing::Range<uint64_t>(1, 5));

}  // namespace
}  // namespace tamis::archive
