// Scans over columns in memory, and how columns come there.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "archive/archive_impl.h"
#include "archive/hot_select.h"
#include "archive/scan_plan.h"
#include "base/thread.h"

namespace tamis::archive {
namespace {

constexpr uint32_t kChunkRows = 4'096;
constexpr size_t kLayoutsKnown = 64;

// What a scan reads from files of one layout: n, time, then the slots of the request; nothing where one of them is
// never in memory.
std::optional<std::vector<HotWanted>> wanted_of(const LayoutPlan& plan) {
  std::vector<HotWanted> wanted = {{"n", ColumnType::kUint}, {"time", ColumnType::kTimestamp}};
  for (const SlotSource& source : plan.slots) {
    switch (source.from) {
      case SlotSource::From::kTime:
        wanted.push_back({"time", ColumnType::kTimestamp});
        break;
      case SlotSource::From::kPoints:
        wanted.push_back({"points", ColumnType::kDouble});
        break;
      case SlotSource::From::kColumn:
        if (!HotBuilder::can_hold(source.type)) return std::nullopt;
        wanted.push_back({source.column, source.type});
        break;
      default:
        return std::nullopt;
    }
  }
  return wanted;
}

// Tells what is wanted of each file; plans are made once a layout.
class Wants {
 public:
  explicit Wants(const ScanRequest& request) : request_(request), layout_(layout_of(*request.policy, *request.type)) {}

  const std::optional<std::vector<HotWanted>>& of(const DataFile& file) {
    for (const auto& [layout, wanted] : known_) {
      if (layout == file.layout.get()) return wanted;
    }
    if (known_.size() >= kLayoutsKnown) known_.clear();
    auto plan = plan_layout(*file.layout, layout_, request_);
    known_.emplace_back(file.layout.get(), plan ? wanted_of(*plan) : std::nullopt);
    return known_.back().second;
  }

 private:
  const ScanRequest& request_;
  TypeLayout layout_;
  std::vector<std::pair<const Layout*, std::optional<std::vector<HotWanted>>>> known_;
};

base::Status too_large(const DataFile& file, const HotWanted& column) {
  return base::fail(base::Code::kLimit, fmt::format("{} of {} does not fit into memory", column.column, file.path));
}

// Reads a column by its pages. False: it is not for them; or `stop` says so.
base::Result<bool> load_pages(const DataFile& file, const HotWanted& wanted, const std::shared_ptr<HotUse>& use,
                              const std::atomic<bool>* stop) {
  TAMIS_TRY(parquet, file.parquet());
  TAMIS_TRY(reader, ParquetFile::Reader::open(parquet));
  const int32_t column = parquet->column(wanted.column);
  if (column < 0) return false;
  HotBuilder builder(wanted.type);
  PageColumn pages;
  uint64_t rows = 0;
  for (size_t group = 0; group < parquet->groups().size(); ++group) {
    if (stop != nullptr && *stop) return false;
    TAMIS_CHECK(reader.read(group, column, UINT32_MAX, pages));
    if (!builder.takes(pages)) return false;
    if (!builder.add(pages)) return tl::unexpected<base::Error>(too_large(file, wanted).error());
    rows += pages.rows;
  }
  if (rows != file.rows) return false;
  file.hot.keep(wanted.column, builder.finish(use));
  return true;
}

// Reads those columns of a file that are not in memory. False: `stop` said so.
base::Result<bool> load(const std::function<base::Result<Connection*>()>& connect, const DataFile& file,
                        const std::vector<HotWanted>& wanted, const std::shared_ptr<HotUse>& use,
                        const std::atomic<bool>* stop) {
  std::vector<const HotWanted*> cold;
  std::string list;
  for (const HotWanted& one : wanted) {
    auto same = [&](const HotWanted* other) { return other->column == one.column; };
    if (std::any_of(cold.begin(), cold.end(), same) || file.hot.find(one.column) != nullptr) continue;
    auto loaded = load_pages(file, one, use, stop);
    if (stop != nullptr && *stop) return false;
    if (loaded && *loaded) continue;
    // What the pages cannot tell, DuckDB can.
    if (!loaded && loaded.error().code != base::Code::kNotFound) return loaded;
    cold.push_back(&one);
    list += (list.empty() ? "" : ", ") + sql_name(one.column);
  }
  if (cold.empty()) return true;
  std::set<std::string> columns;
  for (const HotWanted* one : cold) columns.insert(one->column);
  TAMIS_CHECK(file.verify(&columns, nullptr));
  TAMIS_TRY(connection_of, connect());
  Connection& connection = *connection_of;
  std::vector<HotBuilder> builders;
  for (const HotWanted* one : cold) builders.emplace_back(one->type);
  TAMIS_TRY(stream, Stream::open(connection, fmt::format("SELECT {} FROM read_parquet([{}], hive_partitioning = false)",
                                                         list, sql_text(file.absolute))));
  uint64_t rows = 0;
  while (true) {
    if (stop != nullptr && *stop) return false;
    TAMIS_TRY(chunk, stream->next());
    if (!chunk) break;
    rows += chunk.rows();
    for (uint32_t i = 0; i < builders.size(); ++i) {
      if (builders[i].add(chunk, i)) continue;
      return tl::unexpected<base::Error>(too_large(file, *cold[i]).error());
    }
  }
  if (rows != file.rows)
    return base::fail(base::Code::kUnavailable,
                      fmt::format("{} has {} rows and not {}, as the manifest says", file.path, rows, file.rows));
  for (size_t i = 0; i < builders.size(); ++i) file.hot.keep(cold[i]->column, builders[i].finish(use));
  return true;
}

class HotScan final : public Scan {
 public:
  HotScan(const Database& database, std::shared_ptr<const Manifest> manifest, const ScanRequest& request,
          std::shared_ptr<HotUse> use)
      : database_(database),
        manifest_(std::move(manifest)),
        request_(request),
        use_(std::move(use)),
        files_(files_in_window(*manifest_, request)),
        wants_(request_),
        slots_(static_cast<size_t>(request.type->slot_count)),
        arena_(256 * 1024) {
    for (const FilePointer& file : files_) rows_total_ += file->rows;
  }

  base::Result<const Batch*> next() override {
    batch_ = Batch();
    while (true) {
      if (columns_.empty()) {
        if (at_file_ == files_.size()) return &batch_;
        TAMIS_CHECK(open_file());
        prepare_tests(*files_[at_file_]);
      }
      const DataFile& file = *files_[at_file_];
      if (at_row_ == file.rows) {
        columns_.clear();
        ++at_file_;
        continue;
      }
      if (next_rows(file)) return &batch_;
    }
  }
  uint64_t rows_total() const override { return rows_total_; }

 private:
  base::Status open_file() {
    const DataFile& file = *files_[at_file_];
    if (file.lost) return tl::unexpected<base::Error>(lost_error(file));
    const auto& wanted = wants_.of(file);
    if (!wanted) return base::fail(base::Code::kInternal, "a scan in memory asks for what is never there");
    at_row_ = 0;
    auto have = [&] {
      columns_.clear();
      for (const HotWanted& one : *wanted) {
        columns_.push_back(file.hot.find(one.column));
        if (columns_.back() == nullptr) return false;
        columns_.back()->used = use_->now.load();
      }
      return true;
    };
    // Between reading and looking, another may have dropped a column.
    for (int i = 0; i < 4; ++i) {
      if (have()) return {};
      TAMIS_TRY(loaded, load([this] { return connection(); }, file, *wanted, use_, nullptr));
      (void)loaded;
    }
    columns_.clear();
    return base::fail(base::Code::kLimit, "there is no memory for the columns of " + file.path);
  }

  base::Result<Connection*> connection() {
    if (!connection_) {
      TAMIS_TRY(opened, Connection::open(database_));
      connection_ = std::make_unique<Connection>(std::move(opened));
    }
    return connection_.get();
  }

  // What the request says that each row must be, made ready for the columns of the file. Cheap tests first.
  void prepare_tests(const DataFile& file) {
    tests_.clear();
    partial_ = file.from_ms < request_.from_ms || file.to_ms >= request_.to_ms;
    for (const cel::Predicate& must : request_.must) {
      for (size_t i = 0; i < request_.slots.size(); ++i) {
        if (request_.slots[i] != must.slot) continue;
        HotTest test(*columns_[i + 2], must);
        if (test.useful()) tests_.push_back(std::move(test));
        break;
      }
    }
    std::stable_sort(tests_.begin(), tests_.end(),
                     [](const HotTest& a, const HotTest& b) { return a.cost() < b.cost(); });
  }

  // The next rows of the file that lie in the window and may hold; false: none in this chunk.
  bool next_rows(const DataFile& file) {
    arena_.reset();
    const uint32_t from = at_row_, rows = std::min(static_cast<uint32_t>(file.rows) - at_row_, kChunkRows);
    at_row_ += rows;
    if (!partial_ && tests_.empty()) return fill(from, rows, nullptr);
    std::fill(keep_.begin(), keep_.begin() + rows, uint8_t{1});
    if (partial_) {
      const int64_t* micros = columns_[1]->numbers(from, rows, arena_);
      for (uint32_t i = 0; i < rows; ++i) {
        const int64_t time = ms_of(micros[i]);
        keep_[i] = time >= request_.from_ms && time < request_.to_ms ? 1 : 0;
      }
    }
    for (HotTest& test : tests_) {
      test.apply(from, rows, keep_.data());
      if (std::memchr(keep_.data(), 1, rows) == nullptr) return false;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rows; ++i) {
      chosen_[kept] = from + i;
      kept += keep_[i];
    }
    if (kept == 0) return false;
    return kept == rows ? fill(from, rows, nullptr) : fill(from, kept, chosen_.data());
  }

  static int64_t ms_of(int64_t micros) { return (micros >= 0 ? micros : micros - 999) / 1'000; }

  // Rows that follow each other, or those chosen.
  bool fill(uint32_t from, uint32_t count, const uint32_t* chosen) {
    auto numbers = [&](const HotColumn& column) {
      return chosen == nullptr ? column.numbers(from, count, arena_) : column.numbers(chosen, count, arena_);
    };
    const int64_t* micros = numbers(*columns_[1]);
    auto* time_ms = arena_.allocate_array<int64_t>(count);
    for (uint32_t i = 0; i < count; ++i) time_ms[i] = ms_of(micros[i]);
    batch_.rows = count;
    batch_.time_ms = time_ms;
    batch_.n = reinterpret_cast<const uint64_t*>(numbers(*columns_[0]));
    std::fill(slots_.begin(), slots_.end(), cel::Column());
    for (size_t i = 0; i < request_.slots.size(); ++i) {
      if (request_.slots[i] < 0) continue;
      const HotColumn& column = *columns_[i + 2];
      slots_[static_cast<size_t>(request_.slots[i])] =
          chosen == nullptr ? column.slice(from, count, arena_) : column.gather(chosen, count, arena_);
    }
    batch_.columns = slots_;
    return true;
  }

  const Database& database_;
  std::shared_ptr<const Manifest> manifest_;
  const ScanRequest request_;
  std::shared_ptr<HotUse> use_;
  std::vector<FilePointer> files_;
  Wants wants_;
  uint64_t rows_total_ = 0;
  std::unique_ptr<Connection> connection_;
  size_t at_file_ = 0;
  uint32_t at_row_ = 0;
  std::vector<std::shared_ptr<const HotColumn>> columns_;  // of the file: n, time, the request's slots
  std::vector<cel::Column> slots_;
  std::vector<HotTest> tests_;
  bool partial_ = false;  // part of the file lies outside the window
  std::vector<uint8_t> keep_ = std::vector<uint8_t>(kChunkRows);
  std::vector<uint32_t> chosen_ = std::vector<uint32_t>(kChunkRows + 1);
  base::Arena arena_;
  Batch batch_;
};

// Lets go of what was not read since `before`, until `most` bytes are left: first large columns, then the longest
// unread. A large one takes the place of large ones only: it would be there for one search and gone for ten.
void make_room(const Manifest& manifest, HotUse& use, uint64_t most, uint64_t before, bool only_large) {
  struct Old {
    bool small;
    uint64_t used;
    const DataFile* file;
    std::string column;
  };
  std::vector<Old> old;
  for (const FilePointer& file : manifest.files) {
    for (const auto& [name, column] : file->hot.all()) {
      if (column->used >= before || (only_large && !column->is_large())) continue;
      old.push_back({!column->is_large(), column->used, file.get(), name});
    }
  }
  std::sort(old.begin(), old.end(),
            [](const Old& a, const Old& b) { return std::pair(a.small, a.used) < std::pair(b.small, b.used); });
  for (const Old& one : old) {
    if (use.bytes <= most) return;
    one.file->hot.drop(one.column);
  }
}

// An eighth of the RAM at most, whatever the setting.
uint64_t hot_bytes_max(const ArchiveOptions& options) {
  const long pages = ::sysconf(_SC_PHYS_PAGES), bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || bytes <= 0) return options.hot_bytes_max;
  return std::min<uint64_t>(options.hot_bytes_max, static_cast<uint64_t>(pages) * static_cast<uint64_t>(bytes) / 8);
}

}  // namespace

base::Result<std::unique_ptr<Scan>> open_hot_scan(const Database& database, std::shared_ptr<const Manifest> manifest,
                                                  const ScanRequest& request, std::shared_ptr<HotUse> use) {
  if (request.type == nullptr || request.policy == nullptr) return base::invalid("a scan needs a type and its policy");
  if (request.decisions || request.reasons_and_ids || !request.only.empty())
    return base::invalid("a scan in memory has no decisions, no ids and no selection of records");
  return std::unique_ptr<Scan>(std::make_unique<HotScan>(database, std::move(manifest), request, std::move(use)));
}

std::optional<Archive::Warmth> ArchiveImpl::warmth(const ScanRequest& request) const {
  if (request.type == nullptr || request.policy == nullptr || options_.hot_bytes_max == 0) return std::nullopt;
  if (request.decisions || request.reasons_and_ids || !request.only.empty()) return std::nullopt;
  auto manifest = current();
  if (!manifest) return std::nullopt;
  Wants wants(request);
  Warmth warmth;
  for (const FilePointer& file : files_in_window(**manifest, request)) {
    const auto& wanted = wants.of(*file);
    if (!wanted) return std::nullopt;
    warmth.rows += file->rows;
    const bool hot = std::all_of(wanted->begin(), wanted->end(),
                                 [&](const HotWanted& one) { return file->hot.find(one.column) != nullptr; });
    if (!hot) warmth.cold += file->rows;
  }
  return warmth;
}

void ArchiveImpl::warm(const ScanRequest& request) const {
  std::lock_guard lock(warm_mutex_);
  if (warming_ || options_.hot_bytes_max == 0) return;
  auto manifest = current();
  if (!manifest || !reader()) return;
  // The request's policy need not outlive this call, so what is wanted is found out now.
  Wants wants(request);
  std::vector<Cold> files;
  for (const FilePointer& file : files_in_window(**manifest, request)) {
    const auto& wanted = wants.of(*file);
    if (!wanted) return;
    files.push_back({file, *wanted});
  }
  // The newest are asked for most.
  std::sort(files.begin(), files.end(), [](const Cold& a, const Cold& b) { return a.file->to_ms > b.file->to_ms; });
  if (warmer_.joinable()) warmer_.join();
  warming_ = true;
  warmer_ = std::thread([this, manifest = *manifest, files = std::move(files)]() mutable {
    base::work_behind("read ahead");
    warm_files(*manifest, files);
    // A file that was replaced meanwhile goes when its last reader does.
    files.clear();
    manifest.reset();
    warming_ = false;
  });
}

void ArchiveImpl::make_room(const Manifest& manifest) const {
  const uint64_t now = ++hot_use_->now, most = hot_bytes_max(options_);
  if (hot_use_->bytes > most) tamis::archive::make_room(manifest, *hot_use_, most, now, false);
}

void ArchiveImpl::warm_files(const Manifest& manifest, const std::vector<Cold>& files) const {
  const uint64_t most = hot_bytes_max(options_), before = ++hot_use_->now;
  auto database = reader();
  if (!database) return;
  std::unique_ptr<Connection> connection;
  auto connect = [&]() -> base::Result<Connection*> {
    if (!connection) {
      TAMIS_TRY(opened, Connection::open(**database));
      connection = std::make_unique<Connection>(std::move(opened));
    }
    return connection.get();
  };
  for (const auto& [file, wanted] : files) {
    if (file->lost) return;
    auto loaded = load(connect, *file, wanted, hot_use_, &stop_warming_);
    if (!loaded || !*loaded) return;
    bool large = false;
    for (const HotWanted& one : wanted) {
      auto column = file->hot.find(one.column);
      if (column == nullptr) continue;
      column->used = before;
      large = large || column->is_large();
    }
    if (hot_use_->bytes <= most) continue;
    tamis::archive::make_room(manifest, *hot_use_, most, before, large);
    if (hot_use_->bytes <= most) continue;
    for (const HotWanted& one : wanted) {
      auto column = file->hot.find(one.column);
      if (column != nullptr && column->is_large()) file->hot.drop(one.column);
    }
    return;
  }
}

void ArchiveImpl::stop_warming() {
  std::lock_guard lock(warm_mutex_);
  stop_warming_ = true;
  if (warmer_.joinable()) warmer_.join();
  stop_warming_ = false;
}

ArchiveImpl::~ArchiveImpl() { stop_warming(); }

}  // namespace tamis::archive
