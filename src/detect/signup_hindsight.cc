// What hindsight makes of the clusters: campaigns that met in one are told apart, and pieces of one campaign, which
// began in several places, are put together.
#include <algorithm>
#include <array>
#include <limits>

#include "detect/signup_impl.h"
#include "detect/signup_parts.h"

namespace tamis::detect {
namespace {

constexpr double kDayMs = 8.64e7;
constexpr size_t kPieceLeast = 4;      // members of a piece
constexpr size_t kPiecesMax = 256;     // that are compared with each other
constexpr size_t kComparedMax = 1000;  // members of a piece
constexpr size_t kAskedMax = 40;       // of these, how many a model is asked about
constexpr double kViewShared = 0.7;    // log-odds of a view that count as shared, on average over the members
constexpr double kAlike = 4;           // of all views that speak for it together

// Members that came to one number, with what they look like together.
struct Piece {
  uint64_t number = 0;
  std::vector<const SignupFacts*> members;
  std::vector<std::pair<const SignupFacts*, Expected>> asked;
  ClusterModel model;
  int64_t first_ms = std::numeric_limits<int64_t>::max(), last_ms = 0;
};

// Spread evenly over all of them.
std::vector<const SignupFacts*> some_of(const std::vector<const SignupFacts*>& members, size_t most) {
  if (members.size() <= most) return members;
  std::vector<const SignupFacts*> some;
  for (size_t i = 0; i < most; ++i) some.push_back(members[i * members.size() / most]);
  return some;
}

class Joining {
 public:
  explicit Joining(const Background& background) : background_(background) {}

  void add(uint64_t number, const std::vector<const SignupFacts*>& members) {
    if (members.size() < kPieceLeast) return;
    Piece& piece = pieces_.emplace_back();
    piece.number = number;
    piece.members = some_of(members, kComparedMax);
  }

  // The number of the campaign that a piece belongs to, for those that are not the largest of theirs.
  std::unordered_map<uint64_t, uint64_t> run() {
    std::stable_sort(pieces_.begin(), pieces_.end(),
                     [](const Piece& a, const Piece& b) { return a.members.size() > b.members.size(); });
    if (pieces_.size() > kPiecesMax) pieces_.resize(kPiecesMax);
    std::unordered_map<uint64_t, uint64_t> joined;
    std::vector<Piece*> wholes;
    for (Piece& piece : pieces_) {
      learn(piece, piece);
      for (const SignupFacts* facts : some_of(piece.members, kAskedMax))
        piece.asked.emplace_back(facts, expected_of(background_, *facts, background_keys(*facts)));
      const auto whole = std::find_if(wholes.begin(), wholes.end(), [&](const Piece* w) { return is_of(piece, *w); });
      if (whole == wholes.end()) {
        wholes.push_back(&piece);
        continue;
      }
      joined.emplace(piece.number, (*whole)->number);
      learn(piece, **whole);
      auto& all = (*whole)->members;
      all.insert(all.end(), piece.members.begin(), piece.members.end());
      all = some_of(all, kComparedMax);
    }
    return joined;
  }

 private:
  void learn(const Piece& from, Piece& to) const {
    for (const SignupFacts* facts : from.members) {
      const Expected expected = expected_of(background_, *facts, background_keys(*facts));
      to.model.add(*facts, expected, to.model.likelihood(*facts, expected), 1);
      to.first_ms = std::min(to.first_ms, facts->t_ms);
      to.last_ms = std::max(to.last_ms, facts->t_ms);
    }
  }

  // It goes on at the same time, looks like the other's members in two views, and differs from them in one thing only.
  bool is_of(const Piece& piece, const Piece& whole) const {
    const double gap_ms = double(std::max(piece.first_ms - whole.last_ms, whole.first_ms - piece.last_ms));
    if (gap_ms > kDayMs) return false;
    std::array<double, kViews> view{};
    for (const auto& [facts, expected] : piece.asked) {
      const Likelihood likelihood = whole.model.likelihood(*facts, expected);
      for (size_t v = 0; v < kViews; ++v) view[v] += static_cast<double>(likelihood.view[v]);
    }
    double total = 0;
    int shared = 0;
    for (double v : view) {
      v /= static_cast<double>(piece.asked.size());
      total += std::max(v, 0.0);
      shared += v > kViewShared;
    }
    return shared >= 2 && total > kAlike && !are_apart(whole.members, piece.members);
  }

  const Background& background_;
  std::vector<Piece> pieces_;
};

}  // namespace

ClusterParts SignupClustersImpl::parts() const {
  std::vector<std::vector<const SignupFacts*>> members(clusters_.size());
  for (uint64_t number = next_ - accounts_.size(); number < next_; ++number) {
    const Account& a = at(number);
    const Cluster* c = cluster_of(a.cluster);
    if (c == nullptr) continue;
    auto& of = members[(a.cluster & 0xffff) - 1];
    if (of.size() < kPartedMax) of.push_back(&a.facts);
  }
  ClusterParts out;
  Joining joining(background_);
  for (size_t place = 0; place < members.size(); ++place) {
    const Cluster& c = clusters_[place];
    const std::vector<uint32_t> parts = part_members(members[place]);
    std::vector<std::vector<const SignupFacts*>> pieces;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (pieces.size() <= parts[i]) pieces.resize(parts[i] + 1);
      pieces[parts[i]].push_back(members[place][i]);
      if (parts[i] != 0) out.number.emplace(members[place][i]->account, c.id + parts[i] * ClusterParts::kPartNumbers);
    }
    // What nothing is held against is no campaign, and so no piece of one.
    if (is_suppressed(c) || guilt_of(c) <= 0) continue;
    for (size_t k = 0; k < pieces.size(); ++k) joining.add(c.id + k * ClusterParts::kPartNumbers, pieces[k]);
  }
  out.joined = joining.run();
  return out;
}

}  // namespace tamis::detect
