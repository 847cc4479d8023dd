#include "learn/look_alikes.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "event/domain.h"

namespace tamis::learn {
namespace {

bool looks_like(std::string_view host, std::string_view name) {
  const std::vector<std::string> found = look_alikes(host, event::registered_domain(host));
  return std::find(found.begin(), found.end(), name) != found.end();
}

TEST(LookAlikes, what_a_domain_looks_like) {
  const struct {
    const char *host, *name;
  } cases[] = {{"exarnple.com", "example.com"},     {"paypa1.com", "paypal.com"},
               {"paypai.com", "paypal.com"},        {"paypall.com", "paypal.com"},
               {"pay-pal.com", "paypal.com"},       {"paypal-secure.com", "paypal.com"},
               {"xn--pypal-4ve.com", "paypal.com"}, {"mail.paypa1.com", "paypal.com"}};
  for (const auto& c : cases) EXPECT_TRUE(looks_like(c.host, c.name)) << c.host;
}

TEST(LookAlikes, domains_that_stand_in_front_of_another) {
  const struct {
    const char *host, *name;
  } cases[] = {{"paypal.com.evil.example", "paypal.com"},         {"paypal-com.evil.example", "paypal.com"},
               {"login.paypal.com-verify.example", "paypal.com"}, {"paypal-com.example", "paypal.com"},
               {"secure-paypal-com.evil.example", "paypal.com"},  {"my-bank.com.evil.example", "my-bank.com"},
               {"my-bank-com.evil.example", "my-bank.com"},       {"amazon.co.uk.evil.example", "amazon.co.uk"},
               {"amazon-co-uk.evil.example", "amazon.co.uk"},     {"paypa1.com.evil.example", "paypal.com"},
               {"paypal.com.evil.co.uk", "paypal.com"},           {"www.paypal.com.login.evil.com", "paypal.com"}};
  for (const auto& c : cases) EXPECT_TRUE(looks_like(c.host, c.name)) << c.host;
}

TEST(LookAlikes, hosts_of_honest_people) {
  const struct {
    const char *host, *name;
  } cases[] = {{"paypal.com", "paypal.com"},
               {"mail.paypal.com", "paypal.com"},
               {"paypal.com.au", "paypal.com"},       // an ending of its own
               {"paypal.com.invalid", "paypal.com"},  // as lists write it
               {"paypal.example", "paypal.com"},
               {"paypal.evil.example", "paypal.com"},
               {"paypal.community.example", "paypal.com"},  // "com" is a label of its own, or nothing
               {"com.paypal.example", "paypal.com"},
               {"", "paypal.com"},
               {"com", "paypal.com"}};
  for (const auto& c : cases) EXPECT_FALSE(looks_like(c.host, c.name)) << c.host;
  for (const char* host : {"mail.example.com", "lists.debian.org", "a.b.c.example.org", "example.com"}) {
    EXPECT_TRUE(look_alikes(host, event::registered_domain(host)).size() <= 1) << host;
  }
}

TEST(LookAlikes, names_under_other_endings) {
  const auto has = [](std::string_view domain, std::string_view name) {
    const std::vector<std::string> found = under_home_endings(domain);
    return std::find(found.begin(), found.end(), name) != found.end();
  };
  EXPECT_TRUE(has("paypal.top", "paypal.com"));
  EXPECT_TRUE(has("paypa1.top", "paypal.com"));
  EXPECT_TRUE(has("sparkasse.xyz", "sparkasse.de"));
  for (const char* other : {"paypal.com", "paypal.de", "paypal.co.uk", "top", "", ".top", "paypal.evil.top"}) {
    EXPECT_TRUE(under_home_endings(other).empty()) << other;
  }
}

TEST(LookAlikes, any_host_gives_few_names_and_never_itself) {
  EXPECT_TRUE(rc::check("names are distinct, and none is the domain", [] {
    const auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
        ".", "-", "com", "co", "uk", "paypal", "1", "\xd0\xb0", "xn--", "rn", "ll", "\xff"));
    std::string host;
    for (const std::string& piece : pieces) host += piece;
    const std::string domain(event::registered_domain(host));
    std::vector<std::string> found = look_alikes(host, domain);
    RC_ASSERT(std::find(found.begin(), found.end(), domain) == found.end());
    std::sort(found.begin(), found.end());
    RC_ASSERT(std::adjacent_find(found.begin(), found.end()) == found.end());
    (void)under_home_endings(domain);
  }));
}

}  // namespace
}  // namespace tamis::learn
