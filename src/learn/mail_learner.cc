#include "learn/mail_learner.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/hash.h"
#include "learn/mail_record.h"
#include "model/numeric.h"

#include <fmt/format.h>

namespace tamis::learn {
namespace {

constexpr size_t kCasesMax = 200'000;
constexpr size_t kVotesMax = 32;  // on one message
constexpr size_t kReporterBytesMax = 256;
constexpr uint64_t kUnsavedMax = 2'000;
constexpr size_t kModelBytesMax = size_t{1} << 30;
constexpr std::string_view kAboutModel = "tamis mail model 1";
constexpr std::string_view kAboutPeople = "tamis mail people 1";

// Near-copies share the words with the smallest hashes, unless just one of these is among what was changed.
uint64_t campaign_of(model::FeatureSpan features) {
  constexpr size_t kWords = 4;
  uint64_t campaign = 0;
  size_t words = 0;
  for (const model::FeatureId id : features) {
    if (model::place_of(id) != static_cast<size_t>(model::Place::kBody)) continue;
    campaign = base::combine64(campaign, id);
    if (++words == kWords) return campaign | 1;
  }
  return 0;  // too short to be told from others
}

}  // namespace

MailLabel MailLearner::Case::counts() const {
  for (size_t i = votes.size(); i-- > 0;) {
    if (votes[i].weight > 0) return votes[i].label;
  }
  return MailLabel::kForget;
}

MailLearner::MailLearner(MailLearnerOptions options)
    : options_(std::move(options)), model_(options_.model), reporters_(options_.reporters) {}

MailLearner::~MailLearner() {
  if (log_fd_ >= 0) ::close(log_fd_);
}

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
    return base::fail(opened.error().code, path + ": " + opened.error().message);
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
    if (opened.error().code == base::Code::kNotFound) return {};
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
      if (opened.error().code == base::Code::kNotFound) return {};  // its key is gone: so is what it taught with
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

void MailLearner::score(model::FeatureSpan features, model::SpamModel::Scratch& scratch, Scored& out,
                        std::string_view recipient) const {
  const uint64_t who = hash_of_name(recipient);
  std::unique_lock turn(turn_);
  std::shared_lock lock(model_mutex_);
  turn.unlock();
  out.score = model_.score(features, scratch);
  if (const float wants = taste_.logit_of(who, features); wants != 0) {
    out.score.logit += wants;
    out.score.probability = static_cast<float>(model::logistic(out.score.logit));
    out.score.spam = out.score.probability > model_.options().threshold;
  }
  out.threshold = model_.options().threshold;
  out.learned_min = std::min(model_.learned_ham(), model_.learned_spam());
  out.version = fmt::format("{}+{}", model_name_, generation_);
}

model::SpamExplanation MailLearner::explain(model::FeatureSpan features, model::SpamModel::Scratch& scratch) const {
  std::unique_lock turn(turn_);
  std::shared_lock lock(model_mutex_);
  turn.unlock();
  return model_.explain(features, scratch);
}

base::Status MailLearner::remember(std::string_view id, uint64_t text_key, model::FeatureSpan features,
                                   int64_t now_ms) {
  return memory_->remember(id, text_key, features, now_ms);
}

// Brings the model from what counted before to what counts now. False: the message is out of its reach.
bool MailLearner::change(uint64_t key, const Case& known, model::FeatureSpan features, MailLabel before,
                         MailLabel after, uint64_t sequence, uint64_t recipient) {
  if (before == after) return true;
  bool reached = true;
  std::vector<model::FeatureId> recalled;
  if (features.empty() && after != MailLabel::kForget && known.id_hash != 0) {
    if (auto remembered = memory_->recall(known.id_hash)) recalled = std::move(remembered->features);
    features = recalled;
  }
  with_model(sequence, [&](model::SpamModel& model) {
    if (after == MailLabel::kForget || features.empty()) {
      reached = model.forget(key).has_value();
    } else {
      // The taste takes what the common model got wrong before it learned the same.
      if (recipient != 0 && sequence > people_saved_) {
        taste_.learn(recipient, features, model.score(features, scratch_).logit, after == MailLabel::kSpam);
      }
      reached = model.learn(key, features, after == MailLabel::kSpam).has_value();
    }
  });
  return reached;
}

// Confirmed truth judges those who spoke of the same message before.
void MailLearner::judge_others(const Case& known, const Record& record) {
  if (record.sequence <= people_saved_ || record.label == MailLabel::kForget) return;
  for (const Vote& vote : known.votes) {
    if (vote.reporter != record.reporter) reporters_.confirm(hash_of_name(vote.reporter), vote.label == record.label);
  }
}

MailLearner::Learned MailLearner::apply_vote(const Record& record, bool teach) {
  auto [place, is_new] = cases_.try_emplace(record.key);
  Case& known = place->second;
  if (is_new) case_order_.push_back(record.key);
  if (record.id_hash != 0) known.id_hash = record.id_hash;
  known.day = std::max(known.day, day_of(record.time_ms));
  Learned learned;
  learned.weight = record.weight;
  learned.before = known.counts();
  if (record.is_truth) judge_others(known, record);
  auto own = std::find_if(known.votes.begin(), known.votes.end(),
                          [&](const Vote& vote) { return vote.reporter == record.reporter; });
  if (own != known.votes.end()) known.votes.erase(own);
  if (record.label != MailLabel::kForget) {
    if (known.votes.size() >= kVotesMax) known.votes.erase(known.votes.begin());
    known.votes.push_back({record.reporter, record.label, record.weight});
  }
  learned.after = known.counts();
  learned.changed = learned.before != learned.after;
  // What is held back is confirmed, and so judges who speaks of it.
  const auto held_back = golden_.is_spam(record.key);
  if (held_back && !record.is_truth && record.label != MailLabel::kForget && record.sequence > people_saved_) {
    reporters_.confirm(hash_of_name(record.reporter), (record.label == MailLabel::kSpam) == *held_back);
  }
  if (teach && !held_back) {
    note_pending(record, learned);
    (void)change(record.key, known, record.features, learned.before, learned.after, record.sequence, record.recipient);
  }
  bound_cases();
  return learned;
}

MailLearner::TakenBack MailLearner::take_back_votes(const Record& record, bool teach) {
  TakenBack taken;
  struct Change {
    uint64_t key;
    MailLabel before, after;
  };
  std::vector<Change> changes;
  std::unordered_map<uint64_t, std::vector<model::FeatureId>> features;
  for (const uint64_t key : case_order_) {  // not in the order of a hash table: every start does the same
    const auto place = cases_.find(key);
    if (place == cases_.end()) continue;
    Case& known = place->second;
    const MailLabel before = known.counts();
    const size_t erased = std::erase_if(known.votes, [&](const Vote& v) { return v.reporter == record.reporter; });
    taken.votes += erased;
    const MailLabel after = known.counts();
    if (erased == 0 || before == after) continue;
    changes.push_back({key, before, after});
    if (after != MailLabel::kForget) features[key];
  }
  if (!teach) return taken;
  if (!features.empty()) find_features(features);
  for (const Change& one : changes) {
    const auto found = features.find(one.key);
    const model::FeatureSpan known = found == features.end() ? model::FeatureSpan{} : found->second;
    if (change(one.key, cases_[one.key], known, one.before, one.after, record.sequence)) {
      ++taken.corrected;
    } else {
      ++taken.out_of_reach;
    }
  }
  return taken;
}

// Fills in the features of these messages, as the corrections on disk have them.
void MailLearner::find_features(std::unordered_map<uint64_t, std::vector<model::FeatureId>>& wanted) {
  if (options_.folder.empty()) return;
  auto files = base::list_files(options_.folder + "/corrections");
  if (!files) return;
  std::string plain;
  Record record;
  for (const base::FoundFile& file : *files) {
    auto text = base::read_file(file.path, kLogBytesMax);
    if (!text) continue;
    for (size_t at = 0; at + 4 <= text->size();) {
      Taker taker{std::string_view(*text).substr(at)};
      const uint64_t bytes = taker.number(4);
      const std::string_view sealed = taker.text(bytes);
      if (!taker.good) break;
      at += 4 + bytes;
      if (!keys_->open(sealed, kAboutRecord, plain) || !record.read(plain) || record.takes_back) continue;
      if (auto one = wanted.find(record.key); one != wanted.end()) one->second = record.features;
    }
  }
}

void MailLearner::bound_cases() {
  while (case_order_.size() > kCasesMax) {
    cases_.erase(case_order_.front());
    case_order_.pop_front();
  }
}

// Under teach_mutex_. A message without a case was taught by corrections whose key is gone.
void MailLearner::drop_old_examples(int32_t oldest) {
  std::lock_guard turn(turn_);
  std::unique_lock lock(model_mutex_);
  model_.drop_examples([&](uint64_t id) {
    const auto known = cases_.find(id);
    return known != cases_.end() && known->second.day >= oldest;
  });
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

base::Result<MailLearner::Learned> MailLearner::vote(uint64_t text_key, uint64_t id_hash, model::FeatureSpan features,
                                                     MailLabel label, std::string_view reporter,
                                                     std::string_view recipient, bool is_truth, int64_t now_ms,
                                                     uint64_t network) {
  if (!model::is_feature_set(features)) return base::invalid("these features are no set");
  Record record;
  record.label = label;
  record.key = text_key;
  record.id_hash = id_hash;
  record.reporter = reporter.substr(0, kReporterBytesMax);
  record.time_ms = now_ms;
  record.features.assign(features.begin(), features.end());
  record.recipient = hash_of_name(recipient);
  record.is_truth = is_truth;
  std::lock_guard lock(teach_mutex_);
  Learned nothing_new;
  const auto known = cases_.find(text_key);
  const Vote* own = nullptr;
  if (known != cases_.end()) {
    for (const Vote& vote : known->second.votes) own = vote.reporter == record.reporter ? &vote : own;
    nothing_new.before = nothing_new.after = known->second.counts();
  }
  if (label == MailLabel::kForget && own == nullptr) {
    return base::fail(base::Code::kNotFound, "there is nothing to take back: no correction of this message by \"" +
                                                 record.reporter + "\" is kept");
  }
  if (own != nullptr && own->label == label && own == &known->second.votes.back()) {
    nothing_new.weight = own->weight;
    return nothing_new;
  }
  bool golden_changed = false;
  const bool held_back = hold_back(record, known != cases_.end(), golden_changed);
  if (held_back) {
    record.weight = 0;
  } else if (label != MailLabel::kForget && !is_truth) {
    record.weight = weight_of(record, recipient, network);
  }
  if (golden_changed) TAMIS_CHECK(save_golden(day_of(now_ms)));
  take_baseline(now_ms);
  if (record.weight <= 0 && !held_back) ++not_believed_;
  learned_last_ms_ = now_ms;
  record.sequence = sequence_ + 1;
  TAMIS_CHECK(append(record));
  sequence_ = record.sequence;
  return apply_vote(record, true);
}

// Under teach_mutex_. A report that its reporter's weight does not carry has weight 0: which one that is, chance says
// that belongs to message and reporter, so asking again gives the same.
float MailLearner::weight_of(const Record& record, std::string_view recipient, uint64_t network) {
  if (!options_.weigh && !options_.weigh_reports) return 1;
  Scored scored;
  score(record.features, scratch_, scored);
  if (options_.weigh) {
    const MailVote told{record.label, record.key, record.reporter, std::string(recipient)};
    return std::clamp(options_.weigh(told, scored.score), 0.0f, 1.0f);
  }
  Report report;
  report.reporter = hash_of_name(record.reporter);
  report.network = network;
  report.campaign = campaign_of(record.features);
  report.now_ms = record.time_ms;
  report.contradicted = record.label == MailLabel::kSpam ? -scored.score.logit : scored.score.logit;
  const float weight = reporters_.weight_of(report);
  const uint64_t chance = base::mix64(record.key ^ base::mix64(report.reporter));
  return static_cast<double>(chance >> 11) * 0x1p-53 < static_cast<double>(weight) ? weight : 0;
}

base::Result<MailLearner::Learned> MailLearner::learn_truth_soon(std::string_view id, MailLabel label,
                                                                 std::string_view source, int64_t now_ms) {
  const uint64_t hash = MailMemory::hash_of(id);
  TAMIS_TRY(remembered, memory_->recall(hash));
  return vote(remembered.text_key, hash, remembered.features, label, source, {}, true, now_ms, 0);
}

base::Result<MailLearner::Learned> MailLearner::learn_by_id(std::string_view id, MailLabel label,
                                                            std::string_view reporter, std::string_view recipient,
                                                            int64_t now_ms, uint64_t network) {
  TAMIS_TRY(learned, learn_by_id_soon(id, label, reporter, recipient, now_ms, network));
  TAMIS_CHECK(sync());
  return learned;
}

base::Result<MailLearner::Learned> MailLearner::learn_by_id_soon(std::string_view id, MailLabel label,
                                                                 std::string_view reporter, std::string_view recipient,
                                                                 int64_t now_ms, uint64_t network) {
  const uint64_t hash = MailMemory::hash_of(id);
  TAMIS_TRY(remembered, memory_->recall(hash));
  return vote(remembered.text_key, hash, remembered.features, label, reporter, recipient, false, now_ms, network);
}

base::Result<MailLearner::Learned> MailLearner::learn(uint64_t text_key, model::FeatureSpan features, MailLabel label,
                                                      std::string_view reporter, std::string_view recipient,
                                                      int64_t now_ms, uint64_t network) {
  TAMIS_TRY(learned, vote(text_key, 0, features, label, reporter, recipient, false, now_ms, network));
  TAMIS_CHECK(sync());
  return learned;
}

base::Result<MailLearner::Learned> MailLearner::learn_soon(uint64_t text_key, model::FeatureSpan features,
                                                           MailLabel label, std::string_view reporter,
                                                           std::string_view recipient, int64_t now_ms,
                                                           uint64_t network) {
  return vote(text_key, 0, features, label, reporter, recipient, false, now_ms, network);
}

base::Status MailLearner::sync() {
  if (options_.folder.empty()) return {};
  uint64_t mine = 0;
  {
    std::lock_guard lock(teach_mutex_);
    mine = sequence_;
  }
  // One sync serves all that were written before it: who waited here finds the work done.
  std::lock_guard one(sync_mutex_);
  if (synced_ >= mine) return {};
  int fd = -1;
  uint64_t upto = 0;
  {
    std::lock_guard lock(teach_mutex_);
    if (log_fd_ < 0) return {};
    fd = ::dup(log_fd_);  // the log may go on in another file meanwhile, which syncs this one first
    upto = sequence_;
  }
  if (fd < 0) return tl::unexpected(base::system_error("sync", "the corrections", errno));
  const bool done = ::fdatasync(fd) == 0;
  const int why = errno;
  ::close(fd);
  if (!done) return tl::unexpected(base::system_error("sync", "the corrections", why));
  synced_ = upto;
  return {};
}

base::Result<MailLearner::TakenBack> MailLearner::take_back(std::string_view reporter, int64_t now_ms) {
  Record record;
  record.takes_back = true;
  record.reporter = reporter.substr(0, kReporterBytesMax);
  record.time_ms = now_ms;
  TakenBack taken;
  {
    std::lock_guard lock(teach_mutex_);
    record.sequence = sequence_ + 1;
    TAMIS_CHECK(append(record));
    sequence_ = record.sequence;
    taken = take_back_votes(record, true);
  }
  TAMIS_CHECK(sync());
  return taken;
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
    due = sequence_ - saved_ >= kUnsavedMax || (sequence_ > 0 && saved_day_ != day_of(now_ms));
  }
  // The model must be under a key of today before the key that it was under may go.
  if (due) TAMIS_CHECK(checkpoint(now_ms));
  memory_->forget_before(oldest);
  if (!options_.folder.empty()) {
    const std::string folder = options_.folder + "/corrections";
    TAMIS_TRY(files, base::list_files(folder));
    for (const base::FoundFile& file : files) {
      int32_t day = 0;
      if (day_from(std::string_view(file.path).substr(folder.size() + 1), day) && day < oldest) {
        ::unlink(file.path.c_str());
      }
    }
  }
  TAMIS_TRY(destroyed, keys_->destroy_before(oldest));
  (void)destroyed;
  return {};
}

MailLearner::Stats MailLearner::stats() const {
  Stats stats;
  {
    std::lock_guard lock(teach_mutex_);
    stats.corrections = sequence_;
    stats.golden = golden_.empty() ? GoldenResult() : judged_last_;
    stats.batches_judged = batches_judged_;
    stats.batches_refused = batches_refused_;
    stats.not_believed = not_believed_;
    stats.reporters = reporters_.reporters();
    stats.learned_last_ms = learned_last_ms_;
  }
  std::unique_lock turn(turn_);
  std::shared_lock lock(model_mutex_);
  turn.unlock();
  stats.ham_learned = model_.learned_ham();
  stats.spam_learned = model_.learned_spam();
  stats.model_bytes = model_.memory_bytes();
  stats.remembered = memory_->messages();
  stats.remembered_bytes = memory_->bytes();
  return stats;
}

std::string MailLearner::save_model(std::string_view card) const {
  std::shared_lock lock(model_mutex_);
  return model_.save(card, false);
}

}  // namespace tamis::learn
