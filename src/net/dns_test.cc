#include <gtest/gtest.h>

#include <rapidcheck.h>

#include "event/ip.h"
#include "net/dns_cache.h"
#include "net/dns_message.h"

namespace tamis::net {
namespace {

using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;

// Builds messages as a server would, and broken ones.
class Message {
 public:
  explicit Message(const std::string& name, int type, int code = 0) {
    put16(0x1234);
    put16(0x8180 | code);
    put16(1);
    put16(0);
    put16(0);
    put16(0);
    put_name(name);
    put16(type);
    put16(1);
  }
  Message& add(const std::string& owner, int type, uint32_t ttl, const std::string& data, bool authority = false) {
    ++bytes_[authority ? 9 : 7];
    put_name(owner);
    put16(type);
    put16(1);
    put16(static_cast<int>(ttl >> 16));
    put16(static_cast<int>(ttl & 0xffff));
    put16(static_cast<int>(data.size()));
    bytes_ += data;
    return *this;
  }
  Message& flags(int flags) {
    bytes_[2] = static_cast<char>(flags >> 8);
    bytes_[3] = static_cast<char>(flags);
    return *this;
  }
  static std::string name(const std::string& text) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t dot = std::min(text.find('.', at), text.size());
      out += static_cast<char>(dot - at);
      out += text.substr(at, dot - at);
      at = dot + 1;
    }
    return out + '\0';
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void put16(int value) {
    bytes_ += static_cast<char>(value >> 8);
    bytes_ += static_cast<char>(value);
  }
  void put_name(const std::string& text) { bytes_ += text == "^" ? std::string("\xc0\x0c") : name(text); }
  std::string bytes_;
};

std::string text_of(std::string_view text) { return static_cast<char>(text.size()) + std::string(text); }
std::string u16(int v) { return {static_cast<char>(v >> 8), static_cast<char>(v)}; }
std::string u32(uint32_t v) { return u16(static_cast<int>(v >> 16)) + u16(static_cast<int>(v & 0xffff)); }

TEST(DnsMessage, RecordsOfEachType) {
  const DnsAnswer a = read_dns_message(Message("Example.com", 1)
                                           .add("^", 1, 300, std::string("\xc0\x00\x02\x01", 4))
                                           .add("example.COM", 1, 60, std::string("\xc0\x00\x02\x02", 4))
                                           .bytes(),
                                       {DnsType::kA, "example.com"});
  ASSERT_EQ(a.status, DnsStatus::kOk) << a.reason;
  ASSERT_EQ(a.addresses.size(), 2u);
  char shown[event::kIpTextBytesMax];
  EXPECT_EQ(event::format_ip(a.addresses[1], shown), "192.0.2.2");
  EXPECT_EQ(a.ttl_s, 60u);

  const DnsAnswer aaaa = read_dns_message(
      Message("x", 28).add("^", 28, 5, std::string("\x20\x01\x0d\xb8", 4) + std::string(12, '\x01')).bytes(),
      {DnsType::kAaaa, "x"});
  ASSERT_EQ(aaaa.addresses.size(), 1u);
  EXPECT_EQ(event::format_ip(aaaa.addresses[0], shown), "2001:db8:101:101:101:101:101:101");

  const DnsAnswer txt = read_dns_message(Message("x", 16)
                                             .add("^", 16, 5, text_of("one ") + text_of("record"))
                                             .add("^", 16, 5, text_of(""))
                                             .add("y", 16, 5, text_of("of another name"))
                                             .bytes(),
                                         {DnsType::kTxt, "x"});
  EXPECT_EQ(txt.texts, (std::vector<std::string>{"one record", ""}));

  const DnsAnswer mx = read_dns_message(Message("x", 15)
                                            .add("^", 15, 5, u16(20) + Message::name("b.x"))
                                            .add("^", 15, 5, u16(10) + Message::name("a"))
                                            .add("^", 15, 5, u16(0) + Message::name(""))
                                            .bytes(),
                                        {DnsType::kMx, "x"});
  ASSERT_EQ(mx.exchanges.size(), 3u);
  EXPECT_EQ(mx.exchanges[0].host, "");
  EXPECT_EQ(mx.exchanges[1].host, "a");
  EXPECT_EQ(mx.exchanges[2].host, "b.x");

  const DnsAnswer ptr =
      read_dns_message(Message("x", 12).add("^", 12, 5, Message::name("host.example")).bytes(), {DnsType::kPtr, "x"});
  EXPECT_EQ(ptr.names, std::vector<std::string>{"host.example"});
}

TEST(DnsMessage, AliasesAreFollowed) {
  const auto ask = [](const Message& m) { return read_dns_message(m.bytes(), {DnsType::kA, "a"}); };
  // In any order, as some servers send them.
  const DnsAnswer chain = ask(Message("a", 1)
                                  .add("c", 1, 100, "\x01\x02\x03\x04")
                                  .add("b", 5, 30, Message::name("C"))
                                  .add("A", 5, 50, Message::name("b")));
  ASSERT_EQ(chain.status, DnsStatus::kOk);
  EXPECT_EQ(chain.ttl_s, 30u);
  EXPECT_EQ(ask(Message("a", 1).add("a", 5, 30, Message::name("b"))).status, DnsStatus::kNoData);
  EXPECT_EQ(ask(Message("a", 1, 3).add("a", 5, 30, Message::name("b"))).status, DnsStatus::kNoName);
  const DnsAnswer loop = ask(Message("a", 1).add("a", 5, 30, Message::name("b")).add("b", 5, 30, Message::name("a")));
  EXPECT_EQ(loop.status, DnsStatus::kFailed);
  EXPECT_EQ(loop.reason, "its aliases do not end");
}

TEST(DnsMessage, NothingThereIsToldApart) {
  const std::string soa = Message::name("ns") + Message::name("mail") + u32(1) + u32(2) + u32(3) + u32(4) + u32(77);
  const DnsAnswer no_name = read_dns_message(Message("x", 1, 3).add("", 6, 500, soa, true).bytes(), {DnsType::kA, "x"});
  EXPECT_EQ(no_name.status, DnsStatus::kNoName);
  EXPECT_EQ(no_name.ttl_s, 77u);
  const DnsAnswer no_data = read_dns_message(Message("x", 1).add("", 6, 50, soa, true).bytes(), {DnsType::kA, "x"});
  EXPECT_EQ(no_data.status, DnsStatus::kNoData);
  EXPECT_EQ(no_data.ttl_s, 50u);
  EXPECT_EQ(read_dns_message(Message("x", 1).bytes(), {DnsType::kA, "x"}).ttl_s, 0u);
}

TEST(DnsMessage, BrokenOnesFail) {
  const auto reason = [](const std::string& bytes) {
    const DnsAnswer answer = read_dns_message(bytes, {DnsType::kTxt, "x.example"});
    return answer.status == DnsStatus::kFailed ? answer.reason : "no failure";
  };
  EXPECT_EQ(reason(""), "the answer is cut off");
  EXPECT_EQ(reason(Message("x.example", 16, 2).bytes()), "the server says error 2");
  EXPECT_EQ(reason(Message("x.example", 16).flags(0x0100).bytes()), "no answer, but a question");
  EXPECT_EQ(reason(Message("x.example", 16).flags(0x8380).bytes()), "the answer is cut off");
  EXPECT_EQ(reason(Message("y.example", 16).bytes()), "the answer is to another question");
  EXPECT_EQ(reason(Message("x.example", 1).bytes()), "the answer is to another question");
  EXPECT_EQ(reason(Message("x.example", 16).add("^", 16, 1, "\x09short").bytes()), "a record is malformed");
  std::string loop = Message("x.example", 16).add("^", 16, 1, text_of("t")).bytes();
  loop.replace(loop.size() - 14, 2, "\xc0\x1b");  // the owner points at itself
  EXPECT_EQ(reason(loop), "a record is malformed");
  // Names that cannot stand as text.
  const DnsAnswer dotted = read_dns_message(Message("x", 12)
                                                .add("^", 12, 5,
                                                     std::string("\x03"
                                                                 "a.b\0",
                                                                 5))
                                                .add("^", 12, 5, std::string("\x02\xff\xfe\0", 4))
                                                .bytes(),
                                            {DnsType::kPtr, "x"});
  EXPECT_EQ(dotted.status, DnsStatus::kOk);
  EXPECT_TRUE(dotted.names.empty());
}

TEST(DnsMessage, EveryCutIsSafe) {
  const std::string whole = Message("x", 15)
                                .add("^", 5, 9, Message::name("y"))
                                .add("y", 15, 5, u16(20) + Message::name("b.x"))
                                .add("y", 15, 5,
                                     u16(10) + std::string("\x01"
                                                           "a\xc0\x0c"))
                                .bytes();
  EXPECT_EQ(read_dns_message(whole, {DnsType::kMx, "x"}).exchanges.size(), 2u);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(read_dns_message(whole.substr(0, size), {DnsType::kMx, "x"}).status, DnsStatus::kFailed) << size;
  }
}

std::shared_ptr<const DnsAnswer> answer_of(DnsStatus status, uint32_t ttl_s, size_t bytes = 10) {
  auto answer = std::make_shared<DnsAnswer>();
  answer->status = status;
  answer->ttl_s = ttl_s;
  answer->texts.push_back(std::string(bytes, 'x'));
  return answer;
}

TEST(DnsCache, KeepsWithinBounds) {
  DnsCacheLimits limits;
  limits.ttl_min_s = 2;
  limits.ttl_max_s = 100;
  limits.negative_ttl_max_s = 10;
  limits.failure_ttl_s = 3;
  const auto kept_s = [&](DnsStatus status, uint32_t ttl_s) {
    DnsCache cache(limits);
    cache.put("k", answer_of(status, ttl_s), 1000);
    int64_t s = 0;
    while (cache.find("k", 1000 + s * 1000) != nullptr && s < 1000) ++s;
    EXPECT_EQ(cache.entries(), 0u);
    EXPECT_EQ(cache.bytes(), 0u);
    return s;
  };
  EXPECT_EQ(kept_s(DnsStatus::kOk, 50), 50);
  EXPECT_EQ(kept_s(DnsStatus::kOk, 0), 2);
  EXPECT_EQ(kept_s(DnsStatus::kOk, 100'000), 100);
  EXPECT_EQ(kept_s(DnsStatus::kNoName, 50), 10);
  EXPECT_EQ(kept_s(DnsStatus::kNoData, 5), 5);
  EXPECT_EQ(kept_s(DnsStatus::kFailed, 0), 3);
  EXPECT_EQ(kept_s(DnsStatus::kTimeout, 500), 3);
}

TEST(DnsCache, LeastRecentlyUsedGo) {
  DnsCacheLimits limits;
  limits.entries_max = 3;
  DnsCache cache(limits);
  for (const char* key : {"a", "b", "c"}) cache.put(key, answer_of(DnsStatus::kOk, 60), 0);
  EXPECT_NE(cache.find("a", 1), nullptr);
  cache.put("d", answer_of(DnsStatus::kOk, 60), 1);
  EXPECT_EQ(cache.find("b", 1), nullptr);
  EXPECT_NE(cache.find("a", 1), nullptr);
  EXPECT_NE(cache.find("d", 1), nullptr);
  EXPECT_EQ(DnsCache::key_of({DnsType::kTxt, "ExAmple.COM"}), DnsCache::key_of({DnsType::kTxt, "example.com"}));
  EXPECT_NE(DnsCache::key_of({DnsType::kA, "example.com"}), DnsCache::key_of({DnsType::kTxt, "example.com"}));
}

TEST(DnsCache, BytesStayBounded) {
  EXPECT_TRUE(rc::check("bytes and entries stay bounded", [] {
    DnsCacheLimits limits;
    limits.entries_max = 20;
    limits.bytes_max = 20'000;
    DnsCache cache(limits);
    int64_t now_ms = 0;
    for (const auto& [key, bytes] : *rc::gen::container<std::vector<std::pair<uint8_t, uint16_t>>>(
             rc::gen::pair(rc::gen::arbitrary<uint8_t>(), rc::gen::inRange<uint16_t>(0, 30'000)))) {
      cache.put(std::to_string(key), answer_of(DnsStatus::kOk, key, bytes), now_ms += 500);
      RC_ASSERT(cache.bytes() <= limits.bytes_max);
      RC_ASSERT(cache.entries() <= limits.entries_max);
      const auto found = cache.find(std::to_string(key), now_ms);
      const bool good = found == nullptr ? bytes > 18'000 : found->texts[0].size() == bytes;
      RC_ASSERT(good);
    }
  }));
}

}  // namespace
}  // namespace tamis::net
