// What retention and erasure ask of features: nothing from before a time is left in them, and whether a key holds a
// text.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <string>

#include "base/hash.h"
#include "state/feature.h"

namespace tamis::state {
namespace {

using event::Kind;

constexpr int64_t kHour = 3'600'000, kDay = 24 * kHour;
constexpr int64_t kStart = 1'700'000'000'000;

FeatureSpec spec_of(Aggregate aggregate, std::vector<int64_t> windows_ms, Kind kind = Kind::kString) {
  FeatureSpec spec;
  spec.name = "f";
  spec.aggregate = aggregate;
  spec.windows_ms = std::move(windows_ms);
  spec.value_kind = kind;
  spec.k = 20;
  return spec;
}

void add(FeatureTable& table, uint64_t key, int64_t t_ms, int64_t now_ms, Value of) {
  table.update(table.find(key), t_ms, now_ms, of, false);
  table.advance(now_ms);
}

uint64_t forget(FeatureTable& table, int64_t before_ms, uint32_t parts) {
  uint64_t keys = 0;
  for (uint32_t part = 0; part < parts; ++part) keys += table.forget_before(before_ms, part, parts);
  return keys;
}

std::string bytes_of(const FeatureTable& table) {
  std::string bytes;
  table.save(bytes);
  return bytes;
}

class ForgetTest : public testing::TestWithParam<Aggregate> {};
INSTANTIATE_TEST_SUITE_P(Aggregates, ForgetTest, testing::Values(Aggregate::kLast, Aggregate::kSet, Aggregate::kTopK));

TEST_P(ForgetTest, NothingFromBeforeIsLeftAndWhatCameSinceIs) {
  EXPECT_TRUE(rc::check([&] {
    auto table = FeatureTable::make(spec_of(GetParam(), {kHour, 30 * kDay}));
    auto other = FeatureTable::make(spec_of(GetParam(), {kHour, 30 * kDay}));
    auto r = *rc::gen::arbitrary<uint64_t>();
    std::map<std::string, int64_t> newest;  // by value
    int64_t now_ms = kStart;
    const int steps = *rc::gen::inRange(1, 200);
    for (int i = 0; i < steps; ++i) {
      r = base::mix64(r);
      now_ms += static_cast<int64_t>((r >> 33) % static_cast<uint64_t>((r >> 9) % 20 == 0 ? 5 * kDay : kHour));
      const int64_t t_ms = (r >> 8) % 4 == 0 ? now_ms - static_cast<int64_t>((r >> 12) % kHour) : now_ms;
      const std::string value = "<" + std::to_string((r >> 40) % 150) + ">";
      int64_t& seen = newest.emplace(value, t_ms).first->second;
      seen = std::max(seen, t_ms);
      for (auto* one : {table.get(), other.get()}) add(*one, (r >> 3) % 5, t_ms, now_ms, Value::string(value));
    }
    const int64_t before_ms = now_ms - *rc::gen::inRange<int64_t>(0, 20 * kDay);
    forget(*table, before_ms, 1);
    forget(*other, before_ms, 7);
    RC_ASSERT(table->digest() == other->digest());  // however many parts
    RC_ASSERT(forget(*table, before_ms, 3) == 0u);  // once is enough
    const std::string bytes = bytes_of(*table);
    for (const auto& [value, seen_ms] : newest) {
      if (seen_ms < before_ms) RC_ASSERT(bytes.find(value) == std::string::npos);
    }
    // A snapshot of it is whole, and the table goes on.
    auto loaded = FeatureTable::make(spec_of(GetParam(), {kHour, 30 * kDay}));
    RC_ASSERT(loaded->load(bytes).has_value());
    RC_ASSERT(loaded->digest() == table->digest());
    add(*table, 1, now_ms, now_ms, Value::string("<new>"));
    RC_ASSERT(bytes_of(*table).find("<new>") != std::string::npos);
  }));
}

TEST(Forget, WhatCameSinceReadsAsBefore) {
  for (const Aggregate aggregate : {Aggregate::kLast, Aggregate::kSet, Aggregate::kTopK}) {
    auto table = FeatureTable::make(spec_of(aggregate, {30 * kDay}));
    add(*table, 1, kStart, kStart, Value::string("old"));
    add(*table, 2, kStart, kStart, Value::string("only old"));
    add(*table, 1, kStart + kDay, kStart + kDay, Value::string("kept"));
    EXPECT_EQ(forget(*table, kStart + 1, 2), 2u);
    base::Arena arena;
    const Value v = table->read(table->find(1), kStart + kDay, 0, arena);
    if (aggregate == Aggregate::kLast) {
      EXPECT_EQ(v.str(), "kept");
    } else {
      ASSERT_EQ(v.list_items().size(), 1u);
      EXPECT_EQ(v.list_items()[0].str(), "kept");
    }
    EXPECT_EQ(table->stats().keys, 1u);
  }
}

// Extremes do not tell their events apart: a key goes once one of them may be as old.
TEST(Forget, ExtremesGoAsAWhole) {
  auto table = FeatureTable::make(spec_of(Aggregate::kMax, {kDay}, Kind::kInt));
  add(*table, 1, kStart + 2 * kDay, kStart + 2 * kDay, Value::integer(9));
  add(*table, 2, kStart + 3 * kDay, kStart + 3 * kDay, Value::integer(8));
  EXPECT_EQ(forget(*table, kStart + kDay, 1), 1u);
  base::Arena arena;
  EXPECT_EQ(table->read(table->find(2), kStart + 3 * kDay, 0, arena).i, 8);
  EXPECT_EQ(forget(*table, kStart + 2 * kDay, 1), 1u);
  EXPECT_EQ(table->stats().keys, 0u);
}

TEST(Forget, WhatIsDeadGoesThoughItIsNoOlder) {
  auto table = FeatureTable::make(spec_of(Aggregate::kLast, {kHour}));
  add(*table, 1, kStart, kStart, Value::string("silent"));
  add(*table, 2, kStart + kDay, kStart + kDay, Value::string("here"));
  forget(*table, kStart - kDay, 1);
  EXPECT_EQ(bytes_of(*table).find("silent"), std::string::npos);
  EXPECT_TRUE(table->holds(2, Value::string("here")));
}

TEST(Forget, ASnapshotUnderWayIsAsItWas) {
  auto table = FeatureTable::make(spec_of(Aggregate::kSet, {30 * kDay}));
  for (uint64_t key = 0; key < 3'000; ++key) add(*table, key, kStart, kStart, Value::string("old"));
  PieceWriter out;
  table->begin_snapshot(out, 1);
  forget(*table, kStart + 1, 3);
  while (table->snapshot_piece()) {
  }
  table->end_snapshot();
  EXPECT_EQ(table->stats().keys, 0u);
  std::string bytes;
  while (out.bytes() > 0) out.take(bytes, out.bytes());
  size_t count = 0;
  for (size_t at = bytes.find("old"); at != std::string::npos; at = bytes.find("old", at + 1)) ++count;
  EXPECT_EQ(count, 3'000u);
}

TEST(Forget, AKeyHoldsTheTextsThatItWasGiven) {
  for (const Aggregate aggregate : {Aggregate::kLast, Aggregate::kSet, Aggregate::kTopK}) {
    auto table = FeatureTable::make(spec_of(aggregate, {kDay}));
    const std::string longer(400, 'x');
    add(*table, 1, kStart, kStart, Value::string("anna@our.example"));
    EXPECT_TRUE(table->holds(1, Value::string("anna@our.example")));
    EXPECT_FALSE(table->holds(1, Value::string("berta@our.example")));
    EXPECT_FALSE(table->holds(2, Value::string("anna@our.example")));
    EXPECT_TRUE(table->holds(1, Value::integer(4711))) << "of numbers the key alone tells";
    add(*table, 1, kStart + 1, kStart + 1, Value::string(longer));
    EXPECT_TRUE(table->holds(1, Value::string(longer))) << "it was cut";
  }
}

}  // namespace
}  // namespace tamis::state
