// PatternSet: many tests of one text (contains, startsWith, endsWith, matches), answered together. The planner makes
// one per text field from the patterns of all rules; the evaluator scans a field at most once per event.
//
// How: for each regex a few literals are derived of which at least one occurs in every match (RE2's FilteredRE2; Cox,
// "Regular Expression Matching with a Trigram Index", 2012). These and the plain literals form one Aho-Corasick
// automaton (Aho and Corasick 1975) that ignores the case of ASCII letters. One pass over the text marks the patterns
// that may match; a mark is confirmed exactly when somebody asks. The answers are those of testing each pattern singly.
//
// Threading: immutable once built, shared by threads; each thread has its own PatternScan. Cost of scan(): about a
// nanosecond a byte, whatever the number of patterns; of matches(): nothing if not marked, else one exact test.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::cel {

enum class PatternKind : uint8_t { kContains, kStartsWith, kEndsWith, kRegex };

struct Pattern {
  PatternKind kind = PatternKind::kContains;
  std::string text;  // the literal, or the regular expression (see cel/regex.h)
};

struct PatternSetLimits {
  size_t patterns_max = 1'000'000;
  size_t table_bytes_max = 16 << 20;  // the automaton; literals are shortened to stay below, which only costs marks
};

class PatternSet;

// What one scan found. Memory is taken when it is made; scanning takes none.
class PatternScan {
 public:
  explicit PatternScan(const PatternSet& set);

 private:
  friend class PatternSet;
  bool marked(uint32_t id) const { return marks_[id >> 6] >> (id & 63) & 1; }

  std::vector<uint64_t> marks_;       // one bit per pattern
  std::vector<uint64_t> atoms_seen_;  // one bit per literal
  std::vector<uint32_t> atoms_;       // those set, for clearing
  std::vector<uint32_t> candidates_;  // marked patterns, each once
};

class PatternSet {
 public:
  // The id of a pattern is its place in `patterns`. Errors: a bad regular expression (named by its id), too many.
  static base::Result<PatternSet> build(std::span<const Pattern> patterns, const PatternSetLimits& limits = {});
  // The same for scan(), candidates() and always() alone: without what confirms a mark. The expressions must be good.
  static base::Result<PatternSet> build_marks(std::span<const Pattern> patterns, const PatternSetLimits& limits = {});
  ~PatternSet();
  PatternSet(PatternSet&&) noexcept;
  PatternSet& operator=(PatternSet&&) noexcept;

  // Reads the text once. `scan` must have been made for this set.
  void scan(std::string_view text, PatternScan& scan) const;
  // Whether pattern `id` matches the text that was scanned last; it must be given again.
  bool matches(uint32_t id, std::string_view text, const PatternScan& scan) const;

  // All patterns that can match the scanned text are among these two.
  std::span<const uint32_t> candidates(const PatternScan& scan) const { return scan.candidates_; }
  std::span<const uint32_t> always() const;  // those with no literal to look for: `.*`, `[0-9]+`, ""

  // The same answer without a scan.
  bool matches_singly(uint32_t id, std::string_view text) const;

  size_t size() const;
  size_t table_bytes() const;

 private:
  friend class PatternScan;
  struct Impl;
  explicit PatternSet(std::unique_ptr<Impl> impl);
  static base::Result<PatternSet> build(std::span<const Pattern> patterns, const PatternSetLimits& limits,
                                        bool confirms);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::cel
