// Bounds on what one message may cost. Senders choose the shape of a message, so every loop, depth and buffer of this
// room ends at one of these. Passing a bound is never an error: the rest is left out, and an Anomaly says so.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tamis::mail {

struct Limits {
  // Of the message as a whole. Bytes behind it are counted, and read no further.
  size_t message_bytes_max = 64u << 20;
  // Headers kept, over all parts together, and the bytes of one of them; further ones are counted.
  size_t headers_max = 2000;
  size_t header_bytes_max = 64 * 1024;
  // Parts kept, multiparts and attached messages included, and how deep they may nest.
  size_t parts_max = 1000;
  size_t depth_max = 32;
  // Addresses kept of one header, and parameters of one structured header.
  size_t addresses_max = 100;
  size_t parameters_max = 64;
  // Decoded bytes of one text part, of one other part, and of all parts together.
  size_t text_bytes_max = 512 * 1024;
  size_t attachment_bytes_max = 4u << 20;
  size_t decoded_bytes_max = 16u << 20;
  // Of HTML: open elements, attributes of one tag, rules read of its style sheets, elements of the structure digest.
  size_t html_depth_max = 256;
  size_t html_attributes_max = 64;
  size_t html_style_rules_max = 256;
  size_t html_tags_max = 20000;
  // Links kept, names of members listed of all archives together, uuencoded files found in text.
  size_t links_max = 500;
  size_t archive_members_max = 256;
  size_t uuencoded_max = 32;
  // Words of text that become features or enter a digest, and features given out in all.
  size_t words_max = 4000;
  size_t features_max = 20000;
  // Bytes of the message as it came, headers first, that become raw features.
  size_t raw_feature_bytes_max = 3500;
  // Trace and signature headers taken apart, of each kind.
  size_t trace_headers_max = 64;
};

}  // namespace tamis::mail
