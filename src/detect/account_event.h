// The typed events that the detectors of account abuse read. A service maps its own fields to these once (see
// account_json.h for one such mapping); the detectors know no field names, no policy and no verdicts.
//
// All text is borrowed for the time of the call. An empty text, a zero and kUnknown mean "not given": a view that is
// not given neither helps nor hurts. Times are milliseconds since the epoch, in the order of the journal.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "event/value.h"

namespace tamis::detect {

// What kind of network an address lies in. It never counts against anyone: it only selects among whom to compare.
enum class NetClass : uint8_t { kResidential, kMobile, kBusiness, kHosting, kVpn, kTor };
inline constexpr int kNetClasses = 6;
std::string_view net_class_name(NetClass net);

// The client behind an event, as far as the service knows it.
struct Client {
  event::IpData ip{};
  bool has_ip = false;
  uint32_t asn = 0;
  std::string_view country;  // of the address
  NetClass net = NetClass::kResidential;
  std::string_view user_agent;
  std::string_view device;  // fingerprint of the device
  std::string_view tls;     // fingerprint of the TLS client
  std::string_view language;
  std::string_view time_zone;
  std::string_view cookie;  // device cookie
  uint32_t rtt_ms = 0;      // round trip of the application
};

struct Signup {
  int64_t t_ms = 0;
  std::string_view account;
  Client client;
  std::string_view local;   // the chosen local part
  std::string_view domain;  // of ours
  std::string_view screen, gpu, canvas;
  uint32_t cores = 0;
  std::string_view recovery;  // address, empty if none
  std::string_view captcha;   // kind of the challenge that was solved
  uint32_t captcha_tries = 0, captcha_ms = 0;
  uint32_t fill_ms = 0;  // time to fill the form
  bool pasted = false;
};

struct Login {
  int64_t t_ms = 0;
  std::string_view account;
  Client client;
  bool is_session = false;  // an existing session goes on: no password was asked
  bool ok = true;
  bool account_exists = true;  // false: the name is unknown here
  bool has_second_factor = false;
  bool second_factor_failed = false;
  std::string_view event = {};  // its name, by which truth may come; empty: none will
};

enum class ChangeKind : uint8_t { kOther, kRecovery, kPassword, kPasswordReset, kForwarding, kFilter, kSecondFactor };

struct Change {
  int64_t t_ms = 0;
  std::string_view account;
  Client client;
  ChangeKind kind = ChangeKind::kOther;
  std::string_view event = {};  // as of Login
};

// How a proof that only the owner can give ended.
struct Confirmation {
  int64_t t_ms = 0;
  std::string_view account;
  Client client;  // of whom it was asked; nothing given: it is about whoever is not confirmed
  bool was_owner = false;
};

struct Send {
  int64_t t_ms = 0;
  std::string_view account;
  Client client;
  uint32_t recipients = 0;
  uint32_t new_recipients = 0;  // never mailed before
  uint64_t subject_simhash = 0, body_simhash = 0;
  std::span<const std::string_view> link_domains;
};

struct Feedback {
  int64_t t_ms = 0;
  std::string_view account;
  bool is_complaint = false;
  bool is_hard = false;  // of a bounce: permanent
};

struct Payment {
  int64_t t_ms = 0;
  std::string_view account;
  Client client;
  uint32_t bin = 0;
  std::string_view card;
  std::string_view card_country;
  uint32_t cents = 0;
  bool ok = false;
};

}  // namespace tamis::detect
