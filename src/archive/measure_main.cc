// archive_measure [--days N] [--flush ROWS] [--fill] POLICY EVENTS ROWS FOLDER [FIELD...]: what `./dev bench archive`
// and `./dev bench search` run. Decides the events of a file again and again until there are ROWS, archives them, then
// asks; prints one JSON object. --days: the rows are spread over so many days; --flush: written into files after so
// many rows; --fill: nothing is asked.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "archive/archive.h"
#include "archive/layout.h"
#include "event/json_writer.h"

namespace tamis::archive {
namespace {

constexpr int kRounds = 20;
constexpr int64_t kDayMs = 86'400'000;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu_s() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

[[noreturn]] void stop(const std::string& why) {
  std::cerr << "archive_measure: " << why << '\n';
  std::exit(1);
}

struct Options {
  int64_t days = 0;  // 0: as close together as the events are
  uint64_t flush_rows = 200'000;
  bool only_fill = false;
};

struct Figures {
  double add_s = 0, flush_s = 0, flush_cpu_s = 0, bytes_an_event = 0;
};

// What the kernel says of the largest resident size so far.
double peak_mb() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// Events of later rounds are those of the first with a later time.
Figures fill(Archive& archive, const policy::Loaded& loaded, const std::vector<std::string>& lines, uint64_t rows,
             const Options& options) {
  engine::Engine engine;
  engine.activate(loaded.policy);
  engine::PreparedEvent event;
  Figures figures;
  int64_t span_ms = 0, first_ms = 0, last_ms = 0;
  for (uint64_t n = 1; n <= rows; ++n) {
    const size_t at = (n - 1) % lines.size();
    if (base::Status ready = event.prepare(loaded.policy, "", lines[at], nullptr); !ready) stop(ready.error().message);
    if (n == 1) first_ms = event.event().time_ms;
    if (n == lines.size()) span_ms = event.event().time_ms - first_ms + 37;
    event.event().time_ms += static_cast<int64_t>((n - 1) / lines.size()) * span_ms;
    if (options.days > 0)
      event.event().time_ms = first_ms + static_cast<int64_t>(n) * options.days * kDayMs / static_cast<int64_t>(rows);
    last_ms = event.event().time_ms;
    const engine::Decision& decision = engine.decide(event, engine::Engine::kNoReceiveTime);
    const double from = now_s();
    base::Status added = archive.add(event, &decision, n, last_ms);
    figures.add_s += now_s() - from;
    if (!added) stop(added.error().message);
    if (n % options.flush_rows != 0 && n != rows) continue;
    const double start = now_s(), cpu = cpu_s();
    if (base::Status flushed = archive.flush(n); !flushed) stop(flushed.error().message);
    figures.flush_s += now_s() - start;
    figures.flush_cpu_s += cpu_s() - cpu;
    if (n <= lines.size() || figures.bytes_an_event == 0)
      figures.bytes_an_event = static_cast<double>(archive.stats().bytes) / static_cast<double>(archive.stats().rows);
  }
  return figures;
}

double scan_s(const Archive& archive, const policy::Policy& policy, const std::vector<std::string>& names,
              uint64_t& rows) {
  ScanRequest request;
  request.policy = &policy;
  request.type = &policy.types[0];
  const TypeLayout layout = layout_of(policy, *request.type);
  for (size_t i = 0; i < layout.slots.size(); ++i) {
    const std::string& name = layout.layout.columns[kSystemColumns + i].name;
    if (std::find(names.begin(), names.end(), name) != names.end()) request.slots.push_back(layout.slots[i]);
  }
  if (request.slots.size() != names.size()) stop("the policy has not all fields that the scan reads");
  const double from = now_s();
  auto scan = archive.scan(request);
  if (!scan) stop(scan.error().message);
  uint64_t sum = 0;
  for (rows = 0;;) {
    auto batch = (*scan)->next();
    if (!batch) stop(batch.error().message);
    if ((*batch)->rows == 0) break;
    for (uint32_t i = 0; i < (*batch)->rows; ++i) sum += (*batch)->rules[i].size() + (*batch)->verdict[i].size();
    rows += (*batch)->rows;
  }
  if (sum == 0) stop("no event has a verdict");
  return now_s() - from;
}

void write_query(const Archive& archive, const std::string& name, const std::string& sql, event::JsonWriter& json) {
  std::vector<double> took;
  for (int i = 0; i < kRounds; ++i) {
    const double from = now_s();
    auto table = archive.query(sql, {}, {});
    if (!table) stop(name + ": " + table.error().message);
    if (table->rows.empty()) stop(name + ": no rows");
    took.push_back((now_s() - from) * 1e3);
  }
  const double first = took[0];
  std::sort(took.begin(), took.end());
  json.key(name).begin_object().key("first_ms").real(first).key("p50_ms").real(took[kRounds / 2]);
  json.key("p95_ms").real(took[kRounds * 95 / 100]).end_object();
}

const std::pair<const char*, const char*> kQueries[] = {
    {"facet verdict", "SELECT verdict, count(*) FROM event GROUP BY ALL ORDER BY 2 DESC"},
    {"facet country", "SELECT country, count(*) FROM event GROUP BY ALL ORDER BY 2 DESC LIMIT 20"},
    {"facet two filters",
     "SELECT method, count(*) FROM event WHERE verdict <> 'accept' AND country = 'US' GROUP BY ALL"},
    {"histogram by minute", "SELECT date_trunc('minute', time) AS t, count(*) FROM event GROUP BY t ORDER BY t"},
    {"histogram of rejected",
     "SELECT time_bucket(INTERVAL 1 HOUR, time) AS t, verdict, count(*) FROM event GROUP BY ALL ORDER BY ALL"},
    {"top domains", "SELECT email_domain, count(*) AS c FROM event GROUP BY ALL ORDER BY c DESC LIMIT 10"},
    {"top accounts",
     "SELECT user_id, count(*) AS c FROM event WHERE verdict <> 'accept' GROUP BY ALL ORDER BY c DESC LIMIT 10"},
    {"top rules",
     "SELECT rule, count(*) AS c FROM (SELECT unnest(rules) AS rule FROM events) GROUP BY rule ORDER BY c DESC LIMIT "
     "10"},
    {"events of a rule", "SELECT count(*) FROM events WHERE list_contains(rules, 'r00007')"},
    {"newest of an account",
     "SELECT n, time, verdict, rules FROM event WHERE user_id = 'u000042' ORDER BY n DESC LIMIT 50"},
};

int measure(const std::string& policy_folder, const std::string& events, uint64_t rows, const std::string& folder,
            const std::vector<std::string>& names, const Options& options) {
  const policy::Loaded loaded = policy::load_folder(policy_folder);
  if (!loaded.policy) stop("the policy has errors");
  std::vector<std::string> lines;
  std::ifstream input(events);
  for (std::string line; std::getline(input, line);) lines.push_back(line);
  if (lines.empty()) stop("no events in " + events);
  std::string out;
  event::JsonWriter json(out);
  json.begin_object();
  if (!std::filesystem::exists(folder + "/manifest.json")) {
    auto archive = Archive::open(folder);
    if (!archive) stop(archive.error().message);
    const Figures figures = fill(**archive, loaded, lines, rows, options);
    json.key("add_us").real(figures.add_s * 1e6 / static_cast<double>(rows));
    json.key("flush_rows_per_s").real(static_cast<double>(rows) / figures.flush_s);
    json.key("flush_rows_per_cpu_s").real(static_cast<double>(rows) / figures.flush_cpu_s);
    json.key("bytes_an_event").real(figures.bytes_an_event).key("peak_mb").real(peak_mb());
  }
  auto archive = Archive::open(folder);
  if (!archive) stop(archive.error().message);
  const ArchiveStats stats = (*archive)->stats();
  json.key("rows").uinteger(stats.rows).key("files").uinteger(stats.files);
  json.key("bytes_an_event_at_last").real(static_cast<double>(stats.bytes) / static_cast<double>(stats.rows));
  json.key("failure").string(stats.failure);
  if (options.only_fill) {
    json.end_object();
    std::cout << out << '\n';
    return 0;
  }
  uint64_t scanned = 0;
  const double cpu = cpu_s();
  json.key("scan_first_s")
      .real(scan_s(**archive, *loaded.policy, names, scanned))
      .key("scan_cpu_s")
      .real(cpu_s() - cpu);
  json.key("scan_again_s").real(scan_s(**archive, *loaded.policy, names, scanned)).key("scanned").uinteger(scanned);
  json.key("queries").begin_object();
  for (const auto& [name, sql] : kQueries) write_query(**archive, name, sql, json);
  json.end_object().end_object();
  std::cout << out << '\n';
  return 0;
}

}  // namespace
}  // namespace tamis::archive

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  tamis::archive::Options options;
  auto take = [&](const char* name) {
    if (words.size() < 2 || words[0] != name) return uint64_t{0};
    const uint64_t value = std::strtoull(words[1].c_str(), nullptr, 10);
    words.erase(words.begin(), words.begin() + 2);
    return value;
  };
  options.days = static_cast<int64_t>(take("--days"));
  if (const uint64_t rows = take("--flush"); rows != 0) options.flush_rows = rows;
  if (!words.empty() && words[0] == "--fill") {
    options.only_fill = true;
    words.erase(words.begin());
  }
  if (words.size() < 4) {
    std::cerr << "archive_measure [--days N] [--flush ROWS] [--fill] POLICY EVENTS ROWS FOLDER [FIELD...]\n";
    return 2;
  }
  std::vector<std::string> names(words.begin() + 4, words.end());
  if (names.empty()) names = {"country", "amount", "email_domain", "failed_logins_1h"};
  return tamis::archive::measure(words[0], words[1], std::strtoull(words[2].c_str(), nullptr, 10), words[3], names,
                                 options);
}
