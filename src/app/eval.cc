// tamis eval: what a policy does to honest people, by event type and class of network or any other field, as a table
// and as a gate.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <unordered_set>

#include "app/class_table.h"
#include "app/command.h"
#include "app/eval_answers.h"
#include "app/progress.h"
#include "app/seed_accounts.h"
#include "base/hash.h"
#include "engine/engine.h"
#include "event/json_writer.h"
#include "event/ndjson.h"
#include "policy/policy.h"
#include "policy/slot_names.h"
#include "replay/class_rates.h"
#include "replay/truth.h"

namespace tamis::app {
namespace {

using engine::Engine;
using replay::ClassCell;
using replay::ClassCells;
using replay::Known;
using replay::RateCheck;

constexpr uint64_t kRefusalsShownMax = 20;

struct Options {
  std::string policy, truth, accounts, field = "ip_class", harm = "challenge,delay,hold,refuse,reject";
  std::vector<std::string> events, intel, types, bounds, answers;
  bool json = false, quiet = false, unknown_is_good = false, sure = false;
  double from_day = 0;
};

std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t from = 0; from <= text.size();) {
    const size_t end = std::min(text.find(',', from), text.size());
    parts.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return parts;
}

class Evaluation {
 public:
  explicit Evaluation(const Options& options) : options_(options) {}

  base::Result<int> run() {
    policy::Loaded loaded = policy::load_folder(options_.policy);
    print_diagnostics(loaded, options_.policy);
    if (loaded.policy == nullptr) return kFailed;
    policy_ = loaded.policy;
    if (!options_.truth.empty()) {
      TAMIS_CHECK(truth_.add_csv_file(options_.truth, &truth_faults_));
      print_faults(truth_faults_, "--truth");
    }
    TAMIS_CHECK(choose());
    TAMIS_CHECK(read_bounds());
    TAMIS_CHECK(answers_.read(options_.answers, *policy_));
    if (!options_.intel.empty()) {
      TAMIS_TRY(intel, event::NetworkIntel::load(options_.intel));
      intel_ = std::move(intel);
      print_faults(intel_->faults(), "--intel");
    }
    engine_.activate(policy_);
    Interrupt::install();
    if (!options_.accounts.empty()) TAMIS_CHECK(take_accounts());
    for (const std::string& path : options_.events) TAMIS_CHECK(take(path));
    if (Interrupt::requested()) return kInterrupted;
    return report();
  }

 private:
  // What is looked at of each event type.
  struct Type {
    bool wanted = false;
    int32_t field = -1;  // slot of the class
    int32_t harm = -1;   // place in the ladder from which on a verdict is harsh
    std::unique_ptr<replay::TruthOfType> truth;
  };
  // How often honest people got each verdict: by type, class, and place in the ladder.
  using Verdicts = std::map<std::string, std::map<std::string, std::vector<uint64_t>, std::less<>>>;
  // The accounts of honest events, and those of which one was harmed: twenty events may be one person's.
  struct People {
    std::unordered_set<uint64_t> all, harmed;
  };

  bool named(const std::string& type) const {
    const std::vector<std::string>& types = options_.types;
    return types.empty() || std::find(types.begin(), types.end(), type) != types.end();
  }

  base::Status choose() {
    const std::vector<std::string> harms = parts_of(options_.harm);
    for (const std::string& name : options_.types) {
      if (policy_->find_type(name) == nullptr) return base::invalid("no event type \"" + name + "\" in the policy");
    }
    bool any = false;
    for (const policy::EventType& type : policy_->types) {
      Type& t = types_.emplace_back();
      const std::vector<std::string> names = policy::slot_names(type);
      const auto slot = std::find(names.begin(), names.end(), options_.field);
      if (slot != names.end()) t.field = static_cast<int32_t>(slot - names.begin());
      for (const std::string& harm : harms) {
        const auto at = std::find(type.ladder.begin(), type.ladder.end(), harm);
        if (at != type.ladder.end() && t.harm < 0) t.harm = static_cast<int32_t>(at - type.ladder.begin());
      }
      t.truth = std::make_unique<replay::TruthOfType>(truth_, type);
      t.wanted = named(type.schema.name) && t.field >= 0 && t.harm > 0;
      any = any || t.wanted;
      // Who would be harmed by such events is not asked: that must be seen.
      if (named(type.schema.name) && t.field >= 0 && t.harm <= 0 && type.ladder.size() > 1) {
        left_out_.push_back(type.schema.name);
      }
    }
    if (any) return {};
    return base::invalid("no event type has a field \"" + options_.field + "\" and one of the verdicts " +
                         options_.harm + "; see --class and --harm");
  }

  base::Status read_bounds() {
    std::vector<std::string> all, wanted;
    for (size_t i = 0; i < types_.size(); ++i) {
      all.push_back(policy_->types[i].schema.name);
      if (types_[i].wanted) wanted.push_back(all.back());
    }
    for (const std::string& text : options_.bounds) {
      base::Result<replay::RateBound> bound = replay::read_rate_bound(text, all);
      if (!bound) return base::invalid("--fpr-max: " + bound.error().message);
      if (!bound->type.empty() && std::find(wanted.begin(), wanted.end(), bound->type) == wanted.end()) {
        return base::invalid("--fpr-max " + text + ": events of the type \"" + bound->type +
                             "\" are not looked at, see --class, --harm and --types");
      }
      bounds_.push_back(std::move(*bound));
    }
    base::Status once = replay::check_bounds(bounds_);
    if (!once) return base::invalid("--fpr-max: " + once.error().message);
    // However many classes there are, these are counted by themselves.
    for (const replay::RateBound& bound : bounds_) {
      for (const std::string& type : wanted) {
        if (bound.type.empty() || bound.type == type) cells_[type][bound.name];
      }
    }
    return {};
  }

  base::Status take(const std::string& path) {
    TAMIS_TRY(file, event::NdjsonFile::open(path, kLineBytesMax));
    Progress progress("eval", file.bytes_total(), options_.quiet);
    std::string_view line;
    while (!Interrupt::requested()) {
      base::Result<bool> more = file.next(line);
      if (!more && more.error().code == base::Code::kLimit) {
        refuse(more.error().message);
        continue;
      }
      if (!more) return tl::unexpected(more.error());
      if (!*more) break;
      const base::Status ready = event_.prepare(policy_, {}, line, intel_.get());
      if (!ready && ready.error().code == base::Code::kNotFound) {
        ++skipped_;
        continue;
      }
      if (!ready) {
        refuse(path + ":" + std::to_string(file.line_number()) + ": " + ready.error().message);
        continue;
      }
      if (engine_.repeat_of(event_) != 0) continue;
      const engine::Decision& decision = engine_.decide(event_, Engine::kNoReceiveTime);
      if (count(decision)) TAMIS_CHECK(answer(decision, line));
      progress.step(file.bytes_read(), engine_.decided());
    }
    return {};
  }

  void refuse(const std::string& message) {
    if (++refused_ <= kRefusalsShownMax) std::fprintf(stderr, "%s\n", message.c_str());
  }

  base::Status take_accounts() {
    AccountsBefore before{options_.accounts, options_.events[0], policy_, intel_.get()};
    before.on_fault = [this](const std::string& fault) {
      ++accounts_refused_;
      refuse(fault);
    };
    TAMIS_TRY(seeded, seed_accounts(before, engine_, event_));
    seeded_ = seeded;
    return {};
  }

  // What an honest person does who is asked for something: an event of its own, right behind the one that was asked.
  base::Status answer(const engine::Decision& decision, std::string_view line) {
    const std::string* given = answers_.to(decision.verdict_name(), line);
    if (given == nullptr) return {};
    if (base::Status ready = event_.prepare(policy_, {}, *given, intel_.get()); !ready) {
      return base::invalid("--answer makes no event of the policy: " + ready.error().message + ": " + *given);
    }
    if (engine_.repeat_of(event_) != 0) return {};
    (void)engine_.decide(event_, Engine::kNoReceiveTime);
    ++answered_;
    return {};
  }

  // True if it was an honest person's, whatever is looked at.
  bool count(const engine::Decision& decision) {
    if (begin_ms_ == 0) begin_ms_ = decision.time_ms;
    const Type& type = types_[event_.type_index()];
    Known known = type.truth->of(decision.id, event_.event().slots);
    if (known == Known::kNot && options_.unknown_is_good) known = Known::kGood;
    const bool is_in_time = static_cast<double>(decision.time_ms - begin_ms_) >= options_.from_day * 86'400'000.0;
    if (type.wanted && is_in_time && known != Known::kNot) add(decision, type, known);
    return known == Known::kGood;
  }

  void add(const engine::Decision& decision, const Type& type, Known known) {
    const event::Event& event = event_.event();
    const std::string& name = decision.type->schema.name;
    std::string room;
    const std::string_view of = replay::class_name(event.slots[static_cast<size_t>(type.field)], room);
    const bool harsh = decision.verdict >= type.harm;
    replay::cell_of(cells_[name], of).add(known == Known::kBad, harsh);
    replay::cell_of(all_, of).add(known == Known::kBad, harsh);
    if (known != Known::kGood) return;
    const std::string under(cells_[name].contains(of) ? of : replay::kOtherClasses);
    std::vector<uint64_t>& verdicts = verdicts_[name][under];
    verdicts.resize(decision.type->ladder.size());
    ++verdicts[static_cast<size_t>(decision.verdict)];
    if (decision.account.empty()) return;
    People& people = people_[name][under];
    const uint64_t account = base::hash64(decision.account);
    people.all.insert(account);
    if (harsh) people.harmed.insert(account);
  }

  base::Result<int> report() {
    const std::vector<RateCheck> checks = replay::check_rates(bounds_, cells_);
    options_.json ? print_json(checks) : print_table(checks);
    bool good = true;
    for (const RateCheck& check : checks) {
      if (fails(check)) good = false;
      if (fails(check) || !check.sure) std::fprintf(stderr, "tamis: %s\n", check.words().c_str());
    }
    for (const std::string& type : left_out_) {
      std::fprintf(stderr, "%s is not looked at: it has none of the verdicts %s, see --harm\n", type.c_str(),
                   options_.harm.c_str());
    }
    auto ull = [](uint64_t n) { return static_cast<unsigned long long>(n); };
    if (refused_ > 0) std::fprintf(stderr, "%llu lines are no events\n", ull(refused_));
    for (const engine::DroppedCount& dropped : engine_.dropped_counts()) {
      std::fprintf(stderr, "of %s the field %s had another type %llu times and was not read\n", dropped.type.c_str(),
                   dropped.field.c_str(), ull(dropped.count));
    }
    if (answered_ > 0) std::fprintf(stderr, "%llu times somebody honest was asked and answered\n", ull(answered_));
    if (skipped_ > 0) std::fprintf(stderr, "%llu events are of types that the policy does not have\n", ull(skipped_));
    return good ? kGood : kNo;
  }

  bool fails(const RateCheck& check) const {
    return check.result != RateCheck::Result::kHolds || (options_.sure && !check.sure);
  }
  std::string_view result_name(const RateCheck& check) const {
    if (check.result == RateCheck::Result::kUnknown) return "unknown";
    if (check.result == RateCheck::Result::kExceeds) return "exceeds";
    return "holds";
  }

  const People* people(const std::string& type, const std::string& of) const {
    const auto classes = people_.find(type);
    if (classes == people_.end()) return nullptr;
    const auto found = classes->second.find(of);
    return found == classes->second.end() ? nullptr : &found->second;
  }

  // "challenge 3, hold 1, of 2 in 100 accounts": the harsh verdicts that honest people got.
  std::string harsh_verdicts(const std::string& type, const std::string& of) const {
    const auto cells = verdicts_.find(type);
    if (cells == verdicts_.end()) return {};
    const auto found = cells->second.find(of);
    if (found == cells->second.end()) return {};
    const policy::EventType& event_type = *policy_->find_type(type);
    const Type& t = types_[static_cast<size_t>(&event_type - policy_->types.data())];
    std::string text;
    for (auto at = static_cast<size_t>(t.harm); at < found->second.size(); ++at) {
      if (found->second[at] == 0) continue;
      text += (text.empty() ? "  " : ", ") + event_type.ladder[at] + " " + std::to_string(found->second[at]);
    }
    const People* who = people(type, of);
    if (text.empty() || who == nullptr) return text;
    return text + ", of " + std::to_string(who->harmed.size()) + " in " + std::to_string(who->all.size()) + " accounts";
  }

  void print_table(const std::vector<RateCheck>& checks) const {
    print_class_head({options_.field, "honest", "harmed"});
    for (const auto& [type, cells] : cells_) {
      for (const auto& [of, cell] : cells) {
        if (cell.good + cell.bad == 0) continue;
        print_class_row(type, of, cell);
        std::printf("%s\n", harsh_verdicts(type, of).c_str());
      }
    }
    for (const auto& [of, cell] : all_) {
      print_class_row("all", of, cell);
      std::printf("\n");
    }
    for (const RateCheck& check : checks) {
      if (check.result != RateCheck::Result::kHolds) continue;
      std::printf("%s holds: %.3f %% of %llu, at most %.3f %% may be%s\n", check.where().c_str(),
                  check.rate.value() * 100, static_cast<unsigned long long>(check.rate.of), check.most * 100,
                  check.sure ? "" : "; too few to be sure");
    }
  }

  static void put_share(event::JsonWriter& json, const replay::Share& share) {
    const auto [low, high] = share.interval();
    json.key("rate").real(share.known() ? share.value() : 0).key("rate_lower").real(low).key("rate_upper").real(high);
  }

  void put_cells(event::JsonWriter& json, const std::string& type, const ClassCells& cells) const {
    json.begin_object();
    for (const auto& [of, cell] : cells) {
      if (cell.good + cell.bad == 0) continue;
      json.key(of).begin_object().key("honest").uinteger(cell.good).key("harmed").uinteger(cell.hit_good);
      put_share(json, cell.false_positives());
      if (const People* who = people(type, of); who != nullptr) {
        json.key("accounts").uinteger(who->all.size()).key("accounts_harmed").uinteger(who->harmed.size());
      }
      json.key("bad").uinteger(cell.bad).key("caught").uinteger(cell.hit_bad);
      const auto classes = verdicts_.find(type);
      const policy::EventType* event_type = policy_->find_type(type);
      if (classes != verdicts_.end() && classes->second.contains(of) && event_type != nullptr) {
        const std::vector<uint64_t>& counts = classes->second.find(of)->second;
        json.key("honest_verdicts").begin_object();
        for (size_t at = 0; at < counts.size(); ++at) json.key(event_type->ladder[at]).uinteger(counts[at]);
        json.end_object();
      }
      json.end_object();
    }
    json.end_object();
  }

  void put_checks(event::JsonWriter& json, const std::vector<RateCheck>& checks) const {
    json.key("gate").begin_array();
    for (const RateCheck& check : checks) {
      json.begin_object().key("type");
      check.type.empty() ? json.null() : json.string(check.type);
      json.key("class").string(check.name).key("most").real(check.most);
      json.key("honest").uinteger(check.rate.of).key("harmed").uinteger(check.rate.part);
      put_share(json, check.rate);
      json.key("result").string(result_name(check)).key("sure").boolean(check.sure).key("sure_from");
      check.sure_from == 0 ? json.null() : json.uinteger(check.sure_from);
      json.end_object();
    }
    json.end_array().key("over").begin_array();
    for (const RateCheck& check : checks) {
      if (fails(check)) json.string(check.words());
    }
    json.end_array();
  }

  void print_json(const std::vector<RateCheck>& checks) const {
    std::string out;
    event::JsonWriter json(out);
    json.begin_object().key("policy").string(policy_->version).key("class").string(options_.field).key("types");
    json.begin_object();
    for (const auto& [type, cells] : cells_) {
      json.key(type);
      put_cells(json, type, cells);
    }
    json.end_object().key("all");
    put_cells(json, {}, all_);
    put_checks(json, checks);
    json.key("left_out").begin_array();
    for (const std::string& type : left_out_) json.string(type);
    json.end_array().key("refused").uinteger(refused_);
    if (intel_ != nullptr) json.key("intel_refused").uinteger(intel_->faults().count);
    if (!options_.truth.empty()) json.key("truth_refused").uinteger(truth_faults_.count);
    if (!options_.accounts.empty()) {
      json.key("accounts_before").uinteger(seeded_).key("accounts_refused").uinteger(accounts_refused_);
    }
    if (!options_.answers.empty()) json.key("answered").uinteger(answered_);
    json.key("skipped").uinteger(skipped_).end_object();
    std::printf("%s\n", out.c_str());
  }

  const Options& options_;
  std::shared_ptr<const policy::Policy> policy_;
  std::vector<Type> types_;
  std::vector<replay::RateBound> bounds_;
  std::vector<std::string> left_out_;  // types with the class, but without a harsh verdict
  replay::Truth truth_;
  base::LineFaults truth_faults_;
  std::shared_ptr<const event::NetworkIntel> intel_;
  Engine engine_;
  engine::PreparedEvent event_;
  std::map<std::string, ClassCells> cells_;  // by type
  ClassCells all_;
  Verdicts verdicts_;
  std::map<std::string, std::map<std::string, People, std::less<>>> people_;  // by type and class
  EvalAnswers answers_;
  uint64_t answered_ = 0, seeded_ = 0, accounts_refused_ = 0;
  int64_t begin_ms_ = 0;
  uint64_t refused_ = 0, skipped_ = 0;
};

}  // namespace

Command add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--policy", options->policy, "Folder of the policy")->required();
  app.add_option("--truth", options->truth, "CSV with the head entity,value,label or type,id,label");
  app.add_flag("--unknown-is-good", options->unknown_is_good, "Events that truth does not know are honest");
  app.add_option("--class", options->field, "Field or attribute whose values part the honest people")
      ->capture_default_str();
  app.add_option("--harm", options->harm,
                 "Verdict from which on people are harmed; of several the first that a type has")
      ->capture_default_str();
  app.add_option("--types", options->types, "Only these event types")->delimiter(',')->allow_extra_args(false);
  app.add_option("--from-day", options->from_day, "Only events from so many days after the first on");
  app.add_option("--fpr-max", options->bounds,
                 "CLASS=SHARE, like tor=0.5%, for each event type by itself, or TYPE/CLASS=SHARE, like\n"
                 "signup/tor=0.5%, for one: exit code 1 if more honest events are harmed, or if there are none")
      ->allow_extra_args(false);
  app.add_flag("--fpr-sure", options->sure,
               "Exit code 1, too, where honest events are too few to tell: the upper end of the 95 % interval\n"
               "must be within --fpr-max");
  app.add_option("--accounts", options->accounts,
                 "Accounts from before the first event, one JSON object a line: events of the policy's type `account`");
  app.add_option("--answer", options->answers,
                 "VERDICT=JSON: what an honest person does who gets this verdict; the event again with these fields,\n"
                 "decided right behind it. Without it whoever is asked never answers, as recorded events tell")
      ->allow_extra_args(false);
  app.add_option("--intel", options->intel, "CSV files of network facts: prefix, asn, country, tag")
      ->allow_extra_args(false);
  app.add_flag("--json", options->json, "As JSON");
  app.add_flag("-q,--quiet", options->quiet, "No progress");
  app.add_option("EVENTS", options->events, "Files of events, one JSON object a line, in order")->required();
  app.footer(
      "0 of 100 honest events harmed says little: the rate may still be 3.7 %. Bounds that hold by chance are told.\n"
      "Example: tamis eval --policy policies/accounts --truth truth.csv --fpr-max tor=0.5% --fpr-sure EVENTS.jsonl");
  return [options] {
    base::Result<int> code = Evaluation(*options).run();
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
