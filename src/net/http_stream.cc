#include <cstring>

#include "net/http_server.h"

namespace tamis::net {

size_t LineStream::on_body(const StreamInput& in, Response& out) {
  const char* data = in.data.data();
  size_t size = in.data.size(), at = 0;
  while (at < size) {
    if (out.room_bytes() == 0 || out.finished()) return at;
    const auto* end = static_cast<const char*>(std::memchr(data + at, '\n', size - at));
    if (end == nullptr && !in.last) {
      if (skipping_) {
        at = size;
      } else if (in.full && at == 0) {
        skipping_ = true;
        on_overlong_line(++number_, out);
        at = size;
      }
      return at;
    }
    size_t line_end = end == nullptr ? size : static_cast<size_t>(end - data);
    std::string_view line(data + at, line_end - at);
    at = end == nullptr ? size : line_end + 1;
    if (skipping_) {
      skipping_ = false;
      continue;
    }
    ++number_;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty()) on_line(line, number_, out);
  }
  if (in.last && !out.finished()) on_end(out);
  return at;
}

}  // namespace tamis::net
