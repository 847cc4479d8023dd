// rspamd's protocol as JSON and headers of HTTP: what a request says of a message, and the answers. From its published
// description. Private to this room.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "door/mail_scanner.h"
#include "net/http_message.h"

namespace tamis::door::rspamd {

// A header of the request by which a client would have us read a file, a shared memory or an encrypted body; nothing
// when there is none. Errors say which, and that it is not done.
base::Status refuse_foreign(const net::Request& in);

// The message of a request, unpacked when it says zstd. Errors: another packing, not zstd, more than `bytes_max` bytes.
base::Result<std::string> read_message(const net::Request& in, size_t bytes_max);
// Everything but the message.
MailRequest read_envelope(const net::Request& in, size_t recipients_max);

struct Shown {
  double seconds = 0;       // since the request came
  std::string_view header;  // of the message
  std::string_view own_name;
  bool quarantines = false;  // the client knows that action
};
std::string verdict_json(const MailVerdict& verdict, const Shown& shown);
std::string stat_json(const MailStats& stats, int64_t now_ms);
// {"error": sentence, "code": word}
std::string error_json(std::string_view word, std::string_view sentence);

// Errors as base::Result says them.
base::Result<std::string> unpack_zstd(std::string_view packed, size_t bytes_max);

}  // namespace tamis::door::rspamd
