#include "mail/dmarc.h"

#include <gtest/gtest.h>

namespace tamis::mail {
namespace {

TEST(Dmarc, Records) {
  base::Arena arena;
  const auto read = [&](std::string_view text) { return parse_dmarc_record(text, arena); };
  EXPECT_FALSE(read("v=spf1 -all").valid);
  EXPECT_FALSE(read("p=reject; v=DMARC1").valid);
  EXPECT_FALSE(read("v=DMARC1; p=often").valid);
  EXPECT_FALSE(read("v=DMARC 1; p=reject").valid);
  EXPECT_TRUE(read("v=DMARC1; p=often; rua=mailto:a@example.com").valid);
  const DmarcRecord r = read("v=DMARC1; p=Reject ; sp=quarantine; adkim=s; pct=40");
  EXPECT_TRUE(r.valid);
  EXPECT_EQ(r.policy, DmarcPolicy::kReject);
  EXPECT_EQ(r.subdomain_policy, DmarcPolicy::kQuarantine);
  EXPECT_TRUE(r.strict_dkim);
  EXPECT_FALSE(r.strict_spf);
  EXPECT_EQ(r.percent, 40);
  EXPECT_EQ(read("v=DMARC1;p=none;pct=999").percent, 100);
  EXPECT_EQ(read("v=DMARC1;p=reject").subdomain_policy, DmarcPolicy::kReject);
}

TEST(Dmarc, NamesToAsk) {
  EXPECT_EQ(dmarc_names("a.b.example.co.uk"),
            (std::vector<std::string>{"_dmarc.a.b.example.co.uk", "_dmarc.example.co.uk"}));
  EXPECT_EQ(dmarc_names("example.com"), std::vector<std::string>{"_dmarc.example.com"});
  EXPECT_TRUE(dmarc_names("").empty());
}

TEST(Dmarc, Alignment) {
  EXPECT_TRUE(dmarc_aligned("mail.example.com", "example.com", false));
  EXPECT_FALSE(dmarc_aligned("mail.example.com", "example.com", true));
  EXPECT_TRUE(dmarc_aligned("example.com", "example.com", true));
  EXPECT_FALSE(dmarc_aligned("other.co.uk", "example.co.uk", false));
  EXPECT_FALSE(dmarc_aligned("co.uk", "example.co.uk", false));
  EXPECT_FALSE(dmarc_aligned("", "example.com", false));
}

TEST(Dmarc, Verdicts) {
  base::Arena arena;
  const DmarcRecord r = parse_dmarc_record("v=DMARC1; p=reject; sp=quarantine; aspf=s", arena);
  const std::string_view signers[] = {"other.example", "mail.example.com"};
  EXPECT_EQ(evaluate_dmarc(r, "example.com", false, signers, "").result, DmarcResult::kPass);
  const DmarcVerdict strict = evaluate_dmarc(r, "example.com", false, {}, "bounce.example.com");
  EXPECT_EQ(strict.result, DmarcResult::kFail);
  EXPECT_EQ(strict.policy, DmarcPolicy::kReject);
  EXPECT_EQ(evaluate_dmarc(r, "a.example.com", true, {}, "").policy, DmarcPolicy::kQuarantine);
  EXPECT_TRUE(evaluate_dmarc(r, "example.com", false, {}, "example.com").spf_aligned);
  EXPECT_EQ(evaluate_dmarc({}, "example.com", false, signers, "example.com").result, DmarcResult::kNone);
}

}  // namespace
}  // namespace tamis::mail
