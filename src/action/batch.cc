#include "action/batch.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>

#include "action/batch_file.h"
#include "action/batch_run.h"
#include "action/digest.h"
#include "base/file.h"
#include "base/hash.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::action {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr size_t kTextBytesMax = 1024;   // of labels, see state/label.h
constexpr size_t kValueBytesMax = 4096;  // of list entries
constexpr size_t kWriteBytes = 1 << 20;

uint64_t hash_of(const Place& place) {
  uint64_t hash = base::hash64(place.value, static_cast<uint64_t>(place.kind));
  return base::combine64(base::combine64(hash, base::hash64(place.on)), base::hash64(place.name));
}

Status check_item(const BatchItem& item) {
  const Place& place = item.place;
  if (place.on.empty() || place.value.empty()) return base::invalid("it has no value, or does not say on what");
  if (place.kind != Place::Kind::kList && place.name.empty()) return base::invalid("it has no name");
  size_t value_max = place.kind == Place::Kind::kList ? kValueBytesMax : kTextBytesMax;
  if (place.on.size() > kTextBytesMax || place.name.size() > kTextBytesMax || place.value.size() > value_max) {
    return base::fail(Code::kLimit, "a text of more than " + std::to_string(value_max) + " bytes");
  }
  if (!is_valid_utf8(place.on) || !is_valid_utf8(place.value) || !is_valid_utf8(place.name)) {
    return base::invalid("a text that is no UTF-8");
  }
  if (item.lasts_ms < 0 || item.lasts_ms > int64_t{1'000} * 366 * 86'400'000) {
    return base::invalid("it lasts a negative time, or more than 1000 years");
  }
  return {};
}

std::string words_of(const Place& place) {
  return std::string(kind_word(place.kind)) + " " + (place.name.empty() ? "" : place.name + " ") + "on " + place.on +
         " " + place.value.substr(0, 100);
}

Status check_items(std::span<const BatchItem> items, uint64_t items_max) {
  if (items.empty()) return base::invalid("a batch has at least one item");
  if (items.size() > items_max) {
    return base::fail(Code::kLimit,
                      std::to_string(items.size()) + " items; a batch has " + std::to_string(items_max) + " at most");
  }
  std::unordered_map<uint64_t, size_t> seen;
  seen.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    if (Status good = check_item(items[i]); !good) {
      return base::fail(good.error().code, "item " + std::to_string(i) + " (" +
                                               fit_text(words_of(items[i].place), 300) + "): " + good.error().message);
    }
    auto [other, is_new] = seen.emplace(hash_of(items[i].place), i);
    if (!is_new && items[other->second].place == items[i].place) {
      return base::invalid("item " + std::to_string(i) + " is the same place as item " + std::to_string(other->second) +
                           ": " + words_of(items[i].place));
    }
  }
  return {};
}

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= 64 &&
         id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") ==
             std::string_view::npos;
}

class FileBatches final : public Batches {
 public:
  FileBatches(std::string folder, Ground& ground, BatchOptions options)
      : folder_(std::move(folder)), ground_(ground), options_(options) {}

  Status start();
  Result<BatchPreview> preview(std::span<const BatchItem> items) override;
  Result<BatchInfo> plan(const BatchPlan& plan) override;
  Result<BatchInfo> apply(std::string_view id, const BatchRun& run) override { return go(id, run, false); }
  Result<BatchInfo> undo(std::string_view id, const BatchRun& run) override { return go(id, run, true); }
  Status stop(std::string_view id) override;
  Result<BatchInfo> info(std::string_view id) const override;
  std::vector<BatchInfo> list(size_t limit) const override;
  Result<BatchReport> report(std::string_view id, size_t limit) const override;
  Result<std::vector<BatchItem>> items(std::string_view id, uint64_t from, size_t limit) const override;
  Result<uint64_t> erase(std::string_view value) override;
  Result<uint64_t> forget_values(int64_t before_ms, const std::function<bool(const Place&)>& is_private) override;
  Status forget(std::string_view id) override;

 private:
  struct Entry {
    BatchInfo info;  // guarded by mutex_
    BatchStop stop;
    bool has_values = true;  // that forget_values() has not looked at; guarded by mutex_
  };

  std::string stem(std::string_view id) const { return folder_ + "/" + std::string(id); }
  Result<std::shared_ptr<Entry>> find(std::string_view id) const;  // under mutex_
  Status load(const std::string& path);
  Result<BatchInfo> go(std::string_view id, const BatchRun& run, bool undo);
  std::string new_id(const BatchPlan& plan, int64_t now_ms);
  Status write_items(const BatchPlan& plan, BatchInfo& info);
  Status look_all(std::span<const BatchItem> items,
                  const std::function<Status(const BatchItem&, std::optional<Mark>)>& use);
  // Changes an item in place; false: it stays as it was.
  using ChangeItem = std::function<bool(StoredItem&)>;
  // Changes a line of the log about an item that was changed; false: the line goes.
  using ChangeLine =
      std::function<bool(uint64_t item, const JsonObject& json, std::string_view step, std::string& line)>;
  Result<uint64_t> change_in(Entry& entry, std::string_view step, const ChangeItem& change,
                             const ChangeLine& change_line);
  Result<uint64_t> erase_in(Entry& entry, std::string_view value);
  Result<uint64_t> forget_in(Entry& entry, const std::function<bool(const Place&)>& is_private);

  const std::string folder_;
  Ground& ground_;
  const BatchOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>, std::less<>> entries_;
};

Status FileBatches::start() {
  TAMIS_CHECK(base::make_folders(folder_));
  base::ListOptions options;
  options.depth_max = 2;
  TAMIS_TRY(files, base::list_files(folder_, options));
  for (const base::FoundFile& file : files) {
    std::string_view path = file.path;
    size_t dot = path.rfind('.');
    std::string_view ending = dot == std::string_view::npos ? "" : path.substr(dot);
    if (ending == ".new") ::unlink(file.path.c_str());  // of a plan or an erasure that a crash ended
    if (ending == ".jsonl") TAMIS_CHECK(load(file.path));
  }
  return {};
}

Status FileBatches::load(const std::string& path) {
  std::string log_path = path.substr(0, path.size() - 5) + "log";
  if (::access(log_path.c_str(), F_OK) != 0) {
    // Its plan was never acknowledged.
    if (::unlink(path.c_str()) == 0) return {};
    return tl::unexpected<base::Error>(base::system_error("remove", path, errno));
  }
  TAMIS_TRY(lines, LineReader::open(path));
  std::string_view line;
  TAMIS_TRY(more, lines.next(line));
  base::Arena arena;
  auto info = more ? read_header(line, arena) : Result<BatchInfo>(base::invalid("it is empty"));
  if (!info) return base::invalid(path + " is no batch: " + info.error().message);
  if (path != stem(info->id) + ".jsonl") return base::invalid(path + " holds the batch " + info->id);
  {
    TAMIS_TRY(log, LineFile::open(log_path));  // cuts off what a crash left of a line
    if (log.size() == 0) {
      ::unlink(log_path.c_str());
      ::unlink(path.c_str());
      return {};
    }
  }
  TAMIS_CHECK(read_log(log_path, *info, nullptr));
  if (info->state == BatchState::kApplying) info->state = BatchState::kStopped;
  bool interrupted = info->state == BatchState::kStopped || info->state == BatchState::kUndoing;
  if (interrupted && info->stop_reason.empty()) info->stop_reason = "interrupted";
  auto entry = std::make_shared<Entry>();
  entry->info = std::move(*info);
  entries_.emplace(entry->info.id, entry);
  return {};
}

Result<std::shared_ptr<FileBatches::Entry>> FileBatches::find(std::string_view id) const {
  auto found = is_id(id) ? entries_.find(id) : entries_.end();
  if (found == entries_.end()) {
    return base::fail(Code::kNotFound, "no action batch \"" + fit_text(id, 64) + "\"");
  }
  return found->second;
}

Status FileBatches::look_all(std::span<const BatchItem> items,
                             const std::function<Status(const BatchItem&, std::optional<Mark>)>& use) {
  const size_t group = std::max<uint32_t>(options_.hold_items, 1);
  std::vector<std::optional<Mark>> marks(group);
  for (size_t begin = 0; begin < items.size(); begin += group) {
    size_t count = std::min(group, items.size() - begin);
    ground_.hold([&] {
      for (size_t i = 0; i < count; ++i) marks[i] = ground_.look(items[begin + i].place);
    });
    for (size_t i = 0; i < count; ++i) TAMIS_CHECK(use(items[begin + i], std::move(marks[i])));
  }
  return {};
}

Result<BatchPreview> FileBatches::preview(std::span<const BatchItem> items) {
  TAMIS_CHECK(check_items(items, options_.items_max));
  BatchPreview preview;
  BatchInfo info;
  int64_t now_ms = ground_.now_ms();
  TAMIS_CHECK(look_all(items, [&](const BatchItem& item, std::optional<Mark> lies) -> Status {
    Place::Kind kind = item.place.kind;
    ++(kind == Place::Kind::kLabel ? preview.labels : kind == Place::Kind::kList ? preview.entries : preview.revisions);
    bool changes = wanted_mark(info, item, lies, now_ms).has_value();
    ++(!changes ? preview.already : lies ? preview.replaced : preview.fresh);
    return {};
  }));
  return preview;
}

// Unique in the folder, sorted by time, and not to be guessed wrong by a slip.
std::string FileBatches::new_id(const BatchPlan& plan, int64_t now_ms) {
  std::string time = event::format_time_ms(now_ms), id = "b";
  for (char c : time.substr(0, 19)) {
    if (c != '-' && c != ':') id += c == 'T' ? '-' : c;
  }
  uint64_t seed = base::hash64(plan.rule + "\n" + plan.author + "\n" + time);
  for (;; seed = base::mix64(seed)) {
    std::string whole = id + "-" + sha256_hex(std::to_string(seed)).substr(0, 6);
    if (!entries_.contains(whole) && ::access((stem(whole) + ".jsonl").c_str(), F_OK) != 0) return whole;
  }
}

Result<BatchInfo> FileBatches::plan(const BatchPlan& plan) {
  TAMIS_CHECK(check_items(plan.items, options_.items_max));
  auto entry = std::make_shared<Entry>();
  BatchInfo& info = entry->info;
  info.rule = fit_text(plan.rule, kTextBytesMax);
  info.policy = fit_text(plan.policy, kTextBytesMax);
  info.author = fit_text(plan.author, kTextBytesMax);
  info.reason = fit_text(plan.reason, kTextBytesMax);
  info.from_ms = plan.from_ms;
  info.to_ms = plan.to_ms;
  info.planned_ms = ground_.now_ms();
  info.items = plan.items.size();
  info.running = true;  // until the plan is complete nobody applies it
  {
    std::lock_guard lock(mutex_);
    if (entries_.size() >= options_.batches_max) {
      return base::fail(Code::kLimit,
                        "there are " + std::to_string(entries_.size()) + " action batches; forget old ones");
    }
    info.id = new_id(plan, info.planned_ms);
    entries_.emplace(info.id, entry);
  }
  Status status = write_items(plan, info);
  std::lock_guard lock(mutex_);
  if (!status) {
    for (const char* ending : {".log", ".jsonl", ".jsonl.new"}) ::unlink((stem(info.id) + ending).c_str());
    entries_.erase(info.id);
    return tl::unexpected<base::Error>(status.error());
  }
  info.running = false;
  return info;
}

Status FileBatches::write_items(const BatchPlan& plan, BatchInfo& info) {
  std::string path = stem(info.id) + ".jsonl", out;
  TAMIS_TRY(file, LineFile::open(path + ".new"));
  Sha256 digest;
  auto write = [&](bool all) -> Status {
    if (!all && out.size() < kWriteBytes) return {};
    digest.add(out);
    Status status = file.append(out);
    out.clear();
    return status;
  };
  append_header(out, info);
  TAMIS_CHECK(look_all(plan.items, [&](const BatchItem& item, std::optional<Mark> lies) -> Status {
    append_item(out, {item, std::move(lies), false});
    return write(false);
  }));
  TAMIS_CHECK(write(true));
  TAMIS_CHECK(file.sync());
  info.sha256 = digest.hex();
  if (::rename(file.path().c_str(), path.c_str()) != 0) {
    return tl::unexpected<base::Error>(base::system_error("rename", file.path(), errno));
  }
  TAMIS_TRY(log, LineFile::open(stem(info.id) + ".log"));  // syncs the folder, too
  std::string line;
  event::JsonWriter json(line);
  json.begin_object().key("step").string("planned").key("t").string(event::format_time_ms(info.planned_ms));
  json.key("sha256").string(info.sha256).end_object();
  TAMIS_CHECK(log.append(line + "\n"));
  TAMIS_CHECK(log.sync());
  line.clear();
  event::JsonWriter record(line);
  record.begin_object().key("batch").string(info.id).key("step").string("planned").key("rule").string(info.rule);
  record.key("policy").string(info.policy).key("author").string(info.author).key("reason").string(info.reason);
  record.key("items").uinteger(info.items).key("sha256").string(info.sha256).end_object();
  TAMIS_CHECK(ground_.record(line));
  return ground_.sync();
}

Result<BatchInfo> FileBatches::go(std::string_view id, const BatchRun& run, bool undo) {
  std::shared_ptr<Entry> entry;
  BatchInfo info;
  {
    std::lock_guard lock(mutex_);
    TAMIS_TRY(found, find(id));
    entry = found;
    info = entry->info;
    if (info.running) return base::fail(Code::kUnavailable, "batch " + info.id + " runs now; stop it first");
    BatchState state = info.state;
    if (!undo && state == BatchState::kApplied) return info;
    if (!undo && (state == BatchState::kUndoing || state == BatchState::kUndone)) {
      return base::invalid("batch " + info.id + " is " + std::string(to_string(state)) + "; plan a new one");
    }
    if (undo && state == BatchState::kPlanned) return base::invalid("batch " + info.id + " was never applied");
    entry->info.running = info.running = true;
    std::lock_guard stop_lock(entry->stop.mutex);
    entry->stop.stop = false;
  }
  auto publish = [&](const BatchInfo& now) {
    std::lock_guard lock(mutex_);
    entry->info = now;
  };
  BatchRunner runner(stem(info.id), ground_, options_, run, entry->stop, publish);
  auto result = undo ? runner.undo(info) : runner.apply(info);
  std::lock_guard lock(mutex_);
  if (result) {
    entry->info = *result;
  } else {
    if (entry->info.state == BatchState::kApplying) entry->info.state = BatchState::kStopped;
    entry->info.stop_reason = result.error().message;
  }
  entry->info.running = false;
  if (!result) return result;
  return entry->info;
}

Status FileBatches::stop(std::string_view id) {
  std::lock_guard lock(mutex_);
  TAMIS_TRY(entry, find(id));
  std::lock_guard stop_lock(entry->stop.mutex);
  entry->stop.stop = true;
  entry->stop.asked.notify_all();
  return {};
}

Result<BatchInfo> FileBatches::info(std::string_view id) const {
  std::lock_guard lock(mutex_);
  TAMIS_TRY(entry, find(id));
  return entry->info;
}

std::vector<BatchInfo> FileBatches::list(size_t limit) const {
  std::lock_guard lock(mutex_);
  std::vector<BatchInfo> out;
  for (auto at = entries_.rbegin(); at != entries_.rend() && out.size() < limit; ++at) out.push_back(at->second->info);
  return out;
}

Result<std::vector<BatchItem>> FileBatches::items(std::string_view id, uint64_t from, size_t limit) const {
  TAMIS_TRY(facts, info(id));
  TAMIS_TRY(lines, LineReader::open(stem(facts.id) + ".jsonl"));
  std::vector<BatchItem> out;
  base::Arena arena;
  for (std::string_view line; out.size() < limit;) {
    TAMIS_TRY(more, lines.next(line));
    if (!more) break;
    if (lines.number() < from + 2) continue;  // the first line is about the batch
    TAMIS_TRY(stored, read_item(line, arena));
    out.push_back(std::move(stored.item));
  }
  return out;
}

Result<BatchReport> FileBatches::report(std::string_view id, size_t limit) const {
  BatchReport report;
  TAMIS_TRY(facts, info(id));
  BatchLog log;
  BatchInfo from_log = facts;
  TAMIS_CHECK(read_log(stem(facts.id) + ".log", from_log, &log));
  report.info = facts;
  report.cut = log.faults.size() > limit;
  if (report.cut) log.faults.resize(limit);
  report.faults = std::move(log.faults);
  std::stable_sort(report.faults.begin(), report.faults.end(),
                   [](const BatchFault& a, const BatchFault& b) { return a.item < b.item; });
  if (report.faults.empty()) return report;
  TAMIS_TRY(lines, LineReader::open(stem(facts.id) + ".jsonl"));
  base::Arena arena;
  size_t at = 0;
  for (std::string_view line; at < report.faults.size();) {
    TAMIS_TRY(more, lines.next(line));
    if (!more) break;
    if (lines.number() != report.faults[at].item + 2) continue;
    TAMIS_TRY(stored, read_item(line, arena));
    for (uint64_t item = report.faults[at].item; at < report.faults.size() && report.faults[at].item == item; ++at) {
      report.faults[at].place = stored.item.place;
    }
  }
  return report;
}

Result<uint64_t> FileBatches::erase(std::string_view value) {
  if (value.empty()) return base::invalid("an empty value cannot be erased");
  std::vector<std::shared_ptr<Entry>> all;
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, entry] : entries_) {
      if (entry->info.running) return base::fail(Code::kUnavailable, "batch " + id + " runs now; stop it first");
    }
    for (auto& [id, entry] : entries_) {
      entry->info.running = true;
      all.push_back(entry);
    }
  }
  uint64_t erased = 0;
  Status status;
  for (auto& entry : all) {
    if (!status) break;
    auto count = erase_in(*entry, value);
    if (count) erased += *count;
    if (!count) status = tl::unexpected(count.error());
  }
  std::lock_guard lock(mutex_);
  for (auto& entry : all) entry->info.running = false;
  if (!status) return tl::unexpected<base::Error>(status.error());
  return erased;
}

Result<uint64_t> FileBatches::erase_in(Entry& entry, std::string_view value) {
  const std::string token = ground_.token(entry.info.planned_ms, value);
  auto erase = [&](StoredItem& stored) {
    if (stored.item.place.value != value && !(stored.item.is_token && stored.item.place.value == token)) return false;
    stored.erased = true;
    stored.item.is_token = false;
    stored.before.reset();
    return true;
  };
  return change_in(entry, "erased", erase,
                   [](uint64_t, const JsonObject&, std::string_view, std::string&) { return false; });
}

Result<uint64_t> FileBatches::forget_in(Entry& entry, const std::function<bool(const Place&)>& is_private) {
  std::unordered_map<uint64_t, std::pair<std::string, std::string>> tokens;  // by number of the item: value, token
  uint64_t number = 0;
  auto forget = [&](StoredItem& stored) {
    const uint64_t item = number++;
    std::string& value = stored.item.place.value;
    if (stored.erased || stored.item.is_token || !is_private(stored.item.place)) return false;
    std::string token = ground_.token(entry.info.planned_ms, value);
    if (token.empty()) return false;
    if (stored.before) replace_words(stored.before->reason, value, token);
    tokens.emplace(item, std::pair(value, token));
    value = std::move(token);
    stored.item.is_token = true;
    return true;
  };
  auto change_line = [&](uint64_t item, const JsonObject& json, std::string_view step, std::string& line) {
    const auto& [value, token] = tokens.at(item);
    if (step != "before") return !has_word(json.text("what"), value);
    std::optional<Mark> mark = read_mark(json, "mark");
    if (!mark || !has_word(mark->reason, value)) return true;
    replace_words(mark->reason, value, token);
    line.clear();
    append_before(line, item, mark);
    return true;
  };
  return change_in(entry, "tokens", forget, change_line);
}

Result<uint64_t> FileBatches::forget_values(int64_t before_ms, const std::function<bool(const Place&)>& is_private) {
  std::vector<std::shared_ptr<Entry>> old;
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, entry] : entries_) {
      if (entry->info.running || !entry->has_values || entry->info.planned_ms >= before_ms) continue;
      entry->info.running = true;
      old.push_back(entry);
    }
  }
  uint64_t changed = 0;
  Status status;
  for (auto& entry : old) {
    auto count = status ? forget_in(*entry, is_private) : Result<uint64_t>(uint64_t{0});
    if (count) changed += *count;
    std::lock_guard lock(mutex_);
    if (status && count) entry->has_values = false;
    if (!count) status = tl::unexpected(count.error());
    entry->info.running = false;
  }
  if (!status) return tl::unexpected<base::Error>(status.error());
  return changed;
}

Result<uint64_t> FileBatches::change_in(Entry& entry, std::string_view step, const ChangeItem& change,
                                        const ChangeLine& change_line) {
  const std::string path = stem(entry.info.id) + ".jsonl", log_path = stem(entry.info.id) + ".log";
  std::string items, log;
  std::vector<uint64_t> changed;
  base::Arena arena;
  {
    TAMIS_TRY(lines, LineReader::open(path));
    for (std::string_view line;;) {
      TAMIS_TRY(more, lines.next(line));
      if (!more) break;
      auto stored = lines.number() == 1 ? Result<StoredItem>(base::invalid("")) : read_item(line, arena);
      if (stored && change(*stored)) {
        changed.push_back(lines.number() - 2);
        append_item(items, *stored);
      } else {
        items.append(line).append("\n");
      }
    }
  }
  if (changed.empty()) return uint64_t{0};
  TAMIS_TRY(lines, LineReader::open(log_path));
  std::string other;
  for (std::string_view line;;) {
    TAMIS_TRY(more, lines.next(line));
    if (!more) break;
    arena.reset();
    TAMIS_TRY(json, JsonObject::read(line, arena));
    std::string_view what = json.text("step");
    bool of_item = (what == "before" || what == "kept" || what == "failed") &&
                   std::binary_search(changed.begin(), changed.end(), json.count("item"));
    other.assign(line).append("\n");
    if (!of_item || change_line(json.count("item"), json, what, other)) log += other;
  }
  std::string sha256 = sha256_hex(items);
  event::JsonWriter json(log);
  json.begin_object().key("step").string(step).key("items").uinteger(changed.size()).key("sha256").string(sha256);
  json.end_object();
  log += '\n';
  // The log first: between the two the batch cannot be applied or undone, and doing it once more sets it right.
  TAMIS_CHECK(base::write_file_atomically(log_path, log));
  TAMIS_CHECK(base::write_file_atomically(path, items));
  std::lock_guard lock(mutex_);
  entry.info.sha256 = sha256;
  return static_cast<uint64_t>(changed.size());
}

Status FileBatches::forget(std::string_view id) {
  std::lock_guard lock(mutex_);
  TAMIS_TRY(entry, find(id));
  if (entry->info.running)
    return base::fail(Code::kUnavailable, "batch " + entry->info.id + " runs now; stop it first");
  std::string path = stem(entry->info.id);
  // The log first: items without a log are removed when the folder is opened.
  for (const char* ending : {".log", ".jsonl"}) {
    if (::unlink((path + ending).c_str()) != 0 && errno != ENOENT) {
      return tl::unexpected<base::Error>(base::system_error("remove", path + ending, errno));
    }
  }
  entries_.erase(entry->info.id);
  return sync_folder(folder_);
}

}  // namespace

Result<std::unique_ptr<Batches>> Batches::open(const std::string& folder, Ground& ground, BatchOptions options) {
  auto batches = std::make_unique<FileBatches>(folder, ground, options);
  TAMIS_CHECK(batches->start());
  return std::unique_ptr<Batches>(std::move(batches));
}

}  // namespace tamis::action
