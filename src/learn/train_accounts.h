// Trains the head over the signup detector: decision trees that read what the detector says of a signup
// (detect::SignupFeature) and know what was found to be bad later.
//
// The head must not only know the campaigns that it was shown. So every kind of campaign is judged by trees that have
// seen none of that kind, and the scale on which trees and detector are combined is set by those judgements alone.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/signup_clusters.h"
#include "event/json_writer.h"
#include "learn/boost.h"

namespace tamis::learn {

struct SignupRow {
  std::array<float, detect::kSignupFeatures> feature{};
  float log_odds = 0;  // the detector's own, without a head
  bool is_bad = false;
  std::string kind;  // of campaign, or of honest people
  // Honest people who look like a campaign teach, but neither set the scale nor the threshold.
  bool is_apart = false;
};

// Rates among signups of kinds that the trees had not seen.
struct HeadKind {
  std::string kind;
  bool is_bad = false;
  size_t rows = 0;
  // Share above the threshold that one in a thousand honest signups exceeds: of the detector alone, of the trees alone
  // and of both.
  double detector = 0, trees = 0, both = 0;
};
struct HeadReport {
  std::string model;  // for model::Trees
  size_t rows = 0, bad = 0, trees = 0;
  double factor = 1, shift = 0;
  std::vector<HeadKind> kinds;
};

// At least so many kinds of campaign, since each is judged by trees that saw only others, and so many honest signups,
// for the scale is set by the one in a thousand.
inline constexpr size_t kTrainKindsMin = 3, kTrainHonestMin = 1000;
// `keep_going` gets (trained, all) before each part of the training; false stops, which is an error (kUnavailable).
// Errors: too few rows or kinds, or the training library is not there.
using TrainProgress = std::function<bool(size_t, size_t)>;
base::Result<HeadReport> train_account_head(std::span<const SignupRow> rows, const BoostOptions& options = {},
                                            const TrainProgress& keep_going = {});

// What is known of an account: bad or not, of which kind. Null: nothing, the account is left out.
struct AccountTruth {
  bool is_bad = false;
  std::string kind;
};
using TruthOf = std::function<const AccountTruth*(std::string_view account)>;
// Runs the detector over events (JSON lines, in the order of time) and collects its rows.
base::Status collect_signup_rows(std::string_view events_path, std::string_view intel_path, const TruthOf& truth,
                                 std::vector<SignupRow>& rows);

// All of it, from files. Each directory holds events.jsonl, labels_accounts.csv (acct,bad,campaign,group,created_ms;
// also below labels/) and, if there is one, ip_intel.csv.
struct TrainAccountsOptions {
  std::vector<std::string> directories;
  std::vector<std::string> without;  // kinds of accounts to leave out: those that give no sign at signup teach nothing
  std::vector<std::string> apart;    // kinds of honest people of whom there are more than anywhere: SignupRow::is_apart
  BoostOptions boost;
};
base::Result<HeadReport> train_accounts(const TrainAccountsOptions& options);

// A table of what head and detector find, for people; and for programs, as an array of
// {"kind","bad","signups","detector","trees","both"}.
std::string head_table(const HeadReport& report);
void write_kinds(event::JsonWriter& json, const HeadReport& report);

}  // namespace tamis::learn
