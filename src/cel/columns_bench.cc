// The columnar evaluator: rows a second of typical conditions, and of the rules of the benchmark.
#include "cel/columns.h"

#include <benchmark/benchmark.h>

#include <map>

#include "base/hash.h"
#include "cel/plan_test_kit.h"
#include "cel/rules_bench_data.h"

namespace tamis::cel {
namespace {

constexpr uint32_t kRows = 2048;

// A batch of pseudo-random typed columns.
struct Batch {
  std::vector<int64_t> n, m;
  std::vector<double> x;
  std::vector<uint8_t> b;
  std::vector<std::string_view> s;
  std::vector<uint32_t> codes;
  std::vector<Value> dictionary;
  std::vector<Column> columns;

  Batch() : columns(kit::kSlots) {
    static const char* kWords[] = {"urgent invoice payment", "meeting notes of last week", "free crypto bonus",
                                   "password verify now",    "weekly newsletter",          "hello"};
    for (uint64_t i = 0; i < kRows; ++i) {
      uint64_t bits = base::mix64(i);
      n.push_back(static_cast<int64_t>(bits % 1000));
      m.push_back(static_cast<int64_t>((bits >> 20) % 1000));
      x.push_back(static_cast<double>((bits >> 40) % 1000) / 1000);
      b.push_back((bits >> 55) % 10 == 0);
      s.push_back(kWords[(bits >> 10) % 6]);
      codes.push_back(static_cast<uint32_t>((bits >> 10) % 6));
    }
    for (const char* word : kWords) dictionary.push_back(Value::string(word));
    set(kit::kN, Column::Layout::kInt).ints = n.data();
    set(kit::kM, Column::Layout::kInt).ints = m.data();
    set(kit::kX, Column::Layout::kDouble).doubles = x.data();
    set(kit::kB, Column::Layout::kBool).bools = b.data();
    set(kit::kS, Column::Layout::kString).texts = s.data();
    Column& t = set(kit::kT, Column::Layout::kDictionary);
    t.codes = codes.data();
    t.dictionary = dictionary;
    t.dictionary_id = 1;
  }
  Column& set(int32_t slot, Column::Layout layout) {
    columns[slot].layout = layout;
    return columns[slot];
  }
};

void condition(benchmark::State& state, const std::string& source) {
  Env env = kit::make_env();
  Compiled compiled = compile(env, source);
  TAMIS_ASSERT(compiled.ok());
  PlanBuilder builder;
  NodeId root = builder.add(compiled);
  Plan plan = builder.build();
  Batch batch;
  ColumnFrame frame(plan, kRows);
  base::Arena arena;
  for (auto _ : state) {
    arena.reset();
    frame.begin(batch.columns, kRows, arena, nullptr);
    benchmark::DoNotOptimize(frame.test(root).data());
  }
  state.counters["rows"] = benchmark::Counter(kRows, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(condition, one_comparison, "n > 500");
BENCHMARK_CAPTURE(condition, comparisons, "n > 500 && x < 0.5 && !b && m <= 900");
BENCHMARK_CAPTURE(condition, product, "n * m > 100000 && x < 0.5");
BENCHMARK_CAPTURE(condition, contains, "n > 500 && s.contains('payment')");
BENCHMARK_CAPTURE(condition, contains_dictionary, "n > 500 && t.contains('payment')");
BENCHMARK_CAPTURE(condition, matches, "n > 800 && s.matches('(free|winner)\\\\s+\\\\w*\\\\s*(bonus|card)')");
BENCHMARK_CAPTURE(condition, matches_dictionary, "n > 500 && t.matches('(free|winner)\\\\s+\\\\w*\\\\s*(bonus|card)')");
BENCHMARK_CAPTURE(condition, in_set, "s in ['hello', 'a', 'b', 'c', 'd', 'e'] && n > 500");
BENCHMARK_CAPTURE(condition, in_set_dictionary, "t in ['hello', 'a', 'b', 'c', 'd', 'e'] && n > 500");
BENCHMARK_CAPTURE(condition, a_loop, "n > 900 && [n, m].exists(q, q > 950)");

// The columns of one batch of the benchmark's events. Texts with few different values come as dictionaries.
struct EventColumns {
  std::vector<std::vector<int64_t>> ints;
  std::vector<std::vector<double>> doubles;
  std::vector<std::vector<uint8_t>> bools;
  std::vector<std::vector<std::string_view>> texts;
  std::vector<std::vector<uint32_t>> codes;
  std::vector<std::vector<Value>> values;
  std::vector<std::vector<Value>> dictionaries;
  std::vector<Column> columns;
  uint32_t rows = 0;

  EventColumns(const rules_bench::Data& data, size_t from, size_t to, bool dictionary) {
    size_t slots = data.fields.size();
    rows = static_cast<uint32_t>(to - from);
    ints.resize(slots), doubles.resize(slots), bools.resize(slots), texts.resize(slots), codes.resize(slots);
    values.resize(slots), dictionaries.resize(slots), columns.resize(slots);
    for (size_t s = 0; s < slots; ++s) {
      std::map<std::string_view, uint32_t> entries;
      for (size_t e = from; e < to; ++e) {
        Value v = data.events[e][s];
        if (v.is(event::Kind::kInt)) ints[s].push_back(v.i);
        if (v.is(event::Kind::kDouble)) doubles[s].push_back(v.d);
        if (v.is(event::Kind::kBool)) bools[s].push_back(v.b ? 1 : 0);
        if (v.is(event::Kind::kList)) values[s].push_back(v);
        if (!v.is(event::Kind::kString)) continue;
        texts[s].push_back(v.str());
        auto [at, fresh] = entries.emplace(v.str(), static_cast<uint32_t>(entries.size()));
        if (fresh) dictionaries[s].push_back(v);
        codes[s].push_back(at->second);
      }
      fill(s, dictionary && entries.size() * 4 < rows);
    }
  }

  void fill(size_t s, bool dictionary) {
    Column& c = columns[s];
    if (!ints[s].empty()) {
      c.layout = Column::Layout::kInt;
      c.ints = ints[s].data();
    } else if (!doubles[s].empty()) {
      c.layout = Column::Layout::kDouble;
      c.doubles = doubles[s].data();
    } else if (!bools[s].empty()) {
      c.layout = Column::Layout::kBool;
      c.bools = bools[s].data();
    } else if (!values[s].empty()) {
      c.layout = Column::Layout::kValues;
      c.values = values[s].data();
    } else if (dictionary) {
      c.layout = Column::Layout::kDictionary;
      c.codes = codes[s].data();
      c.dictionary = dictionaries[s];
    } else {
      c.layout = Column::Layout::kString;
      c.texts = texts[s].data();
    }
  }
};

// All 100 rules over the events, batch by batch; counts rows times rules.
void rules(benchmark::State& state, bool dictionary) {
  rules_bench::Data* data = rules_bench::load();
  if (data == nullptr) {
    state.SkipWithError("TAMIS_RULES_BENCH is not set");
    return;
  }
  std::vector<NodeId> roots;
  Plan plan = rules_bench::make_plan(*data, roots);
  std::vector<EventColumns> batches;
  for (size_t from = 0; from < data->events.size(); from += kRows) {
    batches.emplace_back(*data, from, std::min<size_t>(from + kRows, data->events.size()), dictionary);
  }
  ColumnFrame frame(plan, kRows);
  base::Arena arena;
  std::vector<uint64_t> hits;
  for (auto _ : state) {
    hits.assign(roots.size(), 0);
    for (const EventColumns& batch : batches) {
      arena.reset();
      frame.begin(batch.columns, batch.rows, arena, nullptr);
      for (size_t r = 0; r < roots.size(); ++r) {
        uint64_t found = 0;
        for (RowTruth t : frame.test(roots[r])) found += t == RowTruth::kTrue ? 1 : 0;
        hits[r] += found;
      }
    }
  }
  if (hits != data->expected) state.SkipWithError("the hits are not those of expected.json");
  state.counters["rule_rows"] = benchmark::Counter(static_cast<double>(data->events.size() * roots.size()),
                                                   benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(rules, texts, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(rules, dictionaries, true)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tamis::cel
