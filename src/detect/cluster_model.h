// ClusterModel: what the members of one cluster have in common, as a predictive distribution that is compared with the
// background, view by view.
//
// Of each attribute the model is a mixture: with weight w a draw from the values seen in the cluster (a pool of the
// commonest), else a draw from the background; w is learned. So an attribute that the cluster does not share costs
// nothing, and one that all members share is worth the logarithm of its rarity. Times are a normal distribution with a
// learned spread (Student's t as predictive), mixed in the same way. Plain bytes: can be copied and stored.
#pragma once

#include <array>
#include <cstdint>

#include "detect/background.h"
#include "detect/signup_facts.h"

namespace tamis::detect {

// The background's view of one signup, computed once and compared with many clusters.
struct Expected {
  std::array<double, kAttributes> log_p{};
  std::array<double, kMeasures> log_density{};
  double slower = 0;  // logarithm of the round trip against the usual one there
  bool has_slower = false;
};
Expected expected_of(const Background& background, const SignupFacts& facts);

// Log-likelihood ratios, cluster against background.
struct Likelihood {
  std::array<float, kViews> view{};
  std::array<float, kAttributes> attribute{};
  std::array<float, kMeasures> measure{};
  float total = 0;
};

class ClusterModel {
 public:
  Likelihood likelihood(const SignupFacts& facts, const Expected& expected) const;
  // Takes a member in with a weight up to 1; `likelihood` is the one from before.
  void add(const SignupFacts& facts, const Expected& expected, const Likelihood& likelihood, double weight);
  void merge(const ClusterModel& other);

  double members() const { return members_; }
  // The share of members whose value of the attribute comes from the pool.
  double sharing(Attribute a) const { return (drawn_[a] + 0.5) / (seen_[a] + 1.0); }
  // Spread of a measure (standard deviation of the logarithm), and of how many.
  double spread(Measure m) const;
  double measured(Measure m) const { return gauss_[m].n; }
  // The most frequent value of an attribute and its share.
  struct Top {
    uint32_t value = 0;
    double share = 0;
  };
  Top top(Attribute a) const;
  int distinct_in_pool(Attribute a) const;

 private:
  static constexpr int kPool = 24;
  struct Entry {
    uint32_t value;
    float count;
  };
  struct Pool {
    std::array<Entry, kPool> entries{};
    float sum = 0;
  };
  struct Gauss {
    float n = 0, weight = 0, mean = 0, squares = 0, drawn = 0;
  };

  // The captcha's time is kept apart for each kind of captcha.
  static constexpr size_t kTimes = kMeasures + kCaptchaKinds - 1;
  static size_t time_of(Measure m, const SignupFacts& facts) {
    return m == kCaptcha && facts.kind != 0 ? size_t{kMeasures} - 1 + facts.kind % kCaptchaKinds : size_t{m};
  }
  // The round trip counts against the usual one from there: a relay adds to it wherever it stands.
  static bool time_value(Measure m, const SignupFacts& facts, const Expected& expected, double* x, double* log_p) {
    if (m == kRtt) {
      *x = expected.slower;
      // Honest ones: a wide curve around the usual.
      *log_p = -0.5 * (expected.slower / 0.8) * (expected.slower / 0.8) - 0.6958;
      *log_p = *log_p < -4 ? -4 : *log_p;
      return expected.has_slower;
    }
    *x = static_cast<double>(facts.measure[m]);
    *log_p = expected.log_density[m];
    return facts.measure[m] >= 0;
  }
  double log_t(const Gauss& g, double x) const;

  std::array<Pool, kAttributes> pools_{};
  std::array<float, kAttributes> drawn_{}, seen_{};
  std::array<Gauss, kTimes> gauss_{};  // by time_of()
  double members_ = 0;
};

}  // namespace tamis::detect
