// A scan: cursors over runs of files, merged by record number. Files of a day and type are written one after another,
// so most of the time one cursor is ahead of all others and its chunks are handed on as they are; only where files
// overlap (around midnight, by events that came late) rows are gathered one by one.
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "archive/archive_impl.h"
#include "archive/scan_cursor.h"

namespace tamis::archive {
namespace {

constexpr uint32_t kGatherRows = 2'048;
constexpr uint32_t kLongRun = 256;
// One SELECT reads this many files, so that its threads always have work; more would only make its text longer.
constexpr size_t kFilesPerCursor = 64;

cel::Column slice(const cel::Column& column, uint32_t from) {
  using Layout = cel::Column::Layout;
  cel::Column out = column;
  if (out.states != nullptr) out.states += from;
  switch (out.layout) {
    case Layout::kAbsent:
      break;
    case Layout::kBool:
      out.bools += from;
      break;
    case Layout::kInt:
    case Layout::kTimestamp:
    case Layout::kDuration:
      out.ints += from;
      break;
    case Layout::kUint:
      out.uints += from;
      break;
    case Layout::kDouble:
      out.doubles += from;
      break;
    case Layout::kString:
    case Layout::kBytes:
      out.texts += from;
      break;
    case Layout::kDictionary:
      out.codes += from;
      break;
    case Layout::kValues:
      out.values += from;
      break;
  }
  return out;
}

class ScanImpl final : public Scan {
 public:
  ScanImpl(std::shared_ptr<const Manifest> manifest, const ScanRequest& request)
      : manifest_(std::move(manifest)), request_(request) {
    columns_.resize(static_cast<size_t>(request.type->slot_count));
    for (const int32_t slot : request.slots) gathered_.values[slot].resize(kGatherRows);
  }

  base::Status prepare(const Database& database);
  base::Result<const Batch*> next() override;
  uint64_t rows_total() const override { return rows_total_; }

 private:
  struct Gathered {
    uint32_t rows = 0;
    std::vector<uint64_t> n;
    std::vector<int64_t> time_ms;
    std::vector<double> points;
    std::map<int32_t, std::vector<event::Value>> values;
    std::vector<std::string_view> texts[kExtras];
    std::vector<std::shared_ptr<Rows>> kept;  // what the text points to
  };

  base::Status refill();
  uint32_t run_of(const Cursor& cursor) const;
  const Batch* emit_slice(Cursor& cursor, uint32_t rows);
  const Batch* emit_gathered();
  void gather(Cursor& cursor, uint32_t rows);
  bool is_wanted(uint64_t n);

  std::shared_ptr<const Manifest> manifest_;  // keeps its files there
  ScanRequest request_;
  uint64_t rows_total_ = 0;
  std::vector<std::unique_ptr<Cursor>> waiting_;  // by first record, the next at the back
  std::vector<std::unique_ptr<Cursor>> active_;   // loaded
  size_t only_at_ = 0;
  Gathered gathered_;
  std::vector<cel::Column> columns_;
  Batch batch_;
};

base::Status ScanImpl::prepare(const Database& database) {
  TAMIS_TRY(absent, missing_of(*manifest_, request_));
  if (!absent.empty()) {
    std::string names;
    for (const std::string& name : absent) names += (names.empty() ? "" : ", ") + name;
    return base::fail(base::Code::kNotFound,
                      fmt::format("the archive does not have {} of {} in the whole window: a replay can make it", names,
                                  request_.type->schema.name));
  }
  const TypeLayout wanted = layout_of(*request_.policy, *request_.type);
  std::vector<FilePointer> run;
  auto close_run = [&]() -> base::Status {
    if (run.empty()) return {};
    TAMIS_TRY(plan, plan_layout(*run.front()->layout, wanted, request_));
    waiting_.push_back(std::make_unique<Cursor>(database, request_, std::move(plan), std::move(run)));
    run.clear();
    return {};
  };
  for (const FilePointer& file : files_in_window(*manifest_, request_)) {
    if (file->lost) return tl::unexpected<base::Error>(lost_error(*file));
    rows_total_ += file->rows;
    const bool follows = !run.empty() && run.back()->last < file->first && run.size() < kFilesPerCursor &&
                         *run.back()->layout == *file->layout;
    if (!follows) TAMIS_CHECK(close_run());
    run.push_back(file);
  }
  TAMIS_CHECK(close_run());
  std::reverse(waiting_.begin(), waiting_.end());
  return {};
}

// Loads what is exhausted, and opens cursors that could have the next row.
base::Status ScanImpl::refill() {
  for (size_t i = 0; i < active_.size();) {
    Cursor& cursor = *active_[i];
    if (cursor.at < cursor.rows()->rows) {
      ++i;
      continue;
    }
    TAMIS_TRY(more, cursor.load());
    if (more) {
      ++i;
    } else {
      active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  while (!waiting_.empty()) {
    uint64_t least = UINT64_MAX;
    for (const auto& cursor : active_) least = std::min(least, cursor->n());
    if (!active_.empty() && waiting_.back()->first() > least) break;
    std::unique_ptr<Cursor> cursor = std::move(waiting_.back());
    waiting_.pop_back();
    TAMIS_TRY(more, cursor->load());
    if (more) active_.push_back(std::move(cursor));
  }
  return {};
}

// How many rows of the cursor come before those of all others.
uint32_t ScanImpl::run_of(const Cursor& cursor) const {
  uint64_t limit = waiting_.empty() ? UINT64_MAX : waiting_.back()->first();
  for (const auto& other : active_) {
    if (other.get() != &cursor) limit = std::min(limit, other->n());
  }
  const Rows& rows = *cursor.rows();
  const uint64_t* from = rows.n + cursor.at;
  const uint64_t* end = rows.n + rows.rows;
  if (limit == UINT64_MAX) return static_cast<uint32_t>(end - from);
  return std::max<uint32_t>(1, static_cast<uint32_t>(std::lower_bound(from, end, limit) - from));
}

bool ScanImpl::is_wanted(uint64_t n) {
  const std::vector<uint64_t>& only = request_.only;
  while (only_at_ < only.size() && only[only_at_] < n) ++only_at_;
  return only_at_ < only.size() && only[only_at_] == n;
}

base::Result<const Batch*> ScanImpl::next() {
  gathered_.rows = 0;
  gathered_.kept.clear();
  while (true) {
    TAMIS_CHECK(refill());
    if (active_.empty()) return emit_gathered();
    Cursor* first = active_.front().get();
    for (const auto& cursor : active_) {
      if (cursor->n() < first->n()) first = cursor.get();
    }
    const uint32_t run = run_of(*first);
    const bool whole = request_.only.empty() && (run >= kLongRun || first->at + run == first->rows()->rows);
    if (whole && gathered_.rows == 0) return emit_slice(*first, run);
    if (whole && run >= kLongRun) return emit_gathered();
    gather(*first, run);
    if (gathered_.rows == kGatherRows) return emit_gathered();
  }
}

const Batch* ScanImpl::emit_slice(Cursor& cursor, uint32_t count) {
  const Rows& rows = *cursor.rows();
  const uint32_t from = cursor.at;
  for (size_t i = 0; i < request_.slots.size(); ++i)
    columns_[static_cast<size_t>(request_.slots[i])] = slice(rows.columns[i], from);
  batch_ = {};
  batch_.rows = count;
  batch_.columns = columns_;
  batch_.n = rows.n + from;
  batch_.time_ms = rows.time_ms.data() + from;
  auto text = [&](Extra extra) { return rows.texts[extra] == nullptr ? nullptr : rows.texts[extra] + from; };
  batch_.verdict = text(kExtraVerdict);
  batch_.policy = text(kExtraPolicy);
  batch_.rules = text(kExtraRules);
  batch_.shadow = text(kExtraShadow);
  batch_.id = text(kExtraId);
  if (rows.points != nullptr) batch_.points = rows.points + from;
  cursor.at += count;
  return &batch_;
}

void ScanImpl::gather(Cursor& cursor, uint32_t count) {
  Gathered& to = gathered_;
  to.n.resize(kGatherRows);
  to.time_ms.resize(kGatherRows);
  to.points.resize(kGatherRows);
  for (auto& texts : to.texts) texts.resize(kGatherRows);
  const std::shared_ptr<Rows> rows = cursor.rows();
  if (to.kept.empty() || to.kept.back() != rows) to.kept.push_back(rows);
  for (; count > 0 && to.rows < kGatherRows; --count, ++cursor.at) {
    const uint32_t row = cursor.at;
    if (!request_.only.empty() && !is_wanted(rows->n[row])) continue;
    const uint32_t place = to.rows++;
    to.n[place] = rows->n[row];
    to.time_ms[place] = rows->time_ms[row];
    to.points[place] = rows->points == nullptr ? 0 : rows->points[row];
    for (uint32_t extra = 0; extra < kExtras; ++extra) {
      if (rows->texts[extra] != nullptr) to.texts[extra][place] = rows->texts[extra][row];
    }
    for (size_t i = 0; i < request_.slots.size(); ++i) to.values[request_.slots[i]][place] = rows->columns[i].at(row);
  }
}

const Batch* ScanImpl::emit_gathered() {
  batch_ = {};
  batch_.rows = gathered_.rows;
  if (batch_.rows == 0) return &batch_;
  for (const int32_t slot : request_.slots) {
    cel::Column& column = columns_[static_cast<size_t>(slot)];
    column = {};
    column.layout = cel::Column::Layout::kValues;
    column.values = gathered_.values[slot].data();
  }
  batch_.columns = columns_;
  batch_.n = gathered_.n.data();
  batch_.time_ms = gathered_.time_ms.data();
  if (request_.decisions) {
    batch_.verdict = gathered_.texts[kExtraVerdict].data();
    batch_.points = gathered_.points.data();
    batch_.policy = gathered_.texts[kExtraPolicy].data();
    batch_.rules = gathered_.texts[kExtraRules].data();
    batch_.shadow = gathered_.texts[kExtraShadow].data();
  }
  if (request_.reasons_and_ids) batch_.id = gathered_.texts[kExtraId].data();
  return &batch_;
}

}  // namespace

base::Result<std::unique_ptr<Scan>> open_scan(const Database& database, std::shared_ptr<const Manifest> manifest,
                                              const ScanRequest& request) {
  if (request.type == nullptr || request.policy == nullptr) return base::invalid("a scan needs a type and its policy");
  auto scan = std::make_unique<ScanImpl>(std::move(manifest), request);
  TAMIS_CHECK(scan->prepare(database));
  return std::unique_ptr<Scan>(std::move(scan));
}

}  // namespace tamis::archive
