#include "action/batch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "action/digest.h"
#include "action/folder_test_kit.h"
#include "action/ground_test_kit.h"

namespace tamis::action {
namespace {

constexpr int64_t kHour = 3'600'000;

std::unique_ptr<Batches> open(const std::string& folder, Ground& ground, BatchOptions options = {}) {
  auto batches = Batches::open(folder, ground, options);
  EXPECT_TRUE(batches) << batches.error().message;
  return batches ? std::move(*batches) : nullptr;
}

BatchItem label(const std::string& account, const std::string& name = "burst", int64_t lasts_ms = 0) {
  BatchItem item;
  item.place = {Place::Kind::kLabel, "account", account, name};
  item.lasts_ms = lasts_ms;
  return item;
}

BatchItem entry(const std::string& value, int64_t expires_ms = state::kNeverExpires) {
  BatchItem item;
  item.place = {Place::Kind::kList, "blocked", value, ""};
  item.expires_ms = expires_ms;
  return item;
}

BatchItem revision(const std::string& id, const std::string& verdict) {
  BatchItem item;
  item.place = {Place::Kind::kRevision, "login", id, verdict};
  return item;
}

BatchPlan plan_of(std::span<const BatchItem> items) {
  return {"bulk-rule", "v7", "ann", "bulk \"signups\"\nin May", 1'795'000'000'000, 1'795'200'000'000, items};
}

std::string planned(Batches& batches, std::span<const BatchItem> items) {
  auto info = batches.plan(plan_of(items));
  EXPECT_TRUE(info) << info.error().message;
  return info ? info->id : "";
}

TEST(Batch, Life) {
  TestFolder folder;
  TestGround ground;
  Mark theirs{"bob", "by hand", ground.now - kHour, ground.now + kHour};
  Mark lasting{"bob", "for good", ground.now - kHour, state::kNeverExpires};
  ground.others(label("a-2").place, theirs);
  ground.others(label("a-3").place, lasting);
  ground.others(entry("x.example").place, theirs);
  ground.others(revision("e-1", "reject").place, lasting);
  std::vector<BatchItem> items = {label("a-1", "burst", 6 * kHour),
                                  label("a-2", "burst", 6 * kHour),
                                  label("a-3", "burst", 6 * kHour),
                                  entry("x.example"),
                                  entry("y.example"),
                                  revision("e-1", "reject"),
                                  revision("e-2", "reject")};
  const Marks before = ground.marks;
  auto batches = open(folder.path(), ground);
  BatchPreview preview = batches->preview(items).value();
  EXPECT_EQ(std::make_tuple(preview.labels, preview.entries, preview.revisions), std::make_tuple(3u, 2u, 2u));
  EXPECT_EQ(std::make_tuple(preview.fresh, preview.replaced, preview.already), std::make_tuple(3u, 3u, 1u));

  BatchInfo plan = batches->plan(plan_of(items)).value();
  EXPECT_EQ(plan.state, BatchState::kPlanned);
  EXPECT_EQ(ground.marks, before);
  EXPECT_EQ(plan.sha256, sha256_hex(read_test_file(folder / (plan.id + ".jsonl"))));
  ASSERT_EQ(ground.records.size(), 1u);
  EXPECT_NE(ground.records[0].find(plan.sha256), std::string::npos);

  ground.now += 1'000;
  BatchInfo applied = batches->apply(plan.id, {.by = "ann"}).value();
  EXPECT_EQ(applied.state, BatchState::kApplied);
  EXPECT_EQ(std::make_tuple(applied.changed, applied.already, applied.failed), std::make_tuple(6u, 1u, 0u));
  Mark mark = ground.marks.at(items[0].place);
  EXPECT_EQ(mark, (Mark{"ann", "bulk \"signups\"\nin May", ground.now, ground.now + 6 * kHour}));
  EXPECT_EQ(ground.marks.at(items[1].place).since_ms, theirs.since_ms);
  EXPECT_EQ(ground.marks.at(items[1].place).expires_ms, ground.now + 6 * kHour);
  EXPECT_EQ(ground.marks.at(items[2].place), lasting);
  EXPECT_EQ(ground.marks.at(items[3].place).expires_ms, state::kNeverExpires);
  EXPECT_EQ(ground.marks.at(items[5].place).since_ms, ground.now);  // a revision is always the newest
  for (size_t i = ground.journal.size() - 6; i < ground.journal.size(); ++i) {
    EXPECT_EQ(ground.journal[i].batch, plan.id);
  }
  EXPECT_EQ(ground.durable, ground.journal.size());
  size_t acts = ground.journal.size();
  EXPECT_EQ(batches->apply(plan.id).value().state, BatchState::kApplied);  // nothing twice
  EXPECT_EQ(ground.journal.size(), acts);

  Mark later{"carl", "I know him", ground.now + 5, state::kNeverExpires};
  ground.others(items[0].place, later);
  ground.now += 1'000;
  BatchInfo undone = batches->undo(plan.id, {.by = "dora", .why = "too broad"}).value();
  EXPECT_EQ(undone.state, BatchState::kUndone);
  EXPECT_EQ(ground.removed_by, "dora");
  EXPECT_EQ(std::make_tuple(undone.restored, undone.removed, undone.kept, undone.gone),
            std::make_tuple(3u, 2u, 1u, 0u));
  EXPECT_EQ(ground.marks, ground.shadow);
  EXPECT_EQ(ground.marks.at(items[1].place), theirs);
  BatchReport report = batches->report(plan.id).value();
  ASSERT_EQ(report.faults.size(), 1u);
  EXPECT_EQ(report.faults[0].place, items[0].place);
  EXPECT_EQ(report.faults[0].who, "carl");
  EXPECT_EQ(report.faults[0].when_ms, later.since_ms);
  EXPECT_FALSE(batches->apply(plan.id));

  // All of it is there after a restart.
  BatchInfo again = open(folder.path(), ground)->info(plan.id).value();
  EXPECT_EQ(to_json(again), to_json(batches->info(plan.id).value()));
  EXPECT_EQ(again.undone_by, "dora");
  EXPECT_EQ(again.undo_reason, "too broad");
  EXPECT_EQ(batches->items(plan.id, 5, 10).value()[1].place, items[6].place);
}

TEST(Batch, WhatEndsByItselfDoesNotComeBack) {
  TestFolder folder;
  TestGround ground;
  ground.others(label("a-1").place, Mark{"bob", "", ground.now, ground.now + kHour});
  std::vector<BatchItem> items = {label("a-1", "burst", 5 * kHour), label("a-2", "burst", 2 * kHour)};
  auto batches = open(folder.path(), ground);
  std::string id = planned(*batches, items);
  ASSERT_TRUE(batches->apply(id));
  ground.now += 3 * kHour;
  BatchInfo undone = batches->undo(id).value();
  EXPECT_EQ(std::make_tuple(undone.restored, undone.removed, undone.gone), std::make_tuple(0u, 1u, 1u));
  EXPECT_TRUE(ground.in_force(ground.marks).empty());
}

TEST(Batch, StopsAtTheCapOnDemandAndWhenNothingIsJournaled) {
  TestFolder folder;
  TestGround ground;
  std::vector<BatchItem> items;
  for (int i = 0; i < 100; ++i) items.push_back(label("a-" + std::to_string(i)));
  auto batches = open(folder.path(), ground, {.chunk_items = 10});
  std::string id = planned(*batches, items);
  EXPECT_FALSE(batches->undo(id));  // there is nothing to undo
  BatchInfo info = batches->apply(id, {.cap = 25}).value();
  EXPECT_EQ(info.state, BatchState::kStopped);
  EXPECT_EQ(info.done, 25u);
  EXPECT_NE(info.stop_reason.find("cap"), std::string::npos);
  EXPECT_EQ(ground.marks.size(), 25u);
  info = batches->apply(id, {.progress = [&](const BatchInfo& now) { return now.done < 40; }}).value();
  EXPECT_EQ(info.state, BatchState::kStopped);
  EXPECT_EQ(info.done, 45u);
  ground.journal_failure = "disk full";
  info = batches->apply(id).value();
  EXPECT_EQ(info.state, BatchState::kStopped);
  EXPECT_EQ(info.stop_reason, "disk full");
  ground.journal_failure.clear();
  info = batches->apply(id, {.progress = [&](const BatchInfo&) { return batches->stop(id).has_value(); }}).value();
  EXPECT_EQ(info.state, BatchState::kStopped);
  EXPECT_EQ(info.done, 45u);
  EXPECT_EQ(batches->apply(id).value().state, BatchState::kApplied);
  EXPECT_EQ(ground.marks.size(), 100u);
  info = batches->undo(id, {.progress = [&](const BatchInfo& now) { return now.undone < 30; }}).value();
  EXPECT_EQ(info.state, BatchState::kUndoing);
  EXPECT_FALSE(batches->apply(id));
  EXPECT_EQ(batches->undo(id).value().state, BatchState::kUndone);
  EXPECT_TRUE(ground.marks.empty());
}

TEST(Batch, KeepsToTheRateAndStopsWhileItWaits) {
  TestFolder folder;
  TestGround ground;
  std::vector<BatchItem> items;
  for (int i = 0; i < 1'000; ++i) items.push_back(label("a-" + std::to_string(i)));
  auto batches = open(folder.path(), ground);
  std::string id = planned(*batches, items);
  std::thread other([&] {
    while (batches->info(id)->done < 100) std::this_thread::yield();
    EXPECT_TRUE(batches->info(id)->running);
    EXPECT_FALSE(batches->undo(id));  // it runs
    EXPECT_FALSE(batches->forget(id));
    EXPECT_TRUE(batches->stop(id));
  });
  auto begun = std::chrono::steady_clock::now();
  BatchInfo info = batches->apply(id, {.rate_per_s = 400}).value();
  auto took = std::chrono::steady_clock::now() - begun;
  other.join();
  EXPECT_EQ(info.state, BatchState::kStopped);
  EXPECT_LE(info.done, 300u);
  EXPECT_LT(took, std::chrono::seconds(2));
  begun = std::chrono::steady_clock::now();
  uint64_t done = info.done;
  info = batches->apply(id, {.rate_per_s = 4'000}).value();
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds((1'000 - done) / 4));
  EXPECT_EQ(info.state, BatchState::kApplied);
}

TEST(Batch, RefusedItemsAreReported) {
  TestFolder folder;
  TestGround ground;
  ground.refuse = [](const Place& place) -> base::Status {
    return place.value == "a-1" ? base::fail(base::Code::kLimit, "64 labels") : base::Status();
  };
  std::vector<BatchItem> items = {label("a-0"), label("a-1"), label("a-2")};
  auto batches = open(folder.path(), ground);
  std::string id = planned(*batches, items);
  BatchInfo info = batches->apply(id).value();
  EXPECT_EQ(info.state, BatchState::kApplied);
  EXPECT_EQ(std::make_tuple(info.changed, info.failed), std::make_tuple(2u, 1u));
  BatchReport report = batches->report(id).value();
  ASSERT_EQ(report.faults.size(), 1u);
  EXPECT_EQ(report.faults[0].place.value, "a-1");
  EXPECT_EQ(report.faults[0].what, "64 labels");
  EXPECT_EQ(batches->undo(id).value().removed, 2u);
  EXPECT_TRUE(ground.marks.empty());
}

TEST(Batch, TwoBatchesOnOnePlace) {
  TestFolder folder;
  TestGround ground;
  std::vector<BatchItem> one = {label("a", "burst", kHour)}, two = {label("a", "burst", 2 * kHour)};
  auto batches = open(folder.path(), ground);
  std::string first = planned(*batches, one);
  ASSERT_TRUE(batches->apply(first));
  std::string second = planned(*batches, two);
  ASSERT_TRUE(batches->apply(second));
  EXPECT_EQ(batches->undo(first).value().kept, 1u);
  EXPECT_EQ(batches->undo(second).value().restored, 1u);
  EXPECT_EQ(ground.marks.size(), 1u);  // that of the first, which was kept
  BatchInfo again = batches->undo(first).value();
  EXPECT_EQ(std::make_tuple(again.kept, again.removed), std::make_tuple(0u, 1u));
  EXPECT_TRUE(ground.marks.empty());
  EXPECT_TRUE(batches->report(first).value().faults.empty());
}

TEST(Batch, BadPlansAreRefused) {
  TestFolder folder;
  TestGround ground;
  auto batches = open(folder.path(), ground, {.items_max = 3, .batches_max = 1});
  auto fault = [&](std::vector<BatchItem> items) {
    auto info = batches->plan(plan_of(items));
    EXPECT_FALSE(info);
    return info ? "" : info.error().message;
  };
  EXPECT_NE(fault({}).find("at least one"), std::string::npos);
  EXPECT_NE(fault({label("a"), label("b"), label("c"), label("d")}).find("3 at most"), std::string::npos);
  EXPECT_NE(fault({label("a"), entry("a"), label("a")}).find("item 2 is the same place as item 0"), std::string::npos);
  EXPECT_NE(fault({label("a"), label("")}).find("item 1"), std::string::npos);
  EXPECT_NE(fault({label("a", "")}).find("no name"), std::string::npos);
  EXPECT_NE(fault({label("\xff")}).find("UTF-8"), std::string::npos);
  EXPECT_NE(fault({label(std::string(2'000, 'x'))}).find("1024"), std::string::npos);
  EXPECT_NE(fault({label("a", "burst", -5)}).find("negative"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  std::vector<BatchItem> good = {label("a")};
  std::string id = planned(*batches, good);
  EXPECT_NE(fault({label("a")}).find("forget"), std::string::npos);
  EXPECT_FALSE(batches->apply("../x"));
  EXPECT_EQ(batches->apply("b-1").error().code, base::Code::kNotFound);
  ASSERT_TRUE(batches->forget(id));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_TRUE(batches->list().empty());
}

TEST(Batch, ChangedFilesAreFound) {
  TestFolder folder;
  TestGround ground;
  std::vector<BatchItem> items = {label("a-1"), label("a-2")};
  auto batches = open(folder.path(), ground);
  std::string id = planned(*batches, items), path = folder / (id + ".jsonl"), good = read_test_file(path);
  std::string bad = good;
  bad.replace(bad.find("a-2"), 3, "b-2");
  for (const std::string& content : {bad, good + good, good.substr(0, good.size() - 1), std::string()}) {
    write_test_file(path, content);
    auto applied = batches->apply(id);
    ASSERT_FALSE(applied);
    EXPECT_NE(applied.error().message.find("was changed"), std::string::npos);
    EXPECT_TRUE(ground.marks.empty());
  }
  write_test_file(path, good);
  EXPECT_EQ(batches->apply(id).value().state, BatchState::kApplied);
  batches.reset();
  write_test_file(folder / (id + ".log"), "{\"step\":\"planned\"}\nnonsense\n");
  EXPECT_FALSE(Batches::open(folder.path(), ground));
}

TEST(Batch, ErasesAPerson) {
  TestFolder folder;
  TestGround ground;
  std::vector<BatchItem> items = {label("ann@example.com"), label("bob@example.com"), entry("ann@example.com")};
  auto batches = open(folder.path(), ground);
  std::string id = planned(*batches, items);
  ground.others(items[0].place, Mark{"x", "y", 1, state::kNeverExpires - 1});  // so that the log speaks of it
  ground.others(items[0].place, Mark{"x", "y", 1, ground.now + 1});
  ASSERT_TRUE(batches->apply(id));
  EXPECT_EQ(batches->erase("ann@example.com").value(), 2u);
  EXPECT_EQ(batches->erase("ann@example.com").value(), 0u);
  for (const char* ending : {".jsonl", ".log"}) {
    EXPECT_EQ(read_test_file(folder / (id + ending)).find("ann@"), std::string::npos);
  }
  batches = open(folder.path(), ground);
  BatchInfo undone = batches->undo(id).value();
  EXPECT_EQ(undone.state, BatchState::kUndone);
  EXPECT_EQ(undone.removed, 1u);
  EXPECT_FALSE(ground.marks.contains(items[1].place));
}

// Sanitizers take ten times as long, and measure nothing.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(__has_feature)
constexpr int kManyItems = 10'000;
#else
constexpr int kManyItems = 100'000;
#endif

TEST(Batch, AHundredThousand) {
  TestFolder folder;
  TestGround ground;
  std::vector<BatchItem> items;
  for (int i = 0; i < kManyItems; ++i) {
    std::string n = std::to_string(i);
    items.push_back(i % 3 == 0   ? label("account-" + n)
                    : i % 3 == 1 ? entry("10.0.0." + n)
                                 : revision("e" + n, "reject"));
    if (i % 5 == 0) ground.others(items.back().place, Mark{"bob", "by hand", ground.now - i, ground.now + kHour + i});
  }
  const Marks before = ground.marks;
  auto batches = open(folder.path(), ground);
  auto seconds = [begun = std::chrono::steady_clock::now()]() mutable {
    auto now = std::chrono::steady_clock::now();
    double took = std::chrono::duration<double>(now - std::exchange(begun, now)).count();
    return took;
  };
  seconds();
  EXPECT_EQ(batches->preview(items).value().fresh, kManyItems / 5 * 4u);
  double preview_s = seconds();
  std::string id = planned(*batches, items);
  double plan_s = seconds();
  EXPECT_EQ(batches->apply(id).value().changed, kManyItems * 1u);
  double apply_s = seconds();
  EXPECT_EQ(batches->undo(id).value().restored, kManyItems / 5 * 1u);
  double undo_s = seconds();
  EXPECT_EQ(ground.marks, before);
  std::printf("%d items: preview %.2f s, plan %.2f s, apply %.2f s, undo %.2f s, %.1f MB\n", kManyItems, preview_s,
              plan_s, apply_s, undo_s, static_cast<double>(std::filesystem::file_size(folder / (id + ".jsonl"))) / 1e6);
  EXPECT_LT(apply_s, 60);
  EXPECT_LT(undo_s, 60);
}

bool is_private(const Place& place) { return place.kind != Place::Kind::kRevision && place.value.starts_with("p-"); }

TEST(Batch, IsUndoneByTokensOfForgottenValues) {
  TestFolder folder;
  TestGround ground;
  const Mark theirs{"bob", "p-2 was here", ground.now - kHour, ground.now + 90 * kHour};
  ground.others(label("p-2").place, theirs);
  const std::vector<BatchItem> items = {label("p-1"), label("p-2"), label("p-3", "burst", kHour), label("open"),
                                        entry("p-4"), label("p-5"), revision("p-6", "reject")};
  auto batches = open(folder.path(), ground);
  const std::string id = planned(*batches, items);
  // Written down once more where it had changed between plan and apply.
  const Mark later{"bob", "says (p-5)", ground.now, ground.now + 80 * kHour};
  ground.others(label("p-5").place, later);
  ASSERT_EQ(batches->apply(id)->changed, 7u);
  ground.now += 2 * kHour;  // p-3 has expired

  EXPECT_EQ(batches->forget_values(ground.now - 10 * kHour, is_private).value(), 0u) << "it is too young";
  EXPECT_EQ(batches->forget_values(ground.now, is_private).value(), 5u);
  EXPECT_EQ(batches->forget_values(ground.now, is_private).value(), 0u) << "once is enough";
  for (const char* ending : {".jsonl", ".log"}) {
    const std::string text = read_test_file(folder / (id + ending));
    for (const char* value : {"p-1", "p-2", "p-3", "p-4", "p-5"})
      EXPECT_EQ(text.find(value), std::string::npos) << text;
    EXPECT_EQ(ending == std::string(".jsonl"), text.find("open") != std::string::npos);
  }
  EXPECT_TRUE(batches->items(id, 0, 1)->at(0).place.value.starts_with("tok:"));
  batches.reset();
  batches = open(folder.path(), ground);
  const BatchInfo undone = batches->undo(id).value();
  EXPECT_EQ(undone.state, BatchState::kUndone);
  EXPECT_EQ(std::make_tuple(undone.restored, undone.removed, undone.gone, undone.kept),
            std::make_tuple(2u, 4u, 1u, 0u));
  EXPECT_EQ(ground.in_force(ground.marks), ground.in_force(ground.shadow));
  EXPECT_EQ(ground.marks.at(label("p-2").place), theirs);
  EXPECT_EQ(ground.marks.at(label("p-5").place), later);
}

TEST(Batch, WhatWasForgottenBeforeItWasAppliedIsRefused) {
  TestFolder folder;
  TestGround ground;
  auto batches = open(folder.path(), ground);
  const std::vector<BatchItem> items = {label("p-1"), label("open")};
  const std::string id = planned(*batches, items);
  ASSERT_EQ(batches->forget_values(ground.now + 1, is_private).value(), 1u);
  const BatchInfo applied = batches->apply(id).value();
  EXPECT_EQ(std::make_tuple(applied.state, applied.changed, applied.failed),
            std::make_tuple(BatchState::kApplied, 1u, 1u));
  EXPECT_EQ(ground.marks.size(), 1u);
  EXPECT_EQ(batches->report(id)->faults.at(0).what, "its value was private and is forgotten: plan anew");
  EXPECT_EQ(batches->undo(id)->removed, 1u);
  EXPECT_TRUE(ground.marks.empty());
}

TEST(Batch, WithoutAKeyNothingIsForgottenAndAPersonIsErasedByTheToken) {
  TestFolder folder;
  TestGround ground;
  auto batches = open(folder.path(), ground);
  const std::vector<BatchItem> items = {label("p-1"), label("p-2")};
  const std::string id = planned(*batches, items);
  ASSERT_TRUE(batches->apply(id).has_value());
  ground.keys_are_gone = true;
  EXPECT_EQ(batches->forget_values(ground.now + 1, is_private).value(), 0u);
  batches.reset();
  ground.keys_are_gone = false;
  batches = open(folder.path(), ground);
  EXPECT_EQ(batches->forget_values(ground.now + 1, is_private).value(), 2u);
  EXPECT_EQ(batches->erase("p-1").value(), 1u);
  const BatchInfo undone = batches->undo(id).value();
  EXPECT_EQ(std::make_tuple(undone.removed, undone.gone), std::make_tuple(1u, 0u));
  EXPECT_EQ(ground.marks.size(), 1u) << "of the one who was erased the batch knows nothing";
}

}  // namespace
}  // namespace tamis::action
