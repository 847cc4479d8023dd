// Literals of the well-known protobuf messages that are plain values in CEL (cel-spec, "Protocol Buffer Data
// Conversion"): google.protobuf.Int32Value{value: 1} is the int 1. For the strict dialect only; other messages do not
// exist here.
#pragma once

#include <string_view>

#include "cel/function.h"

namespace tamis::cel {

// What makes the value of such a literal from the value of its one field (or from nothing, where `field` is empty and
// the message takes its default); null if there is no such message or field.
const Overload* find_message(std::string_view message, std::string_view field);

}  // namespace tamis::cel
