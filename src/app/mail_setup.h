// What the `tamis mail` commands share: messages of files, folders, mailboxes; a scanner that lives as long as the
// command and keeps nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "door/mail_service.h"
#include "door/service.h"

namespace tamis::app {

// Calls `use` with each message: a file holds one, an mbox (its first line begins with "From ") many, of a Maildir
// those in cur and new, of other folders those of all files below; "-" is standard input. `name` is the path, for an
// mbox with #N behind it. Ends early when `use` gives false. Errors name the path; what cannot be read takes nothing
// from the others: all but the last error is printed, the last returned.
using UseMessage = std::function<bool(const std::string& name, std::string_view message)>;
base::Status for_each_message(const std::vector<std::string>& paths, const UseMessage& use);

struct MailSetupOptions {
  std::string policy;  // folder; empty: the ready policy, as built in
  std::string model;   // file; empty: the one that ships with Tamis, if it can be found
  bool fresh = false;  // no model at all
};

// The model to start from; empty without one. Where none is found and none was asked for, says so on stderr.
base::Result<std::string> starter_model(const MailSetupOptions& options, bool quiet = false);  // if there is none
// The ready policy for mail, as built in.
std::vector<policy::SourceFile> ready_mail_policy();

// Whether the policy in force has an event type `mail`.
bool decides_mail(const door::Service& service);
struct MailServerOptions {
  MailSetupOptions setup;
  int32_t remember_days = 14;
  bool weigh_reports = false;
  std::string host;  // empty: this machine's name
  decltype(door::MailServiceOptions::authenticate) authenticate;
};
// The scanner of a server: with a data folder it keeps what it learned in DATA/mail.
base::Result<std::unique_ptr<door::MailService>> open_mail(door::Service& service, const MailServerOptions& options,
                                                           const std::string& data, int threads);

class MailSetup {
 public:
  static base::Result<std::unique_ptr<MailSetup>> open(const MailSetupOptions& options);

  door::MailService& mail() { return *mail_; }
  door::Service& service() { return *service_; }
  // The time of what is decided next; it does not go back.
  void set_now_ms(int64_t now_ms) { now_ms_ = now_ms; }

 private:
  MailSetup() = default;
  int64_t now_ms_ = 0;
  std::unique_ptr<door::Service> service_;
  std::unique_ptr<door::MailService> mail_;
};

}  // namespace tamis::app
