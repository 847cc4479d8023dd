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

struct Event {
  std::string_view event_id, event_type, user_id, ip, country, email, email_domain, user_agent, device_id, subject,
      path, method;
  int64_t ts, asn, account_age_s, body_len, url_count, recipients, status, failed_logins_1h, signups_subnet_1h,
      sends_10m, distinct_ips_24h;
  double new_recipient_ratio, spam_score, amount;
  bool is_paid;
  std::array<std::string_view, 16> labels;
  size_t label_count;
};

static bool has(const Event& e, std::string_view label) {
  return std::find(e.labels.begin(), e.labels.begin() + static_cast<ptrdiff_t>(e.label_count), label) !=
         e.labels.begin() + static_cast<ptrdiff_t>(e.label_count);
}
static bool matches(std::string_view text, const re2::RE2& regex) {
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), regex);
}
static std::vector<uint64_t> hits;
#include "rules.inc"

static double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

static void read(simdjson::dom::parser& parser, const std::string& line, Event& e) {
  simdjson::dom::object object;
  if (parser.parse(line.data(), line.size(), false).get(object)) std::abort();
  for (auto [key, value] : object) {
#define TEXT(name)                              \
  if (key == #name##sv) {                       \
    e.name = value.get_string().value_unsafe(); \
    continue;                                   \
  }
#define WHOLE(name)                            \
  if (key == #name##sv) {                      \
    e.name = value.get_int64().value_unsafe(); \
    continue;                                  \
  }
#define REAL(name)                              \
  if (key == #name##sv) {                       \
    e.name = value.get_double().value_unsafe(); \
    continue;                                   \
  }
    TEXT(event_id)
    TEXT(event_type)
    WHOLE(ts) TEXT(user_id) TEXT(ip) WHOLE(asn) TEXT(country) WHOLE(account_age_s) if (key == "is_paid"sv) {
      e.is_paid = value.get_bool().value_unsafe();
      continue;
    }
    TEXT(email)
    TEXT(email_domain)
    TEXT(user_agent) TEXT(device_id) TEXT(subject) WHOLE(body_len) WHOLE(url_count) WHOLE(recipients)
        REAL(new_recipient_ratio) REAL(spam_score) TEXT(path) TEXT(method) WHOLE(status) REAL(amount)
            WHOLE(failed_logins_1h) WHOLE(signups_subnet_1h) WHOLE(sends_10m) WHOLE(distinct_ips_24h) e.label_count = 0;
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
