#include "replay/find.h"

#include <rapidcheck.h>
#include <unistd.h>

#include <filesystem>

#include "event/json_event.h"
#include "replay/backtest.h"
#include "replay/maker_test_kit.h"

namespace tamis::replay {
namespace {

using kit::kHead;
using kit::Maker;
using kit::Past;

// An archive of files in a folder of its own.
class Files {
 public:
  Files() : path_(std::filesystem::temp_directory_path() / ("tamis_find_test_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    auto opened = archive::Archive::open(path_.string());
    EXPECT_TRUE(opened.has_value()) << opened.error().message;
    if (opened) archive = std::move(*opened);
  }
  ~Files() {
    archive.reset();
    std::filesystem::remove_all(path_);
  }
  std::unique_ptr<archive::Archive> archive;

 private:
  std::filesystem::path path_;
};

std::vector<policy::SourceFile> files_of(const std::string& rules) { return {{"policy.yaml", kHead + rules}}; }

const std::string kRules = R"y(rules:
  - {id: big, on: login, when: amount > 20 && n >= 0, then: {verdict: challenge}, mode: live}
)y";

TEST(CompileSearch, TellsWhatIsWrongInTheExpression) {
  Search search = compile_search(files_of(kRules), "amount > 5\n  && accont == 'x'", {"login"});
  ASSERT_EQ(search.policy, nullptr);
  ASSERT_EQ(search.diagnostics.size(), 1u);
  const policy::Diagnostic& d = search.diagnostics[0];
  EXPECT_EQ(d.file, "");
  EXPECT_EQ(d.line, 2u);
  EXPECT_EQ(d.column, 6u);
  EXPECT_EQ(d.source_line, "  && accont == 'x'");
  EXPECT_NE(d.hint.find("account"), std::string::npos);
  EXPECT_EQ(compile_search(files_of(kRules), "  ", {}).diagnostics.size(), 1u);
  EXPECT_EQ(compile_search(files_of(kRules), "amount +", {}).policy, nullptr);
  EXPECT_EQ(compile_search(files_of(kRules), "amount + 1", {}).policy, nullptr);  // no condition
  EXPECT_EQ(compile_search(files_of(kRules), std::string(70'000, '('), {}).policy, nullptr);
  EXPECT_EQ(compile_search(files_of(kRules), "amount > 1", {"nothing"}).policy, nullptr);
}

TEST(CompileSearch, GoesToTheTypesInWhichItMakesSense) {
  EXPECT_EQ(compile_search(files_of(kRules), "amount > 1", {}).types, (std::vector<std::string>{"login", "note"}));
  EXPECT_EQ(compile_search(files_of(kRules), "!success", {}).types, std::vector<std::string>{"login"});
  EXPECT_EQ(compile_search(files_of(kRules), "amount > 1", {"note"}).types, std::vector<std::string>{"note"});
  // A policy that has a rule and a file of the names that we would take.
  std::vector<policy::SourceFile> files = files_of(kRules);
  files.push_back({"expression.yaml", "rules: [{id: search, on: note, when: amount > 7}]"});
  Search search = compile_search(files, "# a comment?\n'#' != \": \"", {});
  EXPECT_EQ(search.policy, nullptr);
  search = compile_search(files, "account != \": # 'x'\"", {});
  ASSERT_NE(search.policy, nullptr);
  EXPECT_NE(search.rule, "search");
}

class FindTest : public testing::Test {
 protected:
  void SetUp() override {
    past_.files = files_.archive.get();
    past_.use(kHead + kRules);
    for (int i = 0; i < 100; ++i) {
      int64_t t = 1'700'000'000'000 + i * 3'600'000;
      past_.decide(R"({"type":")" + std::string(i % 10 == 0 ? "note" : "login") + R"(","id":"e)" + std::to_string(i) +
                       R"(","t":)" + std::to_string(t) + R"(,"account":"a)" + std::to_string(i % 4) + R"(","amount":)" +
                       std::to_string(i) + "}",
                   t);
    }
  }
  FindResult run(const std::string& expression, std::vector<std::string> facets = {}) {
    Search search = compile_search(files_of(kRules), expression, {});
    EXPECT_NE(search.policy, nullptr) << (search.diagnostics.empty() ? "" : search.diagnostics[0].message);
    FindRequest request;
    request.search = &search;
    request.rows = 3;
    request.facets = std::move(facets);
    request.facet_values = 2;
    auto found = find(request, past_.source(), {});
    EXPECT_TRUE(found.has_value()) << found.error().message;
    return found ? *found : FindResult{};
  }
  Files files_;
  Past past_;
};

TEST_F(FindTest, CountsHistogramFacetsAndRows) {
  FindResult found = run("amount >= 50", {"account", "nowhere", "success"});
  EXPECT_TRUE(found.columnar) << found.replayed_because;
  EXPECT_EQ(found.count, 50u);
  EXPECT_EQ(found.scanned, 50u);  // what the packed column rules out is not evaluated
  EXPECT_EQ(found.types.size(), 2u);
  EXPECT_EQ(found.bucket_ms, 3'600'000);
  EXPECT_EQ(found.histogram.size(), 50u);
  uint64_t sum = 0;
  for (auto [day, count] : found.per_day) sum += count;
  EXPECT_EQ(sum, 50u);
  ASSERT_EQ(found.facets.size(), 2u);
  EXPECT_EQ(found.facets[0].values.at(0), (std::pair<std::string, uint64_t>{"\"a2\"", 13}));
  EXPECT_EQ(found.facets[0].values.at(1), (std::pair<std::string, uint64_t>{"\"a3\"", 13}));
  EXPECT_EQ(found.facets[0].others, 24u);
  EXPECT_EQ(found.facets[1].name, "success");
  EXPECT_EQ(found.facets[1].absent, 5u);  // notes do not have it
  EXPECT_EQ(found.unread, std::vector<std::string>{"nowhere"});
  ASSERT_EQ(found.newest.size(), 3u);
  ASSERT_EQ(found.oldest.size(), 3u);
  EXPECT_NE(found.newest[0].find("\"id\":\"e99\""), std::string::npos) << found.newest[0];
  EXPECT_NE(found.newest[0].find("\"amount\":99"), std::string::npos) << found.newest[0];
  EXPECT_NE(found.oldest[0].find("\"type\":\"note\""), std::string::npos) << found.oldest[0];
  std::string json;
  write_json(found, json);
  base::Arena arena;
  EXPECT_TRUE(event::JsonReader::to_value(json, arena).has_value()) << json;
}

TEST_F(FindTest, WhatSqlCannotSayIsFoundToo) {
  EXPECT_EQ(run("amount % 10 == 3 && amount > 20 && account.endsWith('3')").count, 4u);  // 23 43 63 83
  EXPECT_EQ(run("[1, 2].exists(x, x == amount)").count, 2u);
  EXPECT_EQ(run("n > 100000").count, 0u);
  FindResult replayed = run("spent > 5");
  EXPECT_FALSE(replayed.columnar);
  EXPECT_EQ(replayed.count, 0u);  // no ip, no key
  FindResult labels = run("account in list.blocked || amount == 7");
  EXPECT_FALSE(labels.columnar);
  EXPECT_EQ(labels.count, 1u);
}

// Whatever SQL leaves out, the answer is that of the engine. The archive is one of files.
TEST(FindProperty, FilesAnswerAsTheEngine) {
  int runs = 0;
  EXPECT_TRUE(rc::check("find over files = engine", [&runs](uint32_t seed) {
    if (++runs > 12) return;  // each makes files
    Maker maker(seed);
    Files files;
    Past past;
    past.files = files.archive.get();
    std::vector<std::string> rules = maker.rules(false);
    past.use(kit::yaml_of(rules));
    int64_t now = 1'700'000'000'000;
    for (size_t i = 0; i < 150; ++i) past.decide(maker.event(i, now), now);
    MatchSource source = past.source();
    for (size_t i = 0; i < 8; ++i) {
      std::string expression = maker.condition();
      Search search = compile_search({{"policy.yaml", kit::yaml_of(rules)}}, expression, {"login"});
      RC_ASSERT(search.policy != nullptr);
      FindRequest request;
      request.search = &search;
      request.rows = 5;
      auto found = find(request, source, {});
      RC_ASSERT(found.has_value());
      uint64_t expected = 0;
      (void)past.what_if()(search.policy, [&](const Replayed& event) {
        for (const engine::Match& m : event.decision->matches) {
          expected += event.decision->type->rules[m.rule].id == search.rule ? 1 : 0;
        }
        return true;
      });
      RC_LOG() << expression << " columnar " << found->columnar << "\n";
      RC_ASSERT(found->count == expected);
      RC_ASSERT(found->newest.size() == std::min<uint64_t>(expected, 5));
    }
    BacktestRequest whole;
    whole.policy = kit::compile(kit::yaml_of(rules));
    auto same = backtest(whole, source, {});
    RC_ASSERT(same.has_value());
    RC_ASSERT(same->columnar && same->events == 150 && same->gained == 0 && same->lost == 0);
  }));
}

// Counting by SQL alone, columns in memory and looking at each event give the same, down to each row and facet.
TEST(FindProperty, SqlAndMemoryAnswerAsLookingAtEachEvent) {
  static const char* const kFilters[] = {"amount > 10",
                                         "amount != 7",
                                         "!(amount <= 3)",
                                         "amount in [1, 2, 3, 12]",
                                         "share < 0.5",
                                         "share >= 0.25",
                                         "share != 0.3",
                                         "!(share > 0.5)",
                                         "success",
                                         "!success",
                                         "account == 'a1'",
                                         "account != 'b'",
                                         "!(account in ['b', 'c'])",
                                         "account.contains('1')",
                                         "account.contains('a')",
                                         "account.startsWith('a')",
                                         "account in ['a1', 'a2', 'zoe']",
                                         "amount >= 12",
                                         "amount == 9223372036854775807",
                                         "amount > -9223372036854775807",
                                         "!(amount in [1, 12])",
                                         "share == 0.25",
                                         "share > 1",
                                         "share in [0.25, 0.5]",
                                         "ip == '192.0.2.1'",
                                         "!account.endsWith('2')",
                                         "ip.startsWith('192.0.2.')",
                                         "ip.contains('')",
                                         "ip.net24 == '192.0.2.0/24'",
                                         "n >= 2",
                                         "n == 0",
                                         "has(share)",
                                         "!has(amount)",
                                         "10 / amount > 1"};
  int runs = 0;
  uint64_t by_sql = 0, matched = 0;
  EXPECT_TRUE(rc::check("SQL = scan", [&](uint32_t seed) {
    if (++runs > 6) return;  // each makes files
    Maker maker(seed);
    Files files;
    Past past;
    past.files = files.archive.get();
    const std::vector<std::string> rules = maker.rules(false);
    past.use(kit::yaml_of(rules));
    int64_t now = -40'000'000;  // times on both sides of 1970
    for (size_t i = 0; i < 120; ++i) {
      past.decide(maker.event(i, now), now);
      if (i % 50 == 49) past.source();  // several files
    }
    MatchSource source = past.source();
    for (size_t i = 0; i < 10; ++i) {
      std::string expression = maker.one_of(kFilters);
      for (size_t more = maker.below(4); more > 0; --more) {
        expression = "(" + expression + ")" + (maker.below(2) == 0 ? " && " : " || ") + maker.one_of(kFilters);
      }
      Search search = compile_search({{"policy.yaml", kit::yaml_of(rules)}}, expression, {});
      RC_ASSERT(search.policy != nullptr);
      FindRequest request;
      request.search = &search;
      request.rows = static_cast<uint32_t>(maker.below(6));
      request.facets = {"account", "amount", "success", "ip", "nowhere"};
      if (maker.below(4) == 0) request.facets.push_back("share");
      if (maker.below(2) == 0) request.from_ms = -20'000'000;
      if (maker.below(2) == 0) request.to_ms = 3'600'000;
      request.in_memory = false;
      auto quick = find(request, source, {});
      request.in_memory = true;
      auto hot = find(request, source, {});
      request.always_scan = true;
      auto slow = find(request, source, {});
      RC_ASSERT(quick.has_value() && slow.has_value() && hot.has_value());
      by_sql += quick->scanned < slow->scanned || quick->scanned == quick->count ? 1 : 0;
      matched += slow->count;
      quick->seconds = slow->seconds = hot->seconds = 0;
      quick->scanned = slow->scanned = hot->scanned = 0;
      std::string quick_json, slow_json, hot_json;
      write_json(*quick, quick_json);
      write_json(*slow, slow_json);
      write_json(*hot, hot_json);
      RC_LOG() << expression << "\n" << quick_json << "\n" << slow_json << "\n" << hot_json << "\n";
      RC_ASSERT(quick_json == slow_json);
      RC_ASSERT(hot_json == slow_json);
    }
  }));
  EXPECT_GT(by_sql, 0u);
  EXPECT_GT(matched, 0u);
}

TEST_F(FindTest, WhoeverAsksCanStopSql) {
  Search search = compile_search(files_of(kRules), "amount >= 50 && account != 'a1'", {});
  FindRequest request;
  request.search = &search;
  for (bool in_memory : {false, true}) {
    request.in_memory = in_memory;
    auto stopped = find(request, past_.source(), [](uint64_t, uint64_t) { return false; });
    ASSERT_FALSE(stopped.has_value());
    EXPECT_EQ(stopped.error().code, base::Code::kUnavailable);
  }
}

}  // namespace
}  // namespace tamis::replay
