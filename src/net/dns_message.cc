#include "net/dns_message.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tamis::net {
namespace {

using event::DnsAnswer;
using event::DnsQuestion;
using event::DnsStatus;
using event::DnsType;

constexpr uint16_t kTypeA = 1, kTypeCname = 5, kTypeSoa = 6, kTypePtr = 12, kTypeMx = 15, kTypeTxt = 16, kTypeAaaa = 28;
constexpr uint16_t kClassIn = 1;

uint16_t wire_type(DnsType type) {
  constexpr uint16_t types[] = {kTypeA, kTypeAaaa, kTypeMx, kTypeTxt, kTypePtr};
  return types[static_cast<size_t>(type)];
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  size_t at() const { return at_; }
  void seek(size_t at) { at_ = at; }
  bool has(size_t bytes) const { return bytes <= bytes_.size() && at_ <= bytes_.size() - bytes; }
  bool u16(uint16_t& out) {
    if (!has(2)) return false;
    out = static_cast<uint16_t>(byte(at_) << 8 | byte(at_ + 1));
    at_ += 2;
    return true;
  }
  bool u32(uint32_t& out) {
    uint16_t high = 0, low = 0;
    if (!u16(high) || !u16(low)) return false;
    out = static_cast<uint32_t>(high) << 16 | low;
    return true;
  }
  std::string_view take(size_t bytes) {
    const std::string_view out = bytes_.substr(at_, bytes);
    at_ += bytes;
    return out;
  }
  // A name, pointers followed: each must point before the last, so there is no loop. Labels with a dot inside, which
  // would read as two, make the name empty, like the root.
  bool name(std::string& out);

 private:
  unsigned byte(size_t at) const { return static_cast<uint8_t>(bytes_[at]); }
  std::string_view bytes_;
  size_t at_ = 0;
};

bool Reader::name(std::string& out) {
  out.clear();
  size_t at = at_, before = at_, total = 0;
  bool jumped = false, ambiguous = false;
  for (;;) {
    if (at >= bytes_.size()) return false;
    const unsigned size = byte(at);
    if (size == 0) {
      if (!jumped) at_ = at + 1;
      if (ambiguous) out.clear();
      return true;
    }
    if ((size & 0xc0) == 0xc0) {
      if (at + 1 >= bytes_.size()) return false;
      const size_t target = (size & 0x3f) << 8 | byte(at + 1);
      if (target >= before) return false;
      if (!jumped) at_ = at + 2;
      jumped = true;
      at = before = target;
      continue;
    }
    total += size + 1;
    if (size > 63 || total > 254 || at + 1 + size > bytes_.size()) return false;
    const std::string_view label = bytes_.substr(at + 1, size);
    ambiguous |= label.find('.') != std::string_view::npos;
    if (!out.empty()) out += '.';
    out += label;
    at += 1 + size;
  }
}

struct Record {
  std::string owner;
  uint16_t type = 0;
  uint32_t ttl_s = 0;
  size_t data = 0, data_bytes = 0;
};

// One resource record; false: malformed. Of other classes the type is 0.
bool read_record(Reader& reader, Record& out) {
  uint16_t record_class = 0, data_bytes = 0;
  if (!reader.name(out.owner) || !reader.u16(out.type) || !reader.u16(record_class) || !reader.u32(out.ttl_s) ||
      !reader.u16(data_bytes) || !reader.has(data_bytes)) {
    return false;
  }
  if (record_class != kClassIn) out.type = 0;
  if (out.ttl_s > 0x7fffffff) out.ttl_s = 0;  // RFC 2181 section 8
  out.data = reader.at();
  out.data_bytes = data_bytes;
  reader.seek(out.data + data_bytes);
  return true;
}

// Adds what a record holds; false: malformed.
bool add_data(Reader reader, const Record& record, DnsAnswer& answer) {
  reader.seek(record.data);
  const size_t end = record.data + record.data_bytes;
  switch (record.type) {
    case kTypeA:
    case kTypeAaaa: {
      const size_t size = record.type == kTypeA ? 4 : 16;
      if (record.data_bytes != size) return false;
      event::IpData ip{};
      ip.is_v6 = size == 16;
      ip.prefix = static_cast<uint8_t>(size * 8);
      std::memcpy(ip.bytes + 16 - size, reader.take(size).data(), size);
      answer.addresses.push_back(ip);
      return true;
    }
    case kTypeTxt: {
      std::string text;
      while (reader.at() < end) {
        const auto size = static_cast<uint8_t>(reader.take(1)[0]);
        if (reader.at() + size > end) return false;
        text += reader.take(size);
      }
      answer.texts.push_back(std::move(text));
      return true;
    }
    case kTypeMx: {
      DnsAnswer::Exchange exchange;
      if (!reader.u16(exchange.preference) || !reader.name(exchange.host) || reader.at() != end) return false;
      // A lone dot says that there is no mail here (RFC 7505): an exchange without a host.
      if (exchange.host.empty() || event::is_dns_name(exchange.host)) answer.exchanges.push_back(std::move(exchange));
      return true;
    }
    case kTypePtr: {
      std::string name;
      if (!reader.name(name) || reader.at() != end) return false;
      if (event::is_dns_name(name)) answer.names.push_back(std::move(name));
      return true;
    }
    default:
      return true;
  }
}

DnsAnswer failed(std::string reason) {
  DnsAnswer answer;
  answer.reason = std::move(reason);
  return answer;
}

// The negative time of an SOA record: the lesser of its TTL and its last field (RFC 2308 section 5).
uint32_t negative_ttl_s(Reader reader, const Record& record) {
  reader.seek(record.data);
  std::string name;
  uint32_t number = 0, minimum = 0;
  if (!reader.name(name) || !reader.name(name)) return 0;
  for (int i = 0; i < 4; ++i) {
    if (!reader.u32(number)) return 0;
  }
  return reader.u32(minimum) ? std::min(minimum, record.ttl_s) : 0;
}

// Follows the aliases from `name`; false: a loop, or too many. `ttl_s` becomes the least of theirs.
bool follow_aliases(Reader reader, const std::vector<Record>& records, std::string& name, uint32_t& ttl_s) {
  for (int links = 0; links <= kDnsAliasesMax; ++links) {
    const auto alias = std::find_if(records.begin(), records.end(), [&](const Record& record) {
      return record.type == kTypeCname && same_name(record.owner, name);
    });
    if (alias == records.end()) return true;
    reader.seek(alias->data);
    if (!reader.name(name)) return false;
    ttl_s = std::min(ttl_s, alias->ttl_s);
  }
  return false;
}

}  // namespace

DnsAnswer read_dns_message(std::string_view bytes, const DnsQuestion& question) {
  Reader reader(bytes);
  uint16_t id = 0, flags = 0, counts[4] = {};
  if (!reader.u16(id) || !reader.u16(flags)) return failed("the answer is cut off");
  for (uint16_t& count : counts) {
    if (!reader.u16(count)) return failed("the answer is cut off");
  }
  const int code = flags & 15;
  if ((flags & 0x8000) == 0) return failed("no answer, but a question");
  if (code != 0 && code != 3) return failed("the server says error " + std::to_string(code));
  if ((flags & 0x0200) != 0) return failed("the answer is cut off");
  std::string name;
  uint16_t type = 0, question_class = 0;
  if (counts[0] != 1 || !reader.name(name) || !reader.u16(type) || !reader.u16(question_class) ||
      type != wire_type(question.type) || !same_name(name, question.name)) {
    return failed("the answer is to another question");
  }
  std::vector<Record> records(counts[1]);
  for (Record& record : records) {
    if (!read_record(reader, record)) return failed("a record is malformed");
  }
  DnsAnswer answer;
  answer.ttl_s = UINT32_MAX;
  if (!follow_aliases(reader, records, name, answer.ttl_s)) return failed("its aliases do not end");
  for (const Record& record : records) {
    if (record.type != type || !same_name(record.owner, name)) continue;
    if (!add_data(reader, record, answer)) return failed("a record is malformed");
    answer.ttl_s = std::min(answer.ttl_s, record.ttl_s);
    answer.status = DnsStatus::kOk;
  }
  if (answer.status == DnsStatus::kOk) {
    std::stable_sort(answer.exchanges.begin(), answer.exchanges.end(),
                     [](const auto& a, const auto& b) { return a.preference < b.preference; });
    return answer;
  }
  answer.status = code == 3 ? DnsStatus::kNoName : DnsStatus::kNoData;
  uint32_t ttl_s = 0;
  for (uint16_t i = 0; i < counts[2]; ++i) {
    Record record;
    if (!read_record(reader, record)) break;
    if (record.type == kTypeSoa) ttl_s = negative_ttl_s(reader, record);
  }
  answer.ttl_s = std::min(answer.ttl_s, ttl_s);
  return answer;
}

}  // namespace tamis::net
