// A deterministic simulation of a server's life with faults: random events, acts, policies, checkpoints and repeated
// deliveries under a clock that jumps; disks that are full or read-only; crashes that tear the journal's end, leave
// unfinished files and damage snapshots; bits that flip in the journal. After each crash the server comes back from
// what is on disk, and must be where a fold of the journal from its beginning comes to, with an archive that has each
// event once and every act that was acknowledged.
//
// The seed is printed; TAMIS_SEED repeats a run, TAMIS_SIMULATIONS makes more of them.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "base/hash.h"
#include "door/service.h"
#include "replay/journal_replay.h"
#include "replay/records.h"

namespace tamis::door {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kStartMs = 1'780'000'000'000;

// Three policies, so that activations add, drop and change features.
std::vector<policy::SourceFile> policy_files(uint64_t number) {
  std::string text = R"(
policy: simulated
---
event: login
fields: {account: account, ip: ip, ok: bool, bytes: int}
lateness: 1m
unique: 10m
verdicts: [accept, challenge, reject]
---
features:
  logins_10m: {count: login, by: ip, over: 10m}
  accounts_1h: {distinct: account, of: login, by: ip.net24, over: 1h}
)";
  if (number % 3 >= 1) text += "  bytes_1h: {sum: bytes, of: login, by: account, over: 1h}\n";
  if (number % 3 == 2) text += "  failed_10m: {ratio: {where: \"!ok\"}, of: login, by: account, over: 10m}\n";
  text += R"(---
lists:
  watched: {kind: string, managed: true}
---
rules:
  - id: many
    on: login
    when: logins_10m >= 4
    then: {verdict: challenge, label: {on: ip, name: busy, for: 5m}, list: {add: watched, value: account, for: 3m}}
    mode: live
  - id: known
    on: login
    when: "'busy' in labels(ip) || account in list.watched"
    then: {verdict: reject}
    mode: live
  - id: crowd
    on: login
    when: accounts_1h >= 3
    then: {points: 10}
    mode: canary 50%
)";
  if (number % 3 >= 1)
    text += "  - {id: big, on: login, when: bytes_1h > 500, then: {verdict: challenge}, mode: live}\n";
  if (number % 3 == 2) text += "  - {id: fails, on: login, when: failed_10m > 0.5, then: {points: 5}, mode: live}\n";
  return {{"policy.yaml", text}};
}

// While it lives, no file grows beyond `bytes`: writes fail as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(uint64_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_ = {};
};

// The sanitizer of undefined behaviour looks at an object whose type it does not remember through a pipe, and takes it
// for a broken one if it gets none.
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
#define TAMIS_NEEDS_PIPES 1
#endif
#endif
#ifdef TAMIS_NEEDS_PIPES
constexpr bool kNeedsPipes = true;
#else
constexpr bool kNeedsPipes = false;
#endif

// While it lives, nothing can be made, opened or written: as on a disk that has become read-only. (Under that sanitizer
// files can be made and opened.)
class DeadDisk {
 public:
  DeadDisk() : full_(0) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit limit = before_;
    if (!kNeedsPipes) limit.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~DeadDisk() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  FullDisk full_;
  rlimit before_ = {};
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed) {
    folder_ =
        fs::temp_directory_path() / ("tamis-simulation-" + std::to_string(::getpid()) + "-" + std::to_string(seed));
    fs::remove_all(folder_);
  }
  ~Simulation() {
    stop();
    fs::remove_all(folder_);
  }

  void run() {
    start();
    activate();
    for (int crash = 0; crash < 3 && !testing::Test::HasFailure(); ++crash) {
      int steps = 30 + static_cast<int>(below(120));
      for (int i = 0; i < steps; ++i) step();
      crash_and_recover();
    }
  }

 private:
  uint64_t below(uint64_t bound) { return random_() % bound; }
  bool chance(uint64_t percent) { return below(100) < percent; }

  void start() {
    replay::DataFolderOptions options;
    options.journal.sync_ms = 60'000;  // only what is asked for is synced, so that a run is the same each time
    options.journal.segment_bytes = 4096 + below(8192);
    options.archive.threads = 1;
    auto data = replay::DataFolder::open(folder_.string(), options);
    ASSERT_TRUE(data.has_value()) << data.error().message;
    data_ = std::move(*data);
    ServiceOptions service;
    service.checkpoint_records = UINT64_MAX;
    service.checkpoint_ms = INT64_MAX;
    service.deadline_ms = 60'000;
    service_ = std::make_unique<Service>(
        service, [this] { return now_ms_; }, data_.get());
    auto recovered = service_->recover([](uint64_t) { return true; });
    ASSERT_TRUE(recovered.has_value()) << recovered.error().message;
    notes_ = recovered->notes;
  }

  void stop() {
    service_.reset();
    data_.reset();
  }

  void activate() {
    policy::Loaded loaded = service_->activate(policy_files(++policy_));
    ASSERT_NE(loaded.policy, nullptr) << policy::to_string(loaded.diagnostics[0]);
  }

  std::string event() {
    std::string id = "e" + std::to_string(chance(10) && last_id_ > 3 ? last_id_ - below(3) : ++last_id_);
    int64_t time_ms = now_ms_ - static_cast<int64_t>(chance(20) ? below(200'000) : below(2'000));
    return "{\"id\":\"" + id + "\",\"time\":" + std::to_string(time_ms) + ",\"account\":\"a" +
           std::to_string(below(12)) + "\",\"ip\":\"192.0.2." + std::to_string(below(6)) +
           "\",\"ok\":" + (chance(50) ? "true" : "false") + ",\"bytes\":" + std::to_string(below(300)) + "}";
  }

  void decide() {
    Service::Lease lease(*service_);
    std::string out, again, text = event();
    auto done = service_->decide(*lease, "login", text, out);
    if (!done) return;  // a disk that refuses
    if (!chance(10)) return;
    // A second delivery gets the same bytes and changes nothing.
    uint64_t before = digest();
    auto repeated = service_->decide(*lease, "login", text, again);
    EXPECT_TRUE(repeated && *repeated == Service::Outcome::kRepeated);
    EXPECT_EQ(out, again);
    EXPECT_EQ(before, digest());
  }

  void act() {
    engine::Act act;
    bool label = chance(50);
    act.kind = label ? engine::Act::Kind::kLabelSet : engine::Act::Kind::kListAdd;
    act.entity_kind = label ? "account" : "";
    act.list = label ? "" : "watched";
    act.value = "p" + std::to_string(below(1000));
    act.name = label ? "seen" : "";
    act.author = "somebody";
    act.since_ms = now_ms_;
    if (service_->act(act)) acknowledged_.insert((label ? "account/" : "watched/") + act.value);
  }

  void step() {
    now_ms_ += static_cast<int64_t>(below(20'000));
    if (chance(2)) now_ms_ -= static_cast<int64_t>(below(600'000));  // the clock jumps
    if (chance(1)) now_ms_ += 3'600'000;
    uint64_t what = below(100);
    if (what < 70) {
      decide();
    } else if (what < 80) {
      act();
    } else if (what < 84) {
      activate();
    } else if (what < 89) {
      (void)service_->sync();
    } else if (what < 93) {
      (void)service_->flush();
    } else if (what < 97) {
      (void)service_->checkpoint();
    } else {
      fail_for_a_while();
    }
  }

  // A disk that is full or read-only, and takes writes again.
  void fail_for_a_while() {
    auto use = [&] {
      for (int i = 0; i < 5; ++i) decide();
      (void)service_->sync();
      (void)service_->flush();
      (void)service_->checkpoint();
    };
    if (chance(50)) {
      FullDisk full(below(6000));
      use();
    } else {
      DeadDisk dead;
      use();
      EXPECT_FALSE(service_->checkpoint().has_value()) << "what could not be written is not taken for written";
    }
    EXPECT_TRUE(service_->sync().has_value());
    EXPECT_TRUE(service_->flush().has_value());
    EXPECT_TRUE(service_->failure().empty()) << service_->failure();
  }

  uint64_t digest() {
    uint64_t digest = 0;
    service_->with_engine([&](engine::Engine& engine) { digest = engine.digest(); });
    return digest;
  }

  // The disk as it is at some moment, with what a power failure may do to it, becomes the folder.
  void crash_and_recover() {
    bool synced = chance(50);
    if (synced) {
      ASSERT_TRUE(service_->sync().has_value());
    }
    uint64_t before = digest();
    fs::path image = folder_.string() + ".image";
    fs::remove_all(image);
    fs::copy(folder_, image, fs::copy_options::recursive);
    stop();
    fs::remove_all(folder_);
    fs::rename(image, folder_);
    flip_in_journal();
    if (testing::Test::HasFatalFailure()) return;
    tear_journal();
    bool damaged = chance(30) && damage_newest_snapshot();
    start();
    if (testing::Test::HasFatalFailure()) return;
    EXPECT_TRUE(!synced || before == digest()) << "what was synced is there";
    EXPECT_TRUE(!damaged || !notes_.empty()) << "a damaged snapshot is told";
    check();
  }

  void tear_journal() {
    fs::path last;
    for (const auto& entry : fs::directory_iterator(folder_ / "journal")) {
      if (entry.path().extension() == ".zst" && entry.path() > last) last = entry.path();
    }
    if (last.empty() || !chance(60)) return;
    // The beginning of a frame that was never finished: the magic number and some bytes of another frame.
    std::ifstream in(last, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    if (bytes.size() < 16) return;
    std::ofstream(last, std::ios::binary | std::ios::app) << bytes.substr(0, 5 + below(10));
  }

  static void flip(const fs::path& path, uint64_t place) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(place));
    char c = static_cast<char>(file.get() ^ 0x10);
    file.seekp(static_cast<std::streamoff>(place));
    file.put(c);
  }

  // A bit that flips in the middle of the journal is told with the file, or changes nothing (some bits of a frame's
  // header mean nothing); never is a record passed over.
  void flip_in_journal() {
    std::vector<fs::path> segments;
    for (const auto& entry : fs::directory_iterator(folder_ / "journal")) {
      if (entry.path().extension() == ".zst") segments.push_back(entry.path());
    }
    std::sort(segments.begin(), segments.end());
    if (segments.size() < 2) return;
    const fs::path& hit = segments[below(segments.size() - 1)];  // the last one may be cut off by a crash
    const uint64_t place = below(fs::file_size(hit));
    auto digest_of_fold = [&](uint64_t& digest) -> base::Status {
      replay::JournalReplayOptions options;
      options.data = folder_.string();
      engine::Engine engine;
      auto done = replay::replay_journal(options, engine, nullptr, [](uint64_t, uint64_t, uint64_t) { return true; });
      if (!done) return tl::unexpected<base::Error>(done.error());
      digest = engine.digest();
      return {};
    };
    uint64_t before = 0, after = 0;
    ASSERT_TRUE(digest_of_fold(before).has_value());
    flip(hit, place);
    base::Status folded = digest_of_fold(after);
    flip(hit, place);
    if (folded) {
      EXPECT_EQ(before, after) << hit << " at " << place;
    } else {
      const std::string& said = folded.error().message;
      EXPECT_NE(said.find(hit.filename().string()), std::string::npos) << said;
    }
  }

  bool damage_newest_snapshot() {
    fs::path newest;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_ / "snapshots", ignored)) {
      if (entry.path().extension() == ".snapshot" && entry.path() > newest) newest = entry.path();
    }
    if (newest.empty()) return false;
    std::fstream file(newest, std::ios::binary | std::ios::in | std::ios::out);
    auto place = static_cast<std::streamoff>(fs::file_size(newest) / 2 + below(fs::file_size(newest) / 4));
    file.seekg(place);
    char c = static_cast<char>(file.get() ^ 0x21);
    file.seekp(place);
    file.put(c);
    return true;
  }

  void check() {
    // The state is that of a fold from the beginning.
    replay::JournalReplayOptions options;
    options.data = folder_.string();
    engine::Engine engine;
    std::map<std::string, uint64_t> verdicts;
    uint64_t events = 0;
    auto on_decision = [&](const engine::Decision& decision) -> base::Status {
      ++events;
      ++verdicts[std::string(decision.verdict_name())];
      return {};
    };
    auto replayed =
        replay::replay_journal(options, engine, on_decision, [](uint64_t, uint64_t, uint64_t) { return true; });
    ASSERT_TRUE(replayed.has_value()) << replayed.error().message;
    EXPECT_EQ(engine.digest(), digest());
    // The archive has each event once, with the verdict that a replay gives it.
    ASSERT_TRUE(service_->flush().has_value());
    auto table = data_->archive().query("SELECT verdict, count(*), count(DISTINCT n) FROM events GROUP BY 1", {},
                                        [] { return true; });
    ASSERT_TRUE(table.has_value()) << table.error().message;
    uint64_t stored = 0;
    for (const auto& row : table->rows) {
      EXPECT_EQ(std::to_string(verdicts[row[0]]), row[1]) << row[0];
      EXPECT_EQ(row[1], row[2]);
      stored += std::stoull(row[1]);
    }
    EXPECT_EQ(stored, events);
    // What was acknowledged to a person is in force.
    service_->with_engine([&](engine::Engine& recovered) {
      for (const std::string& act : acknowledged_) {
        std::string value = act.substr(act.find('/') + 1);
        bool there = act[0] == 'a' ? !recovered.labels("account", value).empty()
                                   : recovered.list_entry("watched", value).has_value();
        EXPECT_TRUE(there) << act;
      }
    });
  }

  std::mt19937_64 random_;
  fs::path folder_;
  int64_t now_ms_ = kStartMs;
  uint64_t policy_ = 0, last_id_ = 0;
  std::set<std::string> acknowledged_;
  std::vector<std::string> notes_;
  std::unique_ptr<replay::DataFolder> data_;
  std::unique_ptr<Service> service_;
};

TEST(Simulation, ComesBackFromEveryFault) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "DuckDB is a prebuilt library, whose locks this sanitizer does not see";
#endif
  const char* wanted = std::getenv("TAMIS_SEED");
  const char* many = std::getenv("TAMIS_SIMULATIONS");
  uint64_t seed = wanted != nullptr
                      ? std::strtoull(wanted, nullptr, 10)
                      : base::mix64(static_cast<uint64_t>(::time(nullptr)) ^ static_cast<uint64_t>(::getpid()));
  int runs = many != nullptr ? std::atoi(many) : wanted != nullptr ? 1 : 3;
  for (int i = 0; i < runs && !HasFailure(); ++i) {
    uint64_t own = wanted != nullptr && i == 0 ? seed : base::mix64(seed + static_cast<uint64_t>(i));
    std::printf("simulation with TAMIS_SEED=%llu\n", static_cast<unsigned long long>(own));
    SCOPED_TRACE("TAMIS_SEED=" + std::to_string(own));
    Simulation(own).run();
  }
}

}  // namespace
}  // namespace tamis::door
