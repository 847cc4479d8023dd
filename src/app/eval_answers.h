// What honest people do who are asked for a proof: an event that follows the one that was asked. Recorded events have
// no answers to what a policy of today would have asked, and who never answers is asked again and again.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"
#include "policy/policy.h"

namespace tamis::app {

class EvalAnswers {
 public:
  // Each "VERDICT=JSON": an object whose keys replace those of the event, like challenge={"type": "challenge"}. Errors
  // name a verdict that no event type has.
  base::Status read(const std::vector<std::string>& texts, const policy::Policy& policy);
  // The answer to a verdict on the event of this line, valid until the next call; null if there is none.
  const std::string* to(std::string_view verdict, std::string_view line);

 private:
  base::Arena arena_;  // of the values of answers
  std::vector<std::pair<std::string, event::Value>> answers_;
  std::string text_;
};

}  // namespace tamis::app
