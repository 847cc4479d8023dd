#include "mail/attachment.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "mail/ascii.h"
#include "mail/charset.h"

namespace tamis::mail {
namespace {

template <size_t N>
bool is_one_of(const std::string_view (&list)[N], std::string_view extension) {
  return std::find(std::begin(list), std::end(list), extension) != std::end(list);
}

// "invoice.pdf.exe": a harmless extension in front of the real one.
bool double_extension(std::string_view name, std::string_view extension) {
  if (extension.empty() || name.size() < extension.size() + 4) return false;
  std::string_view front = name.substr(0, name.size() - extension.size() - 1);
  while (!front.empty() && (is_space(front.back()) || front.back() == '.' || front.back() == '_'))
    front.remove_suffix(1);
  constexpr std::string_view shown[] = {"pdf", "doc",  "docx", "xls", "xlsx", "txt", "jpg",  "jpeg", "png", "gif",
                                        "htm", "html", "zip",  "mp3", "mp4",  "ppt", "pptx", "rtf",  "csv"};
  const size_t dot = front.rfind('.');
  if (dot == std::string_view::npos) return false;
  for (const std::string_view one : shown) {
    if (equals_lower(front.substr(dot + 1), one)) return true;
  }
  return false;
}

bool is_archive(Content content) { return content >= Content::kZip && content <= Content::kIso; }
bool is_one_compressed_file(Content content) { return content >= Content::kGzip && content <= Content::kZstd; }

// Endings under which a reader expects something to look at or to listen to, never an archive.
bool shows_document(std::string_view extension, Content content) {
  constexpr std::string_view shown[] = {"pdf", "jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "webp", "heic",
                                        "doc", "xls", "ppt",  "rtf", "mp3", "wav", "mp4", "avi",  "mov"};
  // Files of these are zip archives themselves, known as Office only by members that a cut may have taken.
  constexpr std::string_view zipped[] = {"docx", "xlsx", "pptx", "odt", "ods", "odp"};
  return is_one_of(shown, extension) || (content != Content::kZip && is_one_of(zipped, extension));
}

// Kinds of bytes that a harmless name or type must not hide.
bool bytes_disguised(const Part& part, std::string_view extension) {
  switch (part.content) {
    case Content::kExecutable:
      return part.type == "image" || part.type == "text" || part.type == "audio" ||
             (!extension.empty() && !dangerous_extension(extension));
    case Content::kHtml:
      return part.type == "image" || extension == "pdf" || extension == "doc" || extension == "xls";
    case Content::kZip:
    case Content::kRar:
    case Content::kSevenZip:
      return part.type == "image" || shows_document(extension, part.content);
    default:
      return is_archive(part.content) && shows_document(extension, part.content);
  }
}

// What stands in a name and cannot be seen.
struct Unseen {
  bool any = false;
  bool turns = false;      // the direction of text, as names in Arabic and Hebrew may
  bool overrides = false;  // the direction of letters themselves, as no honest name does
};

bool is_unseen(uint32_t point, Unseen& unseen) {
  const bool override = point == 0x202d || point == 0x202e;
  const bool turns = (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) || point == 0x200e ||
                     point == 0x200f || point == 0x61c;
  const bool is = turns || (point >= 0x200b && point <= 0x200d) || point == 0x2060 || point == 0xfeff;
  unseen.overrides |= override;
  unseen.turns |= turns;
  unseen.any |= is;
  return is;
}

// The name without what cannot be seen in it; the name itself where there is nothing such.
std::string_view without_unseen(std::string_view name, base::Arena& arena, Unseen& unseen) {
  unseen = {};
  const auto is_ascii = [](char c) { return (c & 0x80) == 0; };
  if (std::all_of(name.begin(), name.end(), is_ascii)) return name;
  for (size_t at = 0; at < name.size();) is_unseen(next_code_point(name, at), unseen);
  if (!unseen.any) return name;
  char* out = arena.allocate_array<char>(name.size());
  size_t size = 0;
  Unseen again;
  for (size_t at = 0; at < name.size();) {
    const size_t begin = at;
    if (is_unseen(next_code_point(name, at), again)) continue;
    std::memcpy(out + size, name.data() + begin, at - begin);
    size += at - begin;
  }
  return {out, size};
}

// "invoice\u202efdp.exe" is shown as "invoiceexe.pdf".
bool name_turned(const Unseen& unseen, std::string_view extension) {
  return unseen.overrides || (unseen.turns && dangerous_extension(extension));
}

// A drawing that does more than be looked at: it has a script, opens something, or holds another page.
bool drawing_acts(std::string_view bytes) {
  constexpr std::string_view acts[] = {"<script", "javascript:", "<foreignobject",
                                       "onload",  "href=\"http", "href='http"};
  return std::any_of(std::begin(acts), std::end(acts), [bytes](std::string_view one) {
    const auto same = [](char a, char b) { return to_lower(a) == b; };
    return std::search(bytes.begin(), bytes.end(), one.begin(), one.end(), same) != bytes.end();
  });
}

// A name of a file within the attachment.
void judge_member(std::string_view name, base::Arena& arena, Attachment& file) {
  Unseen unseen;
  const std::string_view plain = without_unseen(name, arena, unseen);
  const std::string_view extension = extension_of(plain, arena);
  const bool dangerous = dangerous_extension(extension);
  file.dangerous |= dangerous;
  file.runs |= dangerous && extension != "svg";
  file.program |= program_extension(extension);
  file.double_extension |= dangerous && double_extension(plain, extension);
  file.disguised |= name_turned(unseen, extension);
}

}  // namespace

Attachment judge_attachment(const Message& message, int32_t index, base::Arena& arena) {
  const Part& part = message.parts[static_cast<size_t>(index)];
  Unseen unseen;
  const std::string_view name = without_unseen(part.name, arena, unseen);
  Attachment file;
  file.name = part.name;
  file.extension = extension_of(name, arena);
  file.content = part.content;
  file.bytes = part.decoded_bytes;
  file.hash = part.decoded.empty() ? 0 : base::hash64(part.decoded);
  file.double_extension = double_extension(name, file.extension);
  file.disguised = bytes_disguised(part, file.extension) || name_turned(unseen, file.extension);
  file.dangerous = dangerous_extension(file.extension) || part.content == Content::kExecutable ||
                   part.content == Content::kScript || part.content == Content::kOfficeMacro ||
                   part.content == Content::kShortcut || part.content == Content::kIso;
  const bool idle = file.extension == "svg" && part.content != Content::kExecutable &&
                    part.content != Content::kShortcut && !drawing_acts(part.decoded);
  file.runs = file.dangerous && !idle;
  // A message that is passed on bears its subject, which may end like "example.com".
  file.program = (program_extension(file.extension) && part.type != "message") || part.content == Content::kExecutable;
  for (const Member& member : message.members) {
    if (member.part != index) continue;
    file.encrypted |= member.encrypted;
    if (is_archive(part.content) || part.content == Content::kTnef) judge_member(member.name, arena, file);
  }
  constexpr std::string_view endings[] = {"gz", "gzip", "z", "bz2", "bz", "xz", "lzma", "zst", "zstd"};
  if (is_one_compressed_file(part.content) && is_one_of(endings, file.extension)) {
    judge_member(name.substr(0, name.rfind('.')), arena, file);
  }
  return file;
}

}  // namespace tamis::mail
