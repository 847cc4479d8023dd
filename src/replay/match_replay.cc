// The way by replay: the engine decides the journal's events again, and what it gives is laid beside what is stored.
#include <algorithm>
#include <chrono>
#include <optional>

#include "replay/match_run.h"

namespace tamis::replay {

using event::Value;
using policy::EventType;

namespace {

constexpr uint32_t kBatchRows = 2048;

// The stored decisions of one event type, in the order of their records.
class StoredRows {
 public:
  static base::Result<StoredRows> open(const MatchRequest& request, const MatchSource& source, const EventType& type) {
    archive::ScanRequest scan;
    scan.type = &type;
    scan.policy = request.policy.get();
    scan.from_ms = request.from_ms;
    scan.to_ms = request.to_ms;
    scan.reasons_and_ids = request.ids;
    StoredRows rows;
    TAMIS_TRY(opened, source.archive->scan(scan));
    rows.scan_ = std::move(opened);
    return rows;
  }

  // Whether the record is there. Records are asked for in ascending order.
  base::Result<bool> seek(uint64_t record) {
    while (!ended_) {
      while (batch_ != nullptr && row_ < batch_->rows && batch_->n[row_] < record) ++row_;
      if (batch_ != nullptr && row_ < batch_->rows) return batch_->n[row_] == record;
      TAMIS_TRY(next, scan_->next());
      batch_ = next;
      row_ = 0;
      ended_ = batch_ == nullptr || batch_->rows == 0;
    }
    return false;
  }
  const archive::Batch& batch() const { return *batch_; }
  uint32_t row() const { return row_; }

 private:
  std::unique_ptr<archive::Scan> scan_;
  const archive::Batch* batch_ = nullptr;
  uint32_t row_ = 0;
  bool ended_ = false;
};

// Rows of one event type on their way to the visitor.
class TypeRun {
 public:
  TypeRun(const MatchRequest& request, const MatchPlan& plan, const TypeNeeds& needs, PastPolicies& past,
          StoredRows rows, size_t part, MatchVisitor& visitor)
      : plan_(plan),
        needs_(needs),
        type_(*needs.event_type),
        rows_(std::move(rows)),
        part_(part),
        visitor_(visitor),
        ids_(request.ids) {
    if (!plan.whole) swap_.emplace(type_, needs.rule, past, nullptr);
    slots_ = needs.slots;
    if (needs.type < request.also.size()) {
      for (int32_t slot : request.also[needs.type]) {
        if (slot >= 0 && slot < type_.slot_count) slots_.push_back(slot);
      }
    }
    if (type_.time_slot >= 0) slots_.push_back(type_.time_slot);
    std::sort(slots_.begin(), slots_.end());
    slots_.erase(std::unique(slots_.begin(), slots_.end()), slots_.end());
    values_.resize(slots_.size());
  }

  // False: the event is not one of those asked about.
  base::Result<bool> add(const Replayed& event) {
    TAMIS_TRY(found, rows_.seek(event.record));
    if (!found) return false;
    const archive::Batch& batch = rows_.batch();
    uint32_t row = rows_.row();
    n_.push_back(event.record);
    time_ms_.push_back(batch.time_ms[row]);
    old_verdict_.push_back(arena_.copy(batch.verdict[row]));
    rules_text_.push_back(arena_.copy(batch.rules[row]));
    shadow_.push_back(arena_.copy(batch.shadow[row]));
    if (ids_) id_.push_back(arena_.copy(batch.id[row]));
    const event::Event& read = const_cast<engine::PreparedEvent*>(event.event)->event();
    for (size_t i = 0; i < slots_.size(); ++i) {
      values_[i].push_back(event::deep_copy(read.slots[static_cast<size_t>(slots_[i])], arena_));
    }
    if (plan_.whole || plan_.feedback) {
      take_decision(*event.decision);
    } else {
      swap_rule(*event.decision, batch, row);
    }
    if (n_.size() == kBatchRows) flush();
    return true;
  }

  // Whether the event would be one of those asked about, if it could be decided.
  base::Result<bool> has(uint64_t record) { return rows_.seek(record); }

  void flush() {
    if (n_.empty()) return;
    columns_.assign(static_cast<size_t>(type_.slot_count), cel::Column{});
    for (size_t i = 0; i < slots_.size(); ++i) {
      cel::Column& column = columns_[static_cast<size_t>(slots_[i])];
      column.layout = cel::Column::Layout::kValues;
      column.values = values_[i].data();
    }
    MatchBatch out;
    out.type = needs_.type;
    out.rows = static_cast<uint32_t>(n_.size());
    out.n = n_.data();
    out.time_ms = time_ms_.data();
    out.id = ids_ ? id_.data() : nullptr;
    out.columns = columns_;
    out.old_verdict = old_verdict_.data();
    out.rules = rules_text_.data();
    out.shadow = shadow_.data();
    out.matched = matched_;
    out.new_verdict = new_verdict_;
    out.change = change_;
    visitor_.visit(part_, out);
    n_.clear(), time_ms_.clear(), old_verdict_.clear(), rules_text_.clear(), shadow_.clear(), id_.clear();
    matched_.clear(), new_verdict_.clear(), change_.clear();
    for (auto& column : values_) column.clear();
    arena_.reset();
  }

 private:
  const engine::Match* match_of(const engine::Decision& decision, uint32_t rule) const {
    for (const engine::Match& match : decision.matches) {
      if (match.rule == rule) return &match;
    }
    return nullptr;
  }

  // The verdict of the engine as it is.
  void take_decision(const engine::Decision& decision) {
    Ranks ranks(type_);
    int32_t before = ranks.of(old_verdict_.back());
    bool matched = plan_.whole ? decision.verdict > 0 : match_of(decision, needs_.rule) != nullptr;
    matched_.push_back(matched ? 1 : 0);
    new_verdict_.push_back(type_.ladder[static_cast<size_t>(decision.verdict)]);
    change_.push_back(static_cast<int8_t>(before < 0 || before == decision.verdict ? 0
                                          : decision.verdict > before              ? 1
                                                                                   : -1));
  }

  void swap_rule(const engine::Decision& decision, const archive::Batch& batch, uint32_t row) {
    const engine::Match* match = match_of(decision, needs_.rule);
    matched_.push_back(match != nullptr ? 1 : 0);
    if (match == nullptr && !swap_->names_rule(rules_text_.back())) {
      new_verdict_.push_back(old_verdict_.back());
      change_.push_back(0);
      return;
    }
    RuleSwap::Stored stored = {old_verdict_.back(), batch.points[row], batch.policy[row], rules_text_.back()};
    auto others = [&](uint32_t rule) {
      const engine::Match* other = match_of(decision, rule);
      return other == nullptr ? 0 : other->points;
    };
    RuleSwap::Outcome outcome = swap_->outcome(stored, match != nullptr, match == nullptr ? 0 : match->points, others);
    new_verdict_.push_back(outcome.verdict);
    change_.push_back(outcome.change);
  }

  const MatchPlan& plan_;
  const TypeNeeds& needs_;
  const EventType& type_;
  StoredRows rows_;
  size_t part_;
  MatchVisitor& visitor_;
  bool ids_;
  std::optional<RuleSwap> swap_;
  std::vector<int32_t> slots_;
  base::Arena arena_;
  std::vector<uint64_t> n_;
  std::vector<int64_t> time_ms_;
  std::vector<std::string_view> id_, old_verdict_, rules_text_, shadow_, new_verdict_;
  std::vector<uint8_t> matched_;
  std::vector<int8_t> change_;
  std::vector<std::vector<Value>> values_;  // by place in slots_
  std::vector<cel::Column> columns_;
};

}  // namespace

base::Status match_by_replay(const MatchRequest& request, const MatchSource& source, const MatchPlan& plan,
                             MatchVisitor& visitor, const KeepGoing& keep_going, MatchSummary& summary) {
  PastPolicies past(request.policy, source.policy_of);
  std::vector<std::unique_ptr<TypeRun>> runs(request.policy->types.size());
  visitor.begin(plan.types.size());
  for (size_t i = 0; i < plan.types.size(); ++i) {
    const TypeNeeds& needs = plan.types[i];
    TAMIS_TRY(rows, StoredRows::open(request, source, *needs.event_type));
    runs[needs.type] = std::make_unique<TypeRun>(request, plan, needs, past, std::move(rows), i, visitor);
  }
  auto start = std::chrono::steady_clock::now();
  TAMIS_TRY(stored, stored_events(*source.archive, summary.types, request.from_ms, request.to_ms));
  std::shared_ptr<const policy::Policy> what_if = replayed_policy(request, plan);
  uint64_t total = source.archive->stats().rows, replayed = 0;
  base::Status failed;
  bool go_on = true;
  base::Status done = source.what_if(what_if, [&](const Replayed& event) {
    TypeRun* run = runs[static_cast<size_t>(event.decision->type - what_if->types.data())].get();
    if (run != nullptr) {
      base::Result<bool> added = event.whole ? run->add(event) : run->has(event.record);
      if (!added) failed = tl::unexpected<base::Error>(added.error());
      if (added && *added) ++(event.whole ? summary.events : summary.events_gone);
    }
    if (++replayed % 1024 == 0 && keep_going) go_on = keep_going(replayed, std::max(total, replayed));
    return failed.has_value() && go_on;
  });
  TAMIS_CHECK(failed);
  if (!go_on) return stopped();
  TAMIS_CHECK(done);
  for (auto& run : runs) {
    if (run != nullptr) run->flush();
  }
  summary.events_gone = std::max(summary.events_gone, stored - std::min(stored, summary.events));
  summary.evaluation_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {};
}

}  // namespace tamis::replay
