#include "app/spamassassin_conditions.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace tamis::app {
namespace {

using Truth = SpamAssassinConditions::Truth;

constexpr int kDepthMax = 50;
constexpr int64_t kOldest = 3'004'000;  // that is still met
constexpr int64_t kEndless = 1'000'000'000;

// Releases that brought a .pre file of their own, as it is called: v342.pre came with 3.4.2.
constexpr std::array<std::pair<std::string_view, int64_t>, 11> kReleases = {{{"v310.pre", 3'001'000},
                                                                             {"v312.pre", 3'001'002},
                                                                             {"v320.pre", 3'002'000},
                                                                             {"v330.pre", 3'003'000},
                                                                             {"v340.pre", 3'004'000},
                                                                             {"v341.pre", 3'004'001},
                                                                             {"v342.pre", 3'004'002},
                                                                             {"v343.pre", 3'004'003},
                                                                             {"v400.pre", 4'000'000},
                                                                             {"v401.pre", 4'000'001},
                                                                             {"", kEndless}}};

// What 3.4 and 4.0 load as they ship, without Mail::SpamAssassin::Plugin:: in front.
constexpr std::array<std::string_view, 25> kUsual = {
    "URIDNSBL",           "SPF",           "Pyzor",       "Razor2",    "SpamCop",
    "AutoLearnThreshold", "MIMEHeader",    "ReplaceTags", "DKIM",      "Check",
    "URIDetail",          "HTTPSMismatch", "Bayes",       "BodyEval",  "DNSEval",
    "HTMLEval",           "MIMEEval",      "HeaderEval",  "RelayEval", "URIEval",
    "WLBLEval",           "VBounce",       "ImageInfo",   "FreeMail",  "AskDNS",
};
constexpr std::string_view kPluginPrefix = "Mail::SpamAssassin::Plugin::";
constexpr std::string_view kConfPrefix = "Mail::SpamAssassin::Conf::";

// From when on SpamAssassin itself surely has a feature, and up to when it surely had not.
struct Feature {
  std::string_view name;
  int64_t since, not_before;
};
constexpr std::array<Feature, 12> kFeatures = {{
    {"feature_bug6558_free", 3'004'000, 0},
    {"perl_min_version_5010000", 3'004'000, 0},
    {"feature_originating_ip_headers", 3'004'000, 0},
    {"feature_dns_query_restriction", 3'004'000, 0},
    {"feature_yesno_takes_args", 3'004'000, 0},
    {"feature_registryboundaries", 4'000'000, 0},
    {"feature_subjprefix", 4'000'000, 0},
    {"feature_dns_block_rule", 4'000'000, 0},
    {"feature_geodb", 4'000'000, 0},
    {"feature_blocklist_welcomelist", 4'000'000, 4'000'000},
    {"feature_welcomelist_blocklist", 4'000'000, 4'000'000},
    {"feature_capture_rules", 4'000'000, 4'000'000},
}};

bool is_space(char c) { return c == ' ' || c == '\t'; }
bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':' || c == '.';
}

Truth opposite(Truth truth) {
  return truth == Truth::kYes ? Truth::kNo : truth == Truth::kNo ? Truth::kYes : Truth::kUnknown;
}

// "3.004002" as 3004002.
bool read_version(std::string_view text, int64_t& out) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || !(number >= 0 && number < 1000)) return false;
  out = std::llround(number * 1e6);
  return true;
}

}  // namespace

// or, and, not, comparisons, brackets; names and calls with one argument. Unknown stays unknown unless the other side
// decides alone.
class SpamAssassinConditions::Parser {
 public:
  Parser(const SpamAssassinConditions& known, std::string_view text) : known_(known), text_(text) {}

  Decided run() {
    const Term term = either(0);
    skip();
    if (at_ != text_.size()) return {Truth::kUnknown, "its condition is not understood"};
    if (!good_) return {Truth::kUnknown, "its condition is not understood"};
    return {term.truth, term.truth == Truth::kNo ? why_no_ : term.truth == Truth::kUnknown ? why_unknown_ : ""};
  }

 private:
  struct Term {
    Truth truth = Truth::kUnknown;
    bool is_number = false;
    int64_t min = 0, end = 0;  // of a number: what it may be
  };

  void skip() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool take(std::string_view sign) {
    skip();
    if (text_.substr(at_, sign.size()) != sign) return false;
    if (is_name_byte(sign[0]) && at_ + sign.size() < text_.size() && is_name_byte(text_[at_ + sign.size()]))
      return false;
    at_ += sign.size();
    return true;
  }
  // The first reason of each kind is told.
  void because(Truth truth, std::string no, std::string unknown) {
    if (truth == Truth::kNo && why_no_.empty()) why_no_ = std::move(no);
    if (truth == Truth::kUnknown && why_unknown_.empty()) why_unknown_ = std::move(unknown);
  }
  Term fail() {
    good_ = false;
    return {};
  }

  Term either(int depth) {
    Term left = both(depth);
    while (good_ && (take("||") || take("or"))) {
      const Term right = both(depth);
      const bool yes = left.truth == Truth::kYes || right.truth == Truth::kYes;
      const bool no = left.truth == Truth::kNo && right.truth == Truth::kNo;
      left = {yes ? Truth::kYes : no ? Truth::kNo : Truth::kUnknown};
    }
    return left;
  }

  Term both(int depth) {
    Term left = inverted(depth);
    while (good_ && (take("&&") || take("and"))) {
      const Term right = inverted(depth);
      const bool no = left.truth == Truth::kNo || right.truth == Truth::kNo;
      const bool yes = left.truth == Truth::kYes && right.truth == Truth::kYes;
      left = {no ? Truth::kNo : yes ? Truth::kYes : Truth::kUnknown};
    }
    return left;
  }

  Term inverted(int depth) {
    if (depth > kDepthMax) return fail();
    skip();
    const bool is_unequal = text_.substr(at_, 2) == "!=";
    if (!is_unequal && (take("!") || take("not"))) {
      Term term = inverted(depth + 1);
      term.truth = opposite(term.truth);
      because(term.truth, "what it wants to be missing is there", "");
      return term;
    }
    return compared(depth);
  }

  Term compared(int depth) {
    const Term left = single(depth);
    if (!good_ || !left.is_number) return left;
    for (const std::string_view sign : {">=", "<=", "==", "!=", ">", "<"}) {
      if (!take(sign)) continue;
      const Term right = single(depth);
      if (!good_ || !right.is_number) return fail();
      const Truth truth = compare(left, sign, right);
      because(truth, "it is for another version", "the folder does not tell of which version it is");
      return {truth};
    }
    return left;
  }

  // Of two numbers that are each somewhere in a range.
  static Truth compare(const Term& a, std::string_view sign, const Term& b) {
    if (sign == "<" || sign == "<=") return compare(b, sign == "<" ? ">" : ">=", a);
    if (sign == "!=") return opposite(compare(a, "==", b));
    if (sign == "==") {
      if (a.end <= b.min || b.end <= a.min) return Truth::kNo;
      return a.end - a.min == 1 && b.end - b.min == 1 ? Truth::kYes : Truth::kUnknown;
    }
    const int64_t more = sign == ">" ? 1 : 0;
    if (a.min >= b.end - 1 + more) return Truth::kYes;
    return a.end - 1 < b.min + more ? Truth::kNo : Truth::kUnknown;
  }

  Term single(int depth) {
    if (take("(")) {
      const Term term = either(depth + 1);
      return take(")") ? term : fail();
    }
    skip();
    const size_t begin = at_;
    while (at_ < text_.size() && is_name_byte(text_[at_])) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (name.empty()) return fail();
    if (name[0] >= '0' && name[0] <= '9') {
      int64_t number = 0;
      if (!read_version(name, number)) return fail();
      const Truth truth = number != 0 ? Truth::kYes : Truth::kNo;
      because(truth, "it never holds", "");
      return {truth, true, number, number + 1};
    }
    if (name == "version") return {Truth::kYes, true, known_.version().min, known_.version().end};
    if (name == "perl_version") return {Truth::kYes, true, 5'010'000, kEndless};
    return called(name);
  }

  Term called(std::string_view name) {
    std::string_view argument;
    const bool has_argument = take("(");
    if (has_argument) {
      const size_t end = text_.find(')', at_);
      if (end == std::string_view::npos) return fail();
      argument = text_.substr(at_, end - at_);
      at_ = end + 1;
      while (!argument.empty() && is_space(argument.front())) argument.remove_prefix(1);
      while (!argument.empty() && is_space(argument.back())) argument.remove_suffix(1);
    }
    if (name == "plugin" && !argument.empty()) {
      const Truth truth = known_.is_loaded(argument);
      because(truth, fmt::format("no loadplugin names {}", argument),
              fmt::format("the folder has no .pre file to tell whether {} is loaded", argument));
      return {truth};
    }
    if ((name == "can" || name == "has") && !argument.empty()) {
      const Truth truth = known_.can(argument);
      because(truth, fmt::format("{} is not there", argument),
              fmt::format("whether there is {} cannot be told from the folder", argument));
      return {truth};
    }
    because(Truth::kUnknown, "", fmt::format("{} cannot be told from the folder", name));
    return {};
  }

  const SpamAssassinConditions& known_;
  std::string_view text_;
  size_t at_ = 0;
  bool good_ = true;
  std::string why_no_, why_unknown_;
};

void SpamAssassinConditions::note_file(std::string_view name) {
  name = name.substr(name.rfind('/') + 1);
  if (!name.ends_with(".pre")) return;
  has_pre_ = true;
  for (size_t i = 0; i + 1 < kReleases.size(); ++i) {
    if (name == kReleases[i].first && kReleases[i].second > of_pre_.min) {
      of_pre_ = {kReleases[i].second, kReleases[i + 1].second};
    }
  }
}

SpamAssassinConditions::Versions SpamAssassinConditions::version() const {
  Versions found = of_pre_.min > 0 ? of_pre_ : Versions{kOldest, kEndless};
  found.min = std::max(found.min, required_);
  found.end = std::max(found.end, found.min + 1);
  return found;
}

void SpamAssassinConditions::note_line(std::string_view word, std::string_view rest) {
  const std::string_view first = rest.substr(0, std::min(rest.find_first_of(" \t"), rest.size()));
  if (word == "loadplugin" || word == "tryplugin") {
    plugins_.emplace(first);
  } else if (word == "enable_compat") {
    compat_.emplace(first);
  } else if (int64_t version = 0; word == "require_version" && read_version(first, version)) {
    required_ = std::max(required_, version);
  }
}

Truth SpamAssassinConditions::is_loaded(std::string_view plugin) const {
  if (plugins_.count(plugin) > 0) return Truth::kYes;
  if (has_pre_) return Truth::kNo;
  const bool is_usual = plugin.starts_with(kPluginPrefix) &&
                        std::find(kUsual.begin(), kUsual.end(), plugin.substr(kPluginPrefix.size())) != kUsual.end();
  return is_usual ? Truth::kYes : Truth::kUnknown;
}

Truth SpamAssassinConditions::can(std::string_view name) const {
  const size_t end = name.rfind("::");
  if (end == std::string_view::npos) return Truth::kUnknown;
  const std::string_view method = name.substr(end + 2);
  if (name.substr(0, end + 2) != kConfPrefix) {
    return is_loaded(name.substr(0, end)) == Truth::kNo ? Truth::kNo : Truth::kUnknown;
  }
  constexpr std::string_view kCompat = "compat_";
  if (method.starts_with(kCompat)) {
    return compat_.count(method.substr(kCompat.size())) > 0 ? Truth::kYes : has_pre_ ? Truth::kNo : Truth::kUnknown;
  }
  const auto* known =
      std::find_if(kFeatures.begin(), kFeatures.end(), [&](const Feature& f) { return f.name == method; });
  if (known == kFeatures.end()) return Truth::kUnknown;
  if (version().min >= known->since) return Truth::kYes;
  return version().end <= known->not_before ? Truth::kNo : Truth::kUnknown;
}

SpamAssassinConditions::Decided SpamAssassinConditions::decide(std::string_view expression) const {
  return Parser(*this, expression).run();
}

}  // namespace tamis::app
