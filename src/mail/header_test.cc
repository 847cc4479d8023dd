#include "mail/header.h"

#include <gtest/gtest.h>

#include <string>

#include "mail/transfer.h"

namespace tamis::mail {
namespace {

class HeaderTest : public testing::Test {
 protected:
  std::string text(std::string_view value, std::string_view charset = {}) {
    return std::string(decode_text(value, charset, limits_, converter_, arena_, anomalies_));
  }
  Structured structured(std::string_view value) {
    Structured s;
    parse_structured(value, limits_, converter_, arena_, anomalies_, s);
    return s;
  }
  std::vector<Address> addresses(std::string_view value) {
    std::vector<Address> out;
    parse_addresses(value, {}, limits_, converter_, arena_, anomalies_, out);
    return out;
  }
  Limits limits_;
  CharsetConverter converter_;
  base::Arena arena_;
  AnomalySet anomalies_;
};

TEST_F(HeaderTest, EncodedWords) {
  EXPECT_EQ(text(" =?utf-8?Q?caf=C3=A9_x?= end"), "café x end");
  EXPECT_EQ(text("=?ISO-8859-1?q?a?=\r\n =?iso-8859-1?Q?b?="), "ab");
  EXPECT_EQ(text("=?utf-8?B?w6k=?= =?utf-8?B?w6k=?="), "éé");
  EXPECT_EQ(text("=?utf-8?B?ww==?= =?utf-8?B?qQ==?="), "é");  // one character cut in two
  EXPECT_EQ(text("=?utf-8*en?B?w6k=?=,x"), "é,x");
  EXPECT_EQ(text("a =?utf-8?Q?b c?= d"), "a b c d");
  EXPECT_TRUE(anomalies_.empty());
  EXPECT_EQ(text("=?utf-8?X?abc?="), "=?utf-8?X?abc?=");
  EXPECT_TRUE(anomalies_.has(Anomaly::kEncodedWordBroken));
  EXPECT_EQ(text("=?utf-8?Q?cut"), "=?utf-8?Q?cut");
  EXPECT_EQ(text("=?utf-8?Q?a=0D=0Ab?="), "a  b");  // no line end comes out of a word
  EXPECT_EQ(text("caf\xe9"), "café");
  EXPECT_EQ(text("\xf0\xf2", "koi8-r"), "ПР");
}

TEST_F(HeaderTest, ManyBrokenWordsStayCheap) {
  std::string value, other;
  while (value.size() < 60000) value += "=?a?Q?_";
  EXPECT_EQ(text(value), value);
  while (other.size() < 60000) other += other.size() % 14 == 0 ? "=?a?Q?x" : "=?b?Q?x";
  EXPECT_EQ(text(other + "?="), other.substr(6));  // one long word
  EXPECT_LT(arena_.used_bytes(), 2u << 20);
}

TEST_F(HeaderTest, Parameters) {
  EXPECT_EQ(structured("Text/Plain; charset=\"utf-8\"; Format=flowed").find("charset"), "utf-8");
  EXPECT_EQ(structured("text/plain (comment; x=1); name=a.txt").find("name"), "a.txt");
  EXPECT_EQ(structured("a/b; name=\"x \\\" y\"").find("name"), "x \" y");
  EXPECT_EQ(structured("a/b; name*=utf-8'en'%e2%82%ac%20rates").find("name"), "€ rates");
  EXPECT_EQ(structured("a/b; name*0=\"one\"; name*1*=%20two; name*2=three").find("name"), "one twothree");
  EXPECT_EQ(structured("a/b; name*1=b; name*0*=utf-8''a%20; name*2=c").find("name"), "a bc");
  EXPECT_EQ(structured("a/b; filename=\"=?utf-8?B?w6k=?=.pdf\"").find("filename"), "é.pdf");
  EXPECT_EQ(structured("TEXT/HTML;charset=x;;boundary=\"b b\"").token, "text/html");
  EXPECT_TRUE(anomalies_.empty());
  EXPECT_EQ(structured("a/b charset=x").find("charset"), "x");
  structured("a/b; x=1; x=2");
  EXPECT_TRUE(anomalies_.has(Anomaly::kParameterDuplicate));
  structured("a/b; =; ;; \"");
}

TEST_F(HeaderTest, Addresses) {
  const auto one =
      addresses("\"Doe, John\" <john@example.com>, jane@example.org (Jane), Team: a@b.example, c@d.example;");
  ASSERT_EQ(one.size(), 4u);
  EXPECT_EQ(one[0].name, "Doe, John");
  EXPECT_EQ(one[0].email, "john@example.com");
  EXPECT_EQ(one[0].domain, "example.com");
  EXPECT_EQ(one[1].name, "Jane");
  EXPECT_EQ(one[1].local, "jane");
  EXPECT_EQ(one[2].email, "a@b.example");
  EXPECT_EQ(one[3].email, "c@d.example");
  EXPECT_TRUE(anomalies_.empty());
  const auto forged = addresses("\"service@bank.example\" <x@evil.example>");
  ASSERT_EQ(forged.size(), 1u);
  EXPECT_EQ(forged[0].name, "service@bank.example");
  EXPECT_EQ(forged[0].domain, "evil.example");
  EXPECT_EQ(addresses("=?utf-8?Q?J=C3=B6rg?= <j@example.com>").at(0).name, "Jörg");
  EXPECT_EQ(addresses("<@relay.example,@b.example:u@example.com>").at(0).domain, "example.com");
  EXPECT_EQ(addresses("").size(), 0u);
  EXPECT_EQ(addresses("<>").at(0).email, "");
  EXPECT_EQ(addresses("undisclosed-recipients:;").size(), 0u);
  EXPECT_EQ(addresses("Support Team").at(0).name, "Support Team");
  EXPECT_TRUE(anomalies_.has(Anomaly::kAddressBroken));
}

TEST(Date, ManyForms) {
  const struct {
    const char* text;
    int64_t unix_s;
  } cases[] = {
      {"Thu, 01 Jan 1970 00:00:10 +0000", 10},       {"Wed, 29 Sep 2021 22:50:33 +0530", 1632936033},
      {"29 Sep 2021 17:20:33 GMT", 1632936033},      {"Wed, 29 Sep 21 13:20:33 EDT", 1632936033},
      {"Wed Sep 29 17:20:33 2021", 1632936033},      {"Wed, 29-Sep-2021 17:20:33 (comment +0100)", 1632936033},
      {"Mon, 1 Mar 104 00:00:00 +0000", 1078099200},
  };
  for (const auto& c : cases) {
    int64_t unix_s = 0;
    EXPECT_TRUE(parse_date(c.text, unix_s)) << c.text;
    EXPECT_EQ(unix_s, c.unix_s) << c.text;
  }
  int64_t unix_s = 0;
  for (const char* bad : {"", "yesterday", "32 Jan 2020", "1 Foo 2020 00:00", "99:99:99", "1 Jan 99999999"}) {
    EXPECT_FALSE(parse_date(bad, unix_s)) << bad;
  }
}

std::string base64(std::string_view text, bool& broken) {
  std::string out(text.size() + 3, '\0');
  const Decoded done = decode_base64(text, out.data(), out.size());
  broken = done.broken;
  out.resize(done.bytes);
  return out;
}

TEST(Transfer, Base64AsMailHasIt) {
  bool broken = false;
  EXPECT_EQ(base64("aGVs\r\nbG8=", broken), "hello");
  EXPECT_FALSE(broken);
  EXPECT_EQ(base64("aGVsbG8", broken), "hello");
  EXPECT_TRUE(broken);
  EXPECT_EQ(base64("aGVs!bG8=", broken), "hello");
  EXPECT_TRUE(broken);
  EXPECT_EQ(base64("aGk=aGk=", broken), "hihi");
  EXPECT_EQ(base64("", broken), "");
  EXPECT_EQ(base64("=====", broken), "");
}

TEST(Transfer, QuotedPrintableAsMailHasIt) {
  const struct {
    const char *in, *out;
    bool broken;
  } cases[] = {{"a=3Db", "a=b", false}, {"a=\r\nb", "ab", false}, {"a= \nb", "ab", false}, {"a=", "a", false},
               {"a=zz", "a=zz", true},  {"a=3", "a=3", true},     {"a=e9", "a\xe9", false}};
  for (const auto& c : cases) {
    char out[32];
    const Decoded done = decode_quoted_printable(c.in, out, sizeof out);
    EXPECT_EQ(std::string_view(out, done.bytes), c.out) << c.in;
    EXPECT_EQ(done.broken, c.broken) << c.in;
  }
}

}  // namespace
}  // namespace tamis::mail
