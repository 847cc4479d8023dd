// What people find out about one login, and what is remembered of it until then.
#include <bit>
#include <cstring>
#include <vector>

#include "detect/login_impl.h"
#include "detect/signup_facts.h"

namespace tamis::detect {
namespace {

// What a login that was somebody else's counts beside an attempt, among those of other accounts. Of each account once
// as long as it is remembered: nobody makes the clients of others look odd by his own account alone.
constexpr float kOfConfirmed = 2;

// How the values of a remembered login lie under its mask.
struct Shown {
  uint64_t values_key = 0;
  std::array<uint32_t, kLogAttributes> value{};
  float log_odds = 0;
  uint32_t net = 0;
};
using Words = std::array<uint64_t, 8>;
static_assert(sizeof(Shown) == sizeof(Words));

constexpr uint64_t kToFind = 0x746f5f66696e6400;  // apart from the key that names of accounts are hashed under

}  // namespace

uint64_t LoginRiskImpl::key_of_event(std::string_view event) const {
  return base::siphash128({options_.key[0] ^ kToFind, options_.key[1]}, event)[0] | 1u;
}

void LoginRiskImpl::mask(std::string_view event, Words& words) const {
  for (size_t i = 0; i < words.size(); i += 2) {
    const auto pad = base::siphash128({options_.key[0] ^ (kToFind + 1 + i), options_.key[1]}, event);
    words[i] ^= pad[0], words[i + 1] ^= pad[1];
  }
}

void LoginRiskImpl::remember(std::string_view event, const LoginFacts& f, float log_odds) {
  if (event.empty()) return;
  RememberedLogin& r = remembered_.at(key_of_event(event), [](const RememberedLogin& other) { return other.t_ms; });
  r = {f.t_ms, f.account, std::bit_cast<Words>(Shown{f.values_key, f.value, log_odds, uint32_t(f.net)}), 0};
  mask(event, r.masked);
}

bool LoginRiskImpl::truth(std::string_view event, Truth truth, int64_t t_ms) {
  decay(t_ms);
  RememberedLogin* r = remembered_.change(key_of_event(event));
  if (r == nullptr) return false;
  Words words = r->masked;
  mask(event, words);
  const auto shown = std::bit_cast<Shown>(words);
  if (shown.net >= kNetClasses) return false;  // of another event, whose hash collides
  if (r->told == uint64_t(truth)) return true;
  r->told = uint64_t(truth);
  LoginFacts f;
  f.t_ms = now_ms_, f.account = r->account, f.values_key = shown.values_key, f.value = shown.value;
  f.net = static_cast<NetClass>(shown.net);
  if (truth == Truth::kGood) learn_owner(f);
  if (truth == Truth::kBad) disown(f, shown.log_odds);
  if (truth != Truth::kNone) return true;
  if (Profile* p = find_profile(f.account); p != nullptr) {
    for (Profile::Pending& q : p->pending)
      if (q.t_ms != 0 && is_same_client(q, own_values(f))) q.flags &= uint8_t(~Profile::kDisowned);
  }
  return true;
}

void LoginRiskImpl::learn_owner(const LoginFacts& f) {
  Profile* p = find_profile(f.account);
  if (p == nullptr) return;
  const OwnValues value = own_values(f);
  for (Profile::Pending& q : p->pending)
    if (q.t_ms != 0 && is_same_client(q, value)) q = {};
  teach(*p, value, 1);
  if (value[kLogFamily] != 0) bind(*p, f);
}

// What waits to be learned is not; what was learned of it by now, since nobody spoke against it, is taken back. The
// client is kept in mind, so that it is not taken for a new one.
void LoginRiskImpl::disown(const LoginFacts& f, float log_odds) {
  Profile* p = find_profile(f.account);
  if (p == nullptr) return;
  const OwnValues value = own_values(f);
  bool was_told = false;
  Profile::Pending* waits = nullptr;
  for (Profile::Pending& q : p->pending) {
    if (q.t_ms == 0) continue;
    was_told = was_told || q.has(Profile::kDisowned);
    if (is_same_client(q, value)) waits = &q;
  }
  if (!was_told) touch_campaign(f, kOfConfirmed);
  if (waits == nullptr) {
    unlearn(*p, value);
    waits = &place_to_wait(*p);
    *waits = {};
    waits->value = value, waits->log_odds = log_odds, waits->net = f.net;
  }
  waits->t_ms = now_ms_;
  waits->flags |= Profile::kDisowned | Profile::kDenied;
}

void LoginRiskImpl::unlearn(Profile& p, const OwnValues& value) {
  p.events = std::max(0.0f, p.events - 1);
  for (size_t a = 0; a < p.known.size(); ++a) {
    for (Profile::Entry& e : p.known[a]) {
      if (value[a] == 0 || e.value != value[a] || e.count <= 0) continue;
      e.count = std::max(0.0f, e.count - 1);
      if (e.count > 0) continue;
      e = {};
      p.distinct[a] = std::max(0.0f, p.distinct[a] - 1);
    }
  }
  for (Profile::Binding& b : p.bindings)
    if (b.cookie != 0 && b.cookie == value[kLogCookie] && b.device == value[kLogDevice]) b = {};
}

bool LoginRiskImpl::erase(std::string_view account) {
  const uint64_t key = account_keys(options_.key, account).find;
  const uint32_t* place = index_.find(key);
  if (place == nullptr) return false;
  release(*place);
  index_.remove(key);
  std::vector<uint64_t> events;
  remembered_.for_each([&](uint64_t event, const RememberedLogin& r) {
    if (r.account == key) events.push_back(event);
  });
  for (const uint64_t event : events) remembered_.remove(event);
  return true;
}

}  // namespace tamis::detect
