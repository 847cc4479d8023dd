#include "door/train_accounts.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "event/json_writer.h"
#include "learn/train_accounts.h"

namespace tamis::door {
namespace {

constexpr size_t kOwnKinds = 16;        // clusters that are a kind of their own
constexpr size_t kOwnKindMembers = 10;  // bad signups at least

std::vector<learn::SignupRow> rows_of(const replay::PastSignups& past) {
  std::map<uint64_t, size_t> sizes;
  for (const replay::PastSignup& s : past.rows) {
    if (s.is_bad && s.cluster != 0) ++sizes[s.cluster];
  }
  std::vector<std::pair<size_t, uint64_t>> largest;
  for (const auto& [cluster, size] : sizes) {
    if (size >= kOwnKindMembers) largest.emplace_back(size, cluster);
  }
  std::sort(largest.begin(), largest.end(), std::greater<>());
  if (largest.size() > kOwnKinds) largest.resize(kOwnKinds);
  std::set<uint64_t> own;
  for (const auto& [size, cluster] : largest) own.insert(cluster);
  std::vector<learn::SignupRow> rows;
  rows.reserve(past.rows.size());
  for (const replay::PastSignup& s : past.rows) {
    learn::SignupRow& row = rows.emplace_back(learn::SignupRow{s.feature, s.log_odds, s.is_bad, {}});
    row.kind = !s.is_bad                   ? std::string(detect::net_class_name(s.net))
               : own.count(s.cluster) != 0 ? "cluster " + std::to_string(s.cluster)
               : s.cluster != 0            ? "small clusters"
                                           : "no cluster";
  }
  return rows;
}

struct Counts {
  size_t bad = 0, good = 0, kinds = 0;
};
Counts counts_of(const std::vector<learn::SignupRow>& rows) {
  Counts counts;
  std::set<std::string> kinds;
  for (const learn::SignupRow& row : rows) {
    ++(row.is_bad ? counts.bad : counts.good);
    if (row.is_bad) kinds.insert(row.kind);
  }
  counts.kinds = kinds.size();
  return counts;
}

std::string gone_text(const replay::PastSignups& past) {
  std::string names;
  for (const std::string& name : past.gone_names) names += (names.empty() ? "" : ", ") + name;
  return std::to_string(past.gone) +
         " with truth cannot be used, since values that the detector reads are not kept any more (" + names + ")";
}

// What there is, and what would help.
std::string too_little(const replay::PastSignups& past, const Counts& counts, bool unknown_is_good) {
  std::string text = "too little truth to train on: of " + std::to_string(past.signups) + " signups " +
                     std::to_string(counts.bad) + " are known to be bad, of " + std::to_string(counts.kinds) +
                     " kinds (clusters), and " + std::to_string(counts.good) + " to be good; it takes " +
                     std::to_string(learn::kTrainKindsMin) + " kinds and " + std::to_string(learn::kTrainHonestMin) +
                     " good ones";
  if (past.gone > 0) text += "; " + gone_text(past);
  if (counts.kinds < learn::kTrainKindsMin) text += "; confirm clusters, or tell truth of accounts";
  if (counts.good < learn::kTrainHonestMin && past.untold > 0 && !unknown_is_good) {
    text += "; of " + std::to_string(past.untold) +
            " nobody has told anything: with unknown_is_good (--unknown-is-good) those count as good";
  }
  return text;
}

}  // namespace

base::Result<std::string> train_accounts(const replay::PastSignupsRequest& request, const learn::BoostOptions& boost,
                                         const std::function<bool(uint64_t, uint64_t)>& keep_going) {
  TAMIS_CHECK(learn::boost_available());
  TAMIS_TRY(past, replay::past_signups(request, keep_going));
  const std::vector<learn::SignupRow> rows = rows_of(past);
  const Counts counts = counts_of(rows);
  if (counts.kinds < learn::kTrainKindsMin || counts.good < learn::kTrainHonestMin) {
    return base::invalid(too_little(past, counts, request.unknown_is_good));
  }
  TAMIS_TRY(report, learn::train_account_head(
                        rows, boost, [&](size_t done, size_t all) { return !keep_going || keep_going(done, all); }));
  std::string out;
  event::JsonWriter json(out);
  json.begin_object().key("policy").string(request.policy->version);
  json.key("signups").uinteger(past.signups).key("used").uinteger(rows.size());
  json.key("bad").uinteger(counts.bad).key("good").uinteger(counts.good);
  json.key("untold").uinteger(past.untold).key("gone").uinteger(past.gone).key("gone_values").begin_array();
  for (const std::string& name : past.gone_names) json.string(name);
  json.end_array().key("trees").uinteger(report.trees).key("kinds");
  learn::write_kinds(json, report);
  json.key("model").string(report.model).end_object();
  return out;
}

}  // namespace tamis::door
