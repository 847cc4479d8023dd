// What a signup costs, by how many are live; and a login.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "base/hash.h"
#include "detect/login_risk.h"
#include "detect/signup_clusters.h"

namespace tamis::detect {
namespace {

// Signups of many people, one in ten of a campaign, a thousand an hour.
class Crowd {
 public:
  const Signup& next() {
    const uint64_t n = number_++;
    const bool farmed = n % 10 == 0;
    const auto draw = [n](uint64_t what) { return base::combine64(n, what); };
    account_ = std::to_string(n);
    local_.clear();
    for (size_t i = 0; i < 4 + draw(1) % 5; ++i) local_ += static_cast<char>('a' + (draw(2) >> (5 * i)) % 26);
    if (farmed || draw(3) % 2) local_ += std::to_string(1000 + draw(4) % 9000);
    device_ = farmed ? "f" + std::to_string(n / 100'000 * 10 + draw(5) % 10) : "d" + std::to_string(draw(5) % 200'000);
    agent_ = "Mozilla/5.0 (Windows NT 10.0) Chrome/" + std::to_string(100 + draw(6) % 40);
    zone_ = "Zone/" + std::to_string(draw(7) % 30);
    gpu_ = std::to_string(draw(8) % 400);
    mail_ = "";
    if (draw(9) % 2) mail_ = std::to_string(draw(10)) + "@p" + std::to_string(draw(11) % 50) + ".example";
    s_.t_ms = 1'700'000'000'000 + int64_t(n) * 3600;
    s_.account = account_, s_.local = local_, s_.gpu = gpu_, s_.recovery = mail_, s_.screen = "1920x1080", s_.cores = 8;
    s_.client.has_ip = true;
    for (size_t i = 0; i < 4; ++i) s_.client.ip.bytes[12 + i] = static_cast<uint8_t>(draw(12) >> (8 * i));
    s_.client.asn = 1000 + static_cast<uint32_t>(draw(13) % 300);
    s_.client.country = "DE", s_.client.language = "de", s_.client.time_zone = zone_;
    s_.client.device = device_, s_.client.user_agent = agent_, s_.client.tls = "t13", s_.client.cookie = account_;
    s_.client.rtt_ms = 20 + static_cast<uint32_t>(draw(14) % 200);
    s_.captcha = "img", s_.captcha_tries = 1;
    s_.captcha_ms = 3000 + static_cast<uint32_t>(draw(15) % 40'000);
    s_.fill_ms =
        farmed ? 5000 + static_cast<uint32_t>(draw(16) % 800) : 8000 + static_cast<uint32_t>(draw(16) % 80'000);
    return s_;
  }

 private:
  uint64_t number_ = 0;
  Signup s_;
  std::string account_, local_, device_, agent_, zone_, gpu_, mail_;
};

void signup(benchmark::State& state) {
  SignupClusterOptions options;
  options.single_slots_log2 = 24;
  options.keys_max = 20'000'000;
  auto clusters = SignupClusters::make(options);
  Crowd crowd;
  for (int64_t i = 0; i < state.range(0); ++i) clusters->signup(crowd.next());
  for (auto _ : state) benchmark::DoNotOptimize(clusters->signup(crowd.next()).score);
  state.counters["bytes_per_signup"] = double(clusters->bytes()) / double(clusters->accounts());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(signup)->Arg(100'000)->Arg(1'000'000)->Iterations(20'000);

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
