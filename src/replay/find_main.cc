// replay_find POLICY ARCHIVE [ROUNDS]: what `./dev bench search` runs. Asks an archive of the rules benchmark's events
// what an analyst would ask, each question with other values in each round, and prints one JSON object: how long each
// kind of search took, with its compilation, and all of them together.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>
#include <thread>

#include "archive/archive.h"
#include "event/json_writer.h"
#include "replay/find.h"

namespace tamis::replay {
namespace {

constexpr int64_t kDayMs = 86'400'000;
constexpr uint32_t kSeed = 20'261'122;
constexpr uint32_t kUsers = 20'000;
constexpr int kQuietLooks = 5, kQuietLooksMax = 600;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu_s() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

[[noreturn]] void stop(const std::string& why) {
  std::cerr << "replay_find: " << why << '\n';
  std::exit(1);
}

template <class T>
T take(base::Result<T> result) {
  if (!result) stop(result.error().message);
  return std::move(*result);
}

using Random = std::mt19937;

std::string one_of(Random& random, std::initializer_list<const char*> texts) {
  return texts.begin()[random() % texts.size()];
}
std::string country(Random& random) { return one_of(random, {"BR", "US", "GB", "JP", "DE", "FR", "IN", "CN"}); }
double share(Random& random, double from, double to) {
  return from + (to - from) * static_cast<double>(random() % 1'000) / 1'000;
}

struct Kind {
  const char* name;
  std::function<std::string(Random&)> expression;
  int days = 0;  // before the newest event; 0: all
  uint32_t rows = 20;
  bool facets = true;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> kKinds = {
      {"one account", [](Random& r) { return fmt::format("user_id == 'u{:06}'", r() % kUsers); }},
      {"one account, last 30 days", [](Random& r) { return fmt::format("user_id == 'u{:06}'", r() % kUsers); }, 30},
      {"one address",
       [](Random& r) { return fmt::format("ip == '{}.{}.{}.{}'", r() % 224, r() % 256, r() % 256, r() % 256); }},
      {"one domain", [](Random& r) { return fmt::format("email_domain == 'host{}.example'", r() % 200); }},
      {"country and score",
       [](Random& r) { return fmt::format("country == '{}' && spam_score > {:.3f}", country(r), share(r, .7, .95)); }},
      {"country and score, last day",
       [](Random& r) { return fmt::format("country == '{}' && spam_score > {:.3f}", country(r), share(r, .7, .95)); },
       1},
      {"country and score, last 30 days",
       [](Random& r) { return fmt::format("country == '{}' && spam_score > {:.3f}", country(r), share(r, .7, .95)); },
       30},
      {"feature",
       [](Random& r) { return fmt::format("n_asn_1h > {} && failed_logins_1h > {}", r() % 4, 20 + r() % 20); }},
      {"text in subject",
       [](Random& r) {
         return fmt::format("subject.contains('{}')", one_of(r, {"coupon", "travel", "budget", "draft"}));
       }},
      {"broad", [](Random& r) { return fmt::format("status >= {}", 200 + 100 * (r() % 4)); }},
      {"broad, counts only", [](Random& r) { return fmt::format("amount > {:.2f}", share(r, 10, 900)); }, 0, 0, false},
      {"not for SQL", [](Random& r) { return fmt::format("size(subject) > {} && spam_score > 0.9", 30 + r() % 9); }},
      {"not for SQL, last day",
       [](Random& r) { return fmt::format("size(subject) > {} && spam_score > 0.9", 30 + r() % 9); }, 1},
  };
  return kKinds;
}

struct Took {
  double first_ms = 0;
  std::vector<double> ms, cpu_ms;
  uint64_t count = 0;
  bool columnar = true;
};

double at(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))];
}

class Searches {
 public:
  Searches(const std::string& policy, const std::string& folder) : loaded_(policy::load_folder(policy)) {
    if (loaded_.policy == nullptr) stop("the policy has errors");
    archive::ArchiveOptions options;
    options.read_only = true;
    archive_ = take(archive::Archive::open(folder, options));
    source_.archive = archive_.get();
  }

  void run(int rounds, const std::string& only) {
    Random random(kSeed);
    took_.resize(kinds().size());
    std::vector<size_t> order;
    for (int round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < kinds().size(); ++i) {
        if (only.empty() || only == kinds()[i].name) order.push_back(i);
      }
    }
    if (order.empty()) stop("no such search");
    // First each kind once, as after a start; then what it made the archive read ahead is waited for.
    for (size_t i : std::vector<size_t>(
             order.begin(), order.begin() + static_cast<std::ptrdiff_t>(order.size() / static_cast<size_t>(rounds)))) {
      ask(kinds()[i], random, took_[i]);
      took_[i].first_ms = took_[i].ms.back();
      took_[i].ms.clear(), took_[i].cpu_ms.clear();
      took_[i].count = 0;
      wait_for_quiet();
    }
    all_.clear();
    std::shuffle(order.begin(), order.end(), random);
    for (size_t i : order) ask(kinds()[i], random, took_[i]);
  }

  void print() const {
    std::string out;
    event::JsonWriter json(out);
    archive::ArchiveStats stats = archive_->stats();
    json.begin_object().key("rows").uinteger(stats.rows).key("files").uinteger(stats.files);
    json.key("searches").uinteger(all_.size());
    json.key("p50_ms").real(at(all_, .5)).key("p95_ms").real(at(all_, .95)).key("longest_ms").real(at(all_, 1));
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    json.key("peak_mb").real(static_cast<double>(usage.ru_maxrss) / 1024);
    json.key("kinds").begin_array();
    for (size_t i = 0; i < took_.size(); ++i) {
      const Took& took = took_[i];
      if (took.ms.empty()) continue;
      json.begin_object().key("name").string(kinds()[i].name).key("p50_ms").real(at(took.ms, .5));
      json.key("p95_ms").real(at(took.ms, .95)).key("cpu_p50_ms").real(at(took.cpu_ms, .5));
      json.key("cpu_p95_ms").real(at(took.cpu_ms, .95)).key("first_ms").real(took.first_ms);
      json.key("found").uinteger(took.count / took.ms.size()).end_object();
    }
    json.end_array().end_object();
    std::cout << out << '\n';
  }

 private:
  // Until nothing is done beside the searches any more.
  static void wait_for_quiet() {
    // Reading ahead has the lowest priority, so on a busy machine it may rest for a while without being done.
    for (int i = 0, quiet = 0; i < kQuietLooksMax && quiet < kQuietLooks; ++i) {
      double before = cpu_s();
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      quiet = cpu_s() - before < .004 ? quiet + 1 : 0;
    }
  }

  void ask(const Kind& kind, Random& random, Took& took) {
    const std::string expression = kind.expression(random);
    double start = now_s(), cpu = cpu_s();
    Search search = compile_search(loaded_.files, expression, {});
    if (search.policy == nullptr) stop("does not compile: " + expression + ": " + search.diagnostics.at(0).message);
    FindRequest request;
    request.search = &search;
    request.rows = kind.rows;
    if (kind.facets) request.facets = {"country", "asn"};
    if (kind.days > 0) request.from_ms = archive_->stats().newest_ms - kind.days * kDayMs;
    FindResult result = take(find(request, source_, {}));
    if (!result.columnar) stop("not by columns: " + expression);
    if (kind.rows != 0 && result.newest.size() != std::min<uint64_t>(kind.rows, result.count)) stop("rows are missing");
    took.ms.push_back((now_s() - start) * 1e3);
    took.cpu_ms.push_back((cpu_s() - cpu) * 1e3);
    took.count += result.count;
    all_.push_back(took.ms.back());
  }

  policy::Loaded loaded_;
  std::unique_ptr<archive::Archive> archive_;
  MatchSource source_;
  std::vector<Took> took_;
  std::vector<double> all_;
};

}  // namespace
}  // namespace tamis::replay

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::cerr << "usage: replay_find POLICY ARCHIVE [ROUNDS [SEARCH]]\n";
    return 2;
  }
  tamis::replay::Searches searches(argv[1], argv[2]);
  searches.run(argc > 3 ? std::max(1, std::atoi(argv[3])) : 10, argc > 4 ? argv[4] : "");
  searches.print();
}
