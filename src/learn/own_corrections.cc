#include "learn/own_corrections.h"

#include <algorithm>
#include <mutex>

#include "base/hash.h"

namespace tamis::learn {
namespace {

// How alike near-copies are. Below so many features content alone is too little to know a message by.
constexpr float kLikeContent = 0.75f;
constexpr float kLikeHeaders = 0.5f;
constexpr uint32_t kContentMin = 20;

bool is_content(size_t place) {
  return place == static_cast<size_t>(model::Place::kSubject) || place == static_cast<size_t>(model::Place::kBody) ||
         place == static_cast<size_t>(model::Place::kLink);
}

}  // namespace

OwnCorrections::Sketch OwnCorrections::sketch_of(model::FeatureSpan features, bool headers) {
  Sketch sketch;
  auto& smallest = sketch.smallest;
  for (const model::FeatureId id : features) {
    const size_t place = model::place_of(id);
    if (headers ? place != static_cast<size_t>(model::Place::kHeader) : !is_content(place)) continue;
    ++sketch.features;
    // Another order than that of the ids, in which places stand one behind the other.
    const auto hash = static_cast<uint32_t>(base::mix64(id) >> 32);
    if (sketch.count == kSketch && hash >= smallest[kSketch - 1]) continue;
    auto* const end = smallest.begin() + sketch.count;
    auto* const at = std::lower_bound(smallest.begin(), end, hash);
    std::copy_backward(at, sketch.count < kSketch ? end : end - 1, sketch.count < kSketch ? end + 1 : end);
    *at = hash;
    sketch.count += sketch.count < kSketch ? 1 : 0;
  }
  return sketch;
}

float OwnCorrections::likeness(const Sketch& a, const Sketch& b) {
  // Of the smallest of both together, those that both have.
  uint32_t all = 0, both = 0;
  for (uint32_t i = 0, k = 0; (i < a.count || k < b.count) && all < kSketch; ++all) {
    const bool of_a = i < a.count && (k == b.count || a.smallest[i] <= b.smallest[k]);
    const bool of_b = k < b.count && (i == a.count || b.smallest[k] <= a.smallest[i]);
    both += of_a && of_b ? 1 : 0;
    i += of_a ? 1 : 0;
    k += of_b ? 1 : 0;
  }
  return all == 0 ? 0 : static_cast<float>(both) / static_cast<float>(all);
}

void OwnCorrections::put(uint64_t recipient, uint64_t reporter, uint64_t text_key, model::FeatureSpan features,
                         bool spam, int32_t day) {
  std::lock_guard lock(mutex_);
  if (recipient == 0) {
    for (auto& [who, entries] : of_) {
      for (Entry& entry : entries) {
        if (entry.text_key == text_key && entry.reporter == reporter) entry.spam = spam;
      }
    }
    return;
  }
  std::vector<Entry>& entries = of_[recipient];
  const auto gone = [&](const Entry& entry) { return entry.text_key == text_key; };
  size_ -= std::erase_if(entries, gone);
  if (entries.size() >= kEachMax) {
    entries.erase(entries.begin());
    --size_;
  }
  entries.push_back({text_key, reporter, day, spam, sketch_of(features, false), sketch_of(features, true)});
  ++size_;
  order_.emplace_back(recipient, text_key);
  while (size_ > kAllMax || order_.size() > 4 * kAllMax) {
    const auto [of, key] = order_.front();
    order_.pop_front();
    const auto place = of_.find(of);
    if (place == of_.end()) continue;
    size_ -= std::erase_if(place->second, [k = key](const Entry& entry) { return entry.text_key == k; });
    if (place->second.empty()) of_.erase(place);
  }
}

std::optional<bool> OwnCorrections::says(uint64_t recipient, uint64_t text_key, model::FeatureSpan features) const {
  if (recipient == 0) return std::nullopt;
  std::shared_lock lock(mutex_);
  const auto place = of_.find(recipient);
  if (place == of_.end()) return std::nullopt;
  for (const Entry& entry : place->second) {
    if (entry.text_key == text_key) return entry.spam;
  }
  const Sketch content = sketch_of(features, false), headers = sketch_of(features, true);
  std::optional<bool> said;
  float nearest = 0;
  for (const Entry& entry : place->second) {
    const float alike = likeness(content, entry.content);
    if (alike < kLikeContent || alike < nearest) continue;  // of equals the newest
    const bool enough = std::min(content.features, entry.content.features) >= kContentMin;
    if ((!entry.spam || !enough) && likeness(headers, entry.headers) < kLikeHeaders) continue;
    nearest = alike;
    said = entry.spam;
  }
  return said;
}

template <class Gone>
void OwnCorrections::remove(const Gone& gone) {
  std::lock_guard lock(mutex_);
  for (auto place = of_.begin(); place != of_.end();) {
    size_ -= std::erase_if(place->second, [&](const Entry& entry) { return gone(place->first, entry); });
    place = place->second.empty() ? of_.erase(place) : std::next(place);
  }
}

void OwnCorrections::take_back(uint64_t reporter, uint64_t text_key) {
  remove([&](uint64_t, const Entry& entry) {
    return entry.reporter == reporter && (text_key == 0 || entry.text_key == text_key);
  });
}

void OwnCorrections::erase(uint64_t name, const std::set<uint64_t>& text_keys) {
  remove([&](uint64_t recipient, const Entry& entry) {
    return (name != 0 && (recipient == name || entry.reporter == name)) || text_keys.contains(entry.text_key);
  });
}

void OwnCorrections::forget_before(int32_t day) {
  remove([&](uint64_t, const Entry& entry) { return entry.day < day; });
}

size_t OwnCorrections::size() const {
  std::shared_lock lock(mutex_);
  return size_;
}

}  // namespace tamis::learn
