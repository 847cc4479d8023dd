#include "mail/message.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

namespace tamis::mail {
namespace {

struct Read {
  explicit Read(std::string text, const Limits& limits = {}) : raw(std::move(text)), reader(limits) {
    reader.read(raw, arena, message);
  }
  bool has(Anomaly a) const { return message.anomalies.has(a); }
  const Part& part(size_t i) const { return message.parts.at(i); }
  std::string raw;
  base::Arena arena;
  MessageReader reader;
  Message message;
};

std::string multipart(const std::string& subtype, const std::string& boundary, const std::vector<std::string>& parts) {
  std::string text = "Content-Type: multipart/" + subtype + "; boundary=\"" + boundary + "\"\n\n";
  for (const std::string& part : parts) text += "--" + boundary + "\n" + part + "\n";
  return text + "--" + boundary + "--\n";
}

TEST(Message, PlainText) {
  const Read r("From: a@example.com\r\nSubject: Hello\r\n there\r\n\r\nBody\r\n");
  ASSERT_EQ(r.message.parts.size(), 1u);
  ASSERT_EQ(r.message.headers.size(), 2u);
  EXPECT_EQ(r.message.headers[1].value, " Hello\r\n there");
  EXPECT_EQ(r.message.headers[1].id, HeaderId::kSubject);
  EXPECT_EQ(r.part(0).text, "Body\r\n");
  EXPECT_EQ(r.message.head, "From: a@example.com\r\nSubject: Hello\r\n there\r\n");
  EXPECT_EQ(r.message.anomalies.bits(), 0u);
}

TEST(Message, NestedMultiparts) {
  const std::string inner = multipart("alternative", "in", {"\nplain", "Content-Type: text/html\n\n<b>x</b>"});
  const Read r("From: a@example.com\n" + multipart("mixed", "out",
                                                   {inner,
                                                    "Content-Type: image/png; name=x.png\n"
                                                    "Content-Transfer-Encoding: base64\n\niVBORw0KGgo="}));
  ASSERT_EQ(r.message.parts.size(), 5u);
  EXPECT_TRUE(r.part(0).multipart);
  EXPECT_TRUE(r.part(1).multipart);
  EXPECT_EQ(r.part(2).parent, 1);
  EXPECT_EQ(r.part(2).text, "plain");
  EXPECT_EQ(r.part(3).text, "<b>x</b>");
  EXPECT_EQ(r.part(4).parent, 0);
  EXPECT_EQ(r.part(4).name, "x.png");
  EXPECT_EQ(r.part(4).content, Content::kImage);
  EXPECT_EQ(r.message.anomalies.bits(), 0u);
}

TEST(Message, BrokenMultiparts) {
  {
    const Read r("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo");
    ASSERT_EQ(r.message.parts.size(), 3u);
    EXPECT_EQ(r.part(2).text, "two");
    EXPECT_TRUE(r.has(Anomaly::kMultipartUnterminated));
  }
  {  // the outer boundary ends the inner multipart, which was never closed
    const Read r(
        "Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/mixed; boundary=in\n\n--in\n\n"
        "one\n--out\n\ntwo\n--out--\n");
    ASSERT_EQ(r.message.parts.size(), 4u);
    EXPECT_EQ(r.part(2).text, "one");
    EXPECT_EQ(r.part(3).parent, 0);
    EXPECT_EQ(r.part(3).text, "two");
    EXPECT_TRUE(r.has(Anomaly::kMultipartUnterminated));
  }
  {
    const Read r("Content-Type: multipart/mixed; boundary=b\n\nall text\n");
    ASSERT_EQ(r.message.parts.size(), 1u);
    EXPECT_TRUE(r.has(Anomaly::kBoundaryNeverSeen));
  }
  {
    const Read r("Content-Type: multipart/mixed\n\n--b\n\none\n");
    EXPECT_TRUE(r.has(Anomaly::kBoundaryMissing));
    EXPECT_FALSE(r.part(0).multipart);
  }
  {
    const Read r("Content-Type: multipart/mixed; boundary=b\n\n--b--\nbehind\n");
    EXPECT_TRUE(r.has(Anomaly::kMultipartEmpty));
    EXPECT_TRUE(r.has(Anomaly::kEpilogue));
  }
  {  // a part whose headers run into the next boundary
    const Read r("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n--b\n\ntwo\n--b--\n");
    ASSERT_EQ(r.message.parts.size(), 3u);
    EXPECT_EQ(r.part(1).text, "");
    EXPECT_EQ(r.part(2).text, "two");
  }
}

TEST(Message, AttachedMessage) {
  const std::string inner = "Subject: inner\n" + multipart("mixed", "in", {"\nhello"});
  {
    const Read r(multipart("mixed", "out", {"\ntext", "Content-Type: message/rfc822\n\n" + inner, "\nlast"}));
    ASSERT_EQ(r.message.parts.size(), 6u);
    EXPECT_EQ(r.part(2).type, "message");
    EXPECT_EQ(r.part(3).type, "multipart");
    EXPECT_EQ(r.part(3).parent, 2);
    EXPECT_EQ(r.part(4).text, "hello");
    EXPECT_TRUE(r.part(4).body_of_attached);
    EXPECT_EQ(r.part(5).text, "last");
    EXPECT_FALSE(r.part(5).body_of_attached);
    EXPECT_EQ(r.message.headers_of(r.part(3))[0].value, " inner");
    EXPECT_EQ(r.message.find(HeaderId::kSubject), nullptr);
  }
  {  // in base64, which RFC 2046 forbids
    const Read r(
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
        "U3ViamVjdDogeAoKaGVsbG8K\n");
    ASSERT_EQ(r.message.parts.size(), 2u);
    EXPECT_EQ(r.part(1).text, "hello\n");
    EXPECT_TRUE(r.has(Anomaly::kNestedEncodedMessage));
  }
}

TEST(Message, BrokenHeaders) {
  const Read r("From someone Mon Jan  1\nFrom : a@example.com\nnonsense line\nSubject: x\nSubject: y\nbody at once\n");
  EXPECT_TRUE(r.has(Anomaly::kMboxLine));
  EXPECT_TRUE(r.has(Anomaly::kHeaderNameInvalid));
  EXPECT_TRUE(r.has(Anomaly::kHeaderWithoutColon));
  EXPECT_TRUE(r.has(Anomaly::kHeaderDuplicate));
  EXPECT_TRUE(r.has(Anomaly::kNoBlankLine));
  EXPECT_EQ(r.part(0).text, "body at once\n");
  EXPECT_EQ(r.message.find(HeaderId::kFrom)->value, " a@example.com");
}

TEST(Message, Charsets) {
  const struct {
    const char *charset, *bytes, *text;
  } cases[] = {
      {"iso-8859-1", "caf\xe9 \x93x\x94", "café “x”"},
      {"\"UTF-8\"", "caf\xc3\xa9", "café"},
      {"koi8-r", "\xf0\xf2\xe9\xf7\xe5\xf4", "ПРИВЕТ"},
      {"gb2312", "\xc4\xe3\xba\xc3", "你好"},
      {"ISO-2022-JP", "\x1b$B$3$s\x1b(B", "こん"},
      {"shift_jis", "\x82\xb1\x82\xf1", "こん"},
      {"ks_c_5601-1987", "\xb0\xa1", "가"},
      {"utf-7", "+AOk-", "é"},
      {"us-ascii", "caf\xe9", "café"},
      {"", "caf\xc3\xa9", "café"},
  };
  for (const auto& c : cases) {
    const Read r(std::string("Content-Type: text/plain; charset=") + c.charset + "\n\n" + c.bytes);
    EXPECT_EQ(r.part(0).text, c.text) << c.charset;
    EXPECT_FALSE(r.has(Anomaly::kCharsetUnknown)) << c.charset;
    EXPECT_FALSE(r.has(Anomaly::kCharsetMismatch)) << c.charset;
  }
  const Read unknown("Content-Type: text/plain; charset=klingon\n\nx");
  EXPECT_TRUE(unknown.has(Anomaly::kCharsetUnknown));
  const Read mismatch("Content-Type: text/plain; charset=utf-8\n\nx\xff");
  EXPECT_TRUE(mismatch.has(Anomaly::kCharsetMismatch));
  EXPECT_EQ(mismatch.part(0).text, "x\uFFFD");
}

TEST(Message, UuencodedFilesInText) {
  const Read r("Subject: x\n\nbefore\nbegin 644 hello.exe\n#35J0\n`\nend\nafter\n");
  ASSERT_EQ(r.message.parts.size(), 2u);
  EXPECT_EQ(r.part(1).name, "hello.exe");
  EXPECT_EQ(r.part(1).decoded.substr(0, 2), "MZ");
  EXPECT_EQ(r.part(0).text, "before\nafter\n");
}

TEST(Message, LimitsHold) {
  Limits limits;
  limits.parts_max = 10;
  limits.headers_max = 20;
  limits.depth_max = 4;
  std::string many = "Content-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 100; ++i) many += "--b\nX-A: 1\n\nx\n";
  const Read parts(many + "--b--\n", limits);
  EXPECT_EQ(parts.message.parts.size(), 10u);
  EXPECT_EQ(parts.message.parts_seen, 101u);
  EXPECT_TRUE(parts.has(Anomaly::kPartsTooMany));
  std::string headers;
  for (int i = 0; i < 100; ++i) headers += "X-A: 1\n";
  const Read heads(headers + "\nbody", limits);
  EXPECT_EQ(heads.message.headers.size(), 20u);
  EXPECT_EQ(heads.message.headers_seen, 100u);
  EXPECT_EQ(heads.part(0).text, "body");
  std::string deep = "\nx";
  for (int i = 0; i < 10; ++i) deep = multipart("mixed", "b" + std::to_string(i), {deep});
  const Read nested(deep, limits);
  EXPECT_TRUE(nested.has(Anomaly::kDepthTooDeep));
  for (const Part& p : nested.message.parts) EXPECT_LT(p.depth, 4);
}

// What a careful writer wrote comes back: parts, in order, with their text.
RC_GTEST_PROP(Message, WhatWasWrittenComesBack, ()) {
  const auto texts = *rc::gen::container<std::vector<std::string>>(
      *rc::gen::inRange(1, 6), rc::gen::container<std::string>(rc::gen::inRange<char>(' ', 126)));
  std::vector<std::string> parts;
  for (const std::string& text : texts) parts.push_back("\n" + text);
  for (const std::string& text : texts) {
    if (text.starts_with("--=_b")) RC_DISCARD("a boundary");
  }
  const Read r(multipart("mixed", "=_b", parts));
  RC_ASSERT(r.message.parts.size() == texts.size() + 1);
  for (size_t i = 0; i < texts.size(); ++i) RC_ASSERT(r.part(i + 1).text == texts[i]);
}

// Any bytes give a message whose views lie where they should.
RC_GTEST_PROP(Message, AnyBytesAreRead, ()) {
  const auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
      "From: a@b.example\n", "Content-Type: multipart/mixed; boundary=b\n", "Content-Type: message/rfc822\n", "\n",
      "--b\n", "--b--\n", "Content-Transfer-Encoding: base64\n", "AAAA\n", "begin 644 x\n", "#35J0\n", "end\n", " \n",
      "\xff\xfe", "\r", "=?utf-8?B?w6k=?=\n", "Subject:"));
  std::string raw;
  for (const std::string& piece : pieces) raw += piece;
  const Read r(raw);
  RC_ASSERT(!r.message.parts.empty());
  for (const Part& part : r.message.parts) {
    RC_ASSERT(valid_utf8_bytes(part.text) == part.text.size());
    RC_ASSERT(part.parent < static_cast<int32_t>(&part - r.message.parts.data()));
  }
}

}  // namespace
}  // namespace tamis::mail
