// Answers of DNS servers of any bytes, asked as each type; and a cache that holds what comes out of them.
#include "base/assert.h"
#include "net/dns_cache.h"
#include "net/dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tamis;
  if (size > 65'535) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  net::DnsCacheLimits limits;
  limits.entries_max = 3;
  limits.bytes_max = 4'096;
  net::DnsCache cache(limits);
  for (const auto type :
       {event::DnsType::kA, event::DnsType::kAaaa, event::DnsType::kMx, event::DnsType::kTxt, event::DnsType::kPtr}) {
    const event::DnsQuestion question{type, "x.example"};
    const auto answer = std::make_shared<const event::DnsAnswer>(net::read_dns_message(bytes, question));
    const size_t records =
        answer->addresses.size() + answer->texts.size() + answer->exchanges.size() + answer->names.size();
    TAMIS_ASSERT(answer->status == event::DnsStatus::kOk || records == 0 ||
                 answer->status == event::DnsStatus::kFailed);
    TAMIS_ASSERT(records <= size);
    size_t text_bytes = 0;
    for (const std::string& text : answer->texts) text_bytes += text.size();
    TAMIS_ASSERT(text_bytes <= size);
    for (const std::string& name : answer->names) TAMIS_ASSERT(event::is_dns_name(name));
    for (const auto& exchange : answer->exchanges) {
      TAMIS_ASSERT(exchange.host.empty() || event::is_dns_name(exchange.host));
    }
    cache.put(net::DnsCache::key_of(question), answer, 0);
    TAMIS_ASSERT(cache.bytes() <= limits.bytes_max && cache.entries() <= limits.entries_max);
  }
  return 0;
}
