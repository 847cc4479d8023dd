#include "replay/matches.h"

#include "journal/journal.h"
#include "replay/fold.h"
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

base::Status fold_journal(const FoldOptions& options, const std::function<bool(const Replayed&)>& step) {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(options.data)));
  engine::Engine engine;
  RecordFold fold(options, engine);
  std::string_view line;
  while (true) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) return {};
    TAMIS_TRY(record, read_record(line));
    TAMIS_TRY(done, fold.apply(record));
    if (done.decision == nullptr) continue;
    if (!step({record.number, done.decision, &fold.event()})) return {};
    for (size_t i = 0; i < engine.finding_count(); ++i) {
      engine::Finding& finding = engine.finding(i);
      if (!step({record.number, &finding.decision, &finding.event})) return {};
    }
  }
}

}  // namespace

WhatIf journal_what_if(std::string data, std::shared_ptr<const event::NetworkIntel> intel) {
  return [data = std::move(data), intel = std::move(intel)](std::shared_ptr<const policy::Policy> what_if,
                                                            const std::function<bool(const Replayed&)>& step) {
    FoldOptions options;
    options.data = data;
    options.what_if = std::move(what_if);
    options.intel = intel;
    return fold_journal(options, step);
  };
}

}  // namespace tamis::replay
