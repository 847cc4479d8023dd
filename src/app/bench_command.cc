#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>

#include "app/command.h"
#include "engine/engine.h"
#include "event/json_writer.h"
#include "event/ndjson.h"
#include "policy/policy.h"

namespace tamis::app {
namespace {

using engine::Engine;

struct Options {
  std::string policy;
  std::vector<std::string> events;
  int rounds = 3;
  bool json = false, no_index = false;
};

// CPU time of this thread, in nanoseconds.
int64_t cpu_ns() {
  timespec t = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

struct Figures {
  size_t events = 0, refused = 0;
  double prepare_per_s = 0, decide_per_s = 0, write_per_s = 0;  // JSON in; and hits out; and decisions as JSON out
  double p50_us = 0, p99_us = 0, p999_us = 0, max_us = 0;       // of one decision, hits out
  std::vector<std::pair<std::string, uint64_t>> hits;           // per rule, of the last round
};

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {}

  base::Result<Figures> run() {
    policy::Loaded loaded = policy::load_folder(options_.policy);
    print_diagnostics(loaded, options_.policy);
    if (loaded.policy == nullptr) return base::invalid("the policy has errors");
    policy_ = loaded.policy;
    TAMIS_CHECK(read());
    Figures figures;
    figures.events = lines_.size();
    for (int round = 0; round < options_.rounds; ++round) {
      figures.prepare_per_s = std::max(figures.prepare_per_s, rate([&](std::string_view line) { prepare(line); }));
      figures.decide_per_s = std::max(figures.decide_per_s, decide_round(figures));
      figures.write_per_s = std::max(figures.write_per_s, write_round());
    }
    latencies(figures);
    return figures;
  }

 private:
  base::Status read() {
    for (const std::string& path : options_.events) {
      TAMIS_TRY(file, event::NdjsonFile::open(path, kLineBytesMax));
      std::string_view line;
      while (true) {
        TAMIS_TRY(more, file.next(line));
        if (!more) break;
        lines_.emplace_back(line);
      }
    }
    if (lines_.empty()) return base::invalid("there are no events");
    return {};
  }

  template <class Step>
  double rate(Step&& step) {
    int64_t start = cpu_ns();
    for (const std::string& line : lines_) step(line);
    return static_cast<double>(lines_.size()) * 1e9 / static_cast<double>(cpu_ns() - start);
  }

  bool prepare(std::string_view line) { return prepared_.prepare(policy_, {}, line, nullptr).has_value(); }

  std::unique_ptr<Engine> fresh() const {
    engine::EngineOptions options;
    options.use_index = !options_.no_index;
    auto engine = std::make_unique<Engine>(options);
    engine->activate(policy_);
    return engine;
  }

  double decide_round(Figures& figures) {
    auto engine = fresh();
    size_t refused = 0;
    double per_s = rate([&](std::string_view line) {
      if (!prepare(line)) {
        ++refused;
        return;
      }
      hits_out_ += engine->decide(prepared_, Engine::kNoReceiveTime).matches.size();
    });
    figures.refused = refused;
    figures.hits.clear();
    for (size_t t = 0; t < policy_->types.size(); ++t) {
      for (size_t r = 0; r < policy_->types[t].rules.size(); ++r) {
        const engine::RuleStats& stats = engine->rule_stats()[t][r];
        figures.hits.emplace_back(policy_->types[t].rules[r].id, stats.matched + stats.shadow);
      }
    }
    return per_s;
  }

  double write_round() {
    auto engine = fresh();
    std::string out;
    return rate([&](std::string_view line) {
      out.clear();
      if (prepare(line)) engine::write_json(engine->decide(prepared_, Engine::kNoReceiveTime), out);
    });
  }

  void latencies(Figures& figures) {
    auto engine = fresh();
    std::vector<double> us;
    us.reserve(lines_.size());
    for (const std::string& line : lines_) {
      int64_t start = cpu_ns();
      if (prepare(line)) hits_out_ += engine->decide(prepared_, Engine::kNoReceiveTime).matches.size();
      us.push_back(static_cast<double>(cpu_ns() - start) / 1000);
    }
    std::sort(us.begin(), us.end());
    figures.p50_us = us[us.size() / 2];
    figures.p99_us = us[us.size() * 99 / 100];
    figures.p999_us = us[us.size() * 999 / 1000];
    figures.max_us = us.back();
  }

  const Options& options_;
  std::shared_ptr<const policy::Policy> policy_;
  std::vector<std::string> lines_;
  engine::PreparedEvent prepared_;
  size_t hits_out_ = 0;
};

void print(const Figures& f, bool as_json) {
  if (!as_json) {
    std::printf("%zu events, %zu refused; events per CPU second of one thread, best round:\n", f.events, f.refused);
    std::printf("  JSON in                      %12.0f\n", f.prepare_per_s);
    std::printf("  JSON in, hits out            %12.0f\n", f.decide_per_s);
    std::printf("  JSON in, decision JSON out   %12.0f\n", f.write_per_s);
    std::printf("  CPU of one decision, us: p50 %.2f, p99 %.2f, p99.9 %.2f, max %.2f\n", f.p50_us, f.p99_us, f.p999_us,
                f.max_us);
    return;
  }
  std::string out;
  event::JsonWriter json(out);
  json.begin_object().key("engine").string("tamis").key("events").uinteger(f.events).key("refused").uinteger(f.refused);
  json.key("ev_per_cpu_s").real(f.decide_per_s).key("parse_only_per_cpu_s").real(f.prepare_per_s);
  json.key("write_per_cpu_s").real(f.write_per_s);
  json.key("cpu_p50_us").real(f.p50_us).key("cpu_p99_us").real(f.p99_us).key("cpu_max_us").real(f.max_us);
  json.key("ids").begin_array();
  for (const auto& [id, count] : f.hits) json.string(id);
  json.end_array().key("hits").begin_array();
  for (const auto& [id, count] : f.hits) json.uinteger(count);
  json.end_array().end_object();
  std::printf("%s\n", out.c_str());
}

}  // namespace

Command add_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--policy", options->policy, "Folder of the policy")->required();
  app.add_option("--rounds", options->rounds, "Rounds; the best counts")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_flag("--no-index", options->no_index, "Evaluate every rule, to see what the rule index is worth");
  app.add_flag("--json", options->json, "As JSON, with the hits of each rule");
  app.add_option("EVENTS", options->events, "Files of events, one JSON object a line; they are held in memory")
      ->required();
  return [options] {
    base::Result<Figures> figures = Bench(*options).run();
    if (!figures) return complain(figures.error().message);
    print(*figures, options->json);
    return kGood;
  };
}

}  // namespace tamis::app
