// Arbitrary expression text over a fixed environment: whatever compiles is evaluated by both evaluators over random
// rows, within bounds, and they must agree. The first eight bytes of the input choose the rows.
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "cel/expression_gen_test_kit.h"
#include "cel/plan.h"

namespace {

using namespace tamis;
using namespace tamis::cel;

constexpr int64_t kCostMax = 20'000;

std::string words(Value v) {
  if (!v.is_error()) return std::string(event::type_name(v)) + " " + event::debug_string(v, 1'000);
  return "error " + std::to_string(static_cast<int>(v.error_data->code));
}

// The bound of the columnar evaluator holds for parts, so near the bound the two may differ.
bool is_limit(Value v) { return v.is_error() && v.error_data->code == event::ErrorCode::kLimit; }

void disagree(std::string_view source, uint32_t row, Value a, Value b) {
  std::cerr << source << " in row " << row << ": scalar " << words(a) << ", columnar " << words(b) << "\n";
  std::abort();
}

void compare(std::string_view source, const Plan& plan, NodeId root, const kit::BatchGen& batch) {
  constexpr uint32_t kRows = kit::BatchGen::kRows;
  ColumnFrame columns(plan, kRows);
  base::Arena column_arena, row_arena;
  columns.begin(batch.columns(), kRows, column_arena, nullptr, kCostMax);
  std::vector<Value> values(kRows);
  columns.eval(root, values.data());
  std::span<const RowTruth> truths = columns.test(root);
  Frame frame(plan);
  for (uint32_t r = 0; r < kRows; ++r) {
    std::vector<Value> slots = batch.row(r);
    row_arena.reset();
    frame.begin(slots.data(), row_arena, nullptr, kCostMax);
    Value v = plan.eval(root, frame);
    if (is_limit(v) || is_limit(values[r])) continue;
    if (words(v) != words(values[r])) disagree(source, r, v, values[r]);
    RowTruth expected = v.is_true() ? RowTruth::kTrue : v.is_false() ? RowTruth::kFalse : RowTruth::kError;
    if (truths[r] != expected) disagree(source, r, v, values[r]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Env* env = new Env(kit::make_env());
  if (size < 9 || size > 2'000) return 0;
  uint64_t seed;
  std::memcpy(&seed, data, sizeof seed);
  bool check = seed % 4 != 0;
  std::string source(reinterpret_cast<const char*>(data) + 8, size - 8);
  Compiled compiled = compile(*env, source, check);
  if (!compiled.ok()) return 0;
  PlanBuilder builder;
  NodeId root = builder.add(compiled);
  Plan plan = builder.build();
  kit::Dice dice(seed);
  compare(source, plan, root, kit::BatchGen(dice));
  return 0;
}
