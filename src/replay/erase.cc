#include "replay/erase.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "base/hash.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "journal/rewrite.h"
#include "replay/keys.h"
#include "replay/records.h"
#include "replay/snapshot.h"

#include <fmt/format.h>

namespace tamis::replay {
namespace {

using engine::Engine;
using event::Kind;
using event::Value;

constexpr size_t kNoteBytesMax = 1 << 20;
constexpr size_t kEventsBytesMax = size_t{1} << 30;
constexpr size_t kHeldMax = 256;  // events whose keys are forgotten while the engine waits
constexpr size_t kPolicyBytesMax = size_t{1} << 30;

// Whether some string or whole number in the JSON is the value.
bool holds(Value json, std::string_view value) {
  switch (json.kind) {
    case Kind::kString:
      return json.str() == value;
    case Kind::kInt:
      return std::to_string(json.i) == value;
    case Kind::kList:
      return std::any_of(json.list_items().begin(), json.list_items().end(),
                         [&](Value item) { return holds(item, value); });
    case Kind::kMap:
      for (uint32_t i = 0; i < json.map->size; ++i) {
        if (holds(json.map->entries[i].value, value)) return true;
      }
      return false;
    default:
      return false;
  }
}

// Tells the records that are about the entity.
class Concerned {
 public:
  Concerned(std::shared_ptr<const policy::Policy> policy, std::shared_ptr<const event::NetworkIntel> intel,
            const std::string& on, const std::string& value)
      : policy_(std::move(policy)), intel_(std::move(intel)), on_(on), value_(value) {}

  bool test(const Record& record) {
    if (record.kind == Record::Kind::kAct) return of_act(record);
    if (record.kind != Record::Kind::kEvent && record.kind != Record::Kind::kPast) return false;
    const bool taken = event_.prepare(policy_, record.type, record.json, intel_.get()).has_value();
    if (taken && (of_event() || event_.event().dropped.empty())) return of_event();
    // The policy of today does not take it any more, or not all of it: then any field may have named the entity.
    arena_.reset();
    event::JsonLimits limits;
    limits.bytes_max = record.json.size() + 1;
    auto json = event::JsonReader::to_value(record.json, arena_, limits);
    return !json || holds(*json, value_);
  }
  // Of the last record, if it was an event that the policy takes.
  engine::PreparedEvent& event() { return event_; }

 private:
  bool of_act(const Record& record) const {
    auto act = engine::parse_act(record.json, record.receive_ms);
    return act && act->value == value_ && (act->is_on_list() || act->entity_kind == on_);
  }
  bool of_event() {
    const policy::EventType& type = policy_->types[event_.type_index()];
    if (on_ == "event:" + type.schema.name) return event_.event().id == value_;
    for (const policy::EntityField& entity : type.entities) {
      if (entity.kind != on_) continue;
      const Value v = event_.event().slots[static_cast<size_t>(entity.slot)];
      bool same = v.is(Kind::kString) ? v.str() == value_ : v.is(Kind::kInt) && std::to_string(v.i) == value_;
      if (same) return true;
    }
    return false;
  }

  std::shared_ptr<const policy::Policy> policy_;
  std::shared_ptr<const event::NetworkIntel> intel_;
  const std::string &on_, &value_;
  engine::PreparedEvent event_;
  base::Arena arena_;
};

std::string events_path(const DataFolder& folder) { return folder.path() + "/erasing.events"; }

// Before their records go: who finishes a cut-off erasure finds them here.
base::Status note_events(const DataFolder& folder, const std::string& lines) {
  if (lines.empty()) return {};
  auto noted = base::read_file(events_path(folder), kEventsBytesMax);
  if (!noted && noted.error().code != base::Code::kNotFound) return tl::unexpected(noted.error());
  return base::write_file_atomically(events_path(folder), noted.value_or("") + lines);
}

// Forgets the keys of features that events of the entity touch. The engine's policy may change meanwhile: keys of
// features that stay are found by either.
base::Status forget_keys(DataFolder& folder, const DataFolder::WithEngine& with_engine, Concerned& concerned,
                         const std::string& value, const EraseOptions& options, ErasedReport& report) {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(folder.path())));
  const uint64_t last = folder.last_number();
  std::string_view line;
  std::vector<std::string> held;
  std::string events;
  auto forget = [&](Engine& engine) {
    for (const std::string& text : held) {
      auto record = read_record(text);
      engine::PreparedEvent event;
      if (!record || !event.prepare(engine.policy(), record->type, record->json, folder.intel().get())) continue;
      const Engine::Forgotten forgotten = engine.forget_keys(event, value);
      report.feature_keys += forgotten.keys;
      report.others_keys += forgotten.others_keys;
    }
    held.clear();
  };
  uint64_t read = 0;
  while (true) {
    TAMIS_TRY(more, reader->next(line));
    if (!more || reader->number() > last) break;
    TAMIS_TRY(record, read_record(line));
    if (++read % 4096 == 0 && !options.keep_going(read)) return base::fail(base::Code::kUnavailable, "stopped");
    bool is_event = record.kind == Record::Kind::kEvent;
    if (!is_event || !concerned.test(record)) continue;
    if (events.size() < kEventsBytesMax / 2) {
      events += fmt::format("{}\t{:016x}\n", record.type, base::hash64(concerned.event().event().id));
    }
    held.emplace_back(line);
    if (held.size() >= kHeldMax) with_engine(forget);
  }
  with_engine(forget);
  return note_events(folder, events);
}

// A new snapshot, and none from before.
base::Status renew_snapshot(DataFolder& folder, const DataFolder::WithEngine& with_engine, ErasedReport& report) {
  const std::atomic<bool> never{false};
  std::vector<SnapshotFile> old = list_snapshots(folder.path());
  TAMIS_CHECK(folder.checkpoint(with_engine, never));
  report.snapshot = folder.last_snapshot();
  for (const SnapshotFile& file : list_snapshots(folder.path())) {
    if (file.record < report.snapshot) ::unlink(file.path.c_str());
  }
  remove_filled(folder.path(), UINT64_MAX);
  // One of the same record was written over.
  report.snapshots = old.size();
  return {};
}

base::Status rewrite_journal(DataFolder& folder, const DataFolder::WithEngine& with_engine, Concerned& concerned,
                             const EraseOptions& options, ErasedReport& report) {
  uint64_t before = 0;
  with_engine([&](Engine&) {
    folder.journal().roll();
    before = folder.last_number() + 1;
  });
  TAMIS_CHECK(folder.sync());
  uint64_t read = 0;
  auto rewrite = [&](std::string_view line, std::string& replacement) -> base::Result<bool> {
    if (++read % 4096 == 0 && !options.keep_going(read)) return base::fail(base::Code::kUnavailable, "stopped");
    TAMIS_TRY(record, read_record(line));
    if (!concerned.test(record)) return false;
    write_erased(record.number, record.receive_ms, replacement);
    return true;
  };
  TAMIS_TRY(done, journal::rewrite_journal(journal_folder(folder.path()), before, rewrite));
  report.journal_records = done.replaced;
  report.journal_segments = done.segments;
  return {};
}

bool is_word_at(std::string_view text, size_t at, size_t bytes) {
  auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  bool before = at > 0 && is_letter(text[at - 1]);
  bool behind = at + bytes < text.size() && is_letter(text[at + bytes]);
  return !before && !behind;
}

// Versions of the policy that name the value in a file.
base::Status find_in_policies(const DataFolder& folder, const std::string& value, ErasedReport& report) {
  auto files = base::list_files(folder.path() + "/policies");
  if (!files) return {};
  for (const base::FoundFile& file : *files) {
    TAMIS_TRY(text, base::read_file(file.path, kPolicyBytesMax));
    for (size_t at = text.find(value); at != std::string::npos; at = text.find(value, at + 1)) {
      if (!is_word_at(text, at, value.size())) continue;
      std::string name = file.path.substr(file.path.rfind('/') + 1);
      report.policies.push_back(name.substr(0, name.rfind('.')));
      break;
    }
  }
  return {};
}

base::Result<ErasedReport> erase_noted(DataFolder& folder, const DataFolder::WithEngine& with_engine,
                                       const std::shared_ptr<const policy::Policy>& policy, const std::string& on,
                                       const std::string& value, const EraseOptions& options) {
  ErasedReport report;
  Concerned concerned(policy, folder.intel(), on, value);
  TAMIS_CHECK(folder.sync());
  with_engine([&](Engine& engine) {
    Engine::Erased erased = engine.erase_entity(on, value);
    report.labels = erased.labels;
    report.list_entries = erased.list_entries;
  });
  TAMIS_CHECK(forget_keys(folder, with_engine, concerned, value, options, report));
  // From here on a crash finds a state without the person: the records before the snapshot are not folded again.
  TAMIS_CHECK(renew_snapshot(folder, with_engine, report));
  TAMIS_CHECK(folder.flush(with_engine));
  // A damaged file is left as it is, and is the last thing that is told: all else goes.
  auto rows = folder.archive().erase(*policy, on, value, options.key_of_day);
  if (!rows && rows.error().code != base::Code::kUnavailable) return tl::unexpected(rows.error());
  report.archive_rows = rows ? *rows : 0;
  TAMIS_CHECK(rewrite_journal(folder, with_engine, concerned, options, report));
  TAMIS_TRY(lines, folder.audit().erase(value));
  report.audit_lines = lines;
  TAMIS_CHECK(find_in_policies(folder, value, report));
  if (!rows) return tl::unexpected(rows.error());
  return report;
}

std::string note_path(const DataFolder& folder) { return folder.path() + "/erasing.json"; }

// Written before anything is taken away. Another one that waits there is done first, by whoever asks.
base::Status note_begin(const DataFolder& folder, const std::string& on, const std::string& value) {
  std::string text;
  event::JsonWriter json(text);
  json.begin_object().key("on").string(on).key("value").string(value).end_object();
  return base::write_file_atomically(note_path(folder), text + "\n");
}

base::Status note_end(const DataFolder& folder) {
  for (const std::string& path : {events_path(folder), note_path(folder)}) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return tl::unexpected<base::Error>(base::system_error("remove", path, errno));
  }
  return {};
}

struct Noted {
  std::string on, value;
};
base::Result<Noted> read_note(const std::string& path) {
  TAMIS_TRY(text, base::read_file(path, kNoteBytesMax));
  base::Arena arena;
  auto json = event::JsonReader::to_value(text, arena);
  if (json && json->is(Kind::kMap)) {
    const Value* on = event::map_find(*json->map, Value::string("on"));
    const Value* value = event::map_find(*json->map, Value::string("value"));
    if (on != nullptr && value != nullptr && on->is(Kind::kString) && value->is(Kind::kString))
      return Noted{std::string(on->str()), std::string(value->str())};
  }
  return base::invalid(path +
                       " does not say what was being erased, expected {\"on\": KIND, \"value\": VALUE}: ask for "
                       "the erasure again and remove the file");
}

}  // namespace

base::Result<ErasedReport> erase_entity(DataFolder& folder, const DataFolder::WithEngine& with_engine,
                                        const std::shared_ptr<const policy::Policy>& policy, const std::string& on,
                                        const std::string& value, const EraseOptions& options) {
  // One that an error cut off comes first: there is one note.
  std::error_code none;
  if (std::filesystem::exists(note_path(folder), none)) {
    TAMIS_TRY(noted, read_note(note_path(folder)));
    if (noted.on != on || noted.value != value) {
      TAMIS_TRY(finished, erase_noted(folder, with_engine, policy, noted.on, noted.value, options));
      (void)finished;
      if (options.rest) TAMIS_CHECK(options.rest(noted.value));
    }
  }
  TAMIS_CHECK(note_begin(folder, on, value));
  TAMIS_TRY(report, erase_noted(folder, with_engine, policy, on, value, options));
  if (options.rest) TAMIS_CHECK(options.rest(value));
  TAMIS_CHECK(note_end(folder));
  return report;
}

base::Result<std::string> finish_erasure(DataFolder& folder, engine::Engine& engine) {
  std::error_code none;
  if (!std::filesystem::exists(note_path(folder), none)) return std::string();
  if (engine.policy() == nullptr) return base::invalid(note_path(folder) + " is there, and the journal has no policy");
  TAMIS_TRY(noted, read_note(note_path(folder)));
  EraseOptions options;
  options.key_of_day = [&](std::string_view day) { return key_of_day(folder.path(), day); };
  const DataFolder::WithEngine alone = [&](const std::function<void(Engine&)>& use) { use(engine); };
  TAMIS_TRY(report, erase_noted(folder, alone, engine.policy(), noted.on, noted.value, options));
  return "an erasure of one " + noted.on + " that was cut off is done now: " + std::to_string(report.journal_records) +
         " more records of the journal, " + std::to_string(report.archive_rows) + " more rows of the archive";
}

base::Result<std::string> erasure_to_finish(const DataFolder& folder) {
  std::error_code none;
  if (!std::filesystem::exists(note_path(folder), none)) return std::string();
  TAMIS_TRY(noted, read_note(note_path(folder)));
  return noted.value;
}

base::Status erasure_finished(const DataFolder& folder) { return note_end(folder); }

base::Result<std::vector<uint64_t>> erased_events(const DataFolder& folder, std::string_view type) {
  std::vector<uint64_t> hashes;
  auto text = base::read_file(events_path(folder), kEventsBytesMax);
  if (!text) {
    if (text.error().code == base::Code::kNotFound) return hashes;
    return tl::unexpected(text.error());
  }
  for (std::string_view rest = *text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const size_t tab = line.find('\t');
    if (tab == std::string_view::npos || line.substr(0, tab) != type) continue;
    uint64_t hash = 0;
    const char* end = line.data() + line.size();
    const auto [at, bad] = std::from_chars(line.data() + tab + 1, end, hash, 16);
    if (bad == std::errc() && at == end) hashes.push_back(hash);
  }
  return hashes;
}

}  // namespace tamis::replay
