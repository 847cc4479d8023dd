#include "learn/train_accounts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "base/hash.h"
#include "detect/account_json.h"
#include "model/trees.h"

namespace tamis::learn {
namespace {

using detect::kSignupFeatures;

std::vector<std::string> feature_names() {
  std::vector<std::string> names;
  for (int f = 0; f < kSignupFeatures; ++f) names.emplace_back(signup_feature_name(detect::SignupFeature(f)));
  return names;
}

base::Result<model::Trees> train_on(std::span<const SignupRow> rows, const std::vector<bool>& use,
                                    const BoostOptions& options, std::string* text) {
  std::vector<float> numbers, truth;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!use[i]) continue;
    numbers.insert(numbers.end(), rows[i].feature.begin(), rows[i].feature.end());
    truth.push_back(rows[i].is_bad ? 1.0f : 0.0f);
  }
  TAMIS_TRY(trained, boost(feature_names(), numbers, truth, options));
  if (text != nullptr) *text = trained;
  return model::Trees::parse(trained);
}

// The value that the share of the honest exceeds.
double quantile(std::vector<double> honest, double share) {
  std::sort(honest.begin(), honest.end(), std::greater<>());
  return honest[std::min(honest.size() - 1, static_cast<size_t>(share * double(honest.size())))];
}

double noisy_or(double a, double b) {
  const double pa = 1 / (1 + std::exp(a)), pb = 1 / (1 + std::exp(b));  // of being honest
  const double honest = std::clamp(pa * pb, 1e-12, 1 - 1e-12);
  return std::log((1 - honest) / honest);
}

std::string exact(double number) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.17g", number);
  return text;
}

}  // namespace

base::Result<HeadReport> train_account_head(std::span<const SignupRow> rows, const BoostOptions& options,
                                            const TrainProgress& keep_going) {
  HeadReport report;
  std::map<std::string, HeadKind> kinds;
  for (const SignupRow& row : rows) {
    HeadKind& kind = kinds[(row.is_bad ? "b/" : "h/") + row.kind];
    kind.kind = row.kind, kind.is_bad = row.is_bad;
    ++kind.rows;
    report.bad += row.is_bad;
  }
  report.rows = rows.size();
  const auto bad_kinds =
      static_cast<size_t>(std::count_if(kinds.begin(), kinds.end(), [](const auto& k) { return k.second.is_bad; }));
  if (bad_kinds < kTrainKindsMin || rows.size() - report.bad < kTrainHonestMin)
    return base::invalid("training needs at least three kinds of campaign and a thousand honest signups, found " +
                         std::to_string(bad_kinds) + " and " + std::to_string(rows.size() - report.bad));
  const auto go_on = [&](size_t trained) { return !keep_going || keep_going(trained, bad_kinds + 1); };
  const auto stopped = [] { return base::fail(base::Code::kUnavailable, "stopped before the end"); };
  // Honest signups are dealt out among the kinds of campaign by a hash; each part is judged by trees without it.
  std::vector<double> head(rows.size());
  size_t fold = 0;
  std::map<std::string, size_t> fold_of;
  for (const auto& [name, kind] : kinds)
    if (kind.is_bad) fold_of[kind.kind] = fold++;
  const auto part_of = [&](size_t i) {
    return rows[i].is_bad ? fold_of[rows[i].kind] : base::mix64(i / 16) % fold_of.size();
  };
  for (size_t part = 0; part < fold_of.size(); ++part) {
    std::vector<bool> use(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) use[i] = part_of(i) != part;
    if (!go_on(part)) return stopped();
    TAMIS_TRY(trees, train_on(rows, use, options, nullptr));
    for (size_t i = 0; i < rows.size(); ++i)
      if (!use[i]) head[i] = static_cast<double>(trees.score(rows[i].feature));
  }
  // Where the detector's score is exceeded by as many honest signups as the trees' is, both mean the same.
  std::vector<double> honest_own, honest_head;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].is_bad || rows[i].is_apart) continue;
    honest_own.push_back(static_cast<double>(rows[i].log_odds));
    honest_head.push_back(head[i]);
  }
  const double own_rare = quantile(honest_own, 0.0005), own_less = quantile(honest_own, 0.005);
  const double head_rare = quantile(honest_head, 0.0005), head_less = quantile(honest_head, 0.005);
  report.factor = std::clamp((own_rare - own_less) / std::max(head_rare - head_less, 0.1), 0.1, 3.0);
  report.shift = own_rare - report.factor * head_rare;

  std::vector<double> both(rows.size()), honest_both;
  for (size_t i = 0; i < rows.size(); ++i) {
    both[i] = noisy_or(static_cast<double>(rows[i].log_odds), report.factor * head[i] + report.shift);
    if (!rows[i].is_bad && !rows[i].is_apart) honest_both.push_back(both[i]);
  }
  const double own_at = quantile(honest_own, 0.001), head_at = quantile(honest_head, 0.001),
               both_at = quantile(honest_both, 0.001);
  for (size_t i = 0; i < rows.size(); ++i) {
    HeadKind& kind = kinds[(rows[i].is_bad ? "b/" : "h/") + rows[i].kind];
    const double one = 1 / double(kind.rows);
    kind.detector += one * (static_cast<double>(rows[i].log_odds) > own_at);
    kind.trees += one * (head[i] > head_at);
    kind.both += one * (both[i] > both_at);
  }
  for (const auto& [name, kind] : kinds) report.kinds.push_back(kind);

  if (!go_on(bad_kinds)) return stopped();
  TAMIS_TRY(trees, train_on(rows, std::vector<bool>(rows.size(), true), options, &report.model));
  report.trees = trees.trees();
  const size_t base_line = report.model.find("\nbase ");
  report.model.insert(report.model.find('\n', base_line + 1) + 1,
                      "scale " + exact(report.factor) + " " + exact(report.shift) + "\n");
  TAMIS_CHECK(model::Trees::parse(report.model));
  return report;
}

base::Status collect_signup_rows(std::string_view events_path, std::string_view intel_path, const TruthOf& truth,
                                 std::vector<SignupRow>& rows) {
  detect::AccountJsonReader reader;
  if (!intel_path.empty()) {
    std::ifstream in{std::string(intel_path)};
    std::stringstream text;
    text << in.rdbuf();
    if (!in) return base::fail(base::Code::kNotFound, std::string(intel_path) + ": cannot be read");
    TAMIS_CHECK(reader.load_intel(text.str()));
  }
  std::ifstream events{std::string(events_path)};
  if (!events) return base::fail(base::Code::kNotFound, std::string(events_path) + ": cannot be read");
  const auto clusters = detect::SignupClusters::make();
  size_t number = 0;
  for (std::string line; std::getline(events, line);) {
    ++number;
    auto read = reader.read(line);
    if (!read)
      return base::invalid(std::string(events_path) + ", line " + std::to_string(number) + ": " + read.error().message);
    if (const auto* s = std::get_if<detect::Signup>(&read->event)) {
      const detect::SignupScore score = clusters->signup(*s);
      const AccountTruth* known = truth(s->account);
      if (known == nullptr) continue;
      rows.push_back({score.feature, score.log_odds, known->is_bad, known->kind});
    } else if (const auto* m = std::get_if<detect::Send>(&read->event)) {
      clusters->send(*m);
    } else if (const auto* f = std::get_if<detect::Feedback>(&read->event)) {
      clusters->feedback(*f);
    } else if (const auto* p = std::get_if<detect::Payment>(&read->event)) {
      clusters->payment(*p);
    } else if (const auto* l = std::get_if<detect::Login>(&read->event)) {
      clusters->login(*l);
    }
  }
  return {};
}

namespace {

using Truth = std::map<std::string, AccountTruth, std::less<>>;

base::Result<Truth> read_truth(const std::string& directory, const std::vector<std::string>& without) {
  Truth truth;
  std::ifstream in(directory + "/labels_accounts.csv");
  if (!in) in = std::ifstream(directory + "/labels/labels_accounts.csv");
  std::string line;
  if (!in || !std::getline(in, line) || line.substr(0, 24) != "acct,bad,campaign,group,")
    return base::invalid(directory + "/labels_accounts.csv: expected a table with acct,bad,campaign,group,created_ms");
  while (std::getline(in, line)) {
    std::stringstream fields(line);
    std::array<std::string, 4> f;
    for (std::string& field : f) std::getline(fields, field, ',');
    if (f[0].empty() || (f[1] != "0" && f[1] != "1"))
      return base::invalid(directory + "/labels_accounts.csv: expected an account and 0 or 1, found \"" +
                           line.substr(0, 80) + "\"");
    if (std::find(without.begin(), without.end(), f[3]) == without.end()) truth[f[0]] = {f[1] == "1", f[3]};
  }
  return truth;
}

}  // namespace

base::Result<HeadReport> train_accounts(const TrainAccountsOptions& options) {
  TAMIS_CHECK(boost_available());
  std::vector<SignupRow> rows;
  for (const std::string& directory : options.directories) {
    TAMIS_TRY(truth, read_truth(directory, options.without));
    const std::string intel = directory + "/ip_intel.csv";
    const auto truth_of = [&truth](std::string_view account) -> const AccountTruth* {
      const auto found = truth.find(account);
      return found == truth.end() ? nullptr : &found->second;
    };
    TAMIS_CHECK(
        collect_signup_rows(directory + "/events.jsonl", std::ifstream(intel) ? intel : std::string(), truth_of, rows));
  }
  const auto& apart = options.apart;
  for (SignupRow& row : rows) row.is_apart = std::find(apart.begin(), apart.end(), row.kind) != apart.end();
  return train_account_head(rows, options.boost);
}

void write_kinds(event::JsonWriter& json, const HeadReport& report) {
  json.begin_array();
  for (const HeadKind& kind : report.kinds) {
    json.begin_object().key("kind").string(kind.kind).key("bad").boolean(kind.is_bad);
    json.key("signups").uinteger(kind.rows).key("detector").real(kind.detector);
    json.key("trees").real(kind.trees).key("both").real(kind.both).end_object();
  }
  json.end_array();
}

std::string head_table(const HeadReport& report) {
  std::string out = "| kind, left out of training | n | detector | trees | both |\n|---|---|---|---|---|\n";
  for (const HeadKind& k : report.kinds) {
    char line[200];
    std::snprintf(line, sizeof(line),
                  k.is_bad ? "| %s | %zu | %.2f | %.2f | %.2f |\n" : "| %s | %zu | %.2f %% | %.2f %% | %.2f %% |\n",
                  k.kind.c_str(), k.rows, k.is_bad ? k.detector : 100 * k.detector, k.is_bad ? k.trees : 100 * k.trees,
                  k.is_bad ? k.both : 100 * k.both);
    out += line;
  }
  return out;
}

}  // namespace tamis::learn
