// Sessions whose bodies and answers are streams, and readers that are slow.
#include <gtest/gtest.h>

#include "net/http_session_driver.h"

namespace tamis::net {
namespace {

std::string body_of(const std::string& output) { return output.substr(output.find("\r\n\r\n") + 4); }

// Decodes the chunked body of one answer.
std::string dechunk(std::string_view text) {
  std::string body;
  for (;;) {
    size_t end = text.find("\r\n");
    size_t n = std::stoul(std::string(text.substr(0, end)), nullptr, 16);
    if (n == 0) {
      EXPECT_EQ(text.substr(end), "\r\n\r\n");
      return body;
    }
    body.append(text.substr(end + 2, n));
    EXPECT_EQ(text.substr(end + 2 + n, 2), "\r\n");
    text.remove_prefix(end + 4 + n);
  }
}

TEST(HttpSession, StreamsLinesInAndOut) {
  SessionDriver driver;
  driver.feed("POST /lines HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none\r\n\r\n4\r\n\r\ntw\r\n");
  EXPECT_NE(driver.output.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(driver.output.find("Content-Type: application/x-ndjson\r\n"), std::string::npos);
  EXPECT_EQ(driver.seen, (std::vector<std::string>{"line one"}));
  driver.feed("7\r\no\nthree\r\n0\r\n\r\n");
  EXPECT_EQ(driver.seen, (std::vector<std::string>{"line one", "line two", "line three", "end"}));
  EXPECT_EQ(dechunk(body_of(driver.output)), "one\ntwo\nthree\n");
  EXPECT_TRUE(driver.session().idle());
  // All at once: no chunks.
  driver.output.clear();
  driver.feed("POST /lines HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na\nb");
  EXPECT_EQ(body_of(driver.output), "a\nb\n");
  EXPECT_NE(driver.output.find("Content-Length: 4\r\n"), std::string::npos);
  // An empty body.
  driver.output.clear();
  driver.feed("POST /lines HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(body_of(driver.output), "");
  EXPECT_EQ(driver.seen.back(), "end");
  EXPECT_EQ(driver.streams_alive, 0u);
}

TEST(HttpSession, AStreamToHttp10EndsByClose) {
  SessionDriver driver;
  driver.feed("POST /lines HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\na\n");
  driver.feed("b\n");
  EXPECT_EQ(body_of(driver.output), "a\nb\n");
  EXPECT_EQ(driver.output.find("chunked"), std::string::npos);
  EXPECT_TRUE(driver.session().finished());
}

TEST(HttpSession, OverlongLinesAreSkipped) {
  SessionDriver driver;
  driver.feed("POST /lines HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  std::string line(50'000, 'y');
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", line.size());
  driver.feed("2\r\na\n\r\n" + std::string(size) + line + "\r\n3\r\n\nb\n\r\n0\r\n\r\n");
  EXPECT_EQ(driver.seen, (std::vector<std::string>{"line a", "overlong", "line b", "end"}));
}

TEST(HttpSession, AStreamMayFinishEarly) {
  SessionDriver driver;
  driver.feed("POST /lines HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na\nstop\nb\n");
  EXPECT_EQ(driver.seen, (std::vector<std::string>{"line a", "line stop"}));
  EXPECT_EQ(body_of(driver.output), "a\nstop\n");
  driver.feed(std::string(991, 'x') + "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(statuses(driver.output), (std::vector<int>{200, 200}));
}

TEST(HttpSession, ASlowReaderStopsTheReading) {
  HttpLimits limits;
  limits.output_bytes_high = 10'000;
  SessionDriver driver(limits);
  driver.take_output = false;
  std::string head = "POST /lines HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
  driver.feed(head);
  std::string line(99, 'z');
  line += '\n';
  size_t fed = 0;
  while (fed < 1'000'000) {
    if (driver.session().wants_read()) {
      driver.feed(line);
      fed += line.size();
    } else {
      EXPECT_GT(driver.collect(777), 0u);
    }
    ASSERT_LT(driver.session().output().size(), 12'000u);
  }
  driver.collect();
  EXPECT_EQ(driver.seen.size(), 10'001u);
  EXPECT_EQ(dechunk(body_of(driver.output)).size(), 1'000'000u);
  EXPECT_TRUE(driver.session().idle());
}

TEST(HttpSession, PipelinedLargeAnswersStopTheReadingToo) {
  HttpLimits limits;
  limits.output_bytes_high = 150'000;
  SessionDriver driver(limits);
  driver.take_output = false;
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
  driver.feed(requests);
  EXPECT_EQ(driver.stats.requests, 2u);
  EXPECT_FALSE(driver.session().wants_read());
  while (driver.collect(50'000) > 0) ASSERT_LT(driver.session().output().size(), 260'000u);
  EXPECT_EQ(driver.stats.requests, 20u);
  EXPECT_TRUE(driver.session().idle());
}

TEST(HttpSession, AnAnswerCanBeMadePieceByPiece) {
  HttpLimits limits;
  limits.output_bytes_high = 20'000;
  SessionDriver driver(limits);
  driver.take_output = false;
  driver.feed("GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_LT(driver.session().output().size(), 22'000u);
  while (driver.collect(5'000) > 0) ASSERT_LT(driver.session().output().size(), 22'000u);
  EXPECT_EQ(dechunk(body_of(driver.output)).size(), 1'000'000u);
  EXPECT_TRUE(driver.session().idle());
}

// A handler that fills its room and has consumed everything is not called again before there is something new.
TEST(HttpSession, AFullOutputAloneCallsNobody) {
  struct Filler : StreamHandler {
    explicit Filler(int& counter) : calls(counter) {}
    size_t on_body(const StreamInput& in, Response& out) override {
      ++calls;
      out.append(std::string(out.room_bytes(), 'f'));
      return in.data.size();
    }
    int& calls;
  };
  SessionDriver driver;
  int calls = 0;
  driver.router.add(Method::kPost, "/fill",
                    {nullptr, [&](const Request&, Response&) { return std::make_unique<Filler>(calls); }, {}});
  driver.feed("POST /fill HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na");
  EXPECT_EQ(calls, 1);
  driver.feed("b");
  EXPECT_EQ(calls, 2);
  driver.feed("c");
  EXPECT_EQ(calls, 3);
  EXPECT_TRUE(driver.session().idle());
}

}  // namespace
}  // namespace tamis::net
