#include "door/mail_origin.h"

#include <gtest/gtest.h>

namespace tamis::door {
namespace {

MailOrigin origin_of(const std::string& received, MailRequest request = {}) {
  const std::string message = received + "From: a@b.example\n\nhello\n";
  mail::Analyser analyser;
  if (request.client_ip.empty()) request.client_ip = "10.0.0.1";
  request.client_name = "mx1.our.example";
  request.helo = "mx1.our.example";
  return find_origin(request, analyser.analyse(message).facts,
                     [](std::string_view ip) { return ip.starts_with("10.0.0.") || ip == "2001:db8::1"; });
}

const std::string kFromOutside =
    "Received: from mail.far.example (out.far.example [198.51.100.7])\n\tby mx1.our.example (Postfix) with ESMTPS id "
    "1;\n"
    "\tMon, 1 Jun 2026 10:00:00 +0000\n";

TEST(MailOrigin, is_who_spoke_to_the_first_own_relay) {
  MailOrigin origin = origin_of(kFromOutside + "Received: from [10.0.0.9] by mail.far.example with ESMTP id 2\n");
  EXPECT_EQ(origin.client_ip, "198.51.100.7");
  EXPECT_EQ(origin.client_name, "out.far.example");
  EXPECT_EQ(origin.helo, "mail.far.example");
  EXPECT_EQ(origin.relay, "10.0.0.1");
  // Through our own relays and a filter on one of them, as they stand there.
  const std::string own =
      "Received: from localhost (localhost [127.0.0.1]) by mx1.our.example with ESMTP id 3\n"
      "Received: from mx2.our.example (mx2.our.example [10.0.0.2]) by mx1.our.example with ESMTP id 4\n"
      "Received: from mx3.our.example ([IPv6:2001:db8::1]) by mx2.our.example with ESMTP id 5\n";
  EXPECT_EQ(origin_of(own + kFromOutside).client_ip, "198.51.100.7");
  // A client without a name of its own.
  origin = origin_of("Received: from x (unknown [203.0.113.5]) by mx1.our.example with ESMTP id 6\n" + kFromOutside);
  EXPECT_EQ(origin.client_ip, "203.0.113.5");
  EXPECT_EQ(origin.client_name, "");
}

TEST(MailOrigin, claims_of_strangers_are_not_followed) {
  MailRequest request;
  request.client_ip = "192.0.2.1";
  MailOrigin origin = origin_of(kFromOutside, request);
  EXPECT_EQ(origin.client_ip, "192.0.2.1");
  EXPECT_EQ(origin.relay, "");
  // A stranger writes lines of ours below what our relay wrote.
  origin = origin_of(
      "Received: from spam.example (spam.example [203.0.113.66]) by mx1.our.example with ESMTP id 1\n"
      "Received: from mx2.our.example (mx2.our.example [10.0.0.2]) by mx1.our.example with ESMTP id 2\n" +
      kFromOutside);
  EXPECT_EQ(origin.client_ip, "203.0.113.66");
}

TEST(MailOrigin, own_mail_stays_own) {
  const std::string home = "Received: from laptop (home.far.example [198.51.100.7]) by mx1.our.example with ";
  for (const char* with : {"ESMTPSA", "ESMTPA", "UTF8SMTPSA", "esmtpsa"}) {
    EXPECT_EQ(origin_of(home + with + " id 1\n").client_ip, "10.0.0.1") << with;
  }
  EXPECT_EQ(origin_of(home + "ESMTPS id 1\n").client_ip, "198.51.100.7");
  EXPECT_EQ(origin_of("").relay, "");
  EXPECT_EQ(origin_of("Received: by mx1.our.example (Postfix, from userid 0) id 7\n" + kFromOutside).relay, "");
  EXPECT_EQ(origin_of("Received: from a ([10.0.0.5]) by mx1.our.example with ESMTP id 7\n").relay, "");
  MailRequest request;
  request.user = "ann";
  EXPECT_EQ(origin_of(kFromOutside, request).relay, "");
  request = {};
  request.direction = MailDirection::kOut;
  EXPECT_EQ(origin_of(kFromOutside, request).relay, "");
}

}  // namespace
}  // namespace tamis::door
