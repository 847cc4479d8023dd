#include "door/spamd_request.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "door/mail_text.h"

namespace tamis::door::spamd {
namespace {

constexpr std::pair<std::string_view, Command> kCommands[] = {
    {"PING", Command::kPing},       {"SKIP", Command::kSkip},       {"CHECK", Command::kCheck},
    {"SYMBOLS", Command::kSymbols}, {"REPORT", Command::kReport},   {"REPORT_IFSPAM", Command::kReportIfSpam},
    {"HEADERS", Command::kHeaders}, {"PROCESS", Command::kProcess}, {"TELL", Command::kTell},
};
constexpr size_t kUserBytesMax = 320;

std::string shown(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 40)) out.push_back(c >= 0x20 && c < 0x7f ? c : '?');
  return out;
}

bool is_version(std::string_view text) {
  return text.size() == 9 && text.substr(0, 6) == "SPAMC/" && text[6] == '1' && text[7] == '.' && text[8] >= '0' &&
         text[8] <= '9';
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    size_t comma = std::min(list.find(','), list.size());
    if (same_name(trimmed(list.substr(0, comma)), word)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

bool read_command(std::string_view line, Request& request, std::string& error) {
  size_t blank = line.find(' ');
  std::string_view word = line.substr(0, blank);
  const auto* found =
      std::find_if(std::begin(kCommands), std::end(kCommands), [&](const auto& known) { return known.first == word; });
  if (found == std::end(kCommands)) {
    error = fmt::format("Bad header line: unknown command `{}`", shown(word));
    return false;
  }
  request.command = found->second;
  if (blank == std::string_view::npos || !is_version(trimmed(line.substr(blank)))) {
    error = fmt::format("Bad header line: expected SPAMC/1.x after {}", word);
    return false;
  }
  return true;
}

bool read_length(std::string_view value, Request& request, std::string& error) {
  uint64_t length = 0;
  auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), length);
  bool good = !value.empty() && code == std::errc() && end == value.data() + value.size();
  if (!good || (request.content_length && *request.content_length != length)) {
    error = fmt::format("Bad header line: Content-length is `{}`, expected one number of bytes", shown(value));
    return false;
  }
  request.content_length = length;
  return true;
}

bool read_field(std::string_view name, std::string_view value, Request& request, std::string& error) {
  if (same_name(name, "Content-length")) return read_length(value, request, error);
  if (same_name(name, "User")) {
    if (value.size() > kUserBytesMax) {
      error = fmt::format("Bad header line: User is longer than {} bytes", kUserBytesMax);
      return false;
    }
    request.user = value;
  } else if (same_name(name, "Compress")) {
    if (!same_name(value, "zlib")) {
      error = fmt::format("Bad header line: Compress is `{}`, expected zlib", shown(value));
      return false;
    }
    request.zlib = true;
  } else if (same_name(name, "Message-class")) {
    if (!same_name(value, "spam") && !same_name(value, "ham")) {
      error = fmt::format("Bad header line: Message-class is `{}`, expected spam or ham", shown(value));
      return false;
    }
    request.message_class = same_name(value, "spam") ? MessageClass::kSpam : MessageClass::kHam;
  } else if (same_name(name, "Set")) {
    request.set_local = has_word(value, "local");
  } else if (same_name(name, "Remove")) {
    request.remove_local = has_word(value, "local");
  }
  return true;
}

}  // namespace

ParseState read_head(std::string_view data, Request& request, size_t& consumed, std::string& error) {
  request = {};
  size_t at = 0;
  for (size_t lines = 0;; ++lines) {
    size_t end = data.find('\n', at);
    if (end >= kHeadBytesMax || lines >= kHeadLinesMax) {  // also where there is none
      if (lines < kHeadLinesMax && data.size() < kHeadBytesMax) return ParseState::kMore;
      error = fmt::format("Bad header line: the head has more than {} lines or {} bytes", kHeadLinesMax, kHeadBytesMax);
      return ParseState::kError;
    }
    std::string_view line = data.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    at = end + 1;
    if (line.find('\0') != std::string_view::npos) {
      error = "Bad header line: it has a NUL";
      return ParseState::kError;
    }
    if (lines == 0) {
      if (!read_command(line, request, error)) return ParseState::kError;
      if (request.command != Command::kPing && request.command != Command::kSkip) continue;
      consumed = at;
      return ParseState::kDone;
    }
    if (line.empty()) {
      consumed = at;
      return ParseState::kDone;
    }
    size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      error = fmt::format("Bad header line: `{}` has no colon", shown(line));
      return ParseState::kError;
    }
    if (!read_field(trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1)), request, error))
      return ParseState::kError;
  }
}

base::Result<std::string> unpack_zlib(std::string_view packed, size_t bytes_max) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return base::fail(base::Code::kUnavailable, "zlib has no memory");
  // zlib's interface takes its input without const; it does not write there.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string out;
  int state = Z_OK;
  std::array<char, 32 * 1024> piece;
  while (state == Z_OK && out.size() <= bytes_max) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    state = inflate(&stream, Z_NO_FLUSH);
    out.append(piece.data(), piece.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (out.size() > bytes_max)
    return base::fail(base::Code::kLimit, fmt::format("the message is larger than {} bytes once unpacked", bytes_max));
  if (state != Z_STREAM_END) return base::invalid("the message is not what zlib packs, or cut short");
  return out;
}

}  // namespace tamis::door::spamd
