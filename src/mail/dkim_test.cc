#include "mail/dkim.h"
#include "mail/arc.h"

#include <gtest/gtest.h>

namespace tamis::mail {
namespace {

// Signed once with an independent implementation, and its key.
constexpr char kKey[] =
    "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA7CIQK7fg+rgBVDMu4d/XgWuiK+Hw"
    "vGGJ+GaShq1Zwryy18P/+14tJAgo+8dehURFN8UP2oMoLqqm/8e1Qur6Yt2F3fkqqKJ/XPRLiepoefuWE8mGJpPOLi"
    "I2ctLWYbEcoczGdqjOt0gs/e/rK88CLbx8b7Xx9zz82GIWbrd4xJrDtGelssbw+kjyh0h8qv0dxSDGdEUVXcBEfO2n"
    "cLjczQXL38mybOHaarWXE2E1Frd0v2PjrlT84ChY2rkJrYcTfDXbaMHWXVirQQ9GRddl1d09EcVAdNTT6D2TWP1NsU"
    "7+EZztKPMFIUoVKKlUFhq9YR1T6/WaU7stFLYCtpZU1QIDAQAB";
constexpr char kRelaxedRelaxed[] =
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;\r\n"
    " i=@example.org; q=dns/txt; s=s1; t=1795303082; h=from : to : subject :\r\n"
    " date; bh=V29x6fk2Gl5tlSLO13NKWWVU77dUgJ0rV91p94NjmSA=;\r\n"
    " b=v3rk49MItI2zptMjlgfDj90sq460mrszq/TKRfCwDLCZl2qA7FYeMwSMBhojlpOD/9OOO\r\n"
    " uSeanPxNDUiQDzAKOxgE3OBH/Sn+SJYYBKQBKzoycUm6Pe0LNIWXxDuvf/JsNpwhzbLQcIZ\r\n"
    " wTJIvgLMCtAYi3EIR/eGQMtH+LBsoCjj8489rIOL2XFUpI/qds7bYqcqvwvcqUoHhZ+nv4A\r\n"
    " 8HUfyQa00tQJ8ufNeaI0SeArGij+f5GRUFgQuLjwQIdlQ6+tKC8nXCL3IxrLnVmXdWYNE73\r\n"
    " kaV/YZ7R1eNijALg2DxR9EOZIvo8zNf5GI+t1azIfSvhNKJh5vBzRg9FgX4Q==\r\n"
    "From: Ann <ann@example.org>\r\n"
    "To:  bob@example.com\r\n"
    "Subject: A   test\r\n"
    "\tfolded\r\n"
    "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
    "\r\n"
    "Hello  there \r\n"
    "\r\n"
    "last line\t\r\n"
    "\r\n"
    "\r\n";
constexpr char kSimpleSimple[] =
    "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=example.org;\r\n"
    " i=@example.org; q=dns/txt; s=s1; t=1795303082; h=from : to : subject :\r\n"
    " date; bh=74O7KfMhSaoEIWV+0UO4HCBtrCyDrFLifP2CwuLO8Fo=;\r\n"
    " b=PXt2LN2fnKhRhD1s4xLm6mv2Ajk8bp2ljxdQTAgrBVqKZaxSoMz9SHD5FomJbcEl3KUbR\r\n"
    " VOc/V2vVTz7k0lMf3wLj93QaaJdjHRvIqPvpYyMvjhCOkbdLe03JcqOQKIKGEAQLSDubBRO\r\n"
    " Y2NUeDJLxr+Ww2sS3by9nDh+aZ3+Et6QkRi1JE6SusQQMfrr/bjCkZ67wqo1icxeWFdTsES\r\n"
    " /YJZJL9JO6IcR9Wrti+WldncGKHS7PUsRW8OyqOo3LCZz1FMovazAXcOxJ4VTX85nzgKWU4\r\n"
    " PYHpeytrXmUbsrmgfPgVOgT9OvPZRGhIv+EH1saQ+QOyEinBpWnMvJbnyUEA==\r\n"
    "From: Ann <ann@example.org>\r\n"
    "To:  bob@example.com\r\n"
    "Subject: A   test\r\n"
    "\tfolded\r\n"
    "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
    "\r\n"
    "Hello  there \r\n"
    "\r\n"
    "last line\t\r\n"
    "\r\n"
    "\r\n";
constexpr char kRelaxedSimple[] =
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.org;\r\n"
    " i=@example.org; q=dns/txt; s=s1; t=1795303082; h=from : to : subject :\r\n"
    " date; bh=74O7KfMhSaoEIWV+0UO4HCBtrCyDrFLifP2CwuLO8Fo=;\r\n"
    " b=6gGo9sXnaF+SUAvSUb5wu0c5VwWtZeStREa1TiTPTSKGifox45PIntEl0NOuxZ1nsDtYD\r\n"
    " n3mfMTtI0hDDoAbaw3RySN7Dso1BdD0gispj9e+r4yq8CiClOB/ujerHoFnYFB+TaRtQY7U\r\n"
    " /UPqPB1MFuU5Gh8n0ZvszZeyk8Aq48e8DhfNXIhwglgXY15t9Qidf+aJ0lV1Jgm6zAA0QIK\r\n"
    " K4rnwQ0A5lTh6QRH+IAxGd2C/OwiqpWdoena9kO8j3ZU5b8rIQGTBuhqJ9t13ydNEq+pdUH\r\n"
    " vxJ2qg5FQAJSP1rx31mDg8iAyGs3c1HEisw7NkwIxJnue96d6htl3qTEUtUw==\r\n"
    "From: Ann <ann@example.org>\r\n"
    "To:  bob@example.com\r\n"
    "Subject: A   test\r\n"
    "\tfolded\r\n"
    "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
    "\r\n"
    "Hello  there \r\n"
    "\r\n"
    "last line\t\r\n"
    "\r\n"
    "\r\n";
constexpr char kArc[] =
    "ARC-Seal: i=2; cv=pass; a=rsa-sha256; d=example.org; s=s1; t=1795303082;\r\n"
    " b=TQqCe082BYvha3MLoKI2z5pwnvcETltjeyyYDpU2MQ2Fj4H+3dN4HduTNwT5+hv8hIuNH\r\n"
    " FJKAs4ntY4Uo6iLUyJ65ohXzBO8Ixi+mlPbYcGHNGksCoYvg0dCTpNqkgWBvSUnHtSa9ivq\r\n"
    " yh/VWjRAyRgNI3rQATnmbZ6Wjh/pVrDkt2KVByeqouE+fx/5rs4UQNbNq+XjJUnc0+yhwGG\r\n"
    " Bn+gVlXZ0+f2hOixjd0T1Z6Xgy9tADoYwvyyBqdNlVCd9L1JvTDRHsG3W8/NfCw2tDp1YzO\r\n"
    " hTtOkd99TtwP0SBsbLScXQgeKnXg9aAiRNE7ULkYkODsSzEURAKoCOLH0P+g==\r\n"
    "ARC-Message-Signature: i=2; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    " d=example.org; s=s1; t=1795303082; h=from : to : subject : date;\r\n"
    " bh=V29x6fk2Gl5tlSLO13NKWWVU77dUgJ0rV91p94NjmSA=;\r\n"
    " b=vzknIsqQcxtffVLauIS5mM2mMufIEZq5fpHc1oo98tCzk0k6c/pi46M9n4DLK+zBlfp8z\r\n"
    " Mvh6IeyML2jvn6JEIABPZbI4Zj53j93HMSpNsIXfswp6gafJqW29z79uTkEgjMH/mNUiNdn\r\n"
    " cKbZeYyvERZ1FoUg6db7sOcKh4xVnPhuJW4ULzpoTzDAoHNuemJxoa+iVRLw10pvW2LqqIq\r\n"
    " 9BMNDR7sbPbo4XSKw6ncjj3HRR8RMi/KUbpitRVSVyDfokfTJhZLQIw5/idyGm4NbVxuAb8\r\n"
    " +dIiNN01enBr8zttEv0e/VgE33UopAynTWTJpV3oGl2TYufHq3VpWNw3mEDA==\r\n"
    "ARC-Authentication-Results: i=2; mx.example.org; arc=pass;\r\n"
    "  spf=pass smtp.mailfrom=ann@example.org;\r\n"
    "  spf=pass smtp.mailfrom=ann@example.org\r\n"
    "Authentication-Results: mx.example.org; arc=pass; spf=pass smtp.mailfrom=ann@example.org\r\n"
    "ARC-Seal: i=1; cv=none; a=rsa-sha256; d=example.org; s=s1; t=1795303082;\r\n"
    " b=5AfFeNDkX2T0DWPm2mvN9nYRGlUcxm8ziLGKgrlR4AjbsZ5xf8viW1a7jF99rY7xejfTt\r\n"
    " BLEQg9puG+v0PmG2jG29PvhKk5foT1SmaxhJUclsQtxC5GD3uxR8o+jPb8iXZQDvo4Eku9i\r\n"
    " mAxPwP1gl5ja72in+0Ef0UxQhcWtyyeBvanOImxJ+80LEGALZxn5x23IU6TNRGxbzbjM202\r\n"
    " u43uV384Vc9AhpN6vrT8k2oYx0SlO/iAy8jWJEWrlXF0TZzL/RileEhQFJgZDKdBCiHJejt\r\n"
    " cHOKjJQV413vDCqrhcaDSS0y4XWaIrtPDmbcNtcAla7AOenqRNOPff5MEWnw==\r\n"
    "ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    " d=example.org; s=s1; t=1795303082; h=from : to : subject : date;\r\n"
    " bh=V29x6fk2Gl5tlSLO13NKWWVU77dUgJ0rV91p94NjmSA=;\r\n"
    " b=UBzIJVOyDIqjBEI2JmY9IGSlhHftanRUbXNLcFPtzRq66YkovQSPZxKYZPc3x5jJQICsK\r\n"
    " VocRfvbFjVOGTGB1O0kczxz2eaKUoIOZlP8+1/OpwQA8HqgnEVXtNPRltuTooh3Y2LYXQzz\r\n"
    " OCIubVmiYh0x4SUXbi1TwwqIchRMYoFTbWFvKjubcOV2qR3dIYq15tpgvblfWaZJRfGyctS\r\n"
    " CAvXaVZYbsz5u0peLMEwx2kbpqnUJcsHU5u/Fwi+rqVKykd5+yxRnOJgjFG01HgWSvNsJq8\r\n"
    " r+livy2dBkXAIUZLfdO0NFwgXn10SC8vdAulMENMqI+9Y37Nup6F2S5greUw==\r\n"
    "ARC-Authentication-Results: i=1; mx.example.org; spf=pass smtp.mailfrom=ann@example.org\r\n"
    "Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=ann@example.org\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;\r\n"
    " i=@example.org; q=dns/txt; s=s1; t=1795303082; h=from : to : subject :\r\n"
    " date; bh=V29x6fk2Gl5tlSLO13NKWWVU77dUgJ0rV91p94NjmSA=;\r\n"
    " b=v3rk49MItI2zptMjlgfDj90sq460mrszq/TKRfCwDLCZl2qA7FYeMwSMBhojlpOD/9OOO\r\n"
    " uSeanPxNDUiQDzAKOxgE3OBH/Sn+SJYYBKQBKzoycUm6Pe0LNIWXxDuvf/JsNpwhzbLQcIZ\r\n"
    " wTJIvgLMCtAYi3EIR/eGQMtH+LBsoCjj8489rIOL2XFUpI/qds7bYqcqvwvcqUoHhZ+nv4A\r\n"
    " 8HUfyQa00tQJ8ufNeaI0SeArGij+f5GRUFgQuLjwQIdlQ6+tKC8nXCL3IxrLnVmXdWYNE73\r\n"
    " kaV/YZ7R1eNijALg2DxR9EOZIvo8zNf5GI+t1azIfSvhNKJh5vBzRg9FgX4Q==\r\n"
    "From: Ann <ann@example.org>\r\n"
    "To:  bob@example.com\r\n"
    "Subject: A   test\r\n"
    "\tfolded\r\n"
    "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
    "\r\n"
    "Hello  there \r\n"
    "\r\n"
    "last line\t\r\n"
    "\r\n"
    "\r\n";

// RFC 8463 appendix A.
constexpr char kEd25519Key[] = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
constexpr char kEd25519[] =
    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    " d=football.example.com; i=@football.example.com;\r\n"
    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    " subject : date : message-id : from : subject : date;\r\n"
    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    " b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    " Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    "From: Joe SixPack <joe@football.example.com>\r\n"
    "To: Suzie Q <suzie@shopping.example.net>\r\n"
    "Subject: Is dinner ready?\r\n"
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    "\r\n"
    "Hi.\r\n"
    "\r\n"
    "We lost the game.  Are you hungry yet?\r\n"
    "\r\n"
    "Joe.\r\n";

DkimVerdict verify(const std::string& raw, std::string_view key, int64_t now_s = 0) {
  base::Arena arena;
  MessageReader reader;
  Message message;
  reader.read(raw, arena, message);
  const Header* header = message.find(HeaderId::kDkimSignature);
  if (header == nullptr) return {};
  return verify_dkim(message, parse_dkim_signature(*header, arena), key, now_s, arena);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(Dkim, SignaturesOfOthersVerify) {
  for (const char* raw : {kRelaxedRelaxed, kSimpleSimple, kRelaxedSimple}) {
    EXPECT_EQ(verify(raw, kKey).result, DkimResult::kPass) << verify(raw, kKey).reason;
  }
  EXPECT_EQ(verify(kEd25519, kEd25519Key).result, DkimResult::kPass) << verify(kEd25519, kEd25519Key).reason;
  base::Arena arena;
  Message message;
  MessageReader reader;
  reader.read(kEd25519, arena, message);
  EXPECT_EQ(dkim_key_name(parse_dkim_signature(*message.find(HeaderId::kDkimSignature), arena)),
            "brisbane._domainkey.football.example.com");
}

TEST(Dkim, WhatRelaxedAllowsAndForbids) {
  EXPECT_EQ(verify(replaced(kRelaxedRelaxed, "Subject: A   test", "SUBJECT:  A test"), kKey).result, DkimResult::kPass);
  EXPECT_EQ(verify(replaced(kRelaxedRelaxed, "Hello  there ", "Hello there"), kKey).result, DkimResult::kPass);
  EXPECT_EQ(verify(replaced(kSimpleSimple, "Hello  there ", "Hello there"), kKey).reason, "body hash differs");
  EXPECT_EQ(verify(replaced(kRelaxedRelaxed, "last", "lost"), kKey).reason, "body hash differs");
  EXPECT_EQ(verify(replaced(kRelaxedRelaxed, "<ann@", "<eve@"), kKey).result, DkimResult::kFail);
}

TEST(Dkim, KeysAndForms) {
  const std::string key = kKey;
  EXPECT_EQ(verify(kRelaxedRelaxed, "v=DKIM1; p=").reason, "the key was revoked");
  EXPECT_EQ(verify(kRelaxedRelaxed, "").reason, "the key record is malformed");
  EXPECT_EQ(verify(kRelaxedRelaxed, kEd25519Key).reason, "the key is of another kind");
  EXPECT_EQ(verify(kRelaxedRelaxed, key + "; h=sha1").reason, "the key does not allow this hash");
  EXPECT_EQ(verify(kRelaxedRelaxed, key + "; s=other").reason, "the key is not for mail");
  EXPECT_TRUE(verify(kRelaxedRelaxed, key + "; t=y").testing);
  EXPECT_EQ(verify(kRelaxedRelaxed, "v=DKIM1; p=AAAA").reason, "the key cannot be read");
  EXPECT_EQ(verify(replaced(kRelaxedRelaxed, "v=1", "v=2"), key).result, DkimResult::kPermError);
  EXPECT_EQ(verify(replaced(kRelaxedRelaxed, "h=from", "h=form"), key).reason, "From is not signed");
  EXPECT_EQ(verify(replaced(kRelaxedRelaxed, "i=@example.org", "i=@evil.example"), key).reason, "i= is outside of d=");
  EXPECT_EQ(verify(replaced(kEd25519, "t=1528637909", "t=1528637909; x=1528637910"), kEd25519Key, 1528637911).reason,
            "it has expired");
  EXPECT_EQ(verify("From: a@example.com\r\n\r\nx", kKey).result, DkimResult::kNone);
}

TEST(Dkim, CanonicalBodies) {
  const auto body = [](std::string_view text, bool relaxed) {
    std::string out;
    canonicalise_body(text, relaxed, out);
    return out;
  };
  EXPECT_EQ(body("", false), "\r\n");
  EXPECT_EQ(body("", true), "");
  EXPECT_EQ(body("\r\n\r\n", true), "");
  EXPECT_EQ(body(" C \r\nD \t E\r\n\r\n\r\n", true), " C\r\nD E\r\n");  // RFC 6376 section 3.4.5
  EXPECT_EQ(body(" C \r\nD \t E\r\n\r\n\r\n", false), " C \r\nD \t E\r\n");
  EXPECT_EQ(body("no line end", false), "no line end\r\n");
}

struct OneKey : ArcKeys {
  std::string key_of(const std::string& name) override { return name == "s1._domainkey.example.org" ? kKey : ""; }
};

ArcVerdict arc(const std::string& raw) {
  base::Arena arena;
  MessageReader reader;
  Message message;
  reader.read(raw, arena, message);
  OneKey keys;
  return verify_arc(message, keys, arena);
}

TEST(Arc, ChainOfTwo) {
  const ArcVerdict good = arc(kArc);
  EXPECT_EQ(good.result, ArcResult::kPass) << good.reason;
  EXPECT_EQ(good.sets, 2u);
  EXPECT_EQ(arc(replaced(kArc, "last line", "lost line")).result, ArcResult::kFail);
  EXPECT_EQ(arc(replaced(kArc, "cv=none", "cv=pass")).result, ArcResult::kFail);
  EXPECT_EQ(arc(replaced(kArc, "ARC-Seal:", "X-Seal:")).result, ArcResult::kFail);
  EXPECT_EQ(arc("From: a@example.com\r\n\r\nx").result, ArcResult::kNone);
}

}  // namespace
}  // namespace tamis::mail
