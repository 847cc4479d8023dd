#include "mail/mbox.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tamis::mail {
namespace {

std::vector<std::string> messages_of(const std::string& text) {
  std::vector<std::string> out;
  MboxReader reader(text);
  for (std::string message; reader.next(message);) out.push_back(message);
  return out;
}

constexpr const char* kDated = "From a@b.example Mon Nov  2 10:00:00 2026\n";

TEST(Mbox, KnowsDatesAsArchivesWriteThem) {
  for (const char* line : {"a@b.example Mon Nov  2 10:00:00 2026",
                           "a@b.example  Mon Nov  2 10:00:00 2026\r",
                           "a@b.example Mon Nov 02 10:00 2026",
                           "a@b.example Mon Nov  2 10:00:00 CET 2026",
                           "a@b.example Mon Nov  2 10:00:00 2026 +0100",
                           "a@b.example Mon Nov  2 10:00:00 +0000 2026",
                           "1599999999999@xxx Mon Nov 02 10:00:00 +0000 2026",
                           "a@b.example Mon Nov  2 10:00:00 MET DST 1996",
                           "a@b.example Mon Nov  2 10:00:00 96",
                           "- Mon Nov  2 10:00:00 2026",
                           " Mon Nov  2 10:00:00 2026",
                           "MAILER-DAEMON Mon Nov  2 10:00:00 2026",
                           "\"a b\"@c.example Mon Nov  2 10:00:00 2026",
                           "user at host.example  Mon Nov  2 10:00:00 2026",
                           "uucp Mon Nov  2 10:00 1987 remote from host",
                           "a@b.example Mon, 2 Nov 2026 10:00:00 +0100 (CET)",
                           "a@b.example 2 Nov 2026 10:00:00 GMT",
                           "a@b.example 2026-11-02T10:00:00Z",
                           "a@b.example 2026-11-02 10:00:00.123 +01:00",
                           "0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001"}) {
    EXPECT_TRUE(is_dated_separator(line)) << line;
  }
}

TEST(Mbox, ProseIsNoSeparator) {
  for (const char* line :
       {"", "here on it is easy", "Monday on", "me to you on Mon Nov  2 10:00:00 2026",
        "Mon Nov  2 10:00:00 2026 on we met", "a@b.example", "a@b.example Mon Nov  2", "a@b.example Mon Nov  2 2026",
        "10:00:00 to 11:00:00", "2026-11-02 on", "2026-11-02 10:00:00 to 11:00:00",
        "a@b.example Mon Nov 123 10:00:00 2026", "a@b.example Mon Nov  2 10:0:00 2026",
        "a@b.example Mon Nov  2 10:00:00 2026 remote from", "what Mon said", "a@b.example 2026-11-02Tnoon"}) {
    EXPECT_FALSE(is_dated_separator(line)) << line;
  }
  EXPECT_FALSE(is_dated_separator(std::string(2000, 'x') + " Mon Nov  2 10:00:00 2026"));
  std::string words;
  for (int i = 0; i < 200; ++i) words += "x ";
  EXPECT_FALSE(is_dated_separator(words + "Mon Nov  2 10:00:00 2026"));
}

TEST(Mbox, SplitsAtSeparatorsBehindAnEmptyLine) {
  const std::string first = "Subject: one\n\nbody\n", second = "Subject: two\n\nbody\n";
  EXPECT_EQ((std::vector<std::string>{first + "\n", second}), messages_of(kDated + first + "\n" + kDated + second));
  // Without the empty line it is text.
  EXPECT_EQ((std::vector<std::string>{first + kDated + second}), messages_of(kDated + first + kDated + second));
}

TEST(Mbox, LineEndsOfBothKinds) {
  const std::string line = "From a@b.example Mon Nov  2 10:00:00 2026\r\n";
  EXPECT_EQ((std::vector<std::string>{"Subject: one\r\n\r\nx\r\n\r\n", "Subject: two\r\n\r\ny"}),
            messages_of(line + "Subject: one\r\n\r\nx\r\n\r\n" + line + "Subject: two\r\n\r\ny"));
}

TEST(Mbox, ABodyLineThatBeginsWithFromSplitsNothing) {
  const std::string body =
      "Subject: one\n\nHello,\n\nFrom here on it is easy.\n\nFrom: a quoted header\n\nFrom a@b.example\nSubject: x\n\n";
  EXPECT_EQ((std::vector<std::string>{body, "Subject: two\n\n"}),
            messages_of(kDated + body + kDated + "Subject: two\n\n"));
}

TEST(Mbox, EscapedLinesComeBack) {
  EXPECT_EQ((std::vector<std::string>{"S: 1\n\nFrom me\n>From you\n> From us\n>Fromage\n"}),
            messages_of(std::string(kDated) + "S: 1\n\n>From me\n>>From you\n> From us\n>Fromage\n"));
}

TEST(Mbox, AnArchiveWithoutDatesSplitsAtItsOwnKind) {
  for (const std::string separator : {"From \n", "From -\n", "From \r\n", "From a@b.example\n"}) {
    const std::string body = "Subject: one\n\nFrom here on it is easy.\n\nFrom nowhere\n\nFrom that place: none\n\n";
    EXPECT_EQ(
        (std::vector<std::string>{body, "Subject: two\n\nx\n\n", ">From b\nSubject: three\n"}).size(),
        messages_of(separator + body + separator + "Subject: two\n\nx\n\n" + separator + ">From b\nSubject: three\n")
            .size())
        << separator;
    EXPECT_EQ(body, messages_of(separator + body + separator + "Subject: two\n").at(0));
    // A dated one is one there as well.
    EXPECT_EQ(2u, messages_of(separator + body + kDated + "Subject: two\n").size());
  }
}

TEST(Mbox, OddFiles) {
  EXPECT_TRUE(is_mbox("From "));
  EXPECT_FALSE(is_mbox("From: a@b.example\n"));
  EXPECT_FALSE(is_mbox("From"));
  EXPECT_FALSE(is_mbox(""));
  EXPECT_EQ(0u, messages_of("From ").size());
  EXPECT_EQ(0u, messages_of(kDated).size());
  EXPECT_EQ((std::vector<std::string>{"x"}), messages_of(std::string(kDated) + "x"));
  // A separator at the very end has no message behind it; two in a row have an empty one between them.
  EXPECT_EQ((std::vector<std::string>{"S: 1\n\n"}), messages_of(std::string(kDated) + "S: 1\n\n" + kDated));
  EXPECT_EQ((std::vector<std::string>{"\n", "S: 1\n"}), messages_of(std::string(kDated) + "\n" + kDated + "S: 1\n"));
  const std::string zeros = std::string("S: 1\n\n\0From \n", 13);
  EXPECT_EQ((std::vector<std::string>{zeros}), messages_of(kDated + zeros));
}

TEST(Mbox, SaysWhetherOneMessageIsAll) {
  const std::string one = std::string(kDated) + "S: 1\n\nFrom here on\n\nFrom there\n",
                    two = one + "\n" + kDated + "S: 2\n";
  EXPECT_TRUE(MboxReader(one).has_one());
  EXPECT_FALSE(MboxReader(two).has_one());
}

// Many lines that look like separators cost a pass, not a pass each.
TEST(Mbox, ManyLinesThatAreNone) {
  std::string text = kDated;
  for (int i = 0; i < 200'000; ++i) text += "\nFrom here on\n";
  EXPECT_EQ(1u, messages_of(text).size());
}

}  // namespace
}  // namespace tamis::mail
