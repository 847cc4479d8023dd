// What literals mean (cel-spec, "Values"), and how values are written as literals. Private to the room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::cel {

// The content of a string or bytes literal with its prefix and quotes, escapes resolved.
// `error_at` is set to the offset in `literal` of a wrong escape.
base::Result<std::string> unquote(std::string_view literal, size_t& error_at);

// "12", "0x1f", with or without a suffix u; the sign is passed apart so that the least int can be written.
base::Result<int64_t> parse_int(std::string_view digits, bool negative);
base::Result<uint64_t> parse_uint(std::string_view digits);
base::Result<double> parse_double(std::string_view digits);

// A literal that unquote() turns back into `text`. `bytes` writes b"..." with escapes for all but printable ASCII.
std::string quote(std::string_view text, bool bytes);

// Offset of the first byte that is not part of valid UTF-8, or npos.
size_t invalid_utf8_at(std::string_view text);
std::string hex_byte(unsigned char byte);

}  // namespace tamis::cel
