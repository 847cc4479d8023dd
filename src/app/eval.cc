// tamis eval: what a policy does to honest people, by class of network or any other field, as a table and as a gate.
#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>

#include "app/command.h"
#include "app/progress.h"
#include "engine/engine.h"
#include "event/json_writer.h"
#include "event/ndjson.h"
#include "policy/policy.h"
#include "replay/truth.h"

namespace tamis::app {
namespace {

using engine::Engine;
using replay::Known;

struct Options {
  std::string policy, truth, field = "ip_class", harm = "challenge,hold";
  std::vector<std::string> events, intel, types, limits;
  bool json = false, quiet = false, unknown_is_good = false;
  double from_day = 0;
};

// Honest events of one class, and those that were treated harshly; the same of bad ones.
struct Cell {
  uint64_t honest = 0, harmed = 0, bad = 0, caught = 0;
};

double share(uint64_t part, uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

// The upper end of Wilson's interval at 95 %.
double upper(uint64_t part, uint64_t all) {
  if (all == 0) return 1;
  const double n = static_cast<double>(all), p = share(part, all), z = 1.96;
  return (p + z * z / (2 * n) + z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n);
}

base::Result<std::pair<std::string, double>> read_limit(const std::string& text) {
  const size_t at = text.rfind('=');
  double value = 0;
  const char* begin = text.data() + (at == std::string::npos ? 0 : at + 1);
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  const bool percent = stop != end && *stop == '%';
  if (at == std::string::npos || at == 0 || error != std::errc() || stop + (percent ? 1 : 0) != end || value < 0) {
    return base::invalid("--fpr-max is CLASS=SHARE, like tor=0.5% or vpn=0.005, not \"" + text + "\"");
  }
  return std::pair(text.substr(0, at), percent ? value / 100 : value);
}

class Evaluation {
 public:
  explicit Evaluation(const Options& options) : options_(options) {}

  base::Result<int> run() {
    std::vector<std::pair<std::string, double>> limits;
    for (const std::string& text : options_.limits) {
      TAMIS_TRY(limit, read_limit(text));
      limits.push_back(limit);
    }
    policy::Loaded loaded = policy::load_folder(options_.policy);
    print_diagnostics(loaded, options_.policy);
    if (loaded.policy == nullptr) return kFailed;
    policy_ = loaded.policy;
    TAMIS_CHECK(choose());
    if (!options_.truth.empty()) TAMIS_CHECK(truth_.add_csv_file(options_.truth));
    if (!options_.intel.empty()) {
      TAMIS_TRY(intel, event::NetworkIntel::load(options_.intel));
      intel_ = std::move(intel);
    }
    engine_.activate(policy_);
    Interrupt::install();
    for (const std::string& path : options_.events) TAMIS_CHECK(take(path));
    if (Interrupt::requested()) return kInterrupted;
    return report(limits);
  }

 private:
  // What is looked at of each event type.
  struct Type {
    bool wanted = false;
    int32_t field = -1, account = -1;  // slots
    int32_t harm = -1;                 // place in the ladder from which it is harsh
  };

  base::Status choose() {
    std::vector<std::string> harms;
    for (size_t from = 0; from <= options_.harm.size();) {
      const size_t end = std::min(options_.harm.find(',', from), options_.harm.size());
      harms.push_back(options_.harm.substr(from, end - from));
      from = end + 1;
    }
    for (const std::string& name : options_.types) {
      if (policy_->find_type(name) == nullptr) return base::invalid("no event type \"" + name + "\" in the policy");
    }
    bool any = false;
    for (const policy::EventType& type : policy_->types) {
      Type& t = types_.emplace_back();
      for (size_t i = 0; i < type.schema.fields.size(); ++i) {
        if (type.schema.fields[i].name == options_.field) t.field = static_cast<int32_t>(i);
        if (type.schema.fields[i].entity == "account" && t.account < 0) t.account = static_cast<int32_t>(i);
      }
      for (const std::string& harm : harms) {
        const auto at = std::find(type.ladder.begin(), type.ladder.end(), harm);
        if (at != type.ladder.end() && t.harm < 0) t.harm = static_cast<int32_t>(at - type.ladder.begin());
      }
      const bool named = options_.types.empty() || std::find(options_.types.begin(), options_.types.end(),
                                                             type.schema.name) != options_.types.end();
      t.wanted = named && t.field >= 0 && t.harm > 0;
      any = any || t.wanted;
    }
    if (any) return {};
    return base::invalid("no event type has a field \"" + options_.field + "\" and one of the verdicts " +
                         options_.harm + "; see --class and --harm");
  }

  base::Status take(const std::string& path) {
    TAMIS_TRY(file, event::NdjsonFile::open(path, kLineBytesMax));
    Progress progress("eval", file.bytes_total(), options_.quiet);
    std::string_view line;
    while (!Interrupt::requested()) {
      base::Result<bool> more = file.next(line);
      if (!more) return tl::unexpected(more.error());
      if (!*more) break;
      if (!event_.prepare(policy_, {}, line, intel_.get())) {
        ++refused_;
        continue;
      }
      if (engine_.repeat_of(event_) != 0) continue;
      count(engine_.decide(event_, Engine::kNoReceiveTime));
      progress.step(file.bytes_read(), engine_.decided());
    }
    return {};
  }

  void count(const engine::Decision& decision) {
    if (begin_ms_ == 0) begin_ms_ = decision.time_ms;
    const Type& type = types_[event_.type_index()];
    if (!type.wanted) return;
    if (static_cast<double>(decision.time_ms - begin_ms_) < options_.from_day * 86'400'000.0) return;
    const event::Event& event = event_.event();
    const std::string& name = decision.type->schema.name;
    Known known = truth_.of_event(name, decision.id);
    if (known == Known::kNot && type.account >= 0) {
      const event::Value account = event.slots[static_cast<size_t>(type.account)];
      if (account.is(event::Kind::kString)) known = truth_.of_entity("account", account.str());
    }
    if (known == Known::kNot && options_.unknown_is_good) known = Known::kGood;
    if (known == Known::kNot) return;
    const event::Value v = event.slots[static_cast<size_t>(type.field)];
    const std::string of = v.is(event::Kind::kString)   ? std::string(v.str())
                           : v.is(event::Kind::kAbsent) ? "(none)"
                                                        : event::debug_string(v);
    const bool harsh = decision.verdict >= type.harm;
    for (Cell* cell : {&cells_[name][of], &all_[of]}) {
      known == Known::kGood ? ++cell->honest : ++cell->bad;
      if (harsh) known == Known::kGood ? ++cell->harmed : ++cell->caught;
    }
  }

  base::Result<int> report(const std::vector<std::pair<std::string, double>>& limits) {
    std::vector<std::string> over;
    for (const auto& [of, most] : limits) {
      const auto found = all_.find(of);
      if (found == all_.end() || found->second.honest == 0) {
        over.push_back(of + ": there are no honest events of it, so nothing is known");
        continue;
      }
      const double rate = share(found->second.harmed, found->second.honest);
      char text[160];
      std::snprintf(text, sizeof text, "%s: %.3f %% of honest events are treated harshly, at most %.3f %% may be",
                    of.c_str(), rate * 100, most * 100);
      if (rate > most) over.emplace_back(text);
    }
    options_.json ? print_json(over) : print_table();
    for (const std::string& text : over) std::fprintf(stderr, "tamis: %s\n", text.c_str());
    if (refused_ > 0) std::fprintf(stderr, "%llu lines are no events\n", static_cast<unsigned long long>(refused_));
    return over.empty() ? kGood : kNo;
  }

  static void print_rows(const std::string& title, const std::map<std::string, Cell>& cells) {
    for (const auto& [of, cell] : cells) {
      std::printf("%-12s %-12s %10llu %8llu %9.3f %%  (up to %.3f %%) %10llu %9.2f %%\n", title.c_str(), of.c_str(),
                  static_cast<unsigned long long>(cell.honest), static_cast<unsigned long long>(cell.harmed),
                  share(cell.harmed, cell.honest) * 100, upper(cell.harmed, cell.honest) * 100,
                  static_cast<unsigned long long>(cell.bad), share(cell.caught, cell.bad) * 100);
    }
  }
  void print_table() const {
    std::printf("%-12s %-12s %10s %8s %11s  %-16s %10s %11s\n", "type", options_.field.c_str(), "honest", "harmed",
                "rate", "95 %", "bad", "caught");
    for (const auto& [type, cells] : cells_) print_rows(type, cells);
    print_rows("all", all_);
  }
  void print_json(const std::vector<std::string>& over) const {
    std::string out;
    event::JsonWriter json(out);
    auto put = [&](const std::map<std::string, Cell>& cells) {
      json.begin_object();
      for (const auto& [of, cell] : cells) {
        json.key(of).begin_object().key("honest").uinteger(cell.honest).key("harmed").uinteger(cell.harmed);
        json.key("rate").real(share(cell.harmed, cell.honest)).key("rate_upper").real(upper(cell.harmed, cell.honest));
        json.key("bad").uinteger(cell.bad).key("caught").uinteger(cell.caught).end_object();
      }
      json.end_object();
    };
    json.begin_object().key("policy").string(policy_->version).key("class").string(options_.field).key("types");
    json.begin_object();
    for (const auto& [type, cells] : cells_) {
      json.key(type);
      put(cells);
    }
    json.end_object().key("all");
    put(all_);
    json.key("over").begin_array();
    for (const std::string& text : over) json.string(text);
    json.end_array().end_object();
    std::printf("%s\n", out.c_str());
  }

  const Options& options_;
  std::shared_ptr<const policy::Policy> policy_;
  std::vector<Type> types_;
  replay::Truth truth_;
  std::shared_ptr<const event::NetworkIntel> intel_;
  Engine engine_;
  engine::PreparedEvent event_;
  std::map<std::string, std::map<std::string, Cell>> cells_;  // by type and class
  std::map<std::string, Cell> all_;
  int64_t begin_ms_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace

Command add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--policy", options->policy, "Folder of the policy")->required();
  app.add_option("--truth", options->truth, "CSV with the head entity,value,label or type,id,label");
  app.add_flag("--unknown-is-good", options->unknown_is_good, "Events that truth does not know are honest");
  app.add_option("--class", options->field, "Field whose values part the honest people")->capture_default_str();
  app.add_option("--harm", options->harm,
                 "Verdict from which on people are harmed; of several the first that a type has")
      ->capture_default_str();
  app.add_option("--types", options->types, "Only these event types")->delimiter(',')->allow_extra_args(false);
  app.add_option("--from-day", options->from_day, "Only events from so many days after the first on");
  app.add_option("--fpr-max", options->limits,
                 "CLASS=SHARE, like tor=0.5%: exit code 1 if more honest events are harmed")
      ->allow_extra_args(false);
  app.add_option("--intel", options->intel, "CSV files of network facts: prefix, asn, country, tag")
      ->allow_extra_args(false);
  app.add_flag("--json", options->json, "As JSON");
  app.add_flag("-q,--quiet", options->quiet, "No progress");
  app.add_option("EVENTS", options->events, "Files of events, one JSON object a line, in order")->required();
  return [options] {
    base::Result<int> code = Evaluation(*options).run();
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
