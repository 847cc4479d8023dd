// What holds for the tables of all aggregates: read_with, saving, digests, expiry, caps, lateness.
#include "state/feature_table.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

#include "base/hash.h"

namespace tamis::state {
namespace {

using event::Kind;

constexpr int64_t kSecond = 1000, kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr int64_t kStart = 1'700'000'000'000;

constexpr Aggregate kAll[] = {Aggregate::kCount,    Aggregate::kSum,  Aggregate::kMean,      Aggregate::kMin,
                              Aggregate::kMax,      Aggregate::kLast, Aggregate::kFirstSeen, Aggregate::kRate,
                              Aggregate::kQuantile, Aggregate::kTopK, Aggregate::kRatio,     Aggregate::kSet,
                              Aggregate::kDistinct};

FeatureSpec spec_of(Aggregate aggregate) {
  FeatureSpec spec;
  spec.name = "f";
  spec.aggregate = aggregate;
  spec.windows_ms = {kMinute, kHour, kDay};
  spec.k = 5;
  return spec;
}

std::string shown(Value v) { return event::debug_string(v, 4000); }

std::string reading(const FeatureTable& table, uint64_t key, int64_t t_ms) {
  base::Arena arena;
  std::string out;
  for (size_t w = 0; w < table.spec().windows_ms.size(); ++w) {
    out += shown(table.read(table.find(key), t_ms, w, arena)) + ";";
  }
  return out;
}

std::unique_ptr<FeatureTable> copy_of(const FeatureTable& table) {
  std::string bytes;
  table.save(bytes);
  auto copy = FeatureTable::make(table.spec());
  auto loaded = copy->load(bytes);
  EXPECT_TRUE(loaded.has_value()) << (loaded ? "" : loaded.error().message);
  return copy;
}

struct Event {
  uint64_t key;
  int64_t t_ms, now_ms;
  Value of;
  bool hit;
};

// Events of some keys, with values of the kind, bursts and silences, and late ones.
class Stream {
 public:
  Stream(const FeatureSpec& spec, uint64_t seed, uint64_t keys) : spec_(spec), r_(seed), keys_(keys) {}

  Event next() {
    r_ = base::mix64(r_);
    if (r_ % 3 != 0) now_ms_ += static_cast<int64_t>((r_ >> 20) % ((r_ >> 8) % 64 == 0 ? kDay : kMinute));
    uint64_t s = base::mix64(r_ ^ 1);
    Event e{s % keys_, now_ms_, now_ms_, {}, (s >> 10) % 3 == 0};
    if ((s >> 12) % 4 == 0) e.t_ms -= static_cast<int64_t>((s >> 20) % (static_cast<uint64_t>(spec_.lateness_ms) + 1));
    uint64_t v = (s >> 30) % ((s >> 16) % 3 == 0 ? 1000 : 5);
    switch (spec_.value_kind) {
      case Kind::kDouble:
        e.of = Value::real(static_cast<double>(v) * ((r_ >> 50) % 99 == 0 ? 0.1 : 0.25));
        break;
      case Kind::kTimestamp:
        e.of = Value::timestamp(static_cast<int64_t>(v) * 1000, 5);
        break;
      case Kind::kDuration:
        e.of = Value::duration(static_cast<int64_t>(v) * 1000);
        break;
      case Kind::kString:
        text_ = std::string(v % 300, 'x') + std::to_string(v);
        e.of = Value::string(text_);
        break;
      default:
        e.of = Value::integer(static_cast<int64_t>(v) - 2);
        break;
    }
    return e;
  }
  int64_t now_ms() const { return now_ms_; }

 private:
  FeatureSpec spec_;
  uint64_t r_;
  uint64_t keys_;
  int64_t now_ms_ = kStart;
  std::string text_;
};

FeatureSpec random_spec() {
  FeatureSpec spec = spec_of(*rc::gen::elementOf(std::vector<Aggregate>(std::begin(kAll), std::end(kAll))));
  bool is_text = spec.aggregate == Aggregate::kLast || spec.aggregate == Aggregate::kTopK ||
                 spec.aggregate == Aggregate::kSet || spec.aggregate == Aggregate::kDistinct;
  spec.value_kind = is_text ? *rc::gen::element(Kind::kInt, Kind::kString, Kind::kDouble, Kind::kTimestamp)
                            : *rc::gen::element(Kind::kInt, Kind::kDouble);
  spec.windows_ms = *rc::gen::elementOf(std::vector<std::vector<int64_t>>{
      {kMinute}, {kHour}, {90 * kDay}, {kMinute, kHour, kDay}, {kSecond, 2 * kSecond, 7 * kDay}});
  spec.lateness_ms = *rc::gen::element<int64_t>(0, kMinute, kHour, kDay);
  spec.k = *rc::gen::element<uint32_t>(1, 5, 32);
  return spec;
}

TEST(FeatureTable, ReadWithEqualsUpdateThenRead) {
  EXPECT_TRUE(rc::check("read_with == update and read", [] {
    FeatureSpec spec = random_spec();
    Stream events(spec, *rc::gen::arbitrary<uint64_t>(), 3);
    auto table = FeatureTable::make(spec);
    auto count = *rc::gen::inRange(1, 300);
    base::Arena arena;
    for (int i = 0; i < count; ++i) {
      Event e = events.next();
      std::string with;
      Cursor cursor = table->find(e.key);
      for (size_t w = 0; w < spec.windows_ms.size(); ++w) {
        with += shown(table->read_with(cursor, e.t_ms, w, e.of, e.hit, arena)) + ";";
      }
      table->update(cursor, e.t_ms, e.now_ms, e.of, e.hit);
      RC_ASSERT(with == reading(*table, e.key, e.t_ms));
    }
  }));
}

TEST(FeatureTable, ASavedTableGoesOnLikeTheFirst) {
  EXPECT_TRUE(rc::check("save, load, go on", [] {
    FeatureSpec spec = random_spec();
    spec.keys_max = *rc::gen::element<uint64_t>(5, 60, 1000);
    spec.at_cap = *rc::gen::element(AtCap::kEvictOldest, AtCap::kIgnoreNew);
    auto keys = *rc::gen::element<uint64_t>(4, 100, 2000);
    Stream events(spec, *rc::gen::arbitrary<uint64_t>(), keys);
    auto table = FeatureTable::make(spec);
    auto before = *rc::gen::inRange(0, 400), after = *rc::gen::inRange(1, 200);
    for (int i = 0; i < before; ++i) {
      Event e = events.next();
      table->update(table->find(e.key), e.t_ms, e.now_ms, e.of, e.hit);
      table->advance(e.now_ms);
    }
    auto copy = copy_of(*table);
    std::string bytes, again;
    table->save(bytes);
    copy->save(again);
    RC_ASSERT(bytes == again);
    RC_ASSERT(table->digest() == copy->digest());
    for (int i = 0; i < after; ++i) {
      Event e = events.next();
      RC_ASSERT(reading(*table, e.key, e.now_ms) == reading(*copy, e.key, e.now_ms));
      for (FeatureTable* t : {table.get(), copy.get()}) {
        t->update(t->find(e.key), e.t_ms, e.now_ms, e.of, e.hit);
        t->advance(e.now_ms);
      }
    }
    bytes.clear();
    again.clear();
    table->save(bytes);
    copy->save(again);
    RC_ASSERT(bytes == again);
    RC_ASSERT(table->stats().keys == copy->stats().keys && table->stats().evicted == copy->stats().evicted);
  }));
}

TEST(FeatureTable, DamageIsRefused) {
  for (Aggregate aggregate : kAll) {
    FeatureSpec spec = spec_of(aggregate);
    Stream events(spec, 7, 40);
    auto table = FeatureTable::make(spec);
    for (int i = 0; i < 2000; ++i) {
      Event e = events.next();
      table->update(table->find(e.key), e.t_ms, e.now_ms, e.of, e.hit);
    }
    std::string bytes;
    table->save(bytes);
    uint64_t digest = table->digest();
    uint64_t r = 1;
    for (int i = 0; i < 300; ++i) {
      r = base::mix64(r);
      std::string bad = bytes;
      size_t at = r % bad.size();
      if (r >> 62 == 0) {
        bad.resize(at);
      } else {
        bad[at] = static_cast<char>(bad[at] ^ (1 << (r >> 40) % 8));
      }
      // Behind the checksum the structure is checked, too: it must not crash, and what it takes must be usable.
      bool fixed = r >> 63 != 0 && bad.size() > 8;
      if (fixed) {
        uint64_t sum = base::hash64(bad.data(), bad.size() - 8);
        bad.replace(bad.size() - 8, 8, reinterpret_cast<const char*>(&sum), 8);
      }
      base::Status loaded = table->load(bad);
      if (!fixed) {
        ASSERT_FALSE(loaded.has_value());
        EXPECT_NE(loaded.error().message.find("feature f"), std::string::npos);
      }
      if (!loaded) {
        ASSERT_EQ(table->digest(), digest);  // a refused load changes nothing
        continue;
      }
      for (uint64_t key = 0; key < 40; ++key) {
        reading(*table, key, events.now_ms());
        table->update(table->find(key), events.now_ms(), events.now_ms(), Value::integer(3), true);
      }
      ASSERT_TRUE(table->load(bytes).has_value());
    }
    FeatureSpec other = spec;
    other.windows_ms.back() += 1;
    base::Status refused = FeatureTable::make(other)->load(bytes);
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().message.find("another declaration"), std::string::npos);
  }
}

TEST(FeatureTable, DigestTellsStateNotHistory) {
  for (Aggregate aggregate : kAll) {
    FeatureSpec spec = spec_of(aggregate);
    auto a = FeatureTable::make(spec), b = FeatureTable::make(spec);
    for (uint64_t key = 0; key < 3000; ++key) {
      a->update(a->find(key), kStart, kStart, Value::integer(1), true);
      uint64_t other = 2999 - key;
      b->update(b->find(other), kStart, kStart, Value::integer(1), true);
    }
    EXPECT_EQ(a->digest(), b->digest());
    b->update(b->find(5), kStart + 1, kStart + 1, Value::integer(1), true);
    EXPECT_NE(a->digest(), b->digest());
    a->update(a->find(5), kStart + 1, kStart + 1, Value::integer(1), true);
    EXPECT_EQ(a->digest(), b->digest());
    // Dead keys do not count, freed or not.
    auto empty = FeatureTable::make(spec);
    empty->advance(kStart + 3 * kDay);
    a->advance(kStart + 3 * kDay);
    EXPECT_EQ(a->digest(), empty->digest());
  }
}

TEST(FeatureTable, ExpiryFreesMemory) {
  for (Aggregate aggregate : kAll) {
    FeatureSpec spec = spec_of(aggregate);
    auto table = FeatureTable::make(spec);
    uint64_t empty = table->stats().bytes;
    for (uint64_t key = 0; key < 20'000; ++key) {
      table->update(table->find(key), kStart, kStart, Value::integer(static_cast<int64_t>(key)), true);
    }
    EXPECT_EQ(table->stats().keys, 20'000u);
    uint64_t full = table->stats().bytes;
    // As long as the widest window and the lateness cover the keys they stay.
    for (int i = 0; i < 2000; ++i) table->advance(kStart + kDay + kHour - 1);
    EXPECT_EQ(table->stats().keys, 20'000u);
    for (int i = 0; i < 4000; ++i) table->advance(kStart + kDay + kHour + 3000);
    EXPECT_EQ(table->stats().keys, 0u);
    EXPECT_LT(table->stats().bytes, empty + full / 20);
  }
}

TEST(FeatureTable, ReadingsAreEmptyWithoutEvents) {
  base::Arena arena;
  for (Aggregate aggregate : kAll) {
    FeatureSpec spec = spec_of(aggregate);
    auto table = FeatureTable::make(spec);
    table->update(table->find(1), kStart, kStart, Value::integer(2), true);
    for (Value v :
         {table->read(table->find(2), kStart, 0, arena), table->read(table->find(1), kStart + kMinute, 0, arena)}) {
      switch (aggregate) {
        case Aggregate::kCount:
        case Aggregate::kSum:
        case Aggregate::kDistinct:
          EXPECT_TRUE(v.is(Kind::kInt) && v.i == 0);
          break;
        case Aggregate::kRate:
          EXPECT_TRUE(v.is(Kind::kDouble) && v.d == 0);
          break;
        case Aggregate::kTopK:
        case Aggregate::kSet:
          EXPECT_TRUE(v.is(Kind::kList) && v.size == 0);
          break;
        default:
          EXPECT_TRUE(v.is(Kind::kAbsent));
      }
    }
    EXPECT_NE(shown(table->read(table->find(1), kStart + kMinute - 1, 0, arena)),
              shown(table->read(table->find(2), kStart + kMinute - 1, 0, arena)));
  }
}

TEST(FeatureTable, CapEvictsTheOldest) {
  FeatureSpec spec = spec_of(Aggregate::kCount);
  spec.keys_max = 3;
  auto table = FeatureTable::make(spec);
  base::Arena arena;
  auto touch = [&](uint64_t key, int64_t t_ms) { table->update(table->find(key), t_ms, t_ms, {}, false); };
  auto count = [&](uint64_t key) { return table->read(table->find(key), kStart + 10, 2, arena).i; };
  touch(1, kStart);
  touch(2, kStart + 1);
  touch(3, kStart + 2);
  touch(1, kStart + 3);
  touch(4, kStart + 4);
  EXPECT_EQ(count(2), 0);
  EXPECT_EQ(count(1), 2);
  EXPECT_EQ(count(4), 1);
  EXPECT_EQ(table->stats().keys, 3u);
  EXPECT_EQ(table->stats().evicted, 1u);
}

TEST(FeatureTable, CapEvictsNearlyTheOldestOfMany) {
  FeatureSpec spec = spec_of(Aggregate::kCount);
  spec.keys_max = 20'000;
  auto table = FeatureTable::make(spec);
  base::Arena arena;
  for (uint64_t key = 0; key < 40'000; ++key) {
    int64_t t_ms = kStart + static_cast<int64_t>(key) * 10;
    table->update(table->find(key), t_ms, t_ms, {}, false);
  }
  EXPECT_EQ(table->stats().keys, 20'000u);
  EXPECT_EQ(table->stats().evicted, 20'000u);
  uint64_t lost = 0;
  for (uint64_t key = 21'000; key < 40'000; ++key) {
    lost += table->read(table->find(key), kStart + 400'000, 2, arena).i == 0;
  }
  EXPECT_LT(lost, 200u);
}

TEST(FeatureTable, CapIgnoresTheNew) {
  FeatureSpec spec = spec_of(Aggregate::kSum);
  spec.keys_max = 100;
  spec.at_cap = AtCap::kIgnoreNew;
  auto table = FeatureTable::make(spec);
  base::Arena arena;
  for (uint64_t key = 0; key < 150; ++key) table->update(table->find(key), kStart, kStart, Value::integer(1), false);
  EXPECT_EQ(table->stats().keys, 100u);
  EXPECT_EQ(table->stats().ignored, 50u);
  EXPECT_EQ(table->read(table->find(99), kStart, 0, arena).i, 1);
  EXPECT_EQ(table->read(table->find(100), kStart, 0, arena).i, 0);
  // Keys that are dead make room.
  int64_t later = kStart + 2 * kDay;
  table->update(table->find(200), later, later, Value::integer(1), false);
  EXPECT_EQ(table->read(table->find(200), later, 0, arena).i, 1);
}

TEST(FeatureTable, LateEventsAreDropped) {
  FeatureSpec spec = spec_of(Aggregate::kCount);
  auto table = FeatureTable::make(spec);
  base::Arena arena;
  table->update(table->find(1), kStart - kHour, kStart, {}, false);
  table->update(table->find(1), kStart - kHour - 1, kStart, {}, false);
  EXPECT_EQ(table->stats().late, 1u);
  EXPECT_EQ(table->read(table->find(1), kStart, 2, arena).i, 1);
  EXPECT_EQ(table->read(table->find(1), kStart, 0, arena).i, 0);
  EXPECT_EQ(table->read(table->find(1), kStart - kHour + 1, 0, arena).i, 1);
}

TEST(FeatureTable, StaleCursorsAreFoundAgain) {
  FeatureSpec spec = spec_of(Aggregate::kCount);
  auto table = FeatureTable::make(spec);
  base::Arena arena;
  Cursor unborn = table->find(1);
  table->update(unborn, kStart, kStart, {}, false);
  Cursor first = table->find(1);
  for (uint64_t key = 2; key < 5000; ++key) table->update(table->find(key), kStart, kStart, {}, false);
  table->update(first, kStart, kStart, {}, false);
  table->update(unborn, kStart, kStart, {}, false);
  EXPECT_EQ(table->read(first, kStart, 0, arena).i, 3);
  EXPECT_EQ(table->stats().keys, 4999u);
}

TEST(FeatureTable, TimesAtTheEndsOfTheirRange) {
  for (Aggregate aggregate : kAll) {
    auto table = FeatureTable::make(spec_of(aggregate));
    base::Arena arena;
    for (int64_t t_ms : {INT64_MIN, int64_t{-1}, int64_t{0}, INT64_MAX - 1, INT64_MAX}) {
      Cursor cursor = table->find(1);
      table->update(cursor, t_ms, t_ms, Value::integer(1), false);
      table->advance(t_ms);
      for (int64_t at_ms : {INT64_MIN, int64_t{0}, t_ms, INT64_MAX}) {
        EXPECT_FALSE(table->read_with(table->find(1), at_ms, 2, Value::integer(1), true, arena).is_error());
      }
    }
  }
}

TEST(FeatureTable, KeysThatCollideDoNotBlowItUp) {
  FeatureSpec spec = spec_of(Aggregate::kCount);
  auto table = FeatureTable::make(spec);
  // Keys whose mixed hashes share their first 20 bits: the inverse of mix64 is found by trying.
  uint64_t found = 0;
  for (uint64_t i = 0; found < 3000; ++i) {
    if (base::mix64(i) >> 50 != 0) continue;
    ++found;
    table->update(table->find(i), kStart, kStart, {}, false);
  }
  EXPECT_LT(table->stats().bytes, 2'000'000u);
  EXPECT_GT(table->stats().keys, 500u);
}

}  // namespace
}  // namespace tamis::state
