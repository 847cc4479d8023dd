// Content-Transfer-Encodings as mail readers read them: what is broken is skipped, and said. RFC 2045 section 6; the
// uuencode of POSIX. All of them write at most as many bytes as they read, into memory that the caller gives, and take
// one pass. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tamis::mail {

enum class Encoding : uint8_t { k7Bit, k8Bit, kBinary, kQuotedPrintable, kBase64, kUuencode, kUnknown };

// Of the value of a Content-Transfer-Encoding header; empty is 7bit.
Encoding encoding_of(std::string_view value);

struct Decoded {
  size_t bytes = 0;     // written
  size_t consumed = 0;  // read; less than the input when `out` was full
  bool broken = false;
};

// Writes at most `out_max` bytes. Base64 skips white space and foreign characters, and stops at padding that nothing
// follows; a last group cut short gives the bytes it has.
Decoded decode_base64(std::string_view text, char* out, size_t out_max);
// Quoted-printable; `header` is the Q encoding of RFC 2047, in which "_" is a space. Soft line breaks may have blanks
// before the line end; "=" before anything else stays as it is.
Decoded decode_quoted_printable(std::string_view text, char* out, size_t out_max, bool header = false);

// One file in uuencode: "begin 644 name" to "end".
struct Uuencoded {
  std::string_view name;
  size_t begin = 0, end = 0;  // in the text, whole lines
  std::string_view lines;     // between the begin line and the end line
  bool broken = false;        // no end line, or lines that are too short
};
// The next file at or after `from`; false: none. A begin line must be followed by a line of plausible length.
bool find_uuencoded(std::string_view text, size_t from, Uuencoded& out);
Decoded decode_uuencoded(std::string_view lines, char* out, size_t out_max);

}  // namespace tamis::mail
