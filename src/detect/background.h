// Background: how honest signups look, learned from those that nothing speaks against, a while after they came, so that
// a burst does not raise the expectation that it is measured against.
//
// Probabilities are conditional on the network class and back off from it to all classes, and from there to an estimate
// of what has never been seen: absolute discounting (Ney, Essen and Kneser, 1994) with the number of unseen values
// after Chao (1984). Locale is conditional on the country, times are smoothed histograms of their logarithms.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "detect/keyed_table.h"
#include "detect/signup_facts.h"

namespace tamis::detect {

// Where the background's counts for one signup lie; made once, so that they can be fetched ahead.
struct BackgroundKeys {
  std::array<uint64_t, kAttributes> value{};  // 0: not given
  uint64_t in_country = 0;                    // the locale, given the country
  uint64_t with_device = 0;                   // the locale, given the device
  uint64_t country = 0;
};
BackgroundKeys background_keys(const SignupFacts& facts);

class Background {
 public:
  explicit Background(uint64_t values_max) : counts_(values_max) {}

  void prefetch(const BackgroundKeys& keys) const;
  void learn(const SignupFacts& facts, const BackgroundKeys& keys, double weight);
  // Of a value that is not given: 1.
  double p(Attribute attribute, const SignupFacts& facts, const BackgroundKeys& keys) const;
  // Density of the logarithm of a measure; of one that is not given: 1.
  double density(Measure measure, const SignupFacts& facts) const;
  // Density of the round trip against the usual one, both as logarithms.
  double density_of_rtt(const SignupFacts& facts, double slower) const;
  // The usual round trip from the country of the signup in its class; natural logarithm of milliseconds, below zero if
  // unknown.
  double usual_rtt(const SignupFacts& facts, const BackgroundKeys& keys) const;
  double learned(NetClass net) const { return classes_[size_t(net)]; }
  double learned() const {
    double all = 0;
    for (double c : classes_) all += c;
    return all;
  }
  uint64_t bytes() const { return counts_.bytes(); }

  // For snapshots: the table of counts goes in segments, all else with the head.
  using Counts = KeyedTable<float>;
  Counts& counts() { return counts_; }
  const Counts& counts() const { return counts_; }
  void save_head(std::string& out) const;
  [[nodiscard]] bool load_head(state::ByteReader& in);

 private:
  struct Total {
    double sum = 0;
    double distinct = 0, once = 0, twice = 0;
  };
  static constexpr int kBins = 96;                 // an eighth of a nat each
  static constexpr float kSlower = 6;              // where the histogram of round trips has the usual one
  static constexpr int kBackOff = kNetClasses;     // the class of all
  static constexpr int kHosted = kNetClasses + 1;  // hosting and VPN together
  static constexpr int kKinds = kCaptchaKinds;

  double density_at(Measure measure, const SignupFacts& facts, float x) const;
  double p_of(Attribute attribute, uint64_t key, NetClass net) const;
  void count(int attribute, int net, uint64_t key, float weight);
  // The histogram of a measure: of the captcha's time for each kind, of the round trip for the class alone.
  size_t histogram(Measure measure, const SignupFacts& facts) const {
    const int kind = measure == kCaptcha ? facts.kind % kKinds : 0;
    return (size_t(measure) * kNetClasses + size_t(facts.net)) * kKinds + size_t(kind);
  }
  size_t pooled(Measure measure, const SignupFacts& facts) const {
    return size_t(measure) * kKinds + size_t(measure == kCaptcha ? facts.kind % kKinds : 0);
  }
  static int bin(float log_ms) {
    const float at = log_ms * 8;
    return at > 0 ? static_cast<int>(std::min(at, static_cast<float>(kBins - 1))) : 0;  // of no number, too
  }

  Counts counts_;
  std::array<std::array<Total, kNetClasses + 2>, kAttributes> totals_{};
  std::array<std::array<float, kBins>, size_t(kMeasures) * kNetClasses * kKinds> histograms_{};
  std::array<std::array<float, kBins>, size_t(kMeasures) * kKinds> pooled_{};
  std::array<float, size_t(kMeasures) * kNetClasses * kKinds> histogram_sums_{};
  std::array<float, size_t(kMeasures) * kKinds> pooled_sums_{};
  std::array<double, kNetClasses> classes_{};
};

}  // namespace tamis::detect
