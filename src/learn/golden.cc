#include "learn/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "learn/mail_memory.h"

#include <fmt/format.h>

namespace tamis::learn {
namespace {

constexpr std::string_view kMagic = "TAMISGO1";
constexpr size_t kTextBytesMax = 1024;

void put_number(uint64_t value, size_t bytes, std::string& out) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}
void put_text(std::string_view text, std::string& out) {
  text = text.substr(0, kTextBytesMax);
  put_number(text.size(), 2, out);
  out += text;
}

// Reads from the front of bytes; `good` turns false at their end.
struct Reading {
  std::string_view bytes;
  bool good = true;
  std::string_view text(size_t count) {
    good = good && count <= bytes.size();
    if (!good) return {};
    const std::string_view out = bytes.substr(0, count);
    bytes.remove_prefix(count);
    return out;
  }
  uint64_t number(size_t count) {
    uint64_t value = 0;
    size_t place = 0;
    for (const char c : text(count)) value |= static_cast<uint64_t>(static_cast<unsigned char>(c)) << (8 * place++);
    return value;
  }
};

}  // namespace

void GoldenSet::put(uint64_t key, model::FeatureSpan features, bool spam) {
  (void)remove(key);
  const auto same = static_cast<size_t>(
      std::count_if(messages_.begin(), messages_.end(), [&](const Message& m) { return m.spam == spam; }));
  if (same >= kEachMax) {
    const auto oldest =
        std::find_if(messages_.begin(), messages_.end(), [&](const Message& m) { return m.spam == spam; });
    known_.erase(oldest->key);
    messages_.erase(oldest);
  }
  messages_.push_back({key, spam, {features.begin(), features.end()}});
  known_[key] = spam;
}

bool GoldenSet::remove(uint64_t key) {
  if (known_.erase(key) == 0) return false;
  std::erase_if(messages_, [&](const Message& m) { return m.key == key; });
  return true;
}

std::optional<bool> GoldenSet::is_spam(uint64_t key) const {
  const auto found = known_.find(key);
  return found == known_.end() ? std::nullopt : std::optional<bool>(found->second);
}

GoldenResult GoldenSet::counts() const {
  GoldenResult result;
  for (const Message& message : messages_) ++(message.spam ? result.spam : result.ham);
  return result;
}

GoldenResult GoldenSet::judge(const model::SpamModel& model, model::SpamModel::Scratch& scratch) const {
  GoldenResult result = counts();
  for (const Message& message : messages_) {
    const bool said = model.score(message.features, scratch).spam;
    if (said != message.spam) ++(message.spam ? result.spam_as_ham : result.ham_as_spam);
  }
  return result;
}

void GoldenSet::note(GoldenRefusal refusal) {
  if (refusals_.size() >= kRefusalsMax) refusals_.pop_front();
  refusals_.push_back(std::move(refusal));
}

bool GoldenSet::forget_reporter(std::string_view reporter) {
  bool found = false;
  for (GoldenRefusal& refusal : refusals_) {
    if (refusal.reporter != reporter) continue;
    refusal.reporter = "(erased)";
    found = true;
  }
  return found;
}

std::string GoldenSet::save() const {
  std::string out(kMagic);
  put_number(messages_.size(), 4, out);
  for (const Message& message : messages_) {
    put_number(message.key, 8, out);
    put_number(message.spam ? 1 : 0, 1, out);
    append_features(message.features, out);
  }
  put_number(refusals_.size(), 4, out);
  for (const GoldenRefusal& refusal : refusals_) {
    put_number(static_cast<uint64_t>(refusal.time_ms), 8, out);
    put_number(refusal.messages, 8, out);
    put_number(refusal.was_learned ? 1 : 0, 1, out);
    put_text(refusal.reporter, out);
    put_text(refusal.why, out);
  }
  put_number(base::hash64(out), 8, out);
  return out;
}

base::Result<GoldenSet> GoldenSet::load(std::string_view bytes) {
  const auto broken = [] { return base::invalid("this is no golden set, or it is damaged"); };
  if (bytes.size() < kMagic.size() + 16 || bytes.substr(0, kMagic.size()) != kMagic) return broken();
  Reading sum{bytes.substr(bytes.size() - 8)};
  bytes.remove_suffix(8);
  if (sum.number(8) != base::hash64(bytes)) return broken();
  Reading in{bytes.substr(kMagic.size())};
  GoldenSet set;
  std::vector<model::FeatureId> features;
  const uint64_t messages = in.number(4);
  if (messages > 2 * kEachMax) return broken();
  for (uint64_t i = 0; i < messages; ++i) {
    const uint64_t key = in.number(8);
    const uint64_t spam = in.number(1);
    if (!in.good || spam > 1 || !read_features(in.bytes, features) || set.is_spam(key)) return broken();
    set.put(key, features, spam == 1);
  }
  const uint64_t refusals = in.number(4);
  if (!in.good || refusals > kRefusalsMax) return broken();
  for (uint64_t i = 0; i < refusals; ++i) {
    GoldenRefusal refusal;
    refusal.time_ms = static_cast<int64_t>(in.number(8));
    refusal.messages = in.number(8);
    refusal.was_learned = in.number(1) != 0;
    refusal.reporter = in.text(in.number(2));
    refusal.why = in.text(in.number(2));
    if (!in.good) return broken();
    set.refusals_.push_back(std::move(refusal));
  }
  if (!in.bytes.empty()) return broken();
  return set;
}

namespace {

// Errors of `after` beyond those of `before` by more than two standard deviations and by more than one message.
bool worse(uint64_t before, uint64_t after) {
  const double allowed = static_cast<double>(before) + 1 + 2 * std::sqrt(static_cast<double>(before));
  return static_cast<double>(after) > allowed;
}

}  // namespace

GoldenVerdict judge_batch(const GoldenResult& before, const GoldenResult& after) {
  GoldenVerdict verdict;
  const auto note = [&](std::string_view what, uint64_t was, uint64_t is, uint64_t of) {
    if (!worse(was, is)) return;
    verdict.accepted = false;
    if (!verdict.why.empty()) verdict.why += "; ";
    verdict.why += fmt::format("{} went from {} to {} of {} in the golden set", what, was, is, of);
  };
  note("wanted mail taken for spam", before.ham_as_spam, after.ham_as_spam, after.ham);
  note("spam not recognised", before.spam_as_ham, after.spam_as_ham, after.spam);
  return verdict;
}

}  // namespace tamis::learn
