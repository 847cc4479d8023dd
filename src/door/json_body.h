// JsonBody: the JSON object of a request, read by name. Slips of the pen in names are errors.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"

namespace tamis::door {

class JsonBody {
 public:
  // Errors: not a JSON object; a key that is not among `known` (with the nearest one).
  static base::Result<JsonBody> read(std::string_view text, std::span<const std::string_view> known);

  bool has(std::string_view key) const;
  // Errors name the key and what was expected. A missing key gives the fallback.
  base::Result<std::string> text(std::string_view key, std::string_view fallback = {}) const;
  base::Result<std::string> needed_text(std::string_view key) const;
  base::Result<int64_t> whole(std::string_view key, int64_t fallback, int64_t low, int64_t high) const;
  base::Result<double> number(std::string_view key, double fallback, double low, double high) const;
  base::Result<bool> flag(std::string_view key, bool fallback) const;
  base::Result<std::vector<std::string>> texts(std::string_view key) const;
  base::Result<std::vector<int64_t>> wholes(std::string_view key) const;
  // A point in time: RFC 3339, a number of milliseconds, or a span back from `newest_ms` ("7d").
  base::Result<int64_t> time_ms(std::string_view key, int64_t fallback, int64_t newest_ms) const;
  // The object without these keys, as JSON: for the audit trail, which needs no whole files.
  std::string without(std::span<const std::string_view> keys) const;
  // {NAME: TEXT} as name and text.
  base::Result<std::vector<std::pair<std::string, std::string>>> text_map(std::string_view key) const;

 private:
  const event::Value* find(std::string_view key) const;
  std::unique_ptr<base::Arena> arena_ = std::make_unique<base::Arena>();
  event::Value object_;
};

// The same for the command line: RFC 3339, or a span back from `newest_ms`.
base::Result<int64_t> read_time_ms(std::string_view text, int64_t newest_ms);

}  // namespace tamis::door
