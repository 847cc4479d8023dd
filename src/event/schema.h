// EventSchema: the typed fields of one event type, where its id, time and type stand in the incoming JSON, and the
// derived attributes that its policy reads. SlotLayout: which number each name has in the slot array of an event.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "event/type.h"
#include "event/value.h"

namespace tamis::event {

// A semantic type says what a text is, and so which attributes can be derived from it. Its CEL type is string.
enum class Semantic : uint8_t { kNone, kIp, kEmail, kDomain, kUrl, kUserAgent };

// Attributes computed from one field alone. Names as in policies: `ip.net24` is the attribute net24 of the field ip.
// An attribute that cannot be computed (not an address, no data) is absent.
enum class Attribute : uint8_t {
  // kIp
  kNet24,       // "192.0.2.0/24"; for IPv6 the /56
  kNet16,       // "192.0.0.0/16"; for IPv6 the /48
  kNet64,       // the /64 of IPv6, the address itself for IPv4: one customer's line
  kVersion,     // 4 or 6 (int)
  kIsPrivate,   // RFC 1918, 4193, 6598, loopback, link-local (bool)
  kAsn,         // int; from the intel table given to the server
  kCountry,     // ISO 3166 code; likewise
  kNetworkTag,  // ip.tag: what the intel table says of the prefix: "vpn", "tor", "hosting", ...; likewise
  // kEmail
  kLocal,        // before the last @
  kEmailDomain,  // email.domain: after it, lower case, without a trailing dot
  kBaseLocal,    // email.base_local: lower case, without +tag, dots dropped: for finding the same mailbox again
  // kDomain, and kEmail by way of its domain, and kUrl by way of its host
  kRegistered,  // registrable domain by the public suffix list
  kSuffix,      // public suffix
  // kUrl
  kScheme,
  kHost,
  kPort,
  kPath,
  kQuery,
  // kUserAgent
  kFamily,    // "Chrome", "Firefox", "Safari", "curl", "python-requests", ...
  kMajor,     // major version (int)
  kOs,        // "Windows", "Android", "iOS", "macOS", "Linux", ...
  kIsMobile,  // bool
  kIsBot,     // bool: says of itself that it is no browser
};

struct AttributeInfo {
  Attribute attribute;
  Semantic of;
  std::string_view name;  // as after the dot
  Type type;
};
// All attributes of a semantic type, in documentation order.
std::span<const AttributeInfo> attributes_of(Semantic semantic);

enum class TimeFormat : uint8_t { kAuto, kRfc3339, kSeconds, kMillis, kMicros };  // kAuto: by type and magnitude

struct Field {
  std::string name;  // how expressions call it: [a-zA-Z_][a-zA-Z0-9_]*
  Type type;         // bool int uint double string bytes timestamp duration list(T) map(string,T) dyn
  Semantic semantic = Semantic::kNone;
  std::string entity;             // the entity kind that its value names, or empty
  std::optional<Value> fallback;  // `default:`; what it points to outlives the schema
  std::vector<std::string> path;  // keys in the incoming JSON; by default the name alone
  bool required = false;          // an event without it is refused
  bool token = false;             // `private: token`
  int32_t keep_days = 0;          // retention, 0: the policy's default
  std::string doc;
};

// An attribute that the policy reads: slot `slot` holds attribute `attribute` of the field in slot `source`.
struct Derived {
  Attribute attribute;
  int32_t source;
  int32_t slot;
};

struct EventSchema {
  std::string name;
  std::vector<Field> fields;     // field i is in slot i
  std::vector<Derived> derived;  // filled by the policy's compiler with what is read, none else
  std::vector<std::string> id_path = {"id"};
  std::vector<std::string> time_path = {"time"};
  TimeFormat time_format = TimeFormat::kAuto;
  int64_t lateness_ms = 3'600'000;  // an event later than this behind the engine's time updates nothing
  bool strict = false;              // a value of another type than its field refuses the event, whatever the field
  std::string doc;

  // Identity of what a reader prepares from the schema: names, types and paths. Whoever builds a schema calls seal()
  // once it is complete and changes none of these afterwards. A reader knows its preparations by this number and never
  // by an address, so a schema may be freed and another one put in its place. An unsealed schema (0) is read correctly
  // too, but is prepared anew for each event.
  uint64_t fingerprint = 0;
  void seal();
};

// A field whose value had another type, and which is taken as not sent.
struct DroppedField {
  int32_t field = 0;
  std::string_view why;  // "expected int, found double": no value, for it goes where values must not
};

// One event as the engine sees it. Slots beyond the fields are filled by later stages. Valid as long as what made it.
struct Event {
  const EventSchema* schema = nullptr;
  std::string_view id;  // as text, numbers too; empty if the event brought none
  int64_t time_ms = 0;  // its own time, milliseconds since the epoch
  bool has_time = false;
  std::span<Value> slots;  // at least fields + derived
  std::span<const DroppedField> dropped;
};

}  // namespace tamis::event
