// The inside of LoginRisk: its records and tables. Only for the files login_*.cc.
#pragma once

#include <array>
#include <string>

#include "base/hash.h"
#include "detect/frequencies.h"
#include "detect/keyed_table.h"
#include "detect/login_risk.h"
#include "detect/segments.h"

namespace tamis::detect {

// What is remembered of a login's client, each as a hash; 0: not given.
enum LoginAttribute : uint8_t {
  kLogIp,
  kLogNet,
  kLogAsn,
  kLogCountry,
  kLogDevice,
  kLogAgent,
  kLogFamily,  // browser and system
  kLogSystem,
  kLogLocale,
  kLogZone,  // time zone
  kLogTls,   // given the family
  kLogCookie,
  kLogAttributes,
};

struct LoginFacts {
  int64_t t_ms = 0;
  uint64_t account = 0;     // AccountKeys::find
  uint64_t values_key = 0;  // AccountKeys::values
  NetClass net = NetClass::kResidential;
  std::array<uint32_t, kLogAttributes> value{};
};

struct LoginProfile {
  static constexpr int kRemembered = 6;
  struct Entry {
    uint32_t value = 0;  // hash under the account
    float count = 0;
  };
  // A success that nobody has vouched for yet.
  struct Pending {
    int64_t t_ms = 0;
    std::array<uint32_t, kLogAttributes> value{};
    float log_odds = 0;
    NetClass net = NetClass::kResidential;
    uint8_t campaign = 0;  // 1: shared much with attempts on other accounts
    uint8_t second_factor = 0;
    uint8_t flags = 0;
    bool has(uint8_t flag) const { return (flags & flag) != 0; }
  };
  static constexpr int kPending = 3;
  static constexpr uint8_t kTold = 1;      // a change has made it look like a takeover
  static constexpr uint8_t kUsed = 2;      // a session went on from it: whoever it was came in
  static constexpr uint8_t kDenied = 4;    // a proof was asked for and not given
  static constexpr uint8_t kDisowned = 8;  // somebody has found out that it was not the owner
  // The device, browser, system and time zone that a cookie was last seen with.
  struct Binding {
    uint32_t cookie = 0, device = 0, agent = 0, tls = 0, family = 0, system = 0, zone = 0;
    uint32_t used = 0;  // hours since the epoch
  };
  static constexpr int kBindings = 6;

  float events = 0;
  uint32_t next_free = 0;  // of a profile that is not in use: another one + 1
  std::array<std::array<Entry, kRemembered>, kLogAttributes - 2> known{};  // without TLS and cookie
  std::array<float, kLogAttributes - 2> distinct{};
  std::array<Pending, kPending> pending{};
  std::array<Binding, kBindings> bindings{};
};

// Every byte has a name, so that digests of memory mean something.
static_assert(sizeof(LoginProfile::Pending) == 64 && sizeof(LoginProfile) == 912);

struct CampaignEntry {
  float fast = 0, slow = 0;  // decayed counts of accounts
  uint32_t seen_s = 0;
  uint32_t last_account = 0;
};

// An unfamiliar login, session or change about which people may say something later. Its table has it by its name, and
// what it showed lies under a mask that is made of its name: who does not have the name can neither find nor read it.
struct RememberedLogin {
  int64_t t_ms = 0;
  uint64_t account = 0;
  std::array<uint64_t, 8> masked{};
  uint64_t told = 0;  // LoginRisk::Truth
};

// What user agents come to, remembered for the texts that were seen lately: most clients show one of a few. No state:
// it changes nothing but the time that it takes.
class AgentHashes {
 public:
  struct Hashes {
    uint32_t agent = 0, family = 0, system = 0;
  };
  Hashes of(std::string_view user_agent);

 private:
  static constexpr size_t kSlots = 512, kBytesMax = 512;
  struct Slot {
    std::string text;
    Hashes hashes;
  };
  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);
};

class LoginRiskImpl final : public LoginRisk {
 public:
  explicit LoginRiskImpl(const LoginRiskOptions& options)
      : options_(options),
        index_(options.accounts_max),
        campaign_(options.campaign_keys_max),
        remembered_(options.told_max),
        usual_({1e6, 1e5, 2000, 100, 8000, 300, 30, 8, 100, 40, 20, 1e6}, kNetClasses, options.values_max) {}

  LoginScore login(const Login& login) override;
  LoginScore change(const Change& change) override;
  void signup(const Signup& signup) override;
  void confirm(const Confirmation& confirmation) override;
  bool truth(std::string_view event, Truth truth, int64_t t_ms) override;
  bool erase(std::string_view account) override;
  uint64_t bytes() const override {
    return index_.bytes() + profiles_.bytes() + campaign_.bytes() + remembered_.bytes() + usual_.bytes();
  }
  uint64_t profiles() const override { return index_.size(); }
  uint64_t digest() const override;
  void begin_snapshot(state::PieceWriter& out, uint32_t part) override;
  bool snapshot_piece() override;
  void end_snapshot() override;
  base::Status restore_piece(uint32_t kind, std::string_view body) override;
  base::Status finish_restore() override;

 private:
  using Profile = LoginProfile;
  using OwnValues = std::array<uint32_t, kLogAttributes>;  // hashes under the account
  static constexpr double kHour = 3.6e6, kDay = 8.64e7;
  static constexpr double kFastHalf = 6 * kHour, kSlowHalf = 3 * kDay;
  static constexpr int kCampaignKeys = 8;

  LoginFacts facts_of(const Client& client, std::string_view account, int64_t t_ms);
  uint32_t own(const LoginFacts& f, int attribute) const {
    const uint32_t v = f.value[size_t(attribute)];
    return v == 0 ? 0 : static_cast<uint32_t>(base::combine64(v, f.values_key)) | 1u;
  }
  // One event, before its factors are weighed. `origin`: the place of the unconfirmed login that it goes on from, or
  // -1.
  struct Judged {
    LoginFacts facts;
    Profile* profile = nullptr;  // null: nothing is known of the account
    LoginScore out;
    double campaign = 0;
    bool is_unfamiliar = false;
    int origin = -1;
    Profile::Pending* disowned = nullptr;  // of this client people have said that it is not the owner's
  };
  // `unknown_cookie`: what a cookie that nobody has seen is worth.
  Judged judge(const Client& client, std::string_view account, double unknown_cookie);
  static void weigh(LoginScore& out);
  static void add(LoginScore& out, LoginFactor factor, float log_odds);
  void go_on(const Profile::Pending& from, LoginScore& out) const;
  // Minus the log-likelihood under the user plus that under anyone, going down a hierarchy from fine to coarse.
  double surprise(const Profile& p, const LoginFacts& f, const int* levels, int count, double targeted) const;
  double cookie_factor(const Profile& p, const LoginFacts& f, double unknown, bool* known, bool* bound) const;
  double along_with_exit(NetClass net, int attribute) const;
  // An address that the account has used before, and that few share.
  bool is_at_home(const Profile& p, const LoginFacts& f) const;
  double bound_factor(const Profile& p, const Profile::Binding& b, const LoginFacts& f, bool same_place,
                      bool* bound) const;
  double bare_factor(const Profile& p, const LoginFacts& f, bool same_place, bool* bound) const;
  double tls_factor(const LoginFacts& f) const;
  std::array<uint64_t, kCampaignKeys> campaign_keys(const LoginFacts& f) const;
  double campaign_factor(const LoginFacts& f) const;
  void touch_campaign(const LoginFacts& f, float weight = 0);  // 0: of an attempt, one, and once in a row of an account
  void teach(Profile& p, const OwnValues& own_value, float weight);
  void teach_usual(const LoginFacts& f);
  void bind(Profile& p, const LoginFacts& f);
  void bind(Profile& p, const OwnValues& value, int64_t t_ms);
  OwnValues own_values(const LoginFacts& f) const {
    OwnValues value{};
    for (int a = 0; a < kLogAttributes; ++a) value[size_t(a)] = own(f, a);
    return value;
  }
  static Profile::Pending& place_to_wait(Profile& p);
  static bool is_same_client(const Profile::Pending& q, const OwnValues& value);
  // Truth: login_truth.cc.
  uint64_t key_of_event(std::string_view event) const;
  void mask(std::string_view event, std::array<uint64_t, 8>& words) const;
  void remember(std::string_view event, const LoginFacts& f, float log_odds);
  void learn_owner(const LoginFacts& f);
  void disown(const LoginFacts& f, float log_odds);
  static void unlearn(Profile& p, const OwnValues& value);
  static double confirmed_after(const Profile::Pending& q);
  void settle(Profile& p, int64_t t_ms);
  void decay(int64_t t_ms);

  // The account's profile for writing; null if there is none.
  Profile* find_profile(uint64_t account) {
    const uint32_t* place = index_.find(account);
    return place == nullptr ? nullptr : &profiles_.change(*place);
  }
  Profile& profile(uint64_t account);
  void release(uint32_t place);
  void put_head(std::string& out) const;
  template <class Visit>
  void each_table(const Visit& visit);

  LoginRiskOptions options_;
  KeyedTable<uint32_t> index_;  // places of profiles by account
  SegmentedArray<Profile> profiles_;
  uint32_t free_ = 0;  // the first profile that is not in use, + 1
  uint64_t restored_ = 0;
  KeyedTable<CampaignEntry> campaign_;
  KeyedTable<RememberedLogin> remembered_;
  Frequencies usual_;
  AgentHashes agents_;
  // Honest unfamiliar attempts by class: learned slowly, from those that nothing else spoke against.
  std::array<double, kNetClasses> unfamiliar_{};
  std::array<std::array<double, 4>, kNetClasses> novelty_{};  // of network levels: how often new, among confirmed
  std::array<double, kNetClasses> seen_{};
  int64_t begun_ms_ = 0, now_ms_ = 0;
};

}  // namespace tamis::detect
