#include "replay/fold.h"

#include "replay/backfill.h"

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
  }
  return step;
}

base::Status RecordFold::activate(const Record& record) {
  if (options_.what_if != nullptr) return {};
  TAMIS_TRY(policy, compile_kept_policy(options_.data, std::string(record.version)));
  Engine::PreparedPointer prepared = Engine::build(policy, engine_.options());
  if (record.filled_from != 0) {
    BackfillReader backfill(options_.data, record.filled_from, intel_, engine_, *prepared);
    if (backfill.needed()) TAMIS_CHECK(backfill.read_to(record.number - 1, [](uint64_t) { return true; }));
  }
  engine_.activate(std::move(prepared));
  return {};
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
