// What it costs an event to be looked up and remembered by its id: the same events with and without `unique`, among two
// million ids. The argument: 0 without, 1 with, 2 with a hint given for the event after the next.
#include <benchmark/benchmark.h>

#include "base/hash.h"
#include "engine/engine.h"

namespace tamis::engine {
namespace {

std::string policy_text(bool unique) {
  return std::string("policy: bench\ntime: {at: t, format: ms}\nunique: ") + (unique ? "24h" : "0s") +
         "\n---\nevent: e\nfields: {n: {type: int, default: 0}}\n---\nrules:\n"
         "  - {id: r, on: e, when: n > 1000, then: {points: 1}, mode: live}\n";
}

void BM_unique(benchmark::State& state) {
  auto policy = policy::load_files({{"policy.yaml", policy_text(state.range(0) != 0)}}).policy;
  Engine engine;
  engine.activate(policy);
  constexpr size_t kAhead = 3;
  PreparedEvent events[kAhead];
  uint64_t random = 1, n = 0;
  int64_t now_ms = 1'700'000'000'000;
  std::string json;
  auto step = [&] {
    random = base::mix64(random);
    json = "{\"id\":\"" + std::to_string(random) + "\",\"n\":5}";
    PreparedEvent& next = events[n % kAhead];
    if (!next.prepare(policy, "e", json, nullptr)) std::abort();
    if (state.range(0) == 2) engine.prefetch(next);
    if (++n < kAhead) return;
    PreparedEvent& event = events[n % kAhead];
    if (engine.repeat_of(event) != 0) return;
    benchmark::DoNotOptimize(&engine.decide(event, now_ms += 5));
  };
  for (int i = 0; i < 2'000'000; ++i) step();
  for (auto _ : state) step();
}
BENCHMARK(BM_unique)->DenseRange(0, 2)->Iterations(500'000);

}  // namespace
}  // namespace tamis::engine
