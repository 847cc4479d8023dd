#include "door/challenge.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "action/digest.h"

namespace tamis::door {
namespace {

constexpr std::string_view kVersion = "tamis1";
constexpr size_t kTextBytesMax = 512;
constexpr size_t kParts = 7;  // version, bits, count, expiry, nonce, binding, seal

// In a form in which no two different things are the same text.
std::string binding_of(const ChallengeFor& what) {
  std::string all;
  for (const std::string* text : {&what.on, &what.value, &what.type, &what.id}) {
    all += std::to_string(text->size()) + ":" + *text;
  }
  return action::sha256_hex(all).substr(0, 32);
}

bool parts_of(std::string_view text, std::array<std::string_view, kParts>& parts) {
  if (text.size() > kTextBytesMax) return false;
  for (size_t i = 0; i < kParts; ++i) {
    const size_t end = i + 1 < kParts ? text.find('.') : text.size();
    if (end == std::string_view::npos) return false;
    parts[i] = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts[0] == kVersion;
}

template <class Number>
bool number_of(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// In a time that does not tell where they differ.
bool same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char differs = 0;
  for (size_t i = 0; i < a.size(); ++i) differs |= static_cast<unsigned char>(a[i] ^ b[i]);
  return differs == 0;
}

}  // namespace

bool is_solution(std::string_view text, uint32_t i, uint64_t n, uint32_t bits) {
  std::string whole(text);
  whole += ":" + std::to_string(i) + ":" + std::to_string(n);
  const std::string hash = action::sha256_hex(whole);
  uint32_t zeros = 0;
  for (char c : hash) {
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (digit == 0) {
      zeros += 4;
      continue;
    }
    for (int mask = 8; (digit & mask) == 0; mask >>= 1) ++zeros;
    break;
  }
  return zeros >= bits;
}

std::string_view name_of(Challenges::Outcome outcome) {
  constexpr std::string_view kNames[] = {"passed", "foreign", "other", "expired", "wrong", "repeated", "full"};
  return kNames[static_cast<size_t>(outcome)];
}

Challenges::Challenges(const ChallengeOptions& options) : options_(options), key_(action::random_hex(32)) {
  options_.bits_max = std::clamp(options_.bits_max, 1u, kBitsMax);
  options_.bits_min = std::clamp(options_.bits_min, 1u, options_.bits_max);
  options_.count = std::clamp(options_.count, 1u, kCountMax);
}

Challenge Challenges::issue(const ChallengeFor& what, double risk, int64_t now_ms) {
  const double part = risk > 0 ? std::min(risk, 1.0) : 0;  // what is no number is no risk
  Challenge out;
  out.count = options_.count;
  out.bits = options_.bits_min + static_cast<uint32_t>(std::lround(part * (options_.bits_max - options_.bits_min)));
  out.expires_ms = now_ms + options_.lasts_ms;
  out.text = std::string(kVersion) + "." + std::to_string(out.bits) + "." + std::to_string(out.count) + "." +
             std::to_string(out.expires_ms) + "." + action::random_hex(16) + "." + binding_of(what);
  out.text += "." + action::hmac_sha256_hex(key_, out.text);
  ++issued_;
  return out;
}

Challenges::Outcome Challenges::verify(std::string_view text, std::span<const uint64_t> solution,
                                       const ChallengeFor& what, int64_t now_ms) {
  std::array<std::string_view, kParts> parts;
  if (!parts_of(text, parts)) return Outcome::kForeign;
  const std::string_view sealed = text.substr(0, text.size() - parts[6].size() - 1);
  if (!same(parts[6], action::hmac_sha256_hex(key_, sealed))) return Outcome::kForeign;
  uint32_t bits = 0, count = 0;
  int64_t expires_ms = 0;
  if (!number_of(parts[1], bits) || !number_of(parts[2], count) || !number_of(parts[3], expires_ms)) {
    return Outcome::kForeign;
  }
  if (!same(parts[5], binding_of(what))) return Outcome::kOther;
  if (now_ms >= expires_ms) return Outcome::kExpired;
  if (solution.size() != count) return Outcome::kWrong;
  for (uint32_t i = 0; i < count; ++i) {
    if (!is_solution(text, i, solution[i], bits)) return Outcome::kWrong;
  }
  std::lock_guard lock(mutex_);
  while (!until_.empty() && until_.front().first <= now_ms) {
    known_.erase(until_.front().second);
    until_.pop_front();
  }
  const std::string seal(parts[6].substr(0, 32));
  if (known_.count(seal) != 0) return Outcome::kRepeated;
  if (known_.size() >= options_.solved_max) return Outcome::kFull;
  known_.insert(seal);
  // Later than its own expiry by what is left of the longest, so that the first in the row is the first to go.
  until_.emplace_back(now_ms + options_.lasts_ms, seal);
  ++solved_;
  return Outcome::kPassed;
}

}  // namespace tamis::door
