#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <thread>

#include "app/command.h"
#include "app/server_options.h"
#include "base/text.h"
#include "event/json_event.h"

namespace tamis::app {
namespace {

using event::Kind;
using event::Value;

struct Options {
  ServerOptions server;
  double interval_s = 1;
  int rows = 15;
  bool once = false, json = false;
};

Value at(Value map, std::string_view key) {
  if (!map.is(Kind::kMap)) return Value::absent();
  const Value* found = event::map_find(*map.map, Value::string(key));
  return found == nullptr ? Value::absent() : *found;
}

double number(Value v) { return v.is(Kind::kInt) ? static_cast<double>(v.i) : v.is(Kind::kDouble) ? v.d : 0; }

std::string text(Value v) { return v.is(Kind::kString) ? std::string(v.str()) : std::string(); }

std::string thousands(double v) { return base::format_thousands(std::llround(v)); }

// One row of a table: its name, counts since start, and the change since the look before.
struct Row {
  std::string name;
  double total = 0, shadow = 0, errors = 0, rate = 0;
};

class Top {
 public:
  explicit Top(const Options& options) : options_(options) {}

  base::Status run() {
    TAMIS_TRY(client, open_client(options_.server));
    bool screen = !options_.once && !options_.json && isatty(STDOUT_FILENO) != 0;
    if (screen) std::fputs("\033[?1049h\033[?25l", stdout);
    base::Status done = watch(client, screen);
    if (screen) std::fputs("\033[?25h\033[?1049l", stdout);
    return done;
  }

 private:
  base::Status watch(net::HttpClient& client, bool screen) {
    // Rates are between two looks, so a single page takes two, too.
    bool shown = !options_.once || options_.json;
    for (; !Interrupt::requested(); shown = true) {
      TAMIS_TRY(answer, client.get("/v1/stats"));
      if (answer.status != 200) {
        return base::fail(base::Code::kUnavailable, options_.server.url + " answered " + std::to_string(answer.status) +
                                                        ": " + answer.body.substr(0, 300));
      }
      if (options_.json) {
        std::printf("%s\n", answer.body.c_str());
      } else {
        base::Arena arena;
        event::JsonLimits limits;
        limits.bytes_max = answer.body.size() + 1;
        limits.list_items_max = 1'000'000;
        TAMIS_TRY(stats, event::JsonReader::to_value(answer.body, arena, limits));
        std::string page = draw(stats);
        if (screen) std::fputs("\033[H\033[2J", stdout);
        if (shown) std::fputs(page.c_str(), stdout);
      }
      std::fflush(stdout);
      if (options_.once && shown) break;
      auto wake = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.interval_s);
      while (!Interrupt::requested() && std::chrono::steady_clock::now() < wake) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    }
    return {};
  }

  double rate_of(const std::string& key, double total) {
    auto [old, is_new] = before_.try_emplace(key, total);
    double change = total - old->second;
    old->second = total;
    return is_new || seconds_ <= 0 ? 0 : change / seconds_;
  }

  std::string draw(Value stats) {
    double now = number(at(stats, "now_ms"));
    seconds_ = last_ms_ == 0 ? 0 : (now - last_ms_) / 1000;
    last_ms_ = now;
    double decided = number(at(stats, "decided"));
    Value latency = at(stats, "latency_us");
    std::string out =
        "tamis " + options_.server.url + "   policy " + text(at(stats, "policy")) + "   up " +
        base::format_duration_ms(static_cast<int64_t>((now - number(at(stats, "started_ms"))) / 1000) * 1000) + "\n\n";
    out += "decisions " + thousands(decided) + "   " + thousands(rate_of("decided", decided)) + "/s   refused " +
           thousands(number(at(stats, "refused"))) + "   late " + thousands(number(at(stats, "late"))) +
           "   overload " + thousands(number(at(stats, "overload"))) + "\n";
    out += "latency us   p50 " + base::format_double(number(at(latency, "p50"))) + "   p90 " +
           base::format_double(number(at(latency, "p90"))) + "   p99 " +
           base::format_double(number(at(latency, "p99"))) + "   max " +
           base::format_double(number(at(latency, "max"))) + "   waiting " +
           thousands(number(at(stats, "intake_events"))) + "\n\n";
    draw_dropped(at(stats, "dropped"), out);
    draw_verdicts(at(stats, "verdicts"), out);
    draw_rules(at(stats, "rules"), out);
    draw_features(at(stats, "features"), out);
    return out;
  }

  // Fields that somebody sends as another type: nothing where all is well.
  void draw_dropped(Value dropped, std::string& out) {
    std::vector<Row> rows;
    for (uint32_t i = 0; dropped.is(Kind::kList) && i < dropped.size; ++i) {
      Value d = dropped.items[i];
      Row row;
      row.name = text(at(d, "type")) + " " + text(at(d, "field"));
      row.total = number(at(d, "count"));
      row.rate = rate_of("d " + row.name, row.total);
      rows.push_back(row);
    }
    if (rows.empty()) return;
    line(out, "FIELD OF ANOTHER TYPE, NOT READ", "TOTAL", "PER SECOND", "", "");
    for (const Row& row : top(rows)) line(out, row.name, thousands(row.total), base::format_double(row.rate), "", "");
    out += '\n';
  }

  void draw_verdicts(Value verdicts, std::string& out) {
    std::vector<Row> rows;
    for (uint32_t i = 0; verdicts.is(Kind::kList) && i < verdicts.size; ++i) {
      Value v = verdicts.items[i];
      Row row;
      row.name = text(at(v, "type")) + " " + text(at(v, "verdict"));
      row.total = number(at(v, "count"));
      row.rate = rate_of("v " + row.name, row.total);
      if (row.total > 0) rows.push_back(row);
    }
    line(out, "VERDICT", "TOTAL", "PER SECOND", "", "");
    for (const Row& row : top(rows)) line(out, row.name, thousands(row.total), base::format_double(row.rate), "", "");
    out += '\n';
  }

  void draw_rules(Value rules, std::string& out) {
    std::vector<Row> rows;
    for (uint32_t i = 0; rules.is(Kind::kList) && i < rules.size; ++i) {
      Value rule = rules.items[i];
      Row row;
      row.name = text(at(rule, "id")) + " (" + text(at(rule, "type")) + ")";
      row.total = number(at(rule, "matched"));
      row.shadow = number(at(rule, "shadow"));
      row.errors = number(at(rule, "errors"));
      row.rate = rate_of("r " + row.name, row.total + row.shadow);
      if (row.total + row.shadow + row.errors > 0) rows.push_back(row);
    }
    line(out, "RULE", "ACTED", "PER SECOND", "SHADOW", "ERRORS");
    for (const Row& row : top(rows)) {
      line(out, row.name, thousands(row.total), base::format_double(row.rate), thousands(row.shadow),
           thousands(row.errors));
    }
    out += '\n';
  }

  void draw_features(Value features, std::string& out) {
    std::vector<std::pair<double, std::string>> rows;
    for (uint32_t i = 0; features.is(Kind::kList) && i < features.size; ++i) {
      Value feature = features.items[i];
      std::string row;
      line(row, text(at(feature, "name")), thousands(number(at(feature, "keys"))),
           base::format_bytes(static_cast<uint64_t>(number(at(feature, "bytes")))), "", "");
      rows.emplace_back(number(at(feature, "bytes")), row);
    }
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    line(out, "FEATURE", "KEYS", "MEMORY", "", "");
    for (size_t i = 0; i < rows.size() && i < 8; ++i) out += rows[i].second;
  }

  std::vector<Row> top(std::vector<Row>& rows) const {
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
      return a.rate != b.rate ? a.rate > b.rate : a.total + a.shadow > b.total + b.shadow;
    });
    if (rows.size() > static_cast<size_t>(options_.rows)) rows.resize(static_cast<size_t>(options_.rows));
    return rows;
  }

  static void line(std::string& out, const std::string& name, const std::string& a, const std::string& b,
                   const std::string& c, const std::string& d) {
    char buffer[256];
    std::snprintf(buffer, sizeof(buffer), "%-44.44s %14s %12s %10s %8s", name.c_str(), a.c_str(), b.c_str(), c.c_str(),
                  d.c_str());
    std::string row(buffer);
    row.erase(row.find_last_not_of(' ') + 1);
    out += row + "\n";
  }

  const Options& options_;
  std::map<std::string, double> before_;
  double last_ms_ = 0, seconds_ = 0;
};

}  // namespace

Command add_top(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_server_options(app, options->server);
  app.add_option("--interval", options->interval_s, "Seconds between looks")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("--rows", options->rows, "Rows of a table")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_flag("--once", options->once, "Print one page and stop, after an interval");
  app.add_flag("--json", options->json, "Print the statistics as JSON lines");
  return [options] {
    Interrupt::install();
    base::Status done = Top(*options).run();
    return done ? kGood : complain(done.error().message);
  };
}

}  // namespace tamis::app
