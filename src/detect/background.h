// Background: how honest signups look, learned from those that nothing speaks against, a while after they came, so that
// a burst does not raise the expectation that it is measured against.
//
// Probabilities are conditional on the network class and back off from it to all classes, and from there to an estimate
// of what has never been seen: absolute discounting (Ney, Essen and Kneser, 1994) with the number of unseen values
// after Chao (1984). Locale is conditional on the country, times are smoothed histograms of their logarithms.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "detect/keyed_table.h"
#include "detect/signup_facts.h"

namespace tamis::detect {

class Background {
 public:
  explicit Background(uint64_t values_max) : counts_(values_max) {}

  void learn(const SignupFacts& facts, double weight);
  // Natural logarithms. Of a value that is not given: 0.
  double log_p(Attribute attribute, const SignupFacts& facts) const;
  // Density of a measure; of one that is not given: 0.
  double log_density(Measure measure, const SignupFacts& facts) const;
  // The share of the class among all, with the classes as they were learned.
  double class_share(NetClass net) const;
  // The usual round trip from the country of the signup in its class; natural logarithm of milliseconds, below zero if
  // unknown.
  double usual_rtt(const SignupFacts& facts) const;
  double learned(NetClass net) const { return classes_[size_t(net)]; }
  double learned() const { return all_; }
  uint64_t bytes() const { return counts_.bytes(); }

  static constexpr uint32_t kPieces = KeyedTable<float>::kShards + 1;
  void save(uint32_t piece, std::string& out) const;
  [[nodiscard]] bool load(uint32_t piece, state::ByteReader& in);

 private:
  struct Total {
    double sum = 0;
    double distinct = 0, once = 0, twice = 0;
  };
  static constexpr int kBins = 96;                 // an eighth of a nat each
  static constexpr int kBackOff = kNetClasses;     // the class of all
  static constexpr int kHosted = kNetClasses + 1;  // hosting and VPN together
  static constexpr int kKinds = kCaptchaKinds;

  double log_p_of(Attribute attribute, uint32_t value, NetClass net) const;
  void count(int attribute, int net, uint32_t value, float weight);
  static uint64_t key(int attribute, int net, uint64_t value) {
    return base::combine64((uint64_t(attribute) << 8) + uint64_t(net), value) | 1u;
  }
  // The histogram of a measure: of the captcha's time for each kind, of the round trip for the class alone.
  size_t histogram(Measure measure, const SignupFacts& facts) const {
    const int kind = measure == kCaptcha ? facts.kind % kKinds : 0;
    return (size_t(measure) * kNetClasses + size_t(facts.net)) * kKinds + size_t(kind);
  }
  size_t pooled(Measure measure, const SignupFacts& facts) const {
    return size_t(measure) * kKinds + size_t(measure == kCaptcha ? facts.kind % kKinds : 0);
  }
  static int bin(float log_ms) { return std::clamp(static_cast<int>(log_ms * 8), 0, kBins - 1); }

  KeyedTable<float> counts_;
  std::array<std::array<Total, kNetClasses + 2>, kAttributes> totals_{};
  std::array<std::array<float, kBins>, size_t(kMeasures) * kNetClasses * kKinds> histograms_{};
  std::array<std::array<float, kBins>, size_t(kMeasures) * kKinds> pooled_{};
  std::array<float, size_t(kMeasures) * kNetClasses * kKinds> histogram_sums_{};
  std::array<float, size_t(kMeasures) * kKinds> pooled_sums_{};
  std::array<double, kNetClasses> classes_{};
  double all_ = 0;
};

}  // namespace tamis::detect
