// Small text things that messages and policies need: the nearest name, numbers for people, spans of time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::base {

// Damerau-Levenshtein distance (optimal string alignment: insert, delete, replace, swap of neighbours) by bytes. Stops
// early and returns `limit + 1` once it must exceed `limit`. Cost: length times length; texts beyond 256 bytes compare
// as unequal by more than the limit unless they are equal.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit = 255);

// The candidate nearest to `name`, for "did you mean": at most a third of its letters away (one for names of three to
// five letters, none for shorter ones), letter case half ignored. Ties go to the first. Empty if none is near.
std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates);
std::string_view nearest(std::string_view name, std::span<const std::string> candidates);

// "1 234 567": groups of three, parted by `separator`.
std::string format_thousands(int64_t number, char separator = ' ');
// "512 B", "1.5 KiB", "3.2 GiB".
std::string format_bytes(uint64_t bytes);
// Four significant digits at most, no exponent for everyday sizes: "12.35", "0.001235", "1.2e+09".
std::string format_double(double number);

// Spans of time in policies and on the command line: one or more whole numbers with units, largest first, each unit
// once: "90d", "1h30m", "10s", "500ms". Units: d (24 h), h, m, s, ms. Not negative, at most 1000 years. "0" needs no
// unit.
Result<int64_t> parse_duration_ms(std::string_view text);
// Of what lasts from now on: the same, and longer than nothing. `what` is named in errors.
Result<int64_t> parse_lasting_ms(std::string_view what, std::string_view text);
// The same notation back, shortest form: 5400000 is "1h30m", 0 is "0s". Negative ones get a leading minus.
std::string format_duration_ms(int64_t duration_ms);

}  // namespace tamis::base
