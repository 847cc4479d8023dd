#include "door/mail_batches.h"

#include <fmt/format.h>

namespace tamis::door {

void MailBatches::drop_idle(int64_t now_ms) {
  for (auto at = batches_.begin(); at != batches_.end();) {
    if (now_ms - at->second.used_ms <= kIdleMs) {
      ++at;
      continue;
    }
    bytes_ -= at->second.bytes;
    at = batches_.erase(at);
  }
}

base::Result<size_t> MailBatches::add(const std::string& name, const std::string& reporter, const std::string& network,
                                      learn::MailLearner::BatchItem item, int64_t now_ms) {
  std::lock_guard lock(mutex_);
  drop_idle(now_ms);
  const size_t bytes = sizeof item + item.features.size() * sizeof item.features[0] + item.recipient.size();
  const auto found = batches_.find(name);
  if (found == batches_.end() && batches_.size() >= kBatchesMax) {
    return base::fail(base::Code::kUnavailable, fmt::format("{} batches wait already, try again later", kBatchesMax));
  }
  if (bytes_ + bytes > kBytesMax) {
    return base::fail(base::Code::kUnavailable, "the batches that wait take all the memory that they may");
  }
  if (found != batches_.end() && found->second.items.size() >= kMessagesMax) {
    return base::fail(base::Code::kLimit, fmt::format("a batch has at most {} messages", kMessagesMax));
  }
  if (found != batches_.end() && (found->second.reporter != reporter || found->second.network != network)) {
    return base::invalid("a batch is of one reporter: this one was begun by another");
  }
  Batch& batch = batches_[name];
  batch.reporter = reporter;
  batch.network = network;
  batch.used_ms = now_ms;
  batch.bytes += bytes;
  bytes_ += bytes;
  batch.items.push_back(std::move(item));
  return batch.items.size();
}

base::Result<MailBatches::Batch> MailBatches::take(const std::string& name, int64_t now_ms) {
  std::lock_guard lock(mutex_);
  drop_idle(now_ms);
  const auto found = batches_.find(name);
  if (found == batches_.end()) {
    return base::fail(base::Code::kNotFound, "no corrections wait as a batch of this name");
  }
  Batch batch = std::move(found->second);
  bytes_ -= batch.bytes;
  batches_.erase(found);
  return batch;
}

}  // namespace tamis::door
