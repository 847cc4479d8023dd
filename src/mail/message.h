// A mail message taken apart: headers and parts, with what each part holds decoded. RFC 5322, RFC 2045 to 2049, as
// mail programs really write them: the reader never fails, it notes anomalies and goes on in the way most mail readers
// would.
//
// One pass finds the parts, whatever their nesting; a part is decoded once. Everything points into the message or into
// the arena, so a Message is valid as long as both. Cost: about 1 ns a byte, plus 0.5 us a part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/anomaly.h"
#include "mail/charset.h"
#include "mail/header.h"
#include "mail/limits.h"
#include "mail/transfer.h"

namespace tamis::mail {

enum class Disposition : uint8_t { kNone, kInline, kAttachment };

// What a part is by its first bytes; kText when nothing speaks against text.
enum class Content : uint8_t {
  kEmpty,
  kText,
  kHtml,
  kXml,
  kSvg,
  kCalendar,
  kRtf,
  kPdf,
  kImage,
  kAudio,
  kVideo,
  kExecutable,   // Windows, ELF, Mach-O, Java, Android
  kScript,       // by "#!", or by the name
  kShortcut,     // .lnk, .url
  kOfficeOld,    // the compound files of Word and Excel before 2007, .msi, .msg
  kOfficeNew,    // zip with the members of Office or OpenDocument
  kOfficeMacro,  // either, with macros by its members
  kZip,
  kRar,
  kSevenZip,
  kTar,
  kGzip,
  kBzip2,
  kXz,
  kZstd,
  kCabinet,
  kArj,
  kAce,
  kLha,
  kIso,  // images of disks, .vhd included
  kTnef,
  kMessage,
  kPgp,
  kDelivery,  // message/delivery-status and its kin
  kBinary,    // anything else
  kCount
};
std::string_view name_of(Content content);  // "office_macro"

struct Part {
  int32_t parent = -1;  // index of the multipart or message that it stands in; -1: the message itself
  int32_t depth = 0;
  int32_t headers_begin = 0, headers_end = 0;  // in Message::headers

  std::string_view type, subtype;  // declared, lower case; "text" and "plain" where nothing is declared
  std::string_view charset;        // declared, as written
  std::string_view name;           // file name as a reader sees it, from either header; empty if none
  std::string_view content_id;
  Disposition disposition = Disposition::kNone;
  Encoding encoding = Encoding::k7Bit;
  bool type_declared = false;
  bool multipart = false;         // has parts of its own (a multipart, or an attached message)
  bool body_of_attached = false;  // lies in an attached message
  bool virtual_part = false;      // no MIME part, but a file found inside one (uuencode in text)

  std::string_view body;     // as it came
  std::string_view decoded;  // transfer encoding undone, at most the limits; empty for multiparts
  size_t decoded_bytes = 0;  // in all, estimated where the limits cut
  Content content = Content::kEmpty;
  std::string_view text;  // UTF-8 of text parts, and of markup whatever its declared type; HTML still with its tags
  std::string_view charset_found;

  bool is_text() const { return type == "text" && !multipart; }
  bool is_markup() const { return content == Content::kHtml || content == Content::kSvg; }  // by its content
  bool is_html() const { return is_text() && subtype == "html"; }
};

struct Member {
  std::string_view name;  // UTF-8
  int32_t part = 0;       // the archive
  uint64_t bytes = 0;     // unpacked size by the directory; 0 if unknown
  bool encrypted = false;
};

struct Message {
  std::string_view raw;
  std::string_view head;        // the header block of the message, without the empty line
  std::string_view body;        // behind the empty line
  std::vector<Header> headers;  // of the message first, then of its parts, in order
  std::vector<Part> parts;      // parts[0] is the message; parents stand before their children
  std::vector<Member> members;
  size_t headers_seen = 0, parts_seen = 0, members_seen = 0;  // limits notwithstanding
  AnomalySet anomalies;

  std::span<const Header> headers_of(const Part& part) const {
    return {headers.data() + part.headers_begin, headers.data() + part.headers_end};
  }
  // The first header of the message itself with this id, or null.
  const Header* find(HeaderId id) const;
};

class MessageReader {
 public:
  explicit MessageReader(const Limits& limits = {}) : limits_(limits) {}

  // `raw` and `arena` must outlive what `out` holds. `out` is emptied first and keeps its memory.
  void read(std::string_view raw, base::Arena& arena, Message& out);

  CharsetConverter& converter() { return converter_; }
  const Limits& limits() const { return limits_; }

 private:
  struct Walk;
  Limits limits_;
  CharsetConverter converter_;
  Structured structured_;
};

}  // namespace tamis::mail
