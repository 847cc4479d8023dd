// Runs cases of the CEL specification's own suite, written as JSON: what `tamis cel --conformance` and `tamis cel
// --batch` do. The dialect is strict, so that a pass says something about CEL and nothing about our extensions.
//
// A case is an object with `expr`, optionally `container`, `disable_macros`, `disable_check`, `check_only`, `type_env`
// (declared variables and functions; the functions have no implementation), `bindings`, `needs`, and `expect`, which
// holds `value`, `error`, `any_error` or `type`. Values are tagged: {"t":"int","v":"-1"}; int, uint and double as text,
// bytes in base64, a list as an array, a map as an array of pairs, timestamp and duration as seconds and nanoseconds.
//
// Not on any hot path: each case gets its own Env, plan and arena.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::cel {

enum class CaseOutcome { kPass, kFail, kSkip };

struct CaseReport {
  CaseOutcome outcome = CaseOutcome::kFail;
  std::string name;  // FILE/SECTION/NAME
  std::string text;  // of a failure: what was expected and what came; of a skipped case: what it needs; else empty
};

// "pass FILE/SECTION/NAME", "fail FILE/SECTION/NAME expected ..., got ...": one line, without its end.
std::string to_line(const CaseReport& report);

struct ConformanceTotals {
  size_t passed = 0, failed = 0, skipped = 0;
};

// Runs one case. A case that fails is skipped if it says in `needs` that it needs messages of protobuf (`wkt`) or the
// optimiser's block notation (`block_ext`). Errors: not JSON, or not a case.
base::Result<CaseReport> run_case(std::string_view json);

// Runs all cases of a file ({"tests": [...]} or a bare array) and reports each as it is done.
base::Result<ConformanceTotals> run_conformance(std::string_view json,
                                                const std::function<void(const CaseReport&)>& report);

// Evaluates one case and says what came out, as one line of JSON without its end: {"value":...} with tagged values,
// {"error":"..."} or, where the case is check_only, {"type":"..."}. A line that is no case is an error of that line.
std::string evaluate_case(std::string_view json);

}  // namespace tamis::cel
