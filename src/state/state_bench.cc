// Memory per key and time per event of feature tables.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "base/hash.h"
#include "state/feature.h"

namespace tamis::state {
namespace {

constexpr int64_t kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr int64_t kStart = 1'700'000'000'000;

FeatureSpec spec_of(Aggregate aggregate, std::vector<int64_t> windows_ms) {
  FeatureSpec spec;
  spec.name = std::string(1, 'f');
  spec.aggregate = aggregate;
  spec.windows_ms = std::move(windows_ms);
  return spec;
}

// Bytes per key and window with `range(1)` events per key spread evenly at random over a day.
void BM_bytes(benchmark::State& state) {
  auto aggregate = static_cast<Aggregate>(state.range(0));
  auto events = static_cast<uint64_t>(state.range(1));
  auto keys = static_cast<uint64_t>(state.range(2));
  double bytes = 0;
  for (auto _ : state) {
    auto table = FeatureTable::make(spec_of(aggregate, {kDay}));
    uint64_t r = 1;
    for (uint64_t i = 0; i < keys * events; ++i) {
      r = base::mix64(r);
      int64_t t_ms = kStart + static_cast<int64_t>(i * static_cast<uint64_t>(kDay) / (keys * events));
      uint64_t key = events == 1 ? i : r % keys;
      table->update(table->find(key), t_ms, t_ms, Value::integer(static_cast<int64_t>((r >> 32) % 1000)), false);
      table->advance(t_ms);  // as the engine does, which closes holes
    }
    bytes = static_cast<double>(table->stats().bytes) / static_cast<double>(table->stats().keys);
  }
  state.counters["bytes_per_key"] = bytes;
}
BENCHMARK(BM_bytes)
    ->ArgsProduct({{static_cast<int>(Aggregate::kCount), static_cast<int>(Aggregate::kSum),
                    static_cast<int>(Aggregate::kDistinct)},
                   {1, 4, 16, 100},
                   {20'000, 30'000}})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

// One prefetch, find, read and update of a random one of a million keys with few events each.
void BM_million_keys(benchmark::State& state) {
  auto table = FeatureTable::make(spec_of(static_cast<Aggregate>(state.range(0)), {kDay}));
  constexpr uint64_t kKeys = 1'000'000;
  base::Arena arena;
  uint64_t r = 1;
  int64_t now_ms = kStart;
  for (uint64_t key = 0; key < kKeys; ++key) table->update(table->find(key), now_ms, now_ms, Value::integer(1), false);
  constexpr uint64_t kAhead = 4;
  uint64_t keys[kAhead] = {};
  uint64_t i = 0;
  int64_t sum = 0;
  for (auto _ : state) {
    uint64_t key = keys[i % kAhead];
    r = base::mix64(r);
    keys[i++ % kAhead] = r % kKeys;
    table->prefetch(r % kKeys);
    now_ms += 20;
    Cursor cursor = table->find(key);
    sum += table->read(cursor, now_ms, 0, arena).i;
    table->update(cursor, now_ms, now_ms, Value::integer(static_cast<int64_t>(r >> 56)), false);
    table->advance(now_ms);
  }
  benchmark::DoNotOptimize(sum);
  state.counters["bytes_per_key"] =
      static_cast<double>(table->stats().bytes) / static_cast<double>(table->stats().keys);
}
BENCHMARK(BM_million_keys)
    ->Arg(static_cast<int>(Aggregate::kCount))
    ->Arg(static_cast<int>(Aggregate::kSum))
    ->Arg(static_cast<int>(Aggregate::kDistinct))
    ->Iterations(2'000'000);

// An event that reads and updates eight features: two aggregates of 100 hot keys, the rest of 50 000 keys.
void BM_eight_windows(benchmark::State& state) {
  struct Feature {
    std::unique_ptr<FeatureTable> table;
    uint64_t keys;
  };
  std::vector<Feature> features;
  for (int64_t window_ms : {10 * kMinute, kHour, kDay}) {
    features.push_back({FeatureTable::make(spec_of(Aggregate::kCount, {window_ms})), 50'000});
  }
  features.push_back({FeatureTable::make(spec_of(Aggregate::kCount, {10 * kMinute})), 100});
  features.push_back({FeatureTable::make(spec_of(Aggregate::kSum, {kHour})), 50'000});
  features.push_back({FeatureTable::make(spec_of(Aggregate::kSum, {kDay})), 100});
  features.push_back({FeatureTable::make(spec_of(Aggregate::kDistinct, {kHour})), 50'000});
  features.push_back({FeatureTable::make(spec_of(Aggregate::kFirstSeen, {30 * kDay})), 50'000});
  base::Arena arena;
  uint64_t r = 1;
  int64_t now_ms = kStart, sum = 0;
  for (auto _ : state) {
    now_ms += 10;
    r = base::mix64(r);
    for (size_t f = 0; f < features.size(); ++f) features[f].table->prefetch(base::mix64(r % features[f].keys));
    for (size_t f = 0; f < features.size(); ++f) {
      FeatureTable& table = *features[f].table;
      Cursor cursor = table.find(base::mix64(r % features[f].keys));
      sum += table.read(cursor, now_ms, 0, arena).i;
      table.update(cursor, now_ms, now_ms, Value::integer(static_cast<int64_t>(r >> 50)), false);
    }
    features[r % features.size()].table->advance(now_ms);
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_eight_windows)->Iterations(1'000'000);

// Reading and updating one key with many events.
void BM_hot_key(benchmark::State& state) {
  auto table = FeatureTable::make(spec_of(static_cast<Aggregate>(state.range(0)), {10 * kMinute, kHour}));
  base::Arena arena;
  int64_t now_ms = kStart, sum = 0;
  uint64_t r = 1;
  for (auto _ : state) {
    r = base::mix64(r);
    now_ms += static_cast<int64_t>(r % 2000);
    Cursor cursor = table->find(1);
    sum += table->read(cursor, now_ms, 0, arena).i;
    table->update(cursor, now_ms, now_ms, Value::integer(static_cast<int64_t>(r >> 54)), (r & 1) != 0);
    arena.reset();
  }
  benchmark::DoNotOptimize(sum);
}
BENCHMARK(BM_hot_key)->DenseRange(0, static_cast<int>(Aggregate::kSet))->Iterations(100'000);

}  // namespace
}  // namespace tamis::state
