#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <thread>

#include "app/command.h"
#include "app/demo_events.h"
#include "app/server_options.h"
#include "event/json_event.h"

namespace tamis::app {
namespace {

using event::Kind;
using event::Value;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Options {
  ServerOptions server;
  std::string out;
  double rate = 50;
  uint64_t count = 0, seed = 1;
  int64_t start_ms = 0;
  bool quiet = false;
};

int64_t wall_clock_ms() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Events into a file: dated evenly from the start time on, so that a replay of the file is always the same.
base::Status write_file(const Options& options) {
  std::ofstream file(options.out, std::ios::binary | std::ios::trunc);
  auto failed = [&] {
    return base::fail(base::Code::kUnavailable, "cannot write " + options.out + ": " + std::strerror(errno));
  };
  if (!file) return failed();
  DemoEvents events(options.seed);
  int64_t start = options.start_ms != 0 ? options.start_ms : wall_clock_ms();
  std::string line;
  uint64_t count = options.count != 0 ? options.count : 10'000;
  for (uint64_t i = 0; i < count && !Interrupt::requested(); ++i) {
    line.clear();
    events.next(start + static_cast<int64_t>(static_cast<double>(i) * 1000.0 / options.rate), line);
    file << line << '\n';
  }
  file.close();
  if (!file) return failed();
  if (!options.quiet) {
    std::fprintf(stderr, "%llu events in %s\n", static_cast<unsigned long long>(count), options.out.c_str());
  }
  return {};
}

std::string text_at(const event::MapData& map, std::string_view key) {
  const Value* v = event::map_find(map, Value::string(key));
  return v != nullptr && v->is(Kind::kString) ? std::string(v->str()) : std::string();
}

// A line for a decision that is not the mildest: what, and why.
void show(std::string_view decision_json) {
  base::Arena arena;
  auto decision = event::JsonReader::to_value(decision_json, arena);
  if (!decision || !decision->is(Kind::kMap)) return;
  std::string verdict = text_at(*decision->map, "verdict");
  if (verdict.empty() || verdict == "accept" || verdict == "allow") return;
  std::string reason;
  const Value* reasons = event::map_find(*decision->map, Value::string("reasons"));
  if (reasons != nullptr && reasons->is(Kind::kList) && reasons->size > 0) reason = reasons->items[0].str();
  std::printf("  %-8s %-10s %s\n", text_at(*decision->map, "type").c_str(), verdict.c_str(), reason.c_str());
  std::fflush(stdout);
}

base::Status send_stream(const Options& options) {
  TAMIS_TRY(client, open_client(options.server));
  DemoEvents events(options.seed);
  auto start = steady_clock::now();
  std::string batch;
  std::string_view attack;
  uint64_t sent = 0;
  while (!Interrupt::requested() && (options.count == 0 || sent < options.count)) {
    double due = std::chrono::duration<double>(steady_clock::now() - start).count() * options.rate;
    if (static_cast<double>(sent) >= due) {
      std::this_thread::sleep_for(milliseconds(20));
      continue;
    }
    batch.clear();
    for (int i = 0; i < 500 && static_cast<double>(sent) < due && (options.count == 0 || sent < options.count); ++i) {
      events.next(wall_clock_ms(), batch);
      batch += '\n';
      ++sent;
      if (events.attack() != attack) {
        attack = events.attack();
        if (!attack.empty() && !options.quiet)
          std::printf("-- now: %.*s\n", static_cast<int>(attack.size()), attack.data());
      }
    }
    TAMIS_TRY(answer, client.post("/v1/decide", batch));
    if (answer.status != 200) {
      return base::fail(base::Code::kUnavailable, options.server.url + " answered " + std::to_string(answer.status) +
                                                      ": " + answer.body.substr(0, 300));
    }
    for (std::string_view rest = answer.body; !rest.empty() && !options.quiet;) {
      size_t end = rest.find('\n');
      show(rest.substr(0, end));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
  }
  if (!options.quiet) std::printf("%llu events sent\n", static_cast<unsigned long long>(sent));
  return {};
}

}  // namespace

Command add_demo(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_server_options(app, options->server);
  app.add_option("--rate", options->rate, "Events a second")->check(CLI::Range(0.01, 1e6))->capture_default_str();
  app.add_option("--count", options->count, "Stop after so many events; 0: go on until interrupted");
  app.add_option("--seed", options->seed, "The same seed gives the same events")->capture_default_str();
  app.add_option("--out", options->out, "Write the events to a file instead of sending them");
  app.add_option("--start-ms", options->start_ms, "With --out: time of the first event, ms since the epoch");
  app.add_flag("-q,--quiet", options->quiet, "Do not show decisions");
  app.footer("The events are those of policies/accounts. Nothing real is named in them.");
  return [options] {
    Interrupt::install();
    base::Status done = options->out.empty() ? send_stream(*options) : write_file(*options);
    return done ? kGood : complain(done.error().message);
  };
}

}  // namespace tamis::app
