#include "replay/find.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "archive/layout.h"
#include "event/json_event.h"
#include "event/json_writer.h"
#include "policy/slot_names.h"
#include "replay/match_plan.h"
#include "replay/stored.h"
#include "replay/value_counts.h"

namespace tamis::replay {

using event::Value;
using policy::EventType;

namespace {

constexpr int64_t kDayMs = 86'400'000;
constexpr int64_t kBucketsMax = 200;
constexpr uint32_t kRowsMax = 1000;
// Rows of files that are read into memory before a search goes on.
constexpr uint64_t kColdRowsFew = 100'000, kColdRowsMost = 300'000;

int64_t floor_to(int64_t time_ms, int64_t unit) { return time_ms - ((time_ms % unit) + unit) % unit; }

int64_t bucket_for(int64_t span_ms) {
  for (int64_t width : {int64_t{1'000}, int64_t{60'000}, int64_t{300'000}, int64_t{900'000}, int64_t{3'600'000},
                        int64_t{6 * 3'600'000}, kDayMs, 7 * kDayMs, 30 * kDayMs}) {
    if (span_ms / width < kBucketsMax - 1) return width;
  }
  return 365 * kDayMs;
}

struct RowKey {
  int64_t time_ms = 0;
  uint64_t n = 0;
  size_t type = 0;
  auto operator<=>(const RowKey&) const = default;
};

// What was found, in a part or in all.
struct Tally {
  uint64_t count = 0;
  std::map<int64_t, uint64_t> buckets, days;
  std::set<RowKey> oldest, newest;
  std::vector<ValueCounts> facets;
  std::vector<uint32_t> rows;  // room
};

void trim(Tally& tally, size_t rows) {
  while (tally.oldest.size() > rows) tally.oldest.erase(std::prev(tally.oldest.end()));
  while (tally.newest.size() > rows) tally.newest.erase(tally.newest.begin());
}

class Collecting final : public MatchVisitor {
 public:
  // `slots[type][facet]`: -1 where the type does not have it.
  Collecting(int64_t bucket_ms, size_t rows, size_t facets, std::vector<std::vector<int32_t>> slots)
      : bucket_ms_(bucket_ms), rows_(rows), facets_(facets), slots_(std::move(slots)) {}

  void begin(size_t parts) override {
    parts_.resize(parts);
    for (Tally& part : parts_) part.facets.resize(facets_);
  }

  void visit(size_t part, const MatchBatch& batch) override {
    Tally& tally = parts_[part];
    tally.rows.resize(batch.rows + 1);
    uint32_t matched = 0;
    for (uint32_t i = 0; i < batch.rows; ++i) {
      tally.rows[matched] = i;
      matched += batch.matched[i];
    }
    tally.rows.resize(matched);
    if (tally.rows.empty()) return;
    tally.count += tally.rows.size();
    count_times(tally.buckets, bucket_ms_, batch, tally.rows);
    count_times(tally.days, kDayMs, batch, tally.rows);
    keep_rows(tally, batch);
    for (size_t f = 0; f < facets_; ++f) {
      int32_t slot = slots_[batch.type][f];
      cel::Column none;
      bool there = slot >= 0 && static_cast<size_t>(slot) < batch.columns.size();
      tally.facets[f].add(there ? batch.columns[static_cast<size_t>(slot)] : none, tally.rows);
    }
  }

  Tally total() const {
    Tally all;
    all.facets.resize(facets_);
    for (const Tally& part : parts_) {
      all.count += part.count;
      for (auto [begin, count] : part.buckets) all.buckets[begin] += count;
      for (auto [begin, count] : part.days) all.days[begin] += count;
      all.oldest.insert(part.oldest.begin(), part.oldest.end());
      all.newest.insert(part.newest.begin(), part.newest.end());
      for (size_t f = 0; f < facets_; ++f) all.facets[f].merge(part.facets[f]);
    }
    trim(all, rows_);
    return all;
  }

 private:
  static void count_times(std::map<int64_t, uint64_t>& counts, int64_t width, const MatchBatch& batch,
                          const std::vector<uint32_t>& rows) {
    // Rows mostly come in the order of their times, so those of a batch mostly lie together.
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (const uint32_t row : rows) {
      least = std::min(least, batch.time_ms[row]);
      most = std::max(most, batch.time_ms[row]);
    }
    if (floor_to(least, width) == floor_to(most, width)) {
      counts[floor_to(least, width)] += rows.size();
      return;
    }
    int64_t begin = 0;
    uint64_t* count = nullptr;
    for (uint32_t row : rows) {
      int64_t t = batch.time_ms[row];
      if (count == nullptr || t < begin || t >= begin + width) {
        begin = floor_to(t, width);
        count = &counts[begin];
      }
      ++*count;
    }
  }

  void keep_rows(Tally& tally, const MatchBatch& batch) const {
    if (rows_ == 0) return;
    auto key_of = [&](uint32_t row) { return RowKey{batch.time_ms[row], batch.n[row], batch.type}; };
    int64_t last_ms = tally.oldest.size() >= rows_ ? tally.oldest.rbegin()->time_ms : INT64_MAX;
    for (uint32_t row : tally.rows) {
      if (batch.time_ms[row] > last_ms) continue;
      RowKey key = key_of(row);
      if (tally.oldest.size() >= rows_ && key > *tally.oldest.rbegin()) continue;
      tally.oldest.insert(key);
      trim(tally, rows_);
    }
    // Backwards, for rows mostly come in the order of their times: then only the last ones of a batch are kept.
    int64_t first_ms = tally.newest.size() >= rows_ ? tally.newest.begin()->time_ms : INT64_MIN;
    for (auto row = tally.rows.rbegin(); row != tally.rows.rend(); ++row) {
      if (batch.time_ms[*row] < first_ms) continue;
      RowKey key = key_of(*row);
      if (tally.newest.size() >= rows_ && key < *tally.newest.begin()) continue;
      tally.newest.insert(key);
      trim(tally, rows_);
      if (tally.newest.size() >= rows_) first_ms = tally.newest.begin()->time_ms;
    }
  }

  int64_t bucket_ms_;
  size_t rows_, facets_;
  std::vector<std::vector<int32_t>> slots_;
  std::vector<Tally> parts_;
};

// Facets of each event type, by name: the slot, -1 where the type does not have it.
using FacetSlots = std::vector<std::vector<int32_t>>;

// Searches that the archive's database answers alone.
class SqlSearch {
 public:
  SqlSearch(const MatchRequest& request, const MatchSource& source, const MatchPlan& plan, const FacetSlots& facets)
      : request_(request), source_(source), plan_(plan), facets_(facets) {}

  // False: the expression, or something in the window, is not for SQL.
  base::Result<bool> run(int64_t bucket_ms, uint32_t rows, const std::function<bool(uint64_t, uint64_t)>& keep_going,
                         Tally& all) {
    if (!plan_.columnar || !plan()) return false;
    uint64_t total = source_.archive->stats().rows;
    std::atomic<bool> go_on = true;
    auto look = [&] {
      if (go_on && keep_going && !keep_going(0, total)) go_on = false;
      return go_on.load();
    };
    all.facets.resize(facets_.empty() ? 0 : facets_[0].size());
    for (archive::TallyRequest& one : requests_) {
      one.bucket_ms = std::min(bucket_ms, kDayMs);  // of bucket and day, the one is always a multiple of the other
      one.rows = rows;
      base::Result<std::optional<archive::Tally>> tally = source_.archive->tally(one, look);
      if (!go_on) return base::fail(base::Code::kUnavailable, "stopped before the end");
      // A search that SQL fails at is looked at in the other way, which then says what is wrong.
      if (!tally || !*tally) return false;
      add(**tally, static_cast<size_t>(one.type - request_.policy->types.data()), bucket_ms, all);
    }
    trim(all, rows);
    return true;
  }

 private:
  bool plan() {
    for (const TypeNeeds& needs : plan_.types) {
      const EventType& type = *needs.event_type;
      std::optional<ExactSql> exact = exact_sql(*request_.policy, type, type.rules[needs.rule].when);
      if (!exact) return false;
      archive::TallyRequest one;
      one.type = &type;
      one.policy = request_.policy.get();
      one.from_ms = request_.from_ms;
      one.to_ms = request_.to_ms;
      one.slots = std::move(exact->slots);
      one.where = std::move(exact->sql);
      for (int32_t slot : facets_[needs.type]) {
        if (slot >= 0 && slot == type.time_slot) return false;
        if (is_stored(needs, slot)) one.facets.push_back(slot);
      }
      requests_.push_back(std::move(one));
    }
    return true;
  }

  static bool is_stored(const TypeNeeds& needs, int32_t slot) {
    return std::find(needs.slots.begin(), needs.slots.end(), slot) != needs.slots.end();
  }

  void add(const archive::Tally& tally, size_t type, int64_t bucket_ms, Tally& all) const {
    all.count += tally.count;
    for (auto [begin, count] : tally.buckets) {
      all.buckets[floor_to(begin, bucket_ms)] += count;
      all.days[floor_to(begin, kDayMs)] += count;
    }
    for (const archive::Tally::Row& row : tally.oldest) all.oldest.insert({row.time_ms, row.n, type});
    for (const archive::Tally::Row& row : tally.newest) all.newest.insert({row.time_ms, row.n, type});
    auto needs = std::find_if(plan_.types.begin(), plan_.types.end(), [&](const auto& n) { return n.type == type; });
    size_t at = 0;
    for (size_t f = 0; f < all.facets.size(); ++f) {
      if (!is_stored(*needs, facets_[type][f])) {
        all.facets[f].add_absent(tally.count);
        continue;
      }
      const archive::Tally::Facet& facet = tally.facets[at++];
      for (const auto& [json, count] : facet.values) all.facets[f].add(json, count);
      all.facets[f].add_absent(facet.absent);
    }
  }

  const MatchRequest& request_;
  const MatchSource& source_;
  const MatchPlan& plan_;
  const FacetSlots& facets_;
  std::vector<archive::TallyRequest> requests_;
};

// All that is stored of the rows to show.
base::Status read_rows(const policy::Policy& policy, const archive::Archive& archive, const std::set<RowKey>& wanted,
                       std::map<RowKey, std::string>& rows) {
  std::map<size_t, std::vector<uint64_t>> numbers;
  for (const RowKey& key : wanted) numbers[key.type].push_back(key.n);
  for (const auto& [type, of_type] : numbers) {
    TAMIS_TRY(texts, archive.rows(policy.types[type].schema.name, of_type));
    for (const RowKey& key : wanted) {
      auto text = texts.find(key.n);
      if (key.type == type && text != texts.end()) rows[key] = std::move(text->second);
    }
  }
  return {};
}

// Whether columns in memory are the quickest way to an answer, and how they get there.
class InMemory {
 public:
  InMemory(const MatchRequest& request, const MatchSource& source, const MatchPlan& plan) : archive_(*source.archive) {
    if (!plan.columnar) return;
    for (const TypeNeeds& needs : plan.types) {
      archive::ScanRequest scan;
      scan.type = needs.event_type;
      scan.policy = request.policy.get();
      scan.slots = needs.slots;
      scan.from_ms = request.from_ms;
      scan.to_ms = request.to_ms;
      scan.decisions = false;
      std::optional<archive::Archive::Warmth> warmth = archive_.warmth(scan);
      if (!warmth) {
        scans_.clear();
        return;
      }
      rows_ += warmth->rows, cold_ += warmth->cold;
      scans_.push_back(std::move(scan));
    }
  }
  // What is missing is little enough to be read first.
  bool ready() const { return !scans_.empty() && cold_ <= std::clamp(rows_ / 20, kColdRowsFew, kColdRowsMost); }
  // So that the next search finds them there.
  void warm() const {
    for (const archive::ScanRequest& scan : scans_) archive_.warm(scan);
  }

 private:
  const archive::Archive& archive_;
  std::vector<archive::ScanRequest> scans_;  // empty: something is never in memory
  uint64_t rows_ = 0, cold_ = 0;
};

// Over columns in memory where they are there; by SQL alone where that can tell; by looking at events where not.
base::Result<Tally> search_past(const FindRequest& request, MatchRequest matches, const FacetSlots& facet_slots,
                                const MatchSource& source, const std::function<bool(uint64_t, uint64_t)>& keep_going,
                                FindResult& result) {
  uint32_t rows = std::min(request.rows, kRowsMax);
  std::optional<InMemory> memory;
  if (!request.always_scan) {
    TAMIS_TRY(plan, plan_matches(matches, source));
    if (request.in_memory) memory.emplace(matches, source, plan);
    matches.in_memory = memory && memory->ready();
    if (!matches.in_memory) {
      Tally tally;
      TAMIS_TRY(told, SqlSearch(matches, source, plan, facet_slots).run(result.bucket_ms, rows, keep_going, tally));
      if (told) {
        for (const TypeNeeds& needs : plan.types) result.types.push_back(needs.event_type->schema.name);
        result.columnar = true;
        result.unread = plan.absent;
        result.scanned = tally.count;
        if (memory) memory->warm();
        return tally;
      }
    }
  }
  std::optional<Collecting> collecting;
  auto look = [&] {
    collecting.emplace(result.bucket_ms, rows, request.facets.size(), facet_slots);
    return find_matches(matches, source, *collecting, keep_going);
  };
  base::Result<MatchSummary> summary = look();
  if (!summary && matches.in_memory && summary.error().code == base::Code::kLimit) {
    matches.in_memory = false;  // a column is too large
    summary = look();
  }
  if (!summary) return tl::unexpected<base::Error>(std::move(summary).error());
  if (memory && !matches.in_memory) memory->warm();
  result.types = summary->types;
  result.columnar = summary->columnar;
  result.replayed_because = summary->replayed_because;
  result.unread = summary->absent;
  result.scanned = summary->events;
  return collecting->total();
}

}  // namespace

base::Result<FindResult> find(const FindRequest& request, const MatchSource& source,
                              const std::function<bool(uint64_t, uint64_t)>& keep_going) {
  auto start = std::chrono::steady_clock::now();
  const Search& search = *request.search;
  if (search.policy == nullptr) return base::invalid("the expression does not compile");
  const policy::Policy& policy = *search.policy;
  MatchRequest matches;
  matches.policy = search.policy;
  matches.rule = search.rule;
  matches.from_ms = request.from_ms;
  matches.to_ms = request.to_ms;
  matches.matches_only = true;
  matches.verdicts = false;
  matches.threads = request.threads;
  FacetSlots facet_slots;
  std::vector<bool> known(request.facets.size());
  for (const EventType& type : policy.types) {
    std::vector<std::string> names = policy::slot_names(type);
    auto& slots = facet_slots.emplace_back();
    matches.also.emplace_back();
    for (size_t f = 0; f < request.facets.size(); ++f) {
      auto slot = std::find(names.begin(), names.end(), request.facets[f]);
      slots.push_back(slot == names.end() ? -1 : static_cast<int32_t>(slot - names.begin()));
      if (slots.back() < 0) continue;
      matches.also.back().push_back(slots.back());
      bool searched = std::find(search.types.begin(), search.types.end(), type.schema.name) != search.types.end();
      known[f] = known[f] || searched;
    }
  }
  archive::ArchiveStats stats = source.archive->stats();
  int64_t from = std::max(request.from_ms, stats.oldest_ms), to = std::min(request.to_ms, stats.newest_ms + 1);
  FindResult result;
  result.bucket_ms = bucket_for(std::max<int64_t>(0, to - from));
  TAMIS_TRY(tally, search_past(request, matches, facet_slots, source, keep_going, result));
  result.count = tally.count;
  result.histogram.assign(tally.buckets.begin(), tally.buckets.end());
  result.per_day.assign(tally.days.begin(), tally.days.end());
  for (size_t f = 0; f < request.facets.size(); ++f) {
    if (known[f]) {
      result.facets.push_back(tally.facets[f].take(request.facets[f], request.facet_values));
    } else {
      result.unread.push_back(request.facets[f]);
    }
  }
  while (tally.oldest.size() > request.oldest) tally.oldest.erase(std::prev(tally.oldest.end()));
  std::set<RowKey> wanted = tally.oldest;
  wanted.insert(tally.newest.begin(), tally.newest.end());
  std::map<RowKey, std::string> rows;
  TAMIS_CHECK(read_rows(policy, *source.archive, wanted, rows));
  for (const RowKey& key : tally.oldest) result.oldest.push_back(rows[key]);
  for (auto key = tally.newest.rbegin(); key != tally.newest.rend(); ++key) result.newest.push_back(rows[*key]);
  for (auto* shown : {&result.oldest, &result.newest}) std::erase(*shown, std::string());
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

namespace {

void write_counts(event::JsonWriter& json, std::string_view key,
                  const std::vector<std::pair<int64_t, uint64_t>>& counts) {
  json.key(key).begin_array();
  for (auto [begin, count] : counts) {
    json.begin_object().key("from").string(event::format_time_ms(begin)).key("count").uinteger(count).end_object();
  }
  json.end_array();
}

}  // namespace

void write_json(const FindResult& result, std::string& out) {
  event::JsonWriter json(out);
  json.begin_object().key("types").begin_array();
  for (const std::string& type : result.types) json.string(type);
  json.end_array().key("count").uinteger(result.count).key("scanned").uinteger(result.scanned);
  json.key("bucket_ms").integer(result.bucket_ms);
  write_counts(json, "histogram", result.histogram);
  write_counts(json, "per_day", result.per_day);
  json.key("facets").begin_array();
  for (const FindResult::Facet& facet : result.facets) {
    json.begin_object().key("name").string(facet.name).key("values").begin_array();
    for (const auto& [value, count] : facet.values) {
      json.begin_object().key("value").raw(value).key("count").uinteger(count).end_object();
    }
    json.end_array().key("others").uinteger(facet.others).key("absent").uinteger(facet.absent);
    if (facet.rough) json.key("rough").boolean(true);
    json.end_object();
  }
  json.end_array().key("unread").begin_array();
  for (const std::string& name : result.unread) json.string(name);
  json.end_array().key("newest").begin_array();
  for (const std::string& row : result.newest) json.raw(row);
  json.end_array().key("oldest").begin_array();
  for (const std::string& row : result.oldest) json.raw(row);
  json.end_array().key("columnar").boolean(result.columnar);
  if (!result.columnar) json.key("replayed_because").string(result.replayed_because);
  json.key("seconds").real(result.seconds).end_object();
}

}  // namespace tamis::replay
