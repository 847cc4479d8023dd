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
  void add(const SignupFacts& facts, const Likelihood& likelihood, double weight);
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

  double log_t(const Gauss& g, double x) const;

  std::array<Pool, kAttributes> pools_{};
  std::array<float, kAttributes> drawn_{}, seen_{};
  std::array<Gauss, kMeasures> gauss_{};
  double members_ = 0;
};

}  // namespace tamis::detect
