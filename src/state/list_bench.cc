// A million entries of each kind of list: time to load them, and to look one up. Half of the look-ups hit.
#include <benchmark/benchmark.h>

#include "base/hash.h"
#include "state/list.h"

namespace tamis::state {
namespace {

constexpr size_t kEntries = 1'000'000;

std::string address(uint64_t bits) {
  return std::to_string(1 + bits % 223) + "." + std::to_string(bits >> 8 & 255) + "." +
         std::to_string(bits >> 16 & 255) + "." + std::to_string(bits >> 24 & 255);
}

// Entry number i of a kind; the same number gives the same text.
std::string entry(ListKind kind, uint64_t i) {
  uint64_t bits = base::mix64(i);
  switch (kind) {
    case ListKind::kString:
      return "user-" + std::to_string(bits);
    case ListKind::kInt:
      return std::to_string(bits >> 20);
    case ListKind::kDomain:
      return "host" + std::to_string(bits >> 30) + (bits & 1 ? ".example.com" : ".test");
    case ListKind::kNetwork:
      return address(bits) + "/" + std::to_string(16 + (bits >> 40) % 17);
    case ListKind::kRegex:
      return "^spam" + std::to_string(bits >> 40) + "[a-z]+$";
  }
  return {};
}

std::unique_ptr<List> load(ListKind kind, size_t entries) {
  auto list = List::make("bench", kind);
  for (uint64_t i = 0; i < entries; ++i) {
    if (!list->add({entry(kind, i), kNeverExpires, {}})) std::abort();
  }
  (void)list->contains(Value::string("x"), 0);
  return list;
}

void BM_Load(benchmark::State& state) {
  auto kind = static_cast<ListKind>(state.range(0));
  auto entries = static_cast<size_t>(state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(load(kind, entries));
}

void BM_Contains(benchmark::State& state) {
  auto kind = static_cast<ListKind>(state.range(0));
  auto entries = static_cast<size_t>(state.range(1));
  auto list = load(kind, entries);
  std::vector<std::string> texts;
  std::vector<Value> values;
  for (uint64_t i = 0; i < 4096; ++i) {
    uint64_t number = base::mix64(i) % (2 * entries);  // numbers beyond the entries are misses
    std::string text = entry(kind, number);
    if (kind == ListKind::kNetwork) text.resize(text.find('/'));
    if (kind == ListKind::kDomain) text = "mail." + text;
    if (kind == ListKind::kRegex) text = "spam" + std::to_string(base::mix64(number) >> 40) + "xyz";
    texts.push_back(text);
  }
  for (const std::string& text : texts) {
    values.push_back(kind == ListKind::kInt ? Value::integer(std::stoll(text)) : Value::string(text));
  }
  size_t i = 0, hits = 0;
  for (auto _ : state) hits += list->contains(values[i++ & 4095], 0);
  state.counters["hit_share"] = static_cast<double>(hits) / static_cast<double>(i);
}

void kinds(benchmark::internal::Benchmark* bench) {
  for (auto kind : {ListKind::kString, ListKind::kInt, ListKind::kNetwork, ListKind::kDomain}) {
    bench->Args({static_cast<int>(kind), kEntries});
  }
  bench->Args({static_cast<int>(ListKind::kRegex), 1000});
}
BENCHMARK(BM_Load)->Apply(kinds)->Unit(benchmark::kMillisecond)->Iterations(1);
BENCHMARK(BM_Contains)->Apply(kinds);

}  // namespace
}  // namespace tamis::state
