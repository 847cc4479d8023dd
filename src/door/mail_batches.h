// MailBatches: corrections that are brought as one batch wait here, as features, until all of them are there. Bounded:
// batches, messages of a batch, bytes of all; one to which nothing was added for ten minutes makes room.
//
// Threading: all methods from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "learn/mail_learner.h"

namespace tamis::door {

class MailBatches {
 public:
  static constexpr size_t kBatchesMax = 16;
  static constexpr size_t kMessagesMax = 10'000;
  static constexpr size_t kBytesMax = 64 << 20;
  static constexpr int64_t kIdleMs = 600'000;

  struct Batch {
    std::string reporter, network;
    std::vector<learn::MailLearner::BatchItem> items;
    int64_t used_ms = 0;
    size_t bytes = 0;
  };

  // Says how many wait in it now. Errors: kLimit (too many), kInvalid (another reporter or network than before).
  base::Result<size_t> add(const std::string& name, const std::string& reporter, const std::string& network,
                           learn::MailLearner::BatchItem item, int64_t now_ms);
  // kNotFound: nothing waits under this name.
  base::Result<Batch> take(const std::string& name, int64_t now_ms);

 private:
  void drop_idle(int64_t now_ms);

  std::mutex mutex_;
  std::map<std::string, Batch> batches_;
  size_t bytes_ = 0;
};

}  // namespace tamis::door
