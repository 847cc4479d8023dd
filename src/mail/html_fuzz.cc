// Any UTF-8 as HTML: what is seen and what is hidden is valid UTF-8 and not longer than what came, links are within
// bounds, and text without markup passes as it is.
#include "base/assert.h"
#include "mail/charset.h"
#include "mail/html.h"
#include "mail/links.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tamis::mail;
  const std::string_view html(reinterpret_cast<const char*>(data), size);
  if (valid_utf8_bytes(html) != html.size()) return 0;
  static HtmlReader reader;
  static HtmlText out;
  static tamis::base::Arena arena;
  arena.reset();
  Limits limits;
  limits.html_depth_max = 16;
  limits.links_max = 20;
  AnomalySet anomalies;
  reader.read(html, limits, arena, anomalies, out);
  TAMIS_ASSERT(out.visible.size() + out.hidden.size() <= html.size() * 2 + 32);
  TAMIS_ASSERT(valid_utf8_bytes(out.visible) == out.visible.size());
  TAMIS_ASSERT(valid_utf8_bytes(out.hidden) == out.hidden.size());
  TAMIS_ASSERT(out.links.size() <= limits.links_max);
  for (const HtmlLink& link : out.links) {
    const Link taken = make_link(link, arena);
    TAMIS_ASSERT(taken.host.size() <= 1024);
  }
  std::vector<FoundText> found;
  find_in_text(out.visible, 10, arena, found);
  TAMIS_ASSERT(found.size() <= 10);
  return 0;
}
