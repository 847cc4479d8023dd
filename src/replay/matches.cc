#include "replay/matches.h"

#include <algorithm>
#include <cstdlib>

#include "archive/layout.h"
#include "journal/journal.h"
#include "replay/archive_past.h"
#include "replay/fold.h"
#include "replay/keys.h"
#include "replay/match_run.h"
#include "replay/records.h"
#include "replay/stored.h"

namespace tamis::replay {

namespace {
constexpr int64_t kTimeMsMin = -62'135'596'800'000, kTimeMsMax = 253'402'300'799'999;
}  // namespace

base::Result<uint64_t> stored_events(const archive::Archive& archive, const std::vector<std::string>& types,
                                     int64_t from_ms, int64_t to_ms) {
  const archive::ArchiveStats stats = archive.stats();
  auto time = [](int64_t ms) {  // of the years 1 to 9999, as all that is stored
    return "make_timestamp(" + std::to_string(std::clamp(ms, kTimeMsMin, kTimeMsMax) * 1000) + ")";
  };
  uint64_t events = 0;
  for (const std::string& type : types) {
    std::string sql = "SELECT count(*) FROM " + sql_name(archive::table_of(type)) + " WHERE true";
    if (from_ms > stats.oldest_ms) sql += " AND time >= " + time(from_ms);
    if (to_ms <= stats.newest_ms) sql += " AND time < " + time(to_ms);
    auto table = archive.query(sql, {}, [] { return true; });
    if (!table && table.error().code == base::Code::kInvalid) continue;  // no event of this type is there
    if (!table) return tl::unexpected(table.error());
    if (!table->rows.empty()) events += std::strtoull(table->rows[0][0].c_str(), nullptr, 10);
  }
  return events;
}

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

// A decided event and what detectors found on it.
bool tell(engine::Engine& engine, const std::function<bool(const Replayed&)>& step, const Replayed& event) {
  if (!step(event)) return false;
  for (size_t i = 0; i < engine.finding_count(); ++i) {
    engine::Finding& finding = engine.finding(i);
    if (!step({event.record, &finding.decision, &finding.event, event.whole, event.gone})) return false;
  }
  return true;
}

// The events from before the journal. What they lack is absent, so features get what can be known. False: stopped.
base::Result<bool> decide_archived(const FoldOptions& options, engine::Engine& engine,
                                   const std::function<bool(const Replayed&)>& step) {
  TAMIS_TRY(first, first_of_journal(options.data));
  if (first <= 1) return true;
  TAMIS_TRY(past, ArchivePast::open(*options.archive, options.what_if, all_that_is_read(*options.what_if), first,
                                    options.intel.get()));
  while (true) {
    TAMIS_TRY(more, past->next());
    if (!more) return true;
    const engine::Decision& decision =
        engine.decide(past->event(), past->time_ms(), engine::Engine::Explain::kNo, past->record());
    if (!tell(engine, step, {past->record(), &decision, &past->event(), past->gone().empty(), &past->gone()})) {
      return false;
    }
  }
}

}  // namespace

base::Status decide_past(const FoldOptions& options, engine::Engine& engine,
                         const std::function<bool(const Replayed&)>& step) {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(options.data)));
  TAMIS_TRY(state_key, kept_state_key(options.data));
  engine.use_state_key(state_key);
  RecordFold fold(options, engine);
  if (options.archive != nullptr) {
    TAMIS_TRY(go_on, decide_archived(options, engine, step));
    if (!go_on) return {};
  }
  std::string_view line;
  while (true) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) return {};
    TAMIS_TRY(record, read_record(line));
    TAMIS_TRY(done, fold.apply(record));
    if (done.decision == nullptr) continue;
    if (!tell(engine, step, {record.number, done.decision, &fold.event()})) return {};
  }
}

WhatIf journal_what_if(std::string data, std::shared_ptr<const event::NetworkIntel> intel,
                       const archive::Archive* archive) {
  return [data = std::move(data), intel = std::move(intel), archive](std::shared_ptr<const policy::Policy> what_if,
                                                                     const std::function<bool(const Replayed&)>& step) {
    FoldOptions options;
    options.data = data;
    options.what_if = std::move(what_if);
    options.intel = intel;
    options.archive = archive;
    engine::Engine engine;
    return decide_past(options, engine, step);
  };
}

}  // namespace tamis::replay
