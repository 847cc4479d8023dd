// What others wrote on a message's way: tag lists, Authentication-Results and Received of any bytes; records of DKIM
// and DMARC; and our own header text, which no text of a sender may break out of.
#include <algorithm>

#include "base/assert.h"
#include "mail/authentication.h"
#include "mail/trace.h"

using namespace tamis::mail;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  tamis::base::Arena arena;
  TagList tags;
  parse_tags(text, arena, tags);
  for (const TagList::Tag& tag : tags.tags) TAMIS_ASSERT(tag.begin <= tag.end && tag.end <= text.size());
  parse_received(text, arena);
  std::vector<AuthResult> found;
  parse_authentication_results(text, 64, arena, found);
  TAMIS_ASSERT(found.size() <= 64);
  const DmarcRecord record = parse_dmarc_record(text, arena);
  TAMIS_ASSERT(!record.valid || is_dmarc_record(text));
  TAMIS_ASSERT(record.percent <= 100);
  auto list = parse_dns_list(text);
  TAMIS_ASSERT(!list || (!list->zone.empty() && list->codes.size() <= kDnsListCodesMax));

  MailAuthResults results;
  const std::string field(text.substr(0, 200));
  results.spf.domain = "a.example";
  results.spf.sender = results.spf.reason = results.spf.client_ip = field;
  results.dkim.push_back({});
  results.dkim[0].domain = results.dkim[0].selector = results.dkim[0].identity = field;
  results.dkim[0].algorithm = results.dkim[0].signature_start = field;
  results.dmarc.reason = field;
  results.dmarc.from_domain = "x" + field;
  const std::string header = results.to_authentication_results("mx.example.net", " ");
  TAMIS_ASSERT(std::all_of(header.begin(), header.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  // Read back there are our three results and no more.
  found.clear();
  parse_authentication_results(header, 64, arena, found);
  TAMIS_ASSERT(found.size() == 3 && found[0].method == "spf" && found[1].method == "dkim" &&
               found[2].method == "dmarc");
  TAMIS_ASSERT(found[0].server == "mx.example.net" && found[1].result == "none" && found[2].result == "none");
  return 0;
}
