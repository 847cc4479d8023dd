// SignupClusters: bulk registrations found as clusters, while they come in.
//
// Each signup is compared with the clusters it shares keys with: how much likelier is it as their next member than as
// an honest signup of its network class? Keys are combinations of attributes of two or more views; one that returns
// far more often than those attributes do by chance begins a cluster. A cluster proves itself by members that it
// predicted before it saw them. Later signals (sends, complaints, links, texts) raise it and reach all members.
//
// A deterministic fold over typed events in the order of their times: no clock, no randomness, no I/O. Bounded memory.
// One thread. docs/ACCOUNTS_DETECTORS.md tells the statistics.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/account_event.h"
#include "detect/cluster_model.h"

namespace tamis::detect {

// What a head over the detector may read of a signup, and what explains a score. Natural logarithms where it says so.
enum SignupFeature : uint8_t {
  kLogOdds,   // that it belongs to its cluster rather than to the background; log
  kPrior,     // the cluster's share of arrivals; log
  kViewName,  // what each view adds to the log-odds
  kViewDevice,
  kViewNetwork,
  kViewLocale,
  kViewRecovery,
  kViewBehaviour,
  kViewReuse,
  kClusterSize,  // log(1 + members)
  kMeanName,     // what each view added on average over the cluster's members, before they were learned
  kMeanDevice,
  kMeanNetwork,
  kMeanLocale,
  kMeanRecovery,
  kMeanBehaviour,
  kMeanReuse,
  kKeySurprise,  // the most surprising of its keys; log
  kRareFill,     // how rare its own times and form are in its class; log
  kRareForm,
  kRareDevice,
  kRareLocale,
  kRareName,
  kAftermath,  // evidence of what the cluster's members did later; log
  kSignupFeatures,
};
std::string_view signup_feature_name(SignupFeature feature);

struct SignupScore {
  double score = 0;      // 0..1, comparable among signups
  uint64_t cluster = 0;  // 0: none
  std::array<float, kSignupFeatures> feature{};
};

// An account in hindsight.
struct AccountScore {
  double score = 0;
  uint64_t cluster = 0;
  int64_t at_ms = 0;  // when it could first have been acted on; of an account that could not, when it signed up
};

// A cluster as people and rules see it.
struct ClusterFacts {
  uint64_t id = 0;
  double score = 0;  // 0..1, of the cluster as such
  double members = 0;
  int64_t first_ms = 0, last_ms = 0;
  int64_t acted_ms = 0;              // when it could first be acted on, 0: not yet
  std::array<float, kViews> view{};  // log-odds that each view adds for a member, on average
  float aftermath = 0;               // log-odds from what members did later
  double active = 0, ill = 0;        // members that did something, and something ill
  double spread_fill = 0;            // standard deviation of the logarithm of the time to fill the form
};

struct SignupClusterOptions {
  uint64_t accounts_max = 2'000'000;  // live signups
  uint64_t keys_max = 8'000'000;      // keys seen twice or more
  uint32_t single_slots_log2 = 21;    // keys seen once: 8 bytes each
  uint64_t values_max = 4'000'000;    // attribute values of the background
  uint32_t clusters_max = 16'384;
  uint64_t shared_max = 4'000'000;  // links, parts of texts, ranges of cards
};

class SignupClusters {
 public:
  static std::unique_ptr<SignupClusters> make(const SignupClusterOptions& options = {});
  virtual ~SignupClusters() = default;

  virtual SignupScore signup(const Signup& signup) = 0;
  virtual void send(const Send& send) = 0;
  virtual void feedback(const Feedback& feedback) = 0;
  virtual void login(const Login& login) = 0;
  virtual void payment(const Payment& payment) = 0;

  virtual AccountScore account(std::string_view account) const = 0;
  virtual size_t accounts() const = 0;
  // The cluster of that number, if it is there.
  virtual bool cluster(uint64_t id, ClusterFacts& out) const = 0;
  virtual void visit_clusters(const std::function<void(const ClusterFacts&)>& visit) const = 0;
  virtual uint64_t bytes() const = 0;

  // A snapshot is a row of pieces; the way back is into an object of the same options in which nothing has happened.
  // Bytes that are no such piece are refused; then the object is only good for being destroyed.
  using PieceSink = std::function<void(uint32_t kind, std::string_view body)>;
  virtual void save(const PieceSink& sink) const = 0;
  virtual base::Status restore_piece(uint32_t kind, std::string_view body) = 0;
  virtual base::Status finish_restore() = 0;
  virtual uint64_t digest() const = 0;
};

}  // namespace tamis::detect
