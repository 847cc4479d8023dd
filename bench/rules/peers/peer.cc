// The rules compiled into the binary, with simdjson and RE2: about what a hand-written C++ service can reach. rules.inc
// is written by rule_set.py. Output as peer.mjs. Usage: peer EVENTS SECONDS
#include <re2/re2.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

using namespace std::literals;

struct Event;
static bool has(const Event& e, std::string_view label);
static bool matches(std::string_view text, const re2::RE2& regex) {
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), regex);
}
static std::vector<uint64_t> hits;
// struct Event, bool read_field(Event&, key, value), rules(const Event&) and kRules, written by rule_set.py.
#include "rules.inc"

static bool has(const Event& e, std::string_view label) {
  auto end = e.labels.begin() + static_cast<ptrdiff_t>(e.label_count);
  return std::find(e.labels.begin(), end, label) != end;
}

static double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

static void read(simdjson::dom::parser& parser, const std::string& line, Event& e) {
  simdjson::dom::object object;
  if (parser.parse(line.data(), line.size(), false).get(object)) std::abort();
  for (auto [key, value] : object) {
    if (read_field(e, key, value)) continue;
    e.label_count = 0;
    const simdjson::dom::array labels = value.get_array().value_unsafe();
    for (simdjson::dom::element label : labels) {
      if (e.label_count < e.labels.size()) e.labels[e.label_count++] = label.get_string().value_unsafe();
    }
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream in(argv[1]);
  double seconds = std::atof(argv[2]);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
    lines.back().reserve(line.size() + simdjson::SIMDJSON_PADDING);
  }
  hits.resize(kRules);
  simdjson::dom::parser parser;
  Event e{};
  auto decide = [&](const std::string& line) {
    read(parser, line, e);
    rules(e);
  };
  for (size_t i = 0; i < std::min<size_t>(2000, lines.size()); i++) decide(lines[i]);
  std::fill(hits.begin(), hits.end(), 0);
  size_t events = 0;
  double start = cpu_seconds();
  while (events < lines.size()) {
    decide(lines[events]);
    if (++events % 256 == 0 && cpu_seconds() - start > seconds) break;
  }
  double spent = cpu_seconds() - start;
  std::vector<uint64_t> counted = hits;
  std::vector<double> latencies;
  double stop = cpu_seconds() + seconds / 2;
  for (size_t i = 0; i < events && (latencies.empty() || cpu_seconds() < stop); i++) {
    double before = cpu_seconds();
    decide(lines[i]);
    latencies.push_back((cpu_seconds() - before) * 1e6);
  }
  std::sort(latencies.begin(), latencies.end());
  std::printf(
      "{\"engine\":\"cpp\",\"events\":%zu,\"ev_per_cpu_s\":%.0f,\"cpu_p50_us\":%.2f,\"cpu_p99_us\":%.2f,\"hits\":[",
      events, static_cast<double>(events) / spent, latencies[latencies.size() / 2],
      latencies[latencies.size() * 99 / 100]);
  for (size_t i = 0; i < counted.size(); i++)
    std::printf("%s%lu", i ? "," : "", static_cast<unsigned long>(counted[i]));
  std::printf("]}\n");
}
