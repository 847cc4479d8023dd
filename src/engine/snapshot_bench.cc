// What snapshots cost: the longest single call (in time of the processor) while one is under way, and bytes a second of
// writing and restoring. TAMIS_BENCH_KEYS sets the number of accounts (each has five keys) and
// TAMIS_BENCH_EVENTS how many events each has had on average; 100 000 with 10 events are some 75 MB.
#include <benchmark/benchmark.h>
#include <time.h>

#include <cstdlib>

#include "base/hash.h"
#include "engine/engine.h"

namespace tamis::engine {
namespace {

constexpr const char* kPolicy = R"y(
policy: bench
time: {at: t, format: ms}
---
event: login
lateness: 1m
fields:
  account: {type: string, entity: account}
  ip: ip
  amount: {type: int, default: 0}
---
features:
  n: {count: login, by: account, over: [1h, 1d, 30d], keys_max: 100000000}
  spent: {sum: amount, of: login, by: account, over: 7d, keys_max: 100000000}
  ips: {distinct: ip, of: login, by: account, over: 30d, keys_max: 100000000}
  per_ip: {count: login, by: ip, over: 7d, keys_max: 100000000}
  top: {top_k: amount, of: login, by: account, over: 7d, k: 5, keys_max: 100000000}
rules:
  - {id: r, on: login, when: n_1h > 1000 && spent > 5 && ips > 3 && per_ip > 3 && size(top) > 1, then: {points: 1}, mode: live}
  - {id: s, on: login, when: n_1d == 4, then: {label: {on: account, name: four, for: 1d}}, mode: live}
)y";

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* set = std::getenv(name);
  return set == nullptr ? otherwise : std::strtoull(set, nullptr, 10);
}

uint64_t accounts() { return number_from("TAMIS_BENCH_KEYS", 20'000); }

// Of this thread: what a call costs, and not how long the machine did something else meanwhile.
double cpu_ms() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

class World {
 public:
  World() {
    policy_ = policy::load_files({{"policy.yaml", kPolicy}}).policy;
    engine.activate(policy_);
  }
  // Decides one event of a random account; what the decision took of the processor, with the look for a repeat before.
  double decide() {
    random_ = base::mix64(random_);
    json_ = "{\"id\":\"" + std::to_string(random_) + "\",\"t\":" + std::to_string(now_ms_ += 3) + ",\"account\":\"a" +
            std::to_string((random_ >> 20) % accounts()) + "\",\"ip\":\"10." + std::to_string((random_ >> 8) % 200) +
            "." + std::to_string((random_ >> 16) % 256) + "." + std::to_string((random_ >> 24) % 256) +
            "\",\"amount\":" + std::to_string(random_ % 1000) + "}";
    if (!event_.prepare(policy_, "login", json_, nullptr)) std::abort();
    double begin = cpu_ms();
    if (engine.repeat_of(event_) == 0) engine.decide(event_, now_ms_);
    return cpu_ms() - begin;
  }
  const std::shared_ptr<const policy::Policy>& policy() const { return policy_; }

  Engine engine;

 private:
  std::shared_ptr<const policy::Policy> policy_;
  PreparedEvent event_;
  std::string json_;
  uint64_t random_ = 1;
  int64_t now_ms_ = 1'700'000'000'000;
};

void BM_snapshot(benchmark::State& state) {
  World world;
  for (uint64_t i = accounts() * number_from("TAMIS_BENCH_EVENTS", 10); i > 0; --i) world.decide();
  double state_bytes = 0;
  for (const auto& [name, stats] : world.engine.feature_stats()) state_bytes += static_cast<double>(stats.bytes);
  double longest_before = 0;
  for (int i = 0; i < 100'000; ++i) longest_before = std::max(longest_before, world.decide());

  for (auto _ : state) {
    const auto events = static_cast<uint64_t>(state.range(0));  // between two pieces
    double longest_decide = 0, longest_piece = 0, in_pieces = 0;
    const uint64_t digest = world.engine.digest();
    double begin = cpu_ms();
    world.engine.begin_snapshot();
    double begun = cpu_ms() - begin;
    std::vector<std::string> pieces;
    size_t bytes = 0;
    while (true) {
      for (uint64_t i = 0; i < events; ++i) longest_decide = std::max(longest_decide, world.decide());
      std::string piece;
      double piece_begin = cpu_ms();
      bool more = world.engine.snapshot_piece(piece);
      in_pieces += cpu_ms() - piece_begin;
      longest_piece = std::max(longest_piece, cpu_ms() - piece_begin);
      if (!more) break;
      bytes += piece.size();
      pieces.push_back(std::move(piece));
    }
    Engine other;
    other.activate(world.policy());
    size_t next = 0;
    double restore_begin = cpu_ms();
    base::Status restored = other.restore([&](std::string& piece) -> base::Result<bool> {
      if (next == pieces.size()) return false;
      piece = std::move(pieces[next++]);
      return true;
    });
    double restoring = cpu_ms() - restore_begin;
    if (!restored || other.digest() != digest) state.SkipWithError("the restored state is another one");
    state.counters["state_MB"] = state_bytes / 1e6;
    state.counters["snapshot_MB"] = static_cast<double>(bytes) / 1e6;
    state.counters["begin_ms"] = begun;
    state.counters["decide_max_ms"] = longest_decide;
    state.counters["decide_max_before_ms"] = longest_before;
    state.counters["piece_max_ms"] = longest_piece;
    // Only what was written in its turn; between events most is written before a change, in decide().
    if (events == 0) state.counters["save_MB_s"] = static_cast<double>(bytes) / 1e3 / in_pieces;
    state.counters["restore_MB_s"] = static_cast<double>(bytes) / 1e3 / restoring;
  }
}
BENCHMARK(BM_snapshot)->Arg(0)->Arg(20)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tamis::engine
