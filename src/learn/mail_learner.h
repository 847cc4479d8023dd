// MailLearner: the spam model of a server, what it remembers of scanned messages, and the corrections that people
// make. A correction is learned at once and is on disk when learn() returns; the next score on any thread has it.
//
// A message is known to it by its text key (learn/mail_filter.h), under which every report about the same message
// meets, whoever sends it and whether it names an id or brings the text. Each reporter has one vote on a message, the
// last one; the newest vote of all counts. Taking a vote back (kForget) lets the one before it count again.
//
// FOLDER/keys/         the keys of days
// FOLDER/remembered/   features of scanned messages (learn/mail_memory.h)
// FOLDER/corrections/  YYYY-MM-DD: every correction with its features, sealed, in order
// FOLDER/model         the model with the corrections up to one of them, sealed
// FOLDER/people        tastes of recipients, trust in reporters, up to the same, sealed
// FOLDER/golden        messages held back from learning, and the reports that were refused by them, sealed
//
// What reports do to the golden set (learn/golden.h) is watched. A batch that is brought as one (learn_batch) is tried
// on a copy of the model first. What comes one by one is learned at once and judged soon after (guard): if the set got
// worse, the model goes back to where it was judged last and learns again all but the reports of whoever explains it.
// Within a day the measure never rises, so that many small steps are one batch. With `weigh_reports` one of eight
// confirmed truths that nobody had reported becomes part of the set by itself.
//
// A correction that names its recipient also moves that recipient's taste (model/taste.h): what is scanned for this
// recipient alone is scored with it. The message itself and its near-copies are from then on what this recipient said
// they are, for him alone (learn/own_corrections.h). With `weigh_reports` a report teaches by the chance of its
// reporter's weight (learn/reporters.h); learn_truth_soon() is the confirmed truth that is always believed, and by
// which the other reporters of the same message are judged.
//
// Starting again: the model as of its file, then the corrections behind it, in order: the same model bit for bit. All
// that holds features is sealed under a key of its day and gone with it, `remember_days` later.
//
// Threading: all methods from any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "learn/day_keys.h"
#include "learn/golden.h"
#include "learn/late_guard.h"
#include "learn/mail_memory.h"
#include "learn/own_corrections.h"
#include "learn/reporters.h"
#include "model/spam_model.h"
#include "model/taste.h"

namespace tamis::learn {

enum class MailLabel : uint8_t { kHam, kSpam, kForget };

struct MailVote {
  MailLabel label = MailLabel::kSpam;
  uint64_t text_key = 0;
  std::string reporter;
  std::string recipient;
};

struct MailLearnerOptions {
  std::string folder;   // empty: nothing is kept
  std::string starter;  // a model file's bytes (SpamModel::save); empty: the model begins with nothing
  model::SpamOptions model;
  int32_t remember_days = 14;  // 1..365
  MailMemoryOptions memory;    // its folder is set here
  // How much a vote weighs, 0..1, given what the model says of the message now. 0: it is noted and not learned. Called
  // under the lock of corrections, with no vote at the same time.
  std::function<float(const MailVote&, const model::SpamScore&)> weigh;
  // Reporters weigh by how often they agreed with confirmed truth, and a day of one of them or of one campaign teaches
  // only so much. Without it every report teaches. Where `weigh` is set, that is asked instead.
  bool weigh_reports = false;
  ReporterOptions reporters;
};

class MailLearner {
 public:
  static base::Result<std::unique_ptr<MailLearner>> open(MailLearnerOptions options, int64_t now_ms);
  ~MailLearner();

  struct Scored {
    model::SpamScore score;
    float threshold = 0.5f;       // the model's, and higher while learn/late_guard.h asks for more
    uint64_t learned_min = 0;     // messages of the label that it knows less of
    uint64_t corrections = 0;     // that it has had here
    bool from_elsewhere = false;  // it began with a starter
    std::string version;          // changes with everything that is learned
    // What the recipient said of this message or a near-copy: whether it is spam. `score` says the same.
    std::optional<bool> own_word;
  };
  // `recipient`: whose taste and own corrections count; empty: nobody's. `text_key` names the message (0: not known).
  void score(model::FeatureSpan features, model::SpamModel::Scratch& scratch, Scored& out,
             std::string_view recipient = {}, uint64_t text_key = 0) const;

  // The score taken apart; a few times its cost.
  model::SpamExplanation explain(model::FeatureSpan features, model::SpamModel::Scratch& scratch) const;

  // Keeps the features of a scanned message for corrections by its id.
  base::Status remember(std::string_view id, uint64_t text_key, model::FeatureSpan features, int64_t now_ms);

  struct Learned {
    bool changed = false;  // false: nothing new was said
    float weight = 1;
    MailLabel before = MailLabel::kForget, after = MailLabel::kForget;  // what counts; kForget: nobody said anything
  };
  // `network` is a hash of where the reporter sits (network_hash), for the cap per network; 0: not known.
  // Durable when it returns. Errors: kNotFound (the id is not remembered; nothing to forget), kUnavailable (the disk).
  base::Result<Learned> learn_by_id(std::string_view id, MailLabel label, std::string_view reporter,
                                    std::string_view recipient, int64_t now_ms, uint64_t network = 0);
  base::Result<Learned> learn(uint64_t text_key, model::FeatureSpan features, MailLabel label,
                              std::string_view reporter, std::string_view recipient, int64_t now_ms,
                              uint64_t network = 0);
  // The same two, durable after sync(): for many at once.
  base::Result<Learned> learn_by_id_soon(std::string_view id, MailLabel label, std::string_view reporter,
                                         std::string_view recipient, int64_t now_ms, uint64_t network = 0);
  base::Result<Learned> learn_soon(uint64_t text_key, model::FeatureSpan features, MailLabel label,
                                   std::string_view reporter, std::string_view recipient, int64_t now_ms,
                                   uint64_t network = 0);
  // What is known to be true of a remembered message: learned whole, and judges what others said of it.
  base::Result<Learned> learn_truth_soon(std::string_view id, MailLabel label, std::string_view source, int64_t now_ms);
  base::Status sync();

  // Many reports of one reporter at once: learned if the golden set is no worse for it, else none of them.
  struct BatchItem {
    uint64_t text_key = 0;
    std::vector<model::FeatureId> features;
    MailLabel label = MailLabel::kSpam;  // no kForget
    std::string recipient;
  };
  struct BatchResult {
    bool judged = false;  // false: there is no golden set
    GoldenVerdict verdict;
    GoldenResult before, after;  // on the golden set
    uint64_t learned = 0;        // items that said something new, if the verdict is good
  };
  // Durable when it returns.
  base::Result<BatchResult> learn_batch(const std::vector<BatchItem>& items, std::string_view reporter, int64_t now_ms,
                                        uint64_t network = 0);
  // Judges what was learned since it was judged last. `at_once`: even if it is little. Called every second or so; costs
  // nothing where nothing is due. Gives how many reports were refused.
  base::Result<uint64_t> guard(int64_t now_ms, bool at_once = false);
  // Puts a message into the golden set, or with kForget takes it out. What was learned of it is forgotten: it is held
  // back from now on. Durable when it returns. Errors: kNotFound (to forget; the id is not remembered).
  base::Status put_golden(uint64_t text_key, model::FeatureSpan features, MailLabel label, int64_t now_ms);
  base::Status put_golden_by_id(std::string_view id, MailLabel label, int64_t now_ms);
  struct GoldenState {
    GoldenResult result;  // of the model as it is
    std::vector<GoldenRefusal> refusals;
  };
  GoldenState golden() const;

  // Takes back all votes of a reporter that are still kept.
  struct TakenBack {
    uint64_t votes = 0, corrected = 0;
    uint64_t out_of_reach = 0;  // learned so long ago that only further learning makes it fade
  };
  base::Result<TakenBack> take_back(std::string_view reporter, int64_t now_ms);

  // Removes what is kept of a person: features and corrections of the messages whose ids have these hashes
  // (MailMemory::hash_of), `name` as a reporter and what is known of him, the taste of `name` as a recipient as far as
  // its corrections are kept. What they taught stays as numbers that name nobody. Gives how many things went. Doing it
  // once more does nothing.
  base::Result<uint64_t> erase(const std::string& name, const std::vector<uint64_t>& id_hashes, int64_t now_ms);

  // Writes the model, so that the next start is short. Feature sets in it whose newest vote is older than
  // `remember_days` go before; what they taught stays.
  base::Status checkpoint(int64_t now_ms);
  // Now and then: a checkpoint where there are many corrections or the day is new, and the end of keys that are too
  // old.
  base::Status tidy(int64_t now_ms);

  struct Stats {
    uint64_t ham_learned = 0, spam_learned = 0;  // by the model, its starter included
    uint64_t corrections = 0;                    // ever
    uint64_t remembered = 0, remembered_bytes = 0;
    size_t model_bytes = 0;
    GoldenResult golden;                               // as it was judged last
    uint64_t batches_judged = 0, batches_refused = 0;  // since the start, those that came one by one included
    uint64_t not_believed = 0;                         // reports since the start that were noted and not learned
    uint64_t reporters = 0;                            // of whom something was confirmed
    int64_t learned_last_ms = 0;                       // 0: nothing since the start
  };
  Stats stats() const;
  // The model as a file to ship: without the feature sets of messages.
  std::string save_model(std::string_view card) const;

 private:
  struct Vote {
    std::string reporter;
    MailLabel label;
    float weight;
  };
  struct Case {
    std::vector<Vote> votes;  // oldest first
    uint64_t id_hash = 0;     // 0: only known by text
    int32_t day = 0;          // of the newest vote
    MailLabel counts() const;
  };
  struct Record;

  void judge(model::FeatureSpan features, model::SpamModel::Scratch& scratch, Scored& out, uint64_t recipient,
             uint64_t text_key) const;
  void note_own_word(const Record& record);
  explicit MailLearner(MailLearnerOptions options);
  base::Status load_model();
  base::Status read_corrections();
  base::Status read_log(int32_t day, const std::string& path);
  Learned apply_vote(const Record& record, bool teach);
  float weight_of(const Record& record, std::string_view recipient, uint64_t network);
  void judge_others(const Case& known, const Record& record);
  base::Status load_people();
  base::Result<std::string> people_bytes(int32_t day) const;
  bool change(uint64_t key, const Case& known, model::FeatureSpan features, MailLabel before, MailLabel after,
              uint64_t sequence, uint64_t recipient = 0);
  TakenBack take_back_votes(const Record& record, bool teach);
  void find_features(std::unordered_map<uint64_t, std::vector<model::FeatureId>>& wanted);
  base::Status append(const Record& record);
  base::Result<Learned> vote(uint64_t text_key, uint64_t id_hash, model::FeatureSpan features, MailLabel label,
                             std::string_view reporter, std::string_view recipient, bool is_truth, int64_t now_ms,
                             uint64_t network);
  template <class Use>
  void with_model(uint64_t sequence, const Use& use);
  base::Status open_log(int32_t day);
  void bound_cases();
  void drop_old_examples(int32_t oldest);

  // mail_guard.cc: the golden set.
  struct Pending {
    uint64_t key = 0;
    MailLabel label = MailLabel::kForget, before = MailLabel::kForget;  // what it says; what counted before it
    bool counts = true;                                                 // false: noted with weight 0
    bool is_truth = false;
    std::string reporter;
    std::vector<model::FeatureId> features;
  };
  // What was learned since the model was judged last, and the model as it was then.
  struct Unjudged {
    std::shared_ptr<const std::string> model;
    std::vector<Pending> votes;
  };
  struct Trial {
    std::set<std::string, std::less<>> refused;  // reporters
    GoldenResult result;
    GoldenVerdict verdict;
  };
  base::Status load_golden();
  base::Status save_golden(int32_t day) const;
  void take_baseline(int64_t now_ms);
  void note_pending(const Record& record, const Learned& learned);
  bool hold_back(Record& record, bool is_known, bool& golden_changed);
  static base::Result<model::SpamModel> learn_again(const Unjudged& from,
                                                    const std::set<std::string, std::less<>>& refused);
  static base::Result<Trial> find_guilty(const Unjudged& unjudged, const GoldenSet& golden,
                                         const GoldenResult& reference);
  base::Result<uint64_t> refuse(const Trial& trial, size_t judged, std::string why, int64_t now_ms);
  base::Status append_forget(uint64_t key, const std::string& reporter, int64_t now_ms);
  bool guard_due(int64_t now_ms, bool at_once) const;

  // mail_erase.cc
  struct Erasing;
  base::Status find_to_erase(Erasing& erasing);
  base::Status erase_in_memory(Erasing& erasing);
  base::Status rewrite_log(int32_t day, const std::string& path, Erasing& erasing);
  base::Status checkpoint_locked(int64_t now_ms);

  MailLearnerOptions options_;
  std::unique_ptr<DayKeys> keys_;
  std::unique_ptr<MailMemory> memory_;

  // Scores share it; who learns waits in turn before it, so that neither side starves.
  mutable std::mutex turn_;
  mutable std::shared_mutex model_mutex_;
  model::SpamModel model_;
  static constexpr std::string_view kOwnName = "new";  // of a model that began with nothing
  std::string model_name_{kOwnName};
  model::Taste taste_;
  LateGuard late_guard_;     // learns under teach_mutex_
  uint64_t generation_ = 0;  // the correction that it learned last

  mutable std::mutex teach_mutex_;  // guards what follows; taken before model_mutex_
  std::unordered_map<uint64_t, Case> cases_;
  std::deque<uint64_t> case_order_;
  Reporters reporters_;
  OwnCorrections own_;         // guards itself
  uint64_t people_saved_ = 0;  // corrections that the file of people has
  uint64_t not_believed_ = 0;
  int64_t learned_last_ms_ = 0;
  uint64_t sequence_ = 0;  // of the last correction
  uint64_t saved_ = 0;     // corrections that the model file has
  int32_t saved_day_ = 0;
  int log_fd_ = -1;
  int32_t log_day_ = 0;
  uint64_t log_bytes_ = 0;
  model::SpamModel::Scratch scratch_;
  GoldenSet golden_;
  Unjudged unjudged_;                      // without a model: the set was not there, or has changed since
  std::optional<GoldenResult> reference_;  // the best of the day
  GoldenResult judged_last_;
  int32_t reference_day_ = 0;
  int64_t judged_ms_ = 0;
  uint64_t batches_judged_ = 0, batches_refused_ = 0;

  std::mutex guard_mutex_;  // one at a time judges; taken before teach_mutex_

  std::mutex sync_mutex_;  // taken before teach_mutex_
  uint64_t synced_ = 0;
};

// One value for an IPv4 /24 or an IPv6 /48, never 0; 0 for what is no address.
uint64_t network_hash(std::string_view ip);

}  // namespace tamis::learn
