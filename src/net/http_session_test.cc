#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "net/http_session_driver.h"

namespace tamis::net {
namespace {

std::string body_of(const std::string& output) { return output.substr(output.find("\r\n\r\n") + 4); }

TEST(HttpSession, AnswersAGet) {
  SessionDriver driver;
  driver.feed("GET /?a=1 HTTP/1.1\r\nHost: x\r\nX-A:  b c \t\r\n\r\n");
  EXPECT_EQ(driver.output,
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: application/json\r\n"
            "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(driver.seen, (std::vector<std::string>{"GET /?a=1|Host=x|X-A=b c|||"}));
  EXPECT_TRUE(driver.session().idle());
  EXPECT_FALSE(driver.session().finished());
}

TEST(HttpSession, EchoesBodiesOfBothFramings) {
  SessionDriver driver;
  driver.feed("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(body_of(driver.output), "hello");
  driver.output.clear();
  driver.feed(
      "POST /echo HTTP/1.1\r\nHost: x\r\ntransfer-encoding: CHUNKED\r\n\r\n"
      "3\r\nabc\r\n00A ;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n");
  EXPECT_EQ(body_of(driver.output), "abc0123456789");
  EXPECT_TRUE(driver.session().idle());
}

TEST(HttpSession, RoutesParameters) {
  SessionDriver driver;
  driver.feed("POST /v1/decide/log%69n HTTP/1.1\r\nHost: x\r\n\r\n");
  driver.feed("PUT /a/1/b/2/3%2F4 HTTP/1.1\r\nHost: x\r\n\r\n");
  driver.feed("PUT /a/1/b/ HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(driver.seen, (std::vector<std::string>{"POST /v1/decide/log%69n?|Host=x|login||",
                                                   "PUT /a/1/b/2/3%2F4?|Host=x|1|2/3/4|", "PUT /a/1/b/?|Host=x|1||"}));
  driver.output.clear();
  driver.feed("POST /v1/decide/%zz HTTP/1.1\r\nHost: x\r\n\r\n");
  driver.feed("POST /v1/decide/%00 HTTP/1.1\r\nHost: x\r\n\r\n");
  driver.feed("POST /v1/decide/ HTTP/1.1\r\nHost: x\r\n\r\n");
  driver.feed("POST /v1/decide/a/b HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(statuses(driver.output), (std::vector<int>{400, 400, 404, 404}));
}

TEST(HttpSession, HeadHasNoBodyAndOtherMethodsAreNamed) {
  SessionDriver driver;
  driver.feed("HEAD /big HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(driver.output.find("Content-Length: 100000\r\n"), std::string::npos);
  EXPECT_EQ(body_of(driver.output), "");
  driver.output.clear();
  driver.feed("DELETE /big HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(statuses(driver.output), std::vector<int>{405});
  EXPECT_NE(driver.output.find("Allow: GET, HEAD\r\n"), std::string::npos);
  driver.output.clear();
  driver.feed("GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(driver.output, "HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n");
}

TEST(HttpSession, PipelinedRequestsAreAnsweredInOrder) {
  SessionDriver driver;
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    std::string body = "body " + std::to_string(i);
    requests += "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  driver.take_output = false;
  driver.feed(requests);
  EXPECT_TRUE(driver.output.empty());  // all fifty wait to be written together
  driver.collect();
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = driver.output.find("\r\n\r\nbody " + std::to_string(i), at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_EQ(driver.stats.requests, 50u);
}

TEST(HttpSession, ConnectionHeaderAndVersionDecideWhetherToClose) {
  auto closes = [](std::string_view request) {
    SessionDriver driver;
    driver.feed(request);
    EXPECT_EQ(statuses(driver.output), std::vector<int>{200}) << request;
    EXPECT_EQ(driver.output.find("Connection: close\r\n") != std::string::npos, driver.session().finished());
    return driver.session().finished();
  };
  EXPECT_FALSE(closes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_TRUE(closes("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo , Close\r\n\r\n"));
  EXPECT_TRUE(closes("GET / HTTP/1.1\r\nHost: x\r\nConnection: close, keep-alive\r\n\r\n"));
  EXPECT_TRUE(closes("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_FALSE(closes("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

struct Malformed {
  const char* request;
  int status;
};

TEST(HttpSession, MalformedRequestsAreRefusedAndTheConnectionEnds) {
  const Malformed table[] = {
      {"\x16\x03\x01\x02", 400},
      {"GET / HTTP/1.1\nHost: x\n\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400},
      {" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET /\r\nHost: x\r\n\r\n", 400},
      {"GET\r\n\r\n", 400},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501},
      {"get / HTTP/1.1\r\nHost: x\r\n\r\n", 501},
      {"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET / http/1.1\r\nHost: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nA(: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nA: 12345678\x7f\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: x\r\nA: 1234567\x02z\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabc", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n", 413},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0b"
       "chunked\r\n\r\n",
       400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n", 417},
      {"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400},
  };
  for (const Malformed& row : table) {
    SessionDriver driver;
    driver.feed(row.request);
    EXPECT_EQ(statuses(driver.output), std::vector<int>{row.status}) << row.request;
    EXPECT_TRUE(driver.seen.empty()) << row.request;
    if (row.status != 413) {
      EXPECT_TRUE(driver.session().lingering()) << row.request;
      EXPECT_NE(driver.output.find("Connection: close\r\n"), std::string::npos) << row.request;
    }
  }
}

TEST(HttpSession, MalformedChunksAreRefused) {
  const char* bodies[] = {"\r\n",
                          "x\r\n",
                          "-1\r\n",
                          "3\nabc\r\n",
                          "3\r\nabcd\r\n",
                          "3\r\nabc\n",
                          "3 a\r\nabc",
                          "3;\x01\r\nabc",
                          "0x3\r\nabc",
                          "10000000000000000\r\n",
                          "0\r\nbad\r\n\r\n",
                          "0\r\n a: b\r\n\r\n",
                          "0\r\nA: b\n\r\n",
                          "3\r\nabc\rX\n",
                          ";a\r\n"};
  for (const char* body : bodies) {
    SessionDriver driver;
    driver.feed(std::string("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n") + body);
    EXPECT_EQ(statuses(driver.output), std::vector<int>{400}) << body;
    EXPECT_TRUE(driver.seen.empty());
  }
}

TEST(HttpSession, SmugglingATrailingRequestIsImpossible) {
  // The second request hides in what one of two parsers would call the body.
  SessionDriver driver;
  driver.feed(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(driver.seen.empty());
  EXPECT_EQ(statuses(driver.output), std::vector<int>{400});
}

TEST(HttpSession, SizesAreLimited) {
  HttpLimits limits;
  limits.request_line_bytes_max = 100;
  limits.head_bytes_max = 400;
  limits.header_count_max = 5;
  auto status = [&](const std::string& request) {
    SessionDriver driver(limits);
    driver.feed(request);
    auto found = statuses(driver.output);
    return found.size() == 1 ? found[0] : 0;
  };
  EXPECT_EQ(status("GET /?" + std::string(70, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
  EXPECT_EQ(status("GET /?" + std::string(90, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n"), 414);
  EXPECT_EQ(status("GET /" + std::string(200, 'a')), 414);
  // A line as long as may be, whose CR comes ahead of its LF.
  SessionDriver driver(limits);
  driver.feed("GET /?" + std::string(85, 'a') + " HTTP/1.1\r");
  driver.feed("\nHost: x\r\n\r\n");
  EXPECT_EQ(statuses(driver.output), std::vector<int>{200});
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(500, 'a')), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(380, 'a') + "\r\nB: c\r\n\r\n"), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: x\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n"), 200);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: x\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\n\r\n"), 431);
  std::string chunk = "8000\r\n" + std::string(0x8000, 'x') + "\r\n";
  EXPECT_EQ(
      status("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + chunk + chunk),
      413);
  std::string tiny;
  for (int i = 0; i < 1000; ++i) tiny += "1;" + std::string(900, 'x') + "\r\na\r\n";
  EXPECT_EQ(status("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + tiny), 400);
}

TEST(HttpSession, RefusedBodiesAreDiscardedUpToALimit) {
  SessionDriver driver;
  std::string next = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  driver.feed("POST /gated HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'G') + next);
  driver.feed("POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + next);
  EXPECT_EQ(statuses(driver.output), (std::vector<int>{401, 200, 404, 200}));
  EXPECT_EQ(driver.seen.size(), 2u);
  // Too long to be worth reading: closed at once.
  driver.feed("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
  EXPECT_TRUE(driver.session().lingering());
  for (uint64_t fed = 0; fed < Session::kLingerBytesMax; fed += 1 << 20) driver.feed(std::string(1 << 20, 'x'));
  EXPECT_TRUE(driver.session().lingering());
  driver.feed("x");
  EXPECT_TRUE(driver.session().finished());
}

TEST(HttpSession, AGateLetsPassOrAnswers) {
  SessionDriver driver;
  driver.feed("POST /gated HTTP/1.1\r\nHost: x\r\nAuthorization: bearer sesame\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(body_of(driver.output), "ok");
  EXPECT_NE(driver.output.find("X-Gate: seen\r\n"), std::string::npos);
  driver.output.clear();
  driver.feed("POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(statuses(driver.output), std::vector<int>{409});
  EXPECT_TRUE(driver.session().idle());
}

TEST(HttpSession, QueryParametersThatARouteDoesNotTakeAreRefused) {
  const auto ask = [](const std::string& target) {
    SessionDriver driver;
    driver.feed("POST " + target +
                " HTTP/1.1\r\nHost: x\r\nAuthorization: bearer sesame\r\nContent-Length: 2\r\n\r\nok");
    return std::pair(statuses(driver.output), driver.output);
  };
  for (const char* good :
       {"/named", "/named?", "/named?c=1", "/named?a+b=1&c&c=2", "/named?a%20b=%zz", "/named?&&c=1", "/gated?x=1"}) {
    EXPECT_EQ(ask(good).first, std::vector<int>{200}) << good;
  }
  for (const char* bad : {"/named?d=1", "/named?c=1&C=2", "/named?=1", "/named?%zz=1", "/unasked?c=1"}) {
    EXPECT_EQ(ask(bad).first, std::vector<int>{400}) << bad;
  }
  EXPECT_NE(ask("/named?c=1&bogus=2").second.find("?bogus=: no such parameter here; this path takes a b, c"),
            std::string::npos);
  EXPECT_NE(ask("/unasked?c").second.find("this path takes none"), std::string::npos);
  EXPECT_LT(ask("/named?" + std::string(2000, 'x')).second.size(), 600u);
  // The gate is asked first.
  SessionDriver driver;
  driver.feed("POST /named?d=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(statuses(driver.output), std::vector<int>{401});
}

TEST(HttpSession, ExpectContinueIsAnsweredOnlyWhenTheBodyIsWanted) {
  SessionDriver driver;
  driver.feed("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(driver.output, "HTTP/1.1 100 Continue\r\n\r\n");
  driver.feed("ok");
  EXPECT_EQ(statuses(driver.output), std::vector<int>{200});
  driver.output.clear();
  driver.feed("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nok");
  EXPECT_EQ(driver.output.find("100 Continue"), std::string::npos);
  // Whether the body of a refused request comes cannot be known: the connection ends.
  driver.output.clear();
  driver.feed("POST /gated HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(statuses(driver.output), std::vector<int>{401});
  EXPECT_TRUE(driver.session().lingering());
}

TEST(HttpSession, InFlightIsLimitedAndCountedDown) {
  SessionDriver driver;
  driver.in_flight_limit = 0;
  driver.feed("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok");  // whole: never in flight
  driver.feed("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(statuses(driver.output), (std::vector<int>{200, 503}));
  driver.in_flight_limit = 1;
  driver.feed("okPOST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\no");
  EXPECT_EQ(driver.in_flight, 1u);
  driver.feed("k");
  EXPECT_EQ(driver.in_flight, 0u);
  EXPECT_EQ(statuses(driver.output), (std::vector<int>{200, 503, 200}));
}

TEST(HttpSession, DeferredAnswersKeepTheOrder) {
  SessionDriver driver;
  driver.feed("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naGET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(driver.output, "");
  EXPECT_EQ(driver.in_flight, 1u);
  EXPECT_FALSE(driver.session().wants_read());
  auto reply = driver.deferred;
  reply->send(202, "text/plain", "done");
  EXPECT_EQ(statuses(driver.output), (std::vector<int>{202, 200}));
  reply->send(200, "text/plain", "again");
  EXPECT_EQ(statuses(driver.output), (std::vector<int>{202, 200}));
  EXPECT_EQ(driver.in_flight, 0u);
}

TEST(HttpSession, EofEndsEverythingProperly) {
  {
    SessionDriver idle;
    idle.feed_eof();
    EXPECT_TRUE(idle.session().finished());
    EXPECT_EQ(idle.stats.aborted, 0u);
  }
  {
    SessionDriver half_closed;  // a client that shuts its side down after its request still gets the answer
    half_closed.take_output = false;
    half_closed.feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    half_closed.feed_eof();
    EXPECT_FALSE(half_closed.session().finished());
    half_closed.collect();
    EXPECT_EQ(statuses(half_closed.output), std::vector<int>{200});
    EXPECT_TRUE(half_closed.session().finished());
  }
  for (const char* cut : {"GET / HT", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\no",
                          "POST /lines HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na\nb"}) {
    SessionDriver driver;
    driver.feed(cut);
    driver.feed_eof();
    EXPECT_TRUE(driver.session().finished()) << cut;
    EXPECT_EQ(driver.stats.aborted, 1u) << cut;
    EXPECT_EQ(driver.in_flight, 0u) << cut;
    EXPECT_EQ(driver.streams_alive, 0u) << cut;
  }
}

TEST(HttpSession, DrainingClosesAfterTheRequestInProgress) {
  SessionDriver driver;
  driver.feed("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\no");
  driver.env().draining = true;
  driver.session().drain();
  EXPECT_FALSE(driver.session().finished());
  driver.feed("k");
  EXPECT_NE(driver.output.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(driver.session().finished());
  SessionDriver idle;
  idle.env().draining = true;
  idle.session().drain();
  EXPECT_TRUE(idle.session().finished());
}

TEST(HttpSession, RequestsPerConnectionAreLimited) {
  HttpLimits limits;
  limits.requests_per_connection_max = 2;
  SessionDriver driver(limits);
  std::string get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  driver.feed(get + get + get);
  EXPECT_EQ(statuses(driver.output), (std::vector<int>{200, 200}));
  EXPECT_TRUE(driver.session().lingering());
}

TEST(HttpSession, AHeadThatTricklesInTimesOut) {
  SessionDriver driver;
  uint64_t waited_ms = 0;
  std::string_view head = "GET / HTTP/1.1\r\nHost: example\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  for (char c : head) {
    driver.feed(std::string_view(&c, 1));
    waited_ms += 500;
    if (driver.advance(500)) break;
  }
  EXPECT_EQ(statuses(driver.output), std::vector<int>{408});
  EXPECT_EQ(waited_ms, 10'000u);
  EXPECT_TRUE(driver.session().lingering());
  EXPECT_TRUE(driver.advance(Session::kLingerTimeoutMs));
  EXPECT_TRUE(driver.session().finished());
}

TEST(HttpSession, TimeoutsOfEachPhase) {
  {
    SessionDriver idle;
    EXPECT_FALSE(idle.advance(74'999));
    EXPECT_TRUE(idle.advance(1));
    EXPECT_TRUE(idle.session().finished());
    EXPECT_EQ(idle.output, "");
  }
  {
    SessionDriver body;
    body.feed("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n");
    for (int i = 0; i < 10; ++i) {
      body.feed(std::string(4096, 'x'));  // enough progress each time
      EXPECT_FALSE(body.advance(14'000));
    }
    for (int i = 0; i < 14; ++i) {
      body.feed("x");  // and now a trickle
      EXPECT_FALSE(body.advance(70));
    }
    EXPECT_TRUE(body.advance(1'000));
    EXPECT_EQ(statuses(body.output), std::vector<int>{408});
  }
  {
    SessionDriver writing;
    writing.take_output = false;
    writing.feed("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_FALSE(writing.advance(29'000));
    writing.collect(10);
    EXPECT_FALSE(writing.advance(999));
    writing.collect(5'000);
    EXPECT_FALSE(writing.advance(29'999));
    EXPECT_TRUE(writing.advance(1));
    EXPECT_TRUE(writing.session().finished());
  }
  {
    SessionDriver stream;
    stream.feed("POST /lines HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 5; ++i) {
      EXPECT_FALSE(stream.advance(119'000));
      stream.feed("2\r\na\n\r\n");
    }
    EXPECT_TRUE(stream.advance(120'000));
    EXPECT_TRUE(stream.session().finished());
    EXPECT_EQ(stream.streams_alive, 0u);
  }
  {
    SessionDriver later;
    later.feed("POST /later HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(later.advance(120'000));
    EXPECT_EQ(statuses(later.output), std::vector<int>{503});
    later.deferred->send(200, "text/plain", "too late");
    EXPECT_EQ(statuses(later.output), std::vector<int>{503});
  }
}

// However the bytes are cut, the handlers see the same.
TEST(HttpSession, CutsDoNotMatter) {
  std::string requests =
      "\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
      "POST /v1/decide/lo%67in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "4;a=b\r\nwiki\r\n00005\r\npedia\r\n0\r\nX: y\r\n\r\n"
      "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
      "POST /lines HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\na\nb\r\n2\r\nc\n\r\n0\r\n\r\n"
      "POST /gated HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nsecret"
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" +
      std::string(20'000, 'q') + "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  SessionDriver whole;
  whole.feed(requests);
  ASSERT_EQ(statuses(whole.output), (std::vector<int>{200, 200, 404, 200, 401, 200, 200}));
  EXPECT_TRUE(rc::check("any cuts", [&](std::vector<uint16_t> cuts) {
    SessionDriver driver;
    std::string_view left = requests;
    size_t i = 0;
    while (!left.empty()) {
      size_t n = cuts.empty() ? 1 : std::min<size_t>(1 + cuts[i++ % cuts.size()] % 300, left.size());
      driver.feed(left.substr(0, n));
      left.remove_prefix(n);
    }
    RC_ASSERT(driver.seen == whole.seen);
    RC_ASSERT(statuses(driver.output) == statuses(whole.output));
  }));
}

TEST(HttpSession, BodiesHaveReadablePadding) {
  SessionDriver driver;
  size_t sum = 0;
  driver.router.add(Method::kPost, "/pad",
                    {[&](const Request& in, Response&) {
                       for (size_t i = 0; i < kBodyPaddingBytes; ++i)
                         sum += in.body().data()[in.body().size() + i] == 'x';
                     },
                     nullptr,
                     {}});
  for (size_t n : {1u, 16'000u, 16'384u, 60'000u})
    driver.feed("POST /pad HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(n) + "\r\n\r\n" +
                std::string(n, 'x'));
  EXPECT_EQ(driver.stats.requests, 4u);
}

}  // namespace
}  // namespace tamis::net
