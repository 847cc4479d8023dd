// The inside of LoginRisk. Only for the files login_*.cc.
#pragma once

#include <array>

#include "detect/frequencies.h"
#include "detect/keyed_table.h"
#include "detect/login_risk.h"

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
  kLogTls,  // given the family
  kLogCookie,
  kLogAttributes,
};

struct LoginFacts {
  int64_t t_ms = 0;
  uint64_t account = 0;
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
    uint8_t told = 0;  // 1: a change has made it look like a takeover
    uint32_t spare2 = 0;
  };
  static constexpr int kPending = 3;
  // The device, browser, system and locale that a cookie was last seen with.
  struct Binding {
    uint32_t cookie = 0, device = 0, agent = 0, tls = 0, family = 0, system = 0, locale = 0;
    uint32_t used = 0;  // hours since the epoch
  };
  static constexpr int kBindings = 6;

  float events = 0;
  uint32_t next_free = 0;  // of a profile that is not in use: another one + 1
  std::array<std::array<Entry, kRemembered>, kLogAttributes - 2> known{};  // without TLS and cookie
  std::array<float, kLogAttributes - 2> distinct{};
  uint32_t spare = 0;  // every byte has a name, so that digests of memory mean something
  std::array<Pending, kPending> pending{};
  std::array<Binding, kBindings> bindings{};
};

static_assert(sizeof(LoginProfile::Pending) == 64 && sizeof(LoginProfile) == 864);

struct CampaignEntry {
  float fast = 0, slow = 0;  // decayed counts of accounts
  uint32_t seen_s = 0;
  uint32_t last_account = 0;
};

}  // namespace tamis::detect
