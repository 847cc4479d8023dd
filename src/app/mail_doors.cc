#include "app/mail_doors.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include "app/one_of.h"

namespace tamis::app {
namespace {

using door::MailDoorOptions;
using door::MailOversize;

// An address has a port, or is a path. What has neither is told so, not that it needs --insecure.
bool is_address(const std::string& address) { return address.find(':') != std::string::npos && address != ":"; }

bool is_local(const std::string& address) {
  for (const char* start : {"127.", "[::1]:", "localhost:", "unix:"})
    if (address.rfind(start, 0) == 0) return true;
  return false;
}

}  // namespace

void add_mail_door_flags(CLI::App& app, MailDoorOptions& options) {
  app.add_option("--milter", options.milter, "HOST:PORT or unix:PATH where Postfix or Sendmail asks about mail");
  app.add_option("--rspamd", options.rspamd, "HOST:PORT of rspamd's protocol: scanning");
  app.add_option("--rspamd-controller", options.rspamd_controller,
                 "HOST:PORT of rspamd's controller: teaching and counts, with a token of --tokens as the password");
  app.add_option("--spamd", options.spamd, "HOST:PORT or unix:PATH of spamd's protocol");
  app.add_option("--spamd-out", options.spamd_out, "The same for mail that one's own users send");
  const std::map<std::string, int> oversize = {{"accept", static_cast<int>(MailOversize::kAccept)},
                                               {"tempfail", static_cast<int>(MailOversize::kTempfail)},
                                               {"reject", static_cast<int>(MailOversize::kReject)}};
  app.add_option("--milter-oversize", options.oversize,
                 "Messages larger than the filter takes: accept, tempfail, reject")
      ->transform(one_of(oversize))
      ->default_str("accept");
  app.add_flag("--spamd-teach", options.tell_from_network,
               "Take TELL of spamd's protocol from other machines too: it knows no password");
}

bool has_mail_doors(const MailDoorOptions& options) {
  return !options.milter.empty() || !options.rspamd.empty() || !options.rspamd_controller.empty() ||
         !options.spamd.empty() || !options.spamd_out.empty();
}

base::Result<std::unique_ptr<door::MailDoors>> open_mail_doors(door::MailScanner* scanner,
                                                               const MailDoorOptions& options, bool insecure) {
  std::unique_ptr<door::MailDoors> doors;
  if (!has_mail_doors(options)) return doors;
  if (scanner == nullptr) return base::invalid("the policy has no event type `mail`, so no mail door can open");
  const std::pair<const char*, const std::string*> addresses[] = {{"--milter", &options.milter},
                                                                  {"--rspamd", &options.rspamd},
                                                                  {"--rspamd-controller", &options.rspamd_controller},
                                                                  {"--spamd", &options.spamd},
                                                                  {"--spamd-out", &options.spamd_out}};
  for (auto [flag, address] : addresses) {
    if (address->empty()) continue;
    if (!is_address(*address)) {
      return base::invalid(
          std::string(flag) + " '" + *address +
          "' is no address: expected HOST:PORT, [v6]:PORT, :PORT or unix:PATH, for instance 127.0.0.1:11332");
    }
    if (insecure || is_local(*address)) continue;
    return base::invalid(std::string(flag) + " " + *address +
                         " can be reached from a network, and its protocol has no encryption: it needs --insecure if "
                         "something else protects it");
  }
  TAMIS_TRY(opened, door::start_mail_doors(*scanner, options));
  doors = std::move(opened);
  for (const door::MailDoorAddress& one : doors->addresses())
    std::fprintf(stderr, "tamis: %s at %s\n", one.door.c_str(), one.address.c_str());
  return doors;
}

}  // namespace tamis::app
