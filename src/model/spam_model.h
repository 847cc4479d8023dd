// The supervised spam model: learns from one correction at once, and from a bounded store of past feature sets again
// and again.
//
// It joins learners that err differently, all over the same hashed features (see features.h):
//  - six logistic regressions, each seeing other places of the message, trained on unit-length binary vectors;
//  - naive Bayes with confidence, over everything, over the text, and over the strongest signs only (Robinson 2003);
//  - the nearest past messages, by shared rare features.
// A logistic mixer weighs them by how well each predicted the newest corrections before they were learned, and so
// yields a calibrated probability. See docs/MAIL_MODEL.md for what each brings.
//
// Shapes: `score` is const and may run on many threads at once on one published model, each with its own Scratch;
// `learn` needs the model alone. Nothing here reads a clock or a random number: the same sequence of calls gives the
// same bits, on every processor. Cost with 600 features: about 60 us to score, 150 us to learn. Memory: SpamOptions
// tells; about 60 MB as set.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/bayes.h"
#include "model/example_store.h"
#include "model/features.h"
#include "model/mixer.h"
#include "model/neighbours.h"
#include "model/weights.h"

namespace tamis::model {

struct SpamOptions {
  uint32_t slots_log2 = 20;       // 32 bytes each; 8..22
  uint32_t examples_max = 4096;   // past messages kept for replay, at most 4 KiB each; 16..32768
  uint32_t replays = 12;          // past messages learned again with each new one; 0..256
  float rate = 12;                // step of the logistic regressions
  float threshold = 0.5f;         // a probability above it is spam
  uint32_t learners = 0xffffffu;  // bits of Learner that take part; for measuring what each brings
  // How far one message may move the mixer's say about itself, in log-odds; not part of a model's file. It is what
  // keeps one wrong label from turning the trust in all learners round.
  float mixer_reach = 2;
  // Of a model that ships: what it says is drawn to the log-odds `evidence_prior`, by half where it knows so many
  // header features of the message, and less and less as it learns messages of its own. 0: it is not.
  float evidence_half = 0;
  float evidence_prior = 0;
};

// The inputs of the mixer.
enum class Learner : uint8_t {
  kLinearAll,
  kLinearWords,
  kLinearText,
  kLinearPairs,
  kLinearHeader,
  kLinearGrams,
  kBayesAll,
  kBayesText,
  kBayesStrongest,
  kNeighbours,
  kNeighboursText,
};
inline constexpr size_t kLearners = 11;
std::string_view learner_name(Learner learner);

struct SpamScore {
  float probability = 0.5f;                 // of spam, calibrated
  float logit = 0;                          // the same before the logistic function: finer near 0 and 1
  bool spam = false;                        // above the threshold
  std::array<float, kLearners> opinions{};  // logits of the learners as the mixer sees them
};

// Why a message has its score: log-odds of spam, which sum up to `logit`. Above zero speaks for spam.
struct SpamExplanation {
  float logit = 0;
  std::array<float, kPlaces> by_place{};  // regressions and Bayes, by where the features stand
  float neighbours = 0;                   // past messages that resemble it
  float bias = 0;                         // what the newest corrections moved the threshold by, and how common spam is
  // The features that moved it most, strongest first: parts of by_place. The mail room's collect_features() knows what
  // the text of each is, as long as the message is at hand.
  struct Part {
    FeatureId feature = 0;
    float logit = 0;
  };
  std::vector<Part> strongest;
};

class SpamModel {
 public:
  explicit SpamModel(const SpamOptions& options = {});

  // Working memory of one thread; grows on first use only.
  struct Scratch {
    NeighbourScratch neighbours;
    BayesScratch bayes;
  };

  SpamScore score(FeatureSpan features, Scratch& scratch) const;
  // Takes the score apart; a few times the cost of a score, and it allocates.
  SpamExplanation explain(FeatureSpan features, Scratch& scratch, size_t strongest_max = 16) const;

  // Learns one message. `id` names it for a later correction (0: none). A message learned before under this id and
  // still in the store is corrected: the counts and steps of the wrong label are taken back. Features that are no
  // feature set (see is_feature_set) are refused.
  base::Status learn(uint64_t id, FeatureSpan features, bool spam);
  // Forgets a message that was learned by mistake, as far as it is still in the store: its counts and
  // all steps that it made are taken back, and it is not replayed any more. Left is what others taught differently
  // because it had been there. kNotFound if it is gone.
  base::Status forget(uint64_t id);
  // Drops the feature sets of past messages that `keep` does not want by their id, for these may be kept for a time
  // only. What they taught stays; they are learned again no more, nor found as neighbours. Returns how many went.
  size_t drop_examples(const std::function<bool(uint64_t id)>& keep);

  // What was said of the message that learn() took last under a new id or none, before it taught anything.
  float said_before() const { return said_before_; }
  uint64_t learned_ham() const { return learned_[0]; }
  uint64_t learned_spam() const { return learned_[1]; }
  const SpamOptions& options() const { return options_; }
  void set_threshold(float threshold) { options_.threshold = threshold; }
  // Sets the two options above for the model as it will be saved.
  void set_evidence(float half, float prior) {
    options_.evidence_half = half;
    options_.evidence_prior = prior;
  }
  size_t memory_bytes() const;

  // A model as bytes: version, card, options, weights, optionally the store of examples (feature sets of messages: they
  // stay on the machine, a shipped model has none), checksum. `card` is free text, by custom YAML: data, licence,
  // figures, limits. The format is described in docs/MAIL_MODEL.md.
  std::string save(std::string_view card, bool with_examples) const;
  // For shipping, after training: forgets features that fewer than `seen_min` messages had, and rounds the weights to
  // what a packed file holds. Scores change a little, and are the same after save_packed() and load().
  void prune(float seen_min);
  // As save() without examples, at about a tenth of the size, for a model that was pruned. The store of past messages
  // that the loaded model will have may be another than the one it was trained with.
  std::string save_packed(std::string_view card, uint32_t examples_max, uint32_t replays) const;
  // The learners that take part from now on; a shipped model is trained without neighbours, as it has none.
  void set_learners(uint32_t learners) { options_.learners = learners; }
  struct Loaded;
  // Refuses other versions, wrong checksums, values that no model can hold. Never reads beyond the bytes.
  static base::Result<Loaded> load(std::string_view bytes);

 private:
  enum class SlotForm : uint8_t { kExact, kPacked };
  std::string save_as(std::string_view card, bool with_examples, SlotForm form, const SpamOptions& options) const;
  struct Sums {
    LinearSums linear;
    BayesSums bayes;
  };
  // Returns how wrong the worst of the regressions was.
  float learn_linear(FeatureSpan features, bool spam, float margin, Taught& taught);
  // A model that ships and has learned hardly anything of either label here: its first corrections say much of one
  // message and little of all others that share its headers, of which the model knows nothing.
  bool is_new_here() const;
  float mixer_reach() const;
  void take_back(Example& example);
  void replay();
  void opinions(FeatureSpan features, Scratch& scratch, SpamScore& score, Sums& sums) const;
  // How much of what the mixer says stays, the rest being the prior.
  float trust(uint32_t known_headers) const;

  SpamOptions options_;
  Weights weights_;
  ExampleStore examples_;
  Neighbours neighbours_;
  Mixer mixer_;
  std::array<uint64_t, 2> learned_{};
  uint64_t steps_ = 0;
  float said_before_ = 0;
  Scratch scratch_;
};

struct SpamModel::Loaded {
  SpamModel model;
  std::string card;
};

}  // namespace tamis::model
