// The one implementation of Archive; its members are spread over archive.cc (adding and flushing), compact.cc,
// query.cc, scan.cc and retain.cc. Private.
//
// Locks, in this order: change_mutex_ (who puts files in place of others: join, retain, erase), write_mutex_ (who
// writes a manifest), mutex_ (rows that wait, which manifest counts; held for copies of pointers and one row only),
// database_mutex_ (opening the instance that reads).
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "archive/archive.h"
#include "archive/manifest.h"
#include "archive/parquet.h"
#include "archive/rows.h"

namespace tamis::archive {

class ArchiveImpl final : public Archive {
 public:
  // `links`: where the files lie if they are links (of a folder that may only be read), or empty.
  ArchiveImpl(std::string folder, std::string links, ArchiveOptions options, Manifest manifest);
  ~ArchiveImpl() override;

  base::Status add(const engine::PreparedEvent& event, const engine::Decision* decision, uint64_t record,
                   int64_t receive_ms) override;
  base::Status add_act(uint64_t record, int64_t receive_ms, const engine::Act& act) override;
  base::Status flush(uint64_t upto, bool join = true) override;
  void declare(const policy::Policy& policy) override;
  ArchiveStats stats() const override;
  uint64_t pending_bytes() const override {
    std::lock_guard lock(mutex_);
    return pending_bytes_;
  }
  base::Result<Table> query(std::string_view sql, const QueryLimits& limits,
                            const std::function<bool()>& keep_going) const override;
  base::Result<std::unique_ptr<Scan>> scan(const ScanRequest& request) const override;
  base::Result<std::vector<std::string>> missing(const ScanRequest& request) const override;
  base::Result<std::optional<Tally>> tally(const TallyRequest& request,
                                           const std::function<bool()>& keep_going) const override;
  std::optional<Warmth> warmth(const ScanRequest& request) const override;
  void warm(const ScanRequest& request) const override;
  base::Result<Verified> verify(const std::function<bool(uint64_t, uint64_t)>& keep_going) const override;
  base::Result<std::map<uint64_t, std::string>> rows(std::string_view type,
                                                     const std::vector<uint64_t>& numbers) const override;
  base::Result<RetentionReport> retain(const policy::Policy& policy, const Retention& retention,
                                       const std::function<bool()>& keep_going) override;
  base::Result<uint64_t> erase(const policy::Policy& policy, std::string_view kind, std::string_view value,
                               const std::function<std::string(std::string_view day)>& key_of_day) override;

 private:
  struct Pending {
    std::string type;  // empty: acts
    std::unique_ptr<RowBuffer> rows;
  };

  base::Status put(const RowMaker::Made& made, uint64_t record);
  base::Result<std::vector<FilePointer>> write_pending(const std::vector<Pending>& taken);
  base::Result<std::vector<FilePointer>> write_buffer(const Pending& pending);
  base::Status flush_now(uint64_t upto);
  void remember(const base::Status& status);  // for stats()
  DatabaseOptions writer_options() const;

  // The manifest that counts now. With read_only, read again where another process has replaced it.
  base::Result<std::shared_ptr<const Manifest>> current() const;
  // Puts `added` in place of `removed`; the files of both sides that do not count afterwards are removed.
  base::Status replace(const std::vector<FilePointer>& removed, const std::vector<FilePointer>& added, uint64_t upto);

  base::Result<ParquetWriter*> writer();                                    // under write_mutex_
  base::Status open_writer(std::unique_ptr<ParquetWriter>& parquet) const;  // where it is null
  base::Result<const Database*> reader() const;
  DatabaseOptions database_options() const;
  // A place for a new file; its folder is there afterwards.
  base::Result<std::shared_ptr<DataFile>> new_file(const std::string& type, int64_t day, uint64_t first, uint64_t last);
  // Fills bytes and footer_hash from the file.
  base::Status measure(DataFile& file) const;

  base::Status put_in_place(const FilePointer& file, const std::vector<FilePointer>& added);  // takes write_mutex_
  base::Status compact(bool all);
  // `parquet` is opened where DuckDB is needed.
  base::Result<FilePointer> join(std::unique_ptr<ParquetWriter>& parquet, const std::vector<FilePointer>& files);
  base::Result<uint64_t> write_joined(std::unique_ptr<ParquetWriter>& parquet, const std::vector<FilePointer>& files,
                                      bool in_order, const DataFile& to) const;  // rows

  // How one file is written anew; nothing is, where `changed` is false. Rows that `where` does not hold for are left
  // out.
  struct Rewrite {
    Layout layout;
    std::vector<std::string> expressions;  // of the columns that stay, as SQL
    std::string where;
    std::string key;
    bool changed = false;
    uint64_t values_dropped = 0, values_tokened = 0;
  };
  // Whether these columns (null: all) are what was written; what is wrong with the file is added to `left`.
  static bool is_whole(const DataFile& file, const std::set<std::string>* columns, std::vector<std::string>& left);
  base::Status rewrite(ParquetWriter& parquet, const FilePointer& file, const Rewrite& how, RetentionReport& report);
  static base::Status count_values(ParquetWriter& parquet, const DataFile& file, Rewrite& how);
  base::Result<RetentionReport> retain_files(const policy::Policy& policy, const Retention& retention,
                                             const std::function<bool()>& keep_going);
  base::Result<uint64_t> erase_from_files(const policy::Policy& policy, std::string_view kind, std::string_view value,
                                          const std::function<std::string(std::string_view day)>& key_of_day);

  const std::string folder_, links_;
  const ArchiveOptions options_;

  std::mutex change_mutex_, write_mutex_;
  std::unique_ptr<ParquetWriter> writer_;

  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Manifest> manifest_;
  mutable uint64_t generation_ = 0;
  mutable int64_t manifest_stamp_[3] = {};  // inode, size, change time of the manifest that was read
  std::map<std::string, std::shared_ptr<const Layout>> declared_;  // by event type
  std::vector<Pending> pending_;
  uint64_t pending_rows_ = 0, pending_bytes_ = 0;  // those being flushed included
  std::string failure_;

  RowMaker maker_;  // of the thread that adds

  mutable std::mutex database_mutex_;
  mutable std::unique_ptr<Database> reader_;

  void stop_warming();                             // and waits until its files have no reader there
  void make_room(const Manifest& manifest) const;  // among columns in memory, as of now
  struct Cold {
    FilePointer file;
    std::vector<HotWanted> wanted;
  };
  void warm_files(const Manifest& manifest, const std::vector<Cold>& files) const;
  std::shared_ptr<HotUse> hot_use_ = std::make_shared<HotUse>();
  mutable std::mutex warm_mutex_;
  mutable std::thread warmer_;
  mutable std::atomic<bool> warming_ = false, stop_warming_ = false;
};

// SQL that reads the files of one type as one table, or of all types as `events`. Without files: no rows.
std::string table_sql(const std::vector<FilePointer>& files);
std::string empty_table(const std::vector<ColumnSpec>& columns);
std::string events_sql(const Manifest& manifest);
std::string acts_sql(const Manifest& manifest);
std::string truth_sql(const Manifest& manifest);
// For whoever has DuckDB read files: compares those of their bytes that are read with their hashes (DataFile::verify).
// A file that is lost is an error, too.
base::Status verify_files(const std::vector<FilePointer>& files, const std::set<std::string>* columns, int threads,
                          const std::function<bool()>& keep_going);
// read_parquet(['a', 'b'])
std::string read_sql(const std::vector<FilePointer>& files);

base::Result<std::unique_ptr<Scan>> open_scan(const Database& database, std::shared_ptr<const Manifest> manifest,
                                              const ScanRequest& request);
// The same with columns in memory.
base::Result<std::unique_ptr<Scan>> open_hot_scan(const Database& database, std::shared_ptr<const Manifest> manifest,
                                                  const ScanRequest& request, std::shared_ptr<HotUse> use);
base::Result<std::vector<std::string>> missing_of(const Manifest& manifest, const ScanRequest& request);

}  // namespace tamis::archive
