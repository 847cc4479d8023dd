// Columns in memory say what their files say, take no more than they may, and go with their files.
#include "archive/hot.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "archive/archive_test_kit.h"

namespace tamis::archive {
namespace {

const std::vector<std::string> kSlots = {"account", "ip",      "email",  "amount",
                                         "share",   "success", "device", "logins_per_ip"};

// Texts with few and with many values, all of them missing now and then, numbers of every width.
void feed(World& world, int rows, uint64_t seed) {
  uint64_t state = seed;
  auto below = [&](uint64_t limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % limit;
  };
  const int64_t kAmounts[] = {0, 1, -1, 255, 65'536, INT64_MAX, INT64_MIN, 77};
  for (int i = 0; i < rows; ++i) {
    std::string members = "\"ip\":\"10.0." + std::to_string(below(4)) + "." + std::to_string(below(250)) + "\"";
    if (below(5) != 0) members += ",\"account\":\"a" + std::to_string(below(1u << 30)) + "\"";
    if (below(3) != 0) members += ",\"device\":\"d" + std::to_string(below(7)) + "\"";
    if (below(4) != 0) members += ",\"amount\":" + std::to_string(kAmounts[below(8)]);
    if (below(4) != 0) members += ",\"share\":" + std::to_string(below(1000)) + "e-3";
    if (below(2) != 0) members += ",\"success\":false";
    world.feed("login", kDay0 + i * 1'000 - static_cast<int64_t>(below(500'000)), members);
    if (below(static_cast<uint64_t>(rows) / 3) == 0) world.flush();
  }
  world.flush();
}

ScanRequest request_of(const World& world) {
  ScanRequest request = world.request("login", kSlots);
  request.decisions = false;
  return request;
}

std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

void wait_until_warm(const World& world, const ScanRequest& request) {
  for (int i = 0; i < 500; ++i) {
    world.archive->warm(request);
    if (world.archive->warmth(request)->cold == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  FAIL() << "still " << world.archive->warmth(request)->cold << " rows are not in memory";
}

TEST(ArchiveMemory, saysWhatTheFilesSay) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  feed(world, 12'000, 7);
  ScanRequest request = request_of(world);
  ASSERT_TRUE(world.archive->warmth(request).has_value());
  EXPECT_EQ(world.archive->warmth(request)->rows, 12'000u);
  EXPECT_EQ(world.archive->warmth(request)->cold, 12'000u);
  for (const auto& [from, to] : {std::pair{INT64_MIN, INT64_MAX},
                                 {kDay0 + 1'000'000, kDay0 + 4'000'000},
                                 {kDay0 - 100'000'000, kDay0 + 77'000},
                                 {kDay0 + 1, kDay0}}) {
    request.from_ms = from;
    request.to_ms = to;
    request.in_memory = false;
    const auto files = sorted_lines(scan_text(*world.archive, request));
    request.in_memory = true;
    EXPECT_EQ(sorted_lines(scan_text(*world.archive, request)), files);
    EXPECT_EQ(world.archive->warmth(request)->cold, 0u);
  }
  // What came since is cold, what was there is not.
  request.from_ms = INT64_MIN, request.to_ms = INT64_MAX;
  EXPECT_EQ(world.archive->warmth(request)->cold, 0u);
  world.feed("login", kDay0, R"("account":"zoe","ip":"10.0.0.7")");
  world.flush();
  EXPECT_EQ(world.archive->warmth(request)->cold, 1u);
  EXPECT_NE(scan_text(*world.archive, request).find("zoe"), std::string::npos);
}

TEST(ArchiveMemory, isReadAheadWithinItsBound) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  ArchiveOptions options;
  options.hot_bytes_max = 300'000;
  World world(folder.path(), std::string(kHead) + kLogin, options);
  feed(world, 12'000, 11);
  ScanRequest small = world.request("login", {"device"});
  small.decisions = false;
  wait_until_warm(world, small);
  // Larger than what it may take: some stays cold, for good, and the answer is the same.
  ScanRequest all = request_of(world);
  for (int i = 0; i < 30; ++i) {
    world.archive->warm(all);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_GT(world.archive->warmth(all)->cold, 0u);
  const auto files = sorted_lines(scan_text(*world.archive, all));
  all.in_memory = true;
  EXPECT_EQ(sorted_lines(scan_text(*world.archive, all)), files);
  // What is wanted now takes the place of what was wanted before.
  small.slots = {world.slot("login", "success")};
  wait_until_warm(world, small);
}

TEST(ArchiveMemory, hasNothingOfDecisionsAndNothingWhenItIsOff) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  ArchiveOptions options;
  options.hot_bytes_max = 0;
  World world(folder.path(), std::string(kHead) + kLogin, options);
  feed(world, 50, 3);
  ScanRequest request = request_of(world);
  EXPECT_FALSE(world.archive->warmth(request).has_value());
  world.archive->warm(request);
  World other(folder.root() + "/other");
  feed(other, 50, 3);
  ScanRequest decided = request_of(other);
  decided.decisions = true;
  EXPECT_FALSE(other.archive->warmth(decided).has_value());
  ScanRequest lists = other.request("login", {"urls"});
  lists.decisions = false;
  EXPECT_FALSE(other.archive->warmth(lists).has_value());
}

TEST(ArchiveMemory, forgetsWhatIsErased) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  world.feed("login", kDay0, R"("account":"anna","ip":"10.0.0.1")");
  world.feed("login", kDay0, R"("account":"bert","ip":"10.0.0.1")");
  world.flush();
  ScanRequest request = world.request("login", {"account"});
  request.decisions = false;
  request.in_memory = true;
  EXPECT_NE(scan_text(*world.archive, request).find("anna"), std::string::npos);
  auto erased = world.archive->erase(*world.policy, "account", "anna", [](std::string_view) { return std::string(); });
  ASSERT_TRUE(erased) << erased.error().message;
  EXPECT_EQ(*erased, 1u);
  EXPECT_EQ(world.archive->warmth(request)->cold, 1u);
  EXPECT_EQ(scan_text(*world.archive, request).find("anna"), std::string::npos);
}

TEST(ArchiveRows, areShownFromWhereverTheyLie) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  feed(world, 3'000, 5);
  auto rows = world.archive->rows("login", {2'999, 1, 1'500, 77'777});
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_TRUE(rows->at(1).starts_with(R"({"type":"login","n":1,"time":")")) << rows->at(1);
  EXPECT_NE(rows->at(1'500).find(R"("id":"e1500")"), std::string::npos) << rows->at(1'500);
  EXPECT_TRUE(world.archive->rows("nothing", {1})->empty());
  EXPECT_TRUE(world.archive->rows("login", {})->empty());
}

}  // namespace
}  // namespace tamis::archive
