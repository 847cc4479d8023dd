// EntrySlots: the texts and expiries of a list's entries, each in one cache line, so that a look-up waits for memory
// once. Grows without moving what it holds. Private to this room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace tamis::state {

// A text of at most 65 535 bytes; one of up to 46 bytes needs no memory of its own.
class EntryText {
 public:
  static constexpr size_t kInlineBytes = 46;

  EntryText() = default;
  explicit EntryText(std::string_view text) : size_(static_cast<uint16_t>(text.size())) {
    char* to = bytes_;
    if (text.size() > kInlineBytes) {
      to = new char[text.size()];
      std::memcpy(bytes_, &to, sizeof to);
    }
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
  }
  EntryText(EntryText&& other) noexcept { swap(other); }
  EntryText& operator=(EntryText&& other) noexcept {
    swap(other);
    return *this;
  }
  EntryText(const EntryText&) = delete;
  EntryText& operator=(const EntryText&) = delete;
  ~EntryText() {
    if (size_ > kInlineBytes) delete[] outside();
  }

  std::string_view view() const { return {size_ > kInlineBytes ? outside() : bytes_, size_}; }

 private:
  const char* outside() const {
    const char* at = nullptr;
    std::memcpy(&at, bytes_, sizeof at);
    return at;
  }
  void swap(EntryText& other) {
    std::swap(size_, other.size_);
    std::swap(bytes_, other.bytes_);
  }

  uint16_t size_ = 0;
  char bytes_[kInlineBytes] = {};
};

struct alignas(64) EntrySlot {
  EntryText text;
  int64_t expires_ms = INT64_MAX;  // of a free slot: the next free one
  bool used = false;
};
static_assert(sizeof(EntrySlot) == 64);

class EntrySlots {
 public:
  EntrySlot& operator[](size_t number) { return blocks_[number / kBlockSlots][number % kBlockSlots]; }
  const EntrySlot& operator[](size_t number) const { return blocks_[number / kBlockSlots][number % kBlockSlots]; }
  size_t size() const { return size_; }
  // An empty slot behind the last.
  EntrySlot& add() {
    if (size_ % kBlockSlots == 0) blocks_.push_back(std::make_unique<EntrySlot[]>(kBlockSlots));
    return (*this)[size_++];
  }

 private:
  static constexpr size_t kBlockSlots = 64;  // of 4 KiB

  std::vector<std::unique_ptr<EntrySlot[]>> blocks_;
  size_t size_ = 0;
};

}  // namespace tamis::state
