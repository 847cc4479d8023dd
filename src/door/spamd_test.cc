#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <zlib.h>

#include "door/mail_session_test_kit.h"
#include "door/spamd_session.h"

namespace tamis::door {
namespace {

using namespace std::string_literals;
using Driver = MailSessionDriver<SpamdSession>;

std::string ask(std::string_view command, std::string_view message, std::string_view fields = {}) {
  return std::string(command) + " SPAMC/1.5\r\n" + std::string(fields) +
         "Content-length: " + std::to_string(message.size()) + "\r\n\r\n" + std::string(message);
}
std::string talk(std::string_view bytes, MailDoorOptions options = {}) {
  Driver driver(options);
  driver.feed(bytes);
  driver.feed_eof();
  EXPECT_TRUE(driver.session.finished());
  EXPECT_EQ(driver.context.budget.used(), 0u);
  return driver.output;
}
std::string packed(std::string_view text) {
  uLongf bytes = compressBound(text.size());
  std::string out(bytes, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &bytes, reinterpret_cast<const Bytef*>(text.data()), text.size());
  out.resize(bytes);
  return out;
}

const std::string kHam = "Subject: hi\n\nhello\n";
const std::string kSpam = "Subject: hi\nX-Spam-Status: No, forged\nX-Spam-Flag: NO\n\ntamis-test:tag\n";

TEST(Spamd, PingsAndSkips) {
  EXPECT_EQ(talk("PING SPAMC/1.5\r\n\r\n"), "SPAMD/1.5 0 PONG\r\n");
  // Monitors wait for the answer without sending the empty line.
  Driver driver;
  driver.feed("PING SPAMC/1.2\r\n");
  EXPECT_EQ(driver.output, "SPAMD/1.5 0 PONG\r\n");
  EXPECT_EQ(talk("SKIP SPAMC/1.5\r\n\r\n"), "");
}

TEST(Spamd, Checks) {
  EXPECT_EQ(talk(ask("CHECK", kHam)), "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.5 / 5.0\r\n\r\n");
  EXPECT_EQ(talk(ask("CHECK", kSpam)), "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.0 / 5.0\r\n\r\n");
  // Spam is what is tagged or worse; to put off is not.
  EXPECT_EQ(talk(ask("CHECK", "\n\ntamis-test:greylist")), "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 4.0 / 5.0\r\n\r\n");
  // Nothing can be put off here: it is what it would be otherwise.
  EXPECT_EQ(talk(ask("CHECK", "\n\ntamis-test:defer")), "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.0 / 5.0\r\n\r\n");
  EXPECT_EQ(talk(ask("CHECK", "\n\ntamis-test:defer-clean")), "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 4.0 / 5.0\r\n\r\n");
}

TEST(Spamd, TakesMessagesWithoutLength) {
  Driver driver;
  driver.feed("CHECK SPAMC/1.2\r\n\r\n" + kSpam);
  EXPECT_EQ(driver.output, "");
  driver.feed_eof();
  EXPECT_EQ(driver.output, "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.0 / 5.0\r\n\r\n");
  EXPECT_EQ(driver.scanner.last().message, kSpam);
}

TEST(Spamd, AnswersBeforeTheClientCloses) {
  Driver driver;
  driver.feed(ask("CHECK", kHam, "User: bob\r\n"));
  EXPECT_EQ(driver.output, "SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.5 / 5.0\r\n\r\n");
  EXPECT_EQ(driver.scanner.last().recipients, std::vector<std::string>{"bob"});
  EXPECT_TRUE(driver.session.lingering());
}

TEST(Spamd, ListsSymbolsAndReports) {
  EXPECT_EQ(talk(ask("SYMBOLS", kSpam)),
            "SPAMD/1.1 0 EX_OK\r\nContent-length: 16\r\nSpam: True ; 15.0 / 5.0\r\n\r\nseen,test-word\r\n");
  std::string report = talk(ask("REPORT", kSpam));
  EXPECT_NE(report.find("13.5 test-word              the message asks for it\r\n"), report.npos) << report;
  EXPECT_NE(talk(ask("REPORT_IFSPAM", kSpam)).find("test-word"), std::string::npos);
  EXPECT_EQ(talk(ask("REPORT_IFSPAM", kHam)),
            "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: False ; 1.5 / 5.0\r\n\r\n");
}

TEST(Spamd, MarksTheMessage) {
  std::string answer = talk(ask("PROCESS", kSpam));
  std::string body = answer.substr(answer.find("\r\n\r\n") + 4);
  EXPECT_EQ(body,
            "X-Spam-Level: ***************\nX-Spam-Status: Yes, score=15.0 required=5.0 tests=seen,\n\ttest-word\n"
            "X-Spam-Checker-Version: Tamis\nAuthentication-Results: mx.example;\n\tspf=none\nX-Spam-Flag: YES\n"
            "Subject: hi\n\ntamis-test:tag\n");
  EXPECT_NE(answer.find("Content-length: " + std::to_string(body.size()) + "\r\n"), answer.npos);
  std::string header = talk(ask("HEADERS", kSpam));
  EXPECT_EQ(header.substr(header.find("\r\n\r\n") + 4), body.substr(0, body.find("\n\n") + 2));
  // Line ends are the message's own.
  std::string lines = talk(ask("PROCESS", "Subject: x\r\n\r\nhello\r\n"));
  EXPECT_NE(lines.find("X-Spam-Status: No, score=1.5 required=5.0 tests=seen\r\n"), lines.npos) << lines;
}

TEST(Spamd, Learns) {
  Driver driver;
  driver.feed(ask("TELL", kSpam, "User: bob\r\nMessage-class: spam\r\nSet: local, remote\r\n"));
  EXPECT_EQ(driver.output, "SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\nContent-length: 0\r\n\r\n");
  MailCorrection correction = driver.scanner.last_correction();
  EXPECT_EQ(correction.label, MailCorrection::Label::kSpam);
  EXPECT_EQ(correction.message, kSpam);
  EXPECT_EQ(correction.reporter, "bob");
  EXPECT_EQ(correction.recipient, "bob");
  driver.session.close();
  driver.open();
  driver.feed(ask("TELL", kHam, "Message-class: ham\r\nSet: local\r\nRemove: remote\r\n"));
  EXPECT_EQ(driver.scanner.last_correction().label, MailCorrection::Label::kHam);
  driver.session.close();
  driver.open();
  driver.take_output();
  driver.feed(ask("TELL", kHam, "Remove: local\r\n"));
  EXPECT_EQ(driver.scanner.last_correction().label, MailCorrection::Label::kForget);
  EXPECT_EQ(driver.output, "SPAMD/1.1 0 EX_OK\r\nDidRemove: local\r\nContent-length: 0\r\n\r\n");
}

TEST(Spamd, SaysWhenNothingWasLearned) {
  std::string fields = "Message-class: spam\r\nSet: local\r\n";
  EXPECT_EQ(talk(ask("TELL", "\n\ntamis-test:known", fields)), "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n");
  EXPECT_EQ(talk(ask("TELL", "\n\ntamis-test:denied", fields)), "SPAMD/1.1 77 you may not teach\r\n\r\n");
  EXPECT_EQ(talk(ask("TELL", kHam)).substr(0, 12), "SPAMD/1.1 64");
  EXPECT_EQ(talk(ask("TELL", kHam, "Message-class: spam\r\nSet: remote\r\n")).substr(0, 12), "SPAMD/1.1 64");
}

TEST(Spamd, LearnsFromThisMachineOnly) {
  std::string request = ask("TELL", kHam, "Message-class: spam\r\nSet: local\r\n");
  Driver far({}, 1 << 20, "192.0.2.1");
  far.feed(request);
  EXPECT_EQ(far.output, "SPAMD/1.1 69 TELL is taken from this machine only\r\n\r\n");
  EXPECT_EQ(far.scanner.stats().learned, 0u);
  MailDoorOptions options;
  options.tell_from_network = true;
  Driver allowed(options, 1 << 20, "192.0.2.1");
  allowed.feed(request);
  EXPECT_EQ(allowed.scanner.stats().learned, 1u);
}

TEST(Spamd, Unpacks) {
  Driver driver;
  driver.feed(ask("CHECK", packed(kSpam), "Compress: zlib\r\n"));
  EXPECT_EQ(driver.output, "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.0 / 5.0\r\n\r\n");
  EXPECT_EQ(driver.scanner.last().message, kSpam);
  EXPECT_EQ(talk(ask("CHECK", "not packed", "Compress: zlib\r\n")).substr(0, 12), "SPAMD/1.1 65");
  EXPECT_EQ(talk(ask("CHECK", packed(kSpam).substr(0, 20), "Compress: zlib\r\n")).substr(0, 12), "SPAMD/1.1 65");
  // A bomb: a megabyte is the limit.
  EXPECT_EQ(talk(ask("CHECK", packed(std::string(50 << 20, 'x')), "Compress: zlib\r\n")),
            "SPAMD/1.1 65 the message is larger than 1048576 bytes once unpacked\r\n\r\n");
}

TEST(Spamd, ChecksTheLength) {
  std::string head = "CHECK SPAMC/1.5\r\nContent-length: 10\r\n\r\n";
  EXPECT_EQ(talk(head + "12345"), "SPAMD/1.1 65 Content-length is 10, but only 5 bytes came\r\n\r\n");
  EXPECT_EQ(talk(head + "12345678901"), "SPAMD/1.1 65 Content-length is 10, but more bytes follow\r\n\r\n");
  for (const char* value : {"", "-1", "1x", "99999999999999999999", "10\r\nContent-length: 11"})
    EXPECT_EQ(talk("CHECK SPAMC/1.5\r\nContent-length: "s + value + "\r\n\r\n1234567890").substr(0, 12), "SPAMD/1.1 76")
        << value;
  EXPECT_EQ(talk("CHECK SPAMC/1.5\r\nContent-length: 99999999\r\n\r\n"),
            "SPAMD/1.1 65 The message has 99999999 bytes, at most 1048576 are taken\r\n\r\n");
  EXPECT_EQ(talk("CHECK SPAMC/1.5\r\n\r\n" + std::string(2 << 20, 'x')),
            "SPAMD/1.1 65 The message has more than 1048576 bytes\r\n\r\n");
}

TEST(Spamd, RefusesBrokenHeads) {
  for (const std::string& bytes :
       {"HELLO\r\n"s, "CHECK\r\n\r\n"s, "CHECK SPAMC/2.0\r\n\r\n"s, "check SPAMC/1.5\r\n\r\n"s,
        "CHECK SPAMC/1.5\r\nno colon\r\n\r\n"s, "CHECK SPAMC/1.5\r\nUser: a\0b\r\n\r\n"s,
        "CHECK SPAMC/1.5\r\nCompress: lzma\r\n\r\n"s, "CHECK SPAMC/1.5\r\nUser: bo"s,
        "TELL SPAMC/1.5\r\nMessage-class: eggs\r\n\r\n"s,
        "CHECK SPAMC/1.5\r\nUser: " + std::string(400, 'x') + "\r\n\r\n",
        "CHECK SPAMC/1.5\r\nX: " + std::string(20'000, 'x'), std::string(20'000, 'x')})
    EXPECT_EQ(talk(bytes).substr(0, 29), "SPAMD/1.1 76 Bad header line:") << bytes.substr(0, 60);
  std::string many = "CHECK SPAMC/1.5\r\n";
  for (int i = 0; i < 100; ++i) many += "X: y\r\n";
  EXPECT_EQ(talk(many).substr(0, 12), "SPAMD/1.1 76");
  EXPECT_EQ(talk(""), "");
}

TEST(Spamd, EndsSlowAndLateRequests) {
  Driver slow;
  slow.feed("CHECK SPAMC/1.5\r\nContent-length: 1000\r\n\r\nabc");
  for (int i = 0; i < 29; ++i) {
    slow.feed("x");  // a byte now and then is no progress
    EXPECT_FALSE(slow.advance(1'000));
  }
  EXPECT_TRUE(slow.advance(2'000));
  EXPECT_EQ(slow.output, "SPAMD/1.1 79 The request did not arrive in time\r\n\r\n");
  Driver late;
  late.feed(ask("CHECK", "\n\ntamis-test:never"));
  EXPECT_FALSE(late.advance(59'000));
  EXPECT_TRUE(late.advance(2'000));
  EXPECT_EQ(late.output.substr(0, 12), "SPAMD/1.1 75");
  late.scanner.release();
  late.settle();
  EXPECT_EQ(late.output.substr(0, 12), "SPAMD/1.1 75");
  // Enough bytes in time, and yet for ever.
  Driver drip;
  drip.feed("CHECK SPAMC/1.5\r\nContent-length: 1000000\r\n\r\n");
  bool ended = false;
  for (int i = 0; i < 40 && !ended; ++i) {
    drip.feed(std::string(5'000, 'x'));
    ended = drip.advance(10'000);
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(drip.context.budget.used(), 0u);
}

TEST(Spamd, SaysWhyTheScannerDidNot) {
  EXPECT_EQ(talk(ask("CHECK", "\n\ntamis-test:busy")), "SPAMD/1.1 75 the scanner is overloaded\r\n\r\n");
  EXPECT_EQ(talk(ask("CHECK", "\n\ntamis-test:fail")), "SPAMD/1.1 75 the scanner failed\r\n\r\n");
  MailDoorOptions small;
  small.memory_bytes_max = 64 * 1024;
  EXPECT_EQ(talk(ask("CHECK", std::string(100'000, 'x')), small).substr(0, 12), "SPAMD/1.1 75");
}

TEST(SpamdProperty, PiecesDoNotMatter) {
  EXPECT_TRUE(rc::check([] {
    std::string command = *rc::gen::element("CHECK"s, "SYMBOLS"s, "REPORT"s, "PROCESS"s, "HEADERS"s, "PING"s);
    std::string bytes = ask(command, *rc::gen::element(kHam, kSpam, std::string(5'000, 'x')));
    Driver whole, pieces;
    whole.feed(bytes);
    std::string_view rest = bytes;
    while (!rest.empty()) {
      size_t n = std::min<size_t>(rest.size(), *rc::gen::inRange<size_t>(1, 100));
      pieces.feed(rest.substr(0, n));
      rest.remove_prefix(n);
    }
    RC_ASSERT(!whole.output.empty());
    RC_ASSERT(whole.output == pieces.output);
  }));
}

}  // namespace
}  // namespace tamis::door
