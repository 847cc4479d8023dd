#include "detect/account_json.h"

#include <simdjson.h>

#include <charconv>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "event/ip.h"

namespace tamis::detect {
namespace {

namespace dom = simdjson::dom;

std::string_view text(const dom::object& o, const char* name) {
  std::string_view v;
  if (o[name].get(v) != simdjson::SUCCESS) return {};
  return v;
}
int64_t integer(const dom::object& o, const char* name) {
  int64_t v = 0;
  if (o[name].get(v) != simdjson::SUCCESS) return 0;
  return v;
}
uint32_t small(const dom::object& o, const char* name) {
  const int64_t v = integer(o, name);
  return v < 0 ? 0 : v > 0xffffffff ? 0xffffffff : static_cast<uint32_t>(v);
}
bool flag(const dom::object& o, const char* name) {
  bool v = false;
  return o[name].get(v) == simdjson::SUCCESS && v;
}
uint64_t hex(std::string_view v) {
  uint64_t n = 0;
  std::from_chars(v.data(), v.data() + v.size(), n, 16);
  return n;
}

bool class_of(std::string_view tag, NetClass& net) {
  if (tag == "mob")
    net = NetClass::kMobile;
  else if (tag == "biz")
    net = NetClass::kBusiness;
  else if (tag == "dc")
    net = NetClass::kHosting;
  else if (tag == "vpn")
    net = NetClass::kVpn;
  else if (tag == "tor")
    net = NetClass::kTor;
  else if (tag == "res")
    net = NetClass::kResidential;
  else
    return false;
  return true;
}

ChangeKind change_of(std::string_view what) {
  if (what == "recovery") return ChangeKind::kRecovery;
  if (what == "password") return ChangeKind::kPassword;
  if (what == "password_reset") return ChangeKind::kPasswordReset;
  if (what == "forward_rule") return ChangeKind::kForwarding;
  if (what == "filter") return ChangeKind::kFilter;
  if (what == "mfa") return ChangeKind::kSecondFactor;
  return ChangeKind::kOther;
}

}  // namespace

struct AccountJsonReader::Impl {
  dom::parser parser;
  simdjson::padded_string padded;
  std::vector<std::string_view> links;
  std::unordered_map<uint64_t, NetClass> intel;  // by hash of the masked network
  std::array<bool, 129> lengths4{}, lengths6{};

  static uint64_t key(const event::IpData& net, int prefix) {
    return base::hash64(event::ip_bytes(net), static_cast<uint64_t>(prefix) + 1000);
  }
  // The longest prefix that is known.
  void look_up(const event::IpData& ip, NetClass& net) const {
    const auto& lengths = ip.is_v6 ? lengths6 : lengths4;
    for (int prefix = event::ip_bits(ip); prefix > 0; --prefix) {
      if (!lengths[size_t(prefix)]) continue;
      const auto found = intel.find(key(event::mask_ip(ip, prefix), prefix));
      if (found == intel.end()) continue;
      net = found->second;
      return;
    }
  }
  Client client(const dom::object& o) {
    Client c;
    c.has_ip = event::parse_ip(text(o, "ip"), c.ip);
    c.asn = small(o, "asn");
    c.country = text(o, "cc");
    class_of(text(o, "net"), c.net);
    if (c.has_ip && c.net != NetClass::kTor && c.net != NetClass::kVpn && c.net != NetClass::kMobile)
      look_up(c.ip, c.net);
    c.user_agent = text(o, "ua");
    c.device = text(o, "fp");
    c.tls = text(o, "tls");
    c.language = text(o, "lang");
    c.time_zone = text(o, "tz");
    c.cookie = text(o, "cookie");
    c.rtt_ms = small(o, "rtt");
    return c;
  }
};

AccountJsonReader::AccountJsonReader() : impl_(std::make_unique<Impl>()) {}
AccountJsonReader::~AccountJsonReader() = default;

base::Status AccountJsonReader::load_intel(std::string_view csv) {
  size_t number = 0;
  while (!csv.empty()) {
    const size_t end = csv.find('\n');
    std::string_view line = csv.substr(0, end);
    csv.remove_prefix(end == std::string_view::npos ? csv.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (++number == 1 || line.empty()) continue;
    const size_t comma = line.find(',');
    event::IpData net;
    NetClass kind;
    if (comma == std::string_view::npos || !event::parse_cidr(line.substr(0, comma), net) ||
        !class_of(line.substr(comma + 1), kind))
      return base::invalid("network list, line " + std::to_string(number) +
                           ": expected \"prefix,tag\" with a tag of res, mob, biz, dc, vpn or tor");
    const int prefix = net.prefix;
    (net.is_v6 ? impl_->lengths6 : impl_->lengths4)[size_t(prefix)] = true;
    impl_->intel[Impl::key(event::mask_ip(net, prefix), prefix)] = kind;
  }
  return {};
}

base::Result<ReadEvent> AccountJsonReader::read(std::string_view line) {
  Impl& in = *impl_;
  dom::object o;
  if (in.parser.parse(line.data(), line.size(), true).get(o) != simdjson::SUCCESS)
    return base::invalid("expected one JSON object with an event");
  ReadEvent out;
  out.id = integer(o, "id");
  out.type = text(o, "type");
  const int64_t t = integer(o, "t");
  const std::string_view account = text(o, "acct");
  if (t <= 0 || account.empty()) return base::invalid("expected the fields t (milliseconds) and acct (text)");
  if (out.type == "signup") {
    Signup s;
    s.t_ms = t, s.account = account, s.client = in.client(o);
    s.local = text(o, "local"), s.domain = text(o, "domain");
    s.screen = text(o, "scr"), s.gpu = text(o, "gpu"), s.canvas = text(o, "canvas"), s.cores = small(o, "cores");
    s.recovery = text(o, "rec"), s.captcha = text(o, "cap");
    s.captcha_tries = small(o, "cap_tries"), s.captcha_ms = small(o, "cap_ms");
    s.fill_ms = small(o, "fill_ms"), s.pasted = flag(o, "paste");
    out.event = s;
  } else if (out.type == "login" || out.type == "session") {
    Login l;
    l.t_ms = t, l.account = account, l.client = in.client(o);
    l.is_session = out.type == "session";
    l.ok = l.is_session || flag(o, "ok");
    const std::string_view why = text(o, "why");
    l.account_exists = why != "no_user";
    l.second_factor_failed = why == "mfa_fail";
    l.has_second_factor = !text(o, "mfa").empty();
    out.event = l;
  } else if (out.type == "change") {
    out.event = Change{t, account, in.client(o), change_of(text(o, "what"))};
  } else if (out.type == "send") {
    Send s;
    s.t_ms = t, s.account = account, s.client = in.client(o);
    s.recipients = small(o, "rcpts"), s.new_recipients = small(o, "new");
    s.subject_simhash = hex(text(o, "subj")), s.body_simhash = hex(text(o, "body"));
    in.links.clear();
    dom::array urls;
    if (o["urls"].get(urls) == simdjson::SUCCESS)
      for (dom::element url : urls) {
        std::string_view v;
        if (in.links.size() < 64 && url.get(v) == simdjson::SUCCESS) in.links.push_back(v);
      }
    s.link_domains = in.links;
    out.event = s;
  } else if (out.type == "bounce" || out.type == "complaint") {
    out.event = Feedback{t, account, out.type == "complaint", text(o, "code").substr(0, 1) == "5"};
  } else if (out.type == "payment") {
    Payment p;
    p.t_ms = t, p.account = account, p.client = in.client(o);
    p.bin = small(o, "bin"), p.card = text(o, "card"), p.card_country = text(o, "ccc");
    p.cents = small(o, "cents"), p.ok = flag(o, "ok");
    out.event = p;
  } else {
    return base::invalid("unknown event type \"" + std::string(out.type.substr(0, 40)) +
                         "\", expected signup, login, session, change, send, bounce, complaint or payment");
  }
  return out;
}

}  // namespace tamis::detect
