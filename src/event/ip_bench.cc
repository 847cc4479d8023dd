#include "event/ip.h"

#include <benchmark/benchmark.h>

namespace tamis::event {
namespace {

void BM_ParseIp(benchmark::State& state, const char* text) {
  std::string_view view(text);
  for (auto _ : state) {
    IpData ip;
    benchmark::DoNotOptimize(view);
    benchmark::DoNotOptimize(parse_ip(view, ip));
    benchmark::DoNotOptimize(ip);
  }
}
BENCHMARK_CAPTURE(BM_ParseIp, v4, "203.0.113.77");
BENCHMARK_CAPTURE(BM_ParseIp, v4_long, "198.151.100.253");
BENCHMARK_CAPTURE(BM_ParseIp, v6, "2001:db8:85a3::8a2e:370:7334");
BENCHMARK_CAPTURE(BM_ParseIp, not_an_address, "mail.example.com");

}  // namespace
}  // namespace tamis::event
