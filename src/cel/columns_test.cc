#include "cel/columns.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>

#include "cel/expression_gen_test_kit.h"

namespace tamis::cel {
namespace {

using event::ErrorCode;
using event::Kind;
using Truth = Plan::Truth;

NodeId add(PlanBuilder& builder, const Env& env, const std::string& source) {
  Compiled compiled = compile(env, source);
  TAMIS_ASSERT(compiled.ok());
  return builder.add(compiled);
}

std::string words(Value v) {
  if (!v.is_error()) return std::string(event::type_name(v)) + " " + event::debug_string(v, 10'000);
  return "error " + std::to_string(static_cast<int>(v.error_data->code)) + " " + std::string(v.error_data->message);
}

bool is_limit(Value v) { return v.is_error() && v.error_data->code == ErrorCode::kLimit; }

RowTruth to_row(Truth t) {
  return t == Truth::kTrue ? RowTruth::kTrue : t == Truth::kFalse ? RowTruth::kFalse : RowTruth::kError;
}

// Runs the expressions over the batch in both evaluators and says where they differ; empty: nowhere.
std::string difference(const std::vector<std::string>& sources, const kit::BatchGen& batch) {
  Env env = kit::make_env();
  PlanBuilder builder;
  std::vector<NodeId> roots;
  std::vector<std::string> kept;
  for (const std::string& source : sources) {
    Compiled compiled = compile(env, source);
    if (!compiled.ok()) return "does not compile: " + source + ": " + compiled.issues[0].message;
    roots.push_back(builder.add(compiled));
  }
  Plan plan = builder.build();
  ColumnFrame columns(plan, kit::BatchGen::kRows);
  base::Arena column_arena, row_arena;
  columns.begin(batch.columns(), kit::BatchGen::kRows, column_arena, nullptr);
  Frame frame(plan);
  std::vector<Value> values(kit::BatchGen::kRows);
  for (size_t e = 0; e < roots.size(); ++e) {
    std::span<const RowTruth> truths = columns.test(roots[e]);
    columns.eval(roots[e], values.data());
    for (uint32_t r = 0; r < kit::BatchGen::kRows; ++r) {
      std::vector<Value> slots = batch.row(r);
      frame.begin(slots.data(), row_arena, nullptr);
      Value v = plan.eval(roots[e], frame);
      frame.begin(slots.data(), row_arena, nullptr);
      Truth t = plan.test(roots[e], frame);
      if (is_limit(v) || is_limit(values[r])) continue;
      std::string where = sources[e] + " in row " + std::to_string(r);
      for (int32_t s : plan.slots_read(roots[e])) where += "; " + kit::variables()[s].first + " = " + words(slots[s]);
      if (words(v) != words(values[r])) return where + ": scalar " + words(v) + ", columnar " + words(values[r]);
      if (to_row(t) != truths[r])
        return where + ": scalar test " + std::to_string(int(t)) + ", columnar " + std::to_string(int(truths[r]));
      Truth of_value = v.is_true() ? Truth::kTrue : v.is_false() ? Truth::kFalse : Truth::kError;
      if (t != of_value) return where + ": scalar test differs from scalar value " + words(v);
    }
  }
  return {};
}

TEST(Columns, EqualTheScalarEvaluator) {
  EXPECT_TRUE(rc::check("both evaluators give the same for every row", [](uint64_t seed) {
    kit::Dice dice(seed);
    kit::ExpressionGen gen(dice);
    std::vector<std::string> sources;
    for (int i = 0; i < 6; ++i) {
      int depth = static_cast<int>(dice.below(5));
      switch (dice.below(6)) {
        case 0:
          sources.push_back(gen.integer(depth));
          break;
        case 1:
          sources.push_back(gen.real(depth));
          break;
        case 2:
          sources.push_back(gen.text(depth));
          break;
        case 3:
          sources.push_back(gen.ints(depth));
          break;
        default:
          sources.push_back(gen.boolean(depth));
          break;
      }
    }
    // The same parts once more, so that they are shared between roots and under different demands.
    sources.push_back("(" + gen.boolean(1) + ") && (" + gen.boolean(3) + ")");
    sources.push_back("n > 3 && (" + gen.boolean(2) + ")");
    kit::BatchGen batch(dice);
    std::string found = difference(sources, batch);
    if (!found.empty()) RC_FAIL(found);
  }));
}

TEST(Columns, RunATypedBatch) {
  Env env = kit::make_env();
  PlanBuilder builder;
  NodeId large = add(builder, env, "n > 2 && x < 0.5");
  NodeId pay = add(builder, env, "s.contains('pay') || n == 0");
  NodeId product = add(builder, env, "n * 10");
  Plan plan = builder.build();
  const int64_t n[] = {0, 1, 3, 4, INT64_MAX};
  const double x[] = {0.1, 0.1, 0.1, 0.9, 0.4};
  const uint8_t x_states[] = {0, 1, 0, 0, 0};
  const Value dictionary[] = {Value::string("login"), Value::string("payment")};
  const uint32_t s[] = {0, 1, 1, 0, 0};
  std::vector<Column> columns(kit::kS + 1);
  columns[kit::kN].layout = Column::Layout::kInt;
  columns[kit::kN].ints = n;
  columns[kit::kX].layout = Column::Layout::kDouble;
  columns[kit::kX].doubles = x;
  columns[kit::kX].states = x_states;
  columns[kit::kS].layout = Column::Layout::kDictionary;
  columns[kit::kS].codes = s;
  columns[kit::kS].dictionary = dictionary;
  columns[kit::kS].dictionary_id = 7;
  ColumnFrame frame(plan, 8);
  base::Arena arena;
  for (int round = 0; round < 3; ++round) {
    frame.begin(columns, 5, arena, nullptr);
    std::vector<RowTruth> got(frame.test(large).begin(), frame.test(large).end());
    const RowTruth kF = RowTruth::kFalse, kT = RowTruth::kTrue;
    EXPECT_EQ(got, (std::vector<RowTruth>{kF, kF, kT, kF, kT}));
    got.assign(frame.test(pay).begin(), frame.test(pay).end());
    EXPECT_EQ(got, (std::vector<RowTruth>{kT, kT, kT, kF, kF}));
    Value values[5];
    frame.eval(product, values);
    EXPECT_EQ(values[3].i, 40);
    ASSERT_TRUE(values[4].is_error());
    EXPECT_EQ(values[4].error_data->code, ErrorCode::kOverflow);
  }
}

TEST(Columns, KeepWhatIsKnownOfADictionaryById) {
  Env env = kit::make_env();
  PlanBuilder builder;
  NodeId node = add(builder, env, "s.matches('^a') || s in ['b', 'x', 'y', 'z', 'w']");
  Plan plan = builder.build();
  ColumnFrame frame(plan, 4);
  base::Arena arena;
  const uint32_t codes[] = {0, 1, 2, 1};
  std::vector<Column> columns(kit::kS + 1);
  Column& c = columns[kit::kS];
  c.layout = Column::Layout::kDictionary;
  c.codes = codes;
  const Value first[] = {Value::string("ab"), Value::string("b"), Value::string("c")};
  const Value second[] = {Value::string("c"), Value::string("ab"), Value::string("x")};
  auto run = [&](std::span<const Value> dictionary, uint64_t id) {
    c.dictionary = dictionary;
    c.dictionary_id = id;
    frame.begin(columns, 4, arena, nullptr);
    std::string out;
    for (RowTruth t : frame.test(node)) out += t == RowTruth::kTrue ? 'T' : 'F';
    return out;
  };
  EXPECT_EQ(run(first, 1), "TTFT");
  EXPECT_EQ(run(first, 1), "TTFT");
  EXPECT_EQ(run(second, 2), "FTTT");
  EXPECT_EQ(run(second, 0), "FTTT");
  EXPECT_EQ(run(first, 0), "TTFT");
}

TEST(Columns, ABatchOfNoRowsAndMissingColumns) {
  Env env = kit::make_env();
  PlanBuilder builder;
  NodeId node = add(builder, env, "n > 2 && s == 'a' || has(t)");
  Plan plan = builder.build();
  ColumnFrame frame(plan);
  base::Arena arena;
  frame.begin({}, 0, arena, nullptr);
  EXPECT_EQ(frame.test(node).size(), 0u);
  frame.begin({}, 3, arena, nullptr);
  for (RowTruth t : frame.test(node)) EXPECT_EQ(t, RowTruth::kError);
}

}  // namespace
}  // namespace tamis::cel
