#include "replay/backfill.h"

#include "journal/journal.h"
#include "replay/records.h"

namespace tamis::replay {

BackfillReader::BackfillReader(std::string data, uint64_t from, std::shared_ptr<const event::NetworkIntel> intel,
                               const engine::Engine& now, engine::Engine::Prepared& next)
    : data_(std::move(data)), from_(from), next_(from), intel_(std::move(intel)), backfill_(now, next) {}

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
