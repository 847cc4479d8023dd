// MailAuthenticator: joins mail/authentication.h with a resolver. The mail doors' scanner asks it before it makes the
// `mail` event of a message.
//
// Threading: authenticate() may be called from any thread. `done` is called exactly once, before the call returns (all
// answers were cached, or DNS is off) or on the resolver's thread; it must not block: hand heavy work to a thread of
// your own. It is called at the latest `budget_ms` (and a tick) after the call, with what is known by then. Nothing of
// the message is held once authenticate() has returned.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "door/mail_scanner.h"
#include "mail/authentication.h"
#include "net/resolver.h"

namespace tamis::door {

struct MailAuthSettings {
  mail::AuthSettings checks;
  int64_t budget_ms = 2'000;  // for all questions of a message together
};

// The envelope of a door's request. `chance`: a hash of the message's id, or of what else belongs to it.
mail::AuthEnvelope auth_envelope_of(const MailRequest& request, int64_t now_s, uint64_t chance);

class MailAuthenticator {
 public:
  using Done = std::function<void(const mail::MailAuthResults&)>;

  // `resolver` and `clock` must outlive this and all messages under way: the resolver ends first.
  MailAuthenticator(MailAuthSettings settings, net::Resolver& resolver, const base::Clock& clock);
  ~MailAuthenticator();

  void authenticate(const mail::Analysis& analysis, const mail::AuthEnvelope& envelope, Done done) const;

  // The same for a caller that may wait: blocks its thread, for the budget (and a tick) at most. Not from a `done`, nor
  // from the resolver's thread, which would wait for itself.
  mail::MailAuthResults authenticate_now(const mail::Analysis& analysis, const mail::AuthEnvelope& envelope) const;

  const MailAuthSettings& settings() const { return *settings_; }

 private:
  struct Conversation;
  std::shared_ptr<const MailAuthSettings> settings_;
  net::Resolver& resolver_;
  const base::Clock& clock_;
};

}  // namespace tamis::door
