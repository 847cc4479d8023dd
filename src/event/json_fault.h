// Where and why a text is not JSON. The fast parser only says that it is not; this one is asked afterwards, for the
// message, so it may be slow. Private to event/.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace tamis::event {

struct JsonFault {
  size_t offset;     // of the first byte that cannot be
  const char* what;  // "expected ',' or '}'"
};

// Nothing for text that is one JSON value (RFC 8259), nested at most `depth_max` deep, in valid UTF-8, with numbers in
// the range of int64, uint64 or double.
// With `large`, numbers beyond these ranges are no fault: it gets where each begins and ends.
struct JsonPiece {
  size_t begin, end;
};
std::optional<JsonFault> find_json_fault(std::string_view text, size_t depth_max,
                                         std::vector<JsonPiece>* large = nullptr);

// The offset of the first byte that is not UTF-8, or npos.
size_t find_invalid_utf8(std::string_view text);

}  // namespace tamis::event
