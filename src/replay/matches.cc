#include "replay/matches.h"

#include "engine/act.h"
#include "journal/journal.h"
#include "replay/match_run.h"
#include "replay/records.h"

namespace tamis::replay {

base::Result<MatchSummary> find_matches(const MatchRequest& request, const MatchSource& source, MatchVisitor& visitor,
                                        const std::function<bool(uint64_t, uint64_t)>& keep_going) {
  TAMIS_TRY(plan, plan_matches(request, source));
  MatchSummary summary;
  summary.columnar = plan.columnar;
  summary.replayed_because = plan.because;
  summary.absent = plan.absent;
  for (const TypeNeeds& needs : plan.types) summary.types.push_back(needs.event_type->schema.name);
  if (plan.columnar) {
    TAMIS_CHECK(match_columns(request, source, plan, visitor, keep_going, summary));
    return summary;
  }
  if (!source.what_if) {
    return base::fail(base::Code::kNotFound,
                      "only a replay of the journal can answer, and there is none: " + plan.because);
  }
  TAMIS_CHECK(match_by_replay(request, source, plan, visitor, keep_going, summary));
  return summary;
}

namespace {

// The acts and events of a journal under one policy.
base::Status fold_journal(const std::string& data, const event::NetworkIntel* intel,
                          const std::shared_ptr<const policy::Policy>& what_if,
                          const std::function<bool(const Replayed&)>& step) {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(data)));
  engine::Engine engine;
  engine.activate(what_if);
  engine::PreparedEvent event;
  std::string_view line;
  while (true) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) return {};
    TAMIS_TRY(record, read_record(line));
    if (record.kind == Record::Kind::kAct) {
      TAMIS_TRY(act, engine::parse_act(record.json, record.receive_ms));
      (void)engine::apply(engine, act);  // as it was refused when it came
    }
    if (record.kind != Record::Kind::kEvent) continue;
    if (!event.prepare(what_if, record.type, record.json, intel)) continue;  // the policy does not take it
    const engine::Decision& decision = engine.decide(event, record.receive_ms);
    if (!step({record.number, &decision, &event})) return {};
  }
}

}  // namespace

WhatIf journal_what_if(std::string data, std::shared_ptr<const event::NetworkIntel> intel) {
  return [data = std::move(data), intel = std::move(intel)](std::shared_ptr<const policy::Policy> what_if,
                                                            const std::function<bool(const Replayed&)>& step) {
    return fold_journal(data, intel.get(), what_if, step);
  };
}

}  // namespace tamis::replay
