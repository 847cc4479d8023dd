// One scan of a text of 650 bytes for 100 to 10 000 patterns, against testing each pattern singly.
#include <benchmark/benchmark.h>

#include "cel/pattern_set.h"

namespace tamis::cel {
namespace {

std::vector<Pattern> make_patterns(int count) {
  std::vector<Pattern> patterns;
  for (int i = 0; i < count; ++i) {
    std::string word = "w" + std::to_string(i * 7919 % 1'000'003);
    switch (i % 3) {
      case 0:
        patterns.push_back({PatternKind::kContains, word + ".example"});
        break;
      case 1:
        patterns.push_back({PatternKind::kEndsWith, "@" + word + ".test"});
        break;
      default:
        patterns.push_back({PatternKind::kRegex, "(?i)" + word + "-[0-9]+\\.(exe|scr)"});
        break;
    }
  }
  return patterns;
}

std::string make_text() {
  std::string text;
  for (int i = 0; text.size() < 650; ++i)
    text += "Dear user" + std::to_string(i) + ", see http://host.example/path?q=1 ";
  text.resize(650);
  return text;
}

void BM_Scan(benchmark::State& state) {
  auto set = PatternSet::build(make_patterns(static_cast<int>(state.range(0))));
  PatternScan scan(*set);
  std::string text = make_text();
  for (auto _ : state) {
    set->scan(text, scan);
    benchmark::DoNotOptimize(set->candidates(scan).size());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
  state.counters["table_bytes"] = static_cast<double>(set->table_bytes());
}
BENCHMARK(BM_Scan)->Arg(100)->Arg(1000)->Arg(10000);

void BM_Singly(benchmark::State& state) {
  auto set = PatternSet::build(make_patterns(static_cast<int>(state.range(0))));
  std::string text = make_text();
  for (auto _ : state) {
    size_t found = 0;
    for (uint32_t id = 0; id < set->size(); ++id) found += set->matches_singly(id, text);
    benchmark::DoNotOptimize(found);
  }
}
BENCHMARK(BM_Singly)->Arg(100);

void BM_Build(benchmark::State& state) {
  std::vector<Pattern> patterns = make_patterns(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(PatternSet::build(patterns)->size());
}
BENCHMARK(BM_Build)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tamis::cel
