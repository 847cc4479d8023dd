#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

TEST(LibNetwork, Parsing) {
  Lab lab;
  check_all(lab, {
                     {"ip", {S("2001:DB8::68")}, "ip(\"2001:db8::68\")"},
                     {"ip", {S("192.168.0.1.0")}, "!invalid"},
                     {"ip", {S("2001:db8:::68")}, "!invalid"},
                     {"ip", {S("fe80::1%en0")}, "!invalid"},
                     {"ip", {S("::ffff:192.168.0.1")}, "!invalid"},
                     {"ip", {S("::ffff:c0a8:1")}, "ip(\"192.168.0.1\")"},
                     {"isIP", {S("192.168.0.1")}, "true"},
                     {"isIP", {S("::ffff:192.168.0.1")}, "false"},
                     {"isIP", {S("")}, "false"},
                     {"isIP", {lab.cidr("192.168.0.0/24")}, "!no_overload"},
                     {"isCIDR", {S("10.0.0.1/8")}, "true"},
                     {"isCIDR", {S("10.0.0.1")}, "false"},
                     {"cidr", {S("10.0.0.1/8")}, "cidr(\"10.0.0.1/8\")"},
                     {"cidr", {S("::ffff:192.168.0.1/24")}, "!invalid"},
                     {"cidr", {S("10.0.0.1/33")}, "!invalid"},
                     {"ip.isCanonical", {S("127.0.0.1")}, "true"},
                     {"ip.isCanonical", {S("2001:DB8::68")}, "false"},
                     {"ip.isCanonical", {S("127.0.0.1.0")}, "!invalid"},
                     {"string", {lab.ip("2001:db8:0:0::68")}, "\"2001:db8::68\""},
                     {"string", {lab.cidr("2001:db8::/32")}, "\"2001:db8::/32\""},
                 });
  EXPECT_TRUE(event::equal(lab.ip("2001:db8::1"), lab.ip("2001:DB8::1")));
  EXPECT_TRUE(event::equal(lab.ip("::ffff:c0a8:1"), lab.ip("192.168.0.1")));
  EXPECT_FALSE(event::equal(lab.ip("::"), lab.ip("0.0.0.0")));
  EXPECT_FALSE(event::equal(lab.cidr("10.0.0.1/8"), lab.cidr("10.0.0.0/8")));
}

TEST(LibNetwork, KindsOfAddresses) {
  Lab lab;
  struct Row {
    const char* address;
    const char* is;  // u: unspecified, l: loopback, g: global unicast, m: link-local multicast, n: link-local unicast
  };
  for (const Row& row : std::initializer_list<Row>{
           {"0.0.0.0", "u"},     {"127.0.0.1", "l"},       {"127.255.0.9", "l"}, {"1.2.3.4", "g"},
           {"192.168.0.1", "g"}, {"255.255.255.255", ""},  {"224.0.0.1", "m"},   {"224.0.1.1", ""},
           {"239.1.1.1", ""},    {"169.254.169.254", "n"}, {"::", "u"},          {"::1", "l"},
           {"::2", "g"},         {"2001:db8::abcd", "g"},  {"fc00::1", "g"},     {"ff02::1", "m"},
           {"ff00::1", ""},      {"ff12::1", "m"},         {"fe80::1", "n"},     {"febf::1", "n"},
           {"fec0::1", "g"}}) {
    Value ip = lab.ip(row.address);
    std::string_view is = row.is;
    auto expect = [&](const char* function, char letter) {
      EXPECT_EQ(lab.run(function, {ip}), is.find(letter) != is.npos ? "true" : "false") << function << row.address;
    };
    expect("isUnspecified", 'u');
    expect("isLoopback", 'l');
    expect("isGlobalUnicast", 'g');
    expect("isLinkLocalMulticast", 'm');
    expect("isLinkLocalUnicast", 'n');
    EXPECT_EQ(lab.run("family", {ip}), std::string_view(row.address).find(':') == std::string_view::npos ? "4" : "6");
  }
}

TEST(LibNetwork, Networks) {
  Lab lab;
  Value net = lab.cidr("192.168.0.1/24");
  check_all(lab, {
                     {"containsIP", {net, lab.ip("192.168.0.77")}, "true"},
                     {"containsIP", {net, lab.ip("192.168.1.1")}, "false"},
                     {"containsIP", {net, S("192.168.0.2")}, "true"},
                     {"containsIP", {net, S("nonsense")}, "!invalid"},
                     {"containsIP", {lab.cidr("2001:db8::/32"), lab.ip("192.168.1.1")}, "false"},
                     {"containsIP", {lab.cidr("::/0"), lab.ip("192.168.1.1")}, "false"},
                     {"containsCIDR", {net, lab.cidr("192.168.0.0/25")}, "true"},
                     {"containsCIDR", {net, lab.cidr("192.168.0.0/23")}, "false"},
                     {"containsCIDR", {net, lab.cidr("192.168.0.0/24")}, "true"},
                     {"containsCIDR", {net, S("192.168.0.1/32")}, "true"},
                     {"containsCIDR", {net, S("192.168.0.1")}, "!invalid"},
                     {"ip", {net}, "ip(\"192.168.0.1\")"},
                     {"masked", {net}, "cidr(\"192.168.0.0/24\")"},
                     {"isMask", {net}, "false"},
                     {"isMask", {lab.cidr("192.168.0.0/24")}, "true"},
                     {"prefixLength", {net}, "24"},
                 });
  EXPECT_TRUE(event::equal(lab.call("ip", {net}), lab.ip("192.168.0.1")));
}

}  // namespace
}  // namespace tamis::cel::lib
