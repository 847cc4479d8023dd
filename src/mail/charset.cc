#include "mail/charset.h"

#include <iconv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "mail/ascii.h"

namespace tamis::mail {
namespace {

enum class Kind : uint8_t { kUtf8, kAscii, kSingle, kMulti, kShift };  // kShift: ASCII bytes may mean something else

struct Charset {
  std::string_view name;   // ours
  const char* iconv_name;  // the C library's
  Kind kind;
};

constexpr Charset kCharsets[] = {
    {"utf-8", "UTF-8", Kind::kUtf8},
    {"us-ascii", "WINDOWS-1252", Kind::kAscii},
    {"windows-1252", "WINDOWS-1252", Kind::kSingle},
    {"iso-8859-2", "ISO-8859-2", Kind::kSingle},
    {"iso-8859-3", "ISO-8859-3", Kind::kSingle},
    {"iso-8859-4", "ISO-8859-4", Kind::kSingle},
    {"iso-8859-5", "ISO-8859-5", Kind::kSingle},
    {"iso-8859-6", "ISO-8859-6", Kind::kSingle},
    {"iso-8859-7", "ISO-8859-7", Kind::kSingle},
    {"iso-8859-8", "ISO-8859-8", Kind::kSingle},
    {"iso-8859-10", "ISO-8859-10", Kind::kSingle},
    {"iso-8859-13", "ISO-8859-13", Kind::kSingle},
    {"iso-8859-14", "ISO-8859-14", Kind::kSingle},
    {"iso-8859-15", "ISO-8859-15", Kind::kSingle},
    {"iso-8859-16", "ISO-8859-16", Kind::kSingle},
    {"windows-874", "WINDOWS-874", Kind::kSingle},
    {"windows-1250", "WINDOWS-1250", Kind::kSingle},
    {"windows-1251", "WINDOWS-1251", Kind::kSingle},
    {"windows-1253", "WINDOWS-1253", Kind::kSingle},
    {"windows-1254", "WINDOWS-1254", Kind::kSingle},
    {"windows-1255", "WINDOWS-1255", Kind::kSingle},
    {"windows-1256", "WINDOWS-1256", Kind::kSingle},
    {"windows-1257", "WINDOWS-1257", Kind::kSingle},
    {"windows-1258", "WINDOWS-1258", Kind::kMulti},  // composes: not one to one
    {"koi8-r", "KOI8-R", Kind::kSingle},
    {"koi8-u", "KOI8-U", Kind::kSingle},
    {"ibm866", "IBM866", Kind::kSingle},
    {"ibm850", "IBM850", Kind::kSingle},
    {"ibm437", "IBM437", Kind::kSingle},
    {"macintosh", "MACINTOSH", Kind::kSingle},
    {"gb18030", "GB18030", Kind::kMulti},
    {"big5", "BIG5-HKSCS", Kind::kMulti},
    {"shift_jis", "CP932", Kind::kMulti},
    {"euc-jp", "EUC-JP", Kind::kMulti},
    {"euc-kr", "CP949", Kind::kMulti},
    {"iso-2022-jp", "ISO-2022-JP", Kind::kShift},
    {"iso-2022-kr", "ISO-2022-KR", Kind::kShift},
    {"utf-7", "UTF-7", Kind::kShift},
    {"utf-16le", "UTF-16LE", Kind::kShift},
    {"utf-16be", "UTF-16BE", Kind::kShift},
    {"utf-32le", "UTF-32LE", Kind::kShift},
    {"utf-32be", "UTF-32BE", Kind::kShift},
};
constexpr size_t kUtf8 = 0, kAscii = 1, kWindows1252 = 2;

// Names by which mail calls them, with letters and digits alone ("iso88591").
constexpr struct {
  std::string_view plain, name;
} kAliases[] = {
    {"utf8", "utf-8"},
    {"unicode11utf8", "utf-8"},
    {"ascii", "us-ascii"},
    {"usascii", "us-ascii"},
    {"ansix341968", "us-ascii"},
    {"iso646us", "us-ascii"},
    {"7bit", "us-ascii"},
    {"iso88591", "windows-1252"},
    {"88591", "windows-1252"},
    {"latin1", "windows-1252"},
    {"l1", "windows-1252"},
    {"cp1252", "windows-1252"},
    {"ansi", "windows-1252"},
    {"iso88591windows1252", "windows-1252"},
    {"iso88599", "windows-1254"},
    {"latin5", "windows-1254"},
    {"iso885911", "windows-874"},
    {"tis620", "windows-874"},
    {"latin2", "iso-8859-2"},
    {"latin9", "iso-8859-15"},
    {"iso88598i", "iso-8859-8"},
    {"cp1250", "windows-1250"},
    {"cp1251", "windows-1251"},
    {"win1251", "windows-1251"},
    {"cp1253", "windows-1253"},
    {"cp1254", "windows-1254"},
    {"cp1255", "windows-1255"},
    {"cp1256", "windows-1256"},
    {"cp1257", "windows-1257"},
    {"cp1258", "windows-1258"},
    {"koi8", "koi8-r"},
    {"cp866", "ibm866"},
    {"cp850", "ibm850"},
    {"cp437", "ibm437"},
    {"mac", "macintosh"},
    {"xmacroman", "macintosh"},
    {"gb2312", "gb18030"},
    {"gb2312charset", "gb18030"},
    {"gbk", "gb18030"},
    {"cp936", "gb18030"},
    {"ms936", "gb18030"},
    {"gb231280", "gb18030"},
    {"xgbk", "gb18030"},
    {"big5hkscs", "big5"},
    {"chinesebig5", "big5"},
    {"cnbig5", "big5"},
    {"csbig5", "big5"},
    {"sjis", "shift_jis"},
    {"xsjis", "shift_jis"},
    {"mskanji", "shift_jis"},
    {"cp932", "shift_jis"},
    {"windows31j", "shift_jis"},
    {"ujis", "euc-jp"},
    {"xeucjp", "euc-jp"},
    {"ksc56011987", "euc-kr"},
    {"ksc5601", "euc-kr"},
    {"ksc56011989", "euc-kr"},
    {"korean", "euc-kr"},
    {"cp949", "euc-kr"},
    {"windows949", "euc-kr"},
    {"uhc", "euc-kr"},
    {"csiso2022jp", "iso-2022-jp"},
    {"csiso2022kr", "iso-2022-kr"},
    {"unicode11utf7", "utf-7"},
    {"utf16", "utf-16le"},  // without a mark, as browsers read it
    {"unicode", "utf-16le"},
    {"ucs2", "utf-16le"},
    {"iso10646ucs2", "utf-16le"},
    {"utf32", "utf-32le"},
    {"ucs4", "utf-32le"},
    {"iso10646ucs4", "utf-32le"},
};

constexpr size_t kNone = std::size(kCharsets);

size_t plain_name(std::string_view name, char* out, size_t out_max) {
  size_t size = 0;
  for (const char c : name) {
    if (!is_alnum(c)) continue;
    if (size == out_max) return 0;
    out[size++] = to_lower(c);
  }
  return size;
}

bool equals_plain(std::string_view plain, std::string_view name) {
  size_t i = 0;
  for (const char c : name) {
    if (!is_alnum(c)) continue;
    if (i == plain.size() || plain[i] != c) return false;
    ++i;
  }
  return i == plain.size();
}

size_t find_charset(std::string_view name) {
  if (equals_lower(name, "utf-8")) return kUtf8;
  char buffer[24];
  const std::string_view plain(buffer, plain_name(name, buffer, sizeof buffer));
  if (plain.empty()) return kNone;
  for (size_t i = 0; i < std::size(kCharsets); ++i) {
    if (equals_plain(plain, kCharsets[i].name)) return i;
  }
  for (const auto& alias : kAliases) {
    if (alias.plain == plain) return find_charset(alias.name);
  }
  return kNone;
}

// UTF-16 or UTF-32 by its byte order mark, which goes before what is declared (WHATWG Encoding, 6).
size_t charset_by_mark(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.size() < 2 || (bytes[0] != '\xff' && bytes[0] != '\xfe' && bytes[0] != '\0')) return kNone;
  if (bytes.starts_with("\xff\xfe\0\0"sv)) return find_charset("utf-32le");
  if (bytes.starts_with("\0\0\xfe\xff"sv)) return find_charset("utf-32be");
  if (bytes.starts_with("\xff\xfe"sv)) return find_charset("utf-16le");
  return bytes.starts_with("\xfe\xff"sv) ? find_charset("utf-16be") : kNone;
}

bool is_ascii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080u) return false;
  }
  for (; i < text.size(); ++i) {
    if (text[i] & 0x80) return false;
  }
  return true;
}

// UTF-8 with what is invalid replaced.
std::string_view replace_invalid(std::string_view bytes, size_t bytes_max, base::Arena& arena, bool& cut) {
  const size_t capacity = std::min(bytes.size() * 3, bytes_max) + 4;
  char* out = arena.allocate_array<char>(capacity);
  size_t size = 0, at = 0;
  while (at < bytes.size() && size + 4 <= capacity) size += put_code_point(next_code_point(bytes, at), out + size);
  cut |= at < bytes.size();
  return {out, size};
}

std::string_view cut_utf8(std::string_view text, size_t bytes_max, bool& cut) {
  if (text.size() <= bytes_max) return text;
  cut = true;
  while (bytes_max > 0 && (text[bytes_max] & 0xc0) == 0x80) --bytes_max;
  return text.substr(0, bytes_max);
}

}  // namespace

uint32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const uint8_t a = byte(at);
  if (a < 0x80) {
    ++at;
    return a;
  }
  const uint8_t b = byte(at + 1);
  if (a >= 0xc2 && a < 0xe0 && (b & 0xc0) == 0x80) {
    at += 2;
    return (a & 0x1fu) << 6 | (b & 0x3fu);
  }
  const uint8_t c = byte(at + 2);
  if ((a & 0xf0) == 0xe0 && (b & 0xc0) == 0x80 && (c & 0xc0) == 0x80) {
    const uint32_t point = (a & 0xfu) << 12 | (b & 0x3fu) << 6 | (c & 0x3fu);
    if (point >= 0x800 && (point < 0xd800 || point > 0xdfff)) {
      at += 3;
      return point;
    }
  }
  const uint8_t d = byte(at + 3);
  if (a >= 0xf0 && a < 0xf5 && (b & 0xc0) == 0x80 && (c & 0xc0) == 0x80 && (d & 0xc0) == 0x80) {
    const uint32_t point = (a & 7u) << 18 | (b & 0x3fu) << 12 | (c & 0x3fu) << 6 | (d & 0x3fu);
    if (point >= 0x10000 && point <= 0x10ffff) {
      at += 4;
      return point;
    }
  }
  ++at;
  return 0xfffd;
}

size_t put_code_point(uint32_t p, char* out) {
  if (p < 0x80) {
    out[0] = static_cast<char>(p);
    return 1;
  }
  if (p < 0x800) {
    out[0] = static_cast<char>(0xc0 | p >> 6);
    out[1] = static_cast<char>(0x80 | (p & 0x3f));
    return 2;
  }
  if (p > 0x10ffff || (p >= 0xd800 && p <= 0xdfff)) p = 0xfffd;
  if (p < 0x10000) {
    out[0] = static_cast<char>(0xe0 | p >> 12);
    out[1] = static_cast<char>(0x80 | (p >> 6 & 0x3f));
    out[2] = static_cast<char>(0x80 | (p & 0x3f));
    return 3;
  }
  out[0] = static_cast<char>(0xf0 | p >> 18);
  out[1] = static_cast<char>(0x80 | (p >> 12 & 0x3f));
  out[2] = static_cast<char>(0x80 | (p >> 6 & 0x3f));
  out[3] = static_cast<char>(0x80 | (p & 0x3f));
  return 4;
}

size_t valid_utf8_bytes(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (at + 8 <= text.size() && is_ascii(text.substr(at, 8))) {
      at += 8;
      continue;
    }
    const size_t here = at;
    const uint32_t point = next_code_point(text, at);
    if (point == 0xfffd && at == here + 1) return here;
  }
  return text.size();
}

bool has_wide_mark(std::string_view bytes) { return charset_by_mark(bytes) != kNone; }

std::string_view charset_in_markup(std::string_view bytes) {
  const std::string_view head = bytes.substr(0, 1024);
  for (const std::string_view word : {"charset", "encoding"}) {
    size_t at = find_lower(head, word);
    if (at == std::string_view::npos) continue;
    std::string_view rest = trim(head.substr(at + word.size()));
    if (!rest.starts_with('=')) continue;
    rest = trim(rest.substr(1));
    if (rest.starts_with('"') || rest.starts_with('\'')) rest.remove_prefix(1);
    size_t size = 0;
    while (size < rest.size() && (is_alnum(rest[size]) || rest[size] == '-' || rest[size] == '_')) ++size;
    const std::string_view name = rest.substr(0, size);
    if (!starts_lower(name, "utf-16") && !starts_lower(name, "utf-32")) return name;
  }
  return {};
}

struct CharsetConverter::Open {
  ~Open() {
    if (handle != reinterpret_cast<iconv_t>(-1)) iconv_close(handle);
  }
  bool usable() const { return handle != reinterpret_cast<iconv_t>(-1) || table_ready; }

  iconv_t handle = reinterpret_cast<iconv_t>(-1);
  bool table_ready = false;
  std::array<uint16_t, 128> table;  // 0xfffd: no character
};

CharsetConverter::CharsetConverter() : open_(std::size(kCharsets)) {}
CharsetConverter::~CharsetConverter() = default;

CharsetConverter::Open* CharsetConverter::open(size_t charset) {
  std::unique_ptr<Open>& slot = open_[charset];
  if (slot) return slot.get();
  slot = std::make_unique<Open>();
  slot->handle = iconv_open("UTF-8", kCharsets[charset].iconv_name);
  const Kind kind = kCharsets[charset].kind;
  if (kind != Kind::kSingle && kind != Kind::kAscii) return slot.get();
  for (unsigned byte = 128; byte < 256; ++byte) {
    char in[1] = {static_cast<char>(byte)};
    char out[8] = {};
    char *from = in, *to = out;
    size_t in_left = 1, out_left = sizeof out;
    uint32_t point = 0xfffd;
    if (slot->usable() && iconv(slot->handle, &from, &in_left, &to, &out_left) == 0) {
      size_t at = 0;
      point = next_code_point({out, sizeof out - out_left}, at);
    }
    // Control characters of windows-1252's holes, as browsers have them.
    if (point == 0xfffd && charset <= kWindows1252) point = byte;
    slot->table[byte - 128] = static_cast<uint16_t>(point > 0xffff ? 0xfffd : point);
  }
  slot->table_ready = true;
  return slot.get();
}

Converted CharsetConverter::to_utf8(std::string_view bytes, std::string_view charset, size_t bytes_max,
                                    base::Arena& arena) {
  Converted result;
  size_t index = charset.empty() ? kAscii : find_charset(charset);
  if (index == kNone) {
    result.unknown = true;
    index = kAscii;
  }
  if (const size_t wide = charset_by_mark(bytes); wide != kNone) index = wide;
  const Kind kind = kCharsets[index].kind;
  result.charset = kCharsets[index].name;
  if (kind != Kind::kShift && is_ascii(bytes)) {
    result.text = cut_utf8(bytes, bytes_max, result.cut);
    return result;
  }
  if (kind == Kind::kUtf8 || kind == Kind::kAscii) {
    const bool valid = valid_utf8_bytes(bytes) == bytes.size();
    if (valid) {
      result.charset = kCharsets[kUtf8].name;
      result.text = cut_utf8(bytes, bytes_max, result.cut);
      return result;
    }
    if (kind == Kind::kUtf8) {
      result.mismatch = true;
      result.text = replace_invalid(bytes, bytes_max, arena, result.cut);
      return result;
    }
    index = kWindows1252;
    result.charset = kCharsets[index].name;
  }
  Open* with = open(index);
  const size_t capacity = std::min(bytes.size() * 3, bytes_max) + 4;
  char* out = arena.allocate_array<char>(capacity);
  size_t size = 0;
  if (with->table_ready) {
    size_t at = 0;
    for (; at < bytes.size() && size + 4 <= capacity; ++at) {
      const uint8_t byte = static_cast<uint8_t>(bytes[at]);
      if (byte < 128) {
        out[size++] = bytes[at];
        continue;
      }
      const uint16_t point = with->table[byte - 128];
      result.mismatch |= point == 0xfffd;
      size += put_code_point(point, out + size);
    }
    result.cut = at < bytes.size();
  } else if (!with->usable()) {
    result.unknown = true;
    result.text = replace_invalid(bytes, bytes_max, arena, result.cut);
    return result;
  } else {
    iconv(with->handle, nullptr, nullptr, nullptr, nullptr);
    char* from = const_cast<char*>(bytes.data());
    size_t from_left = bytes.size();
    while (from_left > 0) {
      char* to = out + size;
      size_t to_left = capacity - size;
      const size_t done = iconv(with->handle, &from, &from_left, &to, &to_left);
      size = capacity - to_left;
      if (done != static_cast<size_t>(-1)) break;
      if (errno == E2BIG || size + 4 > capacity) {
        result.cut = true;
        break;
      }
      result.mismatch = true;
      size += put_code_point(0xfffd, out + size);
      ++from;
      --from_left;
    }
    size = valid_utf8_bytes({out, size});  // converters may pass surrogates; what follows one is dropped
    if (std::string_view(out, size).starts_with("\xef\xbb\xbf")) {  // a byte order mark is no letter
      out += 3;
      size -= 3;
    }
  }
  result.text = cut_utf8({out, size}, bytes_max, result.cut);
  return result;
}

}  // namespace tamis::mail
