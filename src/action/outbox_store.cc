#include "action/outbox_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"

namespace tamis::action {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr off_t kCheckedBytesMax = 64 << 20;  // a larger file is not read through at the start

// States are those of OutboxItem::State.
constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS items(id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, key TEXT NOT NULL,"
    " ord TEXT NOT NULL, topic TEXT NOT NULL, body TEXT NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " enqueued INTEGER NOT NULL, next INTEGER NOT NULL, status INTEGER NOT NULL, error TEXT NOT NULL,"
    " UNIQUE(channel, key));"
    "CREATE INDEX IF NOT EXISTS items_due ON items(channel, state, next, id);"
    "CREATE INDEX IF NOT EXISTS items_order ON items(channel, ord, id) WHERE ord != '' AND state != 1;"
    "CREATE INDEX IF NOT EXISTS items_dead ON items(id) WHERE state = 1;"
    "CREATE TABLE IF NOT EXISTS done(channel TEXT NOT NULL, key TEXT NOT NULL, t INTEGER NOT NULL,"
    " PRIMARY KEY(channel, key)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS done_t ON done(t);";
constexpr const char* kItemColumns =
    "id, channel, key, ord, topic, length(CAST(body AS BLOB)), state, attempts, enqueued, next, status, error";

}  // namespace

// One statement with its parameters.
class OutboxStore::Query {
 public:
  Query(OutboxStore& store, const char* sql) : store_(store) {
    failed_ = sqlite3_prepare_v2(store.db_, sql, -1, &statement_, nullptr) != SQLITE_OK;
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { sqlite3_finalize(statement_); }

  Query& bind(std::string_view text) {
    failed_ = failed_ || sqlite3_bind_text64(statement_, ++bound_, text.data() == nullptr ? "" : text.data(),
                                             text.size(), SQLITE_TRANSIENT, SQLITE_UTF8) != SQLITE_OK;
    return *this;
  }
  Query& bind(int64_t number) {
    failed_ = failed_ || sqlite3_bind_int64(statement_, ++bound_, number) != SQLITE_OK;
    return *this;
  }
  // True with a row.
  Result<bool> next() {
    int code = failed_ ? SQLITE_ERROR : sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return tl::unexpected<base::Error>(store_.error("use"));
  }
  // To its end. Gives how many rows it changed.
  Result<uint64_t> run() {
    for (;;) {
      TAMIS_TRY(more, next());
      if (!more) return static_cast<uint64_t>(sqlite3_changes64(store_.db_));
    }
  }
  int64_t number(int column) { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return {bytes == nullptr ? "" : bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }
  OutboxItem item() {
    OutboxItem item;
    item.id = static_cast<uint64_t>(number(0));
    item.channel = text(1);
    item.key = text(2);
    item.order = text(3);
    item.topic = text(4);
    item.body_bytes = static_cast<uint64_t>(number(5));
    item.state = static_cast<OutboxItem::State>(number(6));
    item.attempts = static_cast<uint32_t>(number(7));
    item.enqueued_ms = number(8);
    item.next_ms = number(9);
    item.last_status = static_cast<int>(number(10));
    item.last_error = text(11);
    return item;
  }

 private:
  OutboxStore& store_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  bool failed_ = false;
};

OutboxStore::~OutboxStore() { sqlite3_close(db_); }

base::Error OutboxStore::error(const char* what) {
  int code = sqlite3_errcode(db_) & 0xff;
  bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
  error_ = "cannot " + std::string(what) + " " + path_ + ": " +
           (code == SQLITE_BUSY ? "it is in use by another process" : sqlite3_errmsg(db_));
  return {damaged ? Code::kInvalid : Code::kUnavailable, error_};
}

Status OutboxStore::run(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return tl::unexpected<base::Error>(error("use"));
}

Result<std::unique_ptr<OutboxStore>> OutboxStore::open(const std::string& folder) {
  TAMIS_CHECK(base::make_folders(folder));
  std::unique_ptr<OutboxStore> store(new OutboxStore());
  store->path_ = folder + "/outbox.db";
  // Made by us, so that nobody else may read what waits.
  int fd = ::open(store->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return tl::unexpected<base::Error>(base::system_error("open", store->path_, errno));
  struct stat facts {};
  ::fstat(fd, &facts);
  ::close(fd);
  if (sqlite3_open_v2(store->path_.c_str(), &store->db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr) !=
      SQLITE_OK) {
    return tl::unexpected<base::Error>(store->error("open"));
  }
  TAMIS_CHECK(store->run(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;"
      "PRAGMA cache_size=-8192; PRAGMA journal_size_limit=67108864; BEGIN IMMEDIATE; COMMIT;"));
  if (facts.st_size > 0 && facts.st_size <= kCheckedBytesMax) {
    Query check(*store, "PRAGMA quick_check(1)");
    TAMIS_TRY(row, check.next());
    if (!row || check.text(0) != "ok") {
      return base::invalid(store->path_ + " is damaged: " + (row ? check.text(0) : "it cannot be checked") +
                           ". Move it aside; the journal tells what was to be sent");
    }
  }
  TAMIS_CHECK(store->run(kSchema));
  TAMIS_CHECK(store->count());
  return store;
}

Status OutboxStore::count() {
  Query query(*this, "SELECT count(*), coalesce(sum(length(CAST(body AS BLOB))), 0) FROM items");
  TAMIS_TRY(row, query.next());
  rows_ = row ? static_cast<uint64_t>(query.number(0)) : 0;
  bytes_ = row ? static_cast<uint64_t>(query.number(1)) : 0;
  return {};
}

template <class Work>
Status OutboxStore::together(const Work& work) {
  uint64_t rows = rows_, bytes = bytes_;
  TAMIS_CHECK(run("BEGIN IMMEDIATE"));
  Status status = work();
  if (status) status = run("COMMIT");
  if (status) return {};
  std::string why = error_;
  (void)run("ROLLBACK");  // fails where SQLite has rolled back already
  error_ = why;
  rows_ = rows;
  bytes_ = bytes;
  return status;
}

Result<uint64_t> OutboxStore::commit(std::span<const New> items, std::span<const AttemptResult> results,
                                     int64_t now_ms) {
  uint64_t known = 0;
  Status status = together([&]() -> Status {
    for (const AttemptResult& result : results) TAMIS_CHECK(apply(result, now_ms));
    for (const New& item : items) {
      TAMIS_TRY(inserted, insert(item));
      known += inserted == 0;
    }
    return {};
  });
  if (!status) return tl::unexpected<base::Error>(status.error());
  error_.clear();
  return known;
}

Result<uint64_t> OutboxStore::insert(const New& item) {
  const Notice& notice = item.notice;
  Query query(
      *this,
      "INSERT OR IGNORE INTO items(channel, key, ord, topic, body, state, attempts, enqueued, next, status, error)"
      " SELECT ?1, ?2, ?3, ?4, ?5, CASE WHEN ?3 != '' AND EXISTS(SELECT 1 FROM items WHERE channel = ?1 AND"
      " ord = ?3 AND ord != '' AND state != 1) THEN 2 ELSE 0 END, 0, ?6, ?6, 0, ''"
      " WHERE NOT EXISTS(SELECT 1 FROM done WHERE channel = ?1 AND key = ?2)");
  query.bind(item.channel).bind(notice.key).bind(notice.order).bind(notice.topic).bind(notice.body).bind(item.now_ms);
  TAMIS_TRY(changed, query.run());
  rows_ += changed;
  bytes_ += changed == 0 ? 0 : notice.body.size();
  return changed;
}

// The one behind takes its turn.
Status OutboxStore::promote(const std::string& channel, const std::string& order) {
  if (order.empty()) return {};
  Query query(*this,
              "UPDATE items SET state = 0 WHERE state = 2 AND id = (SELECT min(id) FROM items WHERE channel = ?1 AND"
              " ord = ?2 AND ord != '' AND state != 1)");
  TAMIS_TRY(changed, query.bind(channel).bind(order).run());
  (void)changed;
  return {};
}

Result<uint64_t> OutboxStore::remove(uint64_t id) {
  Query size(*this, "SELECT length(CAST(body AS BLOB)), channel, ord FROM items WHERE id = ?");
  TAMIS_TRY(there, size.bind(static_cast<int64_t>(id)).next());
  if (!there) return uint64_t{0};
  auto bytes = static_cast<uint64_t>(size.number(0));
  std::string channel = size.text(1), order = size.text(2);
  Query query(*this, "DELETE FROM items WHERE id = ?");
  TAMIS_TRY(changed, query.bind(static_cast<int64_t>(id)).run());
  rows_ -= changed;
  bytes_ -= bytes;
  TAMIS_CHECK(promote(channel, order));
  return changed;
}

Status OutboxStore::apply(const AttemptResult& result, int64_t now_ms) {
  if (result.attempt.outcome == Attempt::Outcome::kDelivered) {
    Query done(*this, "INSERT OR REPLACE INTO done(channel, key, t) VALUES(?, ?, ?)");
    TAMIS_TRY(put, done.bind(result.channel).bind(result.key).bind(now_ms).run());
    TAMIS_TRY(removed, remove(result.id));
    (void)put, (void)removed;
    return {};
  }
  bool dead = result.attempt.outcome == Attempt::Outcome::kDead;
  Query query(*this, "UPDATE items SET state = ?, attempts = ?, next = ?, status = ?, error = ? WHERE id = ?");
  query.bind(int64_t{dead}).bind(int64_t{result.attempts}).bind(result.next_ms).bind(int64_t{result.attempt.status});
  TAMIS_TRY(changed, query.bind(result.attempt.error).bind(static_cast<int64_t>(result.id)).run());
  (void)changed;
  return dead ? promote(result.channel, result.order) : Status{};
}

Result<uint64_t> OutboxStore::clean(const OutboxOptions& options, int64_t now_ms) {
  uint64_t dropped = 0;
  Status status = together([&]() -> Status {
    Query old(*this, "DELETE FROM done WHERE t < ?");
    TAMIS_TRY(gone, old.bind(now_ms - options.done_keep_ms).run());
    Query many(*this, "DELETE FROM done WHERE t < (SELECT t FROM done ORDER BY t DESC LIMIT 1 OFFSET ?)");
    TAMIS_TRY(more, many.bind(static_cast<int64_t>(options.done_max)).run());
    Query dead(*this,
               "DELETE FROM items WHERE state = 1 AND (next < ?1 OR id <= (SELECT id FROM items WHERE state = 1"
               " ORDER BY id DESC LIMIT 1 OFFSET ?2))");
    TAMIS_TRY(letters, dead.bind(now_ms - options.dead_keep_ms).bind(static_cast<int64_t>(options.dead_max)).run());
    (void)gone, (void)more;
    dropped = letters;
    return letters > 0 ? count() : Status{};
  });
  if (!status) return tl::unexpected<base::Error>(status.error());
  return dropped;
}

Result<std::vector<std::pair<uint64_t, int64_t>>> OutboxStore::first(const std::string& channel, size_t count) {
  Query query(*this, "SELECT id, next FROM items WHERE channel = ? AND state = 0 ORDER BY next, id LIMIT ?");
  query.bind(channel).bind(static_cast<int64_t>(count));
  std::vector<std::pair<uint64_t, int64_t>> out;
  for (;;) {
    TAMIS_TRY(more, query.next());
    if (!more) return out;
    out.emplace_back(static_cast<uint64_t>(query.number(0)), query.number(1));
  }
}

Result<std::optional<std::pair<OutboxItem, std::string>>> OutboxStore::get(uint64_t id) {
  std::string sql = std::string("SELECT ") + kItemColumns + ", body FROM items WHERE id = ?";
  Query query(*this, sql.c_str());
  TAMIS_TRY(there, query.bind(static_cast<int64_t>(id)).next());
  if (!there) return std::optional<std::pair<OutboxItem, std::string>>();
  return std::optional(std::pair(query.item(), query.text(12)));
}

Result<std::vector<OutboxItem>> OutboxStore::list(const OutboxFilter& filter) {
  std::string sql = std::string("SELECT ") + kItemColumns +
                    " FROM items WHERE id > ?1 AND (?2 = '' OR channel = ?2) AND " +
                    (filter.dead ? "state = 1" : "state != 1") + " ORDER BY id LIMIT ?3";
  Query query(*this, sql.c_str());
  query.bind(static_cast<int64_t>(filter.after_id)).bind(filter.channel);
  query.bind(static_cast<int64_t>(std::min<size_t>(filter.limit, 10'000)));
  std::vector<OutboxItem> out;
  for (;;) {
    TAMIS_TRY(more, query.next());
    if (!more) return out;
    out.push_back(query.item());
  }
}

Result<std::vector<ChannelStats>> OutboxStore::stats() {
  Query query(
      *this,
      "SELECT channel, sum(state != 1), sum(state = 1), coalesce(min(CASE WHEN state != 1 THEN enqueued END), 0)"
      " FROM items GROUP BY channel");
  std::vector<ChannelStats> out;
  for (;;) {
    TAMIS_TRY(more, query.next());
    if (!more) return out;
    ChannelStats stats;
    stats.name = query.text(0);
    stats.queued = static_cast<uint64_t>(query.number(1));
    stats.dead = static_cast<uint64_t>(query.number(2));
    stats.oldest_ms = query.number(3);
    out.push_back(std::move(stats));
  }
}

Result<uint64_t> OutboxStore::retry(std::span<const uint64_t> ids, int64_t now_ms) {
  uint64_t retried = 0;
  Status status = together([&]() -> Status {
    for (uint64_t id : ids) {
      // Others of its order that are under way stay in front of it, which a new id says.
      Query query(*this,
                  "UPDATE items SET id = (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'items'), attempts = 0,"
                  " enqueued = ?2, next = ?2, state = CASE WHEN ord != '' AND EXISTS(SELECT 1 FROM items AS other WHERE"
                  " other.channel = items.channel AND other.ord = items.ord AND other.ord != '' AND other.state != 1)"
                  " THEN 2 ELSE 0 END WHERE id = ?1 AND state = 1");
      TAMIS_TRY(changed, query.bind(static_cast<int64_t>(id)).bind(now_ms).run());
      retried += changed;
      if (changed > 0) TAMIS_CHECK(run("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'items'"));
    }
    return {};
  });
  if (!status) return tl::unexpected<base::Error>(status.error());
  return retried;
}

Result<uint64_t> OutboxStore::drop(std::span<const uint64_t> ids) {
  uint64_t dropped = 0;
  Status status = together([&]() -> Status {
    for (uint64_t id : ids) {
      TAMIS_TRY(removed, remove(id));
      dropped += removed;
    }
    return {};
  });
  if (!status) return tl::unexpected<base::Error>(status.error());
  return dropped;
}

Result<uint64_t> OutboxStore::erase(std::string_view text) {
  std::vector<uint64_t> ids;
  {
    Query query(*this,
                "SELECT id FROM items WHERE instr(lower(body), lower(?1)) > 0 OR instr(lower(key), lower(?1)) > 0 OR"
                " instr(lower(ord), lower(?1)) > 0 OR instr(lower(error), lower(?1)) > 0");
    query.bind(text);
    for (;;) {
      TAMIS_TRY(more, query.next());
      if (!more) break;
      ids.push_back(static_cast<uint64_t>(query.number(0)));
    }
  }
  TAMIS_TRY(dropped, drop(ids));
  Query done(*this, "DELETE FROM done WHERE instr(lower(key), lower(?1)) > 0");
  TAMIS_TRY(keys, done.bind(text).run());
  (void)keys;
  // The old content lies in the write-ahead log until it is emptied.
  TAMIS_CHECK(run("PRAGMA wal_checkpoint(TRUNCATE)"));
  return dropped;
}

Result<uint64_t> OutboxStore::forget(int64_t before_ms) {
  std::vector<uint64_t> ids;
  {
    Query query(*this, "SELECT id FROM items WHERE enqueued < ?");
    query.bind(before_ms);
    for (;;) {
      TAMIS_TRY(more, query.next());
      if (!more) break;
      ids.push_back(static_cast<uint64_t>(query.number(0)));
    }
  }
  TAMIS_TRY(dropped, drop(ids));
  TAMIS_CHECK(run("PRAGMA wal_checkpoint(TRUNCATE)"));
  return dropped;
}

}  // namespace tamis::action
