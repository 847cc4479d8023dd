#include "replay/backtest.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <unordered_map>

#include "base/hash.h"
#include "event/json_writer.h"
#include "policy/slot_names.h"
#include "replay/stored.h"

namespace tamis::replay {

using policy::EventType;

namespace {

constexpr int64_t kDayMs = 86'400'000;
constexpr size_t kOverlapShown = 10;
constexpr size_t kRuleSetsMax = 100'000;  // different sets of rules that are counted

int64_t day_of(int64_t time_ms) { return time_ms - ((time_ms % kDayMs) + kDayMs) % kDayMs; }

// Few of many, the same ones whatever the order: those whose record numbers hash lowest.
class Chosen {
 public:
  explicit Chosen(size_t most) : most_(most) {}
  template <class Make>
  void offer(uint64_t record, Make&& make) {
    if (most_ == 0) return;
    uint64_t hash = base::mix64(record);
    if (kept_.size() == most_ && hash > kept_.rbegin()->first) return;
    kept_.emplace(hash, make());
    if (kept_.size() > most_) kept_.erase(std::prev(kept_.end()));
  }
  void merge(Chosen& other) {
    kept_.merge(other.kept_);
    while (kept_.size() > most_) kept_.erase(std::prev(kept_.end()));
  }
  std::vector<BacktestResult::Sample> take() {
    std::vector<BacktestResult::Sample> samples;
    for (auto& [hash, sample] : kept_) samples.push_back(std::move(sample));
    std::sort(samples.begin(), samples.end(), [](const auto& a, const auto& b) { return a.record < b.record; });
    return samples;
  }

 private:
  size_t most_;
  std::map<uint64_t, BacktestResult::Sample> kept_;
};

// What one event type needs.
struct TypeView {
  const EventType* type = nullptr;
  std::vector<std::string> names;      // of slots
  std::vector<int32_t> shown;          // slots that samples show
  std::unique_ptr<TruthOfType> truth;  // null: there is none
  int32_t class_slot = -1;
};

struct Tally {
  explicit Tally(size_t samples) : chosen(BacktestResult::kSampleKinds, Chosen(samples)) {}
  uint64_t events = 0, matched = 0, gained = 0, lost = 0;
  uint64_t matched_good = 0, matched_bad = 0, good = 0, bad = 0;
  std::map<int64_t, BacktestResult::Day> days;
  std::unordered_map<std::string, uint64_t> rule_sets;  // of matched events
  std::vector<Chosen> chosen;
  std::map<size_t, ClassCells> classes;  // by place of the event type
  std::string ids;                       // room for a set of rules
};

class Counting final : public MatchVisitor {
 public:
  Counting(const BacktestRequest& request, const std::vector<TypeView>& views) : request_(request), views_(views) {}

  void begin(size_t parts) override { parts_.assign(parts, Tally(request_.samples)); }

  void visit(size_t part, const MatchBatch& batch) override {
    Tally& tally = parts_[part];
    const TypeView& view = views_[batch.type];
    BacktestResult::Day* day = nullptr;
    for (uint32_t i = 0; i < batch.rows; ++i) {
      if (day == nullptr || batch.time_ms[i] < day->day_ms || batch.time_ms[i] >= day->day_ms + kDayMs) {
        int64_t begin = day_of(batch.time_ms[i]);
        day = &tally.days[begin];
        day->day_ms = begin;
      }
      day->events += 1;
      day->matched += batch.matched[i];
      day->gained += batch.change[i] > 0 ? 1 : 0;
      day->lost += batch.change[i] < 0 ? 1 : 0;
      if (batch.matched[i] != 0) sample(tally, BacktestResult::kMatched, batch, i);
      if (batch.change[i] > 0) sample(tally, BacktestResult::kGained, batch, i);
      if (batch.change[i] < 0) sample(tally, BacktestResult::kLost, batch, i);
    }
    if (!request_.rule.empty()) count_rule_sets(tally, batch);
    if (view.truth != nullptr && !view.truth->empty()) lay_truth(tally, view, batch);
  }

  Tally total() {
    Tally all(request_.samples);
    for (Tally& part : parts_) {
      all.matched_good += part.matched_good, all.matched_bad += part.matched_bad;
      all.good += part.good, all.bad += part.bad;
      for (const auto& [begin, day] : part.days) {
        BacktestResult::Day& to = all.days[begin];
        to.day_ms = begin;
        to.events += day.events, to.matched += day.matched, to.gained += day.gained, to.lost += day.lost;
      }
      for (const auto& [ids, count] : part.rule_sets) all.rule_sets[ids] += count;
      for (size_t k = 0; k < all.chosen.size(); ++k) all.chosen[k].merge(part.chosen[k]);
      for (const auto& [type, cells] : part.classes) {
        for (const auto& [name, cell] : cells) cell_of(all.classes[type], name).add(cell);
      }
    }
    for (const auto& [begin, day] : all.days) {
      all.events += day.events, all.matched += day.matched, all.gained += day.gained, all.lost += day.lost;
    }
    return all;
  }

 private:
  void lay_truth(Tally& tally, const TypeView& view, const MatchBatch& batch) {
    for (uint32_t i = 0; i < batch.rows; ++i) {
      Known known = view.truth->of(batch.id == nullptr ? std::string_view() : batch.id[i], batch.columns, i);
      if (known == Known::kNot) continue;
      bool bad = known == Known::kBad, matched = batch.matched[i] != 0;
      ++(bad ? tally.bad : tally.good);
      if (matched) ++(bad ? tally.matched_bad : tally.matched_good);
      if (view.class_slot >= 0) count_class(tally.classes[batch.type], view, batch, i).add(bad, matched);
      if (matched) sample(tally, bad ? BacktestResult::kMatchedBad : BacktestResult::kMatchedGood, batch, i);
      if (!matched && bad) sample(tally, BacktestResult::kMissedBad, batch, i);
    }
  }

  static ClassCell& count_class(ClassCells& cells, const TypeView& view, const MatchBatch& batch, uint32_t row) {
    const auto slot = static_cast<size_t>(view.class_slot);
    std::string room;
    return cell_of(
        cells, class_name(slot < batch.columns.size() ? batch.columns[slot].at(row) : event::Value::absent(), room));
  }

  void count_rule_sets(Tally& tally, const MatchBatch& batch) {
    for (uint32_t i = 0; i < batch.rows; ++i) {
      if (batch.matched[i] == 0 || (batch.rules[i].empty() && batch.shadow[i].empty())) continue;
      std::string& ids = tally.ids;
      ids.assign(batch.rules[i]);
      ids += batch.shadow[i];
      auto found = tally.rule_sets.find(ids);
      if (found != tally.rule_sets.end()) {
        ++found->second;
      } else if (tally.rule_sets.size() < kRuleSetsMax) {
        tally.rule_sets.emplace(ids, 1);
      }
    }
  }

  void sample(Tally& tally, BacktestResult::SampleKind kind, const MatchBatch& batch, uint32_t row) const {
    tally.chosen[kind].offer(batch.n[row], [&] {
      const TypeView& view = views_[batch.type];
      BacktestResult::Sample made;
      made.record = batch.n[row];
      if (batch.id != nullptr) made.id = batch.id[row];
      made.type = view.type->schema.name;
      made.time_ms = batch.time_ms[row];
      made.old_verdict = batch.old_verdict[row];
      made.new_verdict = batch.new_verdict[row];
      for (int32_t slot : view.shown) {
        auto at = static_cast<size_t>(slot);
        if (at >= batch.columns.size()) continue;
        std::string json;
        event::JsonWriter(json).value(batch.columns[at].at(row));
        made.values.emplace_back(view.names[at], std::move(json));
      }
      return made;
    });
  }

  const BacktestRequest& request_;
  const std::vector<TypeView>& views_;
  std::vector<Tally> parts_;
};

std::vector<BacktestResult::Overlap> overlap_of(const Tally& tally, const std::string& rule) {
  std::map<std::string, uint64_t> both;
  for (const auto& [ids, count] : tally.rule_sets) {
    for (size_t at = 0; at < ids.size();) {
      size_t end = std::min(ids.find('\n', at), ids.size());
      std::string id = ids.substr(at, end - at);
      if (id != rule) both[id] += count;
      at = end + 1;
    }
  }
  std::vector<BacktestResult::Overlap> all;
  for (auto& [id, count] : both) all.push_back({id, count});
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.both > b.both; });
  if (all.size() > kOverlapShown) all.resize(kOverlapShown);
  return all;
}

// What the rule reads, or every rule of the policy.
std::vector<int32_t> slots_read(const EventType& type, const std::string& rule) {
  std::set<int32_t> slots;
  for (const policy::Rule& r : type.rules) {
    if (!rule.empty() && r.id != rule) continue;
    for (cel::NodeId node : {r.when, r.points}) {
      if (node == cel::kNoNode) continue;
      for (int32_t slot : type.plan.slots_read(node)) slots.insert(slot);
    }
  }
  return {slots.begin(), slots.end()};
}

void put_classes(const Tally& tally, const BacktestRequest& request, const std::vector<TypeView>& views,
                 BacktestResult& result) {
  for (const auto& [type, cells] : tally.classes) {
    result.class_field = request.class_field;
    for (const auto& [name, cell] : cells) {
      result.per_class.push_back({views[type].type->schema.name, name, cell.false_positives(), cell.recall()});
    }
  }
}

// Ids of the samples of a columnar run: read for them alone.
base::Status add_ids(const BacktestRequest& request, const MatchSource& source, BacktestResult& result) {
  for (const EventType& type : request.policy->types) {
    std::map<uint64_t, std::string> ids;
    for (auto& samples : result.samples) {
      for (const auto& sample : samples) {
        if (sample.type == type.schema.name && sample.id.empty()) ids.emplace(sample.record, "");
      }
    }
    if (ids.empty()) continue;
    archive::ScanRequest scan;
    scan.type = &type;
    scan.policy = request.policy.get();
    scan.reasons_and_ids = true;
    scan.from_ms = request.from_ms;
    scan.to_ms = request.to_ms;
    for (const auto& [record, id] : ids) scan.only.push_back(record);
    TAMIS_TRY(opened, source.archive->scan(scan));
    while (true) {
      TAMIS_TRY(batch, opened->next());
      if (batch == nullptr || batch->rows == 0) break;
      for (uint32_t i = 0; i < batch->rows; ++i) ids[batch->n[i]] = batch->id[i];
    }
    for (auto& samples : result.samples) {
      for (auto& sample : samples) {
        if (sample.type == type.schema.name && sample.id.empty()) sample.id = ids[sample.record];
      }
    }
  }
  return {};
}

}  // namespace

base::Result<BacktestResult> backtest(const BacktestRequest& request, const MatchSource& source,
                                      const std::function<bool(uint64_t, uint64_t)>& keep_going) {
  auto start = std::chrono::steady_clock::now();
  MatchRequest matches;
  matches.policy = request.policy;
  matches.rule = request.rule;
  matches.from_ms = request.from_ms;
  matches.to_ms = request.to_ms;
  matches.always_replay = request.always_replay;
  matches.threads = request.threads;
  std::vector<TypeView> views;
  for (const EventType& type : request.policy->types) {
    TypeView& view = views.emplace_back();
    view.type = &type;
    view.names = policy::slot_names(type);
    if (!request.rule.empty()) view.shown = slots_read(type, request.rule);
    matches.also.emplace_back();
    if (request.truth == nullptr) continue;
    view.truth = std::make_unique<TruthOfType>(*request.truth, type);
    matches.also.back() = view.truth->slots();
    const auto named = std::find(view.names.begin(), view.names.end(), request.class_field);
    if (named != view.names.end() && !view.truth->empty() && !request.class_field.empty()) {
      view.class_slot = static_cast<int32_t>(named - view.names.begin());
      matches.also.back().push_back(view.class_slot);
    }
    bool asked = view.truth->needs_ids() && (request.rule.empty() || !view.shown.empty());
    matches.ids = matches.ids || asked;
  }
  Counting counting(request, views);
  TAMIS_TRY(summary, find_matches(matches, source, counting, keep_going));
  Tally tally = counting.total();
  BacktestResult result;
  result.rule = request.rule;
  result.policy_version = request.policy->version;
  archive::ArchiveStats stats = source.archive->stats();
  result.from_ms = std::max(request.from_ms, stats.oldest_ms);
  result.to_ms = std::min(request.to_ms, stats.newest_ms + 1);
  result.types = summary.types;
  result.columnar = summary.columnar;
  result.replayed_because = summary.replayed_because;
  // Without its class an event is of none; its truth is read all the same.
  for (std::string& name : summary.absent) {
    if (name != request.class_field) result.truth_unread.push_back(std::move(name));
  }
  result.events_gone = summary.events_gone;
  result.events = tally.events, result.matched = tally.matched, result.gained = tally.gained, result.lost = tally.lost;
  result.known_good = tally.good, result.known_bad = tally.bad;
  result.precision = {tally.matched_bad, tally.matched_bad + tally.matched_good};
  result.recall = {tally.matched_bad, tally.bad};
  put_classes(tally, request, views, result);
  for (const auto& [begin, day] : tally.days) result.per_day.push_back(day);
  result.overlap = overlap_of(tally, request.rule);
  for (size_t k = 0; k < BacktestResult::kSampleKinds; ++k) result.samples[k] = tally.chosen[k].take();
  TAMIS_CHECK(add_ids(request, source, result));
  result.evaluation_seconds = summary.evaluation_seconds;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace tamis::replay
