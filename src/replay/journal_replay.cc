#include "replay/journal_replay.h"

#include "engine/act.h"
#include "journal/journal.h"
#include "replay/records.h"

namespace tamis::replay {

using engine::Engine;

namespace {

class Fold {
 public:
  Fold(const JournalReplayOptions& options, Engine& engine) : options_(options), engine_(engine) {
    if (options.what_if != nullptr) engine.activate(options.what_if);
  }

  // The decision, or null where the record is no event or was refused.
  base::Result<const engine::Decision*> apply(const Record& record) {
    ++result.records;
    switch (record.kind) {
      case Record::Kind::kPolicy: {
        TAMIS_CHECK(activate(record));
        return nullptr;
      }
      case Record::Kind::kAct: {
        TAMIS_TRY(act, engine::parse_act(record.json, record.receive_ms));
        result.acts_refused += !engine::apply(engine_, act).has_value();  // as it was refused when it came
        return nullptr;
      }
      case Record::Kind::kEvent:
        return decide(record);
    }
    return nullptr;
  }

  JournalReplayResult result;

 private:
  base::Status activate(const Record& record) {
    if (options_.what_if != nullptr) return {};
    std::string version(record.version);
    TAMIS_TRY(files, kept_policy(options_.data, version));
    policy::Loaded loaded = policy::load_files(files);
    if (loaded.policy == nullptr) {
      std::string why = loaded.diagnostics.empty() ? "" : ": " + policy::to_string(loaded.diagnostics[0]);
      return base::invalid("the kept policy " + version + " does not compile any more" + why);
    }
    if (loaded.policy->version != version) return base::invalid("the kept policy " + version + " was changed");
    engine_.activate(loaded.policy);
    return {};
  }

  base::Result<const engine::Decision*> decide(const Record& record) {
    if (engine_.policy() == nullptr) return base::invalid("an event comes before any policy");
    base::Status ready = event_.prepare(engine_.policy(), record.type, record.json, options_.intel.get());
    if (!ready) {
      ++result.refused;
      return nullptr;
    }
    ++result.decided;
    auto explain = options_.explain ? Engine::Explain::kYes : Engine::Explain::kNo;
    return &engine_.decide(event_, record.receive_ms, explain);
  }

  const JournalReplayOptions& options_;
  Engine& engine_;
  engine::PreparedEvent event_;
};

}  // namespace

base::Result<JournalReplayResult> replay_journal(
    const JournalReplayOptions& options, Engine& engine,
    const std::function<base::Status(const engine::Decision&)>& on_decision,
    const std::function<bool(uint64_t, uint64_t, uint64_t)>& keep_going) {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(options.data)));
  Fold fold(options, engine);
  std::string_view line;
  while (keep_going(reader->done_bytes(), reader->size_bytes(), fold.result.decided)) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) break;
    TAMIS_TRY(record, read_record(line));
    TAMIS_TRY(decision, fold.apply(record));
    if (decision != nullptr && on_decision) TAMIS_CHECK(on_decision(*decision));
  }
  fold.result.dropped_bytes = reader->dropped_bytes();
  return fold.result;
}

}  // namespace tamis::replay
