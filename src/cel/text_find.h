// Substring search for the short texts of events: compares the first and the last byte of the needle at 16 places at a
// time (W. Mula, "SIMD-friendly algorithms for substring searching", 2016) and falls back to the library elsewhere.
#pragma once

#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tamis::cel {

inline bool text_contains(std::string_view text, std::string_view needle) {
  size_t m = needle.size();
  if (m == 0) return true;
  if (m > text.size()) return false;
#if defined(__SSE2__)
  size_t places = text.size() - m + 1;
  if (m > 1 && places >= 16) {
    const __m128i first = _mm_set1_epi8(needle[0]);
    const __m128i last = _mm_set1_epi8(needle[m - 1]);
    for (size_t at = 0;;) {
      const char* p = text.data() + at;
      __m128i a = _mm_cmpeq_epi8(first, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      __m128i b = _mm_cmpeq_epi8(last, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + m - 1)));
      for (unsigned mask = static_cast<unsigned>(_mm_movemask_epi8(_mm_and_si128(a, b))); mask != 0; mask &= mask - 1) {
        const char* q = p + __builtin_ctz(mask);
        if (std::memcmp(q + 1, needle.data() + 1, m - 1) == 0) return true;
      }
      if (at + 16 == places) return false;
      at = at + 32 <= places ? at + 16 : places - 16;  // the last block overlaps the one before
    }
  }
#endif
  return text.find(needle) != std::string_view::npos;
}

}  // namespace tamis::cel
