#include "cel/pattern_set.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <numeric>

#include "base/assert.h"
#include "cel/pattern_atoms.h"
#include "cel/regex.h"
#include "cel/text_find.h"

namespace tamis::cel {

namespace {

constexpr size_t kAtomBytesMin = 2;
constexpr uint32_t kHit = 1u << 31;  // the state that is entered ends an atom

// Where an atom may begin: a bit per hash of the first three bytes. Most text begins no atom, and these tests do not
// wait for each other as the steps of an automaton do.
class Starts {
 public:
  static constexpr size_t kBytes = 4;  // of text that one test reads

  void build(const std::vector<std::string>& atoms) {
    int bits = std::clamp<int>(static_cast<int>(std::bit_width(atoms.size())) + 6, 12, 19);
    shift_ = static_cast<uint32_t>(32 - bits);
    bits_.assign(size_t{1} << bits >> 6, 0);
    for (const std::string& text : atoms) {
      char first[kBytes] = {text[0], text[1], 0, 0};
      // An atom of two bytes may have any third one behind it.
      for (unsigned third = 0; third < 256; ++third) {
        first[2] = text.size() > 2 ? text[2] : static_cast<char>(third);
        uint32_t place = hash(load(first));
        bits_[place >> 6] |= uint64_t{1} << (place & 63);
        if (text.size() > 2) break;
      }
    }
  }

  // The first place at or behind `at` where an atom may begin, or one of the last kBytes - 1.
  size_t next(const char* text, size_t at, size_t size) const {
    const uint64_t* bits = bits_.data();
    for (; at + kBytes + 3 <= size; at += 4) {
      uint32_t a = hash(load(text + at)), b = hash(load(text + at + 1));
      uint32_t c = hash(load(text + at + 2)), d = hash(load(text + at + 3));
      uint64_t found = (bits[a >> 6] >> (a & 63) & 1) | (bits[b >> 6] >> (b & 63) & 1) << 1 |
                       (bits[c >> 6] >> (c & 63) & 1) << 2 | (bits[d >> 6] >> (d & 63) & 1) << 3;
      if (found != 0) return at + static_cast<size_t>(std::countr_zero(found));
    }
    for (; at + kBytes <= size; ++at) {
      uint32_t a = hash(load(text + at));
      if (bits[a >> 6] >> (a & 63) & 1) return at;
    }
    return at;
  }

 private:
  static uint32_t load(const char* text) {
    uint32_t word;
    std::memcpy(&word, text, sizeof word);
    return word;
  }
  // Letters of both cases hash alike; that some other bytes do as well costs a look, never a match.
  uint32_t hash(uint32_t word) const {
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap32(word);
    return ((word | 0x202020u) << 8) * 0x9e3779b1u >> shift_;
  }

  uint32_t shift_ = 20;
  std::vector<uint64_t> bits_;
};

// A deterministic automaton over classes of bytes. States are named by the offset of their row in the table.
struct Automaton {
  std::array<uint8_t, 256> classes{};
  uint32_t stride = 1;
  std::vector<uint32_t> table;    // next state, with kHit
  std::vector<int32_t> atom;      // per state number: the atom that ends here, or -1
  std::vector<uint32_t> shorter;  // per state number: the next state whose atom ends here too, or 0

  // False if the table would be larger than allowed.
  bool build(const std::vector<std::string>& atoms, size_t table_bytes_max);

 private:
  void assign_classes(const std::vector<std::string>& atoms);
  void link();
};

// Upper case shares the class of lower case; all bytes that no atom has share class 0. Atoms are folded already.
void Automaton::assign_classes(const std::vector<std::string>& atoms) {
  std::array<bool, 256> used{};
  for (const std::string& text : atoms) {
    for (char c : text) used[static_cast<unsigned char>(c)] = true;
  }
  uint32_t next = 1;
  for (size_t byte = 0; byte < 256; ++byte) {
    if (used[byte]) classes[byte] = static_cast<uint8_t>(next++);
  }
  for (size_t c = 'A'; c <= 'Z'; ++c) classes[c] = classes[c + 32];
  stride = next;
}

bool Automaton::build(const std::vector<std::string>& atoms, size_t table_bytes_max) {
  assign_classes(atoms);
  table.assign(stride, 0);
  atom.assign(1, -1);
  for (size_t i = 0; i < atoms.size(); ++i) {
    uint32_t state = 0;
    for (char c : atoms[i]) {
      uint32_t place = state + classes[static_cast<unsigned char>(c)];
      if (table[place] == 0) {
        if ((table.size() + stride) * sizeof(uint32_t) > table_bytes_max) return false;
        table[place] = static_cast<uint32_t>(table.size());
        table.resize(table.size() + stride, 0);
        atom.push_back(-1);
      }
      state = table[place];
    }
    atom[state / stride] = static_cast<int32_t>(i);
  }
  link();
  return true;
}

// Breadth first: where a row has no edge it takes that of the longest suffix which is also a prefix of some atom.
void Automaton::link() {
  shorter.assign(atom.size(), 0);
  std::vector<uint32_t> suffix(atom.size(), 0);  // state numbers
  std::vector<uint32_t> queue = {0};
  for (size_t at = 0; at < queue.size(); ++at) {
    uint32_t state = queue[at], number = state / stride;
    uint32_t fallback = suffix[number] * stride;
    for (uint32_t c = 0; c < stride; ++c) {
      uint32_t& edge = table[state + c];
      uint32_t other = state == 0 ? 0 : table[fallback + c] & ~kHit;
      if (edge == 0) {
        edge = state == 0 ? 0 : table[fallback + c];
        continue;
      }
      uint32_t child = edge / stride, link_to = other / stride;
      suffix[child] = link_to;
      shorter[child] = atom[link_to] >= 0 ? link_to : shorter[link_to];
      queue.push_back(edge);
      if (atom[child] >= 0 || shorter[child] != 0) edge |= kHit;
    }
  }
}

}  // namespace

struct PatternSet::Impl {
  struct Test {
    PatternKind kind;
    bool always = false;  // not in the automaton
    bool exact = false;   // a mark needs no confirmation
    std::string literal;
    int32_t regex = -1;
  };

  std::vector<Test> tests;
  std::vector<Regex> regexes;
  std::vector<uint32_t> always;
  std::vector<uint32_t> filtered_regexes;  // ids of regexes that wait for a mark
  Automaton automaton;
  Starts starts;
  std::vector<uint32_t> users_from;  // per atom, and one more: where its patterns begin in `users`
  std::vector<uint32_t> users;
  size_t atom_count = 0;
  std::vector<uint8_t> special;  // per atom: it is one of kFoldToAscii

  void link_atoms(const std::vector<std::vector<std::string>>& literals, const PatternSetLimits& limits);
  bool try_build(const std::vector<std::vector<std::string>>& literals, size_t atom_bytes, size_t table_bytes_max);
  bool confirm(uint32_t id, std::string_view text) const;
};

bool PatternSet::Impl::confirm(uint32_t id, std::string_view text) const {
  const Test& test = tests[id];
  switch (test.kind) {
    case PatternKind::kContains:
      return text_contains(text, test.literal);
    case PatternKind::kStartsWith:
      return text.starts_with(test.literal);
    case PatternKind::kEndsWith:
      return text.ends_with(test.literal);
    case PatternKind::kRegex:
      return regexes[static_cast<size_t>(test.regex)].search(text);
  }
  return false;
}

// Atoms are numbered in the order of their text; special ones that no pattern has come last.
bool PatternSet::Impl::try_build(const std::vector<std::vector<std::string>>& literals, size_t atom_bytes,
                                 size_t table_bytes_max) {
  std::map<std::string, std::vector<uint32_t>> by_text;
  for (uint32_t id = 0; id < literals.size(); ++id) {
    for (const std::string& literal : literals[id]) by_text[literal.substr(0, atom_bytes)].push_back(id);
  }
  std::vector<std::string> atoms;
  users_from.assign(1, 0);
  users.clear();
  for (auto& [text, ids] : by_text) {
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    atoms.push_back(text);
    users.insert(users.end(), ids.begin(), ids.end());
    users_from.push_back(static_cast<uint32_t>(users.size()));
  }
  special.assign(atoms.size(), 0);
  for (std::string_view text : kFoldToAscii) {
    if (filtered_regexes.empty()) break;
    auto found = by_text.find(std::string(text));
    if (found != by_text.end()) {
      special[static_cast<size_t>(std::distance(by_text.begin(), found))] = 1;
    } else {
      atoms.emplace_back(text);
      special.push_back(1);
      users_from.push_back(static_cast<uint32_t>(users.size()));
    }
  }
  atom_count = atoms.size();
  starts.build(atoms);
  return automaton.build(atoms, table_bytes_max);
}

void PatternSet::Impl::link_atoms(const std::vector<std::vector<std::string>>& literals,
                                  const PatternSetLimits& limits) {
  for (size_t atom_bytes : {32, 16, 10, 7, 5, 4, 3}) {
    if (try_build(literals, atom_bytes, limits.table_bytes_max)) {
      for (uint32_t id = 0; id < literals.size(); ++id) {
        Test& test = tests[id];
        // Exact if the whole literal was looked for and no letter of it has another case.
        test.exact = test.kind == PatternKind::kContains && !test.always && test.literal.size() <= atom_bytes &&
                     std::none_of(test.literal.begin(), test.literal.end(),
                                  [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
      }
      return;
    }
  }
  // Too many literals for the table: every pattern is tested singly.
  automaton = Automaton();
  automaton.build({}, limits.table_bytes_max);
  starts.build({});
  users_from.assign(1, 0);
  users.clear();
  filtered_regexes.clear();
  special.clear();
  atom_count = 0;
  always.resize(tests.size());
  std::iota(always.begin(), always.end(), 0u);
  for (Test& test : tests) test.always = true;
}

PatternSet::PatternSet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PatternSet::~PatternSet() = default;
PatternSet::PatternSet(PatternSet&&) noexcept = default;
PatternSet& PatternSet::operator=(PatternSet&&) noexcept = default;

base::Result<PatternSet> PatternSet::build(std::span<const Pattern> patterns, const PatternSetLimits& limits) {
  return build(patterns, limits, true);
}

base::Result<PatternSet> PatternSet::build_marks(std::span<const Pattern> patterns, const PatternSetLimits& limits) {
  return build(patterns, limits, false);
}

base::Result<PatternSet> PatternSet::build(std::span<const Pattern> patterns, const PatternSetLimits& limits,
                                           bool confirms) {
  if (patterns.size() > limits.patterns_max) {
    return base::fail(base::Code::kLimit, std::to_string(patterns.size()) + " patterns are more than " +
                                              std::to_string(limits.patterns_max));
  }
  auto impl = std::make_unique<Impl>();
  std::vector<std::vector<std::string>> literals(patterns.size());
  for (uint32_t id = 0; id < patterns.size(); ++id) {
    const Pattern& pattern = patterns[id];
    Impl::Test test{pattern.kind, false, false, {}, -1};
    if (pattern.kind == PatternKind::kRegex) {
      if (confirms) {
        base::Result<Regex> regex = Regex::compile(pattern.text);
        if (!regex) {
          return base::invalid("pattern " + std::to_string(id) +
                               " is not a regular expression: " + regex.error().message);
        }
        test.regex = static_cast<int32_t>(impl->regexes.size());
        impl->regexes.push_back(std::move(*regex));
      }
      literals[id] = required_literals(pattern.text);
      if (!literals[id].empty()) impl->filtered_regexes.push_back(id);
    } else {
      test.literal = pattern.text;
      if (pattern.text.size() >= kAtomBytesMin) literals[id].push_back(fold_ascii(pattern.text));
    }
    test.always = literals[id].empty();
    if (test.always) impl->always.push_back(id);
    impl->tests.push_back(std::move(test));
  }
  impl->link_atoms(literals, limits);
  return PatternSet(std::move(impl));
}

PatternScan::PatternScan(const PatternSet& set)
    : marks_((set.size() + 63) / 64), atoms_seen_((set.impl_->atom_count + 63) / 64) {
  atoms_.reserve(set.impl_->atom_count);
  candidates_.reserve(set.size());
}

void PatternSet::scan(std::string_view text, PatternScan& scan) const {
  const Impl& set = *impl_;
  TAMIS_ASSERT(scan.marks_.size() == (set.tests.size() + 63) / 64);
  for (uint32_t atom : scan.atoms_) scan.atoms_seen_[atom >> 6] = 0;
  for (uint32_t id : scan.candidates_) scan.marks_[id >> 6] = 0;
  scan.atoms_.clear();
  scan.candidates_.clear();
  auto mark = [&](uint32_t id) {
    uint64_t bit = uint64_t{1} << (id & 63);
    if (scan.marks_[id >> 6] & bit) return;
    scan.marks_[id >> 6] |= bit;
    scan.candidates_.push_back(id);
  };
  const uint32_t* table = set.automaton.table.data();
  const uint8_t* classes = set.automaton.classes.data();
  const uint32_t stride = set.automaton.stride;
  uint32_t state = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (state == 0) at = set.starts.next(text.data(), at, text.size());
    if (at >= text.size()) break;
    uint32_t next = table[state + classes[static_cast<unsigned char>(text[at])]];
    state = next & ~kHit;
    if (next == state) [[likely]]
      continue;
    for (uint32_t number = state / stride; number != 0; number = set.automaton.shorter[number]) {
      if (set.automaton.atom[number] < 0) continue;
      uint32_t atom = static_cast<uint32_t>(set.automaton.atom[number]);
      uint64_t bit = uint64_t{1} << (atom & 63);
      if (scan.atoms_seen_[atom >> 6] & bit) continue;
      scan.atoms_seen_[atom >> 6] |= bit;
      scan.atoms_.push_back(atom);
      if (set.special[atom]) {
        for (uint32_t id : set.filtered_regexes) mark(id);
      }
      for (uint32_t i = set.users_from[atom]; i < set.users_from[atom + 1]; ++i) mark(set.users[i]);
    }
  }
}

bool PatternSet::matches(uint32_t id, std::string_view text, const PatternScan& scan) const {
  TAMIS_ASSERT(id < impl_->tests.size());
  const Impl::Test& test = impl_->tests[id];
  if (!test.always) {
    if (!scan.marked(id)) return false;
    if (test.exact) return true;
  }
  return impl_->confirm(id, text);
}

bool PatternSet::matches_singly(uint32_t id, std::string_view text) const {
  TAMIS_ASSERT(id < impl_->tests.size());
  return impl_->confirm(id, text);
}

std::span<const uint32_t> PatternSet::always() const { return impl_->always; }
size_t PatternSet::size() const { return impl_->tests.size(); }
size_t PatternSet::table_bytes() const { return impl_->automaton.table.size() * sizeof(uint32_t); }

}  // namespace tamis::cel
