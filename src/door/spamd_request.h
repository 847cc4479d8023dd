// The request of spamd's protocol (SPAMC/1.0 to 1.5): a line with command and version, header lines, an empty line,
// then the message. Private to this room.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::door::spamd {

enum class Command : uint8_t { kPing, kSkip, kCheck, kSymbols, kReport, kReportIfSpam, kHeaders, kProcess, kTell };

constexpr size_t kHeadBytesMax = 16 * 1024;
constexpr size_t kHeadLinesMax = 64;

enum class MessageClass : uint8_t { kNone, kHam, kSpam };

struct Request {
  Command command = Command::kPing;
  std::string user;
  std::optional<uint64_t> content_length;
  bool zlib = false;
  MessageClass message_class = MessageClass::kNone;  // of TELL
  bool set_local = false, remove_local = false;      // of TELL
};

enum class ParseState : uint8_t { kMore, kDone, kError };
// Reads the head at the front of `data`. PING and SKIP end with their first line, as clients of either kind expect.
ParseState read_head(std::string_view data, Request& request, size_t& consumed, std::string& error);

// What zlib packed. Errors: not zlib, cut short, more than `bytes_max` bytes.
base::Result<std::string> unpack_zlib(std::string_view packed, size_t bytes_max);

}  // namespace tamis::door::spamd
