#include "replay/truth.h"

#include <gtest/gtest.h>

#include "replay/past_test_kit.h"

namespace tamis::replay {
namespace {

constexpr const char* kPolicy = R"y(
event: login
time: {at: t, format: ms}
fields: {account: {type: string, entity: account}, box: {type: int, entity: box}, email: email}
---
rules: [{id: r, on: login, when: account == 'x' && box == 1 && email.domain == 'y'}]
)y";

class TruthTest : public testing::Test {
 protected:
  void SetUp() override { policy_ = kit::compile(kPolicy); }

  // The truth of an event of these values.
  Known of(const std::string& id, const std::string& account, int64_t box, const std::string& domain) {
    const policy::EventType& type = policy_->types[0];
    TruthOfType truth(truth_, type);
    std::vector<Value> values(static_cast<size_t>(type.slot_count));
    values[0] = Value::string(account);
    values[1] = Value::integer(box);
    values[static_cast<size_t>(type.schema.derived.at(0).slot)] = Value::string(domain);
    std::vector<cel::Column> columns(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      columns[i].layout = cel::Column::Layout::kValues;
      columns[i].values = &values[i];
    }
    return truth.of(id, columns, 0);
  }
  std::string error(std::string_view text) {
    base::Status status = truth_.add_csv("t.csv", text);
    return status ? "" : status.error().message;
  }
  using Value = event::Value;
  std::shared_ptr<const policy::Policy> policy_;
  Truth truth_;
};

TEST_F(TruthTest, ABadLineTakesNothingFromTheOthers) {
  base::LineFaults faults;
  ASSERT_TRUE(truth_.add_csv("t.csv", "type,id,label\nlogin,e1,good\nlogin,e2\n\nlogin,,bad\nlogin,e3,bad\n", &faults));
  EXPECT_EQ(truth_.size(), 2u);
  EXPECT_EQ(of("e1", "", 0, ""), Known::kGood);
  EXPECT_EQ(of("e2", "", 0, ""), Known::kNot);
  EXPECT_EQ(of("e3", "", 0, ""), Known::kBad);
  EXPECT_EQ(faults.count, 2u);
  ASSERT_EQ(faults.first.size(), 2u);
  EXPECT_EQ(faults.first[0], "t.csv:3: has 2 of 3 columns");
  EXPECT_EQ(faults.first[1], "t.csv:5: an empty field: what is told of, and the label, are needed");
  // What remains an error, and adds nothing.
  for (const char* text :
       {"", "type,id\nlogin,e4\n", "type,id,label\nlogin,e4\n", "type,id,label\nlogin,e4,good\n\"x"}) {
    base::LineFaults none;
    EXPECT_FALSE(truth_.add_csv("t.csv", text, &none)) << text;
    EXPECT_EQ(none.count, 0u) << text;
  }
  EXPECT_EQ(truth_.size(), 2u);
}

TEST_F(TruthTest, EventsAndEntitiesFromCsv) {
  ASSERT_EQ(error("type,id,label\nlogin,e1,good\r\nlogin,\"e,\"\"2\"\"\",Fraud\n\nother,e3,bad\n"), "");
  EXPECT_EQ(truth_.size(), 3u);
  EXPECT_EQ(of("e1", "", 0, ""), Known::kGood);
  EXPECT_EQ(of("e,\"2\"", "", 0, ""), Known::kBad);
  EXPECT_EQ(of("e3", "", 0, ""), Known::kNot);  // of another type
  EXPECT_EQ(error("\xef\xbb\xbfnote,label,value,entity\nseen,bad,anna,account\n,ham,7,box\n,spam,evil.example,domain"),
            "");
  EXPECT_EQ(of("", "anna", 0, ""), Known::kBad);
  EXPECT_EQ(of("", "", 7, ""), Known::kGood);
  EXPECT_EQ(of("", "", 0, "evil.example"), Known::kBad);
  EXPECT_EQ(of("e1", "anna", 0, ""), Known::kGood);  // the event itself wins
  EXPECT_EQ(of("", "anna", 7, ""), Known::kGood);    // told later
  EXPECT_EQ(of("", "nobody", 1, "z"), Known::kNot);
}

TEST_F(TruthTest, EntitiesAreFoundInAnySpelling) {
  ASSERT_EQ(error("entity,value,label\ndomain,Evil.EXAMPLE.,bad\nip,2001:DB8:0::1,bad\nnetwork,192.0.2.7/24,good\n"),
            "");
  EXPECT_EQ(of("", "", 0, "evil.example"), Known::kBad);
  EXPECT_EQ(truth_.of_entity("ip", "2001:db8::1"), Known::kBad);
  EXPECT_EQ(truth_.of_entity("network", "192.0.2.0/24"), Known::kGood);
}

TEST_F(TruthTest, TheLastOneCounts) {
  ASSERT_EQ(error("entity,value,label\naccount,a,bad\naccount,a,legit\n"), "");
  EXPECT_EQ(of("", "a", 0, ""), Known::kGood);
  EXPECT_EQ(truth_.size(), 1u);
}

TEST_F(TruthTest, WhatIsWrongIsToldWithItsLineAndNothingIsAdded) {
  EXPECT_EQ(error(""), "t.csv:1: the file is empty; expected a header line");
  EXPECT_NE(error("id,label\n").find("t.csv:1: expected a header line"), std::string::npos);
  EXPECT_EQ(error("type,id,label\nlogin,e1,good\nlogin,e2\n"), "t.csv:3: has 2 of 3 columns");
  EXPECT_NE(error("type,id,label\nlogin,\"a\nb\",good\n\nlogin,e2,\n").find("t.csv:5: an empty field"),
            std::string::npos);
  EXPECT_NE(error("type,id,label\nlogin,\"e2,good\n").find("t.csv:2: the quote"), std::string::npos);
  EXPECT_NE(error("type,id,label\nlogin,e\"2,good\n").find("t.csv:2: a quote within"), std::string::npos);
  EXPECT_NE(error("type,id,label\nlogin,\"e\"2,good\n").find("t.csv:2: expected a comma"), std::string::npos);
  EXPECT_NE(error("type,id,label\nlogin," + std::string(70'000, 'x') + ",good\n").find("64 KiB"), std::string::npos);
  EXPECT_EQ(truth_.size(), 0u);
  EXPECT_FALSE(truth_.add_csv_file("/nowhere/t.csv").has_value());
}

TEST_F(TruthTest, ManyThingsAreFoundAgain) {
  for (int i = 0; i < 20'000; ++i) truth_.add_event("login", "e" + std::to_string(i), i % 3 == 0 ? "bad" : "good");
  EXPECT_EQ(truth_.size(), 20'000u);
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_EQ(of("e" + std::to_string(i), "", 0, ""), i % 3 == 0 ? Known::kBad : Known::kGood);
  }
  EXPECT_EQ(of("e20000", "", 0, ""), Known::kNot);
}

TEST_F(TruthTest, ActsOfTheArchive) {
  kit::MemoryArchive archive;
  archive.answer.rows = {{"event:login", "e1", "bad"}, {"account", "anna", "good"}};
  ASSERT_TRUE(truth_.add_archive(archive, {}).has_value());
  EXPECT_EQ(archive.queries.at(0), "SELECT kind, value, label FROM truth ORDER BY time");
  EXPECT_EQ(of("e1", "anna", 0, ""), Known::kBad);
  EXPECT_EQ(of("e2", "anna", 0, ""), Known::kGood);
}

}  // namespace
}  // namespace tamis::replay
