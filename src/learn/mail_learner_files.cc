// MailLearner: what of it is on disk, and how it comes back from there.
#include "learn/mail_learner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "learn/mail_record.h"

namespace tamis::learn {
namespace {

constexpr uint64_t kUnsavedMax = 2'000;
constexpr size_t kModelBytesMax = size_t{1} << 30;
constexpr std::string_view kAboutModel = "tamis mail model 1";
constexpr std::string_view kAboutPeople = "tamis mail people 1";

}  // namespace

base::Result<std::unique_ptr<MailLearner>> MailLearner::open(MailLearnerOptions options, int64_t now_ms) {
  if (options.remember_days < 1 || options.remember_days > 365) {
    return base::invalid("features of messages are remembered for 1 to 365 days");
  }
  std::unique_ptr<MailLearner> learner(new MailLearner(std::move(options)));
  MailLearnerOptions& own = learner->options_;
  const bool kept = !own.folder.empty();
  TAMIS_TRY(keys, DayKeys::open(kept ? own.folder + "/keys" : std::string()));
  learner->keys_ = std::move(keys);
  own.memory.folder = kept ? own.folder + "/remembered" : std::string();
  TAMIS_TRY(memory, MailMemory::open(own.memory, *learner->keys_));
  learner->memory_ = std::move(memory);
  TAMIS_CHECK(learner->load_model());
  own.starter.clear();
  own.starter.shrink_to_fit();
  if (!kept) return learner;
  TAMIS_CHECK(learner->load_people());
  TAMIS_CHECK(learner->load_golden());
  TAMIS_CHECK(base::make_folders(own.folder + "/corrections"));
  TAMIS_CHECK(learner->read_corrections());
  TAMIS_CHECK(learner->tidy(now_ms));
  return learner;
}

base::Status MailLearner::load_model() {
  if (!options_.starter.empty()) {
    TAMIS_TRY(loaded, model::SpamModel::load(options_.starter));
    model_ = std::move(loaded.model);
    model_name_ = fmt::format("{:08x}", static_cast<uint32_t>(base::hash64(options_.starter)));
  }
  if (options_.folder.empty()) return {};
  const std::string path = options_.folder + "/model";
  auto sealed = base::read_file(path, kModelBytesMax);
  if (!sealed) return sealed.error().code == base::Code::kNotFound ? base::Status() : tl::unexpected(sealed.error());
  std::string plain;
  if (base::Status opened = keys_->open(*sealed, kAboutModel, plain); !opened) {
    if (opened.error().code != base::Code::kNotFound)
      return base::fail(opened.error().code, path + ": " + opened.error().message);
    // A backup without its keys, or a folder that lay still for longer than features may be kept. Mail must go on; who
    // finds the keys finds the model, too.
    TAMIS_LOG(kError, "learn", "{}: {}; the model begins anew from the one that ships, and {}{} is kept", path,
              opened.error().message, path, kWithoutKey);
    return set_aside(path);
  }
  Taker taker{plain};
  const uint64_t saved = taker.number(8);
  const std::string_view name = taker.text(taker.number(1));
  if (!taker.good) return base::invalid(path + ": cut off");
  TAMIS_TRY(loaded, model::SpamModel::load(taker.bytes));
  model_ = std::move(loaded.model);
  model_name_ = name;
  saved_ = sequence_ = generation_ = synced_ = saved;
  uint32_t day = 0;
  for (size_t i = 0; i < 4; ++i) day |= static_cast<uint32_t>(static_cast<unsigned char>((*sealed)[i])) << (8 * i);
  saved_day_ = static_cast<int32_t>(day);
  return {};
}

// Tastes and trust are of less worth than the model: without their key (all of it older than what is remembered) they
// begin anew.
base::Status MailLearner::load_people() {
  const std::string path = options_.folder + "/people";
  auto sealed = base::read_file(path, kModelBytesMax);
  if (!sealed) return sealed.error().code == base::Code::kNotFound ? base::Status() : tl::unexpected(sealed.error());
  std::string plain;
  if (base::Status opened = keys_->open(*sealed, kAboutPeople, plain); !opened) {
    if (opened.error().code == base::Code::kNotFound) return set_aside(path);
    return base::fail(opened.error().code, path + ": " + opened.error().message);
  }
  Taker taker{plain};
  const uint64_t saved = taker.number(8);
  const std::string_view of_reporters = taker.text(taker.number(4));
  if (!taker.good) return base::invalid(path + ": cut off");
  TAMIS_TRY(reporters, Reporters::load(of_reporters, options_.reporters));
  TAMIS_TRY(taste, model::Taste::load(taker.bytes));
  reporters_ = std::move(reporters);
  taste_ = std::move(taste);
  people_saved_ = saved;
  return {};
}

base::Result<std::string> MailLearner::people_bytes(int32_t day) const {
  std::string plain, sealed;
  put(sequence_, 8, plain);
  const std::string of_reporters = reporters_.save();
  put(of_reporters.size(), 4, plain);
  plain += of_reporters;
  plain += taste_.save();
  TAMIS_CHECK(keys_->seal(day, plain, kAboutPeople, sealed));
  return sealed;
}

base::Status MailLearner::read_corrections() {
  const std::string folder = options_.folder + "/corrections";
  TAMIS_TRY(files, base::list_files(folder));
  for (const base::FoundFile& file : files) {  // in the order of days
    int32_t day = 0;
    if (!day_from(std::string_view(file.path).substr(folder.size() + 1), day)) continue;
    TAMIS_CHECK(read_log(day, file.path));
  }
  return {};
}

base::Status MailLearner::read_log(int32_t day, const std::string& path) {
  (void)day;
  TAMIS_TRY(text, base::read_file(path, kLogBytesMax));
  std::string plain;
  Record record;
  size_t at = 0;
  while (at + 4 <= text.size()) {
    Taker taker{std::string_view(text).substr(at)};
    const uint64_t bytes = taker.number(4);
    const std::string_view sealed = taker.text(bytes);
    if (!taker.good) break;
    if (base::Status opened = keys_->open(sealed, kAboutRecord, plain); !opened) {
      // Its key is gone: so is what it taught with. A new key of the same day may not meet what the old one sealed.
      if (opened.error().code == base::Code::kNotFound) return set_aside(path);
      return base::fail(opened.error().code, fmt::format("{}: byte {}: {}", path, at, opened.error().message));
    }
    if (!record.read(plain)) return base::invalid(fmt::format("{}: byte {}: no correction", path, at));
    at += 4 + bytes;
    const bool teach = record.sequence > saved_;
    sequence_ = std::max(sequence_, record.sequence);
    if (record.takes_back) {
      (void)take_back_votes(record, teach);
    } else {
      (void)apply_vote(record, teach);
    }
  }
  // What a crash cut off was never acknowledged; nothing may be appended behind it.
  if (at < text.size() && ::truncate(path.c_str(), static_cast<off_t>(at)) != 0) {
    return tl::unexpected(base::system_error("cut", path, errno));
  }
  synced_ = sequence_;
  return {};
}

base::Status MailLearner::open_log(int32_t day) {
  if (log_fd_ >= 0 && log_day_ == day) return {};
  if (log_fd_ >= 0) {
    if (::fdatasync(log_fd_) != 0) return tl::unexpected(base::system_error("sync", "the corrections", errno));
    ::close(log_fd_);
    log_fd_ = -1;
  }
  const std::string path = options_.folder + "/corrections/" + day_name(day);
  log_fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (log_fd_ < 0) return tl::unexpected(base::system_error("open", path, errno));
  const off_t end = ::lseek(log_fd_, 0, SEEK_END);
  if (end < 0) return tl::unexpected(base::system_error("read", path, errno));
  log_bytes_ = static_cast<uint64_t>(end);
  log_day_ = day;
  // The file's name must outlive a crash as well as its bytes.
  const int folder = ::open((options_.folder + "/corrections").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    (void)::fsync(folder);
    ::close(folder);
  }
  return {};
}

// Under teach_mutex_.
base::Status MailLearner::append(const Record& record) {
  if (options_.folder.empty()) return {};
  // Days of the log never go back, so that reading them in order gives the order of the corrections.
  const int32_t day = std::max(log_day_, day_of(record.time_ms));
  std::string plain, sealed, line;
  record.write(plain);
  TAMIS_CHECK(keys_->seal(day, plain, kAboutRecord, sealed));
  put(sealed.size(), 4, line);
  line += sealed;
  TAMIS_CHECK(open_log(day));
  if (::pwrite(log_fd_, line.data(), line.size(), static_cast<off_t>(log_bytes_)) !=
      static_cast<ssize_t>(line.size())) {
    return tl::unexpected(base::system_error("write", "a correction", errno));
  }
  log_bytes_ += line.size();
  return {};
}

base::Status MailLearner::checkpoint(int64_t now_ms) {
  std::lock_guard lock(teach_mutex_);  // nothing is learned meanwhile; scores go on
  return checkpoint_locked(now_ms);
}

base::Status MailLearner::checkpoint_locked(int64_t now_ms) {
  if (options_.folder.empty()) return {};
  std::string plain, sealed;
  const int32_t day = day_of(now_ms);
  drop_old_examples(day - options_.remember_days);
  put(sequence_, 8, plain);
  put(model_name_.size(), 1, plain);
  plain += model_name_;
  plain += model_.save("", true);
  TAMIS_CHECK(keys_->seal(day, plain, kAboutModel, sealed));
  if (log_fd_ >= 0 && ::fdatasync(log_fd_) != 0) {
    return tl::unexpected(base::system_error("sync", "the corrections", errno));
  }
  // Each of the two files knows up to which correction it goes. After a crash between them the corrections behind the
  // model are read again, and people skip those that they had.
  if (day != saved_day_) TAMIS_CHECK(save_golden(day));  // its key must outlive it
  TAMIS_TRY(people, people_bytes(day));
  TAMIS_CHECK(base::write_file_atomically(options_.folder + "/people", people));
  TAMIS_CHECK(base::write_file_atomically(options_.folder + "/model", sealed));
  saved_ = sequence_;
  saved_day_ = day;
  return {};
}

base::Status MailLearner::tidy(int64_t now_ms) {
  const int32_t oldest = day_of(now_ms) - options_.remember_days;
  bool due = false;
  {
    std::lock_guard lock(teach_mutex_);
    // What was ever saved is sealed anew each day, corrected or not.
    const bool kept = sequence_ > 0 || saved_day_ != 0 || !golden_.empty() || !golden_.refusals().empty();
    due = sequence_ - saved_ >= kUnsavedMax || (kept && saved_day_ != day_of(now_ms));
  }
  // The model must be under a key of today before the key that it was under may go.
  if (due) TAMIS_CHECK(checkpoint(now_ms));
  memory_->forget_before(oldest);
  own_.forget_before(oldest);
  if (!options_.folder.empty()) {
    const std::string folder = options_.folder + "/corrections";
    TAMIS_TRY(files, base::list_files(folder));
    for (const base::FoundFile& file : files) {
      int32_t day = 0;
      std::string_view name = std::string_view(file.path).substr(folder.size() + 1);
      if (name.ends_with(kWithoutKey)) name.remove_suffix(kWithoutKey.size());
      if (day_from(name, day) && day < oldest) ::unlink(file.path.c_str());
    }
  }
  TAMIS_TRY(destroyed, keys_->destroy_before(oldest));
  (void)destroyed;
  return {};
}

}  // namespace tamis::learn
