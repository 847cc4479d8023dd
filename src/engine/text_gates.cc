#include "engine/text_gates.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "cel/pattern_set.h"

namespace tamis::engine {

using cel::NodeId;
using cel::Predicate;
using cel::TextTest;
using event::Kind;
using event::Value;

namespace {

// The automaton of a gate stays in the cache; where its literals do not fit they are shortened, which costs marks.
constexpr size_t kTableBytesMax = 4u << 20;

cel::PatternKind pattern_kind(Predicate::Op op) {
  switch (op) {
    case Predicate::Op::kContains:
      return cel::PatternKind::kContains;
    case Predicate::Op::kStartsWith:
      return cel::PatternKind::kStartsWith;
    case Predicate::Op::kEndsWith:
      return cel::PatternKind::kEndsWith;
    default:
      return cel::PatternKind::kRegex;
  }
}

using Subject = std::tuple<int32_t, NodeId, bool>;                    // slot, node, is a list
using Case = std::pair<Predicate::Op, std::string_view>;              // the texts live in the plan
using Waiting = std::vector<std::pair<uint32_t, std::vector<Case>>>;  // clause and the cases of which one must hold

// What the clauses wait for, by subject; of several tests of a clause about one subject, that with the rarest cases.
std::map<Subject, Waiting> collect(const cel::Plan& plan, std::span<const std::vector<NodeId>> conjuncts) {
  std::map<Subject, std::vector<Waiting>> found;  // per clause with tests: all of them
  std::map<std::pair<Subject, Case>, size_t> uses;
  for (uint32_t clause = 0; clause < conjuncts.size(); ++clause) {
    for (NodeId conjunct : conjuncts[clause]) {
      auto predicate = plan.predicate(conjunct);
      if (predicate && predicate->op <= Predicate::Op::kFalse) continue;  // the index knows better
      std::optional<TextTest> test = plan.text_test(conjunct);
      if (!test) continue;
      Subject subject{test->slot, test->node, test->any};
      std::vector<Case> cases;
      for (const TextTest::Case& c : test->cases) cases.emplace_back(c.op, c.constant);
      for (const Case& c : cases) ++uses[{subject, c}];
      std::vector<Waiting>& clauses = found[subject];
      if (clauses.empty() || clauses.back().back().first != clause) clauses.emplace_back();
      clauses.back().emplace_back(clause, std::move(cases));
    }
  }
  std::map<Subject, Waiting> waiting;
  for (auto& [subject, clauses] : found) {
    for (Waiting& tests : clauses) {
      size_t best = 0, best_uses = SIZE_MAX;
      for (size_t i = 0; i < tests.size(); ++i) {
        size_t used = 0;
        for (const Case& c : tests[i].second) used += uses[{subject, c}];
        if (used < best_uses) {
          best = i;
          best_uses = used;
        }
      }
      waiting[subject].push_back(std::move(tests[best]));
    }
  }
  return waiting;
}

}  // namespace

struct TextGates::Gate {
  int32_t slot;
  NodeId node;
  bool any;
  size_t member_count = 0;
  std::vector<uint64_t> members;                         // the clauses that wait here
  std::unordered_map<std::string_view, uint32_t> equal;  // constant to case
  std::vector<uint32_t> case_of_pattern;                 // by number in the set
  std::vector<std::vector<uint32_t>> clauses_of_case;    // what a case that holds leaves possible
  std::optional<cel::PatternSet> set;                    // absent where all cases are equalities
  std::optional<cel::PatternScan> scan;
  std::vector<uint64_t> reached;  // scratch

  // False where no pattern set can be made.
  bool build(const Waiting& waiting, size_t words);
  void reach(uint32_t which) {
    for (uint32_t clause : clauses_of_case[which]) reached[clause / 64] |= uint64_t{1} << (clause % 64);
  }
  void look_at(const Value& text);
};

bool TextGates::Gate::build(const Waiting& waiting, size_t words) {
  member_count = waiting.size();
  members.resize(words);
  reached.resize(words);
  std::map<Case, uint32_t> numbers;
  for (const auto& [clause, cases] : waiting) {
    members[clause / 64] |= uint64_t{1} << (clause % 64);
    for (const Case& c : cases) {
      auto [at, fresh] = numbers.try_emplace(c, static_cast<uint32_t>(clauses_of_case.size()));
      if (fresh) clauses_of_case.emplace_back();
      std::vector<uint32_t>& list = clauses_of_case[at->second];
      if (list.empty() || list.back() != clause) list.push_back(clause);
    }
  }
  std::vector<cel::Pattern> patterns;
  for (const auto& [c, number] : numbers) {
    if (c.first == Predicate::Op::kEq) {
      equal.emplace(c.second, number);
    } else {
      patterns.push_back({pattern_kind(c.first), std::string(c.second)});
      case_of_pattern.push_back(number);
    }
  }
  if (patterns.empty()) return true;
  cel::PatternSetLimits limits;
  limits.table_bytes_max = kTableBytesMax;
  base::Result<cel::PatternSet> made = cel::PatternSet::build_marks(patterns, limits);
  if (!made) return false;
  set.emplace(std::move(*made));
  scan.emplace(*set);
  return true;
}

void TextGates::Gate::look_at(const Value& text) {
  if (!equal.empty()) {
    auto found = equal.find(text.str());
    if (found != equal.end()) reach(found->second);
  }
  if (!set) return;
  set->scan(text.str(), *scan);
  for (uint32_t pattern : set->candidates(*scan)) reach(case_of_pattern[pattern]);
}

TextGates::TextGates(const cel::Plan& plan, std::span<const std::vector<NodeId>> conjuncts, size_t waiting_min)
    : plan_(&plan), waiting_min_(waiting_min) {
  size_t words = (conjuncts.size() + 63) / 64;
  find_presences(conjuncts);
  for (const auto& [subject, waiting] : collect(plan, conjuncts)) {
    if (waiting.size() < waiting_min_) continue;
    auto gate = std::make_unique<Gate>();
    std::tie(gate->slot, gate->node, gate->any) = subject;
    if (gate->build(waiting, words)) gates_.push_back(std::move(gate));
  }
}

void TextGates::find_presences(std::span<const std::vector<NodeId>> conjuncts) {
  std::map<int32_t, std::vector<size_t>> clauses;
  for (size_t clause = 0; clause < conjuncts.size(); ++clause) {
    for (NodeId conjunct : conjuncts[clause]) {
      if (auto slot = plan_->presence_slot(conjunct)) clauses[*slot].push_back(clause);
    }
  }
  for (const auto& [slot, needing] : clauses) {
    if (needing.size() < waiting_min_) continue;
    presences_.push_back({slot, std::vector<uint64_t>((conjuncts.size() + 63) / 64)});
    Presence& presence = presences_.back();
    for (size_t clause : needing) presence.needing[clause / 64] |= uint64_t{1} << (clause % 64);
  }
}

TextGates::~TextGates() = default;
TextGates::TextGates(TextGates&&) noexcept = default;

void TextGates::narrow(std::span<const Value> slots, cel::Frame& frame, std::span<uint64_t> candidates) {
  for (const Presence& presence : presences_) {
    if (!slots[static_cast<size_t>(presence.slot)].is(Kind::kAbsent)) continue;
    for (size_t w = 0; w < candidates.size(); ++w) candidates[w] &= ~presence.needing[w];
  }
  for (const std::unique_ptr<Gate>& of : gates_) {
    Gate& gate = *of;
    size_t waiting = 0;
    for (size_t w = 0; w < candidates.size(); ++w) {
      waiting += static_cast<size_t>(std::popcount(candidates[w] & gate.members[w]));
    }
    if (waiting < waiting_min_) continue;
    Value value = gate.slot >= 0 ? slots[static_cast<size_t>(gate.slot)] : plan_->eval(gate.node, frame);
    if (!value.is(gate.any ? Kind::kList : Kind::kString)) continue;
    std::span<const Value> texts = gate.any ? value.list_items() : std::span<const Value>(&value, 1);
    if (texts.size() > TextTest::kTextsMax) continue;
    if (!std::all_of(texts.begin(), texts.end(), [](const Value& v) { return v.is(Kind::kString); })) continue;
    std::fill(gate.reached.begin(), gate.reached.end(), 0);
    for (const Value& text : texts) gate.look_at(text);
    if (gate.set && !texts.empty()) {
      for (uint32_t pattern : gate.set->always()) gate.reach(gate.case_of_pattern[pattern]);
    }
    for (size_t w = 0; w < candidates.size(); ++w) candidates[w] &= ~gate.members[w] | gate.reached[w];
  }
}

size_t TextGates::size() const { return gates_.size(); }

size_t TextGates::gated() const {
  size_t clauses = 0;
  for (const auto& gate : gates_) clauses += gate->member_count;
  return clauses;
}

size_t TextGates::bytes() const {
  size_t bytes = 0;
  for (const Presence& presence : presences_) bytes += presence.needing.size() * 8;
  for (const auto& gate : gates_) {
    bytes += gate->members.size() * 16 + (gate->set ? gate->set->table_bytes() : 0);
  }
  return bytes;
}

}  // namespace tamis::engine
