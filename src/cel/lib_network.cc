// The network extension: ip() and cidr(). Strict as its document asks: no zones, no dotted IPv4-mapped addresses.
#include "cel/lib.h"
#include "event/ip.h"

namespace tamis::cel {

namespace lib {

namespace {

using event::IpData;
using event::IpForm;

bool is_allowed(IpForm form) { return form == IpForm::kV4 || form == IpForm::kV6 || form == IpForm::kMappedHex; }

Value refuse(Call& call, std::string_view text, IpForm form, std::string_view what) {
  if (form == IpForm::kZone) return invalid(call, {shown(text), ": an address with a zone is not allowed"});
  if (form == IpForm::kMappedDotted)
    return invalid(call, {shown(text), ": an IPv4-mapped IPv6 address is not allowed"});
  return invalid(call, {shown(text), " is not ", what});
}

Value string_to_ip(Call& call, const Value* v) {
  IpData ip;
  IpForm form = event::read_ip(v[0].str(), ip);
  if (!is_allowed(form)) return refuse(call, v[0].str(), form, "an IP address");
  return Value::ip_of(call.arena.make(ip));
}
Value string_to_cidr(Call& call, const Value* v) {
  IpData cidr;
  IpForm form = event::read_cidr(v[0].str(), cidr);
  if (!is_allowed(form)) return refuse(call, v[0].str(), form, "a network like \"192.0.2.0/24\"");
  return Value::cidr_of(call.arena.make(cidr));
}
Value is_ip(Call&, const Value* v) {
  IpData ip;
  return Value::boolean(is_allowed(event::read_ip(v[0].str(), ip)));
}
Value is_cidr(Call&, const Value* v) {
  IpData cidr;
  return Value::boolean(is_allowed(event::read_cidr(v[0].str(), cidr)));
}
Value is_canonical(Call& call, const Value* v) {
  IpData ip;
  IpForm form = event::read_ip(v[0].str(), ip);
  if (!is_allowed(form)) return refuse(call, v[0].str(), form, "an IP address");
  char text[event::kIpTextBytesMax];
  return Value::boolean(event::format_ip(ip, text) == v[0].str());
}
Value ip_to_string(Call& call, const Value* v) { return Value::string(event::format_ip(*v[0].ip, call.arena)); }
Value cidr_to_string(Call& call, const Value* v) { return Value::string(event::format_cidr(*v[0].ip, call.arena)); }

bool unspecified(const IpData& ip) {
  for (uint8_t byte : ip.bytes) {
    if (byte != 0) return false;
  }
  return true;
}
bool loopback(const IpData& ip) {
  if (!ip.is_v6) return ip.bytes[12] == 127;
  for (int i = 0; i < 15; ++i) {
    if (ip.bytes[i] != 0) return false;
  }
  return ip.bytes[15] == 1;
}
bool multicast(const IpData& ip) { return ip.is_v6 ? ip.bytes[0] == 0xff : (ip.bytes[12] & 0xf0) == 0xe0; }
bool link_local_multicast(const IpData& ip) {
  if (ip.is_v6) return ip.bytes[0] == 0xff && (ip.bytes[1] & 0x0f) == 0x02;
  return ip.bytes[12] == 224 && ip.bytes[13] == 0 && ip.bytes[14] == 0;
}
bool link_local_unicast(const IpData& ip) {
  if (ip.is_v6) return ip.bytes[0] == 0xfe && (ip.bytes[1] & 0xc0) == 0x80;
  return ip.bytes[12] == 169 && ip.bytes[13] == 254;
}
bool broadcast(const IpData& ip) {
  return !ip.is_v6 && (ip.bytes[12] & ip.bytes[13] & ip.bytes[14] & ip.bytes[15]) == 0xff;
}
// Private and unique local addresses count: global is here the opposite of link-local, not of private.
bool global_unicast(const IpData& ip) {
  return !unspecified(ip) && !loopback(ip) && !multicast(ip) && !link_local_unicast(ip) && !broadcast(ip);
}

template <bool (*kTest)(const IpData&)>
Value test_ip(Call&, const Value* v) {
  return Value::boolean(kTest(*v[0].ip));
}

Value family(Call&, const Value* v) { return Value::integer(v[0].ip->is_v6 ? 6 : 4); }

bool covers(const IpData& outer, const IpData& inner) {
  return outer.prefix <= inner.prefix && event::cidr_contains(outer, inner);
}
Value contains_ip(Call&, const Value* v) { return Value::boolean(event::cidr_contains(*v[0].ip, *v[1].ip)); }
Value contains_ip_string(Call& call, const Value* v) {
  Value ip = string_to_ip(call, v + 1);
  return ip.is_error() ? ip : Value::boolean(event::cidr_contains(*v[0].ip, *ip.ip));
}
Value contains_cidr(Call&, const Value* v) { return Value::boolean(covers(*v[0].ip, *v[1].ip)); }
Value contains_cidr_string(Call& call, const Value* v) {
  Value cidr = string_to_cidr(call, v + 1);
  return cidr.is_error() ? cidr : Value::boolean(covers(*v[0].ip, *cidr.ip));
}
Value cidr_ip(Call& call, const Value* v) {
  IpData ip = *v[0].ip;
  ip.prefix = static_cast<uint8_t>(event::ip_bits(ip));
  return Value::ip_of(call.arena.make(ip));
}
Value masked(Call& call, const Value* v) {
  return Value::cidr_of(call.arena.make(event::mask_ip(*v[0].ip, v[0].ip->prefix)));
}
Value is_mask(Call&, const Value* v) {
  return Value::boolean(event::same_ip(*v[0].ip, event::mask_ip(*v[0].ip, v[0].ip->prefix)));
}
Value prefix_length(Call&, const Value* v) { return Value::integer(v[0].ip->prefix); }

std::vector<Overload> make_network() {
  const Type s = Type::string(), i = Type::integer(), boolean = Type::boolean();
  const Type ip = Type::opaque("net.IP"), cidr = Type::opaque("net.CIDR");
  Table table;
  table.global("string_to_ip", "ip", {s}, ip, string_to_ip).cost = 2;
  table.member("cidr_ip", "ip", {cidr}, ip, cidr_ip);
  table.global("string_to_cidr", "cidr", {s}, cidr, string_to_cidr).cost = 2;
  table.global("is_ip", "isIP", {s}, boolean, is_ip).cost = 2;
  table.global("is_cidr", "isCIDR", {s}, boolean, is_cidr).cost = 2;
  table.global("ip_is_canonical", "ip.isCanonical", {s}, boolean, is_canonical).cost = 2;
  table.global("ip_to_string", "string", {ip}, s, ip_to_string);
  table.global("cidr_to_string", "string", {cidr}, s, cidr_to_string);
  table.member("ip_family", "family", {ip}, i, family);
  table.member("ip_is_unspecified", "isUnspecified", {ip}, boolean, test_ip<unspecified>);
  table.member("ip_is_loopback", "isLoopback", {ip}, boolean, test_ip<loopback>);
  table.member("ip_is_global_unicast", "isGlobalUnicast", {ip}, boolean, test_ip<global_unicast>);
  table.member("ip_is_link_local_multicast", "isLinkLocalMulticast", {ip}, boolean, test_ip<link_local_multicast>);
  table.member("ip_is_link_local_unicast", "isLinkLocalUnicast", {ip}, boolean, test_ip<link_local_unicast>);
  table.member("cidr_contains_ip_ip", "containsIP", {cidr, ip}, boolean, contains_ip);
  table.member("cidr_contains_ip_string", "containsIP", {cidr, s}, boolean, contains_ip_string);
  table.member("cidr_contains_cidr", "containsCIDR", {cidr, cidr}, boolean, contains_cidr);
  table.member("cidr_contains_cidr_string", "containsCIDR", {cidr, s}, boolean, contains_cidr_string);
  table.member("cidr_masked", "masked", {cidr}, cidr, masked);
  table.member("cidr_is_mask", "isMask", {cidr}, boolean, is_mask);
  table.member("cidr_prefix_length", "prefixLength", {cidr}, i, prefix_length);
  return table.take();
}

}  // namespace

}  // namespace lib

const std::vector<Overload>& network_library() {
  static const std::vector<Overload> table = lib::make_network();
  return table;
}

}  // namespace tamis::cel
