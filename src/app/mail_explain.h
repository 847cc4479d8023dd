// Why a message is judged as it is, for three kinds of readers.
#pragma once

#include <string>

#include "base/result.h"
#include "door/mail_scanner.h"
#include "policy/policy.h"

namespace tamis::app {

// user: what happened and what can be done. support: what kind of reasons there were, too, and authentication. analyst:
// everything, with points, values and the model's contributions. The first two have nothing by which a sender could
// learn how to get through: no scores, no thresholds, no names of rules or lists, nothing of what was noticed.
enum class MailDepth { kUser, kSupport, kAnalyst };

// `verdict` was asked for with its explanation.
base::Result<std::string> explain_mail(const std::string& name, const door::MailVerdict& verdict,
                                       const policy::Policy& policy, MailDepth depth, bool json);

}  // namespace tamis::app
