#include "event/derive.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "event/ip.h"

namespace tamis::event {
namespace {

// A CSV file that is gone when the test is over.
class CsvFile {
 public:
  explicit CsvFile(const std::string& content) {
    std::string name = (std::filesystem::temp_directory_path() / "tamis_intel_XXXXXX").string();
    ::close(::mkstemp(name.data()));
    path_ = name;
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~CsvFile() { std::filesystem::remove(path_); }
  CsvFile(const CsvFile&) = delete;
  CsvFile& operator=(const CsvFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string shown(const NetworkIntel& intel, std::string_view address) {
  IpData ip;
  EXPECT_TRUE(parse_ip(address, ip)) << address;
  const NetworkIntel::Facts facts = intel.find(ip);
  return std::to_string(facts.asn) + "/" + std::string(facts.country) + "/" + std::string(facts.tag);
}

TEST(NetworkIntel, LongestPrefixPerFact) {
  const CsvFile nets(
      "\xEF\xBB\xBF"
      "prefix,asn,country\r\n"
      "# comment\n"
      "\n"
      "192.0.0.0/8, AS64500, de\n"
      "192.0.2.0/24,64501,\n"
      "0.0.0.0/0,,ZZ\n"
      "2001:db8::/32,64502,CH\n"
      "2001:db8:0:1::/64,,FR\n"
      "255.255.255.0/24,64503,US\n");
  const CsvFile tags(
      "tag,prefix\n"
      "vpn,192.0.2.7/32\n"
      "\"tor\",192.0.2.8\n"
      "hosting,2001:db8:0:1::5/128\n"
      "proxy,2001:db8:0:2::ffff/128\n"
      "relay,2001:db8:0:3::/128\n"
      "first,198.51.100.0/24\n"
      "second,198.51.100.128/24\n"
      "last,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n");
  const auto loaded = NetworkIntel::load({nets.path(), tags.path()});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const NetworkIntel& intel = **loaded;
  EXPECT_EQ(intel.size(), 13u);
  EXPECT_EQ(shown(intel, "192.0.2.7"), "64501/DE/vpn");
  EXPECT_EQ(shown(intel, "192.0.2.8"), "64501/DE/tor");
  EXPECT_EQ(shown(intel, "192.0.2.9"), "64501/DE/");
  EXPECT_EQ(shown(intel, "192.0.3.0"), "64500/DE/");
  EXPECT_EQ(shown(intel, "191.255.255.255"), "-1/ZZ/");
  EXPECT_EQ(shown(intel, "193.0.0.0"), "-1/ZZ/");
  EXPECT_EQ(shown(intel, "0.0.0.0"), "-1/ZZ/");
  EXPECT_EQ(shown(intel, "255.255.255.255"), "64503/US/");
  EXPECT_EQ(shown(intel, "198.51.100.200"), "-1/ZZ/second");
  EXPECT_EQ(shown(intel, "2001:db8::1"), "64502/CH/");
  EXPECT_EQ(shown(intel, "2001:db8:0:1::4"), "64502/FR/");
  EXPECT_EQ(shown(intel, "2001:db8:0:1::5"), "64502/FR/hosting");
  EXPECT_EQ(shown(intel, "2001:db8:0:1::6"), "64502/FR/");
  EXPECT_EQ(shown(intel, "2001:db8:0:2::"), "64502/CH/");
  EXPECT_EQ(shown(intel, "2001:db8:0:2::ffff"), "64502/CH/proxy");
  EXPECT_EQ(shown(intel, "2001:db8:0:3::"), "64502/CH/relay");
  EXPECT_EQ(shown(intel, "2001:db8:0:3::1"), "64502/CH/");
  EXPECT_EQ(shown(intel, "2001:db8:0:4::"), "64502/CH/");
  EXPECT_EQ(shown(intel, "2001:db9::"), "-1//");
  EXPECT_EQ(shown(intel, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "-1//last");
  EXPECT_EQ(shown(intel, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), "-1//");
  EXPECT_EQ(shown(intel, "::"), "-1//");
}

TEST(NetworkIntel, ErrorsNameThePlace) {
  const auto why = [](const std::string& content) {
    const CsvFile file(content);
    const auto loaded = NetworkIntel::load({file.path()});
    if (loaded) return std::string("no error");
    EXPECT_TRUE(loaded.error().message.starts_with(file.path() + ":")) << loaded.error().message;
    return loaded.error().message.substr(file.path().size());
  };
  EXPECT_EQ(why(""), ": expected a header line with the columns' names");
  EXPECT_EQ(why("prefix,ASN\n"), ":1: unknown column \"ASN\"; expected prefix, asn, country or tag");
  EXPECT_EQ(why("tag,asn\n"), ":1: expected a column \"prefix\"");
  EXPECT_EQ(why("prefix,prefix\n"), ":1: the column \"prefix\" occurs twice");
  EXPECT_EQ(why("prefix,tag\n192.0.2.0/33,x\n"), ":2: expected a network like 192.0.2.0/24, found \"192.0.2.0/33\"");
  EXPECT_EQ(why("prefix,tag\n#\n192.0.2.0/24\n"), ":3: expected 2 columns, found 1");
  EXPECT_EQ(why("prefix,asn\n192.0.2.0/24,x\n"), ":2: expected an AS number, found \"x\"");
  EXPECT_EQ(why("prefix,country\n192.0.2.0/24,DEU\n"), ":2: expected a country of two letters, found \"DEU\"");
  EXPECT_EQ(why("prefix,tag\n192.0.2.0/24," + std::string(65, 'x') + "\n"), ":2: a tag has at most 64 bytes");
  EXPECT_EQ(why("prefix,tag\n# nothing\n"), ": expected lines with networks behind the header");
  EXPECT_FALSE(NetworkIntel::load({"/nonexistent/file.csv"}));
  EXPECT_EQ(shown(**NetworkIntel::load({}), "192.0.2.1"), "-1//");
}

TEST(NetworkIntel, ABadLineTakesNothingFromTheOthers) {
  std::string text = "prefix,asn,tag\n192.0.2.0/24,64500,vpn\nnonsense,1,x\n198.51.100.0/24,AS64501,tor\n";
  text += "203.0.113.0/24,many,dc\n" + std::string(5000, 'x') + "\n203.0.113.0/24,1\n";
  for (int i = 0; i < 40; ++i) text += "300.0.0." + std::to_string(i) + "/24,,x\n";
  text += "2001:db8::/32,,last\n";
  const CsvFile file(text);
  const auto loaded = NetworkIntel::load({file.path()}, {"given.csv"});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ((*loaded)->size(), 3u);
  EXPECT_EQ(shown(**loaded, "192.0.2.1"), "64500//vpn");
  EXPECT_EQ(shown(**loaded, "198.51.100.1"), "64501//tor");
  EXPECT_EQ(shown(**loaded, "203.0.113.1"), "-1//");
  EXPECT_EQ(shown(**loaded, "2001:db8::1"), "-1//last");
  const base::LineFaults& faults = (*loaded)->faults();
  EXPECT_EQ(faults.count, 44u);
  ASSERT_EQ(faults.first.size(), base::LineFaults::kKeptMax);
  EXPECT_EQ(faults.first[0], "given.csv:3: expected a network like 192.0.2.0/24, found \"nonsense\"");
  EXPECT_EQ(faults.first[1], "given.csv:5: expected an AS number, found \"many\"");
  EXPECT_EQ(faults.first[2], "given.csv:6: the line is too long");
  EXPECT_EQ(faults.first[3], "given.csv:7: expected 3 columns, found 2");
  // Of two files each must have something of use.
  const CsvFile useless("prefix,tag\nx,y\n");
  const auto both = NetworkIntel::load({file.path(), useless.path()});
  ASSERT_FALSE(both);
  EXPECT_TRUE(both.error().message.starts_with(useless.path() + ":2: expected a network"));
}

struct Prefix {
  IpData net;
  std::string tag;
};

IpData random_ip(bool is_v6) {
  // Few distinct bytes, so that prefixes nest and touch.
  IpData ip{};
  ip.is_v6 = is_v6;
  ip.prefix = is_v6 ? 128 : 32;
  for (int i = is_v6 ? 0 : 12; i < 16; ++i) ip.bytes[i] = *rc::gen::element<uint8_t>(0, 1, 127, 128, 255);
  return ip;
}

RC_GTEST_PROP(NetworkIntel, EqualsALookThroughAllPrefixes, ()) {
  base::Arena arena;
  std::string csv = "prefix,tag\n";
  std::vector<Prefix> prefixes;
  const int count = *rc::gen::inRange(0, 60);
  for (int i = 0; i < count; ++i) {
    const bool is_v6 = *rc::gen::arbitrary<bool>();
    const IpData ip = random_ip(is_v6);
    const int bits = *rc::gen::inRange(0, is_v6 ? 129 : 33);
    prefixes.push_back({mask_ip(ip, bits), "t" + std::to_string(i)});
    csv += std::string(format_cidr(prefixes.back().net, arena)) + "," + prefixes.back().tag + "\n";
  }
  const CsvFile file(csv);
  const auto intel = NetworkIntel::load({file.path()}, {}, true);
  RC_ASSERT(intel.has_value());
  for (int i = 0; i < 50; ++i) {
    const IpData ip = random_ip(*rc::gen::arbitrary<bool>());
    const Prefix* best = nullptr;
    for (const Prefix& prefix : prefixes) {
      if (!cidr_contains(prefix.net, ip)) continue;
      if (best == nullptr || prefix.net.prefix >= best->net.prefix) best = &prefix;
    }
    RC_ASSERT((*intel)->find(ip).tag == (best == nullptr ? "" : best->tag));
  }
}

// Derives one attribute of one field.
Value derive_one(Semantic semantic, std::string_view name, Value source, base::Arena& arena,
                 const NetworkIntel* intel = nullptr) {
  EventSchema schema;
  schema.fields.emplace_back();
  schema.fields[0].semantic = semantic;
  schema.fields[0].type = Type::string();
  for (const AttributeInfo& info : attributes_of(semantic)) {
    if (info.name == name) schema.derived.push_back({info.attribute, 0, 1});
  }
  EXPECT_EQ(schema.derived.size(), 1u) << name;
  std::vector<Value> slots = {source, Value::integer(999)};
  Event event;
  event.schema = &schema;
  event.slots = slots;
  derive(event, intel, arena);
  return slots[1];
}

TEST(Derive, EveryAttribute) {
  const struct {
    Semantic semantic;
    const char* name;
    const char* source;
    const char* expected;  // as debug_string() shows it; empty for absent
  } cases[] = {
      {Semantic::kIp, "net24", "192.0.2.77", "\"192.0.2.0/24\""},
      {Semantic::kIp, "net24", "2001:db8:1:2fff::1", "\"2001:db8:1:2f00::/56\""},
      {Semantic::kIp, "net16", "192.0.2.77", "\"192.0.0.0/16\""},
      {Semantic::kIp, "net16", "2001:db8:1:2::1", "\"2001:db8:1::/48\""},
      {Semantic::kIp, "net64", "192.0.2.77", "\"192.0.2.77\""},
      {Semantic::kIp, "net64", "2001:db8:1:2::1", "\"2001:db8:1:2::/64\""},
      {Semantic::kIp, "version", "2001:db8::1", "6"},
      {Semantic::kIp, "version", "::ffff:192.0.2.1", "4"},
      {Semantic::kIp, "is_private", "100.127.0.1", "true"},
      {Semantic::kIp, "is_private", "100.128.0.1", "false"},
      {Semantic::kIp, "is_private", "172.31.0.1", "true"},
      {Semantic::kIp, "is_private", "fd00::1", "true"},
      {Semantic::kIp, "is_private", "::1", "true"},
      {Semantic::kIp, "is_private", "::2", "false"},
      {Semantic::kIp, "asn", "192.0.2.7", "64500"},
      {Semantic::kIp, "country", "192.0.2.7", "\"DE\""},
      {Semantic::kIp, "tag", "192.0.2.7", "\"vpn\""},
      {Semantic::kIp, "tag", "192.0.3.7", ""},
      {Semantic::kIp, "version", "unknown", ""},
      {Semantic::kEmail, "local", "A.b+c@X.example", "\"A.b+c\""},
      {Semantic::kEmail, "domain", "A.b+c@X.example", "\"x.example\""},
      {Semantic::kEmail, "base_local", "A.b+c@X.example", "\"ab\""},
      {Semantic::kEmail, "registered", "a@m.x.co.uk", "\"x.co.uk\""},
      {Semantic::kEmail, "suffix", "a@m.x.co.uk", "\"co.uk\""},
      {Semantic::kEmail, "registered", "a@[192.0.2.1]", ""},
      {Semantic::kEmail, "local", "nobody", ""},
      {Semantic::kDomain, "registered", "WWW.Example.com.", "\"example.com\""},
      {Semantic::kDomain, "suffix", "www.example.com", "\"com\""},
      {Semantic::kDomain, "registered", "com", ""},
      {Semantic::kUrl, "scheme", "HTTPS://a.example/x?y", "\"https\""},
      {Semantic::kUrl, "host", "https://A.example/x?y", "\"a.example\""},
      {Semantic::kUrl, "port", "https://a.example/x?y", "443"},
      {Semantic::kUrl, "path", "https://a.example/x?y", "\"/x\""},
      {Semantic::kUrl, "query", "https://a.example/x?y", "\"y\""},
      {Semantic::kUrl, "query", "https://a.example/x", "\"\""},
      {Semantic::kUrl, "registered", "https://a.b.example/x", "\"b.example\""},
      {Semantic::kUrl, "registered", "https://192.0.2.1/x", ""},
      {Semantic::kUrl, "suffix", "https://a.b.example/x", "\"example\""},
      {Semantic::kUrl, "host", "http://a b/", ""},
      {Semantic::kUserAgent, "family", "curl/8.1", "\"curl\""},
      {Semantic::kUserAgent, "major", "curl/8.1", "8"},
      {Semantic::kUserAgent, "os", "curl/8.1", ""},
      {Semantic::kUserAgent, "is_mobile", "curl/8.1", "false"},
      {Semantic::kUserAgent, "is_bot", "curl/8.1", "true"},
      {Semantic::kUserAgent, "is_bot", "", ""},
  };
  const CsvFile csv("prefix,asn,country,tag\n192.0.2.0/24,64500,DE,vpn\n");
  const auto intel = NetworkIntel::load({csv.path()});
  ASSERT_TRUE(intel);
  base::Arena arena;
  for (const auto& c : cases) {
    const Value value = derive_one(c.semantic, c.name, Value::string(c.source), arena, intel->get());
    EXPECT_EQ(value.is(Kind::kAbsent) ? "" : debug_string(value), c.expected) << c.name << " of " << c.source;
  }
}

TEST(Derive, AbsentFieldsGiveAbsentAttributes) {
  base::Arena arena;
  for (const Semantic semantic :
       {Semantic::kIp, Semantic::kEmail, Semantic::kDomain, Semantic::kUrl, Semantic::kUserAgent}) {
    for (const AttributeInfo& info : attributes_of(semantic)) {
      for (const Value source : {Value::absent(), Value::integer(5), Value::string("")}) {
        EXPECT_TRUE(derive_one(semantic, info.name, source, arena).is(Kind::kAbsent)) << info.name;
      }
    }
  }
}

TEST(Derive, MixedSourcesInOnePass) {
  EventSchema schema;
  for (const Semantic semantic : {Semantic::kIp, Semantic::kEmail}) {
    schema.fields.emplace_back();
    schema.fields.back().semantic = semantic;
  }
  schema.derived = {{Attribute::kVersion, 0, 2}, {Attribute::kLocal, 1, 3}, {Attribute::kNet24, 0, 4}};
  std::vector<Value> slots(5);
  slots[0] = Value::string("192.0.2.1");
  slots[1] = Value::string("a@b.example");
  Event event;
  event.schema = &schema;
  event.slots = slots;
  base::Arena arena;
  derive(event, nullptr, arena);
  EXPECT_EQ(debug_string(slots[2]), "4");
  EXPECT_EQ(debug_string(slots[3]), "\"a\"");
  EXPECT_EQ(debug_string(slots[4]), "\"192.0.2.0/24\"");
}

TEST(Attributes, NamesAreUniqueAndOfTheirSemantic) {
  EXPECT_TRUE(attributes_of(Semantic::kNone).empty());
  for (const Semantic semantic :
       {Semantic::kIp, Semantic::kEmail, Semantic::kDomain, Semantic::kUrl, Semantic::kUserAgent}) {
    std::vector<std::string_view> names;
    for (const AttributeInfo& info : attributes_of(semantic)) {
      EXPECT_EQ(info.of, semantic);
      EXPECT_EQ(std::count(names.begin(), names.end(), info.name), 0) << info.name;
      names.push_back(info.name);
    }
    EXPECT_FALSE(names.empty());
  }
}

}  // namespace
}  // namespace tamis::event
