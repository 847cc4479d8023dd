// MailLearner's golden set: what is held back, and what is refused because of it.
#include <algorithm>
#include <array>
#include <map>

#include "base/file.h"
#include "base/hash.h"
#include "learn/mail_learner.h"
#include "learn/mail_record.h"

#include <fmt/format.h>

#include <arpa/inet.h>

namespace tamis::learn {
namespace {

constexpr std::string_view kAboutGolden = "tamis mail golden 1";
constexpr size_t kGoldenBytesMax = size_t{64} << 20;
constexpr size_t kDueVotes = 64;    // judged when so many are there and the last time is some seconds ago,
constexpr int64_t kDueMs = 10'000;  // or when there are any and it is so long ago,
constexpr int64_t kPauseMs = 5'000;
constexpr size_t kPendingMax = 4'096;   // or by whoever brings one more
constexpr size_t kSuspectsMax = 6;      // reporters that are tried one by one
constexpr int kRounds = 3;              // how many of them one refusal can name before all are refused
constexpr uint64_t kHeldBackShare = 8;  // one of so many confirmed truths is held back

using Names = std::set<std::string, std::less<>>;

// The reporters that said most that counted, without those refused already and without confirmed truth.
template <class Votes>
std::vector<std::string> suspects_of(const Votes& votes, const Names& refused) {
  std::map<std::string, size_t> counts;
  for (const auto& vote : votes) {
    if (vote.counts && !vote.is_truth && !refused.contains(vote.reporter)) ++counts[vote.reporter];
  }
  std::vector<std::pair<size_t, std::string>> order;
  for (const auto& [name, count] : counts) order.emplace_back(count, name);
  std::sort(order.rbegin(), order.rend());
  std::vector<std::string> names;
  for (const auto& [count, name] : order) {
    if (names.size() < kSuspectsMax) names.push_back(name);
  }
  return names;
}

GoldenResult best_of(const GoldenResult& one, const GoldenResult& other) {
  GoldenResult best = other;
  best.ham_as_spam = std::min(one.ham_as_spam, other.ham_as_spam);
  best.spam_as_ham = std::min(one.spam_as_ham, other.spam_as_ham);
  return best;
}

}  // namespace

uint64_t network_hash(std::string_view ip) {
  const std::string text(ip.substr(0, INET6_ADDRSTRLEN));
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) {
    return base::hash64({reinterpret_cast<const char*>(bytes.data()), 3}, 4) | 1;
  }
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
    return base::hash64({reinterpret_cast<const char*>(bytes.data()), 6}, 6) | 1;
  }
  return 0;
}

base::Status MailLearner::load_golden() {
  const std::string path = options_.folder + "/golden";
  auto sealed = base::read_file(path, kGoldenBytesMax);
  if (!sealed) return sealed.error().code == base::Code::kNotFound ? base::Status() : tl::unexpected(sealed.error());
  std::string plain;
  if (base::Status opened = keys_->open(*sealed, kAboutGolden, plain); !opened) {
    // Its key is gone: the folder lay still for longer than features may be kept.
    if (opened.error().code == base::Code::kNotFound) return set_aside(path);
    return base::fail(opened.error().code, path + ": " + opened.error().message);
  }
  auto loaded = GoldenSet::load(plain);
  if (!loaded) return base::invalid(path + ": " + loaded.error().message);
  golden_ = std::move(*loaded);
  return {};
}

base::Status MailLearner::save_golden(int32_t day) const {
  if (options_.folder.empty()) return {};
  const std::string path = options_.folder + "/golden";
  if (golden_.empty() && golden_.refusals().empty()) {
    if (!base::read_file(path, kGoldenBytesMax)) return {};
  }
  std::string sealed;
  TAMIS_CHECK(keys_->seal(day, golden_.save(), kAboutGolden, sealed));
  return base::write_file_atomically(path, sealed);
}

// Under teach_mutex_. The model as it is now is what reports are measured against from here on.
void MailLearner::take_baseline(int64_t now_ms) {
  if (golden_.empty() || unjudged_.model != nullptr) return;
  unjudged_.votes.clear();
  unjudged_.model = std::make_shared<const std::string>(model_.save("", true));
  judged_last_ = golden_.judge(model_, scratch_);
  if (!reference_ || reference_day_ != day_of(now_ms)) reference_ = judged_last_;
  reference_day_ = day_of(now_ms);
  judged_ms_ = now_ms;
}

// Under teach_mutex_, before the vote is learned.
void MailLearner::note_pending(const Record& record, const Learned& learned) {
  if (unjudged_.model == nullptr) return;
  unjudged_.votes.push_back(
      {record.key, record.label, learned.before, record.weight > 0, record.is_truth, record.reporter, record.features});
}

// Under teach_mutex_. Whether this message is held back, now or before. Truth that contradicts the golden set wins.
bool MailLearner::hold_back(Record& record, bool is_known, bool& golden_changed) {
  const auto known = golden_.is_spam(record.key);
  const bool spam = record.label == MailLabel::kSpam;
  if (known && record.is_truth && *known != spam) {
    golden_changed = golden_.remove(record.key);
    unjudged_ = {};
    reference_.reset();
    return false;
  }
  if (known) return true;
  const bool drawn = base::mix64(record.key) % kHeldBackShare == 0;
  if (!options_.weigh_reports || !record.is_truth || is_known || !drawn || record.features.empty()) return false;
  golden_.put(record.key, record.features, spam);
  golden_changed = true;
  // What waits to be judged is measured with the new set, on the model before it.
  reference_.reset();
  if (unjudged_.model != nullptr) {
    if (auto before = model::SpamModel::load(*unjudged_.model)) reference_ = golden_.judge(before->model, scratch_);
    reference_day_ = day_of(record.time_ms);
  }
  return true;
}

// The model of `from` with its votes learned again, without those of the refused.
base::Result<model::SpamModel> MailLearner::learn_again(const Unjudged& from, const Names& refused) {
  TAMIS_TRY(loaded, model::SpamModel::load(*from.model));
  std::map<uint64_t, MailLabel> now;
  for (const Pending& vote : from.votes) {
    const auto [place, is_first] = now.try_emplace(vote.key, vote.before);
    if (!vote.counts || refused.contains(vote.reporter) || place->second == vote.label) continue;
    place->second = vote.label;
    // What the store does not have any more cannot be forgotten; the same was so the first time.
    if (vote.label == MailLabel::kForget) {
      (void)loaded.model.forget(vote.key);
    } else if (!vote.features.empty()) {
      (void)loaded.model.learn(vote.key, vote.features, vote.label == MailLabel::kSpam);
    }
  }
  return std::move(loaded.model);
}

// Whose reports explain that the set got worse: of the busiest reporters the one without whom it is best, and so on
// until it is good. `refused` stays empty where nobody explains it.
base::Result<MailLearner::Trial> MailLearner::find_guilty(const Unjudged& unjudged, const GoldenSet& golden,
                                                          const GoldenResult& reference) {
  model::SpamModel::Scratch scratch;
  auto try_without = [&](Names refused) -> base::Result<Trial> {
    TAMIS_TRY(model, learn_again(unjudged, refused));
    Trial trial{std::move(refused), golden.judge(model, scratch), {}};
    trial.verdict = judge_batch(reference, trial.result);
    return trial;
  };
  TAMIS_TRY(best, try_without({}));
  for (int round = 0; round < kRounds && !best.verdict.accepted; ++round) {
    Trial of_round = best;
    for (const std::string& name : suspects_of(unjudged.votes, best.refused)) {
      Names refused = best.refused;
      refused.insert(name);
      TAMIS_TRY(trial, try_without(std::move(refused)));
      if (trial.result.errors() < of_round.result.errors()) of_round = std::move(trial);
      if (of_round.verdict.accepted) break;
    }
    if (of_round.refused.size() == best.refused.size()) break;  // nobody alone makes it better
    best = std::move(of_round);
  }
  if (best.verdict.accepted) return best;
  Names all;
  for (const Pending& vote : unjudged.votes) {
    if (!vote.is_truth) all.insert(vote.reporter);
  }
  TAMIS_TRY(none, try_without(all));
  if (none.verdict.accepted) return none;
  none.refused.clear();
  return none;
}

bool MailLearner::guard_due(int64_t now_ms, bool at_once) const {
  if (golden_.empty() || unjudged_.model == nullptr || unjudged_.votes.empty()) return false;
  const int64_t since = now_ms - judged_ms_;
  return at_once || since < 0 || since >= kDueMs || unjudged_.votes.size() >= kPendingMax ||
         (unjudged_.votes.size() >= kDueVotes && since >= kPauseMs);
}

base::Result<uint64_t> MailLearner::guard(int64_t now_ms, bool at_once) {
  std::lock_guard one(guard_mutex_);
  Unjudged unjudged;
  GoldenSet golden;
  GoldenResult reference;
  GoldenVerdict verdict;
  {
    std::lock_guard lock(teach_mutex_);
    if (!guard_due(now_ms, at_once)) return uint64_t{0};
    ++batches_judged_;
    judged_ms_ = now_ms;
    judged_last_ = golden_.judge(model_, scratch_);
    if (!reference_ || reference_day_ != day_of(now_ms)) {
      TAMIS_TRY(before, model::SpamModel::load(*unjudged_.model));
      reference_ = golden_.judge(before.model, scratch_);
      reference_day_ = day_of(now_ms);
    }
    verdict = judge_batch(*reference_, judged_last_);
    if (verdict.accepted) {
      reference_ = best_of(*reference_, judged_last_);
      unjudged_ = {};
      take_baseline(now_ms);
      return uint64_t{0};
    }
    unjudged = unjudged_;
    golden = golden_;
    reference = *reference_;
  }
  // Corrections and scores go on meanwhile.
  TAMIS_TRY(trial, find_guilty(unjudged, golden, reference));
  return refuse(trial, unjudged.votes.size(), std::move(verdict.why), now_ms);
}

// Puts the model in place that the trial found, with what came since learned behind it.
base::Result<uint64_t> MailLearner::refuse(const Trial& trial, size_t judged, std::string why, int64_t now_ms) {
  std::lock_guard lock(teach_mutex_);
  // Another baseline meanwhile (the set was changed): there is nothing left to go back to.
  if (unjudged_.model == nullptr || unjudged_.votes.size() < judged) return uint64_t{0};
  ++batches_refused_;
  uint64_t refused = 0;
  std::map<std::string, uint64_t> messages;
  std::vector<std::pair<uint64_t, std::string>> taken;
  for (size_t i = 0; i < judged; ++i) {
    Pending& vote = unjudged_.votes[i];
    if (!vote.counts || !trial.refused.contains(vote.reporter)) continue;
    vote.counts = false;
    ++refused;
    ++messages[vote.reporter];
    taken.emplace_back(vote.key, vote.reporter);
  }
  if (refused > 0) {
    TAMIS_TRY(model, learn_again(unjudged_, {}));
    for (const auto& [key, reporter] : taken) TAMIS_CHECK(append_forget(key, reporter, now_ms));
    with_model(sequence_, [&](model::SpamModel& current) { current = std::move(model); });
    for (const auto& [reporter, count] : messages) golden_.note({now_ms, reporter, count, true, why});
  } else {
    golden_.note({now_ms, "", 0, false, std::move(why)});
    reference_.reset();  // so it is, and not told again and again
  }
  unjudged_ = {};
  take_baseline(now_ms);
  TAMIS_CHECK(save_golden(day_of(now_ms)));
  // A start must not learn again what was refused.
  TAMIS_CHECK(checkpoint_locked(now_ms));
  return refused;
}

// Under teach_mutex_. The vote is gone, and the model is not touched.
base::Status MailLearner::append_forget(uint64_t key, const std::string& reporter, int64_t now_ms) {
  Record record;
  record.sequence = sequence_ + 1;
  record.label = MailLabel::kForget;
  record.key = key;
  record.reporter = reporter;
  record.time_ms = now_ms;
  TAMIS_CHECK(append(record));
  sequence_ = record.sequence;
  (void)apply_vote(record, false);
  return {};
}

base::Result<MailLearner::BatchResult> MailLearner::learn_batch(const std::vector<BatchItem>& items,
                                                                std::string_view reporter, int64_t now_ms,
                                                                uint64_t network) {
  BatchResult result;
  for (const BatchItem& item : items) {
    if (item.label == MailLabel::kForget || !model::is_feature_set(item.features)) {
      return base::invalid("a batch has sets of features, and says ham or spam of each");
    }
  }
  // What others did is judged before, and is none of this batch.
  TAMIS_TRY(others, guard(now_ms, true));
  (void)others;
  {
    std::unique_lock lock(teach_mutex_);
    take_baseline(now_ms);
    if (!golden_.empty() && unjudged_.model != nullptr) {
      const GoldenSet golden = golden_;
      Unjudged tried{unjudged_.model, unjudged_.votes};
      lock.unlock();
      model::SpamModel::Scratch scratch;
      TAMIS_TRY(before, learn_again(tried, {}));
      result.judged = true;
      result.before = golden.judge(before, scratch);
      for (const BatchItem& item : items) {
        if (golden.is_spam(item.text_key)) continue;
        TAMIS_CHECK(before.learn(item.text_key, item.features, item.label == MailLabel::kSpam));
      }
      result.after = golden.judge(before, scratch);
      result.verdict = judge_batch(result.before, result.after);
      lock.lock();
      ++batches_judged_;
      if (!result.verdict.accepted) {
        ++batches_refused_;
        golden_.note({now_ms, std::string(reporter), items.size(), false, result.verdict.why});
        TAMIS_CHECK(save_golden(day_of(now_ms)));
        return result;
      }
    }
  }
  for (const BatchItem& item : items) {
    TAMIS_TRY(learned,
              vote(item.text_key, 0, item.features, item.label, reporter, item.recipient, false, now_ms, network));
    result.learned += learned.changed ? 1 : 0;
  }
  TAMIS_CHECK(sync());
  return result;
}

base::Status MailLearner::put_golden(uint64_t text_key, model::FeatureSpan features, MailLabel label, int64_t now_ms) {
  if (!model::is_feature_set(features)) return base::invalid("these features are no set");
  TAMIS_TRY(refused, guard(now_ms, true));
  (void)refused;
  std::lock_guard lock(teach_mutex_);
  if (label == MailLabel::kForget) {
    if (!golden_.remove(text_key)) return base::fail(base::Code::kNotFound, "this message is not in the golden set");
  } else {
    if (features.empty()) return base::invalid("nothing of this message can be learned, so nothing can be measured");
    golden_.put(text_key, features, label == MailLabel::kSpam);
    bool was_learned = false;
    with_model(sequence_, [&](model::SpamModel& model) { was_learned = model.forget(text_key).has_value(); });
    if (was_learned) TAMIS_CHECK(checkpoint_locked(now_ms));
  }
  unjudged_ = {};
  reference_.reset();
  return save_golden(day_of(now_ms));
}

base::Status MailLearner::put_golden_by_id(std::string_view id, MailLabel label, int64_t now_ms) {
  TAMIS_TRY(remembered, memory_->recall(MailMemory::hash_of(id)));
  return put_golden(remembered.text_key, remembered.features, label, now_ms);
}

MailLearner::GoldenState MailLearner::golden() const {
  GoldenState state;
  model::SpamModel::Scratch scratch;
  std::lock_guard lock(teach_mutex_);
  state.result = golden_.judge(model_, scratch);
  state.refusals.assign(golden_.refusals().begin(), golden_.refusals().end());
  return state;
}

}  // namespace tamis::learn
