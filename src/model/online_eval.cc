#include "model/online_eval.h"

#include <ctime>
#include <deque>
#include <vector>

#include "base/file.h"
#include "base/hash.h"

#include <fmt/format.h>

namespace tamis::model {
namespace {

constexpr size_t kIndexBytesMax = size_t{1} << 30;

double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

struct Learned {
  std::vector<FeatureId> features;
  bool spam;
};

}  // namespace

base::Result<std::vector<IndexRow>> read_index(const std::string& index, uint64_t limit) {
  TAMIS_TRY(text, base::read_file(index, kIndexBytesMax));
  std::vector<IndexRow> rows;
  size_t line_number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++line_number;
    if (line.empty()) continue;
    const size_t tab = line.find('\t');
    const std::string_view rest = tab == std::string_view::npos ? std::string_view{} : line.substr(tab + 1);
    const std::string_view label = rest.substr(0, rest.find('\t'));
    if (tab == 0 || (label != "ham" && label != "spam")) {
      return base::invalid(
          fmt::format("{}:{}: expected path, label (ham or spam) and order, parted by tabs", index, line_number));
    }
    rows.push_back({std::string(line.substr(0, tab)), label == "spam"});
    if (limit > 0 && rows.size() == limit) break;
  }
  return rows;
}

base::Result<EvalSummary> evaluate_online(const EvalOptions& options, const FindFeatures& find, SpamModel& model) {
  TAMIS_TRY(rows, read_index(options.index, options.limit));
  EvalSummary summary;
  FeatureCollector collector;
  SpamModel::Scratch scratch;
  std::deque<Learned> waiting;
  std::string out;
  uint64_t learned = 0;
  for (uint64_t i = 0; i < rows.size(); ++i) {
    TAMIS_TRY(message, base::read_file(options.root + "/" + rows[i].path, kMessageBytesMax));
    const bool spam = rows[i].spam;
    const double begin = cpu_us();
    find(message, collector);
    const FeatureSpan features = collector.finish();
    const bool tested = options.split == 0 || i >= options.split;
    if (tested) {
      const SpamScore score = model.score(features, scratch);
      const double used = cpu_us() - begin;
      summary.classify_us += used;
      ++summary.tested;
      summary.ham_as_spam += score.spam && !spam;
      summary.spam_as_ham += !score.spam && spam;
      out += fmt::format("{}\t{}\t{:.5f}\t{}\t{:.0f}", rows[i].path, spam ? "spam" : "ham", score.logit,
                         score.spam ? "spam" : "ham", used);
      if (options.opinions) {
        for (const float opinion : score.opinions) out += fmt::format("\t{:.4f}", opinion);
      }
      out += '\n';
    }
    if (options.split > 0 && i >= options.split) continue;
    const bool poisoned = base::mix64(i) % 1'000 < options.poison_per_mille;
    waiting.push_back({{features.begin(), features.end()}, spam != poisoned});
    // Within the part that is only learned there is no late feedback: all of it is known before the test begins.
    while (waiting.size() > (options.split > 0 ? 0 : options.delay)) {
      const double learning = cpu_us();
      TAMIS_CHECK(model.learn(0, waiting.front().features, waiting.front().spam));
      summary.learn_us += cpu_us() - learning;
      ++learned;
      waiting.pop_front();
    }
  }
  if (summary.tested > 0) summary.classify_us /= static_cast<double>(summary.tested);
  if (learned > 0) summary.learn_us /= static_cast<double>(learned);
  TAMIS_CHECK(base::write_file_atomically(options.out, out));
  return summary;
}

}  // namespace tamis::model
