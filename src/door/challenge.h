// Challenges: proof of work as a graded verdict. A client that is to be slowed down, not refused, computes for a second
// or a minute before it may go on; a person does not notice, a farm of accounts pays for each of them.
//
// A challenge is a text that says all there is to know of it (what it is for, how hard, until when) with an
// HMAC-SHA-256 of it under a key that this process drew for itself, so nothing is kept for those that are never solved.
// A solution counts once: what was solved is remembered until it would have expired, and the memory is bounded.
//
// The work: numbers n, one for each i below `count`, for which SHA-256(TEXT ":" i ":" n), all decimal, begins with
// `bits` zero bits. Several easier ones instead of one hard one make the time that it takes predictable. About count *
// 2^bits hashes; a browser does some 100 000 to 300 000 a second.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>

namespace tamis::door {

// What a challenge is bound to: a solution counts for nothing else.
struct ChallengeFor {
  std::string on, value;  // the entity, as "account" and its name
  std::string type, id;   // the event; may be empty
};

struct Challenge {
  std::string text;  // goes to the client, and comes back with the solution
  uint32_t bits = 0, count = 0;
  int64_t expires_ms = 0;
};

struct ChallengeOptions {
  uint32_t count = 8;
  uint32_t bits_min = 10, bits_max = 18;  // at a risk of 0 and of 1
  int64_t lasts_ms = 600'000;
  size_t solved_max = 1'000'000;  // remembered; beyond that solutions are refused for a while
};

// Safe from any thread.
class Challenges {
 public:
  static constexpr uint32_t kBitsMax = 26, kCountMax = 64;

  explicit Challenges(const ChallengeOptions& options = {});

  // `risk` from 0 to 1, as the score of a decision: it decides how hard it is.
  Challenge issue(const ChallengeFor& what, double risk, int64_t now_ms);

  enum class Outcome : uint8_t {
    kPassed,
    kForeign,  // not a challenge of this process, or changed
    kOther,    // for another entity or event
    kExpired,
    kWrong,     // not solved
    kRepeated,  // solved before
    kFull,      // too many solved ones to remember: later
  };
  Outcome verify(std::string_view text, std::span<const uint64_t> solution, const ChallengeFor& what, int64_t now_ms);

  uint64_t issued() const { return issued_; }
  uint64_t solved() const { return solved_; }

 private:
  ChallengeOptions options_;
  std::string key_;
  std::mutex mutex_;
  std::unordered_set<std::string> known_;              // seals of what was solved
  std::deque<std::pair<int64_t, std::string>> until_;  // when each may be forgotten, in the order of solving
  std::atomic<uint64_t> issued_{0}, solved_{0};
};

// What became of it, in a word: passed, foreign, other, expired, wrong, repeated, full.
std::string_view name_of(Challenges::Outcome outcome);
// Whether the number solves the i-th part.
bool is_solution(std::string_view text, uint32_t i, uint64_t n, uint32_t bits);

}  // namespace tamis::door
