#include "action/batch_file.h"

#include <algorithm>

#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::action {
namespace {

constexpr std::string_view kKindWords[] = {"label", "list", "revision"};
constexpr std::string_view kStateWords[] = {"planned", "applying", "stopped", "applied", "undoing", "undone"};

void put_time(event::JsonWriter& json, std::string_view key, int64_t ms) {
  json.key(key).string(event::format_time_ms(ms));
}

// Counts of the log and of the API have one name.
struct Count {
  std::string_view key;
  uint64_t BatchInfo::*member;
};
constexpr Count kApplyCounts[] = {{"done", &BatchInfo::done},
                                  {"changed", &BatchInfo::changed},
                                  {"already", &BatchInfo::already},
                                  {"failed", &BatchInfo::failed}};
constexpr Count kUndoCounts[] = {{"undone", &BatchInfo::undone},
                                 {"restored", &BatchInfo::restored},
                                 {"removed", &BatchInfo::removed},
                                 {"gone", &BatchInfo::gone},
                                 {"kept", &BatchInfo::kept}};

void take_step(const JsonObject& json, std::string_view step, BatchInfo& info) {
  if (step == "planned" || step == "erased" || step == "tokens") {
    info.sha256 = json.text("sha256");
    if (step == "planned") info.planned_ms = json.time_ms("t");
  } else if (step == "apply") {
    info.state = BatchState::kApplying;
    info.applied_by = json.text("by");
    info.applied_ms = json.time_ms("t");
    info.stop_reason.clear();
  } else if (step == "done") {
    for (const Count& count : kApplyCounts) info.*count.member = json.count(count.key);
  } else if (step == "stopped") {
    if (info.state == BatchState::kApplying) info.state = BatchState::kStopped;
    info.stop_reason = json.text("why");
  } else if (step == "applied") {
    info.state = BatchState::kApplied;
  } else if (step == "undo") {
    info.state = BatchState::kUndoing;
    info.undone_by = json.text("by");
    info.undo_reason = json.text("why");
    info.undone_ms = json.time_ms("t");
    info.stop_reason.clear();
    if (json.number("again") != 0) info.undone = info.kept = 0;
  } else if (step == "back") {
    for (const Count& count : kUndoCounts) info.*count.member = json.count(count.key);
  } else if (step == "undone") {
    info.state = BatchState::kUndone;
  }
}

void take_detail(const JsonObject& json, std::string_view step, BatchLog& log) {
  if (step == "chunk") {
    log.chunks.push_back({json.count("from"), json.count("to"), json.time_ms("t")});
  } else if (step == "before") {
    log.before[json.count("item")] = read_mark(json, "mark");
  } else if (step == "failed" || step == "kept") {
    BatchFault fault;
    fault.item = json.count("item");
    fault.kept = step == "kept";
    fault.who = json.text("who");
    fault.when_ms = json.time_ms("when");
    fault.what = json.text("what");
    log.faults.push_back(std::move(fault));
  } else if (step == "undo" && json.number("again") != 0) {
    std::erase_if(log.faults, [](const BatchFault& fault) { return fault.kept; });
  }
}

}  // namespace

std::string_view kind_word(Place::Kind kind) { return kKindWords[static_cast<size_t>(kind)]; }
std::string_view to_string(BatchState state) { return kStateWords[static_cast<size_t>(state)]; }

std::string to_json(const BatchInfo& info) {
  std::string out;
  event::JsonWriter json(out);
  json.begin_object().key("id").string(info.id).key("state").string(to_string(info.state));
  json.key("running").boolean(info.running).key("rule").string(info.rule).key("policy").string(info.policy);
  json.key("author").string(info.author).key("reason").string(info.reason);
  put_time(json, "from", info.from_ms);
  put_time(json, "to", info.to_ms);
  put_time(json, "planned_at", info.planned_ms);
  if (info.applied_ms != 0) {
    put_time(json, "applied_at", info.applied_ms);
    json.key("applied_by").string(info.applied_by);
  }
  if (info.undone_ms != 0) {
    put_time(json, "undone_at", info.undone_ms);
    json.key("undone_by").string(info.undone_by).key("undo_reason").string(info.undo_reason);
  }
  if (!info.stop_reason.empty()) json.key("stop_reason").string(info.stop_reason);
  json.key("sha256").string(info.sha256).key("items").uinteger(info.items);
  for (const Count& count : kApplyCounts) json.key(count.key).uinteger(info.*count.member);
  for (const Count& count : kUndoCounts) json.key(count.key).uinteger(info.*count.member);
  json.end_object();
  return out;
}

void append_header(std::string& out, const BatchInfo& info) {
  event::JsonWriter json(out);
  json.begin_object().key("batch").string(info.id).key("rule").string(info.rule).key("policy").string(info.policy);
  json.key("author").string(info.author).key("reason").string(info.reason);
  put_time(json, "from", info.from_ms);
  put_time(json, "to", info.to_ms);
  put_time(json, "t", info.planned_ms);
  json.key("items").uinteger(info.items).end_object();
  out += '\n';
}

base::Result<BatchInfo> read_header(std::string_view line, base::Arena& arena) {
  arena.reset();
  TAMIS_TRY(json, JsonObject::read(line, arena));
  BatchInfo info;
  info.id = json.text("batch");
  info.rule = json.text("rule");
  info.policy = json.text("policy");
  info.author = json.text("author");
  info.reason = json.text("reason");
  info.from_ms = json.time_ms("from");
  info.to_ms = json.time_ms("to");
  info.planned_ms = json.time_ms("t");
  info.items = json.count("items");
  if (info.id.empty() || info.items == 0) return base::invalid("it has no id or no items");
  return info;
}

void append_mark(std::string& out, const std::optional<Mark>& mark) {
  event::JsonWriter json(out);
  if (!mark) {
    json.null();
    return;
  }
  json.begin_object().key("author").string(mark->author).key("reason").string(mark->reason);
  put_time(json, "since", mark->since_ms);
  if (mark->expires_ms != state::kNeverExpires) put_time(json, "expires", mark->expires_ms);
  json.end_object();
}

void append_before(std::string& out, uint64_t item, const std::optional<Mark>& mark) {
  event::JsonWriter json(out);
  json.begin_object().key("step").string("before").key("item").uinteger(item).key("mark");
  std::string text;
  append_mark(text, mark);
  json.raw(text).end_object();
  out += '\n';
}

std::optional<Mark> read_mark(const JsonObject& json, std::string_view key) {
  JsonObject object = json.object(key);
  if (!object.has("since")) return std::nullopt;
  return Mark{std::string(object.text("author")), std::string(object.text("reason")), object.time_ms("since"),
              object.time_ms("expires", state::kNeverExpires)};
}

void append_item(std::string& out, const StoredItem& stored) {
  const BatchItem& item = stored.item;
  event::JsonWriter json(out);
  json.begin_object().key("kind").string(kind_word(item.place.kind)).key("on").string(item.place.on);
  if (stored.erased) {
    json.key("value").null();
  } else {
    json.key("value").string(item.place.value);
    if (item.is_token) json.key("token").boolean(true);
  }
  if (!item.place.name.empty()) json.key("name").string(item.place.name);
  if (!item.place.was.empty()) json.key("was").string(item.place.was);
  if (item.lasts_ms != 0) {
    json.key("lasts_ms").integer(item.lasts_ms);
  } else if (item.expires_ms != state::kNeverExpires) {
    put_time(json, "expires", item.expires_ms);
  }
  json.key("records").uinteger(item.records).key("before");
  std::string mark;
  append_mark(mark, stored.before);
  json.raw(mark).end_object();
  out += '\n';
}

base::Result<StoredItem> read_item(std::string_view line, base::Arena& arena) {
  arena.reset();
  TAMIS_TRY(json, JsonObject::read(line, arena));
  StoredItem stored;
  std::string_view kind = json.text("kind");
  size_t k = 0;
  while (k < std::size(kKindWords) && kKindWords[k] != kind) ++k;
  if (k == std::size(kKindWords)) return base::invalid("\"kind\" is not label, list or revision");
  Place& place = stored.item.place;
  place.kind = static_cast<Place::Kind>(k);
  place.on = json.text("on");
  place.value = json.text("value");
  place.name = json.text("name");
  place.was = json.text("was");
  stored.item.is_token = json.has("token");
  stored.erased = place.value.empty();
  stored.item.lasts_ms = json.number("lasts_ms");
  stored.item.expires_ms = json.time_ms("expires", state::kNeverExpires);
  stored.item.records = json.count("records");
  stored.before = read_mark(json, "before");
  return stored;
}

std::optional<Mark> wanted_mark(const BatchInfo& info, const BatchItem& item, const std::optional<Mark>& before,
                                int64_t t_ms) {
  bool revision = item.place.kind == Place::Kind::kRevision;
  const Mark* lies = in_force(before, t_ms);
  int64_t expires_ms = item.lasts_ms != 0 ? t_ms + item.lasts_ms : item.expires_ms;
  if (expires_ms <= t_ms) return std::nullopt;  // its time has passed
  if (lies && !revision && lies->expires_ms >= expires_ms) return std::nullopt;
  Mark mark{info.author, info.reason, t_ms, expires_ms};
  if (lies) {
    // What ends earlier than what it replaces would take something away that undo could no longer tell from an expiry.
    mark.expires_ms = std::max(mark.expires_ms, lies->expires_ms);
    if (!revision) mark.since_ms = lies->since_ms;
    if (mark == *lies) return std::nullopt;
  }
  return mark;
}

const BatchChunk* BatchLog::chunk_of(uint64_t item) const {
  auto behind = std::upper_bound(chunks.begin(), chunks.end(), item,
                                 [](uint64_t number, const BatchChunk& chunk) { return number < chunk.from; });
  if (behind == chunks.begin()) return nullptr;
  --behind;
  return item < behind->to ? &*behind : nullptr;
}

base::Status read_log(const std::string& path, BatchInfo& info, BatchLog* log) {
  TAMIS_TRY(lines, LineReader::open(path));
  base::Arena arena;
  for (std::string_view line;;) {
    TAMIS_TRY(more, lines.next(line));
    if (!more) break;
    arena.reset();
    auto json = JsonObject::read(line, arena);
    if (!json || !json->has("step")) {
      return base::invalid(path + ":" + std::to_string(lines.number()) + " is no line of a batch's log");
    }
    take_step(*json, json->text("step"), info);
    if (log != nullptr) take_detail(*json, json->text("step"), *log);
  }
  if (info.sha256.empty()) return base::invalid(path + " does not say what was planned");
  return {};
}

}  // namespace tamis::action
