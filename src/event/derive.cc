#include "event/derive.h"

#include <cstring>

#include "event/domain.h"
#include "event/ip.h"
#include "event/user_agent.h"

namespace tamis::event {
namespace {

bool is_private(const IpData& ip) {
  const uint8_t* b = ip.bytes;
  if (ip.is_v6) {
    static constexpr uint8_t kLoopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return (b[0] & 0xFE) == 0xFC || (b[0] == 0xFE && (b[1] & 0xC0) == 0x80) || std::memcmp(b, kLoopback, 16) == 0;
  }
  b += 12;
  return b[0] == 10 || b[0] == 127 || (b[0] == 172 && (b[1] & 0xF0) == 16) || (b[0] == 192 && b[1] == 168) ||
         (b[0] == 169 && b[1] == 254) || (b[0] == 100 && (b[1] & 0xC0) == 64);
}

Value text_or_absent(std::string_view text) { return text.empty() ? Value::absent() : Value::string(text); }
Value number_or_absent(int64_t number) { return number < 0 ? Value::absent() : Value::integer(number); }

// Takes one field apart, once for all of its attributes.
class Deriver {
 public:
  Deriver(const NetworkIntel* intel, base::Arena& arena) : intel_(intel), arena_(arena) {}

  void open(Semantic semantic, Value source) {
    semantic_ = semantic;
    usable_ = source.is(Kind::kString) && !source.str().empty();
    has_facts_ = false;
    has_suffix_ = false;
    domain_ = {};
    if (!usable_) return;
    const std::string_view text = source.str();
    switch (semantic) {
      case Semantic::kIp:
        usable_ = parse_ip(text, ip_);
        break;
      case Semantic::kEmail:
        usable_ = parse_email(text, arena_, email_);
        if (usable_ && email_.domain.front() != '[') domain_ = email_.domain;
        break;
      case Semantic::kDomain:
        domain_ = normalise_domain(text, arena_);
        usable_ = !domain_.empty();
        break;
      case Semantic::kUrl:
        usable_ = parse_url(text, arena_, url_);
        if (usable_ && !url_.host_is_address) domain_ = url_.host;
        break;
      case Semantic::kUserAgent:
        agent_ = parse_user_agent(text);
        break;
      case Semantic::kNone:
        usable_ = false;
        break;
    }
  }

  Value get(Attribute attribute) {
    if (!usable_) return Value::absent();
    switch (semantic_) {
      case Semantic::kIp:
        return of_ip(attribute);
      case Semantic::kEmail:
        return of_email(attribute);
      case Semantic::kDomain:
        return of_domain(attribute);
      case Semantic::kUrl:
        return of_url(attribute);
      case Semantic::kUserAgent:
        return of_user_agent(attribute);
      case Semantic::kNone:
        break;
    }
    return Value::absent();
  }

 private:
  Value network(int prefix_v4, int prefix_v6) {
    const IpData masked = mask_ip(ip_, ip_.is_v6 ? prefix_v6 : prefix_v4);
    return Value::string(format_cidr(masked, arena_));
  }

  const NetworkIntel::Facts& facts() {
    if (!has_facts_) facts_ = intel_ == nullptr ? NetworkIntel::Facts{} : intel_->find(ip_);
    has_facts_ = true;
    return facts_;
  }

  Value of_ip(Attribute attribute) {
    switch (attribute) {
      case Attribute::kNet24:
        return network(24, 56);
      case Attribute::kNet16:
        return network(16, 48);
      case Attribute::kNet64:
        return ip_.is_v6 ? network(32, 64) : Value::string(format_ip(ip_, arena_));
      case Attribute::kVersion:
        return Value::integer(ip_.is_v6 ? 6 : 4);
      case Attribute::kIsPrivate:
        return Value::boolean(is_private(ip_));
      case Attribute::kAsn:
        return number_or_absent(facts().asn);
      case Attribute::kCountry:
        return text_or_absent(facts().country);
      case Attribute::kNetworkTag:
        return text_or_absent(facts().tag);
      default:
        return Value::absent();
    }
  }

  Value of_email(Attribute attribute) {
    switch (attribute) {
      case Attribute::kLocal:
        return Value::string(email_.local);
      case Attribute::kEmailDomain:
        return Value::string(email_.domain);
      case Attribute::kBaseLocal:
        return Value::string(email_.base_local);
      default:
        return of_domain(attribute);
    }
  }

  Value of_domain(Attribute attribute) {
    if (!has_suffix_) suffix_ = public_suffix(domain_);
    has_suffix_ = true;
    if (attribute == Attribute::kRegistered) return text_or_absent(registered_domain(domain_, suffix_));
    if (attribute == Attribute::kSuffix) return text_or_absent(suffix_);
    return Value::absent();
  }

  Value of_url(Attribute attribute) {
    switch (attribute) {
      case Attribute::kScheme:
        return text_or_absent(url_.scheme);
      case Attribute::kHost:
        return text_or_absent(url_.host);
      case Attribute::kPort:
        return number_or_absent(url_.port);
      case Attribute::kPath:
        return Value::string(url_.path);
      case Attribute::kQuery:
        return Value::string(url_.query);
      default:
        return of_domain(attribute);
    }
  }

  Value of_user_agent(Attribute attribute) {
    switch (attribute) {
      case Attribute::kFamily:
        return text_or_absent(agent_.family);
      case Attribute::kMajor:
        return number_or_absent(agent_.major);
      case Attribute::kOs:
        return text_or_absent(agent_.os);
      case Attribute::kIsMobile:
        return Value::boolean(agent_.is_mobile);
      case Attribute::kIsBot:
        return Value::boolean(agent_.is_bot);
      default:
        return Value::absent();
    }
  }

  const NetworkIntel* intel_;
  base::Arena& arena_;
  Semantic semantic_ = Semantic::kNone;
  bool usable_ = false;
  bool has_facts_ = false;
  bool has_suffix_ = false;
  IpData ip_{};
  NetworkIntel::Facts facts_;
  EmailParts email_;
  UrlParts url_;
  UserAgent agent_;
  std::string_view domain_;
  std::string_view suffix_;
};

}  // namespace

void derive(Event& event, const NetworkIntel* intel, base::Arena& arena) {
  Deriver deriver(intel, arena);
  int32_t open_source = -1;
  for (const Derived& derived : event.schema->derived) {
    const auto source = static_cast<size_t>(derived.source);
    if (derived.source != open_source) deriver.open(event.schema->fields[source].semantic, event.slots[source]);
    open_source = derived.source;
    event.slots[static_cast<size_t>(derived.slot)] = deriver.get(derived.attribute);
  }
}

}  // namespace tamis::event
