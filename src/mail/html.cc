#include "mail/html.h"

#include <algorithm>
#include <cstring>

#include "mail/ascii.h"
#include "mail/charset.h"
#include "mail/html_names.h"
#include "mail/html_style.h"

namespace tamis::mail {
namespace {

constexpr uint32_t kA = html_name_hash("a"), kImg = html_name_hash("img"), kForm = html_name_hash("form"),
                   kInput = html_name_hash("input"), kStyle = html_name_hash("style"),
                   kScript = html_name_hash("script"), kIframe = html_name_hash("iframe"),
                   kFrame = html_name_hash("frame"), kObject = html_name_hash("object"),
                   kEmbed = html_name_hash("embed"), kMeta = html_name_hash("meta"), kBase = html_name_hash("base"),
                   kTable = html_name_hash("table"), kFont = html_name_hash("font"), kTitle = html_name_hash("title"),
                   kArea = html_name_hash("area"), kLink = html_name_hash("link"),
                   kTemplate = html_name_hash("template"), kP = html_name_hash("p"), kLi = html_name_hash("li"),
                   kTr = html_name_hash("tr"), kTd = html_name_hash("td"), kBody = html_name_hash("body"),
                   kHead = html_name_hash("head"), kTextarea = html_name_hash("textarea"),
                   kHtml = html_name_hash("html");

std::string_view decode_entities(std::string_view text, base::Arena& arena) {
  if (text.find('&') == std::string_view::npos) return text;
  char* out = arena.allocate_array<char>(text.size() + 4);
  size_t size = 0;
  for (size_t at = 0; at < text.size();) {
    const uint32_t point = text[at] == '&' ? read_entity(text, at) : 0;
    if (point != 0) {
      size += put_code_point(point, out + size);
    } else {
      out[size++] = text[at++];
    }
  }
  return {out, size};
}

// Attributes that matter; views into the tag.
struct Attributes {
  std::string_view href, src, action, style, colour, ground, background, size, width, height, type, class_names, id,
      alt, content, http_equiv;
  bool hidden = false, handler = false;
};

void note_attribute(std::string_view name, std::string_view value, Attributes& a) {
  const auto is = [&](std::string_view lower) { return equals_lower(name, lower); };
  const auto set = [&](std::string_view& slot) {
    if (slot.data() == nullptr) slot = value;  // the first of a name counts, as in browsers
  };
  switch (to_lower(name[0])) {
    case 'a':
      if (is("action")) set(a.action);
      if (is("alt")) set(a.alt);
      break;
    case 'b':
      if (is("bgcolor")) set(a.ground);
      if (is("background")) set(a.background);
      break;
    case 'c':
      if (is("class")) set(a.class_names);
      if (is("color")) set(a.colour);
      if (is("content")) set(a.content);
      break;
    case 'h':
      if (is("href")) set(a.href);
      if (is("height")) set(a.height);
      if (is("hidden")) a.hidden = true;
      if (is("http-equiv")) set(a.http_equiv);
      break;
    case 'i':
      if (is("id")) set(a.id);
      break;
    case 'o':
      if (name.size() > 4 && to_lower(name[1]) == 'n') a.handler = true;
      break;
    case 's':
      if (is("src")) set(a.src);
      if (is("style")) set(a.style);
      if (is("size")) set(a.size);
      break;
    case 't':
      if (is("type")) set(a.type);
      if (is("text")) set(a.colour);
      break;
    case 'w':
      if (is("width")) set(a.width);
      break;
    default:
      break;
  }
}

bool at_most_two_pixels(std::string_view value) {
  value = trim(value);
  if (value.empty() || value[0] < '0' || value[0] > '2') return false;
  return value.size() == 1 || equals_lower(value.substr(1), "px");
}

}  // namespace

std::string_view name_of(LinkKind kind) {
  constexpr std::string_view names[] = {"anchor", "text", "form", "image", "resource"};
  return names[static_cast<size_t>(kind)];
}

struct HtmlReader::Frame {
  uint32_t tag = 0;
  uint32_t colour = 0x000000, ground = 0xffffff;
  Hiding hiding = Hiding::kNone;  // of this element or one around it
  int32_t link = -1;              // the anchor that it is or stands in
  size_t link_begin = 0;          // where the anchor's text begins, in its own frame
};

struct HtmlReader::StyleRule {
  uint32_t selector;  // hash of ".class" or "#id"
  Style style;
};

struct HtmlReader::Walk {
  HtmlReader& reader;
  std::string_view html;
  const Limits& limits;
  base::Arena& arena;
  AnomalySet& anomalies;
  HtmlText& out;
  char *visible, *hidden;
  size_t visible_size = 0, hidden_size = 0;
  uint64_t selectors_seen = 0;
  bool word_open = false;  // the last visible byte was a letter, and no white space or block followed
  bool broken_by_tag = false;

  Frame& top() { return reader.frames_.back(); }

  bool unseen() { return top().hiding != Hiding::kNone || alike(top().colour, top().ground); }

  void put(char*& buffer, size_t& size, char c) {
    if (is_space(c)) {
      if (size == 0 || is_space(buffer[size - 1])) return;
      c = ' ';
    }
    buffer[size++] = c;
  }

  void add_text(std::string_view text) {
    const bool unseen_here = unseen();
    char*& buffer = unseen_here ? hidden : visible;
    size_t& size = unseen_here ? hidden_size : visible_size;
    if (!unseen_here && broken_by_tag && word_open && !text.empty() && is_alpha(text[0])) ++out.counts.words_split;
    broken_by_tag = false;
    size_t at = 0;
    while (at < text.size()) {
      if (text[at] == '&') {
        const size_t before = at;
        const uint32_t point = read_entity(text, at);
        if (point != 0) {
          if (point < 128 && is_alnum(static_cast<char>(point)) && text[before + 1] == '#')
            ++out.counts.numeric_entities;
          if (point < 128) {
            put(buffer, size, static_cast<char>(point));
          } else {
            size += put_code_point(point, buffer + size);
          }
          continue;
        }
      }
      put(buffer, size, text[at++]);
    }
    if (!unseen_here) word_open = visible_size > 0 && is_alpha(visible[visible_size - 1]);
  }

  void separate(char c) {
    const bool unseen_here = unseen();
    char* buffer = unseen_here ? hidden : visible;
    size_t& size = unseen_here ? hidden_size : visible_size;
    word_open = false;
    if (size == 0) return;
    if (is_space(buffer[size - 1])) {
      if (c == '\n') buffer[size - 1] = '\n';
    } else {
      buffer[size++] = c;
    }
  }

  void add_link(std::string_view target, LinkKind kind) {
    target = trim(decode_entities(target, arena));
    if (target.empty()) return;
    if (starts_lower(target, "javascript:") || starts_lower(target, "vbscript:")) ++out.counts.script_links;
    if (starts_lower(target, "data:")) ++out.counts.data_links;
    if (out.links.size() >= limits.links_max) {
      anomalies.add(Anomaly::kLinksTooMany);
      return;
    }
    out.links.push_back({target, {}, kind, unseen()});
  }

  // Anchors end where their frame is popped; what was written since is what they show.
  void finish_link(const Frame& frame) {
    if (frame.link < 0 || frame.tag != kA) return;
    HtmlLink& link = out.links[static_cast<size_t>(frame.link)];
    if (link.shown.empty() && frame.link_begin <= visible_size) {
      link.shown = trim({visible + frame.link_begin, visible_size - frame.link_begin});
    }
  }

  void pop_to(size_t depth) {
    while (reader.frames_.size() > depth) {
      finish_link(reader.frames_.back());
      reader.frames_.pop_back();
    }
  }

  void close(uint32_t tag) {
    // Only so far up: unmatched end tags must not cost more than that.
    const size_t size = reader.frames_.size();
    for (size_t i = size; i-- > 1 && size - i <= 64;) {
      if (reader.frames_[i].tag == tag) {
        pop_to(i);
        return;
      }
    }
  }

  Style style_of(const Attributes& a) {
    Style style;
    if (selectors_seen != 0) apply_sheet(a, style);
    if (a.colour.data() != nullptr) style.colour = parse_colour(a.colour);
    if (a.ground.data() != nullptr) style.ground = parse_colour(a.ground);
    if (!a.background.empty()) style.ground = kColourUnknown;
    if (!a.style.empty()) apply_declarations(decode_entities(a.style, arena), style);
    if (a.hidden) style.hiding = Hiding::kDisplay;
    return style;
  }

  void apply_rule(uint32_t selector, Style& style) {
    if (((selectors_seen >> (selector & 63)) & 1) == 0) return;
    for (const StyleRule& rule : reader.rules_) {
      if (rule.selector != selector) continue;
      if (rule.style.colour != kColourUnset) style.colour = rule.style.colour;
      if (rule.style.ground != kColourUnset) style.ground = rule.style.ground;
      if (rule.style.hiding != Hiding::kNone) style.hiding = rule.style.hiding;
      style.shown_again |= rule.style.shown_again;
    }
  }

  static uint32_t selector_hash(char kind, std::string_view name) {
    uint32_t hash = 2166136261u ^ static_cast<uint8_t>(kind);
    for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
    return hash ^ hash >> 15;
  }

  void apply_sheet(const Attributes& a, Style& style) {
    size_t at = 0;
    for (int classes = 0; classes < 8 && at < a.class_names.size(); ++classes) {
      while (at < a.class_names.size() && is_space(a.class_names[at])) ++at;
      const size_t begin = at;
      while (at < a.class_names.size() && !is_space(a.class_names[at])) ++at;
      if (at > begin) apply_rule(selector_hash('.', a.class_names.substr(begin, at - begin)), style);
    }
    if (!a.id.empty()) apply_rule(selector_hash('#', a.id), style);
  }

  // Rules with one class or id, outside of any @ block.
  void read_sheet(std::string_view css) {
    size_t at = 0;
    while (at < css.size() && reader.rules_.size() < limits.html_style_rules_max) {
      const size_t open = css.find('{', at);
      if (open == std::string_view::npos) return;
      const std::string_view selectors = trim(css.substr(at, open - at));
      if (selectors.find('@') != std::string_view::npos) {
        size_t depth = 1;
        for (at = open + 1; at < css.size() && depth > 0; ++at) depth += css[at] == '{' ? 1 : css[at] == '}' ? -1u : 0;
        continue;
      }
      size_t end = css.find('}', open);
      if (end == std::string_view::npos) end = css.size();
      Style style;
      apply_declarations(css.substr(open + 1, end - open - 1), style);
      at = end + 1;
      if (style.hiding == Hiding::kNone && style.colour == kColourUnset && style.ground == kColourUnset) continue;
      add_rules(selectors, style);
    }
  }

  void add_rules(std::string_view selectors, const Style& style) {
    size_t at = 0;
    while (at <= selectors.size() && reader.rules_.size() < limits.html_style_rules_max) {
      size_t end = selectors.find(',', at);
      if (end == std::string_view::npos) end = selectors.size();
      std::string_view one = trim(selectors.substr(at, end - at));
      at = end + 1;
      const size_t mark = one.find_first_of(".#");
      if (mark == std::string_view::npos || one.find_first_of(" >:[+~*") != std::string_view::npos) continue;
      const std::string_view name = one.substr(mark + 1);
      if (name.empty() || name.find_first_of(".#") != std::string_view::npos) continue;
      const uint32_t selector = selector_hash(one[mark], name);
      reader.rules_.push_back({selector, style});
      selectors_seen |= uint64_t{1} << (selector & 63);
    }
  }

  void note_hiding(const Style& style, bool before, bool after) {
    if (before || !after) return;
    HtmlCounts& c = out.counts;
    ++c.hidden_elements;
    switch (style.hiding) {
      case Hiding::kDisplay:
        ++c.hidden_by_display;
        break;
      case Hiding::kSize:
        ++c.hidden_by_size;
        break;
      case Hiding::kPlace:
        ++c.hidden_by_place;
        break;
      case Hiding::kNone:
        ++c.hidden_by_colour;
        break;
    }
  }

  void count_element(uint32_t tag, const Attributes& a) {
    HtmlCounts& c = out.counts;
    if (a.handler) ++c.event_handlers;
    if (tag == kImg) {
      ++c.images;
      if (starts_lower(a.src, "http") || a.src.starts_with("//")) ++c.remote_images;
      if (starts_lower(a.src, "cid:") || starts_lower(a.src, "data:")) ++c.embedded_images;
      if (at_most_two_pixels(a.width) || at_most_two_pixels(a.height)) ++c.tiny_images;
      if (!starts_lower(a.src, "cid:") && !starts_lower(a.src, "data:")) add_link(a.src, LinkKind::kImage);
      if (!a.alt.empty()) {
        add_text(" ");
        add_text(a.alt);
        add_text(" ");
      }
    } else if (tag == kForm) {
      ++c.forms;
      add_link(a.action, LinkKind::kForm);
    } else if (tag == kInput) {
      ++c.inputs;
      if (equals_lower(trim(a.type), "password")) ++c.password_inputs;
    } else if (tag == kIframe || tag == kFrame) {
      ++c.frames;
      add_link(a.src, LinkKind::kResource);
    } else if (tag == kObject || tag == kEmbed) {
      ++c.objects;
      add_link(a.src, LinkKind::kResource);
    } else if (tag == kMeta) {
      if (equals_lower(trim(a.http_equiv), "refresh")) {
        ++c.meta_refresh;
        const size_t url = find_lower(a.content.substr(0, 4096), "url=");
        if (url != std::string_view::npos) add_link(a.content.substr(url + 4), LinkKind::kResource);
      }
    } else if (tag == kBase) {
      ++c.base_hrefs;
      add_link(a.href, LinkKind::kResource);
    } else if (tag == kArea) {
      add_link(a.href, LinkKind::kAnchor);
    } else if (tag == kLink || tag == kScript) {
      add_link(tag == kLink ? a.href : a.src, LinkKind::kResource);
    } else if (tag == kTable) {
      ++c.tables;
    } else if (tag == kFont) {
      ++c.fonts;
    }
    if (!a.background.empty()) add_link(a.background, LinkKind::kImage);
  }

  void implied_ends(uint32_t tag) {
    if (reader.frames_.size() < 2) return;
    const uint32_t last = top().tag;
    const bool same = last == tag && (tag == kP || tag == kLi || tag == kTr || tag == kTd || tag == kA);
    if (same) pop_to(reader.frames_.size() - 1);
  }

  void open(uint32_t hash, const HtmlTag* tag, const Attributes& a, bool self_closed) {
    const uint8_t traits = tag != nullptr ? tag->traits : 0;
    ++out.counts.tags;
    if (tag == nullptr) ++out.counts.unknown_tags;
    if (out.tags.size() < limits.html_tags_max) {
      out.tags.push_back(hash);
    } else {
      anomalies.add(Anomaly::kHtmlTooManyTags);
    }
    implied_ends(hash);
    if (traits & kBlock) separate('\n');
    if (traits & kCell) separate(' ');
    broken_by_tag = true;
    const bool before = unseen();
    Frame frame = top();
    frame.tag = hash;
    const Style style = style_of(a);
    if (style.colour != kColourUnset) frame.colour = style.colour;
    if (style.ground != kColourUnset) frame.ground = style.ground;
    if (frame.hiding == Hiding::kSize && style.shown_again) frame.hiding = Hiding::kNone;
    if (style.hiding != Hiding::kNone) frame.hiding = style.hiding;
    if (hash == kTemplate) frame.hiding = Hiding::kDisplay;
    if (traits & kVoid) {
      if (style.hiding != Hiding::kNone && !before) ++out.counts.hidden_elements;
      count_element(hash, a);
      return;
    }
    if (self_closed && tag == nullptr) return;  // <o:p/>
    if (reader.frames_.size() >= limits.html_depth_max) {
      anomalies.add(Anomaly::kHtmlTooDeep);
      count_element(hash, a);
      return;
    }
    reader.frames_.push_back(frame);
    note_hiding(style, before, unseen());
    count_element(hash, a);
    if (hash == kA) open_anchor(a);
  }

  void open_anchor(const Attributes& a) {
    ++out.counts.anchors;
    const size_t links = out.links.size();
    if (!a.href.empty() && a.href[0] != '#') add_link(a.href, LinkKind::kAnchor);
    top().link = out.links.size() > links ? static_cast<int32_t>(links) : -1;
    top().link_begin = visible_size;
  }

  // Attributes from `at` to the ">" of the tag; returns the place behind it.
  size_t read_attributes(size_t at, Attributes& a, bool& self_closed) {
    size_t count = 0;
    while (at < html.size()) {
      const char c = html[at];
      if (c == '>') return at + 1;
      if (is_space(c) || c == '/') {
        self_closed = c == '/';
        ++at;
        continue;
      }
      self_closed = false;
      const size_t name_begin = at++;
      while (at < html.size() && !is_space(html[at]) && html[at] != '=' && html[at] != '>' && html[at] != '/') ++at;
      const std::string_view name = html.substr(name_begin, at - name_begin);
      size_t equals = at;
      while (equals < html.size() && is_space(html[equals])) ++equals;
      std::string_view value = name.substr(0, 0);  // empty, but not null
      if (equals < html.size() && html[equals] == '=') {
        at = equals + 1;
        while (at < html.size() && is_space(html[at])) ++at;
        if (at < html.size() && (html[at] == '"' || html[at] == '\'')) {
          const size_t end = html.find(html[at], at + 1);
          value = html.substr(at + 1, (end == std::string_view::npos ? html.size() : end) - at - 1);
          at = end == std::string_view::npos ? html.size() : end + 1;
        } else {
          const size_t begin = at;
          while (at < html.size() && !is_space(html[at]) && html[at] != '>') ++at;
          value = html.substr(begin, at - begin);
        }
      }
      if (count++ < limits.html_attributes_max) note_attribute(name, value, a);
    }
    return html.size();
  }

  // The content of an element that has no markup inside, to its end tag.
  size_t read_raw_text(size_t at, std::string_view name, uint32_t hash) {
    size_t end = at;
    for (;;) {
      end = html.find("</", end);
      if (end == std::string_view::npos) end = html.size();
      if (end == html.size() || starts_lower(html.substr(end + 2), name)) break;
      end += 2;
    }
    const std::string_view content = html.substr(at, end - at);
    if (hash == kStyle) {
      ++out.counts.styles;
      read_sheet(content);
    } else if (hash == kScript) {
      ++out.counts.scripts;
    } else if (hash == kTitle) {
      if (out.title.empty()) out.title = trim(decode_entities(content.substr(0, 4096), arena));
    } else if (hash == kTextarea) {
      add_text(content);
    }
    const size_t close = html.find('>', end);
    return close == std::string_view::npos ? html.size() : close + 1;
  }

  size_t read_tag(size_t at) {
    const bool end_tag = html[at + 1] == '/';
    const size_t begin = at + (end_tag ? 2 : 1);
    size_t i = begin;
    uint32_t hash = 2166136261u;
    while (i < html.size() && !is_space(html[i]) && html[i] != '>' && html[i] != '/') {
      hash = (hash ^ static_cast<uint8_t>(to_lower(html[i]))) * 16777619u;
      ++i;
    }
    const std::string_view name = html.substr(begin, i - begin);
    Attributes attributes;
    bool self_closed = false;
    i = read_attributes(i, attributes, self_closed);
    const HtmlTag* tag = find_html_tag(name, hash);
    if (end_tag) {
      if (tag != nullptr && (tag->traits & kBlock) != 0) separate('\n');
      if (tag != nullptr && (tag->traits & kCell) != 0) separate(' ');
      broken_by_tag = true;
      if (hash != kBody && hash != kHtml) close(hash);
      return i;
    }
    if (hash == kBody || hash == kHtml) {  // styles of the page, whose frame is the first
      const Style style = style_of(attributes);
      Frame& page = reader.frames_.front();
      if (style.colour != kColourUnset) page.colour = style.colour;
      if (style.ground != kColourUnset) page.ground = style.ground;
      if (reader.frames_.size() == 1 || top().tag == kHead) pop_to(1);
      ++out.counts.tags;
      if (out.tags.size() < limits.html_tags_max) out.tags.push_back(hash);
      if (attributes.handler) ++out.counts.event_handlers;
      return i;
    }
    open(hash, tag, attributes, self_closed);
    if (tag != nullptr && (tag->traits & kRawText) != 0) {
      i = read_raw_text(i, tag->name, hash);
      close(hash);
    }
    return i;
  }

  size_t read_comment(size_t at) {
    if (html.substr(at).starts_with("<!--")) {
      ++out.counts.comments;
      size_t end = html.find("-->", at + 4);
      // "<!-->" and "<!--->" are whole comments.
      if (html.substr(at + 4).starts_with(">")) end = at + 2;
      if (html.substr(at + 4).starts_with("->")) end = at + 3;
      const size_t behind = end == std::string_view::npos ? html.size() : end + 3;
      out.counts.comment_bytes += static_cast<uint32_t>(std::min<size_t>(behind - at, 0xffffff));
      return behind;
    }
    const size_t end = html.find('>', at);
    return end == std::string_view::npos ? html.size() : end + 1;
  }

  void walk() {
    size_t at = 0;
    while (at < html.size()) {
      size_t open = html.find('<', at);
      if (open == std::string_view::npos) open = html.size();
      if (open > at) add_text(html.substr(at, open - at));
      at = open;
      if (at >= html.size()) break;
      const char next = at + 1 < html.size() ? html[at + 1] : ' ';
      if (next == '!' || next == '?') {
        at = read_comment(at);
        broken_by_tag = true;
      } else if (is_alpha(next) || (next == '/' && at + 2 < html.size() && is_alpha(html[at + 2]))) {
        at = read_tag(at);
      } else if (next == '/') {
        const size_t end = html.find('>', at);
        at = end == std::string_view::npos ? html.size() : end + 1;
      } else {
        add_text("<");
        ++at;
      }
    }
    pop_to(0);
  }
};

HtmlReader::HtmlReader() = default;
HtmlReader::~HtmlReader() = default;
HtmlReader::HtmlReader(HtmlReader&&) noexcept = default;

void HtmlReader::read(std::string_view html, const Limits& limits, base::Arena& arena, AnomalySet& anomalies,
                      HtmlText& out) {
  out.links.clear();
  out.tags.clear();
  out.counts = {};
  out.title = {};
  frames_.clear();
  rules_.clear();
  frames_.push_back({});
  // Nothing that is read becomes longer in the text: entities and tags are at least as long as what they stand for.
  char* visible = arena.allocate_array<char>(html.size() + 16);
  char* hidden = arena.allocate_array<char>(html.size() + 16);
  Walk walk{*this, html, limits, arena, anomalies, out, visible, hidden};
  walk.walk();
  out.visible = trim({visible, walk.visible_size});
  out.hidden = trim({hidden, walk.hidden_size});
}

}  // namespace tamis::mail
