#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "state/list_matchers.h"

namespace tamis::state {

namespace {

// So many new patterns are tried one by one before all are compiled together again.
constexpr size_t kLooseMax = 16;

RE2::Options quiet() {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(64 << 20);
  return options;
}

}  // namespace

struct RegexMatcher::Impl {
  std::map<uint32_t, std::unique_ptr<RE2>> patterns;
  std::unordered_map<std::string, uint32_t> by_text;
  std::unique_ptr<RE2::Set> set;  // of those in `members`, or null
  std::vector<uint32_t> members;
  std::vector<uint32_t> loose;    // not in the set
  mutable std::vector<int> hits;  // scratch

  void compile() {
    if (loose.size() < kLooseMax) return;
    set = std::make_unique<RE2::Set>(quiet(), RE2::UNANCHORED);
    members.clear();
    for (const auto& [number, pattern] : patterns) {
      if (set->Add(pattern->pattern(), nullptr) < 0) continue;  // cannot be: it has compiled on its own
      members.push_back(number);
    }
    loose.clear();
    if (set->Compile()) return;
    set.reset();  // out of memory: one by one
    loose = std::move(members);
    members.clear();
  }
};

RegexMatcher::RegexMatcher() : impl_(std::make_unique<Impl>()) {}
RegexMatcher::~RegexMatcher() = default;

base::Result<std::string> RegexMatcher::canonical(std::string_view text) {
  RE2 pattern(re2::StringPiece(text.data(), text.size()), quiet());
  if (!pattern.ok()) return base::invalid("\"" + std::string(text.substr(0, 100)) + "\": " + pattern.error());
  return std::string(text);
}

base::Status RegexMatcher::insert(const ListEntries& entries, uint32_t number) {
  std::string_view text = entries.text(number);
  auto pattern = std::make_unique<RE2>(re2::StringPiece(text.data(), text.size()), quiet());
  if (!pattern->ok()) return base::invalid(pattern->error());
  impl_->patterns[number] = std::move(pattern);
  impl_->by_text[std::string(text)] = number;
  impl_->loose.push_back(number);
  return {};
}

void RegexMatcher::erase(const ListEntries& entries, uint32_t number) {
  impl_->by_text.erase(std::string(entries.text(number)));
  impl_->patterns.erase(number);  // a member of the set without a pattern counts no more
  std::erase(impl_->loose, number);
  for (uint32_t& member : impl_->members) {
    if (member == number) member = ListEntries::kNone;
  }
}

uint32_t RegexMatcher::find_exact(const ListEntries&, std::string_view key) const {
  auto found = impl_->by_text.find(std::string(key));
  return found == impl_->by_text.end() ? ListEntries::kNone : found->second;
}

uint32_t RegexMatcher::match(const ListEntries& entries, Value value, int64_t now_ms) const {
  if (!value.is(event::Kind::kString)) return ListEntries::kNone;
  impl_->compile();  // so that many entries added in a row are compiled once
  re2::StringPiece text(value.text, value.size);
  auto matches = [&](uint32_t number) {
    auto found = impl_->patterns.find(number);
    return found != impl_->patterns.end() && entries.live(number, now_ms) && RE2::PartialMatch(text, *found->second);
  };
  if (impl_->set != nullptr) {
    RE2::Set::ErrorInfo error{};
    impl_->hits.clear();
    if (impl_->set->Match(text, &impl_->hits, &error)) {
      std::sort(impl_->hits.begin(), impl_->hits.end());
      for (int hit : impl_->hits) {
        uint32_t number = impl_->members[static_cast<size_t>(hit)];
        if (number != ListEntries::kNone && entries.live(number, now_ms)) return number;
      }
    } else if (error.kind != RE2::Set::kNoError) {  // the automaton ran out of memory on this text
      for (uint32_t number : impl_->members) {
        if (matches(number)) return number;
      }
    }
  }
  for (uint32_t number : impl_->loose) {
    if (matches(number)) return number;
  }
  return ListEntries::kNone;
}

}  // namespace tamis::state
