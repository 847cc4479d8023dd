// The columnar way: parts of the window, each scanned and evaluated by one of several threads. They live as long as the
// call.
#include <algorithm>
#include <atomic>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/settle.h"
#include "replay/match_run.h"

namespace tamis::replay {

using cel::Column;
using cel::RowTruth;
using event::Value;
using policy::EventType;
using policy::Rule;

namespace {

constexpr uint32_t kChunkRows = 2048;
constexpr int64_t kHourMs = 3'600'000;
constexpr size_t kPartsMax = 64;  // of one event type; a part costs a query

struct Part {
  const TypeNeeds* needs = nullptr;
  int64_t from_ms = 0, to_ms = 0;
};

double cpu_seconds() {
  timespec t = {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

Column slice(const Column& whole, uint32_t from) {
  Column part = whole;
  if (part.states != nullptr) part.states += from;
  switch (part.layout) {
    case Column::Layout::kAbsent:
      break;
    case Column::Layout::kBool:
      part.bools += from;
      break;
    case Column::Layout::kInt:
    case Column::Layout::kTimestamp:
    case Column::Layout::kDuration:
      part.ints += from;
      break;
    case Column::Layout::kUint:
      part.uints += from;
      break;
    case Column::Layout::kDouble:
      part.doubles += from;
      break;
    case Column::Layout::kString:
    case Column::Layout::kBytes:
      part.texts += from;
      break;
    case Column::Layout::kDictionary:
      part.codes += from;
      break;
    case Column::Layout::kValues:
      part.values += from;
      break;
  }
  return part;
}

// Points of a rule in the rows of a chunk, evaluated once where somebody asks.
class Points {
 public:
  Points(const EventType& type, const Rule& rule) : node_(rule.points) {
    constant_ = node_ == cel::kNoNode || (type.plan.slots_read(node_).empty() && host_free(type));
    if (!constant_ || node_ == cel::kNoNode) return;
    base::Arena arena;
    cel::Frame frame(type.plan);
    std::vector<Value> slots(static_cast<size_t>(type.slot_count));
    frame.begin(slots.data(), arena, nullptr);
    value_ = engine::number_or(type.plan.eval(node_, frame), 0);
  }
  void next_chunk() { evaluated_ = false; }
  double at(cel::ColumnFrame& frame, uint32_t row) {
    if (constant_) return value_;
    if (!evaluated_) {
      rows_.resize(kChunkRows);
      frame.eval(node_, rows_.data());
      evaluated_ = true;
    }
    return engine::number_or(rows_[row], 0);
  }

 private:
  bool host_free(const EventType& type) const {
    cel::Plan::HostReads host = type.plan.host_reads(node_);
    return !host.labels && host.lists.empty();
  }

  cel::NodeId node_;
  bool constant_ = true, evaluated_ = false;
  double value_ = 0;
  std::vector<Value> rows_;
};

// The evaluation of one part, chunk by chunk.
class PartRun {
 public:
  PartRun(const MatchRequest& request, const MatchPlan& plan, const Part& part, PastPolicies& past,
          const PolicyLists& lists)
      : whole_(plan.whole),
        verdicts_(request.verdicts || plan.whole),
        needs_(*part.needs),
        type_(*part.needs->event_type),
        lists_(lists),
        frame_(type_.plan, kChunkRows),
        ranks_(type_),
        matched_(kChunkRows),
        change_(kChunkRows),
        new_verdict_(kChunkRows) {
    for (const Rule& rule : type_.rules) points_.emplace_back(type_, rule);
    if (!whole_ && verdicts_) swap_.emplace(type_, needs_.rule, past, &needs_.varying);
    settlements_.resize(kChunkRows);
    canary_.resize(kChunkRows);
    micros_.resize(kChunkRows);
  }

  // Rows [from, from + rows) of a batch of the archive.
  const MatchBatch& run(const archive::Batch& batch, uint32_t from, uint32_t rows) {
    double start = cpu_seconds();
    arena_.reset();
    columns_.clear();
    for (const Column& column : batch.columns) columns_.push_back(slice(column, from));
    columns_.resize(static_cast<size_t>(type_.slot_count));
    if (type_.time_slot >= 0) set_time(batch.time_ms + from, rows);
    frame_.begin(columns_, rows, arena_, &lists_);
    for (Points& points : points_) points.next_chunk();
    ranks_.next_batch();
    fill_batch(batch, from, rows);
    if (whole_) {
      run_policy(rows);
    } else {
      run_rule(batch, from, rows);
    }
    seconds_ += cpu_seconds() - start;
    return out_;
  }
  double seconds() const { return seconds_; }

 private:
  void set_time(const int64_t* time_ms, uint32_t rows) {
    for (uint32_t i = 0; i < rows; ++i) micros_[i] = time_ms[i] * 1000;
    Column& time = columns_[static_cast<size_t>(type_.time_slot)];
    time = Column{};
    time.layout = Column::Layout::kTimestamp;
    time.ints = micros_.data();
  }

  void fill_batch(const archive::Batch& batch, uint32_t from, uint32_t rows) {
    out_.type = needs_.type;
    out_.rows = rows;
    out_.n = batch.n + from;
    out_.time_ms = batch.time_ms + from;
    out_.id = batch.id == nullptr ? nullptr : batch.id + from;
    out_.columns = columns_;
    out_.matched = {matched_.data(), rows};
    if (!verdicts_) return;
    out_.old_verdict = batch.verdict + from;
    out_.rules = batch.rules + from;
    out_.shadow = batch.shadow + from;
    out_.new_verdict = {new_verdict_.data(), rows};
    out_.change = {change_.data(), rows};
  }

  void run_rule(const archive::Batch& batch, uint32_t from, uint32_t rows) {
    const Rule& rule = type_.rules[needs_.rule];
    std::span<const RowTruth> truth = frame_.test(rule.when);
    for (uint32_t i = 0; i < rows; ++i) matched_[i] = truth[i] == RowTruth::kTrue ? 1 : 0;
    if (!verdicts_) return;
    for (uint32_t i = 0; i < rows; ++i) {
      change_[i] = 0;
      new_verdict_[i] = out_.old_verdict[i];
    }
    for (uint32_t i = 0; i < rows; ++i) {
      std::string_view rules = out_.rules[i];
      if (matched_[i] == 0 && (rules.size() <= rule.id.size() || !swap_->names_rule(rules))) continue;
      RuleSwap::Stored stored = {out_.old_verdict[i], batch.points[from + i], batch.policy[from + i], rules};
      double points = matched_[i] != 0 ? points_[needs_.rule].at(frame_, i) : 0;
      auto others = [this, &i](uint32_t other) { return points_[other].at(frame_, i); };
      RuleSwap::Outcome outcome = swap_->outcome(stored, matched_[i] != 0, points, others);
      new_verdict_[i] = outcome.verdict;
      change_[i] = outcome.change;
    }
  }

  void run_policy(uint32_t rows) {
    engine::Settlement nothing;
    std::fill(settlements_.begin(), settlements_.end(), nothing);
    std::fill(matched_.begin(), matched_.end(), uint8_t{0});
    for (uint32_t r = 0; r < type_.rules.size(); ++r) {
      if (type_.rules[r].mode == policy::Mode::kLive || type_.rules[r].mode == policy::Mode::kCanary) add_rule(r, rows);
    }
    int32_t untouched = nothing.verdict(type_);
    for (uint32_t i = 0; i < rows; ++i) {
      int32_t rank = matched_[i] != 0 ? settlements_[i].verdict(type_) : untouched;
      int32_t before = ranks_.of(out_.old_verdict[i]);
      matched_[i] = rank > 0 ? 1 : 0;
      change_[i] = static_cast<int8_t>(before < 0 || rank == before ? 0 : rank > before ? 1 : -1);
      new_verdict_[i] = type_.ladder[static_cast<size_t>(rank)];
    }
  }

  void add_rule(uint32_t place, uint32_t rows) {
    const Rule& rule = type_.rules[place];
    std::span<const RowTruth> truth = frame_.test(rule.when);
    bool canary = rule.mode == policy::Mode::kCanary, asked = false;
    if (canary && rule.canary_by == cel::kNoNode) return;
    for (uint32_t i = 0; i < rows; ++i) {
      if (truth[i] != RowTruth::kTrue) continue;
      if (canary && !asked) {
        frame_.eval(rule.canary_by, canary_.data());
        asked = true;
      }
      if (canary && !engine::in_canary(rule.id, canary_[i], rule.canary_percent)) continue;
      matched_[i] = 1;
      settlements_[i].add(type_, rule.verdict, points_[place].at(frame_, i));
    }
  }

  bool whole_, verdicts_;
  const TypeNeeds& needs_;
  const EventType& type_;
  const PolicyLists& lists_;
  cel::ColumnFrame frame_;
  Ranks ranks_;
  std::vector<Points> points_;
  std::optional<RuleSwap> swap_;
  base::Arena arena_;
  std::vector<Column> columns_;
  std::vector<int64_t> micros_;
  std::vector<uint8_t> matched_;
  std::vector<int8_t> change_;
  std::vector<std::string_view> new_verdict_;
  std::vector<engine::Settlement> settlements_;
  std::vector<Value> canary_;
  MatchBatch out_;
  double seconds_ = 0;
};

// The parts of the window in which there is anything, each of whole hours.
std::vector<Part> cut(const MatchRequest& request, const MatchSource& source, const MatchPlan& plan, size_t threads) {
  archive::ArchiveStats stats = source.archive->stats();
  int64_t from = std::max(request.from_ms, stats.oldest_ms), to = std::min(request.to_ms, stats.newest_ms + 1);
  std::vector<Part> parts;
  if (from >= to) return parts;
  int64_t days = (to - from) / (24 * kHourMs) + 1;
  // Whole days where there are enough of them, for a file holds a day.
  int64_t unit = days >= static_cast<int64_t>(threads) ? 24 * kHourMs : kHourMs;
  int64_t floor_of_unit = from - ((from % unit) + unit) % unit;
  int64_t units = (to - floor_of_unit + unit - 1) / unit;
  int64_t wanted = std::clamp<int64_t>(units, 1, static_cast<int64_t>(std::min(kPartsMax, 4 * threads)));
  int64_t step = (units + wanted - 1) / wanted * unit;
  for (const TypeNeeds& needs : plan.types) {
    for (int64_t at = floor_of_unit; at < to; at += step) {
      parts.push_back({&needs, std::max(at, from), std::min(at + step, to)});
    }
  }
  return parts;
}

class ColumnsRun {
 public:
  ColumnsRun(const MatchRequest& request, const MatchSource& source, const MatchPlan& plan, MatchVisitor& visitor,
             const KeepGoing& keep_going)
      : request_(request),
        source_(source),
        plan_(plan),
        visitor_(visitor),
        keep_going_(keep_going),
        past_(request.policy, source.policy_of) {}

  base::Status run(MatchSummary& summary) {
    size_t threads = request_.threads > 0 ? static_cast<size_t>(request_.threads)
                                          : std::max<size_t>(1, std::thread::hardware_concurrency());
    parts_ = cut(request_, source_, plan_, threads);
    total_ = source_.archive->stats().rows;
    visitor_.begin(parts_.size());
    std::vector<std::thread> others;
    for (size_t i = 1; i < std::min(threads, parts_.size()); ++i) others.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : others) thread.join();
    summary.events = done_;
    summary.evaluation_seconds = seconds_;
    if (error_) return tl::unexpected<base::Error>(*error_);
    return {};
  }

 private:
  // Lists of one thread, by event type; made when they are first needed.
  using Lists = std::map<const TypeNeeds*, std::unique_ptr<PolicyLists>>;

  void work() {
    Lists lists;
    while (!stop_) {
      size_t part = next_part_++;
      if (part >= parts_.size()) return;
      base::Status done = run_part(part, lists);
      if (done) continue;
      std::lock_guard lock(mutex_);
      if (!error_) error_ = done.error();
      stop_ = true;
    }
  }

  base::Status run_part(size_t number, Lists& lists) {
    const Part& part = parts_[number];
    archive::ScanRequest request;
    request.type = part.needs->event_type;
    request.policy = request_.policy.get();
    request.slots = part.needs->slots;
    request.from_ms = part.from_ms;
    request.to_ms = part.to_ms;
    request.where = part.needs->where;
    request.must = part.needs->must;
    request.decisions = request_.verdicts || plan_.whole;
    request.reasons_and_ids = request_.ids;
    request.in_memory = request_.in_memory;
    TAMIS_TRY(scan, source_.archive->scan(request));
    std::optional<PartRun> run;
    while (!stop_) {
      TAMIS_TRY(batch, scan->next());
      if (batch == nullptr || batch->rows == 0) break;
      if (!run) {
        std::unique_ptr<PolicyLists>& own = lists[part.needs];
        if (own == nullptr) own = std::make_unique<PolicyLists>(*request_.policy, part.needs->lists);
        run.emplace(request_, plan_, part, past_, *own);
      }
      for (uint32_t from = 0; from < batch->rows; from += kChunkRows) {
        visitor_.visit(number, run->run(*batch, from, std::min(kChunkRows, batch->rows - from)));
      }
      std::lock_guard lock(mutex_);
      done_ += batch->rows;
      if (keep_going_ && !stop_ && !keep_going_(done_, std::max(total_, done_))) return stopped();
    }
    std::lock_guard lock(mutex_);
    if (run) seconds_ += run->seconds();
    return {};
  }

  const MatchRequest& request_;
  const MatchSource& source_;
  const MatchPlan& plan_;
  MatchVisitor& visitor_;
  const KeepGoing& keep_going_;
  PastPolicies past_;
  std::vector<Part> parts_;
  std::atomic<size_t> next_part_ = 0;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;  // of what follows
  uint64_t done_ = 0, total_ = 0;
  double seconds_ = 0;
  std::optional<base::Error> error_;
};

}  // namespace

base::Status match_columns(const MatchRequest& request, const MatchSource& source, const MatchPlan& plan,
                           MatchVisitor& visitor, const KeepGoing& keep_going, MatchSummary& summary) {
  return ColumnsRun(request, source, plan, visitor, keep_going).run(summary);
}

}  // namespace tamis::replay
