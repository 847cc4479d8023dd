// Runs a filter over a labelled corpus in the order of time, the way the TREC spam track did (Cormack and Lynam 2005):
// classify a message, write down what was said, then learn its label. Behind `tamis mail eval`.
//
// The index has one message a line: path, label (`ham` or `spam`), order, parted by tabs, in order already. The scores
// have: path, label, score (the logit: higher is more spam), verdict (`ham` or `spam`), CPU us to parse and classify.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/features.h"
#include "model/spam_model.h"

namespace tamis::model {

struct EvalOptions {
  std::string index;
  std::string root;  // paths in the index are relative to it
  std::string out;
  uint64_t split = 0;  // above 0: learn from the first so many only, then test the others without feedback; the scores
                       // hold the tested messages
  uint64_t delay = 0;  // labels are learned this many messages late
  uint64_t limit = 0;  // above 0: read so many messages at most
  uint32_t poison_per_mille = 0;  // so many of a thousand labels are learned the wrong way round, chosen by hash
  bool opinions = false;          // add a column for each learner's logit, for looking into the model
};

struct EvalSummary {
  uint64_t tested = 0;
  uint64_t ham_as_spam = 0;
  uint64_t spam_as_ham = 0;
  double classify_us = 0;  // mean CPU time of reading features and scoring
  double learn_us = 0;     // mean CPU time of learning one message
};

struct IndexRow {
  std::string path;
  bool spam = false;
};
// The messages that an index names, at most `limit` of them (0: all). kInvalid with file and line.
base::Result<std::vector<IndexRow>> read_index(const std::string& index, uint64_t limit);

// The longest message that is read.
inline constexpr size_t kMessageBytesMax = size_t{64} << 20;

// Clears the collector and adds the features of the raw message.
using FindFeatures = std::function<void(std::string_view message, FeatureCollector& collector)>;

// Learns into `model`, which may have learned before. kNotFound, kInvalid with file and line, or what reading and
// writing the files says.
base::Result<EvalSummary> evaluate_online(const EvalOptions& options, const FindFeatures& find, SpamModel& model);

}  // namespace tamis::model
