#include "mail/content.h"

#include <algorithm>
#include <cstring>

#include "mail/ascii.h"

namespace tamis::mail {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view bytes;
  size_t offset;
  Content content;
};
constexpr Signature kSignatures[] = {
    {"PK\x03\x04"sv, 0, Content::kZip},
    {"PK\x05\x06"sv, 0, Content::kZip},
    {"PK\x07\x08"sv, 0, Content::kZip},
    {"%PDF-"sv, 0, Content::kPdf},
    {"\x89PNG\r\n"sv, 0, Content::kImage},
    {"\xff\xd8\xff"sv, 0, Content::kImage},
    {"GIF8"sv, 0, Content::kImage},
    {"II*\0"sv, 0, Content::kImage},
    {"MM\0*"sv, 0, Content::kImage},
    {"\0\0\1\0"sv, 0, Content::kImage},
    {"MZ"sv, 0, Content::kExecutable},
    {"\x7f"
     "ELF"sv,
     0, Content::kExecutable},
    {"\xca\xfe\xba\xbe"sv, 0, Content::kExecutable},
    {"\xcf\xfa\xed\xfe"sv, 0, Content::kExecutable},
    {"\xce\xfa\xed\xfe"sv, 0, Content::kExecutable},
    {"dex\n"sv, 0, Content::kExecutable},
    {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"sv, 0, Content::kOfficeOld},
    {"Rar!\x1a\x07"sv, 0, Content::kRar},
    {"7z\xbc\xaf\x27\x1c"sv, 0, Content::kSevenZip},
    {"\x1f\x8b\x08"sv, 0, Content::kGzip},
    {"BZh"sv, 0, Content::kBzip2},
    {"\xfd"
     "7zXZ\0"sv,
     0, Content::kXz},
    {"\x28\xb5\x2f\xfd"sv, 0, Content::kZstd},
    {"MSCF"sv, 0, Content::kCabinet},
    {"\x60\xea"sv, 0, Content::kArj},
    {"**ACE**"sv, 7, Content::kAce},
    {"-lh"sv, 2, Content::kLha},
    {"ustar"sv, 257, Content::kTar},
    {"CD001"sv, 0x8001, Content::kIso},
    {"conectix"sv, 0, Content::kIso},
    {"vhdxfile"sv, 0, Content::kIso},
    {"\x78\x9f\x3e\x22"sv, 0, Content::kTnef},
    {"L\0\0\0\1\x14\2\0"sv, 0, Content::kShortcut},
    {"[InternetShortcut]"sv, 0, Content::kShortcut},
    {"{\\rtf"sv, 0, Content::kRtf},
    {"-----BEGIN PGP"sv, 0, Content::kPgp},
    {"BEGIN:VCALENDAR"sv, 0, Content::kCalendar},
    {"#!"sv, 0, Content::kScript},
    {"ID3"sv, 0, Content::kAudio},
    {"OggS"sv, 0, Content::kAudio},
    {"fLaC"sv, 0, Content::kAudio},
    {"\x1a\x45\xdf\xa3"sv, 0, Content::kVideo},
    {"ftyp"sv, 4, Content::kVideo},
    {"FLV\1"sv, 0, Content::kVideo},
};

// What opens or runs when it is clicked on a common desktop.
constexpr std::string_view kDangerous[] = {
    "ade",  "adp",    "apk", "app",  "appx", "bat", "chm", "cmd", "com",  "cpl",  "dll",  "dmg",  "docm", "dotm",
    "exe",  "gadget", "hlp", "hta",  "img",  "inf", "ins", "iqy", "iso",  "jar",  "jnlp", "js",   "jse",  "lib",
    "lnk",  "mde",    "msc", "msi",  "msix", "msp", "mst", "one", "pif",  "potm", "ppam", "ppsm", "pptm", "ps1",
    "psm1", "rdp",    "reg", "scf",  "scr",  "sct", "sh",  "shb", "slk",  "svg",  "sys",  "udl",  "url",  "vb",
    "vbe",  "vbs",    "vhd", "vhdx", "vxd",  "wsc", "wsf", "wsh", "xlam", "xll",  "xlsm", "xltm"};
// What is left of these without what offices and developers do send: macros, shell scripts, drawings, links.
constexpr std::string_view kPrograms[] = {
    "ade", "apk", "appx", "bat", "chm", "cmd", "com", "cpl", "dll", "exe",  "gadget", "hlp", "hta", "img", "ins",
    "iso", "jar", "jnlp", "js",  "jse", "lnk", "mde", "msc", "msi", "msix", "msp",    "mst", "pif", "ps1", "psm1",
    "scf", "scr", "sct",  "shb", "sys", "vb",  "vbe", "vbs", "vhd", "vhdx", "vxd",    "wsc", "wsf", "wsh", "xll"};
constexpr std::string_view kScripts[] = {"bat", "cmd", "hta", "js",  "jse", "ps1", "psm1", "py",
                                         "sh",  "vb",  "vbe", "vbs", "wsc", "wsf", "wsh"};
// What a browser opens as a page, whatever it begins with.
constexpr std::string_view kMarkup[] = {"htm", "html", "shtml", "xht", "xhtml"};

uint32_t le16(std::string_view b, size_t at) {
  return static_cast<uint8_t>(b[at]) | static_cast<uint32_t>(static_cast<uint8_t>(b[at + 1])) << 8;
}
uint32_t le32(std::string_view b, size_t at) { return le16(b, at) | le16(b, at + 2) << 16; }

struct Lister {
  std::string_view bytes;
  int32_t part;
  size_t members_max;
  CharsetConverter& converter;
  base::Arena& arena;
  std::vector<Member>& out;
  size_t& seen;

  void add(std::string_view name, bool utf8, uint64_t size, bool encrypted) {
    ++seen;
    if (out.size() >= members_max) return;
    Member member;
    member.name = converter.to_utf8(name.substr(0, 1024), utf8 ? "utf-8" : "", 2048, arena).text;
    member.part = part;
    member.bytes = size;
    member.encrypted = encrypted;
    out.push_back(member);
  }
  bool full() const { return out.size() >= members_max; }
};

// The central directory leads where it is whole: it is what unpackers trust.
bool list_zip_directory(Lister& lister, size_t end_record) {
  const std::string_view b = lister.bytes;
  const uint32_t count = le16(b, end_record + 10);
  const uint32_t directory_bytes = le32(b, end_record + 12);
  if (directory_bytes > end_record) return false;
  size_t at = end_record - directory_bytes;
  uint32_t read = 0;
  for (; read < count && at + 46 <= end_record; ++read) {
    if (le32(b, at) != 0x02014b50) break;
    const size_t name_bytes = le16(b, at + 28);
    const size_t entry = 46 + name_bytes + le16(b, at + 30) + le16(b, at + 32);
    if (at + 46 + name_bytes > end_record) break;
    const uint32_t flags = le16(b, at + 8);
    lister.add(b.substr(at + 46, name_bytes), (flags & 0x800) != 0, le32(b, at + 24), (flags & 1) != 0);
    at += entry;
  }
  if (read == 0 && count > 0) return false;
  return read == count || count == 0xffff;
}

bool list_zip(Lister& lister) {
  const std::string_view b = lister.bytes;
  const size_t search = b.size() > 66000 ? b.size() - 66000 : 0;
  const size_t end_record = b.substr(search).rfind("PK\x05\x06"sv);
  if (end_record != std::string_view::npos && search + end_record + 22 <= b.size()) {
    const size_t before = lister.out.size();
    if (list_zip_directory(lister, search + end_record)) return true;
    if (lister.out.size() > before) return false;
  }
  // Cut, or hidden on purpose: the local headers, as far as they tell their sizes.
  size_t at = 0;
  while (at + 30 <= b.size() && le32(b, at) == 0x04034b50 && !lister.full()) {
    const uint32_t flags = le16(b, at + 6);
    const size_t name_bytes = le16(b, at + 26);
    if (at + 30 + name_bytes > b.size()) break;
    lister.add(b.substr(at + 30, name_bytes), (flags & 0x800) != 0, le32(b, at + 22), (flags & 1) != 0);
    const size_t data = at + 30 + name_bytes + le16(b, at + 28);
    const uint32_t packed = le32(b, at + 18);
    if (flags & 8) {  // sizes follow the data: look for the next header
      const size_t next = data < b.size() ? b.find("PK\x03\x04"sv, data) : std::string_view::npos;
      if (next == std::string_view::npos) break;
      at = next;
    } else {
      at = data + packed;
    }
  }
  return false;
}

uint64_t tar_number(std::string_view field) {
  uint64_t value = 0;
  for (const char c : field) {
    if (c >= '0' && c <= '7') {
      value = value << 3 | static_cast<uint64_t>(c - '0');
    } else if (c != ' ') {
      break;
    }
  }
  return value;
}

std::string_view until_nul(std::string_view field) { return field.substr(0, field.find('\0')); }

bool list_tar(Lister& lister) {
  const std::string_view b = lister.bytes;
  std::string_view long_name;
  size_t at = 0;
  while (at + 512 <= b.size() && b[at] != '\0') {
    const std::string_view header = b.substr(at, 512);
    if (header.substr(257, 5) != "ustar") return false;
    const uint64_t size = tar_number(header.substr(124, 12));
    const char type = header[156];
    if (size > (uint64_t{1} << 40)) return false;
    if (type == 'L') {
      long_name = until_nul(b.substr(at + 512, std::min<uint64_t>(size, b.size() - at - 512)));
    } else if (type != 'x' && type != 'g') {
      lister.add(long_name.empty() ? until_nul(header.substr(0, 100)) : long_name, false, size, false);
      long_name = {};
    }
    at += 512 + (size + 511) / 512 * 512;
    if (lister.full()) return true;
  }
  return at <= b.size();
}

bool list_gzip(Lister& lister) {
  const std::string_view b = lister.bytes;
  if (b.size() < 18) return false;
  const unsigned flags = static_cast<uint8_t>(b[3]);
  size_t at = 10;
  if (flags & 4) at += 2 + le16(b, 10);
  if (!(flags & 8) || at >= b.size()) return (flags & 8) == 0;
  const size_t end = b.find('\0', at);
  if (end == std::string_view::npos) return false;
  lister.add(b.substr(at, end - at), false, le32(b, b.size() - 4), false);
  return true;
}

bool list_tnef(Lister& lister) {
  const std::string_view b = lister.bytes;
  constexpr uint32_t kTitle = 0x00018010, kData = 0x0006800f;
  size_t at = 6;
  uint64_t data_bytes = 0;
  while (at + 9 <= b.size()) {
    const unsigned level = static_cast<uint8_t>(b[at]);
    const uint32_t attribute = le32(b, at + 1);
    const uint64_t size = le32(b, at + 5);
    if (level != 1 && level != 2) return false;
    if (at + 9 + size + 2 > b.size()) return false;
    if (level == 2 && attribute == kData) data_bytes = size;
    if (level == 2 && attribute == kTitle) {
      lister.add(until_nul(b.substr(at + 9, size)), false, data_bytes, false);
      data_bytes = 0;
    }
    at += 9 + size + 2;
  }
  return true;
}

bool looks_binary(std::string_view bytes) {
  size_t odd = 0;
  const std::string_view head = bytes.substr(0, 512);
  for (const char c : head) {
    const auto byte = static_cast<unsigned char>(c);
    odd += byte < 9 || (byte > 13 && byte < 27) || (byte > 27 && byte < 32);
  }
  return odd * 20 > head.size();
}

// "MZ", "GIF8" and "ID3" begin words as well as files: behind them the formats that are no text are full of bytes that
// are none.
bool begins_words(const Signature& s) {
  switch (s.content) {
    case Content::kPdf:
    case Content::kRtf:
    case Content::kPgp:
    case Content::kCalendar:
    case Content::kScript:
    case Content::kShortcut:
      return false;
    default:
      return std::all_of(s.bytes.begin(), s.bytes.end(), [](char c) { return c > ' ' && c < 127; });
  }
}

Content markup_of(std::string_view bytes) {
  if (bytes.starts_with("\xef\xbb\xbf")) bytes.remove_prefix(3);
  bytes = trim(bytes.substr(0, 1024));
  if (bytes.empty() || bytes[0] != '<') return Content::kText;
  if (find_lower(bytes, "<svg") != std::string_view::npos) return Content::kSvg;
  for (const std::string_view tag :
       {"<html", "<!doctype html", "<head", "<body", "<script", "<meta", "<table", "<title"}) {
    if (find_lower(bytes, tag) != std::string_view::npos) return Content::kHtml;
  }
  return starts_lower(bytes, "<?xml") ? Content::kXml : Content::kText;
}

constexpr std::string_view kNames[] = {
    "empty", "text",  "html",       "xml",    "svg",      "calendar",   "rtf",        "pdf",          "image",
    "audio", "video", "executable", "script", "shortcut", "office_old", "office_new", "office_macro", "zip",
    "rar",   "7z",    "tar",        "gzip",   "bzip2",    "xz",         "zstd",       "cabinet",      "arj",
    "ace",   "lha",   "iso",        "tnef",   "message",  "pgp",        "delivery",   "binary"};
static_assert(std::size(kNames) == static_cast<size_t>(Content::kCount));

}  // namespace

std::string_view name_of(Content content) {
  const auto index = static_cast<size_t>(content);
  return index < std::size(kNames) ? kNames[index] : std::string_view("unknown");
}

std::string_view extension_of(std::string_view name, base::Arena& arena) {
  while (!name.empty() && (is_space(name.back()) || name.back() == '.')) name.remove_suffix(1);
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || name.size() - dot - 1 > 12) return {};
  const std::string_view extension = name.substr(dot + 1);
  if (extension.find_first_of("/\\ ") != std::string_view::npos) return {};
  char* out = arena.allocate_array<char>(extension.size());
  for (size_t i = 0; i < extension.size(); ++i) out[i] = to_lower(extension[i]);
  return {out, extension.size()};
}

bool dangerous_extension(std::string_view extension) {
  return std::find(std::begin(kDangerous), std::end(kDangerous), extension) != std::end(kDangerous);
}

bool program_extension(std::string_view extension) {
  return std::find(std::begin(kPrograms), std::end(kPrograms), extension) != std::end(kPrograms);
}

Content content_of(std::string_view bytes, std::string_view name) {
  if (bytes.empty()) return Content::kEmpty;
  for (const Signature& s : kSignatures) {
    if (bytes.size() < s.offset + s.bytes.size() ||
        std::memcmp(bytes.data() + s.offset, s.bytes.data(), s.bytes.size()) != 0) {
      continue;
    }
    if (begins_words(s) && !looks_binary(bytes) && bytes.substr(0, 64).find('\0') == std::string_view::npos) continue;
    return s.content;
  }
  if (bytes.starts_with("RIFF") && bytes.size() >= 12) {
    if (bytes.substr(8, 4) == "WEBP") return Content::kImage;
    return bytes.substr(8, 4) == "WAVE" ? Content::kAudio : Content::kVideo;
  }
  if (bytes.starts_with("BM") && looks_binary(bytes)) return Content::kImage;
  if (looks_binary(bytes)) return Content::kBinary;
  const Content markup = markup_of(bytes);
  if (markup != Content::kText) return markup;
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return Content::kText;
  const auto is_one_of = [&](const auto& extensions) {
    return std::any_of(std::begin(extensions), std::end(extensions),
                       [&](std::string_view one) { return equals_lower(name.substr(dot + 1), one); });
  };
  if (is_one_of(kScripts)) return Content::kScript;
  return is_one_of(kMarkup) ? Content::kHtml : Content::kText;
}

bool list_members(Content content, std::string_view bytes, int32_t part, size_t members_max,
                  CharsetConverter& converter, base::Arena& arena, std::vector<Member>& out, size_t& seen) {
  Lister lister{bytes, part, members_max, converter, arena, out, seen};
  switch (content) {
    case Content::kZip:
      return list_zip(lister);
    case Content::kTar:
      return list_tar(lister);
    case Content::kGzip:
      return list_gzip(lister);
    case Content::kTnef:
      return list_tnef(lister);
    default:
      return true;
  }
}

Content office_by_members(const std::vector<Member>& members, size_t begin) {
  bool office = false;
  for (size_t i = begin; i < members.size(); ++i) {
    const std::string_view name = members[i].name;
    if (name.ends_with("vbaProject.bin")) return Content::kOfficeMacro;
    office |= name == "[Content_Types].xml" || name == "mimetype";
  }
  return office ? Content::kOfficeNew : Content::kZip;
}

}  // namespace tamis::mail
