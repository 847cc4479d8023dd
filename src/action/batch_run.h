// One apply() or undo() of a batch, from the look at its files to the last line of its log. Private to this room.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "action/batch.h"
#include "action/batch_file.h"

namespace tamis::action {

// How others ask a run to stop.
struct BatchStop {
  std::mutex mutex;
  std::condition_variable asked;
  bool stop = false;
};

class BatchRunner {
 public:
  BatchRunner(const std::string& stem, Ground& ground, const BatchOptions& options, const BatchRun& run,
              BatchStop& stop, std::function<void(const BatchInfo&)> publish)
      : stem_(stem), ground_(ground), options_(options), run_(run), stop_(stop), publish_(std::move(publish)) {}

  base::Result<BatchInfo> apply(const BatchInfo& info);
  base::Result<BatchInfo> undo(const BatchInfo& info);

 private:
  struct Slot {
    StoredItem stored;
    uint64_t number = 0;
  };

  base::Status start(const BatchInfo& info);
  base::Status read_items(uint64_t from, uint64_t to);
  base::Status note_token(std::string_view line);
  void find_values();
  bool untoken(Slot& slot);
  base::Status log(const std::string& lines, bool sync);
  base::Status step(std::string_view name, bool with_who, bool again = false);
  base::Status journal(std::string_view step);
  uint64_t chunk_items() const;
  bool goes_on(uint64_t done);
  base::Status end(base::Status status, bool complete, BatchState complete_state);

  base::Status apply_chunk();
  base::Status look_again(const std::vector<size_t>& at, const BatchChunk& chunk, bool resumed, std::string& lines);
  base::Status act(const BatchChunk& chunk, std::vector<size_t>& at, std::string& lines);
  base::Status undo_chunk(uint64_t total, bool resumed, bool again);
  base::Status undo_item(Slot& slot, const BatchChunk& chunk, bool resumed, bool again, std::vector<BatchFault>& kept);
  void write_kept(std::vector<BatchFault>& kept, std::string& lines);
  // Runs `use` on the slots at these places, a few at a time, while nothing else changes.
  base::Status hold(const std::vector<size_t>& at, const std::function<base::Status(Slot&, size_t)>& use);
  const std::optional<Mark>& before(const Slot& slot) const;

  const std::string stem_;  // path of its files without the ending
  Ground& ground_;
  const BatchOptions& options_;
  const BatchRun& run_;
  BatchStop& stop_;
  std::function<void(const BatchInfo&)> publish_;

  BatchInfo info_;
  BatchLog log_;
  LineFile log_file_;
  std::vector<uint64_t> offsets_;  // of every kOffsetItems-th item
  std::vector<Slot> slots_;        // of the chunk at hand
  std::unordered_set<uint64_t> failed_;
  std::unordered_map<std::string, std::string> values_;  // by the tokens of items; empty: not found
  std::vector<Place> token_places_;                      // of these items, without values, each once
  std::string stop_reason_;
  uint64_t asked_changes_ = 0;  // of Ground::last_change()
  std::chrono::steady_clock::time_point begun_;
  uint64_t begun_at_ = 0;
};

}  // namespace tamis::action
