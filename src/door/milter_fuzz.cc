// Drives a milter connection with arbitrary bytes, whole and in pieces: both must be answered alike, and nothing may
// crash, grow beyond its limits or keep memory after the end.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "door/mail_session_test_kit.h"
#include "door/milter_session.h"

namespace {

using tamis::door::MailDoorOptions;
using Driver = tamis::door::MailSessionDriver<tamis::door::MilterSession>;

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

std::string run(std::string_view bytes, bool pieces) {
  MailDoorOptions options;
  options.memory_bytes_max = 256 * 1024;
  options.recipients_max = 8;
  Driver driver(options, 32 * 1024);
  uint32_t seed = bytes.empty() ? 0 : static_cast<unsigned char>(bytes.back());
  while (!bytes.empty() && !driver.session.finished() && driver.session.wants_read()) {
    seed = seed * 1664525u + 1013904223u;
    size_t n = pieces ? std::min<size_t>(bytes.size(), 1 + (seed >> 24) % 61) : bytes.size();
    driver.feed(bytes.substr(0, n));
    bytes.remove_prefix(n);
    driver.scanner.release();
    driver.settle();
  }
  driver.feed_eof();
  for (const auto& request : driver.scanner.requests) {
    check(request.message.size() <= 32 * 1024, "a message beyond the limit was shown");
    check(request.recipients.size() <= 8, "recipients beyond the limit were shown");
  }
  driver.session.close();
  check(driver.context.budget.used() == 0, "memory is held after the end");
  return driver.output;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  // Most inputs should get beyond the negotiation.
  if (!bytes.empty() && bytes[0] != '\0')
    bytes = std::string("\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff", 17) + bytes.substr(1);
  // `never` waits for a release, which comes at other places when the bytes come in pieces.
  if (bytes.find("tamis-test:never") != std::string::npos) return run(bytes, true), 0;
  check(run(bytes, false) == run(bytes, true), "pieces change the answer");
  return 0;
}
