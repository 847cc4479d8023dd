// KeyedTable: plain values by 64-bit keys, from a few kilobytes to gigabytes, without a pause when it grows.
//
// Extendible hashing (Fagin, Nievergelt, Pippenger and Strong, 1979): a directory leads to buckets of some kilobytes,
// and a bucket that is full is split in two. Within a bucket keys lie in groups of eight, a cache line. The leading
// bits of a key are bent so that buckets come to be full one after another, not all at the same time. A bucket is also
// what a snapshot copies at once. Bounded: if there may be no more buckets, one that is full drops the less worthy half
// of itself. Keys are hashes; those that differ in their last byte only lie side by side. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/hash.h"
#include "detect/segments.h"

namespace tamis::detect {

template <class Value>
class KeyedTable {
  static_assert(std::is_trivially_copyable_v<Value> && alignof(Value) <= 8);

 public:
  explicit KeyedTable(uint64_t entries_max)
      : buckets_max_(std::max<uint64_t>(1, entries_max * 3 / (kSlots * 2))), directory_(1, nullptr) {}

  // Brings the place of the key into the cache: useful if other work lies between.
  void prefetch(uint64_t key) const {
    const Bucket* bucket = bucket_of(key);
    if (bucket == nullptr) return;
    const char* group = reinterpret_cast<const char*>(&bucket->groups[home(key)]);
    __builtin_prefetch(group);
    if constexpr (sizeof(Group) <= 128) __builtin_prefetch(group + 64);
  }
  const Value* find(uint64_t key) const {
    const Bucket* bucket = bucket_of(key);
    return bucket == nullptr ? nullptr : find_in(*bucket, key);
  }
  // What find() gives for two keys that differ in their last byte only, by one search.
  std::array<const Value*, 2> find_two(uint64_t a, uint64_t b) const {
    const Bucket* bucket = bucket_of(a);
    std::array<const Value*, 2> found{};
    if (bucket == nullptr) return found;
    for (size_t i = home(a);; i = (i + 1) & (kGroups - 1)) {
      const Group& group = bucket->groups[i];
      size_t at_a = kWidth, at_b = kWidth;
      for (size_t s = 0; s < kWidth; ++s) {
        at_a = group.key[s] == a ? s : at_a;
        at_b = group.key[s] == b ? s : at_b;
      }
      if (at_a != kWidth) found[0] = &group.value[at_a];
      if (at_b != kWidth) found[1] = &group.value[at_b];
      if ((found[0] != nullptr && found[1] != nullptr) || group.key[kWidth - 1] == 0) return found;
    }
  }
  // The same for writing.
  std::array<Value*, 2> change_two(uint64_t a, uint64_t b) {
    const auto found = find_two(a, b);
    if (found[0] != nullptr || found[1] != nullptr) touch(*bucket_of(a));
    return {const_cast<Value*>(found[0]), const_cast<Value*>(found[1])};
  }
  // For writing; null if there is none.
  Value* change(uint64_t key) {
    Bucket* bucket = bucket_of(key);
    if (bucket == nullptr) return nullptr;
    const Value* found = find_in(*bucket, key);
    if (found != nullptr) touch(*bucket);
    return const_cast<Value*>(found);
  }
  // The value of the key, value-initialised if it is new. `worth(value)` says what to keep when there is no more room.
  // Pointers into the table are void afterwards.
  template <class Worth>
  Value& at(uint64_t key, const Worth& worth) {
    return at(key, worth, [](const Value&) {});
  }
  // `dropped(value)` is told of each that had to go.
  template <class Worth, class Dropped>
  Value& at(uint64_t key, const Worth& worth, const Dropped& dropped) {
    if (Value* found = change(key)) return *found;
    Bucket* bucket = bucket_of(key);
    if (bucket == nullptr) bucket = directory_[0] = new_bucket(0, 0);
    while (bucket->used >= kUsedMax) {
      if (may_split(*bucket))
        split(*bucket);
      else
        drop_half(*bucket, worth, dropped);
      bucket = bucket_of(key);
    }
    touch(*bucket);
    ++size_;
    return insert(*bucket, key, Value{});
  }

  // Takes a key out; false if it is not there. Costs as much as a bucket has entries.
  bool remove(uint64_t key) {
    if (find(key) == nullptr) return false;
    Bucket& bucket = *bucket_of(key);
    touch(bucket);
    scratch_.clear();
    collect(bucket);
    empty(bucket);
    for (const Entry& e : scratch_)
      if (e.key != key) insert(bucket, e.key, e.value);
    --size_;
    return true;
  }

  uint64_t size() const { return size_; }
  uint64_t bytes() const { return blocks_.size() * Blocks::kBlockBytes + directory_.size() * sizeof(void*); }
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (size_t i = 0; i < count_; ++i)
      for (const Group& group : bucket_at(i).groups)
        for (size_t s = 0; s < kWidth && group.key[s] != 0; ++s) visit(group.key[s], group.value[s]);
  }

  size_t segments() const { return count_; }
  void begin_copy(state::PieceWriter& out, uint32_t part, uint32_t kind) { copy_.begin(out, part, kind, count_); }
  bool copy_next() {
    return copy_.next([this](size_t s, std::string& to) { save(s, to); });
  }
  void end_copy() { copy_.end(); }
  // One bucket as bytes, places included, so that the way on is the same after a restore.
  void save(size_t segment, std::string& out) const {
    const Bucket& bucket = bucket_at(segment);
    state::put_number(out, bucket.prefix);
    state::put_number(out, bucket.depth);
    for (const Group& group : bucket.groups) {
      uint8_t used = 0;
      while (used < kWidth && group.key[used] != 0) ++used;
      state::put_number(out, used);
      out.append(reinterpret_cast<const char*>(group.key), used * sizeof(uint64_t));
      out.append(reinterpret_cast<const char*>(group.value), used * sizeof(Value));
    }
  }
  // Before the first load(): how many buckets there will be.
  [[nodiscard]] bool begin_load(uint64_t buckets) {
    if (buckets > buckets_max_ || count_ != 0) return false;
    for (uint64_t i = 0; i < buckets; ++i) new_bucket(0, kUnloaded);
    return true;
  }
  [[nodiscard]] bool load(size_t segment, state::ByteReader& in) {
    if (segment >= count_) return false;
    Bucket& bucket = bucket_at(segment);
    if (bucket.depth != kUnloaded) return false;
    bucket.prefix = in.number<uint32_t>();
    const auto depth = in.number<uint32_t>();
    if (!in.ok() || depth > kDepthMax || (depth < 32 && bucket.prefix >> depth != 0)) return false;
    for (Group& group : bucket.groups) {
      const auto used = in.number<uint8_t>();
      if (!in.ok() || used > kWidth) return false;
      const std::string_view keys = in.bytes(used * sizeof(uint64_t)), values = in.bytes(used * sizeof(Value));
      if (!in.ok()) return false;
      if (used > 0) std::memcpy(group.key, keys.data(), keys.size());
      if (used > 0) std::memcpy(static_cast<void*>(group.value), values.data(), values.size());
      for (uint8_t s = 0; s < used; ++s)
        if (group.key[s] == 0 || leading(group.key[s], depth) != bucket.prefix) return false;
      bucket.used += used;
    }
    // A bucket without a free place would be searched for ever.
    if (bucket.used > kUsedMax) return false;
    bucket.depth = depth;
    size_ += bucket.used;
    return true;
  }
  // After the last load(): whether every key has exactly one bucket that it belongs to.
  [[nodiscard]] bool finish_load() {
    if (count_ == 0) return true;
    uint32_t depth = 0;
    for (size_t i = 0; i < count_; ++i) {
      if (bucket_at(i).depth == kUnloaded) return false;
      depth = std::max(depth, bucket_at(i).depth);
    }
    if ((uint64_t{1} << depth) > 128 * (count_ + 16)) return false;
    depth_ = depth;
    directory_.assign(size_t{1} << depth, nullptr);
    for (size_t i = 0; i < count_; ++i)
      if (!enter(bucket_at(i))) return false;
    return std::find(directory_.begin(), directory_.end(), nullptr) == directory_.end();
  }

 private:
  static constexpr size_t kWidth = 8;
  struct alignas(sizeof(Value) <= 8 ? 32 : 64) Group {
    uint64_t key[kWidth];  // from the front; 0: free
    Value value[kWidth];
  };
  static constexpr size_t kGroups = std::bit_floor(std::clamp<size_t>(16384 / sizeof(Group), 4, 64));
  static constexpr size_t kSlots = kGroups * kWidth;
  static constexpr uint32_t kUsedMax = kSlots * 17 / 20;
  static constexpr uint32_t kDepthMax = 28, kUnloaded = 255;
  struct Bucket {
    Group groups[kGroups];
    uint32_t number, prefix, depth, used;  // prefix: its leading bits, `depth` of them
    uint32_t spare[12];
  };
  static constexpr size_t kInBlock = Blocks::kBlockBytes / sizeof(Bucket);
  static_assert(kInBlock > 0);

  // The leading bits of a key, bent: twice as many keys share the first of them as the last.
  static uint32_t leading(uint64_t key, uint32_t bits) {
    const uint64_t x = key >> 32;
    const uint64_t bent = (2 * x + (x * x >> 32)) / 3;
    return static_cast<uint32_t>(bent >> (32 - bits));
  }
  static size_t home(uint64_t key) {
    return static_cast<size_t>((static_cast<uint32_t>(key >> 8) * 0x9e3779b1u) >> (32 - std::countr_zero(kGroups)));
  }
  Bucket* bucket_of(uint64_t key) const { return directory_[leading(key, depth_)]; }
  Bucket& bucket_at(size_t number) const {
    return reinterpret_cast<Bucket*>(blocks_[number / kInBlock])[number % kInBlock];
  }
  static const Value* find_in(const Bucket& bucket, uint64_t key) {
    for (size_t i = home(key);; i = (i + 1) & (kGroups - 1)) {
      const Group& group = bucket.groups[i];
      size_t found = kWidth;
      for (size_t s = 0; s < kWidth; ++s) found = group.key[s] == key ? s : found;
      if (found != kWidth) return &group.value[found];
      if (group.key[kWidth - 1] == 0) return nullptr;
    }
  }
  static Value& insert(Bucket& bucket, uint64_t key, const Value& value) {
    size_t i = home(key);
    while (bucket.groups[i].key[kWidth - 1] != 0) i = (i + 1) & (kGroups - 1);
    Group& group = bucket.groups[i];
    size_t s = 0;
    while (group.key[s] != 0) ++s;
    group.key[s] = key;
    group.value[s] = value;
    ++bucket.used;
    return group.value[s];
  }
  void touch(Bucket& bucket) {
    copy_.touch(bucket.number, [this](size_t s, std::string& to) { save(s, to); });
  }
  Bucket* new_bucket(uint32_t prefix, uint32_t depth) {
    if (count_ % kInBlock == 0 && blocks_.size() == count_ / kInBlock) blocks_.add();
    Bucket& bucket = bucket_at(count_);
    bucket.number = static_cast<uint32_t>(count_++);
    bucket.prefix = prefix;
    bucket.depth = depth;
    return &bucket;
  }
  // Every place of the directory that leads to the bucket; false: one is taken.
  bool enter(Bucket& bucket) {
    const size_t width = size_t{1} << (depth_ - bucket.depth);
    for (size_t i = 0; i < width; ++i) {
      Bucket*& to = directory_[(size_t{bucket.prefix} << (depth_ - bucket.depth)) + i];
      if (to != nullptr) return false;
      to = &bucket;
    }
    return true;
  }
  // A directory far wider than there are buckets comes from keys that somebody has chosen: those get no room.
  bool may_split(const Bucket& bucket) const {
    return count_ < buckets_max_ && bucket.depth < kDepthMax &&
           (bucket.depth < depth_ || directory_.size() <= 64 * (count_ + 16));
  }
  void split(Bucket& bucket) {
    touch(bucket);
    if (bucket.depth == depth_) {
      std::vector<Bucket*> twice(directory_.size() * 2);
      for (size_t i = 0; i < twice.size(); ++i) twice[i] = directory_[i / 2];
      directory_ = std::move(twice);
      ++depth_;
    }
    const uint32_t depth = bucket.depth + 1, prefix = bucket.prefix * 2;
    Bucket& other = *new_bucket(prefix + 1, depth);
    const size_t width = size_t{1} << (depth_ - depth);
    for (size_t i = 0; i < width; ++i) directory_[(size_t{prefix + 1} << (depth_ - depth)) + i] = &other;
    scratch_.clear();
    collect(bucket);
    empty(bucket);
    bucket.prefix = prefix, bucket.depth = depth;
    for (const Entry& e : scratch_) insert((leading(e.key, depth) & 1) != 0 ? other : bucket, e.key, e.value);
  }
  template <class Worth, class Dropped>
  void drop_half(Bucket& bucket, const Worth& worth, const Dropped& dropped) {
    touch(bucket);
    scratch_.clear();
    collect(bucket);
    std::sort(scratch_.begin(), scratch_.end(), [&](const Entry& a, const Entry& b) {
      const auto worth_a = worth(a.value), worth_b = worth(b.value);
      return worth_a != worth_b ? worth_a > worth_b : a.key < b.key;
    });
    size_ -= scratch_.size() - scratch_.size() / 2;
    for (size_t i = scratch_.size() / 2; i < scratch_.size(); ++i) dropped(scratch_[i].value);
    scratch_.resize(scratch_.size() / 2);
    empty(bucket);
    for (const Entry& e : scratch_) insert(bucket, e.key, e.value);
  }
  void collect(const Bucket& bucket) {
    for (const Group& group : bucket.groups)
      for (size_t s = 0; s < kWidth && group.key[s] != 0; ++s) scratch_.push_back({group.key[s], group.value[s]});
  }
  static void empty(Bucket& bucket) {
    for (Group& group : bucket.groups) std::memset(group.key, 0, sizeof(group.key));
    bucket.used = 0;
  }
  struct Entry {
    uint64_t key;
    Value value;
  };

  uint64_t buckets_max_;
  std::vector<Bucket*> directory_;  // by the leading bits
  uint32_t depth_ = 0;
  Blocks blocks_;
  size_t count_ = 0;
  uint64_t size_ = 0;
  std::vector<Entry> scratch_;
  SegmentCopy copy_;
};

}  // namespace tamis::detect
