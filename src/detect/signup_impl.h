// The inside of SignupClusters: its records and tables. Only for the files signup_*.cc.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "detect/background.h"
#include "detect/fast_math.h"
#include "detect/keyed_table.h"
#include "detect/signup_clusters.h"
#include "detect/signup_keys.h"
#include "detect/signup_split.h"

namespace tamis::detect {

inline constexpr double kActableGuilt = 0;  // of a cluster, in log-odds
inline constexpr float kGathered = 12;      // log-odds of who is in a cluster by what it did, and of that cluster
inline constexpr size_t kLatest = 192;      // members of a cluster that are compared with each other
inline constexpr double kHour = 3.6e6, kDay = 8.64e7;

// A cluster is referred to by its place + 1 and, above 16 bits, how often the place was given anew: what still refers
// to one that is gone leads nowhere. 0: none.
using ClusterRef = uint32_t;

struct Account {
  SignupFacts facts;
  ClusterRef cluster = 0;
  float log_odds = 0;  // of the membership
  float score = 0;     // highest so far
  float after = 0;     // log-odds from what the account did later
  uint32_t reached =
      0;  // when it could first be acted on, where its cluster now does not tell; see moment(); 0: not yet
  uint32_t first_use = 0;  // of the first thing it did; 0: nothing yet
  ClusterRef later = 0;    // the cluster of what it did later
  uint16_t sends = 0, bounces = 0;
  uint8_t complaints = 0, declines = 0, hot = 0;
  uint8_t truth = 0;          // a SignupClusters::Truth
  ClusterRef learned_by = 0;  // the cluster whose model has learned it

  // Moments after the signup, in steps of 16 ms, two years at most.
  uint32_t moment(int64_t t_ms) const {
    return static_cast<uint32_t>(std::clamp<int64_t>((t_ms - facts.t_ms + 15) / 16 + 1, 1, UINT32_MAX));
  }
  int64_t time_of(uint32_t moment) const { return moment == 0 ? 0 : facts.t_ms + (int64_t{moment} - 1) * 16; }
};
static_assert(sizeof(Account) == 136);

// Something that young accounts share in what they do: a link's domain, a part of a text.
//
// What came of late is held back, and becomes the past slowly, so that a burst does not make itself usual. Beside the
// past there are others: established accounts that share the same, and people who share it with those they know.
struct SharedEntry {
  float day = 0, past = 0;  // decayed counts of accounts, half-lives of a day and of thirty
  uint32_t seen_s = 0, first_s = 0;
  ClusterRef cluster = 0;
  float held = 0;  // accounts that are no past yet
  std::array<uint32_t, 6> recent{};
  std::array<uint32_t, 2> others{};  // distinct ones, as bits of their hashes: of these four days, and of those before
};
static_assert(sizeof(SharedEntry) == 56);

struct KeyEntry {
  float fast = 0, slow = 0;  // decayed counts, half-lives of six hours and seven days
  uint32_t seen_s = 0;
  std::array<uint32_t, 4> recent{};  // numbers of accounts, + 1
  ClusterRef cluster = 0;
};

struct Cluster {
  uint64_t id = 0;
  ClusterRef ref = 0;
  uint32_t is_confirmed = 0;
  int64_t born_ms = 0, first_ms = 0, last_ms = 0, acted_ms = 0, suppressed_until_ms = 0;
  double fast = 0, slow = 0;         // decayed members
  double joined = 0;                 // weight of those that were predicted before they were learned
  std::array<float, kViews> view{};  // what they were worth, by view
  float aftermath = 0;               // log-odds from what members did later
  uint32_t active = 0, ill = 0;      // members that did something, and something ill
  uint32_t bad = 0, good = 0;        // members of whom people have found out what they are
  std::array<float, kNetClasses> by_class{};
  std::array<uint32_t, 4> first{}, last{};  // numbers of members, + 1
  std::array<uint32_t, kLatest> latest{};   // numbers of the members that joined last, + 1; a ring
  uint32_t latest_next = 0;                 // where the next one goes
  uint32_t unlooked = 0;                    // members since it was looked at whether they belong together
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
  void truth(std::string_view account, Truth truth, int64_t t_ms) override;
  bool erase(std::string_view account) override;
  AccountScore account(std::string_view account) const override;
  size_t accounts() const override { return accounts_.size(); }
  uint64_t bytes() const override;
  uint64_t digest() const override;
  void visit_clusters(const std::function<void(const ClusterFacts&)>& visit) const override;
  std::optional<ClusterPage> cluster(uint64_t id) const override;
  std::optional<ClusterFacts> facts(uint64_t id) const override;
  MemberPage members(uint64_t id, uint64_t from, size_t limit) const override;
  ClusterParts parts() const override;
  bool suppress(uint64_t id, int64_t until_ms) override;
  bool confirm(uint64_t id) override;
  base::Status use_head(std::shared_ptr<const model::Trees> head) override;

  void begin_snapshot(state::PieceWriter& out, uint32_t part) override;
  bool snapshot_piece() override;
  void end_snapshot() override;
  base::Status restore_piece(uint32_t kind, std::string_view body) override;
  base::Status finish_restore() override;

 private:
  static constexpr double kFastHalf = 6 * kHour, kSlowHalf = 7 * kDay;

  // A signup with all that is looked up of it.
  struct Sight {
    BackgroundKeys background;
    SignupKeys keys;
    std::array<const KeyEntry*, kKeys> entry{};
    Expected expected;
  };
  // The comparison of one signup with what is known.
  struct Match {
    ClusterRef cluster = 0;
    double log_odds = -30, prior = 0;
    Likelihood likelihood;
  };

  // The latest members of a cluster, that are compared with each other after signups that follow.
  struct Look {
    ClusterRef cluster = 0;
    std::vector<uint32_t> numbers;  // of accounts, + 1
    std::vector<SplitRow> rows;
    uint64_t steps = 0;  // signups since it was begun
    std::unique_ptr<Splitting> split;
  };

  uint32_t carried(const SignupFacts& facts) const;
  void fetch(const SignupFacts& facts, Sight& sight) const;
  void look_up(const SignupFacts& facts, Sight& sight) const;
  // `learned_by`: the cluster whose model has learned this very signup.
  Match match(const SignupFacts& facts, const Sight& sight, bool in_hindsight, ClusterRef learned_by = 0) const;
  double prior_of(const Cluster& cluster, int64_t t_ms, bool in_hindsight) const;
  void touch_keys(const SignupKeys& keys, uint32_t number, ClusterRef cluster);
  KeyEntry* second_sight(uint64_t key, uint32_t number);
  float surprise_of(const Sight& sight, const SignupFacts& facts, int* best) const;
  void seed(const Sight& sight, int best, uint32_t number);
  ClusterRef begin_cluster(const SignupKeys& keys, int best, uint32_t number);
  void join(Cluster& cluster, const SignupFacts& facts, uint32_t number, const Expected& expected, const Match& match,
            double weight, bool is_predicted);
  void learn_until(int64_t t_ms);
  ClusterRef free_place();
  void look_if_due(ClusterRef ref);
  void look_on();
  void part(const Look& look);
  void retell(Cluster& c, const std::vector<uint32_t>& numbers);
  void hand_over(uint32_t number, ClusterRef to);
  // Compares no longer with somebody who is erased.
  void forget_look(uint64_t number);
  void put_look(std::string& out) const;
  bool read_look(state::ByteReader& in);
  double later_odds(const Account& a) const;
  // What an account did, under a key that accounts can share. `weight` up to 1: how much it looks like abuse by itself.
  double share(uint64_t key, Account& a, uint32_t number, double by_chance);
  void age(SharedEntry& entry);
  // Somebody else did the same: no young account, or to people it knows.
  void share_as_other(uint64_t key, uint64_t account);
  void send_as_other(const Send& send);
  bool is_established(const Account& a) const;
  void gather(SharedEntry& entry, uint32_t number);
  void reconsider(Account& a);
  static void explain(const SignupScore& seen, double before, double after, double deeds, bool is_told,
                      AccountScore& out);
  double aftermath_of(const Cluster& c) const;
  double doubt_of(const Cluster& c) const;
  ClusterFacts facts_of(const Cluster& cluster) const;
  // When acting on its cluster would first have reached the account; 0: not yet.
  int64_t reached_ms(const Account& a) const;
  ClusterMember member_of(const Account& a, ClusterRef cluster) const;
  SignupScore score_of(const Expected& expected, const Match& match, float surprise) const;
  double guilt_of(const Cluster& c, std::array<float, kClusterParts>* parts = nullptr) const;
  double class_odds(const Cluster& c, NetClass net) const;
  void decay(int64_t t_ms);
  uint64_t key_of(std::string_view account) const { return account_keys(options_.key, account).find; }
  // The number of the account, or UINT64_MAX.
  uint64_t number_of(std::string_view account) const;
  Account& change(uint64_t number) { return accounts_.change(number % options_.accounts_max); }
  const Account& at(uint64_t number) const { return accounts_[number % options_.accounts_max]; }
  bool is_live(uint64_t number) const {
    return number < next_ && next_ - number <= accounts_.size() && at(number).facts.account != 0;
  }
  const Cluster* cluster_of(ClusterRef ref) const {
    const size_t place = ref & 0xffff;
    if (place == 0 || place > clusters_.size()) return nullptr;
    const Cluster& c = clusters_[place - 1];
    return c.ref == ref ? &c : nullptr;
  }
  Cluster* change_cluster(ClusterRef ref) {
    return cluster_of(ref) == nullptr ? nullptr : &clusters_.change((ref & 0xffff) - 1);
  }
  size_t place_of(uint64_t id) const;
  bool is_suppressed(const Cluster& c) const { return c.suppressed_until_ms > now_ms_; }
  void put_head(std::string& out) const;
  template <class Visit>
  void each_table(const Visit& visit);

  SignupClusterOptions options_;
  SegmentedArray<Account> accounts_;  // a ring by number
  uint64_t next_ = 0, learned_ = 0;   // numbers
  KeyedTable<uint32_t> by_account_;
  Background background_;
  KeyedTable<KeyEntry> keys_;
  KeyedTable<SharedEntry> shared_;
  SegmentedArray<std::array<uint64_t, 4>> singles_;  // fingerprint << 32 | number + 1, four places to a key
  SegmentedArray<Cluster> clusters_;
  uint64_t clusters_born_ = 0;
  Look look_;
  mutable std::array<uint32_t, 1024> found_at_{};  // places where clusters were found last, by number: no state
  int64_t begun_ms_ = 0, now_ms_ = 0;
  std::array<double, kNetGroups> arrivals_{};  // decayed with the slow half-life; without what belongs to clusters
  double all_arrivals_ = 0;
  double sends_day_ = 0;  // decayed with a half-life of a day
  std::shared_ptr<const model::Trees> head_;

  // The account that is learned next, looked up ahead; no state.
  uint64_t ahead_number_ = UINT64_MAX;
  Sight ahead_;
  uint64_t restored_ = 0;
};

}  // namespace tamis::detect
