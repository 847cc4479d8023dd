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

// All rules of the benchmark on each event; reports the time per event.
void rules(benchmark::State& state) {
  rules_bench::Data* data = rules_bench::load();
  if (data == nullptr) {
    state.SkipWithError("TAMIS_RULES_BENCH is not set");
    return;
  }
  std::vector<NodeId> roots;
  Plan plan = rules_bench::make_plan(*data, roots);
  Frame frame(plan);
  base::Arena arena;
  std::vector<uint64_t> hits(roots.size());
  for (auto _ : state) {
    hits.assign(roots.size(), 0);
    for (const std::vector<Value>& event : data->events) {
      arena.reset();
      frame.begin(event.data(), arena, nullptr);
      for (size_t r = 0; r < roots.size(); ++r) hits[r] += plan.test(roots[r], frame) == Plan::Truth::kTrue;
    }
  }
  if (hits != data->expected) state.SkipWithError("the hits are not those of expected.json");
  state.counters["s_per_event"] =
      benchmark::Counter(static_cast<double>(data->events.size()),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(rules)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tamis::cel
