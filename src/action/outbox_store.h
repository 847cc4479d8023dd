// The outbox's queue in SQLite. Private to this room; the caller sees to it that one thread at a time uses it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "action/outbox.h"
#include "action/webhook.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tamis::action {

// What became of one attempt.
struct AttemptResult {
  uint64_t id = 0;
  std::string channel, key, order;
  Attempt attempt;
  uint32_t attempts = 0;
  int64_t next_ms = 0;
};

class OutboxStore {
 public:
  static base::Result<std::unique_ptr<OutboxStore>> open(const std::string& folder);
  ~OutboxStore();
  OutboxStore(const OutboxStore&) = delete;
  OutboxStore& operator=(const OutboxStore&) = delete;

  struct New {
    std::string channel;
    Notice notice;
    int64_t now_ms = 0;
  };
  // All or nothing, and on disk when it returns. Gives how many of the new ones were known already.
  base::Result<uint64_t> commit(std::span<const New> items, std::span<const AttemptResult> results, int64_t now_ms);
  // Drops what is beyond its time or number; gives how many dead letters went.
  base::Result<uint64_t> clean(const OutboxOptions& options, int64_t now_ms);

  // The `count` items of a channel that are due first, as (id, next_ms).
  base::Result<std::vector<std::pair<uint64_t, int64_t>>> first(const std::string& channel, size_t count);
  // With its body. Nothing: it is gone.
  base::Result<std::optional<std::pair<OutboxItem, std::string>>> get(uint64_t id);
  base::Result<std::vector<OutboxItem>> list(const OutboxFilter& filter);
  base::Result<std::vector<ChannelStats>> stats();
  base::Result<uint64_t> retry(std::span<const uint64_t> ids, int64_t now_ms);
  base::Result<uint64_t> drop(std::span<const uint64_t> ids);
  base::Result<uint64_t> erase(std::string_view text);
  base::Result<uint64_t> forget(int64_t before_ms);

  uint64_t rows() const { return rows_; }
  uint64_t bytes() const { return bytes_; }
  const std::string& last_error() const { return error_; }

 private:
  class Query;
  OutboxStore() = default;
  base::Status run(const char* sql);
  base::Status count();
  base::Error error(const char* what);
  base::Result<uint64_t> insert(const New& item);
  base::Status apply(const AttemptResult& result, int64_t now_ms);
  base::Status promote(const std::string& channel, const std::string& order);
  base::Result<uint64_t> remove(uint64_t id);
  // Runs `work` as one transaction.
  template <class Work>
  base::Status together(const Work& work);

  std::string path_;
  std::string error_;
  sqlite3* db_ = nullptr;
  uint64_t rows_ = 0, bytes_ = 0;
};

}  // namespace tamis::action
