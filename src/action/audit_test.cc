#include "action/audit.h"

#include <gtest/gtest.h>

#include <thread>

#include "action/digest.h"
#include "action/folder_test_kit.h"

namespace tamis::action {
namespace {

constexpr auto kDurable = Audit::Durability::kDurable;
constexpr auto kSoon = Audit::Durability::kSoon;
constexpr int64_t kNovember = 1'795'284'000'000;  // 2026-11-21T18:00:00Z
constexpr int64_t kDay = 86'400'000;

std::unique_ptr<Audit> open(const std::string& folder, const base::Clock& clock, AuditOptions options = {}) {
  auto audit = Audit::open(folder, clock, options);
  EXPECT_TRUE(audit) << audit.error().message;
  return audit ? std::move(*audit) : nullptr;
}

AuditEntry entry(const std::string& value, const std::string& why = "asked for it") {
  return {"ann", "label.set", "account", value, why, "{\"name\":\"burst\"}"};
}

AuditVerdict verify(const std::string& folder, const AuditHead& noted = {}) {
  auto verdict = verify_audit(folder, noted);
  EXPECT_TRUE(verdict) << verdict.error().message;
  return verdict ? *verdict : AuditVerdict{};
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

TEST(Audit, ChainGoesOnAfterReopening) {
  TestFolder folder;
  base::ManualClock clock(kNovember);
  for (uint64_t n = 1; n <= 6; n += 2) {
    auto audit = open(folder.path(), clock);
    EXPECT_EQ(audit->head().n, n - 1);
    EXPECT_EQ(audit->append(entry("a-1"), kDurable).value(), n);
    EXPECT_EQ(audit->append(entry("a-2"), kSoon).value(), n + 1);
  }
  AuditVerdict verdict = verify(folder.path());
  EXPECT_TRUE(verdict.good) << verdict.where << verdict.what;
  EXPECT_EQ(verdict.lines, 6u);
  EXPECT_EQ(verdict.first_n, 1u);
  EXPECT_EQ(verdict.head.hash, open(folder.path(), clock)->head().hash);
}

// The hash is what the header says, so that others can verify it: computed here from the text alone.
TEST(Audit, HashIsAsDocumented) {
  TestFolder folder;
  base::ManualClock clock(kNovember);
  auto audit = open(folder.path(), clock);
  ASSERT_TRUE(audit->append({"ann", "list.add", "list:bad", "v", "", ""}, kDurable));
  std::string text = read_test_file(folder / "2026-11.jsonl");
  auto field = [&](const std::string& name) {
    size_t at = text.find("\"" + name + "\":\"") + name.size() + 4;
    return text.substr(at, text.find('"', at) - at);
  };
  size_t salt_at = text.find("\"salt\":{\"value\":\"") + 17;
  std::string sum = sha256_hex(text.substr(salt_at, 32) + ":v");
  std::string covered = "1:1,24:2026-11-21T18:00:00.000Z,3:ann,8:list.add,8:list:bad,64:" + sum +
                        ",0:,0:,64:" + std::string(64, '0') + ",";
  EXPECT_EQ(field("hash"), sha256_hex(covered));
}

TEST(Audit, AnyChangeIsFound) {
  TestFolder folder;
  base::ManualClock clock(kNovember);
  AuditHead head;
  {
    auto audit = open(folder.path(), clock);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(audit->append(entry("a-" + std::to_string(i)), kSoon));
    head = audit->head();
  }
  std::string path = folder / "2026-11.jsonl";
  const std::string good = read_test_file(path);
  auto fault_of = [&](std::string text, const AuditHead& noted = {}) {
    write_test_file(path, text);
    AuditVerdict verdict = verify(folder.path(), noted);
    EXPECT_EQ(verdict.good, verdict.where.empty());
    return verdict.where.empty() ? "" : verdict.where.substr(verdict.where.rfind(':')) + " " + verdict.what;
  };
  EXPECT_EQ(fault_of(good, head), "");
  for (auto& [from, to] : std::vector<std::pair<std::string, std::string>>{{"\"a-2\"", "\"a-7\""},
                                                                           {"\"n\":3", "\"n\":4"},
                                                                           {"ann\",\"what", "bob\",\"what"},
                                                                           {"18:00:00", "18:00:01"},
                                                                           {"asked", "Asked"},
                                                                           {"\"on\":\"account\"", "\"on\":\"ip\""}}) {
    std::string text = good;
    size_t line = from == "\"a-2\"" || from == "\"n\":3" ? 3 : 1;
    replace(text, from, to);
    EXPECT_EQ(fault_of(text).substr(0, 3), ":" + std::to_string(line) + " ") << from;
  }
  // Every single byte counts.
  for (size_t i = 0; i + 1 < good.size(); i += 7) {
    std::string text = good;
    text[i] = text[i] == 'x' ? 'y' : 'x';
    EXPECT_NE(fault_of(text), "") << i;
  }
  size_t second = good.find('\n') + 1, third = good.find('\n', second) + 1;
  EXPECT_EQ(fault_of(good.substr(0, second) + good.substr(third)).substr(0, 3), ":2 ");                   // left out
  EXPECT_EQ(fault_of(good.substr(0, third) + good.substr(second)).substr(0, 3), ":3 ");                   // doubled
  EXPECT_EQ(fault_of(good.substr(second, third - second) + good.substr(0, second)).substr(0, 3), ":2 ");  // moved
  // A cut end is seen by who noted the head; a beginning that is gone is told.
  std::string cut = good.substr(0, good.rfind('\n', good.size() - 2) + 1);
  EXPECT_EQ(fault_of(cut), "");
  EXPECT_FALSE(verify(folder.path(), head).good);
  EXPECT_EQ(fault_of(good.substr(second)), "");
  EXPECT_EQ(verify(folder.path()).first_n, 2u);
}

TEST(Audit, TornLineIsCutAndTold) {
  base::ManualClock clock(kNovember);
  std::string good;
  {
    TestFolder folder;
    auto audit = open(folder.path(), clock);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(audit->append(entry("a-" + std::to_string(i)), kSoon));
    good = read_test_file(folder / "2026-11.jsonl");
  }
  size_t whole = good.rfind('\n', good.size() - 2) + 1;
  for (size_t bytes = whole; bytes < good.size(); bytes += 13) {
    TestFolder folder;
    std::string path = folder / "2026-11.jsonl";
    write_test_file(path, good.substr(0, bytes));
    EXPECT_EQ(verify(folder.path()).torn_bytes, bytes - whole);
    auto audit = open(folder.path(), clock);
    ASSERT_NE(audit, nullptr);
    EXPECT_EQ(audit->dropped_bytes(), bytes - whole);
    EXPECT_EQ(audit->head().n, bytes == whole ? 2u : 3u);  // "audit.cut" is a line of its own
    ASSERT_TRUE(audit->append(entry("b"), kDurable));
    EXPECT_TRUE(verify(folder.path()).good);
  }
  // Zeros where unsynced lines were are cut as well; other damage is told and stays.
  TestFolder folder;
  write_test_file(folder / "2026-11.jsonl", good.substr(0, whole) + std::string(300, '\0') + "\n");
  EXPECT_EQ(open(folder.path(), clock)->dropped_bytes(), 301u);
  TestFolder other;
  std::string bad = good;
  replace(bad, "a-2", "b-2");
  write_test_file(other / "2026-11.jsonl", bad);
  auto refused = Audit::open(other.path(), clock);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("2026-11.jsonl"), std::string::npos);
  EXPECT_EQ(read_test_file(other / "2026-11.jsonl"), bad);
}

TEST(Audit, ErasesWordsAndKeepsTheChain) {
  TestFolder folder;
  base::ManualClock clock(kNovember - 30 * kDay);
  auto audit = open(folder.path(), clock);
  ASSERT_TRUE(audit->append(entry("ann@example.com"), kSoon));
  clock.advance_ms(30 * kDay);
  ASSERT_TRUE(audit->append(entry("Ann@Example.com", "as agreed"), kSoon));
  ASSERT_TRUE(audit->append(entry("x", "(ann@example.com) wrote"), kSoon));
  ASSERT_TRUE(audit->append(entry("x", "joann@example.com wrote"), kSoon));
  EXPECT_EQ(audit->erase("ann@example.com").value(), 3u);
  EXPECT_EQ(audit->erase("ann@example.com").value(), 0u);
  EXPECT_FALSE(audit->erase(""));
  for (const char* month : {"2026-10", "2026-11"}) {
    std::string text = read_test_file(folder / (std::string(month) + ".jsonl"));
    EXPECT_EQ(text.find("\"ann@"), std::string::npos);
    EXPECT_EQ(text.find("Ann@"), std::string::npos);
    EXPECT_EQ(text.find("(ann@"), std::string::npos);
  }
  ASSERT_TRUE(audit->append(entry("y"), kDurable));
  AuditVerdict verdict = verify(folder.path());
  EXPECT_TRUE(verdict.good) << verdict.where << verdict.what;
  EXPECT_EQ(verdict.erased, 3u);
  AuditPage page = audit->read({}).value();
  ASSERT_EQ(page.lines.size(), 5u);
  EXPECT_EQ(page.lines[1].why, "joann@example.com wrote");
  EXPECT_TRUE(page.lines[3].erased);
  EXPECT_EQ(page.lines[3].value, "");
  EXPECT_EQ(page.lines[3].why, "as agreed");
  audit.reset();
  EXPECT_EQ(open(folder.path(), clock)->head().n, 5u);
}

TEST(Audit, ForgetsPartsOfOldLinesAndKeepsTheChain) {
  TestFolder folder;
  base::ManualClock clock(kNovember);
  auto audit = open(folder.path(), clock);
  ASSERT_TRUE(audit->append(entry("10.0.0.1", "a ticket"), kDurable));
  ASSERT_TRUE(audit->append(entry("a-2", "also a ticket"), kDurable));
  clock.set_ms(kNovember + kDay);
  ASSERT_TRUE(audit->append(entry("10.0.0.3"), kDurable));
  auto parts = [](const AuditLine& line) { return AuditParts{line.value.starts_with("10."), false, false}; };
  EXPECT_EQ(audit->forget(kNovember, parts).value(), 0u);
  EXPECT_EQ(audit->forget(kNovember + 1, parts).value(), 1u);
  EXPECT_EQ(audit->forget(kNovember + 1, parts).value(), 0u);
  auto lines = audit->read({})->lines;
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].value, "10.0.0.3");
  EXPECT_EQ(lines[1].value, "a-2");
  EXPECT_EQ(lines[2].value, "");
  EXPECT_EQ(lines[2].why, "a ticket");
  EXPECT_TRUE(lines[2].erased);
  ASSERT_TRUE(audit->append(entry("10.0.0.4"), kDurable));
  AuditVerdict verdict = verify(folder.path());
  EXPECT_TRUE(verdict.good) << verdict.where << verdict.what;
  EXPECT_EQ(verdict.lines, 4u);
}

TEST(Audit, ReadsByFilterAndPage) {
  TestFolder folder;
  base::ManualClock clock(kNovember - 40 * kDay);
  auto audit = open(folder.path(), clock);
  for (int i = 1; i <= 60; ++i) {
    clock.advance_ms(kDay);
    ASSERT_TRUE(audit->append(
        {i % 2 ? "ann" : "bob", i % 3 ? "label.set" : "decision.look", "account", "a-" + std::to_string(i % 5), "", ""},
        kSoon));
  }
  auto count = [&](AuditFilter filter) {
    filter.limit = 7;
    size_t lines = 0;
    uint64_t last = UINT64_MAX;
    do {
      AuditPage page = audit->read(filter).value();
      for (const AuditLine& line : page.lines) {
        EXPECT_LT(line.n, last);
        last = line.n;
      }
      lines += page.lines.size();
      filter.before_n = page.next_before_n;
    } while (filter.before_n != 0);
    return lines;
  };
  EXPECT_EQ(count({}), 60u);
  EXPECT_EQ(count({.who = "ann"}), 30u);
  EXPECT_EQ(count({.what = "decision.look"}), 20u);
  EXPECT_EQ(count({.what = "label.*"}), 40u);
  EXPECT_EQ(count({.value = "a-0"}), 12u);
  EXPECT_EQ(count({.since_ms = clock.now_ms() - 9 * kDay}), 10u);
  EXPECT_EQ(count({.who = "eve"}), 0u);
  EXPECT_EQ(audit->read({.limit = 1}).value().lines[0].n, 60u);
}

TEST(Audit, KeepsTheMonthsAllowed) {
  TestFolder folder;
  base::ManualClock clock(kNovember);
  auto audit = open(folder.path(), clock, {.months_max = 2});
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(audit->append(entry("a"), kSoon));
    clock.advance_ms(31 * kDay);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "2027-01.jsonl"));
  EXPECT_TRUE(std::filesystem::exists(folder / "2027-02.jsonl"));
  AuditVerdict verdict = verify(folder.path());
  EXPECT_TRUE(verdict.good) << verdict.where << verdict.what;
  EXPECT_GT(verdict.first_n, 1u);
  EXPECT_EQ(audit->read({.what = "audit.retention"}).value().lines.size(), 2u);
  // A clock that goes back stays in the month that is there.
  clock.set_ms(kNovember);
  ASSERT_TRUE(audit->append(entry("late"), kSoon));
  EXPECT_TRUE(verify(folder.path()).good);
}

TEST(Audit, StrangeTextIsRecorded) {
  TestFolder folder;
  base::ManualClock clock(kNovember);
  auto audit = open(folder.path(), clock);
  std::string odd = "\xff\xc3\xa9\n\"\\\x01\xed\xa0\x80" + std::string(1, '\0') + "\xf0\x9f\x98\x80";
  ASSERT_TRUE(audit->append({odd, "a.b", "c", odd, std::string(100'000, '\x01'), std::string(100'000, '"')}, kDurable));
  AuditLine line = audit->read({}).value().lines.at(0);
  EXPECT_EQ(line.value, "?\xc3\xa9\n\"\\\x01???" + std::string(1, '\0') + "\xf0\x9f\x98\x80");
  EXPECT_EQ(line.why.size(), 4096u);
  EXPECT_TRUE(verify(folder.path()).good);
  audit.reset();
  EXPECT_NE(open(folder.path(), clock), nullptr);
}

TEST(Audit, OneWriterAtATime) {
  TestFolder folder;
  base::ManualClock clock(kNovember);
  auto audit = open(folder.path(), clock);
  auto second = Audit::open(folder.path(), clock);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos);
}

TEST(Audit, ManyThreads) {
  TestFolder folder;
  base::ManualClock clock(kNovember);
  auto audit = open(folder.path(), clock);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(audit->append(entry("a-" + std::to_string(i)), i % 4 == 0 ? kDurable : kSoon));
        if (t == 0 && i % 10 == 0) {
          EXPECT_TRUE(audit->read({.limit = 5}));
        }
        if (t == 1 && i % 25 == 7) {
          EXPECT_TRUE(audit->erase("a-3"));
        }
        if (t == 2 && i == 20) clock.advance_ms(31 * kDay);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(audit->sync());
  AuditVerdict verdict = verify(folder.path(), audit->head());
  EXPECT_TRUE(verdict.good) << verdict.where << verdict.what;
  EXPECT_EQ(verdict.lines, 200u);
}

}  // namespace
}  // namespace tamis::action
