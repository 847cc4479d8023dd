#include "learn/boost.h"

#include <dlfcn.h>

#include <bit>
#include <charconv>
#include <limits>
#include <map>
#include <memory>

#include "model/trees.h"

namespace tamis::learn {
namespace {

// The part of the library's C interface that is used, as its documentation declares it.
struct Library {
  using Handle = void*;
  const char* (*last_error)() = nullptr;
  int (*matrix_create)(const float*, uint64_t, uint64_t, float, Handle*) = nullptr;
  int (*matrix_set)(Handle, const char*, const float*, uint64_t) = nullptr;
  int (*matrix_free)(Handle) = nullptr;
  int (*booster_create)(const Handle*, uint64_t, Handle*) = nullptr;
  int (*booster_set)(Handle, const char*, const char*) = nullptr;
  int (*booster_update)(Handle, int, Handle) = nullptr;
  int (*booster_predict)(Handle, Handle, int, unsigned, int, uint64_t*, const float**) = nullptr;
  int (*booster_dump)(Handle, const char*, int, const char*, uint64_t*, const char***) = nullptr;
  int (*booster_free)(Handle) = nullptr;
};

template <class F>
bool find(void* from, const char* name, F& function) {
  function = reinterpret_cast<F>(::dlsym(from, name));
  return function != nullptr;
}

base::Result<const Library*> library() {
  static const auto loaded = []() -> std::unique_ptr<Library> {
    void* from = nullptr;
    for (const char* name : {"libxgboost.so.0", "libxgboost.so.1", "libxgboost.so"})
      if (from == nullptr) from = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (from == nullptr) return nullptr;
    auto l = std::make_unique<Library>();
    const bool all =
        find(from, "XGBGetLastError", l->last_error) && find(from, "XGDMatrixCreateFromMat", l->matrix_create) &&
        find(from, "XGDMatrixSetFloatInfo", l->matrix_set) && find(from, "XGDMatrixFree", l->matrix_free) &&
        find(from, "XGBoosterCreate", l->booster_create) && find(from, "XGBoosterSetParam", l->booster_set) &&
        find(from, "XGBoosterUpdateOneIter", l->booster_update) && find(from, "XGBoosterPredict", l->booster_predict) &&
        find(from, "XGBoosterDumpModelEx", l->booster_dump) && find(from, "XGBoosterFree", l->booster_free);
    return all ? std::move(l) : nullptr;
  }();
  if (loaded == nullptr)
    return base::fail(base::Code::kUnavailable,
                      "training needs the XGBoost library (libxgboost.so; on Debian the package libxgboost0)");
  return loaded.get();
}

// Owns what the library hands out.
struct Training {
  explicit Training(const Library& l) : library(l) {}
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;
  ~Training() {
    if (booster != nullptr) library.booster_free(booster);
    if (matrix != nullptr) library.matrix_free(matrix);
  }
  const Library& library;
  Library::Handle matrix = nullptr, booster = nullptr;
};

base::Status run(const BoostOptions& options, std::span<const float> truth, std::span<const float> rows,
                 uint64_t columns, Training& t) {
  const Library& l = t.library;
  const auto failed = [&](int code) { return code != 0; };
  const auto error = [&] {
    return base::fail(base::Code::kInternal, std::string("the training library failed: ") + l.last_error());
  };
  if (failed(l.matrix_create(rows.data(), truth.size(), columns, std::numeric_limits<float>::quiet_NaN(), &t.matrix)) ||
      failed(l.matrix_set(t.matrix, "label", truth.data(), truth.size())) ||
      failed(l.booster_create(&t.matrix, 1, &t.booster)))
    return error();
  const std::map<std::string, std::string> parameters = {{"objective", "binary:logistic"},
                                                         {"base_score", "0.5"},
                                                         {"tree_method", "exact"},
                                                         {"max_depth", std::to_string(options.depth)},
                                                         {"eta", std::to_string(options.rate)},
                                                         {"subsample", std::to_string(options.row_share)},
                                                         {"colsample_bytree", std::to_string(options.feature_share)},
                                                         {"min_child_weight", std::to_string(options.weight_min)},
                                                         {"lambda", std::to_string(options.shrink_l2)},
                                                         {"scale_pos_weight", std::to_string(options.weight_of_bad)},
                                                         {"seed", std::to_string(options.seed)},
                                                         {"nthread", "1"},
                                                         {"verbosity", "0"}};
  for (const auto& [name, value] : parameters)
    if (failed(l.booster_set(t.booster, name.c_str(), value.c_str()))) return error();
  for (int i = 0; i < options.rounds; ++i)
    if (failed(l.booster_update(t.booster, i, t.matrix))) return error();
  return {};
}

// One tree of the library's text: "0:[f3<0.5] yes=1,no=2,missing=1", "1:leaf=0.2".
base::Status put_tree(std::string_view text, std::string& out) {
  struct Line {
    std::string_view feature, threshold, yes, no, missing, leaf;
  };
  std::map<uint32_t, Line> lines;
  const auto bad = [] { return base::fail(base::Code::kInternal, "the training library's model is not as expected"); };
  const auto number = [](std::string_view word, uint32_t& to) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), to);
    return error == std::errc() && end == word.data() + word.size();
  };
  const auto between = [](std::string_view all, std::string_view from, std::string_view to) -> std::string_view {
    const size_t at = all.find(from);
    if (at == std::string_view::npos) return {};
    all.remove_prefix(at + from.size());
    return to.empty() ? all : all.substr(0, all.find(to));
  };
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    while (!line.empty() && line.front() == '\t') line.remove_prefix(1);
    if (line.empty()) continue;
    const size_t colon = line.find(':');
    uint32_t id = 0;
    if (colon == std::string_view::npos || !number(line.substr(0, colon), id)) return bad();
    line.remove_prefix(colon + 1);
    Line l;
    if (line.substr(0, 5) == "leaf=") {
      l.leaf = line.substr(5, line.find(',') - 5);
    } else {
      l.feature = between(line, "[f", "<"), l.threshold = between(line, "<", "]");
      l.yes = between(line, "yes=", ","), l.no = between(line, "no=", ","), l.missing = between(line, "missing=", ",");
      if (l.feature.empty() || l.threshold.empty() || l.yes.empty() || l.no.empty() || l.missing.empty()) return bad();
    }
    lines[id] = l;
  }
  // Numbered anew: pruning leaves gaps.
  std::map<uint32_t, uint32_t> renumbered;
  for (const auto& [id, line] : lines) renumbered.emplace(id, uint32_t(renumbered.size()));
  const auto place = [&](std::string_view word) {
    uint32_t id = 0;
    const auto found = number(word, id) ? renumbered.find(id) : renumbered.end();
    return found == renumbered.end() ? std::string("none") : std::to_string(found->second);
  };
  out += "tree\n";
  for (const auto& [id, l] : lines) {
    out += std::to_string(renumbered[id]) + " ";
    if (!l.leaf.empty())
      out += "leaf " + std::string(l.leaf) + "\n";
    else
      out += std::string(l.feature) + " " + std::string(l.threshold) + " " + place(l.yes) + " " + place(l.no) + " " +
             place(l.missing) + "\n";
  }
  return {};
}

}  // namespace

base::Status boost_available() {
  TAMIS_TRY(l, library());
  (void)l;
  return {};
}

base::Result<std::string> boost(const std::vector<std::string>& names, std::span<const float> rows,
                                std::span<const float> truth, const BoostOptions& options) {
  if (names.empty() || truth.empty() || rows.size() != names.size() * truth.size())
    return base::invalid("training needs rows, and a number for each feature in each");
  TAMIS_TRY(l, library());
  Training t(*l);
  TAMIS_CHECK(run(options, truth, rows, names.size(), t));
  uint64_t count = 0;
  const char** trees = nullptr;
  if (l->booster_dump(t.booster, "", 0, "text", &count, &trees) != 0)
    return base::fail(base::Code::kInternal, std::string("the training library failed: ") + l->last_error());
  std::string text = "tamis-trees 1\nfeatures";
  for (const std::string& name : names) text += " " + name;
  text += "\nbase 0\n";
  for (uint64_t i = 0; i < count; ++i) TAMIS_CHECK(put_tree(trees[i], text));

  TAMIS_TRY(model, model::Trees::parse(text));
  uint64_t scored = 0;
  const float* margins = nullptr;
  if (l->booster_predict(t.booster, t.matrix, 1, 0, 0, &scored, &margins) != 0 || scored != truth.size())
    return base::fail(base::Code::kInternal, std::string("the training library failed: ") + l->last_error());
  for (size_t i = 0; i < truth.size(); ++i) {
    const float own = model.score(rows.subspan(i * names.size(), names.size()));
    if (std::bit_cast<uint32_t>(own) != std::bit_cast<uint32_t>(margins[i]))
      return base::fail(base::Code::kInternal, "row " + std::to_string(i) + " scores " + std::to_string(own) +
                                                   ", but the training library says " + std::to_string(margins[i]));
  }
  return text;
}

}  // namespace tamis::learn
