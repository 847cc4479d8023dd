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
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "detect/account_event.h"
#include "detect/cluster_model.h"
#include "model/trees.h"
#include "state/pieces.h"

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
  kAftermath,    // evidence of what the cluster's members did later; log
  kTwo,          // what the cluster's members share in two views; log-odds a member
  kUnexplained,  // and beyond what one place, one thing or one mail domain explains
  kSignupFeatures,
};
std::string_view signup_feature_name(SignupFeature feature);

// The parts of a score, as log-odds that add up to it.
enum SignupPart : uint8_t {
  kPartBase,        // of anyone
  kPartMembership,  // how much likelier it is as the cluster's next member
  kPartEvidence,    // how well the cluster has predicted its members so far
  kPartAftermath,   // what the cluster's members did later
  kPartSurprise,    // a combination of attributes that returns too often
  kPartHead,        // what a trained head adds; never below zero
  // Of an account later on only:
  kPartEarlier,   // what it looked like when it signed up, beyond what it looks like now
  kPartDeeds,     // complaints, bounces, mail to strangers and declined cards of its own
  kPartTogether,  // does what other young accounts do together with it
  kPartTruth,     // what people have found out; then nothing else counts
  kSignupParts,
};
std::string_view signup_part_name(SignupPart part);

// How much a signup looks like its cluster's next member: the views (SignupFeature kViewName and on), `pace` and
// `doubt` add up to `log_odds`, which the membership stands on.
struct SignupLikeness {
  bool is_compared = false;  // there is a cluster to compare with, and nobody has cleared it
  float log_odds = 0;
  float pace = 0;   // the cluster's share of arrivals, and of this class of network
  float doubt = 0;  // what is taken off: a view beyond what members are known to share, one view alone, bounds
};

// Why a cluster is taken for a campaign, as log-odds that add up.
enum ClusterPart : uint8_t {
  kClusterBase,         // what clusters of honest people show
  kClusterTwoViews,     // what members share in the two strongest views
  kClusterUnexplained,  // what members share beyond what one place or one thing explains
  kClusterFew,          // doubt as long as it has predicted few
  kClusterAftermath,    // what members did later
  kClusterTruth,        // members that people have found to be good
  kClusterConfirmed,    // what people have said of it
  kClusterParts,
};

struct SignupScore {
  double score = 0;            // 0..1, comparable among signups: the logistic of log_odds
  float log_odds = 0;          // the sum of the parts
  uint64_t cluster = 0;        // 0: none
  bool is_suppressed = false;  // it looks like a member of a cluster that people have cleared
  std::array<float, kSignupParts> part{};
  SignupLikeness likeness;
  std::array<float, kSignupFeatures> feature{};
};

// An account in hindsight.
struct AccountScore {
  double score = 0;
  uint64_t cluster = 0;
  int64_t at_ms = 0;      // when acting on its cluster would first have reached it; 0: never
  bool is_known = false;  // its signup was seen
  bool is_good = false;   // people have found out that it is
  float log_odds = 0;     // the sum of the parts
  std::array<float, kSignupParts> part{};
  std::array<float, kViews> view{};
  SignupLikeness likeness;
};

// A cluster as rules and lists see it.
struct ClusterFacts {
  uint64_t id = 0;
  double score = 0;     // 0..1, of the cluster as such
  double log_odds = 0;  // that it is a campaign, the sum of the parts; the score's, but where people have cleared it
  std::array<float, kClusterParts> part{};
  double members = 0;
  double per_day = 0;  // members a day now, from the decayed counts
  int64_t first_ms = 0, last_ms = 0;
  int64_t acted_ms = 0;              // when it could first be acted on, 0: not yet
  int64_t suppressed_until_ms = 0;   // people have cleared it until then, 0: no
  bool is_confirmed = false;         // people have confirmed it
  std::array<float, kViews> view{};  // log-odds that each view adds for a member, on average
  float aftermath = 0;               // log-odds from what members did later
  double active = 0, ill = 0;        // members that did something, and something ill
  double bad = 0, good = 0;          // members of whom people have found out what they are
  double spread_fill = 0;            // standard deviation of the logarithm of the time to fill the form
};

// What members share, against what as many honest signups of their network classes would.
struct ClusterShare {
  std::string_view attribute;
  View view = kLexical;
  double of = 0;        // members of whom the attribute is known
  double observed = 0;  // of these, with the commonest value
  double expected = 0;  // among as many honest ones
  int values = 0;       // different ones among the members, 24 at most
};
struct ClusterTime {
  std::string_view measure;
  double of = 0, typical_ms = 0, spread = 0;  // spread: standard deviation of the logarithm
};
struct ClusterMember {
  uint64_t account = 0;   // AccountKeys::find of its name
  int64_t t_ms = 0;       // of its signup
  int64_t acted_ms = 0;   // when acting on the cluster would first have reached it, 0: not yet
  float score = 0;        // at its signup
  float log_odds = 0;     // of the membership
  bool by_deeds = false;  // gathered by what it did later
};
// A cluster as its page shows it.
struct ClusterPage {
  ClusterFacts facts;
  std::vector<ClusterShare> shared;  // the most telling first
  std::vector<ClusterTime> times;
  std::array<double, kNetClasses> by_class{};  // members by network class
  std::vector<ClusterMember> exemplars;        // the first four and the last four
};
struct MemberPage {
  std::vector<ClusterMember> members;
  std::vector<SignupFacts> facts;  // of each of them, for part_members()
  uint64_t next = 0;               // where the next page goes on, 0: this was the last
};

// Campaigns that met in one cluster, told apart (signup_parts.h): accounts that belong to another one than most of
// their cluster, by AccountKeys::find. The largest keeps the cluster's number, the k-th other one has number + k *
// kPartNumbers. What is a piece of one campaign with another cluster or part has that one's number.
struct ClusterParts {
  static constexpr uint64_t kPartNumbers = 1'000'000'000'000;
  std::unordered_map<uint64_t, uint64_t> number;
  std::unordered_map<uint64_t, uint64_t> joined;  // number of a piece to that of its campaign
  // Of an account that is taken for a member of the cluster.
  uint64_t of(uint64_t account, uint64_t cluster) const {
    const auto found = number.find(account);
    const uint64_t part = found != number.end() && found->second % kPartNumbers == cluster ? found->second : cluster;
    const auto whole = joined.find(part);
    return whole != joined.end() ? whole->second : part;
  }
};

struct SignupClusterOptions {
  uint64_t accounts_max = 2'000'000;  // live signups
  uint64_t keys_max = 8'000'000;      // keys seen twice or more
  uint32_t single_slots_log2 = 21;    // keys seen once: 8 bytes each
  uint64_t values_max = 4'000'000;    // attribute values of the background
  uint32_t clusters_max = 16'384;     // 65 000 at most
  uint64_t shared_max = 4'000'000;    // links, parts of texts, ranges of cards
  base::SipKey key{};                 // of names of accounts

  // For so many live signups: about 450 bytes each.
  static SignupClusterOptions for_accounts(uint64_t accounts);
};

class SignupClusters : public state::SnapshotPart {
 public:
  static std::unique_ptr<SignupClusters> make(const SignupClusterOptions& options = {});

  virtual SignupScore signup(const Signup& signup) = 0;
  virtual void send(const Send& send) = 0;
  virtual void feedback(const Feedback& feedback) = 0;
  virtual void login(const Login& login) = 0;
  virtual void payment(const Payment& payment) = 0;

  // What somebody has found out about one account. It holds for the account from then on, and tells of its cluster.
  enum class Truth : uint8_t { kNone, kGood, kBad };
  virtual void truth(std::string_view account, Truth truth, int64_t t_ms) = 0;

  // Forgets the account. What it has added to counts and to the model of its cluster, where nothing leads to it, stays.
  virtual bool erase(std::string_view account) = 0;

  virtual AccountScore account(std::string_view account) const = 0;
  virtual size_t accounts() const = 0;
  virtual uint64_t bytes() const = 0;
  virtual uint64_t digest() const = 0;

  // Clusters. Visits all; the one with the id, if it is still there; its members by age, of which one call looks at no
  // more than 200 000 accounts: go on from `next`, even if a page is empty.
  virtual void visit_clusters(const std::function<void(const ClusterFacts&)>& visit) const = 0;
  virtual std::optional<ClusterPage> cluster(uint64_t id) const = 0;
  // Only the facts, fast enough for every event.
  virtual std::optional<ClusterFacts> facts(uint64_t id) const = 0;
  virtual MemberPage members(uint64_t id, uint64_t from = 0, size_t limit = 1000) const = 0;
  // Refinement of all clusters. Looks at all accounts: for the end of a replay. What runs beside events takes members()
  // page by page and part_members().
  virtual ClusterParts parts() const = 0;
  // What people say of a cluster, at the time of the events around it. Cleared: until then it speaks against nobody
  // (zero: from now on it does again). Confirmed: its members are what it says they are. False: there is none.
  virtual bool suppress(uint64_t id, int64_t until_ms) = 0;
  virtual bool confirm(uint64_t id) = 0;

  // A head that was trained on features and truth; null: none. It is no part of the state. Error: it was trained on
  // other features than SignupFeature names.
  virtual base::Status use_head(std::shared_ptr<const model::Trees> head) = 0;

  // Snapshots: state/pieces.h. An event copies at most about a megabyte; the way back is into an object of the same
  // options in which nothing has happened.
};

}  // namespace tamis::detect
