// The commands of the `tamis` binary: each is declared here, lives in its own file, and is added by main.
//
// Exit codes, for all: 0 done and good; 1 done, and the answer is no (diagnostics, failed tests, refused lines);
// 2 not done: bad arguments or an error of the system; 130 interrupted.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}
namespace tamis::base {
struct LineFaults;
}
namespace tamis::policy {
struct Loaded;
}
namespace tamis::replay {
struct Recovered;
}

namespace tamis::app {

// The longest line of a file of events that a command reads.
inline constexpr size_t kLineBytesMax = 16 << 20;

inline constexpr int kGood = 0, kNo = 1, kFailed = 2, kInterrupted = 130;

// Adds its options to `app` and returns what to run when it was chosen. The returned function gives the exit code.
using Command = std::function<int()>;

Command add_check(CLI::App& app);
Command add_test(CLI::App& app);
Command add_replay(CLI::App& app);
Command add_cel(CLI::App& app);
Command add_explain(CLI::App& app);
Command add_serve(CLI::App& app);
Command add_top(CLI::App& app);
Command add_bench(CLI::App& app);
Command add_token(CLI::App& app);
Command add_demo(CLI::App& app);
Command add_import(CLI::App& app);
Command add_backtest(CLI::App& app);
Command add_find(CLI::App& app);
Command add_act(CLI::App& app);
Command add_undo(CLI::App& app);
Command add_batches(CLI::App& app);
Command add_outbox(CLI::App& app);
Command add_query(CLI::App& app);
Command add_digest(CLI::App& app);
Command add_verify(CLI::App& app);
Command add_why(CLI::App& app);
Command add_release(CLI::App& app);
Command add_erase(CLI::App& app);
Command add_label(CLI::App& app);
Command add_list(CLI::App& app);
Command add_truth(CLI::App& app);
Command add_policy(CLI::App& app);
Command add_audit(CLI::App& app);
Command add_retain(CLI::App& app);
Command add_mail(CLI::App& app);
Command add_train(CLI::App& app);
Command add_clusters(CLI::App& app);
Command add_eval(CLI::App& app);
Command add_version(CLI::App& app);
Command add_completion(CLI::App& app, const CLI::App& root);

// Says on stderr what went wrong, as "tamis: MESSAGE", and returns `code`.
int complain(const std::string& message, int code = kFailed);

// Shows on stderr what is wrong with the policy in `folder`, each with a path that can be opened from here.
void print_diagnostics(const policy::Loaded& loaded, const std::string& folder);

// Says on stderr which lines of a table were passed over, if there were any: the first of them, and how many. `of` is
// what the lines are.
void print_faults(const base::LineFaults& faults, const std::string& of);

// Says on stderr how the recovery of the data folder went, if there was anything to it.
void print_recovery(const replay::Recovered& recovered, const std::string& data);

// True after SIGINT or SIGTERM; install() once at the start of a command that can be interrupted.
class Interrupt {
 public:
  static void install();
  static bool requested();
  static bool reload_requested();  // SIGHUP since the last call
};

extern const char* const kVersion;

}  // namespace tamis::app
