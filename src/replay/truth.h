// Truth: what people later said events and entities really were, good or bad, ready to be laid beside millions of
// stored events. From a CSV, and from the acts of truth in the archive.
//
// CSV (RFC 4180): a header line that names its columns, `type,id,label` or `entity,value,label`, in any order; further
// columns are ignored. The labels good, ham and legit are good, every other name is bad. Of several rows about one
// thing the last one counts. What the CSV says of a thing wins over the archive.
//
// The truth of an event itself wins; else of the entities that it carries the one that was told last.
//
// Cost: 16 bytes a row (things are known by a 64-bit hash), about 50 ns a look-up once tables outgrow the caches.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "archive/archive.h"
#include "base/line_faults.h"
#include "base/result.h"
#include "cel/columns.h"
#include "policy/policy.h"

namespace tamis::replay {

inline constexpr size_t kTruthFileBytesMax = size_t{2} << 30;

enum class Known : uint8_t { kNot, kGood, kBad };

class Truth {
 public:
  // Errors name the file and the line. Until it returns without error, nothing is added. With `faults`, lines without
  // what is needed are passed over and noted there; an error is then only what says nothing of where lines end, a wrong
  // header, and a table without any line of use.
  base::Status add_csv(std::string_view name, std::string_view text, base::LineFaults* faults = nullptr);
  base::Status add_csv_file(const std::string& path, base::LineFaults* faults = nullptr);
  // The acts of truth that are in force. Call it before add_csv().
  base::Status add_archive(const archive::Archive& archive, const std::function<bool()>& keep_going);

  void add_event(std::string_view type, std::string_view id, std::string_view label);
  void add_entity(std::string_view kind, std::string_view value, std::string_view label);

  Known of_event(std::string_view type, std::string_view id) const;
  Known of_entity(std::string_view kind, std::string_view value) const;
  size_t size() const;  // things, each once
  bool has_events(std::string_view type) const { return events_.count(type) != 0; }
  bool has_entities(std::string_view kind) const { return entities_.count(kind) != 0; }

 private:
  friend class TruthOfType;

  // Hash of a thing to what is known of it and when it was told; open addressing.
  class Table {
   public:
    void set(std::string_view thing, uint32_t told, bool bad);
    // 0: not known; else when it was told, twice, and one more if it is bad.
    uint64_t find(std::string_view thing) const;
    size_t size() const { return size_; }

   private:
    struct Entry {
      uint64_t key = 0;  // 0: free
      uint64_t told = 0;
    };
    void grow();
    std::vector<Entry> entries_;
    size_t size_ = 0;
  };

  std::map<std::string, Table, std::less<>> events_;    // by event type
  std::map<std::string, Table, std::less<>> entities_;  // by kind
  uint32_t told_ = 0;
};

// The truth of the events of one type. Reads the slots that it names, where they are there. Shared by threads.
class TruthOfType {
 public:
  TruthOfType(const Truth& truth, const policy::EventType& type);
  bool needs_ids() const { return events_ != nullptr; }
  bool empty() const { return events_ == nullptr && entities_.empty(); }
  std::vector<int32_t> slots() const;
  // `id` may be empty.
  Known of(std::string_view id, std::span<const cel::Column> columns, uint32_t row) const;
  Known of(std::string_view id, std::span<const event::Value> slots) const;

 private:
  const Truth::Table* events_ = nullptr;
  std::vector<std::pair<int32_t, const Truth::Table*>> entities_;  // slot
};

}  // namespace tamis::replay
