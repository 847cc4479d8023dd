#include "app/mail_eval.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <deque>

#include <unistd.h>

#include "app/command.h"
#include "base/file.h"
#include "base/hash.h"
#include "door/mail_text.h"
#include "mail/ascii.h"

#include <fmt/format.h>

namespace tamis::app {
namespace {

constexpr size_t kIndexBytesMax = size_t{1} << 30;
constexpr size_t kMessageBytesMax = size_t{64} << 20;
constexpr double kUnixTimeMin = 1e8;  // a smaller order is a rank, not a time
constexpr int64_t kRankMs = 60'000;
constexpr int64_t kFirstMs = 1'000'000'000'000;

struct Row {
  std::string path;
  bool spam = false;
  double order = 0;
  size_t line = 0;  // of the index
};

std::string path_of(const MailEvalOptions& options, const Row& row) {
  return row.path.starts_with('/') ? row.path : options.root + "/" + row.path;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), mail::to_lower);
  return out;
}

// Before hours of work, not after them.
base::Status all_there(const MailEvalOptions& options, const std::vector<Row>& rows) {
  const Row* first = nullptr;
  size_t gone = 0;
  for (const Row& row : rows) {
    if (::access(path_of(options, row).c_str(), R_OK) == 0) continue;
    if (first == nullptr) first = &row;
    ++gone;
  }
  if (gone == 0) return {};
  const std::string others = gone > 1 ? fmt::format(", nor {} others", gone - 1) : "";
  return base::fail(base::Code::kNotFound,
                    fmt::format("{}:{}: cannot open {}{} (--root {}); nothing was judged", options.index, first->line,
                                path_of(options, *first), others, options.root));
}

base::Result<std::vector<Row>> read_index(const MailEvalOptions& options) {
  TAMIS_TRY(text, base::read_file(options.index, kIndexBytesMax));
  std::vector<Row> rows;
  size_t number = 0;
  for (size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    const size_t tab = line.find('\t');
    const std::string_view rest = tab == std::string_view::npos ? std::string_view{} : line.substr(tab + 1);
    const std::string label = lower(rest.substr(0, rest.find('\t')));
    if (number == 1 && label == "label") continue;  // the names of the columns
    if (tab == 0 || (label != "ham" && label != "spam")) {
      return base::invalid(
          fmt::format("{}:{}: expected path, label (ham or spam) and order, parted by tabs", options.index, number));
    }
    Row row{std::string(line.substr(0, tab)), label == "spam", 0, number};
    if (rest.size() > label.size()) {
      std::string_view order = rest.substr(label.size() + 1);
      order = order.substr(0, order.find('\t'));
      const auto read = std::from_chars(order.data(), order.data() + order.size(), row.order);
      if (read.ec != std::errc() || read.ptr != order.data() + order.size()) {
        return base::invalid(fmt::format("{}:{}: the order '{}' is no number: expected Unix time or a rank",
                                         options.index, number, order.substr(0, 40)));
      }
    }
    rows.push_back(std::move(row));
    if (options.limit > 0 && rows.size() == options.limit) break;
  }
  if (rows.empty()) return base::invalid(options.index + " names no message");
  if (options.split && *options.split >= rows.size()) {
    return base::invalid(fmt::format("--split {} leaves none of the {} messages of {} to test", *options.split,
                                     rows.size(), options.index));
  }
  return rows;
}

double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

struct Told {
  uint64_t key;
  std::vector<model::FeatureId> features;
  bool spam;
};

class Eval {
 public:
  explicit Eval(const MailEvalOptions& options) : options_(options) {}

  base::Result<MailEvalSummary> run() {
    TAMIS_TRY(rows, read_index(options_));
    TAMIS_TRY(setup, MailSetup::open(options_.setup));
    TAMIS_CHECK(all_there(options_, rows));
    setup_ = std::move(setup);
    for (uint64_t i = 0; i < rows.size(); ++i) {
      TAMIS_CHECK(take(rows[i], i));
      if (Interrupt::requested()) return base::fail(base::Code::kUnavailable, "interrupted; no scores are written");
    }
    if (summary_.tested > 0) summary_.scan_us /= static_cast<double>(summary_.tested);
    if (learned_ > 0) summary_.learn_us /= static_cast<double>(learned_);
    if (options_.out == "-") {
      if (std::fwrite(out_.data(), 1, out_.size(), stdout) != out_.size() || std::fflush(stdout) != 0)
        return base::fail(base::Code::kUnavailable, "standard output does not take the scores");
    } else {
      TAMIS_CHECK(base::write_file_atomically(options_.out, out_));
    }
    return summary_;
  }

 private:
  base::Status take(const Row& row, uint64_t i) {
    auto read = base::read_file(path_of(options_, row), kMessageBytesMax);
    if (!read) {
      return base::fail(read.error().code, fmt::format("{}:{}: {} (--root {})", options_.index, row.line,
                                                       read.error().message, options_.root));
    }
    std::string message = std::move(*read);
    // The engine's time is that of the corpus: an order that is no Unix time stands for a minute each.
    now_ms_ = std::max(now_ms_, row.order >= kUnixTimeMin ? static_cast<int64_t>(row.order * 1000)
                                                          : kFirstMs + static_cast<int64_t>(i) * kRankMs);
    setup_->set_now_ms(now_ms_);
    const bool learning_only = options_.split && i < *options_.split;
    if (learning_only) {
      work_.filter.read(message);
    } else {
      TAMIS_CHECK(test(row, i, std::move(message)));
    }
    if (options_.split && !learning_only) return {};
    const model::FeatureSpan features = work_.filter.features();
    waiting_.push_back({base::mix64(i + 1) | 1, {features.begin(), features.end()}, row.spam});
    // Within the part that is only learned nothing comes late: all of it is known before the test begins.
    while (waiting_.size() > (options_.split ? 0 : options_.delay)) TAMIS_CHECK(learn_oldest());
    return {};
  }

  base::Status test(const Row& row, uint64_t i, std::string message) {
    request_.message = std::move(message);
    const double begin = cpu_us();
    auto verdict = setup_->mail().scan_now(work_, request_, false, fmt::format("eval-{}", i));
    const double used = cpu_us() - begin;
    if (!verdict) return base::fail(verdict.error().code, row.path + ": " + verdict.error().message);
    const bool spam = door::is_spam(*verdict);
    ++summary_.tested;
    summary_.scan_us += used;
    summary_.ham_as_spam += spam && !row.spam;
    summary_.spam_as_ham += !spam && row.spam;
    out_ += fmt::format("{}\t{}\t{:.5f}\t{}\t{:.0f}\n", row.path, row.spam ? "spam" : "ham", verdict->points,
                        spam ? "spam" : "ham", used);
    return {};
  }

  base::Status learn_oldest() {
    const Told& told = waiting_.front();
    const double begin = cpu_us();
    const auto label = told.spam ? learn::MailLabel::kSpam : learn::MailLabel::kHam;
    auto learned = setup_->mail().learner().learn_soon(told.key, told.features, label, "index", {}, now_ms_);
    if (!learned) return tl::unexpected(learned.error());
    summary_.learn_us += cpu_us() - begin;
    ++learned_;
    waiting_.pop_front();
    return {};
  }

  const MailEvalOptions& options_;
  std::unique_ptr<MailSetup> setup_;
  door::MailService::Work work_;
  door::MailRequest request_;
  std::deque<Told> waiting_;
  MailEvalSummary summary_;
  std::string out_;
  int64_t now_ms_ = 0;
  uint64_t learned_ = 0;
};

}  // namespace

base::Result<MailEvalSummary> eval_mail(const MailEvalOptions& options) { return Eval(options).run(); }

}  // namespace tamis::app
