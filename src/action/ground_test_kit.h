// For tests: a ground in memory with a journal, others who change things in between, and crashes.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "action/ground.h"

namespace tamis::action {

struct PlaceLess {
  bool operator()(const Place& a, const Place& b) const {
    return std::tie(a.kind, a.on, a.value, a.name) < std::tie(b.kind, b.on, b.value, b.name);
  }
};
using Marks = std::map<Place, Mark, PlaceLess>;

// The end of the process, in the middle of a call.
struct Crash {};

class TestGround final : public Ground {
 public:
  struct Op {
    Place place;
    std::optional<Mark> mark;
    std::string batch;
  };

  int64_t now = 1'795'284'000'000;
  Marks marks;   // what lies where, expired marks too
  Marks shadow;  // the same, had there never been a batch
  std::vector<Op> journal;
  size_t durable = 0;  // operations of the journal that are on disk
  std::vector<std::string> records;
  int64_t crash_at = -1;  // the call that does not return; -1: none
  int64_t calls = 0;
  std::function<void()> meanwhile;  // runs between holds
  std::function<base::Status(const Place&)> refuse;
  std::string journal_failure;
  std::string removed_by;  // who took something away last

  // Somebody else changes a place; durable, as acts of people are.
  void others(const Place& place, const std::optional<Mark>& mark) {
    set(marks, place, mark);
    set(shadow, place, mark);
    journal.push_back({place, mark, {}});
    durable = journal.size();
  }
  // What the journal does not hold is lost: the first `kept` operations behind the durable ones are there by luck.
  void recover(size_t kept) {
    journal.resize(std::min(journal.size(), durable + kept));
    marks.clear();
    for (const Op& op : journal) set(marks, op.place, op.mark);
    durable = journal.size();
    crash_at = -1;
  }
  Marks in_force(const Marks& all) const {
    Marks out;
    for (const auto& [place, mark] : all) {
      if (mark.expires_ms > now) out.emplace(place, mark);
    }
    return out;
  }

  void hold(const std::function<void()>& use) override {
    tick();
    if (meanwhile) meanwhile();
    use();
  }
  std::optional<Mark> look(const Place& place) override {
    auto found = marks.find(place);
    if (found == marks.end() || found->second.expires_ms <= now) return std::nullopt;
    return found->second;
  }
  base::Status put(const Place& place, const Mark& mark, std::string_view batch) override {
    return act(place, mark, batch);
  }
  base::Status remove(const Place& place, std::string_view batch, std::string_view by, std::string_view) override {
    removed_by = by;
    return act(place, std::nullopt, batch);
  }
  base::Status record(std::string_view json) override {
    tick();
    if (!journal_failure.empty()) return base::fail(base::Code::kUnavailable, journal_failure);
    records.emplace_back(json);
    return {};
  }
  base::Status sync() override {
    tick();
    if (!journal_failure.empty()) return base::fail(base::Code::kUnavailable, journal_failure);
    durable = journal.size();
    tick();
    return {};
  }
  int64_t now_ms() override { return now; }
  std::string token(int64_t time_ms, std::string_view value) override {
    return keys_are_gone ? std::string()
                         : "tok:" + std::to_string(std::hash<std::string_view>()(value) ^
                                                   static_cast<size_t>(time_ms / 86'400'000));
  }
  void visit(const std::function<void(const Place&)>& use) override {
    for (const auto& [place, mark] : in_force(marks)) use(place);
  }
  bool keys_are_gone = false;

 private:
  static void set(Marks& all, const Place& place, const std::optional<Mark>& mark) {
    if (mark) {
      all[place] = *mark;
    } else {
      all.erase(place);
    }
  }
  base::Status act(const Place& place, const std::optional<Mark>& mark, std::string_view batch) {
    tick();
    if (!journal_failure.empty()) return base::fail(base::Code::kUnavailable, journal_failure);
    if (refuse) TAMIS_CHECK(refuse(place));
    set(marks, place, mark);
    journal.push_back({place, mark, std::string(batch)});
    tick();
    return {};
  }
  void tick() {
    if (calls++ == crash_at) throw Crash();
  }
};

}  // namespace tamis::action
