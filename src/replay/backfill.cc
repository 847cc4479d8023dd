#include "replay/backfill.h"

#include <algorithm>
#include <cstdio>

#include "journal/journal.h"
#include "policy/slot_names.h"
#include "replay/records.h"
#include "replay/stored.h"

namespace tamis::replay {

BackfillReader::BackfillReader(std::string data, uint64_t from, std::shared_ptr<const event::NetworkIntel> intel,
                               const engine::Engine& now, engine::Engine::Prepared& next)
    : data_(std::move(data)), from_(from), next_(from), intel_(std::move(intel)), backfill_(now, next) {}

namespace {

// By source: who does not get its events, and the places of `needs` that say so.
struct Plan {
  bool known = false;
  engine::Backfill::LeftOut left_out;
  std::vector<size_t> needs;
};

Plan plan_of(const engine::Backfill& backfill, const std::vector<engine::Backfill::Need>& needs, size_t type,
             const std::set<int32_t>& gone) {
  Plan plan;
  plan.known = true;
  plan.left_out.features.resize(backfill.policy()->features.size());
  plan.left_out.detectors.resize(backfill.policy()->detectors.size());
  for (size_t i = 0; i < needs.size(); ++i) {
    const engine::Backfill::Need& need = needs[i];
    const bool lacks = std::any_of(need.slots.begin(), need.slots.end(), [&](int32_t s) { return gone.count(s) != 0; });
    if (need.type != type || !lacks) continue;
    (need.is_detector ? plan.left_out.detectors : plan.left_out.features)[need.place] = true;
    plan.needs.push_back(i);
  }
  return plan;
}

}  // namespace

base::Result<std::vector<BackfillReader::Unfilled>> BackfillReader::read_archive(
    const archive::Archive& archive, const std::function<bool(uint64_t)>& keep_going) {
  std::vector<Unfilled> unfilled;
  if (from_ <= 1 || archive.stats().rows == 0) return unfilled;
  const policy::Policy& policy = *backfill_.policy();
  const std::vector<engine::Backfill::Need> needs = backfill_.needs();
  std::vector<ArchivePast::Wanted> wanted;
  for (const engine::Backfill::Need& need : needs) {
    if (policy.types[need.type].schema.name == policy::kFindingType) continue;  // not fed from the journal either
    if (wanted.empty() || wanted.back().type != need.type) wanted.push_back({need.type, {}});
    std::vector<int32_t>& slots = wanted.back().slots;
    slots.insert(slots.end(), need.slots.begin(), need.slots.end());
    std::sort(slots.begin(), slots.end());
    slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  }
  TAMIS_TRY(past, ArchivePast::open(archive, backfill_.policy(), wanted, from_, intel_.get()));
  std::vector<Plan> plans;
  std::vector<uint64_t> missed(needs.size());
  std::vector<std::set<std::string>> names(needs.size());
  for (uint64_t read = 0;; ++read) {
    TAMIS_TRY(more, past->next());
    if (!more) break;
    if (read % 1024 == 1023 && !keep_going(read)) return base::fail(base::Code::kUnavailable, "interrupted");
    if (past->source() >= plans.size()) plans.resize(past->source() + 1);
    Plan& plan = plans[past->source()];
    const size_t type = past->event().type_index();
    if (!plan.known) {
      plan = plan_of(backfill_, needs, type, past->gone());
      const std::vector<std::string> slots = policy::slot_names(policy.types[type]);
      for (const size_t i : plan.needs) {
        for (const int32_t slot : needs[i].slots) {
          if (past->gone().count(slot) != 0) names[i].insert(slots[static_cast<size_t>(slot)]);
        }
      }
    }
    for (const size_t i : plan.needs) ++missed[i];
    backfill_.feed(past->event(), past->time_ms(), plan.left_out);
  }
  for (size_t i = 0; i < needs.size(); ++i) {
    if (missed[i] == 0) continue;
    const uint32_t place = needs[i].place;
    const std::string name = needs[i].is_detector ? "detector " + policy.detectors[place].name
                                                  : "feature " + policy.features[place].spec.name;
    unfilled.push_back({name, missed[i], {names[i].begin(), names[i].end()}});
  }
  return unfilled;
}

std::string to_string(const BackfillReader::Unfilled& unfilled) {
  std::string names;
  for (const std::string& name : unfilled.gone) names += (names.empty() ? "" : ", ") + name;
  return unfilled.name + ": " + std::to_string(unfilled.events) + " older events could not be counted, their " + names +
         " is not kept any more";
}

std::string filled_path(const std::string& data, uint64_t record) {
  char name[40];
  std::snprintf(name, sizeof name, "/snapshots/%016llu.filled", static_cast<unsigned long long>(record));
  return data + name;
}

base::Status BackfillReader::read_to(uint64_t last, const std::function<bool(uint64_t)>& keep_going) {
  if (next_ > last) return {};
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(data_), next_));
  std::string_view line;
  while (next_ <= last) {
    TAMIS_TRY(more, reader->next(line));
    if (!more) return base::invalid("the journal ends before record " + std::to_string(next_));
    TAMIS_TRY(record, read_record(line));
    next_ = record.number + 1;
    if ((next_ - from_) % 1024 == 0 && !keep_going(next_ - from_)) {
      return base::fail(base::Code::kUnavailable, "interrupted");
    }
    if (record.kind != Record::Kind::kEvent && record.kind != Record::Kind::kPast) continue;
    // What the policy does not take is not counted, as it would not have been.
    if (event_.prepare(backfill_.policy(), record.type, record.json, intel_.get())) {
      backfill_.feed(event_, record.receive_ms);
    }
  }
  return {};
}

}  // namespace tamis::replay
