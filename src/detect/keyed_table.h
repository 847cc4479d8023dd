// KeyedTable: plain values by 64-bit keys, in many small open-addressing tables, so that growth never moves more than a
// hundredth of it at once and a snapshot can go shard by shard. Bounded: a shard that is full drops the less worthy
// half of itself. Values are trivially copyable. One thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "state/bytes.h"

namespace tamis::detect {

template <class Value>
class KeyedTable {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  struct Slot {
    uint64_t key;  // 0: free
    Value value;
  };
  static constexpr size_t kShards = 128;

  explicit KeyedTable(uint64_t entries_max) : shard_max_(std::max<uint64_t>(entries_max / kShards, 16)) {}

  void prefetch(uint64_t key) const {
    const Shard& shard = shards_[key % kShards];
    if (!shard.slots.empty()) __builtin_prefetch(&shard.slots[place(shard, key)]);
  }
  Value* find(uint64_t key) {
    Shard& shard = shards_[key % kShards];
    if (shard.slots.empty()) return nullptr;
    Slot& slot = shard.slots[search(shard, key)];
    return slot.key == key ? &slot.value : nullptr;
  }
  const Value* find(uint64_t key) const { return const_cast<KeyedTable*>(this)->find(key); }

  // The value of the key, value-initialised if it is new. `worth(value)` says what to keep when the shard is full.
  // Pointers into the table are void afterwards.
  template <class Worth>
  Value& at(uint64_t key, const Worth& worth) {
    Shard& shard = shards_[key % kShards];
    if (!shard.slots.empty()) {
      Slot& slot = shard.slots[search(shard, key)];
      if (slot.key == key) return slot.value;
    }
    if (shard.used >= shard_max_) drop_half(shard, worth);
    if ((shard.used + 1) * 4 > shard.slots.size() * 3) resize(shard, std::max<size_t>(16, shard.slots.size() * 2));
    Slot& slot = shard.slots[search(shard, key)];
    slot.key = key;
    slot.value = Value{};
    ++shard.used;
    ++size_;
    return slot.value;
  }

  uint64_t size() const { return size_; }
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const Shard& shard : shards_) sum += shard.slots.capacity() * sizeof(Slot);
    return sum;
  }
  template <class Visit>
  void for_each(const Visit& visit) {
    for (Shard& shard : shards_)
      for (Slot& slot : shard.slots)
        if (slot.key != 0) visit(slot.key, slot.value);
  }

  // One shard as bytes, layout included, so that the way on is the same after a restore.
  void save_shard(size_t number, std::string& out) const {
    const Shard& shard = shards_[number];
    state::put_varint(out, shard.slots.size());
    for (size_t i = 0; i < shard.slots.size(); ++i) {
      if (shard.slots[i].key == 0) continue;
      state::put_varint(out, i + 1);
      state::put_number(out, shard.slots[i].key);
      state::put_number(out, shard.slots[i].value);
    }
    state::put_varint(out, 0);
  }
  [[nodiscard]] bool load_shard(size_t number, state::ByteReader& in) {
    Shard& shard = shards_[number];
    const uint64_t slots = in.varint();
    if (!in.ok() || slots > 4 * shard_max_ + 64 || (slots & (slots - 1)) != 0) return false;
    shard.slots.assign(slots, Slot{});
    size_ -= shard.used;
    shard.used = 0;
    for (uint64_t last = 0;;) {
      const uint64_t at = in.varint();
      if (!in.ok()) return false;
      if (at == 0) break;
      if (at <= last || at > slots) return false;
      last = at;
      Slot& slot = shard.slots[at - 1];
      slot.key = in.number<uint64_t>();
      slot.value = in.number<Value>();
      if (!in.ok() || slot.key == 0 || slot.key % kShards != number) return false;
      ++shard.used;
    }
    // A table without a free slot would be searched for ever.
    if (slots > 0 && shard.used >= slots) return false;
    size_ += shard.used;
    return true;
  }

 private:
  struct Shard {
    std::vector<Slot> slots;
    uint64_t used = 0;
  };

  static size_t place(const Shard& shard, uint64_t key) { return (key / kShards) & (shard.slots.size() - 1); }
  static size_t search(const Shard& shard, uint64_t key) {
    size_t at = place(shard, key);
    while (shard.slots[at].key != 0 && shard.slots[at].key != key) at = (at + 1) & (shard.slots.size() - 1);
    return at;
  }
  static void resize(Shard& shard, size_t slots) {
    std::vector<Slot> old = std::move(shard.slots);
    shard.slots.assign(slots, Slot{});
    for (const Slot& slot : old)
      if (slot.key != 0) shard.slots[search(shard, slot.key)] = slot;
  }
  template <class Worth>
  void drop_half(Shard& shard, const Worth& worth) {
    std::vector<Slot> kept;
    kept.reserve(shard.used);
    for (const Slot& slot : shard.slots)
      if (slot.key != 0) kept.push_back(slot);
    std::stable_sort(kept.begin(), kept.end(),
                     [&](const Slot& a, const Slot& b) { return worth(a.value) > worth(b.value); });
    size_ -= kept.size() - kept.size() / 2;
    kept.resize(kept.size() / 2);
    for (Slot& slot : shard.slots) slot = Slot{};
    for (const Slot& slot : kept) shard.slots[search(shard, slot.key)] = slot;
    shard.used = kept.size();
  }

  std::array<Shard, kShards> shards_;
  uint64_t shard_max_;
  uint64_t size_ = 0;
};

}  // namespace tamis::detect
