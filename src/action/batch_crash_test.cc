// Batches against a model: whatever was there before, whatever others do in between, and wherever the process ends,
// after an undo all is as if there had never been a batch.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "action/batch.h"
#include "action/folder_test_kit.h"
#include "action/ground_test_kit.h"

namespace tamis::action {
namespace {

constexpr BatchOptions kSmall = {.chunk_items = 5, .hold_items = 2};

// Chance from one seed, so that a run can be repeated up to a crash.
class Chance {
 public:
  explicit Chance(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t below(uint64_t limit) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return (state_ >> 33) % limit;
  }

 private:
  uint64_t state_;
};

Place place_of(uint64_t i) {
  std::string value = "v" + std::to_string(i / 3);
  if (i % 3 == 0) return {Place::Kind::kLabel, "account", value, "burst"};
  if (i % 3 == 1) return {Place::Kind::kList, "blocked", value, ""};
  return {Place::Kind::kRevision, "login", value, "reject"};
}

struct World {
  explicit World(uint64_t seed) : chance(seed), places(6 + chance.below(30)) {
    for (uint64_t i = 0; i < places; ++i) {
      if (chance.below(2) == 0) someone_changes(i);
    }
    for (uint64_t i = 0; i < places; ++i) {
      if (chance.below(4) == 0) continue;
      BatchItem item;
      item.place = place_of(i);
      if (chance.below(3) == 0) item.lasts_ms = static_cast<int64_t>(1 + chance.below(3'000));
      if (chance.below(4) == 0) item.expires_ms = ground.now + static_cast<int64_t>(chance.below(3'000));
      items.push_back(item);
    }
    if (items.empty()) {
      items.emplace_back();
      items.back().place = place_of(0);
    }
    plan = {"rule", "v1", "ann", "why", 0, 1, items};
  }

  void someone_changes(uint64_t i) {
    std::optional<Mark> mark;
    if (chance.below(3) != 0) {
      int64_t expires =
          chance.below(2) == 0 ? state::kNeverExpires : ground.now + 1 + static_cast<int64_t>(chance.below(4'000));
      mark = Mark{"someone-" + std::to_string(++changes), "by hand", ground.now, expires};
    }
    ground.others(place_of(i), mark);
  }
  void some_change(uint64_t one_in) {
    for (uint64_t i = 0; i < places; ++i) {
      if (chance.below(one_in) == 0) someone_changes(i);
    }
    ground.now += static_cast<int64_t>(chance.below(800));
  }

  TestFolder folder;
  TestGround ground;
  Chance chance;
  uint64_t places;
  uint64_t changes = 0;
  std::vector<BatchItem> items;
  BatchPlan plan;
};

std::unique_ptr<Batches> open(World& world) {
  auto batches = Batches::open(world.folder.path(), world.ground, kSmall);
  RC_ASSERT(batches.has_value());
  return std::move(*batches);
}

void check_applied(const World& world, const BatchInfo& info) {
  RC_ASSERT(info.state == BatchState::kApplied);
  RC_ASSERT(info.done == world.items.size());
  RC_ASSERT(info.changed + info.already + info.failed == world.items.size());
}

TEST(BatchModel, UndoRestoresAllButWhatOthersChanged) {
  EXPECT_TRUE(rc::check([] {
    World world(*rc::gen::arbitrary<uint64_t>());
    auto batches = open(world);
    std::string id = batches->plan(world.plan).value().id;
    world.some_change(4);
    bool busy = world.chance.below(2) == 0;  // others act while it is applied and undone, too
    if (busy) {
      world.ground.meanwhile = [&] {
        if (world.chance.below(4) == 0) world.someone_changes(world.chance.below(world.places));
        world.ground.now += static_cast<int64_t>(world.chance.below(30));
      };
    }
    uint64_t cap = world.chance.below(3) == 0 ? 1 + world.chance.below(world.items.size()) : UINT64_MAX;
    BatchInfo applied = batches->apply(id, {.cap = cap}).value();
    if (cap >= world.items.size()) check_applied(world, applied);
    // Whose last change came behind the batch's own, so that it will be kept.
    world.ground.meanwhile = nullptr;
    world.some_change(4);
    std::map<Place, bool, PlaceLess> touched, theirs;
    for (const TestGround::Op& op : world.ground.journal) {
      touched[op.place] = touched[op.place] || !op.batch.empty();
      theirs[op.place] = touched[op.place] && op.batch.empty();
    }
    auto others_keep = world.ground.in_force(world.ground.shadow);
    BatchInfo undone = batches->undo(id).value();
    RC_ASSERT(undone.state == BatchState::kUndone);
    RC_ASSERT(world.ground.in_force(world.ground.marks) == world.ground.in_force(world.ground.shadow));
    BatchReport report = batches->report(id).value();
    for (const BatchFault& fault : report.faults) {
      if (!fault.kept) continue;
      RC_ASSERT(theirs[fault.place]);
      auto lies = others_keep.find(fault.place);
      RC_ASSERT(fault.who == (lies == others_keep.end() ? "" : lies->second.author));
    }
    uint64_t marked = 0;
    for (const auto& [place, is_theirs] : theirs) marked += is_theirs && others_keep.contains(place);
    RC_ASSERT(undone.kept >= marked);  // and places that they emptied where something had been
  }));
}

// Ends the process at the given call of the ground, starts again, and goes on until it is through.
BatchInfo through_a_crash(World& world, std::unique_ptr<Batches>& batches, const std::string& id, bool undo,
                          int64_t crash_at) {
  world.ground.calls = 0;
  world.ground.crash_at = crash_at;
  for (;;) {
    try {
      auto info = undo ? batches->undo(id) : batches->apply(id);
      EXPECT_TRUE(info) << info.error().message;
      return info.value();
    } catch (const Crash&) {
      batches.reset();
      world.ground.recover(world.chance.below(4));
      // A line of the log that nobody synced yet may be lost or torn, too.
      std::string path = world.folder / (id + ".log"), log = read_test_file(path);
      size_t last = log.rfind('\n', log.size() - 2) + 1;
      if (log.compare(last, 15, "{\"step\":\"done\",") == 0) {
        write_test_file(path, log.substr(0, last + world.chance.below(log.size() - last)));
      }
      if (world.chance.below(3) == 0) world.some_change(5);
      batches = open(world);
    }
  }
}

TEST(BatchModel, ACrashAtEveryStep) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    for (int64_t crash_at = 0;; ++crash_at) {
      World world(seed);
      auto batches = open(world);
      std::string id = batches->plan(world.plan).value().id;
      world.some_change(6);
      BatchInfo applied = through_a_crash(world, batches, id, false, crash_at);
      bool apply_crashed = world.ground.crash_at < 0;
      ASSERT_EQ(applied.state, BatchState::kApplied) << seed << " " << crash_at;
      ASSERT_EQ(applied.changed + applied.already, world.items.size());
      if (seed % 2 == 0) world.some_change(5);
      BatchInfo undone = through_a_crash(world, batches, id, true, crash_at);
      ASSERT_EQ(undone.state, BatchState::kUndone) << seed << " " << crash_at;
      ASSERT_TRUE(world.ground.in_force(world.ground.marks) == world.ground.in_force(world.ground.shadow))
          << seed << " " << crash_at;
      if (!apply_crashed && world.ground.crash_at >= 0) break;  // there are no more calls
    }
  }
}

TEST(BatchModel, AnInterruptedBatchCanBeUndoneAtOnce) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    for (int64_t crash_at = 0;; ++crash_at) {
      World world(seed);
      auto batches = open(world);
      std::string id = batches->plan(world.plan).value().id;
      world.ground.calls = 0;
      world.ground.crash_at = crash_at;
      bool crashed = false;
      try {
        ASSERT_TRUE(batches->apply(id));
      } catch (const Crash&) {
        crashed = true;
      }
      if (!crashed) break;
      batches.reset();
      world.ground.recover(world.chance.below(3));
      if (world.chance.below(2) == 0) world.some_change(5);
      batches = open(world);
      BatchInfo stopped = batches->info(id).value();
      ASSERT_EQ(stopped.state, stopped.done == world.items.size() && stopped.stop_reason.empty()
                                   ? BatchState::kApplied
                                   : BatchState::kStopped);
      ASSERT_EQ(batches->undo(id).value().state, BatchState::kUndone);
      ASSERT_TRUE(world.ground.in_force(world.ground.marks) == world.ground.in_force(world.ground.shadow))
          << seed << " " << crash_at;
    }
  }
}

TEST(BatchModel, ACrashWhilePlanning) {
  for (int64_t crash_at = 0;; ++crash_at) {
    World world(3);
    auto batches = open(world);
    world.ground.calls = 0;
    world.ground.crash_at = crash_at;
    bool crashed = false;
    try {
      ASSERT_TRUE(batches->plan(world.plan));
    } catch (const Crash&) {
      crashed = true;
    }
    if (!crashed) break;
    batches.reset();
    world.ground.recover(0);
    batches = open(world);
    for (const BatchInfo& info : batches->list()) {  // it is there as a whole, or not at all
      ASSERT_EQ(batches->apply(info.id).value().state, BatchState::kApplied);
    }
    ASSERT_EQ(std::distance(std::filesystem::directory_iterator(world.folder.path()), {}),
              static_cast<ptrdiff_t>(2 * batches->list().size()));
  }
}

}  // namespace
}  // namespace tamis::action
