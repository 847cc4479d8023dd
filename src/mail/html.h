// HTML of mail as a reader would see it: the visible text, and apart from it the text that is there but cannot be seen,
// with links, pictures, forms and the order of elements. No tree is built and no style is computed beyond what hides
// text: inline styles, simple selectors of style sheets (outside of @media, which adapts to small screens), colours of
// text and ground as they are inherited, the old attributes.
//
// One pass, no recursion; any bytes are accepted. Cost: 4 to 8 ns a byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/anomaly.h"
#include "mail/limits.h"

namespace tamis::mail {

enum class LinkKind : uint8_t { kAnchor, kText, kForm, kImage, kResource };  // kText: written out in text
std::string_view name_of(LinkKind kind);

struct HtmlLink {
  std::string_view target;  // entities decoded
  std::string_view shown;   // visible text of an anchor
  LinkKind kind = LinkKind::kAnchor;
  bool hidden = false;  // cannot be seen
};

struct HtmlCounts {
  uint32_t tags = 0, unknown_tags = 0, comments = 0, styles = 0;
  uint32_t images = 0, remote_images = 0, embedded_images = 0;  // http(s); cid: and data:
  uint32_t tiny_images = 0;                                     // at most 2 pixels wide or high: counters
  uint32_t forms = 0, inputs = 0, password_inputs = 0;
  uint32_t scripts = 0, event_handlers = 0, frames = 0, objects = 0, meta_refresh = 0, base_hrefs = 0;
  uint32_t tables = 0, fonts = 0, anchors = 0, data_links = 0, script_links = 0;
  uint32_t comment_bytes = 0;
  uint32_t hidden_elements = 0;  // that hide what is in them
  uint32_t hidden_by_colour = 0, hidden_by_size = 0, hidden_by_display = 0, hidden_by_place = 0;
  uint32_t numeric_entities = 0;  // of letters and digits that need none
  uint32_t words_split = 0;       // a tag or comment inside of a word
};

struct HtmlText {
  std::string_view visible, hidden, title;
  std::vector<HtmlLink> links;
  std::vector<uint32_t> tags;  // elements in order: hashes of the names
  HtmlCounts counts;
};

class HtmlReader {
 public:
  // `html` is valid UTF-8 and outlives `out`, as does the arena. `out` is emptied first and keeps its memory.
  void read(std::string_view html, const Limits& limits, base::Arena& arena, AnomalySet& anomalies, HtmlText& out);

 private:
  struct Walk;
  struct Frame;
  struct StyleRule;
  std::vector<Frame> frames_;
  std::vector<StyleRule> rules_;

 public:
  HtmlReader();
  ~HtmlReader();
  HtmlReader(HtmlReader&&) noexcept;
};

// The name of an element in the tag list, for explanations; empty for names that are none of HTML.
std::string_view html_tag_name(uint32_t hash);

// One entity ("&amp;", "&#x41;") at `at`; moves behind it. 0: none.
uint32_t read_entity(std::string_view text, size_t& at);

}  // namespace tamis::mail
