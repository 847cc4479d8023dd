// Drives a connection of spamd's protocol with arbitrary bytes, whole and in pieces.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "door/mail_session_test_kit.h"
#include "door/spamd_session.h"

namespace {

using tamis::door::MailDoorOptions;
using Driver = tamis::door::MailSessionDriver<tamis::door::SpamdSession>;

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

std::string run(std::string_view bytes, bool pieces) {
  MailDoorOptions options;
  options.memory_bytes_max = 256 * 1024;
  Driver driver(options, 32 * 1024);
  uint32_t seed = bytes.empty() ? 0 : static_cast<unsigned char>(bytes.back());
  while (!bytes.empty() && !driver.session.finished() && driver.session.wants_read()) {
    seed = seed * 1664525u + 1013904223u;
    size_t n = pieces ? std::min<size_t>(bytes.size(), 1 + (seed >> 24) % 61) : bytes.size();
    driver.feed(bytes.substr(0, n));
    bytes.remove_prefix(n);
  }
  driver.feed_eof();
  driver.scanner.release();
  driver.settle();
  for (const auto& request : driver.scanner.requests)
    check(request.message.size() <= 32 * 1024, "a message beyond the limit was shown");
  for (const auto& correction : driver.scanner.corrections)
    check(correction.message.size() <= 32 * 1024, "a message beyond the limit was taught");
  driver.session.close();
  check(driver.context.budget.used() == 0, "memory is held after the end");
  return driver.output;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  std::string whole = run(bytes, false), pieces = run(bytes, true);
  // What is wrong with a message is said as soon as it is seen, and bytes past its end may not have been seen yet.
  bool has_length = bytes.find(':') != std::string::npos;
  check(has_length || whole == pieces, "pieces change the answer");
  check(whole.empty() || whole.substr(0, 8) == "SPAMD/1.", "an answer that is none");
  return 0;
}
