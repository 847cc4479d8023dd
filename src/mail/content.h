// What a file is by its bytes, and the names inside archives, read from their directories: nothing is unpacked, so
// there is no bomb to go off. ZIP (APPNOTE 6.3: local headers and central directory), tar (POSIX ustar, GNU long
// names), gzip (RFC 1952, the one name), TNEF ([MS-OXTNEF], names of its attachments). RAR, 7z and others are known by
// signature.
#pragma once

#include <string_view>
#include <vector>

#include "base/arena.h"
#include "mail/message.h"

namespace tamis::mail {

// `name` decides only among texts (scripts, calendars) and where bytes say nothing.
Content content_of(std::string_view bytes, std::string_view name);

// The lower-case extension without its dot, empty if there is none; at most 12 characters.
std::string_view extension_of(std::string_view name, base::Arena& arena);
// Whether the file runs or opens something when it is clicked, by its extension (lower case).
bool dangerous_extension(std::string_view extension);
// Whether it is a program, script or image of a disk that nobody mails any more: large providers refuse them all.
bool program_extension(std::string_view extension);

// Appends the members of an archive, at most `members_max` in `out`; counts all in `seen`. False: the directory is
// broken.
bool list_members(Content content, std::string_view bytes, int32_t part, size_t members_max,
                  CharsetConverter& converter, base::Arena& arena, std::vector<Member>& out, size_t& seen);

// Office by the names of its members: kOfficeNew, kOfficeMacro, or kZip.
Content office_by_members(const std::vector<Member>& members, size_t begin);

}  // namespace tamis::mail
