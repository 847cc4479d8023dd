#include "app/command.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "base/line_faults.h"
#include "policy/policy.h"

namespace tamis::app {

const char* const kVersion = "0.1.0";

namespace {
volatile std::sig_atomic_t stop_signals = 0;
volatile std::sig_atomic_t reload_signals = 0;
void on_stop(int) { stop_signals = 1; }
void on_reload(int) { reload_signals = 1; }
}  // namespace

int complain(const std::string& message, int code) {
  std::fprintf(stderr, "tamis: %s\n", message.c_str());
  return code;
}

void print_diagnostics(const policy::Loaded& loaded, const std::string& folder) {
  for (policy::Diagnostic d : loaded.diagnostics) {
    if (!d.file.empty()) d.file = folder + (folder.empty() || folder.back() == '/' ? "" : "/") + d.file;
    std::fprintf(stderr, "%s\n", policy::to_string(d).c_str());
  }
}

void print_faults(const base::LineFaults& faults, const std::string& of) {
  for (const std::string& words : faults.first) std::fprintf(stderr, "%s\n", words.c_str());
  if (faults.count == 0) return;
  std::fprintf(stderr, "%llu lines of %s are passed over%s\n", static_cast<unsigned long long>(faults.count),
               of.c_str(), faults.count > faults.first.size() ? ", of which the first are above" : "");
}

void Interrupt::install() {
  struct sigaction action = {};
  action.sa_handler = on_stop;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = on_reload;
  sigaction(SIGHUP, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

bool Interrupt::requested() { return stop_signals != 0; }

bool Interrupt::reload_requested() {
  bool requested = reload_signals != 0;
  reload_signals = 0;
  return requested;
}

Command add_version(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "As JSON");
  return [json] {
    if (*json) {
      std::printf("{\"name\":\"tamis\",\"version\":\"%s\"}\n", kVersion);
    } else {
      std::printf("tamis %s\n", kVersion);
    }
    return kGood;
  };
}

}  // namespace tamis::app
