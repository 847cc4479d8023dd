// `tamis mail eval`: a labelled corpus in its order through the whole path of the doors: parser, model, policy, engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "app/mail_setup.h"
#include "base/result.h"

namespace tamis::app {

struct MailEvalOptions {
  MailSetupOptions setup;
  std::string index, root, out;
  // Learn from the first so many alone, then test the others without feedback; not with `delay`.
  std::optional<uint64_t> split;
  uint64_t delay = 0;  // labels are told this many messages late
  uint64_t limit = 0;  // above 0: so many messages at most
};

struct MailEvalSummary {
  uint64_t tested = 0, ham_as_spam = 0, spam_as_ham = 0;
  double scan_us = 0, learn_us = 0;  // mean CPU time of a message
};

// Writes path, label, score, verdict, CPU us of each message that is tested, parted by tabs. The score is the points of
// the decision; the verdict `spam` is tag or harsher. DNS is not asked.
base::Result<MailEvalSummary> eval_mail(const MailEvalOptions& options);

}  // namespace tamis::app
