// What a signup costs, by how many are live; and a login.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>

#include "base/hash.h"
#include "detect/login_risk.h"
#include "detect/signup_clusters.h"

namespace tamis::detect {
namespace {

// Signups of many people, 100 000 a day; one in ten is of one of forty campaigns, which change every four days.
class Crowd {
 public:
  const Signup& next() {
    const uint64_t n = number_++;
    const bool farmed = n % 10 == 0;
    const uint64_t campaign = n / 10 % 40 + n / 400'000 * 40;
    const auto draw = [n](uint64_t what) { return base::combine64(n, what); };
    const auto of_campaign = [campaign](uint64_t what) { return base::combine64(campaign + (1u << 30), what); };
    account_ = std::to_string(n);
    local_.clear();
    for (size_t i = 0; i < 4 + draw(1) % 5; ++i) local_ += static_cast<char>('a' + (draw(2) >> (5 * i)) % 26);
    if (!farmed && draw(17) % 3 == 0) local_ += "." + std::to_string(draw(18) % 100);
    if (farmed && of_campaign(1) % 2) local_ += "_" + local_;
    if (farmed || draw(3) % 2) local_ += std::to_string(1000 + draw(4) % 9000);
    const bool own_devices = of_campaign(2) % 2;
    device_ = farmed && own_devices ? "f" + std::to_string(campaign * 10 + draw(5) % 10)
                                    : "d" + std::to_string(draw(5) % (draw(19) % 2 ? 2'000 : 20'000'000));
    agent_ = "Mozilla/5.0 (Windows NT 10.0) Chrome/" + std::to_string(100 + draw(6) % 40);
    zone_ = "Zone/" + std::to_string(draw(7) % 30);
    gpu_ = std::to_string(draw(8) % 400);
    mail_ = "";
    if (draw(9) % 2) mail_ = std::to_string(draw(10)) + "@p" + std::to_string(draw(11) % (draw(20) % 4 ? 50 : 100'000));
    if (farmed && of_campaign(3) % 3 == 0) mail_ = std::to_string(draw(10)) + "@c" + std::to_string(campaign);
    s_.t_ms = 1'700'000'000'000 + int64_t(n) * 864;
    s_.account = account_, s_.local = local_, s_.gpu = gpu_, s_.recovery = mail_, s_.screen = "1920x1080", s_.cores = 8;
    s_.client.has_ip = true;
    for (size_t i = 0; i < 4; ++i) s_.client.ip.bytes[12 + i] = static_cast<uint8_t>(draw(12) >> (8 * i));
    s_.client.ip.bytes[12] = static_cast<uint8_t>(s_.client.ip.bytes[12] % 16);
    s_.client.asn = 1000 + static_cast<uint32_t>(draw(13) % 300);
    s_.client.country = "DE", s_.client.language = "de", s_.client.time_zone = zone_;
    s_.client.device = device_, s_.client.user_agent = agent_, s_.client.tls = "t13", s_.client.cookie = account_;
    s_.client.rtt_ms = 20 + static_cast<uint32_t>(draw(14) % 200);
    s_.captcha = "img", s_.captcha_tries = 1;
    s_.captcha_ms = 3000 + static_cast<uint32_t>(draw(15) % 40'000);
    s_.fill_ms = farmed ? 5000 + static_cast<uint32_t>(of_campaign(4) % 20'000 + draw(16) % 800)
                        : 8000 + static_cast<uint32_t>(draw(16) % 80'000);
    return s_;
  }

 private:
  uint64_t number_ = 0;
  Signup s_;
  std::string account_, local_, device_, agent_, zone_, gpu_, mail_;
};

// All sizes in one run, with the maxima of the largest: the same tables grow under the same machine. TAMIS_SIGNUPS_MAX
// sets the largest; ten million take some minutes and four gigabytes.
void signup(benchmark::State& state) {
  static const char* const most = std::getenv("TAMIS_SIGNUPS_MAX");
  static const uint64_t live_max = most != nullptr ? std::strtoull(most, nullptr, 10) : 1'000'000;
  static auto clusters = SignupClusters::make(SignupClusterOptions::for_accounts(live_max));
  static Crowd crowd;
  const auto live = static_cast<uint64_t>(state.range(0));
  if (live > live_max) return state.SkipWithError("TAMIS_SIGNUPS_MAX is lower");
  while (clusters->accounts() < live - 50'000) clusters->signup(crowd.next());
  uint64_t events = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(clusters->signup(crowd.next()).score);
    ++events;
  }
  state.counters["bytes_per_signup"] = double(clusters->bytes()) / double(clusters->accounts());
  uint64_t known = 0;
  clusters->visit_clusters([&](const ClusterFacts& f) { known += f.members > 20; });
  state.counters["clusters"] = double(known);
  state.SetItemsProcessed(int64_t(events));
}
BENCHMARK(signup)->Arg(100'000)->Arg(1'000'000)->Arg(10'000'000)->Iterations(50'000);

// The longest pause that events and pieces of a snapshot make, with as many live signups.
void signup_under_snapshot(benchmark::State& state) {
  auto clusters = SignupClusters::make(SignupClusterOptions::for_accounts(uint64_t(state.range(0))));
  Crowd crowd;
  for (int64_t i = 0; i < state.range(0); ++i) clusters->signup(crowd.next());
  state::PieceWriter out;
  timespec t{};
  const auto now_us = [&t] {
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) * 1e6 + double(t.tv_nsec) / 1e3;
  };
  double begin_us = now_us(), worst_us = 0, worst_piece_us = 0;
  clusters->begin_snapshot(out, 1);
  begin_us = now_us() - begin_us;
  for (auto _ : state) {
    const double from = now_us();
    clusters->signup(crowd.next());
    const double between = now_us();
    clusters->snapshot_piece();
    worst_us = std::max(worst_us, between - from);
    worst_piece_us = std::max(worst_piece_us, now_us() - between);
  }
  clusters->end_snapshot();
  state.counters["begin_us"] = begin_us;
  state.counters["worst_event_us"] = worst_us;
  state.counters["worst_piece_us"] = worst_piece_us;
}
BENCHMARK(signup_under_snapshot)->Arg(200'000)->Iterations(5'000);

void login(benchmark::State& state) {
  auto risk = LoginRisk::make();
  Crowd crowd;
  for (int64_t i = 0; i < state.range(0); ++i) risk->signup(crowd.next());
  uint64_t n = 0;
  for (auto _ : state) {
    // Each comes from where another signed up: all is unfamiliar.
    const Signup& s = crowd.next();
    const std::string account = std::to_string(base::mix64(n++) % uint64_t(state.range(0)));
    Login l;
    l.t_ms = s.t_ms, l.account = account, l.client = s.client;
    benchmark::DoNotOptimize(risk->login(l).score);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(login)->Arg(100'000)->Iterations(50'000);

}  // namespace
}  // namespace tamis::detect
