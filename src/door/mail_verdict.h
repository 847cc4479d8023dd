// What a decision becomes for a mail server: points, symbols, headers, the reply to a refusal. Private to this room.
#pragma once

#include <string>

#include "door/mail_scanner.h"
#include "engine/decision.h"
#include "learn/mail_filter.h"
#include "learn/mail_learner.h"

namespace tamis::door {

// The parts that come from the engine; runs under its lock, so it only copies.
void take_decision(const engine::Decision& decision, MailVerdict& verdict);
// The headers and the reply, once the rest is there.
void dress_verdict(const MailRequest& request, const std::string& host, const learn::MailAuthentication& found,
                   const mail::Message& message, MailVerdict& verdict);
// The decision with what the model and authentication said, as one JSON object: for `tamis mail explain` and
// analysts. Has nothing of the content, but all that an evader would like to know.
std::string explain_json(const std::string& decision_json, const learn::MailLearner::Scored& scored,
                         const learn::MailAuthentication& found, const MailVerdict& verdict,
                         const learn::MailFilter& filter);

}  // namespace tamis::door
