// What recipients said of single messages: a message that one of them corrected stays corrected for him, and so does
// its near-copy, however sure the model is of the opposite. It changes nothing for anybody else, so no weight, cap or
// golden set is asked.
//
// A near-copy has the words of the corrected message, but for a few: by the features with the smallest hashes
// (bottom-k sketches: Broder 1997; Cohen and Kaplan 2007), of content (subject, text, links) and of headers apart. To
// be taken for wanted, it must come with much the same headers as well: whoever copies a bank's letter is not the bank.
//
// Nothing here is kept on disk: the log of corrections, which is read at each start, has all of it. Bounded: the newest
// kEachMax of a recipient, kAllMax in all, 250 bytes each. Deterministic. Threading: all methods from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <shared_mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/features.h"

namespace tamis::learn {

class OwnCorrections {
 public:
  static constexpr size_t kEachMax = 64;
  static constexpr size_t kAllMax = 32'768;

  // `recipient` and `reporter` are hash_of_name(); 0 is nobody. Where the recipient is not named, what this reporter
  // said of the message before in the name of recipients becomes what he says now.
  void put(uint64_t recipient, uint64_t reporter, uint64_t text_key, model::FeatureSpan features, bool spam,
           int32_t day);
  // What the recipient said of this message or a near-copy of it: whether it is spam.
  std::optional<bool> says(uint64_t recipient, uint64_t text_key, model::FeatureSpan features) const;

  // What a reporter said: of one message, or (text_key 0) of all.
  void take_back(uint64_t reporter, uint64_t text_key);
  // A person as recipient and reporter, and messages whoever spoke of them.
  void erase(uint64_t name, const std::set<uint64_t>& text_keys);
  void forget_before(int32_t day);
  size_t size() const;

 private:
  static constexpr size_t kSketch = 24;
  struct Sketch {
    std::array<uint32_t, kSketch> smallest{};  // in order
    uint32_t count = 0;                        // of `smallest` in use
    uint32_t features = 0;                     // of the message
  };
  struct Entry {
    uint64_t text_key = 0, reporter = 0;
    int32_t day = 0;
    bool spam = false;
    Sketch content, headers;
  };

  static Sketch sketch_of(model::FeatureSpan features, bool headers);
  // The share of features that both have, of all that one of them has.
  static float likeness(const Sketch& a, const Sketch& b);
  template <class Gone>
  void remove(const Gone& gone);

  mutable std::shared_mutex mutex_;
  std::unordered_map<uint64_t, std::vector<Entry>> of_;  // by recipient, oldest first
  std::deque<std::pair<uint64_t, uint64_t>> order_;      // recipient and message, oldest first; some are gone
  size_t size_ = 0;
};

}  // namespace tamis::learn
