#include "action/batch_run.h"

#include <algorithm>

#include "action/digest.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::action {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr uint64_t kOffsetItems = 1'000;
constexpr int kRoundsMax = 3;               // looks at a place that changes while we look
constexpr uint64_t kAskedChangesMax = 200;  // of Ground::last_change() in one undo

std::string describe(const std::optional<Mark>& mark) {
  if (!mark) return "nothing lies there any more";
  std::string text = "there lies one by " + mark->author + " since " + event::format_time_ms(mark->since_ms);
  if (mark->expires_ms != state::kNeverExpires) text += " until " + event::format_time_ms(mark->expires_ms);
  return text;
}

void append_fault(std::string& lines, const BatchFault& fault) {
  event::JsonWriter json(lines);
  json.begin_object().key("step").string(fault.kept ? "kept" : "failed").key("item").uinteger(fault.item);
  if (!fault.who.empty()) json.key("who").string(fault.who);
  if (fault.when_ms != 0) json.key("when").string(event::format_time_ms(fault.when_ms));
  json.key("what").string(fault.what).end_object();
  lines += '\n';
}

}  // namespace

// Holds the items against their seal, and brings the log up to date.
Status BatchRunner::start(const BatchInfo& info) {
  info_ = info;
  TAMIS_TRY(lines, LineReader::open(stem_ + ".jsonl"));
  Sha256 digest;
  for (std::string_view line;;) {
    TAMIS_TRY(more, lines.next(line));
    if (!more) break;
    if (lines.number() >= 2 && (lines.number() - 2) % kOffsetItems == 0) offsets_.push_back(lines.offset());
    digest.add(line);
    digest.add("\n");
    if (lines.number() >= 2 && line.find("\"token\":true") != std::string_view::npos) TAMIS_CHECK(note_token(line));
  }
  if (digest.hex() != info_.sha256 || lines.number() != info_.items + 1 || lines.torn_bytes() != 0) {
    return base::invalid(stem_ + ".jsonl was changed: its content does not have the SHA-256 " + info_.sha256 +
                         " that was journaled");
  }
  BatchInfo from_log = info;
  TAMIS_CHECK(read_log(stem_ + ".log", from_log, &log_));
  for (const BatchFault& fault : log_.faults) {
    if (!fault.kept) failed_.insert(fault.item);
  }
  TAMIS_TRY(file, LineFile::open(stem_ + ".log"));
  log_file_ = std::move(file);
  begun_ = std::chrono::steady_clock::now();
  return {};
}

// There may be the same characters in a text.
Status BatchRunner::note_token(std::string_view line) {
  base::Arena arena;
  TAMIS_TRY(stored, read_item(line, arena));
  if (!stored.item.is_token) return {};
  Place& place = stored.item.place;
  values_.emplace(std::move(place.value), std::string());
  place.value.clear();
  if (std::find(token_places_.begin(), token_places_.end(), place) == token_places_.end())
    token_places_.push_back(std::move(place));
  return {};
}

// Which values the tokens of the items stand for, among what is in force.
void BatchRunner::find_values() {
  if (values_.empty()) return;
  ground_.visit([&](const Place& lies) {
    auto is_like = [&](const Place& place) {
      return place.kind == lies.kind && place.on == lies.on && place.name == lies.name;
    };
    if (std::none_of(token_places_.begin(), token_places_.end(), is_like)) return;
    auto found = values_.find(ground_.token(info_.planned_ms, lies.value));
    if (found != values_.end()) found->second = lies.value;
  });
}

// Gives an item its value back; false: nobody can tell it any more.
bool BatchRunner::untoken(Slot& slot) {
  StoredItem& stored = slot.stored;
  if (!stored.item.is_token) return true;
  const auto found = values_.find(stored.item.place.value);
  if (found == values_.end() || found->second.empty()) return false;
  auto give_back = [&](std::optional<Mark>& mark) {
    if (mark) replace_words(mark->reason, found->first, found->second);
  };
  give_back(stored.before);
  if (auto other = log_.before.find(slot.number); other != log_.before.end()) give_back(other->second);
  stored.item.place.value = found->second;
  stored.item.is_token = false;
  return true;
}

Status BatchRunner::log(const std::string& lines, bool sync) {
  TAMIS_CHECK(log_file_.append(lines));
  return sync ? log_file_.sync() : Status{};
}

Status BatchRunner::step(std::string_view name, bool with_who, bool again) {
  std::string line;
  event::JsonWriter json(line);
  json.begin_object().key("step").string(name).key("t").string(event::format_time_ms(ground_.now_ms()));
  if (with_who) json.key("by").string(fit_text(run_.by, 256)).key("why").string(fit_text(run_.why, 1024));
  if (name == "stopped") json.key("why").string(fit_text(stop_reason_, 1024));
  if (again) json.key("again").integer(1);
  json.end_object();
  return log(line + "\n", true);
}

Status BatchRunner::journal(std::string_view step) {
  std::string line;
  event::JsonWriter json(line);
  json.begin_object().key("batch").string(info_.id).key("step").string(step).key("sha256").string(info_.sha256);
  if (!run_.by.empty()) json.key("by").string(fit_text(run_.by, 256));
  if (!run_.why.empty()) json.key("why").string(fit_text(run_.why, 1024));
  json.key("items").uinteger(info_.items).key("done").uinteger(info_.done).key("changed").uinteger(info_.changed);
  json.key("restored").uinteger(info_.restored).key("removed").uinteger(info_.removed);
  json.key("kept").uinteger(info_.kept).end_object();
  TAMIS_CHECK(ground_.record(line));
  return ground_.sync();
}

uint64_t BatchRunner::chunk_items() const {
  uint64_t most = std::max<uint32_t>(options_.chunk_items, 1);
  return run_.rate_per_s == 0 ? most : std::clamp<uint64_t>(run_.rate_per_s / 4, 1, most);
}

// After a chunk: tells how far it is, and waits where the rate asks for it. False: stop.
bool BatchRunner::goes_on(uint64_t done) {
  publish_(info_);
  if (run_.progress && !run_.progress(info_)) {
    stop_reason_ = "on demand";
    return false;
  }
  std::unique_lock lock(stop_.mutex);
  if (run_.rate_per_s > 0 && !stop_.stop) {
    auto until = begun_ + std::chrono::milliseconds((done - begun_at_) * 1'000 / run_.rate_per_s);
    stop_.asked.wait_until(lock, until, [this] { return stop_.stop; });
  }
  if (stop_.stop) stop_reason_ = "on demand";
  return !stop_.stop;
}

// The last lines. `status`: how the chunks ended; a ground that takes nothing more now is a stop, no error.
Status BatchRunner::end(Status status, bool complete, BatchState complete_state) {
  if (!status) stop_reason_ = status.error().message;
  if (status && complete) {
    TAMIS_CHECK(step(to_string(complete_state), false));
    info_.state = complete_state;
  } else {
    if (info_.state == BatchState::kApplying) info_.state = BatchState::kStopped;
    info_.stop_reason = stop_reason_;
    Status logged = step("stopped", false);
    if (status && !logged) return logged;
  }
  Status journaled = journal(to_string(info_.state));
  if (!status && status.error().code != Code::kUnavailable) return status;
  // What the journal did not take is in the log; the acts themselves were synced chunk by chunk.
  if (status && !journaled) return journaled;
  return {};
}

Status BatchRunner::read_items(uint64_t from, uint64_t to) {
  slots_.clear();
  uint64_t number = from / kOffsetItems * kOffsetItems;
  TAMIS_TRY(lines, LineReader::open(stem_ + ".jsonl", offsets_.at(from / kOffsetItems)));
  base::Arena arena;
  for (std::string_view line; number < to; ++number) {
    TAMIS_TRY(more, lines.next(line));
    if (!more) return base::fail(Code::kInternal, stem_ + ".jsonl ends early");
    if (number < from) continue;
    auto item = read_item(line, arena);
    if (!item) return base::invalid(stem_ + ".jsonl: item " + std::to_string(number) + ": " + item.error().message);
    slots_.push_back({std::move(*item), number});
  }
  return {};
}

Status BatchRunner::hold(const std::vector<size_t>& at, const std::function<Status(Slot&, size_t)>& use) {
  const size_t group = std::max<uint32_t>(options_.hold_items, 1);
  Status status;
  for (size_t begin = 0; begin < at.size() && status; begin += group) {
    ground_.hold([&] {
      for (size_t i = begin; i < std::min(begin + group, at.size()) && status; ++i) status = use(slots_[at[i]], at[i]);
    });
  }
  return status;
}

const std::optional<Mark>& BatchRunner::before(const Slot& slot) const {
  auto other = log_.before.find(slot.number);
  return other == log_.before.end() ? slot.stored.before : other->second;
}

Result<BatchInfo> BatchRunner::apply(const BatchInfo& info) {
  TAMIS_CHECK(start(info));
  TAMIS_CHECK(step("apply", true));
  info_.state = BatchState::kApplying;
  info_.applied_by = fit_text(run_.by, 256);
  info_.applied_ms = ground_.now_ms();
  info_.stop_reason.clear();
  Status status = journal("applying");
  uint64_t target = std::min(info_.items, run_.cap);
  begun_at_ = info_.done;
  bool go = status.has_value() && goes_on(info_.done);
  while (go && info_.done < target) {
    status = apply_chunk();
    go = status && goes_on(info_.done);
  }
  if (status && stop_reason_.empty() && info_.done < info_.items) {
    stop_reason_ = "the cap of " + std::to_string(run_.cap) + " items is reached";
  }
  TAMIS_CHECK(end(status, info_.done == info_.items, BatchState::kApplied));
  return info_;
}

Status BatchRunner::apply_chunk() {
  bool resumed = log_.touched() > info_.done;
  std::string lines;
  if (!resumed) {
    uint64_t to = std::min({info_.done + chunk_items(), info_.items, std::max(run_.cap, info_.done + 1)});
    log_.chunks.push_back({info_.done, to, ground_.now_ms()});
    event::JsonWriter json(lines);
    json.begin_object().key("step").string("chunk").key("from").uinteger(info_.done).key("to").uinteger(to);
    json.key("t").string(event::format_time_ms(log_.chunks.back().t_ms)).end_object();
    lines += '\n';
  }
  const BatchChunk chunk = log_.chunks.back();
  TAMIS_CHECK(read_items(chunk.from, chunk.to));
  std::vector<size_t> at;
  BatchInfo old = info_;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].stored.erased || failed_.contains(slots_[i].number)) {
      ++(slots_[i].stored.erased ? info_.already : info_.failed);
    } else if (slots_[i].stored.item.is_token) {
      ++info_.failed;
      failed_.insert(slots_[i].number);
      append_fault(lines, {slots_[i].number, {}, false, {}, 0, "its value was private and is forgotten: plan anew"});
    } else {
      at.push_back(i);
    }
  }
  Status status;
  for (int round = 0; round < kRoundsMax && !at.empty() && status; ++round) {
    std::vector<size_t> left;
    status = look_again(at, chunk, resumed && round == 0, lines);
    // What the marks depend on is on disk before the first of them is laid.
    if (status) status = log(lines, true);
    lines.clear();
    if (status) status = act(chunk, at, lines);
  }
  for (size_t i : at) {
    if (!status) break;
    ++info_.failed;
    failed_.insert(slots_[i].number);
    append_fault(lines, {slots_[i].number, {}, false, {}, 0, "it was changed by others again and again"});
  }
  if (status) status = ground_.sync();
  if (!status) {
    info_ = old;  // the chunk is done once more when the batch goes on
    return status;
  }
  info_.done = chunk.to;
  event::JsonWriter json(lines);
  json.begin_object().key("step").string("done").key("done").uinteger(info_.done);
  json.key("changed").uinteger(info_.changed).key("already").uinteger(info_.already);
  json.key("failed").uinteger(info_.failed).end_object();
  return log(lines + "\n", false);
}

// Writes down what lies there, where that is not what was written down before. In a chunk that was interrupted, what
// the batch has laid already is recognised by its mark.
Status BatchRunner::look_again(const std::vector<size_t>& at, const BatchChunk& chunk, bool resumed,
                               std::string& lines) {
  return hold(at, [&](Slot& slot, size_t) -> Status {
    std::optional<Mark> lies = ground_.look(slot.stored.item.place);
    const std::optional<Mark>& known = before(slot);
    if (lies == known) return {};
    if (resumed && lies && lies == wanted_mark(info_, slot.stored.item, known, chunk.t_ms)) return {};
    append_before(lines, slot.number, lies);
    log_.before[slot.number] = std::move(lies);
    return {};
  });
}

// Lays the marks. What changed since the look stays in `at`.
Status BatchRunner::act(const BatchChunk& chunk, std::vector<size_t>& at, std::string& lines) {
  std::vector<size_t> changed_meanwhile;
  TAMIS_CHECK(hold(at, [&](Slot& slot, size_t place) -> Status {
    const BatchItem& item = slot.stored.item;
    std::optional<Mark> lies = ground_.look(item.place);
    const std::optional<Mark>& known = before(slot);
    std::optional<Mark> wanted = wanted_mark(info_, item, known, chunk.t_ms);
    if (wanted && lies == wanted) {  // laid before a crash
      ++info_.changed;
    } else if (lies != known) {
      changed_meanwhile.push_back(place);
    } else if (!wanted) {
      ++info_.already;
    } else if (Status status = ground_.put(item.place, *wanted, info_.id); status) {
      ++info_.changed;
    } else if (status.error().code == Code::kUnavailable) {
      return status;
    } else {
      ++info_.failed;
      failed_.insert(slot.number);
      append_fault(lines, {slot.number, {}, false, {}, 0, fit_text(status.error().message, 1024)});
    }
    return {};
  }));
  at = std::move(changed_meanwhile);
  return {};
}

Result<BatchInfo> BatchRunner::undo(const BatchInfo& info) {
  TAMIS_CHECK(start(info));
  bool again = info.state == BatchState::kUndone, resumed = info.state == BatchState::kUndoing;
  TAMIS_CHECK(step("undo", true, again));
  info_.state = BatchState::kUndoing;
  info_.undone_by = fit_text(run_.by, 256);
  info_.undo_reason = fit_text(run_.why, 1024);
  info_.undone_ms = ground_.now_ms();
  info_.stop_reason.clear();
  if (again) info_.undone = info_.kept = 0;
  find_values();
  Status status = journal("undoing");
  uint64_t total = log_.touched();
  begun_at_ = info_.undone;
  bool go = status.has_value() && goes_on(info_.undone);
  while (go && info_.undone < total) {
    status = undo_chunk(total, resumed, again);
    resumed = false;
    go = status && goes_on(info_.undone);
  }
  TAMIS_CHECK(end(status, info_.undone >= total, BatchState::kUndone));
  return info_;
}

// From the last item to the first, as what is laid on top of each other comes off.
Status BatchRunner::undo_chunk(uint64_t total, bool resumed, bool again) {
  uint64_t to = total - info_.undone, from = to - std::min(to, chunk_items());
  TAMIS_CHECK(read_items(from, to));
  BatchInfo old = info_;
  std::vector<size_t> at;
  for (size_t i = slots_.size(); i-- > 0;) {
    if (slots_[i].stored.erased || failed_.contains(slots_[i].number)) continue;
    if (untoken(slots_[i])) {
      at.push_back(i);
    } else if (!again && slots_[i].number < info_.done) {
      ++info_.gone;
    }
  }
  std::vector<BatchFault> kept;
  Status status = hold(at, [&](Slot& slot, size_t) -> Status {
    const BatchChunk* chunk = log_.chunk_of(slot.number);
    return chunk == nullptr ? Status{} : undo_item(slot, *chunk, resumed, again, kept);
  });
  if (status) status = ground_.sync();
  if (!status) {
    info_ = old;
    return status;
  }
  info_.undone += to - from;
  std::string lines;
  write_kept(kept, lines);
  event::JsonWriter json(lines);
  json.begin_object().key("step").string("back").key("undone").uinteger(info_.undone);
  json.key("restored").uinteger(info_.restored).key("removed").uinteger(info_.removed);
  json.key("gone").uinteger(info_.gone).key("kept").uinteger(info_.kept).end_object();
  return log(lines + "\n", true);
}

Status BatchRunner::undo_item(Slot& slot, const BatchChunk& chunk, bool resumed, bool again,
                              std::vector<BatchFault>& kept) {
  const Place& place = slot.stored.item.place;
  const std::optional<Mark>& known = before(slot);
  std::optional<Mark> ours = wanted_mark(info_, slot.stored.item, known, chunk.t_ms);
  if (!ours) return {};
  std::optional<Mark> lies = ground_.look(place);
  const Mark* old = in_force(known, ground_.now_ms());
  auto count = [&] { ++(old ? info_.restored : info_.removed); };
  if (lies == ours) {
    Status status =
        old ? ground_.put(place, *old, info_.id) : ground_.remove(place, info_.id, info_.undone_by, info_.undo_reason);
    if (status) {
      count();
      return {};
    }
    if (status.error().code == Code::kUnavailable) return status;
    ++info_.kept;
    kept.push_back({slot.number, place, true, {}, 0, fit_text(status.error().message, 1024)});
    return {};
  }
  if (old ? lies == *old : !lies) {
    if (resumed) {
      count();  // we did it before we were interrupted
    } else if (!again && slot.number < info_.done) {
      ++info_.gone;
    }
    return {};
  }
  ++info_.kept;
  kept.push_back({slot.number, place, true, lies ? lies->author : "", lies ? lies->since_ms : 0, describe(lies)});
  return {};
}

void BatchRunner::write_kept(std::vector<BatchFault>& kept, std::string& lines) {
  for (BatchFault& fault : kept) {
    if (asked_changes_ < kAskedChangesMax) {
      ++asked_changes_;
      if (auto last = ground_.last_change(fault.place)) {
        fault.who = last->who;
        fault.when_ms = last->when_ms;
      }
    }
    append_fault(lines, fault);
  }
}

}  // namespace tamis::action
