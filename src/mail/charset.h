// Bytes in the charsets of mail to UTF-8. Names are taken as mail writes them ("ISO_8859-1", "ks_c_5601-1987", quoted,
// in any case), and by what senders mean: latin1 and ASCII with high bytes are windows-1252, gb2312 is gb18030, as
// browsers do (WHATWG Encoding). Charsets outside our list are not handed to the C library: some of its converters
// are old and rarely walked.
//
// One converter per thread: it keeps open what it used. Cost: ASCII is not copied; single-byte charsets go by table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/arena.h"

namespace tamis::mail {

// The length of the valid UTF-8 at the beginning.
size_t valid_utf8_bytes(std::string_view text);

// The code point at `at`, which moves behind it. Invalid bytes give U+FFFD one by one. `at` is less than the size.
uint32_t next_code_point(std::string_view text, size_t& at);
// Writes at most 4 bytes; returns how many.
size_t put_code_point(uint32_t code_point, char* out);

// True of bytes with the byte order mark of UTF-16 or UTF-32.
bool has_wide_mark(std::string_view bytes);
// What markup says of its own charset near its beginning, as browsers look for it: `<meta charset=X>`, the content of a
// `<meta http-equiv>`, `<?xml encoding="X"?>`; empty if nothing. Not UTF-16 or UTF-32, since it could be read as ASCII
// (HTML Standard, 13.2.3.2). Points into `bytes`.
std::string_view charset_in_markup(std::string_view bytes);

struct Converted {
  std::string_view text;     // valid UTF-8, in the input or the arena
  bool unknown = false;      // the charset is not known: guessed between UTF-8 and windows-1252
  bool mismatch = false;     // bytes that the charset does not have; U+FFFD stands for them
  bool cut = false;          // more than `bytes_max`
  std::string_view charset;  // by our name, "utf-8"; a constant
};

class CharsetConverter {
 public:
  CharsetConverter();
  ~CharsetConverter();
  CharsetConverter(const CharsetConverter&) = delete;
  CharsetConverter& operator=(const CharsetConverter&) = delete;

  // `charset` empty: UTF-8 if it is that, else windows-1252. At most `bytes_max` bytes of UTF-8 come out.
  Converted to_utf8(std::string_view bytes, std::string_view charset, size_t bytes_max, base::Arena& arena);

 private:
  struct Open;
  Open* open(size_t charset);
  std::vector<std::unique_ptr<Open>> open_;  // by index into the list of charsets
};

}  // namespace tamis::mail
