// JsonPlan: what a reader prepares once per schema, so that reading an event is a walk over its keys. Private to
// event/.
//
// A plan is a small tree of the keys that lead to fields, id and time. At each object the reader guesses that keys come
// in the order of the last event; a wrong guess costs one hash lookup and corrects the guess.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "event/schema.h"

namespace tamis::event {

// The same for schemas of which one plan serves both.
uint64_t plan_fingerprint(const EventSchema& schema);

class JsonPlan {
 public:
  enum class Role : uint8_t { kField, kId, kTime };
  struct Target {
    Role role;
    Type::Kind kind;  // of a field
    Semantic semantic;
    int32_t field;
    bool must = true;  // what cannot be read refuses the event
  };
  struct Key {
    const char* name;
    uint32_t name_bytes;
    int32_t next = -1;   // the key that followed this one last time
    int32_t child = -1;  // the object node below it
    uint32_t target_begin = 0, target_end = 0;
    uint64_t seen = 0;        // the number of the event in which it occurred last
    bool must = false;        // one of its targets must be read
    bool must_below = false;  // one of those below it
  };
  struct Node {
    int32_t first = -1;  // the key that came first last time
    uint32_t table_begin = 0, table_mask = 0;
    uint32_t keys_begin = 0, keys_end = 0;
  };

  explicit JsonPlan(const EventSchema& schema);
  JsonPlan(const JsonPlan&) = delete;
  JsonPlan& operator=(const JsonPlan&) = delete;

  Node& root() { return nodes_[0]; }
  Node& node(int32_t index) { return nodes_[static_cast<size_t>(index)]; }
  const Target* targets() const { return targets_.data(); }
  // The fields below a key, at any depth.
  void visit_fields_below(const Key& key, std::vector<int32_t>& fields) const;
  // Fields with a default or `required`: the ones to look after when the keys are done.
  const std::vector<int32_t>& to_complete() const { return to_complete_; }
  uint64_t next_event() { return ++event_; }

  // The key of that name below `node`, or null. `guess` is where the guess stands, and is corrected.
  Key* find(const Node& node, int32_t& guess, std::string_view name) {
    if (guess >= 0) {
      Key& key = keys_[static_cast<size_t>(guess)];
      if (same(key, name)) [[likely]]
        return &key;
    }
    return find_by_hash(node, guess, name);
  }

 private:
  struct Draft;
  bool build(const Draft& draft, int32_t node);
  Key* find_by_hash(const Node& node, int32_t& guess, std::string_view name);

  // Keys are short: two overlapping loads compare up to 16 bytes without a call.
  static bool same(const Key& key, std::string_view name) {
    const size_t bytes = name.size();
    if (key.name_bytes != bytes) return false;
    const char* a = key.name;
    const char* b = name.data();
    if (bytes > 16) return std::memcmp(a, b, bytes) == 0;
    if (bytes >= 8)
      return word<uint64_t>(a) == word<uint64_t>(b) && word<uint64_t>(a + bytes - 8) == word<uint64_t>(b + bytes - 8);
    if (bytes >= 4)
      return word<uint32_t>(a) == word<uint32_t>(b) && word<uint32_t>(a + bytes - 4) == word<uint32_t>(b + bytes - 4);
    for (size_t i = 0; i < bytes; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }
  template <class T>
  static T word(const char* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }

  std::vector<std::string> names_;
  std::vector<Key> keys_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> table_;  // key number + 1, open addressing, one stretch per node
  std::vector<Target> targets_;
  std::vector<int32_t> to_complete_;
  uint64_t event_ = 0;
};

}  // namespace tamis::event
