#include "event/domain.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace tamis::event {
namespace {

TEST(Domain, OneForm) {
  base::Arena arena;
  EXPECT_EQ(normalise_domain(" Mail.Example.COM. ", arena), "mail.example.com");
  EXPECT_EQ(normalise_domain("localhost", arena), "localhost");
  EXPECT_EQ(normalise_domain("b\u00fccher.example", arena), "b\u00fccher.example");
  EXPECT_EQ(normalise_domain("_dmarc.example.com", arena), "_dmarc.example.com");
  const std::string long_label = std::string(64, 'a') + ".com";
  std::string long_name;
  while (long_name.size() < 254) long_name += "abcdefg.";
  for (const std::string& bad :
       {std::string(), std::string("."), std::string("a..b"), std::string(".a"), std::string("a b"), std::string("a/b"),
        std::string("a@b"), std::string("192.0.2.1"), std::string("2001:db8::1"), long_label, long_name}) {
    EXPECT_EQ(normalise_domain(bad, arena), "") << bad;
  }
}

TEST(Domain, RegisteredByTheList) {
  const struct {
    const char* domain;
    const char* suffix;
    const char* registered;
  } cases[] = {
      {"example.com", "com", "example.com"},
      {"a.b.example.co.uk", "co.uk", "example.co.uk"},
      {"co.uk", "co.uk", ""},
      {"com", "com", ""},
      {"someone.github.io", "github.io", "someone.github.io"},
      {"www.ck", "ck", "www.ck"},  // an exception to a wildcard
      {"a.b.ck", "b.ck", "a.b.ck"},
      {"mail7.example", "example", "mail7.example"},  // no rule: the last label
      {"x.y.unknowntld", "unknowntld", "y.unknowntld"},
      {"localhost", "localhost", ""},
      {"www.xn--55qx5d.cn", "xn--55qx5d.cn", "www.xn--55qx5d.cn"},
      {"www.\u516c\u53f8.cn", "\u516c\u53f8.cn", "www.\u516c\u53f8.cn"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(public_suffix(c.domain), c.suffix) << c.domain;
    EXPECT_EQ(registered_domain(c.domain), c.registered) << c.domain;
  }
  for (const char* suffix : {"com", "co.uk", "github.io", "top"}) EXPECT_TRUE(is_public_suffix(suffix)) << suffix;
  for (const char* other : {"", "example.com", "www", "example", "no-such-ending"})
    EXPECT_FALSE(is_public_suffix(other)) << other;
  EXPECT_EQ(public_suffix(""), "");
}

// More names than a thread keeps, so that each place is taken over again and again.
TEST(Domain, SuffixesAreRightHoweverManyAreAsked) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3000; ++i) {
      const std::string stem = "n" + std::to_string(i);
      ASSERT_EQ(public_suffix(stem + ".example.co.uk"), "co.uk");
      ASSERT_EQ(public_suffix(stem + ".github.io"), "github.io");
      ASSERT_EQ(public_suffix("www." + stem), stem);
      ASSERT_EQ(public_suffix(stem + ".b.ck"), "b.ck");
    }
  }
  const std::string long_name = std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(60, 'c') + "." +
                                std::string(60, 'd') + ".co.uk";
  for (int i = 0; i < 2; ++i) EXPECT_EQ(public_suffix(long_name), "co.uk");
  EXPECT_EQ(public_suffix(std::string(300, 'a')), "");
}

TEST(Email, TakenApart) {
  base::Arena arena;
  EmailParts parts;
  ASSERT_TRUE(parse_email("John.Doe+News@Mail.Example.COM.", arena, parts));
  EXPECT_EQ(parts.local, "John.Doe+News");
  EXPECT_EQ(parts.domain, "mail.example.com");
  EXPECT_EQ(parts.base_local, "johndoe");
  ASSERT_TRUE(parse_email("\"A. B@c\"@example.org", arena, parts));
  EXPECT_EQ(parts.local, "\"A. B@c\"");
  EXPECT_EQ(parts.domain, "example.org");
  EXPECT_EQ(parts.base_local, "a b@c");
  ASSERT_TRUE(parse_email(" Jane <jane@example.org> ", arena, parts));
  EXPECT_EQ(parts.local, "jane");
  ASSERT_TRUE(parse_email("+tag@example.org", arena, parts));
  EXPECT_EQ(parts.base_local, "+tag");
  ASSERT_TRUE(parse_email("a@[IPv6:2001:db8::1]", arena, parts));
  EXPECT_EQ(parts.domain, "[ipv6:2001:db8::1]");
  for (const char* bad : {"", "@", "a@", "@b.c", "a", "a@b..c", "a@192.0.2.1", "a@[x]", "a b>", "a@b c"}) {
    EXPECT_FALSE(parse_email(bad, arena, parts)) << bad;
  }
}

struct UrlCase {
  const char* text;
  const char* scheme;
  const char* host;
  int port;
  const char* path;
  const char* query;
};

TEST(Url, ReadAsBrowsersDo) {
  const UrlCase cases[] = {
      {"https://Example.com", "https", "example.com", 443, "/", ""},
      {"HTTP://user:pw@example.com:8080/a/b?x=1&y=2#frag", "http", "example.com", 8080, "/a/b", "x=1&y=2"},
      {"https://bank.example@evil.example/login", "https", "evil.example", 443, "/login", ""},
      {"https://bank.example\\@evil.example/", "https", "bank.example", 443, "\\@evil.example/", ""},
      {"http://a@b@c.example/", "http", "c.example", 80, "/", ""},
      {"http:\\\\example.com\\x", "http", "example.com", 80, "\\x", ""},
      {"http:example.com/x", "http", "example.com", 80, "/x", ""},
      {"ht\ntps://exa\tmple.com/", "https", "example.com", 443, "/", ""},
      {"http://[2001:DB8::0:1]:81/", "http", "2001:db8::1", 81, "/", ""},
      {"http://[::ffff:192.0.2.1]/", "http", "192.0.2.1", 80, "/", ""},
      {"http://2130706433/", "http", "127.0.0.1", 80, "/", ""},
      {"http://0x7f.1/", "http", "127.0.0.1", 80, "/", ""},
      {"http://0300.0250.1/", "http", "192.168.0.1", 80, "/", ""},
      {"http://%65xample.com./", "http", "example.com", 80, "/", ""},
      {"http://example\u3002com/", "http", "example.com", 80, "/", ""},
      {"https://example.com:/x", "https", "example.com", 443, "/x", ""},
      {"https://example.com?q", "https", "example.com", 443, "/", "q"},
      {"https://example.com#f?q", "https", "example.com", 443, "/", ""},
      {"//cdn.example/x.js", "", "cdn.example", -1, "/x.js", ""},
      {"example.com/path?q", "", "example.com", -1, "/path", "q"},
      {"example.com:8080/x", "", "example.com", 8080, "/x", ""},
      {"localhost:80", "", "localhost", 80, "/", ""},
      {"/login?next=%2F", "", "", -1, "/login", "next=%2F"},
      {"mailto:a@b.example?subject=x", "mailto", "", -1, "a@b.example", "subject=x"},
      {"javascript:alert(1)", "javascript", "", -1, "alert(1)", ""},
      {"ssh://git@host.example:22/x", "ssh", "host.example", 22, "/x", ""},
      {"file:///etc/passwd", "file", "", -1, "/etc/passwd", ""},
  };
  base::Arena arena;
  for (const UrlCase& c : cases) {
    UrlParts parts;
    ASSERT_TRUE(parse_url(c.text, arena, parts)) << c.text;
    EXPECT_EQ(parts.scheme, c.scheme) << c.text;
    EXPECT_EQ(parts.host, c.host) << c.text;
    EXPECT_EQ(parts.port, c.port) << c.text;
    EXPECT_EQ(parts.path, c.path) << c.text;
    EXPECT_EQ(parts.query, c.query) << c.text;
  }
}

TEST(Url, RefusesWhatNoBrowserOpens) {
  base::Arena arena;
  UrlParts parts;
  const std::string endless = "http://example.com/" + std::string(20'000, 'x');
  for (const std::string& bad :
       {std::string(), std::string("http://"), std::string("http:///"), std::string("https://:80/"),
        std::string("http://a b/"), std::string("http://example.com:99999/"), std::string("http://example.com:8x/"),
        std::string("http://[::1"), std::string("http://[127.0.0.1]/"), std::string("http://1.2.3.4.5/"),
        std::string("http://256.1.1.1/"), std::string("http://a..b/"), std::string("http://a%00b/"),
        std::string("http://%ff.com/"), endless}) {
    EXPECT_FALSE(parse_url(bad, arena, parts)) << bad;
    EXPECT_TRUE(parts.host.empty());
  }
}

RC_GTEST_PROP(Url, WhatIsBuiltIsFound, ()) {
  const auto label = rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange('a', 'z')));
  const std::string host = *rc::gen::suchThat(label, [](const std::string& s) { return s.size() < 60; }) + ".example";
  const int port = *rc::gen::inRange(1, 65536);
  const std::string path = "/" + *rc::gen::container<std::string>(rc::gen::inRange('a', 'z'));
  const std::string user = *rc::gen::element<std::string>("", "u@", "u:p@", "a@b@");
  const std::string url = "https://" + user + host + ":" + std::to_string(port) + path + "?q#f";
  base::Arena arena;
  UrlParts parts;
  RC_ASSERT(parse_url(url, arena, parts));
  RC_ASSERT(parts.host == host);
  RC_ASSERT(parts.port == port);
  RC_ASSERT(parts.path == path);
  RC_ASSERT(parts.query == "q");
}

}  // namespace
}  // namespace tamis::event
