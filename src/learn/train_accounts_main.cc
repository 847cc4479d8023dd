// learn_train_accounts: trains the head over the signup detector from events and truth in files.
//
//   learn_train_accounts --out MODEL [--without KIND,...] DIR...
// Each DIR holds events.jsonl, labels_accounts.csv (acct,bad,campaign,group,created_ms) and, if there is one,
// ip_intel.csv. Kinds of campaign that give no sign at signup (sleepers) teach nothing: leave them out.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "learn/train_accounts.h"

namespace {

using tamis::learn::AccountTruth;

std::map<std::string, AccountTruth, std::less<>> read_truth(const std::string& path, const std::string& without) {
  std::map<std::string, AccountTruth, std::less<>> truth;
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    std::stringstream fields(line);
    std::string account, bad, campaign, kind;
    std::getline(fields, account, ',');
    std::getline(fields, bad, ',');
    std::getline(fields, campaign, ',');
    std::getline(fields, kind, ',');
    if (!account.empty() && ("," + without + ",").find("," + kind + ",") == std::string::npos)
      truth[account] = {bad == "1", kind};
  }
  return truth;
}

int fail(const std::string& message) {
  std::fprintf(stderr, "learn_train_accounts: %s\n", message.c_str());
  return 1;
}

}  // namespace

int main(int count, char** words) {
  std::string out, without;
  std::vector<std::string> directories;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if ((word == "--out" || word == "--without") && i + 1 < count)
      (word == "--out" ? out : without) = words[i + 1], ++i;
    else
      directories.emplace_back(word);
  }
  if (out.empty() || directories.empty())
    return fail("usage: learn_train_accounts --out MODEL [--without KIND,...] DIR...");
  std::vector<tamis::learn::SignupRow> rows;
  for (const std::string& directory : directories) {
    std::string labels = directory + "/labels_accounts.csv";
    if (!std::ifstream(labels)) labels = directory + "/labels/labels_accounts.csv";
    const auto truth = read_truth(labels, without);
    if (truth.empty()) return fail(labels + ": no truth");
    const std::string intel = directory + "/ip_intel.csv";
    const auto collected = tamis::learn::collect_signup_rows(
        directory + "/events.jsonl", std::ifstream(intel) ? intel : std::string(),
        [&](std::string_view account) -> const AccountTruth* {
          const auto found = truth.find(account);
          return found == truth.end() ? nullptr : &found->second;
        },
        rows);
    if (!collected) return fail(collected.error().message);
  }
  const auto report = tamis::learn::train_account_head(rows);
  if (!report) return fail(report.error().message);
  std::ofstream file(out);
  file << report->model;
  file.close();
  if (!file) return fail(out + ": cannot be written");
  std::printf("%zu signups, %zu of them bad; %zu trees\n\n%s", report->rows, report->bad, report->trees,
              tamis::learn::head_table(*report).c_str());
  return 0;
}
