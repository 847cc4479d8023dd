// What an attached file is against what its name lets a reader think. Names lie in three ways: by a harmless ending in
// front of the real one, by characters that turn the direction of text so that the real ending stands elsewhere, and by
// an ending that belongs to other bytes.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "mail/content.h"
#include "mail/message.h"

namespace tamis::mail {

struct Attachment {
  std::string_view name;       // as it came, with what cannot be seen
  std::string_view extension;  // lower case, of the name without what cannot be seen
  Content content = Content::kEmpty;
  uint64_t bytes = 0;             // decoded
  uint64_t hash = 0;              // of the decoded bytes (of as many as the limits allow); 0 if empty
  bool dangerous = false;         // runs or opens something: by extension, by bytes, or by what an archive holds
  bool runs = false;              // the same, but for drawings (SVG) that hold nothing but a drawing
  bool program = false;           // a program, script or image of a disk, as nobody mails any more, also in an archive
  bool double_extension = false;  // "invoice.pdf.exe", "invoice.pdf      .exe"
  bool disguised = false;         // bytes of another kind than the name or type says, or a name that is turned round
  bool encrypted = false;         // an archive with encrypted members
};

// Of a part that is no multipart. Names of members count as the file's own: of archives that are listed by name
// (mail/content.h), and of one compressed file the archive's name without its ending ("run.exe.gz"), which is what
// unpackers call it where the stream names none.
Attachment judge_attachment(const Message& message, int32_t part, base::Arena& arena);

}  // namespace tamis::mail
