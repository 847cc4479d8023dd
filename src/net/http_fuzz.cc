// Drives the connection's state machine with arbitrary bytes: once in one piece and once in the pieces that the input's
// first bytes choose. Both must show the handlers the same requests and give the same kinds of answers, and nothing may
// crash, leak, or hold more memory than the limits say.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "net/http_session_driver.h"

namespace {

using tamis::net::HttpLimits;
using tamis::net::SessionDriver;

HttpLimits small_limits() {
  HttpLimits limits;
  limits.request_line_bytes_max = 256;
  limits.head_bytes_max = 1024;
  limits.header_count_max = 16;
  limits.output_bytes_high = 2048;
  limits.discard_bytes_max = 1024;
  return limits;
}

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

void answer_deferred(SessionDriver& driver) {
  while (driver.deferred) {
    auto reply = std::move(driver.deferred);
    driver.deferred.reset();
    reply->send(200, "text/plain", "later");
  }
}

// The pieces: lengths from a small generator seeded by the input.
void run(SessionDriver& driver, std::string_view bytes, uint32_t seed, bool slow_reader) {
  driver.take_output = !slow_reader;
  while (!bytes.empty() && !driver.session().finished()) {
    seed = seed * 1664525u + 1013904223u;
    size_t n = std::min<size_t>(1 + (seed >> 24) % 97, bytes.size());
    if (driver.session().wants_read()) {
      driver.feed(bytes.substr(0, n));
      // What feed() could not place is fed again after the output has moved; the driver tells by its input count.
      bytes.remove_prefix(n);
    } else if (!driver.session().wants_write() && !driver.deferred) {
      break;  // done, or waiting for nothing
    }
    answer_deferred(driver);
    if (slow_reader) driver.collect(1 + (seed >> 16) % 200);
    check(!driver.session().wants_write() || driver.session().output().size() < 300'000, "output without bound");
  }
  driver.take_output = true;
  driver.collect();
  answer_deferred(driver);
  driver.feed_eof();
  driver.collect();
  answer_deferred(driver);
  driver.collect();
}

bool holds_ignoring_case(std::string_view text, std::string_view word) {
  for (size_t i = 0; i + word.size() <= text.size(); ++i)
    if (tamis::net::equals_ignoring_case(text.substr(i, word.size()), word)) return true;
  return false;
}

std::vector<int> kinds(std::string_view output) {
  std::vector<int> found = tamis::net::statuses(output);
  for (int& status : found) status /= 100;
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 5) return 0;
  uint32_t seed;
  std::memcpy(&seed, data, 4);
  bool slow_reader = (data[4] & 1) != 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 5, size - 5);

  SessionDriver whole(small_limits()), pieces(small_limits());
  for (SessionDriver* driver : {&whole, &pieces}) {
    driver->pieces_max = 10;
    driver->big_bytes = 3'000;
  }
  whole.feed(bytes);
  answer_deferred(whole);
  run(pieces, bytes, seed, slow_reader);
  check(pieces.in_flight == 0 || !pieces.session().finished(), "a finished session is in flight");

  // A deferred answer stops the input of the whole feed, a slow reader delays it, and an expectation makes the answer
  // depend on when the body arrives: there only the absence of crashes is checked.
  bool comparable = !slow_reader && !holds_ignoring_case(bytes, "later") && !holds_ignoring_case(bytes, "expect");
  if (comparable) {
    whole.feed_eof();
    if (bytes.find("/lines") == std::string_view::npos) {
      check(whole.seen == pieces.seen, "the handlers saw different requests");
      check(kinds(whole.output) == kinds(pieces.output), "the answers differ");
    } else {
      // Lines before a malformed chunk are seen when they come in an earlier read, and then the answer has begun.
      check(whole.seen.size() <= pieces.seen.size() &&
                std::equal(whole.seen.begin(), whole.seen.end(), pieces.seen.begin()),
            "the handlers saw different requests");
    }
    check(whole.streams_alive == 0 && pieces.streams_alive == 0, "a stream is left over");
  }
  return 0;
}
