#include "door/mail_text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tamis::door {
namespace {

using namespace std::string_literals;

TEST(MailText, ReadsFields) {
  std::string text = "A: 1\r\n 2\nbroken line\nB :3\r\n: nameless\nC:\r\n\r\nD: body\r\n";
  HeaderFields fields(text);
  HeaderField field;
  std::string seen;
  while (fields.next(field)) seen += std::string(field.name) + "=" + std::string(field.value) + "|";
  EXPECT_EQ(seen, "A= 1\r\n 2|B=3|C=|");
  EXPECT_EQ(text.substr(fields.end()), "\r\nD: body\r\n");
  EXPECT_EQ(header_of(text).size(), fields.end() + 2);
  EXPECT_EQ(header_value(text, "a"), "1 2");
  EXPECT_EQ(header_value(text, "D"), "");
  EXPECT_EQ(header_of("no end"), "no end");
}

TEST(MailText, FindsForgedFields) {
  std::string text =
      "Authentication-Results: (c) mx.a 1; spf=pass\nX: 1\nAUTHENTICATION-RESULTS: mx.b; none\n"
      "Authentication-Results:\n\tMX.A;none\nx: 2\n\n";
  auto shown = [&](const std::vector<std::string>& names, std::string_view own) {
    std::string out;
    for (const HeaderRemoval& one : removals_of(text, names, own)) out += one.name + std::to_string(one.index) + " ";
    return out;
  };
  EXPECT_EQ(shown({"authentication-results"}, "mx.a"), "Authentication-Results1 Authentication-Results3 ");
  EXPECT_EQ(shown({"X"}, "mx.a"), "X1 x2 ");
  // Where our name is not known, as many as the verdict names.
  EXPECT_EQ(shown({"Authentication-Results", "Authentication-Results"}, ""),
            "Authentication-Results1 AUTHENTICATION-RESULTS2 ");
  EXPECT_EQ(shown({}, "mx.a"), "");
}

TEST(MailText, EditsInTheMessagesOwnLineEnds) {
  EXPECT_EQ(edited("A: 1\nB: 2\nA: 3\n\nbody", {{"A", 2}}, {{"N", "x\n\ty"}, {"M", "z"}}),
            "N: x\n\ty\nM: z\nA: 1\nB: 2\n\nbody");
  EXPECT_EQ(edited("A: 1\r\n\r\nbody", {{"a", 1}}, {{"N", "x\n\ty"}}), "N: x\r\n\ty\r\n\r\nbody");
  // The line that parts messages of an mbox stays the first.
  EXPECT_EQ(edited("From a@b now\nA: 1\n\nbody", {}, {{"N", "x"}}), "From a@b now\nN: x\nA: 1\n\nbody");
  EXPECT_EQ(edited("From a@b now\r\nA: 1\r\n\r\n", {{"A", 1}}, {{"N", "x"}}), "From a@b now\r\nN: x\r\n\r\n");
  EXPECT_EQ(edited("From a@b", {}, {{"N", "x"}}), "N: x\nFrom a@b");
}

TEST(MailText, NoValueStartsAField) {
  EXPECT_EQ(clean_value("a\r\nBcc: x", "\r\n"), "a Bcc: x");
  EXPECT_EQ(clean_value("a\n \n b\n", "\n"), "a  \n b ");
  EXPECT_EQ(clean_value("a\0b\x01"s, "\n"), "a b ");
  EXPECT_EQ(clean_name("X: y\r\nBcc"), "XyBcc");
  EXPECT_EQ(clean_name("\r\n"), "X-Tamis");
}

TEST(MailText, NoValueStartsAFieldProperty) {
  EXPECT_TRUE(rc::check([](const std::string& value) {
    std::string text = edited("A: 1\r\n\r\nbody", {}, {{"N", value}});
    HeaderFields fields(text);
    HeaderField field;
    std::string names;
    while (fields.next(field)) names += field.name;
    RC_ASSERT(names == "NA");
    RC_ASSERT(text.substr(fields.end()) == "\r\nbody");
  }));
}

TEST(MailText, RepliesInOneLine) {
  auto shown = [](std::string_view reply) {
    SmtpReply r = smtp_reply(reply, "550", "5.7.1", "no");
    return r.code + " " + r.enhanced + " " + r.text;
  };
  EXPECT_EQ(shown(""), "550 5.7.1 no");
  EXPECT_EQ(shown("go away"), "550 5.7.1 go away");
  EXPECT_EQ(shown("554 go away"), "554 5.7.1 go away");
  EXPECT_EQ(shown("554 5.7.26 go\r\naway"), "554 5.7.26 go away");
  EXPECT_EQ(shown("5.1.1 who"), "550 5.1.1 who");
  EXPECT_EQ(shown("451 4.7.1 later"), "550 5.7.1 451 4.7.1 later");
  EXPECT_EQ(shown("5. 5..1 x"), "550 5.7.1 5. 5..1 x");
  EXPECT_EQ(shown("gr\xc3\xbc\xc3\x9f"), "550 5.7.1 gr????");
  EXPECT_LE(shown(std::string(5'000, 'x')).size(), 450u);
}

TEST(MailText, PointsAgreeWithTheVerdict) {
  MailVerdict verdict;
  verdict.points_required = 5;
  verdict.points = 7;
  EXPECT_FALSE(is_spam(verdict));
  EXPECT_LT(points_shown(verdict), 5);
  verdict.action = MailAction::kTag;
  EXPECT_EQ(points_shown(verdict), 7);
  verdict.points = 1;
  EXPECT_EQ(points_shown(verdict), 5);
}

}  // namespace
}  // namespace tamis::door
