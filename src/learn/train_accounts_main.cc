// learn_train_accounts: trains the head over the signup detector from events and truth in files.
//
//   learn_train_accounts --out MODEL [--without KIND]... [--apart KIND]... DIR...
//
// --without: accounts of these kinds are left out. --apart: honest people of these kinds teach, but set neither the
// scale nor the threshold.
#include <cstdio>
#include <string_view>

#include "base/file.h"
#include "learn/train_accounts.h"

int main(int count, char** words) {
  tamis::learn::TrainAccountsOptions options;
  std::string out;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--out" && i + 1 < count)
      out = words[++i];
    else if (word == "--without" && i + 1 < count)
      options.without.emplace_back(words[++i]);
    else if (word == "--apart" && i + 1 < count)
      options.apart.emplace_back(words[++i]);
    else
      options.directories.emplace_back(word);
  }
  if (out.empty() || options.directories.empty()) {
    std::fprintf(stderr, "usage: learn_train_accounts --out MODEL [--without KIND]... [--apart KIND]... DIR...\n");
    return 2;
  }
  const auto report = tamis::learn::train_accounts(options);
  if (!report) {
    std::fprintf(stderr, "%s\n", report.error().message.c_str());
    return 1;
  }
  if (const auto written = tamis::base::write_file_atomically(out, report->model); !written) {
    std::fprintf(stderr, "%s\n", written.error().message.c_str());
    return 1;
  }
  std::printf("%zu signups, %zu of them bad; %zu trees\n\n%s", report->rows, report->bad, report->trees,
              tamis::learn::head_table(*report).c_str());
  return 0;
}
