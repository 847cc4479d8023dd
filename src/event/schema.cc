#include "event/schema.h"

#include "event/json_plan.h"

namespace tamis::event {
namespace {

Type text() { return Type::string(); }

}  // namespace

std::span<const AttributeInfo> attributes_of(Semantic semantic) {
  static const std::vector<AttributeInfo> kIp = {
      {Attribute::kNet24, Semantic::kIp, "net24", text()},
      {Attribute::kNet16, Semantic::kIp, "net16", text()},
      {Attribute::kNet64, Semantic::kIp, "net64", text()},
      {Attribute::kVersion, Semantic::kIp, "version", Type::integer()},
      {Attribute::kIsPrivate, Semantic::kIp, "is_private", Type::boolean()},
      {Attribute::kAsn, Semantic::kIp, "asn", Type::integer()},
      {Attribute::kCountry, Semantic::kIp, "country", text()},
      {Attribute::kNetworkTag, Semantic::kIp, "tag", text()},
  };
  static const std::vector<AttributeInfo> kEmail = {
      {Attribute::kLocal, Semantic::kEmail, "local", text()},
      {Attribute::kEmailDomain, Semantic::kEmail, "domain", text()},
      {Attribute::kBaseLocal, Semantic::kEmail, "base_local", text()},
      {Attribute::kRegistered, Semantic::kEmail, "registered", text()},
      {Attribute::kSuffix, Semantic::kEmail, "suffix", text()},
  };
  static const std::vector<AttributeInfo> kDomain = {
      {Attribute::kRegistered, Semantic::kDomain, "registered", text()},
      {Attribute::kSuffix, Semantic::kDomain, "suffix", text()},
  };
  static const std::vector<AttributeInfo> kUrl = {
      {Attribute::kScheme, Semantic::kUrl, "scheme", text()},
      {Attribute::kHost, Semantic::kUrl, "host", text()},
      {Attribute::kPort, Semantic::kUrl, "port", Type::integer()},
      {Attribute::kPath, Semantic::kUrl, "path", text()},
      {Attribute::kQuery, Semantic::kUrl, "query", text()},
      {Attribute::kRegistered, Semantic::kUrl, "registered", text()},
      {Attribute::kSuffix, Semantic::kUrl, "suffix", text()},
  };
  static const std::vector<AttributeInfo> kUserAgent = {
      {Attribute::kFamily, Semantic::kUserAgent, "family", text()},
      {Attribute::kMajor, Semantic::kUserAgent, "major", Type::integer()},
      {Attribute::kOs, Semantic::kUserAgent, "os", text()},
      {Attribute::kIsMobile, Semantic::kUserAgent, "is_mobile", Type::boolean()},
      {Attribute::kIsBot, Semantic::kUserAgent, "is_bot", Type::boolean()},
  };
  switch (semantic) {
    case Semantic::kIp:
      return kIp;
    case Semantic::kEmail:
      return kEmail;
    case Semantic::kDomain:
      return kDomain;
    case Semantic::kUrl:
      return kUrl;
    case Semantic::kUserAgent:
      return kUserAgent;
    case Semantic::kNone:
      break;
  }
  return {};
}

void EventSchema::seal() { fingerprint = plan_fingerprint(*this); }

}  // namespace tamis::event
