#include "learn/mail_filter.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "event/json_event.h"

namespace tamis::learn {
namespace {

constexpr std::string_view kMessage =
    "Received: from mail.far.example (mail.far.example [203.0.113.9]) by mx.our.example; Mon, 2 Nov 2026 10:00:05 "
    "+0000\r\n"
    "From: \"Ada Boss\" <ada@exarnple.com>\r\nTo: Bert <bert@our.example>\r\nReply-To: x@free.example\r\n"
    "Subject: secretsubject invoice\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@exarnple.com>\r\n"
    "In-Reply-To: <own@our.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nsecretword number one two three four five six\r\n"
    "http://login.evil.example/secretpath?secretquery=1\r\n"
    "--b\r\nContent-Type: application/octet-stream; name=\"secretname.exe\"\r\nContent-Transfer-Encoding: "
    "base64\r\n\r\n"
    "TVqQAAMAAAAEAAAA\r\n--b--\r\n";

std::string event_of(MailFilter& filter, std::string_view text, const MailEnvelope& envelope = {},
                     const mail::MailAuthResults& found = {}) {
  filter.read(text);
  MailEvent in;
  in.id = "m1";
  in.envelope = &envelope;
  std::string json;
  filter.begin_event(in, json);
  MailFilter::end_event(found, json);
  return json;
}

event::Value parse(const std::string& json, base::Arena& arena) {
  auto value = event::JsonReader::to_value(json, arena);
  EXPECT_TRUE(value) << value.error().message << "\n" << json;
  return value ? *value : event::Value::absent();
}

std::string field(event::Value object, std::string_view name) {
  const event::Value* found = event::map_find(*object.map, event::Value::string(name));
  return found == nullptr ? "(none)" : found->is(event::Kind::kString) ? std::string(found->str()) : "(other)";
}

TEST(MailFilter, AnEventHasFactsAndNoContent) {
  MailFilter filter;
  MailEnvelope envelope;
  envelope.client_ip = "203.0.113.9";
  envelope.sender = "Bounce@Far.Example";
  envelope.has_sender = true;
  envelope.recipients = {"Bert@our.example", "carl@our.example"};
  const std::string json = event_of(filter, kMessage, envelope);
  base::Arena arena;
  const event::Value object = parse(json, arena);
  EXPECT_EQ(json.find("secret"), std::string::npos) << json;
  EXPECT_EQ(field(object, "from"), "ada@exarnple.com");
  EXPECT_EQ(field(object, "sender"), "bounce@far.example");
  EXPECT_EQ(field(object, "recipient"), "bert@our.example");
  EXPECT_EQ(field(object, "us"), "bert@our.example");
  EXPECT_EQ(field(object, "them"), "ada@exarnple.com");
  EXPECT_EQ(field(object, "received_ip"), "203.0.113.9");
  EXPECT_EQ(field(object, "direction"), "in");
  EXPECT_EQ(field(object, "spf"), "none");
  for (const char* part : {"\"example.com\"", "\"recipients\":2", "\"evil.example\"", "\"dangerous_attachments\":1",
                           "\"reply_to_differs\":true", "\"attachment_extensions\":[\"exe\"]"}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << "\n" << json;
  }
}

TEST(MailFilter, AnAnswerHasTheThreadOfWhatWasSent) {
  MailFilter filter;
  base::Arena arena;
  MailEnvelope out;
  out.outgoing = true;
  const std::string sent = event_of(filter, "From: b@our.example\nMessage-ID: <own@our.example>\n\nhi\n", out);
  const std::string answer = event_of(filter, kMessage);
  EXPECT_EQ(field(parse(sent, arena), "thread"), field(parse(answer, arena), "thread"));
  EXPECT_NE(field(parse(sent, arena), "thread"), "(none)");
}

TEST(MailFilter, TheTextKeySurvivesTransport) {
  MailFilter filter;
  filter.read(kMessage);
  const uint64_t key = filter.text_key();
  std::string unix_ends(kMessage);
  unix_ends.erase(std::remove(unix_ends.begin(), unix_ends.end(), '\r'), unix_ends.end());
  filter.read(unix_ends);
  EXPECT_EQ(filter.text_key(), key);
  const std::string delivered =
      "Return-Path: <x@y.example>\r\nX-Spam-Status: No\r\nReceived: by here\r\n" + std::string(kMessage);
  filter.read(delivered);
  EXPECT_EQ(filter.text_key(), key);
  std::string other(kMessage);
  other.replace(other.find("number one"), 10, "number two");
  filter.read(other);
  EXPECT_NE(filter.text_key(), key);
  EXPECT_NE(filter.text_key(), 0u);
}

TEST(MailFilter, LineEndsOfADoorMakeNoDifference) {
  std::string plain(kMessage);
  std::erase(plain, '\r');
  MailFilter with_cr, without;
  const std::string json = event_of(with_cr, kMessage);
  EXPECT_EQ(json, event_of(without, plain));
  const auto features = with_cr.features();
  EXPECT_TRUE(std::equal(features.begin(), features.end(), without.features().begin(), without.features().end()));
  EXPECT_EQ(with_cr.text_key(), without.text_key());
  // What mixes both is a sign, and so is a CR alone.
  with_cr.read(std::string(kMessage) + "\n");
  EXPECT_TRUE(with_cr.analysis().message.anomalies.has(mail::Anomaly::kMixedLineEnds));
  with_cr.read("A: 1\r\nB: \r2\r\n\r\nx\r\n");
  EXPECT_TRUE(with_cr.analysis().message.anomalies.has(mail::Anomaly::kBareCr));
  for (const std::string_view odd : {"", "\n", "\r\n", "\r", "\r\n\n", "\r\r\n"}) (void)event_of(with_cr, odd);
}

TEST(MailFilter, AnyBytesGiveAnEvent) {
  MailFilter filter;
  EXPECT_TRUE(rc::check("an event is JSON whatever the message and its envelope", [&] {
    std::string text =
        *rc::gen::element<std::string>("", "From: ", "From: \"", "Subject: x\nFrom: <", "Content-Type: ");
    text += *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    const auto helo = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    MailEnvelope envelope;
    envelope.helo = helo;
    envelope.sender = helo;
    envelope.has_sender = true;
    envelope.recipients = {helo};
    base::Arena arena;
    RC_ASSERT(parse(event_of(filter, text, envelope), arena).is(event::Kind::kMap));
    RC_ASSERT(model::is_feature_set(filter.features()));
  }));
}

}  // namespace
}  // namespace tamis::learn
