#include "cel/conformance.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

namespace tamis::cel {
namespace {

// A case with the result that it must have.
struct Sample {
  CaseOutcome outcome;
  const char* json;
};

const Sample kSamples[] = {
    {CaseOutcome::kPass, R"~({"expr":"6 * 7","expect":{"value":{"t":"int","v":"42"}}})~"},
    {CaseOutcome::kFail, R"~({"expr":"6 * 7","expect":{"value":{"t":"uint","v":"42"}}})~"},
    {CaseOutcome::kFail, R"~({"expr":"6 * 7","expect":{"error":["overflow"]}})~"},
    {CaseOutcome::kPass, R"~({"expr":"1 / 0","expect":{"error":["whatever it says"]}})~"},
    {CaseOutcome::kPass, R"~({"expr":"nowhere + 1","expect":{"error":["no such name"]}})~"},
    {CaseOutcome::kPass, R"~({"expr":"0.0 / 0.0","expect":{"value":{"t":"double","v":"NaN"}}})~"},
    {CaseOutcome::kPass, R"~({"expr":"-1.0 / 0.0","expect":{"value":{"t":"double","v":"-Infinity"}}})~"},
    {CaseOutcome::kPass, R"~({"expr":"b'hi' + b'!'","expect":{"value":{"t":"bytes","v":"aGkh"}}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"{'b': [1u], 'a': null}","expect":{"value":{"t":"map","v":[[{"t":"string","v":"a"},{"t":"null"}],
         [{"t":"string","v":"b"},{"t":"list","v":[{"t":"uint","v":"1"}]}]]}}})~"},
    {CaseOutcome::kPass, R"~({"expr":"duration('1.5s')","expect":{"value":{"t":"duration","s":"1","n":500000000}}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"9223372036854775806 < 9223372036854775808.0 || 9223372036854774000 >= 9223372036854775808.0",
                              "expect":{"value":{"t":"bool","v":false}}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"9007199254740993 > 9007199254740992.0","expect":{"value":{"t":"bool","v":true}}})~"},
    {CaseOutcome::kPass, R"~({"expr":"type(1u)","expect":{"value":{"t":"type","v":"uint"}}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"a + b","type_env":[{"name":"a","kind":"ident","type":"int"},{"name":"b","kind":"ident","type":"int"}],
         "bindings":{"a":{"t":"int","v":"-2"},"b":{"t":"int","v":"5"}},"expect":{"value":{"t":"int","v":"3"}}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"a.b","disable_check":true,"bindings":{"a":{"t":"map","v":[[{"t":"string","v":"b"},
         {"t":"bool","v":true}]]}},"expect":{"value":{"t":"bool","v":true}}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"missing","type_env":[{"name":"missing","kind":"ident","type":"int"}],"expect":{"error":["unbound"]}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"d","container":"a.b.c","type_env":[{"name":"a.b.d","kind":"ident","type":"string"}],
         "bindings":{"a.b.d":{"t":"string","v":"found"}},"expect":{"value":{"t":"string","v":"found"}}})~"},
    {CaseOutcome::kPass, R"~({"expr":"[1].map(i, string(i))","check_only":true,"expect":{"type":"list(string)"}})~"},
    {CaseOutcome::kFail, R"~({"expr":"[1].map(i, string(i))","check_only":true,"expect":{"type":"list(int)"}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"pair('a', 1u)","check_only":true,"type_env":[{"name":"pair","kind":"function","overloads":[
         {"id":"pair_2","params":["~A","~B"],"result":"pair(~B, ~A)","member":false}]}],
         "expect":{"type":"pair(uint, string)"}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"[1, 2].all(i, i > 0)","disable_macros":true,"expect":{"error":["undeclared"]}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"google.protobuf.UInt32Value{value: 7u}","expect":{"value":{"t":"uint","v":"7"}}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"Int32Value{value: 2147483648}","container":"google.protobuf","expect":{"error":["range"]}})~"},
    {CaseOutcome::kPass,
     R"~({"expr":"google.protobuf.FloatValue{value: 0.1} == 0.1","expect":{"value":{"t":"bool","v":false}}})~"},
    {CaseOutcome::kPass, R"~({"expr":"google.protobuf.Int64Value{value: 'a'}","expect":{"error":["type"]}})~"},
    {CaseOutcome::kSkip,
     R"~({"expr":"google.protobuf.Nothing{}","needs":["wkt"],"expect":{"value":{"t":"int","v":"0"}}})~"},
};

TEST(Conformance, JudgesCases) {
  for (const Sample& sample : kSamples) {
    base::Result<CaseReport> report = run_case(sample.json);
    ASSERT_TRUE(report.has_value()) << sample.json << ": " << report.error().message;
    EXPECT_EQ(report->outcome, sample.outcome) << sample.json << "\n" << to_line(*report);
  }
}

TEST(Conformance, EvaluatesLines) {
  EXPECT_EQ(evaluate_case(R"~({"expr":"[1, 2u, 1.0, 'a\\n', b'a', null, true]"})~"),
            R"~({"value":{"t":"list","v":[{"t":"int","v":"1"},{"t":"uint","v":"2"},{"t":"double","v":"1.0"},)~"
            R"~({"t":"string","v":"a\u000a"},{"t":"bytes","v":"YQ=="},{"t":"null"},{"t":"bool","v":true}]}})~");
  EXPECT_EQ(evaluate_case(R"~({"expr":"{1: duration('-1.5s')}"})~"),
            R"~({"value":{"t":"map","v":[[{"t":"int","v":"1"},{"t":"duration","s":"-1","n":-500000000}]]}})~");
  EXPECT_EQ(evaluate_case(R"~({"expr":"1","check_only":true})~"), R"~({"type":"int"})~");
  EXPECT_TRUE(evaluate_case(R"~({"expr":"1 / 0"})~").starts_with(R"~({"error":")~"));
  EXPECT_TRUE(evaluate_case("not json").starts_with(R"~({"error":")~"));
  EXPECT_TRUE(evaluate_case("[]").starts_with(R"~({"error":")~"));
  EXPECT_TRUE(evaluate_case("{}").starts_with(R"~({"error":")~"));
  EXPECT_TRUE(evaluate_case(R"~({"expr":"x","bindings":{"x":{"t":"int","v":"ten"}}})~").starts_with(R"~({"error":")~"));
}

TEST(Conformance, RunsFiles) {
  std::string lines;
  auto totals = run_conformance(
      R"~({"tests":[{"file":"f","section":"s","name":"a","expr":"1","expect":{"value":{"t":"int","v":"1"}}},
                   {"file":"f","section":"s","name":"b","expr":"1","expect":{"value":{"t":"int","v":"2"}}},
                   {"file":"f","section":"s","name":"c"}]})~",
      [&](const CaseReport& r) { lines += to_line(r) + "\n"; });
  ASSERT_TRUE(totals.has_value());
  EXPECT_EQ(totals->passed, 1u);
  EXPECT_EQ(totals->failed, 2u);
  EXPECT_TRUE(lines.starts_with("pass f/s/a\nfail f/s/b expected {\"t\":\"int\",\"v\":\"2\"}, got "));
  EXPECT_FALSE(run_conformance("{}", [](const CaseReport&) {}).has_value());
}

// Runs the given part of the suite where it is at hand.
TEST(Conformance, PassesTheSuite) {
  const char* shared = std::getenv("TAMIS_SHARED");
  if (shared == nullptr) GTEST_SKIP() << "TAMIS_SHARED is not set";
  std::ifstream file(std::string(shared) + "/data/cel/cel-conformance.json");
  ASSERT_TRUE(file.good());
  std::stringstream text;
  text << file.rdbuf();
  auto totals = run_conformance(text.str(), [](const CaseReport& r) {
    if (r.outcome != CaseOutcome::kPass) std::cout << to_line(r) << "\n";
  });
  ASSERT_TRUE(totals.has_value()) << totals.error().message;
  EXPECT_EQ(totals->failed, 0u);
  EXPECT_EQ(totals->passed + totals->skipped, 1418u);
  std::cout << totals->passed << " passed, " << totals->failed << " failed, " << totals->skipped << " skipped\n";
}

}  // namespace
}  // namespace tamis::cel
