// Factors in words: what adds up to a score, a line each, as `tamis explain` and the page of a cluster tell it.
#pragma once

#include <string>

#include "app/json_view.h"

namespace tamis::app {

// A line for each of `factors` ({"words", "log_odds"}), the weightiest first, rounded so that the lines add up to what
// `sum` is rounded to; those of no weight together in one line. Without the line of the sum.
std::string factor_lines(const JsonView& factors, double sum);

// "+4.20", "-0.07".
std::string signed_odds(double log_odds);

// What one detector says of an event, from "explanation" of a decision.
std::string detector_words(const JsonView& said);

inline constexpr const char* kOddsHint = "(log-odds: +0.7 doubles the odds, -0.7 halves them, +2.3 makes ten times)";

}  // namespace tamis::app
