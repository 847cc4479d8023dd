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
  std::array<double, kAttributes> p{};      // of the value; 1 if not given
  std::array<double, kMeasures> density{};  // of the time
  std::array<double, kMeasures> x{};        // what a cluster compares of the time
  std::array<bool, kMeasures> given{};
};
Expected expected_of(const Background& background, const SignupFacts& facts, const BackgroundKeys& keys);

// Likelihood ratios, cluster against background: of attributes and times as they are, of views and in all their
// logarithms.
struct Likelihood {
  std::array<float, kViews> view{};
  std::array<float, kAttributes> attribute{};
  std::array<float, kMeasures> measure{};
  float total = 0;
};

class ClusterModel {
 public:
  // `is_member`: the model has learned this very signup already, which must not speak for itself.
  Likelihood likelihood(const SignupFacts& facts, const Expected& expected, bool is_member = false) const;
  // Takes a member in with a weight up to 1; `likelihood` is the one from before.
  void add(const SignupFacts& facts, const Expected& expected, const Likelihood& likelihood, double weight);
  // Asks for its memory ahead of likelihood().
  void prefetch() const {
    const char* from = reinterpret_cast<const char*>(this);
    for (size_t at = 0; at < sizeof(*this); at += 64) __builtin_prefetch(from + at);
  }

  double members() const { return members_; }
  // The share of members whose value of the attribute comes from the pool.
  double sharing(Attribute a) const {
    return (static_cast<double>(drawn_[a]) + 0.5) / (static_cast<double>(seen_[a]) + 1.0);
  }
  // Spread of a measure (standard deviation of the logarithm), and of how many.
  double spread(Measure m) const;
  double typical_ms(Measure m) const;
  double measured(Measure m) const { return static_cast<double>(gauss_[m].n); }
  // The most frequent value of an attribute and its share.
  struct Top {
    uint32_t value = 0;
    double share = 0;
  };
  Top top(Attribute a) const;
  // Members of whom the attribute is known, and how many values are remembered.
  double seen(Attribute a) const { return static_cast<double>(seen_[a]); }
  int distinct_in_pool(Attribute a) const;

 private:
  static constexpr size_t kPool = 24;
  struct Pool {
    std::array<uint32_t, kPool> value{};
    std::array<float, kPool> count{};
    float sum = 0;
    // The place of the value, kPool if it is not there.
    size_t find(uint32_t v) const {
      size_t at = kPool;
      for (size_t i = 0; i < kPool; ++i) at = value[i] == v ? i : at;
      return at;
    }
  };
  struct Gauss {
    float n = 0, weight = 0, mean = 0, squares = 0, drawn = 0;
  };

  // The captcha's time is kept apart for each kind of captcha.
  static constexpr size_t kTimes = kMeasures + kCaptchaKinds - 1;
  static size_t time_of(Measure m, const SignupFacts& facts) {
    return m == kCaptcha && facts.kind != 0 ? size_t{kMeasures} - 1 + facts.kind % kCaptchaKinds : size_t{m};
  }
  static double t_density(const Gauss& g, double x);
  // The curve before it learned x once.
  static Gauss without(const Gauss& g, double x);

  std::array<Pool, kAttributes> pools_{};
  std::array<float, kAttributes> drawn_{}, seen_{};
  std::array<Gauss, kTimes> gauss_{};  // by time_of()
  double members_ = 0;
};

}  // namespace tamis::detect
