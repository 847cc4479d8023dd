#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "door/mail_session_test_kit.h"
#include "door/milter_session.h"

namespace tamis::door {
namespace {

using namespace std::string_literals;
using Driver = MailSessionDriver<MilterSession>;

std::string number(uint32_t n) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(n >> shift & 0xff));
  return out;
}
std::string frame(char command, std::string_view data = {}) {
  return number(static_cast<uint32_t>(data.size() + 1)) + command + std::string(data);
}
std::string negotiation(uint32_t version = 6, uint32_t actions = 0x1ff, uint32_t steps = 0x1fffff) {
  return frame('O', number(version) + number(actions) + number(steps));
}
std::string connection() { return frame('C', "client.example\0"s + "4" + "\x12\x34"s + "192.0.2.7\0"s); }
std::string header(std::string_view name, std::string_view value) {
  return frame('L', std::string(name) + '\0' + std::string(value) + '\0');
}

// A frame of the filter, as a letter and data that can be compared.
struct Said {
  char letter;
  std::string data;
  bool operator==(const Said&) const = default;
};
void PrintTo(const Said& said, std::ostream* out) { *out << said.letter << " \"" << said.data << "\""; }

std::vector<Said> said(std::string_view output) {
  std::vector<Said> all;
  milter::Frame one;
  size_t consumed = 0;
  while (milter::read_frame(output, one, consumed) == milter::FrameState::kDone) {
    all.push_back({one.command, std::string(one.data)});
    output.remove_prefix(consumed);
  }
  EXPECT_TRUE(output.empty());
  return all;
}
std::string letters(const std::vector<Said>& all) {
  std::string text;
  for (const Said& one : all) text.push_back(one.letter);
  return text;
}

// From MAIL to the end of the body, with the blank after the colon as Postfix sends it.
std::string message(std::string_view body, std::vector<std::string> recipients = {"<bob@example.org>"}) {
  std::string out = frame('D', "Mi\0004AB12C\0{auth_authen}\0\0"s) + frame('M', "<alice@example.com>\0SIZE=100\0"s);
  for (const std::string& recipient : recipients) out += frame('R', recipient + '\0');
  out += frame('T') + header("From", " Alice <alice@example.com>") + header("Subject", " hello\n\tworld") + frame('N');
  return out + frame('B', body) + frame('E');
}

struct Milter : testing::Test {
  void start(uint32_t version = 6, uint32_t actions = 0x1ff, uint32_t steps = 0x1fffff) {
    driver.feed(negotiation(version, actions, steps));
    negotiated = said(driver.take_output());
    ASSERT_EQ(letters(negotiated), "O");
    driver.feed(frame('D', "Cj\0mx.example.org\0{daemon_name}\0smtpd\0"s) + connection() +
                frame('H', "helo.example\0"s));
  }
  std::vector<Said> send(std::string_view body) {
    driver.feed(message(body));
    return said(driver.take_output());
  }
  Driver driver;
  std::vector<Said> negotiated;
};

TEST_F(Milter, NegotiatesWhatBothKnow) {
  start();
  std::string_view data = negotiated[0].data;
  EXPECT_EQ(milter::take_number(data), 6u);
  EXPECT_EQ(milter::take_number(data), 0x139u);
  EXPECT_EQ(milter::take_number(data), 0x1ff780u);
  // The macros that we ask for, by stage.
  EXPECT_EQ(milter::take_number(data), 0u);
  EXPECT_EQ(milter::take_text(data), "j {daemon_name} {client_resolve}");
}

TEST_F(Milter, NegotiatesOldAndNewerVersions) {
  start(2, 0x3f, 0x7f);
  std::string_view data = negotiated[0].data;
  EXPECT_EQ(data, number(2) + number(0x39) + number(0));
  Driver newer;
  newer.feed(negotiation(9));
  std::vector<Said> answer = said(newer.output);
  data = answer.at(0).data;
  EXPECT_EQ(milter::take_number(data), 6u);
}

TEST_F(Milter, RefusesWhatIsNoNegotiation) {
  for (const std::string& bytes : {negotiation(1), frame('O', "abc"), frame('M', "<a@b>\0"s), frame('H', "x\0"s),
                                   "\0\0\0\0"s, "\xff\xff\xff\xff"s, "GET / HTTP/1.1\r\n\r\n"s, "EHLO x\r\n"s}) {
    Driver fresh;
    fresh.feed(bytes);
    EXPECT_TRUE(fresh.session.finished()) << bytes;
    EXPECT_EQ(fresh.output, "");
    EXPECT_EQ(fresh.context.milter.broken, 1u);
  }
}

TEST_F(Milter, ShowsTheScannerTheMessageAsItWas) {
  start();
  auto answer = send("line\r\n..dots\r\n");
  EXPECT_EQ(letters(answer), "iia");
  MailRequest request = driver.scanner.last();
  EXPECT_EQ(request.message, "From: Alice <alice@example.com>\r\nSubject: hello\r\n\tworld\r\n\r\nline\r\n..dots\r\n");
  EXPECT_EQ(request.client_ip, "192.0.2.7");
  EXPECT_EQ(request.client_name, "client.example");
  EXPECT_EQ(request.helo, "helo.example");
  EXPECT_EQ(request.sender, "alice@example.com");
  EXPECT_TRUE(request.has_sender);
  EXPECT_EQ(request.recipients, std::vector<std::string>{"bob@example.org"});
  EXPECT_EQ(request.queue_id, "4AB12C");
  EXPECT_EQ(request.received_by, "mx.example.org");
  EXPECT_EQ(request.direction, MailDirection::kIn);
}

TEST_F(Milter, AddsHeadersWithTheFirstOnTop) {
  start();
  auto answer = send("hello");
  // Each is put above the one before.
  EXPECT_EQ(answer[0], (Said{'i', number(0) + "X-Spam-Flag\0 NO\0"s}));
  EXPECT_EQ(answer[1], (Said{'i', number(0) + "Authentication-Results\0 mx.example.org;\n\tspf=none\0"s}));
}

TEST_F(Milter, KnowsOutboundMail) {
  start();
  driver.feed(frame('D', "M{auth_authen}\0carol\0{tls_version}\0TLSv1.3\0"s) + frame('M', "<c@example.org>\0"s) +
              frame('E'));
  EXPECT_EQ(driver.scanner.last().direction, MailDirection::kOut);
  EXPECT_EQ(driver.scanner.last().user, "carol");
  EXPECT_EQ(driver.scanner.last().tls_version, "TLSv1.3");
  // The next message on the connection is nobody's.
  driver.feed(frame('M', "<d@example.org>\0"s) + frame('E'));
  EXPECT_EQ(driver.scanner.last().direction, MailDirection::kIn);
  driver.feed(frame('D', "C{daemon_name}\0ORIGINATING\0"s) + connection() + frame('M', "<>\0"s) + frame('E'));
  EXPECT_EQ(driver.scanner.last().direction, MailDirection::kOut);
  EXPECT_TRUE(driver.scanner.last().has_sender);
  EXPECT_EQ(driver.scanner.last().sender, "");
}

TEST_F(Milter, AnswersEveryStepOfVersion2) {
  driver.feed(negotiation(2, 0x3f, 0x7f));
  EXPECT_EQ(letters(said(driver.take_output())), "O");
  driver.feed(connection() + frame('H', "h\0"s));
  EXPECT_EQ(letters(said(driver.take_output())), "cc");
  driver.feed(frame('M', "<a@b>\0"s) + frame('R', "<c@d>\0"s) + header("Subject", "x\n y") + frame('N') +
              frame('B', "1"));
  EXPECT_EQ(letters(said(driver.take_output())), "ccccc");
  driver.feed(frame('E', "2"));
  auto answer = said(driver.take_output());
  // Version 2 knows no inserting: headers come at the end, in order.
  EXPECT_EQ(letters(answer), "hha");
  EXPECT_EQ(answer[0], (Said{'h', "Authentication-Results\0mx.example;\n\tspf=none\0"s}));
  EXPECT_EQ(driver.scanner.last().message, "Subject: x\r\n y\r\n\r\n12");
}

TEST_F(Milter, RefusesWithCodeAndText) {
  start();
  EXPECT_EQ(send("tamis-test:reject"), (std::vector<Said>{{'y', "550 5.7.1 The message was refused as spam\0"s}}));
  driver.scanner.reply = "554 5.7.2 100% spam\r\n250 OK";
  EXPECT_EQ(send("tamis-test:reject"), (std::vector<Said>{{'y', "554 5.7.2 100%% spam 250 OK\0"s}}));
  // A code of the other class is not taken.
  driver.scanner.reply = "250 2.0.0 fine";
  EXPECT_EQ(send("tamis-test:reject")[0].data.substr(0, 9), "550 5.7.1");
  driver.scanner.reply = "come back in 5 minutes";
  EXPECT_EQ(send("tamis-test:greylist"), (std::vector<Said>{{'y', "451 4.7.1 come back in 5 minutes\0"s}}));
  EXPECT_EQ(send("tamis-test:defer"), (std::vector<Said>{{'y', "451 4.7.1 come back in 5 minutes\0"s}}));
}

TEST_F(Milter, PutsOffWhatTheScannerCannotJudge) {
  start();
  EXPECT_EQ(send("tamis-test:fail")[0].data.substr(0, 9), "451 4.3.0");
  EXPECT_EQ(send("tamis-test:busy")[0].data.substr(0, 9), "451 4.3.0");
  EXPECT_EQ(letters(send("hello")), "iia");
}

TEST_F(Milter, QuarantinesAndDiscards) {
  start();
  EXPECT_EQ(letters(send("tamis-test:quarantine")), "iiqa");
  EXPECT_EQ(send("tamis-test:discard"), (std::vector<Said>{{'d', ""}}));
  Driver without;
  without.feed(negotiation(6, 0x11));
  without.feed(message("tamis-test:quarantine"));
  // Where the mail server cannot hold mail it is marked.
  EXPECT_EQ(letters(said(without.take_output())), "Oiia");
}

TEST_F(Milter, RefusesForSomeRecipients) {
  start();
  driver.feed(message("tamis-test:refuse=bob@example.org", {"<bob@example.org>", "<eve@example.org>"}));
  auto answer = said(driver.take_output());
  EXPECT_EQ(letters(answer), "ii-a");
  EXPECT_EQ(answer[2], (Said{'-', "<bob@example.org>\0"s}));
  // For all: the sender is told.
  driver.feed(message("tamis-test:refuse=bob@example.org"));
  EXPECT_EQ(said(driver.take_output()).at(0).data.substr(0, 3), "550");
}

TEST_F(Milter, TakesOutHeadersThatTheSenderForged) {
  start();
  driver.feed(frame('M', "<a@b>\0"s) + header("X-Spam-Flag", " NO") +
              header("Authentication-Results", " mx.example.org; spf=pass") +
              header("Authentication-Results", " other.example; spf=pass") +
              header("authentication-results", "\n MX.Example.org; dkim=pass") + header("x-spam-flag", " NO") +
              frame('N') + frame('E'));
  auto answer = said(driver.take_output());
  EXPECT_EQ(letters(answer), "mmmmiia");
  // From the last to the first; those of other hosts stay.
  EXPECT_EQ(answer[0], (Said{'m', number(2) + "x-spam-flag\0\0"s}));
  EXPECT_EQ(answer[1], (Said{'m', number(3) + "authentication-results\0\0"s}));
  EXPECT_EQ(answer[2], (Said{'m', number(1) + "Authentication-Results\0\0"s}));
  EXPECT_EQ(answer[3], (Said{'m', number(1) + "X-Spam-Flag\0\0"s}));
}

TEST_F(Milter, ServesManyMessagesOnOneConnection) {
  start();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(letters(send("message " + std::to_string(i))), "iia");
    EXPECT_EQ(driver.scanner.last().client_ip, "192.0.2.7");
    driver.feed(frame('A'));
  }
  EXPECT_EQ(driver.scanner.stats().scanned, 50u);
  // A new connection of SMTP without a new one of ours.
  driver.feed(frame('K') + frame('C', "other\0"s + "L" + "/run/x\0"s) + message("hello"));
  EXPECT_EQ(letters(said(driver.take_output())), "iia");
  EXPECT_EQ(driver.scanner.last().client_ip, "");
  EXPECT_EQ(driver.scanner.last().received_by, "");
  driver.feed(frame('Q'));
  driver.feed_eof();
  EXPECT_TRUE(driver.session.finished());
}

TEST_F(Milter, ForgetsAnAbortedMessage) {
  start();
  driver.feed(frame('M', "<a@b>\0"s) + frame('R', "<c@d>\0"s) + header("Subject", " old") + frame('A') + frame('A'));
  driver.feed(frame('E'));
  EXPECT_EQ(letters(said(driver.take_output())), "c");  // no message, nothing to judge
  driver.feed(frame('M', "<e@f>\0"s) + header("Subject", " new") + frame('E'));
  EXPECT_EQ(driver.scanner.last().message, "Subject: new\r\n\r\n");
  EXPECT_EQ(driver.scanner.last().recipients.size(), 0u);
}

TEST_F(Milter, TakesOddOrders) {
  start();
  // MAIL twice, a body without a header, a header after the body, an end without MAIL.
  driver.feed(frame('M', "<a@b>\0"s) + frame('M', "<c@d>\0"s) + frame('B', "x") + header("Late", " y") + frame('E'));
  EXPECT_EQ(driver.scanner.last().sender, "c@d");
  EXPECT_EQ(driver.scanner.last().message, "\r\nx");
  driver.feed(header("Subject", " s") + frame('E'));
  EXPECT_FALSE(driver.scanner.last().has_sender);
  driver.feed(negotiation());
  driver.take_output();
  EXPECT_EQ(letters(send("hello")), "iia");
  EXPECT_EQ(driver.scanner.last().client_ip, "");  // the negotiation began everything anew
}

TEST_F(Milter, ClosesOnBrokenFrames) {
  for (const std::string& bytes : {frame('M', "<a@b>"), frame('R', ""), frame('L', "Name\0value"s), frame('D', ""),
                                   frame('D', "Mname\0"s), frame('C', "x\0"s + "4" + "\x01"s), frame('C', "x\0"s + "9"),
                                   frame('z', "?"), "\0\0\0\0"s, "\x7f\xff\xff\xff"s}) {
    Driver fresh;
    fresh.feed(negotiation());
    fresh.take_output();
    fresh.feed(bytes);
    EXPECT_TRUE(fresh.session.finished()) << bytes;
    EXPECT_EQ(fresh.scanner.stats().scanned, 0u);
  }
}

TEST_F(Milter, AnswersLateOnlyOnce) {
  start();
  EXPECT_TRUE(send("tamis-test:never").empty());
  EXPECT_FALSE(driver.session.wants_read());
  EXPECT_FALSE(driver.advance(59'000));
  EXPECT_TRUE(driver.advance(2'000));
  EXPECT_EQ(said(driver.take_output()).at(0).data.substr(0, 9), "451 4.3.2");
  EXPECT_EQ(driver.scanner.release(), 1u);
  driver.settle();
  EXPECT_EQ(driver.output, "");
  EXPECT_EQ(letters(send("hello")), "iia");
  // An answer in time.
  send("tamis-test:never");
  driver.scanner.release();
  driver.settle();
  EXPECT_EQ(letters(said(driver.take_output())), "iia");
  EXPECT_EQ(driver.context.budget.used(), 0u);
}

TEST_F(Milter, AnswersNobodyWhoHasGone) {
  start();
  send("tamis-test:never");
  driver.session.close();
  driver.open();
  driver.scanner.release();
  driver.settle();
  EXPECT_EQ(driver.output, "");
  EXPECT_EQ(driver.context.budget.used(), 0u);
}

TEST_F(Milter, WaitsLongBetweenCommandsButNotWithinOne) {
  start();
  EXPECT_FALSE(driver.advance(70'000));
  driver.feed(frame('M', "<a@b>\0"s).substr(0, 3));
  EXPECT_FALSE(driver.advance(29'000));
  EXPECT_TRUE(driver.advance(2'000));
  EXPECT_TRUE(driver.session.finished());
}

TEST(MilterLimits, PassesSkipsOrRefusesLargeMessages) {
  for (auto [oversize, answer] : {std::pair(MailOversize::kAccept, "a"), std::pair(MailOversize::kTempfail, "y452"),
                                  std::pair(MailOversize::kReject, "y552")}) {
    MailDoorOptions options;
    options.oversize = oversize;
    Driver driver(options, 1'000);
    driver.feed(negotiation(6, 0x1ff, 0x400));  // every step is answered, and SKIP is known
    driver.take_output();
    driver.feed(frame('M', "<a@b>\0"s) + frame('N') + frame('B', std::string(600, 'x')));
    EXPECT_EQ(letters(said(driver.take_output())), "ccc");
    driver.feed(frame('B', std::string(600, 'x')));
    EXPECT_EQ(letters(said(driver.take_output())), "s");
    EXPECT_EQ(driver.context.budget.used(), 0u);
    driver.feed(frame('E'));
    auto last = said(driver.take_output()).at(0);
    EXPECT_EQ(last.letter + last.data.substr(0, 3), answer);
    EXPECT_EQ(driver.scanner.stats().scanned, 0u);
    driver.feed(frame('M', "<a@b>\0"s) + frame('E', "small"));
    EXPECT_EQ(driver.scanner.stats().scanned, 1u);
  }
}

TEST(MilterLimits, PutsOffWhatDoesNotFitIntoMemory) {
  MailDoorOptions options;
  options.memory_bytes_max = 128 * 1024;
  Driver driver(options);
  driver.feed(negotiation() + frame('M', "<a@b>\0"s));
  for (int i = 0; i < 5; ++i) driver.feed(frame('B', std::string(50'000, 'x')));
  EXPECT_EQ(driver.context.budget.used(), 0u);
  driver.take_output();
  driver.feed(frame('E'));
  EXPECT_EQ(said(driver.take_output()).at(0).data.substr(0, 9), "451 4.3.2");
}

TEST(MilterLimits, CountsRecipientsAndHeaders) {
  MailDoorOptions options;
  options.recipients_max = 10;
  Driver driver(options, 50'000);
  driver.feed(negotiation() + frame('M', "<a@b>\0"s));
  for (int i = 0; i < 10'000; ++i) driver.feed(frame('R', "<r" + std::to_string(i) + "@x>\0"s));
  driver.take_output();
  driver.feed(frame('E'));
  EXPECT_EQ(driver.scanner.last().recipients.size(), 10u);
  driver.take_output();
  driver.feed(frame('M', "<a@b>\0"s));
  for (int i = 0; i < 100'000; ++i) driver.feed(header("X", " y"));
  driver.feed(frame('E'));
  EXPECT_EQ(letters(said(driver.take_output())), "a");
  EXPECT_EQ(driver.context.milter.oversized, 1u);
}

// However the bytes are cut, the scanner sees the same and the mail server is told the same.
TEST(MilterProperty, PiecesDoNotMatter) {
  EXPECT_TRUE(rc::check([] {
    std::string bytes = negotiation() + connection();
    int count = *rc::gen::inRange(1, 4);
    for (int i = 0; i < count; ++i)
      bytes +=
          message(*rc::gen::element("hello"s, "tamis-test:reject"s, "tamis-test:quarantine"s, std::string(3'000, 'z')));
    Driver whole, pieces;
    whole.feed(bytes);
    std::string_view rest = bytes;
    while (!rest.empty()) {
      size_t n = std::min<size_t>(rest.size(), *rc::gen::inRange<size_t>(1, 200));
      pieces.feed(rest.substr(0, n));
      rest.remove_prefix(n);
    }
    RC_ASSERT(whole.output == pieces.output);
    RC_ASSERT(whole.scanner.requests.size() == pieces.scanner.requests.size());
    for (size_t i = 0; i < whole.scanner.requests.size(); ++i)
      RC_ASSERT(whole.scanner.requests[i].message == pieces.scanner.requests[i].message);
  }));
}

}  // namespace
}  // namespace tamis::door
