// From the facts that the mail room finds in a message to the feature set that the spam model learns.
#pragma once

#include <string_view>

#include "mail/facts.h"
#include "mail/features.h"
#include "model/features.h"

namespace tamis::learn {

// The model tells apart fewer places than the mail room.
model::Place model_place(mail::Place place);

// Clears the collector, then adds the features of the analysed message; the caller calls finish().
void collect_message_features(const mail::Analysis& analysis, const mail::FeatureOptions& options,
                              model::FeatureCollector& collector);

}  // namespace tamis::learn
