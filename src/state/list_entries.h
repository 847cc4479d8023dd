// ListEntries: the entries of one list, by number. Numbers of removed entries are used again. Private to this room.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "state/list.h"

namespace tamis::state {

class ListEntries {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  uint32_t add(std::string_view text, int64_t expires_ms, const std::string& note) {
    uint32_t number;
    if (free_.empty()) {
      number = static_cast<uint32_t>(slots_.size());
      slots_.push_back({std::string(text), expires_ms, true});
    } else {
      number = free_.back();
      free_.pop_back();
      slots_[number] = {std::string(text), expires_ms, true};
    }
    expiring_ += expires_ms != kNeverExpires;
    if (!note.empty()) notes_[number] = note;
    return number;
  }

  void update(uint32_t number, int64_t expires_ms, const std::string& note) {
    expiring_ -= slots_[number].expires_ms != kNeverExpires;
    slots_[number].expires_ms = expires_ms;
    expiring_ += expires_ms != kNeverExpires;
    if (note.empty()) {
      notes_.erase(number);
    } else {
      notes_[number] = note;
    }
  }

  void remove(uint32_t number) {
    expiring_ -= slots_[number].expires_ms != kNeverExpires;
    slots_[number] = {};
    notes_.erase(number);
    free_.push_back(number);
  }

  size_t size() const { return slots_.size() - free_.size(); }
  uint32_t slots() const { return static_cast<uint32_t>(slots_.size()); }
  size_t expiring() const { return expiring_; }
  bool used(uint32_t number) const { return slots_[number].used; }
  bool live(uint32_t number, int64_t now_ms) const { return slots_[number].expires_ms > now_ms; }
  std::string_view text(uint32_t number) const { return slots_[number].text; }
  int64_t expires_ms(uint32_t number) const { return slots_[number].expires_ms; }
  ListEntry get(uint32_t number) const {
    auto note = notes_.find(number);
    return {slots_[number].text, slots_[number].expires_ms, note == notes_.end() ? std::string() : note->second};
  }

 private:
  struct Slot {
    std::string text;
    int64_t expires_ms = kNeverExpires;
    bool used = false;
  };
  std::deque<Slot> slots_;  // grows without moving what it holds
  std::vector<uint32_t> free_;
  std::unordered_map<uint32_t, std::string> notes_;
  size_t expiring_ = 0;
};

}  // namespace tamis::state
