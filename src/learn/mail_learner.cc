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
constexpr float kOwnWord = 3;  // log-odds beyond the threshold at which a message is what its recipient said

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

void MailLearner::score(model::FeatureSpan features, model::SpamModel::Scratch& scratch, Scored& out,
                        std::string_view recipient, uint64_t text_key) const {
  late_guard_.scanned(features);
  judge(features, scratch, out, hash_of_name(recipient), text_key);
}

void MailLearner::judge(model::FeatureSpan features, model::SpamModel::Scratch& scratch, Scored& out,
                        uint64_t recipient, uint64_t text_key) const {
  std::unique_lock turn(turn_);
  std::shared_lock lock(model_mutex_);
  turn.unlock();
  out.score = model_.score(features, scratch);
  if (const float wants = taste_.logit_of(recipient, features); wants != 0) {
    out.score.logit += wants;
    out.score.probability = static_cast<float>(model::logistic(out.score.logit));
  }
  out.threshold = model_.options().threshold;
  if (const float more = late_guard_.logit(); more > 0) {
    const double own = std::log(out.threshold / (1.0 - out.threshold));
    out.threshold = static_cast<float>(model::logistic(own + more));
  }
  out.own_word = own_.says(recipient, text_key, features);
  if (out.own_word) {
    const auto limit = static_cast<float>(std::log(out.threshold / (1.0f - out.threshold)));
    float& logit = out.score.logit;
    logit = *out.own_word ? std::max(logit, limit + kOwnWord) : std::min(logit, limit - kOwnWord);
    out.score.probability = static_cast<float>(model::logistic(logit));
  }
  out.score.spam = out.score.probability > out.threshold;
  out.learned_min = std::min(model_.learned_ham(), model_.learned_spam());
  out.corrections = generation_;
  out.from_elsewhere = model_name_ != kOwnName;
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
      // Back to the common model for what this message has: which step was this vote's is not kept.
      if (recipient != 0 && sequence > people_saved_) taste_.forget(recipient, features);
      reached = model.forget(key).has_value();
    } else {
      // The taste takes what the common model got wrong before it learned the same.
      if (recipient != 0 && sequence > people_saved_) {
        taste_.learn(recipient, features, model.score(features, scratch_).logit, after == MailLabel::kSpam);
      }
      reached = model.learn(key, features, after == MailLabel::kSpam).has_value();
      if (reached && before == MailLabel::kForget) {
        late_guard_.learned(features, after == MailLabel::kSpam, model.said_before());
      }
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
  note_own_word(record);
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

void MailLearner::note_own_word(const Record& record) {
  const uint64_t reporter = hash_of_name(record.reporter);
  if (record.label == MailLabel::kForget) return own_.take_back(reporter, record.key);
  own_.put(record.recipient, reporter, record.key, record.features, record.label == MailLabel::kSpam,
           day_of(record.time_ms));
}

MailLearner::TakenBack MailLearner::take_back_votes(const Record& record, bool teach) {
  TakenBack taken;
  own_.take_back(hash_of_name(record.reporter), 0);
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
  judge(record.features, scratch_, scored, 0, 0);
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
