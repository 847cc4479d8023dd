// What is kept of a signup: hashes of its attributes, three times and its network class; 96 bytes, no text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/siphash.h"
#include "detect/account_event.h"

namespace tamis::detect {

// Attributes with values that can be equal. A value is a 32-bit hash, 0 if it is not given.
enum Attribute : uint8_t {
  kShape,  // of the local part, see NameShape
  kFine,
  kStyle,
  kStem,
  kDevice,    // fingerprint
  kHardware,  // what hardly changes with it: screen, cores, graphics, TLS client
  kAgent,     // user agent and TLS client
  kNetwork,   // /24 or /48
  kAsn,       // with the country of the address
  kLocale,    // language and time zone
  kRecovery,  // registrable domain of the recovery address, or that there is none
  kForm,      // captcha kind, pasted or typed
  kTries,     // at the captcha
  kMailbox,   // the recovery address, normalised
  kCookie,
  kCarried,  // whether the cookie was here before, and on the same machine: see Carried
  kAttributes,
};

// A cookie is one browser's. The same one on another machine in another place was carried there.
enum Carried : uint32_t { kNotCarried = 3, kCarriedHere = 5 };

// Times with a scale: natural logarithms of milliseconds, below zero if not given.
enum Measure : uint8_t { kFill, kCaptcha, kRtt, kMeasures };

// Views: groups of attributes that are nearly independent of each other among honest people.
inline constexpr uint32_t kNoRecovery = 2;  // the value of kRecovery where there is none

enum View : uint8_t { kLexical, kDeviceView, kNetworkView, kLocaleView, kRecoveryView, kBehaviour, kReuse, kViews };
std::string_view view_name(View view);

inline constexpr size_t kCaptchaKinds = 8;  // that are told apart

struct SignupFacts {
  uint64_t account = 0;  // AccountKeys::find; 0: the account has been erased, and nothing else is given
  int64_t t_ms = 0;
  std::array<uint32_t, kAttributes> value{};
  std::array<float, kMeasures> measure{};
  uint16_t country = 0;  // its two letters; a hash of anything else
  uint8_t kind = 0;      // of captcha, as a small hash
  NetClass net = NetClass::kResidential;
};
static_assert(sizeof(SignupFacts) == 96);  // every byte has a name, so that digests of memory mean something

// What the signup shows; whose it is, is the caller's to say.
SignupFacts signup_facts(const Signup& signup);

// What stands for an account in the state of detectors. Under the key of the state (EngineOptions::state_key), so that
// a state cannot be searched for a name by whoever does not have that key.
struct AccountKeys {
  uint64_t find = 0;    // tables have it by this; never 0
  uint64_t values = 0;  // under this are hashes that are of no use without the name; kept nowhere
};
AccountKeys account_keys(const base::SipKey& key, std::string_view account);

}  // namespace tamis::detect
