// Pieces, and the snapshots of the single parts while they change.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/hash.h"
#include "state/feature.h"
#include "state/label.h"
#include "state/list.h"
#include "state/recent_ids.h"

namespace tamis::state {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;

// Takes the bytes of a snapshot apart and gives them to a part.
base::Status restore(SnapshotPart& part, std::string_view bytes) {
  PieceReader reader;
  reader.feed(bytes);
  Piece piece;
  while (true) {
    TAMIS_TRY(more, reader.next(piece));
    if (!more) break;
    TAMIS_CHECK(part.restore_piece(piece.kind, piece.body));
  }
  if (!reader.at_border()) return base::invalid("cut off");
  return part.finish_restore();
}

// Writes a snapshot of the part, with `change` between its pieces.
template <class Change>
std::string snapshot(SnapshotPart& part, Change&& change) {
  PieceWriter out;
  part.begin_snapshot(out, 1);
  do {
    change();
  } while (part.snapshot_piece());
  part.end_snapshot();
  std::string bytes;
  out.take(bytes, SIZE_MAX);
  return bytes;
}

TEST(Pieces, AMissingOrMovedPieceIsFound) {
  PieceWriter out;
  for (uint32_t i = 0; i < 3; ++i) {
    out.begin(kBodyPiece, i) += "body " + std::to_string(i);
    out.end();
  }
  std::string bytes;
  out.take(bytes, SIZE_MAX);
  const size_t frame = bytes.size() / 3;
  auto pieces_of = [](const std::string& from) {
    PieceReader reader;
    reader.feed(from);
    Piece piece;
    int pieces = 0;
    for (;; ++pieces) {
      auto more = reader.next(piece);
      if (!more) return -1;
      if (!*more) return pieces;
    }
  };
  EXPECT_EQ(pieces_of(bytes), 3);
  EXPECT_EQ(pieces_of(bytes.substr(0, frame) + bytes.substr(2 * frame)), -1);
  EXPECT_EQ(pieces_of(bytes.substr(frame, frame) + bytes.substr(0, frame)), -1);
  EXPECT_EQ(pieces_of(bytes.substr(0, 2 * frame) + bytes.substr(frame)), -1);
}

RC_GTEST_PROP(FeatureSnapshot, HoldsWhileSegmentsSplitJoinAndExpire, ()) {
  FeatureSpec spec;
  spec.name = "f";
  spec.aggregate = *rc::gen::element(Aggregate::kCount, Aggregate::kSum, Aggregate::kDistinct, Aggregate::kTopK);
  spec.windows_ms = {60'000};
  spec.lateness_ms = 1000;
  spec.keys_max = *rc::gen::element<uint64_t>(700, 1'000'000);
  auto table = FeatureTable::make(spec);
  uint64_t r = *rc::gen::arbitrary<uint64_t>();
  int64_t now_ms = kStart;
  // Phases of growth and of silence, so that segments split and, as keys expire, shrink and join.
  auto step = [](FeatureTable& t, uint64_t& random, int64_t& now) {
    random = base::mix64(random);
    now += (random >> 20) % 4000 == 0 ? 50'000 : 3;
    uint64_t key = (random >> 33) % 30'000;
    t.update(t.find(key), now, now, Value::integer(static_cast<int64_t>(random % 100)), false);
    t.advance(now);
  };
  auto events = *rc::gen::inRange(0, 20'000), between = *rc::gen::inRange(1, 500);
  for (int i = 0; i < events; ++i) step(*table, r, now_ms);
  const uint64_t digest = table->digest();
  const uint64_t r_then = r;
  const int64_t now_then = now_ms;
  std::string before;
  table->save(before);
  size_t steps = 0;
  std::string bytes = snapshot(*table, [&] {
    for (int i = 0; i < between; ++i, ++steps) step(*table, r, now_ms);
  });
  auto other = FeatureTable::make(spec);
  base::Status restored = restore(*other, bytes);
  if (!restored) RC_FAIL(restored.error().message);
  RC_ASSERT(other->digest() == digest);
  std::string again;
  other->save(again);
  RC_ASSERT(again == before);
  uint64_t r2 = r_then;
  int64_t now2 = now_then;
  for (size_t i = 0; i < steps; ++i) step(*other, r2, now2);
  RC_ASSERT(other->digest() == table->digest());
  RC_ASSERT(other->stats().evicted == table->stats().evicted);
}

RC_GTEST_PROP(LabelSnapshot, HoldsAndGoesOnTheSame, ()) {
  auto store = LabelStore::make(300);
  auto step = [](LabelStore& s, uint64_t n) {
    uint64_t r = base::mix64(n);
    int64_t now_ms = static_cast<int64_t>(n) * 10;
    std::string value = std::to_string((r >> 8) % 400), name = "l" + std::to_string((r >> 20) % 4);
    Label label{name, "ann", "why", now_ms, now_ms + static_cast<int64_t>((r >> 24) % 2000)};
    switch (r % 8) {
      case 0:
        s.clear("account", value, name);
        break;
      case 1:
        s.erase("account", value);
        break;
      case 2:
        (void)s.put("account", value, label);
        break;
      case 3:
        s.advance(now_ms);
        break;
      default:
        (void)s.set("account", value, label);
    }
  };
  auto before = *rc::gen::inRange<uint64_t>(0, 3000), between = *rc::gen::inRange<uint64_t>(1, 100);
  uint64_t n = *rc::gen::inRange<uint64_t>(0, 1'000'000);
  for (uint64_t i = 0; i < before; ++i) step(*store, n++);
  const uint64_t digest = store->digest(), then = n;
  std::string bytes = snapshot(*store, [&] {
    for (uint64_t i = 0; i < between; ++i) step(*store, n++);
  });
  auto other = LabelStore::make(300);
  base::Status restored = restore(*other, bytes);
  if (!restored) RC_FAIL(restored.error().message);
  RC_ASSERT(other->digest() == digest);
  for (uint64_t i = then; i < n; ++i) step(*other, i);
  RC_ASSERT(other->digest() == store->digest());
  RC_ASSERT(other->entities() == store->entities());
}

RC_GTEST_PROP(ListSnapshot, HoldsAndGoesOnTheSame, ()) {
  ListKind kind = *rc::gen::element(ListKind::kString, ListKind::kInt, ListKind::kNetwork, ListKind::kDomain);
  const bool ignore_case = kind == ListKind::kString && *rc::gen::arbitrary<bool>();
  auto list = List::make("l", kind, 300, ignore_case);
  auto step = [kind](List& l, uint64_t n) {
    uint64_t r = base::mix64(n);
    int64_t now_ms = static_cast<int64_t>(n) * 10;
    uint64_t number = (r >> 8) % 400;
    std::string value = std::to_string(number);
    if (kind == ListKind::kNetwork) value = "10.1." + std::to_string(number % 7) + "." + value.substr(0, 2);
    if (kind == ListKind::kDomain) value = "d" + value + ".example.com";
    ListEntry entry{value, now_ms + static_cast<int64_t>((r >> 24) % 2000), "note", r % 3 == 0 ? "ann" : "", now_ms};
    switch ((r >> 4) % 8) {
      case 0:
        l.remove(value);
        break;
      case 1:
        (void)l.put(entry);
        break;
      case 2:
        l.advance(now_ms);
        break;
      default:
        (void)l.add(entry);
    }
  };
  auto before = *rc::gen::inRange<uint64_t>(0, 3000), between = *rc::gen::inRange<uint64_t>(1, 100);
  uint64_t n = *rc::gen::inRange<uint64_t>(0, 1'000'000);
  for (uint64_t i = 0; i < before; ++i) step(*list, n++);
  const uint64_t digest = list->digest(), then = n;
  std::string bytes = snapshot(*list, [&] {
    for (uint64_t i = 0; i < between; ++i) step(*list, n++);
  });
  auto other = List::make("l", kind, 300, ignore_case);
  base::Status restored = restore(*other, bytes);
  if (!restored) RC_FAIL(restored.error().message);
  RC_ASSERT(other->digest() == digest);
  for (uint64_t i = then; i < n; ++i) step(*other, i);
  RC_ASSERT(other->digest() == list->digest());
}

TEST(LabelStore, TakingBackSetsExactlyAndAnExpiredLabelIsGone) {
  auto store = LabelStore::make();
  const Label first{"busy", "ann", "a", 100, 900}, later{"busy", "bob", "b", 200, 500};
  ASSERT_TRUE(store->set("account", "x", first).has_value());
  ASSERT_TRUE(store->set("account", "x", later).has_value());
  EXPECT_EQ(store->get("account", "x", 300), (std::vector<Label>{{"busy", "bob", "b", 100, 900}}));
  ASSERT_TRUE(store->put("account", "x", later).has_value());
  EXPECT_EQ(store->get("account", "x", 300), std::vector<Label>{later});
  const Label anew{"busy", "eve", "c", 600, 700};  // the one before has expired at 500
  ASSERT_TRUE(store->set("account", "x", anew).has_value());
  EXPECT_EQ(store->get("account", "x", 650), std::vector<Label>{anew});
  EXPECT_FALSE(store->set("account", "x", {"n", std::string(2000, 'a'), {}, 0, 1}).has_value());
}

TEST(LabelStore, PagesGiveEachLabelInForceOnce) {
  auto store = LabelStore::make();
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(store->set("account", std::to_string(i), {"a", {}, {}, 0, i % 5 == 0 ? 10 : 1000}).has_value());
    ASSERT_TRUE(store->set("account", std::to_string(i), {"b", {}, {}, 0, 1000}).has_value());
  }
  std::map<std::string, int> seen;
  uint64_t cursor = 0;
  do {
    cursor = store->visit(cursor, 7, 100, [&](std::string_view kind, std::string_view value, const Label& label) {
      EXPECT_EQ(kind, "account");
      ++seen[std::string(value) + label.name];
    });
    store->erase("account", "499");  // what changes in between does not move the others
    ASSERT_TRUE(store->set("account", "new" + std::to_string(cursor), {"c", {}, {}, 0, 1000}).has_value());
  } while (cursor != 0);
  int labels = 0;
  for (int i = 0; i < 499; ++i) {
    EXPECT_EQ(seen[std::to_string(i) + "b"], 1) << i;
    labels += seen[std::to_string(i) + "a"];
  }
  EXPECT_EQ(labels, 399);
}

TEST(List, FindsTheVeryEntryAndKeepsWhereItComesFrom) {
  auto list = List::make("nets", ListKind::kNetwork);
  ASSERT_TRUE(list->add({"10.0.0.0/8", 500, "spam", "ann", 100}).has_value());
  ASSERT_TRUE(list->add({"10.0.0.0/8", 900, "more", "bob", 200}).has_value());
  EXPECT_EQ(list->find("10.0.0.0/8"), (ListEntry{"10.0.0.0/8", 900, "more", "bob", 100}));
  EXPECT_FALSE(list->find("10.0.0.0/9").has_value());
  ASSERT_TRUE(list->put({"10.0.0.0/8", 500, "spam", "ann", 90}).has_value());
  EXPECT_EQ(list->find("10.0.0.0/8"), (ListEntry{"10.0.0.0/8", 500, "spam", "ann", 90}));
  size_t seen = 0;
  EXPECT_EQ(list->visit(0, 10, 100, [&](const ListEntry& entry) { seen += entry.author == "ann"; }), 0u);
  EXPECT_EQ(seen, 1u);
}

TEST(RecentIds, KnowsARepeatUntilItExpires) {
  RecentIds ids;
  EXPECT_EQ(ids.find(7, kStart, 10), 0u);
  ids.add(7, 10, kStart + 60'000, kStart);
  EXPECT_EQ(ids.find(7, kStart + 59'000, 10), 10u);
  EXPECT_EQ(ids.find(7, kStart + 59'000, 4'000'000'000), 10u);
  EXPECT_EQ(ids.find(7, kStart + 62'000, 10), 0u);
  const uint64_t far = 90'000'000'000;
  for (uint64_t record : {far - 3, far, uint64_t{0xffffffff} * 20, uint64_t{0xffffffff} * 20 + 1}) {
    ids.add(record, record, kStart + 60'000, kStart);
    EXPECT_EQ(ids.find(record, kStart, record + 1000), record);
  }
  EXPECT_TRUE(ids.forget(far));
  EXPECT_EQ(ids.find(far, kStart, far), 0u);
}

TEST(RecentIds, StaysUnderItsCapAndFreesWhatHasExpired) {
  RecentIds ids(5000);
  int64_t now_ms = kStart;
  for (uint64_t i = 1; i <= 20'000; ++i) {
    ids.add(base::mix64(i), i, now_ms + 3'600'000, now_ms);
    now_ms += 10;
    ASSERT_LE(ids.size(), 5000u);
  }
  EXPECT_EQ(ids.evicted(), 15'000u);
  size_t kept = 0;
  for (uint64_t i = 15'500; i <= 20'000; ++i) kept += ids.find(base::mix64(i), now_ms, 20'000) == i;
  EXPECT_GT(kept, 4000u);
  for (int i = 0; i < 10'000; ++i) ids.advance(now_ms + 4'000'000);
  EXPECT_EQ(ids.size(), 0u);
  EXPECT_LT(ids.bytes(), 10'000u);
}

RC_GTEST_PROP(RecentIds, ASnapshotHoldsWhileIdsComeAndGo, ()) {
  RecentIds ids(3000);
  auto step = [](RecentIds& table, uint64_t n) {
    uint64_t r = base::mix64(n);
    int64_t now_ms = kStart + static_cast<int64_t>(n) * 100;
    if (n / 5000 % 2 == 0) table.add(r % 7000, n + 1, now_ms + 200'000, now_ms);
    table.advance(now_ms);
  };
  auto before = *rc::gen::inRange<uint64_t>(0, 12'000), between = *rc::gen::inRange<uint64_t>(1, 2000);
  uint64_t n = 0;
  for (; n < before; ++n) step(ids, n);
  const uint64_t digest = ids.digest(), then = n;
  std::string bytes = snapshot(ids, [&] {
    for (uint64_t i = 0; i < between; ++i) step(ids, n++);
  });
  RecentIds other(3000);
  base::Status restored = restore(other, bytes);
  if (!restored) RC_FAIL(restored.error().message);
  RC_ASSERT(other.digest() == digest);
  for (uint64_t i = then; i < n; ++i) step(other, i);
  RC_ASSERT(other.digest() == ids.digest());
}

}  // namespace
}  // namespace tamis::state
