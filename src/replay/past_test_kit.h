// What the tests of hindsight share: an archive in memory, and a past: events decided live by an engine, kept there and
// as the journal would keep them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "policy/slot_names.h"
#include "replay/matches.h"
#include "replay/stored.h"

namespace tamis::replay::kit {

using event::Value;

inline std::shared_ptr<const policy::Policy> compile(const std::string& yaml) {
  policy::Loaded loaded = policy::load_files({{"policy.yaml", yaml}});
  for (const policy::Diagnostic& d : loaded.diagnostics) {
    if (d.severity == policy::Diagnostic::Severity::kError) ADD_FAILURE() << policy::to_string(d) << "\n" << yaml;
  }
  return loaded.policy;
}

// Rows as they were added, each with the policy whose slots it has. SQL is not its business.
class MemoryArchive final : public archive::Archive {
 public:
  struct Row {
    std::shared_ptr<const policy::Policy> policy;
    size_t type = 0;
    std::vector<Value> slots;
    uint64_t n = 0;
    int64_t time_ms = 0;
    std::string id, verdict, rules, shadow, version;
    double points = 0;
  };

  base::Status add(const engine::PreparedEvent& event, const engine::Decision* decision, uint64_t record,
                   int64_t receive_ms) override {
    event::Event& read = const_cast<engine::PreparedEvent&>(event).event();
    Row row;
    row.policy = event.policy();
    row.type = event.type_index();
    for (const Value& value : read.slots) row.slots.push_back(event::deep_copy(value, memory_));
    row.n = record;
    row.time_ms = decision != nullptr ? decision->time_ms : read.has_time ? read.time_ms : receive_ms;
    row.id = decision != nullptr ? decision->id : read.id;
    if (decision != nullptr) {
      row.version = decision->policy->version;
      row.verdict = decision->verdict_name();
      row.points = decision->points;
      for (const engine::Match& match : decision->matches) {
        (match.acts ? row.rules : row.shadow) += decision->type->rules[match.rule].id + "\n";
      }
    }
    rows_.push_back(std::move(row));
    return {};
  }
  base::Status add_act(uint64_t, int64_t, const engine::Act&) override { return {}; }
  base::Status flush(uint64_t, bool) override { return {}; }

  archive::ArchiveStats stats() const override {
    archive::ArchiveStats stats;
    stats.rows = rows_.size();
    for (const Row& row : rows_) {
      stats.oldest_ms = stats.oldest_ms == 0 ? row.time_ms : std::min(stats.oldest_ms, row.time_ms);
      stats.newest_ms = std::max(stats.newest_ms, row.time_ms);
    }
    return stats;
  }

  base::Result<archive::Table> query(std::string_view sql, const archive::QueryLimits&,
                                     const std::function<bool()>&) const override {
    queries.emplace_back(sql);
    if (!sql.starts_with("SELECT DISTINCT policy ")) return answer;
    std::set<std::string> versions;
    for (const Row& row : rows_) versions.insert(row.version);
    archive::Table table;
    for (const std::string& version : versions) table.rows.push_back({version});
    return table;
  }
  base::Result<std::map<uint64_t, std::string>> rows(std::string_view type,
                                                     const std::vector<uint64_t>& numbers) const override {
    std::map<uint64_t, std::string> rows;
    for (const Row& row : rows_) {
      if (row.policy->types[row.type].schema.name != type) continue;
      if (std::find(numbers.begin(), numbers.end(), row.n) == numbers.end()) continue;
      rows[row.n] = "{\"n\":" + std::to_string(row.n) + "}";
    }
    return rows;
  }
  mutable std::vector<std::string> queries;
  archive::Table answer;

  base::Result<archive::Verified> verify(const std::function<bool(uint64_t, uint64_t)>&) const override {
    return archive::Verified{};
  }
  base::Result<std::vector<std::string>> missing(const archive::ScanRequest& request) const override {
    std::vector<std::string> names = policy::slot_names(*request.type), gone;
    for (int32_t slot : request.slots) {
      bool there = std::all_of(rows_.begin(), rows_.end(), [&](const Row& row) {
        return !in(row, request) || source_slot(row, request, names, slot) >= 0;
      });
      if (!there) gone.push_back(names[static_cast<size_t>(slot)]);
    }
    return gone;
  }

  base::Result<std::unique_ptr<archive::Scan>> scan(const archive::ScanRequest& request) const override {
    auto scan = std::make_unique<MemoryScan>();
    std::vector<std::string> names = policy::slot_names(*request.type);
    scan->columns.resize(static_cast<size_t>(request.type->slot_count));
    std::map<int32_t, std::vector<Value>> values;
    for (const Row& row : rows_) {
      if (!in(row, request)) continue;
      scan->n.push_back(row.n), scan->time_ms.push_back(row.time_ms), scan->points.push_back(row.points);
      scan->verdict.push_back(row.verdict), scan->version.push_back(row.version), scan->id.push_back(row.id);
      scan->rules.push_back(row.rules), scan->shadow.push_back(row.shadow);
      for (int32_t slot : request.slots) {
        int32_t from = source_slot(row, request, names, slot);
        if (from < 0) return base::fail(base::Code::kNotFound, "no column " + names[static_cast<size_t>(slot)]);
        values[slot].push_back(row.slots[static_cast<size_t>(from)]);
      }
    }
    scan->values = std::move(values);
    return scan;
  }

  base::Result<RetentionReport> retain(const policy::Policy&, const Retention&, const std::function<bool()>&) override {
    return RetentionReport{};
  }
  base::Result<uint64_t> erase(const policy::Policy&, std::string_view, std::string_view,
                               const std::function<std::string(std::string_view day)>&) override {
    return uint64_t{0};
  }

  const std::deque<Row>& rows() const { return rows_; }

 private:
  struct MemoryScan final : archive::Scan {
    static constexpr uint32_t kRows = 100;  // so that a part has several batches
    std::vector<uint64_t> n;
    std::vector<int64_t> time_ms;
    std::vector<double> points;
    std::vector<std::string_view> verdict, version, id, rules, shadow;
    std::map<int32_t, std::vector<Value>> values;
    std::vector<cel::Column> columns;
    archive::Batch batch;
    uint32_t at = 0;

    base::Result<const archive::Batch*> next() override {
      batch = {};
      batch.rows = std::min<uint32_t>(kRows, static_cast<uint32_t>(n.size()) - at);
      batch.n = n.data() + at, batch.time_ms = time_ms.data() + at, batch.points = points.data() + at;
      batch.verdict = verdict.data() + at, batch.policy = version.data() + at, batch.id = id.data() + at;
      batch.rules = rules.data() + at, batch.shadow = shadow.data() + at;
      for (auto& [slot, column] : values) {
        columns[static_cast<size_t>(slot)].layout = cel::Column::Layout::kValues;
        columns[static_cast<size_t>(slot)].values = column.data() + at;
      }
      batch.columns = columns;
      at += batch.rows;
      return &batch;
    }
    uint64_t rows_total() const override { return n.size(); }
  };

  static bool in(const Row& row, const archive::ScanRequest& request) {
    if (row.policy->types[row.type].schema.name != request.type->schema.name) return false;
    if (!request.only.empty() && !std::binary_search(request.only.begin(), request.only.end(), row.n)) return false;
    return row.time_ms >= request.from_ms && row.time_ms < request.to_ms;
  }

  // The slot of a row that has what a slot of the request means, -1: none.
  static int32_t source_slot(const Row& row, const archive::ScanRequest& request, const std::vector<std::string>& names,
                             int32_t slot) {
    const policy::EventType& then = row.policy->types[row.type];
    std::vector<std::string> had = policy::slot_names(then);
    for (size_t i = 0; i < had.size(); ++i) {
      if (had[i].empty() || had[i] != names[static_cast<size_t>(slot)]) continue;
      auto from = static_cast<int32_t>(i);
      return fingerprint(*row.policy, then, from) == fingerprint(*request.policy, *request.type, slot) ? from : -1;
    }
    return -1;
  }
  static uint64_t fingerprint(const policy::Policy& policy, const policy::EventType& type, int32_t slot) {
    for (const policy::FeatureRead& read : type.reads) {
      if (read.slot == slot) return policy.features[read.feature].fingerprint;
    }
    return 0;
  }

  base::Arena memory_;
  std::deque<Row> rows_;
};

class Past {
 public:
  // Events from here on are decided by this policy.
  void use(const std::string& yaml) { use(compile(yaml)); }
  void use(std::shared_ptr<const policy::Policy> policy) {
    policies[policy->version] = policy;
    engine_.activate(policy);
  }
  const engine::Decision& decide(const std::string& json, int64_t receive_ms) {
    base::Status ready = event_.prepare(engine_.policy(), {}, json, nullptr);
    EXPECT_TRUE(ready.has_value()) << ready.error().message;
    const engine::Decision& decision = engine_.decide(event_, receive_ms);
    events_.push_back({++records_, receive_ms, json});
    EXPECT_TRUE(archive.add(event_, &decision, records_, receive_ms).has_value());
    if (files != nullptr) {
      EXPECT_TRUE(files->add(event_, &decision, records_, receive_ms).has_value());
    }
    return decision;
  }
  // An event that is only kept.
  void import(const std::string& json, int64_t receive_ms) {
    ASSERT_TRUE(event_.prepare(engine_.policy(), {}, json, nullptr).has_value());
    ASSERT_TRUE(archive.add(event_, nullptr, ++records_, receive_ms).has_value());
  }

  WhatIf what_if() const {
    return [this](std::shared_ptr<const policy::Policy> policy, const std::function<bool(const Replayed&)>& step) {
      engine::Engine engine;
      engine.activate(policy);
      engine::PreparedEvent event;
      for (const Kept& kept : events_) {
        if (!event.prepare(policy, {}, kept.json, nullptr)) continue;
        const engine::Decision& decision = engine.decide(event, kept.receive_ms);
        if (!step({kept.record, &decision, &event})) break;
      }
      return base::Status{};
    };
  }
  MatchSource source() {
    MatchSource source;
    source.archive = &archive;
    if (files != nullptr) {
      EXPECT_TRUE(files->flush(records_).has_value());
      source.archive = files;
    }
    source.what_if = what_if();
    source.policy_of = [this](std::string_view version) {
      auto found = policies.find(std::string(version));
      return found == policies.end() ? nullptr : found->second;
    };
    return source;
  }
  const std::shared_ptr<const policy::Policy>& policy() const { return engine_.policy(); }

  MemoryArchive archive;
  archive::Archive* files = nullptr;  // if set, keeps everything too, and is what is asked
  std::map<std::string, std::shared_ptr<const policy::Policy>> policies;

 private:
  struct Kept {
    uint64_t record;
    int64_t receive_ms;
    std::string json;
  };
  std::vector<Kept> events_;
  engine::Engine engine_;
  engine::PreparedEvent event_;
  uint64_t records_ = 0;
};

// Keeps what it is shown, by record number.
class Rows final : public MatchVisitor {
 public:
  struct Row {
    bool matched = false;
    int change = 0;
    std::string old_verdict, new_verdict, id;
  };
  void begin(size_t count) override { parts_.resize(count); }
  void visit(size_t part, const MatchBatch& batch) override {
    for (uint32_t i = 0; i < batch.rows; ++i) {
      parts_[part][batch.n[i]] = {batch.matched[i] != 0, batch.change[i], std::string(batch.old_verdict[i]),
                                  std::string(batch.new_verdict[i]),
                                  batch.id == nullptr ? "" : std::string(batch.id[i])};
    }
  }
  std::map<uint64_t, Row> all() const {
    std::map<uint64_t, Row> rows;
    for (const auto& part : parts_) rows.insert(part.begin(), part.end());
    return rows;
  }

 private:
  std::vector<std::map<uint64_t, Row>> parts_;
};

}  // namespace tamis::replay::kit
