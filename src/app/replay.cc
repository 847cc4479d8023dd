#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>

#include "app/command.h"
#include "app/progress.h"
#include "app/replay_output.h"
#include "app/replay_state.h"
#include "app/seed_accounts.h"
#include "base/file.h"
#include "base/hash.h"
#include "detect/signup_facts.h"
#include "engine/engine.h"
#include "engine/recent_decisions.h"
#include "event/json_writer.h"
#include "event/ndjson.h"
#include "policy/policy.h"
#include "replay/journal_replay.h"
#include "replay/replay_checkpoint.h"

namespace tamis::app {
namespace {

using engine::Engine;

constexpr uint64_t kRefusalsShownMax = 20;
constexpr size_t kRecentBytesMax = size_t{256} << 20;
constexpr uint64_t kStepsBetweenLooks = 256;  // at the clock
constexpr int kPauseOfCost = 20;              // a checkpoint is followed by twenty times its time without one
constexpr size_t kFactsBytesMax = size_t{4} << 30;

struct Options {
  std::string policy, data, out = "-", accounts, retro, findings;
  std::vector<std::string> events, intel;
  bool explain = false, json = false, quiet = false, resume = false;
  double checkpoint_s = 10;
};

class Replay {
 public:
  explicit Replay(const Options& options) : options_(options) {}

  base::Result<int> run() {
    if (!options_.data.empty()) return run_journal();
    if (options_.policy.empty() || options_.events.empty()) {
      return base::invalid("expected --policy DIR and EVENTS, or --data DIR; see tamis replay --help");
    }
    policy::Loaded loaded = policy::load_folder(options_.policy);
    print_diagnostics(loaded, options_.policy);
    if (loaded.policy == nullptr) return kFailed;
    if (!options_.intel.empty()) {
      TAMIS_TRY(intel, event::NetworkIntel::load(options_.intel));
      intel_ = std::move(intel);
      print_faults(intel_->faults(), "--intel");
    }
    engine_.activate(loaded.policy);
    TAMIS_CHECK(describe_run(loaded.policy->version));
    TAMIS_CHECK(open_outputs());
    if (resumed_ != nullptr) TAMIS_CHECK(resumed_->restore(engine_));
    Interrupt::install();
    if (!options_.accounts.empty() && resumed_ == nullptr) TAMIS_CHECK(take_accounts(loaded.policy));
    lines_known_ = state_.lines;
    begin_checkpoints();
    for (const std::string& path : options_.events) {
      TAMIS_CHECK(replay_file(loaded.policy, path));
      if (Interrupt::requested()) break;
    }
    if (lines_passed_ < lines_known_ && !Interrupt::requested()) return not_the_same();
    return finish(tally_.refused + intel_refused() == 0 ? kGood : kNo);
  }

 private:
  // The journal of a data folder: as it was, or with --policy as it would have been.
  base::Result<int> run_journal() {
    if (!options_.events.empty()) return base::invalid("--data and EVENTS do not go together");
    replay::JournalReplayOptions replay;
    replay.data = options_.data;
    replay.explain = options_.explain;
    if (!options_.intel.empty()) {
      TAMIS_TRY(intel, event::NetworkIntel::load(options_.intel));
      intel_ = std::move(intel);
      print_faults(intel_->faults(), "--intel");
      replay.intel = intel_;
    }
    if (!options_.policy.empty()) {
      policy::Loaded loaded = policy::load_folder(options_.policy);
      print_diagnostics(loaded, options_.policy);
      if (loaded.policy == nullptr) return kFailed;
      replay.what_if = loaded.policy;
    }
    if (!options_.accounts.empty()) return base::invalid("--accounts and --data do not go together");
    std::vector<std::string> notes;
    replay.notes = &notes;
    TAMIS_CHECK(describe_run(replay.what_if == nullptr ? "" : replay.what_if->version));
    TAMIS_CHECK(open_outputs());
    replay.place = &state_.journal;
    if (resumed_ != nullptr) {
      replay.place_policy = resumed_->checkpoint().policy;
      replay.restore = [this](Engine& engine) { return resumed_->restore(engine); };
    }
    Interrupt::install();
    begin_checkpoints();
    Progress progress("replay", 0, options_.quiet);
    base::Status kept;
    auto on_decision = [this](const engine::Decision& decision) -> base::Status {
      write(decision);
      return follow(decision);
    };
    auto keep_going = [&](uint64_t done, uint64_t, uint64_t decided) {
      progress.step(done, decided);
      kept = checkpoint_if_due();
      return kept.has_value() && !Interrupt::requested();
    };
    TAMIS_TRY(result, replay::replay_journal(replay, engine_, on_decision, keep_going));
    TAMIS_CHECK(kept);
    for (const std::string& note : notes) std::fprintf(stderr, "%s\n", note.c_str());
    tally_.refused = result.refused;
    if (result.dropped_bytes > 0) {
      std::fprintf(stderr, "the last record was cut off by a crash; its %llu bytes are left out\n",
                   ull(result.dropped_bytes));
    }
    return finish(intel_refused() == 0 ? kGood : kNo);
  }

  // What a checkpoint must agree with, beside what was read and written so far.
  base::Status describe_run(const std::string& policy) {
    auto facts = [](const std::vector<std::string>& paths) -> base::Result<std::string> {
      uint64_t digest = 0;
      for (const std::string& path : paths) {
        TAMIS_TRY(text, base::read_file(path, kFactsBytesMax));
        digest = base::combine64(digest, base::hash64(text));
      }
      return std::to_string(digest);
    };
    event::JsonWriter json(run_);
    json.begin_object().key("replay").string(options_.data.empty() ? "events" : "journal");
    if (!policy.empty()) json.key("policy").string(policy);
    if (options_.explain) json.key("explain").boolean(true);
    if (!options_.intel.empty()) {
      TAMIS_TRY(digest, facts(options_.intel));
      json.key("intel").string(digest);
    }
    if (!options_.accounts.empty()) {
      TAMIS_TRY(digest, facts({options_.accounts}));
      json.key("accounts").string(digest);
    }
    if (!options_.retro.empty()) json.key("retro").boolean(true);
    if (!options_.findings.empty()) json.key("findings").boolean(true);
    json.end_object();
    return {};
  }

  std::string checkpoint_path() const { return options_.out + ".checkpoint"; }

  // New files, or those of an interrupted run as of its checkpoint.
  // Opening a file to write empties it.
  base::Status spare_inputs() const {
    std::vector<std::string> read = options_.events;
    read.push_back(options_.accounts);
    for (const std::string& out : {options_.out, options_.findings, options_.retro}) {
      for (const std::string& in : read) {
        std::error_code none;
        if (!std::filesystem::is_regular_file(out, none) || !std::filesystem::equivalent(out, in, none)) continue;
        return base::invalid(out + " is read and cannot be written at the same time");
      }
    }
    return {};
  }

  base::Status open_outputs() {
    TAMIS_CHECK(spare_inputs());
    if (options_.resume) TAMIS_CHECK(find_checkpoint());
    if (resumed_ != nullptr) {
      TAMIS_CHECK(output_.resume(options_.out, state_.out));
      if (!options_.findings.empty()) TAMIS_CHECK(findings_.resume(options_.findings, state_.findings));
      std::string text;
      for (const RecentPlaces::Place& place : state_.recent.all()) {
        TAMIS_CHECK(output_.read(place.at, place.bytes, text));
        recent_.remember(place.record, text);
      }
      return {};
    }
    TAMIS_CHECK(output_.open(options_.out));
    if (!options_.findings.empty()) TAMIS_CHECK(findings_.open(options_.findings));
    if (output_.is_regular()) {
      std::error_code none;
      std::filesystem::remove(checkpoint_path(), none);
    }
    return {};
  }

  base::Status find_checkpoint() {
    if (options_.out == "-") return base::invalid("--resume needs --out FILE: what went to stdout is gone");
    for (const std::string& path : options_.events) {
      if (path == "-") return base::invalid("--resume needs EVENTS in files: what came on stdin is gone");
    }
    auto found = replay::CheckpointReader::open(checkpoint_path(), run_);
    if (!found && found.error().code == base::Code::kNotFound) {
      if (!options_.quiet) std::fprintf(stderr, "%s: it begins anew\n", found.error().message.c_str());
      return {};
    }
    if (!found) return tl::unexpected<base::Error>(found.error());
    TAMIS_CHECK(read_state((*found)->checkpoint().own, state_));
    resumed_ = std::move(*found);
    if (!options_.quiet) std::fprintf(stderr, "it goes on behind %llu decisions\n", ull(tally_.decided));
    return {};
  }

  void begin_checkpoints() {
    bool from_stdin = false;
    for (const std::string& path : options_.events) from_stdin = from_stdin || path == "-";
    is_resumable_ = output_.is_regular() && !from_stdin && (options_.findings.empty() || findings_.is_regular());
    after_checkpoint(std::chrono::steady_clock::now());
  }

  void after_checkpoint(std::chrono::steady_clock::time_point began) {
    const auto now = std::chrono::steady_clock::now();
    const auto every = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(options_.checkpoint_s));
    next_checkpoint_ = now + std::max(every, kPauseOfCost * (now - began));
  }

  // Between two events. What it says on the disk belongs together: files first, then the checkpoint.
  base::Status checkpoint_if_due() {
    if (!is_resumable_ || ++steps_ % kStepsBetweenLooks != 0) return {};
    const auto now = std::chrono::steady_clock::now();
    if (now < next_checkpoint_) return {};
    TAMIS_CHECK(write_checkpoint());
    after_checkpoint(now);
    return {};
  }

  base::Status write_checkpoint() {
    if (engine_.policy() == nullptr || lines_passed_ < lines_known_) return {};
    TAMIS_TRY(out, output_.sync());
    state_.out = out;
    if (!options_.findings.empty()) {
      TAMIS_TRY(findings, findings_.sync());
      state_.findings = findings;
    }
    replay::ReplayCheckpoint checkpoint{run_, version(), {}};
    write_state(state_, checkpoint.own);
    return replay::write_checkpoint(checkpoint_path(), checkpoint, engine_);
  }

  base::Result<int> finish(int code) {
    const bool interrupted = Interrupt::requested();
    if (interrupted && is_resumable_) TAMIS_CHECK(write_checkpoint());
    TAMIS_CHECK(close_outputs());
    report();
    std::error_code none;
    if (!interrupted && is_resumable_) std::filesystem::remove(checkpoint_path(), none);
    if (interrupted && std::filesystem::exists(checkpoint_path(), none) && is_resumable_) {
      std::fprintf(stderr, "interrupted; the same command with --resume goes on from here (%s)\n",
                   checkpoint_path().c_str());
    }
    return interrupted ? kInterrupted : code;
  }

  tl::unexpected<base::Error> not_the_same() const {
    return base::invalid("the events are not those of the interrupted run, of which " + std::to_string(lines_known_) +
                         " lines were decided: begin anew, without --resume");
  }

  // Lines that the interrupted run has decided are passed over. True if this is one of them.
  base::Result<bool> pass(uint64_t hash) {
    ++lines_passed_;
    passed_hash_ = base::combine64(passed_hash_, hash);
    if (lines_passed_ > lines_known_) {
      state_.lines = lines_passed_;
      state_.lines_hash = passed_hash_;
      return false;
    }
    if (lines_passed_ == lines_known_ && passed_hash_ != state_.lines_hash) {
      return not_the_same();
    }
    return true;
  }
  base::Status close_outputs() {
    TAMIS_CHECK(output_.close());
    if (!options_.findings.empty()) TAMIS_CHECK(findings_.close());
    return options_.retro.empty() ? base::Status() : write_retro();
  }

  // Telling somebody is no act on the account.
  void note_account(const engine::Decision& decision) {
    if (options_.retro.empty() || decision.account.empty()) return;
    const bool acts = decision.verdict > 0 && decision.verdict_name() != "notify";
    accounts_.add(decision.account, acts ? engine_.now_ms() : 0);
  }

  // What follows from a decision: findings go to a file of their own, and the account is kept for hindsight.
  base::Status follow(const engine::Decision& decision) {
    if (!options_.findings.empty()) {
      for (size_t i = 0; i < engine_.finding_count(); ++i) {
        engine::write_json(engine_.finding(i).decision, findings_.buffer());
        findings_.buffer().push_back('\n');
      }
      TAMIS_CHECK(findings_.flush(false));
    }
    note_account(decision);
    for (size_t i = 0; i < engine_.finding_count(); ++i) note_account(engine_.finding(i).decision);
    return output_.flush(false);
  }

  base::Status take_accounts(const std::shared_ptr<const policy::Policy>& policy) {
    AccountsBefore before{options_.accounts, options_.events[0], policy, intel_.get()};
    before.on_decision = [this](const engine::Decision& decision) {
      note_account(decision);
      count_dropped(decision);
    };
    before.on_fault = [this](const std::string& fault) { refuse(fault); };
    TAMIS_TRY(seeded, seed_accounts(before, engine_, event_));
    tally_.seeded = seeded;
    return {};
  }

  uint64_t account_key(std::string_view account) const {
    return detect::account_keys(engine_.options().state_key, account).find;
  }

  // One line for each account that detectors saw, in the order in which they did.
  base::Status write_retro() {
    ReplayOutput retro;
    TAMIS_CHECK(retro.open(options_.retro));
    const detect::SignupClusters* clusters = engine_.clusters();
    const detect::ClusterParts parts = clusters == nullptr ? detect::ClusterParts() : clusters->parts();
    for (const Accounts::Account& account : accounts_.all()) {
      const auto known = engine_.hindsight(account.name);
      if (!known) return base::invalid("no detector of the policy looks at whole accounts, so there is no hindsight");
      event::JsonWriter json(retro.buffer());
      json.begin_object().key("id").string(account.name).key("score").real(known->score).key("cluster");
      const uint64_t cluster = parts.of(account_key(account.name), known->cluster);
      cluster == 0 ? json.raw("null") : json.uinteger(cluster);
      const bool policy_first = account.acted_ms != 0 && (known->at_ms == 0 || account.acted_ms < known->at_ms);
      const int64_t at_ms = policy_first ? account.acted_ms : known->at_ms;
      json.key("at");
      at_ms == 0 ? json.raw("null") : json.integer(at_ms);
      json.end_object();
      retro.buffer().push_back('\n');
      TAMIS_CHECK(retro.flush(false));
    }
    return retro.close();
  }

  base::Status replay_file(const std::shared_ptr<const policy::Policy>& policy, const std::string& path) {
    TAMIS_TRY(file, event::NdjsonFile::open(path, kLineBytesMax));
    Progress progress("replay", file.bytes_total(), options_.quiet);
    std::string_view line;
    while (!Interrupt::requested()) {
      TAMIS_CHECK(checkpoint_if_due());
      base::Result<bool> more = file.next(line);
      const bool too_long = !more && more.error().code == base::Code::kLimit;
      if (!more && !too_long) return tl::unexpected(more.error());
      if (more && !*more) break;
      TAMIS_TRY(known, pass(too_long ? 0 : base::hash64(line)));
      if (known) continue;
      if (too_long) {
        refuse(more.error().message);
        continue;
      }
      TAMIS_CHECK(decide(policy, path, file.line_number(), line));
      progress.step(file.bytes_read(), tally_.decided);
    }
    return {};
  }

  void refuse(const std::string& message) {
    if (++tally_.refused <= kRefusalsShownMax) std::fprintf(stderr, "%s\n", message.c_str());
  }

  base::Status decide(const std::shared_ptr<const policy::Policy>& policy, const std::string& path, uint64_t number,
                      std::string_view line) {
    base::Status ready = event_.prepare(policy, {}, line, intel_.get());
    if (!ready) {
      if (ready.error().code == base::Code::kNotFound) {
        ++tally_.unknown_types[ready.error().message];
      } else {
        refuse(path + ":" + std::to_string(number) + ": " + ready.error().message);
      }
      return {};
    }
    if (uint64_t first = engine_.repeat_of(event_); first != 0) {
      write_again(first);
      return output_.flush(false);
    }
    auto explain = options_.explain ? Engine::Explain::kYes : Engine::Explain::kNo;
    const engine::Decision& decision = engine_.decide(event_, Engine::kNoReceiveTime, explain);
    size_t from = output_.buffer().size();
    write(decision);
    std::string_view text = std::string_view(output_.buffer()).substr(from);
    text.remove_suffix(1);
    recent_.remember(decision.record, text);
    state_.recent.remember({decision.record, output_.bytes() - text.size() - 1, text.size()});
    return follow(decision);
  }

  // An event with this type and id came before: it gets the same decision, and changes nothing.
  void write_again(uint64_t first) {
    ++tally_.repeated;
    if (!recent_.recall(first, output_.buffer())) {
      event::JsonWriter json(output_.buffer());
      json.begin_object().key("id").string(event_.event().id).key("type").string(event_.event().schema->name);
      json.key("repeats").uinteger(first).end_object();
    }
    output_.buffer().push_back('\n');
  }

  void write(const engine::Decision& decision) {
    engine::write_json(decision, output_.buffer());
    output_.buffer().push_back('\n');
    ++tally_.decided;
    tally_.late += decision.late;
    ++tally_.verdicts[decision.type->schema.name][std::string(decision.verdict_name())];
    count_dropped(decision);
  }

  void count_dropped(const engine::Decision& decision) {
    for (const event::DroppedField& field : decision.dropped) {
      ++tally_.dropped[decision.type->schema.name][decision.dropped_name(field)];
    }
  }

  void report() {
    if (options_.json) return report_json();
    if (options_.quiet) return;
    std::fprintf(stderr, "%llu decided, %llu refused, %llu late; policy %s\n", ull(tally_.decided), ull(tally_.refused),
                 ull(tally_.late), version().c_str());
    for (const auto& [type, verdicts] : tally_.verdicts) {
      std::fprintf(stderr, "  %s:", type.c_str());
      for (const auto& [verdict, count] : verdicts) std::fprintf(stderr, " %s %llu", verdict.c_str(), ull(count));
      std::fputc('\n', stderr);
    }
    if (tally_.repeated > 0) {
      std::fprintf(stderr, "  %llu came again and got the decision of before\n", ull(tally_.repeated));
    }
    for (const auto& [type, fields] : tally_.dropped) {
      for (const auto& [field, count] : fields) {
        std::fprintf(stderr, "  of %s the field %s had another type %llu times and was not read\n", type.c_str(),
                     field.c_str(), ull(count));
      }
    }
    for (const auto& [message, count] : tally_.unknown_types) {
      std::fprintf(stderr, "  skipped %llu: %s\n", ull(count), message.c_str());
    }
  }

  void report_json() {
    std::string out;
    event::JsonWriter json(out);
    json.begin_object().key("decided").uinteger(tally_.decided).key("refused").uinteger(tally_.refused);
    json.key("late").uinteger(tally_.late).key("repeated").uinteger(tally_.repeated).key("policy").string(version());
    if (intel_ != nullptr) json.key("intel_refused").uinteger(intel_refused());
    if (!options_.accounts.empty()) json.key("accounts").uinteger(tally_.seeded);
    for (const auto& [key, by_type] : {std::pair("verdicts", &tally_.verdicts), {"dropped", &tally_.dropped}}) {
      json.key(key).begin_object();
      for (const auto& [type, counts] : *by_type) {
        json.key(type).begin_object();
        for (const auto& [name, count] : counts) json.key(name).uinteger(count);
        json.end_object();
      }
      json.end_object();
    }
    json.key("skipped").begin_object();
    for (const auto& [message, count] : tally_.unknown_types) json.key(message).uinteger(count);
    json.end_object().end_object();
    std::fprintf(stderr, "%s\n", out.c_str());
  }

  uint64_t intel_refused() const { return intel_ == nullptr ? 0 : intel_->faults().count; }
  std::string version() const { return engine_.policy() == nullptr ? "none" : engine_.policy()->version; }
  static unsigned long long ull(uint64_t v) { return v; }

  const Options& options_;
  Engine engine_;
  engine::PreparedEvent event_;
  engine::RecentDecisions recent_{kRecentBytesMax};
  std::shared_ptr<const event::NetworkIntel> intel_;
  ReplayOutput output_, findings_;
  ReplayState state_{kRecentBytesMax};
  Tally& tally_ = state_.tally;
  Accounts& accounts_ = state_.accounts;

  std::string run_;  // what this run is, for its checkpoints
  std::unique_ptr<replay::CheckpointReader> resumed_;
  bool is_resumable_ = false;
  uint64_t steps_ = 0;
  std::chrono::steady_clock::time_point next_checkpoint_;
  uint64_t lines_known_ = 0;  // decided by the run that was interrupted
  uint64_t lines_passed_ = 0, passed_hash_ = 0;
};

}  // namespace

Command add_replay(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--policy", options->policy, "Folder of the policy; with --data: decide as if it had been in force");
  app.add_option("--data", options->data, "Replay the journal of a server's data folder instead of files");
  app.add_option("--out", options->out, "File for the decisions, one JSON line each; - is stdout")
      ->capture_default_str();
  app.add_option("--intel", options->intel, "CSV files of network facts: prefix, asn, country, tag")
      ->allow_extra_args(false);
  app.add_option("--accounts", options->accounts,
                 "Accounts from before the first event, one JSON object a line: events of the policy's type `account`");
  app.add_option("--retro", options->retro,
                 "File for hindsight, one JSON line for each account: id, score, cluster, at (ms; null: never)");
  app.add_option("--findings", options->findings, "File for the decisions about what detectors found");
  app.add_flag("--resume", options->resume,
               "Go on where the same command was interrupted or killed; the file is then as without");
  app.add_option("--checkpoint-seconds", options->checkpoint_s,
                 "How often FILE.checkpoint is written beside --out FILE, for --resume")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
  app.add_flag("--explain", options->explain, "With the conditions that made each rule match");
  app.add_flag("--json", options->json, "The summary on stderr as JSON");
  app.add_flag("-q,--quiet", options->quiet, "No progress and no summary");
  app.add_option("EVENTS", options->events, "Files of events, one JSON object a line, in order; - is stdin");
  app.footer("An event's own time stands for its arrival. Exit code 1 if lines were refused.");
  return [options] {
    base::Result<int> code = Replay(*options).run();
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
