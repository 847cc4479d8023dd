// TextGates: which clauses of a rule index the texts of an event leave possible. For rule_index.cc only.
//
// A conjunct such as `"a.example" in domains`, `domains.exists(d, d.endsWith(".example"))` or `name.contains("prize")`
// asks one text, or each text of a list, about constants (cel::TextTest). All such conjuncts about the same text make a
// gate: equalities stand in a hash table, the other tests in one pattern set. Looking the event's texts up and scanning
// them once gives the clauses that can still be true, however many there are.
//
// Where a field is absent, the clauses that ask has(field) first are ruled out together as well.
//
// A gate only rules out: a clause loses its bit where a conjunct of it is certainly false, and whatever keeps its bit
// is evaluated in full. Where the texts are absent, an error or not all strings, they rule out nothing, so errors stay
// errors.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cel/plan.h"

namespace tamis::engine {

class TextGates {
 public:
  // `plan` must outlive the gates. `conjuncts` are those of each clause; the number of a clause is its bit. A gate is
  // used on an event only where at least `waiting_min` clauses that wait for it have their bit still.
  TextGates(const cel::Plan& plan, std::span<const std::vector<cel::NodeId>> conjuncts, size_t waiting_min);
  ~TextGates();
  TextGates(TextGates&&) noexcept;

  // Clears the bits of clauses that are false for the event in the frame. Allocates nothing.
  void narrow(std::span<const event::Value> slots, cel::Frame& frame, std::span<uint64_t> candidates);

  bool empty() const { return presences_.empty() && gates_.empty(); }
  size_t size() const;   // gates
  size_t gated() const;  // clauses that wait for one, counted once a gate
  size_t bytes() const;

 private:
  struct Gate;
  struct Presence {
    int32_t slot;
    std::vector<uint64_t> needing;  // the clauses that are false without the field
  };
  void find_presences(std::span<const std::vector<cel::NodeId>> conjuncts);

  const cel::Plan* plan_;
  size_t waiting_min_;
  std::vector<Presence> presences_;
  std::vector<std::unique_ptr<Gate>> gates_;
};

}  // namespace tamis::engine
