// The mail doors before a scanner that judges by a word in the message: what real clients of their protocols are tried
// on in test/mail_doors_test.py. Not for mail.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "door/mail_doors.h"
#include "door/mail_scanner_test_kit.h"
#include "net/auth.h"

namespace {

// Says what it is taught, so that a test can look.
class TaughtScanner : public tamis::door::FakeScanner {
 public:
  using FakeScanner::FakeScanner;
  void learn(tamis::door::MailCorrection correction, LearnDone done) override {
    constexpr const char* kLabels[] = {"ham", "spam", "forget"};
    std::fprintf(stderr, "door_mail_fake: learned %s from <%s> for <%s>: %zu bytes\n",
                 kLabels[static_cast<size_t>(correction.label)], correction.reporter.c_str(),
                 correction.recipient.c_str(), correction.message.size());
    FakeScanner::learn(std::move(correction), std::move(done));
  }
};

int usage() {
  std::fprintf(stderr,
               "usage: door_mail_fake [--milter ADDRESS] [--rspamd ADDRESS] [--rspamd-controller ADDRESS]\n"
               "                      [--spamd ADDRESS] [--spamd-out ADDRESS] [--tokens FILE] [--threads N] [--reply "
               "TEXT] [--own-name NAME]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  tamis::door::MailDoorOptions options;
  TaughtScanner scanner(size_t{16} << 20);
  scanner.keep = false;
  scanner.show_envelope = true;
  std::unique_ptr<tamis::net::TokenStore> tokens;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--milter") {
      options.milter = value;
    } else if (flag == "--rspamd") {
      options.rspamd = value;
    } else if (flag == "--rspamd-controller") {
      options.rspamd_controller = value;
    } else if (flag == "--spamd") {
      options.spamd = value;
    } else if (flag == "--spamd-out") {
      options.spamd_out = value;
    } else if (flag == "--threads") {
      options.threads = std::atoi(value.c_str());
    } else if (flag == "--reply") {
      scanner.reply = value;
    } else if (flag == "--own-name") {
      options.own_name = value;
    } else if (flag == "--tokens") {
      auto loaded = tamis::net::TokenStore::load(value);
      if (!loaded) {
        std::fprintf(stderr, "door_mail_fake: %s\n", loaded.error().message.c_str());
        return 1;
      }
      tokens = std::move(*loaded);
      options.tokens = tokens.get();
    } else {
      return usage();
    }
  }
  if (argc < 2 || argc % 2 == 0) return usage();
  // Before the threads, so that they inherit it.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  auto doors = tamis::door::start_mail_doors(scanner, options);
  if (!doors) {
    std::fprintf(stderr, "door_mail_fake: %s\n", doors.error().message.c_str());
    return 1;
  }
  for (const auto& address : (*doors)->addresses())
    std::fprintf(stderr, "door_mail_fake: %s listens on %s\n", address.door.c_str(), address.address.c_str());
  std::fprintf(stderr, "door_mail_fake: ready\n");
  int got = 0;
  sigwait(&ends, &got);
  (*doors)->stop(2'000);
  return 0;
}
