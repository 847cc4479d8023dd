// learn_mail_poison INDEX.tsv ROOT: what liars among the reporters cost, with and without the weights of reporters.
//
// Each message of the corpus is classified, then reported: by one of a hundred people who told the truth twenty times
// before, or, one in a hundred, by one of five strangers who always lie. One report in ten is confirmed or refuted
// later. Printed is the recall at the same false-positive rates when nobody lies, when every report teaches, and when
// a report teaches with the chance of its weight.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "learn/message_features.h"
#include "learn/reporters.h"
#include "model/online_eval.h"
#include "model/spam_model.h"

namespace tamis::learn {
namespace {

struct Message {
  std::vector<model::FeatureId> features;
  bool spam = false;
};
enum class Trial { kHonest, kHonestWeighed, kLiars, kLiarsWeighed };

constexpr uint64_t kMinuteMs = 60'000;

double chance(uint64_t number, uint64_t seed) {
  return static_cast<double>(base::mix64(number * 31 + seed) >> 11) * 0x1p-53;
}

void run(const std::vector<Message>& messages, Trial trial, uint64_t seed, std::vector<float> (&scores)[2]) {
  model::SpamModel model;
  model::SpamModel::Scratch scratch;
  learn::Reporters reporters;
  for (uint64_t honest = 1; honest <= 100; ++honest) {
    for (int i = 0; i < 20; ++i) reporters.confirm(honest, true);
  }
  for (uint64_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const float logit = model.score(message.features, scratch).logit;
    scores[message.spam].push_back(logit);
    const bool lies = trial >= Trial::kLiars && chance(i, seed) < 0.01;
    const uint64_t reporter = lies ? 1'000 + base::mix64(i) % 5 : 1 + base::mix64(i) % 100;
    const learn::Report report{reporter, 0, 0, static_cast<int64_t>(i * 10 * kMinuteMs),
                               message.spam != lies ? -logit : logit};
    const bool weighs = trial == Trial::kHonestWeighed || trial == Trial::kLiarsWeighed;
    const float weight = weighs ? reporters.weight_of(report) : 1;
    if (chance(i, seed + 1) < static_cast<double>(weight)) (void)model.learn(0, message.features, message.spam != lies);
    if (chance(i, seed + 2) < 0.1) reporters.confirm(reporter, !lies);
  }
}

double recall_at(std::vector<float> (&scores)[2], double false_positives) {
  auto& ham = scores[0];
  std::sort(ham.begin(), ham.end());
  const float threshold = ham[ham.size() - 1 - static_cast<size_t>(false_positives * static_cast<double>(ham.size()))];
  const auto caught = std::count_if(scores[1].begin(), scores[1].end(), [&](float s) { return s > threshold; });
  return 100 * static_cast<double>(caught) / static_cast<double>(scores[1].size());
}

base::Status measure(const std::string& index, const std::string& root) {
  TAMIS_TRY(rows, model::read_index(index, 0));
  std::vector<Message> messages;
  mail::Analyser analyser;
  model::FeatureCollector collector;
  for (const model::IndexRow& row : rows) {
    TAMIS_TRY(text, base::read_file(root + "/" + row.path, model::kMessageBytesMax));
    learn::collect_message_features(analyser.analyse(text), {}, collector);
    const model::FeatureSpan set = collector.finish();
    messages.push_back({{set.begin(), set.end()}, row.spam});
  }
  constexpr std::pair<Trial, const char*> kTrials[] = {{Trial::kHonest, "nobody lies"},
                                                       {Trial::kHonestWeighed, "nobody lies, weighed"},
                                                       {Trial::kLiars, "1 % lies"},
                                                       {Trial::kLiarsWeighed, "1 % lies, weighed"}};
  std::puts("recall % at 0.5, 1 and 2 % false positives; mean of four draws");
  for (const auto& [trial, name] : kTrials) {
    double recall[3] = {0, 0, 0};
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      std::vector<float> scores[2];
      run(messages, trial, seed * 1'000, scores);
      if (scores[0].empty() || scores[1].empty()) return base::invalid("expected both ham and spam");
      const double rates[3] = {0.005, 0.01, 0.02};
      for (size_t r = 0; r < 3; ++r) recall[r] += recall_at(scores, rates[r]) / 4;
    }
    std::printf("%-20s %6.2f %6.2f %6.2f\n", name, recall[0], recall[1], recall[2]);
  }
  return {};
}

}  // namespace
}  // namespace tamis::learn

int main(int count, char** words) {
  if (count != 3) {
    std::fputs("usage: learn_mail_poison INDEX.tsv ROOT\n", stderr);
    return 2;
  }
  if (const auto done = tamis::learn::measure(words[1], words[2]); !done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
