// RecentDecisions: the last decisions as text, by record, so that an event that is delivered again gets the same
// answer. Bounded by bytes; older ones are in the archive. One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

namespace tamis::engine {

class RecentDecisions {
 public:
  explicit RecentDecisions(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Records come in ascending order.
  void remember(uint64_t record, std::string_view decision) {
    std::string text;
    while (bytes_ + decision.size() > bytes_max_ && !all_.empty()) {
      bytes_ -= all_.front().second.size();
      text = std::move(all_.front().second);  // its memory is used again
      all_.pop_front();
    }
    text.assign(decision);
    bytes_ += text.size();
    all_.emplace_back(record, std::move(text));
  }

  // Appends the decision of the record; false if it is not here any more.
  bool recall(uint64_t record, std::string& out) const {
    auto found = std::lower_bound(all_.begin(), all_.end(), record,
                                  [](const auto& entry, uint64_t wanted) { return entry.first < wanted; });
    if (found == all_.end() || found->first != record) return false;
    out += found->second;
    return true;
  }

 private:
  size_t bytes_max_;
  size_t bytes_ = 0;
  std::deque<std::pair<uint64_t, std::string>> all_;
};

}  // namespace tamis::engine
