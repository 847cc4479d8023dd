#include "mail/html_names.h"

#include <algorithm>
#include <iterator>

#include "mail/html.h"

namespace tamis::mail {
namespace {

constexpr HtmlTag kTags[] = {
    {"a", 0},
    {"abbr", 0},
    {"address", kBlock},
    {"area", kVoid},
    {"article", kBlock},
    {"b", 0},
    {"base", kVoid},
    {"bgsound", kVoid},
    {"big", 0},
    {"blockquote", kBlock},
    {"body", kBlock},
    {"br", kVoid | kBlock},
    {"button", 0},
    {"canvas", 0},
    {"caption", kBlock},
    {"center", kBlock},
    {"cite", 0},
    {"code", 0},
    {"col", kVoid},
    {"colgroup", 0},
    {"dd", kBlock},
    {"del", 0},
    {"dir", kBlock},
    {"div", kBlock},
    {"dl", kBlock},
    {"dt", kBlock},
    {"em", 0},
    {"embed", kVoid},
    {"fieldset", kBlock},
    {"font", 0},
    {"footer", kBlock},
    {"form", kBlock},
    {"frame", kVoid},
    {"h1", kBlock},
    {"h2", kBlock},
    {"h3", kBlock},
    {"h4", kBlock},
    {"h5", kBlock},
    {"h6", kBlock},
    {"head", 0},
    {"header", kBlock},
    {"hr", kVoid | kBlock},
    {"html", 0},
    {"i", 0},
    {"iframe", 0},
    {"img", kVoid},
    {"input", kVoid},
    {"ins", 0},
    {"kbd", 0},
    {"label", 0},
    {"li", kBlock},
    {"link", kVoid},
    {"map", 0},
    {"marquee", kBlock},
    {"menu", kBlock},
    {"meta", kVoid},
    {"nav", kBlock},
    {"nobr", 0},
    {"noscript", 0},
    {"object", 0},
    {"ol", kBlock},
    {"option", kBlock},
    {"p", kBlock},
    {"param", kVoid},
    {"pre", kBlock},
    {"q", 0},
    {"s", 0},
    {"samp", 0},
    {"script", kRawText},
    {"section", kBlock},
    {"select", 0},
    {"small", 0},
    {"source", kVoid},
    {"span", 0},
    {"strike", 0},
    {"strong", 0},
    {"style", kRawText},
    {"sub", 0},
    {"sup", 0},
    {"svg", 0},
    {"table", kBlock},
    {"tbody", 0},
    {"td", kCell},
    {"template", 0},
    {"textarea", kRawText},
    {"tfoot", 0},
    {"th", kCell},
    {"thead", 0},
    {"title", kRawText},
    {"tr", kBlock},
    {"tt", 0},
    {"u", 0},
    {"ul", kBlock},
    {"var", 0},
    {"video", 0},
    {"wbr", kVoid},
    {"xml", kRawText},
};
constexpr size_t kTagSlots = 512;

struct TagTable {
  const HtmlTag* slots[kTagSlots] = {};
  constexpr TagTable() {
    for (const HtmlTag& tag : kTags) {
      size_t slot = html_name_hash(tag.name) % kTagSlots;
      while (slots[slot] != nullptr) slot = (slot + 1) % kTagSlots;
      slots[slot] = &tag;
    }
  }
  constexpr const HtmlTag* find(std::string_view name, uint32_t hash) const {
    for (size_t slot = hash % kTagSlots; slots[slot] != nullptr; slot = (slot + 1) % kTagSlots) {
      if (equals_lower(name, slots[slot]->name)) return slots[slot];
    }
    return nullptr;
  }
};
constexpr TagTable kTagTable;

// Latin-1 by its names, from U+00A0 on.
constexpr std::string_view kLatin1[] = {
    "nbsp",   "iexcl",  "cent",   "pound",  "curren", "yen",    "brvbar", "sect",   "uml",    "copy",   "ordf",
    "laquo",  "not",    "shy",    "reg",    "macr",   "deg",    "plusmn", "sup2",   "sup3",   "acute",  "micro",
    "para",   "middot", "cedil",  "sup1",   "ordm",   "raquo",  "frac14", "frac12", "frac34", "iquest", "Agrave",
    "Aacute", "Acirc",  "Atilde", "Auml",   "Aring",  "AElig",  "Ccedil", "Egrave", "Eacute", "Ecirc",  "Euml",
    "Igrave", "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde", "Ograve", "Oacute", "Ocirc",  "Otilde", "Ouml",
    "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",  "Uuml",   "Yacute", "THORN",  "szlig",  "agrave", "aacute",
    "acirc",  "atilde", "auml",   "aring",  "aelig",  "ccedil", "egrave", "eacute", "ecirc",  "euml",   "igrave",
    "iacute", "icirc",  "iuml",   "eth",    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",   "divide",
    "oslash", "ugrave", "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml"};
struct NamedPoint {
  std::string_view name;
  uint32_t point;
};
constexpr NamedPoint kEntities[] = {
    {"amp", '&'},      {"lt", '<'},       {"gt", '>'},        {"quot", '"'},
    {"apos", '\''},    {"AMP", '&'},      {"LT", '<'},        {"GT", '>'},
    {"QUOT", '"'},     {"euro", 0x20ac},  {"mdash", 0x2014},  {"ndash", 0x2013},
    {"lsquo", 0x2018}, {"rsquo", 0x2019}, {"ldquo", 0x201c},  {"rdquo", 0x201d},
    {"sbquo", 0x201a}, {"bdquo", 0x201e}, {"bull", 0x2022},   {"hellip", 0x2026},
    {"trade", 0x2122}, {"zwnj", 0x200c},  {"zwj", 0x200d},    {"ZeroWidthSpace", 0x200b},
    {"ensp", 0x2002},  {"emsp", 0x2003},  {"thinsp", 0x2009}, {"lrm", 0x200e},
    {"rlm", 0x200f},   {"larr", 0x2190},  {"rarr", 0x2192},   {"times", 0xd7},
    {"period", '.'},   {"colon", ':'},    {"sol", '/'},       {"commat", '@'},
    {"num", '#'},      {"excl", '!'},     {"lpar", '('},      {"rpar", ')'},
    {"comma", ','},    {"Tab", '\t'},     {"NewLine", '\n'},  {"oelig", 0x153},
    {"scaron", 0x161}, {"minus", 0x2212}, {"lowbar", '_'},    {"percnt", '%'},
};

uint32_t named_point(std::string_view name) {
  for (size_t i = 0; i < std::size(kLatin1); ++i) {
    if (kLatin1[i] == name) return 160 + static_cast<uint32_t>(i);
  }
  for (const NamedPoint& entity : kEntities) {
    if (entity.name == name) return entity.point;
  }
  return 0;
}

}  // namespace

const HtmlTag* find_html_tag(std::string_view name, uint32_t hash) { return kTagTable.find(name, hash); }

std::string_view html_tag_name(uint32_t hash) {
  for (const HtmlTag& tag : kTags) {
    if (html_name_hash(tag.name) == hash) return tag.name;
  }
  return {};
}

uint32_t read_entity(std::string_view text, size_t& at) {
  size_t i = at + 1;
  uint32_t point = 0;
  if (i < text.size() && text[i] == '#') {
    ++i;
    const bool hex = i < text.size() && (text[i] == 'x' || text[i] == 'X');
    if (hex) ++i;
    const size_t digits = i;
    while (i < text.size() && i - digits < 9) {
      const int value = hex ? hex_value(text[i]) : is_digit(text[i]) ? text[i] - '0' : -1;
      if (value < 0) break;
      point = std::min<uint32_t>(point * (hex ? 16 : 10) + static_cast<uint32_t>(value), 0x110000);
      ++i;
    }
    if (i == digits) return 0;
    if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) point = 0xfffd;
  } else {
    while (i < text.size() && i - at < 16 && is_alnum(text[i])) ++i;
    point = named_point(text.substr(at + 1, i - at - 1));
    if (point == 0) return 0;
  }
  if (i < text.size() && text[i] == ';') ++i;
  at = i;
  return point;
}

}  // namespace tamis::mail
