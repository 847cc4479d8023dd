// Reads account events from JSON lines: the one place that knows the field names of a service. Another service writes
// its own reader, or maps its fields in its policy.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "detect/account_event.h"

namespace tamis::detect {

using AccountEvent = std::variant<Signup, Login, Change, Send, Feedback, Payment>;

// An event with what a decision line needs of it.
struct ReadEvent {
  int64_t id = 0;
  std::string_view type;
  AccountEvent event;
};

class AccountJsonReader {
 public:
  AccountJsonReader();
  ~AccountJsonReader();
  // Which networks are VPN, Tor or hosting: "prefix,tag" lines behind a head line. Errors name the line.
  base::Status load_intel(std::string_view csv);
  // One event; its texts point into the reader and hold until the next call. Errors: no JSON object, an unknown type,
  // a field of another kind than expected.
  base::Result<ReadEvent> read(std::string_view line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::detect
