#include "replay/fold.h"

#include <unistd.h>

#include "replay/backfill.h"
#include "replay/snapshot.h"

namespace tamis::replay {

using engine::Engine;

RecordFold::RecordFold(FoldOptions options, Engine& engine)
    : options_(std::move(options)), engine_(engine), intel_(options_.intel) {
  if (options_.what_if != nullptr) engine.activate(options_.what_if);
}

base::Status RecordFold::use_intel(const std::string& version) {
  intel_version_ = version;
  if (options_.intel != nullptr || version.empty()) return {};
  TAMIS_TRY(intel, kept_intel(options_.data, version));
  intel_ = std::move(intel);
  return {};
}

base::Result<RecordFold::Step> RecordFold::apply(const Record& record) {
  ++counts_.records;
  Step step;
  switch (record.kind) {
    case Record::Kind::kPolicy:
      TAMIS_CHECK(activate(record));
      return step;
    case Record::Kind::kIntel:
      TAMIS_CHECK(use_intel(std::string(record.version)));
      return step;
    case Record::Kind::kAct: {
      TAMIS_TRY(act, engine::parse_act(record.json, record.receive_ms));
      act_ = std::move(act);
      bool taken = engine_.policy() != nullptr && engine::apply(engine_, act_).has_value();
      counts_.acts_refused += !taken;  // as it was refused when it came
      if (taken) step.act = &act_;
      return step;
    }
    case Record::Kind::kBatch:
      return step;
    case Record::Kind::kEvent:
    case Record::Kind::kPast:
      return decide(record);
    case Record::Kind::kErased:
      return step;
    case Record::Kind::kForget:
      engine_.forget_before(record.before_ms, record.part, record.parts);
      return step;
  }
  return step;
}

base::Status RecordFold::activate(const Record& record) {
  if (options_.what_if != nullptr) return {};
  TAMIS_TRY(policy, compile_kept_policy(options_.data, std::string(record.version)));
  Engine::PreparedPointer prepared = Engine::build(policy, engine_.options());
  if (record.filled_from != 0) {
    TAMIS_TRY(restored, restore_filled(record, policy));
    if (restored) return {};
    TAMIS_TRY(first, first_of_journal(options_.data));
    BackfillReader backfill(options_.data, std::max(record.filled_from, first), intel_, engine_, *prepared);
    const bool all_there = record.filled_from == 1 && first == 1;
    if (backfill.needed() && !all_there && options_.notes != nullptr) {
      options_.notes->push_back(filled_path(options_.data, record.number) +
                                " is gone: the features that are new with record " + std::to_string(record.number) +
                                " are filled from what is left of the past, and may count less than they did");
    }
    const auto go_on = [](uint64_t) { return true; };
    if (backfill.needed() && options_.archive != nullptr) {
      TAMIS_TRY(unfilled, backfill.read_archive(*options_.archive, go_on));
      (void)unfilled;  // told when it was activated
    }
    if (backfill.needed()) TAMIS_CHECK(backfill.read_to(record.number - 1, go_on));
  }
  engine_.activate(std::move(prepared));
  return {};
}

// The state right behind the activation, where the journal alone cannot give it (any more).
base::Result<bool> RecordFold::restore_filled(const Record& record,
                                              const std::shared_ptr<const policy::Policy>& policy) {
  const std::string path = filled_path(options_.data, record.number);
  if (::access(path.c_str(), F_OK) != 0) return false;
  TAMIS_TRY(first, first_of_journal(options_.data));
  if (record.filled_from == 1 && first == 1) return false;
  TAMIS_TRY(file, SnapshotReader::open(path));
  engine_.reset();
  engine_.activate(policy);
  TAMIS_CHECK(engine_.restore([&](std::string& piece) { return file->next(piece); }));
  return true;
}

base::Result<RecordFold::Step> RecordFold::decide(const Record& record) {
  if (engine_.policy() == nullptr) return base::invalid("an event comes before any policy");
  Step step;
  if (!event_.prepare(engine_.policy(), record.type, record.json, intel_.get())) {
    ++counts_.refused;
    return step;
  }
  if (record.kind == Record::Kind::kPast) {
    step.past = true;
    return step;
  }
  ++counts_.decided;
  auto explain = options_.explain ? Engine::Explain::kYes : Engine::Explain::kNo;
  step.decision = &engine_.decide(event_, record.receive_ms, explain, record.number);
  return step;
}

}  // namespace tamis::replay
