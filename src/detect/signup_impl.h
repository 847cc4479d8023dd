// The inside of SignupClusters: its records and tables. Only for the files signup_*.cc.
#pragma once

#include <array>
#include <cmath>
#include <vector>

#include "detect/background.h"
#include "detect/keyed_table.h"
#include "detect/signup_clusters.h"
#include "detect/signup_keys.h"

namespace tamis::detect {

inline constexpr float kActable = 0.5f;          // score from which something may be done
inline constexpr double kActableEvidence = 3.5;  // of a cluster, in log-odds per member
inline constexpr double kHour = 3.6e6, kDay = 8.64e7;

struct Account {
  SignupFacts facts;
  uint32_t cluster = 0;      // place + 1
  float log_odds = 0;        // of the membership
  float score = 0;           // highest so far
  float after = 0;           // log-odds from what the account did later
  int64_t acted_ms = 0;      // when the score first reached kActable; 0: not yet
  int64_t first_use_ms = 0;  // of the first thing it did; 0: nothing yet
  uint32_t later = 0;        // the cluster of what it did later; place + 1
  uint16_t sends = 0, bounces = 0, complaints = 0, declines = 0, hot = 0, spare = 0;
};
static_assert(sizeof(Account) == 144);

// Something that young accounts share in what they do: a link's domain, a part of a text.
struct SharedEntry {
  float day = 0, month = 0;  // decayed counts of accounts, half-lives of a day and of thirty
  uint32_t seen_s = 0, first_s = 0;
  uint32_t cluster = 0;       // place + 1
  uint32_t last_account = 0;  // number + 1
  std::array<uint32_t, 8> recent{};
};

struct KeyEntry {
  float fast = 0, slow = 0;  // decayed counts, half-lives of six hours and seven days
  uint32_t seen_s = 0;
  std::array<uint32_t, 4> recent{};  // numbers of accounts, + 1
  uint32_t cluster = 0;
};

struct Cluster {
  uint64_t id = 0;
  int64_t born_ms = 0, first_ms = 0, last_ms = 0, acted_ms = 0;
  double fast = 0, slow = 0;                // decayed members
  double joined = 0;                        // weight of those that were predicted before they were learned
  std::array<float, kViews> view{};         // what they were worth, by view
  float excess = 0;                         // log-odds they had, summed
  float aftermath = 0;                      // log-odds from what members did later
  uint32_t active = 0, ill = 0, spare = 0;  // members that did something, and something ill
  ClusterModel model;
};

static_assert(sizeof(Cluster) % 8 == 0);

class SignupClustersImpl final : public SignupClusters {
 public:
  explicit SignupClustersImpl(const SignupClusterOptions& options);

  SignupScore signup(const Signup& signup) override;
  void send(const Send& send) override;
  void feedback(const Feedback& feedback) override;
  void login(const Login& login) override;
  void payment(const Payment& payment) override;
  AccountScore account(std::string_view account) const override;
  size_t accounts() const override { return accounts_.size(); }
  bool cluster(uint64_t id, ClusterFacts& out) const override;
  uint64_t bytes() const override;
  void visit_clusters(const std::function<void(const ClusterFacts&)>& visit) const override;
  uint64_t digest() const override;
  void save(const PieceSink& sink) const override;
  base::Status restore_piece(uint32_t kind, std::string_view body) override;
  base::Status finish_restore() override;

 private:
  static constexpr double kFastHalf = 6 * kHour, kSlowHalf = 7 * kDay;

  // The comparison of one signup with what is known.
  struct Match {
    uint32_t cluster = 0;  // place + 1, 0: none
    double log_odds = -30, prior = 0;
    Likelihood likelihood;
  };

  Match match(const SignupFacts& facts, const Expected& expected, const SignupKeys& keys, bool in_hindsight) const;
  double prior_of(const Cluster& cluster, int64_t t_ms, bool in_hindsight) const;
  void touch_keys(const SignupKeys& keys, uint32_t number, uint32_t cluster);
  float surprise_of(const SignupKeys& keys, const SignupFacts& facts, int* best) const;
  uint32_t begin_cluster(const SignupKeys& keys, int best, uint32_t number);
  void join(uint32_t place, const SignupFacts& facts, const Expected& expected, const Match& match, double weight,
            bool is_predicted);
  void learn_until(int64_t t_ms);
  uint32_t free_place();
  double later_odds(const Account& a) const;
  // What an account did, under a key that accounts can share. `weight` up to 1: how much it looks like abuse by itself.
  double share(uint64_t key, Account& a, uint32_t number, double by_chance);
  void gather(SharedEntry& entry, uint32_t number);
  void reconsider(Account& a, float before);
  ClusterFacts facts_of(const Cluster& cluster) const;
  SignupScore score_of(const Expected& expected, const Match& match, float surprise) const;
  double evidence_of(const Cluster& c) const;
  void decay(int64_t t_ms);
  Account* find_account(std::string_view account);
  Account& at(uint64_t number) { return accounts_[number % options_.accounts_max]; }
  const Account& at(uint64_t number) const { return accounts_[number % options_.accounts_max]; }

  SignupClusterOptions options_;
  std::vector<Account> accounts_;    // a ring by number
  uint64_t next_ = 0, learned_ = 0;  // numbers
  KeyedTable<uint32_t> by_account_;
  Background background_;
  KeyedTable<KeyEntry> keys_;
  KeyedTable<SharedEntry> shared_;
  std::vector<uint64_t> singles_;  // fingerprint << 32 | number + 1, four places to a key
  std::vector<Cluster> clusters_;
  uint64_t clusters_born_ = 0;
  mutable std::array<uint32_t, 1024> found_at_{};  // places where clusters were found last, by number: no state
  int64_t begun_ms_ = 0, now_ms_ = 0;
  std::array<double, kNetGroups> arrivals_{};  // decayed with the slow half-life; without what belongs to clusters
  double all_arrivals_ = 0;
  double sends_day_ = 0;  // decayed with a half-life of a day
  uint64_t restored_ = 0;
};

}  // namespace tamis::detect
