// What is said of challenges, as arbitrary bytes: nothing that was not issued here passes, what is issued is bound to
// what it is for, and the event of how it ended is a JSON object that says what really happened.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "door/challenge_wire.h"
#include "event/json_event.h"

namespace {

using namespace tamis;
namespace wire = door::challenge_wire;
using Outcome = door::Challenges::Outcome;

constexpr int64_t kNowMs = 1'700'000'000'000;

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

void check_event(std::string_view body, const door::ChallengeFor& what) {
  const auto text = wire::event_of(body, what, false);
  if (!text) return;
  base::Arena arena;
  event::JsonLimits limits;
  limits.bytes_max = text->size() + 1;
  const auto event = event::JsonReader::to_value(*text, arena, limits);
  check(event.has_value() && event->is(event::Kind::kMap), "an event that is no JSON object");
  const event::Value* passed = event::map_find(*event->map, event::Value::string("passed"));
  check(passed != nullptr && passed->is(event::Kind::kBool) && !passed->b, "an event that says that it passed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  door::ChallengeOptions options;
  options.count = 1, options.bits_min = 0, options.bits_max = 4;
  door::Challenges challenges(options);
  if (const auto wanted = wire::read_wanted(body)) {
    const door::Challenge issued = challenges.issue(wanted->what, wanted->risk, kNowMs);
    uint64_t n = 0;
    while (!door::is_solution(issued.text, 0, n, issued.bits)) ++n;
    door::ChallengeFor other = wanted->what;
    other.value += "x";
    check(challenges.verify(issued.text, {&n, 1}, other, kNowMs) == Outcome::kOther, "it counts for others");
    check(challenges.verify(issued.text, {&n, 1}, wanted->what, kNowMs) == Outcome::kPassed, "it is not solvable");
    check(challenges.verify(issued.text, {&n, 1}, wanted->what, kNowMs) == Outcome::kRepeated, "it counts twice");
  }
  if (const auto solved = wire::read_solved(body)) {
    check(challenges.verify(solved->text, solved->solution, solved->what, kNowMs) == Outcome::kForeign,
          "what was not issued here is taken");
    check_event(body, solved->what);
  }
  return 0;
}
