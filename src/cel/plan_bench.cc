// The scalar evaluator: what a node costs, and what 100 rules cost without any index.
#include "cel/plan.h"

#include <benchmark/benchmark.h>

#include "cel/plan_test_kit.h"
#include "cel/rules_bench_data.h"

namespace tamis::cel {
namespace {

// 64 comparisons with different constants that all fail to decide, so that each of them runs.
void conjunction(benchmark::State& state, const std::string& stem, Value value, int32_t slot) {
  Env env = kit::make_env();
  std::string source;
  for (int i = 0; i < 64; ++i) {
    if (i > 0) source += " && ";
    source += stem;
    source.replace(source.find('#'), 1, std::to_string(i));
  }
  Compiled compiled = compile(env, source);
  TAMIS_ASSERT(compiled.ok());
  PlanBuilder builder;
  NodeId root = builder.add(compiled);
  kit::Bench bench(builder.build());
  bench[slot] = value;
  TAMIS_ASSERT(bench.test(root) == Plan::Truth::kTrue);
  for (auto _ : state) {
    bench.begin();
    benchmark::DoNotOptimize(bench.plan().test(root, bench.frame()));
  }
  state.counters["ns_per_node"] =
      benchmark::Counter(64e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(conjunction, int_gt, "n > #", Value::integer(1000), kit::kN);
BENCHMARK_CAPTURE(conjunction, double_gt, "x > #.5", Value::real(1000), kit::kX);
BENCHMARK_CAPTURE(conjunction, string_ne, "s != 'payment#'", Value::string("payment"), kit::kS);
BENCHMARK_CAPTURE(conjunction, in_10, "!(n in [#, 1, 2, 3, 4, 5, 6, 7, 8, 9])", Value::integer(1000), kit::kN);
BENCHMARK_CAPTURE(conjunction, contains, "!s.contains('needle#')",
                  Value::string("a subject of about fifty letters, as they are sent"), kit::kS);

void one(benchmark::State& state, const std::string& source) {
  Env env = kit::make_env();
  Compiled compiled = compile(env, source);
  TAMIS_ASSERT(compiled.ok());
  PlanBuilder builder;
  NodeId root = builder.add(compiled);
  kit::Bench bench(builder.build());
  static const Value kTags[] = {Value::string("new"), Value::string("watch"), Value::string("vip")};
  bench[kit::kTags] = Value::list(kTags);
  bench[kit::kN] = Value::integer(120);
  bench[kit::kM] = Value::integer(90);
  bench[kit::kS] = Value::string("urgent invoice payment meeting");
  for (auto _ : state) {
    bench.arena().reset();
    bench.begin();
    benchmark::DoNotOptimize(bench.plan().eval(root, bench.frame()));
  }
}
BENCHMARK_CAPTURE(one, product, "n * m > 8000");
BENCHMARK_CAPTURE(one, exists, "tags.exists(t, t == 'vip')");
BENCHMARK_CAPTURE(one, in_list, "'vip' in tags");
BENCHMARK_CAPTURE(one, matches, "s.matches('(free|winner|gift)\\\\s+\\\\w*\\\\s*(bonus|crypto|card)')");
BENCHMARK_CAPTURE(one, text, "'at ' + s + ' there were ' + string(n)");

// Counts the hits of some rules on some events.
void count_hits(const Plan& plan, std::span<const NodeId> rules, std::span<const std::vector<Value>> events,
                Frame& frame, base::Arena& arena, std::span<uint64_t> hits) {
  for (const std::vector<Value>& event : events) {
    arena.reset();
    frame.begin(event.data(), arena, nullptr);
    for (size_t r = 0; r < rules.size(); ++r) hits[r] += plan.test(rules[r], frame) == Plan::Truth::kTrue ? 1 : 0;
  }
}

// The rules of the benchmark from the first to before the last number; reports the time per event. 0-39 are
// comparisons, 40-59 texts, 60-74 sets, 75-89 regexes, 90-99 compound. All events prove the hits, the first thousand,
// which stay in the cache as an event just parsed does, are timed.
void rules(benchmark::State& state, size_t first, size_t last) {
  rules_bench::Data* data = rules_bench::load();
  if (data == nullptr) {
    state.SkipWithError("TAMIS_RULES_BENCH is not set");
    return;
  }
  std::vector<NodeId> roots;
  Plan plan = rules_bench::make_plan(*data, roots);
  std::span<const NodeId> some = std::span(roots).subspan(first, last - first);
  Frame frame(plan);
  base::Arena arena;
  std::vector<uint64_t> hits(some.size());
  count_hits(plan, some, data->events, frame, arena, hits);
  if (!std::equal(hits.begin(), hits.end(), data->expected.begin() + first)) {
    state.SkipWithError("the hits are not those of expected.json");
    return;
  }
  std::span<const std::vector<Value>> timed(data->events.data(), std::min<size_t>(1000, data->events.size()));
  for (auto _ : state) count_hits(plan, some, timed, frame, arena, hits);
  state.counters["s_per_event"] = benchmark::Counter(
      static_cast<double>(timed.size()), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(rules, all, 0, 100)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(rules, comparisons, 0, 40)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(rules, texts, 40, 60)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(rules, sets, 60, 75)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(rules, regexes, 75, 90)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(rules, compound, 90, 100)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tamis::cel
