// The golden set: messages of which the operator knows what they are, held back from learning, against which is
// measured what reports do to the model. What makes it worse is refused (learn/mail_learner.h) and shown.
//
//   GoldenSet golden;
//   golden.put(key, features, spam);
//   GoldenResult before = golden.judge(model, scratch);
//   ... learn a batch ...
//   GoldenVerdict verdict = judge_batch(before, golden.judge(model, scratch));
//
// Bounded: of each label the newest `kEachMax` stay. Calls are not for several threads at once.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/spam_model.h"

namespace tamis::learn {

struct GoldenResult {
  uint64_t ham = 0, ham_as_spam = 0;
  uint64_t spam = 0, spam_as_ham = 0;
  uint64_t errors() const { return ham_as_spam + spam_as_ham; }
};

// Whether a batch of learned reports may stay: it may not if on the golden set it makes more errors than the model
// before it made, beyond a margin that chance explains.
struct GoldenVerdict {
  bool accepted = true;
  std::string why;  // what got worse by how much; empty if accepted
};
GoldenVerdict judge_batch(const GoldenResult& before, const GoldenResult& after);

// Reports that were refused, for people to look at.
struct GoldenRefusal {
  int64_t time_ms = 0;
  std::string reporter;      // empty: the set got worse, and nobody's reports explain it
  uint64_t messages = 0;     // of which they were
  bool was_learned = false;  // they had come one by one and were taken out of the model again; else never learned
  std::string why;
};

class GoldenSet {
 public:
  static constexpr size_t kEachMax = 500;
  static constexpr size_t kRefusalsMax = 50;

  // `key` names the message (its text key). One that is there gets the new label. Features are a feature set.
  void put(uint64_t key, model::FeatureSpan features, bool spam);
  bool remove(uint64_t key);
  // Whether it is held back, and what it is.
  std::optional<bool> is_spam(uint64_t key) const;
  bool empty() const { return messages_.empty(); }
  // What the model makes of all of them.
  GoldenResult judge(const model::SpamModel& model, model::SpamModel::Scratch& scratch) const;
  // How many of each label, without errors.
  GoldenResult counts() const;

  // The newest refusals, oldest first.
  const std::deque<GoldenRefusal>& refusals() const { return refusals_; }
  void note(GoldenRefusal refusal);
  // Takes a reporter's name out of the refusals; says whether it was there.
  bool forget_reporter(std::string_view reporter);

  // All of it as bytes, and back. kInvalid for other bytes.
  std::string save() const;
  static base::Result<GoldenSet> load(std::string_view bytes);

 private:
  struct Message {
    uint64_t key = 0;
    bool spam = false;
    std::vector<model::FeatureId> features;
  };
  std::deque<Message> messages_;  // oldest first
  std::unordered_map<uint64_t, bool> known_;
  std::deque<GoldenRefusal> refusals_;
};

}  // namespace tamis::learn
