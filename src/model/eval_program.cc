#include "model/eval_program.h"

#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/file.h"
#include "model/online_eval.h"

namespace tamis::model {
namespace {

constexpr const char* kUsage =
    "flags: --online --index INDEX.tsv --root DIR --out SCORES.tsv\n"
    "  [--split K] [--delay N] [--limit N] [--fresh | --model FILE] [--save FILE] [--card TEXT] [--opinions]\n"
    "  [--without LEARNER]... [--poison PER_MILLE] [--replays N] [--examples N] [--slots-log2 N]\n"
    "  [--mixer-reach-tenths N]\n";

constexpr size_t kModelBytesMax = size_t{1} << 30;

struct Command {
  EvalOptions eval;
  SpamOptions model;
  std::string model_file;
  std::string save_file;
  std::string card;
};

bool read_number(std::string_view text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool leave_out(std::string_view name, SpamOptions& options) {
  for (size_t i = 0; i < kLearners; ++i) {
    if (learner_name(static_cast<Learner>(i)) != name) continue;
    options.learners &= ~(1u << i);
    return true;
  }
  return false;
}

bool set(Command& command, std::string_view flag, std::string_view value) {
  uint64_t number = 0;
  if (flag == "--index") return command.eval.index = value, true;
  if (flag == "--root") return command.eval.root = value, true;
  if (flag == "--out") return command.eval.out = value, true;
  if (flag == "--model") return command.model_file = value, true;
  if (flag == "--save") return command.save_file = value, true;
  if (flag == "--card") return command.card = value, true;
  if (flag == "--without") return leave_out(value, command.model);
  if (!read_number(value, number)) return false;
  if (flag == "--split") return command.eval.split = number, true;
  if (flag == "--delay") return command.eval.delay = number, true;
  if (flag == "--poison" && number <= 1'000) return command.eval.poison_per_mille = static_cast<uint32_t>(number), true;
  if (flag == "--limit") return command.eval.limit = number, true;
  if (number > 32'768) return false;
  const auto small = static_cast<uint32_t>(number);
  if (flag == "--replays") return command.model.replays = small, true;
  if (flag == "--examples" && small >= 16) return command.model.examples_max = small, true;
  if (flag == "--mixer-reach-tenths") return command.model.mixer_reach = static_cast<float>(small) / 10, true;
  if (flag == "--slots-log2" && small >= 8 && small <= 22) return command.model.slots_log2 = small, true;
  return false;
}

bool read_command(int count, char** words, Command& command) {
  for (int i = 1; i < count; ++i) {
    const std::string_view flag = words[i];
    if (flag == "--online" || flag == "--fresh") continue;
    if (flag == "--opinions") {
      command.eval.opinions = true;
    } else if (i + 1 >= count || !set(command, flag, words[++i])) {
      std::fprintf(stderr, "cannot use %s\n", words[i]);
      return false;
    }
  }
  return !command.eval.index.empty() && !command.eval.root.empty() && !command.eval.out.empty();
}

base::Status run(const Command& command, const FindFeatures& find) {
  SpamModel model(command.model);
  if (!command.model_file.empty()) {
    TAMIS_TRY(bytes, base::read_file(command.model_file, kModelBytesMax));
    TAMIS_TRY(loaded, SpamModel::load(bytes));
    model = std::move(loaded.model);
  }
  TAMIS_TRY(summary, evaluate_online(command.eval, find, model));
  const auto count = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf(
      "tested %llu, ham as spam %llu, spam as ham %llu, errors %llu, classify %.0f us, learn %.0f us, model %.1f MB\n",
      count(summary.tested), count(summary.ham_as_spam), count(summary.spam_as_ham),
      count(summary.ham_as_spam + summary.spam_as_ham), summary.classify_us, summary.learn_us,
      static_cast<double>(model.memory_bytes()) / 1e6);
  if (command.save_file.empty()) return {};
  return base::write_file_atomically(command.save_file, model.save(command.card, false));
}

}  // namespace

int run_eval_program(int count, char** words, const FindFeatures& find) {
  Command command;
  if (!read_command(count, words, command)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  if (const auto done = run(command, find); !done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}

}  // namespace tamis::model
