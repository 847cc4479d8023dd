// What a mail server says in Dovecot's auth-policy protocol, and the events that are made of it: no state, no sockets.
// Private to this room.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"

namespace tamis::door::auth_policy {

inline constexpr size_t kBodyBytesMax = 64 << 10;
inline constexpr size_t kTextBytesMax = 1024;  // of one thing that is asked; what is beyond is not looked at

// What a mail server sends, under its own names.
class Asked {
 public:
  // kInvalid: no JSON object, or it does not say who signs in, not even by an empty text.
  static base::Result<Asked> read(std::string_view body);

  // Empty or false if it was not given or is of another type.
  std::string_view text(std::string_view key) const;
  bool flag(std::string_view key) const;
  // Dovecot asks once more when the password was right (`auth_policy_check_after_auth`) and says so by a word of its
  // configuration: docs/AUTH_POLICY.md. What it is does not matter, unless it denies it.
  bool is_verified() const;
  // No login at all: a name that the mail server itself does not allow is told of without it.
  bool is_nobody() const { return text("login").empty(); }
  // The same login, when it is asked about and when it is told of.
  uint64_t login_key() const;

 private:
  Asked() : arena_(std::make_unique<base::Arena>()) {}
  std::unique_ptr<base::Arena> arena_;
  event::Value object_;
};

// Events as policies/accounts names their fields; a policy with other names maps them by `path`. What was not given is
// left out, and so is an address that is none: it would be counted as one.
std::string attempt_event(const Asked& asked);
std::string login_event(const Asked& asked);
// To wait is the one challenge that a mail server can put. Whoever passes it has shown patience, not who they are.
std::string challenge_event(const Asked& asked);

// What the mail server gets: -1 refuse, 0 go on, more: wait so many seconds first.
void write_answer(int status, std::string_view message, std::string& out);

}  // namespace tamis::door::auth_policy
