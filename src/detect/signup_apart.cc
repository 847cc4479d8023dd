// Tells campaigns apart that met in one cluster, while they go on: of its latest members, a little of the work after
// each signup.
//
// Of which members, and how much of the work, is the same wherever events run; a snapshot holds what is compared and
// how far that is, and a restored detector does it over.
#include <algorithm>
#include <cmath>
#include <utility>

#include "detect/signup_impl.h"

namespace tamis::detect {
namespace {

constexpr uint32_t kLookEvery = 32;  // members of a cluster
constexpr size_t kLookWork = 128;    // comparisons of a member after each signup
constexpr float kLogMax = 100;       // of a time in milliseconds
constexpr double kFirstMembers = 3;  // of a cluster that is told anew, which it does not predict

}  // namespace

// Begins to compare the cluster's latest members if that is due and no others are compared.
void SignupClustersImpl::look_if_due(ClusterRef ref) {
  const Cluster* c = cluster_of(ref);
  if (look_.split != nullptr || c == nullptr || c->unlooked < kLookEvery) return;
  change_cluster(ref)->unlooked = 0;
  look_.cluster = ref;
  for (size_t i = 0; i < kLatest; ++i) {
    const uint32_t number = c->latest[(c->latest_next + i) % kLatest];
    if (number == 0 || !is_live(number - 1) || at(number - 1).cluster != ref) continue;
    look_.numbers.push_back(number);
    look_.rows.push_back(SplitRow::of(at(number - 1).facts));
  }
  look_.split = std::make_unique<Splitting>(look_.rows);
}

void SignupClustersImpl::look_on() {
  if (look_.split == nullptr) return;
  ++look_.steps;
  if (!look_.split->work(kLookWork)) return;
  const Look look = std::exchange(look_, Look{});
  if (!look.split->sides().empty()) part(look);
}

void SignupClustersImpl::forget_look(uint64_t number) {
  const auto found = std::find(look_.numbers.begin(), look_.numbers.end(), number + 1);
  if (found == look_.numbers.end()) return;
  if (Cluster* c = change_cluster(look_.cluster)) c->unlooked = kLookEvery;
  look_ = Look{};
}

// The larger side goes on as the cluster, the other one as a new one. Both are told anew: each must prove itself.
void SignupClustersImpl::part(const Look& look) {
  const Cluster* c = cluster_of(look.cluster);
  if (c == nullptr) return;
  const std::vector<uint8_t>& side = look.split->sides();
  const auto ones = static_cast<size_t>(std::count(side.begin(), side.end(), 1));
  const uint8_t leaving = 2 * ones > side.size() ? 0 : 1;
  std::vector<uint32_t> stay, leave, late;
  const auto is_member = [&](uint32_t number) {
    return number != 0 && is_live(number - 1) && at(number - 1).cluster == look.cluster;
  };
  for (size_t i = 0; i < side.size(); ++i)
    if (is_member(look.numbers[i])) (side[i] == leaving ? leave : stay).push_back(look.numbers[i] - 1);
  for (size_t i = 0; i < kLatest; ++i) {
    const uint32_t number = c->latest[(c->latest_next + i) % kLatest];
    if (is_member(number) && std::find(look.numbers.begin(), look.numbers.end(), number) == look.numbers.end())
      late.push_back(number - 1);
  }
  if (std::min(stay.size(), leave.size()) < Splitting::kLeast) return;
  const Cluster whole = *c;
  const ClusterRef other = free_place();
  if (cluster_of(look.cluster) == nullptr) return;  // it was the one that made room
  Cluster& rest = *change_cluster(look.cluster);
  rest = whole;
  rest.model = ClusterModel{};
  rest.fast = rest.slow = rest.joined = 0;
  rest.view = {}, rest.by_class = {}, rest.last = {}, rest.latest = {};
  retell(rest, stay);
  Cluster& part = *change_cluster(other);
  part.born_ms = now_ms_;
  part.first_ms = part.last_ms = at(leave.front()).facts.t_ms;
  part.is_confirmed = whole.is_confirmed, part.suppressed_until_ms = whole.suppressed_until_ms;
  for (uint32_t number : leave) hand_over(number, other);
  retell(part, leave);
  // Who joined while the others were compared goes where he fits better.
  for (uint32_t number : late) {
    const SignupFacts& facts = at(number).facts;
    const Expected expected = expected_of(background_, facts, background_keys(facts));
    const bool leaves = part.model.likelihood(facts, expected).total > rest.model.likelihood(facts, expected).total;
    if (leaves) hand_over(number, other);
    retell(leaves ? part : rest, {number});
  }
  rest.unlooked = part.unlooked = 0;
}

// It stays reached since when it was.
void SignupClustersImpl::hand_over(uint32_t number, ClusterRef to) {
  Account& a = change(number);
  const int64_t reached = reached_ms(a);
  if (reached != 0) a.reached = a.moment(reached);
  a.cluster = to;
}

void SignupClustersImpl::retell(Cluster& c, const std::vector<uint32_t>& numbers) {
  for (uint32_t number : numbers) {
    const SignupFacts& facts = at(number).facts;
    const Expected expected = expected_of(background_, facts, background_keys(facts));
    Match m;
    m.likelihood = c.model.likelihood(facts, expected);
    join(c, facts, number, expected, m, 1, c.model.members() >= kFirstMembers);
    for (uint64_t key : signup_keys(facts).key)
      if (KeyEntry* e = key == 0 ? nullptr : keys_.change(key)) e->cluster = c.ref;
  }
}

void SignupClustersImpl::put_look(std::string& out) const {
  state::put_number(out, look_.cluster);
  state::put_number(out, look_.steps);
  state::put_number(out, static_cast<uint32_t>(look_.numbers.size()));
  for (size_t i = 0; i < look_.numbers.size(); ++i) {
    state::put_number(out, look_.numbers[i]);
    state::put_number(out, look_.rows[i]);
  }
}

bool SignupClustersImpl::read_look(state::ByteReader& in) {
  look_ = Look{};
  look_.cluster = in.number<ClusterRef>();
  look_.steps = in.number<uint64_t>();
  const auto size = in.number<uint32_t>();
  if (!in.ok() || size > kLatest) return false;
  for (uint32_t i = 0; i < size; ++i) {
    look_.numbers.push_back(in.number<uint32_t>());
    look_.rows.push_back(in.number<SplitRow>());
    for (float x : look_.rows.back().x)
      if (!(std::abs(x) < kLogMax)) return false;
  }
  if (!in.ok()) return false;
  if (look_.cluster == 0) return size == 0;
  look_.split = std::make_unique<Splitting>(look_.rows);
  for (uint64_t i = 0; i < look_.steps && !look_.split->is_done(); ++i) look_.split->work(kLookWork);
  return true;
}

}  // namespace tamis::detect
