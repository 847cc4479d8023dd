// LoginRisk: how much likelier a login or resumed session is an intruder's than the owner's.
//
// The user view is a likelihood ratio over network, client, locale and cookie (Freeman, Jain, Durmuth, Biggio,
// Giacinto, "Who are you?", NDSS 2016), each with a hierarchy to back off along. The campaign view asks what the
// unfamiliar attempts of all accounts have in common, against what honest unfamiliar ones have (no labels; in the
// spirit of Herley and Schechter, "Distinguishing attacks from legitimate authentication traffic at scale", NDSS 2019).
//
// A success teaches the profile only once it is confirmed: at once if it was familiar; else by time, or by the owner.
// Profiles are found, and their hashes made, under keys of the account, which come of its name and the key of the
// state: without both nobody can look for an account, or guess what one of them shows.
//
// A deterministic fold, bounded, one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/siphash.h"
#include "detect/account_event.h"
#include "state/pieces.h"

namespace tamis::detect {

// The parts of the log-odds; each adds to it.
enum LoginFactor : uint8_t {
  kLoginNetwork,  // address, network, provider, country against the account's own
  kLoginClient,   // device, user agent, browser and system
  kLoginLocale,
  kLoginCookie,    // unknown device cookie, or a known one on another device
  kLoginTls,       // a TLS client that does not go with the browser that it says it is
  kLoginCampaign,  // what it shares with unfamiliar attempts on other accounts
  kLoginOrigin,    // goes on from a login that was told of already and is not confirmed
  kLoginChange,    // changes what keeps the owner out, soon after a login that is not confirmed
  kLoginFactors,
};
std::string_view login_factor_name(LoginFactor factor);

struct LoginScore {
  double score = 0;          // 0..1, comparable among logins and sessions: the logistic of log_odds / kScoreOf
  float log_odds = 0;        // the base and the factors together
  float base = 0;            // of anyone
  bool is_takeover = false;  // of a change: the first that makes an unconfirmed login look like a takeover
  std::array<float, kLoginFactors> factor{};
};

// What log-odds are divided by before they become a score, so that it tells among the odd ones, too.
inline constexpr double kScoreOf = 3;

struct LoginRiskOptions {
  uint64_t accounts_max = 1'000'000;  // profiles
  uint64_t values_max = 2'000'000;
  uint64_t campaign_keys_max = 1'000'000;
  uint64_t told_max = 1'000'000;  // unfamiliar logins that people can still say something about, 88 bytes each
  base::SipKey key{};             // of names of accounts, and of what they show
};

class LoginRisk : public state::SnapshotPart {
 public:
  static std::unique_ptr<LoginRisk> make(const LoginRiskOptions& options = {});

  virtual LoginScore login(const Login& login) = 0;
  // A change of forwarding, recovery, password and the like: as odd as its client, and as the unconfirmed login that it
  // goes on from. It teaches nothing.
  virtual LoginScore change(const Change& change) = 0;
  // The first sight of an account: its client is the owner's.
  virtual void signup(const Signup& signup) = 0;
  // The owner, or whoever speaks for the account, says what the unconfirmed logins of a client were. An owner's client
  // is known from then on, whether or not it has signed in before.
  virtual void confirm(const Confirmation& confirmation) = 0;
  // What somebody has found out about one login, session or change, named as it was (Login::event): the owner's word,
  // mostly. kGood: its client is the owner's from then on. kBad: what is not learned of it never will be, what was is
  // taken back, whoever goes on with this client is an intruder, and so, likelier, is who shares something with it on
  // other accounts. kNone takes the word back, as far as nothing followed from it. False: it is not known (any more),
  // as those are not that were familiar.
  enum class Truth : uint8_t { kNone, kBad, kGood };
  virtual bool truth(std::string_view event, Truth truth, int64_t t_ms) = 0;
  // Forgets the account: its profile goes.
  virtual bool erase(std::string_view account) = 0;

  virtual uint64_t bytes() const = 0;
  virtual uint64_t profiles() const = 0;
  virtual uint64_t digest() const = 0;

  // Snapshots: state/pieces.h, as of SignupClusters.
};

}  // namespace tamis::detect
