// Base64 (RFC 4648 sections 4 and 5).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tamis::base {

// Appends the standard alphabet with padding.
void append_base64(std::string& out, std::string_view bytes);

// At most how many bytes a text decodes to.
inline size_t base64_decoded_bytes_max(std::string_view text) { return text.size() / 4 * 3 + 3; }
// Reads the standard and the URL alphabet, with or without padding. `out` has base64_decoded_bytes_max() bytes; returns
// how many were written, or npos for text that is not base64 (foreign characters, a wrong length, bits left over).
inline constexpr size_t kNotBase64 = static_cast<size_t>(-1);
size_t decode_base64(std::string_view text, char* out);

}  // namespace tamis::base
