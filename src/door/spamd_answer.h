// The answers of spamd's protocol, in the shape that spamc, Exim and others expect. Private to this room.
#pragma once

#include <string>
#include <string_view>

#include "door/mail_scanner.h"
#include "door/spamd_request.h"

namespace tamis::door::spamd {

// Exit codes of sysexits.h, as the protocol has them.
enum class Exit : int {
  kUsage = 64,
  kData = 65,
  kUnavailable = 69,
  kTempfail = 75,
  kProtocol = 76,
  kDenied = 77,
  kTimeout = 79
};

void append_pong(std::string& out);
void append_error(std::string& out, Exit exit, std::string_view text);
// Answers every command that judges. `message` is what was sent, for HEADERS and PROCESS; `own_name` how we stand in
// Authentication-Results.
void append_verdict(std::string& out, Command command, const MailVerdict& verdict, std::string_view message,
                    std::string_view own_name);
void append_told(std::string& out, const Request& request, bool learned);

}  // namespace tamis::door::spamd
