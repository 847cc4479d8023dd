// replay_measure POLICY ARCHIVE RULE EXPRESSION [DATA FEATURES]: what `./dev bench backtest` runs. Asks an archive what
// one rule and the whole policy would have done, and searches it; with DATA also what a rule over new features (YAML in
// the file FEATURES, the rule's id is `fresh`) would have done, by a replay. Prints one JSON object.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "archive/archive.h"
#include "base/file.h"
#include "event/json_writer.h"
#include "replay/backtest.h"
#include "replay/find.h"
#include "replay/records.h"

namespace tamis::replay {
namespace {

constexpr int kRounds = 20;
constexpr int kFewRounds = 5;
constexpr uint32_t kScalarRows = 100'000;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu_s() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

[[noreturn]] void stop(const std::string& why) {
  std::cerr << "replay_measure: " << why << '\n';
  std::exit(1);
}

template <class T>
T take(base::Result<T> result) {
  if (!result) stop(result.error().message);
  return std::move(*result);
}

// Lets the system forget the files, so that the next reading comes from the disk.
void forget_files(const std::string& folder) {
  for (const base::FoundFile& file : take(base::list_files(folder))) {
    int fd = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    (void)::fdatasync(fd);
    (void)::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

class Measure {
 public:
  Measure(const std::string& policy, std::string folder)
      : loaded_(policy::load_folder(policy)), folder_(std::move(folder)), json_(out_) {
    if (loaded_.policy == nullptr) stop("the policy has errors");
    archive::ArchiveOptions options;
    options.read_only = true;
    archive_ = take(archive::Archive::open(folder_, options));
    source_.archive = archive_.get();
    json_.begin_object().key("rows").uinteger(archive_->stats().rows);
  }

  void rule(const std::string& id) {
    forget_files(folder_);
    for (const char* name : {"rule_cold_s", "rule_again_s"}) {
      BacktestRequest request;
      request.policy = loaded_.policy;
      request.rule = id;
      BacktestResult result = take(backtest(request, source_, {}));
      if (!result.columnar) stop("not columnar: " + result.replayed_because);
      json_.key(name).real(result.seconds);
      matched_ = result.matched;
    }
    json_.key("rule_matched").uinteger(matched_);
  }

  void whole() {
    BacktestRequest request;
    request.policy = loaded_.policy;
    double cpu = cpu_s();
    BacktestResult result = take(backtest(request, source_, {}));
    cpu = cpu_s() - cpu;
    double rules = 0, asked = static_cast<double>(result.events);
    for (const policy::EventType& type : loaded_.policy->types) rules += static_cast<double>(type.rules.size());
    json_.key("policy_s").real(result.seconds).key("rules").real(rules);
    json_.key("columnar_per_core").real(asked * rules / result.evaluation_seconds);
    json_.key("columnar_per_core_with_reading").real(asked * rules / cpu);
    if (result.gained + result.lost != 0) stop("the unchanged policy gives other verdicts than those stored");
  }

  // The same rules by the evaluator of single events, over the rows of one scan.
  void scalar() {
    const policy::EventType& type = loaded_.policy->types.at(0);
    archive::ScanRequest request;
    request.type = &type;
    request.policy = loaded_.policy.get();
    request.decisions = false;
    for (const policy::Rule& rule : type.rules) {
      for (int32_t slot : type.plan.slots_read(rule.when)) request.slots.push_back(slot);
    }
    std::sort(request.slots.begin(), request.slots.end());
    request.slots.erase(std::unique(request.slots.begin(), request.slots.end()), request.slots.end());
    auto scan = take(archive_->scan(request));
    cel::Frame frame(type.plan);
    base::Arena arena;
    std::vector<event::Value> slots(static_cast<size_t>(type.slot_count));
    double seconds = 0;
    uint64_t rows = 0, matched = 0;
    while (rows < kScalarRows) {
      const archive::Batch* batch = take(scan->next());
      if (batch->rows == 0) break;
      double from = now_s();
      for (uint32_t i = 0; i < batch->rows; ++i) {
        for (int32_t slot : request.slots) {
          slots[static_cast<size_t>(slot)] = batch->columns[static_cast<size_t>(slot)].at(i);
        }
        arena.reset();
        frame.begin(slots.data(), arena, nullptr);
        for (const policy::Rule& rule : type.rules) {
          matched += type.plan.test(rule.when, frame) == cel::Plan::Truth::kTrue ? 1 : 0;
        }
      }
      seconds += now_s() - from;
      rows += batch->rows;
    }
    json_.key("scalar_per_core").real(static_cast<double>(rows * type.rules.size()) / seconds);
    json_.key("scalar_matched").uinteger(matched);
  }

  void search(const std::string& expression) {
    Search compiled = compile_search(loaded_.files, expression, {});
    if (compiled.policy == nullptr) stop("the expression does not compile");
    FindRequest request;
    request.search = &compiled;
    for (const event::Field& field : loaded_.policy->types.at(0).schema.fields) {
      if (field.name == "country" || field.name == "asn") request.facets.push_back(field.name);
    }
    std::vector<double> times;
    FindResult result;
    double cpu = cpu_s();
    for (int i = 0; i < kRounds; ++i) {
      result = take(find(request, source_, {}));
      times.push_back(result.seconds);
    }
    json_.key("find_cpu_ms").real((cpu_s() - cpu) / kRounds * 1e3);
    // Without the rows to show, and by looking at each event.
    for (const char* name : {"find_without_rows_cpu_ms", "find_by_scan_cpu_ms"}) {
      request.always_scan = request.rows == 0;
      request.rows = 0;
      cpu = cpu_s();
      for (int i = 0; i < kFewRounds; ++i) (void)take(find(request, source_, {}));
      json_.key(name).real((cpu_s() - cpu) / kFewRounds * 1e3);
    }
    std::sort(times.begin(), times.end());
    json_.key("find_count").uinteger(result.count).key("find_p50_ms").real(times[kRounds / 2] * 1e3);
    json_.key("find_p95_ms").real(times[kRounds * 95 / 100] * 1e3);
  }

  static void replayed(event::JsonWriter& json, std::vector<policy::SourceFile> files, const std::string& data,
                       const std::string& features) {
    files.push_back({"fresh.yaml", take(base::read_file(features, 1 << 20))});
    policy::Loaded loaded = policy::load_files(files);
    if (loaded.policy == nullptr) stop("the policy with the new features has errors");
    archive::ArchiveOptions options;
    options.read_only = true;
    auto archive = take(archive::Archive::open(data + "/archive", options));
    MatchSource source;
    source.archive = archive.get();
    source.what_if = journal_what_if(data, nullptr);
    BacktestRequest request;
    request.policy = loaded.policy;
    request.rule = "fresh";
    double cpu = cpu_s();
    BacktestResult result = take(backtest(request, source, {}));
    cpu = cpu_s() - cpu;
    if (result.columnar) stop("the new feature was not replayed");
    json.key("replayed_events").uinteger(result.events).key("replayed_matched").uinteger(result.matched);
    json.key("replayed_per_s").real(static_cast<double>(result.events) / result.seconds);
    json.key("replayed_per_core").real(static_cast<double>(result.events) / cpu);
  }

  void replay(const std::string& data, const std::string& features) { replayed(json_, loaded_.files, data, features); }

  void print() {
    json_.end_object();
    std::cout << out_ << '\n';
  }

 private:
  policy::Loaded loaded_;
  std::string folder_;
  std::unique_ptr<archive::Archive> archive_;
  MatchSource source_;
  std::string out_;
  event::JsonWriter json_;
  uint64_t matched_ = 0;
};

}  // namespace
}  // namespace tamis::replay

int main(int argc, char** argv) {
  if (argc != 5 && argc != 7) {
    std::cerr << "usage: replay_measure POLICY ARCHIVE RULE EXPRESSION [DATA FEATURES]\n";
    return 2;
  }
  tamis::replay::Measure measure(argv[1], argv[2]);
  measure.rule(argv[3]);
  measure.whole();
  measure.scalar();
  measure.search(argv[4]);
  if (argc == 7) measure.replay(argv[5], argv[6]);
  measure.print();
}
