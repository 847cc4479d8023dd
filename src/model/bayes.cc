#include "model/bayes.h"

#include <algorithm>

#include "model/numeric.h"

namespace tamis::model {
namespace {

constexpr size_t kStrongestMax = 60;
constexpr float kWeakest = 0.2f;  // a sign with a smaller logit is left out

// The logit of a feature by how often either label had it. The rates are drawn to their common value by one message of
// each label, so that one label alone proves little while the other is hardly known; the logit is drawn to 0 while the
// feature was seen seldom.
float sign_of(float ham, float spam, float hams, float spams) {
  const float seen = ham + spam;
  const float pool = seen / (hams + spams);
  const float in_ham = (ham + pool) / (hams + 1);
  const float in_spam = (spam + pool) / (spams + 1);
  const float share = in_spam / (in_ham + in_spam);
  const float p = (0.25f + seen * share) / (0.5f + seen);
  return plain_log(p / (1.0f - p));
}

bool stronger(const Sign& a, const Sign& b) {
  const float of_a = std::fabs(a.logit);
  const float of_b = std::fabs(b.logit);
  return of_a != of_b ? of_a > of_b : a.logit > b.logit;
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
  if (hams <= 0 || spams <= 0) return sums;
  for (uint32_t at = 0; at < features.size(); ++at) {
    const FeatureId id = features[at];
    const Slot& slot = weights.slot(id);
    if (slot.ham + slot.spam < 1) continue;
    const Sign sign{sign_of(slot.ham, slot.spam, hams, spams), at};
    if (std::fabs(sign.logit) < kWeakest) continue;
    scratch.signs.push_back(sign);
    const size_t place = place_of(id);
    sums.all.add(sign.logit);
    if (is_text_place(place)) sums.text.add(sign.logit);
    if (place != static_cast<size_t>(Place::kBodyPair) && place != static_cast<size_t>(Place::kGram)) {
      scratch.strongest.push_back(sign);
    }
  }
  auto& strongest = scratch.strongest;
  if (strongest.size() > kStrongestMax) {
    std::nth_element(strongest.begin(), strongest.begin() + kStrongestMax, strongest.end(), stronger);
    strongest.resize(kStrongestMax);
    // Which of equals are left, and so the order of a sum, must not depend on the library.
    std::sort(strongest.begin(), strongest.end(), stronger);
  }
  for (const Sign& sign : strongest) sums.strongest.add(sign.logit);
  return sums;
}

}  // namespace tamis::model
