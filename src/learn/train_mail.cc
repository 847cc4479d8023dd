#include "learn/train_mail.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/hash.h"
#include "learn/message_features.h"
#include "model/online_eval.h"
#include "model/spam_model.h"

namespace tamis::learn {
namespace {

// Room for a whole training set, so that every message can be learned again.
constexpr uint32_t kExamplesMax = 32'768;

struct Corpus {
  std::string folder;
  std::vector<model::IndexRow> rows;
  size_t next = 0;
  uint64_t digest = 0;
  uint64_t labels[2] = {0, 0};
};

base::Result<std::vector<Corpus>> open_corpora(const std::vector<std::string>& indexes) {
  std::vector<Corpus> corpora;
  for (const std::string& index : indexes) {
    TAMIS_TRY(rows, model::read_index(index, 0));
    if (rows.empty()) return base::invalid(index + " names no message");
    const size_t slash = index.rfind('/');
    Corpus corpus;
    corpus.folder = slash == std::string::npos ? "." : index.substr(0, slash);
    corpus.rows = std::move(rows);
    corpora.push_back(std::move(corpus));
  }
  if (corpora.empty()) return base::invalid("there is nothing to learn from: expected one index file or more");
  return corpora;
}

// The corpus that is least far along; of equals the first.
Corpus* next_of(std::vector<Corpus>& corpora) {
  Corpus* chosen = nullptr;
  for (Corpus& corpus : corpora) {
    if (corpus.next == corpus.rows.size()) continue;
    // (a + 1) / size of a < (b + 1) / size of b, in whole numbers.
    if (chosen == nullptr || (corpus.next + 1) * chosen->rows.size() < (chosen->next + 1) * corpus.rows.size()) {
      chosen = &corpus;
    }
  }
  return chosen;
}

std::string card_of(const TrainMailOptions& options, const std::vector<Corpus>& corpora) {
  std::string card = fmt::format("made_by: tamis train mail\nfeatures: {}\nslots_log2: {}\nreplays: {}\nseen_min: {}\n",
                                 mail::kFeatureVersion, options.slots_log2, options.replays, options.seen_min);
  card += "corpora:\n";
  for (const Corpus& corpus : corpora) {
    card +=
        fmt::format("  - {{ham: {}, spam: {}, digest: {:016x}}}\n", corpus.labels[0], corpus.labels[1], corpus.digest);
  }
  return card;
}

}  // namespace

base::Result<TrainedMail> train_mail(const TrainMailOptions& options,
                                     const std::function<void(uint64_t done, uint64_t all)>& progress) {
  if (options.slots_log2 < 8 || options.slots_log2 > 22 || options.replays > 256) {
    return base::invalid("expected a table of 2^8 to 2^22 slots and at most 256 replays");
  }
  TAMIS_TRY(corpora, open_corpora(options.indexes));
  uint64_t all = 0;
  for (const Corpus& corpus : corpora) all += corpus.rows.size();

  model::SpamOptions shape;
  shape.slots_log2 = options.slots_log2;
  shape.examples_max = kExamplesMax;
  shape.replays = options.replays;
  shape.mixer_reach = 1e6f;  // these labels are known to be right, and the first of them shall move it freely
  const uint32_t learners = shape.learners;
  shape.learners &= ~(1u << static_cast<unsigned>(model::Learner::kNeighbours));
  shape.learners &= ~(1u << static_cast<unsigned>(model::Learner::kNeighboursText));
  model::SpamModel model(shape);

  mail::Analyser analyser;
  model::FeatureCollector collector;
  uint64_t done = 0;
  while (Corpus* corpus = next_of(corpora)) {
    const model::IndexRow& row = corpus->rows[corpus->next++];
    TAMIS_TRY(message, base::read_file(corpus->folder + "/" + row.path, model::kMessageBytesMax));
    corpus->digest = base::hash64(message, corpus->digest + row.spam);
    ++corpus->labels[row.spam];
    collect_message_features(analyser.analyse(message), {}, collector);
    TAMIS_CHECK(model.learn(0, collector.finish(), row.spam));
    if (progress && ++done % 256 == 0) progress(done, all);
  }

  // What the operator's corrections find is the model as it usually runs.
  model.prune(options.seen_min);
  model.set_learners(learners);
  model.set_evidence(options.evidence_half, options.evidence_prior);
  const model::SpamOptions usual;
  TrainedMail trained;
  trained.card = card_of(options, corpora);
  trained.bytes = model.save_packed(trained.card, usual.examples_max, usual.replays);
  trained.ham = model.learned_ham();
  trained.spam = model.learned_spam();
  return trained;
}

}  // namespace tamis::learn
