// Trains the spam model that ships, from labelled corpora on disk: the same files give the same bytes on every machine.
//
// The corpora are learned side by side, each in its own order and spread evenly over the whole run, so that none is
// forgotten for another and the mixer sees all of them. The nearest messages take no part in the training, as a shipped
// model holds no messages; they begin to when it learns its first corrections.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::learn {

struct TrainMailOptions {
  // Index files (path, label, order; see model/online_eval.h); their messages lie relative to the folder of the index.
  std::vector<std::string> indexes;
  uint32_t slots_log2 = 20;
  uint32_t replays = 12;  // past messages learned again with each new one, out of all
  float seen_min = 1;     // features of fewer messages than that are left out
  // See model::SpamOptions; chosen by leaving one corpus out (docs/MAIL_MODEL.md, "Evidence").
  float evidence_half = 7;
  float evidence_prior = -3;
};

struct TrainedMail {
  std::string bytes;  // what SpamModel::load() reads
  std::string card;   // the part of the bytes that says of what they were made, as YAML
  uint64_t ham = 0;
  uint64_t spam = 0;
};

// `progress` is told how many messages were learned, of how many; it may be empty.
base::Result<TrainedMail> train_mail(const TrainMailOptions& options,
                                     const std::function<void(uint64_t done, uint64_t all)>& progress = {});

}  // namespace tamis::learn
