#include "model/bayes.h"

#include <algorithm>
#include <array>

#include "model/numeric.h"

namespace tamis::model {
namespace {

constexpr size_t kStrongestMax = 60;
constexpr float kWeakest = 0.2f;  // a sign with a smaller logit is left out

// The logit of a feature by how often either label had it. The rates are drawn to their common value by ten messages of
// each label, so that one label alone proves little while the other is hardly known; the logit is drawn to 0 while the
// feature was seen seldom.
float sign_of(float ham, float spam, float hams, float spams) {
  constexpr float kDrawn = 10;
  const float seen = ham + spam;
  const float pool = kDrawn * seen / (hams + spams);
  const float in_ham = (ham + pool) * (spams + kDrawn);
  const float in_spam = (spam + pool) * (hams + kDrawn);
  // (1/4 + seen * share of spam) / (1/4 + seen * share of ham), with both sides brought to one denominator.
  const float doubt = 0.25f * (in_ham + in_spam);
  return plain_log((doubt + seen * in_spam) / (doubt + seen * in_ham));
}

// Sums do not depend on the order of what is summed, so neither does any bit on which of equal signs were left out.
float in_steps(float logit) { return static_cast<float>(static_cast<int32_t>(logit * 1024.0f)) / 1024.0f; }

bool stronger(const Sign& a, const Sign& b) {
  const float of_a = std::fabs(a.logit);
  const float of_b = std::fabs(b.logit);
  return of_a != of_b ? of_a > of_b : a.logit > b.logit;
}

struct Novelty {
  uint32_t all = 0;
  uint32_t unseen = 0;
};

uint32_t novelty_of(const Novelty& headers, const Novelty& text) {
  // Shares up to a tenth, up to a quarter, above.
  const auto level = [](const Novelty& n) {
    return uint32_t{n.unseen * 10 >= n.all} + uint32_t{n.unseen * 4 >= n.all};
  };
  return (headers.all > 0 ? level(headers) : 0) * 3 + (text.all > 0 ? level(text) : 0);
}

bool is_header(size_t place) {
  return place == static_cast<size_t>(Place::kHeader) || place == static_cast<size_t>(Place::kOther);
}

bool is_single(size_t place) {
  return place != static_cast<size_t>(Place::kBodyPair) && place != static_cast<size_t>(Place::kGram);
}

}  // namespace

bool is_text_place(size_t place) {
  return place == static_cast<size_t>(Place::kSubject) || place == static_cast<size_t>(Place::kBody) ||
         place == static_cast<size_t>(Place::kLink);
}

BayesSums sum_signs(const Weights& weights, FeatureSpan features, float hams, float spams, BayesScratch& scratch) {
  BayesSums sums;
  scratch.signs.clear();
  scratch.strongest.clear();
  const bool both_known = hams > 0 && spams > 0;
  std::array<Novelty, 2> novelty;
  auto& seen_at = scratch.seen_at;
  auto& ham = scratch.ham;
  auto& spam = scratch.spam;
  seen_at.resize(features.size());
  ham.resize(features.size());
  spam.resize(features.size());
  size_t known = 0;
  for (uint32_t at = 0; at < features.size(); ++at) {
    const size_t place = place_of(features[at]);
    const bool text = is_text_place(place);
    const bool single = is_single(place);
    const Slot& slot = weights.slot(features[at]);
    const bool seen = slot.ham + slot.spam >= 1;
    sums.known_headers += is_header(place) && slot.ham + slot.spam >= 3;
    if (single) {
      ++novelty[text].all;
      novelty[text].unseen += !seen;
    }
    seen_at[known] = at;
    ham[known] = slot.ham;
    spam[known] = slot.spam;
    known += seen;
  }
  if (!both_known) known = 0;
  // All logits in one plain loop: the compiler makes several at a time of it, with the same bits.
  float* const logits = ham.data();
  for (size_t i = 0; i < known; ++i) logits[i] = in_steps(sign_of(ham[i], spam[i], hams, spams));
  for (size_t i = 0; i < known; ++i) {
    const Sign sign{logits[i], seen_at[i]};
    if (std::fabs(sign.logit) < kWeakest) continue;
    const size_t place = place_of(features[sign.at]);
    scratch.signs.push_back(sign);
    sums.all.add(sign.logit);
    if (is_text_place(place)) sums.text.add(sign.logit);
    if (is_single(place)) scratch.strongest.push_back(sign);
  }
  sums.novelty = novelty_of(novelty[0], novelty[1]);
  auto& strongest = scratch.strongest;
  if (strongest.size() > kStrongestMax) {
    std::nth_element(strongest.begin(), strongest.begin() + kStrongestMax, strongest.end(), stronger);
    strongest.resize(kStrongestMax);
  }
  for (const Sign& sign : strongest) sums.strongest.add(sign.logit);
  return sums;
}

}  // namespace tamis::model
