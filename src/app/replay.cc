#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <unordered_set>

#include "app/command.h"
#include "app/progress.h"
#include "engine/engine.h"
#include "engine/recent_decisions.h"
#include "event/json_writer.h"
#include "event/ndjson.h"
#include "policy/policy.h"
#include "replay/journal_replay.h"

namespace tamis::app {
namespace {

using engine::Engine;

constexpr uint64_t kRefusalsShownMax = 20;
constexpr size_t kFlushBytes = 1 << 20;
constexpr size_t kRecentBytesMax = size_t{256} << 20;

struct Options {
  std::string policy, data, out = "-", accounts, retro, findings;
  std::vector<std::string> events, intel;
  bool explain = false, json = false, quiet = false;
};

class Output {
 public:
  base::Status open(const std::string& path) {
    path_ = path;
    if (path == "-") return {};
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) return base::fail(base::Code::kUnavailable, "cannot write " + path + ": " + std::strerror(errno));
    return {};
  }
  std::string& buffer() { return buffer_; }
  base::Status flush(bool force) {
    if (!force && buffer_.size() < kFlushBytes) return {};
    size_t done = 0;
    while (done < buffer_.size()) {
      ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return base::fail(base::Code::kUnavailable, "cannot write " + path_ + ": " + std::strerror(errno));
      done += static_cast<size_t>(n);
    }
    buffer_.clear();
    return {};
  }
  base::Status close() {
    TAMIS_CHECK(flush(true));
    if (fd_ != STDOUT_FILENO && ::close(fd_) != 0) {
      return base::fail(base::Code::kUnavailable, "cannot write " + path_ + ": " + std::strerror(errno));
    }
    return {};
  }

 private:
  int fd_ = STDOUT_FILENO;
  std::string path_;
  std::string buffer_;
};

// The event type of accounts that were there before the first event.
constexpr std::string_view kAccountType = "account";

// Names in the order in which they came first, each once.
class Names {
 public:
  void add(std::string_view name) {
    if (seen_.find(name) != seen_.end()) return;
    names_.emplace_back(name);
    seen_.insert(names_.back());
  }
  size_t size() const { return names_.size(); }
  const std::string& at(size_t i) const { return names_[i]; }

 private:
  std::deque<std::string> names_;  // stay where they are
  std::unordered_set<std::string_view> seen_;
};

struct Tally {
  uint64_t seeded = 0, decided = 0, refused = 0, late = 0, repeated = 0;
  std::map<std::string, uint64_t, std::less<>> unknown_types;
  std::map<std::string, std::map<std::string, uint64_t>> verdicts;
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
    if (loaded.policy == nullptr) return kNo;
    if (!options_.intel.empty()) {
      TAMIS_TRY(intel, event::NetworkIntel::load(options_.intel));
      intel_ = std::move(intel);
    }
    engine_.activate(loaded.policy);
    TAMIS_CHECK(open_outputs());
    Interrupt::install();
    if (!options_.accounts.empty()) TAMIS_CHECK(seed_accounts(loaded.policy));
    for (const std::string& path : options_.events) {
      TAMIS_CHECK(replay_file(loaded.policy, path));
      if (Interrupt::requested()) break;
    }
    TAMIS_CHECK(close_outputs());
    report();
    if (Interrupt::requested()) return kInterrupted;
    return tally_.refused == 0 ? kGood : kNo;
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
      replay.intel = std::move(intel);
    }
    if (!options_.policy.empty()) {
      policy::Loaded loaded = policy::load_folder(options_.policy);
      print_diagnostics(loaded, options_.policy);
      if (loaded.policy == nullptr) return kNo;
      replay.what_if = loaded.policy;
    }
    if (!options_.accounts.empty()) return base::invalid("--accounts and --data do not go together");
    TAMIS_CHECK(open_outputs());
    Interrupt::install();
    Progress progress("replay", 0, options_.quiet);
    auto on_decision = [this](const engine::Decision& decision) -> base::Status {
      write(decision);
      return follow(decision);
    };
    auto keep_going = [&](uint64_t done, uint64_t, uint64_t decided) {
      progress.step(done, decided);
      return !Interrupt::requested();
    };
    TAMIS_TRY(result, replay::replay_journal(replay, engine_, on_decision, keep_going));
    TAMIS_CHECK(close_outputs());
    tally_.refused = result.refused;
    if (result.dropped_bytes > 0) {
      std::fprintf(stderr, "the last record was cut off by a crash; its %llu bytes are left out\n",
                   ull(result.dropped_bytes));
    }
    report();
    return Interrupt::requested() ? kInterrupted : kGood;
  }

  base::Status open_outputs() {
    TAMIS_CHECK(output_.open(options_.out));
    if (!options_.findings.empty()) TAMIS_CHECK(findings_.open(options_.findings));
    return {};
  }
  base::Status close_outputs() {
    TAMIS_CHECK(output_.close());
    if (!options_.findings.empty()) TAMIS_CHECK(findings_.close());
    return options_.retro.empty() ? base::Status() : write_retro();
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
    if (!options_.retro.empty() && !decision.account.empty()) accounts_.add(decision.account);
    return output_.flush(false);
  }

  // Accounts that are there before the first event: one JSON object a line, events of the type that the policy names
  // `account`, at the time of the first event. They get no line of their own.
  base::Status seed_accounts(const std::shared_ptr<const policy::Policy>& policy) {
    if (policy->find_type(kAccountType) == nullptr) {
      return base::invalid("the policy has no event type \"" + std::string(kAccountType) + "\" for --accounts");
    }
    int64_t begin_ms = 0;
    TAMIS_CHECK(first_time(policy, begin_ms));
    TAMIS_TRY(file, event::NdjsonFile::open(options_.accounts, kLineBytesMax));
    std::string_view line;
    while (!Interrupt::requested()) {
      base::Result<bool> more = file.next(line);
      if (!more) return tl::unexpected(more.error());
      if (!*more) break;
      base::Status ready = event_.prepare(policy, kAccountType, line, intel_.get());
      if (!ready) {
        refuse(options_.accounts + ":" + std::to_string(file.line_number()) + ": " + ready.error().message);
        continue;
      }
      const engine::Decision& decision = engine_.decide(event_, begin_ms);
      if (!options_.retro.empty() && !decision.account.empty()) accounts_.add(decision.account);
      ++tally_.seeded;
    }
    return {};
  }

  // Of the first event that can be read; 0 where it has none.
  base::Status first_time(const std::shared_ptr<const policy::Policy>& policy, int64_t& time_ms) {
    if (options_.events[0] == "-") return base::invalid("--accounts needs EVENTS in a file, to know when they begin");
    TAMIS_TRY(file, event::NdjsonFile::open(options_.events[0], kLineBytesMax));
    std::string_view line;
    while (true) {
      base::Result<bool> more = file.next(line);
      if (!more && more.error().code == base::Code::kLimit) continue;
      if (!more) return tl::unexpected(more.error());
      if (!*more) return {};
      if (!event_.prepare(policy, {}, line, nullptr)) continue;
      if (event_.event().has_time) time_ms = event_.event().time_ms;
      return {};
    }
  }

  // One line for each account that detectors saw, in the order in which they did.
  base::Status write_retro() {
    Output retro;
    TAMIS_CHECK(retro.open(options_.retro));
    for (size_t i = 0; i < accounts_.size(); ++i) {
      const auto known = engine_.hindsight(accounts_.at(i));
      if (!known) return base::invalid("no detector of the policy looks at whole accounts, so there is no hindsight");
      event::JsonWriter json(retro.buffer());
      json.begin_object().key("id").string(accounts_.at(i)).key("score").real(known->score).key("cluster");
      known->cluster == 0 ? json.raw("null") : json.uinteger(known->cluster);
      json.key("at").integer(known->at_ms).end_object();
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
      base::Result<bool> more = file.next(line);
      if (!more && more.error().code == base::Code::kLimit) {
        refuse(more.error().message);
        continue;
      }
      if (!more) return tl::unexpected(more.error());
      if (!*more) break;
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
    recent_.remember(decision.record, text.substr(0, text.size() - 1));
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
    for (const auto& [message, count] : tally_.unknown_types) {
      std::fprintf(stderr, "  skipped %llu: %s\n", ull(count), message.c_str());
    }
  }

  void report_json() {
    std::string out;
    event::JsonWriter json(out);
    json.begin_object().key("decided").uinteger(tally_.decided).key("refused").uinteger(tally_.refused);
    json.key("late").uinteger(tally_.late).key("repeated").uinteger(tally_.repeated).key("policy").string(version());
    json.key("verdicts").begin_object();
    for (const auto& [type, verdicts] : tally_.verdicts) {
      json.key(type).begin_object();
      for (const auto& [verdict, count] : verdicts) json.key(verdict).uinteger(count);
      json.end_object();
    }
    json.end_object().key("skipped").begin_object();
    for (const auto& [message, count] : tally_.unknown_types) json.key(message).uinteger(count);
    json.end_object().end_object();
    std::fprintf(stderr, "%s\n", out.c_str());
  }

  std::string version() const { return engine_.policy() == nullptr ? "none" : engine_.policy()->version; }
  static unsigned long long ull(uint64_t v) { return v; }

  const Options& options_;
  Engine engine_;
  engine::PreparedEvent event_;
  engine::RecentDecisions recent_{kRecentBytesMax};
  std::shared_ptr<const event::NetworkIntel> intel_;
  Output output_, findings_;
  Names accounts_;  // of accounts, for hindsight
  Tally tally_;
};

}  // namespace

Command add_replay(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--policy", options->policy, "Folder of the policy; with --data: decide as if it had been in force");
  app.add_option("--data", options->data, "Replay the journal of a server's data folder instead of files");
  app.add_option("--out", options->out, "File for the decisions, one JSON line each; - is stdout")
      ->capture_default_str();
  app.add_option("--intel", options->intel, "CSV files of network facts: prefix, asn, country, tag");
  app.add_option("--accounts", options->accounts,
                 "Accounts from before the first event, one JSON object a line: events of the policy's type `account`");
  app.add_option("--retro", options->retro,
                 "File for hindsight, one JSON line for each account: id, score, cluster, at (ms)");
  app.add_option("--findings", options->findings, "File for the decisions about what detectors found");
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
