#include "state/list_matchers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/hash.h"
#include "event/ip.h"

namespace tamis::state {

using event::IpData;
using event::Kind;

namespace {

constexpr size_t kTextBytesMax = 4096;

base::Status check_text(std::string_view text) {
  if (text.empty()) return base::invalid("an entry is empty");
  if (text.size() > kTextBytesMax) return base::invalid("an entry is longer than 4096 bytes");
  return {};
}

}  // namespace

// --- text ---

base::Result<std::string> TextMatcher::canonical(std::string_view text) {
  TAMIS_CHECK(check_text(text));
  return std::string(text);
}

base::Status TextMatcher::insert(const ListEntries& entries, uint32_t number) {
  index_.insert(base::hash64(entries.text(number)), number);
  return {};
}

void TextMatcher::erase(const ListEntries& entries, uint32_t number) {
  index_.erase(base::hash64(entries.text(number)), number);
}

uint64_t TextMatcher::hash(std::string_view key) { return base::hash64(key); }

uint32_t TextMatcher::find_hashed(const ListEntries& entries, std::string_view key, uint64_t hash) const {
  return index_.find(hash, [&](uint32_t number) { return entries.text(number) == key; });
}

uint32_t TextMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  if (!value.is(Kind::kString)) return ListEntries::kNone;
  uint32_t number = find_exact(entries, value.str());
  return number != ListEntries::kNone && entries.live(number, now_ms) ? number : ListEntries::kNone;
}

// --- text in any letter case ---

namespace {

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool equal_in_any_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return to_lower(x) == to_lower(y); });
}

// Of at most kTextBytesMax bytes.
uint64_t hash_of_lower(std::string_view text) {
  std::array<char, kTextBytesMax> lower;
  std::transform(text.begin(), text.end(), lower.begin(), to_lower);
  return base::hash64({lower.data(), text.size()});
}

}  // namespace

base::Status CaselessMatcher::insert(const ListEntries& entries, uint32_t number) {
  index_.insert(hash_of_lower(entries.text(number)), number);
  return {};
}

void CaselessMatcher::erase(const ListEntries& entries, uint32_t number) {
  index_.erase(hash_of_lower(entries.text(number)), number);
}

uint32_t CaselessMatcher::find_exact(const ListEntries& entries, std::string_view key) const {
  if (key.size() > kTextBytesMax) return ListEntries::kNone;
  return index_.find(hash_of_lower(key), [&](uint32_t number) { return equal_in_any_case(entries.text(number), key); });
}

uint32_t CaselessMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  if (!value.is(Kind::kString)) return ListEntries::kNone;
  const uint32_t number = find_exact(entries, value.str());
  return number != ListEntries::kNone && entries.live(number, now_ms) ? number : ListEntries::kNone;
}

// --- integers ---

base::Result<std::string> IntMatcher::canonical(std::string_view text) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return base::invalid("\"" + std::string(text.substr(0, 100)) + "\" is not an integer of 64 bits");
  }
  return std::to_string(number);
}

uint32_t IntMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  if (value.is(Kind::kUint) && value.u <= uint64_t{INT64_MAX}) value = Value::integer(static_cast<int64_t>(value.u));
  if (!value.is(Kind::kInt)) return ListEntries::kNone;
  char text[24];
  char* end = std::to_chars(text, text + sizeof(text), value.i).ptr;
  return text_.match(entries, Value::string({text, static_cast<size_t>(end - text)}), now_ms);
}

// --- domains ---

base::Result<std::string> DomainMatcher::canonical(std::string_view text) {
  if (text.substr(0, 2) == "*.") text.remove_prefix(2);  // a common way to write the same
  if (!text.empty() && text.front() == '.') text.remove_prefix(1);
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  TAMIS_CHECK(check_text(text));
  std::string name(text);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (c == ' ' || c == '/' || c == '@') {
      return base::invalid("\"" + std::string(text.substr(0, 100)) + "\" is not a domain name");
    }
  }
  return name;
}

namespace {

size_t dots_in(std::string_view name) { return static_cast<size_t>(std::count(name.begin(), name.end(), '.')); }

// Writes the name with its ASCII letters small, eight bytes at a time and up to seven behind its end, and counts its
// dots.
size_t lower_and_count_dots(std::string_view name, char* out) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x80 * kOnes, kLow = 0x7f * kOnes;
  size_t dots = 0;
  for (size_t i = 0; i < name.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, name.data() + i, std::min<size_t>(8, name.size() - i));
    const uint64_t low = word & kLow;  // sums below do not carry from byte to byte
    const uint64_t from_a = low + (0x80 - 'A') * kOnes, behind_z = low + (0x7f - 'Z') * kOnes;
    word |= (from_a & ~behind_z & ~word & kHigh) >> 2;
    const uint64_t not_dot = word ^ ('.' * kOnes);
    dots += static_cast<size_t>(__builtin_popcountll(~(((not_dot & kLow) + kLow) | not_dot | kLow)));
    std::memcpy(out + i, &word, sizeof word);
  }
  return dots;
}

}  // namespace

base::Status DomainMatcher::insert(const ListEntries& entries, uint32_t number) {
  if (entries.text(number).size() > 255) return base::invalid("a domain name has at most 255 bytes");
  ++by_dots_[dots_in(entries.text(number))];
  return text_.insert(entries, number);
}

void DomainMatcher::erase(const ListEntries& entries, uint32_t number) {
  --by_dots_[dots_in(entries.text(number))];
  text_.erase(entries, number);
}

uint32_t DomainMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  if (!value.is(Kind::kString) || value.size == 0 || value.size > 255) return ListEntries::kNone;
  char lower[256];
  size_t dots = lower_and_count_dots(value.str(), lower);
  std::string_view name(lower, value.size);
  if (name.back() == '.') {
    name.remove_suffix(1);
    --dots;
  }
  // All that may be looked up is asked for at once, so that the memory's latencies overlap.
  constexpr size_t kSuffixesMax = 128;
  uint8_t starts[kSuffixesMax];
  uint64_t hashes[kSuffixesMax];
  size_t count = 0, start = 0;
  for (; start < name.size() && count < kSuffixesMax; --dots) {
    if (by_dots_[dots] != 0) {
      starts[count] = static_cast<uint8_t>(start);
      hashes[count] = TextMatcher::hash(name.substr(start));
      text_.prefetch(hashes[count++]);
    }
    if (dots == 0) break;
    start = name.find('.', start) + 1;
  }
  for (size_t i = 0; i < count; ++i) {
    uint32_t number = text_.find_hashed(entries, name.substr(starts[i]), hashes[i]);
    if (number != ListEntries::kNone && entries.live(number, now_ms)) return number;
  }
  return ListEntries::kNone;
}

// --- networks ---

namespace {

uint64_t network_hash(const IpData& masked, int length) {
  uint64_t high = 0, low = 0;
  std::memcpy(&high, masked.bytes, 8);
  std::memcpy(&low, masked.bytes + 8, 8);
  return base::combine64(base::combine64(high, low), static_cast<uint64_t>(length) | (masked.is_v6 ? 256u : 0u));
}

uint32_t first_32_bits(const IpData& ip) {
  const uint8_t* at = ip.is_v6 ? ip.bytes : ip.bytes + 12;
  return static_cast<uint32_t>(at[0]) << 24 | static_cast<uint32_t>(at[1]) << 16 | static_cast<uint32_t>(at[2]) << 8 |
         at[3];
}

constexpr size_t kV6Tables = 65536;
size_t v6_table(const IpData& ip) { return base::mix64(first_32_bits(ip)) % kV6Tables; }

constexpr uint32_t words_of_starts(uint32_t intervals) { return (intervals + 1) / 2; }

// How many of the intervals start at or before these lower 16 bits: at least one, since the first starts at 0. Counting
// a few dozen costs less than the wrong guesses of a binary search.
uint32_t intervals_until(const uint32_t* table, uint32_t intervals, uint32_t bits) {
  constexpr uint32_t kCountedMax = 64;
  const auto low = static_cast<uint16_t>(bits);
  const auto* starts = reinterpret_cast<const unsigned char*>(table);
  auto start_at = [starts](uint32_t i) {
    uint16_t start;
    std::memcpy(&start, starts + i * sizeof start, sizeof start);
    return start;
  };
  uint32_t first = 0, count = intervals;
  while (count > kCountedMax) {  // the answer's start lies in [first, first + count)
    const uint32_t half = count / 2;
    if (start_at(first + half) <= low) {
      first += half;
      count -= half;
    } else {
      count = half;
    }
  }
  uint32_t until = first;
  for (uint32_t i = 0; i < count; ++i) until += start_at(first + i) <= low;
  return until;
}

bool read_entry(std::string_view text, IpData& network) {
  if (text.find('/') == std::string_view::npos) {
    if (!event::parse_ip(text, network)) return false;
    network.prefix = network.is_v6 ? 128 : 32;
    return true;
  }
  if (!event::parse_cidr(text, network)) return false;
  network = event::mask_ip(network, network.prefix);
  return true;
}

}  // namespace

base::Result<std::string> NetworkMatcher::canonical(std::string_view text) {
  IpData network;
  if (!read_entry(text, network)) {
    return base::invalid("\"" + std::string(text.substr(0, 100)) +
                         "\" is not an address or a network like 192.0.2.0/24 or 2001:db8::/32");
  }
  char out[event::kIpTextBytesMax];
  return std::string(event::format_cidr(network, out));
}

base::Status NetworkMatcher::insert(const ListEntries& entries, uint32_t number) {
  IpData network;
  if (!read_entry(entries.text(number), network)) return base::invalid("not a network");
  index_.insert(network_hash(network, network.prefix), number);
  ++(network.is_v6 ? v6_count_[network.prefix] : v4_count_[network.prefix]);
  if (network.is_v6 && network.prefix >= 32) {
    if (!v6_lengths_) v6_lengths_ = std::make_unique<Lengths[]>(kV6Tables);
    Lengths& lengths = v6_lengths_[v6_table(network)];
    if (network.prefix < 64) {
      lengths.low |= uint64_t{1} << network.prefix;
    } else if (network.prefix < 128) {
      lengths.high |= uint64_t{1} << (network.prefix - 64);
    } else {
      lengths.full = true;
    }
  } else if (!network.is_v6 && network.prefix >= kBucketBits) {
    if (v4_buckets_.empty()) v4_buckets_.resize(65536);
    Bucket& bucket = v4_buckets_[first_32_bits(network) >> 16];
    if (bucket.members == 0) {
      v4_members_.emplace_back();
      bucket.members = static_cast<uint32_t>(v4_members_.size());
    }
    v4_members_[bucket.members - 1].push_back(number);
    bucket.table.reset();
  }
  return {};
}

void NetworkMatcher::erase(const ListEntries& entries, uint32_t number) {
  IpData network;
  if (!read_entry(entries.text(number), network)) return;
  --(network.is_v6 ? v6_count_[network.prefix] : v4_count_[network.prefix]);
  index_.erase(network_hash(network, network.prefix), number);
  if (network.is_v6 || network.prefix < kBucketBits) return;
  Bucket& bucket = v4_buckets_[first_32_bits(network) >> 16];
  std::erase(v4_members_[bucket.members - 1], number);
  bucket.table.reset();
}

void NetworkMatcher::changed(const ListEntries& entries, uint32_t number) {
  IpData network;
  if (!read_entry(entries.text(number), network) || network.is_v6 || network.prefix < kBucketBits) return;
  v4_buckets_[first_32_bits(network) >> 16].table.reset();
}

// Sweeps over the networks by start, the shorter first, with a stack of those that are open.
void NetworkMatcher::rebuild(const ListEntries& entries, Bucket& bucket) const {
  struct Range {
    uint32_t start, end, number;
  };
  std::vector<Range> ranges, open;
  for (uint32_t number : v4_members_[bucket.members - 1]) {
    IpData network;
    if (!read_entry(entries.text(number), network)) continue;
    uint32_t start = first_32_bits(network) & 0xFFFF;
    uint32_t marked = entries.expires_ms(number) == kNeverExpires ? number : number | kExpires;
    ranges.push_back({start, start + (uint32_t{1} << (32 - network.prefix)), marked});
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.start != b.start ? a.start < b.start : a.end > b.end; });
  std::vector<uint16_t> starts(1, 0);
  std::vector<uint32_t> best(1, ListEntries::kNone);
  auto from = [&](uint32_t start, uint32_t number) {
    if (start > 0xFFFF) return;
    if (starts.back() == start) {
      best.back() = number;
    } else {
      starts.push_back(static_cast<uint16_t>(start));
      best.push_back(number);
    }
  };
  auto close_until = [&](uint32_t start) {
    while (!open.empty() && open.back().end <= start) {
      uint32_t end = open.back().end;
      open.pop_back();
      from(end, open.empty() ? ListEntries::kNone : open.back().number);
    }
  };
  for (const Range& range : ranges) {
    close_until(range.start);
    from(range.start, range.number);
    open.push_back(range);
  }
  close_until(UINT32_MAX);
  bucket.intervals = static_cast<uint32_t>(starts.size());
  const size_t words = words_of_starts(bucket.intervals);
  bucket.table = std::make_unique<uint32_t[]>(words + best.size());
  std::memcpy(bucket.table.get(), starts.data(), starts.size() * sizeof(uint16_t));
  std::copy(best.begin(), best.end(), bucket.table.get() + words);
}

uint32_t NetworkMatcher::find_exact(const ListEntries& entries, std::string_view key) const {
  IpData network;
  if (!read_entry(key, network)) return ListEntries::kNone;
  return index_.find(network_hash(network, network.prefix),
                     [&](uint32_t number) { return entries.text(number) == key; });
}

uint32_t NetworkMatcher::probe(const ListEntries& entries, const IpData& ip, int length, int64_t now_ms) const {
  IpData masked = event::mask_ip(ip, length);
  char text[event::kIpTextBytesMax];
  std::string_view key;
  return index_.find(network_hash(masked, length), [&](uint32_t number) {
    if (key.empty()) key = event::format_cidr(masked, text);
    return entries.text(number) == key && entries.live(number, now_ms);
  });
}

// The longest live network of at most `from` bits, each length probed.
uint32_t NetworkMatcher::probe_down(const ListEntries& entries, const IpData& ip, int from, int64_t now_ms) const {
  for (int length = from; length >= 0; --length) {
    auto at = static_cast<size_t>(length);
    if ((ip.is_v6 ? v6_count_[at] : v4_count_[at]) == 0) continue;
    uint32_t number = probe(entries, ip, length, now_ms);
    if (number != ListEntries::kNone) return number;
  }
  return ListEntries::kNone;
}

uint32_t NetworkMatcher::match_v4(const ListEntries& entries, const IpData& ip, int64_t now_ms) const {
  uint32_t bits = first_32_bits(ip);
  if (!v4_buckets_.empty() && v4_buckets_[bits >> 16].members != 0) {
    Bucket& bucket = v4_buckets_[bits >> 16];
    if (bucket.table == nullptr) rebuild(entries, bucket);
    const uint32_t words = words_of_starts(bucket.intervals);
    uint32_t best = bucket.table[words + intervals_until(bucket.table.get(), bucket.intervals, bits) - 1];
    if (best != ListEntries::kNone) {
      if ((best & kExpires) == 0) return best;
      best &= ~kExpires;
      return entries.live(best, now_ms) ? best : probe_down(entries, ip, 32, now_ms);
    }
  }
  return probe_down(entries, ip, kBucketBits - 1, now_ms);
}

uint32_t NetworkMatcher::match_v6(const ListEntries& entries, const IpData& ip, int64_t now_ms) const {
  if (v6_lengths_) {
    const Lengths& lengths = v6_lengths_[v6_table(ip)];
    if (lengths.full) {
      if (uint32_t number = probe(entries, ip, 128, now_ms); number != ListEntries::kNone) return number;
    }
    for (int half = 1; half >= 0; --half) {
      for (uint64_t bits = half ? lengths.high : lengths.low; bits != 0;) {
        int top = 63 - __builtin_clzll(bits);
        bits &= ~(uint64_t{1} << top);
        uint32_t number = probe(entries, ip, top + 64 * half, now_ms);
        if (number != ListEntries::kNone) return number;
      }
    }
  }
  return probe_down(entries, ip, 31, now_ms);
}

uint32_t NetworkMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  IpData ip;
  if (value.is(Kind::kIp)) {
    ip = *value.ip;
  } else if (!value.is(Kind::kString) || !event::parse_ip(value.str(), ip)) {
    return ListEntries::kNone;
  }
  return ip.is_v6 ? match_v6(entries, ip, now_ms) : match_v4(entries, ip, now_ms);
}

}  // namespace tamis::state
