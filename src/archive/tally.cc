// Tallies: DuckDB counts by itself. One statement groups the rows that hold by time and by each facet at once; where
// the oldest and the newest lie is then known to a bucket, so that only a little is read for them.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "archive/archive_impl.h"
#include "archive/scan_plan.h"
#include "archive/watch.h"
#include "event/json_writer.h"

namespace tamis::archive {
namespace {

constexpr int64_t kTimeMsMax = 600'000;
constexpr size_t kFacetValuesMax = 200'000;  // of one facet
constexpr size_t kFacetsMax = 60;            // the numbers of groupings are bits of a BIGINT

bool can_be_facet(ColumnType type) {
  return type == ColumnType::kBool || type == ColumnType::kInt || type == ColumnType::kUint ||
         type == ColumnType::kString;
}

class Tallying {
 public:
  Tallying(const Manifest& manifest, const TallyRequest& request) : manifest_(manifest), request_(request) {
    scan_.type = request.type;
    scan_.policy = request.policy;
    std::set<int32_t> slots(request.slots.begin(), request.slots.end());
    slots.insert(request.facets.begin(), request.facets.end());
    scan_.slots.assign(slots.begin(), slots.end());
    scan_.from_ms = request.from_ms;
    scan_.to_ms = request.to_ms;
  }

  base::Result<std::optional<Tally>> run(Connection& connection, int threads, const std::function<bool()>& keep_going);

 private:
  // SELECT of the rows that hold in a window; empty: it cannot be said.
  base::Result<std::string> rows_sql(const TypeLayout& wanted, int64_t from_ms, int64_t to_ms);
  base::Result<bool> count(Connection& connection, const std::string& rows);
  base::Status name_rows(Connection& connection, const TypeLayout& wanted, bool newest);
  bool take_group(const Chunk& chunk, uint32_t row);

  const Manifest& manifest_;
  const TallyRequest& request_;
  ScanRequest scan_;
  std::vector<ColumnType> facet_types_;
  Tally tally_;
  // What the last statement reads.
  std::vector<FilePointer> files_;
  std::set<std::string> columns_;
};

base::Result<std::string> Tallying::rows_sql(const TypeLayout& wanted, int64_t from_ms, int64_t to_ms) {
  ScanRequest window = scan_;
  window.from_ms = from_ms;
  window.to_ms = to_ms;
  std::vector<std::pair<const Layout*, std::vector<FilePointer>>> groups;
  int64_t oldest = INT64_MAX, newest = INT64_MIN;
  files_ = files_in_window(manifest_, window);
  columns_ = {"n", "time"};
  for (const FilePointer& file : files_) {
    if (file->lost) return tl::unexpected<base::Error>(lost_error(*file));
    oldest = std::min(oldest, file->from_ms);
    newest = std::max(newest, file->to_ms);
    auto same = [&](const auto& group) { return *group.first == *file->layout; };
    auto at = std::find_if(groups.begin(), groups.end(), same);
    if (at == groups.end()) at = groups.insert(groups.end(), {file->layout.get(), {}});
    at->second.push_back(file);
  }
  std::string all;
  for (const auto& [layout, files] : groups) {
    TAMIS_TRY(plan, plan_layout(*layout, wanted, scan_));
    std::string list = "\"n\", \"time\"";
    for (const SlotSource& source : plan.slots) {
      if (source.from != SlotSource::From::kColumn) return std::string();
      list += fmt::format(", {} AS s{}", sql_name(source.column), source.slot);
      columns_.insert(source.column);
    }
    all += fmt::format("{}SELECT {} FROM {}", all.empty() ? "" : "\nUNION ALL ", list, read_sql(files));
  }
  if (all.empty()) return all;
  std::string sql = fmt::format("SELECT * FROM ({}) WHERE ({})", all, request_.where);
  if (oldest < from_ms) sql += " AND \"time\" >= " + time_sql(from_ms);
  if (newest >= to_ms) sql += " AND \"time\" < " + time_sql(to_ms);
  return sql;
}

// One group: of the time where no bit is set but the facets', else of the facet whose bit is not set.
bool Tallying::take_group(const Chunk& chunk, uint32_t row) {
  const auto groupings = static_cast<uint64_t>(chunk.data<int64_t>(0)[row]);
  const auto rows = static_cast<uint64_t>(chunk.data<int64_t>(1)[row]);
  const size_t facets = request_.facets.size();
  if ((groupings >> facets & 1) == 0) {
    if (chunk.is_null(2, row)) return false;  // an event without a time that SQL can say
    tally_.buckets.emplace_back(chunk.data<int64_t>(2)[row] * request_.bucket_ms, rows);
    tally_.count += rows;
    return true;
  }
  size_t at = 0;
  while (at < facets && (groupings >> (facets - 1 - at) & 1) != 0) ++at;
  if (at == facets) return false;
  Tally::Facet& facet = tally_.facets[at];
  const auto column = static_cast<uint32_t>(3 + at);
  if (chunk.is_null(column, row)) {
    facet.absent += rows;
    return true;
  }
  event::Value value;
  switch (facet_types_[at]) {
    case ColumnType::kBool:
      value = event::Value::boolean(chunk.data<uint8_t>(column)[row] != 0);
      break;
    case ColumnType::kInt:
      value = event::Value::integer(chunk.data<int64_t>(column)[row]);
      break;
    case ColumnType::kUint:
      value = event::Value::uinteger(chunk.data<uint64_t>(column)[row]);
      break;
    default:
      value = event::Value::string(chunk.text(column, row));
  }
  if (facet.values.size() >= kFacetValuesMax) return false;
  std::string json;
  event::JsonWriter(json).value(value);
  facet.values.emplace_back(std::move(json), rows);
  return true;
}

base::Result<bool> Tallying::count(Connection& connection, const std::string& rows) {
  // Whole division goes towards zero, and times before 1970 must not.
  const int64_t width_us = request_.bucket_ms * 1'000;
  const std::string bucket = fmt::format(
      "CASE WHEN epoch_us(\"time\") >= 0 THEN epoch_us(\"time\") // {0} ELSE (epoch_us(\"time\") - {1}) // {0} END",
      width_us, width_us - 1);
  std::string names = "b", sets = "(b)", list;
  for (size_t i = 0; i < request_.facets.size(); ++i) {
    names += fmt::format(", f{}", i);
    sets += fmt::format(", (f{})", i);
    list += fmt::format(", s{} AS f{}", request_.facets[i], i);
  }
  TAMIS_TRY(stream, Stream::open(connection,
                                 fmt::format("SELECT grouping_id({0})::BIGINT, count(*)::BIGINT, {0} FROM "
                                             "(SELECT ({1})::BIGINT AS b{2} FROM ({3})) GROUP BY GROUPING SETS ({4})",
                                             names, bucket, list, rows, sets)));
  while (true) {
    TAMIS_TRY(chunk, stream->next());
    if (!chunk) break;
    for (uint32_t row = 0; row < chunk.rows(); ++row) {
      if (!take_group(chunk, row)) return false;
    }
  }
  std::sort(tally_.buckets.begin(), tally_.buckets.end());
  return true;
}

// Reads only as many buckets from the one or the other end as have enough rows.
base::Status Tallying::name_rows(Connection& connection, const TypeLayout& wanted, bool newest) {
  const auto& buckets = tally_.buckets;
  uint64_t rows = 0;
  size_t taken = 0;
  while (taken < buckets.size() && rows < request_.rows)
    rows += buckets[newest ? buckets.size() - ++taken : taken++].second;
  if (taken == 0) return {};
  int64_t from_ms = request_.from_ms, to_ms = request_.to_ms;
  if (newest) {
    from_ms = std::max(from_ms, buckets[buckets.size() - taken].first);
  } else {
    to_ms = std::min(to_ms, buckets[taken - 1].first + request_.bucket_ms);
  }
  TAMIS_TRY(sql, rows_sql(wanted, from_ms, to_ms));
  const char* order = newest ? "DESC" : "ASC";
  TAMIS_TRY(stream, Stream::open(connection, fmt::format("SELECT \"n\", epoch_us(\"time\")::BIGINT FROM ({0}) ORDER BY "
                                                         "\"time\" {1}, \"n\" {1} LIMIT {2}",
                                                         sql, order, request_.rows)));
  while (true) {
    TAMIS_TRY(chunk, stream->next());
    if (!chunk) return {};
    for (uint32_t row = 0; row < chunk.rows(); ++row) {
      const int64_t time_us = chunk.data<int64_t>(1)[row];
      Tally::Row named;
      named.time_ms = (time_us >= 0 ? time_us : time_us - 999) / 1'000;
      named.n = chunk.data<uint64_t>(0)[row];
      (newest ? tally_.newest : tally_.oldest).push_back(named);
    }
  }
}

base::Result<std::optional<Tally>> Tallying::run(Connection& connection, int threads,
                                                 const std::function<bool()>& keep_going) {
  const TypeLayout wanted = layout_of(*request_.policy, *request_.type);
  for (const int32_t slot : scan_.slots) {
    if (std::find(wanted.slots.begin(), wanted.slots.end(), slot) == wanted.slots.end()) return std::nullopt;
  }
  for (const int32_t slot : request_.facets) {
    auto at = std::find(wanted.slots.begin(), wanted.slots.end(), slot) - wanted.slots.begin();
    facet_types_.push_back(wanted.layout.columns[kSystemColumns + static_cast<size_t>(at)].type);
    if (!can_be_facet(facet_types_.back())) return std::nullopt;
  }
  tally_.facets.resize(request_.facets.size());
  if (files_in_window(manifest_, scan_).empty()) return std::move(tally_);
  TAMIS_TRY(rows, rows_sql(wanted, request_.from_ms, request_.to_ms));
  if (rows.empty()) return std::nullopt;
  TAMIS_CHECK(verify_files(files_, &columns_, threads, keep_going));
  TAMIS_TRY(counted, count(connection, rows));
  if (!counted) return std::nullopt;
  for (const bool newest : {false, true}) TAMIS_CHECK(name_rows(connection, wanted, newest));
  return std::move(tally_);
}

}  // namespace

base::Result<std::optional<Tally>> ArchiveImpl::tally(const TallyRequest& request,
                                                      const std::function<bool()>& keep_going) const {
  if (request.type == nullptr || request.policy == nullptr) return base::invalid("a tally needs a type and its policy");
  if (request.where.empty() || request.bucket_ms <= 0) return base::invalid("a tally needs a condition and a width");
  if (request.facets.size() > kFacetsMax) return std::nullopt;
  TAMIS_TRY(database, reader());
  TAMIS_TRY(manifest, current());
  TAMIS_TRY(connection, Connection::open(*database));
  Watch watch(connection, kTimeMsMax, keep_going);
  base::Result<std::optional<Tally>> tally = Tallying(*manifest, request).run(connection, options_.threads, [&watch] {
    return !watch.late() && !watch.unwanted();
  });
  if (watch.unwanted()) return base::fail(base::Code::kUnavailable, "the tally was stopped");
  return tally;
}

}  // namespace tamis::archive
