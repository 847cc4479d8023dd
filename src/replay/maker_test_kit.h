// Random policies and events for the property tests of hindsight.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "replay/past_test_kit.h"

namespace tamis::replay::kit {

inline constexpr const char* kHead = R"y(
policy: test
time: {at: t, format: ms}
---
event: login
verdicts: [accept, challenge, reject]
override: accept
thresholds: {challenge: 10, reject: 20}
fields:
  account: {type: string, entity: account}
  ip: ip
  amount: int
  share: double
  success: {type: bool, default: true}
---
event: note
fields: {account: {type: string, entity: account}, amount: int}
---
lists:
  staff: [a1, a2]
  blocked: {kind: string, managed: true}
---
features:
  n: {count: login, by: account, over: 1h}
  spent: {sum: amount, of: login, by: ip, over: 1d}
---
)y";

// Random rules over the event types above, and events, from a seed.
class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed) {}

  size_t below(size_t n) { return random_() % n; }
  template <size_t kCount>
  std::string one_of(const char* const (&choices)[kCount]) {
    return choices[below(kCount)];
  }

  std::string condition(int depth = 0) {
    if (depth < 2 && below(3) == 0) {
      return "(" + condition(depth + 1) + (below(2) == 0 ? " && " : " || ") + condition(depth + 1) + ")";
    }
    static const char* const kTests[] = {"amount > 10",
                                         "amount <= 3",
                                         "amount != 7",
                                         "share < 0.5",
                                         "share >= 0.25",
                                         "success",
                                         "!success",
                                         "account == 'a1'",
                                         "account in ['b', 'c']",
                                         "account in list.staff",
                                         "n >= 2",
                                         "n == 0",
                                         "ip.net24 == '192.0.2.0/24'",
                                         "ip.startsWith('192.')",
                                         "10 / amount > 1",
                                         "has(share)",
                                         "event.time > timestamp('1970-01-01T02:00:00Z')",
                                         "[amount, n].exists(x, x > 12)",
                                         "double(n) * share > 0.7",
                                         "!(amount > 5)"};
    static const char* const kState[] = {"account in list.blocked", "'seen' in labels(account)"};
    return state_ && below(6) == 0 ? one_of(kState) : one_of(kTests);
  }

  std::string rule(size_t number, const std::string& mode) {
    static const char* const kThen[] = {"verdict: challenge",
                                        "verdict: reject",
                                        "verdict: accept",
                                        "points: 10",
                                        "points: 0.1",
                                        "points: 3.7",
                                        "points: double(n) * 1.3",
                                        "points: -4",
                                        "points: \"share * 30.0\""};
    std::string then = one_of(kThen);
    if (below(4) == 0) then += ", " + std::string(then.starts_with("verdict") ? "points: 6.3" : "verdict: challenge");
    if (state_ && below(5) == 0) then += ", label: {on: account, name: seen, for: 1h}";
    return "  - {id: r" + std::to_string(number) + ", on: login, when: \"" + condition() + "\", then: {" + then +
           "}, mode: " + mode + "}\n";
  }

  std::vector<std::string> rules(bool state) {
    state_ = state;
    static const char* const kModes[] = {"live", "live", "live", "shadow", "canary 40%", "\"off\""};
    std::vector<std::string> made;
    for (size_t i = 0, count = 1 + below(7); i < count; ++i) made.push_back(rule(i, one_of(kModes)));
    return made;
  }

  std::string event(size_t i, int64_t& now) {
    static const char* const kAccounts[] = {"a1", "a2", "b", "c", "d"};
    now += static_cast<int64_t>(below(900'000));
    int64_t t = now - (below(8) == 0 ? static_cast<int64_t>(below(5'000'000)) : 0);
    std::string json = R"({"type":")" + std::string(below(9) == 0 ? "note" : "login") + R"(","id":"e)" +
                       std::to_string(i) + R"(","t":)" + std::to_string(t);
    if (below(7) != 0) json += R"(,"account":")" + one_of(kAccounts) + "\"";
    if (below(7) != 0) json += R"(,"amount":)" + std::to_string(static_cast<int>(below(25)) - 2);
    if (below(5) != 0) json += R"(,"share":0.)" + std::to_string(below(10));
    if (below(3) == 0) json += R"(,"success":false)";
    if (below(5) != 0)
      json += R"(,"ip":"192.0.)" + std::to_string(2 + below(2)) + "." + std::to_string(below(4)) + "\"";
    return json + "}";
  }

 private:
  std::mt19937 random_;
  bool state_ = false;
};

inline std::string yaml_of(const std::vector<std::string>& rules) {
  std::string yaml = std::string(kHead) + "rules:\n";
  for (const std::string& rule : rules) yaml += rule;
  return yaml;
}

}  // namespace tamis::replay::kit
