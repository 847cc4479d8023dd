#include "state/list.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "base/hash.h"
#include "event/ip.h"
#include "state/hash_index.h"

namespace tamis::state {
namespace {

std::unique_ptr<List> make(ListKind kind, std::initializer_list<const char*> entries, uint64_t entries_max = 1000) {
  auto list = List::make("test", kind, entries_max);
  for (const char* entry : entries) EXPECT_TRUE(list->add({entry, kNeverExpires, {}}).has_value()) << entry;
  return list;
}

bool has(const List& list, const char* text, int64_t now_ms = 0) { return list.contains(Value::string(text), now_ms); }

TEST(List, StringsMatchExactly) {
  auto list = make(ListKind::kString, {"alpha", "Beta"});
  EXPECT_TRUE(has(*list, "alpha"));
  EXPECT_FALSE(has(*list, "Alpha"));
  EXPECT_FALSE(has(*list, "beta"));
  EXPECT_FALSE(list->contains(Value::integer(1), 0));
}

TEST(List, StringsMatchInAnyCaseWhereThatIsWanted) {
  auto list = List::make("names", ListKind::kString, 1000, true);
  ASSERT_TRUE(list->add({"PayPal", 500, {}}).has_value());
  ASSERT_TRUE(list->add({"\xc3\x84rger", kNeverExpires, {}}).has_value());
  for (const char* text : {"PayPal", "paypal", "PAYPAL"}) {
    EXPECT_TRUE(has(*list, text)) << text;
    EXPECT_FALSE(has(*list, text, 500)) << text;
    EXPECT_EQ(list->find(text)->value, "PayPal");
  }
  EXPECT_FALSE(has(*list, "paypa1"));
  EXPECT_TRUE(has(*list, "\xc3\x84RGER"));
  EXPECT_FALSE(has(*list, "\xc3\xa4rger"));  // ASCII alone
  EXPECT_FALSE(has(*list, std::string(5000, 'a').c_str()));
  EXPECT_FALSE(list->contains(Value::integer(1), 0));
  // Another spelling is the same entry.
  ASSERT_TRUE(list->add({"paypal", 900, {}}).has_value());
  EXPECT_EQ(list->size(), 2u);
  EXPECT_TRUE(has(*list, "PayPal", 500));
  EXPECT_TRUE(list->remove("PAYPAL"));
  EXPECT_FALSE(has(*list, "PayPal"));
  EXPECT_FALSE(list->remove("PAYPAL"));
}

TEST(List, IntegersMatchByNumber) {
  auto list = make(ListKind::kInt, {"7", "-3", "0042"});
  EXPECT_TRUE(list->contains(Value::integer(42), 0));
  EXPECT_TRUE(list->contains(Value::uinteger(7), 0));
  EXPECT_TRUE(list->contains(Value::integer(-3), 0));
  EXPECT_FALSE(list->contains(Value::uinteger(UINT64_MAX), 0));
  EXPECT_FALSE(list->add({"seven", kNeverExpires, {}}).has_value());
}

TEST(List, DomainsMatchWhatLiesBelow) {
  auto list = make(ListKind::kDomain, {"Example.COM.", "*.bad.test"});
  EXPECT_TRUE(has(*list, "example.com"));
  EXPECT_TRUE(has(*list, "a.b.EXAMPLE.com."));
  EXPECT_TRUE(has(*list, "x.bad.test"));
  EXPECT_FALSE(has(*list, "notexample.com"));
  EXPECT_FALSE(has(*list, "com"));
}

TEST(List, NetworksMatchByLongestPrefixThatIsLive) {
  auto list = List::make("net", ListKind::kNetwork);
  ASSERT_TRUE(list->add({"10.0.0.0/8", kNeverExpires, "wide"}).has_value());
  ASSERT_TRUE(list->add({"10.1.2.99/24", 1000, "narrow"}).has_value());
  ASSERT_TRUE(list->add({"2001:db8::/32", kNeverExpires, "six"}).has_value());
  ASSERT_TRUE(list->add({"192.0.2.7", kNeverExpires, "host"}).has_value());
  EXPECT_EQ(list->match(Value::string("10.1.2.3"), 0)->note, "narrow");
  EXPECT_EQ(list->match(Value::string("10.1.2.3"), 1000)->note, "wide");
  EXPECT_EQ(list->match(Value::string("2001:db8:1::1"), 0)->note, "six");
  EXPECT_EQ(list->match(Value::string("192.0.2.7"), 0)->value, "192.0.2.7/32");
  EXPECT_FALSE(has(*list, "192.0.2.8"));
  EXPECT_FALSE(has(*list, "not an address"));
  EXPECT_FALSE(list->add({"10.0.0.0/33", kNeverExpires, {}}).has_value());
}

TEST(List, RegexesMatchAnywhereAloneAndTogether) {
  auto list = make(ListKind::kRegex, {"^abc", "x+y"});
  EXPECT_TRUE(has(*list, "abcdef"));
  EXPECT_TRUE(has(*list, "..xxy.."));
  EXPECT_FALSE(has(*list, "zabc"));
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(list->add({"^n" + std::to_string(i) + "$", kNeverExpires, {}}).has_value());
  }
  EXPECT_TRUE(has(*list, "abcdef"));
  EXPECT_TRUE(has(*list, "n77"));
  EXPECT_FALSE(has(*list, "n777"));
  EXPECT_TRUE(list->remove("^n77$"));
  EXPECT_FALSE(has(*list, "n77"));
  base::Status bad = list->add({"(", kNeverExpires, {}});
  ASSERT_FALSE(bad.has_value());
  EXPECT_NE(bad.error().message.find("missing )"), std::string::npos) << bad.error().message;
}

TEST(List, EntriesExpireAndAreFreed) {
  auto list = List::make("test", ListKind::kString);
  ASSERT_TRUE(list->add({"a", 100, {}}).has_value());
  ASSERT_TRUE(list->add({"b", kNeverExpires, {}}).has_value());
  EXPECT_TRUE(has(*list, "a", 99));
  EXPECT_FALSE(has(*list, "a", 100));
  EXPECT_EQ(list->size(), 2u);
  list->advance(100);
  EXPECT_EQ(list->size(), 1u);
}

TEST(List, TheCapIsAnErrorAndAddingAgainIsNot) {
  auto list = make(ListKind::kString, {"a", "b"}, 2);
  EXPECT_EQ(list->add({"c", kNeverExpires, {}}).error().code, base::Code::kLimit);
  EXPECT_TRUE(list->add({"a", 5, {}}).has_value());
  EXPECT_FALSE(has(*list, "a", 6));
}

TEST(List, DigestDoesNotDependOnOrder) {
  auto one = make(ListKind::kString, {"a", "b", "c"});
  auto two = make(ListKind::kString, {"c", "x", "a", "b"});
  EXPECT_NE(one->digest(), two->digest());
  two->remove("x");
  EXPECT_EQ(one->digest(), two->digest());
}

TEST(ListFile, ReadsEntriesCommentsAndExpiries) {
  auto entries = read_list_text("f.txt", "# head\n a \n\nb#c # note\nd expires=2026-01-01T00:00:00Z\n");
  ASSERT_TRUE(entries.has_value());
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].value, "a");
  EXPECT_EQ((*entries)[1].value, "b#c");
  EXPECT_EQ((*entries)[2].value, "d");
  EXPECT_EQ((*entries)[2].expires_ms, 1767225600000);
}

TEST(ListFile, FilesOfOtherSystems) {
  auto entries = read_list_text("f.txt", "\xef\xbb\xbf# head\r\na\r\n\r\nb expires=2026-01-01T00:00:00Z\r\n");
  ASSERT_TRUE(entries.has_value());
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].value, "a");
  EXPECT_EQ((*entries)[1].value, "b");
}

TEST(ListFile, ErrorsNameFileAndLine) {
  auto entries = read_list_text("f.txt", "a\nb expires=tomorrow\n");
  ASSERT_FALSE(entries.has_value());
  EXPECT_EQ(entries.error().message.rfind("f.txt:2: ", 0), 0u) << entries.error().message;
}

RC_GTEST_PROP(HashIndex, AgreesWithAMap, (std::vector<std::pair<uint8_t, bool>> steps)) {
  HashIndex index;
  std::set<uint32_t> reference;
  auto hash = [](uint32_t n) { return uint64_t{n % 7} * 0x0100000000000003u + n % 3; };  // many collisions
  for (auto [n, add] : steps) {
    if (add && reference.insert(n).second) index.insert(hash(n), n);
    if (!add && reference.erase(n) > 0) index.erase(hash(n), n);
    for (uint32_t k = 0; k < 256; ++k) {
      uint32_t found = index.find(hash(k), [&](uint32_t number) { return number == k; });
      RC_ASSERT((found == k) == reference.contains(k));
    }
  }
}

// Entries with and without memory of their own, and places that are used again.
TEST(List, TextsOfAllLengthsAreKept) {
  auto list = List::make("test", ListKind::kString);
  auto text = [](size_t bytes) { return std::string(bytes, static_cast<char>('a' + bytes % 26)); };
  for (int round = 0; round < 2; ++round) {
    for (size_t bytes = 1; bytes < 120; ++bytes) {
      ASSERT_TRUE(list->add({text(bytes), kNeverExpires, {}}).has_value());
    }
    for (size_t bytes = 1; bytes < 120; ++bytes) {
      EXPECT_EQ(list->match(Value::string(text(bytes)), 0)->value, text(bytes));
    }
    for (size_t bytes = 1; bytes < 120; bytes += 1 + static_cast<size_t>(round)) {
      EXPECT_TRUE(list->remove(text(bytes)));
      EXPECT_FALSE(list->contains(Value::string(text(bytes)), 0));
    }
  }
  EXPECT_TRUE(list->contains(Value::string(text(118)), 0));
}

RC_GTEST_PROP(List, DomainsAgreeWithATestOfEachSuffix, (std::vector<std::string> entries, std::vector<char> bytes)) {
  auto small = [](std::string name) {
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return name;
  };
  // Letters of both sizes, their neighbours in the code, dots, and bytes above 127.
  std::string name;
  for (char byte : bytes) name += "@AZ[`az{.\x80\xc1\xda\xff"[static_cast<unsigned char>(byte) % 13];
  name = name.substr(0, 200) + "x";
  auto list = List::make("domains", ListKind::kDomain);
  std::set<std::string> kept;
  for (size_t at = 0; at < name.size(); at += 1 + entries.size() % 3) {
    if ((at > 0 && name[at - 1] != '.') || name[at] == '.') continue;
    if (list->add({name.substr(at), kNeverExpires, {}})) kept.insert(small(name.substr(at)));
  }
  for (std::string asked : {name, "www." + name, name + ".", "x" + name}) {
    bool expected = false;
    std::string plain = small(asked.back() == '.' ? asked.substr(0, asked.size() - 1) : asked);
    for (size_t at = 0; at < plain.size(); ++at) {
      if (at == 0 || plain[at - 1] == '.') expected = expected || kept.contains(plain.substr(at));
    }
    RC_ASSERT(list->contains(Value::string(asked), 0) == expected);
  }
}

// More networks in one /16 than are counted through.
TEST(List, ManyNetworksOfOneBucket) {
  auto list = List::make("net", ListKind::kNetwork);
  std::map<std::pair<uint32_t, int>, bool> reference;
  for (uint32_t i = 0; i < 400; ++i) {
    const uint64_t bits = base::mix64(i);
    const int length = 20 + static_cast<int>(bits >> 32 & 15) % 13;
    const uint32_t low = static_cast<uint32_t>(bits) & 0xffff & (~uint32_t{0} << (32 - length));
    reference[{low, length}] = true;
    const std::string text = "10.7." + std::to_string(low >> 8) + "." + std::to_string(low & 255);
    ASSERT_TRUE(list->add({text + "/" + std::to_string(length), kNeverExpires, {}}).has_value());
  }
  for (uint32_t low = 0; low < 65536; ++low) {
    int best = -1;
    for (int length = 32; length >= 20 && best < 0; --length) {
      if (reference.contains({low & (~uint32_t{0} << (32 - length)) & 0xffff, length})) best = length;
    }
    const std::string address = "10.7." + std::to_string(low >> 8) + "." + std::to_string(low & 255);
    auto found = list->match(Value::string(address), 0);
    ASSERT_EQ(found.has_value(), best >= 0) << address;
    if (found) {
      ASSERT_EQ(found->value.substr(found->value.find('/') + 1), std::to_string(best)) << address;
    }
  }
}

RC_GTEST_PROP(List, NetworksAgreeWithATestOfEachEntry,
              (std::vector<std::pair<uint32_t, uint8_t>> networks, std::vector<uint32_t> addresses)) {
  auto list = List::make("net", ListKind::kNetwork);
  std::vector<std::pair<uint32_t, int>> reference;
  auto text = [](uint32_t a) {
    a &= 0x0F0F03FFu;  // few bits, so that networks and addresses meet
    return std::to_string(a >> 24) + "." + std::to_string(a >> 16 & 255) + "." + std::to_string(a >> 8 & 255) + "." +
           std::to_string(a & 255);
  };
  for (auto [address, bits] : networks) {
    int length = bits % 33;
    RC_ASSERT(list->add({text(address) + "/" + std::to_string(length), kNeverExpires, {}}).has_value());
    reference.emplace_back(address & 0x0F0F03FFu, length);
  }
  for (uint32_t address : addresses) {
    uint32_t a = address & 0x0F0F03FFu;
    int best = -1;
    for (auto [network, length] : reference) {
      uint32_t mask = length == 0 ? 0 : ~uint32_t{0} << (32 - length);
      if ((a & mask) == (network & mask)) best = std::max(best, length);
    }
    auto found = list->match(Value::string(text(address)), 0);
    RC_ASSERT(found.has_value() == (best >= 0));
    if (found) RC_ASSERT(found->value.substr(found->value.find('/') + 1) == std::to_string(best));
  }
}

}  // namespace
}  // namespace tamis::state
