#include "replay/records.h"

#include <gtest/gtest.h>

namespace tamis::replay {
namespace {

TEST(Records, ComeBackAsTheyWereWritten) {
  std::string line;
  write_event(7, 1772409854257, "signup", "{\"a\":\n1}", line);
  EXPECT_EQ(line, R"({"n":7,"t":1772409854257,"k":"event","type":"signup","e":{"a": 1}})");
  auto record = read_record(line);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->kind, Record::Kind::kEvent);
  EXPECT_EQ(record->number, 7u);
  EXPECT_EQ(record->receive_ms, 1772409854257);
  EXPECT_EQ(record->type, "signup");
  EXPECT_EQ(record->json, "{\"a\": 1}");

  line.clear();
  write_policy(8, -5, "0123456789abcdef", 3, line);
  record = read_record(line);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->version, "0123456789abcdef");
  EXPECT_EQ(record->receive_ms, -5);
  EXPECT_EQ(record->filled_from, 3u);

  line.clear();
  write_act(9, 1, R"({"act":"list_add"})", line);
  record = read_record(line);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->json, R"({"act":"list_add"})");
}

TEST(Records, OfWhatWasErasedOnlyThePlaceIsLeft) {
  std::string line;
  write_erased(10, 77, line);
  EXPECT_EQ(line, R"({"n":10,"t":77,"k":"erased"})");
  auto record = read_record(line);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->kind, Record::Kind::kErased);
  EXPECT_EQ(record->number, 10u);
  EXPECT_FALSE(read_record(R"({"n":10,"t":77,"k":"erased","e":1})").has_value());
}

TEST(Records, WhatFeaturesForget) {
  std::string line;
  write_forget(11, 78, 1'700'000'000'000, 2, 5, line);
  EXPECT_EQ(line, R"({"n":11,"t":78,"k":"forget","before":1700000000000,"part":2,"parts":5})");
  auto record = read_record(line);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->kind, Record::Kind::kForget);
  EXPECT_EQ(record->before_ms, 1'700'000'000'000);
  EXPECT_EQ(record->part, 2u);
  EXPECT_EQ(record->parts, 5u);
  for (const char* bad : {R"({"n":11,"t":78,"k":"forget","before":1,"part":5,"parts":5})",
                          R"({"n":11,"t":78,"k":"forget","before":1,"part":0,"parts":0})",
                          R"({"n":11,"t":78,"k":"forget","before":1,"part":-1,"parts":2})",
                          R"({"n":11,"t":78,"k":"forget","before":1,"part":0,"parts":2,"x":1})"}) {
    EXPECT_FALSE(read_record(bad).has_value()) << bad;
  }
}

TEST(Records, WhatIsNoRecordIsAnError) {
  for (const char* line :
       {"", "{}", "{\"n\":1}", "{\"n\":x,\"t\":1,\"k\":\"event\",\"type\":\"\",\"e\":{}}",
        "{\"n\":1,\"t\":1,\"k\":\"other\"}", "{\"n\":1,\"t\":1,\"k\":\"policy\",\"version\":\"a\\\"\"}"}) {
    EXPECT_FALSE(read_record(line).has_value()) << line;
  }
}

}  // namespace
}  // namespace tamis::replay
