// The cost of derived attributes, and of the networks table with a million prefixes.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "event/derive.h"
#include "event/domain.h"
#include "event/ip.h"
#include "event/user_agent.h"

namespace tamis::event {
namespace {

void user_agent(benchmark::State& state) {
  const std::string_view texts[] = {
      "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
      "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 "
      "Mobile/15E148 Safari/604.1",
      "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "python-requests/2.31.0"};
  size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(parse_user_agent(texts[i++ % std::size(texts)]));
}
BENCHMARK(user_agent);

void registered(benchmark::State& state) {
  const std::string_view names[] = {"example.com", "a.b.example.co.uk", "mail7.example", "www.someone.github.io"};
  size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(registered_domain(names[i++ % std::size(names)]));
}
BENCHMARK(registered);

void url(benchmark::State& state) {
  base::Arena arena;
  UrlParts parts;
  for (auto _ : state) {
    arena.reset();
    benchmark::DoNotOptimize(parse_url("https://www.example.com/path/to/page?x=1&y=2", arena, parts));
  }
}
BENCHMARK(url);

void email(benchmark::State& state) {
  base::Arena arena;
  EmailParts parts;
  for (auto _ : state) {
    arena.reset();
    benchmark::DoNotOptimize(parse_email("John.Doe+news@mail.example.com", arena, parts));
  }
}
BENCHMARK(email);

// Addresses of both families near a million random prefixes, of the lengths that routing tables have.
struct IntelSetup {
  std::shared_ptr<const NetworkIntel> intel;
  std::vector<IpData> v4, v6;
};

const IntelSetup& intel_setup() {
  static const IntelSetup setup = [] {
    IntelSetup made;
    std::mt19937_64 random(7);
    const auto path = std::filesystem::temp_directory_path() / ("tamis_intel_bench_" + std::to_string(::getpid()));
    {
      std::ofstream out(path);
      out << "prefix,asn,country,tag\n";
      base::Arena arena;
      for (int i = 0; i < 1'000'000; ++i) {
        IpData ip{};
        ip.is_v6 = i % 4 == 0;
        for (int k = ip.is_v6 ? 0 : 12; k < 16; ++k) ip.bytes[k] = static_cast<uint8_t>(random());
        if (ip.is_v6) ip.bytes[0] = 0x2a, ip.bytes[1] = static_cast<uint8_t>(random() % 16);
        const int bits = ip.is_v6 ? 29 + static_cast<int>(random() % 36) : 14 + static_cast<int>(random() % 19);
        arena.reset();
        out << format_cidr(mask_ip(ip, bits), arena) << ',' << 1 + random() % 70'000 << ",DE,"
            << (i % 10 == 0 ? "vpn" : "") << '\n';
        if (i % 8 < 2) (ip.is_v6 ? made.v6 : made.v4).push_back(ip);
      }
    }
    made.intel = NetworkIntel::load({path.string()}).value();
    std::filesystem::remove(path);
    std::shuffle(made.v4.begin(), made.v4.end(), random);
    std::shuffle(made.v6.begin(), made.v6.end(), random);
    return made;
  }();
  return setup;
}

void network_intel(benchmark::State& state) {
  const IntelSetup& setup = intel_setup();
  const std::vector<IpData>& addresses = state.range(0) == 4 ? setup.v4 : setup.v6;
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(setup.intel->find(addresses[i]));
    if (++i == addresses.size()) i = 0;
  }
}
BENCHMARK(network_intel)->ArgName("version")->Arg(4)->Arg(6);

}  // namespace
}  // namespace tamis::event
