// The shape of a local part: what a generator of names cannot easily vary. No dictionary, no language.
#pragma once

#include <cstdint>
#include <string_view>

namespace tamis::detect {

// Local parts of the same generator share a shape: runs of letters become `w`, runs of digits `d` and their length,
// separators stay ("anna.bell92" is `w.wd2`). Letters that nobody can speak, with five consonants in a row, become `q`
// and their length ("qsvccitsfka" is `q11`). A part that alternates between letters and digits is told by its alphabet
// and length ("2922f54c2a" is hexadecimal, 10). Case is ignored but for the style. At most 64 bytes
// count.
struct NameShape {
  uint32_t shape = 0;   // hash of the shape
  uint32_t fine = 0;    // the shape with the lengths of its runs of letters, in steps of two
  uint32_t style = 0;   // hash of what is in it at all, in whatever order: see lexical.cc
  uint32_t stem = 0;    // hash of the letters before a final run of digits, 0 if there are none; "anna" in "anna9921"
  uint8_t bytes = 0;    // length
  uint8_t digits = 0;   // how many
  uint8_t runs = 0;     // of letters and of digits
  bool is_hex = false;  // nothing but hexadecimal digits, both letters and digits among them
};

NameShape name_shape(std::string_view local);

}  // namespace tamis::detect
