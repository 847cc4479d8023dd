#include "app/train_accounts.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/file.h"
#include "learn/train_accounts.h"

namespace tamis::app {
namespace {

struct Options {
  learn::TrainAccountsOptions train;
  std::string out;
};

int run(const Options& options) {
  const auto report = learn::train_accounts(options.train);
  if (!report) return complain(report.error().message);
  if (const auto written = base::write_file_atomically(options.out, report->model); !written) {
    return complain(written.error().message);
  }
  std::printf("%zu signups, %zu of them bad; %zu trees\n\n%s", report->rows, report->bad, report->trees,
              learn::head_table(*report).c_str());
  return kGood;
}

}  // namespace

Command add_train_accounts(CLI::App& train) {
  auto options = std::make_shared<Options>();
  CLI::App* accounts =
      train.add_subcommand("accounts", "Train the head over the signup detector from events and truth");
  accounts
      ->add_option("directories", options->train.directories,
                   "Directories with events.jsonl, labels_accounts.csv and ip_intel.csv")
      ->required()
      ->check(CLI::ExistingDirectory);
  accounts->add_option("--out", options->out, "File to write the trees to")->required();
  accounts->add_option("--without", options->train.without, "A kind of account to leave out; repeat for more");
  accounts->add_option("--rounds", options->train.boost.rounds, "Trees")
      ->check(CLI::Range(1, 5000))
      ->capture_default_str();
  accounts->add_option("--depth", options->train.boost.depth, "Depth of a tree")
      ->check(CLI::Range(1, 12))
      ->capture_default_str();
  return [options] { return run(*options); };
}

}  // namespace tamis::app
