// Features of a raw message, found with the least parsing that measures the model honestly: headers, MIME parts with
// base64 and quoted-printable, HTML without its tags, links. It serves the evaluation program of this room and its
// tests; the filter itself takes its features from the mail room, which knows charsets, hidden text and much more.
// Bounded: 400 kB of a message, 8 levels of parts, 200 parts, 200 headers.
#pragma once

#include <string_view>

#include "model/features.h"

namespace tamis::model {

// Clears the collector, then adds what the message has; the caller calls finish().
void find_plain_features(std::string_view message, FeatureCollector& collector);

}  // namespace tamis::model
