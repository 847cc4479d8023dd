// Mail doors: milter (Postfix, Sendmail), rspamd's protocol and spamd's protocol in front of one MailScanner. What each
// speaks, which part of its protocol, and its limits are in docs/MAIL_DOORS.md.
//
//   MailDoorOptions options;
//   options.milter = "127.0.0.1:11332";
//   TAMIS_TRY(doors, start_mail_doors(scanner, options));
//   ...
//   doors->stop(5'000);
//
// Threading: the doors call the scanner from their own loop threads, `threads` of each door. The scanner may answer on
// any thread and may do so late: it must outlive the doors, and stop() answers nobody any more.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "door/mail_scanner.h"

namespace tamis::base {
class MetricRegistry;
}
namespace tamis::net {
class TokenStore;
}

namespace tamis::door {

// What happens to a message that is larger than the scanner takes.
enum class MailOversize : uint8_t { kAccept, kTempfail, kReject };

struct MailDoorOptions {
  // "HOST:PORT", or "unix:PATH" for milter and spamd; empty: that door stays closed. Port 0 takes a free one.
  std::string milter, rspamd, rspamd_controller, spamd;
  std::string spamd_out;  // spamd's protocol cannot say which way a message goes: here all go out
  int threads = 1;
  int unix_mode = 0660;
  // Who may teach and read counts by rspamd's controller: the header `Password` holds a token of these. Null: callers
  // on this machine only.
  const net::TokenStore* tokens = nullptr;
  // TELL of spamd's protocol, which knows no password: from this machine only, or from everywhere.
  bool tell_from_network = false;
  // Our name in Authentication-Results where the mail server does not tell its own.
  std::string own_name;
  MailOversize oversize = MailOversize::kAccept;
  size_t memory_bytes_max = size_t{512} << 20;  // of all messages in progress
  size_t recipients_max = 1'000;                // of one message; further ones are not shown to the scanner
  size_t connections_max = 10'000;              // of each door
  int scan_timeout_ms = 60'000;                 // then "try again later"
  int request_timeout_ms = 30'000;              // see net::ByteLimits
  int milter_idle_timeout_ms = 3'660'000;       // an SMTP client may take its time between two commands
};

// Where a door listens now: the name of its flag and the address with the real port.
struct MailDoorAddress {
  std::string door, address;
};

class MailDoors {
 public:
  virtual ~MailDoors() = default;  // stop(0)
  virtual const std::vector<MailDoorAddress>& addresses() const = 0;
  // Counters with the prefix `tamis_mail_door_`; the registry must not be shown any more once the doors are gone.
  virtual void register_metrics(base::MetricRegistry& registry) = 0;
  // Stops listening and lets messages in progress finish for up to `drain_ms`.
  virtual void stop(int drain_ms) = 0;
};

// Opens every door that has an address. Errors name the door, the address and the reason; then none is open.
base::Result<std::unique_ptr<MailDoors>> start_mail_doors(MailScanner& scanner, const MailDoorOptions& options);

}  // namespace tamis::door
