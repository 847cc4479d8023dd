#include "door/auth_policy_api.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "door/auth_policy_wire.h"
#include "door/http_answer.h"
#include "event/json_event.h"

namespace tamis::door {

using event::Kind;
using event::Value;
using net::Request;
using net::Response;

namespace {

using auth_policy::Asked;

constexpr std::string_view kAttempt = "attempt", kLogin = "login", kChallenge = "challenge";
constexpr int kDelaySeconds = 5;  // where the rule that delays does not say how long
constexpr int kDelaySecondsMax = 60;
// What Dovecot shows to whoever was refused. It says nothing that would help to do better.
constexpr std::string_view kRefused = "This login is not possible now. Please try again later.";

// What the verdicts of an attempt mean to a mail server, which knows no more than these three.
enum class Answer : uint8_t { kGoOn, kWait, kRefuse };
Answer answer_for(std::string_view verdict) {
  constexpr std::string_view kWaits[] = {"delay", "challenge"};
  constexpr std::string_view kRefusals[] = {"refuse", "reject", "hold", "lock"};
  if (std::find(std::begin(kWaits), std::end(kWaits), verdict) != std::end(kWaits)) return Answer::kWait;
  if (std::find(std::begin(kRefusals), std::end(kRefusals), verdict) != std::end(kRefusals)) return Answer::kRefuse;
  return Answer::kGoOn;
}

// The rules that act say how many seconds by their `value:`; the longest counts.
int delay_of(const engine::Decision& decision) {
  double seconds = 0;
  for (const engine::Match& match : decision.matches) {
    if (!match.acts) continue;
    if (match.value.is(Kind::kInt)) seconds = std::max(seconds, static_cast<double>(match.value.i));
    if (match.value.is(Kind::kDouble) && std::isfinite(match.value.d)) seconds = std::max(seconds, match.value.d);
  }
  if (seconds <= 0) return kDelaySeconds;
  return static_cast<int>(std::clamp(std::ceil(seconds), 1.0, static_cast<double>(kDelaySecondsMax)));
}

// Logins that were told to wait and have not ended yet: at most so many, for so long.
class Waiting {
 public:
  void add(uint64_t key, int64_t now_ms) {
    std::lock_guard lock(mutex_);
    forget(now_ms);
    if (order_.size() >= kMax) return;  // then their ends are no challenges
    keys_[key] = now_ms;
    order_.emplace_back(now_ms, key);
  }
  bool take(uint64_t key, int64_t now_ms) {
    std::lock_guard lock(mutex_);
    forget(now_ms);
    return keys_.erase(key) != 0;
  }

 private:
  static constexpr size_t kMax = 100'000;
  static constexpr int64_t kForMs = 300'000;
  void forget(int64_t now_ms) {
    while (!order_.empty() && order_.front().first + kForMs < now_ms) {
      const auto [since, key] = order_.front();
      const auto found = keys_.find(key);
      if (found != keys_.end() && found->second == since) keys_.erase(found);
      order_.pop_front();
    }
  }
  std::mutex mutex_;
  std::unordered_map<uint64_t, int64_t> keys_;  // since when
  std::deque<std::pair<int64_t, uint64_t>> order_;
};

}  // namespace

struct AuthPolicyApi::Impl {
  explicit Impl(Service& s) : service(s) {}

  bool has_type(std::string_view type) const {
    const auto policy = service.policy();
    return policy != nullptr && policy->find_type(type) != nullptr;
  }
  base::Result<int> allow(const Asked& asked);
  base::Status report(const Asked& asked);
  void command(const Request& in, Response& out);

  Service& service;
  Waiting waiting;
};

base::Result<int> AuthPolicyApi::Impl::allow(const Asked& asked) {
  if (!has_type(kAttempt)) return 0;
  std::string decided, verdict;
  int delay_s = kDelaySeconds;
  Service::Lease lease(service);
  const auto use = [&](const engine::Decision& decision) {
    verdict = decision.verdict_name();
    delay_s = delay_of(decision);
  };
  TAMIS_TRY(outcome, service.decide(*lease, kAttempt, auth_policy::attempt_event(asked), decided,
                                    engine::Engine::Explain::kNo, use));
  if (outcome != Service::Outcome::kDecided) {
    // Not decided in time: what the type declares for that case is in the answer's text.
    base::Arena arena;
    TAMIS_TRY(answer, event::JsonReader::to_value(decided, arena));
    const Value* v = answer.is(Kind::kMap) ? event::map_find(*answer.map, Value::string("verdict")) : nullptr;
    if (v != nullptr && v->is(Kind::kString)) verdict = v->str();
  }
  switch (answer_for(verdict)) {
    case Answer::kRefuse:
      return -1;
    case Answer::kWait:
      // Who gave the right password has waited before it was looked at.
      if (asked.is_verified()) break;
      waiting.add(asked.login_key(), service.now_ms());
      return delay_s;
    case Answer::kGoOn:
      break;
  }
  return 0;
}

base::Status AuthPolicyApi::Impl::report(const Asked& asked) {
  if (asked.is_nobody()) return {};
  Service::Lease lease(service);
  std::string decided;
  if (has_type(kLogin)) TAMIS_CHECK(service.decide(*lease, kLogin, auth_policy::login_event(asked), decided));
  const bool has_waited = waiting.take(asked.login_key(), service.now_ms());
  if (!has_waited || asked.flag("policy_reject") || !has_type(kChallenge)) return {};
  decided.clear();
  TAMIS_CHECK(service.decide(*lease, kChallenge, auth_policy::challenge_event(asked), decided));
  return {};
}

void AuthPolicyApi::Impl::command(const Request& in, Response& out) {
  const auto wanted = in.query_value("command");
  const bool is_report = wanted && *wanted == "report";
  if (!is_report && (!wanted || *wanted != "allow")) {
    return answer({base::Code::kInvalid, "?command= is missing or unknown: expected allow or report"}, out);
  }
  const auto asked = Asked::read(in.body());
  if (!asked) return answer(asked.error(), out);
  if (asked->is_nobody() && !is_report) {
    return answer({base::Code::kInvalid, "\"login\" is missing: the name that somebody signs in with"}, out);
  }
  if (is_report) {
    if (const base::Status done = report(*asked); !done) return answer(done.error(), out);
    return auth_policy::write_answer(0, "", out.body());
  }
  const auto status = allow(*asked);
  if (!status) return answer(status.error(), out);
  auth_policy::write_answer(*status, *status < 0 ? kRefused : std::string_view(), out.body());
}

AuthPolicyApi::AuthPolicyApi(net::HttpServer& server, Service& service, const MakeRoute& route)
    : impl_(std::make_unique<Impl>(service)) {
  server.post(
      "/v1/auth-policy", [impl = impl_.get()](const Request& in, Response& out) { impl->command(in, out); },
      route(net::Role::kDecide, auth_policy::kBodyBytesMax));
}

AuthPolicyApi::~AuthPolicyApi() = default;

}  // namespace tamis::door
