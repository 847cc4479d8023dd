// MailLearner: the erasure of a person.
#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/hash.h"
#include "learn/mail_learner.h"
#include "learn/mail_record.h"

#include <fmt/format.h>

namespace tamis::learn {

struct MailLearner::Erasing {
  std::string name;
  uint64_t name_hash = 0;
  std::string instead;  // what stands for the name of a reporter, and leads to nobody
  std::set<uint64_t> ids;
  std::set<uint64_t> keys;  // text keys of the messages
  bool recipient_met = false;
  uint64_t erased = 0;

  bool is_reporter(const std::string& reporter) const { return !name.empty() && hash_of_name(reporter) == name_hash; }
  // Whether a correction is touched by it, and how it is to stand; `gone`: not at all.
  bool change(Record& record, bool& gone) const {
    gone = keys.contains(record.key) || (record.id_hash != 0 && ids.contains(record.id_hash));
    bool changed = gone;
    if (is_reporter(record.reporter)) {
      record.reporter = instead;
      changed = true;
    }
    if (record.recipient != 0 && record.recipient == name_hash) {
      record.recipient = 0;
      changed = true;
    }
    return changed;
  }
};

// Under teach_mutex_. The text keys of the messages, by what remembers them.
base::Status MailLearner::find_to_erase(Erasing& erasing) {
  for (const uint64_t id : erasing.ids) {
    if (auto remembered = memory_->recall(id)) erasing.keys.insert(remembered->text_key);
  }
  for (const auto& [key, known] : cases_) {
    if (known.id_hash != 0 && erasing.ids.contains(known.id_hash)) erasing.keys.insert(key);
  }
  return {};
}

// Under teach_mutex_. The model keeps numbers; the sets of features go.
base::Status MailLearner::erase_in_memory(Erasing& erasing) {
  for (const uint64_t key : erasing.keys) {
    erasing.erased += cases_.erase(key);
    if (golden_.remove(key)) ++erasing.erased;
  }
  std::erase_if(case_order_, [&](uint64_t key) { return erasing.keys.contains(key); });
  for (auto& [key, known] : cases_) {
    for (Vote& vote : known.votes) {
      if (!erasing.is_reporter(vote.reporter)) continue;
      vote.reporter = erasing.instead;
      ++erasing.erased;
    }
  }
  own_.erase(erasing.name_hash, erasing.keys);
  if (golden_.forget_reporter(erasing.name)) ++erasing.erased;
  if (!erasing.name.empty()) reporters_.forget(erasing.name_hash);
  {
    std::lock_guard turn(turn_);
    std::unique_lock lock(model_mutex_);
    taste_.forget(erasing.name_hash, {});
    model_.drop_examples([&](uint64_t id) { return !erasing.keys.contains(id); });
  }
  unjudged_ = {};  // it holds features and names, too
  reference_.reset();
  return {};
}

// Under teach_mutex_, and with the log closed. The taste goes with the corrections that made it.
base::Status MailLearner::rewrite_log(int32_t day, const std::string& path, Erasing& erasing) {
  TAMIS_TRY(text, base::read_file(path, kLogBytesMax));
  std::string plain, out, sealed;
  Record record;
  bool any = false;
  for (size_t at = 0; at + 4 <= text.size();) {
    Taker taker{std::string_view(text).substr(at)};
    const uint64_t bytes = taker.number(4);
    const std::string_view line = taker.text(bytes);
    if (!taker.good) break;
    if (base::Status opened = keys_->open(line, kAboutRecord, plain); !opened) {
      if (opened.error().code == base::Code::kNotFound) return {};  // nobody can open it any more
      return base::fail(opened.error().code, fmt::format("{}: byte {}: {}", path, at, opened.error().message));
    }
    if (!record.read(plain)) return base::invalid(fmt::format("{}: byte {}: no correction", path, at));
    if (record.recipient != 0 && record.recipient == erasing.name_hash) {
      std::lock_guard turn(turn_);
      std::unique_lock lock(model_mutex_);
      taste_.forget(erasing.name_hash, record.features);
    }
    bool gone = false;
    if (!erasing.change(record, gone)) {
      out.append(text, at, 4 + bytes);
    } else {
      any = true;
      ++erasing.erased;
      if (!gone) {
        plain.clear();
        sealed.clear();
        record.write(plain);
        TAMIS_CHECK(keys_->seal(day, plain, kAboutRecord, sealed));
        put(sealed.size(), 4, out);
        out += sealed;
      }
    }
    at += 4 + bytes;
  }
  return any ? base::write_file_atomically(path, out) : base::Status();
}

base::Result<uint64_t> MailLearner::erase(const std::string& name, const std::vector<uint64_t>& id_hashes,
                                          int64_t now_ms) {
  TAMIS_TRY(refused, guard(now_ms, true));
  (void)refused;
  std::lock_guard one(sync_mutex_);  // nobody syncs the log that is closed here
  std::lock_guard lock(teach_mutex_);
  Erasing erasing;
  erasing.name = name;
  erasing.name_hash = hash_of_name(name);
  erasing.instead = fmt::format("erased-{:016x}", unguessable64());
  erasing.ids.insert(id_hashes.begin(), id_hashes.end());
  TAMIS_CHECK(find_to_erase(erasing));
  TAMIS_CHECK(erase_in_memory(erasing));
  if (!options_.folder.empty()) {
    // With the model's file at the newest correction no start learns from the log, which may then be changed.
    TAMIS_CHECK(checkpoint_locked(now_ms));
    if (log_fd_ >= 0) ::close(log_fd_);
    log_fd_ = -1;
    const std::string folder = options_.folder + "/corrections";
    TAMIS_TRY(files, base::list_files(folder));
    for (const base::FoundFile& file : files) {
      int32_t day = 0;
      if (!day_from(std::string_view(file.path).substr(folder.size() + 1), day)) continue;
      TAMIS_CHECK(rewrite_log(day, file.path, erasing));
    }
    TAMIS_CHECK(checkpoint_locked(now_ms));  // tastes
    TAMIS_CHECK(save_golden(day_of(now_ms)));
  }
  // Last, since it says which messages they are if all this has to be done again.
  for (const uint64_t id : erasing.ids) {
    TAMIS_TRY(wiped, memory_->wipe(id));
    erasing.erased += wiped ? 1 : 0;
  }
  take_baseline(now_ms);
  return erasing.erased;
}

}  // namespace tamis::learn
