// Our own functions, absent where the dialect is strict: named lists, labels, networks, distances, and arithmetic on
// numbers of different types.
#include <algorithm>
#include <bit>
#include <cmath>

#include "cel/lib.h"
#include "cel/utf8.h"
#include "event/ip.h"

namespace tamis::cel {

namespace lib {

namespace {

using event::error_divide_by_zero;
using event::error_limit;
using event::error_overflow;

// Mixed arithmetic. With a double on either side the result is a double; int and uint together give an int.

double as_double(Value v) {
  if (v.is(Kind::kInt)) return static_cast<double>(v.i);
  return v.is(Kind::kUint) ? static_cast<double>(v.u) : v.d;
}

template <char kOperator>
Value mixed_double(Call&, const Value* v) {
  double a = as_double(v[0]), b = as_double(v[1]);
  switch (kOperator) {
    case '+':
      return Value::real(a + b);
    case '-':
      return Value::real(a - b);
    case '*':
      return Value::real(a * b);
    default:
      break;
  }
  if (b != 0) return Value::real(a / b);
  if (a == 0 || std::isnan(a)) return Value::real(std::nan(""));
  return Value::real(std::signbit(a) != std::signbit(b) ? -HUGE_VAL : HUGE_VAL);
}

__extension__ using int128 = __int128;

template <char kOperator>
Value mixed_whole(Call&, const Value* v) {
  int128 a = v[0].is(Kind::kInt) ? int128{v[0].i} : int128{v[0].u};
  int128 b = v[1].is(Kind::kInt) ? int128{v[1].i} : int128{v[1].u};
  int128 r = 0;
  switch (kOperator) {
    case '+':
      r = a + b;
      break;
    case '-':
      r = a - b;
      break;
    case '*':
      r = a * b;
      break;  // 64 by 63 bits: no overflow of 128
    default:
      if (b == 0) return error_divide_by_zero();
      r = kOperator == '/' ? a / b : a % b;
  }
  if (r < INT64_MIN || r > INT64_MAX) return error_overflow();
  return Value::integer(static_cast<int64_t>(r));
}

template <char kOperator>
void add_mixed(Table& table, const std::string& name) {
  const Type i = Type::integer(), u = Type::uinteger(), d = Type::real();
  const std::string function = std::string("_") + kOperator + "_";
  if (kOperator != '%') {
    table.global(name + "_int64_double", function, {i, d}, d, mixed_double<kOperator>);
    table.global(name + "_double_int64", function, {d, i}, d, mixed_double<kOperator>);
    table.global(name + "_uint64_double", function, {u, d}, d, mixed_double<kOperator>);
    table.global(name + "_double_uint64", function, {d, u}, d, mixed_double<kOperator>);
  }
  table.global(name + "_int64_uint64", function, {i, u}, i, mixed_whole<kOperator>);
  table.global(name + "_uint64_int64", function, {u, i}, i, mixed_whole<kOperator>);
}

// What only the engine knows.

Value no_host(Call& call) { return fail(call, ErrorCode::kOther, {"no lists and labels are at hand here"}); }

Value in_named_list(Call& call, const Value* v) {
  if (call.host == nullptr) return no_host(call);
  if (!charge_bytes(call, v[0].is(Kind::kString) ? v[0].size : 0)) return error_limit();
  return Value::boolean(call.host->list_contains(v[1].i, v[0]));
}

Value labels(Call& call, const Value* v) {
  if (call.host == nullptr) return no_host(call);
  Value names = call.host->labels_of(v[0].i, v[1], call.arena);
  if (names.is(Kind::kList) && !charge(call, names.size)) return error_limit();
  return names;
}

// net(address, 24, 56): the network of an address, as text.
Value network_of(Call& call, const event::IpData& ip, Value v4_prefix, Value v6_prefix) {
  if (v4_prefix.i < 0 || v4_prefix.i > 32) {
    return invalid(call, {"net(): a prefix of IPv4 is 0 to 32, not ", std::to_string(v4_prefix.i)});
  }
  if (v6_prefix.i < 0 || v6_prefix.i > 128) {
    return invalid(call, {"net(): a prefix of IPv6 is 0 to 128, not ", std::to_string(v6_prefix.i)});
  }
  int prefix = static_cast<int>(ip.is_v6 ? v6_prefix.i : v4_prefix.i);
  return Value::string(event::format_cidr(event::mask_ip(ip, prefix), call.arena));
}
Value net_of_text(Call& call, const Value* v) {
  event::IpData ip;
  if (!event::parse_ip(v[0].str(), ip)) return invalid(call, {"net(): ", shown(v[0].str()), " is not an IP address"});
  return network_of(call, ip, v[1], v[2]);
}
Value net_of_ip(Call& call, const Value* v) { return network_of(call, *v[0].ip, v[1], v[2]); }

// Great-circle distance by the haversine formula on a sphere of the Earth's mean radius: within 0.6 % of the ellipsoid.
Value geo_distance(Call& call, const Value* v) {
  constexpr double kRadiusKm = 6371.0088, kRadians = 3.14159265358979323846 / 180;
  for (int i = 0; i < 4; ++i) {
    double limit = i % 2 == 0 ? 90 : 180;
    if (!(std::fabs(v[i].d) <= limit)) {
      return invalid(call, {"geo.distance(): ", event::debug_string(v[i]), " is not a ",
                            i % 2 == 0 ? "latitude (-90 to 90)" : "longitude (-180 to 180)"});
    }
  }
  double lat1 = v[0].d * kRadians, lat2 = v[2].d * kRadians;
  double half_lat = std::sin((lat2 - lat1) / 2), half_lon = std::sin((v[3].d - v[1].d) * kRadians / 2);
  double h = half_lat * half_lat + std::cos(lat1) * std::cos(lat2) * half_lon * half_lon;
  return Value::real(2 * kRadiusKm * std::asin(std::sqrt(std::min(h, 1.0))));
}

std::span<const uint32_t> code_points(Call& call, std::string_view text) {
  uint32_t* out = call.arena.allocate_array<uint32_t>(text.size());
  size_t size = 0;
  for (size_t at = 0; at < text.size();) out[size++] = decode_code_point(text, at);
  return {out, size};
}

// Edit distance with insertions, deletions, substitutions and swaps of neighbours, no place edited twice ("optimal
// string alignment"), in the band of width `bound` around the diagonal (Ukkonen 1985). Above `bound`: bound + 1.
Value bounded_distance(Call& call, std::string_view text_a, std::string_view text_b, size_t bound) {
  if (!charge_bytes(call, text_a.size() + text_b.size())) return error_limit();
  std::span<const uint32_t> a = code_points(call, text_a), b = code_points(call, text_b);
  while (!a.empty() && !b.empty() && a.front() == b.front()) a = a.subspan(1), b = b.subspan(1);
  while (!a.empty() && !b.empty() && a.back() == b.back()) a = a.first(a.size() - 1), b = b.first(b.size() - 1);
  if (a.size() > b.size()) std::swap(a, b);
  bound = std::min(bound, b.size());
  const uint32_t over = static_cast<uint32_t>(bound) + 1;
  if (b.size() - a.size() > bound) return Value::integer(over);
  uint32_t* rows[3];  // the last two and the current one
  for (uint32_t*& row : rows) row = call.arena.allocate_array<uint32_t>(b.size() + 2);
  for (size_t k = 0; k <= b.size(); ++k) rows[1][k] = static_cast<uint32_t>(std::min<size_t>(k, over));
  for (size_t i = 1; i <= a.size(); ++i) {
    uint32_t* before = rows[0];
    uint32_t* last = rows[1];
    uint32_t* row = rows[2];
    size_t from = i > bound ? i - bound : 1, to = std::min(b.size(), i + bound);
    if (!charge(call, 1 + (to - from) / 4)) return error_limit();
    row[from - 1] = from == 1 ? static_cast<uint32_t>(std::min<size_t>(i, over)) : over;
    uint32_t best = row[from - 1];
    for (size_t k = from; k <= to; ++k) {
      uint32_t cost = std::min({last[k] + 1, row[k - 1] + 1, last[k - 1] + (a[i - 1] != b[k - 1])});
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) cost = std::min(cost, before[k - 2] + 1);
      row[k] = std::min(cost, over);
      best = std::min(best, row[k]);
    }
    if (to < b.size()) row[to + 1] = over;  // the band of the next row reaches one further
    if (best == over) return Value::integer(over);
    rows[0] = last;
    rows[1] = row;
    rows[2] = before;
  }
  return Value::integer(rows[1][b.size()]);
}

Value edit_distance(Call& call, const Value* v) {
  return bounded_distance(call, v[0].str(), v[1].str(), std::max(v[0].size, v[1].size));
}
Value edit_distance_bounded(Call& call, const Value* v) {
  if (v[2].i < 0) return invalid(call, {"edit_distance(): a negative bound: ", std::to_string(v[2].i)});
  size_t longest = std::max(v[0].size, v[1].size);
  size_t bound = std::min(static_cast<size_t>(v[2].i), longest);
  return bounded_distance(call, v[0].str(), v[1].str(), bound);
}

// Stable across machines and releases, and never negative, so that hash(x) % 100 is a share.
Value hash_of(Call& call, const Value* v) {
  size_t work = v[0].is(Kind::kList) ? v[0].size : v[0].is(Kind::kMap) ? v[0].map->size : 0;
  if (v[0].is(Kind::kString) || v[0].is(Kind::kBytes)) work = v[0].size / 16;
  if (!charge(call, work)) return error_limit();
  return Value::integer(static_cast<int64_t>(event::hash(v[0]) >> 1));
}

// Shannon entropy of the characters of a text, in bits per character: "aaaa" has 0, random hexadecimal nearly 4.
Value entropy(Call& call, const Value* v) {
  if (!charge(call, v[0].size / 4)) return error_limit();
  std::span<const uint32_t> all = code_points(call, v[0].str());
  if (all.empty()) return Value::real(0);
  uint32_t* sorted = call.arena.allocate_array<uint32_t>(all.size());
  std::copy(all.begin(), all.end(), sorted);
  std::sort(sorted, sorted + all.size());
  double sum = 0, total = static_cast<double>(all.size());
  for (size_t at = 0; at < all.size();) {
    size_t end = at;
    while (end < all.size() && sorted[end] == sorted[at]) ++end;
    double count = static_cast<double>(end - at);
    sum += count * std::log2(count);
    at = end;
  }
  return Value::real(std::log2(total) - sum / total);
}

bool parse_hex64(std::string_view text, uint64_t& out) {
  if (text.size() != 16) return false;
  out = 0;
  for (char c : text) {
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return false;
    out = out << 4 | static_cast<uint64_t>(digit);
  }
  return true;
}

Value simhash_distance(Call& call, const Value* v) {
  uint64_t hashes[2];
  for (int i = 0; i < 2; ++i) {
    if (!parse_hex64(v[i].str(), hashes[i])) {
      return invalid(call, {"simhash_distance(): ", shown(v[i].str()), " is not a hash of 16 hexadecimal digits"});
    }
  }
  return Value::integer(std::popcount(hashes[0] ^ hashes[1]));
}

// Ten keys of a 64-bit simhash, of which texts that differ in at most three bits share one at least: of five blocks of
// bits two are the same then, and each key is made of two blocks (Manku, Jain, Sarma, "Detecting near-duplicates for
// web crawling", WWW 2007). Texts that have nothing to do with each other share one in about seven million pairs.
Value simhash_keys(Call& call, const Value* v) {
  constexpr int kBlocks = 5, kPairs = 10;
  constexpr int kBits[kBlocks] = {13, 13, 13, 13, 12};
  uint64_t hash = 0;
  if (!parse_hex64(v[0].str(), hash)) {
    return invalid(call, {"simhash_keys(): ", shown(v[0].str()), " is not a hash of 16 hexadecimal digits"});
  }
  uint64_t block[kBlocks];
  for (int b = 0; b < kBlocks; ++b) {
    block[b] = hash & ((uint64_t{1} << kBits[b]) - 1);
    hash >>= kBits[b];
  }
  Value* keys = call.arena.allocate_array<Value>(kPairs);
  int pair = 0;
  for (int a = 0; a < kBlocks; ++a) {
    for (int b = a + 1; b < kBlocks; ++b, ++pair)
      keys[pair] = Value::integer(static_cast<int64_t>(uint64_t(pair) << 26 | block[a] << 13 | block[b]));
  }
  return Value::list({keys, kPairs});
}

std::vector<Overload> make_tamis() {
  const Type s = Type::string(), i = Type::integer(), d = Type::real(), t = Type::param("T"), dyn = Type::dyn();
  const Type named_list = Type::opaque("tamis.list", {t}), entity_kind = Type::opaque("tamis.entity_kind");
  Table table;
  add_mixed<'+'>(table, "add");
  add_mixed<'-'>(table, "subtract");
  add_mixed<'*'>(table, "multiply");
  add_mixed<'/'>(table, "divide");
  add_mixed<'%'>(table, "modulo");
  table.global("in_tamis_list", "@in", {t, named_list}, Type::boolean(), in_named_list).cost = 4;
  table.global("labels", "@labels", {entity_kind, dyn}, Type::list(s), labels).cost = 4;
  table.global("net_string", "net", {s, i, i}, s, net_of_text).cost = 4;
  table.global("net_ip", "net", {Type::opaque("net.IP"), i, i}, s, net_of_ip).cost = 4;
  table.global("geo_distance", "geo.distance", {d, d, d, d}, d, geo_distance).cost = 8;
  table.global("edit_distance", "edit_distance", {s, s}, i, edit_distance).cost = 4;
  table.global("edit_distance_max", "edit_distance", {s, s, i}, i, edit_distance_bounded).cost = 4;
  table.global("hash", "hash", {t}, i, hash_of).cost = 2;
  table.global("entropy", "entropy", {s}, d, entropy).cost = 4;
  table.global("simhash_distance", "simhash_distance", {s, s}, i, simhash_distance).cost = 2;
  table.global("simhash_keys", "simhash_keys", {s}, Type::list(i), simhash_keys).cost = 4;
  std::vector<Overload> rows = table.take();
  for (Overload& row : rows) row.strict_cel = false;
  return rows;
}

}  // namespace

}  // namespace lib

const std::vector<Overload>& tamis_library() {
  static const std::vector<Overload> table = lib::make_tamis();
  return table;
}

}  // namespace tamis::cel
