// What is said in JSON of challenges, and the event that is made of how one ended: no state, no sockets. Private to
// this room.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "door/challenge.h"

namespace tamis::door::challenge_wire {

struct Wanted {
  ChallengeFor what;
  double risk = 0.5;
};
base::Result<Wanted> read_wanted(std::string_view body);

struct Solved {
  ChallengeFor what;
  std::string text;
  std::vector<uint64_t> solution;
};
base::Result<Solved> read_solved(std::string_view body);

// The event `challenge` that tells the policy how it ended: what the caller gave of the client, the entity under the
// name that events have for it, and the outcome. `body` is one that read_solved() has taken.
base::Result<std::string> event_of(std::string_view body, const ChallengeFor& what, bool passed);

}  // namespace tamis::door::challenge_wire
